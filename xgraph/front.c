#include "xgraph/import.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- calibration inputs
 * ------------------------------------------------------------------------------ */

typedef struct source {
    xg_ctx *ctx;
    const xg_graph *g;
    const char *path; /* of the arrays */
    bool random;
    uint64_t seed;
    const xg_array **array; /* [g inputs], not for random */
    int64_t sets;
} source;

/* "random" or "random:SEED"; false when it is a path. */
static bool is_random(const char *s, uint64_t *seed) {
    if (strncmp(s, "random", 6)) return false;
    *seed = 0;
    if (!s[6]) return true;
    if (s[6] != ':' || s[7] < '0' || s[7] > '9') return false;
    char *end;
    errno = 0;
    *seed = strtoull(s + 7, &end, 0);
    return !*end && !errno;
}

static bool is_integer(xg_dtype t) {
    return t == XG_I8 || t == XG_U8 || t == XG_I16 || t == XG_I32 || t == XG_I64;
}

static int64_t array_elems(const xg_array *v) {
    xg_tensor t = {.rank = v->rank};
    memcpy(t.dim, v->dim, sizeof t.dim);
    return xg_tensor_elems(&t);
}

static xg_status match_array(source *s, uint32_t i, const xg_array *all, uint32_t n) {
    const xg_tensor *t = xg_tensorp(s->g, s->g->input.v[i]);
    for (uint32_t k = 0; k < n; k++)
        if (all[k].name && !strcmp(all[k].name, t->name)) s->array[i] = &all[k];
    if (!s->array[i] && n == 1 && s->g->input.n == 1) s->array[i] = &all[0];
    const xg_array *v = s->array[i];
    if (!v)
        return xg_error(s->ctx, XG_INPUT, s->path, "holds no array for the input '%s'", t->name);
    if (v->dtype != t->dtype && !(t->dtype == XG_F32 && is_integer(v->dtype)))
        return xg_error(s->ctx, XG_INPUT, s->path, "the array for input '%s' is %s, expected %s",
                        t->name, xg_dtype_name(v->dtype), xg_dtype_name(t->dtype));
    int64_t elems = xg_tensor_elems(t), have = array_elems(v), sets = elems ? have / elems : 0;
    if (sets < 1 || sets * elems != have)
        return xg_error(s->ctx, XG_INPUT, s->path,
                        "the array for input '%s' has %lld elements, expected a multiple of %lld",
                        t->name, (long long)have, (long long)elems);
    if (i && sets != s->sets)
        return xg_error(s->ctx, XG_INPUT, s->path,
                        "the array for input '%s' holds %lld sets, the others %lld", t->name,
                        (long long)sets, (long long)s->sets);
    s->sets = sets;
    return XG_OK;
}

static xg_status open_source(xg_arena *a, const xg_graph *g, const char *path, source *s) {
    *s = (source){.ctx = xg_arena_ctx(a), .g = g, .path = path, .sets = 1};
    s->random = is_random(path, &s->seed);
    if (s->random) return XG_OK;
    xg_array *all;
    uint32_t n;
    xg_status st = xg_array_read(a, path, &all, &n);
    s->array = xg_newn(a, const xg_array *, g->input.n);
    for (uint32_t i = 0; i < g->input.n && st == XG_OK; i++) st = match_array(s, i, all, n);
    return st;
}

static float as_float(const xg_array *v, int64_t i) {
    switch (v->dtype) {
    case XG_I8:
        return ((const int8_t *)v->data)[i];
    case XG_U8:
        return ((const uint8_t *)v->data)[i];
    case XG_I16:
        return ((const int16_t *)v->data)[i];
    case XG_I32:
        return (float)((const int32_t *)v->data)[i];
    case XG_I64:
        return (float)((const int64_t *)v->data)[i];
    default:
        return ((const float *)v->data)[i];
    }
}

static void fill_set(const source *s, int64_t set, xg_values *v) {
    for (uint32_t i = 0; i < s->g->input.n; i++) {
        uint32_t t = s->g->input.v[i];
        const xg_tensor *x = xg_tensorp(s->g, t);
        int64_t n = xg_tensor_elems(x);
        size_t bytes = xg_dtype_bytes(x->dtype) * (size_t)n;
        void *to = xg_values_get(v, t);
        if (x->dtype == s->array[i]->dtype) {
            memcpy(to, (const char *)s->array[i]->data + bytes * (size_t)set, bytes);
            continue;
        }
        for (int64_t k = 0; k < n; k++) ((float *)to)[k] = as_float(s->array[i], set * n + k);
    }
}

static void merge(xg_calibration *into, const xg_calibration *more) {
    for (uint32_t i = 0; i < more->range.n; i++) { /* the same graph: the same rows */
        xg_range *r = &into->range.v[i];
        const xg_range *m = &more->range.v[i];
        if (!(m->min >= r->min)) r->min = m->min;
        if (!(m->max <= r->max)) r->max = m->max;
    }
}

static xg_status calibrate_set(xg_arena *a, const source *s, int64_t set, xg_calibration *k) {
    xg_arena *scratch = xg_arena_new(s->ctx); /* one set's tensors at a time */
    xg_values v, *one = &v;
    xg_values_init(&v, s->g, scratch);
    xg_status st = XG_OK;
    if (s->random)
        st = xg_values_fill(s->ctx, &v, "random", s->seed);
    else
        fill_set(s, set, &v);
    xg_calibration more;
    if (st == XG_OK) st = xg_calibrate(set ? scratch : a, s->g, &one, 1, &more);
    if (st == XG_OK && set) merge(k, &more);
    if (st == XG_OK && !set) *k = more;
    xg_arena_free(scratch);
    return st;
}

static xg_status find_ranges(xg_arena *a, const xg_graph *g, const xg_front_options *o,
                             xg_calibration *k) {
    if (o->calibration_path) {
        xg_bytes text;
        xg_status st = xg_read_file(a, o->calibration_path, &text);
        if (st != XG_OK) return st;
        return xg_calibration_parse(a, o->calibration_path, (const char *)text.p, text.n, k);
    }
    source s;
    xg_status st = open_source(a, g, o->calib_inputs, &s);
    for (int64_t set = 0; set < s.sets && st == XG_OK; set++) st = calibrate_set(a, &s, set, k);
    return st;
}

/* ---- the front half
 * ------------------------------------------------------------------------------------ */

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static xg_status show(const xg_front_options *o, const char *pass, const xg_graph *g) {
    return o->dump ? o->dump(o->dump_arg, pass, g) : XG_OK;
}

static xg_status quantise_float(xg_arena *a, const char *path, const xg_front_options *o,
                                const xg_rqrec *record, xg_graph **g, xg_quant_report *report) {
    xg_ctx *c = xg_arena_ctx(a);
    if (!o->calibration_path && !o->calib_inputs)
        return xg_error(c, XG_INPUT, path,
                        "the model is float, and quantising it needs example inputs: give --calib "
                        "FILE.npy (or .npz), or "
                        "--calib random for a trial");
    xg_calibration k;
    xg_status st = find_ranges(a, *g, o, &k);
    if (st == XG_OK) st = xg_quantise(a, g, &k, record, report);
    if (st == XG_OK) st = show(o, "quantise", *g);
    /* Quantize and Dequantize have come in: what moves around them or folds moves once more. */
    return st == XG_OK ? xg_canonicalise(a, g, o->dump, o->dump_arg) : st;
}

static void randomise(xg_arena *a, xg_graph *g) {
    uint32_t n = xg_random_weights(g, 1);
    if (n)
        xg_push(a, &g->log,
                xg_strf(a, "random weights in %u nodes whose weights were constant", n));
}

xg_status xg_front(xg_arena *a, const char *path, const xg_front_options *o, const xg_rqrec *record,
                   xg_graph **out, xg_quant_report *report) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_graph *g;
    xg_status st = ends_with(path, ".xg") ? xg_graph_read(a, path, &g)
                                          : xg_import_onnx(a, path, &o->import, &g);
    if (st == XG_OK) st = xg_canonicalise(a, &g, o->dump, o->dump_arg);
    if (st != XG_OK) return st;
    if (o->weights_random) randomise(a, g);
    if (xg_graph_is_float(g)) st = quantise_float(a, path, o, record, &g, report);
    if (st == XG_OK) st = xg_target_quantise(a, &g, record, report);
    if (st == XG_OK) st = show(o, "target_quantise", g);
    if (st == XG_OK) st = xg_graph_verify(c, g);
    if (st == XG_OK) st = xg_prove_accumulators(c, g, record);
    if (st == XG_OK) *out = g;
    return st;
}
