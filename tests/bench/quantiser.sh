#!/usr/bin/env bash
# The quantiser on every float model: cosine and SQNR of the outputs, the layer that loses most, accuracy.
#
#   tests/bench/quantiser.sh XGC [MODELS [NAME ...]]
#
# XGC is the command. MODELS (default: $XGC_MODELS) has a folder a model and _data with samples. TARGETS names what
# models are quantised for (default "profile:ort machine:edge profile:dpu"). Models whose outputs stay below cosine
# 0.99 on profile ort are tried again with the worst layer kept in float.
set -u
xgc=$1
models=${2:-${XGC_MODELS:-}}
[ -d "$models" ] || { echo "skipped: no models (XGC_MODELS)"; exit 0; }
shift $(($# > 1 ? 2 : 1))
here=$(dirname "$0")
targets=${TARGETS:-profile:ort machine:edge profile:dpu}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 "$here/quantiser_data.py" "$models" "$dir" || exit 1

# Where a model's example inputs come from, and labels if there are any. How pixels become numbers is each model's own.
inputs_of() {
    local imagenet="--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375" unit="--mean 127.5 --std 127.5"
    case $1 in
    mnist8_cntk) echo "--calib $dir/mnist.npy --input $dir/mnist.npy --labels $dir/mnist_labels.npy" ;;
    mnist*) echo "--calib $dir/digits --mean 33.3 --std 78.6" ;;
    tfl_mlperf_ic*) echo "--calib $dir/cifar.npy --input $dir/cifar.npy --labels $dir/cifar_labels.npy" ;;
    mlperf_resnet8*) echo "--calib $dir/cifar.npy --input $dir/cifar.npy --labels $dir/cifar_labels.npy" ;;
    tfl_mlperf_kws*) echo "--calib $dir/kws.npy --input $dir/kws.npy --labels $dir/kws_labels.npy" ;;
    cct2_32) echo "--calib $models/cct2_32/data/inputs.npz" ;;
    mobilenetv2_12_int8 | light_*) echo "--calib $dir/png $imagenet" ;;
    ppocr* | rfb320* | mobilenetv2_035*) echo "--calib $dir/png $unit" ;;
    yunet* | yolox* | fastestdet* | retinaface*) echo "--calib $dir/png --mean 0 --std 1" ;;
    superres* | selfie* | *vww* | *mobilenet* | *person* | squeezenet10*) echo "--calib $dir/png" ;;
    *) echo "--calib random:1" ;;
    esac
}

summary='
import json, sys
r = json.load(sys.stdin)
outs = r["outputs"]
cos = min((o["cosine"] for o in outs if o["cosine"] is not None), default=float("nan"))
db = min((o["sqnr_db"] if o["sqnr_db"] is not None else 99.9 for o in outs), default=float("nan"))
worst = r.get("loses_most", "-")
own = [x["alone_db"] for x in r["layers"] if x["node"] == worst and x["alone_db"] is not None]
right = ""
if "images" in r:
    right = "%.1f -> %.1f %%" % (100 * r["right_before"] / r["images"], 100 * r["right_after"] / r["images"])
print("%.5f|%.1f|%s|%s|%s" % (cos, db, right, "%.1f" % own[0] if own else "-", worst))'

row() { printf '%-28s %-8s %9s %6s %16s %6s  %s\n' "$@"; }

# judge MODEL TARGET EXTRA...: one row; the cosine is left in $cosine, the worst layer in $worst.
judge() {
    local name=$1 target=$2 file args fields
    shift 2
    file=$(ls "$models/$name"/*.onnx | head -1)
    read -ra args <<<"$(inputs_of "$name")"
    case $name in light_*) args+=(--random-weights) ;; esac
    if ! "$xgc" quantize "$file" "--${target%%:*}" "${target#*:}" "${args[@]}" "$@" --samples 8 --json \
        >"$dir/json" 2>"$dir/err"; then
        cosine=refused worst=
        row "$name" "${target#*:}" refused "" "" "" "$(head -1 "$dir/err" | cut -c1-90)"
        return
    fi
    IFS='|' read -ra fields <<<"$(python3 -c "$summary" <"$dir/json")"
    cosine=${fields[0]} worst=${fields[4]}
    row "$name" "${target#*:}" "$cosine" "${fields[1]}" "${fields[2]}" "${fields[3]}" "$worst ${*}"
}

row model target cosine dB "accuracy" "alone" "loses most by itself"
low=0 all=0
names=("$@")
if [ ${#names[@]} = 0 ]; then
    mapfile -t names < <(python3 -c '
import json, sys
for m in json.load(open(sys.argv[1])):
    if m["form"].startswith("float"): print(m["name"])' "$models/manifest.json")
fi
for name in "${names[@]}"; do
    for target in $targets; do
        judge "$name" "$target"
        [ "$target" = profile:ort ] || continue
        all=$((all + 1))
        [ "$cosine" = refused ] && continue
        if awk "BEGIN { exit !($cosine < 0.99) }"; then
            low=$((low + 1))
            [ -n "$worst" ] && judge "$name" "$target" --keep-float "$worst"
        fi
    done
done
echo "$low of $all models below cosine 0.99 on profile ort"
