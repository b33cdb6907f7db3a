#!/bin/bash
# clang-format has nothing to say. `make format` makes it so.
set -euo pipefail
. tests/lint/files.sh

wrong=$(lint_files '*.c' '*.h' |
    xargs -P 2 -n 16 clang-format --dry-run -Werror --ferror-limit=1 2>&1 | grep 'error:' || true)
if [ -n "$wrong" ]; then
    echo "$wrong" | cut -d: -f1,2 | sort -u
    echo "  ^ make format"
    exit 1
fi
