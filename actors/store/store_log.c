/* The store actor's verbs about history: the log of a database, one entry, and the feed of
 * commits by long poll. A feed's token is (store epoch, position); one from another epoch is a
 * `gap`, never a silent skip. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"

#define LOG_ITEMS_MAX 512u
#define LOG_BYTES_MAX (WEIR_MESSAGE_META_BYTES_MAX / 2)
#define FEED_ITEMS_MAX 512u
#define FEED_WAIT_MS_MAX 60000u
#define TOKEN_BYTES 33u /* 16 hex digits, a dot, up to 16 hex digits */
#define WATCHES_MAX 1024u

/* ---- the log ---- */

static ProtobufCBinaryData
copy_field (struct weir_arena *arena, struct weir_bytes bytes)
{
    ProtobufCBinaryData field = { 0 };
    field.data = weir_arena_copy (arena, bytes);
    field.len = field.data != NULL ? bytes.len : 0;
    return field;
}

static ProtobufCBinaryData
copy_id (struct weir_arena *arena, const struct weir_id *id)
{
    return copy_field (arena, weir_id_bytes (id));
}

/* One LogEntry; NULL when the arena is full. */
static Weir__LogEntry *
log_entry (struct weir_arena *arena, const struct weir_entry_facts *facts,
           struct weir_bytes payload)
{
    Weir__LogEntry *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__LogEntry) WEIR__LOG_ENTRY__INIT;
    m->has_id = m->has_author = m->has_lane = m->has_seq = m->has_lamport = true;
    m->id = copy_id (arena, &facts->id);
    m->author = copy_id (arena, &facts->chain.author);
    m->lane = facts->chain.lane;
    m->seq = facts->seq;
    m->lamport = facts->lamport;
    m->has_ops = m->has_clock_ms = m->has_kind = m->has_bytes = m->has_inert = true;
    m->ops = facts->ops;
    m->clock_ms = facts->clock_ms;
    m->kind = facts->kind;
    m->bytes = (uint32_t) payload.len;
    m->inert = facts->inert ? (uint32_t) facts->inert_why : 0;
    if (facts->seq > 0) {
        m->has_prev = true;
        m->prev = copy_id (arena, &facts->prev);
    }
    m->deps = weir_arena_array (arena, (size_t) facts->n_deps + 1, sizeof *m->deps);
    for (size_t i = 0; m->deps != NULL && i < facts->n_deps; i++) {
        m->deps[m->n_deps++] = copy_id (arena, &facts->deps[i]);
    }
    struct weir_bytes text;
    uint32_t ops;
    if (facts->kind == WEIR_ENTRY_DATA && !facts->inert
        && weir_doc_payload_info (payload, &text, &ops) == WEIR_OK) {
        m->has_message = true;
        m->message = copy_field (arena, text);
    }
    return m;
}

/* The operations of a data entry as JSON, for `entry show`. */
static void
add_ops (struct weir_arena *arena, struct weir_bytes payload, Weir__LogEntry *m)
{
    struct weir_buf text = { 0 };
    json_t *json = NULL;
    if (m->kind == WEIR_ENTRY_DATA && weir_doc_payload_json (payload, &json) == WEIR_OK) {
        weir_json_put (&text, json);
        if (text.len <= LOG_BYTES_MAX) {
            m->has_ops_json = true;
            m->ops_json = copy_field (arena, weir_buf_bytes (&text));
        }
    }
    json_decref (json);
    weir_buf_fini (&text);
}

struct log_page {
    struct weir_arena *arena;
    Weir__DocLog *answer;
    size_t limit;
    bool is_full;
};

static bool
add_entry (void *context, const struct weir_entry_facts *facts, struct weir_bytes payload)
{
    struct log_page *page = context;
    page->is_full =
        page->answer->n_items == page->limit || weir_arena_used (page->arena) > LOG_BYTES_MAX;
    Weir__LogEntry *m = page->is_full ? NULL : log_entry (page->arena, facts, payload);
    if (m != NULL) {
        page->answer->items[page->answer->n_items++] = m;
    }
    return m != NULL;
}

/* Says of the page's entries from `from` on, which are those of one row, where in their chain they
 * stand. */
static enum weir_status
add_counters (struct store *s, const struct weir_log_row *row, Weir__DocLog *answer, size_t from)
{
    enum weir_status status = WEIR_OK;
    for (size_t i = from; i < answer->n_items && status == WEIR_OK; i++) {
        Weir__LogEntry *m = answer->items[i];
        status = weir_repo_counter (s->repo, &row->db, row->position, m->lamport, &m->counter);
        m->has_counter = true;
    }
    return status;
}

/* Newest first, a page at a time. `before` of an answer says where the next page begins:
 * (position << 12 | entries to pass over of the row before that position). */
void
store_doc_log (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocLogAsk *ask = (const Weir__DocLogAsk *) message->meta;
    struct weir_id db;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    Weir__DocLog answer = WEIR__DOC_LOG__INIT;
    struct log_page page = { .arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX), .answer = &answer };
    bool paged = ask->has_before && ask->before > 0;
    uint64_t upper = paged ? ask->before >> 12 : UINT64_MAX;
    size_t skip = paged ? ask->before & 0xfffu : 0;
    struct weir_log_row row;
    enum weir_status status = WEIR_OK;
    page.limit =
        ask->has_limit && ask->limit > 0 && ask->limit < LOG_ITEMS_MAX ? ask->limit : LOG_ITEMS_MAX;
    answer.items = weir_alloc (LOG_ITEMS_MAX * sizeof *answer.items);
    answer.has_before = true;
    while (status == WEIR_OK && !page.is_full
           && weir_repo_log_prev (s->repo, upper, &db, &row) == WEIR_OK) {
        size_t n = answer.n_items;
        status = weir_repo_row_entries (s->repo, &row, skip, add_entry, &page);
        if (status == WEIR_OK) {
            status = add_counters (s, &row, &answer, n);
        }
        if (page.is_full) {
            answer.before = (row.position + 1) << 12 | (skip + answer.n_items - n);
        }
        skip = 0;
        upper = row.position;
    }
    if (status == WEIR_OK) {
        store_answer (s, &message->envelope, &answer.base);
    } else {
        store_fail (s, &message->envelope, status, NULL);
    }
    free (answer.items);
    weir_arena_destroy (&page.arena);
}

void
store_entry_show (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__EntryAsk *ask = (const Weir__EntryAsk *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id entry;
    char prefix[WEIR_ID_TEXT + 1];
    enum weir_status status =
        weir_field_get_text (prefix, WEIR_ID_TEXT, ask->has_entry, ask->entry);
    bool named = ask->has_db && ask->db.len > 0;
    struct weir_id db;
    (void) actor;
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, WEIR_INVALID_ARGUMENT, NULL);
        return;
    }
    if (named) {
        if (!store_resolve (s, &message->envelope, true, ask->db, &db)) {
            return;
        }
        status = weir_repo_find_entry (s->repo, &db, prefix, &entry, &e);
    } else {
        struct weir_db_info info;
        status = WEIR_NOT_FOUND;
        for (size_t i = 0; status == WEIR_NOT_FOUND && weir_repo_database (s->repo, i, &info);
             i++) {
            db = info.id;
            status = weir_repo_find_entry (s->repo, &db, prefix, &entry, &e);
        }
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    struct weir_entry_facts facts;
    struct weir_buf payload = { 0 };
    uint64_t counter = 0;
    status = weir_repo_entry (s->repo, &db, &entry, &facts, &payload);
    if (status == WEIR_OK) {
        status = weir_repo_counter (s->repo, &db, facts.position, facts.lamport, &counter);
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, NULL);
        weir_buf_fini (&payload);
        return;
    }
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__DocLog answer = WEIR__DOC_LOG__INIT;
    Weir__LogEntry *item = log_entry (arena, &facts, weir_buf_bytes (&payload));
    if (item != NULL) {
        add_ops (arena, weir_buf_bytes (&payload), item);
        item->has_counter = true;
        item->counter = counter;
        answer.items = &item;
        answer.n_items = 1;
    }
    store_answer (s, &message->envelope, &answer.base);
    weir_arena_destroy (&arena);
    weir_buf_fini (&payload);
}

/* ---- the feed ---- */

struct store_watch {
    struct store_watch *next;
    struct weir_envelope request;
    struct weir_id db;
    bool one; /* of `db` only */
    uint64_t position;
    uint64_t deadline_ms;
    size_t limit;
};

static void
token_put (struct store *s, uint64_t position, char out[TOKEN_BYTES + 1])
{
    snprintf (out, TOKEN_BYTES + 1, "%016llx.%llx", (unsigned long long) weir_repo_epoch (s->repo),
              (unsigned long long) position);
}

/* WEIR_GAP for another epoch or a position that was never told. */
static enum weir_status
token_get (struct store *s, struct weir_bytes text, uint64_t *position)
{
    char token[TOKEN_BYTES + 1];
    unsigned long long epoch = 0;
    unsigned long long at = 0;
    int used = 0;
    if (text.len > TOKEN_BYTES) {
        return WEIR_INVALID_ARGUMENT;
    }
    memcpy (token, text.data, text.len);
    token[text.len] = '\0';
    if (sscanf (token, "%16llx.%16llx%n", &epoch, &at, &used) != 2 || (size_t) used != text.len) {
        return WEIR_INVALID_ARGUMENT;
    }
    *position = at;
    return epoch == weir_repo_epoch (s->repo) && at <= weir_repo_position (s->repo) ? WEIR_OK
                                                                                    : WEIR_GAP;
}

static Weir__CommitEvent *
feed_item (struct store *s, struct weir_arena *arena, const struct weir_log_row *row)
{
    char token[TOKEN_BYTES + 1];
    struct weir_db_info info = { 0 };
    Weir__CommitEvent *m = weir_arena_alloc (arena, sizeof *m);
    Weir__Range *range = weir_arena_alloc (arena, sizeof *range);
    if (m == NULL || range == NULL) {
        return NULL;
    }
    *m = (Weir__CommitEvent) WEIR__COMMIT_EVENT__INIT;
    *range = (Weir__Range) WEIR__RANGE__INIT;
    range->has_author = range->has_lane = range->has_from_seq = range->has_to_seq = true;
    range->author = copy_id (arena, &row->range.chain.author);
    range->lane = row->range.chain.lane;
    range->from_seq = row->range.from_seq;
    range->to_seq = row->range.to_seq;
    range->has_tip = true;
    range->tip = copy_id (arena, &row->range.tip);
    token_put (s, row->position, token);
    m->has_token = m->has_db = m->has_kind = true;
    m->token = copy_field (arena, weir_bytes_str (token));
    m->db = copy_id (arena, &row->db);
    m->kind = row->kind;
    if (weir_repo_info (s->repo, &row->db, &info) == WEIR_OK) {
        m->has_db_name = true;
        m->db_name = copy_field (arena, weir_bytes_str (info.name));
    }
    m->range = range;
    if (!weir_id_is_zero (&row->source)) {
        m->has_source = true;
        m->source = copy_id (arena, &row->source);
    }
    return m;
}

/* Answers the poll if there is anything behind its position, or if `ended`. */
static bool
feed_answer (struct store *s, struct store_watch *w, bool ended, bool gap)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__CommitEvents answer = WEIR__COMMIT_EVENTS__INIT;
    struct weir_log_row row;
    uint64_t position = w->position;
    char token[TOKEN_BYTES + 1];
    answer.items = weir_alloc (FEED_ITEMS_MAX * sizeof *answer.items);
    while (!gap && answer.n_items < w->limit && weir_arena_used (arena) < LOG_BYTES_MAX
           && weir_repo_log_next (s->repo, position, w->one ? &w->db : NULL, &row) == WEIR_OK) {
        Weir__CommitEvent *m = feed_item (s, arena, &row);
        if (m == NULL) {
            break;
        }
        answer.items[answer.n_items++] = m;
        position = row.position;
    }
    bool answered = ended || gap || answer.n_items > 0;
    if (answer.n_items == 0 && weir_repo_position (s->repo) > position) {
        position = weir_repo_position (s->repo); /* others' commits: not to be looked at again */
        w->position = position;
    }
    if (answered) {
        token_put (s, gap ? weir_repo_position (s->repo) : position, token);
        answer.has_token = answer.has_gap = true;
        answer.token = weir_field_str (token);
        answer.gap = gap;
        store_answer (s, &w->request, &answer.base);
    }
    free (answer.items);
    weir_arena_destroy (&arena);
    return answered;
}

static void
watches_look (struct store *s, uint64_t now_ms)
{
    for (struct store_watch **at = &s->watches; *at != NULL;) {
        struct store_watch *w = *at;
        if (feed_answer (s, w, now_ms >= w->deadline_ms, false)) {
            *at = w->next;
            free (w);
        } else {
            at = &w->next;
        }
    }
}

void
store_watch_synced (struct store *s)
{
    if (s->watches != NULL) {
        watches_look (s, weir_actor_now_ms (s->actor));
    }
}

void
store_watches_drop (struct store *s)
{
    while (s->watches != NULL) {
        struct store_watch *w = s->watches;
        s->watches = w->next;
        free (w);
    }
}

static void
watch_timer (void *state, struct weir_actor *actor, void *context)
{
    struct store *s = state;
    uint64_t next = UINT64_MAX;
    (void) context;
    s->watch_timer = 0;
    watches_look (s, weir_actor_now_ms (actor));
    for (const struct store_watch *w = s->watches; w != NULL; w = w->next) {
        next = w->deadline_ms < next ? w->deadline_ms : next;
    }
    if (next != UINT64_MAX) {
        s->watch_timer = weir_actor_timer (actor, next, watch_timer, NULL);
    }
}

void
store_db_watch (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbWatch *ask = (const Weir__DbWatch *) message->meta;
    struct store_watch w = { .request = message->envelope, .limit = FEED_ITEMS_MAX };
    enum weir_status status = WEIR_OK;
    size_t n = 0;
    w.one = ask->has_db && ask->db.len > 0;
    if (w.one && !store_resolve (s, &message->envelope, true, ask->db, &w.db)) {
        return;
    }
    if (ask->has_limit && ask->limit > 0 && ask->limit < FEED_ITEMS_MAX) {
        w.limit = ask->limit;
    }
    if (ask->has_since && ask->since.len > 0) {
        status = token_get (s, weir_field (ask->since), &w.position);
    } else if (ask->has_now && ask->now) {
        w.position = weir_repo_position (s->repo);
    }
    for (const struct store_watch *at = s->watches; at != NULL; at = at->next) {
        n++;
    }
    if (n >= WATCHES_MAX) {
        status = WEIR_BUSY;
    }
    if (status != WEIR_OK && status != WEIR_GAP) {
        store_fail (s, &message->envelope, status, NULL);
        return;
    }
    uint32_t ms = ask->has_ms ? ask->ms : 0;
    ms = ms > FEED_WAIT_MS_MAX ? FEED_WAIT_MS_MAX : ms;
    w.deadline_ms = weir_actor_now_ms (actor) + ms;
    if (feed_answer (s, &w, ms == 0, status == WEIR_GAP)) {
        return;
    }
    struct store_watch *kept = weir_alloc (sizeof *kept);
    *kept = w;
    kept->next = s->watches;
    s->watches = kept;
    weir_actor_timer_cancel (actor, s->watch_timer);
    s->watch_timer = weir_actor_timer (actor, weir_actor_now_ms (actor), watch_timer, NULL);
}
