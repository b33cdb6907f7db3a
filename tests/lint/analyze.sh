#!/bin/bash
# gcc -fanalyzer over what we ship: slow, so part of check-slow. It knows nothing of weir_alloc
# aborting when memory is out, which is why possible-null checks are off.
#
#   tests/lint/analyze.sh BUILD
set -euo pipefail
. tests/lint/files.sh

lint_files '*.c' | grep -v '^tests/' |
    xargs -P 2 -n 1 gcc -std=c11 -D_GNU_SOURCE -I. -I"$1/gen" -O1 -fanalyzer -Werror \
        -Wno-analyzer-possible-null-dereference -Wno-analyzer-possible-null-argument \
        -Wno-analyzer-too-complex -S -o /dev/null
