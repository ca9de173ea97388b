#!/usr/bin/env bash
# Every public model on every machine: compiles it (a float model with random calibration), proves the binary, and prints
# one row: model, machine, verdict, nodes on the accelerator and on the host, seconds; then what ran on the host, and why.
#
#   tests/campaign/models.sh XGC [MODELS [NAME ...]]
#
# XGC is the command. MODELS (default: $XGC_MODELS) has a folder a model. MACHINES names the machines (default "zu9 nano").
# OPTIONS are passed to compile, e.g. "--strategy layer". Exit status 1 when a model is refused or a check fails.
set -u
xgc=$1
models=${2:-${XGC_MODELS:-}}
[ -d "$models" ] || { echo "skipped: no models (XGC_MODELS)"; exit 0; }
shift $(($# > 1 ? 2 : 1))
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd "$models" && ls -d -- */ | grep -v '^_' | tr -d /)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0

# Sizes that a model leaves open; weights that are constants are replaced.
options_of() {
    case $1 in
    ppocr_cls_mbv3) echo "--shape x=1x3x48x192" ;;
    ppocr_det_v2) echo "--shape x=1x3x320x320" ;;
    teams_seg) echo "--shape bgrm=1x4x144x256" ;;
    light_*) echo "--random-weights" ;;
    esac
}

row() { printf '%-28s %-8s %-8s %6s %5s %8s\n' "$@"; }

# Nodes on the host: how many of each reason. Conversions of the graph's inputs and outputs go without saying.
reasons() {
    grep ' host ' "$dir/x.sel" | sed "s/.*reason=\"\(.*\)\" nodes=.*/\1/; s/'[^']*'/it/g" |
        grep -v -E 'has no (De)?[Qq]uantize$' | sort | uniq -c | sort -rn | sed 's/^ */    host: /'
}

judge() {
    local name=$1 machine=$2 file args start verdict
    file=$(ls "$models/$name"/*.onnx | head -1)
    read -ra args <<<"$(options_of "$name") ${OPTIONS:-}"
    start=$(date +%s.%N)
    verdict=refused
    if "$xgc" compile "$file" -m "$machine" --calib random "${args[@]}" -q --emit-sel "$dir/x.sel" -o "$dir/x.xgb" \
        2>"$dir/err"; then
        verdict=DIFFERS
        "$xgc" check "$file" "$dir/x.xgb" --calib random --fill random >"$dir/out" 2>"$dir/err" && verdict=equal
    else
        : >"$dir/x.sel"
    fi
    row "$name" "$machine" "$verdict" "$(grep -c ' accel ' "$dir/x.sel")" "$(grep -c ' host ' "$dir/x.sel")" \
        "$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')"
    reasons
    [ $verdict = equal ] || { bad=1 && sed 's/^/    /' "$dir/err" "$dir/out" 2>/dev/null | head -20; }
}

row model machine verdict groups host seconds
for machine in ${MACHINES:-zu9 nano}; do
    for name in "${names[@]}"; do judge "$name" "$machine"; done
done
exit $bad
