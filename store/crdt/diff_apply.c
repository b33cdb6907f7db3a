/* Owns what makes ops of a difference that was checked (diff_check.c). Containers that come get
 * new ids, unless they are made by path; nodes of a tree that were there before come back as
 * themselves. Long texts and lists go in pieces, so that a change that is full can be sealed
 * between them. */

#include "store/crdt/diff_apply.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_PIECE_BYTES (64u << 10)
#define LIST_PIECE_VALUES 256u

static void
place_free (void *place)
{
    free (place);
}

void
weir_diff_apply_fini (struct weir_diff_apply *self)
{
    weir_map_destroy (&self->places, place_free);
    weir_map_destroy (&self->index, NULL);
    weir_map_destroy (&self->nodes, NULL);
    weir_buf_fini (&self->scratch);
    free (self->made);
    self->made = NULL;
    self->n_made = 0;
}

static enum weir_status
change_get (struct weir_diff_apply *self, struct weir_change **change)
{
    return self->change (self->context, change, self->e);
}

static struct weir_bytes
text_of (const json_t *json)
{
    return weir_bytes (json_string_value (json), json_string_length (json));
}

/* ---- children that come ---- */

static enum weir_status container_clear (struct weir_diff_apply *self, struct weir_container *c,
                                         const json_t *keep);

/* It stands for `ref` from now on; what was in it (of a child by path, of a node's map) goes. */
static enum weir_status
place_fill (struct weir_diff_apply *self, struct weir_diff_place *place, const struct weir_id *old,
            struct weir_container *now)
{
    place->container = now;
    weir_grow (&self->made, &self->made_cap, self->n_made + 1, sizeof *self->made);
    self->made[self->n_made++] = (struct weir_diff_made){ .old = *old, .now = now };
    return container_clear (self, now, json_object_get (place->row, "set"));
}

static enum weir_status
child_came (struct weir_diff_apply *self, const json_t *ref, struct weir_container *now)
{
    struct weir_id id;
    struct weir_diff_place *place = weir_diff_place (self, json_object_get (ref, "$container"));
    enum weir_status status =
        weir_id_parse (&id, json_string_value (json_object_get (ref, "$container")));
    return status == WEIR_OK && place != NULL ? place_fill (self, place, &id, now) : status;
}

/* The value as ops take it. */
static enum weir_status
value_of (struct weir_diff_apply *self, const json_t *json, struct weir_value *value,
          struct weir_buf *scratch)
{
    bool is_scalar = false;
    if (weir_diff_is_ref (json)) {
        *value = (struct weir_value){ .type = WEIR_VALUE_UNIQUE };
        value->container = weir_diff_type (json_object_get (json, "type"))->number;
        return WEIR_OK;
    }
    enum weir_status status = weir_value_from_json (value, json, scratch, &is_scalar, self->e);
    weir_assert (status != WEIR_OK || is_scalar);
    return status;
}

/* ---- maps ---- */

static enum weir_status
map_put (struct weir_diff_apply *self, struct weir_container *map, struct weir_bytes key,
         const json_t *json)
{
    struct weir_change *change = NULL;
    struct weir_container *child = NULL;
    struct weir_value value;
    enum weir_status status = change_get (self, &change);
    if (status != WEIR_OK) {
        return status;
    }
    if (!weir_diff_is_ref (json)) {
        status = value_of (self, json, &value, &self->scratch);
        return status == WEIR_OK ? weir_change_map_set (change, map, key, &value, self->e) : status;
    }
    const struct weir_container_type *type = weir_diff_type (json_object_get (json, "type"));
    status = json_is_true (json_object_get (json, "unique"))
                 ? weir_change_map_make (change, map, key, type, &child, self->e)
                 : weir_change_child (change, map, key, type, &child, self->e);
    return status == WEIR_OK ? child_came (self, json, child) : status;
}

static enum weir_status
map_remove (struct weir_diff_apply *self, struct weir_container *map, struct weir_bytes key)
{
    struct weir_change *change = NULL;
    enum weir_status status = change_get (self, &change);
    return status == WEIR_OK ? weir_change_map_delete (change, map, key, self->e) : status;
}

static enum weir_status
map_apply (struct weir_diff_apply *self, struct weir_container *map, const json_t *diff)
{
    const json_t *gone = json_object_get (diff, "delete");
    enum weir_status status = WEIR_OK;
    const char *key;
    size_t len;
    json_t *value;
    for (size_t i = 0; i < json_array_size (gone) && status == WEIR_OK; i++) {
        status = map_remove (self, map, text_of (json_array_get (gone, i)));
    }
    json_object_keylen_foreach (json_object_get (diff, "set"), key, len, value)
    {
        if (status == WEIR_OK) {
            status = map_put (self, map, weir_bytes (key, len), value);
        }
    }
    return status;
}

static enum weir_status
map_clear (struct weir_diff_apply *self, struct weir_container *map, const json_t *keep)
{
    json_t *keys = json_array ();
    struct weir_item item;
    enum weir_status status = WEIR_OK;
    size_t i = 0;
    while (map->type->next (map, &i, &item)) {
        if (json_object_getn (keep, (const char *) item.key.data, item.key.len) == NULL) {
            json_array_append_new (
                keys, json_stringn_nocheck ((const char *) item.key.data, item.key.len));
        }
    }
    for (i = 0; i < json_array_size (keys) && status == WEIR_OK; i++) {
        status = map_remove (self, map, text_of (json_array_get (keys, i)));
    }
    json_decref (keys);
    return status;
}

/* ---- counters ---- */

static enum weir_status
counter_add (struct weir_diff_apply *self, struct weir_container *counter, const json_t *by)
{
    struct weir_change *change = NULL;
    struct weir_value value = { .type = WEIR_VALUE_INT };
    value.number.i = json_integer_value (by);
    if (json_is_real (by)) {
        value.type = WEIR_VALUE_DOUBLE;
        value.number.d = json_real_value (by);
    }
    enum weir_status status = change_get (self, &change);
    return status == WEIR_OK ? weir_change_increment (change, counter, &value, self->e) : status;
}

static enum weir_status
counter_clear (struct weir_diff_apply *self, struct weir_container *counter)
{
    json_t *zero = json_integer (0);
    json_t *value = counter->type->json (counter);
    json_t *by = weir_diff_number (value, zero);
    enum weir_status status = by != NULL ? counter_add (self, counter, by) : WEIR_OK;
    json_decref (zero);
    json_decref (value);
    json_decref (by);
    return status;
}

/* ---- texts ---- */

/* What the styles of a stretch shall be: `all` of them, or those named. */
struct wish {
    uint32_t from;
    uint32_t to;
    const json_t *attributes; /* NULL: none */
    bool all;
};
struct wishes {
    struct wish *items;
    size_t count;
    size_t cap;
};

static void
wish_add (struct wishes *w, uint32_t from, uint64_t count, const json_t *attributes, bool all)
{
    weir_grow (&w->items, &w->cap, w->count + 1, sizeof *w->items);
    w->items[w->count++] = (struct wish){
        .from = from, .to = from + (uint32_t) count, .attributes = attributes, .all = all
    };
}

static enum weir_status
sequence_delete (struct weir_diff_apply *self, struct weir_container *c, uint32_t at,
                 uint64_t count)
{
    struct weir_change *change = NULL;
    enum weir_status status = change_get (self, &change);
    if (status != WEIR_OK || count == 0) {
        return status;
    }
    return c->type == &weir_container_text
               ? weir_change_text_delete (change, c, at, (uint32_t) count, self->e)
               : weir_change_list_delete (change, c, at, (uint32_t) count, self->e);
}

static enum weir_status
text_insert (struct weir_diff_apply *self, struct weir_container *text, uint32_t at,
             struct weir_bytes utf8, uint32_t *count)
{
    enum weir_status status = WEIR_OK;
    uint32_t before = weir_seq_length (weir_container_seq (text));
    while (utf8.len > 0 && status == WEIR_OK) {
        struct weir_change *change = NULL;
        size_t len = utf8.len < TEXT_PIECE_BYTES ? utf8.len : TEXT_PIECE_BYTES;
        while (len < utf8.len && (utf8.data[len] & 0xc0u) == 0x80u) {
            len--;
        }
        status = change_get (self, &change);
        if (status == WEIR_OK) {
            uint32_t done = weir_seq_length (weir_container_seq (text)) - before;
            status = weir_change_text_insert (change, text, at + done, weir_bytes (utf8.data, len),
                                              self->e);
        }
        utf8 = weir_bytes (utf8.data + len, utf8.len - len);
    }
    *count = weir_seq_length (weir_container_seq (text)) - before;
    return status;
}

static enum weir_status
text_mark (struct weir_diff_apply *self, struct weir_container *text, uint32_t from, uint64_t count,
           const json_t *attributes)
{
    enum weir_status status = WEIR_OK;
    const char *key;
    size_t len;
    json_t *json;
    json_object_keylen_foreach ((json_t *) (uintptr_t) attributes, key, len, json)
    {
        struct weir_change *change = NULL;
        struct weir_value value;
        if (status == WEIR_OK) {
            status = change_get (self, &change);
        }
        if (status == WEIR_OK) {
            status = value_of (self, json, &value, &self->scratch);
        }
        if (status == WEIR_OK) {
            status =
                weir_change_text_mark (change, text, from, from + (uint32_t) count,
                                       weir_bytes (key, len), &value, WEIR_EXPAND_AFTER, self->e);
        }
    }
    return status;
}

/* Those of the wish's that are not so already. */
static json_t *
wish_missing (const struct wish *wish, const json_t *here)
{
    if (wish->all) {
        return weir_diff_attributes (here, wish->attributes);
    }
    json_t *missing = json_object ();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *) (uintptr_t) wish->attributes, key, value)
    {
        const json_t *is = json_object_get (here, key);
        if (is == NULL ? !json_is_null (value) : !json_equal (is, value)) {
            json_object_set (missing, key, value);
        }
    }
    return missing;
}

static enum weir_status
wishes_grant (struct weir_diff_apply *self, struct weir_container *text,
              const struct wishes *wishes)
{
    enum weir_status status = WEIR_OK;
    struct weir_styles styles = weir_styles_of (text);
    uint32_t at = 0;
    for (size_t i = 0; i < wishes->count && status == WEIR_OK; i++) {
        const struct wish *wish = &wishes->items[i];
        weir_styles_skip (&styles, wish->from - at);
        at = wish->from;
        while (at < wish->to && status == WEIR_OK) {
            uint64_t n;
            const json_t *here = weir_styles_here (&styles, wish->to - at, &n);
            json_t *missing = wish_missing (wish, here);
            status = text_mark (self, text, at, n, missing);
            json_decref (missing);
            weir_styles_skip (&styles, n);
            at += (uint32_t) n;
        }
    }
    weir_styles_fini (&styles);
    return status;
}

static enum weir_status
text_apply (struct weir_diff_apply *self, struct weir_container *text, const json_t *diff)
{
    struct wishes wishes = { .items = NULL };
    enum weir_status status = WEIR_OK;
    uint32_t at = 0;
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        const json_t *op = json_array_get (diff, i);
        const json_t *inserted = json_object_get (op, "insert");
        const json_t *attributes = json_object_get (op, "attributes");
        uint64_t kept = (uint64_t) json_integer_value (json_object_get (op, "retain"));
        uint64_t gone = (uint64_t) json_integer_value (json_object_get (op, "delete"));
        if (inserted != NULL) {
            uint32_t count = 0;
            status = text_insert (self, text, at, text_of (inserted), &count);
            wish_add (&wishes, at, count, attributes, true);
            at += count;
        } else if (kept > 0) {
            if (attributes != NULL) {
                wish_add (&wishes, at, kept, attributes, false);
            }
            at += (uint32_t) kept;
        } else {
            status = sequence_delete (self, text, at, gone);
        }
    }
    if (status == WEIR_OK && wishes.count > 0) {
        status = wishes_grant (self, text, &wishes);
    }
    free (wishes.items);
    return status;
}

/* ---- lists ---- */

static enum weir_status
list_insert (struct weir_diff_apply *self, struct weir_container *list, uint32_t at,
             const json_t *values, size_t from, size_t count)
{
    struct weir_value *v = weir_alloc (count * sizeof *v);
    struct weir_buf *scratch = weir_alloc (count * sizeof *scratch);
    struct weir_container **children = weir_alloc (count * sizeof (struct weir_container *));
    struct weir_change *change = NULL;
    enum weir_status status = change_get (self, &change);
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        status = value_of (self, json_array_get (values, from + i), &v[i], &scratch[i]);
    }
    if (status == WEIR_OK) {
        status = weir_change_list_insert (change, list, at, v, (uint32_t) count, children, self->e);
    }
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        if (v[i].type == WEIR_VALUE_UNIQUE) {
            status = child_came (self, json_array_get (values, from + i), children[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        weir_buf_fini (&scratch[i]);
    }
    free (v);
    free (scratch);
    free (children);
    return status;
}

static enum weir_status
list_insert_all (struct weir_diff_apply *self, struct weir_container *list, uint32_t at,
                 const json_t *values)
{
    enum weir_status status = WEIR_OK;
    size_t all = json_array_size (values);
    for (size_t done = 0; done < all && status == WEIR_OK;) {
        size_t count = all - done < LIST_PIECE_VALUES ? all - done : LIST_PIECE_VALUES;
        status = list_insert (self, list, at + (uint32_t) done, values, done, count);
        done += count;
    }
    return status;
}

static enum weir_status
list_apply (struct weir_diff_apply *self, struct weir_container *list, const json_t *diff)
{
    enum weir_status status = WEIR_OK;
    uint32_t at = 0;
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        const json_t *op = json_array_get (diff, i);
        const json_t *inserted = json_object_get (op, "insert");
        if (inserted != NULL) {
            status = list_insert_all (self, list, at, inserted);
            at += (uint32_t) json_array_size (inserted);
        } else {
            at += (uint32_t) json_integer_value (json_object_get (op, "retain"));
            status = sequence_delete (
                self, list, at, (uint64_t) json_integer_value (json_object_get (op, "delete")));
        }
    }
    return status;
}

/* ---- movable lists ----
 *
 * What moves stays where it was until its new place comes. `was` walks over the elements that
 * were there, `at` over those that are: an element that waits behind `at`, or was taken from
 * ahead of it, shifts the others, which two sums over the old indices (Fenwick's) count. */

struct sums {
    uint32_t *items;
    size_t count;
};

static void
sums_add (struct sums *s, size_t i)
{
    for (i++; i <= s->count; i += i & (~i + 1)) {
        s->items[i]++;
    }
}

static uint32_t
sums_below (const struct sums *s, size_t i)
{
    uint32_t sum = 0;
    for (; i > 0; i -= i & (~i + 1)) {
        sum += s->items[i];
    }
    return sum;
}

struct shuffle {
    struct weir_diff_apply *self;
    struct weir_container *list;
    uint32_t at;
    uint32_t was;
    uint32_t *waits;    /* of an old element that waits to be moved: `at` when it was passed */
    uint8_t *state;     /* 1: will move; 2: was moved */
    struct sums ahead;  /* taken from ahead */
    struct sums behind; /* taken from behind */
};

static enum weir_status
movable_set (struct shuffle *s, uint32_t at, const json_t *json)
{
    struct weir_diff_apply *self = s->self;
    struct weir_change *change = NULL;
    struct weir_container *child = NULL;
    struct weir_value value;
    if (weir_diff_is_ref (json) && weir_diff_is_child_of (self, s->list, at, json)) {
        return WEIR_OK;
    }
    enum weir_status status = change_get (self, &change);
    if (status == WEIR_OK) {
        status = value_of (self, json, &value, &self->scratch);
    }
    if (status == WEIR_OK) {
        status = weir_change_list_set (change, s->list, at, &value, &child, self->e);
    }
    return status == WEIR_OK && value.type == WEIR_VALUE_UNIQUE ? child_came (self, json, child)
                                                                : status;
}

static enum weir_status
movable_move (struct shuffle *s, uint32_t from, const json_t *json)
{
    struct weir_change *change = NULL;
    enum weir_status status = change_get (s->self, &change);
    uint32_t now;
    uint32_t to;
    if (from >= s->was) {
        uint32_t taken = sums_below (&s->ahead, from) - sums_below (&s->ahead, s->was);
        now = s->at + (from - s->was) - taken;
        to = s->at++;
        sums_add (&s->ahead, from);
    } else {
        now = s->waits[from] - sums_below (&s->behind, from);
        to = s->at - 1;
        sums_add (&s->behind, from);
    }
    s->state[from] = 2;
    if (status == WEIR_OK && now != to) {
        status = weir_change_list_move (change, s->list, now, to, s->self->e);
    }
    return status == WEIR_OK && json != NULL ? movable_set (s, to, json) : status;
}

/* Old elements that go: those that only move are passed. */
static enum weir_status
movable_delete (struct shuffle *s, uint64_t count)
{
    enum weir_status status = WEIR_OK;
    uint32_t run = 0;
    for (; count > 0 && status == WEIR_OK; count--, s->was++) {
        if (s->state[s->was] == 0) {
            run++;
            continue;
        }
        status = sequence_delete (s->self, s->list, s->at, run);
        run = 0;
        if (s->state[s->was] == 1) {
            /* Counted from before anything behind was taken. */
            s->waits[s->was] = s->at + sums_below (&s->behind, s->was);
            s->at++;
        }
    }
    return status == WEIR_OK ? sequence_delete (s->self, s->list, s->at, run) : status;
}

static enum weir_status
movable_step (struct shuffle *s, const json_t *op)
{
    const json_t *inserted = json_object_get (op, "insert");
    const json_t *move = json_object_get (op, "move");
    const json_t *set = json_object_get (op, "set");
    enum weir_status status = WEIR_OK;
    if (move != NULL) {
        status =
            movable_move (s, (uint32_t) json_integer_value (move), json_array_get (inserted, 0));
    } else if (inserted != NULL) {
        status = list_insert_all (s->self, s->list, s->at, inserted);
        s->at += (uint32_t) json_array_size (inserted);
    } else if (set != NULL) {
        status = movable_set (s, s->at++, set);
        s->was++;
    } else {
        uint32_t kept = (uint32_t) json_integer_value (json_object_get (op, "retain"));
        s->at += kept;
        s->was += kept;
        status = movable_delete (s, (uint64_t) json_integer_value (json_object_get (op, "delete")));
    }
    return status;
}

static enum weir_status
movable_apply (struct weir_diff_apply *self, struct weir_container *list, const json_t *diff)
{
    size_t count = weir_seq_length (weir_container_seq (list));
    struct shuffle s = { .self = self, .list = list };
    enum weir_status status = WEIR_OK;
    s.waits = weir_alloc ((count + 1) * sizeof *s.waits);
    s.state = weir_alloc (count + 1);
    s.ahead = (struct sums){ weir_alloc ((count + 2) * sizeof (uint32_t)), count + 1 };
    s.behind = (struct sums){ weir_alloc ((count + 2) * sizeof (uint32_t)), count + 1 };
    for (size_t i = 0; i < json_array_size (diff); i++) {
        const json_t *move = json_object_get (json_array_get (diff, i), "move");
        if (move != NULL) {
            s.state[json_integer_value (move)] = 1;
        }
    }
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        status = movable_step (&s, json_array_get (diff, i));
    }
    free (s.waits);
    free (s.state);
    free (s.ahead.items);
    free (s.behind.items);
    return status;
}

/* ---- trees ---- */

static uint32_t
tree_find (const struct weir_diff_apply *self, const struct weir_container *tree,
           const json_t *name)
{
    uint32_t n = weir_diff_tree_number (self, tree, name);
    if (n == WEIR_GRAPH_NONE && json_is_string (name)) {
        uintptr_t made = (uintptr_t) weir_map_get (self->nodes, text_of (name));
        n = made != 0 ? (uint32_t) (made - 1) : WEIR_GRAPH_NONE;
    }
    return n;
}

/* Below a node that comes back there may be others: they stay where they are until they are
 * placed; those that are not meant go again. */
static enum weir_status
tree_prune (struct weir_diff_apply *self, struct weir_container *tree, uint32_t node)
{
    struct weir_numbers children = { .items = NULL };
    enum weir_status status = WEIR_OK;
    weir_tree_children (tree, node, &children);
    for (size_t i = 0; i < children.count && status == WEIR_OK; i++) {
        struct weir_tree_node child;
        struct weir_change *change = NULL;
        weir_tree_node (tree, children.items[i], &child);
        struct weir_id meta = weir_container_unique_id (&child.id, WEIR_CONTAINER_MAP);
        if (weir_map_get (self->places, weir_id_bytes (&meta)) != NULL) {
            continue;
        }
        status = change_get (self, &change);
        if (status == WEIR_OK) {
            status = weir_change_tree_delete (change, tree, children.items[i], self->e);
        }
    }
    weir_numbers_fini (&children);
    return status;
}

static enum weir_status
tree_create (struct weir_diff_apply *self, struct weir_container *tree, const json_t *name,
             uint32_t parent, uint32_t index)
{
    struct weir_change *change = NULL;
    struct weir_op_id id;
    uint32_t node = weir_diff_tree_number (self, tree, name);
    bool is_new = node == WEIR_GRAPH_NONE;
    size_t map_at = self->n_made; /* place_fill puts it there */
    enum weir_status status = weir_op_id_parse (&id, text_of (name));
    if (status == WEIR_OK) {
        status = change_get (self, &change);
    }
    if (status == WEIR_OK && !is_new) {
        status = weir_change_tree_move (change, tree, node, parent, index, self->e);
        if (status == WEIR_OK) {
            status = tree_prune (self, tree, node);
        }
    } else if (status == WEIR_OK) {
        status = weir_change_tree_create (change, tree, parent, index, &node, self->e);
        if (status == WEIR_OK) {
            (void) weir_map_put (self->nodes, text_of (name), (void *) ((uintptr_t) node + 1));
        }
    }
    if (status == WEIR_OK) {
        status = change_get (self, &change);
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_id meta = weir_container_unique_id (&id, WEIR_CONTAINER_MAP);
    struct weir_diff_place *place = weir_map_get (self->places, weir_id_bytes (&meta));
    status = place_fill (self, place, &meta, weir_change_tree_meta (change, tree, node));
    if (is_new) {
        struct weir_diff_made *made = &self->made[map_at];
        made->node = id;
        made->is_node = true;
    }
    return status;
}

static bool
tree_is_alive (const struct weir_container *tree, uint32_t number)
{
    struct weir_tree_node node = { .is_alive = false };
    if (number != WEIR_GRAPH_NONE) {
        weir_tree_node (tree, number, &node);
    }
    return node.is_alive;
}

static enum weir_status
tree_step (struct weir_diff_apply *self, struct weir_container *tree, const json_t *step)
{
    const json_t *comes = json_object_get (step, "create");
    const json_t *moves = json_object_get (step, "move");
    const json_t *above = json_object_get (step, "parent");
    uint32_t parent = tree_find (self, tree, above);
    uint32_t index = (uint32_t) json_integer_value (json_object_get (step, "index"));
    struct weir_change *change = NULL;
    enum weir_status status = change_get (self, &change);
    if (status != WEIR_OK) {
        return status;
    }
    if (comes == NULL && moves == NULL) {
        uint32_t node = tree_find (self, tree, json_object_get (step, "delete"));
        return tree_is_alive (tree, node) ? weir_change_tree_delete (change, tree, node, self->e)
                                          : WEIR_OK;
    }
    if (json_is_string (above) && !tree_is_alive (tree, parent)) {
        return WEIR_OK; /* lenient: its parent is gone */
    }
    uint32_t node = tree_find (self, tree, comes != NULL ? comes : moves);
    struct weir_numbers siblings = { .items = NULL };
    if (self->is_lenient) {
        weir_tree_children (tree, parent, &siblings);
        size_t there = siblings.count;
        for (size_t i = 0; i < siblings.count; i++) {
            there -= siblings.items[i] == node;
        }
        index = index < there ? index : (uint32_t) there;
        weir_numbers_fini (&siblings);
    }
    if (comes != NULL) {
        return tree_create (self, tree, comes, parent, index);
    }
    status = tree_is_alive (tree, node)
                 ? weir_change_tree_move (change, tree, node, parent, index, self->e)
                 : WEIR_OK;
    return status == WEIR_CONFLICT && self->is_lenient ? WEIR_OK : status;
}

static enum weir_status
tree_apply (struct weir_diff_apply *self, struct weir_container *tree, const json_t *diff)
{
    enum weir_status status = WEIR_OK;
    weir_map_destroy (&self->nodes, NULL);
    self->nodes = weir_map_new ();
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        status = tree_step (self, tree, json_array_get (diff, i));
    }
    return status;
}

static enum weir_status
tree_clear (struct weir_diff_apply *self, struct weir_container *tree)
{
    struct weir_numbers roots = { .items = NULL };
    enum weir_status status = WEIR_OK;
    weir_tree_children (tree, WEIR_GRAPH_NONE, &roots);
    for (size_t i = 0; i < roots.count && status == WEIR_OK; i++) {
        struct weir_change *change = NULL;
        status = change_get (self, &change);
        if (status == WEIR_OK) {
            status = weir_change_tree_delete (change, tree, roots.items[i], self->e);
        }
    }
    weir_numbers_fini (&roots);
    return status;
}

/* ---- all ---- */

static enum weir_status
container_clear (struct weir_diff_apply *self, struct weir_container *c, const json_t *keep)
{
    switch (c->type->number) {
    case WEIR_CONTAINER_MAP:
        return map_clear (self, c, keep);
    case WEIR_CONTAINER_TREE:
        return tree_clear (self, c);
    case WEIR_CONTAINER_COUNTER:
        return counter_clear (self, c);
    default:
        return sequence_delete (self, c, 0, weir_seq_length (weir_container_seq (c)));
    }
}

static enum weir_status
row_apply (struct weir_diff_apply *self, struct weir_container *c, const json_t *diff)
{
    switch (c->type->number) {
    case WEIR_CONTAINER_MAP:
        return map_apply (self, c, diff);
    case WEIR_CONTAINER_TEXT:
        return text_apply (self, c, diff);
    case WEIR_CONTAINER_MOVABLE:
        return movable_apply (self, c, diff);
    case WEIR_CONTAINER_TREE:
        return tree_apply (self, c, diff);
    case WEIR_CONTAINER_COUNTER:
        return counter_add (self, c, diff);
    default:
        return list_apply (self, c, diff);
    }
}

enum weir_status
weir_diff_apply (struct weir_diff_apply *self, const json_t *diff)
{
    enum weir_status status = weir_diff_check (self, diff);
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        const json_t *row = json_array_get (diff, i);
        struct weir_diff_place *place = weir_diff_place (self, json_object_get (row, "container"));
        if (place != NULL && place->container != NULL) {
            status = row_apply (self, place->container, json_object_get (row, "diff"));
        }
    }
    return status;
}
