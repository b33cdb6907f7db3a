#ifndef WEIR_BINS_BENCH_MAIN_H
#define WEIR_BINS_BENCH_MAIN_H

/* The whole of weir-bench, so that its main () and tests can call it. */

#include <stdbool.h>

int bench_main (int argc, char **argv);

/* queue.c: started by a broker under another program's name, it is an actor. */
bool bench_is_stand_in (const char *program);
int bench_stand_in (int argc, char **argv);

#endif
