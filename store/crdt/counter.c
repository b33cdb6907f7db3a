/* Owns the counter container. Integers are one sum that wraps. Doubles are summed chain by chain,
 * each in the order of (seq, entry id, offset), and the chains' sums added in the order of
 * (author, lane), the integers first: double addition depends on order, so a fixed order makes
 * the value a function of the set of increments. All of a chain's doubles are kept, as one of a
 * forked chain may still come before others. Sums that would leave the range of doubles stay at
 * its end. */

#include "store/crdt/change.h"
#include "store/crdt/op_names.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct delta {
    struct weir_id entry;
    uint64_t seq;
    double by;
    uint32_t offset;
};

struct sum {
    struct delta *deltas;
    size_t count;
    size_t cap;
    double total;    /* of the deltas, when in order */
    size_t unsealed; /* of them with an entry of zero */
    uint32_t chain;
    bool is_in_order;
};

struct counter {
    struct weir_container head;
    uint64_t integers;
    struct sum *sums; /* by chain's number */
    size_t n_sums;
    size_t sums_cap;
    double total; /* when fresh */
    bool is_fresh;
    bool is_written;
};

static double
add (double a, double b)
{
    double sum = a + b;
    return isfinite (sum) ? sum : copysign (DBL_MAX, sum);
}

static int
deltas_compare (const void *a, const void *b)
{
    const struct delta *x = a;
    const struct delta *y = b;
    if (x->seq != y->seq) {
        return x->seq < y->seq ? -1 : 1;
    }
    int order = weir_id_compare (&x->entry, &y->entry);
    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

/* ---- sums ---- */

static struct sum *
sum_of (struct counter *c, uint32_t chain)
{
    size_t from = 0;
    size_t to = c->n_sums;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (c->sums[middle].chain < chain) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    if (from == c->n_sums || c->sums[from].chain != chain) {
        size_t cap = c->sums_cap;
        weir_grow (&c->sums, &c->sums_cap, c->n_sums + 1, sizeof *c->sums);
        weir_doc_count_bytes (c->head.doc, (ptrdiff_t) ((c->sums_cap - cap) * sizeof *c->sums));
        memmove (&c->sums[from + 1], &c->sums[from], (c->n_sums - from) * sizeof *c->sums);
        c->sums[from] = (struct sum){ .chain = chain, .is_in_order = true };
        c->n_sums++;
    }
    return &c->sums[from];
}

static void
delta_add (struct counter *c, const struct weir_stamp *stamp, double by)
{
    struct sum *s = sum_of (c, stamp->chain);
    size_t cap = s->cap;
    weir_grow (&s->deltas, &s->cap, s->count + 1, sizeof *s->deltas);
    weir_doc_count_bytes (c->head.doc, (ptrdiff_t) ((s->cap - cap) * sizeof *s->deltas));
    struct delta *d = &s->deltas[s->count++];
    *d = (struct delta){
        .entry = *stamp->entry, .seq = stamp->seq, .by = by, .offset = stamp->offset
    };
    s->is_in_order = s->is_in_order && (s->count == 1 || deltas_compare (d - 1, d) < 0);
    s->total = add (s->total, by);
    s->unsealed += weir_id_is_zero (&d->entry);
    c->is_fresh = false;
}

static void
sum_settle (struct sum *s)
{
    if (s->is_in_order) {
        return;
    }
    qsort (s->deltas, s->count, sizeof *s->deltas, deltas_compare);
    s->total = 0;
    for (size_t i = 0; i < s->count; i++) {
        s->total = add (s->total, s->deltas[i].by);
    }
    s->is_in_order = true;
}

struct part {
    const struct weir_chain *chain;
    double total;
};

static int
parts_compare (const void *a, const void *b)
{
    return weir_chain_compare (((const struct part *) a)->chain, ((const struct part *) b)->chain);
}

/* All doubles, and the integers before them. */
static double
total_of (struct counter *c)
{
    if (c->is_fresh) {
        return c->total;
    }
    struct part *parts = weir_alloc ((c->n_sums + 1) * sizeof *parts);
    for (size_t i = 0; i < c->n_sums; i++) {
        sum_settle (&c->sums[i]);
        parts[i].chain = weir_doc_chain (c->head.doc, c->sums[i].chain);
        parts[i].total = c->sums[i].total;
    }
    qsort (parts, c->n_sums, sizeof *parts, parts_compare);
    c->total = (double) (int64_t) c->integers;
    for (size_t i = 0; i < c->n_sums; i++) {
        c->total = add (c->total, parts[i].total);
    }
    c->is_fresh = true;
    free (parts);
    return c->total;
}

/* ---- the vtable ---- */

static void
counter_fini (struct weir_container *self)
{
    struct counter *c = (struct counter *) self;
    for (size_t i = 0; i < c->n_sums; i++) {
        free (c->sums[i].deltas);
    }
    free (c->sums);
}

static enum weir_status
counter_decode (struct weir_op_reader *r, struct weir_op *op)
{
    if (op->code > WEIR_COUNTER_DOUBLE) {
        return WEIR_NEEDS_UPGRADE;
    }
    op->atoms = 1;
    op->value = (struct weir_value){ .type = WEIR_VALUE_INT };
    if (op->code == WEIR_COUNTER_INT) {
        op->value.number.i = weir_read_zigzag (&r->r);
        return WEIR_OK;
    }
    uint64_t bits = weir_read_u64 (&r->r);
    op->value.type = WEIR_VALUE_DOUBLE;
    memcpy (&op->value.number.d, &bits, sizeof bits);
    return weir_value_check (&op->value);
}

static void
double_put (struct weir_buf *out, double d)
{
    uint64_t bits;
    memcpy (&bits, &d, sizeof bits);
    weir_buf_put_u64 (out, bits);
}

static void
counter_encode (struct weir_op_writer *w, const struct weir_op *op)
{
    if (op->code == WEIR_COUNTER_INT) {
        weir_buf_put_zigzag (w->out, op->value.number.i);
    } else {
        double_put (w->out, op->value.number.d);
    }
}

static void
counter_apply (struct weir_container *self, const struct weir_op *op,
               const struct weir_stamp *stamp)
{
    struct counter *c = (struct counter *) self;
    c->is_written = true;
    if (op->code == WEIR_COUNTER_INT) {
        c->integers += (uint64_t) op->value.number.i;
        c->is_fresh = false;
    } else {
        delta_add (c, stamp, op->value.number.d);
    }
    if (weir_doc_is_heard (self->doc)) {
        struct weir_notice notice = { .kind = WEIR_NOTICE_NUMBER, .container = self };
        notice.by = op->value;
        weir_doc_notify (self->doc, &notice);
    }
}

/* The first op of the change that is sealed settles all: they have one entry. */
static void
counter_seal (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct counter *c = (struct counter *) self;
    if (op->code == WEIR_COUNTER_INT) {
        return;
    }
    struct sum *s = sum_of (c, stamp->chain);
    for (size_t i = s->count; i > 0 && s->unsealed > 0; i--) {
        struct delta *d = &s->deltas[i - 1];
        if (weir_id_is_zero (&d->entry)) {
            d->entry = *stamp->entry;
            s->unsealed--;
            /* Another tip of the chain may have the same seq. */
            s->is_in_order =
                s->is_in_order
                && (i == 1 || deltas_compare (d - 1, d) < 0 || weir_id_is_zero (&d[-1].entry))
                && (i == s->count || deltas_compare (d, d + 1) < 0);
            c->is_fresh = c->is_fresh && s->is_in_order;
        }
    }
}

static void
counter_describe (const struct weir_op *op, json_t *out)
{
    json_object_set_new (out, "op", json_string ("increment"));
    json_object_set_new (out, "by", weir_value_json (&op->value));
}

static json_t *
counter_json (const struct weir_container *self)
{
    /* Sums are put in order when they are asked for. */
    struct counter *c = (struct counter *) (uintptr_t) self;
    if (c == NULL || c->n_sums == 0) {
        return json_integer (c == NULL ? 0 : (json_int_t) c->integers);
    }
    return json_real (total_of (c));
}

static bool
counter_is_empty (const struct weir_container *self)
{
    return !((const struct counter *) self)->is_written;
}

/* ---- state: zigzag integers | deltas varint | stamp, binary64 ... by (author, lane), seq, entry,
 * offset; in a stamp the seq stands for the entry's lamport ---- */

static struct weir_stamp
delta_stamp (const struct sum *s, const struct delta *d)
{
    return (struct weir_stamp){ .lamport = d->seq + d->offset,
                                .entry = &d->entry,
                                .chain = s->chain,
                                .offset = d->offset,
                                .seq = d->seq };
}

struct place {
    uint32_t chain; /* in the state */
    uint32_t sum;
};

static int
places_compare (const void *a, const void *b)
{
    uint32_t x = ((const struct place *) a)->chain;
    uint32_t y = ((const struct place *) b)->chain;
    return (x > y) - (x < y);
}

static void
counter_save (struct weir_container *self, struct weir_save *save)
{
    struct counter *c = (struct counter *) self;
    struct place *places = weir_alloc ((c->n_sums + 1) * sizeof *places);
    size_t count = 0;
    for (uint32_t i = 0; i < c->n_sums; i++) {
        sum_settle (&c->sums[i]);
        places[i] = (struct place){ save->chains[c->sums[i].chain], i };
        count += c->sums[i].count;
    }
    if (save->out != NULL) {
        qsort (places, c->n_sums, sizeof *places, places_compare);
        weir_buf_put_zigzag (save->out, (int64_t) c->integers);
        weir_buf_put_varint (save->out, count);
    }
    for (size_t i = 0; i < c->n_sums; i++) {
        const struct sum *s = &c->sums[places[i].sum];
        for (size_t k = 0; k < s->count; k++) {
            struct weir_stamp stamp = delta_stamp (s, &s->deltas[k]);
            weir_save_stamp (save, &stamp);
            if (save->out != NULL) {
                double_put (save->out, s->deltas[k].by);
            }
        }
    }
    free (places);
}

static enum weir_status
counter_load (struct weir_container *self, struct weir_load *load)
{
    struct counter *c = (struct counter *) self;
    size_t start = load->r.pos;
    struct weir_id entry = load->entry;
    c->is_written = true;
    c->integers = (uint64_t) weir_read_zigzag (&load->r);
    uint64_t count = weir_read_varint (&load->r);
    for (uint64_t i = 0; i < count && !load->r.bad; i++) {
        struct weir_stamp stamp;
        struct weir_value by = { .type = WEIR_VALUE_DOUBLE };
        enum weir_status status = weir_load_stamp (load, &stamp);
        uint64_t bits = weir_read_u64 (&load->r);
        memcpy (&by.number.d, &bits, sizeof bits);
        if (status != WEIR_OK || load->r.bad || weir_value_check (&by) != WEIR_OK
            || weir_id_is_zero (stamp.entry)) {
            return WEIR_BAD_PAYLOAD;
        }
        stamp.seq = stamp.lamport - stamp.offset;
        delta_add (c, &stamp, by.number.d);
    }
    /* Two of one place would have no order. */
    for (size_t i = 0; i < c->n_sums; i++) {
        if (!c->sums[i].is_in_order) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    return !load->r.bad && weir_load_is_canonical (self, load, start, &entry) ? WEIR_OK
                                                                              : WEIR_BAD_PAYLOAD;
}

const struct weir_container_type weir_container_counter = {
    .number = WEIR_CONTAINER_COUNTER,
    .name = "counter",
    .size = sizeof (struct counter),
    .fini = counter_fini,
    .decode = counter_decode,
    .encode = counter_encode,
    .apply = counter_apply,
    .seal = counter_seal,
    .describe = counter_describe,
    .json = counter_json,
    .is_empty = counter_is_empty,
    .save = counter_save,
    .load = counter_load,
};

/* ---- editing ---- */

enum weir_status
weir_change_increment (struct weir_change *self, struct weir_container *counter,
                       const struct weir_value *by, struct weir_error *e)
{
    struct weir_op op = { .code = WEIR_COUNTER_INT, .atoms = 1, .value = *by };
    uint32_t offset = 0;
    if ((by->type != WEIR_VALUE_INT && by->type != WEIR_VALUE_DOUBLE)
        || weir_value_check (by) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a counter counts by an integer or a finite number");
    }
    if (by->type == WEIR_VALUE_DOUBLE) {
        op.code = WEIR_COUNTER_DOUBLE;
    }
    return weir_change_put (self, counter, &op, &offset, e);
}
