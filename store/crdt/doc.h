#ifndef WEIR_STORE_CRDT_DOC_H
#define WEIR_STORE_CRDT_DOC_H

/* A document: named root containers, nested freely; state as a pure function of the entries
 * applied, in any causal order. Pure code, in memory. Containers are types behind one vtable
 * (store/crdt/container.h), one file each.
 *
 * A payload that does not decode, holds another number of ops than its header says, an unknown
 * op or container type, makes the whole entry *inert*: it changes nothing, alike everywhere. */

#include "store/base/json.h"
#include "store/dag/entry.h"

#define WEIR_CODEC_DOC 0x01u /* first byte of a data payload */

struct weir_doc;

struct weir_doc *weir_doc_new (void);
void weir_doc_destroy (struct weir_doc **self_p);

/* What an op's effect may look at: what its entry itself carries. */
struct weir_doc_entry {
    struct weir_id id;
    struct weir_chain chain;
    uint64_t seq;
    uint64_t lamport; /* of the entry's first op */
    uint32_t ops;     /* as the header says */
};

/* Applies one data entry whose past is applied. WEIR_OK; else inert, nothing changed:
 * WEIR_BAD_PAYLOAD, WEIR_NEEDS_UPGRADE (codec, op or type from the future). Applying one twice
 * is the caller's bug for lists to come, and harmless for maps. */
WEIR_MUST enum weir_status weir_doc_apply (struct weir_doc *self,
                                           const struct weir_doc_entry *entry,
                                           struct weir_bytes payload);

/* Reads the commit message and op count of a data payload without applying it; `message` is
 * borrowed from the payload. Same statuses. */
WEIR_MUST enum weir_status weir_doc_payload_info (struct weir_bytes payload,
                                                  struct weir_bytes *message, uint32_t *ops);
/* The payload as JSON for people (`weir doc log`): {"message", "ops": [{"op": "set" | "make" |
 * "delete", "path", "value" | "type"}]}, and "omitted": how many ops were too much to show. The
 * caller owns *out. */
WEIR_MUST enum weir_status weir_doc_payload_json (struct weir_bytes payload, json_t **out);

/* The value at `path` (RFC 6901, "" = the whole document as an object of its roots). Bytes show
 * as {"$bytes": base32}, and such an object set makes bytes again. The caller owns *out.
 * WEIR_NOT_FOUND, WEIR_INVALID_PATH. */
WEIR_MUST enum weir_status weir_doc_get (const struct weir_doc *self, const char *path,
                                         json_t **out, struct weir_error *e);
/* All values that concur at a map key: the winner first, then losers by order key, the greatest
 * first: of every other chain its greatest write, as far as the document knows (what the winner
 * had seen is among them: whether one entry saw another, the log knows). At most `max`, and
 * WEIR_LOSERS_MAX + 1; *count tells. Values are the caller's. WEIR_NOT_FOUND when nothing was
 * ever written there. */
struct weir_doc_value {
    struct weir_order_key key;
    json_t *value; /* NULL: deleted */
};
WEIR_MUST enum weir_status weir_doc_conflicts (const struct weir_doc *self, const char *path,
                                               struct weir_doc_value *values, size_t max,
                                               size_t *count, struct weir_error *e);

/* An edit: operations checked against the document as it stands (plus the edit's own earlier
 * operations), collected into one payload; the document itself is not changed: apply the
 * sealed payload once its entry has an id. One edit at a time for a document. On an error the
 * edit is unchanged by that call (a JSON Patch is all or nothing). */
struct weir_edit;
struct weir_edit *weir_edit_new (const struct weir_doc *doc);
void weir_edit_destroy (struct weir_edit **self_p);
/* Sets the value at a path of 2 or more parts (root container and key; 1 part sets or replaces
 * the whole root by an object). An object makes nested maps key by key and deletes the keys
 * seen there that it does not name; missing maps on the way are made. Setting what is there
 * makes no op. Arrays are WEIR_UNSUPPORTED until lists exist. Parents that are not maps:
 * WEIR_CONFLICT. */
WEIR_MUST enum weir_status weir_edit_set (struct weir_edit *self, const char *path,
                                          const json_t *value, struct weir_error *e);
/* Removes a key, and every key seen below it. WEIR_NOT_FOUND. */
WEIR_MUST enum weir_status weir_edit_remove (struct weir_edit *self, const char *path,
                                             struct weir_error *e);
/* RFC 6902: add, remove, replace, move, copy, test (WEIR_CONFLICT when a test fails). */
WEIR_MUST enum weir_status weir_edit_patch (struct weir_edit *self, const json_t *patch,
                                            struct weir_error *e);
size_t weir_edit_ops (const struct weir_edit *self);
/* Appends the payload (codec byte first) and empties the edit. `message` may be empty.
 * WEIR_TOO_LARGE when the payload would pass WEIR_PAYLOAD_BYTES_MAX or the ops their bound. */
WEIR_MUST enum weir_status weir_edit_seal (struct weir_edit *self, struct weir_bytes message,
                                           struct weir_buf *payload, uint32_t *ops,
                                           struct weir_error *e);

/* The whole state as bytes, and back: canonical (equal states give equal bytes, whatever the
 * order of arrival). WEIR_BAD_PAYLOAD for bytes that are not a state; nothing is kept then. */
void weir_doc_save (const struct weir_doc *self, struct weir_buf *out);
WEIR_MUST enum weir_status weir_doc_load (struct weir_doc **out, struct weir_bytes state);
size_t weir_doc_memory_bytes (const struct weir_doc *self); /* approximate */

#endif
