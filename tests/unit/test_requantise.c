/* Requantisation in all its forms against a 128-bit oracle: ten million random cases, and
 * accumulators on both sides of boundaries. tests/campaign/requantise.c runs more of the same. */
#include "requantise_cases.h"
#include "xg_test.h"

static void expect_equal(const rq_count *n) {
    print_message("%llu cases (%llu wide), vector forms %llu interpreter, %llu simulators\n",
                  (unsigned long long)n->cases, (unsigned long long)n->wide,
                  (unsigned long long)n->interpreter, (unsigned long long)n->simulator);
    if (n->differences)
        fail_msg("%llu differences; %s", (unsigned long long)n->differences, n->first);
    assert_true(n->inside > n->cases / 4); /* most is not decided by the clamp */
}

static void test_random(void **state) {
    xg_test *t = *state;
    rq_count n = {0};
    uint64_t seed = 41;
    rq_random(t->c, &seed, 10000000, &n);
    expect_equal(&n);
    assert_true(n.cases >= 10000000 && n.wide > n.cases / 8);
    assert_true(n.interpreter > n.cases / 4 && n.simulator > n.cases / 4);
}

static void test_boundary(void **state) {
    xg_test *t = *state;
    rq_count n = {0};
    rq_boundary(t->c, 31, &n);
    expect_equal(&n);
    assert_true(n.cases > 1000000);
}

/* The comparison itself: each form that is wrong by one is found. */
static void test_finds(void **state) {
    xg_test *t = *state;
    rq_block b = {.r = {.method = XG_RQ_SHIFT, .rounding = {XG_HALF_UP}}, .lo = -128, .hi = 127};
    for (int i = 0; i < RQ_CHANNELS; i++) b.q[i] = (xg_rq){0, 1};
    for (int i = 0; i < RQ_CASES; i++) b.acc[i] = i % 200 - 100;
    rq_count n = {0};
    rq_check(t->c, &n, &b);
    expect_equal(&n);
    assert_true(n.interpreter == RQ_CASES && n.simulator == RQ_CASES);
    uint8_t rows[RQ_CASES];
    int32_t want[RQ_CASES];
    for (int i = 0; i < RQ_CASES; i++) {
        want[i] = (int32_t)oracle_apply(&b.r, b.q[0], b.acc[i], 0, -128, 127);
        rows[i] = (uint8_t)want[i];
    }
    rows[77]++;
    rq_compare_rows(&n, &b, "changed", rows, want);
    assert_int_equal(n.differences, 1);
    assert_non_null(strstr(n.first, "acc -23 mult 0 shift 1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_random), TEST(test_boundary), TEST(test_finds)};
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
