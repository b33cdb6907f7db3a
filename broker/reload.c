/* Reads weir.conf again while the node runs: whole and checked before anything of it counts. What
 * may change while running does so here and in every actor at once; the rest is named, and waits
 * for a restart. Called for `weir config reload` (control.c) and SIGHUP (broker.c). */

#include "broker/parts.h"

#include <stdlib.h>
#include <string.h>

static ProtobufCBinaryData
copy_text (struct weir_arena *arena, const char *text)
{
    struct weir_bytes bytes = weir_bytes_str (text);
    uint8_t *copy = weir_arena_copy (arena, bytes);
    return (ProtobufCBinaryData){ .data = copy, .len = copy != NULL ? bytes.len : 0 };
}

static Weir__SettingChange *
make_change (struct weir_arena *arena, const struct weir_setting_row *was,
             const struct weir_setting_row *is)
{
    Weir__SettingChange *m = weir_arena_alloc (arena, sizeof *m);
    weir_assert (m != NULL); /* the table of settings is far smaller than an arena */
    *m = (Weir__SettingChange) WEIR__SETTING_CHANGE__INIT;
    m->has_key = m->has_was = m->has_is = m->has_applied = true;
    m->key = copy_text (arena, is->key);
    m->was = copy_text (arena, was->value);
    m->is = copy_text (arena, is->value);
    m->applied = is->reload;
    return m;
}

/* Every actor is told the same list; one that is away reads the file when it comes. */
static void
tell_all (struct weir_broker *b, Weir__ConfigReloaded *m)
{
    Weir__ConfigReloaded told = WEIR__CONFIG_RELOADED__INIT;
    told.changes = m->changes;
    told.n_changes = m->n_changes;
    for (size_t i = 0; i < b->supervisor.count; i++) {
        if (b->slots[i].running
            && weir_router_tell (b, &b->slots[i], WEIR_KIND_RELOAD, &told.base) != WEIR_OK) {
            weir_control_note (b, "config_not_told", WEIR_UNAVAILABLE, "%s", b->slots[i].name);
        }
    }
}

static void
apply (struct weir_broker *b, const struct weir_setting_row *row)
{
    struct weir_error e = { 0 };
    enum weir_status status =
        weir_settings_set (&b->settings, row->key, row->value, WEIR_FROM_FILE, &e);
    weir_assert (status == WEIR_OK); /* it was checked just now */
    if (strcmp (row->key, "log_level") == 0) {
        (void) weir_log_level_parse (&b->log.level, row->value);
    }
}

enum weir_status
weir_reload (struct weir_broker *b, struct weir_arena *arena, Weir__ConfigReloaded *m,
             struct weir_error *e)
{
    struct weir_settings_values *fresh = weir_alloc (sizeof *fresh);
    struct weir_setting_row *was = weir_alloc (2 * sizeof *was);
    struct weir_setting_row *is = was + 1;
    size_t applied = 0;
    /* Without its file a node may begin; but one that is gone is no wish for the defaults. */
    enum weir_status status = weir_settings_load (fresh, b->paths.config, true, e);
    if (status != WEIR_OK) {
        goto done;
    }
    m->changes = weir_arena_array (arena, sizeof fresh->origins, sizeof *m->changes);
    weir_assert (m->changes != NULL);
    for (size_t i = 0; weir_settings_row (fresh, i, is); i++) {
        if (weir_settings_row (&b->settings, i, was) && strcmp (was->value, is->value) != 0) {
            m->changes[m->n_changes++] = make_change (arena, was, is);
            if (is->reload) {
                applied++;
                apply (b, is);
            }
        }
    }
    m->has_file = true;
    m->file = copy_text (arena, b->paths.config);
    if (applied > 0) {
        tell_all (b, m);
    }
done:
    weir_control_note (b, "config_reloaded", status, "changed=%zu applied=%zu%s%s", m->n_changes,
                       applied, status != WEIR_OK ? " error=" : "",
                       status != WEIR_OK ? e->what : "");
    free (fresh);
    free (was);
    return status;
}
