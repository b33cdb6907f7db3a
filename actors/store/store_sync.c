/* What peers asks of the store to decide, and is told: rights and digests of databases, the
 * comparison of entry vectors, and lag. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/dag/run_scan.h"

#define RIGHTS_BYTES_MAX (WEIR_MESSAGE_META_BYTES_MAX / 2)

static ProtobufCBinaryData
copy_id (struct weir_arena *arena, const struct weir_id *id)
{
    ProtobufCBinaryData field = { 0 };
    field.data = weir_arena_copy (arena, weir_id_bytes (id));
    field.len = field.data != NULL ? WEIR_ID_BYTES : 0;
    return field;
}

/* ---- rights ---- */

static Weir__DbRight *
right_message (struct store *s, struct weir_arena *arena, const struct weir_db_info *info)
{
    Weir__DbRight *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__DbRight) WEIR__DB_RIGHT__INIT;
    struct weir_id digest = store_digest (s, &info->id);
    m->has_db = m->has_name = m->has_right = m->has_digest = m->has_joining = true;
    m->db = copy_id (arena, &info->id);
    m->digest = copy_id (arena, &digest);
    m->name.data = weir_arena_copy (arena, weir_bytes_str (info->name));
    m->name.len = strlen (info->name);
    m->right = (uint32_t) info->right;
    m->joining = info->joining;
    size_t n = 0;
    const struct weir_member *members = weir_repo_members (s->repo, &info->id, &n);
    m->members = weir_arena_array (arena, n + 1, sizeof *m->members);
    for (size_t i = 0; m->members != NULL && i < n; i++) {
        Weir__Member *member = weir_arena_alloc (arena, sizeof *member);
        if (member == NULL) {
            return NULL;
        }
        *member = (Weir__Member) WEIR__MEMBER__INIT;
        member->has_device = member->has_right = member->has_name = true;
        member->device = copy_id (arena, &members[i].device);
        member->right = (uint32_t) members[i].right;
        member->name.data = weir_arena_copy (arena, weir_bytes_str (members[i].name));
        member->name.len = strlen (members[i].name);
        m->members[m->n_members++] = member;
    }
    return m;
}

/* A page of databases behind `after`, or one. */
void
store_db_rights (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbRightsAsk *ask = (const Weir__DbRightsAsk *) message->meta;
    struct weir_arena *arena = weir_arena_new (4u * WEIR_UNPACK_BYTES_MAX);
    Weir__DbRights answer = WEIR__DB_RIGHTS__INIT;
    struct weir_db_info info;
    struct weir_id after;
    struct weir_id only;
    size_t cap = 0;
    (void) actor;
    bool has_after = weir_field_get_id (&after, ask->has_after, ask->after) == WEIR_OK;
    bool one = weir_field_get_id (&only, ask->has_db, ask->db) == WEIR_OK;
    answer.has_members_epoch = answer.has_more = true;
    answer.members_epoch = weir_repo_members_epoch (s->repo);
    for (size_t i = 0; one ? i == 0 : weir_repo_database (s->repo, i, &info); i++) {
        if (one && weir_repo_info (s->repo, &only, &info) != WEIR_OK) {
            break; /* forgotten: an empty answer says so */
        }
        if (!one && has_after && weir_id_compare (&info.id, &after) <= 0) {
            continue;
        }
        if (answer.n_items > 0 && weir_arena_used (arena) > RIGHTS_BYTES_MAX) {
            answer.more = true;
            break;
        }
        Weir__DbRight *m = right_message (s, arena, &info);
        if (m == NULL) {
            break;
        }
        weir_grow (&answer.items, &cap, answer.n_items + 1, sizeof *answer.items);
        answer.items[answer.n_items++] = m;
    }
    store_answer (s, &message->envelope, &answer.base);
    free (answer.items);
    weir_arena_destroy (&arena);
}

void
store_rights_changed (struct store *s, const struct weir_id *db)
{
    Weir__RightsChanged m = WEIR__RIGHTS_CHANGED__INIT;
    m.has_db = db != NULL;
    if (db != NULL) {
        m.db = weir_field_id (db);
    }
    m.has_members_epoch = true;
    m.members_epoch = weir_repo_members_epoch (s->repo);
    (void) weir_actor_send_about (s->actor, WEIR_KIND_RIGHTS_CHANGED, NULL, NULL, db, 0, &m.base,
                                  weir_bytes (NULL, 0));
}

/* ---- comparison ---- */

/* Told rows of a message, in the arena; false when they do not decode. */
static bool
told_rows (Weir__Row **rows, size_t n, struct weir_arena *arena, struct weir_told_row **out)
{
    struct weir_told_row *told = weir_arena_array (arena, n + 1, sizeof *told);
    for (size_t i = 0; told != NULL && i < n; i++) {
        const Weir__Row *m = rows[i];
        struct weir_told_row *t = &told[i];
        if (weir_field_get_id (&t->row.chain.author, m->has_author, m->author) != WEIR_OK
            || weir_field_get_id (&t->row.tip, m->has_tip, m->tip) != WEIR_OK
            || m->n_samples > WEIR_VECTOR_SAMPLES_MAX) {
            return false;
        }
        t->row.chain.lane = m->lane;
        t->row.count = m->count;
        t->samples = weir_arena_array (arena, m->n_samples + 1, sizeof *t->samples);
        for (size_t k = 0; t->samples != NULL && k < m->n_samples; k++) {
            t->samples[k].seq = m->samples[k]->seq;
            if (weir_field_get_id (&t->samples[k].id, m->samples[k]->has_id, m->samples[k]->id)
                != WEIR_OK) {
                return false;
            }
            t->n_samples++;
        }
    }
    *out = told;
    return told != NULL;
}

static Weir__Row *
row_message (struct store *s, struct weir_arena *arena, const struct weir_id *db,
             const struct weir_row *row, bool with_samples)
{
    Weir__Row *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__Row) WEIR__ROW__INIT;
    m->has_author = m->has_lane = m->has_count = m->has_tip = true;
    m->author = copy_id (arena, &row->chain.author);
    m->lane = row->chain.lane;
    m->count = row->count;
    m->tip = copy_id (arena, &row->tip);
    if (!with_samples) {
        return m;
    }
    struct weir_sample samples[WEIR_VECTOR_SAMPLES_MAX];
    size_t n = weir_repo_samples (s->repo, db, row, samples, WEIR_VECTOR_SAMPLES_MAX);
    m->samples = weir_arena_array (arena, n + 1, sizeof *m->samples);
    for (size_t i = 0; m->samples != NULL && i < n; i++) {
        Weir__Sample *sample = weir_arena_alloc (arena, sizeof *sample);
        if (sample == NULL) {
            return NULL;
        }
        *sample = (Weir__Sample) WEIR__SAMPLE__INIT;
        sample->has_seq = sample->has_id = true;
        sample->seq = samples[i].seq;
        sample->id = copy_id (arena, &samples[i].id);
        m->samples[m->n_samples++] = sample;
    }
    return m;
}

static Weir__Range *
range_message (struct weir_arena *arena, const struct weir_range *range)
{
    Weir__Range *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__Range) WEIR__RANGE__INIT;
    m->has_author = m->has_lane = m->has_from_seq = m->has_to_seq = m->has_tip = true;
    m->author = copy_id (arena, &range->chain.author);
    m->lane = range->chain.lane;
    m->from_seq = range->from_seq;
    m->to_seq = range->to_seq;
    m->tip = copy_id (arena, &range->tip);
    return m;
}

uint64_t
store_put_ranges (struct weir_arena *arena, const struct weir_ranges *ranges, Weir__Range ***out,
                  size_t *n_out)
{
    uint64_t entries = 0;
    *out = weir_arena_array (arena, ranges->count + 1, sizeof **out);
    for (size_t i = 0; *out != NULL && i < ranges->count; i++) {
        Weir__Range *m = range_message (arena, &ranges->items[i]);
        if (m == NULL) {
            break;
        }
        (*out)[(*n_out)++] = m;
        entries += ranges->items[i].to_seq - ranges->items[i].from_seq;
    }
    return entries;
}

/* Is this chain among the told ones? */
static bool
told_chain (const struct weir_told_row *told, size_t n, const struct weir_chain *chain)
{
    for (size_t i = 0; i < n; i++) {
        if (weir_chain_compare (&told[i].row.chain, chain) == 0) {
            return true;
        }
    }
    return false;
}

static void
put_ours (struct store *s, struct weir_arena *arena, const struct weir_id *db,
          const struct weir_told_row *told, size_t n_told, bool only,
          const struct weir_vector *unknown, Weir__Compared *answer)
{
    const struct weir_vector *borrowed = weir_repo_vector (s->repo, db);
    struct weir_vector ours = { 0 };
    if (borrowed != NULL) {
        weir_vector_copy (&ours, borrowed);
    }
    answer->ours = weir_arena_array (arena, ours.count + 1, sizeof *answer->ours);
    for (size_t i = 0; answer->ours != NULL && i < ours.count; i++) {
        if (only && !told_chain (told, n_told, &ours.rows[i].chain)) {
            continue;
        }
        size_t count = 0;
        bool with_samples = weir_vector_chain (unknown, &ours.rows[i].chain, &count) != NULL;
        Weir__Row *m = row_message (s, arena, db, &ours.rows[i], with_samples);
        if (m == NULL) {
            break;
        }
        answer->ours[answer->n_ours++] = m;
    }
    weir_vector_fini (&ours);
    answer->unknown = weir_arena_array (arena, unknown->count + 1, sizeof *answer->unknown);
    for (size_t i = 0; answer->unknown != NULL && i < unknown->count; i++) {
        Weir__Row *m = row_message (s, arena, db, &unknown->rows[i], false);
        if (m == NULL) {
            break;
        }
        answer->unknown[answer->n_unknown++] = m;
    }
}

void
store_compare (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__Compare *ask = (const Weir__Compare *) message->meta;
    struct weir_arena *arena = weir_arena_new (8u * WEIR_UNPACK_BYTES_MAX);
    struct weir_told_row *told = NULL;
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    struct weir_id db;
    bool more = false;
    (void) actor;
    enum weir_status status = weir_field_get_id (&db, ask->has_db, ask->db);
    if (status == WEIR_OK && !told_rows (ask->rows, ask->n_rows, arena, &told)) {
        status = WEIR_BAD_MESSAGE;
    }
    if (status == WEIR_OK && !(ask->has_ask && ask->ask)) {
        status = weir_repo_compare (s->repo, &db, told, ask->n_rows, &lacks, &more, &unknown);
    }
    if (status == WEIR_OK) {
        Weir__Compared answer = WEIR__COMPARED__INIT;
        struct weir_id digest = store_digest (s, &db);
        answer.has_more = answer.has_digest = answer.has_lack_entries = true;
        answer.more = more;
        answer.digest = weir_field_id (&digest);
        answer.lack_entries = store_put_ranges (arena, &lacks, &answer.lacks, &answer.n_lacks);
        put_ours (s, arena, &db, told, ask->n_rows, ask->has_only && ask->only, &unknown, &answer);
        /* What is compared is readable; it may be told and sent once it is on disk. */
        store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
    } else {
        store_fail (s, &message->envelope, status, NULL);
    }
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
    weir_arena_destroy (&arena);
}

/* When the first entry of a range was made, by the clock of who made it; 0: not recorded, or not
 * on disk yet. */
static uint64_t
first_clock_ms (struct store *s, struct weir_arena *arena, const struct weir_id *db,
                const struct weir_range *range)
{
    struct weir_buf bytes = { 0 };
    struct weir_run run;
    uint64_t next_seq = 0;
    uint64_t clock_ms = 0;
    weir_arena_reset (arena);
    if (weir_repo_read (s->repo, db, range, range->from_seq, 1, &bytes, &next_seq) == WEIR_OK
        && weir_run_scan (&run, arena, weir_buf_bytes (&bytes)) == WEIR_OK && run.count > 0) {
        clock_ms = run.entries[0].clock_ms;
    }
    weir_buf_fini (&bytes);
    return clock_ms;
}

/* How far a peer that is known to hold `known` is behind: the real difference of sets, and the
 * age of the oldest entry it lacks (by our clock's record in it; 0 when none was recorded). */
void
store_lag (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__Lag *ask = (const Weir__Lag *) message->meta;
    struct weir_arena *arena = weir_arena_new (8u * WEIR_UNPACK_BYTES_MAX);
    struct weir_told_row *told = NULL;
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    struct weir_id db;
    bool more = false;
    enum weir_status status = weir_field_get_id (&db, ask->has_db, ask->db);
    if (status == WEIR_OK && !told_rows (ask->known, ask->n_known, arena, &told)) {
        status = WEIR_BAD_MESSAGE;
    }
    if (status == WEIR_OK) {
        status = weir_repo_compare (s->repo, &db, told, ask->n_known, &lacks, &more, &unknown);
    }
    if (status == WEIR_OK) {
        Weir__LagAnswer answer = WEIR__LAG_ANSWER__INIT;
        uint64_t now = weir_actor_wall_ms (actor);
        answer.has_entries = answer.has_oldest_ms = true;
        for (size_t i = 0; i < lacks.count; i++) {
            uint64_t clock_ms = first_clock_ms (s, arena, &db, &lacks.items[i]);
            answer.entries += lacks.items[i].to_seq - lacks.items[i].from_seq;
            if (clock_ms > 0 && clock_ms < now && now - clock_ms > answer.oldest_ms) {
                answer.oldest_ms = now - clock_ms;
            }
        }
        store_answer (s, &message->envelope, &answer.base);
    } else {
        store_fail (s, &message->envelope, status, NULL);
    }
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
    weir_arena_destroy (&arena);
}
