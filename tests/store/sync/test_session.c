/* Goal: two honest sides open a session with one key; every lie in a Hello or Proof ends it with
 * its own status: reflected, replayed, from another link, another device, another negotiation. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "store/sync/session.h"
#include "store/sync/sync.h"
#include "store/base/limits.h"

struct side {
    struct weir_identity identity;
    struct weir_hello hello;
    struct weir_session s;
};

static const struct weir_id key_a = { { 0xa } };
static const struct weir_id key_b = { { 0xb } };

static void
side_init (struct side *x, uint8_t n, enum weir_session_role role)
{
    memset (x, 0, sizeof *x);
    uint8_t seed[32] = { n };
    weir_identity_init (&x->identity, seed);
    x->hello.protocol_min = WEIR_PROTOCOL_MIN;
    x->hello.protocol_max = WEIR_PROTOCOL_MAX;
    x->hello.device = x->identity.device;
    x->hello.challenge.b[0] = n;
    x->hello.epoch = n;
    weir_session_init (&x->s, role, &x->hello, &key_a, &key_b, &weir_id_zero, 1000);
}

/* A stand-in for the codec: the bytes only have to be a function of the Hello. */
static void
encode (const struct side *x, struct weir_buf *out)
{
    weir_buf_put_bytes (out, weir_id_bytes (&x->hello.device));
    weir_buf_put_bytes (out, weir_id_bytes (&x->hello.challenge));
    weir_buf_put_u64 (out, x->hello.epoch);
}

static void
say_hello (struct side *from, struct side *to, enum weir_status want)
{
    struct weir_buf b = { 0 };
    encode (from, &b);
    if (from->s.our_hello.len == 0) {
        weir_session_sent (&from->s, weir_buf_bytes (&b));
    }
    assert_int_equal (weir_session_hello (&to->s, &from->hello, weir_buf_bytes (&b)), want);
    weir_buf_fini (&b);
}

static void
sign (const struct side *x, struct weir_signature *out)
{
    struct weir_buf claim = { 0 };
    weir_session_claim (&x->s, x->s.role, &claim);
    weir_sign (out, &x->identity, WEIR_SIGN_PROOF, weir_buf_bytes (&claim));
    weir_buf_fini (&claim);
}

static void
pair_init (struct side *a, struct side *b)
{
    side_init (a, 1, WEIR_INITIATOR);
    side_init (b, 2, WEIR_RESPONDER);
}

static void
greet (struct side *a, struct side *b)
{
    say_hello (a, b, WEIR_OK);
    say_hello (b, a, WEIR_OK);
}

static void
side_fini (struct side *x)
{
    weir_session_fini (&x->s);
    weir_identity_fini (&x->identity);
}

static void
test_open (void **state)
{
    (void) state;
    struct side a, b;
    pair_init (&a, &b);
    assert_int_equal (a.s.phase, WEIR_SESSION_NEW);
    say_hello (&a, &b, WEIR_OK);
    assert_int_equal (a.s.phase, WEIR_SESSION_HELLO);
    say_hello (&b, &a, WEIR_OK);
    assert_int_equal (a.s.phase, WEIR_SESSION_PROVING);
    assert_int_equal (b.s.phase, WEIR_SESSION_PROVING);
    struct weir_signature pa, pb;
    sign (&a, &pa);
    sign (&b, &pb);
    weir_session_proof_sent (&a.s);
    assert_false (weir_session_open (&a.s));
    assert_int_equal (weir_session_proof (&b.s, &pa), WEIR_OK);
    assert_false (weir_session_open (&b.s));
    weir_session_proof_sent (&b.s);
    assert_true (weir_session_open (&b.s));
    assert_int_equal (weir_session_proof (&a.s, &pb), WEIR_OK);
    assert_true (weir_session_open (&a.s));
    assert_int_equal (a.s.protocol, WEIR_PROTOCOL_MAX);
    struct weir_id ka = weir_session_key (&a.s);
    struct weir_id kb = weir_session_key (&b.s);
    assert_true (weir_id_equal (&ka, &kb));
    assert_false (weir_session_late (&a.s, UINT64_MAX));
    side_fini (&a);
    side_fini (&b);
}

static void
test_bad_hello (void **state)
{
    (void) state;
    static const struct {
        enum { SAME_DEVICE, OTHER_DEVICE, NO_DEVICE, NEWER, OLDER, UPSIDE_DOWN, TWICE, EMPTY } lie;
        enum weir_status want;
    } table[] = {
        { SAME_DEVICE, WEIR_OWN_DEVICE }, { OTHER_DEVICE, WEIR_WRONG_DEVICE },
        { NO_DEVICE, WEIR_BAD_MESSAGE },  { NEWER, WEIR_INCOMPATIBLE },
        { OLDER, WEIR_INCOMPATIBLE },     { UPSIDE_DOWN, WEIR_BAD_MESSAGE },
        { TWICE, WEIR_BAD_MESSAGE },      { EMPTY, WEIR_BAD_MESSAGE },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct side a, b;
        pair_init (&a, &b);
        struct weir_hello lie = a.hello;
        struct weir_bytes bytes = weir_bytes ("hello", 5);
        switch (table[i].lie) {
        case SAME_DEVICE:
            lie.device = b.hello.device;
            break;
        case OTHER_DEVICE:
            b.s.expected.b[5] = 7;
            break;
        case NO_DEVICE:
            lie.device = weir_id_zero;
            break;
        case NEWER:
            lie.protocol_min = WEIR_PROTOCOL_MAX + 1;
            lie.protocol_max = WEIR_PROTOCOL_MAX + 3;
            break;
        case OLDER:
            lie.protocol_min = 0;
            lie.protocol_max = WEIR_PROTOCOL_MIN - 1;
            break;
        case UPSIDE_DOWN:
            lie.protocol_min = 3;
            lie.protocol_max = 1;
            break;
        case TWICE:
            assert_int_equal (weir_session_hello (&b.s, &lie, bytes), WEIR_OK);
            break;
        case EMPTY:
            bytes.len = 0;
            break;
        }
        assert_int_equal (weir_session_hello (&b.s, &lie, bytes), table[i].want);
        assert_int_equal (b.s.phase, WEIR_SESSION_FAILED);
        assert_int_equal (b.s.why, table[i].want);
        /* It stays failed, whatever comes late. */
        assert_int_equal (weir_session_hello (&b.s, &a.hello, weir_bytes ("x", 1)), table[i].want);
        struct weir_signature none = { { 0 } };
        assert_int_equal (weir_session_proof (&b.s, &none), table[i].want);
        weir_session_sent (&b.s, weir_bytes ("late", 4));
        weir_session_proof_sent (&b.s);
        assert_false (weir_session_open (&b.s));
        side_fini (&a);
        side_fini (&b);
    }
}

static void
test_unknown_role_and_ranges (void **state)
{
    (void) state;
    struct side a, b;
    pair_init (&a, &b);
    a.hello.role = 99;
    a.hello.protocol_min = 0;
    a.hello.protocol_max = 99;
    a.hello.features = UINT64_MAX;
    say_hello (&a, &b, WEIR_OK);
    assert_int_equal (b.s.theirs.role, WEIR_ROLE_LEAF);
    assert_int_equal (b.s.protocol, WEIR_PROTOCOL_MAX);
    side_fini (&a);
    side_fini (&b);
}

static void
test_bad_proofs (void **state)
{
    (void) state;
    enum { REFLECTED, REPLAYED, OTHER_LINK, OTHER_KEY, TWICE, EARLY, FLIPPED, LIES };
    for (int lie = 0; lie < LIES; lie++) {
        struct side a, b;
        pair_init (&a, &b);
        struct weir_signature p = { { 0 } };
        if (lie == REPLAYED) { /* of an earlier session with the same keys */
            greet (&a, &b);
            sign (&a, &p);
            side_fini (&a);
            side_fini (&b);
            pair_init (&a, &b);
            b.hello.challenge.b[9] = 9;
        }
        if (lie != EARLY) {
            greet (&a, &b);
        }
        if (lie == REFLECTED) {
            sign (&b, &p); /* what b itself said */
        } else if (lie == OTHER_LINK) {
            struct weir_session s = a.s;
            s.responder_key.b[3] = 1;
            struct weir_buf claim = { 0 };
            weir_session_claim (&s, WEIR_INITIATOR, &claim);
            weir_sign (&p, &a.identity, WEIR_SIGN_PROOF, weir_buf_bytes (&claim));
            weir_buf_fini (&claim);
        } else if (lie == OTHER_KEY) {
            struct weir_buf claim = { 0 };
            weir_session_claim (&a.s, WEIR_INITIATOR, &claim);
            weir_sign (&p, &b.identity, WEIR_SIGN_PROOF, weir_buf_bytes (&claim));
            weir_buf_fini (&claim);
        } else if (lie == TWICE || lie == FLIPPED) {
            sign (&a, &p);
            if (lie == TWICE) {
                assert_int_equal (weir_session_proof (&b.s, &p), WEIR_OK);
            } else {
                p.b[10] ^= 1;
            }
        }
        assert_int_equal (weir_session_proof (&b.s, &p), WEIR_BAD_PROOF);
        assert_int_equal (b.s.phase, WEIR_SESSION_FAILED);
        weir_session_proof_sent (&b.s);
        assert_false (weir_session_open (&b.s));
        side_fini (&a);
        side_fini (&b);
    }
}

static void
test_key_depends_on_both_hellos (void **state)
{
    (void) state;
    struct side a, b, c, d;
    pair_init (&a, &b);
    pair_init (&c, &d);
    d.hello.challenge.b[31] = 1;
    greet (&a, &b);
    greet (&c, &d);
    struct weir_id one = weir_session_key (&a.s);
    struct weir_id two = weir_session_key (&c.s);
    assert_false (weir_id_equal (&one, &two));
    side_fini (&a);
    side_fini (&b);
    side_fini (&c);
    side_fini (&d);
}

static void
test_late (void **state)
{
    (void) state;
    struct side a;
    side_init (&a, 1, WEIR_INITIATOR);
    assert_false (weir_session_late (&a.s, 1000 + WEIR_HANDSHAKE_MS - 1));
    assert_true (weir_session_late (&a.s, 1000 + WEIR_HANDSHAKE_MS));
    side_fini (&a);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_open),
        cmocka_unit_test (test_bad_hello),
        cmocka_unit_test (test_unknown_role_and_ranges),
        cmocka_unit_test (test_bad_proofs),
        cmocka_unit_test (test_key_depends_on_both_hellos),
        cmocka_unit_test (test_late),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
