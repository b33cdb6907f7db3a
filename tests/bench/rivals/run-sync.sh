#!/bin/bash
# The same work in weir and in y-websocket, hocuspocus and automerge-repo, pinned in package.json:
# one line of JSON for each (system, case), in one run on this machine. sync.mjs says what the
# cases are. Packages go to a folder of their own, never into the sources.
#
#   tests/bench/rivals/run-sync.sh [CASE...]     live burst burst-100k reconnect triangle
#
# WEIR_BIN            where weir's programs are (default: build/bin)
# WEIR_RIVALS_DIR     where the packages are put (default: build/rivals)
# WEIR_RIVALS_SYSTEMS which systems (default: weir y-websocket hocuspocus automerge-repo)
# WEIR_RIVALS_SECONDS how long a case of a rival may take before it is told as it stood (default: 60)
# WEIR_RIVALS_SCALE   divides every number of updates and documents, to try it out (default: 1)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
dir=${WEIR_RIVALS_DIR:-$root/build/rivals}
bin=${WEIR_BIN:-$root/build/bin}
seconds=${WEIR_RIVALS_SECONDS:-60}
scale=${WEIR_RIVALS_SCALE:-1}
read -ra systems <<<"${WEIR_RIVALS_SYSTEMS:-weir y-websocket hocuspocus automerge-repo}"

for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "$tool is needed" >&2; exit 2; }
done
[ -x "$bin/weir-bench" ] || { echo "$bin/weir-bench is not there: make" >&2; exit 2; }
mkdir -p "$dir"
cp "$here/package.json" "$here"/*.mjs "$dir/"
if ! cmp -s "$here/package.json" "$dir/installed.json"; then
    (cd "$dir" && npm install --no-package-lock --no-audit --no-fund --silent >&2)
    cp "$here/package.json" "$dir/installed.json"
fi

# one SYSTEM CASE UPDATES DOCUMENTS
one () {
    if [ "$1" = weir ]; then
        "$bin/weir-bench" through --topology "$2" --entries "$3" --databases "$4" --payload 86 --json
    else
        node --max-old-space-size=8192 --no-warnings "$dir/sync.mjs" --system "$1" --case "$2" \
            --updates "$3" --documents "$4" --seconds "$seconds"
    fi
}

cases=("$@")
[ ${#cases[@]} -gt 0 ] || cases=(live burst burst-100k reconnect triangle)
for name in "${cases[@]}"; do
    updates=$((10000 / scale))
    case=$name
    if [ "$name" = burst-100k ]; then
        updates=$((100000 / scale))
        case=burst
    fi
    for system in "${systems[@]}"; do
        one "$system" "$case" "$updates" $((1000 / scale))
    done
done
