#ifndef WEIR_TESTS_STORE_CRDT_TYPES_FIXTURE_H
#define WEIR_TESTS_STORE_CRDT_TYPES_FIXTURE_H

/* What the tests of counters, trees and movable lists share: replicas that edit by changes and
 * exchange their entries, and entries made by hand out of ops that no verb would write. */

#include "tests/store/crdt/fixture.h"

#include "store/crdt/change.h"
#include "store/crdt/types.h"

#define TYPES_ENTRIES_MAX 256u

struct types_entry {
    struct weir_doc_entry entry;
    struct weir_id parents[8];
    struct weir_buf payload;
};

struct types_world {
    struct types_entry entries[TYPES_ENTRIES_MAX];
    uint32_t count;
};

struct types_replica {
    struct types_world *world;
    struct weir_doc *doc;
    struct weir_history history;
    struct weir_chain chain;
    uint64_t seq;
    uint32_t seen[TYPES_ENTRIES_MAX];
    uint32_t n_seen;
    struct weir_change *change;
};

static inline enum weir_status
types_history_read (void *context, weir_history_fn *fn, void *fn_context)
{
    const struct types_replica *r = context;
    for (uint32_t i = 0; i < r->n_seen; i++) {
        const struct types_entry *e = &r->world->entries[r->seen[i]];
        if (!fn (fn_context, &e->entry, weir_buf_bytes (&e->payload))) {
            break;
        }
    }
    return WEIR_OK;
}

static inline void
types_begin (struct types_replica *r, struct types_world *world, uint8_t author)
{
    *r = (struct types_replica){ .world = world, .doc = weir_doc_new () };
    r->chain.author.b[0] = author;
    r->history = (struct weir_history){ .context = r, .read = types_history_read };
    weir_doc_set_history (r->doc, &r->history);
}

static inline void
types_end (struct types_replica *r)
{
    weir_change_destroy (&r->change);
    weir_doc_destroy (&r->doc);
}

static inline void
types_world_end (struct types_world *world)
{
    for (uint32_t i = 0; i < world->count; i++) {
        weir_buf_fini (&world->entries[i].payload);
    }
    world->count = 0;
}

/* The next entry of the replica, on top of what it has, without a payload. Its id is told by its
 * number, so ids order as they were made. */
static inline struct types_entry *
types_entry_begin (struct types_replica *r)
{
    size_t n = 0;
    const struct weir_id *heads = weir_doc_heads (r->doc, &n);
    struct types_entry *e = &r->world->entries[r->world->count];
    assert_true (r->world->count < TYPES_ENTRIES_MAX && n < 8);
    *e = (struct types_entry){ .entry = { .chain = r->chain, .seq = r->seq++ } };
    weir_store_u32 (e->entry.id.b, ++r->world->count);
    if (n > 0) {
        memcpy (e->parents, heads, n * sizeof *heads);
    }
    e->entry.parents = e->parents;
    e->entry.n_parents = (uint32_t) n;
    e->entry.lamport = weir_doc_lamport (r->doc);
    return e;
}

/* The open change; the container is a root of its type's name. */
static inline struct weir_container *
types_edit (struct types_replica *r, const struct weir_container_type *type)
{
    struct weir_error e = { 0 };
    struct weir_container *out = NULL;
    if (r->change == NULL) {
        r->change = weir_change_open (r->doc, &r->chain, r->seq);
    }
    assert_status (weir_change_root (r->change, type->name, type, &out, &e), WEIR_OK, &e);
    return out;
}

static inline void
types_commit (struct types_replica *r)
{
    struct weir_error error = { 0 };
    struct types_entry *e = types_entry_begin (r);
    assert_status (
        weir_change_payload (r->change, weir_bytes (NULL, 0), &e->payload, &e->entry.ops, &error),
        WEIR_OK, &error);
    weir_change_seal (r->change, &e->entry);
    weir_change_destroy (&r->change);
    r->seen[r->n_seen++] = r->world->count - 1;
}

static inline enum weir_status
types_take (struct types_replica *r, uint32_t entry)
{
    const struct types_entry *e = &r->world->entries[entry];
    enum weir_status status =
        weir_doc_apply (r->doc, &e->entry, weir_buf_bytes (&e->payload), NULL);
    r->seen[r->n_seen++] = entry;
    return status;
}

static inline bool
types_has (const struct types_replica *r, uint32_t entry)
{
    uint32_t i = 0;
    while (i < r->n_seen && r->seen[i] != entry) {
        i++;
    }
    return i < r->n_seen;
}

/* All that the other has. */
static inline void
types_sync (const struct types_replica *from, struct types_replica *to)
{
    for (uint32_t i = 0; i < from->n_seen; i++) {
        if (!types_has (to, from->seen[i])) {
            assert_int_equal (types_take (to, from->seen[i]), WEIR_OK);
        }
    }
}

static inline void
types_reload (struct types_replica *r)
{
    struct weir_buf state = { 0 };
    weir_doc_save (r->doc, &state);
    weir_doc_destroy (&r->doc);
    assert_int_equal (weir_doc_load (&r->doc, weir_buf_bytes (&state)), WEIR_OK);
    weir_doc_set_history (r->doc, &r->history);
    weir_buf_fini (&state);
}

/* Ops on the root of the type's name, as an entry that any author could have made; rows of ids
 * count from 1. It is in the world, and applied. */
static inline enum weir_status
types_craft (struct types_replica *r, const struct weir_container_type *type,
             const struct weir_id *ids, size_t n_ids, const struct weir_op *ops, size_t n_ops)
{
    struct types_entry *e = types_entry_begin (r);
    struct weir_payload_row row = { .type = type,
                                    .kind = WEIR_ROW_ROOT,
                                    .key = weir_bytes_str (type->name) };
    struct weir_op_writer w = { .out = &e->payload };
    weir_payload_begin (&e->payload, weir_bytes (NULL, 0), ids, n_ids, 1);
    weir_payload_put_row (&e->payload, &row);
    weir_buf_put_blob (&e->payload, weir_bytes (NULL, 0));
    for (size_t i = 0; i < n_ops; i++) {
        weir_payload_put_op (&w, type, &ops[i]);
        e->entry.ops += ops[i].atoms;
    }
    return types_take (r, r->world->count - 1);
}

/* Every cut and every changed byte (of a large state, some of them) of the document's state is
 * refused, or is what save writes. */
static inline void
types_assert_strict (const struct weir_doc *doc)
{
    struct weir_buf state = { 0 };
    weir_doc_save (doc, &state);
    for (size_t i = 0; i < state.len * 4; i += 1 + state.len / 512) {
        struct weir_doc *loaded = NULL;
        struct weir_buf again = { 0 };
        struct weir_bytes bytes = weir_buf_bytes (&state);
        uint8_t kept = state.data[i / 4];
        static const uint8_t changes[] = { 0x01, 0x80, 0xff };
        if (i % 4 == 3) {
            bytes.len = i / 4;
        } else {
            state.data[i / 4] ^= changes[i % 4];
        }
        if (weir_doc_load (&loaded, bytes) == WEIR_OK) {
            weir_doc_save (loaded, &again);
            assert_int_equal (again.len, bytes.len);
            assert_memory_equal (again.data, bytes.data, bytes.len);
            weir_doc_destroy (&loaded);
        }
        weir_buf_fini (&again);
        state.data[i / 4] = kept;
    }
    weir_buf_fini (&state);
}

#endif
