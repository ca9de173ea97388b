#!/usr/bin/env bash
# Installs the Debian packages that are missing, configures and builds.
#
#   setup.sh [PRESET [TARGET ...]]      PRESET of CMakePresets.json, default release
#
# Writes nothing outside the build folder. Asks apt (through sudo, unless root) only for what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:-release}
shift || true

present() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_missing() {
    local missing=() name
    while read -r name _; do
        case $name in '' | '#'*) continue ;; esac
        present "$name" || missing+=("$name")
    done <scripts/packages.txt
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "setup: installing ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "setup: not root and no sudo; as root run: apt-get install ${missing[*]}" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q </dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        "${missing[@]}" </dev/null
}

if command -v dpkg-query >/dev/null; then
    install_missing
else
    echo "setup: no dpkg here; the packages of scripts/packages.txt are taken as given" >&2
fi
cmake --preset "$preset"
targets=()
[ $# -eq 0 ] || targets=(--target "$@")
cmake --build --preset "$preset" "${targets[@]}"
