#!/bin/bash
# What `make run` shows: a hub and two devices on this machine, real data imported, edited on both
# devices while cut off, healed, converged, with figures. Real processes, real disks, real CURVE
# links over loopback. With a terminal it stays up until Ctrl-C; without one it ends by itself.
set -euo pipefail

BIN=${WEIR_BIN:-build/bin}
TABLES=${WEIR_DEMO_DATA:-/usr/share/iso-codes/json}
DIR=$(mktemp -d "${TMPDIR:-/tmp}/weir-demo-XXXXXX")
NODES=(hub anna ben)
declare -A PID

say () { printf '\n== %s\n' "$*"; }
on () { local node=$1; shift; "$BIN/weir" --data "$DIR/$node" --timeout 60s "$@"; }
field () { sed -n "s/.*\"$1\": *\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"; }
seconds () { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b - a) / 1e9 }'; }
now () { date +%s%N; }

finish () {
    local node
    for node in "${NODES[@]}"; do
        if [ -n "${PID[$node]:-}" ]; then
            kill "${PID[$node]}" 2>/dev/null || true
        fi
    done
    wait 2>/dev/null || true
    rm -rf "$DIR"
}
trap finish EXIT
trap 'exit 0' INT TERM

start () {
    local node=$1
    shift
    on "$node" init --name "$node" "$@" >/dev/null
    mkfifo "$DIR/$node.ready"
    "$BIN/weir" --data "$DIR/$node" run --ready-fd 9 9>"$DIR/$node.ready" \
        2>"$DIR/$node.log" </dev/null &
    PID[$node]=$!
    if ! read -r _ <"$DIR/$node.ready"; then
        echo "the node $node did not start; its log ends:" >&2
        tail -n 20 "$DIR/$node.log" >&2
        exit 1
    fi
}

say "Three nodes, each with a key of its own: a hub and two devices"
start hub --role hub --listen tcp://127.0.0.1:0
start anna
start ben
for node in "${NODES[@]}"; do
    printf '%-5s %s\n' "$node" "$(on "$node" peer self --json | field id)"
done

say "The hub makes a database and imports ISO 3166, 4217 and 639-3"
on hub db create atlas >/dev/null
on hub doc import-json atlas "$TABLES/iso_3166-1.json" --key alpha_2 -m "ISO 3166-1"
on hub doc import-json atlas "$TABLES/iso_4217.json" --key alpha_3 -m "ISO 4217"
on hub doc import-json atlas "$TABLES/iso_639-3.json" --key alpha_3 -m "ISO 639-3"

say "Both devices join with a ticket and clone it"
began=$(now)
for node in anna ben; do
    on hub db share atlas --write -q | on "$node" db join - >/dev/null
done
on hub sync wait atlas
entries=$(on ben db show atlas --json | field entries)
echo "$entries entries, verified and durable on all three, in $(seconds "$began" "$(now)") s"
echo "on ben, /3166-1/IS/name is $(on ben doc get atlas /3166-1/IS/name)"

say "The hub is cut off; both devices go on working"
on hub transport stop transport-1
on anna doc set atlas /3166-1/IS/capital '"Reykjavik"' -m "anna, offline" -q
on anna doc set atlas /notes/today '"anna was here"' -q
on ben doc set atlas /3166-1/IS/capital '"Reykjavík"' -m "ben, offline" -q
on ben doc set atlas /4217/ISK/note '"króna"' -q
began=$(now)
for i in $(seq 1 500); do
    printf '[{"op":"add","path":"/visits/ben-%03d","value":%d}]\n' "$i" "$i"
done | on ben doc apply atlas -
on anna sync explain atlas

say "The link heals"
began=$(now)
on hub transport start transport-1
on hub sync wait atlas
echo "in step after $(seconds "$began" "$(now)") s"

say "Converged: the same heads, the same digest, the same value everywhere"
for node in "${NODES[@]}"; do
    show=$(on "$node" db show atlas --json)
    printf '%-5s %s entries, digest %.16s, capital of Iceland %s\n' "$node" \
        "$(field entries <<<"$show")" "$(field digest <<<"$show")" \
        "$(on "$node" doc get atlas /3166-1/IS/capital)"
done
[ "$(for node in "${NODES[@]}"; do on "$node" db show atlas --json | field digest; done |
    sort -u | wc -l)" = 1 ] || { echo "they differ" >&2; exit 1; }
echo "both answers were kept (weir doc conflicts):"
on anna doc conflicts atlas /3166-1/IS/capital

say "The hub's own view"
on hub status

if [ -t 0 ] && [ -t 1 ]; then
    say "It stays up until Ctrl-C. In another terminal:"
    echo "  $BIN/weir --data $DIR/anna doc set atlas /notes/hello '\"world\"'"
    echo "  $BIN/weir --data $DIR/ben db watch atlas"
    echo "  $BIN/weir --data $DIR/hub tap"
    wait "${PID[@]}"
fi
