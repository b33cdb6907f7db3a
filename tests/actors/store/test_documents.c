/* Goal: versions of documents and databases as files, by the store's handlers: values at older
 * heads, differences, going back (numbered, so once), counters in the log; exports of each mode,
 * imports of them elsewhere. Hostile: unknown and ambiguous heads, huge or empty spans, bodies
 * that are garbage, cut short, or another database's; nothing of those leaves a trace. */

#include "store/replica/export.h"
#include "tests/actors/store/fake.h"

#define NONE weir_bytes (NULL, 0)

static void
patch (struct fake *f, const char *db, const char *body)
{
    Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
    const struct fake_sent *answer = NULL;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    assert_int_equal (fake_call (f, WEIR_KIND_DOC_APPLY, &ask.base, weir_bytes_str (body), &answer),
                      WEIR_OK);
    const Weir__DocApplied *m = (const Weir__DocApplied *) fake_meta (answer);
    if (m->failed_line != 0) {
        fail_msg ("%s: %.*s", body, (int) m->what.len, (const char *) m->what.data);
    }
}

/* The one head, as text. */
static struct weir_id_text
head (struct fake *f, const char *db)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    const struct fake_sent *answer = NULL;
    struct weir_id id;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    assert_int_equal (fake_call (f, WEIR_KIND_DOC_HEADS, &ask.base, NONE, &answer), WEIR_OK);
    const Weir__DocHeads *m = (const Weir__DocHeads *) fake_meta (answer);
    assert_int_equal (m->n_heads, 1);
    assert_int_equal (weir_field_get_id (&id, true, m->heads[0]), WEIR_OK);
    return weir_id_text (&id);
}

static enum weir_status
get (struct fake *f, const char *db, const char *path, const char *at, bool delta, char *out,
     size_t size)
{
    Weir__DocPath ask = WEIR__DOC_PATH__INIT;
    const struct fake_sent *answer = NULL;
    ProtobufCBinaryData name = weir_field_str (at);
    ask.has_db = ask.has_path = ask.has_delta = true;
    ask.db = weir_field_str (db);
    ask.path = weir_field_str (path);
    ask.delta = delta;
    ask.heads = &name;
    ask.n_heads = at != NULL ? 1 : 0;
    enum weir_status status = fake_call (f, WEIR_KIND_DOC_GET, &ask.base, NONE, &answer);
    if (status == WEIR_OK) {
        snprintf (out, size, "%.*s", (int) answer->body.len, (const char *) answer->body.data);
    }
    return status;
}

static void
assert_value (struct fake *f, const char *db, const char *at, const char *want)
{
    char text[4096];
    assert_int_equal (get (f, db, "", at, false, text, sizeof text), WEIR_OK);
    assert_string_equal (text, want);
}

static enum weir_status
diff (struct fake *f, const char *from, const char *to, char *out, size_t size)
{
    Weir__DocDiffAsk ask = WEIR__DOC_DIFF_ASK__INIT;
    const struct fake_sent *answer = NULL;
    ProtobufCBinaryData a = weir_field_str (from);
    ProtobufCBinaryData b = weir_field_str (to);
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    ask.from = &a;
    ask.n_from = from != NULL ? 1 : 0;
    ask.to = &b;
    ask.n_to = to != NULL ? 1 : 0;
    enum weir_status status = fake_call (f, WEIR_KIND_DOC_DIFF, &ask.base, NONE, &answer);
    if (status == WEIR_OK) {
        snprintf (out, size, "%.*s", (int) answer->body.len, (const char *) answer->body.data);
    }
    return status;
}

static const char *const bad_heads[] = {
    "",           "aa",       "aaaaaaaaaaaaaaaa",
    "no such id", "\xff\xfe", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
};

static void
test_versions (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    char text[4096];
    fake_init (f, 1);
    fake_create (f, "notes");
    patch (f, "notes",
           "[{\"op\":\"add\",\"path\":\"/m/k\",\"value\":1},"
           "{\"op\":\"text_insert\",\"path\":\"/m/t\",\"text\":\"one\"}]");
    struct weir_id_text v1 = head (f, "notes");
    patch (f, "notes",
           "[{\"op\":\"remove\",\"path\":\"/m/k\"},"
           "{\"op\":\"text_insert\",\"path\":\"/m/t\",\"text\":\" two\"}]");
    struct weir_id_text v2 = head (f, "notes");
    assert_value (f, "notes", v1.s, "{\"m\":{\"k\":1,\"t\":\"one\"}}");
    assert_value (f, "notes", v2.s, "{\"m\":{\"t\":\"one two\"}}");
    char prefix[13];
    snprintf (prefix, sizeof prefix, "%.12s", v1.s);
    assert_value (f, "notes", prefix, "{\"m\":{\"k\":1,\"t\":\"one\"}}");
    assert_int_equal (get (f, "notes", "/m/t", NULL, true, text, sizeof text), WEIR_OK);
    assert_string_equal (text, "[{\"insert\":\"one two\"}]");
    assert_int_equal (get (f, "notes", "/m/t", v1.s, true, text, sizeof text), WEIR_OK);
    assert_string_equal (text, "[{\"insert\":\"one\"}]");
    assert_int_equal (get (f, "notes", "/m/k", v1.s, true, text, sizeof text), WEIR_CONFLICT);
    assert_int_equal (get (f, "notes", "", v1.s, true, text, sizeof text), WEIR_CONFLICT);
    assert_int_equal (get (f, "notes", "/m/no", v1.s, true, text, sizeof text), WEIR_NOT_FOUND);
    assert_int_equal (get (f, "notes", "m", NULL, true, text, sizeof text), WEIR_INVALID_PATH);
    assert_int_equal (diff (f, v1.s, NULL, text, sizeof text), WEIR_OK);
    assert_non_null (strstr (text, "\"delete\":[\"k\"]"));
    assert_non_null (strstr (text, "{\"retain\":3},{\"insert\":\" two\"}"));
    assert_int_equal (diff (f, v2.s, v1.s, text, sizeof text), WEIR_OK);
    assert_non_null (strstr (text, "\"set\":{\"k\":1}"));
    assert_int_equal (diff (f, NULL, NULL, text, sizeof text), WEIR_OK);
    assert_string_equal (text, "[]");
    assert_int_equal (diff (f, NULL, v2.s, text, sizeof text), WEIR_OK);
    assert_string_equal (text, "[]");
    for (size_t i = 0; i < sizeof bad_heads / sizeof *bad_heads; i++) {
        assert_int_not_equal (get (f, "notes", "", bad_heads[i], false, text, sizeof text),
                              WEIR_OK);
        assert_int_not_equal (diff (f, bad_heads[i], NULL, text, sizeof text), WEIR_OK);
        assert_int_not_equal (diff (f, NULL, bad_heads[i], text, sizeof text), WEIR_OK);
    }
    fake_fini (f);
    free (f);
}

static enum weir_status
revert (struct fake *f, const char *to, uint64_t number, bool *unchanged)
{
    static const uint8_t client[16] = { 9 };
    Weir__DocRevert ask = WEIR__DOC_REVERT__INIT;
    const struct fake_sent *answer = NULL;
    ProtobufCBinaryData name = weir_field_str (to);
    ask.has_db = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str ("notes");
    ask.heads = &name;
    ask.n_heads = to != NULL ? 1 : 0;
    ask.client = weir_field_of (weir_bytes (client, sizeof client));
    ask.number = number;
    enum weir_status status = fake_call (f, WEIR_KIND_DOC_REVERT, &ask.base, NONE, &answer);
    if (status == WEIR_OK) {
        *unchanged = ((const Weir__EntryId *) fake_meta (answer))->unchanged;
    }
    return status;
}

static void
test_revert (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    bool unchanged = false;
    fake_init (f, 2);
    fake_create (f, "notes");
    patch (f, "notes",
           "[{\"op\":\"add\",\"path\":\"/m/l\",\"value\":[1,{\"x\":2},3]},"
           "{\"op\":\"increment\",\"path\":\"/m/c\",\"by\":5},"
           "{\"op\":\"text_insert\",\"path\":\"/m/t\",\"text\":\"abc\"}]");
    struct weir_id_text v1 = head (f, "notes");
    char want[4096];
    assert_int_equal (get (f, "notes", "", NULL, false, want, sizeof want), WEIR_OK);
    patch (f, "notes",
           "[{\"op\":\"add\",\"path\":\"/m/l/1\",\"value\":[]},{\"op\":\"increment\",\"path\":"
           "\"/m/c\",\"by\":-7},{\"op\":\"text_insert\",\"path\":\"/m/t\",\"at\":1,\"text\":\"x\"},"
           "{\"op\":\"add\",\"path\":\"/m/new\",\"value\":{\"a\":{\"b\":1}}}]");
    struct weir_id_text v2 = head (f, "notes");
    char later[4096];
    assert_int_equal (get (f, "notes", "", NULL, false, later, sizeof later), WEIR_OK);
    uint64_t commits = f->store->commits;
    assert_int_equal (revert (f, v1.s, 1, &unchanged), WEIR_OK);
    assert_false (unchanged);
    assert_value (f, "notes", NULL, want);
    /* A resend is the first answer; a new request finds nothing to do. */
    assert_int_equal (revert (f, v1.s, 1, &unchanged), WEIR_OK);
    assert_false (unchanged);
    assert_int_equal (f->store->commits, commits + 1);
    assert_int_equal (revert (f, v1.s, 2, &unchanged), WEIR_OK);
    assert_true (unchanged);
    assert_int_equal (f->store->commits, commits + 1);
    /* And forth again; history is kept, also over a restart. */
    assert_int_equal (revert (f, v2.s, 3, &unchanged), WEIR_OK);
    assert_value (f, "notes", NULL, later);
    fake_restart (f, 0);
    assert_value (f, "notes", NULL, later);
    assert_value (f, "notes", v1.s, want);
    /* What was deleted comes back as something new with the same values. */
    patch (f, "notes",
           "[{\"op\":\"remove\",\"path\":\"/m/l/0\"},{\"op\":\"remove\",\"path\":\"/m/l/1\"},"
           "{\"op\":\"text_delete\",\"path\":\"/m/t\",\"at\":0,\"count\":2}]");
    assert_int_equal (revert (f, v2.s, 4, &unchanged), WEIR_OK);
    assert_value (f, "notes", NULL, later);
    for (size_t i = 0; i < sizeof bad_heads / sizeof *bad_heads; i++) {
        assert_int_not_equal (revert (f, bad_heads[i], 10 + i, &unchanged), WEIR_OK);
    }
    assert_int_equal (revert (f, NULL, 30, &unchanged), WEIR_INVALID_ARGUMENT);
    assert_value (f, "notes", NULL, later);
    fake_fini (f);
    free (f);
}

/* Each entry's counter is the sum of the ops before it in its chain, however the log is paged. */
static void
test_counters (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 3);
    fake_create (f, "notes");
    for (int i = 0; i < 20; i++) {
        char line[200];
        snprintf (line, sizeof line,
                  "[{\"op\":\"text_insert\",\"path\":\"/m/t\",\"text\":\"%.*s\"}]\n"
                  "[{\"op\":\"add\",\"path\":\"/m/k\",\"value\":%d}]\n",
                  i + 1, "abcdefghijklmnopqrstuvwxyz", i);
        patch (f, "notes", line);
        Weir__DocLogAsk ask = WEIR__DOC_LOG_ASK__INIT;
        const struct fake_sent *answer = NULL;
        ask.has_db = ask.has_limit = true;
        ask.db = weir_field_str ("notes");
        ask.limit = (uint32_t) (i % 3) + 2;
        assert_int_equal (fake_call (f, WEIR_KIND_DOC_LOG, &ask.base, NONE, &answer), WEIR_OK);
        const Weir__DocLog *m = (const Weir__DocLog *) fake_meta (answer);
        /* The first one makes the text, too. */
        uint64_t before = (uint64_t) i * (uint64_t) (i + 1) / 2 + (uint64_t) i + (i > 0 ? 1 : 0);
        uint64_t behind = before + (uint64_t) i + (i > 0 ? 1 : 2);
        assert_int_equal (m->items[0]->counter, behind);
        assert_int_equal (m->items[1]->counter, before);
        assert_int_equal (m->items[1]->ops, behind - before);
        Weir__EntryAsk one = WEIR__ENTRY_ASK__INIT;
        struct weir_id_text last = head (f, "notes");
        one.has_entry = true;
        one.entry = weir_field_str (last.s);
        assert_int_equal (fake_call (f, WEIR_KIND_ENTRY_SHOW, &one.base, NONE, &answer), WEIR_OK);
        m = (const Weir__DocLog *) fake_meta (answer);
        assert_int_equal (m->items[0]->counter, behind);
    }
    fake_fini (f);
    free (f);
}

/* ---- files ---- */

static enum weir_status export(struct fake *f, const char *db, uint32_t mode, const char *heads,
                               Weir__OpSpan *span, struct weir_buf *out) {
    Weir__DbExport ask = WEIR__DB_EXPORT__INIT; ProtobufCBinaryData name = weir_field_str (heads);
    ask.has_db = ask.has_mode = true; ask.db = weir_field_str (db); ask.mode = mode;
    ask.heads = &name; ask.n_heads = heads != NULL ? 1 : 0; ask.spans = &span;
    ask.n_spans = span != NULL ? 1 : 0;
    uint64_t request = fake_ask (f, WEIR_KIND_DB_EXPORT, &ask.base, NONE); weir_buf_clear (out);
    for (size_t i = 0; i < f->n_sent;
         i++){ if (f->sent[i].is_answer && f->sent[i].request == request){
        weir_buf_put_bytes (out, weir_buf_bytes (&f->sent[i].body)); }
}
fake_turn (f);
fake_sync (f);
return fake_answer (f, request)->status;
}

/* The runs of a file, as the command line sends them. */
static void
runs_of (const struct weir_buf *blob, struct weir_id *db, struct weir_buf *body)
{
    struct weir_export_reader *reader = NULL;
    struct weir_export_runs runs = { 0 };
    struct weir_error e = { 0 };
    weir_buf_clear (body);
    assert_int_equal (weir_export_open (&reader, weir_buf_bytes (blob), 0, &e), WEIR_OK);
    *db = weir_export_info (reader)->database;
    assert_int_equal (weir_export_read_runs (reader, &runs, &e), WEIR_OK);
    for (size_t i = 0; i < runs.n_runs; i++) {
        weir_buf_put_bytes (body, runs.runs[i].bytes);
    }
    for (size_t i = 0; i < runs.n_pending; i++) {
        weir_buf_put_bytes (body, runs.pending[i].bytes);
    }
    weir_export_close (&reader);
}

static enum weir_status
import (struct fake *f, const struct weir_id *db, bool create, struct weir_bytes body,
        const Weir__DbImported **m)
{
    Weir__DbImport ask = WEIR__DB_IMPORT__INIT;
    const struct fake_sent *answer = NULL;
    ask.has_db = ask.has_create = true;
    ask.db = weir_field_id (db);
    ask.create = create;
    enum weir_status status = fake_call (f, WEIR_KIND_DB_IMPORT, &ask.base, body, &answer);
    *m = status == WEIR_OK ? (const Weir__DbImported *) fake_meta (answer) : NULL;
    return status;
}

/* A database as three files of one history: all up to the first, and an update for each step. */
struct files {
    struct weir_id db;
    struct weir_buf first;
    struct weir_buf second;
    struct weir_buf third;
    struct weir_buf whole;
    char value[4096];
};

static void
files_make (struct files *x, uint8_t number)
{
    struct fake *f = calloc (1, sizeof *f);
    struct weir_buf blob = { 0 };
    *x = (struct files){ .value = "" };
    fake_init (f, number);
    fake_create (f, "notes");
    patch (f, "notes", "[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":1}]");
    assert_int_equal (export(f, "notes", WEIR_EXPORT_SNAPSHOT, NULL, NULL, &blob), WEIR_OK);
    runs_of (&blob, &x->db, &x->first);
    struct weir_id_text h1 = head (f, "notes");
    patch (f, "notes", "[{\"op\":\"text_insert\",\"path\":\"/m/t\",\"text\":\"text\"}]");
    assert_int_equal (export(f, "notes", WEIR_EXPORT_UPDATE, h1.s, NULL, &blob), WEIR_OK);
    runs_of (&blob, &x->db, &x->second);
    struct weir_id_text h2 = head (f, "notes");
    patch (f, "notes", "[{\"op\":\"text_insert\",\"path\":\"/m/t\",\"at\":0,\"text\":\"a \"}]");
    assert_int_equal (export(f, "notes", WEIR_EXPORT_UPDATE, h2.s, NULL, &blob), WEIR_OK);
    runs_of (&blob, &x->db, &x->third);
    assert_int_equal (export(f, "notes", WEIR_EXPORT_SNAPSHOT, NULL, NULL, &blob), WEIR_OK);
    runs_of (&blob, &x->db, &x->whole);
    assert_int_equal (get (f, "notes", "", NULL, false, x->value, sizeof x->value), WEIR_OK);
    weir_buf_fini (&blob);
    fake_fini (f);
    free (f);
}

static void
files_fini (struct files *x)
{
    weir_buf_fini (&x->first);
    weir_buf_fini (&x->second);
    weir_buf_fini (&x->third);
    weir_buf_fini (&x->whole);
}

static void
test_export (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    struct weir_buf blob = { 0 };
    struct weir_buf again = { 0 };
    fake_init (f, 4);
    fake_create (f, "notes");
    patch (f, "notes", "[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":1}]");
    /* What is not synced yet is put on disk first. */
    Weir__DocWrite write = WEIR__DOC_WRITE__INIT;
    write.has_db = write.has_path = true;
    write.db = weir_field_str ("notes");
    write.path = weir_field_str ("/m/b");
    (void) fake_ask (f, WEIR_KIND_DOC_SET, &write.base, weir_bytes_str ("2"));
    for (uint32_t mode = WEIR_EXPORT_SNAPSHOT; mode <= WEIR_EXPORT_SHALLOW; mode++) {
        struct weir_export_info info = { 0 };
        struct weir_error e = { 0 };
        Weir__OpSpan span = WEIR__OP_SPAN__INIT;
        span.has_author = span.has_from = span.has_to = span.has_lane = true;
        span.author = weir_field_id (&f->store->identity.device);
        span.to = 1;
        assert_int_equal (
            export(f, "notes", mode, NULL, mode == WEIR_EXPORT_SPANS ? &span : NULL, &blob),
            WEIR_OK);
        assert_int_equal (weir_export_read_info (weir_buf_bytes (&blob), &info, &e), WEIR_OK);
        assert_int_equal (info.mode, mode);
        if (mode == WEIR_EXPORT_SNAPSHOT) {
            assert_int_equal (info.ops, 2);
            assert_int_equal (export(f, "notes", mode, NULL, NULL, &again), WEIR_OK);
            assert_true (weir_bytes_equal (weir_buf_bytes (&blob), weir_buf_bytes (&again)));
        }
        weir_export_info_fini (&info);
    }
    /* Hostile. */
    Weir__OpSpan span = WEIR__OP_SPAN__INIT;
    assert_int_equal (export(f, "notes", 9, NULL, NULL, &blob), WEIR_INVALID_ARGUMENT);
    assert_int_equal (export(f, "notes", WEIR_EXPORT_SPANS, NULL, NULL, &blob),
                      WEIR_INVALID_ARGUMENT);
    assert_int_equal (export(f, "notes", WEIR_EXPORT_SPANS, NULL, &span, &blob),
                      WEIR_INVALID_ARGUMENT);
    span.has_author = true;
    span.author = weir_field_id (&f->store->identity.device);
    assert_int_equal (export(f, "notes", WEIR_EXPORT_SPANS, NULL, &span, &blob),
                      WEIR_INVALID_ARGUMENT);
    span.has_to = span.has_from = true;
    span.to = UINT64_MAX; /* far beyond what is there: what is there */
    (void) export(f, "notes", WEIR_EXPORT_SPANS, NULL, &span, &blob);
    for (size_t i = 0; i < sizeof bad_heads / sizeof *bad_heads; i++) {
        assert_int_not_equal (export(f, "notes", WEIR_EXPORT_UPDATE, bad_heads[i], NULL, &blob),
                              WEIR_OK);
        assert_int_not_equal (export(f, "notes", WEIR_EXPORT_SHALLOW, bad_heads[i], NULL, &blob),
                              WEIR_OK);
    }
    assert_int_equal (export(f, "nosuch", WEIR_EXPORT_SNAPSHOT, NULL, NULL, &blob), WEIR_NOT_FOUND);
    weir_buf_fini (&blob);
    weir_buf_fini (&again);
    fake_fini (f);
    free (f);
}

static void
test_import (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    const Weir__DbImported *m = NULL;
    struct files x;
    char name[WEIR_ID_TEXT + 1];
    files_make (&x, 5);
    fake_init (f, 6);
    snprintf (name, sizeof name, "%s", weir_id_text (&x.db).s);
    /* Not here, and not to be made, or not founded by the file. */
    assert_int_equal (import (f, &x.db, false, weir_buf_bytes (&x.whole), &m), WEIR_NOT_FOUND);
    assert_int_equal (import (f, &x.db, true, weir_buf_bytes (&x.second), &m), WEIR_NOT_FOUND);
    assert_int_equal (import (f, &x.db, true, NONE, &m), WEIR_NOT_FOUND);
    assert_int_equal (import (f, &x.db, true, weir_buf_bytes (&x.whole), &m), WEIR_OK);
    assert_true (m->created);
    assert_int_equal (m->refused, 0);
    assert_int_equal (m->n_success, 1);
    assert_int_equal (m->success[0]->from, 0);
    assert_int_equal (m->success[0]->to, 1 + (1 + 4) + 2);
    assert_int_equal (m->n_waiting, 0);
    assert_value (f, name, NULL, x.value);
    /* A duplicate. */
    assert_int_equal (import (f, &x.db, true, weir_buf_bytes (&x.whole), &m), WEIR_OK);
    assert_false (m->created);
    assert_int_equal (m->new_runs, 0);
    assert_int_equal (m->n_success, 0);
    assert_true (m->held > 0);
    fake_fini (f);
    free (f);
    files_fini (&x);
}

/* The third before the second: it waits, also over a restart, and goes in when that comes. */
static void
test_import_waits (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    const Weir__DbImported *m = NULL;
    struct files x;
    char name[WEIR_ID_TEXT + 1];
    files_make (&x, 7);
    fake_init (f, 8);
    snprintf (name, sizeof name, "%s", weir_id_text (&x.db).s);
    assert_int_equal (import (f, &x.db, true, weir_buf_bytes (&x.first), &m), WEIR_OK);
    assert_int_equal (import (f, &x.db, true, weir_buf_bytes (&x.third), &m), WEIR_OK);
    assert_int_equal (m->pending, 1);
    assert_int_equal (m->n_waiting, 1);
    assert_int_equal (m->n_success, 0);
    fake_restart (f, 0);
    assert_value (f, name, NULL, "{\"m\":{\"a\":1}}");
    /* Another file carries on what waits here. */
    struct weir_buf blob = { 0 };
    struct weir_buf body = { 0 };
    struct weir_id db;
    assert_int_equal (export(f, name, WEIR_EXPORT_SNAPSHOT, NULL, NULL, &blob), WEIR_OK);
    runs_of (&blob, &db, &body);
    assert_true (body.len >= x.first.len + x.third.len);
    assert_int_equal (import (f, &x.db, true, weir_buf_bytes (&x.second), &m), WEIR_OK);
    assert_int_equal (m->unlocked, 1);
    assert_int_equal (m->n_waiting, 0);
    assert_int_equal (m->n_success, 1);
    assert_int_equal (m->success[0]->from, 1);
    assert_int_equal (m->success[0]->to, 1 + (1 + 4) + 2);
    assert_value (f, name, NULL, x.value);
    weir_buf_fini (&blob);
    weir_buf_fini (&body);
    fake_fini (f);
    free (f);
    files_fini (&x);
}

static void
test_import_garbage (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    const Weir__DbImported *m = NULL;
    struct weir_id elsewhere = { { 1, 2, 3 } };
    struct weir_buf body = { 0 };
    struct files x;
    files_make (&x, 9);
    fake_init (f, 10);
    struct weir_id other = fake_create (f, "other");
    /* Cut short, and every byte changed once: refused, or held back by its signature or hash. */
    for (size_t len = 0; len < x.whole.len; len += 7) {
        assert_int_not_equal (import (f, &x.db, true, weir_bytes (x.whole.data, len), &m), WEIR_OK);
        fake_clear (f);
        if (len > x.first.len) {
            break;
        }
    }
    for (size_t at = 0; at < x.first.len; at += 3) {
        weir_buf_clear (&body);
        weir_buf_put_bytes (&body, weir_buf_bytes (&x.first));
        body.data[at] ^= 0x41;
        if (import (f, &x.db, true, weir_buf_bytes (&body), &m) == WEIR_OK) {
            assert_int_equal (m->new_entries + m->pending + m->refused + m->held > 0, true);
            assert_true (m->refused > 0 || m->pending > 0);
        }
        fake_clear (f);
    }
    assert_int_not_equal (import (f, &elsewhere, true, weir_buf_bytes (&x.whole), &m), WEIR_OK);
    assert_int_not_equal (import (f, &x.db, true, weir_bytes_str ("garbage"), &m), WEIR_OK);
    /* Runs of one database under another's name fit nowhere there. */
    if (import (f, &other, true, weir_buf_bytes (&x.whole), &m) == WEIR_OK) {
        assert_int_equal (m->new_runs, 0);
    }
    assert_value (f, "other", NULL, "{}");
    /* And after all that the good one goes in. */
    assert_int_equal (import (f, &x.db, true, weir_buf_bytes (&x.whole), &m), WEIR_OK);
    assert_value (f, weir_id_text (&x.db).s, NULL, x.value);
    weir_buf_fini (&body);
    fake_fini (f);
    free (f);
    files_fini (&x);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_versions),       cmocka_unit_test (test_revert),
        cmocka_unit_test (test_counters),       cmocka_unit_test (test_export),
        cmocka_unit_test (test_import),         cmocka_unit_test (test_import_waits),
        cmocka_unit_test (test_import_garbage),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
