/* The importer: what it accepts, how it refuses, and that no file makes it crash. */
#include "xgraph/import.h"

#include "xg_test.h"

#include <sys/stat.h>

static const xg_import_options on = {.external_data = true};

static const char *data(xg_arena *a, const char *name) {
    return xg_strf(a, "%s/tests/data/%s.onnx", XGC_SOURCE_DIR, name);
}

static xg_status import(xg_test *t, const char *name, const xg_import_options *o, xg_graph **g) {
    *g = NULL;
    return xg_import_onnx(t->a, data(t->a, name), o, g);
}

/* ---- refusals ---- */

typedef struct refusal {
    const char *file;
    xg_status status;
    const char *where, *said; /* parts of the one diagnostic */
} refusal;

static const refusal refusals[] = {
    {"bad_cycle", XG_INPUT, "bad_cycle.onnx", "cycle"},
    {"bad_twice", XG_INPUT, "bad_twice.onnx", "'y' is made twice"},
    {"bad_dangling", XG_INPUT, "n_y", "'nowhere' is made by no node"},
    {"bad_scale_nan", XG_INPUT, "n_y_q", "is nan; must be positive and finite"},
    {"bad_scale_zero", XG_INPUT, "n_y_q", "is 0; must be positive"},
    {"bad_scale_negative", XG_INPUT, "n_y_q", "is -1; must be positive"},
    {"bad_scale_inf", XG_INPUT, "n_y_q", "is inf; must be positive"},
    {"bad_scale_count", XG_INPUT, "n_y_q", "3 scales, expected 1"},
    {"bad_dim_negative", XG_INPUT, "bad_dim_negative.onnx", "axis 1 of input 'x' has size -7"},
    {"bad_dim_huge", XG_LIMIT, "bad_dim_huge.onnx", "more than 2^31-1 elements"},
    {"bad_dim_symbol", XG_INPUT, "bad_dim_symbol.onnx",
     "('width') has no fixed size; set it with --shape x=1xN"},
    {"bad_rank", XG_LIMIT, "bad_rank.onnx", "9 axes, at most 8"},
    {"bad_stride", XG_INPUT, "n_y", "stride 0"},
    {"bad_dilation", XG_INPUT, "n_y", "dilation -1"},
    {"bad_group", XG_INPUT, "n_y", "group is 0"},
    {"bad_pads", XG_UNSUPPORTED, "n_y", "negative padding"},
    {"bad_kernel", XG_INPUT, "n_y", "kernel_shape 5x5, but weights of 3x3"},
    {"bad_autopad", XG_INPUT, "n_y", "auto_pad 'SOME'"},
    {"bad_attr_count", XG_INPUT, "n_y", "strides does not have 2 values"},
    {"bad_read_otherwise", XG_UNSUPPORTED, "n_y",
     "written with scale 0.5 zero point 0, but read with scale 0.25"},
    {"bad_opset", XG_UNSUPPORTED, "bad_opset.onnx", "opset 5; supported are 6 to 25"},
    {"external_dots", XG_INPUT, "'w'", "leaves the model's folder"},
    {"external_absolute", XG_INPUT, "'w'", "is an absolute path"},
    {"external_folder", XG_INPUT, "'w'", "leaves the model's folder"},
    {"external_short", XG_INPUT, "'w'", "has 61 bytes, but bytes 14 to 62"},
    {"external_missing", XG_IO, "'w'", "No such file"},
};

static void refuses_in_one_line(void **state) {
    xg_test *t = *state;
    for (size_t i = 0; i < XG_COUNT(refusals); i++) {
        const refusal *r = &refusals[i];
        xg_graph *g;
        size_t before = xg_diag_count(t->c);
        xg_status st = import(t, r->file, &on, &g);
        if (st != r->status) print_message("%s\n", r->file);
        assert_status(t->c, st, r->status);
        assert_null(g);
        assert_int_equal(xg_diag_count(t->c), before + 1);
        const xg_diag *d = xg_diag_at(t->c, before);
        assert_non_null(strstr(d->where, r->where));
        assert_said(t->c, r->said);
        assert_null(strchr(d->text, '\n'));
    }
}

static void lists_all_unsupported(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    assert_status(t->c, import(t, "bad_unknown", &on, &g), XG_UNSUPPORTED);
    const char *want[][2] = {{"n_a", "LSTM"}, {"n_y", "Einsum"}, {"n_z", "Indices"}};
    assert_int_equal(xg_diag_count(t->c), XG_COUNT(want));
    for (size_t i = 0; i < XG_COUNT(want); i++) {
        const xg_diag *d = xg_diag_at(t->c, i);
        assert_int_equal(d->status, XG_UNSUPPORTED);
        assert_non_null(strstr(d->where, want[i][0]));
        assert_non_null(strstr(d->text, want[i][1]));
    }
}

static void a_missing_file_is_io(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    assert_status(t->c, import(t, "there_is_no_such_model", &on, &g), XG_IO);
}

/* A graph output may be a constant: a Reshape makes it, so that it has a producer. */
static void a_constant_output_is_carried(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    assert_ok(t->c, import(t, "bad_constant_output", &on, &g));
    uint32_t at = 0;
    while (at < g->output.n && strcmp(xg_tensorp(g, g->output.v[at])->name, "y")) at++;
    assert_true(at < g->output.n);
    const xg_tensor *y = xg_tensorp(g, g->output.v[at]);
    assert_null(y->data);
    assert_int_equal(xg_nodep(g, y->producer)->op, XG_OP_Reshape);
    assert_non_null(xg_in(g, xg_nodep(g, y->producer), 0)->data);
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    assert_string_equal(xg_tensorp(g, g->output.v[at])->name, "y");
}

/* ---- shapes ---- */

static void shapes_from_options(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    const char *good = "x=1x7", *other = "y=1x7", *syntax = "x=1xq", *nothing = "x",
               *wrong = "x=1x2x3";
    xg_import_options o = {.shape = &good, .nshape = 1};
    assert_ok(t->c, import(t, "bad_dim_symbol", &o, &g));
    assert_int_equal(g->tensor.v[g->output.v[0]].dim[1], 7);
    o.shape = &other;
    assert_status(t->c, import(t, "bad_dim_symbol", &o, &g), XG_INPUT);
    o.shape = &syntax;
    assert_status(t->c, import(t, "bad_dim_symbol", &o, &g), XG_USAGE);
    o.shape = &nothing;
    assert_status(t->c, import(t, "same_relu6_attr", &o, &g), XG_USAGE);
    o.shape = &other;
    assert_status(t->c, import(t, "same_relu6_attr", &o, &g), XG_USAGE);
    assert_said(t->c, "no such input");
    o.shape = &wrong;
    assert_status(t->c, import(t, "bad_dim_symbol", &o, &g), XG_USAGE);
    assert_said(t->c, "contradicts");
}

static void symbolic_batch(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    assert_ok(t->c, import(t, "shapes", &on, &g));
    assert_int_equal(g->tensor.v[g->output.v[0]].dim[0], 1);
    xg_import_options o = {.batch = 3};
    assert_ok(t->c, import(t, "shapes", &o, &g));
    const xg_tensor *y = &g->tensor.v[g->output.v[0]];
    const int64_t want[4] = {3, 4, 4, 3};
    assert_int_equal(y->rank, 4);
    assert_memory_equal(y->dim, want, sizeof want);
}

static void borders_keep_names_and_axes(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    assert_ok(t->c, import(t, "se_nhwc", &on, &g));
    assert_int_equal(g->input.n, 1);
    assert_int_equal(g->output.n, 2);
    assert_string_equal(g->tensor.v[g->input.v[0]].name, "x");
    assert_string_equal(g->tensor.v[g->output.v[0]].name, "y");
    assert_string_equal(g->tensor.v[g->output.v[1]].name, "z");
    assert_int_equal(g->tensor.v[g->output.v[1]].dim[1], 8);
    assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
    assert_string_equal(g->tensor.v[g->output.v[0]].name, "y");
    assert_string_equal(g->tensor.v[g->output.v[1]].name, "z");
    assert_int_equal(g->tensor.v[g->output.v[1]].dim[1], 8);
}

/* ---- data ---- */

static const char *text_of(xg_test *t, const xg_graph *g) {
    xg_buf b = {.arena = t->a};
    xg_graph_print(g, true, &b);
    return b.p;
}

/* The first f32 constant. */
static const float *first_constant(const xg_graph *g, int64_t *n) {
    for (uint32_t i = 0; i < g->tensor.n; i++)
        if (g->tensor.v[i].data && g->tensor.v[i].dtype == XG_F32) {
            *n = xg_tensor_elems(&g->tensor.v[i]);
            return g->tensor.v[i].data;
        }
    return NULL;
}

static void raw_and_typed_data_agree(void **state) {
    xg_test *t = *state;
    xg_graph *raw, *typed;
    int64_t n = 0;
    assert_ok(t->c, import(t, "payload_raw", &on, &raw));
    assert_ok(t->c, import(t, "payload_typed", &on, &typed));
    raw->name = typed->name = "";
    assert_string_equal(text_of(t, raw), text_of(t, typed));
    const float *w = first_constant(raw, &n);
    assert_int_equal(n, 64 * 32);
    float least = w[0], most = w[0];
    for (int64_t i = 0; i < n; i++) {
        least = w[i] < least ? w[i] : least;
        most = w[i] > most ? w[i] : most;
    }
    assert_true(least >= -1 && least < -0.9f && most <= 1 && most > 0.9f);
}

static void external_data(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    int64_t n = 0;
    assert_ok(t->c, import(t, "external", &on, &g));
    const float *w = first_constant(g, &n);
    xg_bytes file;
    assert_ok(t->c, xg_read_file(t->a, xg_strf(t->a, "%s/tests/data/external.bin", XGC_SOURCE_DIR),
                                 &file));
    assert_int_equal(n, 12);
    assert_int_equal(file.n, 13 + 48);
    /* [4,3,1,1] and its OHWI form [4,1,1,3] have the same order. */
    assert_memory_equal(w, file.p + 13, 48);
    xg_import_options off = {.external_data = false};
    assert_status(t->c, import(t, "external", &off, &g), XG_UNSUPPORTED);
    assert_said(t->c, "external data is off");
}

static void copy_file(xg_test *t, const char *from, const char *to) {
    xg_bytes b;
    assert_ok(t->c, xg_read_file(t->a, from, &b));
    assert_ok(t->c, xg_write_file(t->c, to, b.p, b.n));
}

static void external_links_are_refused(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    char dir[] = "xgc_import_XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *model = xg_strf(t->a, "%s/external.onnx", dir),
               *link = xg_strf(t->a, "%s/external.bin", dir);
    copy_file(t, data(t->a, "external"), model);
    assert_int_equal(symlink(xg_strf(t->a, "%s/tests/data/external.bin", XGC_SOURCE_DIR), link), 0);
    xg_status st = xg_import_onnx(t->a, model, &on, &g);
    unlink(link);
    assert_int_equal(mkfifo(link, 0600), 0);
    xg_status fifo = xg_import_onnx(t->a, model, &on, &g);
    unlink(link);
    unlink(model);
    rmdir(dir);
    assert_status(t->c, st, XG_IO);
    assert_status(t->c, fifo, XG_INPUT);
    assert_said(t->c, "not a regular file");
}

static void half_precision(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    assert_ok(t->c, import(t, "half", &on, &g));
    assert_int_equal(g->tensor.v[g->input.v[0]].dtype, XG_F32);
    assert_int_equal(g->tensor.v[g->output.v[0]].dtype, XG_F32);
    assert_int_equal(g->log.n, 1);
    int64_t n = 0;
    const float *w = first_constant(g, &n);
    for (int64_t i = 0; i < n; i++) /* 11 bits of mantissa at most */
        assert_true(w[i] * 0x1p24f == (float)(int32_t)(w[i] * 0x1p24f) && w[i] > -1 && w[i] < 1 &&
                    w[i] != 0);
}

static void other_scale_is_told(void **state) {
    xg_test *t = *state;
    xg_graph *g;
    assert_ok(t->c, import(t, "read_otherwise_u8", &on, &g));
    assert_int_equal(g->log.n, 1);
    assert_non_null(strstr(g->log.v[0], "zero point 10"));
    assert_non_null(strstr(g->log.v[0], "zero point 20"));
    xg_values v;
    xg_values_init(&v, g, t->a);
    float *x = xg_values_get(&v, g->input.v[0]);
    for (int i = 0; i < 6; i++) x[i] = (float)i;
    assert_ok(t->c, xg_interp_run(t->c, &v, NULL));
    const float *y = xg_values_get(&v, g->output.v[0]);
    for (int i = 0; i < 6; i++) assert_true(y[i] == (float)(2 * i + 10 - 20) * 0.25f);
}

/* ---- hostile files ---- */

/* Writes bytes to a file of this test and imports it; any status is right, crashes are not. */
static xg_status import_bytes(xg_test *t, const void *p, size_t n) {
    const char *path = xg_strf(t->a, "xgc_import_%ld.onnx", (long)getpid());
    assert_ok(t->c, xg_write_file(t->c, path, p, n));
    xg_graph *g = NULL;
    xg_arena *a = xg_arena_new(t->c);
    xg_status st = xg_import_onnx(a, path, &on, &g);
    if (st == XG_OK) st = xg_canonicalise(a, &g, NULL, NULL);
    assert_true(st == XG_OK || xg_diag_count(t->c) > 0);
    assert_int_not_equal(st, XG_INTERNAL);
    xg_diag_truncate(t->c, 0);
    xg_arena_free(a);
    unlink(path);
    return st;
}

static xg_bytes read_model(xg_test *t, const char *name) {
    xg_bytes b;
    assert_ok(t->c, xg_read_file(t->a, data(t->a, name), &b));
    return b;
}

static void cut_files(void **state) {
    xg_test *t = *state;
    const char *names[] = {"qoperator", "shapes", "external"};
    for (size_t i = 0; i < XG_COUNT(names); i++) {
        xg_bytes b = read_model(t, names[i]);
        for (size_t n = 0; n + 1 < b.n; n += 1 + b.n / 150) import_bytes(t, b.p, n);
        assert_int_equal(import_bytes(t, b.p, 0), XG_INPUT);
    }
}

static void changed_files(void **state) {
    xg_test *t = *state;
    const char *names[] = {"qoperator",           "shapes", "qdq_i8", "conv1d",
                           "same_norm_batchnorm", "se_nhwc"};
    uint64_t seed = 7, accepted = 0, rounds = 150;
    for (size_t i = 0; i < XG_COUNT(names); i++) {
        xg_bytes b = read_model(t, names[i]);
        for (uint64_t k = 0; k < rounds; k++) {
            uint8_t *copy = xg_memdup(t->a, b.p, b.n);
            for (uint64_t n = 1 + xg_random(&seed) % 4; n > 0; n--)
                copy[xg_random(&seed) % b.n] = (uint8_t)xg_random(&seed);
            accepted += import_bytes(t, copy, b.n) == XG_OK;
        }
    }
    assert_in_range(accepted, 1, XG_COUNT(names) * rounds - 1);
}

/* Graphs nested in attributes of nodes, 200 deep: refused by depth, not by the stack. */
static void deep_nesting(void **state) {
    xg_test *t = *state;
    xg_buf in = {.arena = t->a}, out = {.arena = t->a};
    for (int depth = 0; depth < 200; depth++) {
        const uint8_t tags[3] = {6 << 3 | 2, 5 << 3 | 2,
                                 1 << 3 | 2}; /* attribute.g, node.attribute, graph.node */
        for (int k = 0; k < 3; k++) {
            out.n = 0;
            xg_put(&out, &tags[k], 1);
            size_t n = in.n;
            do {
                uint8_t byte = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
                xg_put(&out, &byte, 1);
                n >>= 7;
            } while (n);
            xg_put(&out, in.p ? in.p : "", in.n);
            xg_buf swap = in;
            in = out;
            out = swap;
        }
    }
    xg_buf model = {.arena = t->a};
    uint8_t tag = 7 << 3 | 2;
    xg_put(&model, &tag, 1);
    size_t n = in.n;
    do {
        uint8_t byte = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
        xg_put(&model, &byte, 1);
        n >>= 7;
    } while (n);
    xg_put(&model, in.p, in.n);
    const char *path = xg_strf(t->a, "xgc_deep_%ld.onnx", (long)getpid());
    assert_ok(t->c, xg_write_file(t->c, path, model.p, model.n));
    xg_graph *g;
    xg_status st = xg_import_onnx(t->a, path, &on, &g);
    unlink(path);
    assert_status(t->c, st, XG_INPUT);
    assert_said(t->c, "deeper than 100");
}

static xg_status import_and_canonicalise(void *arg) {
    xg_test_case *k = arg;
    xg_graph *g;
    xg_status st = xg_import_onnx(k->a, k->arg, &on, &g);
    return st ? st : xg_canonicalise(k->a, &g, NULL, NULL);
}

static void every_allocation_may_fail(void **state) {
    xg_test *t = *state;
    const char *path = data(t->a, "qdq_i8");
    assert_true(xg_test_nomem(import_and_canonicalise, (void *)(uintptr_t)path, 97) > 1000);
}

/* The page names every operator and every pass with its sentence. */
static void the_page_is_current(void **state) {
    xg_test *t = *state;
    xg_bytes b;
    assert_ok(t->c, xg_read_file(t->a, xg_strf(t->a, "%s/xgraph/IMPORT.md", XGC_SOURCE_DIR), &b));
    const char *page = xg_strndup(t->a, (const char *)b.p, b.n);
    for (const xg_onnx_op *o = xg_onnx_ops; o->op; o++) {
        const char *dot = *o->domain ? "." : "";
        const char *row =
            xg_strf(t->a, "| %s%s%s | %d | %s |", o->domain, dot, o->op, o->since, o->rule);
        if (!strstr(page, row)) print_message("missing: %s\n", row);
        assert_non_null(strstr(page, row));
    }
    for (const xg_pass_desc *p = xg_passes; p->name; p++)
        assert_non_null(strstr(page, xg_strf(t->a, "| %s | %s |", p->name, p->doc)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(refuses_in_one_line),
        TEST(lists_all_unsupported),
        TEST(a_missing_file_is_io),
        TEST(a_constant_output_is_carried),
        TEST(shapes_from_options),
        TEST(symbolic_batch),
        TEST(borders_keep_names_and_axes),
        TEST(raw_and_typed_data_agree),
        TEST(external_data),
        TEST(external_links_are_refused),
        TEST(half_precision),
        TEST(other_scale_is_told),
        TEST(cut_files),
        TEST(changed_files),
        TEST(deep_nesting),
        TEST(every_allocation_may_fail),
        TEST(the_page_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
