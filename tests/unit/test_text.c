#include "base/json.h"
#include "base/text.h"
#include "xg_test.h"

#include <math.h>

static xg_reader reader(xg_arena *a, const char *text) {
    xg_reader r;
    xg_reader_init(&r, a, "t.xg", text, strlen(text));
    return r;
}

/* The reader on the first line of text, which must be good. */
static xg_reader first_line(xg_test *t, const char *text) {
    xg_reader r = reader(t->a, text);
    bool more;
    assert_ok(t->c, xg_reader_next(&r, &more));
    assert_true(more);
    return r;
}

static void expect_error(xg_test *t, const char *text, const char *where, const char *part) {
    xg_reader r = reader(t->a, text);
    bool more = true;
    xg_status st = XG_OK;
    while (!st && more) st = xg_reader_next(&r, &more);
    if (st != XG_INPUT) print_message("text: %s\n", text);
    assert_status(t->c, st, XG_INPUT);
    assert_said(t->c, part);
    assert_string_equal(xg_diag_at(t->c, xg_diag_count(t->c) - 1)->where, where);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void test_line(void **state) {
    xg_test *t = *state;
    xg_reader r = first_line(t, "\n# only a comment\n  \t\r\nnode Conv \"a b\" in=[\"x\", w ,b] "
                                "pads=[] k=3 name=\"q # \\\"\\x41\\n\" [1,2]# end\nlast");
    const xg_line *l = &r.line;
    assert_int_equal(l->number, 4);
    assert_int_equal(l->nitem, 8);
    assert_true(xg_item_is(xg_line_pos(l, 0), "node"));
    assert_true(xg_item_is(xg_line_pos(l, 1), "Conv"));
    assert_false(xg_line_pos(l, 1)->is_string);
    assert_true(xg_item_is(xg_line_pos(l, 2), "a b"));
    assert_true(xg_line_pos(l, 2)->is_string);
    assert_int_equal(xg_line_pos(l, 2)->column, 11);
    const xg_item *in = xg_line_key(l, "in");
    assert_true(in->is_list);
    assert_int_equal(in->natom, 3);
    assert_string_equal(in->atom[0], "x");
    assert_string_equal(in->atom[1], "w");
    assert_string_equal(in->atom[2], "b");
    assert_false(xg_item_is(in, "x"));
    assert_int_equal(xg_line_key(l, "pads")->natom, 0);
    assert_true(xg_line_key(l, "pads")->is_list);
    int64_t k;
    assert_ok(t->c, xg_line_int(&r, "k", 0, 9, &k));
    assert_int_equal(k, 3);
    const char *name;
    assert_ok(t->c, xg_line_str(&r, "name", &name));
    assert_string_equal(name, "q # \"A\n");
    assert_int_equal(xg_line_pos(l, 3)->natom, 2);
    assert_null(xg_line_pos(l, 4));
    assert_null(xg_line_key(l, "none"));
    assert_false(xg_item_is(NULL, "x"));
    bool more;
    assert_ok(t->c, xg_reader_next(&r, &more));
    assert_true(more);
    assert_true(xg_item_is(xg_line_pos(l, 0), "last"));
    assert_int_equal(r.number, 5);
    assert_string_equal(name, "q # \"A\n"); /* atoms outlive their line */
    assert_ok(t->c, xg_reader_next(&r, &more));
    assert_false(more);
}

static void test_every_word_character(void **state) {
    xg_test *t = *state;
    xg_reader r = first_line(t, "aZ09_.:/@+-<>*%$~|#comment");
    assert_string_equal(xg_line_pos(&r.line, 0)->atom[0], "aZ09_.:/@+-<>*%$~|");
    assert_int_equal(r.line.nitem, 1);
}

static void test_empty_texts(void **state) {
    xg_test *t = *state;
    const char *texts[] = {"", "\n", "#", "# x\n\n\r\n", "   "};
    for (size_t i = 0; i < XG_COUNT(texts); i++) {
        xg_reader r = reader(t->a, texts[i]);
        bool more = true;
        assert_ok(t->c, xg_reader_next(&r, &more));
        assert_false(more);
    }
    xg_reader r;
    xg_reader_init(&r, t->a, "none", NULL, 0);
    bool more = true;
    assert_ok(t->c, xg_reader_next(&r, &more));
    assert_false(more);
}

static void test_bad_lines(void **state) {
    xg_test *t = *state;
    expect_error(t, "a\nb (", "t.xg:2:3", "unexpected '('");
    expect_error(t, "a \x01", "t.xg:1:3", "unexpected byte 0x01");
    expect_error(t, "a \xc3\xa9", "t.xg:1:3", "unexpected byte 0xc3");
    expect_error(t, "a k=", "t.xg:1:5", "value is expected");
    expect_error(t, "a k= 1", "t.xg:1:5", "unexpected ' '");
    expect_error(t, "a k=[", "t.xg:1:6", "value is expected");
    expect_error(t, "a k=[1", "t.xg:1:7", "expected ',' or ']'");
    expect_error(t, "a k=[1 2]", "t.xg:1:8", "expected ',' or ']'");
    expect_error(t, "a k=[1,]", "t.xg:1:8", "unexpected ']'");
    expect_error(t, "a k=[1]x", "t.xg:1:8", "unexpected 'x'");
    expect_error(t, "a k=1=2", "t.xg:1:6", "unexpected '='");
    expect_error(t, "a \"x\"\"y\"", "t.xg:1:6", "unexpected '\"'");
    expect_error(t, "a \"k\"=1", "t.xg:1:6", "unexpected '='");
    expect_error(t, "a b[1]", "t.xg:1:4", "unexpected '['");
    expect_error(t, "a =1", "t.xg:1:3", "unexpected '='");
    expect_error(t, "a \"open", "t.xg:1:8", "closing quote");
    expect_error(t, "a \"x\ny\"", "t.xg:1:5", "closing quote");
    expect_error(t, "a \"\\q\"", "t.xg:1:6", "escape");
    expect_error(t, "a \"\\x4\"", "t.xg:1:6", "escape");
    expect_error(t, "a \"\\x00\"", "t.xg:1:8", "escape");
    expect_error(t, "a \"\\", "t.xg:1:5", "escape");
    expect_error(t, "k=1", "t.xg:1:1", "plain word");
    expect_error(t, "\"a\"", "t.xg:1:1", "plain word");
    expect_error(t, "[a]", "t.xg:1:1", "plain word");
    expect_error(t, "a k=1 l=2 k=3", "t.xg:1:11", "'k=' stands twice");
    xg_reader r;
    bool more;
    xg_reader_init(&r, t->a, "n", "ab\0c", 4);
    assert_status(t->c, xg_reader_next(&r, &more), XG_INPUT);
    assert_said(t->c, "NUL");
}

/* The check for twins changes its way on long lines: it must find the same. */
static void test_twins_on_long_lines(void **state) {
    xg_test *t = *state;
    xg_buf b = {.arena = t->a};
    xg_puts(&b, "w");
    for (int i = 0; i < 20000; i++) xg_putf(&b, " k%d=%d", i, i);
    xg_reader r = first_line(t, b.p);
    assert_int_equal(r.line.nitem, 20001);
    int64_t v;
    assert_ok(t->c, xg_line_int(&r, "k19999", 0, 19999, &v));
    assert_int_equal(v, 19999);
    xg_puts(&b, " k77=1");
    r = reader(t->a, b.p);
    bool more;
    assert_status(t->c, xg_reader_next(&r, &more), XG_INPUT);
    assert_said(t->c, "'k77=' stands twice");
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void test_integers(void **state) {
    xg_test *t = *state;
    xg_reader r =
        first_line(t, "n 0 -1 +7 0x1F -0x10 010 9223372036854775807 -9223372036854775808");
    const int64_t want[] = {0, -1, 7, 31, -16, 10, INT64_MAX, INT64_MIN};
    int64_t v;
    for (uint32_t i = 0; i < XG_COUNT(want); i++) {
        assert_ok(t->c, xg_item_int(&r, xg_line_pos(&r.line, i + 1), 0, INT64_MIN, INT64_MAX, &v));
        assert_true(v == want[i]);
    }
    assert_ok(t->c, xg_item_int(&r, xg_line_pos(&r.line, 2), 0, -1, -1, &v));
    assert_status(t->c, xg_item_int(&r, xg_line_pos(&r.line, 2), 0, 0, 5, &v), XG_INPUT);
    assert_said(t->c, "-1 is outside 0 to 5");
    assert_status(t->c, xg_item_int(&r, xg_line_pos(&r.line, 1), 1, 0, 5, &v), XG_INPUT);
    assert_said(t->c, "expected at least 2 values");
    assert_status(t->c, xg_item_int(&r, NULL, 0, 0, 5, &v), XG_INPUT);
    r = first_line(
        t, "n 9223372036854775808 -9223372036854775809 1.5 0x a -- + 1_0 0xg \"\" \" 1\" a1");
    for (uint32_t i = 1; i < r.line.nitem; i++) {
        assert_status(t->c, xg_item_int(&r, xg_line_pos(&r.line, i), 0, INT64_MIN, INT64_MAX, &v),
                      XG_INPUT);
    }
    r = first_line(t, "n a=1 b=[1,2] c=x");
    assert_status(t->c, xg_line_int(&r, "d", 0, 1, &v), XG_INPUT);
    assert_said(t->c, "'d=' is missing");
    assert_status(t->c, xg_line_int(&r, "b", 0, 1, &v), XG_INPUT);
    assert_status(t->c, xg_line_int(&r, "c", 0, 1, &v), XG_INPUT);
    assert_said(t->c, "t.xg:1:15");
    const char *s;
    assert_status(t->c, xg_line_str(&r, "b", &s), XG_INPUT);
    assert_status(t->c, xg_line_str(&r, "d", &s), XG_INPUT);
    assert_ok(t->c, xg_item_int(&r, xg_line_key(&r.line, "b"), 1, 0, 9, &v));
    assert_int_equal(v, 2);
}

static void test_floats(void **state) {
    xg_test *t = *state;
    xg_reader r = first_line(t, "f 0x1.8p-3 0.1 -2 1e-45 inf -inf nan -0x0p+0 16777217");
    const float want[] = {0.1875f,   0.1f, -2.0f, 0x1p-149f,  INFINITY,
                          -INFINITY, NAN,  -0.0f, 16777216.0f};
    for (uint32_t i = 0; i < XG_COUNT(want); i++) {
        float f;
        assert_ok(t->c, xg_item_f32(&r, xg_line_pos(&r.line, i + 1), 0, &f));
        if (isnan(want[i]))
            assert_true(isnan(f));
        else
            assert_memory_equal(&f, &want[i], 4);
    }
    r = first_line(t, "f 1e40 0x1p128 x 1.5x 0x \"\" \" 1\" infinity nan:1 INF");
    for (uint32_t i = 1; i < r.line.nitem; i++) {
        float f;
        assert_status(t->c, xg_item_f32(&r, xg_line_pos(&r.line, i), 0, &f), XG_INPUT);
    }
}

static void test_f32_round_trip(void **state) {
    xg_test *t = *state;
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        xg_arena *a = xg_arena_new(t->c);
        uint32_t bits = (uint32_t)xg_random(&seed) & (i % 4 ? 0xffffffffu : 0x807fffffu);
        float f, g;
        memcpy(&f, &bits, 4);
        xg_buf b = {.arena = a};
        xg_puts(&b, "f ");
        xg_put_f32(&b, f);
        xg_reader r = reader(a, b.p);
        bool more;
        assert_ok(t->c, xg_reader_next(&r, &more));
        assert_ok(t->c, xg_item_f32(&r, xg_line_pos(&r.line, 1), 0, &g));
        if (isnan(f))
            assert_true(isnan(g));
        else
            assert_memory_equal(&f, &g, 4);
        xg_arena_free(a);
    }
}

/* ---- laws ------------------------------------------------------------------------------------ */

static const char *random_text(xg_arena *a, uint64_t *seed) {
    uint32_t n = (uint32_t)(xg_random(seed) % 12);
    char *s = xg_alloc(a, n + 1);
    for (uint32_t i = 0; i < n; i++) s[i] = (char)(1 + xg_random(seed) % 255);
    return s;
}

/* Any strings, printed and read back, are the same strings. */
static void test_print_then_read(void **state) {
    xg_test *t = *state;
    uint64_t seed = 11;
    for (int round = 0; round < 2000; round++) {
        xg_arena *a = xg_arena_new(t->c);
        uint32_t nitem = (uint32_t)(xg_random(&seed) % 6);
        const char *want[6][3];
        uint32_t natom[6];
        xg_buf b = {.arena = a};
        xg_puts(&b, "w");
        for (uint32_t i = 0; i < nitem; i++) {
            natom[i] = (uint32_t)(xg_random(&seed) % 4);
            xg_putf(&b, xg_random(&seed) & 1 ? "  k%u=[" : "\tk%u=[", i);
            for (uint32_t k = 0; k < natom[i]; k++) {
                want[i][k] = random_text(a, &seed);
                if (k) xg_puts(&b, xg_random(&seed) & 1 ? " , " : ",");
                xg_put_quoted(&b, want[i][k], false);
            }
            xg_puts(&b, "]");
        }
        xg_puts(&b, xg_random(&seed) & 1 ? "#\"\n" : "\r\n");
        xg_reader r = reader(a, b.p);
        bool more;
        assert_ok(t->c, xg_reader_next(&r, &more));
        assert_int_equal(r.line.nitem, nitem + 1);
        for (uint32_t i = 0; i < nitem; i++) {
            const xg_item *it = xg_line_key(&r.line, xg_strf(a, "k%u", i));
            assert_int_equal(it->natom, natom[i]);
            for (uint32_t k = 0; k < natom[i]; k++) assert_string_equal(it->atom[k], want[i][k]);
        }
        xg_arena_free(a);
    }
}

/* Damaged text is read or refused, and nothing else happens (the sanitizers watch). */
static void test_damaged_text(void **state) {
    xg_test *t = *state;
    const char good[] = "node Conv \"c\\x41\" in=[\"x\",w] k=3 # c\nt [1,2] s=0x1p-3 d=[]\r\n";
    const char odd[] = "\"\\[]=,# \n\t\rx0\xff";
    uint64_t seed = 13;
    int refused = 0, read = 0;
    for (int round = 0; round < 20000; round++) {
        xg_arena *a = xg_arena_new(t->c);
        size_t n = sizeof(good) - 1;
        char *copy = malloc(n); /* exactly sized: reading behind it would be seen */
        assert_non_null(copy);
        memcpy(copy, good, n);
        for (uint64_t k = xg_random(&seed) % 4 + 1; k; k--) {
            copy[xg_random(&seed) % n] = odd[xg_random(&seed) % sizeof(odd)];
        }
        xg_reader r;
        xg_reader_init(&r, a, "t", copy, n - xg_random(&seed) % n);
        bool more = true;
        xg_status st = XG_OK;
        while (!st && more) st = xg_reader_next(&r, &more);
        assert_true(st == XG_OK || st == XG_INPUT);
        refused += st == XG_INPUT;
        read += st == XG_OK;
        xg_diag_truncate(t->c, 0);
        free(copy);
        xg_arena_free(a);
    }
    assert_true(refused > 1000 && read > 1000);
}

static xg_status read_all(void *arg) {
    xg_test_case *k = arg;
    xg_reader r = reader(k->a, k->arg);
    bool more = true;
    xg_status st = XG_OK;
    uint32_t lines = 0;
    while (!st && more) {
        st = xg_reader_next(&r, &more);
        lines += !st && more;
    }
    return st ? st : lines == 3 ? XG_OK : XG_MISMATCH;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    char text[] = "a k=[1,2,3]\nb \"x\" y z w v u t s r q p\nc a=1";
    assert_true(xg_test_nomem(read_all, text, 1) >= 5);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void test_json(void **state) {
    xg_test *t = *state;
    xg_buf b = {.arena = t->a};
    xg_json j;
    xg_json_init(&j, &b);
    xg_json_open(&j, '{');
    xg_json_kstr(&j, "name", "a\"b");
    xg_json_kint(&j, "min", INT64_MIN);
    xg_json_knum(&j, "tenth", 0.1);
    xg_json_knum(&j, "nan", NAN);
    xg_json_kbool(&j, "yes", true);
    xg_json_key(&j, "list");
    xg_json_open(&j, '[');
    xg_json_int(&j, 1);
    xg_json_str(&j, "two");
    xg_json_bool(&j, false);
    xg_json_num(&j, -INFINITY);
    xg_json_open(&j, '{');
    xg_json_close(&j, '}');
    xg_json_close(&j, ']');
    xg_json_key(&j, "none");
    xg_json_open(&j, '[');
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
    assert_string_equal(b.p, "{\n"
                             "  \"name\": \"a\\\"b\",\n"
                             "  \"min\": -9223372036854775808,\n"
                             "  \"tenth\": 0.1,\n"
                             "  \"nan\": null,\n"
                             "  \"yes\": true,\n"
                             "  \"list\": [\n"
                             "    1,\n"
                             "    \"two\",\n"
                             "    false,\n"
                             "    null,\n"
                             "    {}\n"
                             "  ],\n"
                             "  \"none\": []\n"
                             "}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_line),
        TEST(test_every_word_character),
        TEST(test_empty_texts),
        TEST(test_bad_lines),
        TEST(test_twins_on_long_lines),
        TEST(test_integers),
        TEST(test_floats),
        TEST(test_f32_round_trip),
        TEST(test_print_then_read),
        TEST(test_damaged_text),
        TEST(test_every_allocation_may_fail),
        TEST(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
