#!/usr/bin/env bash
# Damaged files through every command that reads them.
#
#   fuzz.sh BUILD COUNT [FIRST [KIND]]     BUILD is best one with sanitizers (preset dev: build-dev)
#
# Makes the seeds (files of all kinds that xgc reads) in a folder of their own, then runs BUILD/tests/fuzz on them.
# Findings stay in that folder, which is printed; without findings it is removed. The same numbers give the same cases.
set -euo pipefail
build=$(realpath "${1:?usage: fuzz.sh BUILD COUNT [FIRST [KIND]]}")
count=${2:?usage: fuzz.sh BUILD COUNT [FIRST [KIND]]}
first=${3:-1}
source_dir=$(realpath "$(dirname "$0")/../..")
models=${XGC_MODELS:-$source_dir/../shared/models}
xgc=$build/xgc
seeds=$(mktemp -d "${TMPDIR:-/tmp}/xgc-fuzz-XXXXXX")
cd "$seeds"
mkdir good onnx xg xgtext xgb xs sel machine encoding patterns input picture ranges

# what commands need beside the damaged file
cp "$source_dir/tests/cli/small.xg" good/small.xg
"$xgc" compile good/small.xg -m nano -o good/small.xgb -q
"$build/tests/fuzz" --images picture

npy() { # npy FILE DESCR SHAPE COUNT BYTE: an array whose bytes are all BYTE (octal)
    { printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
      head -c "$4" /dev/zero | tr '\0' "\\$5"; } >"$1"
}
npy good/x.npy '<f4' '1, 8, 8, 3' 768 0
npy good/labels.npy '<i4' '1,' 4 0

# seeds of each kind
find "$source_dir/tests/data" "$source_dir/examples" -name '*.onnx' -size -40k -exec cp {} onnx/ \;
cp good/small.xg xgtext/
for f in onnx/qdq_net.onnx onnx/qoperator.onnx onnx/qdq_shuffle.onnx; do
    name=$(basename "$f" .onnx)
    "$xgc" import "$f" -o "xg/$name.xg" && "$xgc" import "$f" --text -o "xgtext/$name.xg"
    for m in nano zu9; do
        for s in layer ilp; do
            "$xgc" compile "$f" -m $m --strategy $s -o "xgb/$name-$m-$s.xgb" -q
        done
    done
    "$xgc" disasm "xgb/$name-nano-ilp.xgb" -o "xs/$name.xs"
done
"$xgc" import good/small.xg -o xg/small.xg
cp good/small.xgb xgb/
"$xgc" disasm good/small.xgb -o xs/small.xs
for s in layer greedy ilp; do
    "$xgc" compile good/small.xg -m nano --strategy $s -o sel/x --emit-sel sel/$s.sel -q
done
rm sel/x
for m in nano zu2 zu9 kv260 edge; do
    "$xgc" isa -m $m --form machine -o machine/$m.yaml
    "$xgc" isa -m $m --form encoding -o encoding/$m.yaml
done
cp "$source_dir/fusion/patterns.yaml" patterns/
cp good/x.npy good/labels.npy input/
npy input/wide.npy '<f8' '2, 8, 8, 3' 3072 100
npy input/integers.npy '|u1' '3, 8, 8, 3' 576 177
"$xgc" run good/small.xgb --input good/x.npy --output-dir input >/dev/null
if command -v python3 >/dev/null; then
    python3 - <<'PY'
import zipfile
for name, how in (('stored', zipfile.ZIP_STORED), ('deflated', zipfile.ZIP_DEFLATED)):
    with zipfile.ZipFile(f'input/{name}.npz', 'w', how) as z:
        z.write('good/x.npy', 'image.npy')
PY
fi
find /usr/share/libonnx-testdata/data -name 'input_0.pb' -size -4k 2>/dev/null | sort | awk 'NR <= 40' | while read -r f; do
    cp "$f" "input/$(basename "$(dirname "$(dirname "$f")")").pb"
done
find /usr/share/libonnx-testdata/data -name model.onnx -size -8k 2>/dev/null | sort | awk 'NR % 4 == 0' | while read -r f; do
    cp "$f" "onnx/$(basename "$(dirname "$f")").onnx"
done
for m in micro_kws_m_qop tfl_mlperf_ic_int8 tfl_micro_speech mnist8_cntk mnist_dynquant light_squeezenet; do
    for f in "$models/$m"/*.onnx; do
        [ -e "$f" ] && cp "$f" "onnx/$m.onnx"
    done
done
cp "$source_dir/examples/digits/digits.onnx" good/pixels.onnx
"$xgc" quantize good/pixels.onnx --calib random --emit-calib ranges/pixels.txt >/dev/null

status=0
"$build/tests/fuzz" "$seeds" "$count" "$first" ${4:+"$4"} || status=$?
cd /
if [ $status = 0 ]; then rm -rf "$seeds"; else echo "findings: $seeds/findings"; fi
exit $status
