/* Quantised operators: QuantizeLinear, DequantizeLinear and the QLinear family. Scales become the
 * quant of a tensor. */
#include "xgraph/onnx_import.h"

#include "xgraph/const_eval.h"

#include <math.h>
#include <string.h>

/* ---- scale and zero point ---- */

static xg_status read_scales(xg_onnx *x, const xg_tensor *s, int64_t *n, float **scale) {
    if (!s->data) return xg_ox_refuse(x, "scale '%s' must be constant", s->name);
    if (s->dtype != XG_F32)
        return xg_ox_bad(x, "scale '%s' is %s, must be float", s->name, xg_dtype_name(s->dtype));
    *n = xg_tensor_elems(s);
    if (*n < 1 || s->rank > 1)
        return xg_ox_refuse(x, "scale '%s' must be a scalar or have one axis", s->name);
    *scale = xg_memdup(x->a, s->data, (size_t)*n * sizeof(float));
    for (int64_t i = 0; i < *n; i++)
        if (!((*scale)[i] > 0) || !isfinite((*scale)[i]))
            return xg_ox_bad(x, "scale '%s'[%lld] is %g; must be positive and finite", s->name,
                             (long long)i, (double)(*scale)[i]);
    return XG_OK;
}

static xg_status read_zero_points(xg_onnx *x, const xg_tensor *z, int64_t n, int32_t *zp) {
    if (!z->data) return xg_ox_refuse(x, "zero point '%s' must be constant", z->name);
    if (z->dtype != XG_I8 && z->dtype != XG_U8 && z->dtype != XG_I16 && z->dtype != XG_I32)
        return xg_ox_refuse(x, "zero point '%s' has type %s", z->name, xg_dtype_name(z->dtype));
    int64_t m = xg_tensor_elems(z);
    if (m != n && m != 1)
        return xg_ox_bad(x, "zero point '%s' has %lld values for %lld scales", z->name,
                         (long long)m, (long long)n);
    for (int64_t i = 0; i < n; i++) zp[i] = (int32_t)xg_const_int(z, m == 1 ? 0 : i);
    return XG_OK;
}

xg_status xg_ox_quant(xg_onnx *x, uint32_t iscale, uint32_t izp, int32_t axis, int64_t channels,
                      xg_dtype none, const xg_quant **q, xg_dtype *dtype) {
    uint32_t s = xg_ox_in(x, iscale), z = xg_ox_in(x, izp);
    int64_t n = 0;
    float *scale = NULL;
    if (s == XG_NONE) return xg_ox_bad(x, "input %u (scale) is absent", iscale);
    xg_status st = read_scales(x, xg_ox_tensor(x, s), &n, &scale);
    if (st) return st;
    int32_t *zp = xg_newn(x->a, int32_t, (size_t)n);
    *dtype = z == XG_NONE ? none : xg_ox_tensor(x, z)->dtype;
    if (z != XG_NONE) st = read_zero_points(x, xg_ox_tensor(x, z), n, zp);
    if (st) return st;
    if (xg_ox_origin_of(x, z) == XG_OX_U16) {
        *dtype = XG_I16;
        for (int64_t i = 0; i < n; i++) zp[i] -= 32768;
    }
    if (n > 1 && (axis < 0 || n != channels))
        return xg_ox_bad(x, "%lld scales, expected 1%s", (long long)n,
                         axis < 0 ? "" : " or one for each channel");
    *q = n == 1 ? xg_quant_scalar(x->a, scale[0], zp[0])
                : xg_quant_new(x->a, axis, (uint32_t)n, scale, zp);
    return XG_OK;
}

/* Operators that hand their input's scale on. */
static bool keeps_quant(const xg_node *n) {
    return xg_ops[n->op].rule == XG_RULE_KEEP;
}

void xg_ox_set_quant(xg_onnx *x, uint32_t tensor, xg_dtype dtype, const xg_quant *q) {
    xg_tensor *t = xg_ox_tensor(x, tensor);
    t->dtype = dtype;
    t->quant = q;
}

/* Gives a tensor without scale its scale, and what it was moved from, too. */
static void spread_quant(xg_onnx *x, uint32_t tensor, const xg_quant *q) {
    for (;;) {
        xg_tensor *t = xg_ox_tensor(x, tensor);
        if (t->quant) return;
        t->quant = q;
        if (t->producer == XG_NONE) return;
        const xg_node *n = xg_nodep(x->g, t->producer);
        if (!keeps_quant(n) || q->axis >= 0) return;
        tensor = n->in[0];
    }
}

static uint32_t identity_table(xg_onnx *x, xg_dtype dtype) {
    int32_t lo, hi;
    xg_dtype_range(dtype, &lo, &hi);
    uint8_t *table = xg_alloc(x->a, 256);
    for (int32_t i = 0; i < 256; i++) table[i] = (uint8_t)(lo + i);
    const int64_t dim[1] = {256};
    return xg_graph_add_const(x->g, NULL, dtype, 1, dim, table, NULL);
}

xg_status xg_ox_read_as(xg_onnx *x, uint32_t in, const xg_quant *q, xg_dtype dtype, uint32_t *out) {
    const xg_tensor *t = xg_ox_tensor(x, in);
    *out = in;
    if (t->dtype != dtype)
        return xg_ox_bad(x, "'%s' holds %s, its zero point is %s", t->name, xg_dtype_name(t->dtype),
                         xg_dtype_name(dtype));
    if (!t->quant) {
        spread_quant(x, in, q);
        return XG_OK;
    }
    if (xg_quant_equal(t->quant, q)) return XG_OK;
    if (t->data) {
        *out = xg_graph_add_const(x->g, t->name, t->dtype, t->rank, t->dim, t->data, q);
        return XG_OK;
    }
    if (!xg_dtype_is_int8(dtype) || q->axis >= 0 || t->quant->axis >= 0)
        return xg_ox_refuse(
            x,
            "'%s' is written with scale %.9g zero point %d, but read with scale %.9g zero point %d",
            t->name, (double)t->quant->scale[0], t->quant->zp[0], (double)q->scale[0], q->zp[0]);
    xg_ox_log(x,
              "%s: '%s' is written with scale %a zero point %d, but read with scale %a zero point "
              "%d; kept as it is",
              x->where, t->name, (double)t->quant->scale[0], t->quant->zp[0], (double)q->scale[0],
              q->zp[0]);
    uint32_t pair[2] = {in, identity_table(x, dtype)};
    *out = xg_ox_temp(x, 0, "read");
    xg_ox_set_quant(x, *out, dtype, q);
    return xg_ox_simple(x, XG_OP_Lut, pair, 2, *out);
}

/* ---- QuantizeLinear, DequantizeLinear ---- */

/* The axis attribute as it applies to x; -1 for a scalar scale. */
static xg_status quant_axis(xg_onnx *x, const xg_tensor *t, int32_t *axis, int64_t *channels) {
    uint32_t s = xg_ox_in(x, 1), a = 0;
    *axis = -1;
    *channels = 1;
    if (xg_ox_int(x, "block_size", 0)) return xg_ox_refuse(x, "block-wise scales");
    if (s == XG_NONE || xg_tensor_elems(xg_ox_tensor(x, s)) == 1) return XG_OK;
    int64_t said = xg_ox_int(x, "axis", 1);
    if (t->rank == 1 && !xg_ox_attr(x, "axis")) said = 0; /* vectors: there is only one axis */
    xg_status st = xg_ox_axis(x, said, t->rank, &a);
    if (st) return st;
    *axis = (int32_t)a;
    *channels = t->dim[a];
    return XG_OK;
}

xg_status xg_ox_quantize(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0);
    if (xg_ox_origin_of(x, xg_ox_in(x, 2)) == XG_OX_4BIT)
        return xg_ox_refuse(x, "quantisation to 4 bits");
    const xg_tensor *t = xg_ox_tensor(x, in);
    int32_t axis;
    int64_t channels;
    const xg_quant *q;
    xg_dtype dtype, none = XG_U8;
    if (xg_ox_attr(x, "output_dtype") && xg_ox_int(x, "output_dtype", 0) &&
        !xg_ox_dtype((int32_t)xg_ox_int(x, "output_dtype", 0), &none))
        return xg_ox_refuse(x, "output_dtype %s",
                            xg_ox_dtype_name((int32_t)xg_ox_int(x, "output_dtype", 0)));
    xg_status st = quant_axis(x, t, &axis, &channels);
    if (!st) st = xg_ox_quant(x, 1, 2, axis, channels, none, &q, &dtype);
    if (st) return st;
    if (dtype == XG_F32 || dtype == XG_I64 || dtype == XG_BOOL)
        return xg_ox_refuse(x, "quantisation to %s", xg_dtype_name(dtype));
    uint32_t out = xg_ox_out(x, 0);
    xg_ox_set_quant(x, out, dtype, q);
    if (t->dtype == XG_I32) return xg_ox_refuse(x, "quantisation of int32 values");
    return xg_ox_simple(x, XG_OP_Quantize, &in, 1, out);
}

/* A constant of 16 unsigned bits as i16, 32768 less. */
static uint32_t signed16(xg_onnx *x, uint32_t in) {
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t n = xg_tensor_elems(t);
    int16_t *data = xg_newn(x->a, int16_t, (size_t)n);
    for (int64_t i = 0; i < n; i++) data[i] = (int16_t)(((const int32_t *)t->data)[i] - 32768);
    return xg_graph_add_const(x->g, t->name, XG_I16, t->rank, t->dim, data, NULL);
}

xg_status xg_ox_dequantize(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0);
    if (xg_ox_origin_of(x, in) == XG_OX_U16) {
        if (xg_ox_origin_of(x, xg_ox_in(x, 2)) != XG_OX_U16)
            return xg_ox_refuse(x, "uint16 without a zero point of that type");
        in = signed16(x, in);
    }
    const xg_tensor *t = xg_ox_tensor(x, in);
    int32_t axis;
    int64_t channels;
    const xg_quant *q;
    xg_dtype dtype;
    if (t->dtype == XG_F32 || t->dtype == XG_I64 || t->dtype == XG_BOOL)
        return xg_ox_bad(x, "'%s' holds %s, nothing to dequantise", t->name,
                         xg_dtype_name(t->dtype));
    xg_status st = quant_axis(x, t, &axis, &channels);
    if (!st) st = xg_ox_quant(x, 1, 2, axis, channels, t->dtype, &q, &dtype);
    if (!st) st = xg_ox_read_as(x, in, q, dtype, &in);
    return st ? st : xg_ox_simple(x, XG_OP_Dequantize, &in, 1, xg_ox_out(x, 0));
}

/* ---- QLinear* ---- */

/* Input i read under the per-tensor scale and zero point of inputs i + 1 and i + 2. */
static xg_status quantised_input(xg_onnx *x, uint32_t i, uint32_t iscale, uint32_t izp,
                                 uint32_t *out) {
    const xg_quant *q;
    xg_dtype dtype;
    *out = xg_ox_in(x, i);
    if (*out == XG_NONE) return xg_ox_bad(x, "input %u is absent", i);
    xg_status st = xg_ox_quant(x, iscale, izp, -1, 1, xg_ox_tensor(x, *out)->dtype, &q, &dtype);
    return st ? st : xg_ox_read_as(x, *out, q, dtype, out);
}

/* A tensor with the result's per-tensor scale and zero point: ONNX output 0, or a step before it.
 */
static xg_status quantised_result(xg_onnx *x, uint32_t iscale, uint32_t izp, uint32_t tensor) {
    const xg_quant *q;
    xg_dtype dtype;
    xg_status st = xg_ox_quant(x, iscale, izp, -1, 1, XG_U8, &q, &dtype);
    if (!st) xg_ox_set_quant(x, tensor, dtype, q);
    return st;
}

/* Bias of an integer convolution: i32 with scale sx * sw per output channel, zero point 0. */
static xg_status integer_bias(xg_onnx *x, uint32_t bias, const xg_quant *qx, const xg_quant *qw,
                              int64_t channels, uint32_t *out) {
    const xg_tensor *b = xg_ox_tensor(x, bias);
    *out = bias;
    if (!b->data || b->dtype != XG_I32)
        return xg_ox_refuse(x, "bias '%s' must be constant int32", b->name);
    if (xg_tensor_elems(b) != channels)
        return xg_ox_refuse(x, "bias '%s' has %lld values for %lld channels", b->name,
                            (long long)xg_tensor_elems(b), (long long)channels);
    float *s = xg_newn(x->a, float, qw->n);
    for (uint32_t i = 0; i < qw->n; i++) s[i] = qx->scale[0] * qw->scale[i];
    for (uint32_t i = 0; i < qw->n; i++)
        if (!(s[i] > 0))
            return xg_ox_bad(x, "the product of input and weight scale underflows to 0");
    const xg_quant *q = xg_quant_new(x->a, qw->n > 1 ? 0 : -1, qw->n, s, NULL);
    *out = xg_graph_add_const(x->g, b->name, XG_I32, 1, &channels, b->data, q);
    x->g->tensor.v[*out].onnx = b->onnx;
    return XG_OK;
}

/* Weights [O, I/g, (kh,) kw] of input i under scale and zero point i+1, i+2, as constant OHWI. */
static xg_status integer_weights(xg_onnx *x, uint32_t i, uint32_t *w) {
    const xg_quant *q;
    xg_dtype dtype;
    static const int64_t ohwi[4] = {0, 2, 3, 1};
    *w = xg_ox_in(x, i);
    if (*w == XG_NONE) return xg_ox_bad(x, "input %u is absent", i);
    const xg_tensor *t = xg_ox_tensor(x, *w);
    if (t->rank != 3 && t->rank != 4)
        return xg_ox_refuse(x, "weights with %d axes; 1-D and 2-D are supported", t->rank);
    int64_t dim[4] = {t->dim[0], t->dim[1], t->rank == 3 ? 1 : t->dim[2], t->dim[t->rank - 1]};
    uint32_t rank = t->rank;
    xg_status st = xg_ox_quant(x, i + 1, i + 2, 0, t->dim[0], t->dtype, &q, &dtype);
    if (!st) st = xg_ox_read_as(x, *w, q, dtype, w);
    if (!st && rank == 3) st = xg_ox_reshaped(x, *w, dim, 4, w);
    return st ? st : xg_ox_permuted(x, *w, ohwi, w);
}

xg_status xg_ox_qlinear_conv(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[3], wide, nin = 2, y = xg_ox_temp(x, 0, "nhwc");
    xg_status st = quantised_input(x, 0, 1, 2, &wide);
    if (!st) st = integer_weights(x, 3, &in[1]);
    if (!st) st = quantised_result(x, 6, 7, y);
    if (!st) st = xg_ox_nhwc(x, wide, &in[0]);
    if (st) return st;
    uint32_t rank = xg_ox_tensor(x, wide)->rank;
    const xg_tensor *t = xg_ox_tensor(x, in[0]), *w = xg_ox_tensor(x, in[1]);
    if (xg_ox_in(x, 8) != XG_NONE) {
        st = integer_bias(x, xg_ox_in(x, 8), t->quant, w->quant, w->dim[0], &in[2]);
        nin = 3;
    }
    xg_window win;
    t = xg_ox_tensor(x, in[0]);
    w = xg_ox_tensor(x, in[1]);
    int64_t hw[2] = {t->dim[1], t->dim[2]}, k[2] = {w->dim[1], w->dim[2]};
    if (!st) st = xg_ox_window(x, rank - 2, hw, k, &win);
    if (st) return st;
    uint32_t n = xg_ox_node(x, XG_OP_Conv, in, nin, y);
    xg_set_window(xg_nodep(x->g, n), &win);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_group, xg_ox_int(x, "group", 1));
    st = xg_ox_done(x, n);
    return st ? st : xg_ox_from_nhwc(x, y, rank, 0);
}

xg_status xg_ox_qlinear_matmul(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2], out = xg_ox_out(x, 0);
    const xg_quant *q;
    xg_dtype dtype;
    xg_status st = quantised_input(x, 0, 1, 2, &in[0]);
    if (st) return st;
    in[1] = xg_ox_in(x, 3);
    if (in[1] == XG_NONE) return xg_ox_bad(x, "input 3 is absent");
    const xg_tensor *b = xg_ox_tensor(x, in[1]);
    if (b->rank < 2) return xg_ox_refuse(x, "a matrix with %d axes", b->rank);
    st = xg_ox_quant(x, 4, 5, b->rank - 1, b->dim[b->rank - 1], b->dtype, &q, &dtype);
    if (!st) st = xg_ox_read_as(x, in[1], q, dtype, &in[1]);
    if (!st) st = quantised_result(x, 6, 7, out);
    return st ? st : xg_ox_simple(x, XG_OP_MatMul, in, 2, out);
}

/* y = a b + c with a [M,K]: a convolution of 1x1 on [M,1,1,K], as c is added inside the
 * accumulator. */
static xg_status gemm_as_conv(xg_onnx *x, uint32_t a, uint32_t w, uint32_t bias, uint32_t y) {
    const xg_tensor *ta = xg_ox_tensor(x, a), *tw = xg_ox_tensor(x, w);
    int64_t wide[4] = {ta->dim[0], 1, 1, ta->dim[1]}, kernel[4] = {tw->dim[0], 1, 1, tw->dim[1]};
    int64_t result[2] = {ta->dim[0], tw->dim[0]};
    uint32_t in[3], nin = bias == XG_NONE ? 2 : 3, out = xg_ox_temp(x, 0, "nhwc");
    in[0] = xg_ox_temp(x, 0, "in");
    xg_status st = xg_ox_reshape(x, a, wide, 4, in[0]);
    if (!st) st = xg_ox_reshaped(x, w, kernel, 4, &in[1]);
    if (!st && nin == 3)
        st = integer_bias(x, bias, xg_ox_tensor(x, a)->quant, xg_ox_tensor(x, in[1])->quant,
                          result[1], &in[2]);
    if (st) return st;
    xg_ox_set_quant(x, out, xg_ox_tensor(x, y)->dtype, xg_ox_tensor(x, y)->quant);
    xg_ox_tensor(x, out)->onnx = xg_ox_tensor(x, y)->onnx;
    st = xg_ox_simple(x, XG_OP_Conv, in, nin, out);
    return st ? st : xg_ox_reshape(x, out, result, 2, y);
}

xg_status xg_ox_qgemm(xg_onnx *x, int arg) {
    (void)arg;
    static const int64_t swap[2] = {1, 0};
    uint32_t a, b, out = xg_ox_out(x, 0);
    const xg_quant *q;
    xg_dtype dtype;
    if (xg_ox_float(x, "alpha", 1) != 1.0f)
        return xg_ox_refuse(x, "alpha %g; only 1", (double)xg_ox_float(x, "alpha", 1));
    if (xg_ox_in(x, 7) == XG_NONE) return xg_ox_refuse(x, "a float result (no output scale)");
    xg_status st = quantised_input(x, 0, 1, 2, &a);
    if (st) return st;
    b = xg_ox_in(x, 3);
    if (b == XG_NONE) return xg_ox_bad(x, "input 3 is absent");
    const xg_tensor *t = xg_ox_tensor(x, b);
    bool trans = xg_ox_int(x, "transB", 0) != 0;
    if (t->rank != 2 || xg_ox_tensor(x, a)->rank != 2)
        return xg_ox_bad(x, "matrices must have 2 axes");
    if (!t->data) return xg_ox_refuse(x, "matrix B '%s' must be constant", t->name);
    st = xg_ox_quant(x, 4, 5, trans ? 0 : 1, t->dim[trans ? 0 : 1], t->dtype, &q, &dtype);
    if (!st) st = xg_ox_read_as(x, b, q, dtype, &b);
    if (!st && !trans) st = xg_ox_permuted(x, b, swap, &b);
    if (!st && xg_ox_int(x, "transA", 0)) st = xg_ox_permuted(x, a, swap, &a);
    if (!st) st = quantised_result(x, 7, 8, out);
    return st ? st : gemm_as_conv(x, a, b, xg_ox_in(x, 6), out);
}

xg_status xg_ox_qlinear_binary(xg_onnx *x, int op) {
    uint32_t in[2], out = xg_ox_out(x, 0);
    xg_status st = quantised_input(x, 0, 1, 2, &in[0]);
    if (!st) st = quantised_input(x, 3, 4, 5, &in[1]);
    if (!st) st = quantised_result(x, 6, 7, out);
    return st ? st : xg_ox_simple(x, (xg_op)op, in, 2, out);
}

xg_status xg_ox_qlinear_concat(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t n = (uint32_t)x->node->n_input, count = (n - 2) / 3, axis, out = xg_ox_out(x, 0);
    if ((n - 2) % 3)
        return xg_ox_bad(x, "has %u inputs; expected scale, zero point, then three for each tensor",
                         n);
    uint32_t *in = xg_newn(x->a, uint32_t, count);
    xg_status st = quantised_result(x, 0, 1, out);
    for (uint32_t i = 0; i < count && !st; i++)
        st = quantised_input(x, 2 + 3 * i, 3 + 3 * i, 4 + 3 * i, &in[i]);
    if (!st) st = xg_ox_axis(x, xg_ox_int(x, "axis", 0), xg_ox_tensor(x, in[0])->rank, &axis);
    if (st) return st;
    uint32_t node = xg_ox_node(x, XG_OP_Concat, in, count, out);
    xg_set_ai(xg_nodep(x->g, node), XG_ATTR_axis, axis);
    return xg_ox_done(x, node);
}

xg_status xg_ox_qlinear_unary(xg_onnx *x, int op) {
    uint32_t in, out = xg_ox_out(x, 0);
    xg_status st = quantised_input(x, 0, 1, 2, &in);
    if (!st) st = quantised_result(x, 3, 4, out);
    if (st) return st;
    uint32_t n = xg_ox_node(x, (xg_op)op, &in, 1, out);
    if (op == XG_OP_LeakyRelu)
        xg_set_af(xg_nodep(x->g, n), XG_ATTR_alpha, xg_ox_float(x, "alpha", 0.01f));
    return xg_ox_done(x, n);
}

xg_status xg_ox_qlinear_softmax(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in, axis, out = xg_ox_out(x, 0);
    xg_status st = quantised_input(x, 0, 1, 2, &in);
    if (!st) st = quantised_result(x, 3, 4, out);
    if (!st) st = xg_ox_axis(x, xg_ox_int(x, "axis", -1), xg_ox_tensor(x, in)->rank, &axis);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t behind = 1;
    for (uint32_t i = axis + 1; i < t->rank; i++) behind *= t->dim[i];
    if (xg_ox_int(x, "opset", 13) < 13 && behind > 1)
        return xg_ox_refuse(x, "softmax over several axes (opset %lld)",
                            (long long)xg_ox_int(x, "opset", 13));
    uint32_t n = xg_ox_node(x, XG_OP_Softmax, &in, 1, out);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_axis, axis);
    return xg_ox_done(x, n);
}

/* Pools in NCHW or, with channels_last, NHWC. */
xg_status xg_ox_qlinear_pool(xg_onnx *x, int global) {
    uint32_t in, wide, y;
    bool last = xg_ox_int(x, "channels_last", 0) != 0;
    xg_status st = quantised_input(x, 0, 1, 2, &in);
    if (st) return st;
    uint32_t rank = xg_ox_tensor(x, in)->rank;
    if (last && rank != 4) return xg_ox_refuse(x, "channels_last with %u axes", rank);
    wide = in;
    if (!last) st = xg_ox_nhwc(x, in, &wide);
    y = last ? xg_ox_out(x, 0) : xg_ox_temp(x, 0, "nhwc");
    if (!st) st = quantised_result(x, 3, 4, y);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, wide);
    int64_t hw[2] = {t->dim[1], t->dim[2]};
    xg_window win = {
        .kh = (int32_t)hw[0], .kw = (int32_t)hw[1], .sh = 1, .sw = 1, .dh = 1, .dw = 1};
    if (!global) st = xg_ox_window(x, rank - 2, hw, NULL, &win);
    if (st) return st;
    uint32_t n = xg_ox_node(x, XG_OP_AvgPool, &wide, 1, y);
    xg_set_window(xg_nodep(x->g, n), &win);
    if (!global) {
        xg_set_ai(xg_nodep(x->g, n), XG_ATTR_ceil_mode, xg_ox_int(x, "ceil_mode", 0) != 0);
        xg_set_ai(xg_nodep(x->g, n), XG_ATTR_count_pad, xg_ox_int(x, "count_include_pad", 0) != 0);
    }
    st = xg_ox_done(x, n);
    return st || last ? st : xg_ox_from_nhwc(x, y, rank, 0);
}
