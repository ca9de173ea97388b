# The pattern library on paper, with a model, and a user's own.
. "$2/tests/cli/common.inc"

run 0 patterns
says out "inverted-residual"
says out "(Lut|Clip)?"
grep -q matches out && fail "matches without a model"
run 0 patterns --json
is_json out
run 2 patterns -m zu9
one_line_error
run 2 patterns "$here/small.xg"
one_line_error
says err "-m"

run 0 patterns "$source_dir/examples/digits/digits_qdq.onnx" -m edge
says out "groups to choose from"
want=$(sed -n 's/^digits edge conv-chain-2 //p' "$source_dir/tests/unit/pattern_counts.txt")
got=$(awk '$1 == "conv-chain-2" {print $3}' out)
[ "$got" = "$want" ] || fail "conv-chain-2 matches '$got' times, expected '$want'"
run 0 patterns "$source_dir/examples/digits/digits_qdq.onnx" -m edge --json
is_json out
says out '"matches"'

cat >own.yaml <<'END'
patterns:
  - name: pair
    vertices:
      - {id: first, op: [Conv]}
      - {id: second, op: [Conv]}
END
run 0 patterns --patterns own.yaml
[ "$(wc -l <out)" = 2 ] || fail "expected one pattern"
says out "Conv Conv"
sed 's/id: second, op: \[Conv\]/id: second, op: [Softmax]/' own.yaml >bad.yaml
run 1 patterns --patterns bad.yaml
one_line_error
says err "bad.yaml:5:27: "
says err "Softmax"
run 1 patterns --patterns missing.yaml
one_line_error
