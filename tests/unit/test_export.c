/* QOperator export: what is written reads back as the same network. The file's meaning is checked
 * through xgc's own importer here, and through ONNX Runtime by tests/bench/oracle.mjs. */
#include "xgraph/import.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "onnx_bytes.h"
#include "random_net.h"
#include "xg_test.h"

static xg_rqrec ort_record(void) {
    xg_rqrec r;
    assert_true(xg_rqrec_profile("ort", &r));
    return r;
}

static xg_graph *compacted(xg_test *t, xg_graph *g) {
    xg_graph *out;
    assert_ok(t->c, xg_graph_compact(t->c, g, t->a, &out));
    assert_ok(t->c, xg_graph_verify(t->c, out));
    return out;
}

static uint32_t find(const xg_graph *g, const char *name) {
    for (uint32_t t = 0; t < g->tensor.n; t++)
        if (!strcmp(g->tensor.v[t].name, name)) return t;
    return XG_NONE;
}

/* Runs both graphs on the same inputs; every output of `back` that `g` knows must be equal in every
 * byte. */
static uint32_t compare_runs(xg_test *t, const xg_graph *g, const xg_graph *back, uint64_t seed) {
    xg_values a, b;
    xg_values_init(&a, g, t->a);
    xg_values_init(&b, back, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &a, "random", seed));
    for (uint32_t i = 0; i < g->input.n; i++) {
        const xg_tensor *x = xg_tensorp(g, g->input.v[i]);
        void *to = xg_values_get(&b, back->input.v[i]);
        memcpy(to, a.v[g->input.v[i]], (size_t)xg_tensor_elems(x) * xg_dtype_bytes(x->dtype));
    }
    assert_ok(t->c, xg_interp_run(t->c, &a, NULL));
    assert_ok(t->c, xg_interp_run(t->c, &b, NULL));
    for (uint32_t i = 0; i < back->output.n; i++) {
        const xg_tensor *y = xg_tensorp(back, back->output.v[i]);
        uint32_t own = find(g, y->name);
        assert_int_not_equal(own, XG_NONE);
        assert_int_equal(xg_tensor_elems(y), xg_tensor_elems(xg_tensorp(g, own)));
        assert_memory_equal(a.v[own], b.v[back->output.v[i]],
                            (size_t)xg_tensor_elems(y) * xg_dtype_bytes(y->dtype));
    }
    return back->output.n;
}

/* A table becomes a Gather with computed indices, which the importer does not take back. */
static bool has_table(const xg_graph *g) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (xg_nodep(g, i)->op == XG_OP_Lut) return true;
    return false;
}

static void a_random_network_comes_back_equal(void **state) {
    xg_test *t = *state;
    xg_rqrec r = ort_record();
    uint32_t outputs = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        xg_graph *g = random_net(t->a, &r, seed, 8);
        if (!g || has_table(g)) continue;
        g = compacted(t, g);
        xg_buf onnx = {.arena = t->a};
        xg_status st = xg_export_qoperator(t->c, g, true, &onnx);
        if (st == XG_UNSUPPORTED) { /* averages over padding that runtimes disagree on */
            assert_said(t->c, "runtimes disagree");
            refused++;
            continue;
        }
        assert_ok(t->c, st);
        outputs += compare_runs(t, g, import_bytes(t, &onnx), seed);
    }
    assert_true(outputs > 100);
    assert_true(refused < 5);
}

/* x -> op -> y on i8 tensors, one node. */
static xg_graph *one_node(xg_test *t, xg_op op, float sy, int64_t h, int64_t w, int64_t c) {
    xg_graph *g = xg_graph_new(t->a, "one");
    xg_tensor x = {.name = "x",
                   .dtype = XG_I8,
                   .rank = 4,
                   .producer = XG_NONE,
                   .quant = xg_quant_scalar(t->a, 0.1f, -3)};
    int64_t dim[4] = {1, h, w, c};
    memcpy(x.dim, dim, sizeof dim);
    uint32_t in[2] = {xg_graph_add_tensor(g, &x)};
    xg_graph_add_input(g, in[0]);
    in[1] = in[0];
    uint32_t n = xg_graph_add_node(g, op, "node", in, (uint32_t)xg_ops[op].min_in, 1),
             y = xg_nodep(g, n)->out[0];
    xg_tensor_rename(g, y, "y");
    xg_tensorp(g, y)->dtype = XG_I8;
    if (sy > 0) xg_tensorp(g, y)->quant = xg_quant_scalar(t->a, sy, 7);
    xg_graph_add_output(g, y);
    return g;
}

static void float_definitions_of_integer_operators_are_spelled_out(void **state) {
    xg_test *t = *state;
    static const xg_op ops[] = {XG_OP_Sub,       XG_OP_Min, XG_OP_Max, XG_OP_Sigmoid,
                                XG_OP_HardSwish, XG_OP_Elu, XG_OP_Abs};
    for (size_t i = 0; i < XG_COUNT(ops); i++) {
        xg_graph *g = one_node(t, ops[i], 0.07f, 3, 5, 4);
        assert_ok(t->c, xg_graph_infer(t->c, g));
        xg_buf onnx = {.arena = t->a};
        assert_ok(t->c, xg_export_qoperator(t->c, g, false, &onnx));
        assert_int_equal(compare_runs(t, g, import_bytes(t, &onnx), 3), 1);
    }
}

static void clamps_and_movement_survive(void **state) {
    xg_test *t = *state;
    xg_graph *g = one_node(t, XG_OP_Clip, 0, 3, 4, 5);
    xg_set_ai(xg_nodep(g, 0), XG_ATTR_lo, -20);
    xg_set_ai(xg_nodep(g, 0), XG_ATTR_hi, 33);
    assert_ok(t->c, xg_graph_infer(t->c, g));
    xg_buf onnx = {.arena = t->a};
    assert_ok(t->c, xg_export_qoperator(t->c, g, true, &onnx));
    compare_runs(t, g, import_bytes(t, &onnx), 5);

    g = one_node(t, XG_OP_Slice, 0, 5, 4, 3);
    static const int64_t starts[4] = {0, 4, 0, 2}, steps[4] = {1, -2, 2, -1},
                         shape[4] = {1, 3, 2, 3};
    xg_set_ais(g, xg_nodep(g, 0), XG_ATTR_starts, starts, 4);
    xg_set_ais(g, xg_nodep(g, 0), XG_ATTR_steps, steps, 4);
    xg_set_ais(g, xg_nodep(g, 0), XG_ATTR_shape, shape, 4);
    assert_ok(t->c, xg_graph_infer(t->c, g));
    onnx = (xg_buf){.arena = t->a};
    assert_ok(t->c, xg_export_qoperator(t->c, g, true, &onnx));
    compare_runs(t, g, import_bytes(t, &onnx), 6);
}

static void what_has_no_counterpart_is_refused_by_name(void **state) {
    xg_test *t = *state;
    xg_graph *g = one_node(t, XG_OP_AvgPool, 0.1f, 6, 6, 2);
    xg_window w = {.kh = 2, .kw = 2, .sh = 1, .sw = 1, .dh = 2, .dw = 2};
    xg_set_window(xg_nodep(g, 0), &w);
    assert_ok(t->c, xg_graph_infer(t->c, g));
    xg_buf onnx = {.arena = t->a};
    assert_status(t->c, xg_export_qoperator(t->c, g, false, &onnx), XG_UNSUPPORTED);
    assert_said(t->c, "node 'node' (AvgPool)");
    assert_int_equal(onnx.n, 0);
}

static void the_same_graph_gives_the_same_bytes(void **state) {
    xg_test *t = *state;
    xg_rqrec r = ort_record();
    xg_buf a = {.arena = t->a}, b = {.arena = t->a};
    assert_ok(t->c, xg_export_qoperator(t->c, compacted(t, random_net(t->a, &r, 3, 8)), true, &a));
    assert_ok(t->c, xg_export_qoperator(t->c, compacted(t, random_net(t->a, &r, 3, 8)), true, &b));
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
}

static xg_status export_scenario(void *arg) {
    xg_test_case *k = arg;
    xg_rqrec r;
    if (!xg_rqrec_profile("ort", &r)) return XG_INTERNAL;
    xg_graph *g = random_net(k->a, &r, 3, 6);
    xg_buf onnx = {.arena = k->a};
    return xg_export_qoperator(k->c, g, true, &onnx);
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    assert_true(xg_test_nomem(export_scenario, NULL, 3) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_random_network_comes_back_equal),
        TEST(float_definitions_of_integer_operators_are_spelled_out),
        TEST(clamps_and_movement_survive),
        TEST(what_has_no_counterpart_is_refused_by_name),
        TEST(the_same_graph_gives_the_same_bytes),
        TEST(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
