/* weir-store: the store actor; by hand, what can be done on its data without a node. */

#include <string.h>

#include "actors/store/store.h"

int
main (int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '-') {
        return weir_store_offline (argc, argv);
    }
    return weir_store_run (argc, argv);
}
