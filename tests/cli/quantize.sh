# xgc quantize: every kind of example input gives the same numbers, tables come back, nodes are kept wider, accuracy.
. "$(dirname "$0")/common.inc"
data=$source_dir/examples/digits
float=$data/digits.onnx

command -v python3 >/dev/null || { echo "skipped: no python3"; exit 0; }

# Sixteen of the calibration images as .npy, .npz (stored and deflated), .pb, .raw and as a folder of each kind; and as
# pictures of 8 bits, whose numbers are exactly those of an array of their own.
cat >make.py <<'PY'
import os, struct, sys, zipfile, zlib

source = open(sys.argv[1], 'rb').read()
start = 10 + struct.unpack('<H', source[8:10])[0]
shape = [int(v) for v in source[10:start].decode().split("'shape': (")[1].split(')')[0].split(',') if v.strip()]
each, count = shape[1] * shape[2] * shape[3], 16
values = struct.unpack('<%df' % (count * each), source[start:start + 4 * count * each])


def npy(shape, values):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }" % ''.join('%d,' % n for n in shape)
    header += ' ' * (-(11 + len(header)) % 64) + '\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() + struct.pack('<%df' % len(values), *values)


def varint(n):
    out = b''
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def pb(shape, values):
    raw = struct.pack('<%df' % len(values), *values)
    return b''.join(b'\x08' + varint(n) for n in shape) + b'\x10\x01' + b'\x4a' + varint(len(raw)) + raw


def png(width, height, pixels):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    rows = b''.join(b'\0' + pixels[y * width:(y + 1) * width] for y in range(height))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)) +
            chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def write(path, data):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data)


whole = [count] + shape[1:]
write('x.npy', npy(whole, values))
for name, how in (('stored.npz', zipfile.ZIP_STORED), ('deflated.npz', zipfile.ZIP_DEFLATED)):
    with zipfile.ZipFile(name, 'w', how) as z:
        z.writestr('x.npy', npy(whole, values))
write('x.raw', struct.pack('<%df' % len(values), *values))
for n in range(count):
    one = values[n * each:(n + 1) * each]
    write('pb/test_data_set_%02d/input_0.pb' % n, pb([1] + shape[1:], one))
    write('one/%02d.npy' % n, npy([1] + shape[1:], one))
write('pb1/input_0.pb', pb([1] + shape[1:], values[:each]))
write('one.npy', npy([1] + shape[1:], values[:each]))
most = max(values)
pixels = [min(255, int(v / most * 255)) for v in values]
write('pixels.npy', npy(whole, [(p - 100) / 50 for p in pixels]))
for n in range(count):
    write('png/%02d.png' % n, png(shape[3], shape[2], bytes(pixels[n * each:(n + 1) * each])))
PY
python3 make.py "$data/calibration_images.npy" || fail "example inputs"

# table NAME INPUTS OPTION...: the ranges go to NAME.table
table() {
    local name=$1 inputs=$2
    shift 2
    run 0 quantize "$float" --calib "$inputs" --emit-calib "$name.table" "$@"
    [ "$(grep -c '^range ' "$name.table")" -gt 5 ] || fail "no ranges in $name.table"
}
table npy x.npy
for kind in stored.npz deflated.npz x.raw one; do
    table kind "$kind"
    same npy.table kind.table
done
table first one.npy
table pb pb1
same first.table pb.table
table pb pb1/input_0.pb
same first.table pb.table
table pixels pixels.npy
table png png --mean 100 --std 50
same pixels.table png.table

# The methods differ, and say so.
for method in minmax percentile:99 entropy mse; do
    table "${method%%:*}" x.npy --calib-method $method
    says out "ranges      ${method%%:*} of 16 sets"
done
for other in minmax percentile entropy; do cmp -s mse.table $other.table && fail "mse and $other give the same ranges"; done
same npy.table mse.table

# A table comes back as the same model; an edited one changes it; a bad line is refused by its number.
run 0 quantize "$float" --calib x.npy --bias-correction off -o own.onnx
run 0 quantize "$float" --calib x.npy --bias-correction off --calib-table mse.table -o table.onnx
same own.onnx table.onnx
sed 's/^\(range "[^"]*" min=[^ ]* max=\)[^ ]*/\10x1p+3/' mse.table >wide.table
run 0 quantize "$float" --calib x.npy --bias-correction off --calib-table wide.table -o wide.onnx
cmp -s own.onnx wide.onnx && fail "an edited table changes nothing"
{ cat mse.table; echo 'range "x" min=1'; } >bad.table
run 1 quantize "$float" --calib x.npy --calib-table bad.table
one_line_error
says err "bad.table:$(wc -l <bad.table)"

# Accuracy before and after, on pictures that calibration has not seen: within half a point.
run 0 quantize "$float" --calib x.npy --input "$data/test_images.npy" --labels "$data/test_labels.npy" --json
is_json out
python3 - out <<'PY' || fail "accuracy falls by more than half a point"
import json, sys
r = json.load(open(sys.argv[1]))
assert r['images'] == 360 and r['right_before'] > 342
sys.exit(abs(r['right_before'] - r['right_after']) > 0.005 * r['images'])
PY
run 0 quantize "$float" --calib x.npy --input "$data/test_images.npy" --labels "$data/test_labels.npy"
says out "accuracy    float 9"

# The worst layer by name; kept in 16 bits it loses less, the model is ONNX of opset 21 and comes back to the same tensors.
run 0 quantize "$float" --calib x.npy --json
worst=$(python3 -c 'import json; print(json.load(open("out"))["loses_most"])')
alone() { python3 -c 'import json, sys; print([l["alone_db"] for l in json.load(open("out"))["layers"] if l["node"] == sys.argv[1]][0])' "$worst"; }
narrow=$(alone)
run 0 quantize "$float" --calib x.npy --keep-int16 "$worst" --json -o kept.onnx
kept=$(alone)
awk "BEGIN { exit !($kept > $narrow + 3) }" || fail "'$worst' in 16 bits: $narrow dB become $kept dB"
run 0 import kept.onnx -o kept.xg --text
grep -q '^tensor .* i16 ' kept.xg || fail "no 16-bit tensor came back"
run 0 compile kept.onnx -m nano -o kept.xgb
run 0 check kept.onnx kept.xgb
says out "EQUAL"
run 0 compile "$float" --calib x.npy --keep-int16 "$worst" -m zu9 -o own.xgb
run 0 check "$float" own.xgb --calib x.npy # the binary remembers the node
says out "EQUAL"

# What cannot be is refused in one line.
for bad in "--keep-int16 nowhere" "--keep-float nowhere" "--calib-method best" "--calib-method percentile:0" "--mean a,b"; do
    read -ra args <<<"$bad"
    run 2 quantize "$float" --calib x.npy "${args[@]}"
    one_line_error
done
head -c 300 x.npy >short.npy
run 1 quantize "$float" --calib short.npy
one_line_error
run 1 quantize "$float" --calib make.py
one_line_error
mkdir empty
run 1 quantize "$float" --calib empty
one_line_error
run 2 quantize "$float"

# 16 bits where they are needed: the layers named are enough, and no output is left below.
least() { python3 -c 'import json, sys; print(min(o["cosine"] for o in json.load(sys.stdin)["outputs"]) >= float(sys.argv[1]))' "$1" <out; }
if command -v python3 >/dev/null; then
    run 0 quantize "$float" --calib x.npy --json
    goal=$(python3 -c 'import json, sys; print("%.9f" % (1 - (1 - min(o["cosine"] for o in json.load(sys.stdin)["outputs"])) / 4))' <out)
    [ "$(least "$goal")" = False ] || fail "the model reaches $goal by itself"
    run 0 quantize "$float" --calib x.npy --min-cosine "$goal"
    grep -o "keep-int16 '[^']*'" out | sed "s/keep-int16 '\(.*\)'/\1/" >names
    [ -s names ] || fail "no layer was named"
    args=()
    while read -r name; do args+=(--keep-int16 "$name"); done <names
    run 0 quantize "$float" --calib x.npy --json "${args[@]}"
    [ "$(least "$goal")" = True ] || fail "the layers named do not reach $goal"
fi
run 2 quantize "$float" --calib x.npy --min-cosine 2
one_line_error
