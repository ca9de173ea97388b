#!/usr/bin/env bash
# Checks (default) or repairs (--fix) the layout of all C files by .clang-format.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mode=(--dry-run -Werror)
[ "${1:-}" != --fix ] || mode=(-i)
git ls-files -z -- '*.c' '*.h' | xargs -0 "${CLANG_FORMAT:-clang-format}" "${mode[@]}"
