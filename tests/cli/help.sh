# Every command explains itself; wrong usage ends with 2 and one line.
. "$2/tests/cli/common.inc"

run 0 --version
grep -qE '^xgc [0-9]+\.[0-9]+\.[0-9]+$' out || fail "odd version"
run 0 --help
commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' out)
[ "$(echo "$commands" | wc -l)" -ge 11 ] || fail "commands are missing from the usage"
for c in $commands; do
    run 0 "$c" --help
    [ -s err ] && fail "$c --help wrote to standard error"
    says out "Usage: xgc $c"
    says out "Options:"
    [ "$(sed -n '/^Examples:/,$p' out | grep -c "xgc $c")" -ge 2 ] || fail "$c has less than two examples"
    [ "$(awk 'length > 110' out | wc -l)" = 0 ] || fail "$c --help has long lines"
    grep -qE ' $' out && fail "$c --help has trailing blanks"
    cp out a
    run 0 help "$c"
    same a out
    run 2 "$c" --no-such-option
    one_line_error
    says err "--no-such-option"
done
run 2
one_line_error
run 2 nonsense
one_line_error
says err "nonsense"
run 2 compile
says err "MODEL"
run 2 compile a.onnx -m
says err "needs an argument"
run 2 compile a.onnx
says err "xgc machines"
run 2 compile a.onnx b.onnx -m nano
says err "b.onnx"
run 2 run a.xgb --shuffle=no
says err "--shuffle"
run 2 compile "$here/small.xg" -m nano --batch=-1
