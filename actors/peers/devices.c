/* Whom we know: devices and their relationships, by id, prefix or name. */

#include "actors/peers/state.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct device *
device_find (struct peers *p, const struct weir_id *id)
{
    return weir_map_get (p->devices, weir_id_bytes (id));
}

struct device *
device_need (struct peers *p, const struct weir_id *id)
{
    struct device *d = device_find (p, id);
    if (d == NULL) {
        d = weir_alloc (sizeof *d);
        d->id = *id;
        (void) weir_map_put (p->devices, weir_id_bytes (id), d);
    }
    return d;
}

void
relation_free (struct relation *r)
{
    known_clear (r);
    free (r->hints);
    free (r);
}

void
device_free (struct device *d)
{
    while (d->relations != NULL) {
        struct relation *next = d->relations->next;
        relation_free (d->relations);
        d->relations = next;
    }
    peers_card_destroy (&d->card);
    free (d->typed_address);
    free (d->last_why);
    free (d);
}

void
device_drop (struct peers *p, struct device *d)
{
    if (d->relations != NULL || d->added || d->blocked || d->link != NULL || d->dial != NULL
        || device_is_member (p, &d->id)) {
        return;
    }
    rows_forget_device (p, d);
    (void) weir_map_remove (p->devices, weir_id_bytes (&d->id));
    device_free (d);
}

/* By its card, else as a database's members call it. */
const char *
device_name (struct peers *p, const struct device *d)
{
    if (d->card != NULL && d->card->name[0] != '\0') {
        return d->card->name;
    }
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        const struct member *m = database_member (value, &d->id);
        if (m != NULL && m->name[0] != '\0') {
            return m->name;
        }
    }
    return "";
}

/* ---- what people type ---- */

struct search {
    const char *text;
    bool prefix;
    size_t hits;
    void *found;
};

static void
consider (struct search *s, const struct weir_id *id, const char *name, void *item)
{
    bool exact = strcasecmp (weir_id_text (id).s, s->text) == 0;
    if (exact || strcmp (name, s->text) == 0 || (s->prefix && weir_id_has_prefix (id, s->text))) {
        s->hits++;
        s->found = item;
    }
}

static enum weir_status
judge (const struct search *s, const char *what, struct weir_error *e)
{
    if (s->hits == 1) {
        return WEIR_OK;
    }
    if (s->hits > 1) {
        return weir_error_set (e, WEIR_AMBIGUOUS, NULL, "%s %s is ambiguous: %zu match", what,
                               s->text, s->hits);
    }
    const char *hint =
        strcmp (what, "database") == 0 ? "weir db ls shows all" : "weir peer ls shows all";
    return weir_error_set (e, WEIR_NOT_FOUND, hint, "there is no %s %s", what, s->text);
}

static enum weir_status
search_text (struct search *s, char *out, bool has, ProtobufCBinaryData text, const char *what,
             struct weir_error *e)
{
    if (weir_field_get_text (out, WEIR_NAME_BYTES_MAX, has, text) != WEIR_OK || out[0] == '\0') {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a %s must be named", what);
    }
    *s = (struct search){ .text = out, .prefix = strlen (out) >= WEIR_ID_PREFIX_MIN };
    return WEIR_OK;
}

enum weir_status
device_resolve (struct peers *p, bool has, ProtobufCBinaryData text, struct device **out,
                struct weir_error *e)
{
    char name[WEIR_NAME_BYTES_MAX + 1];
    struct search s;
    struct weir_bytes key;
    void *value = NULL;
    enum weir_status status = search_text (&s, name, has, text, "peer", e);
    if (status != WEIR_OK) {
        return status;
    }
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        struct device *d = value;
        consider (&s, &d->id, device_name (p, d), d);
    }
    status = judge (&s, "peer", e);
    if (status == WEIR_OK) {
        *out = s.found;
    }
    return status;
}

enum weir_status
database_resolve (struct peers *p, bool has, ProtobufCBinaryData text, struct database **out,
                  struct weir_error *e)
{
    char name[WEIR_NAME_BYTES_MAX + 1];
    struct search s;
    struct weir_bytes key;
    void *value = NULL;
    enum weir_status status = search_text (&s, name, has, text, "database", e);
    if (status != WEIR_OK) {
        return status;
    }
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        struct database *db = value;
        consider (&s, &db->id, db->name, db);
    }
    status = judge (&s, "database", e);
    if (status == WEIR_OK) {
        *out = s.found;
    }
    return status;
}

/* ---- relationships ---- */

struct relation *
relation_find (const struct device *d, const struct weir_id *db)
{
    for (struct relation *r = d->relations; r != NULL; r = r->next) {
        if (weir_id_equal (&r->db, db)) {
            return r;
        }
    }
    return NULL;
}

struct relation *
relation_need (struct device *d, const struct weir_id *db)
{
    struct relation *r = relation_find (d, db);
    if (r == NULL) {
        r = weir_alloc (sizeof *r);
        r->device = d;
        r->db = *db;
        r->direction = WEIR_SYNC_BOTH;
        r->priority = 1;
        r->behind = true; /* the retry queue may remember it from before */
        r->next = d->relations;
        d->relations = r;
    }
    return r;
}

static const char *const directions[] = {
    "none", [WEIR_SYNC_PUSH] = "push", [WEIR_SYNC_PULL] = "pull", [WEIR_SYNC_BOTH] = "both"
};

const char *
direction_name (enum weir_direction direction)
{
    return directions[direction & WEIR_SYNC_BOTH];
}

enum weir_status
direction_parse (const char *text, enum weir_direction *out)
{
    for (unsigned i = WEIR_SYNC_PUSH; i <= WEIR_SYNC_BOTH; i++) {
        if (strcmp (directions[i], text) == 0) {
            *out = (enum weir_direction) i;
            return WEIR_OK;
        }
    }
    return WEIR_INVALID_ARGUMENT;
}

static const char *const priorities[] = { "high", "normal", "low" };
#define PRIORITIES (sizeof priorities / sizeof *priorities)

const char *
priority_name (uint8_t priority)
{
    return priorities[priority < PRIORITIES ? priority : 1];
}

enum weir_status
priority_parse (const char *text, uint8_t *out)
{
    for (size_t i = 0; i < PRIORITIES; i++) {
        if (strcmp (priorities[i], text) == 0) {
            *out = (uint8_t) i;
            return WEIR_OK;
        }
    }
    return WEIR_INVALID_ARGUMENT;
}

/* ---- cards and errors ---- */

bool
device_take_card (struct peers *p, struct device *d, struct peers_card **card_p)
{
    struct peers_card *card = *card_p;
    *card_p = NULL;
    if (d->card != NULL && card->counter <= d->card->counter) {
        peers_card_destroy (&card);
        return false;
    }
    peers_card_destroy (&d->card);
    d->card = card;
    d->card_dirty = true;
    d->due_ms = 0;
    rows_flush_later (p);
    return true;
}

const char *
device_why (const struct device *d)
{
    return d->last_why != NULL ? d->last_why : "";
}

void
device_text (char **at, struct weir_bytes text, size_t max)
{
    size_t n = text.len < max ? text.len : max;
    free (*at);
    *at = NULL;
    if (n > 0) {
        *at = weir_alloc (n + 1);
        memcpy (*at, text.data, n);
    }
}

void
device_error (struct device *d, enum weir_status status, const char *why)
{
    if (d->last_error != status || strcmp (device_why (d), why) != 0) {
        d->last_error = status;
        device_text (&d->last_why, weir_bytes_str (why), PEERS_WHY_MAX - 1);
        d->dirty = true;
    }
}
