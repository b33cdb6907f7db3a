#ifndef WEIR_TESTS_STORE_DAG_FIXTURE_H
#define WEIR_TESTS_STORE_DAG_FIXTURE_H

/* What the dag tests share: devices from fixed seeds, ids from numbers, small runs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/rand.h"
#include "store/dag/run.h"

static inline struct weir_identity
fixture_identity (uint8_t number)
{
    uint8_t seed[32] = { number, 1 };
    struct weir_identity k;
    weir_identity_init (&k, seed);
    return k;
}

/* Copies text into an array that holds it. */
#define fixture_copy(array, text)                                                                  \
    do {                                                                                           \
        size_t fixture_len = strlen (text) + 1;                                                    \
        assert_true (fixture_len <= sizeof (array));                                               \
        memcpy (array, text, fixture_len);                                                         \
    } while (0)

/* An id that sorts by `number`. */
static inline struct weir_id
fixture_id (uint32_t number)
{
    struct weir_id id = { { 0 } };
    weir_store_u32 (id.b, number);
    id.b[31] = 1;
    return id;
}

static inline struct weir_bytes
fixture_text (const char *text)
{
    return weir_bytes (text, strlen (text));
}

static inline void
assert_ids_equal (const struct weir_id *a, const struct weir_id *b)
{
    assert_memory_equal (a->b, b->b, WEIR_ID_BYTES);
}

#endif
