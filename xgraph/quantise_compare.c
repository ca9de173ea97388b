/* A graph before and after quantisation, side by side on samples: where accuracy is lost. */
#include "xgraph/quantise_plan.h"
#include "xgraph/samples.h"

#include "xgraph/import.h"
#include "xgraph/importance.h"
#include "xgraph/kernel.h"
#include "xgraph/pass.h"
#include "xgraph/reals.h"

#include <math.h>
#include <string.h>

typedef struct sums {
    double signal, noise, other, product; /* of a, of a - b, of b, a times b */
    double most;                          /* largest |a - b| */
    bool any;
} sums;

typedef struct work {
    xg_ctx *ctx;
    xg_arena *tmp;
    const xg_graph *before, *after;
    xg_uses uses; /* of before */
    const xg_rqrec *record;
    xg_map nodes;   /* of before, by name */
    uint32_t *twin; /* [after's tensors]: of before, or XG_NONE */
    const int32_t *
        *bias; /* [after's nodes]: of a Conv, without correction; NULL where it is as given */
    const float **divide; /* [before's tensors] */
    sums *all, *own;      /* [after's nodes] */
    sums *output;         /* [after's outputs] */
    bool measure_own;
} work;

/* ---- matching ---- */

static uint32_t without(xg_arena *a, const xg_map *names, const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    if (n <= s || strcmp(name + n - s, suffix)) return XG_NONE;
    return xg_map_get(names, xg_strndup(a, name, n - s));
}

/* By the tensor's own name or, where a pass made it anew, that of the ONNX tensor it stands for. */
static uint32_t by_name(xg_arena *a, const xg_map *names, const xg_tensor *b) {
    uint32_t t = xg_map_get(names, b->name);
    if (t == XG_NONE) t = without(a, names, b->name, XG_QSUFFIX);
    if (t == XG_NONE) t = without(a, names, b->name, XG_QSUFFIX16);
    return t == XG_NONE && b->onnx ? xg_map_get(names, b->onnx) : t;
}

static bool same_shape(const xg_tensor *a, const xg_tensor *b) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static void match(work *w, const xg_quant_report *report) {
    xg_map names = {.arena = w->tmp};
    for (uint32_t t = 0; t < w->before->tensor.n; t++)
        xg_map_set(&names, w->before->tensor.v[t].name, t);
    w->twin = xg_newn(w->tmp, uint32_t, w->after->tensor.n);
    for (uint32_t t = 0; t < w->after->tensor.n; t++) {
        const xg_tensor *b = xg_tensorp(w->after, t);
        uint32_t x = by_name(w->tmp, &names, b);
        const xg_tensor *a = x == XG_NONE ? NULL : xg_tensorp(w->before, x);
        bool fits = a && xg_has_reals(a) && xg_has_reals(b) && same_shape(a, b);
        w->twin[t] = fits ? x : XG_NONE;
    }
    w->divide = xg_newn(w->tmp, const float *, w->before->tensor.n);
    for (uint32_t i = 0; i < report->scaled.n; i++) {
        uint32_t t = xg_map_get(&names, report->scaled.v[i].tensor);
        if (t != XG_NONE) w->divide[t] = report->scaled.v[i].divide;
    }
}

/* Element i of before's tensor x as the graph after should hold it. */
static double reference_at(const work *w, uint32_t x, const void *data, int64_t i) {
    const xg_tensor *t = xg_tensorp(w->before, x);
    double v = xg_real_at(t, data, i);
    return w->divide[x] ? v / w->divide[x][i % t->dim[t->rank - 1]] : v;
}

/* ---- adding up ---- */

/* Seen through the function that alone reads it, if there is one. */
static double seen(const xg_node *f, double v) {
    float y;
    return f && xg_unary_value(f, (float)v, &y) ? (double)y : v;
}

static void add(const work *w, uint32_t x, const void *a, uint32_t y, const void *b, sums *s) {
    int64_t n = xg_tensor_elems(xg_tensorp(w->after, y));
    const xg_node *f = xg_reader_of(w->before, &w->uses, x);
    for (int64_t i = 0; i < n; i++) {
        double p = seen(f, reference_at(w, x, a, i));
        double q = seen(f, (double)xg_real_at(xg_tensorp(w->after, y), b, i));
        if (!isfinite(p)) continue; /* the logarithm of a probability of 0 */
        s->signal += p * p;
        s->noise += (p - q) * (p - q);
        s->other += q * q;
        s->product += p * q;
        s->most = fmax(s->most, fabs(p - q));
    }
    s->any = true;
}

static double sqnr(const sums *s) {
    if (!s->any) return NAN;
    return s->noise == 0 ? INFINITY : 10 * log10(s->signal / s->noise);
}

static double cosine(const sums *s) {
    if (!s->any) return NAN;
    double size = sqrt(s->signal) * sqrt(s->other);
    return size > 0 ? s->product / size : s->noise == 0 ? 1 : 0;
}

static bool is_row(const work *w, const xg_node *n) {
    return n->nout == 1 && xg_out(w->after, n, 0)->dtype != XG_F32 && w->twin[n->out[0]] != XG_NONE;
}

/* What the node makes of exact inputs, rounded to its input scales. False when an input has no
 * counterpart. */
static bool exact_inputs(work *w, const xg_node *n, const xg_values *before, xg_values *own) {
    for (uint32_t k = 0; k < n->nin; k++) {
        uint32_t t = n->in[k];
        if (t == XG_NONE || xg_tensorp(w->after, t)->data) continue;
        const xg_tensor *v = xg_tensorp(w->after, t);
        uint32_t x = w->twin[t];
        if (x == XG_NONE || !before->v[x]) return false;
        void *to = xg_values_get(own, t);
        int64_t count = xg_tensor_elems(v);
        int32_t lo, hi;
        xg_dtype_range(v->dtype, &lo, &hi);
        for (int64_t i = 0; i < count; i++) {
            float real = (float)reference_at(w, x, before->v[x], i);
            if (v->dtype == XG_F32)
                ((float *)to)[i] = real;
            else
                xg_store(to, v->dtype, i,
                         xg_quantize_f32(real, v->quant->scale[0], v->quant->zp[0], lo, hi));
        }
    }
    return true;
}

/* A corrected bias answers for what the layers before lose, too. By itself a convolution has the
 * float model's bias, rounded. */
static void find_biases(work *w) {
    w->bias = xg_newn(w->tmp, const int32_t *, w->after->node.n);
    for (uint32_t i = 0; i < w->after->node.n; i++) {
        const xg_node *n = xg_nodep(w->after, i);
        uint32_t x = n->op == XG_OP_Conv ? xg_map_get(&w->nodes, n->name) : XG_NONE;
        const xg_node *m = x == XG_NONE ? NULL : xg_nodep(w->before, x);
        const xg_tensor *b = xg_in(w->after, n, 2), *q = xg_in(w->after, n, 1);
        const xg_tensor *real = m && m->op == XG_OP_Conv ? xg_in(w->before, m, 2) : NULL;
        bool is_float = m && m->op == XG_OP_Conv && xg_in(w->before, m, 1)->dtype == XG_F32;
        if (!is_float || !b || !b->data || !q->quant || !xg_in(w->after, n, 0)->quant) continue;
        if (real && (!real->data || xg_tensor_elems(real) != b->dim[0])) continue;
        int32_t *own = xg_newn(w->tmp, int32_t, (size_t)b->dim[0]);
        for (int64_t o = 0; o < b->dim[0] && real; o++) {
            double unit = (double)xg_in(w->after, n, 0)->quant->scale[0] *
                          q->quant->scale[q->quant->n == 1 ? 0 : o];
            double v = rint(((const float *)real->data)[o] / unit);
            own[o] = (int32_t)fmin(fmax(v, INT32_MIN), INT32_MAX);
        }
        w->bias[i] = own;
    }
}

static xg_status add_own(work *w, uint32_t node, const xg_values *before, xg_values *own) {
    const xg_node *n = xg_nodep(w->after, node);
    if (!exact_inputs(w, n, before, own)) return XG_OK;
    if (w->bias[node]) own->v[n->in[2]] = (void *)(uintptr_t)w->bias[node];
    xg_status st = xg_interp_node(w->ctx, own, node, w->record);
    uint32_t x = w->twin[n->out[0]];
    if (st == XG_OK) add(w, x, before->v[x], n->out[0], own->v[n->out[0]], &w->own[node]);
    return st;
}

/* Nodes that only move or pick elements lose nothing themselves. */
static xg_status add_set(work *w, const xg_samples *s, uint64_t set, xg_arena *scratch) {
    xg_values a, b, own;
    xg_values_init(&a, w->before, scratch);
    xg_values_init(&b, w->after, scratch);
    xg_values_init(&own, w->after, scratch);
    xg_status st = xg_samples_fill(s, set, &a);
    if (st == XG_OK) st = xg_samples_fill(s, set, &b);
    if (st == XG_OK) st = xg_interp_run(w->ctx, &a, NULL);
    if (st == XG_OK) st = xg_interp_run(w->ctx, &b, w->record);
    for (uint32_t i = 0; i < w->after->node.n && st == XG_OK; i++) {
        const xg_node *n = xg_nodep(w->after, i);
        if (!is_row(w, n)) continue;
        uint32_t y = n->out[0], x = w->twin[y];
        add(w, x, a.v[x], y, b.v[y], &w->all[i]);
        if (w->measure_own) st = add_own(w, i, &a, &own);
    }
    for (uint32_t i = 0; i < w->after->output.n && st == XG_OK; i++) {
        uint32_t y = w->after->output.v[i], x = w->before->output.v[i];
        if (xg_has_reals(xg_tensorp(w->after, y)) && xg_has_reals(xg_tensorp(w->before, x)))
            add(w, x, a.v[x], y, b.v[y], &w->output[i]);
    }
    return st;
}

/* ---- the whole ---- */

static void report_rows(const work *w, xg_arena *a, xg_quant_report *report) {
    for (uint32_t i = 0; i < w->after->node.n; i++) {
        const xg_node *n = xg_nodep(w->after, i);
        if (!is_row(w, n)) continue;
        xg_quant_row row = {.node = xg_strdup(a, n->name),
                            .op = xg_ops[n->op].name,
                            .known = xg_map_get(&w->nodes, n->name) != XG_NONE,
                            .sqnr_db = sqnr(&w->all[i]),
                            .own_db = sqnr(&w->own[i]),
                            .most = w->all[i].most,
                            .effect = NAN};
        xg_push(a, &report->row, row);
    }
    for (uint32_t i = 0; i < w->after->output.n; i++) {
        xg_quant_output out = {.name = xg_tensorp(w->after, w->after->output.v[i])->name,
                               .sqnr_db = sqnr(&w->output[i]),
                               .cosine = cosine(&w->output[i]),
                               .most = w->output[i].most};
        xg_push(a, &report->output, out);
    }
}

xg_status xg_quant_compare(xg_arena *a, const xg_graph *before, const xg_graph *after,
                           const xg_rqrec *record, const xg_samples *s, uint64_t most,
                           xg_quant_report *report) {
    xg_ctx *c = xg_arena_ctx(a);
    if (before->output.n != after->output.n)
        return xg_error(c, XG_INTERNAL, "", "the graphs have %u and %u outputs", before->output.n,
                        after->output.n);
    work w = {.ctx = c, .tmp = xg_arena_new(c), .before = before, .after = after, .record = record};
    w.measure_own = !report->together;
    w.all = xg_newn(w.tmp, sums, after->node.n);
    w.own = xg_newn(w.tmp, sums, after->node.n);
    w.output = xg_newn(w.tmp, sums, after->output.n);
    w.nodes = (xg_map){.arena = w.tmp};
    for (uint32_t i = 0; i < before->node.n; i++)
        xg_map_set(&w.nodes, xg_nodep(before, i)->name, i);
    w.uses = xg_graph_uses(before, w.tmp);
    match(&w, report);
    find_biases(&w);
    uint64_t all = xg_samples_count(s), take = most < all ? most : all;
    xg_status st = XG_OK;
    for (uint64_t i = 0; i < take && st == XG_OK; i++) {
        xg_arena *scratch = xg_arena_new(c);
        st = add_set(&w, s, i * all / take, scratch);
        xg_arena_free(scratch);
    }
    if (st == XG_OK) report_rows(&w, a, report);
    xg_arena_free(w.tmp);
    return st;
}
