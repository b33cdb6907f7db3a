/* Goal: LevelDB and the memory twin keep the same promises. One suite runs on both: what is
 * written is readable at once and in order, ranges and directions, a view that does not move,
 * numbers and syncing; then seeded random histories against a sorted array, with iterators open
 * across writes, syncs and (on disk) reopening. */

#include "tests/store/kv/fixture.h"

#include "store/base/rand.h"

struct place {
    bool disk;
    char *path; /* NULL for memory */
    struct weir_kv *kv;
};

static int
setup_memory (void **state)
{
    struct place *p = weir_alloc (sizeof *p);
    p->kv = weir_kv_memory_new ();
    *state = p;
    return 0;
}

static int
setup_disk (void **state)
{
    struct weir_error e = { 0 };
    struct place *p = weir_alloc (sizeof *p);
    use_memory_disk ();
    p->disk = true;
    p->path = make_directory ();
    *state = p;
    return weir_kv_open (&p->kv, p->path, true, &e) == WEIR_OK ? 0 : -1;
}

static int
teardown (void **state)
{
    struct place *p = *state;
    weir_kv_close (&p->kv);
    assert_null (p->kv);
    if (p->disk) {
        remove_directory (p->path);
        free (p->path);
    }
    free (p);
    return 0;
}

/* All that was written is on disk (and, where there is one, out of the overlay). */
static void
sync_all (struct place *p, uint64_t number)
{
    assert_int_equal (weir_kv_wait (p->kv, number), WEIR_OK);
    assert_true (weir_kv_synced (p->kv) >= number);
    weir_kv_clear_event (p->kv);
}

static void
reopen (struct place *p)
{
    if (p->disk) {
        struct weir_error e = { 0 };
        weir_kv_close (&p->kv);
        assert_int_equal (weir_kv_open (&p->kv, p->path, false, &e), WEIR_OK);
    }
}

/* Each step is one batch; `expected` is the whole content after the last. Every case is read
 * before a sync, after one, and after reopening. */
static void
test_batches (void **state)
{
    static const struct {
        const char *batches[4];
        const char *expected;
    } cases[] = {
        { { "" }, "" },
        { { "a=1" }, "a=1" },
        { { "b=2 a=1 c=3" }, "a=1 b=2 c=3" },
        { { "a=1", "a=2" }, "a=2" },
        { { "a=1 a=2" }, "a=2" },
        { { "a=1 -a" }, "" },
        { { "a=1", "-a" }, "" },
        { { "a=1", "-a", "a=3" }, "a=3" },
        { { "a=1 -a a=3" }, "a=3" },
        { { "-a" }, "" },
        { { "-a a=1" }, "a=1" },
        { { "a=1 ab=2 abc=3", "-ab" }, "a=1 abc=3" },
        { { "a=", "b=" }, "a= b=" },
        { { "a=1", "", "b=2" }, "a=1 b=2" },
        { { "=empty a=1" }, "=empty a=1" },
        { { "a=1 b=2 c=3 d=4", "-b -c", "c=5", "-d e=6" }, "a=1 c=5 e=6" },
    };
    struct place *p = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned synced_after = 0; synced_after < 4; synced_after++) {
            uint64_t number = 0;
            for (unsigned j = 0; j < 4 && cases[i].batches[j] != NULL; j++) {
                uint64_t before = number;
                number = write_text (p->kv, cases[i].batches[j]);
                assert_true (before == 0 || number == before + 1);
                if (j == synced_after) {
                    sync_all (p, number);
                }
            }
            assert_content (p->kv, cases[i].expected);
            sync_all (p, number);
            assert_content (p->kv, cases[i].expected);
            reopen (p);
            assert_content (p->kv, cases[i].expected);
            write_text (p->kv, "- -a -ab -abc -b -c -d -e");
            assert_content (p->kv, "");
        }
    }
}

static void
test_ranges (void **state)
{
    static const struct {
        const char *from;
        const char *to;
        const char *expected;
        const char *backward;
    } cases[] = {
        { "", "", "a=1 ab=2 b=3 c=4", "c=4 b=3 ab=2 a=1" },
        { "a", "b", "a=1 ab=2", "ab=2 a=1" },
        { "aa", "bb", "ab=2 b=3", "b=3 ab=2" },
        { "b", "", "b=3 c=4", "c=4 b=3" },
        { "", "ab", "a=1", "a=1" },
        { "b", "b", "", "" },
        { "c", "a", "", "" },
        { "d", "", "", "" },
        { "", "A", "", "" },
    };
    struct place *p = *state;
    /* The pairs come from different batches, on disk or not, some hidden by later ones. */
    write_text (p->kv, "a=9 ab=2 aa=0 c=4 zz=1");
    for (unsigned round = 0; round < 3; round++) {
        if (round == 1) {
            sync_all (p, write_text (p->kv, ""));
        }
        uint64_t number = write_text (p->kv, "a=1 b=3 -aa -zz -0");
        if (round == 2) {
            sync_all (p, number);
        }
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            assert_range (p->kv, cases[i].from, cases[i].to, false, cases[i].expected);
            assert_range (p->kv, cases[i].from, cases[i].to, true, cases[i].backward);
        }
    }
}

static void
test_get (void **state)
{
    struct place *p = *state;
    struct weir_buf out = { 0 };
    weir_buf_put (&out, ">", 1);
    write_text (p->kv, "a=1 b=2");
    assert_int_equal (weir_kv_get (p->kv, text ("a"), &out), WEIR_OK);
    assert_string_equal (weir_buf_str (&out), ">1");
    assert_int_equal (weir_kv_get (p->kv, text ("b"), NULL), WEIR_OK);
    assert_int_equal (weir_kv_get (p->kv, text ("c"), &out), WEIR_NOT_FOUND);
    sync_all (p, write_text (p->kv, "-b"));
    assert_int_equal (weir_kv_get (p->kv, text ("a"), &out), WEIR_OK);
    assert_int_equal (weir_kv_get (p->kv, text ("a"), NULL), WEIR_OK);
    assert_int_equal (weir_kv_get (p->kv, text ("b"), NULL), WEIR_NOT_FOUND);
    assert_string_equal (weir_buf_str (&out), ">11");
    write_text (p->kv, "-a");
    assert_int_equal (weir_kv_get (p->kv, text ("a"), &out), WEIR_NOT_FOUND);
    assert_string_equal (weir_buf_str (&out), ">11");
    weir_buf_fini (&out);
}

/* Bytes are bytes: NUL, 0xff, long keys, values of a megabyte, thousands of pairs. */
static void
test_shapes (void **state)
{
    struct place *p = *state;
    uint8_t *big = weir_alloc (1u << 20);
    for (size_t i = 0; i < 1u << 20; i++) {
        big[i] = (uint8_t) (i * 131 >> 3);
    }
    struct weir_kv_batch *b = weir_kv_batch_new ();
    assert_int_equal (weir_kv_batch_bytes (b), 0);
    weir_kv_put (b, weir_bytes ("\0\0", 2), weir_bytes ("\xff\0\n", 3));
    weir_kv_put (b, weir_bytes ("\xff\xff", 2), weir_bytes (big, 1u << 20));
    weir_kv_put (b, weir_bytes (big, 5000), text ("long"));
    assert_true (weir_kv_batch_bytes (b) > (1u << 20) + 5000);
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t key[5] = { 'k' };
        weir_store_u32 (key + 1, i * 2654435761u);
        weir_kv_put (b, weir_bytes (key, 5), weir_bytes (key + 1, 4));
    }
    uint64_t number = weir_kv_write (p->kv, &b);
    for (unsigned round = 0; round < 2; round++) {
        struct weir_buf out = { 0 };
        assert_int_equal (weir_kv_get (p->kv, weir_bytes ("\0\0", 2), &out), WEIR_OK);
        assert_true (weir_bytes_equal (weir_buf_bytes (&out), weir_bytes ("\xff\0\n", 3)));
        weir_buf_clear (&out);
        assert_int_equal (weir_kv_get (p->kv, weir_bytes ("\xff\xff", 2), &out), WEIR_OK);
        assert_true (weir_bytes_equal (weir_buf_bytes (&out), weir_bytes (big, 1u << 20)));
        assert_int_equal (weir_kv_get (p->kv, weir_bytes (big, 5000), NULL), WEIR_OK);
        assert_int_equal (weir_kv_get (p->kv, weir_bytes ("\0", 1), NULL), WEIR_NOT_FOUND);
        struct weir_kv_iter *iter = weir_kv_iter_new (p->kv, text ("k"), text ("l"), round == 0);
        struct weir_bytes key;
        struct weir_bytes value;
        size_t count = 0;
        while (weir_kv_iter_next (iter, &key, &value)) {
            assert_true (key.len == 5);
            assert_true (weir_bytes_equal (weir_bytes (key.data + 1, 4), value));
            count++;
        }
        assert_int_equal (weir_kv_iter_status (iter), WEIR_OK);
        assert_int_equal (count, 5000);
        weir_kv_iter_destroy (&iter);
        weir_buf_fini (&out);
        sync_all (p, number);
    }
    free (big);
}

/* A batch that is not written leaves nothing; destroying nothing is fine. */
static void
test_destroy (void **state)
{
    struct place *p = *state;
    struct weir_kv_batch *b = weir_kv_batch_new ();
    weir_kv_put (b, text ("a"), text ("1"));
    weir_kv_batch_destroy (&b);
    assert_null (b);
    weir_kv_batch_destroy (&b);
    struct weir_kv_iter *none = NULL;
    weir_kv_iter_destroy (&none);
    struct weir_kv *closed = NULL;
    weir_kv_close (&closed);
    assert_content (p->kv, "");
    assert_range (p->kv, "", "", true, "");
}

static void
test_numbers (void **state)
{
    struct place *p = *state;
    assert_int_equal (weir_kv_synced (p->kv), 0);
    assert_int_equal (weir_kv_wait (p->kv, 0), WEIR_OK);
    /* Nothing waits: an empty batch is synced at once. */
    assert_int_equal (write_text (p->kv, ""), 1);
    assert_int_equal (weir_kv_synced (p->kv), 1);
    assert_int_equal (write_text (p->kv, "a=1"), 2);
    assert_int_equal (write_text (p->kv, ""), 3);
    sync_all (p, 3);
    assert_int_equal (weir_kv_synced (p->kv), 3);
    assert_int_equal (weir_kv_wait (p->kv, 1), WEIR_OK);
    assert_int_equal (weir_kv_status (p->kv), WEIR_OK);
    assert_int_equal (weir_kv_event_fd (p->kv) >= 0, p->disk);
    assert_true (p->disk || weir_kv_disk_bytes (p->kv) == 0);
}

/* An iterator shows the state at its creation: never half a batch, never a later one. */
static void
test_views (void **state)
{
    struct place *p = *state;
    for (unsigned backward = 0; backward < 2; backward++) {
        sync_all (p, write_text (p->kv, "b=1 d=1"));
        write_text (p->kv, "c=1 f=1");
        struct weir_kv_iter *iter = weir_kv_iter_new (p->kv, text (""), text (""), backward == 1);
        struct weir_bytes key;
        assert_true (weir_kv_iter_next (iter, &key, NULL));
        assert_string_equal (backward == 1 ? "f" : "b", key.data[0] == 'f' ? "f" : "b");
        uint64_t number = write_text (p->kv, "a=2 b=2 c=2 cc=2 -d e=2 g=2");
        sync_all (p, number);
        write_text (p->kv, "-c -f d=3");
        struct weir_buf out = { 0 };
        put_rest (iter, &out);
        assert_string_equal (weir_buf_str (&out), backward == 1 ? "d=1 c=1 b=1" : "c=1 d=1 f=1");
        assert_false (weir_kv_iter_next (iter, NULL, NULL));
        weir_kv_iter_destroy (&iter);
        weir_buf_fini (&out);
        assert_content (p->kv, "a=2 b=2 cc=2 d=3 e=2 g=2");
        write_text (p->kv, "-a -b -cc -d -e -g");
    }
}

/* ---- random histories ---- */

#define KEYS 200u
#define VIEWS 4u
#define STEPS 1500u

/* The obvious model: a value number for each key, 0 for absent. */
struct model {
    uint32_t values[KEYS];
};

struct view {
    struct weir_kv_iter *iter;
    struct model model; /* at creation */
    unsigned from;
    unsigned to; /* KEYS: open */
    bool backward;
    unsigned at; /* the next key index to be looked at; going backward, one above it */
};

/* Keys in the order of their index: prefixes of each other, zeros and 0xff. */
static struct weir_bytes
model_key (unsigned i, uint8_t room[8])
{
    static const uint8_t last[4] = { 0x00, 0x01, 0x80, 0xff };
    room[0] = (uint8_t) (i / 20 * 28);
    room[1] = (uint8_t) (i / 5 % 4 * 85);
    room[2] = last[i % 5 == 0 ? 0 : i % 5 - 1];
    return weir_bytes (room, i % 5 == 0 ? 2 : 3);
}

static void
model_value (uint32_t value, struct weir_buf *out)
{
    weir_buf_clear (out);
    for (uint32_t i = 0; i <= value % 40; i++) {
        weir_buf_put_u32 (out, value + i);
    }
}

static void
assert_value (uint32_t expected, struct weir_bytes got)
{
    struct weir_buf value = { 0 };
    model_value (expected, &value);
    assert_true (weir_bytes_equal (weir_buf_bytes (&value), got));
    weir_buf_fini (&value);
}

static void
random_write (struct place *p, struct weir_rand *r, struct model *model, uint32_t *counter)
{
    struct weir_kv_batch *b = weir_kv_batch_new ();
    struct weir_buf value = { 0 };
    unsigned count = (unsigned) weir_rand_below (r, weir_rand_below (r, 4) == 0 ? 120 : 8);
    for (unsigned j = 0; j < count; j++) {
        uint8_t room[8];
        unsigned i = (unsigned) weir_rand_below (r, KEYS);
        if (weir_rand_below (r, 3) == 0) {
            weir_kv_delete (b, model_key (i, room));
            model->values[i] = 0;
        } else {
            model->values[i] = ++*counter;
            model_value (*counter, &value);
            weir_kv_put (b, model_key (i, room), weir_buf_bytes (&value));
        }
    }
    weir_buf_fini (&value);
    (void) weir_kv_write (p->kv, &b);
}

static void
random_open (struct place *p, struct weir_rand *r, const struct model *model, struct view *v)
{
    uint8_t from[8];
    uint8_t to[8];
    v->model = *model;
    v->from = (unsigned) weir_rand_below (r, KEYS);
    v->to = (unsigned) weir_rand_below (r, KEYS + 1);
    v->backward = weir_rand_below (r, 2) == 0;
    if (weir_rand_below (r, 2) == 0) {
        v->from = 0;
        v->to = KEYS;
    }
    v->at = v->backward ? v->to : v->from;
    v->iter = weir_kv_iter_new (p->kv, model_key (v->from, from),
                                v->to == KEYS ? weir_bytes (NULL, 0) : model_key (v->to, to),
                                v->backward);
}

/* The index of the next key that the model holds, or KEYS at the end of the view. */
static unsigned
model_next (struct view *v)
{
    if (v->backward) {
        while (v->at > v->from) {
            if (v->model.values[--v->at] != 0) {
                return v->at;
            }
        }
    } else {
        while (v->at < v->to) {
            if (v->model.values[v->at++] != 0) {
                return v->at - 1;
            }
        }
    }
    return KEYS;
}

/* Looks at up to `steps` pairs; true when the view is through and gone. */
static bool
random_advance (struct view *v, uint64_t steps)
{
    for (uint64_t j = 0; j < steps; j++) {
        struct weir_bytes key;
        struct weir_bytes value;
        uint8_t room[8];
        unsigned i = model_next (v);
        bool found = weir_kv_iter_next (v->iter, &key, &value);
        assert_int_equal (found, i < KEYS);
        if (!found) {
            assert_int_equal (weir_kv_iter_status (v->iter), WEIR_OK);
            weir_kv_iter_destroy (&v->iter);
            return true;
        }
        assert_true (weir_bytes_equal (key, model_key (i, room)));
        assert_value (v->model.values[i], value);
    }
    return false;
}

static void
random_get (struct place *p, struct weir_rand *r, const struct model *model)
{
    struct weir_buf out = { 0 };
    uint8_t room[8];
    unsigned i = (unsigned) weir_rand_below (r, KEYS);
    enum weir_status status = weir_kv_get (p->kv, model_key (i, room), &out);
    assert_int_equal (status, model->values[i] == 0 ? WEIR_NOT_FOUND : WEIR_OK);
    if (status == WEIR_OK) {
        assert_value (model->values[i], weir_buf_bytes (&out));
    }
    weir_buf_fini (&out);
}

static void
history (struct place *p, uint64_t seed)
{
    struct weir_rand r;
    struct model model = { { 0 } };
    struct view views[VIEWS] = { 0 };
    uint32_t counter = 0;
    weir_rand_init (&r, seed);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t what = weir_rand_below (&r, 100);
        struct view *v = &views[weir_rand_below (&r, VIEWS)];
        if (what < 40) {
            random_write (p, &r, &model, &counter);
        } else if (what < 60) {
            random_get (p, &r, &model);
        } else if (what < 90) {
            if (v->iter == NULL) {
                random_open (p, &r, &model, v);
            }
            (void) random_advance (v, weir_rand_below (&r, 60));
        } else if (what < 94) {
            weir_kv_iter_destroy (&v->iter);
        } else if (what < 97) {
            struct weir_kv_batch *empty = weir_kv_batch_new ();
            sync_all (p, weir_kv_write (p->kv, &empty));
        } else if (what == 97) {
            for (unsigned i = 0; i < VIEWS; i++) {
                weir_kv_iter_destroy (&views[i].iter);
            }
            reopen (p);
        } else {
            weir_kv_clear_event (p->kv);
        }
    }
    for (unsigned i = 0; i < VIEWS; i++) {
        weir_kv_iter_destroy (&views[i].iter);
    }
    reopen (p);
    for (unsigned i = 0; i < 2; i++) {
        random_open (p, &r, &model, &views[0]);
        assert_true (random_advance (&views[0], KEYS + 1));
    }
    /* Empty for the next seed. */
    struct weir_kv_batch *b = weir_kv_batch_new ();
    for (unsigned i = 0; i < KEYS; i++) {
        uint8_t room[8];
        weir_kv_delete (b, model_key (i, room));
    }
    (void) weir_kv_write (p->kv, &b);
}

static void
test_random_histories (void **state)
{
    struct place *p = *state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        history (p, seed);
    }
}

#define ON_DISK(f) cmocka_unit_test_setup_teardown (f, setup_disk, teardown)
#define ON_MEMORY(f) cmocka_unit_test_setup_teardown (f, setup_memory, teardown)

int
main (void)
{
    const struct CMUnitTest tests[] = {
        ON_MEMORY (test_batches), ON_MEMORY (test_ranges),
        ON_MEMORY (test_get),     ON_MEMORY (test_shapes),
        ON_MEMORY (test_destroy), ON_MEMORY (test_numbers),
        ON_MEMORY (test_views),   ON_MEMORY (test_random_histories),
        ON_DISK (test_batches),   ON_DISK (test_ranges),
        ON_DISK (test_get),       ON_DISK (test_shapes),
        ON_DISK (test_destroy),   ON_DISK (test_numbers),
        ON_DISK (test_views),     ON_DISK (test_random_histories),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
