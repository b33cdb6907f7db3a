/* Owns differences of documents: walks both from the roots, containers with the same id side by
 * side, and writes a row for each that differs. What differs inside a sequence, diff_seq.c says,
 * inside a tree, diff_tree.c. It changes neither document (but both get warm). */

#include "store/replica/diff.h"

#include "store/base/map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows and values ---- */

json_t *
weir_diff_row (const struct weir_id *id, const struct weir_container_type *type,
               struct weir_bytes path, json_t *diff)
{
    json_t *row = json_object ();
    json_object_set_new (row, "container", json_string (weir_id_text (id).s));
    json_object_set_new (row, "type", json_string (type->name));
    json_object_set_new (row, "path", json_stringn_nocheck ((const char *) path.data, path.len));
    json_object_set_new (row, "diff", diff);
    return row;
}

struct weir_id
weir_diff_path_id (const struct weir_id *parent, struct weir_bytes key,
                   const struct weir_container_type *type)
{
    uint8_t head[WEIR_ID_BYTES + 1];
    memcpy (head, parent->b, WEIR_ID_BYTES);
    head[WEIR_ID_BYTES] = type->number;
    return weir_hash (WEIR_DOMAIN_CONTAINER, weir_bytes (head, sizeof head), key);
}

bool
weir_diff_is_child (const struct weir_item *item)
{
    return item->value.type == WEIR_VALUE_CONTAINER || item->value.type == WEIR_VALUE_UNIQUE;
}

struct weir_id
weir_diff_item_id (const struct weir_id *parent, const struct weir_item *item)
{
    struct weir_id id = weir_id_zero;
    if (item->child != NULL) {
        return item->child->id;
    }
    if (item->value.type == WEIR_VALUE_CONTAINER) {
        return weir_diff_path_id (parent, item->key, weir_container_type (item->value.container));
    }
    if (item->value.bytes.len == WEIR_ID_BYTES) {
        memcpy (id.b, item->value.bytes.data, WEIR_ID_BYTES);
    }
    return id;
}

json_t *
weir_diff_value (const struct weir_id *parent, const struct weir_item *item)
{
    if (!weir_diff_is_child (item)) {
        return weir_value_json (&item->value);
    }
    struct weir_id id = weir_diff_item_id (parent, item);
    json_t *json = json_object ();
    json_object_set_new (json, "$container", json_string (weir_id_text (&id).s));
    json_object_set_new (json, "type",
                         json_string (weir_container_type (item->value.container)->name));
    if (item->value.type == WEIR_VALUE_UNIQUE) {
        json_object_set_new (json, "unique", json_true ());
    }
    return json;
}

/* Children by path stand under the same key of the same container: their type tells. */
bool
weir_diff_same (const struct weir_item *a, const struct weir_item *b)
{
    if (a->value.type != b->value.type || !weir_diff_is_child (a)) {
        return weir_value_equal (&a->value, &b->value);
    }
    if (a->value.type == WEIR_VALUE_CONTAINER) {
        return a->value.container == b->value.container;
    }
    struct weir_id x = weir_diff_item_id (&weir_id_zero, a);
    struct weir_id y = weir_diff_item_id (&weir_id_zero, b);
    return weir_id_equal (&x, &y);
}

void
weir_diff_path_key (struct weir_buf *path, struct weir_bytes key)
{
    weir_buf_put_u8 (path, '/');
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] == '~' || key.data[i] == '/') {
            weir_buf_put_u8 (path, '~');
            weir_buf_put_u8 (path, key.data[i] == '~' ? '0' : '1');
        } else {
            weir_buf_put_u8 (path, key.data[i]);
        }
    }
}

json_t *
weir_diff_attributes (const json_t *a, const json_t *b)
{
    json_t *out = NULL;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *) (uintptr_t) b, key, value)
    {
        if (a == NULL || !json_equal (json_object_get (a, key), value)) {
            out = out != NULL ? out : json_object ();
            json_object_set (out, key, value);
        }
    }
    json_object_foreach ((json_t *) (uintptr_t) a, key, value)
    {
        if (b == NULL || json_object_get (b, key) == NULL) {
            out = out != NULL ? out : json_object ();
            json_object_set_new (out, key, json_null ());
        }
    }
    return out;
}

/* ---- the walk ---- */

/* Two containers with one id; either may be NULL: empty, or not there. */
struct pair {
    struct weir_container *a;
    struct weir_container *b;
    const struct weir_container_type *type;
    struct weir_id id;
    char *path;
};

struct walk {
    json_t *rows;
    struct pair *todo; /* the next one is the last */
    size_t count;
    size_t cap;
};

/* `key` counts as it stands, or is an index when it has no data. */
static void
push (struct walk *w, const struct pair *above, struct weir_bytes key, struct weir_container *a,
      struct weir_container *b)
{
    const struct weir_container *some = b != NULL ? b : a;
    struct weir_buf path = { 0 };
    if (some == NULL) {
        return;
    }
    weir_buf_put_bytes (&path, weir_bytes_str (above->path));
    weir_diff_path_key (&path, key);
    weir_grow (&w->todo, &w->cap, w->count + 1, sizeof *w->todo);
    w->todo[w->count++] = (struct pair){
        .a = a,
        .b = b,
        .type = some->type,
        .id = some->id,
        .path = weir_strndup ((const char *) path.data, path.len),
    };
    weir_buf_fini (&path);
}

static void
push_at (struct walk *w, const struct pair *above, uint32_t index, struct weir_container *a,
         struct weir_container *b)
{
    char key[16];
    int len = snprintf (key, sizeof key, "%u", index);
    if (a != NULL || b != NULL) {
        push (w, above, weir_bytes (key, (size_t) len), a, b);
    }
}

/* Children wait in the order in which they were pushed: the last pushed would come first. */
static void
turn (struct walk *w, size_t from)
{
    for (size_t i = from, k = w->count; i + 1 < k; i++) {
        struct pair p = w->todo[i];
        w->todo[i] = w->todo[--k];
        w->todo[k] = p;
    }
}

/* ---- maps ---- */

struct items {
    struct weir_item *items;
    size_t count;
    size_t cap;
};

static int
items_by_key (const void *a, const void *b)
{
    const struct weir_item *x = a;
    const struct weir_item *y = b;
    return weir_bytes_compare (x->key, y->key);
}

static struct items
items_of (const struct weir_container *map)
{
    struct items all = { 0 };
    struct weir_item item;
    size_t i = 0;
    while (map != NULL && map->type->next (map, &i, &item)) {
        weir_grow (&all.items, &all.cap, all.count + 1, sizeof *all.items);
        all.items[all.count++] = item;
    }
    if (all.count > 0) {
        qsort (all.items, all.count, sizeof *all.items, items_by_key);
    }
    return all;
}

/* What stands under one key on each side; NULL: nothing. */
static void
diff_key (struct walk *w, const struct pair *p, const struct weir_item *a,
          const struct weir_item *b, json_t **set, json_t **gone)
{
    if (b == NULL) {
        *gone = *gone != NULL ? *gone : json_array ();
        json_array_append_new (*gone,
                               json_stringn_nocheck ((const char *) a->key.data, a->key.len));
        return;
    }
    bool same = a != NULL && weir_diff_same (a, b);
    if (!same) {
        *set = *set != NULL ? *set : json_object ();
        json_object_setn_new_nocheck (*set, (const char *) b->key.data, b->key.len,
                                      weir_diff_value (&p->id, b));
    }
    if (weir_diff_is_child (b)) {
        push (w, p, b->key, same ? a->child : NULL, b->child);
    }
}

static json_t *
diff_map (struct walk *w, const struct pair *p)
{
    struct items a = items_of (p->a);
    struct items b = items_of (p->b);
    json_t *set = NULL;
    json_t *gone = NULL;
    json_t *diff = NULL;
    for (size_t i = 0, k = 0; i < a.count || k < b.count;) {
        int order = i == a.count   ? 1
                    : k == b.count ? -1
                                   : weir_bytes_compare (a.items[i].key, b.items[k].key);
        diff_key (w, p, order <= 0 ? &a.items[i] : NULL, order >= 0 ? &b.items[k] : NULL, &set,
                  &gone);
        i += order <= 0;
        k += order >= 0;
    }
    if (set != NULL || gone != NULL) {
        diff = json_object ();
    }
    if (set != NULL) {
        json_object_set_new (diff, "set", set);
    }
    if (gone != NULL) {
        json_object_set_new (diff, "delete", gone);
    }
    free (a.items);
    free (b.items);
    return diff;
}

/* ---- the roots: they come without a value, and never go; all that is in them does ---- */

static int
roots_by_name (const void *a, const void *b)
{
    const struct weir_container *x = *(struct weir_container *const *) a;
    const struct weir_container *y = *(struct weir_container *const *) b;
    int order = weir_bytes_compare (weir_container_key (x), weir_container_key (y));
    return order != 0 ? order : x->type->number - y->type->number;
}

static struct weir_container **
roots_of (const struct weir_doc *doc, size_t *count)
{
    struct weir_container *top = weir_doc_top (doc);
    struct weir_container **roots = NULL;
    struct weir_container *c;
    size_t cap = 0;
    size_t i = 0;
    *count = 0;
    while ((c = top->type->next_children (top, &i)) != NULL) {
        for (; c != NULL; c = c->sibling) {
            weir_grow (&roots, &cap, *count + 1, sizeof *roots);
            roots[(*count)++] = c;
        }
    }
    if (*count > 0) {
        qsort (roots, *count, sizeof *roots, roots_by_name);
    }
    return roots;
}

static void
push_roots (struct walk *w, struct weir_doc *a, struct weir_doc *b)
{
    const struct pair top = { .path = (char *) (uintptr_t) "" };
    size_t n_a, n_b;
    struct weir_container **of_a = roots_of (a, &n_a);
    struct weir_container **of_b = roots_of (b, &n_b);
    for (size_t i = 0, k = 0; i < n_a || k < n_b;) {
        int order = i == n_a ? 1 : k == n_b ? -1 : roots_by_name (&of_a[i], &of_b[k]);
        struct weir_container *x = order <= 0 ? of_a[i] : NULL;
        struct weir_container *y = order >= 0 ? of_b[k] : NULL;
        push (w, &top, weir_container_key (x != NULL ? x : y), x, y);
        i += order <= 0;
        k += order >= 0;
    }
    free (of_a);
    free (of_b);
}

/* ---- the others ---- */

/* Children of a list's visible elements, by id. NULL: none. */
static struct weir_map *
children_of (const struct weir_container *list)
{
    struct weir_map *map = NULL;
    struct weir_item item;
    size_t i = 0;
    while (list != NULL && list->type->next (list, &i, &item)) {
        if (item.child != NULL) {
            map = map != NULL ? map : weir_map_new ();
            (void) weir_map_put (map, weir_id_bytes (&item.child->id), item.child);
        }
    }
    return map;
}

static void
push_elements (struct walk *w, const struct pair *p)
{
    struct weir_map *were = children_of (p->a);
    struct weir_item item;
    size_t i = 0;
    for (uint32_t at = 0; p->b != NULL && p->b->type->next (p->b, &i, &item); at++) {
        if (item.child != NULL) {
            push_at (w, p, at,
                     were != NULL ? weir_map_get (were, weir_id_bytes (&item.child->id)) : NULL,
                     item.child);
        }
    }
    weir_map_destroy (&were, NULL);
}

static void
push_nodes (struct walk *w, const struct pair *p)
{
    for (uint32_t n = 0; p->b != NULL && n < weir_tree_nodes (p->b); n++) {
        struct weir_tree_node now;
        struct weir_tree_node was = { .is_alive = false };
        weir_tree_node (p->b, n, &now);
        if (!now.is_alive) {
            continue;
        }
        uint32_t before = p->a != NULL ? weir_tree_find (p->a, &now.id) : WEIR_GRAPH_NONE;
        if (before != WEIR_GRAPH_NONE) {
            weir_tree_node (p->a, before, &was);
        }
        struct weir_op_id_text name = weir_op_id_text (&now.id);
        push (w, p, weir_bytes_str (name.s), was.is_alive ? was.meta : NULL, now.meta);
    }
}

static json_t *
diff_sequence (struct walk *w, const struct pair *p)
{
    struct weir_delta d = { .ops = json_array () };
    if (p->type == &weir_container_movable) {
        weir_diff_movable (&p->id, p->a, p->b, &d);
    } else {
        weir_diff_seq (&p->id, p->a, p->b, &d);
    }
    weir_delta_close (&d);
    if (p->type != &weir_container_text) {
        push_elements (w, p);
    }
    if (json_array_size (d.ops) == 0) {
        json_decref (d.ops);
        return NULL;
    }
    return d.ops;
}

/* Whole numbers wrap, as counters do. */
json_t *
weir_diff_number (const json_t *a, const json_t *b)
{
    if (json_is_integer (a) && json_is_integer (b)) {
        uint64_t by = (uint64_t) json_integer_value (b) - (uint64_t) json_integer_value (a);
        return by == 0 ? NULL : json_integer ((json_int_t) by);
    }
    double by = json_number_value (b) - json_number_value (a);
    return by == 0.0 || !isfinite (by) ? NULL : json_real (by);
}

static json_t *
counter_value (const struct weir_container *counter)
{
    return counter != NULL ? counter->type->json (counter) : json_integer (0);
}

static json_t *
diff_counter (const struct pair *p)
{
    json_t *a = counter_value (p->a);
    json_t *b = counter_value (p->b);
    json_t *by = weir_diff_number (a, b);
    json_decref (a);
    json_decref (b);
    return by;
}

static void
diff_pair (struct walk *w, const struct pair *p)
{
    size_t before = w->count;
    json_t *diff = NULL;
    switch (p->type->number) {
    case WEIR_CONTAINER_MAP:
        diff = diff_map (w, p);
        break;
    case WEIR_CONTAINER_TREE:
        diff = weir_diff_tree (p->a, p->b);
        push_nodes (w, p);
        break;
    case WEIR_CONTAINER_COUNTER:
        diff = diff_counter (p);
        break;
    default:
        diff = diff_sequence (w, p);
        break;
    }
    if (diff != NULL) {
        json_array_append_new (w->rows,
                               weir_diff_row (&p->id, p->type, weir_bytes_str (p->path), diff));
    }
    turn (w, before);
}

static void
walk_run (struct walk *w)
{
    while (w->count > 0) {
        struct pair p = w->todo[--w->count];
        diff_pair (w, &p);
        free (p.path);
    }
    free (w->todo);
}

void
weir_diff_new_child (const struct weir_container *child, struct weir_bytes path, json_t *rows)
{
    struct walk w = { .rows = rows };
    weir_grow (&w.todo, &w.cap, 1, sizeof *w.todo);
    w.todo[w.count++] = (struct pair){ .b = (struct weir_container *) (uintptr_t) child,
                                       .type = child->type,
                                       .id = child->id,
                                       .path = weir_strndup ((const char *) path.data, path.len) };
    walk_run (&w);
}

enum weir_status
weir_doc_diff (struct weir_doc *a, struct weir_doc *b, json_t **out, struct weir_error *e)
{
    enum weir_status status = weir_doc_warm (a);
    if (status == WEIR_OK) {
        status = weir_doc_warm (b);
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the history of the document cannot be read");
    }
    struct walk w = { .rows = json_array () };
    push_roots (&w, a, b);
    turn (&w, 0);
    walk_run (&w);
    *out = w.rows;
    return WEIR_OK;
}
