#!/usr/bin/env bash
# The flow is the tree: a folder includes only the folders before it, and each outside library's headers
# appear in one folder.
#
#   includes.sh XGC SOURCE_DIR
set -euo pipefail
root=${2:?usage: includes.sh XGC SOURCE_DIR}

check() { # check FOLDER: prints each offence; fails when there is one, or when nothing was read
    (cd "$1" && find . -type d \( -name '.?*' -o -name 'build*' -o -name tests -o -name examples \) -prune -o \
        -type f -name '*.[ch]' -print | sort | xargs awk '
    BEGIN {
        # folder: which others it may include
        may["base"] = ""
        may["isa"] = "base"
        may["xgraph"] = "base"
        may["fusion"] = "xgraph isa base"
        may["assembler"] = "isa xgraph base"            # xgraph: the binary carries the host part as a graph
        may["layout"] = "assembler fusion xgraph isa base" # assembler: lowering fills its program
        may["validate"] = "assembler xgraph isa base"
        may["driver"] = "validate layout assembler fusion xgraph isa base"
        # outside header, as a pattern: the only folder that knows it
        home["^(lib)?cyaml|^yaml[.]h"] = "base"
        home["^(sha2|md5)[.]h"] = "base"
        home["^protobuf-c/|[.]pb-c[.]h$"] = "xgraph"
        home["^zlib[.]h"] = "xgraph"
        home["^(libpng.*/)?png[.]h|^jpeglib[.]h"] = "xgraph"
        home["^igraph"] = "fusion"
        home["^glpk"] = "fusion"
        home["^(libelf|gelf|elf)[.]h"] = "assembler"
        home["^getopt[.]h"] = "driver"
    }
    function complain(what) { printf "%s:%d: %s\n", substr(FILENAME, 3), FNR, what; bad++ }
    /^[ \t]*#[ \t]*include/ {
        split(FILENAME, part, "/")
        folder = part[2]
        if (!(folder in may)) { complain("folder " folder " is not in the table of this test"); next }
        if (!match($0, /["<][^">]+[">]/)) { complain("an include that names no header"); next }
        header = substr($0, RSTART + 1, RLENGTH - 2)
        quoted = substr($0, RSTART, 1) == "\""
        seen++
        for (pattern in home)
            if (header ~ pattern && folder != home[pattern])
                complain(header " is known only to " home[pattern])
        target = header
        if (!sub("/.*", "", target)) target = ""
        if (target in may && target != folder && index(" " may[folder] " ", " " target " ") == 0)
            complain(folder " must not include " header)
        if (quoted && !(target in may)) complain("\"" header "\" is not written from the root")
    }
    END { if (!seen) { print "no include found"; bad++ } exit bad > 0 }')
}

# A test that cannot fail proves nothing: each kind of offence must be found in a made tree.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for offence in 'isa "xgraph/xgraph.h"' 'xgraph "isa/tile.h"' 'base "isa/tile.h"' 'layout "driver/xgc.h"' \
    'fusion <zlib.h>' 'isa <libelf.h>' 'driver <cyaml/cyaml.h>' 'isa "tile.h"' 'newfolder "base/base.h"'; do
    read -r folder header <<<"$offence"
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/$folder"
    echo "#include $header" >"$scratch/tree/$folder/x.c"
    if check "$scratch/tree" >/dev/null; then
        echo "includes: '#include $header' in $folder/ was not found" >&2
        exit 1
    fi
done
mkdir -p "$scratch/good/isa"
echo '#include "base/base.h"' >"$scratch/good/isa/x.c"
check "$scratch/good"
check "$root"
echo "includes: all arrows are allowed"
