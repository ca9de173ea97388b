/* Functions of one value. On quantised tensors y = Q(f(DQ x)), which for 8 bits is a table of 256
 * entries. */
#include "xgraph/kernel.h"

#include "xgraph/unary_more.h"

#include <math.h>

bool xg_unary_f32(const xg_node *n, float x, float *y) {
    double d = (double)x, v;
    switch (n->op) {
    case XG_OP_Clip:
        *y = fminf(fmaxf(x, xg_af(n, XG_ATTR_min)), xg_af(n, XG_ATTR_max));
        return true;
    case XG_OP_LeakyRelu:
        *y = x >= 0 ? x : xg_af(n, XG_ATTR_alpha) * x;
        return true;
    case XG_OP_Abs:
        *y = fabsf(x);
        return true;
    case XG_OP_Neg:
        *y = -x;
        return true;
    case XG_OP_Floor:
        *y = floorf(x);
        return true;
    case XG_OP_Ceil:
        *y = ceilf(x);
        return true;
    case XG_OP_Sqrt:
        *y = sqrtf(x);
        return true;
    case XG_OP_Sigmoid:
        v = 1 / (1 + exp(-d));
        break;
    case XG_OP_Tanh:
        v = tanh(d);
        break;
    case XG_OP_HardSigmoid:
        v = fmin(fmax((double)xg_af(n, XG_ATTR_alpha) * d + (double)xg_af(n, XG_ATTR_beta), 0), 1);
        break;
    case XG_OP_HardSwish:
        v = d * fmin(fmax(d / 6 + 0.5, 0), 1);
        break;
    case XG_OP_Elu:
        v = d >= 0 ? d : (double)xg_af(n, XG_ATTR_alpha) * expm1(d);
        break;
    case XG_OP_Exp:
        v = exp(d);
        break;
    case XG_OP_Log:
        v = log(d);
        break;
    case XG_OP_Erf:
        v = erf(d);
        break;
    case XG_OP_Softplus:
        v = d > 0 ? d + log1p(exp(-d)) : log1p(exp(d));
        break;
    default:
        if (!xg_unary_more(n, d, &v)) return false;
        break;
    }
    *y = (float)v;
    return true;
}

static xg_status unary_f32(const xg_kernel *k) {
    const float *x = xg_kin_data(k, 0);
    float *y = xg_kout_data(k);
    for (int64_t i = 0, n = xg_tensor_elems(xg_kout(k)); i < n; i++)
        if (!xg_unary_f32(k->node, x[i], &y[i]))
            return xg_node_error(k->ctx, k->node, XG_INTERNAL, "is no function of one value");
    return XG_OK;
}

static xg_status unary_q(const xg_kernel *k) {
    xg_affine xa, ya;
    const xg_dtype tx = xg_kin(k, 0)->dtype, ty = xg_kout(k)->dtype;
    xg_status st = xg_kernel_affine(k, xg_kin(k, 0), &xa);
    if (!st) st = xg_kernel_affine(k, xg_kout(k), &ya);
    if (st) return st;
    if (!xg_dtype_is_int8(tx)) return xg_kernel_no_type(k);
    int32_t table[256];
    for (int32_t q = xa.lo; q <= xa.hi; q++) {
        float f = 0;
        if (!xg_unary_f32(k->node, xg_dequantize_f32(q, xa.scale, xa.zp), &f))
            return xg_node_error(k->ctx, k->node, XG_INTERNAL, "is no function of one value");
        table[q - xa.lo] = xg_quantize_f32(f, ya.scale, ya.zp, ya.lo, ya.hi);
    }
    for (int64_t i = 0, n = xg_tensor_elems(xg_kout(k)); i < n; i++)
        xg_store(xg_kout_data(k), ty, i, table[xg_load(xg_kin_data(k, 0), tx, i) - xa.lo]);
    return XG_OK;
}

static xg_status unary(const xg_kernel *k) {
    switch (xg_kernel_reading(k)) {
    case XG_READ_F32:
        return unary_f32(k);
    case XG_READ_QUANT:
        return unary_q(k);
    default:
        return xg_kernel_no_type(k);
    }
}

/* On integers a clamp of the stored values by lo and hi. */
xg_status xg_kernel_Clip(const xg_kernel *k) {
    if (xg_kernel_reading(k) == XG_READ_F32) return unary_f32(k);
    int32_t lo, hi;
    const xg_dtype t = xg_kout(k)->dtype;
    if (t == XG_I64 || t == XG_BOOL) return xg_kernel_no_type(k);
    xg_kernel_bounds(k, &lo, &hi);
    for (int64_t i = 0, n = xg_tensor_elems(xg_kout(k)); i < n; i++)
        xg_store(xg_kout_data(k), t, i, xg_clamp(xg_load(xg_kin_data(k, 0), t, i), lo, hi));
    return XG_OK;
}

#define UNARY(name)                                                                                \
    xg_status xg_kernel_##name(const xg_kernel *k) {                                               \
        return unary(k);                                                                           \
    }
UNARY(LeakyRelu)
UNARY(Sigmoid)
UNARY(Tanh)
UNARY(HardSigmoid)
UNARY(HardSwish)
UNARY(Elu)
UNARY(Exp)
UNARY(Log)
UNARY(Sqrt)
UNARY(Erf)
UNARY(Abs)
UNARY(Neg)
UNARY(Floor)
UNARY(Ceil)
UNARY(Softplus)
UNARY(Silu)
UNARY(Gelu)
UNARY(Mish)
UNARY(Selu)
UNARY(Celu)
UNARY(ThresholdedRelu)
UNARY(Shrink)
UNARY(Softsign)
UNARY(Sign)
UNARY(Round)
UNARY(Sin)
UNARY(Cos)
UNARY(Tan)
UNARY(Asin)
UNARY(Acos)
UNARY(Atan)
UNARY(Sinh)
UNARY(Cosh)
UNARY(Asinh)
UNARY(Acosh)
UNARY(Atanh)
