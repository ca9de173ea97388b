/* Reductions over axes. Every output element sees its inputs in row-major order of the reduced
 * axes. */
#include "xgraph/kernel.h"

#include <math.h>

typedef struct reduce {
    uint8_t kept, gone; /* numbers of axes */
    int64_t kept_dim[XG_RANK_MAX], kept_stride[XG_RANK_MAX];
    int64_t gone_dim[XG_RANK_MAX], gone_stride[XG_RANK_MAX];
    int64_t n; /* elements reduced into one */
} reduce;

static reduce reduce_of(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0);
    const xg_attr *axes = xg_attr_of(k->node, XG_ATTR_axes);
    reduce r = {.n = 1};
    int64_t stride[XG_RANK_MAX];
    xg_dense_strides(x->rank, x->dim, stride);
    for (uint8_t i = 0; i < x->rank; i++) {
        bool gone = axes->n == 0;
        for (uint32_t j = 0; j < axes->n; j++) gone |= axes->is[j] == i;
        uint8_t at = gone ? r.gone++ : r.kept++;
        (gone ? r.gone_dim : r.kept_dim)[at] = x->dim[i];
        (gone ? r.gone_stride : r.kept_stride)[at] = stride[i];
        if (gone) r.n *= x->dim[i];
    }
    return r;
}

/* Calls fn for every output element with the offset of its first input. */
typedef void (*reduce_fn)(const xg_kernel *k, const reduce *r, int64_t out, int64_t base,
                          void *arg);
static void each_output(const xg_kernel *k, const reduce *r, reduce_fn fn, void *arg) {
    int64_t idx[XG_RANK_MAX] = {0}, base = 0, n = xg_tensor_elems(xg_kout(k));
    for (int64_t i = 0; i < n; i++) {
        fn(k, r, i, base, arg);
        xg_odometer(r->kept, r->kept_dim, r->kept_stride, idx, &base);
    }
}

static void sum_f32(const xg_kernel *k, const reduce *r, int64_t out, int64_t base, void *arg) {
    const float *x = xg_kin_data(k, 0);
    int64_t idx[XG_RANK_MAX] = {0}, at = base;
    float sum = 0;
    do sum += x[at];
    while (xg_odometer(r->gone, r->gone_dim, r->gone_stride, idx, &at));
    ((float *)xg_kout_data(k))[out] = arg ? sum / (float)r->n : sum;
}

static void max_f32(const xg_kernel *k, const reduce *r, int64_t out, int64_t base, void *arg) {
    const float *x = xg_kin_data(k, 0);
    int64_t idx[XG_RANK_MAX] = {0}, at = base;
    float m = -INFINITY;
    (void)arg;
    do m = x[at] > m ? x[at] : m;
    while (xg_odometer(r->gone, r->gone_dim, r->gone_stride, idx, &at));
    ((float *)xg_kout_data(k))[out] = m;
}

static void min_f32(const xg_kernel *k, const reduce *r, int64_t out, int64_t base, void *arg) {
    const float *x = xg_kin_data(k, 0);
    int64_t idx[XG_RANK_MAX] = {0}, at = base;
    float m = INFINITY;
    (void)arg;
    do m = x[at] < m ? x[at] : m;
    while (xg_odometer(r->gone, r->gone_dim, r->gone_stride, idx, &at));
    ((float *)xg_kout_data(k))[out] = m;
}

static void min_int(const xg_kernel *k, const reduce *r, int64_t out, int64_t base, void *arg) {
    const xg_dtype t = xg_kin(k, 0)->dtype;
    int64_t idx[XG_RANK_MAX] = {0}, at = base, m = INT64_MAX;
    (void)arg;
    do m = xg_min(m, xg_load(xg_kin_data(k, 0), t, at));
    while (xg_odometer(r->gone, r->gone_dim, r->gone_stride, idx, &at));
    xg_store(xg_kout_data(k), t, out, m);
}

static void product_f32(const xg_kernel *k, const reduce *r, int64_t out, int64_t base, void *arg) {
    const float *x = xg_kin_data(k, 0);
    int64_t idx[XG_RANK_MAX] = {0}, at = base;
    float product = 1;
    (void)arg;
    do product *= x[at];
    while (xg_odometer(r->gone, r->gone_dim, r->gone_stride, idx, &at));
    ((float *)xg_kout_data(k))[out] = product;
}

static void max_int(const xg_kernel *k, const reduce *r, int64_t out, int64_t base, void *arg) {
    const xg_dtype t = xg_kin(k, 0)->dtype;
    int64_t idx[XG_RANK_MAX] = {0}, at = base, m = INT64_MIN;
    (void)arg;
    do m = xg_max(m, xg_load(xg_kin_data(k, 0), t, at));
    while (xg_odometer(r->gone, r->gone_dim, r->gone_stride, idx, &at));
    xg_store(xg_kout_data(k), t, out, m);
}

typedef struct mean_int {
    xg_affine xa, ya;
    int32_t lo, hi;
    xg_poolrq q;
    int32_t *x; /* [n] */
} mean_int;

static void mean_q(const xg_kernel *k, const reduce *r, int64_t out, int64_t base, void *arg) {
    const mean_int *m = arg;
    int64_t idx[XG_RANK_MAX] = {0}, at = base, n = 0;
    do m->x[n++] = (int32_t)xg_load(xg_kin_data(k, 0), xg_kin(k, 0)->dtype, at) - m->xa.zp;
    while (xg_odometer(r->gone, r->gone_dim, r->gone_stride, idx, &at));
    int32_t y = xg_pool_apply(k->record, &m->q, m->x, (int32_t)n, m->ya.zp, m->lo, m->hi);
    xg_store(xg_kout_data(k), xg_kout(k)->dtype, out, y);
}

xg_status xg_kernel_ReduceSum(const xg_kernel *k) {
    reduce r = reduce_of(k);
    if (xg_kernel_reading(k) != XG_READ_F32) return xg_kernel_no_type(k);
    each_output(k, &r, sum_f32, NULL);
    return XG_OK;
}

xg_status xg_kernel_ReduceMax(const xg_kernel *k) {
    reduce r = reduce_of(k);
    each_output(k, &r, xg_kernel_reading(k) == XG_READ_F32 ? max_f32 : max_int, NULL);
    return XG_OK;
}

xg_status xg_kernel_ReduceMin(const xg_kernel *k) {
    reduce r = reduce_of(k);
    each_output(k, &r, xg_kernel_reading(k) == XG_READ_F32 ? min_f32 : min_int, NULL);
    return XG_OK;
}

xg_status xg_kernel_ReduceProd(const xg_kernel *k) {
    reduce r = reduce_of(k);
    each_output(k, &r, product_f32, NULL);
    return XG_OK;
}

xg_status xg_kernel_ReduceMean(const xg_kernel *k) {
    reduce r = reduce_of(k);
    mean_int m = {0};
    switch (xg_kernel_reading(k)) {
    case XG_READ_F32:
        each_output(k, &r, sum_f32, &r);
        return XG_OK;
    case XG_READ_QUANT:
        break;
    default:
        return xg_kernel_no_type(k);
    }
    xg_status st = xg_kernel_affine(k, xg_kin(k, 0), &m.xa);
    if (!st) st = xg_kernel_affine(k, xg_kout(k), &m.ya);
    if (st) return st;
    if (!xg_pool_derive(k->record, m.xa.scale, m.ya.scale, (int32_t)r.n, true, &m.q))
        return xg_kernel_inexpressible(k, m.xa.scale, 0, m.ya.scale);
    xg_kernel_bounds(k, &m.lo, &m.hi);
    m.x = xg_newn(k->scratch, int32_t, (size_t)r.n);
    each_output(k, &r, mean_q, &m);
    return XG_OK;
}
