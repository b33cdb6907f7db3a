/* weir-broker: the parent of a node's processes. `weir run` execs it. */

#include "broker/broker.h"

int
main (int argc, char **argv)
{
    return weir_broker_run (argc, argv);
}
