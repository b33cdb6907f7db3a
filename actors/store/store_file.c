/* The store actor's verbs about files: exporting a database, and importing the runs of an export.
 * A file is made by a replica that reads the database's runs; what it holds is on disk before. An
 * import takes whole runs as sync does, from nobody in particular, and what waits for others is
 * kept across restarts. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/replica/export.h"

#define SPANS_MAX 4096u
#define WAITING_SHOWN 1024u

/* ---- export ---- */

struct cut {
    struct weir_bytes *runs;
    size_t count;
    size_t cap;
};

static enum weir_status
cut_runs (struct weir_bytes bytes, struct cut *out)
{
    size_t at = 0;
    while (at < bytes.len) {
        size_t used = 0;
        enum weir_status status =
            weir_run_length (weir_bytes (bytes.data + at, bytes.len - at), &used);
        if (status != WEIR_OK) {
            return status == WEIR_PENDING ? WEIR_BAD_RUN : status;
        }
        weir_grow (&out->runs, &out->cap, out->count + 1, sizeof *out->runs);
        out->runs[out->count++] = weir_bytes (bytes.data + at, used);
        at += used;
    }
    return WEIR_OK;
}

/* A replica of all that is here; `join`: the file will hold it all, too. The disk is waited for:
 * what an export tells of must not be taken back by a crash. */
static enum weir_status
replica_of (struct store *s, const struct weir_id *db, bool join, struct weir_replica **out,
            struct weir_error *e)
{
    struct weir_replica_options options = { .identity = &s->identity, .trusts_signatures = true };
    struct weir_export_parts parts = { .mode = WEIR_EXPORT_UPDATE, .database = *db };
    struct weir_import result = { 0 };
    struct weir_buf runs = { 0 };
    struct weir_buf pending = { 0 };
    struct weir_buf blob = { 0 };
    struct cut stored = { 0 };
    struct cut waiting = { 0 };
    enum weir_status status =
        weir_kv_wait (s->kv, weir_repo_flush (s->repo, weir_actor_wall_ms (s->actor)));
    if (status == WEIR_OK) {
        weir_repo_on_synced (s->repo);
        status = weir_repo_runs (s->repo, db, join, &runs, &pending);
    }
    if (status == WEIR_OK) {
        status = cut_runs (weir_buf_bytes (&runs), &stored);
    }
    if (status == WEIR_OK) {
        status = cut_runs (weir_buf_bytes (&pending), &waiting);
    }
    if (status != WEIR_OK) {
        status =
            weir_error_set (e, status, NULL, "the runs of %s cannot be read", weir_id_text (db).s);
        goto done;
    }
    parts.runs = stored.runs;
    parts.n_runs = stored.count;
    parts.pending = waiting.runs;
    parts.n_pending = waiting.count;
    status = weir_export_write (&parts, true, &blob, e);
    weir_buf_fini (&runs);
    weir_buf_fini (&pending);
    weir_random (&options.lane, sizeof options.lane);
    if (status == WEIR_OK) {
        status = weir_replica_new (out, &options, e);
    }
    if (status == WEIR_OK) {
        status = weir_replica_import (*out, weir_buf_bytes (&blob), &result, e);
        weir_import_fini (&result);
    }
done:
    weir_buf_fini (&runs);
    weir_buf_fini (&pending);
    weir_buf_fini (&blob);
    free (stored.runs);
    free (waiting.runs);
    return status;
}

/* What was asked for, in the replica's words. */
struct wanted {
    struct weir_export what;
    struct weir_op_span *spans;
    struct weir_heads heads;
    struct weir_op_vector from;
};

static enum weir_status
wanted_get (struct store *s, const struct weir_id *db, const Weir__DbExport *ask, struct wanted *w,
            struct weir_error *e)
{
    struct weir_id *ids = NULL;
    w->what.mode = ask->has_mode ? (enum weir_export_mode) ask->mode : WEIR_EXPORT_SNAPSHOT;
    if (ask->has_mode && (ask->mode < WEIR_EXPORT_SNAPSHOT || ask->mode > WEIR_EXPORT_SHALLOW)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, "snapshot, update, spans or shallow",
                               "there is no such mode of export");
    }
    if (ask->n_spans > SPANS_MAX || (w->what.mode == WEIR_EXPORT_SPANS && ask->n_spans == 0)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "1 to %u spans can be asked for",
                               SPANS_MAX);
    }
    w->spans = weir_alloc ((ask->n_spans + 1) * sizeof *w->spans);
    for (size_t i = 0; i < ask->n_spans; i++) {
        const Weir__OpSpan *m = ask->spans[i];
        struct weir_op_span *span = &w->spans[i];
        span->chain.lane = m->lane;
        span->from = m->from;
        span->to = m->to;
        if (weir_field_get_id (&span->chain.author, m->has_author, m->author) != WEIR_OK
            || m->from >= m->to) {
            return weir_error_set (e, WEIR_INVALID_ARGUMENT, "AUTHOR/LANE:FROM-TO",
                                   "a span names a chain, and ops from..to with from before to");
        }
    }
    enum weir_status status = store_heads_get (s, db, ask->heads, ask->n_heads, &ids, e);
    for (size_t i = 0; status == WEIR_OK && i < ask->n_heads; i++) {
        weir_heads_put (&w->heads, &ids[i]);
    }
    free (ids);
    w->what.spans = w->spans;
    w->what.n_spans = ask->n_spans;
    return status;
}

static void
wanted_fini (struct wanted *w)
{
    free (w->spans);
    weir_heads_fini (&w->heads);
    weir_op_vector_fini (&w->from);
}

void
store_db_export (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbExport *ask = (const Weir__DbExport *) message->meta;
    struct weir_replica *replica = NULL;
    struct wanted w = { .spans = NULL };
    struct weir_buf blob = { 0 };
    struct weir_error e = { 0 };
    struct weir_id db;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    enum weir_status status = wanted_get (s, &db, ask, &w, &e);
    if (status == WEIR_OK) {
        bool join = w.what.mode == WEIR_EXPORT_SNAPSHOT
                    || (w.what.mode == WEIR_EXPORT_UPDATE && ask->n_heads == 0);
        status = replica_of (s, &db, join, &replica, &e);
    }
    if (status == WEIR_OK && w.what.mode == WEIR_EXPORT_UPDATE) {
        status = weir_replica_vector (replica, &w.heads, &w.from, &e);
        w.what.from = &w.from;
    } else if (status == WEIR_OK && w.what.mode == WEIR_EXPORT_SHALLOW) {
        if (w.heads.count == 0) {
            weir_replica_log_heads (replica, &w.heads);
        }
        w.what.root = &w.heads;
    }
    if (status == WEIR_OK) {
        status = weir_replica_export (replica, &w.what, &blob, &e);
    }
    if (status == WEIR_OK) {
        Weir__DbExported answer = WEIR__DB_EXPORTED__INIT;
        answer.has_bytes = true;
        answer.bytes = blob.len;
        store_answer_body (s, &message->envelope, &answer.base, weir_buf_bytes (&blob));
    } else {
        store_fail (s, &message->envelope, status, &e);
    }
    weir_replica_destroy (&replica);
    wanted_fini (&w);
    weir_buf_fini (&blob);
}

/* ---- import ---- */

struct import {
    struct weir_arena *arena;
    Weir__DbImported answer;
    size_t cap_success;
};

/* Does the body begin with the run that founds this database? */
static bool
founds (struct weir_bytes run, const struct weir_id *db)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_run decoded;
    size_t used = 0;
    bool is_genesis = weir_run_decode (&decoded, arena, db, run, &used, NULL) == WEIR_OK
                      && decoded.kind == WEIR_ENTRY_GENESIS
                      && weir_run_verify (&decoded) == WEIR_OK;
    weir_arena_destroy (&arena);
    return is_genesis;
}

static enum weir_status
import_target (struct store *s, const Weir__DbImport *ask, const struct cut *runs,
               struct weir_id *db, bool *created, struct weir_error *e)
{
    struct weir_db_info info;
    *created = false;
    if (weir_field_get_id (db, ask->has_db, ask->db) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "an import names its database");
    }
    if (weir_repo_info (s->repo, db, &info) == WEIR_OK) {
        return WEIR_OK;
    }
    if (!ask->create || runs->count == 0 || !founds (runs->runs[0], db)) {
        return weir_error_set (e, WEIR_NOT_FOUND, "import a snapshot of it first, or join it",
                               "the database %s is not here, and the file does not hold its "
                               "beginning",
                               weir_id_text (db).s);
    }
    *created = true;
    return weir_repo_expect (s->repo, db);
}

static enum weir_status
import_runs (struct store *s, const struct weir_id *db, const struct cut *runs, Weir__DbImported *m,
             struct weir_error *e)
{
    static const struct weir_id nobody = { 0 };
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < runs->count && status == WEIR_OK; i++) {
        struct weir_import_result r;
        status = weir_repo_import (s->repo, db, runs->runs[i], &nobody,
                                   weir_actor_wall_ms (s->actor), &r);
        if (status != WEIR_OK) {
            return weir_error_set (e, status, NULL, "the import ended at run %zu of %zu", i + 1,
                                   runs->count);
        }
        switch (r.outcome) {
        case WEIR_IMPORT_NEW:
            m->new_runs++;
            m->new_entries += r.range.to_seq - r.range.from_seq;
            m->unlocked += r.unlocked;
            s->imports++;
            break;
        case WEIR_IMPORT_HELD:
            m->held++;
            break;
        case WEIR_IMPORT_PENDING:
            m->pending++;
            break;
        case WEIR_IMPORT_REFUSED:
            m->status = m->refused == 0 ? (uint32_t) r.status : m->status;
            m->refused++;
            s->refused++;
            break;
        }
    }
    return status;
}

/* Rows of one chain come in its order, but for chains that part: those are told as they came. */
static void
add_span (void *context, const struct weir_range *range, uint64_t from, uint64_t to)
{
    struct import *i = context;
    Weir__DbImported *m = &i->answer;
    struct weir_bytes author = weir_id_bytes (&range->chain.author);
    for (size_t k = m->n_success; from < to && k-- > 0;) {
        if (m->success[k]->lane == range->chain.lane && m->success[k]->to == from
            && weir_bytes_equal (weir_field (m->success[k]->author), author)) {
            m->success[k]->to = to;
            return;
        }
    }
    Weir__OpSpan *span =
        from < to && m->n_success < SPANS_MAX ? weir_arena_alloc (i->arena, sizeof *span) : NULL;
    if (span == NULL) {
        return;
    }
    *span = (Weir__OpSpan) WEIR__OP_SPAN__INIT;
    span->has_author = span->has_lane = span->has_from = span->has_to = true;
    span->author.data = weir_arena_copy (i->arena, author);
    span->author.len = span->author.data != NULL ? author.len : 0;
    span->lane = range->chain.lane;
    span->from = from;
    span->to = to;
    weir_grow (&m->success, &i->cap_success, m->n_success + 1, sizeof *m->success);
    m->success[m->n_success++] = span;
}

/* What waits now, whenever it came. */
static void
add_waiting (struct store *s, const struct weir_id *db, struct import *i)
{
    struct weir_buf runs = { 0 };
    struct cut cut = { 0 };
    struct weir_arena *scratch = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__DbImported *m = &i->answer;
    m->waiting = weir_arena_array (i->arena, WAITING_SHOWN, sizeof *m->waiting);
    if (m->waiting == NULL || weir_repo_waiting (s->repo, db, &runs) != WEIR_OK
        || cut_runs (weir_buf_bytes (&runs), &cut) != WEIR_OK) {
        goto done;
    }
    for (size_t k = 0; k < cut.count && m->n_waiting < WAITING_SHOWN; k++) {
        struct weir_run run;
        size_t used = 0;
        Weir__Range *r = weir_arena_alloc (i->arena, sizeof *r);
        weir_arena_reset (scratch);
        if (r == NULL || weir_run_decode (&run, scratch, db, cut.runs[k], &used, NULL) != WEIR_OK) {
            break;
        }
        *r = (Weir__Range) WEIR__RANGE__INIT;
        r->has_author = r->has_lane = r->has_from_seq = r->has_to_seq = r->has_tip = true;
        r->author.data = weir_arena_copy (i->arena, weir_id_bytes (&run.chain.author));
        r->author.len = r->author.data != NULL ? WEIR_ID_BYTES : 0;
        r->tip.data = weir_arena_copy (i->arena, weir_id_bytes (weir_run_tip (&run)));
        r->tip.len = r->tip.data != NULL ? WEIR_ID_BYTES : 0;
        r->lane = run.chain.lane;
        r->from_seq = run.seq;
        r->to_seq = run.seq + run.count;
        m->waiting[m->n_waiting++] = r;
    }
done:
    weir_buf_fini (&runs);
    free (cut.runs);
    weir_arena_destroy (&scratch);
}

void
store_db_import (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbImport *ask = (const Weir__DbImport *) message->meta;
    struct import i = { .answer = WEIR__DB_IMPORTED__INIT };
    struct weir_error e = { 0 };
    struct cut runs = { 0 };
    struct weir_id db;
    bool created = false;
    (void) actor;
    if (!store_writable (s, &message->envelope)) {
        return;
    }
    uint64_t before = weir_repo_position_last (s->repo);
    i.arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    enum weir_status status = cut_runs (message->body, &runs);
    if (status != WEIR_OK) {
        weir_error_set (&e, status, NULL, "the body is not whole runs");
    } else {
        status = import_target (s, ask, &runs, &db, &created, &e);
    }
    if (status == WEIR_OK) {
        status = import_runs (s, &db, &runs, &i.answer, &e);
    }
    if (status == WEIR_OK) {
        status = weir_repo_op_spans (s->repo, &db, before, add_span, &i);
    }
    if (status == WEIR_OK) {
        Weir__DbImported *m = &i.answer;
        add_waiting (s, &db, &i);
        m->has_new_runs = m->has_held = m->has_pending = m->has_refused = true;
        m->has_new_entries = m->has_unlocked = m->has_created = true;
        m->has_status = m->refused > 0;
        m->created = created;
        store_answer_synced (s, &message->envelope, &m->base, weir_bytes (NULL, 0), 0);
    } else {
        store_fail (s, &message->envelope, status, &e);
    }
    if (created) {
        store_rights_changed (s, &db);
    }
    free (i.answer.success);
    free (runs.runs);
    weir_arena_destroy (&i.arena);
}
