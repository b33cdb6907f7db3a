/* Owns what a blob is made of: ids of chunks and manifests, and a manifest's bytes. It stores
 * nothing; the repository does, and whoever writes or reads a blob's content begins here. */

#include "store/dag/blob.h"

#include "store/base/limits.h"
#include "store/crypto/hash.h"

#define FORMAT 1u
#define HEAD_BYTES 9u

_Static_assert(WEIR_MANIFEST_BYTES_MAX == HEAD_BYTES + WEIR_ID_BYTES * WEIR_BLOB_CHUNKS_MAX,
               "limits.h says how long a manifest is");

struct weir_id
weir_chunk_id (struct weir_bytes chunk)
{
    return weir_hash (WEIR_DOMAIN_CHUNK, chunk, weir_bytes (NULL, 0));
}

struct weir_id
weir_blob_id (struct weir_bytes manifest)
{
    return weir_hash (WEIR_DOMAIN_BLOB, manifest, weir_bytes (NULL, 0));
}

uint32_t
weir_blob_chunks (uint64_t bytes)
{
    return (uint32_t) ((bytes + WEIR_CHUNK_BYTES - 1) / WEIR_CHUNK_BYTES);
}

uint32_t
weir_blob_chunk_bytes (uint64_t bytes, uint32_t i)
{
    uint64_t left = bytes - (uint64_t) i * WEIR_CHUNK_BYTES;
    return left < WEIR_CHUNK_BYTES ? (uint32_t) left : WEIR_CHUNK_BYTES;
}

enum weir_status
weir_manifest_read (struct weir_manifest *out, struct weir_bytes bytes)
{
    struct weir_reader r = weir_reader (bytes);
    uint8_t format = weir_read_u8 (&r);
    struct weir_manifest m = { .bytes = weir_read_u64 (&r) };
    if (bytes.len > 0 && format != FORMAT) {
        return WEIR_NEEDS_UPGRADE;
    }
    if (r.bad) {
        return WEIR_BAD_PAYLOAD;
    }
    if (m.bytes > WEIR_BLOB_BYTES_MAX) {
        return WEIR_TOO_LARGE;
    }
    m.n_chunks = weir_blob_chunks (m.bytes);
    m.ids = bytes.data + r.pos;
    if (weir_reader_left (&r) != (size_t) m.n_chunks * WEIR_ID_BYTES) {
        return WEIR_BAD_PAYLOAD;
    }
    *out = m;
    return WEIR_OK;
}

struct weir_id
weir_manifest_chunk (const struct weir_manifest *m, uint32_t i)
{
    struct weir_id id;
    weir_assert (i < m->n_chunks);
    memcpy (id.b, m->ids + (size_t) i * WEIR_ID_BYTES, WEIR_ID_BYTES);
    return id;
}

void
weir_manifest_begin (struct weir_buf *out, uint64_t bytes)
{
    weir_buf_put_u8 (out, FORMAT);
    weir_buf_put_u64 (out, bytes);
}
