/* The program of the retry actor. */

#include "actors/retry/retry.h"

int
main (int argc, char **argv)
{
    return weir_retry_run (argc, argv);
}
