/* Goal: what clients ask of the store: each handler with a good, a hostile, a duplicate and a late
 * message. Answers to writes wait for their batch; a resend gets the first answer, before it is
 * synced, after, and after a restart; nothing that a message lacks brings the store down. */

#include "tests/actors/store/fake.h"

#define NONE weir_bytes (NULL, 0)

static Weir__DocWrite
write_ask (const char *path, const uint8_t client[16], uint64_t number)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    ask.has_db = ask.has_path = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str ("notes");
    ask.path = weir_field_str (path);
    ask.client = weir_field_of (weir_bytes (client, 16));
    ask.number = number;
    return ask;
}

static void
test_answers_wait_for_the_disk (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    static const uint8_t client[16] = { 1 };
    fake_init (f, 1);
    fake_create (f, "notes");
    Weir__DocWrite ask = write_ask ("/m/a", client, 1);
    uint64_t first = fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"));
    assert_int_equal (fake_answers (f, first), 0);
    fake_turn (f);
    assert_int_equal (fake_answers (f, first), 0);
    /* A resend while it is not synced: the same answer, once that is. */
    uint64_t again = fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"));
    fake_turn (f);
    assert_int_equal (fake_answers (f, again), 0);
    fake_sync (f);
    assert_int_equal (fake_answers (f, first), 1);
    assert_int_equal (fake_answers (f, again), 1);
    const struct fake_sent *a = fake_answer (f, first);
    const struct fake_sent *b = fake_answer (f, again);
    assert_int_equal (a->status, WEIR_OK);
    assert_true (weir_bytes_equal (weir_buf_bytes (&a->meta), weir_buf_bytes (&b->meta)));
    /* Late, and after a restart. */
    uint64_t late = fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"));
    fake_turn (f);
    fake_sync (f);
    a = fake_answer (f, first);
    b = fake_answer (f, late);
    assert_true (weir_bytes_equal (weir_buf_bytes (&a->meta), weir_buf_bytes (&b->meta)));
    fake_restart (f, 0);
    late = fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"));
    fake_turn (f);
    fake_sync (f);
    a = fake_answer (f, first);
    b = fake_answer (f, late);
    assert_non_null (b);
    assert_true (weir_bytes_equal (weir_buf_bytes (&a->meta), weir_buf_bytes (&b->meta)));
    assert_int_equal (f->store->commits, 0);
    fake_fini (f);
    free (f);
}

/* Not synced and lost: the resend is a new request, and its entry the only one. */
static void
test_a_lost_write_is_written_again (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    static const uint8_t client[16] = { 1 };
    fake_init (f, 2);
    fake_create (f, "notes");
    Weir__DocWrite ask = write_ask ("/m/a", client, 1);
    uint64_t lost = fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("\"x\""));
    fake_turn (f);
    fake_restart (f, 0);
    assert_int_equal (fake_answers (f, lost), 0);
    assert_int_equal (fake_call (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("\"x\""), NULL),
                      WEIR_OK);
    assert_int_equal (f->store->commits, 1);
    fake_fini (f);
    free (f);
}

/* Two commits of one turn are one batch, answered together; a read in between sees them. */
static void
test_group_commit (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    static const uint8_t client[16] = { 3 };
    uint64_t requests[100];
    fake_init (f, 3);
    fake_create (f, "notes");
    uint64_t before = f->store->batch_last;
    for (size_t i = 0; i < 100; i++) {
        char path[16];
        snprintf (path, sizeof path, "/m/k%zu", i);
        Weir__DocWrite ask = write_ask (path, client, i + 1);
        requests[i] = fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("true"));
    }
    fake_turn (f);
    assert_int_equal (f->store->batch_last, before + 1);
    fake_sync (f);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal (fake_answers (f, requests[i]), 1);
    }
    fake_fini (f);
    free (f);
}

/* A store that wrote nothing since its start still answers what waits for "all so far". */
static void
test_answers_without_a_batch (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 4);
    struct weir_id db = fake_create (f, "notes");
    fake_restart (f, 0);
    Weir__Compare ask = WEIR__COMPARE__INIT;
    ask.has_db = true;
    ask.db = weir_field_id (&db);
    uint64_t request = fake_ask (f, WEIR_KIND_COMPARE, &ask.base, NONE);
    fake_turn (f);
    assert_int_equal (fake_answers (f, request), 1);
    fake_fini (f);
    free (f);
}

static void
test_apply (void **state)
{
    (void) state;
    static const struct {
        const char *body;
        enum weir_status status;
        uint64_t commits, unchanged, failed_line;
    } rows[] = {
        { "[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":1}]", WEIR_OK, 1, 0, 0 },
        { "[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":1}]\n", WEIR_OK, 0, 1, 0 },
        { "\n \n[{\"op\":\"add\",\"path\":\"/m/b\",\"value\":1}]\n\t\r\n"
          "[{\"op\":\"remove\",\"path\":\"/m/b\"}]",
          WEIR_OK, 2, 0, 0 },
        { "[{\"op\":\"add\",\"path\":\"/m/c\",\"value\":1}]\n\n{bad\n"
          "[{\"op\":\"add\",\"path\":\"/m/d\",\"value\":1}]\n",
          WEIR_INVALID_JSON, 1, 0, 3 },
        { "[{\"op\":\"add\",\"path\":\"/m/e\",\"value\":1}]\n"
          "[{\"op\":\"add\",\"path\":\"/m/f\",\"value\":1},{\"op\":\"remove\",\"path\":\"/m/no\"}]",
          WEIR_CONFLICT, 1, 0, 2 },
        { "", WEIR_OK, 0, 0, 0 },
        { "[]", WEIR_OK, 0, 1, 0 },
    };
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 5);
    fake_create (f, "notes");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
        const struct fake_sent *answer = NULL;
        ask.has_db = true;
        ask.db = weir_field_str ("notes");
        assert_int_equal (
            fake_call (f, WEIR_KIND_DOC_APPLY, &ask.base, weir_bytes_str (rows[i].body), &answer),
            WEIR_OK);
        const Weir__DocApplied *m = (const Weir__DocApplied *) fake_meta (answer);
        if (m->commits != rows[i].commits || m->unchanged != rows[i].unchanged
            || m->failed_line != rows[i].failed_line
            || (rows[i].status == WEIR_OK) != (m->status == WEIR_OK)) {
            fail_msg ("row %zu: %u commits, %u unchanged, line %u, %s", i, (unsigned) m->commits,
                      (unsigned) m->unchanged, (unsigned) m->failed_line,
                      weir_status_code (weir_status_from_number (m->status)));
        }
    }
    /* A failure in the first line names it, too. */
    Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    const struct fake_sent *answer = NULL;
    assert_int_equal (
        fake_call (f, WEIR_KIND_DOC_APPLY, &ask.base, weir_bytes_str ("x\n"), &answer), WEIR_OK);
    const Weir__DocApplied *m = (const Weir__DocApplied *) fake_meta (answer);
    assert_int_equal (m->failed_line, 1);
    /* A failed patch left nothing of itself. */
    Weir__DocPath get = WEIR__DOC_PATH__INIT;
    get.has_db = get.has_path = true;
    get.db = weir_field_str ("notes");
    get.path = weir_field_str ("/m/f");
    assert_int_equal (fake_call (f, WEIR_KIND_DOC_GET, &get.base, NONE, NULL), WEIR_NOT_FOUND);
    get.path = weir_field_str ("/m/e");
    assert_int_equal (fake_call (f, WEIR_KIND_DOC_GET, &get.base, NONE, NULL), WEIR_OK);
    fake_fini (f);
    free (f);
}

/* 5 MB come back in parts, each within the bound of a body. */
static void
test_large_values (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    struct weir_buf text = { 0 };
    fake_init (f, 6);
    fake_create (f, "notes");
    for (int i = 0; i < 10; i++) {
        char path[16];
        weir_buf_clear (&text);
        weir_buf_put_u8 (&text, '"');
        for (int k = 0; k < 500000; k++) {
            weir_buf_put_u8 (&text, (uint8_t) ('a' + i));
        }
        weir_buf_put_u8 (&text, '"');
        snprintf (path, sizeof path, "/m/k%d", i);
        assert_int_equal (fake_set (f, "notes", path, weir_buf_str (&text)), WEIR_OK);
    }
    Weir__DocPath get = WEIR__DOC_PATH__INIT;
    get.has_db = true;
    get.db = weir_field_str ("notes");
    uint64_t request = fake_ask (f, WEIR_KIND_DOC_GET, &get.base, NONE);
    assert_int_equal (fake_answers (f, request), 5);
    weir_buf_clear (&text);
    for (size_t i = 0; i < f->n_sent; i++) {
        if (f->sent[i].is_answer && f->sent[i].request == request) {
            weir_buf_put_bytes (&text, weir_buf_bytes (&f->sent[i].body));
            assert_int_equal (f->sent[i].more, text.len < 5000000);
        }
    }
    json_t *whole = json_loadb ((const char *) text.data, text.len, 0, NULL);
    assert_int_equal (json_object_size (json_object_get (whole, "m")), 10);
    json_decref (whole);
    weir_buf_fini (&text);
    fake_fini (f);
    free (f);
}

/* Pages of the log cover every entry once, whatever their size, over runs of any length. */
static void
test_log_pages (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 7);
    fake_create (f, "notes");
    static const size_t runs[] = { 1, 5, 1, 10, 3, 5 };
    size_t total = 1;
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        struct weir_buf body = { 0 };
        for (size_t i = 0; i < runs[r]; i++) {
            weir_buf_printf (&body, "[{\"op\":\"add\",\"path\":\"/m/%zu-%zu\",\"value\":1}]\n", r,
                             i);
        }
        Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
        ask.has_db = true;
        ask.db = weir_field_str ("notes");
        assert_int_equal (
            fake_call (f, WEIR_KIND_DOC_APPLY, &ask.base, weir_buf_bytes (&body), NULL), WEIR_OK);
        weir_buf_fini (&body);
        total += runs[r];
    }
    for (uint32_t limit = 1; limit < 30; limit++) {
        uint64_t before = 0;
        uint64_t seq = UINT64_MAX;
        size_t seen = 0;
        do {
            Weir__DocLogAsk ask = WEIR__DOC_LOG_ASK__INIT;
            const struct fake_sent *answer = NULL;
            ask.has_db = ask.has_limit = ask.has_before = true;
            ask.db = weir_field_str ("notes");
            ask.limit = limit;
            ask.before = before;
            assert_int_equal (fake_call (f, WEIR_KIND_DOC_LOG, &ask.base, NONE, &answer), WEIR_OK);
            const Weir__DocLog *m = (const Weir__DocLog *) fake_meta (answer);
            assert_true (m->n_items <= limit);
            for (size_t i = 0; i < m->n_items; i++) {
                assert_true (seq == UINT64_MAX || m->items[i]->seq + 1 == seq);
                seq = m->items[i]->seq;
                seen++;
            }
            before = m->before;
        } while (before != 0);
        assert_int_equal (seen, total);
        fake_clear (f);
    }
    fake_fini (f);
    free (f);
}

static const struct fake_sent *
watch (struct fake *f, const char *db, const char *since, uint32_t ms, uint64_t *request)
{
    Weir__DbWatch ask = WEIR__DB_WATCH__INIT;
    ask.has_db = db != NULL;
    ask.db = weir_field_str (db);
    ask.has_since = since != NULL;
    ask.since = weir_field_str (since);
    ask.has_ms = true;
    ask.ms = ms;
    *request = fake_ask (f, WEIR_KIND_DB_WATCH, &ask.base, NONE);
    return fake_answer (f, *request);
}

static void
test_feed (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    uint64_t request;
    char token[64];
    fake_init (f, 8);
    fake_create (f, "notes");
    fake_create (f, "other");
    const Weir__CommitEvents *m =
        (const Weir__CommitEvents *) fake_meta (watch (f, "notes", NULL, 1000, &request));
    assert_int_equal (m->n_items, 1);
    assert_int_equal (weir_field_get_text (token, sizeof token - 1, m->has_token, m->token),
                      WEIR_OK);
    /* Nothing new: it waits, others' commits do not wake it, its own do, when durable. */
    assert_null (watch (f, "notes", token, 1000, &request));
    assert_int_equal (fake_set (f, "other", "/m/a", "1"), WEIR_OK);
    assert_int_equal (fake_answers (f, request), 0);
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("notes");
    ask.path = weir_field_str ("/m/a");
    (void) fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"));
    fake_turn (f);
    assert_int_equal (fake_answers (f, request), 0);
    fake_sync (f);
    m = (const Weir__CommitEvents *) fake_meta (fake_answer (f, request));
    assert_int_equal (m->n_items, 1);
    assert_int_equal (weir_field_get_text (token, sizeof token - 1, m->has_token, m->token),
                      WEIR_OK);
    /* The end of its patience gives an empty answer with a token. */
    assert_null (watch (f, "notes", token, 1000, &request));
    fake_wait (f, 999);
    assert_int_equal (fake_answers (f, request), 0);
    fake_wait (f, 2);
    m = (const Weir__CommitEvents *) fake_meta (fake_answer (f, request));
    assert_int_equal (m->n_items, 0);
    assert_true (m->has_token && !m->gap);
    /* Tokens from elsewhere. */
    char other[64];
    snprintf (other, sizeof other, "%s", token);
    other[0] = other[0] == 'a' ? 'b' : 'a';
    m = (const Weir__CommitEvents *) fake_meta (watch (f, "notes", other, 1000, &request));
    assert_true (m->gap && m->n_items == 0);
    snprintf (other, sizeof other, "%.17sffffff", token);
    m = (const Weir__CommitEvents *) fake_meta (watch (f, NULL, other, 1000, &request));
    assert_true (m->gap);
    static const char *const bad[] = { "x",
                                       "0123456789abcdef",
                                       "0123456789abcdef.",
                                       ".1",
                                       "0123456789abcdef.1 ",
                                       "zzzzzzzzzzzzzzzz.1",
                                       "0123456789abcdef.12345678901234567890" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal (watch (f, "notes", bad[i], 1000, &request)->status,
                          WEIR_INVALID_ARGUMENT);
    }
    assert_int_equal (watch (f, "nosuch", NULL, 1000, &request)->status, WEIR_NOT_FOUND);
    assert_null (watch (f, "notes", token, 60000, &request)); /* left waiting at the end */
    fake_fini (f);
    free (f);
}

/* What a message lacks or says wrongly is an error with a code for every kind. */
static void
test_hostile_messages (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 9);
    fake_create (f, "notes");
    struct weir_rand random;
    weir_rand_init (&random, 1);
    for (size_t i = 0; weir_kind_at (i) != NULL; i++) {
        const struct weir_kind *kind = weir_kind_at (i);
        if (kind->to != WEIR_ROLE_S || (kind->from & WEIR_ROLE_N) != 0) {
            continue;
        }
        for (int n = 0; n < 40; n++) {
            /* Nothing at first, then random fields that unpack. */
            struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
            struct weir_buf packed = { 0 };
            ProtobufCMessage *meta = NULL;
            for (int k = 0; k < n % 8 && kind->meta != NULL; k++) {
                const ProtobufCFieldDescriptor *field =
                    &kind->meta->fields[weir_rand_below (&random, kind->meta->n_fields)];
                struct weir_buf value = { 0 };
                switch ((int) field->type) {
                case PROTOBUF_C_TYPE_BYTES:
                    weir_buf_put_u8 (&packed, (uint8_t) (field->id << 3 | 2));
                    for (uint64_t b = weir_rand_below (&random, 40); b > 0; b--) {
                        weir_buf_put_u8 (&value, (uint8_t) weir_rand_below (&random, 256));
                    }
                    if (weir_rand_below (&random, 3) == 0) {
                        weir_buf_clear (&value);
                        weir_buf_put_bytes (&value, weir_bytes_str ("notes"));
                    }
                    weir_buf_put_blob (&packed, weir_buf_bytes (&value));
                    break;
                case PROTOBUF_C_TYPE_MESSAGE: /* an empty one */
                    weir_buf_put_u8 (&packed, (uint8_t) (field->id << 3 | 2));
                    weir_buf_put_u8 (&packed, 0);
                    break;
                case PROTOBUF_C_TYPE_FIXED64:
                    weir_buf_put_u8 (&packed, (uint8_t) (field->id << 3 | 1));
                    weir_buf_put_u64 (&packed, weir_rand_u64 (&random));
                    break;
                default:
                    weir_buf_put_u8 (&packed, (uint8_t) (field->id << 3));
                    weir_buf_put_varint (&packed, weir_rand_u64 (&random) >> (n % 64));
                    break;
                }
                weir_buf_fini (&value);
            }
            if (weir_meta_get (&meta, arena, kind, false, weir_buf_bytes (&packed)) == WEIR_OK) {
                uint64_t request = fake_ask (f, kind->number, meta, weir_bytes_str ("{\"a\":["));
                fake_turn (f);
                fake_sync (f);
                bool oneway = (kind->flags & WEIR_KIND_ONEWAY) != 0;
                bool waits = kind->number == WEIR_KIND_DB_WATCH;
                if (!waits && (fake_answers (f, request) > 0) == oneway) {
                    fail_msg ("%s has %zu answers", kind->name, fake_answers (f, request));
                }
            }
            fake_clear (f);
            weir_buf_fini (&packed);
            weir_arena_destroy (&arena);
        }
    }
    fake_fini (f);
    free (f);
}

static void
test_databases_and_members (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    static const uint8_t client[16] = { 9 };
    const struct fake_sent *answer = NULL;
    fake_init (f, 10);
    Weir__DbCreate create = WEIR__DB_CREATE__INIT;
    create.has_name = create.has_client = create.has_number = true;
    create.name = weir_field_str ("notes");
    create.client = weir_field_of (weir_bytes (client, 16));
    create.number = 1;
    assert_int_equal (fake_call (f, WEIR_KIND_DB_CREATE, &create.base, NONE, NULL), WEIR_OK);
    assert_int_equal (fake_call (f, WEIR_KIND_DB_CREATE, &create.base, NONE, NULL), WEIR_OK);
    create.number = 2;
    assert_int_equal (fake_call (f, WEIR_KIND_DB_CREATE, &create.base, NONE, NULL), WEIR_EXISTS);
    create.client.len = 15;
    assert_int_equal (fake_call (f, WEIR_KIND_DB_CREATE, &create.base, NONE, NULL),
                      WEIR_BAD_MESSAGE);
    struct weir_id device = weir_id_zero;
    device.b[0] = 7;
    struct weir_id_text text = weir_id_text (&device);
    Weir__DbGrant grant = WEIR__DB_GRANT__INIT;
    grant.has_db = grant.has_device = true;
    grant.db = weir_field_str ("notes");
    grant.device = weir_field_str (text.s);
    /* Without a right it is no removal. */
    assert_int_equal (fake_call (f, WEIR_KIND_DB_GRANT, &grant.base, NONE, NULL),
                      WEIR_INVALID_ARGUMENT);
    grant.has_right = true;
    grant.right = WEIR_RIGHT_COUNT;
    assert_int_equal (fake_call (f, WEIR_KIND_DB_GRANT, &grant.base, NONE, NULL),
                      WEIR_INVALID_ARGUMENT);
    grant.right = WEIR_RIGHT_READ;
    assert_int_equal (fake_call (f, WEIR_KIND_DB_GRANT, &grant.base, NONE, NULL), WEIR_OK);
    grant.right = WEIR_RIGHT_NONE;
    grant.device = weir_field_str ("nobody");
    assert_int_equal (fake_call (f, WEIR_KIND_DB_GRANT, &grant.base, NONE, NULL), WEIR_NOT_FOUND);
    grant.device = weir_field_str (text.s);
    assert_int_equal (fake_call (f, WEIR_KIND_DB_GRANT, &grant.base, NONE, NULL), WEIR_OK);
    assert_int_equal (fake_call (f, WEIR_KIND_DB_GRANT, &grant.base, NONE, NULL), WEIR_NOT_FOUND);
    Weir__DbMembersAsk members = WEIR__DB_MEMBERS_ASK__INIT;
    members.has_db = true;
    members.db = weir_field_str ("notes");
    assert_int_equal (fake_call (f, WEIR_KIND_DB_MEMBERS, &members.base, NONE, &answer), WEIR_OK);
    const Weir__DbMembers *m = (const Weir__DbMembers *) fake_meta (answer);
    assert_int_equal (m->n_items, 2);
    /* Leaving twice gives the same entry. */
    Weir__DbName leave = WEIR__DB_NAME__INIT;
    struct weir_id left[2];
    leave.has_db = true;
    leave.db = weir_field_str ("notes");
    for (int i = 0; i < 2; i++) {
        assert_int_equal (fake_call (f, WEIR_KIND_DB_LEAVE, &leave.base, NONE, &answer), WEIR_OK);
        const Weir__EntryId *entry = (const Weir__EntryId *) fake_meta (answer);
        assert_int_equal (weir_field_get_id (&left[i], entry->has_id, entry->id), WEIR_OK);
        assert_int_equal (entry->unchanged, i == 1);
    }
    assert_true (weir_id_equal (&left[0], &left[1]));
    assert_int_equal (fake_set (f, "notes", "/m/a", "1"), WEIR_REMOVED);
    Weir__DbForget forget = WEIR__DB_FORGET__INIT;
    forget.has_db = true;
    forget.db = weir_field_str ("notes");
    assert_int_equal (fake_call (f, WEIR_KIND_DB_FORGET, &forget.base, NONE, NULL), WEIR_OK);
    assert_int_equal (fake_call (f, WEIR_KIND_DB_FORGET, &forget.base, NONE, NULL), WEIR_NOT_FOUND);
    fake_fini (f);
    free (f);
}

/* Lag is the difference of sets, and its age that of the oldest entry, not of the newest. */
static void
test_lag (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    const struct fake_sent *answer = NULL;
    fake_init (f, 14);
    struct weir_id db = fake_create (f, "notes");
    for (int i = 0; i < 5; i++) {
        char path[16];
        snprintf (path, sizeof path, "/m/%d", i);
        f->wall_ms += 1000;
        assert_int_equal (fake_set (f, "notes", path, "1"), WEIR_OK);
    }
    f->wall_ms += 1000;
    const struct weir_vector *v = weir_repo_vector (f->store->repo, &db);
    assert_int_equal (v->count, 1);
    for (uint64_t known = 0; known <= 6; known += 3) {
        Weir__Lag ask = WEIR__LAG__INIT;
        Weir__Row row = WEIR__ROW__INIT;
        Weir__Row *rows[1] = { &row };
        struct weir_log_row last;
        struct weir_id tip = v->rows[0].tip;
        uint64_t upper = UINT64_MAX;
        while (known > 0 && weir_repo_log_prev (f->store->repo, upper, &db, &last) == WEIR_OK
               && last.range.to_seq > known) {
            upper = last.position;
        }
        if (known > 0 && known < 6) {
            assert_int_equal (weir_repo_log_prev (f->store->repo, upper, &db, &last), WEIR_OK);
            tip = last.range.tip;
        }
        row.has_author = row.has_lane = row.has_count = row.has_tip = true;
        row.author = weir_field_id (&v->rows[0].chain.author);
        row.lane = v->rows[0].chain.lane;
        row.count = known;
        row.tip = weir_field_id (&tip);
        ask.has_db = true;
        ask.db = weir_field_id (&db);
        ask.n_known = known > 0 ? 1 : 0;
        ask.known = rows;
        assert_int_equal (fake_call (f, WEIR_KIND_LAG, &ask.base, NONE, &answer), WEIR_OK);
        const Weir__LagAnswer *m = (const Weir__LagAnswer *) fake_meta (answer);
        assert_int_equal (m->entries, 6 - known);
        assert_int_equal (m->oldest_ms, known == 6 ? 0 : (6 - known) * 1000);
    }
    fake_fini (f);
    free (f);
}

/* Lists come in pages that fit a message, whole however long they are. */
static void
test_long_lists (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 13);
    struct weir_id db = fake_create (f, "notes");
    struct weir_member_change *changes = calloc (WEIR_SETTINGS_CHANGES_MAX, sizeof *changes);
    for (size_t i = 0; i < 2000; i += WEIR_SETTINGS_CHANGES_MAX) {
        struct weir_id entry;
        for (size_t k = 0; k < WEIR_SETTINGS_CHANGES_MAX; k++) {
            memset (&changes[k], 0, sizeof changes[k]);
            changes[k].device.b[0] = 1;
            changes[k].device.b[1] = (uint8_t) (i / WEIR_SETTINGS_CHANGES_MAX);
            changes[k].device.b[2] = (uint8_t) k;
            changes[k].right = WEIR_RIGHT_READ;
            memset (changes[k].name, 'n', WEIR_NAME_BYTES_MAX);
        }
        assert_int_equal (weir_repo_change_members (f->store->repo, &db, changes,
                                                    WEIR_SETTINGS_CHANGES_MAX, f->wall_ms, &entry,
                                                    NULL),
                          WEIR_OK);
    }
    for (size_t i = 0; i < 1500; i++) {
        char name[WEIR_NAME_BYTES_MAX + 1];
        struct weir_id id;
        snprintf (name, sizeof name, "%0100zu", i);
        assert_int_equal (weir_repo_create (f->store->repo, name, f->wall_ms, &id, NULL), WEIR_OK);
    }
    Weir__DbMembersAsk ask = WEIR__DB_MEMBERS_ASK__INIT;
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    uint64_t requests[2] = { fake_ask (f, WEIR_KIND_DB_MEMBERS, &ask.base, NONE),
                             fake_ask (f, WEIR_KIND_DB_LIST, NULL, NONE) };
    size_t n[2] = { 0 };
    for (size_t i = 0; i < f->n_sent; i++) {
        for (size_t k = 0; k < 2; k++) {
            if (f->sent[i].is_answer && f->sent[i].request == requests[k]) {
                const ProtobufCMessage *m = fake_meta (&f->sent[i]);
                n[k] += k == 0 ? ((const Weir__DbMembers *) m)->n_items
                               : ((const Weir__DbInfos *) m)->n_items;
            }
        }
    }
    assert_int_equal (n[0], 1 + 8 * WEIR_SETTINGS_CHANGES_MAX);
    assert_int_equal (n[1], 1501);
    assert_true (fake_answers (f, requests[0]) > 1 && fake_answers (f, requests[1]) > 1);
    assert_false (fake_answer (f, requests[1])->more);
    free (changes);
    fake_fini (f);
    free (f);
}

/* A full disk refuses what would grow it, and reads go on. */
static void
test_disk_full (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 11);
    fake_create (f, "notes");
    assert_int_equal (fake_set (f, "notes", "/m/a", "1"), WEIR_OK);
    struct weir_settings_values *v = (void *) (uintptr_t) weir_actor_settings (f->store->actor);
    v->disk_reserve_mb = 1u << 30;
    fake_wait (f, 1000);
    assert_true (f->store->disk_full);
    assert_int_equal (fake_set (f, "notes", "/m/b", "1"), WEIR_DISK_FULL);
    Weir__DocPath get = WEIR__DOC_PATH__INIT;
    get.has_db = true;
    get.db = weir_field_str ("notes");
    assert_int_equal (fake_call (f, WEIR_KIND_DOC_GET, &get.base, NONE, NULL), WEIR_OK);
    v->disk_reserve_mb = 1;
    fake_wait (f, 1000);
    assert_int_equal (fake_set (f, "notes", "/m/b", "1"), WEIR_OK);
    assert_int_equal (f->events >= 2, true);
    /* A disk that fails under way ends the actor, and nothing is acknowledged any more. */
    weir_kv_memory_fail (f->store->kv, WEIR_IO_ERROR);
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("notes");
    ask.path = weir_field_str ("/m/c");
    uint64_t request = fake_ask (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"));
    fake_turn (f);
    fake_sync (f);
    assert_true (f->ended);
    assert_true (fake_answers (f, request) == 0 || fake_answer (f, request)->status != WEIR_OK);
    fake_fini (f);
    free (f);
}

/* Rows of other actors only; keys and tickets are the store's own. */
static void
test_state_rows (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    static const struct {
        const char *key;
        enum weir_status status;
    } rows[] = {
        { "peers/a", WEIR_OK },
        { "retry/a/b", WEIR_OK },
        { "link_keys", WEIR_INVALID_ARGUMENT },
        { "tickets/x", WEIR_INVALID_ARGUMENT },
        { "joins/x", WEIR_INVALID_ARGUMENT },
        { "", WEIR_INVALID_ARGUMENT },
        { "own_card", WEIR_INVALID_ARGUMENT },
        { "peers", WEIR_INVALID_ARGUMENT },
    };
    fake_init (f, 12);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Weir__StateRow row = WEIR__STATE_ROW__INIT;
        Weir__StateRow *items[] = { &row };
        Weir__StateRows put = WEIR__STATE_ROWS__INIT;
        row.has_key = row.has_value = true;
        row.key = weir_field_str (rows[i].key);
        row.value = weir_field_str ("v");
        put.n_rows = 1;
        put.rows = items;
        assert_int_equal (fake_call (f, WEIR_KIND_STATE_PUT, &put.base, NONE, NULL),
                          rows[i].status);
        Weir__StateScan get = WEIR__STATE_SCAN__INIT;
        get.has_prefix = true;
        get.prefix = weir_field_str (rows[i].key);
        assert_int_equal (fake_call (f, WEIR_KIND_STATE_GET, &get.base, NONE, NULL),
                          rows[i].status);
    }
    fake_fini (f);
    free (f);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_answers_wait_for_the_disk),
        cmocka_unit_test (test_a_lost_write_is_written_again),
        cmocka_unit_test (test_group_commit),
        cmocka_unit_test (test_answers_without_a_batch),
        cmocka_unit_test (test_apply),
        cmocka_unit_test (test_large_values),
        cmocka_unit_test (test_log_pages),
        cmocka_unit_test (test_feed),
        cmocka_unit_test (test_hostile_messages),
        cmocka_unit_test (test_databases_and_members),
        cmocka_unit_test (test_disk_full),
        cmocka_unit_test (test_state_rows),
        cmocka_unit_test (test_long_lists),
        cmocka_unit_test (test_lag),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
