/* Innermost loops over rows of channels, plain C that compilers vectorise, compiled once for each
 * level. Bodies are always inlined; sra: the level shifts 64-bit lanes right arithmetically. */
#include "xgraph/fast.h"

#include <math.h>

#define BODY static inline __attribute__((always_inline))

/* v >> s for |v| < 2^63 - 2^62: without arithmetic shifts of 64-bit lanes by way of the unsigned
 * one. */
BODY int64_t shift_right(int64_t v, int64_t s, bool sra) {
    const uint64_t bias = UINT64_C(1) << 62;
    return sra ? v >> s : (int64_t)(((uint64_t)v + bias) >> s) - (int64_t)(bias >> s);
}

BODY int64_t stage(int64_t p, int64_t s, int64_t a, int64_t b, int64_t c, bool sra) {
    int64_t odd = shift_right(p, s, sra) & c;
    return shift_right(p + a + (p < 0 ? b : 0) + odd, s, sra);
}

/* A NaN gives lo. */
BODY float clamp_f32(float v, float lo, float hi) {
    v = v > lo ? v : lo;
    return v < hi ? v : hi;
}

BODY int32_t clamp_i64(int64_t v, int64_t lo, int64_t hi) {
    v = v < lo ? lo : v;
    return (int32_t)(v > hi ? hi : v);
}

/* 1.5 * 2^23 puts the binary point behind the last fraction bit; the addition rounds half to even.
 */
BODY int32_t round_even(float v) {
    union {
        float f;
        int32_t i;
    } u = {.f = v + 0x1.8p23f};
    return u.i - 0x4b400000;
}

BODY int32_t round_at(float v, float up, float down) {
    int32_t t = (int32_t)v;
    float r = v - (float)t;
    return t + (r >= up) - (r <= down);
}

/* ---- requantisation -------------------------------------------------------------------------- */

BODY void requantise_f32(const xg_fast_rq *q, const int32_t *restrict acc, int64_t first, int64_t n,
                         uint8_t *restrict out) {
    const float *restrict m = q->m + first;
    const float lo = (float)(q->lo - q->zp), hi = (float)(q->hi - q->zp);
    const int32_t zp = q->zp;
    const float up = q->round.up, down = q->round.down;
    if (q->round.even)
        for (int64_t i = 0; i < n; i++)
            out[i] = (uint8_t)(round_even(clamp_f32((float)acc[i] * m[i], lo, hi)) + zp);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = (uint8_t)(round_at(clamp_f32((float)acc[i] * m[i], lo, hi), up, down) + zp);
}

BODY void requantise_shift(const xg_fast_rq *q, const int32_t *restrict acc, int64_t first,
                           int64_t n, uint8_t *restrict out) {
    const int32_t *restrict s = q->sh + first, *restrict g = q->guard + first,
                            *restrict keep = q->keep + first;
    const int32_t lo = q->lo - q->zp, hi = q->hi - q->zp, zp = q->zp;
    for (int64_t i = 0; i < n; i++) {
        int32_t y = (acc[i] >> s[i]) + ((acc[i] >> g[i]) & keep[i]);
        y = y < lo ? lo : y;
        out[i] = (uint8_t)((y > hi ? hi : y) + zp);
    }
}

BODY void requantise_half(const xg_fast_rq *q, const int32_t *restrict acc, int64_t first,
                          int64_t n, uint8_t *restrict out, bool sra) {
    const int32_t *restrict m = q->mult + first;
    const int64_t *restrict s = q->s[0] + first, *restrict a = q->a[0] + first;
    const int64_t lo = q->lo - q->zp, hi = q->hi - q->zp;
    const int32_t zp = q->zp;
    for (int64_t i = 0; i < n; i++) {
        int64_t y = shift_right((int64_t)acc[i] * m[i] + a[i], s[i], sra);
        out[i] = (uint8_t)(clamp_i64(y, lo, hi) + zp);
    }
}

BODY void requantise_stages(const xg_fast_rq *q, const int32_t *restrict acc, int64_t first,
                            int64_t n, uint8_t *restrict out, bool twice, bool sra) {
    const int32_t *restrict m = q->mult + first;
    const int64_t *restrict s = q->s[0] + first, *restrict a = q->a[0] + first,
                            *restrict b = q->b[0] + first, *restrict c = q->c[0] + first;
    const int64_t *restrict s1 = q->s[1] + first, *restrict a1 = q->a[1] + first,
                            *restrict b1 = q->b[1] + first, *restrict c1 = q->c[1] + first;
    const int64_t lo = q->lo - q->zp, hi = q->hi - q->zp;
    const int32_t zp = q->zp;
    for (int64_t i = 0; i < n; i++) {
        int64_t y = stage((int64_t)acc[i] * m[i], s[i], a[i], b[i], c[i], sra);
        if (twice) y = stage(y, s1[i], a1[i], b1[i], c1[i], sra);
        out[i] = (uint8_t)(clamp_i64(y, lo, hi) + zp);
    }
}

BODY void requantise_run(const xg_fast_rq *q, const int32_t *acc, int64_t first, int64_t n,
                         uint8_t *out, bool sra) {
    switch (q->how) {
    case XG_FAST_F32:
        requantise_f32(q, acc, first, n, out);
        break;
    case XG_FAST_SHIFT:
        requantise_shift(q, acc, first, n, out);
        break;
    case XG_FAST_HALF:
        requantise_half(q, acc, first, n, out, sra);
        break;
    case XG_FAST_FULL:
        requantise_stages(q, acc, first, n, out, false, sra);
        break;
    case XG_FAST_TWICE:
        requantise_stages(q, acc, first, n, out, true, sra);
        break;
    case XG_FAST_SCALAR:
        for (int64_t i = 0; i < n; i++)
            out[i] = (uint8_t)xg_rq_apply(q->record, q->rq[first + i], acc[i], q->zp, q->lo, q->hi);
    }
}

/* Runs of 64 and 16 channels have a constant length, so that they need no tail. */
BODY void requantise_body(const xg_fast_rq *q, const int32_t *acc, int64_t first, int64_t n,
                          uint8_t *out, bool sra) {
    for (; n >= 64; n -= 64, acc += 64, first += 64, out += 64)
        requantise_run(q, acc, first, 64, out, sra);
    for (; n >= 16; n -= 16, acc += 16, first += 16, out += 16)
        requantise_run(q, acc, first, 16, out, sra);
    if (n > 0) requantise_run(q, acc, first, n, out, sra);
}

/* ---- element-wise ---------------------------------------------------------------------------- */

/* Operands a step apart: written out for both steps, so that the loops vectorise. */
#define STEPS(call)                                                                                \
    do {                                                                                           \
        if (step_a && step_b)                                                                      \
            call(1, 1);                                                                            \
        else if (step_a)                                                                           \
            call(1, 0);                                                                            \
        else if (step_b)                                                                           \
            call(0, 1);                                                                            \
        else                                                                                       \
            call(0, 0);                                                                            \
    } while (0)

BODY void add_f32(const xg_fast_add *q, const uint8_t *restrict a, int64_t step_a,
                  const uint8_t *restrict b, int64_t step_b, int64_t n, uint8_t *restrict out,
                  bool fused, bool even) {
    const float ra = q->ra, rb = q->rb, fixed = q->fixed, up = q->round.up, down = q->round.down;
    const float lo = (float)(q->lo - q->zp), hi = (float)(q->hi - q->zp);
    const int32_t oa = q->off_a, ob = q->off_b, zp = q->zp;
    const uint8_t fa = q->flip_a, fb = q->flip_b;
    for (int64_t i = 0; i < n; i++) {
        float x = (float)((a[i * step_a] ^ fa) - oa), y = (float)((b[i * step_b] ^ fb) - ob), v;
        if (fused) {
            v = __builtin_fmaf(x, ra, __builtin_fmaf(y, rb, fixed));
        } else {
            float part = fixed + x * ra;
            v = part + y * rb;
        }
        v = clamp_f32(v, lo, hi);
        out[i] = (uint8_t)((even ? round_even(v) : round_at(v, up, down)) + zp);
    }
}

BODY void add_int(const xg_fast_add *q, const uint8_t *restrict a, int64_t step_a,
                  const uint8_t *restrict b, int64_t step_b, int64_t n, uint8_t *restrict out,
                  bool sra) {
    const int32_t oa = q->off_a, ob = q->off_b, ma = q->ma, mb = q->mb, mo = q->mo, zp = q->zp;
    const uint8_t fa = q->flip_a, fb = q->flip_b;
    const int64_t lo = q->lo - q->zp, hi = q->hi - q->zp;
    const xg_fast_shift o = q->so[0];
    for (int64_t i = 0; i < n; i++) {
        int64_t sum =
            (int64_t)((a[i * step_a] ^ fa) - oa) * ma + (int64_t)((b[i * step_b] ^ fb) - ob) * mb;
        out[i] = (uint8_t)(clamp_i64(stage(sum * mo, o.s, o.a, o.b, o.c, sra), lo, hi) + zp);
    }
}

/* 20 more bits, three rescalings of up to two stages each. */
BODY void add_tflite(const xg_fast_add *q, const uint8_t *restrict a, int64_t step_a,
                     const uint8_t *restrict b, int64_t step_b, int64_t n, uint8_t *restrict out,
                     bool sra) {
    const int32_t oa = q->off_a, ob = q->off_b, ma = q->ma, mb = q->mb, mo = q->mo, zp = q->zp;
    const uint8_t fa = q->flip_a, fb = q->flip_b;
    const int64_t lo = q->lo - q->zp, hi = q->hi - q->zp;
    const xg_fast_shift a0 = q->sa[0], a1 = q->sa[1], b0 = q->sb[0], b1 = q->sb[1], o0 = q->so[0],
                        o1 = q->so[1];
    for (int64_t i = 0; i < n; i++) {
        int64_t x = (int64_t)(((a[i * step_a] ^ fa) - oa) * (1 << 20)) * ma;
        int64_t y = (int64_t)(((b[i * step_b] ^ fb) - ob) * (1 << 20)) * mb;
        x = stage(x, a0.s, a0.a, a0.b, a0.c, sra);
        x = stage(x, a1.s, a1.a, a1.b, a1.c, sra);
        y = stage(y, b0.s, b0.a, b0.b, b0.c, sra);
        y = stage(y, b1.s, b1.a, b1.b, b1.c, sra);
        int64_t z = stage((int64_t)(int32_t)(x + y) * mo, o0.s, o0.a, o0.b, o0.c, sra);
        z = stage(z, o1.s, o1.a, o1.b, o1.c, sra);
        out[i] = (uint8_t)(clamp_i64(z, lo, hi) + zp);
    }
}

BODY void add_body(const xg_fast_add *q, const uint8_t *a, int64_t step_a, const uint8_t *b,
                   int64_t step_b, int64_t n, uint8_t *out, bool sra) {
    bool fused = q->method == XG_ADD_F32_FMA;
#define FUSED_EVEN(sa, sb) add_f32(q, a, sa, b, sb, n, out, true, true)
#define FUSED(sa, sb)      add_f32(q, a, sa, b, sb, n, out, true, false)
#define APART_EVEN(sa, sb) add_f32(q, a, sa, b, sb, n, out, false, true)
#define APART(sa, sb)      add_f32(q, a, sa, b, sb, n, out, false, false)
#define INTEGER(sa, sb)    add_int(q, a, sa, b, sb, n, out, sra)
#define TFLITE(sa, sb)     add_tflite(q, a, sa, b, sb, n, out, sra)
    if (q->method == XG_ADD_TFLITE)
        STEPS(TFLITE);
    else if (!fused && q->method != XG_ADD_F32)
        STEPS(INTEGER);
    else if (fused && q->round.even)
        STEPS(FUSED_EVEN);
    else if (fused)
        STEPS(FUSED);
    else if (q->round.even)
        STEPS(APART_EVEN);
    else
        STEPS(APART);
}

BODY void product_rows(const uint8_t *restrict a, int64_t step_a, xg_fast_type ta,
                       const uint8_t *restrict b, int64_t step_b, xg_fast_type tb, int64_t n,
                       int32_t *restrict out) {
    for (int64_t i = 0; i < n; i++)
        out[i] = ((a[i * step_a] ^ ta.flip) - ta.off) * ((b[i * step_b] ^ tb.flip) - tb.off);
}

BODY void product_body(const uint8_t *a, int64_t step_a, xg_fast_type ta, const uint8_t *b,
                       int64_t step_b, xg_fast_type tb, int64_t n, int32_t *out) {
#define PRODUCT(sa, sb) product_rows(a, sa, ta, b, sb, tb, n, out)
    STEPS(PRODUCT);
}

BODY int32_t place(const xg_fast_mean *q, float v, float lo, float hi) {
    v = clamp_f32(v, lo, hi);
    return (q->round.even ? round_even(v) : round_at(v, q->round.up, q->round.down)) + q->zp;
}

#define BOUNDS                                                                                     \
    const xg_fast_mean k = *q;                                                                     \
    const float lo = (float)(k.lo - k.zp), hi = (float)(k.hi - k.zp)

BODY void mul_f32_body(const xg_fast_mean *q, const int32_t *restrict acc, int64_t n,
                       uint8_t *restrict out) {
    BOUNDS;
    for (int64_t i = 0; i < n; i++) {
        float scaled = (float)acc[i] * k.sx;
        out[i] = (uint8_t)place(&k, scaled + k.zf, lo, hi);
    }
}

BODY void mean_f32_body(const xg_fast_mean *q, const float *restrict sum, int64_t n,
                        uint8_t *restrict out) {
    BOUNDS;
    for (int64_t i = 0; i < n; i++) {
        float mean = sum[i] / k.n, scaled = mean / k.sy;
        out[i] = (uint8_t)place(&k, k.before ? scaled + k.zf : scaled, lo, hi);
    }
}

BODY void quantise_body(const xg_fast_mean *q, const float *restrict x, int64_t n,
                        uint8_t *restrict out) {
    BOUNDS;
    for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)place(&k, x[i] / k.sy, lo, hi);
}

BODY void dequantise_body(const uint8_t *restrict x, uint8_t flip, int32_t off, float scale,
                          int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)((x[i] ^ flip) - off) * scale;
}

/* ---- windows --------------------------------------------------------------------------------- */

BODY void patch_body(uint8_t *restrict raw, int64_t n, uint8_t flip, int32_t off,
                     int16_t *restrict wide) {
    if (wide)
        for (int64_t i = 0; i < n; i++) wide[i] = (int16_t)((raw[i] ^ flip) - off);
    else if (flip)
        for (int64_t i = 0; i < n; i++) raw[i] = (uint8_t)(raw[i] ^ flip);
}

/* n channels; a constant n lets the sums stay in registers. */
BODY void depthwise_run(const xg_fast_taps *t, const int32_t *restrict start, int64_t first,
                        int64_t n, int32_t *restrict acc) {
    const uint8_t flip = t->flip;
    const int32_t off = t->off;
    int32_t sum[32];
    for (int64_t c = 0; c < n; c++) sum[c] = start[first + c];
    for (int64_t i = 0; i < t->n; i++) {
        if (!t->x[i]) continue;
        const uint8_t *restrict x = t->x[i] + first;
        const int16_t *restrict w = t->w + i * t->channels + first;
        for (int64_t c = 0; c < n; c++) {
            int16_t v = (int16_t)((x[c] ^ flip) - off);
            sum[c] += v * w[c];
        }
    }
    for (int64_t c = 0; c < n; c++) acc[c] = sum[c];
}

BODY void depthwise_body(const xg_fast_taps *t, const int32_t *start, int64_t first, int64_t n,
                         int32_t *acc) {
    for (; n >= 32; n -= 32, first += 32, acc += 32) depthwise_run(t, start, first, 32, acc);
    if (n > 0) depthwise_run(t, start, first, n, acc);
}

BODY void max_body(const uint8_t *restrict x, uint8_t flip, int64_t n, uint8_t *restrict max) {
    for (int64_t i = 0; i < n; i++) {
        uint8_t u = (uint8_t)(x[i] ^ flip);
        max[i] = u > max[i] ? u : max[i];
    }
}

BODY void sum_body(const uint8_t *restrict x, uint8_t flip, int32_t off, int64_t n,
                   int32_t *restrict sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += (x[i] ^ flip) - off;
}

BODY void sum_f32_body(const uint8_t *restrict x, uint8_t flip, int32_t off, float scale, int64_t n,
                       float *restrict sum) {
    for (int64_t i = 0; i < n; i++) {
        float v = (float)((x[i] ^ flip) - off) * scale;
        sum[i] = sum[i] + v;
    }
}

/* ---- one copy a level ------------------------------------------------------------------------ */

#define ROW(T, L, name, params, args)                                                              \
    T static void name##_##L params {                                                              \
        name##_body args;                                                                          \
    }

#define LEVEL(T, L, SRA)                                                                           \
    ROW(T, L, requantise,                                                                          \
        (const xg_fast_rq *q, const int32_t *acc, int64_t first, int64_t n, uint8_t *out),         \
        (q, acc, first, n, out, SRA))                                                              \
    ROW(T, L, add,                                                                                 \
        (const xg_fast_add *q, const uint8_t *a, int64_t sa, const uint8_t *b, int64_t sb,         \
         int64_t n, uint8_t *out),                                                                 \
        (q, a, sa, b, sb, n, out, SRA))                                                            \
    ROW(T, L, product,                                                                             \
        (const uint8_t *a, int64_t sa, xg_fast_type ta, const uint8_t *b, int64_t sb,              \
         xg_fast_type tb, int64_t n, int32_t *out),                                                \
        (a, sa, ta, b, sb, tb, n, out))                                                            \
    ROW(T, L, mul_f32, (const xg_fast_mean *q, const int32_t *acc, int64_t n, uint8_t *out),       \
        (q, acc, n, out))                                                                          \
    ROW(T, L, mean_f32, (const xg_fast_mean *q, const float *sum, int64_t n, uint8_t *out),        \
        (q, sum, n, out))                                                                          \
    ROW(T, L, quantise, (const xg_fast_mean *q, const float *x, int64_t n, uint8_t *out),          \
        (q, x, n, out))                                                                            \
    ROW(T, L, dequantise,                                                                          \
        (const uint8_t *x, uint8_t flip, int32_t off, float scale, int64_t n, float *out),         \
        (x, flip, off, scale, n, out))                                                             \
    ROW(T, L, patch, (uint8_t * raw, int64_t n, uint8_t flip, int32_t off, int16_t * wide),        \
        (raw, n, flip, off, wide))                                                                 \
    ROW(T, L, depthwise,                                                                           \
        (const xg_fast_taps *t, const int32_t *start, int64_t first, int64_t n, int32_t *acc),     \
        (t, start, first, n, acc))                                                                 \
    ROW(T, L, max, (const uint8_t *x, uint8_t flip, int64_t n, uint8_t *max), (x, flip, n, max))   \
    ROW(T, L, sum, (const uint8_t *x, uint8_t flip, int32_t off, int64_t n, int32_t *sum),         \
        (x, flip, off, n, sum))                                                                    \
    ROW(T, L, sum_f32,                                                                             \
        (const uint8_t *x, uint8_t flip, int32_t off, float scale, int64_t n, float *sum),         \
        (x, flip, off, scale, n, sum))

#define TABLE(L, id, vec, wide)                                                                    \
    {                                                                                              \
        .level = id, .vector = vec, .centred = wide, .tile = xg_fast_tile_##L, .patch = patch_##L, \
        .depthwise = depthwise_##L, .requantise = requantise_##L, .add = add_##L,                  \
        .product = product_##L, .mul_f32 = mul_f32_##L, .max = max_##L, .sum = sum_##L,            \
        .sum_f32 = sum_f32_##L, .mean_f32 = mean_f32_##L, .quantise = quantise_##L,                \
        .dequantise = dequantise_##L                                                               \
    }

LEVEL(, portable, false)
#if defined(__x86_64__)
LEVEL(__attribute__((target("avx2,fma"))), avx2, false)
LEVEL(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), vnni, true)
#endif

const xg_fast_isa *xg_fast_isa_of(xg_cpu level) {
    static const xg_fast_isa table[] = {
        TABLE(portable, XG_CPU_PORTABLE, 32, true),
#if defined(__x86_64__)
        TABLE(avx2, XG_CPU_AVX2, 32, true),
        TABLE(vnni, XG_CPU_VNNI, 4, false),
#endif
    };
    return &table[(size_t)level < XG_COUNT(table) ? level : XG_CPU_PORTABLE];
}
