/* Authors by turns, made with the store's library: no network in between, so that a bench measures
 * the clone, or the push, and not the making. */

#include "bins/bench/turns.h"

#include <stdlib.h>
#include <string.h>

#include "store/crypto/keyfile.h"
#include "store/repo/repo.h"

#define NOW_MS 1700000000000u

struct side {
    struct weir_identity identity;
    struct weir_kv *kv;
    struct weir_tips *tips;
    struct weir_repo *repo;
};

static void
need (enum weir_status status, const struct weir_error *e, const char *what)
{
    if (status != WEIR_OK) {
        bench_die ("%s: %s (%s)", what, e->what, weir_status_code (status));
    }
}

static void
open_side (struct side *s)
{
    struct weir_error e = { 0 };
    struct weir_repo_options options = { .kv = s->kv, .tips = s->tips, .identity = &s->identity };
    weir_random (options.seed, sizeof options.seed);
    need (weir_repo_open (&s->repo, &options, &e), &e, "open");
}

static void
settle (struct side *s)
{
    struct weir_error e = { 0 };
    uint64_t batch = weir_repo_flush (s->repo, NOW_MS);
    if (weir_kv_event_fd (s->kv) < 0) {
        weir_kv_memory_sync (s->kv);
    } else {
        need (weir_kv_wait (s->kv, batch), &e, "sync");
    }
    weir_repo_on_synced (s->repo);
}

/* Everything of `from`'s log behind *position, imported by `to`. */
static void
carry (struct side *from, struct side *to, const struct weir_id *db, uint64_t *position)
{
    struct weir_log_row row;
    struct weir_error e = { 0 };
    struct weir_buf run = { 0 };
    while (weir_repo_log_next (from->repo, *position, db, &row) == WEIR_OK) {
        uint64_t next = row.range.from_seq;
        *position = row.position;
        if (weir_id_equal (&row.range.chain.author, &to->identity.device)) {
            continue;
        }
        while (next < row.range.to_seq) {
            struct weir_import_result result;
            weir_buf_clear (&run);
            need (weir_repo_read (from->repo, db, &row.range, next, 1, &run, &next), &e, "read");
            need (weir_repo_import (to->repo, db, weir_buf_bytes (&run), &from->identity.device,
                                    NOW_MS, &result),
                  &e, "import");
        }
    }
    weir_buf_fini (&run);
}

/* The payload of one set of a key; how many ops it has. */
static uint32_t
seal_one (struct side *s, const struct weir_id *db, uint64_t i, const json_t *value,
          struct weir_buf *payload)
{
    struct weir_error e = { 0 };
    struct weir_doc *doc = NULL;
    uint32_t ops = 0;
    char path[64];
    snprintf (path, sizeof path, "/bench/%08llu", (unsigned long long) i);
    need (weir_repo_document (s->repo, db, &doc, &e), &e, "document");
    struct weir_edit *edit = weir_edit_new (doc);
    need (weir_edit_set (edit, path, value, &e), &e, "set");
    need (weir_edit_seal (edit, weir_bytes (NULL, 0), payload, &ops, &e), &e, "seal");
    weir_edit_destroy (&edit);
    return ops;
}

static void
write_one (struct side *s, const struct weir_id *db, uint64_t i, const json_t *value)
{
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_id entry;
    uint32_t ops = seal_one (s, db, i, value, &payload);
    need (weir_repo_commit (s->repo, db, weir_buf_bytes (&payload), ops, NOW_MS + i, &entry, &e),
          &e, "commit");
    weir_buf_fini (&payload);
}

void
bench_turns_make (struct bench_node *n, uint64_t entries, uint64_t payload,
                  char db_text[WEIR_ID_TEXT + 1])
{
    struct weir_error e = { 0 };
    struct side sides[2] = { 0 };
    struct weir_id db;
    struct weir_id entry;
    uint64_t positions[2] = { 0, 0 };
    uint8_t seed[32];
    char *text = weir_alloc (payload + 1); /* zeroed */
    struct weir_rand random;
    weir_rand_init (&random, 1);
    weir_crypto_init ();
    need (weir_keyfile_load (n->paths.key, NULL, &sides[0].identity, &e), &e, "key");
    need (weir_kv_open (&sides[0].kv, n->paths.db, true, &e), &e, "kv");
    sides[0].tips = weir_tips_file_new (n->paths.tips);
    weir_random (seed, sizeof seed);
    weir_identity_init (&sides[1].identity, seed);
    sides[1].kv = weir_kv_memory_new ();
    sides[1].tips = weir_tips_memory_new ();
    open_side (&sides[0]);
    open_side (&sides[1]);
    need (weir_repo_create (sides[0].repo, "bench", NOW_MS, &db, &e), &e, "create");
    struct weir_member_change change = { .device = sides[1].identity.device,
                                         .right = WEIR_RIGHT_WRITE,
                                         .name = "second" };
    need (weir_repo_change_members (sides[0].repo, &db, &change, 1, NOW_MS, &entry, &e), &e,
          "member");
    need (weir_repo_expect (sides[1].repo, &db), &e, "expect");
    settle (&sides[0]);
    carry (&sides[0], &sides[1], &db, &positions[0]);
    settle (&sides[1]);
    for (uint64_t i = 0; i < entries; i++) {
        struct side *from = &sides[i % 2];
        bench_random_text (&random, text, payload);
        json_t *value = json_string (text);
        write_one (from, &db, i, value);
        json_decref (value);
        settle (from);
        carry (from, &sides[(i + 1) % 2], &db, &positions[i % 2]);
        settle (&sides[(i + 1) % 2]);
    }
    memcpy (db_text, weir_id_text (&db).s, WEIR_ID_TEXT + 1);
    for (size_t i = 0; i < 2; i++) {
        weir_repo_close (&sides[i].repo);
        weir_kv_close (&sides[i].kv);
        weir_tips_destroy (&sides[i].tips);
        weir_identity_fini (&sides[i].identity);
    }
    free (text);
}

/* ---- many databases ---- */

static void
open_node (struct side *s, struct bench_node *n)
{
    struct weir_error e = { 0 };
    need (weir_keyfile_load (n->paths.key, NULL, &s->identity, &e), &e, "key");
    need (weir_kv_open (&s->kv, n->paths.db, true, &e), &e, "kv");
    s->tips = weir_tips_file_new (n->paths.tips);
    open_side (s);
}

static void
close_node (struct side *s)
{
    weir_repo_close (&s->repo);
    weir_kv_close (&s->kv);
    weir_tips_destroy (&s->tips);
    weir_identity_fini (&s->identity);
}

void
bench_databases_make (struct bench_node *a, struct bench_node *c, uint64_t count,
                      char (*dbs)[WEIR_ID_TEXT + 1])
{
    struct weir_error e = { 0 };
    struct side here = { 0 };
    struct side there = { 0 };
    weir_crypto_init ();
    open_node (&here, a);
    open_node (&there, c);
    struct weir_id *ids = weir_alloc (count * sizeof *ids);
    struct weir_member_change change = { .device = there.identity.device,
                                         .right = WEIR_RIGHT_WRITE,
                                         .name = "there" };
    for (uint64_t i = 0; i < count; i++) {
        struct weir_id entry;
        char name[32];
        snprintf (name, sizeof name, "bench-%llu", (unsigned long long) i);
        need (weir_repo_create (here.repo, name, NOW_MS, &ids[i], &e), &e, "create");
        need (weir_repo_change_members (here.repo, &ids[i], &change, 1, NOW_MS, &entry, &e), &e,
              "member");
        memcpy (dbs[i], weir_id_text (&ids[i]).s, WEIR_ID_TEXT + 1);
    }
    settle (&here);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t position = 0;
        need (weir_repo_expect (there.repo, &ids[i]), &e, "expect");
        carry (&here, &there, &ids[i], &position);
    }
    settle (&there);
    free (ids);
    close_node (&here);
    close_node (&there);
}

/* ---- many authors ---- */

#define CHANGES_AT_ONCE 200u

struct author {
    struct weir_identity identity;
    struct weir_chain chain;
    uint64_t seq;
    struct weir_id tip;
};

static void
admit_authors (struct side *s, const struct weir_id *db, struct author *authors, uint64_t n)
{
    struct weir_error e = { 0 };
    struct weir_member_change changes[CHANGES_AT_ONCE];
    struct weir_id entry;
    uint8_t seed[32];
    for (uint64_t i = 0; i < n;) {
        size_t count = 0;
        for (; i < n && count < CHANGES_AT_ONCE; i++, count++) {
            weir_random (seed, sizeof seed);
            weir_identity_init (&authors[i].identity, seed);
            authors[i].chain.author = authors[i].identity.device;
            authors[i].chain.lane = i + 1;
            changes[count] = (struct weir_member_change){ .device = authors[i].identity.device,
                                                          .right = WEIR_RIGHT_WRITE };
        }
        need (weir_repo_change_members (s->repo, db, changes, count, NOW_MS, &entry, &e), &e,
              "members");
    }
}

void
bench_authors_make (struct bench_node *n, uint64_t authors, uint64_t entries, uint64_t payload,
                    char db_text[WEIR_ID_TEXT + 1], struct weir_buf *runs)
{
    struct weir_error e = { 0 };
    struct side s = { 0 };
    struct weir_id db;
    struct weir_buf sealed = { 0 };
    struct weir_run_builder builder;
    struct weir_rand random;
    struct author *all = weir_alloc ((authors + 1) * sizeof *all);
    char *text = weir_alloc (payload + 1); /* zeroed */
    weir_rand_init (&random, 1);
    weir_crypto_init ();
    weir_run_builder_init (&builder);
    need (weir_keyfile_load (n->paths.key, NULL, &s.identity, &e), &e, "key");
    need (weir_kv_open (&s.kv, n->paths.db, true, &e), &e, "kv");
    s.tips = weir_tips_file_new (n->paths.tips);
    open_side (&s);
    need (weir_repo_create (s.repo, "bench", NOW_MS, &db, &e), &e, "create");
    admit_authors (&s, &db, all, authors);
    settle (&s);
    size_t n_heads = 0;
    struct weir_id last = weir_repo_heads (s.repo, &db, &n_heads)[0];
    for (uint64_t i = 0; i < entries; i++) {
        struct author *author = &all[i % authors];
        bench_random_text (&random, text, payload);
        json_t *value = json_string (text);
        weir_buf_clear (&sealed);
        uint32_t ops = seal_one (&s, &db, i, value, &sealed);
        json_decref (value);
        /* An author that is alone builds on its own last entry, which is not named twice. */
        size_t n_deps = weir_id_equal (&last, &author->tip) ? 0 : 1;
        weir_run_begin (&builder, &db, WEIR_ENTRY_DATA, &author->chain, author->seq++, &author->tip,
                        &last, n_deps);
        weir_run_add (&builder, ops, NOW_MS + i, weir_buf_bytes (&sealed), &author->tip);
        weir_run_close (&builder, &author->identity, runs);
        last = author->tip;
    }
    memcpy (db_text, weir_id_text (&db).s, WEIR_ID_TEXT + 1);
    weir_run_builder_fini (&builder);
    weir_buf_fini (&sealed);
    weir_repo_close (&s.repo);
    weir_kv_close (&s.kv);
    weir_tips_destroy (&s.tips);
    weir_identity_fini (&s.identity);
    for (uint64_t i = 0; i < authors; i++) {
        weir_identity_fini (&all[i].identity);
    }
    free (all);
    free (text);
}
