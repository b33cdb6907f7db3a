/* The routing rules: kinds.def read as who -> whom. Called by router.c for every message. */

#include "broker/rules.h"

enum weir_status
weir_rules_check (const struct weir_kind *kind, bool answer, unsigned from_role, unsigned to_role,
                  size_t meta_bytes, size_t body_bytes)
{
    if (kind == NULL) {
        return WEIR_UNKNOWN_KIND;
    }
    if (answer && (kind->flags & WEIR_KIND_ONEWAY) != 0) {
        return WEIR_NOT_PERMITTED_KIND;
    }
    unsigned sender = answer ? to_role : from_role;
    unsigned taker = answer ? from_role : to_role;
    if ((kind->from & sender) == 0 || (kind->to & taker) == 0) {
        return WEIR_NOT_PERMITTED_KIND;
    }
    if (meta_bytes > WEIR_MESSAGE_META_BYTES_MAX || body_bytes > kind->body_max) {
        return WEIR_TOO_LARGE;
    }
    return WEIR_OK;
}
