/* The only door between bytes and protobuf messages: packing, capped unpacking, and the checks
 * that every `bytes` field needs. It knows kinds only through their descriptors. Everything that
 * sends or receives a message comes through here. */

#include "protos/codec.h"

#include <string.h>

void
weir_meta_put (struct weir_buf *out, const ProtobufCMessage *meta)
{
    if (meta == NULL) {
        return;
    }
    size_t len = protobuf_c_message_get_packed_size (meta);
    weir_buf_reserve (out, len);
    if (len > 0) {
        out->len += protobuf_c_message_pack (meta, out->data + out->len);
    }
}

/* What one unpacking may take: the arena's own cap is the caller's, for all it holds. */
struct purse {
    struct weir_arena *arena;
    size_t left;
    bool empty;
};

static void *
purse_alloc (void *data, size_t size)
{
    struct purse *purse = data;
    void *p = NULL;
    if (size <= purse->left) {
        p = weir_arena_alloc (purse->arena, size);
    }
    if (p == NULL) {
        purse->empty = true;
        return NULL;
    }
    purse->left -= size;
    return p;
}

static void
purse_free (void *data, void *p)
{
    (void) data;
    (void) p; /* the arena frees all at once */
}

enum weir_status
weir_meta_unpack (ProtobufCMessage **out, struct weir_arena *arena,
                  const ProtobufCMessageDescriptor *type, struct weir_bytes bytes)
{
    static const uint8_t nothing[1];
    if (bytes.len > WEIR_MESSAGE_META_BYTES_MAX) {
        return WEIR_TOO_LARGE;
    }
    struct purse purse = { arena, WEIR_UNPACK_BYTES_MAX, false };
    ProtobufCAllocator allocator = { purse_alloc, purse_free, &purse };
    ProtobufCMessage *message = protobuf_c_message_unpack (
        type, &allocator, bytes.len, bytes.data == NULL ? nothing : bytes.data);
    if (message == NULL) {
        return purse.empty ? WEIR_TOO_LARGE : WEIR_BAD_MESSAGE;
    }
    *out = message;
    return WEIR_OK;
}

enum weir_status
weir_meta_get (ProtobufCMessage **out, struct weir_arena *arena, const struct weir_kind *kind,
               bool answer, struct weir_bytes bytes)
{
    const ProtobufCMessageDescriptor *type = answer ? kind->answer : kind->meta;
    if (type != NULL) {
        return weir_meta_unpack (out, arena, type, bytes);
    }
    if (bytes.len > WEIR_MESSAGE_META_BYTES_MAX) {
        return WEIR_TOO_LARGE;
    }
    *out = NULL; /* what a newer sender says here is skipped, as unknown fields are */
    return WEIR_OK;
}

struct weir_bytes
weir_field (ProtobufCBinaryData data)
{
    return weir_bytes (data.data, data.len);
}

ProtobufCBinaryData
weir_field_of (struct weir_bytes bytes)
{
    /* protobuf-c has no const here; packing only reads. */
    union {
        const uint8_t *in;
        uint8_t *out;
    } cast = { .in = bytes.data };
    return (ProtobufCBinaryData){ .len = bytes.len, .data = cast.out };
}

ProtobufCBinaryData
weir_field_id (const struct weir_id *id)
{
    return weir_field_of (weir_id_bytes (id));
}

ProtobufCBinaryData
weir_field_str (const char *text)
{
    return weir_field_of (weir_bytes_str (text));
}

enum weir_status
weir_field_get_id (struct weir_id *id, bool has, ProtobufCBinaryData data)
{
    if (!has || data.len != WEIR_ID_BYTES) {
        return WEIR_BAD_MESSAGE;
    }
    memcpy (id->b, data.data, WEIR_ID_BYTES);
    return WEIR_OK;
}

enum weir_status
weir_field_get_text (char *out, size_t max, bool has, ProtobufCBinaryData data)
{
    if (!has) {
        out[0] = '\0';
        return WEIR_OK;
    }
    struct weir_bytes text = weir_field (data);
    if (text.len > max || !weir_bytes_is_utf8 (text)
        || (text.len > 0 && memchr (text.data, '\0', text.len) != NULL)) {
        return WEIR_BAD_MESSAGE;
    }
    if (text.len > 0) {
        memcpy (out, text.data, text.len);
    }
    out[text.len] = '\0';
    return WEIR_OK;
}

void
weir_problem_put (struct weir_buf *out, enum weir_status status, const struct weir_error *e)
{
    Weir__Problem problem = WEIR__PROBLEM__INIT;
    problem.has_status = 1;
    problem.status = (uint32_t) status;
    if (e != NULL) {
        problem.has_what = e->what[0] != '\0';
        problem.what = weir_field_str (e->what);
        problem.has_hint = e->hint[0] != '\0';
        problem.hint = weir_field_str (e->hint);
    }
    weir_meta_put (out, &problem.base);
}

void
weir_problem_get (struct weir_error *e, enum weir_status status, struct weir_bytes meta)
{
    struct weir_arena *arena = weir_arena_new (64u << 10);
    ProtobufCMessage *message = NULL;
    struct weir_error found = { .status = status };
    if (weir_meta_unpack (&message, arena, &weir__problem__descriptor, meta) == WEIR_OK) {
        const Weir__Problem *problem = (const Weir__Problem *) message;
        if (weir_field_get_text (found.what, sizeof found.what - 1, problem->has_what,
                                 problem->what)
            != WEIR_OK) {
            found.what[0] = '\0';
        }
        if (weir_field_get_text (found.hint, sizeof found.hint - 1, problem->has_hint,
                                 problem->hint)
            != WEIR_OK) {
            found.hint[0] = '\0';
        }
    }
    /* Once more through the one place that takes control characters out. */
    (void) weir_error_set (e, status, found.hint[0] == '\0' ? NULL : found.hint, "%s",
                           found.what[0] == '\0' ? weir_status_code (status) : found.what);
    weir_arena_destroy (&arena);
}
