/* Goal: presence through two peers actors: set before they meet and after, both ways, listed and
 * watched by clients; gone with its writer, its right or its time; nobody who speaks protocol 1
 * hears of it; what a hostile peer says is counted, refused, and ends nothing. */

#include "tests/actors/peers/world.h"

#include "store/sync/presence.h"

static bool
count_presence (struct world *w, unsigned from, uint16_t kind, struct weir_buf *meta)
{
    (void) from;
    w->hooked += kind == WEIR_KIND_W_PRESENCE;
    (void) meta;
    return true;
}

static void
meet (struct world *w)
{
    world_init (w);
    world_relate (w);
    w->hook = count_presence;
    side_start (w, 0);
    side_start (w, 1);
    world_pass (w, 2000);
    assert_true (is_connected (w, 0));
    assert_true (is_connected (w, 1));
}

static enum weir_status
set (struct world *w, unsigned i, const char *key, const char *value, uint64_t ms)
{
    Weir__PresenceSet m = WEIR__PRESENCE_SET__INIT;
    m.has_db = m.has_key = m.has_value = m.has_ttl_ms = true;
    m.db = weir_field_str ("notes");
    m.key = weir_field_str (key);
    m.value = weir_field_str (value);
    m.ttl_ms = ms;
    struct fake_sent *s = side_call (w, i, WEIR_KIND_PRESENCE_SET, &m.base);
    assert_non_null (s);
    enum weir_status status = s->status;
    fake_sent_free (s);
    return status;
}

/* How many are here; `first` is a copy of the first value. */
static size_t
list (struct world *w, unsigned i, char first[64])
{
    Weir__PresenceAsk ask = WEIR__PRESENCE_ASK__INIT;
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    struct fake_sent *s = side_call (w, i, WEIR_KIND_PRESENCE_LIST, &ask.base);
    assert_int_equal (s->status, WEIR_OK);
    const Weir__PresenceItems *m = (const Weir__PresenceItems *) s->decoded;
    size_t n = m->n_items;
    if (first != NULL && n > 0) {
        snprintf (first, 64, "%.*s", (int) m->items[0]->value.len,
                  (const char *) m->items[0]->value.data);
    }
    fake_sent_free (s);
    return n;
}

static struct fake_sent *
watch (struct world *w, unsigned i, uint64_t since, uint32_t ms)
{
    Weir__PresenceAsk ask = WEIR__PRESENCE_ASK__INIT;
    ask.has_db = ask.has_since = ask.has_ms = true;
    ask.db = weir_field_str ("notes");
    ask.since = since;
    ask.ms = ms;
    return side_call (w, i, WEIR_KIND_PRESENCE_WATCH, &ask.base);
}

static void
both_ways (void **state)
{
    struct world w;
    char value[64] = "";
    (void) state;
    world_init (&w);
    world_relate (&w);
    side_start (&w, 0);
    side_start (&w, 1);
    assert_int_equal (set (&w, 0, "cursor", "{\"at\":1}", 60000), WEIR_OK); /* before they meet */
    world_pass (&w, 2000);
    assert_int_equal (list (&w, 1, value), 1);
    assert_string_equal (value, "{\"at\":1}");
    assert_int_equal (set (&w, 1, "cursor", "2", 60000), WEIR_OK);
    world_pass (&w, 100);
    assert_int_equal (list (&w, 0, NULL), 2);
    assert_int_equal (list (&w, 1, NULL), 2);
    /* the writer goes, and comes back with nothing */
    side_kill (&w, 0);
    assert_int_equal (list (&w, 1, value), 1);
    assert_string_equal (value, "2");
    side_start (&w, 0);
    world_pass (&w, 3000);
    assert_int_equal (list (&w, 0, NULL), 1); /* a late joiner sees what is here */
    /* its time is over: for both */
    assert_int_equal (set (&w, 0, "short", "3", 500), WEIR_OK);
    world_pass (&w, 200);
    assert_int_equal (list (&w, 1, NULL), 2);
    world_pass (&w, 1000);
    assert_int_equal (list (&w, 1, NULL), 1);
    world_fini (&w);
}

static void
watching (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    struct fake_sent *s = watch (&w, 1, 0, 30000);
    assert_non_null (s); /* what is here, at once */
    const Weir__PresenceItems *m = (const Weir__PresenceItems *) s->decoded;
    assert_true (m->anew && m->n_items == 0);
    uint64_t token = m->token;
    fake_sent_free (s);
    assert_null (watch (&w, 1, token, 30000));
    assert_int_equal (set (&w, 0, "k", "1", 60000), WEIR_OK);
    world_pass (&w, 100);
    s = fake_find (w.s[1].a, WEIR_KIND_PRESENCE_WATCH, true);
    assert_non_null (s);
    m = (const Weir__PresenceItems *) s->decoded;
    assert_int_equal (m->n_items, 1);
    assert_false (m->anew);
    assert_true (weir_bytes_equal (weir_field (m->items[0]->source), weir_bytes_str ("remote")));
    token = m->token;
    fake_sent_free (s);
    assert_null (watch (&w, 1, token, 25000)); /* refreshes are no changes */
    world_pass (&w, 24000);
    assert_null (fake_find (w.s[1].a, WEIR_KIND_PRESENCE_WATCH, true));
    world_pass (&w, 2000);
    s = fake_find (w.s[1].a, WEIR_KIND_PRESENCE_WATCH, true);
    assert_non_null (s);
    m = (const Weir__PresenceItems *) s->decoded;
    assert_int_equal (m->n_items, 0);
    token = m->token;
    fake_sent_free (s);
    /* its writer's link breaks: told at once */
    assert_null (watch (&w, 1, token, 30000));
    w.cut = true;
    side_kill (&w, 0);
    s = fake_find (w.s[1].a, WEIR_KIND_PRESENCE_WATCH, true);
    assert_non_null (s);
    m = (const Weir__PresenceItems *) s->decoded;
    assert_int_equal (m->n_items, 1);
    assert_int_equal (m->items[0]->state, WEIR_PRESENCE_LOST);
    fake_sent_free (s);
    world_fini (&w);
}

/* Bad requests, and limits, said in words. */
static void
refusals (void **state)
{
    static const struct {
        const char *key, *value;
        uint64_t ms;
        enum weir_status status;
    } rows[] = {
        { "k", "{", 1000, WEIR_INVALID_JSON },           { "\xff", "1", 1000, WEIR_INVALID_JSON },
        { "", "1", 1000, WEIR_INVALID_ARGUMENT },        { "k", "1", 0, WEIR_INVALID_ARGUMENT },
        { "k", "1", 1ull << 60, WEIR_INVALID_ARGUMENT }, { "k", "1", 1000, WEIR_OK },
    };
    struct world w;
    char value[WEIR_PRESENCE_VALUE_BYTES_MAX + 3];
    (void) state;
    meet (&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal (set (&w, 0, rows[i].key, rows[i].value, rows[i].ms), rows[i].status);
    }
    memset (value, '1', sizeof value);
    value[sizeof value - 1] = '\0';
    assert_int_equal (set (&w, 0, "k", value, 1000), WEIR_INVALID_JSON);
    for (unsigned i = 0; i < WEIR_PRESENCE_DEVICE_KEYS_MAX + 4u; i++) {
        char key[16];
        snprintf (key, sizeof key, "key%u", i);
        assert_int_equal (set (&w, 0, key, "1", 1000),
                          i + 1 < WEIR_PRESENCE_DEVICE_KEYS_MAX ? WEIR_OK : WEIR_LIMIT);
    }
    Weir__PresenceSet m = WEIR__PRESENCE_SET__INIT;
    m.has_db = m.has_key = true;
    m.db = weir_field_str ("notes");
    m.key = weir_field_str ("none");
    struct fake_sent *s = side_call (&w, 0, WEIR_KIND_PRESENCE_REMOVE, &m.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    m.key = weir_field_str ("key1");
    s = side_call (&w, 0, WEIR_KIND_PRESENCE_REMOVE, &m.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    m.db = weir_field_str ("nosuch");
    s = side_call (&w, 0, WEIR_KIND_PRESENCE_REMOVE, &m.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    world_fini (&w);
}

/* Only whom the database is shared with hears of it: not who speaks protocol 1, not who was
 * removed, not while nothing is to be sent by itself. */
static void
to_nobody_else (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    side_other (&w, 0)->link->session.protocol = 1;
    struct relation *r = relation_find (side_other (&w, 0), &w.db);
    presence_session_down (w.s[0].a->state, side_other (&w, 0)->link); /* as if it never was told */
    presence_apply (w.s[0].a->state);
    assert_int_equal (r->presence_session, 0);
    assert_int_equal (set (&w, 0, "k", "1", 60000), WEIR_OK);
    world_pass (&w, 100);
    assert_int_equal (w.hooked, 0);
    assert_int_equal (list (&w, 1, NULL), 0);
    side_other (&w, 0)->link->session.protocol = 2;
    w.s[0].a->settings.enabled = false;
    presence_apply (w.s[0].a->state);
    world_pass (&w, 100);
    assert_int_equal (w.hooked, 0);
    w.s[0].a->settings.enabled = true;
    world_pass (&w,
                WEIR_PRESENCE_REFRESH_MS + 100); /* what was not said is, with the next refresh */
    assert_int_equal (list (&w, 1, NULL), 1);
    /* the member is removed: its presence goes, and it hears no more */
    assert_int_equal (set (&w, 1, "theirs", "1", 60000), WEIR_OK);
    world_pass (&w, 100);
    assert_int_equal (list (&w, 0, NULL), 2);
    Weir__RightsChanged changed = WEIR__RIGHTS_CHANGED__INIT;
    w.s[0].rights[1] = 0;
    side_deliver (&w.s[0], WEIR_KIND_RIGHTS_CHANGED, STORE, &changed.base, weir_bytes (NULL, 0));
    world_pass (&w, 100);
    assert_int_equal (list (&w, 0, NULL), 1);
    w.hooked = 0;
    assert_int_equal (set (&w, 0, "k", "2", 60000), WEIR_OK);
    world_pass (&w, 100);
    assert_int_equal (w.hooked, 0);
    world_fini (&w);
}

static void
tell (struct world *w, const Weir__Presence *m)
{
    struct peers *p = w->s[0].a->state;
    Weir__LinkMessage in = WEIR__LINK_MESSAGE__INIT;
    struct weir_buf body = { 0 };
    in.has_link = in.has_kind = true;
    in.link = side_other (w, 0)->link->number;
    in.kind = WEIR_KIND_W_PRESENCE;
    weir_meta_put (&body, &m->base);
    side_deliver (&w->s[0], WEIR_KIND_WIRE_IN, TRANSPORT, &in.base, weir_buf_bytes (&body));
    weir_buf_fini (&body);
    assert_non_null (p);
}

static void
hostile (void **state)
{
    struct world w;
    Weir__PresenceItem items[WEIR_PRESENCE_ITEMS_PER_MESSAGE + 1];
    Weir__PresenceItem *pointers[WEIR_PRESENCE_ITEMS_PER_MESSAGE + 1];
    Weir__Presence m = WEIR__PRESENCE__INIT;
    (void) state;
    meet (&w);
    struct peers *p = w.s[0].a->state;
    struct relation *r = relation_find (side_other (&w, 0), &w.db);
    struct weir_id device = world_device (&w, 1);
    struct weir_id own = world_device (&w, 0);
    struct weir_id stranger = { { 9, 9 } };
    for (size_t i = 0; i <= WEIR_PRESENCE_ITEMS_PER_MESSAGE; i++) {
        items[i] = (Weir__PresenceItem) WEIR__PRESENCE_ITEM__INIT;
        items[i].has_device = items[i].has_key = items[i].has_value = items[i].has_ttl_ms = true;
        items[i].device = weir_field_id (&device);
        items[i].key = weir_field_str ("k");
        items[i].value = weir_field_str ("1");
        items[i].ttl_ms = 1000;
        pointers[i] = &items[i];
    }
    m.items = pointers;
    m.has_tag = true;
    struct {
        uint64_t tag;
        size_t n;
        const struct weir_id *device;
        const char *value;
        uint32_t state;
    } rows[] = {
        { 7, 1, &device, "1", 0 }, /* no such tag */
        { r->presence_tag, WEIR_PRESENCE_ITEMS_PER_MESSAGE + 1, &device, "1", 0 },
        { r->presence_tag, 1, &own, "1", 0 },        /* ours */
        { r->presence_tag, 1, &stranger, "1", 0 },   /* nobody's */
        { r->presence_tag, 1, &device, "{oops", 0 }, /* no JSON */
        { r->presence_tag, 1, &device, "1", 9 },     /* no state */
        { r->presence_tag, 1, &device, NULL, 0 },    /* here, and nothing */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t before = p->ignored;
        m.tag = rows[i].tag;
        m.n_items = rows[i].n;
        items[0].device = weir_field_id (rows[i].device);
        items[0].value = weir_field_str (rows[i].value);
        items[0].has_state = true;
        items[0].state = rows[i].state;
        tell (&w, &m);
        assert_true (p->ignored > before);
        assert_int_equal (list (&w, 0, NULL), 0);
        assert_true (is_connected (&w, 0)); /* it ends nothing */
    }
    /* a flood costs a bounded number of changes, and is named */
    unsigned logs = w.s[0].a->logs;
    items[0].device = weir_field_id (&device);
    items[0].value = weir_field_str ("1");
    items[0].state = 0;
    m.tag = r->presence_tag;
    m.n_items = WEIR_PRESENCE_ITEMS_PER_MESSAGE;
    for (unsigned i = 0; i < 100; i++) {
        for (size_t k = 0; k < m.n_items; k++) {
            items[k].has_version = true;
            items[k].version = i * 1000u + k;
        }
        tell (&w, &m);
    }
    assert_true (w.s[0].a->logs > logs);
    assert_int_equal (list (&w, 0, NULL), 1);
    world_fini (&w);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (both_ways),      cmocka_unit_test (watching), cmocka_unit_test (refusals),
        cmocka_unit_test (to_nobody_else), cmocka_unit_test (hostile),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
