/* Goal: trees against all moves ever made, sorted and done again from the start for every
 * question, and nodes sorted for every parent. */

#include "tests/models/play.h"

#include "store/crdt/types.h"

#include <stdlib.h>
#include <string.h>

#define MOVES_MAX 512u
#define KNOWN_MAX 256u

struct move {
    struct weir_order_key order;
    struct weir_op_id target;
    struct weir_op_id parent;
    struct weir_bytes key;
    uint8_t code;
};

struct node {
    struct weir_op_id id;
    const struct move *move; /* where it is; NULL: nowhere */
    json_t *meta;
    bool is_created;
};

struct model {
    struct move moves[MOVES_MAX];
    size_t n_moves;
    struct node nodes[KNOWN_MAX];
    size_t n_nodes;
};

static int
moves_compare (const void *a, const void *b)
{
    return weir_order_key_compare (&((const struct move *) a)->order,
                                   &((const struct move *) b)->order);
}

static bool
is_top (const struct weir_op_id *id)
{
    struct weir_id top;
    memset (&top, 0xff, sizeof top);
    return weir_id_equal (&id->entry, &top);
}

static struct node *
node_of (struct model *m, const struct weir_op_id *id)
{
    for (size_t i = 0; i < m->n_nodes; i++) {
        if (weir_op_id_compare (&m->nodes[i].id, id) == 0) {
            return &m->nodes[i];
        }
    }
    model_check (m->n_nodes < KNOWN_MAX, "too many nodes");
    m->nodes[m->n_nodes] = (struct node){ .id = *id };
    return &m->nodes[m->n_nodes++];
}

static struct node *
node_above (struct model *m, const struct node *n)
{
    if (n->move == NULL || n->move->code == WEIR_TREE_DELETE || is_top (&n->move->parent)) {
        return NULL;
    }
    return node_of (m, &n->move->parent);
}

static bool
is_below (struct model *m, struct node *n, const struct node *above)
{
    while (n != NULL && n != above) {
        n = node_above (m, n);
    }
    return n != NULL;
}

static bool
is_alive (struct model *m, struct node *n)
{
    while (n->is_created && n->move != NULL && n->move->code != WEIR_TREE_DELETE) {
        if (is_top (&n->move->parent)) {
            return true;
        }
        n = node_of (m, &n->move->parent);
    }
    return false;
}

static void
move_add (struct model *m, const struct play_entry *e, const struct weir_op *op, uint32_t offset)
{
    struct move *move = &m->moves[m->n_moves++];
    struct weir_op_id own = { .entry = e->head.id, .offset = offset };
    model_check (m->n_moves < MOVES_MAX, "too many moves");
    *move = (struct move){
        .order = { .lamport = e->head.lamport + offset,
                   .chain = e->head.chain,
                   .entry = e->head.id },
        .target = op->code == WEIR_TREE_CREATE ? own : op->target,
        .parent = op->parent,
        .key = op->key,
        .code = op->code,
    };
    if (op->code == WEIR_TREE_CREATE) {
        node_of (m, &own)->is_created = true;
    }
}

/* The model writes each key of a node's map once only: no ties to settle. */
static void
meta_add (struct model *m, const struct play_entry *e, const struct weir_op *op)
{
    struct weir_op_ref ref = e->decoded.rows[op->row].made_ref;
    struct weir_op_id id = { .entry = e->head.id, .offset = ref.offset };
    if (ref.row > 0) {
        memcpy (id.entry.b, e->decoded.ids.data + (ref.row - 1u) * WEIR_ID_BYTES, WEIR_ID_BYTES);
    }
    struct node *n = node_of (m, &id);
    if (n->meta == NULL) {
        n->meta = json_object ();
    }
    json_object_setn_new (n->meta, (const char *) op->key.data, op->key.len,
                          weir_value_json (&op->value));
}

static struct model *
model_of (const struct play *play, uint64_t seen)
{
    struct model *m = weir_alloc (sizeof *m);
    const struct weir_op *op;
    size_t entry = 0;
    size_t i = 0;
    uint32_t offset = 0;
    while ((op = play_next (play, seen, &entry, &i, &offset)) != NULL) {
        const struct play_entry *e = &play->entries[entry];
        if (e->decoded.rows[op->row].type == &weir_container_tree) {
            move_add (m, e, op, offset);
        } else {
            meta_add (m, e, op);
        }
    }
    qsort (m->moves, m->n_moves, sizeof *m->moves, moves_compare);
    for (size_t k = 0; k < m->n_moves; k++) {
        struct move *move = &m->moves[k];
        struct node *target = node_of (m, &move->target);
        if (move->code == WEIR_TREE_DELETE || is_top (&move->parent)
            || !is_below (m, node_of (m, &move->parent), target)) {
            target->move = move;
        }
    }
    return m;
}

static int
siblings_compare (const void *a, const void *b)
{
    const struct move *x = (*(struct node *const *) a)->move;
    const struct move *y = (*(struct node *const *) b)->move;
    int order = weir_bytes_compare (x->key, y->key);
    return order != 0 ? order : weir_order_key_compare (&x->order, &y->order);
}

/* Trees of the model are low: it may recurse. */
static json_t *
children_json (struct model *m, const struct node *parent)
{
    struct node *found[KNOWN_MAX];
    size_t n = 0;
    json_t *out = json_array ();
    for (size_t i = 0; i < m->n_nodes; i++) {
        struct node *node = &m->nodes[i];
        if (is_alive (m, node) && node_above (m, node) == parent) {
            found[n++] = node;
        }
    }
    qsort (found, n, sizeof *found, siblings_compare);
    for (size_t i = 0; i < n; i++) {
        json_array_append_new (
            out,
            json_pack ("{s:s, s:i, s:o, s:o}", "id", weir_op_id_text (&found[i]->id).s, "index",
                       (int) i, "meta",
                       found[i]->meta != NULL ? json_deep_copy (found[i]->meta) : json_object (),
                       "children", children_json (m, found[i])));
    }
    return out;
}

static void
model_drop (struct model *m)
{
    for (size_t i = 0; i < m->n_nodes; i++) {
        json_decref (m->nodes[i].meta);
    }
    free (m);
}

/* ---- edits ---- */

/* A node that is there, or the root. */
static uint32_t
random_node (struct play *play, const struct weir_container *tree)
{
    uint32_t count = weir_tree_nodes (tree);
    for (int tries = 0; tries < 8 && count > 0; tries++) {
        uint32_t number = (uint32_t) play_below (play, count);
        struct weir_tree_node node;
        weir_tree_node (tree, number, &node);
        if (node.is_alive) {
            return number;
        }
    }
    return WEIR_TREE_ROOT;
}

static void
edit_step (struct play *play, struct weir_change *change, struct weir_container *tree)
{
    struct weir_error e = { 0 };
    struct weir_numbers children = { 0 };
    uint64_t what = play_below (play, 10);
    uint32_t parent = random_node (play, tree);
    uint32_t node = random_node (play, tree);
    enum weir_status status = WEIR_OK;
    weir_tree_children (tree, parent, &children);
    uint32_t count = (uint32_t) children.count;
    bool is_child = false;
    for (size_t i = 0; i < children.count; i++) {
        is_child = is_child || children.items[i] == node;
    }
    if (what < 4 || node == WEIR_TREE_ROOT) {
        status = weir_change_tree_create (change, tree, parent,
                                          (uint32_t) play_below (play, count + 1), &node, &e);
        struct weir_container *meta = weir_change_tree_meta (change, tree, node);
        struct weir_value value = { .type = WEIR_VALUE_INT, .number.i = (int64_t) node };
        if (status == WEIR_OK && play_below (play, 2) == 0) {
            status = weir_change_map_set (change, meta, weir_bytes_str ("n"), &value, &e);
        }
    } else if (what < 8) {
        uint32_t index = (uint32_t) play_below (play, count + (is_child ? 0 : 1));
        status = weir_change_tree_move (change, tree, node, parent, index, &e);
        /* Alive, in range: only a cycle is in the way; else it is there now. */
        if (status == WEIR_OK) {
            weir_numbers_clear (&children);
            weir_tree_children (tree, parent, &children);
            struct weir_tree_node now;
            weir_tree_node (tree, node, &now);
            model_check (now.parent == parent, "a moved node is elsewhere");
        }
        status = status == WEIR_CONFLICT ? WEIR_OK : status;
    } else {
        status = weir_change_tree_delete (change, tree, node, &e);
    }
    model_check (status == WEIR_OK, "%s: %s", weir_status_code (status), e.what);
    weir_numbers_fini (&children);
}

static void
edit (struct play *play, struct play_replica *r, struct weir_change *change)
{
    struct weir_error e = { 0 };
    struct weir_container *tree = NULL;
    (void) r;
    enum weir_status status = weir_change_root (change, "r", &weir_container_tree, &tree, &e);
    model_check (status == WEIR_OK, "%s", e.what);
    for (uint64_t n = 1 + play_below (play, 4); n > 0; n--) {
        edit_step (play, change, tree);
    }
}

static void
check (struct play *play, struct weir_doc *doc, uint64_t seen)
{
    json_t *wanted = json_object ();
    struct model *m = model_of (play, seen);
    if (m->n_moves > 0) {
        json_object_set_new (wanted, "r", children_json (m, NULL));
    }
    play_check_value (doc, "", wanted);
    model_drop (m);
}

void
weir_model_tree (uint64_t seed)
{
    static const struct play_model model = { .edit = edit, .check = check };
    play_history (seed, &model);
}
