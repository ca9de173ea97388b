#!/usr/bin/env bash
# What groups of siblings gain: cycles and feature-map traffic with the shipped patterns, and without those of kind
# siblings. Every model of a folder, on the machines named.
#
#   siblings.sh XGC MODELS [MACHINE ...]      default: zu2 edge kv260
set -euo pipefail
xgc=${1:?usage: siblings.sh XGC MODELS [MACHINE ...]} models=${2:?usage: siblings.sh XGC MODELS [MACHINE ...]}
machines=("${@:3}")
[ ${#machines[@]} -gt 0 ] || machines=(zu2 edge kv260)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

awk 'function flush() { if (block !~ /kind: siblings/) printf "%s", block; block = "" }
     /^  - name:/ { flush() } { block = block $0 "\n" } END { flush() }' "$here/../../fusion/patterns.yaml" >"$tmp/apart.yaml"

figures() { # figures MODEL MACHINE [OPTION ...]: cycles, maps in, maps out
    "$xgc" report "$1" -m "$2" --calib random --random-weights "${@:3}" 2>/dev/null |
        awk '/^time/ { cycles = $2 } /^DDR/ { sub(/.*maps in /, ""); sub(/;.*/, ""); maps = $0 } END { print cycles " | " maps }'
}
echo "model | machine | cycles | maps in, out | cycles without siblings | maps in, out"
for model in "$models"/*/model.onnx; do
    for m in "${machines[@]}"; do
        echo "$(basename "$(dirname "$model")") | $m | $(figures "$model" "$m") | $(figures "$model" "$m" --patterns "$tmp/apart.yaml")"
    done
done
