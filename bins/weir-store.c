/* weir-store: the store actor; by hand, what can be done on its data without a node. */

#include <sys/resource.h>
#include <sys/stat.h>

#include "actors/store/store.h"

int
main (int argc, char **argv)
{
    /* It holds the signing key: what it writes is its owner's alone, and it leaves no core. */
    struct rlimit no_core = { 0, 0 };
    setrlimit (RLIMIT_CORE, &no_core);
    umask (077);
    if (argc > 1 && argv[1][0] != '-') {
        return weir_store_offline (argc, argv);
    }
    return weir_store_run (argc, argv);
}
