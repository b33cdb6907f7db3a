#ifndef WEIR_TESTS_MODELS_SHADOW_H
#define WEIR_TESTS_MODELS_SHADOW_H

/* A shadow is what somebody has who was only told differences: plain JSON, to which they are
 * applied in the most obvious way. A sketch is a document as JSON that shows all that can be
 * seen, without ids: texts with attributes, trees nested; empty roots are left out. */

#include "store/replica/replica.h"
#include "store/crdt/types.h"

#include "store/base/rand.h"

struct shadow {
    json_t *containers; /* id -> {"type", "value"} */
    json_t *roots;      /* name -> id */
};
void shadow_init (struct shadow *s);
void shadow_fini (struct shadow *s);
void shadow_apply (struct shadow *s, const json_t *diff);
json_t *shadow_sketch (const struct shadow *s);

json_t *sketch (const struct weir_doc *doc);
/* Fails the model when they differ; both are stolen. */
void sketch_check (const char *what, json_t *got, json_t *wanted);

/* A few random edits of any container. */
void sketch_edit (struct weir_rand *rand, struct weir_replica *r);

#endif
