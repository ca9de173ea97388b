#include "xgraph/scheme.h"

#include "base/text.h"
#include "xgraph/samples.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { SETS_MAX = 4 };

/* ---- do they differ? ---- */

static bool same_arithmetic(xg_arena *a, const xg_rqrec *x, const xg_rqrec *y) {
    xg_buf s = {.arena = a}, t = {.arena = a};
    xg_rqrec_print(x, &s);
    xg_rqrec_print(y, &t);
    return s.n == t.n && !memcmp(s.p, t.p, s.n);
}

static bool has_integer_layers(const xg_graph *g) {
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        const xg_tensor *y = n->nout ? xg_out(g, n, 0) : NULL;
        bool moves = n->op == XG_OP_Quantize || xg_ops[n->op].rule == XG_RULE_KEEP;
        if (!moves && y && y->quant && (xg_dtype_is_int8(y->dtype) || y->dtype == XG_I16))
            return true;
    }
    return false;
}

static const char *machine_way(xg_arena *a, const xg_rqrec *r) {
    const char *round = xg_rounding_name(r->rounding[0]);
    switch (r->method) {
    case XG_RQ_SHIFT:
        return xg_strf(a, "shifts (powers of two), rounding %s", round);
    case XG_RQ_F32:
        return xg_strf(a, "binary32 factors, rounding %s", round);
    case XG_RQ_MULSHIFT:
        break;
    case XG_RQ_MULSHIFT2:
        return xg_strf(a, "%u-bit factors and shifts, rounding %s, then %s", r->mul_bits + 1u,
                       round, xg_rounding_name(r->rounding[1]));
    }
    return xg_strf(a, "%u-bit factors and shifts, rounding %s", r->mul_bits + 1u, round);
}

/* An .xg file states scales and no arithmetic: any machine's is right where the scales fit. */
static const char *stated_way(xg_arena *a, const char *path, const xg_rqrec *record,
                              const xg_front_result *r) {
    size_t n = strlen(path);
    xg_rqrec ort;
    if (r->approximated) return "arithmetic of its own (an integerised or dynamic export)";
    if (!xg_rqrec_profile("ort", &ort) || !has_integer_layers(r->before)) return NULL;
    if (r->was_float) return "binary32 scales, as ONNX Runtime computes, and some layers in float";
    bool is_xg = n > 3 && !strcmp(path + n - 3, ".xg");
    bool same = is_xg || same_arithmetic(a, record, &ort);
    return same && r->graph == r->before ? NULL : "binary32 scales, as ONNX Runtime computes";
}

static uint64_t macs_of(const xg_graph *g) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->node.n; i++) sum += xg_node_macs(g, xg_nodep(g, i));
    return sum;
}

/* ---- steps ---- */

/* The scale that the model gives a graph output, through what moves values; 0: none. */
static double output_step(const xg_graph *g, uint32_t t) {
    for (;;) {
        const xg_tensor *y = xg_tensorp(g, t);
        if (y->quant && y->quant->axis < 0) return (double)y->quant->scale[0];
        if (y->producer == XG_NONE) return 0;
        const xg_node *n = xg_nodep(g, y->producer);
        if (n->op != XG_OP_Dequantize && xg_ops[n->op].rule != XG_RULE_KEEP) return 0;
        t = n->in[0];
    }
}

typedef struct layers {
    xg_map stated, machine; /* nodes by name */
    const xg_graph *before, *after;
} layers;

static double node_scale(const xg_graph *g, const xg_map *names, const char *node) {
    uint32_t i = xg_map_get(names, node);
    const xg_tensor *y = i == XG_NONE ? NULL : xg_out(g, xg_nodep(g, i), 0);
    return y && y->quant && y->quant->axis < 0 ? (double)y->quant->scale[0] : 0;
}

/* The model's step where it has that layer, the machine's else. */
static double layer_step(const layers *s, const char *node) {
    double step = node_scale(s->before, &s->stated, node);
    return step > 0 ? step : node_scale(s->after, &s->machine, node);
}

static void name_nodes(xg_map *names, const xg_graph *g) {
    for (uint32_t i = 0; i < g->node.n; i++) xg_map_set(names, xg_nodep(g, i)->name, i);
}

/* ---- the comparison ---- */

static void summarise_layers(xg_arena *tmp, const xg_front_result *r, const xg_quant_report *q,
                             xg_arena *a, xg_scheme *out) {
    layers s = {{.arena = tmp}, {.arena = tmp}, r->before, r->graph};
    name_nodes(&s.stated, s.before);
    name_nodes(&s.machine, s.after);
    out->layers = q->row.n;
    for (uint32_t i = 0; i < q->row.n; i++) {
        const xg_quant_row *row = &q->row.v[i];
        double step = layer_step(&s, row->node), n = step > 0 ? row->most / step : 0;
        out->differ += row->most > 0;
        if (!(n > out->layer_steps)) continue;
        out->layer = xg_strdup(a, row->node);
        out->layer_steps = n;
        out->layer_most = row->most;
    }
}

static void summarise_outputs(const xg_front_result *r, const xg_quant_report *q, xg_arena *a,
                              xg_scheme *out) {
    out->cosine = 1;
    for (uint32_t i = 0; i < q->output.n; i++) {
        const xg_quant_output *o = &q->output.v[i];
        if (isnan(o->cosine)) continue;
        double step = output_step(r->before, r->before->output.v[i]);
        double n = step > 0 ? o->most / step : 0;
        out->cosine = fmin(out->cosine, o->cosine);
        if (out->output && (n < out->steps || (n == out->steps && o->most <= out->most))) continue;
        out->output = xg_strdup(a, o->name);
        out->steps = n;
        out->most = o->most;
    }
}

static xg_status measure(xg_arena *a, xg_arena *tmp, const char *path, const xg_front_options *o,
                         const xg_rqrec *record, const xg_front_result *r,
                         const xg_quant_report *quant, xg_scheme *out) {
    xg_graph *stated = r->before;
    xg_samples *s = r->samples;
    xg_status st = XG_OK;
    if (r->approximated) st = xg_front_read(tmp, path, &o->import, &stated);
    if (st == XG_OK && r->approximated) st = xg_canonicalise_exact(tmp, &stated);
    if (st == XG_OK && !s) st = xg_samples_open(tmp, r->before, "random:1", NULL, &s);
    if (st != XG_OK) return st;
    xg_quant_report q = {.together = true};
    for (uint32_t i = 0; quant && i < quant->scaled.n; i++)
        xg_push(tmp, &q.scaled, quant->scaled.v[i]);
    st = xg_quant_compare(tmp, stated, r->graph, record, s, SETS_MAX, &q);
    if (st != XG_OK) return st;
    out->measured = true;
    out->calibration = r->samples && strncmp(o->calib_inputs, "random", 6) != 0;
    out->sets = xg_min(xg_samples_count(s), SETS_MAX);
    summarise_layers(tmp, r, &q, a, out);
    summarise_outputs(r, &q, a, out);
    return XG_OK;
}

xg_status xg_scheme_compare(xg_arena *a, const char *path, const xg_front_options *o,
                            const xg_rqrec *record, const xg_front_result *r,
                            const xg_quant_report *quant, uint64_t most_macs, xg_scheme *out) {
    *out = (xg_scheme){.stated = stated_way(a, path, record, r)};
    if (!out->stated) return XG_OK;
    out->machine = machine_way(a, record);
    if (macs_of(r->graph) > most_macs) return XG_OK;
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(a));
    xg_status st = measure(a, tmp, path, o, record, r, quant, out);
    xg_arena_free(tmp);
    return st;
}

static void put_difference(double steps, double most, xg_buf *b) {
    if (steps > 0) xg_putf(b, "%.4g steps (%.4g)", steps, most);
    if (!(steps > 0)) xg_putf(b, "%.4g", most);
}

const char *xg_scheme_text(xg_arena *a, const xg_scheme *s) {
    if (!s->stated) return NULL;
    xg_buf b = {.arena = a};
    xg_putf(&b, "the model states %s; the machine has %s", s->stated, s->machine);
    if (!s->measured) {
        xg_puts(&b, "; the difference was not measured (--difference always does)");
        return b.p;
    }
    if (!s->differ && !(s->most > 0)) {
        xg_puts(&b, ": no element differs");
    } else {
        xg_putf(&b, ": %u of %u layers differ", s->differ, s->layers);
        if (s->output && !(s->most > 0)) xg_puts(&b, "; no output differs");
        if (s->output && s->most > 0) {
            xg_puts(&b, "; outputs by at most ");
            put_difference(s->steps, s->most, &b);
            xg_putf(&b, " ('%s'), cosine %.6f", s->output, s->cosine);
        }
        if (s->layer) {
            xg_puts(&b, "; most in layer '");
            xg_putf(&b, "%s': ", s->layer);
            put_difference(s->layer_steps, s->layer_most, &b);
        }
    }
    xg_putf(&b, "; on %" PRIu64 " set%s of %s inputs", s->sets, s->sets == 1 ? "" : "s",
            s->calibration ? "the calibration" : "random");
    return b.p;
}
