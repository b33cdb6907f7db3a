# Sourced by the checks: which files are ours. Git's list where there is a repository (what is
# not committed is not looked at), else what lies here.

# lint_files PATTERN...   for example '*.c'
lint_files () {
    local pattern
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -- "$@" | while IFS= read -r file; do
            [ ! -f "$file" ] || echo "$file"
        done
        return
    fi
    for pattern in "$@"; do
        find . -path ./build\* -prune -o -type f -name "$pattern" -print | sed 's,^\./,,'
    done | sort
}
