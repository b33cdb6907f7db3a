#ifndef WEIR_STORE_CRYPTO_HASH_H
#define WEIR_STORE_CRYPTO_HASH_H

/* BLAKE2b with a personalisation for each use (libsodium). One table of domains, so that no two
 * uses can ever be confused. */

#include "store/base/id.h"

enum weir_domain {
    WEIR_DOMAIN_ENTRY,     /* "weir-entry-v1": entry ids */
    WEIR_DOMAIN_PAYLOAD,   /* "weir-payload-v1" */
    WEIR_DOMAIN_VECTOR,    /* "weir-vector-v1": digests of entry vectors */
    WEIR_DOMAIN_CONTAINER, /* "weir-contain-v1": containers made by path */
    WEIR_DOMAIN_HELLO,     /* "weir-hello-v1": hash of both Hellos */
    WEIR_DOMAIN_TAG,       /* "weir-tag-v1": keyed per link */
    WEIR_DOMAIN_CHECK,     /* "weir-check-v1": checksums in tickets and files */
    WEIR_DOMAIN_EXPORT,    /* "weir-export-v1": the root of a shallow export */
    WEIR_DOMAIN_CHUNK,     /* "weir-chunk-v1": pieces of blobs */
    WEIR_DOMAIN_BLOB,      /* "weir-blob-v1": their manifests */
    WEIR_DOMAIN_RANGE,     /* "weir-range-v1": ranges of rows and of digests, keyed by session */
    WEIR_DOMAIN_COUNT
};

/* BLAKE2b-256 over one or two slices (the second may be empty). */
struct weir_id weir_hash (enum weir_domain domain, struct weir_bytes a, struct weir_bytes b);
/* Keyed, truncated to 8 bytes, for database tags (page 3). */
uint64_t weir_hash_tag (const struct weir_id *key, struct weir_bytes data);

/* Streaming. `hash` is opaque (libsodium's state). */
struct weir_hash {
    _Alignas(64) uint8_t opaque[384];
};
void weir_hash_init (struct weir_hash *h, enum weir_domain domain);
void weir_hash_add (struct weir_hash *h, struct weir_bytes data);
struct weir_id weir_hash_end (struct weir_hash *h);

#endif
