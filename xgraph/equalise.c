#include "xgraph/equalise.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 20, SAMPLES_MAX = 16 };
#define FACTOR_MAX 1024.0

/* A tensor between convolutions. */
typedef struct link {
    uint32_t from;     /* conv node */
    uint32_t channels; /* its outputs */
    uint32_t first;    /* tensor: the conv's own output */
    uint32_t last;     /* tensor that the readers read; they are all convs */
    double lo, hi;     /* bounds on the way; lo = 0 or -INFINITY, hi = INFINITY: none */
    float *low, *high; /* [channels] what samples reach */
    double *divide;    /* [channels] */
} link;

typedef struct work {
    xg_equaliser *e;
    xg_arena *tmp;
    xg_uses uses;
    XG_VEC(link) link;
    const double **din,
        **dout; /* [nodes]: factors of a conv's input and output channels, or NULL */
} work;

/* ---- finding ---- */

static uint32_t user_count(const work *w, uint32_t t) {
    return w->uses.first[t + 1] - w->uses.first[t];
}

/* All readers are candidates that read it as data. */
static bool read_by_convs(const work *w, uint32_t t) {
    for (uint32_t u = w->uses.first[t]; u < w->uses.first[t + 1]; u++) {
        uint32_t n = w->uses.node[u];
        const xg_node *node = xg_nodep(w->e->g, n);
        if (!w->e->w[n] || node->in[0] != t) return false;
        for (uint32_t k = 1; k < node->nin; k++)
            if (node->in[k] == t) return false;
    }
    return user_count(w, t) > 0;
}

static void narrow(link *l, double lo, double hi) {
    l->lo = fmax(l->lo, lo);
    l->hi = fmin(l->hi, hi);
}

/* Whether factors pass through a node; notes its bounds. */
static bool passes(const xg_node *n, bool is_float, link *l) {
    switch (n->op) {
    case XG_OP_MaxPool:
        return is_float || (xg_ai(n, XG_ATTR_lo) <= -128 && xg_ai(n, XG_ATTR_hi) >= 255);
    case XG_OP_AvgPool:
    case XG_OP_LeakyRelu:
        return is_float;
    case XG_OP_Pad:
        return is_float && xg_ai(n, XG_ATTR_mode) == 0 && xg_af(n, XG_ATTR_value) == 0;
    case XG_OP_Clip:
        if (is_float) narrow(l, xg_af(n, XG_ATTR_min), xg_af(n, XG_ATTR_max));
        return is_float;
    default:
        return false;
    }
}

/* An integer tensor saturates at its codes' ends. */
static void integer_bounds(const xg_node *n, const xg_tensor *y, link *l) {
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    lo = (int32_t)xg_max(lo, xg_ai(n, XG_ATTR_lo));
    hi = (int32_t)xg_min(hi, xg_ai(n, XG_ATTR_hi));
    narrow(l, xg_dequantize_f32(lo, y->quant->scale[0], y->quant->zp[0]),
           xg_dequantize_f32(hi, y->quant->scale[0], y->quant->zp[0]));
}

static bool find_link(const work *w, uint32_t node, link *l) {
    const xg_graph *g = w->e->g;
    const xg_node *n = xg_nodep(g, node);
    const xg_tensor *y = xg_out(g, n, 0);
    bool is_float = y->dtype == XG_F32;
    *l = (link){
        .from = node, .first = n->out[0], .last = n->out[0], .lo = -INFINITY, .hi = INFINITY};
    l->channels = (uint32_t)y->dim[y->rank - 1];
    if (!is_float && !(xg_dtype_is_int8(y->dtype) && y->quant && y->quant->axis < 0)) return false;
    if (!is_float) integer_bounds(n, y, l);
    for (;;) {
        if (xg_tensorp(g, l->last)->is_output) return false;
        if (read_by_convs(w, l->last)) return l->hi > 0 && l->lo <= 0;
        if (user_count(w, l->last) != 1) return false;
        const xg_node *next = xg_nodep(g, w->uses.node[w->uses.first[l->last]]);
        if (next->in[0] != l->last || !passes(next, is_float, l)) return false;
        const xg_tensor *z = xg_out(g, next, 0); /* a Pad may add channels */
        if (z->rank != y->rank || z->dim[z->rank - 1] != y->dim[y->rank - 1]) return false;
        l->last = next->out[0];
    }
}

static bool is_bounded(const link *l) {
    return isfinite(l->hi) || (l->lo != 0 && isfinite(l->lo));
}

/* ---- what channels reach ---- */

static void reach(const xg_tensor *t, const void *data, link *l) {
    int64_t n = xg_tensor_elems(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t c = i % l->channels;
        float v = t->dtype == XG_F32  ? ((const float *)data)[i]
                  : t->dtype == XG_I8 ? (float)((const int8_t *)data)[i]
                                      : (float)((const uint8_t *)data)[i];
        if (t->dtype != XG_F32) v = (v - (float)t->quant->zp[0]) * t->quant->scale[0];
        if (!(v >= l->low[c])) l->low[c] = v;
        if (!(v <= l->high[c])) l->high[c] = v;
    }
}

static xg_status measure(work *w, const xg_samples *s) {
    xg_ctx *c = xg_arena_ctx(w->tmp);
    uint64_t sets = s ? xg_samples_count(s) : 0;
    /* an even choice of all sets */
    uint64_t take = w->link.n ? (uint64_t)xg_min((int64_t)sets, SAMPLES_MAX) : 0;
    xg_status st = XG_OK;
    for (uint64_t i = 0; i < take && st == XG_OK; i++) {
        xg_arena *scratch = xg_arena_new(c);
        xg_values v;
        xg_values_init(&v, w->e->g, scratch);
        st = xg_samples_fill(s, i * sets / take, &v);
        if (st == XG_OK) st = xg_interp_run(c, &v, NULL);
        for (uint32_t k = 0; k < w->link.n && st == XG_OK; k++)
            reach(xg_tensorp(w->e->g, w->link.v[k].first), v.v[w->link.v[k].first], &w->link.v[k]);
        xg_arena_free(scratch);
    }
    return st;
}

/* ---- solving ---- */

typedef struct dims {
    int64_t o, taps, ig, group;
} dims;

static dims dims_of(const work *w, uint32_t node) {
    const xg_node *n = xg_nodep(w->e->g, node);
    const xg_tensor *t = xg_in(w->e->g, n, 1);
    return (dims){t->dim[0], t->dim[1] * t->dim[2], t->dim[3], xg_ai(n, XG_ATTR_group)};
}

/* Input channel of column i for output channel o. */
static int64_t input_of(const dims *d, int64_t o, int64_t i) {
    return o / (d->o / d->group) * d->ig + i;
}

static double weight(const work *w, uint32_t node, const dims *d, int64_t o, int64_t k, int64_t i) {
    double v = w->e->w[node][(o * d->taps + k) * d->ig + i];
    if (w->din[node]) v *= w->din[node][input_of(d, o, i)];
    return w->dout[node] ? v / w->dout[node][o] : v;
}

/* Largest weight of each output (input) channel, as a share of the largest of all; keeps the larger
 * of it and what is there. */
static void shares(const work *w, uint32_t node, bool inputs, double *share, double *own) {
    dims d = dims_of(w, node);
    int64_t channels = inputs ? d.ig * d.group : d.o;
    double most = 0;
    for (int64_t c = 0; c < channels; c++) own[c] = 0;
    for (int64_t o = 0; o < d.o; o++)
        for (int64_t k = 0; k < d.taps; k++)
            for (int64_t i = 0; i < d.ig; i++) {
                double v = fabs(weight(w, node, &d, o, k, i));
                int64_t c = inputs ? input_of(&d, o, i) : o;
                if (v > own[c]) own[c] = v;
                if (v > most) most = v;
            }
    for (int64_t c = 0; c < channels && most > 0; c++) share[c] = fmax(share[c], own[c] / most);
}

/* The least factor that keeps what a channel reaches inside the bounds; 1 when it reaches them. */
static double least_factor(const link *l, uint32_t c) {
    double need = 1 / FACTOR_MAX;
    if (isfinite(l->hi)) need = fmax(need, l->high[c] / l->hi);
    if (l->lo != 0 && isfinite(l->lo)) need = fmax(need, l->low[c] / l->lo);
    return need;
}

/* What a channel reaches, in its present scale. */
static double height(const link *l, uint32_t c) {
    return fmax(fmax(l->high[c], -(double)l->low[c]), 0) / l->divide[c];
}

/* The factor that makes a channel's shares before and behind equal. Before: of the weights' range
 * or of the tensor's, whichever is larger, so that no activation outgrows the others. */
static void improve(work *w, link *l) {
    double *before = xg_newn(w->tmp, double, l->channels);
    double *behind = xg_newn(w->tmp, double, l->channels);
    double *own = xg_newn(w->tmp, double, l->channels);
    shares(w, l->from, false, before, own);
    for (uint32_t u = w->uses.first[l->last]; u < w->uses.first[l->last + 1]; u++)
        shares(w, w->uses.node[u], true, behind, own);
    double highest = 0;
    for (uint32_t c = 0; c < l->channels; c++) highest = fmax(highest, height(l, c));
    for (uint32_t c = 0; c < l->channels; c++) {
        if (before[c] == 0 || behind[c] == 0) continue;
        if (highest > 0) before[c] = fmax(before[c], height(l, c) / highest);
        double need = least_factor(l, c), f = l->divide[c] * sqrt(before[c] / behind[c]);
        if (need >= 1) continue;
        l->divide[c] = fmin(fmax(f, need), FACTOR_MAX);
    }
}

static void solve(work *w) {
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < w->link.n; i++) improve(w, &w->link.v[i]);
    }
}

/* ---- results ---- */

static void rescale(work *w, uint32_t node) {
    xg_equaliser *e = w->e;
    dims d = dims_of(w, node);
    float *to = xg_newn(e->arena, float, (size_t)(d.o * d.taps * d.ig));
    for (int64_t o = 0; o < d.o; o++)
        for (int64_t k = 0; k < d.taps; k++)
            for (int64_t i = 0; i < d.ig; i++)
                to[(o * d.taps + k) * d.ig + i] = (float)weight(w, node, &d, o, k, i);
    if (e->b[node] && w->dout[node]) {
        float *b = xg_newn(e->arena, float, (size_t)d.o);
        for (int64_t o = 0; o < d.o; o++) b[o] = (float)(e->b[node][o] / w->dout[node][o]);
        e->b[node] = b;
    }
    e->w[node] = to;
}

static void note_tensors(work *w, const link *l) {
    float *divide = xg_newn(w->e->arena, float, l->channels);
    for (uint32_t c = 0; c < l->channels; c++) divide[c] = (float)l->divide[c];
    uint32_t t = l->first;
    w->e->divide[t] = divide;
    while (t != l->last) {
        t = xg_nodep(w->e->g, w->uses.node[w->uses.first[t]])->out[0];
        w->e->divide[t] = divide;
    }
}

static bool changes(const link *l) {
    for (uint32_t c = 0; c < l->channels; c++)
        if (l->divide[c] != 1) return true;
    return false;
}

static void write_results(work *w) {
    for (uint32_t i = 0; i < w->link.n; i++) {
        if (!changes(&w->link.v[i])) continue;
        note_tensors(w, &w->link.v[i]);
        w->e->changed++;
    }
    for (uint32_t n = 0; n < w->e->g->node.n; n++)
        if (w->e->w[n] && (w->din[n] || w->dout[n])) rescale(w, n);
}

/* ---- the whole ---- */

void xg_equaliser_init(xg_equaliser *e, xg_arena *a, const xg_graph *g) {
    *e = (xg_equaliser){.arena = a, .g = g};
    e->w = xg_newn(a, const float *, g->node.n);
    e->b = xg_newn(a, const float *, g->node.n);
    e->divide = xg_newn(a, const float *, g->tensor.n);
}

static void add_link(work *w, const link *found) {
    link l = *found;
    l.divide = xg_newn(w->tmp, double, l.channels);
    l.low = xg_newn(w->tmp, float, l.channels);
    l.high = xg_newn(w->tmp, float, l.channels);
    for (uint32_t c = 0; c < l.channels; c++) {
        l.divide[c] = 1;
        l.low[c] = INFINITY;
        l.high[c] = -INFINITY;
    }
    w->dout[l.from] = l.divide;
    for (uint32_t u = w->uses.first[l.last]; u < w->uses.first[l.last + 1]; u++)
        w->din[w->uses.node[u]] = l.divide;
    xg_push(w->tmp, &w->link, l);
}

xg_status xg_equaliser_run(xg_equaliser *e, const xg_samples *s) {
    work w = {.e = e, .tmp = xg_arena_new(xg_arena_ctx(e->arena))};
    w.uses = xg_graph_uses(e->g, w.tmp);
    w.din = xg_newn(w.tmp, const double *, e->g->node.n);
    w.dout = xg_newn(w.tmp, const double *, e->g->node.n);
    for (uint32_t n = 0; n < e->g->node.n; n++) {
        link l;
        if (e->w[n] && find_link(&w, n, &l) && (s || !is_bounded(&l))) add_link(&w, &l);
    }
    xg_status st = measure(&w, s);
    if (st == XG_OK) solve(&w);
    if (st == XG_OK) write_results(&w);
    xg_arena_free(w.tmp);
    return st;
}

/* ---- float graphs ---- */

static bool is_own_const(const xg_graph *g, const xg_uses *u, uint32_t t) {
    const xg_tensor *v = xg_tensorp(g, t);
    return v->data && v->dtype == XG_F32 && v->producer == XG_NONE && !v->is_input &&
           !v->is_output && u->first[t + 1] - u->first[t] == 1;
}

static bool is_candidate(const xg_graph *g, const xg_uses *u, const xg_node *n) {
    if (n->op != XG_OP_Conv || xg_in(g, n, 0)->dtype != XG_F32 || !is_own_const(g, u, n->in[1]))
        return false;
    return !xg_in(g, n, 2) || is_own_const(g, u, n->in[2]);
}

xg_status xg_equalise(xg_arena *a, xg_graph **gp, const xg_samples *s, uint32_t *changed) {
    xg_graph *g;
    xg_status st = xg_graph_compact(xg_arena_ctx(a), *gp, a, &g); /* the caller's stays as it is */
    if (st != XG_OK) return st;
    xg_uses u = xg_graph_uses(g, a);
    xg_equaliser e;
    xg_equaliser_init(&e, a, g);
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (!is_candidate(g, &u, n)) continue;
        e.w[i] = xg_in(g, n, 1)->data;
        e.b[i] = xg_in(g, n, 2) ? xg_in(g, n, 2)->data : NULL;
    }
    st = xg_equaliser_run(&e, s);
    if (st != XG_OK) return st;
    *changed = e.changed;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (!e.w[i]) continue;
        xg_in(g, n, 1)->data = e.w[i];
        if (e.b[i]) xg_in(g, n, 2)->data = e.b[i];
    }
    if (e.changed) *gp = g;
    return XG_OK;
}
