/* Goal: documents as such against a list of all writes: open changes on maps with children by path
 * and unique ones, entries that are inert or passed, histories that fork and merge, documents that
 * go cold, are saved and loaded, and warm up from their history. Values, heads, lamports and saved
 * bytes must agree at every step. */

#include "tests/models/models.h"

#include "store/crdt/change.h"
#include "store/crdt/graph.h"

#include "store/base/rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICAS_MAX 4u
#define ENTRIES_MAX 64u
#define WRITES_MAX 8u
#define NAME_BYTES 96u

enum child { CHILD_NONE, CHILD_PATH, CHILD_UNIQUE };

/* Containers go by name: "/root", below it "/root/key"; a unique child is "#entry.write". */
struct write {
    char map[NAME_BYTES];
    char key[4];
    bool is_deleted;
    enum child child;
    int64_t number;
    uint32_t offset;
};

struct entry {
    struct weir_doc_entry head;
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    struct weir_buf payload;
    struct write writes[WRITES_MAX];
    size_t n_writes;
    uint64_t past; /* entries it had seen, a bit each */
    bool is_inert;
};

struct replica {
    struct weir_doc *doc;
    struct weir_chain chain;
    struct weir_history history;
    struct world *world;
    uint64_t seen;
    size_t order[ENTRIES_MAX]; /* as they came */
    size_t n_order;
};

struct world {
    struct weir_rand rand;
    struct entry entries[ENTRIES_MAX];
    size_t n_entries;
    struct replica replicas[REPLICAS_MAX];
    size_t n_replicas;
};

static uint64_t
below (struct world *w, uint64_t n)
{
    return weir_rand_below (&w->rand, n);
}

/* ---- the model ---- */

static struct weir_order_key
order_of (const struct entry *e, const struct write *x)
{
    return (struct weir_order_key){ e->head.lamport + x->offset, e->head.chain, e->head.id };
}

/* The greatest write there; *entry is who made it. */
static const struct write *
winner (const struct world *w, uint64_t seen, const char *map, const char *key, size_t *entry)
{
    const struct write *best = NULL;
    for (size_t i = 0; i < w->n_entries; i++) {
        const struct entry *e = &w->entries[i];
        for (size_t k = 0; (seen >> i & 1) != 0 && k < e->n_writes; k++) {
            const struct write *x = &e->writes[k];
            if (strcmp (x->map, map) != 0 || strcmp (x->key, key) != 0) {
                continue;
            }
            struct weir_order_key a = order_of (e, x);
            struct weir_order_key b = { 0 };
            if (best != NULL) {
                b = order_of (&w->entries[*entry], best);
            }
            if (best == NULL || weir_order_key_compare (&a, &b) > 0) {
                best = x;
                *entry = i;
            }
        }
    }
    return best;
}

static void
child_name (char out[NAME_BYTES], const struct world *w, const struct write *x, size_t entry)
{
    char name[2 * NAME_BYTES];
    if (x->child == CHILD_UNIQUE) {
        snprintf (name, sizeof name, "#%zu.%u", entry, (unsigned) (x - w->entries[entry].writes));
    } else {
        snprintf (name, sizeof name, "%s/%s", x->map, x->key);
    }
    model_check (strlen (name) < NAME_BYTES, "a name is too long");
    memcpy (out, name, strlen (name) + 1);
}

static json_t *
model_json (const struct world *w, uint64_t seen, const char *map)
{
    json_t *out = json_object ();
    for (size_t i = 0; i < w->n_entries; i++) {
        const struct entry *e = &w->entries[i];
        for (size_t k = 0; (seen >> i & 1) != 0 && k < e->n_writes; k++) {
            const char *key = e->writes[k].key;
            size_t by = 0;
            if (strcmp (e->writes[k].map, map) != 0 || json_object_get (out, key) != NULL) {
                continue;
            }
            const struct write *x = winner (w, seen, map, key, &by);
            if (x->child != CHILD_NONE) {
                char name[NAME_BYTES];
                child_name (name, w, x, by);
                json_object_set_new (out, key, model_json (w, seen, name));
            } else if (!x->is_deleted) {
                json_object_set_new (out, key, json_integer (x->number));
            }
        }
    }
    return out;
}

static json_t *
model_roots (const struct world *w, uint64_t seen)
{
    json_t *out = json_object ();
    for (size_t i = 0; i < w->n_entries; i++) {
        const struct entry *e = &w->entries[i];
        for (size_t k = 0; (seen >> i & 1) != 0 && k < e->n_writes; k++) {
            char root[3] = "/?";
            root[1] = e->writes[k].map[1];
            if (e->writes[k].map[0] == '/' && json_object_get (out, root + 1) == NULL) {
                json_object_set_new (out, root + 1, model_json (w, seen, root));
            }
        }
    }
    return out;
}

/* ---- playing ---- */

static bool
read_history (struct replica *r, weir_history_fn *fn, void *context)
{
    for (size_t i = 0; i < r->n_order; i++) {
        const struct entry *e = &r->world->entries[r->order[i]];
        struct weir_bytes payload =
            e->is_inert ? weir_bytes (NULL, 0) : weir_buf_bytes (&e->payload);
        if (!fn (context, &e->head, payload)) {
            return false;
        }
    }
    return true;
}

static enum weir_status
history_read (void *context, weir_history_fn *fn, void *fn_context)
{
    (void) read_history (context, fn, fn_context);
    return WEIR_OK;
}

static void
apply (struct replica *r, size_t number)
{
    const struct entry *e = &r->world->entries[number];
    if (e->is_inert && number % 2 == 0) {
        weir_doc_pass (r->doc, &e->head);
    } else {
        bool deferred = true;
        enum weir_status status =
            weir_doc_apply (r->doc, &e->head, weir_buf_bytes (&e->payload), &deferred);
        model_check ((status == WEIR_OK) == !e->is_inert && !deferred, "entry %zu: %s", number,
                     weir_status_code (status));
    }
    r->order[r->n_order++] = number;
    r->seen |= (uint64_t) 1 << number;
}

/* A container that somebody wrote or made, hidden or not; or a root. */
static struct weir_container *
random_map (struct replica *r, struct weir_change *change, struct entry *e, char name[NAME_BYTES])
{
    struct world *w = r->world;
    struct weir_error error = { 0 };
    struct weir_container *c = NULL;
    size_t i = below (w, w->n_entries + 2);
    const struct entry *from = i < w->n_entries && (r->seen >> i & 1) != 0 ? &w->entries[i] : e;
    const struct write *x = from->n_writes > 0 ? &from->writes[below (w, from->n_writes)] : NULL;
    if (x == NULL || x->child != CHILD_UNIQUE) {
        char root[2] = { (char) ('a' + below (w, 2)), 0 };
        snprintf (name, NAME_BYTES, "/%s", root);
        enum weir_status status = weir_change_root (change, root, &weir_container_map, &c, &error);
        model_check (status == WEIR_OK, "root: %s", error.what);
    } else {
        struct weir_op_id made = { .offset = x->offset };
        if (from != e) {
            made.entry = from->head.id;
        }
        struct weir_id id = weir_container_unique_id (&made, WEIR_CONTAINER_MAP);
        c = weir_doc_unique (r->doc, &id);
        model_check (c != NULL, "a unique child is lost");
        child_name (name, w, x, (size_t) (from - w->entries));
    }
    while (below (w, 3) == 0) {
        char key[2] = { (char) ('k' + below (w, 2)), 0 };
        struct weir_container *next =
            weir_container_child (c, weir_bytes_str (key), &weir_container_map, false);
        if (next == NULL) {
            break;
        }
        c = next;
        size_t len = strlen (name);
        snprintf (name + len, NAME_BYTES - len, "/%s", key);
    }
    return c;
}

static void
play_op (struct replica *r, struct weir_change *change, struct entry *e)
{
    struct world *w = r->world;
    struct weir_error error = { 0 };
    struct weir_value value = { .type = WEIR_VALUE_INT, .number.i = (int64_t) below (w, 3) };
    struct weir_container *child = NULL;
    char key[2] = { (char) ('k' + below (w, 2)), 0 };
    struct write x = { .offset = (uint32_t) weir_change_atoms (change) };
    enum weir_status status = WEIR_OK;
    struct weir_container *on = random_map (r, change, e, x.map);
    struct weir_bytes name = weir_bytes_str (key);
    memcpy (x.key, key, sizeof key);
    if (strlen (x.map) > NAME_BYTES - 8u) {
        return;
    }
    switch (below (w, 5)) {
    case 0:
        status = weir_change_map_make (change, on, name, &weir_container_map, &child, &error);
        x.child = CHILD_UNIQUE;
        break;
    case 1:
        status = weir_change_child (change, on, name, &weir_container_map, &child, &error);
        x.child = CHILD_PATH;
        break;
    case 2:
        status = weir_change_map_delete (change, on, name, &error);
        x.is_deleted = true;
        break;
    default:
        status = weir_change_map_set (change, on, name, &value, &error);
        x.number = value.number.i;
    }
    model_check (status == WEIR_OK, "an op: %s", error.what);
    /* What is there already is not written again. */
    e->n_writes++;
    e->writes[e->n_writes - 1] = (struct write){ .map = "" };
    size_t by = 0;
    const struct write *now =
        winner (w, r->seen | (uint64_t) 1 << (e - w->entries), x.map, x.key, &by);
    bool same = now == NULL ? x.is_deleted
                            : now->is_deleted == x.is_deleted && now->child == x.child
                                  && x.child != CHILD_UNIQUE && now->number == x.number;
    model_check (weir_change_atoms (change) == x.offset + (same ? 0u : 1u), "ops at %s/%s", x.map,
                 x.key);
    e->n_writes -= same ? 1 : 0;
    if (!same) {
        e->writes[e->n_writes - 1] = x;
    }
}

/* An entry on top of what the replica has: its place among the others. */
static struct entry *
entry_begin (struct replica *r)
{
    struct world *w = r->world;
    struct entry *e = &w->entries[w->n_entries];
    size_t n = 0;
    const struct weir_id *heads = weir_doc_heads (r->doc, &n);
    *e = (struct entry){ .past = r->seen };
    e->head.chain = r->chain;
    e->head.lamport = weir_doc_lamport (r->doc);
    model_check (n <= WEIR_ENTRY_DEPS_MAX, "too many heads");
    for (size_t i = 0; i < n; i++) {
        e->parents[i] = heads[i];
    }
    e->head.parents = e->parents;
    e->head.n_parents = (uint32_t) n;
    for (size_t i = 0; i < w->n_entries; i++) {
        const struct weir_doc_entry *other = &w->entries[i].head;
        if ((r->seen >> i & 1) != 0 && weir_chain_compare (&other->chain, &r->chain) == 0
            && other->seq >= e->head.seq) {
            e->head.seq = other->seq + 1;
        }
    }
    weir_rand_bytes (&w->rand, e->head.id.b, WEIR_ID_BYTES);
    return e;
}

static void
play_change (struct replica *r)
{
    struct world *w = r->world;
    struct weir_error error = { 0 };
    struct entry *e = entry_begin (r);
    struct weir_change *change = weir_change_open (r->doc, &r->chain, e->head.seq);
    w->n_entries++; /* the model sees it while it is made */
    r->seen |= (uint64_t) 1 << (w->n_entries - 1);
    for (uint64_t n = below (w, WRITES_MAX); n > 0; n--) {
        play_op (r, change, e);
        if (below (w, 16) == 0) {
            weir_doc_cool (r->doc);
        } else if (below (w, 16) == 0) {
            model_check (weir_doc_warm (r->doc) == WEIR_OK, "a document does not warm up");
        }
    }
    enum weir_status status =
        weir_change_payload (change, weir_bytes (NULL, 0), &e->payload, &e->head.ops, &error);
    model_check (status == WEIR_OK && e->head.ops == e->n_writes, "seal: %s", error.what);
    weir_change_seal (change, &e->head);
    weir_change_destroy (&change);
    r->order[r->n_order++] = w->n_entries - 1;
}

static void
play_inert (struct replica *r)
{
    struct world *w = r->world;
    struct entry *e = entry_begin (r);
    static const char payload[] = "\x01\x00\x00\x01\x04\x01m\x00\x00\x01k\x00\x0f\x01k";
    e->is_inert = true;
    e->head.ops = (uint32_t) below (w, 3);
    weir_buf_put (&e->payload, payload, sizeof payload - 1);
    w->n_entries++;
    apply (r, w->n_entries - 1);
}

static void
play_sync (struct world *w, const struct replica *from, struct replica *to)
{
    while ((from->seen & ~to->seen) != 0) {
        size_t i = below (w, w->n_entries);
        bool lacks = (from->seen & ~to->seen) >> i & 1;
        if (lacks && (w->entries[i].past & ~to->seen) == 0) {
            apply (to, i);
        }
    }
}

static void
play_reload (struct replica *r)
{
    struct weir_buf state = { 0 };
    weir_doc_save (r->doc, &state);
    weir_doc_destroy (&r->doc);
    enum weir_status status = weir_doc_load (&r->doc, weir_buf_bytes (&state));
    model_check (status == WEIR_OK, "a saved state does not load");
    weir_doc_set_history (r->doc, &r->history);
    weir_buf_fini (&state);
}

/* ---- what must agree ---- */

static void
check_heads (const struct world *w, const struct replica *r)
{
    size_t n = 0;
    size_t wanted = 0;
    uint64_t lamport = 0;
    const struct weir_id *heads = weir_doc_heads (r->doc, &n);
    for (size_t i = 0; i < w->n_entries; i++) {
        const struct entry *e = &w->entries[i];
        bool is_head = (r->seen >> i & 1) != 0;
        if (is_head && lamport < e->head.lamport + e->head.ops) {
            lamport = e->head.lamport + e->head.ops;
        }
        for (size_t k = 0; k < w->n_entries; k++) {
            is_head = is_head && !((r->seen >> k & 1) != 0 && (w->entries[k].past >> i & 1) != 0);
        }
        bool found = false;
        for (size_t k = 0; k < n; k++) {
            found = found || weir_id_equal (&heads[k], &e->head.id);
        }
        model_check (found == is_head, "entry %zu among the heads", i);
        wanted += is_head;
    }
    model_check (n == wanted && lamport == weir_doc_lamport (r->doc), "heads or lamport");
    if (weir_doc_is_warm (r->doc)) {
        model_check (weir_graph_count (weir_doc_graph (r->doc)) == r->n_order, "the graph");
    }
}

static void
check_value (const struct world *w, const struct replica *r)
{
    struct weir_error e = { 0 };
    json_t *got = NULL;
    json_t *wanted = model_roots (w, r->seen);
    enum weir_status status = weir_doc_get (r->doc, "", &got, &e);
    if (status != WEIR_OK || !json_equal (got, wanted)) {
        char *a = json_dumps (got, JSON_SORT_KEYS);
        char *b = json_dumps (wanted, JSON_SORT_KEYS);
        weir_model_fail (__FILE__, __LINE__, "%s\n  model: %s", a, b);
    }
    json_decref (got);
    json_decref (wanted);
}

static void
check_same_bytes (const struct replica *a, const struct replica *b)
{
    struct weir_buf x = { 0 };
    struct weir_buf y = { 0 };
    weir_doc_save (a->doc, &x);
    weir_doc_save (b->doc, &y);
    model_check (weir_bytes_equal (weir_buf_bytes (&x), weir_buf_bytes (&y)),
                 "states of the same entries differ");
    weir_buf_fini (&x);
    weir_buf_fini (&y);
}

static void
world_begin (struct world *w, uint64_t seed)
{
    weir_rand_init (&w->rand, seed);
    w->n_replicas = 2 + below (w, REPLICAS_MAX - 1);
    for (size_t i = 0; i < w->n_replicas; i++) {
        struct replica *r = &w->replicas[i];
        r->world = w;
        r->history = (struct weir_history){ .context = r, .read = history_read };
        r->doc = weir_doc_new ();
        weir_doc_set_history (r->doc, &r->history);
        /* Two may write one chain. */
        r->chain.author.b[0] = (uint8_t) (1 + below (w, w->n_replicas));
        r->chain.lane = below (w, 2);
    }
}

void
weir_model_doc (uint64_t seed)
{
    static struct world world;
    struct world *w = &world;
    *w = (struct world){ .n_entries = 0 };
    world_begin (w, seed);
    for (uint64_t steps = 5 + below (w, 50); steps > 0; steps--) {
        struct replica *r = &w->replicas[below (w, w->n_replicas)];
        uint64_t what = below (w, 12);
        if (what < 6 && w->n_entries < ENTRIES_MAX) {
            play_change (r);
        } else if (what == 6 && w->n_entries < ENTRIES_MAX) {
            play_inert (r);
        } else if (what < 10) {
            play_sync (w, &w->replicas[below (w, w->n_replicas)], r);
        } else if (what == 10) {
            play_reload (r);
        } else {
            model_check (weir_doc_warm (r->doc) == WEIR_OK, "a document does not warm up");
        }
        check_value (w, r);
        check_heads (w, r);
    }
    for (size_t i = 1; i < w->n_replicas; i++) {
        play_sync (w, &w->replicas[i], &w->replicas[0]);
    }
    for (size_t i = 0; i < w->n_replicas; i++) {
        play_sync (w, &w->replicas[0], &w->replicas[i]);
        check_value (w, &w->replicas[i]);
        check_heads (w, &w->replicas[i]);
        check_same_bytes (&w->replicas[0], &w->replicas[i]);
    }
    for (size_t i = 0; i < w->n_replicas; i++) {
        weir_doc_destroy (&w->replicas[i].doc);
    }
    for (size_t i = 0; i < w->n_entries; i++) {
        weir_buf_fini (&w->entries[i].payload);
    }
}
