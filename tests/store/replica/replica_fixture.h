#ifndef WEIR_TESTS_STORE_REPLICA_FIXTURE_H
#define WEIR_TESTS_STORE_REPLICA_FIXTURE_H

/* What the tests of replicas share: devices from fixed seeds, one database, replicas that edit
 * it and exchange exports. */

#include "store/base/rand.h"
#include "store/replica/replica.h"
#include "tests/store/crdt/fixture.h"

#define LAB_DEVICES 4u

struct lab {
    struct weir_rand rand;
    struct weir_identity devices[LAB_DEVICES];
    struct weir_buf genesis;
};

static inline uint64_t
lab_lane (void *context)
{
    struct lab *lab = context;
    return weir_rand_u64 (&lab->rand);
}

static inline void
lab_init (struct lab *lab)
{
    uint8_t random[32] = { 7 };
    *lab = (struct lab){ .genesis = { 0 } };
    weir_crypto_init ();
    weir_rand_init (&lab->rand, 1);
    for (unsigned i = 0; i < LAB_DEVICES; i++) {
        uint8_t seed[32] = { (uint8_t) (i + 1), 9 };
        weir_identity_init (&lab->devices[i], seed);
    }
    weir_replica_genesis (&lab->devices[0], random, "lab", &lab->genesis);
}

static inline void
lab_fini (struct lab *lab)
{
    weir_buf_fini (&lab->genesis);
}

static inline struct weir_replica_options
lab_options (struct lab *lab, unsigned device)
{
    return (struct weir_replica_options){
        .identity = &lab->devices[device],
        .lane = weir_rand_u64 (&lab->rand),
        .genesis = weir_buf_bytes (&lab->genesis),
        .next_lane = lab_lane,
        .context = lab,
    };
}

#define lab_ok(call)                                                                               \
    do {                                                                                           \
        struct weir_error e = { 0 };                                                               \
        assert_status (call, WEIR_OK, &e);                                                         \
    } while (0)

static inline struct weir_replica *
lab_replica (struct lab *lab, unsigned device)
{
    struct weir_replica_options options = lab_options (lab, device);
    struct weir_replica *r = NULL;
    lab_ok (weir_replica_new (&r, &options, &e));
    return r;
}

static inline struct weir_change *
lab_change (struct weir_replica *r)
{
    struct weir_change *change = NULL;
    lab_ok (weir_replica_change (r, &change, &e));
    return change;
}

/* Sets a key of the root map "m"; not committed. */
static inline void
lab_set (struct weir_replica *r, const char *key, int64_t number)
{
    struct weir_value value = { .type = WEIR_VALUE_INT, .number.i = number };
    struct weir_container *map = NULL;
    struct weir_change *change = lab_change (r);
    lab_ok (weir_change_root (change, "m", &weir_container_map, &map, &e));
    lab_ok (weir_change_map_set (change, map, fixture_text (key), &value, &e));
}

static inline void
lab_type (struct weir_replica *r, uint32_t at, const char *text)
{
    struct weir_container *on = NULL;
    struct weir_change *change = lab_change (r);
    lab_ok (weir_change_root (change, "t", &weir_container_text, &on, &e));
    lab_ok (weir_change_text_insert (change, on, at, fixture_text (text), &e));
}

static inline struct weir_id
lab_commit (struct weir_replica *r, const char *message, uint64_t clock_ms)
{
    struct weir_id id;
    lab_ok (weir_replica_commit (r, fixture_text (message), clock_ms, &id, &e));
    return id;
}

static inline void
assert_shown (const struct weir_replica *r, const char *json)
{
    json_t *got = NULL;
    json_t *wanted = fixture_json (json);
    lab_ok (weir_doc_get (weir_replica_doc (r), "", &got, &e));
    if (!json_equal (got, wanted)) {
        char *text = json_dumps (got, JSON_SORT_KEYS);
        fail_msg ("%s is shown instead of %s", text, json);
    }
    json_decref (got);
    json_decref (wanted);
}

/* All that `from` lacks (NULL: everything). */
static inline struct weir_buf
lab_update (struct weir_replica *r, const struct weir_op_vector *from)
{
    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE, .from = from };
    struct weir_buf out = { 0 };
    lab_ok (weir_replica_export (r, &what, &out, &e));
    return out;
}

static inline struct weir_buf
lab_snapshot (struct weir_replica *r)
{
    struct weir_export what = { .mode = WEIR_EXPORT_SNAPSHOT };
    struct weir_buf out = { 0 };
    lab_ok (weir_replica_export (r, &what, &out, &e));
    return out;
}

static inline void
lab_vector (struct weir_replica *r, struct weir_op_vector *out)
{
    struct weir_heads heads = { 0 };
    weir_replica_log_heads (r, &heads);
    lab_ok (weir_replica_vector (r, &heads, out, &e));
    weir_heads_fini (&heads);
}

static inline void
lab_import (struct weir_replica *r, const struct weir_buf *blob)
{
    lab_ok (weir_replica_import (r, weir_buf_bytes (blob), NULL, &e));
}

/* `to` gets what it lacks. */
static inline void
lab_sync (struct weir_replica *from, struct weir_replica *to)
{
    struct weir_op_vector has = { 0 };
    lab_vector (to, &has);
    struct weir_buf blob = lab_update (from, &has);
    lab_import (to, &blob);
    weir_buf_fini (&blob);
    weir_op_vector_fini (&has);
}

static inline void
assert_same_heads (const struct weir_heads *a, const struct weir_heads *b)
{
    assert_int_equal (a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_true (weir_id_equal (&a->items[i], &b->items[i]));
    }
}

/* In values, versions and re-exported bytes. */
static inline void
assert_same_replicas (struct weir_replica *a, struct weir_replica *b)
{
    json_t *x = NULL;
    json_t *y = NULL;
    struct weir_heads p = { 0 };
    struct weir_heads q = { 0 };
    lab_ok (weir_doc_get (weir_replica_doc (a), "", &x, &e));
    lab_ok (weir_doc_get (weir_replica_doc (b), "", &y, &e));
    assert_true (json_equal (x, y));
    json_decref (x);
    json_decref (y);
    struct weir_buf s = lab_snapshot (a);
    struct weir_buf t = lab_snapshot (b);
    weir_replica_log_heads (a, &p);
    weir_replica_log_heads (b, &q);
    assert_same_heads (&p, &q);
    assert_int_equal (s.len, t.len);
    assert_memory_equal (s.data, t.data, s.len);
    weir_buf_fini (&s);
    weir_buf_fini (&t);
    weir_heads_fini (&p);
    weir_heads_fini (&q);
}

#endif
