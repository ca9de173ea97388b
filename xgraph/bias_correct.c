#include "xgraph/bias_correct.h"

#include "xgraph/kernel.h"
#include "xgraph/reals.h"

#include <math.h>
#include <string.h>

enum { SETS_MAX = 32 };
#define BYTES_MAX (512u << 20) /* of the sets' tensors together */

typedef struct work {
    xg_ctx *ctx;
    xg_arena *tmp;
    const xg_graph *from;
    xg_graph *to;
    const xg_rqrec *record;
    const xg_samples *samples;
    const xg_bias_pair *pair;
    uint32_t npair;
    uint64_t sets;
    xg_values *values; /* [sets] of `to` */
    double **mean;     /* [pairs]: sum over the sets, then mean: [taps][channels] of from's input */
} work;

static bool in_map(int64_t v, int64_t size) {
    return v >= 0 && v < size;
}

/* Adds to sum[tap][channel] the real inputs that the tap meets over all output positions; padding
 * counts as 0. Order of addition: batch, rows, columns. */
static void add_inputs(const xg_graph *g, const xg_node *n, const void *data, double *sum) {
    const xg_tensor *x = xg_in(g, n, 0), *y = xg_out(g, n, 0);
    xg_window w = xg_node_window(n);
    int64_t ch = x->dim[3];
    for (int64_t b = 0; b < x->dim[0]; b++)
        for (int64_t oy = 0; oy < y->dim[1]; oy++)
            for (int64_t ox = 0; ox < y->dim[2]; ox++)
                for (int64_t k = 0; k < (int64_t)w.kh * w.kw; k++) {
                    int64_t iy = oy * w.sh - w.pt + k / w.kw * w.dh;
                    int64_t ix = ox * w.sw - w.pl + k % w.kw * w.dw;
                    if (!in_map(iy, x->dim[1]) || !in_map(ix, x->dim[2])) continue;
                    int64_t at = ((b * x->dim[1] + iy) * x->dim[2] + ix) * ch;
                    for (int64_t c = 0; c < ch; c++) sum[k * ch + c] += xg_real_at(x, data, at + c);
                }
}

static int64_t mean_elems(const xg_graph *g, const xg_node *n) {
    const xg_tensor *w = xg_in(g, n, 1);
    return w->dim[1] * w->dim[2] * xg_in(g, n, 0)->dim[3];
}

static double positions(const xg_graph *g, const xg_node *n) {
    const xg_tensor *y = xg_out(g, n, 0);
    return (double)(y->dim[0] * y->dim[1] * y->dim[2]);
}

/* ---- means before ---- */

static xg_status measure_before(work *w) {
    w->mean = xg_newn(w->tmp, double *, w->npair);
    for (uint32_t i = 0; i < w->npair; i++)
        w->mean[i] = xg_newn(w->tmp, double,
                             (size_t)mean_elems(w->from, xg_nodep(w->from, w->pair[i].from)));
    xg_status st = XG_OK;
    uint64_t all = xg_samples_count(w->samples);
    for (uint64_t s = 0; s < w->sets && st == XG_OK; s++) {
        xg_arena *scratch = xg_arena_new(w->ctx);
        xg_values v;
        xg_values_init(&v, w->from, scratch);
        st = xg_samples_fill(w->samples, s * all / w->sets, &v);
        if (st == XG_OK) st = xg_interp_run(w->ctx, &v, NULL);
        for (uint32_t i = 0; i < w->npair && st == XG_OK; i++) {
            const xg_node *n = xg_nodep(w->from, w->pair[i].from);
            add_inputs(w->from, n, v.v[n->in[0]], w->mean[i]);
        }
        xg_arena_free(scratch);
    }
    for (uint32_t i = 0; i < w->npair; i++) {
        const xg_node *n = xg_nodep(w->from, w->pair[i].from);
        double per = positions(w->from, n) * (double)w->sets;
        int64_t ch = xg_in(w->from, n, 0)->dim[3], count = mean_elems(w->from, n);
        for (int64_t k = 0; k < count; k++) {
            w->mean[i][k] /= per;
            if (w->pair[i].divide) w->mean[i][k] /= w->pair[i].divide[k % ch];
        }
    }
    return st;
}

/* ---- correcting ---- */

static double weight_scale(const xg_tensor *w, int64_t o) {
    return w->quant->scale[w->quant->n == 1 ? 0 : o];
}

static int32_t *bias_of(work *w, xg_node *n) {
    const xg_tensor *weights = xg_in(w->to, n, 1);
    int64_t o = weights->dim[0];
    int32_t *data = xg_newn(w->to->arena, int32_t, (size_t)o);
    xg_tensor *old = xg_in(w->to, n, 2);
    if (old) {
        memcpy(data, old->data, (size_t)o * sizeof *data);
        return data;
    }
    uint32_t q = weights->quant->n;
    float *scale = xg_newn(w->to->arena, float, q);
    for (uint32_t i = 0; i < q; i++)
        scale[i] = fmaxf(xg_in(w->to, n, 0)->quant->scale[0] * weights->quant->scale[i], 0x1p-149f);
    const xg_quant *quant = xg_quant_new(w->to->arena, q == 1 ? -1 : 0, q, scale, NULL);
    const char *name = xg_strf(w->to->arena, "%s/bias", n->name);
    uint32_t *in = xg_newn(w->to->arena, uint32_t, 3);
    memcpy(in, n->in, 2 * sizeof *in);
    in[2] = xg_graph_add_const(w->to, name, XG_I32, 1, &o, data, quant);
    n->in = in;
    n->nin = 3;
    for (uint64_t s = 0; s < w->sets; s++) { /* the values know the tensors there were */
        void **v = xg_newn(w->tmp, void *, w->to->tensor.n);
        memcpy(v, w->values[s].v, (w->to->tensor.n - 1) * sizeof *v);
        w->values[s].v = v;
    }
    return data;
}

/* Sums of w[o][k] mean[k] as before and as now. */
static double shift_of(const work *w, uint32_t i, const double *now, int64_t o) {
    const xg_node *n = xg_nodep(w->to, w->pair[i].to);
    const xg_tensor *t = xg_in(w->to, n, 1);
    int64_t taps = t->dim[1] * t->dim[2], ig = t->dim[3], ch = xg_in(w->to, n, 0)->dim[3];
    int64_t first = o / (t->dim[0] / xg_ai(n, XG_ATTR_group)) * ig;
    double scale = weight_scale(t, o), sum = 0;
    for (int64_t k = 0; k < taps; k++)
        for (int64_t c = 0; c < ig; c++) {
            int64_t at = (o * taps + k) * ig + c, x = k * ch + first + c;
            sum += (double)w->pair[i].w[at] * w->mean[i][x] -
                   (double)xg_load(t->data, t->dtype, at) * scale * now[x];
        }
    return sum;
}

/* Biases may grow by this share of the accumulator, so that a proof of its width still holds. */
static double limit_of(const work *w, const xg_node *n) {
    bool wide = xg_node_is_wide(w->to, n);
    return ldexp(1, (wide ? XG_WIDE_ACC_BITS : w->record->acc_bits) - 6);
}

static void correct(work *w, uint32_t i) {
    xg_node *n = xg_nodep(w->to, w->pair[i].to);
    double *now = xg_newn(w->tmp, double, (size_t)mean_elems(w->to, n));
    for (uint64_t s = 0; s < w->sets; s++) add_inputs(w->to, n, w->values[s].v[n->in[0]], now);
    double per = positions(w->to, n) * (double)w->sets;
    for (int64_t k = 0; k < mean_elems(w->to, n); k++) now[k] /= per;
    int32_t *bias = bias_of(w, n);
    const xg_tensor *t = xg_in(w->to, n, 1);
    for (int64_t o = 0; o < t->dim[0]; o++) {
        double unit = (double)xg_in(w->to, n, 0)->quant->scale[0] * weight_scale(t, o);
        double real = (w->pair[i].b ? w->pair[i].b[o] : 0) + shift_of(w, i, now, o);
        double q = rint(real / unit);
        if (fabs(q - bias[o]) <= limit_of(w, n) && fabs(q) < 0x1p31) bias[o] = (int32_t)q;
    }
    xg_tensor *b = xg_in(w->to, n, 2);
    b->data = bias;
    for (uint64_t s = 0; s < w->sets; s++) w->values[s].v[n->in[2]] = bias;
}

/* Node by node, all sets side by side: a bias is right before anything behind it runs. */
static xg_status run_and_correct(work *w) {
    uint32_t next = 0;
    for (uint32_t i = 0; i < w->to->node.n; i++) {
        if (next < w->npair && w->pair[next].to == i) correct(w, next++);
        for (uint64_t s = 0; s < w->sets; s++) {
            xg_status st = xg_interp_node(w->ctx, &w->values[s], i, w->record);
            if (st != XG_OK) return st;
        }
    }
    return XG_OK;
}

static uint64_t bytes_of(const xg_graph *g) {
    uint64_t sum = 1;
    for (uint32_t t = 0; t < g->tensor.n; t++)
        if (!g->tensor.v[t].data)
            sum +=
                (uint64_t)xg_tensor_elems(&g->tensor.v[t]) * xg_dtype_bytes(g->tensor.v[t].dtype);
    return sum;
}

static xg_status start_values(work *w) {
    w->values = xg_newn(w->tmp, xg_values, w->sets);
    uint64_t all = xg_samples_count(w->samples);
    xg_status st = XG_OK;
    for (uint64_t s = 0; s < w->sets && st == XG_OK; s++) {
        xg_values_init(&w->values[s], w->to, w->tmp);
        st = xg_samples_fill(w->samples, s * all / w->sets, &w->values[s]);
    }
    return st;
}

xg_status xg_bias_correct(const xg_graph *from, xg_graph *to, const xg_rqrec *record,
                          const xg_samples *s, const xg_bias_pair *pair, uint32_t n,
                          uint32_t *changed) {
    xg_ctx *c = xg_arena_ctx(to->arena);
    work w = {.ctx = c, .tmp = xg_arena_new(c), .from = from, .to = to, .record = record};
    w.samples = s;
    w.pair = pair;
    w.npair = n;
    uint64_t fit = BYTES_MAX / bytes_of(to);
    w.sets = (uint64_t)xg_clamp((int64_t)xg_samples_count(s), 1, SETS_MAX);
    w.sets = (uint64_t)xg_clamp((int64_t)fit, 1, (int64_t)w.sets);
    xg_status st = measure_before(&w);
    if (st == XG_OK) st = start_values(&w);
    if (st == XG_OK) st = run_and_correct(&w);
    *changed = st == XG_OK ? n : 0;
    xg_arena_free(w.tmp);
    return st;
}
