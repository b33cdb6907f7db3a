#!/bin/bash
# What the pure folders ask of the world: no clock, no randomness, no I/O. Every undefined symbol
# of their libraries is ours or on this list; store/base alone may end the process (weir_bug) and
# use jansson.
#
#   tests/lint/pure.sh BUILD
set -euo pipefail

libc='malloc|calloc|realloc|free|memcpy|memmove|memset|memcmp|memchr|memrchr|memmem|qsort|qsort_r|bsearch'
libc="$libc|strlen|strnlen|strcmp|strncmp|strchr|strrchr|strstr|strspn|strcspn|strpbrk|strtod"
libc="$libc|strtoull|strtoll|strtoul|strtol|strdup|strndup|strcasecmp|snprintf|vsnprintf"
libc="$libc|__(memcpy|memmove|memset|snprintf|vsnprintf)_chk|__stack_chk_fail|__ctype_[a-z_]*"
libc="$libc|__errno_location|isnan|isinf|floor|ceil|trunc|fabs|__popcountdi2|_GLOBAL_OFFSET_TABLE_"
bug='abort|stderr|fprintf|__fprintf_chk|fputs|fwrite'

bad=0
for module in base dag crdt replica sync; do
    library=$1/lib/libweir-$module.a
    [ -f "$library" ] || continue
    allowed="weir_[a-z0-9_]*|$libc"
    case $module in
    base) allowed="$allowed|json_[a-z_]*|jansson_[a-z_]*|$bug" ;;
    crdt) allowed="$allowed|json_[a-z_]*" ;;
    replica) allowed="$allowed|json_[a-z_]*|ZSTD_[A-Za-z_0-9]*" ;;
    esac
    wrong=$(nm -u "$library" | awk 'NF == 2 && $1 == "U" { print $2 }' | sort -u |
        grep -vxE "$allowed" || true)
    if [ -n "$wrong" ]; then
        echo "store/$module is pure, and asks for: $(echo "$wrong" | tr '\n' ' ')"
        bad=1
    fi
done
exit $bad
