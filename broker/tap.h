#ifndef WEIR_BROKER_TAP_H
#define WEIR_BROKER_TAP_H

/* Taps: who watches the messages that pass. With none the only cost is one comparison a message
 * (`count`). A tap is bounded in rate, time and size, never blocks, and counts what it missed.
 * What is secret never leaves. */

#include "protos/codec.h"

#define WEIR_TAP_PART_BYTES_MAX (64u << 10) /* of a meta or a body shown */

struct weir_tap_filter {              /* empty: everything */
    char actor[64], from[64], to[64]; /* names or roles; actor is either side */
    const struct weir_kind *kind;
    char peer[16], db[16]; /* first characters of ids */
    uint64_t trace;
    uint64_t min, max; /* bytes of meta and body */
    int answer;        /* -1: both, 0: requests, 1: answers */
};
/* "actor=store kind=NOVEL from=peers to=transport-1 peer=abc db=abc trace=N min=N max=N
 * answer=yes|no", any of them, all must hold. WEIR_INVALID_ARGUMENT names the word. */
WEIR_MUST enum weir_status weir_tap_filter_parse (struct weir_tap_filter *out, const char *text,
                                                  struct weir_error *e);

struct weir_tap_seen {
    const struct weir_envelope *envelope;
    struct weir_bytes head;       /* the envelope as it passes */
    const struct weir_kind *kind; /* NULL: unknown */
    const char *from_name, *from_role;
    const char *to_name, *to_role;
    struct weir_bytes meta;
    struct weir_bytes body;
};
bool weir_tap_filter_match (const struct weir_tap_filter *f, const struct weir_tap_seen *seen);

/* Sends an event to the tapper: WEIR_BUSY (it was not taken), WEIR_UNAVAILABLE (the tapper is
 * gone). */
typedef enum weir_status (weir_tap_send_fn) (void *context, const struct weir_envelope *request,
                                             const Weir__TapEvent *event, bool more);

struct weir_tap {
    struct weir_envelope request; /* who, and which request this answers */
    struct weir_tap_filter filter;
    bool meta, body;
    uint64_t ends_ms;
    uint64_t rate;
    uint64_t second; /* the running one, and how many it saw */
    uint64_t in_second;
    uint64_t missed;
};

struct weir_taps {
    size_t count;
    struct weir_tap items[WEIR_TAPS_MAX];
    weir_tap_send_fn *send;
    void *context;
};

WEIR_MUST enum weir_status weir_taps_start (struct weir_taps *t,
                                            const struct weir_envelope *request,
                                            const Weir__TapFilter *wanted, uint64_t now_ms,
                                            struct weir_error *e);
/* The last answer says why. WEIR_NOT_FOUND when this tapper has no such tap. */
WEIR_MUST enum weir_status weir_taps_stop (struct weir_taps *t,
                                           const struct weir_mailbox_id *tapper, uint64_t request,
                                           const char *why);
void weir_taps_see (struct weir_taps *t, const struct weir_tap_seen *seen, uint64_t now_ms,
                    uint64_t unix_ms);
void weir_taps_tick (struct weir_taps *t, uint64_t now_ms);

#endif
