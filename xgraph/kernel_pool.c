/* MaxPool and AvgPool: windows over the two spatial axes, channel by channel. */
#include "xgraph/kernel.h"

#include <math.h>
#include <string.h>

typedef struct pool {
    int64_t h, w, c, oh, ow, pixels;
    xg_window win;
    bool global; /* one window, which is the whole map */
} pool;

/* What one output pixel sees: the window positions [r0, r1) x [s0, s1) lie inside of the map (a
 * window may be far larger than the map), `padded` of all positions lie inside of map and padding.
 */
typedef struct pool_window {
    int64_t origin; /* element offset of x[n][y][x][0] at window position (0, 0); may lie outside of
                       x */
    int64_t r0, r1, s0, s1;
    int64_t inside, padded;
} pool_window;

static pool pool_of(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0), *y = xg_kout(k);
    pool p = {.h = x->dim[1],
              .w = x->dim[2],
              .c = x->dim[3],
              .oh = y->dim[1],
              .ow = y->dim[2],
              .pixels = y->dim[0] * y->dim[1] * y->dim[2],
              .win = xg_node_window(k->node)};
    const xg_window *v = &p.win;
    p.global = p.oh == 1 && p.ow == 1 && v->kh == p.h && v->kw == p.w && v->dh == 1 && v->dw == 1 &&
               !v->pt && !v->pl && !v->pb && !v->pr;
    return p;
}

/* The i in [0, size) for which first + i * step lies in [lo, hi): from *from up to, not including,
 * *to. */
static void inside_of(int64_t first, int64_t step, int64_t size, int64_t lo, int64_t hi,
                      int64_t *from, int64_t *to) {
    *from = first < lo ? xg_min(size, xg_ceil_div(lo - first, step)) : 0;
    *to = first < hi ? xg_min(size, xg_ceil_div(hi - first, step)) : 0;
    *to = xg_max(*from, *to);
}

static pool_window window_at(const pool *p, int64_t pixel) {
    const xg_window *v = &p->win;
    int64_t ox = pixel % p->ow, oy = pixel / p->ow % p->oh, n = pixel / p->ow / p->oh;
    int64_t y0 = oy * v->sh - v->pt, x0 = ox * v->sw - v->pl, r0, r1, s0, s1;
    pool_window w = {.origin = ((n * p->h + y0) * p->w + x0) * p->c};
    inside_of(y0, v->dh, v->kh, -v->pt, p->h + v->pb, &r0, &r1);
    inside_of(x0, v->dw, v->kw, -v->pl, p->w + v->pr, &s0, &s1);
    w.padded = (r1 - r0) * (s1 - s0);
    inside_of(y0, v->dh, v->kh, 0, p->h, &w.r0, &w.r1);
    inside_of(x0, v->dw, v->kw, 0, p->w, &w.s0, &w.s1);
    w.inside = (w.r1 - w.r0) * (w.s1 - w.s0);
    return w;
}

/* Offset of x[n][y][x][0] at a window position that lies inside. */
static int64_t source(const pool *p, const pool_window *w, int64_t r, int64_t s) {
    return w->origin + (r * p->win.dh * p->w + s * p->win.dw) * p->c;
}

static void max_f32(const pool *p, const float *x, float *y) {
    for (int64_t i = 0; i < p->pixels; i++, y += p->c) {
        pool_window w = window_at(p, i);
        for (int64_t c = 0; c < p->c; c++) y[c] = -INFINITY;
        for (int64_t r = w.r0; r < w.r1; r++)
            for (int64_t s = w.s0; s < w.s1; s++) {
                int64_t from = source(p, &w, r, s);
                for (int64_t c = 0; c < p->c; c++) y[c] = x[from + c] > y[c] ? x[from + c] : y[c];
            }
    }
}

static void max_int(const xg_kernel *k, const pool *p) {
    int32_t lo, hi, type_lo, type_hi;
    const xg_dtype t = xg_kin(k, 0)->dtype;
    const void *x = xg_kin_data(k, 0);
    int64_t *m = xg_newn(k->scratch, int64_t, (size_t)p->c);
    xg_kernel_bounds(k, &lo, &hi);
    xg_dtype_range(t, &type_lo, &type_hi);
    for (int64_t i = 0; i < p->pixels; i++) {
        pool_window w = window_at(p, i);
        for (int64_t c = 0; c < p->c; c++) m[c] = type_lo;
        for (int64_t r = w.r0; r < w.r1; r++)
            for (int64_t s = w.s0; s < w.s1; s++) {
                int64_t from = source(p, &w, r, s);
                for (int64_t c = 0; c < p->c; c++) m[c] = xg_max(m[c], xg_load(x, t, from + c));
            }
        for (int64_t c = 0; c < p->c; c++)
            xg_store(xg_kout_data(k), t, i * p->c + c, xg_clamp(m[c], lo, hi));
    }
}

xg_status xg_kernel_MaxPool(const xg_kernel *k) {
    pool p = pool_of(k);
    const xg_dtype t = xg_kout(k)->dtype;
    if (t == XG_F32)
        max_f32(&p, xg_kin_data(k, 0), xg_kout_data(k));
    else if (t == XG_I64)
        return xg_kernel_no_type(k);
    else
        max_int(k, &p);
    return XG_OK;
}

static void avg_f32(const pool *p, bool count_pad, const float *x, float *y) {
    for (int64_t i = 0; i < p->pixels; i++, y += p->c) {
        pool_window w = window_at(p, i);
        memset(y, 0, (size_t)p->c * sizeof *y);
        for (int64_t r = w.r0; r < w.r1; r++)
            for (int64_t s = w.s0; s < w.s1; s++) {
                int64_t from = source(p, &w, r, s);
                for (int64_t c = 0; c < p->c; c++) y[c] += x[from + c];
            }
        int64_t n = count_pad ? w.padded : w.inside;
        for (int64_t c = 0; n && c < p->c; c++) y[c] /= (float)n;
    }
}

/* The centred values of channel c inside the window, in r, s order; returns their number. */
static int32_t collect(const xg_kernel *k, const pool *p, const pool_window *w, int64_t c,
                       int32_t zp, int32_t *out) {
    int32_t n = 0;
    for (int64_t r = w->r0; r < w->r1; r++)
        for (int64_t s = w->s0; s < w->s1; s++)
            out[n++] =
                (int32_t)xg_load(xg_kin_data(k, 0), xg_kin(k, 0)->dtype, source(p, w, r, s) + c) -
                zp;
    return n;
}

static xg_status avg_int(const xg_kernel *k, const pool *p, bool count_pad) {
    xg_affine xa, ya;
    int32_t lo, hi, *x = xg_newn(k->scratch, int32_t, (size_t)(p->h * p->w));
    xg_status st = xg_kernel_affine(k, xg_kin(k, 0), &xa);
    if (!st) st = xg_kernel_affine(k, xg_kout(k), &ya);
    if (st) return st;
    xg_kernel_bounds(k, &lo, &hi);
    xg_poolrq q = {0}; /* derived anew when the count changes: at the borders only */
    for (int64_t i = 0; i < p->pixels; i++) {
        pool_window w = window_at(p, i);
        int64_t n = count_pad ? w.padded : w.inside;
        if (n < 1 || n > INT32_MAX)
            return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED, "an average of %lld values",
                                 (long long)n);
        if (q.n != n && !xg_pool_derive(k->record, xa.scale, ya.scale, (int32_t)n, p->global, &q))
            return xg_kernel_inexpressible(k, xa.scale, 0, ya.scale);
        for (int64_t c = 0; c < p->c; c++) {
            int32_t count = collect(k, p, &w, c, xa.zp, x);
            xg_store(xg_kout_data(k), xg_kout(k)->dtype, i * p->c + c,
                     xg_pool_apply(k->record, &q, x, count, ya.zp, lo, hi));
        }
    }
    return XG_OK;
}

xg_status xg_kernel_AvgPool(const xg_kernel *k) {
    pool p = pool_of(k);
    bool count_pad = xg_ai(k->node, XG_ATTR_count_pad);
    switch (xg_kernel_reading(k)) {
    case XG_READ_F32:
        avg_f32(&p, count_pad, xg_kin_data(k, 0), xg_kout_data(k));
        return XG_OK;
    case XG_READ_QUANT:
        return avg_int(k, &p, count_pad);
    default:
        return xg_kernel_no_type(k);
    }
}
