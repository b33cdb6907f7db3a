/* weir events: what happened on the node: starts, joins, forks, refusals. */

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "bins/cli/cli.h"

static json_t *
event_json (const Weir__Event *m)
{
    return json_pack ("{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "number", cli_u64 (m->number),
                      "ms", cli_u64 (m->ms), "actor", cli_text (m->has_actor, m->actor), "event",
                      cli_text (m->has_name, m->name), "peer", cli_id (m->has_device, m->device),
                      "db", cli_id (m->has_db, m->db), "code",
                      weir_status_code (weir_status_from_number (m->status)), "text",
                      cli_text (m->has_text, m->text));
}

static void
show_event (struct cli *c, const Weir__Event *m)
{
    json_t *event = event_json (m);
    if (c->json) {
        cli_json (event);
        fflush (stdout);
        return;
    }
    char when[32] = "";
    time_t seconds = (time_t) (m->ms / 1000u);
    struct tm tm;
    if (localtime_r (&seconds, &tm) != NULL) {
        strftime (when, sizeof when, "%H:%M:%S", &tm);
    }
    printf ("%s.%03u %-12s %-16s ", when, (unsigned) (m->ms % 1000u), cli_text_of (event, "actor"),
            cli_text_of (event, "event"));
    if (m->status != 0) {
        printf ("%s ", cli_text_of (event, "code"));
    }
    cli_put (stdout, cli_text_of (event, "text"));
    putchar ('\n');
    fflush (stdout);
    json_decref (event);
}

int
cli_events (struct cli *c)
{
    Weir__EventsAsk ask = WEIR__EVENTS_ASK__INIT;
    struct weir_error e = { 0 };
    const char *after = cli_option (c, "after");
    const char *count_text = cli_option (c, "count");
    uint64_t count = UINT64_MAX;
    uint64_t request = 0;
    bool follow = cli_option (c, "follow") != NULL;
    if ((after != NULL && cli_number (after, UINT64_MAX, &ask.after, &e) != WEIR_OK)
        || (count_text != NULL && cli_number (count_text, UINT64_MAX, &count, &e) != WEIR_OK)) {
        return cli_fail (c, &e);
    }
    ask.has_after = after != NULL;
    ask.has_follow = true;
    ask.follow = follow;
    enum weir_status status =
        weir_client_send (c->client, WEIR_KIND_EVENTS, &ask.base, weir_bytes (NULL, 0),
                          follow ? 0 : c->timeout_ms, &request, &e);
    while (status == WEIR_OK && count > 0) {
        struct weir_client_answer answer;
        status = weir_client_receive (c->client, follow ? 3600000u : c->timeout_ms, &answer, &e);
        if (status == WEIR_TIMED_OUT && follow) {
            status = WEIR_OK;
            continue;
        }
        if (status != WEIR_OK) {
            break;
        }
        bool more = answer.more;
        const Weir__Event *m = (const Weir__Event *) answer.meta;
        if (answer.status != WEIR_OK) {
            status = answer.status;
            e = answer.problem;
        } else if (m != NULL && m->has_name) {
            show_event (c, m);
            count--;
        }
        weir_client_answer_fini (&answer);
        if (!more) {
            break;
        }
    }
    return status == WEIR_OK ? 0 : cli_fail (c, &e);
}
