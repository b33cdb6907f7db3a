/* The kv on disk: LevelDB behind the port, and the only file that knows it. The owner's thread
 * links batches into tables in memory and queues them; the committer thread writes all that is
 * queued with one sync, and says how far it came. Tables are dropped by the owner, once all of
 * their batches are on disk: so what a reader looks for is always in a table or in LevelDB. */

#include "store/kv/faults.h"
#include "store/kv/files.h"
#include "store/kv/logs.h"
#include "store/kv/port.h"

#include <leveldb/c.h>

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CACHE_BYTES (8u << 20)
#define WRITE_BUFFER_BYTES (8u << 20)
#define FILE_BYTES_MAX (8u << 20)
#define FILES_OPEN_MAX 256
#define BLOOM_BITS 10
/* One write to LevelDB: more waits for the next, so that acknowledgements keep coming. */
#define GROUP_BYTES_MAX (4u << 20)
/* A table of that size is followed by another, so that memory goes as the disk catches up. */
#define TABLE_BYTES_MAX (16u << 20)
/* After so much went through memory, the C library is asked to give back what it keeps. */
#define TRIM_BYTES (16u << 20)

struct level {
    struct weir_kv kv;
    char *path;
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read_options;
    leveldb_writeoptions_t *write_options;
    int lock_fd;
    int event_fd;

    /* The owner's. */
    uint64_t written;
    struct weir_overlay_table **tables; /* oldest first; the last takes new batches */
    size_t n_tables;
    size_t tables_cap;
    size_t dropped_bytes; /* of tables, since the last trim */

    /* Written under the lock; what is atomic is also read without it. */
    pthread_mutex_t lock;
    pthread_cond_t work;     /* for the committer */
    pthread_cond_t progress; /* for the owner */
    struct weir_kv_batch *queue_first;
    struct weir_kv_batch *queue_last;
    size_t waiting_bytes; /* queued, or being written */
    bool trimming;        /* asked for */
    bool stopping;
    _Atomic uint64_t taken; /* by the committer */
    _Atomic uint64_t synced;
    _Atomic int status;

    pthread_t committer;
    bool running;
};

static const struct weir_kv_vtable level_vtable;

static struct level *
level_of (struct weir_kv *kv)
{
    return (struct level *) kv;
}

static const struct level *
level_of_const (const struct weir_kv *kv)
{
    return (const struct level *) kv;
}

/* ---- errors ---- */

/* Takes LevelDB's words; NULL is WEIR_OK. */
static enum weir_status
take_words (char *words)
{
    enum weir_status status = words == NULL ? WEIR_OK : weir_faults_words (words);
    leveldb_free (words);
    return status;
}

static enum weir_status
open_error (const char *path, char *words, struct weir_error *e)
{
    enum weir_status status = weir_faults_words (words);
    if (status == WEIR_ALREADY_RUNNING) {
        weir_error_set (e, status, NULL, "another process holds %s", path);
    } else {
        weir_error_set (e, status, NULL, "cannot open the database in %s: %s", path, words);
    }
    leveldb_free (words);
    return status;
}

/* ---- open and close ---- */

static void
make_options (struct level *self, bool create)
{
    self->cache = leveldb_cache_create_lru (CACHE_BYTES);
    self->filter = leveldb_filterpolicy_create_bloom (BLOOM_BITS);
    self->options = leveldb_options_create ();
    leveldb_options_set_create_if_missing (self->options, create);
    leveldb_options_set_paranoid_checks (self->options, 1);
    leveldb_options_set_cache (self->options, self->cache);
    leveldb_options_set_filter_policy (self->options, self->filter);
    leveldb_options_set_write_buffer_size (self->options, WRITE_BUFFER_BYTES);
    leveldb_options_set_max_file_size (self->options, FILE_BYTES_MAX);
    leveldb_options_set_max_open_files (self->options, FILES_OPEN_MAX);
    leveldb_options_set_compression (self->options, leveldb_snappy_compression);
    self->read_options = leveldb_readoptions_create ();
    leveldb_readoptions_set_verify_checksums (self->read_options, 1);
    self->write_options = leveldb_writeoptions_create ();
    leveldb_writeoptions_set_sync (self->write_options, 1);
}

static struct level *
level_new (const char *path, bool create)
{
    struct level *self = weir_alloc (sizeof *self);
    self->kv.vtable = &level_vtable;
    self->path = weir_strdup (path);
    self->lock_fd = -1;
    self->event_fd = -1;
    make_options (self, create);
    weir_assert (pthread_mutex_init (&self->lock, NULL) == 0);
    weir_assert (pthread_cond_init (&self->work, NULL) == 0);
    weir_assert (pthread_cond_init (&self->progress, NULL) == 0);
    return self;
}

static void
level_free (struct level *self)
{
    while (self->n_tables > 0) {
        weir_overlay_table_release (&self->tables[--self->n_tables]);
    }
    free (self->tables);
    if (self->db != NULL) {
        leveldb_close (self->db);
    }
    leveldb_writeoptions_destroy (self->write_options);
    leveldb_readoptions_destroy (self->read_options);
    leveldb_options_destroy (self->options);
    leveldb_filterpolicy_destroy (self->filter);
    leveldb_cache_destroy (self->cache);
    if (self->event_fd >= 0) {
        close (self->event_fd);
    }
    if (self->lock_fd >= 0) {
        close (self->lock_fd);
    }
    pthread_cond_destroy (&self->progress);
    pthread_cond_destroy (&self->work);
    pthread_mutex_destroy (&self->lock);
    free (self->path);
    free (self);
}

static void *commit_all (void *arg);

enum weir_status
weir_kv_open (struct weir_kv **out, const char *path, bool create, struct weir_error *e)
{
    char *words = NULL;
    sigset_t all;
    sigset_t before;
    int lock_fd = -1;
    enum weir_status status = weir_files_take (&lock_fd, path, create, e);
    if (status != WEIR_OK) {
        return status;
    }
    struct level *self = level_new (path, create);
    self->lock_fd = lock_fd;
    self->event_fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->event_fd < 0) {
        status = weir_error_set (e, WEIR_IO_ERROR, NULL, "no eventfd: %s", strerror (errno));
        goto done;
    }
    /* Threads inherit the mask: signals are for the process's own loop. */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    self->db = leveldb_open (self->options, path, &words);
    if (words == NULL) {
        self->running = pthread_create (&self->committer, NULL, commit_all, self) == 0;
    }
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (words != NULL) {
        status = open_error (path, words, e);
        goto done;
    }
    if (!self->running) {
        status = weir_error_set (e, WEIR_IO_ERROR, NULL, "no thread for the committer");
        goto done;
    }
    *out = &self->kv;
    self = NULL;
done:
    if (self != NULL) {
        level_free (self);
    }
    return status;
}

static void
level_close (struct weir_kv *kv)
{
    struct level *self = level_of (kv);
    pthread_mutex_lock (&self->lock);
    self->stopping = true;
    pthread_cond_signal (&self->work);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->committer, NULL);
    level_free (self);
}

enum weir_status
weir_kv_salvage (const char *path, struct weir_error *e)
{
    char *words = NULL;
    int lock_fd = -1;
    enum weir_status status = weir_files_lock (&lock_fd, path, e);
    if (status != WEIR_OK) {
        return status;
    }
    struct level *self = level_new (path, false);
    struct weir_files files = { 0 };
    self->lock_fd = lock_fd;
    if (weir_files_list (path, &files) == WEIR_OK && !files.current && !files.data) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is no database in %s", path);
    }
    if (status == WEIR_OK) {
        status = weir_logs_mend (path, e);
    }
    if (status == WEIR_OK) {
        leveldb_repair_db (self->options, path, &words);
    }
    if (words != NULL) {
        status = weir_faults_words (words);
        weir_error_set (e, status, "restore a backup, or fetch from peers anew",
                        "cannot repair the database in %s: %s", path, words);
        leveldb_free (words);
    }
    level_free (self);
    return status;
}

/* ---- the committer's thread ---- */

/* Waits for batches and takes a group of them: the first, or NULL to stop. The group ends where
 * queue_next is NULL. */
static struct weir_kv_batch *
take_group (struct level *self, uint64_t *number, size_t *bytes)
{
    pthread_mutex_lock (&self->lock);
    while (self->queue_first == NULL && !self->stopping) {
        if (!self->trimming) {
            pthread_cond_wait (&self->work, &self->lock);
            continue;
        }
        self->trimming = false;
        pthread_mutex_unlock (&self->lock);
        malloc_trim (0); /* some milliseconds: here rather than on the owner's thread */
        pthread_mutex_lock (&self->lock);
    }
    struct weir_kv_batch *first = self->queue_first;
    if (first != NULL) {
        struct weir_kv_batch *last = first;
        *bytes = first->bytes;
        while (last->queue_next != NULL && *bytes + last->queue_next->bytes <= GROUP_BYTES_MAX) {
            last = last->queue_next;
            *bytes += last->bytes;
        }
        *number = last->number;
        self->queue_first = last->queue_next;
        self->queue_last = self->queue_first == NULL ? NULL : self->queue_last;
        last->queue_next = NULL;
        self->taken = last->number;
    }
    pthread_mutex_unlock (&self->lock);
    return first;
}

static enum weir_status
write_group (struct level *self, const struct weir_kv_batch *first)
{
    leveldb_writebatch_t *out = leveldb_writebatch_create ();
    size_t count = 0;
    char *words = NULL;
    for (const struct weir_kv_batch *b = first; b != NULL; b = b->queue_next) {
        for (const struct weir_overlay_pair *p = b->first; p != NULL; p = p->batch_next) {
            struct weir_bytes key = weir_overlay_key (p);
            struct weir_bytes value = weir_overlay_value (p);
            if (p->deleted) {
                leveldb_writebatch_delete (out, (const char *) key.data, key.len);
            } else {
                leveldb_writebatch_put (out, (const char *) key.data, key.len,
                                        (const char *) value.data, value.len);
            }
            count++;
        }
    }
    if (count > 0) {
        leveldb_write (self->db, self->write_options, out, &words);
    }
    leveldb_writebatch_destroy (out);
    return take_words (words);
}

static void *
commit_all (void *arg)
{
    struct level *self = arg;
    enum weir_status status = WEIR_OK;
    uint64_t number;
    size_t bytes;
    struct weir_kv_batch *first;
    while (status == WEIR_OK && (first = take_group (self, &number, &bytes)) != NULL) {
        status = write_group (self, first);
        pthread_mutex_lock (&self->lock);
        if (status == WEIR_OK) {
            self->synced = number; /* from here on the group may be gone */
            self->waiting_bytes -= bytes;
        } else {
            self->status = (int) status;
            self->queue_first = self->queue_last = NULL; /* the tables keep them */
            self->waiting_bytes = 0;
        }
        pthread_cond_broadcast (&self->progress);
        pthread_mutex_unlock (&self->lock);
        uint64_t one = 1;
        ssize_t told = write (self->event_fd, &one, sizeof one);
        weir_assert (told == sizeof one); /* fails only after 2^64 - 2 events */
    }
    return NULL;
}

/* ---- writing, on the owner's thread ---- */

/* Forgets the tables whose batches are all on disk. Iterators hold those that they need. */
static void
drop_synced (struct level *self)
{
    uint64_t synced = self->synced;
    size_t dropped = 0;
    while (dropped < self->n_tables && weir_overlay_table_last (self->tables[dropped]) <= synced) {
        self->dropped_bytes += weir_overlay_table_bytes (self->tables[dropped]);
        weir_overlay_table_release (&self->tables[dropped++]);
    }
    if (dropped > 0) {
        self->n_tables -= dropped;
        memmove (self->tables, self->tables + dropped, self->n_tables * sizeof *self->tables);
    }
}

/* The table for the next batch. While the committer is behind, batches gather in one; once it has
 * taken them all, or there are many, another begins, so that the first can be dropped. */
static struct weir_overlay_table *
table_to_write (struct level *self)
{
    struct weir_overlay_table *last = self->n_tables == 0 ? NULL : self->tables[self->n_tables - 1];
    if (last == NULL || weir_overlay_table_last (last) <= self->taken
        || weir_overlay_table_bytes (last) >= TABLE_BYTES_MAX) {
        last = weir_overlay_table_new ();
        weir_grow (&self->tables, &self->tables_cap, self->n_tables + 1, sizeof *self->tables);
        self->tables[self->n_tables++] = last;
    }
    return last;
}

static uint64_t
level_write (struct weir_kv *kv, struct weir_kv_batch **batch_p)
{
    struct level *self = level_of (kv);
    struct weir_kv_batch *b = *batch_p;
    uint64_t number = ++self->written;
    drop_synced (self);
    if (b->first == NULL && self->synced + 1 == number) {
        /* Nothing is queued or being written, so synced and status are not on the move. */
        self->synced = number;
        weir_kv_batch_destroy (batch_p);
        return number;
    }
    weir_overlay_table_add (table_to_write (self), batch_p, number);
    pthread_mutex_lock (&self->lock);
    while (self->waiting_bytes > WEIR_KV_BACKLOG_BYTES_MAX && self->status == WEIR_OK) {
        pthread_cond_wait (&self->progress, &self->lock);
    }
    if (self->status == WEIR_OK) {
        if (self->queue_last == NULL) {
            self->queue_first = b;
        } else {
            self->queue_last->queue_next = b;
        }
        self->queue_last = b;
        self->waiting_bytes += b->bytes;
        pthread_cond_signal (&self->work);
    }
    pthread_mutex_unlock (&self->lock);
    return number;
}

static uint64_t
level_synced (const struct weir_kv *kv)
{
    return level_of_const (kv)->synced;
}

static int
level_event_fd (const struct weir_kv *kv)
{
    return level_of_const (kv)->event_fd;
}

static void
level_clear_event (struct weir_kv *kv)
{
    struct level *self = level_of (kv);
    uint64_t count;
    ssize_t got = read (self->event_fd, &count, sizeof count);
    weir_assert (got == sizeof count || errno == EAGAIN);
    drop_synced (self);
    if (self->n_tables == 0 && self->dropped_bytes >= TRIM_BYTES) {
        self->dropped_bytes = 0;
        pthread_mutex_lock (&self->lock);
        self->trimming = true;
        pthread_cond_signal (&self->work);
        pthread_mutex_unlock (&self->lock);
    }
}

static enum weir_status
level_status (const struct weir_kv *kv)
{
    return (enum weir_status) level_of_const (kv)->status;
}

static enum weir_status
level_wait (struct weir_kv *kv, uint64_t number)
{
    struct level *self = level_of (kv);
    weir_assert (number <= self->written);
    pthread_mutex_lock (&self->lock);
    while (self->synced < number && self->status == WEIR_OK) {
        pthread_cond_wait (&self->progress, &self->lock);
    }
    pthread_mutex_unlock (&self->lock);
    return self->synced >= number ? WEIR_OK : level_status (kv);
}

/* ---- reading, on the owner's thread ---- */

static enum weir_status
level_get (struct weir_kv *kv, struct weir_bytes key, struct weir_buf *out)
{
    struct level *self = level_of (kv);
    for (size_t i = self->n_tables; i-- > 0;) {
        const struct weir_overlay_pair *pair =
            weir_overlay_table_get (self->tables[i], key, self->written);
        if (pair != NULL && out != NULL && !pair->deleted) {
            weir_buf_put_bytes (out, weir_overlay_value (pair));
        }
        if (pair != NULL) {
            return pair->deleted ? WEIR_NOT_FOUND : WEIR_OK;
        }
    }
    char *words = NULL;
    size_t len = 0;
    char *value =
        leveldb_get (self->db, self->read_options, (const char *) key.data, key.len, &len, &words);
    enum weir_status status = take_words (words);
    if (status == WEIR_OK && value == NULL) {
        status = WEIR_NOT_FOUND;
    }
    if (status == WEIR_OK && out != NULL) {
        weir_buf_put (out, value, len);
    }
    leveldb_free (value);
    return status;
}

/* A place in LevelDB, for the merging iterator. */
struct cursor {
    leveldb_iterator_t *iter;
    struct weir_buf from;
    struct weir_buf to;
    bool backward;
    bool valid; /* within the range */
    enum weir_status status;
};

/* LevelDB steps over a block that it cannot read and goes on behind it: so the error is asked for
 * after each step, or pairs would be missing without a word. */
static void
settle (struct cursor *c)
{
    char *words = NULL;
    c->valid = leveldb_iter_valid (c->iter);
    leveldb_iter_get_error (c->iter, &words);
    c->status = take_words (words);
    if (c->status != WEIR_OK) {
        c->valid = false;
    }
    if (c->valid) {
        size_t len;
        const char *data = leveldb_iter_key (c->iter, &len);
        struct weir_bytes key = weir_bytes (data, len);
        c->valid = weir_bytes_compare (key, weir_buf_bytes (&c->from)) >= 0
                   && (c->to.len == 0 || weir_bytes_compare (key, weir_buf_bytes (&c->to)) < 0);
    }
}

static bool
cursor_current (void *disk, struct weir_bytes *key, struct weir_bytes *value)
{
    struct cursor *c = disk;
    size_t len;
    if (!c->valid) {
        return false;
    }
    const char *data = leveldb_iter_key (c->iter, &len);
    *key = weir_bytes (data, len);
    if (value != NULL) {
        data = leveldb_iter_value (c->iter, &len);
        *value = weir_bytes (data, len);
    }
    return true;
}

static void
cursor_step (void *disk)
{
    struct cursor *c = disk;
    if (c->backward) {
        leveldb_iter_prev (c->iter);
    } else {
        leveldb_iter_next (c->iter);
    }
    settle (c);
}

static enum weir_status
cursor_status (const void *disk)
{
    const struct cursor *c = disk;
    return c->status;
}

static void
cursor_destroy (void *disk)
{
    struct cursor *c = disk;
    leveldb_iter_destroy (c->iter);
    weir_buf_fini (&c->from);
    weir_buf_fini (&c->to);
    free (c);
}

static const struct weir_kv_disk_vtable cursor_vtable = {
    .current = cursor_current,
    .step = cursor_step,
    .status = cursor_status,
    .destroy = cursor_destroy,
};

static struct cursor *
cursor_new (struct level *self, struct weir_bytes from, struct weir_bytes to, bool backward)
{
    struct cursor *c = weir_alloc (sizeof *c);
    c->iter = leveldb_create_iterator (self->db, self->read_options);
    c->backward = backward;
    weir_buf_put_bytes (&c->from, from);
    weir_buf_put_bytes (&c->to, to);
    if (!backward) {
        leveldb_iter_seek (c->iter, (const char *) from.data, from.len);
    } else if (to.len == 0) {
        leveldb_iter_seek_to_last (c->iter);
    } else {
        leveldb_iter_seek (c->iter, (const char *) to.data, to.len);
        if (leveldb_iter_valid (c->iter)) {
            leveldb_iter_prev (c->iter);
        } else {
            leveldb_iter_seek_to_last (c->iter);
        }
    }
    settle (c);
    return c;
}

/* LevelDB's iterator shows some of the batches that the tables hold, and none after them; the
 * tables hide what it shows of those. Together: the state at `written`, whatever is committed
 * between the two. */
static struct weir_kv_iter *
level_iter_new (struct weir_kv *kv, struct weir_bytes from, struct weir_bytes to, bool backward)
{
    struct level *self = level_of (kv);
    struct weir_kv_iter_options options = { .from = from,
                                            .to = to,
                                            .backward = backward,
                                            .number = self->written,
                                            .tables = self->tables,
                                            .n_tables = self->n_tables,
                                            .disk_vtable = &cursor_vtable };
    options.disk = cursor_new (self, from, to, backward);
    return weir_kv_iter_merge (kv, &options);
}

static uint64_t
level_disk_bytes (struct weir_kv *kv)
{
    struct weir_files files = { 0 };
    return weir_files_list (level_of (kv)->path, &files) == WEIR_OK ? files.bytes : 0;
}

static const struct weir_kv_vtable level_vtable = {
    .close = level_close,
    .write = level_write,
    .synced = level_synced,
    .event_fd = level_event_fd,
    .clear_event = level_clear_event,
    .wait = level_wait,
    .status = level_status,
    .get = level_get,
    .iter_new = level_iter_new,
    .disk_bytes = level_disk_bytes,
};
