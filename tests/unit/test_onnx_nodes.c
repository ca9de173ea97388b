/* ONNX's own operator tests (Debian's libonnx-testdata): import, run as imported and in canonical
 * form, compare with the outputs that ONNX's authors stored. A model that the importer refuses with
 * UNSUPPORTED is out of scope; whatever it accepts must be right.
 *
 * The tests give weights, shapes and axes as inputs, which a compiler wants as constants, and many
 * are older than operator set 7: a refused model is tried again with all inputs but the first as
 * initialisers, and with operator set 7 where the operator is the same there. A rewrite of the
 * protobuf wire does that, which shares nothing with the importer.
 */
#include "xgraph/import.h"
#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "xg_test.h"

#include <dirent.h>
#include <math.h>

enum { INPUTS_MAX = 32, OPS_MAX = 400 };

static const char *const data_folder = "/usr/share/libonnx-testdata/data";

/* ---- protobuf, as little as needed ---- */

typedef struct span {
    const uint8_t *p, *end;
} span;

static uint64_t varint(span *s) {
    uint64_t v = 0;
    for (int shift = 0; s->p < s->end && shift < 64; shift += 7) {
        uint8_t b = *s->p++;
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) break;
    }
    return v;
}

/* The next field: its number (0 at the end), for length-delimited ones its content, and all its
 * bytes. */
static uint32_t field(span *s, span *content, span *whole) {
    if (s->p >= s->end) return 0;
    whole->p = s->p;
    uint64_t key = varint(s);
    *content = (span){s->p, s->p};
    if ((key & 7) == 0) {
        varint(s);
    } else if ((key & 7) == 2) {
        uint64_t n = varint(s);
        *content = (span){s->p, s->p + n};
        s->p += n;
    } else
        s->p += (key & 7) == 1 ? 8 : 4;
    whole->end = s->p;
    return (uint32_t)(key >> 3);
}

static void put_varint(xg_buf *b, uint64_t v) {
    do {
        uint8_t byte = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        xg_put(b, &byte, 1);
        v >>= 7;
    } while (v);
}

static void put_field(xg_buf *b, uint32_t number, const void *p, size_t n) {
    put_varint(b, number << 3 | 2);
    put_varint(b, n);
    xg_put(b, p, n);
}

enum {
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    NODE_OP = 4
};

/* Operators whose definition in operator set 7 is that of sets 1 to 6 (ONNX's Changelog.md),
 * attribute for attribute. */
static bool same_in_7(const char *op) {
    static const char *const ops[] = {"Conv",
                                      "Elu",
                                      "HardSigmoid",
                                      "Softplus",
                                      "GlobalAveragePool",
                                      "LeakyRelu",
                                      "Relu",
                                      "Sigmoid",
                                      "Tanh",
                                      "GlobalMaxPool",
                                      "Concat",
                                      "Softmax",
                                      "LogSoftmax",
                                      "Transpose",
                                      "AveragePool",
                                      "MaxPool",
                                      "Abs",
                                      "Exp",
                                      "Sqrt",
                                      "Clip",
                                      "ReduceMean",
                                      "Pad",
                                      "Flatten",
                                      "Neg",
                                      "Floor",
                                      "Squeeze",
                                      "Slice",
                                      "Split",
                                      "Max",
                                      "Min",
                                      "Unsqueeze",
                                      "Gather",
                                      "ReduceSum",
                                      "ReduceMax",
                                      "Reciprocal",
                                      "ConvTranspose",
                                      "InstanceNormalization",
                                      "ReduceLogSum",
                                      "Selu",
                                      "Softsign",
                                      "Not",
                                      "BatchNormalization",
                                      "Gemm"};
    for (size_t i = 0; i < XG_COUNT(ops); i++)
        if (!strcmp(op, ops[i])) return true;
    return false;
}

/* Corners aligned for a result of 2.4 elements; ONNX Runtime and PyTorch align those of 2. */
static const char result_length[] = "aligns the corners of a result of fractional length";

/* Not equal to ONNX's, knowingly; each must still differ. */
static const struct {
    const char *folder, *why;
} known[] = {
    {"test_cast_DOUBLE_to_FLOAT16", "float16 is computed as f32"},
    {"test_cast_FLOAT_to_FLOAT16", "float16 is computed as f32"},
    {"test_castlike_DOUBLE_to_FLOAT16_expanded", "float16 is computed as f32"},
    {"test_castlike_FLOAT_to_FLOAT16_expanded", "float16 is computed as f32"},
    {"test_castlike_DOUBLE_to_FLOAT16", "float16 is computed as f32"},
    {"test_castlike_FLOAT_to_FLOAT16", "float16 is computed as f32"},
    {"test_resize_downsample_scales_cubic_align_corners", result_length},
    {"test_resize_downsample_scales_linear_align_corners", result_length},
};

/* The operator of a model with one node, "(several)" otherwise. */
static const char *operator_of(xg_arena *a, xg_bytes model) {
    span s = {model.p, model.p + model.n}, graph, node, op, whole;
    const char *name = NULL;
    for (uint32_t f; (f = field(&s, &graph, &whole));)
        for (uint32_t g; f == MODEL_GRAPH && (g = field(&graph, &node, &whole));)
            for (uint32_t n; g == GRAPH_NODE && (n = field(&node, &op, &whole));)
                if (n == NODE_OP)
                    name = name ? "(several)"
                                : xg_strndup(a, (const char *)op.p, (size_t)(op.end - op.p));
    return name ? name : "(none)";
}

/* The model with the tensors tensor[first..count) as initialisers instead of as inputs, and with
 * operator set 7 when to_7 is set. */
static xg_buf rewritten(xg_arena *a, xg_bytes model, const xg_bytes *tensor, uint32_t first,
                        uint32_t count, bool to_7) {
    xg_buf out = {.arena = a};
    span s = {model.p, model.p + model.n}, graph, inner, whole;
    for (uint32_t f; (f = field(&s, &graph, &whole));) {
        if (f == MODEL_OPSET && to_7) {
            put_field(&out, MODEL_OPSET, "\x10\x07", 2); /* version (field 2) = 7 */
            continue;
        }
        if (f != MODEL_GRAPH) {
            xg_put(&out, whole.p, (size_t)(whole.end - whole.p));
            continue;
        }
        xg_buf g = {.arena = a};
        uint32_t inputs = 0;
        for (uint32_t n; (n = field(&graph, &inner, &whole));)
            if (n != GRAPH_INPUT || inputs++ < first)
                xg_put(&g, whole.p, (size_t)(whole.end - whole.p));
        for (uint32_t i = first; i < count; i++)
            put_field(&g, GRAPH_INITIALIZER, tensor[i].p, tensor[i].n);
        put_field(&out, MODEL_GRAPH, g.p, g.n);
    }
    return out;
}

/* ---- one test ---- */

typedef enum outcome { PASSED, FAILED, OUT_OF_SCOPE } outcome;

typedef struct trial {
    xg_ctx *c;
    xg_arena *a;
    const char *folder;
    uint32_t ninput;
    xg_array *input[INPUTS_MAX];
    xg_bytes input_file[INPUTS_MAX];
    char why[512];
} trial;

/* input_0.pb, input_1.pb ..: false when one cannot be given (sequences, strings, empty tensors,
 * float64 only in name). */
static bool read_inputs(trial *t) {
    for (; t->ninput < INPUTS_MAX; t->ninput++) {
        uint32_t one;
        const char *path = xg_strf(t->a, "%s/test_data_set_0/input_%u.pb", t->folder, t->ninput);
        if (access(path, R_OK)) return true;
        if (xg_read_file(t->a, path, &t->input_file[t->ninput]) ||
            xg_array_read(t->a, path, &t->input[t->ninput], &one))
            return false;
    }
    return false;
}

static bool bind_inputs(trial *t, const xg_graph *g, xg_values *v) {
    for (uint32_t i = 0; i < g->input.n; i++) {
        const xg_tensor *x = xg_tensorp(g, g->input.v[i]);
        const xg_array *from = NULL;
        for (uint32_t k = 0; k < t->ninput; k++)
            if (t->input[k]->name && !strcmp(t->input[k]->name, x->name)) from = t->input[k];
        if (!from && i < t->ninput) from = t->input[i];
        if (!from || from->dtype != x->dtype || from->rank != x->rank ||
            memcmp(from->dim, x->dim, x->rank * sizeof *x->dim)) {
            snprintf(t->why, sizeof t->why,
                     "input %u ('%s') differs from its file in type or shape", i, x->name);
            return false;
        }
        v->v[g->input.v[i]] = (void *)(uintptr_t)from->data;
    }
    return true;
}

static bool close_f32(float got, float want) {
    return got == want || (isnan(got) && isnan(want)) ||
           fabsf(got - want) <=
               1e-6f +
                   1e-5f * fabsf(want); /* ONNX's arithmetic is numpy's, ours is in another order */
}

static bool compare(trial *t, const xg_tensor *x, const void *got, const xg_array *want) {
    bool same = x->dtype == want->dtype && x->rank == want->rank &&
                !memcmp(x->dim, want->dim, x->rank * sizeof *x->dim);
    if (!same) snprintf(t->why, sizeof t->why, "output '%s' differs in type or shape", x->name);
    size_t size = xg_dtype_bytes(x->dtype);
    for (int64_t i = 0, n = xg_tensor_elems(x); same && i < n; i++) {
        const float *f = got, *w = want->data;
        same = x->dtype == XG_F32 ? close_f32(f[i], w[i])
                                  : !memcmp((const char *)got + (size_t)i * size,
                                            (const char *)want->data + (size_t)i * size, size);
        if (!same && x->dtype == XG_F32)
            snprintf(t->why, sizeof t->why, "output '%s'[%lld] = %.9g, expected %.9g", x->name,
                     (long long)i, (double)f[i], (double)w[i]);
        else if (!same)
            snprintf(t->why, sizeof t->why, "output '%s'[%lld] differs", x->name, (long long)i);
    }
    return same;
}

static outcome run_graph(trial *t, const xg_graph *g) {
    xg_values v;
    xg_values_init(&v, g, t->a);
    if (!bind_inputs(t, g, &v)) return FAILED;
    xg_status st = xg_interp_run(t->c, &v, NULL);
    if (st) {
        snprintf(t->why, sizeof t->why, "interpreter: %s",
                 xg_diag_at(t->c, xg_diag_count(t->c) - 1)->text);
        return st == XG_UNSUPPORTED ? OUT_OF_SCOPE : FAILED;
    }
    for (uint32_t i = 0; i < g->output.n; i++) {
        xg_array *want;
        uint32_t one;
        const char *path = xg_strf(t->a, "%s/test_data_set_0/output_%u.pb", t->folder, i);
        if (xg_array_read(t->a, path, &want, &one)) return OUT_OF_SCOPE;
        if (!v.v[g->output.v[i]]) {
            snprintf(t->why, sizeof t->why, "output %u was not computed", i);
            return FAILED;
        }
        if (!compare(t, xg_tensorp(g, g->output.v[i]), v.v[g->output.v[i]], want)) return FAILED;
    }
    return PASSED;
}

/* The same again in canonical form. */
static outcome run_canonical(trial *t, xg_graph *g) {
    xg_status st = xg_canonicalise(t->a, &g, NULL, NULL);
    if (!st) {
        outcome o = run_graph(t, g);
        if (o == PASSED) return PASSED;
        snprintf(t->why, sizeof t->why, "canonical form: %s", xg_strdup(t->a, t->why));
        return FAILED;
    }
    snprintf(t->why, sizeof t->why, "canonical form: %s",
             xg_diag_at(t->c, xg_diag_count(t->c) - 1)->text);
    return FAILED;
}

/* The importer says "opset 6; supported are ..": an older set than any supported one. */
static bool too_old(const trial *t) {
    const char *p = strstr(t->why, "importer: opset ");
    return p && strtol(p + 16, NULL, 10) < 7;
}

/* The importer's verdict becomes ours: refused means out of scope, "damaged" is wrong, these models
 * are not. */
static outcome import_and_run(trial *t, const char *path) {
    xg_graph *g;
    xg_import_options o = {.external_data = true};
    xg_status st = xg_import_onnx(t->a, path, &o, &g);
    if (!st) st = xg_graph_verify(t->c, g);
    if (!st) {
        outcome raw = run_graph(t, g);
        return raw == PASSED ? run_canonical(t, g) : raw;
    }
    snprintf(t->why, sizeof t->why, "importer: %s",
             xg_diag_at(t->c, xg_diag_count(t->c) - 1)->text);
    return st == XG_UNSUPPORTED ? OUT_OF_SCOPE : FAILED;
}

static outcome one_folder(trial *t, const char **op) {
    const char *path = xg_strf(t->a, "%s/model.onnx", t->folder);
    xg_bytes model;
    *op = "(none)";
    if (xg_read_file(t->a, path, &model)) return OUT_OF_SCOPE;
    *op = operator_of(t->a, model);
    if (!read_inputs(t)) return OUT_OF_SCOPE;
    outcome as_is = import_and_run(t, path);
    bool to_7 = too_old(t) && same_in_7(*op);
    if (as_is == PASSED || (t->ninput < 2 && !to_7)) return as_is;
    uint32_t first = 1; /* an initialiser must have a name, a few of the stored tensors have none */
    for (uint32_t i = 1; i < t->ninput; i++)
        if (!t->input[i]->name || !*t->input[i]->name) first = t->ninput;
    char name[] = "xgc-node-XXXXXX.onnx";
    int fd = mkstemps(name, 5);
    if (fd < 0) return as_is;
    xg_buf changed = rewritten(t->a, model, t->input_file, first, t->ninput, to_7);
    bool whole = write(fd, changed.p, changed.n) == (ssize_t)changed.n;
    close(fd);
    outcome again = whole ? import_and_run(t, name) : FAILED;
    unlink(name);
    return as_is == FAILED ? FAILED : again;
}

/* ---- all tests, by operator ---- */

typedef struct tally {
    xg_arena *a;
    uint32_t n;
    struct {
        const char *op;
        uint32_t count[3];
    } row[OPS_MAX];
    uint32_t total[3];
} tally;

static void record(tally *t, const char *op, outcome o) {
    uint32_t i = 0;
    while (i < t->n && strcmp(t->row[i].op, op)) i++;
    if (i == OPS_MAX) return;
    if (i == t->n) t->row[t->n++].op = xg_strdup(t->a, op);
    t->row[i].count[o]++;
    t->total[o]++;
}

static void one_test(tally *sum, const char *folder) {
    xg_ctx *c = xg_ctx_new();
    assert_non_null(c);
    trial t = {.c = c, .a = xg_arena_new(c), .folder = folder};
    const char *op, *why = NULL;
    outcome o = one_folder(&t, &op);
    for (size_t i = 0; i < XG_COUNT(known); i++)
        if (!strcmp(strrchr(folder, '/') + 1, known[i].folder)) why = known[i].why;
    if (why && o == PASSED) print_message("%s passes now: take it off the list 'known'\n", folder);
    if (why) o = o == PASSED ? FAILED : OUT_OF_SCOPE;
    record(sum, op, o);
    if (o == FAILED) print_message("failed: %s (%s): %s\n", folder, op, t.why);
    if (o == OUT_OF_SCOPE && getenv("XGC_VERBOSE"))
        print_message("out of scope: %s (%s): %s\n", folder, op, why ? why : t.why);
    xg_ctx_free(c);
}

static void all_in(tally *sum, const char *set) {
    const char *folder = xg_strf(sum->a, "%s/%s", data_folder, set);
    struct dirent **list;
    int n = scandir(folder, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.')
            one_test(sum, xg_strf(sum->a, "%s/%s", folder, list[i]->d_name));
        free(list[i]);
    }
    if (n >= 0) free(list);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void node_tests(void **state) {
    static const char *const sets[] = {"node", "pytorch-operator", "pytorch-converted", "simple"};
    xg_test *t = *state;
    tally *sum = xg_new(t->a, tally);
    sum->a = t->a;
    if (access(data_folder, R_OK)) {
        print_message("skipped: %s is not there (Debian package libonnx-testdata)\n", data_folder);
        skip();
    }
    for (size_t i = 0; i < XG_COUNT(sets); i++) all_in(sum, sets[i]);
    qsort(sum->row, sum->n, sizeof *sum->row, by_name);
    print_message("%-28s passed failed out of scope\n", "operator");
    for (uint32_t i = 0; i < sum->n; i++)
        if (sum->row[i].count[PASSED] || sum->row[i].count[FAILED])
            print_message("%-28s %6u %6u %12u\n", sum->row[i].op, sum->row[i].count[PASSED],
                          sum->row[i].count[FAILED], sum->row[i].count[OUT_OF_SCOPE]);
    print_message("%-28s %6u %6u %12u\n", "all", sum->total[PASSED], sum->total[FAILED],
                  sum->total[OUT_OF_SCOPE]);
    assert_int_equal(sum->total[FAILED], 0);
    assert_true(sum->total[PASSED] >=
                669); /* of the set in Debian 12: fewer means that something was lost */
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(node_tests)};
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
