# The report and the tables.
. "$2/tests/cli/common.inc"
cp "$here/small.xg" .

run 0 report small.xg -m zu9
for word in model machine time work bounds "array fit" DDR memory engine layers; do says out "$word"; done
[ "$(wc -l <out)" -le 60 ] || fail "more than a screen"
says out "the accelerator has no Softmax"
run 0 report small.xg -m nano --json
is_json out
says out '"compute_bound_cycles"'
run 0 report small.xg -m nano --csv
[ "$(head -1 out | tr ',' '\n' | wc -l)" = "$(sed -n 2p out | tr ',' '\n' | wc -l)" ] || fail "CSV columns"
run 0 report small.xg -m nano --svg
says out "</svg>"
run 0 report small.xg -m nano --trace
is_json out
cp out trace.json
run 0 report small.xg -m nano --json
for engine in LOAD SAVE CONV MISC; do # the trace has the instructions that the report counts
    grep -q "\"name\": \"$engine\"" trace.json || fail "no thread $engine"
done
[ "$(grep -c '"ph": "X"' trace.json)" -le "$(sed -n 's/^  "instructions": \([0-9]*\),/\1/p' out)" ] || fail "instructions"
[ "$(grep -c '"ph": "X"' trace.json)" -gt 10 ] || fail "empty trace"
run 0 compile small.xg -m nano -o s.xgb
run 0 report s.xgb --dir there
for f in report.txt report.json layers.csv timeline.svg; do [ -s there/$f ] || fail "$f"; done
cycles=$(sed -n 's/.*"cycles": \([0-9]*\),/\1/p' there/report.json | head -1)
run 0 run s.xgb --cycles
says out "$cycles cycles"

run 0 machines
for m in nano zu2 zu9 kv260 zcu102 edge; do grep -q "^$m " out || fail "machine $m"; done
run 0 machines --json
is_json out
run 0 ops -m zu9
grep -qE "^Conv +accelerator" out || fail "Conv does not run on the accelerator"
grep -qE "^Softmax +host" out || fail "Softmax does not run on the host"
grep -qE "^BatchNorm +float only" out || fail "BatchNorm has no 8-bit form"
run 0 ops --json
is_json out
for form in md h sv encoding machine; do
    run 0 isa -m nano --form $form
    [ "$(wc -l <out)" -gt 20 ] || fail "isa --form $form is short"
done
run 2 isa -m nano --form nonsense
one_line_error
run 0 import small.xg -o copy.xg
run 0 compile copy.xg -m nano -o copy.xgb
run 0 check small.xg copy.xgb --fill random:2
run 0 import small.xg --text -m zu9 -o -
says out 'node Softmax'

# a quantised model in a machine's own requantisation: how far that is from what the model states
qdq=$source_dir/examples/digits/digits_qdq.onnx
run 0 report "$qdq" -m zu9 --json
is_json out
says out '"output_difference"'
run 0 check "$qdq" -m zu9 --functional
says out "requantisation: the model states binary32 scales"
says out "layers differ"
run 0 check "$qdq" -m nano --functional
grep -q requantisation out && fail "nano computes as the model states"
run 0 compile "$qdq" -m edge -o edge.xgb
says out "no element differs"
run 0 compile "$qdq" -m zu9 --difference never -o a.xgb
says out "not measured"
run 0 compile "$qdq" -m zu9 -q -o b.xgb
same a.xgb b.xgb
run 2 compile "$qdq" -m zu9 --difference sometimes
one_line_error
exit 0
