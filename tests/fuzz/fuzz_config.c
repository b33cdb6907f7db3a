/* Goal: whatever text comes as weir.conf (first byte 'c') or as a tap's filter ('t'), the parser
 * stays within it and its bounds, says why when it refuses, and what it takes shows again as a
 * value that it takes. */

#include "actors/runtime/settings.h"
#include "broker/tap.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
try_config (struct weir_bytes text)
{
    struct weir_settings_values v;
    struct weir_settings_values again;
    struct weir_setting_row row;
    struct weir_error e = { 0 };
    weir_assert (weir_settings_load (&v, NULL, false, &e) == WEIR_OK);
    again = v;
    if (weir_settings_parse (&v, text, "fuzz", &e) != WEIR_OK) {
        weir_assert (e.what[0] != '\0');
        return;
    }
    for (size_t i = 0; weir_settings_row (&v, i, &row); i++) {
        weir_assert (weir_settings_set (&again, row.key, row.value, WEIR_FROM_FILE, &e) == WEIR_OK);
    }
    memset (v.origins, 0, sizeof v.origins);
    memset (again.origins, 0, sizeof again.origins);
    for (size_t i = 0; weir_settings_row (&v, i, &row); i++) {
        struct weir_setting_row other;
        weir_assert (weir_settings_row (&again, i, &other) && strcmp (row.value, other.value) == 0);
    }
}

static void
try_filter (struct weir_bytes text)
{
    char *copy = weir_strndup ((const char *) text.data, text.len);
    struct weir_tap_filter f;
    struct weir_error e = { 0 };
    if (weir_tap_filter_parse (&f, copy, &e) == WEIR_OK) {
        struct weir_envelope envelope = { .kind = WEIR_KIND_NOVEL };
        struct weir_tap_seen seen = {
            .envelope = &envelope,
            .kind = weir_kind (WEIR_KIND_NOVEL),
            .from_name = "store",
            .from_role = "store",
            .to_name = "peers",
            .to_role = "peers",
        };
        (void) weir_tap_filter_match (&f, &seen);
    } else {
        weir_assert (e.what[0] != '\0');
    }
    free (copy);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct weir_bytes rest = weir_bytes (data + 1, size - 1);
    if (data[0] == 't') {
        try_filter (rest);
    } else {
        try_config (rest);
    }
    return 0;
}
