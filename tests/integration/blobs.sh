#!/bin/bash
# Content too large for an entry, on real nodes: put on one, it is on every member, through a hub and
# directly; what interrupts a put or a fetch costs nothing that was there; two members give together;
# damage on disk is found and mended by the others; what nothing names goes.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
export WEIR_CHECK_INTERVAL_SECS=2

MB=${WEIR_BLOBS_MB:-50}
bare () { local node=$1; shift; "$BIN/weir" --data "$DIR/$node" "$@"; } # no --timeout: no waiting
join () { on "$1" db share "$3" --write -q | on "$2" db join - >/dev/null; }
sum () { sha256sum <"$1" | cut -d ' ' -f 1; }
lacks () { bare "$1" db show "$2" --json | field blob_bytes_missing; }
whole () { [ "$(lacks "$1" "$2")" = 0 ]; }
store_pid () { on "$1" status --json | tr '{' '\n' | grep '"name": *"store"' | field pid; }
reads () {
    on "$1" doc blob get "$2" "$3" -o "$DIR/got.$1"
    cmp "$DIR/got.$1" "$4" || fail "$1 has other content at $3"
}

head -c $((MB * 1000000)) /dev/urandom >"$DIR/big"
head -c 100000 /dev/urandom >"$DIR/small"
: >"$DIR/empty"

echo "* put and get on one node: a file, stdin, nothing at all, parts, and what is no blob"
make_node hub --role hub --listen tcp://127.0.0.1:0
start hub
on hub db create files >/dev/null
on hub doc blob put files /f/big "$DIR/big" -m "a large one" >/dev/null
reads hub files /f/big "$DIR/big"
on hub doc blob put files /f/small <"$DIR/small" >/dev/null
reads hub files /f/small "$DIR/small"
on hub doc blob put files /f/empty "$DIR/empty" >/dev/null
reads hub files /f/empty "$DIR/empty"
on hub doc blob get files /f/big --offset 65530 --length 1000 >"$DIR/part"
cmp "$DIR/part" <(tail -c +65531 "$DIR/big" | head -c 1000) || fail "a part differs"
on hub doc set files /f/plain 1 >/dev/null
expect 6 "no blob" on hub doc blob get files /f/plain
expect 4 "nothing at" on hub doc blob get files /f/none
echo "was here" >"$DIR/kept"
expect 4 "nothing at" on hub doc blob get files /f/none -o "$DIR/kept"
same "$(cat "$DIR/kept")" "was here"
same "$(on hub doc blob put files /f/again "$DIR/big" --json | field sent)" 0

expect 74 "cannot read $DIR: Is a directory" on hub doc blob put files /f/dir "$DIR"
# A path that takes no blob is refused before the content, which has no end here, is read.
expect 2 "a root holds" on hub doc blob put files /e </dev/zero
expect 6 "is not a map" on hub doc blob put files /f/plain/x </dev/zero

echo "* a put that is killed goes on where it was"
head -c $((MB * 1000000)) /dev/urandom >"$DIR/other"
(head -c $((MB * 500000)) "$DIR/other"; read -r -t 600 -u 8 _ || true) |
    "$BIN/weir" --data "$DIR/hub" doc blob put files /f/other >/dev/null 2>&1 &
PUT=$!
half_sent () { [ "$(($(on hub db show files --json | field blob_bytes_kept)))" -gt 0 ]; }
until_true 30 test -d "/proc/$PUT"
kill -9 "$(store_pid hub)" 2>/dev/null || true
kill "$PUT" 2>/dev/null || true
wait "$PUT" 2>/dev/null || true
until_true 30 on hub db show files
on hub doc blob put files /f/other "$DIR/other" --json >"$DIR/put.json"
reads hub files /f/other "$DIR/other"

echo "* a member that joins gets all of it, and is in sync only then"
make_node anna --listen tcp://127.0.0.1:0
start anna
join hub anna files
on anna sync wait files --timeout 60s >/dev/null
same "$(lacks anna files)" 0
reads anna files /f/big "$DIR/big"
on hub sync wait files --peer anna --timeout 20s >/dev/null
on hub sync status >"$DIR/status"
if grep -q "content of blobs" "$DIR/status"; then fail "in step, and still a reason why not"; fi

echo "* through a hub: put by one leaf, read by the other"
make_node ben
start ben
join hub ben files
on ben doc blob put files /f/ben "$DIR/small" >/dev/null
on ben sync wait files --timeout 60s >/dev/null
on anna doc blob get files /f/ben -o "$DIR/through" --timeout 20s
cmp "$DIR/through" "$DIR/small" || fail "anna has other content than ben"

echo "* killed on the way: what was there is not fetched again"
make_node cleo
start cleo
join hub cleo files
for _ in 1 2 3 4 5; do
    kill -9 "$(store_pid cleo)" 2>/dev/null || true
    until_true 30 on cleo db show files
done
on cleo sync wait files --timeout 120s >/dev/null
reads cleo files /f/big "$DIR/big"
reads cleo files /f/other "$DIR/other"

echo "* two members give together"
out_of () { on "$1" transport ls --json | field bytes_out; }
linked () { [ "$(on "$1" peer ls --json | grep -o '"state": *"connected"' | wc -l)" -ge "$2" ]; }
make_node dora
start dora
join hub dora files
on dora sync wait files --timeout 120s >/dev/null
until_true 20 on dora sync add files anna
until_true 20 linked dora 2
stop dora
for i in 1 2 3 4 5; do
    head -c $((MB * 1000000)) /dev/urandom >"$DIR/third"
    on hub doc blob put files "/f/third$i" "$DIR/third" >/dev/null
done
on hub sync wait files --peer anna --timeout 60s >/dev/null
before_hub=$(out_of hub)
before_anna=$(out_of anna)
start dora
until_true 20 linked dora 2
on dora sync wait files --timeout 120s >/dev/null
reads dora files /f/third5 "$DIR/third"
gave_hub=$(($(out_of hub) - before_hub))
gave_anna=$(($(out_of anna) - before_anna))
echo "  hub gave $gave_hub, anna $gave_anna bytes"
[ "$gave_anna" -gt 1000000 ] || fail "anna gave nothing"
[ $((gave_hub + gave_anna)) -lt $((MB * 6250000)) ] || fail "pieces came more than once"

echo "* damage on disk is found, named, and mended by others"
stop cleo
largest=$(find "$DIR/cleo" -name '*.ldb' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
printf 'damage' | dd of="$largest" bs=1 seek=1000000 conv=notrunc status=none
on cleo db verify files >"$DIR/verified" 2>&1 && fail "the damage was not found"
on cleo db repair >/dev/null || true
start cleo
on cleo sync wait files --timeout 60s >/dev/null
whole cleo files || fail "cleo is not whole again"
reads cleo files /f/big "$DIR/big"
reads cleo files /f/other "$DIR/other"
on cleo db verify files >/dev/null || fail "cleo is still damaged"

echo "* what nothing names is collected, and what is kept is told"
make_node solo
start solo WEIR_BLOB_KEEP_SECS=2
on solo db create own >/dev/null
on solo doc blob put own /f/x "$DIR/big" >/dev/null
on solo doc blob put own /f/y "$DIR/small" >/dev/null
old=$(on solo doc heads own --json | grep -o '[a-z2-7]\{52\}')
on solo doc rm own /f/x >/dev/null
kept () { bare solo db show own --json | field blob_bytes_kept; }
none_kept () { [ "$(kept)" = 0 ]; }
some_kept () { [ "$(kept)" -gt 0 ]; }
until_true 10 some_kept
until_true 30 none_kept
expect 7 "blob_missing\|not here" bare solo doc blob get own /f/x --at "$old" -o "$DIR/gone"
reads solo own /f/y "$DIR/small"

echo "* all of it is verified"
for node in hub anna ben cleo dora; do
    on "$node" db verify files >/dev/null || fail "verify on $node"
done
