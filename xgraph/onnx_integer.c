/* ConvInteger, MatMulInteger, DynamicQuantizeLinear.
 *
 * An integer product has an i32 result: the integer operator whose output has the scale of input
 * times weights, so that requantisation multiplies by 1. What turns it into real values (Cast, Mul)
 * is taken in by the pass integer_products. DynamicQuantizeLinear before integer products only is
 * left out: the activation stays real, and calibration gives it a range.
 */
#include "xgraph/onnx_import.h"

#include "xgraph/const_eval.h"

#include <math.h>
#include <string.h>

/* ---- who reads an output ---- */

static bool is_op(const Xgonnx__Node *n, const char *op) {
    return n->op_type && !strcmp(n->op_type, op);
}

static bool integer_product(const Xgonnx__Node *n) {
    return is_op(n, "ConvInteger") || is_op(n, "MatMulInteger");
}

/* True when output i of the current node is no graph output and fits(reader, input) holds for all
 * readers. */
static bool read_only_by(const xg_onnx *x, uint32_t i, bool (*fits)(const Xgonnx__Node *, size_t)) {
    const Xgonnx__Graph *g = x->file->model->graph;
    if (!xg_ox_wants(x, i)) return true;
    const char *name = x->node->output[i];
    for (size_t k = 0; k < g->n_output; k++)
        if (g->output[k]->name && !strcmp(g->output[k]->name, name)) return false;
    for (size_t k = 0; k < g->n_node; k++)
        for (size_t j = 0; j < g->node[k]->n_input; j++)
            if (!strcmp(g->node[k]->input[j], name) && !fits(g->node[k], j)) return false;
    return true;
}

static bool as_data(const Xgonnx__Node *n, size_t input) {
    return integer_product(n) && input == 0;
}

static bool as_zero_point(const Xgonnx__Node *n, size_t input) {
    return integer_product(n) && input == 2;
}

static bool as_factor(const Xgonnx__Node *n, size_t input) {
    (void)input;
    return is_op(n, "Mul");
}

static bool as_real(const Xgonnx__Node *n, size_t input) {
    (void)input;
    return is_op(n, "Cast");
}

/* ---- products ---- */

/* Zero points of input i as i32: `most` of them or one; absent: 0. */
static xg_status zero_points(xg_onnx *x, uint32_t i, int64_t most, uint32_t *n, int32_t **zp) {
    const int64_t *v;
    xg_status st = xg_ox_const_ints(x, i, "the zero point", &v, n);
    if (st) return st;
    if (*n > 1 && *n != most)
        return xg_ox_refuse(x, "%u zero points, expected one or %lld", *n, (long long)most);
    *zp = xg_newn(x->a, int32_t, *n ? *n : 1);
    for (uint32_t k = 0; k < *n; k++) (*zp)[k] = (int32_t)v[k];
    if (*n == 0) *n = 1;
    return XG_OK;
}

/* Input 0 as integers with a scale: its own where it has one with this zero point, else 1. */
static xg_status activation(xg_onnx *x, uint32_t *out) {
    uint32_t in = xg_ox_in(x, 0), n = 0;
    int32_t *zp = NULL;
    xg_status st = zero_points(x, 2, 1, &n, &zp);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, in);
    bool own = t->quant && t->quant->axis < 0 && t->quant->zp[0] == zp[0];
    const xg_quant *q = own ? t->quant : xg_quant_scalar(x->a, 1, zp[0]);
    return xg_ox_read_as(x, in, q, t->dtype, out);
}

/* Input 1 with scale 1; zero points may stand along `axis`. */
static xg_status weights(xg_onnx *x, int32_t axis, uint32_t *out) {
    uint32_t in = xg_ox_in(x, 1), n = 0;
    int32_t *zp = NULL;
    const xg_tensor *t = xg_ox_tensor(x, in);
    xg_status st = zero_points(x, 3, t->dim[axis], &n, &zp);
    if (st) return st;
    float *one = xg_newn(x->a, float, n);
    for (uint32_t k = 0; k < n; k++) one[k] = 1;
    return xg_ox_read_as(x, in, xg_quant_new(x->a, n > 1 ? axis : -1, n, one, zp), t->dtype, out);
}

/* Sums of `terms` products must fit 31 bits; and 24 where somebody sees them other than as f32. */
static xg_status check_sum(xg_onnx *x, int64_t terms) {
    int64_t bound = terms > 1 << 20 ? INT64_MAX : terms * 255 * 255;
    if (bound > INT32_MAX) return xg_ox_refuse(x, "sums of %lld products", (long long)terms);
    if (bound >= 1 << 24 && !read_only_by(x, 0, as_real))
        return xg_ox_refuse(x, "sums of %lld products that are not cast to float",
                            (long long)terms);
    return XG_OK;
}

/* Float activations (a dropped DynamicQuantizeLinear) meet real weights. */
static xg_status agree(xg_onnx *x, uint32_t *in, uint32_t y) {
    const xg_tensor *a = xg_ox_tensor(x, in[0]);
    if (a->dtype != XG_F32) {
        xg_ox_set_quant(x, y, XG_I32, xg_quant_scalar(x->a, a->quant->scale[0], 0));
        return XG_OK;
    }
    uint32_t w = in[1];
    in[1] = xg_ox_temp(x, 0, "weights");
    return xg_ox_simple(x, XG_OP_Dequantize, &w, 1, in[1]);
}

static xg_status operands_are_8_bit(xg_onnx *x) {
    const xg_tensor *a = xg_ox_tensor(x, xg_ox_in(x, 0)), *b = xg_ox_tensor(x, xg_ox_in(x, 1));
    if ((a->dtype == XG_F32 || xg_dtype_is_int8(a->dtype)) && xg_dtype_is_int8(b->dtype))
        return XG_OK;
    return xg_ox_bad(x, "operands are %s and %s, must have 8 bits", xg_dtype_name(a->dtype),
                     xg_dtype_name(b->dtype));
}

xg_status xg_ox_conv_integer(xg_onnx *x, int arg) {
    (void)arg;
    static const int64_t ohwi[4] = {0, 2, 3, 1};
    uint32_t in[2] = {xg_ox_in(x, 0), XG_NONE}, rank = xg_ox_tensor(x, in[0])->rank;
    const xg_tensor *w = xg_ox_tensor(x, xg_ox_in(x, 1));
    if (rank < 3 || rank > 4 || w->rank != rank)
        return xg_ox_refuse(x, "input with %u axes and weights with %d; 1-D and 2-D are supported",
                            rank, w->rank);
    int64_t dim[4] = {w->dim[0], w->dim[1], rank == 3 ? 1 : w->dim[2], w->dim[rank - 1]};
    xg_status st = operands_are_8_bit(x);
    if (!st) st = check_sum(x, dim[1] * dim[2] * dim[3]);
    if (!st && xg_ox_tensor(x, in[0])->dtype != XG_F32) st = activation(x, &in[0]);
    if (!st) st = weights(x, 0, &in[1]);
    if (!st && rank == 3) st = xg_ox_reshaped(x, in[1], dim, 4, &in[1]);
    if (!st) st = xg_ox_permuted(x, in[1], ohwi, &in[1]);
    uint32_t y = xg_ox_temp(x, 0, "nhwc");
    if (!st) st = agree(x, in, y);
    if (!st) st = xg_ox_nhwc(x, in[0], &in[0]);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, in[0]);
    int64_t hw[2] = {t->dim[1], t->dim[2]};
    xg_window win;
    st = xg_ox_window(x, rank - 2, hw, dim + 2, &win);
    if (st) return st;
    uint32_t n = xg_ox_node(x, XG_OP_Conv, in, 2, y);
    xg_set_window(xg_nodep(x->g, n), &win);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_group, xg_ox_int(x, "group", 1));
    st = xg_ox_done(x, n);
    return st ? st : xg_ox_from_nhwc(x, y, rank, 0);
}

xg_status xg_ox_matmul_integer(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_in(x, 0), XG_NONE}, y = xg_ox_out(x, 0);
    const xg_tensor *a = xg_ox_tensor(x, in[0]), *b = xg_ox_tensor(x, xg_ox_in(x, 1));
    if (a->rank < 2 || b->rank < 2)
        return xg_ox_refuse(x, "a vector operand (%d and %d axes)", a->rank, b->rank);
    xg_status st = operands_are_8_bit(x);
    if (!st) st = check_sum(x, a->dim[a->rank - 1]);
    if (!st && a->dtype != XG_F32) st = activation(x, &in[0]);
    if (!st) st = weights(x, xg_ox_tensor(x, xg_ox_in(x, 1))->rank - 1, &in[1]);
    if (!st) st = agree(x, in, y);
    return st ? st : xg_ox_simple(x, XG_OP_MatMul, in, 2, y);
}

/* ---- DynamicQuantizeLinear ---- */

static xg_status left_out(xg_onnx *x) {
    uint32_t in = xg_ox_in(x, 0);
    static const uint8_t zero = 0;
    xg_status st = xg_ox_alias(x, 0, in);
    if (!st && xg_ox_wants(x, 1)) st = xg_ox_alias(x, 1, xg_ox_scalar(x, 1));
    if (!st && xg_ox_wants(x, 2))
        st = xg_ox_alias(x, 2,
                         xg_graph_add_const(x->g, NULL, XG_U8, 0, NULL,
                                            xg_memdup(x->a, &zero, sizeof zero), NULL));
    xg_ox_log(x, "%s: dynamic quantisation left out; the range of '%s' comes from calibration",
              x->where, xg_ox_tensor(x, in)->name);
    return st;
}

static xg_status two(xg_onnx *x, xg_op op, uint32_t a, uint32_t b, const char *suffix,
                     uint32_t *out) {
    uint32_t in[2] = {a, b};
    *out = xg_ox_temp(x, 0, suffix);
    return xg_ox_simple(x, op, in, 2, *out);
}

static xg_status one(xg_onnx *x, xg_op op, uint32_t in, const char *suffix, uint32_t *out) {
    *out = xg_ox_temp(x, 0, suffix);
    return xg_ox_simple(x, op, &in, 1, *out);
}

static xg_status clip(xg_onnx *x, uint32_t in, float lo, float hi, const char *suffix,
                      uint32_t *out) {
    *out = xg_ox_temp(x, 0, suffix);
    uint32_t n = xg_ox_node(x, XG_OP_Clip, &in, 1, *out);
    xg_set_af(xg_nodep(x->g, n), XG_ATTR_min, lo);
    xg_set_af(xg_nodep(x->g, n), XG_ATTR_max, hi);
    return xg_ox_done(x, n);
}

static xg_status to_u8(xg_onnx *x, uint32_t in, uint32_t out) {
    uint32_t n = xg_ox_node(x, XG_OP_Cast, &in, 1, out);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_to, XG_U8);
    return xg_ox_done(x, n);
}

/* ONNX's definition, in f32: scale = (max(0, x) - min(0, x)) / 255, zero point = rne(-min / scale).
 */
static xg_status spelled_out(xg_onnx *x) {
    uint32_t in = xg_ox_in(x, 0), v, lo, hi, span, scale = xg_ox_out(x, 1), zp, codes;
    xg_status st = one(x, XG_OP_ReduceMax, in, "max", &v);
    if (!st) st = clip(x, v, 0, INFINITY, "high", &hi);
    if (!st) st = one(x, XG_OP_ReduceMin, in, "min", &v);
    if (!st) st = clip(x, v, -INFINITY, 0, "low", &lo);
    if (!st) st = two(x, XG_OP_Sub, hi, lo, "span", &span);
    if (st) return st;
    int64_t none[1] = {0};
    uint32_t flat = xg_ox_temp(x, 0, "flat");
    st = xg_ox_reshape(x, span, none, 0, flat);
    uint32_t quotient[2] = {flat, xg_ox_scalar(x, 255)};
    if (!st) st = xg_ox_simple(x, XG_OP_Div, quotient, 2, scale);
    if (!st) st = two(x, XG_OP_Div, lo, scale, "offset", &v);
    if (!st) st = one(x, XG_OP_Neg, v, "positive", &v);
    if (!st) st = clip(x, v, 0, 255, "bounded", &v);
    if (!st) st = one(x, XG_OP_Round, v, "zero", &zp);
    if (!st) st = xg_ox_reshape(x, zp, none, 0, v = xg_ox_temp(x, 0, "zero_flat"));
    if (!st) st = to_u8(x, v, xg_ox_out(x, 2));
    if (!st) st = two(x, XG_OP_Div, in, scale, "steps", &codes);
    if (!st) st = one(x, XG_OP_Round, codes, "rounded", &codes);
    if (!st) st = two(x, XG_OP_Add, codes, v, "shifted", &codes);
    if (!st) st = clip(x, codes, 0, 255, "codes", &codes);
    return st ? st : to_u8(x, codes, xg_ox_out(x, 0));
}

xg_status xg_ox_dynamic_quantize(xg_onnx *x, int arg) {
    (void)arg;
    const xg_tensor *t = xg_ox_tensor(x, xg_ox_in(x, 0));
    if (t->dtype != XG_F32) return xg_ox_refuse(x, "%s values", xg_dtype_name(t->dtype));
    if (read_only_by(x, 0, as_data) && read_only_by(x, 1, as_factor) &&
        read_only_by(x, 2, as_zero_point))
        return left_out(x);
    if (!xg_ox_wants(x, 1) || !xg_ox_wants(x, 2)) return xg_ox_bad(x, "has less than 3 outputs");
    return spelled_out(x);
}
