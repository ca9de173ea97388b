# The choice as a file: written, edited by hand, given back; faults are named with line and column.
. "$2/tests/cli/common.inc"
model=$source_dir/examples/digits/digits_qdq.onnx

for s in ilp path greedy layer; do
    run 0 compile "$model" -m edge --strategy $s -o $s.xgb --emit-sel $s.sel
    run 0 compile "$model" -m edge --sel $s.sel -o again.xgb --emit-sel again.sel
    run 0 disasm $s.xgb -o a.xs
    run 0 disasm again.xgb -o b.xs
    grep -v '^program\|^strategy\|^solver' a.xs >a
    grep -v '^program\|^strategy\|^solver' b.xs >b
    says b.xs 'strategy "file"'
    same a b
    same $s.sel again.sel
done

renumber() { awk '/^group/ {$2 = n++} {print}'; }
# By hand: two layers as one group; another tile and loop order; a map kept on chip.
sed -e 's/nodes=\["res2.conv"\]/nodes=["res2.conv","res.add"]/' -e '/nodes=\["res.add"\]/d' layer.sel | renumber >fused.sel
run 0 check "$model" -m edge --sel fused.sel
run 0 compile "$model" -m edge --sel fused.sel -o fused.xgb --emit-sel out.sel
grep -q 'nodes=\["res2.conv","res.add"\]' out.sel || fail "the group was not kept"
sed -e '/"res1.conv"/s/tile=\[[0-9,]*\]/tile=[8,4,16]/' -e '/"res2.conv"/s/order=map/order=weight/' fused.sel >tiles.sel
run 0 check "$model" -m edge --sel tiles.sel
run 0 compile "$model" -m edge --sel tiles.sel -o tiles.xgb
cmp -s fused.xgb tiles.xgb && fail "another tile changes nothing"
kept=$(sed -n 's/.* tensor "\([^"]*res1[^"]*\)" i8 .*/\1/p; s/^tensor "\([^"]*res1[^"]*\)" i8 .*/\1/p' \
    <("$xgc" import "$model" -m edge --text -o -) | grep -v '_w\|_b\|weight\|bias\|\.w\|\.b' | head -1)
[ -n "$kept" ] || fail "no map of res1"
{ cat fused.sel; echo "stay \"$kept\""; } >stay.sel
run 0 check "$model" -m edge --sel stay.sel
run 0 compile "$model" -m edge --sel stay.sel -o stay.xgb --emit-sel out.sel
says out.sel "stay \"$kept\""

# bad LINE:COLUMN MESSAGE EDIT [FILE]: the edit makes the one fault
bad() {
    sed -e "$3" "${4:-layer.sel}" >bad.sel
    cmp -s bad.sel "${4:-layer.sel}" && fail "'$3' edits nothing"
    rm -f bad.xgb
    run 1 compile "$model" -m edge --sel bad.sel -o bad.xgb
    one_line_error
    says err "bad.sel$1: "
    says err "$2"
    [ -e bad.xgb ] && fail "a faulty choice was compiled"
    return 0
}
bad :1 "expected: selection" 's/^selection/selected/'
bad :1 "'note='" 's/ note=.*//'
bad :1:20 "unknown field 'speed='" '1s/strategy=/speed=9 strategy=/'
bad :2:7 "group 7 stands where group 0 is due" 's/^group 0/group 7/'
bad :2:9 "accel or on host" 's/^group 0 host/group 0 gpu/'
bad :5:32 "no node 'nobody'" 's/"res1.conv"/"nobody"/'
bad :6:32 "is in two groups" 's/"res2.conv"/"res1.conv"/'
bad :5:52 "tile=" '5s/tile=\[[0-9,]*\]/tile=[8,8]/'
bad :5:52 "outside 0 to 65535" '5s/tile=\[[0-9,]*\]/tile=[8,70000,16]/'
bad :5:74 "order=" '5s/order=map/order=both/'
bad :5:103 "unknown field 'fodl='" '5s/fold=0/fold=0 fodl=1/'
bad :5 "'resident=' is missing" '5s/ resident=0//'
bad :5 "the tile's 17 channels are no multiple of the array's 16" '5s/tile=\[[0-9,]*\]/tile=[8,8,17]/'
bad :5 "its first node cannot be folded" '5s/fold=0/fold=1/'
bad "" "cannot stay on chip" '$a stay "image.dequantized"'
bad :6:6 "no such tensor" '6i stay "nothing"'
sed '/"res1.conv"/d' layer.sel | renumber >bad.sel
run 1 compile "$model" -m edge --sel bad.sel -o bad.xgb
one_line_error
says err "bad.sel: node 'res1.conv' is in no group"
# res.add reads the stem's result too
sed -e 's/"res1.conv"/"stem.conv","res1.conv"/' -e '4d' layer.sel | renumber >bad.sel
run 1 compile "$model" -m edge --sel bad.sel -o bad.xgb
one_line_error
says err "bad.sel:4: group 2 with 'stem.conv' is not possible: an inner tensor is read outside the group"
awk '/"res1.conv"/ {held = $0; next} {print} /"res2.conv"/ {print held}' layer.sel | renumber >bad.sel
run 1 compile "$model" -m edge --sel bad.sel -o bad.xgb
one_line_error
says err "bad.sel:5: group 3 runs before node 'res1.conv' that it reads from"
run 1 compile "$model" -m edge --sel missing.sel -o bad.xgb
one_line_error
exit 0

# Groups that cores share by images, by rows and by channels, in any mixture, more images than cores.
batch() { run "$1" "$2" "$source_dir/examples/digits/digits.onnx" -m zu9 --batch 8 \
    --calib "$source_dir/examples/digits/calibration_images.npy" "${@:3}"; }
batch 0 compile --strategy layer -o batch.xgb --emit-sel batch.sel
for first in 0 1 2; do
    awk -v n=$first '/ accel / && / batched=1/ && n++ % 3 == 0 {
            sub(/split=[a-z]+/, n % 2 ? "split=rows" : "split=channels")
            sub(/ batched=1/, "")
        }
        { print }' batch.sel >mixed.sel
    grep -q 'split=channels' mixed.sel || fail "no mixture"
    batch 0 check --sel mixed.sel --functional
    says out "EQUAL"
done
