/* Clients' numbered requests and the `_node` state rows, written in the same batches as what they
 * answer for. An answer is one row, so putting one costs one row whatever is kept; a client is
 * one row with its greatest number, rewritten once a flush. */

#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define CLIENTS_PER_SLICE 16u

struct client {
    uint8_t name[16];
    uint64_t high; /* greatest number seen */
    uint64_t seen_ms;
    bool dirty;
    bool gone; /* its rows are to be deleted */
};

struct weir_repo_clients {
    struct weir_map *by_name;
    struct client **dirty;
    size_t n_dirty;
    size_t cap_dirty;
    struct weir_map *answers; /* unwritten: client + number -> struct weir_buf */
    struct client **gone;
    size_t n_gone;
    size_t cap_gone;
    uint64_t next_expiry_ms;
};

static void
buf_destroy (void *value)
{
    struct weir_buf *b = value;
    weir_buf_fini (b);
    free (b);
}

struct weir_repo_clients *
weir_repo_clients_new (void)
{
    struct weir_repo_clients *self = weir_alloc (sizeof *self);
    self->by_name = weir_map_new ();
    self->answers = weir_map_new ();
    return self;
}

void
weir_repo_clients_destroy (struct weir_repo_clients **self_p)
{
    struct weir_repo_clients *self = *self_p;
    if (self == NULL) {
        return;
    }
    weir_map_destroy (&self->by_name, free);
    weir_map_destroy (&self->answers, buf_destroy);
    for (size_t i = 0; i < self->n_gone; i++) {
        free (self->gone[i]);
    }
    free (self->gone);
    free (self->dirty);
    free (self);
    *self_p = NULL;
}

static struct client *
client_add (struct weir_repo_clients *self, const uint8_t name[16])
{
    struct client *c = weir_alloc (sizeof *c);
    memcpy (c->name, name, 16);
    (void) weir_map_put (self->by_name, weir_bytes (name, 16), c);
    return c;
}

enum weir_status
weir_repo_clients_load (struct weir_repo *repo)
{
    struct weir_repo_key from = weir_repo_key (WEIR_REPO_TABLE_CLIENT);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (repo->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        struct weir_reader r = weir_reader (value);
        uint64_t high = weir_read_u64 (&r);
        uint64_t seen_ms = weir_read_u64 (&r);
        if (key.len != 17 || !weir_reader_done (&r)) {
            status = WEIR_CORRUPT;
            break;
        }
        struct client *c = client_add (repo->clients, key.data + 1);
        c->high = high;
        c->seen_ms = seen_ms;
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

/* Takes a client out; its rows go in slices. */
static void
client_drop (struct weir_repo *repo, struct client *c)
{
    struct weir_repo_clients *self = repo->clients;
    (void) weir_map_remove (self->by_name, weir_bytes (c->name, 16));
    struct weir_repo_key key = weir_repo_key_client (c->name);
    weir_repo_delete (repo, &key);
    c->gone = true;
    weir_grow (&self->gone, &self->cap_gone, self->n_gone + 1, sizeof self->gone[0]);
    self->gone[self->n_gone++] = c;
}

static struct client *
oldest (struct weir_repo_clients *self)
{
    struct client *found = NULL;
    struct weir_bytes key;
    void *value;
    for (size_t i = 0; weir_map_next (self->by_name, &i, &key, &value);) {
        struct client *c = value;
        if (found == NULL || c->seen_ms < found->seen_ms) {
            found = c;
        }
    }
    return found;
}

enum weir_status
weir_repo_request_get (struct weir_repo *repo, const uint8_t client[16], uint64_t number,
                       struct weir_buf *answer)
{
    struct weir_repo_clients *self = repo->clients;
    struct client *c = weir_map_get (self->by_name, weir_bytes (client, 16));
    if (c == NULL) {
        return WEIR_NOT_FOUND;
    }
    if (number + WEIR_REQUESTS_KEPT <= c->high && number <= UINT64_MAX - WEIR_REQUESTS_KEPT) {
        return WEIR_GAP;
    }
    struct weir_repo_key key = weir_repo_key_answer (client, number);
    struct weir_buf *unwritten = weir_map_get (self->answers, weir_repo_key_bytes (&key));
    if (unwritten != NULL) {
        weir_buf_put_bytes (answer, weir_buf_bytes (unwritten));
        return WEIR_OK;
    }
    return weir_kv_get (repo->kv, weir_repo_key_bytes (&key), answer);
}

/* Deletes the answers that fall out of the window when its end moves up to `number`. */
static void
trim (struct weir_repo *repo, const struct client *c, uint64_t number)
{
    uint64_t low = c->high >= WEIR_REQUESTS_KEPT ? c->high - WEIR_REQUESTS_KEPT + 1 : 0;
    uint64_t new_low = number >= WEIR_REQUESTS_KEPT ? number - WEIR_REQUESTS_KEPT + 1 : 0;
    for (uint64_t n = low; n < new_low && n <= c->high; n++) {
        struct weir_repo_key key = weir_repo_key_answer (c->name, n);
        weir_repo_delete (repo, &key);
    }
}

void
weir_repo_request_put (struct weir_repo *repo, const uint8_t client[16], uint64_t number,
                       struct weir_bytes answer, uint64_t now_ms)
{
    struct weir_repo_clients *self = repo->clients;
    struct client *c = weir_map_get (self->by_name, weir_bytes (client, 16));
    repo->now_ms = now_ms > repo->now_ms ? now_ms : repo->now_ms;
    if (c == NULL) {
        if (weir_map_count (self->by_name) >= WEIR_CLIENTS_KEPT) {
            client_drop (repo, oldest (self));
        }
        c = client_add (self, client);
        c->high = number;
    } else if (number > c->high) {
        trim (repo, c, number);
        c->high = number;
    }
    c->seen_ms = now_ms;
    if (!c->dirty) {
        c->dirty = true;
        weir_grow (&self->dirty, &self->cap_dirty, self->n_dirty + 1, sizeof self->dirty[0]);
        self->dirty[self->n_dirty++] = c;
    }
    struct weir_repo_key key = weir_repo_key_answer (client, number);
    struct weir_buf *copy = weir_alloc (sizeof *copy);
    weir_buf_put_bytes (copy, answer);
    struct weir_buf *old = weir_map_put (self->answers, weir_repo_key_bytes (&key), copy);
    if (old != NULL) {
        buf_destroy (old);
    }
    weir_repo_put (repo, &key, answer);
}

void
weir_repo_clients_put (struct weir_repo *repo)
{
    struct weir_repo_clients *self = repo->clients;
    for (size_t i = 0; i < self->n_dirty; i++) {
        struct client *c = self->dirty[i];
        c->dirty = false;
        if (!c->gone) {
            uint8_t row[16];
            weir_store_u64 (row, c->high);
            weir_store_u64 (row + 8, c->seen_ms);
            struct weir_repo_key key = weir_repo_key_client (c->name);
            weir_repo_put (repo, &key, weir_bytes (row, sizeof row));
        }
    }
    self->n_dirty = 0;
    if (weir_map_count (self->answers) > 0) {
        weir_map_destroy (&self->answers, buf_destroy);
        self->answers = weir_map_new ();
    }
}

/* Deletes the answers of one client that is gone. */
static void
delete_answers (struct weir_repo *repo, const struct client *c)
{
    struct weir_repo_key from = weir_repo_key (WEIR_REPO_TABLE_ANSWER);
    memcpy (from.data + 1, c->name, 16);
    from.len = 17;
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (repo->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    while (weir_kv_iter_next (iter, &key, &value)) {
        weir_kv_delete (repo->batch, key);
        repo->batch_used = true;
    }
    weir_kv_iter_destroy (&iter);
}

bool
weir_repo_clients_work (struct weir_repo *repo)
{
    struct weir_repo_clients *self = repo->clients;
    if (repo->now_ms >= self->next_expiry_ms) {
        struct weir_bytes name;
        void *value;
        for (size_t i = 0; weir_map_next (self->by_name, &i, &name, &value);) {
            struct client *c = value;
            if (repo->now_ms - c->seen_ms > WEIR_CLIENT_TTL_MS && !c->dirty
                && c->seen_ms <= repo->now_ms) {
                client_drop (repo, c);
            }
        }
        self->next_expiry_ms = repo->now_ms + WEIR_CLIENT_TTL_MS / 10;
    }
    if (self->n_gone == 0) {
        return false;
    }
    weir_repo_settle (repo); /* so that the iterator shows every answer */
    for (size_t i = 0; i < CLIENTS_PER_SLICE && self->n_gone > 0; i++) {
        struct client *c = self->gone[--self->n_gone];
        if (weir_map_get (self->by_name, weir_bytes (c->name, 16)) == NULL) {
            delete_answers (repo, c); /* one that came back keeps what it has now */
        }
        free (c);
    }
    return self->n_gone > 0;
}

/* ---- `_node` ---- */

static bool
state_key (struct weir_buf *key, const char *text)
{
    size_t len = strlen (text);
    weir_buf_put_u8 (key, WEIR_REPO_TABLE_STATE);
    weir_buf_put (key, text, len);
    return len > 0 && len <= WEIR_REPO_STATE_KEY_BYTES_MAX;
}

static void
state_settle (struct weir_repo *repo)
{
    if (repo->state_dirty) {
        weir_repo_settle (repo);
    }
}

enum weir_status
weir_repo_state_get (struct weir_repo *repo, const char *text, struct weir_buf *value)
{
    struct weir_buf key = { 0 };
    enum weir_status status = WEIR_NOT_FOUND;
    state_settle (repo);
    if (state_key (&key, text)) {
        status = weir_kv_get (repo->kv, weir_buf_bytes (&key), value);
    }
    weir_buf_fini (&key);
    return status;
}

void
weir_repo_state_put (struct weir_repo *repo, const char *text, struct weir_bytes value)
{
    struct weir_buf key = { 0 };
    if (state_key (&key, text)) {
        if (value.len == 0) {
            weir_kv_delete (repo->batch, weir_buf_bytes (&key));
        } else {
            weir_kv_put (repo->batch, weir_buf_bytes (&key), value);
        }
        repo->batch_used = true;
        repo->state_dirty = true;
    }
    weir_buf_fini (&key);
}

/* The smallest key behind all that start with `key`. */
static void
after_prefix (struct weir_buf *key)
{
    while (key->data[key->len - 1] == 0xff) {
        key->len--;
    }
    key->data[key->len - 1]++;
}

enum weir_status
weir_repo_state_next (struct weir_repo *repo, const char *prefix, const char *after,
                      struct weir_buf *key, struct weir_buf *value)
{
    struct weir_buf from = { 0 };
    struct weir_buf to = { 0 };
    state_settle (repo);
    (void) state_key (&from, prefix);
    (void) state_key (&to, prefix);
    after_prefix (&to);
    if (strncmp (after, prefix, strlen (prefix)) >= 0 && strcmp (after, prefix) >= 0
        && after[0] != '\0') {
        weir_buf_clear (&from);
        (void) state_key (&from, after);
        weir_buf_put_u8 (&from, 0); /* the next key there can be */
    }
    struct weir_kv_iter *iter =
        weir_kv_iter_new (repo->kv, weir_buf_bytes (&from), weir_buf_bytes (&to), false);
    struct weir_bytes k;
    struct weir_bytes v;
    enum weir_status status = WEIR_NOT_FOUND;
    if (weir_kv_iter_next (iter, &k, &v)) {
        weir_buf_clear (key);
        weir_buf_put (key, k.data + 1, k.len - 1);
        weir_buf_clear (value);
        weir_buf_put_bytes (value, v);
        status = WEIR_OK;
    } else if (weir_kv_iter_status (iter) != WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    weir_buf_fini (&from);
    weir_buf_fini (&to);
    return status;
}
