/* Goal: replicas exchange everything by exports: each mode holds what its header says and no less
 * than was asked, what waits travels along, a damaged or lying blob leaves no trace, and a shallow
 * replica goes on with others, whole or shallow, takes nothing that stands on what it has not,
 * and says whose word its root is. */

#include "store/replica/export_parts.h"
#include "tests/store/replica/replica_fixture.h"

static struct weir_buf export(struct weir_replica *r, const struct weir_export *what)
{
    struct weir_buf out = { 0 };
    lab_ok (weir_replica_export (r, what, &out, &e));
    return out;
}

static struct weir_buf
export_spans (struct weir_replica *r, const struct weir_op_span *spans, size_t n)
{
    struct weir_export what = { .mode = WEIR_EXPORT_SPANS, .spans = spans, .n_spans = n };
    return export(r, &what);
}

/* `root` zero: at the newest. */
static struct weir_buf
export_shallow (struct weir_replica *r, struct weir_id root)
{
    struct weir_heads heads = { 0 };
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW };
    if (!weir_id_is_zero (&root)) {
        weir_heads_put (&heads, &root);
        what.root = &heads;
    }
    struct weir_buf out = export(r, &what);
    weir_heads_fini (&heads);
    return out;
}

static struct weir_export_info
info_of (const struct weir_buf *blob)
{
    struct weir_export_info info;
    lab_ok (weir_export_read_info (weir_buf_bytes (blob), &info, &e));
    return info;
}

static struct weir_chain
chain_of (struct weir_replica *r)
{
    struct weir_op_vector v = { 0 };
    lab_vector (r, &v);
    assert_int_equal (v.count, 1);
    struct weir_chain chain = v.rows[0].chain;
    weir_op_vector_fini (&v);
    return chain;
}

/* The replica is as it was: what it exports is the same. */
static void
assert_refused (struct weir_replica *r, struct weir_bytes blob, enum weir_status wanted)
{
    struct weir_error e = { 0 };
    struct weir_import result = { .inert = 7 };
    struct weir_buf before = lab_snapshot (r);
    assert_status (weir_replica_import (r, blob, &result, &e), wanted, &e);
    assert_int_equal (result.inert, 7);
    struct weir_buf after = lab_snapshot (r);
    assert_true (weir_bytes_equal (weir_buf_bytes (&before), weir_buf_bytes (&after)));
    weir_buf_fini (&before);
    weir_buf_fini (&after);
}

static void
assert_same_json (struct weir_replica *a, struct weir_replica *b)
{
    json_t *x = NULL;
    json_t *y = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (a), "", &x, &e));
    lab_ok (weir_doc_get (weir_replica_doc (b), "", &y, &e));
    assert_true (json_equal (x, y));
    json_decref (x);
    json_decref (y);
}

/* ---- snapshots and updates ---- */

/* Two who wrote at once, and merged; every kind of container that ops have columns for or not. */
static void
write_much (struct lab *lab, struct weir_replica *a, struct weir_replica *b)
{
    struct weir_value v = { .type = WEIR_VALUE_TEXT, .bytes = fixture_text ("x") };
    (void) lab;
    for (int i = 0; i < 20; i++) {
        struct weir_replica *r = i % 2 == 0 ? a : b;
        struct weir_container *on = NULL;
        struct weir_change *change = lab_change (r);
        lab_type (r, 0, i % 3 == 0 ? "words, " : "z");
        lab_set (r, i % 4 == 0 ? "k" : "l", i);
        lab_ok (weir_change_root (change, "list", &weir_container_list, &on, &e));
        lab_ok (weir_change_list_insert (change, on, 0, &v, 1, NULL, &e));
        (void) lab_commit (r, i % 5 == 0 ? "said" : "", 1700000000000u + (unsigned) i);
        if (i % 7 == 6) {
            lab_sync (a, b);
            lab_sync (b, a);
        }
    }
    lab_sync (a, b);
    lab_sync (b, a);
}

static void
test_modes (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    write_much (&lab, a, b);
    assert_same_replicas (a, b);
    struct weir_buf blobs[2] = { lab_snapshot (a), lab_update (a, NULL) };
    for (size_t i = 0; i < 2; i++) {
        struct weir_replica *fresh = lab_replica (&lab, 2);
        struct weir_export_info info = info_of (&blobs[i]);
        struct weir_op_vector all = { 0 };
        lab_vector (a, &all);
        assert_int_equal (info.mode, i == 0 ? WEIR_EXPORT_SNAPSHOT : WEIR_EXPORT_UPDATE);
        assert_true (weir_id_equal (&info.database, weir_replica_database (a)));
        assert_int_equal (info.start.count, 0);
        assert_int_equal (info.end.count, 2);
        assert_memory_equal (info.end.rows, all.rows, 2 * sizeof *all.rows);
        assert_int_equal (info.ops, all.rows[0].ops + all.rows[1].ops);
        assert_int_equal (info.clock_ms_min, 1700000000000u);
        assert_int_equal (info.clock_ms_max, 1700000000019u);
        lab_import (fresh, &blobs[i]);
        assert_same_replicas (a, fresh);
        weir_export_info_fini (&info);
        weir_op_vector_fini (&all);
        weir_replica_destroy (&fresh);
        weir_buf_fini (&blobs[i]);
    }
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
}

static void
test_update_from (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_op_vector has = { 0 };
    write_much (&lab, a, b);
    struct weir_replica *c = lab_replica (&lab, 2);
    lab_sync (a, c);
    lab_type (a, 0, "more");
    (void) lab_commit (a, "", 0);
    lab_vector (c, &has);
    /* A chain that nobody here knows does not disturb. */
    struct weir_op_row unknown = { .chain = { .lane = 9 }, .ops = 7 };
    weir_grow (&has.rows, &has.cap, has.count + 1, sizeof *has.rows);
    has.rows[has.count++] = unknown;
    struct weir_buf update = lab_update (a, &has);
    struct weir_export_info info = info_of (&update);
    assert_int_equal (info.entries, 1);
    assert_int_equal (info.ops, 4);
    assert_int_equal (info.asked.count, has.count);
    assert_int_equal (info.start.count, 1);
    assert_int_equal (info.end.rows[0].ops, info.start.rows[0].ops + 4);
    assert_in_range (update.len, 1, 700);
    lab_import (c, &update);
    assert_same_replicas (a, c);
    weir_export_info_fini (&info);
    weir_buf_fini (&update);

    /* Nothing is lacking: a blob with nothing in it, that may be imported. */
    lab_vector (a, &has);
    update = lab_update (a, &has);
    info = info_of (&update);
    assert_int_equal (info.entries + info.ops + info.end.count + info.start.count, 0);
    struct weir_import result = { .inert = 0 };
    lab_ok (weir_replica_import (b, weir_buf_bytes (&update), &result, &e));
    assert_int_equal (result.n_success + result.n_pending, 0);
    weir_import_fini (&result);
    weir_export_info_fini (&info);
    weir_buf_fini (&update);
    weir_op_vector_fini (&has);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    weir_replica_destroy (&c);
    lab_fini (&lab);
}

/* Without a genesis there is nothing to export, and nothing to be shallow about. */
static void
test_no_database (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica_options options = lab_options (&lab, 0);
    struct weir_replica *r = NULL;
    options.genesis = weir_bytes (NULL, 0);
    lab_ok (weir_replica_new (&r, &options, &e));
    struct weir_buf blob = lab_update (r, NULL);
    struct weir_export_info info = info_of (&blob);
    assert_int_equal (info.entries, 0);
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW };
    assert_int_equal (weir_replica_export (r, &what, &blob, NULL), WEIR_PENDING);
    what.mode = (enum weir_export_mode) 9;
    assert_int_equal (weir_replica_export (r, &what, &blob, NULL), WEIR_INVALID_ARGUMENT);
    weir_export_info_fini (&info);
    weir_buf_fini (&blob);
    weir_replica_destroy (&r);
    lab_fini (&lab);
}

/* ---- spans ---- */

static void
test_spans (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    for (int run = 0; run < 3; run++) { /* ops 0..6, 6..12, 12..18; two entries each */
        lab_type (a, 0, "abc");
        (void) lab_commit (a, "", 0);
        lab_type (a, 0, "xyz");
        (void) lab_commit (a, "", 0);
        struct weir_buf closes = lab_update (a, NULL);
        weir_buf_fini (&closes);
    }
    struct weir_chain chain = chain_of (a);
    lab_sync (a, b);
    lab_type (b, 0, "B");
    lab_sync (b, a);
    struct weir_op_span spans[4] = {
        { chain, 17, 18 },
        { chain, 4, 5 },
        { chain, 5, 5 },
        { { .lane = 3 }, 0, 100 },
    };
    struct weir_buf blob = export_spans (a, spans, 4);
    struct weir_export_info info = info_of (&blob);
    assert_int_equal (info.mode, WEIR_EXPORT_SPANS);
    assert_int_equal (info.entries, 4);
    assert_int_equal (info.ops, 12);
    assert_int_equal (info.asked.count, 3);
    assert_int_equal (info.asked_to.count, 3);
    bool found = false;
    for (size_t i = 0; i < 3; i++) {
        found = found || (info.asked.rows[i].ops == 4 && info.asked_to.rows[i].ops == 5);
    }
    assert_true (found);
    assert_int_equal (info.start.count, 1); /* the first run begins at 0, the third at 12 */
    assert_int_equal (info.start.rows[0].ops, 12);
    assert_int_equal (info.end.count, 2);
    assert_int_equal (info.end.rows[0].ops + info.end.rows[1].ops, 24);

    /* The first run links, the third waits for the second. */
    struct weir_replica *c = lab_replica (&lab, 2);
    struct weir_import result = { .inert = 0 };
    lab_ok (weir_replica_import (c, weir_buf_bytes (&blob), &result, &e));
    assert_int_equal (result.n_success, 1);
    assert_int_equal (result.success[0].to, 6);
    assert_int_equal (result.n_pending, 1);
    weir_import_fini (&result);
    weir_export_info_fini (&info);
    weir_buf_fini (&blob);
    struct weir_op_span middle[2] = { { chain, 6, 9 }, { chain, 7, 8 } };
    blob = export_spans (a, middle, 2);
    lab_ok (weir_replica_import (c, weir_buf_bytes (&blob), &result, &e));
    assert_int_equal (result.n_success, 1);
    assert_int_equal (result.success[0].from, 6);
    assert_int_equal (result.success[0].to, 18);
    weir_import_fini (&result);
    assert_shown (c, "{\"t\": \"xyzabcxyzabcxyzabc\"}");
    weir_buf_fini (&blob);
    blob = export_spans (a, NULL, 0);
    info = info_of (&blob);
    assert_int_equal (info.entries, 0);
    weir_export_info_fini (&info);
    weir_buf_fini (&blob);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    weir_replica_destroy (&c);
    lab_fini (&lab);
}

/* A run that was joined by a longer one that begins alike is exported by the longer one. */
static void
test_covered (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    lab_type (a, 0, "ab");
    struct weir_id first = lab_commit (a, "", 0);
    lab_type (a, 0, "cd");
    (void) lab_commit (a, "", 0);
    struct weir_buf whole = lab_update (a, NULL); /* one run of two entries */
    struct weir_heads heads = { 0 };
    struct weir_replica *part = NULL;
    weir_heads_put (&heads, &first);
    lab_ok (weir_replica_fork (a, &heads, &part, &e)); /* knows the first of them */
    assert_shown (part, "{\"t\": \"ab\"}");
    struct weir_chain chain = chain_of (a);
    struct weir_op_span span = { chain, 0, 1 };
    struct weir_buf blob = export_spans (part, &span, 1);
    struct weir_replica *c = lab_replica (&lab, 2);
    lab_import (c, &blob);
    lab_import (part, &whole);
    assert_shown (part, "{\"t\": \"cdab\"}");
    weir_buf_fini (&blob);
    blob = export_spans (part, &span, 1);
    lab_import (c, &blob);
    assert_shown (c, "{\"t\": \"cdab\"}");
    assert_same_replicas (part, a);
    weir_buf_fini (&blob);
    weir_buf_fini (&whole);
    weir_heads_fini (&heads);
    weir_replica_destroy (&a);
    weir_replica_destroy (&part);
    weir_replica_destroy (&c);
    lab_fini (&lab);
}

/* ---- what waits, and what is damaged ---- */

static void
test_pending (void **state)
{
    (void) state;
    static const enum weir_export_mode modes[] = { WEIR_EXPORT_SNAPSHOT, WEIR_EXPORT_UPDATE };
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_op_vector v = { 0 };
    lab_type (a, 0, "one");
    struct weir_buf first = lab_update (a, NULL);
    lab_vector (a, &v);
    lab_type (a, 3, "two");
    struct weir_buf second = lab_update (a, &v);
    for (size_t i = 0; i < 2; i++) {
        struct weir_replica *b = lab_replica (&lab, 1);
        struct weir_replica *c = lab_replica (&lab, 2);
        struct weir_export what = { .mode = modes[i] };
        lab_import (b, &second);
        assert_shown (b, "{}");
        struct weir_buf blob = export(b, &what);
        struct weir_export_info info = info_of (&blob);
        assert_int_equal (info.ops, 0);
        lab_import (c, &blob);
        lab_import (c, &first);
        assert_shown (c, "{\"t\": \"onetwo\"}");
        weir_export_info_fini (&info);
        weir_buf_fini (&blob);
        weir_replica_destroy (&b);
        weir_replica_destroy (&c);
    }
    weir_buf_fini (&first);
    weir_buf_fini (&second);
    weir_op_vector_fini (&v);
    weir_replica_destroy (&a);
    lab_fini (&lab);
}

static void
test_damage (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    lab_type (a, 0, "some words");
    struct weir_buf blob = lab_snapshot (a);
    lab_type (b, 0, "mine");
    (void) lab_commit (b, "", 0);
    struct weir_buf before = lab_snapshot (b);
    for (size_t at = 0; at < blob.len; at++) {
        struct weir_bytes cut = weir_bytes (blob.data, at);
        assert_int_equal (weir_replica_import (b, cut, NULL, NULL), WEIR_BAD_EXPORT);
        blob.data[at] ^= (uint8_t) (1u << (at % 8));
        struct weir_bytes all = weir_buf_bytes (&blob);
        assert_int_equal (weir_replica_import (b, all, NULL, NULL), WEIR_BAD_EXPORT);
        blob.data[at] ^= (uint8_t) (1u << (at % 8));
    }
    struct weir_buf after = lab_snapshot (b);
    assert_true (weir_bytes_equal (weir_buf_bytes (&before), weir_buf_bytes (&after)));
    lab_import (b, &blob);
    weir_buf_fini (&before);
    weir_buf_fini (&after);
    weir_buf_fini (&blob);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
}

/* Whole, but changed by somebody who made the checksum anew. */
static void
test_lies (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    lab_type (a, 0, "some words");
    struct weir_buf blobs[2] = { lab_snapshot (a), export_shallow (a, weir_id_zero) };
    lab_type (b, 0, "mine");
    struct weir_buf before = lab_snapshot (b);
    size_t taken = 0;
    for (size_t i = 0; i < 2; i++) {
        for (size_t at = WEIR_EXPORT_BEGIN; at < blobs[i].len; at++) {
            blobs[i].data[at] ^= (uint8_t) (1u << (at % 8));
            weir_export_check (weir_buf_bytes (&blobs[i]), blobs[i].data + WEIR_EXPORT_MAGIC_BYTES);
            struct weir_replica *fresh = lab_replica (&lab, 2);
            enum weir_status status =
                weir_replica_import (fresh, weir_buf_bytes (&blobs[i]), NULL, NULL);
            if (status == WEIR_OK) {
                taken++; /* what the header tells people, or a state that is not asked for */
                assert_shown (fresh, "{\"t\": \"some words\"}");
            } else {
                assert_shown (fresh, "{}");
            }
            weir_replica_destroy (&fresh);
            blobs[i].data[at] ^= (uint8_t) (1u << (at % 8));
        }
    }
    assert_true (taken < blobs[0].len);
    struct weir_buf after = lab_snapshot (b);
    assert_true (weir_bytes_equal (weir_buf_bytes (&before), weir_buf_bytes (&after)));
    weir_buf_fini (&before);
    weir_buf_fini (&after);
    weir_buf_fini (&blobs[0]);
    weir_buf_fini (&blobs[1]);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
}

/* ---- shallow replicas ---- */

struct shallows {
    struct lab lab;
    struct weir_replica *a; /* whole */
    struct weir_replica *b; /* whole, wrote before the root */
    struct weir_replica *s; /* shallow */
    struct weir_id root;
};

/* a: "base", b: "-b", a: root, then both go on at once and merge. */
static void
shallows_init (struct shallows *x)
{
    lab_init (&x->lab);
    x->a = lab_replica (&x->lab, 0);
    x->b = lab_replica (&x->lab, 1);
    x->s = lab_replica (&x->lab, 2);
    lab_type (x->a, 0, "base");
    lab_sync (x->a, x->b);
    lab_type (x->b, 4, "-b");
    lab_sync (x->b, x->a);
    lab_set (x->a, "k", 1);
    lab_type (x->a, 6, "-root");
    x->root = lab_commit (x->a, "", 0);
    lab_type (x->a, 11, "-in the same run");
    (void) lab_commit (x->a, "", 0);
    lab_sync (x->a, x->b);
    lab_type (x->a, 0, "A");
    lab_type (x->b, 0, "B");
    lab_sync (x->a, x->b);
    lab_sync (x->b, x->a);
    struct weir_buf blob = export_shallow (x->a, x->root);
    struct weir_import result = { .inert = 0 };
    lab_ok (weir_replica_import (x->s, weir_buf_bytes (&blob), &result, &e));
    assert_true (weir_id_equal (&result.root_signer, &x->lab.devices[0].device));
    assert_int_equal (result.n_success, 2); /* what came behind the root, without what it holds */
    for (size_t i = 0; i < 2; i++) {
        assert_true (result.success[i].from > 0);
    }
    weir_import_fini (&result);
    assert_same_json (x->a, x->s);
    weir_buf_fini (&blob);
}

static void
shallows_fini (struct shallows *x)
{
    weir_replica_destroy (&x->a);
    weir_replica_destroy (&x->b);
    weir_replica_destroy (&x->s);
    lab_fini (&x->lab);
}

static void
test_shallow (void **state)
{
    (void) state;
    struct shallows x;
    struct weir_heads heads = { 0 };
    shallows_init (&x);

    /* What it exports is shallow, at the same root, by the same signer, and loads. */
    struct weir_buf blob = lab_snapshot (x.s);
    struct weir_buf whole = lab_snapshot (x.a);
    struct weir_export_info info = info_of (&blob);
    assert_int_equal (info.mode, WEIR_EXPORT_SHALLOW);
    assert_int_equal (info.root.count, 1);
    assert_true (weir_id_equal (&info.root.items[0], &x.root));
    assert_int_equal (info.start.count, 2);
    assert_true (info.entries < 8);
    struct weir_replica_options options = lab_options (&x.lab, 3);
    struct weir_replica *loaded = NULL;
    lab_ok (weir_replica_load (&loaded, &options, weir_buf_bytes (&blob), &e));
    assert_same_json (x.a, loaded);
    assert_same_replicas (x.s, loaded);
    struct weir_replica *again = lab_replica (&x.lab, 3);
    struct weir_import result = { .inert = 0 };
    lab_ok (weir_replica_import (again, weir_buf_bytes (&blob), &result, &e));
    assert_true (weir_id_equal (&result.root_signer, &x.lab.devices[0].device));
    weir_import_fini (&result);
    assert_same_replicas (x.s, again);

    /* Versions from the root on can be shown, older ones not. */
    weir_heads_put (&heads, &x.root);
    lab_ok (weir_replica_checkout (loaded, &heads, &e));
    assert_shown (loaded, "{\"m\": {\"k\": 1}, \"t\": \"base-b-root\"}");
    heads.count = 0;
    weir_heads_put (&heads, weir_replica_database (x.s));
    enum weir_status status = weir_replica_checkout (loaded, &heads, NULL);
    assert_true (status == WEIR_STALE_ROOT || status == WEIR_NOT_FOUND);
    lab_ok (weir_replica_attach (loaded, &e));
    assert_same_json (x.a, loaded);
    weir_heads_fini (&heads);
    weir_export_info_fini (&info);
    weir_buf_fini (&blob);
    weir_buf_fini (&whole);
    weir_replica_destroy (&loaded);
    weir_replica_destroy (&again);
    shallows_fini (&x);
}

/* Whole and shallow ones go on with each other, at once and one after the other; who wrote before
 * the root goes on with its chain. */
static void
test_shallow_goes_on (void **state)
{
    (void) state;
    struct shallows x;
    shallows_init (&x);
    struct weir_replica *t = lab_replica (&x.lab, 3);
    struct weir_buf blob = lab_snapshot (x.s);
    lab_import (t, &blob);
    weir_buf_fini (&blob);
    struct weir_replica *all[4] = { x.a, x.b, x.s, t };
    for (uint32_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 4; i++) {
            lab_type (all[i], round * 5 + (uint32_t) i, "words ");
            lab_set (all[i], "k", (int64_t) (round * 10 + i));
            (void) lab_commit (all[i], "", 0);
        }
        lab_sync (x.s, t);
        lab_sync (t, x.s);
        assert_same_replicas (x.s, t);
        lab_sync (t, x.a);
        lab_sync (x.b, x.a);
        for (size_t i = 1; i < 4; i++) {
            lab_sync (x.a, all[i]);
            assert_same_json (x.a, all[i]);
        }
        assert_same_replicas (x.a, x.b);
        assert_same_replicas (x.s, t);
    }
    /* A newer root of a shallow one, on its own word. */
    struct weir_buf newer = export_shallow (x.s, weir_id_zero);
    struct weir_export_info info = info_of (&newer);
    assert_false (weir_id_equal (&info.root.items[0], &x.root));
    struct weir_replica *fresh = lab_replica (&x.lab, 3);
    struct weir_import result = { .inert = 0 };
    lab_ok (weir_replica_import (fresh, weir_buf_bytes (&newer), &result, &e));
    assert_true (weir_id_equal (&result.root_signer, &x.lab.devices[2].device));
    assert_same_json (x.a, fresh);
    lab_type (x.b, 0, "last ");
    lab_sync (x.b, fresh);
    lab_sync (x.b, x.s);
    assert_same_json (x.b, fresh);
    assert_same_json (x.b, x.s);
    weir_import_fini (&result);
    weir_export_info_fini (&info);
    weir_buf_fini (&newer);
    weir_replica_destroy (&fresh);
    weir_replica_destroy (&t);
    shallows_fini (&x);
}

static void
test_stale (void **state)
{
    (void) state;
    struct shallows x;
    shallows_init (&x);
    struct weir_replica *old = lab_replica (&x.lab, 3);
    struct weir_op_vector none = { 0 };
    lab_type (old, 0, "before everything");
    struct weir_buf late = lab_update (old, NULL);
    assert_refused (x.s, weir_buf_bytes (&late), WEIR_STALE_ROOT);
    /* Also what builds on it, together with good things. */
    lab_sync (x.a, old);
    lab_type (old, 0, "and after ");
    (void) lab_commit (old, "", 0);
    struct weir_buf both = lab_update (old, NULL);
    assert_refused (x.s, weir_buf_bytes (&both), WEIR_STALE_ROOT);
    lab_import (x.a, &both);
    assert_same_json (x.a, old);
    weir_buf_fini (&late);
    weir_buf_fini (&both);
    weir_op_vector_fini (&none);
    weir_replica_destroy (&old);
    shallows_fini (&x);
}

/* An edit right behind the root is as late as it is on whole replicas: it wins over what the root
 * has seen. */
static void
test_shallow_edits_are_in_time (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *s = lab_replica (&lab, 2);
    for (int i = 0; i < 8; i++) {
        lab_set (a, "k", i);
        (void) lab_commit (a, "", 0);
    }
    struct weir_buf blob = export_shallow (a, weir_id_zero);
    lab_import (s, &blob);
    lab_set (s, "k", 100);
    (void) lab_commit (s, "", 0);
    lab_sync (s, a);
    assert_shown (a, "{\"m\": {\"k\": 100}}");
    assert_same_json (a, s);
    lab_set (a, "k", 101);
    (void) lab_commit (a, "", 0);
    lab_sync (a, s);
    assert_same_json (a, s);
    weir_buf_fini (&blob);
    weir_replica_destroy (&a);
    weir_replica_destroy (&s);
    lab_fini (&lab);
}

/* Old versions behind the root show, too, what was written at once. */
static void
test_shallow_looks_back (void **state)
{
    (void) state;
    struct shallows x;
    shallows_init (&x);
    struct weir_heads heads = { 0 };
    json_t *now = NULL;
    json_t *then = NULL;
    weir_replica_log_heads (x.s, &heads);
    lab_ok (weir_doc_get (weir_replica_doc (x.s), "", &now, &e));
    lab_ok (weir_replica_checkout (x.s, &heads, &e));
    lab_ok (weir_doc_get (weir_replica_doc (x.s), "", &then, &e));
    assert_true (json_equal (now, then));
    json_decref (now);
    json_decref (then);
    weir_heads_fini (&heads);
    shallows_fini (&x);
}

/* Together with the whole history, in any order, a shallow snapshot makes no shallow replica. */
static void
test_batch (void **state)
{
    (void) state;
    struct shallows x;
    shallows_init (&x);
    struct weir_buf shallow = export_shallow (x.a, x.root);
    struct weir_buf whole = lab_snapshot (x.a);
    for (size_t i = 0; i < 2; i++) {
        struct weir_replica *fresh = lab_replica (&x.lab, 3);
        struct weir_bytes blobs[2];
        blobs[i] = weir_buf_bytes (&shallow);
        blobs[1 - i] = weir_buf_bytes (&whole);
        lab_ok (weir_replica_import_batch (fresh, blobs, 2, NULL, &e));
        assert_same_replicas (x.a, fresh);
        weir_replica_destroy (&fresh);
    }
    weir_buf_fini (&shallow);
    weir_buf_fini (&whole);
    shallows_fini (&x);
}

/* Where something is concurrent with what was asked for, the root lies before. */
static void
test_root_moves_back (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    lab_type (a, 0, "one");
    struct weir_id one = lab_commit (a, "", 0);
    lab_sync (a, b);
    lab_type (a, 3, "two");
    struct weir_id two = lab_commit (a, "", 0);
    lab_type (b, 0, "at once ");
    (void) lab_commit (b, "", 0);
    lab_sync (b, a);
    struct weir_buf blob = export_shallow (a, two);
    struct weir_export_info info = info_of (&blob);
    assert_true (weir_id_equal (&info.root.items[0], &one));
    struct weir_replica *c = lab_replica (&lab, 2);
    lab_import (c, &blob);
    assert_same_json (a, c);
    weir_export_info_fini (&info);
    weir_buf_fini (&blob);

    /* Merged, the newest is a root again. */
    lab_type (a, 0, "merged ");
    struct weir_id merged = lab_commit (a, "", 0);
    blob = export_shallow (a, weir_id_zero);
    info = info_of (&blob);
    assert_true (weir_id_equal (&info.root.items[0], &merged));
    assert_int_equal (info.entries, 0);
    weir_export_info_fini (&info);
    weir_buf_fini (&blob);
    struct weir_id nowhere = { { 9 } };
    struct weir_heads heads = { 0 };
    weir_heads_put (&heads, &nowhere);
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW, .root = &heads };
    assert_int_equal (weir_replica_export (a, &what, &blob, NULL), WEIR_NOT_FOUND);
    assert_int_equal (blob.len, 0);
    weir_heads_fini (&heads);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    weir_replica_destroy (&c);
    lab_fini (&lab);
}

/* Anybody can sign a root; what contradicts itself is refused, whoever signed it. */
static void
test_forged_root (void **state)
{
    (void) state;
    struct shallows x;
    shallows_init (&x);
    struct weir_buf blob = export_shallow (x.a, x.root);
    struct weir_buf newest = lab_snapshot (x.a);
    for (int forgery = 0; forgery < 3; forgery++) {
        struct weir_export_reader *reader = NULL;
        struct weir_export_reader *other = NULL;
        struct weir_export_runs runs;
        const struct weir_export_root *told = NULL;
        lab_ok (weir_export_open (&reader, weir_buf_bytes (&blob), 0, &e));
        lab_ok (weir_export_open (&other, weir_buf_bytes (&newest), 0, &e));
        lab_ok (weir_export_read_runs (reader, &runs, &e));
        lab_ok (weir_export_read_root (reader, &told, &e));
        struct weir_bytes settings = runs.settings[0].bytes;
        struct weir_export_root root = *told;
        root.signer = x.lab.devices[3].device;
        if (forgery == 0) { /* another version's state */
            lab_ok (weir_export_read_state (other, &root.state, &e));
        } else if (forgery == 1) { /* a root that is none of its tips */
            root.entry.b[0] ^= 1;
        } else { /* one tip in two chains */
            size_t last = root.vector.count - 1;
            root.vector.rows[last].tip = root.vector.rows[0].tip;
            root.ops_vector.rows[last].tip = root.vector.rows[0].tip;
        }
        struct weir_id hash =
            weir_export_root_hash (weir_replica_database (x.a), &root, &settings, 1);
        weir_sign (&root.signature, &x.lab.devices[3], WEIR_SIGN_EXPORT, weir_id_bytes (&hash));
        struct weir_export_parts parts = {
            .mode = WEIR_EXPORT_SHALLOW,
            .database = *weir_replica_database (x.a),
            .root = &root,
            .settings = &settings,
            .n_settings = 1,
        };
        struct weir_buf forged = { 0 };
        struct weir_replica *fresh = lab_replica (&x.lab, 3);
        lab_ok (weir_export_write (&parts, true, &forged, &e));
        assert_refused (fresh, weir_buf_bytes (&forged), WEIR_BAD_EXPORT);
        weir_replica_destroy (&fresh);
        weir_buf_fini (&forged);
        weir_export_close (&reader);
        weir_export_close (&other);
    }
    weir_buf_fini (&blob);
    weir_buf_fini (&newest);
    shallows_fini (&x);
}

/* Who has no identity signs nothing, but passes on what others signed. */
static void
test_reads_only (void **state)
{
    (void) state;
    struct shallows x;
    shallows_init (&x);
    struct weir_replica_options options = lab_options (&x.lab, 3);
    struct weir_replica *r = NULL;
    options.identity = NULL;
    lab_ok (weir_replica_new (&r, &options, &e));
    lab_sync (x.a, r);
    struct weir_buf out = { 0 };
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW };
    assert_int_equal (weir_replica_export (r, &what, &out, NULL), WEIR_READ_ONLY);
    struct weir_buf snapshot = lab_snapshot (x.s);
    struct weir_replica *shallow = NULL;
    lab_ok (weir_replica_load (&shallow, &options, weir_buf_bytes (&snapshot), &e));
    struct weir_buf passed = lab_snapshot (shallow);
    assert_true (weir_bytes_equal (weir_buf_bytes (&passed), weir_buf_bytes (&snapshot)));
    weir_buf_fini (&passed);
    weir_buf_fini (&snapshot);
    weir_buf_fini (&out);
    weir_replica_destroy (&shallow);
    weir_replica_destroy (&r);
    shallows_fini (&x);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_modes),           cmocka_unit_test (test_update_from),
        cmocka_unit_test (test_no_database),     cmocka_unit_test (test_spans),
        cmocka_unit_test (test_covered),         cmocka_unit_test (test_pending),
        cmocka_unit_test (test_damage),          cmocka_unit_test (test_lies),
        cmocka_unit_test (test_shallow),         cmocka_unit_test (test_shallow_edits_are_in_time),
        cmocka_unit_test (test_shallow_goes_on), cmocka_unit_test (test_shallow_looks_back),
        cmocka_unit_test (test_stale),           cmocka_unit_test (test_batch),
        cmocka_unit_test (test_root_moves_back), cmocka_unit_test (test_forged_root),
        cmocka_unit_test (test_reads_only),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
