/* The words of rung 0 for many databases and of the newer ladder as protobuf, both ways (wire.c has
 * the others). Pure; the bytes inside are for the synchronizer and the store to doubt. */

#include "actors/peers/state.h"

#include <string.h>

static ProtobufCBinaryData
bytes_of (const struct weir_sync_message *m)
{
    ProtobufCBinaryData field = { .len = m->n_bytes, .data = m->bytes };
    return field;
}

bool
wire_from_ladder (const struct weir_sync_message *m, struct weir_arena *arena, uint16_t *kind,
                  ProtobufCMessage **out)
{
    if (m->type == WEIR_SYNC_SUMMARY) {
        Weir__Summary *s = weir_arena_alloc (arena, sizeof *s);
        weir_assert (s != NULL);
        *s = (Weir__Summary) WEIR__SUMMARY__INIT;
        s->has_sum = true;
        s->sum = weir_field_id (&m->sum);
        s->has_answer = s->answer = m->answer;
        s->has_bits = s->has_buckets = m->bits > 0;
        s->bits = m->bits;
        s->buckets = bytes_of (m);
        *kind = WEIR_KIND_W_SUMMARY;
        *out = &s->base;
        return true;
    }
    if (m->type == WEIR_SYNC_LADDER) {
        Weir__Ladder *l = weir_arena_alloc (arena, sizeof *l);
        weir_assert (l != NULL);
        *l = (Weir__Ladder) WEIR__LADDER__INIT;
        l->has_tag = l->has_round = l->has_bytes = true;
        l->tag = m->tag;
        l->round = m->round;
        l->has_answer = l->answer = m->answer;
        l->bytes = bytes_of (m);
        *kind = WEIR_KIND_W_LADDER;
        *out = &l->base;
        return true;
    }
    return false;
}

void
wire_put_buckets (const struct weir_sync_message *m, Weir__Digests *out)
{
    out->has_bits = out->has_buckets = out->has_sum = m->bits > 0;
    out->bits = m->bits;
    out->buckets = bytes_of (m);
    out->sum = weir_field_id (&m->sum);
}

/* Borrowed: a message is read while its bytes are there. */
static void
take_bytes (struct weir_sync_message *out, ProtobufCBinaryData bytes)
{
    out->bytes = bytes.data;
    out->n_bytes = bytes.len;
}

enum weir_status
wire_get_buckets (const Weir__Digests *m, struct weir_sync_message *out)
{
    if (!m->has_bits || m->bits == 0) {
        return WEIR_OK;
    }
    out->bits = m->bits;
    take_bytes (out, m->buckets);
    return weir_field_get_id (&out->sum, m->has_sum, m->sum) == WEIR_OK ? WEIR_OK
                                                                        : WEIR_BAD_MESSAGE;
}

enum weir_status
wire_to_ladder (uint16_t kind, const ProtobufCMessage *meta, struct weir_sync_message *out)
{
    if (kind == WEIR_KIND_W_SUMMARY) {
        const Weir__Summary *m = (const Weir__Summary *) meta;
        out->type = WEIR_SYNC_SUMMARY;
        out->answer = m->answer;
        out->bits = m->bits;
        take_bytes (out, m->buckets);
        return weir_field_get_id (&out->sum, m->has_sum, m->sum) == WEIR_OK ? WEIR_OK
                                                                            : WEIR_BAD_MESSAGE;
    }
    if (kind == WEIR_KIND_W_LADDER) {
        const Weir__Ladder *m = (const Weir__Ladder *) meta;
        out->type = WEIR_SYNC_LADDER;
        out->tag = m->tag;
        out->round = m->round;
        out->answer = m->answer;
        take_bytes (out, m->bytes);
        return WEIR_OK;
    }
    return WEIR_UNKNOWN_KIND;
}
