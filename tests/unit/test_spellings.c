/* Spelling does not matter: what exporters write in several ways reaches one canonical graph, which
 * takes the same cycles on a machine. A family is a set of texts (onnx_text.h) that mean the same
 * for maps a and b [1,8,10,12]; values of constants differ, operators, shapes and attributes must
 * not. */
#include "driver/api.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "onnx_text.h"
#include "xg_test.h"

enum { SPELLINGS = 6 };

typedef struct spelling {
    int opset; /* 0: 13 */
    const char *text;
} spelling;

typedef struct family {
    const char *name;
    int channels; /* of y */
    bool later;   /* movements of elements meet in the integer graph only */
    spelling s[SPELLINGS];
} family;

static const family families[] = {
    {"dense layer",
     5,
     false,
     {{0, "Flatten a => t ; Gemm t w(5x960) f(5) transB=1 => u ; Reshape u i(1,5,1,1) => y"},
      {0, "Reshape a i(1,960) => t ; MatMul t w(960x5) => u ; Add u f(5) => v ; Reshape v "
          "i(1,5,1,1) => y"},
      {0, "Conv a w(5x8x10x12) f(5) => y"},
      {0, "Reshape a i(1,960,1,1) => t ; Conv t w(5x960x1x1) f(5) => y"},
      {0, "Flatten a => t ; Gemm t w(960x5) => u ; Add u f(1x5) => v ; Unsqueeze v i(2,3) => y"}}},
    {"pointwise layer",
     6,
     false,
     {{0, "Conv a w(6x8x1x1) f(6) => y"},
      {0, "Transpose a perm=[0,2,3,1] => t ; MatMul t w(8x6) => u ; Add u f(6) => v ; Transpose v "
          "perm=[0,3,1,2] => y"}}},
    {"batch normalisation behind",
     6,
     false,
     {{0, "Conv a w(6x8x3x3) f(6) => y"},
      {0, "Conv a w(6x8x3x3) => t ; BatchNormalization t p(6) f(6) f(6) p(6) => y"},
      {0, "Conv a w(6x8x3x3) f(6) => t ; Mul t f(6x1x1) => u ; Add u f(1x6x1x1) => y"},
      {0, "Conv a w(6x8x3x3) => t ; Sub t f(6x1x1) => u ; Div u p(6x1x1) => y"}}},
    {"batch normalisation before",
     6,
     false,
     {{0,
       "Relu a => r ; BatchNormalization r p(8) f(8) f(8) p(8) => t ; Conv t w(6x8x3x3) f(6) => y"},
      {0, "Relu a => r ; Mul r p(8x1x1) => u ; Add u f(8x1x1) => t ; Conv t w(6x8x3x3) f(6) => y"},
      {0,
       "Relu a => r ; Sub r f(8x1x1) => u ; Div u p(8x1x1) => t ; Conv t w(6x8x3x3) f(6) => y"}}},
    {"relu6",
     8,
     false,
     {{9, "Clip a min=0.0 max=6.0 => y"},
      {0, "Clip a s(0) s(6) => y"},
      {0, "Relu a => t ; Min t s(6) => y"},
      {0, "Max a s(0) => t ; Min t s(6) => y"},
      {0, "Min a s(6) => t ; Relu t => y"},
      {0, "Relu a => t ; Clip t s(-3) s(6) => y"}}},
    {"hard swish",
     8,
     false,
     {{14, "HardSwish a => y"},
      {0, "Add a s(3) => t ; Clip t s(0) s(6) => u ; Mul a u => v ; Div v s(6) => y"},
      {0, "Add a s(3) => t ; Clip t s(0) s(6) => u ; Div u s(6) => v ; Mul v a => y"},
      {0, "HardSigmoid a alpha=0.16666667 beta=0.5 => t ; Mul a t => y"},
      {0, "Add s(3) a => t ; Relu t => r ; Min r s(6) => u ; Mul u s(0.16666667) => v ; Mul a v => "
          "y"}}},
    {"hard sigmoid",
     8,
     false,
     {{0, "HardSigmoid a alpha=0.16666667 beta=0.5 => y"},
      {0, "Add a s(3) => t ; Clip t s(0) s(6) => u ; Div u s(6) => y"},
      {0, "Add a s(3) => t ; Clip t s(0) s(6) => u ; Mul u s(0.16666667) => y"}}},
    {"SiLU",
     8,
     false,
     {{0, "Sigmoid a => t ; Mul a t => y"},
      {0, "Sigmoid a => t ; Mul t a => y"},
      {0, "Neg a => n ; Exp n => ex ; Add ex s(1) => o ; Div s(1.0) o => t ; Mul a t => y"},
      {0, "Neg a => n ; Exp n => ex ; Add s(1) ex => o ; Reciprocal o => t ; Mul a t => y"}}},
    {"GELU",
     8,
     false,
     {{20, "Gelu a => y"},
      {0,
       "Div a s(1.4142135) => t ; Erf t => u ; Add u s(1) => v ; Mul a v => w ; Mul w s(0.5) => y"},
      {0, "Mul a s(0.70710677) => t ; Erf t => u ; Add s(1) u => v ; Mul a s(0.5) => w ; Mul w v "
          "=> y"}}},
    {"Mish",
     8,
     false,
     {{18, "Mish a => y"},
      {0, "Softplus a => t ; Tanh t => u ; Mul a u => y"},
      {0, "Exp a => ex ; Add ex s(1) => o ; Log o => t ; Tanh t => u ; Mul u a => y"}}},
    {"softmax",
     8,
     false,
     {{0, "Softmax a axis=1 => y"},
      {0, "ReduceMax a axes=[1] => m ; Sub a m => t ; Exp t => ex ; ReduceSum ex i(1) => sum ; Div "
          "ex sum => y"}}},
    {"leaky slope", 8, false, {{0, "LeakyRelu a alpha=0.25 => y"}, {0, "PRelu a v(0.25) => y"}}},
    {"padding",
     6,
     false,
     {{0, "Conv a w(6x8x3x3) pads=[1,1,1,1] => y"},
      {0, "Pad a i(0,0,1,1,0,0,1,1) => t ; Conv t w(6x8x3x3) => y"},
      {0, "Conv a w(6x8x3x3) auto_pad:SAME_UPPER => y"},
      {0, "Pad a i(0,0,0,1,0,0,0,1) => t ; Conv t w(6x8x3x3) pads=[1,0,1,0] => y"}}},
    {"mean of the map",
     8,
     false,
     {{0, "GlobalAveragePool a => y"},
      {0, "ReduceMean a axes=[2,3] => y"},
      {0, "ReduceMean a axes=[-1,-2] keepdims=0 => t ; Unsqueeze t i(2,3) => y"},
      {0, "AveragePool a kernel_shape=[10,12] => y"},
      {0, "Reshape a i(1,8,120) => t ; ReduceMean t axes=[2] => u ; Reshape u i(1,8,1,1) => y"}}},
    {"maximum of the map",
     8,
     false,
     {{0, "GlobalMaxPool a => y"},
      {0, "ReduceMax a axes=[2,3] => y"},
      {0, "MaxPool a kernel_shape=[10,12] => y"}}},
    {"nearest resize",
     8,
     true,
     {{0, "Resize a e v(1,1,2,2) mode:nearest coordinate_transformation_mode:asymmetric "
          "nearest_mode:floor => y"},
      {0, "Resize a e e i(1,8,20,24) mode:nearest => y"},
      {9, "Upsample a v(1,1,2,2) mode:nearest => y"},
      {0, "Reshape a i(1,8,10,1,12,1) => t ; Expand t i(1,8,10,2,12,2) => u ; Reshape u "
          "i(1,8,20,24) => y"}}},
    {"linear resize",
     8,
     false,
     {{0, "Resize a e v(1,1,2,2) mode:linear => y"},
      {0, "Resize a e e i(1,8,20,24) mode:linear coordinate_transformation_mode:pytorch_half_pixel "
          "=> y"}}},
    {"split",
     5,
     true,
     {{0, "Split a i(3,5) axis=1 => z y"},
      {11, "Split a split=[3,5] axis=1 => z y"},
      {0, "Slice a i(3) i(8) i(1) => y"},
      {9, "Slice a starts=[3] ends=[8] axes=[1] => y"},
      {0, "Gather a i(3,4,5,6,7) axis=1 => y"}}},
    {"channel shuffle",
     8,
     true,
     {{0, "Reshape a i(1,2,4,10,12) => t ; Transpose t perm=[0,2,1,3,4] => u ; Reshape u "
          "i(1,8,10,12) => y"},
      {0, "Reshape a i(1,2,4,120) => t ; Transpose t perm=[0,2,1,3] => u ; Reshape u i(1,8,10,12) "
          "=> y"},
      {0,
       "Reshape a i(2,4,120) => t ; Transpose t perm=[1,0,2] => u ; Reshape u i(1,-1,10,12) => y"},
      {0, "Gather a i(0,4,1,5,2,6,3,7) axis=1 => y"}}},
    {"pixel shuffle",
     2,
     true,
     {{0, "DepthToSpace a blocksize=2 mode:CRD => y"},
      {0, "Reshape a i(1,2,2,2,10,12) => t ; Transpose t perm=[0,1,4,2,5,3] => u ; Reshape u "
          "i(1,2,20,24) => y"},
      {0, "Reshape a i(2,2,2,10,12) => t ; Transpose t perm=[0,3,1,4,2] => u ; Reshape u "
          "i(1,2,20,24) => y"}}},
    {"space to depth",
     32,
     true,
     {{0, "SpaceToDepth a blocksize=2 => y"},
      {0,
       "Slice a i(0,0) i(10,12) i(2,3) i(2,2) => p ; Slice a i(0,1) i(10,12) i(2,3) i(2,2) => q ; "
       "Slice a i(1,0) i(10,12) i(2,3) i(2,2) => r ; Slice a i(1,1) i(10,12) i(2,3) i(2,2) => t ; "
       "Concat p q r t axis=1 => y"},
      {0,
       "Slice a i(0) i(10) i(2) i(2) => m ; Slice a i(1) i(10) i(2) i(2) => o ; Slice m i(0) i(12) "
       "i(3) i(2) => p ; Slice m i(1) i(12) i(3) i(2) => q ; Slice o i(0) i(12) i(3) i(2) => r ; "
       "Slice o i(1) i(12) i(3) i(2) => t ; Concat p r q t axis=1 => y"},
      {0, "Reshape a i(1,8,5,2,6,2) => t ; Transpose t perm=[0,3,5,1,2,4] => u ; Reshape u "
          "i(1,32,5,6) => y"}}},
    {"a constant",
     8,
     false,
     {{0, "Add a f(8x1x1) => y"},
      {0, "Constant value_float=0.5 => c ; Add a c => y"},
      {0, "ConstantOfShape i(8,1,1) => c ; Add c s(0.5) => d ; Add a d => y"}}},
    {"normalisation of groups",
     8,
     false,
     {{21, "GroupNormalization a f(8) f(8) num_groups=2 => y"},
      {0, "Reshape a i(0,2,-1) => t ; InstanceNormalization t v(1,1) v(0,0) => u ; Reshape u "
          "i(1,8,10,12) => v ; Mul v f(8x1x1) => w ; Add w f(8x1x1) => y"},
      {18, "GroupNormalization a v(1,1) v(0,0) num_groups=2 => v ; Mul v f(1x8x1x1) => w ; Add w "
           "f(8x1x1) => y"}}},
    {"sum of the map",
     8,
     false,
     {{0, "ReduceSum a i(2,3) => y"},
      {0, "GlobalAveragePool a => t ; Mul t v(120) => y"},
      {11, "ReduceSum a axes=[2,3] => y"}}},
    {"sum", 8, false, {{0, "Add a b => y"}, {0, "Sum a b => y"}}},
    {"nothing",
     8,
     false,
     {{0, "Relu a => y"},
      {0, "Identity a => t ; Relu t => u ; Dropout u => y"},
      {0, "Transpose a perm=[0,2,3,1] => t ; Relu t => u ; Transpose u perm=[0,3,1,2] => y"},
      {0, "Reshape a i(1,8,120) => t ; Relu t => u ; Reshape u i(1,8,10,12) => y"},
      {0, "Cast a to=1 => t ; Relu t => u ; Slice u i(0) i(99) i(1) => y"},
      {0, "Relu a => t ; Relu t => u ; Concat u axis=1 => y"}}},
};

static void build(model *m, const family *f, const spelling *s) {
    texter x = {.m = m, .seed = 7};
    static const int64_t map[4] = {1, 8, 10, 12};
    m_input(m, "x", ONNX_F32, 4, map);
    m_text(&x, "Conv x w(8x8x1x1) f(8) => a");
    if (strstr(s->text, " b ")) m_text(&x, "Conv x w(8x8x1x1) f(8) => b");
    m_text(&x, s->text);
    m_text(&x, xg_strf(m->t->a, "Conv y w(4x%dx1x1) f(4) => out", f->channels));
    m_output(m, "out");
}

/* Operators in order with types, shapes, what they read, attributes. */
static const char *form(xg_test *t, const xg_graph *g) {
    xg_buf b = {.arena = t->a};
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        const xg_tensor *y = xg_out(g, n, 0);
        xg_putf(&b, "%u %s %s[", i, xg_ops[n->op].name, xg_dtype_name(y->dtype));
        for (uint32_t k = 0; k < y->rank; k++) xg_putf(&b, "%lld ", (long long)y->dim[k]);
        xg_putf(&b, "] of");
        for (uint32_t k = 0; k < n->nin; k++) {
            const xg_tensor *x = xg_in(g, n, k);
            if (x && x->producer != XG_NONE)
                xg_putf(&b, " %u", x->producer);
            else
                xg_putf(&b, !x ? " -" : x->data ? " constant" : " input");
        }
        for (uint32_t k = 0; k < xg_ops[n->op].nattr; k++) {
            xg_attr_id id = (xg_attr_id)xg_ops[n->op].attr[k];
            const xg_attr *v = xg_attr_of(n, id);
            if (id == XG_ATTR_lo || id == XG_ATTR_hi) continue; /* depends on the constants */
            if (xg_attrs[id].kind == XG_INT && xg_ai(n, id) != xg_attrs[id].default_i)
                xg_putf(&b, " %s=%lld", xg_attrs[id].name, (long long)xg_ai(n, id));
            if (xg_attrs[id].kind == XG_FLOAT && xg_af(n, id) != xg_attrs[id].default_f)
                xg_putf(&b, " %s=%.5g", xg_attrs[id].name, (double)xg_af(n, id));
            for (uint32_t j = 0; xg_attrs[id].kind == XG_INTS && j < v->n; j++)
                xg_putf(&b, " %s%lld", j ? "" : xg_attrs[id].name, (long long)v->is[j]);
        }
        xg_putf(&b, "\n");
    }
    return b.p;
}

/* The quantised graph's form and the program's cycles on zu9. */
static const char *built(xg_test *t, xgc *x, const xgc_machine *m, const char *path) {
    xgc_model *g = NULL;
    xgc_binary *b = NULL;
    xgc_result *run = NULL;
    xgc_blob text = {0};
    const xgc_model_options load = {.calibration = "random:3"};
    const xgc_run_options timed = {.cycles = true, .fill = "random:4"};
    xgc_status st = xgc_model_load(x, path, m, &load, &g);
    if (st == XGC_OK) st = xgc_compile(x, g, NULL, &b);
    if (st == XGC_OK) st = xgc_run(x, b, &timed, &run);
    if (st != XGC_OK) print_message("%s\n", xgc_message_at(x, xgc_message_count(x) - 1).text);
    assert_int_equal(st, XGC_OK);
    assert_int_equal(xgc_result_print(x, run, "json", &text), XGC_OK);
    const char *cycles = strstr(text.data, "\"cycles\":");
    assert_non_null(cycles);
    const char *out =
        xg_strf(t->a, "%s%.*s\n", form(t, g->graph), (int)strcspn(cycles, ",\n"), cycles);
    xgc_blob_free(&text);
    xgc_result_free(run);
    xgc_binary_free(b);
    xgc_model_free(g);
    return out;
}

static bool one_form(xg_test *t, const family *f, xgc *x, const xgc_machine *zu9) {
    const char *first[2] = {NULL, NULL};
    bool good = true;
    for (int i = 0; i < SPELLINGS && f->s[i].text; i++) {
        void *state = t;
        model m = model_new(&state, f->s[i].opset ? f->s[i].opset : 13);
        build(&m, f, &f->s[i]);
        char path[] = "xgc-test-XXXXXX.onnx";
        m_write(&m, path);
        const xg_import_options on = {0};
        xg_graph *g;
        assert_ok(t->c, xg_import_onnx(t->a, path, &on, &g));
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        const char *got[2] = {form(t, g), built(t, x, zu9, path)};
        unlink(path);
        for (int k = 0; k < 2; k++) {
            if (!first[k]) first[k] = got[k];
            if (!strcmp(first[k], got[k]) || (k == 0 && f->later)) continue;
            print_message("%s (%s):\n  %s\nbecomes\n%sand not\n%s", f->name,
                          k ? "quantised" : "float", f->s[i].text, got[k], first[k]);
            good = false;
            break;
        }
    }
    return good;
}

static void every_family(void **state) {
    xg_test *t = *state;
    xgc *x = xgc_new();
    xgc_machine *zu9;
    uint32_t bad = 0;
    const char *only = getenv("XGC_FAMILY"); /* one row, when looking into a failure */
    assert_int_equal(xgc_machine_load(x, "zu9", NULL, &zu9), XGC_OK);
    for (size_t i = 0; i < XG_COUNT(families); i++)
        if (!only || strstr(families[i].name, only)) bad += !one_form(t, &families[i], x, zu9);
    print_message("%zu families, %u with several forms\n", XG_COUNT(families), bad);
    xgc_free(x);
    assert_int_equal(bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(every_family)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
