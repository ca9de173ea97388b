/* How far a machine's requantisation is from the one that a model states: against a comparison made
 * here, tensor by tensor. */
#include "xgraph/scheme.h"
#include "xgraph/reals.h"
#include "xgraph/samples.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "xg_test.h"

#include <math.h>

static const char *const digits = XGC_SOURCE_DIR "/examples/digits/digits_qdq.onnx";

typedef struct trial {
    xg_front_options options;
    xg_rqrec record;
    xg_front_result front;
    xg_quant_report quant;
    xg_scheme scheme;
} trial;

static void compare(xg_test *t, trial *k, const char *path, const char *profile, uint64_t most) {
    k->options.import.external_data = true;
    assert_true(xg_rqrec_profile(profile, &k->record));
    assert_ok(t->c, xg_front_full(t->a, path, &k->options, &k->record, &k->front, &k->quant));
    assert_ok(t->c, xg_scheme_compare(t->a, path, &k->options, &k->record, &k->front, &k->quant,
                                      most, &k->scheme));
}

/* The largest difference of the first output over all four sets that are compared. */
static double largest(xg_test *t, const trial *k, const xg_graph *stated, const char *inputs) {
    xg_samples *s;
    double most = 0;
    assert_ok(t->c, xg_samples_open(t->a, stated, inputs, NULL, &s));
    uint64_t sets = xg_samples_count(s), take = sets < 4 ? sets : 4;
    for (uint64_t i = 0; i < take; i++) {
        xg_values a, b;
        xg_values_init(&a, stated, t->a);
        xg_values_init(&b, k->front.graph, t->a);
        assert_ok(t->c, xg_samples_fill(s, i * sets / take, &a));
        assert_ok(t->c, xg_samples_fill(s, i * sets / take, &b));
        assert_ok(t->c, xg_interp_run(t->c, &a, NULL));
        assert_ok(t->c, xg_interp_run(t->c, &b, &k->record));
        uint32_t x = stated->output.v[0], y = k->front.graph->output.v[0];
        for (int64_t e = 0; e < xg_tensor_elems(xg_tensorp(stated, x)); e++)
            most = fmax(most, fabs((double)xg_real_at(xg_tensorp(stated, x), a.v[x], e) -
                                   (double)xg_real_at(xg_tensorp(k->front.graph, y), b.v[y], e)));
    }
    return most;
}

static void test_same_scheme(void **state) {
    xg_test *t = *state;
    trial k = {0};
    compare(t, &k, digits, "ort", UINT64_MAX);
    assert_null(k.scheme.stated);
    assert_null(xg_scheme_text(t->a, &k.scheme));
}

static void test_float_model(void **state) {
    xg_test *t = *state;
    trial k = {.options = {.calib_inputs = "random:1"}};
    compare(t, &k, XGC_SOURCE_DIR "/examples/digits/digits.onnx", "dpu", UINT64_MAX);
    assert_null(k.scheme.stated);
}

static void test_powers_of_two(void **state) {
    xg_test *t = *state;
    const char *inputs = XGC_SOURCE_DIR "/examples/digits/calibration_images.npy";
    trial k = {.options = {.calib_inputs = inputs}};
    compare(t, &k, digits, "dpu", UINT64_MAX);
    assert_true(k.scheme.measured && k.scheme.calibration && k.scheme.sets == 4);
    assert_true(k.scheme.differ > 0 && k.scheme.differ <= k.scheme.layers);
    double most = largest(t, &k, k.front.before, inputs);
    assert_true(most > 0 && k.scheme.most == most);
    assert_true(k.scheme.steps == 0); /* a probability has no scale */
    assert_true(k.scheme.cosine > 0.9 && k.scheme.cosine < 1);
    assert_true(k.scheme.layer_steps > 0 && k.scheme.layer_most > 0);
    assert_non_null(strstr(xg_scheme_text(t->a, &k.scheme), k.scheme.layer));
    assert_non_null(strstr(xg_scheme_text(t->a, &k.scheme), "4 sets of the calibration inputs"));
}

/* A multiplier of 8 bits takes the model's scales, and rounds elsewhere. */
static void test_narrow_multiplier(void **state) {
    xg_test *t = *state;
    trial k = {0};
    compare(t, &k, digits, "mul8", UINT64_MAX);
    assert_true(k.scheme.measured && !k.scheme.calibration && k.scheme.sets == 1);
    assert_true(k.scheme.differ > 0 && k.scheme.layer_steps >= 1);
    assert_true(k.scheme.most == largest(t, &k, k.front.before, "random:1"));
}

static void test_not_measured(void **state) {
    xg_test *t = *state;
    trial k = {0};
    compare(t, &k, digits, "dpu", 10);
    assert_non_null(k.scheme.stated);
    assert_false(k.scheme.measured);
    assert_non_null(strstr(xg_scheme_text(t->a, &k.scheme), "not measured"));
}

/* y = clip(floor((3 x + 5) / 8), 0, 255), spelled in floating point. */
static const char integerised[] =
    "graph \"t\" format=1\n"
    "tensor \"x\" f32 [1,16,16,1]\n"
    "tensor \"w\" f32 [1,1,1,1] data=hex:00004040\n"
    "tensor \"b\" f32 [1] data=hex:0000a040\n"
    "tensor \"d\" f32 [1] data=hex:00000041\n"
    "tensor \"acc\" f32 [1,16,16,1]\n"
    "tensor \"q\" f32 [1,16,16,1]\n"
    "tensor \"f\" f32 [1,16,16,1]\n"
    "tensor \"y\" f32 [1,16,16,1]\n"
    "input \"x\"\n"
    "node Conv \"conv\" in=[\"x\",\"w\",\"b\"] out=[\"acc\"] kernel_h=1 kernel_w=1\n"
    "node Div \"div\" in=[\"acc\",\"d\"] out=[\"q\"]\n"
    "node Floor \"floor\" in=[\"q\"] out=[\"f\"]\n"
    "node Clip \"clip\" in=[\"f\"] out=[\"y\"] min=0x0p+0 max=0x1.fep+7\n"
    "output \"y\"\n";

static void test_integerised(void **state) {
    xg_test *t = *state;
    char path[] = "xgc-scheme-XXXXXX.xg";
    int fd = mkstemps(path, 3);
    assert_true(fd >= 0 && write(fd, integerised, sizeof integerised - 1) > 0);
    close(fd);
    static const char *const profile[] = {"tflite1", "ort", "dpu"};
    for (int i = 0; i < 3; i++) {
        trial k = {0};
        xg_graph *stated;
        compare(t, &k, path, profile[i], UINT64_MAX);
        assert_true(k.front.approximated && k.scheme.measured);
        assert_ok(t->c, xg_graph_read(t->a, path, &stated));
        xg_samples *s;
        assert_ok(t->c, xg_samples_open(t->a, k.front.before, "random:1", NULL, &s));
        xg_values a;
        xg_values_init(&a, stated, t->a);
        assert_ok(t->c, xg_samples_fill(s, 0, &a));
        const float *x = a.v[stated->input.v[0]];
        for (int e = 0; e < 256; e++) assert_true(x[e] == rintf(x[e]) && x[e] >= 0);
        if (i == 0) assert_int_equal(k.scheme.differ, 0); /* halves round up: exact */
        if (i == 0) assert_true(k.scheme.most == 0 && k.scheme.cosine == 1);
        if (i == 0) assert_non_null(strstr(xg_scheme_text(t->a, &k.scheme), "no element differs"));
        if (i == 1) assert_true(k.scheme.steps == 1); /* halves round to even */
        if (i == 2) assert_true(k.scheme.steps >= 1 && k.scheme.steps == k.scheme.most);
    }
    unlink(path);
}

static xg_status nomem_scenario(void *arg) {
    xg_arena *a = ((xg_test_case *)arg)->a;
    xg_front_options o = {.import = {.external_data = true}};
    xg_rqrec record;
    xg_front_result r;
    xg_quant_report quant = {0};
    xg_scheme s;
    if (!xg_rqrec_profile("mul8", &record)) return XG_INTERNAL;
    xg_status st = xg_front_full(a, digits, &o, &record, &r, &quant);
    return st == XG_OK ? xg_scheme_compare(a, digits, &o, &record, &r, &quant, UINT64_MAX, &s) : st;
}

static void test_no_memory(void **state) {
    (void)state;
    assert_true(xg_test_nomem(nomem_scenario, NULL, 97) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_same_scheme),       TEST(test_float_model),  TEST(test_powers_of_two),
        TEST(test_narrow_multiplier), TEST(test_not_measured), TEST(test_integerised),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
