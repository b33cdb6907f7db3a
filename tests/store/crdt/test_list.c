/* Goal: lists of values and of unique children: verbs, paths, ids that are there before the entry
 * has one, concurrent insertions, notices; and what is wrong is said before anything is changed. */

#include "tests/store/crdt/seq_fixture.h"

static struct weir_container *
list_of (struct peer *p)
{
    return weir_container_child (weir_doc_top (p->doc), weir_bytes_str ("l"), &weir_container_list,
                                 true);
}

static void
insert (struct peer *p, uint32_t at, int64_t first, uint32_t count)
{
    struct weir_error e = { 0 };
    struct weir_container *l = peer_root (p, "l", &weir_container_list);
    struct weir_value values[64] = { { .type = WEIR_VALUE_NULL } };
    assert_true (count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        values[i].type = WEIR_VALUE_INT;
        values[i].number.i = first + i;
    }
    assert_ok (weir_change_list_insert (peer_change (p), l, at, values, count, NULL, &e), &e);
}

static void
erase (struct peer *p, uint32_t at, uint32_t count)
{
    struct weir_error e = { 0 };
    struct weir_container *l = peer_root (p, "l", &weir_container_list);
    assert_ok (weir_change_list_delete (peer_change (p), l, at, count, &e), &e);
}

static void
test_values (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_error e = { 0 };
    struct peer p;
    struct weir_value values[] = {
        { .type = WEIR_VALUE_NULL },
        { .type = WEIR_VALUE_TRUE },
        { .type = WEIR_VALUE_INT, .number.i = -7 },
        { .type = WEIR_VALUE_DOUBLE, .number.d = 0.5 },
        { .type = WEIR_VALUE_TEXT, .bytes = weir_bytes_str ("text") },
        { .type = WEIR_VALUE_BYTES, .bytes = weir_bytes ("\x00\x01", 2) },
    };
    peer_begin (&p, &h, 1);
    struct weir_container *l = peer_root (&p, "l", &weir_container_list);
    assert_ok (weir_change_list_insert (p.change, l, 0, values, 6, NULL, &e), &e);
    assert_int_equal (weir_change_atoms (p.change), 6);
    const char *wanted = "[null,true,-7,0.5,\"text\",{\"$bytes\":\"aaaq\"}]";
    assert_value (p.doc, "/l", wanted);
    (void) peer_commit (&p);
    peer_reload (&p);
    assert_value (p.doc, "/l", wanted);
    assert_value (p.doc, "/l/2", "-7");
    json_t *json = NULL;
    static const char *const nothing[] = { "/l/6", "/l/-1", "/l/02",         "/l/x",
                                           "/l/",  "/l/2x", "/l/4294967296", "/l/2/3" };
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        assert_int_equal (weir_doc_get (p.doc, nothing[i], &json, &e), WEIR_NOT_FOUND);
    }
    assert_only_states_load (p.doc);
    peer_end (&p);
    history_end (&h);
}

/* Unique children: given at once, with other ids when the entry is made, found through the list. */
static void
test_children (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_error e = { 0 };
    struct peer a;
    struct peer b;
    struct weir_container *children[3] = { NULL };
    struct weir_value values[] = {
        { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_MAP },
        { .type = WEIR_VALUE_FALSE },
        { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_TEXT },
    };
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    struct weir_container *l = peer_root (&a, "l", &weir_container_list);
    assert_ok (weir_change_list_insert (a.change, l, 0, values, 3, children, &e), &e);
    assert_non_null (children[0]);
    assert_null (children[1]);
    assert_ok (weir_change_map_set (a.change, children[0], weir_bytes_str ("k"), &values[1], &e),
               &e);
    assert_ok (weir_change_text_insert (a.change, children[2], 0, weir_bytes_str ("hi"), &e), &e);
    const char *wanted = "[{\"k\":false},false,\"hi\"]";
    assert_value (a.doc, "/l", wanted);
    assert_value (a.doc, "/l/0/k", "false");
    uint32_t number = peer_commit (&a);
    assert_value (a.doc, "/l", wanted);
    struct weir_op_id made = { .entry = h.entries[number]->head.id, .offset = 2 };
    struct weir_id id = weir_container_unique_id (&made, WEIR_CONTAINER_TEXT);
    assert_true (weir_id_equal (&children[2]->id, &id));
    peer_sync (&a, &b);
    assert_value (b.doc, "/l", wanted);
    assert_same_state (a.doc, b.doc);
    /* Both write into one child; one of them after a reload. */
    peer_reload (&b);
    struct weir_item item;
    assert_true (weir_list_item (list_of (&b), 2, &item));
    assert_ok (weir_change_text_insert (peer_change (&b), item.child, 2, weir_bytes_str ("!"), &e),
               &e);
    assert_ok (
        weir_change_text_insert (peer_change (&a), children[2], 0, weir_bytes_str ("oh "), &e), &e);
    peer_sync (&a, &b);
    peer_sync (&b, &a);
    assert_value (a.doc, "/l/2", "\"oh hi!\"");
    assert_same_state (a.doc, b.doc);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

static void
test_concurrent (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct peer a;
    struct peer b;
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    insert (&a, 0, 0, 4);
    peer_sync (&a, &b);
    insert (&a, 2, 10, 3);
    erase (&a, 0, 1);
    insert (&b, 2, 20, 3);
    erase (&b, 0, 2);
    peer_sync (&a, &b);
    peer_sync (&b, &a);
    assert_value (a.doc, "/l", "[10,11,12,20,21,22,2,3]");
    assert_value (b.doc, "/l", "[10,11,12,20,21,22,2,3]");
    assert_same_state (a.doc, b.doc);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

static void
test_refusals (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_error e = { 0 };
    struct peer p;
    struct weir_value one = { .type = WEIR_VALUE_TRUE };
    struct weir_value deleted = { .type = WEIR_VALUE_DELETED };
    struct weir_value by_path = { .type = WEIR_VALUE_CONTAINER, .container = WEIR_CONTAINER_MAP };
    struct weir_value unknown = { .type = WEIR_VALUE_UNIQUE, .container = 99 };
    struct weir_value bad = { .type = WEIR_VALUE_TEXT, .bytes = weir_bytes ("\xff", 1) };
    struct weir_op deletion = { .code = WEIR_LIST_DELETE, .at = 1, .count = 3, .atoms = 3 };
    struct weir_op insertion = { .code = WEIR_LIST_INSERT, .at = 4, .count = 1, .atoms = 1 };
    insertion.bytes = weir_bytes ("\x02", 1);
    peer_begin (&p, &h, 1);
    insert (&p, 0, 0, 3);
    struct weir_container *l = list_of (&p);
    struct weir_change *c = p.change;
    assert_int_equal (weir_change_list_insert (c, l, 4, &one, 1, NULL, &e), WEIR_OUT_OF_RANGE);
    assert_int_equal (weir_change_list_delete (c, l, 1, 3, &e), WEIR_OUT_OF_RANGE);
    assert_int_equal (weir_change_list_insert (c, l, 0, &deleted, 1, NULL, &e),
                      WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_change_list_insert (c, l, 0, &by_path, 1, NULL, &e),
                      WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_change_list_insert (c, l, 0, &unknown, 1, NULL, &e),
                      WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_change_list_insert (c, l, 0, &bad, 1, NULL, &e), WEIR_INVALID_ARGUMENT);
    assert_ok (weir_change_list_insert (c, l, 0, &one, 0, NULL, &e), &e);
    assert_ok (weir_change_list_delete (c, l, 3, 0, &e), &e);
    assert_int_equal (weir_change_atoms (c), 3);
    (void) peer_commit (&p);
    assert_int_equal (peer_forge (&p, "l", &weir_container_list, &deletion, 1), WEIR_OUT_OF_RANGE);
    assert_int_equal (peer_forge (&p, "l", &weir_container_list, &insertion, 1), WEIR_OUT_OF_RANGE);
    assert_int_equal (peer_forge (&p, "other", &weir_container_list, &insertion, 1),
                      WEIR_OUT_OF_RANGE);
    assert_value (p.doc, "", "{\"l\":[0,1,2]}");
    peer_end (&p);
    history_end (&h);
}

static void
test_bad_payloads (void **state)
{
    (void) state;
    /* Behind codec, message, ids, one row and no text: ops. */
    static const struct {
        const char *bytes;
        size_t len;
        enum weir_status status;
    } bad[] = {
        { "\x00\x00\x02\x00\x02", 5, WEIR_OK },              /* null, true at 0 */
        { "\x00\x00\x01\x09\x01", 5, WEIR_OK },              /* a unique map */
        { "\x00\x00\x00", 3, WEIR_BAD_PAYLOAD },             /* nothing */
        { "\x00\x00\x02\x00", 4, WEIR_BAD_PAYLOAD },         /* cut short */
        { "\x00\x00\x01\x08", 4, WEIR_BAD_PAYLOAD },         /* deleted */
        { "\x00\x00\x01\x07\x01", 5, WEIR_BAD_PAYLOAD },     /* by path */
        { "\x00\x00\x01\x09\x63", 5, WEIR_NEEDS_UPGRADE },   /* a type to come */
        { "\x00\x00\x01\x40", 4, WEIR_NEEDS_UPGRADE },       /* a value to come */
        { "\x00\x00\x01\x05\x01\xff", 6, WEIR_BAD_PAYLOAD }, /* no UTF-8 */
        { "\x00\x01\x01\x00", 4, WEIR_BAD_PAYLOAD },         /* at -1 */
        { "\x01\x00\x00", 3, WEIR_BAD_PAYLOAD },             /* deletes nothing */
        { "\x02\x00\x01", 3, WEIR_NEEDS_UPGRADE },           /* an op to come */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct weir_payload p = { 0 };
        struct weir_buf payload = { 0 };
        struct weir_payload_row row = { .kind = WEIR_ROW_ROOT,
                                        .type = &weir_container_list,
                                        .key = weir_bytes_str ("l") };
        weir_payload_begin (&payload, weir_bytes (NULL, 0), NULL, 0, 1);
        weir_payload_put_row (&payload, &row);
        weir_buf_put_blob (&payload, weir_bytes (NULL, 0));
        weir_buf_put (&payload, bad[i].bytes, bad[i].len);
        enum weir_status status = weir_payload_decode (&p, weir_buf_bytes (&payload));
        if (status != bad[i].status) {
            fail_msg ("%zu: %s", i, weir_status_code (status));
        }
        weir_payload_fini (&p);
        weir_buf_fini (&payload);
    }
}

static void
test_describe (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_error e = { 0 };
    struct weir_value child = { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_TEXT };
    struct peer p;
    json_t *json = NULL;
    peer_begin (&p, &h, 1);
    insert (&p, 0, 5, 2);
    struct weir_container *l = list_of (&p);
    assert_ok (weir_change_list_insert (p.change, l, 0, &child, 1, NULL, &e), &e);
    erase (&p, 1, 2);
    uint32_t number = peer_commit (&p);
    assert_ok (weir_doc_payload_json (weir_buf_bytes (&h.entries[number]->payload), &json), NULL);
    assert_json (json_incref (json_object_get (json, "ops")),
                 "[{\"at\":0,\"op\":\"insert\",\"path\":\"/l\",\"values\":[5,6]},{\"at\":0,\"op\":"
                 "\"insert\",\"path\":\"/l\",\"values\":[{\"type\":\"text\"}]},{\"at\":1,\"count\":"
                 "2,\"op\":\"delete\",\"path\":\"/l\"}]");
    json_decref (json);
    peer_end (&p);
    history_end (&h);
}

/* What an echo hears. */
struct echo {
    json_t *list;
};

static void
hear (void *context, const struct weir_notice *n)
{
    struct echo *echo = context;
    assert_int_equal (n->kind, WEIR_NOTICE_SPLICE);
    for (uint32_t i = 0; i < n->removed; i++) {
        assert_int_equal (json_array_remove (echo->list, n->at), 0);
    }
    for (uint32_t i = 0; i < n->inserted; i++) {
        struct weir_item item;
        assert_true (weir_list_item (n->container, n->at + i, &item));
        json_array_insert_new (echo->list, n->at + i, weir_doc_item_json (&item));
    }
}

static void
test_notices_and_waste (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct peer a;
    struct peer b;
    struct echo echo = { .list = json_array () };
    struct weir_rand rand;
    weir_rand_init (&rand, 5);
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    weir_doc_listen (a.doc, hear, &echo);
    insert (&a, 0, 0, 10);
    for (int64_t i = 0; i < 300; i++) {
        struct peer *p = weir_rand_below (&rand, 2) == 0 ? &a : &b;
        uint32_t length = weir_seq_length (weir_container_seq (list_of (p)));
        if (weir_rand_below (&rand, 6) == 0) {
            peer_sync (&a, &b);
            peer_sync (&b, &a);
        } else if (length > 300) {
            erase (p, (uint32_t) weir_rand_below (&rand, length - 250), 250);
        } else {
            insert (p, (uint32_t) weir_rand_below (&rand, length + 1), 100 * i, 64);
        }
    }
    peer_sync (&a, &b);
    peer_sync (&b, &a);
    struct weir_error e = { 0 };
    json_t *now = NULL;
    assert_ok (weir_doc_get (a.doc, "/l", &now, &e), &e);
    assert_true (json_equal (now, echo.list));
    /* What was deleted is let go when the document goes cold, and nothing else. */
    size_t before = weir_doc_memory_bytes (a.doc);
    weir_doc_cool (a.doc);
    assert_true (weir_doc_memory_bytes (a.doc) < before / 2);
    assert_same_state (a.doc, b.doc);
    insert (&a, 1, 7, 3);
    erase (&b, 0, 5);
    peer_sync (&a, &b);
    peer_sync (&b, &a);
    assert_same_state (a.doc, b.doc);
    json_decref (now);
    json_decref (echo.list);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_values),
        cmocka_unit_test (test_children),
        cmocka_unit_test (test_concurrent),
        cmocka_unit_test (test_refusals),
        cmocka_unit_test (test_bad_payloads),
        cmocka_unit_test (test_describe),
        cmocka_unit_test (test_notices_and_waste),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
