#!/bin/bash
# Runs shellcheck over the scripts, and sees that no generated code is
# among the sources.
set -euo pipefail
. tests/lint/files.sh

bad=0
generated=$(lint_files '*.pb-c.c' '*.pb-c.h')
if [ -n "$generated" ]; then
    echo "generated code is made in build/, never committed: $generated"
    bad=1
fi
mapfile -t scripts < <(lint_files '*.sh' '.ci/run')
shellcheck -s bash -x -e SC1091 "${scripts[@]}" || bad=1
exit $bad
