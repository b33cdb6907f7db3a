#!/bin/bash
# cppcheck over what we ship.
set -euo pipefail
. tests/lint/files.sh

lint_files '*.c' | grep -v '^tests/' |
    cppcheck -q -j 2 --std=c11 --enable=warning,performance,portability --inline-suppr \
        --error-exitcode=1 --suppress=missingInclude --suppress=missingIncludeSystem \
        --template='{file}:{line}: {severity}: {message} [{id}]' \
        -I. -D_GNU_SOURCE -D__linux__ --file-list=- 2>&1
