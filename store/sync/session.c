/* The handshake of one link as a pure state machine: what was said, what must be signed, and
 * whether the other side proved its device. The peers actor encodes, sends, and asks the store
 * to sign. */

#include "store/sync/session.h"
#include "store/sync/sync.h"

#include <string.h>

void
weir_session_init (struct weir_session *s, enum weir_session_role role,
                   const struct weir_hello *ours, const struct weir_id *initiator_key,
                   const struct weir_id *responder_key, const struct weir_id *expected,
                   uint64_t now_ms)
{
    memset (s, 0, sizeof *s);
    s->role = role;
    s->phase = WEIR_SESSION_NEW;
    s->ours = *ours;
    s->initiator_key = *initiator_key;
    s->responder_key = *responder_key;
    s->expected = *expected;
    s->deadline_ms = now_ms + WEIR_HANDSHAKE_MS;
}

void
weir_session_fini (struct weir_session *s)
{
    weir_buf_fini (&s->our_hello);
    weir_buf_fini (&s->their_hello);
}

static enum weir_status
fail (struct weir_session *s, enum weir_status why)
{
    s->phase = WEIR_SESSION_FAILED;
    s->why = why;
    return why;
}

static void
advance (struct weir_session *s)
{
    if (s->our_hello.len > 0 && s->their_hello.len > 0) {
        s->phase = WEIR_SESSION_PROVING;
    } else if (s->our_hello.len > 0) {
        s->phase = WEIR_SESSION_HELLO;
    }
}

void
weir_session_sent (struct weir_session *s, struct weir_bytes hello)
{
    weir_assert (hello.len > 0 && s->our_hello.len == 0);
    if (s->phase == WEIR_SESSION_FAILED) {
        return;
    }
    weir_buf_put_bytes (&s->our_hello, hello);
    advance (s);
}

enum weir_status
weir_session_hello (struct weir_session *s, const struct weir_hello *theirs,
                    struct weir_bytes bytes)
{
    if (s->phase == WEIR_SESSION_FAILED) {
        return s->why;
    }
    if (s->their_hello.len > 0 || bytes.len == 0 || weir_id_is_zero (&theirs->device)
        || theirs->protocol_min > theirs->protocol_max) {
        return fail (s, WEIR_BAD_MESSAGE);
    }
    if (weir_id_equal (&theirs->device, &s->ours.device)) {
        return fail (s, WEIR_OWN_DEVICE);
    }
    if (!weir_id_is_zero (&s->expected) && !weir_id_equal (&theirs->device, &s->expected)) {
        return fail (s, WEIR_WRONG_DEVICE);
    }
    uint32_t most =
        theirs->protocol_max < s->ours.protocol_max ? theirs->protocol_max : s->ours.protocol_max;
    if (most < theirs->protocol_min || most < s->ours.protocol_min) {
        return fail (s, WEIR_INCOMPATIBLE);
    }
    s->protocol = most;
    s->theirs = *theirs;
    if (s->theirs.role > WEIR_ROLE_RELAY) {
        s->theirs.role = WEIR_ROLE_LEAF;
    }
    weir_buf_put_bytes (&s->their_hello, bytes);
    advance (s);
    return WEIR_OK;
}

/* Both Hellos, the initiator's first, hashed one by one so that no byte can move between them;
 * and both link keys. */
static void
put_transcript (const struct weir_session *s, struct weir_buf *out)
{
    bool first = s->role == WEIR_INITIATOR;
    const struct weir_buf *initiator = first ? &s->our_hello : &s->their_hello;
    const struct weir_buf *responder = first ? &s->their_hello : &s->our_hello;
    struct weir_id a =
        weir_hash (WEIR_DOMAIN_HELLO, weir_buf_bytes (initiator), weir_bytes (NULL, 0));
    struct weir_id b =
        weir_hash (WEIR_DOMAIN_HELLO, weir_buf_bytes (responder), weir_bytes (NULL, 0));
    struct weir_id both = weir_hash (WEIR_DOMAIN_HELLO, weir_id_bytes (&a), weir_id_bytes (&b));
    weir_buf_put_bytes (out, weir_id_bytes (&both));
    weir_buf_put_bytes (out, weir_id_bytes (&s->initiator_key));
    weir_buf_put_bytes (out, weir_id_bytes (&s->responder_key));
}

void
weir_session_claim (const struct weir_session *s, enum weir_session_role signer_role,
                    struct weir_buf *out)
{
    weir_assert (s->our_hello.len > 0 && s->their_hello.len > 0);
    weir_buf_put_u8 (out, (uint8_t) signer_role);
    put_transcript (s, out);
}

static void
open_if_done (struct weir_session *s)
{
    if (s->phase == WEIR_SESSION_PROVING && s->proof_sent && s->proof_good) {
        s->phase = WEIR_SESSION_OPEN;
    }
}

enum weir_status
weir_session_proof (struct weir_session *s, const struct weir_signature *signature)
{
    if (s->phase == WEIR_SESSION_FAILED) {
        return s->why;
    }
    if (s->phase != WEIR_SESSION_PROVING || s->proof_good) {
        return fail (s, WEIR_BAD_PROOF);
    }
    struct weir_buf claim = { 0 };
    weir_session_claim (s, s->role == WEIR_INITIATOR ? WEIR_RESPONDER : WEIR_INITIATOR, &claim);
    enum weir_status status =
        weir_verify (&s->theirs.device, WEIR_SIGN_PROOF, weir_buf_bytes (&claim), signature);
    weir_buf_fini (&claim);
    if (status != WEIR_OK) {
        return fail (s, WEIR_BAD_PROOF);
    }
    s->proof_good = true;
    open_if_done (s);
    return WEIR_OK;
}

void
weir_session_proof_sent (struct weir_session *s)
{
    s->proof_sent = true;
    open_if_done (s);
}

bool
weir_session_open (const struct weir_session *s)
{
    return s->phase == WEIR_SESSION_OPEN;
}

struct weir_id
weir_session_key (const struct weir_session *s)
{
    weir_assert (s->our_hello.len > 0 && s->their_hello.len > 0);
    struct weir_buf transcript = { 0 };
    put_transcript (s, &transcript);
    struct weir_id key =
        weir_hash (WEIR_DOMAIN_TAG, weir_buf_bytes (&transcript), weir_bytes (NULL, 0));
    weir_buf_fini (&transcript);
    return key;
}

bool
weir_session_late (const struct weir_session *s, uint64_t now_ms)
{
    return s->phase != WEIR_SESSION_OPEN && now_ms >= s->deadline_ms;
}
