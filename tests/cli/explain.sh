# Why groups are as they are: sums that add up, names, pairs, and what is refused.
. "$2/tests/cli/common.inc"
model=$source_dir/examples/digits/digits_qdq.onnx

# --- all groups: a line each, and totals
run 0 explain "$model" -m kv260
says out "digits on kv260, strategy ilp: "
says out "the accelerator has no Softmax"
says out "gap "
says out "simulated cycles: ilp "
cp out all
run 0 compile "$model" -m kv260 -o a.xgb --emit-sel a.sel
[ "$(grep -c '^group' a.sel)" = "$(grep -cE '^ +[0-9]+  ' all)" ] || fail "not one line a group"
sum=$(sed -n 's/.* cost=\([0-9]*\)$/\1/p' a.sel | awk '{s += $1} END {print s}')
said=$(sed -n 's/^predicted  \([0-9,]*\) cycles.*/\1/p' all | tr -d ,)
[ "$sum" = "$said" ] || fail "the groups cost $sum cycles, not $said"

# --- a node: terms sum up in every candidate, the best cover is the first
sums() { # every "X = A text + B text ..." line of the file
    awk '/^      (CONV|LOAD|SAVE|DDR|cycles) .* = / {
        line = $0
        gsub(/,/, "", line)
        sub(/;.*/, "", line)
        n = split(line, w, " ")
        total = w[2]; s = 0; sign = 1
        for (i = 4; i <= n; i++) {
            if (w[i] ~ /^[0-9]+$/ && (w[i-1] == "=" || w[i-1] == "+")) s += w[i]
            if (w[i] ~ /^[0-9]+$/ && w[i-1] == "-") s -= w[i]
        }
        if (s != total) { print "does not add up: " $0; bad = 1 }
        lines++
    } END { exit bad || lines < 5 }' "$1"
}
run 0 explain "$model" -m kv260 --node res2.conv
sums out || fail "sums"
[ "$(grep -c 'in the best cover$' out)" = 1 ] || fail "the node is in one group of the best cover"
says out "alone: res2.conv"
says out "conv-join: stem.conv + res2.conv + res.add"
says out "in the cycle simulator: as many as what is chosen"
says out "      the result of 'stem.conv' is also read outside, by 'res1.conv'"
chosen=$(sed -n 's/^  chosen     group \([0-9]*\), .*/\1/p' out)
grep "^ *$chosen  " all | grep -q "res2.conv" || fail "group $chosen is another one"
best=$(sed -n 's/^best cover   \([0-9,]*\) .*/\1/p' out)
value=$(sed -n 's/^solver .* value \([0-9]*\),.*/\1/p' all)
# The covers here are estimated; the value is that of the program which knows what was built.
grep -q "built from iterated" all || [ $((16 * ${best//,/})) -le "$value" ] ||
    fail "the best cover takes $best cycles, its value is $value"
grep -q "built from" all && says out "which the cycle simulator found faster"
cp out node
run 0 explain "$model" -m kv260 --node res2.conv
same out node
run 0 explain "$model" -m kv260 --node res2.norm.quantized -o named
same named node

# --- a machine without room
sed -e '/fm_depth/s/: *[0-9]*/: 16/' "$source_dir/isa/machines/kv260.yaml" >small.yaml
run 0 explain "$model" -m small.yaml --node res2.conv
says out "feature maps: the smallest tile wants "
awk '/words a bank, the machine has/ { gsub(/[,(]/, ""); for (i = 1; i < NF; i++) {
        if ($i == "wants") a = $(i+1); if ($i == "has") b = $(i+1); if ($(i+1) == "short)") c = $i }
        if (a - b != c) exit 1; n++ } END { exit !n }' out || fail "the words short are wrong"

# --- host nodes, pairs
run 0 explain "$model" -m kv260 --node softmax
says out "runs on    the host: the accelerator has no Softmax"
pair() { # pair A B: explained, and the answer is what the .sel says
    run 0 explain "$model" -m kv260 --pair "$1,$2"
    if [ "$(grep -c "\"$1\".*\"$2\"" a.sel)" = 1 ]; then
        says out "they are in one group"
    else
        says out "they are not in one group"
    fi
}
pair res2.conv res.add
says out "'res.add' reads the result of 'res2.conv'"
says out "apart  "
says out "measured     apart: "
sums out || fail "sums"
pair stem.conv res1.conv
says out "which is read by others too: 'res.add'"
pair stem.conv wide.conv
says out "no pattern matches both"
says out "the shortest way: stem.conv, "
cat >own.yaml <<'END'
patterns:
  - name: picky
    vertices:
      - {id: first, op: [Conv], stride_min: 2}
      - {id: sum, op: [Add]}
END
run 0 explain "$model" -m kv260 --pair res2.conv,res.add --patterns own.yaml
says out "picky: res2.conv + res.add"
says out "'res2.conv' does not meet 'stride_min: 2' of vertex first"

# --- other choices
for s in greedy layer; do
    run 0 explain "$model" -m kv260 --strategy $s --node res2.conv
    says out "what is chosen is not the best cover: strategy $s"
done
run 0 explain "$model" -m kv260 --sel a.sel
says out "strategy file"
grep -v '^compared\|^solver\|, strategy ' all >a
grep -v '^compared\|^solver\|, strategy ' out >b
same a b
grep -q '^compared\|^solver' out && fail "what a solver said of a file that may have been edited"
run 0 explain "$model" -m kv260 --sel a.sel --node res2.conv
says out "what is chosen was given: a.sel"

# --- refused
run 1 explain "$model" -m kv260 --node res2con
one_line_error
says err "near: res2.conv"
run 1 explain "$model" -m kv260 --pair res2.conv,nobody
one_line_error
says err "'nobody'"
run 2 explain "$model" -m kv260 --pair res2.conv
one_line_error
run 2 explain "$model" -m kv260 --pair res2.conv,pool --node pool
one_line_error
run 2 explain "$model"
one_line_error

# --- the same as JSON: the terms add up, and the figures are those of the text
for question in "" "--node res2.conv" "--pair stem.conv,res2.conv" "--pair res1.conv,pool"; do
    run 0 explain "$model" -m kv260 $question --json
    is_json out
done
run 0 explain "$model" -m kv260 --node res2.conv
mv out text
run 0 explain "$model" -m kv260 --node res2.conv --json
[ "$(grep -c '"possible": true' out)" = "$(grep -cE '^ +[0-9]+  [a-z]' text)" ] || fail "candidates in JSON"
[ "$(sed -n 's/^ *"conv_cycles": \([0-9]*\),/\1/p' out)" = "$(sed -n 's/^      CONV    \([0-9,]*\).*/\1/p' text | tr -d ,)" ] ||
    fail "CONV cycles in JSON"
awk -F': |,' '
    /"conv_cycles"/ { total = $2; sum = 0 }
    /"conv_(every|channels|rows|tiling)/ { sum += $2 }
    /"misc_cycles"/ { n++; if (sum != total) bad = 1 }
    END { exit bad || n < 3 }' out || fail "CONV terms in JSON do not add up"
exit 0
