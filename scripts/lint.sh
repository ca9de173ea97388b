#!/usr/bin/env bash
# The layout of the C files, and a build with clang where warnings are errors too. A tool that is not
# installed is named and skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if command -v "${CLANG_FORMAT:-clang-format}" >/dev/null; then
    scripts/format.sh
    echo "lint: layout is that of .clang-format"
else
    echo "lint: skipped: no clang-format (package clang-format)"
fi
if command -v clang >/dev/null; then
    CC=clang cmake -S . -B build-clang -G Ninja -DCMAKE_BUILD_TYPE=Release
    cmake --build build-clang
    echo "lint: clang has no warning"
else
    echo "lint: skipped: no clang (package clang)"
fi
