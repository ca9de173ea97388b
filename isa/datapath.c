#include "isa/datapath.h"

#include <math.h>
#include <string.h>

/* A product before rounding, as the multiplier array delivers it: value = hi * 2^32 + lo. */
typedef struct wide {
    int64_t hi;
    uint32_t lo;
} wide;

/* The rounding incrementer: sign of the value, lowest kept bit, first dropped bit, OR of the
 * others. */
static bool round_up(xg_rounding mode, bool sign, bool lsb, bool guard, bool sticky) {
    switch (mode) {
    case XG_HALF_EVEN:
        return guard && (sticky || lsb);
    case XG_HALF_AWAY:
        return guard && (sticky || !sign);
    case XG_HALF_UP:
        return guard;
    case XG_HALF_DOWN:
        return guard && sticky;
    case XG_TRUNC:
        return sign && (guard || sticky);
    case XG_FLOOR:
        break;
    }
    return false;
}

static bool bit_of(int64_t v, int k) {
    return k > 62 ? v < 0 : ((v >> k) & 1) != 0;
}

/* OR of the k lowest bits of the sign-extended value. */
static bool any_below(int64_t v, int k) {
    if (k <= 0) return false;
    return k > 63 ? v != 0 : ((uint64_t)v & ((UINT64_C(1) << k) - 1)) != 0;
}

/* Left barrel shifter that saturates. */
static int64_t shift_left(int64_t v, int n) {
    if (v == 0 || n <= 0) return v;
    if (n > 62 || v > (INT64_MAX >> n) || v < (INT64_MIN >> n))
        return v < 0 ? INT64_MIN : INT64_MAX;
    return (int64_t)((uint64_t)v << n);
}

/* The adder of the element-wise unit: overflow (wrong constants only) saturates. */
static int64_t add_sat(int64_t a, int64_t b) {
    if (b > 0 && a > INT64_MAX - b) return INT64_MAX;
    if (b < 0 && a < INT64_MIN - b) return INT64_MIN;
    return a + b;
}

/* Right barrel shifter with guard and sticky bits; a negative amount shifts left. */
static int64_t shift_round(int64_t v, int n, xg_rounding mode) {
    if (n <= 0) return shift_left(v, n < -64 ? 64 : -n);
    if (n > 128) n = 128;
    int64_t kept = n > 63 ? -(int64_t)(v < 0) : v >> n;
    bool up = round_up(mode, v < 0, kept & 1, bit_of(v, n - 1), any_below(v, n - 1));
    return kept + up;
}

/* 64 x 32 bits from two 32 x 32 arrays: the lower takes its operand unsigned. */
static wide multiply(int64_t a, int32_t b) {
    int64_t low = (int64_t)(uint32_t)a * b;
    return (wide){(a >> 32) * b + (low >> 32), (uint32_t)low};
}

static int64_t wide_round(wide p, int n, xg_rounding mode) {
    if (n > 32) { /* the low word is all sticky, except its top bit when it is the guard: not for n
                     > 32 */
        int m = n - 32 > 128 ? 128 : n - 32;
        int64_t kept = m > 63 ? -(int64_t)(p.hi < 0) : p.hi >> m;
        bool sticky = any_below(p.hi, m - 1) || p.lo != 0;
        return kept + round_up(mode, p.hi < 0, kept & 1, bit_of(p.hi, m - 1), sticky);
    }
    bool fits = p.hi >= INT32_MIN && p.hi <= INT32_MAX;
    if (fits) return shift_round((int64_t)((uint64_t)p.hi << 32 | p.lo), n, mode);
    if (n <= 0) return p.hi < 0 ? INT64_MIN : INT64_MAX;
    int64_t top = shift_left(p.hi, 32 - n);
    if (top == INT64_MIN || top == INT64_MAX) return top;
    int64_t kept = top | (int64_t)(n == 32 ? 0 : p.lo >> n);
    bool guard = (p.lo >> (n - 1)) & 1;
    bool sticky = (p.lo & ((UINT32_C(1) << (n - 1)) - 1)) != 0;
    bool up = round_up(mode, p.hi < 0, kept & 1, guard, sticky);
    return kept == INT64_MAX ? kept : kept + up;
}

static int64_t mul_shift(int64_t v, int32_t mult, int n, xg_rounding mode) {
    if (v >= INT32_MIN && v <= INT32_MAX) return shift_round(v * mult, n, mode);
    return wide_round(multiply(v, mult), n, mode);
}

static float bits_f32(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Clamps between two integers, then rounds. NaN takes the lower one. */
static int32_t round_f32(float v, int64_t lo, int64_t hi, xg_rounding mode) {
    if (!(v > (float)lo)) return (int32_t)lo;
    if (v >= (float)hi) return (int32_t)hi;
    int32_t whole = (int32_t)v; /* towards zero */
    float rest = v - (float)whole;
    bool neg = rest < 0;
    float size = neg ? -rest : rest;
    bool up; /* away from zero */
    switch (mode) {
    case XG_HALF_EVEN:
        up = size > 0.5f || (size == 0.5f && (whole & 1));
        break;
    case XG_HALF_AWAY:
        up = size >= 0.5f;
        break;
    case XG_HALF_UP:
        up = neg ? size > 0.5f : size >= 0.5f;
        break;
    case XG_HALF_DOWN:
        up = neg ? size >= 0.5f : size > 0.5f;
        break;
    case XG_FLOOR:
        up = neg;
        break;
    default:
        up = false;
    }
    return neg ? whole - up : whole + up;
}

static int32_t saturate(int64_t v, int32_t zp, int32_t lo, int32_t hi) {
    if (v > (int64_t)hi - zp) return hi;
    if (v < (int64_t)lo - zp) return lo;
    return (int32_t)v + zp;
}

/* The multiplier stage of the integer methods, without zero point and clamp. */
static int64_t rescale(const xg_rqrec *r, int64_t v, int32_t mult, int32_t shift) {
    switch (r->method) {
    case XG_RQ_SHIFT:
        return shift_round(v, shift, r->rounding[0]);
    case XG_RQ_MULSHIFT:
        return mul_shift(v, mult, shift, r->rounding[0]);
    default: /* MULSHIFT2 */
        if (shift < 0) v = shift_left(v, shift < -64 ? 64 : -shift);
        v = mul_shift(v, mult, r->mul_bits, r->rounding[0]);
        return shift > 0 ? shift_round(v, shift, r->rounding[1]) : v;
    }
}

int32_t xg_dp_requantise(const xg_rqrec *r, int64_t acc, int32_t mult, int32_t shift, int32_t zp,
                         int32_t lo, int32_t hi) {
    if (r->method == XG_RQ_F32) {
        float v = (float)acc * bits_f32(mult);
        return round_f32(v, (int64_t)lo - zp, (int64_t)hi - zp, r->rounding[0]) + zp;
    }
    return saturate(rescale(r, acc, mult, shift), zp, lo, hi);
}

/* With zp_before_round the sum holds the zero point already (element-wise: in its constant). */
static int32_t place_f32(const xg_rqrec *r, float v, int32_t zp, int32_t lo, int32_t hi) {
    if (r->zp_before_round) zp = 0;
    return round_f32(v, (int64_t)lo - zp, (int64_t)hi - zp, r->rounding[0]) + zp;
}

static int32_t add_f32(const xg_rqrec *r, const xg_dp_elew *e, int32_t a, int32_t b) {
    float ra = bits_f32(e->mult_a), rb = bits_f32(e->mult_b), f = bits_f32(e->mult_o), v;
    if (r->add == XG_ADD_F32_FMA) {
        v = fmaf((float)a, ra, fmaf((float)b, rb, f));
    } else {
        float pa = (float)a * ra, pb = (float)b * rb;
        v = (f + pa) + pb;
    }
    return place_f32(r, v, e->zp_out, e->lo, e->hi);
}

static int32_t add(const xg_rqrec *r, const xg_dp_elew *e, int32_t a, int32_t b) {
    int64_t da = (int64_t)a - e->zp_a, db = (int64_t)b - e->zp_b, sum;
    switch (r->add) {
    case XG_ADD_SHIFT:
        sum = add_sat(shift_left(da, e->shift_a), shift_left(db, e->shift_b));
        return saturate(shift_round(sum, e->shift_o, r->rounding[0]), e->zp_out, e->lo, e->hi);
    case XG_ADD_TFLITE:
        sum = add_sat(rescale(r, da * (1 << 20), e->mult_a, e->shift_a),
                      rescale(r, db * (1 << 20), e->mult_b, e->shift_b));
        return saturate(rescale(r, sum, e->mult_o, e->shift_o), e->zp_out, e->lo, e->hi);
    case XG_ADD_MULSHIFT:
        sum = da * e->mult_a + db * e->mult_b;
        return saturate(shift_round(sum, e->shift_o, r->rounding[0]), e->zp_out, e->lo, e->hi);
    default:
        return add_f32(r, e, a, b);
    }
}

int32_t xg_dp_elementwise(const xg_rqrec *r, const xg_dp_elew *e, int32_t a, int32_t b) {
    if (e->kind == 0) return add(r, e, a, b);
    int32_t product = (a - e->zp_a) * (b - e->zp_b);
    if (r->method == XG_RQ_F32 && r->zp_before_round) {
        float v = (float)product * bits_f32(e->mult_o);
        return place_f32(r, v + (float)e->zp_out, 0, e->lo, e->hi);
    }
    return xg_dp_requantise(r, product, e->mult_o, e->shift_o, e->zp_out, e->lo, e->hi);
}

/* The float pooling unit: one accumulator, one divider, in the order in which the taps arrive. */
static int32_t average_f32(const xg_rqrec *r, const xg_dp_pool *p, const int8_t *x, int32_t n) {
    float m = bits_f32(p->mult);
    if (p->kind == 2) {
        int64_t sum = 0;
        for (int32_t i = 0; i < n; i++) sum += x[i] - p->zp_in;
        float v = (float)sum * m;
        return round_f32(v, (int64_t)p->lo - p->zp_out, (int64_t)p->hi - p->zp_out,
                         r->rounding[0]) +
               p->zp_out;
    }
    float sum = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        float term = (float)(x[i] - p->zp_in) * m;
        sum += term;
    }
    float mean = sum / (float)p->count;
    float v = mean / bits_f32(p->mult2);
    return place_f32(r, r->zp_before_round ? v + (float)p->zp_out : v, p->zp_out, p->lo, p->hi);
}

/* Divider on magnitudes, then the sign: round half away. The raw values keep their zero point. */
static int32_t average_exact(const xg_dp_pool *p, const int8_t *x, int32_t n) {
    int64_t sum = ((int64_t)p->count - n) * p->zp_in;
    for (int32_t i = 0; i < n; i++) sum += x[i];
    int64_t size = sum < 0 ? -sum : sum;
    int64_t q = p->count > 0 ? (size + p->count / 2) / p->count : 0;
    return saturate(sum < 0 ? -q : q, 0, p->lo, p->hi);
}

int32_t xg_dp_average(const xg_rqrec *r, const xg_dp_pool *p, const int8_t *x, int32_t n) {
    if (r->pool == XG_POOL_F32) return average_f32(r, p, x, n);
    if (r->pool == XG_POOL_EXACT) return average_exact(p, x, n);
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += x[i] - p->zp_in;
    return saturate(mul_shift(sum, p->mult, p->shift, r->rounding[0]), p->zp_out, p->lo, p->hi);
}
