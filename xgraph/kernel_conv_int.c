/* Conv on 8-bit integers: acc = b[o] + sum (x - zx)(w - zw), exact; y = requantise(acc). Padding
 * contributes nothing.
 *
 * The sum is exact in any order: a patch and a filter are centred once ((x - zx), (w - zw) in
 * [-255, 255]) and multiplied as a dot product; 32-bit partial sums are bounded in xg_dot_i16, the
 * total is 64 bits wide.
 */
#include "xgraph/kernel.h"

#include <string.h>

enum { TILE = 16 };

typedef struct conv_int {
    xg_conv_dims d;
    const void *x, *w;
    xg_dtype xt, wt, yt;
    const int32_t *bias; /* NULL = none */
    int16_t *wc;         /* centred weights [o][k] */
    const xg_rq *rq;     /* [o] */
    xg_affine xa, ya;
    int32_t lo, hi;
    void *y;
} conv_int;

static void finish(const conv_int *v, const xg_rqrec *rec, int64_t pixel, int64_t o, int64_t acc) {
    if (v->bias) acc += v->bias[o];
    xg_store(v->y, v->yt, pixel * v->d.o + o,
             xg_rq_apply(rec, v->rq[o], acc, v->ya.zp, v->lo, v->hi));
}

static void gather(const conv_int *v, int64_t g, int64_t pixel, int16_t *patch) {
    const xg_conv_dims *d = &v->d;
    for (int64_t r = 0; r < d->win.kh; r++)
        for (int64_t s = 0; s < d->win.kw; s++, patch += d->cg) {
            int64_t from = xg_conv_source(d, pixel, r, s);
            if (from < 0)
                memset(patch, 0, (size_t)d->cg * sizeof *patch);
            else
                xg_centre_i16(v->x, v->xt, from + g * d->cg, d->cg, v->xa.zp, patch);
        }
}

static void grouped(const conv_int *v, const xg_kernel *k) {
    const xg_conv_dims *d = &v->d;
    int16_t *patch = xg_newn(k->scratch, int16_t, (size_t)(TILE * d->k));
    for (int64_t g = 0; g < d->group; g++)
        for (int64_t first = 0; first < d->pixels; first += TILE) {
            int64_t count = xg_min(TILE, d->pixels - first);
            for (int64_t p = 0; p < count; p++) gather(v, g, first + p, patch + p * d->k);
            for (int64_t o = g * d->og; o < (g + 1) * d->og; o++)
                for (int64_t p = 0; p < count; p++)
                    finish(v, k->record, first + p, o,
                           xg_dot_i16(patch + p * d->k, v->wc + o * d->k, d->k));
        }
}

/* One input and one output channel a group: all channels of a pixel side by side, one window
 * position after another. Window positions are summed in 64 bits after at most 32768 of them, like
 * the runs of xg_dot_i16. */
static void depthwise(const conv_int *v, const xg_kernel *k) {
    const xg_conv_dims *d = &v->d;
    int16_t *wt = xg_newn(k->scratch, int16_t, (size_t)(d->k * d->c)); /* [r, s][c] */
    int16_t *x = xg_newn(k->scratch, int16_t, (size_t)d->c);
    int32_t *part = xg_newn(k->scratch, int32_t, (size_t)d->c);
    int64_t *acc = xg_newn(k->scratch, int64_t, (size_t)d->c);
    for (int64_t c = 0; c < d->c; c++)
        for (int64_t i = 0; i < d->k; i++) wt[i * d->c + c] = v->wc[c * d->k + i];
    for (int64_t p = 0; p < d->pixels; p++) {
        memset(acc, 0, (size_t)d->c * sizeof *acc);
        memset(part, 0, (size_t)d->c * sizeof *part);
        for (int64_t i = 0; i < d->k; i++) {
            int64_t from = xg_conv_source(d, p, i / d->win.kw, i % d->win.kw);
            if (from >= 0) {
                const int16_t *wi = wt + i * d->c;
                xg_centre_i16(v->x, v->xt, from, d->c, v->xa.zp, x);
                for (int64_t c = 0; c < d->c; c++) part[c] += (int32_t)x[c] * wi[c];
            }
            if (i % 32768 == 32767 || i == d->k - 1)
                for (int64_t c = 0; c < d->c; c++) {
                    acc[c] += part[c];
                    part[c] = 0;
                }
        }
        for (int64_t c = 0; c < d->c; c++) finish(v, k->record, p, c, acc[c]);
    }
}

/* Centred weights and one requantisation for each output channel. */
static xg_status prepare(const xg_kernel *k, conv_int *v) {
    const xg_quant *q = xg_kin(k, 1)->quant;
    const xg_conv_dims *d = &v->d;
    if (!q || (q->n != 1 && (q->axis != 0 || q->n != d->o)))
        return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED,
                             "weights '%s' need one scale, or one for each output channel",
                             xg_kin(k, 1)->name);
    xg_rq *rq = xg_newn(k->scratch, xg_rq, (size_t)d->o);
    v->wc = xg_newn(k->scratch, int16_t, (size_t)(d->o * d->k));
    for (int64_t o = 0; o < d->o; o++) {
        uint32_t i = q->n == 1 ? 0 : (uint32_t)o;
        float scale[2] = {v->xa.scale, q->scale[i]};
        if (!xg_rq_derive(k->record, scale, 2, v->ya.scale, &rq[o]))
            return xg_kernel_inexpressible(k, scale[0], scale[1], v->ya.scale);
        xg_centre_i16(v->w, v->wt, o * d->k, d->k, q->zp[i], v->wc + o * d->k);
    }
    v->rq = rq;
    return XG_OK;
}

xg_status xg_conv_int(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0), *w = xg_kin(k, 1), *b = xg_kin(k, 2), *y = xg_kout(k);
    if (!xg_dtype_is_int8(x->dtype) || !xg_dtype_is_int8(w->dtype) || (b && b->dtype != XG_I32))
        return xg_kernel_no_type(k);
    conv_int v = {.d = xg_conv_dims_of(k),
                  .x = xg_kin_data(k, 0),
                  .w = xg_kin_data(k, 1),
                  .bias = xg_kin_data(k, 2),
                  .xt = x->dtype,
                  .wt = w->dtype,
                  .yt = y->dtype,
                  .y = xg_kout_data(k)};
    xg_status st = xg_kernel_affine(k, x, &v.xa);
    if (!st) st = xg_kernel_affine(k, y, &v.ya);
    if (!st) st = prepare(k, &v);
    if (st) return st;
    xg_kernel_bounds(k, &v.lo, &v.hi);
    if (v.d.cg == 1 && v.d.og == 1)
        depthwise(&v, k);
    else
        grouped(&v, k);
    return XG_OK;
}
