/* Softmax and BatchNorm. */
#include "xgraph/kernel.h"

#include <float.h>
#include <math.h>

/* The rows of a softmax: n elements, `stride` apart, the first one at the offset of row i. */
typedef struct rows {
    int64_t count, n, stride;
} rows;

static rows rows_of(const xg_kernel *k) {
    const xg_tensor *y = xg_kout(k);
    int64_t axis = xg_ai(k->node, XG_ATTR_axis);
    if (axis < 0) axis += y->rank;
    rows r = {.n = y->dim[axis], .stride = 1};
    for (int64_t i = axis + 1; i < y->rank; i++) r.stride *= y->dim[i];
    r.count = xg_tensor_elems(y) / r.n;
    return r;
}

static int64_t row_at(const rows *r, int64_t i) {
    return i / r->stride * r->stride * r->n + i % r->stride;
}

/* exp in binary64, rounded once: equal on every host whose exp is better than 2^-28. Sum in index
 * order. */
static void softmax_f32(const rows *r, const float *x, float *y) {
    float max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < r->n; i++) max = x[i * r->stride] > max ? x[i * r->stride] : max;
    for (int64_t i = 0; i < r->n; i++) {
        float e = (float)exp((double)(x[i * r->stride] - max));
        y[i * r->stride] = e;
        sum += e;
    }
    for (int64_t i = 0; i < r->n; i++) y[i * r->stride] /= sum;
}

/* ONNX Runtime's QLinearSoftmax: e = f32(exp((q - max) * sx + shift)), where the shift keeps the
 * sum of n values a few powers of e below the largest f32; y = rne(f32(f32(e * floor(f32(1/sy))) /
 * sum)) + zy. */
typedef struct softmax_int {
    float table[256]; /* by max - q */
    float factor;     /* floor(1 / sy) */
    xg_affine xa, ya;
    xg_dtype tx, ty;
} softmax_int;

static void softmax_table(softmax_int *v, int64_t n) {
    double shift = log((double)(FLT_MAX / (float)n)) - 5;
    if (shift < 0) shift = 0;
    shift /= (double)v->xa.scale;
    for (int i = 0; i < 256; i++) v->table[i] = (float)exp((shift - i) * (double)v->xa.scale);
    v->factor = floorf(1.0f / v->ya.scale);
}

static void softmax_q(const softmax_int *v, const rows *r, const void *x, void *y, int64_t base) {
    int64_t max = INT64_MIN;
    float sum = 0;
    for (int64_t i = 0; i < r->n; i++) max = xg_max(max, xg_load(x, v->tx, base + i * r->stride));
    for (int64_t i = 0; i < r->n; i++)
        sum += v->table[max - xg_load(x, v->tx, base + i * r->stride)];
    for (int64_t i = 0; i < r->n; i++) {
        int64_t at = base + i * r->stride;
        float q = nearbyintf(v->table[max - xg_load(x, v->tx, at)] * v->factor / sum);
        q = fminf(fmaxf(q, (float)(v->ya.lo - v->ya.zp)), (float)(v->ya.hi - v->ya.zp));
        xg_store(y, v->ty, at, (int32_t)q + v->ya.zp);
    }
}

xg_status xg_kernel_Softmax(const xg_kernel *k) {
    rows r = rows_of(k);
    if (xg_kernel_reading(k) == XG_READ_F32) {
        for (int64_t i = 0; i < r.count; i++)
            softmax_f32(&r, (const float *)xg_kin_data(k, 0) + row_at(&r, i),
                        (float *)xg_kout_data(k) + row_at(&r, i));
        return XG_OK;
    }
    softmax_int v = {.tx = xg_kin(k, 0)->dtype, .ty = xg_kout(k)->dtype};
    if (!xg_dtype_is_int8(v.tx) || !xg_kout(k)->quant) return xg_kernel_no_type(k);
    xg_status st = xg_kernel_affine(k, xg_kin(k, 0), &v.xa);
    if (!st) st = xg_kernel_affine(k, xg_kout(k), &v.ya);
    if (st) return st;
    softmax_table(&v, r.n);
    if (!isfinite(v.factor * v.table[0]))
        return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED,
                             "output scale %.9g is too small for a softmax", (double)v.ya.scale);
    for (int64_t i = 0; i < r.count; i++)
        softmax_q(&v, &r, xg_kin_data(k, 0), xg_kout_data(k), row_at(&r, i));
    return XG_OK;
}

xg_status xg_kernel_BatchNorm(const xg_kernel *k) {
    const float *x = xg_kin_data(k, 0), *scale = xg_kin_data(k, 1), *bias = xg_kin_data(k, 2),
                *mean = xg_kin_data(k, 3), *var = xg_kin_data(k, 4);
    const xg_tensor *t = xg_kout(k);
    const float epsilon = xg_af(k->node, XG_ATTR_epsilon);
    const int64_t c = t->dim[t->rank - 1];
    float *y = xg_kout_data(k);
    for (int64_t i = 0, n = xg_tensor_elems(t); i < n; i++) {
        int64_t j = i % c;
        y[i] = scale[j] * (x[i] - mean[j]) / sqrtf(var[j] + epsilon) + bias[j];
    }
    return XG_OK;
}
