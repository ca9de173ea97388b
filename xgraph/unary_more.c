/* The less common functions of one value, in binary64: for the interpreter and for tables alike. */
#include "xgraph/unary_more.h"

#include <math.h>

/* sqrt(2 / pi) and 1 / sqrt(2). */
static const double gelu_scale = 0.79788456080286535588, half_root = 0.70710678118654752440;

static double log1pexp(double v) {
    return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v));
}

static double gelu(double v, bool with_tanh) {
    if (with_tanh) return v / 2 * (1 + tanh(gelu_scale * (v + 0.044715 * v * v * v)));
    return v / 2 * (1 + erf(v * half_root));
}

static double shrink(double v, double lambd, double bias) {
    return v < -lambd ? v + bias : v > lambd ? v - bias : 0;
}

static bool activation(const xg_node *n, double v, double *y) {
    switch (n->op) {
    case XG_OP_Silu:
        *y = v / (1 + exp(-v));
        return true;
    case XG_OP_Gelu:
        *y = gelu(v, xg_ai(n, XG_ATTR_mode) == 1);
        return true;
    case XG_OP_Mish:
        *y = v * tanh(log1pexp(v));
        return true;
    case XG_OP_Selu:
        *y = (double)xg_af(n, XG_ATTR_beta) *
             (v > 0 ? v : (double)xg_af(n, XG_ATTR_alpha) * expm1(v));
        return true;
    case XG_OP_Celu: {
        double alpha = (double)xg_af(n, XG_ATTR_alpha);
        *y = v >= 0 ? v : alpha * expm1(v / alpha);
        return true;
    }
    case XG_OP_ThresholdedRelu:
        *y = v > (double)xg_af(n, XG_ATTR_alpha) ? v : 0;
        return true;
    case XG_OP_Shrink:
        *y = shrink(v, (double)xg_af(n, XG_ATTR_alpha), (double)xg_af(n, XG_ATTR_beta));
        return true;
    case XG_OP_Softsign:
        *y = v / (1 + fabs(v));
        return true;
    case XG_OP_Sign:
        *y = v > 0 ? 1 : v < 0 ? -1 : v;
        return true;
    case XG_OP_Round:
        *y = nearbyint(v);
        return true;
    default:
        return false;
    }
}

typedef double (*function)(double);

static function trigonometric(uint32_t op) {
    switch (op) {
    case XG_OP_Sin:
        return sin;
    case XG_OP_Cos:
        return cos;
    case XG_OP_Tan:
        return tan;
    case XG_OP_Asin:
        return asin;
    case XG_OP_Acos:
        return acos;
    case XG_OP_Atan:
        return atan;
    case XG_OP_Sinh:
        return sinh;
    case XG_OP_Cosh:
        return cosh;
    case XG_OP_Asinh:
        return asinh;
    case XG_OP_Acosh:
        return acosh;
    case XG_OP_Atanh:
        return atanh;
    default:
        return NULL;
    }
}

bool xg_op_is_unary_more(uint32_t op) {
    switch (op) {
    case XG_OP_Silu:
    case XG_OP_Gelu:
    case XG_OP_Mish:
    case XG_OP_Selu:
    case XG_OP_Celu:
    case XG_OP_ThresholdedRelu:
    case XG_OP_Shrink:
    case XG_OP_Softsign:
    case XG_OP_Sign:
    case XG_OP_Round:
        return true;
    default:
        return trigonometric(op) != NULL;
    }
}

bool xg_unary_more(const xg_node *n, double v, double *y) {
    function f = trigonometric(n->op);
    if (!f) return activation(n, v, y);
    *y = f(v);
    return true;
}
