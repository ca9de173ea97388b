/* Further element-wise operators: activations with parameters, powers, comparisons, logic. */
#include "xgraph/onnx_import.h"

#include <math.h>
#include <string.h>

static xg_status need_f32(xg_onnx *x, uint32_t in) {
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (t->dtype == XG_F32) return XG_OK;
    return xg_ox_refuse(x, "%s values ('%s')", xg_dtype_name(t->dtype), t->name);
}

/* Attributes alpha and beta of XGraph, ONNX's names and defaults. */
static void parameters(xg_onnx *x, int op, const xg_node *n) {
    static const struct {
        int op;
        const char *alpha, *beta;
        float alpha_none, beta_none;
    } rows[] = {
        {XG_OP_Selu, "alpha", "gamma", 1.67326319217681884765625f, 1.05070102214813232421875f},
        {XG_OP_Celu, "alpha", NULL, 1, 0},
        {XG_OP_ThresholdedRelu, "alpha", NULL, 1, 0},
        {XG_OP_Shrink, "lambd", "bias", 0.5f, 0},
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        if (rows[i].op != op) continue;
        xg_set_af(n, XG_ATTR_alpha, xg_ox_float(x, rows[i].alpha, rows[i].alpha_none));
        if (rows[i].beta)
            xg_set_af(n, XG_ATTR_beta, xg_ox_float(x, rows[i].beta, rows[i].beta_none));
    }
}

xg_status xg_ox_unary_more(xg_onnx *x, int op) {
    uint32_t in = xg_ox_in(x, 0);
    xg_status st = need_f32(x, in);
    if (st) return st;
    uint32_t n = xg_ox_node(x, (xg_op)op, &in, 1, xg_ox_out(x, 0));
    parameters(x, op, xg_nodep(x->g, n));
    if (op == XG_OP_Gelu) {
        const char *how = xg_ox_str(x, "approximate");
        if (*how && strcmp(how, "none") && strcmp(how, "tanh"))
            return xg_ox_bad(x, "approximate '%s'", how);
        xg_set_ai(xg_nodep(x->g, n), XG_ATTR_mode, !strcmp(how, "tanh"));
    }
    return xg_ox_done(x, n);
}

/* x * Sigmoid(alpha * x) */
xg_status xg_ox_swish(xg_onnx *x, int quick) {
    uint32_t in = xg_ox_in(x, 0), t[2] = {in, XG_NONE};
    float alpha = xg_ox_float(x, "alpha", quick ? 1.702f : 1.0f);
    xg_status st = need_f32(x, in);
    if (st) return st;
    if (alpha == 1) return xg_ox_simple(x, XG_OP_Silu, &in, 1, xg_ox_out(x, 0));
    t[1] = xg_ox_scalar(x, alpha);
    uint32_t scaled = xg_ox_temp(x, 0, "scaled"), gate = xg_ox_temp(x, 0, "gate");
    st = xg_ox_simple(x, XG_OP_Mul, t, 2, scaled);
    if (!st) st = xg_ox_simple(x, XG_OP_Sigmoid, &scaled, 1, gate);
    t[1] = gate;
    return st ? st : xg_ox_simple(x, XG_OP_Mul, t, 2, xg_ox_out(x, 0));
}

/* One slope for all elements is a LeakyRelu. */
xg_status xg_ox_prelu(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)}, out = xg_ox_out(x, 0);
    xg_status st = need_f32(x, in[0]);
    if (!st) st = need_f32(x, in[1]);
    if (st) return st;
    const xg_tensor *slope = xg_ox_tensor(x, in[1]), *v = xg_ox_tensor(x, in[0]);
    if (x->opset < 7 && slope->rank == 1 && v->rank > 2) { /* one for each channel */
        int64_t dim[XG_RANK_MAX] = {slope->dim[0]};
        for (uint32_t i = 1; i + 1 < v->rank; i++) dim[i] = 1;
        st = xg_ox_reshaped(x, in[1], dim, v->rank - 1, &in[1]);
        if (st) return st;
        slope = xg_ox_tensor(x, in[1]);
        v = xg_ox_tensor(x, in[0]);
    }
    if (slope->rank > v->rank)
        return xg_ox_bad(x, "a slope of %d axes for values of %d", slope->rank, v->rank);
    if (!slope->data || xg_tensor_elems(slope) != 1)
        return xg_ox_simple(x, XG_OP_PRelu, in, 2, out);
    float alpha = *(const float *)slope->data;
    if (isnan(alpha)) return xg_ox_bad(x, "the slope is not a number");
    uint32_t n = xg_ox_node(x, XG_OP_LeakyRelu, in, 1, out);
    xg_set_af(xg_nodep(x->g, n), XG_ATTR_alpha, alpha);
    return xg_ox_done(x, n);
}

/* ---- powers, remainders ---- */

static xg_status as_f32(xg_onnx *x, uint32_t *in, const char *suffix) {
    if (xg_ox_tensor(x, *in)->dtype == XG_F32) return XG_OK;
    uint32_t out = xg_ox_temp(x, 0, suffix), n = xg_ox_node(x, XG_OP_Cast, in, 1, out);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_to, XG_F32);
    *in = out;
    return xg_ox_done(x, n);
}

/* The result has the base's type, so an integer exponent of f32 is converted. */
xg_status xg_ox_pow(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)};
    xg_status st = need_f32(x, in[0]);
    if (!st) st = as_f32(x, &in[1], "exponent");
    if (!st) st = xg_ox_aligned(x, in[0], &in[1]);
    return st ? st : xg_ox_simple(x, XG_OP_Pow, in, 2, xg_ox_out(x, 0));
}

static xg_status same_types(xg_onnx *x, const uint32_t *in) {
    const xg_tensor *a = xg_ox_tensor(x, in[0]), *b = xg_ox_tensor(x, in[1]);
    if (a->dtype == b->dtype) return XG_OK;
    return xg_ox_refuse(x, "operands of types %s and %s", xg_dtype_name(a->dtype),
                        xg_dtype_name(b->dtype));
}

/* Operands must be f32, i32, i64 (or bool where `boolean`): raw 8-bit integers want a scale. */
static xg_status plain(xg_onnx *x, const uint32_t *in, uint32_t n, bool boolean) {
    for (uint32_t i = 0; i < n; i++) {
        const xg_tensor *t = xg_ox_tensor(x, in[i]);
        bool ok = t->dtype == XG_F32 || t->dtype == XG_I32 || t->dtype == XG_I64 ||
                  (boolean && t->dtype == XG_BOOL);
        if (!ok || t->quant)
            return xg_ox_refuse(x, "%s values ('%s')", xg_dtype_name(t->dtype), t->name);
    }
    return XG_OK;
}

xg_status xg_ox_mod(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)};
    xg_status st = plain(x, in, 2, false);
    if (!st) st = same_types(x, in);
    if (st) return st;
    uint32_t n = xg_ox_node(x, XG_OP_Mod, in, 2, xg_ox_out(x, 0));
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_mode, xg_ox_int(x, "fmod", 0) != 0);
    return xg_ox_done(x, n);
}

/* ---- comparisons, logic, choice ---- */

static xg_status compare(xg_onnx *x, int op, uint32_t a, uint32_t b, uint32_t out) {
    uint32_t in[2] = {a, b};
    xg_status st = plain(x, in, 2, true);
    if (!st) st = same_types(x, in);
    return st ? st : xg_ox_simple(x, (xg_op)op, in, 2, out);
}

xg_status xg_ox_compare(xg_onnx *x, int op) {
    return compare(x, op, xg_ox_in(x, 0), xg_ox_in(x, 1), xg_ox_out(x, 0));
}

xg_status xg_ox_compare_swapped(xg_onnx *x, int op) {
    return compare(x, op, xg_ox_in(x, 1), xg_ox_in(x, 0), xg_ox_out(x, 0));
}

xg_status xg_ox_logic(xg_onnx *x, int op) {
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)}, n = op == XG_OP_Not ? 1 : 2;
    for (uint32_t i = 0; i < n; i++)
        if (xg_ox_tensor(x, in[i])->dtype != XG_BOOL)
            return xg_ox_bad(x, "operand %u is %s, must be bool", i,
                             xg_dtype_name(xg_ox_tensor(x, in[i])->dtype));
    return xg_ox_simple(x, (xg_op)op, in, n, xg_ox_out(x, 0));
}

/* Only a NaN differs from itself. */
xg_status xg_ox_is_nan(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t same = xg_ox_temp(x, 0, "same");
    xg_status st = need_f32(x, xg_ox_in(x, 0));
    if (!st) st = compare(x, XG_OP_Equal, xg_ox_in(x, 0), xg_ox_in(x, 0), same);
    return st ? st : xg_ox_simple(x, XG_OP_Not, &same, 1, xg_ox_out(x, 0));
}

xg_status xg_ox_is_inf(xg_onnx *x, int arg) {
    (void)arg;
    bool up = xg_ox_int(x, "detect_positive", 1) != 0,
         down = xg_ox_int(x, "detect_negative", 1) != 0;
    uint32_t in = xg_ox_in(x, 0);
    xg_status st = need_f32(x, in);
    if (!st && !up && !down) st = xg_ox_refuse(x, "neither sign");
    if (!st && up && down) {
        uint32_t magnitude = xg_ox_temp(x, 0, "magnitude");
        st = xg_ox_simple(x, XG_OP_Abs, &in, 1, magnitude);
        in = magnitude;
    }
    if (st) return st;
    uint32_t bound = xg_ox_scalar(x, up ? INFINITY : -INFINITY);
    return compare(x, XG_OP_Equal, in, bound, xg_ox_out(x, 0));
}

xg_status xg_ox_where(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[3] = {xg_ox_in(x, 0), xg_ox_in(x, 1), xg_ox_in(x, 2)};
    if (xg_ox_tensor(x, in[0])->dtype != XG_BOOL)
        return xg_ox_bad(x, "the condition is %s, must be bool",
                         xg_dtype_name(xg_ox_tensor(x, in[0])->dtype));
    xg_status st = same_types(x, in + 1);
    return st ? st : xg_ox_simple(x, XG_OP_Where, in, 3, xg_ox_out(x, 0));
}

xg_status xg_ox_cast_like(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0);
    xg_dtype to = xg_ox_tensor(x, xg_ox_in(x, 1))->dtype;
    if (to == xg_ox_tensor(x, in)->dtype) return xg_ox_alias(x, 0, in);
    uint32_t n = xg_ox_node(x, XG_OP_Cast, &in, 1, xg_ox_out(x, 0));
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_to, to);
    return xg_ox_done(x, n);
}
