/* What the quantiser knows of the way from a layer to the outputs: the importance of channels, the
 * cost of each layer, and which layers to keep wide. */
#include "xgraph/histogram.h"
#include "xgraph/import.h"
#include "xgraph/importance.h"
#include "xgraph/samples.h"

#include "float_net.h"

#include <math.h>

static const xg_samples *random_inputs(xg_test *t, const xg_graph *g) {
    xg_samples *s;
    assert_ok(t->c, xg_samples_open(t->a, g, "random", NULL, &s));
    return s;
}

static float *weights(const xg_graph *g, uint32_t node) {
    return (float *)(uintptr_t)xg_in(g, xg_nodep(g, node), 1)->data;
}

static void finish(xg_test *t, maker *m, uint32_t y) {
    xg_tensor_rename(m->g, y, "y");
    xg_graph_add_output(m->g, y);
    assert_ok(t->c, xg_graph_infer(t->c, m->g));
}

/* ---- importance ---- */

/* y = W relu(x): each channel of x counts by the squares of its weights, and where relu lets it
 * through. */
static void channels_count_by_their_weights(void **state) {
    xg_test *t = *state;
    maker m = {t->a, xg_graph_new(t->a, "net"), 3};
    uint32_t x = float_input(&m, "x", 4, 4, 3);
    uint32_t y = conv(&m, "mix", clip(&m, "relu", x, 0, INFINITY), 3, 2, 1, 0.5f);
    const float w[] = {0, 1, 3, 0, 2, 4}; /* [2][3] */
    finish(t, &m, y);
    memcpy(weights(m.g, 1), w, sizeof w);
    double **imp;
    assert_ok(t->c, xg_importance(t->a, m.g, random_inputs(t, m.g), 1, &imp));
    uint32_t relu = xg_nodep(m.g, 0)->out[0];
    assert_float_equal(imp[relu][0], 0, 0);
    assert_float_equal(imp[relu][2] / imp[relu][1], 5, 1e-9); /* 9 + 16 to 1 + 4 */
    assert_true(imp[x][1] > 0.1 * imp[relu][1] && imp[x][1] < 0.9 * imp[relu][1]);
    assert_float_equal(imp[y][0], imp[y][1], 0);
}

/* A product hands on the square of the other factor, a sum the same to both, a join to each its
 * own. */
static void operators_hand_importance_on(void **state) {
    xg_test *t = *state;
    maker m = {t->a, xg_graph_new(t->a, "net"), 4};
    uint32_t a = float_input(&m, "a", 2, 2, 2), b = float_input(&m, "b", 2, 2, 2);
    uint32_t both = add(&m, XG_OP_Add, "sum", add(&m, XG_OP_Mul, "product", a, b), b);
    uint32_t y = add(&m, XG_OP_Concat, "join", both, a);
    xg_set_ai(node_of(&m, y), XG_ATTR_axis, 3);
    finish(t, &m, y);
    const xg_samples *s = random_inputs(t, m.g);
    xg_values v;
    xg_values_init(&v, m.g, t->a);
    assert_ok(t->c, xg_samples_fill(s, 0, &v));
    double **imp, square = 0;
    for (int i = 0; i < 8; i += 2) square += pow((double)((float *)v.v[b])[i], 2) / 4;
    assert_ok(t->c, xg_importance(t->a, m.g, s, 1, &imp));
    assert_float_equal(imp[a][0] / imp[y][0], square + 1, 1e-6);
    assert_float_equal(imp[both][1], imp[y][1], 0);
}

/* ---- ranges behind a function ---- */

/* What a hard sigmoid holds constant needs no range; the values themselves do. */
static void ranges_end_where_a_function_is_constant(void **state) {
    xg_test *t = *state;
    xg_graph *g = xg_graph_new(t->a, "f");
    xg_tensor x = {.name = "x", .dtype = XG_F32, .rank = 1, .dim = {1}, .producer = XG_NONE};
    uint32_t in = xg_graph_add_tensor(g, &x);
    const xg_node *f = xg_nodep(g, xg_graph_add_node(g, XG_OP_HardSigmoid, "f", &in, 1, 1));
    xg_set_af(f, XG_ATTR_alpha, 1.0f / 6);
    xg_set_af(f, XG_ATTR_beta, 0.5f);
    static const char *const names[] = {"ort", "nvdla", "dpu"};
    for (size_t p = 0; p < XG_COUNT(names); p++) {
        xg_rqrec r;
        assert_true(xg_rqrec_profile(names[p], &r));
        xg_histogram h;
        xg_histogram_init(&h);
        float v[1000], lo, hi;
        for (int i = 0; i < 1000; i++) v[i] = (float)(i - 500) * 0.1f;
        xg_histogram_add(&h, t->a, v, 1000);
        xg_histogram_range(&h, &r, XG_CALIB_MSE, 0, f, &lo, &hi);
        assert_true(lo > -6 && lo < -2.5f && hi > 2.5f && hi < 6);
        xg_histogram_range(&h, &r, XG_CALIB_MSE, 0, NULL, &lo, &hi);
        assert_true(lo < -30 && hi > 30);
    }
}

/* A channel that nobody reads does not widen the range. */
static void channels_that_do_not_matter_saturate(void **state) {
    xg_test *t = *state;
    maker m = {t->a, xg_graph_new(t->a, "net"), 6};
    uint32_t x = float_input(&m, "x", 8, 8, 4);
    uint32_t mid = conv(&m, "first", x, 4, 8, 3, 0.3f), y = conv(&m, "second", mid, 8, 6, 1, 0.5f);
    finish(t, &m, y);
    for (int i = 0; i < 36; i++) weights(m.g, 0)[i] *= 1000;
    xg_calibration with, without;
    xg_rqrec r;
    assert_true(xg_rqrec_profile("ort", &r));
    const xg_samples *s = random_inputs(t, m.g);
    assert_ok(t->c, xg_calibrate_samples(t->a, m.g, &r, s, NULL, NULL, &with));
    for (int o = 0; o < 6; o++) weights(m.g, 1)[o * 8] = 0;
    assert_ok(t->c, xg_calibrate_samples(t->a, m.g, &r, s, NULL, NULL, &without));
    for (uint32_t i = 0; i < with.range.n; i++)
        if (!strcmp(with.range.v[i].tensor, xg_tensorp(m.g, mid)->name))
            assert_true(without.range.v[i].max * 20 < with.range.v[i].max);
}

/* ---- what layers cost ---- */

/* Two branches; one ends in weights a hundred times smaller, so that what it loses hardly shows. */
static void the_layer_that_matters_costs_most(void **state) {
    xg_test *t = *state;
    maker m = {t->a, xg_graph_new(t->a, "net"), 9};
    uint32_t x = float_input(&m, "x", 8, 8, 4);
    uint32_t strong = conv(&m, "strong", conv(&m, "a", x, 4, 8, 3, 0.3f), 8, 6, 1, 0.5f);
    uint32_t weak = conv(&m, "weak", conv(&m, "b", x, 4, 8, 3, 0.3f), 8, 6, 1, 0.005f);
    finish(t, &m, add(&m, XG_OP_Add, "sum", strong, weak));
    xg_rqrec r;
    assert_true(xg_rqrec_profile("ort", &r));
    const xg_samples *s = random_inputs(t, m.g);
    xg_calibration k;
    xg_graph *q = m.g;
    xg_quant_map map;
    double *noise;
    assert_ok(t->c, xg_calibrate_samples(t->a, m.g, &r, s, NULL, NULL, &k));
    assert_ok(t->c, xg_quantise_with(t->a, &q, &k, &r, NULL, s, &map, NULL));
    assert_ok(t->c, xg_quant_effects(t->a, &map, s, 1, true, &noise));
    const char *names[] = {"a", "strong", "b", "weak", "sum"};
    double cost[5] = {0}, sum = 0;
    for (uint32_t i = 0; i < m.g->node.n; i++) {
        sum += noise[i];
        for (int n = 0; n < 5; n++)
            if (!strcmp(xg_nodep(m.g, i)->name, names[n])) cost[n] = noise[i];
    }
    assert_true(cost[1] > 100 * cost[3] && cost[0] > 100 * cost[2]);
    assert_true(cost[4] > 0); /* the sum's own rounding reaches the output */
    /* together they are about what the whole loses */
    xg_quant_report report = {0};
    assert_ok(t->c, xg_quant_compare(t->a, m.g, q, &r, s, 1, &report));
    double real = 1 / pow(report.output.v[0].cosine, 2) - 1;
    assert_true(sum > real / 3 && sum < real * 3);
}

static void costs_fall_when_a_layer_is_wide(void **state) {
    xg_test *t = *state;
    xg_rqrec r;
    assert_true(xg_rqrec_profile("ort", &r));
    xg_graph *g = mixed_net(t), *q;
    assert_ok(t->c, xg_graph_infer(t->c, g));
    const xg_samples *s = random_inputs(t, g);
    const char *all = "*";
    xg_calibration k;
    xg_quant_map map;
    double *noise[2];
    assert_ok(t->c, xg_calibrate_samples(t->a, g, &r, s, NULL, NULL, &k));
    for (uint32_t i = 0; i < 2; i++) {
        xg_quant_options o = {.keep_int16 = &all, .nkeep_int16 = i};
        q = g;
        assert_ok(t->c, xg_quantise_with(t->a, &q, &k, &r, &o, s, &map, NULL));
        assert_ok(t->c, xg_quant_effects(t->a, &map, s, 1, true, &noise[i]));
    }
    for (uint32_t i = 0; i < g->node.n * g->output.n; i++)
        assert_true(noise[1][i] <= noise[0][i] / 100 + 1e-12);
}

/* ---- order ---- */

static void order_is_by_use(void **state) {
    xg_test *t = *state;
    /* three nodes, two outputs */
    const double noise[] = {0.1, 0, 0.5, 0.1, 0, 0.9};
    uint32_t *order, enough;
    assert_int_equal(xg_quant_order(t->a, noise, 3, 2, 0.2, &order, &enough), 3);
    assert_int_equal(enough, 2);
    assert_int_equal(order[0] + order[1], 1 + 2);
    assert_int_equal(order[2], 0);
    assert_int_equal(xg_quant_order(t->a, noise, 3, 2, 2, &order, &enough), 3);
    assert_int_equal(enough, 0);
    const double silent[] = {0, 0, 0};
    assert_int_equal(xg_quant_order(t->a, silent, 3, 1, 0.2, &order, &enough), 0);
    assert_int_equal(xg_quant_order(t->a, NULL, 0, 0, 0.2, &order, &enough), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(channels_count_by_their_weights),
        TEST(operators_hand_importance_on),
        TEST(ranges_end_where_a_function_is_constant),
        TEST(channels_that_do_not_matter_saturate),
        TEST(the_layer_that_matters_costs_most),
        TEST(costs_fall_when_a_layer_is_wide),
        TEST(order_is_by_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
