/* Goal: two repositories that talk by the newer ladder find what each lacks, in at most eight
 * messages: by heads where one knows the other's, by a hint where both remember a digest, by
 * ranges else; a wrong hint costs a message and nothing more; words that make no sense are
 * refused. The walk beyond heads and the vector of an earlier position are compared with what
 * the repository was. */

#include "store/base/limits.h"
#include "store/base/rand.h"
#include "tests/support/repo.h"

#define NODES 3

struct talk {
    size_t messages;
    size_t bytes;
    size_t sent[2]; /* entries each lacks of the other, as found */
    bool settled;   /* without ranges */
};

static struct weir_repo_hint
hint_of (struct node *n, const struct weir_id *db)
{
    struct weir_db_info info;
    node_sync (n);
    const struct weir_vector *v = weir_repo_vector (n->repo, db);
    assert_int_equal (weir_repo_info (n->repo, db, &info), WEIR_OK);
    return (struct weir_repo_hint){ weir_vector_digest (v), info.position };
}

static void
move (struct node *from, struct node *to, const struct weir_id *db, const struct weir_ranges *lacks)
{
    struct weir_buf run = { 0 };
    for (size_t i = 0; i < lacks->count; i++) {
        for (uint64_t at = lacks->items[i].from_seq; at < lacks->items[i].to_seq;) {
            uint64_t next = at;
            weir_buf_clear (&run);
            assert_int_equal (weir_repo_read (from->repo, db, &lacks->items[i], at, 1, &run, &next),
                              WEIR_OK);
            size_t used = 0;
            for (size_t pos = 0; pos < run.len; pos += used) {
                struct weir_bytes rest = weir_bytes (run.data + pos, run.len - pos);
                assert_int_equal (weir_run_length (rest, &used), WEIR_OK);
                (void) node_import (to, db, weir_bytes (rest.data, used), from);
            }
            at = next;
        }
    }
    weir_buf_fini (&run);
}

static size_t
entries_of (const struct weir_ranges *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++) {
        n += (size_t) (r->items[i].to_seq - r->items[i].from_seq);
    }
    return n;
}

/* One ladder that `x` begins; then what was found moves. */
static struct talk
ladder (struct node *x, struct node *y, const struct weir_id *db,
        const struct weir_repo_hint *hint_x, const struct weir_repo_hint *hint_y)
{
    struct talk talk = { .settled = true };
    struct node *nodes[2] = { x, y };
    const struct weir_repo_hint *hints[2] = { hint_x, hint_y };
    struct weir_ranges found[2] = { { 0 }, { 0 } };
    struct weir_buf told = { 0 };
    node_sync (x);
    node_sync (y);
    for (size_t turn = 0;; turn++) {
        size_t who = turn % 2;
        struct weir_repo_rung rung = { 0 };
        struct weir_repo_ladder ask = { .db = *db,
                                        .key = { { 5 } },
                                        .told = weir_buf_bytes (&told),
                                        .hints = hints[who],
                                        .n_hints = hints[who] != NULL };
        assert_int_equal (weir_repo_ladder (nodes[who]->repo, &ask, &rung), WEIR_OK);
        for (size_t i = 0; i < rung.lacks.count; i++) {
            weir_ranges_add (&found[who], &rung.lacks.items[i], &weir_id_zero);
        }
        weir_buf_clear (&told);
        weir_buf_put_bytes (&told, weir_buf_bytes (&rung.say));
        bool over = rung.say.len == 0 || (rung.say.data[0] == 3 && rung.say.len <= 2);
        talk.settled = talk.settled && (over || rung.say.data[0] == 1);
        weir_repo_rung_fini (&rung);
        if (over) {
            break;
        }
        talk.messages++;
        talk.bytes += told.len;
        assert_true (talk.messages <= WEIR_LADDER_ROUNDS_MAX);
    }
    for (size_t i = 0; i < 2; i++) {
        talk.sent[i] = entries_of (&found[i]);
        move (nodes[i], nodes[1 - i], db, &found[i]);
        weir_ranges_fini (&found[i]);
    }
    weir_buf_fini (&told);
    return talk;
}

static bool
equal (struct node *x, struct node *y, const struct weir_id *db)
{
    return weir_vector_equal (weir_repo_vector (x->repo, db), weir_repo_vector (y->repo, db));
}

/* Nodes that are members and hold the same. */
static struct weir_id
gather (struct node nodes[NODES])
{
    for (uint8_t i = 0; i < NODES; i++) {
        node_init (&nodes[i], (uint8_t) (i + 1));
    }
    struct weir_id db = node_create (&nodes[0], "notes");
    for (size_t i = 1; i < NODES; i++) {
        (void) node_grant (&nodes[0], &db, &nodes[i], WEIR_RIGHT_WRITE);
        assert_int_equal (weir_repo_expect (nodes[i].repo, &db), WEIR_OK);
    }
    for (size_t i = 1; i < NODES; i++) {
        struct talk talk = ladder (&nodes[i], &nodes[0], &db, NULL, NULL);
        assert_true (talk.settled && talk.messages == 2); /* who has nothing lacks all */
        assert_true (equal (&nodes[0], &nodes[i], &db));
    }
    return db;
}

static void
disperse (struct node nodes[NODES])
{
    for (size_t i = 0; i < NODES; i++) {
        node_fini (&nodes[i]);
    }
}

/* Lanes by restarts that lost their tips would be slow: many small chains come from many
 * authors. */
static void
mix (struct node nodes[NODES], const struct weir_id *db, struct weir_rand *rand, size_t steps)
{
    char path[32];
    for (size_t i = 0; i < steps; i++) {
        struct node *n = &nodes[weir_rand_below (rand, NODES)];
        snprintf (path, sizeof path, "/m/k%u", (unsigned) weir_rand_below (rand, 9));
        (void) node_set (n, db, path, "x");
        if (weir_rand_below (rand, 3) == 0) {
            node_pull (&nodes[weir_rand_below (rand, NODES)], n, db);
        }
        if (weir_rand_below (rand, 4) == 0) {
            node_sync (n);
        }
    }
}

static void
level (struct node nodes[NODES], const struct weir_id *db)
{
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 1; i < NODES; i++) {
            node_exchange (&nodes[0], &nodes[i], db);
        }
    }
}

static void
test_one_ahead (void **state)
{
    struct node nodes[NODES];
    struct weir_rand rand;
    (void) state;
    weir_rand_init (&rand, 1);
    struct weir_id db = gather (nodes);
    mix (nodes, &db, &rand, 60);
    level (nodes, &db);
    assert_true (equal (&nodes[0], &nodes[1], &db));
    for (unsigned way = 0; way < 2; way++) {
        (void) node_set (&nodes[0], &db, "/m/one", "more");
        struct talk talk = ladder (&nodes[way], &nodes[1 - way], &db, NULL, NULL);
        assert_true (talk.settled);
        assert_int_equal (talk.messages, 2);
        assert_int_equal (talk.sent[way], 1);
        assert_int_equal (talk.sent[1 - way], 0);
        assert_true (talk.bytes < 300);
        assert_true (equal (&nodes[0], &nodes[1], &db));
    }
    disperse (nodes);
}

/* Their digest is one that both had: what they lack is known, and nothing is said. A digest that
 * is not remembered, or a hint that is not true, is asked about. */
static void
test_unasked (void **state)
{
    struct node nodes[NODES];
    struct weir_rand rand;
    (void) state;
    weir_rand_init (&rand, 4);
    struct weir_id db = gather (nodes);
    mix (nodes, &db, &rand, 60);
    for (unsigned wrong = 0; wrong < 3; wrong++) {
        level (nodes, &db);
        struct weir_repo_hint hint = hint_of (&nodes[0], &db);
        struct weir_repo_ladder ask = {
            .db = db, .key = { { 5 } }, .theirs = hint.digest, .hints = &hint, .n_hints = 1
        };
        struct weir_repo_rung rung = { 0 };
        (void) node_set (&nodes[0], &db, "/m/one", "more");
        (void) node_set (&nodes[0], &db, "/m/two", "more");
        node_sync (&nodes[0]);
        hint.position -= wrong == 1 ? 1 : 0;
        ask.theirs.b[0] ^= wrong == 2 ? 1 : 0;
        assert_int_equal (weir_repo_ladder (nodes[0].repo, &ask, &rung), WEIR_OK);
        assert_int_equal (rung.settled, wrong == 0);
        assert_int_equal (rung.answer, wrong != 0);
        assert_int_equal (rung.say.len == 0, wrong == 0);
        assert_int_equal (entries_of (&rung.lacks), wrong == 0 ? 2 : 0);
        if (wrong == 0) {
            move (&nodes[0], &nodes[1], &db, &rung.lacks);
            assert_true (equal (&nodes[0], &nodes[1], &db));
        }
        weir_repo_rung_fini (&rung);
    }
    disperse (nodes);
}

/* Both wrote: heads do not say it, the hint does; without a hint, ranges. */
static void
test_both_wrote (void **state)
{
    struct node nodes[NODES];
    struct weir_rand rand;
    (void) state;
    weir_rand_init (&rand, 2);
    struct weir_id db = gather (nodes);
    mix (nodes, &db, &rand, 40);
    for (unsigned hinted = 0; hinted < 4; hinted++) {
        level (nodes, &db);
        assert_true (equal (&nodes[0], &nodes[1], &db));
        struct weir_repo_hint hints[2] = { hint_of (&nodes[0], &db), hint_of (&nodes[1], &db) };
        (void) node_set (&nodes[0], &db, "/m/a", "here");
        (void) node_set (&nodes[1], &db, "/m/a", "there");
        (void) node_set (&nodes[1], &db, "/m/b", "there");
        hints[1].position -= hinted == 2 ? 1 : 0; /* wrong: checked, and not believed */
        hints[0].digest.b[0] ^= hinted == 3 ? 1 : 0;
        struct talk talk =
            ladder (&nodes[0], &nodes[1], &db, hinted > 0 ? &hints[0] : NULL, &hints[1]);
        assert_int_equal (talk.settled, hinted == 1);
        assert_true (hinted != 1 || talk.messages == 2);
        assert_int_equal (talk.sent[0], 1);
        assert_int_equal (talk.sent[1], 2);
        assert_true (equal (&nodes[0], &nodes[1], &db));
    }
    disperse (nodes);
}

static void
test_random (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct node nodes[NODES];
        struct weir_rand rand;
        weir_rand_init (&rand, seed);
        struct weir_id db = gather (nodes);
        struct weir_repo_hint hints[2] = { { .position = 0 } };
        bool hinted = false;
        for (unsigned round = 0; round < 6; round++) {
            mix (nodes, &db, &rand, 1 + weir_rand_below (&rand, 12));
            if (weir_rand_below (&rand, 4) == 0) {
                struct node *n = &nodes[weir_rand_below (&rand, NODES)];
                node_sync (n); /* a node that goes back forks its lane */
                struct weir_kv *backup = weir_kv_memory_copy (n->kv);
                (void) node_set (n, &db, "/m/lost", "and found");
                node_pull (&nodes[weir_rand_below (&rand, NODES)], n, &db);
                node_sync (n);
                weir_repo_close (&n->repo);
                weir_kv_close (&n->kv);
                n->kv = backup;
                weir_tips_destroy (&n->tips);
                n->tips = weir_tips_memory_new ();
                node_start (n);
                (void) node_set (n, &db, "/m/lost", "again");
            }
            struct weir_id digests[2];
            bool both = weir_rand_below (&rand, 2) == 0;
            struct talk talk = ladder (&nodes[0], &nodes[1], &db, hinted ? &hints[0] : NULL,
                                       hinted && both ? &hints[1] : NULL);
            for (size_t i = 0; i < 2; i++) {
                digests[i] = weir_vector_digest (weir_repo_vector (nodes[i].repo, &db));
            }
            if (!weir_id_equal (&digests[0], &digests[1])) {
                fail_msg ("seed %llu round %u: not equal after %zu messages",
                          (unsigned long long) seed, round, talk.messages);
            }
            hints[0] = hint_of (&nodes[0], &db);
            hints[1] = hint_of (&nodes[1], &db);
            hinted = true;
        }
        disperse (nodes);
    }
}

/* Of every earlier position the vector as it was. */
static void
test_vector_at (void **state)
{
    enum { STEPS = 40 };
    struct node nodes[NODES];
    struct weir_rand rand;
    struct weir_repo_hint was[STEPS];
    struct weir_vector v = { 0 };
    (void) state;
    weir_rand_init (&rand, 4);
    struct weir_id db = gather (nodes);
    for (size_t i = 0; i < STEPS; i++) {
        mix (nodes, &db, &rand, 3);
        was[i] = hint_of (&nodes[0], &db);
    }
    for (size_t i = 0; i < STEPS; i++) {
        assert_int_equal (weir_repo_vector_at (nodes[0].repo, &db, was[i].position, 10000, &v),
                          WEIR_OK);
        struct weir_id digest = weir_vector_digest (&v);
        assert_true (weir_id_equal (&digest, &was[i].digest));
    }
    assert_int_equal (weir_repo_vector_at (nodes[0].repo, &db, was[0].position, 2, &v), WEIR_LIMIT);
    assert_int_equal (weir_repo_vector_at (nodes[0].repo, &weir_id_zero, 0, 2, &v), WEIR_NOT_FOUND);
    weir_vector_fini (&v);
    disperse (nodes);
}

static void
test_beyond_bounds (void **state)
{
    struct node nodes[NODES];
    struct weir_ranges beyond = { 0 };
    (void) state;
    struct weir_id db = gather (nodes);
    struct weir_id first = node_set (&nodes[0], &db, "/m/a", "0");
    for (unsigned i = 0; i < 10; i++) {
        (void) node_set (&nodes[0], &db, "/m/a", "1");
        node_sync (&nodes[0]);
    }
    assert_int_equal (weir_repo_beyond (nodes[0].repo, &db, &first, 1, 4, &beyond), WEIR_LIMIT);
    assert_int_equal (weir_repo_beyond (nodes[0].repo, &db, &db, 1, 100, &beyond), WEIR_OK);
    weir_ranges_clear (&beyond);
    assert_int_equal (weir_repo_beyond (nodes[0].repo, &db, &first, 1, 100, &beyond), WEIR_OK);
    assert_int_equal (beyond.count, 1); /* neighbours are one */
    assert_int_equal (entries_of (&beyond), 10);
    first.b[0] ^= 1;
    assert_int_equal (weir_repo_beyond (nodes[0].repo, &db, &first, 1, 100, &beyond),
                      WEIR_NOT_FOUND);
    weir_ranges_fini (&beyond);
    disperse (nodes);
}

static void
test_nonsense (void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        { "\x02", 1 },
        { "\x01", 1 },
        { "\x03", 1 },
        { "\x03\x07", 2 },
        { "\x01\x09", 2 },
        { "\x01\x00 01234567890123456789012345678901\x01\xff\x01", 37 },
        { "\x01\x02"
          "01234567890123456789012345678901\x01\x00"
          "01234567890123456789012345678901\xff\xff\x03",
          71 },
    };
    struct node nodes[NODES];
    (void) state;
    struct weir_id db = gather (nodes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_repo_rung rung = { 0 };
        struct weir_repo_ladder ask = { .db = db,
                                        .told = weir_bytes (cases[i].bytes, cases[i].len) };
        if (weir_repo_ladder (nodes[0].repo, &ask, &rung) != WEIR_BAD_MESSAGE) {
            fail_msg ("case %zu was taken", i);
        }
        weir_repo_rung_fini (&rung);
    }
    disperse (nodes);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_one_ahead),  cmocka_unit_test (test_unasked),
        cmocka_unit_test (test_both_wrote), cmocka_unit_test (test_random),
        cmocka_unit_test (test_vector_at),  cmocka_unit_test (test_beyond_bounds),
        cmocka_unit_test (test_nonsense),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
