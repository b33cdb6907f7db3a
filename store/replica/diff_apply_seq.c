/* Owns what makes ops of the differences of sequences: texts with their styles, lists, movable
 * lists. Long texts and lists go in pieces, so that a change that is full can be sealed between
 * them. */

#include "store/replica/diff_apply.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_PIECE_BYTES (64u << 10)
#define LIST_PIECE_VALUES 256u

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

enum weir_status
weir_diff_delete (struct weir_diff_apply *self, struct weir_container *c, uint32_t at,
                  uint64_t count)
{
    struct weir_change *change = NULL;
    enum weir_status status = weir_diff_change (self, &change);
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
        status = weir_diff_change (self, &change);
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
            status = weir_diff_change (self, &change);
        }
        if (status == WEIR_OK) {
            status = weir_diff_value_of (self, json, &value, &self->scratch);
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

enum weir_status
weir_diff_apply_text (struct weir_diff_apply *self, struct weir_container *text, const json_t *diff)
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
            status = text_insert (self, text, at, weir_diff_text_of (inserted), &count);
            wish_add (&wishes, at, count, attributes, true);
            at += count;
        } else if (kept > 0) {
            if (attributes != NULL) {
                wish_add (&wishes, at, kept, attributes, false);
            }
            at += (uint32_t) kept;
        } else {
            status = weir_diff_delete (self, text, at, gone);
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
    enum weir_status status = weir_diff_change (self, &change);
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        status = weir_diff_value_of (self, json_array_get (values, from + i), &v[i], &scratch[i]);
    }
    if (status == WEIR_OK) {
        status = weir_change_list_insert (change, list, at, v, (uint32_t) count, children, self->e);
    }
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        if (v[i].type == WEIR_VALUE_UNIQUE) {
            status = weir_diff_child_came (self, json_array_get (values, from + i), children[i]);
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

enum weir_status
weir_diff_apply_list (struct weir_diff_apply *self, struct weir_container *list, const json_t *diff)
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
            status = weir_diff_delete (
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
    enum weir_status status = weir_diff_change (self, &change);
    if (status == WEIR_OK) {
        status = weir_diff_value_of (self, json, &value, &self->scratch);
    }
    if (status == WEIR_OK) {
        status = weir_change_list_set (change, s->list, at, &value, &child, self->e);
    }
    return status == WEIR_OK && value.type == WEIR_VALUE_UNIQUE
               ? weir_diff_child_came (self, json, child)
               : status;
}

static enum weir_status
movable_move (struct shuffle *s, uint32_t from, const json_t *json)
{
    struct weir_change *change = NULL;
    enum weir_status status = weir_diff_change (s->self, &change);
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
        status = weir_diff_delete (s->self, s->list, s->at, run);
        run = 0;
        if (s->state[s->was] == 1) {
            /* Counted from before anything behind was taken. */
            s->waits[s->was] = s->at + sums_below (&s->behind, s->was);
            s->at++;
        }
    }
    return status == WEIR_OK ? weir_diff_delete (s->self, s->list, s->at, run) : status;
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

enum weir_status
weir_diff_apply_movable (struct weir_diff_apply *self, struct weir_container *list,
                         const json_t *diff)
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
