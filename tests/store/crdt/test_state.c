/* Goal: a saved state is canonical and pinned, loads back to the same document, and goes on from
 * there; bytes that are not what save writes, altered or cut anywhere, do not load, or are
 * themselves canonical. */

#include "tests/store/crdt/fixture.h"

#include "store/base/rand.h"

/* In root "m": a unique map under a key, and what `ops` do; row 1 is the child. */
static void
make_unique (struct weir_doc *doc, uint32_t number, const char *ops, size_t len, uint32_t atoms)
{
    struct fixture_entry e = { .entry = fixture_head (6, number, number, number) };
    e.entry.ops = atoms;
    weir_buf_put (&e.payload, "\x01\x00\x00\x02\x04\x01m\x06\x01\x00", 10);
    weir_buf_put_u8 (&e.payload, 0); /* no text */
    weir_buf_put (&e.payload, ops, len);
    fixture_apply (doc, &e);
    fixture_drop (&e);
}

/* Nested, with losers, tombstones, hidden containers, several roots and chains. */
static struct weir_doc *
sample (void)
{
    static const struct {
        uint8_t author;
        uint64_t lamport;
        const char *path;
        const char *value;
    } writes[] = {
        { 2, 0, "/m/x/y", "{\"a\":1,\"t\":\"text\",\"n\":null,\"f\":2.5,\"b\":false}" },
        { 1, 3, "/m/x", "7" },
        { 3, 9, "/a/k", "true" },
        { 1, 20, "/m/gone", "{\"z\":{\"$bytes\":\"ge\"}}" },
        { 2, 30, "/m/gone", NULL },
    };
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc *alone = weir_doc_new ();
    for (uint32_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        struct weir_doc_entry head = fixture_head (writes[i].author, i + 1, i, writes[i].lamport);
        struct fixture_entry e =
            fixture_commit (i < 2 ? alone : doc, head, writes[i].path, writes[i].value);
        if (i < 2) {
            fixture_apply (doc, &e);
            weir_doc_destroy (&alone);
            alone = weir_doc_new ();
        }
        fixture_drop (&e);
    }
    weir_doc_destroy (&alone);
    make_unique (doc, 40, "\x00\x01u\x09\x01\x10\x01k\x00", 9, 2);
    make_unique (doc, 41, "\x00\x01v\x09\x01", 5, 1); /* empty, but made */
    return doc;
}

static void
test_states_load_back (void **state)
{
    (void) state;
    struct weir_doc *doc = sample ();
    struct weir_doc *loaded = NULL;
    struct weir_doc *empty = weir_doc_new ();
    struct weir_buf bytes = { 0 };
    assert_docs_equal (empty, empty);
    assert_docs_equal (doc, doc);
    weir_doc_save (doc, &bytes);
    assert_int_equal (weir_doc_load (&loaded, weir_buf_bytes (&bytes)), WEIR_OK);
    const char *wanted = "{\"a\":{\"k\":true},\"m\":{\"u\":{\"k\":null},\"v\":{},\"x\":7}}";
    assert_doc (doc, "", wanted);
    assert_doc (loaded, "", wanted);
    /* Both go on alike. */
    struct fixture_entry e = fixture_commit (doc, fixture_head (4, 50, 0, 50), "/m/x", "{\"y\":2}");
    fixture_apply (loaded, &e);
    assert_docs_equal (doc, loaded);
    fixture_drop (&e);
    weir_buf_fini (&bytes);
    weir_doc_destroy (&doc);
    weir_doc_destroy (&loaded);
    weir_doc_destroy (&empty);
}

/* /m/k = 1 by one chain, /m/k = "b" by another that lost. */
static void
test_bytes_are_pinned (void **state)
{
    (void) state;
    struct weir_doc *a = weir_doc_new ();
    struct weir_doc *b = weir_doc_new ();
    struct fixture_entry x = fixture_commit (a, fixture_head (7, 1, 0, 300), "/m/k", "1");
    struct fixture_entry y = fixture_commit (b, fixture_head (5, 2, 0, 2), "/m/k", "\"b\"");
    struct weir_buf got = { 0 };
    struct weir_buf wanted = { 0 };
    fixture_apply (a, &y);
    weir_doc_save (a, &got);
    weir_buf_put_u8 (&wanted, 2);
    weir_buf_put_varint (&wanted, 301); /* lamport */
    weir_buf_put_u8 (&wanted, 2);       /* heads */
    weir_buf_put (&wanted, x.entry.id.b, 32);
    weir_buf_put (&wanted, y.entry.id.b, 32);
    weir_buf_put_u8 (&wanted, 2);
    weir_buf_put (&wanted, y.entry.chain.author.b, 32);
    weir_buf_put_u64 (&wanted, 1);
    weir_buf_put (&wanted, x.entry.chain.author.b, 32);
    weir_buf_put_u64 (&wanted, 1);
    weir_buf_put (&wanted, "\x01\x04\x01m\x01\x01k\x02", 8);
    weir_buf_put (&wanted, x.entry.id.b, 32);
    weir_buf_put (&wanted, "\xac\x02\x03\x02\x01\x00", 6);
    weir_buf_put (&wanted, y.entry.id.b, 32);
    weir_buf_put (&wanted,
                  "\x02\x05\x01"
                  "b",
                  4);
    assert_int_equal (got.len, wanted.len);
    assert_memory_equal (got.data, wanted.data, got.len);
    weir_buf_fini (&got);
    weir_buf_fini (&wanted);
    fixture_drop (&x);
    fixture_drop (&y);
    weir_doc_destroy (&a);
    weir_doc_destroy (&b);
}

/* Loads only what save would write. */
static void
assert_canonical_or_refused (struct weir_bytes bytes)
{
    struct weir_doc *doc = NULL;
    struct weir_buf again = { 0 };
    enum weir_status status = weir_doc_load (&doc, bytes);
    if (status == WEIR_OK) {
        weir_doc_save (doc, &again);
        assert_int_equal (again.len, bytes.len);
        assert_memory_equal (again.data, bytes.data, bytes.len);
        weir_doc_destroy (&doc);
    } else {
        assert_int_equal (status, WEIR_BAD_PAYLOAD);
        assert_null (doc);
    }
    weir_buf_fini (&again);
}

static void
test_altered_states (void **state)
{
    (void) state;
    struct weir_doc *doc = sample ();
    struct weir_buf bytes = { 0 };
    struct weir_rand rand;
    weir_rand_init (&rand, 3);
    weir_doc_save (doc, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        struct weir_doc *cut = NULL;
        assert_int_equal (weir_doc_load (&cut, weir_bytes (bytes.data, i)), WEIR_BAD_PAYLOAD);
        uint8_t was = bytes.data[i];
        for (unsigned v = 0; v < 12; v++) {
            bytes.data[i] = (uint8_t) (v < 8 ? was ^ 1u << v : v < 10 ? was + v : v);
            assert_canonical_or_refused (weir_buf_bytes (&bytes));
        }
        bytes.data[i] = was;
    }
    weir_buf_put_u8 (&bytes, 0);
    struct weir_doc *longer = NULL;
    assert_int_equal (weir_doc_load (&longer, weir_buf_bytes (&bytes)), WEIR_BAD_PAYLOAD);
    for (int i = 0; i < 5000; i++) {
        struct weir_buf mixed = { 0 };
        weir_buf_put (&mixed, bytes.data, bytes.len - 1);
        for (uint64_t k = 1 + weir_rand_below (&rand, 4); k > 0; k--) {
            mixed.data[weir_rand_below (&rand, mixed.len)] = (uint8_t) weir_rand_u64 (&rand);
        }
        assert_canonical_or_refused (weir_buf_bytes (&mixed));
        weir_buf_fini (&mixed);
    }
    weir_buf_fini (&bytes);
    weir_doc_destroy (&doc);
}

#define BYTES(x)                                                                                   \
    {                                                                                              \
        (const uint8_t *) (x), sizeof (x) - 1                                                      \
    }
#define ID "0123456789abcdef0123456789abcdef"
#define ZERO_ID "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define V "\x02\x00\x00" /* version, lamport, heads */
#define CHILD                                                                                      \
    "\x9f\xfb\xd7\x4c\xcd\x20\x2c\x52\x99\xa0\x9d\xa0\x9b\xc7\x4e\x0b"                             \
    "\x37\xf0\x42\x52\xc6\x41\x78\x08\xca\xdd\x9e\x95\x4a\x12\xa8\x53" /* map made by ID, 0 */
#define CHAIN ID "\0\0\0\0\0\0\0\1"
#define CHAIN_2 ID "\0\0\0\0\0\0\0\2"
#define WRITE "\x00" ID "\x05\x00" /* chain 0, lamport 5, null */

/* Each breaks one rule of the canonical form. */
static const struct weir_bytes crooked[] = {
    BYTES ("\x01\x00\x00\x00\x00"),
    BYTES (V "\x7f\x00"),
    BYTES ("\x02\x00\x7f\x00\x00"),               /* heads cut short */
    BYTES ("\x02\x00\x02" ID ID "\x00\x00"),      /* twice */
    BYTES ("\x02\x00\x02" ID ZERO_ID "\x00\x00"), /* not sorted */
    BYTES (V "\x02" CHAIN CHAIN "\x00"),
    BYTES (V "\x02" CHAIN_2 CHAIN "\x00"),
    BYTES (V "\x01" CHAIN "\x00"), /* a chain nobody uses */
    BYTES (V "\x00"
             "\x7f"),
    BYTES (V "\x00"
             "\x01"
             "\x04\x01m\x00"), /* an empty root */
    BYTES (V "\x00"
             "\x01"
             "\xfc\x01m\x00"),
    BYTES (V "\x00"
             "\x01"
             "\x06\x01m\x00"),
    BYTES (V "\x00"
             "\x01"
             "\x05\x00\x01m\x00"), /* a child of nothing */
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01_\x01\x01k" WRITE "\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01\xff\x01\x01k" WRITE "\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01\xff" WRITE "\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x02\x01k" WRITE "\x00\x01k\x01\x05\x00\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x02\x01k" WRITE "\x00\x01j\x01\x05\x00\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x02\x01k" WRITE "\x00\x01l" WRITE "\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k\x02" ID "\x05\x00\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k\x00" ID "\x05\x0a\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k\x00" ID "\x05\x07\x3f\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k\x00" ID "\x05\x05\x01\xff\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k" WRITE "\x11"), /* 17 losers */
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k" WRITE "\x01\x01\x04\x00"),
    BYTES (V "\x02" CHAIN CHAIN_2 "\x01"
             "\x04\x01m\x01\x01k" WRITE "\x01\x03\x06\x00"),
    BYTES (V "\x02" CHAIN CHAIN_2 "\x01"
             "\x04\x01m\x01\x01k" WRITE "\x02\x03\x04\x00\x03\x03\x00"),
    BYTES (V "\x01" CHAIN "\x02"
             "\x04\x01n\x01\x01k" WRITE "\x00"
             "\x04\x01m\x01\x01k\x01\x05\x00\x00"),
    BYTES (V "\x01" CHAIN "\x02"
             "\x04\x01m\x01\x01k" WRITE "\x00"
             "\x04\x01m\x01\x01k\x01\x05\x00\x00"),
    /* Unique children: no such type, cut short, an offset too large, a parent that is not there,
     * behind a path, out of order, hollow and of nobody, shown by another than the parent, shown
     * twice, of another type than its value says. */
    BYTES (V "\x00\x01"
             "\xfe" ID "\x00\x00\x00"),
    BYTES (V "\x00\x01"
             "\x06" ID "\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x06" ID "\x80\x80\x80\x08\x00\x01\x01k" WRITE "\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x06" ID "\x00\x02\x01\x01k" WRITE "\x00"),
    BYTES (V "\x01" CHAIN "\x03"
             "\x04\x01m\x01\x01k" WRITE "\x00"
             "\x05\x00\x01k\x01\x01k\x01\x05\x00\x00"
             "\x06" ID "\x00\x00\x01\x01k\x01\x05\x00\x00"),
    BYTES (V "\x01" CHAIN "\x02"
             "\x06" ID "\x00\x00\x01\x01k" WRITE "\x00"
             "\x06" ID "\x00\x00\x01\x01k\x01\x05\x00\x00"),
    BYTES (V "\x00\x01"
             "\x06" ID "\x00\x00\x00"),
    BYTES (V "\x01" CHAIN "\x02"
             "\x04\x01m\x01\x01k\x00" ID "\x05\x09\x01" CHILD "\x00"
             "\x06" ID "\x00\x00\x01\x01k\x01\x05\x00\x00"),
    BYTES (V "\x01" CHAIN "\x02"
             "\x04\x01m\x02\x01k\x00" ID "\x05\x09\x01" CHILD "\x00"
             "\x01l\x01\x05\x09\x01" CHILD "\x00"
             "\x06" ID "\x00\x01\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k\x00" ID "\x05\x09\x3f" CHILD "\x00"),
    BYTES (V "\x01" CHAIN "\x01"
             "\x04\x01m\x01\x01k\x00" ID "\x05\x09\x01"
             "short"),
    /* A root behind a child, and children out of their parents' order. */
    BYTES (V "\x01" CHAIN "\x03"
             "\x04\x01m\x01\x01k" WRITE "\x00"
             "\x05\x00\x01k\x01\x01k\x01\x05\x00\x00"
             "\x04\x01n\x01\x01k\x01\x05\x00\x00"),
    BYTES (V "\x01" CHAIN "\x04"
             "\x04\x01m\x01\x01k" WRITE "\x00"
             "\x04\x01n\x01\x01k\x01\x05\x00\x00"
             "\x05\x01\x01k\x01\x01k\x01\x05\x00\x00"
             "\x05\x00\x01k\x01\x01k\x01\x05\x00\x00"),
};

static void
test_crooked_states (void **state)
{
    (void) state;
    static const struct weir_bytes straight = BYTES (V "\x02" CHAIN CHAIN_2 "\x03"
                                                       "\x04\x01m\x01\x01k" WRITE "\x01\x03\x04\x00"
                                                       "\x04\x01n\x01\x01k\x01\x05\x00\x00"
                                                       "\x05\x01\x01k\x01\x01k\x01\x05\x00\x00");
    struct weir_doc *doc = NULL;
    assert_int_equal (weir_doc_load (&doc, straight), WEIR_OK);
    assert_doc (doc, "", "{\"m\":{\"k\":null},\"n\":{\"k\":null}}");
    assert_docs_equal (doc, doc);
    weir_doc_destroy (&doc);
    static const struct weir_bytes unique =
        BYTES (V "\x01" CHAIN "\x02"
                 "\x04\x01m\x01\x01k\x00" ID "\x05\x09\x01" CHILD "\x00"
                 "\x06" ID "\x00\x01\x00");
    assert_int_equal (weir_doc_load (&doc, unique), WEIR_OK);
    assert_doc (doc, "", "{\"m\":{\"k\":{}}}");
    assert_docs_equal (doc, doc);
    weir_doc_destroy (&doc);
    for (size_t i = 0; i < sizeof crooked / sizeof *crooked; i++) {
        if (weir_doc_load (&doc, crooked[i]) != WEIR_BAD_PAYLOAD) {
            fail_msg ("case %zu loads", i);
        }
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_states_load_back),
        cmocka_unit_test (test_bytes_are_pinned),
        cmocka_unit_test (test_altered_states),
        cmocka_unit_test (test_crooked_states),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
