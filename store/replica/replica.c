/* Owns a replica's life and what is written through it: the open change, commits, merge entries,
 * and the history port of its document. Versions are in version.c and replica_view.c, other
 * replicas' words in import.c and replica_export.c, differences in diff.c. */

#include "store/replica/replica_parts.h"
#include "store/dag/members.h"
#include "store/dag/run_scan.h"

#include <stdlib.h>
#include <string.h>

/* A change that is as full as this is committed by the next call: the rest is room for one more
 * op. */
#define FULL_BYTES (WEIR_PAYLOAD_BYTES_MAX / 4 * 3)
#define FULL_OPS (WEIR_ENTRY_OPS_MAX / 4 * 3)

/* ---- the history port ---- */

bool
weir_log_give (const struct weir_log *log, uint32_t number, weir_history_fn *fn, void *context)
{
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    if (weir_log_is_before_root (log, number)) {
        return true;
    }
    struct weir_doc_entry entry = weir_log_entry (log, number, parents);
    return fn (context, &entry,
               weir_log_is_passed (&log->rows[number]) ? weir_bytes (NULL, 0)
                                                       : weir_log_payload (log, number));
}

static enum weir_status
history_read (void *context, weir_history_fn *fn, void *fn_context)
{
    struct weir_replica *self = context;
    enum weir_status status = weir_replica_wake (self, NULL);
    uint32_t n = weir_graph_count (self->log.graph);
    for (uint32_t i = 0; status == WEIR_OK && i < n; i++) {
        if (self->log.rows[i].is_applied && !weir_log_give (&self->log, i, fn, fn_context)) {
            break;
        }
    }
    return status;
}

static enum weir_status
view_history_read (void *context, weir_history_fn *fn, void *fn_context)
{
    struct weir_replica *self = context;
    enum weir_status status = weir_replica_wake (self, NULL);
    for (size_t i = 0; status == WEIR_OK && i < self->view_order.count; i++) {
        if (!weir_log_give (&self->log, self->view_order.items[i], fn, fn_context)) {
            break;
        }
    }
    return status;
}

/* ---- life ---- */

void
weir_replica_genesis (const struct weir_identity *identity, const uint8_t random[32],
                      const char *name, struct weir_buf *run)
{
    struct weir_member_change admin = { .device = identity->device, .right = WEIR_RIGHT_ADMIN };
    struct weir_settings settings = {
        .entry_version_max = WEIR_ENTRY_VERSION,
        .codec_max = WEIR_CODEC_SETTINGS,
        .n_changes = 1,
        .changes = &admin,
    };
    struct weir_chain chain = { .author = identity->device, .lane = weir_load_u64 (random) };
    struct weir_run_builder builder;
    struct weir_buf payload = { 0 };
    struct weir_id id;
    memcpy (settings.random, random, sizeof settings.random);
    weir_assert (weir_settings_name_is_good (name));
    memcpy (settings.database_name, name, strlen (name) + 1);
    weir_settings_put (&payload, &settings, true);
    weir_run_builder_init (&builder);
    weir_run_begin (&builder, &weir_id_zero, WEIR_ENTRY_GENESIS, &chain, 0, NULL, NULL, 0);
    weir_run_add (&builder, 0, 0, weir_buf_bytes (&payload), &id);
    weir_run_close (&builder, identity, run);
    weir_run_builder_fini (&builder);
    weir_buf_fini (&payload);
}

struct weir_replica *
weir_replica_make (const struct weir_replica_options *options)
{
    struct weir_replica *self = weir_alloc (sizeof *self);
    self->options = *options;
    self->options.genesis = weir_bytes (NULL, 0);
    if (options->identity != NULL) {
        self->chain.author = options->identity->device;
    }
    weir_replica_set_lane (self, options->lane);
    self->knows_tip = false; /* it may have been used before */
    weir_log_init (&self->log);
    self->history = (struct weir_history){ .context = self, .read = history_read };
    self->view_history = (struct weir_history){ .context = self, .read = view_history_read };
    return self;
}

/* The decoder wants to be told the database; a genesis is its own. */
static enum weir_status
genesis_id (struct weir_bytes bytes, struct weir_arena *arena, struct weir_id *id)
{
    struct weir_run run;
    enum weir_status status = weir_run_scan (&run, arena, bytes);
    if (status != WEIR_OK || run.kind != WEIR_ENTRY_GENESIS || run.count != 1) {
        return WEIR_BAD_RUN;
    }
    struct weir_entry entry = {
        .version = WEIR_ENTRY_VERSION,
        .kind = run.kind,
        .author = run.chain.author,
        .lane = run.chain.lane,
        .clock_ms = run.entries[0].clock_ms,
        .payload_bytes = (uint32_t) run.entries[0].payload.len,
        .payload_hash = weir_payload_hash (run.entries[0].payload),
    };
    *id = weir_entry_id (&entry);
    return WEIR_OK;
}

static enum weir_status
genesis_take (struct weir_replica *self, struct weir_bytes bytes, struct weir_error *e)
{
    struct weir_arena *arena = weir_arena_new (1u << 16);
    struct weir_run run;
    struct weir_id database;
    size_t used = 0;
    enum weir_status status = genesis_id (bytes, arena, &database);
    if (status != WEIR_OK) {
        status = weir_error_set (e, status, NULL, "the genesis is no genesis run");
        goto done;
    }
    status = weir_run_decode (&run, arena, &database, bytes, &used, e);
    if (status == WEIR_OK && used != bytes.len) {
        status = weir_error_set (e, WEIR_BAD_RUN, NULL, "something stands behind the genesis");
    }
    if (status == WEIR_OK && !self->options.trusts_signatures
        && weir_run_verify (&run) != WEIR_OK) {
        status = weir_error_set (e, WEIR_BAD_SIGNATURE, NULL, "the genesis is not signed well");
    }
    if (status == WEIR_OK) {
        self->log.database = database;
        uint32_t added = weir_log_add_run (&self->log, &run, 0, 1);
        weir_replica_apply (self, self->log.runs[added].first);
    }
done:
    weir_arena_destroy (&arena);
    return status;
}

enum weir_status
weir_replica_new (struct weir_replica **out, const struct weir_replica_options *options,
                  struct weir_error *e)
{
    struct weir_replica *self = weir_replica_make (options);
    enum weir_status status = WEIR_OK;
    self->doc = weir_doc_new ();
    weir_doc_set_history (self->doc, &self->history);
    if (options->genesis.len > 0) {
        status = genesis_take (self, options->genesis, e);
    }
    if (status == WEIR_OK) {
        *out = self;
        self = NULL;
    }
    weir_replica_destroy (&self);
    return status;
}

void
weir_replica_root_destroy (struct weir_replica_root **root_p)
{
    struct weir_replica_root *root = *root_p;
    *root_p = NULL;
    if (root == NULL) {
        return;
    }
    weir_export_root_fini (&root->told);
    weir_buf_fini (&root->state);
    weir_buf_fini (&root->settings);
    free (root->runs);
    free (root->entries);
    free (root);
}

/* A change that is not sealed is lost; its document dies with it. */
void
weir_replica_destroy (struct weir_replica **self_p)
{
    struct weir_replica *self = *self_p;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    weir_replica_events_fini (self);
    if (self->change != NULL) {
        weir_change_destroy (&self->change);
    }
    weir_doc_destroy (&self->view);
    weir_doc_destroy (&self->doc);
    weir_log_fini (&self->log);
    weir_replica_root_destroy (&self->root);
    weir_numbers_fini (&self->view_order);
    weir_buf_fini (&self->asleep);
    weir_buf_fini (&self->scratch);
    free (self);
}

size_t
weir_replica_memory_bytes (const struct weir_replica *self)
{
    return sizeof *self + weir_log_memory_bytes (&self->log) + weir_doc_memory_bytes (self->doc)
           + (self->view != NULL ? weir_doc_memory_bytes (self->view) : 0) + self->asleep.cap
           + self->scratch.cap + self->view_order.cap * sizeof *self->view_order.items
           + (self->root != NULL ? self->root->state.cap + self->root->settings.cap : 0);
}

const struct weir_replica_options *
weir_replica_options (const struct weir_replica *self)
{
    return &self->options;
}

const struct weir_id *
weir_replica_database (const struct weir_replica *self)
{
    bool is_here = self->asleep.len > 0 || weir_graph_count (self->log.graph) > 0;
    return is_here ? &self->log.database : &weir_id_zero;
}

struct weir_doc *
weir_replica_shown (struct weir_replica *self)
{
    return self->view != NULL ? self->view : self->doc;
}

const struct weir_doc *
weir_replica_doc (const struct weir_replica *self)
{
    return self->view != NULL ? self->view : self->doc;
}

bool
weir_replica_is_attached (const struct weir_replica *self)
{
    return self->view == NULL;
}

void
weir_replica_apply (struct weir_replica *self, uint32_t number)
{
    struct weir_log_row *row = &self->log.rows[number];
    bool deferred = false;
    if (self->astray != WEIR_OK) {
        return;
    }
    enum weir_status status = weir_log_apply (&self->log, number, self->doc, &deferred);
    if (deferred && !self->is_replaying) {
        self->astray = status;
        return;
    }
    self->gave_up = self->gave_up || deferred;
    row->is_applied = true;
    if (status != WEIR_OK) {
        weir_replica_set_inert (self, number, status);
    }
}

void
weir_replica_set_inert (struct weir_replica *self, uint32_t number, enum weir_status status)
{
    self->log.rows[number].inert = (uint8_t) status;
    self->log.ops -= weir_graph_node (self->log.graph, number)->ops;
    self->inert++;
}

/* ---- writing ---- */

void
weir_replica_set_lane (struct weir_replica *self, uint64_t lane)
{
    self->chain.lane = lane;
    self->tip = WEIR_LOG_NONE;
    self->knows_tip = true;
}

/* A lane that was used before, and came by import or from a snapshot, goes on where its longest
 * branch ends. */
void
weir_replica_find_tip (struct weir_replica *self)
{
    const struct weir_log *log = &self->log;
    if (self->knows_tip) {
        return;
    }
    self->knows_tip = true;
    self->tip = WEIR_LOG_NONE;
    for (uint32_t i = 0; i < weir_graph_count (log->graph); i++) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        if (weir_chain_compare (&node->chain, &self->chain) != 0) {
            continue;
        }
        const struct weir_graph_node *best =
            self->tip == WEIR_LOG_NONE ? NULL : weir_graph_node (log->graph, self->tip);
        if (best == NULL || node->seq > best->seq
            || (node->seq == best->seq && weir_id_compare (&node->id, &best->id) < 0)) {
            self->tip = i;
        }
    }
}

/* Heads of what is shown beyond our own tip. */
static size_t
deps_find (struct weir_replica *self, struct weir_id *deps, size_t max)
{
    size_t count = 0;
    size_t n = 0;
    const struct weir_id *heads = weir_doc_heads (weir_replica_shown (self), &count);
    const struct weir_id *tip =
        self->tip == WEIR_LOG_NONE ? NULL : &weir_graph_node (self->log.graph, self->tip)->id;
    for (size_t i = 0; i < count; i++) {
        if (tip != NULL && weir_id_equal (tip, &heads[i])) {
            continue;
        }
        if (n < max) {
            deps[n] = heads[i];
        }
        n++;
    }
    return n;
}

/* An entry of ours is in the log: it joins what it was not applied to yet. */
static void
entry_written (struct weir_replica *self, uint32_t number)
{
    self->tip = number;
    if (self->view != NULL) {
        weir_numbers_push (&self->view_order, number);
        weir_replica_apply_from (self, number);
        if (self->astray != WEIR_OK) {
            self->astray = WEIR_OK;
            weir_ignore (weir_replica_show_all (self, NULL));
        }
    } else {
        self->log.rows[number].is_applied = true;
    }
}

/* An entry has at most 16 deps: more heads are drawn together first. */
static void
merge_heads (struct weir_replica *self)
{
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX];
    while (deps_find (self, deps, WEIR_ENTRY_DEPS_MAX) > WEIR_ENTRY_DEPS_MAX) {
        weir_log_open_run (&self->log, self->options.identity, WEIR_ENTRY_MERGE, &self->chain,
                           self->tip, deps, WEIR_ENTRY_DEPS_MAX, 0);
        uint32_t number = weir_log_append (&self->log, 0, 0, weir_bytes (NULL, 0));
        weir_log_close_run (&self->log, self->options.identity);
        weir_ignore (weir_log_apply (&self->log, number, weir_replica_shown (self), NULL));
        entry_written (self, number);
    }
}

static enum weir_status
commit_change (struct weir_replica *self, struct weir_bytes message, uint64_t clock_ms,
               struct weir_id *entry, struct weir_error *e)
{
    struct weir_log *log = &self->log;
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX];
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    uint32_t ops = 0;
    if (weir_change_atoms (self->change) == 0) {
        weir_change_destroy (&self->change);
        weir_replica_event_end (self, WEIR_BY_LOCAL);
        return WEIR_OK;
    }
    weir_buf_clear (&self->scratch);
    enum weir_status status = weir_change_payload (self->change, message, &self->scratch, &ops, e);
    if (status != WEIR_OK) {
        return status;
    }
    size_t n_deps = deps_find (self, deps, WEIR_ENTRY_DEPS_MAX);
    weir_assert (n_deps <= WEIR_ENTRY_DEPS_MAX);
    weir_log_open_run (log, self->options.identity, WEIR_ENTRY_DATA, &self->chain, self->tip, deps,
                       n_deps, self->scratch.len);
    uint32_t number = weir_log_append (log, ops, clock_ms, weir_buf_bytes (&self->scratch));
    struct weir_doc_entry sealed = weir_log_entry (log, number, parents);
    weir_change_seal (self->change, &sealed);
    weir_change_destroy (&self->change);
    entry_written (self, number);
    if (entry != NULL) {
        *entry = sealed.id;
    }
    weir_replica_event_end (self, WEIR_BY_LOCAL);
    return WEIR_OK;
}

enum weir_status
weir_replica_commit (struct weir_replica *self, struct weir_bytes message, uint64_t clock_ms,
                     struct weir_id *entry, struct weir_error *e)
{
    if (entry != NULL) {
        *entry = weir_id_zero;
    }
    return self->change == NULL ? WEIR_OK : commit_change (self, message, clock_ms, entry, e);
}

enum weir_status
weir_replica_settle (struct weir_replica *self, struct weir_error *e)
{
    enum weir_status status = weir_replica_commit (self, weir_bytes (NULL, 0), 0, NULL, e);
    return status == WEIR_OK ? weir_replica_wake (self, e) : status;
}

/* At the empty version no entry is shown that the next one could follow: the genesis is. */
static void
show_genesis (struct weir_replica *self)
{
    size_t n = 0;
    (void) weir_doc_heads (weir_replica_shown (self), &n);
    if (n == 0 && self->view != NULL) {
        weir_assert (self->log.rows[0].kind == WEIR_ENTRY_GENESIS);
        weir_ignore (weir_log_apply (&self->log, 0, self->view, NULL));
        weir_numbers_push (&self->view_order, 0);
    }
}

enum weir_status
weir_replica_change (struct weir_replica *self, struct weir_change **out, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    if (self->options.identity == NULL) {
        return weir_error_set (e, WEIR_READ_ONLY, "give the replica an identity",
                               "this replica only reads");
    }
    if (self->view != NULL && !self->options.keeps_detached_edits) {
        return weir_error_set (e, WEIR_DETACHED, NULL, "an older version is shown");
    }
    if (self->change != NULL
        && (weir_change_bytes (self->change) >= FULL_BYTES
            || weir_change_atoms (self->change) >= FULL_OPS)) {
        status = commit_change (self, weir_bytes (NULL, 0), 0, NULL, e);
    }
    if (status == WEIR_OK && self->change == NULL) {
        status = weir_replica_wake (self, e);
        if (status == WEIR_OK && weir_graph_count (self->log.graph) == 0) {
            status = weir_error_set (e, WEIR_PENDING, "import one first",
                                     "the database has no genesis here yet");
        }
        if (status == WEIR_OK) {
            weir_replica_find_tip (self);
            show_genesis (self);
            merge_heads (self);
            weir_replica_event_begin (self, WEIR_BY_LOCAL);
            uint64_t seq = self->tip == WEIR_LOG_NONE
                               ? 0
                               : weir_graph_node (self->log.graph, self->tip)->seq + 1;
            self->change = weir_change_open (weir_replica_shown (self), &self->chain, seq);
        }
    }
    if (status == WEIR_OK) {
        *out = self->change;
    }
    return status;
}

enum weir_status
weir_replica_adopt (struct weir_replica *self, struct weir_edit *edit, struct weir_error *e)
{
    struct weir_buf payload = { 0 };
    struct weir_change *change = NULL;
    uint32_t ops = 0;
    enum weir_status status = weir_replica_change (self, &change, e);
    if (status == WEIR_OK && weir_change_atoms (change) > 0) {
        status = weir_error_set (e, WEIR_CONFLICT, "commit first",
                                 "the edit was made while a change was open");
    }
    if (status == WEIR_OK) {
        status = weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &ops, e);
    }
    if (status == WEIR_OK) {
        status = weir_change_adopt (change, weir_buf_bytes (&payload), e);
    }
    weir_buf_fini (&payload);
    return status;
}
