/* Resize: every output element is a weighted sum over taps on each resized axis. The taps (index
 * and weight) are constants that the importer worked out, so that all coordinate modes are one
 * operator. */
#include "xgraph/kernel.h"

enum { AXES_MAX = 4 };

typedef struct resize {
    uint8_t naxes, rank;
    int64_t axis[AXES_MAX], taps[AXES_MAX];
    const int64_t *index[AXES_MAX]; /* [size][taps] */
    const float *weight[AXES_MAX];
    int64_t stride[XG_RANK_MAX]; /* of x */
    int64_t inner;               /* elements behind the last resized axis: treated side by side */
    const xg_tensor *x, *y;
    xg_affine xa, ya;
} resize;

static resize resize_of(const xg_kernel *k) {
    const xg_attr *axes = xg_attr_of(k->node, XG_ATTR_axes);
    resize r = {.naxes = (uint8_t)axes->n, .x = xg_kin(k, 0), .y = xg_kout(k), .inner = 1};
    r.rank = r.x->rank;
    xg_dense_strides(r.rank, r.x->dim, r.stride);
    for (uint8_t i = 0; i < r.naxes; i++) {
        r.axis[i] = axes->is[i];
        r.taps[i] = xg_kin(k, 1 + 2 * i)->dim[1];
        r.index[i] = xg_kin_data(k, 1 + 2 * i);
        r.weight[i] = xg_kin_data(k, 2 + 2 * i);
    }
    for (int64_t i = r.axis[r.naxes - 1] + 1; i < r.rank; i++) r.inner *= r.y->dim[i];
    return r;
}

static float value_of(const resize *r, const void *x, int64_t at) {
    if (r->x->dtype == XG_F32) return ((const float *)x)[at];
    return xg_dequantize_f32((int32_t)xg_load(x, r->x->dtype, at), r->xa.scale, r->xa.zp);
}

/* acc[0..inner) = the sum over all taps at output index idx, taps in row-major order. */
static void one_run(const resize *r, const void *x, const int64_t *idx, int64_t base, float *acc) {
    int64_t tap[AXES_MAX] = {0}, none[AXES_MAX] = {0}, unused = 0;
    for (int64_t i = 0; i < r->inner; i++) acc[i] = 0;
    do {
        int64_t from = base;
        float w = 1;
        for (uint8_t a = 0; a < r->naxes; a++) {
            int64_t at = idx[r->axis[a]] * r->taps[a] + tap[a];
            from += r->index[a][at] * r->stride[r->axis[a]];
            w *= r->weight[a][at];
        }
        for (int64_t i = 0; i < r->inner; i++) acc[i] += w * value_of(r, x, from + i);
    } while (xg_odometer(r->naxes, r->taps, none, tap, &unused));
}

static void put(const resize *r, void *y, int64_t at, const float *acc) {
    for (int64_t i = 0; i < r->inner; i++)
        if (r->y->dtype == XG_F32)
            ((float *)y)[at + i] = acc[i];
        else
            xg_store(y, r->y->dtype, at + i,
                     xg_quantize_f32(acc[i], r->ya.scale, r->ya.zp, r->ya.lo, r->ya.hi));
}

xg_status xg_kernel_Resize(const xg_kernel *k) {
    resize r = resize_of(k);
    xg_status st = XG_OK;
    if (r.x->dtype != XG_F32) st = xg_kernel_affine(k, r.x, &r.xa);
    if (!st && r.y->dtype != XG_F32) st = xg_kernel_affine(k, r.y, &r.ya);
    if (st) return st;
    float *acc = xg_newn(k->scratch, float, (size_t)r.inner);
    uint8_t outer = (uint8_t)(r.axis[r.naxes - 1] + 1);
    int64_t step[XG_RANK_MAX], idx[XG_RANK_MAX] = {0}, base = 0, at = 0;
    for (uint8_t i = 0; i < outer; i++) step[i] = r.stride[i];
    for (uint8_t a = 0; a < r.naxes; a++) step[r.axis[a]] = 0;
    do {
        one_run(&r, xg_kin_data(k, 0), idx, base, acc);
        put(&r, xg_kout_data(k), at, acc);
        at += r.inner;
    } while (xg_odometer(outer, r.y->dim, step, idx, &base));
    return XG_OK;
}
