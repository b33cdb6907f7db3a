/* Goal: lists against a tree of elements that is read anew for every version (fugue.h); some
 * elements are unique maps, written to in the change that makes them. Before an entry is sealed,
 * an array says what is there; after it, positions are only read at the version that they were
 * made at. Ids of elements agree, too. */

#include "tests/models/fugue.h"
#include "tests/models/play.h"

#include "store/crdt/types.h"

#include <stdlib.h>
#include <string.h>

static struct model {
    struct fugue tree;
    json_t *values;   /* by element */
    size_t n_entries; /* in the tree */
} model;

/* ---- the tree of all entries ---- */

static uint32_t
values_add (const struct weir_op *op)
{
    struct weir_reader r = weir_reader (op->bytes);
    uint32_t first = (uint32_t) json_array_size (model.values);
    for (uint32_t i = 0; i < op->count; i++) {
        struct weir_value value = { .type = WEIR_VALUE_NULL };
        model_check (weir_value_read (&r, &value) == WEIR_OK, "a value does not decode");
        json_array_append_new (model.values, value.type == WEIR_VALUE_UNIQUE
                                                 ? json_object ()
                                                 : weir_value_json (&value));
    }
    return first;
}

/* A key of a map that this entry's op made. */
static void
child_set (uint32_t entry, uint32_t made, const struct weir_op *op)
{
    for (size_t i = 1; i < model.tree.count; i++) {
        const struct fugue_node *node = &model.tree.nodes[i];
        if (node->entry == entry && node->offset == made) {
            json_object_set_new (json_array_get (model.values, node->value), "k",
                                 weir_value_json (&op->value));
        }
    }
}

static void
entry_add (const struct play *play, uint32_t number)
{
    const struct play_entry *e = &play->entries[number];
    uint64_t version = e->past | (uint64_t) 1 << number;
    uint32_t offset = 0;
    for (size_t i = 0; i < e->decoded.n_ops; i++) {
        const struct weir_op *op = &e->decoded.ops[i];
        const struct weir_payload_row *row = &e->decoded.rows[op->row];
        if (row->type == &weir_container_map) {
            child_set (number, row->made_ref.offset, op);
        } else if (op->code == WEIR_LIST_INSERT) {
            fugue_insert (&model.tree, version, op->at, op->count, number, &e->head, offset,
                          values_add (op));
        } else {
            fugue_delete (&model.tree, version, op->at, op->count, number);
        }
        offset += op->atoms;
    }
}

/* The list at a version. */
static json_t *
model_json (struct play *play, uint64_t seen)
{
    json_t *out = json_array ();
    for (; model.n_entries < play->n_entries; model.n_entries++) {
        entry_add (play, (uint32_t) model.n_entries);
    }
    fugue_list (&model.tree, seen, false);
    for (size_t i = 0; i < model.tree.n_order; i++) {
        uint32_t value = model.tree.nodes[model.tree.order[i]].value;
        json_array_append_new (out, json_deep_copy (json_array_get (model.values, value)));
    }
    return out;
}

/* ---- local edits ---- */

static void
play_insert (struct play *play, struct weir_change *change, struct weir_container *list,
             json_t *now)
{
    struct weir_error e = { 0 };
    struct weir_value values[4];
    struct weir_container *children[4];
    uint32_t at = (uint32_t) play_below (play, json_array_size (now) + 1);
    uint32_t count = (uint32_t) (1 + play_below (play, 4));
    for (uint32_t i = 0; i < count; i++) {
        values[i] = (struct weir_value){ .type = WEIR_VALUE_INT };
        values[i].number.i = (int64_t) play_below (play, 1000);
        if (play_below (play, 6) == 0) {
            values[i] =
                (struct weir_value){ .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_MAP };
        }
        json_array_insert_new (now, at + i,
                               values[i].type == WEIR_VALUE_INT ? weir_value_json (&values[i])
                                                                : json_object ());
    }
    enum weir_status status =
        weir_change_list_insert (change, list, at, values, count, children, &e);
    model_check (status == WEIR_OK, "insert: %s", e.what);
    for (uint32_t i = 0; i < count; i++) {
        model_check ((children[i] != NULL) == (values[i].type == WEIR_VALUE_UNIQUE), "a child");
        if (children[i] != NULL && play_below (play, 2) == 0) {
            struct weir_value value = { .type = WEIR_VALUE_TRUE };
            status = weir_change_map_set (change, children[i], weir_bytes_str ("k"), &value, &e);
            model_check (status == WEIR_OK, "set: %s", e.what);
            json_object_set_new (json_array_get (now, at + i), "k", json_true ());
        }
    }
}

static void
play_delete (struct play *play, struct weir_change *change, struct weir_container *list,
             json_t *now)
{
    struct weir_error e = { 0 };
    size_t at = play_below (play, json_array_size (now) + 1);
    size_t left = json_array_size (now) - at;
    size_t count = left > 0 ? 1 + play_below (play, left < 5 ? left : 5) : 0;
    enum weir_status status =
        weir_change_list_delete (change, list, (uint32_t) at, (uint32_t) count, &e);
    model_check (status == WEIR_OK, "delete: %s", e.what);
    for (size_t i = 0; i < count; i++) {
        json_array_remove (now, at);
    }
}

static void
edit (struct play *play, struct play_replica *r, struct weir_change *change)
{
    struct weir_error e = { 0 };
    struct weir_container *list = NULL;
    json_t *now = model_json (play, r->seen);
    enum weir_status status = weir_change_root (change, "l", &weir_container_list, &list, &e);
    model_check (status == WEIR_OK, "%s", e.what);
    for (uint64_t n = 1 + play_below (play, 4); n > 0; n--) {
        if (play_below (play, 3) > 0) {
            play_insert (play, change, list, now);
        } else {
            play_delete (play, change, list, now);
        }
        if (weir_change_atoms (change) > 0) {
            play_check_value (r->doc, "/l", json_deep_copy (now));
        }
    }
    json_decref (now);
}

/* ---- checks ---- */

static void
check_ids (struct weir_doc *doc, struct weir_container *list, uint64_t seen)
{
    struct weir_seq *seq = weir_container_seq (list);
    struct weir_seq_span span;
    struct weir_op_id first;
    model_check (weir_doc_warm (doc) == WEIR_OK, "no history");
    weir_seq_resolve (seq);
    fugue_list (&model.tree, seen, false);
    for (uint32_t at = 0; weir_seq_span (seq, at, &span); at += span.count) {
        uint32_t run = weir_seq_event_run (seq, span.event, span.count, &first);
        model_check (run > 0 && run <= span.count, "a run of ids");
        for (uint32_t i = 0; i < span.count; i++) {
            const struct fugue_node *node = &model.tree.nodes[model.tree.order[at + i]];
            struct weir_op_id id = weir_seq_event_id (seq, span.event + i);
            model_check (weir_id_equal (&id.entry, &node->id) && id.offset == node->offset,
                         "the element at %u has another id", at + i);
            model_check (
                i >= run
                    || (weir_id_equal (&id.entry, &first.entry) && id.offset == first.offset + i),
                "the element at %u has another id in its run", at + i);
        }
    }
}

static void
check (struct play *play, struct weir_doc *doc, uint64_t seen)
{
    json_t *wanted = model_json (play, seen);
    struct weir_container *list = weir_container_child (weir_doc_top (doc), weir_bytes_str ("l"),
                                                        &weir_container_list, false);
    if (list == NULL || weir_container_is_hollow (list)) {
        model_check (json_array_size (wanted) == 0, "there is no list");
        json_decref (wanted);
        return;
    }
    play_check_value (doc, "/l", wanted);
    if (play_below (play, 8) == 0) {
        check_ids (doc, list, seen);
    }
}

void
weir_model_list (uint64_t seed)
{
    static const struct play_model lists = { .edit = edit, .check = check };
    model = (struct model){ .values = json_array () };
    fugue_init (&model.tree);
    play_history (seed, &lists);
    fugue_fini (&model.tree);
    json_decref (model.values);
}
