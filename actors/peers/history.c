/* What was synced, when, how much and how it ended: while entries move between us and a peer an
 * episode is open; quiet, failure, the end of the session or a minute close it, and it becomes one
 * row of `_node`, in a ring of WEIR_HISTORY_ROWS_MAX rows of which those older than
 * WEIR_HISTORY_DAYS are deleted. And the figures of each peer (figures.h). */

#include "actors/peers/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROW_VERSION 2u
#define LOOK_MS 1000u
#define QUIET_MS 2000u
#define LONGEST_MS 60000u
#define TRIM_FIRST_MS 60000u
#define TRIM_MS (24u * 3600u * 1000u)
#define PREFIX "history/"
#define NEXT_KEY PREFIX "next"
#define KEY_MAX 32

struct episode {
    struct history_row row;
    uint64_t began_ms, moved_ms; /* monotonic */
};

struct history {
    struct weir_map *episodes; /* device and database -> episode */
    struct weir_map *figures;  /* device -> figures */
    uint64_t timer;
    uint64_t trim_timer;
};

uint64_t
history_now_us (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_nsec / 1000u;
}

/* ---- rows ---- */

static void
put_row (const struct history_row *row, struct weir_buf *out)
{
    weir_buf_put_u8 (out, ROW_VERSION);
    weir_buf_put_u64 (out, row->number);
    weir_buf_put_u64 (out, row->started_ms);
    weir_buf_put_u64 (out, row->ms);
    weir_buf_put_bytes (out, weir_id_bytes (&row->device));
    weir_buf_put_bytes (out, weir_id_bytes (&row->db));
    weir_buf_put_varint (out, row->out);
    weir_buf_put_varint (out, row->in);
    weir_buf_put_varint (out, row->out_bytes);
    weir_buf_put_varint (out, row->in_bytes);
    weir_buf_put_varint (out, row->again);
    weir_buf_put_u16 (out, (uint16_t) row->status);
}

enum weir_status
history_row_get (struct history_row *row, struct weir_bytes bytes)
{
    struct weir_reader r = weir_reader (bytes);
    bool good = weir_read_u8 (&r) == ROW_VERSION;
    memset (row, 0, sizeof *row);
    row->number = weir_read_u64 (&r);
    row->started_ms = weir_read_u64 (&r);
    row->ms = weir_read_u64 (&r);
    good =
        weir_id_from_bytes (&row->device, weir_read_bytes (&r, WEIR_ID_BYTES)) == WEIR_OK && good;
    good = weir_id_from_bytes (&row->db, weir_read_bytes (&r, WEIR_ID_BYTES)) == WEIR_OK && good;
    row->out = weir_read_varint (&r);
    row->in = weir_read_varint (&r);
    row->out_bytes = weir_read_varint (&r);
    row->in_bytes = weir_read_varint (&r);
    row->again = weir_read_varint (&r);
    row->status = weir_status_from_number (weir_read_u16 (&r));
    return good && weir_reader_done (&r) ? WEIR_OK : WEIR_CORRUPT;
}

static void
write_row (struct peers *p, struct history_row *row)
{
    char key[KEY_MAX];
    struct weir_buf value = { 0 };
    struct weir_buf next = { 0 };
    row->number = p->history_next++;
    snprintf (key, sizeof key, PREFIX "%05" PRIu64, row->number % WEIR_HISTORY_ROWS_MAX);
    put_row (row, &value);
    weir_buf_put_u64 (&next, p->history_next);
    const char *keys[2] = { key, NEXT_KEY };
    struct weir_bytes values[2] = { weir_buf_bytes (&value), weir_buf_bytes (&next) };
    rows_put (p, keys, values, 2);
    weir_buf_fini (&value);
    weir_buf_fini (&next);
}

/* ---- episodes ---- */

static struct weir_bytes
pair_key (uint8_t key[2 * WEIR_ID_BYTES], const struct weir_id *device, const struct weir_id *db)
{
    memcpy (key, device->b, WEIR_ID_BYTES);
    memcpy (key + WEIR_ID_BYTES, db->b, WEIR_ID_BYTES);
    return weir_bytes (key, 2 * WEIR_ID_BYTES);
}

static struct episode *
find_episode (struct peers *p, const struct relation *r)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    return weir_map_get (p->history->episodes, pair_key (key, &r->device->id, &r->db));
}

static bool
is_in_step (const struct peers *p, const struct episode *e)
{
    struct weir_sync_state s;
    return weir_sync_find (p->sync, &e->row.device, &e->row.db, &s) && s.phase == WEIR_SYNC_EQUAL;
}

static void
close_episode (struct peers *p, struct episode *e, enum weir_status status)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    e->row.ms = e->moved_ms - e->began_ms;
    e->row.status = status;
    (void) weir_map_remove (p->history->episodes, pair_key (key, &e->row.device, &e->row.db));
    write_row (p, &e->row);
    free (e);
}

static void look (void *state, struct weir_actor *actor, void *context);

static void
look_soon (struct peers *p)
{
    struct history *h = p->history;
    if (h->timer == 0 && weir_map_count (h->episodes) > 0) {
        h->timer = weir_actor_timer (p->actor, weir_actor_now_ms (p->actor) + LOOK_MS, look, NULL);
    }
}

static void
look (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    uint64_t now = weir_actor_now_ms (actor);
    struct weir_bytes key;
    void *value = NULL;
    (void) context;
    p->history->timer = 0;
    for (size_t i = 0; weir_map_next (p->history->episodes, &i, &key, &value);) {
        struct episode *e = value;
        bool in_step = now - e->moved_ms >= QUIET_MS && is_in_step (p, e);
        if (in_step || now - e->began_ms >= LONGEST_MS) {
            close_episode (p, e, in_step ? WEIR_OK : WEIR_PENDING);
        }
    }
    look_soon (p);
}

static struct episode *
need_episode (struct peers *p, const struct relation *r)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    uint64_t now = weir_actor_now_ms (p->actor);
    struct episode *e = find_episode (p, r);
    if (e == NULL) {
        e = weir_alloc (sizeof *e);
        e->row.device = r->device->id;
        e->row.db = r->db;
        e->row.started_ms = weir_actor_wall_ms (p->actor);
        e->began_ms = now;
        (void) weir_map_put (p->history->episodes, pair_key (key, &r->device->id, &r->db), e);
        look_soon (p);
    }
    e->moved_ms = now;
    return e;
}

uint64_t
history_out_now (struct peers *p, const struct relation *r)
{
    const struct episode *e = find_episode (p, r);
    return e != NULL ? e->row.out : 0;
}

void
history_failed (struct peers *p, const struct relation *r, enum weir_status status)
{
    struct episode *e = find_episode (p, r);
    if (e == NULL && r->device->link != NULL && r->device->link->in_sync) {
        e = need_episode (p, r); /* an exchange that failed before anything moved */
    }
    if (e != NULL) {
        close_episode (p, e, status);
    }
}

void
history_session_down (struct peers *p, struct link *l)
{
    struct figures *f = history_figures (p, &l->device->id, false);
    for (struct relation *r = l->device->relations; r != NULL; r = r->next) {
        struct episode *e = find_episode (p, r);
        if (e != NULL) {
            close_episode (p, e, is_in_step (p, e) ? WEIR_OK : WEIR_INTERRUPTED);
        }
    }
    if (f != NULL) {
        figures_session_down (f, l->session.ours.epoch);
    }
}

/* ---- figures ---- */

struct figures *
history_figures (struct peers *p, const struct weir_id *device, bool make)
{
    struct figures *f = weir_map_get (p->history->figures, weir_id_bytes (device));
    if (f == NULL && make) {
        f = weir_alloc (sizeof *f);
        figures_init (f, history_now_us ());
        (void) weir_map_put (p->history->figures, weir_id_bytes (device), f);
    }
    return f;
}

void
history_sent (struct peers *p, const struct relation *r, uint64_t session, uint64_t transfer,
              const struct weir_ranges *ranges)
{
    uint64_t entries = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        entries += ranges->items[i].to_seq - ranges->items[i].from_seq;
    }
    figures_sent (history_figures (p, &r->device->id, true), session, transfer, entries,
                  history_now_us ());
}

void
history_acked (struct peers *p, const struct relation *r, const Weir__TransferAcked *m)
{
    struct figures *f = history_figures (p, &r->device->id, true);
    uint64_t now = history_now_us ();
    figures_acked (f, m->session, m->transfer, m->entries, m->idle, now);
    figures_count (f, FIGURES_OUT_BYTES, m->bytes, now);
    if (m->entries > 0 || m->bytes > 0) {
        struct episode *e = need_episode (p, r);
        e->row.out += m->entries;
        e->row.out_bytes += m->bytes;
    }
}

void
history_arrived (struct peers *p, const struct relation *r, const Weir__TransferArrived *m)
{
    struct figures *f = history_figures (p, &r->device->id, true);
    uint64_t now = history_now_us ();
    figures_count (f, FIGURES_IN, m->entries, now);
    figures_count (f, FIGURES_IN_BYTES, m->bytes, now);
    f->again += m->again;
    if (m->entries > 0 || m->again > 0) {
        struct episode *e = need_episode (p, r);
        e->row.in += m->entries;
        e->row.in_bytes += m->bytes;
        e->row.again += m->again;
    }
}

Weir__Figures *
history_figures_make (struct peers *p, const struct weir_id *device, struct weir_arena *arena)
{
    struct figures *f = history_figures (p, device, false);
    Weir__Figures *m = f != NULL ? weir_arena_alloc (arena, sizeof *m) : NULL;
    uint64_t now = history_now_us ();
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__Figures) WEIR__FIGURES__INIT;
    m->has_device = m->has_out_per_s = m->has_in_per_s = m->has_out_bytes_per_s = true;
    m->has_in_bytes_per_s = m->has_out_entries = m->has_in_entries = m->has_out_bytes = true;
    m->has_in_bytes = m->has_again = m->has_acks = m->has_ack_p50_us = m->has_ack_p99_us = true;
    m->device = wire_copy_id (arena, device);
    m->out_per_s = figures_per_s (f, FIGURES_OUT, now);
    m->in_per_s = figures_per_s (f, FIGURES_IN, now);
    m->out_bytes_per_s = figures_per_s (f, FIGURES_OUT_BYTES, now);
    m->in_bytes_per_s = figures_per_s (f, FIGURES_IN_BYTES, now);
    m->out_entries = f->totals[FIGURES_OUT];
    m->in_entries = f->totals[FIGURES_IN];
    m->out_bytes = f->totals[FIGURES_OUT_BYTES];
    m->in_bytes = f->totals[FIGURES_IN_BYTES];
    m->again = f->again;
    m->acks = f->acks;
    m->ack_p50_us = figures_ack_us (f, 50);
    m->ack_p99_us = figures_ack_us (f, 99);
    m->ack_buckets = weir_arena_array (arena, FIGURES_BUCKETS, sizeof *m->ack_buckets);
    for (size_t i = 0; m->ack_buckets != NULL && i < FIGURES_BUCKETS; i++) {
        m->ack_buckets[m->n_ack_buckets++] = f->buckets[i];
    }
    return m;
}

/* ---- those of before ---- */

struct reading {
    history_rows_fn *each;
    void *context;
};

static void read_page (struct peers *p, struct reading *reading, struct weir_bytes after);

static void
page_read (void *state, struct weir_actor *actor, void *context, enum weir_status status,
           const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    struct reading *reading = context;
    const Weir__StateRows *m =
        status == WEIR_OK && answer != NULL ? (const Weir__StateRows *) answer->meta : NULL;
    (void) actor;
    (void) problem;
    for (size_t i = 0; m != NULL && i < m->n_rows; i++) {
        struct weir_bytes key = weir_field (m->rows[i]->key);
        struct history_row row;
        bool good = history_row_get (&row, weir_field (m->rows[i]->value)) == WEIR_OK;
        if (!weir_bytes_equal (key, weir_bytes_str (NEXT_KEY))) {
            reading->each (p, reading->context, key, good ? &row : NULL, WEIR_OK);
        }
    }
    if (m != NULL && m->more && m->n_rows > 0) {
        read_page (p, reading, weir_field (m->rows[m->n_rows - 1]->key));
        return;
    }
    reading->each (p, reading->context, weir_bytes (NULL, 0), NULL,
                   m != NULL || status != WEIR_OK ? status : WEIR_FAILED);
    free (reading);
}

static void
read_page (struct peers *p, struct reading *reading, struct weir_bytes after)
{
    Weir__StateScan m = WEIR__STATE_SCAN__INIT;
    m.has_prefix = true;
    m.prefix = weir_field_str (PREFIX);
    m.has_after = after.len > 0;
    m.after = weir_field_of (after);
    (void) weir_actor_ask (p->actor, WEIR_KIND_STATE_GET, NULL, &m.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, page_read, reading);
}

void
history_read (struct peers *p, history_rows_fn *each, void *context)
{
    struct reading *reading = weir_alloc (sizeof *reading);
    *reading = (struct reading){ each, context };
    read_page (p, reading, weir_bytes (NULL, 0));
}

void
history_open_rows (struct peers *p, history_rows_fn *each, void *context)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->history->episodes, &i, &key, &value);) {
        struct episode *e = value;
        struct history_row row = e->row;
        row.ms = e->moved_ms - e->began_ms;
        row.number = UINT64_MAX;
        row.status = is_in_step (p, e) ? WEIR_OK : WEIR_PENDING;
        each (p, context, weir_bytes (NULL, 0), &row, WEIR_OK);
    }
}

static void
trim_row (struct peers *p, void *context, struct weir_bytes key, const struct history_row *row,
          enum weir_status status)
{
    uint64_t wall = weir_actor_wall_ms (p->actor);
    (void) context;
    (void) status;
    if (key.len > 0 && key.len < KEY_MAX
        && (row == NULL || row->started_ms + WEIR_HISTORY_DAYS * (uint64_t) TRIM_MS < wall)) {
        char text[KEY_MAX] = "";
        memcpy (text, key.data, key.len);
        rows_forget (p, text);
    }
}

static void
trim (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    (void) context;
    history_read (p, trim_row, NULL);
    p->history->trim_timer =
        weir_actor_timer (actor, weir_actor_now_ms (actor) + TRIM_MS, trim, NULL);
}

/* ---- start and end ---- */

void
history_start (struct peers *p)
{
    p->history = weir_alloc (sizeof *p->history);
    p->history->episodes = weir_map_new ();
    p->history->figures = weir_map_new ();
    p->history->trim_timer =
        weir_actor_timer (p->actor, weir_actor_now_ms (p->actor) + TRIM_FIRST_MS, trim, NULL);
}

void
history_stop (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    if (p->history == NULL) {
        return;
    }
    for (size_t i = 0; weir_map_next (p->history->episodes, &i, &key, &value);) {
        struct episode *e = value;
        close_episode (p, e, is_in_step (p, e) ? WEIR_OK : WEIR_INTERRUPTED);
    }
    weir_map_destroy (&p->history->episodes, NULL);
    weir_map_destroy (&p->history->figures, free);
    free (p->history);
    p->history = NULL;
}
