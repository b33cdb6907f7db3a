#!/bin/bash
# Two authors by turns, more entries of each than a pending set holds: a clone must get them in an
# order in which they can be stored, or it never ends.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

out=$("$BIN/weir" bench sync --turns --entries 36000 --dir "$DIR" --json) || fail "the clone did not end"
entries=$(field entries <<<"$out")
[ "$entries" -ge 36000 ] || fail "$entries entries came: $out"
echo "turns: $out"
