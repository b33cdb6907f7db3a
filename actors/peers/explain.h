#ifndef WEIR_ACTORS_PEERS_EXPLAIN_H
#define WEIR_ACTORS_PEERS_EXPLAIN_H

/* Why is this database not on that peer? Pure: from facts to one reason, and from a reason to a
 * code, a sentence and what to do (explain.def). The peers actor gathers the facts. */

#include "store/base/status.h"
#include "store/sync/sync.h"

enum explain_reason {
#define REASON(name, code, sentence, hint) EXPLAIN_##name,
#include "actors/peers/explain.def"
#undef REASON
    EXPLAIN_COUNT
};

struct explain_facts {
    const char *peer; /* names; never NULL */
    const char *db;
    /* the database here */
    bool alone;   /* there is no peer to say anything of */
    bool joining; /* and why it is not done: join_why */
    enum weir_status join_why;
    bool is_member_here; /* we */
    bool store_away;     /* what follows of it is not known */
    bool disk_full;
    bool needs_upgrade;
    uint64_t pending; /* runs that wait for others */
    enum weir_status deferred;
    /* the relationship */
    bool member; /* they */
    bool removed;
    bool related;
    bool taken_off;
    enum weir_direction direction;
    uint64_t rate_limit; /* bytes a second; 0: none */
    bool enabled;
    bool leaf; /* we */
    /* the link */
    bool blocked;
    bool linked;
    bool connecting;
    bool transport_up;
    bool dialable;
    bool ever_seen;
    uint64_t absent_ms;
    enum weir_status link_error;
    const char *link_why; /* "" or words */
    /* the exchange */
    bool shared; /* the synchronizer knows of it */
    enum weir_sync_phase phase;
    uint64_t phase_ms; /* for how long */
    bool waits_to_compare;
    enum weir_status sync_error;
    bool lag_known;
    uint64_t lag;
    const char *blobs; /* why their content is not in step; NULL: it is */
    uint64_t done;     /* entries acknowledged since it was last in step */
    double out_per_s;
    double in_per_s;
    double bytes_per_entry; /* 0: not known */
    /* the retry queue */
    bool retried;
    bool parked;
    uint32_t tries;
    uint64_t next_ms; /* to the next attempt */
    enum weir_status retry_why;
};

enum explain_reason explain_judge (const struct explain_facts *f);
const char *explain_code (enum explain_reason reason);
void explain_words (enum explain_reason reason, const struct explain_facts *f, char *sentence,
                    size_t sentence_size, char *hint, size_t hint_size);
/* A status in words: "no answer in time"; its code when there are none. */
const char *explain_status (enum weir_status status);

#endif
