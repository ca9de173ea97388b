/* The reference interpreter against loops written here: other code, the same formulas (section
 * "Formulas" of xgraph/INTERP.md). Results are compared bit for bit. */
#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "interp_more.h"
#include "interp_net.h"

#include <math.h>

static int64_t pick(uint64_t *s, int64_t lo, int64_t hi) {
    return lo + (int64_t)(xg_random(s) % (uint64_t)(hi - lo + 1));
}

static float pick_f32(uint64_t *s) {
    return (float)(int64_t)(xg_random(s) >> 40) * 0x1p-22f - 2;
}

static void *random_bytes(xg_arena *a, uint64_t *s, int64_t n) {
    uint8_t *p = xg_alloc(a, (size_t)n);
    for (int64_t i = 0; i < n; i++) p[i] = (uint8_t)xg_random(s);
    return p;
}

static float *random_f32(xg_arena *a, uint64_t *s, int64_t n) {
    float *p = xg_newn(a, float, (size_t)n);
    for (int64_t i = 0; i < n; i++) p[i] = pick_f32(s);
    return p;
}

static int32_t get8(const void *p, bool sign, int64_t i) {
    return sign ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

/* ONNX Runtime's requantisation. */
static int32_t ort(int64_t acc, float sx, float sw, float sy, int32_t zy, int32_t lo, int32_t hi) {
    volatile float m = sx * sw;
    m = m / sy;
    volatile float v = (float)acc * m;
    v = fminf(fmaxf(v, (float)(lo - zy)), (float)(hi - zy));
    return (int32_t)nearbyintf(v) + zy;
}

/* ---- Conv ---- */

typedef struct conv_case {
    int64_t n, h, w, c, o, group, cg, oh, ow;
    xg_window k;
} conv_case;

static conv_case random_conv(uint64_t *s, int kind) {
    conv_case v = {.n = pick(s, 1, 2), .h = pick(s, 3, 9), .w = pick(s, 3, 9)};
    v.group = kind == 0 ? 1 : pick(s, 1, 5);
    v.cg = kind == 2 ? 1 : pick(s, 1, 9);
    v.c = v.group * v.cg;
    v.o = v.group * (kind == 2 ? 1 : pick(s, 1, 19));
    v.k = (xg_window){
        .kh = (int32_t)pick(s, 1, 3), .kw = (int32_t)pick(s, 1, 3), .sh = (int32_t)pick(s, 1, 2)};
    v.k.sw = (int32_t)pick(s, 1, 2);
    v.k.dh = (int32_t)pick(s, 1, 2);
    v.k.dw = (int32_t)pick(s, 1, 2);
    v.k.pt = (int32_t)pick(s, 0, 2);
    v.k.pl = (int32_t)pick(s, 0, 2);
    v.k.pb = (int32_t)pick(s, 2, 3);
    v.k.pr = (int32_t)pick(s, 2, 3);
    v.oh = (v.h + v.k.pt + v.k.pb - (v.k.kh - 1) * v.k.dh - 1) / v.k.sh + 1;
    v.ow = (v.w + v.k.pl + v.k.pr - (v.k.kw - 1) * v.k.dw - 1) / v.k.sw + 1;
    return v;
}

/* Index of the input under window position (r, s), channel c of the output's group; -1 in the
 * padding. */
static int64_t conv_x(const conv_case *v, int64_t n, int64_t y, int64_t x, int64_t o, int64_t r,
                      int64_t s, int64_t c) {
    int64_t iy = y * v->k.sh + r * v->k.dh - v->k.pt, ix = x * v->k.sw + s * v->k.dw - v->k.pl;
    if (iy < 0 || ix < 0 || iy >= v->h || ix >= v->w) return -1;
    return ((n * v->h + iy) * v->w + ix) * v->c + o / (v->o / v->group) * v->cg + c;
}

static int64_t conv_acc(const conv_case *v, const void *x, bool sx, int32_t zx, const void *w,
                        bool sw, int32_t zw, int64_t n, int64_t py, int64_t px, int64_t o) {
    int64_t acc = 0;
    for (int64_t r = 0; r < v->k.kh; r++)
        for (int64_t s = 0; s < v->k.kw; s++)
            for (int64_t c = 0; c < v->cg; c++) {
                int64_t i = conv_x(v, n, py, px, o, r, s, c),
                        j = ((o * v->k.kh + r) * v->k.kw + s) * v->cg + c;
                if (i >= 0) acc += (int64_t)(get8(x, sx, i) - zx) * (get8(w, sw, j) - zw);
            }
    return acc;
}

static void one_conv_int(void **state, uint64_t seed, const char *profile) {
    uint64_t s = seed;
    net n = net_new(state);
    conv_case v = random_conv(&s, (int)(seed % 3));
    const bool pow2 = profile && !strcmp(profile, "dpu");
    const bool sign_x = pow2 || seed % 2, sign_w = pow2 || seed % 5, each = !pow2 && seed % 4 != 1;
    const int32_t zx = pow2 ? 0 : (int32_t)pick(&s, sign_x ? -128 : 0, sign_x ? 127 : 255),
                  zy = pow2 ? 0 : 5;
    const float sx = pow2 ? 0x1p-4f : 0.0371f, sy = pow2 ? 0x1p-2f : 0.3f;
    float *sw = xg_newn(n.a, float, (size_t)v.o);
    int32_t *zw = xg_newn(n.a, int32_t, (size_t)v.o), *bias = xg_newn(n.a, int32_t, (size_t)v.o);
    for (int64_t o = 0; o < v.o; o++) {
        sw[o] = pow2 ? 0x1p-6f : 0.001f * (float)pick(&s, 1, 99);
        zw[o] = pow2 ? 0 : (int32_t)pick(&s, sign_w ? -9 : 100, sign_w ? 9 : 140);
        bias[o] = (int32_t)pick(&s, -5000, 5000);
        if (!each) sw[o] = sw[0], zw[o] = zw[0];
    }
    void *x = random_bytes(n.a, &s, v.n * v.h * v.w * v.c);
    void *w = random_bytes(n.a, &s, v.o * v.k.kh * v.k.kw * v.cg);
    input(&n, sign_x ? XG_I8 : XG_U8, quant(&n, sx, zx), x, DIMS(v.n, v.h, v.w, v.c));
    constant(&n, sign_w ? XG_I8 : XG_U8,
             each ? xg_quant_new(n.a, 0, (uint32_t)v.o, sw, zw) : quant(&n, sw[0], zw[0]), w,
             DIMS(v.o, v.k.kh, v.k.kw, v.cg));
    if (seed % 7) constant(&n, XG_I32, NULL, bias, DIMS(v.o));
    xg_node *conv = node(&n, XG_OP_Conv);
    xg_set_window(conv, &v.k);
    xg_set_ai(conv, XG_ATTR_group, v.group);
    xg_set_ai(conv, XG_ATTR_lo, -100);
    xg_set_ai(conv, XG_ATTR_hi, 90);
    assert_ok(n.c, try_run(&n, XG_I8, quant(&n, sy, zy), profile));
    const int8_t *y = xg_values_get(&n.v, conv->out[0]);
    xg_rqrec rec;
    if (profile) assert_true(xg_rqrec_profile(profile, &rec));
    for (int64_t i = 0; i < v.n * v.oh * v.ow * v.o; i++) {
        int64_t o = i % v.o, px = i / v.o % v.ow, py = i / v.o / v.ow % v.oh,
                b = i / v.o / v.ow / v.oh;
        int64_t acc =
            conv_acc(&v, x, sign_x, zx, w, sign_w, zw[o], b, py, px, o) + (seed % 7 ? bias[o] : 0);
        int32_t want = ort(acc, sx, sw[o], sy, zy, -100, 90);
        xg_rq q;
        if (profile && xg_rq_derive(&rec, (float[]){sx, sw[o]}, 2, sy, &q))
            want = xg_rq_apply(&rec, q, acc, zy, -100, 90);
        if (y[i] != want)
            print_message("seed %llu element %lld\n", (unsigned long long)seed, (long long)i);
        assert_int_equal(y[i], want);
    }
}

static void conv_int(void **state) {
    for (uint64_t seed = 1; seed <= 60; seed++) one_conv_int(state, seed, NULL);
}

static void conv_int_profiles(void **state) {
    static const char *const profiles[] = {"tflite1", "tflite2", "dpu", "mul16", "mul8"};
    for (uint64_t seed = 1; seed <= 30; seed++)
        one_conv_int(state, seed, profiles[seed % XG_COUNT(profiles)]);
}

/* 40,000 products of 255 * 255 exceed 32 bits; 16,000 of about 2^16 exceed the 24 bits of an f32:
 * multiplied by exactly 1 into an i32, every bit must be there. */
static void conv_int_is_exact(void **state) {
    uint64_t s = 1;
    net n = net_new(state), e = net_new(state);
    const int64_t c = 40000, k = 16000;
    uint8_t *x = xg_alloc(n.a, (size_t)c), *w = xg_alloc(n.a, (size_t)c);
    memset(x, 255, (size_t)c);
    memset(w, 255, (size_t)c);
    input(&n, XG_U8, quant(&n, 1, 0), x, DIMS(1, 1, 1, c));
    constant(&n, XG_U8, quant(&n, 1, 0), w, DIMS(1, 1, 1, c));
    node(&n, XG_OP_Conv);
    const uint8_t *y = run(&n, XG_U8, quant(&n, 0x1p24f, 0));
    assert_int_equal(y[0], 155); /* 40000 * 65025 / 2^24 = 155.03 */
    int64_t acc = 0;
    for (int64_t i = 0; i < k; i++) {
        x[i] = (uint8_t)pick(&s, 200, 255);
        acc += (int64_t)x[i] * 255;
    }
    input(&e, XG_U8, quant(&e, 1, 0), x, DIMS(1, 1, 1, k));
    constant(&e, XG_U8, quant(&e, 1, 0), w, DIMS(1, 1, 1, k));
    node(&e, XG_OP_Conv);
    assert_ok(e.c, try_run(&e, XG_I32, quant(&e, 1, 0), "tflite1"));
    assert_int_equal(*(const int32_t *)e.v.v[xg_nodep(e.g, e.node)->out[0]], acc);
}

static void conv_int_refusals(void **state) {
    net n = net_new(state);
    const int8_t zero[4] = {0};
    input(&n, XG_I8, quant(&n, 0.1f, 0), zero, DIMS(1, 2, 2, 1));
    constant(&n, XG_I8, quant(&n, 0.3f, 0), zero, DIMS(1, 1, 1, 1));
    node(&n, XG_OP_Conv);
    assert_status(n.c, try_run(&n, XG_I8, quant(&n, 0.7f, 0), "dpu"), XG_UNSUPPORTED);
    assert_said(n.c, "node");
    assert_said(n.c, "0.300000012");
}

static void conv_f32(void **state) {
    for (uint64_t seed = 1; seed <= 45; seed++) {
        uint64_t s = seed;
        net n = net_new(state);
        conv_case v = random_conv(&s, (int)(seed % 3));
        float *x = random_f32(n.a, &s, v.n * v.h * v.w * v.c);
        float *w = random_f32(n.a, &s, v.o * v.k.kh * v.k.kw * v.cg), *b = random_f32(n.a, &s, v.o);
        input(&n, XG_F32, NULL, x, DIMS(v.n, v.h, v.w, v.c));
        constant(&n, XG_F32, NULL, w, DIMS(v.o, v.k.kh, v.k.kw, v.cg));
        if (seed % 4) constant(&n, XG_F32, NULL, b, DIMS(v.o));
        xg_node *conv = node(&n, XG_OP_Conv);
        xg_set_window(conv, &v.k);
        xg_set_ai(conv, XG_ATTR_group, v.group);
        const float *y = run(&n, XG_F32, NULL);
        for (int64_t i = 0; i < v.n * v.oh * v.ow * v.o; i++) {
            int64_t o = i % v.o, px = i / v.o % v.ow, py = i / v.o / v.ow % v.oh,
                    p = i / v.o / v.ow / v.oh;
            volatile float acc = seed % 4 ? b[o] : 0;
            for (int64_t k = 0; k < v.k.kh * v.k.kw * v.cg; k++) {
                int64_t at =
                    conv_x(&v, p, py, px, o, k / v.cg / v.k.kw, k / v.cg % v.k.kw, k % v.cg);
                volatile float product = at < 0 ? 0 : x[at] * w[o * v.k.kh * v.k.kw * v.cg + k];
                acc = acc + product;
            }
            assert_true(y[i] == acc);
        }
    }
}

/* ---- MatMul ---- */

static void matmul_f32(void **state) {
    uint64_t s = 7;
    net n = net_new(state);
    float *a = random_f32(n.a, &s, 2 * 3 * 5), *b = random_f32(n.a, &s, 4 * 5 * 6);
    input(&n, XG_F32, NULL, a, DIMS(2, 1, 3, 5));
    input(&n, XG_F32, NULL, b, DIMS(4, 5, 6));
    node(&n, XG_OP_MatMul);
    const float *y = run(&n, XG_F32, NULL);
    for (int i = 0; i < 2 * 4 * 3 * 6; i++) {
        int col = i % 6, row = i / 6 % 3, bb = i / 18 % 4, ba = i / 72;
        volatile float acc = 0;
        for (int k = 0; k < 5; k++) {
            volatile float p = a[(ba * 3 + row) * 5 + k] * b[(bb * 5 + k) * 6 + col];
            acc = acc + p;
        }
        assert_true(y[i] == acc);
    }
}

static void matmul_int(void **state) {
    uint64_t s = 9;
    net n = net_new(state);
    const float sw[3] = {0.01f, 0.02f, 0.05f};
    const int32_t zw[3] = {-3, 0, 7};
    uint8_t *a = random_bytes(n.a, &s, 4 * 70);
    int8_t *b = random_bytes(n.a, &s, 70 * 3);
    input(&n, XG_U8, quant(&n, 0.07f, 131), a, DIMS(4, 70));
    constant(&n, XG_I8, xg_quant_new(n.a, 1, 3, sw, zw), b, DIMS(70, 3));
    node(&n, XG_OP_MatMul);
    const int8_t *y = run(&n, XG_I8, quant(&n, 0.9f, -11));
    for (int i = 0; i < 12; i++) {
        int64_t acc = 0;
        for (int k = 0; k < 70; k++)
            acc += (int64_t)(a[i / 3 * 70 + k] - 131) * (b[k * 3 + i % 3] - zw[i % 3]);
        assert_int_equal(y[i], ort(acc, 0.07f, sw[i % 3], 0.9f, -11, -128, 127));
    }
}

/* ---- pools and reductions ---- */

static const xg_window pool_window = {
    .kh = 3, .kw = 2, .sh = 2, .sw = 2, .dh = 1, .dw = 2, .pt = 1, .pl = 1, .pb = 1, .pr = 1};

static void max_pool(void **state) {
    uint64_t s = 3;
    net n = net_new(state), f = net_new(state);
    int8_t *x = random_bytes(n.a, &s, 2 * 7 * 6 * 3);
    float *xf = xg_newn(n.a, float, 2 * 7 * 6 * 3);
    for (int i = 0; i < 2 * 7 * 6 * 3; i++)
        xf[i] = (float)x[i] - 200; /* all negative: the maximum may not start from zero */
    input(&n, XG_I8, quant(&n, 0.5f, 3), x, DIMS(2, 7, 6, 3));
    input(&f, XG_F32, NULL, xf, DIMS(2, 7, 6, 3));
    xg_set_window(node(&n, XG_OP_MaxPool), &pool_window);
    xg_set_window(node(&f, XG_OP_MaxPool), &pool_window);
    xg_set_ai(xg_nodep(n.g, n.node), XG_ATTR_hi, 101);
    const int8_t *y = run(&n, XG_I8, quant(&n, 0.5f, 3));
    const float *yf = run(&f, XG_F32, NULL);
    int64_t oh = output(&n)->dim[1], ow = output(&n)->dim[2], many = 2 * oh * ow * 3;
    for (int64_t i = 0; i < many; i++) {
        int64_t c = i % 3, px = i / 3 % ow, py = i / 3 / ow % oh, b = i / 3 / ow / oh, best = -128;
        for (int64_t k = 0; k < 6; k++) {
            int64_t iy = py * 2 - 1 + k / 2, ix = px * 2 - 1 + k % 2 * 2;
            if (iy >= 0 && iy < 7 && ix >= 0 && ix < 6)
                best = xg_max(best, x[((b * 7 + iy) * 6 + ix) * 3 + c]);
        }
        assert_int_equal(y[i], xg_min(best, 101));
        assert_true(yf[i] == (float)best - 200);
    }
}

/* ORT's window average: f32 sum of dequantised values in h, w order. */
static void avg_pool_case(void **state, bool count_pad) {
    uint64_t s = 5;
    net n = net_new(state), f = net_new(state);
    uint8_t *x = random_bytes(n.a, &s, 7 * 6 * 3);
    float *xf = random_f32(n.a, &s, 7 * 6 * 3);
    input(&n, XG_U8, quant(&n, 0.0371f, 117), x, DIMS(1, 7, 6, 3));
    input(&f, XG_F32, NULL, xf, DIMS(1, 7, 6, 3));
    xg_set_window(node(&n, XG_OP_AvgPool), &pool_window);
    xg_set_window(node(&f, XG_OP_AvgPool), &pool_window);
    xg_set_ai(xg_nodep(n.g, n.node), XG_ATTR_count_pad, count_pad);
    xg_set_ai(xg_nodep(f.g, f.node), XG_ATTR_count_pad, count_pad);
    const uint8_t *y = run(&n, XG_U8, quant(&n, 0.029f, 120));
    const float *yf = run(&f, XG_F32, NULL);
    int64_t oh = output(&n)->dim[1], ow = output(&n)->dim[2];
    for (int64_t i = 0; i < oh * ow * 3; i++) {
        int64_t c = i % 3, px = i / 3 % ow, py = i / 3 / ow, count = 0;
        volatile float sum = 0, sum_f = 0;
        for (int64_t k = 0; k < 6; k++) {
            int64_t iy = py * 2 - 1 + k / 2, ix = px * 2 - 1 + k % 2 * 2;
            bool inside = iy >= 0 && iy < 7 && ix >= 0 && ix < 6;
            count += inside || (count_pad && iy <= 7 && ix <= 6);
            volatile float v = inside ? (float)(x[(iy * 6 + ix) * 3 + c] - 117) * 0.0371f : 0;
            sum = sum + v;
            if (inside) sum_f = sum_f + xf[(iy * 6 + ix) * 3 + c];
        }
        volatile float mean = sum / (float)count;
        volatile float q = mean / 0.029f;
        q = q + 120;
        assert_int_equal(y[i], (int)fminf(fmaxf(nearbyintf(q), 0), 255));
        assert_true(yf[i] == sum_f / (float)count);
    }
}

static void avg_pool(void **state) {
    avg_pool_case(state, false);
    avg_pool_case(state, true);
}

/* ORT's global average is another formula than its window average; the inputs are many enough to
 * tell them apart. */
static void global_average(void **state) {
    uint64_t s = 6;
    enum { C = 300 };
    const float sy = 0.0371f * 2 / 49; /* sums are divided by 2: ties */
    net n = net_new(state), r = net_new(state);
    int8_t *x = random_bytes(n.a, &s, 2 * 49 * C);
    input(&n, XG_I8, quant(&n, 0.0371f, -7), x, DIMS(2, 7, 7, C));
    input(&r, XG_I8, quant(&n, 0.0371f, -7), x, DIMS(2, 7, 7, C));
    xg_set_window(node(&n, XG_OP_AvgPool),
                  &(xg_window){.kh = 7, .kw = 7, .sh = 1, .sw = 1, .dh = 1, .dw = 1});
    xg_set_ais(r.g, node(&r, XG_OP_ReduceMean), XG_ATTR_axes, (const int64_t[]){1, 2}, 2);
    const int8_t *y = run(&n, XG_I8, quant(&n, sy, 4)), *yr = run(&r, XG_I8, quant(&r, sy, 4));
    int differ = 0;
    for (int i = 0; i < 2 * C; i++) {
        int sum = 0;
        volatile float d = sy * 49, m = 0.0371f / d, window = 0;
        for (int k = 0; k < 49; k++) {
            volatile float v = (float)(x[(i / C * 49 + k) * C + i % C] + 7) * 0.0371f;
            sum += x[(i / C * 49 + k) * C + i % C] + 7;
            window = window + v;
        }
        volatile float v = (float)sum * m;
        int want = (int)fminf(fmaxf(nearbyintf(v), -132), 123) + 4;
        window = window / 49;
        window = window / sy;
        window = window + 4;
        differ += want != (int)fminf(fmaxf(nearbyintf(window), -128), 127);
        assert_int_equal(y[i], want);
        assert_int_equal(yr[i], want);
    }
    assert_true(differ > 0);
}

/* A window that is far larger than the map costs no more than the map. */
static void huge_window(void **state) {
    net n = net_new(state);
    const int8_t x[4] = {1, 2, 3, 4};
    const int32_t big = 1 << 20;
    const xg_window w = {
        .kh = big, .kw = big, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .pt = big - 1, .pl = big - 1};
    input(&n, XG_I8, quant(&n, 1, 0), x, DIMS(1, 2, 2, 1));
    xg_set_window(node(&n, XG_OP_AvgPool), &w);
    const int8_t *y = run(&n, XG_I8, quant(&n, 0x1p-4f, 0));
    assert_int_equal(y[0], 16);
    assert_int_equal(y[3], 40); /* (1 + 2 + 3 + 4) / 4 */
}

static void reductions(void **state) {
    const float x[6] = {1, -2, 3, 4, 5, -6};
    static const struct {
        xg_op op;
        float want[3];
    } rows[] = {{XG_OP_ReduceSum, {5, 3, -3}},
                {XG_OP_ReduceMax, {4, 5, 3}},
                {XG_OP_ReduceMean, {2.5f, 1.5f, -1.5f}}};
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        net n = net_new(state);
        input(&n, XG_F32, NULL, x, DIMS(2, 3));
        xg_set_ais(n.g, node(&n, rows[i].op), XG_ATTR_axes, (const int64_t[]){0}, 1);
        const float *y = run(&n, XG_F32, NULL);
        for (int k = 0; k < 3; k++) assert_true(y[k] == rows[i].want[k]);
    }
    net all = net_new(state);
    const int8_t q[4] = {-3, 9, 2, -128};
    input(&all, XG_I8, quant(&all, 0.1f, 0), q, DIMS(2, 2));
    node(&all, XG_OP_ReduceMax);
    assert_int_equal(*(const int8_t *)run(&all, XG_I8, quant(&all, 0.1f, 0)), 9);
}

/* ---- element-wise ops ---- */

static void add_int(void **state) {
    uint64_t s = 11;
    net n = net_new(state);
    const float sa = 0.031f, sb = 0.017f, sy = 0.043f;
    int8_t *a = random_bytes(n.a, &s, 2 * 5 * 6), *b = random_bytes(n.a, &s, 5 * 1);
    input(&n, XG_I8, quant(&n, sa, 3), a, DIMS(2, 5, 6));
    input(&n, XG_I8, quant(&n, sb, -5), b, DIMS(5, 1));
    xg_set_ai(node(&n, XG_OP_Add), XG_ATTR_lo, 2);
    const int8_t *y = run(&n, XG_I8, quant(&n, sy, 2));
    for (int i = 0; i < 60; i++) {
        volatile float ra = sa / sy, rb = sb / sy, pa = ra * 3, pb = rb * -5, z = pa + pb,
                       off = 2 - z;
        float v = nearbyintf(fmaf((float)a[i], ra, fmaf((float)b[i / 6 % 5], rb, off)));
        assert_int_equal(y[i], (int)fminf(fmaxf(v, 2), 127));
    }
}

static void mul_int(void **state) {
    uint64_t s = 12;
    net n = net_new(state);
    uint8_t *a = random_bytes(n.a, &s, 4 * 3), *b = random_bytes(n.a, &s, 3);
    input(&n, XG_U8, quant(&n, 0.031f, 100), a, DIMS(4, 3));
    input(&n, XG_U8, quant(&n, 0.017f, 50), b, DIMS(3));
    node(&n, XG_OP_Mul);
    const uint8_t *y = run(&n, XG_U8, quant(&n, 0.043f, 128));
    for (int i = 0; i < 12; i++) {
        volatile float p = 0.031f * 0.017f, m = p / 0.043f,
                       v = (float)((a[i] - 100) * (b[i % 3] - 50)) * m;
        v = v + 128;
        assert_int_equal(y[i], (int)fminf(fmaxf(nearbyintf(v), 0), 255));
    }
}

static void binary_tables(void **state) {
    static const struct {
        xg_op op;
        float want[4];    /* of a = 6, -1, 2, 0.5 and b = 2, 2, -4, 0.5 */
        int64_t plain[4]; /* of a = 6, -7, 2, 9 and b = 2, 2, -4, 9 */
    } rows[] = {
        {XG_OP_Add, {8, 1, -2, 1}, {8, -5, -2, 18}},
        {XG_OP_Sub, {4, -3, 6, 0}, {4, -9, 6, 0}},
        {XG_OP_Mul, {12, -2, -8, 0.25f}, {12, -14, -8, 81}},
        {XG_OP_Div, {3, -0.5f, -0.5f, 1}, {3, -3, 0, 1}},
        {XG_OP_Min, {2, -1, -4, 0.5f}, {2, -7, -4, 9}},
        {XG_OP_Max, {6, 2, 2, 0.5f}, {6, 2, 2, 9}},
    };
    const float a[4] = {6, -1, 2, 0.5f}, b[4] = {2, 2, -4, 0.5f};
    const int64_t pa[4] = {6, -7, 2, 9}, pb[4] = {2, 2, -4, 9};
    const int8_t qa[4] = {12, -2, 4, 1},
                 qb[4] = {5, 5, -7, 2}; /* the same values: scale 1/2; 1/2 and zp 1 */
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        net f = net_new(state), p = net_new(state), q = net_new(state);
        input(&f, XG_F32, NULL, a, DIMS(4));
        input(&f, XG_F32, NULL, b, DIMS(4));
        input(&p, XG_I64, NULL, pa, DIMS(4));
        input(&p, XG_I64, NULL, pb, DIMS(4));
        input(&q, XG_I8, quant(&q, 0.5f, 0), qa, DIMS(4));
        input(&q, XG_I8, quant(&q, 0.5f, 1), qb, DIMS(4));
        node(&f, rows[i].op);
        node(&p, rows[i].op);
        node(&q, rows[i].op);
        const float *y = run(&f, XG_F32, NULL);
        const int64_t *yp = run(&p, XG_I64, NULL);
        const int8_t *yq = run(&q, XG_I8, quant(&q, 0.25f, -2));
        for (int k = 0; k < 4; k++) {
            assert_true(y[k] == rows[i].want[k]);
            assert_int_equal(yp[k], rows[i].plain[k]);
            assert_int_equal(yq[k], (int)(rows[i].want[k] * 4) - 2);
        }
    }
    net pow2 = net_new(state);
    input(&pow2, XG_F32, NULL, (const float[]){3, 4}, DIMS(2));
    input(&pow2, XG_F32, NULL, (const float[]){2, 0.5f}, DIMS(2));
    node(&pow2, XG_OP_Pow);
    const float *y = run(&pow2, XG_F32, NULL);
    assert_true(y[0] == 9 && y[1] == 2);
    net zero = net_new(state);
    input(&zero, XG_I64, NULL, pa, DIMS(1));
    input(&zero, XG_I64, NULL, (const int64_t[]){0}, DIMS(1));
    node(&zero, XG_OP_Div);
    assert_status(zero.c, try_run(&zero, XG_I64, NULL, NULL), XG_INPUT);
    assert_said(zero.c, "division by 0");
}

static float unary_value(xg_op op, float x) {
    double d = (double)x;
    switch (op) {
    case XG_OP_LeakyRelu:
        return x < 0 ? 0.25f * x : x;
    case XG_OP_Sigmoid:
        return (float)(1 / (1 + exp(-d)));
    case XG_OP_Tanh:
        return (float)tanh(d);
    case XG_OP_HardSigmoid:
        return (float)fmin(fmax(0.25 * d + 0.5, 0), 1);
    case XG_OP_HardSwish:
        return (float)(d * fmin(fmax(d / 6 + 0.5, 0), 1));
    case XG_OP_Elu:
        return x < 0 ? (float)(0.25 * (exp(d) - 1)) : x;
    case XG_OP_Exp:
        return (float)exp(d);
    case XG_OP_Log:
        return (float)log(d);
    case XG_OP_Sqrt:
        return sqrtf(x);
    case XG_OP_Erf:
        return (float)erf(d);
    case XG_OP_Abs:
        return fabsf(x);
    case XG_OP_Neg:
        return -x;
    case XG_OP_Floor:
        return floorf(x);
    case XG_OP_Ceil:
        return ceilf(x);
    default:
        return (float)log(1 + exp(d));
    }
}

static void unary(void **state) {
    static const xg_op ops[] = {XG_OP_LeakyRelu, XG_OP_Sigmoid, XG_OP_Tanh,    XG_OP_HardSigmoid,
                                XG_OP_HardSwish, XG_OP_Elu,     XG_OP_Exp,     XG_OP_Log,
                                XG_OP_Sqrt,      XG_OP_Erf,     XG_OP_Abs,     XG_OP_Neg,
                                XG_OP_Floor,     XG_OP_Ceil,    XG_OP_Softplus};
    uint8_t all[256];
    float x[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
        x[i] = (float)(i - 99) * 0.0625f;
    }
    for (size_t i = 0; i < XG_COUNT(ops); i++) {
        net f = net_new(state), q = net_new(state);
        bool positive = ops[i] == XG_OP_Log ||
                        ops[i] == XG_OP_Sqrt; /* no NaN: 100..255 stand for positive values */
        int first = positive ? 100 : 0, n = 256 - first;
        input(&f, XG_F32, NULL, x + first, DIMS(n));
        input(&q, XG_U8, quant(&q, 0.0625f, 99), all + first, DIMS(n));
        xg_node *nf = node(&f, ops[i]), *nq = node(&q, ops[i]);
        if (xg_has_attr(nf, XG_ATTR_alpha)) {
            xg_set_af(nf, XG_ATTR_alpha, 0.25f);
            xg_set_af(nq, XG_ATTR_alpha, 0.25f);
        }
        if (xg_has_attr(nf, XG_ATTR_beta)) {
            xg_set_af(nf, XG_ATTR_beta, 0.5f);
            xg_set_af(nq, XG_ATTR_beta, 0.5f);
        }
        const float *y = run(&f, XG_F32, NULL);
        const int8_t *yq = run(&q, XG_I8, quant(&q, 0.03f, -20));
        for (int k = 0; k < n; k++) {
            float want = unary_value(ops[i], x[first + k]);
            if (fabsf(y[k] - want) > fabsf(want) * 0x1p-22f + 0x1p-60f)
                print_message("%s(%g) = %g, expected %g\n", xg_ops[ops[i]].name,
                              (double)x[first + k], (double)y[k], (double)want);
            assert_true(fabsf(y[k] - want) <= fabsf(want) * 0x1p-22f + 0x1p-60f);
            assert_int_equal(yq[k], (int)fminf(fmaxf(nearbyintf(y[k] / 0.03f), -108), 147) - 20);
        }
    }
}

static void clip(void **state) {
    net f = net_new(state), q = net_new(state);
    input(&f, XG_F32, NULL, (const float[]){-1, 3, 9}, DIMS(3));
    input(&q, XG_I8, quant(&q, 1, 0), (const int8_t[]){-128, 3, 127}, DIMS(3));
    xg_node *nf = node(&f, XG_OP_Clip), *nq = node(&q, XG_OP_Clip);
    xg_set_af(nf, XG_ATTR_min, 0);
    xg_set_af(nf, XG_ATTR_max, 6);
    xg_set_ai(nq, XG_ATTR_lo, -5);
    xg_set_ai(nq, XG_ATTR_hi, 60);
    const float *y = run(&f, XG_F32, NULL);
    const int8_t *yq = run(&q, XG_I8, quant(&q, 1, 0));
    assert_true(y[0] == 0 && y[1] == 3 && y[2] == 6);
    assert_true(yq[0] == -5 && yq[1] == 3 && yq[2] == 60);
}

/* ---- representation ---- */

static void quantize_ties(void **state) {
    net n = net_new(state);
    const float x[8] = {0.25f, 0.75f, 1.25f, -0.25f, -0.75f, 1e9f, -1e9f, 63.6f};
    const int8_t want[8] = {3, 5, 5, 3, 1, 127, -128, 127}; /* halves to even, then + 3 */
    input(&n, XG_F32, NULL, x, DIMS(8));
    node(&n, XG_OP_Quantize);
    const int8_t *y = run(&n, XG_I8, quant(&n, 0.5f, 3));
    for (int i = 0; i < 8; i++) assert_int_equal(y[i], want[i]);
}

static void per_axis(void **state) {
    const float scale[2] = {0.5f, 2};
    const int32_t zp[2] = {0, 10};
    net q = net_new(state), d = net_new(state);
    input(&q, XG_F32, NULL, (const float[]){1, 2, 4, 8}, DIMS(1, 2, 2));
    node(&q, XG_OP_Quantize);
    const int8_t *y = run(&q, XG_I8, xg_quant_new(q.a, 1, 2, scale, zp));
    assert_true(y[0] == 2 && y[1] == 4 && y[2] == 12 && y[3] == 14);
    constant(&d, XG_I32, xg_quant_new(d.a, 1, 2, scale, zp), (const int32_t[]){2, 4, 12, 14},
             DIMS(1, 2, 2));
    node(&d, XG_OP_Dequantize);
    const float *f = run(&d, XG_F32, NULL);
    assert_true(f[0] == 1 && f[1] == 2 && f[2] == 4 && f[3] == 8);
}

static void requantize_and_lut(void **state) {
    net n = net_new(state), l = net_new(state);
    int8_t all[256], table[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (int8_t)(i - 128);
        table[i] = (int8_t)(i * 7);
    }
    input(&n, XG_I8, quant(&n, 0.1f, 4), all, DIMS(256));
    node(&n, XG_OP_Requantize);
    const uint8_t *y = run(&n, XG_U8, quant(&n, 0.17f, 99));
    input(&l, XG_I8, quant(&l, 0.1f, 4), all, DIMS(256));
    constant(&l, XG_I8, NULL, table, DIMS(256));
    node(&l, XG_OP_Lut);
    const int8_t *yl = run(&l, XG_I8, quant(&l, 0.5f, 0));
    for (int i = 0; i < 256; i++) {
        volatile float v = (float)(i - 132) * 0.1f;
        v = v / 0.17f;
        assert_int_equal(y[i], (int)fminf(fmaxf(nearbyintf(v), -99), 156) + 99);
        assert_int_equal(yl[i], table[i]);
    }
}

static void cast(void **state) {
    static const float x[5] = {-1.9f, 2.9f, 300, -1e20f, 0};
    net a = net_new(state), b = net_new(state), f = net_new(state), z = net_new(state);
    input(&a, XG_F32, NULL, x, DIMS(5));
    input(&b, XG_F32, NULL, x, DIMS(5));
    input(&f, XG_I64, NULL, (const int64_t[]){-7, 9}, DIMS(2));
    input(&z, XG_F32, NULL, (const float[]){NAN}, DIMS(1));
    xg_set_ai(node(&a, XG_OP_Cast), XG_ATTR_to, XG_I32);
    xg_set_ai(node(&b, XG_OP_Cast), XG_ATTR_to, XG_BOOL);
    xg_set_ai(node(&f, XG_OP_Cast), XG_ATTR_to, XG_F32);
    xg_set_ai(node(&z, XG_OP_Cast), XG_ATTR_to, XG_I64);
    const int32_t *y = run(&a, XG_I32, NULL);
    const uint8_t *yb = run(&b, XG_BOOL, NULL);
    const float *yf = run(&f, XG_F32, NULL);
    assert_true(y[0] == -1 && y[1] == 2 && y[2] == 300 && y[3] == INT32_MIN && y[4] == 0);
    assert_true(yb[0] && yb[1] && yb[2] && yb[3] && !yb[4]);
    assert_true(yf[0] == -7 && yf[1] == 9);
    assert_int_equal(*(const int64_t *)run(&z, XG_I64, NULL), 0);
}

static void softmax(void **state) {
    net f = net_new(state), q = net_new(state), z = net_new(state);
    const float x[6] = {1, 2, 3, 1000, 1001, 1002}; /* [2, 3], rows along axis 1 */
    input(&f, XG_F32, NULL, x, DIMS(2, 3));
    xg_set_ai(node(&f, XG_OP_Softmax), XG_ATTR_axis, 1);
    const float *y = run(&f, XG_F32, NULL);
    const float e1 = (float)exp(-2.0), e2 = (float)exp(-1.0);
    volatile float sum = e1 + e2;
    sum = sum + 1;
    for (int i = 0; i < 6; i++) assert_true(y[i] == (i % 3 == 0 ? e1 : i % 3 == 1 ? e2 : 1) / sum);
    const int8_t xq[8] = {5, 5, 5, -128, 5, 5, 5, 127}; /* [4, 2], columns along axis 0 */
    input(&q, XG_I8, quant(&q, 0.5f, 0), xq, DIMS(4, 2));
    xg_set_ai(node(&q, XG_OP_Softmax), XG_ATTR_axis, 0);
    const int8_t *yq = run(&q, XG_I8, quant(&q, 0x1p-8f, -128));
    for (int i = 0; i < 8; i += 2) assert_int_equal(yq[i], 64 - 128); /* a quarter each */
    assert_int_equal(yq[7], 127);                                     /* 256 - 128 is clamped */
    assert_int_equal(yq[3], -128);
    const uint8_t xz[2] = {10, 0};
    input(&z, XG_U8, quant(&z, 0.1f, 0), xz, DIMS(1, 2));
    xg_set_ai(node(&z, XG_OP_Softmax), XG_ATTR_axis, 1);
    const uint8_t *yz = run(&z, XG_U8, quant(&z, 0.00392f, 0)); /* floor(1 / sy) = 255 */
    assert_int_equal(yz[0], (int)nearbyint(255 / (1 + exp(-1.0))));
    assert_int_equal(yz[1], (int)nearbyint(255 - 255 / (1 + exp(-1.0))));
}

static void batch_norm(void **state) {
    net n = net_new(state);
    const float par[4][2] = {{2, 3}, {1, -1}, {0.5f, 2}, {4, 9}};
    input(&n, XG_F32, NULL, (const float[]){1, 2, 3, 4}, DIMS(2, 2));
    for (int i = 0; i < 4; i++) constant(&n, XG_F32, NULL, par[i], DIMS(2));
    xg_set_af(node(&n, XG_OP_BatchNorm), XG_ATTR_epsilon, 0);
    const float *y = run(&n, XG_F32, NULL);
    assert_true(y[0] == 1.5f && y[1] == -1 && y[2] == 3.5f && y[3] == 1);
}

/* Across channels; an even size of 4 sees one channel before and two after. */
static void local_response(void **state) {
    uint64_t s = 17;
    net n = net_new(state);
    const float *x = random_f32(n.a, &s, 3 * 6);
    input(&n, XG_F32, NULL, x, DIMS(1, 1, 3, 6));
    xg_node *lrn = node(&n, XG_OP_LRN);
    xg_set_ai(lrn, XG_ATTR_size, 4);
    xg_set_af(lrn, XG_ATTR_alpha, 0.5f);
    xg_set_af(lrn, XG_ATTR_beta, 0.75f);
    xg_set_af(lrn, XG_ATTR_bias, 2);
    const float *y = run(&n, XG_F32, NULL);
    for (int i = 0; i < 18; i++) {
        double sum = 0;
        for (int c = i % 6 - 1; c <= i % 6 + 2; c++)
            if (c >= 0 && c < 6) sum += (double)x[i / 6 * 6 + c] * (double)x[i / 6 * 6 + c];
        double want = (double)x[i] / pow(2 + 0.5 / 4 * sum, 0.75);
        assert_true(fabs((double)y[i] - want) <= fabs(want) * 0x1p-20);
    }
}

/* ---- movement ---- */

static void reshape_and_transpose(void **state) {
    net r = net_new(state), t = net_new(state);
    int16_t x[24];
    for (int i = 0; i < 24; i++) x[i] = (int16_t)(i * 100);
    const xg_quant *q = quant(&r, 1, 0);
    input(&r, XG_I16, q, x, DIMS(2, 3, 4));
    input(&t, XG_I16, q, x, DIMS(2, 3, 4));
    xg_set_ais(r.g, node(&r, XG_OP_Reshape), XG_ATTR_shape, (const int64_t[]){4, 6}, 2);
    xg_set_ais(t.g, node(&t, XG_OP_Transpose), XG_ATTR_perm, (const int64_t[]){2, 0, 1}, 3);
    const int16_t *yr = run(&r, XG_I16, q), *yt = run(&t, XG_I16, q);
    for (int i = 0; i < 24; i++) {
        assert_int_equal(yr[i], x[i]);
        assert_int_equal(yt[i], x[(i / 3 % 2 * 3 + i % 3) * 4 + i / 6]);
    }
}

static void slice_and_gather(void **state) {
    net s = net_new(state), g = net_new(state);
    float x[20];
    for (int i = 0; i < 20; i++) x[i] = (float)i;
    input(&s, XG_F32, NULL, x, DIMS(4, 5));
    xg_node *n = node(&s, XG_OP_Slice);
    xg_set_ais(s.g, n, XG_ATTR_starts, (const int64_t[]){3, 1}, 2);
    xg_set_ais(s.g, n, XG_ATTR_steps, (const int64_t[]){-2, 3}, 2);
    xg_set_ais(s.g, n, XG_ATTR_shape, (const int64_t[]){2, 2}, 2);
    const float *y = run(&s, XG_F32, NULL);
    assert_true(y[0] == 16 && y[1] == 19 && y[2] == 6 && y[3] == 9);
    input(&g, XG_F32, NULL, x, DIMS(4, 5));
    constant(&g, XG_I64, NULL, (const int64_t[]){4, 0}, DIMS(2));
    xg_set_ai(node(&g, XG_OP_Gather), XG_ATTR_axis, 1);
    y = run(&g, XG_F32, NULL);
    for (int i = 0; i < 8; i++) assert_true(y[i] == (float)(i / 2 * 5 + (i % 2 ? 0 : 4)));
}

static void pad(void **state) {
    static const int8_t want[3][6] = {{9, 9, 1, 2, 3, 9}, {3, 2, 1, 2, 3, 2}, {1, 1, 1, 2, 3, 3}};
    for (int mode = 0; mode < 3; mode++) {
        net n = net_new(state);
        input(&n, XG_I8, quant(&n, 1, 0), (const int8_t[]){1, 2, 3}, DIMS(1, 3));
        xg_node *p = node(&n, XG_OP_Pad);
        xg_set_ais(n.g, p, XG_ATTR_pads, (const int64_t[]){0, 2, 0, 1}, 4);
        xg_set_ai(p, XG_ATTR_mode, mode);
        xg_set_af(p, XG_ATTR_value, 9);
        assert_memory_equal(run(&n, XG_I8, quant(&n, 1, 0)), want[mode], 6);
    }
    net f = net_new(state);
    input(&f, XG_F32, NULL, (const float[]){5}, DIMS(1, 1));
    xg_node *p = node(&f, XG_OP_Pad);
    xg_set_ais(f.g, p, XG_ATTR_pads, (const int64_t[]){1, 0, 0, 0}, 4);
    xg_set_af(p, XG_ATTR_value, -0.5f);
    const float *y = run(&f, XG_F32, NULL);
    assert_true(y[0] == -0.5f && y[1] == 5);
}

static void concat(void **state) {
    net n = net_new(state);
    const int8_t a[4] = {-128, 0, 50, 127};
    const uint8_t b[2] = {0, 255};
    input(&n, XG_I8, quant(&n, 0.2f, 1), a, DIMS(2, 2));
    input(&n, XG_U8, quant(&n, 0.1f, 128), b, DIMS(2, 1));
    xg_set_ai(node(&n, XG_OP_Concat), XG_ATTR_axis, 1);
    const int8_t *y = run(&n, XG_I8, quant(&n, 0.2f, 1));
    volatile float v = 127 * 0.1f; /* 12.7 / 0.2 is a tie or just beside one */
    v = v / 0.2f;
    const int8_t want[6] = {-128, 0, -63, 50, 127, (int8_t)(nearbyintf(v) + 1)};
    assert_memory_equal(y, want, 6);
    net p = net_new(state);
    input(&p, XG_I64, NULL, (const int64_t[]){1, 2}, DIMS(2));
    input(&p, XG_I64, NULL, (const int64_t[]){3}, DIMS(1));
    xg_set_ai(node(&p, XG_OP_Concat), XG_ATTR_axis, 0);
    assert_memory_equal(run(&p, XG_I64, NULL), ((const int64_t[]){1, 2, 3}), 24);
}

/* ---- errors ---- */

static void missing_input(void **state) {
    net n = net_new(state);
    input(&n, XG_F32, NULL, NULL, DIMS(2));
    node(&n, XG_OP_Abs);
    assert_status(n.c, try_run(&n, XG_F32, NULL, NULL), XG_INPUT);
    assert_said(n.c, "has no value");
}

static xg_status nomem_scenario(void *arg) {
    xg_test_case *t = arg;
    xg_graph *g = xg_graph_new(t->a, "g");
    xg_tensor x = {
        .name = "x", .dtype = XG_I8, .rank = 4, .dim = {1, 3, 3, 2}, .producer = XG_NONE};
    x.quant = xg_quant_scalar(t->a, 0.5f, 0);
    uint32_t in[2] = {xg_graph_add_tensor(g, &x)};
    xg_graph_add_input(g, in[0]);
    int8_t *w = xg_alloc(t->a, 8);
    w[0] = 3;
    in[1] = xg_graph_add_const(g, "w", XG_I8, 4, (const int64_t[]){4, 1, 1, 2}, w,
                               xg_quant_scalar(t->a, 0.5f, 0));
    const xg_node *n = xg_nodep(g, xg_graph_add_node(g, XG_OP_Conv, "c", in, 2, 1));
    xg_out(g, n, 0)->quant = xg_quant_scalar(t->a, 0.5f, 0);
    xg_out(g, n, 0)->dtype = XG_I8;
    xg_status st = xg_graph_infer(t->c, g);
    xg_values v;
    xg_values_init(&v, g, t->a);
    if (!st) st = xg_values_fill(t->c, &v, "random", 1);
    if (!st) st = xg_interp_run(t->c, &v, NULL);
    xg_rqrec rec;
    if (!st && xg_rqrec_profile("ort", &rec)) st = xg_prove_accumulators(t->c, g, &rec);
    return st;
}

static void allocation_failure(void **state) {
    (void)state;
    assert_true(xg_test_nomem(nomem_scenario, NULL, 1) > 5);
}

static void every_operator(void **state) {
    (void)state;
    for (int i = 0; i < XG_OP_COUNT; i++) {
        if (!exercised[i]) print_message("no test above runs %s\n", xg_ops[i].name);
        assert_true(exercised[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(conv_int),
        TEST(conv_int_profiles),
        TEST(conv_int_is_exact),
        TEST(conv_int_refusals),
        TEST(conv_f32),
        TEST(matmul_f32),
        TEST(matmul_int),
        TEST(max_pool),
        TEST(avg_pool),
        TEST(global_average),
        TEST(huge_window),
        TEST(reductions),
        TEST(add_int),
        TEST(mul_int),
        TEST(binary_tables),
        TEST(unary),
        TEST(clip),
        TEST(quantize_ties),
        TEST(per_axis),
        TEST(requantize_and_lut),
        TEST(cast),
        TEST(softmax),
        TEST(batch_norm),
        TEST(local_response),
        TEST(reshape_and_transpose),
        TEST(slice_and_gather),
        TEST(pad),
        TEST(concat),
        MORE_TESTS,
        TEST(missing_input),
        TEST(allocation_failure),
        TEST(every_operator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
