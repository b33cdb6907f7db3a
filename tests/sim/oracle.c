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
    unsigned n = 1 + sim_below (sim, 3);
    for (unsigned i = 0; i < n; i++) {
        char path[64];
        unsigned key = sim_below (sim, 6);
        unsigned deep = sim_below (sim, 3);
        (void) snprintf (path, sizeof path, deep == 0 ? "/root/k%u" : "/root/m%u/x", key);
        if (sim_below (sim, 4) == 0) {
            (void) !weir_edit_remove (edit, path, &error); /* may not be there */
        } else {
            char text[1024];
            size_t len = sim_below (sim, sizeof text);
            memset (text, 'a' + (int) (len % 26), sizeof text);
            json_t *value = large ? json_stringn (text, len) : json_integer ((json_int_t) len);
            (void) !weir_edit_set (edit, path, value, &error); /* a parent may be no map */
            json_decref (value);
        }
    }
    bool done = weir_edit_ops (edit) > 0
                && weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &ops, &error) == WEIR_OK
                && weir_repo_commit (node->repo, &sim->dbs[db], weir_buf_bytes (&payload), ops,
                                     sim_wall (sim, node), &entry, &error)
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
    struct weir_entry_facts facts;
    if (done && sim->meter
        && weir_repo_entry (node->repo, &sim->dbs[db], &entry, &facts, NULL) == WEIR_OK) {
        sim_meter_commit (sim, &facts.chain, facts.seq);
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
    if (e->node == SIM_NO_NODE) {
        return; /* it only was to be that late */
    }
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

bool
sim_counts (struct sim *sim, const struct sim_node *node, unsigned db)
{
    return node->joined && !node->liar
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

/* Is all that `from` holds at `to`? By the tips of its chains: P3 says that a tip has its past. */
static bool
holds_all (struct sim *sim, struct sim_node *to, struct sim_node *from, unsigned db)
{
    const struct weir_vector *v = weir_repo_vector (from->repo, &sim->dbs[db]);
    for (size_t i = 0; v && i < v->count; i++) {
        struct weir_entry_facts facts;
        if (weir_repo_entry (to->repo, &sim->dbs[db], &v->rows[i].tip, &facts, NULL) != WEIR_OK) {
            return false;
        }
    }
    return true;
}

/* Where relationships are one-way, each has all that those have from whom data flow to it. */
static bool
flowed (struct sim *sim, const struct sim_link *link, unsigned from, unsigned to)
{
    bool done = true;
    for (unsigned d = 0; d < sim->n_dbs && sim_flows (sim, link, from); d++) {
        /* From a stranger it takes nothing, and to a stranger nothing is given: nobody may have
         * told one of the other's membership (seed 563). */
        bool knows =
            sim_ever_member (&sim->nodes[to], &sim->dbs[d], &sim->nodes[from].identity.device)
            && sim_ever_member (&sim->nodes[from], &sim->dbs[d], &sim->nodes[to].identity.device);
        if (knows && sim_counts (sim, &sim->nodes[from], d)
            && sim_counts (sim, &sim->nodes[to], d)) {
            done = done && holds_all (sim, &sim->nodes[to], &sim->nodes[from], d);
        }
    }
    return done;
}

/* P1 by digests. */
bool
sim_converged (struct sim *sim)
{
    bool done = true;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        done = done && (sim->nodes[n].repo || sim->nodes[n].absent);
    }
    for (unsigned i = 0; done && sim->one_way && i < sim->n_links; i++) {
        const struct sim_link *link = sim->links[i];
        done = flowed (sim, link, link->a, link->b) && flowed (sim, link, link->b, link->a);
    }
    for (unsigned n = 1; done && !sim->one_way && n < sim->n_nodes; n++) {
        for (unsigned d = 0; d < sim->n_dbs; d++) {
            done =
                done
                && (!sim_counts (sim, &sim->nodes[n], d) || same_digest (sim, &sim->nodes[n], d));
        }
    }
    return done;
}

/* For whoever looks into a seed. */
void
sim_log_states (struct sim *sim)
{
    for (unsigned n = 0; sim->setup.verbose && n < sim->n_nodes; n++) {
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

/* P9: both ends of a link that is in step say so, and no other says it. */
static void
check_status (struct sim *sim, struct sim_node *node, unsigned db)
{
    for (unsigned i = 0; i < node->n_links; i++) {
        const struct sim_link *link = node->links[i];
        unsigned n = link->a == node->index ? link->b : link->a;
        struct sim_node *peer = &sim->nodes[n];
        struct weir_sync_state state;
        bool stranger =
            sim->one_way && !sim_ever_member (node, &sim->dbs[db], &peer->identity.device);
        if (!link->wanted || stranger || !sim_counts (sim, peer, db)) {
            continue;
        }
        struct weir_id ours = sim_digest (node, &sim->dbs[db]);
        struct weir_id theirs = sim_digest (peer, &sim->dbs[db]);
        bool same = weir_id_equal (&ours, &theirs);
        if (!weir_sync_find (node->sync, &peer->identity.device, &sim->dbs[db], &state)) {
            sim_fail (sim, "P9: node %u does not share with %u", node->index, n);
        } else if (same && state.phase != WEIR_SYNC_EQUAL && (node->enabled || peer->enabled)) {
            sim_fail (sim, "P9: node %u is in phase %d with %u though both are equal", node->index,
                      (int) state.phase, n);
        } else if (!same && state.phase == WEIR_SYNC_EQUAL && (node->enabled || peer->enabled)) {
            sim_fail (sim, "P9: node %u claims to equal %u", node->index, n);
        } else if (state.entries_acked > state.entries_sent) {
            sim_fail (sim, "P9: node %u: more is acknowledged than was sent", node->index);
        }
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
sim_hubs_inside (const struct sim *sim)
{
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        if (sim->nodes[n].n_links > 1 && sim->nodes[n].role != WEIR_ROLE_HUB) {
            return false;
        }
    }
    return true;
}

bool
sim_is_tree (const struct sim *sim)
{
    return sim->n_links + 1 == sim->n_nodes;
}

/* P6, in pairs, chains and hubs without faults: each body once, and a small excess. */
static void
check_bodies (struct sim *sim)
{
    uint64_t fresh = 0;
    uint64_t again = 0;
    uint64_t resent = 0;
    uint64_t to_holder = 0;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        fresh += sim->nodes[n].entries_new;
        again += sim->nodes[n].entries_again;
        resent += sim->nodes[n].resent;
        to_holder += sim->nodes[n].to_holder;
    }
    uint64_t excess = 2 + fresh / 20;
    if (sim->faults || !sim_hubs_inside (sim) || !sim_is_tree (sim)) {
        return;
    }
    if (again > excess) {
        sim_fail (sim, "P6: %llu bodies came again, of %llu", (unsigned long long) again,
                  (unsigned long long) fresh);
    } else if (resent > excess) {
        sim_fail (sim, "P6: %llu bodies sent twice in one session, of %llu",
                  (unsigned long long) resent, (unsigned long long) fresh);
    } else if (to_holder > excess) {
        sim_fail (sim, "P6: %llu bodies sent to who was known to hold them, of %llu",
                  (unsigned long long) to_holder, (unsigned long long) fresh);
    }
}

/* P6, without faults: one comparison when a session begins, or when one joins, will do. */
static void
check_ladders (struct sim *sim)
{
    uint64_t ladders = 0;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        struct weir_sync_counters c = { 0 };
        if (sim->nodes[n].absent) {
            continue;
        }
        weir_sync_counters (sim->nodes[n].sync, &c);
        ladders += c.ladders;
        if (c.messages_bad > 0) {
            sim_fail (sim, "node %u counts %llu bad messages of honest nodes", n,
                      (unsigned long long) c.messages_bad);
        }
    }
    if (sim_hubs_inside (sim) && ladders > 2u * sim->n_links * sim->n_dbs) {
        sim_fail (sim, "P6: %llu ladders on %u links", (unsigned long long) ladders, sim->n_links);
    }
}

static void
check_database (struct sim *sim, unsigned d)
{
    struct weir_buf first = { 0 };
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        struct sim_node *node = &sim->nodes[n];
        if (!sim_counts (sim, node, d)) {
            continue;
        }
        if (!sim->one_way) {
            if (!same_digest (sim, node, d)) {
                sim_fail (sim, "P1: nodes 0 and %u differ again", n);
            }
            check_heads (sim, node, d);
            check_document (sim, node, d, &first);
        }
        check_status (sim, node, d);
    }
    weir_buf_fini (&first);
}

void
sim_check_end (struct sim *sim)
{
    if (!sim_converged (sim)) {
        sim_fail (sim, "P1: what had converged differs again");
        return;
    }
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        check_database (sim, d);
    }
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        sim_check_durable (sim, &sim->nodes[n]);
        sim_watch_rest (sim, &sim->nodes[n]);
    }
    /* Equal sets verify alike: one of them, and whoever was removed. */
    unsigned one = (unsigned) (sim->setup.seed % sim->n_nodes);
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        if ((n == one || sim->nodes[n].removed || sim->one_way) && sim->nodes[n].repo) {
            check_verify (sim, &sim->nodes[n]);
        }
    }
    check_bodies (sim);
    if (!sim->faults) {
        check_ladders (sim);
    }
}
