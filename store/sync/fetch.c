/* Owns what is asked of whom: sources, their windows, what they lack, and the pieces on their way.
 * The store's actor offers what is missing and says what came. */

#include "store/sync/fetch.h"

#include "store/base/limits.h"
#include "store/base/map.h"

#include <stdlib.h>

#define ASKED_OF_MAX 2u

struct lack {
    struct weir_id blob;
    struct weir_buf here;
};

struct source {
    struct source *next;
    uint64_t session;
    struct weir_id db;
    struct weir_id device;
    uint64_t window;
    uint64_t out_bytes;
    uint32_t out_pieces;
    uint64_t resting_ms; /* nothing is asked of it before */
    bool is_banned;      /* and why */
    struct lack lacks[WEIR_FETCH_BLOBS_MAX];
    size_t n_lacks;
    size_t next_lack;
};

struct asked_of {
    struct source *source;
    uint64_t at_ms;
};

struct asked {
    struct weir_piece piece;
    struct asked_of of[ASKED_OF_MAX];
    size_t n;
};

struct weir_fetch {
    struct source *sources;
    struct weir_map *asked; /* db, piece -> asked */
};

struct weir_fetch *
weir_fetch_new (void)
{
    struct weir_fetch *self = weir_alloc (sizeof *self);
    self->asked = weir_map_new ();
    return self;
}

static void
lacks_clear (struct source *s)
{
    for (size_t i = 0; i < s->n_lacks; i++) {
        weir_buf_fini (&s->lacks[i].here);
    }
    s->n_lacks = s->next_lack = 0;
}

void
weir_fetch_destroy (struct weir_fetch **self_p)
{
    struct weir_fetch *self = *self_p;
    if (self == NULL) {
        return;
    }
    while (self->sources != NULL) {
        struct source *s = self->sources;
        self->sources = s->next;
        lacks_clear (s);
        free (s);
    }
    weir_map_destroy (&self->asked, free);
    free (self);
    *self_p = NULL;
}

static struct source *
find (const struct weir_fetch *self, uint64_t session, const struct weir_id *db)
{
    struct source *s = self->sources;
    while (s != NULL && (s->session != session || !weir_id_equal (&s->db, db))) {
        s = s->next;
    }
    return s;
}

void
weir_fetch_open (struct weir_fetch *self, uint64_t session, const struct weir_id *db,
                 const struct weir_id *device)
{
    if (find (self, session, db) != NULL) {
        return;
    }
    struct source *s = weir_alloc (sizeof *s);
    s->session = session;
    s->db = *db;
    s->device = *device;
    s->window = WEIR_FETCH_BYTES_FIRST;
    for (const struct source *other = self->sources; other != NULL; other = other->next) {
        if (weir_id_equal (&other->device, device) && other->is_banned) {
            s->is_banned = true;
            s->resting_ms = other->resting_ms;
        }
    }
    s->next = self->sources;
    self->sources = s;
}

static void
asked_key (uint8_t key[2 * WEIR_ID_BYTES], const struct weir_id *db, const struct weir_id *piece)
{
    memcpy (key, db->b, WEIR_ID_BYTES);
    memcpy (key + WEIR_ID_BYTES, piece->b, WEIR_ID_BYTES);
}

/* What a piece takes of a window: how long a manifest is nobody knows yet. */
static uint64_t
weight (const struct weir_piece *piece)
{
    return piece->is_manifest ? WEIR_CHUNK_BYTES : piece->bytes;
}

/* No longer asked of the i-th. */
static void
give_back (struct asked *a, size_t i)
{
    struct source *s = a->of[i].source;
    s->out_bytes -= weight (&a->piece);
    s->out_pieces--;
    a->of[i] = a->of[--a->n];
}

/* Gives back what is asked of the source (NULL: of all) and `of` says; how many. */
struct filter {
    const struct source *source;
    const struct weir_id *blob;
    struct weir_bytes here;
    uint64_t before_ms;
};

static bool
is_here (struct weir_bytes here, uint32_t index)
{
    return index / 8 < here.len && (here.data[index / 8] & (0x80u >> (index % 8))) != 0;
}

static bool
matches (const struct filter *f, const struct asked *a, size_t i)
{
    if (f->source != NULL && a->of[i].source != f->source) {
        return false;
    }
    if (f->blob != NULL
        && (!weir_id_equal (&a->piece.blob, f->blob)
            || (a->piece.is_manifest ? f->here.len > 0 : is_here (f->here, a->piece.index)))) {
        return false;
    }
    return a->of[i].at_ms < f->before_ms;
}

static size_t
give_back_all (struct weir_fetch *self, const struct filter *f, uint64_t rest_until_ms)
{
    struct weir_bytes key;
    void *value = NULL;
    size_t count = 0;
    for (size_t at = 0; weir_map_next (self->asked, &at, &key, &value);) {
        struct asked *a = value;
        for (size_t i = a->n; i-- > 0;) {
            if (matches (f, a, i)) {
                if (a->of[i].source->resting_ms < rest_until_ms) {
                    a->of[i].source->resting_ms = rest_until_ms;
                    a->of[i].source->window = WEIR_CHUNK_BYTES;
                }
                give_back (a, i);
                count++;
            }
        }
        if (a->n == 0) {
            (void) weir_map_remove (self->asked, key);
            free (a);
        }
    }
    return count;
}

void
weir_fetch_close (struct weir_fetch *self, uint64_t session, const struct weir_id *db)
{
    struct source *s = find (self, session, db);
    if (s == NULL) {
        return;
    }
    struct filter f = { .source = s, .before_ms = UINT64_MAX };
    (void) give_back_all (self, &f, 0);
    for (struct source **at = &self->sources; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    lacks_clear (s);
    free (s);
}

/* ---- asking ---- */

static bool
has_room (const struct source *s, uint64_t now_ms)
{
    return now_ms >= s->resting_ms && s->out_bytes < s->window
           && s->out_pieces < WEIR_FETCH_PIECES_MAX;
}

static bool
may_have (const struct source *s, const struct weir_piece *piece)
{
    for (size_t i = 0; i < s->n_lacks; i++) {
        const struct lack *l = &s->lacks[i];
        if (weir_id_equal (&l->blob, &piece->blob)) {
            struct weir_bytes here = weir_buf_bytes (&l->here);
            return piece->is_manifest ? here.len > 0 : is_here (here, piece->index);
        }
    }
    return true;
}

/* With room, and the least to do for its window; not one that is asked already. */
static struct source *
choose (const struct weir_fetch *self, const struct weir_id *db, const struct weir_piece *piece,
        const struct asked *a, uint64_t now_ms, bool *any_room)
{
    struct source *best = NULL;
    for (struct source *s = self->sources; s != NULL; s = s->next) {
        if (!weir_id_equal (&s->db, db) || !has_room (s, now_ms)) {
            continue;
        }
        *any_room = true;
        bool is_asked = a != NULL && a->of[0].source == s;
        if (!is_asked && may_have (s, piece)
            && (best == NULL || s->out_bytes * best->window < best->out_bytes * s->window)) {
            best = s;
        }
    }
    return best;
}

enum weir_fetch_answer
weir_fetch_offer (struct weir_fetch *self, const struct weir_id *db, const struct weir_piece *piece,
                  uint64_t now_ms, uint64_t *session)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    asked_key (key, db, &piece->id);
    struct asked *a = weir_map_get (self->asked, weir_bytes (key, sizeof key));
    bool any_room = false;
    if (a != NULL && (a->n == ASKED_OF_MAX || now_ms < a->of[0].at_ms + WEIR_FETCH_HEDGE_MS)) {
        return WEIR_FETCH_WAIT;
    }
    struct source *s = choose (self, db, piece, a, now_ms, &any_room);
    if (s == NULL) {
        return any_room ? WEIR_FETCH_WAIT : WEIR_FETCH_FULL;
    }
    if (a == NULL) {
        a = weir_alloc (sizeof *a);
        a->piece = *piece;
        (void) weir_map_put (self->asked, weir_bytes (key, sizeof key), a);
    }
    a->of[a->n++] = (struct asked_of){ s, now_ms };
    s->out_bytes += weight (piece);
    s->out_pieces++;
    *session = s->session;
    return WEIR_FETCH_ASK;
}

/* ---- what they say ---- */

/* The window follows how long it took: it grows while answers are fast. */
static void
learn (struct source *s, uint64_t took_ms)
{
    if (took_ms <= WEIR_FETCH_FAST_MS && s->window < WEIR_FETCH_BYTES_MAX) {
        s->window += WEIR_CHUNK_BYTES;
    } else if (took_ms > WEIR_FETCH_SLOW_MS && s->window > WEIR_CHUNK_BYTES) {
        s->window -= WEIR_CHUNK_BYTES;
    }
}

bool
weir_fetch_came (struct weir_fetch *self, uint64_t session, const struct weir_id *db,
                 const struct weir_id *piece, uint64_t now_ms)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    asked_key (key, db, piece);
    struct asked *a = weir_map_remove (self->asked, weir_bytes (key, sizeof key));
    bool was_asked = false;
    if (a == NULL) {
        return false;
    }
    while (a->n > 0) {
        struct asked_of *of = &a->of[a->n - 1];
        if (of->source->session == session) {
            was_asked = true;
            learn (of->source, now_ms - of->at_ms);
        }
        give_back (a, a->n - 1);
    }
    free (a);
    return was_asked;
}

void
weir_fetch_lacks (struct weir_fetch *self, uint64_t session, const struct weir_id *db,
                  const struct weir_id *blob, struct weir_bytes here)
{
    struct source *s = find (self, session, db);
    if (s == NULL) {
        return;
    }
    struct lack *l = NULL;
    for (size_t i = 0; i < s->n_lacks && l == NULL; i++) {
        l = weir_id_equal (&s->lacks[i].blob, blob) ? &s->lacks[i] : NULL;
    }
    if (l == NULL && s->n_lacks < WEIR_FETCH_BLOBS_MAX) {
        l = &s->lacks[s->n_lacks++];
        memset (l, 0, sizeof *l);
    } else if (l == NULL) {
        l = &s->lacks[s->next_lack++ % WEIR_FETCH_BLOBS_MAX];
    }
    l->blob = *blob;
    weir_buf_clear (&l->here);
    if (here.len <= (WEIR_BLOB_CHUNKS_MAX + 7u) / 8u) {
        weir_buf_put_bytes (&l->here, here);
    }
    struct filter f = {
        .source = s, .blob = blob, .here = weir_buf_bytes (&l->here), .before_ms = UINT64_MAX
    };
    (void) give_back_all (self, &f, 0);
}

void
weir_fetch_has_more (struct weir_fetch *self, uint64_t session, const struct weir_id *db)
{
    struct source *s = find (self, session, db);
    if (s != NULL) {
        lacks_clear (s);
    }
}

bool
weir_fetch_is_wrong (struct weir_fetch *self, uint64_t session, uint64_t now_ms,
                     struct weir_id *device)
{
    const struct source *wrong = self->sources;
    while (wrong != NULL && wrong->session != session) {
        wrong = wrong->next;
    }
    if (wrong == NULL) {
        return false;
    }
    *device = wrong->device;
    for (struct source *s = self->sources; s != NULL; s = s->next) {
        if (weir_id_equal (&s->device, device)) {
            struct filter f = { .source = s, .before_ms = UINT64_MAX };
            s->is_banned = true;
            (void) give_back_all (self, &f, 0);
            s->resting_ms = now_ms + WEIR_FETCH_BAN_MS;
        }
    }
    return true;
}

size_t
weir_fetch_late (struct weir_fetch *self, uint64_t now_ms)
{
    if (now_ms < WEIR_FETCH_LATE_MS || weir_map_count (self->asked) == 0) {
        return 0;
    }
    struct filter f = { .before_ms = now_ms - WEIR_FETCH_LATE_MS };
    return give_back_all (self, &f, now_ms + WEIR_FETCH_LATE_MS);
}

size_t
weir_fetch_asked (const struct weir_fetch *self)
{
    return weir_map_count (self->asked);
}

size_t
weir_fetch_asked_of (const struct weir_fetch *self, const struct weir_id *db)
{
    size_t count = 0;
    for (const struct source *s = self->sources; s != NULL; s = s->next) {
        count += weir_id_equal (&s->db, db) ? s->out_pieces : 0;
    }
    return count;
}

void
weir_fetch_sources (const struct weir_fetch *self, const struct weir_id *db, uint64_t now_ms,
                    struct weir_fetch_sources *out)
{
    memset (out, 0, sizeof *out);
    for (const struct source *s = self->sources; s != NULL; s = s->next) {
        if (!weir_id_equal (&s->db, db)) {
            continue;
        }
        bool banned = s->is_banned && now_ms < s->resting_ms;
        out->count++;
        out->banned += banned;
        out->lacking += s->n_lacks > 0;
        if (!banned && s->n_lacks == 0 && out->n_devices < 8) {
            out->devices[out->n_devices++] = s->device;
        }
    }
}
