#!/bin/bash
# Goal: docker/Dockerfile and docker/compose.yml are what the README says: two nodes in step after
# `docker-compose up`, healthy, not root, with a read-only root and no capabilities, no shell
# among their processes; a clean stop ends with 0, and what was written is there after it.
# Uses the engine that answers, or starts one of its own (as root); skips where neither is there.

. tests/integration/lib.sh

COMPOSE=(docker-compose -p "weir-test-$$" -f docker/compose.yml)
ENGINE=

clean_up () {
    local code=$?
    trap - EXIT
    if [ "$code" != 0 ] && [ "$code" != 77 ]; then
        "${COMPOSE[@]}" logs --no-color --tail 40 2>/dev/null || true
    fi
    "${COMPOSE[@]}" down -v --remove-orphans >/dev/null 2>&1 || true
    if [ -n "$ENGINE" ]; then
        kill "$ENGINE" 2>/dev/null || true
        wait "$ENGINE" 2>/dev/null || true
    fi
    rm -rf "$DIR"
    exit "$code"
}
trap clean_up EXIT

need () { # PROGRAM PACKAGE
    command -v "$1" >/dev/null && return
    [ "$(id -u)" -eq 0 ] || skip "no $1, and only root can install $2"
    (apt-get update -q && apt-get install -q -y --no-install-recommends "$2") >&2 ||
        skip "$1 is missing, and $2 cannot be installed"
}

engine_answers () { timeout 10 docker info --format '{{.ServerVersion}}' 2>/dev/null | grep -q .; }
engine_answers_or_ended () { engine_answers || ! kill -0 "$ENGINE" 2>/dev/null; }

start_engine () {
    [ "$(id -u)" -eq 0 ] || skip "no container engine answers, and only root can start one"
    need dockerd docker.io
    mkdir "$DIR/engine"
    export DOCKER_HOST=unix://$DIR/engine/sock
    dockerd --data-root "$DIR/engine/data" --exec-root "$DIR/engine/exec" \
        --pidfile "$DIR/engine/pid" --host "$DOCKER_HOST" >"$DIR/engine/log" 2>&1 &
    ENGINE=$!
    until_true 60 engine_answers_or_ended
    engine_answers || skip "dockerd does not run here: $(tail -n 1 "$DIR/engine/log")"
}

base_image () {
    local root
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 && return
    timeout 60 docker pull -q debian:bookworm-slim 2>/dev/null && return
    root=$(tests/support/debian-root.sh) || skip "no registry answers, and $root"
    tar -C "$root" -c . | docker import - debian:bookworm-slim >/dev/null
}

need docker docker.io
engine_answers || start_engine
need docker-compose docker-compose
base_image

echo "building the image"
"${COMPOSE[@]}" build >"$DIR/build.log" 2>&1 || { tail -n 30 "$DIR/build.log"; fail "the build"; }

compose () { timeout 120 "${COMPOSE[@]}" "$@"; }
weir () { local node=$1; shift; compose exec -T "$node" weir --timeout 30s "$@"; }
container () { compose ps -q "$1"; }
inspect () { docker inspect --format "$2" "$(container "$1")"; }
is () { [ "$(inspect "$1" "$2")" = "$3" ]; }
in_step () { [ "$(weir hub "$@")" = "$(weir device "$@")" ]; }

began=$(now_ms)
compose up -d >"$DIR/up.log" 2>&1 || { cat "$DIR/up.log"; fail "docker-compose up"; }
until_true 60 is introduce '{{.State.Status}}' exited
same "$(inspect introduce '{{.State.ExitCode}}')" 0 "introduce"
weir device sync wait notes
echo "up and in step after $(($(now_ms) - began)) ms"

echo "a write on either side is read on the other"
weir device doc set notes /todo/milk '{"text": "buy milk", "done": false}'
weir device sync wait notes
weir hub doc set notes /todo/milk/done true
weir hub sync wait notes
same "$(weir device doc get notes /todo/milk/done)" true
same "$(weir hub db show notes --json | field digest)" \
    "$(weir device db show notes --json | field digest)" "the digests"

echo "healthy, not root, read-only, without capabilities, without a shell"
for node in hub device; do
    until_true 60 is "$node" '{{.State.Health.Status}}' healthy
    weir "$node" health
    docker top "$(container "$node")" -eo pid,uid,comm >"$DIR/top"
    same "$(awk 'NR > 1 { print $2 }' "$DIR/top" | sort -u)" 28470 "the uid on $node"
    same "$(awk 'NR > 1 && $3 !~ /^weir-/' "$DIR/top")" "" "programs on $node that are not ours"
    same "$(awk 'NR > 1' "$DIR/top" | wc -l)" 5 "processes on $node"
    if compose exec -T "$node" touch /etc/x 2>/dev/null; then
        fail "the root of $node can be written"
    fi
    same "$(compose exec -T "$node" grep -hE '^(CapEff|NoNewPrivs)' /proc/1/status |
        tr -s '\t\r\n' '  ')" "CapEff: 0000000000000000 NoNewPrivs: 1 " "rights on $node"
done

echo "a clean stop, and everything is there after it"
before=$(weir hub db show notes --json | field digest)
compose stop >/dev/null 2>&1
for node in hub device; do
    same "$(inspect "$node" '{{.State.ExitCode}} {{.State.OOMKilled}}')" "0 false" "$node"
done
compose up -d >/dev/null 2>&1
until_true 60 is hub '{{.State.Health.Status}}' healthy
until_true 60 is device '{{.State.Health.Status}}' healthy
weir device doc set notes /todo/after '"the stop"'
weir device sync wait notes
same "$(weir hub doc get notes /todo/after)" '"the stop"'
[ "$(weir hub db show notes --json | field digest)" != "$before" ] || fail "nothing was added"
until_true 30 in_step doc heads notes --json
echo "the bundle is in step"
