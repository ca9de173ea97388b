/* Operators that the importer takes apart or the passes put together, against loops written here:
 * transposed convolutions, interpolation, integer products, activations in their spellings. */
#include "xgraph/import.h"
#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "onnx_bytes.h"
#include "onnx_model.h"
#include "xg_test.h"

#include <math.h>

#define DIMS(...)                                                                                  \
    (sizeof((int64_t[]){__VA_ARGS__}) / 8), (const int64_t[]) {                                    \
        __VA_ARGS__                                                                                \
    }

static int64_t pick(uint64_t *s, int64_t lo, int64_t hi) {
    return lo + (int64_t)(xg_random(s) % (uint64_t)(hi - lo + 1));
}

static float pick_f32(uint64_t *s) {
    return (float)(int64_t)(xg_random(s) >> 40) * 0x1p-22f - 2;
}

/* Output 0 of g on one input. */
static const void *run(xg_test *t, const xg_graph *g, const void *x) {
    xg_values *v = xg_new(t->a, xg_values);
    xg_values_init(v, g, t->a);
    v->v[g->input.v[0]] = (void *)(uintptr_t)x;
    assert_ok(t->c, xg_interp_run(t->c, v, NULL));
    return v->v[g->output.v[0]];
}

static uint32_t count_op(const xg_graph *g, xg_op op) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->node.n; i++) n += xg_nodep(g, i)->op == op;
    return n;
}

static void assert_near(const float *got, const double *want, int64_t n, double tolerance) {
    for (int64_t i = 0; i < n; i++) {
        bool ok = fabs((double)got[i] - want[i]) <= tolerance * (1 + fabs(want[i]));
        if (!ok)
            print_message("element %lld: %g, expected %g\n", (long long)i, (double)got[i], want[i]);
        assert_true(ok);
    }
}

/* ---- ConvTranspose ---- */

typedef struct deconv {
    int64_t n, h, w, group, cg, og, k[2], s[2], d[2], pad[4], extra[2], oh, ow;
} deconv;

static deconv random_deconv(uint64_t *s) {
    deconv v = {.n = pick(s, 1, 2), .h = pick(s, 1, 5), .w = pick(s, 1, 5)};
    v.group = pick(s, 1, 3);
    v.cg = pick(s, 1, 4);
    v.og = pick(s, 1, 3);
    for (int i = 0; i < 2; i++) {
        v.k[i] = pick(s, 1, 5);
        v.s[i] = pick(s, 1, 4);
        v.d[i] = pick(s, 1, 2);
        int64_t span = (v.k[i] - 1) * v.d[i] + 1, size = i ? v.w : v.h;
        int64_t room = (size - 1) * v.s[i] + span - 1;
        v.pad[i] = pick(s, 0, xg_min(room / 2, 6));
        v.pad[2 + i] = pick(s, 0, xg_min(room / 2, 6));
        v.extra[i] = pick(s, 0, v.s[i] - 1);
        (i ? &v.ow : &v.oh)[0] = room + 1 + v.extra[i] - v.pad[i] - v.pad[2 + i];
    }
    return v;
}

/* Scatters every input element; x [n, c, h, w], w [c, og, kh, kw], y [n, o, oh, ow] + bias. */
static void scatter(const deconv *v, const double *x, const double *w, const double *b, double *y) {
    int64_t c = v->group * v->cg, o = v->group * v->og;
    for (int64_t i = 0; i < v->n * o * v->oh * v->ow; i++) y[i] = b[i / v->oh / v->ow % o];
    for (int64_t n = 0; n < v->n; n++)
        for (int64_t ci = 0; ci < c; ci++)
            for (int64_t at = 0; at < v->h * v->w; at++)
                for (int64_t og = 0; og < v->og; og++)
                    for (int64_t k = 0; k < v->k[0] * v->k[1]; k++) {
                        int64_t ty = at / v->w * v->s[0] + k / v->k[1] * v->d[0] - v->pad[0],
                                tx = at % v->w * v->s[1] + k % v->k[1] * v->d[1] - v->pad[1];
                        if (ty < 0 || ty >= v->oh || tx < 0 || tx >= v->ow) continue;
                        int64_t out = ci / v->cg * v->og + og;
                        y[((n * o + out) * v->oh + ty) * v->ow + tx] +=
                            x[(n * c + ci) * v->h * v->w + at] *
                            w[(ci * v->og + og) * v->k[0] * v->k[1] + k];
                    }
}

static void deconv_attributes(model *m, Xgonnx__Node *n, const deconv *v) {
    m_ints(m, n, "strides", 2, v->s);
    m_ints(m, n, "dilations", 2, v->d);
    m_ints(m, n, "pads", 4, v->pad);
    m_ints(m, n, "output_padding", 2, v->extra);
    m_int(m, n, "group", v->group);
}

static double *as_double(xg_test *t, const float *v, int64_t n) {
    double *d = xg_newn(t->a, double, (size_t)n);
    for (int64_t i = 0; i < n; i++) d[i] = (double)v[i];
    return d;
}

static void deconv_f32(void **state) {
    xg_test *t = *state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t s = seed;
        deconv v = random_deconv(&s);
        int64_t c = v.group * v.cg, o = v.group * v.og, nx = v.n * c * v.h * v.w,
                nw = c * v.og * v.k[0] * v.k[1], ny = v.n * o * v.oh * v.ow;
        float *x = xg_newn(t->a, float, (size_t)nx), *w = xg_newn(t->a, float, (size_t)nw),
              *b = xg_newn(t->a, float, (size_t)o);
        for (int64_t i = 0; i < nx; i++) x[i] = pick_f32(&s);
        for (int64_t i = 0; i < nw; i++) w[i] = pick_f32(&s);
        for (int64_t i = 0; i < o; i++) b[i] = pick_f32(&s);
        model m = model_new(state, 13);
        m_input(&m, "x", ONNX_F32, DIMS(v.n, c, v.h, v.w));
        m_constant(&m, "w", ONNX_F32, DIMS(c, v.og, v.k[0], v.k[1]), w);
        m_constant(&m, "b", ONNX_F32, DIMS(o), b);
        deconv_attributes(&m, m_node(&m, "ConvTranspose", "x,w,b", "y"), &v);
        m_output(&m, "y");
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        const xg_tensor *y = xg_tensorp(g, g->output.v[0]);
        assert_true(y->dim[0] == v.n && y->dim[1] == o && y->dim[2] == v.oh && y->dim[3] == v.ow);
        double *want = xg_newn(t->a, double, (size_t)ny);
        scatter(&v, as_double(t, x, nx), as_double(t, w, nw), as_double(t, b, o), want);
        assert_near(run(t, g, x), want, ny, 1e-5);
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        assert_near(run(t, g, x), want, ny, 1e-5);
        assert_int_equal(count_op(g, XG_OP_Conv), 1);
    }
}

/* Q(DQ(x) * DQ(w)) becomes one integer convolution that is exact: each result is the requantised
 * sum of the integers. */
static void deconv_int(void **state) {
    xg_test *t = *state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        uint64_t s = seed;
        deconv v = random_deconv(&s);
        v.n = v.group = 1;
        int64_t c = v.cg, o = v.og, nx = c * v.h * v.w, nw = c * o * v.k[0] * v.k[1],
                ny = o * v.oh * v.ow;
        int8_t *x = xg_alloc(t->a, (size_t)nx), *w = xg_alloc(t->a, (size_t)nw), zero[8] = {3, -2},
               zx = -7, zy = 5;
        for (int64_t i = 0; i < nx; i++) x[i] = (int8_t)pick(&s, -128, 127);
        for (int64_t i = 0; i < nw; i++) w[i] = (int8_t)pick(&s, -128, 127);
        float sw[8] = {0.01f, 0.02f, 0.013f, 0.5f}, sx = 0.05f, sy = 0.7f;
        double *dx = xg_newn(t->a, double, (size_t)nx), *dw = xg_newn(t->a, double, (size_t)nw),
               *want = xg_newn(t->a, double, (size_t)ny), none[8] = {0};
        for (int64_t i = 0; i < nx; i++) dx[i] = x[i] - zx;
        for (int64_t i = 0; i < nw; i++) dw[i] = w[i] - zero[i / v.k[0] / v.k[1] % o];
        scatter(&v, dx, dw, none, want);
        model m = model_new(state, 13);
        m_input(&m, "x", ONNX_I8, DIMS(1, c, v.h, v.w));
        m_constant(&m, "w", ONNX_I8, DIMS(c, o, v.k[0], v.k[1]), w);
        m_scalar(&m, "sx", sx);
        m_constant(&m, "zx", ONNX_I8, 0, NULL, &zx);
        m_constant(&m, "sw", ONNX_F32, DIMS(o), sw);
        m_constant(&m, "zw", ONNX_I8, DIMS(o), zero);
        m_scalar(&m, "sy", sy);
        m_constant(&m, "zy", ONNX_I8, 0, NULL, &zy);
        m_node(&m, "DequantizeLinear", "x,sx,zx", "xr");
        m_int(&m, m_node(&m, "DequantizeLinear", "w,sw,zw", "wr"), "axis", 1);
        deconv_attributes(&m, m_node(&m, "ConvTranspose", "xr,wr", "yr"), &v);
        m_node(&m, "QuantizeLinear", "yr,sy,zy", "y");
        m_output(&m, "y");
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        for (uint32_t i = 0; i < g->tensor.n; i++) assert_true(g->tensor.v[i].dtype != XG_F32);
        const int8_t *y = run(t, g, x);
        for (int64_t i = 0; i < ny; i++) {
            volatile float f = sx * sw[i / v.oh / v.ow];
            f = f / sy;
            f = (float)want[i] * f;
            int q = (int)nearbyintf(fminf(fmaxf(f, -128.0f - zy), 127.0f - zy)) + zy;
            assert_int_equal(y[i], q);
        }
    }
}

static void deconv_refusals(void **state) {
    static const struct {
        const char *attribute;
        int64_t v[2];
        const char *said;
    } rows[] = {{"strides", {0, 1}, "stride 0"},
                {"dilations", {1, -1}, "dilation -1"},
                {"output_shape", {1 << 30, 1 << 30}, "must be in 0..1048576"},
                {"kernel_shape", {3, 3}, "kernel_shape 3"},
                {"output_padding", {0, -1}, "output padding -1"}};
    xg_test *t = *state;
    static const float w[16] = {0};
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        model m = model_new(state, 13);
        m_input(&m, "x", ONNX_F32, DIMS(1, 2, 3, 3));
        m_constant(&m, "w", ONNX_F32, DIMS(2, 2, 2, 2), w);
        m_ints(&m, m_node(&m, "ConvTranspose", "x,w", "y"), rows[i].attribute, 2, rows[i].v);
        m_output(&m, "y");
        xg_graph *g;
        assert_true(m_import(&m, &g) != XG_OK);
        assert_said(t->c, rows[i].said);
    }
    model m = model_new(state, 13);
    m_input(&m, "x", ONNX_F32, DIMS(1, 2, 3, 3));
    m_input(&m, "w", ONNX_F32, DIMS(2, 2, 2, 2));
    m_node(&m, "ConvTranspose", "x,w", "y");
    m_output(&m, "y");
    xg_graph *g;
    assert_status(t->c, m_import(&m, &g), XG_UNSUPPORTED);
    assert_said(t->c, "not constant");
}

/* ---- Resize ---- */

static xg_graph *resized(void **state, const char *const *attribute, uint32_t n, const float *scale,
                         int64_t h, int64_t w) {
    model m = model_new(state, 13);
    m_input(&m, "x", ONNX_F32, DIMS(1, 1, h, w));
    m_constant(&m, "scales", ONNX_F32, DIMS(4), scale);
    m_constant(&m, "roi", ONNX_F32, DIMS(0), "");
    Xgonnx__Node *r = m_node(&m, "Resize", "x,roi,scales", "y");
    for (uint32_t i = 0; i < n; i++) m_str(&m, r, attribute[2 * i], attribute[2 * i + 1]);
    m_output(&m, "y");
    xg_graph *g;
    assert_ok(m.t->c, m_import(&m, &g));
    assert_ok(m.t->c, xg_canonicalise(m.t->a, &g, NULL, NULL));
    return g;
}

/* Twice as large, half-pixel centres: weights 1/4 and 3/4, ends repeated. */
static void resize_linear(void **state) {
    static const char *const linear[] = {"mode", "linear", "coordinate_transformation_mode",
                                         "pytorch_half_pixel"};
    static const float scale[4] = {1, 1, 1, 2}, x[3] = {4, 8, 0};
    xg_graph *g = resized(state, linear, 2, scale, 1, 3);
    const float *y = run(*state, g, x), want[6] = {4, 5, 7, 6, 2, 0};
    for (int i = 0; i < 6; i++) assert_true(y[i] == want[i]);
    assert_int_equal(count_op(g, XG_OP_Resize), 1);
}

static void resize_nearest(void **state) {
    static const struct {
        const char *coordinate, *rounding;
        float want[5];
    } rows[] = {{"half_pixel", "round_prefer_floor", {1, 1, 2, 3, 3}}, /* -.2 .4 1 1.6 2.2 */
                {"asymmetric", "floor", {1, 1, 2, 2, 3}},              /* 0 .6 1.2 1.8 2.4 */
                {"asymmetric", "ceil", {1, 2, 3, 3, 3}},
                {"align_corners", "round_prefer_ceil", {1, 2, 2, 3, 3}}, /* 0 .5 1 1.5 2 */
                {"align_corners", "round_prefer_floor", {1, 1, 2, 2, 3}},
                {"tf_half_pixel_for_nn", "floor", {1, 1, 2, 3, 3}}}; /* .3 .9 1.5 2.1 2.7 */
    static const float scale[4] = {1, 1, 1, 5.0f / 3 + 1e-6f}, x[3] = {1, 2, 3};
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        const char *const attributes[] = {
            "mode",         "nearest",       "coordinate_transformation_mode", rows[i].coordinate,
            "nearest_mode", rows[i].rounding};
        xg_graph *g = resized(state, attributes, 3, scale, 1, 3);
        const float *y = run(*state, g, x);
        for (int k = 0; k < 5; k++) {
            if (y[k] != rows[i].want[k])
                print_message("%s %s: element %d\n", rows[i].coordinate, rows[i].rounding, k);
            assert_true(y[k] == rows[i].want[k]);
        }
        assert_int_equal(count_op(g, XG_OP_Resize), 0);
    }
}

/* Between quantisers nearest works on the integers; interpolation does too, as Q(f(DQ x)). */
static void resize_int(void **state) {
    xg_test *t = *state;
    static const char *const modes[] = {"nearest", "linear"};
    for (int i = 0; i < 2; i++) {
        static const float scale[4] = {1, 1, 2, 2};
        model m = model_new(state, 13);
        m_input(&m, "x", ONNX_I8, DIMS(1, 1, 2, 2));
        m_scalar(&m, "s", 0.5f);
        m_constant(&m, "scales", ONNX_F32, DIMS(4), scale);
        int8_t zero = 3;
        m_constant(&m, "z", ONNX_I8, 0, NULL, &zero);
        m_node(&m, "DequantizeLinear", "x,s,z", "xr");
        Xgonnx__Node *r = m_node(&m, "Resize", "xr,,scales", "yr");
        m_str(&m, r, "mode", modes[i]);
        m_node(&m, "QuantizeLinear", "yr,s,z", "y");
        m_output(&m, "y");
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        assert_int_equal(count_op(g, XG_OP_Dequantize), 0);
        static const int8_t x[4] = {0, 16, 32, 120};
        const int8_t *y = run(t, g, x);
        assert_int_equal(y[0], 0);
        assert_int_equal(y[15], 120);
        assert_int_equal(y[1], i ? 4 : 0); /* 0 + 16 / 4 */
        assert_int_equal(y[5],
                         i ? 17 : 0); /* 0.5 (9 (0-3) + 3 (16-3) + 3 (32-3) + 117) / 16 = 6.75 */
    }
}

/* ---- integer products ---- */

static void convinteger_static(void **state) {
    xg_test *t = *state;
    uint64_t s = 5;
    uint8_t w[2 * 3 * 9], zx = 100, zw[2] = {120, 130}, zy = 10;
    for (size_t i = 0; i < sizeof w; i++) w[i] = (uint8_t)pick(&s, 60, 200);
    const float factor[2] = {0.05f * 0.01f, 0.05f * 0.03f};
    model m = model_new(state, 13);
    m_input(&m, "x", ONNX_F32, DIMS(1, 3, 6, 6));
    m_scalar(&m, "sx", 0.05f);
    m_constant(&m, "zx", ONNX_U8, 0, NULL, &zx);
    m_constant(&m, "w", ONNX_U8, DIMS(2, 3, 3, 3), w);
    m_constant(&m, "zw", ONNX_U8, DIMS(2), zw);
    m_constant(&m, "factor", ONNX_F32, DIMS(1, 2, 1, 1), factor);
    m_scalar(&m, "sy", 0.2f);
    m_constant(&m, "zy", ONNX_U8, 0, NULL, &zy);
    m_node(&m, "QuantizeLinear", "x,sx,zx", "xq");
    m_node(&m, "ConvInteger", "xq,w,zx,zw", "acc");
    m_int(&m, m_node(&m, "Cast", "acc", "accr"), "to", ONNX_F32);
    m_node(&m, "Mul", "accr,factor", "yr");
    m_node(&m, "QuantizeLinear", "yr,sy,zy", "y");
    m_output(&m, "y");
    xg_graph *g;
    assert_ok(t->c, m_import(&m, &g));
    float x[108];
    for (int i = 0; i < 108; i++) x[i] = pick_f32(&s) * 3;
    uint8_t before[32];
    memcpy(before, run(t, g, x), sizeof before);
    for (int i = 0; i < 32; i++) { /* the ONNX definition */
        int64_t acc = 0;
        int o = i / 16, py = i / 4 % 4, px = i % 4;
        for (int k = 0; k < 27; k++) {
            float v = nearbyintf(x[k / 9 * 36 + (py + k / 3 % 3) * 6 + px + k % 3] / 0.05f) + 100;
            acc += ((int64_t)fminf(fmaxf(v, 0), 255) - 100) * (w[o * 27 + k] - zw[o]);
        }
        float q = nearbyintf((float)acc * factor[o] / 0.2f) + 10;
        assert_int_equal(before[i], (int)fminf(fmaxf(q, 0), 255));
    }
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    assert_int_equal(count_op(g, XG_OP_Cast) + count_op(g, XG_OP_Mul), 0);
    assert_int_equal(count_op(g, XG_OP_Dequantize), 0);
    assert_int_equal(count_op(g, XG_OP_Conv), 1);
    const uint8_t *after = run(t, g, x);
    for (int i = 0; i < 32; i++) assert_true(abs(after[i] - before[i]) <= 1);
}

/* DynamicQuantizeLinear before a product: real activations, quantised weights; told in the log. */
static void dynamic_is_left_out(void **state) {
    xg_test *t = *state;
    static const int8_t w[6] = {1, -2, 3, 4, 5, -6};
    model m = model_new(state, 13);
    m_input(&m, "x", ONNX_F32, DIMS(1, 2));
    m_constant(&m, "w", ONNX_I8, DIMS(2, 3), w);
    m_scalar(&m, "sw", 0.5f);
    m_node(&m, "DynamicQuantizeLinear", "x", "xq,sx,zx");
    m_node(&m, "MatMulInteger", "xq,w,zx", "acc");
    m_int(&m, m_node(&m, "Cast", "acc", "accr"), "to", ONNX_F32);
    m_node(&m, "Mul", "sx,sw", "factor");
    m_node(&m, "Mul", "accr,factor", "y");
    m_output(&m, "y");
    xg_graph *g;
    assert_ok(t->c, m_import(&m, &g));
    assert_int_equal(g->log.n, 1);
    assert_non_null(strstr(g->log.v[0], "calibration"));
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    assert_int_equal(count_op(g, XG_OP_Conv), 1);
    assert_int_equal(count_op(g, XG_OP_Mul), 0);
    static const float x[2] = {2, 10};
    const float *y = run(t, g, x);
    assert_true(y[0] == 21 && y[1] == 23 && y[2] == -27);
}

static void long_sums_are_refused(void **state) {
    xg_test *t = *state;
    uint8_t *w = xg_alloc(t->a, 40000);
    for (int cast = 0; cast < 2; cast++) {
        int64_t k = cast ? 40000 : 1000;
        model m = model_new(state, 13);
        m_input(&m, "x", ONNX_U8, DIMS(1, k));
        m_constant(&m, "w", ONNX_U8, DIMS(k, 1), w);
        m_node(&m, "MatMulInteger", "x,w", "acc");
        if (cast) m_int(&m, m_node(&m, "Cast", "acc", "y"), "to", ONNX_F32);
        m_output(&m, cast ? "y" : "acc");
        xg_graph *g;
        assert_status(t->c, m_import(&m, &g), XG_UNSUPPORTED);
        assert_said(t->c, "products");
    }
}

/* ---- a part of a model ---- */

/* Cut before an operator that nobody supports; the tensor in the middle is an output too. */
static void cut_models(void **state) {
    xg_test *t = *state;
    model m = model_new(state, 13);
    xg_graph *g;
    m_input(&m, "x", ONNX_F32, DIMS(1, 6));
    m_node(&m, "Relu", "x", "a");
    m_node(&m, "Sigmoid", "a", "b");
    m_node(&m, "Tanh", "x", "c");
    m_node(&m, "NonMaxSuppression", "b,c", "d");
    m_output(&m, "d");
    assert_status(t->c, m_import(&m, &g), XG_UNSUPPORTED);
    assert_said(t->c, "--cut");
    const char *middle[] = {"b", "a"};
    assert_ok(t->c, m_import_with(&m, &(xg_import_options){.cut = middle, .ncut = 2}, &g));
    assert_int_equal(g->node.n, 2);
    assert_int_equal(g->output.n, 2);
    assert_string_equal(xg_tensorp(g, g->output.v[0])->name, "b");
    assert_string_equal(xg_tensorp(g, g->output.v[1])->name, "a");
    static const struct {
        const char *cut[2];
        uint32_t n;
        xg_status st;
        const char *said;
    } bad[] = {{{"nothing"}, 1, XG_USAGE, "no node makes"},
               {{"x"}, 1, XG_USAGE, "no node makes"},
               {{""}, 1, XG_USAGE, "name"},
               {{"a", "a"}, 2, XG_INPUT, "two graph outputs"}};
    for (size_t i = 0; i < XG_COUNT(bad); i++) {
        const xg_import_options o = {.cut = bad[i].cut, .ncut = bad[i].n};
        assert_status(t->c, m_import_with(&m, &o, &g), bad[i].st);
        assert_said(t->c, bad[i].said);
    }
}

/* ---- activations ---- */

/* Nodes "op in out", in order; constants are named by their value. */
typedef struct spelling {
    xg_op op;
    const char *nodes[10][3];
} spelling;

static const spelling spellings[] = {
    {XG_OP_Silu, {{"Sigmoid", "x", "s"}, {"Mul", "x,s", "y"}}},
    {XG_OP_Silu, {{"Sigmoid", "x", "s"}, {"Mul", "s,x", "y"}}},
    {XG_OP_Mish, {{"Softplus", "x", "p"}, {"Tanh", "p", "h"}, {"Mul", "x,h", "y"}}},
    {XG_OP_Mish,
     {{"Exp", "x", "e"},
      {"Add", "e,1", "e1"},
      {"Log", "e1", "p"},
      {"Tanh", "p", "h"},
      {"Mul", "h,x", "y"}}},
    {XG_OP_Softplus, {{"Exp", "x", "e"}, {"Add", "1,e", "e1"}, {"Log", "e1", "y"}}},
    {XG_OP_Gelu,
     {{"Div", "x,1.4142135", "d"},
      {"Erf", "d", "f"},
      {"Add", "f,1", "a"},
      {"Mul", "x,a", "p"},
      {"Mul", "p,0.5", "y"}}},
    {XG_OP_Gelu,
     {{"Mul", "x,0.70710678", "d"},
      {"Erf", "d", "f"},
      {"Add", "1,f", "a"},
      {"Mul", "a,0.5", "h"},
      {"Mul", "x,h", "y"}}},
    {XG_OP_Gelu,
     {{"Mul", "x,0.5", "h"},
      {"Div", "x,1.4142135", "d"},
      {"Erf", "d", "f"},
      {"Add", "f,1", "a"},
      {"Mul", "h,a", "y"}}},
    {XG_OP_Gelu,
     {{"Pow", "x,3", "c"},
      {"Mul", "c,0.044715", "k"},
      {"Add", "x,k", "s"},
      {"Mul", "s,0.7978846", "v"},
      {"Tanh", "v", "h"},
      {"Add", "h,1", "a"},
      {"Mul", "x,a", "p"},
      {"Mul", "p,0.5", "y"}}},
    {XG_OP_Gelu,
     {{"Mul", "x,x", "q"},
      {"Mul", "q,x", "c"},
      {"Mul", "0.044715,c", "k"},
      {"Add", "k,x", "s"},
      {"Mul", "s,0.7978846", "v"},
      {"Tanh", "v", "h"},
      {"Add", "h,1", "a"},
      {"Mul", "x,0.5", "p"},
      {"Mul", "p,a", "y"}}},
    {XG_OP_HardSwish,
     {{"Add", "x,3", "a"}, {"Clip", "a,0,6", "c"}, {"Mul", "x,c", "p"}, {"Div", "p,6", "y"}}},
    /* near misses stay what they are */
    {XG_OP_COUNT, {{"Sigmoid", "x", "s"}, {"Mul", "s,2", "s2"}, {"Mul", "x,s2", "y"}}},
    {XG_OP_COUNT,
     {{"Div", "x,2", "d"},
      {"Erf", "d", "f"},
      {"Add", "f,1", "a"},
      {"Mul", "x,a", "p"},
      {"Mul", "p,0.5", "y"}}},
};

static void spelled(model *m, const spelling *s) {
    static const char *const constants[] = {
        "0", "1", "2", "3", "6", "0.5", "0.044715", "0.70710678", "0.7978846", "1.4142135"};
    m_input(m, "x", ONNX_F32, DIMS(1, 41));
    for (size_t i = 0; i < XG_COUNT(constants); i++)
        m_scalar(m, constants[i], strtof(constants[i], NULL));
    for (int i = 0; s->nodes[i][0]; i++) m_node(m, s->nodes[i][0], s->nodes[i][1], s->nodes[i][2]);
    m_output(m, "y");
}

static void activations_meet(void **state) {
    xg_test *t = *state;
    float x[41];
    for (int i = 0; i < 41; i++) x[i] = (float)(i - 20) * 0.25f;
    for (size_t i = 0; i < XG_COUNT(spellings); i++) {
        model m = model_new(state, 13);
        spelled(&m, &spellings[i]);
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        double *want = as_double(t, run(t, g, x), 41);
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        assert_near(run(t, g, x), want, 41, 1e-6);
        bool one = spellings[i].op != XG_OP_COUNT;
        if (one != (g->node.n == 1)) print_message("spelling %zu has %u nodes\n", i, g->node.n);
        assert_true(one == (g->node.n == 1));
        if (one) assert_int_equal(xg_nodep(g, 0)->op, spellings[i].op);
    }
}

/* ---- back to ONNX ---- */

/* One operator on x [1,2,3,4]; the exported model means the same. */
static void exports_mean_the_same(void **state) {
    static const struct {
        const char *op, *in, *attribute;
        int64_t opset, v;
    } rows[] = {
        {"Gelu", "x", NULL, 20, 0},
        {"Mish", "x", NULL, 18, 0},
        {"Selu", "x", NULL, 13, 0},
        {"Celu", "x", NULL, 13, 0},
        {"ThresholdedRelu", "x", NULL, 13, 0},
        {"Shrink", "x", NULL, 13, 0},
        {"Softsign", "x", NULL, 13, 0},
        {"Round", "x", NULL, 13, 0},
        {"Atan", "x", NULL, 13, 0},
        {"PRelu", "x,slope", NULL, 13, 0},
        {"ReduceMin", "x", "keepdims", 13, 1},
        {"ReduceProd", "x", "keepdims", 13, 1},
        {"Hardmax", "x", "axis", 13, 1},
        {"CumSum", "x,two", "reverse", 13, 1},
        {"ArgMax", "x", "axis", 13, 1},
        {"LayerNormalization", "x,scale", "axis", 17, 3},
        {"InstanceNormalization", "x,gain,gain", NULL, 13, 0},
        {"Resize", "x,,sizes", "linear", 13, 0},
    };
    static const float slope[2] = {0.5f, -0.25f}, scale[4] = {1, 2, 3, -1},
                       sizes[4] = {1, 1, 2, 1.5f};
    static const int64_t two = 2;
    xg_test *t = *state;
    float x[24];
    for (int i = 0; i < 24; i++) x[i] = (float)(i * 7 % 24) * 0.25f - 3;
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        model m = model_new(state, rows[i].opset);
        m_input(&m, "x", ONNX_F32, DIMS(1, 2, 3, 4));
        m_constant(&m, "slope", ONNX_F32, DIMS(2, 1, 1), slope);
        m_constant(&m, "gain", ONNX_F32, DIMS(2), slope);
        m_constant(&m, "scale", ONNX_F32, DIMS(4), scale);
        m_constant(&m, "sizes", ONNX_F32, DIMS(4), sizes);
        m_constant(&m, "two", ONNX_I64, 0, NULL, &two);
        Xgonnx__Node *n = m_node(&m, rows[i].op, rows[i].in, "y");
        if (rows[i].attribute && !strcmp(rows[i].attribute, "linear"))
            m_str(&m, n, "mode", "linear");
        else if (rows[i].attribute)
            m_int(&m, n, rows[i].attribute, rows[i].v);
        m_output(&m, "y");
        xg_graph *g;
        xg_buf onnx = {.arena = t->a};
        assert_ok(t->c, m_import(&m, &g));
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        assert_ok(t->c, xg_export_qoperator(t->c, g, false, &onnx));
        const xg_graph *back = import_bytes(t, &onnx);
        const xg_tensor *y = xg_tensorp(g, g->output.v[0]),
                        *z = xg_tensorp(back, back->output.v[0]);
        int64_t count = xg_tensor_elems(y);
        assert_true(y->dtype == z->dtype && count == xg_tensor_elems(z));
        const void *a = run(t, g, x), *b = run(t, back, x);
        if (y->dtype == XG_F32)
            assert_near(b, as_double(t, a, count), count, 2e-6);
        else
            assert_memory_equal(a, b, (size_t)count * xg_dtype_bytes(y->dtype));
    }
}

/* ---- integerised exports ---- */

/* clip(floor((kappa (w * x) + lamda) 3 / 1024), 0, 255); kappa is whole, or not. */
static void integer_layer(model *m, bool whole, uint64_t *s) {
    float w[4 * 2 * 9], kappa[4] = {5, 7, -3, 0}, lamda[4] = {900, -2000, 12345, 70000};
    const int64_t three = 3, shift = 1024;
    for (int i = 0; i < 72; i++) w[i] = (float)pick(s, -127, 127);
    if (!whole) kappa[1] = 7.5f;
    m_input(m, "x", ONNX_F32, DIMS(1, 2, 12, 12));
    m_constant(m, "w", ONNX_F32, DIMS(4, 2, 3, 3), w);
    m_constant(m, "kappa", ONNX_F32, DIMS(1, 4, 1, 1), kappa);
    m_constant(m, "lamda", ONNX_F32, DIMS(1, 4, 1, 1), lamda);
    m_constant(m, "three", ONNX_I64, 0, NULL, &three);
    m_constant(m, "shift", ONNX_I64, 0, NULL, &shift);
    m_scalar(m, "0", 0);
    m_scalar(m, "255", 255);
    m_node(m, "Conv", "x,w", "a");
    m_node(m, "Mul", "kappa,a", "b");
    m_node(m, "Add", "b,lamda", "c");
    m_int(m, m_node(m, "Cast", "c", "ci"), "to", ONNX_I64);
    m_node(m, "Mul", "ci,three", "d");
    m_node(m, "Div", "d,shift", "e");
    m_int(m, m_node(m, "Cast", "e", "er"), "to", ONNX_F32);
    m_node(m, "Clip", "er,0,255", "y");
    m_output(m, "y");
}

static void integerised_layer(void **state) {
    xg_test *t = *state;
    for (int whole = 0; whole < 2; whole++) {
        uint64_t s = 3;
        model m = model_new(state, 13);
        integer_layer(&m, whole, &s);
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        float x[288], want[400];
        for (int i = 0; i < 288; i++) x[i] = (float)pick(&s, 0, 255);
        memcpy(want, run(t, g, x), sizeof want);
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        bool integers = false;
        for (uint32_t i = 0; i < g->node.n; i++)
            integers = integers || (xg_nodep(g, i)->op == XG_OP_Conv &&
                                    xg_out(g, xg_nodep(g, i), 0)->dtype == XG_I8);
        assert_true(integers == whole);
        const float *y = run(t, g, x);
        int apart = 0;
        for (int i = 0; i < 400; i++) {
            assert_true(fabsf(y[i] - want[i]) <= 1);
            apart += y[i] != want[i];
        }
        assert_true(apart <= (whole ? 4 : 0));
    }
}

/* y = clip((x mul + add + d / 2) / d, rounded down) of a 3x3 convolution of integers: as imported,
 * and as an integer layer, which puts the addend in whole steps of the accumulator. */
static void requant_shift_layer(void **state) {
    xg_test *t = *state;
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        uint64_t s = 5;
        model m = model_new(state, 13);
        float w[5 * 2 * 9], mul[5], add[5], div = 65536, levels = 256, sign = (float)is_signed;
        for (int i = 0; i < 90; i++) w[i] = (float)pick(&s, -127, 127);
        for (int i = 0; i < 5; i++) {
            mul[i] = (float)pick(&s, -300, 300);
            add[i] = mul[i] * (float)pick(&s, -4000, 4000); /* whole steps: nothing may differ */
        }
        m_input(&m, "x", ONNX_F32, DIMS(1, 2, 12, 12));
        m_constant(&m, "w", ONNX_F32, DIMS(5, 2, 3, 3), w);
        m_constant(&m, "mul", ONNX_F32, DIMS(5, 1, 1), mul);
        m_constant(&m, "add", ONNX_F32, DIMS(5, 1, 1), add);
        m_node(&m, "Conv", "x,w", "c");
        Xgonnx__Node *n = m_node(&m, "RequantShift", "c,mul,add", "y");
        m_float(&m, n, "div", div);
        m_float(&m, n, "n_levels", levels);
        m_float(&m, n, "signed", sign);
        m_output(&m, "y");
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        float x[288];
        for (int i = 0; i < 288; i++)
            x[i] = (float)pick(&s, is_signed ? -128 : 0, is_signed ? 127 : 255);
        float literal[500], want[500];
        memcpy(literal, run(t, g, x), sizeof literal);
        for (int i = 0; i < 500; i++) {
            int64_t acc = 0, o = i / 100;
            for (int k = 0; k < 18; k++)
                acc += (int64_t)w[o * 18 + k] *
                       (int64_t)x[k / 9 * 144 + (i / 10 % 10 + k / 3 % 3) * 12 + i % 10 + k % 3];
            int64_t v = (acc * (int64_t)mul[o] + (int64_t)add[o] + 32768) >> 16;
            want[i] = (float)xg_clamp(v, is_signed ? -128 : 0, is_signed ? 127 : 255);
            assert_true(literal[i] == want[i]);
        }
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        uint32_t integers = 0;
        for (uint32_t i = 0; i < g->node.n; i++)
            integers += xg_nodep(g, i)->op == XG_OP_Conv && xg_out(g, xg_nodep(g, i), 0)->quant;
        assert_int_equal(integers, 1);
        const float *y = run(t, g, x);
        for (int i = 0; i < 500; i++) assert_true(y[i] == want[i]);
    }
}

static void requant_shift_refusals(void **state) {
    xg_test *t = *state;
    const float one = 1, half = 0.5f;
    for (int k = 0; k < 4; k++) {
        model m = model_new(state, 13);
        xg_graph *g;
        m_input(&m, "x", ONNX_F32, DIMS(1, 2, 4, 4));
        m_constant(&m, "mul", ONNX_F32, DIMS(1), k == 0 ? &half : &one);
        m_constant(&m, "add", ONNX_F32, DIMS(1), &one);
        Xgonnx__Node *n = m_node(&m, "RequantShift", "x,mul,add", "y");
        m_float(&m, n, "div", k == 1 ? 3 : 4);
        m_float(&m, n, "n_levels", k == 2 ? 1 : 256);
        if (k != 3) m_int(&m, n, "signed", 1);
        m_output(&m, "y");
        static const char *const says[] = {"no integer", "power of two", "n_levels", "signed"};
        xg_status st = m_import(&m, &g);
        assert_true(st == XG_INPUT || st == XG_UNSUPPORTED);
        assert_non_null(strstr(xg_diag_at(t->c, xg_diag_count(t->c) - 1)->text, says[k]));
    }
}

/* The numbers of a text file behind its first line. */
static float *numbers(xg_test *t, const char *path, size_t *n) {
    xg_bytes b;
    assert_ok(t->c, xg_read_file(t->a, path, &b));
    const char *p = xg_strndup(t->a, (const char *)b.p, b.n);
    float *v = xg_newn(t->a, float, b.n);
    *n = 0;
    for (p = strchr(p, '\n'); p && (p = strpbrk(p, "0123456789-"));) {
        char *end;
        v[(*n)++] = strtof(p, &end);
        p = end;
    }
    return v;
}

/* Values of one ONNX tensor as integers in the order [H, W, C] or [C, H, W]; NULL when the graph
 * has it not. */
static float *layer_of(xg_test *t, const xg_graph *g, const xg_values *v, const char *name,
                       bool chw, size_t *n) {
    const char *twin = xg_strf(t->a, "%s.nhwc", name); /* what is left of some */
    for (uint32_t i = 0; i < g->tensor.n; i++) {
        const xg_tensor *y = xg_tensorp(g, i);
        bool nhwc = !strcmp(y->name, twin) || y->dtype == XG_I8;
        if (strcmp(y->name, name) && strcmp(y->name, twin)) continue;
        int64_t c = nhwc ? y->dim[3] : y->dim[1], plane = xg_tensor_elems(y) / c;
        *n = (size_t)xg_tensor_elems(y);
        float *out = xg_newn(t->a, float, *n);
        for (int64_t k = 0; k < (int64_t)*n; k++) {
            int64_t at = nhwc == !chw ? k
                         : nhwc       ? k % plane * c + k / plane
                                      : k % c * plane + k / c;
            out[k] = y->dtype == XG_F32 ? ((const float *)v->v[i])[at]
                                        : (float)(((const int8_t *)v->v[i])[at] + 128);
        }
        return out;
    }
    return NULL;
}

static void run_all(xg_test *t, const xg_graph *g, const float *x, xg_values *v) {
    xg_values_init(v, g, t->a);
    v->v[g->input.v[0]] = (void *)(uintptr_t)x;
    assert_ok(t->c, xg_interp_run(t->c, v, NULL));
}

/* Layers of a published network on its published input: as imported they are what was published, in
 * canonical form few are one apart, which later layers may carry on. chw: the order of the
 * published files, whatever their first lines say. */
static void layers_agree(void **state, const char *name, const char *const *tensor, size_t layers,
                         bool chw) {
    xg_test *t = *state;
    const char *path = xg_test_model(t->a, xg_strf(t->a, "%s/model.onnx", name));
    const char *folder = xg_test_model(t->a, xg_strf(t->a, "%s/data", name));
    size_t n, m;
    const float *x = numbers(t, xg_strf(t->a, "%s/input.txt", folder), &n);
    const xg_import_options on = {.external_data = true};
    xg_graph *g, *canonical;
    xg_values a, b;
    assert_ok(t->c, xg_import_onnx(t->a, path, &on, &g));
    assert_int_equal(xg_tensor_elems(xg_tensorp(g, g->input.v[0])), n);
    run_all(t, g, x, &a);
    assert_ok(t->c, xg_import_onnx(t->a, path, &on, &canonical));
    assert_ok(t->c, xg_canonicalise(t->a, &canonical, NULL, NULL));
    run_all(t, canonical, x, &b);
    for (size_t i = 0; i < layers; i++) {
        const float *literal = layer_of(t, g, &a, tensor[i], chw, &n),
                    *integer = layer_of(t, canonical, &b, tensor[i], chw, &m);
        assert_true(literal && integer && n == m);
        const char *file = xg_strf(t->a, "%s/out_layer%zu.txt", folder, i);
        const float *want = numbers(t, file, &m);
        assert_int_equal(n, m);
        size_t apart = 0;
        for (size_t k = 0; k < n; k++) {
            assert_true(literal[k] == want[k]);
            assert_true(fabsf(integer[k] - want[k]) <= 4);
            apart += integer[k] != want[k];
        }
        assert_true(apart * 40 <= n);
    }
}

/* The first lines of this one's files say [H, W, C]; the numbers lie as [C, H, W]. */
static void dory_dscnn(void **state) {
    static const char *const tensor[] = {"89",  "101", "112", "124", "135",
                                         "147", "158", "170", "181"};
    layers_agree(state, "dory_dscnn_int", tensor, XG_COUNT(tensor), true);
}

static void dory_dronet(void **state) {
    static const char *const tensor[] = {"87",  "88",  "100", "112", "124", "132", "144",
                                         "156", "168", "176", "188", "200", "212", "220"};
    layers_agree(state, "dory_dronet_int", tensor, XG_COUNT(tensor), false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(deconv_f32),
        TEST(deconv_int),
        TEST(deconv_refusals),
        TEST(resize_linear),
        TEST(resize_nearest),
        TEST(resize_int),
        TEST(convinteger_static),
        TEST(dynamic_is_left_out),
        TEST(cut_models),
        TEST(long_sums_are_refused),
        TEST(activations_meet),
        TEST(exports_mean_the_same),
        TEST(integerised_layer),
        TEST(requant_shift_layer),
        TEST(requant_shift_refusals),
        TEST(dory_dscnn),
        TEST(dory_dronet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
