/* The content of blobs between nodes. Peers says on which sessions a database with blobs is
 * shared; what is missing is asked for there, over all that have it, and what is asked for here
 * is given: only what some entry of that database names, to sessions on which it is shared.
 * Pieces go straight between this actor and the transports. Peers is told how much is missing:
 * more of it at once, less of it when that is on disk. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/repo/blob.h"
#include "store/sync/fetch.h"

#define PIECES_PER_TURN 16u
#define QUEUE_PIECES_MAX (4u * WEIR_FETCH_PIECES_MAX)
#define TICK_MS 1000u
#define MORE_MS 100u
#define ASKS_MAX 32u /* messages in one round */
#define ROTATE_MS 5000u

#define NONES_MAX 64u /* beyond that they find out by waiting */

struct owed {
    struct weir_id id;
    struct weir_id blob;
    bool is_manifest;
};

/* A session on which a database is shared. */
struct blob_peer {
    struct blob_peer *next;
    uint64_t session;
    uint64_t link;
    uint64_t tag;
    struct weir_mailbox_id mailbox;
    struct weir_id device;
    struct weir_id db;
    struct owed *owed; /* asked of us, in order */
    size_t n_owed;
    size_t cap_owed;
    size_t given;         /* of these */
    struct weir_id *none; /* blobs of which something was asked that is not here */
    size_t n_none;
    size_t cap_none;
    bool was_refused; /* it was said; they wait for MORE */
    bool has_more;    /* since then */
    uint64_t told_ms;
};

struct blob_db {
    struct blob_db *next;
    struct weir_id id;
    struct weir_blob_totals now;
    struct weir_blob_totals told;
    bool is_told;
    bool is_due;     /* to be told once `batch` is synced */
    bool is_flushed; /* `batch` is known */
    uint64_t batch;
    struct weir_blob_totals due;
    bool look; /* something may be asked for */
    uint64_t rotate_ms;
};

struct store_fetch {
    struct weir_fetch *fetch;
    struct blob_peer *peers;
    struct blob_db *dbs;
    uint64_t timer;
    uint64_t bad_pieces;
};

struct store_fetch *
store_fetch_new (void)
{
    struct store_fetch *self = weir_alloc (sizeof *self);
    self->fetch = weir_fetch_new ();
    return self;
}

static void
peer_free (struct blob_peer *p)
{
    free (p->owed);
    free (p->none);
    free (p);
}

void
store_fetch_destroy (struct store_fetch **self_p)
{
    struct store_fetch *self = *self_p;
    if (self == NULL) {
        return;
    }
    while (self->peers != NULL) {
        struct blob_peer *p = self->peers;
        self->peers = p->next;
        peer_free (p);
    }
    while (self->dbs != NULL) {
        struct blob_db *d = self->dbs;
        self->dbs = d->next;
        free (d);
    }
    weir_fetch_destroy (&self->fetch);
    free (self);
    *self_p = NULL;
}

static void
turn (void *state, struct weir_actor *actor, void *context)
{
    struct store *s = state;
    struct blob_db *d;
    (void) context;
    s->fetch->timer = 0;
    (void) weir_fetch_late (s->fetch->fetch, weir_actor_now_ms (actor));
    for (d = s->fetch->dbs; d != NULL; d = d->next) {
        d->look = d->now.missing_blobs > 0;
    }
    /* The turn's end does the rest. */
}

static void
wake (struct store *s, uint64_t in_ms)
{
    if (s->fetch->timer == 0) {
        s->fetch->timer =
            weir_actor_timer (s->actor, weir_actor_now_ms (s->actor) + in_ms, turn, NULL);
    }
}

static struct blob_db *
db_need (struct store *s, const struct weir_id *id)
{
    struct blob_db *d = s->fetch->dbs;
    while (d != NULL && !weir_id_equal (&d->id, id)) {
        d = d->next;
    }
    if (d == NULL) {
        d = weir_alloc (sizeof *d);
        d->id = *id;
        d->next = s->fetch->dbs;
        s->fetch->dbs = d;
    }
    return d;
}

/* ---- sessions, as peers says ---- */

static void
drop (struct store *s, struct blob_peer *p)
{
    for (struct blob_peer **at = &s->fetch->peers; *at != NULL; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    weir_fetch_close (s->fetch->fetch, p->session, &p->db);
    db_need (s, &p->db)->look = true;
    peer_free (p);
}

void
store_fetch_drop_all (struct store *s, const struct weir_mailbox_id *mailbox)
{
    struct blob_peer *next;
    for (struct blob_peer *p = s->fetch->peers; p != NULL; p = next) {
        next = p->next;
        if (mailbox == NULL || weir_mailbox_equal (&p->mailbox, mailbox)) {
            drop (s, p);
        }
    }
}

/* It begins anew, and asks nothing: it is told all. */
void
store_fetch_peers_up (struct store *s)
{
    store_fetch_drop_all (s, NULL);
    for (struct blob_db *d = s->fetch->dbs; d != NULL; d = d->next) {
        d->is_told = false;
    }
}

void
store_blob_peer (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__BlobPeer *m = (const Weir__BlobPeer *) message->meta;
    struct blob_peer *p = s->fetch->peers;
    struct weir_id db;
    struct weir_id device;
    (void) actor;
    if (weir_field_get_id (&db, m->has_db, m->db) != WEIR_OK
        || weir_field_get_id (&device, m->has_device, m->device) != WEIR_OK || !m->has_mailbox
        || m->mailbox.len != sizeof p->mailbox.b) {
        return;
    }
    while (p != NULL && (p->session != m->session || !weir_id_equal (&p->db, &db))) {
        p = p->next;
    }
    if (p != NULL) {
        drop (s, p);
    }
    if (m->off) {
        return;
    }
    p = weir_alloc (sizeof *p);
    p->session = m->session;
    p->link = m->link;
    p->tag = m->tag;
    memcpy (p->mailbox.b, m->mailbox.data, sizeof p->mailbox.b);
    p->device = device;
    p->db = db;
    p->next = s->fetch->peers;
    s->fetch->peers = p;
    weir_fetch_open (s->fetch->fetch, p->session, &db, &device);
    db_need (s, &db)->look = true;
}

/* ---- saying ---- */

static bool
say (struct store *s, const struct blob_peer *p, uint16_t kind, const ProtobufCMessage *meta)
{
    Weir__LinkMessage m = WEIR__LINK_MESSAGE__INIT;
    struct weir_buf packed = { 0 };
    m.has_link = m.has_kind = true;
    m.link = p->link;
    m.kind = kind;
    weir_meta_put (&packed, meta);
    enum weir_status status =
        weir_actor_send_about (s->actor, WEIR_KIND_BLOB_SAY, &p->mailbox, &p->device, &p->db, 0,
                               &m.base, weir_buf_bytes (&packed));
    weir_buf_fini (&packed);
    return status == WEIR_OK;
}

/* ---- asking ---- */

/* What one session is asked for of one blob. */
struct ask {
    uint64_t session;
    struct weir_id blob;
    bool has_manifest;
    uint32_t index[WEIR_FETCH_PIECES_MAX];
    size_t n;
};

struct round {
    struct store *s;
    const struct weir_id *db;
    struct ask *asks;
    size_t n_asks;
    bool is_full; /* nobody has room */
    uint64_t now_ms;
};

static bool
offer (void *context, const struct weir_piece *piece)
{
    struct round *r = context;
    uint64_t session = 0;
    enum weir_fetch_answer answer =
        weir_fetch_offer (r->s->fetch->fetch, r->db, piece, r->now_ms, &session);
    if (answer != WEIR_FETCH_ASK) {
        r->is_full = answer == WEIR_FETCH_FULL;
        return !r->is_full;
    }
    struct ask *a = NULL;
    for (size_t i = 0; i < r->n_asks && a == NULL; i++) {
        bool same = r->asks[i].session == session && weir_id_equal (&r->asks[i].blob, &piece->blob)
                    && r->asks[i].n < WEIR_FETCH_PIECES_MAX;
        a = same ? &r->asks[i] : NULL;
    }
    if (a == NULL) {
        a = &r->asks[r->n_asks++];
        a->session = session;
        a->blob = piece->blob;
        a->has_manifest = false;
        a->n = 0;
    }
    if (piece->is_manifest) {
        a->has_manifest = true;
    } else {
        a->index[a->n++] = piece->index;
    }
    return r->n_asks < ASKS_MAX;
}

static void
say_ask (struct store *s, const struct weir_id *db, struct ask *a)
{
    Weir__BlobWant m = WEIR__BLOB_WANT__INIT;
    for (const struct blob_peer *p = s->fetch->peers; p != NULL; p = p->next) {
        if (p->session == a->session && weir_id_equal (&p->db, db)) {
            m.has_tag = m.has_blob = true;
            m.tag = p->tag;
            m.blob = weir_field_id (&a->blob);
            m.index = a->index;
            m.n_index = a->n;
            (void) say (s, p, WEIR_KIND_W_BLOB_WANT,
                        &m.base); /* else it is late, and asked again */
            return;
        }
    }
}

/* Nobody has what is looked at now, and there is more: what others may have must not wait for who
 * never comes back. */
static void
look_further (struct store *s, struct blob_db *d, const struct round *r)
{
    if (r->n_asks == 0 && !r->is_full && d->now.missing_blobs > WEIR_BLOBS_ACTIVE_MAX
        && weir_fetch_asked_of (s->fetch->fetch, &d->id) == 0 && r->now_ms >= d->rotate_ms) {
        weir_repo_blobs_rotate (s->repo, &d->id);
        d->rotate_ms = r->now_ms + ROTATE_MS;
    }
}

static void
ask_for (struct store *s, struct blob_db *d)
{
    struct round r = { .s = s, .db = &d->id, .now_ms = weir_actor_now_ms (s->actor) };
    d->look = false;
    if (d->now.missing_blobs == 0) {
        return;
    }
    if (!store_writable (s, NULL)) {
        wake (s, TICK_MS); /* it goes on when there is room */
        return;
    }
    r.asks = weir_alloc ((ASKS_MAX + 1) * sizeof *r.asks);
    if (weir_repo_blob_wants (s->repo, &d->id, offer, &r) == WEIR_OK) {
        for (size_t i = 0; i < r.n_asks; i++) {
            say_ask (s, &d->id, &r.asks[i]);
        }
        look_further (s, d, &r);
    }
    d->look = r.n_asks == ASKS_MAX;
    free (r.asks);
    wake (s, TICK_MS);
}

/* ---- what is told to peers ---- */

static void
tell (struct store *s, struct blob_db *d, const struct weir_blob_totals *t)
{
    Weir__BlobState m = WEIR__BLOB_STATE__INIT;
    m.has_db = m.has_blobs = m.has_bytes = m.has_missing_blobs = m.has_missing_bytes = true;
    m.db = weir_field_id (&d->id);
    m.blobs = t->blobs;
    m.bytes = t->bytes;
    m.missing_blobs = t->missing_blobs;
    m.missing_bytes = t->missing_bytes;
    if (s->peers_up
        && weir_actor_send_about (s->actor, WEIR_KIND_BLOB_STATE, NULL, NULL, &d->id, 0, &m.base,
                                  weir_bytes (NULL, 0))
               == WEIR_OK) {
        d->told = *t;
        d->is_told = true;
    }
}

/* More missing than they know, or a database they do not know of: at once, so before they hear of
 * the entries. Less: when it is on disk. */
static void
tell_changes (struct store *s, struct blob_db *d)
{
    const struct weir_blob_totals *t = &d->now;
    if (!d->is_told || t->missing_blobs > d->told.missing_blobs
        || (t->missing_blobs > 0 && d->told.missing_blobs == 0)) {
        tell (s, d, t);
    } else if (memcmp (t, &d->told, sizeof *t) != 0 && !d->is_due) {
        d->is_due = true;
        d->is_flushed = false;
        d->due = *t;
    }
}

void
store_fetch_flushed (struct store *s, uint64_t batch)
{
    for (struct blob_db *d = s->fetch->dbs; d != NULL; d = d->next) {
        if (d->is_due && !d->is_flushed) {
            d->is_flushed = true;
            d->batch = batch;
        }
    }
}

void
store_fetch_synced (struct store *s, uint64_t synced)
{
    for (struct blob_db *d = s->fetch->dbs; d != NULL; d = d->next) {
        if (d->is_due && d->is_flushed && d->batch <= synced) {
            d->is_due = false;
            if (d->now.missing_blobs <= d->due.missing_blobs) {
                tell (s, d, &d->due);
            }
            tell_changes (s, d);
        }
    }
}

/* ---- giving ---- */

static void
owe_none (struct blob_peer *p, const struct weir_id *blob)
{
    for (size_t i = 0; i < p->n_none; i++) {
        if (weir_id_equal (&p->none[i], blob)) {
            return;
        }
    }
    if (p->n_none < NONES_MAX) {
        weir_grow (&p->none, &p->cap_none, p->n_none + 1, sizeof *p->none);
        p->none[p->n_none++] = *blob;
    }
}

static bool
give (struct store *s, struct blob_peer *p, const struct owed *o, struct weir_buf *bytes)
{
    Weir__BlobPiece m = WEIR__BLOB_PIECE__INIT;
    weir_buf_clear (bytes);
    enum weir_status status = weir_repo_piece_read (s->repo, &p->db, &o->id, o->is_manifest, bytes);
    if (status != WEIR_OK) {
        owe_none (p, &o->blob);
        if (status == WEIR_CORRUPT) {
            weir_actor_event (s->actor, "blob_damaged", NULL, &p->db, status,
                              "a piece of a blob did not have its hash; it is asked for again");
        }
        return true;
    }
    m.has_link = m.has_tag = m.has_id = m.has_manifest = true;
    m.link = p->link;
    m.tag = p->tag;
    m.id = weir_field_id (&o->id);
    m.manifest = o->is_manifest;
    return weir_actor_send_about (s->actor, WEIR_KIND_BLOB_PIECE_OUT, &p->mailbox, &p->device,
                                  &p->db, 0, &m.base, weir_buf_bytes (bytes))
           == WEIR_OK;
}

/* The last of them; false: it could not be said now. */
static bool
say_none (struct store *s, struct blob_peer *p)
{
    const struct weir_id *blob = &p->none[p->n_none - 1];
    Weir__BlobNone m = WEIR__BLOB_NONE__INIT;
    struct weir_buf here = { 0 };
    weir_ignore (weir_repo_blob_here (s->repo, &p->db, blob, &here));
    m.has_tag = m.has_blob = m.has_here = true;
    m.tag = p->tag;
    m.blob = weir_field_id (blob);
    m.here = weir_field_of (weir_buf_bytes (&here));
    bool is_said = say (s, p, WEIR_KIND_W_BLOB_NONE, &m.base);
    if (is_said) {
        p->n_none--;
        p->was_refused = true;
        p->told_ms = weir_actor_now_ms (s->actor);
    }
    weir_buf_fini (&here);
    return is_said;
}

static void
say_more (struct store *s, struct blob_peer *p)
{
    Weir__BlobMore m = WEIR__BLOB_MORE__INIT;
    m.has_tag = true;
    m.tag = p->tag;
    if (say (s, p, WEIR_KIND_W_BLOB_MORE, &m.base)) {
        p->was_refused = p->has_more = false;
    }
}

/* A bounded number of pieces; true when there is more to give at once. */
static bool
serve (struct store *s, struct blob_peer *p, struct weir_buf *bytes)
{
    uint64_t now = weir_actor_now_ms (s->actor);
    bool stuck = false;
    for (size_t n = 0; n < PIECES_PER_TURN && p->given < p->n_owed && !stuck; n++) {
        stuck = !give (s, p, &p->owed[p->given], bytes);
        p->given += !stuck;
    }
    if (p->given == p->n_owed) {
        p->given = p->n_owed = 0;
    }
    while (p->n_none > 0 && say_none (s, p)) {
    }
    if (p->was_refused && p->has_more && now >= p->told_ms + MORE_MS) {
        say_more (s, p);
    }
    return p->n_owed > 0 || p->n_none > 0 || (p->was_refused && p->has_more);
}

void
store_fetch_turn (struct store *s)
{
    struct weir_buf bytes = { 0 };
    struct weir_id id;
    bool more = false;
    (void) weir_repo_blobs_look (s->repo, weir_actor_wall_ms (s->actor));
    while (weir_repo_blob_changed (s->repo, &id)) {
        struct blob_db *d = db_need (s, &id);
        if (weir_repo_blob_totals (s->repo, &id, &d->now) != WEIR_OK) {
            memset (&d->now, 0, sizeof d->now);
        }
        d->look = true;
        tell_changes (s, d);
        for (struct blob_peer *p = s->fetch->peers; p != NULL; p = p->next) {
            p->has_more = p->has_more || weir_id_equal (&p->db, &id);
        }
    }
    for (struct blob_db *d = s->fetch->dbs; d != NULL; d = d->next) {
        if (!d->is_told) {
            tell (s, d, &d->now);
        }
        if (d->look) {
            ask_for (s, d);
        }
    }
    for (struct blob_peer *p = s->fetch->peers; p != NULL; p = p->next) {
        more = serve (s, p, &bytes) || more;
    }
    weir_buf_fini (&bytes);
    if (more) {
        weir_actor_timer_cancel (s->actor, s->fetch->timer);
        s->fetch->timer = 0;
        wake (s, 1);
    }
}

/* ---- hearing ---- */

static struct blob_peer *
peer_on_link (struct store *s, const struct weir_mailbox_id *mailbox, uint64_t link, uint64_t tag)
{
    struct blob_peer *p = s->fetch->peers;
    while (p != NULL
           && (p->link != link || p->tag != tag || !weir_mailbox_equal (&p->mailbox, mailbox))) {
        p = p->next;
    }
    return p;
}

static void
owe (struct blob_peer *p, const struct weir_id *id, const struct weir_id *blob, bool is_manifest)
{
    if (p->n_owed < QUEUE_PIECES_MAX) { /* beyond that they ask for more than they may */
        weir_grow (&p->owed, &p->cap_owed, p->n_owed + 1, sizeof *p->owed);
        p->owed[p->n_owed++] = (struct owed){ *id, *blob, is_manifest };
    }
}

static void
heard_want (struct store *s, const struct weir_mailbox_id *from, uint64_t link,
            const Weir__BlobWant *m)
{
    struct blob_peer *p = peer_on_link (s, from, link, m->tag);
    struct weir_id blob;
    if (p == NULL || weir_field_get_id (&blob, m->has_blob, m->blob) != WEIR_OK
        || m->n_index > WEIR_FETCH_PIECES_MAX) {
        return;
    }
    if (m->n_index == 0) {
        owe (p, &blob, &blob, true);
    }
    for (size_t i = 0; i < m->n_index; i++) {
        struct weir_id chunk;
        if (weir_repo_blob_chunk (s->repo, &p->db, &blob, m->index[i], &chunk) == WEIR_OK) {
            owe (p, &chunk, &blob, false);
        } else {
            owe_none (p, &blob);
        }
    }
}

static void
heard_none (struct store *s, const struct weir_mailbox_id *from, uint64_t link,
            const Weir__BlobNone *m)
{
    struct blob_peer *p = peer_on_link (s, from, link, m->tag);
    struct weir_id blob;
    if (p != NULL && weir_field_get_id (&blob, m->has_blob, m->blob) == WEIR_OK) {
        struct weir_bytes here =
            m->has_here ? weir_bytes (m->here.data, m->here.len) : weir_bytes (NULL, 0);
        weir_fetch_lacks (s->fetch->fetch, p->session, &p->db, &blob, here);
        db_need (s, &p->db)->look = true;
    }
}

void
store_blob_hear (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__LinkMessage *m = (const Weir__LinkMessage *) message->meta;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    const struct weir_kind *kind = weir_kind ((uint16_t) m->kind);
    const struct weir_mailbox_id *from = &message->envelope.from;
    ProtobufCMessage *word = NULL;
    (void) actor;
    if (kind == NULL || weir_meta_get (&word, arena, kind, false, message->body) != WEIR_OK) {
        s->frames_dropped++;
    } else if (m->kind == WEIR_KIND_W_BLOB_WANT) {
        heard_want (s, from, m->link, (const Weir__BlobWant *) word);
    } else if (m->kind == WEIR_KIND_W_BLOB_NONE) {
        heard_none (s, from, m->link, (const Weir__BlobNone *) word);
    } else if (m->kind == WEIR_KIND_W_BLOB_MORE) {
        const Weir__BlobMore *more = (const Weir__BlobMore *) word;
        struct blob_peer *p = peer_on_link (s, from, m->link, more->tag);
        if (p != NULL) {
            weir_fetch_has_more (s->fetch->fetch, p->session, &p->db);
            db_need (s, &p->db)->look = true;
        }
    }
    weir_arena_destroy (&arena);
}

void
store_blob_piece_in (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__BlobPiece *m = (const Weir__BlobPiece *) message->meta;
    struct blob_peer *p = peer_on_link (s, &message->envelope.from, m->link, m->tag);
    struct weir_id id;
    struct weir_id device;
    uint64_t now = weir_actor_now_ms (actor);
    if (p == NULL || weir_field_get_id (&id, m->has_id, m->id) != WEIR_OK
        || !store_writable (s, NULL)) {
        s->frames_dropped++;
        return;
    }
    enum weir_status status =
        weir_repo_piece_take (s->repo, &p->db, &id, m->manifest, message->body);
    store_disk_uses (s, status == WEIR_OK ? message->body.len : 0);
    db_need (s, &p->db)->look = true;
    if (status == WEIR_BAD_PAYLOAD) {
        s->fetch->bad_pieces++;
        if (weir_fetch_is_wrong (s->fetch->fetch, p->session, now, &device)) {
            weir_actor_event (actor, "blob_peer_wrong", &device, &p->db, status,
                              "it sent other bytes than those that were asked for; it is not asked "
                              "again for %u minutes",
                              WEIR_FETCH_BAN_MS / 60000u);
        }
        return;
    }
    (void) weir_fetch_came (s->fetch->fetch, p->session, &p->db, &id, now);
}

void
store_fetch_explain (struct store *s, const struct weir_id *db, struct weir_error *e)
{
    struct weir_fetch_sources sources;
    weir_fetch_sources (s->fetch->fetch, db, weir_actor_now_ms (s->actor), &sources);
    if (sources.count == 0) {
        snprintf (e->hint, sizeof e->hint, "no member that shares it is connected");
    } else if (sources.n_devices == 0) {
        snprintf (e->hint, sizeof e->hint, "%zu connected, and none has all of it: --timeout waits",
                  sources.count);
    } else {
        int len = snprintf (e->hint, sizeof e->hint, "it comes from");
        for (size_t i = 0; i < sources.n_devices && i < 3 && len < (int) sizeof e->hint; i++) {
            len += snprintf (e->hint + len, sizeof e->hint - (size_t) len, " %.8s",
                             weir_id_text (&sources.devices[i]).s);
        }
        if (len < (int) sizeof e->hint) {
            snprintf (e->hint + len, sizeof e->hint - (size_t) len, ": --timeout waits for it");
        }
    }
}
