#!/bin/bash
# Two nodes in two network namespaces, and what the kernel can do to the link between them: all
# packets dropped while both are written to, a tenth of them lost, 256 kbit/s with a clone and live
# writes over it. Where namespaces, nftables or tbf are not to be had this is skipped: then
# test_links.c, with a proxy of its own, is what is shown of links.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

NS=weir-$$
A=10.77.0.1

gone_ns () {
    ip netns del "$NS-a" 2>/dev/null || true
    ip netns del "$NS-b" 2>/dev/null || true
}
ended () {
    local code=$?
    gone_ns
    (exit "$code")
    finish
}
trap ended EXIT

[ "$(id -u)" = 0 ] || skip "needs root, for network namespaces"
for tool in ip nft tc; do
    command -v "$tool" >/dev/null || skip "needs $tool"
done
for side in a b; do
    ip netns add "$NS-$side" 2>/dev/null || skip "network namespaces are not allowed"
done
ip link add va netns "$NS-a" type veth peer name vb netns "$NS-b" 2>/dev/null || skip "no veth"
for side in a b; do
    ip -n "$NS-$side" link set lo up
    ip -n "$NS-$side" link set "v$side" up
done
ip -n "$NS-a" addr add "$A/24" dev va
ip -n "$NS-b" addr add 10.77.0.2/24 dev vb
in_a () { ip netns exec "$NS-a" "$@"; }
in_a nft add table inet weir 2>/dev/null || skip "no nftables"
in_a nft "add chain inet weir in { type filter hook input priority 0; }"
in_a nft "add chain inet weir out { type filter hook output priority 0; }"
rule () {
    in_a nft flush chain inet weir in
    in_a nft flush chain inet weir out
    [ -z "$1" ] && return
    # shellcheck disable=SC2086 # a rule is words
    in_a nft add rule inet weir in $1 && in_a nft add rule inet weir out $1
}
rate () {
    for side in a b; do
        tc -n "$NS-$side" qdisc add dev "v$side" root tbf rate 256kbit burst 5kb latency 500ms || return 1
    done
}

equal () { [ "$(digest a "$1")" = "$(digest b "$1" 2>/dev/null)" ]; }
# SECONDS DATABASE WHAT
soon_equal () {
    local began
    began=$(now_ms)
    until_true "$1" equal "$2"
    echo "  equal $(($(now_ms) - began)) ms $3"
}
absent () { on a peer ls --json | grep -q '"absent"\|"state": *"connecting"'; }
# NODE FIRST COUNT: values one after the other, each durable before the next.
write () {
    local i
    for i in $(seq "$2" $(($2 + $3 - 1))); do
        on "$1" doc set net "/$1/$i" "$i" >/dev/null
    done
}
# NODE DATABASE COUNT: commits of a hundred letters, in one request.
fill () {
    head -c $((75 * $3)) /dev/urandom | base64 -w 100 |
        awk '{ printf "[{\"op\":\"add\",\"path\":\"/v/%d\",\"value\":\"%s\"}]\n", NR, $0 }' |
        on "$1" doc apply "$2" - >/dev/null
}
has () { [ "$(on "$1" doc get net "$2" --json)" = "$3" ]; }

make_node a --role hub --listen "tcp://$A:28470"
make_node b
START_IN="ip netns exec $NS-a" start a WEIR_CHECK_INTERVAL_SECS=4
START_IN="ip netns exec $NS-b" start b WEIR_CHECK_INTERVAL_SECS=4
on a db create net >/dev/null
on b db join "$(on a db share net --write --json | field ticket)" >/dev/null
until_true 10 equal net

echo "* all packets dropped, both written to"
rule drop
until_true 10 absent
write a 1 20
write b 1 20
same "$(equal net && echo yes || echo no)" no "while cut off"
rule ""
soon_equal 5 net "after packets pass again"

echo "* a tenth of all packets lost, both written to"
rule "numgen random mod 100 < 10 drop"
write a 100 60 &
writer=$!
write b 100 60
wait "$writer"
soon_equal 20 net "after the last of 120 commits, packets still being lost"
rule ""

echo "* 256 kbit/s: written live while another database is cloned over the same link"
on a db create bulk >/dev/null
fill a bulk 4000
if rate 2>/dev/null; then
    ticket=$(on a db share bulk --write --json | field ticket)
    "$BIN/weir" --data "$DIR/b" --timeout 60s db join "$ticket" >/dev/null 2>&1 &
    join=$!
    began=$(now_ms)
    worst=0
    live=0
    until equal bulk 2>/dev/null; do
        [ $(($(now_ms) - began)) -lt 60000 ] || fail "the clone does not end"
        live=$((live + 1))
        wrote=$(now_ms)
        on a doc set net "/live/$live" "$live" >/dev/null
        until_true 6 has b "/live/$live" "$live"
        took=$(($(now_ms) - wrote))
        worst=$((took > worst ? took : worst))
    done
    echo "  cloned in $(($(now_ms) - began)) ms, $live values live, the slowest in $worst ms"
    wait "$join" || fail "the join ended with $?"
    [ "$live" -ge 3 ] || fail "the clone was over before anything was tried"
    soon_equal 5 net "after the clone"
else
    echo "  (skipped: no tbf)"
fi
for node in a b; do
    on "$node" db verify >/dev/null || fail "$node does not verify"
    stop "$node"
done
