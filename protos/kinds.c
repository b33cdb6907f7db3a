/* Owns the table of messages in memory: kinds.def, and the words for roles. The codec, the
 * broker's routing rules, tap and the tests read it; nobody changes it. */

#include "protos/codec.h"

#include <string.h>
#include <strings.h>

#include "protos/metas.h"

/* The words of kinds.def. */
enum {
    C = WEIR_ROLE_C,
    B = WEIR_ROLE_B,
    S = WEIR_ROLE_S,
    P = WEIR_ROLE_P,
    T = WEIR_ROLE_T,
    R = WEIR_ROLE_R,
    G = WEIR_ROLE_G,
    N = WEIR_ROLE_N,
    ANY = WEIR_ROLE_ANY
};
enum {
    ONEWAY = WEIR_KIND_ONEWAY,
    IDEM = WEIR_KIND_IDEM,
    SECRET = WEIR_KIND_SECRET,
    STREAM = WEIR_KIND_STREAM
};

static const struct weir_kind kinds[] = {
#define KIND(number, name, from, to, meta, answer, body, flags)                                    \
    { (number), #name, (from), (to), META_##meta, META_##answer, (body), (flags) },
#include "protos/kinds.def"
#undef KIND
};
#define KINDS (sizeof kinds / sizeof kinds[0])

enum {
#define KIND(number, name, from, to, meta, answer, body, flags) ROW_##name,
#include "protos/kinds.def"
#undef KIND
    ROWS
};
_Static_assert(ROWS < 255, "a row does not fit the index");

/* Row + 1 by number, 0: none. A number given twice does not compile (-Woverride-init). */
static const uint8_t rows[] = {
#define KIND(number, name, from, to, meta, answer, body, flags) [number] = ROW_##name + 1,
#include "protos/kinds.def"
#undef KIND
};

const struct weir_kind *
weir_kind (uint16_t number)
{
    if (number >= sizeof rows || rows[number] == 0) {
        return NULL;
    }
    return &kinds[rows[number] - 1];
}

const struct weir_kind *
weir_kind_by_name (const char *name)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strcasecmp (kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

const struct weir_kind *
weir_kind_at (size_t i)
{
    return i < KINDS ? &kinds[i] : NULL;
}

static const struct {
    unsigned bit;
    const char *name;
} roles[] = {
    { WEIR_ROLE_C, "client" },  { WEIR_ROLE_B, "broker" },    { WEIR_ROLE_S, "store" },
    { WEIR_ROLE_P, "peers" },   { WEIR_ROLE_T, "transport" }, { WEIR_ROLE_R, "retry" },
    { WEIR_ROLE_G, "gateway" }, { WEIR_ROLE_N, "node" },
};

const char *
weir_role_name (unsigned role_bit)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (roles[i].bit == role_bit) {
            return roles[i].name;
        }
    }
    return "?";
}

unsigned
weir_role_by_name (const char *name)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp (roles[i].name, name) == 0) {
            return roles[i].bit;
        }
    }
    return 0;
}
