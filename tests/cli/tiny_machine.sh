# Machines of hardly any memory: a program is made, and proved, or refused with its reason, in bounded time either way.
. "$2/tests/cli/common.inc"
model=$source_dir/examples/digits/digits_qdq.onnx

run 0 isa -m nano --form machine -o tiny.yaml
sed -i 's/^\( *fm_depth:\) .*/\1 24/; s/^\( *w_depth:\) .*/\1 36/; s/^\( *param_bytes:\) .*/\1 512/' tiny.yaml
for s in layer greedy path ilp; do
    timeout 60 "$xgc" compile "$model" -m tiny.yaml --strategy $s -o $s.xgb >out 2>err || fail "$s: $(cat err)"
    run 0 check "$model" $s.xgb -m tiny.yaml
    says out "EQUAL"
done

# maps of 4096 x 4096: tens of millions of tiles
sed 's/\[1,8,8,/[1,4096,4096,/; s/\[1,4,4,/[1,2048,2048,/; s/\[1,1,1,/[1,512,512,/' "$here/small.xg" >large.xg
for s in layer ilp; do
    timeout 60 "$xgc" compile large.xg -m tiny.yaml --strategy $s -o large.xgb >out 2>err
    [ $? = 1 ] || fail "$s: neither made nor refused"
    one_line_error
    says err "more than a plan may have"
    says err "feature maps 24 words in each of 2 banks"
done
[ -e large.xgb ] && fail "large.xgb was written"
true

# windows that no field holds: no smaller tile helps
run 0 isa -m nano --form encoding -o default_isa.yaml
awk '/^  [a-z]+:$/ { now = $1 } now == "poolinit:" && $1 == "kw:" { sub(/width: 8/, "width: 2") } { print }' default_isa.yaml >narrow_isa.yaml
for s in layer ilp; do
    run 1 compile "$source_dir/tests/data/block_spp.onnx" -m nano --encoding narrow_isa.yaml --calib random --random-weights \
        --strategy $s -o refused.xgb
    one_line_error
    says err "wants kw of instruction poolinit"
done
true
