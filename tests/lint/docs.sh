#!/bin/bash
# What the documentation says in tables is what the code's tables say: the kinds of docs/wire.md
# (protos/kinds.def), the verbs and settings of docs/man/weir.1 (bins/cli/verbs.def,
# actors/runtime/settings.def), the reasons of docs/troubleshooting.md (actors/peers/explain.def), and
# every link between pages leads somewhere.
#
#   tests/lint/docs.sh BUILD [--write]    --write puts the tables in their places
set -euo pipefail

write=${2:-}
bad=0

kinds () {
    echo '| number | name | from | to | meta | answer | body at most | flags |'
    echo '|---|---|---|---|---|---|---|---|'
    sed -nE 's/^KIND \((.*)\)$/\1/p' protos/kinds.def | awk -F', *' '{
        gsub (/\|/, "\\|", $3); gsub (/\|/, "\\|", $8)
        body = $7 == "WEIR_MESSAGE_BODY_BYTES_MAX" ? "1200 KiB" : $7
        printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, \
            $5 == "NONE" ? "-" : $5, $6 == "NONE" ? "-" : $6, body == "0" ? "-" : body, $8 }'
}

# The quoted strings of a row, in order, one a line.
strings () { grep -oE '"([^"\\]|\\.)*"' <<<"$1" | sed -E 's/^"(.*)"$/\1/'; }
roff () { sed -E 's/\\/\\e/g; s/-/\\-/g; s/^\./\\\&./'; }

verbs () {
    local row field
    while read -r row; do
        mapfile -t field < <(strings "$row")
        printf '.TP\n.B %s\n%s\n' \
            "$(echo "${field[0]} ${field[1]} ${field[2]}" | tr -s ' ' | sed 's/ $//' | roff)" \
            "$(echo "${field[4]}." | roff)"
    done < <(grep '^VERB (' bins/cli/verbs.def)
}

reasons () {
    local row field
    echo '| code | it says | what to do |'
    echo '|---|---|---|'
    while read -r row; do
        mapfile -t field < <(strings "$row")
        printf "| \`%s\` | %s | %s |\n" "${field[0]}" "${field[1]}" "${field[2]:--}"
    done < <(grep '^REASON (' actors/peers/explain.def)
}

settings () {
    local row key unit text
    while read -r row; do
        mapfile -t field < <(strings "$row")
        key=${field[0]}
        unit=${field[1]}
        text=${field[-1]}
        printf '.TP\n.B %s\n%s\n' "$(roff <<<"$key")" \
            "$(echo "$text${unit:+ ($unit)}." | roff)"
    done < <(grep -E '^(TEXT|NUMBER|FLAG) \(' actors/runtime/settings.def)
}

# between FILE NAME TABLE: what stands between the markers "begin NAME" and "end NAME".
between () {
    local file=$1 name=$2 want=$3 now
    now=$(awk -v name="$name" '$0 ~ "end " name { on = 0 } on { print }
                               $0 ~ "begin " name { on = 1 }' "$file")
    if [ "$now" = "$want" ]; then
        return
    fi
    if [ "$write" = --write ]; then
        WANT=$want awk -v name="$name" '
            $0 ~ "end " name { on = 0 }
            !on { print }
            $0 ~ "begin " name { on = 1; print ENVIRON["WANT"] }' "$file" >"$file.new"
        mv "$file.new" "$file"
    else
        echo "$file: the table '$name' is old: tests/lint/docs.sh - --write"
        bad=1
    fi
}

between docs/wire.md kinds "$(kinds)"
between docs/man/weir.1 verbs "$(verbs)"
between docs/troubleshooting.md reasons "$(reasons)"
between docs/man/weir.1 settings "$(settings)"

for page in README.md docs/*.md; do
    while read -r link; do
        if ! [ -e "$(dirname "$page")/${link%%#*}" ]; then
            echo "$page: the link $link leads nowhere"
            bad=1
        fi
    done < <(grep -oE '\]\([^)]+\)' "$page" | sed -E 's/^\]\((.*)\)$/\1/' | grep -vE '^(https?:|#)')
done
exit $bad
