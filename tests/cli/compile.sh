# Model to binary and back: same bytes every time, nothing written on failure.
. "$2/tests/cli/common.inc"
cp "$here/small.xg" .

for m in nano zu2 zu9 kv260 zcu102 edge; do
    for s in layer greedy; do
        run 0 compile small.xg -m $m --strategy $s -o $m.xgb
        [ -s err ] && fail "diagnostics of a good compile"
        says out "$m.xgb: "
        cp $m.xgb first.xgb
        run 0 compile small.xg -m $m --strategy $s -o $m.xgb
        same first.xgb $m.xgb
        run 0 check small.xg $m.xgb
        says out "EQUAL"
    done
done

# the name of the output, quiet, standard output
mkdir sub && cp small.xg sub/net.xg
run 0 compile sub/net.xg -m nano -q
[ -s out ] && fail "-q printed"
[ -s net.xgb ] || fail "net.xgb is not there"
run 0 compile small.xg -m nano -o -
same out net.xgb

# assembly: the same bytes come back
run 0 disasm net.xgb -o net.xs
run 0 asm net.xs -m nano -o again.xgb
same net.xgb again.xgb
"$xgc" disasm net.xgb | "$xgc" asm - -m nano -o again.xgb || fail "a pipe through disasm and asm"
same net.xgb again.xgb
run 0 diff net.xgb again.xgb
says out "equal"

# intermediate forms, and the choice given back
run 0 compile small.xg -m nano -o a.xgb --emit-xg a.xg --emit-sel a.sel --emit-plan a.plan --emit-xs a.xs --depfile a.d --json
is_json out
for f in a.xg a.sel a.plan a.xs; do [ -s $f ] || fail "$f is not there"; done
[ "$(cat a.d)" = "a.xgb: small.xg" ] || fail "depfile: $(cat a.d)"
run 0 compile small.xg -m nano -o b.xgb --sel a.sel --emit-xs b.xs
grep -v '^strategy\|^solver' a.xs >a
grep -v '^strategy\|^solver' b.xs >b
same a b
cp a.xg a.txt
run 1 compile a.txt -m nano
says err "a.txt: text form of an XGraph"
run 1 compile a.xg -m nano
says err "printed without data"
run 0 isa -m nano --form machine -o 'my machine.yaml'
run 0 compile small.xg -m 'my machine.yaml' -o c.xgb --depfile c.d
says c.d 'c.xgb: small.xg my\ machine.yaml'

# everything that was read is in the depfile: the encoding that a machine names, patterns, external data
run 0 isa -m nano --form encoding -o words.yaml
sed 's/^encoding: .*/encoding: words.yaml/' 'my machine.yaml' >mine.yaml
cp "$source_dir/fusion/patterns.yaml" own.yaml
cp "$source_dir/tests/data/external.onnx" "$source_dir/tests/data/external.bin" .
run 0 compile external.onnx --calib random -m mine.yaml --patterns own.yaml -o d.xgb --depfile d.d
for f in external.onnx external.bin mine.yaml words.yaml own.yaml; do
    grep -qE " $f( |\$)" d.d || fail "$f is not in the depfile: $(cat d.d)"
done
[ "$(wc -w <d.d)" = 6 ] || fail "depfile: $(cat d.d)"

# a report folder
run 0 compile small.xg -m zu9 -o r.xgb --report rep
for f in report.txt report.json layers.csv timeline.svg graph.xg.txt groups.sel tiles.plan program.xs; do
    [ -s rep/$f ] || fail "rep/$f is not there"
done
is_json rep/report.json

# failures: exit 1, one line, nothing written
for bad in "nothere.xg" "$here/common.inc"; do
    run 1 compile "$bad" -m nano -o bad.xgb --depfile bad.d --report badrep
    one_line_error
    [ -e bad.xgb ] || [ -e bad.d ] || [ -e badrep ] && fail "a failed compile of $bad wrote something"
done
run 1 compile small.xg -m nosuchmachine -o bad.xgb
one_line_error
says err "nosuchmachine"
run 2 compile small.xg -m nano --strategy nosuch -o bad.xgb
one_line_error
says err "nosuch"
run 1 compile small.xg -m nano -o nofolder/bad.xgb
one_line_error
cp net.xgb keep.xgb
run 1 compile nothere.xg -m nano -o keep.xgb
same net.xgb keep.xgb
run 1 run net.xgb -m zu9
one_line_error
head -c 1000 net.xgb >cut.xgb
run 1 run cut.xgb
one_line_error
exit 0
