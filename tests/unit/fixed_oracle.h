/* The requantiser's oracle: base/fixed.h's formulas in another way, sharing nothing with it: sign
 * and magnitude where fixed.c works with floors, 128-bit integers throughout, binary32 rebuilt from
 * integers where fixed.c uses the host's. With generators of constants and accumulators that
 * matter. */
#ifndef XG_FIXED_ORACLE_H
#define XG_FIXED_ORACLE_H

#include "base/fixed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 u128;

#define MODES 6

/* ---- oracle: rounding ------------------------------------------------------------------------ */

/* round(+-num / den) from the magnitude's quotient and remainder; num < 2^126. */
static inline __int128 oracle_round(bool negative, u128 num, u128 den, xg_rounding mode) {
    u128 q = num / den, rem = num % den, rest = den - rem;
    bool inexact = rem != 0, above = rem > rest, tie = rem == rest && inexact;
    bool away = false; /* from zero */
    switch (mode) {
    case XG_HALF_EVEN:
        away = above || (tie && (q & 1));
        break;
    case XG_HALF_AWAY:
        away = above || tie;
        break;
    case XG_HALF_UP:
        away = above || (tie && !negative);
        break;
    case XG_HALF_DOWN:
        away = above || (tie && negative);
        break;
    case XG_FLOOR:
        away = inexact && negative;
        break;
    case XG_TRUNC:
        break;
    }
    __int128 y = (__int128)(q + away);
    return negative ? -y : y;
}

static inline __int128 oracle_div(__int128 v, u128 den, xg_rounding mode) {
    return oracle_round(v < 0, v < 0 ? (u128)-v : (u128)v, den, mode);
}

static inline __int128 oracle_shift(__int128 v, int shift, xg_rounding mode) {
    return shift <= 0 ? v * ((__int128)1 << -shift) : oracle_div(v, (u128)1 << shift, mode);
}

static inline int64_t clamp8(__int128 v, int zp, int lo, int hi) {
    v += zp;
    return v < lo ? lo : v > hi ? hi : (int64_t)v;
}

/* ---- oracle: binary32
 * --------------------------------------------------------------------------------------- A number
 * is sig * 2^exp with its sign; `more` says that something below the last bit was cut off. */

typedef struct num {
    bool negative, more;
    u128 sig;
    int exp;
} num;

static inline num num_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    uint32_t e = bits >> 23 & 255, frac = bits & 0x7fffff;
    return (num){bits >> 31, false, e ? frac | 0x800000 : frac, (e ? (int)e : 1) - 150};
}

static inline int bit_length(u128 v) {
    int n = 0;
    for (; v; v >>= 1) n++;
    return n;
}

/* To nearest, ties to even, with subnormals; infinities beyond the range. */
static inline float f32_of(num x) {
    if (x.sig == 0) return x.negative ? -0.0f : 0.0f;
    int drop = bit_length(x.sig) - 24;
    if (x.exp + drop < -149) drop = -149 - x.exp;
    u128 sig = x.sig;
    int exp = x.exp;
    if (drop > 0) {
        exp += drop;
        u128 low = drop >= 128 ? sig : sig & (((u128)1 << drop) - 1);
        u128 half = drop > 128 ? 0 : (u128)1 << (drop - 1);
        sig = drop >= 128 ? 0 : sig >> drop;
        bool above = drop <= 128 && (low > half || (low == half && x.more));
        bool tie = drop <= 128 && low == half && !x.more;
        sig += above || (tie && (sig & 1));
    }
    for (; exp > 0 && sig >> 24 == 0; exp--)
        sig <<= 1;                                /* small integers: ldexp below is exact anyway */
    double d = ldexp((double)(uint64_t)sig, exp); /* at most 25 bits: exact */
    float f = d > 0x1.fffffep127 ? INFINITY : (float)d;
    return x.negative ? -f : f;
}

static inline float oracle_mul(float a, float b) {
    num x = num_of(a), y = num_of(b);
    return f32_of((num){x.negative != y.negative, false, x.sig * y.sig, x.exp + y.exp});
}

static inline float oracle_quot(float a, float b) {
    num x = num_of(a), y = num_of(b);
    u128 n = x.sig << 100;
    return f32_of((num){x.negative != y.negative, n % y.sig != 0, n / y.sig, x.exp - y.exp - 100});
}

/* a + b exactly; they lie within 2^100 of each other. */
static inline num exact_sum(num a, num b) {
    if (a.sig == 0) return b;
    if (b.sig == 0) return a;
    int exp = a.exp < b.exp ? a.exp : b.exp;
    __int128 x = (__int128)(a.sig << (a.exp - exp)), y = (__int128)(b.sig << (b.exp - exp));
    __int128 s = (a.negative ? -x : x) + (b.negative ? -y : y);
    return (num){s < 0, false, s < 0 ? (u128)-s : (u128)s, exp};
}

static inline float oracle_add(float a, float b) {
    return f32_of(exact_sum(num_of(a), num_of(b)));
}

static inline float oracle_fma(float a, float b, float c) {
    num x = num_of(a), y = num_of(b);
    num p = {x.negative != y.negative, false, x.sig * y.sig, x.exp + y.exp};
    return f32_of(exact_sum(p, num_of(c)));
}

static inline float oracle_int(int64_t v) {
    return f32_of((num){v < 0, false, v < 0 ? -(u128)v : (u128)v, 0});
}

/* round(f) + zp, clamped; beyond 2^60 only the clamp matters. */
static inline int64_t oracle_to_int(float f, int zp, int lo, int hi, xg_rounding mode) {
    if (f > 0x1p60f) return hi;
    if (f < -0x1p60f) return lo;
    num x = num_of(f);
    __int128 y = 0;
    if (x.exp >= 0)
        y = (__int128)(x.sig << x.exp) * (x.negative ? -1 : 1);
    else if (x.exp < -100)
        y = oracle_round(x.negative, x.sig ? 1 : 0, 4, mode); /* tiny, as 1/4 is */
    else
        y = oracle_round(x.negative, x.sig, (u128)1 << -x.exp, mode);
    return clamp8(y, zp, lo, hi);
}

static inline int32_t bits_of(float f) {
    int32_t b;
    memcpy(&b, &f, 4);
    return b;
}

static inline float float_of(int32_t b) {
    float f;
    memcpy(&f, &b, 4);
    return f;
}

/* ---- random values --------------------------------------------------------------------------- */

static inline int64_t between(uint64_t *seed, int64_t lo, int64_t hi) {
    return lo + (int64_t)(xg_random(seed) % (uint64_t)(hi - lo + 1));
}

/* Of every magnitude alike, of both signs. */
static inline int64_t any_int(uint64_t *seed, int bits) {
    int64_t v = (int64_t)(xg_random(seed) >> (64 - between(seed, 1, bits)));
    return xg_random(seed) & 1 ? -v : v;
}

static inline float scale_between(uint64_t *seed, int lo, int hi) {
    uint32_t frac = (uint32_t)xg_random(seed) & 0x7fffff;
    if (xg_random(seed) % 4 == 0) frac = 0;
    return ldexpf(1.0f + ldexpf((float)frac, -23), (int)between(seed, lo, hi));
}

/* ---- requantisation -------------------------------------------------------------------------- */

static inline int64_t oracle_apply(const xg_rqrec *r, xg_rq q, int64_t acc, int zp, int lo,
                                   int hi) {
    switch (r->method) {
    case XG_RQ_SHIFT:
        return clamp8(oracle_shift(acc, q.shift, r->rounding[0]), zp, lo, hi);
    case XG_RQ_MULSHIFT:
        return clamp8(oracle_shift((__int128)acc * q.mult, q.shift, r->rounding[0]), zp, lo, hi);
    case XG_RQ_MULSHIFT2: {
        __int128 x = acc;
        if (q.shift < 0) x *= (__int128)1 << -q.shift;
        __int128 h = oracle_div(x * q.mult, (u128)1 << r->mul_bits, r->rounding[0]);
        return clamp8(q.shift > 0 ? oracle_div(h, (u128)1 << q.shift, r->rounding[1]) : h, zp, lo,
                      hi);
    }
    case XG_RQ_F32:
        return oracle_to_int(oracle_mul(oracle_int(acc), float_of(q.mult)), zp, lo, hi,
                             r->rounding[0]);
    }
    return 0;
}

/* An accumulator that matters: a tie of mult / 2^shift or next to it, a limit, or anything. */
static inline int64_t pick_acc(uint64_t *seed, const xg_rqrec *r, xg_rq q) {
    const int64_t edge[] = {INT32_MIN, INT32_MIN + 1, INT32_MAX, INT32_MAX - 1, 0, 1, -1};
    uint64_t kind = xg_random(seed) % 8;
    if (kind == 0) return edge[xg_random(seed) % XG_COUNT(edge)];
    if (kind < 3) return any_int(seed, 31);
    double m =
        r->method == XG_RQ_F32 ? (double)float_of(q.mult) : ldexp(q.mult ? q.mult : 1, -q.shift);
    if (r->method == XG_RQ_MULSHIFT2) m = ldexp(m, -r->mul_bits);
    double want = (double)between(seed, -140, 140) + (xg_random(seed) & 1 ? 0.5 : 0.0);
    double acc = want / m;
    if (!(fabs(acc) < 0x1p31)) return any_int(seed, 31);
    return xg_clamp(llround(acc) + between(seed, -1, 1), INT32_MIN, INT32_MAX);
}

static inline xg_rq random_rq(uint64_t *seed, const xg_rqrec *r) {
    if (r->method == XG_RQ_F32) return (xg_rq){bits_of(scale_between(seed, -40, 6)), 0};
    int shift = (int)between(seed, r->shift_min, r->shift_max);
    if (r->method == XG_RQ_SHIFT) return (xg_rq){0, shift};
    int64_t top = (int64_t)1 << r->mul_bits;
    int64_t mult = between(seed, top / 2, top - 1);
    if (xg_random(seed) % 4 == 0) mult = top / 2; /* exact ties */
    if (xg_random(seed) % 64 == 0) mult = top - 1;
    return (xg_rq){(int32_t)mult, shift};
}

#endif
