#!/bin/bash
# Lengths: 100 columns, 70 lines a function (40 for main in bins), about 600 lines a file, never more
# than 700 (tests, which are tables, 1,500). Files open with a paragraph that says what they are for.
set -euo pipefail
. tests/lint/files.sh

bad=0
mapfile -t code < <(lint_files '*.c' '*.h')
# Tables that are laid out by hand (clang-format off) may be as wide as they need.
for file in "${code[@]}"; do
    if sed '/clang-format off/,/clang-format on/s/.*//' "$file" |
        LC_ALL=C.UTF-8 grep -nE '^.{101,}' | sed "s,^,$file:,"; then
        bad=1
    fi
done
[ $bad -eq 0 ] || echo "  ^ more than 100 columns"

# A definition begins with a name in the first column and its body with { there (06-style).
awk '
    function check_file() {
        if (file == "") return
        limit = file ~ /^tests\// ? 1500 : 700
        if (lines > limit) { print file ": " lines " lines, at most " limit; bad = 1 }
        if (!opened) { print file ": does not open with a paragraph of purpose"; bad = 1 }
    }
    FNR == 1 { check_file(); file = FILENAME; lines = 0; opened = 0; name = "" }
    { lines++ }
    FNR <= 6 && /^\/\*/ { opened = 1 }
    /^[a-z_][a-z0-9_]* \(/ { name = $1 }
    /^{/ { start = FNR }
    /^}/ && start {
        limit = file ~ /^bins\/[^\/]*$/ && name == "main" ? 40 : 70
        if (FNR - start - 1 > limit && name != "") {
            print file ":" start ": " name " has " FNR - start - 1 " lines, at most " limit; bad = 1
        }
        start = 0; name = ""
    }
    END { check_file(); exit bad }' "${code[@]}" || bad=1
exit $bad
