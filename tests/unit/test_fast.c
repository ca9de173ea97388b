/* The fast kernels against the literal ones: random shapes, types, zero points, scales and records,
 * at every level of vector instructions that this host has. */
#include "xgraph/fast.h"

#include "xg_test.h"

#include <math.h>

enum { LEVELS = XG_CPU_COUNT, IMPOSSIBLE = -1 };

static const char *const profiles[] = {"ort",   "tflite1", "tflite2", "dpu",
                                       "nvdla", "mul16",   "mul8"};

typedef struct bench {
    xg_ctx *c;
    xg_arena *a;
    uint64_t s;
    xg_graph *g;
    uint32_t in[4], nin;
    xg_rqrec rec;
    bool pow2; /* scales are powers of two, zero points 0 */
} bench;

static int64_t pick(bench *b, int64_t lo, int64_t hi) {
    return lo + (int64_t)(xg_random(&b->s) % (uint64_t)(hi - lo + 1));
}

static bool one_in(bench *b, int n) {
    return xg_random(&b->s) % (uint64_t)n == 0;
}

/* A named profile, or one with other roundings, formulas and widths. */
static void record(bench *b) {
    const char *name = profiles[xg_random(&b->s) % XG_COUNT(profiles)];
    assert_true(xg_rqrec_profile(name, &b->rec));
    if (one_in(b, 2)) {
        b->rec.rounding[0] = (xg_rounding)pick(b, XG_HALF_EVEN, XG_TRUNC);
        b->rec.rounding[1] = (xg_rounding)pick(b, XG_HALF_EVEN, XG_TRUNC);
        b->rec.zp_before_round = one_in(b, 2);
        if (one_in(b, 3)) b->rec.pool = (xg_pool_method)pick(b, XG_POOL_F32, XG_POOL_EXACT);
        if (one_in(b, 3)) b->rec.add = (xg_add_method)pick(b, XG_ADD_F32_FMA, XG_ADD_MULSHIFT);
        if (one_in(b, 4)) b->rec.shift_min = -20;
    }
    b->pow2 = b->rec.pow2_scales || one_in(b, 6);
}

static float scale(bench *b) {
    if (b->pow2) return ldexpf(1, (int)pick(b, -6, 0));
    if (one_in(b, 20)) return (float)pick(b, 1, 1000000) * 0x1p-30f;
    return (float)pick(b, 1, 1000000) * 0x1p-20f;
}

static int32_t zero_point(bench *b, xg_dtype t) {
    if (b->pow2 && one_in(b, 2)) return 0;
    if (t == XG_I16) return one_in(b, 2) ? 0 : (int32_t)pick(b, INT16_MIN, INT16_MAX);
    return (int32_t)(t == XG_I8 ? pick(b, -128, 127) : pick(b, 0, 255));
}

static xg_dtype type8(bench *b) {
    return one_in(b, 3) ? XG_U8 : XG_I8;
}

static const xg_quant *quant(bench *b, xg_dtype t) {
    return xg_quant_scalar(b->a, scale(b), zero_point(b, t));
}

/* Bytes, sometimes only extreme ones. */
static uint8_t *bytes(bench *b, int64_t n) {
    uint8_t *p = xg_alloc(b->a, (size_t)n);
    const bool extreme = one_in(b, 5);
    for (int64_t i = 0; i < n; i++) {
        p[i] = (uint8_t)xg_random(&b->s);
        if (extreme) p[i] = (uint8_t)(0x7f + (p[i] & 1) + (p[i] & 0x80 ? 0x80 : 0));
    }
    return p;
}

static void operand(bench *b, xg_dtype t, const xg_quant *q, uint8_t rank, const int64_t *dim) {
    int64_t n = 1;
    for (uint8_t i = 0; i < rank; i++) n *= dim[i];
    uint8_t *data = bytes(b, n * (int64_t)xg_dtype_bytes(t));
    b->in[b->nin++] = xg_graph_add_const(b->g, "k", t, rank, dim, data, q);
}

static void begin(bench *b, void **state, uint64_t seed) {
    xg_test *t = *state;
    *b = (bench){.c = t->c, .a = xg_arena_new(t->c), .s = seed};
    b->g = xg_graph_new(b->a, "g");
    record(b);
}

static const xg_node *node(bench *b, xg_op op, xg_dtype t, const xg_quant *q) {
    uint32_t n = xg_graph_add_node(b->g, op, "node", b->in, b->nin, 1);
    xg_tensor *y = xg_out(b->g, xg_nodep(b->g, n), 0);
    y->dtype = t;
    y->quant = q;
    return xg_nodep(b->g, n);
}

static void bounds(bench *b, const xg_node *n, xg_dtype t) {
    int32_t lo, hi;
    if (one_in(b, 2)) return;
    xg_dtype_range(t, &lo, &hi);
    int64_t low = pick(b, lo, hi);
    xg_set_ai(n, XG_ATTR_lo, low);
    xg_set_ai(n, XG_ATTR_hi, pick(b, low, hi));
}

/* Runs the twin itself; true when it took the node. */
static bool twin(bench *b, xg_values *v) {
    xg_values_init(v, b->g, b->a);
    const xg_node *n = xg_nodep(b->g, 0);
    xg_values_get(v, n->out[0]);
    xg_kernel k = {b->c, v, b->g, n, &b->rec, b->a};
    return xg_fast_node(&k);
}

static size_t out_bytes(const bench *b) {
    const xg_tensor *y = xg_out(b->g, xg_nodep(b->g, 0), 0);
    return (size_t)xg_tensor_elems(y) * xg_dtype_bytes(y->dtype);
}

/* The literal kernel first; then each level. Returns how many levels took the node; IMPOSSIBLE for
 * a shape that does not exist. */
static int compare(bench *b, uint64_t seed) {
    const uint32_t out = xg_nodep(b->g, 0)->out[0];
    xg_values want, got;
    int taken = 0;
    xg_graph_add_output(b->g, out);
    size_t from = xg_diag_count(b->c);
    if (xg_graph_infer(b->c, b->g) || xg_graph_verify(b->c, b->g)) {
        xg_diag_truncate(b->c, from);
        xg_arena_free(b->a);
        return IMPOSSIBLE;
    }
    xg_values_init(&want, b->g, b->a);
    want.mode = XG_VALUES_LITERAL;
    xg_status st = xg_interp_run(b->c, &want, &b->rec);
    xg_diag_truncate(b->c, from);
    for (int level = 0; level < LEVELS; level++) {
        setenv("XGC_ISA", xg_cpu_name((xg_cpu)level), 1);
        bool took = twin(b, &got);
        if (took && st != XG_OK) {
            print_message("seed %llu: taken, but the literal kernel refuses it\n",
                          (unsigned long long)seed);
            fail();
        }
        const uint8_t *w = want.v[out], *g = got.v[out];
        for (size_t i = 0; took && i < out_bytes(b); i++)
            if (w[i] != g[i]) {
                print_message("seed %llu, %s: byte %zu is %d, expected %d\n",
                              (unsigned long long)seed, xg_cpu_name((xg_cpu)level), i, g[i], w[i]);
                fail();
            }
        taken += took;
    }
    unsetenv("XGC_ISA");
    xg_arena_free(b->a);
    return taken;
}

/* n possible cases, of which a share must be the fast kernels'. */
static void cases(void **state, int n, double share, int (*one)(void **state, uint64_t seed)) {
    int taken = 0, run = 0;
    for (uint64_t i = 0; run < n && i < 10 * (uint64_t)n; i++) {
        int t = one(state, 1000003u * i + 17);
        if (t == IMPOSSIBLE) continue;
        taken += t;
        run++;
    }
    assert_int_equal(run, n);
    print_message("%d of %d taken\n", taken, n * LEVELS);
    assert_true(taken >= share * n * LEVELS);
}

/* ---- Conv, MatMul ---------------------------------------------------------------------------- */

static xg_window window(bench *b, int64_t most) {
    xg_window v = {.kh = (int32_t)pick(b, 1, most), .kw = (int32_t)pick(b, 1, most)};
    v.sh = (int32_t)pick(b, 1, 3), v.sw = (int32_t)pick(b, 1, 3);
    v.dh = (int32_t)pick(b, 1, 2), v.dw = (int32_t)pick(b, 1, 2);
    v.pt = (int32_t)pick(b, 0, 3), v.pl = (int32_t)pick(b, 0, 3);
    v.pb = (int32_t)pick(b, 3, 6), v.pr = (int32_t)pick(b, 3, 6);
    return v;
}

static const xg_quant *filter_quant(bench *b, xg_dtype t, int64_t o, int32_t axis) {
    if (one_in(b, 3)) return quant(b, t);
    float *s = xg_newn(b->a, float, (size_t)o);
    int32_t *z = xg_newn(b->a, int32_t, (size_t)o);
    const bool zero = one_in(b, 2);
    for (int64_t i = 0; i < o; i++) {
        s[i] = scale(b);
        z[i] = zero ? (t == XG_U8 ? 128 : 0) : zero_point(b, t);
    }
    return xg_quant_new(b->a, axis, (uint32_t)o, s, z);
}

static void biases(bench *b, int64_t o) {
    int32_t *v = xg_newn(b->a, int32_t, (size_t)o);
    for (int64_t i = 0; i < o; i++) v[i] = (int32_t)pick(b, -300000, 300000);
    if (one_in(b, 15)) v[0] = one_in(b, 2) ? INT32_MIN : INT32_MAX - 1000;
    b->in[b->nin++] = xg_graph_add_const(b->g, "b", XG_I32, 1, &o, v, NULL);
}

static int one_conv(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype x = type8(&b), w = type8(&b), y = type8(&b);
    const int kind = (int)pick(&b, 0, 3); /* dense, pointwise, depthwise, grouped */
    const int64_t group = kind == 2 ? pick(&b, 1, 150) : kind == 3 ? pick(&b, 2, 5) : 1;
    const int64_t cg = kind == 2 ? 1 : pick(&b, 1, 40);
    const int64_t og = kind == 2 ? 1 : one_in(&b, 8) ? pick(&b, 60, 140) : pick(&b, 1, 40);
    xg_window v = window(&b, 3);
    if (kind == 1) v = (xg_window){1, 1, 1, 1, 1, 1, 0, 0, 0, 0};
    const int64_t xd[] = {pick(&b, 1, 2), pick(&b, 1, 9), pick(&b, 1, 9), group * cg};
    const int64_t wd[] = {group * og, v.kh, v.kw, cg};
    operand(&b, x, quant(&b, x), 4, xd);
    operand(&b, w, filter_quant(&b, w, group * og, 0), 4, wd);
    if (!one_in(&b, 4)) biases(&b, group * og);
    const xg_node *n = node(&b, XG_OP_Conv, y, quant(&b, y));
    xg_set_window(n, &v);
    xg_set_ai(n, XG_ATTR_group, group);
    bounds(&b, n, y);
    return compare(&b, seed);
}

/* 16 bits on some side, extreme values now and then. */
static int one_wide_conv(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype type[] = {XG_I8, XG_U8, XG_I16, XG_I16};
    const xg_dtype x = XG_I16, w = type[pick(&b, 0, 3)], y = type[pick(&b, 0, 3)];
    const bool deep = one_in(&b, 3);
    const int64_t group = deep ? pick(&b, 1, 20) : pick(&b, 1, 3);
    const int64_t cg = deep ? 1 : pick(&b, 1, 20), og = deep ? 1 : pick(&b, 1, 20);
    const xg_window v = window(&b, 3);
    const int64_t xd[] = {pick(&b, 1, 2), pick(&b, 1, 9), pick(&b, 1, 9), group * cg};
    const int64_t wd[] = {group * og, v.kh, v.kw, cg};
    operand(&b, x, quant(&b, x), 4, xd);
    operand(&b, w, filter_quant(&b, w, group * og, 0), 4, wd);
    if (!one_in(&b, 4)) biases(&b, group * og);
    const xg_node *n = node(&b, XG_OP_Conv, y, quant(&b, y));
    xg_set_window(n, &v);
    xg_set_ai(n, XG_ATTR_group, group);
    bounds(&b, n, y);
    return compare(&b, seed);
}

static void test_wide_conv(void **state) {
    cases(state, 600, 0.85, one_wide_conv);
}

static void test_conv(void **state) {
    cases(state, 2500, 0.85, one_conv);
}

static int one_matmul(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype x = type8(&b), w = type8(&b), y = type8(&b);
    const int64_t k = pick(&b, 1, 200), n = pick(&b, 1, 90);
    const int64_t xd[] = {pick(&b, 1, 3), pick(&b, 1, 9), k}, wd[] = {k, n};
    operand(&b, x, quant(&b, x), 3, xd);
    operand(&b, w, filter_quant(&b, w, n, 1), 2, wd);
    bounds(&b, node(&b, XG_OP_MatMul, y, quant(&b, y)), y);
    return compare(&b, seed);
}

static void test_matmul(void **state) {
    cases(state, 500, 0.85, one_matmul);
}

/* Terms enough that only the exact 64-bit sum is right: the twin must leave it alone. */
static void test_too_wide(void **state) {
    for (int wide = 0; wide < 2; wide++) {
        bench b;
        begin(&b, state, 5);
        assert_true(xg_rqrec_profile("ort", &b.rec));
        const int64_t k = wide ? 34000 : 33000;
        int8_t *x = xg_alloc(b.a, (size_t)k);
        memset(x, 127, (size_t)k);
        const xg_quant *low = xg_quant_scalar(b.a, 1, -128);
        b.in[b.nin++] = xg_graph_add_const(b.g, "x", XG_I8, 4, (int64_t[]){1, 1, 1, k}, x, low);
        b.in[b.nin++] = xg_graph_add_const(b.g, "w", XG_I8, 4, (int64_t[]){1, 1, 1, k}, x, low);
        node(&b, XG_OP_Conv, XG_I8, xg_quant_scalar(b.a, 0x1p25f, 0));
        assert_int_equal(compare(&b, 5), wide ? 0 : LEVELS);
    }
}

/* ---- pools ----------------------------------------------------------------------------------- */

static int one_pool(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype x = type8(&b);
    const bool max = one_in(&b, 3), global = !max && one_in(&b, 3);
    xg_window v = window(&b, 4);
    const int64_t xd[] = {pick(&b, 1, 2), pick(&b, 1, 9), pick(&b, 1, 9), pick(&b, 1, 150)};
    if (global) v = (xg_window){(int32_t)xd[1], (int32_t)xd[2], 1, 1, 1, 1, 0, 0, 0, 0};
    const xg_quant *qx = quant(&b, x);
    operand(&b, x, qx, 4, xd);
    const xg_dtype ty = max || one_in(&b, 2) ? x : type8(&b);
    const bool same = max || (ty == x && (b.rec.pool == XG_POOL_EXACT || one_in(&b, 4)));
    const xg_node *n = node(&b, max ? XG_OP_MaxPool : XG_OP_AvgPool, ty, same ? qx : quant(&b, ty));
    xg_set_window(n, &v);
    if (!max) xg_set_ai(n, XG_ATTR_count_pad, one_in(&b, 2));
    bounds(&b, n, ty);
    return compare(&b, seed);
}

static void test_pool(void **state) {
    cases(state, 2000, 0.85, one_pool);
}

/* ---- element-wise ---------------------------------------------------------------------------- */

static int one_binary(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype x = type8(&b), w = type8(&b), y = type8(&b);
    const uint8_t rank = (uint8_t)pick(&b, 1, 4);
    int64_t xd[4], wd[4];
    for (int i = 0; i < rank; i++) {
        xd[i] = wd[i] = i == rank - 1 ? pick(&b, 1, 70) : pick(&b, 1, 5);
        if (one_in(&b, 5)) xd[i] = 1;
        if (one_in(&b, 5)) wd[i] = 1;
    }
    operand(&b, x, quant(&b, x), rank, xd);
    operand(&b, w, quant(&b, w), rank, wd);
    bounds(&b, node(&b, one_in(&b, 3) ? XG_OP_Mul : XG_OP_Add, y, quant(&b, y)), y);
    return compare(&b, seed);
}

static void test_binary(void **state) {
    cases(state, 3000, 0.85, one_binary);
}

static int one_lut(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype x = type8(&b), y = type8(&b);
    operand(&b, x, quant(&b, x), 3, (int64_t[]){3, 5, 17});
    operand(&b, y, NULL, 1, (int64_t[]){256});
    node(&b, XG_OP_Lut, y, quant(&b, y));
    return compare(&b, seed);
}

static int one_requantize(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype x = type8(&b), y = type8(&b);
    operand(&b, x, quant(&b, x), 3, (int64_t[]){2, 9, 33});
    node(&b, XG_OP_Requantize, y, quant(&b, y));
    return compare(&b, seed);
}

static int one_dequantize(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype x = type8(&b);
    operand(&b, x, quant(&b, x), 2, (int64_t[]){5, 47});
    node(&b, XG_OP_Dequantize, XG_F32, NULL);
    return compare(&b, seed);
}

static int one_quantize(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const int64_t n = 199;
    const xg_dtype y = type8(&b);
    const xg_quant *q = quant(&b, y);
    float *x = xg_newn(b.a, float, (size_t)n);
    for (int64_t i = 0; i < n; i++) x[i] = (float)pick(&b, -600, 600) * 0.5f * q->scale[0];
    x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY, x[3] = -0.0f, x[4] = nextafterf(0.5f, 0);
    b.in[b.nin++] = xg_graph_add_const(b.g, "x", XG_F32, 1, &n, x, NULL);
    node(&b, XG_OP_Quantize, y, q);
    return compare(&b, seed);
}

static void test_conversions(void **state) {
    cases(state, 200, 1, one_lut);
    cases(state, 200, 1, one_requantize);
    cases(state, 200, 1, one_dequantize);
    cases(state, 200, 1, one_quantize);
}

static int one_concat(void **state, uint64_t seed) {
    bench b;
    begin(&b, state, seed);
    const xg_dtype y = type8(&b);
    const xg_quant *q = quant(&b, y);
    const int axis = (int)pick(&b, 0, 3);
    int64_t dim[4] = {pick(&b, 1, 3), pick(&b, 1, 3), pick(&b, 1, 3), pick(&b, 1, 20)};
    for (int64_t i = pick(&b, 1, 4); i > 0; i--) {
        const xg_dtype x = one_in(&b, 2) ? y : type8(&b);
        dim[axis] = pick(&b, 1, 20);
        operand(&b, x, x == y && one_in(&b, 2) ? q : quant(&b, x), 4, dim);
    }
    xg_set_ai(node(&b, XG_OP_Concat, y, q), XG_ATTR_axis, axis);
    return compare(&b, seed);
}

static void test_concat(void **state) {
    cases(state, 400, 1, one_concat);
}

/* ---- packed weights -------------------------------------------------------------------------- */

/* A second and a third run read the weights that the second one kept; a change of level packs
 * again. */
static void test_packed(void **state) {
    bench b;
    begin(&b, state, 9);
    assert_true(xg_rqrec_profile("ort", &b.rec));
    const xg_quant *q = xg_quant_scalar(b.a, 0.05f, 3);
    const int64_t dim[] = {1, 7, 7, 24};
    xg_tensor x = {.name = "x", .dtype = XG_I8, .rank = 4, .quant = q, .producer = XG_NONE};
    memcpy(x.dim, dim, sizeof dim);
    b.in[b.nin++] = xg_graph_add_tensor(b.g, &x);
    xg_graph_add_input(b.g, b.in[0]);
    operand(&b, XG_I8, q, 4, (int64_t[]){40, 3, 3, 24});
    const xg_node *n = node(&b, XG_OP_Conv, XG_I8, xg_quant_scalar(b.a, 3, 0));
    xg_set_window(n, &(xg_window){3, 3, 1, 1, 1, 1, 1, 1, 1, 1});
    xg_graph_add_output(b.g, n->out[0]);
    assert_ok(b.c, xg_graph_infer(b.c, b.g));
    xg_values want, got;
    xg_values_init(&want, b.g, b.a);
    xg_values_init(&got, b.g, b.a);
    want.mode = XG_VALUES_LITERAL;
    for (int run = 0; run < 8; run++) {
        if (run == 4) setenv("XGC_ISA", "portable", 1);
        uint8_t *in = bytes(&b, 7 * 7 * 24);
        want.v[b.in[0]] = got.v[b.in[0]] = in;
        assert_ok(b.c, xg_interp_run(b.c, &want, &b.rec));
        assert_ok(b.c, xg_interp_run(b.c, &got, &b.rec));
        assert_memory_equal(want.v[n->out[0]], got.v[n->out[0]], out_bytes(&b));
        assert_non_null(got.packed);
        assert_int_equal(got.packed[0].group != NULL, run % 4 != 0);
    }
    unsetenv("XGC_ISA");
    assert_null(want.packed);
}

/* Every level that this host has is tested; which ones is said. */
static void test_levels(void **state) {
    (void)state;
    unsetenv("XGC_ISA");
    const xg_cpu host = xg_cpu_level();
    for (int i = 0; i < LEVELS; i++) {
        setenv("XGC_ISA", xg_cpu_name((xg_cpu)i), 1);
        assert_int_equal(xg_cpu_level(), xg_min(i, host));
        assert_int_equal(xg_fast_isa_of(xg_cpu_level())->level, xg_min(i, host));
    }
    unsetenv("XGC_ISA");
    print_message("this host: %s\n", xg_cpu_name(host));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_levels),      TEST(test_wide_conv), TEST(test_conv),   TEST(test_matmul),
        TEST(test_too_wide),    TEST(test_pool),      TEST(test_binary), TEST(test_concat),
        TEST(test_conversions), TEST(test_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
