/* One request of the command line, to its last answer. */

#include <time.h>

#include "bins/cli/cli.h"

#define DEFERRED_PAUSE_MS 100

uint64_t
cli_now_ms (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000u + (uint64_t) t.tv_nsec / 1000000u;
}

/* Sends it and takes its answers until `until`; each (may be NULL) sees every answer's meta. */
static enum weir_status
ask_once (struct cli *c, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body,
          uint64_t until, struct cli_reply *reply, cli_part_fn *each, void *context,
          struct weir_error *e)
{
    uint64_t request = 0;
    uint64_t now = cli_now_ms ();
    enum weir_status status = weir_client_send (
        c->client, kind, meta, body, now < until ? (uint32_t) (until - now) : 1, &request, e);
    bool more = true;
    while (status == WEIR_OK && more) {
        now = cli_now_ms ();
        status = weir_client_receive (c->client, now < until ? (uint32_t) (until - now) : 0,
                                      &reply->answer, e);
        if (status != WEIR_OK) {
            break;
        }
        if (reply->answer.request != request) {
            weir_client_answer_fini (&reply->answer);
            continue;
        }
        status = reply->answer.status;
        *e = status != WEIR_OK ? reply->answer.problem : *e;
        weir_buf_put_bytes (&reply->body, reply->answer.body);
        if (status == WEIR_OK && each != NULL && reply->answer.meta != NULL) {
            each (context, reply->answer.meta);
        }
        more = status == WEIR_OK && reply->answer.more;
        if (more) {
            weir_client_answer_fini (&reply->answer);
        }
    }
    return status;
}

/* A document that is behind its log is asked for again until the time is up: `deferred` changed
 * nothing, and a write keeps its number. So is content that is not here, when that was asked. */
static int
call (struct cli *c, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body,
      struct cli_reply *reply, cli_part_fn *each, void *context)
{
    static const struct timespec pause = { .tv_nsec = DEFERRED_PAUSE_MS * 1000000L };
    struct weir_error e = { 0 };
    uint64_t until = cli_now_ms () + c->timeout_ms;
    *reply = (struct cli_reply){ 0 };
    enum weir_status status = ask_once (c, kind, meta, body, until, reply, each, context, &e);
    while ((status == WEIR_DEFERRED || (status == WEIR_BLOB_MISSING && c->waits))
           && cli_now_ms () + DEFERRED_PAUSE_MS < until) {
        cli_reply_fini (reply);
        *reply = (struct cli_reply){ 0 };
        (void) nanosleep (&pause, NULL);
        status = ask_once (c, kind, meta, body, until, reply, each, context, &e);
    }
    if (status == WEIR_OK) {
        return 0;
    }
    e.status = status;
    cli_reply_fini (reply);
    return cli_fail (c, &e);
}

int
cli_call (struct cli *c, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body,
          struct cli_reply *reply)
{
    return call (c, kind, meta, body, reply, NULL, NULL);
}

int
cli_call_quietly (struct cli *c, uint16_t kind, const ProtobufCMessage *meta)
{
    struct cli_reply reply;
    int code = cli_call (c, kind, meta, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        if (c->json) {
            cli_json (json_pack ("{s:b}", "ok", 1));
        }
        cli_reply_fini (&reply);
    }
    return code;
}

int
cli_call_parts (struct cli *c, uint16_t kind, const ProtobufCMessage *meta, cli_part_fn *each,
                void *context)
{
    struct cli_reply reply;
    int code = call (c, kind, meta, weir_bytes (NULL, 0), &reply, each, context);
    if (code == 0) {
        cli_reply_fini (&reply);
    }
    return code;
}

void
cli_reply_fini (struct cli_reply *reply)
{
    weir_client_answer_fini (&reply->answer);
    weir_buf_fini (&reply->body);
}
