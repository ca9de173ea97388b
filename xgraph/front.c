#include "xgraph/import.h"

#include "xgraph/samples.h"

#include <math.h>
#include <string.h>

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static xg_status show(const xg_front_options *o, const char *pass, const xg_graph *g) {
    return o->dump ? o->dump(o->dump_arg, pass, g) : XG_OK;
}

static xg_status read_table(xg_arena *a, const char *path, xg_calibration *k) {
    xg_bytes text;
    xg_status st = xg_read_file(a, path, &text);
    return st == XG_OK ? xg_calibration_parse(a, path, (const char *)text.p, text.n, k) : st;
}

/* A table's ranges are those of the graph that it was made from: equalised the same way. */
static xg_status check_table(xg_arena *a, const char *path, const xg_calibration *k,
                             uint32_t equalised) {
    if (k->equalised == equalised) return XG_OK;
    return xg_error(xg_arena_ctx(a), XG_INPUT, path,
                    "the table is of a graph with %u tensors equalised, here there are %u: give "
                    "the --calib and --equalise that it was made with",
                    k->equalised, equalised);
}

static xg_status find_ranges(xg_arena *a, const xg_front_options *o, const xg_rqrec *record,
                             xg_front_result *r, uint32_t equalised) {
    if (!o->calibration_path) {
        xg_status st =
            xg_calibrate_samples(a, r->graph, record, r->samples, &o->quant, NULL, &r->ranges);
        r->ranges.equalised = equalised;
        return st;
    }
    xg_status st = read_table(a, o->calibration_path, &r->ranges);
    return st == XG_OK ? check_table(a, o->calibration_path, &r->ranges, equalised) : st;
}

/* What a quantised model leaves in float joins its integers under their own scales. A machine with
 * scales of powers of two has none of them: then the general record serves here, and
 * xg_target_quantise brings all to the machine's. */
static const xg_rqrec *record_for_rest(const xg_graph *g, const xg_rqrec *record,
                                       xg_rqrec *general) {
    bool integers = false;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        integers = integers || (n->op == XG_OP_Conv && xg_out(g, n, 0)->quant);
    }
    return integers && record->pow2_scales && xg_rqrec_profile("ort", general) ? general : record;
}

static xg_canonical_options with_limits(const xg_front_options *o) {
    return (xg_canonical_options){.dump = o->dump,
                                  .dump_arg = o->dump_arg,
                                  .kernel_max = o->kernel_max,
                                  .stride_max = o->stride_max};
}

/* From ranges to the canonical integer graph. */
static xg_status quantise_by_ranges(xg_arena *a, const xg_front_options *o, const xg_rqrec *record,
                                    xg_front_result *r, xg_quant_report *report) {
    xg_rqrec general;
    xg_status st =
        xg_quantise_with(a, &r->graph, &r->ranges, record_for_rest(r->graph, record, &general),
                         &o->quant, r->samples, &r->map, report);
    if (report && o->calibration_path) report->how = "a table";
    if (st == XG_OK) st = show(o, "quantise", r->graph);
    /* Quantize and Dequantize have come in: what moves around them or folds moves once more. */
    xg_canonical_options again = with_limits(o);
    return st == XG_OK ? xg_canonicalise_with(a, &r->graph, &again) : st;
}

static xg_status quantise_float(xg_arena *a, const char *path, const xg_front_options *o,
                                const xg_rqrec *record, xg_front_result *r,
                                xg_quant_report *report) {
    xg_ctx *c = xg_arena_ctx(a);
    if (!o->calibration_path && !o->calib_inputs)
        return xg_error(
            c, XG_INPUT, path,
            "the model has float weights, and quantising it needs example inputs: give --calib "
            "FILE.npy (.npz, .pb, a folder of pictures), or --calib random for a trial");
    uint32_t equalised = 0;
    xg_status st = XG_OK;
    /* a table alone was made without, or says so */
    if (r->samples && xg_switch_wants(o->quant.equalise, record))
        st = xg_equalise(a, &r->graph, r->samples, &equalised);
    if (st == XG_OK && equalised) st = show(o, "equalise", r->graph);
    r->before = r->graph;
    if (report) report->equalised = equalised;
    if (st == XG_OK) st = find_ranges(a, o, record, r, equalised);
    return st == XG_OK ? quantise_by_ranges(a, o, record, r, report) : st;
}

static void randomise(xg_arena *a, xg_graph *g) {
    uint32_t n = xg_random_weights(g, 1);
    if (n)
        xg_push(a, &g->log,
                xg_strf(a, "random weights in %u nodes whose weights were constant", n));
}

static xg_status check_options(xg_ctx *c, const xg_front_options *o, const xg_front_result *r) {
    if ((o->quant.nkeep_float || o->quant.nkeep_int16) && !r->was_float)
        return xg_error(c, XG_USAGE, "",
                        "nodes can be kept in float or 16 bits only where xgc quantises: the model "
                        "has no layer with float weights");
    bool needs = o->quant.equalise == XG_ON || o->quant.bias_correction == XG_ON;
    if (needs && !r->samples)
        return xg_error(c, XG_USAGE, "",
                        "equalisation and bias correction need example inputs (--calib)");
    return XG_OK;
}

xg_status xg_front_read(xg_arena *a, const char *path, const xg_import_options *o, xg_graph **out) {
    if (!ends_with(path, ".xg")) return xg_import_onnx(a, path, o, out);
    if (o->ncut) return xg_error(xg_arena_ctx(a), XG_USAGE, path, "--cut is for ONNX models");
    return xg_graph_read(a, path, out);
}

/* Brings the graph to the machine's record and proves that it fits. */
static xg_status fit(xg_arena *a, const xg_front_options *o, const xg_rqrec *record,
                     xg_front_result *r, xg_quant_report *report) {
    xg_status st = xg_target_quantise_with(a, &r->graph, record, &o->quant, r->samples, report);
    if (st == XG_OK) st = show(o, "target_quantise", r->graph);
    if (st == XG_OK) st = xg_graph_verify(xg_arena_ctx(a), r->graph);
    return st == XG_OK ? xg_prove_accumulators(xg_arena_ctx(a), r->graph, record) : st;
}

/* ---- what the inputs of integer exports hold ---- */

typedef struct codes {
    xg_arena *arena;
    const xg_front_options *o;
    xg_graph *raw; /* as it was read; graph inputs have the same positions in all forms */
    bool *asked;   /* [ninput_type] */
} codes;

static xg_dtype type_said(const codes *k, const char *name) {
    size_t n = strlen(name);
    for (uint32_t i = 0; i < k->o->ninput_type; i++) {
        const char *s = k->o->input_type[i];
        if (strncmp(s, name, n) != 0 || s[n] != '=') continue;
        k->asked[i] = true;
        return !strcmp(s + n + 1, "i8") ? XG_I8 : XG_U8;
    }
    return XG_DTYPE_COUNT;
}

typedef struct seen {
    float lo, hi;
    bool whole;
} seen;

static void look(const xg_values *v, uint32_t t, seen *s) {
    const float *x = v->v[t];
    for (int64_t e = 0; e < xg_tensor_elems(xg_tensorp(v->graph, t)); e++) {
        s->lo = fminf(s->lo, x[e]);
        s->hi = fmaxf(s->hi, x[e]);
        s->whole = s->whole && x[e] == rintf(x[e]);
    }
}

/* By the values of the example inputs, if those are 8-bit integers that only one type holds. Inputs
 * that cannot be read are told of where they are opened again. */
static xg_dtype type_seen(codes *k, uint32_t position) {
    xg_ctx *c = xg_arena_ctx(k->arena);
    xg_arena *scratch = xg_arena_new(c);
    xg_samples *s;
    seen all = {INFINITY, -INFINITY, true};
    xg_status st = xg_samples_open(scratch, k->raw, k->o->calib_inputs, k->o->images, &s);
    for (uint64_t i = 0; st == XG_OK && i < xg_samples_count(s); i++) {
        xg_arena *one = xg_arena_new(c);
        xg_values v;
        xg_values_init(&v, k->raw, one);
        st = xg_samples_fill(s, i, &v);
        if (st == XG_OK) look(&v, k->raw->input.v[position], &all);
        xg_arena_free(one);
    }
    xg_arena_free(scratch);
    if (st != XG_OK || !all.whole) return XG_DTYPE_COUNT;
    if (all.lo < 0 && all.lo >= -128 && all.hi <= 127) return XG_I8;
    return all.lo >= 0 && all.hi > 127 && all.hi <= 255 ? XG_U8 : XG_DTYPE_COUNT;
}

static xg_dtype codes_of(void *arg, const xg_graph *g, uint32_t t) {
    codes *k = arg;
    xg_dtype said = type_said(k, xg_tensorp(g, t)->name);
    bool random = k->o->calib_inputs && !strncmp(k->o->calib_inputs, "random", 6);
    if (said != XG_DTYPE_COUNT || !k->o->calib_inputs || random) return said;
    size_t before = xg_diag_count(xg_arena_ctx(k->arena));
    for (uint32_t i = 0; i < g->input.n; i++)
        if (g->input.v[i] == t) said = type_seen(k, i);
    xg_diag_truncate(xg_arena_ctx(k->arena), before);
    return said;
}

static xg_status check_types(xg_ctx *c, const xg_front_options *o) {
    for (uint32_t i = 0; i < o->ninput_type; i++) {
        const char *s = o->input_type[i], *type = strrchr(s, '=');
        if (!type || type == s || (strcmp(type, "=i8") != 0 && strcmp(type, "=u8") != 0))
            return xg_error(c, XG_USAGE, "",
                            "the input type is '%.60s', expected NAME=i8 or NAME=u8", s);
    }
    return XG_OK;
}

static xg_status canonicalise(xg_arena *a, const xg_front_options *o, xg_front_result *r) {
    xg_ctx *c = xg_arena_ctx(a);
    codes k = {a, o, NULL, xg_newn(a, bool, o->ninput_type + 1)};
    xg_canonical_options with = with_limits(o);
    with.codes = codes_of, with.codes_arg = &k;
    xg_status st = check_types(c, o);
    if (st == XG_OK && o->calib_inputs) st = xg_graph_compact(c, r->graph, a, &k.raw);
    if (st == XG_OK) st = xg_canonicalise_with(a, &r->graph, &with);
    r->approximated = with.approximated;
    for (uint32_t i = 0; i < o->ninput_type && st == XG_OK; i++)
        if (!k.asked[i])
            return xg_error(c, XG_USAGE, "",
                            "--input-type %.60s: the model has no such input that holds 8-bit "
                            "integers in floating point (integer exports have)",
                            o->input_type[i]);
    return st;
}

xg_status xg_front_full(xg_arena *a, const char *path, const xg_front_options *o,
                        const xg_rqrec *record, xg_front_result *r, xg_quant_report *report) {
    xg_ctx *c = xg_arena_ctx(a);
    *r = (xg_front_result){0};
    xg_status st = xg_front_read(a, path, &o->import, &r->graph);
    if (st == XG_OK) st = o->as_it_is ? xg_canonicalise_exact(a, &r->graph) : canonicalise(a, o, r);
    if (st != XG_OK) return st;
    if (o->weights_random) randomise(a, r->graph);
    r->before = r->graph;
    if (o->as_it_is) return xg_graph_verify(c, r->graph);
    r->was_float = xg_graph_is_float(r->graph);
    if (o->calib_inputs) st = xg_samples_open(a, r->graph, o->calib_inputs, o->images, &r->samples);
    if (st == XG_OK) st = check_options(c, o, r);
    if (st == XG_OK && r->was_float) st = quantise_float(a, path, o, record, r, report);
    return st == XG_OK ? fit(a, o, record, r, report) : st;
}

xg_status xg_front_again(xg_arena *a, const xg_front_options *o, const xg_rqrec *record,
                         const xg_front_result *first, xg_front_result *r,
                         xg_quant_report *report) {
    *r = *first;
    r->graph = first->before;
    report->equalised = first->ranges.equalised;
    xg_status st = quantise_by_ranges(a, o, record, r, report);
    return st == XG_OK ? fit(a, o, record, r, report) : st;
}

xg_status xg_front(xg_arena *a, const char *path, const xg_front_options *o, const xg_rqrec *record,
                   xg_graph **out, xg_quant_report *report) {
    xg_front_result r;
    xg_status st = xg_front_full(a, path, o, record, &r, report);
    if (st == XG_OK) *out = r.graph;
    return st;
}
