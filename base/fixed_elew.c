#include "base/fixed_internal.h"

#include <math.h>

/* TFLite's QuantizedAdd gives its operands 20 more bits before it rescales them. */
#define TFLITE_LEFT_SHIFT 20
/* Left shifts of the DPU's element-wise unit before, shifts either way behind the sum (numerics:
 * DPU 3.3). */
#define ALIGN_MAX 15

static int32_t finish(int64_t v, int32_t zp, int32_t lo, int32_t hi) {
    return (int32_t)(xg_clamp(v, (int64_t)lo - zp, (int64_t)hi - zp) + zp);
}

/* ---- addition -------------------------------------------------------------------------------- */

/* ONNX Runtime, QLinearAdd on x86 (core/mlas/lib/qladd.cpp). Its conversion to int32 is not clamped
 * first; scales whose results could leave int32 are refused, so that clamping first is the same. */
static bool add_derive_f32(const xg_rqrec *r, float sa, float sb, float sy, xg_addrq *q) {
    float ra = sa / sy, rb = sb / sy;
    float zy = r->zp_before_round ? (float)q->zy : 0.0f;
    float pa = ra * (float)q->za, pb = rb * (float)q->zb;
    float sum = pa + pb;
    float fixed = zy - sum;
    q->a.mult = xg_f32_bits(ra);
    q->b.mult = xg_f32_bits(rb);
    q->o.mult = xg_f32_bits(fixed);
    return ra < 0x1p21f &&
           rb < 0x1p21f; /* |a*ra + b*rb + F| < 4 * 2^8 * 2^21; false for infinities */
}

static bool add_derive_shift(float sa, float sb, float sy, xg_addrq *q) {
    int32_t ab, ay; /* log2 of sa / sb and of sa / sy */
    if (!xg_fixed_log2((double)sa / sb, &ab) || !xg_fixed_log2((double)sa / sy, &ay)) return false;
    /* The sum is in units of the smaller scale: nothing is lost before the one rounding. */
    q->a.shift = ab > 0 ? ab : 0;
    q->b.shift = ab < 0 ? -ab : 0;
    q->o.shift = -(ay - q->a.shift);
    return q->a.shift <= ALIGN_MAX && q->b.shift <= ALIGN_MAX && q->o.shift >= -ALIGN_MAX &&
           q->o.shift <= ALIGN_MAX;
}

/* TensorFlow Lite, lite/kernels/add.cc: all in double, relative to twice the larger scale. */
static bool add_derive_tflite(const xg_rqrec *r, float sa, float sb, float sy, xg_addrq *q) {
    double twice = 2.0 * (double)(sa > sb ? sa : sb);
    double out = twice / ((double)(1 << TFLITE_LEFT_SHIFT) * (double)sy);
    return xg_fixed_derive_real(r, (double)sa / twice, &q->a) &&
           xg_fixed_derive_real(r, (double)sb / twice, &q->b) &&
           xg_fixed_derive_real(r, out, &q->o);
}

/* The form of ONNX Runtime's QLinearAdd on ARM: one shift for both, such that the larger multiplier
 * fills mul_bits (22 there), and one rounding. The multipliers follow the record's own rule
 * (double, half away). */
static bool add_derive_mulshift(const xg_rqrec *r, float sa, float sb, float sy, xg_addrq *q) {
    if (r->mul_bits < 1 || r->mul_bits > 31) return false;
    double ra = (double)sa / sy, rb = (double)sb / sy;
    int e;
    frexp(ra > rb ? ra : rb, &e);
    int64_t limit = (int64_t)1 << r->mul_bits;
    if (llround(ldexp(ra > rb ? ra : rb, r->mul_bits - e)) == limit) e++;
    int shift = r->mul_bits - e;
    int offset = r->method == XG_RQ_MULSHIFT2 ? r->mul_bits : 0;
    if (shift - offset < r->shift_min || shift - offset > r->shift_max) return false;
    q->a.mult = (int32_t)llround(ldexp(ra, shift));
    q->b.mult = (int32_t)llround(ldexp(rb, shift));
    q->o.shift = shift;
    return true;
}

bool xg_add_derive(const xg_rqrec *r, float sa, int32_t za, float sb, int32_t zb, float sy,
                   int32_t zy, xg_addrq *out) {
    *out = (xg_addrq){.za = za, .zb = zb, .zy = zy};
    if (!xg_is_scale(sa) || !xg_is_scale(sb) || !xg_is_scale(sy)) return false;
    switch (r->add) {
    case XG_ADD_F32_FMA:
    case XG_ADD_F32:
        return add_derive_f32(r, sa, sb, sy, out);
    case XG_ADD_SHIFT:
        return add_derive_shift(sa, sb, sy, out);
    case XG_ADD_TFLITE:
        return add_derive_tflite(r, sa, sb, sy, out);
    case XG_ADD_MULSHIFT:
        return add_derive_mulshift(r, sa, sb, sy, out);
    }
    return false;
}

static int32_t add_f32(const xg_rqrec *r, const xg_addrq *q, int32_t a, int32_t b, int32_t lo,
                       int32_t hi) {
    float ra = xg_f32_of(q->a.mult), rb = xg_f32_of(q->b.mult), fixed = xg_f32_of(q->o.mult);
    float v;
    if (r->add == XG_ADD_F32_FMA) {
        v = fmaf((float)a, ra, fmaf((float)b, rb, fixed));
    } else {
        float pa = (float)a * ra, pb = (float)b * rb;
        float part = fixed + pa;
        v = part + pb;
    }
    return xg_fixed_round_f32(v, r->zp_before_round ? 0 : q->zy, lo, hi, r->rounding[0]);
}

int32_t xg_add_apply(const xg_rqrec *r, const xg_addrq *q, int32_t a, int32_t b, int32_t lo,
                     int32_t hi) {
    if (r->add == XG_ADD_F32_FMA || r->add == XG_ADD_F32) return add_f32(r, q, a, b, lo, hi);
    int64_t da = (int64_t)a - q->za, db = (int64_t)b - q->zb, y = 0;
    switch (r->add) {
    case XG_ADD_SHIFT: {
        __int128 sum =
            (__int128)da * ((int64_t)1 << q->a.shift) + (__int128)db * ((int64_t)1 << q->b.shift);
        y = xg_round_shift(sum, q->o.shift, r->rounding[0]);
        break;
    }
    case XG_ADD_TFLITE: {
        int64_t wa = xg_fixed_scale(r, q->a, da * ((int64_t)1 << TFLITE_LEFT_SHIFT));
        int64_t wb = xg_fixed_scale(r, q->b, db * ((int64_t)1 << TFLITE_LEFT_SHIFT));
        y = xg_fixed_scale(r, q->o, wa + wb);
        break;
    }
    default: {
        __int128 sum = (__int128)da * q->a.mult + (__int128)db * q->b.mult;
        y = xg_round_shift(sum, q->o.shift, r->rounding[0]);
    }
    }
    return finish(y, q->zy, lo, hi);
}

/* ---- multiplication -------------------------------------------------------------------------- */

bool xg_mul_derive(const xg_rqrec *r, float sa, float sb, float sy, xg_rq *out) {
    return xg_rq_derive(r, (float[]){sa, sb}, 2, sy, out);
}

int32_t xg_mul_apply(const xg_rqrec *r, xg_rq q, int32_t prod, int32_t zy, int32_t lo, int32_t hi) {
    if (r->method != XG_RQ_F32 || !r->zp_before_round) return xg_rq_apply(r, q, prod, zy, lo, hi);
    /* ONNX Runtime, QLinearMul: y = rne(f32(f32(f32(prod) * m) + zy)) */
    float scaled = (float)prod * xg_f32_of(q.mult);
    float v = scaled + (float)zy;
    return xg_fixed_round_f32(v, 0, lo, hi, r->rounding[0]);
}

/* ---- average pooling ------------------------------------------------------------------------- */

/* k / 2^s for 1 / n. The DPU's published constants for square windows, else the nearest fraction
 * with 2^s < 128 n, the smallest s of equals (Vitis AI: average pooling of the CPU reference). */
static xg_rq dpu_factor(int64_t n) {
    static const struct {
        int16_t n, k, s;
    } known[] = {{9, 7, 6}, {25, 10, 8}, {36, 7, 8}, {49, 21, 10}, {196, 21, 12}};
    for (size_t i = 0; i < XG_COUNT(known); i++) {
        if (known[i].n == n) return (xg_rq){known[i].k, known[i].s};
    }
    xg_rq best = {0, 0};
    int64_t best_error = n; /* the error of k / 2^s is |k n - 2^s| / (n 2^s); begin with 1 */
    for (int s = 0; ((int64_t)1 << s) < 128 * n; s++) {
        int64_t k = xg_round_div((int64_t)1 << s, n, XG_HALF_EVEN);
        int64_t error = k * n - ((int64_t)1 << s);
        error = error < 0 ? -error : error;
        if (((__int128)error << best.shift) < (__int128)best_error << s) {
            best = (xg_rq){(int32_t)k, s};
            best_error = error;
        }
    }
    return best;
}

static bool pool_derive_dpu(const xg_rqrec *r, float sx, float sy, xg_poolrq *q) {
    int32_t log2;
    if (!xg_fixed_log2((double)sx / sy, &log2)) return false;
    q->m = dpu_factor(q->n);
    q->m.shift -= log2;
    return q->m.shift >= r->shift_min && q->m.shift <= r->shift_max;
}

bool xg_pool_derive(const xg_rqrec *r, float sx, float sy, int32_t n, bool global, xg_poolrq *out) {
    *out = (xg_poolrq){.n = n, .global = global};
    if (n < 1 || !xg_is_scale(sx) || !xg_is_scale(sy)) return false;
    switch (r->pool) {
    case XG_POOL_F32:
        if (global) {
            float d = sy * (float)n;
            float m = sx / d;
            out->m.mult = xg_f32_bits(m);
            return isfinite(m) && isfinite(d);
        }
        out->m.mult = xg_f32_bits(sx);
        out->d.mult = xg_f32_bits(sy);
        return true;
    case XG_POOL_MULSHIFT:
        return xg_fixed_derive_total(r, (double)sx / ((double)sy * n), &out->m);
    case XG_POOL_DPU:
        return pool_derive_dpu(r, sx, sy, out);
    case XG_POOL_EXACT:
        return sx == sy;
    }
    return false;
}

/* ONNX Runtime, QLinearAveragePool: values are dequantised and summed in binary32, in their order.
 */
static int32_t pool_f32(const xg_rqrec *r, const xg_poolrq *q, const int32_t *x, int32_t count,
                        int32_t zy, int32_t lo, int32_t hi) {
    float sx = xg_f32_of(q->m.mult), sy = xg_f32_of(q->d.mult), sum = 0;
    for (int32_t i = 0; i < count; i++) {
        float v = (float)x[i] * sx;
        sum = sum + v;
    }
    float mean = sum / (float)q->n;
    float scaled = mean / sy;
    if (!r->zp_before_round) return xg_fixed_round_f32(scaled, zy, lo, hi, r->rounding[0]);
    float v = scaled + (float)zy;
    return xg_fixed_round_f32(v, 0, lo, hi, r->rounding[0]);
}

int32_t xg_pool_apply(const xg_rqrec *r, const xg_poolrq *q, const int32_t *x, int32_t count,
                      int32_t zy, int32_t lo, int32_t hi) {
    if (r->pool == XG_POOL_F32 && !q->global) return pool_f32(r, q, x, count, zy, lo, hi);
    int64_t sum = 0, y = 0;
    for (int32_t i = 0; i < count; i++) sum += x[i];
    switch (r->pool) {
    case XG_POOL_F32: {
        /* ONNX Runtime, QLinearGlobalAveragePool: y = rne(clamp(f32(sum) * m)) + zy */
        float v = (float)sum * xg_f32_of(q->m.mult);
        return xg_fixed_round_f32(v, zy, lo, hi, r->rounding[0]);
    }
    case XG_POOL_EXACT: {
        /* TensorFlow Lite divides the raw sum, zero points and all: input and output share scale
         * and zero point, so raw = x + zy; a padding counts as a real zero. */
        int64_t raw = xg_round_div(sum + (int64_t)q->n * zy, q->n, XG_HALF_AWAY);
        return (int32_t)xg_clamp(raw, lo, hi);
    }
    default:
        y = xg_round_shift((__int128)sum * q->m.mult, q->m.shift, r->rounding[0]);
    }
    return finish(y, zy, lo, hi);
}
