/* Owns footprints. Sequences are carried stretch by stretch, as deltas are in any editor; of two
 * that insert at one place, the footprint's stands first, so that both ways round end alike.
 * Maps, styles, values and nodes that the footprint touched are left as they are. */

#include "store/replica/undo_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- strides ---- */

void
weir_strides_fini (struct weir_strides *s)
{
    for (size_t i = 0; i < s->count; i++) {
        json_decref (s->items[i].touched);
    }
    free (s->items);
    *s = (struct weir_strides){ .items = NULL };
}

/* `touched` is shared. */
static void
put (struct weir_strides *s, enum weir_stride_kind kind, uint64_t count, json_t *touched,
     const json_t *op)
{
    struct weir_stride *last = s->count > 0 ? &s->items[s->count - 1] : NULL;
    if (count == 0) {
        return;
    }
    if (last != NULL && last->kind == kind && last->op == NULL && op == NULL
        && (last->touched == touched
            || (last->touched != NULL && touched != NULL && json_equal (last->touched, touched)))) {
        last->count += count;
        return;
    }
    weir_grow (&s->items, &s->cap, s->count + 1, sizeof *s->items);
    s->items[s->count++] = (struct weir_stride){
        .kind = kind, .count = count, .touched = json_incref (touched), .op = op
    };
}

static uint64_t
inserted_count (const json_t *inserted)
{
    const char *text = json_string_value (inserted);
    uint64_t n = 0;
    for (size_t i = 0; text != NULL && i < json_string_length (inserted); i++) {
        n += ((unsigned char) text[i] & 0xc0u) != 0x80u;
    }
    return text != NULL ? n : json_array_size (inserted);
}

/* `keep_ops`: the strides shall know what they come from. */
static struct weir_strides
strides_of (const json_t *delta, bool keep_ops)
{
    struct weir_strides s = { .items = NULL };
    json_t *valued = json_pack ("{s:b}", "", 1);
    for (size_t i = 0; i < json_array_size (delta); i++) {
        const json_t *op = json_array_get (delta, i);
        const json_t *inserted = json_object_get (op, "insert");
        const json_t *kept = json_object_get (op, "retain");
        json_t *attributes = json_object_get (op, "attributes");
        const json_t *from = keep_ops ? op : NULL;
        if (inserted != NULL) {
            uint64_t n = json_object_get (op, "move") != NULL ? 1 : inserted_count (inserted);
            put (&s, WEIR_STRIDE_COME, n, NULL, from);
        } else if (json_object_get (op, "set") != NULL) {
            put (&s, WEIR_STRIDE_KEEP, 1, valued, from);
        } else if (kept != NULL) {
            put (&s, WEIR_STRIDE_KEEP, (uint64_t) json_integer_value (kept), attributes,
                 attributes != NULL ? from : NULL);
        } else {
            put (&s, WEIR_STRIDE_GO, (uint64_t) json_integer_value (json_object_get (op, "delete")),
                 NULL, NULL);
        }
    }
    json_decref (valued);
    return s;
}

/* Walks over strides in pieces; behind the last everything is kept. */
struct walker {
    const struct weir_strides *s;
    size_t i;
    uint64_t done; /* of stride i */
};

static const struct weir_stride *
walker_here (const struct walker *w, uint64_t *left)
{
    const struct weir_stride *here = w->i < w->s->count ? &w->s->items[w->i] : NULL;
    *left = here != NULL ? here->count - w->done : UINT64_MAX;
    return here;
}

static void
walker_step (struct walker *w, uint64_t count)
{
    if (w->i < w->s->count) {
        w->done += count;
        if (w->done == w->s->items[w->i].count) {
            w->i++;
            w->done = 0;
        }
    }
}

static enum weir_stride_kind
kind_of (const struct weir_stride *s)
{
    return s != NULL ? s->kind : WEIR_STRIDE_KEEP;
}

static uint64_t
least (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Those of x's styles that y does not touch; a new reference. */
static json_t *
untouched (const json_t *x, const json_t *y)
{
    json_t *out = NULL;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *) (uintptr_t) x, key, value)
    {
        if (json_object_get (y, key) == NULL) {
            out = out != NULL ? out : json_object ();
            json_object_set (out, key, value);
        }
    }
    return out;
}

/* x as it is behind y. `x_first`: who stands to the left where both insert. */
static struct weir_strides
strides_carry (const struct weir_strides *x, const struct weir_strides *y, bool x_first)
{
    struct weir_strides out = { .items = NULL };
    struct walker of_x = { .s = x };
    struct walker of_y = { .s = y };
    while (of_x.i < x->count) {
        uint64_t n_x, n_y;
        const struct weir_stride *a = walker_here (&of_x, &n_x);
        const struct weir_stride *b = walker_here (&of_y, &n_y);
        if (a->kind == WEIR_STRIDE_COME && (x_first || kind_of (b) != WEIR_STRIDE_COME)) {
            put (&out, WEIR_STRIDE_COME, n_x, NULL, a->op);
            walker_step (&of_x, n_x);
        } else if (kind_of (b) == WEIR_STRIDE_COME) {
            put (&out, WEIR_STRIDE_KEEP, n_y, NULL, NULL);
            walker_step (&of_y, n_y);
        } else {
            uint64_t n = least (n_x, n_y);
            if (kind_of (b) == WEIR_STRIDE_KEEP) {
                json_t *rest = untouched (a->touched, b != NULL ? b->touched : NULL);
                put (&out, a->kind, n, rest, rest != NULL ? a->op : NULL);
                json_decref (rest);
            }
            walker_step (&of_x, n);
            walker_step (&of_y, n);
        }
    }
    return out;
}

static json_t *
both (json_t *x, json_t *y)
{
    json_t *out = x != NULL || y != NULL ? json_object () : NULL;
    if (x != NULL) {
        json_object_update (out, x);
    }
    if (y != NULL) {
        json_object_update (out, y);
    }
    return out;
}

/* x and then y, as one. */
static struct weir_strides
strides_join (const struct weir_strides *x, const struct weir_strides *y)
{
    struct weir_strides out = { .items = NULL };
    struct walker of_x = { .s = x };
    struct walker of_y = { .s = y };
    while (of_x.i < x->count || of_y.i < y->count) {
        uint64_t n_x, n_y;
        const struct weir_stride *a = walker_here (&of_x, &n_x);
        const struct weir_stride *b = walker_here (&of_y, &n_y);
        if (kind_of (b) == WEIR_STRIDE_COME) {
            put (&out, WEIR_STRIDE_COME, n_y, NULL, NULL);
            walker_step (&of_y, n_y);
        } else if (kind_of (a) == WEIR_STRIDE_GO) {
            put (&out, WEIR_STRIDE_GO, n_x, NULL, NULL);
            walker_step (&of_x, n_x);
        } else {
            uint64_t n = least (n_x, n_y);
            json_t *touched = both (a != NULL ? a->touched : NULL, b != NULL ? b->touched : NULL);
            if (kind_of (b) == WEIR_STRIDE_KEEP) {
                put (&out, kind_of (a), n, kind_of (a) == WEIR_STRIDE_KEEP ? touched : NULL, NULL);
            } else if (kind_of (a) == WEIR_STRIDE_KEEP) {
                put (&out, WEIR_STRIDE_GO, n, NULL, NULL);
            }
            json_decref (touched);
            walker_step (&of_x, n);
            walker_step (&of_y, n);
        }
    }
    return out;
}

/* Where the element at `at` stands behind y; UINT64_MAX: nowhere. *touched: its value is
 * another. */
static uint64_t
strides_index (const struct weir_strides *y, uint64_t at, bool *touched)
{
    uint64_t now = 0;
    *touched = false;
    for (size_t i = 0; i < y->count; i++) {
        const struct weir_stride *s = &y->items[i];
        if (s->kind == WEIR_STRIDE_COME) {
            now += s->count;
            continue;
        }
        if (at < s->count) {
            *touched = s->touched != NULL;
            return s->kind == WEIR_STRIDE_GO ? UINT64_MAX : now + at;
        }
        at -= s->count;
        now += s->kind == WEIR_STRIDE_KEEP ? s->count : 0;
    }
    return now + at;
}

/* ---- feet ---- */

static void
foot_free (void *at)
{
    struct weir_foot *foot = at;
    json_decref (foot->names);
    weir_strides_fini (&foot->strides);
    free (foot);
}

void
weir_footprint_fini (struct weir_footprint *f)
{
    weir_map_destroy (&f->feet, foot_free);
}

static bool
row_read (const json_t *row, struct weir_id *id, const struct weir_container_type **type)
{
    const char *text = json_string_value (json_object_get (row, "container"));
    *type = weir_diff_type (json_object_get (row, "type"));
    return text != NULL && *type != NULL && weir_id_parse (id, text) == WEIR_OK;
}

/* The names that a map's or tree's diff touches. */
static json_t *
names_of (const struct weir_container_type *type, const json_t *diff)
{
    json_t *names = json_object ();
    const char *key;
    json_t *value;
    if (type == &weir_container_map) {
        const json_t *gone = json_object_get (diff, "delete");
        json_object_foreach (json_object_get (diff, "set"), key, value)
        {
            json_object_set_new (names, key, json_true ());
        }
        for (size_t i = 0; i < json_array_size (gone); i++) {
            json_object_set_new (names, json_string_value (json_array_get (gone, i)), json_true ());
        }
    }
    for (size_t i = 0; type == &weir_container_tree && i < json_array_size (diff); i++) {
        json_object_foreach (json_array_get (diff, i), key, value)
        {
            if (strcmp (key, "parent") != 0 && json_is_string (value)) {
                json_object_set_new (names, json_string_value (value), json_true ());
            }
        }
    }
    return names;
}

static struct weir_foot *
foot_of (const struct weir_container_type *type, const json_t *diff)
{
    struct weir_foot *foot = weir_alloc (sizeof *foot);
    foot->type = type;
    foot->names = names_of (type, diff);
    if (type != &weir_container_map && type != &weir_container_tree
        && type != &weir_container_counter) {
        foot->strides = strides_of (diff, false);
    }
    return foot;
}

/* The foot and then `more`, which is used up. */
static void
foot_join (struct weir_footprint *f, struct weir_bytes id, struct weir_foot *more)
{
    f->feet = f->feet != NULL ? f->feet : weir_map_new ();
    struct weir_foot *foot = weir_map_get (f->feet, id);
    if (foot == NULL) {
        (void) weir_map_put (f->feet, id, more);
        return;
    }
    struct weir_strides joined = strides_join (&foot->strides, &more->strides);
    weir_strides_fini (&foot->strides);
    foot->strides = joined;
    json_object_update (foot->names, more->names);
    foot_free (more);
}

void
weir_footprint_add (struct weir_footprint *f, const json_t *diff)
{
    for (size_t i = 0; i < json_array_size (diff); i++) {
        const json_t *row = json_array_get (diff, i);
        const struct weir_container_type *type;
        struct weir_id id;
        if (row_read (row, &id, &type)) {
            foot_join (f, weir_id_bytes (&id), foot_of (type, json_object_get (row, "diff")));
        }
    }
}

void
weir_footprint_join (struct weir_footprint *f, struct weir_footprint *g)
{
    struct weir_bytes id;
    void *foot;
    for (size_t i = 0; g->feet != NULL && weir_map_next (g->feet, &i, &id, &foot);) {
        foot_join (f, id, foot);
    }
    weir_map_destroy (&g->feet, NULL);
}

static struct weir_id
id_now (const struct weir_map *stands_for, struct weir_id id)
{
    const struct weir_id *next;
    while (stands_for != NULL && (next = weir_map_get (stands_for, weir_id_bytes (&id))) != NULL) {
        id = *next;
    }
    return id;
}

static struct weir_foot *
foot_find (const struct weir_footprint *f, const struct weir_id *id,
           const struct weir_map *stands_for)
{
    struct weir_id now = id_now (stands_for, *id);
    return f->feet != NULL ? weir_map_get (f->feet, weir_id_bytes (&now)) : NULL;
}

void
weir_footprint_carry (struct weir_footprint *f, const json_t *diff,
                      const struct weir_map *stands_for)
{
    for (size_t i = 0; i < json_array_size (diff); i++) {
        const json_t *row = json_array_get (diff, i);
        const struct weir_container_type *type;
        struct weir_id id;
        struct weir_foot *foot = row_read (row, &id, &type) ? foot_find (f, &id, stands_for) : NULL;
        if (foot != NULL && foot->strides.count > 0 && foot->type == type) {
            struct weir_strides over = strides_of (json_object_get (row, "diff"), false);
            struct weir_strides now = strides_carry (&foot->strides, &over, true);
            weir_strides_fini (&over);
            weir_strides_fini (&foot->strides);
            foot->strides = now;
        }
    }
}

void
weir_footprint_rename (struct weir_footprint *f, const struct weir_id *old,
                       const struct weir_id *now)
{
    struct weir_foot *foot =
        f->feet != NULL ? weir_map_remove (f->feet, weir_id_bytes (old)) : NULL;
    if (foot != NULL) {
        foot_join (f, weir_id_bytes (now), foot);
    }
}

void
weir_footprint_rename_node (struct weir_footprint *f, const char *old, const char *now)
{
    struct weir_bytes id;
    void *at;
    for (size_t i = 0; f->feet != NULL && weir_map_next (f->feet, &i, &id, &at);) {
        struct weir_foot *foot = at;
        if (foot->type == &weir_container_tree && json_object_get (foot->names, old) != NULL) {
            json_object_set_new (foot->names, now, json_true ());
        }
    }
}

/* ---- a difference over a footprint ---- */

/* Notes the children that a value brings. */
static void
refs_note (json_t *ids, const json_t *value)
{
    const char *id = json_string_value (json_object_get (value, "$container"));
    if (id != NULL) {
        json_object_set_new (ids, id, json_true ());
    }
}

/* The same of all values of a row's diff. */
static void
refs_of_diff (json_t *ids, const json_t *diff)
{
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get (diff, "set"), key, value)
    {
        refs_note (ids, value);
    }
    for (size_t i = 0; i < json_array_size (diff); i++) {
        const json_t *op = json_array_get (diff, i);
        const json_t *inserted = json_object_get (op, "insert");
        refs_note (ids, json_object_get (op, "set"));
        for (size_t k = 0; k < json_array_size (inserted); k++) {
            refs_note (ids, json_array_get (inserted, k));
        }
    }
}

static json_t *
map_over (const struct weir_foot *foot, const json_t *diff, json_t *dropped)
{
    json_t *set = json_object ();
    json_t *gone = json_array ();
    json_t *out = json_object ();
    const char *key;
    json_t *value;
    const json_t *goes = json_object_get (diff, "delete");
    json_object_foreach (json_object_get (diff, "set"), key, value)
    {
        if (json_object_get (foot->names, key) == NULL) {
            json_object_set (set, key, value);
        } else {
            refs_note (dropped, value);
        }
    }
    for (size_t i = 0; i < json_array_size (goes); i++) {
        value = json_array_get (goes, i);
        if (json_object_get (foot->names, json_string_value (value)) == NULL) {
            json_array_append (gone, value);
        }
    }
    json_object_set_new (out, "set", set);
    json_object_set_new (out, "delete", gone);
    return out;
}

static json_t *
tree_over (const struct weir_foot *foot, const json_t *diff, const json_t *nodes_for)
{
    static const char *const verbs[] = { "create", "move", "delete" };
    json_t *out = json_array ();
    for (size_t i = 0; i < json_array_size (diff); i++) {
        json_t *step = json_array_get (diff, i);
        bool touched = false;
        for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++) {
            const char *node = json_string_value (json_object_get (step, verbs[v]));
            const char *next;
            while (node != NULL
                   && (next = json_string_value (json_object_get (nodes_for, node))) != NULL) {
                node = next;
            }
            touched = touched || (node != NULL && json_object_get (foot->names, node) != NULL);
        }
        if (!touched) {
            json_array_append (out, step);
        }
    }
    return out;
}

/* A move from where the element is now. NULL: it is not there any more. */
static json_t *
move_over (const struct weir_foot *foot, const json_t *op)
{
    bool touched = false;
    uint64_t from = strides_index (
        &foot->strides, (uint64_t) json_integer_value (json_object_get (op, "move")), &touched);
    if (from == UINT64_MAX) {
        return NULL;
    }
    json_t *out = json_copy ((json_t *) (uintptr_t) op);
    json_object_set_new (out, "move", json_integer ((json_int_t) from));
    if (touched) {
        json_object_set_new (out, "insert", json_array ());
    }
    return out;
}

static json_t *
sequence_over (const struct weir_foot *foot, const json_t *diff, json_t *dropped)
{
    struct weir_strides all = strides_of (diff, true);
    struct weir_strides over = strides_carry (&all, &foot->strides, false);
    json_t *out = json_array ();
    for (size_t i = 0; i < over.count; i++) {
        const struct weir_stride *s = &over.items[i];
        json_t *op = NULL;
        if (s->kind == WEIR_STRIDE_COME && json_object_get (s->op, "move") != NULL) {
            op = move_over (foot, s->op);
        } else if (s->kind == WEIR_STRIDE_COME || json_object_get (s->op, "set") != NULL) {
            op = json_copy ((json_t *) (uintptr_t) s->op);
        } else {
            op = json_object ();
            json_object_set_new (op, s->kind == WEIR_STRIDE_KEEP ? "retain" : "delete",
                                 json_integer ((json_int_t) s->count));
            if (s->kind == WEIR_STRIDE_KEEP && s->touched != NULL) {
                json_object_set (op, "attributes", s->touched);
            }
        }
        if (op != NULL) {
            json_array_append_new (out, op);
        }
    }
    /* Children of values that were left out are not made. */
    json_t *before = json_object ();
    json_t *after = json_object ();
    const char *id;
    json_t *value;
    refs_of_diff (before, diff);
    refs_of_diff (after, out);
    json_object_foreach (before, id, value)
    {
        if (json_object_get (after, id) == NULL) {
            json_object_set (dropped, id, value);
        }
    }
    json_decref (before);
    json_decref (after);
    weir_strides_fini (&all);
    weir_strides_fini (&over);
    return out;
}

json_t *
weir_footprint_over (const struct weir_footprint *f, const json_t *diff,
                     const struct weir_map *stands_for, const json_t *nodes_for)
{
    json_t *out = json_array ();
    json_t *came = json_object ();
    json_t *dropped = json_object ();
    for (size_t i = 0; i < json_array_size (diff); i++) {
        json_t *row = json_array_get (diff, i);
        const json_t *part = json_object_get (row, "diff");
        const char *name = json_string_value (json_object_get (row, "container"));
        const struct weir_container_type *type;
        struct weir_id id;
        if (!row_read (row, &id, &type) || json_object_get (dropped, name) != NULL) {
            refs_of_diff (dropped, part);
            continue;
        }
        struct weir_foot *foot = foot_find (f, &id, stands_for);
        refs_of_diff (came, part);
        if (foot == NULL || foot->type != type || type == &weir_container_counter
            || json_object_get (came, name) != NULL) {
            json_array_append (out, row);
            continue;
        }
        json_t *now = type == &weir_container_map    ? map_over (foot, part, dropped)
                      : type == &weir_container_tree ? tree_over (foot, part, nodes_for)
                                                     : sequence_over (foot, part, dropped);
        json_t *row_now = json_copy (row);
        json_object_set_new (row_now, "diff", now);
        json_array_append_new (out, row_now);
    }
    json_decref (came);
    json_decref (dropped);
    return out;
}
