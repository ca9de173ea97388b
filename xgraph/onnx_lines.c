/* Reductions that are made of others, ArgMax and its kin, and normalisation by statistics of the
 * value itself. */
#include "xgraph/onnx_import.h"

#include <math.h>
#include <string.h>

static xg_status need_f32(xg_onnx *x, uint32_t in) {
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (t->dtype == XG_F32) return XG_OK;
    return xg_ox_refuse(x, "%s values ('%s')", xg_dtype_name(t->dtype), t->name);
}

/* One-input operator into a step with the given suffix. */
static xg_status apply(xg_onnx *x, xg_op op, uint32_t *v, const char *suffix) {
    uint32_t in = *v;
    *v = xg_ox_temp(x, 0, suffix);
    return xg_ox_simple(x, op, &in, 1, *v);
}

static xg_status combine(xg_onnx *x, xg_op op, uint32_t a, uint32_t b, uint32_t out) {
    uint32_t in[2] = {a, b};
    return xg_ox_simple(x, op, in, 2, out);
}

/* ---- reductions ---- */

typedef struct axes {
    int64_t list[XG_RANK_MAX], left[XG_RANK_MAX]; /* reduced axes, remaining dimensions */
    uint32_t n, nleft;
    bool keep, nothing; /* nothing: no axes, and they say that this means the value itself */
} axes;

static xg_status read_reduction(xg_onnx *x, axes *a) {
    uint32_t in = xg_ox_in(x, 0), n, rank = xg_ox_tensor(x, in)->rank;
    const int64_t *list;
    bool gone[XG_RANK_MAX] = {0};
    *a = (axes){.keep = xg_ox_int(x, "keepdims", 1) != 0};
    xg_status st = need_f32(x, in);
    if (!st) st = xg_ox_const_ints(x, 1, "the axes", &list, &n);
    if (st) return st;
    if (xg_ox_in(x, 1) == XG_NONE) list = xg_ox_ints(x, "axes", &n);
    if (n > XG_RANK_MAX) return xg_ox_bad(x, "%u axes", n);
    a->nothing = n == 0 && xg_ox_int(x, "noop_with_empty_axes", 0);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis;
        st = xg_ox_axis(x, list[i], rank, &axis);
        if (st) return st;
        gone[axis] = true;
    }
    for (uint32_t i = 0; i < rank; i++)
        if (gone[i] || n == 0)
            a->list[a->n++] = i;
        else
            a->left[a->nleft++] = xg_ox_tensor(x, in)->dim[i];
    return XG_OK;
}

/* op over the axes, kept as 1. */
static xg_status reduce_kept(xg_onnx *x, xg_op op, const axes *a, uint32_t *v, const char *suffix) {
    uint32_t in = *v;
    if (a->nothing) return XG_OK;
    *v = xg_ox_temp(x, 0, suffix);
    uint32_t n = xg_ox_node(x, op, &in, 1, *v);
    xg_set_ais(x->g, xg_nodep(x->g, n), XG_ATTR_axes, a->list, a->n);
    return xg_ox_done(x, n);
}

/* The value as output 0, without the reduced axes unless they are kept. */
static xg_status reduced(xg_onnx *x, const axes *a, uint32_t v) {
    if (a->keep || a->nothing) return xg_ox_alias(x, 0, v);
    return xg_ox_reshape(x, v, a->left, a->nleft, xg_ox_out(x, 0));
}

xg_status xg_ox_reduce_l1(xg_onnx *x, int arg) {
    (void)arg;
    axes a;
    uint32_t v = xg_ox_in(x, 0);
    xg_status st = read_reduction(x, &a);
    if (!st) st = apply(x, XG_OP_Abs, &v, "abs");
    if (!st) st = reduce_kept(x, XG_OP_ReduceSum, &a, &v, "sum");
    return st ? st : reduced(x, &a, v);
}

/* The sum of squares, or its root. */
xg_status xg_ox_reduce_squares(xg_onnx *x, int root) {
    axes a;
    uint32_t v = xg_ox_in(x, 0), square = xg_ox_temp(x, 0, "square");
    xg_status st = read_reduction(x, &a);
    if (!st) st = combine(x, XG_OP_Mul, v, v, square);
    v = square;
    if (!st) st = reduce_kept(x, XG_OP_ReduceSum, &a, &v, "sum");
    if (!st && root) st = apply(x, XG_OP_Sqrt, &v, "root");
    return st ? st : reduced(x, &a, v);
}

xg_status xg_ox_reduce_log_sum(xg_onnx *x, int arg) {
    (void)arg;
    axes a;
    uint32_t v = xg_ox_in(x, 0);
    xg_status st = read_reduction(x, &a);
    if (!st) st = reduce_kept(x, XG_OP_ReduceSum, &a, &v, "sum");
    if (!st) st = apply(x, XG_OP_Log, &v, "log");
    return st ? st : reduced(x, &a, v);
}

/* max + log(sum(exp(x - max))): no exponential overflows. */
xg_status xg_ox_reduce_log_sum_exp(xg_onnx *x, int arg) {
    (void)arg;
    axes a;
    uint32_t v = xg_ox_in(x, 0), max = v;
    xg_status st = read_reduction(x, &a);
    if (!st) st = reduce_kept(x, XG_OP_ReduceMax, &a, &max, "max");
    uint32_t below = xg_ox_temp(x, 0, "below"), y = xg_ox_temp(x, 0, "value");
    if (!st) st = combine(x, XG_OP_Sub, v, max, below);
    v = below;
    if (!st) st = apply(x, XG_OP_Exp, &v, "exp");
    if (!st) st = reduce_kept(x, XG_OP_ReduceSum, &a, &v, "sum");
    if (!st) st = apply(x, XG_OP_Log, &v, "log");
    if (!st) st = combine(x, XG_OP_Add, max, v, y);
    return st ? st : reduced(x, &a, y);
}

/* x / norm of its line: |x| summed, or the root of the squares. */
xg_status xg_ox_lp_norm(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), v = in, axis;
    int64_t p = xg_ox_int(x, "p", 2);
    xg_status st = need_f32(x, in);
    if (!st) st = xg_ox_axis(x, xg_ox_int(x, "axis", -1), xg_ox_tensor(x, in)->rank, &axis);
    if (!st && p != 1 && p != 2) st = xg_ox_bad(x, "p is %lld, must be 1 or 2", (long long)p);
    if (st) return st;
    axes a = {.list = {axis}, .n = 1, .keep = true};
    if (p == 1) {
        st = apply(x, XG_OP_Abs, &v, "abs");
    } else {
        v = xg_ox_temp(x, 0, "square");
        st = combine(x, XG_OP_Mul, in, in, v);
    }
    if (!st) st = reduce_kept(x, XG_OP_ReduceSum, &a, &v, "sum");
    if (!st && p == 2) st = apply(x, XG_OP_Sqrt, &v, "root");
    return st ? st : combine(x, XG_OP_Div, in, v, xg_ox_out(x, 0));
}

/* ---- along one axis ---- */

xg_status xg_ox_arg(xg_onnx *x, int op) {
    uint32_t in = xg_ox_in(x, 0), axis;
    xg_status st = xg_ox_axis(x, xg_ox_int(x, "axis", 0), xg_ox_tensor(x, in)->rank, &axis);
    if (st) return st;
    int64_t keep = xg_ox_int(x, "keepdims", 1) != 0, left[XG_RANK_MAX];
    const xg_tensor *t = xg_ox_tensor(x, in);
    uint32_t rank = 0, y = keep ? xg_ox_out(x, 0) : xg_ox_temp(x, 0, "kept");
    t = xg_ox_tensor(x, in);
    for (uint32_t i = 0; i < t->rank; i++)
        if (i != axis) left[rank++] = t->dim[i];
    uint32_t n = xg_ox_node(x, (xg_op)op, &in, 1, y);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_axis, axis);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_last, xg_ox_int(x, "select_last_index", 0) != 0);
    st = xg_ox_done(x, n);
    return st || keep ? st : xg_ox_reshape(x, y, left, rank, xg_ox_out(x, 0));
}

/* On one axis (opset 13), or on all axes from it on taken as one (before). */
xg_status xg_ox_hardmax(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), axis, rank = xg_ox_tensor(x, in)->rank, from = in;
    xg_status st = need_f32(x, in);
    if (!st) st = xg_ox_axis(x, xg_ox_int(x, "axis", x->opset < 13 ? 1 : -1), rank, &axis);
    if (st) return st;
    int64_t dim[XG_RANK_MAX], flat[2] = {1, 1};
    memcpy(dim, xg_ox_tensor(x, in)->dim, sizeof dim);
    for (uint32_t i = 0; i < rank; i++) flat[i >= axis] *= dim[i];
    bool flatten = x->opset < 13 && flat[1] != dim[axis];
    if (flatten) {
        from = xg_ox_temp(x, 0, "flat");
        st = xg_ox_reshape(x, in, flat, 2, from);
    }
    if (st) return st;
    uint32_t y = flatten ? xg_ox_temp(x, 0, "line") : xg_ox_out(x, 0),
             n = xg_ox_node(x, XG_OP_Hardmax, &from, 1, y);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_axis, flatten ? 1 : axis);
    st = xg_ox_done(x, n);
    return st || !flatten ? st : xg_ox_reshape(x, y, dim, rank, xg_ox_out(x, 0));
}

xg_status xg_ox_cumsum(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), axis, count;
    const int64_t *v;
    xg_status st = need_f32(x, in);
    if (!st) st = xg_ox_const_ints(x, 1, "the axis", &v, &count);
    if (!st && count != 1) st = xg_ox_bad(x, "%u axes, expected one", count);
    if (!st) st = xg_ox_axis(x, v[0], xg_ox_tensor(x, in)->rank, &axis);
    if (st) return st;
    uint32_t n = xg_ox_node(x, XG_OP_CumSum, &in, 1, xg_ox_out(x, 0));
    const xg_node *node = xg_nodep(x->g, n);
    xg_set_ai(node, XG_ATTR_axis, axis);
    xg_set_ai(node, XG_ATTR_exclusive, xg_ox_int(x, "exclusive", 0) != 0);
    xg_set_ai(node, XG_ATTR_reverse, xg_ox_int(x, "reverse", 0) != 0);
    return xg_ox_done(x, n);
}

/* ---- normalisation ---- */

static xg_status normalize(xg_onnx *x, uint32_t in, const int64_t *list, uint32_t count,
                           float epsilon, uint32_t out) {
    if (!(epsilon >= 0)) return xg_ox_bad(x, "epsilon is %g", (double)epsilon);
    uint32_t n = xg_ox_node(x, XG_OP_Normalize, &in, 1, out);
    xg_set_ais(x->g, xg_nodep(x->g, n), XG_ATTR_axes, list, count);
    xg_set_af(xg_nodep(x->g, n), XG_ATTR_epsilon, epsilon);
    return xg_ox_done(x, n);
}

/* out = v * scale + shift; absent operands are left out. */
static xg_status scale_shift(xg_onnx *x, uint32_t v, uint32_t scale, uint32_t shift, uint32_t out) {
    uint32_t product = shift == XG_NONE ? out : xg_ox_temp(x, 0, "scaled");
    xg_status st = combine(x, XG_OP_Mul, v, scale, product);
    return st || shift == XG_NONE ? st : combine(x, XG_OP_Add, product, shift, out);
}

/* Mean and 1 / standard deviation over the axes, as outputs 1 and 2 of LayerNormalization. */
static xg_status statistics(xg_onnx *x, uint32_t in, const axes *a, float epsilon) {
    uint32_t mean = in, apart = xg_ox_temp(x, 0, "apart"), square = xg_ox_temp(x, 0, "square");
    xg_status st = reduce_kept(x, XG_OP_ReduceMean, a, &mean, "mean");
    if (!st && xg_ox_is_read(x, 1)) st = xg_ox_alias(x, 1, mean);
    if (st || !xg_ox_is_read(x, 2)) return st;
    st = combine(x, XG_OP_Sub, in, mean, apart);
    if (!st) st = combine(x, XG_OP_Mul, apart, apart, square);
    uint32_t v = square, sum = xg_ox_temp(x, 0, "sum");
    if (!st) st = reduce_kept(x, XG_OP_ReduceMean, a, &v, "variance");
    if (!st) st = combine(x, XG_OP_Add, v, xg_ox_scalar(x, epsilon), sum);
    v = sum;
    if (!st) st = apply(x, XG_OP_Sqrt, &v, "deviation");
    return st ? st : combine(x, XG_OP_Div, xg_ox_scalar(x, 1), v, xg_ox_out(x, 2));
}

xg_status xg_ox_layer_norm(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), first, y = xg_ox_temp(x, 0, "normal");
    uint32_t rank = xg_ox_tensor(x, in)->rank;
    float epsilon = xg_ox_float(x, "epsilon", 1e-5f);
    axes a = {.keep = true};
    xg_status st = need_f32(x, in);
    if (!st) st = xg_ox_axis(x, xg_ox_int(x, "axis", -1), rank, &first);
    if (st) return st;
    for (uint32_t i = first; i < rank; i++) a.list[a.n++] = i;
    st = normalize(x, in, a.list, a.n, epsilon, y);
    if (!st) st = scale_shift(x, y, xg_ox_in(x, 1), xg_ox_in(x, 2), xg_ox_out(x, 0));
    if (!st && (xg_ox_is_read(x, 1) || xg_ox_is_read(x, 2))) st = statistics(x, in, &a, epsilon);
    return st;
}

/* x / sqrt(mean(x * x) + epsilon) * scale, over the axes from `axis` on (ONNX, opset 23). */
xg_status xg_ox_rms_norm(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), rank = xg_ox_tensor(x, in)->rank, first;
    uint32_t v = xg_ox_temp(x, 0, "square"), sum, y = xg_ox_temp(x, 0, "normal");
    float epsilon = xg_ox_float(x, "epsilon", 1e-5f);
    if (!(epsilon >= 0)) return xg_ox_bad(x, "epsilon is %g", (double)epsilon);
    axes a = {.keep = true};
    xg_status st = need_f32(x, in);
    if (!st) st = xg_ox_axis(x, xg_ox_int(x, "axis", -1), rank, &first);
    if (st) return st;
    for (uint32_t i = first; i < rank; i++) a.list[a.n++] = i;
    st = combine(x, XG_OP_Mul, in, in, v);
    if (!st) st = reduce_kept(x, XG_OP_ReduceMean, &a, &v, "mean");
    sum = xg_ox_temp(x, 0, "moment");
    if (!st) st = combine(x, XG_OP_Add, v, xg_ox_scalar(x, epsilon), sum);
    v = sum;
    if (!st) st = apply(x, XG_OP_Sqrt, &v, "root");
    if (!st) st = combine(x, XG_OP_Div, in, v, y);
    return st ? st : combine(x, XG_OP_Mul, y, xg_ox_in(x, 1), xg_ox_out(x, 0));
}

/* A vector of one value for each channel, as [C,1,1..] for values [N,C,..]. */
static xg_status per_channel(xg_onnx *x, uint32_t i, int64_t channels, uint32_t rank,
                             uint32_t *out) {
    int64_t dim[XG_RANK_MAX];
    *out = xg_ox_in(x, i);
    if (xg_tensor_elems(xg_ox_tensor(x, *out)) != channels)
        return xg_ox_bad(x, "input %u has %lld values for %lld channels", i,
                         (long long)xg_tensor_elems(xg_ox_tensor(x, *out)), (long long)channels);
    for (uint32_t k = 0; k + 1 < rank; k++) dim[k] = k ? 1 : channels;
    return xg_ox_reshaped(x, *out, dim, rank - 1, out);
}

xg_status xg_ox_instance_norm(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), rank = xg_ox_tensor(x, in)->rank, scale, shift,
             y = xg_ox_temp(x, 0, "normal"), count = 0;
    int64_t list[XG_RANK_MAX];
    if (rank < 3) return xg_ox_bad(x, "input with %u axes, expected 3 or more", rank);
    int64_t channels = xg_ox_tensor(x, in)->dim[1];
    for (uint32_t i = 2; i < rank; i++) list[count++] = i;
    xg_status st = need_f32(x, in);
    if (!st) st = per_channel(x, 1, channels, rank, &scale);
    if (!st) st = per_channel(x, 2, channels, rank, &shift);
    if (!st) st = normalize(x, in, list, count, xg_ox_float(x, "epsilon", 1e-5f), y);
    return st ? st : scale_shift(x, y, scale, shift, xg_ox_out(x, 0));
}

/* [N,C,..] as [N,groups,the rest], normalised, and back. Before opset 21 scale and bias have one
 * value for each group. */
xg_status xg_ox_group_norm(xg_onnx *x, int arg) {
    (void)arg;
    static const int64_t last[1] = {2};
    uint32_t in = xg_ox_in(x, 0), rank = xg_ox_tensor(x, in)->rank, cut = xg_ox_temp(x, 0, "cut"),
             normal = xg_ox_temp(x, 0, "normal"), scale, shift;
    int64_t dim[XG_RANK_MAX], groups = xg_ox_int(x, "num_groups", 0), each;
    if (rank < 3) return xg_ox_bad(x, "input with %u axes, expected 3 or more", rank);
    memcpy(dim, xg_ox_tensor(x, in)->dim, sizeof dim);
    if (groups < 1 || dim[1] % groups)
        return xg_ox_bad(x, "%lld channels in %lld groups", (long long)dim[1], (long long)groups);
    each = xg_tensor_elems(xg_ox_tensor(x, in)) / dim[0] / groups;
    int64_t flat[3] = {dim[0], groups, each};
    bool whole = xg_tensor_elems(xg_ox_tensor(x, xg_ox_in(x, 1))) == dim[1];
    xg_status st = need_f32(x, in);
    if (!st) st = xg_ox_reshape(x, in, flat, 3, cut);
    if (!st) st = normalize(x, cut, last, 1, xg_ox_float(x, "epsilon", 1e-5f), normal);
    if (!st) st = per_channel(x, 1, whole ? dim[1] : groups, whole ? rank : 3, &scale);
    if (!st) st = per_channel(x, 2, whole ? dim[1] : groups, whole ? rank : 3, &shift);
    if (st) return st;
    uint32_t step = xg_ox_temp(x, 0, whole ? "back" : "grouped");
    if (whole) {
        st = xg_ox_reshape(x, normal, dim, rank, step);
        return st ? st : scale_shift(x, step, scale, shift, xg_ox_out(x, 0));
    }
    st = scale_shift(x, normal, scale, shift, step);
    return st ? st : xg_ox_reshape(x, step, dim, rank, xg_ox_out(x, 0));
}

/* ONNX divides by (deviation + 1e-9), which differs only where the deviation vanishes. */
xg_status xg_ox_mvn(xg_onnx *x, int arg) {
    (void)arg;
    static const int64_t usual[3] = {0, 2, 3};
    uint32_t in = xg_ox_in(x, 0), n, rank = xg_ox_tensor(x, in)->rank, count = 0;
    const int64_t *list = xg_ox_ints(x, "axes", &n);
    int64_t own[XG_RANK_MAX];
    bool over[XG_RANK_MAX] = {0};
    if (!xg_ox_attr(x, "axes")) list = usual, n = 3;
    xg_status st = need_f32(x, in);
    for (uint32_t i = 0; i < n && !st; i++) {
        uint32_t axis;
        st = xg_ox_axis(x, list[i], rank, &axis);
        if (!st) over[axis] = true;
    }
    for (uint32_t i = 0; i < rank; i++)
        if (over[i]) own[count++] = i;
    if (!st && !count) st = xg_ox_bad(x, "no axes");
    return st ? st : normalize(x, in, own, count, 1e-18f, xg_ox_out(x, 0));
}
