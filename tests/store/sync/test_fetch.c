/* Goal: pieces are spread over all that may have them, within windows that follow how fast each
 * answers; what is lacking, late, or wrong is asked of others; nothing is lost when a session goes.
 * A random run ends with every piece fetched, though sources lie, stall and come and go. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/base/limits.h"
#include "store/base/rand.h"
#include "store/sync/fetch.h"

static struct weir_id
name (uint8_t kind, uint32_t number)
{
    struct weir_id id = { .b = { kind } };
    weir_store_u32 (id.b + 1, number);
    return id;
}

static struct weir_piece
chunk (uint32_t index)
{
    return (struct weir_piece){
        .id = name (9, index), .blob = name (8, 0), .index = index, .bytes = WEIR_CHUNK_BYTES
    };
}

static void
test_spread_and_windows (void **state)
{
    struct weir_fetch *f = weir_fetch_new ();
    struct weir_id db = name (1, 0);
    struct weir_id a = name (2, 1);
    struct weir_id b = name (2, 2);
    uint64_t session = 0;
    size_t asked[3] = { 0 };
    uint32_t i = 0;
    (void) state;
    struct weir_piece piece = chunk (0);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, 1, &session), WEIR_FETCH_FULL);
    weir_fetch_open (f, 1, &db, &a);
    weir_fetch_open (f, 2, &db, &b);
    weir_fetch_open (f, 2, &db, &b);
    for (; i < 100; i++) {
        piece = chunk (i);
        if (weir_fetch_offer (f, &db, &piece, 1, &session) != WEIR_FETCH_ASK) {
            break;
        }
        asked[session]++;
    }
    assert_int_equal (asked[1], WEIR_FETCH_BYTES_FIRST / WEIR_CHUNK_BYTES);
    assert_int_equal (asked[2], WEIR_FETCH_BYTES_FIRST / WEIR_CHUNK_BYTES);
    piece = chunk (0);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, 2, &session), WEIR_FETCH_WAIT);
    /* Fast answers make room for more, slow ones for less. */
    assert_true (weir_fetch_came (f, 1, &db, &piece.id, 10) || weir_fetch_asked (f) == i - 1);
    assert_false (weir_fetch_came (f, 1, &db, &piece.id, 10));
    assert_int_equal (weir_fetch_asked (f), i - 1);
    piece = chunk (200);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, 10, &session), WEIR_FETCH_ASK);
    weir_fetch_close (f, 1, &db);
    weir_fetch_close (f, 1, &db);
    struct weir_fetch_sources sources;
    weir_fetch_sources (f, &db, 10, &sources);
    assert_int_equal (sources.count, 1);
    weir_fetch_destroy (&f);
    weir_fetch_destroy (&f);
}

static void
test_lacking_late_and_wrong (void **state)
{
    struct weir_fetch *f = weir_fetch_new ();
    struct weir_id db = name (1, 0);
    struct weir_id a = name (2, 1);
    struct weir_id b = name (2, 2);
    struct weir_id blob = name (8, 0);
    struct weir_id device;
    uint64_t session = 0;
    uint64_t now = 100000;
    (void) state;
    weir_fetch_open (f, 1, &db, &a);
    struct weir_piece piece = chunk (0);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now, &session), WEIR_FETCH_ASK);
    /* It has only the second chunk. */
    weir_fetch_lacks (f, 1, &db, &blob, weir_bytes ("\x40", 1));
    assert_int_equal (weir_fetch_asked (f), 0);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now, &session), WEIR_FETCH_WAIT);
    struct weir_piece second = chunk (1);
    assert_int_equal (weir_fetch_offer (f, &db, &second, now, &session), WEIR_FETCH_ASK);
    weir_fetch_has_more (f, 1, &db);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now, &session), WEIR_FETCH_ASK);
    /* Slow: another is asked, too; late: given back. */
    weir_fetch_open (f, 2, &db, &b);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now + WEIR_FETCH_HEDGE_MS, &session),
                      WEIR_FETCH_ASK);
    assert_int_equal (session, 2);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now + 2 * WEIR_FETCH_HEDGE_MS, &session),
                      WEIR_FETCH_WAIT);
    now += WEIR_FETCH_LATE_MS + 1;
    assert_int_equal (weir_fetch_late (f, now), 2);
    assert_true (weir_fetch_came (f, 2, &db, &piece.id, now));
    assert_int_equal (weir_fetch_asked (f), 0);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now, &session), WEIR_FETCH_ASK);
    assert_int_equal (session, 2); /* the first rests */
    /* Wrong bytes: left alone, also on another session. */
    assert_true (weir_fetch_is_wrong (f, 2, now, &device));
    assert_true (weir_id_equal (&device, &b));
    assert_false (weir_fetch_is_wrong (f, 77, now, &device));
    weir_fetch_open (f, 3, &db, &b);
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now, &session), WEIR_FETCH_FULL);
    now += WEIR_FETCH_LATE_MS + 1;
    assert_int_equal (weir_fetch_offer (f, &db, &piece, now, &session), WEIR_FETCH_ASK);
    assert_int_equal (session, 1);
    struct weir_fetch_sources sources;
    weir_fetch_sources (f, &db, now, &sources);
    assert_int_equal (sources.count, 3);
    assert_int_equal (sources.banned, 2);
    assert_int_equal (sources.n_devices, 1);
    weir_fetch_destroy (&f);
}

#define PIECES 300u
#define SOURCES 5u

/* Some answer, some forget, one sends other bytes, sessions end: all pieces come in the end. */
static void
play (uint64_t seed)
{
    struct weir_rand r;
    struct weir_fetch *f = weir_fetch_new ();
    struct weir_id db = name (1, 0);
    bool here[PIECES] = { false };
    struct {
        uint32_t piece;
        uint64_t session;
        uint64_t due;
    } way[2 * PIECES];
    size_t n_way = 0;
    size_t left = PIECES;
    uint64_t now = 50000;
    weir_rand_init (&r, seed);
    for (uint32_t s = 1; s <= SOURCES; s++) {
        struct weir_id device = name (2, s);
        weir_fetch_open (f, s, &db, &device);
    }
    for (size_t step = 0; left > 0; step++) {
        assert_true (step < 100000);
        now += 1 + weir_rand_below (&r, 300);
        (void) weir_fetch_late (f, now);
        for (uint32_t i = 0; i < PIECES; i++) {
            uint64_t session = 0;
            struct weir_piece piece = chunk (i);
            enum weir_fetch_answer answer =
                here[i] ? WEIR_FETCH_WAIT : weir_fetch_offer (f, &db, &piece, now, &session);
            if (answer == WEIR_FETCH_FULL) {
                break;
            }
            if (answer == WEIR_FETCH_ASK && weir_rand_below (&r, 10) > 0 && n_way < 2 * PIECES) {
                way[n_way].piece = i;
                way[n_way].session = session;
                way[n_way++].due = now + weir_rand_below (&r, 2000);
            }
        }
        for (size_t k = n_way; k-- > 0;) {
            if (way[k].due > now) {
                continue;
            }
            struct weir_id piece = name (9, way[k].piece);
            struct weir_id device;
            if (way[k].session == SOURCES && !here[way[k].piece]) {
                (void) weir_fetch_is_wrong (f, way[k].session, now, &device);
            } else {
                (void) weir_fetch_came (f, way[k].session, &db, &piece, now);
                left -= !here[way[k].piece];
                here[way[k].piece] = true;
            }
            way[k] = way[--n_way];
        }
        if (weir_rand_below (&r, 20) == 0) {
            uint64_t s = 1 + weir_rand_below (&r, SOURCES - 1);
            struct weir_id device = name (2, (uint32_t) s);
            weir_fetch_close (f, s, &db);
            weir_fetch_open (f, s, &db, &device);
        }
    }
    weir_fetch_destroy (&f);
}

static void
test_random (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        play (seed);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_spread_and_windows),
        cmocka_unit_test (test_lacking_late_and_wrong),
        cmocka_unit_test (test_random),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
