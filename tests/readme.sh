#!/bin/bash
# Goal: what README.md says under "Two devices, step by step" is true on two machines with nothing
# but Debian 12: two fresh roots, a network namespace each, joined by a veth. `make deps` and
# `make` run in the first root, as the README has them; the second gets a copy. Then the README's
# own commands, as they are extracted from it, with the one address and the ticket put in. Both
# sides must hold the same within five minutes of the first command. Skips where roots or
# namespaces cannot be made. Nothing outside its own folder and namespaces is touched.
#
# --run also runs `make run`, the README's first command, in one more fresh root.

. tests/integration/lib.sh

NS=weir-readme-$$
desk=$DIR/desk
phone=$DIR/phone
declare -A ADDRESS=([desk]=192.0.2.1 [phone]=192.0.2.2)

clean_up () {
    local code=$? root
    trap - EXIT
    for root in desk phone; do
        if [ "$code" != 0 ] && [ "$code" != 77 ] && [ -e "$DIR/$root.out" ]; then
            echo "--- $root"
            tail -n 40 "$DIR/$root.out"
        fi
        # shellcheck disable=SC2046 # a pid a word
        kill $(ip netns pids "$NS-$root" 2>/dev/null) 2>/dev/null || true
    done
    wait 2>/dev/null || true
    for root in desk phone show; do
        umount -l "$DIR/$root/proc" "$DIR/$root/dev/shm" 2>/dev/null || true
        ip netns del "$NS-$root" 2>/dev/null || true
    done
    rm -rf --one-file-system "$DIR"
    exit "$code"
}
trap clean_up EXIT

# The commands of the README between the marker and the next heading, block N of them.
block () {
    awk -v want="$1" '
        /tests\/readme.sh runs the commands/ { on = 1; next }
        on && /^## / { exit }
        on && /^    / { if (!in_block) { n++; in_block = 1 } if (n == want) print substr ($0, 5) }
        on && !/^    / { in_block = 0 }' README.md
}

fresh_root () { # FOLDER: a Debian machine with nothing on it but a copy of the tree
    cp -a "$BASE" "$1"
    rm -f "$1/.whole"
    mkdir -p "$1/src"
    git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read \
        -c -T - 2>/dev/null | tar -x -C "$1/src"
    cp /etc/resolv.conf "$1/etc/resolv.conf" 2>/dev/null || true
    cp -L /etc/hosts "$1/etc/hosts" 2>/dev/null || true
    mount -t proc proc "$1/proc"
    mkdir -p "$1/dev/shm"
    mount -t tmpfs tmpfs "$1/dev/shm"
}

in_root () { # FOLDER COMMAND...
    local folder=$1
    shift
    env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        chroot "$folder" "$@"
}

# Runs a block of the README as the text it is, in NODE's root and namespace.
follow () { # NODE BLOCK
    local node=$1
    block "$2" | sed "s/TICKET/$(cat "$DIR/ticket" 2>/dev/null || echo TICKET)/" >"$DIR/$node.block"
    sed 's/^/    '"$node"'$ /' "$DIR/$node.block"
    in_node "$node" bash -e -o pipefail -c "$(cat "$DIR/$node.block")"
}

in_node () { # NODE COMMAND...
    local node=$1
    shift
    ip netns exec "$NS-$node" env -i HOME=/root LC_ALL=C.UTF-8 WEIR_LOG_FORMAT=text \
        PATH=/src/build/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$DIR/$node" "$@"
}

shared () { tr ',{' '\n' | grep -E '"(digest|entries)"|^[a-z2-7]{52}$'; }

[ "$(id -u)" -eq 0 ] || skip "two fresh roots with a network each need root"
for program in ip git; do
    command -v "$program" >/dev/null || skip "there is no program $program"
done
BASE=$(tests/support/debian-root.sh) || skip "$BASE"
ip netns add "$NS-desk" 2>/dev/null || skip "network namespaces are not allowed here"
ip netns add "$NS-phone"
ip link add vethd netns "$NS-desk" type veth peer name vethp netns "$NS-phone" 2>/dev/null ||
    skip "veth links are not allowed here"
ip -n "$NS-desk" addr add "${ADDRESS[desk]}/24" dev vethd
ip -n "$NS-phone" addr add "${ADDRESS[phone]}/24" dev vethp
for node in desk phone; do
    ip -n "$NS-$node" link set lo up
done
ip -n "$NS-desk" link set vethd up
ip -n "$NS-phone" link set vethp up

began=$(now_ms)
say () { echo "$(awk -v ms=$(($(now_ms) - began)) 'BEGIN { printf "%5.1f", ms / 1000 }') s  $*"; }

if [ "${1:-}" = --run ]; then
    fresh_root "$DIR/show"
    # What every Debian has, and the Makefile cannot install for itself.
    in_root "$DIR/show" sh -c 'apt-get update -q && apt-get install -q -y make' \
        >"$DIR/show.out" 2>&1 || skip "Debian's packages cannot be reached: $(tail -n 1 "$DIR/show.out")"
    in_root "$DIR/show" sh -c 'cd /src && make run' </dev/null >"$DIR/show.out" 2>&1 ||
        { tail -n 60 "$DIR/show.out"; fail "make run in a fresh root"; }
    tail -n 40 "$DIR/show.out"
    say "make run, in a root with nothing but make"
    began=$(now_ms)
fi

fresh_root "$desk"
in_root "$desk" sh -c 'apt-get update -q && apt-get install -q -y make' >"$DIR/desk.out" 2>&1 ||
    skip "Debian's packages cannot be reached: $(tail -n 1 "$DIR/desk.out")"
in_root "$desk" sh -c 'cd /src && make deps && make -j2' >>"$DIR/desk.out" 2>&1 || fail "the build"
say "installed and built in a fresh root"
umount "$desk/proc" "$desk/dev/shm"
cp -a "$desk" "$phone"
for node in desk phone; do
    mount -t proc proc "$DIR/$node/proc"
    mount -t tmpfs tmpfs "$DIR/$node/dev/shm"
done

say "the README's commands"
: >"$DIR/ticket"
follow desk 1 >"$DIR/desk.out" 2>&1 || fail "the first device"
tail -n 1 "$DIR/desk.out" >"$DIR/ticket"
grep -q '^weir' "$DIR/ticket" || fail "the last command of the first device printed no ticket"
follow phone 2 >"$DIR/phone.out" 2>&1 || fail "the second device"
follow phone 3 >>"$DIR/phone.out" 2>&1 || fail "the questions on the second device"
cat "$DIR/phone.out"

same "$(in_node desk weir doc get notes /todo/milk/done)" true "what the phone wrote, on the desk"
for what in "db show notes --json" "doc heads notes"; do
    # shellcheck disable=SC2086 # a word each
    same "$(in_node desk weir $what | shared)" "$(in_node phone weir $what | shared)" "$what"
done
say "in step"
[ $(($(now_ms) - began)) -lt 300000 ] || fail "it took more than five minutes"
for node in desk phone; do
    in_node "$node" weir stop || fail "weir stop on $node"
done
