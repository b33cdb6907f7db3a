#!/bin/bash
# Every bound of limits.h bounds something: a limit that nobody reads is a promise nobody keeps.
set -euo pipefail
. tests/lint/files.sh

bad=0
used=$(lint_files '*.c' '*.h' '*.def' | xargs grep -ohE '\bWEIR_[A-Z0-9_]+\b' | sort | uniq -c |
    awk '$1 > 1 { print $2 }')
while read -r _ limit _; do
    if ! grep -qx "$limit" <<<"$used"; then
        echo "store/base/limits.h: nothing reads $limit"
        bad=1
    fi
done < <(grep -E '^#define WEIR_[A-Z0-9_]+ ' store/base/limits.h)
exit $bad
