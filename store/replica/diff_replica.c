/* Owns what a replica does with differences: between two of its versions, as new ops on what is
 * shown, and back to what was shown before. */

#include "store/replica/diff_apply.h"
#include "store/replica/diff_replica.h"

#include <stdlib.h>
#include <string.h>

static bool
is_shown (struct weir_replica *self, const struct weir_heads *heads)
{
    struct weir_heads shown = { 0 };
    weir_replica_doc_heads (self, &shown);
    bool same = shown.count == heads->count;
    for (size_t i = 0; same && i < shown.count; i++) {
        same = weir_id_equal (&shown.items[i], &heads->items[i]);
    }
    weir_heads_fini (&shown);
    return same;
}

struct weir_replica_made {
    struct weir_doc *doc;
    struct weir_history history;
    const struct weir_log *log;
    struct weir_numbers order;
};

static enum weir_status
made_read (void *context, weir_history_fn *fn, void *fn_context)
{
    const struct weir_replica_made *made = context;
    size_t i = 0;
    while (i < made->order.count
           && weir_log_give (made->log, made->order.items[i], fn, fn_context)) {
        i++;
    }
    return WEIR_OK;
}

enum weir_status
weir_replica_peek_made (struct weir_replica *self, const struct weir_heads *heads,
                        struct weir_replica_peek *out, struct weir_error *e)
{
    struct weir_numbers version = { .items = NULL };
    struct weir_replica_peek peek = { .made = weir_alloc (sizeof *peek.made) };
    peek.made->log = &self->log;
    peek.made->history = (struct weir_history){ .context = peek.made, .read = made_read };
    enum weir_status status = weir_replica_version (self, heads, &version, e);
    if (status == WEIR_OK) {
        status = weir_replica_view_of (self, &version, &peek.made->doc, &peek.made->order, e);
    }
    weir_numbers_fini (&version);
    if (status != WEIR_OK) {
        weir_replica_peek_fini (&peek);
        return status;
    }
    weir_doc_set_history (peek.made->doc, &peek.made->history);
    peek.doc = peek.made->doc;
    *out = peek;
    return WEIR_OK;
}

enum weir_status
weir_replica_peek (struct weir_replica *self, const struct weir_heads *heads,
                   struct weir_replica_peek *out, struct weir_error *e)
{
    if (is_shown (self, heads)) {
        *out = (struct weir_replica_peek){ .doc = weir_replica_shown (self) };
        return WEIR_OK;
    }
    return weir_replica_peek_made (self, heads, out, e);
}

void
weir_replica_peek_fini (struct weir_replica_peek *peek)
{
    if (peek->made != NULL) {
        weir_doc_destroy (&peek->made->doc);
        weir_numbers_fini (&peek->made->order);
        free (peek->made);
    }
    *peek = (struct weir_replica_peek){ .doc = NULL };
}

enum weir_status
weir_replica_diff (struct weir_replica *self, const struct weir_heads *a,
                   const struct weir_heads *b, json_t **out, struct weir_error *e)
{
    struct weir_replica_peek of_a = { .doc = NULL };
    struct weir_replica_peek of_b = { .doc = NULL };
    enum weir_status status = weir_replica_settle (self, e);
    if (status == WEIR_OK) {
        status = weir_replica_peek (self, a, &of_a, e);
    }
    if (status == WEIR_OK) {
        status = weir_replica_peek (self, b, &of_b, e);
    }
    if (status == WEIR_OK) {
        status = weir_doc_diff (of_a.doc, of_b.doc, out, e);
    }
    weir_replica_peek_fini (&of_a);
    weir_replica_peek_fini (&of_b);
    return status;
}

static enum weir_status
open_change (void *context, struct weir_change **out, struct weir_error *e)
{
    return weir_replica_change (context, out, e);
}

struct weir_diff_apply
weir_replica_applying (struct weir_replica *self, struct weir_error *e)
{
    return (struct weir_diff_apply){
        .doc = weir_replica_shown (self), .change = open_change, .context = self, .e = e
    };
}

enum weir_status
weir_replica_apply_diff (struct weir_replica *self, const json_t *diff, struct weir_error *e)
{
    struct weir_change *change = NULL;
    /* Whether edits are allowed at all is said first. */
    enum weir_status status = weir_replica_change (self, &change, e);
    if (status == WEIR_OK) {
        struct weir_diff_apply apply = weir_replica_applying (self, e);
        status = weir_diff_apply (&apply, diff);
        weir_diff_apply_fini (&apply);
    }
    return status;
}

enum weir_status
weir_replica_revert_to (struct weir_replica *self, const struct weir_heads *heads,
                        struct weir_error *e)
{
    struct weir_heads shown = { 0 };
    json_t *diff = NULL;
    enum weir_status status = weir_replica_settle (self, e);
    if (status == WEIR_OK) {
        weir_replica_doc_heads (self, &shown);
        status = weir_replica_diff (self, &shown, heads, &diff, e);
    }
    if (status == WEIR_OK) {
        self->origin = "revert";
        status = weir_replica_apply_diff (self, diff, e);
    }
    json_decref (diff);
    weir_heads_fini (&shown);
    return status;
}
