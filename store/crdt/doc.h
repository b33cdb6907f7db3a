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

/* The first byte of a data payload. Those with blobs have another, though nothing else differs: a
 * weir that knows no blobs carries them as inert (`needs_upgrade`) and looks no further, and who
 * looks for blobs need not decode what has none. */
#define WEIR_CODEC_DOC 0x01u
#define WEIR_CODEC_BLOBS 0x03u /* 2 is settings' */

static inline bool
weir_codec_is_doc (uint8_t codec)
{
    return codec == WEIR_CODEC_DOC || codec == WEIR_CODEC_BLOBS;
}

struct weir_doc;

struct weir_doc *weir_doc_new (void);
void weir_doc_destroy (struct weir_doc **self_p);

/* Names one op: entry and offset of the op in it. */
struct weir_op_id {
    struct weir_id entry;
    uint32_t offset;
};
int weir_op_id_compare (const struct weir_op_id *a, const struct weir_op_id *b);
/* For people and paths, as in "<entry in base32>@<offset>": weir_op_id_text (&id).s */
struct weir_op_id_text {
    char s[WEIR_ID_TEXT + 12];
};
struct weir_op_id_text weir_op_id_text (const struct weir_op_id *id);
/* Exactly what weir_op_id_text writes; else WEIR_INVALID_ARGUMENT. *id is written on success. */
WEIR_MUST enum weir_status weir_op_id_parse (struct weir_op_id *id, struct weir_bytes text);

/* What an op's effect may look at: what its entry itself carries, and where it stands. */
struct weir_doc_entry {
    struct weir_id id;
    struct weir_chain chain;
    uint64_t seq;
    uint64_t lamport;              /* of the entry's first op */
    uint32_t ops;                  /* as the header says */
    uint32_t n_parents;            /* at most WEIR_ENTRY_DEPS_MAX + 1 */
    const struct weir_id *parents; /* prev first (when seq > 0), then deps; borrowed */
};

/* Where a document finds the entries that it has applied or passed, when it has to walk them:
 * before an entry that is concurrent with others, and where ids of old elements are asked for.
 * `read` calls fn for every one of them, parents first, until fn returns false (then it returns
 * WEIR_OK). `payload` is empty for those that have no effect: genesis, settings, merges, and data
 * entries that weir_doc_apply called inert; the owner keeps that word (a second judgement would
 * need the document as it was). */
typedef bool (weir_history_fn) (void *context, const struct weir_doc_entry *entry,
                                struct weir_bytes payload);
struct weir_history {
    void *context;
    enum weir_status (*read) (void *context, weir_history_fn *fn, void *fn_context);
};
/* Borrowed; may be NULL for a document that only ever sees entries in a line. A new, empty
 * document is warm until it is told to go cold; one that is loaded is cold. */
void weir_doc_set_history (struct weir_doc *self, const struct weir_history *history);
/* Reads the history when it is not in memory. WEIR_UNSUPPORTED without a port, or its status. */
WEIR_MUST enum weir_status weir_doc_warm (struct weir_doc *self);
void weir_doc_cool (struct weir_doc *self); /* drops it */
bool weir_doc_is_warm (const struct weir_doc *self);

/* Applies one data entry whose past is applied (or passed). WEIR_OK; else inert, passed and
 * otherwise nothing changed: WEIR_BAD_PAYLOAD, WEIR_NEEDS_UPGRADE (codec, op or type from the
 * future), WEIR_OUT_OF_RANGE (a position). Applying one twice is the caller's bug. Any other
 * status is no judgement on the entry, sets *deferred (may be NULL), and nothing is changed or
 * passed: the history cannot be read (its status), WEIR_BUSY: the budget is used up, WEIR_LIMIT:
 * what would have to be walked is beyond all bounds. The next one applied is then the same entry
 * again, or the document is cooled before. */
WEIR_MUST enum weir_status weir_doc_apply (struct weir_doc *self,
                                           const struct weir_doc_entry *entry,
                                           struct weir_bytes payload, bool *deferred);
/* About how many steps (ops, events walked) weir_doc_apply may take; it counts down, and what an
 * entry that is deferred did so far is kept for the next time. NULL: no bound. */
void weir_doc_set_budget (struct weir_doc *self, uint64_t *budget);
/* An entry that has no effect on documents (genesis, settings, merge, or inert by a judgement
 * made before): it takes its place among the heads. */
void weir_doc_pass (struct weir_doc *self, const struct weir_doc_entry *entry);
/* The heads of what was applied and passed, sorted; borrowed until the next change. All of them
 * may be given as the parents of the next entry. */
const struct weir_id *weir_doc_heads (const struct weir_doc *self, size_t *count);
/* The lamport that the next entry on top of the heads has. */
uint64_t weir_doc_lamport (const struct weir_doc *self);

/* Reads the commit message and op count of a data payload without applying it; `message` is
 * borrowed from the payload. Same statuses. */
WEIR_MUST enum weir_status weir_doc_payload_info (struct weir_bytes payload,
                                                  struct weir_bytes *message, uint32_t *ops);
/* The payload as JSON for people (`weir doc log`): {"message", "ops": [{"op": "set" | "make" |
 * "delete", "path", "value" | "type"}]}, and "omitted": how many ops were too much to show. The
 * caller owns *out. */
WEIR_MUST enum weir_status weir_doc_payload_json (struct weir_bytes payload, json_t **out);

/* Blobs: the id of a manifest (store/dag/blob.h) and how many bytes it stands for. The first calls
 * fn for each that the payload sets, in order, and nothing where it is none or does not decode (it
 * is inert then); the second for each that is visible in the document now. */
typedef void (weir_blob_fn) (void *context, const struct weir_id *blob, uint64_t bytes);
void weir_doc_payload_blobs (struct weir_bytes payload, weir_blob_fn *fn, void *context);
void weir_doc_blobs (const struct weir_doc *self, weir_blob_fn *fn, void *context);
/* The blob at a path. WEIR_NOT_FOUND, WEIR_INVALID_PATH, WEIR_CONFLICT: something else. */
WEIR_MUST enum weir_status weir_doc_blob_at (const struct weir_doc *self, const char *path,
                                             struct weir_id *blob, uint64_t *bytes,
                                             struct weir_error *e);

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

/* What positions in a text count. Ops say scalars. */
enum weir_text_unit { WEIR_TEXT_SCALARS, WEIR_TEXT_UTF8, WEIR_TEXT_UTF16 };
/* Whether text inserted at the end of a style's range takes the style. Unmarking turns it round
 * (both and none), as in Loro. */
enum weir_expand {
    WEIR_EXPAND_AFTER = 0,
    WEIR_EXPAND_BEFORE = 1,
    WEIR_EXPAND_BOTH = 2,
    WEIR_EXPAND_NONE = 3
};

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
 * makes no op. An array makes a list, which keeps no identity with
 * one that was there: its elements are deleted first; objects and arrays in a list are unique
 * children. Where a list or movable list is on the way, the part is an index of an element that
 * is a container. Where a text or counter stands, only a string or number may be set: text is
 * updated by its difference, a counter by its. Parents that are not containers: WEIR_CONFLICT. */
WEIR_MUST enum weir_status weir_edit_set (struct weir_edit *self, const char *path,
                                          const json_t *value, struct weir_error *e);
/* Removes a key, and every key seen below it. WEIR_NOT_FOUND. */
WEIR_MUST enum weir_status weir_edit_remove (struct weir_edit *self, const char *path,
                                             struct weir_error *e);
/* RFC 6902: add, remove, replace, move, copy, test (WEIR_CONFLICT when a test fails). */
WEIR_MUST enum weir_status weir_edit_patch (struct weir_edit *self, const json_t *patch,
                                            struct weir_error *e);
/* The verbs of sequences and counters, at the path of the container, which is made (with this
 * type) where nothing is; another type there: WEIR_CONFLICT. Positions count what is visible,
 * through the edit, UINT32_MAX is the end where something is inserted; WEIR_OUT_OF_RANGE beyond.
 * `movable`: of the list that is made. Text positions and lengths in `unit`s. */
WEIR_MUST enum weir_status weir_edit_list_insert (struct weir_edit *self, const char *path,
                                                  uint32_t at, bool movable, const json_t *value,
                                                  struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_list_move (struct weir_edit *self, const char *path,
                                                uint32_t from, uint32_t to, struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_text_insert (struct weir_edit *self, const char *path,
                                                  uint32_t at, enum weir_text_unit unit,
                                                  struct weir_bytes text, struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_text_delete (struct weir_edit *self, const char *path,
                                                  uint32_t at, uint32_t count,
                                                  enum weir_text_unit unit, struct weir_error *e);
/* Makes it this text by inserting and deleting what differs (lines, then characters). */
WEIR_MUST enum weir_status weir_edit_text_update (struct weir_edit *self, const char *path,
                                                  struct weir_bytes text, struct weir_error *e);
/* `value` null takes the style away. */
WEIR_MUST enum weir_status weir_edit_text_mark (struct weir_edit *self, const char *path,
                                                uint32_t from, uint32_t to, const char *key,
                                                const json_t *value, enum weir_expand expand,
                                                struct weir_error *e);
/* `by` an integer or a real number. */
WEIR_MUST enum weir_status weir_edit_increment (struct weir_edit *self, const char *path,
                                                const json_t *by, struct weir_error *e);
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
