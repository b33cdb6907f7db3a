#!/bin/bash
# Runs test programs and scripts, one line each, and keeps their results in a file so that
# several calls make one closing line.
#
#   tests/run.sh -r RESULTS [-j JOBS] [-t SECONDS] COMMAND...   each command is one string
#   tests/run.sh -r RESULTS -s                                   the closing line; 1 on failures
#
# A test passes with exit code 0, is skipped (loudly) with 77, and fails with any other or when
# its time is over. The output of a failed or skipped test is shown.
set -uo pipefail

run_one () {
    local results=$1 seconds=$2 command=$3
    local label output code began ended took
    label=$(echo "$command" | tr ' ' '\n' | grep -m1 -E '/(tests|bin|fuzz)/' || true)
    label=${label:-${command%% *}}
    label=$(echo "$label" | sed -E 's,^(.*/)?tests/(.*)$,\2,; s,^.*/(bin|fuzz)/,\1/,')
    output=$(mktemp)
    began=$(date +%s%N)
    # shellcheck disable=SC2086 # a command is words
    timeout -k 5 "$seconds" $command >"$output" 2>&1 </dev/null
    code=$?
    ended=$(date +%s%N)
    took=$(printf '%d.%d' $(((ended - began) / 1000000000)) $(((ended - began) / 100000000 % 10)))
    # One lock for the lines of tests that run beside each other.
    {
        flock 9
        case $code in
        0)
            echo "ok    $label ($took s)"
            echo "passed $label" >>"$results"
            ;;
        77)
            echo "SKIP  $label: $(tail -n 1 "$output")"
            echo "skipped $label" >>"$results"
            ;;
        *)
            sed 's/^/      | /' "$output" | tail -n 120
            if [ $code -eq 124 ] || [ $code -eq 137 ]; then
                echo "FAIL  $label: not done after $took s"
            else
                echo "FAIL  $label: exit $code ($took s)"
            fi
            echo "failed $label" >>"$results"
            ;;
        esac
    } 9>>"$results.lock"
    rm -f "$output"
    [ $code -eq 0 ] || [ $code -eq 77 ]
}

summary () {
    local results=$1 passed failed skipped
    passed=$(grep -c '^passed ' "$results" 2>/dev/null)
    failed=$(grep -c '^failed ' "$results" 2>/dev/null)
    skipped=$(grep -c '^skipped ' "$results" 2>/dev/null)
    rm -f "$results.lock"
    if [ "${skipped:-0}" -gt 0 ]; then
        echo "${passed:-0} passed, ${failed:-0} failed, $skipped skipped"
    else
        echo "${passed:-0} passed, ${failed:-0} failed"
    fi
    [ "${failed:-0}" -eq 0 ] && [ "${passed:-0}" -gt 0 ]
}

if [ "${1:-}" = --one ]; then
    run_one "$2" "$3" "$4"
    exit
fi

results=
jobs=1
seconds=120
sum=
while getopts r:j:t:s option; do
    case $option in
    r) results=$OPTARG ;;
    j) jobs=$OPTARG ;;
    t) seconds=$OPTARG ;;
    s) sum=1 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ -n "$sum" ]; then
    summary "$results"
    exit
fi
[ $# -gt 0 ] || exit 0
mkdir -p "$(dirname "$results")"
printf '%s\0' "$@" | xargs -0 -n 1 -P "$jobs" "$0" --one "$results" "$seconds"
