#!/bin/bash
# Runs the checks of this folder, the quick ones first, a line each; what they find is shown.
# Everything is looked at from the root of the repository.
#
#   tests/lint/lint.sh BUILD [CHECK...]
set -uo pipefail

build=$1
shift
checks=("$@")
if [ ${#checks[@]} -eq 0 ]; then
    checks=(floors banned size limits pure scripts docs format cppcheck tidy)
fi
failed=0
for check in "${checks[@]}"; do
    began=$SECONDS
    if output=$("tests/lint/$check.sh" "$build" 2>&1); then
        echo "ok    lint/$check ($((SECONDS - began)) s)"
    else
        echo "${output//$'\n'/$'\n'      }" | sed '1s/^/      /'
        echo "FAIL  lint/$check"
        failed=$((failed + 1))
    fi
done
echo "lint: $((${#checks[@]} - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
