/* Goal: in movable lists an element is at one place, whatever moves meet; a move beats a
 * concurrent deletion, and a deletion a concurrent value; elements end where they are moved to;
 * children, ids and notices are right through sealing, loading and merging; ops on what is not
 * there do the same everywhere. */

#include "tests/store/crdt/types_fixture.h"

static struct weir_value
number (int64_t i)
{
    return (struct weir_value){ .type = WEIR_VALUE_INT, .number.i = i };
}

static void
insert (struct types_replica *r, uint32_t at, int64_t first, uint32_t count)
{
    struct weir_error e = { 0 };
    struct weir_container *list = types_edit (r, &weir_container_movable);
    struct weir_value values[64];
    assert_in_range (count, 0, 64);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = number (first + i);
    }
    assert_status (weir_change_list_insert (r->change, list, at, values, count, NULL, &e), WEIR_OK,
                   &e);
}

static enum weir_status
move (struct types_replica *r, uint32_t from, uint32_t to)
{
    struct weir_error e = { 0 };
    struct weir_container *list = types_edit (r, &weir_container_movable);
    return weir_change_list_move (r->change, list, from, to, &e);
}

static enum weir_status
set (struct types_replica *r, uint32_t at, int64_t to)
{
    struct weir_error e = { 0 };
    struct weir_container *list = types_edit (r, &weir_container_movable);
    struct weir_value value = number (to);
    return weir_change_list_set (r->change, list, at, &value, NULL, &e);
}

static enum weir_status delete (struct types_replica *r, uint32_t at, uint32_t count) {
    struct weir_error e = { 0 };
    struct weir_container *list = types_edit (r, &weir_container_movable);
    return weir_change_list_delete (r->change, list, at, count, &e);
}

static const struct weir_container *
list_of (const struct types_replica *r)
{
    return weir_container_child (weir_doc_top (r->doc), weir_bytes_str ("movable"),
                                 &weir_container_movable, false);
}

/* Two replicas with the same 1, 2, 3. */
static void
begin (struct types_world *world, struct types_replica *x, struct types_replica *y)
{
    world->count = 0;
    types_begin (x, world, 1);
    types_begin (y, world, 2);
    insert (x, 0, 1, 3);
    types_commit (x);
    types_sync (x, y);
}

static void
end (struct types_world *world, struct types_replica *x, struct types_replica *y)
{
    types_sync (x, y);
    types_sync (y, x);
    assert_docs_equal (x->doc, y->doc);
    types_assert_strict (x->doc);
    types_end (x);
    types_end (y);
    types_world_end (world);
}

static void
meet (struct types_replica *x, struct types_replica *y)
{
    types_commit (x);
    types_commit (y);
    types_sync (x, y);
    types_sync (y, x);
}

static void
test_elements_end_where_they_are_moved (void **state)
{
    (void) state;
    static const struct {
        uint32_t from;
        uint32_t to;
        const char *list;
    } rows[] = {
        { 0, 4, "[2,3,4,5,1]" }, { 4, 0, "[5,1,2,3,4]" }, { 1, 2, "[1,3,2,4,5]" },
        { 2, 1, "[1,3,2,4,5]" }, { 3, 3, "[1,2,3,4,5]" }, { 0, 1, "[2,1,3,4,5]" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct types_world world = { .count = 0 };
        struct types_replica r;
        types_begin (&r, &world, 1);
        insert (&r, 0, 1, 5);
        assert_int_equal (move (&r, rows[i].from, rows[i].to), WEIR_OK);
        assert_doc (r.doc, "/movable", rows[i].list);
        assert_int_equal (weir_change_atoms (r.change), rows[i].from == rows[i].to ? 5 : 6);
        types_commit (&r);
        types_reload (&r);
        assert_doc (r.doc, "/movable", rows[i].list);
        types_assert_strict (r.doc);
        types_end (&r);
        types_world_end (&world);
    }
}

static void
test_bounds (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    struct weir_error e = { 0 };
    begin (&world, &x, &y);
    assert_int_equal (move (&x, 3, 0), WEIR_OUT_OF_RANGE);
    assert_int_equal (move (&x, 0, 3), WEIR_OUT_OF_RANGE);
    assert_int_equal (set (&x, 3, 0), WEIR_OUT_OF_RANGE);
    assert_int_equal (delete (&x, 2, 2), WEIR_OUT_OF_RANGE);
    assert_int_equal (delete (&x, 1, UINT32_MAX), WEIR_OUT_OF_RANGE);
    assert_int_equal (delete (&x, 3, 0), WEIR_OK);
    assert_int_equal (set (&x, 1, 2), WEIR_OK); /* it is */
    assert_int_equal (weir_change_atoms (x.change), 0);
    struct weir_container *list = types_edit (&x, &weir_container_movable);
    struct weir_container *plain = types_edit (&x, &weir_container_list);
    struct weir_value bad[] = {
        { .type = WEIR_VALUE_DELETED },
        { .type = WEIR_VALUE_CONTAINER, .container = WEIR_CONTAINER_MAP },
        { .type = WEIR_VALUE_UNIQUE, .container = 99 },
        { .type = WEIR_VALUE_TEXT, .bytes = weir_bytes ("\xff", 1) },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal (weir_change_list_insert (x.change, list, 0, &bad[i], 1, NULL, &e),
                          WEIR_INVALID_ARGUMENT);
        assert_int_equal (weir_change_list_set (x.change, list, 0, &bad[i], NULL, &e),
                          WEIR_INVALID_ARGUMENT);
    }
    bad[0] = number (1);
    assert_int_equal (weir_change_list_insert (x.change, list, 4, bad, 1, NULL, &e),
                      WEIR_OUT_OF_RANGE);
    assert_int_equal (weir_change_list_move (x.change, plain, 0, 0, &e), WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_change_list_set (x.change, plain, 0, bad, NULL, &e),
                      WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_change_atoms (x.change), 0);
    weir_change_destroy (&x.change);
    end (&world, &x, &y);
}

static void
test_what_meets (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    /* Two moves: one place, the later author's. */
    begin (&world, &x, &y);
    assert_int_equal (move (&x, 0, 2), WEIR_OK);
    assert_int_equal (move (&y, 0, 1), WEIR_OK);
    meet (&x, &y);
    assert_doc (x.doc, "/movable", "[2,1,3]");
    /* The slot that lost is in nobody's way. */
    assert_int_equal (move (&x, 1, 0), WEIR_OK);
    insert (&x, 3, 4, 1);
    types_commit (&x);
    assert_doc (x.doc, "/movable", "[1,2,3,4]");
    types_sync (&x, &y);
    assert_int_equal (delete (&y, 0, 4), WEIR_OK);
    types_commit (&y);
    assert_doc (y.doc, "/movable", "[]");
    end (&world, &x, &y);
    /* Moved and deleted: it lives. */
    begin (&world, &x, &y);
    assert_int_equal (delete (&x, 0, 2), WEIR_OK);
    assert_int_equal (move (&y, 0, 2), WEIR_OK);
    meet (&x, &y);
    assert_doc (x.doc, "/movable", "[3,1]");
    end (&world, &x, &y);
    /* Set and deleted: it is gone; set and moved: both. */
    begin (&world, &x, &y);
    assert_int_equal (delete (&x, 1, 1), WEIR_OK);
    assert_int_equal (move (&x, 0, 1), WEIR_OK);
    assert_int_equal (set (&y, 1, 20), WEIR_OK);
    assert_int_equal (set (&y, 0, 10), WEIR_OK);
    meet (&x, &y);
    assert_doc (x.doc, "/movable", "[3,10]");
    end (&world, &x, &y);
    /* Set twice: the greater order key. */
    begin (&world, &x, &y);
    assert_int_equal (set (&x, 0, 7), WEIR_OK);
    assert_int_equal (set (&y, 0, 8), WEIR_OK);
    meet (&x, &y);
    assert_doc (x.doc, "/movable", "[8,2,3]");
    end (&world, &x, &y);
    /* The place that won is deleted, by somebody who saw only it: gone. */
    begin (&world, &x, &y);
    assert_int_equal (move (&x, 0, 2), WEIR_OK);
    assert_int_equal (move (&y, 0, 1), WEIR_OK);
    types_commit (&y);
    assert_int_equal (delete (&y, 1, 1), WEIR_OK);
    meet (&x, &y);
    assert_doc (x.doc, "/movable", "[2,3]");
    end (&world, &x, &y);
}

/* Two replicas that go cold in between, or not, agree with those that do not. */
static void
test_cold_and_warm (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    begin (&world, &x, &y);
    for (int i = 0; i < 20; i++) {
        assert_int_equal (move (&x, (uint32_t) i % 3, (uint32_t) (i / 2) % 3), WEIR_OK);
        insert (&x, (uint32_t) i % 4, 100 + i, 1);
        assert_int_equal (move (&y, (uint32_t) (i + 1) % 3, (uint32_t) i % 3), WEIR_OK);
        insert (&y, (uint32_t) (i + 1) % 4, 200 + i, 1);
        assert_int_equal (set (&y, 2, i), WEIR_OK);
        types_commit (&x);
        types_commit (&y);
        if (i % 3 == 0) {
            types_reload (&x);
        } else if (i % 3 == 1) {
            weir_doc_cool (x.doc);
        }
        types_sync (&x, &y);
        types_sync (&y, &x);
        assert_docs_equal (x.doc, y.doc);
    }
    end (&world, &x, &y);
}

static void
test_children (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    struct weir_error e = { 0 };
    begin (&world, &x, &y);
    struct weir_container *list = types_edit (&x, &weir_container_movable);
    struct weir_value map = { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_MAP };
    struct weir_value values[] = { map, number (5), map };
    struct weir_value v = number (9);
    struct weir_container *children[3] = { NULL };
    struct weir_container *child = NULL;
    assert_int_equal (weir_change_list_insert (x.change, list, 1, values, 3, children, &e),
                      WEIR_OK);
    assert_non_null (children[0]);
    assert_null (children[1]);
    assert_int_equal (weir_change_map_set (x.change, children[2], weir_bytes_str ("k"), &v, &e),
                      WEIR_OK);
    assert_int_equal (weir_change_list_set (x.change, list, 0, &map, &child, &e), WEIR_OK);
    assert_int_equal (weir_change_map_set (x.change, child, weir_bytes_str ("s"), &v, &e), WEIR_OK);
    /* A child of an element of this change, in place of one. */
    assert_int_equal (weir_change_list_set (x.change, list, 1, &map, &child, &e), WEIR_OK);
    assert_int_equal (weir_change_map_set (x.change, child, weir_bytes_str ("t"), &v, &e), WEIR_OK);
    assert_int_equal (weir_change_list_move (x.change, list, 3, 0, &e), WEIR_OK);
    const char *wanted = "[{\"k\":9},{\"s\":9},{\"t\":9},5,2,3]";
    assert_doc (x.doc, "/movable", wanted);
    types_commit (&x);
    assert_doc (x.doc, "/movable", wanted);
    types_sync (&x, &y);
    assert_doc (y.doc, "/movable", wanted);
    assert_doc (y.doc, "/movable/0/k", "9");
    assert_doc (y.doc, "/movable/3", "5");
    static const char *const nothing[] = { "/movable/6", "/movable/-", "/movable/00", "/movable/",
                                           "/movable/99999999999" };
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        assert_doc (y.doc, nothing[i], NULL);
    }
    types_reload (&y);
    assert_doc (y.doc, "/movable", wanted);
    struct weir_op_id id;
    struct weir_item item;
    assert_true (weir_movable_element (list_of (&y), 0, &id));
    assert_int_equal (id.offset, 2);
    assert_true (weir_id_equal (&id.entry, &world.entries[1].entry.id));
    assert_true (weir_list_item (list_of (&y), 0, &item));
    assert_non_null (item.child);
    assert_false (weir_movable_element (list_of (&y), 6, &id));
    assert_false (weir_list_item (list_of (&y), 6, &item));
    struct weir_doc_value found[2];
    size_t count = 0;
    assert_int_equal (weir_doc_conflicts (y.doc, "/movable/3", found, 2, &count, &e), WEIR_OK);
    assert_int_equal (count, 1);
    assert_int_equal (json_integer_value (found[0].value), 5);
    json_decref (found[0].value);
    assert_int_equal (weir_doc_conflicts (y.doc, "/movable/6", found, 2, &count, &e),
                      WEIR_NOT_FOUND);
    end (&world, &x, &y);
}

/* Ops on elements that come later, or never; moves of one element that name another's slot. */
static void
test_hostile_ops (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    begin (&world, &x, &y);
    struct weir_id ids[2] = { { .b = { 0, 0, 0, 3 } }, { .b = { 7 } } };
    struct weir_value seven = number (7);
    struct weir_value eight = number (8);
    struct weir_op ops[] = {
        /* Entry 3 is made below: its second atom is an element. */
        { .code = WEIR_MOVABLE_MOVE, .atoms = 1, .at = 0, .to = 2, .target_ref = { 1, 1 } },
        { .code = WEIR_MOVABLE_SET, .atoms = 1, .target_ref = { 1, 0 }, .value = seven },
        { .code = WEIR_MOVABLE_MOVE, .atoms = 1, .at = 0, .to = 0, .target_ref = { 2, 4 } },
        { .code = WEIR_MOVABLE_SET, .atoms = 1, .target_ref = { 2, 5 }, .value = eight },
        { .code = WEIR_MOVABLE_SET, .atoms = 1, .target_ref = { 0, 4 }, .value = eight },
    };
    assert_int_equal (types_craft (&x, &weir_container_movable, ids, 2, ops, 5), WEIR_OK);
    assert_doc (x.doc, "/movable", "[3]");
    types_assert_strict (x.doc);
    insert (&y, 3, 30, 3);
    types_commit (&y);
    types_reload (&x);
    types_sync (&y, &x);
    types_sync (&x, &y);
    assert_docs_equal (x.doc, y.doc);
    types_assert_strict (x.doc);
    types_end (&x);
    types_end (&y);
    types_world_end (&world);
}

/* What no verb would write makes its entry inert. */
static void
test_inert_ops (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    begin (&world, &x, &y);
    struct weir_value seven = number (7);
    struct weir_value deleted = { .type = WEIR_VALUE_DELETED };
    struct weir_value named = { .type = WEIR_VALUE_CONTAINER, .container = WEIR_CONTAINER_MAP };
    struct weir_value later = { .type = WEIR_VALUE_UNIQUE, .container = 60 };
    static const uint8_t encoded[] = { WEIR_VALUE_NULL };
    const struct {
        struct weir_op op;
        enum weir_status status;
    } rows[] = {
        { { .code = WEIR_MOVABLE_MOVE, .at = 99, .target_ref = { 0, 0 } }, WEIR_OUT_OF_RANGE },
        { { .code = WEIR_MOVABLE_MOVE, .to = 99, .target_ref = { 0, 0 } }, WEIR_OUT_OF_RANGE },
        { { .code = WEIR_MOVABLE_MOVE, .at = UINT32_MAX, .target_ref = { 0, 0 } },
          WEIR_OUT_OF_RANGE },
        { { .code = WEIR_MOVABLE_DELETE, .at = 0, .count = 99, .atoms = 99 }, WEIR_OUT_OF_RANGE },
        { { .code = WEIR_MOVABLE_DELETE, .at = UINT32_MAX, .count = 1 }, WEIR_OUT_OF_RANGE },
        { { .code = WEIR_MOVABLE_DELETE, .at = 0, .count = 0 }, WEIR_BAD_PAYLOAD },
        { { .code = WEIR_MOVABLE_INSERT, .at = 99, .count = 1, .bytes = { encoded, 1 } },
          WEIR_OUT_OF_RANGE },
        { { .code = WEIR_MOVABLE_INSERT, .at = 0, .count = 2, .bytes = { encoded, 1 } },
          WEIR_BAD_PAYLOAD },
        { { .code = WEIR_MOVABLE_SET, .target_ref = { WEIR_OP_REF_NONE, 0 }, .value = seven },
          WEIR_BAD_PAYLOAD },
        { { .code = WEIR_MOVABLE_SET, .target_ref = { 0, 0 }, .value = deleted },
          WEIR_BAD_PAYLOAD },
        { { .code = WEIR_MOVABLE_SET, .target_ref = { 0, 0 }, .value = named }, WEIR_BAD_PAYLOAD },
        { { .code = WEIR_MOVABLE_SET, .target_ref = { 0, 0 }, .value = later },
          WEIR_NEEDS_UPGRADE },
        { { .code = 4 }, WEIR_NEEDS_UPGRADE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_op op = rows[i].op;
        op.atoms = op.atoms > 0 ? op.atoms : 1;
        json_t *was = NULL;
        json_t *is = NULL;
        struct weir_error e = { 0 };
        assert_int_equal (weir_doc_get (x.doc, "", &was, &e), WEIR_OK);
        assert_int_equal (types_craft (&x, &weir_container_movable, NULL, 0, &op, 1),
                          rows[i].status);
        assert_int_equal (weir_doc_get (x.doc, "", &is, &e), WEIR_OK);
        assert_true (json_equal (was, is));
        json_decref (was);
        json_decref (is);
    }
    types_end (&x);
    types_end (&y);
    types_world_end (&world);
}

/* Applies what it hears to an array of its own. */
struct mirror {
    const struct types_replica *replica;
    json_t *list;
    int moves;
};

static void
hear (void *context, const struct weir_notice *n)
{
    struct mirror *m = context;
    json_t *now = NULL;
    struct weir_error e = { 0 };
    m->moves += n->is_move;
    for (uint32_t i = 0; i < n->removed; i++) {
        json_array_remove (m->list, n->at);
    }
    for (uint32_t i = 0; i < n->inserted; i++) {
        json_array_insert_new (m->list, n->at + i, json_null ());
    }
    /* Values are read from the document; what was only moved is not asked for. */
    assert_int_equal (weir_doc_get (m->replica->doc, "/movable", &now, &e), WEIR_OK);
    if (n->kind == WEIR_NOTICE_VALUE) {
        assert_in_range (n->at, 0, json_array_size (m->list) - 1);
    } else {
        assert_int_equal (n->kind, WEIR_NOTICE_SPLICE);
    }
    json_decref (now);
}

static void
test_notices (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    struct mirror m = { .replica = &y, .list = json_pack ("[i,i,i]", 1, 2, 3) };
    begin (&world, &x, &y);
    weir_doc_listen (y.doc, hear, &m);
    for (int i = 0; i < 12; i++) {
        assert_int_equal (move (&x, 0, 2), WEIR_OK);
        insert (&x, 1, 10 * i, 2);
        assert_int_equal (delete (&x, 2, 2), WEIR_OK);
        assert_int_equal (set (&x, 0, 1000 + i), WEIR_OK);
        assert_int_equal (move (&y, 2, (uint32_t) i % 2), WEIR_OK);
        assert_int_equal (set (&y, 1, 2000 + i), WEIR_OK);
        meet (&x, &y);
        json_t *now = NULL;
        struct weir_error e = { 0 };
        assert_int_equal (weir_doc_get (y.doc, "/movable", &now, &e), WEIR_OK);
        assert_int_equal (json_array_size (m.list), json_array_size (now));
        json_decref (now);
    }
    assert_true (m.moves > 24);
    json_decref (m.list);
    end (&world, &x, &y);
}

static void
test_shown_to_people (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    struct weir_error e = { 0 };
    json_t *json = NULL;
    begin (&world, &x, &y);
    insert (&x, 3, 4, 2);
    assert_int_equal (move (&x, 4, 0), WEIR_OK);
    assert_int_equal (set (&x, 0, 6), WEIR_OK);
    struct weir_value map = { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_MAP };
    assert_int_equal (weir_change_list_set (x.change, types_edit (&x, &weir_container_movable), 0,
                                            &map, NULL, &e),
                      WEIR_OK);
    assert_int_equal (delete (&x, 1, 2), WEIR_OK);
    types_commit (&x);
    assert_int_equal (weir_doc_payload_json (weir_buf_bytes (&world.entries[1].payload), &json),
                      WEIR_OK);
    struct weir_buf text = { 0 };
    weir_json_put (&text, json_object_get (json, "ops"));
    assert_string_equal (
        weir_buf_str (&text),
        "[{\"at\":3,\"count\":2,\"op\":\"insert\",\"path\":\"/movable\"},"
        "{\"at\":4,\"op\":\"move\",\"path\":\"/movable\",\"target\":\"@1\",\"to\":0},"
        "{\"op\":\"set\",\"path\":\"/movable\",\"target\":\"@1\",\"value\":6},"
        "{\"op\":\"set\",\"path\":\"/movable\",\"target\":\"@1\",\"type\":\"map\"},"
        "{\"at\":1,\"count\":2,\"op\":\"remove\",\"path\":\"/movable\"}]");
    json_decref (json);
    weir_buf_fini (&text);
    end (&world, &x, &y);
}

/* Typing on, deleting on and deleting backwards are one op each; other neighbours are not. */
static void
test_ops_that_join (void **state)
{
    (void) state;
    struct types_world world;
    struct types_replica x;
    struct types_replica y;
    json_t *json = NULL;
    begin (&world, &x, &y);
    insert (&x, 3, 4, 2);
    insert (&x, 5, 6, 1);
    insert (&x, 6, 7, 2);
    insert (&x, 0, 0, 1);
    assert_int_equal (delete (&x, 4, 1), WEIR_OK);
    assert_int_equal (delete (&x, 4, 1), WEIR_OK);
    assert_int_equal (delete (&x, 2, 2), WEIR_OK);
    assert_int_equal (delete (&x, 0, 1), WEIR_OK);
    assert_doc (x.doc, "/movable", "[1,6,7,8]");
    types_commit (&x);
    assert_int_equal (weir_doc_payload_json (weir_buf_bytes (&world.entries[1].payload), &json),
                      WEIR_OK);
    struct weir_buf text = { 0 };
    weir_json_put (&text, json_object_get (json, "ops"));
    assert_string_equal (weir_buf_str (&text),
                         "[{\"at\":3,\"count\":5,\"op\":\"insert\",\"path\":\"/movable\"},"
                         "{\"at\":0,\"count\":1,\"op\":\"insert\",\"path\":\"/movable\"},"
                         "{\"at\":2,\"count\":4,\"op\":\"remove\",\"path\":\"/movable\"},"
                         "{\"at\":0,\"count\":1,\"op\":\"remove\",\"path\":\"/movable\"}]");
    json_decref (json);
    weir_buf_fini (&text);
    end (&world, &x, &y);
    assert_int_equal (world.count, 0);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_elements_end_where_they_are_moved),
        cmocka_unit_test (test_bounds),
        cmocka_unit_test (test_what_meets),
        cmocka_unit_test (test_cold_and_warm),
        cmocka_unit_test (test_children),
        cmocka_unit_test (test_hostile_ops),
        cmocka_unit_test (test_inert_ops),
        cmocka_unit_test (test_notices),
        cmocka_unit_test (test_shown_to_people),
        cmocka_unit_test (test_ops_that_join),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
