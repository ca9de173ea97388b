#include "base/base.h"
#include "xg_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- arenas ---------------------------------------------------------------------------------- */

static void test_alloc_zero_aligned(void **state) {
    xg_test *t = *state;
    uint64_t seed = 1;
    for (int i = 0; i < 3000; i++) {
        size_t n = xg_random(&seed) % (i % 50 ? 300 : 20000);
        uint8_t *p = xg_alloc(t->a, n);
        assert_int_equal((uintptr_t)p % (n >= 4096 ? 64 : 16), 0);
        for (size_t k = 0; k < n; k++) assert_int_equal(p[k], 0);
        memset(p, 0xa5, n); /* the next block must not see it */
    }
}

static void test_alloc_nothing(void **state) {
    xg_test *t = *state;
    assert_ptr_not_equal(xg_alloc(t->a, 0), xg_alloc(t->a, 0));
    assert_non_null(xg_newn(t->a, int, 0));
}

static void note_digit(void *obj) {
    char **p = obj;
    **p =
        (char)('1' + (p[1] -
                      p[0])); /* unused when the arena's memory is gone: the sanitizer would tell */
    ++*p;
}

static void append_a(void *obj) {
    strcat(obj, "a");
}

static void append_b(void *obj) {
    strcat(obj, "b");
}

static void test_defer_order(void **state) {
    xg_test *t = *state;
    char order[8] = "";
    xg_arena *a = xg_arena_new(t->c);
    xg_arena_defer(a, append_a, order);
    xg_arena_defer(a, append_b, order);
    char **inside = xg_newn(a, char *, 2); /* a deferred function may use the arena's own memory */
    inside[0] = inside[1] = order + 4;
    xg_arena_defer(a, note_digit, inside);
    xg_arena_free(a);
    assert_string_equal(order, "ba");
    assert_int_equal(order[4], '1');
    xg_arena_free(NULL);
}

static void test_arenas_go_with_context(void **state) {
    (void)state;
    char order[8] = "";
    xg_ctx *c = xg_ctx_new();
    assert_non_null(c);
    xg_arena_defer(xg_arena_new(c), append_a, order);
    xg_arena *middle = xg_arena_new(c);
    xg_arena_new(c);
    xg_arena_defer(xg_ctx_arena(c), append_b, order);
    xg_arena_free(middle);
    assert_ptr_equal(xg_arena_ctx(xg_ctx_arena(c)), c);
    xg_ctx_free(c);
    assert_int_equal(strlen(order), 2);
    xg_ctx_free(NULL);
}

typedef struct two_taken {
    xg_ctx *c;
    uint8_t *block[2];
} two_taken;

static xg_status take_two(void *arg) {
    two_taken *t = arg;
    xg_arena *a = xg_arena_new(t->c);
    for (int i = 0; i < 2; i++) {
        size_t n = i ? 5000 : 7;
        t->block[i] = xg_arena_take(a, memset(xg_alloc(a, n), '1' + i, n), n);
    }
    xg_arena_free(a);
    return XG_OK;
}

static void test_taken_outlive_context(void **state) {
    (void)state;
    two_taken t = {.c = xg_ctx_new()};
    assert_int_equal(xg_ctx_run(t.c, take_two, &t), XG_OK);
    xg_ctx_free(t.c);
    for (size_t k = 0; k < 7; k++) assert_int_equal(t.block[0][k], '1');
    for (size_t k = 0; k < 5000; k++) assert_int_equal(t.block[1][k], '2');
    xg_taken_free(t.block[0]);
    xg_taken_free(t.block[1]);
    xg_taken_free(NULL);
}

static void test_strings(void **state) {
    xg_test *t = *state;
    assert_string_equal(xg_strdup(t->a, "abc"), "abc");
    assert_string_equal(xg_strndup(t->a, "abc", 2), "ab");
    assert_string_equal(xg_strndup(t->a, "abc", 9), "abc");
    assert_string_equal(xg_strf(t->a, "%d-%s", 7, "x"), "7-x");
    char *wide = xg_strf(t->a, "%1000d", 5);
    assert_int_equal(strlen(wide), 1000);
    assert_memory_equal(xg_memdup(t->a, "\0\1\2", 3), "\0\1\2", 3);
}

static void test_vectors(void **state) {
    xg_test *t = *state;
    XG_VEC(uint64_t) v = {0};
    for (uint64_t i = 0; i < 10000; i++) xg_push(t->a, &v, i * i);
    assert_int_equal(v.n, 10000);
    for (uint64_t i = 0; i < 10000; i++) assert_int_equal(v.v[i], i * i);
    uint32_t cap = v.cap;
    xg_reserve(t->a, &v, cap);
    assert_int_equal(v.cap, cap);
    xg_reserve(t->a, &v, cap + 1);
    assert_true(v.cap > cap);
    xg_reserve(t->a, &v, 100000); /* more than twice */
    assert_true(v.cap >= 100000);
    v.v[99999] = 1;
    assert_int_equal(v.v[9999], 9999ull * 9999);
    struct pair {
        char a;
        int b;
    };
    XG_VEC(struct pair) w = {0};
    xg_push(t->a, &w, (struct pair){1, 2});
    assert_int_equal(w.v[0].b, 2);
}

/* ---- running out of memory ------------------------------------------------------------------- */

static xg_status array_overflow(void *arg) {
    xg_alloc_array(arg, SIZE_MAX / 2, 3);
    return XG_OK;
}

static xg_status absurd_block(void *arg) {
    xg_alloc(arg, (size_t)1 << 60);
    return XG_OK;
}

static xg_status absurd_vector(void *arg) {
    XG_VEC(char) v = {0};
    xg_reserve((xg_arena *)arg, &v, UINT32_MAX);
    return XG_OK;
}

static void test_absurd_sizes(void **state) {
    xg_test *t = *state;
    assert_status(t->c, xg_ctx_run(t->c, array_overflow, t->a), XG_NOMEM);
    assert_status(t->c, xg_ctx_run(t->c, absurd_block, t->a), XG_NOMEM);
    assert_status(t->c, xg_ctx_run(t->c, absurd_vector, t->a), XG_NOMEM);
    assert_said(t->c, "out of memory");
}

static xg_status inner(void *arg) {
    xg_test *t = arg;
    xg_ctx_fail_alloc(t->c, 1);
    xg_alloc(t->a, 1);
    return XG_OK;
}

static xg_status outer(void *arg) {
    xg_test *t = arg;
    if (xg_ctx_run(t->c, inner, t) != XG_NOMEM) return XG_INTERNAL;
    xg_alloc(t->a, 1); /* goes on: the failure ended in the inner run */
    return XG_MISMATCH;
}

static xg_status outer_fails_too(void *arg) {
    xg_test *t = arg;
    if (xg_ctx_run(t->c, inner, t) != XG_NOMEM) return XG_INTERNAL;
    xg_ctx_fail_alloc(t->c, 1);
    xg_alloc(t->a, 1);
    return XG_OK;
}

static void test_runs_nest(void **state) {
    xg_test *t = *state;
    assert_status(t->c, xg_ctx_run(t->c, outer, t), XG_MISMATCH);
    assert_int_equal(xg_diag_count(t->c), 1);
    assert_int_equal(xg_diag_at(t->c, 0)->status, XG_NOMEM);
    assert_status(t->c, xg_ctx_run(t->c, outer_fails_too, t), XG_NOMEM);
}

/* Running out of memory is said however many diagnostics there are already. */
static void test_no_memory_is_always_said(void **state) {
    xg_test *t = *state;
    for (size_t n = 0; n < 40; n++) {
        assert_status(t->c, xg_ctx_run(t->c, inner, t), XG_NOMEM);
        assert_int_equal(xg_diag_count(t->c), n + 1);
        assert_said(t->c, "out of memory");
        xg_diag_truncate(t->c, n);
        xg_note(t->c, "", "note");
    }
}

/* ---- diagnostics ----------------------------------------------------------------------------- */

static void test_diagnostics(void **state) {
    xg_test *t = *state;
    assert_int_equal(xg_error(t->c, XG_LIMIT, "a:1", "found %d, expected %d", 1, 2), XG_LIMIT);
    xg_warn(t->c, "", "two\nlines \x1b[31m");
    xg_note(t->c, "n", "three");
    assert_int_equal(xg_diag_count(t->c), 3);
    const xg_diag *d = xg_diag_at(t->c, 0);
    assert_int_equal(d->severity, XG_ERROR);
    assert_int_equal(d->status, XG_LIMIT);
    assert_string_equal(d->where, "a:1");
    assert_string_equal(d->text, "found 1, expected 2");
    assert_int_equal(xg_diag_at(t->c, 1)->severity, XG_WARNING);
    assert_string_equal(xg_diag_at(t->c, 1)->text, "two lines  [31m");
    assert_int_equal(xg_diag_at(t->c, 2)->severity, XG_NOTE);
    assert_null(xg_diag_at(t->c, 3));
    xg_diag_truncate(t->c, 1);
    xg_diag_truncate(t->c, 5);
    assert_int_equal(xg_diag_count(t->c), 1);
    for (int i = 0; i < 500; i++) xg_note(t->c, "", "%d", i);
    assert_int_equal(xg_diag_count(t->c), 501);
    assert_string_equal(xg_diag_at(t->c, 500)->text, "499");
}

/* A line has an end whatever the length of the names in it, and keeps its own. */
static void test_long_diagnostics(void **state) {
    xg_test *t = *state;
    char name[5001];
    memset(name, 'n', 5000);
    name[5000] = 0;
    for (int i = 0; i < 5000; i += 2) memcpy(name + i, "\xc3\xa4", 2);
    xg_error(t->c, XG_INPUT, name, "no input '%s', expected another", name);
    const xg_diag *d = xg_diag_at(t->c, 0);
    assert_in_range(strlen(d->text), 900, 1010);
    assert_in_range(strlen(d->where), 600, 710);
    assert_memory_equal(d->text, "no input '\xc3\xa4", 12);
    assert_non_null(strstr(d->text, "\xc3\xa4 ... \xc3\xa4"));
    assert_non_null(strstr(d->text, "\xc3\xa4', expected another"));
}

static void test_status_names(void **state) {
    (void)state;
    assert_string_equal(xg_status_name(XG_OK), "OK");
    assert_string_equal(xg_status_name(XG_INTERNAL), "INTERNAL");
    assert_string_equal(xg_status_text(XG_NOMEM), "out of memory");
    assert_string_equal(xg_status_name(XG_STATUS_COUNT), "?");
    assert_string_equal(xg_status_text((xg_status)-1), "?");
}

/* ---- buffers --------------------------------------------------------------------------------- */

static void test_buffers(void **state) {
    xg_test *t = *state;
    xg_buf b = {.arena = t->a};
    xg_put(&b, "", 0);
    assert_string_equal(b.p, "");
    for (int i = 0; i < 1000; i++) xg_putf(&b, "%d,", i);
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(b.p[b.n], 0);
    size_t n = b.n;
    xg_putf(&b, "%2000s", "x"); /* longer than the room at hand */
    assert_int_equal(b.n, n + 2000);
    assert_string_equal(b.p + b.n - 2, " x");
    xg_puts(&b, "end");
    assert_string_equal(b.p + b.n - 4, "xend");
    for (int len = 0; len < 600;
         len++) { /* also where the text just fits, and where it just does not */
        b = (xg_buf){.arena = t->a};
        xg_putf(&b, "%*s", len, "");
        xg_putf(&b, "%0*d", len + 1, 1);
        assert_int_equal(b.n, 2 * len + 1);
        assert_int_equal(strlen(b.p), 2 * len + 1);
    }
}

static const char *quoted(xg_arena *a, const char *s, bool json) {
    xg_buf b = {.arena = a};
    xg_put_quoted(&b, s, json);
    return b.p;
}

static void test_quoting(void **state) {
    xg_test *t = *state;
    assert_string_equal(quoted(t->a, "", true), "\"\"");
    assert_string_equal(quoted(t->a, "a\"b\\c\n\t\r\x7f", false),
                        "\"a\\\"b\\\\c\\n\\t\\x0d\\x7f\"");
    assert_string_equal(quoted(t->a, "a\"b\\c\n\t\r\x7f", true),
                        "\"a\\\"b\\\\c\\n\\t\\u000d\\u007f\"");
    assert_string_equal(quoted(t->a, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", true),
                        "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
    /* not UTF-8: stray continuation, overlong, surrogate, cut short, beyond U+10FFFF */
    assert_string_equal(quoted(t->a, "\x80", true), "\"\\u0080\"");
    assert_string_equal(quoted(t->a, "\xc0\xaf", true), "\"\\u00c0\\u00af\"");
    assert_string_equal(quoted(t->a, "\xe0\x80\xaf", true), "\"\\u00e0\\u0080\\u00af\"");
    assert_string_equal(quoted(t->a, "\xe0\x9f\xbf", true), "\"\\u00e0\\u009f\\u00bf\"");
    assert_string_equal(quoted(t->a, "\xf0\x8f\xbf\xbf", true), "\"\\u00f0\\u008f\\u00bf\\u00bf\"");
    assert_string_equal(quoted(t->a, "\xed\xa0\x80", true), "\"\\u00ed\\u00a0\\u0080\"");
    assert_string_equal(quoted(t->a, "\xe2\x82", true), "\"\\u00e2\\u0082\"");
    assert_string_equal(quoted(t->a, "\xf4\x90\x80\x80", true), "\"\\u00f4\\u0090\\u0080\\u0080\"");
    assert_string_equal(quoted(t->a, "\x80", false), "\"\x80\"");
}

static void test_xml(void **state) {
    xg_test *t = *state;
    static const struct {
        const char *text, *xml;
    } want[] = {
        {"a<b>&\"c'", "a&lt;b&gt;&amp;&quot;c'"},
        {"\x01\r\n\t\x1f", "??\n\t?"},
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"cut \xe2\x82", "cut ??"}, /* a name that was shortened inside a character */
        {"\x80"
         "a\xc0\xaf\xed\xa0\x80",
         "?a?????"},
        {"\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf", "\xef\xbf\xbd??"},
    };
    for (size_t i = 0; i < XG_COUNT(want); i++) {
        xg_buf b = {.arena = t->a};
        xg_put_xml(&b, want[i].text);
        assert_string_equal(b.p, want[i].xml);
    }
}

static const char *f32_text(xg_arena *a, float f) {
    xg_buf b = {.arena = a};
    xg_put_f32(&b, f);
    return b.p;
}

static void test_f32_text(void **state) {
    xg_test *t = *state;
    assert_string_equal(f32_text(t->a, 0.1875f), "0x1.8p-3");
    assert_string_equal(f32_text(t->a, 1.0f), "0x1p+0");
    assert_string_equal(f32_text(t->a, -0.0f), "-0x0p+0");
    assert_string_equal(f32_text(t->a, 0x1p-149f), "0x1p-149");
    assert_string_equal(f32_text(t->a, -0x1.fffffep127f), "-0x1.fffffep+127");
    assert_string_equal(f32_text(t->a, strtof("inf", NULL)), "inf");
    assert_string_equal(f32_text(t->a, strtof("-inf", NULL)), "-inf");
    assert_string_equal(f32_text(t->a, strtof("nan", NULL)), "nan");
    uint64_t seed = 3;
    for (int i = 0; i < 100000; i++) { /* the C library's own form and reader agree */
        uint32_t bits = (uint32_t)xg_random(&seed) & (i % 4 ? 0xffffffffu : 0x807fffffu), back;
        float f, g;
        memcpy(&f, &bits, 4);
        if (f != f || f - f != 0) continue;
        xg_arena *a = xg_arena_new(t->c);
        const char *s = f32_text(a, f);
        char want[64];
        snprintf(want, sizeof(want), "%a", (double)f);
        assert_string_equal(s, want);
        g = strtof(s, NULL);
        memcpy(&back, &g, 4);
        assert_int_equal(back, bits);
        xg_arena_free(a);
    }
}

static void test_locale_has_no_say(void **state) {
    xg_test *t = *state;
    const char *names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "fr_FR.utf8", "ru_RU.UTF-8"};
    const char *set = NULL;
    for (size_t i = 0; i < XG_COUNT(names) && !set; i++) set = setlocale(LC_ALL, names[i]);
    if (!set) {
        print_message("skipped: no locale with a decimal comma on this machine\n");
        skip();
    }
    const char *s = xg_strf(t->a, "%.1f", 1.5);
    setlocale(LC_ALL, "C");
    assert_string_equal(s, "1.5");
}

/* ---- map and hashes -------------------------------------------------------------------------- */

static void test_map(void **state) {
    xg_test *t = *state;
    xg_map m = {.arena = t->a};
    assert_int_equal(xg_map_get(&m, "x"), XG_NONE);
    char key[16];
    for (uint32_t i = 0; i < 50000; i++) {
        snprintf(key, sizeof(key), "key%u", i); /* the map keeps a copy: the buffer is used again */
        xg_map_set(&m, key, i);
        assert_int_equal(xg_map_get(&m, "absent"), XG_NONE);
    }
    xg_map_set(&m, "key7", 70);
    xg_map_set(&m, "", 71);
    assert_int_equal(m.n, 50001);
    for (uint32_t i = 0; i < 50000; i++) {
        snprintf(key, sizeof(key), "key%u", i);
        assert_int_equal(xg_map_get(&m, key), i == 7 ? 70 : i);
    }
    assert_int_equal(xg_map_get(&m, ""), 71);
    assert_int_equal(xg_map_get(&m, "key50000"), XG_NONE);
    assert_int_equal(xg_map_get(&m, "key"), XG_NONE);
}

static void test_hashes(void **state) {
    (void)state;
    assert_true(xg_hash("", 0) == 0xcbf29ce484222325u); /* published FNV-1a vectors */
    assert_true(xg_hash("a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(xg_hash("foobar", 6) == 0x85944171f73967e8u);
    char hex[65]; /* FIPS 180 vectors */
    xg_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    xg_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    char two[65],
        data[300]; /* with the processor's instructions and without, across block borders */
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 37);
    for (size_t n = 0; n <= sizeof data; n++) {
        xg_sha256_hex(data, n, hex);
        setenv("XGC_ISA", "portable", 1);
        xg_sha256_hex(data, n, two);
        unsetenv("XGC_ISA");
        assert_string_equal(hex, two);
    }
}

static void test_arithmetic(void **state) {
    (void)state;
    uint64_t r;
    assert_true(xg_mul_ok(1ull << 32, (1ull << 32) - 1, &r));
    assert_false(xg_mul_ok(1ull << 32, 1ull << 32, &r));
    assert_int_equal(xg_ceil_div(0, 4), 0);
    assert_int_equal(xg_ceil_div(1, 4), 1);
    assert_int_equal(xg_ceil_div(8, 4), 2);
    assert_int_equal(xg_clamp(-200, -128, 127), -128);
    assert_int_equal(xg_clamp(200, -128, 127), 127);
    assert_int_equal(xg_min(-1, 1), -1);
    assert_int_equal(xg_max(-1, 1), 1);
    uint64_t s = 0; /* splitmix64's published first value for seed 0 */
    assert_true(xg_random(&s) == 0xe220a8397b1dcdafu);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Each file test works in a folder of its own and counts what stands in it. */
static char *make_folder(xg_arena *a) {
    char *dir = xg_strdup(a, "xg_test_base_XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static int count_and_clear(xg_arena *a, const char *dir, bool clear) {
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        n++;
        if (clear) unlink(xg_strf(a, "%s/%s", dir, e->d_name));
    }
    closedir(d);
    if (clear) rmdir(dir);
    return n;
}

static void expect_file(xg_test *t, const char *path, const void *p, size_t n) {
    xg_bytes b;
    assert_ok(t->c, xg_read_file(t->a, path, &b));
    assert_int_equal(b.n, n);
    if (n) assert_memory_equal(b.p, p, n);
}

static void test_file_round_trip(void **state) {
    xg_test *t = *state;
    char *dir = make_folder(t->a), *path = xg_strf(t->a, "%s/f", dir);
    size_t n = 3 << 20;
    uint8_t *data = xg_alloc(t->a, n);
    uint64_t seed = 9;
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)xg_random(&seed);
    assert_ok(t->c, xg_write_file(t->c, path, "", 0));
    expect_file(t, path, "", 0);
    assert_ok(t->c, xg_write_file(t->c, path, data, n));
    expect_file(t, path, data, n);
    assert_int_equal(chmod(path, 0640), 0);
    assert_ok(t->c, xg_write_file(t->c, path, "new", 3));
    expect_file(t, path, "new", 3);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640); /* an old file keeps its permissions */
    assert_int_equal(count_and_clear(t->a, dir, true), 1);
}

static void test_file_through_link(void **state) {
    xg_test *t = *state;
    char *dir = make_folder(t->a), *path = xg_strf(t->a, "%s/f", dir);
    char *link = xg_strf(t->a, "%s/link", dir);
    assert_ok(t->c, xg_write_file(t->c, path, "old", 3));
    assert_int_equal(symlink("f", link), 0);
    assert_ok(t->c, xg_write_file(t->c, link, "new", 3));
    expect_file(t, path, "new", 3);
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(count_and_clear(t->a, dir, true), 2);
}

static void test_file_errors(void **state) {
    xg_test *t = *state;
    xg_bytes b;
    assert_status(t->c, xg_read_file(t->a, "no/such/file", &b), XG_IO);
    assert_said(t->c, "no/such/file");
    assert_said(t->c, "No such file");
    assert_status(t->c, xg_read_file(t->a, ".", &b), XG_IO);
    assert_said(t->c, "directory");
    assert_status(t->c, xg_write_file(t->c, "no/such/file", "x", 1), XG_IO);
    assert_said(t->c, "cannot write");
    char *longer = xg_strf(t->a, "%0300d", 1);
    assert_status(t->c, xg_write_file(t->c, longer, "x", 1), XG_IO);
}

/* A write that fails half way leaves the old file and nothing else. */
static void test_file_full_disk(void **state) {
    xg_test *t = *state;
    char *dir = make_folder(t->a), *path = xg_strf(t->a, "%s/f", dir);
    assert_ok(t->c, xg_write_file(t->c, path, "old", 3));
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4096;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    xg_status st = xg_write_file(t->c, path, xg_alloc(t->a, 100000), 100000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    assert_status(t->c, st, XG_IO);
    expect_file(t, path, "old", 3);
    assert_int_equal(count_and_clear(t->a, dir, true), 1);
}

static void test_file_devices(void **state) {
    xg_test *t = *state;
    assert_ok(t->c, xg_write_file(t->c, "/dev/null", "x", 1));
    if (access("/dev/full", W_OK) == 0) {
        assert_status(t->c, xg_write_file(t->c, "/dev/full", "x", 1), XG_IO);
        assert_said(t->c, "/dev/full");
    }
    expect_file(t, "/dev/null", "", 0);
    xg_bytes b;
    if (access("/proc/self/status", R_OK) == 0) { /* a regular file whose size is said to be 0 */
        assert_ok(t->c, xg_read_file(t->a, "/proc/self/status", &b));
        assert_true(b.n > 100);
    }
}

static void test_file_std(void **state) {
    xg_test *t = *state;
    char *dir = make_folder(t->a), *path = xg_strf(t->a, "%s/f", dir);
    size_t n = 200001; /* more than a pipe or the first buffer holds */
    char *data = xg_alloc(t->a, n);
    memset(data, 'x', n);
    int save = dup(STDOUT_FILENO);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    close(fd);
    xg_status st = xg_write_file(t->c, "-", data, n);
    dup2(save, STDOUT_FILENO);
    close(save);
    assert_ok(t->c, st);
    save = dup(STDIN_FILENO);
    fd = open(path, O_RDONLY);
    dup2(fd, STDIN_FILENO);
    close(fd);
    xg_bytes b;
    st = xg_read_file(t->a, "-", &b);
    dup2(save, STDIN_FILENO);
    close(save);
    assert_ok(t->c, st);
    assert_int_equal(b.n, n);
    assert_memory_equal(b.p, data, n);
    count_and_clear(t->a, dir, true);
}

/* ---- the law of allocation failure ----------------------------------------------------------- */

static xg_status scenario(void *arg) {
    xg_test_case *k = arg;
    xg_arena *a = xg_arena_new(k->c);
    XG_VEC(int) v = {0};
    for (int i = 0; i < 100; i++) xg_push(a, &v, i);
    xg_buf b = {.arena = a};
    for (int i = 0; i < 300; i++) xg_putf(&b, "line %d of text\n", i);
    xg_map m = {.arena = k->a};
    for (int i = 0; i < 40; i++) xg_map_set(&m, xg_strf(a, "k%d", i), (uint32_t)i);
    for (int i = 0; i < 40; i++) xg_note(k->c, "where", "note %d", i);
    xg_status st = xg_write_file(k->c, k->arg, b.p, b.n);
    xg_bytes back;
    if (!st) st = xg_read_file(a, k->arg, &back);
    if (!st && (back.n != b.n || xg_map_get(&m, "k39") != 39)) return XG_MISMATCH;
    if (!st && xg_read_file(a, "/dev/null", &back) != XG_OK) return XG_IO;
    xg_arena_free(a);
    return st;
}

static void test_every_allocation_may_fail(void **state) {
    xg_test *t = *state;
    char *dir = make_folder(t->a);
    int fds =
        access("/proc/self/fd", R_OK) == 0 ? count_and_clear(t->a, "/proc/self/fd", false) : 0;
    uint64_t n = xg_test_nomem(scenario, xg_strf(t->a, "%s/f", dir), 1);
    assert_true(n > 150);
    if (fds) assert_int_equal(count_and_clear(t->a, "/proc/self/fd", false), fds);
    assert_int_equal(count_and_clear(t->a, dir, true), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_alloc_zero_aligned),
        TEST(test_alloc_nothing),
        TEST(test_defer_order),
        TEST(test_arenas_go_with_context),
        TEST(test_taken_outlive_context),
        TEST(test_strings),
        TEST(test_vectors),
        TEST(test_absurd_sizes),
        TEST(test_runs_nest),
        TEST(test_no_memory_is_always_said),
        TEST(test_diagnostics),
        TEST(test_long_diagnostics),
        TEST(test_status_names),
        TEST(test_buffers),
        TEST(test_quoting),
        TEST(test_xml),
        TEST(test_f32_text),
        TEST(test_locale_has_no_say),
        TEST(test_map),
        TEST(test_hashes),
        TEST(test_arithmetic),
        TEST(test_file_round_trip),
        TEST(test_file_through_link),
        TEST(test_file_errors),
        TEST(test_file_full_disk),
        TEST(test_file_devices),
        TEST(test_file_std),
        TEST(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
