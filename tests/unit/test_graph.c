/* Building, attributes, uses, replacement, compaction, inference, verification of graphs. */
#include "graph_samples.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

typedef struct fixture {
    xg_ctx *c;
    xg_arena *a;
    xg_graph *g;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->c = xg_ctx_new();
    f->a = xg_arena_new(f->c);
    f->g = xg_graph_new(f->a, "g");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    xg_ctx_free(f->c);
    free(f);
    return 0;
}

/* ---- helpers
 * -------------------------------------------------------------------------------------------- */

static uint32_t add(fixture *f, const char *name, xg_dtype t, uint8_t rank, const int64_t *dim) {
    xg_tensor x = {.name = name, .dtype = t, .rank = rank, .producer = XG_NONE};
    memcpy(x.dim, dim, rank * sizeof *dim);
    return xg_graph_add_tensor(f->g, &x);
}

static uint32_t input(fixture *f, const char *name, xg_dtype t, uint8_t rank, const int64_t *dim) {
    uint32_t i = add(f, name, t, rank, dim);
    xg_graph_add_input(f->g, i);
    return i;
}

static uint32_t unary(fixture *f, xg_op op, uint32_t in) {
    return xg_graph_add_node(f->g, op, NULL, &in, 1, 1);
}

static xg_node *node(fixture *f, uint32_t n) {
    return &f->g->node.v[n];
}

static uint32_t out_of(fixture *f, uint32_t n) {
    return f->g->node.v[n].out[0];
}

static const char *last_diag(fixture *f) {
    size_t n = xg_diag_count(f->c);
    return n ? xg_diag_at(f->c, n - 1)->text : "";
}

static void expect_shape(fixture *f, uint32_t n, uint8_t rank, const int64_t *dim) {
    assert_int_equal(xg_graph_infer(f->c, f->g), XG_OK);
    const xg_tensor *y = &f->g->tensor.v[out_of(f, n)];
    assert_int_equal(y->rank, rank);
    for (uint32_t i = 0; i < rank; i++) assert_int_equal(y->dim[i], dim[i]);
}

static void expect_refused(fixture *f, xg_status st, const char *part) {
    size_t before = xg_diag_count(f->c);
    assert_int_equal(xg_graph_infer(f->c, f->g), st);
    assert_int_equal(xg_diag_count(f->c), before + 1);
    if (!strstr(last_diag(f), part)) fail_msg("'%s' lacks '%s'", last_diag(f), part);
}

static void expect_bad(fixture *f, const char *part) {
    size_t before = xg_diag_count(f->c);
    assert_int_not_equal(xg_graph_verify(f->c, f->g), XG_OK);
    assert_int_equal(xg_diag_count(f->c), before + 1);
    if (!strstr(last_diag(f), part)) fail_msg("'%s' lacks '%s'", last_diag(f), part);
}

#define SHAPE(...)                                                                                 \
    (uint8_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]) {                                 \
        __VA_ARGS__                                                                                \
    }

/* ---- tables
 * --------------------------------------------------------------------------------------------- */

static void test_tables(void **state) {
    (void)state;
    for (int i = 0; i < XG_OP_COUNT; i++) {
        assert_int_equal(xg_op_by_name(xg_ops[i].name), i);
        assert_true(xg_ops[i].shape != NULL && *xg_ops[i].formula);
        assert_true(xg_ops[i].max_in < 0 || xg_ops[i].min_in <= xg_ops[i].max_in);
        for (int k = 0; k < xg_ops[i].nattr; k++)
            for (int j = 0; j < k; j++) assert_int_not_equal(xg_ops[i].attr[j], xg_ops[i].attr[k]);
    }
    assert_int_equal(xg_op_by_name("Nonsense"), -1);
    assert_int_equal(xg_ops[XG_OP_Exp].nattr, 0);
    assert_int_equal(xg_ops[XG_OP_Conv].nattr, 13);
    assert_string_equal(xg_attrs[xg_ops[XG_OP_Conv].attr[12]].name, "hi");
    for (int i = 0; i < XG_DTYPE_COUNT; i++) {
        xg_dtype t = XG_DTYPE_COUNT;
        assert_true(xg_dtype_parse(xg_dtype_name((xg_dtype)i), &t));
        assert_int_equal(t, i);
    }
    xg_dtype t;
    assert_false(xg_dtype_parse("f64", &t));
}

static void test_attributes(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(1, 8, 8, 4));
    uint32_t n = unary(f, XG_OP_MaxPool, x);
    assert_int_equal(xg_ai(node(f, n), XG_ATTR_stride_h), 1);
    assert_int_equal(xg_ai(node(f, n), XG_ATTR_lo), INT32_MIN);
    assert_true(xg_has_attr(node(f, n), XG_ATTR_hi));
    assert_false(xg_has_attr(node(f, n), XG_ATTR_perm));
    xg_window w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    xg_set_window(node(f, n), &w);
    xg_window back = xg_node_window(node(f, n));
    assert_memory_equal(&w, &back, sizeof w);
    uint32_t clip = unary(f, XG_OP_Clip, x);
    assert_true(xg_af(node(f, clip), XG_ATTR_max) == __builtin_inff());
    xg_set_af(node(f, clip), XG_ATTR_max, 6);
    assert_true(xg_af(node(f, clip), XG_ATTR_max) == 6);
}

/* ---- building
 * ------------------------------------------------------------------------------------------- */

static void test_names_are_made_unique(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 5; i++) input(f, i == 2 ? "x.1" : "x", XG_F32, SHAPE(1));
    static const char *const want[] = {"x", "x.1", "x.1.1", "x.2", "x.3"};
    for (uint32_t i = 0; i < 5; i++) assert_string_equal(f->g->tensor.v[i].name, want[i]);
    uint32_t a = unary(f, XG_OP_Exp, 0), b = unary(f, XG_OP_Exp, 0);
    assert_string_not_equal(node(f, a)->name, node(f, b)->name);
    xg_tensor_rename(f->g, 4, "x");
    assert_string_equal(f->g->tensor.v[4].name, "x.4");
    xg_tensor_rename(f->g, 4, "fresh");
    assert_string_equal(f->g->tensor.v[4].name, "fresh");
}

static void test_uses(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(4));
    uint32_t a = unary(f, XG_OP_Exp, x);
    uint32_t in[2] = {out_of(f, a), out_of(f, a)};
    uint32_t b = xg_graph_add_node(f->g, XG_OP_Add, "b", in, 2, 1);
    uint32_t c = unary(f, XG_OP_Neg, x);
    xg_uses u = xg_graph_uses(f->g, f->a);
    assert_int_equal(u.first[x + 1] - u.first[x], 2);
    assert_int_equal(u.node[u.first[x]], a);
    assert_int_equal(u.node[u.first[x] + 1], c);
    uint32_t t = out_of(f, a);
    assert_int_equal(u.first[t + 1] - u.first[t], 2);
    assert_int_equal(u.node[u.first[t]], b);
    assert_int_equal(u.node[u.first[t] + 1], b);
    assert_int_equal(u.first[out_of(f, b) + 1], u.first[out_of(f, b)]);
}

static void test_replace_keeps_output_names(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(4));
    uint32_t a = unary(f, XG_OP_Exp, x), b = unary(f, XG_OP_Clip, out_of(f, a));
    uint32_t ta = out_of(f, a), tb = out_of(f, b);
    xg_tensor_rename(f->g, tb, "y");
    f->g->tensor.v[tb].onnx = "y";
    xg_graph_add_output(f->g, tb);
    assert_int_equal(xg_graph_infer(f->c, f->g), XG_OK);
    xg_graph_replace(f->g, tb, ta);
    assert_int_equal(f->g->output.v[0], ta);
    assert_string_equal(f->g->tensor.v[ta].name, "y");
    assert_string_equal(f->g->tensor.v[ta].onnx, "y");
    assert_int_equal(xg_graph_verify(f->c, f->g), XG_OK);
    xg_graph_replace(f->g, ta, x); /* an input cannot take the output's name: nodes only */
    assert_int_equal(f->g->output.v[0], ta);
    assert_int_equal(node(f, b)->in[0], x);
    assert_int_equal(xg_graph_verify(f->c, f->g), XG_OK);
}

static void test_compact(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(4)), unused = input(f, "unused", XG_F32, SHAPE(2));
    uint32_t late = add(f, "late", XG_F32, SHAPE(4));
    uint32_t a = unary(f, XG_OP_Exp, late); /* reads what the next node makes */
    xg_graph_add_node_to(f->g, XG_OP_Neg, "neg", &x, 1, &late, 1);
    unary(f, XG_OP_Sqrt, x); /* dead */
    xg_graph_add_output(f->g, out_of(f, a));
    xg_graph *g = NULL;
    xg_arena *other = xg_arena_new(f->c);
    assert_int_equal(xg_graph_compact(f->c, f->g, other, &g), XG_OK);
    xg_arena_free(f->a);
    assert_int_equal(g->node.n, 2);
    assert_int_equal(g->node.v[0].op, XG_OP_Neg);
    assert_int_equal(g->node.v[1].op, XG_OP_Exp);
    assert_int_equal(g->input.n, 2);
    assert_string_equal(g->tensor.v[g->input.v[1]].name, "unused");
    assert_int_equal(g->tensor.n, 4);
    assert_int_equal(xg_graph_infer(f->c, g), XG_OK);
    assert_int_equal(xg_graph_verify(f->c, g), XG_OK);
    (void)unused;
}

static void test_compact_refuses_cycles(void **state) {
    fixture *f = *state;
    uint32_t t = add(f, "t", XG_F32, SHAPE(4));
    uint32_t a = unary(f, XG_OP_Exp, t);
    uint32_t ta = out_of(f, a);
    xg_graph_add_node_to(f->g, XG_OP_Neg, "neg", &ta, 1, &t, 1);
    xg_graph_add_output(f->g, ta);
    xg_graph *g = NULL;
    assert_int_equal(xg_graph_compact(f->c, f->g, f->a, &g), XG_INPUT);
    assert_non_null(strstr(last_diag(f), "cycle"));
}

static void test_compact_keeps_order_and_deep_graphs(void **state) {
    fixture *f = *state;
    uint32_t t = input(f, "x", XG_F32, SHAPE(4)), n = 0;
    for (int i = 0; i < 100000; i++) t = out_of(f, n = unary(f, XG_OP_Neg, t)); /* no recursion */
    xg_graph_add_output(f->g, t);
    xg_graph *g = NULL;
    assert_int_equal(xg_graph_compact(f->c, f->g, f->a, &g), XG_OK);
    assert_int_equal(g->node.n, n + 1);
    for (uint32_t i = 0; i <= n; i++) assert_string_equal(g->node.v[i].name, node(f, i)->name);
}

/* ---- shapes
 * --------------------------------------------------------------------------------------------- */

static uint32_t conv(fixture *f, uint32_t x, const int64_t *w, int64_t group, xg_window k) {
    uint32_t in[2] = {x, input(f, "w", XG_F32, 4, w)};
    uint32_t n = xg_graph_add_node(f->g, XG_OP_Conv, "conv", in, 2, 1);
    xg_set_window(node(f, n), &k);
    xg_set_ai(node(f, n), XG_ATTR_group, group);
    return n;
}

static void test_shape_conv(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(2, 9, 10, 6));
    expect_shape(f,
                 conv(f, x, (int64_t[]){8, 3, 3, 6}, 1, (xg_window){3, 3, 2, 1, 1, 2, 1, 0, 0, 2}),
                 SHAPE(2, 4, 8, 8));
    expect_shape(f,
                 conv(f, x, (int64_t[]){12, 1, 1, 2}, 3, (xg_window){1, 1, 1, 1, 1, 1, 0, 0, 0, 0}),
                 SHAPE(2, 9, 10, 12));
    expect_shape(
        f, conv(f, x, (int64_t[]){1, 9, 10, 6}, 1, (xg_window){9, 10, 1, 1, 1, 1, 0, 0, 0, 0}),
        SHAPE(2, 1, 1, 1));
}

static void test_shape_conv_refused(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(2, 9, 10, 6));
    xg_window one = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0}, bad = one;
    conv(f, x, (int64_t[]){8, 1, 1, 5}, 1, one);
    expect_refused(f, XG_INPUT, "do not match the input");
    f->g->node.n = 0;
    conv(f, x, (int64_t[]){8, 1, 1, 1}, 4, one);
    expect_refused(f, XG_INPUT, "do not match the input");
    f->g->node.n = 0;
    conv(f, x, (int64_t[]){8, 3, 3, 6}, 1, one);
    expect_refused(f, XG_INPUT, "do not match the kernel");
    f->g->node.n = 0;
    bad.sh = 0;
    conv(f, x, (int64_t[]){8, 1, 1, 6}, 1, bad);
    expect_refused(f, XG_INPUT, "stride_h is 0");
    f->g->node.n = 0;
    bad = one;
    bad.kh = 10;
    conv(f, x, (int64_t[]){8, 10, 1, 6}, 1, bad);
    expect_refused(f, XG_INPUT, "does not fit");
    f->g->node.n = 0;
    bad = one;
    bad.pl = bad.pr = bad.pt = bad.pb = 1 << 20;
    conv(f, x, (int64_t[]){8, 1, 1, 6}, 1, bad);
    expect_refused(f, XG_LIMIT, "2^31-1");
    f->g->node.n = 0;
    xg_set_ai(node(f, conv(f, x, (int64_t[]){8, 1, 1, 6}, 1, one)), XG_ATTR_dilation_w, INT64_MAX);
    expect_refused(f, XG_INPUT, "dilation_w");
}

static uint32_t pool(fixture *f, uint32_t x, xg_window k, int64_t ceil_mode) {
    uint32_t n = unary(f, XG_OP_MaxPool, x);
    xg_set_window(node(f, n), &k);
    xg_set_ai(node(f, n), XG_ATTR_ceil_mode, ceil_mode);
    return n;
}

static void test_shape_pool(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(1, 6, 5, 3));
    expect_shape(f, pool(f, x, (xg_window){3, 3, 2, 2, 1, 1, 0, 0, 0, 0}, 0), SHAPE(1, 2, 2, 3));
    expect_shape(f, pool(f, x, (xg_window){3, 3, 2, 2, 1, 1, 0, 0, 0, 0}, 1), SHAPE(1, 3, 2, 3));
    /* ceil would give a third column that starts in the padding behind the input: it does not exist
     */
    expect_shape(f, pool(f, x, (xg_window){1, 2, 1, 4, 1, 1, 0, 1, 0, 1}, 1), SHAPE(1, 6, 2, 3));
    pool(f, x, (xg_window){2, 2, 1, 1, 1, 1, 2, 0, 0, 0}, 0);
    expect_refused(f, XG_INPUT, "padding only");
    f->g->node.n = 0;
    pool(f, x, (xg_window){2, 2, 1, 1, 1, 1, 0, 0, 0, 2}, 0);
    expect_refused(f, XG_INPUT, "padding only");
    f->g->node.n = 0;
    pool(f, x, (xg_window){1, 2, 1, 1, 1, 7, 0, 4, 0, 4}, 0);
    expect_refused(f, XG_UNSUPPORTED, "dilation");
}

/* The closed-form rule against every tap of every window. */
static void test_pool_rule_against_brute_force(void **state) {
    fixture *f = *state;
    for (int in = 1; in <= 5; in++)
        for (int code = 0; code < 4 * 3 * 3 * 5 * 5; code++) {
            int k = 1 + code % 4, s = 1 + code / 4 % 3, d = 1 + code / 12 % 3, b = code / 36 % 5,
                e = code / 180;
            if (k > 1 && d > in) continue;
            f->g = xg_graph_new(f->a, "g");
            uint32_t x = input(f, "x", XG_F32, SHAPE(1, in, 1, 1));
            uint32_t n = pool(f, x, (xg_window){k, 1, s, 1, d, 1, b, 0, e, 0}, 0);
            int span = (k - 1) * d + 1, out = in + b + e >= span ? (in + b + e - span) / s + 1 : 0;
            bool every = out > 0;
            for (int o = 0; o < out; o++) {
                bool any = false;
                for (int i = 0; i < k; i++) any |= o * s - b + i * d >= 0 && o * s - b + i * d < in;
                every &= any;
            }
            assert_int_equal(xg_graph_infer(f->c, f->g) == XG_OK, every);
            if (every) assert_int_equal(f->g->tensor.v[out_of(f, n)].dim[1], out);
        }
}

static uint32_t binary(fixture *f, xg_op op, uint32_t a, uint32_t b) {
    return xg_graph_add_node(f->g, op, NULL, (uint32_t[]){a, b}, 2, 1);
}

static void test_shape_broadcast_and_matmul(void **state) {
    fixture *f = *state;
    uint32_t a = input(f, "a", XG_F32, SHAPE(2, 1, 4, 5)),
             b = input(f, "b", XG_F32, SHAPE(3, 1, 5));
    uint32_t m = input(f, "m", XG_F32, SHAPE(5, 7)), v = input(f, "v", XG_F32, SHAPE(5));
    expect_shape(f, binary(f, XG_OP_Add, a, b), SHAPE(2, 3, 4, 5));
    expect_shape(f, binary(f, XG_OP_Mul, v, a), SHAPE(2, 1, 4, 5));
    expect_shape(f, binary(f, XG_OP_MatMul, a, m), SHAPE(2, 1, 4, 7));
    binary(f, XG_OP_MatMul, a, v);
    expect_refused(f, XG_INPUT, "at least 2 axes");
    f->g->node.n = 0;
    binary(f, XG_OP_MatMul, m, a);
    expect_refused(f, XG_INPUT, "do not fit together");
    f->g->node.n = 0;
    binary(f, XG_OP_Add, a, m);
    expect_refused(f, XG_INPUT, "[2,1,4,5] and [5,7]");
    f->g->node.n = 0;
    uint32_t i = input(f, "i", XG_I8, SHAPE(5));
    binary(f, XG_OP_Add, a, i);
    expect_refused(f, XG_INPUT, "input 1 ('i') is i8, expected f32");
    f->g->node.n = 0;
    unary(f, XG_OP_ReduceSum, i);
    expect_refused(f, XG_INPUT, "expected f32");
}

static void test_shape_reduce(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(2, 3, 4));
    uint32_t n = unary(f, XG_OP_ReduceMean, x);
    expect_shape(f, n, SHAPE(1, 1, 1));
    xg_set_ais(f->g, node(f, n), XG_ATTR_axes, (int64_t[]){0, 2}, 2);
    expect_shape(f, n, SHAPE(1, 3, 1));
    xg_set_ai(node(f, n), XG_ATTR_keepdims, 0);
    expect_shape(f, n, SHAPE(3));
    xg_set_ais(f->g, node(f, n), XG_ATTR_axes, NULL, 0);
    expect_shape(f, n, 0, NULL);
    xg_set_ais(f->g, node(f, n), XG_ATTR_axes, (int64_t[]){1, 1}, 2);
    expect_refused(f, XG_INPUT, "axes[1] is 1");
    xg_set_ais(f->g, node(f, n), XG_ATTR_axes, (int64_t[]){-1}, 1);
    expect_refused(f, XG_INPUT, "axes[0] is -1");
}

static void test_shape_movement(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(2, 3, 4));
    uint32_t n = unary(f, XG_OP_Transpose, x);
    xg_set_ais(f->g, node(f, n), XG_ATTR_perm, (int64_t[]){2, 0, 1}, 3);
    expect_shape(f, n, SHAPE(4, 2, 3));
    n = unary(f, XG_OP_Reshape, x);
    xg_set_ais(f->g, node(f, n), XG_ATTR_shape, (int64_t[]){6, 4}, 2);
    expect_shape(f, n, SHAPE(6, 4));
    n = unary(f, XG_OP_Pad, x);
    xg_set_ais(f->g, node(f, n), XG_ATTR_pads, (int64_t[]){0, 1, 2, 0, 0, 3}, 6);
    expect_shape(f, n, SHAPE(2, 4, 9));
    n = unary(f, XG_OP_Slice, x);
    xg_set_ais(f->g, node(f, n), XG_ATTR_starts, (int64_t[]){1, 2, 0}, 3);
    xg_set_ais(f->g, node(f, n), XG_ATTR_steps, (int64_t[]){1, -1, 3}, 3);
    xg_set_ais(f->g, node(f, n), XG_ATTR_shape, (int64_t[]){1, 3, 2}, 3);
    expect_shape(f, n, SHAPE(1, 3, 2));
    n = xg_graph_add_node(f->g, XG_OP_Concat, NULL, (uint32_t[]){x, x, x}, 3, 1);
    xg_set_ai(node(f, n), XG_ATTR_axis, 1);
    expect_shape(f, n, SHAPE(2, 9, 4));
    static const int64_t index[] = {2, 0};
    uint32_t i = xg_graph_add_const(f->g, "i", XG_I64, SHAPE(1, 2), index, NULL);
    n = binary(f, XG_OP_Gather, x, i);
    xg_set_ai(node(f, n), XG_ATTR_axis, 1);
    expect_shape(f, n, SHAPE(2, 1, 2, 4));
}

static void test_shape_movement_refused(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(2, 3, 4));
    uint32_t n = unary(f, XG_OP_Transpose, x);
    expect_refused(f, XG_INPUT, "perm has 0 values, needs 3");
    xg_set_ais(f->g, node(f, n), XG_ATTR_perm, (int64_t[]){2, 0, 2}, 3);
    expect_refused(f, XG_INPUT, "perm[2]");
    f->g->node.n = 0;
    n = unary(f, XG_OP_Reshape, x);
    xg_set_ais(f->g, node(f, n), XG_ATTR_shape, (int64_t[]){5, 5}, 2);
    expect_refused(f, XG_INPUT, "number of elements");
    xg_set_ais(f->g, node(f, n), XG_ATTR_shape, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 6, 4}, 9);
    expect_refused(f, XG_LIMIT, "9 axes");
    xg_set_ais(f->g, node(f, n), XG_ATTR_shape, (int64_t[]){-24, -1}, 2);
    expect_refused(f, XG_INPUT, "-24");
    f->g->node.n = 0;
    n = unary(f, XG_OP_Slice, x);
    xg_set_ais(f->g, node(f, n), XG_ATTR_starts, (int64_t[]){0, 0, 1}, 3);
    xg_set_ais(f->g, node(f, n), XG_ATTR_steps, (int64_t[]){1, 1, INT64_MAX}, 3);
    xg_set_ais(f->g, node(f, n), XG_ATTR_shape, (int64_t[]){2, 3, 2}, 3);
    expect_refused(f, XG_INPUT, "axis 2");
    f->g->node.n = 0;
    n = unary(f, XG_OP_Pad, x);
    xg_set_ais(f->g, node(f, n), XG_ATTR_pads, (int64_t[]){0, -1, 2, 0, 0, 3}, 6);
    expect_refused(f, XG_INPUT, "axis 1");
    xg_set_ais(f->g, node(f, n), XG_ATTR_pads, (int64_t[]){0, 0, 0, 2, 0, 0}, 6);
    xg_set_ai(node(f, n), XG_ATTR_mode, 1); /* reflection needs more elements than it adds */
    expect_refused(f, XG_INPUT, "axis 0");
    f->g->node.n = 0;
    static const int64_t index[] = {3};
    n = binary(f, XG_OP_Gather, x, xg_graph_add_const(f->g, "i", XG_I64, SHAPE(1), index, NULL));
    xg_set_ai(node(f, n), XG_ATTR_axis, 1);
    expect_refused(f, XG_INPUT, "index[0] is 3");
}

/* ---- types and quants
 * ----------------------------------------------------------------------------------- */

static void test_keep_inherits_quant(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_U8, SHAPE(1, 4, 4, 2));
    f->g->tensor.v[x].quant = xg_quant_scalar(f->a, 0.5f, 128);
    uint32_t n = pool(f, x, (xg_window){2, 2, 2, 2, 1, 1, 0, 0, 0, 0}, 0);
    xg_graph_add_output(f->g, out_of(f, n));
    expect_shape(f, n, SHAPE(1, 2, 2, 2));
    xg_tensor *y = &f->g->tensor.v[out_of(f, n)];
    assert_int_equal(y->dtype, XG_U8);
    assert_true(xg_quant_equal(y->quant, f->g->tensor.v[x].quant));
    assert_int_equal(xg_graph_verify(f->c, f->g), XG_OK);
    y->quant = xg_quant_scalar(f->a, 0.25f, 128);
    expect_bad(f, "keeps scale and zero point");
}

static void test_requant_rule(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_I8, SHAPE(1, 4, 4, 2));
    uint32_t n = binary(f, XG_OP_Add, x, x);
    expect_shape(f, n, SHAPE(1, 4, 4, 2));
    expect_bad(f, "input 0 ('x', i8) has no scale");
    f->g->tensor.v[x].quant = xg_quant_scalar(f->a, 0.5f, 1);
    expect_bad(f, "has not a scale, the inputs have");
    f->g->tensor.v[out_of(f, n)].quant = xg_quant_scalar(f->a, 0.5f, 1);
    assert_int_equal(xg_graph_verify(f->c, f->g), XG_OK);
    f->g->tensor.v[x].quant = xg_quant_new(f->a, 3, 2, (float[]){1, 2}, NULL);
    expect_bad(f, "scales along axis 3");
}

static void test_conversions(void **state) {
    fixture *f = *state;
    uint32_t x = input(f, "x", XG_F32, SHAPE(3));
    uint32_t q = unary(f, XG_OP_Quantize, x);
    expect_refused(f, XG_INPUT, "needs an integer type and a scale");
    f->g->tensor.v[out_of(f, q)].dtype = XG_U8;
    f->g->tensor.v[out_of(f, q)].quant = xg_quant_scalar(f->a, 0.5f, 3);
    uint32_t d = unary(f, XG_OP_Dequantize, out_of(f, q));
    expect_shape(f, d, SHAPE(3));
    uint32_t k = unary(f, XG_OP_Cast, x);
    xg_set_ai(node(f, k), XG_ATTR_to, XG_I64);
    assert_int_equal(xg_graph_infer(f->c, f->g), XG_OK);
    assert_int_equal(f->g->tensor.v[out_of(f, k)].dtype, XG_I64);
    assert_int_equal(xg_graph_verify(f->c, f->g), XG_OK);
    xg_set_ai(node(f, k), XG_ATTR_to, 99);
    expect_refused(f, XG_INPUT, "attribute to is 99");
}

/* ---- verification
 * --------------------------------------------------------------------------------------- */

typedef void (*damage_fn)(xg_graph *g);

static void damage_cycle(xg_graph *g) {
    g->node.v[1].in[0] = g->node.v[3].out[0];
}
static void damage_self(xg_graph *g) {
    g->node.v[2].in[0] = g->node.v[2].out[0];
}
static void damage_in_index(xg_graph *g) {
    g->node.v[1].in[0] = 12345;
}
static void damage_out_index(xg_graph *g) {
    g->node.v[1].out[0] = 12345;
}
static void damage_absent(xg_graph *g) {
    g->node.v[1].in[0] = XG_NONE;
}
static void damage_op(xg_graph *g) {
    g->node.v[1].op = 999;
}
static void damage_arity(xg_graph *g) {
    g->node.v[0].nin = 0;
}
static void damage_producer(xg_graph *g) {
    g->tensor.v[g->node.v[1].out[0]].producer = 2;
}
static void damage_producer_index(xg_graph *g) {
    g->tensor.v[g->node.v[1].out[0]].producer = 77;
}
static void damage_two_makers(xg_graph *g) {
    g->node.v[2].out[0] = g->node.v[1].out[0];
}
static void damage_name_twice(xg_graph *g) {
    g->tensor.v[1].name = g->tensor.v[0].name;
}
static void damage_no_name(xg_graph *g) {
    g->tensor.v[1].name = NULL;
}
static void damage_node_name(xg_graph *g) {
    g->node.v[1].name = g->node.v[0].name;
}
static void damage_scale_nan(xg_graph *g) {
    g->tensor.v[g->node.v[0].out[0]].quant = xg_quant_scalar(g->arena, __builtin_nanf(""), 0);
}
static void damage_scale_zero(xg_graph *g) {
    g->tensor.v[g->node.v[0].out[0]].quant = xg_quant_scalar(g->arena, 0, 0);
}
static void damage_scale_inf(xg_graph *g) {
    g->tensor.v[g->node.v[0].out[0]].quant = xg_quant_scalar(g->arena, __builtin_inff(), 0);
}
static void damage_zp(xg_graph *g) {
    g->tensor.v[g->node.v[0].out[0]].quant = xg_quant_scalar(g->arena, 1, 128);
}
static void damage_axis(xg_graph *g) {
    g->tensor.v[g->node.v[0].out[0]].quant = xg_quant_new(g->arena, 9, 1, (float[]){1}, NULL);
}
static void damage_channels(xg_graph *g) {
    g->tensor.v[g->node.v[0].out[0]].quant = xg_quant_new(g->arena, 0, 2, (float[]){1, 1}, NULL);
}
static void damage_float_quant(xg_graph *g) {
    g->tensor.v[0].quant = xg_quant_scalar(g->arena, 1, 0);
}
static void damage_dim(xg_graph *g) {
    g->tensor.v[g->node.v[1].out[0]].dim[1]++;
}
static void damage_dtype(xg_graph *g) {
    g->tensor.v[g->node.v[0].out[0]].dtype = XG_U8;
}
static void damage_dtype_range(xg_graph *g) {
    g->tensor.v[0].dtype = (xg_dtype)50;
}
static void damage_huge(xg_graph *g) {
    g->tensor.v[0].dim[0] = g->tensor.v[0].dim[1] = INT64_MAX;
}
static void damage_negative(xg_graph *g) {
    g->tensor.v[0].dim[0] = -1;
}
static void damage_rank(xg_graph *g) {
    g->tensor.v[0].rank = 200;
}
static void damage_input_data(xg_graph *g) {
    g->tensor.v[0].data = g;
}
static void damage_input_twice(xg_graph *g) {
    xg_push(g->arena, &g->input, g->input.v[0]);
}
static void damage_output_flag(xg_graph *g) {
    g->tensor.v[g->output.v[0]].is_output = false;
}
static void damage_output_unlisted(xg_graph *g) {
    g->output.n--;
}
static void damage_output_index(xg_graph *g) {
    g->output.v[0] = 4000;
}
static void damage_lo_hi(xg_graph *g) {
    xg_set_ai(&g->node.v[1], XG_ATTR_lo, 5);
    xg_set_ai(&g->node.v[1], XG_ATTR_hi, 4);
}
static void damage_lo_range(xg_graph *g) {
    xg_set_ai(&g->node.v[1], XG_ATTR_lo, INT64_MIN);
}
static void damage_float_attr(xg_graph *g) {
    xg_set_af(&g->node.v[2], XG_ATTR_alpha, __builtin_nanf(""));
}

/* x -> Quantize(0) -> AvgPool(1) -> LeakyRelu(2) -> Dequantize(3) -> y */
static xg_graph *good_graph(fixture *f) {
    f->g = xg_graph_new(f->a, "good");
    uint32_t x = input(f, "x", XG_F32, SHAPE(1, 4, 4, 2));
    uint64_t seed = 1;
    grower w = {.g = f->g, .seed = &seed};
    finish_int_node(&w, unary(f, XG_OP_Quantize, x));
    finish_int_node(&w, unary(f, XG_OP_AvgPool, w.t));
    finish_int_node(&w, unary(f, XG_OP_LeakyRelu, w.t));
    xg_graph_add_output(f->g, out_of(f, unary(f, XG_OP_Dequantize, w.t)));
    assert_int_equal(xg_graph_infer(f->c, f->g), XG_OK);
    assert_int_equal(xg_graph_verify(f->c, f->g), XG_OK);
    return f->g;
}

static void test_verify_finds_every_damage(void **state) {
    fixture *f = *state;
    static const struct {
        damage_fn fn;
        const char *says;
    } rows[] = {
        {damage_cycle, "cycle"},
        {damage_self, "cycle"},
        {damage_in_index, "tensor number 12345"},
        {damage_out_index, "tensor number 12345"},
        {damage_absent, "required input 0"},
        {damage_op, "operator number 999"},
        {damage_arity, "has 0 inputs"},
        {damage_producer, "another producer"},
        {damage_producer_index, "another producer"},
        {damage_two_makers, "another producer"},
        {damage_name_twice, "used twice"},
        {damage_no_name, "no name"},
        {damage_node_name, "used twice"},
        {damage_scale_nan, "positive and finite"},
        {damage_scale_zero, "positive and finite"},
        {damage_scale_inf, "positive and finite"},
        {damage_zp, "outside i8"},
        {damage_axis, "axis 9"},
        {damage_channels, "2 scales for 1"},
        {damage_float_quant, "f32 tensors have no scale"},
        {damage_dim, "inference gives"},
        {damage_dtype, "outside u8"},
        {damage_dtype_range, "element type 50"},
        {damage_huge, "2^31-1"},
        {damage_negative, "size -1"},
        {damage_rank, "200 axes"},
        {damage_input_data, "more than one of"},
        {damage_input_twice, "twice among"},
        {damage_output_flag, "lacks the flag"},
        {damage_output_unlisted, "not listed"},
        {damage_output_index, "number 4000"},
        {damage_lo_hi, "hi is 4"},
        {damage_lo_range, "attribute lo"},
        {damage_float_attr, "not a number"},
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        xg_graph *g = good_graph(f);
        if (rows[i].fn == damage_dtype)
            g->tensor.v[g->node.v[0].out[0]].quant = xg_quant_scalar(f->a, 1, -3);
        rows[i].fn(g);
        expect_bad(f, rows[i].says);
    }
}

static void test_empty_graph(void **state) {
    fixture *f = *state;
    xg_graph *g = NULL;
    assert_int_equal(xg_graph_verify(f->c, f->g), XG_OK);
    assert_int_equal(xg_graph_infer(f->c, f->g), XG_OK);
    assert_int_equal(xg_graph_compact(f->c, f->g, f->a, &g), XG_OK);
    assert_int_equal(g->node.n, 0);
    xg_uses u = xg_graph_uses(f->g, f->a);
    assert_int_equal(u.first[0], 0);
}

static void test_random_graphs_verify_and_compact(void **state) {
    fixture *f = *state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        xg_arena *a = xg_arena_new(f->c);
        xg_graph *g = NULL, *h = NULL;
        if (random_graph(f->c, a, seed, 1 + seed % 9, &g) != XG_OK) fail_msg("%s", last_diag(f));
        assert_int_equal(xg_graph_verify(f->c, g), XG_OK);
        assert_int_equal(xg_graph_compact(f->c, g, a, &h), XG_OK);
        assert_int_equal(xg_graph_verify(f->c, h), XG_OK);
        assert_int_equal(h->node.n, g->node.n);
        xg_arena_free(a);
    }
}

/* ---- out of memory
 * -------------------------------------------------------------------------------------- */

static xg_status build_all(void *arg) {
    xg_ctx *c = arg;
    xg_arena *a = xg_arena_new(c);
    xg_graph *g = NULL, *h = NULL;
    xg_status st = random_graph(c, a, 5, 4, &g);
    if (st == XG_OK) st = xg_graph_compact(c, g, a, &h);
    return st == XG_OK ? xg_graph_verify(c, h) : st;
}

static void test_allocation_failure(void **state) {
    fixture *f = *state;
    xg_status st = XG_NOMEM;
    uint64_t n = 1;
    for (; st == XG_NOMEM && n < 100000; n++) {
        xg_ctx_fail_alloc(f->c, n);
        st = xg_ctx_run(f->c, build_all, f->c);
        xg_ctx_fail_alloc(f->c, 0);
        xg_diag_truncate(f->c, 0);
    }
    assert_int_equal(st, XG_OK);
    assert_true(n > 20);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_tables),
        TEST(test_attributes),
        TEST(test_names_are_made_unique),
        TEST(test_uses),
        TEST(test_replace_keeps_output_names),
        TEST(test_compact),
        TEST(test_compact_refuses_cycles),
        TEST(test_compact_keeps_order_and_deep_graphs),
        TEST(test_shape_conv),
        TEST(test_shape_conv_refused),
        TEST(test_shape_pool),
        TEST(test_pool_rule_against_brute_force),
        TEST(test_shape_broadcast_and_matmul),
        TEST(test_shape_reduce),
        TEST(test_shape_movement),
        TEST(test_shape_movement_refused),
        TEST(test_keep_inherits_quant),
        TEST(test_requant_rule),
        TEST(test_conversions),
        TEST(test_verify_finds_every_damage),
        TEST(test_empty_graph),
        TEST(test_random_graphs_verify_and_compact),
        TEST(test_allocation_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
