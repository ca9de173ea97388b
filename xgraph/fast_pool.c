/* MaxPool and AvgPool on 8-bit maps, all channels of a pixel side by side. */
#include "xgraph/fast.h"

#include <string.h>

typedef struct pool {
    int64_t h, w, c, oh, ow, pixels;
    xg_window win;
    xg_fast_type t;
    const uint8_t *x;
    uint8_t *y;
} pool;

/* Window positions of one output pixel: [r0, r1) x [s0, s1) lie inside of the map, `padded` of all
 * inside of map and padding. */
typedef struct span {
    int64_t origin, r0, r1, s0, s1, inside, padded;
} span;

static bool pool_of(const xg_kernel *k, pool *p) {
    const xg_tensor *x = xg_kin(k, 0), *y = xg_kout(k);
    *p = (pool){.h = x->dim[1],
                .w = x->dim[2],
                .c = x->dim[3],
                .oh = y->dim[1],
                .ow = y->dim[2],
                .pixels = y->dim[0] * y->dim[1] * y->dim[2],
                .win = xg_node_window(k->node),
                .t = xg_fast_type_of(x->dtype),
                .x = xg_kin_data(k, 0),
                .y = xg_kout_data(k)};
    return xg_dtype_is_int8(x->dtype) && xg_dtype_is_int8(y->dtype);
}

/* The i in [0, n) with lo <= first + i * step < hi. */
static void clip(int64_t first, int64_t step, int64_t n, int64_t lo, int64_t hi, int64_t *from,
                 int64_t *to) {
    *from = first >= lo ? 0 : xg_min(n, xg_ceil_div(lo - first, step));
    *to = first >= hi ? 0 : xg_min(n, xg_ceil_div(hi - first, step));
    *to = xg_max(*from, *to);
}

static span span_at(const pool *p, int64_t pixel) {
    const xg_window *v = &p->win;
    int64_t ox = pixel % p->ow, oy = pixel / p->ow % p->oh, n = pixel / p->ow / p->oh;
    int64_t iy = oy * v->sh - v->pt, ix = ox * v->sw - v->pl;
    span s = {.origin = ((n * p->h + iy) * p->w + ix) * p->c};
    clip(iy, v->dh, v->kh, -v->pt, p->h + v->pb, &s.r0, &s.r1);
    clip(ix, v->dw, v->kw, -v->pl, p->w + v->pr, &s.s0, &s.s1);
    s.padded = (s.r1 - s.r0) * (s.s1 - s.s0);
    clip(iy, v->dh, v->kh, 0, p->h, &s.r0, &s.r1);
    clip(ix, v->dw, v->kw, 0, p->w, &s.s0, &s.s1);
    s.inside = (s.r1 - s.r0) * (s.s1 - s.s0);
    return s;
}

static const uint8_t *tap(const pool *p, const span *s, int64_t r, int64_t c) {
    return p->x + s->origin + (r * p->win.dh * p->w + c * p->win.dw) * p->c;
}

bool xg_fast_max_pool(const xg_kernel *k, const xg_fast_isa *isa) {
    pool p;
    if (!pool_of(k, &p)) return false;
    int32_t lo, hi;
    xg_kernel_bounds(k, &lo, &hi);
    uint8_t clamp[256]; /* of u, back to the element's own form */
    for (int i = 0; i < 256; i++) clamp[i] = (uint8_t)xg_clamp(i - p.t.off, lo, hi);
    for (int64_t i = 0; i < p.pixels; i++) {
        const span s = span_at(&p, i);
        uint8_t *y = p.y + i * p.c;
        memset(y, 0, (size_t)p.c);
        for (int64_t r = s.r0; r < s.r1; r++)
            for (int64_t c = s.s0; c < s.s1; c++) isa->max(tap(&p, &s, r, c), p.t.flip, p.c, y);
        xg_fast_lookup(y, 0, clamp, p.c, y);
    }
    return true;
}

/* ---- average --------------------------------------------------------------------------------- */

typedef struct average {
    pool p;
    const xg_kernel *k;
    const xg_fast_isa *isa;
    xg_affine xa, ya;
    int32_t lo, hi;
    bool global;
    int64_t n; /* divisor that q, rq and mean are for; 0 = none yet */
    xg_poolrq q;
    xg_rq *same;   /* [c] equal constants */
    xg_arena *tmp; /* of rq: made anew with every divisor, and there may be many */
    xg_fast_rq rq; /* all but a window in binary32, and EXACT */
    xg_fast_mean mean;
    xg_rqrec record; /* the pool's rounding as that of a method */
    int32_t *sum;
    float *fsum;
} average;

static float f32_of(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static bool window_f32(const average *v) {
    return v->k->record->pool == XG_POOL_F32 && !v->global;
}

/* Constants for a divisor of n. */
static bool prepare(average *v, int64_t n) {
    if (v->n == n) return true;
    if (n < 1 || n > INT32_MAX ||
        !xg_pool_derive(v->k->record, v->xa.scale, v->ya.scale, (int32_t)n, v->global, &v->q))
        return false;
    v->n = n;
    if (window_f32(v)) {
        const bool before = v->k->record->zp_before_round;
        v->mean = (xg_fast_mean){
            f32_of(v->q.m.mult),   (float)n, f32_of(v->q.d.mult),
            (float)v->ya.zp,       before,   xg_fast_round_of(v->k->record->rounding[0]),
            before ? 0 : v->ya.zp, v->lo,    v->hi};
    } else if (v->k->record->pool != XG_POOL_EXACT) {
        for (int64_t c = 0; c < v->p.c; c++) v->same[c] = v->q.m;
        xg_arena_free(v->tmp);
        v->tmp = xg_arena_new(v->k->ctx);
        xg_fast_rq_of(v->tmp, &v->record, v->same, v->p.c, v->ya.zp, v->lo, v->hi, &v->rq);
    }
    return true;
}

static void pixel_f32(average *v, const span *s, uint8_t *y) {
    const pool *p = &v->p;
    memset(v->fsum, 0, (size_t)p->c * sizeof *v->fsum);
    for (int64_t r = s->r0; r < s->r1; r++)
        for (int64_t c = s->s0; c < s->s1; c++)
            v->isa->sum_f32(tap(p, s, r, c), p->t.flip, p->t.off + v->xa.zp, v->mean.sx, p->c,
                            v->fsum);
    v->isa->mean_f32(&v->mean, v->fsum, p->c, y);
}

/* Every other method is a function of the sum. */
static void pixel_int(average *v, const span *s, uint8_t *y) {
    const pool *p = &v->p;
    memset(v->sum, 0, (size_t)p->c * sizeof *v->sum);
    for (int64_t r = s->r0; r < s->r1; r++)
        for (int64_t c = s->s0; c < s->s1; c++)
            v->isa->sum(tap(p, s, r, c), p->t.flip, p->t.off + v->xa.zp, p->c, v->sum);
    if (v->k->record->pool != XG_POOL_EXACT && v->rq.how != XG_FAST_SCALAR)
        v->isa->requantise(&v->rq, v->sum, 0, p->c, y);
    else
        for (int64_t c = 0; c < p->c; c++)
            y[c] =
                (uint8_t)xg_pool_apply(v->k->record, &v->q, &v->sum[c], 1, v->ya.zp, v->lo, v->hi);
}

static bool all_pixels(average *v, bool count_pad) {
    for (int64_t i = 0; i < v->p.pixels; i++) {
        const span s = span_at(&v->p, i);
        if (!prepare(v, count_pad ? s.padded : s.inside)) return false;
        if (window_f32(v))
            pixel_f32(v, &s, v->p.y + i * v->p.c);
        else
            pixel_int(v, &s, v->p.y + i * v->p.c);
    }
    return true;
}

bool xg_fast_avg_pool(const xg_kernel *k, const xg_fast_isa *isa) {
    average v = {.k = k, .isa = isa, .record = *k->record};
    if (!pool_of(k, &v.p) || !xg_fast_affine(xg_kin(k, 0), &v.xa) ||
        !xg_fast_affine(xg_kout(k), &v.ya))
        return false;
    const xg_window *w = &v.p.win;
    v.global = v.p.oh == 1 && v.p.ow == 1 && w->kh == v.p.h && w->kw == v.p.w && w->dh == 1 &&
               w->dw == 1 && !(w->pt | w->pl | w->pb | w->pr);
    if (v.p.h * v.p.w > INT32_MAX / 256) return false; /* sums fit 32 bits */
    v.record.method = k->record->pool == XG_POOL_F32 ? XG_RQ_F32 : XG_RQ_MULSHIFT;
    xg_kernel_bounds(k, &v.lo, &v.hi);
    v.sum = xg_newn(k->scratch, int32_t, (size_t)v.p.c);
    v.fsum = xg_newn(k->scratch, float, (size_t)v.p.c);
    v.same = xg_newn(k->scratch, xg_rq, (size_t)v.p.c);
    const bool done = all_pixels(&v, xg_ai(k->node, XG_ATTR_count_pad));
    xg_arena_free(v.tmp);
    return done;
}
