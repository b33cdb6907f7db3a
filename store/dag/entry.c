/* Owns the canonical header of an entry: its one encoding, its id, and what shape a header may
 * have. It never looks at payloads, signatures or other entries. Runs, vectors and membership
 * stand on it. */

#include "store/dag/entry.h"

#include <string.h>

/* Everything but deps; deps are the only part of variable size. */
#define HEADER_BYTES_FIXED 164u
#define HEADER_BYTES_MAX (HEADER_BYTES_FIXED + WEIR_ENTRY_DEPS_MAX * WEIR_ID_BYTES)

static uint8_t *
put_id (uint8_t *p, const struct weir_id *id)
{
    memcpy (p, id->b, WEIR_ID_BYTES);
    return p + WEIR_ID_BYTES;
}

/* On the stack and without a buffer: this runs once for every entry that is imported. */
static size_t
header_encode (uint8_t out[HEADER_BYTES_MAX], const struct weir_entry *e)
{
    weir_assert (e->n_deps <= WEIR_ENTRY_DEPS_MAX);
    uint8_t *p = out;
    *p++ = e->version;
    *p++ = e->kind;
    p = put_id (p, &e->database);
    p = put_id (p, &e->author);
    weir_store_u64 (p, e->lane);
    weir_store_u64 (p + 8, e->seq);
    p = put_id (p + 16, &e->prev);
    weir_store_u16 (p, e->n_deps);
    p += 2;
    for (size_t i = 0; i < e->n_deps; i++) {
        p = put_id (p, &e->deps[i]);
    }
    weir_store_u32 (p, e->ops);
    weir_store_u64 (p + 4, e->clock_ms);
    weir_store_u32 (p + 12, e->payload_bytes);
    p = put_id (p + 16, &e->payload_hash);
    return (size_t) (p - out);
}

void
weir_entry_put (struct weir_buf *out, const struct weir_entry *e)
{
    uint8_t header[HEADER_BYTES_MAX];
    size_t len = header_encode (header, e);
    weir_buf_put (out, header, len);
}

struct weir_id
weir_entry_id (const struct weir_entry *e)
{
    uint8_t header[HEADER_BYTES_MAX];
    size_t len = header_encode (header, e);
    return weir_hash (WEIR_DOMAIN_ENTRY, weir_bytes (header, len), weir_bytes (NULL, 0));
}

struct weir_id
weir_payload_hash (struct weir_bytes payload)
{
    return weir_hash (WEIR_DOMAIN_PAYLOAD, payload, weir_bytes (NULL, 0));
}

/* Why the deps have not the canonical form, or NULL. */
static const char *
deps_problem (const struct weir_entry *e)
{
    if (e->n_deps > WEIR_ENTRY_DEPS_MAX) {
        return "it has too many deps";
    }
    for (size_t i = 0; i < e->n_deps; i++) {
        const struct weir_id *dep = &e->deps[i];
        if (weir_id_is_zero (dep) || (e->seq > 0 && weir_id_equal (dep, &e->prev))) {
            return "a dep is zero or repeats prev";
        }
        if (i > 0 && weir_id_compare (&e->deps[i - 1], dep) >= 0) {
            return "its deps are not sorted and distinct";
        }
    }
    return NULL;
}

static const char *
shape_problem (const struct weir_entry *e)
{
    if (e->kind >= WEIR_ENTRY_KIND_COUNT) {
        return "its kind is unknown";
    }
    if (weir_id_is_zero (&e->author)) {
        return "it has no author";
    }
    if ((e->seq == 0) != weir_id_is_zero (&e->prev)) {
        return "prev must be zero for seq 0, and only then";
    }
    if (e->seq == UINT64_MAX) {
        return "its seq is the last number there is";
    }
    const char *problem = deps_problem (e);
    if (problem != NULL) {
        return problem;
    }
    if (e->kind == WEIR_ENTRY_GENESIS) {
        if (e->seq != 0 || e->n_deps != 0 || !weir_id_is_zero (&e->database)) {
            return "a genesis has seq 0, no deps and no database";
        }
    } else if (weir_id_is_zero (&e->database)) {
        return "it names no database";
    } else if (e->seq == 0 && e->n_deps == 0) {
        return "a lane's first entry needs a dep";
    }
    if (e->ops > WEIR_ENTRY_OPS_MAX || (e->ops != 0 && e->kind != WEIR_ENTRY_DATA)) {
        return "its number of ops is out of bounds";
    }
    if (e->payload_bytes > WEIR_PAYLOAD_BYTES_MAX) {
        return "its payload is too large";
    }
    return NULL;
}

enum weir_status
weir_entry_check (const struct weir_entry *e, struct weir_error *error)
{
    if (e->version > WEIR_ENTRY_VERSION) {
        return weir_error_set (error, WEIR_NEEDS_UPGRADE, NULL,
                               "the entry has version %u, this node reads up to %u",
                               (unsigned) e->version, WEIR_ENTRY_VERSION);
    }
    const char *problem = e->version == 0 ? "its version is 0" : shape_problem (e);
    if (problem != NULL) {
        return weir_error_set (error, WEIR_BAD_ENTRY, NULL, "the entry is malformed: %s", problem);
    }
    return WEIR_OK;
}

int
weir_chain_compare (const struct weir_chain *a, const struct weir_chain *b)
{
    int order = weir_id_compare (&a->author, &b->author);
    if (order != 0) {
        return order;
    }
    return (a->lane > b->lane) - (a->lane < b->lane);
}

int
weir_order_key_compare (const struct weir_order_key *a, const struct weir_order_key *b)
{
    if (a->lamport != b->lamport) {
        return a->lamport < b->lamport ? -1 : 1;
    }
    int order = weir_chain_compare (&a->chain, &b->chain);
    return order != 0 ? order : weir_id_compare (&a->entry, &b->entry);
}
