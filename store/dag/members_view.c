/* Views: sets of settings entries closed under their pasts, named by small numbers. A view is
 * found again by its maximal entries, so equal sets have one number, and what belongs to it is
 * one bit an entry. */

#include "store/dag/members_parts.h"

#include <stdlib.h>
#include <string.h>

#define NO_ENTRY UINT32_MAX

bool
weir_members_view_has (const struct weir_view *view, uint32_t ordinal)
{
    size_t word = ordinal / 64;
    return word < view->n_words && (view->words[word] >> (ordinal % 64) & 1) != 0;
}

bool
weir_members_is_past (const struct weir_members *self, uint32_t a, uint32_t b)
{
    return weir_members_view_has (self->views[self->entries[b].view], a);
}

int
weir_members_order (const struct weir_members *self, uint32_t a, uint32_t b)
{
    const struct weir_settings_entry *x = &self->entries[a];
    const struct weir_settings_entry *y = &self->entries[b];
    uint32_t past_x = self->views[x->view]->count;
    uint32_t past_y = self->views[y->view]->count;
    if (past_x != past_y) {
        return past_x < past_y ? -1 : 1;
    }
    int order = weir_chain_compare (&x->chain, &y->chain);
    return order != 0 ? order : weir_id_compare (&x->id, &y->id);
}

/* Is the entry in the past of one of these? */
static bool
is_below (const struct weir_members *self, uint32_t ordinal, const uint32_t *heads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (weir_members_is_past (self, ordinal, heads[i])) {
            return true;
        }
    }
    return false;
}

static int
number_order (const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sorts, and keeps what is maximal and distinct. */
static size_t
reduce_heads (const struct weir_members *self, uint32_t *heads, size_t count)
{
    if (count > 1) {
        qsort (heads, count, sizeof heads[0], number_order);
    }
    uint32_t *all = weir_alloc (count * sizeof all[0]);
    size_t n = 0;
    if (count > 0) {
        memcpy (all, heads, count * sizeof all[0]);
    }
    for (size_t i = 0; i < count; i++) {
        if ((i == 0 || all[i] != all[i - 1]) && !is_below (self, all[i], all, count)) {
            heads[n++] = all[i];
        }
    }
    free (all);
    return n;
}

static void
set_bits (struct weir_view *view, const struct weir_members *self)
{
    view->n_words = view->n_heads == 0 ? 0 : view->heads[view->n_heads - 1] / 64 + 1;
    view->words = weir_alloc (view->n_words * sizeof view->words[0]);
    for (uint32_t i = 0; i < view->n_heads; i++) {
        uint32_t head = view->heads[i];
        const struct weir_view *past = self->views[self->entries[head].view];
        /* A past was added before what builds on it: it never has more words. */
        for (size_t w = 0; w < past->n_words; w++) {
            view->words[w] |= past->words[w];
        }
        view->words[head / 64] |= 1ull << (head % 64);
    }
    for (size_t w = 0; w < view->n_words; w++) {
        view->count += (uint32_t) __builtin_popcountll (view->words[w]);
    }
}

/* The view with these maximal entries (sorted, none below another). */
static uint32_t
intern (struct weir_members *self, const uint32_t *heads, size_t count)
{
    struct weir_bytes key = weir_bytes (heads, count * sizeof heads[0]);
    struct weir_view *view = weir_map_get (self->view_by_heads, key);
    if (view != NULL) {
        return view->number;
    }
    view = weir_alloc (sizeof *view);
    view->number = (uint32_t) self->n_views;
    view->n_heads = (uint32_t) count;
    view->heads = weir_alloc (count * sizeof heads[0]);
    if (count > 0) {
        memcpy (view->heads, heads, count * sizeof heads[0]);
    }
    set_bits (view, self);
    weir_grow (&self->views, &self->views_cap, self->n_views + 1, sizeof self->views[0]);
    self->views[self->n_views++] = view;
    (void) weir_map_put (self->view_by_heads, key, view);
    return view->number;
}

void
weir_members_views_init (struct weir_members *self)
{
    self->view_by_heads = weir_map_new ();
    uint32_t none = 0;
    (void) intern (self, &none, 0); /* view 0, of nothing */
}

void
weir_members_views_fini (struct weir_members *self)
{
    for (size_t i = 0; i < self->n_views; i++) {
        free (self->views[i]->heads);
        free (self->views[i]->words);
        free (self->views[i]);
    }
    free (self->views);
    weir_map_destroy (&self->view_by_heads, NULL);
}

/* The union of views and one entry more, or NO_ENTRY. */
static uint32_t
unite (struct weir_members *self, const uint32_t *views, size_t count, uint32_t ordinal)
{
    size_t total = ordinal == NO_ENTRY ? 0 : 1;
    for (size_t i = 0; i < count; i++) {
        weir_assert (views[i] < self->n_views);
        total += self->views[views[i]]->n_heads;
    }
    uint32_t *heads = weir_alloc (total * sizeof heads[0]);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct weir_view *view = self->views[views[i]];
        for (uint32_t h = 0; h < view->n_heads; h++) {
            heads[n++] = view->heads[h];
        }
    }
    if (ordinal != NO_ENTRY) {
        heads[n++] = ordinal;
    }
    n = reduce_heads (self, heads, n);
    uint32_t view = intern (self, heads, n);
    free (heads);
    return view;
}

uint32_t
weir_members_join (struct weir_members *self, const uint32_t *views, size_t count)
{
    /* Nearly always all are one: settings change rarely. */
    size_t same = 1;
    while (same < count && views[same] == views[0]) {
        same++;
    }
    if (count > 0 && same >= count) {
        weir_assert (views[0] < self->n_views);
        return views[0];
    }
    return unite (self, views, count, NO_ENTRY);
}

uint32_t
weir_members_with (struct weir_members *self, uint32_t view, uint32_t ordinal)
{
    weir_assert (view < self->n_views && ordinal < self->n_entries);
    if (weir_members_view_has (self->views[view], ordinal)) {
        return view;
    }
    return unite (self, &view, 1, ordinal);
}

void
weir_members_view_put (const struct weir_members *self, uint32_t view, struct weir_buf *out)
{
    weir_assert (view < self->n_views);
    const struct weir_view *v = self->views[view];
    weir_buf_put_varint (out, v->n_heads);
    for (uint32_t i = 0; i < v->n_heads; i++) {
        weir_buf_put_varint (out, v->heads[i]);
    }
}

enum weir_status
weir_members_view_get (struct weir_members *self, uint32_t *view, struct weir_reader *r)
{
    uint64_t count = weir_read_varint (r);
    if (r->bad || count > weir_reader_left (r)) {
        return WEIR_CORRUPT;
    }
    uint32_t *heads = weir_alloc ((size_t) count * sizeof heads[0]);
    enum weir_status status = WEIR_OK;
    for (uint64_t i = 0; i < count && status == WEIR_OK; i++) {
        uint64_t ordinal = weir_read_varint (r);
        if (r->bad || ordinal >= self->n_entries) {
            status = WEIR_CORRUPT;
        } else {
            heads[i] = (uint32_t) ordinal;
        }
    }
    if (status == WEIR_OK) {
        *view = intern (self, heads, reduce_heads (self, heads, (size_t) count));
    }
    free (heads);
    return status;
}
