#ifndef WEIR_BINS_BENCH_MAIN_H
#define WEIR_BINS_BENCH_MAIN_H

int bench_main (int argc, char **argv);

#endif
