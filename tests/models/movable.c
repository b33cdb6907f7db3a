/* Goal: movable lists against a tree of slots that is read anew for every version (fugue.h), in
 * which each element shows where its greatest placing put it, with its greatest value. Local edits
 * are done to a plain array beside. */

#include "tests/models/fugue.h"
#include "tests/models/play.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 1024u

struct placing {
    struct weir_order_key order;
    struct weir_op_id element;
};

struct writing {
    struct weir_order_key order;
    struct weir_op_id element;
    struct weir_value value;
    struct weir_op_id made; /* when the value is a child */
};

struct model {
    struct fugue slots;
    struct placing placings[SLOTS_MAX]; /* by slot */
    struct writing writings[SLOTS_MAX];
    size_t n_placings;
    size_t n_writings;
};

static struct weir_order_key
order_of (const struct play_entry *e, uint32_t offset)
{
    return (struct weir_order_key){ .lamport = e->head.lamport + offset,
                                    .chain = e->head.chain,
                                    .entry = e->head.id };
}

static uint32_t
place (struct model *m, const struct play_entry *e, uint32_t offset,
       const struct weir_op_id *element)
{
    model_check (m->n_placings < SLOTS_MAX, "too many slots");
    m->placings[m->n_placings] = (struct placing){ order_of (e, offset), *element };
    return (uint32_t) m->n_placings++;
}

static void
assign (struct model *m, const struct play_entry *e, uint32_t offset,
        const struct weir_op_id *element, const struct weir_value *value)
{
    model_check (m->n_writings < SLOTS_MAX, "too many values");
    m->writings[m->n_writings++] =
        (struct writing){ order_of (e, offset), *element, *value, { e->head.id, offset } };
}

static void
op_play (struct model *m, const struct play_entry *e, uint32_t entry, const struct weir_op *op,
         uint32_t offset)
{
    uint64_t version = e->past | (uint64_t) 1 << entry;
    struct weir_reader r = weir_reader (op->bytes);
    if (op->code == WEIR_MOVABLE_SET) {
        assign (m, e, offset, &op->target, &op->value);
        return;
    }
    if (op->code == WEIR_MOVABLE_DELETE || op->code == WEIR_MOVABLE_MOVE) {
        uint32_t count = op->code == WEIR_MOVABLE_MOVE ? 1 : op->count;
        fugue_delete (&m->slots, version, op->at, count, entry);
    }
    if (op->code == WEIR_MOVABLE_MOVE) {
        uint32_t slot = place (m, e, offset, &op->target);
        fugue_insert (&m->slots, version, op->to, 1, entry, &e->head, offset, slot);
    }
    uint32_t first = (uint32_t) m->n_placings;
    for (uint32_t i = 0; op->code == WEIR_MOVABLE_INSERT && i < op->count; i++) {
        struct weir_op_id own = { e->head.id, offset + i };
        struct weir_value value;
        model_check (weir_value_read (&r, &value) == WEIR_OK, "a value does not decode");
        (void) place (m, e, offset + i, &own);
        assign (m, e, offset + i, &own, &value);
    }
    if (op->code == WEIR_MOVABLE_INSERT) {
        fugue_insert (&m->slots, version, op->at, op->count, entry, &e->head, offset, first);
    }
}

/* The writes to a child: each key is written once at most. */
static json_t *
child_json (const struct play *play, uint64_t seen, const struct weir_op_id *made)
{
    const struct weir_op *op;
    json_t *out = json_object ();
    size_t entry = 0;
    size_t i = 0;
    uint32_t offset = 0;
    while ((op = play_next (play, seen, &entry, &i, &offset)) != NULL) {
        const struct play_entry *e = &play->entries[entry];
        const struct weir_payload_row *row = &e->decoded.rows[op->row];
        if (row->type != &weir_container_map) {
            continue;
        }
        struct weir_op_id id = { e->head.id, row->made_ref.offset };
        if (row->made_ref.row > 0) {
            memcpy (id.entry.b, e->decoded.ids.data + (row->made_ref.row - 1u) * WEIR_ID_BYTES,
                    WEIR_ID_BYTES);
        }
        if (weir_op_id_compare (&id, made) == 0) {
            json_object_setn_new (out, (const char *) op->key.data, op->key.len,
                                  weir_value_json (&op->value));
        }
    }
    return out;
}

static json_t *
element_json (const struct play *play, uint64_t seen, const struct model *m,
              const struct weir_op_id *element)
{
    const struct writing *best = NULL;
    for (size_t i = 0; i < m->n_writings; i++) {
        const struct writing *w = &m->writings[i];
        if (weir_op_id_compare (&w->element, element) == 0
            && (best == NULL || weir_order_key_compare (&w->order, &best->order) > 0)) {
            best = w;
        }
    }
    model_check (best != NULL, "an element without a value");
    return best->value.type == WEIR_VALUE_UNIQUE ? child_json (play, seen, &best->made)
                                                 : weir_value_json (&best->value);
}

static bool
is_last_placing (const struct model *m, size_t slot)
{
    const struct placing *p = &m->placings[slot];
    for (size_t i = 0; i < m->n_placings; i++) {
        if (weir_op_id_compare (&m->placings[i].element, &p->element) == 0
            && weir_order_key_compare (&m->placings[i].order, &p->order) > 0) {
            return false;
        }
    }
    return true;
}

static void
check (struct play *play, struct weir_doc *doc, uint64_t seen)
{
    struct model *m = weir_alloc (sizeof *m);
    json_t *out = json_object ();
    json_t *list = json_array ();
    const struct weir_op *op;
    size_t entry = 0;
    size_t i = 0;
    uint32_t offset = 0;
    fugue_init (&m->slots);
    while ((op = play_next (play, seen, &entry, &i, &offset)) != NULL) {
        const struct play_entry *e = &play->entries[entry];
        if (e->decoded.rows[op->row].type == &weir_container_movable) {
            op_play (m, e, (uint32_t) entry, op, offset);
        }
    }
    fugue_list (&m->slots, seen, false);
    for (size_t k = 0; k < m->slots.n_order; k++) {
        uint32_t slot = m->slots.nodes[m->slots.order[k]].value;
        if (is_last_placing (m, slot)) {
            json_array_append_new (list, element_json (play, seen, m, &m->placings[slot].element));
        }
    }
    json_object_set_new (out, "v", list);
    if (m->n_placings == 0) {
        json_object_clear (out);
    }
    play_check_value (doc, "", out);
    fugue_fini (&m->slots);
    free (m);
}

/* ---- edits ---- */

static json_t *
random_value (struct play *play, struct weir_value *value)
{
    static const char *const texts[] = { "a", "longer than eight", "" };
    uint64_t what = play_below (play, 8);
    *value = (struct weir_value){ .type = WEIR_VALUE_INT };
    if (what == 0) {
        value->type = WEIR_VALUE_UNIQUE;
        value->container = WEIR_CONTAINER_MAP;
        return json_object ();
    }
    if (what < 3) {
        value->type = WEIR_VALUE_TEXT;
        value->bytes = weir_bytes_str (texts[play_below (play, 3)]);
    } else {
        value->number.i = (int64_t) play_below (play, 1000);
    }
    return weir_value_json (value);
}

/* Writes a key into the child that was just made. */
static void
fill (struct play *play, struct weir_change *change, struct weir_container *child, json_t *shown)
{
    struct weir_error e = { 0 };
    struct weir_value value = { .type = WEIR_VALUE_INT };
    if (child == NULL || play_below (play, 3) == 0) {
        return;
    }
    value.number.i = (int64_t) play_below (play, 1000);
    enum weir_status status = weir_change_map_set (change, child, weir_bytes_str ("k"), &value, &e);
    model_check (status == WEIR_OK, "%s", e.what);
    json_object_set_new (shown, "k", json_integer (value.number.i));
}

static void
insert (struct play *play, struct weir_change *change, struct weir_container *list, json_t *now)
{
    struct weir_value values[3];
    json_t *shown[3];
    struct weir_container *children[3];
    struct weir_error e = { 0 };
    uint32_t count = 1 + (uint32_t) play_below (play, 3);
    uint32_t at = (uint32_t) play_below (play, json_array_size (now) + 1);
    for (uint32_t i = 0; i < count; i++) {
        shown[i] = random_value (play, &values[i]);
    }
    enum weir_status status =
        weir_change_list_insert (change, list, at, values, count, children, &e);
    model_check (status == WEIR_OK, "%s", e.what);
    for (uint32_t i = 0; i < count; i++) {
        fill (play, change, children[i], shown[i]);
        json_array_insert_new (now, at + i, shown[i]);
    }
}

static void
edit_step (struct play *play, struct weir_change *change, struct weir_container *list, json_t *now)
{
    struct weir_error e = { 0 };
    uint64_t what = play_below (play, 10);
    uint32_t length = (uint32_t) json_array_size (now);
    enum weir_status status = WEIR_OK;
    if (what < 3 || length == 0) {
        insert (play, change, list, now);
        return;
    }
    uint32_t at = (uint32_t) play_below (play, length);
    if (what < 7) {
        uint32_t to = (uint32_t) play_below (play, length);
        status = weir_change_list_move (change, list, at, to, &e);
        json_t *moved = json_incref (json_array_get (now, at));
        json_array_remove (now, at);
        json_array_insert_new (now, to, moved);
    } else if (what == 7) {
        struct weir_value value;
        struct weir_container *child = NULL;
        json_t *shown = random_value (play, &value);
        status = weir_change_list_set (change, list, at, &value, &child, &e);
        fill (play, change, value.type == WEIR_VALUE_UNIQUE ? child : NULL, shown);
        json_array_set_new (now, at, shown);
    } else {
        uint32_t count = 1 + (uint32_t) play_below (play, length - at < 3 ? length - at : 3);
        status = weir_change_list_delete (change, list, at, count, &e);
        for (uint32_t i = 0; i < count; i++) {
            json_array_remove (now, at);
        }
    }
    model_check (status == WEIR_OK, "%s: %s", weir_status_code (status), e.what);
}

static void
edit (struct play *play, struct play_replica *r, struct weir_change *change)
{
    struct weir_error e = { 0 };
    struct weir_container *list = NULL;
    json_t *now = NULL;
    enum weir_status status = weir_change_root (change, "v", &weir_container_movable, &list, &e);
    model_check (status == WEIR_OK, "%s", e.what);
    if (weir_doc_get (r->doc, "/v", &now, &e) != WEIR_OK) {
        now = json_array (); /* nothing was written yet */
    }
    for (uint64_t n = 1 + play_below (play, 4); n > 0; n--) {
        edit_step (play, change, list, now);
        play_check_value (r->doc, "/v", json_deep_copy (now));
    }
    json_decref (now);
}

void
weir_model_movable (uint64_t seed)
{
    static const struct play_model model = { .edit = edit, .check = check };
    play_history (seed, &model);
}
