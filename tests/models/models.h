#ifndef WEIR_TESTS_MODELS_MODELS_H
#define WEIR_TESTS_MODELS_MODELS_H

/* Each model plays one random history from a seed on the real thing and on something slow and
 * obvious, and ends the program with the seed when they differ. */

#include <stdint.h>

#include "store/base/status.h"

void weir_model_map (uint64_t seed);
void weir_model_list (uint64_t seed);
void weir_model_text (uint64_t seed);
void weir_model_doc (uint64_t seed);
void weir_model_counter (uint64_t seed);
void weir_model_tree (uint64_t seed);
void weir_model_movable (uint64_t seed);
void weir_model_diff (uint64_t seed);
void weir_model_replica (uint64_t seed);

/* Says what differed, and in which history. */
_Noreturn void weir_model_fail (const char *file, int line, const char *format, ...)
    WEIR_PRINTF (3, 4);
#define model_check(x, ...) ((x) ? (void) 0 : weir_model_fail (__FILE__, __LINE__, __VA_ARGS__))

#endif
