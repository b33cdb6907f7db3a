/* Owns the bytes and the JSON of values. It knows nothing of registers or documents;
 * payloads, states, maps and edits stand on it. */

#include "store/crdt/container.h"

#include "store/base/limits.h"

#include <math.h>
#include <string.h>

#define BLOB_VALUE_BYTES (WEIR_ID_BYTES + 8u)

static uint64_t
double_bits (double d)
{
    uint64_t bits;
    memcpy (&bits, &d, sizeof bits);
    return bits;
}

void
weir_value_put (struct weir_buf *out, const struct weir_value *v)
{
    weir_buf_put_u8 (out, v->type);
    if (v->type == WEIR_VALUE_INT) {
        weir_buf_put_zigzag (out, v->number.i);
    } else if (v->type == WEIR_VALUE_DOUBLE) {
        weir_buf_put_u64 (out, double_bits (v->number.d));
    } else if (v->type == WEIR_VALUE_TEXT || v->type == WEIR_VALUE_BYTES) {
        weir_buf_put_blob (out, v->bytes);
    } else if (v->type == WEIR_VALUE_CONTAINER) {
        weir_buf_put_u8 (out, v->container);
    } else if (v->type == WEIR_VALUE_UNIQUE) {
        weir_buf_put_u8 (out, v->container);
        weir_buf_put_bytes (out, v->bytes);
    } else if (v->type == WEIR_VALUE_BLOB) {
        weir_assert (v->bytes.len == BLOB_VALUE_BYTES);
        weir_buf_put_bytes (out, v->bytes);
    }
}

enum weir_status
weir_value_read (struct weir_reader *r, struct weir_value *v)
{
    struct weir_value read = { .type = weir_read_u8 (r) };
    if (read.type > WEIR_VALUE_BLOB) {
        return WEIR_NEEDS_UPGRADE;
    }
    if (read.type == WEIR_VALUE_INT) {
        read.number.i = weir_read_zigzag (r);
    } else if (read.type == WEIR_VALUE_DOUBLE) {
        uint64_t bits = weir_read_u64 (r);
        memcpy (&read.number.d, &bits, sizeof bits);
    } else if (read.type == WEIR_VALUE_TEXT || read.type == WEIR_VALUE_BYTES) {
        read.bytes = weir_read_blob (r, WEIR_PAYLOAD_BYTES_MAX);
    } else if (read.type == WEIR_VALUE_CONTAINER || read.type == WEIR_VALUE_UNIQUE) {
        read.container = weir_read_u8 (r);
    } else if (read.type == WEIR_VALUE_BLOB) {
        read.bytes = weir_read_bytes (r, BLOB_VALUE_BYTES);
    }
    *v = read;
    return WEIR_OK;
}

enum weir_status
weir_value_read_kept (struct weir_reader *r, struct weir_value *v)
{
    enum weir_status status = weir_value_read (r, v);
    if (status == WEIR_OK && v->type == WEIR_VALUE_UNIQUE) {
        v->bytes = weir_read_bytes (r, WEIR_ID_BYTES);
    }
    bool is_container = v->type == WEIR_VALUE_CONTAINER || v->type == WEIR_VALUE_UNIQUE;
    if (status == WEIR_OK && is_container && weir_container_type (v->container) == NULL) {
        return WEIR_BAD_PAYLOAD;
    }
    return status != WEIR_OK || r->bad ? WEIR_BAD_PAYLOAD : weir_value_check (v);
}

static bool
is_plain_text (struct weir_bytes text)
{
    return text.len == 0 || (memchr (text.data, 0, text.len) == NULL && weir_bytes_is_utf8 (text));
}

enum weir_status
weir_value_check (const struct weir_value *v)
{
    if ((v->type == WEIR_VALUE_DOUBLE && !isfinite (v->number.d))
        || (v->type == WEIR_VALUE_TEXT && !is_plain_text (v->bytes))) {
        return WEIR_BAD_PAYLOAD;
    }
    if (v->type == WEIR_VALUE_BLOB
        && (v->bytes.len != BLOB_VALUE_BYTES
            || weir_load_u64 (v->bytes.data + WEIR_ID_BYTES) > WEIR_BLOB_BYTES_MAX)) {
        return WEIR_BAD_PAYLOAD;
    }
    return WEIR_OK;
}

struct weir_value
weir_value_blob (const struct weir_id *id, uint64_t bytes, struct weir_buf *scratch)
{
    weir_buf_clear (scratch);
    weir_buf_put_bytes (scratch, weir_id_bytes (id));
    weir_buf_put_u64 (scratch, bytes);
    return (struct weir_value){ .type = WEIR_VALUE_BLOB, .bytes = weir_buf_bytes (scratch) };
}

bool
weir_value_get_blob (const struct weir_value *v, struct weir_id *id, uint64_t *bytes)
{
    if (v->type != WEIR_VALUE_BLOB || v->bytes.len != BLOB_VALUE_BYTES) {
        return false;
    }
    memcpy (id->b, v->bytes.data, WEIR_ID_BYTES);
    *bytes = weir_load_u64 (v->bytes.data + WEIR_ID_BYTES);
    return true;
}

bool
weir_value_is_key (struct weir_bytes key)
{
    return key.len <= WEIR_KEY_BYTES_MAX && is_plain_text (key);
}

bool
weir_value_equal (const struct weir_value *a, const struct weir_value *b)
{
    if (a->type != b->type) {
        return false;
    }
    if (a->type == WEIR_VALUE_INT) {
        return a->number.i == b->number.i;
    }
    if (a->type == WEIR_VALUE_DOUBLE) {
        return double_bits (a->number.d) == double_bits (b->number.d);
    }
    if (a->type == WEIR_VALUE_TEXT || a->type == WEIR_VALUE_BYTES || a->type == WEIR_VALUE_BLOB) {
        return weir_bytes_equal (a->bytes, b->bytes);
    }
    if (a->type == WEIR_VALUE_UNIQUE) {
        return a->container == b->container && weir_bytes_equal (a->bytes, b->bytes);
    }
    return a->type != WEIR_VALUE_CONTAINER || a->container == b->container;
}

static json_t *
bytes_json (struct weir_bytes bytes)
{
    struct weir_buf text = { 0 };
    weir_base32_put (&text, bytes);
    json_t *json = json_object ();
    json_object_set_new (json, "$bytes", json_stringn ((const char *) text.data, text.len));
    weir_buf_fini (&text);
    return json;
}

static json_t *
blob_json (const struct weir_value *v)
{
    struct weir_id id = weir_id_zero;
    uint64_t bytes = 0;
    bool is_blob = weir_value_get_blob (v, &id, &bytes);
    weir_assert (is_blob);
    return json_pack ("{s:s, s:I}", "$blob", weir_id_text (&id).s, "bytes", (json_int_t) bytes);
}

json_t *
weir_value_json (const struct weir_value *v)
{
    switch (v->type) {
    case WEIR_VALUE_NULL:
        return json_null ();
    case WEIR_VALUE_FALSE:
        return json_false ();
    case WEIR_VALUE_TRUE:
        return json_true ();
    case WEIR_VALUE_INT:
        return json_integer (v->number.i);
    case WEIR_VALUE_DOUBLE:
        return json_real (v->number.d);
    case WEIR_VALUE_TEXT:
        return v->bytes.len == 0
                   ? json_string ("")
                   : json_stringn_nocheck ((const char *) v->bytes.data, v->bytes.len);
    case WEIR_VALUE_BLOB:
        return blob_json (v);
    default:
        weir_assert (v->type == WEIR_VALUE_BYTES);
        return bytes_json (v->bytes);
    }
}

/* Is it {"$bytes": base32}, written as we would? Then *v is that. */
static bool
bytes_from_json (struct weir_value *v, const json_t *json, struct weir_buf *scratch)
{
    const json_t *text = json_object_size (json) == 1 ? json_object_get (json, "$bytes") : NULL;
    if (!json_is_string (text)) {
        return false;
    }
    struct weir_bytes base32 = weir_bytes (json_string_value (text), json_string_length (text));
    weir_buf_clear (scratch);
    if (weir_base32_get (scratch, base32) != WEIR_OK) {
        return false;
    }
    struct weir_buf again = { 0 };
    weir_base32_put (&again, weir_buf_bytes (scratch));
    bool same = weir_bytes_equal (weir_buf_bytes (&again), base32);
    weir_buf_fini (&again);
    if (!same) {
        return false;
    }
    *v = (struct weir_value){ .type = WEIR_VALUE_BYTES, .bytes = weir_buf_bytes (scratch) };
    return true;
}

/* Is it {"$blob": id, "bytes": n}, written as we would? Then *v is that. */
static bool
blob_from_json (struct weir_value *v, const json_t *json, struct weir_buf *scratch)
{
    const json_t *text = json_object_get (json, "$blob");
    const json_t *bytes = json_object_get (json, "bytes");
    struct weir_id id;
    if (json_object_size (json) != 2 || !json_is_string (text) || !json_is_integer (bytes)
        || json_integer_value (bytes) < 0
        || (uint64_t) json_integer_value (bytes) > WEIR_BLOB_BYTES_MAX
        || weir_id_parse (&id, json_string_value (text)) != WEIR_OK
        || strcmp (weir_id_text (&id).s, json_string_value (text)) != 0) {
        return false;
    }
    *v = weir_value_blob (&id, (uint64_t) json_integer_value (bytes), scratch);
    return true;
}

enum weir_status
weir_value_from_json (struct weir_value *v, const json_t *json, struct weir_buf *scratch,
                      bool *is_scalar, struct weir_error *e)
{
    struct weir_value read = { .type = WEIR_VALUE_NULL };
    switch (json_typeof (json)) {
    case JSON_NULL:
        break;
    case JSON_FALSE:
        read.type = WEIR_VALUE_FALSE;
        break;
    case JSON_TRUE:
        read.type = WEIR_VALUE_TRUE;
        break;
    case JSON_INTEGER:
        read.type = WEIR_VALUE_INT;
        read.number.i = json_integer_value (json);
        break;
    case JSON_REAL:
        read.type = WEIR_VALUE_DOUBLE;
        read.number.d = json_real_value (json);
        break;
    case JSON_STRING:
        read.type = WEIR_VALUE_TEXT;
        read.bytes = weir_bytes (json_string_value (json), json_string_length (json));
        if (!is_plain_text (read.bytes)) {
            return weir_error_set (e, WEIR_INVALID_JSON, NULL, "a text must not hold NUL");
        }
        break;
    case JSON_ARRAY:
        *is_scalar = false;
        return WEIR_OK;
    case JSON_OBJECT:
    default:
        *is_scalar = bytes_from_json (v, json, scratch) || blob_from_json (v, json, scratch);
        return WEIR_OK;
    }
    *v = read;
    *is_scalar = true;
    return WEIR_OK;
}
