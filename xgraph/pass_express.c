/* Operators that machines lack, by those that they have:
 *
 *   a - b            a + (-b); integers: -b is 1 less than the bits of b turned round, so the table
 *                    q -> -1 - q with zero point -1 - z never saturates
 *   prelu(x)         max(x, 0) + slope * min(x, 0), the product a depthwise 1x1 Conv (f32)
 *   mean over C      1x1 Conv to one channel with weights 1 / C
 *   max(a, b)        integers: MaxPool over the two in the result's scale, one above the other;
 *                    min(a, b) the same between two tables q -> -1 - q
 *
 * f32 behind Dequantize waits: absorb_qdq makes the integer operator first. */
#include "xgraph/pass_parts.h"

#include <math.h>
#include <string.h>

/* A value that networks compute in f32: not constant, not the image of integers. */
static bool is_real(const xg_rw *r, uint32_t tensor) {
    const xg_tensor *t = &r->g->tensor.v[tensor];
    return t->dtype == XG_F32 && !t->data && !xg_rw_made_by(r, tensor, XG_OP_Dequantize);
}

static bool is_int8(const xg_tensor *t) {
    return t->dtype == XG_I8 && t->quant && t->quant->axis < 0 && !t->data;
}

/* -b, in f32 or in integers. */
static uint32_t negated(xg_rw *r, uint32_t node, uint32_t b) {
    xg_tensor t = r->g->tensor.v[b];
    if (t.dtype == XG_F32) {
        uint32_t neg = xg_rw_add(r, XG_OP_Neg, node, &b, 1);
        return xg_rw_infer(r, neg) ? xg_rw_out(r, neg) : XG_NONE;
    }
    int8_t *table = xg_newn(r->a, int8_t, 256);
    for (int q = -128; q < 128; q++) table[q + 128] = (int8_t)(-1 - q);
    int64_t dim = 256;
    uint32_t in[2] = {
        b, xg_rw_const(r, xg_strf(r->tmp, "%s.negated", t.name), XG_I8, 1, &dim, table, NULL)};
    return xg_rw_finish(r, xg_rw_add(r, XG_OP_Lut, node, in, 2), XG_I8,
                        xg_quant_scalar(r->a, t.quant->scale[0], -1 - t.quant->zp[0]));
}

static bool subtract(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Sub) return false;
    uint32_t a = n->in[0], b = n->in[1], out = n->out[0];
    bool real = is_real(r, a) && is_real(r, b);
    if (!real && !(is_int8(xg_in(r->g, n, 0)) && is_int8(xg_in(r->g, n, 1)))) return false;
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t in[2] = {a, negated(r, node, b)};
    if (in[1] == XG_NONE) return false;
    uint32_t add = xg_rw_add(r, XG_OP_Add, node, in, 2);
    xg_rw_copy_attrs(r, node, add);
    uint32_t t = xg_rw_finish(r, add, y.dtype, y.quant);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

static uint32_t clipped(xg_rw *r, uint32_t node, uint32_t x, float lo, float hi) {
    uint32_t n = xg_rw_add(r, XG_OP_Clip, node, &x, 1);
    xg_set_af(xg_nodep(r->g, n), XG_ATTR_min, lo);
    xg_set_af(xg_nodep(r->g, n), XG_ATTR_max, hi);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

static uint32_t real_conv(xg_rw *r, uint32_t node, uint32_t x, uint32_t weights, int64_t group) {
    uint32_t in[2] = {x, weights}, n = xg_rw_add(r, XG_OP_Conv, node, in, 2);
    xg_set_ai(xg_nodep(r->g, n), XG_ATTR_group, group);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

static bool slopes(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_PRelu || !is_real(r, n->in[0])) return false;
    const xg_tensor *x = xg_in(r->g, n, 0), *s = xg_in(r->g, n, 1);
    if (x->rank != 4 || !s->data || s->dtype != XG_F32 || !s->rank) return false;
    int64_t c = x->dim[3], dim[4] = {c, 1, 1, 1};
    if (xg_tensor_elems(s) != c || s->dim[s->rank - 1] != c)
        return false; /* one for each channel */
    uint32_t out = n->out[0], in = n->in[0];
    uint32_t weights = xg_rw_const(r, s->name, XG_F32, 4, dim, s->data, NULL);
    uint32_t up = clipped(r, node, in, 0, INFINITY), down = clipped(r, node, in, -INFINITY, 0);
    if (up == XG_NONE || down == XG_NONE) return false;
    uint32_t both[2] = {up, real_conv(r, node, down, weights, c)};
    if (both[1] == XG_NONE) return false;
    uint32_t add = xg_rw_add(r, XG_OP_Add, node, both, 2);
    return xg_rw_infer(r, add) && xg_rw_replace(r, out, xg_rw_out(r, add));
}

static bool channel_mean(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_ReduceMean) return false;
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    const xg_tensor *x = xg_in(r->g, n, 0);
    if (x->rank != 4 || axes->n != 1 || axes->is[0] != 3 || !xg_ai(n, XG_ATTR_keepdims))
        return false;
    int64_t c = x->dim[3], dim[4] = {1, 1, 1, c};
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t out = n->out[0], in = n->in[0], t;
    const char *name = xg_strf(r->tmp, "%s.mean", y.name);
    if (is_real(r, in)) {
        float *w = xg_newn(r->a, float, (size_t)c);
        for (int64_t i = 0; i < c; i++) w[i] = 1.0f / (float)c;
        t = real_conv(r, node, in, xg_rw_const(r, name, XG_F32, 4, dim, w, NULL), 1);
    } else if (is_int8(x) && is_int8(&y)) {
        int8_t *w =
            xg_newn(r->a, int8_t, (size_t)c); /* 64: machines with power-of-two scales keep it */
        memset(w, 64, (size_t)c);
        const xg_quant *q = xg_quant_scalar(r->a, 1.0f / (64.0f * (float)c), 0);
        uint32_t ins[2] = {in, xg_rw_const(r, name, XG_I8, 4, dim, w, q)};
        uint32_t conv = xg_rw_add(r, XG_OP_Conv, node, ins, 2);
        xg_rw_copy_attrs(r, node, conv);
        t = xg_rw_finish(r, conv, XG_I8, y.quant);
    } else
        return false;
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

/* a or b under the result's quant as one row for each image: [N,1,HW,C]. */
static uint32_t one_row(xg_rw *r, uint32_t node, uint32_t in, const xg_quant *q, bool turned) {
    if (!xg_quant_equal(r->g->tensor.v[in].quant, q))
        in = xg_rw_finish(r, xg_rw_add(r, XG_OP_Requantize, node, &in, 1), XG_I8, q);
    if (in != XG_NONE && turned) in = negated(r, node, in);
    if (in == XG_NONE) return XG_NONE;
    const xg_tensor *x = &r->g->tensor.v[in];
    const int64_t row[4] = {x->dim[0], 1, x->dim[1] * x->dim[2], x->dim[3]};
    return xg_rw_reshape(r, node, in, row, 4);
}

static bool extremes(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    bool least = n->op == XG_OP_Min;
    if (!least && n->op != XG_OP_Max) return false;
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t out = n->out[0], from[2] = {n->in[0], n->in[1]}, in[2];
    for (uint32_t k = 0; k < 2; k++) {
        const xg_tensor *x = xg_in(r->g, n, k);
        if (!xg_is_int_map(x) || !xg_is_int_map(&y) ||
            memcmp(x->dim, y.dim, sizeof y.dim[0] * 4) != 0)
            return false;
    }
    for (uint32_t k = 0; k < 2; k++)
        if ((in[k] = one_row(r, node, from[k], y.quant, least)) == XG_NONE) return false;
    uint32_t both = xg_rw_joined(r, node, in, 2, 1);
    if (both == XG_NONE) return false;
    uint32_t pool = xg_rw_add(r, XG_OP_MaxPool, node, &both, 1);
    xg_set_ai(xg_nodep(r->g, pool), XG_ATTR_kernel_h, 2);
    if (!xg_rw_infer(r, pool)) return false;
    uint32_t t = xg_rw_reshape(r, node, xg_rw_out(r, pool), y.dim, 4);
    if (t != XG_NONE && least) t = negated(r, node, t);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_express(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){subtract, slopes, channel_mean, extremes, NULL});
}
