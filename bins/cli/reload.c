/* weir config reload: what changed in weir.conf, on the running node. */

#include "bins/cli/cli.h"

int
cli_config_reload (struct cli *c)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_CONFIG_RELOAD, NULL, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__ConfigReloaded *m = (const Weir__ConfigReloaded *) reply.answer.meta;
    json_t *list = json_array ();
    size_t waiting = 0;
    for (size_t i = 0; i < m->n_changes; i++) {
        const Weir__SettingChange *x = m->changes[i];
        json_t *change = json_pack ("{s:o, s:o, s:o, s:b}", "key", cli_text (x->has_key, x->key),
                                    "was", cli_text (x->has_was, x->was), "is",
                                    cli_text (x->has_is, x->is), "applied", (int) x->applied);
        waiting += !x->applied;
        if (!c->json) {
            cli_put (stdout, cli_text_of (change, "key"));
            fputs (": ", stdout);
            cli_put (stdout, cli_text_of (change, "was"));
            fputs (" -> ", stdout);
            cli_put (stdout, cli_text_of (change, "is"));
            puts (x->applied ? "" : "  (waits for a restart)");
        }
        json_array_append_new (list, change);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O, s:o, s:b}", "changes", list, "file",
                             cli_text (m->has_file, m->file), "restart_needed", waiting > 0));
    } else if (m->n_changes == 0) {
        puts ("nothing changed");
    } else if (waiting > 0) {
        cli_note (c, "hint: weir stop, then weir run, for what waits for a restart");
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}
