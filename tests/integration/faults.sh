#!/bin/bash
# What must not happen to one node: a second run on the same data, a full disk, a folder that
# cannot be written, a flipped byte, bad configuration. Each: a clear
# error with a hint, the right exit code, nothing overwritten, nothing lost.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

run () { timeout 20 "$BIN/weir" --data "$DIR/$1" run; }

echo "* init refuses to overwrite"
make_node a
expect 6 "exists" on a init
key=$(cat "$DIR/a/identity.key")

echo "* no node, no answer"
expect 3 "no_node" on a db ls
expect 78 "weir init" run nowhere

echo "* a second run on the same data"
start a
on a db create notes >/dev/null
on a doc set notes /a/b '{"x": 1}' >/dev/null
expect 75 "already_running" run a
same "$(on a doc get notes /a/b --json)" '{"x":1}'

echo "* bad input has a code and a hint"
expect 2 "invalid_json" on a doc set notes /a/b '{x'
expect 2 "invalid_path" on a doc set notes 'a/b' '1'
expect 4 "not_found" on a doc get notes /a/none
expect 4 "not_found" on a doc get nosuch
expect 6 "exists" on a db create notes
expect 2 "no such command" on a db frobnicate
expect 2 "usage" on a doc get
expect 2 "unknown option" on a db ls --wat
expect 5 "bad_ticket" on a db join weirabcdefgh
expect 5 "bad_ticket" on a db join hello

echo "* the key file is for its owner only"
stop a
chmod 644 "$DIR/a/identity.key"
expect 78 "identity" run a
chmod 600 "$DIR/a/identity.key"

echo "* bad configuration"
cp "$DIR/a/weir.conf" "$DIR/conf"
echo 'check_intervall_secs = "3"' >>"$DIR/a/weir.conf"
expect 78 "check_interval_secs" run a
expect 78 "check_interval_secs" on a config check
cp "$DIR/conf" "$DIR/a/weir.conf"

echo "* a folder that cannot be written"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    code=0
    unshare -m bash -c "mount --bind '$DIR/a' '$DIR/a' && mount -o remount,bind,ro '$DIR/a' &&
        exec timeout 20 '$BIN/weir' --data '$DIR/a' run" >/dev/null 2>"$DIR/err" || code=$?
    case $code in 73 | 74) ;; *) fail "read-only: exit $code: $(cat "$DIR/err")" ;; esac
else
    echo "  (skipped: needs mounts)"
fi

echo "* nothing of this lost anything"
start a
same "$(on a doc get notes /a/b --json)" '{"x":1}'
same "$(cat "$DIR/a/identity.key")" "$key"
on a db verify >/dev/null

echo "* one flipped byte in the store: corrupt, exit 65, and repair brings back what can be"
for i in $(seq 1 300); do
    printf '[{"op":"add","path":"/n/k%04d","value":"%0100d"}]\n' "$i" "$i"
done | on a doc apply notes - >/dev/null
stop a
log=$(find "$DIR/a/store" -name '*.log' -size +4k | head -n 1)
[ -n "$log" ] || fail "no log file to damage"
cp -r "$DIR/a" "$DIR/b"
offset=$(($(stat -c %s "$DIR/b/store/${log##*/}") / 2))
printf '\xff\xfe\xfd' | dd of="$DIR/b/store/${log##*/}" bs=1 seek="$offset" conv=notrunc status=none
expect 65 "weir db repair" run b
on b db repair >/dev/null 2>"$DIR/err" || fail "repair: $(cat "$DIR/err")"
start b
on b db verify >/dev/null
same "$(on b doc get notes /a/b --json)" '{"x":1}' "after repair"
stop b

echo "* nothing dumped core"
[ -z "$(find "$DIR" -name core)" ] || fail "something dumped core"

echo "* a full disk: refused with disk_full, nothing lost, goes on by itself"
if [ "$(id -u)" = 0 ] && mkdir "$DIR/mnt" && mount -t tmpfs -o size=48m tmpfs "$DIR/mnt" 2>/dev/null; then
    ln -s "$DIR/mnt" "$DIR/c"
    make_node c
    start c WEIR_DISK_RESERVE_MB=8
    on c db create big >/dev/null
    on c doc set big /keep/me '"here"' >/dev/null
    dd if=/dev/zero of="$DIR/mnt/ballast" bs=1M count=40 status=none 2>/dev/null || true
    code=0
    for i in $(seq 1 20); do
        on c doc set big "/more/$i" "\"$i\"" >/dev/null 2>"$DIR/err" || { code=$?; break; }
        read -r -t 0.1 -u 8 _ || true
    done
    same "$code" 74 "writing to a full disk: $(cat "$DIR/err")"
    grep -q disk_full "$DIR/err" || fail "no disk_full: $(cat "$DIR/err")"
    same "$(on c doc get big /keep/me --json)" '"here"'
    rm "$DIR/mnt/ballast"
    until_true 10 on c doc set big /more/again '"yes"'
    stop c
else
    echo "  (skipped: needs a tmpfs)"
fi
echo "faults: all as promised"
