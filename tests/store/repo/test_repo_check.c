/* Goal: verify finds whatever differs from the runs, one row at a time; repair keeps what is
 * closed and signed, drops the rest, and leaves a repository that verifies, with a new epoch,
 * new lanes and no position used twice; peers bring back what was lost. */

#include "store/repo/keys.h"
#include "tests/support/repo.h"

/* A node with a database in which everything occurs: two authors, a fork, settings, a snapshot. */
static struct weir_id
make_data (struct node *a, struct node *b)
{
    node_init (a, 1);
    node_init (b, 2);
    struct weir_id db = node_create (a, "checked");
    node_grant (a, &db, b, WEIR_RIGHT_WRITE);
    node_pull (b, a, &db);
    for (unsigned i = 0; i < 6; i++) {
        node_set (a, &db, "/m/a", i % 2 == 0 ? "x" : "y");
        node_set (b, &db, "/m/b", i % 2 == 0 ? "x" : "y");
        if (i % 2 == 1) {
            node_exchange (a, b, &db);
        }
    }
    struct weir_run_builder builder;
    struct weir_buf run = { 0 };
    struct weir_id tip;
    const struct weir_vector *v = weir_repo_vector (a->repo, &db);
    for (size_t i = 0; i < v->count; i++) { /* b's key writes from a second place */
        if (weir_id_equal (&v->rows[i].chain.author, &b->key.device)) {
            struct weir_chain chain = v->rows[i].chain;
            size_t n = 0;
            struct weir_id grant = weir_repo_members (a->repo, &db, &n)[1].entry;
            weir_run_builder_init (&builder);
            weir_run_begin (&builder, &db, WEIR_ENTRY_MERGE, &chain, 0, NULL, &grant, 1);
            weir_run_add (&builder, 0, 0, weir_bytes ("", 0), &tip);
            weir_run_close (&builder, &b->key, &run);
            weir_run_builder_fini (&builder);
            break;
        }
    }
    assert_true (node_import (a, &db, weir_buf_bytes (&run), b).fork);
    weir_buf_fini (&run);
    for (unsigned i = 0; i < 5000; i++) {
        char text[300];
        snprintf (text, sizeof text, "%u%0250u", i, i);
        node_set (a, &db, "/m/many", text);
    }
    while (weir_repo_work (a->repo, a->now_ms)) {
    }
    uint8_t bad = 0x7f;
    assert_int_equal (weir_repo_commit (a->repo, &db, weir_bytes (&bad, 1), 1, 1, &tip, NULL),
                      WEIR_OK);
    node_sync (a);
    return db;
}

/* Rows of a table: the middle one is changed by `change` (0: deleted, 1: cut short, 2: its last
 * byte altered). False when the table is empty. */
static bool
damage (struct weir_kv *kv, enum weir_repo_table table, unsigned change, bool last)
{
    struct weir_repo_key from = weir_repo_key (table);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_batch *batch = weir_kv_batch_new ();
    struct weir_bytes key;
    struct weir_bytes value;
    size_t count = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        struct weir_kv_iter *iter =
            weir_kv_iter_new (kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
        for (size_t i = 0; weir_kv_iter_next (iter, &key, &value); i++) {
            count += pass == 0 ? 1 : 0;
            if (pass == 0 || i != (last ? count - 1 : count / 2)) {
                continue;
            }
            struct weir_buf copy = { 0 };
            weir_buf_put_bytes (&copy, value);
            if (change == 0) {
                weir_kv_delete (batch, key);
            } else {
                copy.len -= change == 1 && copy.len > 0 ? 1 : 0;
                if (change == 2 && copy.len > 0) {
                    copy.data[copy.len - 1] ^= 1;
                }
                weir_kv_put (batch, key, weir_buf_bytes (&copy));
            }
            weir_buf_fini (&copy);
        }
        weir_kv_iter_destroy (&iter);
    }
    (void) weir_kv_write (kv, &batch);
    weir_kv_memory_sync (kv);
    return count > 0;
}

struct damage_case {
    enum weir_repo_table table;
    unsigned change;
    bool last;
};

static const struct damage_case cases[] = {
    { WEIR_REPO_TABLE_SUMMARY, 0, false },  { WEIR_REPO_TABLE_SUMMARY, 1, false },
    { WEIR_REPO_TABLE_SUMMARY, 2, false },  { WEIR_REPO_TABLE_BRANCH, 0, false },
    { WEIR_REPO_TABLE_BRANCH, 1, false },   { WEIR_REPO_TABLE_BRANCH, 0, true },
    { WEIR_REPO_TABLE_RUN, 0, false },      { WEIR_REPO_TABLE_RUN, 1, false },
    { WEIR_REPO_TABLE_RUN, 2, false },      { WEIR_REPO_TABLE_ENTRY, 0, false },
    { WEIR_REPO_TABLE_ENTRY, 1, false },    { WEIR_REPO_TABLE_ENTRY, 2, false },
    { WEIR_REPO_TABLE_SETTINGS, 0, false }, { WEIR_REPO_TABLE_SETTINGS, 0, true },
    { WEIR_REPO_TABLE_SETTINGS, 1, false }, { WEIR_REPO_TABLE_ARRIVAL, 0, false },
    { WEIR_REPO_TABLE_SNAPSHOT, 1, false }, { WEIR_REPO_TABLE_PART, 0, true },
    { WEIR_REPO_TABLE_PART, 2, true },      { WEIR_REPO_TABLE_LOG, 0, false },
    { WEIR_REPO_TABLE_LOG, 1, false },      { WEIR_REPO_TABLE_LOG, 2, false },
};

static uint64_t told_runs;

static void
progress (void *context, uint64_t runs)
{
    (void) context;
    told_runs = runs;
}

static void
test_verify (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_check_report report;
    struct weir_id db = make_data (&a, &b);
    struct weir_id nowhere = { { 1 } };
    assert_int_equal (weir_repo_verify (a.repo, NULL, progress, NULL, &report), WEIR_OK);
    assert_int_equal (report.databases, 1);
    assert_int_equal (report.entries, node_info (&a, &db).entries);
    assert_int_equal (report.bytes, node_info (&a, &db).bytes);
    assert_string_equal (report.first_problem, "");
    assert_int_equal (weir_repo_verify (a.repo, &nowhere, NULL, NULL, &report), WEIR_NOT_FOUND);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct node copy = a;
        copy.kv = weir_kv_memory_copy (a.kv);
        assert_true (damage (copy.kv, cases[i].table, cases[i].change, cases[i].last));
        assert_int_equal (node_try_start (&copy), WEIR_OK);
        enum weir_status status = weir_repo_verify (copy.repo, &db, progress, NULL, &report);
        if (status != WEIR_CORRUPT || report.first_problem[0] == '\0') {
            print_error ("case %zu: table %u change %u\n", i, cases[i].table, cases[i].change);
        }
        assert_int_equal (status, WEIR_CORRUPT);
        assert_true (report.first_problem[0] != '\0');
        weir_repo_close (&copy.repo);
        weir_kv_close (&copy.kv);
    }
    node_fini (&a);
    node_fini (&b);
}

/* Whatever the damage, nothing that is asked crashes: it is told, or not noticed. */
static void
test_damaged_but_asked (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_id db = make_data (&a, &b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct node copy = a;
        struct weir_doc *doc = NULL;
        struct weir_log_row row;
        struct weir_ranges lacks = { 0 };
        struct weir_vector unknown = { 0 };
        struct weir_buf out = { 0 };
        struct weir_fork fork;
        struct weir_id entry;
        bool more = false;
        bool before = false;
        copy.kv = weir_kv_memory_copy (a.kv);
        assert_true (damage (copy.kv, cases[i].table, cases[i].change, cases[i].last));
        assert_int_equal (node_try_start (&copy), WEIR_OK);
        enum weir_status status =
            weir_repo_compare (copy.repo, &db, NULL, 0, &lacks, &more, &unknown);
        for (size_t k = 0; status == WEIR_OK && k < lacks.count; k++) {
            uint64_t next = lacks.items[k].from_seq;
            while (status == WEIR_OK && next < lacks.items[k].to_seq) {
                status = weir_repo_read (copy.repo, &db, &lacks.items[k], next, 65536, &out, &next);
            }
        }
        status = weir_repo_document (copy.repo, &db, &doc, NULL);
        status = weir_repo_log_next (copy.repo, 0, NULL, &row);
        status = weir_repo_log_prev (copy.repo, 99, &db, &row);
        status = weir_repo_fork (copy.repo, &db, 0, &fork);
        weir_ranges_clear (&lacks);
        status = weir_repo_late (copy.repo, &db, &b.key.device, &lacks);
        size_t n = 0;
        const struct weir_id *heads = weir_repo_heads (copy.repo, &db, &n);
        if (n > 0) {
            struct weir_id head = heads[0];
            status = weir_repo_is_before (copy.repo, &db, &db, &head, 10000, &before);
        }
        status = node_try_set (&copy, &db, "/m/z", "z", &entry);
        (void) status;
        weir_ranges_fini (&lacks);
        weir_vector_fini (&unknown);
        weir_buf_fini (&out);
        weir_repo_close (&copy.repo);
        weir_kv_close (&copy.kv);
    }
    node_fini (&a);
    node_fini (&b);
}

static struct weir_check_report
repair (struct node *n)
{
    struct weir_check_report report;
    struct weir_error e = { 0 };
    struct weir_repo_options options = { .kv = n->kv, .tips = n->tips, .identity = &n->key };
    options.seed[0] = n->number;
    options.seed[1] = ++n->starts;
    enum weir_status status = weir_repo_repair (&options, &report, &e);
    if (status != WEIR_OK) {
        print_error ("%s\n", e.what);
    }
    assert_int_equal (status, WEIR_OK);
    return report;
}

static void
test_repair_good_data (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_check_report report;
    struct weir_buf value = { 0 };
    struct weir_buf before = { 0 };
    struct weir_buf after = { 0 };
    static const uint8_t client[16] = { 1 };
    struct weir_id db = make_data (&a, &b);
    struct weir_id gone = node_create (&a, "gone");
    assert_int_equal (weir_repo_forget (a.repo, &gone), WEIR_OK);
    weir_repo_state_put (a.repo, "peers/a", weir_bytes_str ("kept"));
    weir_repo_request_put (a.repo, client, 1, weir_bytes_str ("answer"), a.now_ms);
    node_sync (&a);
    uint64_t epoch = weir_repo_epoch (a.repo);
    uint64_t position = weir_repo_position (a.repo);
    struct weir_db_info info = node_info (&a, &db);
    node_doc_bytes (&a, &db, &before);
    weir_repo_close (&a.repo);
    report = repair (&a);
    assert_int_equal (report.bad_runs, 0);
    assert_int_equal (report.missing, 0);
    assert_int_equal (report.entries, info.entries);
    node_start (&a);
    assert_true (weir_repo_epoch (a.repo) != epoch);
    assert_true (weir_repo_position (a.repo) > position);
    assert_int_equal (weir_repo_verify (a.repo, NULL, NULL, NULL, &report), WEIR_OK);
    assert_int_equal (report.databases, 1);
    node_doc_bytes (&a, &db, &after);
    assert_int_equal (before.len, after.len);
    assert_memory_equal (before.data, after.data, before.len);
    assert_int_equal (weir_repo_state_get (a.repo, "peers/a", &value), WEIR_OK);
    assert_int_equal (weir_repo_request_get (a.repo, client, 1, &value), WEIR_OK);
    node_set (&a, &db, "/m/new", "lane");
    node_sync (&a);
    assert_int_equal (node_info (&a, &db).n_chains, info.n_chains + 1);
    node_exchange (&a, &b, &db);
    assert_nodes_equal (&a, &b, &db);
    weir_buf_fini (&value);
    weir_buf_fini (&before);
    weir_buf_fini (&after);
    node_fini (&a);
    node_fini (&b);
}

/* After each kind of damage: what is left verifies, and a peer brings back the rest. */
static void
test_repair_damage (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_check_report report;
    struct weir_id db = make_data (&a, &b);
    node_exchange (&a, &b, &db);
    node_sync (&b);
    static const struct damage_case more[] = {
        { WEIR_REPO_TABLE_DATABASE, 0, false },
        { WEIR_REPO_TABLE_DATABASE, 1, false },
        { WEIR_REPO_TABLE_LAYOUT, 0, false },
        { WEIR_REPO_TABLE_LAYOUT, 1, false },
    };
    size_t n_cases = sizeof cases / sizeof cases[0];
    size_t n_more = sizeof more / sizeof more[0];
    for (size_t i = 0; i < n_cases + n_more; i++) {
        const struct damage_case *c = i < n_cases ? &cases[i] : &more[i - n_cases];
        struct node copy = a;
        copy.kv = weir_kv_memory_copy (a.kv);
        assert_true (damage (copy.kv, c->table, c->change, c->last));
        report = repair (&copy);
        if (c->table == WEIR_REPO_TABLE_RUN) {
            assert_true (report.bad_runs + report.missing > 0);
            assert_true (report.first_problem[0] != '\0');
        } else {
            assert_int_equal (report.bad_runs + report.missing, 0);
        }
        node_start (&copy);
        enum weir_status status = weir_repo_verify (copy.repo, NULL, NULL, NULL, &report);
        if (status != WEIR_OK) {
            print_error ("case %zu: %s\n", i, report.first_problem);
        }
        assert_int_equal (status, WEIR_OK);
        node_pull (&copy, &b, &db);
        assert_nodes_equal (&copy, &b, &db);
        assert_int_equal (node_info (&copy, &db).pending_runs, 0);
        weir_repo_close (&copy.repo);
        weir_kv_close (&copy.kv);
    }
    node_fini (&a);
    node_fini (&b);
}

static void
test_repair_is_not_for_others (void **state)
{
    (void) state;
    struct node a;
    struct weir_check_report report;
    struct weir_error e = { 0 };
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "mine");
    node_sync (&a);
    weir_repo_close (&a.repo);
    struct weir_identity other;
    weir_identity_init (&other, (const uint8_t[32]){ 9 });
    struct weir_repo_options options = { .kv = a.kv, .tips = a.tips, .identity = &other };
    assert_int_equal (weir_repo_repair (&options, &report, &e), WEIR_WRONG_DEVICE);
    node_start (&a);
    assert_int_equal (node_info (&a, &db).entries, 1);
    node_fini (&a);
}

/* The genesis is lost with the name: nothing can be said of the rest, and the name is free. */
static void
test_repair_without_genesis (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_id db = make_data (&a, &b);
    node_exchange (&a, &b, &db);
    weir_repo_close (&a.repo);
    struct weir_repo_key run = weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, 1, 0, 0);
    struct weir_repo_key name = weir_repo_key_db (WEIR_REPO_TABLE_DATABASE, 1);
    struct weir_kv_batch *batch = weir_kv_batch_new ();
    weir_kv_delete (batch, weir_repo_key_bytes (&run));
    weir_kv_delete (batch, weir_repo_key_bytes (&name));
    (void) weir_kv_write (a.kv, &batch);
    weir_kv_memory_sync (a.kv);
    struct weir_check_report report = repair (&a);
    assert_int_equal (report.databases, 0);
    assert_true (report.bad_runs > 0);
    node_start (&a);
    struct weir_db_info info;
    assert_false (weir_repo_database (a.repo, 0, &info));
    node_pull (&a, &b, &db);
    assert_nodes_equal (&a, &b, &db);
    node_fini (&a);
    node_fini (&b);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_verify),
        cmocka_unit_test (test_damaged_but_asked),
        cmocka_unit_test (test_repair_good_data),
        cmocka_unit_test (test_repair_damage),
        cmocka_unit_test (test_repair_is_not_for_others),
        cmocka_unit_test (test_repair_without_genesis),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
