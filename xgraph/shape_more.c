/* Shapes of comparisons, choices, operators along an axis, and Resize. */
#include "xgraph/shape.h"

#include <math.h>
#include <string.h>

/* numpy broadcast of several inputs from `first` on. */
static xg_status broadcast_all(xg_ctx *c, xg_graph *g, const xg_node *n) {
    int64_t dim[XG_RANK_MAX];
    uint32_t rank = 0;
    for (uint32_t k = 0; k < n->nin; k++)
        if (xg_in(g, n, k)->rank > rank) rank = xg_in(g, n, k)->rank;
    for (uint32_t i = 0; i < rank; i++) dim[i] = 1;
    for (uint32_t k = 0; k < n->nin; k++) {
        const xg_tensor *t = xg_in(g, n, k);
        for (uint32_t i = 0; i < t->rank; i++) {
            int64_t *d = &dim[rank - t->rank + i];
            char text[96];
            if (t->dim[i] != *d && t->dim[i] != 1 && *d != 1)
                return xg_node_error(c, n, XG_INPUT, "input %u of shape %s does not fit the others",
                                     k, xg_shape_text(t, text));
            if (t->dim[i] > *d) *d = t->dim[i];
        }
    }
    return xg_shape_set(c, g, n, rank, dim);
}

static xg_status bool_result(xg_ctx *c, xg_graph *g, const xg_node *n) {
    xg_tensor *y = xg_out(g, n, 0);
    y->dtype = XG_BOOL;
    if (y->quant)
        return xg_node_error(c, n, XG_INPUT, "the bool result '%.100s' has a scale", y->name);
    return broadcast_all(c, g, n);
}

xg_status xg_shape_compare(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *a = xg_in(g, n, 0), *b = xg_in(g, n, 1);
    if (a->dtype != b->dtype)
        return xg_node_error(c, n, XG_INPUT, "compares %s and %s", xg_dtype_name(a->dtype),
                             xg_dtype_name(b->dtype));
    if (a->quant || b->quant)
        return xg_node_error(c, n, XG_UNSUPPORTED, "no comparison of quantised values");
    return bool_result(c, g, n);
}

xg_status xg_shape_logic(xg_ctx *c, xg_graph *g, const xg_node *n) {
    for (uint32_t k = 0; k < n->nin; k++)
        if (xg_in(g, n, k)->dtype != XG_BOOL)
            return xg_node_error(c, n, XG_INPUT, "input %u is %s, must be bool", k,
                                 xg_dtype_name(xg_in(g, n, k)->dtype));
    return bool_result(c, g, n);
}

xg_status xg_shape_where(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *condition = xg_in(g, n, 0), *a = xg_in(g, n, 1), *b = xg_in(g, n, 2);
    if (condition->dtype != XG_BOOL || a->dtype != b->dtype)
        return xg_node_error(
            c, n, XG_INPUT, "chooses between %s and %s by %s; needs one type, bool",
            xg_dtype_name(a->dtype), xg_dtype_name(b->dtype), xg_dtype_name(condition->dtype));
    bool per_axis = (a->quant && a->quant->axis >= 0) || (b->quant && b->quant->axis >= 0);
    xg_tensor *y = xg_out(g, n, 0);
    if (!y->quant) y->quant = a->quant;
    if (per_axis || !xg_quant_equal(a->quant, b->quant) || !xg_quant_equal(a->quant, y->quant))
        return xg_node_error(c, n, XG_UNSUPPORTED, "chooses between values of different scales");
    y->dtype = a->dtype;
    return broadcast_all(c, g, n);
}

xg_status xg_shape_arg(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    xg_tensor *y = xg_out(g, n, 0);
    int64_t axis, keep, last, dim[XG_RANK_MAX];
    xg_status st = xg_attr_in(c, n, XG_ATTR_axis, 0, (int64_t)x->rank - 1, &axis);
    if (st == XG_OK) st = xg_attr_in(c, n, XG_ATTR_keepdims, 0, 1, &keep);
    if (st == XG_OK) st = xg_attr_in(c, n, XG_ATTR_last, 0, 1, &last);
    if (st != XG_OK) return st;
    if (x->quant && x->quant->axis >= 0)
        return xg_node_error(c, n, XG_UNSUPPORTED, "no comparison of values with several scales");
    if (y->quant)
        return xg_node_error(c, n, XG_INPUT, "the indices '%.100s' have a scale", y->name);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < x->rank; i++)
        if (i != axis)
            dim[rank++] = x->dim[i];
        else if (keep)
            dim[rank++] = 1;
    y->dtype = XG_I64;
    return xg_shape_set(c, g, n, rank, dim);
}

xg_status xg_shape_cumsum(xg_ctx *c, xg_graph *g, const xg_node *n) {
    int64_t v;
    xg_status st = xg_attr_in(c, n, XG_ATTR_axis, 0, (int64_t)xg_in(g, n, 0)->rank - 1, &v);
    if (st == XG_OK) st = xg_attr_in(c, n, XG_ATTR_exclusive, 0, 1, &v);
    if (st == XG_OK) st = xg_attr_in(c, n, XG_ATTR_reverse, 0, 1, &v);
    return st == XG_OK ? xg_shape_same(c, g, n) : st;
}

static xg_status ascending_axes(xg_ctx *c, const xg_node *n, const xg_tensor *x, uint32_t most) {
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    if (!axes->n || axes->n > most)
        return xg_node_error(c, n, XG_INPUT, "has %u axes, takes 1 to %u", axes->n, most);
    for (uint32_t i = 0; i < axes->n; i++)
        if (axes->is[i] < (i ? axes->is[i - 1] + 1 : 0) || axes->is[i] >= x->rank)
            return xg_node_error(c, n, XG_INPUT,
                                 "axes[%u] is %lld; they must ascend and be below %d", i,
                                 (long long)axes->is[i], x->rank);
    return XG_OK;
}

xg_status xg_shape_normalize(xg_ctx *c, xg_graph *g, const xg_node *n) {
    xg_status st = ascending_axes(c, n, xg_in(g, n, 0), XG_RANK_MAX);
    if (st == XG_OK && !(xg_af(n, XG_ATTR_epsilon) >= 0))
        st = xg_node_error(c, n, XG_INPUT, "epsilon is %g, must be at least 0",
                           (double)xg_af(n, XG_ATTR_epsilon));
    return st == XG_OK ? xg_shape_same(c, g, n) : st;
}

/* ---- Resize ---- */

enum { RESIZE_AXES_MAX = 4, TAPS_MAX = 4096 };

static xg_status check_taps(xg_ctx *c, xg_graph *g, const xg_node *n, uint32_t i, int64_t size) {
    const xg_tensor *index = xg_in(g, n, 1 + 2 * i), *weight = xg_in(g, n, 2 + 2 * i);
    if (index->dtype != XG_I64 || weight->dtype != XG_F32 || !index->data || !weight->data ||
        index->rank != 2 || weight->rank != 2 || index->dim[0] != weight->dim[0] ||
        index->dim[1] != weight->dim[1] || index->dim[1] > TAPS_MAX)
        return xg_node_error(c, n, XG_INPUT,
                             "inputs %u and %u must be constant indices (i64) and weights (f32) of "
                             "one shape [size, taps], at most %d taps",
                             1 + 2 * i, 2 + 2 * i, TAPS_MAX);
    for (int64_t k = 0; k < xg_tensor_elems(index); k++) {
        int64_t at = ((const int64_t *)index->data)[k];
        if (at < 0 || at >= size)
            return xg_node_error(c, n, XG_INPUT, "index %lld is outside of an axis of size %lld",
                                 (long long)at, (long long)size);
        if (!isfinite(((const float *)weight->data)[k]))
            return xg_node_error(c, n, XG_INPUT, "a weight is not finite");
    }
    return XG_OK;
}

xg_status xg_shape_resize(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    xg_tensor *y = xg_out(g, n, 0);
    int64_t dim[XG_RANK_MAX], taps = 1;
    xg_status st = ascending_axes(c, n, x, RESIZE_AXES_MAX);
    if (st != XG_OK) return st;
    if (n->nin != 1 + 2 * axes->n)
        return xg_node_error(c, n, XG_INPUT, "has %u inputs, %u axes need %u", n->nin, axes->n,
                             1 + 2 * axes->n);
    memcpy(dim, x->dim, sizeof dim);
    for (uint32_t i = 0; i < axes->n; i++) {
        st = check_taps(c, g, n, i, x->dim[axes->is[i]]);
        if (st != XG_OK) return st;
        dim[axes->is[i]] = xg_in(g, n, 1 + 2 * i)->dim[0];
        taps *= xg_in(g, n, 1 + 2 * i)->dim[1];
        if (taps > TAPS_MAX)
            return xg_node_error(c, n, XG_LIMIT, "more than %d taps for an element", TAPS_MAX);
    }
    if (x->dtype == XG_F32 ? y->quant != NULL : !x->quant)
        return xg_node_error(c, n, XG_INPUT, "resizes f32 to f32 or quantised to quantised values");
    if (x->dtype == XG_F32 || !y->quant) y->dtype = x->dtype;
    if (x->dtype != XG_F32 && !y->quant) y->quant = x->quant;
    if (x->quant && (x->quant->axis >= 0 || y->quant->axis >= 0))
        return xg_node_error(c, n, XG_UNSUPPORTED, "values with several scales");
    return xg_shape_set(c, g, n, x->rank, dim);
}
