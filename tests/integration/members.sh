#!/bin/bash
# Members come and go, keys are copied, devices are removed while they are away: on real nodes,
# every replica ends equal and says what happened.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
export WEIR_CHECK_INTERVAL_SECS=2

port () { on "$1" transport ls --json | sed -n 's/.*:\([0-9]*\)"\].*/\1/p'; }
join () { on "$1" db share "$3" "${4:---write}" -q | on "$2" db join - >/dev/null; }
equal () {
    local first
    first=$(digest "$1" "$2")
    shift
    for node in "${@:2}"; do [ "$(digest "$node" "$1")" = "$first" ] || return 1; done
}
right () { on "$1" db members "$2" --json | tr '{' '\n' | grep "\"name\": *\"$3\"" | field right; }
has_event () { on "$1" events --json | grep -q "\"$2\""; }
reason () { on "$1" peer show "$2" --json | field reason; }
has_reason () { [ "$(reason "$1" "$2")" = "$3" ]; }

echo "* three members, one of them an admin too"
make_node hub --role hub --listen tcp://127.0.0.1:0
make_node anna --listen tcp://127.0.0.1:0
make_node ben
start hub
start anna
start ben
on hub db create notes >/dev/null
join hub anna notes --admin
join hub ben notes --write
on anna doc set notes /a/one 1 >/dev/null
on ben doc set notes /b/one 1 >/dev/null
until_true 10 equal hub notes anna ben
same "$(right ben notes anna)" admin
same "$(right anna notes ben)" write

echo "* a ticket is for one device, a reader cannot write, a stranger is nobody"
ticket=$(on hub db share notes --read -q)
make_node cleo
start cleo
on cleo db join "$ticket" >/dev/null
make_node dora
start dora
on dora db join "$ticket" --no-wait >/dev/null
until_true 10 has_event dora join_refused
until_true 10 equal hub notes cleo
expect 5 "not_allowed" on cleo doc set notes /c/one 1
expect 5 "not_allowed" on cleo db share notes --read
expect 5 "not_allowed" on ben db remove notes cleo

echo "* removed while away: its key opens no door; its honest offline edits stay its own"
until_true 10 equal hub notes anna ben cleo
stop ben
on hub db remove notes ben >/dev/null
until_true 10 equal hub notes anna cleo
WEIR_ENABLED=no start ben
on ben doc set notes /b/offline '"written before it was told"' >/dev/null
stop ben
before=$(digest hub notes)
start ben
until_true 10 has_reason ben hub not_reachable_or_not_admitted
same "$(digest hub notes)" "$before" "nothing of a removed device is taken"
same "$(on ben doc get notes /b/offline --json)" '"written before it was told"' "its own copy"

echo "* removed while connected: told at once"
ticket=$(on hub db share notes --write -q)
on dora db join "$ticket" >/dev/null
until_true 10 equal hub notes dora
on hub db remove notes dora >/dev/null
until_true 10 has_event dora peer_said_bye
until_true 10 has_reason dora hub removed

echo "* the ticket it once used lets a removed device in no more"
before=$(digest hub notes)
on dora doc set notes /d/late '"after it was told"' >/dev/null 2>&1 || true
on dora db join "$ticket" --no-wait >/dev/null
refused_as_removed () { on "$1" events --json | grep '"join_refused"' | grep -q '"removed"'; }
until_true 10 refused_as_removed dora
same "$(digest hub notes)" "$before" "nothing of a removed device is taken"

echo "* a back-dated grant by a removed admin is void, also where it was believed first"
stop anna
stop cleo
on hub db remove notes anna >/dev/null
stop hub
start anna
start cleo
on cleo sync add notes anna >/dev/null
until_true 10 equal anna notes cleo
on anna db grant notes "$(on ben peer self --json | field id)" write --name ben >/dev/null
until_true 10 equal anna notes cleo
same "$(right cleo notes ben)" write "believed: it does not know of the removal yet"
start hub
until_true 10 equal hub notes cleo
same "$(right hub notes ben)" none "ben is not in again"
same "$(right cleo notes ben)" none "nor where it was believed"
on cleo db members notes --json | tr -d '\n ' | grep -q '"void":\["' || fail "cleo is not told"

echo "* one key in two places: the disk was copied with its tips file, and both copies wrote"
make_node eve
start eve
on hub db create twins >/dev/null
join hub eve twins
on eve doc set twins /e/start 1 >/dev/null
until_true 10 equal hub twins eve
stop eve
mkdir "$DIR/copy"
cp -a "$DIR/eve" "$DIR/copy/eve"
tips=$("$BIN/weir" --data "$DIR/eve" paths --json | field tips)
cp -a "$tips" "$DIR/copy/"
start eve
on eve doc set twins /e/here '"first"' >/dev/null
until_true 10 equal hub twins eve
stop eve
rm -rf "$DIR/eve"
cp -a "$DIR/copy/eve" "$DIR/eve"
cp -a "$DIR/copy/$(basename "$tips")" "$tips"
WEIR_ENABLED=no start eve
on eve doc set twins /e/there '"second"' >/dev/null
stop eve
start eve
until_true 10 equal hub twins eve
same "$(on hub doc get twins /e --json)" '{"here":"first","start":1,"there":"second"}' "both kept"
until_true 10 has_event hub fork_seen
same "$(on hub db show twins --json | field forks)" 1
same "$(on eve db show twins --json | field forks)" 1
on eve doc set twins /e/after 1 >/dev/null
until_true 10 equal hub twins eve
on hub db verify >/dev/null
on eve db verify >/dev/null

echo "* the copy without its tips file takes a new lane, and nothing forks"
stop eve
rm -f "$tips"
start eve
on eve doc set twins /e/lane '"new"' >/dev/null
until_true 10 equal hub twins eve
same "$(on hub db show twins --json | field forks)" 1

echo "* a blocked device is refused, and let in again"
on hub peer block eve >/dev/null
on eve doc set twins /e/blocked 1 >/dev/null
until_true 10 on eve status
on hub peer block eve --off >/dev/null
until_true 15 equal hub twins eve
echo "members: every replica ends equal"
