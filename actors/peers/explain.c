/* From facts to the reason a database is not on a peer, and to words; see explain.h. The order of
 * the conditions is the order in which they must be removed: what makes the others moot first. */

#include "actors/peers/explain.h"

#include <stdio.h>
#include <string.h>

#define SETTLING_MS 2000u /* what is found is looked into within it */

static const struct {
    const char *code, *sentence, *hint;
} reasons[] = {
#define REASON(name, code, sentence, hint) { code, sentence, hint },
#include "actors/peers/explain.def"
#undef REASON
};

/* ---- judging ---- */

static bool
is_in_step (const struct explain_facts *f)
{
    return f->linked && f->shared && f->phase == WEIR_SYNC_EQUAL;
}

/* Who may, and who wants. */
static enum explain_reason
judge_relation (const struct explain_facts *f)
{
    if (f->alone) {
        return EXPLAIN_ALONE;
    }
    if (f->joining) {
        return EXPLAIN_JOINING;
    }
    if (!f->is_member_here) {
        return EXPLAIN_WE_ARE_OUT;
    }
    if (f->blocked) {
        return EXPLAIN_BLOCKED;
    }
    if (f->removed) {
        return EXPLAIN_REMOVED;
    }
    if (!f->member) {
        return EXPLAIN_NOT_MEMBER;
    }
    if (f->taken_off) {
        return EXPLAIN_TAKEN_OFF;
    }
    return f->related ? EXPLAIN_COUNT : EXPLAIN_NOT_RELATED;
}

static enum explain_reason
judge_refusal (enum weir_status error)
{
    static const struct {
        enum weir_status status;
        enum explain_reason reason;
    } rows[] = {
        { WEIR_INCOMPATIBLE, EXPLAIN_INCOMPATIBLE }, { WEIR_WRONG_DEVICE, EXPLAIN_WRONG_DEVICE },
        { WEIR_OWN_DEVICE, EXPLAIN_WRONG_DEVICE },   { WEIR_BAD_PROOF, EXPLAIN_BAD_PROOF },
        { WEIR_BLOCKED, EXPLAIN_THEY_BLOCK },        { WEIR_REMOVED, EXPLAIN_THEY_REMOVED },
        { WEIR_REFUSED, EXPLAIN_THEY_REFUSE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].status == error) {
            return rows[i].reason;
        }
    }
    return EXPLAIN_COUNT;
}

static enum explain_reason
judge_link (const struct explain_facts *f)
{
    if (f->linked) {
        return EXPLAIN_COUNT;
    }
    if (f->connecting) {
        return EXPLAIN_CONNECTING;
    }
    enum explain_reason refusal = judge_refusal (f->link_error);
    if (refusal != EXPLAIN_COUNT) {
        return refusal;
    }
    if (!f->transport_up) {
        return EXPLAIN_NO_TRANSPORT;
    }
    if (!f->dialable) {
        return EXPLAIN_NO_ADDRESS;
    }
    return f->ever_seen ? EXPLAIN_NOT_CONNECTED : EXPLAIN_NEVER_MET;
}

/* There is a session, and something moves. */
static enum explain_reason
judge_motion (const struct explain_facts *f)
{
    if (f->sync_error == WEIR_DISK_FULL) {
        return EXPLAIN_PEER_DISK_FULL;
    }
    if (f->sync_error == WEIR_NEEDS_UPGRADE || f->needs_upgrade) {
        return EXPLAIN_NEEDS_UPGRADE;
    }
    if (f->sync_error == WEIR_REMOVED) {
        return EXPLAIN_THEY_REMOVED;
    }
    if (f->phase == WEIR_SYNC_SENDING) {
        return f->rate_limit > 0 ? EXPLAIN_SENDING_LIMITED : EXPLAIN_SENDING;
    }
    if (f->phase == WEIR_SYNC_RECEIVING) {
        return EXPLAIN_RECEIVING;
    }
    if (f->waits_to_compare) {
        return EXPLAIN_WAITS_TO_COMPARE;
    }
    return f->phase == WEIR_SYNC_COMPARING ? EXPLAIN_COMPARING : EXPLAIN_COUNT;
}

/* There is a session, nothing moves, and still they differ. */
static enum explain_reason
judge_rest (const struct explain_facts *f)
{
    if (!f->enabled) {
        return EXPLAIN_DISABLED;
    }
    if (f->phase == WEIR_SYNC_IDLE || f->phase == WEIR_SYNC_ABSENT) {
        return f->parked ? EXPLAIN_PARKED : EXPLAIN_UNANSWERED;
    }
    if ((f->direction & WEIR_SYNC_PUSH) == 0) {
        return EXPLAIN_PULL_ONLY;
    }
    if ((f->direction & WEIR_SYNC_PULL) == 0) {
        return EXPLAIN_PUSH_ONLY;
    }
    /* They said what they hold, so that it is not the database they refuse: it is our offers. */
    if (f->sync_error == WEIR_REFUSED || (f->retried && f->retry_why == WEIR_REFUSED)) {
        return EXPLAIN_NOT_FETCHED;
    }
    if (f->pending > 0) {
        return EXPLAIN_PENDING_HERE;
    }
    if (f->parked) {
        return EXPLAIN_PARKED;
    }
    if (f->retried) {
        return EXPLAIN_RETRYING;
    }
    if (f->sync_error != WEIR_OK && f->sync_error != WEIR_PENDING) {
        return EXPLAIN_FAILED;
    }
    if (f->phase_ms < SETTLING_MS) {
        return EXPLAIN_SETTLING;
    }
    return f->leaf && f->lag_known && f->lag > 0 ? EXPLAIN_LEAF : EXPLAIN_DIFFERS;
}

enum explain_reason
explain_judge (const struct explain_facts *f)
{
    enum explain_reason reason = judge_relation (f);
    if (reason == EXPLAIN_COUNT && is_in_step (f)) {
        return f->blobs != NULL ? EXPLAIN_BLOBS : EXPLAIN_IN_STEP;
    }
    if (reason == EXPLAIN_COUNT && f->disk_full) {
        return EXPLAIN_DISK_FULL;
    }
    if (reason == EXPLAIN_COUNT) {
        reason = judge_link (f);
    }
    if (reason == EXPLAIN_COUNT && f->store_away) {
        return EXPLAIN_STORE_AWAY;
    }
    if (reason == EXPLAIN_COUNT) {
        reason = judge_motion (f);
    }
    return reason == EXPLAIN_COUNT ? judge_rest (f) : reason;
}

const char *
explain_code (enum explain_reason reason)
{
    return reason < EXPLAIN_COUNT ? reasons[reason].code : "unknown";
}

/* ---- words ---- */

const char *
explain_status (enum weir_status status)
{
    static const struct {
        enum weir_status status;
        const char *words;
    } rows[] = {
        { WEIR_OK, "no reason is known yet" },
        { WEIR_NOT_REACHABLE_OR_NOT_ADMITTED,
          "nothing answers at its addresses, or it does not let this device in" },
        { WEIR_TIMED_OUT, "no answer in time" },
        { WEIR_BUSY, "it is busy" },
        { WEIR_UNAVAILABLE, "a part of a node was away" },
        { WEIR_INCOMPATIBLE, "no version of the protocol in common" },
        { WEIR_WRONG_DEVICE, "another device answers there" },
        { WEIR_REFUSED, "nothing is shared with this device" },
        { WEIR_BLOCKED, "it is blocked" },
        { WEIR_REMOVED, "it was removed" },
        { WEIR_DISK_FULL, "a disk is full" },
        { WEIR_CANCELLED, "it was ended by hand" },
        { WEIR_BAD_MESSAGE, "a message made no sense" },
        { WEIR_GAP, "data were lost on the way" },
        { WEIR_LIMIT, "a bound was reached" },
        { WEIR_TICKET_EXPIRED, "the ticket ran out" },
        { WEIR_TICKET_USED, "another device used the ticket" },
        { WEIR_PENDING, "it is not done yet" },
        { WEIR_BELOW_HORIZON, "it lies below what the other keeps" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].status == status) {
            return rows[i].words;
        }
    }
    return weir_status_code (status);
}

static void
put_time (char *out, size_t size, double ms)
{
    if (ms < 1000.0) {
        (void) snprintf (out, size, "less than a second");
    } else if (ms < 120000.0) {
        (void) snprintf (out, size, "%.0f s", ms / 1000.0);
    } else if (ms < 7200000.0) {
        (void) snprintf (out, size, "%.0f min", ms / 60000.0);
    } else if (ms < 172800000.0) {
        (void) snprintf (out, size, "%.0f h", ms / 3600000.0);
    } else if (ms < 1e13) {
        (void) snprintf (out, size, "%.0f days", ms / 86400000.0);
    } else {
        (void) snprintf (out, size, "an unknown time");
    }
}

static double
eta_ms (const struct explain_facts *f)
{
    double rate = f->out_per_s;
    if (f->rate_limit > 0 && f->bytes_per_entry > 0) {
        double limited = (double) f->rate_limit / f->bytes_per_entry;
        rate = rate > 0 && rate < limited ? rate : limited;
    }
    return rate > 0 && f->lag_known ? 1000.0 * (double) f->lag / rate : 1e18;
}

static void
put_why (char *out, size_t size, const struct explain_facts *f)
{
    enum weir_status status = f->joining   ? f->join_why
                              : !f->linked ? f->link_error
                              : f->retried ? f->retry_why
                                           : f->sync_error;
    bool words = !f->joining && !f->linked && f->link_why[0] != '\0';
    (void) snprintf (out, size, "%s", words ? f->link_why : explain_status (status));
}

static void
put_word (char *out, size_t size, const char *name, size_t len, const struct explain_facts *f)
{
    const double rate = f->phase == WEIR_SYNC_RECEIVING ? f->in_per_s : f->out_per_s;
    const struct {
        const char *name;
        unsigned long long number;
    } numbers[] = {
        { "lag", f->lag },
        { "n", f->done },
        { "m", f->done + f->lag },
        { "tries", f->tries },
        { "limit", f->rate_limit },
        { "count", f->pending },
        { "rate", rate < 1e15 ? (unsigned long long) (rate + 0.5) : 0 },
    };
    out[0] = '\0';
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strlen (numbers[i].name) == len && strncmp (numbers[i].name, name, len) == 0) {
            (void) snprintf (out, size, "%llu", numbers[i].number);
            return;
        }
    }
    if (strncmp (name, "peer", len) == 0) {
        (void) snprintf (out, size, "%s", f->peer);
    } else if (strncmp (name, "blobs", len) == 0) {
        (void) snprintf (out, size, "%s", f->blobs != NULL ? f->blobs : "");
    } else if (strncmp (name, "db", len) == 0) {
        (void) snprintf (out, size, "%s", f->db);
    } else if (strncmp (name, "why", len) == 0) {
        put_why (out, size, f);
    } else if (strncmp (name, "deferred", len) == 0) {
        (void) snprintf (out, size, "%s", explain_status (f->deferred));
    } else if (strncmp (name, "ago", len) == 0) {
        put_time (out, size, (double) (f->linked ? f->phase_ms : f->absent_ms));
    } else if (strncmp (name, "next", len) == 0) {
        put_time (out, size, f->retried ? (double) f->next_ms : 1e18);
    } else if (strncmp (name, "eta", len) == 0) {
        put_time (out, size, eta_ms (f));
    }
}

static void
expand (char *out, size_t size, const char *text, const struct explain_facts *f)
{
    size_t at = 0;
    out[0] = '\0';
    while (*text != '\0' && at + 1 < size) {
        const char *end = *text == '{' ? strchr (text, '}') : NULL;
        if (end == NULL) {
            out[at++] = *text++;
            out[at] = '\0';
        } else {
            char word[192];
            put_word (word, sizeof word, text + 1, (size_t) (end - text - 1), f);
            (void) snprintf (out + at, size - at, "%s", word);
            at += strlen (out + at);
            text = end + 1;
        }
    }
}

void
explain_words (enum explain_reason reason, const struct explain_facts *f, char *sentence,
               size_t sentence_size, char *hint, size_t hint_size)
{
    weir_assert (reason < EXPLAIN_COUNT);
    expand (sentence, sentence_size, reasons[reason].sentence, f);
    expand (hint, hint_size, reasons[reason].hint, f);
}
