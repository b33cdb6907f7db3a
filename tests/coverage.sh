#!/bin/bash
# Sums what gcov counted and holds it against the bars.
#
#   tests/coverage.sh BUILD BARS
set -euo pipefail

build=$1
bars=$2
table=$build/coverage.csv

gcovr --root . --csv --output "$table" --exclude-unreachable-branches --exclude-throw-branches \
    --exclude '.*\.pb-c\..*' --exclude 'tests/.*' --gcov-ignore-parse-errors \
    --object-directory "$build/obj" "$build/obj" 2>"$build/gcovr.log" || {
    cat "$build/gcovr.log" >&2
    exit 1
}

# filename,line_total,line_covered,line_percent,...
awk -F, 'NR > 1 { printf "%6.1f %%  %5d lines  %s\n", $2 ? 100 * $3 / $2 : 100, $2, $1 }' "$table" |
    sort -k4

failed=0
passed=0
while read -r pattern bar _; do
    case $pattern in '' | '#'*) continue ;; esac
    lines=0
    covered=0
    while IFS=, read -r file total hit _; do
        # shellcheck disable=SC2254 # the pattern is one
        case $file in
        $pattern)
            lines=$((lines + total))
            covered=$((covered + hit))
            ;;
        esac
    done < <(tail -n +2 "$table")
    if [ "$lines" -eq 0 ]; then
        echo "SKIP  coverage $pattern: no such file yet"
    elif [ $((covered * 100)) -ge $((bar * lines)) ]; then
        echo "ok    coverage $pattern: $((covered * 1000 / lines)) permille, bar $bar %"
        passed=$((passed + 1))
    else
        echo "FAIL  coverage $pattern: $((covered * 1000 / lines)) permille, bar $bar %"
        failed=$((failed + 1))
    fi
done <"$bars"
echo "coverage: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
