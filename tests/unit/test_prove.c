/* Accumulator proofs at the very limit, and inputs made for tests. */
#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "interp_net.h"

#include <math.h>

/* x: i8 with zp 0 (magnitude 128); 255 weights of 127, bias b. */
static xg_status prove_sum(void **state, int32_t bias, uint8_t acc_bits, int64_t hi_of_producer) {
    net n = net_new(state);
    int8_t w[255];
    memset(w, 127, sizeof w);
    int8_t *x = xg_alloc(n.a, 255);
    input(&n, XG_I8, quant(&n, 1, 0), x, DIMS(1, 1, 1, 255));
    xg_node *c = node(&n, XG_OP_Clip);
    xg_set_ai(c, XG_ATTR_lo, -hi_of_producer);
    xg_set_ai(c, XG_ATTR_hi, hi_of_producer);
    output(&n)->dtype = XG_I8;
    output(&n)->quant = quant(&n, 1, 0);
    n.in[0] = c->out[0];
    constant(&n, XG_I8, quant(&n, 1, 0), xg_memdup(n.a, w, sizeof w), DIMS(1, 1, 1, 255));
    constant(&n, XG_I32, NULL, xg_memdup(n.a, &bias, 4), DIMS(1));
    node(&n, XG_OP_Conv);
    output(&n)->quant = quant(&n, 1, 0);
    output(&n)->dtype = XG_I8;
    xg_graph_add_output(n.g, xg_nodep(n.g, n.node)->out[0]);
    assert_ok(n.c, xg_graph_infer(n.c, n.g));
    xg_rqrec rec;
    assert_true(xg_rqrec_profile("ort", &rec));
    rec.acc_bits = acc_bits;
    return xg_prove_accumulators(n.c, n.g, &rec);
}

static void accumulators(void **state) {
    const int64_t sum = (int64_t)255 * 127 * 128, limit = ((int64_t)1 << 23) - 1;
    xg_test *t = *state;
    assert_ok(t->c, prove_sum(state, (int32_t)(limit - sum), 24, 128));
    assert_status(t->c, prove_sum(state, (int32_t)(limit - sum + 1), 24, 128), XG_LIMIT);
    assert_said(t->c, "25 bits");
    assert_status(t->c, prove_sum(state, (int32_t)(sum - limit - 1), 24, 128), XG_LIMIT);
    assert_ok(t->c, prove_sum(state, (int32_t)(limit - sum + 1), 24,
                              127)); /* the clamp before it helps */
    assert_ok(t->c, prove_sum(state, INT32_MIN + 1 + (int32_t)sum, 32, 128));
    assert_status(t->c, prove_sum(state, INT32_MIN, 32, 128), XG_LIMIT);
}

static void fill(void **state) {
    net n = net_new(state);
    input(&n, XG_F32, NULL, NULL, DIMS(1, 50));
    uint32_t in = n.in[0];
    xg_set_ais(n.g, node(&n, XG_OP_Transpose), XG_ATTR_perm, (const int64_t[]){1, 0}, 2);
    n.in[0] = xg_nodep(n.g, n.node)->out[0];
    node(&n, XG_OP_Quantize);
    output(&n)->dtype = XG_U8;
    output(&n)->quant = quant(&n, 0.5f, 28);
    xg_graph_add_output(n.g, xg_nodep(n.g, n.node)->out[0]);
    assert_ok(n.c, xg_graph_infer(n.c, n.g));
    float first[50];
    static const char *const kinds[] = {"random", "random", "min", "max", "zero"};
    for (int k = 0; k < 5; k++) {
        xg_values_init(&n.v, n.g, n.a);
        assert_ok(n.c, xg_values_fill(n.c, &n.v, kinds[k], 42));
        const float *x = n.v.v[in];
        float lo = INFINITY, hi = -INFINITY;
        for (int i = 0; i < 50; i++) {
            lo = fminf(lo, x[i]);
            hi = fmaxf(hi, x[i]);
        }
        if (k == 0) memcpy(first, x, sizeof first);
        if (k == 1) assert_memory_equal(first, x, sizeof first);
        if (k < 2) assert_true(lo >= -14 && lo < 0 && hi > 50 && hi <= 113.5f);
        if (k == 2) assert_true(lo == -14 && hi == -14);
        if (k == 3) assert_true(lo == 113.5f && hi == 113.5f);
        if (k == 4) assert_true(lo == 0 && hi == 0);
    }
    assert_status(n.c, xg_values_fill(n.c, &n.v, "ramp", 1), XG_USAGE);
    net q = net_new(state);
    input(&q, XG_U8, quant(&q, 1, 77), NULL, DIMS(300));
    xg_graph_add_output(q.g, q.in[0]);
    static const int want[3] = {0, 255, 77};
    for (int k = 2; k < 5; k++) {
        xg_values_init(&q.v, q.g, q.a);
        assert_ok(q.c, xg_values_fill(q.c, &q.v, kinds[k], 1));
        assert_int_equal(((const uint8_t *)q.v.v[q.in[0]])[299], want[k - 2]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(accumulators), TEST(fill)};
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
