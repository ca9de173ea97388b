/* RequantShift, as Deeploy's exports of integer networks have it: floats that hold integers,
 *
 *     y = clip(floor((x mul + add + div / 2) / div), lo, hi)
 *
 * mul and add constant, one for each channel (axis 1) or one; div a power of two; n_levels values
 * from -n/2 on when signed, from 0 on when not. Spelled out in 64-bit integers, whose division
 * truncates: OFFSET keeps every quotient that counts positive. The pass integerised makes a layer
 * of it. */
#include "xgraph/onnx_import.h"

#include "xgraph/const_eval.h"

#include <math.h>
#include <string.h>

enum { OFFSET = 1 << 16 };

/* A number that may be a tensor of one value, a float or an integer. */
static xg_status number(xg_onnx *x, const char *name, const char *other, double *v) {
    const Xgonnx__Attribute *a = xg_ox_attr(x, name);
    if (!a && other) a = xg_ox_attr(x, other);
    if (!a) return xg_ox_bad(x, "attribute %s is absent", name);
    if (a->t) {
        uint32_t t;
        xg_status st = xg_ox_constant(x, a->t, NULL, &t);
        if (st) return st;
        const xg_tensor *c = xg_ox_tensor(x, t);
        if (xg_tensor_elems(c) != 1 || c->dtype == XG_BOOL)
            return xg_ox_bad(x, "attribute %s is no number", name);
        *v = c->dtype == XG_F32 ? (double)*(const float *)c->data : (double)xg_const_int(c, 0);
        return XG_OK;
    }
    *v = a->has_f ? (double)a->f : (double)a->i;
    return XG_OK;
}

/* Input i as i64 constant, times 1 plus `more`, in a shape that broadcasts along axis 1. */
static xg_status channel_constant(xg_onnx *x, uint32_t i, double more, uint32_t *out) {
    const xg_tensor *t = xg_ox_tensor(x, xg_ox_in(x, i)), *v = xg_ox_tensor(x, xg_ox_in(x, 0));
    if (!t->data) return xg_ox_refuse(x, "'%s' must be constant", t->name);
    if (t->dtype != XG_F32 && t->dtype != XG_I32 && t->dtype != XG_I64)
        return xg_ox_refuse(x, "%s values ('%s')", xg_dtype_name(t->dtype), t->name);
    int64_t n = xg_tensor_elems(t), dim[XG_RANK_MAX], *data = xg_newn(x->a, int64_t, (size_t)n);
    for (int64_t k = 0; k < n; k++) {
        double d =
            t->dtype == XG_F32 ? (double)((const float *)t->data)[k] : (double)xg_const_int(t, k);
        if (!(fabs(d) <= 0x1p40) || d != nearbyint(d))
            return xg_ox_bad(x, "'%s' has the value %g, which is no integer", t->name, d);
        data[k] = (int64_t)(d + more);
    }
    uint8_t rank = t->rank;
    memcpy(dim, t->dim, sizeof dim);
    bool list = rank == 1 && v->rank > 2, maps = rank == v->rank && dim[0] == n && v->dim[0] != n;
    if ((list || maps) && n > 1 && v->dim[1] == n) { /* one for each channel */
        dim[0] = n;
        for (rank = 1; rank < v->rank - 1;) dim[rank++] = 1;
    }
    *out = xg_graph_add_const(x->g, t->name, XG_I64, rank, dim, data, NULL);
    return XG_OK;
}

static xg_status cast(xg_onnx *x, uint32_t in, xg_dtype to, const char *name, uint32_t *out) {
    *out = xg_ox_temp(x, 0, name);
    uint32_t n = xg_ox_node(x, XG_OP_Cast, &in, 1, *out);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_to, to);
    return xg_ox_done(x, n);
}

static xg_status step(xg_onnx *x, xg_op op, uint32_t in, uint32_t by, const char *name,
                      uint32_t *out) {
    uint32_t pair[2] = {in, by};
    *out = xg_ox_temp(x, 0, name);
    return xg_ox_simple(x, op, pair, 2, *out);
}

static uint32_t scalar_i64(xg_onnx *x, int64_t v) {
    int64_t *data = xg_memdup(x->a, &v, sizeof v);
    return xg_graph_add_const(x->g, NULL, XG_I64, 0, NULL, data, NULL);
}

xg_status xg_ox_requant_shift(xg_onnx *x, int arg) {
    (void)arg;
    double div, levels, is_signed;
    uint32_t t = xg_ox_in(x, 0), mul, add;
    if (xg_ox_tensor(x, t)->dtype != XG_F32)
        return xg_ox_refuse(x, "%s values", xg_dtype_name(xg_ox_tensor(x, t)->dtype));
    xg_status st = number(x, "div", NULL, &div);
    if (!st) st = number(x, "n_levels", "n_levels_out", &levels);
    if (!st) st = number(x, "signed", NULL, &is_signed);
    if (st) return st;
    if (!(div >= 1 && div <= 0x1p31) || exp2(nearbyint(log2(div))) != div)
        return xg_ox_refuse(x, "div %g, which is no power of two up to 2^31", div);
    if (!(levels >= 2 && levels <= 65536) || levels != nearbyint(levels))
        return xg_ox_refuse(x, "n_levels %g", levels);
    double half = div > 1 ? div / 2 : 0, lo = is_signed != 0 ? -floor(levels / 2) : 0;
    st = channel_constant(x, 1, 0, &mul);
    if (!st) st = channel_constant(x, 2, half + div * OFFSET, &add);
    if (!st) st = cast(x, t, XG_I64, "integer", &t);
    if (!st) st = step(x, XG_OP_Mul, t, mul, "scaled", &t);
    if (!st) st = step(x, XG_OP_Add, t, add, "shifted", &t);
    if (!st) st = step(x, XG_OP_Div, t, scalar_i64(x, (int64_t)div), "divided", &t);
    if (!st) st = cast(x, t, XG_F32, "real", &t);
    if (!st) st = step(x, XG_OP_Add, t, xg_ox_scalar(x, -OFFSET), "rounded", &t);
    if (st) return st;
    uint32_t n = xg_ox_node(x, XG_OP_Clip, &t, 1, xg_ox_out(x, 0));
    xg_set_af(xg_nodep(x->g, n), XG_ATTR_min, (float)lo);
    xg_set_af(xg_nodep(x->g, n), XG_ATTR_max, (float)(lo + levels - 1));
    return xg_ox_done(x, n);
}
