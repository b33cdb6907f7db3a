/* Owns the bytes of data payloads: decodes a whole one before anything is applied, and shows it
 * to people. It never looks at a document. doc.c applies what this decoded, edit.c writes with
 * the same parts. */

#include "store/crdt/payload.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define ROW_BYTES_MIN 2u /* head, empty name */
#define ROWS_COMPARED_MAX 8u
#define ID_TEXT_SHOWN 12
/* What weir_payload_json spends on paths, values and rows before it says how much it left out:
 * a few bytes of payload can name very long paths. */
#define JSON_BUDGET_BYTES (1u << 20)
#define JSON_OP_BYTES 64u

void
weir_payload_fini (struct weir_payload *p)
{
    free (p->rows);
    free (p->ops);
    *p = (struct weir_payload){ 0 };
}

/* ---- ids and positions ---- */

void
weir_op_put_at (struct weir_op_writer *w, uint32_t at)
{
    weir_buf_put_zigzag (w->out, (int64_t) at - (int64_t) w->cursor);
    w->cursor = at;
}

uint32_t
weir_op_read_at (struct weir_op_reader *r)
{
    int64_t by = weir_read_zigzag (&r->r);
    int64_t at =
        by >= -(int64_t) UINT32_MAX && by <= (int64_t) UINT32_MAX ? (int64_t) r->cursor + by : -1;
    if (at < 0 || at > (int64_t) UINT32_MAX) {
        r->r.bad = true;
        at = 0;
    }
    r->cursor = (uint32_t) at;
    return r->cursor;
}

void
weir_op_put_ref (struct weir_op_writer *w, const struct weir_op_ref *ref)
{
    if (ref->row == WEIR_OP_REF_NONE) {
        weir_buf_put_varint (w->out, 0);
    } else {
        weir_buf_put_varint (w->out, (uint64_t) ref->row + 1);
        weir_buf_put_varint (w->out, ref->offset);
    }
}

struct weir_op_ref
weir_op_read_ref (struct weir_op_reader *r)
{
    struct weir_op_ref ref = { .row = WEIR_OP_REF_NONE };
    uint64_t row = weir_read_varint (&r->r);
    if (row == 0) {
        return ref;
    }
    uint64_t offset = weir_read_varint (&r->r);
    if (row > r->n_ids || offset >= WEIR_ENTRY_OPS_MAX) {
        r->r.bad = true;
        return ref;
    }
    return (struct weir_op_ref){ .row = (uint32_t) (row - 1), .offset = (uint32_t) offset };
}

static void
ref_resolve (const struct weir_payload *p, const struct weir_op_ref *ref,
             const struct weir_id *entry, struct weir_op_id *id)
{
    id->offset = ref->offset;
    if (ref->row == 0) {
        id->entry = *entry;
    } else if (ref->row == WEIR_OP_REF_NONE) {
        memset (&id->entry, 0xff, sizeof id->entry);
    } else {
        memcpy (id->entry.b, p->ids.data + (ref->row - 1u) * WEIR_ID_BYTES, WEIR_ID_BYTES);
    }
}

void
weir_payload_resolve (const struct weir_payload *p, struct weir_op *op, const struct weir_id *entry)
{
    ref_resolve (p, &op->target_ref, entry, &op->target);
    ref_resolve (p, &op->parent_ref, entry, &op->parent);
}

/* ---- decoding ---- */

static uint32_t
ids_count (const struct weir_payload *p)
{
    return (uint32_t) (p->ids.len / WEIR_ID_BYTES) + 1;
}

static enum weir_status
ids_decode (struct weir_payload *p, struct weir_reader *r)
{
    uint64_t count = weir_read_varint (r);
    if (r->bad || count > weir_reader_left (r) / WEIR_ID_BYTES) {
        return WEIR_BAD_PAYLOAD;
    }
    p->ids = weir_read_bytes (r, (size_t) count * WEIR_ID_BYTES);
    if (count == 0) {
        return WEIR_OK;
    }
    struct weir_map *seen = weir_map_new ();
    struct weir_id none;
    memset (&none, 0xff, sizeof none);
    (void) weir_map_put (seen, weir_id_bytes (&weir_id_zero), p); /* what is not sealed yet */
    (void) weir_map_put (seen, weir_id_bytes (&none), p);         /* no parent */
    bool bad = false;
    for (uint64_t i = 0; i < count; i++) {
        struct weir_bytes id = weir_bytes (p->ids.data + i * WEIR_ID_BYTES, WEIR_ID_BYTES);
        bad = weir_map_put (seen, id, p) != NULL || bad;
    }
    weir_map_destroy (&seen, NULL);
    return bad ? WEIR_BAD_PAYLOAD : WEIR_OK;
}

/* What the row hangs in. */
static enum weir_status
row_decode_place (struct weir_payload *p, struct weir_op_reader *r, struct weir_payload_row *row)
{
    if (row->kind == WEIR_ROW_PATH) {
        uint64_t parent = weir_read_varint (&r->r);
        if (r->r.bad || parent >= p->n_rows || p->rows[parent].type->children == NULL) {
            return WEIR_BAD_PAYLOAD;
        }
        row->parent = (uint32_t) parent;
        row->depth = (uint16_t) (p->rows[parent].depth + 1u);
        row->first = p->rows[parent].first;
    } else if (row->kind == WEIR_ROW_UNIQUE) {
        row->made_ref = weir_op_read_ref (r);
        row->first = row->made_ref.row == 0 ? row->made_ref.offset + 1 : 0;
        return r->r.bad || row->made_ref.row == WEIR_OP_REF_NONE ? WEIR_BAD_PAYLOAD : WEIR_OK;
    }
    row->key = weir_read_blob (&r->r, WEIR_KEY_BYTES_MAX);
    if (r->r.bad || row->depth > WEIR_CONTAINER_DEPTH_MAX || !weir_value_is_key (row->key)) {
        return WEIR_BAD_PAYLOAD;
    }
    /* Reserved names are for meanings to come. */
    bool reserved = row->kind == WEIR_ROW_ROOT && row->key.len > 0 && row->key.data[0] == '_';
    return reserved ? WEIR_NEEDS_UPGRADE : WEIR_OK;
}

static enum weir_status
row_decode (struct weir_payload *p, struct weir_op_reader *r, struct weir_payload_row *row)
{
    uint8_t head = weir_read_u8 (&r->r);
    *row = (struct weir_payload_row){ .kind = head & 3u, .depth = 1 };
    row->type = weir_container_type ((uint8_t) (head >> 2));
    if (r->r.bad) {
        return WEIR_BAD_PAYLOAD;
    }
    if (row->kind > WEIR_ROW_UNIQUE || row->type == NULL) {
        return WEIR_NEEDS_UPGRADE;
    }
    return row_decode_place (p, r, row);
}

static bool
rows_equal (const struct weir_payload_row *a, const struct weir_payload_row *b)
{
    return a->kind == b->kind && a->type == b->type && a->parent == b->parent
           && a->made_ref.row == b->made_ref.row && a->made_ref.offset == b->made_ref.offset
           && weir_bytes_equal (a->key, b->key);
}

/* Two rows for one container would be checked as two. */
static bool
rows_are_distinct (const struct weir_payload *p)
{
    bool twice = false;
    for (size_t i = 1; p->n_rows <= ROWS_COMPARED_MAX && i < p->n_rows; i++) {
        for (size_t k = 0; k < i; k++) {
            twice = twice || rows_equal (&p->rows[i], &p->rows[k]);
        }
    }
    if (p->n_rows <= ROWS_COMPARED_MAX) {
        return !twice;
    }
    struct weir_map *seen = weir_map_new ();
    struct weir_buf name = { 0 };
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct weir_payload_row *row = &p->rows[i];
        weir_buf_clear (&name);
        weir_buf_put_u8 (&name, row->kind);
        weir_buf_put_u8 (&name, row->type->number);
        weir_buf_put_u32 (&name, row->parent);
        weir_buf_put_u32 (&name, row->made_ref.row);
        weir_buf_put_u32 (&name, row->made_ref.offset);
        weir_buf_put_bytes (&name, row->key);
        twice = weir_map_put (seen, weir_buf_bytes (&name), seen) != NULL || twice;
    }
    weir_map_destroy (&seen, NULL);
    weir_buf_fini (&name);
    return !twice;
}

static enum weir_status
rows_decode (struct weir_payload *p, struct weir_op_reader *r)
{
    uint64_t count = weir_read_varint (&r->r);
    if (r->r.bad || count > WEIR_CONTAINERS_PER_PAYLOAD_MAX
        || count > weir_reader_left (&r->r) / ROW_BYTES_MIN) {
        return WEIR_BAD_PAYLOAD;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct weir_payload_row row;
        enum weir_status status = row_decode (p, r, &row);
        if (status != WEIR_OK) {
            return status;
        }
        weir_grow (&p->rows, &p->rows_cap, p->n_rows + 1, sizeof *p->rows);
        p->rows[p->n_rows++] = row;
    }
    return rows_are_distinct (p) ? WEIR_OK : WEIR_BAD_PAYLOAD;
}

static enum weir_status
ops_decode (struct weir_payload *p, struct weir_op_reader *r)
{
    while (weir_reader_left (&r->r) > 0) {
        uint64_t head = weir_read_varint (&r->r);
        if (r->r.bad || head >> 4 >= p->n_rows) {
            return WEIR_BAD_PAYLOAD;
        }
        weir_grow (&p->ops, &p->ops_cap, p->n_ops + 1, sizeof *p->ops);
        struct weir_op *op = &p->ops[p->n_ops];
        struct weir_payload_row *row = &p->rows[head >> 4];
        *op = (struct weir_op){ .row = (uint32_t) (head >> 4), .code = head & 15u };
        r->cursor = row->cursor;
        enum weir_status status = row->type->decode (r, op);
        row->cursor = r->cursor;
        if (r->r.bad || r->text.bad) {
            return WEIR_BAD_PAYLOAD;
        }
        if (status != WEIR_OK) {
            return status;
        }
        if (p->atoms < row->first) {
            return WEIR_BAD_PAYLOAD;
        }
        p->n_ops++;
        p->has_blobs = p->has_blobs || weir_op_has_blobs (row->type, op);
        p->atoms += op->atoms;
        if (p->atoms > WEIR_ENTRY_OPS_MAX) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    return weir_reader_done (&r->text) ? WEIR_OK : WEIR_BAD_PAYLOAD;
}

bool
weir_op_has_blobs (const struct weir_container_type *type, const struct weir_op *op)
{
    if (op->value.type == WEIR_VALUE_BLOB) {
        return true;
    }
    bool has_values =
        (type->number == WEIR_CONTAINER_LIST && op->code == WEIR_LIST_INSERT)
        || (type->number == WEIR_CONTAINER_MOVABLE && op->code == WEIR_MOVABLE_INSERT);
    if (!has_values || op->bytes.len == 0
        || memchr (op->bytes.data, WEIR_VALUE_BLOB, op->bytes.len) == NULL) {
        return false;
    }
    struct weir_reader r = weir_reader (op->bytes);
    struct weir_value value = { .type = WEIR_VALUE_NULL };
    while (weir_reader_left (&r) > 0 && value.type != WEIR_VALUE_BLOB
           && weir_value_read (&r, &value) == WEIR_OK && !r.bad) {
    }
    return value.type == WEIR_VALUE_BLOB;
}

enum weir_status
weir_payload_decode (struct weir_payload *p, struct weir_bytes bytes)
{
    struct weir_op_reader r = { .r = weir_reader (bytes) };
    p->n_rows = 0;
    p->n_ops = 0;
    p->atoms = 0;
    p->has_blobs = false;
    uint8_t codec = weir_read_u8 (&r.r);
    if (bytes.len == 0 || bytes.len > WEIR_PAYLOAD_BYTES_MAX) {
        return WEIR_BAD_PAYLOAD;
    }
    if (!weir_codec_is_doc (codec)) {
        return WEIR_NEEDS_UPGRADE;
    }
    p->message = weir_read_blob (&r.r, WEIR_MESSAGE_TEXT_BYTES_MAX);
    struct weir_value message = { .type = WEIR_VALUE_TEXT, .bytes = p->message };
    if (r.r.bad || weir_value_check (&message) != WEIR_OK || ids_decode (p, &r.r) != WEIR_OK) {
        return WEIR_BAD_PAYLOAD;
    }
    r.n_ids = ids_count (p);
    enum weir_status status = rows_decode (p, &r);
    if (status != WEIR_OK) {
        return status;
    }
    r.text = weir_reader (weir_read_blob (&r.r, WEIR_PAYLOAD_BYTES_MAX));
    status = r.r.bad ? WEIR_BAD_PAYLOAD : ops_decode (p, &r);
    /* Blobs under the codec that has none: inert to a weir that knows no blobs, so to all. */
    return status == WEIR_OK && p->has_blobs && codec != WEIR_CODEC_BLOBS ? WEIR_BAD_PAYLOAD
                                                                          : status;
}

/* ---- encoding ---- */

void
weir_payload_begin (struct weir_buf *out, struct weir_bytes message, const struct weir_id *ids,
                    size_t n_ids, size_t n_rows)
{
    weir_buf_put_u8 (out, WEIR_CODEC_DOC);
    weir_buf_put_blob (out, message);
    weir_buf_put_varint (out, n_ids);
    for (size_t i = 0; i < n_ids; i++) {
        weir_buf_put (out, ids[i].b, WEIR_ID_BYTES);
    }
    weir_buf_put_varint (out, n_rows);
}

void
weir_payload_name_codec (struct weir_buf *payload, size_t start, bool has_blobs)
{
    payload->data[start] = has_blobs ? WEIR_CODEC_BLOBS : WEIR_CODEC_DOC;
}

void
weir_payload_put_row (struct weir_buf *out, const struct weir_payload_row *row)
{
    struct weir_op_writer w = { .out = out };
    weir_buf_put_u8 (out, (uint8_t) ((unsigned) row->type->number << 2 | row->kind));
    if (row->kind == WEIR_ROW_UNIQUE) {
        weir_op_put_ref (&w, &row->made_ref);
        return;
    }
    if (row->kind == WEIR_ROW_PATH) {
        weir_buf_put_varint (out, row->parent);
    }
    weir_buf_put_blob (out, row->key);
}

void
weir_payload_put_op (struct weir_op_writer *w, const struct weir_container_type *type,
                     const struct weir_op *op)
{
    weir_buf_put_varint (w->out, (uint64_t) op->row << 4 | op->code);
    type->encode (w, op);
}

/* ---- for people ---- */

static void
path_part_put (struct weir_buf *out, struct weir_bytes part)
{
    weir_buf_put_u8 (out, '/');
    for (size_t i = 0; i < part.len; i++) {
        if (part.data[i] == '~') {
            weir_buf_put (out, "~0", 2);
        } else if (part.data[i] == '/') {
            weir_buf_put (out, "~1", 2);
        } else {
            weir_buf_put_u8 (out, part.data[i]);
        }
    }
}

/* A path begins at a root or, of what is in a unique child, with the op that made it. */
static void
op_path_put (struct weir_buf *out, const struct weir_payload *p, const struct weir_op *op)
{
    uint32_t way[WEIR_CONTAINER_DEPTH_MAX];
    size_t n = 0;
    uint32_t row = op->row;
    while (p->rows[row].kind == WEIR_ROW_PATH) {
        way[n++] = row;
        row = p->rows[row].parent;
    }
    if (p->rows[row].kind == WEIR_ROW_UNIQUE) {
        struct weir_op_id made;
        ref_resolve (p, &p->rows[row].made_ref, &weir_id_zero, &made);
        weir_buf_printf (out, "@%.*s:%u", p->rows[row].made_ref.row == 0 ? 0 : ID_TEXT_SHOWN,
                         weir_id_text (&made.entry).s, made.offset);
    } else {
        path_part_put (out, p->rows[row].key);
    }
    while (n > 0) {
        path_part_put (out, p->rows[way[--n]].key);
    }
    if (p->rows[op->row].type->number == WEIR_CONTAINER_MAP) {
        path_part_put (out, op->key);
    }
}

json_t *
weir_payload_json (struct weir_payload *p)
{
    json_t *out = json_object ();
    json_t *ops = json_array ();
    struct weir_value message = { .type = WEIR_VALUE_TEXT, .bytes = p->message };
    struct weir_buf path = { 0 };
    size_t spent = 0;
    size_t i = 0;
    for (; i < p->n_ops && spent < JSON_BUDGET_BYTES; i++) {
        struct weir_op *op = &p->ops[i];
        weir_buf_clear (&path);
        op_path_put (&path, p, op);
        weir_payload_resolve (p, op, &weir_id_zero);
        spent += path.len + op->value.bytes.len + op->bytes.len + JSON_OP_BYTES;
        json_t *json = json_object ();
        json_object_set_new (json, "path",
                             json_stringn_nocheck ((const char *) path.data, path.len));
        p->rows[op->row].type->describe (op, json);
        json_array_append_new (ops, json);
    }
    json_object_set_new (out, "message", weir_value_json (&message));
    json_object_set_new (out, "ops", ops);
    if (i < p->n_ops) {
        json_object_set_new (out, "omitted", json_integer ((json_int_t) (p->n_ops - i)));
    }
    weir_buf_fini (&path);
    return out;
}
