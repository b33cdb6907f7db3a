/* Goal: the bytes of payloads: pinned, compact, and read back; a bad one is inert: the right
 * code, nothing changed; whatever a payload says, memory stays in proportion to it. */

#include "tests/store/crdt/fixture.h"

#define CODEC "\x01"
#define NO_MESSAGE "\x00"
#define NO_IDS "\x00"
#define NO_TEXT "\x00"
#define ROOT_M NO_IDS "\x01\x04\x01m" NO_TEXT /* one row: a root map "m" */

#define ID "0123456789abcdef0123456789abcdef"
#define ZERO_ID "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define ONES_8 "\xff\xff\xff\xff\xff\xff\xff\xff"
#define ONES_ID ONES_8 ONES_8 ONES_8 ONES_8

#define BYTES(x)                                                                                   \
    {                                                                                              \
        (const uint8_t *) (x), sizeof (x) - 1                                                      \
    }

static const struct {
    struct weir_bytes payload;
    uint32_t ops;
    enum weir_status status;
} cases[] = {
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x03\x02"), 1, WEIR_OK }, /* /m/k = 1 */
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x04\x3f\xf8\0\0\0\0\0\0"), 1, WEIR_OK },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x01\x01k"), 1, WEIR_OK },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x02\x04\x01m\x05\x00\x01k" NO_TEXT "\x10\x01x\x00"), 1,
      WEIR_OK },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x00" NO_TEXT), 0, WEIR_OK },
    { BYTES (CODEC "\x02hi" NO_IDS "\x00" NO_TEXT), 0, WEIR_OK },
    /* A unique map, and a write in it: by this entry, and by another. */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x02\x04\x01m\x06\x01\x00" NO_TEXT
                                     "\x00\x01k\x09\x01\x10\x01x\x00"),
      2, WEIR_OK },
    { BYTES (CODEC NO_MESSAGE "\x01" ID "\x01\x06\x02\x05" NO_TEXT "\x00\x01x\x00"), 1, WEIR_OK },
    /* Another number of ops than the header says. */
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x03\x02"), 2, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x03\x02"), 0, WEIR_BAD_PAYLOAD },
    /* From the future: codec, row kind, container type, reserved root, op, value, marker. */
    { BYTES ("\x02"), 0, WEIR_NEEDS_UPGRADE },
    { BYTES ("\x00\x00\x00"), 0, WEIR_NEEDS_UPGRADE },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x07\x01m" NO_TEXT "\x00\x01k\x03\x02"), 1,
      WEIR_NEEDS_UPGRADE },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\xfc\x01m" NO_TEXT "\x00\x01k\x03\x02"), 1,
      WEIR_NEEDS_UPGRADE },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x04\x01_" NO_TEXT "\x00\x01k\x03\x02"), 1,
      WEIR_NEEDS_UPGRADE },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x02\x01k\x03\x02"), 1, WEIR_NEEDS_UPGRADE },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x0b"), 1, WEIR_NEEDS_UPGRADE },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x07\x3f"), 1, WEIR_NEEDS_UPGRADE },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x09\x3f"), 1, WEIR_NEEDS_UPGRADE },
    /* Malformed. */
    { BYTES (""), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC "\x01\xff" NO_IDS "\x00" NO_TEXT), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC "\x01\x00" NO_IDS "\x00" NO_TEXT), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC "\x81\x80\x80\x80\x10"), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE "\xff\xff\x03"), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE "\x01" ID), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE "\x02" ID ID "\x00" NO_TEXT), 0, WEIR_BAD_PAYLOAD }, /* twice */
    { BYTES (CODEC NO_MESSAGE "\x01" ZERO_ID "\x00" NO_TEXT), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE "\x01" ONES_ID "\x00" NO_TEXT), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\xff\xff\x03"), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x80\x00"), 0, WEIR_BAD_PAYLOAD }, /* not the shortest */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x04\xff\x7f"), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x04\x01\xff" NO_TEXT), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x05\x00\x01k" NO_TEXT), 0,
      WEIR_BAD_PAYLOAD }, /* own parent */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x04\x05"), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x02\x04\x01m\x04\x01m" NO_TEXT), 0,
      WEIR_BAD_PAYLOAD }, /* the same twice */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x06\x00" NO_TEXT), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x06\x02\x00" NO_TEXT), 0, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x06\x01\x80\x80\x80\x08" NO_TEXT), 0,
      WEIR_BAD_PAYLOAD }, /* an offset that no entry has */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x01\x06\x01\x00" NO_TEXT "\x00\x01x\x00"), 1,
      WEIR_BAD_PAYLOAD }, /* written before it is made */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x02\x06\x01\x00\x05\x00\x01k" NO_TEXT "\x10\x01x\x00"), 1,
      WEIR_BAD_PAYLOAD }, /* and so is what hangs below it */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x00\x01"), 0, WEIR_BAD_PAYLOAD },  /* text cut short */
    { BYTES (CODEC NO_MESSAGE NO_IDS "\x00\x01x"), 0, WEIR_BAD_PAYLOAD }, /* nobody's text */
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x10\x01k\x03\x02"), 1, WEIR_BAD_PAYLOAD }, /* no row 1 */
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x80"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01\xff\x00"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01\x00\x00"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x08"), 1, WEIR_BAD_PAYLOAD }, /* set: deleted */
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x03"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x05\x01\xff"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x05\x01\x00"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x05\x05xx"), 1, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x04\x7f\xf0\0\0\0\0\0\0"), 1,
      WEIR_BAD_PAYLOAD }, /* infinite */
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x04\x7f\xf8\0\0\0\0\0\0"), 1,
      WEIR_BAD_PAYLOAD }, /* not a number */
    /* A good op before a bad one is not applied either. */
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x03\x02\x00\x01z\x05"), 2, WEIR_BAD_PAYLOAD },
    { BYTES (CODEC NO_MESSAGE ROOT_M "\x00\x01k\x03\x02\x0f\x01z\x05"), 2, WEIR_NEEDS_UPGRADE },
};

static void
test_good_and_bad_payloads (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_doc *doc = weir_doc_new ();
        struct weir_doc_entry entry = fixture_head (1, 1, 0, 0);
        struct weir_bytes message;
        uint32_t ops = 0;
        entry.ops = cases[i].ops;
        enum weir_status status = weir_doc_apply (doc, &entry, cases[i].payload, NULL);
        if (status != cases[i].status) {
            fail_msg ("case %zu: %s", i, weir_status_code (status));
        }
        if (status != WEIR_OK) {
            assert_doc (doc, "", "{}");
        }
        enum weir_status info = weir_doc_payload_info (cases[i].payload, &message, &ops);
        if (status == WEIR_OK) {
            assert_int_equal (info, WEIR_OK);
            assert_int_equal (ops, entry.ops);
        } else if (info == WEIR_OK) {
            assert_int_not_equal (ops, entry.ops);
        } else {
            assert_int_equal (info, status);
        }
        weir_doc_destroy (&doc);
    }
}

/* What an edit seals is what stands in the format's description, byte for byte. */
static void
test_bytes_are_pinned (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    uint32_t ops = 0;
    static const uint8_t wanted[] = "\x01\x03why\x00\x02"
                                    "\x04\x01m"
                                    "\x05\x00\x01n"
                                    "\x00"
                                    "\x00\x01n\x07\x01"
                                    "\x10\x01k\x05\x02hi"
                                    "\x11\x01k"
                                    "\x10\x01i\x03\x03";
    assert_status (fixture_set (edit, "/m/n/k", "\"hi\"", &e), WEIR_OK, &e);
    assert_status (weir_edit_remove (edit, "/m/n/k", &e), WEIR_OK, &e);
    assert_status (fixture_set (edit, "/m/n/i", "-2", &e), WEIR_OK, &e);
    assert_status (weir_edit_seal (edit, fixture_text ("why"), &payload, &ops, &e), WEIR_OK, &e);
    assert_int_equal (ops, 4);
    assert_int_equal (payload.len, sizeof wanted - 1);
    assert_memory_equal (payload.data, wanted, payload.len);
    weir_buf_clear (&payload);
    /* 11 bytes beyond name, key and value. */
    assert_status (fixture_set (edit, "/root/key", "\"value\"", &e), WEIR_OK, &e);
    assert_status (weir_edit_seal (edit, fixture_text (""), &payload, &ops, &e), WEIR_OK, &e);
    assert_int_equal (payload.len, 11 + 4 + 3 + 5);
    weir_buf_fini (&payload);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

static void
test_payload_for_people (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_buf text = { 0 };
    json_t *json = NULL;
    uint32_t ops = 0;
    assert_status (fixture_set (edit, "/m/a~1~0/k", "\"hi\"", &e), WEIR_OK, &e);
    assert_status (weir_edit_remove (edit, "/m/a~1~0/k", &e), WEIR_OK, &e);
    assert_status (weir_edit_seal (edit, fixture_text ("why"), &payload, &ops, &e), WEIR_OK, &e);
    assert_status (weir_doc_payload_json (weir_buf_bytes (&payload), &json), WEIR_OK, NULL);
    weir_json_put (&text, json);
    assert_string_equal (weir_buf_str (&text),
                         "{\"message\":\"why\",\"ops\":["
                         "{\"op\":\"make\",\"path\":\"/m/a~1~0\",\"type\":\"map\"},"
                         "{\"op\":\"set\",\"path\":\"/m/a~1~0/k\",\"value\":\"hi\"},"
                         "{\"op\":\"delete\",\"path\":\"/m/a~1~0/k\"}]}");
    json_decref (json);
    assert_int_equal (weir_doc_payload_json (weir_bytes ("\x01", 1), &json), WEIR_BAD_PAYLOAD);
    weir_buf_fini (&payload);
    weir_buf_fini (&text);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

/* A row below a row below a row ..., `depth` of them, each key of `key_len`; then ops. */
static void
deep_payload (struct weir_buf *out, uint32_t depth, size_t key_len, size_t ops)
{
    uint8_t key[WEIR_KEY_BYTES_MAX];
    memset (key, 'k', sizeof key);
    weir_payload_begin (out, weir_bytes (NULL, 0), NULL, 0, depth);
    for (uint32_t i = 0; i < depth; i++) {
        struct weir_payload_row row = { .type = &weir_container_map,
                                        .kind = i == 0 ? WEIR_ROW_ROOT : WEIR_ROW_PATH,
                                        .parent = i - (i > 0),
                                        .key = weir_bytes (key, key_len) };
        weir_payload_put_row (out, &row);
    }
    weir_buf_put_varint (out, 0);
    struct weir_op_writer w = { .out = out };
    for (size_t i = 0; i < ops; i++) {
        struct weir_op op = { .row = depth - 1, .code = WEIR_MAP_DELETE };
        weir_payload_put_op (&w, &weir_container_map, &op);
    }
}

/* Containers may be written before anything marks them; how deep has an end. */
static void
test_depth_has_an_end (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc_entry entry = fixture_head (1, 1, 0, 0);
    struct weir_buf payload = { 0 };
    entry.ops = 1;
    deep_payload (&payload, WEIR_CONTAINER_DEPTH_MAX + 1, 1, 1);
    assert_int_equal (weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL),
                      WEIR_BAD_PAYLOAD);
    weir_buf_clear (&payload);
    deep_payload (&payload, WEIR_CONTAINER_DEPTH_MAX, 1, 1);
    entry.id.b[0]++;
    assert_int_equal (weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL), WEIR_OK);
    assert_doc (doc, "", "{\"k\":{}}");
    assert_docs_equal (doc, doc);
    weir_buf_fini (&payload);
    weir_doc_destroy (&doc);
}

/* The deepest marker there can be is still shown, and seen by edits. */
static void
test_the_deepest_marker (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc_entry entry = fixture_head (1, 1, 0, 0);
    struct weir_buf payload = { 0 };
    struct weir_error e = { 0 };
    json_t *json = NULL;
    const struct weir_value marker = { .type = WEIR_VALUE_CONTAINER,
                                       .container = WEIR_CONTAINER_MAP };
    deep_payload (&payload, WEIR_CONTAINER_DEPTH_MAX, 1, 0);
    struct weir_op_writer w = { .out = &payload };
    for (uint32_t row = 0; row < WEIR_CONTAINER_DEPTH_MAX; row++) {
        struct weir_op op = { .row = row, .key = fixture_text ("k"), .value = marker };
        weir_payload_put_op (&w, &weir_container_map, &op);
    }
    entry.ops = WEIR_CONTAINER_DEPTH_MAX;
    assert_int_equal (weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL), WEIR_OK);
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *patch = json_pack ("[{s:s,s:s,s:s}]", "op", "copy", "from", "", "path", "/m");
    assert_status (weir_edit_patch (edit, patch, &e), WEIR_LIMIT, &e);
    assert_status (weir_edit_remove (edit, "/k", &e), WEIR_OK, &e);
    assert_int_equal (weir_edit_ops (edit), WEIR_CONTAINER_DEPTH_MAX);
    assert_status (weir_doc_get (doc, "", &json, &e), WEIR_OK, &e);
    json_decref (json);
    json_decref (patch);
    weir_edit_destroy (&edit);
    weir_buf_fini (&payload);
    weir_doc_destroy (&doc);
}

/* 1 MiB of ops on one very long path would be gigabytes of JSON: it says how much it omits. */
static void
test_long_paths_are_cut_for_people (void **state)
{
    (void) state;
    struct weir_buf payload = { 0 };
    json_t *json = NULL;
    struct weir_bytes message;
    uint32_t ops = 0;
    deep_payload (&payload, WEIR_CONTAINER_DEPTH_MAX, WEIR_KEY_BYTES_MAX, 100000);
    assert_int_equal (weir_doc_payload_info (weir_buf_bytes (&payload), &message, &ops), WEIR_OK);
    assert_int_equal (ops, 100000);
    assert_int_equal (weir_doc_payload_json (weir_buf_bytes (&payload), &json), WEIR_OK);
    size_t shown = json_array_size (json_object_get (json, "ops"));
    assert_in_range (shown, 1, 1000);
    assert_int_equal (json_integer_value (json_object_get (json, "omitted")), 100000 - shown);
    json_decref (json);
    weir_buf_fini (&payload);
}

/* A big payload's room is given back. */
static void
test_many_ops_in_one_payload (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc_entry entry = fixture_head (1, 1, 0, 0);
    struct weir_buf payload = { 0 };
    deep_payload (&payload, 2, 1, 100000);
    entry.ops = 100000;
    assert_int_equal (weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL), WEIR_OK);
    entry.id.b[0]++;
    assert_int_equal (weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL), WEIR_OK);
    entry.id.b[0]++;
    weir_buf_reserve (&payload, WEIR_PAYLOAD_BYTES_MAX);
    memset (payload.data + payload.len, 0, WEIR_PAYLOAD_BYTES_MAX);
    payload.len += WEIR_PAYLOAD_BYTES_MAX;
    assert_int_equal (weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL),
                      WEIR_BAD_PAYLOAD);
    assert_doc (doc, "", "{\"k\":{}}");
    weir_buf_fini (&payload);
    weir_doc_destroy (&doc);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_good_and_bad_payloads),
        cmocka_unit_test (test_bytes_are_pinned),
        cmocka_unit_test (test_payload_for_people),
        cmocka_unit_test (test_depth_has_an_end),
        cmocka_unit_test (test_the_deepest_marker),
        cmocka_unit_test (test_long_paths_are_cut_for_people),
        cmocka_unit_test (test_many_ops_in_one_payload),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
