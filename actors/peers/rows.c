/* Persistent state: rows of `_node`, read whole at the start and written in batches through the
 * store, at once or within a second. Losing the last second loses nothing but counters: what
 * others rely on is flushed before they are told. */

#include "actors/peers/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_VERSION 1u
#define FLUSH_MS 1000u
#define BATCH_BYTES (96u << 10)
#define KEY_MAX 160

enum { FLAG_ADDED = 1, FLAG_BLOCKED = 2, FLAG_TYPED = 4 };

static const char *const prefixes[] = { "peers/", "cards/", "relationships/", "cursors/",
                                        "history/next" };
#define PREFIXES (sizeof prefixes / sizeof *prefixes)

/* ---- rows as bytes ---- */

static void
put_device (const struct device *d, struct weir_buf *out)
{
    weir_buf_put_u8 (out, ROW_VERSION);
    weir_buf_put_u8 (out, (uint8_t) ((d->added ? FLAG_ADDED : 0) | (d->blocked ? FLAG_BLOCKED : 0)
                                     | (d->typed ? FLAG_TYPED : 0)));
    weir_buf_put_u8 (out, (uint8_t) d->role);
    weir_buf_put_u64 (out, d->first_seen_ms);
    weir_buf_put_u64 (out, d->last_seen_ms);
    weir_buf_put_u64 (out, d->sent);
    weir_buf_put_u64 (out, d->received);
    weir_buf_put_u64 (out, d->card_acked);
    weir_buf_put_u16 (out, (uint16_t) d->last_error);
    weir_buf_put_blob (out, weir_bytes_str (device_why (d)));
    weir_buf_put_bytes (out, weir_id_bytes (&d->typed_key));
    weir_buf_put_blob (out, weir_bytes_str (d->typed_address != NULL ? d->typed_address : ""));
}

static bool
get_device (struct device *d, struct weir_bytes row)
{
    struct weir_reader r = weir_reader (row);
    bool good = weir_read_u8 (&r) == ROW_VERSION;
    uint8_t flags = weir_read_u8 (&r);
    d->added = (flags & FLAG_ADDED) != 0;
    d->blocked = (flags & FLAG_BLOCKED) != 0;
    d->typed = (flags & FLAG_TYPED) != 0;
    d->role = weir_read_u8 (&r);
    d->first_seen_ms = weir_read_u64 (&r);
    d->last_seen_ms = weir_read_u64 (&r);
    d->sent = weir_read_u64 (&r);
    d->received = weir_read_u64 (&r);
    d->card_acked = weir_read_u64 (&r);
    d->last_error = weir_status_from_number (weir_read_u16 (&r));
    device_text (&d->last_why, weir_read_blob (&r, PEERS_WHY_MAX), PEERS_WHY_MAX - 1);
    good =
        weir_id_from_bytes (&d->typed_key, weir_read_bytes (&r, WEIR_ID_BYTES)) == WEIR_OK && good;
    device_text (&d->typed_address, weir_read_blob (&r, WEIR_ADDRESS_BYTES_MAX),
                 WEIR_ADDRESS_BYTES_MAX);
    d->typed = d->typed && d->typed_address != NULL;
    return good && weir_reader_done (&r);
}

static void
put_relation (const struct relation *rel, struct weir_buf *out)
{
    weir_buf_put_u8 (out, ROW_VERSION);
    weir_buf_put_u8 (out, (uint8_t) rel->direction);
    weir_buf_put_u8 (out, rel->priority);
    weir_buf_put_u64 (out, rel->rate);
}

static bool
get_relation (struct relation *rel, struct weir_bytes row)
{
    struct weir_reader r = weir_reader (row);
    bool good = weir_read_u8 (&r) == ROW_VERSION;
    uint8_t direction = weir_read_u8 (&r);
    rel->priority = weir_read_u8 (&r);
    rel->rate = weir_read_u64 (&r);
    rel->direction = (enum weir_direction) (direction & WEIR_SYNC_BOTH);
    return good && weir_reader_done (&r);
}

static void
device_key (char key[KEY_MAX], const char *prefix, const struct device *d)
{
    snprintf (key, KEY_MAX, "%s%s", prefix, weir_id_text (&d->id).s);
}

static void
relation_key (char key[KEY_MAX], const char *prefix, const struct relation *r)
{
    snprintf (key, KEY_MAX, "%s%s/%s", prefix, weir_id_text (&r->device->id).s,
              weir_id_text (&r->db).s);
}

/* ---- reading ---- */

/* "<prefix><device>" or "<prefix><device>/<db>" */
static bool
parse_key (struct weir_bytes key, const char *prefix, struct weir_id *device, struct weir_id *db)
{
    char text[WEIR_ID_TEXT + 1];
    size_t skip = strlen (prefix);
    if (key.len < skip + WEIR_ID_TEXT) {
        return false;
    }
    memcpy (text, key.data + skip, WEIR_ID_TEXT);
    text[WEIR_ID_TEXT] = '\0';
    if (weir_id_parse (device, text) != WEIR_OK) {
        return false;
    }
    if (db == NULL) {
        return key.len == skip + WEIR_ID_TEXT;
    }
    if (key.len != skip + 2 * WEIR_ID_TEXT + 1 || key.data[skip + WEIR_ID_TEXT] != '/') {
        return false;
    }
    memcpy (text, key.data + skip + WEIR_ID_TEXT + 1, WEIR_ID_TEXT);
    return weir_id_parse (db, text) == WEIR_OK;
}

static bool
take_row (struct peers *p, size_t which, struct weir_bytes key, struct weir_bytes value)
{
    struct weir_id id;
    struct weir_id db;
    if (which == 4) {
        struct weir_reader r = weir_reader (value);
        p->history_next = weir_read_u64 (&r);
        return true;
    }
    bool pair = which >= 2;
    if (!parse_key (key, prefixes[which], &id, pair ? &db : NULL)
        || weir_id_equal (&id, &p->device)) {
        return false;
    }
    if (which == 3) {
        struct device *d = device_find (p, &id);
        struct relation *r = d != NULL ? relation_find (d, &db) : NULL;
        return r != NULL && known_get (r, value) == WEIR_OK;
    }
    struct device *d = device_need (p, &id);
    if (which == 0) {
        return get_device (d, value);
    }
    if (which == 1) {
        struct peers_card *card = NULL;
        if (peers_card_read_bytes (&card, value) != WEIR_OK
            || !weir_id_equal (&card->device, &id)) {
            peers_card_destroy (&card);
            return false;
        }
        peers_card_destroy (&d->card);
        d->card = card;
        return true;
    }
    return get_relation (relation_need (d, &db), value);
}

static void ask_page (struct peers *p, size_t which, struct weir_bytes after);

static void
page_read (void *state, struct weir_actor *actor, void *context, enum weir_status status,
           const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    size_t which = (size_t) (uintptr_t) context;
    if (status != WEIR_OK || answer == NULL || answer->meta == NULL) {
        weir_actor_exit (actor, status == WEIR_OK ? WEIR_FAILED : status, problem);
        return; /* without what it knew it must not act: start over */
    }
    const Weir__StateRows *m = (const Weir__StateRows *) answer->meta;
    for (size_t i = 0; i < m->n_rows; i++) {
        struct weir_bytes key = weir_field (m->rows[i]->key);
        if (!take_row (p, which, key, weir_field (m->rows[i]->value))) {
            weir_actor_log (actor, WEIR_LOG_WARN, "row_skipped", "prefix=%s", prefixes[which]);
        }
    }
    if (m->more && m->n_rows > 0) {
        ask_page (p, which, weir_field (m->rows[m->n_rows - 1]->key));
    } else if (which + 1 < PREFIXES) {
        ask_page (p, which + 1, weir_bytes (NULL, 0));
    } else {
        p->loaded = true;
        members_read (p);
    }
}

static void
ask_page (struct peers *p, size_t which, struct weir_bytes after)
{
    Weir__StateScan m = WEIR__STATE_SCAN__INIT;
    m.has_prefix = true;
    m.prefix = weir_field_str (prefixes[which]);
    m.has_after = after.len > 0;
    m.after = weir_field_of (after);
    (void) weir_actor_ask (p->actor, WEIR_KIND_STATE_GET, NULL, &m.base, weir_bytes (NULL, 0), 0,
                           page_read, (void *) (uintptr_t) which);
}

void
rows_load (struct peers *p)
{
    ask_page (p, 0, weir_bytes (NULL, 0));
}

/* ---- writing ---- */

struct batch {
    struct peers *peers;
    struct weir_arena *arena;
    Weir__StateRow **rows;
    size_t n;
    size_t cap;
    size_t bytes;
};

static void
written (void *state, struct weir_actor *actor, void *context, enum weir_status status,
         const struct weir_error *problem, const struct weir_message *answer)
{
    (void) state;
    (void) context;
    (void) problem;
    (void) answer;
    if (status != WEIR_OK) {
        weir_actor_log (actor, WEIR_LOG_WARN, "state_not_written", "code=%s",
                        weir_status_code (status));
    }
}

static void
send_batch (struct batch *b, weir_actor_answer_fn *done, void *context)
{
    Weir__StateRows m = WEIR__STATE_ROWS__INIT;
    m.rows = b->rows;
    m.n_rows = b->n;
    (void) weir_actor_ask (b->peers->actor, WEIR_KIND_STATE_PUT, NULL, &m.base,
                           weir_bytes (NULL, 0), 0, done != NULL ? done : written, context);
    b->n = 0;
    b->bytes = 0;
    weir_arena_reset (b->arena);
}

static void
add_row (struct batch *b, const char *key, struct weir_bytes value)
{
    if (b->n > 0 && b->bytes + value.len + KEY_MAX > BATCH_BYTES) {
        send_batch (b, NULL, NULL);
    }
    Weir__StateRow *row = weir_arena_alloc (b->arena, sizeof *row);
    weir_assert (row != NULL); /* a batch is far smaller than its arena */
    *row = (Weir__StateRow) WEIR__STATE_ROW__INIT;
    row->has_key = row->has_value = true;
    row->key = wire_copy_str (b->arena, key);
    row->value = wire_copy (b->arena, value);
    weir_grow (&b->rows, &b->cap, b->n + 1, sizeof *b->rows);
    b->rows[b->n++] = row;
    b->bytes += value.len + KEY_MAX;
}

static void
add_device (struct batch *b, struct device *d, struct weir_buf *value)
{
    char key[KEY_MAX];
    if (d->dirty) {
        weir_buf_clear (value);
        put_device (d, value);
        device_key (key, prefixes[0], d);
        add_row (b, key, weir_buf_bytes (value));
        d->dirty = false;
    }
    if (d->card_dirty && d->card != NULL) {
        device_key (key, prefixes[1], d);
        add_row (b, key, weir_buf_bytes (&d->card->packed));
        d->card_dirty = false;
    }
    for (struct relation *r = d->relations; r != NULL; r = r->next) {
        if (r->dirty) {
            weir_buf_clear (value);
            put_relation (r, value);
            relation_key (key, prefixes[2], r);
            add_row (b, key, weir_buf_bytes (value));
            r->dirty = false;
        }
        if (r->cursor_dirty) {
            weir_buf_clear (value);
            known_put (r, value);
            relation_key (key, prefixes[3], r);
            add_row (b, key, weir_buf_bytes (value));
            r->cursor_dirty = false;
        }
    }
}

void
rows_flush (struct peers *p, weir_actor_answer_fn *done, void *context)
{
    struct batch b = { .peers = p, .arena = weir_arena_new (1u << 20) };
    struct weir_buf value = { 0 };
    struct weir_bytes key;
    void *item = NULL;
    for (size_t i = 0; weir_map_next (p->forgotten, &i, &key, &item);) {
        add_row (&b, item, weir_bytes (NULL, 0));
    }
    weir_map_destroy (&p->forgotten, free);
    p->forgotten = weir_map_new ();
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &item);) {
        add_device (&b, item, &value);
    }
    if (b.n > 0 || done != NULL) {
        send_batch (&b, done, context);
    }
    weir_buf_fini (&value);
    free (b.rows);
    weir_arena_destroy (&b.arena);
}

static void
flush_due (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    (void) actor;
    (void) context;
    p->flush_timer = 0;
    sync_look_at_steps (p);
    rows_flush (p, NULL, NULL);
}

void
rows_flush_later (struct peers *p)
{
    if (p->flush_timer == 0) {
        p->flush_timer =
            weir_actor_timer (p->actor, weir_actor_now_ms (p->actor) + FLUSH_MS, flush_due, NULL);
    }
}

static void
forget (struct peers *p, const char *key)
{
    free (weir_map_put (p->forgotten, weir_bytes_str (key), weir_strdup (key)));
    rows_flush_later (p);
}

void
rows_forget_relation (struct peers *p, const struct relation *r)
{
    char key[KEY_MAX];
    relation_key (key, prefixes[2], r);
    forget (p, key);
    relation_key (key, prefixes[3], r);
    forget (p, key);
}

void
rows_forget_device (struct peers *p, const struct device *d)
{
    char key[KEY_MAX];
    device_key (key, prefixes[0], d);
    forget (p, key);
    device_key (key, prefixes[1], d);
    forget (p, key);
}

void
rows_forget (struct peers *p, const char *key)
{
    forget (p, key);
}

void
rows_put (struct peers *p, const char *const *keys, const struct weir_bytes *values, size_t n)
{
    struct batch b = { .peers = p, .arena = weir_arena_new (64u << 10) };
    for (size_t i = 0; i < n; i++) {
        add_row (&b, keys[i], values[i]);
    }
    send_batch (&b, NULL, NULL);
    free (b.rows);
    weir_arena_destroy (&b.arena);
}
