/* Owns the random histories that models share (play.h). */

#include "tests/models/play.h"

#include <stdlib.h>
#include <string.h>

uint64_t
play_below (struct play *play, uint64_t n)
{
    return weir_rand_below (&play->rand, n);
}

static void
check_ok (enum weir_status status, const struct weir_error *e)
{
    model_check (status == WEIR_OK, "%s: %s", weir_status_code (status), e->what);
}

const struct weir_op *
play_next (const struct play *play, uint64_t seen, size_t *entry, size_t *i, uint32_t *offset)
{
    for (; *entry < play->n_entries; (*entry)++, *i = 0) {
        const struct play_entry *e = &play->entries[*entry];
        if ((seen >> *entry & 1) == 0 || *i >= e->decoded.n_ops) {
            continue;
        }
        *offset = 0;
        for (size_t k = 0; k < *i; k++) {
            *offset += e->decoded.ops[k].atoms;
        }
        return &e->decoded.ops[(*i)++];
    }
    return NULL;
}

void
play_check_value (const struct weir_doc *doc, const char *path, json_t *wanted)
{
    struct weir_error e = { 0 };
    json_t *got = NULL;
    enum weir_status status = weir_doc_get (doc, path, &got, &e);
    if (status != WEIR_OK || !json_equal (got, wanted)) {
        char *a = json_dumps (got, JSON_SORT_KEYS | JSON_ENCODE_ANY);
        char *b = json_dumps (wanted, JSON_SORT_KEYS | JSON_ENCODE_ANY);
        weir_model_fail (__FILE__, __LINE__, "%s is (%s)\n    %s\n  model:\n    %s", path,
                         weir_status_code (status), a, b);
    }
    json_decref (got);
    json_decref (wanted);
}

/* ---- entries ---- */

static enum weir_status
history_read (void *context, weir_history_fn *fn, void *fn_context)
{
    const struct play_replica *r = context;
    for (size_t i = 0; i < r->n_order; i++) {
        const struct play_entry *e = &r->play->entries[r->order[i]];
        if (!fn (fn_context, &e->head, weir_buf_bytes (&e->payload))) {
            break;
        }
    }
    return WEIR_OK;
}

static void
hear (void *context, const struct weir_notice *notice)
{
    (void) context;
    model_check (notice->container != NULL, "a notice of no container");
}

static void
replica_begin (struct play *play, struct play_replica *r)
{
    *r = (struct play_replica){ .play = play, .doc = weir_doc_new () };
    r->history = (struct weir_history){ .context = r, .read = history_read };
    weir_doc_set_history (r->doc, &r->history);
    if (play_below (play, 3) == 0) {
        weir_doc_listen (r->doc, hear, NULL);
    }
}

static void
saw (struct play_replica *r, size_t entry)
{
    r->seen |= (uint64_t) 1 << entry;
    r->order[r->n_order++] = (uint8_t) entry;
}

static void
take (struct play_replica *r, size_t entry)
{
    const struct play_entry *e = &r->play->entries[entry];
    enum weir_status status = weir_doc_apply (r->doc, &e->head, weir_buf_bytes (&e->payload), NULL);
    model_check (status == WEIR_OK, "an entry is inert: %s", weir_status_code (status));
    saw (r, entry);
}

/* The entry on top of what the replica has; its prev is the chain's greatest there. */
static void
head_begin (struct play *play, const struct play_replica *r, struct play_entry *e)
{
    size_t n_heads = 0;
    const struct weir_id *heads = weir_doc_heads (r->doc, &n_heads);
    const struct weir_id *prev = NULL;
    *e = (struct play_entry){ .past = r->seen };
    e->head.chain = r->chain;
    e->head.lamport = weir_doc_lamport (r->doc);
    weir_rand_bytes (&play->rand, e->head.id.b, WEIR_ID_BYTES);
    for (size_t i = 0; i < r->n_order; i++) {
        const struct weir_doc_entry *other = &play->entries[r->order[i]].head;
        if (weir_chain_compare (&other->chain, &r->chain) == 0 && other->seq >= e->head.seq) {
            e->head.seq = other->seq + 1;
            prev = &other->id;
        }
    }
    if (prev != NULL) {
        e->parents[e->head.n_parents++] = *prev;
    }
    for (size_t i = 0; i < n_heads; i++) {
        if (prev == NULL || !weir_id_equal (&heads[i], prev)) {
            e->parents[e->head.n_parents++] = heads[i];
        }
    }
    e->head.parents = e->parents;
}

static void
decode (struct play_entry *e)
{
    enum weir_status status = weir_payload_decode (&e->decoded, weir_buf_bytes (&e->payload));
    model_check (status == WEIR_OK, "a payload does not decode: %s", weir_status_code (status));
    for (size_t i = 0; i < e->decoded.n_ops; i++) {
        weir_payload_resolve (&e->decoded, &e->decoded.ops[i], &e->head.id);
    }
}

static void
commit (struct play *play, struct play_replica *r)
{
    struct play_entry *e = &play->entries[play->n_entries];
    struct weir_error error = { 0 };
    head_begin (play, r, e);
    struct weir_change *change = weir_change_open (r->doc, &r->chain, e->head.seq);
    play->model->edit (play, r, change);
    if (weir_change_atoms (change) > 0) {
        check_ok (
            weir_change_payload (change, weir_bytes (NULL, 0), &e->payload, &e->head.ops, &error),
            &error);
        weir_change_seal (change, &e->head);
        decode (e);
        saw (r, play->n_entries++);
    }
    weir_change_destroy (&change);
}

static void
exchange (struct play *play, const struct play_replica *from, struct play_replica *to)
{
    while ((from->seen & ~to->seen) != 0) {
        size_t i = play_below (play, play->n_entries);
        bool lacks = (from->seen & ~to->seen) >> i & 1;
        if (lacks && (play->entries[i].past & ~to->seen) == 0) {
            take (to, i);
        }
    }
}

static void
reload (struct play_replica *r)
{
    struct weir_buf state = { 0 };
    weir_doc_save (r->doc, &state);
    weir_doc_destroy (&r->doc);
    enum weir_status status = weir_doc_load (&r->doc, weir_buf_bytes (&state));
    model_check (status == WEIR_OK, "a saved state does not load");
    weir_doc_set_history (r->doc, &r->history);
    weir_buf_fini (&state);
}

/* ---- what must agree ---- */

static void
check_same_bytes (const struct weir_doc *a, const struct weir_doc *b)
{
    struct weir_buf x = { 0 };
    struct weir_buf y = { 0 };
    weir_doc_save (a, &x);
    weir_doc_save (b, &y);
    model_check (weir_bytes_equal (weir_buf_bytes (&x), weir_buf_bytes (&y)),
                 "states of the same entries differ");
    weir_buf_fini (&x);
    weir_buf_fini (&y);
}

/* A fresh document takes the entries in another order; it is checked on its way, too. */
static void
check_replay (struct play *play, uint64_t seen, const struct weir_doc *same)
{
    struct play_replica fresh;
    struct play_replica all = { .seen = seen };
    replica_begin (play, &fresh);
    exchange (play, &all, &fresh);
    play->model->check (play, fresh.doc, seen);
    if (same != NULL) {
        check_same_bytes (fresh.doc, same);
    }
    weir_doc_destroy (&fresh.doc);
}

static void
check_all (struct play *play)
{
    struct play_replica *first = &play->replicas[0];
    for (size_t i = 1; i < play->n_replicas; i++) {
        exchange (play, &play->replicas[i], first);
    }
    for (size_t i = 0; i < play->n_replicas; i++) {
        exchange (play, first, &play->replicas[i]);
        play->model->check (play, play->replicas[i].doc, first->seen);
        check_same_bytes (first->doc, play->replicas[i].doc);
    }
    for (int i = 0; i < 3; i++) {
        check_replay (play, first->seen, first->doc);
    }
    for (size_t i = 0; i < play->n_entries; i++) {
        if (play_below (play, 4) == 0) {
            check_replay (play, play->entries[i].past | (uint64_t) 1 << i, NULL);
        }
    }
    reload (first);
    play->model->check (play, first->doc, first->seen);
}

/* ---- a history ---- */

static void
play_step (struct play *play, struct play_replica *r)
{
    uint64_t what = play_below (play, 20);
    struct weir_error e = { 0 };
    if (what < 11) {
        if (play->n_entries < PLAY_ENTRIES_MAX) {
            commit (play, r);
        }
    } else if (what < 16) {
        exchange (play, &play->replicas[play_below (play, play->n_replicas)], r);
    } else if (what < 18) {
        reload (r);
    } else if (what == 18) {
        weir_doc_cool (r->doc);
    } else {
        check_ok (weir_doc_warm (r->doc), &e);
    }
    play->model->check (play, r->doc, r->seen);
}

void
play_history (uint64_t seed, const struct play_model *model)
{
    struct play *play = weir_alloc (sizeof *play);
    play->model = model;
    weir_rand_init (&play->rand, seed);
    play->n_replicas = 2 + play_below (play, PLAY_REPLICAS_MAX - 1);
    for (size_t i = 0; i < play->n_replicas; i++) {
        struct play_replica *r = &play->replicas[i];
        replica_begin (play, r);
        /* Two may write one chain. */
        r->chain.author.b[0] = (uint8_t) (1 + play_below (play, play->n_replicas));
        r->chain.lane = play_below (play, 2);
    }
    for (uint64_t steps = 5 + play_below (play, 60); steps > 0; steps--) {
        play_step (play, &play->replicas[play_below (play, play->n_replicas)]);
    }
    check_all (play);
    for (size_t i = 0; i < play->n_replicas; i++) {
        weir_doc_destroy (&play->replicas[i].doc);
    }
    for (size_t i = 0; i < play->n_entries; i++) {
        weir_payload_fini (&play->entries[i].decoded);
        weir_buf_fini (&play->entries[i].payload);
    }
    free (play);
}
