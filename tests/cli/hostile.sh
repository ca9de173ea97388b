# What a hostile or broken input may do: one line and status 1, in seconds, and nothing written. Each check stands for a
# class; tests/campaign/fuzz.sh looks for more, of which the last part runs some.
. "$2/tests/cli/common.inc"
cp "$here/small.xg" .
run 0 compile small.xg -m nano -o small.xgb -q

refused() { # refused ARGS...: status 1, one line that is not long, no file called result
    run 1 "$@"
    one_line_error
    [ "$(wc -c <err)" -lt 2000 ] || fail "a long line: xgc $*"
    [ -e result ] && fail "xgc $* left a file"
    find . -name '.xgc-*' | grep -q . && fail "xgc $* left a temporary file"
    return 0
}

# numbers that no tensor has
for edit in 's/scale=0x1p-6/scale=nan/' 's/scale=0x1p-6/scale=inf/' 's/scale=0x1p-6/scale=-0x1p-6/' 's/scale=0x1p-6/scale=0/' \
    's/\[1,8,8,3\]/[1,8,8,3000000000000]/' 's/\[1,8,8,3\]/[65536,65536,65536,65536]/' 's/\[1,8,8,3\]/[0,8,8,3]/' \
    's/\[1,8,8,3\]/[-1,8,8,3]/' 's/kernel_h=3/kernel_h=2147483647/' 's/stride_h=2/stride_h=0/' 's/pad_t=1/pad_t=2147483647/' \
    's/pad_t=1/pad_t=-1/' 's/in=\["image_q"/in=["scores"/' 's/,"stem_w"/,"nowhere"/' 's/data=hex:/data=hex:zz/'; do
    sed "$edit" small.xg >bad.xg
    cmp -s small.xg bad.xg && fail "no effect: $edit"
    refused compile bad.xg -m nano -o result
done
for f in "$source_dir"/tests/data/bad_*.onnx "$source_dir"/tests/data/external_*.onnx; do
    case $f in */bad_constant_output.onnx | */bad_read_otherwise.onnx) continue ;; esac # accepted by now
    run 1 import "$f" --calib random -o result
    [ -s err ] || fail "no word about $f"
    grep -qv '^xgc: error: ' err && fail "a line that is no error for $f"
    [ -e result ] && fail "$f left a file"
done

# a name as long as the file, and one with control characters
long=$(head -c 100000 /dev/zero | tr '\0' n)
sed "s/\"stem\"/\"$long\"/; s/kernel_h=3/kernel_x=3/" small.xg >bad.xg
refused compile bad.xg -m nano -o result
printf 'graph "a\033[31m\007" format=9\n' >bad.xg
refused import bad.xg -o result
grep -q "$(printf '\033')" err && fail "an escape reached the terminal"

# nesting: protobuf groups of groups, YAML of sequences, text of brackets
i=0; deep=; while [ $i -lt 5000 ]; do deep="$deep["; i=$((i + 1)); done
printf 'name: %s\n' "$deep" >bad.yaml
refused machines -m bad.yaml
refused compile small.xg -m nano --encoding bad.yaml -o result
refused patterns --patterns bad.yaml
printf 'a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n' >bad.yaml
refused machines -m bad.yaml
printf 'graph "x" format=1\ntensor "t" f32 %s\n' "$deep" >bad.xg
refused import bad.xg -o result
# ModelProto.graph (field 7) inside itself, each length right: 60 levels of subgraphs in attributes are no graph
{ printf '\072\377\377\377\377\017'; head -c 4000 /dev/zero | tr '\0' ':'; } >bad.onnx
refused import bad.onnx -o result

# a long chain of nodes: no deep recursion, no time that grows without bound
chain() { # chain NODES
    awk -v n="$1" 'BEGIN {
        print "graph \"chain\" format=1\ntensor \"x0\" i8 [1,4,4,4] scale=0x1p-4 zp=0"
        for (i = 1; i <= n; i++) printf "tensor \"x%d\" i8 [1,4,4,4] scale=0x1p-4 zp=0\n", i
        print "input \"x0\""
        for (i = 1; i <= n; i++) printf "node Add \"n%d\" in=[\"x%d\",\"x%d\"] out=[\"x%d\"]\n", i, i - 1, i - 1, i
        printf "output \"x%d\"\n", n }'
}
chain 20000 >chain.xg
run 0 import chain.xg -o chain20000.xg
chain 300 >chain.xg
run 0 check chain.xg -m nano --functional

# no room: the output is not written, an old one stays
run 1 disasm small.xgb -o /dev/full
one_line_error
says err "No space left"
cp small.xgb old.xgb
(ulimit -f 1; trap '' XFSZ; "$xgc" compile small.xg -m nano -o old.xgb >out 2>err) && fail "a file beyond the limit was written"
one_line_error
same small.xgb old.xgb
[ -z "$(find . -name '.xgc-*')" ] || fail "a temporary file is left"
"$xgc" disasm small.xgb >/dev/full 2>err && fail "standard output was full and nobody said so"
one_line_error

# a slice of the campaign
fuzz=$(dirname "$xgc")/tests/fuzz
if [ -x "$fuzz" ]; then
    TMPDIR=$dir bash "$source_dir/tests/campaign/fuzz.sh" "$(dirname "$xgc")" 60 900001 >out 2>err || fail "the fuzzer found something"
    says out "0 findings"
fi
exit 0
