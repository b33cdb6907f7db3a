#!/bin/bash
# gcc -fanalyzer over what we ship, for what it is good at: leaks, double frees, use after free,
# file descriptors. The checks for NULL and for unset values are off: it cannot see that a status
# from another file says whether an out-parameter was written, nor that weir_alloc aborts.
#
#   tests/lint/analyze.sh BUILD
set -euo pipefail
. tests/lint/files.sh

lint_files '*.c' | grep -v '^tests/' |
    xargs -P 2 -n 1 gcc -std=c11 -D_GNU_SOURCE -I. -I"$1/gen" -O1 -fanalyzer -Werror \
        -Wno-analyzer-possible-null-dereference -Wno-analyzer-possible-null-argument \
        -Wno-analyzer-null-dereference -Wno-analyzer-null-argument \
        -Wno-analyzer-use-of-uninitialized-value -Wno-analyzer-too-complex -S -o /dev/null
