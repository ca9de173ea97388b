/* Float graph -> integer graph. Which nodes become integer operators, and where Quantize and
 * Dequantize go; the numbers are quantise_plan.c's. */
#include "xgraph/import.h"

#include "xgraph/bias_correct.h"
#include "xgraph/quantise_plan.h"
#include "xgraph/unary_more.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

typedef struct work {
    xg_ctx *ctx;
    xg_arena *arena;
    const xg_graph *g; /* the float graph */
    xg_graph *h;       /* the integer graph */
    xg_uses uses;      /* of g */
    bool *integer;     /* [g nodes] */
    uint32_t *folded;  /* [g nodes]: the Clip behind it that becomes its lo, hi; XG_NONE */
    bool *skip;        /* [g nodes]: such a Clip */
    bool *wide;        /* [g tensors]: held in 16 bits */
    uint32_t *f32, *i8,
        *i16; /* [g tensors]: the tensor of h that holds it in each form, or XG_NONE */
    const xg_range **range; /* [g tensors], or NULL */
    const xg_quant_options *options;
    bool *kept;     /* [g nodes]: stays float by the user's wish */
    bool *kept16;   /* [g nodes]: reads and makes 16 bits by the user's wish */
    uint32_t *made; /* [g nodes]: the integer node of h, or XG_NONE */
    xg_qplan plan;
} work;

/* ---- what becomes an integer operator
 * ---------------------------------------------------------------- */

static bool is_f32(const xg_tensor *t) {
    return t && t->dtype == XG_F32;
}

static bool is_const(const xg_tensor *t) {
    return t && t->data && t->producer == XG_NONE && !t->is_input;
}

static bool is_float_conv(const xg_graph *g, const xg_node *n) {
    if (n->op != XG_OP_Conv || !is_f32(xg_in(g, n, 0)) || !is_const(xg_in(g, n, 1))) return false;
    const xg_tensor *b = xg_in(g, n, 2);
    return !b || is_const(b);
}

bool xg_graph_is_float(const xg_graph *g) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (is_float_conv(g, xg_nodep(g, i))) return true;
    return false;
}

static bool is_unary(uint16_t op) {
    switch (op) {
    case XG_OP_LeakyRelu:
    case XG_OP_Sigmoid:
    case XG_OP_Tanh:
    case XG_OP_HardSigmoid:
    case XG_OP_HardSwish:
    case XG_OP_Elu:
    case XG_OP_Exp:
    case XG_OP_Log:
    case XG_OP_Sqrt:
    case XG_OP_Erf:
    case XG_OP_Abs:
    case XG_OP_Neg:
    case XG_OP_Floor:
    case XG_OP_Ceil:
    case XG_OP_Softplus:
        return true;
    default:
        return xg_op_is_unary_more(op);
    }
}

/* Operators that follow their input: integer when it is. */
static bool may_follow(uint16_t op) {
    switch (op) {
    case XG_OP_MaxPool:
    case XG_OP_AvgPool:
    case XG_OP_Add:
    case XG_OP_Mul:
    case XG_OP_Clip:
    case XG_OP_Concat:
    case XG_OP_Slice:
    case XG_OP_Pad:
    case XG_OP_Reshape:
    case XG_OP_Transpose:
    case XG_OP_Gather:
    case XG_OP_Resize:
        return true;
    default:
        return is_unary(op);
    }
}

static uint32_t data_inputs(const xg_node *n) {
    return n->op == XG_OP_Conv || n->op == XG_OP_Gather || n->op == XG_OP_Resize ? 1 : n->nin;
}

static bool is_floor(const work *w, const xg_node *n);

static bool follows(const work *w, const xg_node *n) {
    if (n->op == XG_OP_Pad && !isfinite(xg_af(n, XG_ATTR_value)) && !is_floor(w, n)) return false;
    if (!may_follow(n->op) || n->nout != 1 || !is_f32(xg_out(w->g, n, 0))) return false;
    bool any = false;
    for (uint32_t i = 0; i < data_inputs(n); i++) {
        const xg_tensor *t = xg_in(w->g, n, i);
        if (!is_f32(t)) return false;
        any |= t->producer != XG_NONE && w->integer[t->producer];
    }
    return any;
}

/* True when the pattern matches the node's name or one of the ONNX nodes' that it came from. */
static bool is_called(const work *w, const xg_node *n, const char *pattern) {
    if (!strcmp(pattern, n->name) || !fnmatch(pattern, n->name, 0)) return true;
    for (const char *p = n->onnx; p;) {
        const char *end = strchr(p, '+');
        const char *one = end ? xg_strndup(w->arena, p, (size_t)(end - p)) : p;
        if (!strcmp(pattern, one) || !fnmatch(pattern, one, 0)) return true;
        p = end ? end + 1 : NULL;
    }
    return false;
}

/* among: nodes to choose from, or NULL for all. */
static xg_status mark_named(work *w, const char *const *name, uint32_t n, const bool *among,
                            const char *what, bool *mark) {
    for (uint32_t k = 0; k < n; k++) {
        bool any = false;
        for (uint32_t i = 0; i < w->g->node.n; i++)
            if ((!among || among[i]) && is_called(w, xg_nodep(w->g, i), name[k]))
                any = mark[i] = true;
        if (!any) return xg_error(w->ctx, XG_USAGE, "", "no node '%.100s' %s", name[k], what);
    }
    return XG_OK;
}

/* Operators that only move elements. */
static bool moves(uint16_t op) {
    switch (op) {
    case XG_OP_Concat:
    case XG_OP_Slice:
    case XG_OP_Reshape:
    case XG_OP_Transpose:
    case XG_OP_Gather:
        return true;
    default:
        return false;
    }
}

/* True when no integer operator needs the tensor: all readers are float, or part of the tail. */
static bool only_float_reads(const work *w, const bool *tail, uint32_t tensor) {
    for (uint32_t u = w->uses.first[tensor]; u < w->uses.first[tensor + 1]; u++)
        if (w->integer[w->uses.node[u]] && !tail[w->uses.node[u]]) return false;
    return true;
}

static bool reads_float(const work *w, const xg_node *n) {
    for (uint32_t k = 0; k < data_inputs(n); k++) {
        uint32_t p = xg_in(w->g, n, k)->producer;
        if (p != XG_NONE && !w->integer[p]) return true;
    }
    return false;
}

/* A table would only cost accuracy when everything behind it is float anyway, movement to the
 * outputs included: sigmoids at the end of a detector keep their small probabilities. */
static void leave_tail_in_float(work *w) {
    bool *tail = xg_newn(w->arena, bool, w->g->node.n);
    for (uint32_t i = w->g->node.n; i-- > 0;) {
        const xg_node *n = xg_nodep(w->g, i);
        if (!w->integer[i] || !only_float_reads(w, tail, n->out[0])) continue;
        if (is_unary(n->op)) w->integer[i] = false;
        tail[i] = moves(n->op);
    }
    for (uint32_t i = 0; i < w->g->node.n; i++)
        if (tail[i] && reads_float(w, xg_nodep(w->g, i))) w->integer[i] = false;
}

/* A Dequantize whose integer input can be read directly counts as integer, so that a partly
 * quantised model stays whole. */
static bool is_entry(const work *w, const xg_node *n) {
    const xg_tensor *x = xg_in(w->g, n, 0);
    return n->op == XG_OP_Dequantize && x->dtype == XG_I8 && x->quant && x->quant->axis < 0 &&
           !is_const(x);
}

static void decide(work *w) {
    for (uint32_t i = 0; i < w->g->node.n; i++) {
        const xg_node *n = xg_nodep(w->g, i);
        w->integer[i] = !w->kept[i] && (is_float_conv(w->g, n) || follows(w, n) || is_entry(w, n));
    }
    leave_tail_in_float(w);
    for (uint32_t i = 0; i < w->g->node.n; i++)
        if (is_entry(w, xg_nodep(w->g, i))) w->integer[i] = false;
}

/* ---- clips behind an operator
 * -------------------------------------------------------------------------- */

static void fold_clips(work *w) {
    for (uint32_t i = 0; i < w->g->node.n; i++) {
        w->folded[i] = XG_NONE;
        const xg_node *n = xg_nodep(w->g, i);
        if (!w->integer[i] || n->op == XG_OP_Clip || !xg_has_attr(n, XG_ATTR_lo)) continue;
        uint32_t y = n->out[0];
        if (w->uses.first[y + 1] - w->uses.first[y] != 1 || xg_tensorp(w->g, y)->is_output)
            continue;
        uint32_t user = w->uses.node[w->uses.first[y]];
        if (!w->integer[user] || xg_nodep(w->g, user)->op != XG_OP_Clip) continue;
        w->folded[i] = user;
        w->skip[user] = true;
    }
}

/* ---- what is held in 16 bits
 * -------------------------------------------------------------------------------- */

static uint32_t result_of(const work *w, uint32_t i) {
    uint32_t clip = w->folded[i];
    return xg_nodep(w->g, clip == XG_NONE ? i : clip)->out[0];
}

/* Operators whose result has the type of what they read. */
static bool keeps_type(const xg_node *n) {
    return xg_ops[n->op].rule == XG_RULE_KEEP || n->op == XG_OP_Concat;
}

static void widen_inputs(work *w, const xg_node *n) {
    for (uint32_t k = 0; k < data_inputs(n); k++)
        if (!is_const(xg_in(w->g, n, k))) w->wide[n->in[k]] = true;
}

/* A node kept in 16 bits reads and makes 16 bits, so that the operators before it write them, too;
 * where those only move or pick elements, what they read is as wide. */
static void widen(work *w) {
    for (uint32_t i = w->g->node.n; i-- > 0;) {
        const xg_node *n = xg_nodep(w->g, i);
        if (w->skip[i] || !w->integer[i]) continue;
        if (w->folded[i] != XG_NONE) w->kept16[i] |= w->kept16[w->folded[i]];
        if (w->kept16[i]) w->wide[result_of(w, i)] = true;
        if (w->kept16[i] || (keeps_type(n) && w->wide[result_of(w, i)])) widen_inputs(w, n);
    }
}

static bool reads_wide(const work *w, uint32_t i) {
    return w->kept16[i] || (keeps_type(xg_nodep(w->g, i)) && w->wide[result_of(w, i)]);
}

/* ---- tensors of the new graph
 * ---------------------------------------------------------------------------- */

/* A twin of g's tensor t in h without producer. */
static uint32_t twin(work *w, uint32_t t, const char *suffix, xg_dtype type) {
    const xg_tensor *old = xg_tensorp(w->g, t);
    xg_tensor copy = *old;
    copy.name = xg_strf(w->arena, "%s%s", old->name, suffix);
    copy.dtype = type;
    copy.producer = XG_NONE;
    copy.is_input = copy.is_output = false;
    if (type != old->dtype) copy.quant = NULL;
    if (!is_const(old) || type != old->dtype) copy.data = NULL;
    return xg_graph_add_tensor(w->h, &copy);
}

static void cover(work *w, uint32_t of, uint32_t in_h) {
    const xg_range *r = w->range[of];
    if (!r) return;
    bool wide = xg_tensorp(w->h, in_h)->dtype == XG_I16;
    xg_qplan_cover(&w->plan, in_h, wide ? r->least : r->min, wide ? r->most : r->max);
}

static void activate(work *w, uint32_t of, uint32_t in_h) {
    xg_qtensor *q = xg_qplan_tensor(&w->plan, in_h);
    q->active = true;
    q->wide = xg_tensorp(w->h, in_h)->dtype == XG_I16;
    cover(w, of, in_h);
}

static uint32_t integer_const(work *w, uint32_t t, xg_dtype type) {
    const xg_tensor *old = xg_tensorp(w->g, t);
    const float *value = old->data;
    int64_t n = xg_tensor_elems(old);
    uint32_t made = twin(w, t, "", type);
    xg_qtensor *q = xg_qplan_tensor(&w->plan, made);
    q->active = true;
    q->wide = type == XG_I16;
    q->value = value;
    for (int64_t i = 0; i < n; i++) {
        q->min = fminf(q->min, value[i]);
        q->max = fmaxf(q->max, value[i]);
    }
    w->h->tensor.v[made].data =
        value; /* replaced when the scale is known; marks it as a constant until then */
    return made;
}

static uint32_t need_f32(work *w, uint32_t t) {
    if (t == XG_NONE || w->f32[t] != XG_NONE) return t == XG_NONE ? t : w->f32[t];
    const xg_tensor *old = xg_tensorp(w->g, t);
    uint32_t in = w->i16[t] != XG_NONE ? w->i16[t] : w->i8[t];
    if (in == XG_NONE || is_const(old)) return w->f32[t] = twin(w, t, "", old->dtype);
    uint32_t out = twin(w, t, old->is_output ? "" : "/f32", XG_F32);
    const char *name = xg_strf(w->arena, "%s/dequantize", old->name);
    xg_graph_add_node_to(w->h, XG_OP_Dequantize, name, &in, 1, &out, 1);
    return w->f32[t] = out;
}

static const char *suffix_of(xg_dtype type) {
    return type == XG_I16 ? XG_QSUFFIX16 : XG_QSUFFIX;
}

/* The tensor as integers of a type: what computed it has written them, or else they come from its
 * other integer form, or from f32. */
static uint32_t need_integer(work *w, uint32_t t, xg_dtype type) {
    uint32_t *have = type == XG_I16 ? &w->i16[t] : &w->i8[t];
    uint32_t other = type == XG_I16 ? w->i8[t] : w->i16[t];
    if (*have != XG_NONE) return *have;
    const xg_tensor *old = xg_tensorp(w->g, t);
    if (is_const(old)) return *have = integer_const(w, t, type);
    bool narrowed = other != XG_NONE;
    uint32_t in = narrowed ? other : need_f32(w, t), out = twin(w, t, suffix_of(type), type);
    const char *name = xg_strf(w->arena, "%s/%s", old->name, narrowed ? "requantize" : "quantize");
    xg_graph_add_node_to(w->h, narrowed ? XG_OP_Requantize : XG_OP_Quantize, name, &in, 1, &out, 1);
    activate(w, t, out);
    return *have = out;
}

/* ---- nodes
 * -----------------------------------------------------------------------------------------------
 */

static void copy_attrs(work *w, const xg_node *from, xg_op op, uint32_t node) {
    const xg_node *to = xg_nodep(w->h, node);
    if (from->op == op) memcpy(to->attr, from->attr, xg_ops[op].nattr * sizeof *from->attr);
}

static void copy_float_node(work *w, uint32_t i) {
    const xg_node *n = xg_nodep(w->g, i);
    uint32_t *in = xg_newn(w->arena, uint32_t, n->nin), *out = xg_newn(w->arena, uint32_t, n->nout);
    for (uint32_t k = 0; k < n->nin; k++) in[k] = need_f32(w, n->in[k]);
    for (uint32_t k = 0; k < n->nout; k++) {
        out[k] = w->f32[n->out[k]] = twin(w, n->out[k], "", xg_tensorp(w->g, n->out[k])->dtype);
    }
    uint32_t made = xg_graph_add_node_to(w->h, (xg_op)n->op, n->name, in, n->nin, out, n->nout);
    xg_nodep(w->h, made)->onnx = n->onnx;
    copy_attrs(w, n, (xg_op)n->op, made);
    if (!is_entry(w, n)) return;
    uint32_t q = in[0]; /* the integer tensor itself, with its own quant */
    w->i8[n->out[0]] = q;
    xg_qtensor *entry = xg_qplan_tensor(&w->plan, q);
    entry->active = true;
    entry->fixed = xg_tensorp(w->h, q)->quant;
}

/* A table has 256 entries of 8 bits. */
static bool becomes_table(const work *w, uint32_t i) {
    return is_unary(xg_nodep(w->g, i)->op) && !w->kept16[i] && !w->wide[result_of(w, i)];
}

static uint32_t make_inputs(work *w, uint32_t i, uint32_t **in) {
    const xg_node *n = xg_nodep(w->g, i);
    xg_dtype type = reads_wide(w, i) ? XG_I16 : XG_I8;
    bool table = becomes_table(w, i);
    uint32_t nin = table ? 2 : n->nin;
    *in = xg_newn(w->arena, uint32_t, nin);
    for (uint32_t k = 0; k < n->nin; k++)
        (*in)[k] = k < data_inputs(n) ? need_integer(w, n->in[k], type) : need_f32(w, n->in[k]);
    if (!table) return nin;
    int64_t dim = 256; /* filled when the scales are known */
    const char *name = xg_strf(w->arena, "%s/table", n->name);
    (*in)[1] = xg_graph_add_const(w->h, name, XG_I8, 1, &dim, xg_newn(w->arena, int8_t, 256), NULL);
    return nin;
}

static const char *joined_onnx(work *w, const char *a, const char *b) {
    if (!a || !b) return a ? a : b;
    return xg_strf(w->arena, "%s+%s", a, b);
}

static void set_clamp(work *w, uint32_t made, const xg_node *clip) {
    xg_qnode *q = xg_qplan_node(&w->plan, made);
    q->clamp = true;
    q->lo = xg_af(clip, XG_ATTR_min);
    q->hi = xg_af(clip, XG_ATTR_max);
}

static void note_conv(work *w, const xg_node *n, uint32_t made) {
    xg_qnode *q = xg_qplan_node(&w->plan, made);
    const xg_tensor *b = xg_in(w->g, n, 2);
    q->w = xg_in(w->g, n, 1)->data;
    q->b = b ? b->data : NULL;
}

/* A border below all values that only maxima read, as in front of a padded MaxPool: the lowest
 * integer does, and the result needs no more range than the input. */
static bool is_floor(const work *w, const xg_node *n) {
    uint32_t x = n->in[0], y = n->out[0];
    if (n->op != XG_OP_Pad || xg_ai(n, XG_ATTR_mode) != 0 || !w->range[x]) return false;
    if (xg_tensorp(w->g, y)->is_output || !(xg_af(n, XG_ATTR_value) < w->range[x]->min))
        return false;
    for (uint32_t u = w->uses.first[y]; u < w->uses.first[y + 1]; u++)
        if (xg_nodep(w->g, w->uses.node[u])->op != XG_OP_MaxPool) return false;
    return true;
}

/* Else the border is among the values that the result must hold. */
static void note_pad(work *w, const xg_node *n, uint32_t made, uint32_t out) {
    xg_qnode *q = xg_qplan_node(&w->plan, made);
    q->pad = true;
    q->fill = xg_af(n, XG_ATTR_value);
    if (xg_ai(n, XG_ATTR_mode) == 0 && !is_floor(w, n))
        xg_qplan_cover(&w->plan, out, q->fill, q->fill);
}

static void make_integer_node(work *w, uint32_t i) {
    const xg_node *n = xg_nodep(w->g, i);
    const xg_node *clip = w->folded[i] == XG_NONE ? NULL : xg_nodep(w->g, w->folded[i]);
    uint32_t y = result_of(w, i), *in, nin = make_inputs(w, i, &in);
    xg_dtype type = w->wide[y] ? XG_I16 : XG_I8;
    bool table = becomes_table(w, i);
    uint32_t out = twin(w, y, xg_tensorp(w->g, y)->is_output ? suffix_of(type) : "", type);
    xg_op op = table ? XG_OP_Lut : (xg_op)n->op;
    uint32_t made = xg_graph_add_node_to(w->h, op, n->name, in, nin, &out, 1);
    xg_nodep(w->h, made)->onnx = joined_onnx(w, n->onnx, clip ? clip->onnx : NULL);
    copy_attrs(w, n, op, made);
    activate(w, is_floor(w, n) ? n->in[0] : y, out);
    *(w->wide[y] ? &w->i16[y] : &w->i8[y]) = out;
    if (clip || n->op == XG_OP_Clip) set_clamp(w, made, clip ? clip : n);
    w->made[i] = made;
    if (n->op == XG_OP_Conv) note_conv(w, n, made);
    if (n->op == XG_OP_Pad) note_pad(w, n, made, out);
    if (table) xg_qplan_node(&w->plan, made)->unary = n;
}

static void build(work *w) {
    for (uint32_t i = 0; i < w->g->input.n; i++) {
        uint32_t t = w->g->input.v[i];
        w->f32[t] = twin(w, t, "", xg_tensorp(w->g, t)->dtype);
        xg_graph_add_input(w->h, w->f32[t]);
    }
    for (uint32_t i = 0; i < w->g->node.n; i++) {
        if (w->skip[i]) continue;
        if (w->integer[i])
            make_integer_node(w, i);
        else
            copy_float_node(w, i);
    }
    for (uint32_t i = 0; i < w->g->output.n; i++)
        xg_graph_add_output(w->h, need_f32(w, w->g->output.v[i]));
}

/* ---- the whole
 * --------------------------------------------------------------------------------------------- */

static xg_status find_ranges(work *w, const xg_calibration *k) {
    xg_map names = {.arena = w->arena};
    for (uint32_t t = 0; t < w->g->tensor.n; t++) xg_map_set(&names, w->g->tensor.v[t].name, t);
    for (uint32_t i = 0; i < k->range.n; i++) {
        const xg_range *r = &k->range.v[i];
        uint32_t t = xg_map_get(&names, r->tensor);
        if (t == XG_NONE) continue; /* a table may come from another version of the passes */
        if (r->min > r->max || r->least > r->most)
            return xg_error(w->ctx, XG_INPUT, xg_strf(w->arena, "range of '%s'", r->tensor),
                            "minimum %g is above maximum %g", (double)r->min, (double)r->max);
        w->range[t] = r;
    }
    return XG_OK;
}

static xg_status finite_weights(const work *w) {
    for (uint32_t i = 0; i < w->plan.node.n; i++) {
        const xg_qnode *q = &w->plan.node.v[i];
        if (!q->w) continue;
        const xg_node *n = xg_nodep(w->h, i);
        for (uint32_t k = 1; k < n->nin; k++) {
            const xg_tensor *t = xg_in(w->h, n, k);
            const float *v = k == 1 ? q->w : q->b;
            for (int64_t e = 0; t && e < xg_tensor_elems(t); e++)
                if (!isfinite(v[e]))
                    return xg_node_error(w->ctx, n, XG_INPUT,
                                         "weight %lld of '%.100s' is not finite", (long long)e,
                                         t->name);
        }
    }
    return XG_OK;
}

static void init(work *w, xg_arena *a, const xg_graph *g, const xg_rqrec *record,
                 const xg_quant_options *o) {
    *w = (work){.ctx = xg_arena_ctx(a), .arena = a, .g = g, .options = o};
    w->h = xg_graph_new(a, g->name);
    for (uint32_t i = 0; i < g->log.n; i++) xg_push(a, &w->h->log, g->log.v[i]);
    w->uses = xg_graph_uses(g, a);
    w->integer = xg_newn(a, bool, g->node.n);
    w->skip = xg_newn(a, bool, g->node.n);
    w->kept = xg_newn(a, bool, g->node.n);
    w->kept16 = xg_newn(a, bool, g->node.n);
    w->made = xg_newn(a, uint32_t, g->node.n);
    w->folded = xg_newn(a, uint32_t, g->node.n);
    w->f32 = xg_newn(a, uint32_t, g->tensor.n);
    w->i8 = xg_newn(a, uint32_t, g->tensor.n);
    w->i16 = xg_newn(a, uint32_t, g->tensor.n);
    w->wide = xg_newn(a, bool, g->tensor.n);
    w->range = xg_newn(a, const xg_range *, g->tensor.n);
    for (uint32_t t = 0; t < g->tensor.n; t++) w->f32[t] = w->i8[t] = w->i16[t] = XG_NONE;
    for (uint32_t i = 0; i < g->node.n; i++) w->made[i] = XG_NONE;
    xg_qplan_init(&w->plan, w->h, record);
}

static xg_status correct_biases(work *w, const struct xg_samples *s, xg_quant_report *report) {
    xg_bias_pair *pair = xg_newn(w->arena, xg_bias_pair, w->g->node.n);
    uint32_t n = 0, changed = 0;
    for (uint32_t i = 0; i < w->g->node.n; i++) {
        if (w->made[i] == XG_NONE || xg_nodep(w->g, i)->op != XG_OP_Conv) continue;
        const xg_qnode *q = xg_qplan_node(&w->plan, w->made[i]);
        pair[n++] = (xg_bias_pair){.from = i, .to = w->made[i], .w = q->w, .b = q->b};
    }
    xg_status st = xg_bias_correct(w->g, w->h, w->plan.record, s, pair, n, &changed);
    if (report) report->corrected = changed;
    return st;
}

static xg_status solve(work *w, const struct xg_samples *s, xg_quant_report *report) {
    xg_status st = finite_weights(w);
    if (st == XG_OK) st = xg_qplan_solve(&w->plan);
    if (st == XG_OK) st = xg_qplan_write(&w->plan);
    if (st == XG_OK) st = xg_graph_infer(w->ctx, w->h);
    bool correct = s && w->options->bias_correction != XG_OFF;
    return st == XG_OK && correct ? correct_biases(w, s, report) : st;
}

static const char *describe(const work *w, const struct xg_samples *s) {
    if (!s) return "given";
    return xg_strf(w->arena, "%s of %llu set%s of calibration inputs",
                   xg_calib_method_name(w->options->method),
                   (unsigned long long)xg_samples_count(s), xg_samples_count(s) == 1 ? "" : "s");
}

static xg_quant_map make_map(work *w) {
    xg_quant_map m = {.from = w->g, .to = w->h, .node = w->made};
    m.tensor = xg_newn(w->arena, uint32_t, w->g->tensor.n);
    m.narrow = xg_newn(w->arena, uint32_t, w->g->tensor.n);
    for (uint32_t t = 0; t < w->g->tensor.n; t++) {
        bool two = w->i16[t] != XG_NONE && w->i8[t] != XG_NONE;
        m.tensor[t] = w->i16[t] != XG_NONE ? w->i16[t] : w->i8[t];
        m.narrow[t] = two ? w->i8[t] : XG_NONE;
    }
    return m;
}

xg_status xg_quantise_with(xg_arena *a, xg_graph **g, const xg_calibration *k,
                           const xg_rqrec *record, const xg_quant_options *o,
                           const struct xg_samples *s, xg_quant_map *map, xg_quant_report *report) {
    static const xg_quant_options defaults;
    work w;
    xg_rqrec ort;
    if (!record && xg_rqrec_profile("ort", &ort)) record = &ort;
    init(&w, a, *g, record, o ? o : &defaults);
    xg_status st = find_ranges(&w, k);
    if (st == XG_OK)
        st = mark_named(&w, w.options->keep_float, w.options->nkeep_float, NULL, "to keep in float",
                        w.kept);
    if (st != XG_OK) return st;
    decide(&w);
    fold_clips(&w);
    st = mark_named(&w, w.options->keep_int16, w.options->nkeep_int16, w.integer,
                    "that becomes an integer operator, to keep in 16 bits", w.kept16);
    if (st != XG_OK) return st;
    widen(&w);
    build(&w);
    st = solve(&w, s, report);
    xg_graph *out = NULL;
    if (st == XG_OK) st = xg_graph_compact(w.ctx, w.h, a, &out);
    if (st == XG_OK) st = xg_graph_infer(w.ctx, out);
    if (st == XG_OK) st = xg_graph_verify(w.ctx, out);
    if (st == XG_OK && report) {
        report->how = describe(&w, s);
        if (report->measure) st = xg_quant_measure(w.ctx, *g, out, record, report);
    }
    if (st != XG_OK) return st;
    if (map) *map = make_map(&w);
    *g = out;
    return XG_OK;
}

xg_status xg_quantise(xg_arena *a, xg_graph **g, const xg_calibration *k, const xg_rqrec *record,
                      xg_quant_report *report) {
    return xg_quantise_with(a, g, k, record, NULL, NULL, NULL, report);
}
