#!/bin/bash
# Replays editing traces in loro-crdt and yjs, pinned in package.json, and prints one line of JSON
# for each (trace, rival): what `weir bench text FILE... --json` is held against. One core, best
# of --runs (5). Packages go to a folder of their own, never into the sources.
#
#   tests/bench/rivals/run.sh [--runs N] FILE...
#
# WEIR_RIVALS_DIR   where the packages are put (default: build/rivals)
# WEIR_RIVALS_CORE  which core (default: 1; without a second one, the first)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${WEIR_RIVALS_DIR:-$here/../../../build/rivals}
core=${WEIR_RIVALS_CORE:-1}

for tool in node npm taskset; do
    command -v "$tool" >/dev/null || { echo "$tool is needed" >&2; exit 2; }
done
mkdir -p "$dir"
cp "$here/package.json" "$here"/*.mjs "$dir/"
if ! cmp -s "$here/package.json" "$dir/installed.json"; then
    (cd "$dir" && npm install --no-package-lock --no-audit --no-fund --silent >&2)
    cp "$here/package.json" "$dir/installed.json"
fi
taskset -c "$core" true 2>/dev/null || core=0
options=()
while [[ ${1:-} == --* ]]; do
    options+=("$1" "${2:?$1 needs a value}")
    shift 2
done
# A process for each, so that none inherits another's heap.
for file in "$@"; do
    for rival in loro yjs; do
        taskset -c "$core" node --expose-gc --max-old-space-size=8192 "$dir/text.mjs" \
            --rival "$rival" "${options[@]}" "$file"
    done
done
