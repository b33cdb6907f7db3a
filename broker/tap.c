/* Owns the taps: their filters, bounds and counts. It sees borrowed bytes of what passes through
 * the router and sends copies through a function it is given; it never holds a message up. */

#include "broker/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- filters ---- */

static bool
parse_number (uint64_t *out, const char *text)
{
    char *end = NULL;
    *out = strtoull (text, &end, 0);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static bool
put_text (char *out, size_t size, const char *value)
{
    int n = snprintf (out, size, "%s", value);
    return n > 0 && (size_t) n < size;
}

static bool
parse_word (struct weir_tap_filter *f, const char *key, const char *value)
{
    if (strcmp (key, "actor") == 0) {
        return put_text (f->actor, sizeof f->actor, value);
    }
    if (strcmp (key, "from") == 0) {
        return put_text (f->from, sizeof f->from, value);
    }
    if (strcmp (key, "to") == 0) {
        return put_text (f->to, sizeof f->to, value);
    }
    if (strcmp (key, "kind") == 0) {
        f->kind = weir_kind_by_name (value);
        return f->kind != NULL;
    }
    if (strcmp (key, "peer") == 0 || strcmp (key, "db") == 0) {
        /* An envelope shows eight bytes of an id: twelve whole characters. */
        char *to = key[0] == 'p' ? f->peer : f->db;
        (void) snprintf (to, sizeof f->peer, "%.12s", value);
        return to[0] != '\0';
    }
    if (strcmp (key, "answer") == 0) {
        f->answer = strcmp (value, "yes") == 0 ? 1 : 0;
        return f->answer == 1 || strcmp (value, "no") == 0;
    }
    if (strcmp (key, "trace") == 0) {
        return parse_number (&f->trace, value);
    }
    if (strcmp (key, "min") == 0) {
        return parse_number (&f->min, value);
    }
    return strcmp (key, "max") == 0 && parse_number (&f->max, value);
}

enum weir_status
weir_tap_filter_parse (struct weir_tap_filter *out, const char *text, struct weir_error *e)
{
    struct weir_tap_filter f = { .max = UINT64_MAX, .answer = -1 };
    char copy[1024];
    if (!put_text (copy, sizeof copy, text) && text[0] != '\0') {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "the filter is too long");
    }
    char *rest = NULL;
    for (char *word = strtok_r (copy, " \t", &rest); word != NULL;
         word = strtok_r (NULL, " \t", &rest)) {
        char *value = strchr (word, '=');
        if (value != NULL) {
            *value++ = '\0';
        }
        if (value == NULL || !parse_word (&f, word, value)) {
            return weir_error_set (e, WEIR_INVALID_ARGUMENT,
                                   "words: actor= from= to= kind= peer= db= trace= min= max= "
                                   "answer=yes|no",
                                   "the filter does not know %s%s%s", word,
                                   value == NULL ? "" : "=", value == NULL ? "" : value);
        }
    }
    *out = f;
    return WEIR_OK;
}

static bool
is_called (const char *wanted, const char *name, const char *role)
{
    return strcmp (wanted, name) == 0 || strcmp (wanted, role) == 0;
}

static bool
has_prefix (const char *wanted, const uint8_t shown[8])
{
    struct weir_id id = weir_id_zero;
    memcpy (id.b, shown, 8);
    return strncasecmp (weir_id_text (&id).s, wanted, strlen (wanted)) == 0;
}

bool
weir_tap_filter_match (const struct weir_tap_filter *f, const struct weir_tap_seen *s)
{
    uint64_t bytes = s->meta.len + s->body.len;
    int answer = (s->envelope->flags & WEIR_ENV_ANSWER) != 0 ? 1 : 0;
    return (f->kind == NULL || f->kind == s->kind) && (f->answer < 0 || f->answer == answer)
           && bytes >= f->min && bytes <= f->max
           && (f->trace == 0 || f->trace == s->envelope->trace)
           && (f->from[0] == '\0' || is_called (f->from, s->from_name, s->from_role))
           && (f->to[0] == '\0' || is_called (f->to, s->to_name, s->to_role))
           && (f->actor[0] == '\0' || is_called (f->actor, s->from_name, s->from_role)
               || is_called (f->actor, s->to_name, s->to_role))
           && (f->peer[0] == '\0' || has_prefix (f->peer, s->envelope->peer))
           && (f->db[0] == '\0' || has_prefix (f->db, s->envelope->database));
}

/* ---- taps ---- */

enum weir_status
weir_taps_start (struct weir_taps *t, const struct weir_envelope *request,
                 const Weir__TapFilter *wanted, uint64_t now_ms, struct weir_error *e)
{
    char text[1024];
    struct weir_tap tap = { .request = *request };
    if (t->count == WEIR_TAPS_MAX) {
        return weir_error_set (e, WEIR_LIMIT, NULL, "%u taps run already", WEIR_TAPS_MAX);
    }
    if (weir_field_get_text (text, sizeof text - 1, wanted->has_expression, wanted->expression)
        != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "the filter is not text");
    }
    enum weir_status status = weir_tap_filter_parse (&tap.filter, text, e);
    if (status != WEIR_OK) {
        return status;
    }
    uint64_t seconds = wanted->seconds == 0 ? WEIR_TAP_SECONDS : wanted->seconds;
    tap.ends_ms = now_ms + seconds * 1000u;
    tap.rate = wanted->rate == 0 ? WEIR_TAP_RATE_PER_S : wanted->rate;
    tap.body = wanted->body != 0;
    tap.meta = wanted->meta != 0 || tap.body;
    t->items[t->count++] = tap;
    return WEIR_OK;
}

static void
remove_tap (struct weir_taps *t, size_t i)
{
    t->count--;
    memmove (&t->items[i], &t->items[i + 1], (t->count - i) * sizeof t->items[0]);
}

static void
end_tap (struct weir_taps *t, size_t i, const char *why)
{
    Weir__TapEvent last = WEIR__TAP_EVENT__INIT;
    last.has_ended = 1;
    last.ended = weir_field_str (why);
    last.has_missed = 1;
    last.missed = t->items[i].missed;
    /* A tapper that reads too slowly for this one finds out by its own time limit. */
    enum weir_status status = t->send (t->context, &t->items[i].request, &last, false);
    (void) status;
    remove_tap (t, i);
}

enum weir_status
weir_taps_stop (struct weir_taps *t, const struct weir_mailbox_id *tapper, uint64_t request,
                const char *why)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct weir_envelope *r = &t->items[i].request;
        if (r->request == request && weir_mailbox_equal (&r->from, tapper)) {
            end_tap (t, i, why);
            return WEIR_OK;
        }
    }
    return WEIR_NOT_FOUND;
}

void
weir_taps_tick (struct weir_taps *t, uint64_t now_ms)
{
    for (size_t i = t->count; i > 0; i--) {
        if (now_ms >= t->items[i - 1].ends_ms) {
            end_tap (t, i - 1, "time");
        }
    }
}

static bool
within_rate (struct weir_tap *tap, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000u;
    if (second != tap->second) {
        tap->second = second;
        tap->in_second = 0;
    }
    return ++tap->in_second <= tap->rate;
}

/* What a link carries holds another message, which may be secret (a ticket on its way). The one
 * place where the broker looks into a meta that is not its own, and only while somebody taps. */
static bool
carries_secret (const struct weir_tap_seen *seen)
{
    bool link = seen->kind->number == WEIR_KIND_WIRE_OUT || seen->kind->number == WEIR_KIND_WIRE_IN;
    if (!link) {
        return false;
    }
    struct weir_arena *arena = weir_arena_new (64u << 10);
    ProtobufCMessage *message = NULL;
    bool secret = true;
    if (weir_meta_unpack (&message, arena, &weir__link_message__descriptor, seen->meta)
        == WEIR_OK) {
        uint32_t number = ((const Weir__LinkMessage *) message)->kind;
        const struct weir_kind *inner = number <= UINT16_MAX ? weir_kind ((uint16_t) number) : NULL;
        secret = inner == NULL || (inner->flags & WEIR_KIND_SECRET) != 0;
    }
    weir_arena_destroy (&arena);
    return secret;
}

static struct weir_bytes
shown (struct weir_bytes part)
{
    size_t len = part.len < WEIR_TAP_PART_BYTES_MAX ? part.len : WEIR_TAP_PART_BYTES_MAX;
    return weir_bytes (part.data, len);
}

static bool
show (struct weir_taps *t, struct weir_tap *tap, const struct weir_tap_seen *seen, uint64_t unix_ms)
{
    Weir__TapEvent event = WEIR__TAP_EVENT__INIT;
    bool secret = seen->kind == NULL || (seen->kind->flags & WEIR_KIND_SECRET) != 0;
    event.has_ms = event.has_envelope = event.has_from = event.has_to = 1;
    event.ms = unix_ms;
    event.envelope = weir_field_of (seen->head);
    event.from = weir_field_str (seen->from_name);
    event.to = weir_field_str (seen->to_name);
    event.has_meta_bytes = event.has_body_bytes = 1;
    event.meta_bytes = (uint32_t) seen->meta.len;
    event.body_bytes = (uint32_t) seen->body.len;
    event.has_meta = tap->meta && !secret;
    event.meta = weir_field_of (shown (event.has_meta ? seen->meta : weir_bytes (NULL, 0)));
    event.has_body = tap->body && !secret && !carries_secret (seen);
    event.body = weir_field_of (shown (event.has_body ? seen->body : weir_bytes (NULL, 0)));
    event.has_missed = tap->missed > 0;
    event.missed = tap->missed;
    enum weir_status status = t->send (t->context, &tap->request, &event, true);
    if (status == WEIR_OK) {
        tap->missed = 0;
    } else {
        tap->missed++;
    }
    return status != WEIR_UNAVAILABLE;
}

void
weir_taps_see (struct weir_taps *t, const struct weir_tap_seen *seen, uint64_t now_ms,
               uint64_t unix_ms)
{
    for (size_t i = t->count; i > 0; i--) {
        struct weir_tap *tap = &t->items[i - 1];
        if (!weir_tap_filter_match (&tap->filter, seen)) {
            continue;
        }
        if (!within_rate (tap, now_ms)) {
            tap->missed++;
        } else if (!show (t, tap, seen, unix_ms)) {
            remove_tap (t, i - 1); /* nobody is there to be told */
        }
    }
}
