/* Goal: documents of maps against a list of all writes ever made, searched through for every
 * question. Replicas edit, fork (two of them write one chain), exchange and forget entries to
 * start from a saved state; values, ops, conflicts and saved bytes must agree at every step, and
 * in whatever order all entries are applied at the end. */

#include "tests/models/models.h"

#include "store/crdt/payload.h"

#include "store/base/rand.h"
#include "store/dag/blob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICAS_MAX 4u
#define ENTRIES_MAX 64u
#define PLACE_BYTES 64u
#define CHAINS_SHOWN (WEIR_LOSERS_MAX + 1u)

/* ---- the model: writes in a list ---- */

/* A blob is a value, though it shows as an object. */
static bool
is_map (const json_t *value)
{
    return json_is_object (value) && json_object_get (value, "$blob") == NULL;
}

struct write {
    char map[PLACE_BYTES]; /* "/root/key/...": keys here hold no slash */
    char key[8];
    json_t *value; /* scalar; NULL: deleted, or a map */
    bool is_map;
    struct weir_order_key order;
};

struct writes {
    struct write *items;
    size_t count;
    size_t cap;
};

struct entry {
    struct weir_doc_entry head;
    struct weir_buf payload;
    struct writes writes;
    uint64_t past; /* entries it had seen, a bit each */
};

struct replica {
    struct weir_doc *doc;
    struct weir_chain chain;
    uint64_t seen; /* entries */
};

struct world {
    struct weir_rand rand;
    struct entry entries[ENTRIES_MAX];
    size_t n_entries;
    struct replica replicas[REPLICAS_MAX];
    size_t n_replicas;
};

/* What one looks at: the writes of some entries, and behind them an edit's own. */
struct view {
    const struct world *world;
    uint64_t seen;
    struct writes *own;
};

static struct write *
writes_add (struct writes *w, const char *map, const char *key)
{
    weir_grow (&w->items, &w->cap, w->count + 1, sizeof *w->items);
    struct write *x = &w->items[w->count++];
    *x = (struct write){ .is_map = false };
    snprintf (x->map, sizeof x->map, "%s", map);
    snprintf (x->key, sizeof x->key, "%s", key);
    return x;
}

static void
writes_fini (struct writes *w)
{
    for (size_t i = 0; i < w->count; i++) {
        json_decref (w->items[i].value);
    }
    free (w->items);
    *w = (struct writes){ 0 };
}

static uint64_t
lamport_of (const struct view *v)
{
    uint64_t lamport = 0;
    for (size_t i = 0; i < v->world->n_entries; i++) {
        const struct weir_doc_entry *e = &v->world->entries[i].head;
        if ((v->seen >> i & 1) != 0 && lamport < e->lamport + e->ops) {
            lamport = e->lamport + e->ops;
        }
    }
    return lamport;
}

/* Every write in sight, one after the other. */
static const struct write *
view_next (const struct view *v, size_t *entry, size_t *i)
{
    for (; *entry < v->world->n_entries; (*entry)++, *i = 0) {
        const struct entry *e = &v->world->entries[*entry];
        if ((v->seen >> *entry & 1) != 0 && *i < e->writes.count) {
            return &e->writes.items[(*i)++];
        }
    }
    return v->own != NULL && *i < v->own->count ? &v->own->items[(*i)++] : NULL;
}

/* The greatest write there, or NULL. An edit's own come after all others. */
static const struct write *
winner (const struct view *v, const char *map, const char *key)
{
    const struct write *best = NULL;
    const struct write *w;
    size_t entry = 0;
    size_t i = 0;
    while ((w = view_next (v, &entry, &i)) != NULL) {
        bool own = entry == v->world->n_entries;
        if (strcmp (w->map, map) == 0 && strcmp (w->key, key) == 0
            && (best == NULL || own || weir_order_key_compare (&w->order, &best->order) > 0)) {
            best = w;
        }
    }
    return best;
}

static const struct write *
visible (const struct view *v, const char *map, const char *key)
{
    const struct write *w = winner (v, map, key);
    return w != NULL && (w->is_map || w->value != NULL) ? w : NULL;
}

static bool
is_root (const char *map)
{
    return map[0] == 0;
}

static void
place (char out[PLACE_BYTES], const char *map, const char *key)
{
    char joined[PLACE_BYTES + 16];
    snprintf (joined, sizeof joined, "%s/%s", map, key);
    model_check (strlen (joined) < PLACE_BYTES, "a place is too long");
    memcpy (out, joined, strlen (joined) + 1);
}

/* Is there a map of that root at all? Something in it was written. */
static bool
root_exists (const struct view *v, const char *root)
{
    char map[PLACE_BYTES];
    const struct write *w;
    size_t entry = 0;
    size_t i = 0;
    place (map, "", root);
    while ((w = view_next (v, &entry, &i)) != NULL) {
        size_t len = strlen (map);
        if (strncmp (w->map, map, len) == 0 && (w->map[len] == 0 || w->map[len] == '/')) {
            return true;
        }
    }
    return false;
}

static json_t *
model_json (const struct view *v, const char *map)
{
    json_t *out = json_object ();
    const struct write *w;
    size_t entry = 0;
    size_t i = 0;
    while ((w = view_next (v, &entry, &i)) != NULL) {
        char below[PLACE_BYTES];
        char key[sizeof w->key + 1];
        snprintf (key, sizeof key, "%s", w->key);
        if (is_root (map)) {
            sscanf (w->map, "/%7[^/]", key);
        } else if (strcmp (w->map, map) != 0) {
            continue;
        }
        if (json_object_get (out, key) != NULL) {
            continue;
        }
        const struct write *now = is_root (map) ? NULL : visible (v, map, key);
        place (below, map, key);
        if (is_root (map) || (now != NULL && now->is_map)) {
            json_object_set_new (out, key, model_json (v, below));
        } else if (now != NULL) {
            json_object_set (out, key, now->value);
        }
    }
    return out;
}

/* ---- the model: edits ---- */

static void
put (const struct view *v, const char *map, const char *key, const json_t *value, bool is_map)
{
    struct write *w = writes_add (v->own, map, key);
    w->value = value != NULL ? json_deep_copy (value) : NULL;
    w->is_map = is_map;
}

static void
clear (const struct view *v, const char *map, const json_t *keep)
{
    json_t *now = model_json (v, map);
    const char *key;
    json_t *value;
    json_object_foreach (now, key, value)
    {
        char below[PLACE_BYTES];
        if (keep != NULL && json_object_get (keep, key) != NULL) {
            continue;
        }
        if (is_map (value)) {
            place (below, map, key);
            clear (v, below, NULL);
        }
        put (v, map, key, NULL, false);
    }
    json_decref (now);
}

static void
assign (const struct view *v, const char *map, const char *key, json_t *value)
{
    const struct write *now = is_root (map) ? NULL : visible (v, map, key);
    bool was_map = is_root (map) || (now != NULL && now->is_map);
    char below[PLACE_BYTES];
    place (below, map, key);
    if (!is_map (value)) {
        if (now != NULL && !now->is_map && json_equal (now->value, value)) {
            return;
        }
        if (was_map) {
            clear (v, below, NULL);
        }
        put (v, map, key, value, false);
        return;
    }
    if (!was_map) {
        put (v, map, key, NULL, true);
    }
    clear (v, below, value);
    const char *name;
    json_t *item;
    json_object_foreach (value, name, item)
    {
        assign (v, below, name, item);
    }
}

/* A path as its parts; model and engine are asked for the same. */
struct way {
    char parts[5][8];
    size_t count;
    char text[PLACE_BYTES];
};

/* Goes to the map that holds the last part, making what is missing. */
static enum weir_status
walk (const struct view *v, const struct way *way, bool make, char map[PLACE_BYTES])
{
    map[0] = 0;
    for (size_t i = 0; i + 1 < way->count; i++) {
        if (i > 0) {
            const struct write *now = visible (v, map, way->parts[i]);
            if (now != NULL && !now->is_map) {
                return WEIR_CONFLICT;
            }
            if (now == NULL && !make) {
                return WEIR_NOT_FOUND;
            }
            if (now == NULL) {
                put (v, map, way->parts[i], NULL, true);
            }
        }
        char below[PLACE_BYTES];
        place (below, map, way->parts[i]);
        memcpy (map, below, PLACE_BYTES);
    }
    return WEIR_OK;
}

static enum weir_status
model_set (const struct view *v, const struct way *way, json_t *value, bool make)
{
    char map[PLACE_BYTES];
    enum weir_status status = walk (v, way, make, map);
    if (status == WEIR_OK && way->count == 1 && !is_map (value)) {
        status = WEIR_INVALID_ARGUMENT;
    }
    if (status == WEIR_OK) {
        assign (v, map, way->parts[way->count - 1], value);
    }
    return status;
}

/* NULL: nothing there. */
static json_t *
model_get (const struct view *v, const struct way *way)
{
    char map[PLACE_BYTES];
    char below[PLACE_BYTES];
    const char *key = way->parts[way->count - 1];
    if (walk (v, way, false, map) != WEIR_OK) {
        return NULL;
    }
    place (below, map, key);
    if (way->count == 1) {
        return root_exists (v, key) ? model_json (v, below) : NULL;
    }
    const struct write *now = visible (v, map, key);
    if (now == NULL) {
        return NULL;
    }
    return now->is_map ? model_json (v, below) : json_incref (now->value);
}

static enum weir_status
model_remove (const struct view *v, const struct way *way)
{
    char map[PLACE_BYTES];
    char below[PLACE_BYTES];
    const char *key = way->parts[way->count - 1];
    enum weir_status status = walk (v, way, false, map);
    json_t *now = status == WEIR_OK ? model_get (v, way) : NULL;
    if (status == WEIR_OK && now == NULL) {
        status = WEIR_NOT_FOUND;
    }
    if (is_map (now)) {
        place (below, map, key);
        clear (v, below, NULL);
    }
    if (status == WEIR_OK && way->count > 1) {
        put (v, map, key, NULL, false);
    }
    json_decref (now);
    return status;
}

/* ---- chance ---- */

static uint64_t
below (struct world *w, uint64_t n)
{
    return weir_rand_below (&w->rand, n);
}

static struct way
random_way (struct world *w)
{
    struct way way = { .count = 1 + below (w, 4) };
    size_t len = 0;
    for (size_t i = 0; i < way.count; i++) {
        snprintf (way.parts[i], sizeof way.parts[i], "%c",
                  (i == 0 ? 'm' : 'a') + (int) below (w, i == 0 ? 2 : 3));
        len += (size_t) snprintf (way.text + len, sizeof way.text - len, "/%s", way.parts[i]);
    }
    return way;
}

/* One of two, so that equal ones meet. */
static json_t *
random_blob (struct world *w)
{
    char bytes[2] = { (char) ('a' + below (w, 2)), 0 };
    struct weir_id id = weir_blob_id (weir_bytes_str (bytes));
    return json_pack ("{s:s, s:i}", "$blob", weir_id_text (&id).s, "bytes", 70000);
}

static json_t *
random_value (struct world *w, int depth)
{
    switch (below (w, depth > 0 ? 10 : 7)) {
    case 0:
        return json_null ();
    case 1:
        return json_boolean (below (w, 2));
    case 2:
        return json_real ((double) below (w, 3));
    case 3:
        return json_pack ("s", below (w, 2) ? "text" : "");
    case 4:
    case 5:
        return json_integer ((json_int_t) below (w, 3));
    case 6:
        return random_blob (w);
    default:
        break;
    }
    json_t *out = json_object ();
    for (uint64_t n = below (w, 3); n > 0; n--) {
        char key[2] = { (char) ('a' + below (w, 3)), 0 };
        json_object_set_new (out, key, random_value (w, depth - 1));
    }
    return out;
}

/* ---- both together ---- */

static json_t *
patch_of (const char *op, const char *path, const char *from, json_t *value)
{
    json_t *step = json_pack ("{s:s,s:s}", "op", op, "path", path);
    if (from != NULL) {
        json_object_set_new (step, "from", json_string (from));
    }
    if (value != NULL) {
        json_object_set (step, "value", value);
    }
    return json_pack ("[o]", step);
}

static enum weir_status
play_patch (struct weir_edit *edit, json_t *patch, struct weir_error *e)
{
    enum weir_status status = weir_edit_patch (edit, patch, e);
    json_decref (patch);
    return status;
}

/* One call on the edit and on the model. */
static void
play_step (struct world *w, struct weir_edit *edit, const struct view *v)
{
    struct weir_error e = { 0 };
    struct way way = random_way (w);
    struct way from = random_way (w);
    json_t *value = random_value (w, 2);
    json_t *there = model_get (v, &from);
    size_t count = v->own->count;
    uint64_t what = below (w, 10);
    enum weir_status got = WEIR_OK;
    enum weir_status wanted = WEIR_OK;
    if (what < 3) {
        wanted = model_set (v, &way, value, true);
        got = weir_edit_set (edit, way.text, value, &e);
    } else if (what == 3) {
        wanted = model_remove (v, &way);
        got = weir_edit_remove (edit, way.text, &e);
    } else if (what == 4) {
        wanted = model_set (v, &way, value, false);
        got = play_patch (edit, patch_of ("add", way.text, NULL, value), &e);
    } else if (what == 5) {
        wanted = model_remove (v, &way);
        got = play_patch (edit, patch_of ("remove", way.text, NULL, NULL), &e);
    } else if (what > 7) {
        /* Two in one: when the second fails, the first has not happened. */
        json_t *patch = patch_of ("add", way.text, NULL, value);
        json_t *second = patch_of ("remove", from.text, NULL, NULL);
        wanted = model_set (v, &way, value, false);
        wanted = wanted == WEIR_OK ? model_remove (v, &from) : wanted;
        json_array_extend (patch, second);
        json_decref (second);
        got = play_patch (edit, patch, &e);
    } else if (what == 6 && there != NULL) {
        wanted = model_set (v, &way, there, false);
        got = play_patch (edit, patch_of ("copy", way.text, from.text, NULL), &e);
    } else if (there != NULL) {
        got = play_patch (edit, patch_of ("test", from.text, NULL, there), &e);
    }
    model_check (got == wanted, "%s at %s (%d from %s): %s, model: %s", e.what, way.text,
                 (int) what, from.text, weir_status_code (got), weir_status_code (wanted));
    while (wanted != WEIR_OK && v->own->count > count) {
        json_decref (v->own->items[--v->own->count].value);
    }
    model_check (weir_edit_ops (edit) == v->own->count, "%zu ops, model: %zu", weir_edit_ops (edit),
                 v->own->count);
    json_decref (value);
    json_decref (there);
}

static void
row_place (const struct weir_payload *p, uint32_t row, char out[PLACE_BYTES])
{
    const struct weir_payload_row *r = &p->rows[row];
    char parent[PLACE_BYTES] = "";
    char key[8];
    if (r->kind == WEIR_ROW_PATH) {
        row_place (p, r->parent, parent);
    }
    snprintf (key, sizeof key, "%.*s", (int) r->key.len, (const char *) r->key.data);
    place (out, parent, key);
}

static bool
same_value (const struct write *a, const struct write *b)
{
    if (a->is_map != b->is_map || (a->value == NULL) != (b->value == NULL)) {
        return false;
    }
    return a->value == NULL || json_equal (a->value, b->value);
}

/* The payload's ops as writes; they must be what the model wrote, in some order. */
static void
entry_read (struct entry *e, struct writes *own)
{
    struct weir_payload p = { 0 };
    enum weir_status status = weir_payload_decode (&p, weir_buf_bytes (&e->payload));
    model_check (status == WEIR_OK, "a payload does not decode");
    model_check (p.n_ops == own->count, "another number of ops in the payload");
    for (size_t i = 0; i < p.n_ops; i++) {
        const struct weir_op *op = &p.ops[i];
        char map[PLACE_BYTES];
        char key[8];
        row_place (&p, op->row, map);
        snprintf (key, sizeof key, "%.*s", (int) op->key.len, (const char *) op->key.data);
        struct write *x = writes_add (&e->writes, map, key);
        x->is_map = op->value.type == WEIR_VALUE_CONTAINER;
        x->value = op->code == WEIR_MAP_SET && !x->is_map ? weir_value_json (&op->value) : NULL;
        x->order = (struct weir_order_key){ e->head.lamport + i, e->head.chain, e->head.id };
        size_t k = 0;
        while (k < own->count
               && (strcmp (own->items[k].map, map) != 0 || strcmp (own->items[k].key, key) != 0
                   || !same_value (&own->items[k], x))) {
            k++;
        }
        model_check (k < own->count, "the model did not write %s/%s", map, key);
        json_decref (own->items[k].value);
        own->items[k] = own->items[--own->count];
    }
    weir_payload_fini (&p);
}

static void
apply (struct replica *r, const struct world *w, size_t entry)
{
    const struct entry *e = &w->entries[entry];
    enum weir_status status = weir_doc_apply (r->doc, &e->head, weir_buf_bytes (&e->payload), NULL);
    model_check (status == WEIR_OK, "an entry is inert: %s", weir_status_code (status));
    r->seen |= (uint64_t) 1 << entry;
}

static void
play_edit (struct world *w, struct replica *r)
{
    struct writes own = { 0 };
    struct view v = { .world = w, .seen = r->seen, .own = &own };
    struct weir_edit *edit = weir_edit_new (r->doc);
    struct weir_error error = { 0 };
    struct entry *e = &w->entries[w->n_entries];
    *e = (struct entry){ .past = r->seen };
    for (uint64_t n = 1 + below (w, 4); n > 0; n--) {
        play_step (w, edit, &v);
    }
    e->head.chain = r->chain;
    e->head.lamport = lamport_of (&v);
    for (size_t i = 0; i < w->n_entries; i++) {
        const struct weir_doc_entry *other = &w->entries[i].head;
        if ((r->seen >> i & 1) != 0 && weir_chain_compare (&other->chain, &r->chain) == 0
            && other->seq >= e->head.seq) {
            e->head.seq = other->seq + 1;
        }
    }
    weir_rand_bytes (&w->rand, e->head.id.b, WEIR_ID_BYTES);
    enum weir_status status =
        weir_edit_seal (edit, weir_bytes (NULL, 0), &e->payload, &e->head.ops, &error);
    model_check (status == WEIR_OK, "seal: %s", error.what);
    entry_read (e, &own);
    w->n_entries++;
    apply (r, w, w->n_entries - 1);
    weir_edit_destroy (&edit);
    writes_fini (&own);
}

/* All that `from` has and `to` lacks, in a random order that keeps causes first. */
static void
play_sync (struct world *w, struct replica *from, struct replica *to)
{
    while ((from->seen & ~to->seen) != 0) {
        size_t i = below (w, w->n_entries);
        bool lacks = (from->seen & ~to->seen) >> i & 1;
        if (lacks && (w->entries[i].past & ~to->seen) == 0) {
            apply (to, w, i);
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
    weir_buf_fini (&state);
}

/* ---- what must agree ---- */

static void
check_value (const struct world *w, const struct replica *r)
{
    struct view v = { .world = w, .seen = r->seen };
    struct weir_error e = { 0 };
    json_t *got = NULL;
    json_t *wanted = model_json (&v, "");
    enum weir_status status = weir_doc_get (r->doc, "", &got, &e);
    if (status != WEIR_OK || !json_equal (got, wanted)) {
        char *a = json_dumps (got, JSON_SORT_KEYS);
        char *b = json_dumps (wanted, JSON_SORT_KEYS);
        weir_model_fail (__FILE__, __LINE__, "%s\n  model: %s", a, b);
    }
    json_decref (got);
    json_decref (wanted);
}

static int
greatest_first (const void *a, const void *b)
{
    return weir_order_key_compare (&((const struct write *) b)->order,
                                   &((const struct write *) a)->order);
}

/* Of each chain its greatest write, the greatest of those. */
static size_t
model_conflicts (const struct view *v, const char *map, const char *key, struct write *out)
{
    const struct write *w;
    size_t n = 0;
    size_t entry = 0;
    size_t i = 0;
    while ((w = view_next (v, &entry, &i)) != NULL) {
        if (strcmp (w->map, map) != 0 || strcmp (w->key, key) != 0) {
            continue;
        }
        size_t k = 0;
        while (k < n && weir_chain_compare (&out[k].order.chain, &w->order.chain) != 0) {
            k++;
        }
        if (k == n || weir_order_key_compare (&w->order, &out[k].order) > 0) {
            out[k] = *w;
            n += k == n;
        }
    }
    qsort (out, n, sizeof *out, greatest_first);
    return n;
}

static void
check_conflicts (struct world *w, const struct replica *r)
{
    struct view v = { .world = w, .seen = r->seen };
    struct way way = random_way (w);
    struct write wanted[REPLICAS_MAX];
    struct weir_doc_value values[CHAINS_SHOWN];
    struct weir_error e = { 0 };
    char map[PLACE_BYTES];
    size_t count = 0;
    size_t n = 0;
    if (way.count > 1 && walk (&v, &way, false, map) == WEIR_OK) {
        n = model_conflicts (&v, map, way.parts[way.count - 1], wanted);
    }
    enum weir_status status =
        weir_doc_conflicts (r->doc, way.text, values, CHAINS_SHOWN, &count, &e);
    model_check (n > 0 ? status == WEIR_OK : status != WEIR_OK, "conflicts at %s: %s", way.text,
                 e.what);
    model_check (n == count, "%zu values at %s, model: %zu", count, way.text, n);
    for (size_t i = 0; i < n; i++) {
        model_check (weir_order_key_compare (&values[i].key, &wanted[i].order) == 0, "order at %s",
                     way.text);
        model_check (wanted[i].is_map          ? is_map (values[i].value)
                     : wanted[i].value == NULL ? values[i].value == NULL
                                               : json_equal (values[i].value, wanted[i].value),
                     "value %zu at %s", i, way.text);
        json_decref (values[i].value);
    }
}

static void
check_same_bytes (const struct weir_doc *a, const struct weir_doc *b)
{
    struct weir_buf x = { 0 };
    struct weir_buf y = { 0 };
    weir_doc_save (a, &x);
    weir_doc_save (b, &y);
    model_check (weir_bytes_equal (weir_buf_bytes (&x), weir_buf_bytes (&y)),
                 "states of the same entries differ");
    weir_buf_fini (&x);
    weir_buf_fini (&y);
}

/* All entries, in any order (maps need none), make the same bytes. */
static void
check_any_order (struct world *w, const struct replica *r)
{
    struct replica fresh = { .doc = weir_doc_new () };
    while (fresh.seen != r->seen) {
        size_t i = below (w, w->n_entries);
        if ((fresh.seen >> i & 1) == 0 && (r->seen >> i & 1) != 0) {
            apply (&fresh, w, i);
        }
    }
    check_same_bytes (fresh.doc, r->doc);
    weir_doc_destroy (&fresh.doc);
}

void
weir_model_map (uint64_t seed)
{
    struct world w = { .n_entries = 0 };
    weir_rand_init (&w.rand, seed);
    w.n_replicas = 2 + below (&w, REPLICAS_MAX - 1);
    for (size_t i = 0; i < w.n_replicas; i++) {
        w.replicas[i].doc = weir_doc_new ();
        /* Two may write one chain. */
        w.replicas[i].chain.author.b[0] = (uint8_t) (1 + below (&w, w.n_replicas));
        w.replicas[i].chain.lane = below (&w, 2);
    }
    for (uint64_t steps = 5 + below (&w, 50); steps > 0; steps--) {
        struct replica *r = &w.replicas[below (&w, w.n_replicas)];
        uint64_t what = below (&w, 10);
        if (what < 6 && w.n_entries < ENTRIES_MAX) {
            play_edit (&w, r);
        } else if (what < 9) {
            play_sync (&w, &w.replicas[below (&w, w.n_replicas)], r);
        } else {
            play_reload (r);
        }
        check_value (&w, r);
        check_conflicts (&w, r);
    }
    for (size_t i = 1; i < w.n_replicas; i++) {
        play_sync (&w, &w.replicas[i], &w.replicas[0]);
    }
    check_any_order (&w, &w.replicas[0]);
    for (size_t i = 0; i < w.n_replicas; i++) {
        play_sync (&w, &w.replicas[0], &w.replicas[i]);
        check_value (&w, &w.replicas[i]);
        check_same_bytes (w.replicas[0].doc, w.replicas[i].doc);
    }
    for (size_t i = 0; i < w.n_replicas; i++) {
        weir_doc_destroy (&w.replicas[i].doc);
    }
    for (size_t i = 0; i < w.n_entries; i++) {
        writes_fini (&w.entries[i].writes);
        weir_buf_fini (&w.entries[i].payload);
    }
}
