/* Goal: nothing that another node may send gets past the transport unless it has the shape, kind
 * and size that kinds.def allows between nodes; frames come out as they went in, and one that
 * promises another size than it has does not come out at all; only tcp addresses are dialled. */

#include "tests/actors/fake.h"

#include "actors/transport/wire.h"

static void
envelopes (void **state)
{
    static const struct {
        uint16_t kind;
        size_t meta;
        size_t body;
        enum weir_status status;
    } rows[] = {
        { WEIR_KIND_W_HELLO, 10, 0, WEIR_OK },
        { WEIR_KIND_W_FRAME, 10, WEIR_MESSAGE_BODY_BYTES_MAX, WEIR_OK },
        { WEIR_KIND_W_FRAME, 10, WEIR_MESSAGE_BODY_BYTES_MAX + 1, WEIR_TOO_LARGE },
        { WEIR_KIND_W_HELLO, WEIR_MESSAGE_META_BYTES_MAX + 1, 0, WEIR_TOO_LARGE },
        { WEIR_KIND_W_HELLO, 10, 1, WEIR_TOO_LARGE }, /* has no body */
        { WEIR_KIND_COMPARE, 10, 0, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_STOP, 0, 0, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_NODE_STOP, 0, 0, WEIR_NOT_PERMITTED_KIND },
        { 699, 0, 0, WEIR_UNKNOWN_KIND }, /* a newer node's: skipped */
        { 700, 0, 0, WEIR_NOT_PERMITTED_KIND },
        { 0, 0, 0, WEIR_NOT_PERMITTED_KIND },
    };
    static uint8_t zeros[WEIR_MESSAGE_BODY_BYTES_MAX + 1];
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_envelope e = { .kind = rows[i].kind };
        struct weir_envelope got;
        const struct weir_kind *kind = NULL;
        uint8_t bytes[WEIR_ENVELOPE_BYTES];
        weir_envelope_put (&e, bytes);
        assert_int_equal (transport_wire_check (weir_bytes (bytes, sizeof bytes),
                                                weir_bytes (zeros, rows[i].meta),
                                                weir_bytes (zeros, rows[i].body), &got, &kind),
                          rows[i].status);
        assert_int_equal (kind != NULL, rows[i].status == WEIR_OK);
    }
}

static void
bent_envelopes (void **state)
{
    struct weir_envelope e = { .kind = WEIR_KIND_W_HELLO };
    struct weir_envelope got;
    const struct weir_kind *kind = NULL;
    uint8_t good[WEIR_ENVELOPE_BYTES];
    (void) state;
    weir_envelope_put (&e, good);
    for (size_t len = 0; len < sizeof good; len++) { /* truncated anywhere */
        assert_int_equal (transport_wire_check (weir_bytes (good, len), weir_bytes (NULL, 0),
                                                weir_bytes (NULL, 0), &got, &kind),
                          WEIR_BAD_MESSAGE);
    }
    e.flags = WEIR_ENV_ANSWER; /* answers do not travel */
    weir_envelope_put (&e, good);
    assert_int_equal (transport_wire_check (weir_bytes (good, sizeof good), weir_bytes (NULL, 0),
                                            weir_bytes (NULL, 0), &got, &kind),
                      WEIR_BAD_MESSAGE);
    e.flags = 0;
    e.request = 5;
    weir_envelope_put (&e, good);
    assert_int_equal (transport_wire_check (weir_bytes (good, sizeof good), weir_bytes (NULL, 0),
                                            weir_bytes (NULL, 0), &got, &kind),
                      WEIR_BAD_MESSAGE);
}

static void
addresses (void **state)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        { "tcp://127.0.0.1:1", true },
        { "tcp://node.example.org:28470", true },
        { "tcp://[::1]:65535", true },
        { "ipc:///run/weir/control", false },
        { "inproc://zeromq.zap.01", false },
        { "tcp://host", false },
        { "tcp://:1", false },
        { "tcp://host:", false },
        { "tcp://host:0", false },
        { "tcp://host:65536", false },
        { "tcp://host:123456", false },
        { "tcp://host:1x", false },
        { "tcp://eth0;host:1", false }, /* libzmq would choose our interface by it */
        { "tcp://ho st:1", false },
        { "TCP://host:1", false },
        { "", false },
    };
    char longest[WEIR_ADDRESS_BYTES_MAX + 2];
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal (transport_address_ok (rows[i].text), rows[i].good);
    }
    memset (longest, 'a', sizeof longest);
    memcpy (longest, "tcp://", 6);
    memcpy (longest + sizeof longest - 3, ":1", 3);
    assert_false (transport_address_ok (longest));
}

static void
frames_come_back (void **state)
{
    static uint8_t data[WEIR_FRAME_BYTES_MAX];
    static const size_t sizes[] = { 0, 1, 127, 128, 5000, WEIR_FRAME_BYTES_MAX };
    struct transport_codec *codec = transport_codec_new ();
    struct weir_rand rand;
    (void) state;
    weir_rand_init (&rand, 3);
    for (int noise = 0; noise < 2; noise++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            Weir__Frame frame = WEIR__FRAME__INIT;
            struct weir_buf wire = { 0 };
            struct weir_bytes back;
            if (noise) {
                weir_rand_bytes (&rand, data, sizes[i]);
            } else {
                memset (data, 'x', sizes[i]);
            }
            frame.has_transfer = frame.has_offset = true;
            weir_buf_put_bytes (&wire,
                                transport_frame_pack (codec, weir_bytes (data, sizes[i]), &frame));
            assert_int_equal (frame.codec, !noise && sizes[i] >= 128 ? 1 : 0);
            assert_int_equal (frame.bytes, sizes[i]);
            assert_int_equal (transport_frame_unpack (codec, &frame, weir_buf_bytes (&wire), &back),
                              WEIR_OK);
            assert_true (weir_bytes_equal (back, weir_bytes (data, sizes[i])));
            weir_buf_fini (&wire);
        }
    }
    transport_codec_destroy (&codec);
    transport_codec_destroy (&codec);
}

static void
frames_that_lie (void **state)
{
    static uint8_t data[WEIR_FRAME_BYTES_MAX + 1];
    struct transport_codec *codec = transport_codec_new ();
    Weir__Frame good = WEIR__FRAME__INIT;
    struct weir_buf wire = { 0 };
    struct weir_bytes back = weir_bytes (NULL, 0);
    (void) state;
    good.has_transfer = good.has_offset = true;
    weir_buf_put_bytes (&wire, transport_frame_pack (codec, weir_bytes (data, 10000), &good));
    assert_int_equal (good.codec, 1);
    struct {
        uint32_t codec;
        uint32_t bytes;
        size_t cut;
    } rows[] = {
        { 1, 9999, 0 },                     /* more comes out than was told */
        { 1, 10001, 0 },                    /* less */
        { 1, 0, 0 },                        /* nothing was told */
        { 1, 10000, 1 },                    /* truncated */
        { 1, WEIR_FRAME_BYTES_MAX + 1, 0 }, /* absurd */
        { 1, 0xffffffffu, 0 },
        { 2, 10000, 0 }, /* no such codec */
        { 0, 10000, 0 }, /* plain, of another length */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Weir__Frame bad = good;
        bad.codec = rows[i].codec;
        bad.bytes = rows[i].bytes;
        assert_int_equal (transport_frame_unpack (
                              codec, &bad, weir_bytes (wire.data, wire.len - rows[i].cut), &back),
                          WEIR_BAD_FRAME);
    }
    Weir__Frame bare = good;
    bare.has_transfer = false;
    assert_int_equal (transport_frame_unpack (codec, &bare, weir_buf_bytes (&wire), &back),
                      WEIR_BAD_FRAME);
    Weir__Frame digest = good;
    digest.has_digest = true;
    digest.digest = weir_field_str ("short");
    assert_int_equal (transport_frame_unpack (codec, &digest, weir_buf_bytes (&wire), &back),
                      WEIR_BAD_FRAME);
    Weir__Frame large = WEIR__FRAME__INIT;
    large.has_transfer = large.has_offset = true;
    assert_int_equal (transport_frame_unpack (codec, &large, weir_bytes (data, sizeof data), &back),
                      WEIR_BAD_FRAME);
    weir_buf_fini (&wire);
    transport_codec_destroy (&codec);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (envelopes),       cmocka_unit_test (bent_envelopes),
        cmocka_unit_test (addresses),       cmocka_unit_test (frames_come_back),
        cmocka_unit_test (frames_that_lie),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
