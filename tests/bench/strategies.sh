#!/bin/bash
# Simulated cycles of each strategy, and greedy over what is built, with geometric means.
#   strategies.sh XGC MODELS_FOLDER [MACHINE ...]     (default machines: all shipped)
set -u
xgc=$1
folder=$2
shift 2
[ $# -gt 0 ] || set -- zu2 zu9 kv260 zcu102 edge nano
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for model in "$folder"/*/*.onnx; do
    for m in "$@"; do
        "$xgc" compile "$model" -m "$m" --calib random --random-weights -o "$dir/o.xgb" --emit-sel "$dir/o.sel" >"$dir/log" 2>&1 ||
            { echo "# $model $m: $(head -1 "$dir/log")"; continue; }
        head -1 "$dir/o.sel" | grep -o 'simulated cycles:[^;"]*' | sed 's/simulated cycles: //; s/,//g' |
            sed "s|^|$(basename "$(dirname "$model")") $m |"
    done
done | awk '
    /^#/ { print; next }
    {
        best = 0
        for (i = 3; i < NF; i++) if ($i ~ /^(ilp|iterated|path|greedy|layer|channels)$/) {
            if (!($i in c) || $(i + 1) < c[$i]) c[$i] = $(i + 1)
            if ((!best || $(i + 1) < best) && $(i + 1) > 0) best = $(i + 1)
        }
        print
        if (best && c["greedy"]) { n++; g += log(c["greedy"] / best); l += log(c["layer"] / best); p += log(c["path"] / best) }
        delete c
    }
    END { if (n) printf "%d programs; geometric means over what is built: path %.3f greedy %.3f layer %.3f\n", n, exp(p / n), exp(g / n), exp(l / n) }'
