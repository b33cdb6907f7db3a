/* BLAKE2b with one personalisation a use. The table below is the only place that names them. */

#include "store/crypto/hash.h"

#include <sodium.h>
#include <string.h>

/* 16 bytes each, zero padded: what BLAKE2b takes. */
static const unsigned char personal[WEIR_DOMAIN_COUNT][crypto_generichash_blake2b_PERSONALBYTES] = {
    [WEIR_DOMAIN_ENTRY] = "weir-entry-v1",   [WEIR_DOMAIN_PAYLOAD] = "weir-payload-v1",
    [WEIR_DOMAIN_VECTOR] = "weir-vector-v1", [WEIR_DOMAIN_CONTAINER] = "weir-contain-v1",
    [WEIR_DOMAIN_HELLO] = "weir-hello-v1",   [WEIR_DOMAIN_TAG] = "weir-tag-v1",
    [WEIR_DOMAIN_CHECK] = "weir-check-v1",   [WEIR_DOMAIN_EXPORT] = "weir-export-v1",
    [WEIR_DOMAIN_RANGE] = "weir-range-v1",   [WEIR_DOMAIN_CHUNK] = "weir-chunk-v1",
    [WEIR_DOMAIN_BLOB] = "weir-blob-v1",
};

_Static_assert(sizeof (crypto_generichash_blake2b_state) <= sizeof (struct weir_hash),
               "libsodium's state must fit");

static crypto_generichash_blake2b_state *
state_of (struct weir_hash *h)
{
    return (crypto_generichash_blake2b_state *) (void *) h->opaque;
}

static void
init (struct weir_hash *h, enum weir_domain domain, struct weir_bytes key)
{
    int failed = crypto_generichash_blake2b_init_salt_personal (
        state_of (h), key.data, key.len, WEIR_ID_BYTES, NULL, personal[domain]);
    weir_assert (failed == 0);
}

void
weir_hash_init (struct weir_hash *h, enum weir_domain domain)
{
    init (h, domain, weir_bytes (NULL, 0));
}

void
weir_hash_add (struct weir_hash *h, struct weir_bytes data)
{
    if (data.len > 0) {
        (void) crypto_generichash_blake2b_update (state_of (h), data.data, data.len);
    }
}

struct weir_id
weir_hash_end (struct weir_hash *h)
{
    struct weir_id id;
    (void) crypto_generichash_blake2b_final (state_of (h), id.b, WEIR_ID_BYTES);
    return id;
}

struct weir_id
weir_hash (enum weir_domain domain, struct weir_bytes a, struct weir_bytes b)
{
    struct weir_hash h;
    weir_hash_init (&h, domain);
    weir_hash_add (&h, a);
    weir_hash_add (&h, b);
    return weir_hash_end (&h);
}

uint64_t
weir_hash_tag (const struct weir_id *key, struct weir_bytes data)
{
    struct weir_hash h;
    init (&h, WEIR_DOMAIN_TAG, weir_id_bytes (key));
    weir_hash_add (&h, data);
    struct weir_id id = weir_hash_end (&h);
    sodium_memzero (&h, sizeof h);
    return weir_load_u64 (id.b);
}
