/* Goal: the bytes of an envelope never change by accident, kinds.def is one consistent table, and
 * no meta, however hostile, costs more than its cap or gets past the codec's checks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "protos/codec.h"

/* ---- envelope ---- */

static struct weir_envelope
sample (void)
{
    struct weir_envelope e = {
        .flags = WEIR_ENV_ANSWER | WEIR_ENV_MORE,
        .kind = 0x0102,
        .status = 0x0304,
        .ms_left = 0x05060708,
        .request = 0x1112131415161718u,
        .trace = 0x2122232425262728u,
    };
    memset (e.from.b, 0xaa, sizeof e.from.b);
    memset (e.to.b, 0xbb, sizeof e.to.b);
    memset (e.peer, 0xcc, sizeof e.peer);
    memset (e.database, 0xdd, sizeof e.database);
    return e;
}

static void
test_envelope_layout (void **state)
{
    (void) state;
    struct weir_envelope e = sample ();
    uint8_t out[WEIR_ENVELOPE_BYTES];
    weir_envelope_put (&e, out);
    struct weir_reader r = weir_reader (weir_bytes (out, sizeof out));
    assert_int_equal (weir_read_u8 (&r), 1);
    assert_int_equal (weir_read_u8 (&r), 3);
    assert_int_equal (weir_read_u16 (&r), 0x0102);
    assert_int_equal (weir_read_u32 (&r), 0x05060708);
    assert_int_equal (r.pos, WEIR_ENVELOPE_AT_FROM);
    assert_memory_equal (weir_read_bytes (&r, 16).data, e.from.b, 16);
    assert_int_equal (r.pos, WEIR_ENVELOPE_AT_TO);
    assert_memory_equal (weir_read_bytes (&r, 16).data, e.to.b, 16);
    assert_true (weir_read_u64 (&r) == 0x1112131415161718u);
    assert_true (weir_read_u64 (&r) == 0x2122232425262728u);
    assert_memory_equal (weir_read_bytes (&r, 8).data, e.peer, 8);
    assert_memory_equal (weir_read_bytes (&r, 8).data, e.database, 8);
    assert_int_equal (weir_read_u16 (&r), 0x0304);
    assert_int_equal (weir_read_u16 (&r), 0);
    assert_int_equal (weir_read_u32 (&r), 0);
    assert_true (weir_reader_done (&r));
    struct weir_envelope back;
    memset (&back, 0, sizeof back);
    assert_int_equal (weir_envelope_get (&back, weir_bytes (out, sizeof out)), WEIR_OK);
    uint8_t again[WEIR_ENVELOPE_BYTES];
    weir_envelope_put (&back, again);
    assert_memory_equal (out, again, sizeof out);
}

static void
test_envelope_refuses (void **state)
{
    (void) state;
    struct weir_envelope e = sample ();
    struct weir_envelope back = { .kind = 77 };
    uint8_t out[WEIR_ENVELOPE_BYTES + 1] = { 0 };
    weir_envelope_put (&e, out);
    for (size_t len = 0; len <= sizeof out; len++) {
        if (len != WEIR_ENVELOPE_BYTES) {
            assert_int_equal (weir_envelope_get (&back, weir_bytes (out, len)), WEIR_BAD_MESSAGE);
        }
    }
    static const struct {
        size_t at;
        uint8_t value;
    } damage[] = {
        { 0, 0 },  { 0, 2 },  { 0, 255 }, { 1, 8 },     { 1, 255 },
        { 74, 1 }, { 75, 1 }, { 76, 1 },  { 79, 0x80 },
    };
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        weir_envelope_put (&e, out);
        out[damage[i].at] = damage[i].value;
        assert_int_equal (weir_envelope_get (&back, weir_bytes (out, WEIR_ENVELOPE_BYTES)),
                          WEIR_BAD_MESSAGE);
    }
    assert_int_equal (back.kind, 77); /* written only on success */
}

static void
test_mailboxes (void **state)
{
    (void) state;
    struct weir_mailbox_id a = { .b = { 0 } };
    struct weir_mailbox_id b = { .b = { 0 } };
    assert_true (weir_mailbox_is_zero (&a));
    assert_true (weir_mailbox_equal (&a, &b));
    b.b[15] = 1;
    assert_false (weir_mailbox_is_zero (&b));
    assert_false (weir_mailbox_equal (&a, &b));
}

/* ---- kinds ---- */

static void
test_table_is_consistent (void **state)
{
    (void) state;
    size_t n = 0;
    for (const struct weir_kind *k = NULL; (k = weir_kind_at (n)) != NULL; n++) {
        assert_ptr_equal (weir_kind (k->number), k);
        assert_ptr_equal (weir_kind_by_name (k->name), k);
        assert_true (k->from != 0 && k->to != 0);
        /* Nobody sends to clients unasked; one role takes a kind, but those of the broker. */
        assert_true ((k->to & WEIR_ROLE_C) == 0);
        assert_true (k->to == WEIR_ROLE_ANY || (k->to & (k->to - 1)) == 0);
        assert_true (k->body_max <= WEIR_MESSAGE_BODY_BYTES_MAX);
        bool oneway = (k->flags & WEIR_KIND_ONEWAY) != 0;
        assert_false (oneway && (k->answer != NULL || (k->flags & WEIR_KIND_STREAM) != 0));
        if (k->meta != NULL) {
            assert_true (protobuf_c_message_descriptor_get_field_by_name (k->meta, "x") == NULL);
        }
    }
    assert_true (n > 80);
    assert_null (weir_kind (0));
    assert_null (weir_kind (9999));
    assert_null (weir_kind (65535));
    assert_null (weir_kind_by_name ("nonsense"));
    assert_int_equal (weir_kind_by_name ("doc_get")->number, WEIR_KIND_DOC_GET);
}

/* No type contains itself: protobuf-c has no depth limit (page 7). */
static size_t
depth_of (const ProtobufCMessageDescriptor *type, size_t depth)
{
    size_t deepest = depth;
    assert_true (depth < 10);
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) {
            size_t d = depth_of (type->fields[i].descriptor, depth + 1);
            deepest = d > deepest ? d : deepest;
        }
        assert_true (type->fields[i].label != PROTOBUF_C_LABEL_REQUIRED);
        assert_true (type->fields[i].type != PROTOBUF_C_TYPE_STRING);
    }
    return deepest;
}

static void
test_types_are_flat (void **state)
{
    (void) state;
    const struct weir_kind *k = NULL;
    for (size_t i = 0; (k = weir_kind_at (i)) != NULL; i++) {
        if (k->meta != NULL) {
            assert_true (depth_of (k->meta, 0) < 6);
        }
        if (k->answer != NULL) {
            assert_true (depth_of (k->answer, 0) < 6);
        }
    }
}

static void
test_roles (void **state)
{
    (void) state;
    for (unsigned bit = 1; bit <= WEIR_ROLE_N; bit <<= 1) {
        assert_int_equal (weir_role_by_name (weir_role_name (bit)), bit);
    }
    assert_int_equal (weir_role_by_name ("king"), 0);
    assert_string_equal (weir_role_name (3), "?");
}

/* ---- codec ---- */

static void
test_round_trip (void **state)
{
    (void) state;
    struct weir_arena *arena = weir_arena_new (1u << 20);
    struct weir_buf out = { 0 };
    ProtobufCMessage *message = NULL;
    Weir__DocPath path = WEIR__DOC_PATH__INIT;
    path.has_db = 1;
    path.db = weir_field_str ("notes");
    weir_meta_put (&out, &path.base);
    const struct weir_kind *kind = weir_kind (WEIR_KIND_DOC_GET);
    assert_int_equal (weir_meta_get (&message, arena, kind, false, weir_buf_bytes (&out)), WEIR_OK);
    const Weir__DocPath *back = (const Weir__DocPath *) message;
    assert_true (weir_bytes_equal (weir_field (back->db), weir_bytes_str ("notes")));
    assert_false (back->has_path);
    /* An empty meta is a message, too; a kind without one skips what a newer sender says. */
    assert_int_equal (weir_meta_get (&message, arena, kind, true, weir_bytes (NULL, 0)), WEIR_OK);
    assert_non_null (message);
    kind = weir_kind (WEIR_KIND_PING);
    assert_int_equal (weir_meta_get (&message, arena, kind, false, weir_bytes_str ("new")),
                      WEIR_OK);
    assert_null (message);
    size_t len = out.len;
    weir_meta_put (&out, NULL);
    assert_int_equal (out.len, len);
    weir_buf_fini (&out);
    weir_arena_destroy (&arena);
}

static void
test_hostile_meta (void **state)
{
    (void) state;
    struct weir_arena *arena = weir_arena_new (64u << 20);
    struct weir_buf out = { 0 };
    ProtobufCMessage *message = NULL;
    const struct weir_kind *kind = weir_kind (WEIR_KIND_W_VECTOR);
    static const char *const broken[] = { "\xff",
                                          "\x0a\x05"
                                          "ab",
                                          "\x0a", "\x0f\x01", "\x12\x80" };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_int_equal (weir_meta_get (&message, arena, kind, false, weir_bytes_str (broken[i])),
                          WEIR_BAD_MESSAGE);
    }
    /* Too long, with or without a type. */
    weir_buf_reserve (&out, WEIR_MESSAGE_META_BYTES_MAX + 1);
    memset (out.data, 0, WEIR_MESSAGE_META_BYTES_MAX + 1);
    struct weir_bytes large = weir_bytes (out.data, WEIR_MESSAGE_META_BYTES_MAX + 1);
    assert_int_equal (weir_meta_get (&message, arena, kind, false, large), WEIR_TOO_LARGE);
    assert_int_equal (weir_meta_get (&message, arena, weir_kind (WEIR_KIND_PING), false, large),
                      WEIR_TOO_LARGE);
    /* 128 Ki empty rows in 256 KiB: stopped at the cap, not at 14 MB. */
    for (size_t i = 0; i + 1 < WEIR_MESSAGE_META_BYTES_MAX; i += 2) {
        out.data[i] = 0x12; /* field 2, length 0 */
        out.data[i + 1] = 0;
    }
    assert_int_equal (weir_meta_get (&message, arena, kind, false,
                                     weir_bytes (out.data, WEIR_MESSAGE_META_BYTES_MAX)),
                      WEIR_TOO_LARGE);
    assert_true (weir_arena_used (arena) <= WEIR_UNPACK_BYTES_MAX + (64u << 10));
    /* The caller's own arena may be smaller. */
    struct weir_arena *small = weir_arena_new (1024);
    assert_int_equal (weir_meta_get (&message, small, kind, false, weir_bytes (out.data, 200)),
                      WEIR_TOO_LARGE);
    weir_arena_destroy (&small);
    weir_buf_fini (&out);
    weir_arena_destroy (&arena);
}

static void
test_fields (void **state)
{
    (void) state;
    struct weir_id id = { .b = { 1, 2, 3 } };
    struct weir_id back = weir_id_zero;
    assert_int_equal (weir_field_get_id (&back, true, weir_field_id (&id)), WEIR_OK);
    assert_true (weir_id_equal (&id, &back));
    assert_int_equal (weir_field_get_id (&back, false, weir_field_id (&id)), WEIR_BAD_MESSAGE);
    assert_int_equal (weir_field_get_id (&back, true, weir_field_str ("short")), WEIR_BAD_MESSAGE);
    char text[6];
    assert_int_equal (weir_field_get_text (text, 5, true, weir_field_str ("hello")), WEIR_OK);
    assert_string_equal (text, "hello");
    assert_int_equal (weir_field_get_text (text, 5, true, weir_field_str ("")), WEIR_OK);
    assert_string_equal (text, "");
    assert_int_equal (weir_field_get_text (text, 5, false, weir_field_str ("x")), WEIR_OK);
    assert_string_equal (text, "");
    assert_int_equal (weir_field_get_text (text, 5, true, weir_field_str ("hello!")),
                      WEIR_BAD_MESSAGE);
    assert_int_equal (weir_field_get_text (text, 5, true, weir_field_str ("\xc3")),
                      WEIR_BAD_MESSAGE);
    assert_int_equal (weir_field_get_text (text, 5, true, weir_field_of (weir_bytes ("a\0b", 3))),
                      WEIR_BAD_MESSAGE);
    assert_int_equal (weir_field_str (NULL).len, 0);
}

static void
test_problems (void **state)
{
    (void) state;
    struct weir_buf out = { 0 };
    struct weir_error e = { .what = "disk \x1b[31m gone", .hint = "buy one" };
    struct weir_error back;
    weir_problem_put (&out, WEIR_IO_ERROR, &e);
    weir_problem_get (&back, WEIR_IO_ERROR, weir_buf_bytes (&out));
    assert_int_equal (back.status, WEIR_IO_ERROR);
    assert_string_equal (back.what, "disk ?[31m gone"); /* cannot drive a terminal */
    assert_string_equal (back.hint, "buy one");
    weir_buf_clear (&out);
    weir_problem_put (&out, WEIR_BUSY, NULL);
    weir_problem_get (&back, WEIR_BUSY, weir_buf_bytes (&out));
    assert_string_equal (back.what, "busy");
    weir_problem_get (&back, WEIR_BUSY, weir_bytes_str ("\xff\xff"));
    assert_int_equal (back.status, WEIR_BUSY);
    assert_string_equal (back.what, "busy");
    /* Too long, or not text: the code still stands. */
    char longer[400];
    memset (longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    Weir__Problem problem = WEIR__PROBLEM__INIT;
    problem.has_what = problem.has_hint = 1;
    problem.what = problem.hint = weir_field_str (longer);
    weir_buf_clear (&out);
    weir_meta_put (&out, &problem.base);
    weir_problem_get (&back, WEIR_BUSY, weir_buf_bytes (&out));
    assert_string_equal (back.what, "busy");
    weir_buf_fini (&out);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_envelope_layout), cmocka_unit_test (test_envelope_refuses),
        cmocka_unit_test (test_mailboxes),       cmocka_unit_test (test_table_is_consistent),
        cmocka_unit_test (test_types_are_flat),  cmocka_unit_test (test_roles),
        cmocka_unit_test (test_round_trip),      cmocka_unit_test (test_hostile_meta),
        cmocka_unit_test (test_fields),          cmocka_unit_test (test_problems),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
