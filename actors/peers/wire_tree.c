/* The words of the tree and of gaps as protobuf, both ways (wire.c has the others). Pure. */

#include "actors/peers/state.h"

#include <string.h>

/* ---- out ---- */

/* Two packed lists, in the arena; false when that is full. */
static bool
put_marks (const struct weir_sync_message *m, struct weir_arena *arena, uint64_t **chains,
           uint64_t **seqs)
{
    *chains = weir_arena_array (arena, m->n_marks + 1, sizeof **chains);
    *seqs = weir_arena_array (arena, m->n_marks + 1, sizeof **seqs);
    if (*chains == NULL || *seqs == NULL) {
        return false;
    }
    for (size_t i = 0; i < m->n_marks; i++) {
        (*chains)[i] = m->marks[i].chain;
        (*seqs)[i] = m->marks[i].seq;
    }
    return true;
}

static ProtobufCMessage *
make_announce (const struct weir_sync_message *m, struct weir_arena *arena)
{
    Weir__Announce *out = weir_arena_alloc (arena, sizeof *out);
    weir_assert (out != NULL);
    *out = (Weir__Announce) WEIR__ANNOUNCE__INIT;
    out->has_tag = out->has_digest = true;
    out->tag = m->tag;
    out->digest = weir_field_id (&m->digest);
    out->n_chains = out->n_seqs = m->n_marks;
    return put_marks (m, arena, &out->chains, &out->seqs) ? &out->base : NULL;
}

static ProtobufCMessage *
make_graft (const struct weir_sync_message *m, struct weir_arena *arena)
{
    Weir__Graft *out = weir_arena_alloc (arena, sizeof *out);
    weir_assert (out != NULL);
    *out = (Weir__Graft) WEIR__GRAFT__INIT;
    out->has_tag = true;
    out->tag = m->tag;
    out->n_chains = out->n_seqs = m->n_marks;
    return put_marks (m, arena, &out->chains, &out->seqs) ? &out->base : NULL;
}

static ProtobufCMessage *
make_prune (const struct weir_sync_message *m, struct weir_arena *arena)
{
    Weir__Prune *out = weir_arena_alloc (arena, sizeof *out);
    weir_assert (out != NULL);
    *out = (Weir__Prune) WEIR__PRUNE__INIT;
    out->has_tag = true;
    out->tag = m->tag;
    return &out->base;
}

Weir__Wanted **
wire_wants_make (const struct weir_sync_want *wants, size_t n, struct weir_arena *arena)
{
    Weir__Wanted **out = weir_arena_array (arena, n + 1, sizeof *out);
    for (size_t i = 0; out != NULL && i < n; i++) {
        out[i] = weir_arena_alloc (arena, sizeof *out[i]);
        if (out[i] == NULL) {
            return NULL;
        }
        *out[i] = (Weir__Wanted) WEIR__WANTED__INIT;
        out[i]->has_id = true;
        out[i]->id = weir_field_id (&wants[i].id);
        out[i]->has_from_seq = wants[i].from_seq != WEIR_SYNC_FROM_UNKNOWN;
        out[i]->from_seq = wants[i].from_seq;
    }
    return out;
}

static ProtobufCMessage *
make_want (const struct weir_sync_message *m, struct weir_arena *arena)
{
    Weir__Want *out = weir_arena_alloc (arena, sizeof *out);
    weir_assert (out != NULL);
    *out = (Weir__Want) WEIR__WANT__INIT;
    out->has_tag = true;
    out->tag = m->tag;
    out->items = wire_wants_make (m->wants, m->n_wants, arena);
    out->n_items = m->n_wants;
    return out->items != NULL ? &out->base : NULL;
}

bool
wire_from_tree (const struct weir_sync_message *m, struct weir_arena *arena, uint16_t *kind,
                ProtobufCMessage **out)
{
    if (m->type == WEIR_SYNC_ANNOUNCE) {
        *kind = WEIR_KIND_W_ANNOUNCE;
        *out = make_announce (m, arena);
    } else if (m->type == WEIR_SYNC_PRUNE) {
        *kind = WEIR_KIND_W_PRUNE;
        *out = make_prune (m, arena);
    } else if (m->type == WEIR_SYNC_GRAFT) {
        *kind = WEIR_KIND_W_GRAFT;
        *out = make_graft (m, arena);
    } else if (m->type == WEIR_SYNC_WANT) {
        *kind = WEIR_KIND_W_WANT;
        *out = make_want (m, arena);
    } else {
        return false;
    }
    return true;
}

/* ---- in ---- */

static enum weir_status
read_marks (const uint64_t *chains, size_t n_chains, const uint64_t *seqs, size_t n_seqs,
            struct weir_arena *arena, struct weir_sync_message *out)
{
    if (n_chains != n_seqs || n_chains > WEIR_MARKS_PER_MESSAGE) {
        return WEIR_BAD_MESSAGE;
    }
    out->marks = weir_arena_array (arena, n_chains + 1, sizeof *out->marks);
    if (out->marks == NULL) {
        return WEIR_TOO_LARGE;
    }
    for (size_t i = 0; i < n_chains; i++) {
        out->marks[i] = (struct weir_sync_mark){ chains[i], seqs[i] };
    }
    out->n_marks = n_chains;
    return WEIR_OK;
}

enum weir_status
wire_wants_read (Weir__Wanted **items, size_t n, struct weir_arena *arena,
                 struct weir_sync_want **out)
{
    if (n > WEIR_WANTS_PER_MESSAGE) {
        return WEIR_BAD_MESSAGE;
    }
    struct weir_sync_want *wants = weir_arena_array (arena, n + 1, sizeof *wants);
    enum weir_status status = wants != NULL ? WEIR_OK : WEIR_TOO_LARGE;
    for (size_t i = 0; status == WEIR_OK && i < n; i++) {
        status = weir_field_get_id (&wants[i].id, items[i]->has_id, items[i]->id);
        wants[i].from_seq = items[i]->has_from_seq ? items[i]->from_seq : WEIR_SYNC_FROM_UNKNOWN;
    }
    if (status == WEIR_OK) {
        *out = wants;
    }
    return status;
}

enum weir_status
wire_to_tree (uint16_t kind, const ProtobufCMessage *meta, struct weir_arena *arena,
              struct weir_sync_message *out)
{
    if (kind == WEIR_KIND_W_ANNOUNCE) {
        const Weir__Announce *m = (const Weir__Announce *) meta;
        out->type = WEIR_SYNC_ANNOUNCE;
        out->tag = m->tag;
        if (weir_field_get_id (&out->digest, m->has_digest, m->digest) != WEIR_OK) {
            return WEIR_BAD_MESSAGE;
        }
        return read_marks (m->chains, m->n_chains, m->seqs, m->n_seqs, arena, out);
    }
    if (kind == WEIR_KIND_W_PRUNE) {
        out->type = WEIR_SYNC_PRUNE;
        out->tag = ((const Weir__Prune *) meta)->tag;
        return WEIR_OK;
    }
    if (kind == WEIR_KIND_W_GRAFT) {
        const Weir__Graft *m = (const Weir__Graft *) meta;
        out->type = WEIR_SYNC_GRAFT;
        out->tag = m->tag;
        return read_marks (m->chains, m->n_chains, m->seqs, m->n_seqs, arena, out);
    }
    if (kind == WEIR_KIND_W_WANT) {
        const Weir__Want *m = (const Weir__Want *) meta;
        out->type = WEIR_SYNC_WANT;
        out->tag = m->tag;
        out->n_wants = m->n_items;
        return wire_wants_read (m->items, m->n_items, arena, &out->wants);
    }
    return WEIR_UNKNOWN_KIND;
}
