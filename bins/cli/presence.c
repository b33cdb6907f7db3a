/* weir presence: small values that live for seconds: who is here, where their cursors are. */

#include <stdlib.h>
#include <string.h>

#include "bins/cli/cli.h"

#define WATCH_POLL_MS 30000u

static json_t *
item_json (const Weir__PresenceItem *m)
{
    static const char *const states[] = { "here", "removed", "left", "expired" };
    json_t *value = m->value.len > 0 ? json_loadb ((const char *) m->value.data, m->value.len,
                                                   JSON_DECODE_ANY, NULL)
                                     : NULL;
    return json_pack (
        "{s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:i}", "device",
        cli_id (m->has_device, m->device), "name", cli_text (m->has_device_name, m->device_name),
        "key", cli_text (m->has_key, m->key), "value", value != NULL ? value : json_null (),
        "state", states[m->state < 4 ? m->state : 2], "source", cli_text (m->has_source, m->source),
        "ttl_ms", cli_u64 (m->ttl_ms), "age_ms", cli_u64 (m->age_ms), "hops", (int) m->hops);
}

static void
show_item (const json_t *item)
{
    const char *state = cli_text_of (item, "state");
    const char *name = cli_text_of (item, "name");
    char *value = json_dumps (json_object_get (item, "value"), JSON_COMPACT | JSON_ENCODE_ANY);
    cli_put (stdout, name[0] != '\0' ? name : cli_text_of (item, "device"));
    putchar (' ');
    cli_put (stdout, cli_text_of (item, "key"));
    putchar (' ');
    cli_put (stdout, strcmp (state, "here") == 0 && value != NULL ? value : state);
    putchar ('\n');
    free (value);
}

int
cli_presence_set (struct cli *c)
{
    Weir__PresenceSet ask = WEIR__PRESENCE_SET__INIT;
    struct weir_error e = { 0 };
    const char *ttl = cli_option (c, "ttl");
    uint64_t ms = 0;
    if (ttl != NULL && cli_duration_ms (ttl, &ms, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    ask.has_db = ask.has_key = ask.has_value = true;
    ask.db = weir_field_str (c->args[0]);
    ask.key = weir_field_str (c->args[1]);
    ask.value = weir_field_str (c->args[2]);
    ask.has_ttl_ms = ttl != NULL;
    ask.ttl_ms = ms;
    return cli_call_quietly (c, WEIR_KIND_PRESENCE_SET, &ask.base);
}

int
cli_presence_rm (struct cli *c)
{
    Weir__PresenceSet ask = WEIR__PRESENCE_SET__INIT;
    ask.has_db = ask.has_key = true;
    ask.db = weir_field_str (c->args[0]);
    ask.key = weir_field_str (c->args[1]);
    return cli_call_quietly (c, WEIR_KIND_PRESENCE_REMOVE, &ask.base);
}

int
cli_presence_ls (struct cli *c)
{
    Weir__PresenceAsk ask = WEIR__PRESENCE_ASK__INIT;
    struct cli_reply reply;
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_PRESENCE_LIST, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__PresenceItems *m = (const Weir__PresenceItems *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_items; i++) {
        json_t *item = item_json (m->items[i]);
        if (!c->json) {
            show_item (item);
        }
        json_array_append_new (list, item);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "items", list));
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}

/* First what is here, then each change; `anew` in between: what is not among it has gone. */
int
cli_presence_watch (struct cli *c)
{
    struct weir_error e = { 0 };
    const char *text = cli_option (c, "count");
    uint64_t count = UINT64_MAX;
    uint64_t token = 0;
    if (text != NULL && cli_number (text, UINT64_MAX, &count, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    c->timeout_ms = WATCH_POLL_MS + 10000u;
    while (count > 0) {
        Weir__PresenceAsk ask = WEIR__PRESENCE_ASK__INIT;
        struct cli_reply reply;
        ask.has_db = ask.has_since = ask.has_ms = true;
        ask.db = weir_field_str (c->args[0]);
        ask.since = token;
        ask.ms = WATCH_POLL_MS;
        int code = cli_call (c, WEIR_KIND_PRESENCE_WATCH, &ask.base, weir_bytes (NULL, 0), &reply);
        if (code != 0) {
            return code;
        }
        const Weir__PresenceItems *m = (const Weir__PresenceItems *) reply.answer.meta;
        for (size_t i = 0; i < m->n_items && count > 0; i++, count--) {
            json_t *item = item_json (m->items[i]);
            if (c->json) {
                cli_json (json_incref (item));
            } else {
                show_item (item);
            }
            json_decref (item);
        }
        fflush (stdout);
        token = m->token;
        cli_reply_fini (&reply);
    }
    return 0;
}
