#!/usr/bin/env bash
# The layout of the C files, and a build with clang where warnings are errors too. A tool that is not
# installed is named and skipped.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
status=0

if ! command -v "${CLANG_FORMAT:-clang-format}" >/dev/null; then
    echo "lint: skipped: no clang-format (package clang-format)"
elif scripts/format.sh; then
    echo "lint: layout is that of .clang-format"
else
    echo "lint: layout differs from .clang-format; scripts/format.sh --fix repairs it" >&2
    status=1
fi

if ! command -v clang >/dev/null; then
    echo "lint: skipped: no clang (package clang)"
elif CC=clang cmake -S . -B build-clang -G Ninja -DCMAKE_BUILD_TYPE=Release && cmake --build build-clang; then
    echo "lint: clang has no warning"
else
    echo "lint: the build with clang failed" >&2
    status=1
fi
exit $status
