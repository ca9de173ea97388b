/* How ranges are chosen, against searches written out here over the values themselves; and what
 * equalisation and bias correction promise. */
#include "xgraph/histogram.h"
#include "xgraph/import.h"
#include "xgraph/samples.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "float_net.h"
#include "xg_test.h"

enum { N = 20000 };

static xg_rqrec profile(const char *name) {
    xg_rqrec r;
    assert_true(xg_rqrec_profile(name, &r));
    return r;
}

/* ---- values ---- */

typedef enum shape { UNIFORM, HEAVY, RELU, OUTLIER, NEGATIVE, SHAPES } shape;

/* Sum of 12 uniform numbers: nearly normal, variance 1. */
static double normal(uint64_t *seed) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(xg_random(seed) >> 11) * 0x1p-53;
    return sum;
}

static const float *values(xg_arena *a, shape s) {
    uint64_t seed = 11 + (uint64_t)s;
    float *v = xg_newn(a, float, N);
    for (int i = 0; i < N; i++) {
        double x = normal(&seed);
        switch (s) {
        case UNIFORM:
            v[i] = (float)((double)(xg_random(&seed) >> 11) * 0x1p-53 * 7 - 2);
            break;
        case HEAVY:
            v[i] = (float)(x * x * x);
            break;
        case RELU:
            v[i] = (float)fmax(x * fabs(x), 0);
            break;
        case OUTLIER:
            v[i] = (float)(i == 77 ? 90 : x);
            break;
        default:
            v[i] = (float)(-fabs(x) - 0.5);
        }
    }
    return v;
}

static void range_of(xg_test *t, const float *v, const xg_rqrec *r, xg_calib_method m, double p,
                     float *lo, float *hi) {
    xg_histogram h;
    xg_histogram_init(&h);
    xg_histogram_add(&h, t->a, v, N);
    xg_histogram_range(&h, r, m, p, NULL, lo, hi);
}

static void extremes(const float *v, double *lo, double *hi) {
    *lo = *hi = 0;
    for (int i = 0; i < N; i++) {
        *lo = fmin(*lo, (double)v[i]);
        *hi = fmax(*hi, (double)v[i]);
    }
}

/* ---- squared error ---- */

/* What 8 bits make of the values when they cover [lo, hi]: scale and zero point as ONNX's own
 * quantisers choose them. What saturates counts four times. */
static double error_of(const float *v, const xg_rqrec *r, double lo, double hi) {
    double scale, sum = 0;
    double zp = 0;
    if (r->act_zero_point) {
        scale = (hi - lo) / 255;
        zp = rint(-128 - lo / scale);
    } else {
        scale = fmax(hi / 127, -lo / (r->pow2_scales ? 128 : 127));
    }
    if (r->pow2_scales) scale = exp2(ceil(log2(scale) - 1e-9));
    for (int i = 0; i < N; i++) {
        double q = fmin(fmax(rint(v[i] / scale) + zp, -128), 127), d = (q - zp) * scale - v[i];
        sum += fabs(d) > scale / 2 ? 4 * d * d : d * d;
    }
    return sum;
}

static double best_error(const float *v, const xg_rqrec *r) {
    double lo, hi, best = INFINITY;
    extremes(v, &lo, &hi);
    for (int i = 8; i <= 32; i++)
        for (int j = 8; j <= 32; j++) {
            bool together = !r->act_zero_point; /* then only the larger end matters */
            if (together && i != j) continue;
            best = fmin(best, error_of(v, r, lo * i / 32, hi * j / 32));
        }
    return best;
}

static void mse_is_nearly_the_least(void **state) {
    xg_test *t = *state;
    static const char *const names[] = {"ort", "nvdla", "dpu"};
    for (size_t p = 0; p < XG_COUNT(names); p++)
        for (shape s = 0; s < SHAPES; s++) {
            xg_rqrec r = profile(names[p]);
            const float *v = values(t->a, s);
            float lo, hi;
            double least, most;
            extremes(v, &least, &most);
            range_of(t, v, &r, XG_CALIB_MSE, 0, &lo, &hi);
            double got = error_of(v, &r, lo, hi), all = error_of(v, &r, least, most);
            double best = best_error(v, &r);
            assert_true(got <= 1.05 * best);
            assert_true(got <= 1.02 * all);
        }
}

/* ---- percentile ---- */

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void percentiles_are_order_statistics(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    static const double percents[] = {99.99, 99.9, 99, 90};
    for (shape s = 0; s < SHAPES; s++)
        for (size_t k = 0; k < XG_COUNT(percents); k++) {
            const float *v = values(t->a, s);
            float *sorted = xg_memdup(t->a, v, N * sizeof *v), lo, hi;
            qsort(sorted, N, sizeof *sorted, ascending);
            range_of(t, v, &r, XG_CALIB_PERCENTILE, percents[k], &lo, &hi);
            int allowed = (int)(N * (1 - percents[k] / 100) + 1e-6), below = 0, above = 0;
            for (int i = 0; i < N; i++) {
                below += v[i] < lo;
                above += v[i] > hi;
            }
            assert_true(below <= allowed && above <= allowed);
            /* as tight as bins of 1/2048 of the whole allow */
            double width = fmax(fabs((double)sorted[0]), fabs((double)sorted[N - 1])) / 1000;
            double first = fmin(0, sorted[allowed]), last = fmax(0, sorted[N - 1 - allowed]);
            assert_true(lo >= first - width && hi <= last + width);
        }
}

static void minmax_is_exact(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    for (shape s = 0; s < SHAPES; s++) {
        const float *v = values(t->a, s);
        float *sorted = xg_memdup(t->a, v, N * sizeof *v), lo, hi;
        qsort(sorted, N, sizeof *sorted, ascending);
        range_of(t, v, &r, XG_CALIB_MINMAX, 0, &lo, &hi);
        assert_true(lo == sorted[0] && hi == sorted[N - 1]);
    }
}

/* ---- entropy ---- */

enum { FINE = 4000 };

/* Divergence of the values, clipped to [lo, hi] and counted in fine bins over [least, most], from
 * the same counts spread evenly over each of the 256 levels. What was clipped counts with the last
 * bin inside, and only on the left side. */
static double divergence(const float *v, double least, double most, double lo, double hi) {
    static double p[FINE];
    static int level[FINE];
    double mass[257] = {0}, used[257] = {0}, sum = 0, inside = 0, total = 0;
    double step = (hi - lo) / 255, bin = (most - least) / FINE;
    for (int i = 0; i < FINE; i++) {
        double at = fmin(fmax(least + (i + 0.5) * bin, lo), hi);
        level[i] = (int)rint((at - lo) / step);
        p[i] = 0;
    }
    for (int i = 0; i < N; i++) {
        if (v[i] == 0) continue;
        double clipped = fmin(fmax((double)v[i], lo + bin / 2), hi - bin / 2);
        int at = (int)fmin(fmax(floor((clipped - least) / bin), 0), FINE - 1);
        p[at]++;
        total++;
        if (v[i] < lo || v[i] > hi) continue;
        mass[level[at]]++;
        inside++;
    }
    for (int i = 0; i < FINE; i++) used[level[i]] += p[i] > 0;
    for (int i = 0; i < FINE; i++) {
        if (p[i] == 0) continue;
        double q = fmax(mass[level[i]] / used[level[i]] / inside, 1e-9);
        sum += p[i] / total * log(p[i] / total / q);
    }
    return sum;
}

/* Finer bins see other noise in the counts, so two such searches agree only roughly. */
static void entropy_follows_the_divergence(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("ort");
    for (shape s = 0; s < SHAPES; s++) {
        const float *v = values(t->a, s);
        float lo, hi;
        double least, most, best = INFINITY;
        extremes(v, &least, &most);
        range_of(t, v, &r, XG_CALIB_ENTROPY, 0, &lo, &hi);
        double got = divergence(v, least, most, lo, hi);
        for (int k = 32; k <= 128; k++)
            best = fmin(best, divergence(v, least, most, least * k / 128, most * k / 128));
        assert_true(got <= 1.25 * best + 1e-3);
        if (s == OUTLIER) assert_true(hi < 60);
        if (s == UNIFORM) assert_true(hi - lo > 0.85 * (most - least));
    }
}

/* ---- all methods ---- */

static void order_and_portions_do_not_matter(void **state) {
    xg_test *t = *state;
    static const char *const names[] = {"ort", "nvdla", "dpu"};
    for (shape s = 0; s < SHAPES; s++)
        for (int m = XG_CALIB_MINMAX; m <= XG_CALIB_MSE; m++) {
            const float *v = values(t->a, s);
            xg_rqrec r = profile(names[m % 3]);
            float lo, hi, lo2, hi2;
            range_of(t, v, &r, (xg_calib_method)m, 99.9, &lo, &hi);
            xg_histogram h;
            xg_histogram_init(&h);
            for (int i = N; i > 0; i -= 125) xg_histogram_add(&h, t->a, v + i - 125, 125);
            xg_histogram_range(&h, &r, (xg_calib_method)m, 99.9, NULL, &lo2, &hi2);
            assert_true(lo == lo2 && hi == hi2);
        }
}

static void odd_values_do_no_harm(void **state) {
    xg_test *t = *state;
    xg_rqrec r = profile("dpu");
    static const float odd[][3] = {
        {0, 0, 0}, {1, NAN, 2}, {INFINITY, 0, 1}, {0x1p-149f, 0, 0}, {0x1.fffffep+127f, -1, 0}};
    for (size_t k = 0; k < XG_COUNT(odd); k++)
        for (int m = XG_CALIB_MINMAX; m <= XG_CALIB_MSE; m++) {
            xg_histogram h;
            float lo, hi;
            xg_histogram_init(&h);
            xg_histogram_add(&h, t->a, odd[k], 3);
            xg_histogram_range(&h, &r, (xg_calib_method)m, 99, NULL, &lo, &hi);
            if (k == 1) assert_true(isnan(lo) || isnan(hi)); /* refused later, by name */
            if (k == 2) assert_true(isinf(hi));
            if (k == 0) assert_true(lo == 0 && hi == 0);
            if (k > 2) assert_true(isfinite(lo) && isfinite(hi) && lo <= hi);
        }
}

/* ---- equalisation ---- */

/* Two convolutions, the channels between them very uneven: no one weight scale suits them. */
static xg_graph *uneven_net(xg_test *t) {
    maker m = {t->a, xg_graph_new(t->a, "uneven"), 9};
    uint32_t x = float_input(&m, "x", 8, 8, 4);
    uint32_t y = conv(&m, "first", x, 4, 8, 3, 0.3f);
    uint32_t z = conv(&m, "second", clip(&m, "relu", y, 0, INFINITY), 8, 5, 3, 0.3f);
    float *w = (float *)(uintptr_t)xg_in(m.g, xg_nodep(m.g, 0), 1)->data;
    float *b = (float *)(uintptr_t)xg_in(m.g, xg_nodep(m.g, 0), 2)->data;
    float *v = (float *)(uintptr_t)xg_in(m.g, node_of(&m, z), 1)->data;
    for (int c = 0; c < 8; c++) {
        float f = exp2f((float)(c - 4));
        for (int i = 0; i < 36; i++) w[c * 36 + i] *= f;
        b[c] *= f;
        for (int i = 0; i < 45; i++) v[i * 8 + c] /= f;
    }
    xg_tensor_rename(m.g, z, "y");
    xg_graph_add_output(m.g, z);
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    return m.g;
}

static void run_float(xg_test *t, const xg_graph *g, xg_values *v) {
    xg_values_init(v, g, t->a);
    assert_ok(t->c, xg_values_fill(t->c, v, "random", 4));
    assert_ok(t->c, xg_interp_run(t->c, v, NULL));
}

static double quantised_db(xg_test *t, xg_graph *g, const xg_rqrec *r, const xg_quant_options *o) {
    xg_samples *s;
    xg_calibration k;
    xg_quant_report report = {0};
    xg_graph *q = g;
    assert_ok(t->c, xg_samples_open(t->a, g, "random", NULL, &s));
    assert_ok(t->c, xg_calibrate_samples(t->a, g, r, s, o, NULL, &k));
    assert_ok(t->c, xg_quantise_with(t->a, &q, &k, r, o, s, NULL, &report));
    assert_ok(t->c, xg_quant_compare(t->a, g, q, r, s, 1, &report));
    return report.output.v[0].sqnr_db;
}

static void equalisation_changes_nothing_in_float_and_much_in_8_bits(void **state) {
    xg_test *t = *state;
    xg_graph *g = uneven_net(t), *e = g;
    xg_samples *s;
    uint32_t changed = 0;
    assert_ok(t->c, xg_samples_open(t->a, g, "random", NULL, &s));
    assert_ok(t->c, xg_equalise(t->a, &e, s, &changed));
    assert_int_equal(changed, 1);
    xg_values a, b;
    run_float(t, g, &a);
    run_float(t, e, &b);
    const float *ya = a.v[g->output.v[0]], *yb = b.v[e->output.v[0]];
    for (int i = 0; i < 8 * 8 * 5; i++) assert_true(fabsf(ya[i] - yb[i]) < 1e-4f);
    xg_rqrec r = profile("dpu"); /* one power of two for all weights of a tensor */
    xg_quant_options o = {.bias_correction = XG_OFF};
    double before = quantised_db(t, g, &r, &o), after = quantised_db(t, e, &r, &o);
    assert_true(after > before + 6);
}

/* A quantised graph for a machine of powers of two, without inputs: what lies between layers may be
 * rescaled all the same, and the ranges are not only those of the old codes. */
static double fitted_db(xg_test *t, xg_graph *g, const xg_graph *one, xg_switch equalise) {
    xg_rqrec dpu = profile("dpu");
    xg_quant_options o = {.equalise = equalise};
    xg_quant_report report = {0};
    xg_samples *other;
    xg_graph *q;
    assert_ok(t->c, xg_graph_compact(t->c, one, t->a, &q));
    assert_ok(t->c, xg_target_quantise_with(t->a, &q, &dpu, &o, NULL, &report));
    assert_non_null(strstr(report.how, "random"));
    assert_ok(t->c, xg_samples_open(t->a, g, "random:9", NULL, &other));
    assert_ok(t->c, xg_quant_compare(t->a, g, q, &dpu, other, 1, &report));
    return report.output.v[0].sqnr_db;
}

static void machines_without_the_scales_get_equalised_layers(void **state) {
    xg_test *t = *state;
    xg_graph *g = uneven_net(t), *q = g;
    xg_rqrec ort = profile("ort");
    xg_samples *s;
    xg_calibration k;
    assert_ok(t->c, xg_samples_open(t->a, g, "random", NULL, &s));
    assert_ok(t->c, xg_calibrate_samples(t->a, g, &ort, s, NULL, NULL, &k));
    assert_ok(t->c, xg_quantise(t->a, &q, &k, &ort, NULL));
    double plain = fitted_db(t, g, q, XG_OFF), equal = fitted_db(t, g, q, XG_AUTO);
    print_message("%.1f dB, equalised %.1f dB\n", plain, equal);
    assert_true(equal > plain + 3);
}

/* ---- bias correction ---- */

/* The mean of each output channel's error over the map. */
static double mean_error(xg_test *t, xg_graph *g, xg_switch correct) {
    xg_rqrec r = profile("nvdla");
    xg_quant_options o = {.bias_correction = correct};
    xg_samples *s;
    xg_calibration k;
    xg_graph *q = g;
    assert_ok(t->c, xg_samples_open(t->a, g, "random:4", NULL, &s));
    assert_ok(t->c, xg_calibrate_samples(t->a, g, &r, s, &o, NULL, &k));
    assert_ok(t->c, xg_quantise_with(t->a, &q, &k, &r, &o, s, NULL, NULL));
    xg_values a, b;
    xg_values_init(&a, g, t->a);
    xg_values_init(&b, q, t->a);
    assert_ok(t->c, xg_samples_fill(s, 0, &a));
    assert_ok(t->c, xg_samples_fill(s, 0, &b));
    assert_ok(t->c, xg_interp_run(t->c, &a, NULL));
    assert_ok(t->c, xg_interp_run(t->c, &b, &r));
    const float *ya = a.v[g->output.v[0]], *yb = b.v[q->output.v[0]];
    double sum = 0;
    for (int c = 0; c < 5; c++) {
        double mean = 0;
        for (int i = 0; i < 64; i++) mean += (double)(yb[i * 5 + c] - ya[i * 5 + c]) / 64;
        sum += fabs(mean);
    }
    return sum;
}

static void bias_correction_takes_back_the_mean(void **state) {
    xg_test *t = *state;
    double without = mean_error(t, uneven_net(t), XG_OFF);
    double with = mean_error(t, uneven_net(t), XG_ON);
    assert_true(without > 0 && with < 0.5 * without);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(mse_is_nearly_the_least),
        TEST(percentiles_are_order_statistics),
        TEST(minmax_is_exact),
        TEST(entropy_follows_the_divergence),
        TEST(order_and_portions_do_not_matter),
        TEST(odd_values_do_no_harm),
        TEST(equalisation_changes_nothing_in_float_and_much_in_8_bits),
        TEST(machines_without_the_scales_get_equalised_layers),
        TEST(bias_correction_takes_back_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
