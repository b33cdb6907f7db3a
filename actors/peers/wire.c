/* The synchronizer's words as protobuf, both ways. Pure; what comes from outside is bounded by
 * limits.h and by the arena before it is believed. */

#include "actors/peers/state.h"

#include <string.h>

ProtobufCBinaryData
wire_copy (struct weir_arena *arena, struct weir_bytes bytes)
{
    ProtobufCBinaryData field = { 0 };
    field.data = weir_arena_copy (arena, bytes);
    field.len = field.data != NULL ? bytes.len : 0;
    return field;
}

ProtobufCBinaryData
wire_copy_id (struct weir_arena *arena, const struct weir_id *id)
{
    return wire_copy (arena, weir_id_bytes (id));
}

ProtobufCBinaryData
wire_copy_str (struct weir_arena *arena, const char *text)
{
    return wire_copy (arena, weir_bytes_str (text));
}

/* ---- rows and ranges ---- */

static Weir__Row *
make_row (const struct weir_told_row *row, struct weir_arena *arena)
{
    Weir__Row *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__Row) WEIR__ROW__INIT;
    m->has_author = m->has_lane = m->has_count = m->has_tip = true;
    m->author = weir_field_id (&row->row.chain.author);
    m->lane = row->row.chain.lane;
    m->count = row->row.count;
    m->tip = weir_field_id (&row->row.tip);
    m->samples = weir_arena_array (arena, row->n_samples + 1, sizeof *m->samples);
    for (size_t i = 0; m->samples != NULL && i < row->n_samples; i++) {
        Weir__Sample *sample = weir_arena_alloc (arena, sizeof *sample);
        if (sample == NULL) {
            return NULL;
        }
        *sample = (Weir__Sample) WEIR__SAMPLE__INIT;
        sample->has_seq = sample->has_id = true;
        sample->seq = row->samples[i].seq;
        sample->id = weir_field_id (&row->samples[i].id);
        m->samples[m->n_samples++] = sample;
    }
    return m->samples != NULL ? m : NULL;
}

Weir__Row **
wire_rows_make (const struct weir_told_row *rows, size_t n, struct weir_arena *arena)
{
    Weir__Row **out = weir_arena_array (arena, n + 1, sizeof *out);
    for (size_t i = 0; out != NULL && i < n; i++) {
        out[i] = make_row (&rows[i], arena);
        if (out[i] == NULL) {
            return NULL;
        }
    }
    return out;
}

static enum weir_status
read_row (const Weir__Row *m, struct weir_arena *arena, struct weir_told_row *row)
{
    if (weir_field_get_id (&row->row.chain.author, m->has_author, m->author) != WEIR_OK
        || weir_field_get_id (&row->row.tip, m->has_tip, m->tip) != WEIR_OK
        || m->n_samples > WEIR_VECTOR_SAMPLES_MAX) {
        return WEIR_BAD_MESSAGE;
    }
    row->row.chain.lane = m->lane;
    row->row.count = m->count;
    row->n_samples = m->n_samples;
    row->samples = weir_arena_array (arena, m->n_samples + 1, sizeof *row->samples);
    if (row->samples == NULL) {
        return WEIR_TOO_LARGE;
    }
    for (size_t i = 0; i < m->n_samples; i++) {
        row->samples[i].seq = m->samples[i]->seq;
        if (weir_field_get_id (&row->samples[i].id, m->samples[i]->has_id, m->samples[i]->id)
            != WEIR_OK) {
            return WEIR_BAD_MESSAGE;
        }
    }
    return WEIR_OK;
}

enum weir_status
wire_rows_read (Weir__Row **rows, size_t n, struct weir_arena *arena, struct weir_told_row **out)
{
    struct weir_told_row *told = weir_arena_array (arena, n + 1, sizeof *told);
    enum weir_status status = told != NULL ? WEIR_OK : WEIR_TOO_LARGE;
    for (size_t i = 0; status == WEIR_OK && i < n; i++) {
        status = read_row (rows[i], arena, &told[i]);
    }
    if (status == WEIR_OK) {
        *out = told;
    }
    return status;
}

enum weir_status
wire_ranges_read (Weir__Range **items, size_t n, struct weir_ranges *out)
{
    for (size_t i = 0; i < n; i++) {
        struct weir_range range;
        if (weir_field_get_id (&range.chain.author, items[i]->has_author, items[i]->author)
                != WEIR_OK
            || weir_field_get_id (&range.tip, items[i]->has_tip, items[i]->tip) != WEIR_OK) {
            return WEIR_BAD_MESSAGE;
        }
        range.chain.lane = items[i]->lane;
        range.from_seq = items[i]->from_seq;
        range.to_seq = items[i]->to_seq;
        weir_ranges_add (out, &range, &weir_id_zero);
    }
    return WEIR_OK;
}

Weir__Range **
wire_ranges_make (const struct weir_ranges *ranges, struct weir_arena *arena)
{
    Weir__Range **out = weir_arena_array (arena, ranges->count + 1, sizeof *out);
    for (size_t i = 0; out != NULL && i < ranges->count; i++) {
        const struct weir_range *range = &ranges->items[i];
        out[i] = weir_arena_alloc (arena, sizeof *out[i]);
        if (out[i] == NULL) {
            return NULL;
        }
        *out[i] = (Weir__Range) WEIR__RANGE__INIT;
        out[i]->has_author = out[i]->has_lane = out[i]->has_tip = true;
        out[i]->has_from_seq = out[i]->has_to_seq = true;
        out[i]->author = weir_field_id (&range->chain.author);
        out[i]->lane = range->chain.lane;
        out[i]->from_seq = range->from_seq;
        out[i]->to_seq = range->to_seq;
        out[i]->tip = weir_field_id (&range->tip);
    }
    return out;
}

/* ---- out ---- */

static ProtobufCMessage *
make_digests (const struct weir_sync_message *m, struct weir_arena *arena)
{
    Weir__Digests *out = weir_arena_alloc (arena, sizeof *out);
    if (out == NULL) {
        return NULL;
    }
    *out = (Weir__Digests) WEIR__DIGESTS__INIT;
    out->has_answer = true;
    out->answer = m->answer;
    wire_put_buckets (m, out);
    out->items = weir_arena_array (arena, m->n_digests + 1, sizeof *out->items);
    for (size_t i = 0; out->items != NULL && i < m->n_digests; i++) {
        Weir__Digest *item = weir_arena_alloc (arena, sizeof *item);
        if (item == NULL) {
            return NULL;
        }
        *item = (Weir__Digest) WEIR__DIGEST__INIT;
        item->has_tag = item->has_digest = true;
        item->tag = m->digests[i].tag;
        item->digest = weir_field_id (&m->digests[i].digest);
        out->items[out->n_items++] = item;
    }
    return out->items != NULL ? &out->base : NULL;
}

static ProtobufCMessage *
make_vector (const struct weir_sync_message *m, struct weir_arena *arena)
{
    Weir__Vector *out = weir_arena_alloc (arena, sizeof *out);
    if (out == NULL) {
        return NULL;
    }
    *out = (Weir__Vector) WEIR__VECTOR__INIT;
    out->has_tag = out->has_answer = out->has_round = out->has_more = true;
    out->has_only = out->has_page = true;
    out->tag = m->tag;
    out->answer = m->answer;
    out->round = m->round;
    out->more = m->more;
    out->only = m->only;
    out->page = m->page;
    out->rows = wire_rows_make (m->rows, m->n_rows, arena);
    out->n_rows = m->n_rows;
    return out->rows != NULL ? &out->base : NULL;
}

static ProtobufCMessage *
make_small (const struct weir_sync_message *m, struct weir_arena *arena)
{
    if (m->type == WEIR_SYNC_OFFER) {
        Weir__Offer *out = weir_arena_alloc (arena, sizeof *out);
        weir_assert (out != NULL);
        *out = (Weir__Offer) WEIR__OFFER__INIT;
        out->has_tag = out->has_transfer = true;
        out->tag = m->tag;
        out->transfer = m->transfer;
        return &out->base;
    }
    if (m->type == WEIR_SYNC_ACCEPT) {
        Weir__Accept *out = weir_arena_alloc (arena, sizeof *out);
        weir_assert (out != NULL);
        *out = (Weir__Accept) WEIR__ACCEPT__INIT;
        out->has_transfer = out->has_limit = true;
        out->transfer = m->transfer;
        out->limit = m->credit;
        return &out->base;
    }
    if (m->type == WEIR_SYNC_CLOSE) {
        Weir__CloseTransfer *out = weir_arena_alloc (arena, sizeof *out);
        weir_assert (out != NULL);
        *out = (Weir__CloseTransfer) WEIR__CLOSE_TRANSFER__INIT;
        out->has_transfer = out->has_status = true;
        out->transfer = m->transfer;
        out->status = (uint32_t) m->status;
        return &out->base;
    }
    Weir__NotShared *out = weir_arena_alloc (arena, sizeof *out);
    weir_assert (out != NULL);
    *out = (Weir__NotShared) WEIR__NOT_SHARED__INIT;
    out->has_tag = out->has_status = true;
    out->tag = m->tag;
    out->status = (uint32_t) m->status;
    return &out->base;
}

uint16_t
wire_from_sync (const struct weir_sync_message *m, struct weir_arena *arena, ProtobufCMessage **out)
{
    static const uint16_t kinds[] = {
        [WEIR_SYNC_DIGESTS] = WEIR_KIND_W_DIGESTS, [WEIR_SYNC_VECTOR] = WEIR_KIND_W_VECTOR,
        [WEIR_SYNC_OFFER] = WEIR_KIND_W_OFFER,     [WEIR_SYNC_ACCEPT] = WEIR_KIND_W_ACCEPT,
        [WEIR_SYNC_CLOSE] = WEIR_KIND_W_CLOSE,     [WEIR_SYNC_NOT_SHARED] = WEIR_KIND_W_NOT_SHARED,
    };
    uint16_t kind = 0;
    if (wire_from_tree (m, arena, &kind, out) || wire_from_ladder (m, arena, &kind, out)) {
        return kind;
    }
    if (m->type == WEIR_SYNC_DIGESTS) {
        *out = make_digests (m, arena);
    } else if (m->type == WEIR_SYNC_VECTOR) {
        *out = make_vector (m, arena);
    } else {
        *out = make_small (m, arena);
    }
    return kinds[m->type];
}

/* ---- in ---- */

static enum weir_status
read_digests (const Weir__Digests *m, struct weir_arena *arena, struct weir_sync_message *out)
{
    if (m->n_items > WEIR_DIGESTS_PER_MESSAGE) {
        return WEIR_BAD_MESSAGE;
    }
    out->answer = m->answer;
    out->digests = weir_arena_array (arena, m->n_items + 1, sizeof *out->digests);
    for (size_t i = 0; out->digests != NULL && i < m->n_items; i++) {
        out->digests[i].tag = m->items[i]->tag;
        if (weir_field_get_id (&out->digests[i].digest, m->items[i]->has_digest,
                               m->items[i]->digest)
            != WEIR_OK) {
            return WEIR_BAD_MESSAGE;
        }
    }
    out->n_digests = m->n_items;
    return out->digests != NULL ? wire_get_buckets (m, out) : WEIR_TOO_LARGE;
}

static enum weir_status
read_vector (const Weir__Vector *m, struct weir_arena *arena, struct weir_sync_message *out)
{
    if (m->n_rows > WEIR_VECTOR_ROWS_PER_MESSAGE) {
        return WEIR_BAD_MESSAGE;
    }
    out->tag = m->tag;
    out->answer = m->answer;
    out->round = m->round;
    out->page = m->page;
    out->more = m->more;
    out->only = m->only;
    out->n_rows = m->n_rows;
    return wire_rows_read (m->rows, m->n_rows, arena, &out->rows);
}

enum weir_status
wire_to_sync (uint16_t kind, const ProtobufCMessage *meta, struct weir_arena *arena,
              struct weir_sync_message *out)
{
    memset (out, 0, sizeof *out);
    if (kind == WEIR_KIND_W_SUMMARY || kind == WEIR_KIND_W_LADDER) {
        return wire_to_ladder (kind, meta, out);
    }
    if (kind == WEIR_KIND_W_DIGESTS) {
        out->type = WEIR_SYNC_DIGESTS;
        return read_digests ((const Weir__Digests *) meta, arena, out);
    }
    if (kind == WEIR_KIND_W_VECTOR) {
        out->type = WEIR_SYNC_VECTOR;
        return read_vector ((const Weir__Vector *) meta, arena, out);
    }
    if (kind == WEIR_KIND_W_OFFER) {
        const Weir__Offer *m = (const Weir__Offer *) meta;
        out->type = WEIR_SYNC_OFFER;
        out->tag = m->tag;
        out->transfer = m->transfer;
        return WEIR_OK;
    }
    if (kind == WEIR_KIND_W_ACCEPT) {
        const Weir__Accept *m = (const Weir__Accept *) meta;
        out->type = WEIR_SYNC_ACCEPT;
        out->transfer = m->transfer;
        out->credit = m->limit;
        return WEIR_OK;
    }
    if (kind == WEIR_KIND_W_CLOSE) {
        const Weir__CloseTransfer *m = (const Weir__CloseTransfer *) meta;
        out->type = WEIR_SYNC_CLOSE;
        out->transfer = m->transfer;
        out->status = weir_status_from_number (m->status);
        return WEIR_OK;
    }
    if (kind == WEIR_KIND_W_NOT_SHARED) {
        const Weir__NotShared *m = (const Weir__NotShared *) meta;
        out->type = WEIR_SYNC_NOT_SHARED;
        out->tag = m->tag;
        out->status = weir_status_from_number (m->status);
        return WEIR_OK;
    }
    return wire_to_tree (kind, meta, arena, out);
}
