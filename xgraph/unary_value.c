/* Values of element-wise functions in binary64 rounded to binary32: what tables are made of. */
#include "xgraph/pass.h"

#include "xgraph/unary_more.h"

#include <math.h>

bool xg_op_is_unary(uint32_t op) {
    switch (op) {
    case XG_OP_Clip:
    case XG_OP_LeakyRelu:
    case XG_OP_Sigmoid:
    case XG_OP_Tanh:
    case XG_OP_HardSigmoid:
    case XG_OP_HardSwish:
    case XG_OP_Elu:
    case XG_OP_Exp:
    case XG_OP_Log:
    case XG_OP_Sqrt:
    case XG_OP_Erf:
    case XG_OP_Abs:
    case XG_OP_Neg:
    case XG_OP_Floor:
    case XG_OP_Ceil:
    case XG_OP_Softplus:
        return true;
    default:
        return xg_op_is_unary_more(op);
    }
}

bool xg_op_is_binary(uint32_t op) {
    switch (op) {
    case XG_OP_Add:
    case XG_OP_Sub:
    case XG_OP_Mul:
    case XG_OP_Div:
    case XG_OP_Pow:
    case XG_OP_Min:
    case XG_OP_Max:
    case XG_OP_PRelu:
    case XG_OP_Mod:
        return true;
    default:
        return false;
    }
}

static double clamp01(double v) {
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

bool xg_unary_value(const xg_node *n, float x, float *y) {
    double v = (double)x, f;
    switch (n->op) {
    case XG_OP_Clip:
        f = fmin(fmax(v, (double)xg_af(n, XG_ATTR_min)), (double)xg_af(n, XG_ATTR_max));
        break;
    case XG_OP_LeakyRelu:
        f = v >= 0 ? v : (double)xg_af(n, XG_ATTR_alpha) * v;
        break;
    case XG_OP_Sigmoid:
        f = 1 / (1 + exp(-v));
        break;
    case XG_OP_Tanh:
        f = tanh(v);
        break;
    case XG_OP_HardSigmoid:
        f = clamp01((double)xg_af(n, XG_ATTR_alpha) * v + (double)xg_af(n, XG_ATTR_beta));
        break;
    case XG_OP_HardSwish:
        f = v * clamp01(v / 6 + 0.5);
        break;
    case XG_OP_Elu:
        f = v >= 0 ? v : (double)xg_af(n, XG_ATTR_alpha) * expm1(v);
        break;
    case XG_OP_Exp:
        f = exp(v);
        break;
    case XG_OP_Log:
        f = log(v);
        break;
    case XG_OP_Sqrt:
        f = sqrt(v);
        break;
    case XG_OP_Erf:
        f = erf(v);
        break;
    case XG_OP_Abs:
        f = fabs(v);
        break;
    case XG_OP_Neg:
        f = -v;
        break;
    case XG_OP_Floor:
        f = floor(v);
        break;
    case XG_OP_Ceil:
        f = ceil(v);
        break;
    case XG_OP_Softplus:
        f = v > 0 ? v + log1p(exp(-v)) : log1p(exp(v));
        break;
    default:
        if (!xg_unary_more(n, v, &f)) return false;
        break;
    }
    *y = (float)f;
    return true;
}

uint32_t xg_rw_table(xg_rw *r, const xg_tensor *in, const xg_tensor *out, xg_value_fn f,
                     void *arg) {
    int32_t ilo, ihi, lo, hi;
    xg_dtype_range(in->dtype, &ilo, &ihi);
    xg_dtype_range(out->dtype, &lo, &hi);
    uint8_t *table = xg_alloc(r->a, 256);
    for (int32_t q = ilo; q <= ihi; q++) {
        float y;
        if (!f(arg, xg_dequantize_f32(q, in->quant->scale[0], in->quant->zp[0]), &y))
            return XG_NONE;
        table[q - ilo] =
            (uint8_t)xg_quantize_f32(y, out->quant->scale[0], out->quant->zp[0], lo, hi);
    }
    const int64_t dim[1] = {256};
    return xg_rw_const(r, xg_strf(r->tmp, "%s.table", out->name), out->dtype, 1, dim, table, NULL);
}
