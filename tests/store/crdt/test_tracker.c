/* Goal: the tracker gives Fugue's order, exactly and whatever the order of arrival: on the cases
 * of the Eg-walker authors, on real histories, and against a plain tree that knows no versions;
 * from a placeholder as from the beginning; and its books stay right under hostile input. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/rand.h"
#include "tests/support/walk.h"

/* ---- orders ---- */

/* A random topological order of a history's entries. */
static uint32_t *
random_order (const struct walk_history *h, struct weir_rand *r)
{
    uint32_t *order = weir_alloc (h->count * sizeof *order);
    bool *out = weir_alloc (h->count);
    for (size_t n = 0; n < h->count;) {
        uint32_t i = (uint32_t) weir_rand_below (r, h->count);
        bool ready = !out[i];
        for (uint32_t p = 0; ready && p < h->entries[i].n_parents; p++) {
            ready = out[h->entries[i].parents[p]];
        }
        if (ready) {
            out[i] = true;
            order[n++] = i;
        }
    }
    free (out);
    return order;
}

enum way { WHOLE, KEEP, REBUILD };

static void
replay (const struct walk_history *h, enum way way, struct walk_doc *doc)
{
    *doc = (struct walk_doc){ .history = h, .graph = walk_graph (h) };
    if (way == WHOLE) {
        walk_all (doc);
    } else {
        for (uint32_t i = 0; i < h->count; i++) {
            walk_merge (doc, i, way == KEEP);
        }
    }
}

static void
assert_ends (const struct walk_history *h, const char *what, size_t number)
{
    for (enum way way = WHOLE; way <= REBUILD; way++) {
        struct walk_doc doc;
        replay (h, way, &doc);
        if (!walk_text_is (&doc, weir_buf_bytes (&h->end))) {
            fail_msg ("%s %zu, way %d: another text", what, number, way);
        }
        weir_graph_destroy (&doc.graph);
        walk_doc_fini (&doc);
    }
}

static void
test_conformance (void **state)
{
    struct weir_rand r;
    json_t *cases = walk_load ("conformance-1.json.gz");
    (void) state;
    if (cases == NULL) {
        print_message ("skipped: no conformance-1.json.gz under WEIR_TRACES\n");
        skip ();
    }
    weir_rand_init (&r, 1);
    size_t i;
    json_t *raw;
    json_array_foreach (cases, i, raw)
    {
        struct walk_history h;
        walk_read_raw (&h, raw);
        assert_ends (&h, "case", i);
        for (size_t k = 0; k < 3; k++) {
            struct walk_history other;
            uint32_t *order = random_order (&h, &r);
            walk_renumber (&h, order, &other);
            assert_ends (&other, "renumbered case", i);
            walk_history_fini (&other);
            free (order);
        }
        walk_history_fini (&h);
    }
    assert_int_equal (i, 500);
    json_decref (cases);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_conformance),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
