#ifndef WEIR_STORE_SYNC_SESSION_H
#define WEIR_STORE_SYNC_SESSION_H

/* The handshake that makes a session of a link (page 3, "Links and sessions"): Hello both ways,
 * then Proof both ways. Pure: signatures are asked of the store. A proof signs the tag, the
 * signer's role, the hash of both Hellos as received and both CURVE keys as the transport saw
 * them, so it fits one link, one direction, one negotiation. */

#include "store/crypto/sign.h"
#include "store/dag/vector.h"

#define WEIR_PROTOCOL_MIN 1u
#define WEIR_PROTOCOL_MAX 2u
#define WEIR_PROTOCOL_TREE 2u /* from it on: the tree, and what came with it */

#define WEIR_FEATURE_KEEPS ((uint64_t) 1) /* a hub that does not forward: a leaf, to the tree */

enum weir_session_role { WEIR_INITIATOR = 1, WEIR_RESPONDER = 2 };

struct weir_hello {
    uint32_t protocol_min;
    uint32_t protocol_max;
    uint64_t features; /* unknown bits mean nothing */
    uint32_t role;     /* enum weir_role; unknown ones count as leaf */
    struct weir_id device;
    struct weir_id challenge;
    struct weir_id exchange_key; /* fresh X25519, for links without CURVE */
    uint64_t epoch;              /* of this side's session */
};

enum weir_session_phase {
    WEIR_SESSION_NEW,
    WEIR_SESSION_HELLO,
    WEIR_SESSION_PROVING,
    WEIR_SESSION_OPEN,
    WEIR_SESSION_FAILED
};

struct weir_session {
    enum weir_session_role role;
    enum weir_session_phase phase;
    struct weir_hello ours;
    struct weir_hello theirs;
    struct weir_buf our_hello;    /* bytes as sent */
    struct weir_buf their_hello;  /* bytes as received */
    struct weir_id initiator_key; /* CURVE public keys; zero where there is none */
    struct weir_id responder_key;
    struct weir_id expected; /* the device dialled; zero: any */
    bool proof_sent;
    bool proof_good;
    uint32_t protocol; /* chosen */
    uint64_t deadline_ms;
    enum weir_status why; /* when FAILED */
};

void weir_session_init (struct weir_session *s, enum weir_session_role role,
                        const struct weir_hello *ours, const struct weir_id *initiator_key,
                        const struct weir_id *responder_key, const struct weir_id *expected,
                        uint64_t now_ms);
void weir_session_fini (struct weir_session *s);
/* The bytes hashed and signed are those on the wire: the caller encodes Hello, keeps what it
 * sent with weir_session_sent, and gives what it received decoded and as bytes. */
void weir_session_sent (struct weir_session *s, struct weir_bytes hello);
/* WEIR_OK: now ask for our proof over weir_session_claim (ours); WEIR_INCOMPATIBLE,
 * WEIR_OWN_DEVICE, WEIR_WRONG_DEVICE, WEIR_BAD_MESSAGE (second Hello, zero device). */
WEIR_MUST enum weir_status weir_session_hello (struct weir_session *s,
                                               const struct weir_hello *theirs,
                                               struct weir_bytes bytes);
/* What `signer_role` signs (use WEIR_SIGN_PROOF). Both Hellos must be known. */
void weir_session_claim (const struct weir_session *s, enum weir_session_role signer_role,
                         struct weir_buf *out);
/* Their proof. WEIR_OK when good; WEIR_BAD_PROOF (also for a reflected or replayed one). */
WEIR_MUST enum weir_status weir_session_proof (struct weir_session *s,
                                               const struct weir_signature *signature);
void weir_session_proof_sent (struct weir_session *s);
bool weir_session_open (const struct weir_session *s); /* both proofs done */
/* The key of this session's database tags: known to both sides only. */
struct weir_id weir_session_key (const struct weir_session *s);
bool weir_session_late (const struct weir_session *s, uint64_t now_ms); /* handshake time-out */

#endif
