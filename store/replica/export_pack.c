/* The sections of exports under zstd. What zstd does not make smaller stays as it is, so that
 * small updates pay nothing. Unpacking allocates as bytes come out, never by what a length
 * promises. */

#include "store/replica/export_parts.h"

#include <stdlib.h>
#include <zstd.h>

/* Shorter sections never get smaller. */
#define PACK_BYTES_MIN 48u
/* What a frame may make us keep while it is unpacked: 8 MiB. */
#define WINDOW_LOG_MAX 23
#define LEVEL_FAST 1
/* Of automerge-paper (217 KB in sections) level 3 makes 74.8 KB in 6 ms, 9 makes 68.1 in 17, 12
 * 66.7 in 36, 19 64.9 in 130. */
#define LEVEL_BEST 12
#define LEVEL_BEST_BYTES_MAX (512u << 10)
#define LEVEL_GOOD 9
#define LEVEL_GOOD_BYTES_MAX (16u << 20)
#define LEVEL_LARGE 3
#define UNPACK_FIRST_FACTOR 8u
#define UNPACK_FIRST_BYTES 4096u

static int
level_for (const struct weir_buf sections[WEIR_EXPORT_SECTIONS], bool fast)
{
    size_t total = 0;
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS; i++) {
        total += sections[i].len;
    }
    if (fast) {
        return LEVEL_FAST;
    }
    if (total <= LEVEL_BEST_BYTES_MAX) {
        return LEVEL_BEST;
    }
    return total <= LEVEL_GOOD_BYTES_MAX ? LEVEL_GOOD : LEVEL_LARGE;
}

static size_t
pack_one (ZSTD_CCtx *context, struct weir_bytes raw, struct weir_buf *out)
{
    size_t bound = ZSTD_compressBound (raw.len);
    weir_buf_reserve (out, bound);
    size_t packed = ZSTD_compress2 (context, out->data + out->len, bound, raw.data, raw.len);
    /* Out of memory, or a bug; nothing else is possible with room for all. */
    weir_assert (!ZSTD_isError (packed));
    return packed;
}

void
weir_export_pack (const struct weir_buf sections[WEIR_EXPORT_SECTIONS], bool fast,
                  struct weir_buf *out, size_t packed[WEIR_EXPORT_SECTIONS])
{
    ZSTD_CCtx *context = NULL;
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS; i++) {
        struct weir_bytes raw = weir_buf_bytes (&sections[i]);
        packed[i] = raw.len;
        if (i != WEIR_EXPORT_RAW && raw.len >= PACK_BYTES_MIN) {
            if (context == NULL) {
                context = ZSTD_createCCtx ();
                weir_assert (context != NULL);
                (void) ZSTD_CCtx_setParameter (context, ZSTD_c_compressionLevel,
                                               level_for (sections, fast));
                (void) ZSTD_CCtx_setParameter (context, ZSTD_c_contentSizeFlag, 0);
                (void) ZSTD_CCtx_setParameter (context, ZSTD_c_checksumFlag, 0);
            }
            size_t len = pack_one (context, raw, out);
            if (len < raw.len) {
                packed[i] = len;
                out->len += len;
                continue;
            }
        }
        weir_buf_put_bytes (out, raw);
    }
    (void) ZSTD_freeCCtx (context);
}

/* Room for at least one byte more, at most for `len` in all and one, to see what is too long. */
static void
make_room (struct weir_buf *out, size_t packed, size_t len)
{
    size_t want = out->len == 0 ? packed * UNPACK_FIRST_FACTOR + UNPACK_FIRST_BYTES : out->len * 2;
    want = want > len + 1 ? len + 1 : want;
    weir_buf_reserve (out, want - out->len);
}

bool
weir_export_unpack (struct weir_bytes packed, size_t len, struct weir_buf *out)
{
    ZSTD_DCtx *context = ZSTD_createDCtx ();
    weir_assert (context != NULL);
    (void) ZSTD_DCtx_setParameter (context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    ZSTD_inBuffer in = { .src = packed.data, .size = packed.len };
    weir_buf_clear (out);
    size_t left = 1;
    while (left != 0) {
        make_room (out, packed.len, len);
        ZSTD_outBuffer room = { .dst = out->data + out->len, .size = len + 1 - out->len };
        size_t cap = out->cap - out->len;
        room.size = room.size > cap ? cap : room.size;
        left = ZSTD_decompressStream (context, &room, &in);
        out->len += room.pos;
        if (ZSTD_isError (left) || out->len > len
            || (left != 0 && in.pos == in.size && room.pos < room.size)) {
            break; /* wrong, too long, or cut short */
        }
    }
    (void) ZSTD_freeDCtx (context);
    return left == 0 && in.pos == in.size && out->len == len;
}
