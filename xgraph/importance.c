#include "xgraph/importance.h"

#include "xgraph/pass.h"

#include <math.h>
#include <string.h>

typedef struct work {
    xg_arena *a;
    const xg_graph *g;
    const xg_values *v; /* of one set */
    double **out;       /* [tensors][channels] of this set */
} work;

static int64_t channels_of(const xg_tensor *t) {
    return t->rank ? t->dim[t->rank - 1] : 1;
}

static bool counts(const work *w, uint32_t t) {
    const xg_tensor *x = t == XG_NONE ? NULL : xg_tensorp(w->g, t);
    return x && x->dtype == XG_F32 && (x->producer != XG_NONE || x->is_input);
}

static double *of(work *w, uint32_t t) {
    if (!w->out[t]) w->out[t] = xg_newn(w->a, double, (size_t)channels_of(xg_tensorp(w->g, t)));
    return w->out[t];
}

/* Elements of the result for each element read. */
static double spread(const work *w, const xg_node *n, uint32_t k) {
    return (double)xg_tensor_elems(xg_out(w->g, n, 0)) /
           (double)xg_max(xg_tensor_elems(xg_in(w->g, n, k)), 1);
}

static double mean_square(const xg_tensor *t, const float *v, int64_t c) {
    int64_t n = xg_tensor_elems(t), step = channels_of(t);
    double sum = 0;
    for (int64_t i = c; i < n; i += step)
        if (isfinite(v[i])) sum += (double)v[i] * (double)v[i];
    return sum * (double)step / (double)xg_max(n, 1);
}

static double mean_of(const double *v, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i];
    return n ? sum / (double)n : 0;
}

/* ---- one operator ---- */

/* Each input of as many channels as the result gets the channel's own share times `factor`, others
 * the mean over the channels. */
static void pass(work *w, const xg_node *n, uint32_t k, double factor) {
    const xg_tensor *x = xg_in(w->g, n, k), *y = xg_out(w->g, n, 0);
    const double *from = w->out[n->out[0]];
    double *to = of(w, n->in[k]), all = mean_of(from, channels_of(y));
    bool same = channels_of(x) == channels_of(y);
    for (int64_t c = 0; c < channels_of(x); c++) to[c] += factor * (same ? from[c] : all);
}

static void conv(work *w, const xg_node *n) {
    const xg_tensor *t = xg_in(w->g, n, 1);
    const float *v = w->v->v[n->in[1]];
    const double *from = w->out[n->out[0]];
    double *to = of(w, n->in[0]);
    double per =
        (double)xg_tensor_elems(xg_out(w->g, n, 0)) / (double)t->dim[0] /
        ((double)xg_tensor_elems(xg_in(w->g, n, 0)) / (double)channels_of(xg_in(w->g, n, 0)));
    int64_t o = t->dim[0], taps = t->dim[1] * t->dim[2], ig = t->dim[3];
    int64_t og = o / xg_ai(n, XG_ATTR_group);
    for (int64_t i = 0; i < o; i++)
        for (int64_t k = 0; k < taps * ig; k++) {
            double x = (double)v[i * taps * ig + k];
            to[i / og * ig + k % ig] += per * x * x * from[i];
        }
}

static void product(work *w, const xg_node *n, uint32_t k) {
    const xg_tensor *x = xg_in(w->g, n, k), *b = xg_in(w->g, n, 1 - k), *y = xg_out(w->g, n, 0);
    const double *from = w->out[n->out[0]];
    double *to = of(w, n->in[k]), sum = 0, per = spread(w, n, k);
    int64_t channels = channels_of(y), cb = channels_of(b), cx = channels_of(x);
    for (int64_t c = 0; c < channels; c++) {
        double share = from[c] * mean_square(b, w->v->v[n->in[1 - k]], cb == channels ? c : 0);
        if (cx == channels) to[c] += per * share;
        sum += share;
    }
    for (int64_t c = 0; c < cx && cx != channels; c++) to[c] += per * sum / (double)channels;
}

/* Slope over a short way to either side. */
static double slope_at(const xg_node *n, float x) {
    float h = fmaxf(fabsf(x) * 0x1p-8f, 0x1p-10f), lo, hi;
    if (!xg_unary_value(n, x - h, &lo) || !xg_unary_value(n, x + h, &hi)) return 1;
    double slope = ((double)hi - (double)lo) / (2 * (double)h);
    return isfinite(slope) ? slope : 1;
}

static void function(work *w, const xg_node *n) {
    enum { SEEN_MAX = 1024 }; /* values a channel */
    const xg_tensor *x = xg_in(w->g, n, 0);
    const float *v = w->v->v[n->in[0]];
    const double *from = w->out[n->out[0]];
    double *to = of(w, n->in[0]);
    int64_t channels = channels_of(x), each = xg_tensor_elems(x) / xg_max(channels, 1);
    int64_t step = xg_ceil_div(each, SEEN_MAX);
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        int64_t seen = 0;
        for (int64_t i = 0; i < each; i += step, seen++) {
            double slope = slope_at(n, v[i * channels + c]);
            sum += slope * slope;
        }
        to[c] += from[c] * sum / (double)xg_max(seen, 1);
    }
}

static void concat(work *w, const xg_node *n) {
    int64_t at = 0;
    bool last = xg_ai(n, XG_ATTR_axis) == xg_out(w->g, n, 0)->rank - 1;
    for (uint32_t k = 0; k < n->nin; k++) {
        int64_t channels = channels_of(xg_in(w->g, n, k));
        const double *from = w->out[n->out[0]] + (last ? at : 0);
        if (counts(w, n->in[k]))
            for (int64_t c = 0; c < channels; c++) of(w, n->in[k])[c] += from[c];
        at += channels;
    }
}

static void slice(work *w, const xg_node *n) {
    const xg_attr *starts = xg_attr_of(n, XG_ATTR_starts), *steps = xg_attr_of(n, XG_ATTR_steps);
    const xg_tensor *x = xg_in(w->g, n, 0), *y = xg_out(w->g, n, 0);
    uint32_t axis = x->rank - 1u;
    int64_t start = starts->n > axis ? starts->is[axis] : 0;
    int64_t step = steps->n > axis ? steps->is[axis] : 1;
    double *to = of(w, n->in[0]);
    double per = spread(w, n, 0) * (double)channels_of(x) / (double)channels_of(y);
    for (int64_t c = 0; c < channels_of(y); c++) to[start + c * step] += per * w->out[n->out[0]][c];
}

static void gather(work *w, const xg_node *n) {
    const xg_tensor *x = xg_in(w->g, n, 0), *at = xg_in(w->g, n, 1);
    const xg_tensor *y = xg_out(w->g, n, 0);
    bool last = xg_ai(n, XG_ATTR_axis) == x->rank - 1 && at->rank == 1 && w->v->v[n->in[1]];
    if (!last) {
        pass(w, n, 0, spread(w, n, 0));
        return;
    }
    double *to = of(w, n->in[0]);
    for (int64_t c = 0; c < channels_of(y); c++) {
        const void *v = w->v->v[n->in[1]];
        int64_t from = at->dtype == XG_I32 ? ((const int32_t *)v)[c] : ((const int64_t *)v)[c];
        if (from >= 0 && from < channels_of(x)) to[from] += w->out[n->out[0]][c];
    }
}

/* The mean of what a result's element is made of, `of` elements each. */
static void average(work *w, const xg_node *n, double each) {
    pass(w, n, 0, spread(w, n, 0) / each);
}

/* Operators of which nothing is known: noise keeps its proportion to the signal. */
static void other(work *w, const xg_node *n) {
    for (uint32_t o = 0; o < n->nout; o++) {
        const xg_tensor *y = xg_out(w->g, n, o);
        if (!w->out[n->out[o]] || y->dtype != XG_F32) continue;
        double sum = 0;
        for (int64_t c = 0; c < channels_of(y); c++)
            sum += w->out[n->out[o]][c] * mean_square(y, w->v->v[n->out[o]], c);
        sum *= (double)xg_tensor_elems(y) / (double)xg_max(channels_of(y), 1);
        for (uint32_t k = 0; k < n->nin; k++) {
            if (!counts(w, n->in[k])) continue;
            const xg_tensor *x = xg_in(w->g, n, k);
            double energy = 0;
            for (int64_t c = 0; c < channels_of(x); c++)
                energy += mean_square(x, w->v->v[n->in[k]], c);
            energy *= (double)xg_tensor_elems(x) / (double)xg_max(channels_of(x), 1);
            for (int64_t c = 0; c < channels_of(x) && energy > 0; c++)
                of(w, n->in[k])[c] += sum / energy;
        }
    }
}

/* Whether the last axis of the result is that of what is read. */
static bool keeps_channels(const work *w, const xg_node *n) {
    const xg_tensor *x = xg_in(w->g, n, 0), *y = xg_out(w->g, n, 0);
    if (n->op == XG_OP_Transpose) {
        const xg_attr *perm = xg_attr_of(n, XG_ATTR_perm);
        return perm->n == x->rank && x->rank && perm->is[x->rank - 1] == x->rank - 1;
    }
    return channels_of(x) == channels_of(y);
}

static void move(work *w, const xg_node *n) {
    double *to = of(w, n->in[0]), all;
    const xg_tensor *x = xg_in(w->g, n, 0);
    if (keeps_channels(w, n)) {
        pass(w, n, 0, spread(w, n, 0));
        return;
    }
    all = mean_of(w->out[n->out[0]], channels_of(xg_out(w->g, n, 0)));
    for (int64_t c = 0; c < channels_of(x); c++) to[c] += all * spread(w, n, 0);
}

static void both(work *w, const xg_node *n) {
    for (uint32_t k = 0; k < 2; k++) {
        if (!counts(w, n->in[k])) continue;
        if (n->op == XG_OP_Mul)
            product(w, n, k);
        else
            pass(w, n, k, spread(w, n, k));
    }
}

static void node(work *w, const xg_node *n) {
    if (xg_op_is_unary(n->op) && counts(w, n->in[0])) {
        function(w, n);
        return;
    }
    bool read = n->nin && counts(w, n->in[0]);
    xg_window win;
    switch (n->op) {
    case XG_OP_Conv:
        if (read && w->v->v[n->in[1]]) conv(w, n);
        break;
    case XG_OP_Add:
    case XG_OP_Sub:
    case XG_OP_Mul:
        both(w, n);
        break;
    case XG_OP_AvgPool:
        win = xg_node_window(n);
        if (read) average(w, n, (double)win.kh * win.kw);
        break;
    case XG_OP_ReduceMean:
        if (read) average(w, n, 1 / spread(w, n, 0));
        break;
    case XG_OP_Concat:
        concat(w, n);
        break;
    case XG_OP_Slice:
        if (read) slice(w, n);
        break;
    case XG_OP_Gather:
        if (read) gather(w, n);
        break;
    case XG_OP_MaxPool:
    case XG_OP_Pad:
    case XG_OP_Resize:
    case XG_OP_Reshape:
    case XG_OP_Transpose:
        if (read) move(w, n);
        break;
    default:
        other(w, n);
    }
}

/* ---- the whole ---- */

static void start(work *w) {
    for (uint32_t i = 0; i < w->g->output.n; i++) {
        uint32_t t = w->g->output.v[i];
        const xg_tensor *y = xg_tensorp(w->g, t);
        if (!counts(w, t) || !w->v->v[t]) continue;
        double energy = 0;
        int64_t channels = channels_of(y);
        for (int64_t c = 0; c < channels; c++) energy += mean_square(y, w->v->v[t], c);
        energy *= (double)xg_tensor_elems(y) / (double)xg_max(channels, 1);
        for (int64_t c = 0; c < channels && energy > 0; c++) of(w, t)[c] += 1 / energy;
    }
}

static bool is_reached(const work *w, const xg_node *n) {
    for (uint32_t o = 0; o < n->nout; o++)
        if (n->out[o] != XG_NONE && w->out[n->out[o]]) return true;
    return false;
}

static xg_status add_set(xg_arena *a, const xg_graph *g, const xg_samples *s, uint64_t set,
                         double **sum) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_arena *scratch = xg_arena_new(c);
    xg_values v;
    xg_values_init(&v, g, scratch);
    xg_status st = xg_samples_fill(s, set, &v);
    if (st == XG_OK) st = xg_interp_run(c, &v, NULL);
    work w = {.a = scratch, .g = g, .v = &v, .out = xg_newn(scratch, double *, g->tensor.n)};
    if (st == XG_OK) start(&w);
    for (uint32_t i = g->node.n; i-- > 0 && st == XG_OK;)
        if (is_reached(&w, xg_nodep(g, i))) node(&w, xg_nodep(g, i));
    for (uint32_t t = 0; t < g->tensor.n && st == XG_OK; t++) {
        if (!w.out[t]) continue;
        int64_t n = channels_of(xg_tensorp(g, t));
        if (!sum[t]) sum[t] = xg_newn(a, double, (size_t)n);
        for (int64_t k = 0; k < n; k++) sum[t][k] += w.out[t][k];
    }
    xg_arena_free(scratch);
    return st;
}

xg_status xg_importance(xg_arena *a, const xg_graph *g, const xg_samples *s, uint64_t most,
                        double ***out) {
    uint64_t all = xg_samples_count(s), take = most < all ? most : all;
    xg_status st = XG_OK;
    *out = xg_newn(a, double *, g->tensor.n);
    for (uint64_t i = 0; i < take && st == XG_OK; i++) st = add_set(a, g, s, i * all / take, *out);
    return st;
}

/* ---- functions ---- */

const xg_node *xg_reader_of(const xg_graph *g, const xg_uses *u, uint32_t t) {
    for (;;) {
        if (u->first[t + 1] - u->first[t] != 1 || xg_tensorp(g, t)->is_output) return NULL;
        const xg_node *n = xg_nodep(g, u->node[u->first[t]]);
        if (xg_op_is_unary(n->op)) return n->op == XG_OP_Clip ? NULL : n;
        if (n->op != XG_OP_Reshape && n->op != XG_OP_Transpose) return NULL;
        t = n->out[0];
    }
}
