#!/bin/bash
# Why a database is not on a peer, presence over a hub, and what was synced: on real nodes, each
# trouble is made, named by `weir sync explain`, and mended by what it says.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
export WEIR_CHECK_INTERVAL_SECS=2

join () { on "$1" db share "$3" "${4:---write}" -q | on "$2" db join - >/dev/null; }
# The code that node $1 gives for database notes on peer $2, and what it says.
code () { on "$1" sync explain notes --peer "$2" --json | sed 's/"remarks".*//' | field code; }
says () { [ "$(code "$1" "$2")" = "$3" ] || { on "$1" sync explain notes --peer "$2"; false; }; }
expect_code () { until_true 15 says "$1" "$2" "$3"; }

echo "* three nodes: a hub between two leaves"
make_node hub --role hub --listen tcp://127.0.0.1:0
make_node anna
make_node ben
start hub
on hub db create notes >/dev/null
same "$(on hub sync explain notes --json | sed 's/"remarks".*//' | field code)" alone
start anna
start ben
join hub anna notes
join hub ben notes
expect_code hub anna in_sync
on anna doc set notes /a/b 1 >/dev/null
expect_code hub anna in_sync
expect_code anna hub in_sync

echo "* presence: over the hub, both ways, a late joiner, gone with its writer"
on anna presence set notes cursor '{"at": 1}' >/dev/null
on ben presence set notes cursor '{"at": 2}' >/dev/null
sees () { [ "$(on "$1" presence ls notes --json | grep -o '"key"' | wc -l)" = "$2" ]; }
until_true 10 sees anna 2
until_true 10 sees ben 2
make_node cleo
start cleo
join hub cleo notes --read
until_true 10 sees cleo 2
on cleo presence watch notes --count 3 --json >"$DIR/watched" & # both, and what changes
watch=$!
two () { [ "$(wc -l <"$DIR/watched")" = 2 ]; }
until_true 10 two
kill -9 "-${PID[anna]}"
wait "$watch" || fail "presence watch ended with $?"
tail -n 1 "$DIR/watched" | grep -q '"state": *"left"' || fail "not left: $(cat "$DIR/watched")"
wait "${PID[anna]}" || true
until_true 10 sees ben 1

echo "* not there: no link, and nothing is lost meanwhile"
for _ in 1 2 3; do on hub doc set notes /h/c "$(now_ms)" >/dev/null; done
expect_code hub anna no_address # a leaf that listens nowhere dials
on hub sync explain notes --peer anna | grep -q "lacks 3 entries" || fail "no lag"
start anna
expect_code hub anna in_sync
stop hub
expect_code anna hub not_connected
on anna sync explain notes | grep -q "hint: is its node running" || fail "no hint"
start hub
expect_code anna hub in_sync

echo "* by hand: blocked, taken off, one way only, switched off and on by a reload"
on hub peer block anna >/dev/null
expect_code hub anna blocked
refused () { says anna hub blocked_there || says anna hub refused_there; }
until_true 15 refused
on hub peer block anna --off >/dev/null
expect_code hub anna in_sync
on hub sync rm notes anna >/dev/null
expect_code hub anna sync_removed
on hub sync add notes anna >/dev/null
on anna sync now >/dev/null
expect_code hub anna in_sync
on hub sync set notes anna --direction push >/dev/null
on anna doc set notes /a/b '"one way"' >/dev/null
expect_code anna hub not_fetched_there
on anna sync explain notes --peer hub | grep -q "hint: there: weir sync set notes THIS" || fail "no hint"
on hub sync set notes anna --direction both >/dev/null
expect_code anna hub in_sync
if on hub sync set notes anna --rate 1 2>"$DIR/err"; then fail "a rate that cannot be kept"; fi
grep -q "1024 bytes a second" "$DIR/err" || fail "no least rate: $(cat "$DIR/err")"
for verb in "sync explain" "sync wait" "presence ls"; do
    # shellcheck disable=SC2086 # a noun and a verb are two words
    { on hub $verb nosuch 2>&1 || true; } | grep -q "hint: weir db ls" || fail "$verb: no hint"
done
echo 'enabled = no' >>"$DIR/hub/weir.conf"
on hub config reload | grep -q "enabled: yes -> no" || fail "reload"
on hub doc set notes /h/c '"later"' >/dev/null
off () { on hub sync explain notes --json | grep -q '"disabled"'; }
until_true 15 off
sed -i '/^enabled/d' "$DIR/hub/weir.conf"
on hub config reload --json | grep -q '"applied": *true' || fail "reload back"
expect_code hub anna in_sync
same "$(on anna doc get notes /h/c)" '"later"'

echo "* members: removed, and somebody who never was one"
on hub db remove notes cleo >/dev/null
expect_code hub cleo removed
told () { says cleo hub removed_there || says cleo hub removed_here; } # if the entry came in time
until_true 15 told
make_node dora
start dora
on dora db create other >/dev/null
on dora db share other -q >/dev/null 2>&1 || true # it listens nowhere
on hub db create private >/dev/null
same "$(on hub sync explain private --peer anna --json | sed 's/"remarks".*//' | field code)" not_member

echo "* what was synced, and how fast"
on hub sync history notes --peer anna --json | grep -q '"out_bytes": *[1-9]' || fail "no history"
on hub sync history --limit 1 --json | grep -o '"started_ms"' | wc -l | grep -qx 1 || fail "limit"
kill -9 "-${PID[hub]}"
wait "${PID[hub]}" || true
start hub
on hub sync history notes --peer anna | grep -q anna || fail "history is gone after kill -9"
expect_code hub anna in_sync
on anna doc set notes /a/b 2 >/dev/null
timed () { on anna peer show hub --json | grep -q '"acks": *[1-9]'; }
until_true 10 timed
echo "explain: ok"
