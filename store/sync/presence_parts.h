#ifndef WEIR_STORE_SYNC_PRESENCE_PARTS_H
#define WEIR_STORE_SYNC_PRESENCE_PARTS_H

/* The inside of presence, shared by its files: presence.c (what is kept, who shares it, ours),
 * presence_take.c (what others tell), presence_say.c (time, and what is said to whom). Nobody
 * else includes it. */

#include "store/base/map.h"
#include "store/sync/presence.h"

#define WEIR_PRESENCE_NEVER UINT64_MAX
#define WEIR_PRESENCE_SUPPLIERS_MAX 4u

struct weir_presence_bucket {
    uint64_t milli; /* thousandths of an item */
    uint64_t at_ms;
};

struct weir_presence_kept {
    struct weir_presence_item is; /* its key and value lie in `bytes` */
    uint8_t *bytes;
    struct weir_presence_writer *writer;
    struct weir_presence_kept *before, *behind; /* in the database, by serial */
    uint64_t serial;                            /* of what was last to be told */
    uint64_t expires_ms;                        /* of ours: the end of its life */
    uint64_t direct; /* the writer's own session it came on; 0: another's */
    uint64_t suppliers[WEIR_PRESENCE_SUPPLIERS_MAX];
    size_t n_suppliers;
};

struct weir_presence_writer {
    struct weir_id device;
    struct weir_presence_room *room;
    struct weir_map *items; /* key -> item */
    size_t bytes;
    struct weir_presence_bucket rate;
};

struct weir_presence_pair {
    uint64_t session;
    struct weir_id peer;
    bool hub;
    uint64_t told;  /* all up to this serial is said */
    uint64_t began; /* what was gone by then is none of its business */
};

struct weir_presence_room { /* a database */
    struct weir_id db;
    struct weir_map *writers; /* device -> writer */
    struct weir_map *pairs;   /* session -> pair */
    struct weir_presence_kept *first, *last;
    size_t n_items;
    size_t bytes;
    uint64_t floor;
    bool dirty;
};

struct weir_presence {
    struct weir_presence_options options;
    struct weir_map *rooms;   /* db -> room */
    struct weir_map *buckets; /* session -> bucket */
    uint64_t serial;
    uint64_t start;
    uint64_t version; /* of ours */
    uint64_t expire_ms, refresh_ms, flush_ms, flushed_ms;
    bool flushing;
    struct weir_presence_counters counters;
};

/* ---- presence.c ---- */
struct weir_bytes weir_presence_session_key (const uint64_t *session);
struct weir_presence_room *weir_presence_room (const struct weir_presence *self,
                                               const struct weir_id *db);
/* NULL when there are too many. */
struct weir_presence_writer *weir_presence_need_writer (struct weir_presence *self,
                                                        struct weir_presence_room *room,
                                                        const struct weir_id *device);
struct weir_presence_kept *weir_presence_find_item (const struct weir_presence_writer *writer,
                                                    struct weir_bytes key);
/* The item of that key with room for a value of that length; NULL when there is none. */
struct weir_presence_kept *weir_presence_need_item (struct weir_presence *self,
                                                    struct weir_presence_writer *writer,
                                                    struct weir_bytes key, size_t value_len);
void weir_presence_free_item (struct weir_presence *self, struct weir_presence_kept *item);
void weir_presence_free_writer (struct weir_presence *self, struct weir_presence_writer *writer);
/* Lets go of a writer, and of a database, of which nothing is known any more. */
void weir_presence_drop_empty (struct weir_presence *self, struct weir_presence_room *room,
                               struct weir_presence_writer *writer);
void weir_presence_put_value (struct weir_presence *self, struct weir_presence_kept *item,
                              struct weir_bytes value);
/* It is to be told (again); `changed`: watchers are told too. */
void weir_presence_touch (struct weir_presence *self, struct weir_presence_kept *item, bool changed,
                          uint64_t now_ms);
void weir_presence_end_item (struct weir_presence *self, struct weir_presence_kept *item,
                             enum weir_presence_state state, uint64_t now_ms);
bool weir_presence_is_ours (const struct weir_presence *self,
                            const struct weir_presence_kept *item);
bool weir_presence_drop_supplier (struct weir_presence_kept *item, uint64_t session);
/* The next version of ours. */
void weir_presence_write_own (struct weir_presence *self, struct weir_presence_kept *item);

#endif
