/* The definition of integer semantics: how an exact accumulator becomes an 8-bit result.
 *
 * Literal and wide. The record (xg_rqrec) is data of a machine file; interpreter and simulators
 * read the same record. This file is what the interpreter computes with and what the compiler
 * derives constants with; the simulators compute with their own datapath form (isa/datapath.c) and
 * share no arithmetic with it. Notation: f32(x) = rounded to binary32, rne = round half to even,
 * half_away = to nearest, ties away from zero. All functions are pure.
 */
#ifndef XG_FIXED_H
#define XG_FIXED_H

#include "base/base.h"

/* SHIFT     y = round0(acc / 2^shift)
 * MULSHIFT  y = round0(acc * mult / 2^shift): one rounding
 * MULSHIFT2 y = round1(h / 2^right), h = round0(acc * 2^left * mult / 2^mul_bits),
 *           left = max(-shift, 0), right = max(shift, 0):
 *           TFLite's double rounding with round0 = HALF_UP, round1 = HALF_AWAY
 * F32       y = round0(clamp(f32(f32(acc) * mult))), mult a binary32
 *
 * round0, round1 = the record's rounding[0], rounding[1]. */
typedef enum xg_rq_method { XG_RQ_SHIFT, XG_RQ_MULSHIFT, XG_RQ_MULSHIFT2, XG_RQ_F32 } xg_rq_method;
/*                   -1.5 -0.5 0.5 1.5 */
typedef enum xg_rounding {
    XG_HALF_EVEN, /*  -2    0   0   2   to nearest, ties to the even integer */
    XG_HALF_AWAY, /*  -2   -1   1   2   to nearest, ties away from zero */
    XG_HALF_UP,   /*  -1    0   1   2   to nearest, ties towards plus infinity */
    XG_HALF_DOWN, /*  -2   -1   0   1   to nearest, ties towards minus infinity */
    XG_FLOOR,     /*  -2   -1   0   1   towards minus infinity */
    XG_TRUNC      /*  -1    0   0   1   towards zero */
} xg_rounding;
/* Addition (formulas at xg_addrq):
 * F32_FMA   ONNX Runtime on x86
 * F32       the same without fused multiply-add
 * SHIFT     align to the smaller scale, sum, one rounding
 * TFLITE    inputs << 20, each rescaled, sum, rescaled: three roundings by the record's method
 * MULSHIFT  a * Ma + b * Mb with one rounding (the form of ONNX Runtime on ARM) */
typedef enum xg_add_method {
    XG_ADD_F32_FMA,
    XG_ADD_F32,
    XG_ADD_SHIFT,
    XG_ADD_TFLITE,
    XG_ADD_MULSHIFT
} xg_add_method;
/* Average pooling (formulas at xg_poolrq):
 * F32       ONNX Runtime: a window sums dequantised values in binary32, the whole map sums integers
 * MULSHIFT  the sum times one multiplier, one rounding
 * DPU       the sum times the DPU's published constants for 1 / n; sx / sy a power of two
 * EXACT     TFLite: the raw sum divided by n; only for equal scales in and out */
typedef enum xg_pool_method {
    XG_POOL_F32,
    XG_POOL_MULSHIFT,
    XG_POOL_DPU,
    XG_POOL_EXACT
} xg_pool_method;

typedef struct xg_rqrec {
    xg_rq_method method;
    uint8_t mul_bits;        /* fraction bits of the multiplier: 31, 15, 8 ...; else 0 */
    xg_rounding rounding[2]; /* [1] only for MULSHIFT2 */
    /* F32 add, multiply and window average only: the output's zero point is added in binary32
     * before rounding (ONNX Runtime); else as an integer after it. */
    bool zp_before_round;
    uint8_t acc_bits; /* of the accumulator; proved at compile time, nothing may exceed it */
    int8_t shift_min, shift_max; /* right shifts the machine can do; negative = left */
    bool per_channel;            /* multiplier and shift per output channel */
    bool act_zero_point;         /* activations may have a zero point */
    bool weight_zero_point;      /* weights may have a zero point */
    bool pow2_scales;            /* every scale must be a power of two (SHIFT) */
    uint8_t weight_bits;         /* 8 (4 later) */
    xg_add_method add;
    xg_pool_method pool;
} xg_rqrec;

/* Named profiles: ort, tflite1, tflite2, dpu, nvdla, mul16, mul8. False when unknown. */
bool xg_rqrec_profile(const char *name, xg_rqrec *out);
/* The record as one line of canonical text (hashed into binaries), and names for messages. */
void xg_rqrec_print(const xg_rqrec *r, xg_buf *out);
const char *xg_rounding_name(xg_rounding r);

/* Constants of one requantisation, as stored in programs. */
typedef struct xg_rq {
    int32_t mult;  /* integer multiplier, or the bits of a binary32 (F32) */
    int32_t shift; /* see xg_rq_method; unused for F32 */
} xg_rq;

/* A real multiplier given as the quotient of f32 scales num[0] * .. / den (in binary32 for F32, in
 * double for integer methods); nnum is 1 or 2. Returns false when the record cannot express it (not
 * a power of two, shift out of range) or a scale is not finite and positive.
 *
 *   real = q * 2^e, q in [1/2, 1) (frexp)
 *   mult = half_away(q * 2^mul_bits); when that is 2^mul_bits: half of it, and e + 1
 *   shift = mul_bits - e for MULSHIFT, -e for MULSHIFT2 (TFLite QuantizeMultiplier)
 *
 * A real so small that every accumulator gives 0 (e <= -acc_bits, no FLOOR) and whose shift is out
 * of range becomes mult = 0 (TFLite's flush to zero). */
bool xg_rq_derive(const xg_rqrec *r, const float *num, int nnum, float den, xg_rq *out);
/* clamp(round(acc scaled) + zp, lo, hi). F32: round0(min(max(f32(f32(acc)*m), lo-zp), hi-zp)) + zp,
 * as ONNX Runtime's QLinearConv. */
int32_t xg_rq_apply(const xg_rqrec *r, xg_rq q, int64_t acc, int32_t zp, int32_t lo, int32_t hi);
/* round(v / 2^shift) for any rounding; shift <= 0 shifts left; saturates at int64. |v| < 2^125. */
int64_t xg_round_shift(__int128 v, int shift, xg_rounding mode);
/* round(v / d), d > 0. */
int64_t xg_round_div(int64_t v, int64_t d, xg_rounding mode);

/* y = a*sa + b*sb in 8 bits. Meaning of the fields by add method:
 *
 * F32*      a.mult, b.mult = bits of ra = f32(sa/sy), rb = f32(sb/sy);
 *           o.mult = bits of F = f32(zy - f32(f32(ra*za) + f32(rb*zb)))
 *           F32_FMA: y = round0(clamp(fma(a, ra, fma(b, rb, F)))), a and b with their zero points
 *           F32:     y = round0(clamp(f32(f32(F + f32(a*ra)) + f32(b*rb))))
 *           Without zp_before_round zy is left out of F and added after rounding. Ratios of 2^21
 *           or more are refused: there ONNX Runtime's conversion to int32 overflows.
 * SHIFT     a.shift, b.shift = left shifts of the operands, 0 to 15; o.shift = right shift of the
 *           sum, -15 to 15: y = round0(((a-za)*2^a.shift + (b-zb)*2^b.shift) / 2^o.shift) + zy
 *           (DPU: align to the smaller scale)
 * TFLITE    a, b = rescale of (x-zx) << 20, by s / (2 max(sa,sb)); o = rescale of the sum, by
 *           2 max(sa,sb) / (2^20 sy), all in double; each rescale is the record's method with its
 *           roundings, MULSHIFT or MULSHIFT2
 * MULSHIFT  y = round0(((a-za)*a.mult + (b-zb)*b.mult) / 2^o.shift) + zy; the larger mult lies in
 *           [2^(mul_bits-1), 2^mul_bits) */
typedef struct xg_addrq {
    xg_rq a, b, o;
    int32_t za, zb, zy;
} xg_addrq;
bool xg_add_derive(const xg_rqrec *r, float sa, int32_t za, float sb, int32_t zb, float sy,
                   int32_t zy, xg_addrq *out);
int32_t xg_add_apply(const xg_rqrec *r, const xg_addrq *q, int32_t a, int32_t b, int32_t lo,
                     int32_t hi);

/* y = (a-za)(b-zb)*sa*sb/sy + zy; F32 adds the zero point before rounding (ORT QLinearMul). */
bool xg_mul_derive(const xg_rqrec *r, float sa, float sb, float sy, xg_rq *out);
int32_t xg_mul_apply(const xg_rqrec *r, xg_rq q, int32_t prod, int32_t zy, int32_t lo, int32_t hi);

/* Average of n values. global: the window is the whole map (ONNX Runtime: another formula there).
 *
 * F32       window: m.mult, d.mult = bits of sx, sy; sum = f32 running sum of f32(x*sx);
 *           y = round0(clamp(f32(f32(f32(sum/n)/sy) + zy)))
 *           global: m.mult = bits of m = f32(sx / f32(sy*f32(n)));
 *           y = round0(clamp(f32(f32(sum)*m))) + zy
 * MULSHIFT  y = round0(sum * m.mult / 2^m.shift) + zy with the multiplier rule of xg_rq_derive for
 *           sx / (sy*n), in double. m.shift is the total right shift in every method (for a
 *           MULSHIFT2 record: mul_bits more than its own shift would be).
 * DPU       the same with m.mult = k, m.shift = s + log2(sy/sx); k/2^s = 7/2^6, 10/2^8, 7/2^8,
 *           21/2^10, 21/2^12 for n = 9, 25, 36, 49, 196, else the nearest to 1/n with 2^s < 128 n
 * EXACT     y = half_away((sum + n*zy) / n): the raw sum; for equal scales and equal zero points */
typedef struct xg_poolrq {
    xg_rq m, d;
    int32_t n;
    bool global;
} xg_poolrq;
bool xg_pool_derive(const xg_rqrec *r, float sx, float sy, int32_t n, bool global, xg_poolrq *out);
/* x[0..count): x - zx of the values inside the map, in h, w order (count < n where padding counts).
 */
int32_t xg_pool_apply(const xg_rqrec *r, const xg_poolrq *q, const int32_t *x, int32_t count,
                      int32_t zy, int32_t lo, int32_t hi);

/* Q(v) = rne(clamp(f32(v/s))) + z, a NaN gives lo; DQ(q) = f32(q - z) * s: ONNX's QuantizeLinear
 * and DequantizeLinear. */
int32_t xg_quantize_f32(float v, float scale, int32_t zp, int32_t lo, int32_t hi);
float xg_dequantize_f32(int32_t q, float scale, int32_t zp);

/* Checks rounding ties and float behaviour of this host (contraction off, round to nearest). */
bool xg_fixed_selftest(void);

#endif
