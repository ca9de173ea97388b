/* A small quantised network with a residual, a concat, pools and a softmax that stays on the host.
 * All scales are powers of two, without zero points: every shipped machine can express it. */
#ifndef SMALL_NET_H
#define SMALL_NET_H

#include "xgraph/xgraph.h"

static inline uint32_t small_map(xg_graph *g, uint32_t node, const char *name, float scale) {
    xg_tensor *t = xg_out(g, xg_nodep(g, node), 0);
    t->name = xg_strdup(g->arena, name);
    t->dtype = XG_I8;
    t->quant = xg_quant_scalar(g->arena, scale, 0);
    return xg_nodep(g, node)->out[0];
}

static inline uint32_t small_conv(xg_graph *g, const char *name, uint32_t x, int64_t ic, int64_t oc,
                                  int k, bool relu, uint64_t *seed) {
    int8_t *w = xg_alloc(g->arena, (size_t)(oc * ic * k * k));
    int32_t *b = xg_alloc(g->arena, (size_t)oc * 4);
    for (int64_t i = 0; i < oc * ic * k * k; i++) w[i] = (int8_t)(xg_random(seed) % 65) - 32;
    for (int64_t i = 0; i < oc; i++) b[i] = (int32_t)(xg_random(seed) % 2001) - 1000;
    float sw = 0x1p-7f, sx = xg_tensorp(g, x)->quant->scale[0];
    uint32_t in[3] = {x, 0, 0};
    in[1] = xg_graph_add_const(g, xg_strf(g->arena, "%s_w", name), XG_I8, 4,
                               (int64_t[]){oc, k, k, ic}, w, xg_quant_scalar(g->arena, sw, 0));
    in[2] = xg_graph_add_const(g, xg_strf(g->arena, "%s_b", name), XG_I32, 1, (int64_t[]){oc}, b,
                               xg_quant_scalar(g->arena, sx * sw, 0));
    uint32_t n = xg_graph_add_node(g, XG_OP_Conv, name, in, 3, 1);
    xg_window win = {k, k, 1, 1, 1, 1, k / 2, k / 2, k / 2, k / 2};
    xg_set_window(xg_nodep(g, n), &win);
    xg_set_ai(xg_nodep(g, n), XG_ATTR_lo, relu ? 0 : -128);
    xg_set_ai(xg_nodep(g, n), XG_ATTR_hi, 127);
    xg_nodep(g, n)->onnx = xg_strf(g->arena, "onnx_%s", name);
    return small_map(g, n, xg_strf(g->arena, "%s_out", name), 0x1p-4f);
}

static inline uint32_t small_pool(xg_graph *g, xg_op op, const char *name, uint32_t x, int k) {
    uint32_t n = xg_graph_add_node(g, op, name, &x, 1, 1);
    xg_window w = {k, k, k, k, 1, 1, 0, 0, 0, 0};
    xg_set_window(xg_nodep(g, n), &w);
    return small_map(g, n, xg_strf(g->arena, "%s_out", name), xg_tensorp(g, x)->quant->scale[0]);
}

static inline uint32_t small_join(xg_graph *g, xg_op op, const char *name, uint32_t a, uint32_t b) {
    uint32_t in[2] = {a, b};
    uint32_t n = xg_graph_add_node(g, op, name, in, 2, 1);
    if (op == XG_OP_Concat) xg_set_ai(xg_nodep(g, n), XG_ATTR_axis, 3);
    return small_map(g, n, xg_strf(g->arena, "%s_out", name), 0x1p-4f);
}

/* Input "image" f32 [batch,8,8,3], output "scores" f32 [batch,1,1,10]. */
static inline xg_graph *small_net(xg_arena *a, int64_t batch) {
    xg_graph *g = xg_graph_new(a, "small");
    uint64_t seed = 7;
    xg_tensor image = {
        .name = "image", .dtype = XG_F32, .rank = 4, .dim = {batch, 8, 8, 3}, .is_input = true};
    image.producer = XG_NONE;
    uint32_t x = xg_graph_add_tensor(g, &image);
    xg_push(a, &g->input, x);
    uint32_t n = xg_graph_add_node(g, XG_OP_Quantize, "quantize", &x, 1, 1);
    x = small_map(g, n, "image_q", 0x1p-6f);
    x = small_conv(g, "stem", x, 3, 8, 3, true, &seed);
    x = small_pool(g, XG_OP_MaxPool, "pool", x, 2);
    uint32_t y = small_conv(g, "body", x, 8, 8, 1, false, &seed);
    x = small_join(g, XG_OP_Add, "residual", x, y);
    uint32_t left = small_conv(g, "left", x, 8, 4, 3, true, &seed);
    uint32_t right = small_conv(g, "right", x, 8, 4, 1, true, &seed);
    x = small_join(g, XG_OP_Concat, "concat", left, right);
    x = small_pool(g, XG_OP_AvgPool, "mean", x, 4);
    x = small_conv(g, "dense", x, 8, 10, 1, false, &seed);
    n = xg_graph_add_node(g, XG_OP_Dequantize, "dequantize", &x, 1, 1);
    xg_out(g, xg_nodep(g, n), 0)->dtype = XG_F32;
    x = xg_nodep(g, n)->out[0];
    n = xg_graph_add_node(g, XG_OP_Softmax, "softmax", &x, 1, 1);
    xg_set_ai(xg_nodep(g, n), XG_ATTR_axis, 3);
    xg_tensor *out = xg_out(g, xg_nodep(g, n), 0);
    out->name = "scores";
    out->dtype = XG_F32;
    out->is_output = true;
    xg_push(a, &g->output, xg_nodep(g, n)->out[0]);
    return g;
}

#endif
