/* Goal: the example of docs/documents.md, as an application would write it: two devices edit one
 * note apart, exchange what the other lacks, look back, and undo. A program to begin from. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/replica/replica.h"

static void
must (enum weir_status status, const struct weir_error *e)
{
    if (status != WEIR_OK) {
        fail_msg ("%s: %s (%s)", weir_status_code (status), e->what, weir_error_hint (e));
    }
}

/* The text container of the note, through the open change. */
static struct weir_container *
note (struct weir_replica *replica, struct weir_change **change)
{
    struct weir_error e = { 0 };
    struct weir_container *text = NULL;
    must (weir_replica_change (replica, change, &e), &e);
    must (weir_change_root (*change, "note", &weir_container_text, &text, &e), &e);
    return text;
}

static void
type (struct weir_replica *replica, uint32_t at, const char *words)
{
    struct weir_error e = { 0 };
    struct weir_change *change = NULL;
    struct weir_container *text = note (replica, &change);
    must (weir_change_text_insert (change, text, at, weir_bytes_str (words), &e), &e);
    must (weir_replica_commit (replica, weir_bytes_str ("typed"), 0, NULL, &e), &e);
}

/* What `to` lacks of `from`, as bytes, as they would travel. */
static void
send (struct weir_replica *from, struct weir_replica *to)
{
    struct weir_error e = { 0 };
    struct weir_heads heads = { 0 };
    struct weir_op_vector has = { 0 };
    struct weir_import result = { 0 };
    struct weir_buf blob = { 0 };
    weir_replica_log_heads (to, &heads);
    must (weir_replica_vector (to, &heads, &has, &e), &e);
    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE, .from = &has, .fast = true };
    must (weir_replica_export (from, &what, &blob, &e), &e);
    must (weir_replica_import (to, weir_buf_bytes (&blob), &result, &e), &e);
    weir_import_fini (&result);
    weir_buf_fini (&blob);
    weir_op_vector_fini (&has);
    weir_heads_fini (&heads);
}

static void
assert_note (struct weir_replica *replica, const char *wanted)
{
    struct weir_error e = { 0 };
    json_t *value = NULL;
    must (weir_doc_get (weir_replica_doc (replica), "/note", &value, &e), &e);
    assert_string_equal (json_string_value (value), wanted);
    json_decref (value);
}

static void
test_example (void **state)
{
    struct weir_error e = { 0 };
    struct weir_identity anna;
    struct weir_identity ben;
    struct weir_buf genesis = { 0 };
    struct weir_replica *a = NULL;
    struct weir_replica *b = NULL;
    struct weir_heads before = { 0 };
    const uint8_t random[32] = { 4, 2 }; /* an application draws it */
    (void) state;
    weir_identity_init (&anna, (const uint8_t[32]){ 1 });
    weir_identity_init (&ben, (const uint8_t[32]){ 2 });
    weir_replica_genesis (&anna, random, "notes", &genesis);
    struct weir_replica_options of_anna = { .identity = &anna,
                                            .lane = 11,
                                            .genesis = weir_buf_bytes (&genesis) };
    struct weir_replica_options of_ben = { .identity = &ben, .lane = 22 };
    must (weir_replica_new (&a, &of_anna, &e), &e);
    must (weir_replica_new (&b, &of_ben, &e), &e); /* the genesis comes with the first import */

    type (a, 0, "Hello");
    send (a, b);
    assert_note (b, "Hello");
    weir_replica_log_heads (a, &before);

    /* Both at once: nothing is lost, nothing interleaved. */
    struct weir_undo *undo = weir_undo_new (a, 0, 100);
    type (a, 5, " world");
    type (b, 0, "> ");
    send (a, b);
    send (b, a);
    assert_note (a, "> Hello world");
    assert_note (b, "> Hello world");

    /* Back to before, and forth. */
    must (weir_replica_checkout (a, &before, &e), &e);
    assert_note (a, "Hello");
    must (weir_replica_attach (a, &e), &e);
    assert_note (a, "> Hello world");
    weir_undo_destroy (&undo);

    /* Undo takes back one's own, and leaves what others wrote. */
    undo = weir_undo_new (a, 0, 100);
    type (a, 13, "!");
    type (b, 2, "(");
    send (b, a);
    must (weir_undo_undo (undo, &e), &e);
    assert_note (a, "> (Hello world");
    must (weir_undo_redo (undo, &e), &e);
    assert_note (a, "> (Hello world!");

    weir_undo_destroy (&undo);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    weir_heads_fini (&before);
    weir_buf_fini (&genesis);
    weir_identity_fini (&anna);
    weir_identity_fini (&ben);
}

int
main (void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test (test_example) };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
