/* Goal: counters against the list of all increments, sorted and added up for every question. */

#include "tests/models/play.h"

#include <stdlib.h>

struct increment {
    struct weir_chain chain;
    uint64_t seq;
    struct weir_id entry;
    uint32_t offset;
    double by;
};

static int
increments_compare (const void *a, const void *b)
{
    const struct increment *x = a;
    const struct increment *y = b;
    int order = weir_chain_compare (&x->chain, &y->chain);
    if (order == 0) {
        order = (x->seq > y->seq) - (x->seq < y->seq);
    }
    if (order == 0) {
        order = weir_id_compare (&x->entry, &y->entry);
    }
    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

static void
edit (struct play *play, struct play_replica *r, struct weir_change *change)
{
    static const double steps[] = { 0.1, -0.7, 1e16, -1e16, 3.0, 1e-9, 1e308 };
    struct weir_error e = { 0 };
    struct weir_container *counter = NULL;
    (void) r;
    for (uint64_t n = play_below (play, 5); n > 0; n--) {
        const char *name = play_below (play, 3) == 0 ? "i" : "c";
        struct weir_value by = { .type = WEIR_VALUE_INT };
        by.number.i = play_below (play, 9) == 0 ? INT64_MAX : (int64_t) play_below (play, 20) - 10;
        if (name[0] == 'c' && play_below (play, 2) == 0) {
            by.type = WEIR_VALUE_DOUBLE;
            by.number.d = steps[play_below (play, sizeof steps / sizeof *steps)];
        }
        model_check (weir_change_root (change, name, &weir_container_counter, &counter, &e)
                             == WEIR_OK
                         && weir_change_increment (change, counter, &by, &e) == WEIR_OK,
                     "%s", e.what);
    }
}

static double
capped (double d)
{
    return d > 0x1.fffffffffffffp1023    ? 0x1.fffffffffffffp1023
           : d < -0x1.fffffffffffffp1023 ? -0x1.fffffffffffffp1023
                                         : d;
}

/* NULL: never written. */
static json_t *
model_json (const struct play *play, uint64_t seen, const char *name)
{
    struct increment *all = weir_alloc (PLAY_ENTRIES_MAX * 8 * sizeof *all);
    const struct weir_op *op;
    uint64_t integers = 0;
    size_t n = 0;
    size_t entry = 0;
    size_t i = 0;
    uint32_t offset = 0;
    bool is_written = false;
    while ((op = play_next (play, seen, &entry, &i, &offset)) != NULL) {
        const struct play_entry *e = &play->entries[entry];
        struct weir_bytes root = e->decoded.rows[op->row].key;
        if (!weir_bytes_equal (root, weir_bytes_str (name))) {
            continue;
        }
        is_written = true;
        if (op->code == WEIR_COUNTER_INT) {
            integers += (uint64_t) op->value.number.i;
        } else {
            all[n++] = (struct increment){ e->head.chain, e->head.seq, e->head.id, offset,
                                           op->value.number.d };
        }
    }
    qsort (all, n, sizeof *all, increments_compare);
    double total = (double) (int64_t) integers;
    for (size_t k = 0; k < n;) {
        double sum = 0;
        size_t first = k;
        for (; k < n && weir_chain_compare (&all[first].chain, &all[k].chain) == 0; k++) {
            sum = capped (sum + all[k].by);
        }
        total = capped (total + sum);
    }
    free (all);
    if (!is_written) {
        return NULL;
    }
    return n > 0 ? json_real (total) : json_integer ((json_int_t) integers);
}

static void
check (struct play *play, struct weir_doc *doc, uint64_t seen)
{
    json_t *wanted = json_object ();
    json_t *c = model_json (play, seen, "c");
    json_t *i = model_json (play, seen, "i");
    if (c != NULL) {
        json_object_set_new (wanted, "c", c);
    }
    if (i != NULL) {
        json_object_set_new (wanted, "i", i);
    }
    play_check_value (doc, "", wanted);
}

void
weir_model_counter (uint64_t seed)
{
    static const struct play_model model = { .edit = edit, .check = check };
    play_history (seed, &model);
}
