/* Owns the random edits that models of differences share (shadow.h): all verbs of a change, on
 * any container that is visible. */

#include "tests/models/models.h"
#include "tests/models/shadow.h"

#include "store/crdt/change.h"

static const struct weir_container_type *const types[] = {
    &weir_container_map,     &weir_container_list, &weir_container_text,
    &weir_container_movable, &weir_container_tree, &weir_container_counter,
};
static const char *const names[] = { "m", "l", "t", "v", "tr", "c" };

struct chosen {
    struct weir_container *items[256];
    size_t count;
};

/* All that is visible, not too deep. */
static void
choose (struct chosen *all, struct weir_container *c, unsigned depth)
{
    struct weir_item item;
    size_t i = 0;
    if (c == NULL || depth > 5 || all->count == sizeof all->items / sizeof *all->items) {
        return;
    }
    all->items[all->count++] = c;
    while (c->type->next != NULL && c->type->next (c, &i, &item)) {
        choose (all, item.child, depth + 1);
    }
    for (uint32_t n = 0; c->type == &weir_container_tree && n < weir_tree_nodes (c); n++) {
        struct weir_tree_node node;
        weir_tree_node (c, n, &node);
        choose (all, node.is_alive ? node.meta : NULL, depth + 1);
    }
}

struct editor {
    struct weir_rand *rand;
    struct weir_change *change;
    struct weir_error e;
};

static uint64_t
below (struct editor *ed, uint64_t n)
{
    return weir_rand_below (ed->rand, n);
}

static void
ok (struct editor *ed, enum weir_status status)
{
    model_check (status == WEIR_OK, "an edit is refused: %s: %s", weir_status_code (status),
                 ed->e.what);
}

static struct weir_value
scalar (struct editor *ed)
{
    static const char *const texts[] = { "", "x", "\xc3\xa9t\xc3\xa9" };
    struct weir_value v = { .type = (uint8_t) below (ed, 6) };
    if (v.type == WEIR_VALUE_INT) {
        v.number.i = (int64_t) below (ed, 9) - 4;
    } else if (v.type == WEIR_VALUE_DOUBLE) {
        v.number.d = (double) below (ed, 9) / 4;
    } else if (v.type == WEIR_VALUE_TEXT) {
        v.bytes = weir_bytes_str (texts[below (ed, 3)]);
    }
    return v;
}

/* A scalar, or now and then a child of its own. */
static struct weir_value
element (struct editor *ed)
{
    struct weir_value v = scalar (ed);
    if (below (ed, 4) == 0) {
        v = (struct weir_value){ .type = WEIR_VALUE_UNIQUE };
        v.container = (uint8_t) (1 + below (ed, 6));
    }
    return v;
}

static void
edit_map (struct editor *ed, struct weir_container *c)
{
    char key[2] = { (char) ('a' + (char) below (ed, 4)), 0 };
    struct weir_bytes k = weir_bytes_str (key);
    struct weir_container *child = NULL;
    struct weir_value v = scalar (ed);
    const struct weir_container_type *type = types[below (ed, 6)];
    switch (below (ed, 6)) {
    case 0:
        ok (ed, weir_change_map_delete (ed->change, c, k, &ed->e));
        break;
    case 1:
        ok (ed, weir_change_child (ed->change, c, k, type, &child, &ed->e));
        break;
    case 2:
        ok (ed, weir_change_map_make (ed->change, c, k, type, &child, &ed->e));
        break;
    default:
        ok (ed, weir_change_map_set (ed->change, c, k, &v, &ed->e));
        break;
    }
}

static void
edit_list (struct editor *ed, struct weir_container *c)
{
    uint32_t length = weir_seq_length (weir_container_seq (c));
    struct weir_container *children[3];
    struct weir_value values[3];
    uint32_t n = 1 + (uint32_t) below (ed, 3);
    for (uint32_t i = 0; i < n; i++) {
        values[i] = element (ed);
    }
    uint32_t at = (uint32_t) below (ed, length + 1);
    uint64_t what = below (ed, c->type == &weir_container_movable ? 6 : 3);
    if (what < 2 || length == 0) {
        ok (ed, weir_change_list_insert (ed->change, c, at, values, n, children, &ed->e));
        return;
    }
    at = (uint32_t) below (ed, length);
    if (what == 2) {
        n = n > length - at ? length - at : n;
        ok (ed, weir_change_list_delete (ed->change, c, at, n, &ed->e));
    } else if (what == 3) {
        ok (ed, weir_change_list_set (ed->change, c, at, &values[0], &children[0], &ed->e));
    } else {
        ok (ed, weir_change_list_move (ed->change, c, at, (uint32_t) below (ed, length), &ed->e));
    }
}

static void
edit_text (struct editor *ed, struct weir_container *c)
{
    static const char *const texts[] = { "a", "bc",
                                         "d\xc3\xa9"
                                         "f",
                                         "\xf0\x9f\x98\x80" };
    uint32_t length = weir_seq_length (weir_container_seq (c));
    uint32_t at = (uint32_t) below (ed, length + 1);
    uint64_t what = below (ed, 6);
    if (what < 3 || length == 0) {
        ok (ed, weir_change_text_insert (ed->change, c, at, weir_bytes_str (texts[below (ed, 4)]),
                                         &ed->e));
        return;
    }
    at = (uint32_t) below (ed, length);
    uint32_t n = 1 + (uint32_t) below (ed, length - at < 4 ? length - at : 4);
    if (what < 5) {
        ok (ed, weir_change_text_delete (ed->change, c, at, n, &ed->e));
    } else {
        char key[2] = { (char) ('p' + (char) below (ed, 2)), 0 };
        struct weir_value v = scalar (ed);
        ok (ed, weir_change_text_mark (ed->change, c, at, at + n, weir_bytes_str (key), &v,
                                       (enum weir_expand) below (ed, 4), &ed->e));
    }
}

static void
edit_tree (struct editor *ed, struct weir_container *c)
{
    struct weir_numbers alive = { .items = NULL };
    struct weir_numbers siblings = { .items = NULL };
    for (uint32_t n = 0; n < weir_tree_nodes (c); n++) {
        struct weir_tree_node node;
        weir_tree_node (c, n, &node);
        if (node.is_alive) {
            weir_numbers_push (&alive, n);
        }
    }
    uint64_t what = below (ed, 6);
    uint32_t parent = alive.count > 0 && below (ed, 2) == 0 ? alive.items[below (ed, alive.count)]
                                                            : WEIR_TREE_ROOT;
    uint32_t node = alive.count > 0 ? alive.items[below (ed, alive.count)] : 0;
    weir_tree_children (c, parent, &siblings);
    uint32_t index = (uint32_t) below (ed, siblings.count + 1);
    if (what < 2 || alive.count == 0) {
        ok (ed, weir_change_tree_create (ed->change, c, parent, index, &node, &ed->e));
    } else if (what == 2) {
        ok (ed, weir_change_tree_delete (ed->change, c, node, &ed->e));
    } else if (what < 5) {
        for (size_t i = 0; i < siblings.count; i++) {
            index -= siblings.items[i] == node && index == siblings.count;
        }
        enum weir_status status =
            weir_change_tree_move (ed->change, c, node, parent, index, &ed->e);
        ok (ed, status == WEIR_CONFLICT ? WEIR_OK : status);
    } else {
        edit_map (ed, weir_change_tree_meta (ed->change, c, node));
    }
    weir_numbers_fini (&alive);
    weir_numbers_fini (&siblings);
}

void
sketch_edit (struct weir_rand *rand, struct weir_replica *r)
{
    struct editor ed = { .rand = rand };
    struct chosen all = { .count = 0 };
    for (uint64_t n = 1 + weir_rand_below (rand, 4); n > 0; n--) {
        struct weir_container *c = NULL;
        size_t root = (size_t) below (&ed, 6);
        ok (&ed, weir_replica_change (r, &ed.change, &ed.e));
        ok (&ed, weir_change_root (ed.change, names[root], types[root], &c, &ed.e));
        all.count = 0;
        choose (&all, c, 0);
        c = all.items[below (&ed, all.count)];
        switch (c->type->number) {
        case WEIR_CONTAINER_MAP:
            edit_map (&ed, c);
            break;
        case WEIR_CONTAINER_TEXT:
            edit_text (&ed, c);
            break;
        case WEIR_CONTAINER_TREE:
            edit_tree (&ed, c);
            break;
        case WEIR_CONTAINER_COUNTER: {
            struct weir_value by = { .type = WEIR_VALUE_INT,
                                     .number.i = (int64_t) below (&ed, 9) - 4 };
            if (below (&ed, 3) == 0) {
                by = (struct weir_value){ .type = WEIR_VALUE_DOUBLE,
                                          .number.d = (double) below (&ed, 9) / 4 };
            }
            ok (&ed, weir_change_increment (ed.change, c, &by, &ed.e));
            break;
        }
        default:
            edit_list (&ed, c);
            break;
        }
    }
}
