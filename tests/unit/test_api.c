/* The library through its public header, and its promise about running out of memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "driver/api.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL XGC_SOURCE_DIR "/tests/cli/small.xg"

static xgc_status whole_line(xgc *x) {
    xgc_machine *m = NULL;
    xgc_model *g = NULL;
    xgc_binary *b = NULL;
    xgc_result *r = NULL;
    xgc_blob text = {NULL, 0};
    static const char *const fill[] = {"random:2"};
    const xgc_check_options o = {.fill = fill, .nfill = 1, .functional = true};
    xgc_status st = xgc_machine_load(x, "nano", NULL, &m);
    assert_true((st == XGC_OK) == (m != NULL));
    if (st == XGC_OK) st = xgc_model_load(x, MODEL, m, NULL, &g);
    assert_true((st == XGC_OK) == (g != NULL));
    if (st == XGC_OK) st = xgc_compile(x, g, NULL, &b);
    assert_true((st == XGC_OK) == (b != NULL));
    if (st == XGC_OK) st = xgc_check(x, g, b, &o, &r);
    assert_true((st == XGC_OK) == (r != NULL));
    if (st == XGC_OK) st = xgc_result_print(x, r, "text", &text);
    assert_true((st == XGC_OK) == (text.data != NULL));
    xgc_blob_free(&text);
    if (st == XGC_OK) st = xgc_binary_print(x, b, "xgb", &text);
    xgc_blob_free(&text);
    xgc_result_free(r);
    xgc_binary_free(b);
    xgc_model_free(g);
    xgc_machine_free(m);
    return st;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    uint64_t failures = 0;
    for (uint64_t n = 1;; n += 1 + n / 40) {
        xgc *x = xgc_new();
        assert_non_null(x);
        xg_ctx_fail_alloc(x->ctx, n);
        xgc_status st = whole_line(x);
        xgc_free(x);
        if (st == XGC_OK) break;
        assert_int_equal(st, XGC_NOMEM);
        failures++;
    }
    assert_true(failures > 50);
}

static void contexts_are_independent(void **state) {
    (void)state;
    xgc *x = xgc_new(), *y = xgc_new();
    xgc_machine *m;
    assert_int_equal(xgc_machine_load(x, "/nowhere.yaml", NULL, &m), XGC_IO);
    assert_null(m);
    assert_int_equal(xgc_message_count(x), 1);
    assert_int_equal(xgc_message_at(x, 0).level, XGC_ERROR);
    assert_int_equal(xgc_message_count(y), 0);
    xgc_clear_messages(x);
    assert_int_equal(xgc_message_count(x), 0);
    assert_int_equal(whole_line(y), XGC_OK);
    xgc_free(x);
    xgc_free(y);
    xgc_free(NULL);
    xgc_blob_free(NULL);
    xgc_result_free(NULL);
}

/* The options that a binary records bring a model to the same form; a file must be given again. */
static void binaries_record_their_options(void **state) {
    (void)state;
    xgc *x = xgc_new();
    xgc_machine *m;
    xgc_model *g;
    xgc_binary *b;
    static const char *const shape[] = {"a b=1x2", "c%=3"};
    const xgc_model_options o = {
        .shape = shape, .nshape = 2, .batch = 4, .calibration = "random:9", .random_weights = true};
    assert_int_equal(xgc_machine_load(x, "nano", NULL, &m), XGC_OK);
    assert_int_equal(xgc_model_load(x, MODEL, m, &o, &g), XGC_OK);
    assert_int_equal(xgc_compile(x, g, NULL, &b), XGC_OK);
    const char *recorded = xgc_binary_describe(b).options;
    assert_string_equal(recorded,
                        "batch=4 shape=a%20b=1x2 shape=c%25=3 random-weights calib=random:9");
    const xgc_model_options again = {.recorded = recorded};
    xgc_model *h;
    assert_int_equal(xgc_model_load(x, MODEL, m, &again, &h), XGC_OK);
    assert_string_equal(h->options, recorded);
    const xgc_model_options file = {.recorded = "calib=sha256:0123456789abcdef"};
    assert_int_equal(xgc_model_load(x, MODEL, m, &file, &h), XGC_USAGE);
    assert_null(h);
    assert_non_null(
        strstr(xgc_message_at(x, xgc_message_count(x) - 1).text, "give that file again"));
    xgc_free(x);
}

static void unknown_forms_list_the_known_ones(void **state) {
    (void)state;
    xgc *x = xgc_new();
    xgc_machine *m;
    xgc_model *g;
    xgc_binary *b;
    xgc_blob text;
    assert_int_equal(xgc_machine_load(x, "nano", NULL, &m), XGC_OK);
    assert_int_equal(xgc_model_load(x, MODEL, m, NULL, &g), XGC_OK);
    assert_int_equal(xgc_compile(x, g, NULL, &b), XGC_OK);
    assert_int_equal(xgc_machine_print(x, m, "pdf", &text), XGC_USAGE);
    assert_null(text.data);
    assert_int_equal(xgc_model_print(x, g, "pdf", &text), XGC_USAGE);
    assert_int_equal(xgc_binary_print(x, b, "pdf", &text), XGC_USAGE);
    assert_int_equal(xgc_operators(x, "pdf", &text), XGC_USAGE);
    assert_int_equal(xgc_message_count(x), 4);
    for (size_t i = 0; i < 4; i++) assert_non_null(strstr(xgc_message_at(x, i).text, "there are"));
    assert_int_equal(xgc_binary_print(x, b, "plan", &text), XGC_OK);
    assert_true(text.size > 0 && text.data[text.size] == 0);
    xgc_blob_free(&text);
    xgc_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(contexts_are_independent),
        cmocka_unit_test(binaries_record_their_options),
        cmocka_unit_test(unknown_forms_list_the_known_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
