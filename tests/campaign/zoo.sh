#!/usr/bin/env bash
# The networks of zoo.py on machines: compiled, and every tensor compared with the reference; and how well they quantise.
#
#   zoo.sh BUILD/xgc FOLDER [MACHINE ...]       FOLDER: written by zoo.py; default machines: all shipped
#
# A line for each network: cosine of the worst output after quantisation, then a verdict for each machine: equal, or the first line of the error;
# in brackets the nodes that run on the host, of all. Status 1 when one is not equal.
set -u
xgc=$1 folder=$2
shift 2
machines=("$@")
[ ${#machines[@]} -gt 0 ] || mapfile -t machines < <("$xgc" machines --json | python3 -c 'import json, sys
for m in json.load(sys.stdin): print(m["name"])' 2>/dev/null || echo zu9)
bad=0
for model in "$folder"/*/model.onnx; do
    name=$(basename "$(dirname "$model")")
    cosine=$("$xgc" quantize "$model" --calib random --samples 2 --json 2>/dev/null | python3 -c 'import json, sys
print("%.4f" % min(o["cosine"] for o in json.load(sys.stdin)["outputs"] if o["cosine"] is not None))' 2>/dev/null || echo failed)
    printf '%-18s cosine %s ' "$name" "$cosine"
    for m in "${machines[@]}"; do
        out=$("$xgc" check "$model" -m "$m" --calib random --fill random 2>&1)
        if [ $? = 0 ]; then
            printf ' %s: equal' "$m"
        else
            printf ' %s: %s' "$m" "$(head -1 <<<"$out")"
            bad=$((bad + 1))
        fi
    done
    echo
done
echo "$bad not equal"
[ "$bad" = 0 ]
