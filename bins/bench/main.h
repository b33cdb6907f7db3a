#ifndef WEIR_BINS_BENCH_MAIN_H
#define WEIR_BINS_BENCH_MAIN_H

/* The whole of weir-bench, so that its main () and tests can call it. */

int bench_main (int argc, char **argv);

#endif
