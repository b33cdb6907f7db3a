/* Writes exports: takes runs apart into columns, refers to what stands before by number, and puts
 * the header in front. The same parts always give the same bytes. */

#include "store/replica/export_parts.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

/* What the last run of a chain, so far, leaves to the next. */
struct chain_end {
    uint64_t next_seq;
    uint64_t tip; /* number of the entry, + 1; 0: none yet */
};

struct writer {
    struct weir_buf sections[WEIR_EXPORT_SECTIONS];
    struct weir_id database;
    struct weir_arena *arena; /* of the run that is written */
    struct weir_map *entries; /* id -> number + 1 */
    uint64_t n_entries;
    uint64_t run_begin;   /* n_entries when the run began: its own have no number yet */
    struct weir_map *raw; /* ids put bare -> number + 1 */
    uint64_t clock_ms;
    bool counts; /* what is put now is history */
    uint64_t entries_in;
    uint64_t ops_in;
    uint64_t clock_ms_min;
    uint64_t clock_ms_max;
    struct weir_map *chains; /* author, lane -> number + 1 */
    struct weir_buf chain_table;
    struct chain_end *ends;
    size_t n_chains;
    size_t chains_cap;
    struct weir_bytes head; /* of the last payload taken apart */
    struct weir_bytes rows;
};

/* ---- payloads ---- */

static struct weir_bytes
read_since (const struct weir_reader *r, size_t from)
{
    return weir_bytes (r->data + from, r->pos - from);
}

static bool
skip_rows (struct weir_reader *r, bool *is_text)
{
    uint64_t rows = weir_read_varint (r);
    if (rows > weir_reader_left (r)) {
        return false;
    }
    for (uint64_t i = 0; i < rows && !r->bad; i++) {
        uint8_t byte = weir_read_u8 (r);
        *is_text = rows == 1 && byte >> 2 == WEIR_CONTAINER_TEXT;
        switch (byte & 3) {
        case 0:
            (void) weir_read_blob (r, WEIR_KEY_BYTES_MAX);
            break;
        case 1:
            (void) weir_read_varint (r);
            (void) weir_read_blob (r, WEIR_KEY_BYTES_MAX);
            break;
        case 2:
            if (weir_read_varint (r) != 0) {
                (void) weir_read_varint (r);
            }
            break;
        default:
            return false;
        }
    }
    return !r->bad;
}

bool
weir_export_payload_split (struct weir_bytes payload, struct weir_export_payload *out)
{
    struct weir_reader r = weir_reader (payload);
    memset (out, 0, sizeof *out);
    if (weir_read_u8 (&r) != WEIR_CODEC_DOC) {
        return false;
    }
    (void) weir_read_blob (&r, WEIR_MESSAGE_TEXT_BYTES_MAX);
    out->head = read_since (&r, 0);
    uint64_t ids = weir_read_varint (&r);
    if (ids > weir_reader_left (&r) / WEIR_ID_BYTES) {
        return false;
    }
    out->ids = weir_read_bytes (&r, (size_t) ids * WEIR_ID_BYTES);
    size_t rows_at = r.pos;
    if (!skip_rows (&r, &out->is_text)) {
        return false;
    }
    out->rows = read_since (&r, rows_at);
    out->text = weir_read_blob (&r, payload.len);
    out->ops = weir_read_bytes (&r, weir_reader_left (&r));
    return !r.bad;
}

static void
put_number (struct writer *w, enum weir_export_section section, uint64_t number)
{
    weir_buf_put_varint (&w->sections[section], number);
}

static void
put_ref (struct writer *w, const struct weir_id *id)
{
    struct weir_bytes key = weir_id_bytes (id);
    uintptr_t number = (uintptr_t) weir_map_get (w->entries, key);
    if (number != 0 && number <= w->run_begin) {
        put_number (w, WEIR_EXPORT_HEADS, (w->run_begin - (number - 1)) << 1);
        return;
    }
    number = (uintptr_t) weir_map_get (w->raw, key);
    if (number != 0) {
        put_number (w, WEIR_EXPORT_HEADS, (weir_map_count (w->raw) - (number - 1)) << 1 | 1);
        return;
    }
    put_number (w, WEIR_EXPORT_HEADS, 0);
    weir_buf_put (&w->sections[WEIR_EXPORT_RAW], id->b, WEIR_ID_BYTES);
    (void) weir_map_put (w->raw, key, (void *) (weir_map_count (w->raw) + 1));
}

/* Ops of a text are three numbers each, until one is not. */
static void
put_ops (struct writer *w, const struct weir_export_payload *p)
{
    struct weir_reader r = weir_reader (p->ops);
    size_t good = 0;
    uint64_t columns = 0;
    while (p->is_text && weir_reader_left (&r) > 0) {
        uint64_t head = weir_read_varint (&r);
        uint64_t at = weir_read_varint (&r);
        uint64_t count = weir_read_varint (&r);
        if (r.bad || (head & 15) > WEIR_TEXT_DELETE) {
            break;
        }
        put_number (w, WEIR_EXPORT_OP_HEADS, head);
        put_number (w, WEIR_EXPORT_OP_ATS, at);
        put_number (w, WEIR_EXPORT_OP_COUNTS, count);
        good = r.pos;
        columns++;
    }
    put_number (w, WEIR_EXPORT_SIZES, columns);
    put_number (w, WEIR_EXPORT_SIZES, p->ops.len - good);
    weir_buf_put (&w->sections[WEIR_EXPORT_REST], p->ops.data + good, p->ops.len - good);
}

static void
put_payload (struct writer *w, uint8_t kind, struct weir_bytes payload)
{
    struct weir_export_payload p;
    if (kind != WEIR_ENTRY_DATA || !weir_export_payload_split (payload, &p)) {
        put_number (w, WEIR_EXPORT_SIZES, WEIR_EXPORT_BARE);
        put_number (w, WEIR_EXPORT_SIZES, payload.len);
        weir_buf_put_bytes (&w->sections[WEIR_EXPORT_REST], payload);
        return;
    }
    if (w->head.data != NULL && weir_bytes_equal (p.head, w->head)
        && weir_bytes_equal (p.rows, w->rows)) {
        put_number (w, WEIR_EXPORT_SIZES, WEIR_EXPORT_AGAIN);
    } else {
        put_number (w, WEIR_EXPORT_SIZES, WEIR_EXPORT_APART);
        put_number (w, WEIR_EXPORT_SIZES, p.head.len);
        put_number (w, WEIR_EXPORT_SIZES, p.rows.len);
        weir_buf_put_bytes (&w->sections[WEIR_EXPORT_REST], p.head);
        weir_buf_put_bytes (&w->sections[WEIR_EXPORT_REST], p.rows);
        w->head = p.head;
        w->rows = p.rows;
    }
    put_number (w, WEIR_EXPORT_SIZES, p.ids.len / WEIR_ID_BYTES);
    for (size_t at = 0; at < p.ids.len; at += WEIR_ID_BYTES) {
        struct weir_id id;
        memcpy (id.b, p.ids.data + at, WEIR_ID_BYTES);
        put_ref (w, &id);
    }
    put_number (w, WEIR_EXPORT_SIZES, p.text.len);
    weir_buf_put_bytes (&w->sections[WEIR_EXPORT_TEXT], p.text);
    put_ops (w, &p);
}

/* ---- runs ---- */

static size_t
chain_number (struct writer *w, const struct weir_chain *chain)
{
    uint8_t key[WEIR_ID_BYTES + 8];
    memcpy (key, chain->author.b, WEIR_ID_BYTES);
    weir_store_u64 (key + WEIR_ID_BYTES, chain->lane);
    struct weir_bytes k = weir_bytes (key, sizeof key);
    uintptr_t number = (uintptr_t) weir_map_get (w->chains, k);
    if (number == 0) {
        weir_grow (&w->ends, &w->chains_cap, w->n_chains + 1, sizeof *w->ends);
        w->ends[w->n_chains++] = (struct chain_end){ .tip = 0 };
        weir_buf_put_bytes (&w->chain_table, k);
        number = w->n_chains;
        (void) weir_map_put (w->chains, k, (void *) number);
    }
    return number - 1;
}

static void
put_head (struct writer *w, const struct weir_run *run)
{
    size_t chain = chain_number (w, &run->chain);
    const struct chain_end *end = &w->ends[chain];
    uintptr_t prev =
        run->seq == 0 ? 0 : (uintptr_t) weir_map_get (w->entries, weir_id_bytes (&run->prev));
    bool follows = run->seq > 0 && end->tip != 0 && end->next_seq == run->seq && end->tip == prev;
    put_number (w, WEIR_EXPORT_HEADS,
                (uint64_t) (run->kind | (follows ? 4u : 0u)) | (uint64_t) run->n_deps << 3);
    put_number (w, WEIR_EXPORT_HEADS, chain);
    put_number (w, WEIR_EXPORT_HEADS, run->count);
    if (!follows) {
        put_number (w, WEIR_EXPORT_HEADS, run->seq);
        if (run->seq > 0) {
            put_ref (w, &run->prev);
        }
    }
    for (size_t i = 0; i < run->n_deps; i++) {
        put_ref (w, &run->deps[i]);
    }
}

static void
count_entry (struct writer *w, const struct weir_run_entry *entry)
{
    w->entries_in++;
    w->ops_in += entry->ops;
    if (entry->clock_ms != 0) {
        bool is_first = w->clock_ms_max == 0;
        if (is_first || entry->clock_ms < w->clock_ms_min) {
            w->clock_ms_min = entry->clock_ms;
        }
        if (entry->clock_ms > w->clock_ms_max) {
            w->clock_ms_max = entry->clock_ms;
        }
    }
}

static enum weir_status
put_run (struct writer *w, struct weir_bytes bytes, struct weir_error *e)
{
    struct weir_run run;
    size_t used = 0;
    weir_arena_reset (w->arena);
    enum weir_status status = weir_run_decode (&run, w->arena, &w->database, bytes, &used, e);
    if (status != WEIR_OK || used != bytes.len) {
        return weir_error_set (e, WEIR_BAD_RUN, "weir db repair", "a run to export is damaged");
    }
    w->run_begin = w->n_entries;
    put_head (w, &run);
    size_t chain = chain_number (w, &run.chain);
    for (uint32_t i = 0; i < run.count; i++) {
        const struct weir_run_entry *entry = &run.entries[i];
        put_number (w, WEIR_EXPORT_OPS, entry->ops);
        weir_buf_put_zigzag (&w->sections[WEIR_EXPORT_CLOCKS],
                             (int64_t) (entry->clock_ms - w->clock_ms));
        w->clock_ms = entry->clock_ms;
        put_payload (w, run.kind, entry->payload);
        if (w->counts) {
            count_entry (w, entry);
        }
        w->n_entries++;
        (void) weir_map_put (w->entries, weir_id_bytes (&entry->id),
                             (void *) (uintptr_t) w->n_entries);
    }
    w->ends[chain] = (struct chain_end){ .next_seq = run.seq + run.count, .tip = w->n_entries };
    weir_buf_put (&w->sections[WEIR_EXPORT_RAW], run.signature.b, WEIR_SIGNATURE_BYTES);
    return WEIR_OK;
}

static enum weir_status
put_runs (struct writer *w, const struct weir_bytes *runs, size_t count, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        status = put_run (w, runs[i], e);
    }
    return status;
}

/* ---- the header ---- */

static void
put_vector (struct writer *w, const struct weir_op_vector *v, struct weir_buf *out)
{
    weir_buf_put_varint (out, v == NULL ? 0 : v->count);
    for (size_t i = 0; v != NULL && i < v->count; i++) {
        const struct weir_op_row *row = &v->rows[i];
        bool has_tip = !weir_id_equal (&row->tip, &weir_id_zero);
        weir_buf_put_varint (out, (uint64_t) chain_number (w, &row->chain) << 1 | has_tip);
        weir_buf_put_varint (out, row->ops);
        if (has_tip) {
            weir_buf_put (out, row->tip.b, WEIR_ID_BYTES);
        }
    }
}

static void
put_root (struct writer *w, const struct weir_export_root *root, struct weir_buf *out)
{
    weir_assert (root->vector.count == root->ops_vector.count);
    weir_buf_put (out, root->entry.b, WEIR_ID_BYTES);
    weir_buf_put_varint (out, root->lamport);
    weir_buf_put_varint (out, root->ops);
    weir_buf_put_varint (out, root->vector.count);
    for (size_t i = 0; i < root->vector.count; i++) {
        const struct weir_row *row = &root->vector.rows[i];
        const struct weir_op_row *ops = &root->ops_vector.rows[i];
        weir_assert (weir_id_equal (&row->tip, &ops->tip));
        weir_buf_put_varint (out, chain_number (w, &row->chain));
        weir_buf_put_varint (out, row->count);
        weir_buf_put_varint (out, ops->ops);
        weir_buf_put (out, row->tip.b, WEIR_ID_BYTES);
    }
    weir_buf_put (out, root->signer.b, WEIR_ID_BYTES);
    weir_buf_put (out, root->signature.b, WEIR_SIGNATURE_BYTES);
}

static void
put_header (struct writer *w, const struct weir_export_parts *parts, struct weir_buf *out)
{
    struct weir_buf tables = { 0 };
    put_vector (w, parts->asked, &tables);
    put_vector (w, parts->asked_to, &tables);
    put_vector (w, parts->start, &tables);
    put_vector (w, parts->end, &tables);
    if (parts->root != NULL) {
        put_root (w, parts->root, &tables);
    }
    weir_buf_put_u8 (out, WEIR_EXPORT_FORMAT);
    weir_buf_put_u8 (out, (uint8_t) parts->mode);
    weir_buf_put_u8 (out, parts->root == NULL ? 0 : (uint8_t) WEIR_EXPORT_FLAG_ROOT);
    weir_buf_put (out, parts->database.b, WEIR_ID_BYTES);
    weir_buf_put_u64 (out, w->clock_ms_min);
    weir_buf_put_u64 (out, w->clock_ms_max);
    weir_buf_put_varint (out, w->entries_in);
    weir_buf_put_varint (out, w->ops_in);
    weir_buf_put_varint (out, w->n_chains);
    weir_buf_put_bytes (out, weir_buf_bytes (&w->chain_table));
    weir_buf_put_bytes (out, weir_buf_bytes (&tables));
    weir_buf_put_varint (out, parts->n_runs);
    weir_buf_put_varint (out, parts->n_pending);
    weir_buf_put_varint (out, parts->n_settings);
    weir_buf_fini (&tables);
}

void
weir_export_check (struct weir_bytes blob, uint8_t out[WEIR_EXPORT_CHECK_BYTES])
{
    weir_assert (blob.len >= WEIR_EXPORT_BEGIN);
    struct weir_id id = weir_hash (
        WEIR_DOMAIN_CHECK, weir_bytes (blob.data + WEIR_EXPORT_BEGIN, blob.len - WEIR_EXPORT_BEGIN),
        weir_bytes (NULL, 0));
    memcpy (out, id.b, WEIR_EXPORT_CHECK_BYTES);
}

static void
put_inert (struct writer *w, const struct weir_export_parts *parts)
{
    uint64_t before = 0;
    for (size_t i = 0; i < parts->n_inert; i++) {
        put_number (w, WEIR_EXPORT_INERT, parts->inert[i].entry - before);
        put_number (w, WEIR_EXPORT_INERT, (uint64_t) parts->inert[i].status);
        before = parts->inert[i].entry;
    }
}

static void
put_blob (struct writer *w, const struct weir_export_parts *parts, bool fast, struct weir_buf *out)
{
    size_t packed[WEIR_EXPORT_SECTIONS];
    static const uint8_t none[WEIR_EXPORT_CHECK_BYTES];
    struct weir_buf body = { 0 };
    size_t at = out->len;
    weir_export_pack (w->sections, fast, &body, packed);
    weir_buf_put (out, WEIR_EXPORT_MAGIC, WEIR_EXPORT_MAGIC_BYTES);
    weir_buf_put (out, none, sizeof none);
    put_header (w, parts, out);
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS; i++) {
        weir_buf_put_varint (out, w->sections[i].len);
        weir_buf_put_varint (out, packed[i]);
    }
    weir_buf_put_bytes (out, weir_buf_bytes (&body));
    weir_export_check (weir_bytes (out->data + at, out->len - at),
                       out->data + at + WEIR_EXPORT_MAGIC_BYTES);
    weir_buf_fini (&body);
}

enum weir_status
weir_export_write (const struct weir_export_parts *parts, bool fast, struct weir_buf *out,
                   struct weir_error *e)
{
    struct writer w = {
        .database = parts->database,
        .arena = weir_arena_new (SIZE_MAX),
        .entries = weir_map_new (),
        .raw = weir_map_new (),
        .chains = weir_map_new (),
    };
    enum weir_status status = put_runs (&w, parts->settings, parts->n_settings, e);
    if (status == WEIR_OK) {
        w.counts = true;
        status = put_runs (&w, parts->runs, parts->n_runs, e);
        w.counts = false;
    }
    if (status == WEIR_OK) {
        status = put_runs (&w, parts->pending, parts->n_pending, e);
    }
    if (status == WEIR_OK) {
        weir_buf_put_bytes (&w.sections[WEIR_EXPORT_STATE], parts->state);
        if (parts->root != NULL) {
            weir_buf_put_bytes (&w.sections[WEIR_EXPORT_ROOT_STATE], parts->root->state);
        }
        put_inert (&w, parts);
        put_blob (&w, parts, fast, out);
    }
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS; i++) {
        weir_buf_fini (&w.sections[i]);
    }
    weir_arena_destroy (&w.arena);
    weir_map_destroy (&w.entries, NULL);
    weir_map_destroy (&w.raw, NULL);
    weir_map_destroy (&w.chains, NULL);
    weir_buf_fini (&w.chain_table);
    free (w.ends);
    return status;
}
