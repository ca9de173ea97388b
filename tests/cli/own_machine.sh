# A machine and an encoding of the user's own: two files, no rebuild. Compiles, proves, round trips; files of other
# machines and encodings are refused with both sides named.
. "$2/tests/cli/common.inc"
model=$source_dir/examples/digits/digits_qdq.onnx

# another array, depths, clock, cores; counters and queues as small as they may be
run 0 isa -m zu9 --form machine -o ours.yaml
for edit in name=ours cores=2 clock_mhz=212.5 pp=4 icp=8 ocp=8 fm_depth=3000 w_depth=777 param_bytes=10000 \
    misc_rows=3 token_max=2 queue_depth=1 port_bytes=24 encoding=ours_isa.yaml; do
    key=${edit%%=*}
    grep -q "^ *$key: " ours.yaml || fail "no field $key"
    sed -i "s/^\( *\)$key: .*/\1$key: ${edit#*=}/" ours.yaml
done

# every bit elsewhere: words mirrored, their order turned round (but the first), other opcodes
run 0 isa -m zu9 --form encoding -o default_isa.yaml
awk '
/^name: /            { print "name: ours"; next }
/^    opcode: /      { print "    opcode:", 31 - $2; next }
/^    words: /       { words = $2 }
match($0, /lsb: [0-9]+, width: [0-9]+/) {
    split(substr($0, RSTART, RLENGTH), n, /[:,] */)
    sub(/lsb: [0-9]+/, "lsb: " 32 - n[2] - n[4])
    match($0, /word: [0-9]+/)
    w = substr($0, RSTART + 6, RLENGTH - 6)
    if (w > 0) sub(/word: [0-9]+/, "word: " words - w)
}
{ print }' default_isa.yaml >ours_isa.yaml

run 0 machines -m ours.yaml
says out "ours"
for s in layer greedy ilp; do
    run 0 compile "$model" -m ours.yaml --strategy $s -o $s.xgb
    run 0 check "$model" $s.xgb -m ours.yaml
    says out "EQUAL"
    grep "in part" out && fail "a tensor is called incomplete"
    run 0 disasm $s.xgb -m ours.yaml -o $s.xs
    run 0 asm $s.xs -m ours.yaml -o again.xgb
    same $s.xgb again.xgb
done

# the encoding alone, for a shipped machine: other words, the same program
run 0 compile "$model" -m nano -o nano.xgb
run 0 compile "$model" -m nano --encoding ours_isa.yaml -o turned.xgb
cmp -s nano.xgb turned.xgb && fail "the encoding had no effect"
run 0 check "$model" turned.xgb -m nano --encoding ours_isa.yaml
says out "EQUAL"
run 0 disasm nano.xgb -o nano.xs
run 0 disasm turned.xgb -m nano --encoding ours_isa.yaml -o turned.xs
diff <(sed 1,2d nano.xs) <(sed 1,2d turned.xs) || fail "another program"

# refused, with both sides
run 1 check "$model" turned.xgb -m nano
says err "built with the encoding of digest"
run 1 check "$model" nano.xgb -m ours.yaml
says err "built for machine nano"
says err "given is ours"
run 1 check "$model" layer.xgb
says err "give its file with -m"

# manuals of that machine and encoding
for form in md h sv; do
    run 0 isa -m ours.yaml --form $form -o isa.$form
    says isa.$form "ours"
done
if command -v cc >/dev/null; then
    printf '#include "isa.h"\nint main(void) { return XGC_MACHINE_PP != 4 || XGC_OP_LOAD != 30; }\n' >main.c
    cc -std=c99 -Wall -Wextra -Werror -o main main.c || fail "isa.h does not compile"
    ./main || fail "isa.h has other numbers"
fi

# a memory that is too small is named, with what is missing
run 0 isa -m nano --form machine -o small.yaml
for field in fm_depth=16 w_depth=16 param_bytes=256; do
    sed -i "s/^\( *\)${field%%=*}: .*/\1${field%%=*}: ${field#*=}/" small.yaml
done
run 1 compile "$model" -m small.yaml --strategy layer -o none.xgb
one_line_error
says err "not even its smallest tile fits machine nano: the feature-map memory would have to hold"
grep -qE "hold [0-9]+ words at once and has 16, [0-9]+ too few" err || fail "the missing words are not said"
[ -e none.xgb ] && fail "none.xgb was written"
exit 0

# Fields too narrow for the tiles that would be best: smaller tiles and more transfers, or a line that names the field.
# narrow INSTRUCTION.FIELD WIDTH...: an encoding with these widths
narrow() {
    cp default_isa.yaml narrow_isa.yaml
    while [ $# -gt 0 ]; do
        awk -v inst="${1%.*}" -v field="${1#*.}" -v width="$2" '
            /^  [a-z]+:$/ { now = $1 == inst ":" }
            now && $1 == field ":" { found += sub(/width: [0-9]+/, "width: " width) }
            { print }
            END { exit found != 1 }' narrow_isa.yaml >next.yaml || fail "no field $1"
        mv next.yaml narrow_isa.yaml
        shift 2
    done
}
narrow conv.cols 2 load.ddr_row 6 save.ddr_pix 3 load.rows 1 lut.cols 2
run 0 compile "$model" -m nano --encoding narrow_isa.yaml -o narrow.xgb
run 0 check "$model" narrow.xgb -m nano --encoding narrow_isa.yaml
says out "EQUAL"
[ "$(stat -c %s narrow.xgb)" -gt "$(stat -c %s nano.xgb)" ] || fail "narrow fields change nothing"
narrow load.addr 6 conv.in_addr 6 conv.w_addr 7 conv.p_addr 9 convinit.out_row 5 save.pix 3
run 0 check "$model" -m nano --encoding narrow_isa.yaml
says out "EQUAL"
run 0 isa -m nano --encoding narrow_isa.yaml --form machine -o declared.yaml
grep -q 'fm_depth: 512' declared.yaml || fail "the encoding changed the machine file"
narrow loadw.banks 1
run 1 compile "$model" -m nano --encoding narrow_isa.yaml -o refused.xgb
one_line_error
says err "its smallest tile wants banks of instruction loadw to be 4; the encoding's field holds 1 to 2"
narrow conv.p_addr 3
run 1 compile "$model" -m nano --encoding narrow_isa.yaml -o refused.xgb
one_line_error
says err "and has 8 (as far as the encoding's addresses reach)"
[ -e refused.xgb ] && fail "refused.xgb was written"
true
