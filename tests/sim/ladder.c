/* The newer ladder's glue in one node: steps are the repository's; hints are remembered as peers
 * keeps them, and survive what the store does not: restored backups make them wrong. */

#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

struct hints {
    size_t count;
    struct weir_repo_hint items[WEIR_HINTS_MAX];
};

static struct weir_bytes
key_of (uint8_t key[2 * WEIR_ID_BYTES], const struct weir_id *device, const struct weir_id *db)
{
    memcpy (key, device->b, WEIR_ID_BYTES);
    memcpy (key + WEIR_ID_BYTES, db->b, WEIR_ID_BYTES);
    return weir_bytes (key, 2 * WEIR_ID_BYTES);
}

/* Both have this digest: if it is still ours, the log's position is remembered with it. */
void
sim_note_equal (struct sim *sim, struct sim_node *node, const struct weir_sync_action *a)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    struct weir_db_info info;
    (void) sim;
    if (!node->repo) {
        return;
    }
    struct weir_id digest = sim_digest (node, &a->db);
    if (!weir_id_equal (&digest, &a->digest)
        || weir_repo_info (node->repo, &a->db, &info) != WEIR_OK) {
        return;
    }
    node->hints = node->hints ? node->hints : weir_map_new ();
    struct hints *h = weir_map_get (node->hints, key_of (key, &a->device, &a->db));
    if (!h) {
        h = weir_alloc (sizeof *h);
        (void) weir_map_put (node->hints, key_of (key, &a->device, &a->db), h);
    }
    h->count += h->count < WEIR_HINTS_MAX ? 1 : 0;
    memmove (&h->items[1], &h->items[0], (h->count - 1) * sizeof h->items[0]);
    h->items[0] = (struct weir_repo_hint){ digest, info.position };
}

/* The digest both had last, as far as is remembered. */
struct weir_id
sim_last_equal (const struct sim_node *node, const struct weir_id *device, const struct weir_id *db)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    const struct hints *h =
        node->hints ? weir_map_get (node->hints, key_of (key, device, db)) : NULL;
    return h ? h->items[0].digest : weir_id_zero;
}

void
sim_do_ladder (struct sim *sim, struct sim_node *node, struct sim_event *ask)
{
    const struct weir_sync_action *a = &ask->action;
    uint8_t key[2 * WEIR_ID_BYTES];
    const struct hints *h =
        node->hints ? weir_map_get (node->hints, key_of (key, &a->device, &a->db)) : NULL;
    struct weir_repo_ladder step = { .db = a->db,
                                     .key = a->key,
                                     .told = weir_bytes (a->message.bytes, a->message.n_bytes),
                                     .theirs = a->theirs,
                                     .hints = h ? h->items : NULL,
                                     .n_hints = h ? h->count : 0 };
    struct weir_repo_rung rung = { .answer = false };
    struct sim_event *e = sim_tell_new (node, WEIR_SYNC_COMPARED);
    e->event.ticket = a->ticket;
    e->event.status = weir_repo_ladder (node->repo, &step, &rung);
    e->event.answer = rung.answer;
    e->event.settled = rung.settled;
    e->event.more = rung.more;
    e->event.chains = rung.chains;
    weir_buf_put_bytes (&e->body, weir_buf_bytes (&rung.say));
    for (size_t i = 0; i < rung.lacks.count; i++) {
        weir_ranges_add (&e->ranges, &rung.lacks.items[i], &weir_id_zero);
    }
    if (e->event.status != WEIR_OK && e->event.status != WEIR_BAD_MESSAGE) {
        sim_fail (sim, "node %u: ladder: %s", node->index, weir_status_code (e->event.status));
    }
    weir_repo_rung_fini (&rung);
    sim_watch_allow (sim, node, sim_peer (sim, &a->device)->index, &a->db, &e->ranges);
    sim_tell (sim, e);
}
