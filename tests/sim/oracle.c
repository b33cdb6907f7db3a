/* What must hold, whatever happened (page 3, P1..P9), and the edits whose fate is followed. */

#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- edits ---- */

void
sim_note_acked (struct sim_node *node, const struct weir_id *db, const struct weir_id *entry,
                bool imported)
{
    weir_grow (&node->acked, &node->acked_cap, node->n_acked + 1, sizeof node->acked[0]);
    node->acked[node->n_acked++] =
        (struct sim_acked){ .db = *db, .entry = *entry, .imported = imported };
}

bool
sim_commit (struct sim *sim, struct sim_node *node, unsigned db, bool large, bool follow)
{
    struct weir_doc *doc = NULL;
    struct weir_error error = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_id entry;
    uint32_t ops = 0;
    if (weir_repo_document (node->repo, &sim->dbs[db], &doc, &error) != WEIR_OK) {
        return false; /* not here yet */
    }
    struct weir_edit *edit = weir_edit_new (doc);
    unsigned n = 1 + (unsigned) weir_rand_below (&sim->rand, 3);
    for (unsigned i = 0; i < n; i++) {
        char path[64];
        unsigned key = (unsigned) weir_rand_below (&sim->rand, 6);
        unsigned deep = (unsigned) weir_rand_below (&sim->rand, 3);
        (void) snprintf (path, sizeof path, deep == 0 ? "/root/k%u" : "/root/m%u/x", key);
        if (weir_rand_below (&sim->rand, 4) == 0) {
            (void) !weir_edit_remove (edit, path, &error); /* may not be there */
        } else {
            char text[1024];
            size_t len = (size_t) weir_rand_below (&sim->rand, sizeof text);
            memset (text, 'a' + (int) (len % 26), sizeof text);
            json_t *value = large ? json_stringn (text, len) : json_integer ((json_int_t) len);
            (void) !weir_edit_set (edit, path, value, &error); /* a parent may be no map */
            json_decref (value);
        }
    }
    bool done = weir_edit_ops (edit) > 0
                && weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &ops, &error) == WEIR_OK
                && weir_repo_commit (node->repo, &sim->dbs[db], weir_buf_bytes (&payload), ops,
                                     sim->now_ms, &entry, &error)
                       == WEIR_OK;
    weir_edit_destroy (&edit);
    weir_buf_fini (&payload);
    if (done) {
        sim_store_dirty (sim, node);
    }
    if (done && !sim->faults && follow && sim_hubs_inside (sim)) {
        struct sim_event *e = sim_event_new (SIM_SCRIPT, node->index);
        e->script = SIM_SEEN;
        e->digest = entry;
        e->event.db = sim->dbs[db];
        sim_post (sim, e, sim->now_ms + SIM_LIVE_MS);
    }
    if (done && follow) {
        sim_note_acked (node, &sim->dbs[db], &entry, false);
    }
    return done;
}

/* ---- while it runs ---- */

void
sim_check_durable (struct sim *sim, struct sim_node *node)
{
    for (size_t i = 0; node->repo && i < node->n_acked; i++) {
        struct weir_entry_facts facts;
        if (node->acked[i].durable
            && weir_repo_entry (node->repo, &node->acked[i].db, &node->acked[i].entry, &facts, NULL)
                   != WEIR_OK) {
            sim_fail (sim, "P2: node %u lost a durable entry", node->index);
        }
    }
}

/* Live: hubs forward at once, no interval is waited for. */
void
sim_check_seen (struct sim *sim, const struct sim_event *e)
{
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        struct weir_entry_facts facts;
        bool young = n == sim->late && sim->late != 0;
        if (sim->nodes[n].joined && !young
            && weir_repo_entry (sim->nodes[n].repo, &e->event.db, &e->digest, &facts, NULL)
                   != WEIR_OK) {
            sim_fail (sim, "P5: an entry of node %u is not at %u after %u ms", e->node, n,
                      SIM_LIVE_MS);
        }
    }
}

/* P7: no two entries of one author, lane and seq, but by a rolled-back machine. */
void
sim_check_written (struct sim *sim, struct sim_node *node, struct sim_acked *acked)
{
    struct weir_entry_facts facts;
    if (weir_repo_entry (node->repo, &acked->db, &acked->entry, &facts, NULL) != WEIR_OK) {
        sim_fail (sim, "P2: node %u: a durable entry is not there", node->index);
        return;
    }
    if (acked->imported) {
        return;
    }
    struct weir_buf key = { 0 };
    weir_buf_put_bytes (&key, weir_id_bytes (&acked->db));
    weir_buf_put_bytes (&key, weir_id_bytes (&facts.chain.author));
    weir_buf_put_u64 (&key, facts.chain.lane);
    weir_buf_put_u64 (&key, facts.seq);
    struct weir_id *id = weir_alloc (sizeof *id);
    *id = acked->entry;
    struct weir_id *before = weir_map_put (sim->written, weir_buf_bytes (&key), id);
    if (before && !weir_id_equal (before, id) && !node->rolled_back) {
        sim_fail (sim, "P7: node %u wrote seq %llu twice", node->index,
                  (unsigned long long) facts.seq);
    }
    free (before);
    weir_buf_fini (&key);
}

/* ---- at the end ---- */

/* Those that must agree: members by the heads of node 0, whom nobody can remove. */
static bool
counts (struct sim *sim, const struct sim_node *node, unsigned db)
{
    return node->joined
           && weir_repo_right (sim->nodes[0].repo, &sim->dbs[db], &node->identity.device)
                  != WEIR_RIGHT_NONE;
}

static bool
same_digest (struct sim *sim, struct sim_node *node, unsigned db)
{
    const struct weir_vector *v = weir_repo_vector (sim->nodes[0].repo, &sim->dbs[db]);
    if (!v) {
        return false;
    }
    struct weir_id a = weir_vector_digest (v);
    v = weir_repo_vector (node->repo, &sim->dbs[db]);
    if (!v) {
        return false;
    }
    struct weir_id b = weir_vector_digest (v);
    return weir_id_equal (&a, &b);
}

/* P1 by digests, and P9: those that are connected say so. */
bool
sim_converged (struct sim *sim)
{
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        if (!sim->nodes[n].repo) {
            return false;
        }
    }
    for (unsigned n = 1; n < sim->n_nodes; n++) {
        for (unsigned d = 0; d < sim->n_dbs; d++) {
            if (counts (sim, &sim->nodes[n], d) && !same_digest (sim, &sim->nodes[n], d)) {
                return false;
            }
        }
    }
    return true;
}

/* For whoever looks into a seed. */
void
sim_log_states (struct sim *sim)
{
    for (unsigned n = 0; sim->verbose && n < sim->n_nodes; n++) {
        struct sim_node *node = &sim->nodes[n];
        struct weir_sync_state s;
        for (size_t i = 0; node->repo && node->sync && weir_sync_state (node->sync, i, &s); i++) {
            struct weir_id now = sim_digest (node, &s.db);
            sim_log (sim,
                     "node %u, db %02x with %02x: phase %d; now %02x%02x, said %02x%02x, "
                     "theirs %02x%02x; %s",
                     n, s.db.b[0], s.device.b[0], (int) s.phase, now.b[0], now.b[1], s.digest.b[0],
                     s.digest.b[1], s.their_digest.b[0], s.their_digest.b[1],
                     weir_status_code (s.last_error));
        }
    }
}

static void
check_document (struct sim *sim, struct sim_node *node, unsigned db, struct weir_buf *first)
{
    struct weir_doc *doc = NULL;
    struct weir_error error = { 0 };
    struct weir_buf state = { 0 };
    if (weir_repo_document (node->repo, &sim->dbs[db], &doc, &error) != WEIR_OK) {
        sim_fail (sim, "node %u: document: %s", node->index, error.what);
        return;
    }
    weir_doc_save (doc, &state);
    if (first->len == 0) {
        weir_buf_put_bytes (first, weir_buf_bytes (&state));
    } else if (!weir_bytes_equal (weir_buf_bytes (first), weir_buf_bytes (&state))) {
        sim_fail (sim, "P1: the documents of nodes 0 and %u differ", node->index);
    }
    weir_buf_fini (&state);
}

static void
check_heads (struct sim *sim, struct sim_node *node, unsigned db)
{
    size_t n = 0;
    const struct weir_id *heads = weir_repo_heads (sim->nodes[0].repo, &sim->dbs[db], &n);
    struct weir_id *first = weir_alloc ((n + 1) * sizeof first[0]);
    memcpy (first, heads, n * sizeof first[0]);
    size_t m = 0;
    heads = weir_repo_heads (node->repo, &sim->dbs[db], &m);
    if (n != m || memcmp (first, heads, n * sizeof first[0]) != 0) {
        sim_fail (sim, "P1: the heads of nodes 0 and %u differ", node->index);
    }
    free (first);
}

static void
check_status (struct sim *sim, struct sim_node *node, unsigned db)
{
    for (unsigned i = 0; i < node->n_links; i++) {
        const struct sim_link *link = node->links[i];
        unsigned n = link->a == node->index ? link->b : link->a;
        struct weir_sync_state state;
        if (!link->wanted || !counts (sim, &sim->nodes[n], db)) {
            continue;
        }
        if (!weir_sync_find (node->sync, &sim->nodes[n].identity.device, &sim->dbs[db], &state)) {
            sim_fail (sim, "P9: node %u does not share with %u", node->index, n);
        } else if (state.phase != WEIR_SYNC_EQUAL) {
            sim_fail (sim, "P9: node %u is in phase %d with %u though both are equal", node->index,
                      (int) state.phase, n);
        }
    }
    if (weir_retry_count (node->retry, NULL) > sim->n_nodes * sim->n_dbs) {
        sim_fail (sim, "P8: node %u retries more pairs than there are", node->index);
    }
}

static void
check_verify (struct sim *sim, struct sim_node *node)
{
    struct weir_check_report report = { 0 };
    if (weir_repo_verify (node->repo, NULL, NULL, NULL, &report) != WEIR_OK) {
        sim_fail (sim, "P3, P4: node %u does not verify: %s", node->index, report.first_problem);
    }
}

/* Nodes between others forward as hubs; where a leaf stands there, comparisons do it. */
bool
sim_hubs_inside (struct sim *sim)
{
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        if (sim->nodes[n].n_links > 1 && sim->nodes[n].role != WEIR_ROLE_HUB) {
            return false;
        }
    }
    return sim->n_links + 1 == sim->n_nodes;
}

/* P6, in pairs, chains and hubs without faults: each body once, and a small excess. */
static void
check_bodies (struct sim *sim)
{
    uint64_t fresh = 0;
    uint64_t again = 0;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        fresh += sim->nodes[n].entries_new;
        again += sim->nodes[n].entries_again;
    }
    if (!sim->faults && sim_hubs_inside (sim) && again > 2 && again * 20 > fresh) {
        sim_fail (sim, "P6: %llu bodies came again, of %llu", (unsigned long long) again,
                  (unsigned long long) fresh);
    }
}

/* P6, without faults: one comparison when a session begins, or when one joins, will do. */
static void
check_ladders (struct sim *sim)
{
    uint64_t ladders = 0;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        struct weir_sync_counters c;
        weir_sync_counters (sim->nodes[n].sync, &c);
        ladders += c.ladders;
    }
    if (!sim->faults && sim_hubs_inside (sim) && ladders > 2u * sim->n_links * sim->n_dbs) {
        sim_fail (sim, "P6: %llu ladders on %u links", (unsigned long long) ladders, sim->n_links);
    }
}

void
sim_check_end (struct sim *sim)
{
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        struct weir_buf first = { 0 };
        for (unsigned n = 0; n < sim->n_nodes; n++) {
            if (!counts (sim, &sim->nodes[n], d)) {
                continue;
            }
            if (!same_digest (sim, &sim->nodes[n], d)) {
                sim_fail (sim, "P1: nodes 0 and %u differ again", n);
            }
            check_heads (sim, &sim->nodes[n], d);
            check_document (sim, &sim->nodes[n], d, &first);
            check_status (sim, &sim->nodes[n], d);
        }
        weir_buf_fini (&first);
    }
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        sim_check_durable (sim, &sim->nodes[n]);
    }
    /* Equal sets verify alike: one of them, and whoever was removed. */
    check_verify (sim, &sim->nodes[(unsigned) (sim->seed % sim->n_nodes)]);
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        if (sim->nodes[n].removed) {
            check_verify (sim, &sim->nodes[n]);
        }
    }
    check_bodies (sim);
    check_ladders (sim);
}
