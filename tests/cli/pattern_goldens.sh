# How often each shipped pattern matches in blocks of networks: tests/cli/pattern_goldens.txt, lines "block machine pattern
# count". XGC_UPDATE=1 prints the lines instead of comparing. And what matches can be run: a group of each family has
# strategies and a cover, and the blocks' programs are right.
. "$2/tests/cli/common.inc"
golden=$here/pattern_goldens.txt
data=$source_dir/tests/data
calib=(--calib random --random-weights)

for file in "$data"/block_*.onnx; do
    block=$(basename "$file" .onnx)
    block=${block#block_}
    for m in zu9 kv260 edge; do
        run 0 patterns "$file" -m $m "${calib[@]}"
        awk -v b="$block" -v m=$m '$3 ~ /^[0-9]+$/ && $3 > 0 {print b, m, $1, $3}
            /groups to choose from/ {print b, m, "all", $1}' out >>now
    done
done
if [ -n "${XGC_UPDATE:-}" ]; then
    cat now
    exit 0
fi
diff "$golden" now >changes || { cp changes out; fail "counts differ from $golden (XGC_UPDATE=1 prints the new lines)"; }
run 0 patterns
awk 'NR > 1 {print $1}' out | while read -r p; do
    grep -q " $p " now || { echo "FAILED: no block has a match of $p"; exit 1; }
done || exit 1

# family BLOCK NODE PATTERN: on both machines a group of the pattern with the node can be executed.
family() {
    local m
    for m in zu9 kv260; do
        run 0 explain "$data/block_$1.onnx" -m $m "${calib[@]}" --node "$2"
        awk -v p="$3:" '$1 ~ /^[0-9]+$/ && NF > 2 {mine = $2 == p; n += mine}
            mine && $1 == "cover" && /none with it/ {bad++} mine && $1 == "how" {how++}
            END {exit !(n && how == n && !bad)}' out || fail "$m: $3 cannot be executed with $2 of $1"
    done
}
family inverted depth1 inverted-residual
family inverted depth2 inverted-residual
family inverted depth3 separable
family inverted expand3 expand-depthwise
family bottleneck b2 bottleneck
family bottleneck a2 projected-block
family excite squeeze1 squeeze-excite
family excite scale2 squeeze-excite
family excite restore2 gate
family inception b4b pool-conv
family inception b2b conv-chain-2
family spp last2 pool-chain
family transposed up2_act activation-conv
family activations dense1 conv-tail
family activations depth2 conv-tail
family activations gemm5 conv-tail
family attention out conv-elementwise
family attention up conv-tail
family chain c2 conv-chain-3
family chain c2 conv-chain-4
family joins second conv-elementwise
family joins product conv-join
family joins second elementwise-tail
family joins s2 elementwise-chain
family fire expand1 siblings
family fire squeeze fire
family partial half2 siblings-activated
family inception b2a siblings
family inception b4b inception
family spp side9 siblings
family attention key siblings
family bottleneck a_proj branches

for file in "$data"/block_*.onnx; do
    for m in zu9 kv260; do
        run 0 check "$file" -m $m "${calib[@]}" --functional --fill random
    done
done
exit 0
