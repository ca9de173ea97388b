/* The canonical form: every pass keeps the outputs, spellings meet, quantised models become
 * integer. */
#include "xgraph/import.h"

#include "float_net.h"
#include "xg_test.h"

#include <math.h>

static const xg_import_options options = {.external_data = true};

static const char *data(xg_arena *a, const char *name) {
    return xg_strf(a, "%s/tests/data/%s.onnx", XGC_SOURCE_DIR, name);
}

static double element(const xg_tensor *t, const void *p, int64_t i) {
    switch (t->dtype) {
    case XG_F32:
        return (double)((const float *)p)[i];
    case XG_I8:
        return ((const int8_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

/* ---- equal outputs after each pass ---- */

typedef struct watch {
    xg_test *t;
    const xg_graph *first; /* as imported */
    xg_values *values;     /* its run */
    double tolerance;      /* of the outputs' relative Euclidean distance */
    uint32_t passes;
} watch;

static void copy_inputs(xg_values *to, xg_values *from) {
    assert_int_equal(to->graph->input.n, from->graph->input.n);
    for (uint32_t i = 0; i < to->graph->input.n; i++) {
        uint32_t a = to->graph->input.v[i], b = from->graph->input.v[i];
        const xg_tensor *x = &to->graph->tensor.v[a], *y = &from->graph->tensor.v[b];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        memcpy(xg_values_get(to, a), xg_values_get(from, b),
               (size_t)xg_tensor_elems(x) * xg_dtype_bytes(x->dtype));
    }
}

static double distance(const xg_tensor *t, const void *a, const void *b) {
    double d = 0, r = 0;
    for (int64_t i = 0, n = xg_tensor_elems(t); i < n; i++) {
        double x = element(t, a, i), y = element(t, b, i);
        d += (x - y) * (x - y);
        r += y * y;
    }
    return r > 0 ? sqrt(d / r) : sqrt(d);
}

static double largest(const xg_tensor *t, const void *a, const void *b) {
    double d = 0;
    for (int64_t i = 0, n = xg_tensor_elems(t); i < n; i++)
        d = fmax(d, fabs(element(t, a, i) - element(t, b, i)));
    return d;
}

/* One step of a quantised output: sums in float and in integers may fall to two sides of a tie. */
static double step_of(const xg_graph *g, uint32_t tensor) {
    const xg_tensor *t = &g->tensor.v[tensor];
    if (t->quant) return 1;
    const xg_node *n = &g->node.v[t->producer];
    return n->op == XG_OP_Dequantize ? (double)xg_in(g, n, 0)->quant->scale[0] * 1.0001 : 0;
}

static xg_status compare_outputs(void *arg, const char *pass, const xg_graph *g) {
    watch *w = arg;
    xg_arena *a = xg_arena_new(w->t->c);
    xg_values v;
    xg_values_init(&v, g, a);
    copy_inputs(&v, w->values);
    assert_ok(w->t->c, xg_interp_run(w->t->c, &v, NULL));
    assert_int_equal(g->output.n, w->first->output.n);
    for (uint32_t i = 0; i < g->output.n; i++) {
        const xg_tensor *x = &g->tensor.v[g->output.v[i]],
                        *y = &w->first->tensor.v[w->first->output.v[i]];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->rank, y->rank);
        assert_memory_equal(x->dim, y->dim, x->rank * sizeof *x->dim);
        const void *got = xg_values_get(&v, g->output.v[i]),
                   *want = xg_values_get(w->values, w->first->output.v[i]);
        double d = distance(x, got, want);
        bool ok =
            d <= w->tolerance || largest(x, got, want) <= step_of(w->first, w->first->output.v[i]);
        if (!ok) print_message("pass %s: output '%s' is off by %g\n", pass, x->name, d);
        assert_true(ok);
    }
    w->passes++;
    xg_arena_free(a);
    return XG_OK;
}

/* At least one output has two different values: a comparison of constants would prove nothing. */
static bool outputs_vary(const xg_graph *g, xg_values *v) {
    for (uint32_t i = 0; i < g->output.n; i++) {
        const xg_tensor *t = &g->tensor.v[g->output.v[i]];
        const void *p = xg_values_get(v, g->output.v[i]);
        for (int64_t k = 1, n = xg_tensor_elems(t); k < n; k++)
            if (element(t, p, k) != element(t, p, 0)) return true;
    }
    return false;
}

static xg_graph *canonical_checked(xg_test *t, const char *path, double tolerance, uint64_t seed) {
    xg_graph *g;
    xg_values v;
    assert_ok(t->c, xg_import_onnx(t->a, path, &options, &g));
    xg_values_init(&v, g, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &v, "random", seed));
    assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
    watch w = {.t = t, .first = g, .values = &v, .tolerance = tolerance};
    if (!outputs_vary(g, &v)) print_message("%s: all outputs are equal\n", path);
    assert_true(outputs_vary(g, &v));
    assert_ok(t->c, xg_canonicalise(t->a, &g, compare_outputs, &w));
    uint32_t rows = 0;
    while (xg_passes[rows].name) rows++;
    assert_int_equal(w.passes, rows);
    return g;
}

/* ---- structure ---- */

static uint32_t count_op(const xg_graph *g, xg_op op) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->node.n; i++) n += g->node.v[i].op == op;
    return n;
}

static const xg_node *find(const xg_graph *g, xg_op op, uint32_t number) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (g->node.v[i].op == op && number-- == 0) return &g->node.v[i];
    fail_msg("no such %s", xg_ops[op].name);
    return NULL;
}

static bool is_border(const xg_node *n) {
    return n->op == XG_OP_Quantize || n->op == XG_OP_Dequantize || n->op == XG_OP_Requantize;
}

/* All convolutions, pools and element-wise operators are i8 on four axes; u8 appears at the borders
 * only. */
static void assert_integer_form(const xg_graph *g) {
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = &g->node.v[i];
        const xg_tensor *y = xg_out(g, n, 0);
        assert_int_not_equal(n->op, XG_OP_MatMul);
        assert_int_not_equal(n->op, XG_OP_BatchNorm);
        if (n->op == XG_OP_Conv) assert_int_equal(y->dtype, XG_I8);
        if (y->dtype == XG_U8) assert_true(y->is_output && n->op == XG_OP_Requantize);
        bool moves = n->op == XG_OP_Reshape || n->op == XG_OP_Transpose;
        if (y->dtype != XG_I8 || moves || n->op == XG_OP_Softmax || is_border(n)) continue;
        if (y->rank != 4) print_message("node '%s' (%s)\n", n->name, xg_ops[n->op].name);
        assert_int_equal(y->rank, 4);
        for (uint32_t k = 0; k < n->nin; k++) {
            const xg_tensor *x = xg_in(g, n, k);
            if (n->op == XG_OP_Gather && k == 1) continue; /* indices */
            if (x && x->data && n->op == XG_OP_Conv && k == 2)
                assert_int_equal(x->dtype, XG_I32);
            else if (x)
                assert_int_equal(x->dtype, XG_I8);
        }
    }
}

/* ---- the tests ---- */

static void float_models(void **state) {
    xg_test *t = *state;
    const char *names[] = {"shapes",   "conv1d",      "se_nhwc",          "half",
                           "external", "payload_raw", "read_otherwise_u8"};
    for (size_t i = 0; i < XG_COUNT(names); i++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            canonical_checked(*state, data(t->a, names[i]), 2e-6, seed);
}

static void quantised_models(void **state) {
    xg_test *t = *state;
    const char *names[] = {"qdq_net", "qdq_i8", "qdq_dense", "qdq_shuffle", "qoperator"};
    for (size_t i = 0; i < XG_COUNT(names); i++)
        for (uint64_t seed = 1; seed <= 5; seed++)
            assert_integer_form(canonical_checked(t, data(t->a, names[i]), 0.02, seed));
}

/* The sequence of operators with their window sizes: what must be equal between spellings. */
static const char *form(xg_test *t, const xg_graph *g) {
    xg_buf b = {.arena = t->a};
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = &g->node.v[i];
        xg_putf(&b, " %s", xg_ops[n->op].name);
        if (n->op == XG_OP_Conv || n->op == XG_OP_AvgPool) {
            xg_window w = xg_node_window(n);
            xg_putf(&b, "(%dx%d+%d,%d,%d,%d,in%u)", w.kh, w.kw, w.pt, w.pl, w.pb, w.pr, n->nin);
        }
        if (n->op == XG_OP_Clip)
            xg_putf(&b, "(%g..%g)", (double)xg_af(n, XG_ATTR_min), (double)xg_af(n, XG_ATTR_max));
    }
    return b.p;
}

/* Same operators, and same outputs for the same input. */
static void spellings_meet(xg_test *t, const char *const *names, size_t n, const char *want) {
    xg_values first;
    for (size_t i = 0; i < n; i++) {
        xg_graph *g = canonical_checked(t, data(t->a, names[i]), 2e-6, 11);
        if (strcmp(form(t, g), want) != 0) print_message("%s\n", names[i]);
        assert_string_equal(form(t, g), want);
        xg_values v;
        xg_values_init(&v, g, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &v, "random", 5));
        assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
        if (i == 0) first = v;
        const xg_tensor *y = &g->tensor.v[g->output.v[0]];
        double d = distance(y, xg_values_get(&v, g->output.v[0]),
                            xg_values_get(&first, first.graph->output.v[0]));
        assert_true(d < 2e-6);
    }
}

static void spelling_does_not_matter(void **state) {
    static const char *const dense[] = {"same_dense_conv", "same_dense_gemm",
                                        "same_dense_gemm_scaled", "same_dense_matmul"};
    static const char *const relu6[] = {"same_relu6_attr", "same_relu6_input", "same_relu6_minmax",
                                        "same_relu6_relu_min"};
    static const char *const hswish[] = {"same_hswish_op", "same_hswish_div_last",
                                         "same_hswish_mul_gate", "same_hswish_hsigmoid"};
    static const char *const norm[] = {"same_norm_folded", "same_norm_batchnorm",
                                       "same_norm_mul_add"};
    static const char *const mean[] = {"same_mean_global", "same_mean_reduce", "same_mean_average"};
    spellings_meet(*state, dense, XG_COUNT(dense),
                   " Transpose Conv(1x1+0,0,0,0,in2) Conv(4x4+0,0,0,0,in3) Reshape");
    spellings_meet(*state, relu6, XG_COUNT(relu6),
                   " Transpose Conv(1x1+0,0,0,0,in2) Clip(0..6) Transpose");
    spellings_meet(*state, hswish, XG_COUNT(hswish),
                   " Transpose Conv(1x1+0,0,0,0,in2) HardSwish Transpose");
    spellings_meet(*state, norm, XG_COUNT(norm), " Transpose Conv(3x3+1,1,1,1,in3) Transpose");
    spellings_meet(*state, mean, XG_COUNT(mean),
                   " Transpose Conv(3x3+0,0,0,0,in2) AvgPool(4x4+0,0,0,0,in1) Reshape");
}

static xg_graph *canonical(xg_test *t, const char *name) {
    xg_graph *g;
    assert_ok(t->c, xg_import_onnx(t->a, data(t->a, name), &options, &g));
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    return g;
}

static void a_qdq_net_in_detail(void **state) {
    xg_graph *g = canonical(*state, "qdq_net");
    assert_int_equal(count_op(g, XG_OP_Conv), 3);
    assert_int_equal(count_op(g, XG_OP_Add), 1);
    assert_int_equal(count_op(g, XG_OP_Concat), 1);
    assert_int_equal(count_op(g, XG_OP_Lut), 1);
    assert_int_equal(count_op(g, XG_OP_Clip), 0);
    assert_int_equal(count_op(g, XG_OP_Transpose), 1);
    const xg_node *c = find(g, XG_OP_Conv, 0);
    assert_string_equal(c->name, "n_c1");
    assert_string_equal(c->onnx, "n_c1+n_r1");
    assert_string_equal(xg_out(g, c, 0)->onnx, "a1_q");
    const xg_tensor *w = xg_in(g, c, 1), *b = xg_in(g, c, 2);
    assert_int_equal(w->dim[3], 3);
    assert_int_equal(w->quant->axis, 0);
    assert_int_equal(b->quant->n, 8);
    for (uint32_t i = 0; i < 8; i++) assert_true(b->quant->scale[i] == 0.02f * w->quant->scale[i]);
    assert_int_equal(xg_in(g, c, 0)->quant->zp[0], 120 - 128);
    /* The dense layer takes the map as it lies: no transpose, no reshape before it. */
    const xg_node *d = find(g, XG_OP_Conv, 2);
    assert_int_equal(xg_ai(d, XG_ATTR_kernel_h), 6);
    assert_int_equal(g->node.v[xg_in(g, d, 0)->producer].op, XG_OP_Lut);
}

static void activations_become_bounds(void **state) {
    xg_graph *g = canonical(*state, "qdq_i8");
    const xg_node *c = find(g, XG_OP_Conv, 0);
    assert_true(xg_ai(c, XG_ATTR_lo) <= -128);         /* Q(0) is the type's minimum: no bound */
    assert_int_equal(xg_ai(c, XG_ATTR_hi), 200 - 128); /* Q(6) at scale 0.03 */
    assert_int_equal(xg_in(g, c, 1)->quant->zp[0], 131 - 128);
    assert_int_equal(g->log.n, 2); /* two biases in other scales */
    assert_non_null(strstr(g->log.v[0], "bias"));
}

/* A clip that follows a quantised product of its own goes into the product's bounds. */
static void a_shuffle_net_in_detail(void **state) {
    xg_graph *g = canonical(*state, "qdq_shuffle");
    assert_int_equal(count_op(g, XG_OP_ReduceMean), 0);
    assert_int_equal(count_op(g, XG_OP_AvgPool), 1);
    assert_int_equal(count_op(g, XG_OP_Gather), 0);
    assert_int_equal(count_op(g, XG_OP_Transpose), 1); /* of the graph input */
    assert_int_equal(xg_ai(find(g, XG_OP_Conv, 0), XG_ATTR_kernel_h), 1);
    assert_int_equal(count_op(g, XG_OP_Clip), 0);
    assert_int_equal(g->log.n, 0);
    const xg_node *m = find(g, XG_OP_Mul, 0);
    assert_int_equal(xg_ai(m, XG_ATTR_lo), -24); /* rne(-1 / 0.041) */
    assert_int_equal(xg_ai(m, XG_ATTR_hi), 49);  /* rne(2 / 0.041) */
    assert_string_equal(m->onnx, "n_o+n_clip");
}

/* A quantised square is QLinearMul of one tensor with itself, which rounds as such; no table. */
static void a_square_is_a_product(void **state) {
    xg_test *t = *state;
    static const char text[] = "graph \"square\" format=1\n"
                               "tensor \"x\" i8 [1,1,1,4] scale=0x1p-4 zp=3\n"
                               "tensor \"dq\" f32 [1,1,1,4]\n"
                               "tensor \"f\" f32 [1,1,1,4]\n"
                               "tensor \"y\" i8 [1,1,1,4] scale=0x1p-2 zp=-1\n"
                               "input \"x\"\n"
                               "node Dequantize \"n_dq\" in=[\"x\"] out=[\"dq\"]\n"
                               "node Mul \"n_f\" in=[\"dq\",\"dq\"] out=[\"f\"]\n"
                               "node Quantize \"n_y\" in=[\"f\"] out=[\"y\"]\n"
                               "output \"y\"\n";
    xg_graph *g;
    assert_ok(t->c, xg_graph_parse(t->a, "square.xg", text, sizeof text - 1, &g));
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    assert_int_equal(g->node.n, 1);
    assert_int_equal(g->node.v[0].op, XG_OP_Mul);
    assert_int_equal(g->node.v[0].in[0], g->node.v[0].in[1]);
}

static uint32_t list_node(maker *m, xg_op op, uint32_t x, xg_attr_id id, const int64_t *v,
                          uint32_t n) {
    uint32_t y = add(m, op, xg_ops[op].name, x, XG_NONE);
    xg_set_ais(m->g, node_of(m, y), id, v, n);
    return y;
}

/* A transposed convolution is a Conv whose channels become pixels; a BatchNorm behind it goes into
 * the Conv all the same. */
static void a_scale_behind_a_transposed_convolution_folds(void **state) {
    xg_test *t = *state;
    maker m = {t->a, xg_graph_new(t->a, "deconv"), 21};
    uint32_t x = float_input(&m, "x", 3, 5, 4), y = conv(&m, "c", x, 4, 12, 1, 0.5f);
    y = list_node(&m, XG_OP_Reshape, y, XG_ATTR_shape, (int64_t[]){1, 3, 5, 2, 2, 3}, 6);
    y = list_node(&m, XG_OP_Transpose, y, XG_ATTR_perm, (int64_t[]){0, 1, 3, 2, 4, 5}, 6);
    y = list_node(&m, XG_OP_Reshape, y, XG_ATTR_shape, (int64_t[]){1, 6, 10, 3}, 4);
    const int64_t three = 3;
    const float variance[] = {0.5f, 1, 4};
    uint32_t in[5] = {y};
    for (int k = 1; k < 5; k++)
        in[k] = xg_graph_add_const(m.g, xg_strf(t->a, "bn%d", k), XG_F32, 1, &three,
                                   k == 4 ? variance : floats(&m, 3, 2), NULL);
    uint32_t bn = xg_graph_add_node(m.g, XG_OP_BatchNorm, "bn", in, 5, 1);
    y = clip(&m, "relu", xg_nodep(m.g, bn)->out[0], 0, INFINITY);
    xg_tensor_rename(m.g, y, "y");
    xg_graph_add_output(m.g, y);
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    xg_graph *g = m.g;
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    assert_int_equal(count_op(g, XG_OP_Conv), 1);
    assert_int_equal(count_op(g, XG_OP_BatchNorm), 0);
    xg_values before, after;
    xg_values_init(&before, m.g, t->a);
    xg_values_init(&after, g, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &before, "random", 5));
    copy_inputs(&after, &before);
    assert_ok(t->c, xg_interp_run(t->c, &before, NULL));
    assert_ok(t->c, xg_interp_run(t->c, &after, NULL));
    uint32_t a = m.g->output.v[0], b = g->output.v[0];
    assert_true(outputs_vary(m.g, &before));
    assert_true(largest(xg_tensorp(m.g, a), before.v[a], after.v[b]) < 1e-5);
}

/* Every s-th row and column, joined in a random order, then a convolution: in float, and once more
 * after quantising, where every integer is the same. */
static xg_graph *phases_net(xg_test *t, uint64_t seed, uint32_t sh, uint32_t sw) {
    maker m = {t->a, xg_graph_new(t->a, "phases"), seed};
    int64_t h = sh * (3 + (int64_t)(xg_random(&m.seed) % 4)), w = sw * 5, c = 3;
    uint32_t x = conv(&m, "first", float_input(&m, "x", h, w, c), c, c, 1, 0.5f), phase[4],
             n = sh * sw;
    for (uint32_t i = 0; i < n; i++) {
        int64_t start[4] = {0, i / sw, i % sw, 0}, step[4] = {1, sh, sw, 1},
                dim[4] = {1, h / sh, w / sw, c};
        phase[i] = list_node(&m, XG_OP_Slice, x, XG_ATTR_starts, start, 4);
        const xg_node *s = node_of(&m, phase[i]);
        xg_set_ais(m.g, s, XG_ATTR_steps, step, 4);
        xg_set_ais(m.g, s, XG_ATTR_shape, dim, 4);
    }
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t k = (uint32_t)(xg_random(&m.seed) % (i + 1)), was = phase[i];
        phase[i] = phase[k], phase[k] = was;
    }
    uint32_t join = xg_graph_add_node(m.g, XG_OP_Concat, "join", phase, n, 1);
    xg_set_ai(xg_nodep(m.g, join), XG_ATTR_axis, 3);
    uint32_t y = conv(&m, "conv", xg_nodep(m.g, join)->out[0], c * n, 5, 3, 0.3f);
    xg_window v = {.kh = 3,
                   .kw = 3,
                   .sh = 1 + (int32_t)(seed % 2),
                   .sw = 1,
                   .dh = 1,
                   .dw = 1,
                   .pt = 1,
                   .pr = 2};
    xg_set_window(node_of(&m, y), &v);
    xg_tensor_rename(m.g, y, "y");
    xg_graph_add_output(m.g, y);
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    return m.g;
}

static double changed_by_canonical_form(xg_test *t, xg_graph *g, const xg_rqrec *r,
                                        xg_graph **out) {
    xg_values before, after;
    *out = g;
    assert_ok(t->c, xg_canonicalise(t->a, out, NULL, NULL));
    xg_values_init(&before, g, t->a);
    xg_values_init(&after, *out, t->a);
    assert_ok(t->c, xg_values_fill(t->c, &before, "random", 5));
    copy_inputs(&after, &before);
    assert_ok(t->c, xg_interp_run(t->c, &before, r));
    assert_ok(t->c, xg_interp_run(t->c, &after, r));
    assert_true(outputs_vary(g, &before));
    uint32_t a = g->output.v[0], b = (*out)->output.v[0];
    return largest(xg_tensorp(g, a), before.v[a], after.v[b]);
}

static void phases_side_by_side_become_strides(void **state) {
    xg_test *t = *state;
    xg_rqrec r;
    assert_true(xg_rqrec_profile("ort", &r));
    static const uint32_t steps[3][2] = {{2, 2}, {1, 2}, {2, 1}};
    for (uint64_t seed = 0; seed < 12; seed++) {
        xg_graph *g = phases_net(t, seed, steps[seed % 3][0], steps[seed % 3][1]), *f, *q = g,
                 *again;
        assert_true(changed_by_canonical_form(t, g, NULL, &f) < 1e-5);
        assert_int_equal(count_op(f, XG_OP_Concat), 0);
        xg_values v, *one = &v;
        xg_calibration ranges;
        xg_values_init(&v, g, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &v, "random", 1));
        assert_ok(t->c, xg_calibrate(t->a, g, &one, 1, &ranges));
        assert_ok(t->c, xg_quantise(t->a, &q, &ranges, &r, NULL));
        assert_int_equal(count_op(q, XG_OP_Concat), 1);
        assert_true(changed_by_canonical_form(t, q, &r, &again) == 0);
        assert_int_equal(count_op(again, XG_OP_Concat), 0);
        assert_ok(t->c, xg_graph_compact(t->c, phases_net(t, seed, 2, 2), t->a, &f));
        xg_canonical_options small = {.kernel_max = 5, .stride_max = 8};
        assert_ok(t->c, xg_canonicalise_with(t->a, &f, &small));
        assert_int_equal(count_op(f, XG_OP_Concat), 1); /* a kernel of 6 is too large there */
    }
}

/* silu(x) at scale 0.1, zero point 5, then hard-swish of its rounding: one table, computed here in
 * another way. */
static void tables_hold_the_functions(void **state) {
    xg_graph *g = canonical(*state, "qdq_i8");
    const xg_node *l = find(g, XG_OP_Lut, 0);
    const int8_t *table = xg_in(g, l, 1)->data;
    assert_int_equal(count_op(g, XG_OP_Lut), 1);
    for (int q = -128; q < 128; q++) {
        float x = (float)(q - 5) * 0.1f;
        float s = (float)((double)x * (double)(float)(1 / (1 + exp(-(double)x))));
        float qs = fminf(fmaxf(rintf(s / 0.06f), -28), 227);
        float m = qs * 0.06f, gate = fminf(fmaxf(m / 6 + 0.5f, 0), 1);
        float want = fminf(fmaxf(rintf(m * gate / 0.05f) - 110, -128), 127);
        assert_true(fabsf((float)table[q + 128] - want) <=
                    1); /* this formula rounds in other places */
    }
}

static void unsigned_borders_stay(void **state) {
    xg_graph *g = canonical(*state, "qoperator");
    assert_int_equal(g->tensor.v[g->input.v[0]].dtype, XG_U8);
    assert_int_equal(g->tensor.v[g->output.v[0]].dtype, XG_U8);
    assert_int_equal(count_op(g, XG_OP_Requantize), 2);
    const xg_node *a = find(g, XG_OP_Add, 1);
    const xg_tensor *k = xg_in(g, a, 1);
    const int64_t want[4] = {1, 1, 1, 7};
    assert_non_null(k->data);
    assert_int_equal(k->rank, 4);
    assert_memory_equal(k->dim, want, sizeof want);
}

static const char *text_of(xg_test *t, const xg_graph *g) {
    xg_buf b = {.arena = t->a};
    xg_graph_print(g, true, &b);
    return b.p;
}

/* Canonical form is a fixed point, and the same every time. */
static void canonical_is_canonical(void **state) {
    xg_test *t = *state;
    const char *names[] = {"qdq_net", "qdq_i8", "qoperator",          "conv1d",
                           "se_nhwc", "shapes", "same_norm_batchnorm"};
    for (size_t i = 0; i < XG_COUNT(names); i++) {
        xg_graph *a = canonical(t, names[i]), *b = canonical(t, names[i]);
        const char *text = text_of(t, a);
        assert_string_equal(text, text_of(t, b));
        assert_ok(t->c, xg_canonicalise(t->a, &b, NULL, NULL));
        assert_string_equal(form(t, a), form(t, b));
    }
}

/* Real models, where they are. Small ones run through the interpreter after each pass. */
static void real_model(void **state, const char *name, double tolerance) {
    xg_test *t = *state;
    const char *path = xg_test_model(t->a, xg_strf(t->a, "%s/model.onnx", name));
    xg_graph *g;
    if (tolerance > 0)
        g = canonical_checked(t, path, tolerance, 3);
    else {
        assert_ok(t->c, xg_import_onnx(t->a, path, &options, &g));
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    }
    assert_integer_form(g);
}

#define REAL(name, tolerance)                                                                      \
    static void real_##name(void **state) {                                                        \
        real_model(state, #name, tolerance);                                                       \
    }
REAL(micro_kws_m_qdq, 0.1)
REAL(micro_kws_m_qop, 0.1)
REAL(tfl_mlperf_ic_int8, 0.1)
REAL(tfl_mlperf_kws_int8, 0.1)
REAL(tfl_mlperf_ad_int8, 0.1)
REAL(tfl_mlperf_vww_int8, 0.1)
REAL(tfl_person_detect, 0.1)
REAL(mobilenetv2_aihub_qdq, 0)
REAL(mobilenetv2_12_int8, 0)
REAL(tfl_mobilenetv1_025_128, 0)

/* Quantised for a result of another scale: rounding does not turn an order round, so the larger of
 * two can be found behind it, to the last bit. */
static void extremes_of_integers(void **state) {
    xg_test *t = *state;
    static const char *const op[] = {"Max", "Min"};
    for (int i = 0; i < 2; i++) {
        xg_buf b = {.arena = t->a};
        xg_puts(&b, "graph \"m\" format=1\n");
        for (const char *x = "ab"; *x; x++)
            xg_putf(&b, "tensor \"%c\" i8 [2,3,5,4] scale=%s zp=%d\ninput \"%c\"\n", *x,
                    *x == 'a' ? "0x1.8p-4" : "0x1.2p-3", *x == 'a' ? 3 : -7, *x);
        xg_putf(
            &b,
            "tensor \"p\" f32 [2,3,5,4]\ntensor \"q\" f32 [2,3,5,4]\ntensor \"r\" f32 [2,3,5,4]\n"
            "tensor \"y\" i8 [2,3,5,4] scale=0x1.cp-4 zp=11\n"
            "node Dequantize \"da\" in=[\"a\"] out=[\"p\"]\n"
            "node Dequantize \"db\" in=[\"b\"] out=[\"q\"]\n"
            "node %s \"m\" in=[\"p\",\"q\"] out=[\"r\"]\n"
            "node Quantize \"qy\" in=[\"r\"] out=[\"y\"]\noutput \"y\"\n",
            op[i]);
        xg_graph *raw, *g;
        assert_ok(t->c, xg_graph_parse(t->a, "m.xg", b.p, b.n, &raw));
        assert_ok(t->c, xg_graph_parse(t->a, "m.xg", b.p, b.n, &g));
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        assert_int_equal(count_op(g, XG_OP_MaxPool), 1);
        assert_int_equal(count_op(g, XG_OP_Max) + count_op(g, XG_OP_Min), 0);
        xg_values v, w;
        xg_values_init(&v, raw, t->a);
        xg_values_init(&w, g, t->a);
        assert_ok(t->c, xg_values_fill(t->c, &v, "random", 5));
        assert_ok(t->c, xg_values_fill(t->c, &w, "random", 5));
        assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
        assert_ok(t->c, xg_interp_run(t->c, &w, NULL));
        assert_memory_equal(v.v[raw->output.v[0]], w.v[g->output.v[0]], 2 * 3 * 5 * 4);
    }
}

/* A fragment whose last Add is a float output in the model itself: its convolutions are integer all
 * the same. */
static void real_mbedgetpu_block(void **state) {
    xg_test *t = *state;
    const char *path = xg_test_model(t->a, "mbedgetpu_block_qdq/model.onnx");
    xg_graph *g;
    assert_ok(t->c, xg_import_onnx(t->a, path, &options, &g));
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    assert_integer_form(g);
    assert_int_equal(count_op(g, XG_OP_Conv), 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(float_models),
        TEST(quantised_models),
        TEST(spelling_does_not_matter),
        TEST(a_qdq_net_in_detail),
        TEST(a_square_is_a_product),
        TEST(a_scale_behind_a_transposed_convolution_folds),
        TEST(phases_side_by_side_become_strides),
        TEST(activations_become_bounds),
        TEST(a_shuffle_net_in_detail),
        TEST(tables_hold_the_functions),
        TEST(unsigned_borders_stay),
        TEST(extremes_of_integers),
        TEST(canonical_is_canonical),
        TEST(real_micro_kws_m_qdq),
        TEST(real_micro_kws_m_qop),
        TEST(real_tfl_mlperf_ic_int8),
        TEST(real_tfl_mlperf_kws_int8),
        TEST(real_tfl_mlperf_ad_int8),
        TEST(real_tfl_mlperf_vww_int8),
        TEST(real_tfl_person_detect),
        TEST(real_mobilenetv2_aihub_qdq),
        TEST(real_mobilenetv2_12_int8),
        TEST(real_tfl_mobilenetv1_025_128),
        TEST(real_mbedgetpu_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
