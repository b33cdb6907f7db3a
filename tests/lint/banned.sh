#!/bin/bash
# Functions that have no place here, and sleeps in tests (tests wait for conditions with
# deadlines). A line that must have one says why in a comment with the words "lint: allowed".
set -euo pipefail
. tests/lint/files.sh

bad=0
# complain WHAT PATTERN FILES...
complain () {
    local what=$1 pattern=$2 found
    shift 2
    [ $# -gt 0 ] || return 0
    found=$(grep -nHP "$pattern" "$@" | grep -vE '^[^:]*:[0-9]*: *(/?\*|//|#)|lint: allowed' || true)
    if [ -n "$found" ]; then
        echo "$found"
        echo "  ^ $what"
        bad=1
    fi
}

mapfile -t code < <(lint_files '*.c' '*.h')
mapfile -t shipped < <(lint_files '*.c' '*.h' | grep -v '^tests/')
mapfile -t tests < <(lint_files 'tests/*.c' 'tests/*.h')
mapfile -t scripts < <(lint_files 'tests/*.sh' 'bins/*.sh' 'docker/*.sh')
word='(?<![A-Za-z0-9_."])'
complain 'without a bound, or not reentrant' \
    "$word(strcpy|strcat|stpcpy|strncpy|strncat|sprintf|vsprintf|gets|strtok|asctime|ctime)\\s*\\(" \
    "${shipped[@]}"
complain 'cannot tell an error: use strtoull with its end' "$word(atoi|atol|atoll|atof)\\s*\\(" \
    "${code[@]}"
complain 'size decided by input' "${word}alloca\\s*\\(" "${code[@]}"
complain 'runs a shell' "$word(system|popen)\\s*\\(" "${code[@]}"
complain 'not ours to seed: use weir_rand or weir_random' \
    "$word(rand|srand|random|srandom|drand48)\\s*\\(" "${code[@]}"
complain 'a race: use mkstemp' "$word(tmpnam|tempnam|mktemp)\\s*\\(" "${code[@]}"
complain 'asserts are weir_assert, never compiled out' '^#\s*include <assert\.h>' "${code[@]}"
complain 'tests wait for conditions, not for time' \
    "$word(sleep|usleep|nanosleep|zclock_sleep|clock_nanosleep)\\s*\\(" "${tests[@]}"
complain 'tests wait for conditions, not for time' \
    '^\s*([^#]*[;&|]\s*)?sleep\s+[0-9.]+' "${scripts[@]}"
complain 'no work is left in words' '\b(TODO|FIXME|XXX)\b(?!XXX)' "${code[@]}"
exit $bad
