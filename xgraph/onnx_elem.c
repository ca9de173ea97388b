/* Element-wise operators, Softmax and reductions. */
#include "xgraph/onnx_import.h"

#include <float.h>
#include <math.h>
#include <string.h>

xg_status xg_ox_unary(xg_onnx *x, int op) {
    uint32_t in = xg_ox_in(x, 0), n = xg_ox_node(x, (xg_op)op, &in, 1, xg_ox_out(x, 0));
    const xg_node *node = xg_nodep(x->g, n);
    if (op == XG_OP_LeakyRelu) xg_set_af(node, XG_ATTR_alpha, xg_ox_float(x, "alpha", 0.01f));
    if (op == XG_OP_Elu) xg_set_af(node, XG_ATTR_alpha, xg_ox_float(x, "alpha", 1.0f));
    if (op == XG_OP_HardSigmoid) {
        xg_set_af(node, XG_ATTR_alpha, xg_ox_float(x, "alpha", 0.2f));
        xg_set_af(node, XG_ATTR_beta, xg_ox_float(x, "beta", 0.5f));
    }
    if (xg_ox_tensor(x, in)->dtype != XG_F32)
        return xg_ox_refuse(x, "%s values", xg_dtype_name(xg_ox_tensor(x, in)->dtype));
    return xg_ox_done(x, n);
}

/* Neg and Abs of plain integers: 0 - x, and the larger of the two. */
xg_status xg_ox_sign(xg_onnx *x, int op) {
    uint32_t in[2] = {XG_NONE, xg_ox_in(x, 0)}, out = xg_ox_out(x, 0);
    const xg_tensor *t = xg_ox_tensor(x, in[1]);
    if (t->dtype != XG_I32 && t->dtype != XG_I64) return xg_ox_unary(x, op);
    void *zero = xg_alloc(x->a, 8);
    in[0] = xg_graph_add_const(x->g, NULL, t->dtype, 0, NULL, zero, NULL);
    uint32_t less = op == XG_OP_Neg ? out : xg_ox_temp(x, 0, "negated");
    xg_status st = xg_ox_simple(x, XG_OP_Sub, in, 2, less);
    if (st || op == XG_OP_Neg) return st;
    uint32_t both[2] = {in[1], less};
    return xg_ox_simple(x, XG_OP_Max, both, 2, out);
}

/* Clip of output 0 to real bounds. On integers with a scale the bounds become quantised values. */
static xg_status clip_to(xg_onnx *x, float lo, float hi) {
    uint32_t in = xg_ox_in(x, 0);
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (t->dtype != XG_F32 && (!t->quant || t->quant->axis >= 0))
        return xg_ox_refuse(x, "%s values without a scale", xg_dtype_name(t->dtype));
    if (isnan(lo) || isnan(hi)) return xg_ox_bad(x, "a bound is not a number");
    uint32_t n = xg_ox_node(x, XG_OP_Clip, &in, 1, xg_ox_out(x, 0));
    const xg_node *node = xg_nodep(x->g, n);
    t = xg_ox_tensor(x, in);
    if (t->dtype != XG_F32) {
        int32_t least, most;
        xg_dtype_range(t->dtype, &least, &most);
        xg_set_ai(node, XG_ATTR_lo,
                  xg_quantize_f32(lo, t->quant->scale[0], t->quant->zp[0], least, most));
        xg_set_ai(node, XG_ATTR_hi,
                  xg_quantize_f32(hi, t->quant->scale[0], t->quant->zp[0], least, most));
    } else {
        xg_set_af(node, XG_ATTR_min, lo);
        xg_set_af(node, XG_ATTR_max, hi);
    }
    return xg_ox_done(x, n);
}

xg_status xg_ox_relu(xg_onnx *x, int arg) {
    (void)arg;
    return clip_to(x, 0, INFINITY);
}

/* Clip of raw 8-bit integers (opset 12): the bounds are quantised values already. */
static xg_status clip_codes(xg_onnx *x, xg_dtype type) {
    int32_t bound[2];
    xg_dtype_range(type, &bound[0], &bound[1]);
    for (uint32_t i = 0; i < 2; i++) {
        const int64_t *v;
        uint32_t count;
        xg_status st = xg_ox_const_ints(x, i + 1, "a bound", &v, &count);
        if (st) return st;
        if (count > 1) return xg_ox_bad(x, "a bound has %u values", count);
        if (count) bound[i] = (int32_t)v[0]; /* of the same 8-bit type */
    }
    uint32_t in = xg_ox_in(x, 0), n = xg_ox_node(x, XG_OP_Clip, &in, 1, xg_ox_out(x, 0));
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_lo, bound[0]);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_hi, bound[1]);
    return xg_ox_done(x, n);
}

xg_status xg_ox_clip(xg_onnx *x, int arg) {
    (void)arg;
    float lo = xg_ox_float(x, "min", -INFINITY), hi = xg_ox_float(x, "max", INFINITY);
    const xg_tensor *t = xg_ox_tensor(x, xg_ox_in(x, 0));
    if (xg_dtype_is_int8(t->dtype)) return clip_codes(x, t->dtype);
    if (t->dtype != XG_F32) return xg_ox_refuse(x, "%s values", xg_dtype_name(t->dtype));
    xg_status st = xg_ox_const_float(x, 1, "the lower bound", lo, &lo);
    if (!st) st = xg_ox_const_float(x, 2, "the upper bound", hi, &hi);
    return st ? st : clip_to(x, lo <= -FLT_MAX ? -INFINITY : lo, hi >= FLT_MAX ? INFINITY : hi);
}

xg_status xg_ox_reciprocal(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_scalar(x, 1.0f), xg_ox_in(x, 0)};
    return xg_ox_simple(x, XG_OP_Div, in, 2, xg_ox_out(x, 0));
}

static xg_status no_raw_int8(xg_onnx *x, uint32_t in) {
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (xg_dtype_is_int8(t->dtype) || t->dtype == XG_I16 || t->dtype == XG_BOOL)
        return xg_ox_refuse(x, "arithmetic on %s values ('%s')", xg_dtype_name(t->dtype), t->name);
    return XG_OK;
}

xg_status xg_ox_aligned(xg_onnx *x, uint32_t a, uint32_t *b) {
    const xg_tensor *ta = xg_ox_tensor(x, a), *tb = xg_ox_tensor(x, *b);
    if (x->opset >= 7 || !xg_ox_int(x, "broadcast", 0) || !xg_ox_attr(x, "axis")) return XG_OK;
    uint32_t axis, rank = tb->rank;
    int64_t dim[XG_RANK_MAX];
    xg_status st = xg_ox_axis(x, xg_ox_int(x, "axis", 0), ta->rank, &axis);
    if (st) return st;
    if (axis + rank > ta->rank)
        return xg_ox_bad(x, "%u axes from axis %u on, the other operand has %u", rank, axis,
                         ta->rank);
    memcpy(dim, tb->dim, sizeof dim);
    while (axis + rank < ta->rank) dim[rank++] = 1;
    if (rank == tb->rank) return XG_OK;
    uint32_t from = *b;
    *b = xg_ox_temp(x, 0, "aligned");
    return xg_ox_reshape(x, from, dim, rank, *b);
}

xg_status xg_ox_binary(xg_onnx *x, int op) {
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)};
    xg_status st = no_raw_int8(x, in[0]);
    if (!st) st = no_raw_int8(x, in[1]);
    if (!st) st = xg_ox_aligned(x, in[0], &in[1]);
    const xg_tensor *a = xg_ox_tensor(x, in[0]), *b = xg_ox_tensor(x, in[1]);
    if (!st && a->dtype != b->dtype)
        st = xg_ox_refuse(x, "operands of types %s and %s", xg_dtype_name(a->dtype),
                          xg_dtype_name(b->dtype));
    return st ? st : xg_ox_simple(x, (xg_op)op, in, 2, xg_ox_out(x, 0));
}

/* op(op(in0, in1), in2) ... into tensor out. */
static xg_status chain(xg_onnx *x, xg_op op, uint32_t out) {
    uint32_t n = (uint32_t)x->node->n_input, acc = xg_ox_in(x, 0);
    for (uint32_t i = 0; i < n; i++) {
        if (xg_ox_in(x, i) == XG_NONE) return xg_ox_bad(x, "input %u is absent", i);
        xg_status st = no_raw_int8(x, xg_ox_in(x, i));
        if (st) return st;
    }
    for (uint32_t i = 1; i < n; i++) {
        uint32_t in[2] = {acc, xg_ox_in(x, i)};
        acc = i + 1 == n ? out : xg_ox_temp(x, 0, "part");
        xg_status st = xg_ox_simple(x, op, in, 2, acc);
        if (st) return st;
    }
    return XG_OK;
}

xg_status xg_ox_nary(xg_onnx *x, int op) {
    if (x->node->n_input == 1) return xg_ox_alias(x, 0, xg_ox_in(x, 0));
    return chain(x, (xg_op)op, xg_ox_out(x, 0));
}

xg_status xg_ox_mean(xg_onnx *x, int arg) {
    (void)arg;
    if (x->node->n_input == 1) return xg_ox_alias(x, 0, xg_ox_in(x, 0));
    uint32_t sum = xg_ox_temp(x, 0, "sum");
    xg_status st = chain(x, XG_OP_Add, sum);
    uint32_t in[2] = {sum, xg_ox_scalar(x, (float)x->node->n_input)};
    return st ? st : xg_ox_simple(x, XG_OP_Div, in, 2, xg_ox_out(x, 0));
}

/* Softmax over the axis (opset 13), or over all axes from it on taken as one (before). */
xg_status xg_ox_softmax(xg_onnx *x, int logarithm) {
    uint32_t in = xg_ox_in(x, 0), axis, out = xg_ox_out(x, 0), rank = xg_ox_tensor(x, in)->rank;
    xg_status st = xg_ox_axis(x, xg_ox_int(x, "axis", x->opset < 13 ? 1 : -1), rank, &axis);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t dim[XG_RANK_MAX], flat[2] = {1, 1};
    memcpy(dim, t->dim, sizeof dim);
    for (uint32_t i = 0; i < rank; i++) flat[i >= axis] *= dim[i];
    bool flatten = x->opset < 13 && flat[1] != dim[axis];
    uint32_t from = in, to = flatten || logarithm ? xg_ox_temp(x, 0, "softmax") : out;
    if (flatten) {
        from = xg_ox_temp(x, 0, "flat");
        st = xg_ox_reshape(x, in, flat, 2, from);
        if (st) return st;
    }
    uint32_t n = xg_ox_node(x, XG_OP_Softmax, &from, 1, to);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_axis, flatten ? 1 : axis);
    st = xg_ox_done(x, n);
    if (!st && flatten) {
        uint32_t back = logarithm ? xg_ox_temp(x, 0, "shaped") : out;
        st = xg_ox_reshape(x, to, dim, rank, back);
        to = back;
    }
    return st || !logarithm ? st : xg_ox_simple(x, XG_OP_Log, &to, 1, out);
}

/* Reductions keep their axes; without keepdims a reshape follows. */
xg_status xg_ox_reduce(xg_onnx *x, int op) {
    uint32_t in = xg_ox_in(x, 0), n, rank = xg_ox_tensor(x, in)->rank;
    const int64_t *list;
    xg_status st = xg_ox_const_ints(x, 1, "the axes", &list, &n);
    if (st) return st;
    if (xg_ox_in(x, 1) == XG_NONE) list = xg_ox_ints(x, "axes", &n);
    if (n > XG_RANK_MAX) return xg_ox_bad(x, "%u axes", n);
    if (n == 0 && xg_ox_int(x, "noop_with_empty_axes", 0)) return xg_ox_alias(x, 0, in);
    int64_t axes[XG_RANK_MAX], dim[XG_RANK_MAX];
    bool gone[XG_RANK_MAX] = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t a;
        st = xg_ox_axis(x, list[i], rank, &a);
        if (st) return st;
        gone[a] = true;
    }
    uint32_t count = 0, left = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (gone[i] || n == 0)
            axes[count++] = i;
        else
            dim[left++] = xg_ox_tensor(x, in)->dim[i];
    st = no_raw_int8(x, in);
    if (st) return st;
    bool keep = xg_ox_int(x, "keepdims", 1) != 0;
    uint32_t y = keep ? xg_ox_out(x, 0) : xg_ox_temp(x, 0, "kept"),
             node = xg_ox_node(x, (xg_op)op, &in, 1, y);
    xg_set_ais(x->g, xg_nodep(x->g, node), XG_ATTR_axes, axes, count);
    st = xg_ox_done(x, node);
    return st || keep ? st : xg_ox_reshape(x, y, dim, left, xg_ox_out(x, 0));
}

xg_status xg_ox_cast(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0);
    int32_t to = (int32_t)xg_ox_int(x, "to", 0);
    xg_dtype dtype;
    if (!xg_ox_dtype(to, &dtype)) return xg_ox_refuse(x, "to %s", xg_ox_dtype_name(to));
    if (dtype == xg_ox_tensor(x, in)->dtype) return xg_ox_alias(x, 0, in);
    uint32_t n = xg_ox_node(x, XG_OP_Cast, &in, 1, xg_ox_out(x, 0));
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_to, dtype);
    return xg_ox_done(x, n);
}
