/* Calibration, quantisation of float graphs, re-quantisation of integer graphs for a machine's
 * record. */
#include "xgraph/import.h"

#include "base/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "float_net.h"
#include "random_net.h"
#include "xg_test.h"

static const char *const profiles[] = {"ort",   "tflite1", "tflite2", "dpu",
                                       "nvdla", "mul16",   "mul8"};

static xg_rqrec profile(const char *name) {
    xg_rqrec r;
    assert_true(xg_rqrec_profile(name, &r));
    return r;
}

static void calibrate(xg_test *t, const xg_graph *g, uint64_t seed, xg_calibration *k) {
    xg_values v, *one = &v;
    xg_values_init(&v, g, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &v, "random", seed));
    assert_ok(t->c, xg_calibrate(t->a, g, &one, 1, k));
}

static uint32_t find(const xg_graph *g, const char *name) {
    for (uint32_t t = 0; t < g->tensor.n; t++)
        if (!strcmp(g->tensor.v[t].name, name)) return t;
    return XG_NONE;
}

static uint32_t count_nodes(const xg_graph *g, xg_op op, xg_dtype out) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->node.n; i++)
        n += xg_nodep(g, i)->op == op && xg_out(g, xg_nodep(g, i), 0)->dtype == out;
    return n;
}

/* All quants obey the record's limits. */
static void assert_within_record(const xg_graph *g, const xg_rqrec *r, bool inside_only) {
    for (uint32_t i = 0; i < g->tensor.n; i++) {
        const xg_tensor *t = xg_tensorp(g, i);
        if (!t->quant || (inside_only && (t->is_input || t->is_output))) continue;
        if (!r->per_channel) assert_int_equal(t->quant->n, 1);
        for (uint32_t k = 0; k < t->quant->n; k++) {
            int e;
            if (r->pow2_scales) assert_true(frexpf(t->quant->scale[k], &e) == 0.5f);
            if (!r->act_zero_point) assert_int_equal(t->quant->zp[k], 0);
        }
    }
}

/* ---- calibration
 * ----------------------------------------------------------------------------------------- */

static void ranges_are_what_the_tensors_hold(void **state) {
    xg_test *t = *state;
    xg_graph *g = mixed_net(t);
    xg_values v[2], *sets[2] = {&v[0], &v[1]};
    for (int i = 0; i < 2; i++) {
        xg_values_init(&v[i], g, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &v[i], "random", (uint64_t)i + 3));
    }
    xg_calibration k;
    assert_ok(t->c, xg_calibrate(t->a, g, sets, 2, &k));
    for (uint32_t i = 0; i < k.range.n; i++) {
        uint32_t tensor = find(g, k.range.v[i].tensor);
        float lo = INFINITY, hi = -INFINITY;
        for (int s = 0; s < 2; s++)
            for (int64_t e = 0; e < xg_tensor_elems(xg_tensorp(g, tensor)); e++) {
                lo = fminf(lo, ((float *)v[s].v[tensor])[e]);
                hi = fmaxf(hi, ((float *)v[s].v[tensor])[e]);
            }
        assert_true(lo == k.range.v[i].min && hi == k.range.v[i].max);
    }
    assert_int_equal(k.range.n, g->node.n + 1); /* one input, one output a node, no constants */
    assert_status(t->c, xg_calibrate(t->a, g, sets, 0, &k), XG_INPUT);
}

static void tables_come_back_from_text(void **state) {
    xg_test *t = *state;
    xg_calibration k, back;
    calibrate(t, mixed_net(t), 1, &k);
    xg_range odd = {"a \"name\" = # [x]\n", -0x1p+100f, 0x1p-149f, -0x1.fffffep+127f, 0.5f};
    xg_push(t->a, &k.range, odd);
    xg_buf text = {.arena = t->a}, again = {.arena = t->a};
    xg_calibration_print(&k, &text);
    assert_ok(t->c, xg_calibration_parse(t->a, "table", text.p, text.n, &back));
    xg_calibration_print(&back, &again);
    assert_string_equal(text.p, again.p);
    assert_int_equal(back.range.n, k.range.n);
    assert_memory_equal(&back.range.v[back.range.n - 1].min, &odd.min, 4);
    assert_memory_equal(&back.range.v[back.range.n - 1].least, &odd.least, 4);
    assert_memory_equal(&back.range.v[back.range.n - 1].most, &odd.most, 4);
    assert_string_equal(back.range.v[back.range.n - 1].tensor, odd.tensor);
}

static void bad_tables_are_refused_with_their_line(void **state) {
    xg_test *t = *state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"scale \"x\" min=0 max=1", "range"},
        {"range", "name"},
        {"range \"x\" min=0", "nothing else"},
        {"range \"x\" low=0 max=1", "min="},
        {"range \"x\" min=0 max=1 mean=0", "nothing else"},
        {"range \"x\" min=2 max=1", "above"},
        {"range \"x\" min=0 max=1 least=0", "nothing else"},
        {"range \"x\" min=0 max=1 least=0 mean=1", "most="},
        {"range \"x\" min=0 max=1 least=2 most=1", "above"},
        {"range \"x\" min=0 max=1\nrange \"x\" min=0 max=2", "second"},
        {"range \"x\" min=zero max=1", ""},
    };
    for (size_t i = 0; i < XG_COUNT(cases); i++) {
        xg_calibration k;
        assert_status(
            t->c, xg_calibration_parse(t->a, "table.txt", cases[i].text, strlen(cases[i].text), &k),
            XG_INPUT);
        assert_said(t->c, cases[i].said);
        assert_said(t->c, "table.txt:");
    }
    xg_calibration k;
    assert_ok(t->c, xg_calibration_parse(t->a, "empty", "# nothing\n", 10, &k));
    assert_int_equal(k.range.n, 0);
}

/* ---- scales
 * -------------------------------------------------------------------------------------------------
 */

/* quantise_plan.h is internal; its rule for ranges shows in the scale of a graph's input. */
static xg_quant input_quant(xg_test *t, const char *name, float lo, float hi) {
    xg_rqrec r = profile(name);
    maker m = {t->a, xg_graph_new(t->a, "one"), 1};
    uint32_t y = conv(&m, "c", float_input(&m, "x", 2, 2, 1), 1, 1, 1, 0.5f);
    xg_graph_add_output(m.g, y);
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    xg_calibration k = {0};
    xg_range rows[2] = {{"x", lo, hi, lo, hi}, {xg_tensorp(m.g, y)->name, -1, 1, -1, 1}};
    xg_push(t->a, &k.range, rows[0]);
    xg_push(t->a, &k.range, rows[1]);
    assert_ok(t->c, xg_quantise(t->a, &m.g, &k, &r, NULL));
    return *xg_tensorp(m.g, find(m.g, "x/i8"))->quant;
}

static void a_range_becomes_the_finest_scale_that_covers_it(void **state) {
    xg_test *t = *state;
    static const float bounds[][2] = {{0, 6},         {-1, 1},       {-3, 0}, {2, 3},
                                      {-0.001f, 500}, {-7.5f, 0.1f}, {0, 0}};
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r = profile(profiles[p]);
        for (size_t i = 0; i < XG_COUNT(bounds); i++) {
            float lo = fminf(bounds[i][0], 0), hi = fmaxf(bounds[i][1], 0);
            xg_quant q = input_quant(t, profiles[p], bounds[i][0], bounds[i][1]);
            float s = q.scale[0], least = xg_dequantize_f32(-128, s, q.zp[0]),
                  most = xg_dequantize_f32(127, s, q.zp[0]);
            assert_true(least <= lo + s / 2 &&
                        most >= hi - s / 2); /* zero is a code: half a step is lost at most */
            if (lo == hi) continue;
            float widest = r.act_zero_point ? (hi - lo) / 255 : fmaxf(hi, -lo) / 127;
            assert_true(s <= widest * (r.pow2_scales ? 2.0f : 1.00001f));
            if (r.pow2_scales) assert_true(s > widest * 0.49f);
        }
    }
}

/* ---- quantisation
 * --------------------------------------------------------------------------------------------- */

static double output_sqnr(xg_test *t, const xg_graph *a, const xg_graph *b, const char *name,
                          const xg_rqrec *r) {
    xg_values va, vb;
    xg_values_init(&va, a, t->a);
    xg_values_init(&vb, b, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &va, "random", 1));
    uint32_t xa = a->input.v[0], xb = b->input.v[0];
    memcpy(xg_values_get(&vb, xb), va.v[xa],
           (size_t)xg_tensor_elems(xg_tensorp(a, xa)) * xg_dtype_bytes(xg_tensorp(a, xa)->dtype));
    assert_ok(t->c, xg_interp_run(t->c, &va, NULL));
    assert_ok(t->c, xg_interp_run(t->c, &vb, r));
    const float *x = va.v[find(a, name)], *y = vb.v[find(b, name)];
    double signal = 0, noise = 1e-30;
    for (int64_t i = 0; i < xg_tensor_elems(xg_tensorp(a, find(a, name))); i++) {
        signal += (double)x[i] * x[i];
        noise += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    }
    return 10 * log10(signal / noise);
}

static void every_record_gets_a_graph_that_it_can_run(void **state) {
    xg_test *t = *state;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r = profile(profiles[p]);
        xg_graph *f = mixed_net(t), *q = f;
        xg_calibration k;
        calibrate(t, f, 1, &k);
        xg_quant_report report = {.measure = true};
        assert_true(xg_graph_is_float(f));
        assert_ok(t->c, xg_quantise(t->a, &q, &k, &r, &report));
        assert_false(xg_graph_is_float(q));
        assert_true(xg_graph_is_float(f)); /* the float graph is left as it was */
        assert_int_equal(count_nodes(q, XG_OP_Conv, XG_I8), 5);
        assert_int_equal(count_nodes(q, XG_OP_Quantize, XG_I8), 1);
        assert_int_equal(count_nodes(q, XG_OP_Dequantize, XG_F32), 1);
        assert_int_equal(count_nodes(q, XG_OP_Softmax, XG_F32), 1);
        assert_int_equal(count_nodes(q, XG_OP_Lut, XG_I8), 1);
        assert_int_equal(count_nodes(q, XG_OP_Clip, XG_I8), 0); /* all folded */
        assert_within_record(q, &r, false);
        assert_ok(t->c, xg_prove_accumulators(t->c, q, &r));
        assert_int_equal(report.row.n,
                         13); /* 5 conv, sum, pool, cat, gate, silu, mean, flat, quantise */
        for (uint32_t i = 0; i < report.row.n; i++)
            assert_true(report.row.v[i].sqnr_db > (r.pow2_scales ? 12 : 20));
        assert_true(output_sqnr(t, f, q, "probabilities", &r) > 25);
        xg_graph *again = q;
        assert_ok(t->c, xg_target_quantise(t->a, &again, &r, NULL));
        assert_ptr_equal(again, q); /* nothing is left to do */
    }
}

static void tied_tensors_share_their_scale(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    xg_graph *g = mixed_net(t);
    xg_calibration k;
    calibrate(t, g, 1, &k);
    assert_ok(t->c, xg_quantise(t->a, &g, &k, &r, NULL));
    const char *same[][2] = {
        {"relu3", "pool"}, {"cat", "left"}, {"cat", "right"}, {"dense", "flat"}};
    for (size_t i = 0; i < XG_COUNT(same); i++)
        assert_true(xg_quant_equal(xg_tensorp(g, find(g, same[i][0]))->quant,
                                   xg_tensorp(g, find(g, same[i][1]))->quant));
    assert_false(xg_quant_equal(xg_tensorp(g, find(g, "relu1"))->quant,
                                xg_tensorp(g, find(g, "relu6"))->quant));
    const xg_node *c2 = xg_nodep(g, xg_tensorp(g, find(g, "relu6"))->producer);
    const xg_quant *y = xg_tensorp(g, find(g, "relu6"))->quant;
    assert_int_equal(xg_ai(c2, XG_ATTR_hi),
                     INT32_MAX); /* the scale was chosen so that 0.75 is the last code */
    assert_true(fabsf(xg_dequantize_f32(127, y->scale[0], y->zp[0]) - 0.75f) < 0.01f);
}

/* conv -> Pad(value) -> MaxPool 2x2; with clip0: a ReLU before the Pad. */
static xg_graph *padded_maximum(xg_test *t, float value, bool clip0) {
    maker m = {t->a, xg_graph_new(t->a, "padded"), 7};
    uint32_t x = conv(&m, "c", float_input(&m, "x", 6, 5, 3), 3, 4, 1, 0.5f);
    if (clip0) x = clip(&m, "relu", x, 0, INFINITY);
    x = add(&m, XG_OP_Pad, "pad", x, XG_NONE);
    const int64_t pads[8] = {0, 0, 1, 0, 0, 1, 0, 0};
    xg_set_ais(m.g, xg_nodep(m.g, xg_tensorp(m.g, x)->producer), XG_ATTR_pads, pads, 8);
    xg_set_af(node_of(&m, x), XG_ATTR_value, value);
    xg_graph_add_output(m.g, pool(&m, XG_OP_MaxPool, "pool", x, 2));
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    return m.g;
}

static uint32_t count_ops(const xg_graph *g, xg_op op) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->node.n; i++) n += xg_nodep(g, i)->op == op;
    return n;
}

static void a_border_below_all_values_costs_no_range(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    xg_graph *f = padded_maximum(t, -10000, false), *q = f;
    const char *out = xg_tensorp(f, f->output.v[0])->name;
    xg_calibration k;
    calibrate(t, f, 1, &k);
    assert_ok(t->c, xg_quantise(t->a, &q, &k, &r, NULL));
    assert_int_equal(count_nodes(q, XG_OP_MaxPool, XG_I8), 1);
    assert_true(output_sqnr(t, f, q, out, &r) > 25);
    /* where an element may be below, the border is part of the range */
    f = q = padded_maximum(t, 3, false);
    calibrate(t, f, 1, &k);
    assert_ok(t->c, xg_quantise(t->a, &q, &k, &r, NULL));
    assert_true(output_sqnr(t, f, q, out, &r) > 25);
}

/* The pool pads itself when the border can never win, and only then; the values stay. */
static void a_border_that_never_wins_becomes_padding(void **state) {
    xg_test *t = *state;
    const struct {
        float value;
        bool clip0;
        uint32_t pads;
    } cases[] = {{-INFINITY, false, 0}, {-10000, false, 1}, {0, true, 0},
                 {0, false, 1},         {-1, true, 0},      {0.5f, true, 1}};
    for (size_t i = 0; i < XG_COUNT(cases); i++) {
        xg_graph *f = padded_maximum(t, cases[i].value, cases[i].clip0), *g = f;
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        assert_int_equal(count_ops(g, XG_OP_Pad), cases[i].pads);
        xg_values v, w;
        xg_values_init(&v, f, t->a);
        xg_values_init(&w, g, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &v, "random", 3));
        assert_ok(t->c, xg_values_fill(t->c, &w, "random", 3));
        assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
        assert_ok(t->c, xg_interp_run(t->c, &w, NULL));
        const xg_tensor *y = xg_tensorp(f, f->output.v[0]);
        assert_memory_equal(v.v[f->output.v[0]], w.v[g->output.v[0]],
                            (size_t)xg_tensor_elems(y) * sizeof(float));
    }
}

static void a_clamp_inside_a_range_becomes_lo_and_hi(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("dpu");
    maker m = {t->a, xg_graph_new(t->a, "one"), 1};
    uint32_t y = clip(&m, "clip", conv(&m, "c", float_input(&m, "x", 2, 2, 1), 1, 1, 1, 0.5f),
                      -0.25f, 0.625f);
    xg_graph_add_output(m.g, y);
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    xg_calibration k = {0};
    xg_range rows[2] = {{"x", -1, 1, -1, 1}, {"clip", -0.25f, 0.625f, -0.25f, 0.625f}};
    xg_push(t->a, &k.range, rows[0]);
    xg_push(t->a, &k.range, rows[1]);
    assert_ok(t->c, xg_quantise(t->a, &m.g, &k, &r, NULL));
    const xg_tensor *q = xg_tensorp(m.g, find(m.g, "clip/i8"));
    float s = q->quant->scale[0];
    assert_true(s == 0x1p-7f);
    assert_int_equal(xg_ai(xg_nodep(m.g, q->producer), XG_ATTR_lo), -32);
    assert_int_equal(xg_ai(xg_nodep(m.g, q->producer), XG_ATTR_hi), 80);
}

static const xg_node *named(const xg_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (!strcmp(xg_nodep(g, i)->name, name)) return xg_nodep(g, i);
    return NULL;
}

/* A detector's end: probabilities and boxes side by side. A table would lose small probabilities;
 * a function that an integer operator reads is one. */
static void functions_at_the_end_stay_float(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    maker m = {t->a, xg_graph_new(t->a, "head"), 3};
    uint32_t x = float_input(&m, "x", 4, 4, 3);
    uint32_t y = add(&m, XG_OP_Sigmoid, "inside", conv(&m, "c1", x, 3, 4, 1, 0.5f), XG_NONE);
    uint32_t box = conv(&m, "box", y, 4, 2, 1, 0.5f), p = conv(&m, "logit", y, 4, 2, 1, 0.5f);
    uint32_t both[2] = {box, add(&m, XG_OP_Sigmoid, "end", p, XG_NONE)};
    uint32_t cat = xg_graph_add_node(m.g, XG_OP_Concat, "cat", both, 2, 1);
    xg_set_ai(xg_nodep(m.g, cat), XG_ATTR_axis, 3);
    uint32_t flat = add(&m, XG_OP_Reshape, "flat", xg_nodep(m.g, cat)->out[0], XG_NONE);
    static const int64_t shape[2] = {16, 4};
    xg_set_ais(m.g, node_of(&m, flat), XG_ATTR_shape, shape, 2);
    xg_graph_add_output(m.g, flat);
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    xg_calibration k;
    calibrate(t, m.g, 1, &k);
    assert_ok(t->c, xg_quantise(t->a, &m.g, &k, &r, NULL));
    assert_int_equal(named(m.g, "inside")->op, XG_OP_Lut);
    assert_int_equal(named(m.g, "end")->op, XG_OP_Sigmoid);
    assert_int_equal(xg_out(m.g, named(m.g, "cat"), 0)->dtype, XG_F32);
    assert_int_equal(xg_out(m.g, named(m.g, "box"), 0)->dtype, XG_I8);
    assert_int_equal(xg_out(m.g, named(m.g, "logit"), 0)->dtype, XG_I8);
}

/* The border of a quantised map is the code of its real value, under new scales, too. */
static void a_border_keeps_its_value(void **state) {
    xg_test *t = *state;
    static const float fills[] = {0, -0.75f, 5};
    for (size_t i = 0; i < XG_COUNT(fills); i++) {
        xg_rqrec ort = profile("ort"), dpu = profile("dpu");
        maker m = {t->a, xg_graph_new(t->a, "border"), 4};
        uint32_t y = conv(&m, "c", float_input(&m, "x", 4, 4, 3), 3, 4, 1, 0.5f);
        uint32_t pad = add(&m, XG_OP_Pad, "pad", y, XG_NONE);
        static const int64_t pads[8] = {0, 1, 1, 0, 0, 1, 1, 0};
        xg_set_ais(m.g, node_of(&m, pad), XG_ATTR_pads, pads, 8);
        xg_set_af(node_of(&m, pad), XG_ATTR_value, fills[i]);
        uint32_t end = conv(&m, "d", pad, 4, 2, 3, 0.5f);
        xg_graph_add_output(m.g, end);
        assert_ok(t->c, xg_graph_infer(t->c, m.g));
        xg_calibration k;
        calibrate(t, m.g, 1, &k);
        xg_graph *g = m.g;
        assert_ok(t->c, xg_quantise(t->a, &g, &k, &ort, NULL));
        for (int anew = 0; anew < 2; anew++) {
            if (anew) assert_ok(t->c, xg_target_quantise(t->a, &g, &dpu, NULL));
            const xg_node *n = named(g, "pad");
            const xg_quant *q = xg_out(g, n, 0)->quant;
            float real = xg_dequantize_f32((int32_t)xg_af(n, XG_ATTR_value), q->scale[0], q->zp[0]);
            assert_true(fabsf(real - fills[i]) <= q->scale[0]);
        }
    }
}

static void missing_and_infinite_ranges_are_named(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    xg_graph *g = mixed_net(t);
    xg_calibration k;
    calibrate(t, g, 1, &k);
    for (uint32_t i = 0; i < k.range.n; i++)
        if (!strcmp(k.range.v[i].tensor, "silu")) k.range.v[i].max = INFINITY;
    assert_status(t->c, xg_quantise(t->a, &g, &k, &r, NULL), XG_INPUT);
    assert_said(t->c, "'silu'");
    k.range.n = 0;
    assert_status(t->c, xg_quantise(t->a, &g, &k, &r, NULL), XG_INPUT);
    assert_said(t->c, "'x/i8'");
    assert_said(t->c, "calibration");
}

static void weights_that_are_not_finite_are_named(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    xg_graph *g = mixed_net(t);
    xg_calibration k;
    calibrate(t, g, 1, &k);
    ((float *)(uintptr_t)xg_tensorp(g, find(g, "left.w"))->data)[5] = NAN;
    assert_status(t->c, xg_quantise(t->a, &g, &k, &r, NULL), XG_INPUT);
    assert_said(t->c, "weight 5 of 'left.w'");
}

/* Scales of a machine with 24-bit sums and few shifts must become coarser until the sums and shifts
 * fit. */
static void narrow_machines_get_coarser_scales(void **state) {
    xg_test *t = *state;
    for (int acc = 18; acc <= 32; acc += 7) {
        for (int most = 8; most <= 16; most += 4) {
            xg_rqrec r = profile("dpu");
            r.acc_bits = (uint8_t)acc;
            r.shift_min = 2;
            r.shift_max = (int8_t)most;
            xg_graph *f = mixed_net(t), *q = f;
            xg_calibration k;
            calibrate(t, f, 1, &k);
            assert_ok(t->c, xg_quantise(t->a, &q, &k, &r, NULL));
            assert_ok(t->c, xg_prove_accumulators(t->c, q, &r));
            assert_true(output_sqnr(t, f, q, "probabilities", &r) >
                        10); /* and it runs: every shift is expressible */
        }
    }
    xg_rqrec r = profile("dpu");
    r.shift_min = 7;
    r.shift_max = 6;
    xg_graph *q = mixed_net(t);
    xg_calibration k;
    calibrate(t, q, 1, &k);
    assert_status(t->c, xg_quantise(t->a, &q, &k, &r, NULL), XG_LIMIT);
    assert_said(t->c, "cannot express");
}

/* ---- for a machine
 * ------------------------------------------------------------------------------------------------
 */

static void graphs_that_fit_are_left_alone(void **state) {
    xg_test *t = *state;
    static const char *const fit[] = {"ort", "tflite1", "nvdla", "mul16"};
    for (size_t p = 0; p < XG_COUNT(fit); p++) {
        xg_rqrec r = profile(fit[p]);
        for (uint64_t seed = 1; seed < 20; seed++) {
            xg_graph *g = random_net(t->a, &r, seed, 8), *was = g;
            if (!g) continue;
            xg_quant_report report = {0};
            assert_ok(t->c, xg_target_quantise(t->a, &g, &r, &report));
            assert_ptr_equal(g, was);
            assert_string_equal(report.how, "as the model states");
        }
    }
}

static double mean_sqnr(const xg_quant_report *report) {
    double sum = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < report->row.n; i++) {
        double db = report->row.v[i].sqnr_db;
        if (isnan(db)) continue;
        sum += fmin(fmax(db, -10), 60);
        n++;
    }
    return n ? sum / n : 60;
}

/* Networks with zero points and any scales, for a power-of-two machine. */
static void foreign_graphs_are_made_to_fit(void **state) {
    xg_test *t = *state;
    xg_rqrec ort = profile("ort"), dpu = profile("dpu");
    double worst = 100, sum = 0;
    uint32_t nets = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        xg_graph *g = random_net(t->a, &ort, seed, 8), *q;
        if (!g) continue;
        assert_ok(t->c, xg_graph_compact(t->c, g, t->a, &g));
        xg_graph *was = q = g;
        xg_buf before = {.arena = t->a}, after = {.arena = t->a};
        xg_graph_print(was, true, &before);
        xg_quant_report report = {.measure = true};
        assert_ok(t->c, xg_target_quantise(t->a, &q, &dpu, &report));
        xg_graph_print(was, true, &after);
        assert_string_equal(before.p, after.p); /* the given graph is not touched */
        if (q == was) continue;
        assert_non_null(strstr(report.how, "power-of-two"));
        assert_int_equal(q->input.n, was->input.n);
        for (uint32_t i = 0; i < q->output.n;
             i++) { /* the border is the user's: name and quant stay */
            const xg_tensor *a = xg_tensorp(was, was->output.v[i]),
                            *b = xg_tensorp(q, q->output.v[i]);
            assert_string_equal(a->name, b->name);
            assert_true(xg_quant_equal(a->quant, b->quant));
        }
        xg_graph *again = q;
        assert_ok(t->c, xg_target_quantise(t->a, &again, &dpu, NULL));
        assert_ptr_equal(again, q);
        assert_ok(t->c, xg_prove_accumulators(t->c, q, &dpu));
        double db = mean_sqnr(&report);
        worst = fmin(worst, db);
        sum += db;
        nets++;
    }
    assert_true(nets > 40);
    print_message("%u networks: mean SQNR %.1f dB, worst %.1f dB\n", nets, sum / nets, worst);
    assert_true(sum / nets > 15);
}

/* A record without weight zero points: weights are centred, activations keep their quants. */
static void weights_alone_can_be_redone(void **state) {
    xg_test *t = *state;
    xg_rqrec ort = profile("ort"), tflite = profile("tflite1"), plain = profile("ort");
    plain.per_channel = false;
    const xg_rqrec *records[2] = {&tflite, &plain};
    uint32_t redone = 0;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        const xg_rqrec *r = records[seed % 2];
        xg_graph *g = random_net(t->a, &ort, seed, 8), *q;
        if (!g) continue;
        assert_ok(t->c, xg_graph_compact(t->c, g, t->a, &g));
        q = g;
        xg_quant_report report = {.measure = true};
        assert_ok(t->c, xg_target_quantise(t->a, &q, r, &report));
        if (q == g) continue;
        redone++;
        assert_true(mean_sqnr(&report) > 20);
        for (uint32_t i = 0; i < q->node.n; i++) {
            const xg_node *n = xg_nodep(q, i);
            const xg_tensor *y = xg_out(q, n, 0), *was = xg_tensorp(g, find(g, y->name)),
                            *w = xg_in(q, n, 1);
            assert_true(xg_quant_equal(y->quant, was->quant));
            if (n->op != XG_OP_Conv) continue;
            if (r == &tflite)
                for (uint32_t k = 0; k < w->quant->n; k++) assert_int_equal(w->quant->zp[k], 0);
            else
                assert_int_equal(w->quant->n, 1);
        }
    }
    assert_true(redone > 5);
}

static void pools_that_cannot_scale_get_a_table_behind(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("tflite1");
    r.pool = XG_POOL_EXACT;
    xg_graph *g = xg_graph_new(t->a, "pool");
    xg_tensor x = {
        .name = "x", .dtype = XG_I8, .rank = 4, .dim = {1, 4, 4, 2}, .producer = XG_NONE};
    x.quant = xg_quant_scalar(t->a, 0.1f, 4);
    uint32_t in = xg_graph_add_tensor(g, &x), n;
    xg_graph_add_input(g, in);
    n = xg_graph_add_node(g, XG_OP_AvgPool, "pool", &in, 1, 1);
    xg_window w = {.kh = 2, .kw = 2, .sh = 2, .sw = 2, .dh = 1, .dw = 1};
    xg_set_window(xg_nodep(g, n), &w);
    xg_set_ai(xg_nodep(g, n), XG_ATTR_lo, -100);
    xg_tensor *y = xg_out(g, xg_nodep(g, n), 0);
    y->dtype = XG_I8;
    y->quant = xg_quant_scalar(t->a, 0.05f, -7);
    xg_graph_add_output(g, xg_nodep(g, n)->out[0]);
    assert_ok(t->c, xg_graph_infer(t->c, g));
    xg_graph *q = g;
    xg_quant_report report = {.measure = true};
    assert_ok(t->c, xg_target_quantise(t->a, &q, &r, &report));
    assert_int_equal(count_nodes(q, XG_OP_Lut, XG_I8), 1);
    assert_int_equal(q->node.n, 2);
    assert_true(mean_sqnr(&report) > 30);
    const int8_t *table = xg_in(q, xg_nodep(q, 1), 1)->data;
    assert_int_equal(table[0], -100); /* the pool's clamp went into the table */
    assert_int_equal(table[128 + 4], -7);
}

/* Saturation is how a folded ReLU looks: a zero point at the end of the range must stay a clamp. */
static void saturation_of_the_old_type_becomes_a_clamp(void **state) {
    xg_test *t = *state;
    xg_rqrec dpu = profile("dpu");
    xg_graph *g = xg_graph_new(t->a, "relu6");
    xg_tensor x = {
        .name = "x", .dtype = XG_I8, .rank = 4, .dim = {1, 2, 2, 1}, .producer = XG_NONE};
    x.quant = xg_quant_scalar(t->a, 0.1f, 0);
    static const int64_t wdim[4] = {1, 1, 1, 1};
    static const int8_t one[1] = {100};
    uint32_t in[2] = {xg_graph_add_tensor(g, &x)};
    xg_graph_add_input(g, in[0]);
    in[1] = xg_graph_add_const(g, "w", XG_I8, 4, wdim, one, xg_quant_scalar(t->a, 0.01f, 0));
    uint32_t n = xg_graph_add_node(g, XG_OP_Conv, "conv", in, 2, 1);
    xg_out(g, xg_nodep(g, n), 0)->dtype = XG_I8;
    xg_out(g, xg_nodep(g, n), 0)->quant = xg_quant_scalar(t->a, 6.0f / 255, -128);
    xg_graph_add_output(g, xg_nodep(g, n)->out[0]);
    assert_ok(t->c, xg_graph_infer(t->c, g));
    assert_ok(t->c, xg_target_quantise(t->a, &g, &dpu, NULL));
    const xg_node *conv_node = NULL;
    for (uint32_t i = 0; i < g->node.n; i++)
        if (xg_nodep(g, i)->op == XG_OP_Conv) conv_node = xg_nodep(g, i);
    const xg_quant *y = xg_out(g, conv_node, 0)->quant;
    assert_int_equal(xg_ai(conv_node, XG_ATTR_lo), 0);
    assert_true(fabsf((float)xg_ai(conv_node, XG_ATTR_hi) * y->scale[0] - 6.0f) <= y->scale[0] / 2);
}

/* ---- random weights, the front half, failing allocations
 * ------------------------------------------------------------- */

static void constant_weights_become_random_ones(void **state) {
    xg_test *t = *state;
    xg_graph *g = mixed_net(t);
    assert_int_equal(xg_random_weights(g, 1), 0); /* trained weights stay */
    float *w = (float *)(uintptr_t)xg_tensorp(g, find(g, "c2.w"))->data;
    int64_t n = xg_tensor_elems(xg_tensorp(g, find(g, "c2.w")));
    for (int64_t i = 0; i < n; i++) w[i] = 0.5f;
    assert_int_equal(xg_random_weights(g, 1), 1);
    const xg_tensor *made = xg_in(g, xg_nodep(g, xg_tensorp(g, find(g, "c2"))->producer), 1);
    double sum = 0, squares = 0, he = 2.0 / (3 * 3 * 8);
    for (int64_t i = 0; i < n; i++) {
        double v = ((const float *)made->data)[i];
        sum += v;
        squares += v * v;
    }
    assert_true(fabs(sum / (double)n) < 0.05);
    assert_true(squares / (double)n > he * 0.8 && squares / (double)n < he * 1.2);
}

static void write_temporary(xg_test *t, const xg_graph *g, char *path) {
    xg_buf packed = {.arena = t->a};
    assert_ok(t->c, xg_graph_pack(t->c, g, &packed));
    int fd = mkstemps(path, 3);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(t->c, xg_write_file(t->c, path, packed.p, packed.n));
}

static void a_float_model_without_inputs_is_refused_with_the_remedy(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    char path[] = "test_quantise_XXXXXX.xg";
    write_temporary(t, mixed_net(t), path);
    xg_front_options o = {0};
    xg_graph *g;
    xg_status none = xg_front(t->a, path, &o, &r, &g, NULL);
    bool remedy = xg_diag_count(t->c) &&
                  strstr(xg_diag_at(t->c, xg_diag_count(t->c) - 1)->text, "--calib") != NULL;
    o.calib_inputs = "random:5";
    xg_quant_report report = {0};
    xg_status some = xg_front(t->a, path, &o, &r, &g, &report);
    o.calib_inputs = "no such file.npy";
    xg_graph *unused;
    xg_status missing = xg_front(t->a, path, &o, &r, &unused, NULL);
    unlink(path);
    assert_int_equal(none, XG_INPUT);
    assert_true(remedy);
    assert_ok(t->c, some);
    assert_int_equal(missing, XG_IO);
    assert_int_equal(count_nodes(g, XG_OP_Conv, XG_I8), 5);
    assert_non_null(strstr(report.how, "mse of 1 set"));
}

/* A quantised graph that is written and compiled again stays as it is: structure, scales and bytes.
 */
static void the_front_half_has_nothing_to_do_on_its_own_result(void **state) {
    xg_test *t = *state;
    for (size_t p = 0; p < XG_COUNT(profiles); p++) {
        xg_rqrec r = profile(profiles[p]);
        xg_front_options o = {.calib_inputs = "random"};
        xg_graph *once, *twice;
        char first[] = "test_quantise_XXXXXX.xg", second[] = "test_quantise_XXXXXX.xg";
        write_temporary(t, mixed_net(t), first);
        xg_status st = xg_front(t->a, first, &o, &r, &once, NULL);
        unlink(first);
        assert_ok(t->c, st);
        write_temporary(t, once, second);
        xg_front_options none = {0};
        st = xg_front(t->a, second, &none, &r, &twice, NULL);
        unlink(second);
        assert_ok(t->c, st);
        assert_int_equal(once->node.n, twice->node.n);
        assert_int_equal(once->tensor.n, twice->tensor.n);
        for (uint32_t i = 0; i < once->node.n; i++)
            assert_int_equal(xg_nodep(once, i)->op, xg_nodep(twice, i)->op);
        assert_true(output_sqnr(t, once, twice, "probabilities", NULL) >
                    200); /* equal but for the added 1e-30 */
    }
}

static xg_status quantise_scenario(void *arg) {
    xg_test_case *k = arg;
    xg_test t = {k->c, k->a};
    xg_rqrec r;
    if (!xg_rqrec_profile("dpu", &r)) return XG_INTERNAL;
    xg_graph *g = mixed_net(&t);
    xg_calibration ranges;
    xg_values v, *one = &v;
    xg_values_init(&v, g, k->a);
    xg_status st = xg_values_fill(k->c, &v, "random", 1);
    if (st == XG_OK) st = xg_calibrate(k->a, g, &one, 1, &ranges);
    return st == XG_OK ? xg_quantise(k->a, &g, &ranges, &r, NULL) : st;
}

static xg_status target_scenario(void *arg) {
    xg_test_case *k = arg;
    xg_rqrec ort, dpu;
    if (!xg_rqrec_profile("ort", &ort) || !xg_rqrec_profile("dpu", &dpu)) return XG_INTERNAL;
    xg_graph *g = random_net(k->a, &ort, 4, 8);
    return xg_target_quantise(k->a, &g, &dpu, NULL);
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    assert_true(xg_test_nomem(quantise_scenario, NULL, 5) > 50);
    assert_true(xg_test_nomem(target_scenario, NULL, 5) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(ranges_are_what_the_tensors_hold),
        TEST(tables_come_back_from_text),
        TEST(bad_tables_are_refused_with_their_line),
        TEST(a_range_becomes_the_finest_scale_that_covers_it),
        TEST(every_record_gets_a_graph_that_it_can_run),
        TEST(tied_tensors_share_their_scale),
        TEST(a_border_below_all_values_costs_no_range),
        TEST(a_border_that_never_wins_becomes_padding),
        TEST(a_clamp_inside_a_range_becomes_lo_and_hi),
        TEST(functions_at_the_end_stay_float),
        TEST(a_border_keeps_its_value),
        TEST(missing_and_infinite_ranges_are_named),
        TEST(weights_that_are_not_finite_are_named),
        TEST(narrow_machines_get_coarser_scales),
        TEST(graphs_that_fit_are_left_alone),
        TEST(foreign_graphs_are_made_to_fit),
        TEST(weights_alone_can_be_redone),
        TEST(pools_that_cannot_scale_get_a_table_behind),
        TEST(saturation_of_the_old_type_becomes_a_clamp),
        TEST(constant_weights_become_random_ones),
        TEST(a_float_model_without_inputs_is_refused_with_the_remedy),
        TEST(the_front_half_has_nothing_to_do_on_its_own_result),
        TEST(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
