/* Checks of what comes over a link, and frames' compression. Everything here looks at bytes of
 * another node: nothing is asserted, every size is bounded first. */

#include "actors/transport/wire.h"

#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#define COMPRESS_BYTES_MIN 128u
#define COMPRESS_LEVEL 1
#define CODEC_PLAIN 0u
#define CODEC_ZSTD 1u

struct transport_codec {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    struct weir_buf buf;
};

enum weir_status
transport_wire_check (struct weir_bytes envelope, struct weir_bytes meta, struct weir_bytes body,
                      struct weir_envelope *e, const struct weir_kind **kind)
{
    if (weir_envelope_get (e, envelope) != WEIR_OK || e->flags != 0 || e->request != 0
        || e->status != 0) {
        return WEIR_BAD_MESSAGE;
    }
    const struct weir_kind *found = weir_kind (e->kind);
    if (found == NULL) {
        return e->kind >= TRANSPORT_WIRE_KIND_MIN && e->kind <= TRANSPORT_WIRE_KIND_MAX
                   ? WEIR_UNKNOWN_KIND
                   : WEIR_NOT_PERMITTED_KIND;
    }
    if ((found->from & WEIR_ROLE_N) == 0) {
        return WEIR_NOT_PERMITTED_KIND;
    }
    if (meta.len > WEIR_MESSAGE_META_BYTES_MAX || body.len > found->body_max) {
        return WEIR_TOO_LARGE;
    }
    *kind = found;
    return WEIR_OK;
}

bool
transport_address_ok (const char *address)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_:[]";
    size_t prefix = strlen ("tcp://");
    size_t len = strlen (address);
    if (len > WEIR_ADDRESS_BYTES_MAX || strncmp (address, "tcp://", prefix) != 0) {
        return false;
    }
    const char *rest = address + prefix;
    const char *colon = strrchr (rest, ':');
    if (colon == NULL || colon == rest || strspn (rest, allowed) != strlen (rest)) {
        return false;
    }
    size_t digits = strlen (colon + 1);
    if (digits == 0 || digits > 5 || strspn (colon + 1, "0123456789") != digits) {
        return false;
    }
    unsigned port = 0;
    for (const char *p = colon + 1; *p != '\0'; p++) {
        port = port * 10u + (unsigned) (*p - '0');
    }
    return port > 0 && port <= 65535u;
}

struct transport_codec *
transport_codec_new (void)
{
    struct transport_codec *self = weir_alloc (sizeof *self);
    self->compress = ZSTD_createCCtx ();
    self->decompress = ZSTD_createDCtx ();
    weir_assert (self->compress != NULL && self->decompress != NULL);
    return self;
}

void
transport_codec_destroy (struct transport_codec **self_p)
{
    struct transport_codec *self = *self_p;
    if (self == NULL) {
        return;
    }
    ZSTD_freeCCtx (self->compress);
    ZSTD_freeDCtx (self->decompress);
    weir_buf_fini (&self->buf);
    free (self);
    *self_p = NULL;
}

struct weir_bytes
transport_frame_pack (struct transport_codec *self, struct weir_bytes body, Weir__Frame *frame)
{
    frame->has_codec = frame->has_bytes = true;
    frame->codec = CODEC_PLAIN;
    frame->bytes = (uint32_t) body.len;
    if (body.len < COMPRESS_BYTES_MIN) {
        return body;
    }
    size_t worth = body.len - body.len / 10;
    weir_buf_clear (&self->buf);
    weir_buf_reserve (&self->buf, ZSTD_compressBound (body.len));
    size_t len = ZSTD_compressCCtx (self->compress, self->buf.data, ZSTD_compressBound (body.len),
                                    body.data, body.len, COMPRESS_LEVEL);
    if (ZSTD_isError (len) || len >= worth) {
        return body;
    }
    self->buf.len = len;
    frame->codec = CODEC_ZSTD;
    return weir_buf_bytes (&self->buf);
}

/* Plain, or compressed as a whole: *body is borrowed from the codec or from `wire`. */
static enum weir_status
unpack (struct transport_codec *self, uint32_t codec, bool has_bytes, uint32_t bytes,
        struct weir_bytes wire, struct weir_bytes *body)
{
    if (codec == CODEC_PLAIN) {
        if (has_bytes && bytes != wire.len) {
            return WEIR_BAD_FRAME;
        }
        *body = wire;
        return WEIR_OK;
    }
    /* The size told in the frame's own header must be the told one: nothing is trusted to be
     * larger than the buffer made for it. */
    if (codec != CODEC_ZSTD || !has_bytes || bytes == 0
        || ZSTD_getFrameContentSize (wire.data, wire.len) != bytes) {
        return WEIR_BAD_FRAME;
    }
    weir_buf_clear (&self->buf);
    weir_buf_reserve (&self->buf, bytes);
    size_t len = ZSTD_decompressDCtx (self->decompress, self->buf.data, bytes, wire.data, wire.len);
    if (ZSTD_isError (len) || len != bytes) {
        return WEIR_BAD_FRAME;
    }
    self->buf.len = len;
    *body = weir_buf_bytes (&self->buf);
    return WEIR_OK;
}

enum weir_status
transport_frame_unpack (struct transport_codec *self, const Weir__Frame *frame,
                        struct weir_bytes wire, struct weir_bytes *body)
{
    if (!frame->has_transfer || !frame->has_offset || frame->bytes > WEIR_FRAME_BYTES_MAX
        || wire.len > WEIR_FRAME_BYTES_MAX
        || (frame->has_digest && frame->digest.len != WEIR_ID_BYTES)) {
        return WEIR_BAD_FRAME;
    }
    return unpack (self, frame->codec, frame->has_bytes, frame->bytes, wire, body);
}

enum weir_status
transport_piece_unpack (struct transport_codec *self, const Weir__BlobPiece *piece,
                        struct weir_bytes wire, struct weir_bytes *body)
{
    if (!piece->has_tag || !piece->has_id || piece->id.len != WEIR_ID_BYTES
        || piece->bytes > WEIR_MANIFEST_BYTES_MAX || wire.len > WEIR_MANIFEST_BYTES_MAX) {
        return WEIR_BAD_FRAME;
    }
    return unpack (self, piece->codec, piece->has_bytes, piece->bytes, wire, body);
}
