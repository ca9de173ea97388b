#!/bin/bash
# Our solver's value and bound beside another solver's optimum of the same 0-1 program.
#   ilp_other_solver.sh XGC [MACHINE ...] -- MODEL ...      (MODEL: .xg, or ONNX; float ones get random calibration)
# Needs cbc (Debian: coinor-cbc). Prints one line a program and ends with 1 when the other solver finds less than our
# bound allows, or our value is more than 0.1 % above its optimum (large programs are solved in pieces).
set -u
xgc=$1
shift
machines=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do machines+=("$1"); shift; done
shift
[ ${#machines[@]} -gt 0 ] || machines=(kv260 nano)
command -v cbc >/dev/null || { echo "skipped: cbc is not installed"; exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
printf '%-28s %-7s %8s %8s %14s %14s %14s\n' model machine rows columns ours bound cbc
for model in "$@"; do
    for m in "${machines[@]}"; do
        "$xgc" compile "$model" -m "$m" --calib random --random-weights -o "$dir/o.xgb" --emit-sel "$dir/o.sel" \
            --dump-ilp "$dir/o.lp" >"$dir/log" 2>&1 || { echo "$model $m: $(tail -1 "$dir/log")"; continue; }
        read -r rows cols ours bound < <(sed -n 's/.*ilp: \([0-9]*\) rows, \([0-9]*\) columns, value \([0-9]*\), bound \([0-9]*\),.*/\1 \2 \3 \4/p' \
            "$dir/o.sel" | head -1)
        cbc "$dir/o.lp" ratioGap 0 sec 600 solve solution "$dir/o.sol" >"$dir/cbc.log" 2>&1
        theirs=$(sed -n 's/^Optimal - objective value *\([0-9.]*\).*/\1/p' "$dir/o.sol" | head -1)
        name=$(basename "$model")
        [ "$name" = model.onnx ] && name=$(basename "$(dirname "$model")")
        printf '%-28s %-7s %8s %8s %14s %14s %14s\n' "$name" "$m" "$rows" "$cols" "$ours" "$bound" "${theirs:-no optimum}"
        [ -n "$theirs" ] || continue
        awk -v a="$ours" -v l="$bound" -v b="$theirs" 'BEGIN { exit !(a >= b - 1 && a <= b * 1.001 + 1 && l <= b + 1) }' ||
            { echo "  differ"; bad=1; }
    done
done
exit $bad
