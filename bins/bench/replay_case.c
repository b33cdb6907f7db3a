/* A document history step by step: what each kind of step does on a replica, and what is compared
 * in the end. Replica i writes with the i-th smallest key, so that ties break as the history
 * says. Whatever the history asks for wrongly makes its case wrong, nothing more. */

#include "bins/bench/replay.h"

#include <stdlib.h>
#include <string.h>

#include "store/crdt/types.h"

/* A tree's node: replicas know it by the op that made it, which has an id once it is sealed. */
struct node_name {
    const char *name;
    size_t replica;       /* that made it */
    uint32_t number;      /* there */
    struct weir_op_id id; /* in the end */
};

struct version {
    const char *name;
    struct weir_heads heads;
};

struct play {
    struct weir_replica *replicas[BENCH_REPLICAS_MAX];
    size_t n_replicas;
    struct node_name *nodes;
    size_t n_nodes, cap_nodes;
    struct version *versions;
    size_t n_versions, cap_versions;
    /* The step at hand. */
    const json_t *step;
    size_t r;
    struct weir_change *change;
    struct weir_container *on; /* the container at its path */
    struct weir_bytes key;     /* of a map: the last part of the path */
    struct weir_buf scratch;
    struct weir_error e;
};

static const struct weir_container_type *
root_type (const char *name)
{
    static const struct {
        const char *name;
        const struct weir_container_type *type;
    } rows[] = {
        { "m", &weir_container_map },     { "l", &weir_container_list },
        { "v", &weir_container_movable }, { "t", &weir_container_text },
        { "c", &weir_container_counter }, { "r", &weir_container_tree },
    };
    for (size_t i = 0; name != NULL && i < sizeof rows / sizeof *rows; i++) {
        if (strcmp (rows[i].name, name) == 0) {
            return rows[i].type;
        }
    }
    return NULL;
}

static const struct weir_container_type *
child_type (const char *name)
{
    for (uint8_t i = 1; name != NULL && weir_container_type (i) != NULL; i++) {
        if (strcmp (weir_container_type (i)->name, name) == 0) {
            return weir_container_type (i);
        }
    }
    return NULL;
}

static enum weir_status
bad (struct play *p, const char *what)
{
    return weir_error_set (&p->e, WEIR_BAD_MESSAGE, NULL, "%s", what);
}

static bool
get_u32 (const struct play *p, const char *key, uint32_t *out)
{
    const json_t *value = json_object_get (p->step, key);
    json_int_t n = json_integer_value (value);
    *out = (uint32_t) n;
    return json_is_integer (value) && n >= 0 && n < UINT32_MAX;
}

static struct weir_bytes
get_text (const struct play *p, const char *key)
{
    const json_t *value = json_object_get (p->step, key);
    return weir_bytes (json_string_value (value), json_string_length (value));
}

static enum weir_status
get_value (struct play *p, const char *key, struct weir_value *out)
{
    const json_t *value = json_object_get (p->step, key);
    bool is_scalar = false;
    weir_buf_clear (&p->scratch);
    if (value == NULL) {
        *out = (struct weir_value){ .type = WEIR_VALUE_NULL };
        return WEIR_OK;
    }
    enum weir_status status = weir_value_from_json (out, value, &p->scratch, &is_scalar, &p->e);
    return status == WEIR_OK && !is_scalar ? bad (p, "a value is no scalar") : status;
}

/* The container at the first `count` parts of the step's path. */
static enum weir_status
find_container (struct play *p, size_t count)
{
    const json_t *path = json_object_get (p->step, "path");
    const char *name = json_string_value (json_array_get (path, 0));
    const struct weir_container_type *type = root_type (name);
    if (type == NULL) {
        return bad (p, "the path begins with no root");
    }
    enum weir_status status = weir_change_root (p->change, name, type, &p->on, &p->e);
    for (size_t i = 1; status == WEIR_OK && i < count; i++) {
        const json_t *part = json_array_get (path, i);
        struct weir_item item = { 0 };
        struct weir_bytes key = weir_bytes (json_string_value (part), json_string_length (part));
        if (p->on->type->find == NULL || !p->on->type->find (p->on, key, &item)) {
            return bad (p, "there is no container at the path");
        }
        p->on = item.child != NULL ? item.child : weir_doc_value_child (p->on->doc, &item.value);
        if (p->on == NULL) {
            return bad (p, "there is no container at the path");
        }
    }
    return status;
}

/* ---- trees ---- */

static struct weir_container *
tree_of (const struct weir_doc *doc)
{
    return weir_container_child (weir_doc_top (doc), weir_bytes_str ("r"), &weir_container_tree,
                                 false);
}

/* The node's number in a tree; WEIR_GRAPH_NONE: not there. */
static uint32_t
find_node (const struct play *p, const struct weir_container *tree, const struct node_name *node)
{
    const struct weir_container *home = tree_of (weir_replica_doc (p->replicas[node->replica]));
    struct weir_tree_node row;
    if (home == tree) {
        return node->number;
    }
    if (home == NULL || tree == NULL || node->number >= weir_tree_nodes (home)) {
        return WEIR_GRAPH_NONE;
    }
    weir_tree_node (home, node->number, &row);
    return weir_tree_find (tree, &row.id);
}

static bool
get_node (const struct play *p, const char *key, uint32_t *out)
{
    const json_t *name = json_object_get (p->step, key);
    *out = WEIR_TREE_ROOT;
    if (name == NULL || json_is_null (name)) {
        return true;
    }
    for (size_t i = 0; json_is_string (name) && i < p->n_nodes; i++) {
        if (strcmp (p->nodes[i].name, json_string_value (name)) == 0) {
            *out = find_node (p, p->on, &p->nodes[i]);
            return *out != WEIR_GRAPH_NONE;
        }
    }
    return false;
}

/* Behind the last child, the node itself not counted: what Loro does when no index is given. */
static uint32_t
last_index (const struct play *p, uint32_t parent, uint32_t node)
{
    struct weir_numbers children = { 0 };
    uint32_t n = 0;
    weir_tree_children (p->on, parent == WEIR_TREE_ROOT ? WEIR_GRAPH_NONE : parent, &children);
    for (size_t i = 0; i < children.count; i++) {
        n += children.items[i] != node;
    }
    weir_numbers_fini (&children);
    return n;
}

static enum weir_status
do_tree_create (struct play *p)
{
    uint32_t parent;
    uint32_t node = WEIR_TREE_ROOT;
    const char *name = json_string_value (json_object_get (p->step, "node"));
    if (name == NULL || !get_node (p, "parent", &parent)) {
        return bad (p, "a tree node is not there");
    }
    enum weir_status status = weir_change_tree_create (
        p->change, p->on, parent, last_index (p, parent, WEIR_TREE_ROOT), &node, &p->e);
    if (status == WEIR_OK) {
        weir_grow (&p->nodes, &p->cap_nodes, p->n_nodes + 1, sizeof *p->nodes);
        p->nodes[p->n_nodes++] =
            (struct node_name){ .name = name, .replica = p->r, .number = node };
    }
    return status;
}

static enum weir_status
do_tree_move (struct play *p)
{
    uint32_t parent;
    uint32_t node;
    if (!get_node (p, "node", &node) || !get_node (p, "parent", &parent)) {
        return bad (p, "a tree node is not there");
    }
    return weir_change_tree_move (p->change, p->on, node, parent, last_index (p, parent, node),
                                  &p->e);
}

static enum weir_status
do_tree_delete (struct play *p)
{
    uint32_t node;
    if (!get_node (p, "node", &node)) {
        return bad (p, "a tree node is not there");
    }
    return weir_change_tree_delete (p->change, p->on, node, &p->e);
}

/* ---- the other containers ---- */

static enum weir_status
do_set (struct play *p)
{
    struct weir_value value;
    enum weir_status status = get_value (p, "value", &value);
    return status == WEIR_OK ? weir_change_map_set (p->change, p->on, p->key, &value, &p->e)
                             : status;
}

static enum weir_status
do_delete (struct play *p)
{
    return weir_change_map_delete (p->change, p->on, p->key, &p->e);
}

static enum weir_status
do_child (struct play *p)
{
    const struct weir_container_type *type =
        child_type (json_string_value (json_object_get (p->step, "type")));
    struct weir_container *child = NULL;
    return type == NULL ? bad (p, "a child of no known type")
                        : weir_change_map_make (p->change, p->on, p->key, type, &child, &p->e);
}

static enum weir_status
do_insert (struct play *p)
{
    struct weir_value value;
    uint32_t at;
    if (!get_u32 (p, "index", &at)) {
        return bad (p, "no index");
    }
    enum weir_status status = get_value (p, "value", &value);
    return status == WEIR_OK
               ? weir_change_list_insert (p->change, p->on, at, &value, 1, NULL, &p->e)
               : status;
}

static enum weir_status
do_remove (struct play *p)
{
    uint32_t at;
    uint32_t count;
    if (!get_u32 (p, "index", &at) || !get_u32 (p, "count", &count)) {
        return bad (p, "no index or count");
    }
    return weir_change_list_delete (p->change, p->on, at, count, &p->e);
}

static enum weir_status
do_move (struct play *p)
{
    uint32_t from;
    uint32_t to;
    if (!get_u32 (p, "from", &from) || !get_u32 (p, "to", &to)) {
        return bad (p, "no from or to");
    }
    return weir_change_list_move (p->change, p->on, from, to, &p->e);
}

static enum weir_status
do_replace (struct play *p)
{
    struct weir_value value;
    uint32_t at;
    if (!get_u32 (p, "index", &at)) {
        return bad (p, "no index");
    }
    enum weir_status status = get_value (p, "value", &value);
    return status == WEIR_OK ? weir_change_list_set (p->change, p->on, at, &value, NULL, &p->e)
                             : status;
}

static enum weir_status
do_text_insert (struct play *p)
{
    uint32_t at;
    return get_u32 (p, "index", &at)
               ? weir_change_text_insert (p->change, p->on, at, get_text (p, "text"), &p->e)
               : bad (p, "no index");
}

static enum weir_status
do_text_delete (struct play *p)
{
    uint32_t at;
    uint32_t count;
    if (!get_u32 (p, "index", &at) || !get_u32 (p, "count", &count)) {
        return bad (p, "no index or count");
    }
    return weir_change_text_delete (p->change, p->on, at, count, &p->e);
}

/* Unmarking is marking with null. */
static enum weir_status
do_mark (struct play *p)
{
    static const struct {
        const char *key;
        enum weir_expand expand;
    } styles[] = { { "bold", WEIR_EXPAND_AFTER },
                   { "link", WEIR_EXPAND_NONE },
                   { "note", WEIR_EXPAND_BOTH },
                   { "lead", WEIR_EXPAND_BEFORE } };
    struct weir_bytes key = get_text (p, "key");
    struct weir_value value;
    enum weir_expand expand = WEIR_EXPAND_AFTER;
    uint32_t from;
    uint32_t to;
    if (!get_u32 (p, "from", &from) || !get_u32 (p, "to", &to)) {
        return bad (p, "no from or to");
    }
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++) {
        if (weir_bytes_equal (key, weir_bytes_str (styles[i].key))) {
            expand = styles[i].expand;
        }
    }
    enum weir_status status = get_value (p, "value", &value);
    return status == WEIR_OK
               ? weir_change_text_mark (p->change, p->on, from, to, key, &value, expand, &p->e)
               : status;
}

static enum weir_status
do_incr (struct play *p)
{
    struct weir_value by;
    enum weir_status status = get_value (p, "by", &by);
    return status == WEIR_OK ? weir_change_increment (p->change, p->on, &by, &p->e) : status;
}

/* ---- versions and exchange ---- */

static enum weir_status
commit (struct play *p, size_t r)
{
    return weir_replica_commit (p->replicas[r], weir_bytes (NULL, 0), 0, NULL, &p->e);
}

static enum weir_status
do_version (struct play *p)
{
    const char *name = json_string_value (json_object_get (p->step, "name"));
    enum weir_status status = name != NULL ? commit (p, p->r) : bad (p, "a version has no name");
    if (status == WEIR_OK) {
        weir_grow (&p->versions, &p->cap_versions, p->n_versions + 1, sizeof *p->versions);
        p->versions[p->n_versions] = (struct version){ .name = name };
        weir_replica_doc_heads (p->replicas[p->r], &p->versions[p->n_versions++].heads);
    }
    return status;
}

static enum weir_status
do_sync (struct play *p)
{
    struct weir_heads heads = { 0 };
    struct weir_op_vector vector = { 0 };
    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE, .from = &vector };
    struct weir_import result = { 0 };
    struct weir_buf blob = { 0 };
    uint32_t from;
    uint32_t to;
    if (!get_u32 (p, "from", &from) || !get_u32 (p, "to", &to) || from >= p->n_replicas
        || to >= p->n_replicas) {
        return bad (p, "a replica that is not there");
    }
    enum weir_status status = commit (p, from);
    if (status == WEIR_OK) {
        status = commit (p, to);
    }
    if (status == WEIR_OK) {
        weir_replica_log_heads (p->replicas[to], &heads);
        status = weir_replica_vector (p->replicas[to], &heads, &vector, &p->e);
    }
    if (status == WEIR_OK) {
        status = weir_replica_export (p->replicas[from], &what, &blob, &p->e);
    }
    if (status == WEIR_OK) {
        status = weir_replica_import (p->replicas[to], weir_buf_bytes (&blob), &result, &p->e);
    }
    if (status == WEIR_OK && (result.n_pending > 0 || result.inert > 0)) {
        status = bad (p, "an import has pending or inert entries");
    }
    weir_import_fini (&result);
    weir_heads_fini (&heads);
    weir_op_vector_fini (&vector);
    weir_buf_fini (&blob);
    return status;
}

static const struct {
    const char *name;
    enum weir_status (*run) (struct play *p);
    bool is_keyed;                              /* the path's last part is a key */
    const struct weir_container_type *types[2]; /* of what it is done to */
} kinds[] = {
    { "set", do_set, true, { &weir_container_map } },
    { "delete", do_delete, true, { &weir_container_map } },
    { "child", do_child, true, { &weir_container_map } },
    { "insert", do_insert, false, { &weir_container_list, &weir_container_movable } },
    { "remove", do_remove, false, { &weir_container_list, &weir_container_movable } },
    { "move", do_move, false, { &weir_container_movable } },
    { "replace", do_replace, false, { &weir_container_movable } },
    { "text_insert", do_text_insert, false, { &weir_container_text } },
    { "text_delete", do_text_delete, false, { &weir_container_text } },
    { "mark", do_mark, false, { &weir_container_text } },
    { "unmark", do_mark, false, { &weir_container_text } },
    { "incr", do_incr, false, { &weir_container_counter } },
    { "tree_create", do_tree_create, false, { &weir_container_tree } },
    { "tree_move", do_tree_move, false, { &weir_container_tree } },
    { "tree_delete", do_tree_delete, false, { &weir_container_tree } },
};

static enum weir_status
do_edit (struct play *p, const char *name)
{
    const json_t *path = json_object_get (p->step, "path");
    size_t parts = json_array_size (path);
    size_t k = 0;
    while (k < sizeof kinds / sizeof *kinds && strcmp (kinds[k].name, name) != 0) {
        k++;
    }
    if (k == sizeof kinds / sizeof *kinds) {
        return bad (p, "an unknown kind of step");
    }
    if (parts < (kinds[k].is_keyed ? 2u : 1u)) {
        return bad (p, "a path that is too short");
    }
    const json_t *last = json_array_get (path, parts - 1);
    p->key = weir_bytes (json_string_value (last), json_string_length (last));
    enum weir_status status = weir_replica_change (p->replicas[p->r], &p->change, &p->e);
    if (status == WEIR_OK) {
        status = find_container (p, kinds[k].is_keyed ? parts - 1 : parts);
    }
    if (status == WEIR_OK && p->on->type != kinds[k].types[0] && p->on->type != kinds[k].types[1]) {
        status = bad (p, "the container at the path is of another type");
    }
    return status == WEIR_OK ? kinds[k].run (p) : status;
}

static enum weir_status
do_step (struct play *p)
{
    const char *name = json_string_value (json_object_get (p->step, "do"));
    uint32_t r = 0;
    if (name == NULL) {
        return bad (p, "a step without \"do\"");
    }
    if (strcmp (name, "sync") == 0) {
        return do_sync (p);
    }
    if (!get_u32 (p, "r", &r) || r >= p->n_replicas) {
        return bad (p, "a replica that is not there");
    }
    p->r = r;
    if (strcmp (name, "commit") == 0) {
        return commit (p, r);
    }
    return strcmp (name, "version") == 0 ? do_version (p) : do_edit (p, name);
}

/* ---- what it comes to ---- */

/* Numbers of nodes are those of one document: a checkout shows another. */
static void
name_nodes (struct play *p)
{
    for (size_t i = 0; i < p->n_nodes; i++) {
        struct node_name *node = &p->nodes[i];
        struct weir_tree_node row;
        weir_tree_node (tree_of (weir_replica_doc (p->replicas[node->replica])), node->number,
                        &row);
        node->id = row.id;
    }
}

static json_t *
tree_json (const struct play *p, const struct weir_doc *doc)
{
    json_t *out = json_object ();
    const struct weir_container *tree = tree_of (doc);
    for (size_t i = 0; tree != NULL && i < p->n_nodes; i++) {
        struct weir_tree_node row;
        uint32_t number = weir_tree_find (tree, &p->nodes[i].id);
        if (number == WEIR_GRAPH_NONE) {
            continue;
        }
        weir_tree_node (tree, number, &row);
        if (!row.is_alive) {
            continue;
        }
        json_t *parent = row.parent == WEIR_GRAPH_NONE ? json_null () : NULL;
        for (size_t k = 0; parent == NULL && k < p->n_nodes; k++) {
            if (weir_tree_find (tree, &p->nodes[k].id) == row.parent) {
                parent = json_string (p->nodes[k].name);
            }
        }
        json_object_set_new (out, p->nodes[i].name, parent != NULL ? parent : json_false ());
    }
    return out;
}

/* Everything that a document shows, as histories tell it. The caller owns it. */
static json_t *
shown (const struct play *p, const struct weir_doc *doc)
{
    static const struct {
        const char *name;
        const char *empty;
    } roots[] = { { "c", "0" }, { "l", "[]" }, { "m", "{}" }, { "t", "\"\"" }, { "v", "[]" } };
    json_t *out = json_object ();
    const struct weir_container *text = weir_container_child (
        weir_doc_top (doc), weir_bytes_str ("t"), &weir_container_text, false);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        char path[] = { '/', roots[i].name[0], '\0' };
        json_t *value = NULL;
        if (weir_doc_get (doc, path, &value, NULL) != WEIR_OK) {
            value = json_loads (roots[i].empty, JSON_DECODE_ANY, NULL);
        }
        json_object_set_new (out, roots[i].name, value);
    }
    json_object_set_new (out, "d", text != NULL ? weir_text_delta (text) : json_array ());
    json_object_set_new (out, "r", tree_json (p, doc));
    return out;
}

/* Neighbours with equal attributes as one: where Loro cuts them says nothing. The caller owns. */
static json_t *
join_delta (const json_t *delta)
{
    json_t *out = json_array ();
    for (size_t i = 0; i < json_array_size (delta); i++) {
        const json_t *part = json_array_get (delta, i);
        json_t *last = json_array_get (out, json_array_size (out) - 1);
        const char *a = json_string_value (json_object_get (last, "insert"));
        const char *b = json_string_value (json_object_get (part, "insert"));
        const json_t *x = json_object_get (last, "attributes");
        const json_t *y = json_object_get (part, "attributes");
        if (a != NULL && b != NULL && (x == y || (x != NULL && y != NULL && json_equal (x, y)))) {
            struct weir_buf text = { 0 };
            weir_buf_printf (&text, "%s%s", a, b);
            json_object_set_new (last, "insert", json_string (weir_buf_str (&text)));
            weir_buf_fini (&text);
        } else {
            json_array_append_new (out, json_copy ((json_t *) (uintptr_t) part));
        }
    }
    return out;
}

/* Doubles were added in another order by who made the history. */
static bool
is_same_number (const json_t *a, const json_t *b)
{
    double x = json_number_value (a);
    double y = json_number_value (b);
    double apart = x > y ? x - y : y - x;
    double size = (x > 0 ? x : -x) + (y > 0 ? y : -y) + 1.0;
    return json_is_number (a) && json_is_number (b) && apart <= 1e-9 * size;
}

static bool
is_same (const struct play *p, const struct weir_doc *doc, const json_t *expect, const char *where,
         struct weir_buf *why)
{
    json_t *got = shown (p, doc);
    bool same = true;
    const char *key;
    json_t *want;
    json_object_foreach ((json_t *) (uintptr_t) expect, key, want)
    {
        struct weir_buf a = { 0 };
        struct weir_buf b = { 0 };
        const json_t *have = json_object_get (got, key);
        json_t *joined = strcmp (key, "d") == 0 ? join_delta (want) : json_incref (want);
        weir_json_put (&a, joined);
        json_decref (joined);
        if (have != NULL) {
            weir_json_put (&b, have);
        }
        if (same && !weir_bytes_equal (weir_buf_bytes (&a), weir_buf_bytes (&b))
            && !(strcmp (key, "c") == 0 && is_same_number (want, have))) {
            weir_buf_printf (why, "%s, %s: want %s, have %s", where, key, weir_buf_str (&a),
                             weir_buf_str (&b));
            same = false;
        }
        weir_buf_fini (&a);
        weir_buf_fini (&b);
    }
    json_decref (got);
    return same;
}

static bool
is_as_expected (struct play *p, const json_t *root, struct weir_buf *why)
{
    const json_t *expect = json_object_get (root, "expect");
    char where[64];
    bool same = true;
    for (size_t i = 0; same && i < p->n_replicas; i++) {
        snprintf (where, sizeof where, "replica %zu", i);
        same = is_same (p, weir_replica_doc (p->replicas[i]), expect, where, why);
    }
    for (size_t i = 0; same && i < p->n_versions; i++) {
        const json_t *at = json_object_get (json_object_get (root, "at"), p->versions[i].name);
        snprintf (where, sizeof where, "version %.40s", p->versions[i].name);
        if (weir_replica_checkout (p->replicas[0], &p->versions[i].heads, &p->e) != WEIR_OK) {
            weir_buf_printf (why, "%s: checkout: %s", where, p->e.what);
            return false;
        }
        same = at == NULL || is_same (p, weir_replica_doc (p->replicas[0]), at, where, why);
    }
    return same;
}

static void
play_fini (struct play *p)
{
    for (size_t i = 0; i < p->n_replicas; i++) {
        weir_replica_destroy (&p->replicas[i]);
    }
    for (size_t i = 0; i < p->n_versions; i++) {
        weir_heads_fini (&p->versions[i].heads);
    }
    free (p->nodes);
    free (p->versions);
    weir_buf_fini (&p->scratch);
}

bool
bench_replay_case (const struct bench_keys *keys, const json_t *root, struct weir_buf *why)
{
    const json_t *steps = json_object_get (root, "steps");
    json_int_t n = json_integer_value (json_object_get (root, "replicas"));
    struct play p = { 0 };
    bool right = false;
    if (n < 1 || (size_t) n > keys->count || !json_is_array (steps)
        || !json_is_object (json_object_get (root, "expect"))) {
        weir_buf_printf (why, "\"replicas\", \"steps\" or \"expect\" is not as it should be");
        return false;
    }
    for (size_t i = 0; i < (size_t) n; i++) {
        struct weir_replica_options options = bench_keys_options (keys, i, 1);
        bench_need (weir_replica_new (&p.replicas[i], &options, &p.e), &p.e, "new replica");
        p.n_replicas++;
    }
    for (size_t i = 0; i < json_array_size (steps); i++) {
        p.step = json_array_get (steps, i);
        enum weir_status status = do_step (&p);
        if (status != WEIR_OK) {
            weir_buf_printf (why, "step %zu: %s (%s)", i, p.e.what, weir_status_code (status));
            goto done;
        }
    }
    right = true;
    for (size_t i = 0; right && i < p.n_replicas; i++) {
        right = commit (&p, i) == WEIR_OK;
    }
    if (right) {
        name_nodes (&p);
        right = is_as_expected (&p, root, why);
    }
done:
    play_fini (&p);
    return right;
}
