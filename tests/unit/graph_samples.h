/* Random, valid graphs for the law tests of graphs and their forms: structure, types, quants and
 * constants of every kind that the forms must carry. */
#ifndef GRAPH_SAMPLES_H
#define GRAPH_SAMPLES_H

#include "xgraph/xgraph.h"

#include <string.h>

static inline uint32_t below(uint64_t *seed, uint32_t n) {
    return (uint32_t)(xg_random(seed) % n);
}

static inline float some_scale(uint64_t *seed) {
    return (float)(1 + below(seed, 1u << 20)) / (float)(1u << 24);
}

static inline const xg_quant *some_quant(xg_arena *a, uint64_t *seed, bool is_signed) {
    return xg_quant_scalar(a, some_scale(seed), (int32_t)below(seed, 256) - (is_signed ? 128 : 0));
}

static inline void *some_bytes(xg_arena *a, uint64_t *seed, size_t n) {
    uint8_t *p = xg_alloc(a, n);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)xg_random(seed);
    return p;
}

/* Everything that grows a graph by one node keeps the current tensor in *t. */
typedef struct grower {
    xg_graph *g;
    uint64_t *seed;
    uint32_t t; /* i8, rank 4 */
} grower;

static inline void finish_int_node(grower *w, uint32_t node) {
    xg_tensor *y = &w->g->tensor.v[w->g->node.v[node].out[0]];
    y->dtype = XG_I8;
    y->quant = some_quant(w->g->arena, w->seed, true);
    w->t = w->g->node.v[node].out[0];
}

static inline void grow_conv(grower *w) {
    xg_graph *g = w->g;
    const xg_tensor *x = xg_tensorp(g, w->t);
    uint32_t oc = 1 + below(w->seed, 6);
    int64_t dim[4] = {oc, 1 + below(w->seed, 3), 1 + below(w->seed, 3), x->dim[3]},
            n = dim[0] * dim[1] * dim[2] * dim[3];
    float *scale = xg_newn(g->arena, float, oc);
    for (uint32_t i = 0; i < oc; i++) scale[i] = some_scale(w->seed);
    bool per_channel = below(w->seed, 2);
    const xg_quant *q =
        xg_quant_new(g->arena, per_channel ? 0 : -1, per_channel ? oc : 1, scale, NULL);
    uint32_t weights =
        xg_graph_add_const(g, "w", XG_I8, 4, dim, some_bytes(g->arena, w->seed, (size_t)n), q);
    uint32_t bias =
        xg_graph_add_const(g, NULL, XG_I32, 1, dim, some_bytes(g->arena, w->seed, 4u * oc), NULL);
    uint32_t in[3] = {w->t, weights, below(w->seed, 3) ? bias : XG_NONE};
    uint32_t node = xg_graph_add_node(g, XG_OP_Conv, "conv", in, 3, 1);
    xg_window k = {(int)dim[1], (int)dim[2], 1 + (int)below(w->seed, 2), 1, 1, 1, 1, 1, 1, 1};
    xg_set_window(&g->node.v[node], &k);
    xg_set_ai(&g->node.v[node], XG_ATTR_lo, -(int64_t)below(w->seed, 128));
    g->node.v[node].onnx = xg_strf(g->arena, "/layer/%u+\"relu\"", node);
    finish_int_node(w, node);
}

static inline void grow_other(grower *w) {
    xg_graph *g = w->g;
    uint32_t pair[2] = {w->t, w->t};
    uint32_t node = 0;
    xg_window k = {2, 2, 1, 1, 1, 1, 1, 1, 0, 0};
    switch (below(w->seed, 5)) {
    case 0:
        node = xg_graph_add_node(g, XG_OP_Add, NULL, pair, 2, 1);
        finish_int_node(w, node);
        return;
    case 1:
        node = xg_graph_add_node(g, XG_OP_Concat, "cat", pair, 2, 1);
        xg_set_ai(&g->node.v[node], XG_ATTR_axis, 3);
        finish_int_node(w, node);
        return;
    case 2:
        node = xg_graph_add_node(g, XG_OP_MaxPool, "pool\twith tab", pair, 1, 1);
        xg_set_window(&g->node.v[node], &k);
        break;
    case 3:
        node = xg_graph_add_node(g, XG_OP_Transpose, "turn", pair, 1, 1);
        xg_set_ais(g, &g->node.v[node], XG_ATTR_perm, (int64_t[]){0, 2, 1, 3}, 4);
        break;
    default:
        node = xg_graph_add_node(g, XG_OP_LeakyRelu, "leaky", pair, 1, 1);
        xg_set_af(&g->node.v[node], XG_ATTR_alpha, -0.0f);
        finish_int_node(w, node);
        return;
    }
    w->t = g->node.v[node].out[0];
    g->tensor.v[w->t].dtype = XG_I8;
}

/* x (f32) -> Quantize -> nodes -> Dequantize -> y, and a second output in between. Inferred. */
static inline xg_status random_graph(xg_ctx *c, xg_arena *a, uint64_t seed_value, uint32_t nodes,
                                     xg_graph **out) {
    uint64_t seed = seed_value;
    xg_graph *g = xg_graph_new(a, "random \"graph\" \\");
    xg_tensor x = {.name = "x:0",
                   .onnx = "x",
                   .rank = 4,
                   .dim = {1, 3 + below(&seed, 4), 3 + below(&seed, 4), 2}};
    x.producer = XG_NONE;
    grower w = {.g = g, .seed = &seed, .t = xg_graph_add_tensor(g, &x)};
    xg_graph_add_input(g, w.t);
    finish_int_node(&w, xg_graph_add_node(g, XG_OP_Quantize, "q", &w.t, 1, 1));
    xg_status first = xg_node_infer(c, g, 0);
    if (first != XG_OK) return first;
    uint32_t early = w.t;
    for (uint32_t i = 0; i < nodes; i++) {
        if (below(&seed, 2))
            grow_conv(&w);
        else
            grow_other(&w);
        xg_status st = xg_node_infer(c, g, g->node.n - 1); /* the next node looks at the shape */
        if (st != XG_OK) return st;
    }
    uint32_t last = xg_graph_add_node(g, XG_OP_Dequantize, "dq", &w.t, 1, 1);
    xg_graph_add_output(g, g->node.v[last].out[0]);
    xg_graph_add_output(g, early);
    xg_push(a, &g->log, "made at random");
    *out = g;
    return xg_graph_infer(c, g);
}

#endif
