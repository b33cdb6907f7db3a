/* The program of the transport actor. */

#include "actors/transport/transport.h"

int
main (int argc, char **argv)
{
    return weir_transport_run (argc, argv);
}
