/* Shapes of operators that compute: element-wise, matrix product, reductions, conversions. */
#include "xgraph/shape.h"

#include <string.h>

xg_status xg_shape_same(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    return xg_shape_set(c, g, n, x->rank, x->dim);
}

/* numpy broadcast of the first `rank` axes counted from the right end `skip` axes in; false when
 * they differ. */
static bool broadcast(const xg_tensor *a, const xg_tensor *b, uint32_t skip, int64_t *dim,
                      uint32_t *rank) {
    uint32_t ra = a->rank - skip, rb = b->rank - skip;
    *rank = ra > rb ? ra : rb;
    for (uint32_t i = 0; i < *rank; i++) {
        int64_t da = i < ra ? a->dim[ra - 1 - i] : 1, db = i < rb ? b->dim[rb - 1 - i] : 1;
        if (da != db && da != 1 && db != 1) return false;
        dim[*rank - 1 - i] = da > db ? da : db;
    }
    return true;
}

static xg_status shapes_differ(xg_ctx *c, const xg_graph *g, const xg_node *n) {
    char a[96], b[96];
    return xg_node_error(c, n, XG_INPUT, "the shapes %s and %s do not fit together",
                         xg_shape_text(xg_in(g, n, 0), a), xg_shape_text(xg_in(g, n, 1), b));
}

xg_status xg_shape_broadcast(xg_ctx *c, xg_graph *g, const xg_node *n) {
    int64_t dim[XG_RANK_MAX];
    uint32_t rank;
    if (!broadcast(xg_in(g, n, 0), xg_in(g, n, 1), 0, dim, &rank)) return shapes_differ(c, g, n);
    return xg_shape_set(c, g, n, rank, dim);
}

xg_status xg_shape_matmul(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *a = xg_in(g, n, 0), *b = xg_in(g, n, 1);
    int64_t dim[XG_RANK_MAX];
    uint32_t rank;
    if (a->rank < 2 || b->rank < 2)
        return xg_node_error(c, n, XG_INPUT, "both inputs must have at least 2 axes");
    if (a->dtype == XG_I32 || a->dtype == XG_I64 || a->dtype == XG_BOOL)
        return xg_node_error(c, n, XG_UNSUPPORTED, "no matrix product of %s",
                             xg_dtype_name(a->dtype));
    if (a->dim[a->rank - 1] != b->dim[b->rank - 2] || !broadcast(a, b, 2, dim, &rank))
        return shapes_differ(c, g, n);
    dim[rank] = a->dim[a->rank - 2];
    dim[rank + 1] = b->dim[b->rank - 1];
    return xg_shape_set(c, g, n, rank + 2, dim);
}

xg_status xg_shape_reduce(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    int64_t keep, dim[XG_RANK_MAX];
    bool gone[XG_RANK_MAX] = {0};
    xg_status st = xg_attr_in(c, n, XG_ATTR_keepdims, 0, 1, &keep);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < axes->n; i++) {
        int64_t axis = axes->is[i];
        if (axis < 0 || axis >= x->rank || gone[axis])
            return xg_node_error(c, n, XG_INPUT, "axes[%u] is %lld: twice, or outside 0..%d", i,
                                 (long long)axis, x->rank - 1);
        gone[axis] = true;
    }
    uint32_t rank = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool reduced = gone[i] || !axes->n;
        if (!reduced || keep) dim[rank++] = reduced ? 1 : x->dim[i];
    }
    return xg_shape_set(c, g, n, rank, dim);
}

xg_status xg_shape_batchnorm(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    if (!x->rank) return xg_node_error(c, n, XG_INPUT, "the input must have at least one axis");
    for (uint32_t i = 1; i < n->nin; i++) {
        const xg_tensor *p = xg_in(g, n, i);
        if (p->rank != 1 || p->dim[0] != x->dim[x->rank - 1])
            return xg_node_error(c, n, XG_INPUT,
                                 "input %u must have %lld elements, one for each channel", i,
                                 (long long)x->dim[x->rank - 1]);
    }
    return xg_shape_same(c, g, n);
}

xg_status xg_shape_softmax(xg_ctx *c, xg_graph *g, const xg_node *n) {
    int64_t axis;
    xg_status st = xg_attr_in(c, n, XG_ATTR_axis, 0, (int64_t)xg_in(g, n, 0)->rank - 1, &axis);
    return st == XG_OK ? xg_shape_same(c, g, n) : st;
}

xg_status xg_shape_lut(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *table = xg_in(g, n, 1);
    if (!xg_dtype_is_int8(x->dtype) || !xg_dtype_is_int8(table->dtype))
        return xg_node_error(c, n, XG_INPUT, "input and table are %s and %s, must be i8 or u8",
                             xg_dtype_name(x->dtype), xg_dtype_name(table->dtype));
    if (xg_tensor_elems(table) != 256 || !table->data)
        return xg_node_error(c, n, XG_INPUT, "the table must be a constant of 256 elements");
    xg_out(g, n, 0)->dtype = table->dtype;
    return xg_shape_same(c, g, n);
}

/* ---- conversions
 * ---------------------------------------------------------------------------------------- */

static xg_status need_quant(xg_ctx *c, const xg_node *n, const xg_tensor *t, const char *which) {
    if (t->quant && t->dtype != XG_F32) return XG_OK;
    return xg_node_error(c, n, XG_INPUT, "the %s '%.100s' (%s) needs an integer type and a scale",
                         which, t->name, xg_dtype_name(t->dtype));
}

xg_status xg_shape_quantize(xg_ctx *c, xg_graph *g, const xg_node *n) {
    if (xg_in(g, n, 0)->dtype != XG_F32)
        return xg_node_error(c, n, XG_INPUT, "the input is %s, must be f32",
                             xg_dtype_name(xg_in(g, n, 0)->dtype));
    xg_status st = need_quant(c, n, xg_out(g, n, 0), "output");
    return st == XG_OK ? xg_shape_same(c, g, n) : st;
}

xg_status xg_shape_dequantize(xg_ctx *c, xg_graph *g, const xg_node *n) {
    xg_status st = need_quant(c, n, xg_in(g, n, 0), "input");
    if (st != XG_OK) return st;
    xg_tensor *y = xg_out(g, n, 0);
    y->dtype = XG_F32;
    if (y->quant)
        return xg_node_error(c, n, XG_INPUT, "the f32 result '%.100s' has a scale", y->name);
    return xg_shape_same(c, g, n);
}

xg_status xg_shape_requantize(xg_ctx *c, xg_graph *g, const xg_node *n) {
    xg_status st = need_quant(c, n, xg_in(g, n, 0), "input");
    if (st == XG_OK) st = need_quant(c, n, xg_out(g, n, 0), "output");
    return st == XG_OK ? xg_shape_same(c, g, n) : st;
}

xg_status xg_shape_cast(xg_ctx *c, xg_graph *g, const xg_node *n) {
    int64_t to;
    xg_status st = xg_attr_in(c, n, XG_ATTR_to, 0, XG_DTYPE_COUNT - 1, &to);
    if (st != XG_OK) return st;
    xg_out(g, n, 0)->dtype = (xg_dtype)to;
    return xg_shape_same(c, g, n);
}
