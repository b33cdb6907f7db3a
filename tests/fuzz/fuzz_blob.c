/* Goal: whatever bytes come as a manifest, the decoder stays within them; what it accepts has
 * chunks that add up to its size and exactly one encoding. And whatever comes as the payload of an
 * entry, the search for blobs in it finds none where the payload is inert. */

#include "store/base/limits.h"
#include "store/crdt/payload.h"
#include "store/dag/blob.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
count (void *context, const struct weir_id *blob, uint64_t bytes)
{
    size_t *n = context;
    weir_assert (blob != NULL && bytes <= WEIR_BLOB_BYTES_MAX);
    (*n)++;
}

static void
check_manifest (struct weir_bytes bytes)
{
    struct weir_manifest m;
    struct weir_buf again = { 0 };
    uint64_t sum = 0;
    if (weir_manifest_read (&m, bytes) != WEIR_OK) {
        return;
    }
    weir_manifest_begin (&again, m.bytes);
    for (uint32_t i = 0; i < m.n_chunks; i++) {
        struct weir_id id = weir_manifest_chunk (&m, i);
        uint32_t len = weir_blob_chunk_bytes (m.bytes, i);
        weir_assert (len > 0 && len <= WEIR_CHUNK_BYTES);
        sum += len;
        weir_buf_put_bytes (&again, weir_id_bytes (&id));
    }
    weir_assert (sum == m.bytes && weir_bytes_equal (weir_buf_bytes (&again), bytes));
    weir_buf_fini (&again);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct weir_bytes bytes = weir_bytes (data, size);
    struct weir_payload payload = { 0 };
    size_t n = 0;
    check_manifest (bytes);
    weir_doc_payload_blobs (bytes, count, &n);
    bool good = weir_payload_decode (&payload, bytes) == WEIR_OK;
    weir_assert (n == 0 || (good && payload.has_blobs));
    weir_assert (!good || (n > 0) == payload.has_blobs);
    weir_payload_fini (&payload);
    return 0;
}
