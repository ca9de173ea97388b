/* Float networks to quantise, built by hand: random weights, a few nodes. Include after xg_test.h.
 */
#ifndef FLOAT_NET_H
#define FLOAT_NET_H

#include "xgraph/xgraph.h"

#include "xg_test.h"

#include <math.h>

typedef struct maker {
    xg_arena *a;
    xg_graph *g;
    uint64_t seed;
} maker;

static inline const float *floats(maker *m, int64_t n, float bound) {
    float *v = xg_newn(m->a, float, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        v[i] = ((float)(xg_random(&m->seed) >> 40) * 0x1p-23f - 1.0f) * bound;
    return v;
}

static inline uint32_t float_input(maker *m, const char *name, int64_t h, int64_t w, int64_t c) {
    xg_tensor x = {
        .name = name, .dtype = XG_F32, .rank = 4, .dim = {1, h, w, c}, .producer = XG_NONE};
    uint32_t t = xg_graph_add_tensor(m->g, &x);
    xg_graph_add_input(m->g, t);
    return t;
}

static inline uint32_t add(maker *m, xg_op op, const char *name, uint32_t a, uint32_t b) {
    uint32_t in[2] = {a, b}, n = xg_graph_add_node(m->g, op, name, in, b == XG_NONE ? 1 : 2, 1);
    return xg_nodep(m->g, n)->out[0];
}

static inline const xg_node *node_of(const maker *m, uint32_t tensor) {
    return xg_nodep(m->g, xg_tensorp(m->g, tensor)->producer);
}

static inline uint32_t conv(maker *m, const char *name, uint32_t x, int64_t i, int64_t o, int32_t k,
                            float bound) {
    int64_t wdim[4] = {o, k, k, i}, bdim = o;
    uint32_t in[3] = {x};
    in[1] = xg_graph_add_const(m->g, xg_strf(m->a, "%s.w", name), XG_F32, 4, wdim,
                               floats(m, o * k * k * i, bound), NULL);
    in[2] = xg_graph_add_const(m->g, xg_strf(m->a, "%s.b", name), XG_F32, 1, &bdim,
                               floats(m, o, 0.25f), NULL);
    uint32_t n = xg_graph_add_node(m->g, XG_OP_Conv, name, in, 3, 1);
    xg_window w = {.kh = k,
                   .kw = k,
                   .sh = 1,
                   .sw = 1,
                   .dh = 1,
                   .dw = 1,
                   .pt = k / 2,
                   .pl = k / 2,
                   .pb = k / 2,
                   .pr = k / 2};
    xg_set_window(xg_nodep(m->g, n), &w);
    return xg_nodep(m->g, n)->out[0];
}

static inline uint32_t clip(maker *m, const char *name, uint32_t x, float lo, float hi) {
    uint32_t y = add(m, XG_OP_Clip, name, x, XG_NONE);
    xg_set_af(node_of(m, y), XG_ATTR_min, lo);
    xg_set_af(node_of(m, y), XG_ATTR_max, hi);
    return y;
}

static inline uint32_t pool(maker *m, xg_op op, const char *name, uint32_t x, int32_t k) {
    uint32_t y = add(m, op, name, x, XG_NONE);
    xg_window w = {.kh = k, .kw = k, .sh = k, .sw = k, .dh = 1, .dw = 1};
    xg_set_window(node_of(m, y), &w);
    return y;
}

/* Every operator that has an integer form, branches, a residual, a concat, a float end. */
static inline xg_graph *mixed_net(xg_test *t) {
    maker m = {t->a, xg_graph_new(t->a, "mixed"), 7};
    uint32_t x = float_input(&m, "x", 8, 8, 3);
    uint32_t c1 = clip(&m, "relu1", conv(&m, "c1", x, 3, 8, 3, 0.3f), 0, INFINITY);
    uint32_t c2 = clip(&m, "relu6", conv(&m, "c2", c1, 8, 8, 3, 0.2f), 0, 0.75f);
    uint32_t sum = clip(&m, "relu3", add(&m, XG_OP_Add, "sum", c1, c2), 0, INFINITY);
    uint32_t p = pool(&m, XG_OP_MaxPool, "pool", sum, 2);
    uint32_t left = conv(&m, "left", p, 8, 4, 1, 0.5f), right = conv(&m, "right", p, 8, 6, 3, 0.1f);
    uint32_t both[2] = {left, right};
    uint32_t cat = xg_graph_add_node(m.g, XG_OP_Concat, "cat", both, 2, 1);
    xg_set_ai(xg_nodep(m.g, cat), XG_ATTR_axis, 3);
    uint32_t y = xg_nodep(m.g, cat)->out[0];
    uint32_t gate = add(&m, XG_OP_Sigmoid, "gate", y, XG_NONE);
    uint32_t product = add(&m, XG_OP_Mul, "silu", y, gate);
    uint32_t mean = pool(&m, XG_OP_AvgPool, "mean", product, 4);
    uint32_t dense = conv(&m, "dense", mean, 10, 5, 1, 0.6f);
    uint32_t flat = add(&m, XG_OP_Reshape, "flat", dense, XG_NONE);
    static const int64_t shape[2] = {1, 5};
    xg_set_ais(m.g, node_of(&m, flat), XG_ATTR_shape, shape, 2);
    uint32_t soft = add(&m, XG_OP_Softmax, "soft", flat, XG_NONE);
    xg_set_ai(node_of(&m, soft), XG_ATTR_axis, 1);
    xg_tensor_rename(m.g, soft, "probabilities");
    xg_graph_add_output(m.g, soft);
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    assert_ok(t->c, xg_graph_verify(t->c, m.g));
    return m.g;
}

#endif
