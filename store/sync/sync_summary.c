/* Rung 0: digests of what is shared. Of a few databases they are said one by one; of many as one
 * hash, and when that differs as hashes of buckets (databases by the first bits of their tags), so
 * that thousands of unchanged ones cost 32 bytes. Nothing is remembered but what was said last,
 * so nothing can be wrong. */

#include "store/sync/sync_state.h"
#include "store/crypto/hash.h"

#include <stdlib.h>
#include <string.h>

#define HASH_BYTES 16u
#define BUCKET_PAIRS 8u /* about so many in a bucket */

/* The pairs of a session whose digests are known here, by tag. */
struct shared {
    uint64_t tag;
    struct weir_sync_pair *pair;
};
struct sharing {
    struct shared *items;
    size_t count;
};

static int
by_tag (const void *a, const void *b)
{
    const struct shared *x = a;
    const struct shared *y = b;
    return (x->tag > y->tag) - (x->tag < y->tag);
}

static void
gather (const struct weir_sync_session *session, struct sharing *s)
{
    struct weir_bytes key;
    void *value = NULL;
    s->items = weir_alloc (weir_map_count (session->tags) * sizeof s->items[0]);
    s->count = 0;
    for (size_t i = 0; weir_map_next (session->tags, &i, &key, &value);) {
        struct weir_sync_pair *pair = value;
        if (!weir_id_is_zero (&pair->db->digest)) {
            s->items[s->count++] = (struct shared){ weir_load_u64 (key.data), pair };
        }
    }
    if (s->count > 1) {
        qsort (s->items, s->count, sizeof s->items[0], by_tag);
    }
}

static struct weir_id
hash_of (const struct weir_sync_session *session, const struct sharing *s, size_t from, size_t to)
{
    struct weir_hash h;
    weir_hash_init (&h, WEIR_DOMAIN_RANGE);
    weir_hash_add (&h, weir_id_bytes (&session->key));
    for (size_t i = from; i < to; i++) {
        uint8_t tag[8];
        weir_store_u64 (tag, s->items[i].tag);
        weir_hash_add (&h, weir_bytes (tag, sizeof tag));
        weir_hash_add (&h, weir_id_bytes (&s->items[i].pair->db->digest));
    }
    return weir_hash_end (&h);
}

static size_t
bucket_of (uint64_t tag, uint32_t bits)
{
    return (size_t) (tag >> (64 - bits));
}

/* Where the bucket that begins at `from` ends. */
static size_t
bucket_end (const struct sharing *s, size_t from, size_t bucket, uint32_t bits)
{
    while (from < s->count && bucket_of (s->items[from].tag, bits) == bucket) {
        from++;
    }
    return from;
}

static void
say_summary (struct weir_sync *self, struct weir_sync_session *session, const struct sharing *s,
             bool buckets, bool answer)
{
    struct weir_sync_message *m = weir_sync_say (self, session, WEIR_SYNC_SUMMARY, NULL);
    m->sum = hash_of (session, s, 0, s->count);
    m->answer = answer;
    session->said = m->sum;
    for (size_t i = 0; i < s->count; i++) {
        s->items[i].pair->said = s->items[i].pair->db->digest;
        s->items[i].pair->greet = s->items[i].pair->greet && !answer;
    }
    if (!buckets) {
        return;
    }
    m->bits = 4;
    while (m->bits < WEIR_SUMMARY_BITS_MAX && ((size_t) BUCKET_PAIRS << m->bits) < s->count) {
        m->bits++;
    }
    m->n_bytes = (size_t) HASH_BYTES << m->bits;
    m->bytes = weir_alloc (m->n_bytes);
    size_t at = 0;
    for (size_t bucket = 0; bucket < (size_t) 1 << m->bits; bucket++) {
        size_t end = bucket_end (s, at, bucket, m->bits);
        struct weir_id hash = hash_of (session, s, at, end);
        memcpy (m->bytes + bucket * HASH_BYTES, hash.b, HASH_BYTES);
        at = end;
    }
}

static bool
is_said (const struct weir_sync_pair *pair, enum weir_sync_which which,
         const struct weir_sync_pair *one)
{
    switch (which) {
    case WEIR_SAY_ONE:
        return pair == one;
    case WEIR_SAY_GREETED:
        return pair->greet;
    case WEIR_SAY_REPLY:
        return pair->reply;
    case WEIR_SAY_ALL:
        break;
    }
    return true;
}

static bool
are_many (const struct weir_sync_session *session, enum weir_sync_which which)
{
    size_t n = 0;
    if (session->protocol < 2) {
        return false;
    }
    const struct weir_sync_pair *pair = session->peer->pairs;
    for (; pair && n <= WEIR_SUMMARY_PAIRS_MIN; pair = pair->next_of_peer) {
        n += !weir_id_is_zero (&pair->db->digest) && is_said (pair, which, NULL);
    }
    return n > WEIR_SUMMARY_PAIRS_MIN;
}

void
weir_sync_say_digests (struct weir_sync *self, struct weir_sync_session *session,
                       enum weir_sync_which which, const struct weir_sync_pair *one, bool answer)
{
    struct weir_sync_message *m = NULL;
    size_t cap = 0;
    struct weir_sync_pair *pair = session->peer->pairs;
    if (which != WEIR_SAY_ONE && which != WEIR_SAY_REPLY && are_many (session, which)) {
        struct sharing s;
        gather (session, &s);
        say_summary (self, session, &s, false, answer);
        free (s.items);
        return;
    }
    for (; pair; pair = pair->next_of_peer) {
        if (weir_id_is_zero (&pair->db->digest) || !is_said (pair, which, one)) {
            continue;
        }
        pair->greet = pair->greet && !answer;
        if (!m || m->n_digests == WEIR_DIGESTS_PER_MESSAGE) {
            m = weir_sync_say (self, session, WEIR_SYNC_DIGESTS, NULL);
            m->answer = answer;
            cap = 0;
        }
        weir_grow (&m->digests, &cap, m->n_digests + 1, sizeof m->digests[0]);
        m->digests[m->n_digests].tag = weir_sync_tag (session, &pair->db->id);
        m->digests[m->n_digests].digest = pair->db->digest;
        m->n_digests++;
    }
}

void
weir_sync_unknown_tag (struct weir_sync *self, struct weir_sync_session *session, uint64_t tag)
{
    struct weir_sync_peer *peer = session->peer;
    for (size_t i = 0; i < peer->n_removed; i++) {
        if (weir_sync_tag (session, &peer->removed[i]) == tag) {
            struct weir_sync_message *m = weir_sync_say (self, session, WEIR_SYNC_NOT_SHARED, NULL);
            m->tag = tag;
            m->status = WEIR_REMOVED;
            return;
        }
    }
}

/* The peer's check served both. */
static void
check_later (struct weir_sync *self, struct weir_sync_session *session, uint64_t now_ms)
{
    session->check_ms =
        now_ms + weir_rand_jitter (&self->rand, self->options.check_interval_ms, 25);
    weir_sync_session_timer (self, session, now_ms);
}

static void
judge_told (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_id *theirs,
            uint64_t now_ms)
{
    pair->theirs = *theirs;
    weir_sync_judge (self, pair, true, now_ms);
    weir_sync_settle (self, pair, now_ms);
}

/* ---- digests in ---- */

static bool
has_bit (const uint8_t *bits, size_t n)
{
    return (bits[n / 8] >> (n % 8) & 1) != 0;
}

/* Which buckets differ is told with digests that answer ours: all others are as we said. */
static void
take_buckets (struct weir_sync *self, struct weir_sync_session *session,
              const struct weir_sync_message *m, uint64_t now_ms)
{
    struct sharing s;
    gather (session, &s);
    bool ours = weir_id_equal (&m->sum, &session->said);
    for (size_t i = 0; i < s.count; i++) {
        struct weir_sync_pair *pair = s.items[i].pair;
        if (has_bit (m->bytes, bucket_of (s.items[i].tag, m->bits))) {
            pair->reply = true;
        } else if (ours && !weir_id_is_zero (&pair->said)) {
            judge_told (self, pair, &pair->said, now_ms);
        }
    }
    free (s.items);
}

static bool
are_buckets_good (const struct weir_sync_message *m)
{
    return m->bits == 0
           || (m->bits >= 4 && m->bits <= WEIR_SUMMARY_BITS_MAX
               && m->n_bytes == ((size_t) 1 << m->bits) / 8);
}

void
weir_sync_on_digests (struct weir_sync *self, struct weir_sync_session *session,
                      const struct weir_sync_message *m, uint64_t now_ms)
{
    if (m->n_digests > WEIR_DIGESTS_PER_MESSAGE || !are_buckets_good (m)) {
        self->counters.messages_bad++;
        return;
    }
    size_t known = 0;
    for (size_t i = 0; i < m->n_digests; i++) {
        struct weir_sync_pair *pair = weir_sync_by_tag (session, m->digests[i].tag);
        if (!pair) {
            if (m->answer || m->bits > 0) {
                weir_sync_unknown_tag (self, session, m->digests[i].tag);
            }
            continue;
        }
        known++;
        pair->theirs = m->digests[i].digest;
        pair->reply = m->answer;
        if (m->answer && pair->stage == WEIR_STAGE_ASKED
            && pair->stage_ms > now_ms + WEIR_CONNECT_MS) {
            pair->stage_ms = now_ms + WEIR_CONNECT_MS; /* it may have forgotten our question */
        }
        pair->refused = pair->refused && !m->answer;
    }
    if (m->bits > 0 && m->answer) {
        take_buckets (self, session, m, now_ms);
    }
    if (m->answer && (known > 0 || m->bits > 0)) {
        weir_sync_say_digests (self, session, WEIR_SAY_REPLY, NULL, false);
        if (known == session->peer->n_pairs) {
            check_later (self, session, now_ms);
        }
    }
    struct weir_sync_pair *replied = session->peer->pairs;
    for (; replied; replied = replied->next_of_peer) {
        replied->reply = false;
    }
    for (size_t i = 0; i < m->n_digests; i++) {
        struct weir_sync_pair *pair = weir_sync_by_tag (session, m->digests[i].tag);
        if (pair) {
            weir_sync_judge (self, pair, true, now_ms);
            weir_sync_settle (self, pair, now_ms);
        }
    }
}

/* ---- summaries in ---- */

/* The buckets that differ; of the others all are equal. */
static bool
judge_buckets (struct weir_sync *self, struct weir_sync_session *session, const struct sharing *s,
               const struct weir_sync_message *m, uint8_t *differ, uint64_t now_ms)
{
    size_t at = 0;
    bool any = false;
    for (size_t bucket = 0; bucket < (size_t) 1 << m->bits; bucket++) {
        size_t end = bucket_end (s, at, bucket, m->bits);
        struct weir_id hash = hash_of (session, s, at, end);
        bool equal = memcmp (hash.b, m->bytes + bucket * HASH_BYTES, HASH_BYTES) == 0;
        any = any || !equal;
        differ[bucket / 8] |= (uint8_t) (equal ? 0u : 1u << (bucket % 8));
        for (; at < end; at++) {
            struct weir_sync_pair *pair = s->items[at].pair;
            pair->reply = !equal;
            if (equal) {
                judge_told (self, pair, &pair->db->digest, now_ms);
            }
        }
    }
    return any;
}

/* Says our digests of the buckets that differ, and asks for theirs. */
static void
say_differing (struct weir_sync *self, struct weir_sync_session *session, const struct sharing *s,
               const struct weir_sync_message *told, uint64_t now_ms)
{
    uint8_t differ[((size_t) 1 << WEIR_SUMMARY_BITS_MAX) / 8] = { 0 };
    if (!judge_buckets (self, session, s, told, differ, now_ms)) {
        say_summary (self, session, s, false, false); /* it changed since: now we are equal */
        return;
    }
    size_t before = self->actions->count;
    weir_sync_say_digests (self, session, WEIR_SAY_REPLY, NULL, true);
    if (self->actions->count == before) {
        weir_sync_say (self, session, WEIR_SYNC_DIGESTS, NULL)->answer = true;
    }
    for (size_t i = 0; i < s->count; i++) {
        s->items[i].pair->reply = false;
    }
    struct weir_sync_message *m = &self->actions->items[self->actions->count - 1].message;
    m->sum = told->sum;
    m->bits = told->bits;
    m->n_bytes = ((size_t) 1 << m->bits) / 8;
    m->bytes = weir_alloc (m->n_bytes);
    memcpy (m->bytes, differ, m->n_bytes);
}

/* All are equal: now, or when we said so. */
static void
judge_all (struct weir_sync *self, const struct sharing *s, bool now, uint64_t now_ms)
{
    for (size_t i = 0; i < s->count; i++) {
        struct weir_sync_pair *pair = s->items[i].pair;
        const struct weir_id *theirs = now ? &pair->db->digest : &pair->said;
        if (!weir_id_is_zero (theirs)) {
            judge_told (self, pair, theirs, now_ms);
        }
    }
}

void
weir_sync_on_summary (struct weir_sync *self, struct weir_sync_session *session,
                      const struct weir_sync_message *m, uint64_t now_ms)
{
    struct sharing s;
    if (m->bits > WEIR_SUMMARY_BITS_MAX || (m->bits > 0 && m->bits < 4)
        || m->n_bytes != (m->bits > 0 ? (size_t) HASH_BYTES << m->bits : 0)) {
        self->counters.messages_bad++;
        return;
    }
    gather (session, &s);
    struct weir_id sum = hash_of (session, &s, 0, s.count);
    if (weir_id_equal (&sum, &m->sum)) {
        judge_all (self, &s, true, now_ms);
        if (m->answer) {
            say_summary (self, session, &s, false, false);
            check_later (self, session, now_ms);
        }
    } else if (weir_id_equal (&session->said, &m->sum)) {
        judge_all (self, &s, false, now_ms);
    } else if (m->bits > 0) {
        say_differing (self, session, &s, m, now_ms);
    } else if (m->answer || weir_id_compare (&self->options.device, &session->peer->device) < 0) {
        say_summary (self, session, &s, true, true);
    }
    free (s.items);
}
