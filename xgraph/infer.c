#include "xgraph/shape.h"

#include <stdio.h>
#include <string.h>

const char *xg_shape_text(const xg_tensor *t, char buf[96]) {
    size_t at = 0;
    buf[at++] = '[';
    for (uint32_t i = 0; i < t->rank && at < 80; i++)
        at += (size_t)snprintf(buf + at, 96 - at, i ? ",%lld" : "%lld", (long long)t->dim[i]);
    if (at > 94) at = 94;
    buf[at] = ']';
    buf[at + 1] = 0;
    return buf;
}

xg_status xg_shape_set(xg_ctx *c, xg_graph *g, const xg_node *n, uint32_t rank,
                       const int64_t *dim) {
    if (rank > XG_RANK_MAX)
        return xg_node_error(c, n, XG_LIMIT, "the result has %u axes, at most %d are supported",
                             rank, XG_RANK_MAX);
    xg_tensor *t = xg_out(g, n, 0);
    t->rank = (uint8_t)rank;
    memset(t->dim, 0, sizeof t->dim);
    for (uint32_t i = 0; i < rank; i++) {
        if (dim[i] < 1)
            return xg_node_error(c, n, XG_INPUT,
                                 "axis %u of the result has size %lld, must be at least 1", i,
                                 (long long)dim[i]);
        t->dim[i] = dim[i];
    }
    if (xg_tensor_elems(t) <= XG_ELEMS_MAX) return XG_OK;
    char text[96];
    return xg_node_error(c, n, XG_LIMIT, "the result %s has more than 2^31-1 elements",
                         xg_shape_text(t, text));
}

xg_status xg_attr_in(xg_ctx *c, const xg_node *n, xg_attr_id id, int64_t lo, int64_t hi,
                     int64_t *out) {
    *out = xg_ai(n, id);
    if (*out >= lo && *out <= hi) return XG_OK;
    return xg_node_error(c, n, XG_INPUT, "attribute %s is %lld, must be in %lld..%lld",
                         xg_attrs[id].name, (long long)*out, (long long)lo, (long long)hi);
}

/* ---- before a shape function
 * ---------------------------------------------------------------------------- */

static xg_status check_arity(xg_ctx *c, const xg_node *n, const xg_op_desc *d) {
    if (n->nin < (uint32_t)d->min_in || (d->max_in >= 0 && n->nin > (uint32_t)d->max_in))
        return xg_node_error(c, n, XG_INPUT, "has %u inputs, %s takes %d..%d", n->nin, d->name,
                             d->min_in, d->max_in);
    if (d->nout >= 0 && n->nout != (uint32_t)d->nout)
        return xg_node_error(c, n, XG_INPUT, "has %u outputs, %s gives %d", n->nout, d->name,
                             d->nout);
    return XG_OK;
}

static xg_status check_input(xg_ctx *c, const xg_graph *g, uint32_t node, uint32_t i) {
    const xg_node *n = &g->node.v[node];
    const xg_op_desc *d = &xg_ops[n->op];
    if (n->in[i] == XG_NONE) {
        if (i >= (uint32_t)d->min_in && d->max_in >= 0) return XG_OK;
        return xg_node_error(c, n, XG_INPUT, "required input %u is absent", i);
    }
    if (n->in[i] >= g->tensor.n)
        return xg_node_error(c, n, XG_INPUT, "input %u is tensor number %u, the graph has %u", i,
                             n->in[i], g->tensor.n);
    const xg_tensor *t = &g->tensor.v[n->in[i]];
    if (t->producer == XG_NONE && !t->is_input && !t->data)
        return xg_node_error(c, n, XG_INPUT, "input %u ('%.100s') has no producer and no data", i,
                             t->name);
    if (t->producer != XG_NONE && t->producer >= node)
        return xg_node_error(c, n, XG_INPUT,
                             "input %u ('%.100s') is made by a later node or by itself (cycle)", i,
                             t->name);
    return xg_dims_check(c, t);
}

xg_status xg_node_check(xg_ctx *c, const xg_graph *g, uint32_t node) {
    const xg_node *n = &g->node.v[node];
    if (n->op >= XG_OP_COUNT)
        return xg_node_error(c, n, XG_INPUT, "operator number %u is unknown", n->op);
    xg_status st = check_arity(c, n, &xg_ops[n->op]);
    for (uint32_t i = 0; i < n->nin && st == XG_OK; i++) st = check_input(c, g, node, i);
    for (uint32_t i = 0; i < n->nout && st == XG_OK; i++)
        if (n->out[i] >= g->tensor.n)
            st = xg_node_error(c, n, XG_INPUT, "output %u is tensor number %u, the graph has %u", i,
                               n->out[i], g->tensor.n);
    return st;
}

/* ---- types
 * ---------------------------------------------------------------------------------------------- */

static bool may_have_quant(xg_dtype t) {
    return t == XG_I8 || t == XG_U8 || t == XG_I16 || t == XG_I32;
}

static bool quant_sane(const xg_tensor *t, char *why, size_t n) {
    const xg_quant *q = t->quant;
    int32_t lo, hi;
    xg_dtype_range(t->dtype, &lo, &hi);
    if (!may_have_quant(t->dtype))
        return snprintf(why, n, "%s tensors have no scale", xg_dtype_name(t->dtype)), false;
    if (q->axis < -1 || q->axis >= t->rank)
        return snprintf(why, n, "quantisation axis %d", q->axis), false;
    int64_t want = q->axis < 0 ? 1 : t->dim[q->axis];
    if (q->n != want)
        return snprintf(why, n, "%u scales for %lld channels", q->n, (long long)want), false;
    for (uint32_t i = 0; i < q->n; i++) {
        if (!(q->scale[i] > 0) || !(q->scale[i] < __builtin_inff()))
            return snprintf(why, n, "scale[%u] is %g, must be positive and finite", i,
                            (double)q->scale[i]),
                   false;
        if (q->zp[i] < lo || q->zp[i] > hi)
            return snprintf(why, n, "zero point[%u] is %d, outside %s", i, q->zp[i],
                            xg_dtype_name(t->dtype)),
                   false;
    }
    return true;
}

xg_status xg_dims_check(xg_ctx *c, const xg_tensor *t) {
    char where[160];
    snprintf(where, sizeof where, "tensor '%.120s'", t->name ? t->name : "?");
    if ((unsigned)t->dtype >= XG_DTYPE_COUNT)
        return xg_error(c, XG_INPUT, where, "element type %d is unknown", (int)t->dtype);
    if (t->rank > XG_RANK_MAX)
        return xg_error(c, XG_LIMIT, where, "%u axes, at most %d are supported", t->rank,
                        XG_RANK_MAX);
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dim[i] < 1)
            return xg_error(c, XG_INPUT, where, "axis %u has size %lld, must be at least 1", i,
                            (long long)t->dim[i]);
    if (xg_tensor_elems(t) > XG_ELEMS_MAX)
        return xg_error(c, XG_LIMIT, where, "more than 2^31-1 elements");
    return XG_OK;
}

xg_status xg_tensor_check(xg_ctx *c, const xg_tensor *t) {
    char where[160], why[128];
    xg_status st = xg_dims_check(c, t);
    if (st != XG_OK || !t->quant || quant_sane(t, why, sizeof why)) return st;
    snprintf(where, sizeof where, "tensor '%.120s'", t->name ? t->name : "?");
    return xg_error(c, XG_INPUT, where, "%s", why);
}

static xg_status all_inputs_are(xg_ctx *c, const xg_graph *g, const xg_node *n, bool f32) {
    for (uint32_t i = 0; i < n->nin; i++) {
        const xg_tensor *t = xg_in(g, n, i);
        if (t && (t->dtype == XG_F32) != f32)
            return xg_node_error(c, n, XG_INPUT, "input %u ('%.100s') is %s, expected %s", i,
                                 t->name, xg_dtype_name(t->dtype),
                                 f32 ? "f32" : "an integer type as input 0");
    }
    return XG_OK;
}

/* Sets the outputs' types by the row's rule. */
static xg_status infer_types(xg_ctx *c, xg_graph *g, const xg_node *n) {
    xg_rule rule = xg_ops[n->op].rule;
    const xg_tensor *x = xg_in(g, n, 0);
    if (rule == XG_RULE_CONVERT) return XG_OK;
    bool f32 = rule == XG_RULE_FLOAT || x->dtype == XG_F32;
    if (rule != XG_RULE_KEEP) {
        xg_status st = all_inputs_are(c, g, n, f32);
        if (st != XG_OK) return st;
    }
    for (uint32_t i = 0; i < n->nout; i++) {
        xg_tensor *y = xg_out(g, n, i);
        bool own = rule == XG_RULE_REQUANT && !f32 && y->quant;
        if (!own) y->dtype = f32 ? XG_F32 : x->dtype;
        if (rule == XG_RULE_KEEP && !y->quant && x->quant && x->quant->axis < 0)
            y->quant = x->quant;
    }
    return XG_OK;
}

xg_status xg_node_infer(xg_ctx *c, xg_graph *g, uint32_t node) {
    xg_status st = xg_node_check(c, g, node);
    const xg_node *n = &g->node.v[node];
    if (st == XG_OK) st = infer_types(c, g, n);
    if (st == XG_OK) st = xg_ops[n->op].shape(c, g, n);
    return st;
}

xg_status xg_graph_infer(xg_ctx *c, xg_graph *g) {
    for (uint32_t i = 0; i < g->node.n; i++) {
        xg_status st = xg_node_infer(c, g, i);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

/* ---- after it: quants
 * ----------------------------------------------------------------------------------- */

static xg_status check_keep(xg_ctx *c, const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    for (uint32_t i = 0; i < n->nout; i++) {
        const xg_tensor *y = xg_out(g, n, i);
        bool per_axis = (x->quant && x->quant->axis >= 0) || (y->quant && y->quant->axis >= 0);
        bool ok = per_axis ? x->quant && y->quant : xg_quant_equal(x->quant, y->quant);
        if (!ok)
            return xg_node_error(
                c, n, XG_INPUT,
                "%s keeps scale and zero point, but '%.80s' and '%.80s' differ in them",
                xg_ops[n->op].name, x->name, y->name);
    }
    return XG_OK;
}

/* Per-channel scales are for weights: Conv's output channels and the columns of a matrix. */
static bool axis_allowed(const xg_node *n, const xg_tensor *t, uint32_t input) {
    if (!t->quant || t->quant->axis < 0) return true;
    if (n->op == XG_OP_Conv) return input > 0 && t->quant->axis == 0;
    return n->op == XG_OP_MatMul && input == 1 && t->quant->axis == t->rank - 1;
}

static xg_status check_axes(xg_ctx *c, const xg_graph *g, const xg_node *n) {
    for (uint32_t i = 0; i < n->nin; i++) {
        const xg_tensor *t = xg_in(g, n, i);
        if (t && !axis_allowed(n, t, i))
            return xg_node_error(c, n, XG_UNSUPPORTED,
                                 "input %u ('%.100s') has scales along axis %d", i, t->name,
                                 t->quant->axis);
    }
    const xg_tensor *y = xg_out(g, n, 0);
    if (!y->quant || y->quant->axis < 0) return XG_OK;
    return xg_node_error(c, n, XG_UNSUPPORTED, "the result '%.100s' has scales along axis %d",
                         y->name, y->quant->axis);
}

static xg_status check_requant(xg_ctx *c, const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *y = xg_out(g, n, 0);
    if (x->dtype == XG_F32)
        return y->quant
                   ? xg_node_error(c, n, XG_INPUT, "the f32 result '%.100s' has a scale", y->name)
                   : XG_OK;
    if (!x->quant && (xg_dtype_is_int8(x->dtype) || x->dtype == XG_I16))
        return xg_node_error(c, n, XG_INPUT, "input 0 ('%.100s', %s) has no scale", x->name,
                             xg_dtype_name(x->dtype));
    for (uint32_t i = 1; i < n->nin; i++) {
        const xg_tensor *t = xg_in(g, n, i);
        bool bias = n->op == XG_OP_Conv && i == 2;
        if (!t || bias) continue;
        if (!t->quant != !x->quant)
            return xg_node_error(c, n, XG_INPUT, "input %u ('%.100s') %s a scale, input 0 %s", i,
                                 t->name, t->quant ? "has" : "has not",
                                 x->quant ? "has" : "has not");
        if (!x->quant && t->dtype != x->dtype)
            return xg_node_error(c, n, XG_INPUT, "inputs are %s and %s", xg_dtype_name(x->dtype),
                                 xg_dtype_name(t->dtype));
    }
    if (!y->quant != !x->quant)
        return xg_node_error(c, n, XG_INPUT, "the result '%.100s' %s a scale, the inputs %s",
                             y->name, y->quant ? "has" : "has not", x->quant ? "have" : "have not");
    return check_axes(c, g, n);
}

xg_status xg_rule_check(xg_ctx *c, const xg_graph *g, const xg_node *n) {
    switch (xg_ops[n->op].rule) {
    case XG_RULE_KEEP:
        return check_keep(c, g, n);
    case XG_RULE_REQUANT:
        return check_requant(c, g, n);
    case XG_RULE_FLOAT:
    case XG_RULE_CONVERT:
        break;
    }
    return XG_OK;
}
