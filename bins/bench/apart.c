/* What little differences cost: two nodes that were equal are cut off, one or both write an entry,
 * and the wire is counted when they meet again, beside a meeting in which nothing had changed
 * (handshake and digests); and a meeting of two that share many databases of which one
 * changed. */

#include "bins/bench/bench.h"
#include "bins/bench/turns.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 600000u
#define QUIET_US 700000u    /* no byte for so long: the meeting is over */
#define REMEMBER_US 2500000 /* what both hold is remembered within a second of quiet */
#define MEETINGS 5u

struct meeting {
    uint64_t bytes;
    uint64_t messages; /* of the synchronizer (digests, the ladder, offers) until both are equal */
    double ms;         /* from the transport's start until the last byte */
};

static uint64_t
sync_messages (struct bench_node *n)
{
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    struct weir_client_answer answer;
    bench_call (n, WEIR_KIND_SYNC_STATUS, &ask.base, weir_bytes (NULL, 0), 60000, &answer);
    const Weir__SyncStatus *m = (const Weir__SyncStatus *) answer.meta;
    uint64_t messages = m->messages_in + m->messages_out;
    weir_client_answer_fini (&answer);
    return messages;
}

/* The transport of `c` starts; until it has been quiet for a while. With `db`, of which each is to
 * hold `want` entries: messages are counted until these are readable on both. */
static struct meeting
meet (struct bench_node *a, struct bench_node *c, const char *db, uint64_t want)
{
    struct meeting m = { .bytes = bench_wire_bytes (c) };
    uint64_t before = db != NULL ? sync_messages (c) : 0;
    bool held = db == NULL;
    uint64_t started = bench_now_us ();
    uint64_t last = started;
    uint64_t seen = m.bytes;
    bench_transport (c, true);
    while (seen == m.bytes || bench_now_us () - last < QUIET_US) {
        if (!held && bench_entries (c, db) >= want && bench_entries (a, db) >= want) {
            m.messages = sync_messages (c) - before;
            held = true;
        }
        uint64_t now = bench_wire_bytes (c);
        if (now != seen) {
            seen = now;
            last = bench_now_us ();
        }
        if (bench_now_us () - started > (uint64_t) PATIENCE_MS * 1000u) {
            bench_die ("the nodes did not meet");
        }
        bench_pause_us (1000);
    }
    m.ms = (double) (last - started) / 1000.0;
    m.bytes = seen - m.bytes;
    if (!held) {
        m.messages = sync_messages (c) - before;
    }
    return m;
}

/* Of several, the one with the fewest bytes: a heartbeat may fall into any. */
static struct meeting
meet_often (struct bench_node *a, struct bench_node *c, const char *db, uint64_t *number,
            bool a_writes, bool c_writes)
{
    struct meeting best = { .bytes = UINT64_MAX };
    for (unsigned i = 0; i < MEETINGS; i++) {
        bench_transport (c, false);
        if (a_writes) {
            bench_set_one (a, db, ++*number, "\"apart\"");
        }
        if (c_writes) {
            bench_set_one (c, db, ++*number, "\"apart, too\"");
        }
        /* Where nothing is to come, all are counted. */
        uint64_t want = bench_entries (a, db) + (c_writes ? 1 : 0);
        struct meeting m = meet (a, c, db, a_writes || c_writes ? want : UINT64_MAX);
        best = m.bytes < best.bytes ? m : best;
        if (bench_entries (a, db) != bench_entries (c, db)) {
            bench_die ("the nodes met and are not equal");
        }
        bench_pause_us (REMEMBER_US);
    }
    return best;
}

/* What had to be waited for until the entries were readable: each message beyond the digests, and
 * the frame, as if one followed the other. */
static uint64_t
round_trips (const struct meeting *m, const struct meeting *none)
{
    uint64_t messages = m->messages > none->messages ? m->messages - none->messages : 0;
    return (messages + 1 + 1) / 2;
}

static uint64_t
bytes_of (struct bench_node *n, const char *db, uint64_t *chains)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    bench_call (n, WEIR_KIND_DB_SHOW, &ask.base, weir_bytes (NULL, 0), 30000, &answer);
    const Weir__DbInfos *m = (const Weir__DbInfos *) answer.meta;
    uint64_t bytes = m->n_items == 1 ? m->items[0]->bytes : 0;
    *chains = m->n_items == 1 ? m->items[0]->chains : 0;
    weir_client_answer_fini (&answer);
    return bytes;
}

void
bench_apart (struct bench *b)
{
    struct bench_node a;
    struct bench_node c;
    char db[WEIR_ID_TEXT + 1];
    struct weir_buf runs = { 0 };
    uint64_t entries = b->entries > 0 ? b->entries : 1000000;
    uint64_t number = 200000000;
    uint64_t chains = 0;
    bench_node_init (b, &a, "here", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &c, "there", "leaf", NULL);
    if (b->authors > 0) {
        bench_authors_make (&a, b->authors, b->authors, b->payload, db, &runs);
    }
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    if (b->authors == 0) {
        bench_create_db (&a, "bench", db);
    } else {
        bench_import (&a, db, weir_buf_bytes (&runs));
    }
    (void) bench_apply (&a, db, 0, entries > b->authors ? entries - b->authors : 0, b->payload);
    uint64_t want = bench_entries (&a, db) + 1; /* the join's own settings entry */
    bench_join (&a, &c, db);
    bench_wait_entries (&c, db, want, PATIENCE_MS);
    bench_wait_synced (&a, db, PATIENCE_MS);
    bench_set_one (&c, db, ++number, "\"its own\"");
    bench_wait_entries (&a, db, want + 1, PATIENCE_MS);
    bench_pause_us (REMEMBER_US);
    struct meeting none = meet_often (&a, &c, db, &number, false, false);
    uint64_t before = bytes_of (&a, db, &chains);
    struct meeting one = meet_often (&a, &c, db, &number, true, false);
    uint64_t entry_bytes = (bytes_of (&a, db, &chains) - before) / MEETINGS;
    struct meeting both = meet_often (&a, &c, db, &number, true, true);
    bench_node_stop (&c);
    bench_node_stop (&a);
    uint64_t trips = round_trips (&one, &none);
    uint64_t both_trips = round_trips (&both, &none);
    bench_print (b, json_pack ("{s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:I}", "entries",
                               (json_int_t) want, "chains", (json_int_t) chains, "wire_bytes",
                               (json_int_t) (one.bytes - none.bytes), "entry_bytes",
                               (json_int_t) entry_bytes, "round_trips", (json_int_t) trips, "ms",
                               one.ms, "both_wire_bytes", (json_int_t) (both.bytes - none.bytes),
                               "both_round_trips", (json_int_t) both_trips, "unchanged_ms", none.ms,
                               "unchanged_wire_bytes", (json_int_t) none.bytes));
    weir_buf_fini (&runs);
}

/* ---- many databases ---- */

static void
relate (struct bench_node *n, const char *db, const char *peer)
{
    Weir__Relationship ask = WEIR__RELATIONSHIP__INIT;
    struct weir_client_answer answer;
    ask.has_db = ask.has_peer = true;
    ask.db = weir_field_str (db);
    ask.peer = weir_field_str (peer);
    bench_call (n, WEIR_KIND_SYNC_RELATE, &ask.base, weir_bytes (NULL, 0), 60000, &answer);
    weir_client_answer_fini (&answer);
}

void
bench_databases (struct bench *b)
{
    struct bench_node a;
    struct bench_node c;
    char first[WEIR_ID_TEXT + 1];
    uint64_t n = b->databases > 0 ? b->databases : 1000;
    char (*dbs)[WEIR_ID_TEXT + 1] = weir_alloc (n * sizeof *dbs);
    struct meeting none = { .bytes = UINT64_MAX };
    struct meeting one = { .bytes = UINT64_MAX };
    bench_node_init (b, &a, "here", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &c, "there", "leaf", NULL);
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    bench_create_db (&a, "first", first);
    bench_join (&a, &c, first); /* now they know each other */
    bench_wait_synced (&a, first, 20000);
    bench_node_stop (&c);
    bench_node_stop (&a);
    bench_databases_make (&a, &c, n, dbs);
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    for (uint64_t i = 0; i < n; i++) {
        relate (&c, dbs[i], "here");
    }
    for (uint64_t i = 0; i < n; i++) {
        bench_wait_synced (&a, dbs[i], PATIENCE_MS);
    }
    bench_pause_us (REMEMBER_US);
    for (unsigned i = 0; i < MEETINGS; i++) {
        bench_transport (&c, false);
        struct meeting m = meet (&a, &c, NULL, 0);
        none = m.bytes < none.bytes ? m : none;
        bench_transport (&c, false);
        bench_set_one (&a, dbs[n / 2], i + 1, "\"changed\"");
        m = meet (&a, &c, NULL, 0);
        one = m.bytes < one.bytes ? m : one;
        if (bench_entries (&a, dbs[n / 2]) != bench_entries (&c, dbs[n / 2])) {
            bench_die ("the nodes met and are not equal");
        }
    }
    bench_node_stop (&c);
    bench_node_stop (&a);
    bench_print (b, json_pack ("{s:I, s:i, s:I, s:f, s:I, s:f}", "databases", (json_int_t) n,
                               "changed", 1, "wire_bytes", (json_int_t) one.bytes, "ms", one.ms,
                               "unchanged_wire_bytes", (json_int_t) none.bytes, "unchanged_ms",
                               none.ms));
    free (dbs);
}
