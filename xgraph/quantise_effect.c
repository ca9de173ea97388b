/* What each layer's own rounding costs the outputs: the float graph, with one node at a time as the
 * integer graph has it, from that node to the outputs. */
#include "xgraph/import.h"

#include "xgraph/reals.h"
#include "xgraph/samples.h"

#include <math.h>
#include <string.h>

/* Products of convolutions in all runs together: a bound on the number of sets looked at. */
#define WORK_MAX 40e9
/* Of an output that has nothing in common with the exact one. */
#define NOISE_MAX 1e9

typedef struct sums {
    double signal, other, product; /* of a a, b b, a b */
} sums;

typedef struct work {
    xg_ctx *ctx;
    xg_arena *tmp;
    const xg_quant_map *map;
    const xg_graph *g; /* map's from */
    xg_uses uses;
    bool centred;    /* biases make up for the mean of what a convolution loses */
    bool *dirty;     /* [tensors] */
    void **buffer;   /* [tensors] of values that are not exact; NULL at first */
    xg_values exact; /* of one set */
    xg_values now;   /* the same values, those of dirty tensors in their own buffers */
    sums *sum;       /* [nodes][outputs] */
} work;

/* ---- one node as the integer graph has it ---- */

/* The tensor that holds a node's result there: its own, or that of the Clip folded into it. */
static uint32_t result_of(const work *w, uint32_t node) {
    uint32_t y = xg_nodep(w->g, node)->out[0];
    bool own = w->map->tensor[y] != XG_NONE || w->uses.first[y + 1] == w->uses.first[y];
    return own ? y : xg_nodep(w->g, w->uses.node[w->uses.first[y]])->out[0];
}

static bool read_as_float(const work *w, uint32_t t) {
    for (uint32_t u = w->uses.first[t]; u < w->uses.first[t + 1]; u++)
        if (w->map->node[w->uses.node[u]] == XG_NONE) return true;
    return xg_tensorp(w->g, t)->is_output;
}

static void round_to(const xg_tensor *as, float *v, int64_t n) {
    int32_t lo, hi;
    xg_dtype_range(as->dtype, &lo, &hi);
    for (int64_t i = 0; i < n; i++) {
        int32_t q = xg_quantize_f32(v[i], as->quant->scale[0], as->quant->zp[0], lo, hi);
        v[i] = xg_dequantize_f32(q, as->quant->scale[0], as->quant->zp[0]);
    }
}

/* A float input as the node `to` reads it: rounded; weights as they were written. */
static float *as_read(xg_arena *a, const xg_tensor *t, const float *v, const xg_tensor *as) {
    int64_t n = xg_tensor_elems(t);
    float *out = xg_newn(a, float, (size_t)n);
    bool written = as->data && xg_tensor_elems(as) == n;
    for (int64_t i = 0; i < n; i++) {
        if (!written) {
            out[i] = v[i];
            continue;
        }
        int64_t run = as->quant->n == 1 ? n : n / as->quant->n;
        int32_t q =
            as->dtype == XG_I16 ? ((const int16_t *)as->data)[i] : ((const int8_t *)as->data)[i];
        out[i] = (float)(q - as->quant->zp[i / run]) * as->quant->scale[i / run];
    }
    if (!written) round_to(as, out, n);
    return out;
}

/* Takes the mean of each channel's error away, which is what a corrected bias does. */
static void centre(const xg_tensor *t, const float *exact, float *v) {
    int64_t n = xg_tensor_elems(t), channels = t->dim[t->rank - 1];
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        for (int64_t i = c; i < n; i += channels) sum += (double)v[i] - (double)exact[i];
        float mean = (float)(sum / (double)(n / channels));
        for (int64_t i = c; i < n; i += channels) v[i] -= mean;
    }
}

static void make_dirty(work *w, uint32_t t) {
    const xg_tensor *x = xg_tensorp(w->g, t);
    if (!w->buffer[t])
        w->buffer[t] = xg_alloc_array(w->tmp, (size_t)xg_tensor_elems(x), xg_dtype_bytes(x->dtype));
    w->now.v[t] = w->buffer[t];
    w->dirty[t] = true;
}

static xg_status run_rounded(work *w, uint32_t node, xg_arena *a) {
    const xg_node *n = xg_nodep(w->g, node), *to = xg_nodep(w->map->to, w->map->node[node]);
    void **before = xg_newn(a, void *, n->nin);
    bool moves = xg_ops[n->op].rule == XG_RULE_KEEP || n->op == XG_OP_Concat;
    for (uint32_t k = 0; k < n->nin; k++) {
        before[k] = n->in[k] == XG_NONE ? NULL : w->now.v[n->in[k]];
        const xg_tensor *t = xg_in(w->g, n, k), *as = xg_in(w->map->to, to, k);
        bool small = as && (as->dtype == XG_I8 || as->dtype == XG_I16) && as->quant;
        if (t && t->dtype == XG_F32 && small && !moves)
            w->now.v[n->in[k]] = as_read(a, t, before[k], as);
    }
    uint32_t y = n->out[0];
    make_dirty(w, y);
    xg_status st = xg_interp_node(w->ctx, &w->now, node, NULL);
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k] != XG_NONE) w->now.v[n->in[k]] = before[k];
    if (st == XG_OK && w->centred && n->op == XG_OP_Conv)
        centre(xg_tensorp(w->g, y), w->exact.v[y], w->now.v[y]);
    return st;
}

/* ---- to the outputs ---- */

static bool reads_dirty(const work *w, const xg_node *n) {
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k] != XG_NONE && w->dirty[n->in[k]]) return true;
    return false;
}

/* `rounded`: where float readers see what the node writes. */
static xg_status run_behind(work *w, uint32_t node, uint32_t rounded) {
    xg_status st = XG_OK;
    for (uint32_t i = node; i < w->g->node.n && st == XG_OK; i++) {
        const xg_node *n = xg_nodep(w->g, i);
        if (i > node) {
            if (!reads_dirty(w, n)) continue;
            for (uint32_t k = 0; k < n->nout; k++) make_dirty(w, n->out[k]);
            st = xg_interp_node(w->ctx, &w->now, i, NULL);
        }
        uint32_t y = n->out[0];
        if (st == XG_OK && y == rounded)
            round_to(xg_tensorp(w->map->to, w->map->tensor[y]), w->now.v[y],
                     xg_tensor_elems(xg_tensorp(w->g, y)));
    }
    return st;
}

static void add(const xg_tensor *t, const float *a, const float *b, sums *s) {
    for (int64_t i = 0, n = xg_tensor_elems(t); i < n; i++) {
        double p = (double)a[i], q = (double)b[i];
        if (!isfinite(p) || !isfinite(q)) continue;
        s->signal += p * p;
        s->other += q * q;
        s->product += p * q;
    }
}

static xg_status add_node(work *w, uint32_t node) {
    uint32_t y = result_of(w, node), outputs = w->g->output.n;
    bool shown = w->map->tensor[y] != XG_NONE && read_as_float(w, y);
    xg_arena *a = xg_arena_new(w->ctx);
    xg_status st = run_rounded(w, node, a);
    if (st == XG_OK) st = run_behind(w, node, shown ? y : XG_NONE);
    for (uint32_t o = 0; o < outputs && st == XG_OK; o++) {
        uint32_t t = w->g->output.v[o];
        if (xg_tensorp(w->g, t)->dtype == XG_F32)
            add(xg_tensorp(w->g, t), w->exact.v[t], w->now.v[t], &w->sum[node * outputs + o]);
    }
    for (uint32_t t = 0; t < w->g->tensor.n; t++) {
        if (w->dirty[t]) w->now.v[t] = w->exact.v[t];
        w->dirty[t] = false;
    }
    xg_arena_free(a);
    return st;
}

static xg_status add_set(work *w, const xg_samples *s, uint64_t set) {
    xg_arena *scratch = xg_arena_new(w->ctx);
    xg_values_init(&w->exact, w->g, scratch);
    xg_values_init(&w->now, w->g, scratch);
    xg_status st = xg_samples_fill(s, set, &w->exact);
    if (st == XG_OK) st = xg_interp_run(w->ctx, &w->exact, NULL);
    if (st == XG_OK) memcpy(w->now.v, w->exact.v, w->g->tensor.n * sizeof *w->now.v);
    for (uint32_t i = 0; i < w->g->node.n && st == XG_OK; i++)
        if (w->map->node[i] != XG_NONE) st = add_node(w, i);
    xg_arena_free(scratch);
    return st;
}

/* ---- the whole ---- */

/* Products of the convolutions of all runs on one set, each being about half of the graph. */
static double work_of(const work *w) {
    double macs = 1, nodes = 0;
    for (uint32_t i = 0; i < w->g->node.n; i++) {
        const xg_node *n = xg_nodep(w->g, i);
        nodes += w->map->node[i] != XG_NONE;
        if (n->op != XG_OP_Conv) continue;
        const xg_tensor *k = xg_in(w->g, n, 1);
        macs += (double)xg_tensor_elems(xg_out(w->g, n, 0)) *
                (double)(k->dim[1] * k->dim[2] * k->dim[3]);
    }
    return macs * nodes / 2;
}

/* tan^2 of the angle between exact and inexact output: noise in proportion to the signal, without
 * what merely changes its size. 0 for an output of zeros. */
static double noise_of(const sums *s) {
    if (s->signal == 0 || s->other == 0) return s->signal == s->other ? 0 : NOISE_MAX;
    if (s->product <= 0) return NOISE_MAX;
    return fmin(fmax(s->signal / s->product * (s->other / s->product) - 1, 0), NOISE_MAX);
}

xg_status xg_quant_effects(xg_arena *a, const xg_quant_map *map, const xg_samples *s, uint64_t most,
                           bool centred, double **noise) {
    xg_ctx *c = xg_arena_ctx(a);
    work w = {.ctx = c, .tmp = xg_arena_new(c), .map = map, .g = map->from, .centred = centred};
    w.uses = xg_graph_uses(w.g, w.tmp);
    w.dirty = xg_newn(w.tmp, bool, w.g->tensor.n);
    w.buffer = xg_newn(w.tmp, void *, w.g->tensor.n);
    uint32_t outputs = w.g->output.n, n = w.g->node.n * outputs;
    w.sum = xg_newn(w.tmp, sums, n);
    uint64_t all = xg_samples_count(s), take = most < all ? most : all;
    take = (uint64_t)xg_clamp((int64_t)(WORK_MAX / work_of(&w)), 1, (int64_t)take);
    xg_status st = XG_OK;
    for (uint64_t i = 0; i < take && st == XG_OK; i++) st = add_set(&w, s, i * all / take);
    *noise = xg_newn(a, double, n);
    for (uint32_t i = 0; i < n; i++) (*noise)[i] = noise_of(&w.sum[i]);
    xg_arena_free(w.tmp);
    return st;
}

/* ---- which nodes to make exact ---- */

/* What taking a node out does towards the goal: each output counts by its share of what is too
 * much. */
static double gain_of(const double *noise, const double *sum, uint32_t outputs, double most) {
    double gain = 0;
    for (uint32_t o = 0; o < outputs; o++)
        if (sum[o] > most) gain += fmin(noise[o] / (sum[o] - most), 1);
    return gain;
}

static bool reached(const double *sum, uint32_t outputs, double most) {
    for (uint32_t o = 0; o < outputs; o++)
        if (sum[o] > most) return false;
    return true;
}

uint32_t xg_quant_order(xg_arena *a, const double *noise, uint32_t nodes, uint32_t outputs,
                        double most, uint32_t **order, uint32_t *enough) {
    double *sum = xg_newn(a, double, outputs);
    bool *taken = xg_newn(a, bool, nodes);
    uint32_t n = 0;
    *order = xg_newn(a, uint32_t, nodes);
    *enough = XG_NONE;
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t o = 0; o < outputs; o++) sum[o] += noise[i * outputs + o];
    for (;;) {
        if (*enough == XG_NONE && reached(sum, outputs, most)) *enough = n;
        double goal = *enough == XG_NONE ? most : 0, best = 0;
        uint32_t next = XG_NONE;
        for (uint32_t i = 0; i < nodes; i++) {
            double gain = taken[i] ? 0 : gain_of(&noise[i * outputs], sum, outputs, goal);
            if (gain > best) best = gain, next = i;
        }
        if (next == XG_NONE) break;
        taken[next] = true;
        (*order)[n++] = next;
        for (uint32_t o = 0; o < outputs; o++) sum[o] = fmax(sum[o] - noise[next * outputs + o], 0);
    }
    if (*enough == XG_NONE) *enough = n;
    return n;
}
