#!/bin/bash
# Prints the folder of a Debian 12 minbase root, made once and kept in the build folder: for tests
# that need a machine with nothing on it. Copy it, never write to it. Exit 77 with the reason on
# stdout where it cannot be made.
#
#   tests/support/debian-root.sh
set -euo pipefail

root=$(realpath -m "${BUILD:-build}/debian-root")
if [ -e "$root/.whole" ]; then
    echo "$root"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "a fresh Debian root needs debootstrap, and that needs root"
    exit 77
fi
if ! command -v debootstrap >/dev/null; then
    (apt-get update -q && apt-get install -q -y --no-install-recommends debootstrap) >&2 || {
        echo "debootstrap is missing and cannot be installed"
        exit 77
    }
fi
mkdir -p "$(dirname "$root")"
rm -rf "$root"
if ! debootstrap --variant=minbase bookworm "$root" >"$root.log" 2>&1; then
    tail -n 5 "$root.log" >&2
    echo "debootstrap did not make a Debian root: $(tail -n 1 "$root.log")"
    exit 77
fi
rm -f "$root.log"
touch "$root/.whole"
echo "$root"
