#include "xgraph/quantise_plan.h"

#include <math.h>
#include <string.h>

void xg_qplan_init(xg_qplan *p, xg_graph *g, const xg_rqrec *record) {
    *p = (xg_qplan){.ctx = xg_arena_ctx(g->arena), .arena = g->arena, .g = g, .record = record};
}

xg_qtensor *xg_qplan_tensor(xg_qplan *p, uint32_t t) {
    xg_reserve(p->arena, &p->tensor, t + 1);
    while (p->tensor.n <= t) {
        xg_qtensor fresh = {.up = p->tensor.n, .min = INFINITY, .max = -INFINITY};
        p->tensor.v[p->tensor.n++] = fresh;
    }
    return &p->tensor.v[t];
}

xg_qnode *xg_qplan_node(xg_qplan *p, uint32_t n) {
    xg_reserve(p->arena, &p->node, n + 1);
    while (p->node.n <= n) {
        xg_qnode fresh = {.lo = -INFINITY, .hi = INFINITY};
        p->node.v[p->node.n++] = fresh;
    }
    return &p->node.v[n];
}

uint32_t xg_qplan_root(xg_qplan *p, uint32_t t) {
    xg_qplan_tensor(p, t);
    while (p->tensor.v[t].up != t) {
        p->tensor.v[t].up = p->tensor.v[p->tensor.v[t].up].up;
        t = p->tensor.v[t].up;
    }
    return t;
}

bool xg_qplan_tie(xg_qplan *p, uint32_t a, uint32_t b) {
    uint32_t ra = xg_qplan_root(p, a), rb = xg_qplan_root(p, b);
    if (ra == rb) return true;
    if (ra >
        rb) { /* the earlier tensor is the root: the result does not depend on the order of ties */
        uint32_t swap = ra;
        ra = rb;
        rb = swap;
    }
    xg_qtensor *to = &p->tensor.v[ra], *from = &p->tensor.v[rb];
    if (to->fixed && from->fixed && !xg_quant_equal(to->fixed, from->fixed)) return false;
    from->up = ra;
    if (!to->fixed) to->fixed = from->fixed;
    to->min = fminf(to->min, from->min);
    to->max = fmaxf(to->max, from->max);
    return true;
}

void xg_qplan_cover(xg_qplan *p, uint32_t t, float min, float max) {
    xg_qtensor *c = &p->tensor.v[xg_qplan_root(p, t)];
    c->min = fminf(c->min, min);
    c->max = fmaxf(c->max, max);
}

/* ---- scales
 * ----------------------------------------------------------------------------------------- */

/* Below this a scale's products leave binary32's normal numbers. */
#define SCALE_MIN 0x1p-60

static double covering_pow2(double s) {
    int e;
    double m = frexp(s, &e);
    return ldexp(1.0, m == 0.5 ? e - 1 : e);
}

static int32_t zero_point(const xg_rqrec *r, float min, double scale) {
    if (!r->act_zero_point) return 0;
    return (int32_t)xg_clamp((int64_t)rint(-128.0 - (double)min / scale), -128, 127);
}

void xg_qrange(const xg_rqrec *r, float min, float max, float *scale, int32_t *zp) {
    double lo = fmin(min, 0), hi = fmax(max, 0);
    double s =
        r->act_zero_point ? (hi - lo) / 255 : fmax(hi / 127, -lo / (r->pow2_scales ? 128 : 127));
    if (s == 0) s = 1.0 / 128;
    if (s < SCALE_MIN) s = SCALE_MIN;
    if (r->pow2_scales) s = covering_pow2(s);
    *scale = (float)s;
    *zp = zero_point(r, (float)lo, *scale);
}

float xg_qrange_wide(float min, float max) {
    double s = fmax(fabs((double)min), fabs((double)max)) / 32767;
    return (float)(s == 0 ? 1.0 / 32768 : fmax(s, SCALE_MIN));
}

static double squared_error(const float *w, int64_t n, double scale) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double q = fmin(fmax(rint(w[i] / scale), -128), 127);
        double d = q * scale - w[i];
        sum += d * d;
    }
    return sum;
}

float xg_qweight_scale(const xg_rqrec *r, const float *w, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)w[i]));
    if (most == 0) return 0;
    double s = fmax(most / 127, SCALE_MIN);
    if (!r->pow2_scales) return (float)s;
    s = covering_pow2(s);
    if (s > SCALE_MIN && squared_error(w, n, s / 2) < squared_error(w, n, s)) s /= 2;
    return (float)s;
}

/* ---- ties
 * ------------------------------------------------------------------------------------------- */

static bool is_active(xg_qplan *p, uint32_t t) {
    return t != XG_NONE && xg_qplan_tensor(p, t)->active;
}

static bool is_wide(xg_qplan *p, uint32_t t) {
    return t != XG_NONE && xg_qplan_tensor(p, t)->wide;
}

static bool node_is_wide(xg_qplan *p, const xg_node *n) {
    for (uint32_t i = 0; i < n->nin; i++)
        if (is_wide(p, n->in[i])) return true;
    return n->nout == 1 && is_wide(p, n->out[0]);
}

static bool shares_scale(xg_qplan *p, const xg_node *n) {
    if (n->op == XG_OP_AvgPool) return p->record->pool == XG_POOL_EXACT && !node_is_wide(p, n);
    return xg_ops[n->op].rule == XG_RULE_KEEP;
}

/* A concat's input that nobody else reads takes the concat's scale: its bytes can then be written
 * in place. */
static void tie_concat(xg_qplan *p, const xg_node *n, const xg_uses *u) {
    for (uint32_t i = 0; i < n->nin; i++) {
        uint32_t t = n->in[i];
        if (!is_active(p, t) || p->g->tensor.v[t].is_output) continue;
        if (is_wide(p, t) != is_wide(p, n->out[0])) continue;
        if (u->first[t + 1] - u->first[t] != 1) continue;
        if (!p->tensor.v[xg_qplan_root(p, t)].fixed) xg_qplan_tie(p, t, n->out[0]);
    }
}

static xg_status tie_all(xg_qplan *p) {
    xg_uses u = xg_graph_uses(p->g, p->arena);
    for (uint32_t i = 0; i < p->g->node.n; i++) {
        const xg_node *n = xg_nodep(p->g, i);
        if (n->nout != 1 || !is_active(p, n->out[0])) continue;
        if (shares_scale(p, n) && is_active(p, n->in[0]) && !xg_qplan_tie(p, n->in[0], n->out[0]))
            return xg_node_error(
                p->ctx, n, XG_UNSUPPORTED,
                "input and output must share one scale, but both are given from outside");
    }
    for (uint32_t i = 0; i < p->g->node.n; i++) {
        const xg_node *n = xg_nodep(p->g, i);
        if (n->op == XG_OP_Concat && is_active(p, n->out[0])) tie_concat(p, n, &u);
    }
    return XG_OK;
}

/* ---- first scales
 * ----------------------------------------------------------------------------------- */

static xg_status choose_class(xg_qplan *p, uint32_t t) {
    xg_qtensor *c = &p->tensor.v[t];
    if (c->fixed) {
        c->scale = c->fixed->scale[0];
        c->zp = c->fixed->zp[0];
        return XG_OK;
    }
    const char *name = p->g->tensor.v[t].name;
    if (c->min > c->max || !isfinite(c->min) || !isfinite(c->max))
        return xg_error(p->ctx, XG_INPUT, xg_strf(p->arena, "tensor '%s'", name),
                        "no finite range is known (%g .. %g): give calibration inputs that reach "
                        "it, or a range in the "
                        "calibration table",
                        (double)c->min, (double)c->max);
    if (c->wide)
        c->scale = xg_qrange_wide(c->min, c->max);
    else
        xg_qrange(p->record, c->min, c->max, &c->scale, &c->zp);
    return XG_OK;
}

/* A channel of zeros takes the whole tensor's scale, so that its bias keeps resolution. */
static void choose_weights(xg_qplan *p, uint32_t node) {
    xg_qnode *q = xg_qplan_node(p, node);
    const xg_tensor *w = xg_in(p->g, xg_nodep(p->g, node), 1);
    bool wide = node_is_wide(p, xg_nodep(p->g, node));
    xg_rqrec record = *p->record;
    if (wide) record.pow2_scales = false;
    q->wide = is_wide(p, xg_nodep(p->g, node)->in[0]);
    int64_t n = xg_tensor_elems(w);
    float all = xg_qweight_scale(&record, q->w, n);
    if (all == 0) all = 1.0f / 128;
    q->nw = wide || record.per_channel ? (uint32_t)w->dim[0] : 1;
    q->wscale = xg_newn(p->arena, float, q->nw);
    for (uint32_t o = 0; o < q->nw; o++) {
        int64_t run = n / q->nw;
        float own = q->nw == 1 ? all : xg_qweight_scale(&record, q->w + o * run, run);
        q->wscale[o] = own > 0 ? own : all;
        if (q->wide) q->wscale[o] = (float)((double)q->wscale[o] * 127 / 32767);
    }
}

/* ---- making scales coarser until the record can express every node
 * ------------------------------------ */

typedef enum outcome { FITS, CHANGED, STUCK } outcome;

static outcome coarsen(xg_qplan *p, uint32_t t) {
    xg_qtensor *c = &p->tensor.v[xg_qplan_root(p, t)];
    if (c->fixed || c->scale > 0x1p60f) return STUCK;
    c->scale *= 2;
    c->zp = zero_point(p->record, fminf(c->min, 0), c->scale);
    return CHANGED;
}

static float scale_of(xg_qplan *p, uint32_t t) {
    return p->tensor.v[xg_qplan_root(p, t)].scale;
}

static int32_t zp_of(xg_qplan *p, uint32_t t) {
    return p->tensor.v[xg_qplan_root(p, t)].zp;
}

/* Whether sum |w| * max|x - zx| + |b| of a channel stays below 2^(acc_bits - 1), and |b| below
 * 2^31.
 */
static bool accumulator_fits(xg_qplan *p, const xg_node *n, const xg_qnode *q, uint32_t o) {
    const xg_tensor *w = xg_in(p->g, n, 1);
    int64_t run = xg_tensor_elems(w) / w->dim[0];
    double scale = q->wscale[q->nw == 1 ? 0 : o], sum = 0, bias = 0;
    int32_t zx = zp_of(p, n->in[0]), bits = p->record->acc_bits;
    if (node_is_wide(p, n)) bits = XG_WIDE_ACC_BITS;
    for (int64_t i = 0; i < run; i++)
        sum += fmin(fabs(rint(q->w[(int64_t)o * run + i] / scale)), q->wide ? 32768 : 128);
    sum *= is_wide(p, n->in[0]) ? 32768.0 : (double)xg_max(127 - zx, zx + 128);
    if (q->b) bias = fabs(rint(q->b[o] / (scale * (double)scale_of(p, n->in[0])))) + 1;
    return sum + bias < ldexp(1, bits - 1) && bias < 0x1p31;
}

static outcome coarsen_weights(xg_qnode *q, uint32_t o) {
    if (q->wscale[o] > 0x1p60f) return STUCK;
    q->wscale[o] *= 2;
    return CHANGED;
}

static outcome fit_conv(xg_qplan *p, uint32_t node) {
    const xg_node *n = xg_nodep(p->g, node);
    xg_qnode *q = xg_qplan_node(p, node);
    uint32_t channels = (uint32_t)xg_in(p->g, n, 1)->dim[0];
    outcome got = FITS;
    for (uint32_t o = 0; o < q->nw && !node_is_wide(p, n); o++) {
        float num[2] = {scale_of(p, n->in[0]), q->wscale[o]}, sy = scale_of(p, n->out[0]);
        xg_rq unused;
        if (xg_rq_derive(p->record, num, 2, sy, &unused)) continue;
        bool too_large = (double)num[0] * num[1] >= sy;
        got = too_large ? coarsen(p, n->out[0]) : coarsen_weights(q, o);
        if (got == STUCK || too_large) return got;
    }
    for (uint32_t o = 0; o < channels; o++) {
        while (!accumulator_fits(p, n, q, o)) {
            got = coarsen_weights(q, q->nw == 1 ? 0 : o);
            if (got == STUCK) return STUCK;
        }
    }
    return got;
}

static outcome fit_sum(xg_qplan *p, const xg_node *n) {
    uint32_t a = n->in[0], b = n->in[1], y = n->out[0];
    float sa = scale_of(p, a), sb = scale_of(p, b), sy = scale_of(p, y);
    xg_addrq unused;
    if (xg_add_derive(p->record, sa, zp_of(p, a), sb, zp_of(p, b), sy, zp_of(p, y), &unused))
        return FITS;
    if (sy < sa && sy < sb)
        return coarsen(p, y); /* finer than both: the result asks for a left shift */
    outcome got = coarsen(p, sa < sb ? a : b);
    return got == STUCK ? coarsen(p, y) : got;
}

static outcome fit_product(xg_qplan *p, const xg_node *n) {
    uint32_t a = n->in[0], b = n->in[1], y = n->out[0];
    float sa = scale_of(p, a), sb = scale_of(p, b), sy = scale_of(p, y);
    xg_rq unused;
    bool dense = n->op == XG_OP_MatMul;
    float num[2] = {sa, sb};
    bool ok = dense ? xg_rq_derive(p->record, num, 2, sy, &unused)
                    : xg_mul_derive(p->record, sa, sb, sy, &unused);
    if (ok) return FITS;
    if ((double)sa * sb >= sy) return coarsen(p, y);
    outcome got = coarsen(p, sa < sb ? a : b);
    return got == STUCK ? coarsen(p, sa < sb ? b : a) : got;
}

static bool whole_map(const xg_graph *g, const xg_node *n) {
    xg_window w = xg_node_window(n);
    const xg_tensor *x = xg_in(g, n, 0);
    return w.kh == x->dim[1] && w.kw == x->dim[2] && !(w.pt | w.pb | w.pl | w.pr);
}

static outcome fit_pool(xg_qplan *p, const xg_node *n) {
    float sx = scale_of(p, n->in[0]), sy = scale_of(p, n->out[0]);
    xg_window w = xg_node_window(n);
    xg_poolrq unused;
    if (xg_pool_derive(p->record, sx, sy, w.kh * w.kw, whole_map(p->g, n), &unused)) return FITS;
    outcome got = coarsen(p, sx > sy ? n->out[0] : n->in[0]);
    return got == STUCK ? coarsen(p, sx > sy ? n->in[0] : n->out[0]) : got;
}

static outcome fit_node(xg_qplan *p, uint32_t i) {
    const xg_node *n = xg_nodep(p->g, i);
    if (node_is_wide(p, n) && n->op != XG_OP_Conv) return FITS;
    switch (n->op) {
    case XG_OP_Conv:
        return xg_qplan_node(p, i)->w ? fit_conv(p, i) : FITS;
    case XG_OP_Add:
        return fit_sum(p, n);
    case XG_OP_Mul:
    case XG_OP_MatMul:
        return fit_product(p, n);
    case XG_OP_AvgPool:
        return fit_pool(p, n);
    default:
        return FITS; /* the others are tables, copies or the host's */
    }
}

static bool all_active(xg_qplan *p, const xg_node *n) {
    uint32_t data = n->op == XG_OP_Conv ? 1 : n->nin;
    for (uint32_t i = 0; i < data; i++)
        if (!is_active(p, n->in[i])) return false;
    return n->nout == 1 && is_active(p, n->out[0]);
}

static xg_status fit_all(xg_qplan *p) {
    /* Each round makes something coarser, and each class can be doubled 120 times at most; few
     * rounds are usual. */
    for (uint64_t round = 0; round <= 120ull * (p->g->tensor.n + 1); round++) {
        bool changed = false;
        for (uint32_t i = 0; i < p->g->node.n; i++) {
            const xg_node *n = xg_nodep(p->g, i);
            if (!all_active(p, n)) continue;
            outcome got = fit_node(p, i);
            if (got == STUCK)
                return xg_node_error(
                    p->ctx, n, XG_LIMIT,
                    "the machine's requantisation cannot express this node with any scales");
            changed |= got == CHANGED;
        }
        if (!changed) return XG_OK;
    }
    return xg_error(p->ctx, XG_INTERNAL, "",
                    "quantisation found no scales that fit the machine's record");
}

xg_status xg_qplan_solve(xg_qplan *p) {
    xg_qplan_tensor(p, p->g->tensor.n - (p->g->tensor.n > 0));
    xg_qplan_node(p, p->g->node.n - (p->g->node.n > 0));
    xg_status st = tie_all(p);
    for (uint32_t t = 0; t < p->g->tensor.n && st == XG_OK; t++)
        if (p->tensor.v[t].active && xg_qplan_root(p, t) == t) st = choose_class(p, t);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < p->g->node.n; i++)
        if (p->node.v[i].w) choose_weights(p, i);
    return fit_all(p);
}
