/* 16-bit activations: the arithmetic against formulas written out here, the quantiser's choice of
 * nodes, and the way through ONNX and back. */
#include "xgraph/import.h"
#include "xgraph/samples.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "float_net.h"
#include "onnx_bytes.h"
#include "onnx_model.h"
#include "xg_test.h"

static const char *const profiles[] = {"ort",   "tflite1", "tflite2", "dpu",
                                       "nvdla", "mul16",   "mul8"};

static xg_rqrec profile(const char *name) {
    xg_rqrec r;
    assert_true(xg_rqrec_profile(name, &r));
    return r;
}

/* ---- arithmetic ---- */

static uint32_t integer_input(xg_graph *g, const char *name, xg_dtype type, float scale, int32_t zp,
                              uint8_t rank, const int64_t *dim) {
    xg_tensor x = {.name = name, .dtype = type, .rank = rank, .producer = XG_NONE};
    memcpy(x.dim, dim, rank * sizeof *dim);
    x.quant = xg_quant_scalar(g->arena, scale, zp);
    uint32_t t = xg_graph_add_tensor(g, &x);
    xg_graph_add_input(g, t);
    return t;
}

static uint32_t result(xg_test *t, xg_graph *g, uint32_t node, xg_dtype type, float scale,
                       int32_t zp) {
    uint32_t y = xg_nodep(g, node)->out[0];
    xg_tensorp(g, y)->dtype = type;
    xg_tensorp(g, y)->quant = xg_quant_scalar(t->a, scale, zp);
    xg_graph_add_output(g, y);
    assert_ok(t->c, xg_graph_infer(t->c, g));
    assert_ok(t->c, xg_graph_verify(t->c, g));
    return y;
}

static int64_t code(const void *p, xg_dtype type, int64_t i) {
    return type == XG_I16  ? ((const int16_t *)p)[i]
           : type == XG_U8 ? ((const uint8_t *)p)[i]
                           : ((const int8_t *)p)[i];
}

/* rne(clamp(f32(f32(acc) * f32(f32(sx sw) / sy)))) + zy, from the page. */
static int64_t requantised(__int128 acc, float sx, float sw, float sy, int32_t zy, xg_dtype type) {
    int32_t lo, hi;
    xg_dtype_range(type, &lo, &hi);
    float m = sx * sw, v;
    m = m / sy;
    v = (float)acc;
    v = v * m;
    v = fminf(fmaxf(v, (float)(lo - zy)), (float)(hi - zy));
    return (int64_t)nearbyintf(v) + zy;
}

typedef struct dense {
    int64_t rows, terms, columns;
    xg_dtype tx, ty;
    float sx, sy;
    int32_t zx, zy;
} dense;

/* A 1x1 Conv over [1, rows, 1, terms], weights of a scale for each column. */
static void check_conv(xg_test *t, const dense *d, uint64_t seed) {
    xg_graph *g = xg_graph_new(t->a, "conv");
    uint32_t in[3] = {
        integer_input(g, "x", d->tx, d->sx, d->zx, 4, (const int64_t[]){1, d->rows, 1, d->terms})};
    int8_t *w = xg_newn(t->a, int8_t, (size_t)(d->columns * d->terms));
    int32_t *b = xg_newn(t->a, int32_t, (size_t)d->columns);
    float *sw = xg_newn(t->a, float, (size_t)d->columns);
    for (int64_t i = 0; i < d->columns * d->terms; i++) w[i] = (int8_t)xg_random(&seed);
    for (int64_t o = 0; o < d->columns; o++) {
        b[o] = (int32_t)xg_random(&seed) / 4;
        sw[o] = (float)(1 + xg_random(&seed) % 1000) * 0x1p-17f;
    }
    in[1] = xg_graph_add_const(g, "w", XG_I8, 4, (const int64_t[]){d->columns, 1, 1, d->terms}, w,
                               xg_quant_new(t->a, 0, (uint32_t)d->columns, sw, NULL));
    in[2] = xg_graph_add_const(g, "b", XG_I32, 1, &d->columns, b, NULL);
    uint32_t node = xg_graph_add_node(g, XG_OP_Conv, "c", in, 3, 1);
    uint32_t y = result(t, g, node, d->ty, d->sy, d->zy);
    for (size_t p = 0; p < XG_COUNT(profiles); p++) { /* the same on every machine */
        xg_rqrec r = profile(profiles[p]);
        xg_values v;
        xg_values_init(&v, g, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &v, p ? "random" : "max", seed));
        assert_ok(t->c, xg_interp_run(t->c, &v, &r));
        for (int64_t i = 0; i < d->rows * d->columns; i++) {
            int64_t row = i / d->columns, o = i % d->columns;
            __int128 acc = b[o];
            for (int64_t k = 0; k < d->terms; k++)
                acc += (__int128)(code(v.v[in[0]], d->tx, row * d->terms + k) - d->zx) *
                       w[o * d->terms + k];
            assert_int_equal(code(v.v[y], d->ty, i),
                             requantised(acc, d->sx, sw[o], d->sy, d->zy, d->ty));
        }
    }
}

static void convolutions_are_exact(void **state) {
    xg_test *t = *state;
    static const dense cases[] = {
        {3, 40, 5, XG_I16, XG_I16, 0x1.3p-12f, 0.0043f, 0, 0},
        {3, 40, 5, XG_I16, XG_I8, 0x1.3p-12f, 0.7f, 0, -17},
        {3, 40, 5, XG_I8, XG_I16, 0.031f, 0.0021f, 9, 0},
        {3, 40, 5, XG_U8, XG_I16, 0.031f, 0.0021f, 128, 0},
        {2, 7, 3, XG_I16, XG_I16, 0.01f, 0.02f, -32768, 1234},
        {1, 30000, 2, XG_I16, XG_I16, 0.01f, 0.9f, 0, 0}, /* far beyond 32 bits */
    };
    for (size_t i = 0; i < XG_COUNT(cases); i++) check_conv(t, &cases[i], i + 1);
}

/* The window's geometry is the 8-bit kernel's: with codes of 8 bits in 16-bit tensors and the
 * result in 8 bits, both kernels must agree. */
static void windows_match_the_kernel_of_8_bits(void **state) {
    xg_test *t = *state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        xg_graph *g = xg_graph_new(t->a, "windows");
        uint64_t s = seed;
        int64_t group = 1 + (int64_t)(xg_random(&s) % 3), cg = 1 + (int64_t)(xg_random(&s) % 3);
        int64_t o = group * (1 + (int64_t)(xg_random(&s) % 3)), c = group * cg;
        const int64_t dim[4] = {2, 6, 5, c}, wdim[4] = {o, 3, 2, cg};
        uint32_t x8 = integer_input(g, "x8", XG_I8, 0.05f, 3, 4, dim);
        uint32_t x16 = integer_input(g, "x16", XG_I16, 0.05f, 3, 4, dim);
        int8_t *w = xg_newn(t->a, int8_t, (size_t)(o * 6 * cg));
        for (int64_t i = 0; i < o * 6 * cg; i++) w[i] = (int8_t)xg_random(&s);
        uint32_t wt =
            xg_graph_add_const(g, "w", XG_I8, 4, wdim, w, xg_quant_scalar(t->a, 0.01f, 0));
        xg_window win = {3, 2, 1 + (int32_t)(seed % 2), 1, 1, 1 + (int32_t)(seed % 2), 1, 0, 1, 1};
        uint32_t y[2];
        for (int k = 0; k < 2; k++) {
            uint32_t in[2] = {k ? x16 : x8, wt};
            uint32_t n = xg_graph_add_node(g, XG_OP_Conv, k ? "wide" : "narrow", in, 2, 1);
            xg_set_window(xg_nodep(g, n), &win);
            xg_set_ai(xg_nodep(g, n), XG_ATTR_group, group);
            xg_set_ai(xg_nodep(g, n), XG_ATTR_lo, -60);
            y[k] = result(t, g, n, XG_I8, 0.21f, -5);
        }
        xg_values v;
        xg_values_init(&v, g, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &v, "random", seed));
        for (int64_t i = 0; i < 60 * c; i++) ((int16_t *)v.v[x16])[i] = ((int8_t *)v.v[x8])[i];
        assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
        assert_memory_equal(v.v[y[0]], v.v[y[1]], (size_t)xg_tensor_elems(xg_tensorp(g, y[0])));
    }
}

static void products_of_two_maps_are_exact(void **state) {
    xg_test *t = *state;
    enum { M = 3, K = 50, N = 4 };
    xg_graph *g = xg_graph_new(t->a, "product");
    uint32_t in[2] = {integer_input(g, "a", XG_I16, 0.002f, -7, 3, (const int64_t[]){2, M, K}),
                      integer_input(g, "b", XG_I16, 0.0003f, 11, 3, (const int64_t[]){2, K, N})};
    uint32_t y = result(t, g, xg_graph_add_node(g, XG_OP_MatMul, "m", in, 2, 1), XG_I16, 0.04f, 5);
    xg_values v;
    xg_values_init(&v, g, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &v, "random", 1));
    assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
    const int16_t *a = v.v[in[0]], *b = v.v[in[1]];
    for (int64_t i = 0; i < 2 * M * N; i++) {
        int64_t batch = i / (M * N), row = i / N % M, col = i % N;
        __int128 acc = 0;
        for (int64_t k = 0; k < K; k++)
            acc +=
                (__int128)(a[(batch * M + row) * K + k] + 7) * (b[(batch * K + k) * N + col] - 11);
        assert_int_equal(((int16_t *)v.v[y])[i],
                         requantised(acc, 0.002f, 0.0003f, 0.04f, 5, XG_I16));
    }
}

/* Every other operator: the float operator between Dequantize and Quantize, in a graph that says
 * so. */
static void the_others_are_float_between_conversions(void **state) {
    xg_test *t = *state;
    static const xg_op ops[] = {XG_OP_Add,     XG_OP_Mul,  XG_OP_Sub,     XG_OP_Div,
                                XG_OP_Sigmoid, XG_OP_Gelu, XG_OP_AvgPool, XG_OP_ReduceMean,
                                XG_OP_Softmax, XG_OP_Max};
    for (size_t i = 0; i < XG_COUNT(ops); i++)
        for (int mixed = 0; mixed < 2; mixed++) {
            xg_graph *g = xg_graph_new(t->a, "other");
            const int64_t dim[4] = {1, 4, 4, 6};
            uint32_t x[2] = {integer_input(g, "a", XG_I16, 0.0004f, 0, 4, dim),
                             integer_input(g, "b", mixed ? XG_I8 : XG_I16, 0.03f, 2, 4, dim)};
            uint32_t f[2], n = (uint32_t)xg_ops[ops[i]].min_in;
            for (int k = 0; k < 2; k++) {
                uint32_t dq = xg_graph_add_node(g, XG_OP_Dequantize, NULL, &x[k], 1, 1);
                f[k] = xg_nodep(g, dq)->out[0];
            }
            uint32_t wide = xg_graph_add_node(g, ops[i], "wide", x, n, 1);
            uint32_t real = xg_graph_add_node(g, ops[i], "real", f, n, 1);
            uint32_t q =
                xg_graph_add_node(g, XG_OP_Quantize, "q", &xg_nodep(g, real)->out[0], 1, 1);
            xg_window win = {2, 2, 2, 2, 1, 1, 0, 0, 0, 0};
            if (ops[i] == XG_OP_AvgPool) {
                xg_set_window(xg_nodep(g, wide), &win);
                xg_set_window(xg_nodep(g, real), &win);
            }
            if (ops[i] == XG_OP_Softmax) {
                xg_set_ai(xg_nodep(g, wide), XG_ATTR_axis, 3);
                xg_set_ai(xg_nodep(g, real), XG_ATTR_axis, 3);
            }
            xg_dtype type = mixed && n == 1 ? XG_I8 : XG_I16;
            float sy = type == XG_I8 ? 0.02f : 0.00031f;
            uint32_t yq = xg_nodep(g, q)->out[0], yw = xg_nodep(g, wide)->out[0];
            xg_tensorp(g, yq)->dtype = xg_tensorp(g, yw)->dtype = type;
            xg_tensorp(g, yq)->quant = xg_tensorp(g, yw)->quant = xg_quant_scalar(t->a, sy, -3);
            xg_graph_add_output(g, yq);
            xg_graph_add_output(g, yw);
            assert_ok(t->c, xg_graph_infer(t->c, g));
            assert_ok(t->c, xg_graph_verify(t->c, g));
            xg_rqrec r = profile(profiles[i % XG_COUNT(profiles)]);
            xg_values v;
            xg_values_init(&v, g, t->a);
            assert_ok(t->c, xg_values_fill(t->c, &v, "random", i));
            assert_ok(t->c, xg_interp_run(t->c, &v, &r));
            assert_memory_equal(v.v[yq], v.v[yw],
                                (size_t)xg_tensor_elems(xg_tensorp(g, yq)) * xg_dtype_bytes(type));
        }
}

static void sums_beyond_48_bits_are_refused(void **state) {
    xg_test *t = *state;
    xg_graph *g = xg_graph_new(t->a, "huge");
    const int64_t a[2] = {1, 1 << 20}, b[2] = {1 << 20, 1};
    uint32_t in[2] = {integer_input(g, "a", XG_I16, 1, 0, 2, a),
                      integer_input(g, "b", XG_I16, 1, 0, 2, b)};
    result(t, g, xg_graph_add_node(g, XG_OP_MatMul, "m", in, 2, 1), XG_I16, 1, 0);
    xg_rqrec r = profile("ort");
    assert_status(t->c, xg_prove_accumulators(t->c, g, &r), XG_LIMIT);
    assert_said(t->c, "the host has 48 bits");
}

/* ---- the quantiser's choice ---- */

static void no_bias(const maker *m, uint32_t y) {
    const xg_tensor *b = xg_in(m->g, node_of(m, y), 2);
    memset((void *)(uintptr_t)b->data, 0, (size_t)b->dim[0] * sizeof(float));
}

/* Channels of one map that differ by a factor of 500, and only the small ones are read: one scale
 * of 8 bits leaves nothing of them. */
static xg_graph *uneven_net(xg_arena *a) {
    maker m = {a, xg_graph_new(a, "uneven"), 5};
    uint32_t x = float_input(&m, "x", 8, 8, 4);
    uint32_t y = conv(&m, "spread", x, 4, 8, 3, 0.3f);
    y = clip(&m, "relu", y, 0, INFINITY);
    uint32_t z = pool(&m, XG_OP_MaxPool, "pool", y, 2);
    uint32_t w = conv(&m, "gather", z, 8, 6, 1, 0.5f);
    float *first = (float *)(uintptr_t)xg_in(m.g, xg_nodep(m.g, 0), 1)->data;
    float *second = (float *)(uintptr_t)xg_in(m.g, node_of(&m, w), 1)->data;
    float *bias = (float *)(uintptr_t)xg_in(m.g, xg_nodep(m.g, 0), 2)->data;
    for (int c = 1; c < 8; c++) {
        for (int i = 0; i < 36; i++) first[c * 36 + i] *= 0.002f;
        bias[c] *= 0.002f;
    }
    for (int o = 0; o < 6; o++) second[o * 8] = 0;
    no_bias(&m, w);
    uint32_t end = conv(&m, "end", clip(&m, "relu2", w, 0, INFINITY), 6, 3, 1, 0.5f);
    no_bias(&m, end);
    xg_tensor_rename(m.g, end, "y");
    xg_graph_add_output(m.g, end);
    return m.g;
}

/* Quantised with nodes kept in 16 bits; the cosine of the output goes to *cosine. */
static xg_graph *quantised(xg_test *t, xg_graph *g, const xg_rqrec *r, const char *keep,
                           xg_quant_map *map, double *cosine) {
    /* minmax: other methods would clip what nobody reads */
    xg_quant_options o = {
        .method = XG_CALIB_MINMAX, .keep_int16 = &keep, .nkeep_int16 = keep != NULL};
    xg_samples *s;
    xg_calibration k;
    xg_quant_report report = {0};
    xg_graph *q = g;
    assert_ok(t->c, xg_graph_infer(t->c, g));
    assert_ok(t->c, xg_samples_open(t->a, g, "random", NULL, &s));
    assert_ok(t->c, xg_calibrate_samples(t->a, g, r, s, &o, NULL, &k));
    assert_ok(t->c, xg_quantise_with(t->a, &q, &k, r, &o, s, map, &report));
    assert_ok(t->c, xg_prove_accumulators(t->c, q, r));
    assert_ok(t->c, xg_quant_compare(t->a, g, q, r, s, 1, &report));
    if (cosine) *cosine = report.output.v[0].cosine;
    return q;
}

static uint32_t count_wide(const xg_graph *g) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->tensor.n; i++)
        n += g->tensor.v[i].dtype == XG_I16 && !g->tensor.v[i].data;
    return n;
}

static void a_node_in_16_bits_repairs_what_8_bits_lose(void **state) {
    xg_test *t = *state;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r = profile(profiles[p]);
        double narrow, wide;
        xg_graph *g = quantised(t, uneven_net(t->a), &r, NULL, NULL, &narrow);
        assert_int_equal(count_wide(g), 0);
        g = quantised(t, uneven_net(t->a), &r, "gather", NULL, &wide);
        assert_int_equal(count_wide(g), 3); /* relu, pool, relu2 */
        assert_true(narrow < 0.95 && wide > 0.99);
        assert_true((1 - wide) * 10 < 1 - narrow);
    }
}

static const xg_node *named(const xg_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (!strcmp(xg_nodep(g, i)->name, name)) return xg_nodep(g, i);
    fail_msg("no node %s", name);
    return NULL;
}

/* What a kept node reads and makes is in 16 bits, and its neighbours keep 8. */
static void neighbours_keep_8_bits(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    xg_graph *g = quantised(t, mixed_net(t), &r, "c2", NULL, NULL);
    assert_int_equal(xg_in(g, named(g, "c1"), 0)->dtype, XG_I8);
    assert_int_equal(xg_out(g, named(g, "c1"), 0)->dtype, XG_I16);
    assert_int_equal(xg_in(g, named(g, "c2"), 0)->dtype, XG_I16);
    assert_int_equal(xg_in(g, named(g, "c1"), 1)->dtype, XG_I8);
    assert_int_equal(xg_in(g, named(g, "c2"), 1)->dtype, XG_I16);
    assert_int_equal(xg_out(g, named(g, "c2"), 0)->dtype, XG_I16);
    assert_int_equal(xg_in(g, named(g, "sum"), 0)->dtype, XG_I8);
    assert_int_equal(xg_in(g, named(g, "sum"), 1)->dtype, XG_I8);
    assert_int_equal(count_wide(g), 2);
    g = quantised(t, mixed_net(t), &r, "gate", NULL, NULL); /* no table has 65,536 entries */
    assert_int_equal(named(g, "gate")->op, XG_OP_Sigmoid);
    assert_int_equal(xg_in(g, named(g, "gate"), 0)->dtype, XG_I16);
    assert_int_equal(xg_out(g, named(g, "cat"), 0)->dtype, XG_I16);
    for (uint32_t k = 0; k < 2; k++) assert_int_equal(xg_in(g, named(g, "cat"), k)->dtype, XG_I16);
}

static void names_may_have_wildcards(void **state) {
    xg_test *t = *state;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r = profile(profiles[p]);
        double all = 0;
        xg_graph *g = quantised(t, mixed_net(t), &r, "*", NULL, &all);
        for (uint32_t i = 0; i < g->tensor.n; i++)
            assert_int_not_equal(g->tensor.v[i].dtype, XG_I8);
        assert_true(all > 0.99999);
    }
}

static void names_that_mean_nothing_are_refused(void **state) {
    xg_test *t = *state;
    xg_graph *g = mixed_net(t);
    xg_rqrec r = profile("ort");
    xg_samples *s;
    xg_calibration k;
    assert_ok(t->c, xg_samples_open(t->a, g, "random", NULL, &s));
    assert_ok(t->c, xg_calibrate_samples(t->a, g, &r, s, NULL, NULL, &k));
    const char *names[] = {"nowhere", "soft"}; /* softmax is float anyway */
    for (size_t i = 0; i < XG_COUNT(names); i++) {
        xg_graph *q = g;
        xg_quant_options o = {.keep_int16 = &names[i], .nkeep_int16 = 1};
        assert_status(t->c, xg_quantise_with(t->a, &q, &k, &r, &o, s, NULL, NULL), XG_USAGE);
        assert_said(t->c, names[i]);
    }
}

/* ---- through ONNX ---- */

static xg_graph *reimport(xg_test *t, const xg_buf *onnx) {
    xg_graph *g = import_bytes(t, onnx);
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    return g;
}

static uint32_t count_float_work(const xg_graph *g) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->node.n; i++)
        n += xg_nodep(g, i)->op == XG_OP_Conv && xg_out(g, xg_nodep(g, i), 0)->dtype == XG_F32;
    return n;
}

static void a_written_model_comes_back_equal(void **state) {
    xg_test *t = *state;
    static const char *const keep[] = {NULL,   "c2",    "sum", "cat", "gate",
                                       "mean", "dense", "p*",  "*"};
    static const xg_dtype types[] = {XG_I8, XG_U8};
    xg_rqrec r = profile("ort");
    for (size_t i = 0; i < 2 * XG_COUNT(keep); i++) {
        xg_quant_map map;
        xg_graph *q = quantised(t, mixed_net(t), &r, keep[i / 2], &map, NULL);
        xg_buf onnx = {.arena = t->a};
        assert_ok(t->c, xg_export_qdq(t->c, &map, types[i % 2], &onnx));
        xg_graph *back = reimport(t, &onnx);
        assert_int_equal(count_float_work(back), 0);
        assert_int_equal(count_wide(back) > 0, keep[i / 2] != NULL);
        xg_values a, b;
        xg_values_init(&a, q, t->a);
        xg_values_init(&b, back, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &a, "random", i));
        memcpy(xg_values_get(&b, back->input.v[0]), a.v[q->input.v[0]], 192 * sizeof(float));
        assert_ok(t->c, xg_interp_run(t->c, &a, &r));
        assert_ok(t->c, xg_interp_run(t->c, &b, &r));
        assert_memory_equal(a.v[q->output.v[0]], b.v[back->output.v[0]], 5 * sizeof(float));
    }
}

/* A machine of powers of two gets the 8-bit rest of a foreign model anew; what has 16 bits keeps
 * its scales. */
static void foreign_16_bits_stay_on_every_machine(void **state) {
    xg_test *t = *state;
    xg_rqrec ort = profile("ort"), dpu = profile("dpu");
    xg_graph *q = quantised(t, mixed_net(t), &ort, "c2", NULL, NULL), *h = q;
    assert_ok(t->c, xg_target_quantise(t->a, &h, &dpu, NULL));
    const xg_node *c2 = named(h, "c2");
    assert_true(xg_quant_equal(xg_in(h, c2, 0)->quant, xg_in(q, named(q, "c2"), 0)->quant));
    assert_int_equal(xg_out(h, c2, 0)->dtype, XG_I16);
    assert_true(xg_quant_equal(xg_out(h, c2, 0)->quant, xg_out(q, named(q, "c2"), 0)->quant));
    int e;
    assert_true(frexpf(xg_out(h, named(h, "left"), 0)->quant->scale[0], &e) == 0.5f);
    xg_values a, b;
    xg_values_init(&a, q, t->a);
    xg_values_init(&b, h, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &a, "random", 3));
    memcpy(xg_values_get(&b, h->input.v[0]), a.v[q->input.v[0]], 192 * sizeof(float));
    assert_ok(t->c, xg_interp_run(t->c, &a, &ort));
    assert_ok(t->c, xg_interp_run(t->c, &b, &dpu));
    const int16_t *ya = a.v[named(q, "c2")->out[0]], *yb = b.v[c2->out[0]];
    double signal = 0, noise = 0;
    for (int i = 0; i < 8 * 8 * 8; i++) {
        signal += (double)ya[i] * ya[i];
        noise += (double)(ya[i] - yb[i]) * (ya[i] - yb[i]);
    }
    assert_true(signal > 0 && noise * 300 < signal); /* 25 dB: c1's weights have one scale now */
}

/* ---- models from outside ---- */

enum { ONNX_U16 = 4, ONNX_I16 = 5, ONNX_U4 = 21, ONNX_I4 = 22 };

/* uint16 in, int16 out, weights of 4 bits with a scale and zero point a channel. */
static void foreign_types_become_ours_exactly(void **state) {
    xg_test *t = *state;
    enum { C = 3, O = 4, H = 5, K = C * 9 };
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        uint64_t seed = 3;
        uint8_t packed[(O * K + 1) / 2], zeros[O / 2];
        int32_t w[O * K], zw[O], b[O];
        const uint16_t zx = 31000;
        const int16_t zy = -77;
        const float sx = 0.0001f, sy = 0.0003f, sw[O] = {0.02f, 0.01f, 0.5f, 0.07f};
        for (size_t i = 0; i < sizeof packed; i++) packed[i] = (uint8_t)xg_random(&seed);
        for (int i = 0; i < O / 2; i++) zeros[i] = (uint8_t)xg_random(&seed);
        for (int i = 0; i < O * K; i++) {
            w[i] = packed[i / 2] >> 4 * (i % 2) & 15;
            if (is_signed && w[i] > 7) w[i] -= 16;
        }
        for (int o = 0; o < O; o++) {
            zw[o] = zeros[o / 2] >> 4 * (o % 2) & 15;
            if (is_signed && zw[o] > 7) zw[o] -= 16;
            b[o] = (int32_t)xg_random(&seed) / 64;
        }
        float sb[O];
        for (int o = 0; o < O; o++) sb[o] = sx * sw[o];
        const int type = is_signed ? ONNX_I4 : ONNX_U4;
        const int32_t zb[O] = {0};
        model m = model_new(state, 21);
        m_input(&m, "x", ONNX_F32, 4, (const int64_t[]){1, C, H, H});
        m_constant(&m, "w", type, 4, (const int64_t[]){O, C, 3, 3}, packed);
        m_constant(&m, "zw", type, 1, (const int64_t[]){O}, zeros);
        m_constant(&m, "sw", ONNX_F32, 1, (const int64_t[]){O}, sw);
        m_constant(&m, "b", ONNX_I32, 1, (const int64_t[]){O}, b);
        m_constant(&m, "sb", ONNX_F32, 1, (const int64_t[]){O}, sb);
        m_constant(&m, "zb", ONNX_I32, 1, (const int64_t[]){O}, zb);
        m_constant(&m, "zx", ONNX_U16, 0, NULL, &zx);
        m_constant(&m, "zy", ONNX_I16, 0, NULL, &zy);
        m_scalar(&m, "sx", sx);
        m_scalar(&m, "sy", sy);
        m_node(&m, "QuantizeLinear", "x,sx,zx", "xq");
        m_node(&m, "DequantizeLinear", "xq,sx,zx", "xr");
        m_int(&m, m_node(&m, "DequantizeLinear", "w,sw,zw", "wr"), "axis", 0);
        m_int(&m, m_node(&m, "DequantizeLinear", "b,sb,zb", "br"), "axis", 0);
        m_node(&m, "Conv", "xr,wr,br", "yr");
        m_node(&m, "QuantizeLinear", "yr,sy,zy", "yq");
        m_node(&m, "DequantizeLinear", "yq,sy,zy", "y");
        m_output(&m, "y");
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        assert_int_equal(count_float_work(g), 0);
        xg_values v;
        xg_values_init(&v, g, t->a);
        float *x = xg_values_get(&v, g->input.v[0]);
        for (int i = 0; i < C * H * H; i++)
            x[i] = ((float)(xg_random(&seed) >> 40) * 0x1p-23f - 1) * 3.5f; /* some saturate */
        assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
        const float *y = v.v[g->output.v[0]];
        for (int i = 0; i < O * 9; i++) {
            int o = i / 9, py = i % 9 / 3, px = i % 3;
            __int128 acc = b[o];
            for (int k = 0; k < K; k++) {
                int at = (k / 9 * H + py + k % 9 / 3) * H + px + k % 3;
                float q = fminf(fmaxf(nearbyintf(x[at] / sx) + zx, 0), 65535);
                acc += (__int128)((int32_t)q - zx) * (w[o * K + k] - zw[o]);
            }
            int64_t want = requantised(acc, sx, sw[o], sy, zy, XG_I16);
            assert_true(y[i] == (float)(want - zy) * sy);
        }
    }
}

static void what_4_bits_cannot_be_is_refused(void **state) {
    xg_test *t = *state;
    const uint8_t zero = 0;
    for (int i = 0; i < 2; i++) {
        model m = model_new(state, 21);
        m_input(&m, "x", ONNX_F32, 2, (const int64_t[]){1, 4});
        m_scalar(&m, "s", 0.5f);
        m_constant(&m, "z", ONNX_I4, 0, NULL, &zero);
        if (i) m.constant[1]->raw_data.len = 0; /* fewer bytes than the shape asks for */
        m_node(&m, "QuantizeLinear", "x,s,z", "y");
        m_output(&m, "y");
        xg_graph *g;
        assert_true(m_import(&m, &g) != XG_OK);
        assert_said(t->c, i ? "its shape asks for 1" : "4 bits");
    }
}

static xg_status scenario(void *arg) {
    xg_test_case *k = arg;
    const char *keep = "c*";
    xg_quant_options o = {.keep_int16 = &keep, .nkeep_int16 = 1};
    xg_test t = {k->c, k->a};
    xg_rqrec r;
    if (!xg_rqrec_profile("ort", &r)) return XG_INTERNAL;
    xg_graph *g = mixed_net(&t);
    xg_samples *s;
    xg_calibration ranges;
    xg_quant_map map;
    xg_buf onnx = {.arena = k->a};
    xg_status st = xg_samples_open(k->a, g, "random", NULL, &s);
    if (st == XG_OK) st = xg_calibrate_samples(k->a, g, &r, s, &o, NULL, &ranges);
    if (st == XG_OK) st = xg_quantise_with(k->a, &g, &ranges, &r, &o, s, &map, NULL);
    return st == XG_OK ? xg_export_qdq(k->c, &map, XG_U8, &onnx) : st;
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    assert_true(xg_test_nomem(scenario, NULL, 17) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(convolutions_are_exact),
        TEST(windows_match_the_kernel_of_8_bits),
        TEST(products_of_two_maps_are_exact),
        TEST(the_others_are_float_between_conversions),
        TEST(sums_beyond_48_bits_are_refused),
        TEST(a_node_in_16_bits_repairs_what_8_bits_lose),
        TEST(neighbours_keep_8_bits),
        TEST(names_may_have_wildcards),
        TEST(names_that_mean_nothing_are_refused),
        TEST(a_written_model_comes_back_equal),
        TEST(foreign_16_bits_stay_on_every_machine),
        TEST(foreign_types_become_ours_exactly),
        TEST(what_4_bits_cannot_be_is_refused),
        TEST(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
