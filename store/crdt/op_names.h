#ifndef WEIR_STORE_CRDT_OP_NAMES_H
#define WEIR_STORE_CRDT_OP_NAMES_H

/* Local numbers for what ops name: nodes of a tree, elements of a movable list. A name is (entry,
 * offset); entries are kept once for those of their ops that come one after the other. What the
 * open change has made goes by an entry of zero until it is sealed. Pure code. */

#include "store/crdt/container.h"

#define WEIR_OP_NAME_NONE UINT32_MAX

struct weir_op_name {
    uint32_t entry; /* index */
    uint32_t offset;
};

/* Zero-initialised is empty. Owns its arrays. */
struct weir_op_names {
    struct weir_id *entries;
    size_t n_entries;
    size_t entries_cap;
    struct weir_op_name *names; /* by number, in order of coming */
    size_t count;
    size_t names_cap;
    uint32_t *slots; /* number + 1; 0: free */
    size_t slots_cap;
    uint32_t open; /* index + 1 of the entry that is not sealed; 0: none */
};

void weir_op_names_fini (struct weir_op_names *self);
/* The index of an entry; the last one given is looked at, others come twice. */
uint32_t weir_op_names_entry (struct weir_op_names *self, const struct weir_id *entry);
/* WEIR_OP_NAME_NONE: unknown. */
uint32_t weir_op_names_find (const struct weir_op_names *self, const struct weir_id *entry,
                             uint32_t offset);
/* A new number, the count before, for a name that is not there yet. */
uint32_t weir_op_names_add (struct weir_op_names *self, const struct weir_id *entry,
                            uint32_t offset);
struct weir_op_id weir_op_names_id (const struct weir_op_names *self, uint32_t number);
/* The open change has its id now: its entry, and all names of it. False: nothing was open. */
bool weir_op_names_seal (struct weir_op_names *self, const struct weir_id *entry);
size_t weir_op_names_bytes (const struct weir_op_names *self);

/* For loads: whether saving the container gives the very bytes that were read since `start`.
 * `entry` is load->entry as it was there. */
bool weir_load_is_canonical (struct weir_container *self, const struct weir_load *load,
                             size_t start, const struct weir_id *entry);

#endif
