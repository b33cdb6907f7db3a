/* Goal: a cursor stays at its element while others type, move and delete around it; when the
 * element goes, it says where that was, and what to keep instead; ends stay ends; its bytes read
 * back, and no other bytes do. */

#include "tests/store/replica/replica_fixture.h"

#include "store/crdt/types.h"

struct pad {
    struct lab lab;
    struct weir_replica *r;
    struct weir_replica *other;
};

static void
pad_init (struct pad *p)
{
    lab_init (&p->lab);
    p->r = lab_replica (&p->lab, 0);
    p->other = lab_replica (&p->lab, 1);
}

static void
pad_fini (struct pad *p)
{
    weir_replica_destroy (&p->r);
    weir_replica_destroy (&p->other);
    lab_fini (&p->lab);
}

static struct weir_container *
root (struct weir_replica *r, const char *name, const struct weir_container_type *type)
{
    struct weir_container *c = NULL;
    lab_ok (weir_change_root (lab_change (r), name, type, &c, &e));
    return c;
}

static void
assert_at (struct weir_replica *r, const struct weir_cursor *cursor, uint32_t wanted, bool gone)
{
    struct weir_cursor update;
    uint32_t at = 999;
    bool moved = !gone;
    lab_ok (weir_replica_cursor_at (r, cursor, &at, &moved, &update, &e));
    assert_int_equal (at, wanted);
    assert_int_equal (moved, gone);
    lab_ok (weir_replica_cursor_at (r, cursor, &at, NULL, NULL, &e));
    if (moved) {
        lab_ok (weir_replica_cursor_at (r, &update, &at, &moved, NULL, &e));
        assert_int_equal (at, wanted);
        assert_false (moved);
    }
}

static struct weir_cursor
cursor_at (struct weir_replica *r, struct weir_container *c, uint32_t at, int8_t side)
{
    struct weir_cursor cursor;
    lab_ok (weir_replica_cursor (r, c, at, side, &cursor, &e));
    return cursor;
}

static void
test_text (void **state)
{
    struct pad p;
    struct weir_value yes = { .type = WEIR_VALUE_TRUE };
    pad_init (&p);
    struct weir_container *t = root (p.r, "t", &weir_container_text);
    struct weir_cursor start = cursor_at (p.r, t, 0, 0); /* of an empty text */
    assert_int_equal (start.side, -1);
    lab_type (p.r, 0, "h\xc3\xa9llo");
    lab_ok (weir_change_text_mark (lab_change (p.r), t, 1, 3, fixture_text ("b"), &yes,
                                   WEIR_EXPAND_AFTER, &e));
    struct weir_cursor end = cursor_at (p.r, t, 5, 0);
    struct weir_cursor before = cursor_at (p.r, t, 2, -1);
    struct weir_cursor on = cursor_at (p.r, t, 2, 0);
    struct weir_cursor after = cursor_at (p.r, t, 2, 1);
    assert_at (p.r, &start, 0, false);
    assert_at (p.r, &end, 5, false);
    assert_at (p.r, &before, 2, false);
    assert_at (p.r, &on, 2, false);
    assert_at (p.r, &after, 3, false);
    lab_type (p.r, 0, "123");
    lab_sync (p.r, p.other);
    lab_type (p.other, 1, "xx");
    (void) lab_commit (p.other, "", 0);
    lab_type (p.r, 6, "y"); /* behind the element */
    (void) lab_commit (p.r, "", 0);
    lab_sync (p.other, p.r);
    assert_at (p.r, &start, 0, false);
    assert_at (p.r, &before, 7, false);
    assert_at (p.r, &after, 8, false);
    assert_at (p.r, &end, 11, false);
    t = root (p.r, "t", &weir_container_text);
    lab_ok (weir_change_text_delete (lab_change (p.r), t, 5, 4, &e));
    assert_at (p.r, &before, 5, true);
    assert_at (p.r, &after, 5, true);
    lab_ok (weir_change_text_delete (lab_change (p.r), t, 0, 7, &e));
    assert_at (p.r, &on, 0, true);
    assert_at (p.r, &end, 0, false);
    pad_fini (&p);
    (void) state;
}

static void
test_lists (void **state)
{
    struct pad p;
    struct weir_value v[3] = { { .type = WEIR_VALUE_TRUE },
                               { .type = WEIR_VALUE_NULL },
                               { .type = WEIR_VALUE_FALSE } };
    pad_init (&p);
    struct weir_container *l = root (p.r, "l", &weir_container_list);
    struct weir_container *m = root (p.r, "v", &weir_container_movable);
    lab_ok (weir_change_list_insert (lab_change (p.r), l, 0, v, 3, NULL, &e));
    lab_ok (weir_change_list_insert (lab_change (p.r), m, 0, v, 3, NULL, &e));
    struct weir_cursor in_l = cursor_at (p.r, l, 1, 0);
    struct weir_cursor in_m = cursor_at (p.r, m, 0, 0);
    lab_ok (weir_change_list_delete (lab_change (p.r), l, 0, 1, &e));
    lab_ok (weir_change_list_move (lab_change (p.r), m, 0, 2, &e)); /* it goes along */
    assert_at (p.r, &in_l, 0, false);
    assert_at (p.r, &in_m, 2, false);
    lab_ok (weir_change_list_delete (lab_change (p.r), m, 2, 1, &e));
    struct weir_cursor update;
    uint32_t at;
    bool moved = false;
    lab_ok (weir_replica_cursor_at (p.r, &in_m, &at, &moved, &update, &e));
    assert_true (moved);
    assert_true (at <= 2);
    pad_fini (&p);
    (void) state;
}

static void
test_unknown (void **state)
{
    struct pad p;
    struct weir_cursor cursor;
    struct weir_error e = { 0 };
    uint32_t at;
    pad_init (&p);
    lab_type (p.r, 0, "abc");
    struct weir_container *t = root (p.r, "t", &weir_container_text);
    assert_int_equal (weir_replica_cursor (p.r, t, 4, 0, &cursor, &e), WEIR_OUT_OF_RANGE);
    assert_int_equal (weir_replica_cursor (p.r, t, 0, 2, &cursor, &e), WEIR_INVALID_ARGUMENT);
    assert_int_equal (
        weir_replica_cursor (p.r, root (p.r, "m", &weir_container_map), 0, 0, &cursor, &e),
        WEIR_INVALID_ARGUMENT);
    cursor = cursor_at (p.r, t, 1, 0);
    assert_int_equal (weir_replica_cursor_at (p.other, &cursor, &at, NULL, NULL, &e),
                      WEIR_NOT_FOUND); /* the container */
    lab_type (p.other, 0, "x");
    assert_int_equal (weir_replica_cursor_at (p.other, &cursor, &at, NULL, NULL, &e),
                      WEIR_NOT_FOUND); /* the element */
    pad_fini (&p);
    (void) state;
}

/* A child's cursor finds it by its id; so does one of a shallow replica, of what it knows. */
static void
test_shallow (void **state)
{
    struct pad p;
    struct weir_heads heads = { 0 };
    struct weir_cursor cursor;
    uint32_t at;
    struct weir_error error = { 0 };
    pad_init (&p);
    lab_type (p.r, 0, "abc");
    struct weir_cursor old = cursor_at (p.r, root (p.r, "t", &weir_container_text), 1, 0);
    weir_replica_log_heads (p.r, &heads);
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW, .root = &heads };
    struct weir_buf blob = { 0 };
    lab_ok (weir_replica_export (p.r, &what, &blob, &e));
    lab_import (p.other, &blob);
    struct weir_container *t = root (p.other, "t", &weir_container_text);
    assert_int_equal (weir_replica_cursor (p.other, t, 1, 0, &cursor, &error), WEIR_STALE_ROOT);
    assert_int_equal (weir_replica_cursor_at (p.other, &old, &at, NULL, NULL, &error),
                      WEIR_STALE_ROOT);
    lab_type (p.other, 1, "x");
    cursor = cursor_at (p.other, t, 1, 1);
    lab_type (p.other, 0, "y");
    assert_at (p.other, &cursor, 3, false);
    weir_buf_fini (&blob);
    weir_heads_fini (&heads);
    pad_fini (&p);
    (void) state;
}

static void
test_bytes (void **state)
{
    struct pad p;
    pad_init (&p);
    lab_type (p.r, 0, "abc");
    struct weir_container *t = root (p.r, "t", &weir_container_text);
    struct weir_cursor cursors[] = { cursor_at (p.r, t, 1, 1), cursor_at (p.r, t, 3, 0) };
    for (size_t i = 0; i < 2; i++) {
        struct weir_buf bytes = { 0 };
        struct weir_buf again = { 0 };
        struct weir_cursor read;
        weir_cursor_put (&bytes, &cursors[i]);
        assert_true (bytes.len <= 70);
        assert_int_equal (weir_cursor_read (weir_buf_bytes (&bytes), &read), WEIR_OK);
        weir_cursor_put (&again, &read);
        assert_true (weir_bytes_equal (weir_buf_bytes (&bytes), weir_buf_bytes (&again)));
        assert_at (p.r, &read, i == 0 ? 2 : 3, false);
        for (size_t cut = 0; cut < bytes.len; cut++) {
            enum weir_status status = weir_cursor_read (weir_bytes (bytes.data, cut), &read);
            assert_int_equal (status, cut == 34 ? WEIR_OK : WEIR_INVALID_ARGUMENT);
        }
        weir_buf_put_u8 (&bytes, 0);
        assert_int_equal (weir_cursor_read (weir_buf_bytes (&bytes), &read), WEIR_INVALID_ARGUMENT);
        bytes.data[33] = 3; /* no side */
        assert_int_equal (weir_cursor_read (weir_buf_bytes (&bytes), &read), WEIR_INVALID_ARGUMENT);
        bytes.data[0] = 2;
        assert_int_equal (weir_cursor_read (weir_buf_bytes (&bytes), &read), WEIR_NEEDS_UPGRADE);
        weir_buf_fini (&bytes);
        weir_buf_fini (&again);
    }
    pad_fini (&p);
    (void) state;
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_text),    cmocka_unit_test (test_lists),
        cmocka_unit_test (test_unknown), cmocka_unit_test (test_shallow),
        cmocka_unit_test (test_bytes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
