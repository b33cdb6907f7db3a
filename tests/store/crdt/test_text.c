/* Goal: texts do what people mean: Peritext's cases of concurrent styles, where text at the edge
 * of a style goes, positions in every unit; and what is wrong is said before anything is changed:
 * bad positions, bad bytes, payloads and states that nobody could have made. */

#include "tests/store/crdt/seq_fixture.h"

#include <stdio.h>

static struct weir_container *
text_of (struct peer *p)
{
    return weir_container_child (weir_doc_top (p->doc), weir_bytes_str ("t"), &weir_container_text,
                                 true);
}

static void
insert (struct peer *p, uint32_t at, const char *text)
{
    struct weir_error e = { 0 };
    struct weir_container *t = peer_root (p, "t", &weir_container_text);
    assert_ok (weir_change_text_insert (peer_change (p), t, at, weir_bytes_str (text), &e), &e);
}

static void
erase (struct peer *p, uint32_t at, uint32_t count)
{
    struct weir_error e = { 0 };
    struct weir_container *t = peer_root (p, "t", &weir_container_text);
    assert_ok (weir_change_text_delete (peer_change (p), t, at, count, &e), &e);
}

static enum weir_expand
expand_of (const char *key)
{
    return strcmp (key, "link") == 0 || strncmp (key, "comment", 7) == 0 ? WEIR_EXPAND_NONE
           : strcmp (key, "note") == 0                                   ? WEIR_EXPAND_BOTH
           : strcmp (key, "lead") == 0                                   ? WEIR_EXPAND_BEFORE
                                                                         : WEIR_EXPAND_AFTER;
}

/* `value` NULL: unmark. */
static void
mark (struct peer *p, uint32_t from, uint32_t to, const char *key, const char *value)
{
    struct weir_error e = { 0 };
    struct weir_container *t = peer_root (p, "t", &weir_container_text);
    struct weir_value v = { .type = value != NULL ? WEIR_VALUE_TEXT : WEIR_VALUE_NULL,
                            .bytes = weir_bytes_str (value) };
    assert_ok (weir_change_text_mark (peer_change (p), t, from, to, weir_bytes_str (key), &v,
                                      expand_of (key), &e),
               &e);
}

/* ---- styles ---- */

struct step {
    char what; /* i, d, m; | exchange; 0 end */
    int who;   /* 0, 1 */
    uint32_t at;
    uint32_t to;
    const char *text; /* or key */
    const char *value;
};

static const struct {
    const char *name;
    const char *text;
    struct step steps[10];
    const char *delta;
} cases[] = {
    { "an insertion into what another makes bold is bold",
      "The fox jumped.",
      { { 'm', 0, 0, 15, "bold", "1" }, { 'i', 1, 4, 0, "brown ", NULL } },
      "[{\"attributes\":{\"bold\":\"1\"},\"insert\":\"The brown fox jumped.\"}]" },
    { "bold and bold overlap",
      "The fox jumped.",
      { { 'm', 0, 0, 7, "bold", "1" }, { 'm', 1, 4, 14, "bold", "1" } },
      "[{\"attributes\":{\"bold\":\"1\"},\"insert\":\"The fox jumped\"},{\"insert\":\".\"}]" },
    { "bold and italic overlap",
      "The fox jumped.",
      { { 'm', 0, 0, 7, "bold", "1" }, { 'm', 1, 4, 14, "italic", "1" } },
      "[{\"attributes\":{\"bold\":\"1\"},\"insert\":\"The \"},{\"attributes\":{\"bold\":\"1\","
      "\"italic\":\"1\"},\"insert\":\"fox\"},{\"attributes\":{\"italic\":\"1\"},\"insert\":"
      "\" jumped\"},{\"insert\":\".\"}]" },
    { "colours conflict: the greater author wins at equal lamports",
      "The fox jumped.",
      { { 'm', 0, 0, 7, "color", "red" }, { 'm', 1, 4, 14, "color", "blue" } },
      "[{\"attributes\":{\"color\":\"red\"},\"insert\":\"The \"},{\"attributes\":{\"color\":"
      "\"blue\"},\"insert\":\"fox jumped\"},{\"insert\":\".\"}]" },
    { "bold by one, not bold by another: the later wins",
      "The fox jumped.",
      { { 'm', 0, 0, 15, "bold", "1" },
        { '|', 0, 0, 0, NULL, NULL },
        { 'm', 0, 0, 3, "italic", "1" },
        { 'm', 0, 0, 7, "bold", NULL },
        { 'm', 1, 4, 15, "bold", "2" } },
      "[{\"attributes\":{\"italic\":\"1\"},\"insert\":\"The\"},{\"insert\":\" fox\"},"
      "{\"attributes\":{\"bold\":\"2\"},\"insert\":\" jumped.\"}]" },
    { "text behind bold is bold, text before it is not",
      "The fox jumped.",
      { { 'm', 0, 4, 7, "bold", "1" },
        { '|', 0, 0, 0, NULL, NULL },
        { 'i', 0, 7, 0, "es", NULL },
        { 'i', 1, 4, 0, "red ", NULL } },
      "[{\"insert\":\"The red \"},{\"attributes\":{\"bold\":\"1\"},\"insert\":\"foxes\"},"
      "{\"insert\":\" jumped.\"}]" },
    { "text at the edges of a link is not linked",
      "The fox jumped.",
      { { 'm', 0, 4, 7, "link", "x" },
        { '|', 0, 0, 0, NULL, NULL },
        { 'i', 0, 7, 0, "es", NULL },
        { 'i', 1, 4, 0, "red ", NULL } },
      "[{\"insert\":\"The red \"},{\"attributes\":{\"link\":\"x\"},\"insert\":\"fox\"},"
      "{\"insert\":\"es jumped.\"}]" },
    { "text at both edges of a note is in it",
      "The fox jumped.",
      { { 'm', 0, 4, 7, "note", "x" },
        { '|', 0, 0, 0, NULL, NULL },
        { 'i', 0, 7, 0, "es", NULL },
        { 'i', 1, 4, 0, "red ", NULL } },
      "[{\"insert\":\"The \"},{\"attributes\":{\"note\":\"x\"},\"insert\":\"red foxes\"},"
      "{\"insert\":\" jumped.\"}]" },
    { "text before what expands before is in it, text behind is not",
      "The fox jumped.",
      { { 'm', 0, 4, 7, "lead", "x" },
        { '|', 0, 0, 0, NULL, NULL },
        { 'i', 0, 7, 0, "es", NULL },
        { 'i', 1, 4, 0, "red ", NULL } },
      "[{\"insert\":\"The \"},{\"attributes\":{\"lead\":\"x\"},\"insert\":\"red fox\"},"
      "{\"insert\":\"es jumped.\"}]" },
    { "what ends together: behind the link, within the bold",
      "abc",
      { { 'm', 0, 0, 3, "bold", "1" }, { 'm', 0, 0, 3, "link", "x" }, { 'i', 0, 3, 0, "d", NULL } },
      "[{\"attributes\":{\"bold\":\"1\",\"link\":\"x\"},\"insert\":\"abc\"},"
      "{\"attributes\":{\"bold\":\"1\"},\"insert\":\"d\"}]" },
    { "comments of two overlap",
      "The fox jumped.",
      { { 'm', 0, 0, 7, "comment:a", "what?" }, { 'm', 1, 4, 14, "comment:b", "why?" } },
      "[{\"attributes\":{\"comment:a\":\"what?\"},\"insert\":\"The \"},{\"attributes\":"
      "{\"comment:a\":\"what?\",\"comment:b\":\"why?\"},\"insert\":\"fox\"},{\"attributes\":"
      "{\"comment:b\":\"why?\"},\"insert\":\" jumped\"},{\"insert\":\".\"}]" },
    { "a style stays when its text is deleted around it",
      "The fox jumped.",
      { { 'm', 0, 4, 7, "bold", "1" },
        { 'd', 1, 3, 5, NULL, NULL },
        { '|', 0, 0, 0, NULL, NULL },
        { 'i', 1, 3, 0, "!", NULL } },
      "[{\"insert\":\"The!jumped.\"}]" },
    { "deleting across the edge of a style keeps the rest of it",
      "abcdef",
      { { 'm', 0, 2, 5, "bold", "1" },
        { '|', 0, 0, 0, NULL, NULL },
        { 'd', 0, 1, 2, NULL, NULL },
        { 'd', 1, 4, 2, NULL, NULL } },
      "[{\"insert\":\"a\"},{\"attributes\":{\"bold\":\"1\"},\"insert\":\"d\"}]" },
    { "a link taken away while the other writes in it",
      "abcdef",
      { { 'm', 0, 1, 5, "link", "x" },
        { '|', 0, 0, 0, NULL, NULL },
        { 'm', 0, 1, 5, "link", NULL },
        { 'i', 1, 3, 0, "++", NULL } },
      "[{\"insert\":\"abc++def\"}]" },
    { "runs typed at one place do not interleave",
      "[]",
      { { 'i', 0, 1, 0, "hello", NULL }, { 'i', 1, 1, 0, "world", NULL } },
      "[{\"insert\":\"[helloworld]\"}]" },
};

static void
test_cases (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct history h = { 0 };
        struct peer peers[2];
        peer_begin (&peers[0], &h, 1);
        peer_begin (&peers[1], &h, 2);
        insert (&peers[0], 0, cases[i].text);
        peer_sync (&peers[0], &peers[1]);
        for (const struct step *s = cases[i].steps; s->what != 0; s++) {
            struct peer *p = &peers[s->who];
            if (s->what == 'i') {
                insert (p, s->at, s->text);
            } else if (s->what == 'd') {
                erase (p, s->at, s->to);
            } else if (s->what == 'm') {
                mark (p, s->at, s->to, s->text, s->value);
            } else {
                peer_sync (&peers[0], &peers[1]);
                peer_sync (&peers[1], &peers[0]);
            }
        }
        peer_sync (&peers[0], &peers[1]);
        peer_sync (&peers[1], &peers[0]);
        print_message ("%s\n", cases[i].name);
        assert_json (weir_text_delta (text_of (&peers[0])), cases[i].delta);
        assert_json (weir_text_delta (text_of (&peers[1])), cases[i].delta);
        assert_same_state (peers[0].doc, peers[1].doc);
        peer_reload (&peers[1]);
        assert_json (weir_text_delta (text_of (&peers[1])), cases[i].delta);
        assert_only_states_load (peers[0].doc);
        peer_end (&peers[0]);
        peer_end (&peers[1]);
        history_end (&h);
    }
}

/* What changes nothing makes no op; offsets count two a mark. */
static void
test_idle_marks (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct peer p;
    peer_begin (&p, &h, 1);
    insert (&p, 0, "abcdef");
    mark (&p, 1, 3, "bold", NULL);
    assert_int_equal (weir_change_atoms (p.change), 6);
    mark (&p, 1, 5, "bold", "1");
    assert_int_equal (weir_change_atoms (p.change), 8);
    mark (&p, 1, 5, "bold", "1");
    mark (&p, 2, 4, "bold", "1");
    mark (&p, 2, 4, "link", NULL);
    mark (&p, 0, 1, "bold", NULL);
    assert_int_equal (weir_change_atoms (p.change), 8);
    mark (&p, 2, 4, "bold", "2");
    mark (&p, 0, 6, "bold", NULL);
    assert_int_equal (weir_change_atoms (p.change), 12);
    assert_json (weir_text_delta (text_of (&p)), "[{\"insert\":\"abcdef\"}]");
    (void) peer_commit (&p);
    peer_end (&p);
    history_end (&h);
}

/* Styles of one key in each other, ending in any order: of those around, the latest. */
static void
test_nested_marks (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_rand rand;
    struct peer p;
    uint32_t winner[100] = { 0 };
    weir_rand_init (&rand, 17);
    peer_begin (&p, &h, 1);
    for (uint32_t i = 0; i < 10; i++) {
        insert (&p, 0, "0123456789");
    }
    for (uint32_t m = 1; m <= 200; m++) {
        char value[8];
        uint32_t from = (uint32_t) weir_rand_below (&rand, 100);
        uint32_t to = from + 1 + (uint32_t) weir_rand_below (&rand, 100 - from);
        (void) snprintf (value, sizeof value, "%u", m);
        mark (&p, from, to, "color", value);
        for (uint32_t i = from; i < to; i++) {
            winner[i] = m;
        }
    }
    json_t *delta = weir_text_delta (text_of (&p));
    size_t at = 0;
    size_t part;
    json_t *item;
    json_array_foreach (delta, part, item)
    {
        size_t len = json_string_length (json_object_get (item, "insert"));
        json_t *color = json_object_get (json_object_get (item, "attributes"), "color");
        for (size_t i = 0; i < len; i++, at++) {
            assert_int_equal (color != NULL ? strtoul (json_string_value (color), NULL, 10) : 0,
                              winner[at]);
        }
    }
    assert_int_equal (at, 100);
    json_decref (delta);
    (void) peer_commit (&p);
    peer_end (&p);
    history_end (&h);
}

/* ---- positions ---- */

static void
test_units (void **state)
{
    (void) state;
    static const char *const scalars[] = { "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xb5" };
    struct history h = { 0 };
    struct peer p;
    struct weir_rand rand;
    uint64_t at[3] = { 0 };
    uint64_t got = 0;
    char wide[4096];
    size_t n = 0;
    weir_rand_init (&rand, 3);
    peer_begin (&p, &h, 1);
    wide[0] = 0;
    for (; n < 600; n++) {
        strcat (wide, scalars[weir_rand_below (&rand, 4)]);
    }
    insert (&p, 0, wide);
    mark (&p, 10, 400, "bold", "1");
    struct weir_seq *seq = weir_container_seq (text_of (&p));
    const enum weir_text_unit units[] = { WEIR_TEXT_SCALARS, WEIR_TEXT_UTF8, WEIR_TEXT_UTF16 };
    const char *c = wide;
    for (size_t i = 0; i <= n; i++) {
        uint32_t point = 0;
        size_t bytes = weir_utf8_next (weir_bytes_str (c), &point);
        for (size_t a = 0; a < 3; a++) {
            for (size_t b = 0; b < 3; b++) {
                assert_ok (weir_seq_text_convert (seq, units[a], at[a], units[b], &got), NULL);
                assert_int_equal (got, at[b]);
            }
        }
        for (uint64_t k = 1; k < bytes; k++) {
            assert_int_equal (
                weir_seq_text_convert (seq, WEIR_TEXT_UTF8, at[1] + k, WEIR_TEXT_SCALARS, &got),
                WEIR_INVALID_ARGUMENT);
        }
        if (bytes == 4) {
            assert_int_equal (
                weir_seq_text_convert (seq, WEIR_TEXT_UTF16, at[2] + 1, WEIR_TEXT_UTF8, &got),
                WEIR_INVALID_ARGUMENT);
        }
        if (i < n) {
            at[0]++;
            at[1] += bytes;
            at[2] += bytes == 4 ? 2 : 1;
            c += bytes;
        }
    }
    for (size_t a = 0; a < 3; a++) {
        assert_int_equal (weir_seq_text_length (seq, units[a]), at[a]);
        assert_int_equal (weir_seq_text_convert (seq, units[a], at[a] + 1, units[0], &got),
                          WEIR_OUT_OF_RANGE);
    }
    for (uint32_t i = 0; i < 300; i++) {
        struct weir_buf part = { 0 };
        uint32_t from = (uint32_t) weir_rand_below (&rand, n);
        uint32_t to = from + (uint32_t) weir_rand_below (&rand, n - from + 1);
        uint64_t start = 0;
        uint64_t end = 0;
        assert_ok (weir_seq_text_convert (seq, units[0], from, units[1], &start), NULL);
        assert_ok (weir_seq_text_convert (seq, units[0], to, units[1], &end), NULL);
        weir_seq_text (seq, from, to, &part);
        assert_int_equal (part.len, end - start);
        assert_true (part.len == 0 || memcmp (part.data, wide + start, part.len) == 0);
        weir_buf_fini (&part);
    }
    (void) peer_commit (&p);
    peer_end (&p);
    history_end (&h);
}

static void
test_refusals (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_error e = { 0 };
    struct weir_value one = { .type = WEIR_VALUE_TRUE };
    struct weir_value child = { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_MAP };
    struct weir_bytes key = weir_bytes_str ("bold");
    struct peer p;
    peer_begin (&p, &h, 1);
    insert (&p, 0, "abc");
    struct weir_container *t = text_of (&p);
    struct weir_change *c = p.change;
    uint64_t atoms = weir_change_atoms (c);
    const struct {
        enum weir_status got;
        enum weir_status wanted;
    } refused[] = {
        { weir_change_text_insert (c, t, 4, weir_bytes_str ("x"), &e), WEIR_OUT_OF_RANGE },
        { weir_change_text_insert (c, t, 0, weir_bytes ("a\0b", 3), &e), WEIR_INVALID_ARGUMENT },
        { weir_change_text_insert (c, t, 0, weir_bytes ("\xc3", 1), &e), WEIR_INVALID_ARGUMENT },
        { weir_change_text_delete (c, t, 1, 3, &e), WEIR_OUT_OF_RANGE },
        { weir_change_text_delete (c, t, 1, UINT32_MAX, &e), WEIR_OUT_OF_RANGE },
        { weir_change_text_mark (c, t, 0, 4, key, &one, WEIR_EXPAND_AFTER, &e), WEIR_OUT_OF_RANGE },
        { weir_change_text_mark (c, t, 1, 1, key, &one, WEIR_EXPAND_AFTER, &e),
          WEIR_INVALID_ARGUMENT },
        { weir_change_text_mark (c, t, 0, 1, key, &child, WEIR_EXPAND_AFTER, &e),
          WEIR_INVALID_ARGUMENT },
        { weir_change_text_mark (c, t, 0, 1, key, &one, (enum weir_expand) 4, &e),
          WEIR_INVALID_ARGUMENT },
        { weir_change_text_mark (c, t, 0, 1, weir_bytes ("a\0b", 3), &one, WEIR_EXPAND_AFTER, &e),
          WEIR_INVALID_ARGUMENT },
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal (refused[i].got, refused[i].wanted);
    }
    assert_ok (weir_change_text_insert (c, t, 3, weir_bytes (NULL, 0), &e), &e);
    assert_ok (weir_change_text_delete (c, t, 3, 0, &e), &e);
    char *large = weir_alloc (WEIR_PAYLOAD_BYTES_MAX + 2);
    memset (large, 'x', WEIR_PAYLOAD_BYTES_MAX + 1);
    assert_int_equal (weir_change_text_insert (c, t, 0, weir_bytes_str (large), &e),
                      WEIR_TOO_LARGE);
    free (large);
    assert_int_equal (weir_change_atoms (c), atoms);
    assert_value (p.doc, "/t", "\"abc\"");
    (void) peer_commit (&p);
    peer_end (&p);
    history_end (&h);
}

/* ---- payloads of others ---- */

static void
test_out_of_range (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct peer a;
    struct peer b;
    struct weir_bytes x = weir_bytes_str ("x");
    struct weir_op insertion = { .code = WEIR_TEXT_INSERT, .count = 1, .atoms = 1, .bytes = x };
    struct weir_op deletion = { .code = WEIR_TEXT_DELETE, .count = 4, .atoms = 4 };
    struct weir_op marking = { .code = WEIR_TEXT_MARK, .at = 1, .to = 2, .atoms = 2, .key = x };
    struct weir_op two[2] = { insertion, deletion };
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    assert_int_equal (peer_forge (&b, "t", &weir_container_text, &deletion, 1), WEIR_OUT_OF_RANGE);
    insert (&a, 0, "abc");
    (void) peer_commit (&a);
    insertion.at = 4;
    assert_int_equal (peer_forge (&a, "t", &weir_container_text, &insertion, 1), WEIR_OUT_OF_RANGE);
    deletion.at = 1;
    assert_int_equal (peer_forge (&a, "t", &weir_container_text, &deletion, 1), WEIR_OUT_OF_RANGE);
    marking.at = 4;
    marking.to = 5;
    assert_int_equal (peer_forge (&a, "t", &weir_container_text, &marking, 1), WEIR_OUT_OF_RANGE);
    marking.at = 0;
    assert_int_equal (peer_forge (&a, "t", &weir_container_text, &marking, 1), WEIR_OUT_OF_RANGE);
    /* The first op makes room for the second; or the second is too much for both. */
    two[1].count = two[1].atoms = 4;
    assert_int_equal (peer_forge (&a, "t", &weir_container_text, two, 2), WEIR_OK);
    assert_value (a.doc, "/t", "\"\"");
    two[1].count = two[1].atoms = 2;
    assert_int_equal (peer_forge (&a, "t", &weir_container_text, two, 2), WEIR_OUT_OF_RANGE);
    /* At b, where there is nothing but its own: out of range at the parents, whatever came. */
    peer_sync (&a, &b);
    peer_sync (&b, &a);
    assert_int_equal (h.count, 8);
    assert_value (b.doc, "/t", "\"\"");
    assert_same_state (a.doc, b.doc);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

/* Concurrent: what is in range counts at the entry's parents, not here. */
static void
test_range_at_parents (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct peer a;
    struct peer b;
    struct weir_op deletion = { .code = WEIR_TEXT_DELETE, .at = 2, .count = 4, .atoms = 4 };
    struct weir_op ends = { .code = WEIR_TEXT_DELETE, .at = 2, .count = 1, .atoms = 1 };
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    insert (&a, 0, "abc");
    peer_sync (&a, &b);
    insert (&a, 0, "0123456789");
    (void) peer_commit (&a);
    assert_int_equal (peer_forge (&b, "t", &weir_container_text, &deletion, 1), WEIR_OUT_OF_RANGE);
    assert_int_equal (peer_forge (&b, "t", &weir_container_text, &ends, 1), WEIR_OK);
    assert_int_equal (peer_take (&a, 2), WEIR_OUT_OF_RANGE);
    assert_int_equal (peer_take (&a, 3), WEIR_OK);
    assert_value (a.doc, "/t", "\"0123456789ab\"");
    peer_sync (&a, &b);
    assert_same_state (a.doc, b.doc);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

/* A payload that deletes anchors: the style is gone, the same everywhere, also from a state. */
static void
test_deleted_anchors (void **state)
{
    (void) state;
    for (uint32_t at = 0; at < 7; at++) {
        struct history h = { 0 };
        struct peer a;
        struct peer b;
        struct weir_op deletion = { .code = WEIR_TEXT_DELETE, .at = at, .count = 1, .atoms = 1 };
        peer_begin (&a, &h, 1);
        peer_begin (&b, &h, 2);
        insert (&a, 0, "abc");
        mark (&a, 1, 2, "bold", "1"); /* a S b E c */
        mark (&a, 0, 3, "link", "x"); /* S a S b E c E */
        peer_sync (&a, &b);
        insert (&a, 2, "-");
        assert_int_equal (peer_forge (&b, "t", &weir_container_text, &deletion, 1), WEIR_OK);
        peer_sync (&a, &b);
        peer_sync (&b, &a);
        assert_same_state (a.doc, b.doc);
        assert_only_states_load (a.doc);
        peer_reload (&a);
        mark (&a, 0, 1, "note", "z");
        peer_sync (&a, &b);
        assert_same_state (a.doc, b.doc);
        peer_end (&a);
        peer_end (&b);
        history_end (&h);
    }
}

static void
test_bad_payloads (void **state)
{
    (void) state;
    /* Behind codec, message, ids, one row: text blob, then ops. */
    static const struct {
        const char *bytes;
        size_t len;
        enum weir_status status;
    } bad[] = {
        { "\x01x\x00\x00\x01", 5, WEIR_OK },                          /* insert "x" at 0 */
        { "\x01x\x00\x00\x00", 5, WEIR_BAD_PAYLOAD },                 /* nothing */
        { "\x01x\x00\x00\x02", 5, WEIR_BAD_PAYLOAD },                 /* more than there is */
        { "\x02xy\x00\x00\x01", 6, WEIR_BAD_PAYLOAD },                /* text left over */
        { "\x01\x00\x00\x00\x01", 5, WEIR_BAD_PAYLOAD },              /* NUL */
        { "\x01\xff\x00\x00\x01", 5, WEIR_BAD_PAYLOAD },              /* no UTF-8 */
        { "\x01x\x00\x01\x01", 5, WEIR_BAD_PAYLOAD },                 /* at -1 */
        { "\x01x\x00\x00", 4, WEIR_BAD_PAYLOAD },                     /* cut short */
        { "\x00\x01\x00\x00", 4, WEIR_BAD_PAYLOAD },                  /* deletes nothing */
        { "\x00\x01\x00\xff\xff\xff\xff\x7f", 8, WEIR_BAD_PAYLOAD },  /* too many */
        { "\x00\x02\x00\x00\x00\x01k\x02", 8, WEIR_OK },              /* mark */
        { "\x00\x02\x00\x00\x04\x01k\x02", 8, WEIR_BAD_PAYLOAD },     /* expands how? */
        { "\x00\x02\x00\x00\x00\x01k\x08", 8, WEIR_BAD_PAYLOAD },     /* deleted */
        { "\x00\x02\x00\x00\x00\x01k\x07\x01", 9, WEIR_BAD_PAYLOAD }, /* a container */
        { "\x00\x02\x00\x00\x00\x01k\x40", 8, WEIR_NEEDS_UPGRADE },   /* a value to come */
        { "\x00\x02\x00\x00\x00\x01\xff\x02", 8, WEIR_BAD_PAYLOAD },  /* key */
        { "\x00\x02\x00\xff\xff\xff\xff\x0f\x00\x01k\x02", 12, WEIR_BAD_PAYLOAD }, /* far end */
        { "\x00\x03\x00\x00", 4, WEIR_NEEDS_UPGRADE }, /* an op to come */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct weir_payload p = { 0 };
        struct weir_buf payload = { 0 };
        struct weir_payload_row row = { .kind = WEIR_ROW_ROOT,
                                        .type = &weir_container_text,
                                        .key = weir_bytes_str ("t") };
        weir_payload_begin (&payload, weir_bytes (NULL, 0), NULL, 0, 1);
        weir_payload_put_row (&payload, &row);
        weir_buf_put (&payload, bad[i].bytes, bad[i].len);
        enum weir_status status = weir_payload_decode (&p, weir_buf_bytes (&payload));
        if (status != bad[i].status) {
            fail_msg ("%zu: %s", i, weir_status_code (status));
        }
        weir_payload_fini (&p);
        weir_buf_fini (&payload);
    }
}

static void
test_describe (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct peer p;
    json_t *json = NULL;
    peer_begin (&p, &h, 1);
    insert (&p, 0, "abc");
    erase (&p, 2, 1);
    mark (&p, 0, 1, "bold", "1");
    mark (&p, 0, 1, "bold", NULL);
    uint32_t number = peer_commit (&p);
    assert_ok (weir_doc_payload_json (weir_buf_bytes (&h.entries[number]->payload), &json), NULL);
    assert_json (
        json_incref (json_object_get (json, "ops")),
        "[{\"at\":0,\"op\":\"insert\",\"path\":\"/t\",\"text\":\"abc\"},{\"at\":2,\"count\":1,"
        "\"op\":\"delete\",\"path\":\"/t\"},{\"at\":0,\"key\":\"bold\",\"op\":\"mark\",\"path\":"
        "\"/t\",\"to\":1,\"value\":\"1\"},{\"at\":0,\"key\":\"bold\",\"op\":\"unmark\",\"path\":"
        "\"/t\",\"to\":2}]");
    json_decref (json);
    peer_end (&p);
    history_end (&h);
}

/* ---- notices ---- */

/* The text as somebody keeps it who only hears of changes. */
struct echo {
    struct peer *peer;
    char text[4096];
    uint32_t marks;
    uint32_t marked_from;
    uint32_t marked_to;
};

static void
hear (void *context, const struct weir_notice *n)
{
    struct echo *echo = context;
    struct weir_buf now = { 0 };
    size_t len = strlen (echo->text);
    if (n->kind == WEIR_NOTICE_MARK) {
        assert_true (weir_bytes_equal (n->key, weir_bytes_str ("bold")));
        echo->marks++;
        echo->marked_from = n->at;
        echo->marked_to = n->at + n->inserted;
        return;
    }
    assert_int_equal (n->kind, WEIR_NOTICE_SPLICE);
    assert_true (n->at + n->removed <= len);
    memmove (echo->text + n->at, echo->text + n->at + n->removed, len - n->at - n->removed + 1);
    len -= n->removed;
    weir_seq_text (weir_container_seq (n->container), n->at, n->at + n->inserted, &now);
    memmove (echo->text + n->at + n->inserted, echo->text + n->at, len - n->at + 1);
    if (now.len > 0) {
        memcpy (echo->text + n->at, now.data, now.len);
    }
    weir_buf_fini (&now);
}

static void
test_notices (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct peer a;
    struct peer b;
    struct echo echo = { .peer = &a };
    struct weir_rand rand;
    weir_rand_init (&rand, 11);
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    weir_doc_listen (a.doc, hear, &echo);
    insert (&a, 0, "0123456789");
    mark (&a, 2, 5, "bold", "1");
    assert_int_equal (echo.marks, 1);
    assert_int_equal (echo.marked_from, 2);
    assert_int_equal (echo.marked_to, 5);
    for (uint32_t i = 0; i < 200; i++) {
        struct peer *p = weir_rand_below (&rand, 2) == 0 ? &a : &b;
        uint32_t length = weir_seq_length (weir_container_seq (text_of (p)));
        if (weir_rand_below (&rand, 5) == 0) {
            peer_sync (&a, &b);
            peer_sync (&b, &a);
        } else if (length > 4 && weir_rand_below (&rand, 2) == 0) {
            erase (p, (uint32_t) weir_rand_below (&rand, length - 2), 3);
        } else {
            insert (p, (uint32_t) weir_rand_below (&rand, length + 1), "xyz");
        }
        struct weir_buf now = { 0 };
        weir_seq_text (weir_container_seq (text_of (&a)), 0, UINT32_MAX, &now);
        assert_string_equal (weir_buf_str (&now), echo.text);
        weir_buf_fini (&now);
    }
    peer_sync (&a, &b);
    assert_int_equal (echo.marks, 1);
    /* An anchor that goes takes its style along; nobody is told less than that. */
    struct weir_seq_span span = { .count = 0 };
    uint32_t at = 0;
    while (weir_seq_span (weir_container_seq (text_of (&b)), at, &span) && !span.hidden) {
        at += span.count;
    }
    struct weir_op deletion = { .code = WEIR_TEXT_DELETE, .at = at, .count = 1, .atoms = 1 };
    assert_int_equal (peer_forge (&b, "t", &weir_container_text, &deletion, 1), WEIR_OK);
    peer_sync (&b, &a);
    assert_int_equal (echo.marks, 2);
    assert_true (echo.marked_to >= echo.marked_from);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_cases),
        cmocka_unit_test (test_idle_marks),
        cmocka_unit_test (test_nested_marks),
        cmocka_unit_test (test_units),
        cmocka_unit_test (test_refusals),
        cmocka_unit_test (test_out_of_range),
        cmocka_unit_test (test_range_at_parents),
        cmocka_unit_test (test_deleted_anchors),
        cmocka_unit_test (test_bad_payloads),
        cmocka_unit_test (test_describe),
        cmocka_unit_test (test_notices),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
