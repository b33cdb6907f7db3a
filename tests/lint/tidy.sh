#!/bin/bash
# clang-tidy with the short list of .clang-tidy, two processes; only what changed since LINT_BASE
# when that is set. Clang's analyzer takes thirty times as long as all the rest: check-slow.
#
#   tests/lint/tidy.sh BUILD [slow]
set -euo pipefail
. tests/lint/files.sh

if [ "$1" = --some ]; then
    gen=$2
    checks=$3
    shift 3
    exec clang-tidy --quiet --checks="$checks" "$@" -- -std=c11 -D_GNU_SOURCE -I. -I"$gen" 2>/dev/null
fi

if [ -n "${LINT_BASE:-}" ]; then
    changed=$(git diff --name-only --diff-filter=d "$LINT_BASE" -- '*.c')
else
    changed=$(lint_files '*.c')
fi
{ grep -v '^tests/' <<<"$changed" || true; } |
    xargs -r -P 2 -n 6 "$0" --some "$1/gen" "$([ "${2:-}" = slow ] || echo '-clang-analyzer-*')"
