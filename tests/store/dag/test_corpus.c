/* Goal: the seeds of fuzz_run and fuzz_settings are what today's encoders make, so a change of
 * the format cannot leave the fuzzers with seeds that no longer decode. With
 * WEIR_WRITE_CORPUS=1 in the environment this writes them. Runs from the root of the repository. */

#include "tests/store/dag/fixture.h"

#include <stdio.h>

#include "store/dag/members.h"

#define CORPUS "tests/fuzz/corpus/"

static void
check_seed (const char *path, const struct weir_buf *seed)
{
    if (getenv ("WEIR_WRITE_CORPUS") != NULL) {
        FILE *f = fopen (path, "wb");
        assert_non_null (f);
        assert_int_equal (fwrite (seed->data, 1, seed->len, f), seed->len);
        assert_int_equal (fclose (f), 0);
    }
    FILE *f = fopen (path, "rb");
    if (f == NULL) {
        fail_msg ("%s is missing: run with WEIR_WRITE_CORPUS=1", path);
    }
    uint8_t *bytes = malloc (seed->len + 1);
    size_t len = fread (bytes, 1, seed->len + 1, f);
    (void) fclose (f);
    if (len != seed->len || memcmp (bytes, seed->data, len) != 0) {
        fail_msg ("%s is from another format: run with WEIR_WRITE_CORPUS=1", path);
    }
    free (bytes);
}

/* `count` entries with `size` bytes each, sealed onto `out`; the builder goes on from there. */
static void
put_run (struct weir_buf *out, struct weir_run_builder *b, uint8_t kind, uint64_t seq,
         uint32_t count, size_t size, size_t n_deps)
{
    struct weir_identity k = fixture_identity (1);
    struct weir_chain chain = { k.device, 7 };
    struct weir_id database;
    struct weir_id prev = b->next_seq == seq && seq > 0 ? b->tip : fixture_id (1);
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX];
    struct weir_id id;
    uint8_t payload[300] = { 1 };
    memset (database.b, 0x77, sizeof database.b);
    for (size_t i = 0; i < n_deps; i++) {
        deps[i] = fixture_id (100 + (uint32_t) i);
    }
    weir_run_begin (b, kind == WEIR_ENTRY_GENESIS ? &weir_id_zero : &database, kind, &chain, seq,
                    &prev, deps, n_deps);
    for (uint32_t i = 0; i < count; i++) {
        weir_run_add (b, kind == WEIR_ENTRY_DATA ? i : 0, 1700000000000u + i * 3,
                      weir_bytes (payload, size), &id);
    }
    weir_run_close (b, &k, out);
}

static void
test_run_seeds (void **state)
{
    (void) state;
    const struct {
        const char *path;
        uint8_t kind;
        uint64_t seq;
        uint32_t count;
        size_t size, n_deps;
        uint32_t then; /* a second run behind it, of so many */
    } rows[] = {
        { CORPUS "fuzz_run/one", WEIR_ENTRY_DATA, 5, 1, 20, 0, 0 },
        { CORPUS "fuzz_run/many", WEIR_ENTRY_DATA, 300, 40, 9, 1, 0 },
        { CORPUS "fuzz_run/lane", WEIR_ENTRY_DATA, 0, 2, 3, 16, 0 },
        { CORPUS "fuzz_run/settings", WEIR_ENTRY_SETTINGS, 8, 1, 50, 2, 0 },
        { CORPUS "fuzz_run/merge", WEIR_ENTRY_MERGE, 9, 1, 0, 3, 0 },
        { CORPUS "fuzz_run/genesis", WEIR_ENTRY_GENESIS, 0, 1, 60, 0, 0 },
        { CORPUS "fuzz_run/pair", WEIR_ENTRY_DATA, 5, 3, 20, 1, 4 },
        { CORPUS "fuzz_run/settings_pair", WEIR_ENTRY_SETTINGS, 5, 1, 20, 0, 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_buf seed = { 0 };
        struct weir_run_builder b;
        weir_run_builder_init (&b);
        put_run (&seed, &b, rows[i].kind, rows[i].seq, rows[i].count, rows[i].size, rows[i].n_deps);
        if (rows[i].then > 0) {
            put_run (&seed, &b, rows[i].kind, b.next_seq, rows[i].then, rows[i].size, 0);
        }
        weir_run_builder_fini (&b);
        size_t used = 0;
        assert_int_equal (weir_run_length (weir_buf_bytes (&seed), &used), WEIR_OK);
        assert_int_equal (used == seed.len, rows[i].then == 0);
        check_seed (rows[i].path, &seed);
        weir_buf_fini (&seed);
    }
}

static void
test_settings_seeds (void **state)
{
    (void) state;
    const char *const paths[] = {
        CORPUS "fuzz_settings/change",
        CORPUS "fuzz_settings/genesis",
        CORPUS "fuzz_settings/empty",
        CORPUS "fuzz_settings/many",
    };
    for (uint32_t i = 0; i < 4; i++) {
        struct weir_member_change changes[40] = { 0 };
        struct weir_settings s = { .entry_version_max = 1, .codec_max = 2, .changes = changes };
        s.n_changes = i == 2 ? 0 : i == 3 ? 40 : 2;
        for (uint32_t n = 0; n < s.n_changes; n++) {
            changes[n].device = fixture_id (n + 1);
            changes[n].right = (enum weir_right) (n % WEIR_RIGHT_COUNT);
            fixture_copy (changes[n].name, n % 2 == 0 ? "phone" : "");
        }
        fixture_copy (s.database_name, i == 2 ? "" : "notes");
        struct weir_buf seed = { 0 };
        weir_buf_put_u8 (&seed, i == 1);
        weir_settings_put (&seed, &s, i == 1);
        check_seed (paths[i], &seed);
        weir_buf_fini (&seed);
    }
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_run_seeds),
        cmocka_unit_test (test_settings_seeds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
