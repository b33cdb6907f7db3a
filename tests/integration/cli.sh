#!/bin/bash
# The command line as scripts see it: every verb of `weir help --json` with --json prints one JSON
# object (streams: one a line), exit codes are those promised, options and environment are
# honoured, text from elsewhere is escaped.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

verbs () {
    "$BIN/weir" help --json | tr '{' '\n' \
        | sed -n 's/.*"noun": *"\([^"]*\)", *"verb": *"\([^"]*\)".*/\1 \2/p' | sed 's/ $//'
}

# A JSON text is what the node's own reader takes; arrays in it are another matter (5).
is_json () {
    local code=0
    case $1 in '{'*'}') ;; *) return 1 ;; esac
    on a doc set scratch /check/last "$1" >/dev/null 2>&1 || code=$?
    [ "$code" = 0 ] || [ "$code" = 5 ]
}

declare -A WALKED
# walk NODE CODE LINES "noun verb" ARGUMENT...: with --json; LINES is how many objects, or "some".
walk () {
    local node=$1 want=$2 lines=$3 verb=$4 code=0 n=0 line
    shift 4
    WALKED[$verb]=1
    # shellcheck disable=SC2086 # a noun and a verb are two words
    on "$node" --json $verb "$@" >"$DIR/out" 2>"$DIR/err" </dev/null || code=$?
    [ "$code" = "$want" ] || fail "$verb $*: exit $code, not $want: $(cat "$DIR/err")"
    while IFS= read -r line; do
        n=$((n + 1))
        [ "$lines" = value ] || is_json "$line" || fail "$verb $*: no JSON object: $line"
    done <"$DIR/out"
    case $lines in
    some) [ "$n" -gt 0 ] || fail "$verb $*: printed nothing" ;;
    value) [ "$n" = 1 ] || fail "$verb $*: $n lines" ;;
    *) [ "$n" = "$lines" ] || fail "$verb $*: $n lines, not $lines: $(cat "$DIR/out")" ;;
    esac
}
got () { field "$1" <"$DIR/out"; }
has () { grep -q -- "$1" "$DIR/out" || fail "no $1 in: $(cat "$DIR/out")"; }

echo "* help, versions and usage need no node"
[ "$(verbs | wc -l)" -gt 50 ] || fail "help --json names $(verbs | wc -l) verbs only"
while read -r verb; do
    # shellcheck disable=SC2086
    "$BIN/weir" $verb --help >"$DIR/out" || fail "$verb --help"
    has "^usage: weir $verb"
done < <(verbs | grep -v '^bench')
"$BIN/weir" db --help | grep -q "db create" || fail "weir db --help"
expect 2 "usage" "$BIN/weir" db
expect 2 "no such command" "$BIN/weir" frobnicate
expect 2 "unknown option" "$BIN/weir" version --wat
expect 2 "needs a value" "$BIN/weir" version --timeout
expect 2 "takes no value" "$BIN/weir" version --quiet=yes
expect 2 "duration" "$BIN/weir" version --timeout soon
expect 2 "color" "$BIN/weir" version --color pink

echo "* two nodes"
make_node a --role hub --listen tcp://127.0.0.1:0
WALKED[init]=1
expect 6 "exists" on a init
make_node b --role leaf
start a WEIR_CHECK_INTERVAL_SECS=2
WALKED[run]=1
start b WEIR_CHECK_INTERVAL_SECS=2
on a db create scratch >/dev/null

echo "* databases"
walk a 0 1 "db create" notes
id=$(got id)
[ ${#id} = 52 ] || fail "db create gave no id: $(cat "$DIR/out")"
walk a 0 1 "db ls"
walk a 0 1 "db show" notes
same "$(got id)" "$id"
walk a 0 1 "db show" "${id:0:10}"
walk a 4 0 "db show" nosuch
walk a 0 1 "db share" notes --write --ttl 1h
ticket=$(got ticket)
walk a 2 0 "db share" notes --write --read
walk b 0 1 "db join" "$ticket"
has '"joined": *true'
walk b 5 0 "db join" "${ticket:0:40}"
walk b 5 0 "db share" notes
walk a 0 1 "db members" notes
walk a 0 1 "db grant" notes b admin
walk a 2 0 "db grant" notes b king
walk a 0 1 "db verify" notes
walk a 0 1 "db verify"

echo "* documents"
walk a 0 1 "doc set" notes /m/a '{"x": 1}' -m first
walk a 0 1 "doc set" notes /m/a '{"x": 1}'
has '"changed": *false'
walk a 2 0 "doc set" notes /m/a '{'
walk a 2 0 "doc set" notes m/a 1
walk a 0 1 "doc get" notes /m/a
same "$(cat "$DIR/out")" '{"x":1}'
walk a 0 value "doc get" notes /m/a/x
walk a 4 0 "doc get" notes /m/none
walk a 0 1 "doc rm" notes /m/a/x
walk a 0 1 "doc heads" notes
walk a 0 1 "doc conflicts" notes /m/a
walk a 0 some "doc log" notes
entry=$(got id)
walk a 0 1 "doc text" notes /m/t insert 0 "some text"
walk a 0 1 "doc text" notes /m/t insert - "."
walk a 0 1 "doc text" notes /m/t delete 0 5
walk a 0 1 "doc text" notes /m/t show
same "$(got text)" "text."
walk a 0 1 "doc mark" notes /m/t 0 4 bold true
walk a 0 1 "doc text" notes /m/t show --delta
walk a 2 0 "doc text" notes /m/t shout
walk a 2 0 "doc text" notes /m/t insert 99 x
walk a 2 0 "doc mark" notes /m/t 0 4 bold true --expand wide
echo "text" >"$DIR/file"
walk a 0 1 "doc text" notes /m/t update "$DIR/file"
walk a 4 0 "doc text" notes /m/t update "$DIR/nosuch"
walk a 0 1 "doc blob" put notes /m/file "$DIR/file"
walk a 0 1 "doc blob" get notes /m/file -o "$DIR/copy"
cmp -s "$DIR/file" "$DIR/copy" || fail "the content of a blob is not what was put"
walk a 4 0 "doc blob" put notes /m/file "$DIR/nosuch"
walk a 4 0 "doc blob" get notes /m/none -o "$DIR/copy"
walk a 0 1 "doc insert" notes /m/l 0 '{"x": 1}'
walk a 0 1 "doc insert" notes /m/v 0 1 --movable
walk a 0 1 "doc insert" notes /m/v - 2
walk a 0 1 "doc move" notes /m/v 0 1
walk a 0 1 "doc move" notes /m/l/0/x /m/moved
walk a 2 0 "doc insert" notes /m/l 9 1
walk a 0 1 "doc incr" notes /m/n
walk a 0 1 "doc incr" notes /m/n -1.5
walk a 2 0 "doc incr" notes /m/n much
walk a 0 1 "doc diff" notes "$entry"
walk a 0 1 "doc diff" notes "$entry" "$entry"
walk a 4 0 "doc diff" notes aaaaaaaaaaaaaaaa
walk a 0 1 "doc get" notes --at "$entry"
walk a 0 1 "doc revert" notes "$entry" -m back
walk a 0 1 "doc revert" notes "$entry"
has '"changed": *false'
walk a 4 0 "doc revert" notes aaaaaaaaaaaaaaaa
walk a 0 1 "db export" notes -o "$DIR/export"
walk a 0 1 "db export" notes --mode update --from "$entry" -o "$DIR/update"
walk a 0 1 "db export" notes --mode shallow -o "$DIR/shallow"
walk a 2 0 "db export" notes
walk a 2 0 "db export" notes --mode all -o "$DIR/none"
walk a 0 1 "db import" --info "$DIR/export"
same "$(got database)" "$id"
walk a 0 2 "db import" "$DIR/export" "$DIR/update"
walk a 5 0 "db import" "$DIR/shallow"
walk a 5 0 "db import" "$DIR/file"
walk a 0 2 "doc log" notes --limit 2
walk a 0 1 trace "$entry" --db notes
walk a 4 0 trace aaaaaaaaaaaaaaaa

echo "* apply: patches over lines, bad lines, nothing, many"
printf '[{"op":"add","path":"/p/a","value":1},\n {"op":"add",\n"path":"/p/b","value":2}]\n' >"$DIR/patch"
walk a 0 1 "doc apply" notes "$DIR/patch"
same "$(got commits)" 1
printf '[{"op":"add","path":"/q/%d","value":1}]\n' 1 2 3 >"$DIR/patch"
printf '{oops\n[{"op":"add","path":"/q/5","value":1}]\n' >>"$DIR/patch"
walk a 2 1 "doc apply" notes "$DIR/patch"
same "$(got commits)" 3
grep -q "line 4" "$DIR/err" || fail "no line number: $(cat "$DIR/err")"
walk a 0 value "doc get" notes /q/3
walk a 4 0 "doc get" notes /q/5
printf '\n \t\n[{"op":"add","path":"/q/6","value":1}]\n\n[{"op":"add","path":"/q/7","value":1}]\n' >"$DIR/patch"
walk a 0 1 "doc apply" notes "$DIR/patch"
same "$(got commits)" 2 "nothing is dropped behind a blank first line"
printf '\n{oops\n' >"$DIR/patch"
walk a 2 1 "doc apply" notes "$DIR/patch"
grep -q "line 2" "$DIR/err" || fail "no line number: $(cat "$DIR/err")"
: >"$DIR/patch"
walk a 0 1 "doc apply" notes "$DIR/patch"
same "$(got commits)" 0
walk a 4 0 "doc apply" notes "$DIR/nosuch"
seq 1 100000 | sed 's|.*|[{"op":"add","path":"/many/&","value":&}]|' >"$DIR/patch"
walk a 0 1 "doc apply" notes "$DIR/patch"
same "$(got commits)" 100000
walk a 0 value "doc get" notes /many/100000
same "$(cat "$DIR/out")" 100000
if [ -e /usr/share/iso-codes/json/iso_4217.json ]; then
    walk a 0 1 "doc import-json" notes /usr/share/iso-codes/json/iso_4217.json --key alpha_3
    walk a 0 1 "doc import-json" notes /usr/share/iso-codes/json/iso_3166-1.json --key alpha_3
    on a doc get notes /4217/EUR | grep -q Euro || fail "no euro"
    on a doc get notes /3166-1/ISL | grep -q Iceland || fail "no Iceland"
else
    echo '{"r": [{"k": "x", "v": 1}, {"k": "y/z", "v": 2}]}' >"$DIR/file"
    walk a 0 1 "doc import-json" notes "$DIR/file" --key k
fi
walk a 2 1 "doc import-json" notes /dev/null
expect 2 "key" on a doc import-json notes - <<<'{"r": [{"k": 1}]}'

echo "* peers and sync"
walk a 0 1 "peer ls"
walk a 0 1 "peer self"
address=$(sed -n 's/.*"\(weir:[^"]*\)".*/\1/p' "$DIR/out")
walk a 0 1 "peer show" b
walk a 4 0 "peer show" nobody
walk a 0 1 "peer ping" b
walk b 2 0 "peer add" nonsense
walk b 0 1 "peer add" "$address"
walk a 0 1 "transport ls"
walk a 0 1 "sync status"
walk a 0 1 "sync now" notes
walk a 0 1 "sync wait" notes --timeout 30s
has '"synced": *true'
walk a 0 1 "sync explain" notes
has '"in_sync": *true'
has '"code": *"in_sync"'
walk a 0 1 "sync explain" notes --peer b
walk a 4 0 "sync explain" notes --peer nobody
moved () { on a sync history notes --peer b --json | grep -q '"out_entries": *[1-9]'; }
until_true 10 moved
walk a 0 1 "sync history"
walk a 0 1 "sync history" notes --limit 1
has '"result": *"'
walk a 0 1 "sync status"
has '"ack_p99_ms"'
walk a 0 1 "sync set" notes b --direction both --priority high
walk a 0 1 "sync rm" notes b
walk a 0 1 "sync add" notes b
until_true 30 on a sync wait notes --timeout 2s
same "$(digest a notes)" "$(digest b notes)"
echo "* presence: there, watched, taken back"
walk a 0 1 "presence set" notes cursor '{"at": 1}' --ttl 1m
walk a 2 0 "presence set" notes cursor '{'
walk a 2 0 "presence set" notes cursor 1 --ttl soon
b_sees () { on b presence ls notes --json | grep -q '"at": *1'; }
until_true 10 b_sees
walk b 0 1 "presence ls" notes
has '"name": *"a"'
walk b 0 1 "presence watch" notes --count 1
has '"source": *"initial"'
walk a 0 1 "presence rm" notes cursor
walk a 4 0 "presence rm" notes cursor
b_sees_none () { ! b_sees; }
until_true 10 b_sees_none
walk a 0 1 "retry ls"
walk a 0 1 "retry now"
walk a 4 0 "retry drop" b notes # nothing waits
walk a 0 1 "peer block" b
walk a 0 1 "peer block" b --off
walk a 0 1 "transport stop" transport-1
walk a 0 1 "transport start" transport-1

echo "* the feed: resumed, bounded, and a user's program that fails"
on a db watch scratch --count 2 --json >"$DIR/feed" &
feed=$!
set_until_fed () { on a doc set scratch /feed/x "\"$(now_ms)\"" >/dev/null; ! kill -0 "$feed" 2>/dev/null; }
until_true 20 set_until_fed
wait "$feed" || fail "db watch ended with $?"
WALKED["db watch"]=1
on a doc watch scratch --count 1 --json >"$DIR/feed-doc" &
feed=$!
until_true 20 set_until_fed
wait "$feed" || fail "doc watch ended with $?"
WALKED["doc watch"]=1
is_json "$(cat "$DIR/feed-doc")" || fail "no JSON object: $(cat "$DIR/feed-doc")"
token=$(head -n 1 "$DIR/feed" | field token)
second=$(tail -n 1 "$DIR/feed" | field token)
walk a 0 1 "db watch" scratch --since "$token" --count 1
same "$(got token)" "$second" "resume"
printf '#!/bin/sh\ncat >>"%s/seen"\nexit 3\n' "$DIR" >"$DIR/hook"
chmod +x "$DIR/hook"
on a db watch scratch --since "$token" --count 1 --exec "$DIR/hook" 2>"$DIR/err"
grep -q "ended with 3" "$DIR/err" || fail "a failing program is not told: $(cat "$DIR/err")"
same "$(field token <"$DIR/seen")" "$second"
on a db watch scratch --since "$token" --count 1 --exec "$DIR/nosuch" 2>"$DIR/err"
grep -q "cannot start" "$DIR/err" || fail "no program: $(cat "$DIR/err")"
expect 1 "gap" on a db watch scratch --since 0123456789abcdef.1 --count 1
expect 2 "invalid_argument" on a db watch scratch --since yesterday --count 1

echo "* the node"
walk a 0 1 status
for key in node actors peers id name role pid state epoch restarts; do has "\"$key\""; done
walk a 0 1 health
walk a 0 1 health --live
walk a 0 1 health --ready
walk a 0 some events
walk a 0 1 "actor ls"
walk a 0 1 "actor log-level" store debug --for 1s
walk a 2 0 "actor log-level" store loud
walk a 4 0 "actor restart" nobody
walk a 0 1 "actor restart" retry
until_true 10 actor_ready a retry
walk a 0 1 "key show"
walk a 0 1 "key rotate-link"
walk a 0 1 paths
walk a 0 1 "config show"
walk a 0 1 "config show" --origin
walk a 0 1 "config check"
walk a 0 1 "config reload"
has '"changes": *\[\]'
printf 'log_level = debug\nbatch_size = 17\nlisten = "tcp://127.0.0.1:1"\n' >>"$DIR/a/weir.conf"
walk a 0 1 "config reload"
has '"key": *"batch_size", *"was": *"4096", *"is": *"17", *"applied": *true'
has '"key": *"listen".*"applied": *false'
has '"restart_needed": *true'
printf 'batch_size = many\n' >>"$DIR/a/weir.conf"
walk a 78 0 "config reload" # nothing of it counts
mv "$DIR/a/weir.conf" "$DIR/a/weir.conf.away"
walk a 78 0 "config reload" # a file that is gone is no wish for the defaults
grep -q "hint" "$DIR/err" || fail "no hint in: $(cat "$DIR/err")"
mkfifo "$DIR/a/weir.conf"
kill -HUP "${PID[a]}" # a pipe is refused, and not waited for
until_true 10 grep -q "config_reloaded.*no regular file" "$DIR/a.log"
rm "$DIR/a/weir.conf"
mv "$DIR/a/weir.conf.away" "$DIR/a/weir.conf"
sed -i '/^batch_size\|^log_level\|^listen/d' "$DIR/a/weir.conf"
printf 'listen = tcp://127.0.0.1:0\n' >>"$DIR/a/weir.conf"
reloaded () { on a events --json | grep '"config_reloaded"' | tail -n 1 | grep -q "applied=2"; }
kill -HUP "${PID[a]}"
until_true 10 reloaded
walk a 0 1 "config path"
walk a 0 1 "config sample"
walk a 0 1 version
walk a 0 1 help
WALKED[bench]=1 # measured by make bench
expect 2 "" on a bench nosuch

echo "* the tap"
(for _ in $(seq 1 100); do on a doc get scratch >/dev/null 2>&1; [ ! -e "$DIR/tapped" ] || break; done) &
walk a 0 2 tap kind=DOC_GET --count 2 --for 20s
: >"$DIR/tapped"
has '"kind": *"DOC_GET"'
wait $!
expect 2 "" on a tap "nonsense=1" --count 1

echo "* -q, NO_COLOR, WEIR_DATA, WEIR_SOCKET, time-outs, control characters"
same "$(on a doc set scratch /q/q 1 -q)" ""
same "$(NO_COLOR=1 on a db ls --color always | grep -c "$(printf '\033')" || true)" 0
same "$(WEIR_DATA=$DIR/a "$BIN/weir" doc get scratch /q/q)" 1
same "$(WEIR_SOCKET=$(on a paths --json | field control) "$BIN/weir" --data "$DIR/none" doc get scratch /q/q)" 1
expect 3 "no_node" env WEIR_SOCKET="$DIR/none" "$BIN/weir" db ls
kill -STOP "$(actor_pid a store)"
expect 7 "timed_out" "$BIN/weir" --data "$DIR/a" --timeout 200ms doc get scratch
until_true 10 on a doc get scratch
on a db create "$(printf 'bad\033[31mname')" >/dev/null 2>"$DIR/err" && fail "a name with an escape"
! grep -q "$(printf '\033')" "$DIR/err" || fail "an escape sequence came through"
on a doc set scratch /esc/x 1 -m "$(printf 'a\033[31mb')" >/dev/null
! on a doc log scratch | grep -q "$(printf '\033')" || fail "an escape sequence came through the log"

echo "* leaving, and the end"
walk a 2 0 "db rm" notes
walk a 0 1 "db grant" notes b read
b_reads () { on b db show notes --json | grep -q '"right": *"read"'; }
until_true 10 b_reads
walk b 5 0 "doc set" notes /m/x 1
walk b 0 1 "db leave" notes # any member may
b_left () { on a db members notes --json | tr '{' '\n' | grep '"name": *"b"' | grep -q '"right": *"none"'; }
until_true 10 b_left
walk b 5 0 "doc set" notes /m/x 1
walk b 0 1 "db rm" notes --yes
walk a 4 0 "db remove" notes b # it left
walk a 0 1 "db grant" notes b carry
walk a 0 1 "db remove" notes b
walk b 0 1 stop
wait "${PID[b]}" || fail "b ended with $?"
unset "PID[b]"
walk b 0 1 "db verify"
walk b 0 1 "db repair"
echo secret >"$DIR/pass"
walk b 0 1 "key protect" --passphrase-file "$DIR/pass"
walk a 0 1 "peer rm" b
walk b 3 0 "db ls"

while read -r verb; do
    [ -n "${WALKED[$verb]:-}" ] || fail "nobody walked: weir $verb"
done < <(verbs)
echo "cli: $(verbs | wc -l) verbs walked"
