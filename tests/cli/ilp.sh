# --patterns changes the choice of groups; --dump-ilp writes the program that another solver confirms.
. "$2/tests/cli/common.inc"
model=$source_dir/examples/digits/digits_qdq.onnx

cat >own.yaml <<'YAML'
patterns:
  - name: only-pair
    vertices:
      - {id: first, op: [Conv]}
      - {id: second, op: [MaxPool]}
YAML
run 0 compile "$model" -m edge -o a.xgb --patterns own.yaml --emit-sel a.sel --dump-ilp a.lp
grep -q conv- a.sel && fail "a shipped pattern was used"
run 0 check "$model" -m edge --patterns own.yaml
run 0 compile "$model" -m edge -o b.xgb --emit-sel b.sel --dump-ilp b.lp
cmp -s a.lp b.lp && fail "the pattern file changes nothing"
sed 's/op: \[MaxPool\]/op: [Softmax]/' own.yaml >bad.yaml
run 1 compile "$model" -m edge -o c.xgb --patterns bad.yaml
one_line_error
says err "bad.yaml:5:"
run 1 compile "$model" -m edge -o c.xgb --patterns missing.yaml
one_line_error
run 2 compile "$model" -m edge -o c.xgb --strategy greedy --dump-ilp c.lp
one_line_error
[ -e c.lp ] && fail "c.lp was written"

# The solver starts from the path, whose value is therefore never smaller; both are printed.
run 0 compile "$model" -m edge -o p.xgb --strategy path --emit-sel p.sel
run 0 check "$model" -m edge --strategy path
path=$(sed -n 's/.*path: .* value \([0-9]*\),.*/\1/p' p.sel | head -1)
ilp=$(sed -n 's/.*ilp: .* value \([0-9]*\),.*/\1/p' b.sel | head -1)
[ "$path" -ge "$ilp" ] || fail "path is $path, ilp $ilp"
says b.sel "simulated cycles: ilp "
says b.sel ", path "
run 2 compile "$model" -m edge -o q.xgb --strategy best
one_line_error

for f in a b; do
    says $f.lp "Subject To"
    ours=$(sed -n 's/.*ilp: .* value \([0-9]*\),.*/\1/p' $f.sel | head -1)
    [ -n "$ours" ] || fail "the solver's value is nowhere"
    command -v glpsol >/dev/null || continue
    glpsol --lp $f.lp -o $f.sol >glpsol.log 2>&1 || fail "glpsol: $(tail -3 glpsol.log)"
    theirs=$(sed -n 's/^Objective:.*= *\([0-9.e+]*\).*/\1/p' $f.sol)
    awk -v a="$ours" -v b="$theirs" 'BEGIN { exit !(a >= b - 1 && a <= b * 1.0001 + 1) }' ||
        fail "$f: ours is $ours, glpsol's $theirs"
done
exit 0
