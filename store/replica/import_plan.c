/* Works out what an import does before it is done: which runs are new, which of them (and of
 * those that wait) hang on what is here, in which order, and which wait for what, until nothing
 * changes any more. Nothing is touched until weir_plan_commit, so that a bad import leaves no
 * trace. Rules are those of the repository (store/repo/import.c), membership aside. */

#include "store/replica/replica_parts.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64u
#define OPS_BELIEVED 65536u

void
weir_plan_init (struct weir_plan *plan, struct weir_replica *replica)
{
    *plan = (struct weir_plan){ .replica = replica };
    plan->arena = weir_arena_new (SIZE_MAX);
    plan->waits = weir_map_new ();
    plan->cut = weir_map_new ();
}

void
weir_plan_fini (struct weir_plan *plan)
{
    for (size_t i = 0; i < plan->n_items; i++) {
        if (plan->items[i]->was != NULL) {
            plan->items[i]->was->is_marked = false;
        }
    }
    for (size_t i = 0; i < plan->n_ended; i++) {
        weir_log_wait_destroy (&plan->ended[i]);
    }
    free (plan->ended);
    weir_map_destroy (&plan->waits, NULL);
    weir_map_destroy (&plan->cut, NULL);
    weir_arena_destroy (&plan->arena);
    free (plan->items);
    free (plan->order);
    free (plan->work);
    free (plan->slots);
}

static struct weir_plan_run *
item_new (struct weir_plan *plan, const struct weir_run *run)
{
    struct weir_plan_run *item = weir_arena_alloc (plan->arena, sizeof *item);
    item->run = run;
    if (plan->n_items == plan->items_cap) {
        weir_grow (&plan->items, &plan->items_cap, plan->n_items + 1, sizeof *plan->items);
    }
    plan->items[plan->n_items++] = item;
    return item;
}

void
weir_plan_add (struct weir_plan *plan, const struct weir_run *run, uint32_t source)
{
    struct weir_plan_run *item = item_new (plan, run);
    item->source = source;
    item->is_new = true;
    item->tip = *weir_run_tip (run);
}

/* ---- entries that will be here ---- */

static size_t
slot_of (const struct weir_plan *plan, const struct weir_id *id)
{
    size_t i = (size_t) weir_hash64_id (id->b) & (plan->n_slots - 1);
    while (plan->slots[i] != 0) {
        uint64_t at = plan->slots[i] - 1;
        const struct weir_run *run = plan->order[at >> 32]->run;
        if (weir_id_equal (&run->entries[(uint32_t) at].id, id)) {
            break;
        }
        i = (i + 1) & (plan->n_slots - 1);
    }
    return i;
}

static void
slots_reserve (struct weir_plan *plan, size_t more)
{
    size_t want = plan->n_slots == 0 ? SLOTS_MIN : plan->n_slots;
    while ((plan->slots_used + more) * 2 > want) {
        want *= 2;
    }
    if (want == plan->n_slots) {
        return;
    }
    free (plan->slots);
    plan->n_slots = want;
    plan->slots = weir_alloc (want * sizeof *plan->slots);
    for (size_t o = 0; o < plan->n_order; o++) {
        const struct weir_plan_run *item = plan->order[o];
        for (uint32_t i = item->skip; i < item->run->count; i++) {
            plan->slots[slot_of (plan, &item->run->entries[i].id)] = ((uint64_t) o << 32 | i) + 1;
        }
    }
}

/* An entry that is here, or will be. */
struct spot {
    struct weir_chain chain;
    uint64_t seq;
    struct weir_plan_run *item; /* NULL: in the log */
    bool is_cut;                /* before a shallow root */
};

static bool
find (const struct weir_plan *plan, const struct weir_id *id, struct spot *spot)
{
    const struct weir_log *log = &plan->replica->log;
    if (plan->slots_used > 0) {
        uint64_t found = plan->slots[slot_of (plan, id)];
        if (found != 0) {
            struct weir_plan_run *item = plan->order[(found - 1) >> 32];
            *spot = (struct spot){ .chain = item->run->chain,
                                   .seq = item->run->seq + (uint32_t) (found - 1),
                                   .item = item };
            return true;
        }
    }
    if (weir_graph_count (log->graph) == 0) {
        return false;
    }
    uint32_t number = weir_graph_find (log->graph, id);
    if (number == WEIR_GRAPH_NONE) {
        return false;
    }
    const struct weir_graph_node *node = weir_graph_node (log->graph, number);
    const struct weir_replica_root *root = plan->replica->root;
    *spot = (struct spot){ .chain = node->chain, .seq = node->seq };
    spot->is_cut = log->rows[number].run == WEIR_LOG_NONE && number != root->number;
    return true;
}

/* ---- shallow replicas ---- */

/* Entries before `seq` of the chain were in the root's past. */
static uint64_t
cut_count (const struct weir_replica_root *root, const struct weir_chain *chain)
{
    uint64_t count = 0;
    for (size_t i = 0; i < root->told.vector.count; i++) {
        const struct weir_row *row = &root->told.vector.rows[i];
        if (weir_chain_compare (&row->chain, chain) == 0 && row->count > count) {
            count = row->count;
        }
    }
    return count;
}

static bool
is_settings_of_root (const struct weir_replica_root *root, const struct weir_id *id)
{
    for (size_t i = 0; i < root->n_runs; i++) {
        if (weir_id_equal (weir_run_tip (&root->runs[i]), id)) {
            return true;
        }
    }
    return false;
}

/* ---- linking ---- */

enum link { LINKED, WAITS, KNOWN, BAD, STALE };

/* As find; most parents are the last of what was linked just before. */
static bool
find_parent (const struct weir_plan *plan, const struct weir_id *id, struct spot *spot)
{
    for (size_t back = 1; back <= 2 && back <= plan->n_order; back++) {
        struct weir_plan_run *item = plan->order[plan->n_order - back];
        if (weir_id_equal (weir_run_tip (item->run), id)) {
            *spot = (struct spot){ .chain = item->run->chain,
                                   .seq = item->run->seq + item->run->count - 1,
                                   .item = item };
            return true;
        }
    }
    return find (plan, id, spot);
}

/* How many of its first entries are here: those are one stretch, but before a shallow root none
 * is known, so it is looked for from the end. */
static uint32_t
find_skip (const struct weir_plan *plan, const struct weir_run *run)
{
    struct spot spot;
    uint32_t i = run->count;
    if (plan->replica->root == NULL && (i == 1 || !find (plan, &run->entries[0].id, &spot))) {
        return 0; /* that the last is not here is known by now */
    }
    while (i > 0 && !find (plan, &run->entries[i - 1].id, &spot)) {
        i--;
    }
    return i;
}

/* Why a parent is not here. */
static enum link
parent_missing (const struct weir_plan *plan, struct weir_plan_run *item, const struct weir_id *id,
                bool is_prev)
{
    const struct weir_replica_root *root = plan->replica->root;
    if (root != NULL
        && (is_settings_of_root (root, id) || weir_map_get (plan->cut, weir_id_bytes (id)) != NULL
            || (is_prev && item->run->seq <= cut_count (root, &item->run->chain)))) {
        return STALE;
    }
    item->missing = *id;
    return WAITS;
}

static enum link
link_parents (const struct weir_plan *plan, struct weir_plan_run *item)
{
    const struct weir_run *run = item->run;
    struct spot spot;
    bool behind_root = run->kind == WEIR_ENTRY_GENESIS || plan->replica->root == NULL;
    if (item->skip > 0) {
        (void) find (plan, &run->entries[item->skip - 1].id, &spot);
        return spot.is_cut ? STALE : LINKED;
    }
    if (run->seq > 0) {
        if (!find_parent (plan, &run->prev, &spot)) {
            return parent_missing (plan, item, &run->prev, true);
        }
        if (weir_chain_compare (&spot.chain, &run->chain) != 0 || spot.seq + 1 != run->seq) {
            return BAD;
        }
        behind_root = behind_root || !spot.is_cut;
        if (spot.item != NULL && run->n_deps == 0 && spot.item->follower == NULL
            && spot.seq + 1 == spot.item->run->seq + spot.item->run->count) {
            spot.item->follower = item;
        }
    }
    for (uint16_t i = 0; i < run->n_deps; i++) {
        if (!find_parent (plan, &run->deps[i], &spot)) {
            return parent_missing (plan, item, &run->deps[i], false);
        }
        behind_root = behind_root || !spot.is_cut;
    }
    return behind_root ? LINKED : STALE;
}

static enum link
link_run (const struct weir_plan *plan, struct weir_plan_run *item)
{
    const struct weir_run *run = item->run;
    const struct weir_replica_root *root = plan->replica->root;
    struct spot spot;
    if (find (plan, weir_run_tip (run), &spot)
        || (root != NULL
            && (run->kind == WEIR_ENTRY_GENESIS
                || run->seq + run->count <= cut_count (root, &run->chain)))) {
        return KNOWN;
    }
    item->skip = find_skip (plan, run);
    return link_parents (plan, item);
}

static void
work_push (struct weir_plan *plan, struct weir_plan_run *item)
{
    if (plan->n_work == plan->work_cap) {
        weir_grow (&plan->work, &plan->work_cap, plan->n_work + 1, sizeof *plan->work);
    }
    plan->work[plan->n_work++] = item;
}

/* Who waited for the entry may link now. */
static void
wake_waiters (struct weir_plan *plan, const struct weir_id *id)
{
    for (struct weir_log_wait *w = weir_log_waits (&plan->replica->log, id); w != NULL;
         w = w->next) {
        if (!w->is_marked) {
            w->is_marked = true;
            struct weir_plan_run *item = item_new (plan, &w->run);
            item->was = w;
            item->source = UINT32_MAX;
            item->is_good = true;
            work_push (plan, item);
        }
    }
    if (weir_map_count (plan->waits) > 0) {
        struct weir_plan_run *first = weir_map_remove (plan->waits, weir_id_bytes (id));
        while (first != NULL) {
            struct weir_plan_run *next = first->next;
            first->next = NULL;
            work_push (plan, first);
            first = next;
        }
    }
}

static void
order_push (struct weir_plan *plan, struct weir_plan_run *item)
{
    const struct weir_run *run = item->run;
    item->is_linked = true;
    slots_reserve (plan, run->count - item->skip);
    if (plan->n_order == plan->order_cap) {
        weir_grow (&plan->order, &plan->order_cap, plan->n_order + 1, sizeof *plan->order);
    }
    uint64_t o = plan->n_order++;
    plan->order[o] = item;
    for (uint32_t i = item->skip; i < run->count; i++) {
        plan->slots[slot_of (plan, &run->entries[i].id)] = (o << 32 | i) + 1;
    }
    plan->slots_used += run->count - item->skip;
    for (uint32_t i = item->skip; i < run->count; i++) {
        wake_waiters (plan, &run->entries[i].id);
    }
}

/* A shallow replica takes no entry that was cut away, but it learns which those are: what stands
 * on one of them is stale, and waits for nothing. */
static void
note_cut (struct weir_plan *plan, const struct weir_plan_run *item)
{
    const struct weir_run *run = item->run;
    for (uint32_t i = 0; plan->replica->root != NULL && i < run->count; i++) {
        const struct weir_id *id = &run->entries[i].id;
        if (weir_graph_find (plan->replica->log.graph, id) == WEIR_GRAPH_NONE) {
            (void) weir_map_put (plan->cut, weir_id_bytes (id), item->run->entries);
            wake_waiters (plan, id);
        }
    }
}

/* Tries an item and all that it sets free. */
static enum link
settle (struct weir_plan *plan, struct weir_plan_run *item)
{
    plan->n_work = 0;
    work_push (plan, item);
    while (plan->n_work > 0) {
        struct weir_plan_run *next = plan->work[--plan->n_work];
        enum link link = link_run (plan, next);
        switch (link) {
        case LINKED:
            order_push (plan, next);
            break;
        case WAITS:
            next->next = weir_map_put (plan->waits, weir_id_bytes (&next->missing), next);
            break;
        case KNOWN:
            next->is_known = true;
            note_cut (plan, next);
            break;
        case BAD:
        case STALE:
            if (next->was == NULL) {
                plan->bad_source = next->source;
                return link;
            }
            next->is_known = true; /* it was taken on trust and turned out bad: it goes */
            break;
        }
    }
    return LINKED;
}

enum weir_status
weir_plan_make (struct weir_plan *plan, struct weir_error *e)
{
    const struct weir_log *log = &plan->replica->log;
    size_t n = plan->n_items; /* waiting ones come behind */
    size_t entries = 0;
    for (size_t i = 0; i < n; i++) {
        entries += plan->items[i]->run->count;
    }
    slots_reserve (plan, entries);
    for (size_t i = 0; i < n; i++) {
        struct weir_plan_run *item = plan->items[i];
        if (weir_log_is_waiting (log, weir_run_tip (item->run))) {
            item->is_known = true;
            continue;
        }
        enum link link = settle (plan, item);
        if (link == BAD) {
            return weir_error_set (e, WEIR_BAD_RUN, NULL,
                                   "a run does not go on where its chain ends");
        }
        if (link == STALE) {
            return weir_error_set (e, WEIR_STALE_ROOT, NULL,
                                   "a run is concurrent with the root of this replica");
        }
    }
    return WEIR_OK;
}

/* ---- signatures ---- */

static enum weir_status
verify_one (struct weir_plan *plan, struct weir_plan_run *item, struct weir_error *e)
{
    if (item->is_good) {
        return WEIR_OK;
    }
    if (weir_run_verify (item->run) != WEIR_OK) {
        plan->bad_source = item->source;
        return weir_error_set (e, WEIR_BAD_SIGNATURE, NULL, "a run is not signed by its author");
    }
    item->is_good = true;
    return WEIR_OK;
}

/* The last run that could be one with `first` and all between: its signature is the author's word
 * on every entry before it (page 2). */
static struct weir_plan_run *
voucher_of (struct weir_plan_run *first)
{
    struct weir_plan_run *last = first;
    size_t bytes = WEIR_RUN_BYTES_MAX / 8 + first->run->bytes.len; /* room for a head */
    size_t count = first->run->count;
    while (last->follower != NULL && last->follower->skip == 0 && !last->follower->is_good
           && last->follower->run->kind == first->run->kind
           && first->run->kind == WEIR_ENTRY_DATA) {
        bytes += last->follower->run->bytes.len;
        count += last->follower->run->count;
        if (bytes > WEIR_RUN_BYTES_MAX || count > WEIR_RUN_ENTRIES_MAX) {
            break;
        }
        last = last->follower;
    }
    return last;
}

enum weir_status
weir_plan_verify (struct weir_plan *plan, bool vouching, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    if (plan->replica->options.trusts_signatures) {
        return WEIR_OK;
    }
    for (size_t i = 0; vouching && i < plan->n_order && status == WEIR_OK; i++) {
        struct weir_plan_run *item = plan->order[i];
        struct weir_plan_run *last = voucher_of (item);
        if (item->is_good || last == item || weir_run_verify (last->run) != WEIR_OK) {
            continue; /* each for itself, below */
        }
        for (; item != last; item = item->follower) {
            item->is_good = true;
            item->voucher = last;
        }
        last->is_good = true;
    }
    for (size_t i = 0; i < plan->n_items && status == WEIR_OK; i++) {
        if (!plan->items[i]->is_known) {
            status = verify_one (plan, plan->items[i], e);
        }
    }
    return status;
}

/* ---- doing it ---- */

/* Entries that promise much and hold nothing are inert: they number nothing. */
static uint64_t
entry_ops (const struct weir_run_entry *entry)
{
    struct weir_bytes message;
    uint32_t ops = 0;
    if (entry->ops <= OPS_BELIEVED
        || (weir_doc_payload_info (entry->payload, &message, &ops) == WEIR_OK
            && ops == entry->ops)) {
        return entry->ops;
    }
    return 0;
}

enum weir_status
weir_plan_check (const struct weir_plan *plan, struct weir_error *e)
{
    const struct weir_log *log = &plan->replica->log;
    size_t count = log->n_waiting;
    size_t bytes = log->waiting_bytes;
    uint64_t ops = log->ops;
    for (size_t i = 0; i < plan->n_items; i++) {
        const struct weir_plan_run *item = plan->items[i];
        if (!item->is_known && !item->is_linked && item->was == NULL) {
            count++;
            bytes += item->run->bytes.len;
        }
        for (uint32_t k = item->skip; item->is_linked && k < item->run->count; k++) {
            ops += entry_ops (&item->run->entries[k]);
        }
    }
    if (count > WEIR_PENDING_RUNS_MAX || bytes > WEIR_PENDING_BYTES_MAX) {
        return weir_error_set (e, WEIR_LIMIT, "import what they stand on first",
                               "too many runs would wait for others");
    }
    if (ops > WEIR_LOG_OPS_MAX) {
        return weir_error_set (e, WEIR_LIMIT, NULL, "the document would hold too many ops");
    }
    return WEIR_OK;
}

uint32_t
weir_plan_commit (struct weir_plan *plan)
{
    struct weir_log *log = &plan->replica->log;
    uint32_t first = weir_graph_count (log->graph);
    weir_grow (&log->runs, &log->runs_cap, log->n_runs + plan->n_order, sizeof *log->runs);
    for (size_t i = 0; i < plan->n_order; i++) {
        struct weir_plan_run *item = plan->order[i];
        if (item->skip > 0) {
            /* It may hold all of the open run: that must be whole to be told. */
            weir_log_close_run (log, plan->replica->options.identity);
        }
        if (item->was != NULL) {
            weir_log_wait_unlink (log, item->was);
        }
        item->number = weir_log_add_run (log, item->run, item->skip, item->run->count);
    }
    for (size_t i = 0; i < plan->n_order; i++) {
        struct weir_plan_run *item = plan->order[i];
        if (item->voucher != NULL) {
            log->runs[item->number].is_vouched = true;
        }
    }
    for (size_t i = 0; i < plan->n_items; i++) {
        struct weir_plan_run *item = plan->items[i];
        struct weir_log_wait *was = item->was;
        if (was != NULL) {
            was->is_marked = false;
            item->was = NULL;
            if (!item->is_linked) {
                weir_log_wait_unlink (log, was);
            }
            if (item->is_linked || item->is_known) {
                weir_log_wait_out (log, was);
                weir_grow (&plan->ended, &plan->ended_cap, plan->n_ended + 1,
                           sizeof (struct weir_log_wait *));
                plan->ended[plan->n_ended++] = was;
            } else {
                weir_log_wait_for (log, was, &item->missing);
            }
        } else if (!item->is_linked && !item->is_known
                   && !weir_log_is_waiting (log, weir_run_tip (item->run))) {
            weir_log_wait (log, item->run, &item->missing);
        }
    }
    return first;
}
