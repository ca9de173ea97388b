/* base/fixed.c against an oracle that shares nothing with it (fixed_oracle.h), multipliers against
 * long division. Requantisation in all its forms: test_requantise.c. */
#include "fixed_oracle.h"
#include "xg_test.h"

static void expect_same(int64_t got, __int128 want, const char *what, int64_t a, int64_t b,
                        int64_t c) {
    if (got == want) return;
    fail_msg("%s(%lld, %lld, %lld) = %lld, expected %lld", what, (long long)a, (long long)b,
             (long long)c, (long long)got, (long long)want);
}

/* ---- rounding -------------------------------------------------------------------------------- */

static void test_published_examples(void **state) {
    (void)state;
    /* Vitis AI's names for the halves: DPU_ROUND 2.5 -> 3, -2.5 -> -2, -2.6 -> -3; STD_ROUND -2.5
     * -> -3; PY3 2.5 -> 2 */
    assert_int_equal(xg_round_div(25, 10, XG_HALF_UP), 3);
    assert_int_equal(xg_round_div(-25, 10, XG_HALF_UP), -2);
    assert_int_equal(xg_round_div(-26, 10, XG_HALF_UP), -3);
    assert_int_equal(xg_round_div(-25, 10, XG_HALF_AWAY), -3);
    assert_int_equal(xg_round_div(25, 10, XG_HALF_EVEN), 2);
    assert_int_equal(xg_round_div(25, 10, XG_HALF_DOWN), 2);
    assert_int_equal(xg_round_div(-25, 10, XG_HALF_DOWN), -3);
    assert_int_equal(xg_round_div(-29, 10, XG_TRUNC), -2);
    assert_int_equal(xg_round_div(-21, 10, XG_FLOOR), -3);
    assert_string_equal(xg_rounding_name(XG_HALF_DOWN), "HALF_DOWN");
    assert_string_equal(xg_rounding_name((xg_rounding)99), "?");
    assert_true(xg_fixed_selftest());
}

static void test_round_div(void **state) {
    (void)state;
    const int64_t edge[] = {INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, 0, 1, -1};
    uint64_t seed = 21;
    for (int i = 0; i < 60000; i++) {
        int64_t v = i < 7 * 40 ? edge[i % 7] : any_int(&seed, 63);
        int64_t d = i % 3 ? between(&seed, 1, 200) : llabs(any_int(&seed, 62)) + 1;
        int64_t tie;
        if (i % 5 == 0 && !__builtin_mul_overflow(v / 4 * 2 + 1, d, &tie) &&
            llabs(tie) < INT64_MAX) {
            v = tie; /* an odd multiple of d / 2, or next to one */
            d *= 2;
            v += i % 15 == 0 ? 0 : i % 15 == 5 ? 1 : -1;
        }
        for (int m = 0; m < MODES; m++) {
            expect_same(xg_round_div(v, d, (xg_rounding)m), oracle_div(v, (u128)d, (xg_rounding)m),
                        "round_div", v, d, m);
        }
    }
}

static void test_round_shift(void **state) {
    (void)state;
    uint64_t seed = 22;
    for (int i = 0; i < 60000; i++) {
        __int128 v = (__int128)any_int(&seed, 62) * any_int(&seed, 62);
        int shift = (int)between(&seed, -3, 124);
        if (i % 2) { /* a tie, or next to one */
            shift = (int)between(&seed, 1, 70);
            v = (2 * (__int128)any_int(&seed, 40) + 1) * ((__int128)1 << (shift - 1)) +
                between(&seed, -1, 1);
        }
        for (int m = 0; m < MODES; m++) {
            __int128 want = oracle_shift(v, shift, (xg_rounding)m);
            want = want > INT64_MAX ? INT64_MAX : want < INT64_MIN ? INT64_MIN : want;
            expect_same(xg_round_shift(v, shift, (xg_rounding)m), want, "round_shift", (int64_t)v,
                        shift, m);
        }
    }
}

static void test_round_shift_limits(void **state) {
    (void)state;
    const int beyond[] = {126, 127, 128, 1000, INT32_MAX};
    for (size_t i = 0; i < XG_COUNT(beyond); i++) {
        for (int m = 0; m < MODES; m++) {
            assert_int_equal(xg_round_shift(5, beyond[i], (xg_rounding)m), 0);
            assert_int_equal(xg_round_shift(0, beyond[i], (xg_rounding)m), 0);
            assert_int_equal(xg_round_shift(-5, beyond[i], (xg_rounding)m), m == XG_FLOOR ? -1 : 0);
        }
    }
    assert_true(xg_round_shift(1, -62, XG_FLOOR) == (int64_t)1 << 62);
    assert_true(xg_round_shift(1, -63, XG_FLOOR) == INT64_MAX);
    assert_true(xg_round_shift(-1, -63, XG_FLOOR) == INT64_MIN);
    assert_true(xg_round_shift(3, -1000, XG_FLOOR) == INT64_MAX);
    assert_true(xg_round_shift(-3, -INT32_MAX, XG_FLOOR) == INT64_MIN);
    assert_true(xg_round_shift(0, -1000, XG_FLOOR) == 0);
    assert_true(xg_round_shift((__int128)1 << 120, -20, XG_FLOOR) == INT64_MAX);
    assert_true(xg_round_shift(-((__int128)1 << 120), 1, XG_FLOOR) == INT64_MIN);
}

/* ---- requantisation -------------------------------------------------------------------------- */

/* Wide accumulators and absurd constants, as a damaged program may hold them: defined, inside the
 * clamp. */
static void test_requantise_hostile(void **state) {
    (void)state;
    uint64_t seed = 24;
    for (int i = 0; i < 200000; i++) {
        xg_rqrec r = {.method = (xg_rq_method)(i % 4), .mul_bits = 31};
        r.rounding[0] = (xg_rounding)(xg_random(&seed) % MODES);
        r.rounding[1] = (xg_rounding)(xg_random(&seed) % MODES);
        xg_rq q = {(int32_t)xg_random(&seed), (int32_t)any_int(&seed, 30)};
        int32_t zp = (int32_t)any_int(&seed, i & 8 ? 31 : 8);
        int32_t y = xg_rq_apply(&r, q, any_int(&seed, 48), zp, -128, 127);
        assert_in_range(y + 128, 0, 255);
    }
}

/* ---- identities from outside ----------------------------------------------------------------- */

/* gemmlowp's two steps, as its paper and TFLite's kernels define them: a doubling high multiply
 * with a nudge that depends on the sign and a truncating division; a division by a power of two,
 * ties away from zero. */
static int32_t high_mul(int32_t x, int32_t mult) {
    int64_t p = (int64_t)x * mult;
    int64_t nudge = p < 0 ? 1 - ((int64_t)1 << 30) : (int64_t)1 << 30;
    return (int32_t)((p + nudge) / ((int64_t)1 << 31));
}

static int32_t divide_pot(int32_t x, int bits) {
    int64_t half = ((int64_t)1 << bits) >> 1;
    int64_t mag = (llabs((int64_t)x) + half) >> bits;
    return (int32_t)(x < 0 ? -mag : mag);
}

static void test_tflite_identities(void **state) {
    (void)state;
    xg_rqrec two, one;
    assert_true(xg_rqrec_profile("tflite2", &two));
    assert_true(xg_rqrec_profile("tflite1", &one));
    uint64_t seed = 25;
    for (int i = 0; i < 200000; i++) {
        int e = (int)between(&seed, -31, 6); /* TFLite's shift: positive = left */
        int left = e > 0 ? e : 0, right = e < 0 ? -e : 0;
        int32_t mult = (int32_t)between(&seed, (int64_t)1 << 30, INT32_MAX);
        int32_t x = (int32_t)any_int(&seed, 31 - left);
        int64_t doubled = divide_pot(high_mul(x * (1 << left), mult), right);
        expect_same(xg_rq_apply(&two, (xg_rq){mult, right - left}, x, 0, INT32_MIN, INT32_MAX),
                    doubled, "tflite2", x, mult, e);
        if (e > 30) continue;
        __int128 single = ((__int128)x * mult + ((__int128)1 << (30 - e))) >> (31 - e);
        if (single > INT32_MAX || single < INT32_MIN) continue;
        expect_same(xg_rq_apply(&one, (xg_rq){mult, 31 - e}, x, 0, INT32_MIN, INT32_MAX), single,
                    "tflite1", x, mult, e);
    }
}

/* TFLite's QuantizeMultiplier on values with known results. */
static void test_tflite_multipliers(void **state) {
    (void)state;
    xg_rqrec one, two;
    xg_rqrec_profile("tflite1", &one);
    xg_rqrec_profile("tflite2", &two);
    const struct {
        float real;
        int32_t mult;
        int e;
    } row[] = {{1.0f, 1 << 30, 1},  {0.5f, 1 << 30, 0}, {0.25f, 1 << 30, -1},
               {0.75f, 3 << 29, 0}, {1.5f, 3 << 29, 1}, {0x1p-32f, 1 << 30, -31},
               {0x1p-33f, 0, 0}};
    for (size_t i = 0; i < XG_COUNT(row); i++) {
        xg_rq q;
        assert_true(xg_rq_derive(&one, &row[i].real, 1, 1.0f, &q));
        assert_int_equal(q.mult, row[i].mult);
        if (row[i].mult) assert_int_equal(q.shift, 31 - row[i].e);
        assert_true(xg_rq_derive(&two, &row[i].real, 1, 1.0f, &q));
        assert_int_equal(q.mult, row[i].mult);
        if (row[i].mult) assert_int_equal(q.shift, -row[i].e);
        assert_in_range(q.shift + 30, 0, 61); /* an encodable shift also when flushed */
    }
}

/* ONNX Runtime's formula in the host's own binary32. */
static void test_ort_identity(void **state) {
    (void)state;
    xg_rqrec r;
    assert_true(xg_rqrec_profile("ort", &r));
    uint64_t seed = 26;
    for (int i = 0; i < 100000; i++) {
        float s[2] = {scale_between(&seed, -12, 0), scale_between(&seed, -12, 0)};
        float sy = scale_between(&seed, -8, 2);
        xg_rq q;
        assert_true(xg_rq_derive(&r, s, 2, sy, &q));
        assert_int_equal(q.mult, bits_of(oracle_quot(oracle_mul(s[0], s[1]), sy)));
        int64_t acc = pick_acc(&seed, &r, q);
        int zp = (int)between(&seed, -128, 127);
        float v = (float)(int32_t)acc * float_of(q.mult);
        v = fminf(fmaxf(v, (float)(-128 - zp)), (float)(127 - zp));
        expect_same(xg_rq_apply(&r, q, acc, zp, -128, 127), (int32_t)nearbyintf(v) + zp, "ort", acc,
                    q.mult, zp);
    }
}

/* ---- derivation ------------------------------------------------------------------------------ */

/* num / den to 53 bits half even (a double), then to mul_bits half away, by long division. */
static void oracle_multiplier(u128 n, u128 d, int exp, int mul_bits, int64_t *mult, int *e) {
    int up = 120 - bit_length(n);
    u128 q = (n << up) / d;
    bool more = (n << up) % d != 0;
    exp -= up;
    int len = bit_length(q), drop = len - 53;
    u128 low = q & (((u128)1 << drop) - 1), half = (u128)1 << (drop - 1);
    q >>= drop;
    q += low > half || (low == half && (more || (q & 1)));
    exp += drop;
    len = bit_length(q);
    drop = len - mul_bits;
    q = (q + ((u128)1 << (drop - 1))) >> drop;
    exp += drop;
    *e = exp + mul_bits;
    if (q >> mul_bits) {
        q >>= 1;
        ++*e;
    }
    *mult = (int64_t)q;
}

static void test_derive_multipliers(void **state) {
    (void)state;
    uint64_t seed = 27;
    const uint8_t widths[] = {31, 16, 15, 8, 1, 24};
    for (int i = 0; i < 60000; i++) {
        float s[2] = {scale_between(&seed, -30, 10), scale_between(&seed, -30, 10)};
        float sy = scale_between(&seed, -20, 10);
        if (i % 16 == 0) { /* just below a power of two: the multiplier must renormalise */
            s[0] = nextafterf(ldexpf(1, (int)between(&seed, -10, 3)), 0);
            s[1] = sy = 1.0f;
        }
        int nnum = i % 2 + 1;
        xg_rqrec r = {.method = i % 3 ? XG_RQ_MULSHIFT : XG_RQ_MULSHIFT2,
                      .mul_bits = widths[i % 6],
                      .rounding = {XG_HALF_UP, XG_HALF_AWAY},
                      .acc_bits = 32,
                      .shift_min = -100,
                      .shift_max = 120};
        num a = num_of(s[0]), b = nnum == 2 ? num_of(s[1]) : (num){false, false, 1, 0},
            c = num_of(sy);
        int64_t mult;
        int e;
        oracle_multiplier(a.sig * b.sig, c.sig, a.exp + b.exp - c.exp, r.mul_bits, &mult, &e);
        xg_rq q;
        assert_true(xg_rq_derive(&r, s, nnum, sy, &q));
        expect_same(q.mult, mult, "multiplier", i, r.mul_bits, e);
        expect_same(q.shift, r.method == XG_RQ_MULSHIFT2 ? -e : r.mul_bits - e, "shift", i,
                    r.mul_bits, e);
    }
}

static void test_derive_shift_range(void **state) {
    (void)state;
    xg_rqrec r = {.method = XG_RQ_MULSHIFT,
                  .mul_bits = 15,
                  .rounding = {XG_HALF_UP},
                  .acc_bits = 24,
                  .shift_min = 2,
                  .shift_max = 30};
    xg_rq q;
    for (int e = -60; e <= 60; e++) { /* real = 3/4 * 2^e: mult 3 * 2^13, shift 15 - e */
        float real = ldexpf(0.75f, e);
        bool in_range = 15 - e >= 2 && 15 - e <= 30, gone = e <= -24;
        assert_int_equal(xg_rq_derive(&r, &real, 1, 1, &q), in_range || gone);
        if (in_range) assert_int_equal(q.mult, 3 << 13);
        if (in_range) assert_int_equal(q.shift, 15 - e);
        if (gone) assert_int_equal(q.mult, 0);
        if (gone) assert_in_range(q.shift, 2, 30);
    }
    float small = 0x1p-50f;
    r.rounding[0] = XG_FLOOR; /* every negative value would become -1, not 0 */
    assert_false(xg_rq_derive(&r, &small, 1, 1, &q));
    r.rounding[0] = XG_TRUNC;
    assert_true(xg_rq_derive(&r, &small, 1, 1, &q));
    r.mul_bits = 0;
    assert_false(xg_rq_derive(&r, &small, 1, 1, &q));
    r.mul_bits = 32;
    assert_false(xg_rq_derive(&r, &small, 1, 1, &q));
}

static void test_derive_powers_of_two(void **state) {
    (void)state;
    xg_rqrec r;
    assert_true(xg_rqrec_profile("dpu", &r));
    xg_rq q;
    for (int e = -40; e <= 40; e++) {
        float s[2] = {0x1p-7f, ldexpf(1, e)};
        bool ok = xg_rq_derive(&r, s, 2, 0x1p-3f, &q);
        assert_int_equal(ok, 4 - e >= 0 && 4 - e <= 31);
        if (ok) assert_int_equal(q.shift, 4 - e);
    }
    float three[2] = {0x1.8p-6f, 0x1p-4f};
    assert_false(xg_rq_derive(&r, three, 2, 0x1p-7f, &q));
    assert_true(xg_rq_derive(&r, three, 2, 0x1.8p-5f, &q)); /* the quotient counts */
    assert_int_equal(q.shift, 5);
    float near[2] = {nextafterf(1, 0), nextafterf(1, 2)}; /* 1 - 2^-47 - ..., no power of two */
    assert_false(xg_rq_derive(&r, near, 2, 1, &q));
    assert_false(xg_rq_derive(&r, near, 1, 1, &q));
}

static void test_derive_refuses(void **state) {
    (void)state;
    const char *names[] = {"ort", "tflite1", "tflite2", "dpu", "nvdla", "mul16", "mul8"};
    const float bad[] = {0.0f, -0.0f, -1.0f, NAN, INFINITY, -INFINITY};
    for (size_t p = 0; p < XG_COUNT(names); p++) {
        xg_rqrec r;
        assert_true(xg_rqrec_profile(names[p], &r));
        for (size_t i = 0; i < XG_COUNT(bad); i++) {
            xg_rq q;
            xg_addrq a;
            xg_poolrq o;
            float s[2] = {0.5f, bad[i]}, good[2] = {0.5f, 0.5f};
            assert_false(xg_rq_derive(&r, s, 2, 1, &q));
            assert_false(xg_rq_derive(&r, s + 1, 1, 1, &q));
            assert_false(xg_rq_derive(&r, good, 2, bad[i], &q));
            assert_false(xg_rq_derive(&r, good, 3, 1, &q));
            assert_false(xg_rq_derive(&r, good, 0, 1, &q));
            assert_false(xg_mul_derive(&r, bad[i], 1, 1, &q));
            assert_false(xg_add_derive(&r, bad[i], 0, 1, 0, 1, 0, &a));
            assert_false(xg_add_derive(&r, 1, 0, bad[i], 0, 1, 0, &a));
            assert_false(xg_add_derive(&r, 1, 0, 1, 0, bad[i], 0, &a));
            assert_false(xg_pool_derive(&r, bad[i], 1, 4, false, &o));
            assert_false(xg_pool_derive(&r, 1, bad[i], 4, true, &o));
            assert_false(xg_pool_derive(&r, 1, 1, 0, true, &o));
        }
        xg_rq q;
        assert_true(
            xg_rq_derive(&r, (float[]){0.5f, 0.5f}, 2, 1, &q)); /* the rest is not the reason */
    }
    xg_rqrec r;
    assert_false(xg_rqrec_profile("none", &r));
    assert_false(xg_rqrec_profile("", &r));
    assert_true(xg_rqrec_profile("ort", &r));
    xg_rq q;
    assert_false(
        xg_rq_derive(&r, (float[]){0x1p100f, 0x1p100f}, 2, 1, &q)); /* infinite in binary32 */
    assert_true(xg_rq_derive(&r, (float[]){0x1p-100f, 0x1p-100f}, 2, 1, &q));
    assert_int_equal(q.mult, 0);
}

/* ---- element-wise ---------------------------------------------------------------------------- */

static void test_add_f32(void **state) {
    (void)state;
    xg_rqrec r;
    xg_rqrec_profile("ort", &r);
    uint64_t seed = 31, differ = 0;
    for (int i = 0; i < 120000; i++) {
        r.add = i & 1 ? XG_ADD_F32 : XG_ADD_F32_FMA;
        r.zp_before_round = (i & 6) != 0;
        r.rounding[0] = i & 8 ? (xg_rounding)(xg_random(&seed) % MODES) : XG_HALF_EVEN;
        float sa = scale_between(&seed, -8, -2), sb = scale_between(&seed, -8, -2);
        float sy = scale_between(&seed, -7, -1);
        int za = (int)between(&seed, -128, 127), zb = (int)between(&seed, -128, 127);
        int zy = (int)between(&seed, -128, 127), a = (int)between(&seed, -128, 127);
        int b = (int)between(&seed, -128, 127);
        xg_addrq q;
        assert_true(xg_add_derive(&r, sa, za, sb, zb, sy, zy, &q));
        float ra = oracle_quot(sa, sy), rb = oracle_quot(sb, sy);
        float sum = oracle_add(oracle_mul(ra, oracle_int(za)), oracle_mul(rb, oracle_int(zb)));
        float f = oracle_add(oracle_int(r.zp_before_round ? zy : 0), -sum);
        float fa = oracle_int(a), fb = oracle_int(b);
        float fused = oracle_fma(fa, ra, oracle_fma(fb, rb, f));
        float apart = oracle_add(oracle_add(f, oracle_mul(fa, ra)), oracle_mul(fb, rb));
        float v = r.add == XG_ADD_F32 ? apart : fused;
        int64_t want = oracle_to_int(v, r.zp_before_round ? 0 : zy, -128, 127, r.rounding[0]);
        expect_same(xg_add_apply(&r, &q, a, b, -128, 127), want, "add_f32", a, b, i);
        differ += fused != apart;
    }
    assert_true(differ > 1000); /* the two forms are told apart */
    xg_addrq q;
    assert_false(xg_add_derive(&r, 0x1p21f, 0, 1, 0, 1, 0, &q));
    assert_false(xg_add_derive(&r, 1, 0, 0x1p100f, 0, 0x1p-100f, 0, &q));
    assert_true(xg_add_derive(&r, 0x1p20f, 0, 1, 0, 1, 0, &q));
}

static void test_add_shift(void **state) {
    (void)state;
    xg_rqrec r;
    xg_rqrec_profile("dpu", &r);
    uint64_t seed = 32, ok = 0;
    for (int i = 0; i < 60000; i++) {
        r.rounding[0] = (xg_rounding)(xg_random(&seed) % MODES);
        int ea = (int)between(&seed, -14, 2), eb = (int)between(&seed, -14, 2),
            ey = (int)between(&seed, -14, 2);
        int a = (int)between(&seed, -128, 127), b = (int)between(&seed, -128, 127);
        xg_addrq q;
        bool derived = xg_add_derive(&r, ldexpf(1, ea), 0, ldexpf(1, eb), 0, ldexpf(1, ey), 0, &q);
        int least = ea < eb ? ea : eb;
        assert_int_equal(derived, abs(ea - eb) <= 15 && abs(ey - least) <= 15);
        if (!derived) continue;
        ok++;
        /* exact: (a 2^ea + b 2^eb) / 2^ey over the denominator 2^20 */
        __int128 sum = (__int128)a * (1ll << (20 + ea)) + (__int128)b * (1ll << (20 + eb));
        expect_same(xg_add_apply(&r, &q, a, b, -128, 127),
                    clamp8(oracle_shift(sum, 20 + ey, r.rounding[0]), 0, -128, 127), "add_shift", a,
                    b, i);
    }
    assert_true(ok > 40000);
    xg_addrq q;
    assert_false(xg_add_derive(&r, 0.75f, 0, 0.5f, 0, 0.5f, 0, &q));
    assert_false(xg_add_derive(&r, 0.5f, 0, 0.5f, 0, 0.75f, 0, &q));
}

/* TFLite's three rescales by its own two steps; zero points differ. */
static void test_add_tflite(void **state) {
    (void)state;
    xg_rqrec two;
    xg_rqrec_profile("tflite2", &two);
    uint64_t seed = 33;
    for (int i = 0; i < 100000; i++) {
        float sa = scale_between(&seed, -8, -2), sb = scale_between(&seed, -8, -2),
              sy = scale_between(&seed, -7, -1);
        int32_t z[3], x[2];
        for (int k = 0; k < 3; k++) z[k] = (int32_t)between(&seed, -128, 127);
        for (int k = 0; k < 2; k++) x[k] = (int32_t)between(&seed, -128, 127);
        xg_addrq q;
        assert_true(xg_add_derive(&two, sa, z[0], sb, z[1], sy, z[2], &q));
        double twice = 2 * (double)fmaxf(sa, sb);
        double real[3] = {sa / twice, sb / twice, twice / (1048576.0 * (double)sy)};
        int32_t scaled[3], sum = 0;
        for (int k = 0; k < 3; k++) {
            int e;
            int64_t m = llround(frexp(real[k], &e) * 2147483648.0);
            if (m == 2147483648) m /= 2, e++;
            int32_t in = k < 2 ? (x[k] - z[k]) * (1 << 20) : sum;
            assert_true(e <= 0);
            scaled[k] = divide_pot(high_mul(in, (int32_t)m), -e);
            sum += scaled[k];
        }
        expect_same(xg_add_apply(&two, &q, x[0], x[1], -128, 127),
                    clamp8(scaled[2], z[2], -128, 127), "add_tflite", x[0], x[1], i);
    }
    xg_rqrec dpu;
    xg_rqrec_profile("dpu", &dpu);
    dpu.add = XG_ADD_TFLITE; /* needs a multiplier */
    xg_addrq q;
    assert_false(xg_add_derive(&dpu, 1, 0, 1, 0, 1, 0, &q));
}

static void test_add_mulshift(void **state) {
    (void)state;
    uint64_t seed = 34;
    const uint8_t widths[] = {8, 15, 16, 22, 31};
    for (int i = 0; i < 60000; i++) {
        xg_rqrec r = {.method = i & 1 ? XG_RQ_MULSHIFT : XG_RQ_MULSHIFT2,
                      .mul_bits = widths[i % 5],
                      .rounding = {(xg_rounding)(xg_random(&seed) % MODES), XG_HALF_AWAY},
                      .acc_bits = 32,
                      .shift_min = -60,
                      .shift_max = 62,
                      .add = XG_ADD_MULSHIFT};
        float sa = scale_between(&seed, -8, -2), sb = scale_between(&seed, -8, -2),
              sy = scale_between(&seed, -7, -1);
        if (i % 7 == 0) sa = sy = 0.25f;
        int za = (int)between(&seed, -128, 127), zb = (int)between(&seed, -128, 127);
        int zy = (int)between(&seed, -128, 127), a = (int)between(&seed, -128, 127);
        int b = (int)between(&seed, -128, 127);
        xg_addrq q;
        assert_true(xg_add_derive(&r, sa, za, sb, zb, sy, zy, &q));
        int64_t top = q.a.mult > q.b.mult ? q.a.mult : q.b.mult;
        assert_true(top >= (int64_t)1 << (r.mul_bits - 1) && top < (int64_t)1 << r.mul_bits);
        /* each multiplier is its ratio times 2^shift to within half a unit: |M sy - s 2^shift| <=
         * sy / 2 */
        double slack = 0.5 * (1 + 1e-9);
        assert_true(fabs(q.a.mult - ldexp((double)sa / sy, q.o.shift)) <= slack);
        assert_true(fabs(q.b.mult - ldexp((double)sb / sy, q.o.shift)) <= slack);
        __int128 sum = (__int128)(a - za) * q.a.mult + (__int128)(b - zb) * q.b.mult;
        expect_same(xg_add_apply(&r, &q, a, b, -128, 127),
                    clamp8(oracle_shift(sum, q.o.shift, r.rounding[0]), zy, -128, 127),
                    "add_mulshift", a, b, i);
    }
    xg_rqrec arm = {
        .method = XG_RQ_MULSHIFT, .mul_bits = 22, .shift_max = 62, .add = XG_ADD_MULSHIFT};
    xg_addrq q; /* ONNX Runtime on ARM: s = 21 - floor(log2(max(ra, rb))) */
    assert_true(xg_add_derive(&arm, 0.75f, 0, 0.25f, 0, 1, 0, &q));
    assert_int_equal(q.o.shift, 21 + 1);
    assert_int_equal(q.a.mult, 3 << 20);
    assert_int_equal(q.b.mult, 1 << 20);
    arm.shift_max = 21;
    assert_false(xg_add_derive(&arm, 0.75f, 0, 0.25f, 0, 1, 0, &q));
    arm.mul_bits = 0;
    assert_false(xg_add_derive(&arm, 0.75f, 0, 0.25f, 0, 1, 0, &q));
}

static void test_multiply(void **state) {
    (void)state;
    xg_rqrec ort, mul16;
    xg_rqrec_profile("ort", &ort);
    xg_rqrec_profile("mul16", &mul16);
    uint64_t seed = 35;
    for (int i = 0; i < 60000; i++) {
        float sa = scale_between(&seed, -8, -2), sb = scale_between(&seed, -8, -2),
              sy = scale_between(&seed, -10, -1);
        int prod = (int)(between(&seed, -255, 255) * between(&seed, -255, 255));
        int zy = (int)between(&seed, -128, 127);
        xg_rq q;
        ort.zp_before_round = i & 1;
        assert_true(xg_mul_derive(&ort, sa, sb, sy, &q));
        float m = oracle_quot(oracle_mul(sa, sb), sy);
        float v = oracle_mul(oracle_int(prod), m);
        if (ort.zp_before_round) v = oracle_add(v, oracle_int(zy));
        expect_same(xg_mul_apply(&ort, q, prod, zy, -128, 127),
                    oracle_to_int(v, ort.zp_before_round ? 0 : zy, -128, 127, XG_HALF_EVEN),
                    "mul_f32", prod, zy, i);
        if (!xg_mul_derive(&mul16, sa, sb, sy, &q)) continue;
        expect_same(
            xg_mul_apply(&mul16, q, prod, zy, -128, 127),
            clamp8(oracle_shift((__int128)prod * q.mult, q.shift, XG_HALF_UP), zy, -128, 127),
            "mul16", prod, zy, i);
    }
}

/* ---- pooling --------------------------------------------------------------------------------- */

static void test_pool_f32(void **state) {
    (void)state;
    xg_rqrec r;
    xg_rqrec_profile("ort", &r);
    uint64_t seed = 36;
    for (int i = 0; i < 20000; i++) {
        float sx = scale_between(&seed, -8, -2), sy = scale_between(&seed, -8, -2);
        int n = (int)between(&seed, 1, 30), count = (int)between(&seed, 0, n);
        int zy = (int)between(&seed, -128, 127);
        int32_t x[30];
        float sum = 0;
        int64_t total = 0;
        for (int k = 0; k < count; k++) {
            x[k] = (int32_t)between(&seed, -255, 255);
            total += x[k];
            sum = oracle_add(sum, oracle_mul(oracle_int(x[k]), sx));
        }
        xg_poolrq q;
        assert_true(xg_pool_derive(&r, sx, sy, n, false, &q));
        float v = oracle_add(oracle_quot(oracle_quot(sum, (float)n), sy), oracle_int(zy));
        expect_same(xg_pool_apply(&r, &q, x, count, zy, -128, 127),
                    oracle_to_int(v, 0, -128, 127, XG_HALF_EVEN), "pool window", n, count, i);
        assert_true(xg_pool_derive(&r, sx, sy, n, true, &q));
        v = oracle_mul(oracle_int(total), oracle_quot(sx, oracle_mul(sy, (float)n)));
        expect_same(xg_pool_apply(&r, &q, x, count, zy, -128, 127),
                    oracle_to_int(v, zy, -128, 127, XG_HALF_EVEN), "pool global", n, count, i);
    }
}

static void test_pool_mulshift(void **state) {
    (void)state;
    const char *names[] = {"tflite1", "tflite2", "nvdla", "mul16", "mul8"};
    uint64_t seed = 37;
    for (int i = 0; i < 20000; i++) {
        xg_rqrec r;
        xg_rqrec_profile(names[i % 5], &r);
        float s = scale_between(&seed, -6, -2), sy = scale_between(&seed, -6, -2);
        int n = (int)between(&seed, 1, 64);
        int32_t x[64];
        int64_t sum = 0;
        for (int k = 0; k < n; k++) sum += x[k] = (int32_t)between(&seed, -255, 255);
        xg_poolrq q;
        assert_true(xg_pool_derive(&r, s, sy, n, i & 1, &q));
        num a = num_of(s), b = num_of(sy);
        int64_t mult;
        int e;
        oracle_multiplier(a.sig, b.sig * (u128)n, a.exp - b.exp, r.mul_bits, &mult, &e);
        expect_same(q.m.mult, mult, "pool multiplier", n, r.mul_bits, i);
        expect_same(q.m.shift, r.mul_bits - e, "pool shift", n, r.mul_bits, i);
        __int128 want = oracle_shift((__int128)sum * mult, r.mul_bits - e, r.rounding[0]);
        expect_same(xg_pool_apply(&r, &q, x, n, 3, -128, 127), clamp8(want, 3, -128, 127), "pool",
                    sum, n, i);
    }
}

static void test_pool_dpu(void **state) {
    (void)state;
    xg_rqrec r;
    xg_rqrec_profile("dpu", &r);
    const struct {
        int n, k, s;
    } known[] = {{9, 7, 6},     {25, 10, 8}, {36, 7, 8}, {49, 21, 10},
                 {196, 21, 12}, {1, 1, 0},   {4, 1, 2},  {64, 1, 6}};
    xg_poolrq q;
    for (size_t i = 0; i < XG_COUNT(known); i++) {
        assert_true(xg_pool_derive(&r, 1, 1, known[i].n, false, &q));
        assert_int_equal(q.m.mult, known[i].k);
        assert_int_equal(q.m.shift, known[i].s);
    }
    for (int n = 1; n <= 400;
         n++) { /* no fraction below 128 n comes closer, and of equals this is the first */
        if (n == 9 || n == 25 || n == 36 || n == 49 || n == 196) continue;
        assert_true(xg_pool_derive(&r, 1, 1, n, false, &q));
        double best = fabs(ldexp(q.m.mult, -q.m.shift) - 1.0 / n);
        for (int s = 0; (1 << s) < 128 * n; s++) {
            double error = fabs(ldexp(nearbyint(ldexp(1.0, s) / n), -s) - 1.0 / n);
            assert_true(s < q.m.shift ? error > best : error >= best * (1 - 1e-12));
        }
    }
    /* one rounding of sum * k * sx / sy / 2^s: 3 * 7 * 4 / 2^6 = 1.3125 and with half-up ties 32 *
     * 7 / 2^6 = 3.5 */
    int32_t x = 3;
    assert_true(xg_pool_derive(&r, 4, 1, 9, false, &q));
    assert_int_equal(q.m.shift, 4);
    assert_int_equal(xg_pool_apply(&r, &q, &x, 1, 0, -128, 127), 1);
    assert_true(xg_pool_derive(&r, 1, 1, 9, false, &q));
    x = 32;
    assert_int_equal(xg_pool_apply(&r, &q, &x, 1, 0, -128, 127), 4);
    x = -32;
    assert_int_equal(xg_pool_apply(&r, &q, &x, 1, 0, -128, 127), -3);
    assert_false(xg_pool_derive(&r, 3, 1, 9, false, &q));
    assert_false(xg_pool_derive(&r, 128, 1, 9, false, &q)); /* shift -1 is below the range */
    assert_true(
        xg_pool_derive(&r, 1, 1, INT32_MAX, false, &q)); /* 1 / (2^31 - 1) is nearest to 1 / 2^31 */
    assert_int_equal(q.m.mult, 1);
    assert_int_equal(q.m.shift, 31);
}

static void test_pool_exact(void **state) {
    (void)state;
    xg_rqrec r = {.pool = XG_POOL_EXACT};
    xg_poolrq q;
    assert_false(xg_pool_derive(&r, 1, 2, 4, false, &q));
    uint64_t seed = 38;
    for (int i = 0; i < 20000; i++) {
        int n = (int)between(&seed, 1, 20), zp = (int)between(&seed, -128, 127), raw_sum = 0;
        int32_t x[20];
        for (int k = 0; k < n; k++) {
            int raw = (int)between(&seed, -128, 127);
            raw_sum += raw;
            x[k] = raw - zp;
        }
        assert_true(xg_pool_derive(&r, 0.3f, 0.3f, n, false, &q));
        int want =
            raw_sum > 0 ? (raw_sum + n / 2) / n : (raw_sum - n / 2) / n; /* TFLite's own words */
        expect_same(xg_pool_apply(&r, &q, x, n, zp, -128, 127), want, "pool exact", raw_sum, n, zp);
    }
}

/* ---- quantise and dequantise ----------------------------------------------------------------- */

static void test_quantise(void **state) {
    (void)state;
    assert_int_equal(xg_quantize_f32(0.5f, 1, 0, -128, 127), 0);
    assert_int_equal(xg_quantize_f32(1.5f, 1, 1, -128, 127),
                     3); /* even before the zero point is added */
    assert_int_equal(xg_quantize_f32(-2.5f, 1, 0, -128, 127), -2);
    assert_int_equal(xg_quantize_f32(1e30f, 1e-30f, 0, -128, 127), 127); /* infinite quotient */
    assert_int_equal(xg_quantize_f32(-1e30f, 1, 5, 0, 255), 0);
    assert_int_equal(xg_quantize_f32(NAN, 1, 5, -128, 127), -128);
    assert_int_equal(xg_quantize_f32(3e9f, 1, 0, INT32_MIN, INT32_MAX), INT32_MAX);
    assert_int_equal(xg_quantize_f32(-3e9f, 1, 0, INT32_MIN, INT32_MAX), INT32_MIN);
    assert_true(xg_dequantize_f32(-128, 0.5f, 127) == -127.5f);
    assert_true(xg_dequantize_f32(INT32_MAX, 1, INT32_MIN) == 0x1p32f);
    uint64_t seed = 39;
    for (int i = 0; i < 100000; i++) {
        float s = scale_between(&seed, -8, 2);
        int zp = (int)between(&seed, -128, 127), q = (int)between(&seed, -128, 127);
        assert_true(xg_dequantize_f32(q, s, zp) == oracle_mul(oracle_int(q - zp), s));
        assert_int_equal(xg_quantize_f32(xg_dequantize_f32(q, s, zp), s, zp, -128, 127), q);
        float v = scale_between(&seed, -4, 8) * (i & 1 ? 1.0f : -1.0f);
        expect_same(xg_quantize_f32(v, s, zp, -128, 127),
                    oracle_to_int(oracle_quot(v, s), zp, -128, 127, XG_HALF_EVEN), "quantise", i,
                    zp, 0);
    }
}

/* ---- records --------------------------------------------------------------------------------- */

static void test_records_print(void **state) {
    xg_test *t = *state;
    xg_rqrec r;
    xg_buf b = {.arena = t->a};
    xg_rqrec_profile("tflite2", &r);
    xg_rqrec_print(&r, &b);
    assert_string_equal(
        b.p, "method=MULSHIFT2 mul_bits=31 rounding=[HALF_UP,HALF_AWAY] zp_before_round=0 "
             "acc_bits=32 shift_min=-30 shift_max=31 per_channel=1 act_zero_point=1 "
             "weight_zero_point=0 pow2_scales=0 weight_bits=8 add=TFLITE pool=MULSHIFT");
    /* all profiles differ, and a changed field changes the text */
    const char *names[] = {"ort", "tflite1", "tflite2", "dpu", "nvdla", "mul16", "mul8"};
    const char *text[XG_COUNT(names)];
    for (size_t i = 0; i < XG_COUNT(names); i++) {
        b = (xg_buf){.arena = t->a};
        assert_true(xg_rqrec_profile(names[i], &r));
        xg_rqrec_print(&r, &b);
        text[i] = b.p;
        for (size_t k = 0; k < i; k++) assert_string_not_equal(text[i], text[k]);
    }
    b = (xg_buf){.arena = t->a};
    r.rounding[1] = XG_FLOOR; /* has no meaning in mul8 */
    xg_rqrec_print(&r, &b);
    assert_string_equal(b.p, text[6]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_published_examples),
        TEST(test_round_div),
        TEST(test_round_shift),
        TEST(test_round_shift_limits),
        TEST(test_requantise_hostile),
        TEST(test_tflite_identities),
        TEST(test_tflite_multipliers),
        TEST(test_ort_identity),
        TEST(test_derive_multipliers),
        TEST(test_derive_shift_range),
        TEST(test_derive_powers_of_two),
        TEST(test_derive_refuses),
        TEST(test_add_f32),
        TEST(test_add_shift),
        TEST(test_add_tflite),
        TEST(test_add_mulshift),
        TEST(test_multiply),
        TEST(test_pool_f32),
        TEST(test_pool_mulshift),
        TEST(test_pool_dpu),
        TEST(test_pool_exact),
        TEST(test_quantise),
        TEST(test_records_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
