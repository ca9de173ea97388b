# The installed library and CMake package: a client in C (and the header in C++), and a project that compiles a model.
. "$2/tests/cli/common.inc"
build=$(dirname "$xgc")
[ -s "$build/libxgc.a" ] && [ -s "$build/libxgc.so" ] || { echo "skipped: libxgc is not beside $xgc"; exit 0; }
cmake --install "$build" --prefix "$dir/prefix" >out 2>err || fail "cmake --install"
[ -x prefix/bin/xgc ] || fail "the command is not installed"
lib=$(dirname "$(find prefix -name libxgc.a)")

cat >client.c <<'C'
#include <xgc.h>
#include <stdio.h>
#include <string.h>

static int complain(xgc *x, const char *what) {
    printf("%s failed\n", what);
    for (size_t i = 0; i < xgc_message_count(x); i++) puts(xgc_message_at(x, i).text);
    xgc_free(x);
    return 1;
}

int main(int argc, char **argv) {
    xgc *x = xgc_new();
    xgc_machine *m;
    xgc_model *g;
    xgc_binary *b;
    xgc_result *r;
    xgc_blob text;
    xgc_array y;
    (void)argc;
    if (xgc_machine_load(x, "nosuch", NULL, &m) == XGC_OK || m || xgc_message_count(x) != 1) return 2;
    xgc_clear_messages(x);
    if (xgc_machine_load(x, "nano", NULL, &m)) return complain(x, "machine");
    if (xgc_model_load(x, argv[1], m, NULL, &g)) return complain(x, "model");
    if (xgc_compile(x, g, NULL, &b)) return complain(x, "compile");
    if (xgc_check(x, g, b, NULL, &r)) return complain(x, "check");
    if (xgc_result_print(x, r, "json", &text)) return complain(x, "print");
    if (!strstr(text.data, "\"equal\"") || strlen(text.data) != text.size) return 3;
    xgc_blob_free(&text);
    xgc_result_free(r);
    float image[8 * 8 * 3] = {0};
    xgc_array in = {.name = "image", .type = "f32", .rank = 4, .dim = {1, 8, 8, 3}, .data = image};
    xgc_run_options o = {.array = &in, .narray = 1};
    if (xgc_run(x, b, &o, &r)) return complain(x, "run");
    if (!xgc_result_array(r, 0, &y) || strcmp(y.name, "scores") || y.dim[3] != 10) return 4;
    if (xgc_result_array(r, 1, &y)) return 5;
    if (xgc_result_print(x, r, "nonsense", &text) != XGC_USAGE || text.data) return 6;
    xgc_binary_free(b);
    xgc_model_free(g);
    printf("%s on %s\n", xgc_version(), xgc_machine_describe(m).name);
    xgc_free(x);
    return 0;
}
C
flags="-Wall -Wextra -Werror -Iprefix/include"
private="-lprotobuf-c -lz -lcyaml -lyaml -lelf -lmd -ligraph -lpng -ljpeg -lglpk -lm"
nm -u "$lib/libxgc.a" 2>/dev/null | grep -q __asan_init && sanitize="-fsanitize=address,undefined" || sanitize=
cc $flags $sanitize client.c -o shared -L"$lib" -lxgc -Wl,-rpath,"$dir/$lib" >out 2>err || fail "client, shared"
cc $flags $sanitize client.c -o static "$lib/libxgc.a" $private >out 2>err || fail "client, static"
for kind in shared static; do
    ./$kind "$here/small.xg" >out 2>err || fail "the $kind client ended with $?"
    says out "on nano"
done
echo '#include <xgc.h>' >header.cpp
if command -v c++ >/dev/null; then c++ $flags -fsyntax-only header.cpp >out 2>err || fail "the header in C++"; fi
nm -D --defined-only "$lib/libxgc.so" | awk '$2 != "A" && $3 !~ /^xgc_/ { print; n++ } END { exit n > 0 }' >out ||
    fail "other names than xgc_* leave the shared library"

mkdir project && cp "$here/small.xg" project/
cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(example LANGUAGES C)
find_package(xgc REQUIRED)
xgc_add_model(small MODEL small.xg MACHINE zu9 OPTIONS --strategy layer)
get_target_property(binary small XGC_BINARY)
file(WRITE ${CMAKE_BINARY_DIR}/where "${binary}")
CMAKE
cmake -S project -B project/build -DCMAKE_PREFIX_PATH="$dir/prefix" >out 2>err || fail "configuring the project"
cmake --build project/build >out 2>err || fail "building the project"
run 0 check project/small.xg "$(cat project/build/where)" --fill zero
says out "EQUAL"
touch -d '2001-01-01' "$(cat project/build/where)"
cmake --build project/build >out 2>err || fail "building the project again"
[ -n "$(find "$(cat project/build/where)" -newermt 2002-01-01)" ] || fail "an outdated binary was not compiled again"
exit 0
