/* Integer graph -> integer graph that a machine's record can express. What must change is found
 * first; a graph that fits is left alone, bit for bit. */
#include "xgraph/import.h"

#include "xgraph/bias_correct.h"
#include "xgraph/equalise.h"
#include "xgraph/quantise_plan.h"

#include <math.h>
#include <string.h>

typedef struct span {
    float lo, hi;
} span;

typedef struct work {
    xg_ctx *ctx;
    xg_arena *arena;
    xg_graph *h;
    const xg_rqrec *record;
    xg_qplan plan;
    bool activations; /* all activations get new quants; else only some nodes' weights */
    span *bound;      /* [h tensors]: real values that the old codes can hold */
    span *range;      /* [h tensors]: real values to cover */
    const xg_quant_options *options;
    const xg_samples *samples; /* or NULL */
    bool stand_in;             /* the samples are random numbers, for want of others */
    const xg_graph *old;       /* h before anything is written into it */
    xg_equaliser eq;
    xg_quant_report *report; /* or NULL */
} work;

/* ---- what does not fit
 * ------------------------------------------------------------------------------- */

static bool is_const(const xg_tensor *t) {
    return t && t->data && t->producer == XG_NONE && !t->is_input;
}

static bool is_pow2(float s) {
    int e;
    return frexpf(s, &e) == 0.5f;
}

/* Operators that take any scale: tables, copies, and what the host does in float or 16 bits. */
static bool takes_any_scale(const xg_graph *g, const xg_node *n) {
    if (xg_node_is_wide(g, n)) return true;
    switch (n->op) {
    case XG_OP_Quantize:
    case XG_OP_Dequantize:
    case XG_OP_Requantize:
    case XG_OP_Lut:
    case XG_OP_Softmax:
    case XG_OP_Reshape:
    case XG_OP_Transpose:
    case XG_OP_Slice:
    case XG_OP_Gather:
    case XG_OP_Resize:
    case XG_OP_Sub:
    case XG_OP_Div:
    case XG_OP_Min:
    case XG_OP_Max:
        return true;
    default:
        return false;
    }
}

static bool is_int_activation(const xg_tensor *t) {
    return xg_dtype_is_int8(t->dtype) && t->quant && t->quant->axis < 0;
}

static bool is_dense_conv(const xg_graph *g, const xg_node *n) {
    const xg_tensor *w = xg_in(g, n, 1);
    return n->op == XG_OP_Conv && is_const(w) && xg_dtype_is_int8(w->dtype) && w->quant;
}

/* Inputs that are activations: not Conv's weights and bias, not tables and indices. */
static uint32_t data_inputs(const xg_node *n) {
    bool one =
        n->op == XG_OP_Conv || n->op == XG_OP_Lut || n->op == XG_OP_Gather || n->op == XG_OP_Resize;
    return one ? 1 : n->nin;
}

static bool act_quant_fits(const xg_rqrec *r, const xg_quant *q) {
    return (r->act_zero_point || q->zp[0] == 0) && (!r->pow2_scales || is_pow2(q->scale[0]));
}

static bool weights_fit(const xg_rqrec *r, const xg_quant *q) {
    for (uint32_t i = 0; i < q->n; i++) {
        if (q->zp[i] != 0 && !r->weight_zero_point) return false;
        if (r->pow2_scales && !is_pow2(q->scale[i])) return false;
        bool same = q->scale[i] == q->scale[0] && q->zp[i] == q->zp[0];
        if (!same && !r->per_channel) return false;
    }
    return true;
}

static bool tensor_fits(const xg_rqrec *r, const xg_tensor *t) {
    return !t || !is_int_activation(t) || act_quant_fits(r, t->quant);
}

static bool activations_fit(const xg_graph *g, const xg_rqrec *r) {
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (takes_any_scale(g, n)) continue;
        for (uint32_t k = 0; k < data_inputs(n); k++)
            if (!(n->op == XG_OP_MatMul && is_const(xg_in(g, n, k))) &&
                !tensor_fits(r, xg_in(g, n, k)))
                return false;
        if (!tensor_fits(r, xg_out(g, n, 0))) return false;
    }
    return true;
}

static bool node_weights_fit(const xg_graph *g, const xg_node *n, const xg_rqrec *r) {
    const xg_tensor *w = xg_in(g, n, 1);
    if (xg_node_is_wide(g, n)) return true;
    if (is_dense_conv(g, n)) return weights_fit(r, w->quant);
    if (n->op == XG_OP_MatMul && is_const(w) && w->quant) return weights_fit(r, w->quant);
    return true;
}

static bool pool_fits(const xg_graph *g, const xg_node *n, const xg_rqrec *r) {
    const xg_tensor *x = xg_in(g, n, 0), *y = xg_out(g, n, 0);
    if (n->op != XG_OP_AvgPool || r->pool != XG_POOL_EXACT || !x->quant || !y->quant) return true;
    if (xg_node_is_wide(g, n)) return true;
    return xg_quant_equal(x->quant, y->quant);
}

static bool all_weights_fit(const xg_graph *g, const xg_rqrec *r) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (!node_weights_fit(g, xg_nodep(g, i), r)) return false;
    return true;
}

static bool all_pools_fit(const xg_graph *g, const xg_rqrec *r) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (!pool_fits(g, xg_nodep(g, i), r)) return false;
    return true;
}

/* ---- inserting tables
 * -------------------------------------------------------------------------------- */

static uint32_t add_lut(work *w, uint32_t in, uint32_t out, const uint8_t *table) {
    const xg_tensor *y = xg_tensorp(w->h, out);
    const char *name = xg_strf(w->arena, "%s/requantise", y->name);
    int64_t dim = 256;
    uint32_t ins[2] = {in, xg_graph_add_const(w->h, xg_strf(w->arena, "%s/table", name), y->dtype,
                                              1, &dim, table, NULL)};
    return xg_graph_add_node_to(w->h, XG_OP_Lut, name, ins, 2, &out, 1);
}

static uint32_t twin(work *w, uint32_t t, const char *suffix, xg_dtype type,
                     const xg_quant *quant) {
    xg_tensor copy = *xg_tensorp(w->h, t);
    copy.name = xg_strf(w->arena, "%s%s", copy.name, suffix);
    copy.dtype = type;
    copy.quant = quant;
    copy.producer = XG_NONE;
    copy.is_input = copy.is_output = false;
    return xg_graph_add_tensor(w->h, &copy);
}

static const uint8_t *requantise_table(work *w, xg_dtype tx, const xg_quant *x, xg_dtype ty,
                                       const xg_quant *y, int64_t lo, int64_t hi) {
    int32_t xlo, xhi, ylo, yhi;
    xg_dtype_range(tx, &xlo, &xhi);
    xg_dtype_range(ty, &ylo, &yhi);
    uint8_t *table = xg_newn(w->arena, uint8_t, 256);
    for (int32_t i = 0; i < 256; i++) {
        float v = xg_dequantize_f32(xlo + i, x->scale[0], x->zp[0]);
        int32_t q = xg_quantize_f32(v, y->scale[0], y->zp[0], ylo, yhi);
        table[i] = (uint8_t)xg_clamp(q, xg_max(lo, ylo), xg_min(hi, yhi));
    }
    return table;
}

/* A pool that can only keep its scale: the pool keeps it, and a table behind it does the rest. */
static void split_pool(work *w, uint32_t node) {
    uint32_t x = xg_nodep(w->h, node)->in[0], y = xg_nodep(w->h, node)->out[0];
    const xg_quant *qx = xg_tensorp(w->h, x)->quant, *qy = xg_tensorp(w->h, y)->quant;
    xg_dtype tx = xg_tensorp(w->h, x)->dtype, ty = xg_tensorp(w->h, y)->dtype;
    xg_node *n = xg_nodep(w->h, node);
    const uint8_t *table =
        requantise_table(w, tx, qx, ty, qy, xg_ai(n, XG_ATTR_lo), xg_ai(n, XG_ATTR_hi));
    xg_set_ai(n, XG_ATTR_lo, xg_attrs[XG_ATTR_lo].default_i);
    xg_set_ai(n, XG_ATTR_hi, xg_attrs[XG_ATTR_hi].default_i);
    uint32_t mid = twin(w, y, "/pool", tx, qx);
    xg_nodep(w->h, node)->out[0] = mid;
    w->h->tensor.v[mid].producer = node;
    add_lut(w, mid, y, table);
}

/* ---- borders: integer inputs and outputs keep the quant that their user knows
 * ---------------------------- */

static void split_input(work *w, uint32_t x) {
    const xg_tensor *t = xg_tensorp(w->h, x);
    xg_dtype type = t->dtype;
    int32_t shift = type == XG_U8 ? 128 : 0;
    const xg_quant *inner = xg_quant_scalar(w->arena, t->quant->scale[0], t->quant->zp[0] - shift);
    uint32_t in = twin(w, x, XG_QSUFFIX, XG_I8, inner);
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        xg_node *n = xg_nodep(w->h, i);
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] == x) n->in[k] = in;
    }
    add_lut(w, x, in,
            requantise_table(w, type, xg_tensorp(w->h, x)->quant, XG_I8, inner, -128, 127));
}

static void split_output(work *w, uint32_t y) {
    const xg_tensor *t = xg_tensorp(w->h, y);
    xg_dtype type = t->dtype;
    int32_t shift = type == XG_U8 ? 128 : 0;
    uint32_t producer = t->producer;
    const xg_quant *inner = xg_quant_scalar(w->arena, t->quant->scale[0], t->quant->zp[0] - shift);
    uint32_t out = twin(w, y, XG_QSUFFIX, XG_I8, inner);
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        xg_node *n = xg_nodep(w->h, i);
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] == y) n->in[k] = out;
    }
    xg_nodep(w->h, producer)->out[0] = out;
    w->h->tensor.v[out].producer = producer;
    add_lut(w, out, y,
            requantise_table(w, XG_I8, inner, type, xg_tensorp(w->h, y)->quant, -128, 255));
}

/* bound[class root] = some member meets an operator that does not take any scale. */
static bool *find_bound(work *w) {
    bool *bound = xg_newn(w->arena, bool, w->h->tensor.n);
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        const xg_node *n = xg_nodep(w->h, i);
        if (xg_ops[n->op].rule == XG_RULE_KEEP && is_int_activation(xg_in(w->h, n, 0)))
            xg_qplan_tie(&w->plan, n->in[0], n->out[0]);
    }
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        const xg_node *n = xg_nodep(w->h, i);
        if (takes_any_scale(w->h, n)) continue;
        for (uint32_t k = 0; k < data_inputs(n); k++)
            if (n->in[k] != XG_NONE) bound[xg_qplan_root(&w->plan, n->in[k])] = true;
        for (uint32_t k = 0; k < n->nout; k++) bound[xg_qplan_root(&w->plan, n->out[k])] = true;
    }
    return bound;
}

static xg_status split_borders(work *w) {
    const bool *bound = find_bound(w);
    uint32_t before = w->h->tensor.n;
    for (uint32_t t = 0; t < before; t++) {
        const xg_tensor *v = xg_tensorp(w->h, t);
        if (!is_int_activation(v) || !bound[xg_qplan_root(&w->plan, t)]) continue;
        if (v->is_input && v->is_output) continue; /* nothing computes it */
        if (v->is_input)
            split_input(w, t);
        else if (v->is_output)
            split_output(w, t);
    }
    xg_graph *ordered;
    xg_status st = xg_graph_compact(w->ctx, w->h, w->arena, &ordered);
    if (st != XG_OK) return st;
    w->h = ordered;
    xg_qplan_init(&w->plan, w->h, w->record);
    return XG_OK;
}

/* ---- ranges
 * ------------------------------------------------------------------------------------------- */

static float *dequantised(work *w, const xg_tensor *t) {
    int64_t n = xg_tensor_elems(t), inner = 1;
    const xg_quant *q = t->quant;
    for (uint32_t i = q->axis < 0 ? t->rank : (uint32_t)q->axis + 1; i < t->rank; i++)
        inner *= t->dim[i];
    float *v = xg_newn(w->arena, float, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        uint32_t c = q->axis < 0 ? 0 : (uint32_t)(i / inner % q->n);
        int32_t code =
            t->dtype == XG_I8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i];
        v[i] = xg_dequantize_f32(code, q->scale[c], q->zp[c]);
    }
    return v;
}

static span span_of(const float *v, int64_t n) {
    span s = {INFINITY, -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        s.lo = fminf(s.lo, v[i]);
        s.hi = fmaxf(s.hi, v[i]);
    }
    return s;
}

/* The codes lo..hi of a tensor, in real values. */
static span codes(const xg_tensor *t, int64_t lo, int64_t hi) {
    int32_t tlo, thi;
    xg_dtype_range(t->dtype, &tlo, &thi);
    lo = xg_clamp(lo, tlo, thi);
    hi = xg_clamp(hi, lo, thi);
    span s = {xg_dequantize_f32((int32_t)lo, t->quant->scale[0], t->quant->zp[0]),
              xg_dequantize_f32((int32_t)hi, t->quant->scale[0], t->quant->zp[0])};
    return s;
}

static span both(span a, span b) {
    return (span){fminf(a.lo, b.lo), fmaxf(a.hi, b.hi)};
}

static span overlap(span a, span b) {
    span s = {fmaxf(a.lo, b.lo), fminf(a.hi, b.hi)};
    return s.lo <= s.hi ? s : b;
}

static span lut_span(const xg_tensor *y, const xg_tensor *table) {
    span s = {INFINITY, -INFINITY};
    const uint8_t *v = table->data;
    for (int i = 0; i < 256; i++) {
        int32_t code = y->dtype == XG_I8 ? (int8_t)v[i] : v[i];
        s = both(s, codes(y, code, code));
    }
    return s;
}

/* An integer Pad's fill is a code. */
static span fill_span(const xg_node *n, const xg_tensor *y) {
    int64_t code = (int64_t)xg_af(n, XG_ATTR_value);
    return codes(y, code, code);
}

static span node_span(const work *w, const xg_node *n) {
    const xg_tensor *x = xg_in(w->h, n, 0), *y = xg_out(w->h, n, 0);
    bool bounded = xg_has_attr(n, XG_ATTR_lo);
    span own = codes(y, bounded ? xg_ai(n, XG_ATTR_lo) : INT32_MIN,
                     bounded ? xg_ai(n, XG_ATTR_hi) : INT32_MAX);
    if (n->op == XG_OP_Lut) return lut_span(y, xg_in(w->h, n, 1));
    if (n->op == XG_OP_Concat) {
        span in = w->bound[n->in[0]];
        for (uint32_t k = 1; k < n->nin; k++) in = both(in, w->bound[n->in[k]]);
        return overlap(in, own);
    }
    if (xg_ops[n->op].rule != XG_RULE_KEEP || !is_int_activation(x)) return own;
    span in = w->bound[n->in[0]];
    if (n->op == XG_OP_Pad) in = both(in, fill_span(n, y));
    return overlap(in, own);
}

static void find_bounds(work *w) {
    w->bound = xg_newn(w->arena, span, w->h->tensor.n);
    for (uint32_t t = 0; t < w->h->tensor.n; t++) {
        const xg_tensor *v = xg_tensorp(w->h, t);
        if (is_int_activation(v)) w->bound[t] = codes(v, INT32_MIN, INT32_MAX);
    }
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        const xg_node *n = xg_nodep(w->h, i);
        if (n->nout == 1 && is_int_activation(xg_out(w->h, n, 0)))
            w->bound[n->out[0]] = node_span(w, n);
    }
    w->range = xg_memdup(w->arena, w->bound, w->h->tensor.n * sizeof *w->bound);
}

/* Random inputs may reach less than real ones: a quarter of what the old codes hold is covered
 * whatever they reach. */
static span widened(span s, span bound) {
    return both(s, (span){bound.lo / 4, bound.hi / 4});
}

/* What the samples reach, by the method asked for, inside the bounds. */
static xg_status calibrate(work *w) {
    xg_calibration k;
    xg_status st =
        xg_calibrate_samples(w->arena, w->h, w->record, w->samples, w->options, w->eq.divide, &k);
    if (st != XG_OK) return st;
    xg_map names = {.arena = w->arena};
    for (uint32_t t = 0; t < w->h->tensor.n; t++) xg_map_set(&names, w->h->tensor.v[t].name, t);
    for (uint32_t i = 0; i < k.range.n; i++) {
        uint32_t t = xg_map_get(&names, k.range.v[i].tensor);
        if (t == XG_NONE || !is_int_activation(xg_tensorp(w->h, t))) continue;
        span s = {k.range.v[i].min, k.range.v[i].max};
        if (w->stand_in) s = widened(s, w->bound[t]);
        if (s.lo <= s.hi) w->range[t] = overlap(s, w->bound[t]);
    }
    return XG_OK;
}

/* ---- the plan
 * ------------------------------------------------------------------------------------------ */

static bool *find_parameters(const work *w) {
    bool *parameter = xg_newn(w->arena, bool, w->h->tensor.n);
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        const xg_node *n = xg_nodep(w->h, i);
        for (uint32_t k = data_inputs(n); k < n->nin; k++)
            if (n->in[k] != XG_NONE) parameter[n->in[k]] = true;
    }
    return parameter;
}

static void plan_const(work *w, uint32_t t) {
    const xg_tensor *v = xg_tensorp(w->h, t);
    xg_qtensor *q = xg_qplan_tensor(&w->plan, t);
    q->active = true;
    q->value = dequantised(w, v);
    span s = span_of(q->value, xg_tensor_elems(v));
    xg_qplan_cover(&w->plan, t, s.lo, s.hi);
}

/* 16-bit tensors are the host's: they keep their scales. */
static void plan_wide(work *w, uint32_t t) {
    xg_qtensor *q = xg_qplan_tensor(&w->plan, t);
    q->active = q->wide = true;
    w->plan.tensor.v[xg_qplan_root(&w->plan, t)].fixed = xg_tensorp(w->h, t)->quant;
}

static void plan_tensors(work *w) {
    const bool *bound = find_bound(w), *parameter = find_parameters(w);
    for (uint32_t t = 0; t < w->h->tensor.n; t++) {
        const xg_tensor *v = xg_tensorp(w->h, t);
        if (v->dtype == XG_I16 && v->quant && v->quant->axis < 0) {
            plan_wide(w, t);
            continue;
        }
        bool is_b =
            is_const(v) && v->quant && v->quant->axis >= 0; /* MatMul's right side, per column */
        if (parameter[t] || !(is_int_activation(v) || is_b)) continue;
        bool change = w->activations ? bound[xg_qplan_root(&w->plan, t)]
                                     : is_const(v) && !weights_fit(w->record, v->quant);
        if (change && is_const(v)) {
            plan_const(w, t);
            continue;
        }
        if ((w->activations && !change) || v->dtype != XG_I8 || is_b) continue;
        xg_qplan_tensor(&w->plan, t)->active = true;
        if (!change) w->plan.tensor.v[xg_qplan_root(&w->plan, t)].fixed = v->quant;
    }
}

static bool is_active(work *w, uint32_t t) {
    return xg_qplan_tensor(&w->plan, t)->active &&
           !w->plan.tensor.v[xg_qplan_root(&w->plan, t)].fixed;
}

static void cover_tensors(work *w) {
    for (uint32_t t = 0; t < w->h->tensor.n; t++)
        if (is_active(w, t) && !is_const(xg_tensorp(w->h, t)))
            xg_qplan_cover(&w->plan, t, w->range[t].lo, w->range[t].hi);
}

/* A bias counts units of the accumulator, sx * sw[o], whatever scale it carries. */
static void plan_conv(work *w, uint32_t node) {
    const xg_node *n = xg_nodep(w->h, node);
    const xg_tensor *x = xg_in(w->h, n, 0), *weights = xg_in(w->h, n, 1), *b = xg_in(w->h, n, 2);
    xg_qnode *q = xg_qplan_node(&w->plan, node);
    q->w = dequantised(w, weights);
    if (!is_const(b)) return;
    float *bias = xg_newn(w->arena, float, (size_t)b->dim[0]);
    for (int64_t o = 0; o < b->dim[0]; o++) {
        double sw = weights->quant->scale[weights->quant->n == 1 ? 0 : o];
        bias[o] = (float)(((const int32_t *)b->data)[o] * (double)x->quant->scale[0] * sw);
    }
    q->b = bias;
}

/* Saturation at the old type's limits is part of what the old graph computes (it is how a folded
 * ReLU looks). */
static void plan_clamp(work *w, uint32_t node) {
    const xg_node *n = xg_nodep(w->h, node);
    if (!xg_has_attr(n, XG_ATTR_lo) || !is_active(w, n->out[0])) return;
    bool unbounded = xg_ai(n, XG_ATTR_lo) <= -128 && xg_ai(n, XG_ATTR_hi) >= 127;
    if (unbounded && xg_ops[n->op].rule == XG_RULE_KEEP) return;
    xg_qnode *q = xg_qplan_node(&w->plan, node);
    q->clamp = true;
    q->lo = w->bound[n->out[0]].lo;
    q->hi = w->bound[n->out[0]].hi;
}

static void plan_lut(work *w, uint32_t node) {
    const xg_node *n = xg_nodep(w->h, node);
    if (!is_active(w, n->in[0]) && !is_active(w, n->out[0])) return;
    if (!xg_in(w->h, n, 0)->quant || !xg_out(w->h, n, 0)->quant) return;
    xg_qnode *q = xg_qplan_node(&w->plan, node);
    q->old_x = xg_memdup(w->arena, xg_in(w->h, n, 0), sizeof *q->old_x);
    q->old_y = xg_memdup(w->arena, xg_out(w->h, n, 0), sizeof *q->old_y);
    q->old_table = xg_memdup(w->arena, xg_in(w->h, n, 1), sizeof *q->old_table);
}

static void plan_nodes(work *w) {
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        const xg_node *n = xg_nodep(w->h, i);
        bool wide = xg_node_is_wide(w->h, n); /* only its input's scale may ask for another bias */
        bool anew =
            wide ? is_active(w, n->in[0]) : w->activations || !node_weights_fit(w->h, n, w->record);
        if (is_dense_conv(w->h, n) && anew) plan_conv(w, i);
        plan_clamp(w, i);
        if (n->op == XG_OP_Lut) plan_lut(w, i);
        if (n->op == XG_OP_Pad && is_active(w, n->out[0])) {
            xg_qnode *q = xg_qplan_node(&w->plan, i);
            q->pad = true;
            q->fill = fill_span(n, xg_out(w->h, n, 0)).lo;
        }
    }
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------- */

static xg_status fit_pools(work *w) {
    uint32_t nodes = w->h->node.n;
    for (uint32_t i = 0; i < nodes; i++)
        if (!pool_fits(w->h, xg_nodep(w->h, i), w->record)) split_pool(w, i);
    xg_graph *ordered;
    xg_status st = xg_graph_compact(w->ctx, w->h, w->arena, &ordered);
    if (st == XG_OK) w->h = ordered;
    xg_qplan_init(&w->plan, w->h, w->record);
    return st;
}

static void note_scaled(work *w) {
    for (uint32_t t = 0; t < w->h->tensor.n && w->report; t++) {
        if (!w->eq.divide[t]) continue;
        xg_quant_scaled row = {w->h->tensor.v[t].name, w->eq.divide[t]};
        xg_push(w->arena, &w->report->scaled, row);
    }
}

/* Activations keep no scale anyway: their channels may be rescaled to suit one weight scale a
 * tensor. */
static xg_status equalise(work *w) {
    xg_equaliser_init(&w->eq, w->arena, w->h);
    if (!w->activations || !w->samples || !xg_switch_wants(w->options->equalise, w->record))
        return XG_OK;
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        w->eq.w[i] = xg_qplan_node(&w->plan, i)->w;
        w->eq.b[i] = xg_qplan_node(&w->plan, i)->b;
    }
    xg_status st = xg_equaliser_run(&w->eq, w->samples);
    for (uint32_t i = 0; i < w->h->node.n && st == XG_OK; i++) {
        xg_qplan_node(&w->plan, i)->w = w->eq.w[i];
        xg_qplan_node(&w->plan, i)->b = w->eq.b[i];
    }
    note_scaled(w);
    if (w->report) w->report->equalised = w->eq.changed;
    return st;
}

static xg_status correct_biases(work *w) {
    bool real = w->samples && !w->stand_in; /* means of random inputs mislead */
    if (!real || w->options->bias_correction == XG_OFF) return XG_OK;
    xg_map names = {.arena = w->arena};
    for (uint32_t i = 0; i < w->old->node.n; i++) xg_map_set(&names, w->old->node.v[i].name, i);
    xg_bias_pair *pair = xg_newn(w->arena, xg_bias_pair, w->h->node.n);
    uint32_t n = 0, changed = 0;
    for (uint32_t i = 0; i < w->h->node.n; i++) {
        const xg_qnode *q = xg_qplan_node(&w->plan, i);
        uint32_t from = xg_map_get(&names, xg_nodep(w->h, i)->name);
        if (!q->w || from == XG_NONE || xg_in(w->h, xg_nodep(w->h, i), 0)->dtype != XG_I8) continue;
        pair[n++] = (xg_bias_pair){from, i, q->w, q->b, w->eq.divide[xg_nodep(w->h, i)->in[0]]};
    }
    xg_status st = xg_graph_infer(w->ctx, w->h);
    if (st == XG_OK) st = xg_bias_correct(w->old, w->h, w->record, w->samples, pair, n, &changed);
    if (w->report) w->report->corrected = changed;
    return st;
}

static xg_status requantise(work *w) {
    xg_graph *old;
    xg_status st = w->activations ? split_borders(w) : fit_pools(w);
    if (st == XG_OK) st = xg_graph_infer(w->ctx, w->h);
    if (st == XG_OK) st = xg_graph_compact(w->ctx, w->h, w->arena, &old);
    if (st != XG_OK) return st;
    w->old = old;
    find_bounds(w);
    plan_tensors(w);
    plan_nodes(w);
    st = equalise(w);
    if (st == XG_OK && w->activations && w->samples) st = calibrate(w);
    if (st != XG_OK) return st;
    cover_tensors(w);
    st = xg_qplan_solve(&w->plan);
    if (st == XG_OK) st = xg_qplan_write(&w->plan);
    return st == XG_OK ? correct_biases(w) : st;
}

static const char *describe(const work *w, xg_arena *a) {
    if (!w->activations) return "as the model states, but weights re-quantised for the machine";
    return xg_strf(a, "re-quantised for the machine: %s scales, %s weights, %s; ranges: %s",
                   w->record->pow2_scales ? "power-of-two" : "real",
                   w->record->per_channel ? "per-channel" : "per-tensor",
                   w->record->act_zero_point ? "zero points" : "no zero points",
                   w->stand_in ? "the model's own, within what random inputs reach (example inputs "
                                 "serve it better)"
                               : xg_calib_method_name(w->options->method));
}

static xg_status finish(work *w, xg_graph **g, xg_quant_report *report) {
    xg_graph *out;
    xg_status st = xg_graph_compact(w->ctx, w->h, w->arena, &out);
    if (st == XG_OK) st = xg_graph_infer(w->ctx, out);
    if (st == XG_OK) st = xg_graph_verify(w->ctx, out);
    if (st != XG_OK) return st;
    const char *how = describe(w, w->arena);
    xg_push(w->arena, &out->log, how);
    if (report) {
        report->how = how;
        if (report->measure) st = xg_quant_measure(w->ctx, *g, out, w->record, report);
    }
    if (st == XG_OK) *g = out;
    return st;
}

xg_status xg_target_quantise_with(xg_arena *a, xg_graph **g, const xg_rqrec *record,
                                  const xg_quant_options *o, const xg_samples *s,
                                  xg_quant_report *report) {
    static const xg_quant_options defaults;
    work w = {.ctx = xg_arena_ctx(a), .arena = a, .record = record, .options = o ? o : &defaults};
    w.samples = s;
    w.report = report;
    w.activations = !activations_fit(*g, record);
    if (!w.activations && all_weights_fit(*g, record) && all_pools_fit(*g, record)) {
        if (report && !report->how) report->how = "as the model states";
        return XG_OK;
    }
    xg_samples *random;
    xg_status st = XG_OK;
    if (w.activations && !s) {
        st = xg_samples_open(a, *g, "random", NULL, &random);
        w.samples = random;
        w.stand_in = true;
    }
    if (st == XG_OK) st = xg_graph_compact(w.ctx, *g, a, &w.h);
    if (st != XG_OK) return st;
    xg_qplan_init(&w.plan, w.h, record);
    st = requantise(&w);
    return st == XG_OK ? finish(&w, g, report) : st;
}

xg_status xg_target_quantise(xg_arena *a, xg_graph **g, const xg_rqrec *record,
                             xg_quant_report *report) {
    return xg_target_quantise_with(a, g, record, NULL, NULL, report);
}
