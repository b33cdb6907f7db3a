/* weir-bench: measures real nodes; see `weir-bench --help`. */

#include "bins/bench/main.h"

int
main (int argc, char **argv)
{
    return bench_main (argc, argv);
}
