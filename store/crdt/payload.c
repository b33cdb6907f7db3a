/* Owns the bytes of data payloads: decodes a whole one before anything is applied, and shows it
 * to people. It never looks at a document. doc.c applies what this decoded, edit.c writes with
 * the same parts. */

#include "store/crdt/payload.h"

#include <stdlib.h>
#include <string.h>

#define ROW_BYTES_MIN 2u /* head, empty name */
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

static enum weir_status
row_decode (struct weir_payload *p, struct weir_reader *r, struct weir_row_of_payload *row)
{
    uint8_t head = weir_read_u8 (r);
    *row = (struct weir_row_of_payload){ .kind = head & 3u, .depth = 1 };
    row->type = weir_container_type ((uint8_t) (head >> 2));
    if (r->bad) {
        return WEIR_BAD_PAYLOAD;
    }
    if (row->kind > WEIR_ROW_PATH || row->type == NULL) {
        return WEIR_NEEDS_UPGRADE;
    }
    if (row->kind == WEIR_ROW_PATH) {
        uint64_t parent = weir_read_varint (r);
        if (r->bad || parent >= p->n_rows || p->rows[parent].type->children == NULL) {
            return WEIR_BAD_PAYLOAD;
        }
        row->parent = (uint32_t) parent;
        row->depth = (uint16_t) (p->rows[parent].depth + 1u);
    }
    row->key = weir_read_blob (r, WEIR_KEY_BYTES_MAX);
    if (r->bad || row->depth > WEIR_CONTAINER_DEPTH_MAX || !weir_value_is_key (row->key)) {
        return WEIR_BAD_PAYLOAD;
    }
    /* Reserved names are for meanings to come. */
    bool reserved = row->kind == WEIR_ROW_ROOT && row->key.len > 0 && row->key.data[0] == '_';
    return reserved ? WEIR_NEEDS_UPGRADE : WEIR_OK;
}

static enum weir_status
rows_decode (struct weir_payload *p, struct weir_reader *r)
{
    uint64_t count = weir_read_varint (r);
    if (r->bad || count > WEIR_CONTAINERS_PER_PAYLOAD_MAX
        || count > weir_reader_left (r) / ROW_BYTES_MIN) {
        return WEIR_BAD_PAYLOAD;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct weir_row_of_payload row;
        enum weir_status status = row_decode (p, r, &row);
        if (status != WEIR_OK) {
            return status;
        }
        weir_grow (&p->rows, &p->rows_cap, p->n_rows + 1, sizeof *p->rows);
        p->rows[p->n_rows++] = row;
    }
    return WEIR_OK;
}

static enum weir_status
ops_decode (struct weir_payload *p, struct weir_reader *r)
{
    while (weir_reader_left (r) > 0) {
        uint64_t head = weir_read_varint (r);
        if (r->bad || head >> 4 >= p->n_rows) {
            return WEIR_BAD_PAYLOAD;
        }
        struct weir_op op = { .row = (uint32_t) (head >> 4), .code = head & 15u };
        enum weir_status status = p->rows[op.row].type->decode (r, &op);
        if (r->bad) {
            return WEIR_BAD_PAYLOAD;
        }
        if (status != WEIR_OK) {
            return status;
        }
        weir_grow (&p->ops, &p->ops_cap, p->n_ops + 1, sizeof *p->ops);
        p->ops[p->n_ops++] = op;
        p->atoms += op.atoms;
    }
    return p->atoms <= WEIR_ENTRY_OPS_MAX ? WEIR_OK : WEIR_BAD_PAYLOAD;
}

enum weir_status
weir_payload_decode (struct weir_payload *p, struct weir_bytes bytes)
{
    struct weir_reader r = weir_reader (bytes);
    p->n_rows = 0;
    p->n_ops = 0;
    p->atoms = 0;
    uint8_t codec = weir_read_u8 (&r);
    if (bytes.len == 0 || bytes.len > WEIR_PAYLOAD_BYTES_MAX) {
        return WEIR_BAD_PAYLOAD;
    }
    if (codec != WEIR_CODEC_DOC) {
        return WEIR_NEEDS_UPGRADE;
    }
    p->message = weir_read_blob (&r, WEIR_MESSAGE_TEXT_BYTES_MAX);
    struct weir_value message = { .type = WEIR_VALUE_TEXT, .bytes = p->message };
    if (r.bad || weir_value_check (&message) != WEIR_OK) {
        return WEIR_BAD_PAYLOAD;
    }
    enum weir_status status = rows_decode (p, &r);
    return status == WEIR_OK ? ops_decode (p, &r) : status;
}

void
weir_payload_put_row (struct weir_buf *out, uint8_t kind, const struct weir_container_type *type,
                      uint32_t parent, struct weir_bytes key)
{
    weir_buf_put_u8 (out, (uint8_t) ((unsigned) type->number << 2 | kind));
    if (kind == WEIR_ROW_PATH) {
        weir_buf_put_varint (out, parent);
    }
    weir_buf_put_blob (out, key);
}

void
weir_payload_put_op (struct weir_buf *out, const struct weir_container_type *type,
                     const struct weir_op *op)
{
    weir_buf_put_varint (out, (uint64_t) op->row << 4 | op->code);
    type->encode (out, op);
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

static void
op_path_put (struct weir_buf *out, const struct weir_payload *p, const struct weir_op *op)
{
    uint32_t way[WEIR_CONTAINER_DEPTH_MAX];
    size_t n = 0;
    uint32_t row = op->row;
    way[n++] = row;
    while (p->rows[row].kind == WEIR_ROW_PATH) {
        row = p->rows[row].parent;
        way[n++] = row;
    }
    while (n > 0) {
        path_part_put (out, p->rows[way[--n]].key);
    }
    path_part_put (out, op->key);
}

json_t *
weir_payload_json (const struct weir_payload *p)
{
    json_t *out = json_object ();
    json_t *ops = json_array ();
    struct weir_value message = { .type = WEIR_VALUE_TEXT, .bytes = p->message };
    struct weir_buf path = { 0 };
    size_t spent = 0;
    size_t i = 0;
    for (; i < p->n_ops && spent < JSON_BUDGET_BYTES; i++) {
        const struct weir_op *op = &p->ops[i];
        weir_buf_clear (&path);
        op_path_put (&path, p, op);
        spent += path.len + op->value.bytes.len + JSON_OP_BYTES;
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
