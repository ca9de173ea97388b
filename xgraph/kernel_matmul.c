/* MatMul over the last two axes, the others broadcast. f32: products added to 0 in the order of the
 * inner axis. */
#include "xgraph/kernel.h"

#include <string.h>

typedef xg_matmul_dims matmul;

xg_status xg_matmul_dims_of(const xg_kernel *k, xg_matmul_dims *v) {
    const xg_tensor *a = xg_kin(k, 0), *b = xg_kin(k, 1), *y = xg_kout(k);
    if (a->rank < 2 || b->rank < 2)
        return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED,
                             "operands of rank %u and %u, expected 2 or more", a->rank, b->rank);
    *v = (matmul){0};
    v->m = a->dim[a->rank - 2];
    v->k = a->dim[a->rank - 1];
    v->n = b->dim[b->rank - 1];
    v->outer = (uint8_t)(y->rank - 2);
    v->batches = xg_tensor_elems(y) / (v->m * v->n);
    memcpy(v->dim, y->dim, sizeof v->dim);
    xg_broadcast_strides((uint8_t)(a->rank - 2), a->dim, v->outer, y->dim, v->sa);
    xg_broadcast_strides((uint8_t)(b->rank - 2), b->dim, v->outer, y->dim, v->sb);
    return XG_OK;
}

/* Offsets of both operands for the next batch, in matrices. */
static void next_batch(const matmul *v, int64_t *ia, int64_t *ib, int64_t *oa, int64_t *ob) {
    xg_odometer(v->outer, v->dim, v->sa, ia, oa);
    xg_odometer(v->outer, v->dim, v->sb, ib, ob);
}

static void matmul_f32(const matmul *v, const float *a, const float *b, float *y) {
    int64_t ia[XG_RANK_MAX] = {0}, ib[XG_RANK_MAX] = {0}, oa = 0, ob = 0;
    for (int64_t batch = 0; batch < v->batches; batch++) {
        const float *am = a + oa * v->m * v->k, *bm = b + ob * v->k * v->n;
        for (int64_t i = 0; i < v->m; i++, y += v->n) {
            memset(y, 0, (size_t)v->n * sizeof *y);
            for (int64_t p = 0; p < v->k; p++)
                for (int64_t j = 0; j < v->n; j++) y[j] += am[i * v->k + p] * bm[p * v->n + j];
        }
        next_batch(v, ia, ib, &oa, &ob);
    }
}

typedef struct matmul_int {
    matmul d;
    xg_affine aa, ya;
    const xg_quant *bq;
    xg_rq *rq; /* one a column */
    int32_t lo, hi;
    int16_t *row, *bt; /* centred: a row of a; b transposed [n][k] */
} matmul_int;

static void transpose_b(const matmul_int *v, const void *b, xg_dtype t, int64_t first) {
    for (int64_t j = 0; j < v->d.n; j++) {
        int32_t zp = v->bq->zp[v->bq->n == 1 ? 0 : j];
        for (int64_t p = 0; p < v->d.k; p++)
            v->bt[j * v->d.k + p] = (int16_t)(xg_load(b, t, first + p * v->d.n + j) - zp);
    }
}

static void run_int(const xg_kernel *k, const matmul_int *v) {
    int64_t ia[XG_RANK_MAX] = {0}, ib[XG_RANK_MAX] = {0}, oa = 0, ob = 0, at = 0;
    const matmul *d = &v->d;
    const xg_dtype ta = xg_kin(k, 0)->dtype, tb = xg_kin(k, 1)->dtype, ty = xg_kout(k)->dtype;
    for (int64_t batch = 0; batch < d->batches; batch++) {
        transpose_b(v, xg_kin_data(k, 1), tb, ob * d->k * d->n);
        for (int64_t i = 0; i < d->m; i++) {
            xg_centre_i16(xg_kin_data(k, 0), ta, (oa * d->m + i) * d->k, d->k, v->aa.zp, v->row);
            for (int64_t j = 0; j < d->n; j++, at++) {
                int64_t acc = xg_dot_i16(v->row, v->bt + j * d->k, d->k);
                xg_store(xg_kout_data(k), ty, at,
                         xg_rq_apply(k->record, v->rq[j], acc, v->ya.zp, v->lo, v->hi));
            }
        }
        next_batch(d, ia, ib, &oa, &ob);
    }
}

static xg_status matmul_q(const xg_kernel *k, const matmul *d) {
    const xg_tensor *a = xg_kin(k, 0), *b = xg_kin(k, 1), *y = xg_kout(k);
    matmul_int v = {.d = *d, .bq = b->quant};
    if (!xg_dtype_is_int8(a->dtype) || !xg_dtype_is_int8(b->dtype)) return xg_kernel_no_type(k);
    xg_status st = xg_kernel_affine(k, a, &v.aa);
    if (!st) st = xg_kernel_affine(k, y, &v.ya);
    if (st) return st;
    if (!v.bq || (v.bq->n != 1 && v.bq->axis != b->rank - 1))
        return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED,
                             "tensor '%s' needs one scale, or one for each column", b->name);
    v.rq = xg_newn(k->scratch, xg_rq, (size_t)d->n);
    for (int64_t j = 0; j < d->n; j++) {
        float scale[2] = {v.aa.scale, v.bq->scale[v.bq->n == 1 ? 0 : j]};
        if (!xg_rq_derive(k->record, scale, 2, v.ya.scale, &v.rq[j]))
            return xg_kernel_inexpressible(k, scale[0], scale[1], v.ya.scale);
    }
    v.row = xg_newn(k->scratch, int16_t, (size_t)d->k);
    v.bt = xg_newn(k->scratch, int16_t, (size_t)(d->n * d->k));
    xg_kernel_bounds(k, &v.lo, &v.hi);
    run_int(k, &v);
    return XG_OK;
}

xg_status xg_kernel_MatMul(const xg_kernel *k) {
    matmul d;
    xg_status st = xg_matmul_dims_of(k, &d);
    if (st) return st;
    switch (xg_kernel_reading(k)) {
    case XG_READ_F32:
        matmul_f32(&d, xg_kin_data(k, 0), xg_kin_data(k, 1), xg_kout_data(k));
        return XG_OK;
    case XG_READ_QUANT:
        return matmul_q(k, &d);
    default:
        return xg_kernel_no_type(k);
    }
}
