#include "base/fixed.h"
#include "base/fixed_internal.h"

#include <math.h>

/* ---- rounding -------------------------------------------------------------------------------- */

/* Whether floor + 1 is meant: cmp = sign of (fraction - 1/2), negative = sign of the value, odd =
 * of floor. */
static bool rounds_up(int cmp, bool zero_frac, bool negative, bool odd, xg_rounding mode) {
    switch (mode) {
    case XG_HALF_EVEN:
        return cmp > 0 || (cmp == 0 && odd);
    case XG_HALF_AWAY:
        return cmp > 0 || (cmp == 0 && !negative);
    case XG_HALF_UP:
        return cmp >= 0;
    case XG_HALF_DOWN:
        return cmp > 0;
    case XG_FLOOR:
        return false;
    case XG_TRUNC:
        return negative && !zero_frac;
    }
    return false;
}

static int64_t saturate64(__int128 v) {
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t xg_round_shift(__int128 v, int shift, xg_rounding mode) {
    if (shift <= 0) {
        if (v == 0) return 0;
        if (shift < -63) return v < 0 ? INT64_MIN : INT64_MAX;
        __int128 wide;
        if (__builtin_mul_overflow(v, (__int128)1 << -shift, &wide)) {
            return v < 0 ? INT64_MIN : INT64_MAX;
        }
        return saturate64(wide);
    }
    if (shift > 126) { /* |v| / 2^shift < 1/2, as 1/4 is: all that matters then is the sign */
        v = v < 0 ? -1 : v > 0;
        shift = 2;
    }
    __int128 floor = v >> shift; /* arithmetic in both compilers that the project supports */
    __int128 frac = v - floor * ((__int128)1 << shift);
    __int128 half = (__int128)1 << (shift - 1);
    int cmp = frac > half ? 1 : frac < half ? -1 : 0;
    return saturate64(floor + rounds_up(cmp, frac == 0, v < 0, floor & 1, mode));
}

int64_t xg_round_div(int64_t v, int64_t d, xg_rounding mode) {
    __int128 n = v;
    __int128 floor = n / d - (n % d < 0);
    __int128 frac = n - floor * d; /* 0 <= frac < d */
    int cmp = 2 * frac > d ? 1 : 2 * frac < d ? -1 : 0;
    return (int64_t)(floor + rounds_up(cmp, frac == 0, v < 0, floor & 1, mode));
}

/* round(v), |v| < 2^62; exact, since double holds v, its floor and their difference. */
static int64_t round_f32(float v, xg_rounding mode) {
    double x = v, floor_x = floor(x), frac = x - floor_x;
    int cmp = frac > 0.5 ? 1 : frac < 0.5 ? -1 : 0;
    int64_t q = (int64_t)floor_x;
    return q + rounds_up(cmp, frac == 0, x < 0, q & 1, mode);
}

/* min(max(v, lo), hi) in binary32; a NaN gives lo, as x86 maxps does. Bounds beyond 2^24
 * may be rounded here; callers clamp once more after rounding. */
static float clamp_f32(float v, int64_t lo, int64_t hi) {
    float l = (float)lo, h = (float)hi;
    v = v > l ? v : l;
    return v < h ? v : h;
}

int32_t xg_fixed_round_f32(float v, int64_t zp, int32_t lo, int32_t hi, xg_rounding mode) {
    return (int32_t)xg_clamp(round_f32(clamp_f32(v, lo - zp, hi - zp), mode) + zp, lo, hi);
}

/* ---- constants ------------------------------------------------------------------------------- */

bool xg_fixed_log2(double v, int32_t *out) {
    int e;
    if (!isfinite(v) || v <= 0 || frexp(v, &e) != 0.5) return false;
    *out = e - 1;
    return true;
}

/* |acc| <= 2^(acc_bits-1) and m < 2^e: then |acc * m| < 1/2, which only FLOOR does not make 0. With
 * 32 bits this is TFLite's rule: exponents below -31 flush to zero. */
static bool vanishes(const xg_rqrec *r, int e) {
    bool floors =
        r->rounding[0] == XG_FLOOR || (r->method == XG_RQ_MULSHIFT2 && r->rounding[1] == XG_FLOOR);
    return !floors && e <= -(int)r->acc_bits;
}

/* real = mult / 2^total, mult in [2^(mul_bits-1), 2^mul_bits): frexp, then round half away, as
 * TFLite's QuantizeMultiplier (numerics: TensorFlow lite/kernels/internal/quantization_util.cc).
 * shift_of_total: what the record counts its shift range from (mul_bits for MULSHIFT2, else 0). */
static bool derive_mult(const xg_rqrec *r, double real, int shift_of_total, xg_rq *out) {
    if (r->mul_bits < 1 || r->mul_bits > 31 || !isfinite(real) || real <= 0) return false;
    int e;
    double q = frexp(real, &e); /* [0.5, 1) */
    int64_t mult = llround(ldexp(q, r->mul_bits));
    if (mult == (int64_t)1 << r->mul_bits) {
        mult /= 2;
        e++;
    }
    int64_t shift = (int64_t)r->mul_bits - e - shift_of_total;
    if (shift > r->shift_max && vanishes(r, e)) {
        *out = (xg_rq){0, (int32_t)xg_clamp(0, r->shift_min, r->shift_max) + shift_of_total};
        return true;
    }
    if (shift < r->shift_min || shift > r->shift_max) return false;
    *out = (xg_rq){(int32_t)mult, (int32_t)shift + shift_of_total};
    return true;
}

bool xg_fixed_derive_total(const xg_rqrec *r, double real, xg_rq *out) {
    return derive_mult(r, real, r->method == XG_RQ_MULSHIFT2 ? r->mul_bits : 0, out);
}

bool xg_fixed_derive_real(const xg_rqrec *r, double real, xg_rq *out) {
    if (r->method != XG_RQ_MULSHIFT && r->method != XG_RQ_MULSHIFT2) return false;
    if (!xg_fixed_derive_total(r, real, out)) return false;
    if (r->method == XG_RQ_MULSHIFT2) out->shift -= r->mul_bits; /* right - left = -exponent */
    return true;
}

static bool derive_shift(const xg_rqrec *r, double real, xg_rq *out) {
    int32_t log2;
    if (!xg_fixed_log2(real, &log2)) return false;
    if (-log2 < r->shift_min || -log2 > r->shift_max) return false;
    *out = (xg_rq){0, -log2};
    return true;
}

bool xg_rq_derive(const xg_rqrec *r, const float *num, int nnum, float den, xg_rq *out) {
    *out = (xg_rq){0, 0};
    if (nnum < 1 || nnum > 2 || !xg_is_scale(den)) return false;
    for (int i = 0; i < nnum; i++) {
        if (!xg_is_scale(num[i])) return false;
    }
    if (r->method == XG_RQ_F32) {
        float product = nnum == 2 ? num[0] * num[1] : num[0];
        float m = product / den;
        if (!isfinite(m)) return false;
        out->mult = xg_f32_bits(m);
        return true;
    }
    /* The product of two binary32 is exact in double. The quotient is a power of two only when it
     * is so exactly: product and den have 48 and 24 bits, so any other quotient differs by more
     * than double's rounding. */
    double real = (nnum == 2 ? (double)num[0] * (double)num[1] : (double)num[0]) / (double)den;
    return r->method == XG_RQ_SHIFT ? derive_shift(r, real, out)
                                    : xg_fixed_derive_real(r, real, out);
}

/* ---- use ------------------------------------------------------------------------------------- */

int64_t xg_fixed_scale(const xg_rqrec *r, xg_rq q, int64_t v) {
    switch (r->method) {
    case XG_RQ_SHIFT:
        return xg_round_shift(v, q.shift, r->rounding[0]);
    case XG_RQ_MULSHIFT:
        return xg_round_shift((__int128)v * q.mult, q.shift, r->rounding[0]);
    case XG_RQ_MULSHIFT2: {
        /* left = max(-shift, 0) before the high product, right = max(shift, 0) after it */
        int left = q.shift < 0 ? -q.shift : 0, right = q.shift > 0 ? q.shift : 0;
        int64_t high = xg_round_shift((__int128)v * q.mult, r->mul_bits - left, r->rounding[0]);
        return xg_round_shift(high, right, r->rounding[1]);
    }
    case XG_RQ_F32:
        break;
    }
    return 0;
}

int32_t xg_rq_apply(const xg_rqrec *r, xg_rq q, int64_t acc, int32_t zp, int32_t lo, int32_t hi) {
    if (r->method == XG_RQ_F32) {
        float v = (float)acc * xg_f32_of(q.mult);
        return xg_fixed_round_f32(v, zp, lo, hi, r->rounding[0]);
    }
    int64_t y = xg_fixed_scale(r, q, acc);
    return (int32_t)(xg_clamp(y, (int64_t)lo - zp, (int64_t)hi - zp) + zp);
}

int32_t xg_quantize_f32(float v, float scale, int32_t zp, int32_t lo, int32_t hi) {
    return xg_fixed_round_f32(v / scale, zp, lo, hi, XG_HALF_EVEN);
}

float xg_dequantize_f32(int32_t q, float scale, int32_t zp) {
    return (float)((int64_t)q - zp) * scale;
}
