/* Owns the tree container: all moves in the order of their order keys, each taking effect unless
 * its target is an ancestor of its new parent at that point (Kleppmann and others, "A highly-
 * available move operation for replicated trees", 2021). A creation is a move of a new node, a
 * deletion one to the trash. A move that arrives behind its time undoes the later ones, which are
 * done again when somebody looks: many that arrive together cost one undoing.
 *
 * Nodes that are only named, their creation being unknown, are nodes like others, not shown. */

#include "store/crdt/tree_parts.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define ALL_ONES 0xff

/* ---- the log ---- */

static struct weir_stamp
record_stamp (const struct weir_tree *t, const struct weir_tree_record *r)
{
    return (struct weir_stamp){ .lamport = r->lamport,
                                .entry = &t->names.entries[r->entry],
                                .chain = r->chain,
                                .offset = r->offset };
}

int
weir_tree_compare (const struct weir_tree *t, uint32_t a, uint32_t b)
{
    struct weir_stamp x = record_stamp (t, &t->records[a]);
    struct weir_stamp y = record_stamp (t, &t->records[b]);
    return weir_doc_compare_stamps (t->head.doc, &x, &y);
}

static uint32_t
placed_below (const struct weir_tree *t, uint32_t node)
{
    uint32_t placing = t->nodes[node].placing;
    return placing == WEIR_TREE_NONE ? WEIR_TREE_NONE : t->records[placing].parent;
}

bool
weir_tree_is_below (const struct weir_tree *t, uint32_t node, uint32_t above)
{
    if (node == above) {
        return true;
    }
    if (t->nodes[above].n_below == 0) {
        return false;
    }
    while (node < WEIR_TREE_NONE && node != above) {
        node = placed_below (t, node);
    }
    return node == above;
}

static void
touch (struct weir_tree *t, uint32_t node)
{
    if (!t->nodes[node].is_dirty) {
        t->nodes[node].is_dirty = true;
        weir_numbers_push (&t->dirty, node);
    }
}

static void
place (struct weir_tree *t, uint32_t node, uint32_t record)
{
    uint32_t old = placed_below (t, node);
    if (old < WEIR_TREE_NONE) {
        t->nodes[old].n_below--;
    }
    t->nodes[node].placing = record;
    uint32_t new = placed_below (t, node);
    if (new < WEIR_TREE_NONE) {
        t->nodes[new].n_below++;
    }
    touch (t, node);
}

static void
record_do (struct weir_tree *t, uint32_t record)
{
    struct weir_tree_record *r = &t->records[record];
    r->is_effective = r->parent >= WEIR_TREE_NONE || !weir_tree_is_below (t, r->parent, r->target);
    if (r->is_effective) {
        r->before = t->nodes[r->target].placing;
        place (t, r->target, record);
    }
}

static void
record_undo (struct weir_tree *t, uint32_t record)
{
    struct weir_tree_record *r = &t->records[record];
    if (r->is_effective) {
        place (t, r->target, r->before);
    }
}

static int
records_compare (const void *a, const void *b, void *t)
{
    return weir_tree_compare (t, *(const uint32_t *) a, *(const uint32_t *) b);
}

/* Puts those that came behind their time where they belong; what is later than the first of them
 * is undone. */
static void
late_merge (struct weir_tree *t)
{
    size_t left = t->n_log;
    size_t late = t->late.count;
    if (late == 0) {
        return;
    }
    qsort_r (t->late.items, late, sizeof *t->late.items, records_compare, t);
    while (t->applied > 0 && weir_tree_compare (t, t->log[t->applied - 1], t->late.items[0]) > 0) {
        record_undo (t, t->log[--t->applied]);
    }
    t->n_log += late;
    for (size_t at = t->n_log; late > 0;) {
        bool takes =
            left > 0 && weir_tree_compare (t, t->log[left - 1], t->late.items[late - 1]) > 0;
        t->log[--at] = takes ? t->log[--left] : t->late.items[--late];
    }
    weir_numbers_clear (&t->late);
}

static uint32_t
node_of (struct weir_tree *t, const struct weir_id *entry, uint32_t offset)
{
    uint32_t node = weir_op_names_find (&t->names, entry, offset);
    if (node == WEIR_OP_NAME_NONE) {
        uint8_t number[4];
        node = weir_op_names_add (&t->names, entry, offset);
        weir_grow (&t->nodes, &t->nodes_cap, (size_t) node + 1, sizeof *t->nodes);
        weir_store_u32 (number, node);
        t->nodes[node] = (struct weir_tree_place){
            .placing = WEIR_TREE_NONE,
            .linked = WEIR_TREE_NONE,
            .children = WEIR_TREE_NONE,
            .rank = (uint32_t) weir_hash64 (weir_bytes (number, sizeof number)),
        };
    }
    return node;
}

static void
node_create (struct weir_tree *t, uint32_t node)
{
    struct weir_op_id made = weir_op_names_id (&t->names, node);
    t->nodes[node].is_created = true;
    t->nodes[node].meta = weir_doc_unique_make (t->head.doc, &made, &weir_container_map);
    weir_container_adopt (&t->head, t->nodes[node].meta);
    touch (t, node);
}

/* Adds the record to the log, its target and parent already nodes. */
static void
log_add (struct weir_tree *t, const struct weir_op *op, const struct weir_stamp *stamp,
         uint32_t target, uint32_t parent)
{
    size_t count = t->n_records;
    uint32_t record = (uint32_t) count;
    weir_grow (&t->records, &t->records_cap, count + 1, sizeof *t->records);
    weir_grow (&t->log, &t->log_cap, count + 1, sizeof *t->log);
    t->records[t->n_records++] = (struct weir_tree_record){
        .lamport = stamp->lamport,
        .entry = weir_op_names_entry (&t->names, stamp->entry),
        .chain = stamp->chain,
        .offset = stamp->offset,
        .target = target,
        .parent = parent,
        .key_at = (uint32_t) t->keys.len,
        .before = WEIR_TREE_NONE,
        .key_len = (uint16_t) op->key.len,
        .code = op->code,
    };
    weir_buf_put_bytes (&t->keys, op->key);
    if (t->n_log == 0 || weir_tree_compare (t, t->log[t->n_log - 1], record) < 0) {
        t->log[t->n_log++] = record;
    } else {
        weir_numbers_push (&t->late, record);
    }
}

static void
bytes_count (struct weir_tree *t)
{
    size_t now = t->nodes_cap * sizeof *t->nodes + t->records_cap * sizeof *t->records
                 + t->log_cap * sizeof *t->log + t->keys.cap + weir_op_names_bytes (&t->names);
    weir_doc_count_bytes (t->head.doc, (ptrdiff_t) now - (ptrdiff_t) t->counted_bytes);
    t->counted_bytes = now;
}

/* ---- settling ---- */

static void
notify (struct weir_tree *t, const struct weir_numbers *changed)
{
    for (size_t i = 0; i < changed->count; i++) {
        struct weir_notice notice = { .kind = WEIR_NOTICE_NODE, .container = &t->head };
        notice.target = weir_op_names_id (&t->names, changed->items[i]);
        weir_doc_notify (t->head.doc, &notice);
    }
}

/* Brings the places up to date with the log; says what changed, or not. */
static void
settle (struct weir_tree *t, bool tells)
{
    size_t changed = 0;
    late_merge (t);
    while (t->applied < t->n_log) {
        record_do (t, t->log[t->applied++]);
    }
    for (size_t i = 0; i < t->dirty.count; i++) {
        uint32_t node = t->dirty.items[i];
        struct weir_tree_place *n = &t->nodes[node];
        bool stands = n->is_created && placed_below (t, node) != WEIR_TREE_TRASH;
        uint32_t wanted = stands ? n->placing : WEIR_TREE_NONE;
        n->is_dirty = false;
        if (n->linked == wanted) {
            continue;
        }
        if (n->linked != WEIR_TREE_NONE) {
            weir_tree_unlink (t, node);
        }
        n->linked = wanted;
        if (wanted != WEIR_TREE_NONE) {
            weir_tree_link (t, node);
        }
        t->dirty.items[changed++] = node;
    }
    struct weir_numbers heard = t->dirty;
    heard.count = changed;
    t->dirty = (struct weir_numbers){ 0 };
    if (tells) {
        notify (t, &heard);
    }
    weir_numbers_fini (&heard);
}

struct weir_tree *
weir_tree_settled (const struct weir_container *self)
{
    struct weir_tree *t = (struct weir_tree *) (uintptr_t) self;
    if (t->late.count > 0 || t->applied < t->n_log || t->dirty.count > 0) {
        settle (t, false);
    }
    return t;
}

uint32_t
weir_tree_parent (const struct weir_tree *t, uint32_t node)
{
    uint32_t linked = t->nodes[node].linked;
    return linked == WEIR_TREE_NONE ? WEIR_TREE_NONE : t->records[linked].parent;
}

bool
weir_tree_is_alive (const struct weir_tree *t, uint32_t node)
{
    while (node < WEIR_TREE_NONE) {
        node = weir_tree_parent (t, node);
    }
    return node == WEIR_TREE_ROOT;
}

/* ---- the vtable ---- */

static void
tree_init (struct weir_container *self)
{
    ((struct weir_tree *) self)->roots = WEIR_TREE_NONE;
}

static void
tree_fini (struct weir_container *self)
{
    struct weir_tree *t = (struct weir_tree *) self;
    weir_op_names_fini (&t->names);
    weir_numbers_fini (&t->late);
    weir_numbers_fini (&t->dirty);
    weir_buf_fini (&t->keys);
    free (t->nodes);
    free (t->records);
    free (t->log);
}

static enum weir_status
tree_decode (struct weir_op_reader *r, struct weir_op *op)
{
    if (op->code > WEIR_TREE_DELETE) {
        return WEIR_NEEDS_UPGRADE;
    }
    op->atoms = 1;
    op->target_ref.row = WEIR_OP_REF_NONE;
    op->parent_ref.row = WEIR_OP_REF_NONE;
    if (op->code != WEIR_TREE_CREATE) {
        op->target_ref = weir_op_read_ref (r);
        if (op->target_ref.row == WEIR_OP_REF_NONE) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    if (op->code != WEIR_TREE_DELETE) {
        op->parent_ref = weir_op_read_ref (r);
        op->key = weir_read_blob (&r->r, WEIR_KEY_BYTES_MAX);
    }
    return WEIR_OK;
}

static void
tree_encode (struct weir_op_writer *w, const struct weir_op *op)
{
    if (op->code != WEIR_TREE_CREATE) {
        weir_op_put_ref (w, &op->target_ref);
    }
    if (op->code != WEIR_TREE_DELETE) {
        weir_op_put_ref (w, &op->parent_ref);
        weir_buf_put_blob (w->out, op->key);
    }
}

static bool
is_root (const struct weir_op_id *id)
{
    size_t i = 0;
    while (i < WEIR_ID_BYTES && id->entry.b[i] == ALL_ONES) {
        i++;
    }
    return i == WEIR_ID_BYTES;
}

static void
tree_apply (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct weir_tree *t = (struct weir_tree *) self;
    bool creates = op->code == WEIR_TREE_CREATE;
    bool is_heard = weir_doc_is_heard (self->doc);
    if (is_heard) {
        (void) weir_tree_settled (self); /* what came before somebody listened is no news */
    }
    uint32_t target = creates ? node_of (t, stamp->entry, stamp->offset)
                              : node_of (t, &op->target.entry, op->target.offset);
    uint32_t parent = WEIR_TREE_TRASH;
    if (op->code != WEIR_TREE_DELETE) {
        parent = is_root (&op->parent) ? WEIR_TREE_ROOT
                                       : node_of (t, &op->parent.entry, op->parent.offset);
    }
    log_add (t, op, stamp, target, parent);
    if (creates) {
        node_create (t, target);
    }
    bytes_count (t);
    if (is_heard) {
        settle (t, true);
    }
}

/* The first op of the change that is sealed names all nodes; each gives its own map its id. */
static void
tree_seal (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct weir_tree *t = (struct weir_tree *) self;
    (void) weir_op_names_seal (&t->names, stamp->entry);
    if (op->code == WEIR_TREE_CREATE) {
        (void) weir_doc_unique_sealed (self->doc, stamp->offset, WEIR_CONTAINER_MAP, stamp->entry);
    }
}

static void
id_describe (json_t *out, const char *name, const struct weir_op_id *id)
{
    struct weir_op_id_text text = weir_op_id_text (id);
    /* Of the same entry, where it is not known: "@offset". */
    const char *from = weir_id_is_zero (&id->entry) ? text.s + WEIR_ID_TEXT : text.s;
    json_object_set_new (out, name, json_string (from));
}

static void
tree_describe (const struct weir_op *op, json_t *out)
{
    static const char *const names[] = { "create", "move", "delete" };
    json_object_set_new (out, "op", json_string (names[op->code]));
    if (op->code != WEIR_TREE_CREATE) {
        id_describe (out, "target", &op->target);
    }
    if (op->code != WEIR_TREE_DELETE && !is_root (&op->parent)) {
        id_describe (out, "parent", &op->parent);
    }
}

/* The map of a node that is there, by its id. */
static bool
tree_find (const struct weir_container *self, struct weir_bytes part, struct weir_item *item)
{
    const struct weir_tree *t = weir_tree_settled (self);
    struct weir_op_id id;
    if (weir_op_id_parse (&id, part) != WEIR_OK) {
        return false;
    }
    uint32_t node = weir_op_names_find (&t->names, &id.entry, id.offset);
    if (node == WEIR_OP_NAME_NONE || !weir_tree_is_alive (t, node)) {
        return false;
    }
    struct weir_container *meta = t->nodes[node].meta;
    *item = (struct weir_item){ .key = part, .child = meta };
    item->value.type = WEIR_VALUE_UNIQUE;
    item->value.container = WEIR_CONTAINER_MAP;
    item->value.bytes = weir_id_bytes (&meta->id);
    return true;
}

static bool
tree_is_empty (const struct weir_container *self)
{
    return ((const struct weir_tree *) self)->n_records == 0;
}

/* ---- state: records varint | stamp | code u8 | target, parent, key ... in the log's order, what
 * the code has of them. A node is 1 and its id when it is first named, later 2 + its number in
 * the order of naming; a creation names its own; 0 is the root. ---- */

static void
node_save (const struct weir_tree *t, struct weir_save *save, uint32_t node, uint32_t *numbers,
           uint32_t *named)
{
    if (node == WEIR_TREE_ROOT) {
        weir_buf_put_varint (save->out, 0);
    } else if (numbers[node] == 0) {
        struct weir_op_id id = weir_op_names_id (&t->names, node);
        weir_buf_put_varint (save->out, 1);
        weir_buf_put (save->out, id.entry.b, WEIR_ID_BYTES);
        weir_buf_put_varint (save->out, id.offset);
        numbers[node] = ++*named;
    } else {
        weir_buf_put_varint (save->out, (uint64_t) numbers[node] + 1);
    }
}

static void
tree_save (struct weir_container *self, struct weir_save *save)
{
    const struct weir_tree *t = weir_tree_settled (self);
    uint32_t *numbers = weir_alloc ((t->names.count + 1) * sizeof *numbers);
    uint32_t named = 0;
    if (save->out != NULL) {
        weir_buf_put_varint (save->out, t->n_records);
    }
    for (size_t i = 0; i < t->n_records; i++) {
        const struct weir_tree_record *r = &t->records[t->log[i]];
        struct weir_stamp stamp = record_stamp (t, r);
        weir_save_stamp (save, &stamp);
        if (save->out == NULL) {
            continue;
        }
        weir_buf_put_u8 (save->out, r->code);
        if (r->code != WEIR_TREE_CREATE) {
            node_save (t, save, r->target, numbers, &named);
        } else if (numbers[r->target] == 0) {
            numbers[r->target] = ++named;
        }
        if (r->code != WEIR_TREE_DELETE) {
            node_save (t, save, r->parent, numbers, &named);
            weir_buf_put_blob (save->out, weir_tree_key (t, r));
        }
    }
    free (numbers);
}

/* Nodes get the numbers that they had in the state. */
static bool
node_load (struct weir_tree *t, struct weir_reader *r, uint32_t *node)
{
    uint64_t head = weir_read_varint (r);
    *node = WEIR_TREE_ROOT;
    if (head != 1) {
        if (head > 1) {
            *node = (uint32_t) (head - 2);
        }
        return !r->bad && (head == 0 || head - 2 < t->names.count);
    }
    struct weir_op_id id;
    struct weir_bytes entry = weir_read_bytes (r, WEIR_ID_BYTES);
    uint64_t offset = weir_read_varint (r);
    if (r->bad || offset >= WEIR_ENTRY_OPS_MAX) {
        return false;
    }
    memcpy (id.entry.b, entry.data, WEIR_ID_BYTES);
    id.offset = (uint32_t) offset;
    *node = node_of (t, &id.entry, id.offset);
    return !weir_id_is_zero (&id.entry) && !is_root (&id);
}

static bool
record_load (struct weir_tree *t, struct weir_load *load)
{
    struct weir_op op = { .code = 0 };
    struct weir_stamp stamp;
    uint32_t target = WEIR_TREE_ROOT;
    uint32_t parent = WEIR_TREE_TRASH;
    if (weir_load_stamp (load, &stamp) != WEIR_OK || weir_id_is_zero (stamp.entry)) {
        return false;
    }
    op.code = weir_read_u8 (&load->r);
    if (op.code == WEIR_TREE_CREATE) {
        target = node_of (t, stamp.entry, stamp.offset);
    } else if (op.code > WEIR_TREE_DELETE || !node_load (t, &load->r, &target)
               || target == WEIR_TREE_ROOT) {
        return false;
    }
    if (op.code != WEIR_TREE_DELETE) {
        if (!node_load (t, &load->r, &parent)) {
            return false;
        }
        op.key = weir_read_blob (&load->r, WEIR_KEY_BYTES_MAX);
    }
    if (load->r.bad) {
        return false;
    }
    log_add (t, &op, &stamp, target, parent);
    if (t->late.count > 0) {
        return false;
    }
    if (op.code == WEIR_TREE_CREATE) {
        node_create (t, target);
    }
    return true;
}

static enum weir_status
tree_load (struct weir_container *self, struct weir_load *load)
{
    struct weir_tree *t = (struct weir_tree *) self;
    size_t start = load->r.pos;
    struct weir_id entry = load->entry;
    uint64_t count = weir_read_varint (&load->r);
    for (uint64_t i = 0; i < count; i++) {
        if (!record_load (t, load)) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    bytes_count (t);
    return !load->r.bad && weir_load_is_canonical (self, load, start, &entry) ? WEIR_OK
                                                                              : WEIR_BAD_PAYLOAD;
}

const struct weir_container_type weir_container_tree = {
    .number = WEIR_CONTAINER_TREE,
    .name = "tree",
    .size = sizeof (struct weir_tree),
    .init = tree_init,
    .fini = tree_fini,
    .decode = tree_decode,
    .encode = tree_encode,
    .validate = NULL, /* what a move says of nodes that are unknown waits for them */
    .apply = tree_apply,
    .seal = tree_seal,
    .describe = tree_describe,
    .json = weir_tree_json,
    .find = tree_find,
    .is_empty = tree_is_empty,
    .save = tree_save,
    .load = tree_load,
};
