#ifndef WEIR_BROKER_RULES_H
#define WEIR_BROKER_RULES_H

/* Who may send what to whom, and how large: kinds.def as a yes or no. Pure. */

#include "protos/codec.h"

/* A message (or an answer) of this kind from one role to another. WEIR_UNKNOWN_KIND for NULL,
 * WEIR_NOT_PERMITTED_KIND, WEIR_TOO_LARGE. */
WEIR_MUST enum weir_status weir_rules_check (const struct weir_kind *kind, bool answer,
                                             unsigned from_role, unsigned to_role,
                                             size_t meta_bytes, size_t body_bytes);

#endif
