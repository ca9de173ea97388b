/* Conv and MatMul on 8-bit integers as dot products of patches with filters.
 *
 * What a window has outside of the map is filled with the zero point, so that (x - zx) is 0 there.
 * With u = x ^ flip, zu the zero point moved along, and signed weights ws with zero point zs:
 *   sum (u - zu)(ws - zs) = sum u ws - zu sum ws - zs sum u + k zu zs
 * The levels without VNNI multiply centred 16-bit values instead. A node is taken only when k times
 * the largest product plus the largest bias fits 32 bits.
 */
#include "xgraph/fast.h"

#include <string.h>

enum { PATCH_BYTES = 192 * 1024, ROWS = XG_FAST_ROWS, COLS = XG_FAST_COLS, LANES = 16 };

typedef struct job {
    const xg_kernel *k;
    const xg_fast_isa *isa;
    xg_conv_dims d;
    const uint8_t *x, *w;
    const int32_t *bias; /* NULL = none */
    int64_t so, sk;      /* weights: elements from filter to filter, from term to term */
    xg_fast_type xt;
    xg_dtype wt;
    xg_affine xa, ya;
    const xg_quant *wq;
    xg_fast_rq rq;
    uint8_t *y;
} job;

/* ---- may it be taken ------------------------------------------------------------------------- */

static int64_t largest(xg_dtype t, int32_t zp) {
    int32_t lo, hi;
    xg_dtype_range(t, &lo, &hi);
    return xg_max((int64_t)zp - lo, (int64_t)hi - zp);
}

/* Whether no accumulator, in any order of summing, leaves 32 bits. */
static bool narrow(const job *j, int64_t terms) {
    int64_t w = 0, bias = 0;
    for (uint32_t i = 0; i < j->wq->n; i++) w = xg_max(w, largest(j->wt, j->wq->zp[i]));
    for (int64_t o = 0; j->bias && o < j->d.o; o++)
        bias = xg_max(bias, j->bias[o] < 0 ? -(int64_t)j->bias[o] : j->bias[o]);
    int64_t product = w * largest(xg_kin(j->k, 0)->dtype, j->xa.zp);
    return terms <= (INT32_MAX - bias) / product;
}

static bool setup(job *j, const xg_kernel *k, const xg_fast_isa *isa, int32_t axis) {
    const xg_tensor *x = xg_kin(k, 0), *w = xg_kin(k, 1), *b = xg_kin(k, 2), *y = xg_kout(k);
    if (!xg_dtype_is_int8(x->dtype) || !xg_dtype_is_int8(w->dtype) || !xg_dtype_is_int8(y->dtype) ||
        (b && b->dtype != XG_I32) || !xg_fast_affine(x, &j->xa) || !xg_fast_affine(y, &j->ya))
        return false;
    j->k = k;
    j->isa = isa;
    j->x = xg_kin_data(k, 0);
    j->w = xg_kin_data(k, 1);
    j->bias = xg_kin_data(k, 2);
    j->y = xg_kout_data(k);
    j->xt = xg_fast_type_of(x->dtype);
    j->wt = w->dtype;
    j->wq = w->quant;
    return j->wq && (j->wq->n == 1 || (j->wq->axis == axis && j->wq->n == j->d.o));
}

static bool derive(job *j) {
    xg_rq *rq = xg_newn(j->k->scratch, xg_rq, (size_t)j->d.o);
    int32_t lo, hi;
    for (int64_t o = 0; o < j->d.o; o++) {
        float scale[2] = {j->xa.scale, j->wq->scale[j->wq->n == 1 ? 0 : o]};
        if (!xg_rq_derive(j->k->record, scale, 2, j->ya.scale, &rq[o])) return false;
    }
    xg_kernel_bounds(j->k, &lo, &hi);
    xg_fast_rq_of(j->k->scratch, j->k->record, rq, j->d.o, j->ya.zp, lo, hi, &j->rq);
    return true;
}

/* ---- weights --------------------------------------------------------------------------------- */

static int32_t weight_zp(const job *j, int64_t o) {
    return j->wq->zp[j->wq->n == 1 ? 0 : o];
}

static void pack_centred(const job *j, int64_t first, xg_fast_weights *w) {
    const xg_fast_type t = xg_fast_type_of(j->wt);
    for (int64_t o = 0; o < w->o; o++) {
        const uint8_t *from = j->w + (first + o) * j->so;
        int16_t *to = (int16_t *)w->w + o * w->ld;
        const int32_t off = t.off + weight_zp(j, first + o);
        if (j->sk == 1)
            for (int64_t i = 0; i < w->k; i++) to[i] = (int16_t)((from[i] ^ t.flip) - off);
        else
            for (int64_t i = 0; i < w->k; i++) to[i] = (int16_t)((from[i * j->sk] ^ t.flip) - off);
    }
}

/* Four terms of 16 filters side by side; the sum of each filter. */
static void pack_block(const job *j, int64_t first, int64_t n, uint8_t flip, int64_t k, int64_t ld,
                       uint8_t *to) {
    const uint32_t flip4 = flip * UINT32_C(0x01010101);
    const uint8_t *from = j->w + first * j->so;
    for (int64_t i = 0; i < ld; i += 4, to += 4 * LANES)
        for (int64_t o = 0; o < n; o++) {
            const uint8_t *p = from + o * j->so + i * j->sk;
            uint32_t four = 0;
            if (j->sk == 1 && i + 4 <= k) {
                memcpy(&four, p, 4);
                four ^= flip4;
                memcpy(to + 4 * o, &four, 4);
            } else {
                for (int64_t b = 0; b < 4 && i + b < k; b++)
                    to[4 * o + b] = (uint8_t)(p[b * j->sk] ^ flip);
            }
        }
}

static int32_t filter_sum(const job *j, int64_t o, int64_t k, uint8_t flip) {
    const uint8_t *p = j->w + o * j->so;
    int32_t sum = 0;
    if (j->sk == 1)
        for (int64_t i = 0; i < k; i++) sum += (int8_t)(p[i] ^ flip);
    else
        for (int64_t i = 0; i < k; i++) sum += (int8_t)(p[i * j->sk] ^ flip);
    return sum;
}

/* Modulo 2^32: parts may overflow, the whole does not. */
static void pack_vnni(const job *j, int64_t first, xg_fast_weights *w, int32_t *start,
                      int32_t *zw) {
    const uint8_t flip = j->wt == XG_U8 ? 0x80 : 0;
    const uint32_t zu = (uint32_t)(j->xa.zp + j->xt.off);
    bool zero = true;
    for (int64_t o = 0; o < w->o; o += LANES)
        pack_block(j, first + o, xg_min(LANES, w->o - o), flip, w->k, w->ld,
                   (uint8_t *)w->w + o * w->ld);
    for (int64_t o = 0; o < w->o; o++) {
        zw[o] = weight_zp(j, first + o) - flip;
        zero = zero && zw[o] == 0;
        uint32_t sum = (uint32_t)filter_sum(j, first + o, w->k, flip);
        start[o] = (int32_t)((uint32_t)start[o] - zu * sum + (uint32_t)w->k * zu * (uint32_t)zw[o]);
    }
    w->zw = zero ? NULL : zw;
}

/* The filters [first, first + n). */
static void pack(const job *j, xg_arena *a, int64_t first, int64_t n, xg_fast_weights *w) {
    const int64_t padded = xg_ceil_div(n, LANES) * LANES, vector = j->isa->vector;
    *w = (xg_fast_weights){.o = n, .k = j->d.k, .ld = xg_ceil_div(j->d.k, vector) * vector};
    int32_t *start = xg_newn(a, int32_t, 2 * (size_t)padded);
    for (int64_t o = 0; j->bias && o < n; o++) start[o] = j->bias[first + o];
    w->w = xg_alloc_array(a, (size_t)(padded * w->ld), j->isa->centred ? 2 : 1);
    if (j->isa->centred)
        pack_centred(j, first, w);
    else
        pack_vnni(j, first, w, start, start + padded);
    w->start = start;
}

/* Of all groups: kept with the values from the second run on, so that a graph which runs once needs
 * no memory for them. */
static const xg_fast_weights *weights(const job *j) {
    xg_fast_packed *p = xg_fast_packed_of(j->k, j->isa->level);
    if (p && p->group) return p->group;
    xg_arena *a = p && p->runs++ ? j->k->values->arena : j->k->scratch;
    xg_fast_weights *w = xg_newn(a, xg_fast_weights, (size_t)j->d.group);
    for (int64_t g = 0; g < j->d.group; g++) pack(j, a, g * j->d.og, j->d.og, &w[g]);
    if (p && a == j->k->values->arena) p->group = w;
    return w;
}

/* ---- patches --------------------------------------------------------------------------------- */

/* One row of a window, `run` bytes a position: positions of one map row follow each other in memory
 * when they are neighbours (no dilation) and all channels are wanted. */
static void gather_row(const job *j, const uint8_t *row, int64_t ix, int64_t run, uint8_t *to) {
    const xg_conv_dims *d = &j->d;
    const xg_window *v = &d->win;
    if (v->dw == 1 && run == d->c) {
        int64_t s0 = xg_clamp(-ix, 0, v->kw), s1 = xg_clamp(d->w - ix, s0, v->kw);
        memset(to, (uint8_t)j->xa.zp, (size_t)(s0 * run));
        if (s1 > s0) memcpy(to + s0 * run, row + (ix + s0) * run, (size_t)((s1 - s0) * run));
        memset(to + s1 * run, (uint8_t)j->xa.zp, (size_t)((v->kw - s1) * run));
        return;
    }
    for (int64_t s = 0; s < v->kw; s++, ix += v->dw, to += run)
        if (ix < 0 || ix >= d->w)
            memset(to, (uint8_t)j->xa.zp, (size_t)run);
        else
            memcpy(to, row + ix * d->c, (size_t)run);
}

static void gather(const job *j, int64_t g, int64_t pixel, uint8_t *to) {
    const xg_conv_dims *d = &j->d;
    const xg_window *v = &d->win;
    int64_t ox = pixel % d->ow, oy = pixel / d->ow % d->oh, n = pixel / d->ow / d->oh;
    const int64_t run = d->cg, line = v->kw * run;
    for (int64_t r = 0; r < v->kh; r++, to += line) {
        int64_t iy = oy * v->sh - v->pt + r * v->dh;
        if (iy < 0 || iy >= d->h)
            memset(to, (uint8_t)j->xa.zp, (size_t)line);
        else
            gather_row(j, j->x + (n * d->h + iy) * d->w * d->c + g * d->cg, ox * v->sw - v->pl, run,
                       to);
    }
}

/* Whether the patches of consecutive pixels are consecutive bytes of x. */
static bool dense(const xg_conv_dims *d) {
    const xg_window *v = &d->win;
    return d->group == 1 && v->kh == 1 && v->kw == 1 && v->sh == 1 && v->sw == 1 &&
           !(v->pt | v->pl | v->pb | v->pr);
}

typedef struct patches {
    int64_t most; /* pixels that fit */
    uint8_t *raw;
    int16_t *wide; /* centred levels */
    int32_t *acc;  /* [ROWS][COLS] */
} patches;

static patches patches_new(const job *j, int64_t ld) {
    patches p = {.most = xg_clamp(PATCH_BYTES / ld / ROWS, 1, xg_ceil_div(j->d.pixels, ROWS))};
    p.most *= ROWS;
    p.raw = xg_newn(j->k->scratch, uint8_t, (size_t)(p.most * ld));
    if (j->isa->centred) p.wide = xg_newn(j->k->scratch, int16_t, (size_t)(p.most * ld));
    p.acc = xg_newn(j->k->scratch, int32_t, ROWS * COLS);
    return p;
}

static void fill(const job *j, const patches *p, int64_t g, int64_t first, int64_t count,
                 int64_t ld) {
    if (dense(&j->d) && ld == j->d.k)
        memcpy(p->raw, j->x + first * ld, (size_t)(count * ld));
    else
        for (int64_t i = 0; i < count; i++) gather(j, g, first + i, p->raw + i * ld);
    j->isa->patch(p->raw, count * ld, j->xt.flip, j->xt.off + j->xa.zp, p->wide);
}

static void multiply(const job *j, const xg_fast_weights *w, const patches *p, int64_t g,
                     int64_t first, int64_t count) {
    const int64_t og = j->d.og;
    for (int64_t o = 0; o < og; o += COLS) {
        const int64_t no = xg_min(COLS, og - o);
        for (int64_t i = 0; i < count; i += ROWS) {
            const int64_t rows = xg_min(ROWS, count - i);
            const void *from =
                p->wide ? (const void *)(p->wide + i * w->ld) : (const void *)(p->raw + i * w->ld);
            j->isa->tile(w, from, rows, o, no, p->acc);
            for (int64_t r = 0; r < rows; r++)
                j->isa->requantise(&j->rq, p->acc + r * COLS, g * og + o, no,
                                   j->y + (first + i + r) * j->d.o + g * og + o);
        }
    }
}

static void grouped(const job *j) {
    const xg_fast_weights *w = weights(j);
    const patches p = patches_new(j, w->ld);
    for (int64_t g = 0; g < j->d.group; g++)
        for (int64_t first = 0; first < j->d.pixels; first += p.most) {
            const int64_t count = xg_min(p.most, j->d.pixels - first);
            fill(j, &p, g, first, count, w->ld);
            multiply(j, &w[g], &p, g, first, count);
        }
}

/* ---- depthwise ------------------------------------------------------------------------------- */

/* First channel of the map under each window position of an output pixel, NULL outside. */
static void find_taps(const job *j, int64_t n, int64_t oy, int64_t ox, const uint8_t **x) {
    const xg_conv_dims *d = &j->d;
    const xg_window *v = &d->win;
    int64_t iy = oy * v->sh - v->pt;
    for (int64_t r = 0; r < v->kh; r++, iy += v->dh) {
        const bool inside = iy >= 0 && iy < d->h;
        const uint8_t *row = inside ? j->x + (n * d->h + iy) * d->w * d->c : NULL;
        int64_t ix = ox * v->sw - v->pl;
        for (int64_t s = 0; s < v->kw; s++, ix += v->dw)
            *x++ = inside && ix >= 0 && ix < d->w ? row + ix * d->c : NULL;
    }
}

/* Centred weights as [r, s][c]. */
static int16_t *tap_weights(const job *j) {
    const xg_conv_dims *d = &j->d;
    const xg_fast_type t = xg_fast_type_of(j->wt);
    int16_t *w = xg_newn(j->k->scratch, int16_t, (size_t)(d->k * d->c));
    for (int64_t c = 0; c < d->c; c++)
        for (int64_t i = 0; i < d->k; i++)
            w[i * d->c + c] = (int16_t)((j->w[c * d->k + i] ^ t.flip) - t.off - weight_zp(j, c));
    return w;
}

/* One input and one output channel a group: the channels of a pixel side by side. */
static void depthwise(const job *j) {
    const xg_conv_dims *d = &j->d;
    int32_t *none = xg_newn(j->k->scratch, int32_t, (size_t)d->c), acc[XG_FAST_RUN];
    const uint8_t **x = xg_newn(j->k->scratch, const uint8_t *, (size_t)d->k);
    const xg_fast_taps taps = {x, tap_weights(j), d->k, d->c, j->xt.flip, j->xt.off + j->xa.zp};
    const int32_t *start = j->bias ? j->bias : none;
    uint8_t *y = j->y;
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t oy = 0; oy < d->oh; oy++)
            for (int64_t ox = 0; ox < d->ow; ox++, y += d->c) {
                find_taps(j, n, oy, ox, x);
                for (int64_t c = 0; c < d->c; c += XG_FAST_RUN) {
                    const int64_t run = xg_min(XG_FAST_RUN, d->c - c);
                    j->isa->depthwise(&taps, start, c, run, acc);
                    j->isa->requantise(&j->rq, acc, c, run, y + c);
                }
            }
}

bool xg_fast_conv(const xg_kernel *k, const xg_fast_isa *isa) {
    job j = {.d = xg_conv_dims_of(k)};
    j.so = j.d.k;
    j.sk = 1;
    if (!setup(&j, k, isa, 0) || !narrow(&j, j.d.k) || !derive(&j)) return false;
    if (j.d.cg == 1 && j.d.og == 1)
        depthwise(&j);
    else
        grouped(&j);
    return true;
}

/* One matrix b for all rows of a: a Conv of 1 x 1 whose filters are the columns of b. */
bool xg_fast_matmul(const xg_kernel *k, const xg_fast_isa *isa) {
    const xg_tensor *a = xg_kin(k, 0), *b = xg_kin(k, 1);
    if (a->rank < 2 || b->rank < 2) return false;
    const int64_t terms = a->dim[a->rank - 1], n = b->dim[b->rank - 1];
    if (xg_tensor_elems(b) != terms * n || a->rank < b->rank) return false;
    const int64_t rows = xg_tensor_elems(a) / terms;
    job j = {.d = {.n = 1,
                   .h = 1,
                   .w = rows,
                   .c = terms,
                   .o = n,
                   .oh = 1,
                   .ow = rows,
                   .group = 1,
                   .cg = terms,
                   .og = n,
                   .k = terms,
                   .pixels = rows,
                   .win = {.kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1}},
             .so = 1,
             .sk = n};
    if (!setup(&j, k, isa, b->rank - 1) || !narrow(&j, terms) || !derive(&j)) return false;
    grouped(&j);
    return true;
}
