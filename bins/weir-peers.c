/* The program of the peers actor. */

#include "actors/peers/peers.h"

int
main (int argc, char **argv)
{
    return weir_peers_run (argc, argv);
}
