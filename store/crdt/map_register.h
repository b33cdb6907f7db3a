#ifndef WEIR_STORE_CRDT_MAP_REGISTER_H
#define WEIR_STORE_CRDT_MAP_REGISTER_H

/* The registers of a map: what map_register.c keeps and map.c gives a meaning to. Nobody else
 * includes it. A register is one block of memory: head, key, value. Nothing is ever taken out of
 * a map. */

#include "store/crdt/container.h"

/* A register that was never written: children hang there. */
#define WEIR_REGISTER_UNWRITTEN 0xffu

struct weir_register_loser {
    struct weir_id entry;
    uint64_t lamport;
    uint32_t chain;
    uint32_t value_len;
    uint8_t *value; /* owned */
    uint8_t type;
    uint8_t container;
};

struct weir_register_extra {
    struct weir_container *children;    /* by type, ascending */
    struct weir_register_loser *losers; /* by order key, descending */
    uint32_t n_losers;
    uint32_t losers_cap;
};

struct weir_register {
    struct weir_register_extra *extra; /* NULL: neither children nor losers */
    struct weir_id entry;
    uint64_t lamport;
    uint32_t chain;
    uint32_t value_len;
    uint32_t room; /* bytes behind the head */
    uint16_t key_len;
    uint8_t type;
    uint8_t container;
    uint8_t bytes[]; /* key, then value: 8 bytes of a number, the bytes of text and bytes */
};

struct weir_register_slot {
    uint32_t hash;
    uint32_t place; /* index + 1; 0: free */
};

struct weir_register_map {
    struct weir_container head;
    struct weir_register **cells;     /* in order of arrival */
    struct weir_register_slot *slots; /* NULL up to LINEAR_MAX */
    uint32_t count;
    uint32_t cells_cap;
    uint32_t slots_cap; /* a power of 2 */
};

/* The bytes a value takes in a register: of a number, `number`. */
struct weir_bytes weir_register_pack (const struct weir_value *v, uint8_t number[8]);
struct weir_value weir_register_value (const struct weir_register *c);
struct weir_stamp weir_register_stamp (const struct weir_register *c);
struct weir_value weir_register_loser_value (const struct weir_register_loser *l);
struct weir_stamp weir_register_loser_stamp (const struct weir_register_loser *l);
/* The index of the key, or UINT32_MAX; *hash is written when the map has a table. */
uint32_t weir_register_find (const struct weir_register_map *m, struct weir_bytes key,
                             uint32_t *hash);
/* Finds the key's register, or adds an unwritten one with room for a value. */
uint32_t weir_register_make (struct weir_register_map *m, struct weir_bytes key, size_t value_len);
struct weir_register_extra *weir_register_extra (struct weir_register_map *m,
                                                 struct weir_register *c);
/* One more that did not win; the greatest WEIR_LOSERS_MAX stay. */
void weir_register_lose (struct weir_register_map *m, struct weir_register *c,
                         const struct weir_stamp *stamp, const struct weir_value *value);
/* Makes it the winner, whatever there was. */
void weir_register_store (struct weir_register_map *m, uint32_t index,
                          const struct weir_stamp *stamp, const struct weir_value *value);
/* A write, in its place among the others. Whether what is visible may have changed. */
bool weir_register_write (struct weir_register_map *m, uint32_t index,
                          const struct weir_stamp *stamp, const struct weir_value *value);

#endif
