# A model on the reference interpreter: as it stands, for a machine, with all that it computes on the way.
. "$2/tests/cli/common.inc"
model=$source_dir/examples/digits/digits.onnx
images=$source_dir/examples/digits/test_images.npy

run 0 run "$model" --input "$images" --output-dir float
says out "computed by the reference interpreter, in float"
run 0 run "$model" --input "$images" --calib "$source_dir/examples/digits/calibration_images.npy" -m zu9 --output-dir zu9
says out "arithmetic of zu9"
cmp -s float/probability.npy zu9/probability.npy && fail "quantised and float results are equal"

# the simulated binary has the interpreter's results, byte for byte
run 0 compile "$model" -m zu9 --calib "$source_dir/examples/digits/calibration_images.npy" -o digits.xgb
run 0 run digits.xgb --input "$images" --output-dir simulated -q
same zu9/probability.npy simulated/probability.npy

# all tensors
cp "$here/small.xg" .
run 0 run small.xg --fill random:3 --output-dir out1 -q
run 0 run small.xg --fill random:3 --intermediates --output-dir out2 -q
for f in out1/*.npy; do same "$f" "out2/${f#*/}"; done
[ "$(ls out2 | wc -l)" -gt "$(ls out1 | wc -l)" ] || fail "no intermediate tensors were written"

run 2 run small.xg --cycles
one_line_error
run 2 run digits.xgb --intermediates
one_line_error
run 1 run missing.onnx
one_line_error
