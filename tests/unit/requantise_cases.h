/* Requantisation in five forms that must agree on every case: the oracle (fixed_oracle.h), the
 * definition (base/fixed.c), the simulators' datapath (isa/datapath.c), and the vector forms of
 * interpreter (xgraph/fast_rq.c) and simulators (isa/tile_fast_rq.c) at the host's level.
 *
 * rq_random() draws blocks of constants and accumulators; rq_boundary() walks through methods,
 * roundings, multiplier widths and shifts and takes the accumulators on both sides of every
 * boundary between two results, and the ends of the accumulator. Nothing is printed. */
#ifndef XG_REQUANTISE_CASES_H
#define XG_REQUANTISE_CASES_H

#include "isa/tile_fast.h"
#include "xgraph/fast.h"

#include "fixed_oracle.h"

#include <stdio.h>

enum { RQ_CHANNELS = 64, RQ_PIXELS = 16, RQ_CASES = RQ_CHANNELS * RQ_PIXELS };

typedef struct rq_count {
    uint64_t cases, inside, wide;    /* not decided by the clamp; accumulators beyond 32 bits */
    uint64_t interpreter, simulator; /* also compared in vector form */
    uint64_t differences;
    char first[200]; /* the first difference, in words */
} rq_count;

/* One record, a pair of constants a channel, RQ_PIXELS accumulators for each. */
typedef struct rq_block {
    xg_rqrec r;
    xg_rq q[RQ_CHANNELS];
    int32_t zp, lo, hi;
    bool wide;
    int64_t acc[RQ_CASES]; /* [pixel][channel] */
} rq_block;

static inline void rq_differs(rq_count *n, const rq_block *b, const char *form, int i, int64_t got,
                              int64_t want) {
    if (n->differences++) return;
    xg_rq q = b->q[i % RQ_CHANNELS];
    snprintf(n->first, sizeof n->first,
             "%s: method %d %s %s mul_bits %d, acc %lld mult %d shift %d zp %d: %lld, oracle %lld",
             form, b->r.method, xg_rounding_name(b->r.rounding[0]),
             xg_rounding_name(b->r.rounding[1]), b->r.mul_bits, (long long)b->acc[i], q.mult,
             q.shift, b->zp, (long long)got, (long long)want);
}

static inline void rq_compare_rows(rq_count *n, const rq_block *b, const char *form,
                                   const uint8_t *got, const int32_t *want) {
    for (int i = 0; i < RQ_CASES; i++)
        if (got[i] != (uint8_t)want[i]) rq_differs(n, b, form, i, got[i], (uint8_t)want[i]);
}

static inline void rq_vector_forms(xg_ctx *c, rq_count *n, const rq_block *b, const int32_t *want) {
    xg_arena *a = xg_arena_new(c);
    int32_t acc[RQ_CASES];
    uint8_t out[RQ_CASES];
    for (int i = 0; i < RQ_CASES; i++) acc[i] = (int32_t)b->acc[i];
    xg_fast_rq fast;
    xg_fast_rq_of(a, &b->r, b->q, RQ_CHANNELS, b->zp, b->lo, b->hi, &fast);
    if (fast.how != XG_FAST_SCALAR) {
        const xg_fast_isa *isa = xg_fast_isa_of(xg_cpu_level());
        for (int p = 0; p < RQ_PIXELS; p++)
            isa->requantise(&fast, acc + p * RQ_CHANNELS, 0, RQ_CHANNELS, out + p * RQ_CHANNELS);
        rq_compare_rows(n, b, "interpreter's vector form", out, want);
        n->interpreter += RQ_CASES;
    }
    xg_tile_rq *tile = xg_new(a, xg_tile_rq);
    xg_tile_rq_begin(tile, &b->r, b->zp, b->lo, b->hi);
    bool fits = true;
    for (uint32_t i = 0; i < RQ_CHANNELS && fits; i++)
        fits = xg_tile_rq_set(tile, &b->r, i, b->q[i].mult, b->q[i].shift);
    if (fits) {
        const xg_tile_rows *rows = xg_tile_rows_of(xg_cpu_level());
        rows->requantise(tile, acc, RQ_PIXELS, RQ_CHANNELS, 0, RQ_CHANNELS, out, RQ_CHANNELS);
        rq_compare_rows(n, b, "simulators' vector form", out, want);
        n->simulator += RQ_CASES;
    }
    xg_arena_free(a);
}

static inline void rq_check(xg_ctx *c, rq_count *n, const rq_block *b) {
    int32_t want[RQ_CASES];
    for (int i = 0; i < RQ_CASES; i++) {
        xg_rq q = b->q[i % RQ_CHANNELS];
        want[i] = (int32_t)oracle_apply(&b->r, q, b->acc[i], b->zp, b->lo, b->hi);
        int32_t y = xg_rq_apply(&b->r, q, b->acc[i], b->zp, b->lo, b->hi);
        if (y != want[i]) rq_differs(n, b, "definition", i, y, want[i]);
        y = xg_dp_requantise(&b->r, b->acc[i], q.mult, q.shift, b->zp, b->lo, b->hi);
        if (y != want[i]) rq_differs(n, b, "datapath", i, y, want[i]);
        n->inside += want[i] > b->lo && want[i] < b->hi;
    }
    n->cases += RQ_CASES;
    if (b->wide)
        n->wide += RQ_CASES;
    else
        rq_vector_forms(c, n, b, want);
}

/* ---- random ---------------------------------------------------------------------------------- */

/* Ranges of shifts that give results inside the clamp for some accumulator, and a little beyond;
 * every second block stays where the vector forms may go. */
static inline void rq_random_record(uint64_t *seed, xg_rqrec *r) {
    static const uint8_t widths[] = {31, 31, 24, 22, 16, 15, 8, 1};
    *r = (xg_rqrec){.method = (xg_rq_method)(xg_random(seed) % 4),
                    .rounding = {(xg_rounding)(xg_random(seed) % MODES),
                                 (xg_rounding)(xg_random(seed) % MODES)}};
    if (r->method == XG_RQ_MULSHIFT || r->method == XG_RQ_MULSHIFT2)
        r->mul_bits = widths[xg_random(seed) % XG_COUNT(widths)];
    int reach = r->method == XG_RQ_MULSHIFT ? r->mul_bits : 0;
    bool vector = xg_random(seed) & 1;
    int left = r->method == XG_RQ_MULSHIFT2 ? xg_min(30, r->mul_bits) : reach;
    r->shift_min = (int8_t)(vector ? -(r->method == XG_RQ_MULSHIFT2 ? left : 0) : reach - 30);
    r->shift_max = (int8_t)(vector ? xg_min(62, reach + 31) : xg_min(63, reach + 40));
    if (r->method == XG_RQ_SHIFT && !vector) r->shift_min = -8;
}

static inline void rq_random_block(uint64_t *seed, rq_block *b) {
    bool u8 = xg_random(seed) & 1;
    int lo = u8 ? 0 : -128, hi = u8 ? 255 : 127;
    rq_random_record(seed, &b->r);
    b->zp = (int32_t)between(seed, lo, hi);
    b->lo = lo, b->hi = hi;
    if (xg_random(seed) % 4 == 0) {
        b->lo = (int32_t)between(seed, lo, hi);
        b->hi = (int32_t)between(seed, b->lo, hi);
    }
    b->wide = xg_random(seed) % 4 == 0;
    for (int i = 0; i < RQ_CHANNELS; i++) {
        b->q[i] = random_rq(seed, &b->r);
        if (xg_random(seed) % 256 == 0 && b->r.method != XG_RQ_SHIFT) b->q[i].mult = 0;
    }
    for (int i = 0; i < RQ_CASES; i++) {
        b->acc[i] = pick_acc(seed, &b->r, b->q[i % RQ_CHANNELS]);
        if (b->wide && xg_random(seed) & 1) b->acc[i] = any_int(seed, 47);
    }
}

/* At least `cases` of them. */
static inline void rq_random(xg_ctx *c, uint64_t *seed, uint64_t cases, rq_count *n) {
    rq_block b;
    for (uint64_t end = n->cases + cases; n->cases < end;) {
        rq_random_block(seed, &b);
        rq_check(c, n, &b);
    }
}

/* ---- boundaries ------------------------------------------------------------------------------ */

typedef struct rq_walk {
    xg_ctx *c;
    rq_count *n;
    rq_block b;
    int fill;
} rq_walk;

static inline void rq_add(rq_walk *w, __int128 acc) {
    if (acc < INT32_MIN || acc > INT32_MAX) return;
    w->b.acc[w->fill++] = (int64_t)acc;
    if (w->fill < RQ_CASES) return;
    rq_check(w->c, w->n, &w->b);
    w->fill = 0;
}

/* The accumulators around each value that lies between two results, and the word's ends. */
static inline void rq_walk_constants(rq_walk *w, xg_rq q) {
    const xg_rqrec *r = &w->b.r;
    for (int i = 0; i < RQ_CHANNELS; i++) w->b.q[i] = q;
    for (int half = -262; half <= 262; half++) { /* halves: ties at odd, steps of FLOOR at even */
        double at;
        if (r->method == XG_RQ_F32)
            at = half / 2.0 / (double)float_of(q.mult);
        else
            at = ldexp(half / 2.0 / (q.mult ? q.mult : 1),
                       q.shift + (r->method == XG_RQ_MULSHIFT2 ? r->mul_bits : 0));
        if (fabs(at) > 0x1p31 + 4) continue;
        for (int d = -2; d <= 2; d++) rq_add(w, (int64_t)floor(at) + d);
    }
    for (int bit = 0; bit <= 31; bit++)
        for (int d = -1; d <= 1; d++) {
            rq_add(w, (INT64_C(1) << bit) + d);
            rq_add(w, -(INT64_C(1) << bit) + d);
        }
    while (w->fill) rq_add(w, 0); /* a block holds one pair of constants */
}

static inline void rq_walk_record(rq_walk *w, uint64_t every, uint64_t *number) {
    const xg_rqrec *r = &w->b.r;
    for (int shift = r->shift_min; shift <= r->shift_max; shift++) {
        int64_t top = (int64_t)1 << r->mul_bits;
        int32_t mults[] = {(int32_t)(top / 2), (int32_t)(top / 2 + 1), (int32_t)(top - 1),
                           (int32_t)(top / 3 * 2 + 1)};
        float scales[] = {1.0f, 0x1.000002p0f, 0x1.fffffep0f, 0x1.555556p0f};
        for (int i = 0; i < (r->method == XG_RQ_SHIFT ? 1 : 4); i++) {
            if ((*number)++ % every) continue;
            bool low = *number / every & 1; /* the zero point and the clamp at either end */
            w->b.lo = low ? -128 : 0, w->b.hi = low ? 127 : 255;
            w->b.zp = *number / every & 2 ? w->b.lo : *number / every & 4 ? w->b.hi : 0;
            xg_rq q = {0, shift};
            if (r->method == XG_RQ_F32)
                q = (xg_rq){bits_of(ldexpf(scales[i], -shift)), 0};
            else if (r->method != XG_RQ_SHIFT)
                q.mult = mults[i] < top ? mults[i] : (int32_t)(top - 1);
            rq_walk_constants(w, q);
        }
    }
}

/* Every `every`-th pair of constants of the walk. */
static inline void rq_boundary(xg_ctx *c, uint64_t every, rq_count *n) {
    static const uint8_t widths[] = {31, 24, 22, 16, 15, 8, 1};
    static const int8_t least[] = {-8, 0, -30, -6}, most[] = {40, 62, 31, 40};
    rq_walk w = {.c = c, .n = n};
    uint64_t number = 0;
    for (int m = 0; m < 4; m++)
        for (size_t k = 0; k < XG_COUNT(widths); k++)
            for (int r0 = 0; r0 < MODES; r0++)
                for (int r1 = 0; r1 < MODES; r1++) {
                    bool multiplies = m == XG_RQ_MULSHIFT || m == XG_RQ_MULSHIFT2;
                    if ((!multiplies && k) || (m != XG_RQ_MULSHIFT2 && r1)) continue;
                    w.b.r = (xg_rqrec){.method = (xg_rq_method)m,
                                       .mul_bits = multiplies ? widths[k] : 0,
                                       .rounding = {(xg_rounding)r0, (xg_rounding)r1},
                                       .shift_min = least[m],
                                       .shift_max = most[m]};
                    rq_walk_record(&w, every, &number);
                }
}

#endif
