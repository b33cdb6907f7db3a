/* Goal: every cell of who x kind x whom, both ways, against kinds.def read a second time here;
 * sizes at their bound and one behind it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "broker/rules.h"

/* The table as text: "S|P|T|R|G". */
static const struct {
    uint16_t number;
    const char *from, *to, *flags;
    size_t body_max;
} rows[] = {
#define KIND(number, name, from, to, meta, answer, body, flags)                                    \
    { number, #from, #to, #flags, body },
#include "protos/kinds.def"
#undef KIND
};

static const struct {
    char letter;
    unsigned bit;
    bool actor;
} roles[] = {
    { 'C', WEIR_ROLE_C, false }, { 'B', WEIR_ROLE_B, false }, { 'S', WEIR_ROLE_S, true },
    { 'P', WEIR_ROLE_P, true },  { 'T', WEIR_ROLE_T, true },  { 'R', WEIR_ROLE_R, true },
    { 'G', WEIR_ROLE_G, true },  { 'N', WEIR_ROLE_N, false },
};
#define ROLES (sizeof roles / sizeof roles[0])

static bool
names (const char *words, size_t role)
{
    if (strcmp (words, "ANY") == 0) {
        return roles[role].actor;
    }
    for (const char *p = words; *p != '\0'; p++) {
        if (*p == roles[role].letter) {
            return true;
        }
    }
    return false;
}

static void
test_every_cell (void **state)
{
    (void) state;
    size_t allowed = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct weir_kind *kind = weir_kind (rows[i].number);
        bool oneway = strstr (rows[i].flags, "ONEWAY") != NULL;
        assert_non_null (kind);
        for (size_t from = 0; from < ROLES; from++) {
            for (size_t to = 0; to < ROLES; to++) {
                bool ask = names (rows[i].from, from) && names (rows[i].to, to);
                bool answer = !oneway && names (rows[i].from, to) && names (rows[i].to, from);
                assert_int_equal (
                    weir_rules_check (kind, false, roles[from].bit, roles[to].bit, 0, 0),
                    ask ? WEIR_OK : WEIR_NOT_PERMITTED_KIND);
                assert_int_equal (
                    weir_rules_check (kind, true, roles[from].bit, roles[to].bit, 0, 0),
                    answer ? WEIR_OK : WEIR_NOT_PERMITTED_KIND);
                allowed += ask ? 1 : 0;
            }
        }
    }
    assert_true (allowed > 100);
}

static void
test_sizes (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct weir_kind *kind = weir_kind (rows[i].number);
        assert_int_equal (weir_rules_check (kind, false, kind->from, kind->to,
                                            WEIR_MESSAGE_META_BYTES_MAX, rows[i].body_max),
                          WEIR_OK);
        assert_int_equal (
            weir_rules_check (kind, false, kind->from, kind->to, 0, rows[i].body_max + 1),
            WEIR_TOO_LARGE);
        assert_int_equal (weir_rules_check (kind, false, kind->from, kind->to,
                                            WEIR_MESSAGE_META_BYTES_MAX + 1, 0),
                          WEIR_TOO_LARGE);
    }
}

static void
test_unknown (void **state)
{
    (void) state;
    assert_int_equal (weir_rules_check (NULL, false, WEIR_ROLE_S, WEIR_ROLE_P, 0, 0),
                      WEIR_UNKNOWN_KIND);
    assert_int_equal (weir_rules_check (weir_kind (WEIR_KIND_NOVEL), false, WEIR_ROLE_S, 0, 0, 0),
                      WEIR_NOT_PERMITTED_KIND);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_cell),
        cmocka_unit_test (test_sizes),
        cmocka_unit_test (test_unknown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
