/* Every operator that networks of convolutions bring, in a small network: as a float model
 * (quantised for zu9) and as a QDQ model of 8 bits (for nano). Each is imported, computes the same
 * before and after the passes, is quantised near to what it was, compiles, and its binary equals
 * the reference interpreter; what a tile machine can do must not be on the host. */
#include "driver/api.h"
#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "onnx_text.h"
#include "xg_test.h"

#include <math.h>

/* a, b: maps [1,8,10,12] (LINE: [1,8,12]), results of convolutions; the operator makes y. */
enum where { ACCEL, HOST, FLOAT_ACCEL /* in QDQ form on the host */ };
enum shape { MAP, LINE };

typedef struct row {
    const char *name, *text;
    int channels; /* of y when a convolution can read it; else y is the graph's output */
    enum where where;
    enum shape shape;
} row;

static const row rows[] = {
    /* windows */
    {"Conv", "Conv a w(6x8x3x3) f(6) pads=[1,1,1,1] strides=[2,2] -> y", 6, ACCEL, MAP},
    {"Conv depthwise dilated", "Conv a w(8x1x3x3) group=8 dilations=[2,2] -> y", 8, ACCEL, MAP},
    {"Conv grouped SAME_LOWER", "Conv a w(8x4x2x2) group=2 auto_pad:SAME_LOWER -> y", 8, ACCEL,
     MAP},
    {"Conv 1-D", "Conv a w(6x8x3) pads=[1,1] -> y", 6, ACCEL, LINE},
    {"ConvTranspose 2x2", "ConvTranspose a w(8x6x2x2) f(6) strides=[2,2] -> y", 6, ACCEL, MAP},
    {"ConvTranspose 3x3 padded",
     "ConvTranspose a w(8x6x3x3) strides=[2,2] pads=[1,1,1,1] output_padding=[1,1] -> y", 6, ACCEL,
     MAP},
    {"ConvTranspose 4x4 then bias",
     "ConvTranspose a w(8x5x4x4) strides=[2,2] pads=[1,1,1,1] => t ; Add t f(5x1x1) -> y", 5, ACCEL,
     MAP},
    {"ConvTranspose stride 1", "ConvTranspose a w(8x6x3x3) -> y", 6, ACCEL, MAP},
    {"ConvTranspose grouped", "ConvTranspose a w(8x3x2x2) strides=[2,2] group=2 -> y", 6, ACCEL,
     MAP},
    {"ConvTranspose 1-D", "ConvTranspose a w(8x6x4) strides=[2] pads=[1,1] -> y", 6, ACCEL, LINE},
    {"MaxPool", "MaxPool a kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] -> y", 8, ACCEL, MAP},
    {"MaxPool ceil_mode", "MaxPool a kernel_shape=[3,3] strides=[2,2] ceil_mode=1 -> y", 8, ACCEL,
     MAP},
    {"MaxPool dilated", "MaxPool a kernel_shape=[2,2] dilations=[2,2] -> y", 8, ACCEL, MAP},
    {"MaxPool 1-D", "MaxPool a kernel_shape=[2] strides=[2] -> y", 8, ACCEL, LINE},
    {"AveragePool", "AveragePool a kernel_shape=[2,2] strides=[2,2] -> y", 8, ACCEL, MAP},
    {"AveragePool border", "AveragePool a kernel_shape=[3,3] pads=[1,1,1,1] -> y", 8, ACCEL, MAP},
    {"AveragePool count_include_pad",
     "AveragePool a kernel_shape=[3,3] pads=[1,1,1,1] count_include_pad=1 -> y", 8, ACCEL, MAP},
    {"AveragePool ceil_mode", "AveragePool a kernel_shape=[3,3] strides=[2,2] ceil_mode=1 -> y", 8,
     ACCEL, MAP},
    {"AveragePool 1-D", "AveragePool a kernel_shape=[2] strides=[2] -> y", 8, ACCEL, LINE},
    {"GlobalAveragePool", "GlobalAveragePool a -> y", 8, ACCEL, MAP},
    {"GlobalMaxPool", "GlobalMaxPool a -> y", 8, ACCEL, MAP},
    {"LRN", "LRN a size=3 alpha=0.5 -> y", 8, HOST, MAP},
    {"Gemm", "Flatten a => t ; Gemm t w(5x960) f(5) transB=1 -> y", 0, ACCEL, MAP},
    {"MatMul", "MatMul a w(12x6) -> y", 0, ACCEL, MAP},
    {"MatMul of two variables", "Transpose b perm=[0,1,3,2] => t ; MatMul a t -> y", 0, HOST, MAP},
    /* resizing */
    {"Resize nearest",
     "Resize a e v(1,1,2,2) mode:nearest coordinate_transformation_mode:asymmetric "
     "nearest_mode:floor -> y",
     8, ACCEL, MAP},
    {"Resize nearest half_pixel", "Resize a e v(1,1,2,3) mode:nearest -> y", 8, ACCEL, MAP},
    {"Resize nearest to sizes",
     "Resize a e e i(1,8,20,24) mode:nearest coordinate_transformation_mode:asymmetric -> y", 8,
     ACCEL, MAP},
    {"Resize nearest down",
     "Resize a e v(1,1,0.5,0.5) mode:nearest coordinate_transformation_mode:asymmetric "
     "nearest_mode:floor -> y",
     8, ACCEL, MAP},
    {"Resize nearest tf_half_pixel_for_nn",
     "Resize a e v(1,1,2,2) mode:nearest coordinate_transformation_mode:tf_half_pixel_for_nn "
     "nearest_mode:floor -> y",
     8, ACCEL, MAP},
    {"Resize nearest 1.5", "Resize a e v(1,1,1.5,1.5) mode:nearest -> y", 8, ACCEL, MAP},
    {"Resize linear half_pixel", "Resize a e v(1,1,2,2) mode:linear -> y", 8, ACCEL, MAP},
    {"Resize linear pytorch_half_pixel 4",
     "Resize a e v(1,1,4,4) mode:linear coordinate_transformation_mode:pytorch_half_pixel -> y", 8,
     ACCEL, MAP},
    {"Resize linear asymmetric",
     "Resize a e v(1,1,2,2) mode:linear coordinate_transformation_mode:asymmetric -> y", 8, ACCEL,
     MAP},
    {"Resize linear align_corners",
     "Resize a e v(1,1,2,2) mode:linear coordinate_transformation_mode:align_corners -> y", 8, HOST,
     MAP},
    {"Resize linear 3", "Resize a e v(1,1,3,3) mode:linear -> y", 8, HOST, MAP},
    {"Resize cubic", "Resize a e v(1,1,2,2) mode:cubic -> y", 8, HOST, MAP},
    {"Upsample", "Upsample a v(1,1,2,2) mode:nearest -> y", 8, ACCEL, MAP},
    {"Upsample linear", "Upsample a v(1,1,2,2) mode:linear -> y", 8, ACCEL, MAP},
    /* movement */
    {"Split",
     "Split a axis=1 split=[3,5] -> y z ; Conv z w(3x5x1x1) -> u ; Concat y u axis=1 -> y2", 0,
     ACCEL, MAP},
    {"Slice", "Slice a i(0,1) i(10,11) i(2,3) i(2,1) -> y", 8, ACCEL, MAP},
    {"Slice of channels", "Slice a i(2) i(7) i(1) -> y", 5, ACCEL, MAP},
    {"Concat", "Concat a b axis=1 -> y", 16, ACCEL, MAP},
    {"Concat along rows", "Concat a b axis=2 -> y", 8, ACCEL, MAP},
    {"channel shuffle",
     "Reshape a i(1,2,4,10,12) => t ; Transpose t perm=[0,2,1,3,4] => u ; Reshape u i(1,8,10,12) "
     "-> y",
     8, ACCEL, MAP},
    {"channel shuffle by Gather",
     "Reshape a i(4,2,120) => t ; Transpose t perm=[1,0,2] => u ; Reshape u i(2,-1,4,10,12) => v ; "
     "Gather v k(0) => y ; Gather v k(1) => z ; Concat y z axis=1 -> y2 ; Conv y2 w(3x8x1x1) -> y3",
     0, ACCEL, MAP},
    {"DepthToSpace", "DepthToSpace a blocksize=2 -> y", 2, ACCEL, MAP},
    {"DepthToSpace CRD", "DepthToSpace a blocksize=2 mode:CRD -> y", 2, ACCEL, MAP},
    {"pixel shuffle",
     "Reshape a i(1,2,2,2,10,12) => t ; Transpose t perm=[0,1,4,2,5,3] => u ; Reshape u "
     "i(1,2,20,24) -> y",
     2, ACCEL, MAP},
    {"SpaceToDepth", "SpaceToDepth a blocksize=2 -> y", 32, ACCEL, MAP},
    {"Pad", "Pad a i(0,0,1,2,0,0,3,1) -> y", 8, ACCEL, MAP},
    {"Pad of channels", "Pad a i(0,2,0,0,0,3,0,0) -> y", 13, ACCEL, MAP},
    {"Pad reflect", "Pad a i(0,0,1,1,0,0,1,1) mode:reflect -> y", 8, ACCEL, MAP},
    {"Pad edge", "Pad a i(0,0,1,1,0,0,1,1) mode:edge -> y", 8, ACCEL, MAP},
    {"Tile", "Tile a i(1,1,2,1) -> y", 8, ACCEL, MAP},
    {"Expand", "GlobalAveragePool a => t ; Expand t i(1,8,3,3) -> y", 8, ACCEL, MAP},
    {"Gather", "Gather a i(0,2,3) axis=2 -> y", 8, ACCEL, MAP},
    {"Gather of channels", "Gather a i(5,1,1,7) axis=1 -> y", 4, ACCEL, MAP},
    {"Flatten, Reshape, Squeeze",
     "Flatten a => t ; Reshape t i(1,8,10,12) => u ; Unsqueeze u i(0) => v ; Squeeze v i(0) -> y",
     8, ACCEL, MAP},
    /* functions of one value */
    {"Relu", "Relu a -> y", 8, ACCEL, MAP},
    {"Clip", "Clip a s(-0.5) s(1.5) -> y", 8, ACCEL, MAP},
    {"LeakyRelu", "LeakyRelu a alpha=0.3 -> y", 8, ACCEL, MAP},
    {"PRelu", "PRelu a f(8x1x1) -> y", 8, FLOAT_ACCEL, MAP},
    {"PRelu one slope", "PRelu a f(1x1x1) -> y", 8, ACCEL, MAP},
    {"Sigmoid", "Sigmoid a -> y", 8, ACCEL, MAP},
    {"Tanh", "Tanh a -> y", 8, ACCEL, MAP},
    {"HardSigmoid", "HardSigmoid a alpha=0.25 -> y", 8, ACCEL, MAP},
    {"HardSwish", "HardSwish a -> y", 8, ACCEL, MAP},
    {"Swish", "Swish a -> y", 8, ACCEL, MAP},
    {"Swish with a slope", "Swish a alpha=1.7 -> y", 8, ACCEL, MAP},
    {"SiLU", "Sigmoid a => t ; Mul a t -> y", 8, ACCEL, MAP},
    {"GELU",
     "Div a s(1.4142135) => t ; Erf t => u ; Add u s(1.0) => v ; Mul a v => w ; Mul w s(0.5) -> y",
     8, ACCEL, MAP},
    {"Mish", "Softplus a => t ; Tanh t => u ; Mul a u -> y", 8, ACCEL, MAP},
    {"Elu", "Elu a alpha=0.7 -> y", 8, ACCEL, MAP},
    {"Selu", "Selu a -> y", 8, ACCEL, MAP},
    {"Celu", "Celu a alpha=0.7 -> y", 8, ACCEL, MAP},
    {"Softplus", "Softplus a -> y", 8, ACCEL, MAP},
    {"Softsign", "Softsign a -> y", 8, ACCEL, MAP},
    {"ThresholdedRelu", "ThresholdedRelu a alpha=0.5 -> y", 8, ACCEL, MAP},
    {"Exp", "Clip a s(-2) s(1) => t ; Exp t -> y", 8, ACCEL, MAP},
    {"Abs", "Abs a -> y", 8, ACCEL, MAP},
    {"Neg", "Neg a -> y", 8, ACCEL, MAP},
    {"Sqrt", "Abs a => t ; Sqrt t -> y", 8, ACCEL, MAP},
    {"Log", "Abs a => t ; Add t s(0.5) => u ; Log u -> y", 8, ACCEL, MAP},
    {"Reciprocal", "Abs a => t ; Add t s(1) => u ; Reciprocal u -> y", 8, ACCEL, MAP},
    {"Pow", "Pow a s(2) -> y", 8, ACCEL, MAP},
    /* two values */
    {"Add", "Add a b -> y", 8, ACCEL, MAP},
    {"Add constant", "Add a w(1x8x1x1) -> y", 8, ACCEL, MAP},
    {"Sub", "Sub a b -> y", 8, ACCEL, MAP},
    {"Sub constant", "Sub a s(0.3) -> y", 8, ACCEL, MAP},
    {"Sub from a constant", "Sub s(1.5) a -> y", 8, ACCEL, MAP},
    {"Mul", "Mul a b -> y", 8, ACCEL, MAP},
    {"Mul by a vector", "GlobalAveragePool b -> t ; Sigmoid t -> u ; Mul a u -> y", 8, ACCEL, MAP},
    {"Div by a constant", "Div a s(1.7) -> y", 8, ACCEL, MAP},
    {"Div", "Abs b -> t ; Add t s(1) -> u ; Div a u -> y", 8, HOST, MAP},
    {"Min", "Min a b -> y", 8, ACCEL, MAP},
    {"Max", "Max a b -> y", 8, ACCEL, MAP},
    {"Sum", "Sum a b a -> y", 8, FLOAT_ACCEL, MAP},
    {"Mean", "Mean a b -> y", 8, FLOAT_ACCEL, MAP},
    /* reductions */
    {"ReduceMean of the map", "ReduceMean a axes=[2,3] -> y", 8, ACCEL, MAP},
    {"ReduceMean of channels", "ReduceMean a axes=[1] -> y", 1, ACCEL, MAP},
    {"ReduceMax of the map", "ReduceMax a axes=[2,3] -> y", 8, ACCEL, MAP},
    {"ReduceSum of the map", "ReduceSum a i(2,3) -> t ; Mul t s(0.01) -> y", 8, FLOAT_ACCEL, MAP},
    {"ArgMax", "ArgMax a axis=1 => y", 0, HOST, MAP},
    {"Softmax", "Softmax a axis=1 -> y", 8, HOST, MAP},
    {"InstanceNormalization", "InstanceNormalization a f(8) f(8) -> y", 8, HOST, MAP},
    {"LayerNormalization", "LayerNormalization a f(12) f(12) -> y", 8, HOST, MAP},
    {"RMSNormalization", "RMSNormalization a f(12) -> y", 8, HOST, MAP},
    {"GroupNormalization", "GroupNormalization a f(2) f(2) num_groups=2 -> y", 8, HOST, MAP},
    {"BatchNormalization", "BatchNormalization a p(8) f(8) f(8) p(8) -> y", 8, ACCEL, MAP},
    /* chains of shapes */
    {"Shape, Gather, Concat, Reshape",
     "Shape a => s ; Gather s k(0) => n ; Unsqueeze n i(0) => m ; Concat m i(-1) axis=0 => d ; "
     "Reshape a d => t ; Reshape t i(1,8,10,12) -> y",
     8, ACCEL, MAP},
    {"Range, Cast, Equal, Where",
     "Range k(0) k(8) k(1) => r ; Cast r to=1 => f ; Equal r k(3) => q ; Where q s(0.5) f => g ; "
     "Mul g s(0.1) => w ; Reshape w i(1,8,1,1) => v ; Add a v -> y",
     8, FLOAT_ACCEL, MAP},
};

static void build(model *m, const row *r, bool qdq) {
    texter x = {.m = m, .qdq = qdq, .seed = 7};
    static const int64_t map[4] = {1, 8, 10, 12}, line[3] = {1, 8, 12};
    const char *w = r->shape == MAP ? "x1x1" : "x1", *from = qdq ? "x_in" : "x";
    if (r->shape == MAP)
        m_input(m, from, ONNX_F32, 4, map);
    else
        m_input(m, from, ONNX_F32, 3, line);
    if (qdq) text_pair(&x, "x_in", "x");
    bool second = strstr(r->text, " b ") != NULL;
    m_text(&x, xg_strf(m->t->a, "Conv x w(8x8%s) f(8) -> a", w));
    if (second) m_text(&x, xg_strf(m->t->a, "Conv x w(8x8%s) f(8) -> b", w));
    m_text(&x, r->text);
    const char *out = strstr(r->text, " y3") ? "y3" : strstr(r->text, " y2") ? "y2" : "y";
    if (r->channels) {
        m_text(&x, xg_strf(m->t->a, "Conv y w(4x%d%s) f(4) -> out", r->channels, w));
        out = "out";
    }
    m_output(m, out);
}

/* Operator sets: the attributes in the texts are those of 11, or of the first set that has the
 * operator, or of the last one that has it. */
static int64_t opset_of(const row *r) {
    if (strstr(r->text, "Swish a ") == r->text || strstr(r->text, "RMSNorm")) return 24;
    if (strstr(r->text, "GroupNorm")) return 18;
    if (strstr(r->text, "LayerNorm")) return 17;
    if (strstr(r->text, "HardSwish")) return 14;
    if (strstr(r->text, "Celu")) return 12;
    if (strstr(r->text, "squeeze") || strstr(r->text, "ReduceSum")) return 13;
    return strstr(r->text, "Upsample") ? 9 : 11;
}

static float value_at(const xg_tensor *t, const void *v, int64_t i) {
    if (t->dtype == XG_F32) return ((const float *)v)[i];
    if (t->dtype == XG_I64) return (float)((const int64_t *)v)[i];
    return xg_dequantize_f32(((const int8_t *)v)[i], t->quant->scale[0], t->quant->zp[0]);
}

static const void *output_of(xg_test *t, const xg_graph *g, uint64_t seed) {
    xg_values *v = xg_new(t->a, xg_values);
    xg_values_init(v, g, t->a);
    for (uint32_t i = 0; i < g->input.n; i++) {
        float *x = xg_values_get(v, g->input.v[i]);
        for (int64_t k = 0; k < xg_tensor_elems(xg_tensorp(g, g->input.v[i])); k++)
            x[k] = (float)(int64_t)(xg_random(&seed) >> 40) * 0x1p-23f - 1; /* as --calib random */
    }
    assert_ok(t->c, xg_interp_run(t->c, v, NULL));
    return v->v[g->output.v[0]];
}

/* Cosine of the outputs of two graphs on the same input; 1 when both are zero. */
static double likeness(xg_test *t, const xg_graph *g, const xg_graph *h) {
    const void *a = output_of(t, g, 11), *b = output_of(t, h, 11);
    const xg_tensor *x = xg_tensorp(g, g->output.v[0]), *y = xg_tensorp(h, h->output.v[0]);
    assert_int_equal(xg_tensor_elems(x), xg_tensor_elems(y));
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < xg_tensor_elems(x); i++) {
        double p = (double)value_at(x, a, i), q = (double)value_at(y, b, i);
        ab += p * q, aa += p * p, bb += q * q;
    }
    return aa == 0 && bb == 0 ? 1 : ab / sqrt(aa * bb);
}

/* The first host step other than conversions at the borders; NULL when there is none. */
static const char *host_step(xg_test *t, const char *sel) {
    uint32_t turns = 0;
    for (const char *p = sel; (p = strstr(p, " host reason=\"")); p++) {
        const char *why = p + strlen(" host reason=\"");
        if (!strncmp(why, "the accelerator has no Quantize", 31) ||
            !strncmp(why, "the accelerator has no Dequantize", 33))
            continue;
        if (!strncmp(why, "the accelerator has no Transpose", 32) && ++turns <= 2) continue;
        return xg_strndup(t->a, why, strcspn(why, "\n"));
    }
    return NULL;
}

static bool failed(const row *r, bool qdq, const char *what, const char *detail) {
    print_message("%s (%s): %s %s\n", r->name, qdq ? "QDQ" : "float", what, detail);
    return false;
}

/* Compiles and checks; where it ran. */
static bool compile_and_check(xg_test *t, const row *r, bool qdq, const char *path, xgc_machine *m,
                              xgc *x) {
    xgc_model *g = NULL;
    xgc_binary *b = NULL;
    xgc_result *verdict = NULL;
    xgc_blob sel = {0};
    static const char *const fill[] = {"random:5"};
    const xgc_model_options load = {.calibration = "random:11"};
    const xgc_compile_options layer = {.strategy = "layer"};
    const xgc_check_options check = {.fill = fill, .nfill = 1};
    xgc_status st = xgc_model_load(x, path, m, &load, &g);
    if (st == XGC_OK) st = xgc_compile(x, g, &layer, &b);
    if (st == XGC_OK) st = xgc_check(x, g, b, &check, &verdict);
    if (st == XGC_OK) st = xgc_binary_print(x, b, "sel", &sel);
    bool good = st == XGC_OK;
    size_t n = xgc_message_count(x);
    if (!good) failed(r, qdq, "is not right:", n ? xgc_message_at(x, n - 1).text : "");
    const char *host = good ? host_step(t, sel.data) : NULL;
    bool wanted = r->where == ACCEL || (r->where == FLOAT_ACCEL && !qdq);
    if (good && host && wanted) good = failed(r, qdq, "runs on the host:", host);
    if (good && !host && r->where == HOST && !qdq)
        good = failed(r, qdq, "runs on the accelerator; the table says host", "");
    xgc_blob_free(&sel);
    xgc_result_free(verdict);
    xgc_binary_free(b);
    xgc_model_free(g);
    return good;
}

static bool try_form(xg_test *t, const row *r, bool qdq, xgc_machine *machine, xgc *x) {
    void *state = t;
    model m = model_new(&state, opset_of(r));
    if (qdq && m.opset < 10) return true; /* there is no QuantizeLinear yet */
    build(&m, r, qdq);
    char path[] = "xgc-test-XXXXXX.onnx";
    m_write(&m, path);
    const xg_import_options on = {0};
    xg_graph *raw, *canonical;
    size_t diags = xg_diag_count(t->c);
    bool good = xg_import_onnx(t->a, path, &on, &raw) == XG_OK;
    if (good) good = xg_import_onnx(t->a, path, &on, &canonical) == XG_OK;
    if (good) good = xg_canonicalise(t->a, &canonical, NULL, NULL) == XG_OK;
    if (!good) {
        failed(r, qdq,
               "is refused:", xg_diag_count(t->c) > diags ? xg_diag_at(t->c, diags)->text : "");
        xg_diag_truncate(t->c, diags);
    } else {
        double like = likeness(t, raw, canonical);
        if (like < (qdq ? 0.99 : 0.999999))
            good = failed(r, qdq, "changes in the passes: likeness", xg_strf(t->a, "%.8f", like));
    }
    if (good) good = compile_and_check(t, r, qdq, path, machine, x);
    if (good && !qdq) {
        xg_front_options o = {.calib_inputs = "random:11"};
        xg_rqrec record;
        xg_graph *q;
        assert_true(xg_rqrec_profile("ort", &record));
        assert_ok(t->c, xg_front(t->a, path, &o, &record, &q, NULL));
        double like = likeness(t, canonical, q);
        if (like < 0.98)
            good = failed(r, qdq, "is quantised badly: likeness", xg_strf(t->a, "%.4f", like));
    }
    unlink(path);
    return good;
}

static void every_operator(void **state) {
    xg_test *t = *state;
    xgc *x = xgc_new();
    xgc_machine *zu9, *nano;
    uint32_t bad = 0;
    const char *only = getenv("XGC_OPERATOR"); /* one row, when looking into a failure */
    assert_int_equal(xgc_machine_load(x, "zu9", NULL, &zu9), XGC_OK);
    assert_int_equal(xgc_machine_load(x, "nano", NULL, &nano), XGC_OK);
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        if (only && !strstr(rows[i].name, only)) continue;
        bad += !try_form(t, &rows[i], false, zu9, x);
        bad += !try_form(t, &rows[i], true, nano, x);
    }
    print_message("%zu operators in two forms, %u wrong\n", XG_COUNT(rows), bad);
    xgc_free(x);
    assert_int_equal(bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(every_operator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
