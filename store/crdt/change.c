/* Owns an open change: applies ops to the document as they come, collects them into a payload
 * (adjacent ones joined, the last held open for that), and tells the types the entry's id when it
 * is sealed. What verbs there are, the types' files say; those of maps are in change_map.c. */

#include "store/crdt/change.h"

#include "store/crdt/doc_parts.h"

#include <stdlib.h>
#include <string.h>

/* Left for what is not counted op by op: message, counts, the text's length. */
#define BYTES_MAX (WEIR_PAYLOAD_BYTES_MAX - WEIR_MESSAGE_TEXT_BYTES_MAX - 64u)
#define OP_BYTES_MAX 64u /* beside key, value and bytes */
#define ROW_BYTES_MAX 16u
/* What re-encoding may add to an adopted op or row: numbers of rows and places are others. */
#define ADOPTED_OP_BYTES 4u

struct row {
    struct weir_container *container;
    struct weir_op_ref made_ref;
    uint32_t parent;
    uint32_t cursor;
    uint8_t kind;
};

struct weir_change {
    struct weir_doc *doc;
    struct weir_stamp stamp; /* of the next op; its entry is zero */
    uint64_t lamport;        /* of the first */
    bool is_closed;          /* the payload is made */
    bool has_blobs;          /* an op sets one */
    bool has_held;
    struct weir_op held; /* the last op; its key, value and bytes lie in held_bytes */
    struct weir_buf held_bytes;
    struct weir_buf code;
    struct weir_buf text;
    struct row *rows;
    size_t n_rows;
    size_t rows_cap;
    size_t rows_bytes;
    struct weir_map *row_numbers; /* container -> number + 1 */
    const struct weir_container *last_on;
    uint32_t last_row;
    struct weir_id *ids;
    size_t n_ids;
    size_t ids_cap;
    struct weir_map *id_numbers; /* entry -> number + 1, which is its row */
};

struct weir_change *
weir_change_open (struct weir_doc *doc, const struct weir_chain *chain, uint64_t seq)
{
    weir_assert (doc->change == NULL);
    struct weir_change *self = weir_alloc (sizeof *self);
    self->doc = doc;
    self->lamport = doc->lamport;
    self->stamp = (struct weir_stamp){ .lamport = doc->lamport,
                                       .entry = &weir_id_zero,
                                       .chain = weir_doc_chain_number (doc, chain),
                                       .seq = seq };
    self->row_numbers = weir_map_new ();
    doc->change = self;
    weir_doc_begin (doc, NULL);
    return self;
}

void
weir_change_destroy (struct weir_change **self_p)
{
    struct weir_change *self = *self_p;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    if (self->doc->change == self) {
        weir_doc_end (self->doc);
        self->doc->change = NULL;
    }
    weir_map_destroy (&self->row_numbers, NULL);
    weir_map_destroy (&self->id_numbers, NULL);
    weir_buf_fini (&self->held_bytes);
    weir_buf_fini (&self->code);
    weir_buf_fini (&self->text);
    free (self->rows);
    free (self->ids);
    free (self);
}

struct weir_doc *
weir_change_doc (const struct weir_change *self)
{
    return self->doc;
}

uint64_t
weir_change_atoms (const struct weir_change *self)
{
    return self->stamp.offset;
}

size_t
weir_change_bytes (const struct weir_change *self)
{
    return self->code.len + self->text.len + self->held_bytes.len + self->rows_bytes
           + self->n_ids * WEIR_ID_BYTES + (self->has_held ? OP_BYTES_MAX : 0);
}

/* ---- rows and ids ---- */

struct weir_op_ref
weir_change_ref (struct weir_change *self, const struct weir_op_id *id)
{
    struct weir_op_ref ref = { .offset = id->offset };
    if (weir_id_is_zero (&id->entry)) {
        return ref;
    }
    if (id->entry.b[0] == 0xff && memcmp (id->entry.b, id->entry.b + 1, WEIR_ID_BYTES - 1) == 0) {
        return (struct weir_op_ref){ .row = WEIR_OP_REF_NONE };
    }
    if (self->n_ids > 0 && weir_id_equal (&self->ids[self->n_ids - 1], &id->entry)) {
        ref.row = (uint32_t) self->n_ids;
        return ref;
    }
    if (self->id_numbers == NULL) {
        self->id_numbers = weir_map_new ();
    }
    uintptr_t number = (uintptr_t) weir_map_get (self->id_numbers, weir_id_bytes (&id->entry));
    if (number == 0) {
        weir_grow (&self->ids, &self->ids_cap, self->n_ids + 1, sizeof *self->ids);
        self->ids[self->n_ids++] = id->entry;
        number = self->n_ids;
        (void) weir_map_put (self->id_numbers, weir_id_bytes (&id->entry), (void *) number);
    }
    ref.row = (uint32_t) number;
    return ref;
}

static uint32_t
row_find (const struct weir_change *self, const struct weir_container *c)
{
    uintptr_t number = (uintptr_t) weir_map_get (self->row_numbers, weir_bytes (&c, sizeof c));
    return number == 0 ? WEIR_OP_REF_NONE : (uint32_t) (number - 1);
}

static uint32_t
row_add (struct weir_change *self, struct weir_container *c, uint32_t parent)
{
    struct row row = { .container = c, .parent = parent, .kind = WEIR_ROW_PATH };
    if (c->is_unique) {
        row.kind = WEIR_ROW_UNIQUE;
        row.made_ref = weir_change_ref (self, &c->made);
    } else if (c->parent == self->doc->top) {
        row.kind = WEIR_ROW_ROOT;
    }
    weir_grow (&self->rows, &self->rows_cap, self->n_rows + 1, sizeof *self->rows);
    self->rows[self->n_rows++] = row;
    self->rows_bytes += ROW_BYTES_MAX + c->key_len;
    (void) weir_map_put (self->row_numbers, weir_bytes (&c, sizeof c), (void *) self->n_rows);
    return (uint32_t) (self->n_rows - 1);
}

/* The container's row, its parents' before it; WEIR_OP_REF_NONE: there are too many. */
static uint32_t
row_of (struct weir_change *self, struct weir_container *on)
{
    struct weir_container *way[WEIR_CONTAINER_DEPTH_MAX];
    size_t n = 0;
    uint32_t row = WEIR_OP_REF_NONE;
    if (on == self->last_on) {
        return self->last_row;
    }
    for (struct weir_container *c = on; row == WEIR_OP_REF_NONE; c = c->parent) {
        row = row_find (self, c);
        if (row == WEIR_OP_REF_NONE) {
            way[n++] = c;
            if (c->is_unique || c->parent == self->doc->top) {
                break;
            }
        }
    }
    if (self->n_rows + n > WEIR_CONTAINERS_PER_PAYLOAD_MAX) {
        return WEIR_OP_REF_NONE;
    }
    while (n > 0) {
        row = row_add (self, way[--n], row);
    }
    self->last_on = on;
    self->last_row = row;
    return row;
}

/* ---- collecting ---- */

static void
encode (struct weir_change *self, const struct weir_op *op)
{
    struct row *row = &self->rows[op->row];
    struct weir_op_writer w = { .out = &self->code, .text = &self->text, .cursor = row->cursor };
    weir_payload_put_op (&w, row->container->type, op);
    self->has_blobs = self->has_blobs || weir_op_has_blobs (row->container->type, op);
    row->cursor = w.cursor;
}

static void
flush (struct weir_change *self)
{
    if (!self->has_held) {
        return;
    }
    struct weir_op *op = &self->held;
    weir_buf_reserve (&self->held_bytes, 1); /* so that there is a place even for nothing */
    const uint8_t *at = self->held_bytes.data;
    op->key.data = at;
    op->value.bytes.data = at + op->key.len;
    at += op->key.len + op->value.bytes.len;
    /* Inserted text lies in self->text already. */
    op->bytes = weir_bytes (at, self->held_bytes.len - op->key.len - op->value.bytes.len);
    encode (self, op);
    self->has_held = false;
    weir_buf_clear (&self->held_bytes);
}

static void
put_bytes (struct weir_change *self, const struct weir_container *on, const struct weir_op *op)
{
    bool is_text = on->type->number == WEIR_CONTAINER_TEXT && op->code == WEIR_TEXT_INSERT;
    weir_buf_put_bytes (is_text ? &self->text : &self->held_bytes, op->bytes);
}

static void
collect (struct weir_change *self, const struct weir_container *on, const struct weir_op *op)
{
    struct weir_op *held = &self->held;
    uint32_t atoms = held->atoms;
    if (self->has_held && held->row == op->row && on->type->join != NULL
        && on->type->join (held, op)) {
        held->atoms = atoms + op->atoms;
        put_bytes (self, on, op);
        return;
    }
    flush (self);
    if (on->type->join == NULL) {
        encode (self, op);
        return;
    }
    *held = *op;
    self->has_held = true;
    weir_buf_put_bytes (&self->held_bytes, op->key);
    weir_buf_put_bytes (&self->held_bytes, op->value.bytes);
    put_bytes (self, on, op);
}

static void
resolve (const struct weir_change *self, const struct weir_op_ref *ref, struct weir_op_id *id)
{
    id->offset = ref->offset;
    if (ref->row == 0) {
        id->entry = weir_id_zero;
    } else if (ref->row == WEIR_OP_REF_NONE) {
        memset (&id->entry, 0xff, sizeof id->entry);
    } else {
        id->entry = self->ids[ref->row - 1];
    }
}

/* Applies and collects; there is room. */
static void
put (struct weir_change *self, struct weir_container *on, struct weir_op *op)
{
    resolve (self, &op->target_ref, &op->target);
    resolve (self, &op->parent_ref, &op->parent);
    on->type->apply (on, op, &self->stamp);
    collect (self, on, op);
    self->stamp.offset += op->atoms;
    self->stamp.lamport += op->atoms;
}

static enum weir_status
too_large (struct weir_error *e)
{
    return weir_error_set (e, WEIR_TOO_LARGE, "commit, then go on",
                           "the change would pass %u bytes, %u ops or %u containers",
                           WEIR_PAYLOAD_BYTES_MAX, WEIR_ENTRY_OPS_MAX,
                           WEIR_CONTAINERS_PER_PAYLOAD_MAX);
}

enum weir_status
weir_change_put (struct weir_change *self, struct weir_container *on, struct weir_op *op,
                 uint32_t *offset, struct weir_error *e)
{
    weir_assert (!self->is_closed);
    size_t more = OP_BYTES_MAX + op->key.len + op->value.bytes.len + op->bytes.len;
    uint32_t row = row_of (self, on);
    if (row == WEIR_OP_REF_NONE || weir_change_bytes (self) + more > BYTES_MAX
        || self->stamp.offset + (uint64_t) op->atoms > WEIR_ENTRY_OPS_MAX) {
        return too_large (e);
    }
    op->row = row;
    *offset = self->stamp.offset;
    put (self, on, op);
    return WEIR_OK;
}

/* ---- an edit's payload ---- */

/* The payload's own ids begin where the change stands. */
static void
shift (struct weir_payload *p, uint32_t by)
{
    for (size_t i = 0; i < p->n_rows; i++) {
        p->rows[i].made_ref.offset += p->rows[i].made_ref.row == 0 ? by : 0;
    }
    for (size_t i = 0; i < p->n_ops; i++) {
        struct weir_op *op = &p->ops[i];
        op->target_ref.offset += op->target_ref.row == 0 ? by : 0;
        op->parent_ref.offset += op->parent_ref.row == 0 ? by : 0;
    }
}

static void
adopt_ops (struct weir_change *self, struct weir_payload *p)
{
    for (size_t i = 0; i < p->n_ops; i++) {
        struct weir_op op = p->ops[i]; /* resolved by validate */
        struct weir_container *on =
            weir_doc_row_container (self->doc, p, op.row, &weir_id_zero, true);
        op.target_ref = weir_change_ref (self, &op.target);
        op.parent_ref = weir_change_ref (self, &op.parent);
        op.row = row_of (self, on);
        put (self, on, &op);
    }
}

enum weir_status
weir_change_adopt (struct weir_change *self, struct weir_bytes payload, struct weir_error *e)
{
    struct weir_payload p = { 0 };
    weir_assert (!self->is_closed);
    enum weir_status status = weir_payload_decode (&p, payload);
    if (status == WEIR_OK) {
        size_t more = payload.len + ADOPTED_OP_BYTES * p.n_ops
                      + (ROW_BYTES_MAX + ADOPTED_OP_BYTES) * p.n_rows;
        if (weir_change_bytes (self) + more > BYTES_MAX
            || self->n_rows + p.n_rows > WEIR_CONTAINERS_PER_PAYLOAD_MAX
            || self->stamp.offset + p.atoms > WEIR_ENTRY_OPS_MAX) {
            status = too_large (e);
            goto done;
        }
        shift (&p, self->stamp.offset);
        status = weir_doc_validate (self->doc, &p, &weir_id_zero);
    }
    if (status == WEIR_OK) {
        adopt_ops (self, &p);
    } else {
        (void) weir_error_set (e, status, NULL, "the edit does not fit the document");
    }
done:
    weir_payload_fini (&p);
    return status;
}

/* ---- sealing ---- */

enum weir_status
weir_change_payload (struct weir_change *self, struct weir_bytes message, struct weir_buf *payload,
                     uint32_t *ops, struct weir_error *e)
{
    struct weir_value text = { .type = WEIR_VALUE_TEXT, .bytes = message };
    size_t start = payload->len;
    if (message.len > WEIR_MESSAGE_TEXT_BYTES_MAX || weir_value_check (&text) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a commit message is UTF-8 without NUL, of at most %u bytes",
                               WEIR_MESSAGE_TEXT_BYTES_MAX);
    }
    flush (self);
    weir_payload_begin (payload, message, self->ids, self->n_ids, self->n_rows);
    for (size_t i = 0; i < self->n_rows; i++) {
        const struct row *from = &self->rows[i];
        struct weir_payload_row row = { .type = from->container->type,
                                        .kind = from->kind,
                                        .parent = from->parent,
                                        .made_ref = from->made_ref,
                                        .key = weir_container_key (from->container) };
        weir_payload_put_row (payload, &row);
    }
    weir_buf_put_blob (payload, weir_buf_bytes (&self->text));
    weir_buf_put_bytes (payload, weir_buf_bytes (&self->code));
    if (payload->len - start > WEIR_PAYLOAD_BYTES_MAX) {
        payload->len = start;
        return too_large (e);
    }
    weir_payload_name_codec (payload, start, self->has_blobs);
    self->is_closed = true;
    *ops = self->stamp.offset;
    return WEIR_OK;
}

/* Calls `fn` for each op again, with the stamp that it has by `entry`. */
static void
for_each (struct weir_change *self, const struct weir_id *entry,
          void (*fn) (struct weir_container *on, const struct weir_op *op,
                      const struct weir_stamp *stamp))
{
    struct weir_stamp stamp = self->stamp;
    struct weir_payload ids = { .ids = weir_bytes (self->ids, self->n_ids * WEIR_ID_BYTES) };
    struct weir_op_reader r = { .r = weir_reader (weir_buf_bytes (&self->code)),
                                .text = weir_reader (weir_buf_bytes (&self->text)),
                                .n_ids = (uint32_t) self->n_ids + 1 };
    stamp.entry = entry;
    stamp.lamport = self->lamport;
    stamp.offset = 0;
    for (size_t i = 0; i < self->n_rows; i++) {
        self->rows[i].cursor = 0;
    }
    while (weir_reader_left (&r.r) > 0) {
        uint64_t head = weir_read_varint (&r.r);
        struct weir_op op = { .row = (uint32_t) (head >> 4), .code = head & 15u };
        struct row *row = &self->rows[op.row];
        r.cursor = row->cursor;
        enum weir_status status = row->container->type->decode (&r, &op);
        weir_assert (status == WEIR_OK && !r.r.bad && !r.text.bad); /* we wrote it */
        row->cursor = r.cursor;
        weir_payload_resolve (&ids, &op, entry);
        fn (row->container, &op, &stamp);
        stamp.lamport += op.atoms;
        stamp.offset += op.atoms;
    }
}

static void
record_one (struct weir_container *on, const struct weir_op *op, const struct weir_stamp *stamp)
{
    if (on->type->record != NULL) {
        on->type->record (on, op, stamp);
    }
}

void
weir_change_record (struct weir_change *self)
{
    flush (self);
    for_each (self, &weir_id_zero, record_one);
}

static void
seal_one (struct weir_container *on, const struct weir_op *op, const struct weir_stamp *stamp)
{
    if (on->type->seal != NULL) {
        on->type->seal (on, op, stamp);
    }
}

void
weir_change_seal (struct weir_change *self, const struct weir_doc_entry *entry)
{
    bool wants = false;
    weir_assert (self->doc->change == self && entry->ops == self->stamp.offset
                 && entry->lamport == self->lamport);
    flush (self);
    for (size_t i = 0; i < self->n_rows; i++) {
        wants = wants || self->rows[i].container->type->seal != NULL;
    }
    if (wants) {
        for_each (self, &entry->id, seal_one);
    }
    self->is_closed = true;
    self->doc->change = NULL;
    weir_doc_end (self->doc);
    weir_doc_advance (self->doc, entry);
}
