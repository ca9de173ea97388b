/* Element-wise operators of two tensors with numpy broadcast. */
#include "xgraph/kernel.h"

#include <math.h>

/* Walks the output row by row (a row = the last axis); operands advance by step_a, step_b in a row.
 */
typedef struct pairs {
    uint8_t outer;
    int64_t dim[XG_RANK_MAX], sa[XG_RANK_MAX], sb[XG_RANK_MAX], ia[XG_RANK_MAX], ib[XG_RANK_MAX];
    int64_t a, b, out; /* offsets of the row */
    int64_t inner, step_a, step_b;
    const void *pa, *pb;
    void *py;
} pairs;

static pairs pairs_of(const xg_kernel *k) {
    const xg_tensor *a = xg_kin(k, 0), *b = xg_kin(k, 1), *y = xg_kout(k);
    pairs p = {.inner = 1, .pa = xg_kin_data(k, 0), .pb = xg_kin_data(k, 1), .py = xg_kout_data(k)};
    if (y->rank == 0) return p;
    p.outer = (uint8_t)(y->rank - 1);
    for (uint8_t i = 0; i < p.outer; i++) p.dim[i] = y->dim[i];
    xg_broadcast_strides(a->rank, a->dim, y->rank, y->dim, p.sa);
    xg_broadcast_strides(b->rank, b->dim, y->rank, y->dim, p.sb);
    p.inner = y->dim[p.outer];
    p.step_a = p.sa[p.outer];
    p.step_b = p.sb[p.outer];
    return p;
}

static bool next_row(pairs *p) {
    p->out += p->inner;
    xg_odometer(p->outer, p->dim, p->sa, p->ia, &p->a);
    return xg_odometer(p->outer, p->dim, p->sb, p->ib, &p->b);
}

/* The remainder with the sign of the divisor, or (mode 1) of the dividend. */
static float mod_f32(const xg_node *n, float a, float b) {
    float r = fmodf(a, b);
    return xg_ai(n, XG_ATTR_mode) == 0 && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static float apply_f32(const xg_node *n, float a, float b) {
    switch (n->op) {
    case XG_OP_PRelu:
        return a >= 0 ? a : a * b;
    case XG_OP_Mod:
        return mod_f32(n, a, b);
    case XG_OP_Add:
        return a + b;
    case XG_OP_Sub:
        return a - b;
    case XG_OP_Mul:
        return a * b;
    case XG_OP_Div:
        return a / b;
    case XG_OP_Min:
        return a < b ? a : b;
    case XG_OP_Max:
        return a > b ? a : b;
    default:
        return (float)pow((double)a, (double)b);
    }
}

static xg_status binary_f32(const xg_kernel *k) {
    pairs p = pairs_of(k);
    do
        for (int64_t i = 0; i < p.inner; i++)
            ((float *)p.py)[p.out + i] =
                apply_f32(k->node, ((const float *)p.pa)[p.a + i * p.step_a],
                          ((const float *)p.pb)[p.b + i * p.step_b]);
    while (next_row(&p));
    return XG_OK;
}

/* Plain integers wrap; only division can fail. The quotient is truncated. */
static bool apply_plain(const xg_node *n, int64_t a, int64_t b, int64_t *y) {
    switch (n->op) {
    case XG_OP_Mod:
        *y = b == -1 || b == 0 ? 0 : a % b;
        if (*y && xg_ai(n, XG_ATTR_mode) == 0 && (*y < 0) != (b < 0)) *y += b;
        return b != 0;
    case XG_OP_PRelu:
        *y = a >= 0 ? a : (int64_t)((uint64_t)a * (uint64_t)b);
        return true;
    case XG_OP_Add:
        *y = (int64_t)((uint64_t)a + (uint64_t)b);
        return true;
    case XG_OP_Sub:
        *y = (int64_t)((uint64_t)a - (uint64_t)b);
        return true;
    case XG_OP_Mul:
        *y = (int64_t)((uint64_t)a * (uint64_t)b);
        return true;
    case XG_OP_Div:
        *y = b == -1 ? (int64_t)(0 - (uint64_t)a) : b ? a / b : 0;
        return b != 0;
    case XG_OP_Min:
        *y = a < b ? a : b;
        return true;
    case XG_OP_Max:
        *y = a > b ? a : b;
        return true;
    default:
        return false;
    }
}

static xg_status binary_plain(const xg_kernel *k) {
    const xg_dtype ta = xg_kin(k, 0)->dtype, tb = xg_kin(k, 1)->dtype, ty = xg_kout(k)->dtype;
    pairs p = pairs_of(k);
    do
        for (int64_t i = 0; i < p.inner; i++) {
            int64_t y, a = xg_load(p.pa, ta, p.a + i * p.step_a),
                       b = xg_load(p.pb, tb, p.b + i * p.step_b);
            if (!apply_plain(k->node, a, b, &y))
                return xg_node_error(k->ctx, k->node, XG_INPUT, "integer division by 0");
            xg_store(p.py, ty, p.out + i, y);
        }
    while (next_row(&p));
    return XG_OK;
}

typedef struct binary_int {
    xg_affine a, b, y;
    xg_dtype ta, tb, ty;
    int32_t lo, hi;
    xg_addrq add;
    xg_rq mul;
} binary_int;

static xg_status int_of(const xg_kernel *k, binary_int *v) {
    xg_status st = xg_kernel_affine(k, xg_kin(k, 0), &v->a);
    if (!st) st = xg_kernel_affine(k, xg_kin(k, 1), &v->b);
    if (!st) st = xg_kernel_affine(k, xg_kout(k), &v->y);
    v->ta = xg_kin(k, 0)->dtype;
    v->tb = xg_kin(k, 1)->dtype;
    v->ty = xg_kout(k)->dtype;
    xg_kernel_bounds(k, &v->lo, &v->hi);
    return st;
}

/* Q(f(DQ a, DQ b)): what the machine's datapath does not define is computed in f32. */
static int32_t apply_host(const xg_kernel *k, const binary_int *v, int32_t a, int32_t b) {
    float f = apply_f32(k->node, xg_dequantize_f32(a, v->a.scale, v->a.zp),
                        xg_dequantize_f32(b, v->b.scale, v->b.zp));
    return (int32_t)xg_clamp(xg_quantize_f32(f, v->y.scale, v->y.zp, v->y.lo, v->y.hi), v->lo,
                             v->hi);
}

static int32_t apply_int(const xg_kernel *k, const binary_int *v, int32_t a, int32_t b) {
    switch (k->node->op) {
    case XG_OP_Add:
        return xg_add_apply(k->record, &v->add, a, b, v->lo, v->hi);
    case XG_OP_Mul:
        return xg_mul_apply(k->record, v->mul, (a - v->a.zp) * (b - v->b.zp), v->y.zp, v->lo,
                            v->hi);
    default:
        return apply_host(k, v, a, b);
    }
}

static xg_status binary_q(const xg_kernel *k) {
    binary_int v = {0};
    xg_status st = int_of(k, &v);
    if (st) return st;
    bool datapath = k->node->op == XG_OP_Add || k->node->op == XG_OP_Mul;
    if (datapath && !(xg_dtype_is_int8(v.ta) && xg_dtype_is_int8(v.tb)))
        return xg_kernel_no_type(k);
    if (k->node->op == XG_OP_Add &&
        !xg_add_derive(k->record, v.a.scale, v.a.zp, v.b.scale, v.b.zp, v.y.scale, v.y.zp, &v.add))
        return xg_node_error(
            k->ctx, k->node, XG_UNSUPPORTED,
            "the record cannot express an addition of scales %.9g and %.9g to %.9g",
            (double)v.a.scale, (double)v.b.scale, (double)v.y.scale);
    if (k->node->op == XG_OP_Mul &&
        !xg_mul_derive(k->record, v.a.scale, v.b.scale, v.y.scale, &v.mul))
        return xg_kernel_inexpressible(k, v.a.scale, v.b.scale, v.y.scale);
    pairs p = pairs_of(k);
    do
        for (int64_t i = 0; i < p.inner; i++) {
            int32_t a = (int32_t)xg_load(p.pa, v.ta, p.a + i * p.step_a);
            int32_t b = (int32_t)xg_load(p.pb, v.tb, p.b + i * p.step_b);
            xg_store(p.py, v.ty, p.out + i, apply_int(k, &v, a, b));
        }
    while (next_row(&p));
    return XG_OK;
}

static xg_status binary(const xg_kernel *k) {
    switch (xg_kernel_reading(k)) {
    case XG_READ_F32:
        return binary_f32(k);
    case XG_READ_QUANT:
        return binary_q(k);
    default:
        return binary_plain(k);
    }
}

xg_status xg_kernel_Add(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_Sub(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_Mul(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_Div(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_Min(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_Max(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_PRelu(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_Mod(const xg_kernel *k) {
    return binary(k);
}
xg_status xg_kernel_Pow(const xg_kernel *k) {
    return binary_f32(k);
}
