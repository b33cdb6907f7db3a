#!/bin/bash
# Documents on running nodes: texts, lists, counters and styles by their verbs; older versions,
# differences, going back; the feed of changes; two nodes that edit one text apart for a thousand
# edits each; sessions whose store or client is killed; databases as files, what waits for others
# kept across restarts.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

value () { on "$1" doc get "$2" "${@:3}" --json; }
pause () { read -r -t "$1" -u 8 _ || true; }

make_node a --role hub --listen tcp://127.0.0.1:0
make_node b --role leaf
start a WEIR_CHECK_INTERVAL_SECS=2
start b WEIR_CHECK_INTERVAL_SECS=2

echo "* texts, lists, movable lists, counters, styles"
on a db create notes >/dev/null
on a doc text notes /m/t insert 0 'hello' >/dev/null
on a doc text notes /m/t insert - ' wörld' >/dev/null
on a doc text notes /m/t delete 0 1 >/dev/null
on a doc text notes /m/t insert 0 'H' >/dev/null
same "$(on a doc text notes /m/t show)" "Hello wörld"
on a doc text notes /m/t insert 9 '!' --unit utf8 >/dev/null
same "$(on a doc text notes /m/t show)" "Hello wö!rld" "utf8 counts ö twice"
expect 2 "" on a doc text notes /m/t insert 8 '?' --unit utf8 # inside of ö
expect 2 "out_of_range" on a doc text notes /m/t insert 99 x
printf 'Hello world' >"$DIR/text"
on a doc text notes /m/t update "$DIR/text" >/dev/null
same "$(on a doc text notes /m/t show)" "Hello world"
same "$(on a doc text notes /m/t update "$DIR/text" --json | field changed)" false
on a doc mark notes /m/t 0 5 bold true >/dev/null
same "$(on a doc text notes /m/t show --delta --json)" \
    '{"delta":[{"attributes":{"bold":true},"insert":"Hello"},{"insert":" world"}]}'
on a doc mark notes /m/t 0 5 bold null >/dev/null
same "$(on a doc text notes /m/t show --delta --json)" '{"delta":[{"insert":"Hello world"}]}'
on a doc insert notes /m/l 0 '"a"' >/dev/null
on a doc insert notes /m/l - '{"x": [1]}' >/dev/null
on a doc insert notes /m/l 1 '3' >/dev/null
same "$(value a notes /m/l)" '["a",3,{"x":[1]}]'
expect 2 "out_of_range" on a doc insert notes /m/l 9 1
for x in 1 2 3; do on a doc insert notes /m/v - "$x" --movable >/dev/null; done
on a doc move notes /m/v 0 2 >/dev/null
same "$(value a notes /m/v)" '[2,3,1]'
on a doc incr notes /m/c >/dev/null
on a doc incr notes /m/c -3 >/dev/null
same "$(value a notes /m/c)" "-2"
on a doc set notes /m/list '[1,[2,{"k":null}],"x"]' >/dev/null
same "$(value a notes /m/list)" '[1,[2,{"k":null}],"x"]'
expect 6 "conflict" on a doc incr notes /m/t
expect 6 "conflict" on a doc text notes /m/l insert 0 x

echo "* versions: values, differences, going back"
on a db create past >/dev/null
on a doc set past /m/k 1 -m first >/dev/null
on a doc text past /m/t insert 0 'one' >/dev/null
v1=$(on a doc heads past)
on a doc set past /m/k 2 >/dev/null
on a doc text past /m/t insert 3 ' two' >/dev/null
v2=$(on a doc heads past)
on a doc rm past /m/k >/dev/null
same "$(value a past --at "$v1")" '{"m":{"k":1,"t":"one"}}'
same "$(value a past /m/t --at "${v2:0:12}")" '"one two"'
same "$(on a doc text past /m/t show --at "$v1")" "one"
expect 4 "not_found" on a doc get past --at aaaaaaaaaaaaaaaa
expect 4 "not_found" on a doc get past --at aa
expect 2 "usage" on a doc get past --at ,
on a doc diff past "$v1" "$v2" --json >"$DIR/diff"
grep -q '{"retain":3},{"insert":" two"}' "$DIR/diff" || fail "no such text: $(cat "$DIR/diff")"
grep -q '"set":{"k":2}' "$DIR/diff" || fail "no such key: $(cat "$DIR/diff")"
on a doc diff past "$v2" --json | grep -q '"delete":\["k"\]' || fail "the newest version is meant"
same "$(on a doc diff past "$v2" "$v2" --json)" '{"diff":[]}'
expect 4 "not_found" on a doc diff past aaaaaaaaaaaaaaaa
before=$(on a db show past --json | field entries)
on a doc revert past "$v1" -m "back" >/dev/null
same "$(value a past)" '{"m":{"k":1,"t":"one"}}'
same "$(on a db show past --json | field entries)" $((before + 1)) "history is kept"
same "$(on a doc revert past "$v1" --json | field changed)" false
on a doc revert past "$v2" >/dev/null
same "$(value a past)" '{"m":{"k":2,"t":"one two"}}'
expect 4 "not_found" on a doc revert past aaaaaaaaaaaaaaaa
for key in id author lane counter lamport length timestamp deps message; do
    on a doc log past --limit 1 --json | grep -q "\"$key\":" || fail "the log has no $key"
done
same "$(on a doc log past --json | grep '"kind":"data"' | tail -n 1 | field counter)" 0
last=$(on a doc log past --limit 1 --json)
two=$(on a doc log past --limit 2 --json | tail -n 1)
same "$(field counter <<<"$last")" "$(($(field counter <<<"$two") + $(field length <<<"$two")))"

echo "* the feed of changes"
on a doc watch past /m/t --count 1 >"$DIR/watch" &
watch=$!
fed () { on a doc set past /m/other "\"$(now_ms)\"" >/dev/null; on a doc text past /m/t insert 0 x >/dev/null; ! kill -0 "$watch" 2>/dev/null; }
until_true 20 fed
wait "$watch" || fail "doc watch ended with $?"
for key in from to diff; do grep -q "\"$key\":" "$DIR/watch" || fail "no $key: $(cat "$DIR/watch")"; done
grep -q '"path":"/m/t"' "$DIR/watch" || fail "not the text: $(cat "$DIR/watch")"

echo "* a session counts in the unit it names"
on a doc text notes /m/units insert 0 'a😀b' >/dev/null
echo '{"insert": 3, "text": "Z"}' | on a doc text notes /m/units edit --unit utf16 >/dev/null 2>&1
same "$(on a doc text notes /m/units show)" 'a😀Zb'
! on a doc text notes /m/units edit --unit lines </dev/null 2>/dev/null || fail "a unit of lines"

# A wrong line ends a session; what came before it is kept, and the error names it.
printf '%s\n' '{"insert": 0, "text": "ab"}' '{"insert": 9, "text": "x"}' '{"insert": 0, "text": "c"}' |
    on a doc text notes /m/wrong edit >"$DIR/told" 2>"$DIR/session.err" && fail "a wrong line"
same "$(on a doc text notes /m/wrong show)" "ab"
grep -q '"lines":1' "$DIR/told" || fail "the line before a wrong one is told"
grep -q 'line 2:' "$DIR/session.err" || fail "the wrong line is named"

echo "* one text on two nodes, a thousand edits apart"
on a db create shared >/dev/null
on a doc text shared /m/t insert 0 '[]' >/dev/null
on b db join "$(on a db share shared --write)" >/dev/null
until_true 20 on b sync wait shared --timeout 2s
same "$(on b doc text shared /m/t show)" "[]"
# Each types its letter a thousand times, one after the other, in bursts that become commits.
type_letters () {
    local i
    for i in $(seq 1 1000); do
        printf '{"insert": %d, "text": "%s"}\n' "$i" "$2"
        [ $((i % 200)) != 0 ] || pause 0.3
    done | on "$1" doc text shared /m/t edit >"$DIR/acks-$1"
    same "$(tail -n 1 "$DIR/acks-$1" | field lines)" 1000
    [ "$(wc -l <"$DIR/acks-$1")" -ge 4 ] || fail "$1 committed $(wc -l <"$DIR/acks-$1") times only"
}
stop a
type_letters b b
stop b
start a WEIR_CHECK_INTERVAL_SECS=2
type_letters a a
start b WEIR_CHECK_INTERVAL_SECS=2
until_true 30 on b sync wait shared --timeout 2s
converged () { [ "$(digest a shared)" = "$(digest b shared)" ]; }
until_true 10 converged
text=$(on a doc text shared /m/t show)
same "$(on b doc text shared /m/t show)" "$text"
same "${#text}" 2002
grep -Eq '^\[(a{1000}b{1000}|b{1000}a{1000})\]$' <<<"$text" || fail "interleaved: $text"
grep -q '"clean"\|"ok"' <(on b db verify shared --json) || fail "b is not sound"

# session NODE DB: lines of a session until $DIR/enough is there; each inserts its number.
session () {
    local i=0
    while [ ! -e "$DIR/enough" ] && [ "$i" -lt 20000 ]; do
        i=$((i + 1))
        printf '{"insert": 0, "text": "<%d>"}\n' "$i"
        [ $((i % 50)) != 0 ] || pause 0.02
    done | on "$1" doc text "$2" /m/t edit >"$DIR/acks" 2>"$DIR/session.err"
}
acks () { [ "$(wc -l <"$DIR/acks")" -ge "$1" ]; }
# What was acknowledged is there, all of it and once.
acknowledged () {
    local last i text
    last=$(tail -n 1 "$DIR/acks" | field lines)
    text=$(on "$1" doc text "$2" /m/t show)
    [ "$last" -gt 0 ] || fail "nothing was acknowledged"
    for i in $(seq 1 "$last"); do
        case $text in
        *"<$i>"*"<$i>"*) fail "line $i is there twice" ;;
        *"<$i>"*) ;;
        *) fail "line $i was acknowledged and is lost" ;;
        esac
    done
    echo "  $last lines acknowledged"
}

echo "* kill -9 of the store in the middle of a session"
on a db create killed >/dev/null
rm -f "$DIR/enough"; : >"$DIR/acks"
session a killed &
typing=$!
until_true 20 acks 2
kill -9 "$(actor_pid a store)"
until_true 20 actor_ready a store
seen=$(wc -l <"$DIR/acks")
more () { acks $((seen + 2)) || ! kill -0 "$typing" 2>/dev/null; }
until_true 20 more
: >"$DIR/enough"
wait "$typing" || echo "  (the session ended: $(cat "$DIR/session.err"))"
acknowledged a killed

echo "* kill -9 of the client in the middle of a session"
on a db create orphan >/dev/null
rm -f "$DIR/enough"; : >"$DIR/acks"
session a orphan &
typing=$!
until_true 20 acks 3
pkill -9 -f -- "--data $DIR/a .*doc text orphan" || true
if wait "$typing" 2>/dev/null; then fail "the client ended by itself"; fi
acknowledged a orphan
on a doc text orphan /m/t insert 0 "on it goes" >/dev/null

echo "* a database as a file"
for mode in snapshot update shallow; do
    on a db export shared --mode $mode -o "$DIR/$mode" 2>/dev/null
    same "$(on a db import --info "$DIR/$mode" --json | field mode)" "$mode"
done
on a db export shared >"$DIR/piped"
cmp -s "$DIR/snapshot" "$DIR/piped" || fail "two exports of one state differ"
make_node c
start c
for mode in snapshot update; do
    on c db import "$DIR/$mode" --json >"$DIR/out"
    same "$(value c shared)" "$(value a shared)"
    same "$(digest c shared)" "$(digest a shared)"
    same "$(value c shared --at "$(on c doc heads shared | paste -sd,)")" "$(value a shared)"
    on c db import "$DIR/$mode" --json >"$DIR/out"
    same "$(field entries <"$DIR/out")" 0 "what is held is not taken twice"
    on c db rm shared --yes
done
expect 5 "unsupported" on c db import "$DIR/shallow"
head -c 1000 "$DIR/snapshot" >"$DIR/cut"
expect 5 "bad_export" on c db import "$DIR/cut"
expect 5 "bad_export" on c db import "$DIR/text"
expect 4 "not_found" on c db import "$DIR/nosuch"
expect 4 "not_found" on c doc get shared # none of them left a trace
chain=$(on a doc log past --limit 1 --json)
chain="$(field author <<<"$chain")/$(field lane <<<"$chain")"
on a db export past --mode spans --span "$chain:0-1" -o "$DIR/spans" 2>/dev/null
expect 4 "not_found" on c db import "$DIR/spans"
expect 2 "usage" on a db export past --mode spans -o "$DIR/x"
expect 2 "usage" on a db export past --span nonsense --mode spans -o "$DIR/x"
expect 2 "usage" on a db export past --mode odd -o "$DIR/x"
expect 4 "not_found" on a db export past --mode update --from aaaaaaaaaaaaaaaa -o "$DIR/x"
expect 73 "cannot_create" on a db export past -o "$DIR/none/x"

echo "* what waits for others survives a restart"
on a db create parts >/dev/null
on a doc set parts /m/a 1 >/dev/null
h1=$(on a doc heads parts)
on a db export parts -o "$DIR/p0" 2>/dev/null
on a doc set parts /m/b 2 >/dev/null
h2=$(on a doc heads parts)
on a db export parts --mode update --from "$h1" -o "$DIR/p1" 2>/dev/null
on a doc set parts /m/c 3 >/dev/null
on a db export parts --mode update --from "$h2" -o "$DIR/p2" 2>/dev/null
on c db import "$DIR/p0" >/dev/null
on c db import "$DIR/p2" --json >"$DIR/out"
grep -q '"pending":\[{' "$DIR/out" || fail "nothing waits: $(cat "$DIR/out")"
same "$(value c parts)" '{"m":{"a":1}}'
same "$(on c db show parts --json | field pending)" 1
kill -9 "$(actor_pid c store)"
until_true 20 actor_ready c store
same "$(on c db show parts --json | field pending)" 1
stop c
start c
same "$(on c db show parts --json | field pending)" 1
on c db export parts -o "$DIR/p3" 2>/dev/null # with what waits: another can go on from it
on c db import "$DIR/p1" --json >"$DIR/out"
same "$(field unlocked <"$DIR/out")" 1
grep -q '"pending":\[\]' "$DIR/out" || fail "something waits: $(cat "$DIR/out")"
same "$(value c parts)" '{"m":{"a":1,"b":2,"c":3}}'
same "$(digest c parts)" "$(digest a parts)"
on b db import "$DIR/p3" "$DIR/p1" >/dev/null
same "$(digest b parts)" "$(digest a parts)"
grep -q '"ok"' <(on c db verify --json) || fail "c is not sound"
echo "documents: all of it"
