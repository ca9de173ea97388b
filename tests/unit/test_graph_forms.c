/* The text form and the binary form of a graph: round trips, refusals, hostile input, allocation
 * failure. */
#include "graph_samples.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

typedef struct fixture {
    xg_ctx *c;
    xg_arena *a;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->c = xg_ctx_new();
    f->a = xg_arena_new(f->c);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    xg_ctx_free(f->c);
    free(f);
    return 0;
}

static const char *last_diag(fixture *f) {
    size_t n = xg_diag_count(f->c);
    return n ? xg_diag_at(f->c, n - 1)->text : "";
}

static xg_buf printed(xg_arena *a, const xg_graph *g, bool with_data) {
    xg_buf b = {.arena = a};
    xg_graph_print(g, with_data, &b);
    return b;
}

static xg_buf packed(fixture *f, const xg_graph *g) {
    xg_buf b = {.arena = f->a};
    assert_int_equal(xg_graph_pack(f->c, g, &b), XG_OK);
    return b;
}

static xg_graph *sample(fixture *f, uint64_t seed, uint32_t nodes) {
    xg_graph *g = NULL;
    assert_int_equal(random_graph(f->c, f->a, seed, nodes, &g), XG_OK);
    return g;
}

static void assert_same_bytes(const xg_buf *a, const xg_buf *b) {
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->p, b->p, a->n);
}

/* ---- round trips
 * ---------------------------------------------------------------------------------------- */

static void test_text_round_trip(void **state) {
    fixture *f = *state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        xg_graph *back = NULL;
        xg_buf one = printed(f->a, sample(f, seed, seed % 12), true);
        if (xg_graph_parse(f->a, "t", one.p, one.n, &back) != XG_OK) fail_msg("%s", last_diag(f));
        xg_buf two = printed(f->a, back, true);
        assert_same_bytes(&one, &two);
    }
}

static void test_binary_round_trip(void **state) {
    fixture *f = *state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        xg_graph *back = NULL, *g = sample(f, seed, seed % 12);
        xg_buf one = packed(f, g);
        if (xg_graph_unpack(f->a, "t", one.p, one.n, &back) != XG_OK) fail_msg("%s", last_diag(f));
        xg_buf two = packed(f, back);
        assert_same_bytes(&one, &two);
        xg_buf text = printed(f->a, g, true), text_back = printed(f->a, back, true);
        assert_same_bytes(&text, &text_back); /* both forms carry the same */
    }
}

static void test_odd_things_survive(void **state) {
    fixture *f = *state;
    xg_graph *g = xg_graph_new(f->a, "a \"b\"\n\\ \x01\xff"), *t = NULL, *b = NULL;
    static const float data[] = {-0.0f, 1e-45f, __builtin_inff()};
    uint32_t k = xg_graph_add_const(g, "scalar \t=[x],#", XG_F32, 1, (int64_t[]){3}, data, NULL);
    uint32_t clip = xg_graph_add_node(g, XG_OP_Clip, "clip", &k, 1, 1);
    xg_set_af(&g->node.v[clip], XG_ATTR_min, -0.0f);
    xg_set_af(&g->node.v[clip], XG_ATTR_max, 1e-40f);
    uint32_t sum = xg_graph_add_node(g, XG_OP_ReduceSum, "sum", &g->node.v[clip].out[0], 1, 1);
    xg_set_ai(&g->node.v[sum], XG_ATTR_keepdims, 0);
    xg_graph_add_output(g, g->node.v[sum].out[0]); /* rank 0 */
    xg_graph_add_output(g, k);                     /* a constant is an output */
    xg_push(f->a, &g->log, "");
    assert_int_equal(xg_graph_infer(f->c, g), XG_OK);
    xg_buf one = printed(f->a, g, true), bin = packed(f, g);
    assert_int_equal(xg_graph_parse(f->a, "t", one.p, one.n, &t), XG_OK);
    assert_int_equal(xg_graph_unpack(f->a, "t", bin.p, bin.n, &b), XG_OK);
    xg_buf two = printed(f->a, t, true), three = printed(f->a, b, true);
    assert_same_bytes(&one, &two);
    assert_same_bytes(&one, &three);
    assert_string_equal(t->name, g->name);
    assert_true(__builtin_signbitf(xg_af(&b->node.v[clip], XG_ATTR_min)));
    assert_memory_equal(b->tensor.v[k].data, data, sizeof data);
}

static void test_text_is_what_the_page_says(void **state) {
    fixture *f = *state;
    static const char text[] =
        "graph \"tiny\" format=1\n"
        "tensor \"x\" i8 [1,2,2,1] scale=0x1p-4 zp=3 onnx=\"in:0\"\n"
        "tensor \"w\" i8 [2,1,1,1] axis=0 scale=[0x1p-6,0x1.8p-6] zp=[0,0] data=hex:7f80\n"
        "tensor \"y\" i8 [1,2,2,2] scale=0x1p-3 zp=-1\n"
        "input \"x\"\n"
        "node Conv \"conv1\" in=[\"x\",\"w\",\"\"] out=[\"y\"] onnx=\"c+r\" lo=-1\n"
        "output \"y\"\n"
        "log \"clamp folded\"\n";
    xg_graph *g = NULL;
    if (xg_graph_parse(f->a, "t", text, sizeof text - 1, &g) != XG_OK) fail_msg("%s", last_diag(f));
    assert_int_equal(((const int8_t *)g->tensor.v[1].data)[1], -128);
    assert_int_equal(g->node.v[0].in[2], XG_NONE);
    xg_buf b = printed(f->a, g, true);
    assert_string_equal(b.p, text);
}

static void test_form_is_told_by_content(void **state) {
    fixture *f = *state;
    xg_graph *g = sample(f, 3, 5);
    xg_buf forms[2] = {printed(f->a, g, true), packed(f, g)};
    for (int i = 0; i < 2; i++) {
        char path[] = "graph_forms_XXXXXX";
        xg_graph *back = NULL;
        int fd = mkstemp(path);
        assert_int_equal(write(fd, forms[i].p, forms[i].n), forms[i].n);
        close(fd);
        assert_int_equal(xg_graph_read(f->a, path, &back), XG_OK);
        unlink(path);
        xg_buf text = printed(f->a, back, true);
        assert_same_bytes(&forms[0], &text);
    }
    xg_graph *none = NULL;
    assert_int_equal(xg_graph_read(f->a, "there-is-no-such-file.xg", &none), XG_IO);
}

/* ---- refusals
 * ------------------------------------------------------------------------------------------- */

static void refuse_text(fixture *f, const char *text, const char *says) {
    xg_graph *g = NULL;
    size_t before = xg_diag_count(f->c);
    if (xg_graph_parse(f->a, "t", text, strlen(text), &g) == XG_OK) fail_msg("accepted: %s", text);
    assert_int_equal(xg_diag_count(f->c), before + 1);
    assert_null(g);
    if (!strstr(last_diag(f), says)) fail_msg("'%s' lacks '%s'", last_diag(f), says);
}

#define HEAD "graph \"g\" format=1\n"
#define X    "tensor \"x\" f32 [4]\n"
#define Y    "tensor \"y\" f32 [4]\n"

static void test_digests_cannot_be_read(void **state) {
    fixture *f = *state;
    xg_graph *g = sample(f, 2, 6);
    xg_buf b = printed(f->a, g, false);
    assert_non_null(strstr(b.p, "data=sha256:"));
    refuse_text(f, b.p, "digest only");
}

static void test_text_refusals(void **state) {
    fixture *f = *state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "not an XGraph"},
        {"tensor \"x\" f32 [4]\n", "not an XGraph"},
        {"graph \"g\"\n", "'format=' is missing"},
        {"graph \"g\" format=2\n", "format 2, this program reads format 1"},
        {"graph g format=1\n", "double quotes"},
        {HEAD "nonsense \"x\"\n", "expected tensor, node"},
        {HEAD X X, "used twice"},
        {HEAD "tensor \"\" f32 [4]\n", "empty"},
        {HEAD "tensor \"x\" f64 [4]\n", "element type"},
        {HEAD "tensor \"x\" f32 4\n", "shape in brackets"},
        {HEAD "tensor \"x\" f32 [0]\n", "outside"},
        {HEAD "tensor \"x\" f32 [-1]\n", "outside"},
        {HEAD "tensor \"x\" f32 [65536,65536]\n", "2^31-1"},
        {HEAD "tensor \"x\" f32 [1,1,1,1,1,1,1,1,1]\n", "at most 8 axes"},
        {HEAD "tensor \"x\" f32 [4] colour=red\n", "unknown key 'colour'"},
        {HEAD "tensor \"x\" f32 [4] extra\n", "one value too many"},
        {HEAD "tensor \"x\" i8 [4] scale=0x1p-1\n", "go together"},
        {HEAD "tensor \"x\" i8 [4] scale=[0x1p-1] zp=[1]\n", "axis="},
        {HEAD "tensor \"x\" i8 [4] axis=4 scale=[0x1p-1] zp=[1]\n", "outside"},
        {HEAD "tensor \"x\" i8 [4] axis=0 scale=[0x1p-1] zp=[1]\n", "1 scales for 4"},
        {HEAD "tensor \"x\" i8 [4] scale=nan zp=0\ninput \"x\"\n", "positive and finite"},
        {HEAD "tensor \"x\" i8 [4] data=hex:00\n", "2 digits, the shape needs 8"},
        {HEAD "tensor \"x\" i8 [1] data=hex:0g\n", "digit 0"},
        {HEAD "tensor \"x\" i8 [1] data=zz\n", "hex:<digits>"},
        {HEAD X "input \"y\"\n", "no tensor 'y'"},
        {HEAD X "input \"x\"\ninput \"x\"\n", "listed twice"},
        {HEAD X "output \"x\"\n", "nothing makes"},
        {HEAD X Y "input \"x\"\nnode Nope \"n\" in=[\"x\"] out=[\"y\"]\n", "name of an operator"},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"x\"]\n", "expected out="},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"x\"] out=[]\n", "0 outputs"},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"x\"] out=[\"y\"] alpha=0x1p+0\n",
         "Exp has no attribute 'alpha'"},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"x\",\"x\"] out=[\"y\"]\n", "has 2 inputs"},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"\"] out=[\"y\"]\n", "required input 0"},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"y\"] out=[\"y\"]\n", "cycle"},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"x\"] out=[\"y\"]\nnode Exp \"m\" in=[\"x\"] "
                  "out=[\"y\"]\n",
         "made twice"},
        {HEAD X Y "input \"x\"\nnode Exp \"n\" in=[\"x\"] out=[\"x\"]\n", "more than one of"},
        {HEAD X "tensor \"y\" f32 [5]\ninput \"x\"\nnode Exp \"n\" in=[\"x\"] out=[\"y\"]\n",
         "inference gives f32 [4]"},
        {HEAD X Y "input \"x\"\nnode Elu \"n\" in=[\"x\"] out=[\"y\"] alpha=nan\n", "not a number"},
        {HEAD X Y "input \"x\"\nnode Elu \"n\" in=[\"x\"] out=[\"y\"] alpha=[0x1p+0]\n",
         "expected one value"},
        {HEAD X Y "input \"x\"\nnode Transpose \"n\" in=[\"x\"] out=[\"y\"] perm=0\n",
         "expected a list"},
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) refuse_text(f, rows[i].text, rows[i].says);
}

static void refuse_binary(fixture *f, const void *p, size_t n, const char *says) {
    xg_graph *g = NULL;
    assert_int_not_equal(xg_graph_unpack(f->a, "t", p, n, &g), XG_OK);
    if (!strstr(last_diag(f), says)) fail_msg("'%s' lacks '%s'", last_diag(f), says);
}

static void test_binary_refusals(void **state) {
    fixture *f = *state;
    xg_buf b = packed(f, sample(f, 7, 4));
    refuse_binary(f, b.p, 0, "not an XGraph");
    refuse_binary(f, "\x0aXGR", 4, "not an XGraph");
    b.p[4] = 2;
    refuse_binary(f, b.p, b.n, "format 2, this program reads format 1");
    b.p[4] = 1;
    refuse_binary(f, b.p, b.n - 1, "damaged");
    xg_buf tail = {.arena = f->a};
    xg_put(&tail, b.p, b.n);
    xg_put(&tail, "\xfa\x7f\x01z", 4); /* field 2047 */
    refuse_binary(f, tail.p, tail.n, "unknown field");
    tail.n = b.n;
    xg_put(&tail, "\x0d\0\0\0\0", 5);
    refuse_binary(f, tail.p, tail.n, "twice");
    tail.n = b.n;
    xg_put(&tail, "\x28\xff\x01", 3); /* input 255 */
    refuse_binary(f, tail.p, tail.n, "tensor number 255");
    tail.n = 5;
    xg_put(&tail, "\x1a\x03\x0a\x01\x00", 5); /* a tensor called NUL */
    refuse_binary(f, tail.p, tail.n, "damaged name");
    tail.n = 5;
    xg_put(&tail, "\x1a\x00", 2);
    refuse_binary(f, tail.p, tail.n, "damaged name");
}

/* 2 bytes for each empty message in the file, 100 and more in memory: the budget must stop it. */
static void test_memory_budget(void **state) {
    fixture *f = *state;
    size_t n = 5 + 2u * 8000000;
    char *p = xg_alloc(f->a, n);
    memcpy(p, "\x0dXGR\x01", 5);
    for (size_t i = 5; i < n; i += 2) p[i] = 0x22;
    refuse_binary(f, p, n, "damaged");
}

/* Whatever single bytes and cuts do to a file, it is read or refused. */
static void test_mutations(void **state) {
    fixture *f = *state;
    uint64_t seed = 99;
    for (int form = 0; form < 2; form++) {
        xg_graph *g = sample(f, 11, 5), *back = NULL;
        xg_buf b = form ? packed(f, g) : printed(f->a, g, true);
        size_t refused = 0;
        for (int i = 0; i < 4000; i++) {
            xg_arena *a = xg_arena_new(f->c);
            char *p = xg_memdup(a, b.p, b.n);
            size_t n = i % 10 ? b.n : xg_random(&seed) % b.n;
            for (uint64_t k = 1 + xg_random(&seed) % 3; k; k--)
                p[xg_random(&seed) % b.n] ^= (char)(1u << xg_random(&seed) % 8);
            xg_status st =
                form ? xg_graph_unpack(a, "m", p, n, &back) : xg_graph_parse(a, "m", p, n, &back);
            if (st == XG_OK) assert_int_equal(xg_graph_verify(f->c, back), XG_OK);
            refused += st != XG_OK;
            xg_arena_free(a);
            xg_diag_truncate(f->c, 0);
        }
        assert_true(refused > 1000);
    }
}

/* ---- out of memory
 * -------------------------------------------------------------------------------------- */

static xg_status both_forms(void *arg) {
    xg_ctx *c = arg;
    xg_arena *a = xg_arena_new(c);
    xg_graph *g = NULL, *h = NULL;
    xg_status st = random_graph(c, a, 5, 3, &g);
    xg_buf text = {.arena = a}, bin = {.arena = a};
    if (st != XG_OK) return st;
    xg_graph_print(g, true, &text);
    st = xg_graph_parse(a, "t", text.p, text.n, &h);
    if (st == XG_OK) st = xg_graph_pack(c, h, &bin);
    return st == XG_OK ? xg_graph_unpack(a, "b", bin.p, bin.n, &h) : st;
}

static void test_allocation_failure(void **state) {
    fixture *f = *state;
    xg_status st = XG_NOMEM;
    uint64_t n = 1;
    for (; st == XG_NOMEM && n < 100000; n++) {
        xg_ctx *c = xg_ctx_new();
        xg_ctx_fail_alloc(c, n);
        st = xg_ctx_run(c, both_forms, c);
        xg_ctx_free(c);
    }
    assert_int_equal(st, XG_OK);
    assert_true(n > 20);
    (void)f;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_text_round_trip),         TEST(test_binary_round_trip),
        TEST(test_odd_things_survive),      TEST(test_text_is_what_the_page_says),
        TEST(test_form_is_told_by_content), TEST(test_digests_cannot_be_read),
        TEST(test_text_refusals),           TEST(test_binary_refusals),
        TEST(test_memory_budget),           TEST(test_mutations),
        TEST(test_allocation_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
