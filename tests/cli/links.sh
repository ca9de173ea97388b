#!/usr/bin/env bash
# Relative links in the project's pages lead to files that exist.
#
#   links.sh XGC SOURCE_DIR
set -euo pipefail
root=${2:?usage: links.sh XGC SOURCE_DIR}

links() { # links PAGE: the targets of its links that are neither addresses nor anchors
    sed 's/`[^`]*`//g' "$1" | grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//; s/#.*//' | grep -v '^[a-z]*:\|^$' || true
}

dangling() { # dangling DIR: prints each dangling link; counts the good ones in $count
    local page target bad=0
    count=0
    while IFS= read -r page; do
        while IFS= read -r target; do
            count=$((count + 1))
            [ -e "$(dirname "$page")/$target" ] && continue
            echo "${page#"$1"/}: no file $target"
            bad=1
        done < <(links "$page")
    done < <(find "$1" -type d \( -name '.?*' -o -name 'build*' \) -prune -o -name '*.md' -print | sort)
    return $((1 - bad))
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo 'A [page](none.md).' >"$scratch/page.md"
dangling "$scratch" >/dev/null || { echo "links: a dangling link was not found" >&2; exit 1; }
if dangling "$root"; then exit 1; fi
[ "$count" -gt 0 ] || { echo "links: no link read" >&2; exit 1; }
echo "links: $count, all lead somewhere"
