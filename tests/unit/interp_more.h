/* Tests of test_interp.c for the less common operators: the same idea, formulas written here. */
#ifndef INTERP_MORE_H
#define INTERP_MORE_H

#include "interp_net.h"

/* ---- functions of one value ---- */

static inline double more_value(xg_op op, double d) {
    switch (op) {
    case XG_OP_Silu:
        return d * (1 / (1 + exp(-d)));
    case XG_OP_Gelu:
        return 0.5 * d * (1 + erf(d / sqrt(2)));
    case XG_OP_Mish: {
        double e = (1 + exp(d)) * (1 + exp(d)); /* tanh(ln u) = (u^2 - 1) / (u^2 + 1) */
        return d * ((e - 1) / (e + 1));
    }
    case XG_OP_Selu:
        return d > 0 ? 0.5 * d : 0.5 * 0.25 * (exp(d) - 1);
    case XG_OP_Celu:
        return fmax(0, d) + fmin(0, 0.25 * (exp(d / 0.25) - 1));
    case XG_OP_ThresholdedRelu:
        return d > 0.25 ? d : 0;
    case XG_OP_Shrink:
        return fabs(d) <= 0.25 ? 0 : d < 0 ? d + 0.5 : d - 0.5;
    case XG_OP_Softsign:
        return d < 0 ? d / (1 - d) : d / (1 + d);
    case XG_OP_Sign:
        return (d > 0) - (d < 0);
    case XG_OP_Round: {
        double down = floor(d), part = d - down;
        if (part == 0.5) return fmod(down, 2) == 0 ? down : down + 1;
        return part < 0.5 ? down : down + 1;
    }
    case XG_OP_Sin:
        return cos(d - acos(-1.0) / 2);
    case XG_OP_Cos:
        return sin(d + acos(-1.0) / 2);
    case XG_OP_Tan:
        return sin(d) / cos(d);
    case XG_OP_Asin:
        return atan2(d, sqrt(1 - d * d));
    case XG_OP_Acos:
        return atan2(sqrt(1 - d * d), d);
    case XG_OP_Atan:
        return atan2(d, 1);
    case XG_OP_Sinh:
        return (exp(d) - exp(-d)) / 2;
    case XG_OP_Cosh:
        return (exp(d) + exp(-d)) / 2;
    case XG_OP_Asinh:
        return d < 0 ? -log(sqrt(d * d + 1) - d) : log(sqrt(d * d + 1) + d);
    case XG_OP_Acosh:
        return log(d + sqrt(d * d - 1));
    default:
        return 0.5 * log((1 + d) / (1 - d));
    }
}

static inline void more_parameters(xg_node *n) {
    if (xg_has_attr(n, XG_ATTR_alpha)) xg_set_af(n, XG_ATTR_alpha, 0.25f);
    if (xg_has_attr(n, XG_ATTR_beta)) xg_set_af(n, XG_ATTR_beta, 0.5f);
}

static void more_unary(void **state) {
    static const struct {
        xg_op op;
        int first, last; /* arguments i / 16 */
    } rows[] = {
        {XG_OP_Silu, -99, 156},  {XG_OP_Gelu, -60, 156},     {XG_OP_Mish, -99, 156},
        {XG_OP_Selu, -99, 156},  {XG_OP_Celu, -60, 156},     {XG_OP_ThresholdedRelu, -99, 156},
        {XG_OP_Shrink, -99, 99}, {XG_OP_Softsign, -99, 156}, {XG_OP_Sign, -99, 156},
        {XG_OP_Round, -99, 156}, {XG_OP_Sin, -99, 99},       {XG_OP_Cos, -99, 99},
        {XG_OP_Tan, -20, 20},    {XG_OP_Asin, -16, 16},      {XG_OP_Acos, -16, 16},
        {XG_OP_Atan, -99, 99},   {XG_OP_Sinh, -99, 99},      {XG_OP_Cosh, -99, 99},
        {XG_OP_Asinh, -99, 99},  {XG_OP_Acosh, 16, 99},      {XG_OP_Atanh, -15, 15},
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        net f = net_new(state), q = net_new(state);
        int n = rows[i].last - rows[i].first + 1;
        float x[256];
        uint8_t codes[256];
        for (int k = 0; k < n; k++) {
            x[k] = (float)(rows[i].first + k) * 0.0625f;
            codes[k] = (uint8_t)(rows[i].first + k + 99);
        }
        input(&f, XG_F32, NULL, x, DIMS(n));
        input(&q, XG_U8, quant(&q, 0.0625f, 99), codes, DIMS(n));
        more_parameters(node(&f, rows[i].op));
        more_parameters(node(&q, rows[i].op));
        const float *y = run(&f, XG_F32, NULL);
        const int8_t *yq = run(&q, XG_I8, quant(&q, 0.03f, -20));
        for (int k = 0; k < n; k++) {
            double want = more_value(rows[i].op, (double)x[k]);
            bool close = fabs((double)y[k] - want) <= fabs(want) * 0x1p-20 + 1e-14;
            if (!close)
                print_message("%s(%g) = %g, expected %g\n", xg_ops[rows[i].op].name, (double)x[k],
                              (double)y[k], want);
            assert_true(close);
            assert_int_equal(yq[k], (int)fminf(fmaxf(nearbyintf(y[k] / 0.03f), -108), 147) - 20);
        }
    }
    net g = net_new(state);
    input(&g, XG_F32, NULL, (const float[]){-1, 2}, DIMS(2));
    xg_set_ai(node(&g, XG_OP_Gelu), XG_ATTR_mode, 1);
    const float *y = run(&g, XG_F32, NULL);
    assert_true(fabsf(y[0] + 0.158808f) < 1e-6f && fabsf(y[1] - 1.954598f) < 1e-6f);
}

/* ---- two values ---- */

static void more_binary(void **state) {
    net p = net_new(state), q = net_new(state), m = net_new(state), s = net_new(state),
        d = net_new(state), z = net_new(state);
    input(&p, XG_F32, NULL, (const float[]){-2, 3, -4, 5}, DIMS(2, 2));
    constant(&p, XG_F32, NULL, (const float[]){0.5f, 9}, DIMS(2));
    node(&p, XG_OP_PRelu);
    const float *y = run(&p, XG_F32, NULL);
    assert_true(y[0] == -1 && y[1] == 3 && y[2] == -2 && y[3] == 5);
    input(&q, XG_I8, quant(&q, 0.5f, 0), (const int8_t[]){-4, 6, -8, 7}, DIMS(2, 2));
    constant(&q, XG_I8, quant(&q, 0.25f, 0), (const int8_t[]){1, 100}, DIMS(2));
    node(&q, XG_OP_PRelu);
    /* reals -2 * 0.25, 3, -4 * 0.25, 3.5 */
    assert_memory_equal(run(&q, XG_I8, quant(&q, 0.125f, 3)), ((const int8_t[]){-1, 27, -5, 31}),
                        4);
    input(&m, XG_F32, NULL, (const float[]){-5.5f, 5.5f, -6, 0}, DIMS(4));
    constant(&m, XG_F32, NULL, (const float[]){2}, DIMS(1));
    node(&m, XG_OP_Mod);
    y = run(&m, XG_F32, NULL);
    assert_true(y[0] == 0.5f && y[1] == 1.5f && y[2] == 0 && y[3] == 0);
    input(&s, XG_F32, NULL, (const float[]){-5.5f, 5.5f}, DIMS(2));
    constant(&s, XG_F32, NULL, (const float[]){2, -2}, DIMS(2));
    xg_set_ai(node(&s, XG_OP_Mod), XG_ATTR_mode, 1);
    y = run(&s, XG_F32, NULL);
    assert_true(y[0] == -1.5f && y[1] == 1.5f);
    input(&d, XG_I64, NULL, (const int64_t[]){-7, 7, -7, INT64_MIN}, DIMS(4));
    constant(&d, XG_I64, NULL, (const int64_t[]){3, -3, -3, -1}, DIMS(4));
    node(&d, XG_OP_Mod);
    assert_memory_equal(run(&d, XG_I64, NULL), ((const int64_t[]){2, -2, -1, 0}), 32);
    input(&z, XG_I32, NULL, (const int32_t[]){1}, DIMS(1));
    constant(&z, XG_I32, NULL, (const int32_t[]){0}, DIMS(1));
    node(&z, XG_OP_Mod);
    assert_status(z.c, try_run(&z, XG_I32, NULL, NULL), XG_INPUT);
}

/* ---- comparisons and logic ---- */

static void compare_and_choose(void **state) {
    static const struct {
        xg_op op;
        uint8_t f32[4], i32[4];
    } rows[] = {{XG_OP_Equal, {0, 1, 0, 0}, {0, 0, 1, 0}},
                {XG_OP_Less, {1, 0, 0, 0}, {1, 0, 0, 0}},
                {XG_OP_LessOrEqual, {1, 1, 0, 0}, {1, 0, 1, 0}}};
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        net f = net_new(state), n = net_new(state);
        input(&f, XG_F32, NULL, (const float[]){-1, 2, 3, NAN}, DIMS(2, 2));
        input(&f, XG_F32, NULL, (const float[]){2}, DIMS(1, 1));
        node(&f, rows[i].op);
        assert_memory_equal(run(&f, XG_BOOL, NULL), rows[i].f32, 4);
        input(&n, XG_I32, NULL, (const int32_t[]){-1, 7}, DIMS(1, 2));
        input(&n, XG_I32, NULL, (const int32_t[]){3, -1}, DIMS(2, 1));
        node(&n, rows[i].op); /* -1:3, 7:3, -1:-1, 7:-1 */
        assert_memory_equal(run(&n, XG_BOOL, NULL), rows[i].i32, 4);
    }
    static const xg_op logic[] = {XG_OP_And, XG_OP_Or, XG_OP_Xor};
    static const uint8_t truth[3][4] = {{0, 0, 0, 1}, {0, 1, 1, 1}, {0, 1, 1, 0}};
    for (int i = 0; i < 3; i++) {
        net n = net_new(state);
        input(&n, XG_BOOL, NULL, (const uint8_t[]){0, 1}, DIMS(2, 1));
        input(&n, XG_BOOL, NULL, (const uint8_t[]){0, 1}, DIMS(2));
        node(&n, logic[i]);
        assert_memory_equal(run(&n, XG_BOOL, NULL), truth[i], 4);
    }
    net n = net_new(state), w = net_new(state);
    input(&n, XG_BOOL, NULL, (const uint8_t[]){0, 1}, DIMS(2));
    node(&n, XG_OP_Not);
    assert_memory_equal(run(&n, XG_BOOL, NULL), ((const uint8_t[]){1, 0}), 2);
    input(&w, XG_BOOL, NULL, (const uint8_t[]){1, 0}, DIMS(2, 1));
    input(&w, XG_I8, quant(&w, 0.5f, 1), (const int8_t[]){10, 20, 30}, DIMS(3));
    constant(&w, XG_I8, quant(&w, 0.5f, 1), (const int8_t[]){-5}, DIMS(1));
    node(&w, XG_OP_Where);
    assert_memory_equal(run(&w, XG_I8, quant(&w, 0.5f, 1)),
                        ((const int8_t[]){10, 20, 30, -5, -5, -5}), 6);
}

/* What must be refused when the shape is worked out. */
static void refuse_shape(net *n, xg_status want, const char *said) {
    assert_status(n->c, xg_node_infer(n->c, n->g, n->node), want);
    assert_said(n->c, said);
}

static void more_refusals(void **state) {
    net q = net_new(state), l = net_new(state), w = net_new(state), a = net_new(state),
        o = net_new(state);
    for (int i = 0; i < 2; i++) input(&q, XG_I8, quant(&q, 1, 0), NULL, DIMS(2));
    node(&q, XG_OP_Less);
    refuse_shape(&q, XG_UNSUPPORTED, "quantised");
    for (int i = 0; i < 2; i++) input(&l, XG_F32, NULL, NULL, DIMS(2));
    node(&l, XG_OP_And);
    refuse_shape(&l, XG_INPUT, "must be bool");
    input(&w, XG_BOOL, NULL, NULL, DIMS(2));
    input(&w, XG_I8, quant(&w, 1, 0), NULL, DIMS(2));
    input(&w, XG_I8, quant(&w, 2, 0), NULL, DIMS(2));
    node(&w, XG_OP_Where);
    refuse_shape(&w, XG_UNSUPPORTED, "different scales");
    input(&a, XG_F32, NULL, NULL, DIMS(2));
    xg_set_ai(node(&a, XG_OP_ArgMax), XG_ATTR_axis, 1);
    refuse_shape(&a, XG_INPUT, "axis is 1");
    input(&o, XG_F32, NULL, NULL, DIMS(2, 2));
    xg_set_ais(o.g, node(&o, XG_OP_Normalize), XG_ATTR_axes, (const int64_t[]){1, 0}, 2);
    refuse_shape(&o, XG_INPUT, "ascend");
}

/* ---- along an axis ---- */

static void arg_and_hardmax(void **state) {
    static const int8_t x[6] = {3, 9, 9, -4, -4, 1};
    for (int last = 0; last < 2; last++) {
        net max = net_new(state), min = net_new(state);
        input(&max, XG_I8, quant(&max, 0.5f, 0), x, DIMS(2, 3));
        input(&min, XG_I8, quant(&min, 0.5f, 0), x, DIMS(2, 3));
        xg_node *a = node(&max, XG_OP_ArgMax), *b = node(&min, XG_OP_ArgMin);
        xg_set_ai(a, XG_ATTR_axis, 1);
        xg_set_ai(a, XG_ATTR_last, last);
        xg_set_ai(b, XG_ATTR_axis, 1);
        xg_set_ai(b, XG_ATTR_last, last);
        xg_set_ai(b, XG_ATTR_keepdims, 0);
        assert_memory_equal(run(&max, XG_I64, NULL), ((const int64_t[]){last ? 2 : 1, 2}), 16);
        assert_memory_equal(run(&min, XG_I64, NULL), ((const int64_t[]){0, last ? 1 : 0}), 16);
        assert_int_equal(output(&max)->rank, 2);
        assert_int_equal(output(&min)->rank, 1);
    }
    net h = net_new(state);
    input(&h, XG_F32, NULL, (const float[]){1, 5, 2, 5, 0, 2}, DIMS(3, 2));
    xg_set_ai(node(&h, XG_OP_Hardmax), XG_ATTR_axis, 0);
    const float *y = run(&h, XG_F32, NULL), want[6] = {0, 1, 1, 0, 0, 0};
    assert_memory_equal(y, want, sizeof want);
}

static void running_sums(void **state) {
    static const float want[4][3] = {{1, 3, 6}, {6, 5, 3}, {0, 1, 3}, {5, 3, 0}};
    for (int i = 0; i < 4; i++) {
        net n = net_new(state);
        input(&n, XG_F32, NULL, (const float[]){1, 10, 2, 20, 3, 30}, DIMS(3, 2));
        xg_node *c = node(&n, XG_OP_CumSum);
        xg_set_ai(c, XG_ATTR_axis, 0);
        xg_set_ai(c, XG_ATTR_reverse, i & 1);
        xg_set_ai(c, XG_ATTR_exclusive, i >> 1);
        const float *y = run(&n, XG_F32, NULL);
        for (int k = 0; k < 3; k++)
            assert_true(y[2 * k] == want[i][k] && y[2 * k + 1] == 10 * want[i][k]);
    }
}

static void least_and_product(void **state) {
    net f = net_new(state), q = net_new(state), p = net_new(state);
    input(&f, XG_F32, NULL, (const float[]){3, -1, 2, 8}, DIMS(2, 2));
    input(&q, XG_U8, quant(&q, 1, 7), (const uint8_t[]){3, 200, 9, 8}, DIMS(2, 2));
    input(&p, XG_F32, NULL, (const float[]){3, -1, 2, 8}, DIMS(2, 2));
    xg_set_ais(f.g, node(&f, XG_OP_ReduceMin), XG_ATTR_axes, (const int64_t[]){0}, 1);
    node(&q, XG_OP_ReduceMin);
    xg_set_ais(p.g, node(&p, XG_OP_ReduceProd), XG_ATTR_axes, (const int64_t[]){1}, 1);
    const float *y = run(&f, XG_F32, NULL);
    assert_true(y[0] == 2 && y[1] == -1);
    assert_int_equal(*(const uint8_t *)run(&q, XG_U8, quant(&q, 1, 7)), 3);
    y = run(&p, XG_F32, NULL);
    assert_true(y[0] == -3 && y[1] == 16);
}

static void normalisation(void **state) {
    net n = net_new(state), c = net_new(state);
    input(&n, XG_F32, NULL, (const float[]){1, 100, 3, 100, 5, 100, 7, 100}, DIMS(2, 2, 2));
    xg_node *a = node(&n, XG_OP_Normalize);
    xg_set_ais(n.g, a, XG_ATTR_axes, (const int64_t[]){0, 1}, 2);
    xg_set_af(a, XG_ATTR_epsilon, 4);
    const float *y = run(&n, XG_F32, NULL); /* mean 4, variance 5: divided by 3 */
    for (int i = 0; i < 4; i++) {
        assert_true(fabsf(y[2 * i] - (float)(2 * i - 3) / 3) < 1e-6f);
        assert_true(y[2 * i + 1] == 0);
    }
    input(&c, XG_F32, NULL, (const float[]){5, 5}, DIMS(2));
    a = node(&c, XG_OP_Normalize);
    xg_set_ais(c.g, a, XG_ATTR_axes, (const int64_t[]){0}, 1);
    xg_set_af(a, XG_ATTR_epsilon, 0);
    y = run(&c, XG_F32, NULL);
    assert_true(y[0] == 0 && y[1] == 0);
}

/* ---- Resize ---- */

static void resize_by_taps(void **state) {
    static const int64_t rows[4] = {0, 0, 0, 1}, columns[6] = {1, 0, 2, 1, 2, 2};
    static const float wr[4] = {1, 0, 0.25f, 0.75f}, wc[6] = {0.5f, 0.5f, 1, 0, 0, 1};
    static const float x[12] = {0, 1, 2, 3, 4, 5, 60, 70, 80, 90, 100, 110}; /* [2,3,2] */
    static const int8_t xq[12] = {0, 1, 2, 3, 4, 5, 60, 70, 80, 90, 100, 110};
    for (int quantised = 0; quantised < 2; quantised++) {
        net n = net_new(state);
        input(&n, quantised ? XG_I8 : XG_F32, quantised ? quant(&n, 2, 10) : NULL,
              quantised ? (const void *)xq : x, DIMS(2, 3, 2));
        constant(&n, XG_I64, NULL, rows, DIMS(2, 2));
        constant(&n, XG_F32, NULL, wr, DIMS(2, 2));
        constant(&n, XG_I64, NULL, columns, DIMS(3, 2));
        constant(&n, XG_F32, NULL, wc, DIMS(3, 2));
        xg_set_ais(n.g, node(&n, XG_OP_Resize), XG_ATTR_axes, (const int64_t[]){0, 1}, 2);
        const void *y = run(&n, quantised ? XG_I8 : XG_F32, quantised ? quant(&n, 4, -5) : NULL);
        for (int i = 0; i < 12; i++) {
            int r = i / 6, c = i / 2 % 3, ch = i % 2;
            float want = 0;
            for (int a = 0; a < 2; a++)
                for (int b = 0; b < 2; b++)
                    want +=
                        wr[r * 2 + a] * wc[c * 2 + b] *
                        (quantised ? 2 * (x[rows[r * 2 + a] * 6 + columns[c * 2 + b] * 2 + ch] - 10)
                                   : x[rows[r * 2 + a] * 6 + columns[c * 2 + b] * 2 + ch]);
            if (quantised)
                assert_int_equal(((const int8_t *)y)[i], (int)nearbyintf(want / 4) - 5);
            else
                assert_true(((const float *)y)[i] == want);
        }
    }
    net bad = net_new(state);
    input(&bad, XG_F32, NULL, NULL, DIMS(2, 3));
    constant(&bad, XG_I64, NULL, (const int64_t[]){2}, DIMS(1, 1));
    constant(&bad, XG_F32, NULL, (const float[]){1}, DIMS(1, 1));
    xg_set_ais(bad.g, node(&bad, XG_OP_Resize), XG_ATTR_axes, (const int64_t[]){0}, 1);
    refuse_shape(&bad, XG_INPUT, "index 2 is outside");
}

#define MORE_TESTS                                                                                 \
    TEST(more_unary), TEST(more_binary), TEST(compare_and_choose), TEST(more_refusals),            \
        TEST(arg_and_hardmax), TEST(running_sums), TEST(least_and_product), TEST(normalisation),   \
        TEST(resize_by_taps)

#endif
