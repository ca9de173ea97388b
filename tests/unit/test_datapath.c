/* isa/datapath.c against base/fixed.c: two forms of the same numbers that share no code. */
#include "isa/datapath.h"

#include "xg_test.h"

#include <math.h>

static const char *const profiles[] = {"ort",   "tflite1", "tflite2", "dpu",
                                       "nvdla", "mul16",   "mul8"};
static const xg_rounding roundings[] = {XG_HALF_EVEN, XG_HALF_AWAY, XG_HALF_UP,
                                        XG_HALF_DOWN, XG_FLOOR,     XG_TRUNC};

static int32_t random_in(uint64_t *s, int32_t lo, int32_t hi) {
    return (int32_t)(lo + (int64_t)(xg_random(s) % ((uint64_t)((int64_t)hi - lo) + 1)));
}

/* Widths spread evenly over the logarithm: small and large values are equally common. */
static int64_t random_acc(uint64_t *s, int bits) {
    uint64_t v = xg_random(s) & ((UINT64_C(1) << (1 + xg_random(s) % (uint64_t)(bits - 1))) - 1);
    return xg_random(s) & 1 ? -(int64_t)v : (int64_t)v;
}

static float random_scale(uint64_t *s, bool pow2) {
    int e = random_in(s, -12, -1);
    if (pow2) return ldexpf(1.0f, e);
    return ldexpf(1.0f + (float)(xg_random(s) & 0x7fffff) / 8388608.0f, e);
}

static void clamp_of(uint64_t *s, int32_t *lo, int32_t *hi) {
    *lo = -128, *hi = 127;
    if (xg_random(s) & 1) return;
    *lo = random_in(s, -128, 127);
    *hi = random_in(s, *lo, 127);
}

static uint64_t compared; /* results, for the count at the end */

static void same(const char *what, const char *profile, int64_t got, int64_t want, int64_t a,
                 int64_t b, int64_t c) {
    compared++;
    if (got == want) return;
    print_message("%s, profile %s: datapath %lld, definition %lld (%lld %lld %lld)\n", what,
                  profile, (long long)got, (long long)want, (long long)a, (long long)b,
                  (long long)c);
    fail();
}

/* The requantiser with one pair of constants: random accumulators, the ties next to random results,
 * the extremes. */
static void compare_rq(const xg_rqrec *r, const char *name, xg_rq q, uint64_t *s, int n) {
    int bits = r->acc_bits ? r->acc_bits : 32;
    int64_t max = (INT64_C(1) << (bits - 1)) - 1;
    for (int i = 0; i < n; i++) {
        int32_t lo, hi, zp = r->act_zero_point ? random_in(s, -128, 127) : 0;
        clamp_of(s, &lo, &hi);
        int64_t acc = random_acc(s, bits);
        if (i < 8) acc = (const int64_t[]){0, 1, -1, max, -max - 1, max - 1, -max, 2}[i];
        if (r->method != XG_RQ_F32 && i % 3 == 0 && q.mult != 0) { /* near (k + 1/2) / multiplier */
            int shift = r->method == XG_RQ_MULSHIFT2 ? q.shift + r->mul_bits : q.shift;
            double m = r->method == XG_RQ_SHIFT ? 1.0 : (double)q.mult;
            double at = (random_in(s, -130, 130) + 0.5) * ldexp(1.0, shift) / m;
            if (fabs(at) < (double)max - 4) acc = (int64_t)at + random_in(s, -2, 2);
        }
        if (acc > max || acc < -max - 1) continue;
        same("requantise", name, xg_dp_requantise(r, acc, q.mult, q.shift, zp, lo, hi),
             xg_rq_apply(r, q, acc, zp, lo, hi), acc, q.mult, q.shift);
    }
}

static void test_requantise(void **state) {
    (void)state;
    uint64_t s = 1;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r;
        assert_true(xg_rqrec_profile(profiles[p], &r));
        int derived = 0;
        for (int i = 0; i < 3000; i++) {
            float num[2] = {random_scale(&s, r.pow2_scales), random_scale(&s, r.pow2_scales)};
            xg_rq q;
            if (!xg_rq_derive(&r, num, 2, random_scale(&s, r.pow2_scales), &q)) continue;
            compare_rq(&r, profiles[p], q, &s, 60);
            derived++;
        }
        assert_true(derived > 1000);
    }
}

/* Every rounding in every integer method, every shift, wide accumulators. */
static void test_roundings(void **state) {
    (void)state;
    uint64_t s = 2;
    static const xg_rq_method methods[] = {XG_RQ_SHIFT, XG_RQ_MULSHIFT, XG_RQ_MULSHIFT2};
    for (size_t m = 0; m < XG_COUNT(methods); m++)
        for (size_t a = 0; a < XG_COUNT(roundings); a++)
            for (size_t b = 0; b < XG_COUNT(roundings); b++)
                for (int wide = 0; wide < 2; wide++) {
                    xg_rqrec r = {.method = methods[m],
                                  .rounding = {roundings[a], roundings[b]},
                                  .act_zero_point = true};
                    r.acc_bits = wide ? 48 : 32, r.mul_bits = wide ? 15 : 31;
                    int top = methods[m] == XG_RQ_MULSHIFT ? r.mul_bits + 20 : 31;
                    for (int shift = methods[m] == XG_RQ_MULSHIFT2 ? -8 : -7; shift <= top;
                         shift++) {
                        xg_rq q = {.mult = random_in(&s, 1 << (r.mul_bits - 1),
                                                     (int32_t)((1u << r.mul_bits) - 1)),
                                   .shift = shift};
                        compare_rq(&r, xg_rounding_name(roundings[a]), q, &s, 60);
                    }
                }
}

/* Ties by hand: agreement of two wrong forms would not show above. */
static void test_ties(void **state) {
    (void)state;
    static const int32_t want[6][6] = {/* -2.5 -1.5 -0.5 0.5 1.5 2.5 */
                                       {-2, -2, 0, 0, 2, 2},  {-3, -2, -1, 1, 2, 3},
                                       {-2, -1, 0, 1, 2, 3},  {-3, -2, -1, 0, 1, 2},
                                       {-3, -2, -1, 0, 1, 2}, {-2, -1, 0, 0, 1, 2}};
    for (int mode = 0; mode < 6; mode++) {
        xg_rqrec r = {
            .method = XG_RQ_SHIFT, .rounding = {roundings[mode], roundings[mode]}, .acc_bits = 32};
        xg_rqrec m = {.method = XG_RQ_MULSHIFT,
                      .rounding = {roundings[mode], roundings[mode]},
                      .acc_bits = 32};
        for (int i = 0; i < 6; i++) {
            int32_t half = 2 * i - 5;
            assert_int_equal(xg_dp_requantise(&r, half, 0, 1, 0, -128, 127), want[mode][i]);
            assert_int_equal(xg_dp_requantise(&m, half, 1 << 14, 15, 0, -128, 127), want[mode][i]);
            assert_int_equal(
                xg_dp_requantise(&r, (int64_t)half * (INT64_C(1) << 39), 0, 40, 0, -128, 127),
                want[mode][i]);
        }
    }
    xg_rqrec f;
    assert_true(xg_rqrec_profile("ort", &f));
    int32_t one_half = 0x3f000000;
    for (int i = 0; i < 6; i++)
        assert_int_equal(xg_dp_requantise(&f, 2 * i - 5, one_half, 0, 0, -128, 127), want[0][i]);
    assert_int_equal(xg_dp_requantise(&f, 1000000, one_half, 0, 10, -128, 100), 100);
    assert_int_equal(xg_dp_requantise(&f, -1000000, one_half, 0, 10, -5, 100), -5);
}

/* What a custom record may change in a profile. */
static void vary(xg_rqrec *r, uint64_t *s) {
    if (xg_random(s) & 1) return;
    r->rounding[0] = roundings[xg_random(s) % XG_COUNT(roundings)];
    r->rounding[1] = roundings[xg_random(s) % XG_COUNT(roundings)];
    if (r->method != XG_RQ_F32) return;
    r->zp_before_round = xg_random(s) & 1;
    r->add = xg_random(s) & 1 ? XG_ADD_F32 : XG_ADD_F32_FMA;
    r->pool = xg_random(s) & 1 ? XG_POOL_F32 : XG_POOL_EXACT;
}

static void test_elementwise(void **state) {
    (void)state;
    uint64_t s = 3;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec profile;
        assert_true(xg_rqrec_profile(profiles[p], &profile));
        int derived = 0;
        for (int i = 0; i < 3000; i++) {
            xg_rqrec r = profile;
            vary(&r, &s);
            float sa = random_scale(&s, r.pow2_scales), sb = random_scale(&s, r.pow2_scales);
            float sy = random_scale(&s, r.pow2_scales);
            bool z = r.act_zero_point;
            int32_t za = z ? random_in(&s, -128, 127) : 0, zb = z ? random_in(&s, -128, 127) : 0;
            int32_t zy = z ? random_in(&s, -128, 127) : 0, lo, hi;
            clamp_of(&s, &lo, &hi);
            xg_addrq q;
            xg_rq mq;
            bool add = xg_add_derive(&r, sa, za, sb, zb, sy, zy, &q),
                 mul = xg_mul_derive(&r, sa, sb, sy, &mq);
            derived += add;
            for (int k = 0; k < 24; k++) {
                int32_t a = random_in(&s, -128, 127), b = random_in(&s, -128, 127);
                if (k < 4) a = k & 1 ? 127 : -128, b = k & 2 ? 127 : -128;
                xg_dp_elew e = {.zp_a = za, .zp_b = zb, .zp_out = zy, .lo = lo, .hi = hi};
                if (add) {
                    e.mult_a = q.a.mult, e.shift_a = q.a.shift, e.mult_b = q.b.mult,
                    e.shift_b = q.b.shift;
                    e.mult_o = q.o.mult, e.shift_o = q.o.shift;
                    same("add", profiles[p], xg_dp_elementwise(&r, &e, a, b),
                         xg_add_apply(&r, &q, a, b, lo, hi), a, b, i);
                }
                if (mul) {
                    e.kind = 1, e.mult_o = mq.mult, e.shift_o = mq.shift;
                    same("multiply", profiles[p], xg_dp_elementwise(&r, &e, a, b),
                         xg_mul_apply(&r, mq, (a - za) * (b - zb), zy, lo, hi), a, b, i);
                }
            }
        }
        assert_true(derived > 500);
    }
}

static void compare_pool(const xg_rqrec *r, const char *name, uint64_t *s, bool global) {
    float sx = random_scale(s, r->pow2_scales), sy = random_scale(s, r->pow2_scales);
    bool z = r->act_zero_point;
    int32_t zx = z ? random_in(s, -128, 127) : 0, zy = z ? random_in(s, -128, 127) : 0, lo, hi;
    int32_t n =
        (const int32_t[]){1, 2, 3, 4, 6, 9, 16, 25, 36, 49, 64, 100, 196}[xg_random(s) % 13];
    if (r->pool == XG_POOL_EXACT) sy = sx, zy = zx;
    xg_poolrq q;
    if (!xg_pool_derive(r, sx, sy, n, global, &q)) return;
    xg_dp_pool p = {.kind = global ? 2 : 1,
                    .count = q.n,
                    .mult = q.m.mult,
                    .shift = q.m.shift,
                    .mult2 = q.d.mult};
    for (int k = 0; k < 12; k++) {
        int32_t count = global || (xg_random(s) & 1) ? n : random_in(s, 1, n), x[256];
        int8_t raw[256];
        clamp_of(s, &lo, &hi);
        int32_t around = random_in(s, -128, 127);
        for (int i = 0; i < count; i++) {
            raw[i] = (int8_t)xg_clamp(around + random_in(s, -20, 20), -128, 127);
            if (k < 2) raw[i] = k ? 127 : -128;
            x[i] = raw[i] - zx;
        }
        p.zp_in = zx, p.zp_out = zy, p.lo = lo, p.hi = hi;
        same(global ? "global average" : "average", name, xg_dp_average(r, &p, raw, count),
             xg_pool_apply(r, &q, x, count, zy, lo, hi), n, count, q.m.shift);
    }
}

static void test_average(void **state) {
    (void)state;
    uint64_t s = 4;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r;
        assert_true(xg_rqrec_profile(profiles[p], &r));
        for (int i = 0; i < 3000; i++) {
            xg_rqrec v = r;
            vary(&v, &s);
            compare_pool(&v, profiles[p], &s, i & 1);
        }
    }
}

/* Constants that no derivation gives (a damaged program) do not break the datapath. */
static void test_hostile_constants(void **state) {
    (void)state;
    uint64_t s = 5;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r;
        assert_true(xg_rqrec_profile(profiles[p], &r));
        for (int i = 0; i < 20000; i++) {
            int32_t mult = (int32_t)xg_random(&s),
                    shift = (int32_t)xg_random(&s) >> (xg_random(&s) % 32);
            int32_t y = xg_dp_requantise(&r, random_acc(&s, 62), mult, shift, 3, -128, 127);
            assert_in_range(y + 128, 0, 255);
            xg_dp_elew e = {
                i & 1,  1,         2,        3, -100, 100, mult, shift, (int32_t)xg_random(&s),
                -shift, mult ^ 77, shift / 2};
            y = xg_dp_elementwise(&r, &e, random_in(&s, -128, 127), random_in(&s, -128, 127));
            assert_in_range(y + 100, 0, 200);
            xg_dp_pool q = {1 + (i & 1), 1 + i % 9, mult, shift, mult ^ 5, 1, 2, -128, 127};
            y = xg_dp_average(&r, &q, (const int8_t[]){-128, 127, 5}, 3);
            assert_in_range(y + 128, 0, 255);
        }
    }
}

/* The claim of this file: more than 10^6 results were compared. */
static void test_count(void **state) {
    (void)state;
    print_message("%llu results compared\n", (unsigned long long)compared);
    assert_true(compared > 1000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requantise), cmocka_unit_test(test_roundings),
        cmocka_unit_test(test_ties),       cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_average),    cmocka_unit_test(test_hostile_constants),
        cmocka_unit_test(test_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
