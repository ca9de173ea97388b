/* u8 -> i8: the same integers minus 128, zero points too. Exact; graph inputs and outputs and what
 * Cast reads or makes stay u8, with a Requantize that subtracts (or adds) 128 between. */
#include "xgraph/pass.h"

#include <string.h>

static bool is_u8(const xg_tensor *t) {
    return t->dtype == XG_U8 && t->quant;
}

/* Tensors that must stay u8. */
static bool *find_pinned(const xg_graph *g, xg_arena *tmp) {
    bool *pinned = xg_newn(tmp, bool, g->tensor.n);
    for (uint32_t i = 0; i < g->tensor.n; i++)
        pinned[i] = g->tensor.v[i].is_input || g->tensor.v[i].is_output;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (n->op != XG_OP_Cast) continue;
        pinned[n->in[0]] = pinned[n->out[0]] = true;
    }
    return pinned;
}

static const xg_quant *shifted(xg_graph *g, const xg_quant *q) {
    int32_t *zp = xg_newn(g->arena, int32_t, q->n);
    for (uint32_t i = 0; i < q->n; i++) zp[i] = q->zp[i] - 128;
    return xg_quant_new(g->arena, q->axis, q->n, q->scale, zp);
}

static const void *flipped(xg_graph *g, const xg_tensor *t) {
    int64_t n = xg_tensor_elems(t);
    uint8_t *data = xg_memdup(g->arena, t->data, (size_t)n);
    for (int64_t i = 0; i < n; i++) data[i] ^= 0x80;
    return data;
}

static void make_signed(xg_graph *g, uint32_t tensor) {
    xg_tensor *t = xg_tensorp(g, tensor);
    t->dtype = XG_I8;
    if (t->quant) t->quant = shifted(g, t->quant);
    if (t->data) t->data = flipped(g, t);
}

/* An i8 stand-in for a pinned u8 tensor. */
static uint32_t stand_in(xg_graph *g, uint32_t tensor) {
    const xg_tensor *t = xg_tensorp(g, tensor);
    xg_tensor s = *t;
    s.name = xg_strf(g->arena, "%s.i8", t->name);
    s.is_input = s.is_output = false;
    s.producer = XG_NONE;
    s.dtype = XG_I8;
    s.quant = shifted(g, t->quant);
    return xg_graph_add_tensor(g, &s);
}

/* Bounds and fill value of a node whose result was u8. */
static void shift_bounds(const xg_node *n) {
    if (n->op == XG_OP_Pad) xg_set_af(n, XG_ATTR_value, xg_af(n, XG_ATTR_value) - 128);
    if (!xg_has_attr(n, XG_ATTR_lo)) return;
    int64_t lo = xg_ai(n, XG_ATTR_lo), hi = xg_ai(n, XG_ATTR_hi);
    if (lo > INT32_MIN) xg_set_ai(n, XG_ATTR_lo, lo - 128);
    if (hi < INT32_MAX) xg_set_ai(n, XG_ATTR_hi, hi - 128);
}

static void requantised(xg_graph *g, uint32_t in, uint32_t out) {
    xg_graph_add_node_to(g, XG_OP_Requantize,
                         xg_strf(g->arena, "%s.requantize", xg_tensorp(g, out)->name), &in, 1, &out,
                         1);
}

/* Nodes that read or make a pinned u8 tensor work on its stand-in. */
static void redirect(xg_graph *g, const bool *pinned, uint32_t *proxy, uint32_t nodes,
                     uint32_t tensors) {
    for (uint32_t i = 0; i < nodes; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (n->op == XG_OP_Cast) continue;
        for (uint32_t k = 0; k < n->nin; k++) {
            uint32_t t = n->in[k];
            if (t == XG_NONE || t >= tensors || !pinned[t] || !is_u8(xg_tensorp(g, t))) continue;
            if (proxy[t] == XG_NONE) {
                proxy[t] = stand_in(g, t);
                requantised(g, t, proxy[t]);
            }
            xg_nodep(g, i)->in[k] = proxy[t];
        }
    }
    for (uint32_t i = 0; i < nodes; i++) {
        const xg_node *n = xg_nodep(g, i);
        uint32_t t = n->out[0];
        if (n->op == XG_OP_Cast || !pinned[t] || !is_u8(xg_tensorp(g, t))) continue;
        uint32_t s = stand_in(g, t);
        xg_nodep(g, i)->out[0] = s;
        xg_tensorp(g, s)->producer = i;
        shift_bounds(xg_nodep(g, i));
        requantised(g, s, t);
        if (proxy[t] != XG_NONE) xg_graph_replace(g, proxy[t], s);
    }
}

/* Tables of u8 values follow their node's result. */
static void sign_tables(xg_graph *g) {
    for (uint32_t i = 0, n = g->node.n; i < n; i++) {
        const xg_node *m = xg_nodep(g, i);
        const xg_tensor *table = m->op == XG_OP_Lut ? xg_in(g, m, 1) : NULL;
        if (!table || table->dtype == xg_out(g, m, 0)->dtype) continue;
        int64_t dim[1] = {256};
        xg_nodep(g, i)->in[1] =
            xg_graph_add_const(g, table->name, XG_I8, 1, dim, flipped(g, table), NULL);
    }
}

xg_status xg_pass_signed8(xg_ctx *c, xg_graph **gp, const xg_pass_args *p) {
    xg_graph *g = *gp;
    xg_arena *tmp = xg_arena_new(c);
    uint32_t nodes = g->node.n, tensors = g->tensor.n;
    bool *pinned = find_pinned(g, tmp);
    uint32_t *proxy = xg_newn(tmp, uint32_t, tensors);
    for (uint32_t i = 0; i < tensors; i++) proxy[i] = XG_NONE;
    redirect(g, pinned, proxy, nodes, tensors);
    for (uint32_t i = 0; i < nodes; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (n->out[0] < tensors && !pinned[n->out[0]] && is_u8(xg_out(g, n, 0))) shift_bounds(n);
    }
    for (uint32_t t = 0; t < tensors; t++)
        if (!pinned[t] && is_u8(xg_tensorp(g, t))) make_signed(g, t);
    sign_tables(g);
    xg_arena_free(tmp);
    return xg_graph_compact(c, g, p->arena, gp);
}
