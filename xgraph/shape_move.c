/* Shapes of operators that move elements: Concat, Slice, Pad, Reshape, Transpose, Gather. */
#include "xgraph/shape.h"

#include <string.h>

/* The list attribute with exactly `want` values. */
static xg_status need_list(xg_ctx *c, const xg_node *n, xg_attr_id id, uint32_t want,
                           const int64_t **out) {
    const xg_attr *a = xg_attr_of(n, id);
    *out = a->is;
    if (a->n == want) return XG_OK;
    return xg_node_error(c, n, XG_INPUT, "attribute %s has %u values, needs %u", xg_attrs[id].name,
                         a->n, want);
}

xg_status xg_shape_concat(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    int64_t axis, dim[XG_RANK_MAX];
    xg_status st = xg_attr_in(c, n, XG_ATTR_axis, 0, (int64_t)x->rank - 1, &axis);
    if (st != XG_OK) return st;
    memcpy(dim, x->dim, sizeof dim);
    for (uint32_t i = 1; i < n->nin; i++) {
        const xg_tensor *t = xg_in(g, n, i);
        bool fits = t->rank == x->rank;
        for (uint32_t k = 0; fits && k < x->rank; k++) fits = k == axis || t->dim[k] == x->dim[k];
        char a[96], b[96];
        if (!fits)
            return xg_node_error(c, n, XG_INPUT, "input %u is %s, does not fit to %s on axis %lld",
                                 i, xg_shape_text(t, a), xg_shape_text(x, b), (long long)axis);
        if (__builtin_add_overflow(dim[axis], t->dim[axis], &dim[axis]))
            return xg_node_error(c, n, XG_LIMIT, "the result is too large");
    }
    return xg_shape_set(c, g, n, x->rank, dim);
}

xg_status xg_shape_slice(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    const int64_t *starts, *steps, *shape;
    xg_status st = need_list(c, n, XG_ATTR_starts, x->rank, &starts);
    if (st == XG_OK) st = need_list(c, n, XG_ATTR_steps, x->rank, &steps);
    if (st == XG_OK) st = need_list(c, n, XG_ATTR_shape, x->rank, &shape);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t last;
        bool ok = starts[i] >= 0 && starts[i] < x->dim[i] && steps[i] != 0 && shape[i] >= 1;
        ok = ok && !__builtin_mul_overflow(shape[i] - 1, steps[i], &last) &&
             !__builtin_add_overflow(last, starts[i], &last);
        if (!ok || last < 0 || last >= x->dim[i])
            return xg_node_error(c, n, XG_INPUT,
                                 "axis %u: %lld elements from %lld in steps of %lld leave 0..%lld",
                                 i, (long long)shape[i], (long long)starts[i], (long long)steps[i],
                                 (long long)x->dim[i] - 1);
    }
    return xg_shape_set(c, g, n, x->rank, shape);
}

xg_status xg_shape_pad(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    const int64_t *pads;
    int64_t mode, dim[XG_RANK_MAX];
    xg_status st = need_list(c, n, XG_ATTR_pads, 2u * x->rank, &pads);
    if (st == XG_OK) st = xg_attr_in(c, n, XG_ATTR_mode, 0, 2, &mode);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t before = pads[i], after = pads[x->rank + i],
                most = mode == 1 ? x->dim[i] - 1 : XG_ELEMS_MAX;
        if (before < 0 || after < 0 || before > most || after > most)
            return xg_node_error(c, n, XG_INPUT,
                                 "axis %u is padded by %lld and %lld, must be in 0..%lld", i,
                                 (long long)before, (long long)after, (long long)most);
        dim[i] = x->dim[i] + before + after;
    }
    return xg_shape_set(c, g, n, x->rank, dim);
}

xg_status xg_shape_reshape(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    const xg_attr *shape = xg_attr_of(n, XG_ATTR_shape);
    xg_status st = xg_shape_set(c, g, n, shape->n, shape->is);
    if (st != XG_OK) return st;
    char a[96], b[96];
    if (xg_tensor_elems(xg_out(g, n, 0)) == xg_tensor_elems(x)) return XG_OK;
    return xg_node_error(c, n, XG_INPUT, "%s and %s differ in their number of elements",
                         xg_shape_text(x, a), xg_shape_text(xg_out(g, n, 0), b));
}

xg_status xg_shape_transpose(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    const int64_t *perm;
    int64_t dim[XG_RANK_MAX];
    bool seen[XG_RANK_MAX] = {0};
    xg_status st = need_list(c, n, XG_ATTR_perm, x->rank, &perm);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (perm[i] < 0 || perm[i] >= x->rank || seen[perm[i]])
            return xg_node_error(c, n, XG_INPUT, "perm[%u] is %lld: twice, or outside 0..%d", i,
                                 (long long)perm[i], x->rank - 1);
        seen[perm[i]] = true;
        dim[i] = x->dim[perm[i]];
    }
    return xg_shape_set(c, g, n, x->rank, dim);
}

static xg_status check_indices(xg_ctx *c, const xg_node *n, const xg_tensor *index, int64_t size) {
    int64_t elems = xg_tensor_elems(index);
    for (int64_t i = 0; i < elems; i++) {
        int64_t v = index->dtype == XG_I64 ? ((const int64_t *)index->data)[i]
                                           : ((const int32_t *)index->data)[i];
        if (v < 0 || v >= size)
            return xg_node_error(c, n, XG_INPUT, "index[%lld] is %lld, must be in 0..%lld",
                                 (long long)i, (long long)v, (long long)size - 1);
    }
    return XG_OK;
}

xg_status xg_shape_gather(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *index = xg_in(g, n, 1);
    int64_t axis, dim[2 * XG_RANK_MAX];
    xg_status st = xg_attr_in(c, n, XG_ATTR_axis, 0, (int64_t)x->rank - 1, &axis);
    if (st != XG_OK) return st;
    if (!index->data || (index->dtype != XG_I64 && index->dtype != XG_I32))
        return xg_node_error(c, n, XG_UNSUPPORTED,
                             "the indices '%.100s' must be constant i32 or i64", index->name);
    st = check_indices(c, n, index, x->dim[axis]);
    if (st != XG_OK) return st;
    uint32_t rank = 0;
    for (uint32_t i = 0; i < axis; i++) dim[rank++] = x->dim[i];
    for (uint32_t i = 0; i < index->rank; i++) dim[rank++] = index->dim[i];
    for (uint32_t i = (uint32_t)axis + 1; i < x->rank; i++) dim[rank++] = x->dim[i];
    return xg_shape_set(c, g, n, rank, dim);
}
