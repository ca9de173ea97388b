#include "xgraph/import.h"

#include "xgraph/histogram.h"
#include "xgraph/importance.h"
#include "xgraph/reals.h"
#include "xgraph/samples.h"

#include <math.h>
#include <string.h>

static const char *const methods[] = {
    [XG_CALIB_AUTO] = "auto",       [XG_CALIB_MINMAX] = "minmax",
    [XG_CALIB_ENTROPY] = "entropy", [XG_CALIB_PERCENTILE] = "percentile",
    [XG_CALIB_MSE] = "mse",
};

bool xg_calib_method_parse(const char *s, xg_calib_method *out) {
    for (size_t i = XG_CALIB_MINMAX; i < XG_COUNT(methods); i++)
        if (!strcmp(s, methods[i])) {
            *out = (xg_calib_method)i;
            return true;
        }
    return false;
}

const char *xg_calib_method_name(xg_calib_method m) {
    return methods[m == XG_CALIB_AUTO ? XG_CALIB_MSE : m];
}

/* ---- minimum and maximum ---- */

/* A NaN makes the range NaN, which the quantiser refuses by the tensor's name. */
static void widen(xg_range *r, const float *v, int64_t n) {
    for (int64_t i = 0; i < n && !isnan(r->min); i++) {
        if (isnan(v[i])) r->min = r->max = v[i];
        if (!(v[i] >= r->min)) r->min = v[i];
        if (!(v[i] <= r->max)) r->max = v[i];
    }
}

static bool is_measured(const xg_tensor *t) {
    return t->dtype == XG_F32 && (t->is_input || t->producer != XG_NONE);
}

xg_status xg_calibrate(xg_arena *a, const xg_graph *g, xg_values *const *inputs, uint32_t n,
                       xg_calibration *out) {
    xg_ctx *c = xg_arena_ctx(a);
    *out = (xg_calibration){0};
    if (!n) return xg_error(c, XG_INPUT, "", "calibration needs at least one set of inputs");
    for (uint32_t t = 0; t < g->tensor.n; t++)
        if (is_measured(xg_tensorp(g, t))) {
            xg_range fresh = {.tensor = g->tensor.v[t].name, .min = INFINITY, .max = -INFINITY};
            xg_push(a, &out->range, fresh);
        }
    for (uint32_t i = 0; i < n; i++) {
        xg_status st = xg_interp_run(c, inputs[i], NULL);
        if (st != XG_OK) return st;
        uint32_t row = 0;
        for (uint32_t t = 0; t < g->tensor.n; t++) {
            if (!is_measured(xg_tensorp(g, t))) continue;
            if (inputs[i]->v[t])
                widen(&out->range.v[row], inputs[i]->v[t], xg_tensor_elems(xg_tensorp(g, t)));
            row++;
        }
    }
    for (uint32_t i = 0; i < out->range.n; i++) {
        out->range.v[i].least = out->range.v[i].min;
        out->range.v[i].most = out->range.v[i].max;
    }
    return XG_OK;
}

/* ---- by histograms ---- */

static bool has_histogram(const xg_tensor *t) {
    return xg_has_reals(t) && (t->is_input || t->producer != XG_NONE);
}

/* Integers and divided channels pass through a buffer of real values. */
static void add_tensor(xg_histogram *h, xg_arena *a, const xg_tensor *t, const void *data,
                       const float *divide) {
    enum { CHUNK = 1024 };
    int64_t n = xg_tensor_elems(t), channels = t->rank ? t->dim[t->rank - 1] : 1;
    if (t->dtype == XG_F32 && !divide) {
        xg_histogram_add(h, a, data, n);
        return;
    }
    float real[CHUNK];
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t count = xg_min(CHUNK, n - from);
        for (int64_t i = 0; i < count; i++) {
            real[i] = xg_real_at(t, data, from + i);
            if (divide) real[i] /= divide[(from + i) % channels];
        }
        xg_histogram_add(h, a, real, count);
    }
}

static xg_status count_set(xg_arena *a, const xg_graph *g, const xg_samples *s, uint64_t set,
                           const float *const *divide, xg_histogram *h) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_arena *scratch = xg_arena_new(c); /* one set's tensors at a time */
    xg_values v;
    xg_values_init(&v, g, scratch);
    xg_status st = xg_samples_fill(s, set, &v);
    if (st == XG_OK) st = xg_interp_run(c, &v, NULL);
    for (uint32_t t = 0; t < g->tensor.n && st == XG_OK; t++)
        if (has_histogram(xg_tensorp(g, t)) && v.v[t])
            add_tensor(&h[t], a, xg_tensorp(g, t), v.v[t], divide ? divide[t] : NULL);
    xg_arena_free(scratch);
    return st;
}

/* Weights of channels for the ranges: how much errors matter to the outputs, behind the function
 * that reads them. */
static xg_status weigh(xg_arena *a, const xg_graph *g, const xg_uses *u, const xg_samples *s,
                       xg_histogram *h) {
    enum { SETS_MAX = 2, MOST = 1 << 16 };
    double **importance;
    xg_status st = xg_importance(a, g, s, SETS_MAX, &importance);
    for (uint32_t t = 0; t < g->tensor.n && st == XG_OK; t++) {
        const xg_tensor *x = xg_tensorp(g, t);
        const xg_node *f = xg_reader_of(g, u, t);
        const double *v = importance[f && f->in[0] == t ? f->out[0] : t];
        int64_t n = x->rank ? x->dim[x->rank - 1] : 1;
        double most = 0;
        for (int64_t c = 0; c < n && v; c++) most = fmax(most, v[c]);
        if (!isfinite(most) || most <= 0) continue;
        uint32_t *weight = xg_newn(a, uint32_t, (size_t)n);
        for (int64_t c = 0; c < n; c++) weight[c] = (uint32_t)rint(v[c] / most * MOST);
        h[t].weight = weight;
        h[t].channels = n;
    }
    return st;
}

xg_status xg_calibrate_samples(xg_arena *a, const xg_graph *g, const xg_rqrec *record,
                               const xg_samples *s, const xg_quant_options *o,
                               const float *const *divide, xg_calibration *out) {
    static const xg_quant_options defaults;
    if (!o) o = &defaults;
    *out = (xg_calibration){0};
    xg_arena *counts = xg_arena_new(xg_arena_ctx(a));
    xg_histogram *h = xg_newn(counts, xg_histogram, g->tensor.n);
    xg_uses uses = xg_graph_uses(g, counts);
    for (uint32_t t = 0; t < g->tensor.n; t++) xg_histogram_init(&h[t]);
    xg_status st = XG_OK;
    bool mse = o->method == XG_CALIB_AUTO || o->method == XG_CALIB_MSE;
    if (mse && !divide && xg_graph_is_float(g)) st = weigh(counts, g, &uses, s, h);
    for (uint64_t i = 0; i < xg_samples_count(s) && st == XG_OK; i++)
        st = count_set(counts, g, s, i, divide, h);
    for (uint32_t t = 0; t < g->tensor.n && st == XG_OK; t++) {
        if (!has_histogram(xg_tensorp(g, t))) continue;
        xg_range r = {.tensor = g->tensor.v[t].name, .least = h[t].min, .most = h[t].max};
        xg_histogram_range(&h[t], record, o->method, o->percentile, xg_reader_of(g, &uses, t),
                           &r.min, &r.max);
        xg_push(a, &out->range, r);
    }
    xg_arena_free(counts);
    return st;
}
