#include "base/fixed.h"

#include <fenv.h>
#include <float.h>
#include <string.h>

/* What the named profiles are made of (numerics: Recommended machine-described requantisation set).
 */
typedef struct profile {
    const char *name;
    xg_rqrec rec;
} profile;

/* A multiplier below 2^-32 times any 32-bit accumulator rounds to 0, so mul_bits + 31 is the
 * largest right shift that a full range needs. tflite1 and tflite2 have TensorFlow Lite's range:
 * exponents -31 to 30. */
static const profile profiles[] = {
    {"ort",
     {.method = XG_RQ_F32,
      .rounding = {XG_HALF_EVEN, XG_HALF_EVEN},
      .zp_before_round = true,
      .acc_bits = 32,
      .per_channel = true,
      .act_zero_point = true,
      .weight_zero_point = true,
      .weight_bits = 8,
      .add = XG_ADD_F32_FMA,
      .pool = XG_POOL_F32}},
    {"tflite1",
     {.method = XG_RQ_MULSHIFT,
      .mul_bits = 31,
      .rounding = {XG_HALF_UP, XG_HALF_UP},
      .acc_bits = 32,
      .shift_min = 1,
      .shift_max = 62,
      .per_channel = true,
      .act_zero_point = true,
      .weight_bits = 8,
      .add = XG_ADD_TFLITE,
      .pool = XG_POOL_MULSHIFT}},
    {"tflite2",
     {.method = XG_RQ_MULSHIFT2,
      .mul_bits = 31,
      .rounding = {XG_HALF_UP, XG_HALF_AWAY},
      .acc_bits = 32,
      .shift_min = -30,
      .shift_max = 31,
      .per_channel = true,
      .act_zero_point = true,
      .weight_bits = 8,
      .add = XG_ADD_TFLITE,
      .pool = XG_POOL_MULSHIFT}},
    {"dpu",
     {.method = XG_RQ_SHIFT,
      .rounding = {XG_HALF_UP, XG_HALF_UP},
      .acc_bits = 32,
      .shift_min = 0,
      .shift_max = 31,
      .pow2_scales = true,
      .weight_bits = 8,
      .add = XG_ADD_SHIFT,
      .pool = XG_POOL_DPU}},
    {"nvdla",
     {.method = XG_RQ_MULSHIFT,
      .mul_bits = 16,
      .rounding = {XG_HALF_AWAY, XG_HALF_AWAY},
      .acc_bits = 32,
      .shift_min = 0,
      .shift_max = 47,
      .per_channel = true,
      .act_zero_point = true,
      .weight_zero_point = true,
      .weight_bits = 8,
      .add = XG_ADD_MULSHIFT,
      .pool = XG_POOL_MULSHIFT}},
    {"mul16",
     {.method = XG_RQ_MULSHIFT,
      .mul_bits = 15,
      .rounding = {XG_HALF_UP, XG_HALF_UP},
      .acc_bits = 32,
      .shift_min = 0,
      .shift_max = 46,
      .per_channel = true,
      .act_zero_point = true,
      .weight_zero_point = true,
      .weight_bits = 8,
      .add = XG_ADD_MULSHIFT,
      .pool = XG_POOL_MULSHIFT}},
    {"mul8",
     {.method = XG_RQ_MULSHIFT,
      .mul_bits = 8,
      .rounding = {XG_HALF_UP, XG_HALF_UP},
      .acc_bits = 32,
      .shift_min = 0,
      .shift_max = 39,
      .per_channel = true,
      .act_zero_point = true,
      .weight_zero_point = true,
      .weight_bits = 8,
      .add = XG_ADD_MULSHIFT,
      .pool = XG_POOL_MULSHIFT}},
};

bool xg_rqrec_profile(const char *name, xg_rqrec *out) {
    for (size_t i = 0; i < XG_COUNT(profiles); i++) {
        if (strcmp(profiles[i].name, name) == 0) {
            *out = profiles[i].rec;
            return true;
        }
    }
    return false;
}

const char *xg_rounding_name(xg_rounding r) {
    static const char *const names[] = {
        [XG_HALF_EVEN] = "HALF_EVEN", [XG_HALF_AWAY] = "HALF_AWAY", [XG_HALF_UP] = "HALF_UP",
        [XG_HALF_DOWN] = "HALF_DOWN", [XG_FLOOR] = "FLOOR",         [XG_TRUNC] = "TRUNC"};
    return (unsigned)r < XG_COUNT(names) ? names[r] : "?";
}

static const char *method_name(xg_rq_method m) {
    static const char *const names[] = {"SHIFT", "MULSHIFT", "MULSHIFT2", "F32"};
    return (unsigned)m < XG_COUNT(names) ? names[m] : "?";
}

static const char *add_name(xg_add_method m) {
    static const char *const names[] = {"F32_FMA", "F32", "SHIFT", "TFLITE", "MULSHIFT"};
    return (unsigned)m < XG_COUNT(names) ? names[m] : "?";
}

static const char *pool_name(xg_pool_method m) {
    static const char *const names[] = {"F32", "MULSHIFT", "DPU", "EXACT"};
    return (unsigned)m < XG_COUNT(names) ? names[m] : "?";
}

void xg_rqrec_print(const xg_rqrec *r, xg_buf *out) {
    /* rounding[1] has a meaning in one method only: elsewhere it must not change the text. */
    xg_putf(out, "method=%s mul_bits=%u rounding=[%s", method_name(r->method), r->mul_bits,
            xg_rounding_name(r->rounding[0]));
    if (r->method == XG_RQ_MULSHIFT2) xg_putf(out, ",%s", xg_rounding_name(r->rounding[1]));
    xg_putf(out, "] zp_before_round=%d acc_bits=%u shift_min=%d shift_max=%d", r->zp_before_round,
            r->acc_bits, r->shift_min, r->shift_max);
    xg_putf(out, " per_channel=%d act_zero_point=%d weight_zero_point=%d pow2_scales=%d",
            r->per_channel, r->act_zero_point, r->weight_zero_point, r->pow2_scales);
    xg_putf(out, " weight_bits=%u add=%s pool=%s", r->weight_bits, add_name(r->add),
            pool_name(r->pool));
}

/* ---- self-test ------------------------------------------------------------------------------- */

static bool ties_round_right(void) {
    /* round(v / 2) for v = -5, -3, -1, 1, 3, 5 */
    static const int8_t want[6][6] = {
        [XG_HALF_EVEN] = {-2, -2, 0, 0, 2, 2}, [XG_HALF_AWAY] = {-3, -2, -1, 1, 2, 3},
        [XG_HALF_UP] = {-2, -1, 0, 1, 2, 3},   [XG_HALF_DOWN] = {-3, -2, -1, 0, 1, 2},
        [XG_FLOOR] = {-3, -2, -1, 0, 1, 2},    [XG_TRUNC] = {-2, -1, 0, 0, 1, 2},
    };
    for (int mode = 0; mode < 6; mode++) {
        for (int i = 0; i < 6; i++) {
            int v = 2 * i - 5;
            xg_rqrec f32 = {.method = XG_RQ_F32, .rounding = {(xg_rounding)mode}};
            float half = 0.5f;
            xg_rq q = {0, 0};
            memcpy(&q.mult, &half, sizeof(half));
            if (xg_round_shift(v, 1, (xg_rounding)mode) != want[mode][i]) return false;
            if (xg_round_div(v, 2, (xg_rounding)mode) != want[mode][i]) return false;
            if (xg_rq_apply(&f32, q, v, 0, -128, 127) != want[mode][i]) return false;
        }
    }
    return true;
}

bool xg_fixed_selftest(void) {
    if (fegetround() != FE_TONEAREST || FLT_EVAL_METHOD != 0) return false;
    /* a * b needs 25 bits: separate roundings give 0, a contracted multiply-add the lost bit */
    volatile float a = 0x1.000002p0f, b = 0x1.000002p0f, c = -0x1.000004p0f;
    float product = a * b;
    if (product + c != 0.0f) return false;
    volatile float tiny = 0x1p-126f;
    if (tiny * 0.5f == 0.0f) return false; /* subnormals are flushed */
    volatile int32_t big = 0x1000001;      /* 2^24 + 1: a tie, to even */
    if ((float)big != 0x1p24f) return false;
    return ties_round_right();
}
