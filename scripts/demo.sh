#!/usr/bin/env bash
# From a fresh clone to a proven binary: installs what is missing, builds, compiles the digits model,
# proves the binary right, and prints what it costs.
#
#   demo.sh [MACHINE]      default zu9; `xgc machines` lists them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
machine=${1:-zu9}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

echo "== Building (packages: scripts/packages.txt)"
if ! scripts/setup.sh release xgc >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
xgc=build/xgc
data=examples/digits
out=build/demo
mkdir -p "$out"
echo "== Compiling $data/digits_qdq.onnx for $machine"
"$xgc" compile "$data/digits_qdq.onnx" -m "$machine" -o "$out/digits.xgb"
echo "== Proving it: every tensor, simulator against reference interpreter, bit for bit"
"$xgc" check "$data/digits_qdq.onnx" "$out/digits.xgb"
echo "== What it costs and how well it reads the held-out digits"
"$xgc" report "$data/digits_qdq.onnx" -m "$machine" --float "$data/digits.onnx" \
    --input "$data/test_images.npy" --labels "$data/test_labels.npy"
