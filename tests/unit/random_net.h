/* Random quantised networks from a seed: every operator that the tile machines run, odd shapes,
 * residuals, branches, concats; scales that the given record can express. The same seed gives the
 * same network on every host. */
#ifndef RANDOM_NET_H
#define RANDOM_NET_H

#include "base/fixed.h"
#include "xgraph/xgraph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct net {
    xg_arena *a;
    xg_graph *g;
    const xg_rqrec *r;
    uint64_t seed;
    uint32_t made[64];
    uint32_t n;
    uint32_t count;
    bool host; /* some nodes that no machine runs */
} net;

static uint32_t pick(net *t, uint32_t lo, uint32_t hi) { /* inclusive */
    return lo + (uint32_t)(xg_random(&t->seed) % (hi - lo + 1));
}

static bool chance(net *t, uint32_t percent) {
    return xg_random(&t->seed) % 100 < percent;
}

static float random_scale(net *t, float near_value) {
    if (t->r->pow2_scales)
        return exp2f((float)((int)lrintf(log2f(near_value)) + (int)pick(t, 0, 2) - 1));
    return near_value * (0.5f + (float)(xg_random(&t->seed) % 100000) / 66000.0f);
}

static const xg_quant *random_quant(net *t, float near_value) {
    int32_t zp = t->r->act_zero_point && chance(t, 80) ? (int32_t)pick(t, 0, 255) - 128 : 0;
    return xg_quant_scalar(t->a, random_scale(t, near_value), zp);
}

static const char *fresh(net *t, const char *stem) {
    return xg_strf(t->a, "%s%u", stem, t->count++);
}

static uint32_t out_of(net *t, uint32_t node, const xg_quant *q) {
    uint32_t o = xg_nodep(t->g, node)->out[0];
    xg_tensor *y = xg_tensorp(t->g, o);
    y->dtype = XG_I8;
    y->quant = q;
    return o;
}

/* Infers the new node; a shape that came out empty or too large makes the caller drop it. */
static bool keep(net *t, uint32_t node, uint32_t tensor) {
    xg_ctx *c = xg_arena_ctx(t->a);
    size_t diags = xg_diag_count(c);
    xg_status st = xg_node_infer(c, t->g, node);
    const xg_tensor *y = xg_tensorp(t->g, tensor);
    bool ok = st == XG_OK && xg_tensor_elems(y) > 0 && xg_tensor_elems(y) < 60000;
    for (uint32_t i = 0; i < y->rank; i++) ok = ok && y->dim[i] > 0;
    xg_diag_truncate(c, diags);
    if (!ok) {
        t->g->node.n--;
        t->g->tensor.n = tensor;
        return false;
    }
    if (t->n < XG_COUNT(t->made)) t->made[t->n++] = tensor;
    return true;
}

static void random_clamp(net *t, uint32_t node) {
    if (!chance(t, 40)) return;
    int64_t a = (int64_t)pick(t, 0, 255) - 128, b = (int64_t)pick(t, 0, 255) - 128;
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_lo, a < b ? a : b);
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_hi, a < b ? b : a);
}

static xg_window random_window(net *t, uint32_t kmax, bool dilate) {
    xg_window w = {.kh = (int)pick(t, 1, kmax),
                   .kw = (int)pick(t, 1, kmax),
                   .sh = 1,
                   .sw = 1,
                   .dh = 1,
                   .dw = 1};
    if (chance(t, 60)) w.kw = w.kh;
    if (chance(t, 40)) w.sh = (int)pick(t, 1, 3), w.sw = chance(t, 70) ? w.sh : (int)pick(t, 1, 3);
    if (dilate && chance(t, 15)) w.dh = (int)pick(t, 1, 3), w.dw = (int)pick(t, 1, 2);
    if (chance(t, 70)) {
        w.pt = (int)pick(t, 0, (uint32_t)(w.kh - 1)), w.pb = (int)pick(t, 0, (uint32_t)(w.kh - 1));
        w.pl = (int)pick(t, 0, (uint32_t)(w.kw - 1)), w.pr = (int)pick(t, 0, (uint32_t)(w.kw - 1));
    }
    return w;
}

static uint32_t random_weights(net *t, uint32_t o, const xg_window *w, uint32_t i, bool *zp_used) {
    int64_t dim[4] = {o, w->kh, w->kw, i};
    size_t n = (size_t)o * (size_t)(w->kh * w->kw) * i;
    int8_t *d = xg_newn(t->a, int8_t, n);
    for (size_t k = 0; k < n; k++)
        d[k] = (int8_t)(chance(t, 3) ? (chance(t, 50) ? -128 : 127)
                                     : (int32_t)(xg_random(&t->seed) % 61) - 30);
    uint32_t ns = t->r->per_channel && chance(t, 60) ? o : 1;
    float *s = xg_newn(t->a, float, ns);
    int32_t *z = xg_newn(t->a, int32_t, ns);
    int32_t zp = t->r->weight_zero_point && chance(t, 30) ? (int32_t)pick(t, 0, 40) - 20 : 0;
    for (uint32_t k = 0; k < ns; k++) s[k] = random_scale(t, 0.02f), z[k] = zp;
    *zp_used = zp != 0;
    return xg_graph_add_const(t->g, fresh(t, "w"), XG_I8, 4, dim, d,
                              xg_quant_new(t->a, ns > 1 ? 0 : -1, ns, s, z));
}

static uint32_t random_bias(net *t, uint32_t o, uint32_t x, uint32_t w) {
    int64_t dim[1] = {o};
    int32_t *d = xg_newn(t->a, int32_t, o), *z = xg_newn(t->a, int32_t, o);
    float *s = xg_newn(t->a, float, o);
    const xg_quant *qw = xg_tensorp(t->g, w)->quant;
    for (uint32_t k = 0; k < o; k++) {
        d[k] = (int32_t)(xg_random(&t->seed) % 8001) - 4000;
        s[k] = xg_tensorp(t->g, x)->quant->scale[0] * qw->scale[qw->n > 1 ? k : 0];
    }
    return xg_graph_add_const(t->g, fresh(t, "b"), XG_I32, 1, dim, d,
                              qw->n > 1 ? xg_quant_new(t->a, 0, o, s, z)
                                        : xg_quant_scalar(t->a, s[0], 0));
}

static bool add_conv(net *t, uint32_t x,
                     int kind) { /* 0 dense, 1 depthwise, 2 grouped, 3 whole map */
    const xg_tensor *xt = xg_tensorp(t->g, x);
    uint32_t h = (uint32_t)xt->dim[1], wd = (uint32_t)xt->dim[2], c = (uint32_t)xt->dim[3],
             group = 1, o = pick(t, 1, 70);
    float sx = xt->quant->scale[0];
    xg_window w = random_window(t, 5, true);
    bool zp;
    if (kind == 1) group = o = c;
    if (kind == 2) {
        group = c % 3 == 0 ? 3 : c % 2 == 0 ? 2 : 1;
        o = group * pick(t, 1, 20);
    }
    if (kind == 3) {
        if (h > 8 || wd > 8) return false;
        w = (xg_window){.kh = (int)h, .kw = (int)wd, .sh = 1, .sw = 1, .dh = 1, .dw = 1};
    }
    uint32_t nodes = t->g->node.n, tensors = t->g->tensor.n;
    uint32_t in[3] = {x, random_weights(t, o, &w, c / group, &zp), XG_NONE};
    if (chance(t, 80)) in[2] = random_bias(t, o, x, in[1]);
    float spread = 16.0f * sqrtf((float)(w.kh * w.kw) * (float)(c / group));
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Conv, fresh(t, "conv"), in, 3, 1);
    uint32_t y = out_of(t, node, random_quant(t, sx * 0.02f * spread));
    xg_set_window(xg_nodep(t->g, node), &w);
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_group, group);
    random_clamp(t, node);
    if (keep(t, node, y)) return true;
    t->g->node.n = nodes;
    t->g->tensor.n = tensors;
    return false;
}

static bool add_pool(net *t, uint32_t x, bool average, bool global) {
    const xg_tensor *xt = xg_tensorp(t->g, x);
    xg_window w = random_window(t, 4, false);
    if (global)
        w = (xg_window){
            .kh = (int)xt->dim[1], .kw = (int)xt->dim[2], .sh = 1, .sw = 1, .dh = 1, .dw = 1};
    uint32_t node = xg_graph_add_node(t->g, average ? XG_OP_AvgPool : XG_OP_MaxPool,
                                      fresh(t, "pool"), &x, 1, 1);
    const xg_quant *q = xt->quant;
    bool same = !average || t->r->pool == XG_POOL_EXACT || chance(t, 30);
    float grow = t->r->pow2_scales ? 4.0f : 1.0f; /* shifters of averages go right only */
    uint32_t y = out_of(t, node, same ? q : random_quant(t, q->scale[0] * grow));
    xg_set_window(xg_nodep(t->g, node), &w);
    if (average && !global) xg_set_ai(xg_nodep(t->g, node), XG_ATTR_count_pad, chance(t, 40));
    if (!global && chance(t, 20)) xg_set_ai(xg_nodep(t->g, node), XG_ATTR_ceil_mode, 1);
    random_clamp(t, node);
    return keep(t, node, y);
}

static bool same_shape(const xg_tensor *a, const xg_tensor *b) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, sizeof(int64_t) * a->rank);
}

static bool add_binary(net *t, uint32_t x, bool mul, bool repeat) {
    uint32_t other = XG_NONE;
    for (uint32_t tries = 0; tries < 12 && other == XG_NONE; tries++) {
        uint32_t c = t->made[pick(t, 0, t->n - 1)];
        const xg_tensor *a = xg_tensorp(t->g, x), *b = xg_tensorp(t->g, c);
        float ratio =
            a->quant->scale[0] / b->quant->scale[0]; /* adders align operands over few bits */
        if (!mul && (ratio > 4096.0f || ratio < 1 / 4096.0f)) continue;
        if (!repeat && same_shape(a, b)) other = c;
        if (repeat && b->dim[1] == 1 && b->dim[2] == 1 && a->dim[3] == b->dim[3]) other = c;
    }
    if (other == XG_NONE) return false;
    uint32_t in[2] = {x, other};
    if (chance(t, 30)) in[0] = other, in[1] = x;
    uint32_t node = xg_graph_add_node(t->g, mul ? XG_OP_Mul : XG_OP_Add,
                                      fresh(t, mul ? "mul" : "add"), in, 2, 1);
    float sa = xg_tensorp(t->g, in[0])->quant->scale[0],
          sb = xg_tensorp(t->g, in[1])->quant->scale[0];
    uint32_t y = out_of(t, node, random_quant(t, mul ? sa * sb * 60 : sa > sb ? sa : sb));
    random_clamp(t, node);
    return keep(t, node, y);
}

static bool add_constant_operand(net *t, uint32_t x) {
    const xg_tensor *xt = xg_tensorp(t->g, x);
    int64_t dim[4] = {1, 1, 1, xt->dim[3]};
    int8_t *d = xg_newn(t->a, int8_t, (size_t)xt->dim[3]);
    for (int64_t k = 0; k < xt->dim[3]; k++) d[k] = (int8_t)(xg_random(&t->seed) & 255);
    float sx = xt->quant->scale[0];
    uint32_t in[2] = {
        x, xg_graph_add_const(t->g, fresh(t, "k"), XG_I8, 4, dim, d, random_quant(t, sx))};
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Add, fresh(t, "addk"), in, 2, 1);
    return keep(t, node, out_of(t, node, random_quant(t, sx * 2)));
}

static bool add_concat(net *t, uint32_t x) {
    uint32_t in[4] = {x}, n = 1, axis = chance(t, 80) ? 3 : pick(t, 1, 2);
    bool same = chance(t, 60);
    const xg_quant *q = random_quant(t, xg_tensorp(t->g, x)->quant->scale[0]);
    if (same) q = xg_tensorp(t->g, x)->quant;
    for (uint32_t tries = 0; tries < 20 && n < 4; tries++) {
        uint32_t c = t->made[pick(t, 0, t->n - 1)];
        bool ok = true;
        for (uint32_t d = 0; d < 4; d++)
            ok = ok && (d == axis || xg_tensorp(t->g, c)->dim[d] == xg_tensorp(t->g, x)->dim[d]);
        if (ok) in[n++] = c;
    }
    if (n < 2) return false;
    if (same) /* operands get the result's quant where nobody else depends on it: only last-made
                 ones */
        for (uint32_t k = 1; k < n; k++)
            if (chance(t, 50) && t->r->pow2_scales) q = xg_tensorp(t->g, in[k])->quant;
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Concat, fresh(t, "concat"), in, n, 1);
    uint32_t y = out_of(t, node, q);
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_axis, axis);
    return keep(t, node, y);
}

static bool add_table(net *t, uint32_t x) {
    int64_t dim[1] = {256};
    int8_t *d = xg_newn(t->a, int8_t, 256);
    for (int k = 0; k < 256; k++) d[k] = (int8_t)(xg_random(&t->seed) & 255);
    float sx = xg_tensorp(t->g, x)->quant->scale[0];
    uint32_t in[2] = {x, xg_graph_add_const(t->g, fresh(t, "t"), XG_I8, 1, dim, d, NULL)};
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Lut, fresh(t, "lut"), in, 2, 1);
    return keep(t, node, out_of(t, node, random_quant(t, sx)));
}

static bool add_slice(net *t, uint32_t x) {
    const xg_tensor *xt = xg_tensorp(t->g, x);
    int64_t starts[4] = {0}, steps[4] = {1, 1, 1, 1}, shape[4];
    memcpy(shape, xt->dim, sizeof shape);
    uint32_t axis = pick(t, 1, 3);
    if (shape[axis] < 2) return false;
    starts[axis] = pick(t, 0, (uint32_t)shape[axis] - 1);
    if (axis < 3 && chance(t, 30)) steps[axis] = 2;
    shape[axis] = (shape[axis] - starts[axis] + steps[axis] - 1) / steps[axis];
    const xg_quant *q = xt->quant;
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Slice, fresh(t, "slice"), &x, 1, 1);
    uint32_t y = out_of(t, node, q);
    xg_set_ais(t->g, xg_nodep(t->g, node), XG_ATTR_starts, starts, 4);
    xg_set_ais(t->g, xg_nodep(t->g, node), XG_ATTR_steps, steps, 4);
    xg_set_ais(t->g, xg_nodep(t->g, node), XG_ATTR_shape, shape, 4);
    return keep(t, node, y);
}

/* No machine pads maps by itself: this one runs on the host, between two segments. */
static bool add_host_pad(net *t, uint32_t x) {
    int64_t pads[8] = {0};
    for (uint32_t d = 1; d < 3; d++) pads[d] = pick(t, 0, 2), pads[4 + d] = pick(t, 0, 2);
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Pad, fresh(t, "pad"), &x, 1, 1);
    uint32_t y = out_of(t, node, xg_tensorp(t->g, x)->quant);
    xg_set_ais(t->g, xg_nodep(t->g, node), XG_ATTR_pads, pads, 8);
    xg_set_af(xg_nodep(t->g, node), XG_ATTR_value, (float)pick(t, 0, 255) - 128);
    return keep(t, node, y);
}

static void add_layer(net *t) {
    uint32_t x = t->made[chance(t, 70) ? t->n - 1 : pick(t, 0, t->n - 1)];
    if (t->host && chance(t, 15)) {
        (void)add_host_pad(t, x);
        return;
    }
    uint32_t what = pick(t, 0, 99);
    if (what < 38)
        (void)add_conv(t, x, 0);
    else if (what < 50)
        (void)add_conv(t, x, 1);
    else if (what < 55)
        (void)add_conv(t, x, 2);
    else if (what < 58)
        (void)add_conv(t, x, 3);
    else if (what < 64)
        (void)add_pool(t, x, false, false);
    else if (what < 70)
        (void)add_pool(t, x, true, chance(t, 40));
    else if (what < 80)
        (void)add_binary(t, x, false, false);
    else if (what < 85)
        (void)add_binary(t, x, true, chance(t, 60));
    else if (what < 87)
        (void)add_constant_operand(t, x);
    else if (what < 94)
        (void)add_concat(t, x);
    else if (what < 97)
        (void)add_table(t, x);
    else
        (void)add_slice(t, x);
}

static xg_graph *random_net(xg_arena *a, const xg_rqrec *r, uint64_t seed, uint32_t layers) {
    net t = {.a = a, .g = xg_graph_new(a, "random"), .r = r, .seed = seed * 2654435761u + 12345};
    t.host = seed % 7 == 3;
    xg_tensor x = {.name = "x",
                   .dtype = XG_I8,
                   .rank = 4,
                   .is_input = true,
                   .producer = XG_NONE,
                   .quant = random_quant(&t, 0.05f)};
    x.dim[0] = chance(&t, 80) ? 1 : pick(&t, 2, 7);
    x.dim[1] = pick(&t, 1, 33), x.dim[2] = pick(&t, 1, 33), x.dim[3] = pick(&t, 1, 40);
    t.made[t.n++] = xg_graph_add_tensor(t.g, &x);
    xg_push(a, &t.g->input, t.made[0]);
    for (uint32_t k = 0; k < 3 * layers && t.g->node.n < layers; k++) add_layer(&t);
    xg_uses uses = xg_graph_uses(t.g, a);
    for (uint32_t k = 1; k < t.n; k++) {
        uint32_t y = t.made[k];
        if (uses.first[y + 1] != uses.first[y] && !chance(&t, 3)) continue;
        xg_tensorp(t.g, y)->is_output = true;
        xg_push(a, &t.g->output, y);
    }
    return t.g->output.n ? t.g : NULL;
}

#endif
