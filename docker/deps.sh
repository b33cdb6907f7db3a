#!/bin/bash
# Installs what is missing of the packages in LIST that carry one of the given sections; says and
# changes nothing when all are there. Needs root or sudo only when something is missing.
#
#   docker/deps.sh LIST SECTION...
set -euo pipefail

list=$1
shift

wanted=$(awk -v sections="$*" '
    BEGIN { n = split (sections, s, " "); for (i = 1; i <= n; i++) asked[s[i]] = 1 }
    { sub (/#.*/, "") }
    { for (i = 2; i <= NF; i++) if ($i in asked) { print $1; break } }' "$list" | sort -u)

# shellcheck disable=SC2086,SC2016 # one package a word; dpkg fills in the ${}
installed=$(dpkg-query -W -f '${Package} ${Status}\n' $wanted 2>/dev/null |
    awk '$2 $3 $4 == "installokinstalled" { print $1 }' | sort -u || true)
missing=$(comm -23 <(echo "$wanted") <(echo "$installed"))
if [ -z "$missing" ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "weir: packages are missing, and there is neither root nor sudo to install them" >&2
        echo "hint: as root: apt-get install" "$(echo "$missing" | tr '\n' ' ')" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "installing: $(echo "$missing" | tr '\n' ' ')" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q >&2
# shellcheck disable=SC2086
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends $missing >&2
