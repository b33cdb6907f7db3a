# shellcheck shell=bash
# What the integration tests share: nodes as real processes in a temporary folder, and waiting
# for conditions with deadlines. Source it; it cleans up after itself.

set -euo pipefail
BIN=${WEIR_BIN:-build/bin}
DIR=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX")
declare -A PID
mkfifo "$DIR/.never" # nobody writes to it: reading from it is waiting
exec 8<>"$DIR/.never"

finish () {
    local code=$? node
    for node in "${!PID[@]}"; do
        kill -CONT "-${PID[$node]}" 2>/dev/null || true
        kill "${PID[$node]}" 2>/dev/null || true
    done
    for node in "${!PID[@]}"; do
        wait "${PID[$node]}" 2>/dev/null || true
    done
    if [ "$code" != 0 ] && [ "$code" != 77 ]; then
        for node in "$DIR"/*.log; do
            [ -e "$node" ] || continue
            echo "--- ${node##*/}"
            tail -n 40 "$node"
        done
    fi
    umount -l "$DIR"/mnt* 2>/dev/null || true
    rm -rf "$DIR"
    exit "$code"
}
trap finish EXIT

fail () { echo "FAILED: $*" >&2; exit 1; }
skip () { echo "$*"; exit 77; }

# weir on a node's data.
on () { local node=$1; shift; "$BIN/weir" --data "$DIR/$node" --timeout 30s "$@"; }
field () { sed -n "s/.*\"$1\": *\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p" | head -n 1; }

make_node () { local node=$1; shift; on "$node" init --name "$node" "$@" >/dev/null; }

# start NODE [VAR=value...]: the node in a process group of its own, ready when this returns;
# under the command START_IN when that is set.
start () {
    local node=$1
    shift
    rm -f "$DIR/$node.ready"
    mkfifo "$DIR/$node.ready"
    # shellcheck disable=SC2086 # a command is words
    env "$@" setsid ${START_IN:-} "$BIN/weir" --data "$DIR/$node" run --ready-fd 9 \
        9>"$DIR/$node.ready" 2>>"$DIR/$node.log" </dev/null &
    PID[$node]=$!
    read -r -t 30 _ <"$DIR/$node.ready" || fail "$node did not become ready"
}

# stop NODE: ordered; fails when it does not end with 0.
stop () {
    local node=$1
    on "$node" stop || fail "weir stop $node"
    wait "${PID[$node]}" || fail "$node ended with $?"
    unset "PID[$node]"
}

now_ms () { date +%s%3N; }

# until_true SECONDS COMMAND...: polls a condition; not a sleep that a test's result depends on.
until_true () {
    local deadline=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(now_ms)" -lt "$deadline" ] || fail "not within time: $*"
        read -r -t 0.05 -u 8 _ || true
    done
}

# expect CODE TEXT COMMAND...: the exit code, and the text on stderr.
expect () {
    local want=$1 text=$2 code=0
    shift 2
    "$@" >"$DIR/out" 2>"$DIR/err" || code=$?
    [ "$code" = "$want" ] || fail "exit $code, not $want: $* ($(cat "$DIR/err"))"
    grep -q -- "$text" "$DIR/err" || fail "stderr of $* lacks '$text': $(cat "$DIR/err")"
}

same () { [ "$1" = "$2" ] || fail "'$1' is not '$2'${3:+: $3}"; }

digest () { on "$1" db show "$2" --json | field digest; }
alive () { pgrep -g "$1" >/dev/null; }
gone () { ! pgrep -g "$1" >/dev/null; }
actor_pid () { on "$1" actor ls --json | tr '{' '\n' | grep "\"$2\"" | field pid; }
actor_ready () { on "$1" actor ls --json | tr '{' '\n' | grep "\"$2\"" | grep -q '"ready"'; }
