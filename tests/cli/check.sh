# The verdict: equal, different with the first wrong instruction named, in all forms.
. "$2/tests/cli/common.inc"
cp "$here/small.xg" .

run 0 compile small.xg -m nano --strategy layer -o good.xgb
run 0 check small.xg good.xgb -v
says out "random: every tensor"
says out "random: shuffled engine order"
says out "random: cycle simulator"
says out "zero: every tensor"
run 0 check small.xg -m zu9 --thorough
run 0 check small.xg good.xgb --fill random:3 --fill max --json
is_json out
says out '"verdict": "equal"'
run 0 check small.xg good.xgb --tap --fill zero --functional
says out "1..2"
grep -q "^not ok" out && fail "TAP of a good program"
run 0 check small.xg good.xgb -q
[ -s out ] && fail "-q printed"

# a program with one wrong bound: what it makes is named, the rest is not at fault
run 0 disasm good.xgb -o good.xs
awk '/^ *convinit / { n++; if (n == 2) sub(/ hi=127/, " hi=3") } { print }' good.xs >bad.xs
cmp -s good.xs bad.xs && fail "the test could not change the program"
run 0 asm bad.xs -m nano -o bad.xgb
run 1 check small.xg bad.xgb --junit result.xml --fill random:1
says out "DIFFERENT"
says out "node onnx_body"
says out "got 3"
says out "conv "
says out "groups at fault by themselves: 1 of"
says result.xml "<failure"
grep -q "$dir" result.xml && fail "a path in the verdict"
run 1 check small.xg bad.xgb --json --fill random:1
is_json out
says out '"node": "onnx_body"'
run 1 check small.xg bad.xgb --tap --fill random:1
grep -q "^not ok" out || fail "TAP of a bad program"
run 1 diff good.xgb bad.xgb
says out "convinit"
says out "1 difference"
run 1 diff good.xgb bad.xgb --json
is_json out

# inputs from files, and wrong ones
python3 - <<'PY' 2>/dev/null || { echo "skipped: inputs from files (no python3)"; exit 0; }
import struct
def npy(path, shape, data):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)
    head = head.ljust(117) + "\n"
    open(path, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)
values = [((i * 37) % 255 - 127) / 64.0 for i in range(2 * 8 * 8 * 3)]
npy("two.npy", (2, 8, 8, 3), struct.pack("<384f", *values))
npy("odd.npy", (2, 8, 8, 4), struct.pack("<512f", *([0.0] * 512)))
PY
run 0 check small.xg good.xgb --input two.npy
says out "2 input sets"
run 1 check small.xg good.xgb --input odd.npy
one_line_error
says err "[2,8,8,4]"
run 0 run good.xgb --input two.npy --output-dir outputs --json
is_json out
[ -s outputs/scores.npy ] || fail "no output file"
cp out in_order
run 0 run good.xgb --input two.npy --shuffle 5 --json
same in_order out
run 0 run good.xgb --input two.npy --cycles
says out "cycles"
run 2 run good.xgb --input two.npy --fill zero
run 2 check small.xg good.xgb --fill random:x

# a tensor that is only seen through a view of all its elements was compared with that
cp "$source_dir/tests/data/block_transposed.onnx" .
run 0 compile block_transposed.onnx -m nano --calib random -o t.xgb
run 0 check block_transposed.onnx t.xgb --calib random
says out "EQUAL"
grep -q "up1_act.2 (0 of" out && fail "a tensor that its view shows is called incomplete"
exit 0
