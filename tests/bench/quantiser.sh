#!/usr/bin/env bash
# The quantiser on every float model: cosine and SQNR of the outputs, the layer that loses most, accuracy.
#
#   tests/bench/quantiser.sh XGC [MODELS [NAME ...]]
#
# XGC is the command. MODELS (default: $XGC_MODELS) has a folder a model, manifest.json, and _data with samples. TARGETS
# names what models are quantised for (default "profile:ort machine:edge profile:dpu"). Where an output stays below cosine
# 0.99, the layer that the report names is kept in 16 bits, then as many as --min-cosine 0.99 finds; on profile ort the
# same once more with random inputs.
# One CSV row a run on standard output: model, inputs, target, options, least cosine and SQNR over the outputs, accuracy
# before and after, the layer that costs most, its SQNR by itself and its share of the outputs' noise, layers held in 16 bits.
set -uo pipefail
xgc=$1
models=${2:-${XGC_MODELS:-}}
[ -d "$models" ] || { echo "skipped: no models (XGC_MODELS)"; exit 0; }
shift $(($# > 1 ? 2 : 1))
here=$(dirname "$0")
targets=${TARGETS:-profile:ort machine:edge profile:dpu}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 "$here/quantiser_data.py" "$models" "$dir" || exit 1

# What a model is calibrated with, in words, then the options: real samples of its own kind, pictures of another kind
# (CIFAR-10, enlarged), or random numbers. How pixels become numbers is each model's own. Labels where there are some.
inputs_of() {
    local imagenet="--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375" unit="--mean 127.5 --std 127.5"
    local png="--calib $dir/png"
    case $1 in
    mnist8_cntk) echo "MNIST|--calib $dir/mnist64.npy --input $dir/mnist.npy --labels $dir/mnist_labels.npy" ;;
    mnist*) echo "MNIST|--calib $dir/digits --mean 33.3 --std 78.6" ;;
    tfl_mlperf_ic* | mlperf_resnet8*)
        echo "CIFAR-10|--calib $dir/cifar.npy --input $dir/cifar.npy --labels $dir/cifar_labels.npy" ;;
    tfl_mlperf_kws*) echo "own features|--calib $dir/kws64.npy --input $dir/kws.npy --labels $dir/kws_labels.npy" ;;
    micro_kws*) echo "random 0..26|--calib $dir/micro_kws.npy" ;;
    cct2_32) echo "one of its own|--calib $models/cct2_32/data/inputs.npz" ;;
    superres_sub*) echo "one of its own|--calib $models/superres_sub_pixel/data/test_data_set_0/input_0.pb" ;;
    superres_op15) echo "pictures|--calib $dir/png1 --mean 0 --std 255" ;;
    ppocr_cls*) echo "pictures|$png $unit --shape x=1x3x48x192" ;;
    ppocr_det*) echo "pictures|--calib $dir/png4 $imagenet --shape x=1x3x320x320" ;;
    teams_seg) echo "random|--calib random:1 --shape bgrm=1x4x128x128" ;;
    light_*) echo "random, random weights|--calib random:1 --random-weights" ;;
    rfb320* | mobilenetv2_035*) echo "pictures|$png $unit" ;;
    yunet* | yolox*) echo "pictures|--calib $dir/png4 --mean 0 --std 1" ;;
    fastestdet*) echo "pictures|--calib $dir/png4" ;;
    squeezenet10*) echo "pictures|--calib $dir/png4 --mean 0 --std 1" ;;
    tfl_mlperf_ad* | mlperf_deepauto*) echo "random -80..14|--calib $dir/ad.npy" ;;
    selfie* | *vww* | mlperf_mobilenet*) echo "pictures|$png" ;;
    *) echo "random|--calib random:1" ;;
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
share = [x["effect"] for x in r["layers"] if x["node"] == worst and x["effect"] is not None]
wide = r.get("widened", [])
right = "-|-"
if "images" in r:
    right = "%.1f|%.1f" % (100 * r["right_before"] / r["images"], 100 * r["right_after"] / r["images"])
print("%.5f|%.1f|%s|%s|%s|%s|%s" % (cos, db, right, worst, "%.1f" % own[0] if own else "-",
    "%.1f" % (100 * share[0]) if share else "-", "all" if wide == ["*"] else len(wide)))'

row() {
    local IFS='|'
    echo "$*" | sed 's/,/;/g; s/|/,/g'
}

# judge MODEL TARGET OPTION...: one row; the cosine is left in $cosine, the worst layer in $worst.
judge() {
    local name=$1 target=$2 file args fields words
    shift 2
    file=$(ls "$models/$name"/*.onnx | head -1)
    words=$(inputs_of "$name")
    [ -z "$random" ] || words="random|--calib random:1$(grep -o -- ' --shape .*' <<<"$words")"
    read -ra args <<<"${words#*|}"
    cosine=refused worst=
    if ! "$xgc" quantize "$file" "--${target%%:*}" "${target#*:}" "${args[@]}" "$@" --samples 4 --json \
        >"$dir/json" 2>"$dir/err"; then
        row "$name" "${words%%|*}" "${target#*:}" "$*" refused "$(head -1 "$dir/err" | cut -c1-160)"
        return
    fi
    IFS='|' read -ra fields <<<"$(python3 -c "$summary" <"$dir/json")"
    cosine=${fields[0]} worst=${fields[4]}
    row "$name" "${words%%|*}" "${target#*:}" "$*" "${fields[@]}"
}

# With the layer named in 16 bits, then with as many as it takes.
repair() {
    [ "$cosine" != refused ] && below || return 0
    judge "$1" "$2" --keep-int16 "$worst"
    judge "$1" "$2" --min-cosine 0.99
}

below() { awk "BEGIN { exit !($cosine < 0.99) }"; }

random=
row model inputs target options cosine sqnr_db accuracy_float accuracy_quantised costs_most alone_db effect_percent wide_layers
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
        random=
        judge "$name" "$target"
        first=$cosine
        repair "$name" "$target"
        [ "$target" = profile:ort ] || continue
        all=$((all + 1))
        cosine=$first
        [ "$cosine" != refused ] && below || continue
        low=$((low + 1))
        random=1
        judge "$name" "$target"
        repair "$name" "$target"
    done
done
echo "$low of $all models below cosine 0.99 on profile ort" >&2
