/* Innermost loops, plain C that compilers vectorise, compiled once for each level. */
#include "isa/tile_fast.h"

#include <string.h>

#define BODY static inline __attribute__((always_inline))

/* ---- the rounding incrementer ---------------------------------------------------------------- */

BODY int64_t shifter64(int64_t v, int64_t n, int64_t g, int64_t gm, int64_t sm, xg_tile_round r) {
    int64_t kept = v >> n, guard = (v >> g) & gm, sticky = (v & sm) != 0, sign = v < 0;
    int64_t half = guard & (r.always | (r.sticky & sticky) | (r.odd & kept) | (r.positive & ~sign));
    return kept + (half | (r.negative & sign & (guard | sticky)));
}

BODY int32_t shifter32(int32_t v, int32_t n, int32_t g, int32_t gm, int32_t sm, xg_tile_round r) {
    int32_t kept = v >> n, guard = (v >> g) & gm, sticky = (v & sm) != 0, sign = v < 0;
    int32_t half = guard & (r.always | (r.sticky & sticky) | (r.odd & kept) | (r.positive & ~sign));
    return kept + (half | (r.negative & sign & (guard | sticky)));
}

/* The float unit: clamps, cuts off the fraction, then counts away from zero. mode is a constant
 * where this is called, so that loops have no branch. */
BODY int32_t float_unit(float v, float lo, float hi, xg_rounding mode) {
    v = v > lo ? v : lo;
    v = v < hi ? v : hi;
    int32_t whole = (int32_t)v;
    float rest = v - (float)whole, size = __builtin_fabsf(rest);
    int32_t neg = -(rest < 0), over = size > 0.5f, tie = size == 0.5f, away = 0;
    if (mode == XG_HALF_EVEN) away = over | (tie & whole);
    if (mode == XG_HALF_AWAY) away = over | tie;
    if (mode == XG_HALF_UP) away = over | (tie & ~neg);
    if (mode == XG_HALF_DOWN) away = over | (tie & neg);
    if (mode == XG_FLOOR) away = neg;
    away &= 1;
    return whole + ((away ^ neg) - neg);
}

#define EACH_MODE(mode, call)                                                                      \
    switch (mode) {                                                                                \
    case XG_HALF_EVEN:                                                                             \
        call(XG_HALF_EVEN);                                                                        \
        break;                                                                                     \
    case XG_HALF_AWAY:                                                                             \
        call(XG_HALF_AWAY);                                                                        \
        break;                                                                                     \
    case XG_HALF_UP:                                                                               \
        call(XG_HALF_UP);                                                                          \
        break;                                                                                     \
    case XG_HALF_DOWN:                                                                             \
        call(XG_HALF_DOWN);                                                                        \
        break;                                                                                     \
    case XG_FLOOR:                                                                                 \
        call(XG_FLOOR);                                                                            \
        break;                                                                                     \
    default:                                                                                       \
        call(XG_TRUNC);                                                                            \
    }

BODY uint8_t saturate64(int64_t v, int64_t lo, int64_t hi, int32_t zp) {
    v = v < lo ? lo : v;
    return (uint8_t)((v > hi ? hi : v) + zp);
}

/* ---- requantiser ----------------------------------------------------------------------------- */

/* `pixels` rows of n accumulators, ld apart, to rows of n bytes, step apart. Constants of a few
 * channels are read once: pixels come innermost but for the n channels of one vector. */
typedef struct run {
    const int32_t *acc;
    uint32_t pixels, n;
    size_t ld, step;
    uint8_t *out;
} run;

#define EACH_RESULT(t, value)                                                                      \
    for (uint32_t p_ = 0; p_ < (t).pixels; p_++) {                                                 \
        const int32_t *restrict acc = (t).acc + p_ * (t).ld;                                       \
        uint8_t *restrict out = (t).out + p_ * (t).step;                                           \
        for (uint32_t c = 0; c < (t).n; c++) out[c] = value;                                       \
    }

BODY void requantise_f32(const xg_tile_rq *restrict q, uint32_t first, run t, xg_rounding mode) {
    const float *restrict m = q->m + first;
    const float lo = (float)(q->lo - q->zp), hi = (float)(q->hi - q->zp);
    const int32_t zp = q->zp;
    EACH_RESULT(t, (uint8_t)(float_unit((float)acc[c] * m[c], lo, hi, mode) + zp))
}

BODY uint8_t saturate32(int32_t v, int32_t lo, int32_t hi, int32_t zp) {
    v = v < lo ? lo : v;
    return (uint8_t)((v > hi ? hi : v) + zp);
}

BODY void requantise_shift(const xg_tile_rq *restrict q, uint32_t first, run t) {
    const int32_t *restrict s = q->n32 + first, *restrict g = q->g32 + first,
                            *restrict gm = q->gm32 + first, *restrict sm = q->sm32 + first;
    const int32_t lo = q->lo - q->zp, hi = q->hi - q->zp, zp = q->zp;
    const xg_tile_round r = q->round[0];
    EACH_RESULT(t, saturate32(shifter32(acc[c], s[c], g[c], gm[c], sm[c], r), lo, hi, zp))
}

/* Half up: the guard bit is all that is added. */
BODY void requantise_shift_up(const xg_tile_rq *restrict q, uint32_t first, run t) {
    const int32_t *restrict s = q->n32 + first, *restrict g = q->g32 + first,
                            *restrict gm = q->gm32 + first;
    const int32_t lo = q->lo - q->zp, hi = q->hi - q->zp, zp = q->zp;
    EACH_RESULT(t, saturate32((acc[c] >> s[c]) + (acc[c] >> g[c] & gm[c]), lo, hi, zp))
}

BODY void requantise_mul(const xg_tile_rq *restrict q, uint32_t first, run t, bool twice) {
    const int32_t *restrict m = q->mult + first;
    const int64_t *restrict n0 = q->n[0] + first, *restrict g0 = q->g[0] + first,
                            *restrict gm0 = q->gm[0] + first, *restrict sm0 = q->sm[0] + first;
    const int64_t *restrict n1 = q->n[1] + first, *restrict g1 = q->g[1] + first,
                            *restrict gm1 = q->gm[1] + first, *restrict sm1 = q->sm[1] + first;
    const int64_t lo = q->lo - q->zp, hi = q->hi - q->zp;
    const int32_t zp = q->zp;
    const xg_tile_round r0 = q->round[0], r1 = q->round[1];
#define FIRST shifter64((int64_t)acc[c] * m[c], n0[c], g0[c], gm0[c], sm0[c], r0)
    if (twice) {
        EACH_RESULT(t, saturate64(shifter64(FIRST, n1[c], g1[c], gm1[c], sm1[c], r1), lo, hi, zp))
    } else {
        EACH_RESULT(t, saturate64(FIRST, lo, hi, zp))
    }
}

/* Half up in one stage, the usual case: guard bit and kept bits in one addition. */
BODY void requantise_up(const xg_tile_rq *restrict q, uint32_t first, run t) {
    const int32_t *restrict m = q->mult + first;
    const int64_t *restrict g = q->g[0] + first, *restrict gm = q->gm[0] + first;
    const int64_t lo = q->lo - q->zp, hi = q->hi - q->zp;
    const int32_t zp = q->zp;
    EACH_RESULT(t, saturate64((((int64_t)acc[c] * m[c] >> g[c]) + gm[c]) >> gm[c], lo, hi, zp))
}

BODY void requantise_run(const xg_tile_rq *q, uint32_t first, run t) {
#define FLOAT(mode) requantise_f32(q, first, t, mode)
    if (q->how == XG_TILE_F32) {
        EACH_MODE(q->mode, FLOAT)
    } else if (q->how == XG_TILE_SHIFT && q->round[0].always) {
        requantise_shift_up(q, first, t);
    } else if (q->how == XG_TILE_SHIFT) {
        requantise_shift(q, first, t);
    } else if (q->how == XG_TILE_MUL && q->round[0].always) {
        requantise_up(q, first, t);
    } else {
        requantise_mul(q, first, t, q->how == XG_TILE_MUL2);
    }
}

/* Runs of 16 channels have a constant length, so that they need no tail; where rows are ld apart,
 * what follows the last channel may be computed too. */
BODY void requantise_body(const xg_tile_rq *q, const int32_t *acc, uint32_t pixels, size_t ld,
                          uint32_t first, uint32_t n, uint8_t *out, size_t step) {
    uint32_t c = 0;
    for (; c + 64 <= n; c += 64)
        requantise_run(q, first + c, (run){acc + c, pixels, 64, ld, step, out + c});
    for (; c + 16 <= n; c += 16)
        requantise_run(q, first + c, (run){acc + c, pixels, 16, ld, step, out + c});
    if (c == n) return;
    if (ld) {
        uint8_t tail[16];
        for (uint32_t p = 0; p < pixels; p++) {
            requantise_run(q, first + c, (run){acc + p * ld + c, 1, 16, 0, 0, tail});
            memcpy(out + p * step + c, tail, n - c);
        }
    } else {
        requantise_run(q, first + c, (run){acc + c, pixels, n - c, 0, step, out + c});
    }
}

/* ---- accumulators ---------------------------------------------------------------------------- */

/* Sums in 32 bits that wrap show it in the sign that both terms had. */
BODY bool start_body(const int32_t *restrict start, size_t n, int32_t lo, int32_t hi,
                     int32_t *restrict acc) {
    int32_t outside = 0;
    for (size_t i = 0; i < n; i += 16)
        for (size_t j = i; j < i + 16; j++) {
            const int32_t v = (int32_t)((uint32_t)acc[j] + (uint32_t)start[j]);
            outside |= ((acc[j] ^ v) & (start[j] ^ v)) | -(v < lo) | -(v > hi);
            acc[j] = v;
        }
    return outside >= 0;
}

/* ---- element-wise unit ----------------------------------------------------------------------- */

BODY void add_f32(const xg_tile_pairs *e, const int8_t *restrict a, const int8_t *restrict b,
                  size_t n, uint8_t *restrict out, bool fused, xg_rounding mode) {
    const float ra = e->ra, rb = e->rb, f = e->fixed;
    const float lo = (float)(e->lo - e->zp), hi = (float)(e->hi - e->zp);
    const int32_t zp = e->zp;
    for (size_t i = 0; i < n; i++) {
        float x = (float)a[i], y = (float)b[i], v;
        if (fused) {
            v = __builtin_fmaf(x, ra, __builtin_fmaf(y, rb, f));
        } else {
            float pa = x * ra, pb = y * rb;
            v = (f + pa) + pb;
        }
        out[i] = (uint8_t)(float_unit(v, lo, hi, mode) + zp);
    }
}

/* up: one stage, half up, as in requantise_up(). */
BODY int64_t rescale(int64_t p, const xg_tile_stage *s, const xg_tile_round *r, bool twice,
                     bool up) {
    if (up) return ((p >> s[0].g) + s[0].gm) >> s[0].gm;
    int64_t v = shifter64(p, s[0].n, s[0].g, s[0].gm, s[0].sm, r[0]);
    return twice ? shifter64(v, s[1].n, s[1].g, s[1].gm, s[1].sm, r[1]) : v;
}

BODY void add_int(const xg_tile_pairs *e, const int8_t *restrict a, const int8_t *restrict b,
                  size_t n, uint8_t *restrict out) {
    const xg_tile_pairs k = *e;
    const int64_t lo = k.lo - k.zp, hi = k.hi - k.zp;
    for (size_t i = 0; i < n; i++) {
        int64_t sum = (int64_t)(a[i] - k.zp_a) * k.ma + (int64_t)(b[i] - k.zp_b) * k.mb;
        out[i] = saturate64(rescale(sum * k.mo, k.o, k.round, false, false), lo, hi, k.zp);
    }
}

BODY void add_narrow(const xg_tile_pairs *e, const int8_t *restrict a, const int8_t *restrict b,
                     size_t n, uint8_t *restrict out, bool up) {
    const int32_t ma = e->ma, mb = e->mb, zero = -(e->zp_a * ma + e->zp_b * mb);
    const int32_t s = (int32_t)e->o[0].n, g = (int32_t)e->o[0].g, gm = (int32_t)e->o[0].gm;
    const int32_t sm = (int32_t)e->o[0].sm, zp = e->zp, lo = e->lo - zp, hi = e->hi - zp;
    const xg_tile_round r = e->round[0];
    for (size_t i = 0; i < n; i++) {
        const int32_t sum = a[i] * ma + b[i] * mb + zero;
        const int32_t v = up ? (sum >> s) + (sum >> g & gm) : shifter32(sum, s, g, gm, sm, r);
        out[i] = saturate32(v, lo, hi, zp);
    }
}

BODY void add_tflite(const xg_tile_pairs *e, const int8_t *restrict a, const int8_t *restrict b,
                     size_t n, uint8_t *restrict out, bool twice, bool up) {
    const xg_tile_pairs k = *e;
    const int64_t lo = k.lo - k.zp, hi = k.hi - k.zp;
    for (size_t i = 0; i < n; i++) {
        int64_t x = rescale((int64_t)((a[i] - k.zp_a) * (1 << 20)) * k.ma, k.a, k.round, twice, up);
        int64_t y = rescale((int64_t)((b[i] - k.zp_b) * (1 << 20)) * k.mb, k.b, k.round, twice, up);
        int64_t z = rescale((int64_t)(int32_t)(x + y) * k.mo, k.o, k.round, twice, up);
        out[i] = saturate64(z, lo, hi, k.zp);
    }
}

BODY void add_body(const xg_tile_pairs *e, const int8_t *a, const int8_t *b, size_t n,
                   uint8_t *out) {
#define FUSED(mode) add_f32(e, a, b, n, out, true, mode)
#define APART(mode) add_f32(e, a, b, n, out, false, mode)
    switch (e->add) {
    case XG_ADD_F32_FMA:
        EACH_MODE(e->mode, FUSED)
        break;
    case XG_ADD_F32:
        EACH_MODE(e->mode, APART)
        break;
    case XG_ADD_TFLITE:
        if (e->twice)
            add_tflite(e, a, b, n, out, true, false);
        else if (e->round[0].always)
            add_tflite(e, a, b, n, out, false, true);
        else
            add_tflite(e, a, b, n, out, false, false);
        break;
    default:
        if (e->narrow && e->round[0].always)
            add_narrow(e, a, b, n, out, true);
        else if (e->narrow)
            add_narrow(e, a, b, n, out, false);
        else
            add_int(e, a, b, n, out);
    }
}

BODY void product_body(const int8_t *restrict a, int32_t za, const int8_t *restrict b, int32_t zb,
                       size_t n, int32_t *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = (a[i] - za) * (b[i] - zb);
}

/* ---- windows --------------------------------------------------------------------------------- */

BODY void tap_body(const int8_t *restrict x, int32_t zx, const int8_t *restrict w, int32_t zw,
                   size_t n, int32_t *restrict sum) {
    for (size_t c = 0; c < n; c++) sum[c] += (int16_t)(x[c] - zx) * (int16_t)(w[c] - zw);
}

BODY void max_body(const int8_t *restrict x, size_t n, int8_t *restrict best) {
    for (size_t c = 0; c < n; c++) best[c] = x[c] > best[c] ? x[c] : best[c];
}

BODY void sum_body(const int8_t *restrict x, int32_t zx, size_t n, int32_t *restrict sum) {
    for (size_t c = 0; c < n; c++) sum[c] += x[c] - zx;
}

BODY void sum_f32_body(const int8_t *restrict x, int32_t zx, float scale, size_t n,
                       float *restrict sum) {
    for (size_t c = 0; c < n; c++) {
        float term = (float)(x[c] - zx) * scale;
        sum[c] += term;
    }
}

BODY void mean_mode(const xg_tile_place *p, const float *restrict sum, size_t n,
                    uint8_t *restrict out, xg_rounding mode) {
    const xg_tile_place k = *p;
    const float lo = (float)(k.lo - k.zp), hi = (float)(k.hi - k.zp);
    for (size_t c = 0; c < n; c++) {
        float mean = sum[c] / k.divisor, v = mean / k.divisor2;
        out[c] = (uint8_t)(float_unit(v + k.zf, lo, hi, mode) + k.zp);
    }
}

BODY void mean_body(const xg_tile_place *p, const float *sum, size_t n, uint8_t *out){
#define MEAN(mode) mean_mode(p, sum, n, out, mode)
    EACH_MODE(p->mode, MEAN)}

BODY void scaled_mode(const xg_tile_place *p, const int32_t *restrict product, size_t n,
                      uint8_t *restrict out, xg_rounding mode) {
    const xg_tile_place k = *p;
    const float lo = (float)(k.lo - k.zp), hi = (float)(k.hi - k.zp);
    for (size_t c = 0; c < n; c++) {
        float v = (float)product[c] * k.scale;
        out[c] = (uint8_t)(float_unit(v + k.zf, lo, hi, mode) + k.zp);
    }
}

BODY void scaled_body(const xg_tile_place *p, const int32_t *product, size_t n, uint8_t *out){
#define SCALED(mode) scaled_mode(p, product, n, out, mode)
    EACH_MODE(p->mode, SCALED)}

/* ---- one copy a level ------------------------------------------------------------------------ */

#define ROW(T, L, name, params, args)                                                              \
    T static void name##_##L params {                                                              \
        name##_body args;                                                                          \
    }

#define LEVEL(T, L, id)                                                                            \
    ROW(T, L, requantise,                                                                          \
        (const xg_tile_rq *q, const int32_t *acc, uint32_t pixels, size_t ld, uint32_t first,      \
         uint32_t n, uint8_t *out, size_t step),                                                   \
        (q, acc, pixels, ld, first, n, out, step))                                                 \
    T static bool start_##L(const int32_t *start, size_t n, int32_t lo, int32_t hi,                \
                            int32_t *acc) {                                                        \
        return start_body(start, n, lo, hi, acc);                                                  \
    }                                                                                              \
    ROW(T, L, add,                                                                                 \
        (const xg_tile_pairs *e, const int8_t *a, const int8_t *b, size_t n, uint8_t *out),        \
        (e, a, b, n, out))                                                                         \
    ROW(T, L, product,                                                                             \
        (const int8_t *a, int32_t za, const int8_t *b, int32_t zb, size_t n, int32_t *out),        \
        (a, za, b, zb, n, out))                                                                    \
    ROW(T, L, tap,                                                                                 \
        (const int8_t *x, int32_t zx, const int8_t *w, int32_t zw, size_t n, int32_t *sum),        \
        (x, zx, w, zw, n, sum))                                                                    \
    ROW(T, L, max, (const int8_t *x, size_t n, int8_t *best), (x, n, best))                        \
    ROW(T, L, sum, (const int8_t *x, int32_t zx, size_t n, int32_t *sum), (x, zx, n, sum))         \
    ROW(T, L, sum_f32, (const int8_t *x, int32_t zx, float scale, size_t n, float *sum),           \
        (x, zx, scale, n, sum))                                                                    \
    ROW(T, L, mean, (const xg_tile_place *p, const float *sum, size_t n, uint8_t *out),            \
        (p, sum, n, out))                                                                          \
    ROW(T, L, scaled, (const xg_tile_place *p, const int32_t *product, size_t n, uint8_t *out),    \
        (p, product, n, out))                                                                      \
    static const xg_tile_rows rows_##L = {.level = id,                                             \
                                          .requantise = requantise_##L,                            \
                                          .start = start_##L,                                      \
                                          .add = add_##L,                                          \
                                          .product = product_##L,                                  \
                                          .tap = tap_##L,                                          \
                                          .max = max_##L,                                          \
                                          .sum = sum_##L,                                          \
                                          .sum_f32 = sum_f32_##L,                                  \
                                          .mean = mean_##L,                                        \
                                          .scaled = scaled_##L};

LEVEL(, portable, XG_CPU_PORTABLE)
#if defined(__x86_64__)
    LEVEL(__attribute__((target("avx2,fma"))), avx2, XG_CPU_AVX2)
        LEVEL(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), vnni, XG_CPU_VNNI)
#endif

            const xg_tile_rows *xg_tile_rows_of(xg_cpu level) {
#if defined(__x86_64__)
    if (level == XG_CPU_VNNI) return &rows_vnni;
    if (level == XG_CPU_AVX2) return &rows_avx2;
#endif
    (void)level;
    return &rows_portable;
}
