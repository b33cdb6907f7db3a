/* The store actor's verbs about databases and members. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/repo/blob.h"

#define FORKS_SHOWN 16u
#define HEADS_SHOWN 64u
#define LATE_SHOWN 64u
#define VOID_SHOWN 64u
/* A page of a list: what it may take in memory is more than what it takes packed. */
#define PAGE_BYTES (WEIR_MESSAGE_META_BYTES_MAX / 3)
#define PAGE_ITEMS 256u

/* ---- databases ---- */

void
store_db_create (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbCreate *ask = (const Weir__DbCreate *) message->meta;
    struct weir_error e = { 0 };
    char name[WEIR_NAME_BYTES_MAX + 1];
    struct weir_id db;
    if (store_answered_before (s, &message->envelope, ask->has_client, ask->client, ask->number)
        || !store_writable (s, &message->envelope)) {
        return;
    }
    enum weir_status status =
        weir_field_get_text (name, WEIR_NAME_BYTES_MAX, ask->has_name, ask->name);
    if (status != WEIR_OK || name[0] == '\0') {
        status =
            weir_error_set (&e, WEIR_INVALID_ARGUMENT, NULL,
                            "a database's name has 1 to %u bytes of UTF-8", WEIR_NAME_BYTES_MAX);
    } else if (weir_repo_resolve (s->repo, name, &db, NULL) == WEIR_OK) {
        status = weir_error_set (&e, WEIR_EXISTS, "weir db ls shows them",
                                 "a database called %s is already here", name);
    } else {
        status = weir_repo_create (s->repo, name, weir_actor_wall_ms (actor), &db, &e);
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    s->commits++;
    Weir__DbId answer = WEIR__DB_ID__INIT;
    answer.has_id = true;
    answer.id = weir_field_id (&db);
    answer.has_name = true;
    answer.name = weir_field_str (name);
    store_answer_synced (s, &message->envelope, &answer.base, weir_field (ask->client),
                         ask->number);
    store_rights_changed (s, &db);
}

/* One DbInfo in the arena. */
static void
put_blobs (struct store *s, const struct weir_id *db, Weir__DbInfo *m)
{
    struct weir_blob_totals t;
    if (weir_repo_blob_totals (s->repo, db, &t) == WEIR_OK) {
        m->has_blobs = m->has_blob_bytes = m->has_blobs_missing = m->has_blob_bytes_missing = true;
        m->has_blob_bytes_kept = true;
        m->blobs = t.blobs;
        m->blob_bytes = t.bytes;
        m->blobs_missing = t.missing_blobs;
        m->blob_bytes_missing = t.missing_bytes;
        m->blob_bytes_kept = t.kept_bytes;
    }
}

static Weir__DbInfo *
info_message (struct store *s, struct weir_arena *arena, const struct weir_db_info *info,
              bool detail)
{
    Weir__DbInfo *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__DbInfo) WEIR__DB_INFO__INIT;
    struct weir_id digest = store_digest (s, &info->id);
    m->has_id = m->has_name = m->has_digest = true;
    m->id.data = weir_arena_copy (arena, weir_id_bytes (&info->id));
    m->id.len = WEIR_ID_BYTES;
    m->name.data = weir_arena_copy (arena, weir_bytes_str (info->name));
    m->name.len = strlen (info->name);
    m->digest.data = weir_arena_copy (arena, weir_id_bytes (&digest));
    m->digest.len = WEIR_ID_BYTES;
    m->has_right = m->has_entries = m->has_bytes = m->has_pending = m->has_refused = true;
    m->right = (uint32_t) info->right;
    m->entries = info->entries;
    m->bytes = info->bytes;
    m->pending = info->pending_runs;
    m->refused = info->refused_runs;
    m->has_inert = m->has_chains = m->has_needs_upgrade = m->has_joining = true;
    m->inert = info->inert_entries;
    m->chains = (uint32_t) info->n_chains;
    m->needs_upgrade = info->needs_upgrade;
    m->joining = info->joining;
    m->has_deferred = true;
    m->deferred = (uint32_t) info->deferred;
    put_blobs (s, &info->id, m);
    size_t n = 0;
    (void) weir_repo_members (s->repo, &info->id, &n);
    m->has_members = true;
    m->members = (uint32_t) n;
    if (!detail) {
        return m;
    }
    const struct weir_id *heads = weir_repo_heads (s->repo, &info->id, &n);
    n = n > HEADS_SHOWN ? HEADS_SHOWN : n;
    m->heads = weir_arena_array (arena, n + 1, sizeof *m->heads);
    for (size_t i = 0; m->heads != NULL && i < n; i++) {
        m->heads[i].data = weir_arena_copy (arena, weir_id_bytes (&heads[i]));
        m->heads[i].len = WEIR_ID_BYTES;
        m->n_heads++;
    }
    m->fork = weir_arena_array (arena, FORKS_SHOWN, sizeof *m->fork);
    struct weir_fork fork;
    m->has_forks = true;
    while (weir_repo_fork (s->repo, &info->id, m->forks, &fork) == WEIR_OK) {
        if (m->fork != NULL && m->n_fork < FORKS_SHOWN) {
            Weir__Fork *f = weir_arena_alloc (arena, sizeof *f);
            if (f == NULL) {
                break;
            }
            *f = (Weir__Fork) WEIR__FORK__INIT;
            f->has_author = f->has_lane = f->has_seq = f->has_a = f->has_b = true;
            f->author.data = weir_arena_copy (arena, weir_id_bytes (&fork.chain.author));
            f->a.data = weir_arena_copy (arena, weir_id_bytes (&fork.a));
            f->b.data = weir_arena_copy (arena, weir_id_bytes (&fork.b));
            f->author.len = f->a.len = f->b.len = WEIR_ID_BYTES;
            f->lane = fork.chain.lane;
            f->seq = fork.seq;
            m->fork[m->n_fork++] = f;
        }
        m->forks++;
    }
    return m;
}

static void
answer_infos (struct store *s, const struct weir_envelope *request, const struct weir_id *only)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__DbInfos answer = WEIR__DB_INFOS__INIT;
    struct weir_db_info info;
    size_t cap = 0;
    for (size_t i = 0; only == NULL ? weir_repo_database (s->repo, i, &info) : i == 0; i++) {
        if (only != NULL && weir_repo_info (s->repo, only, &info) != WEIR_OK) {
            break;
        }
        if (weir_arena_used (arena) > PAGE_BYTES) {
            weir_actor_answer (s->actor, request, &answer.base, weir_bytes (NULL, 0), true);
            weir_arena_reset (arena);
            answer.n_items = 0;
        }
        Weir__DbInfo *m = info_message (s, arena, &info, only != NULL);
        if (m == NULL) {
            break;
        }
        weir_grow (&answer.items, &cap, answer.n_items + 1, sizeof *answer.items);
        answer.items[answer.n_items++] = m;
    }
    store_answer (s, request, &answer.base);
    free (answer.items);
    weir_arena_destroy (&arena);
}

void
store_db_list (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    (void) actor;
    answer_infos (state, &message->envelope, NULL);
}

void
store_db_show (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    const Weir__DbName *ask = (const Weir__DbName *) message->meta;
    struct weir_id db;
    (void) actor;
    if (store_resolve (state, &message->envelope, ask->has_db, ask->db, &db)) {
        answer_infos (state, &message->envelope, &db);
    }
}

void
store_db_forget (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbForget *ask = (const Weir__DbForget *) message->meta;
    struct weir_id db;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    enum weir_status status = weir_repo_forget (s->repo, &db);
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, NULL);
        return;
    }
    char key[16 + WEIR_ID_TEXT];
    snprintf (key, sizeof key, "joins/%s", weir_id_text (&db).s);
    weir_repo_state_put (s->repo, key, weir_bytes (NULL, 0));
    store_answer_synced (s, &message->envelope, NULL, weir_bytes (NULL, 0), 0);
    store_rights_changed (s, &db);
}

/* ---- members ---- */

static void
add_late (struct store *s, struct weir_arena *arena, const struct weir_id *db,
          const struct weir_member *member, Weir__Member *m)
{
    struct weir_ranges late = { 0 };
    if (member->right == WEIR_RIGHT_NONE
        && weir_repo_late (s->repo, db, &member->device, &late) == WEIR_OK) {
        size_t n = late.count > LATE_SHOWN ? LATE_SHOWN : late.count;
        m->late = weir_arena_array (arena, n + 1, sizeof *m->late);
        for (size_t i = 0; m->late != NULL && i < n; i++) {
            Weir__Range *r = weir_arena_alloc (arena, sizeof *r);
            if (r == NULL) {
                break;
            }
            *r = (Weir__Range) WEIR__RANGE__INIT;
            r->has_author = r->has_lane = r->has_from_seq = r->has_to_seq = r->has_tip = true;
            r->author.data = weir_arena_copy (arena, weir_id_bytes (&late.items[i].chain.author));
            r->tip.data = weir_arena_copy (arena, weir_id_bytes (&late.items[i].tip));
            r->author.len = r->tip.len = WEIR_ID_BYTES;
            r->lane = late.items[i].chain.lane;
            r->from_seq = late.items[i].from_seq;
            r->to_seq = late.items[i].to_seq;
            m->late[m->n_late++] = r;
        }
    }
    weir_ranges_fini (&late);
}

/* What was stored and has no effect: somebody believed it, and should hear that it is so. */
static void
add_void (struct store *s, struct weir_arena *arena, const struct weir_id *db,
          Weir__DbMembers *answer)
{
    struct weir_id entry;
    answer->void_entries = weir_arena_array (arena, VOID_SHOWN, sizeof *answer->void_entries);
    for (size_t i = 0;
         answer->void_entries != NULL && i < VOID_SHOWN && weir_repo_void (s->repo, db, i, &entry);
         i++) {
        ProtobufCBinaryData *id = &answer->void_entries[i];
        id->data = weir_arena_copy (arena, weir_id_bytes (&entry));
        id->len = id->data != NULL ? WEIR_ID_BYTES : 0;
        answer->n_void_entries++;
    }
}

void
store_db_members (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbMembersAsk *ask = (const Weir__DbMembersAsk *) message->meta;
    struct weir_id db;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__DbMembers answer = WEIR__DB_MEMBERS__INIT;
    size_t n = 0;
    const struct weir_member *borrowed = weir_repo_members (s->repo, &db, &n);
    struct weir_member *members = weir_alloc ((n + 1) * sizeof *members);
    if (n > 0) {
        memcpy (members, borrowed, n * sizeof *members); /* repo calls below end the loan */
    }
    answer.items = weir_alloc ((n + 1) * sizeof *answer.items);
    for (size_t i = 0; i < n; i++) {
        if (answer.n_items == PAGE_ITEMS || weir_arena_used (arena) > PAGE_BYTES) {
            weir_actor_answer (actor, &message->envelope, &answer.base, weir_bytes (NULL, 0), true);
            weir_arena_reset (arena);
            answer.n_items = 0;
        }
        Weir__Member *m = weir_arena_alloc (arena, sizeof *m);
        if (m == NULL) {
            break;
        }
        *m = (Weir__Member) WEIR__MEMBER__INIT;
        m->has_device = m->has_right = m->has_rank = m->has_by = m->has_name = true;
        m->has_entry = m->has_own = true;
        m->device = weir_field_id (&members[i].device);
        m->right = (uint32_t) members[i].right;
        m->rank = members[i].rank;
        m->by = weir_field_id (&members[i].by);
        m->name = weir_field_str (members[i].name);
        m->entry = weir_field_id (&members[i].entry);
        m->own = weir_id_equal (&members[i].device, &s->identity.device);
        add_late (s, arena, &db, &members[i], m);
        answer.items[answer.n_items++] = m;
    }
    add_void (s, arena, &db, &answer);
    store_answer (s, &message->envelope, &answer.base);
    free (answer.items);
    free (members);
    weir_arena_destroy (&arena);
}

/* Makes the change and answers with its entry once it is durable. */
static void
change_member (struct store *s, const struct weir_message *message, const struct weir_id *db,
               const struct weir_member_change *change, struct weir_bytes client, uint64_t number)
{
    struct weir_error e = { 0 };
    struct weir_id entry;
    enum weir_status status = weir_repo_change_members (s->repo, db, change, 1,
                                                        weir_actor_wall_ms (s->actor), &entry, &e);
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    s->commits++;
    Weir__EntryId answer = WEIR__ENTRY_ID__INIT;
    answer.has_id = true;
    answer.id = weir_field_id (&entry);
    store_answer_synced (s, &message->envelope, &answer.base, client, number);
    weir_actor_event (s->actor, change->right == WEIR_RIGHT_NONE ? "member_removed" : "member_set",
                      &change->device, db, WEIR_OK, "right=%s", weir_right_name (change->right));
}

/* A member by whole id, unique prefix or name, among the members ever; a whole id may be new. */
static bool
find_member (struct store *s, const struct weir_message *message, const struct weir_id *db,
             const char *text, struct weir_member_change *change)
{
    struct weir_error e = { 0 };
    size_t n = 0;
    size_t found = 0;
    const struct weir_member *members = weir_repo_members (s->repo, db, &n);
    for (size_t i = 0; i < n; i++) {
        bool named = members[i].name[0] != '\0' && strcmp (members[i].name, text) == 0;
        if (named || weir_id_has_prefix (&members[i].device, text)) {
            change->device = members[i].device;
            if (change->name[0] == '\0') {
                snprintf (change->name, sizeof change->name, "%s", members[i].name);
            }
            found++;
        }
    }
    if (found == 0 && weir_id_parse (&change->device, text) == WEIR_OK) {
        return true;
    }
    if (found != 1) {
        enum weir_status status =
            weir_error_set (&e, found == 0 ? WEIR_NOT_FOUND : WEIR_AMBIGUOUS,
                            found == 0 ? "weir db members DB lists them" : NULL, "%s is %s", text,
                            found == 0 ? "no member" : "more than one member");
        store_fail (s, &message->envelope, status, &e);
    }
    return found == 1;
}

void
store_db_grant (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbGrant *ask = (const Weir__DbGrant *) message->meta;
    struct weir_id db;
    char device[WEIR_NAME_BYTES_MAX + 1];
    struct weir_member_change change = { 0 };
    (void) actor;
    if (store_answered_before (s, &message->envelope, ask->has_client, ask->client, ask->number)
        || !store_writable (s, &message->envelope)
        || !store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    if (weir_field_get_text (device, WEIR_NAME_BYTES_MAX, ask->has_device, ask->device) != WEIR_OK
        || weir_field_get_text (change.name, WEIR_NAME_BYTES_MAX, ask->has_name, ask->name)
               != WEIR_OK
        || device[0] == '\0' || !ask->has_right || ask->right >= WEIR_RIGHT_COUNT) {
        store_fail (s, &message->envelope, WEIR_INVALID_ARGUMENT, NULL);
        return;
    }
    change.right = (enum weir_right) ask->right;
    if (find_member (s, message, &db, device, &change)) {
        change_member (s, message, &db, &change, weir_field (ask->client), ask->number);
    }
}

/* Leaving is removing oneself; the data stay until `db rm`. */
void
store_db_leave (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbName *ask = (const Weir__DbName *) message->meta;
    struct weir_id db;
    (void) actor;
    if (!store_writable (s, &message->envelope)
        || !store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    struct weir_member_change change = { .device = s->identity.device, .right = WEIR_RIGHT_NONE };
    size_t n = 0;
    const struct weir_member *members = weir_repo_members (s->repo, &db, &n);
    for (size_t i = 0; i < n; i++) {
        if (weir_id_equal (&members[i].device, &change.device)
            && members[i].right == WEIR_RIGHT_NONE) {
            Weir__EntryId answer = WEIR__ENTRY_ID__INIT; /* a resend, or removed already */
            answer.has_id = answer.has_unchanged = answer.unchanged = true;
            answer.id = weir_field_id (&members[i].entry);
            store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
            return;
        }
    }
    change_member (s, message, &db, &change, weir_bytes (NULL, 0), 0);
}

/* ---- verify ---- */

struct progress {
    struct store *s;
    const struct weir_envelope *request;
};

static void
verify_progress (void *context, uint64_t runs)
{
    struct progress *p = context;
    Weir__CheckReport part = WEIR__CHECK_REPORT__INIT;
    part.has_runs = true;
    part.runs = runs;
    weir_actor_answer (p->s->actor, p->request, &part.base, weir_bytes (NULL, 0), true);
}

/* Damaged content is missing from now on: it is asked of peers. */
static void
forget_damaged (struct store *s, const struct weir_id *only)
{
    struct weir_db_info info;
    for (size_t i = 0; weir_repo_database (s->repo, i, &info); i++) {
        struct weir_blob_check check = { 0 };
        if ((only == NULL || weir_id_equal (only, &info.id))
            && weir_repo_blob_check (s->repo, &info.id, true, &check) == WEIR_OK && check.bad > 0) {
            weir_actor_event (s->actor, "blob_damaged", NULL, &info.id, WEIR_CORRUPT,
                              "%llu pieces of blobs are damaged or lost; they are asked for again",
                              (unsigned long long) check.bad);
        }
    }
}

void
store_db_verify (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbName *ask = (const Weir__DbName *) message->meta;
    struct weir_id db;
    bool one = ask->has_db && ask->db.len > 0;
    (void) actor;
    if (one && !store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    struct weir_check_report report = { 0 };
    struct progress p = { .s = s, .request = &message->envelope };
    (void) weir_repo_flush (s->repo, weir_actor_wall_ms (s->actor));
    enum weir_status status =
        weir_repo_verify (s->repo, one ? &db : NULL, verify_progress, &p, &report);
    if (report.bad_pieces > 0) {
        forget_damaged (s, one ? &db : NULL);
    }
    Weir__CheckReport answer = WEIR__CHECK_REPORT__INIT;
    answer.has_databases = answer.has_runs = answer.has_entries = answer.has_bytes = true;
    answer.databases = report.databases;
    answer.runs = report.runs;
    answer.entries = report.entries;
    answer.bytes = report.bytes;
    answer.has_bad_runs = answer.has_missing = answer.has_wrong_indexes = true;
    answer.bad_runs = report.bad_runs;
    answer.missing = report.missing;
    answer.wrong_indexes = report.wrong_indexes;
    answer.has_pieces = answer.has_bad_pieces = true;
    answer.pieces = report.pieces;
    answer.bad_pieces = report.bad_pieces;
    answer.has_first_problem = true;
    answer.first_problem = weir_field_str (report.first_problem);
    answer.has_done = true;
    answer.done = true;
    if (status != WEIR_OK && status != WEIR_CORRUPT) {
        store_fail (s, &message->envelope, status, NULL);
    } else {
        store_answer (s, &message->envelope, &answer.base);
    }
}
