#!/bin/bash
# With the default limits: an actor that cannot start is tried again, visibly, and then given up.
# A critical one takes the node with it (exit 70); without another the rest goes on, and who asks
# it is told so; what another start cannot mend (78, 65) is not tried twice.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# Programs of the node in a folder of its own; those named are replaced by what exits like this.
programs () {
    local folder=$DIR/$1 name
    shift
    rm -rf "$folder"
    mkdir "$folder"
    ln -s "$(cd "$BIN" && pwd)"/weir* "$folder/"
    while [ $# -gt 0 ]; do
        name=$1
        rm "$folder/$name"
        printf '#!/bin/sh\n%s\n' "$2" >"$folder/$name"
        chmod +x "$folder/$name"
        shift 2
    done
}

# launch NODE PROGRAMS: without waiting until it is ready, which it may never be.
launch () {
    WEIR_LIBEXEC=$DIR/$2 setsid "$BIN/weir" --data "$DIR/$1" run >>"$DIR/$1.log" 2>&1 </dev/null &
    PID[$1]=$!
}

# ends NODE CODE: within 25 s, with all of its process group.
ends () {
    local code=0
    until_true 25 ended "$1"
    wait "${PID[$1]}" || code=$?
    same "$code" "$2" "exit code of $1"
    until_true 3 gone "${PID[$1]}"
    unset "PID[$1]"
}
ended () { ! kill -0 "${PID[$1]}" 2>/dev/null; }

actor () { on "$1" actor ls --json | tr '{' '\n' | grep "\"$2\""; }
in_state () { actor "$1" "$2" | grep -q "\"$3\""; }
tried () { [ "$(actor "$1" "$2" | field restarts)" -ge "$3" ]; }

make_node a --listen tcp://127.0.0.1:0

echo "* a critical actor that exits at once: tried five times, seen, then exit 70"
programs one weir-peers 'exit 1'
launch a one
until_true 10 in_state a peers backing_off
until_true 10 tried a peers 3
on a status >"$DIR/status" 2>&1 || true # peers cannot say its part of it
grep -q 'peers .*\(backing_off\|starting\)' "$DIR/status" || fail "status: $(cat "$DIR/status")"
grep -q 'store .*ready' "$DIR/status" || fail "status: $(cat "$DIR/status")"
ends a 70
same "$(grep -c 'event=actor_started name=peers' "$DIR/a.log")" 6 "the first start and five more"
grep -q 'event=actor_failed peers' "$DIR/a.log" || fail "the log does not say who failed"

echo "* the same data, with its programs: nothing was lost by that"
start a
on a db create notes >/dev/null
stop a

echo "* the store that exits at once: the same"
programs two weir-store 'exit 1'
launch a two
ends a 70

echo "* a transport that cannot start: failed, and the rest goes on"
programs three weir-transport 'exit 1'
launch a three
until_true 25 in_state a transport-1 failed
on a doc set notes /a/b '"here"' >/dev/null
same "$(on a doc get notes /a/b --json)" '"here"'
on a peer self >"$DIR/out" 2>&1
grep -q 'listens nowhere' "$DIR/out" || fail "peer self: $(cat "$DIR/out")"
on a status >"$DIR/status" || fail "status: $(cat "$DIR/status")"
grep -q 'transport-1 .*failed' "$DIR/status" || fail "status: $(cat "$DIR/status")"
code=0
on a health >"$DIR/out" 2>&1 || code=$?
[ "$code" != 0 ] || fail "weir health sees nothing: $(cat "$DIR/out")"
stop a

echo "* an actor that clients ask: they are told, and an operator brings it back"
programs four weir-retry 'exit 1'
launch a four
until_true 25 in_state a retry failed
until_true 10 in_state a transport-1 ready
expect 3 "unavailable" on a retry ls
on a doc set notes /a/b '"still"' >/dev/null
ln -sf "$(cd "$BIN" && pwd)/weir-retry" "$DIR/four/weir-retry"
on a actor restart retry >/dev/null
until_true 10 in_state a retry ready
on a retry ls >/dev/null
stop a

echo "* bad configuration or corrupt data told by an actor: not tried again, the node's own code"
for code in 78 65; do
    programs five weir-retry "exit $code"
    : >"$DIR/a.log"
    launch a five
    ends a "$code"
    same "$(grep -c 'event=actor_started name=retry' "$DIR/a.log")" 1 "starts"
done
echo "escalate: as documented"
