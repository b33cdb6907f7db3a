#ifndef WEIR_TESTS_STORE_CRDT_SEQ_FIXTURE_H
#define WEIR_TESTS_STORE_CRDT_SEQ_FIXTURE_H

/* What the tests of sequences share: a history of entries and peers that edit by changes, commit
 * and take each other's entries; payloads made by hand; and states with bytes turned over. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/crdt/change.h"
#include "store/crdt/payload.h"
#include "store/crdt/types.h"

#include "store/base/rand.h"

#define HISTORY_PARENTS_MAX 16u

struct history_entry {
    struct weir_doc_entry head;
    struct weir_id parents[HISTORY_PARENTS_MAX];
    struct weir_buf payload;
};

struct history {
    struct history_entry **entries;
    size_t count;
    size_t cap;
};

struct peer {
    struct history *history;
    struct weir_doc *doc;
    struct weir_change *change; /* NULL: none open */
    struct weir_chain chain;
    struct weir_history port;
    bool *seen;
    uint32_t *order; /* entries as they came */
    size_t n_order;
    size_t cap;
    uint64_t seq;
};

static inline void
assert_ok (enum weir_status status, const struct weir_error *e)
{
    if (status != WEIR_OK) {
        fail_msg ("%s: %s", weir_status_code (status), e != NULL ? e->what : "");
    }
}

static inline enum weir_status
peer_read (void *context, weir_history_fn *fn, void *fn_context)
{
    const struct peer *p = context;
    for (size_t i = 0; i < p->n_order; i++) {
        const struct history_entry *e = p->history->entries[p->order[i]];
        if (!fn (fn_context, &e->head, weir_buf_bytes (&e->payload))) {
            break;
        }
    }
    return WEIR_OK;
}

/* In place: the port points at it. */
static inline void
peer_begin (struct peer *p, struct history *history, uint8_t author)
{
    *p = (struct peer){ .history = history, .doc = weir_doc_new () };
    p->chain.author.b[0] = author;
    p->chain.lane = 1;
    p->port = (struct weir_history){ .context = p, .read = peer_read };
    weir_doc_set_history (p->doc, &p->port);
}

static inline void
peer_end (struct peer *p)
{
    weir_change_destroy (&p->change);
    weir_doc_destroy (&p->doc);
    free (p->seen);
    free (p->order);
}

static inline void
history_end (struct history *h)
{
    for (size_t i = 0; i < h->count; i++) {
        weir_buf_fini (&h->entries[i]->payload);
        free (h->entries[i]);
    }
    free (h->entries);
}

static inline struct weir_change *
peer_change (struct peer *p)
{
    if (p->change == NULL) {
        p->change = weir_change_open (p->doc, &p->chain, p->seq);
    }
    return p->change;
}

static inline struct weir_container *
peer_root (struct peer *p, const char *name, const struct weir_container_type *type)
{
    struct weir_container *c = NULL;
    struct weir_error e = { 0 };
    assert_ok (weir_change_root (peer_change (p), name, type, &c, &e), &e);
    return c;
}

static inline void
peer_saw (struct peer *p, uint32_t entry)
{
    size_t cap = p->cap;
    weir_grow (&p->order, &p->cap, p->history->count > p->n_order ? p->history->count : 1,
               sizeof *p->order);
    if (cap != p->cap) {
        p->seen = weir_realloc (p->seen, p->cap);
        memset (p->seen + cap, 0, p->cap - cap);
    }
    p->seen[entry] = true;
    p->order[p->n_order++] = entry;
}

static inline bool
peer_has (const struct peer *p, size_t entry)
{
    return entry < p->cap && p->seen[entry];
}

/* A new entry on top of what the peer shows; without payload yet. */
static inline struct history_entry *
peer_entry (struct peer *p)
{
    struct history *h = p->history;
    struct history_entry *x = weir_alloc (sizeof *x);
    size_t n = 0;
    const struct weir_id *heads = weir_doc_heads (p->doc, &n);
    assert_true (n <= HISTORY_PARENTS_MAX);
    for (size_t i = 0; i < n; i++) {
        x->parents[i] = heads[i];
    }
    x->head = (struct weir_doc_entry){ .chain = p->chain,
                                       .seq = p->seq++,
                                       .lamport = weir_doc_lamport (p->doc),
                                       .n_parents = (uint32_t) n,
                                       .parents = x->parents };
    weir_store_u32 (x->head.id.b, (uint32_t) h->count * 2654435761u); /* in no order */
    weir_store_u32 (x->head.id.b + 4, (uint32_t) h->count + 1);
    weir_grow (&h->entries, &h->cap, h->count + 1, sizeof *h->entries);
    h->entries[h->count++] = x;
    return x;
}

/* Gives the entry's number; the change must have ops. */
static inline uint32_t
peer_commit (struct peer *p)
{
    struct weir_error e = { 0 };
    struct history_entry *x = peer_entry (p);
    assert_true (weir_change_atoms (p->change) > 0);
    assert_ok (weir_change_payload (p->change, weir_bytes (NULL, 0), &x->payload, &x->head.ops, &e),
               &e);
    weir_change_seal (p->change, &x->head);
    weir_change_destroy (&p->change);
    peer_saw (p, (uint32_t) p->history->count - 1);
    return (uint32_t) p->history->count - 1;
}

static inline bool
peer_may_take (const struct peer *p, size_t entry)
{
    const struct history *h = p->history;
    if (peer_has (p, entry)) {
        return false;
    }
    for (size_t i = 0; i < entry; i++) {
        for (uint32_t k = 0; k < h->entries[entry]->head.n_parents; k++) {
            if (weir_id_equal (&h->entries[i]->head.id, &h->entries[entry]->parents[k])
                && !peer_has (p, i)) {
                return false;
            }
        }
    }
    return true;
}

static inline enum weir_status
peer_take (struct peer *p, uint32_t entry)
{
    const struct history_entry *x = p->history->entries[entry];
    enum weir_status status = weir_doc_apply (p->doc, &x->head, weir_buf_bytes (&x->payload), NULL);
    peer_saw (p, entry);
    return status;
}

/* Takes all that the other has, in the order it came there. */
static inline void
peer_sync (struct peer *from, struct peer *to)
{
    if (from->change != NULL) {
        (void) peer_commit (from);
    }
    if (to->change != NULL) {
        (void) peer_commit (to);
    }
    for (size_t i = 0; i < from->n_order; i++) {
        if (!peer_has (to, from->order[i])) {
            (void) peer_take (to, from->order[i]);
        }
    }
}

static inline void
assert_same_state (const struct weir_doc *a, const struct weir_doc *b)
{
    struct weir_buf x = { 0 };
    struct weir_buf y = { 0 };
    weir_doc_save (a, &x);
    weir_doc_save (b, &y);
    assert_int_equal (x.len, y.len);
    assert_memory_equal (x.data, y.data, x.len);
    weir_buf_fini (&x);
    weir_buf_fini (&y);
}

/* Saves, loads, and goes on with what was loaded: cold, without ids. */
static inline void
peer_reload (struct peer *p)
{
    struct weir_buf state = { 0 };
    struct weir_doc *loaded = NULL;
    weir_doc_save (p->doc, &state);
    assert_ok (weir_doc_load (&loaded, weir_buf_bytes (&state)), NULL);
    assert_same_state (p->doc, loaded);
    weir_doc_destroy (&p->doc);
    p->doc = loaded;
    weir_doc_set_history (p->doc, &p->port);
    weir_buf_fini (&state);
}

/* Whatever is turned over in a state, it does not load, or saves as what was loaded. */
static inline void
assert_only_states_load (const struct weir_doc *doc)
{
    struct weir_buf state = { 0 };
    weir_doc_save (doc, &state);
    for (size_t i = 0; i < state.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct weir_doc *loaded = NULL;
            struct weir_buf again = { 0 };
            state.data[i] ^= (uint8_t) (1u << bit);
            if (weir_doc_load (&loaded, weir_buf_bytes (&state)) == WEIR_OK) {
                weir_doc_save (loaded, &again);
                assert_int_equal (again.len, state.len);
                assert_memory_equal (again.data, state.data, state.len);
            }
            state.data[i] ^= (uint8_t) (1u << bit);
            weir_doc_destroy (&loaded);
            weir_buf_fini (&again);
        }
    }
    for (size_t len = 0; len < state.len; len++) {
        struct weir_doc *loaded = NULL;
        assert_int_not_equal (weir_doc_load (&loaded, weir_bytes (state.data, len)), WEIR_OK);
    }
    weir_buf_fini (&state);
}

/* An entry with one op of somebody else's making on a root; applied to the peer. */
static inline enum weir_status
peer_forge (struct peer *p, const char *root, const struct weir_container_type *type,
            const struct weir_op *ops, size_t n_ops)
{
    struct weir_buf code = { 0 };
    struct weir_buf text = { 0 };
    struct weir_op_writer w = { .out = &code, .text = &text };
    struct weir_payload_row row = { .kind = WEIR_ROW_ROOT,
                                    .type = type,
                                    .key = weir_bytes_str (root) };
    struct history_entry *x = peer_entry (p);
    for (size_t i = 0; i < n_ops; i++) {
        weir_payload_put_op (&w, type, &ops[i]);
        x->head.ops += ops[i].atoms;
    }
    weir_payload_begin (&x->payload, weir_bytes (NULL, 0), NULL, 0, 1);
    weir_payload_put_row (&x->payload, &row);
    weir_buf_put_blob (&x->payload, weir_buf_bytes (&text));
    weir_buf_put_bytes (&x->payload, weir_buf_bytes (&code));
    weir_buf_fini (&code);
    weir_buf_fini (&text);
    return peer_take (p, (uint32_t) p->history->count - 1);
}

static inline void
assert_json (json_t *got, const char *wanted)
{
    char *text = json_dumps (got, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal (text, wanted);
    free (text);
    json_decref (got);
}

static inline void
assert_value (const struct weir_doc *doc, const char *path, const char *wanted)
{
    struct weir_error e = { 0 };
    json_t *json = NULL;
    assert_ok (weir_doc_get (doc, path, &json, &e), &e);
    assert_json (json, wanted);
}

#endif
