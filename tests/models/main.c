/* Goal: random histories, each on the engine and on a slow and obvious model of it. A seed
 * repeats its history exactly:
 *
 *     weir-models [--first SEED] [--seeds COUNT]
 */

#include "tests/models/models.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*play) (uint64_t seed);
} models[] = {
    { "map", weir_model_map },         { "list", weir_model_list },
    { "text", weir_model_text },       { "doc", weir_model_doc },
    { "counter", weir_model_counter }, { "tree", weir_model_tree },
    { "movable", weir_model_movable }, { "replica", weir_model_replica },
    { "diff", weir_model_diff },
};

static const char *playing;
static uint64_t playing_seed;

void
weir_model_fail (const char *file, int line, const char *format, ...)
{
    va_list args;
    fprintf (stderr, "%s:%d: model %s differs in --first %" PRIu64 " --seeds 1: ", file, line,
             playing, playing_seed);
    va_start (args, format);
    vfprintf (stderr, format, args);
    va_end (args);
    fprintf (stderr, "\n");
    exit (1);
}

int
main (int argc, char **argv)
{
    uint64_t first = 1;
    uint64_t seeds = 1000;
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp (argv[i], "--first") == 0   ? &first
                           : strcmp (argv[i], "--seeds") == 0 ? &seeds
                                                              : NULL;
        if (number == NULL || i + 1 == argc) {
            fprintf (stderr, "usage: weir-models [--first SEED] [--seeds COUNT]\n");
            return 2;
        }
        *number = strtoull (argv[++i], NULL, 10);
    }
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        playing = models[m].name;
        for (uint64_t i = 0; i < seeds; i++) {
            playing_seed = first + i;
            models[m].play (first + i);
        }
        printf ("%s: %" PRIu64 " histories agree, from seed %" PRIu64 "\n", playing, seeds, first);
    }
    return 0;
}
