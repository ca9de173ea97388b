/* Dequantize -> operator -> Quantize becomes the integer operator, by the rules that ONNX Runtime
 * fuses with. First Dequantize moves down and Quantize up through movement of elements, then each
 * Quantize looks at what feeds it. */
#include "xgraph/pass.h"

#include <math.h>
#include <string.h>

/* What activations may be held in. */
static bool is_activation(xg_dtype t) {
    return xg_dtype_is_int8(t) || t == XG_I16;
}

static const xg_quant *scalar_quant(const xg_tensor *t) {
    return t->quant && t->quant->axis < 0 ? t->quant : NULL;
}

/* Operators that pick or move elements: they commute with any non-decreasing function of one
 * element. So do Min and Max of tensors (quantize_up). */
static bool picks(const xg_node *n) {
    switch (n->op) {
    case XG_OP_Reshape:
    case XG_OP_Transpose:
    case XG_OP_Slice:
    case XG_OP_Gather:
    case XG_OP_MaxPool:
    case XG_OP_ReduceMax:
    case XG_OP_ReduceMin:
        return true;
    case XG_OP_Pad:
        return xg_ai(n, XG_ATTR_mode) != 0 || xg_af(n, XG_ATTR_value) == 0;
    default:
        return false;
    }
}

/* A node like `node` on other inputs of the given type and scale. */
static uint32_t again(xg_rw *r, uint32_t node, const uint32_t *in, uint32_t nin, xg_dtype dtype,
                      const xg_quant *q) {
    uint32_t fresh = xg_rw_add(r, (xg_op)xg_nodep(r->g, node)->op, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    xg_rw_set_out(r, fresh, dtype, q);
    if (xg_nodep(r->g, fresh)->op == XG_OP_Pad) { /* integers are filled with an integer */
        int32_t lo, hi;
        float fill = xg_af(xg_nodep(r->g, node), XG_ATTR_value);
        xg_dtype_range(dtype, &lo, &hi);
        xg_set_af(xg_nodep(r->g, fresh), XG_ATTR_value,
                  (float)xg_quantize_f32(fill, q->scale[0], q->zp[0], lo, hi));
    }
    return fresh;
}

/* The integers behind a Dequantize of one scale; XG_NONE when the tensor is something else. */
static uint32_t integers(const xg_rw *r, uint32_t tensor) {
    const xg_node *dq = xg_rw_made_by(r, tensor, XG_OP_Dequantize);
    return dq && scalar_quant(xg_in(r->g, dq, 0)) ? dq->in[0] : XG_NONE;
}

/* ---- moving the conversions ---- */

static bool dequantize_down(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (!picks(n) && n->op != XG_OP_Concat) return false;
    uint32_t nin = n->nin, out = n->out[0], *in = xg_newn(r->tmp, uint32_t, nin),
             data = n->op == XG_OP_Concat ? nin : 1;
    for (uint32_t k = 0; k < nin; k++) {
        in[k] = k < data ? integers(r, n->in[k]) : n->in[k];
        if (in[k] == XG_NONE) return false;
        const xg_tensor *a = &r->g->tensor.v[in[k]], *b = &r->g->tensor.v[in[0]];
        if (k < data && (a->dtype != b->dtype || !xg_quant_equal(a->quant, b->quant))) return false;
    }
    uint32_t dq = r->g->tensor.v[n->in[0]].producer;
    xg_tensor x = r->g->tensor.v[in[0]];
    uint32_t moved = again(r, node, in, nin, x.dtype, x.quant);
    if (!xg_rw_infer(r, moved)) return false;
    uint32_t t = xg_rw_out(r, moved), fresh = xg_rw_add(r, XG_OP_Dequantize, dq, &t, 1);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

static uint32_t quantised(xg_rw *r, uint32_t like, uint32_t in, const xg_tensor *as) {
    uint32_t n = xg_rw_add(r, XG_OP_Quantize, like, &in, 1);
    xg_rw_set_out(r, n, as->dtype, as->quant);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

static bool quantize_up(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Quantize || !scalar_quant(xg_out(r->g, n, 0))) return false;
    const xg_node *m = xg_rw_made_by(r, n->in[0], XG_OP_COUNT);
    if (!m || xg_rw_uses(r, n->in[0]) != 1) return false;
    /* Concat of integers requantises by itself: Quantize rises only to inputs that are not integers
     * already. */
    bool concat = m->op == XG_OP_Concat, all = concat || m->op == XG_OP_Min || m->op == XG_OP_Max;
    if (!picks(m) && !all) return false;
    uint32_t mi = r->g->tensor.v[n->in[0]].producer, nin = m->nin, out = n->out[0],
             data = all ? nin : 1;
    uint32_t *in = xg_newn(r->tmp, uint32_t, nin);
    memcpy(in, m->in, nin * sizeof *in);
    xg_tensor y = r->g->tensor.v[out];
    bool any = false; /* only towards something that computes, or where integers wait */
    for (uint32_t k = 0; k < data; k++) {
        const xg_node *p = xg_rw_made_by(r, in[k], XG_OP_COUNT);
        any = any || (p && p->op != XG_OP_Dequantize) || integers(r, in[k]) != XG_NONE;
    }
    if (!any) return false;
    for (uint32_t k = 0; k < data; k++) {
        uint32_t q = concat ? integers(r, in[k]) : XG_NONE;
        xg_dtype have = q == XG_NONE ? XG_F32 : r->g->tensor.v[q].dtype;
        in[k] = xg_dtype_is_int8(have) || have == y.dtype ? q : quantised(r, node, in[k], &y);
        if (in[k] == XG_NONE) return false;
    }
    uint32_t fresh = again(r, mi, in, nin, y.dtype, y.quant);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* ---- Quantize of Dequantize ---- */

static bool requantize(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    uint32_t q = n->op == XG_OP_Quantize ? integers(r, n->in[0]) : XG_NONE;
    if (q == XG_NONE || !scalar_quant(xg_out(r->g, n, 0))) return false;
    xg_tensor y = *xg_out(r->g, n, 0);
    const xg_tensor *x = &r->g->tensor.v[q];
    if (x->dtype == y.dtype && xg_quant_equal(x->quant, y.quant) && xg_rw_replace(r, n->out[0], q))
        return true;
    uint32_t out = n->out[0], fresh = xg_rw_add(r, XG_OP_Requantize, node, &q, 1);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* ---- functions of one integer ---- */

/* A float expression over one integer tensor and scalar constants. */
enum { EXPR_MAX = 24 };

typedef struct expr {
    const xg_rw *r;
    uint32_t leaf, nodes;
} expr;

static bool expr_collect(expr *e, uint32_t tensor) {
    float v;
    if (xg_rw_scalar(e->r, tensor, &v)) return true;
    uint32_t q = integers(e->r, tensor);
    if (q != XG_NONE) {
        bool same = e->leaf == XG_NONE || e->leaf == q;
        e->leaf = q;
        return same && xg_dtype_is_int8(e->r->g->tensor.v[q].dtype) && !e->r->g->tensor.v[q].data;
    }
    const xg_node *n = xg_rw_made_by(e->r, tensor, XG_OP_COUNT);
    if (!n || ++e->nodes > EXPR_MAX || (!xg_op_is_unary(n->op) && !xg_op_is_binary(n->op)))
        return false;
    for (uint32_t k = 0; k < n->nin; k++)
        if (!expr_collect(e, n->in[k])) return false;
    return true;
}

static bool binary_value(uint32_t op, float a, float b, float *y) {
    double p = (double)a, q = (double)b;
    switch (op) {
    case XG_OP_Add:
        *y = (float)(p + q);
        return true;
    case XG_OP_Sub:
        *y = (float)(p - q);
        return true;
    case XG_OP_Mul:
        *y = (float)(p * q);
        return true;
    case XG_OP_Div:
        *y = (float)(p / q);
        return true;
    case XG_OP_Pow:
        *y = (float)pow(p, q);
        return true;
    case XG_OP_Min:
        *y = a < b ? a : b;
        return true;
    case XG_OP_Max:
        *y = a > b ? a : b;
        return true;
    case XG_OP_PRelu:
        *y = a >= 0 ? a : (float)(p * q);
        return true;
    default:
        return false;
    }
}

typedef struct evaluation {
    const xg_rw *r;
    uint32_t root;
} evaluation;

static bool expr_value(const xg_rw *r, uint32_t tensor, float leaf, float *y) {
    if (xg_rw_scalar(r, tensor, y)) return true;
    if (integers(r, tensor) != XG_NONE) {
        *y = leaf;
        return true;
    }
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_COUNT);
    float v[2];
    for (uint32_t k = 0; k < n->nin && k < 2; k++)
        if (!expr_value(r, n->in[k], leaf, &v[k])) return false;
    bool ok = n->nin == 1 ? xg_unary_value(n, v[0], y) : binary_value(n->op, v[0], v[1], y);
    return ok && !isnan(*y);
}

static bool evaluate(void *arg, float v, float *y) {
    const evaluation *e = arg;
    return expr_value(e->r, e->root, v, y);
}

static bool same_shape(const xg_tensor *a, const xg_tensor *b) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static uint32_t clip_bound(float v, const xg_tensor *y) {
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    return (uint32_t)xg_quantize_f32(v, y->quant->scale[0], y->quant->zp[0], lo, hi);
}

/* Bounds lo, hi of an integer node from the float bounds of a Clip: Q(clip(v)) = clip(Q(v)). */
static void set_bounds(xg_rw *r, uint32_t node, float min, float max, const xg_tensor *y) {
    int32_t lo, hi, least, most;
    xg_dtype_range(y->dtype, &least, &most);
    lo = (int32_t)clip_bound(min, y);
    hi = (int32_t)clip_bound(max, y);
    if (lo > least) xg_set_ai(xg_nodep(r->g, node), XG_ATTR_lo, lo);
    if (hi < most) xg_set_ai(xg_nodep(r->g, node), XG_ATTR_hi, hi);
}

/* A single Add or Mul of integers: it has a form of its own, which a table is not equal to where
 * the rounding is concerned, even when both operands are one tensor or one is a constant. */
static bool is_integer_binary(const xg_rw *r, const xg_node *f) {
    return (f->op == XG_OP_Add || f->op == XG_OP_Mul) && integers(r, f->in[0]) != XG_NONE &&
           integers(r, f->in[1]) != XG_NONE;
}

static bool to_table(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    expr e = {r, XG_NONE, 0};
    if (n->op != XG_OP_Quantize || !scalar_quant(xg_out(r->g, n, 0)) ||
        !xg_dtype_is_int8(xg_out(r->g, n, 0)->dtype))
        return false;
    if (!expr_collect(&e, n->in[0]) || e.leaf == XG_NONE || !e.nodes) return false;
    xg_tensor x = r->g->tensor.v[e.leaf], y = *xg_out(r->g, n, 0);
    const xg_node *f = xg_rw_made_by(r, n->in[0], XG_OP_COUNT);
    uint32_t fi = r->g->tensor.v[n->in[0]].producer, out = n->out[0], fresh;
    if (!same_shape(&x, &y) || is_integer_binary(r, f)) return false;
    if (f->op == XG_OP_Clip && e.nodes == 1 && x.dtype == y.dtype &&
        xg_quant_equal(x.quant, y.quant)) {
        float min = xg_af(f, XG_ATTR_min), max = xg_af(f, XG_ATTR_max);
        fresh = xg_rw_add(r, XG_OP_Clip, fi, &e.leaf, 1);
        set_bounds(r, fresh, min, max, &y);
    } else {
        evaluation v = {r, n->in[0]};
        uint32_t in[2] = {e.leaf, xg_rw_table(r, &x, &y, evaluate, &v)};
        if (in[1] == XG_NONE) return false;
        fresh = xg_rw_add(r, XG_OP_Lut, fi, in, 2);
    }
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* ---- bias ---- */

/* Real value of element o of a bias: f32 constant or Dequantize of an integer constant. */
static bool real_bias(const xg_rw *r, uint32_t tensor, int64_t o, double *v) {
    const xg_tensor *t = &r->g->tensor.v[tensor];
    if (t->data && t->dtype == XG_F32) {
        *v = (double)((const float *)t->data)[o];
        return isfinite(*v);
    }
    const xg_node *dq = xg_rw_made_by(r, tensor, XG_OP_Dequantize);
    const xg_tensor *q = dq ? xg_in(r->g, dq, 0) : NULL;
    if (!q || !q->data) return false;
    int64_t k = q->quant->axis < 0 ? 0 : o, i;
    switch (q->dtype) {
    case XG_I8:
        i = ((const int8_t *)q->data)[o];
        break;
    case XG_U8:
        i = ((const uint8_t *)q->data)[o];
        break;
    case XG_I16:
        i = ((const int16_t *)q->data)[o];
        break;
    case XG_I32:
        i = ((const int32_t *)q->data)[o];
        break;
    default:
        return false;
    }
    *v = (double)(i - q->quant->zp[k]) * (double)q->quant->scale[k];
    return true;
}

/* True when the bias is i32 with exactly the scale sx * sw and zero point 0. */
static bool bias_fits(const xg_tensor *q, const float *want, int64_t n) {
    if (q->dtype != XG_I32) return false;
    for (int64_t o = 0; o < n; o++) {
        int64_t k = q->quant->axis < 0 ? 0 : o;
        if (q->quant->zp[k] != 0 || q->quant->scale[k] != want[o]) return false;
    }
    return true;
}

/* The bias of an integer convolution: i32 at scale sx * sw[o]. XG_NONE when a value does not fit;
 * then it is told. */
static uint32_t integer_bias(xg_rw *r, uint32_t node, uint32_t bias, const xg_quant *qx,
                             const xg_quant *qw, int64_t n) {
    float *scale = xg_newn(r->tmp, float, (size_t)n);
    const xg_tensor *t = &r->g->tensor.v[bias];
    const char *name = t->onnx ? t->onnx : t->name;
    for (int64_t o = 0; o < n; o++) {
        scale[o] = qx->scale[0] * qw->scale[qw->axis < 0 ? 0 : o];
        if (!(scale[o] > 0) || !isfinite(scale[o])) return XG_NONE;
    }
    const xg_quant *q =
        xg_quant_new(r->a, qw->axis < 0 ? -1 : 0, qw->axis < 0 ? 1 : (uint32_t)n, scale, NULL);
    const xg_node *dq = xg_rw_made_by(r, bias, XG_OP_Dequantize);
    if (xg_tensor_elems(t) != n) return XG_NONE;
    const xg_tensor *own = dq ? xg_in(r->g, dq, 0) : t;
    const char *onnx = own->onnx;
    if (dq && own->data && bias_fits(own, scale, n)) {
        uint32_t same = xg_rw_const(r, own->name, XG_I32, 1, &n, own->data, q);
        r->g->tensor.v[same].onnx = onnx;
        return same;
    }
    int32_t *data = xg_newn(r->a, int32_t, (size_t)n);
    double worst = 0;
    for (int64_t o = 0; o < n; o++) {
        double v, i;
        if (!real_bias(r, bias, o, &v)) return XG_NONE;
        i = rint(v / (double)scale[o]);
        if (fabs(i) > 0x7fffffff) {
            xg_rw_log(r, "node '%s': bias '%s' of %g does not fit in 32 bits at scale %g",
                      xg_nodep(r->g, node)->name, name, v, (double)scale[o]);
            return XG_NONE;
        }
        data[o] = (int32_t)i;
        worst = fmax(worst, fabs(v / (double)scale[o] - i));
    }
    if (worst > 1e-6)
        xg_rw_log(r,
                  "node '%s': bias '%s' does not have the scale of input times weights; rounded to "
                  "it (%.3g of a step at most)",
                  xg_nodep(r->g, node)->name, name, worst);
    uint32_t made = xg_rw_const(r, name, XG_I32, 1, &n, data, q);
    r->g->tensor.v[made].onnx = onnx;
    return made;
}

/* ---- operators ---- */

/* Integer weights behind Dequantize: 8 or 16 bits, per tensor or per output channel. */
static uint32_t integer_weights(const xg_rw *r, uint32_t tensor) {
    const xg_node *dq = xg_rw_made_by(r, tensor, XG_OP_Dequantize);
    const xg_tensor *w = dq ? xg_in(r->g, dq, 0) : NULL;
    return w && w->data && is_activation(w->dtype) && w->quant->axis <= 0 ? dq->in[0] : XG_NONE;
}

static bool absorbs(uint32_t op) {
    return op == XG_OP_Conv || op == XG_OP_MatMul || op == XG_OP_Add || op == XG_OP_Mul ||
           op == XG_OP_Sub || op == XG_OP_AvgPool || op == XG_OP_Concat || op == XG_OP_ReduceMean ||
           op == XG_OP_Resize;
}

/* in[] of the integer form of float node f; false when an input is not integer. */
static bool integer_inputs(xg_rw *r, uint32_t f, uint32_t *in) {
    const xg_node *n = xg_nodep(r->g, f);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (n->op == XG_OP_Conv && k == 1)
            in[k] = integer_weights(r, n->in[k]);
        else if (n->op == XG_OP_Conv && k == 2)
            in[k] = XG_NONE;
        else if (n->op == XG_OP_Resize && k > 0) {
            in[k] = n->in[k]; /* taps */
            continue;
        } else
            in[k] = integers(r, n->in[k]);
        if (n->op == XG_OP_Conv && k == 2)
            continue; /* the bias comes last: it needs the others' scales */
        if (in[k] == XG_NONE || !is_activation(r->g->tensor.v[in[k]].dtype)) return false;
    }
    if (n->op != XG_OP_Conv || n->nin < 3 || n->in[2] == XG_NONE) return true;
    const xg_tensor *w = &r->g->tensor.v[in[1]];
    in[2] = integer_bias(r, f, n->in[2], r->g->tensor.v[in[0]].quant, w->quant, w->dim[0]);
    return in[2] != XG_NONE;
}

static bool to_integer(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Quantize || !scalar_quant(xg_out(r->g, n, 0)) ||
        !is_activation(xg_out(r->g, n, 0)->dtype))
        return false;
    float min = -INFINITY, max = INFINITY;
    uint32_t t = n->in[0], out = n->out[0];
    const xg_node *clip = xg_rw_made_by(r, t, XG_OP_Clip);
    if (clip) {
        if (xg_rw_uses(r, t) != 1) return false;
        min = xg_af(clip, XG_ATTR_min);
        max = xg_af(clip, XG_ATTR_max);
        t = clip->in[0];
    }
    const xg_node *f = xg_rw_made_by(r, t, XG_OP_COUNT);
    if (!f || !absorbs(f->op) || xg_rw_uses(r, t) != 1 || (clip && !xg_has_attr(f, XG_ATTR_lo)))
        return false;
    uint32_t fi = r->g->tensor.v[t].producer, nin = f->nin, *in = xg_newn(r->tmp, uint32_t, nin);
    if (!integer_inputs(r, fi, in)) return false;
    xg_tensor y = r->g->tensor.v[out];
    uint32_t fresh = again(r, fi, in, nin, y.dtype, y.quant);
    if (clip) {
        set_bounds(r, fresh, min, max, &y);
        xg_rw_join(r, fresh, clip);
    }
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* ---- what stays float ---- */

static const char *why_float(const xg_rw *r, const xg_node *n) {
    if (integers(r, n->in[0]) == XG_NONE) return "its input is not quantised";
    if (n->op == XG_OP_Conv && integer_weights(r, n->in[1]) == XG_NONE)
        return "its weights are not constant integers of 8 or 16 bits";
    return "its result is not quantised, or quantised for several readers, or after an operator "
           "that does not fuse";
}

static xg_status tell_floats(xg_ctx *c, xg_graph *g, const xg_pass_args *p) {
    xg_rw r = {.c = c, .g = g, .a = p->arena};
    bool quantised_model = false;
    for (uint32_t i = 0; i < g->node.n; i++)
        quantised_model = quantised_model || (g->node.v[i].op == XG_OP_Conv &&
                                              xg_out(g, xg_nodep(g, i), 0)->dtype != XG_F32);
    for (uint32_t i = 0; quantised_model && i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if ((n->op == XG_OP_Conv || n->op == XG_OP_MatMul) && xg_out(g, n, 0)->dtype == XG_F32)
            xg_rw_log(&r, "node '%s' (%s) stays float: %s", n->name, xg_ops[n->op].name,
                      why_float(&r, n));
    }
    return XG_OK;
}

xg_status xg_pass_absorb_qdq(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(
        c, g, p,
        (const xg_rule_fn[]){dequantize_down, quantize_up, requantize, xg_rule_identity, NULL});
    if (!st) st = xg_pass_remove_identity(c, g, p);
    if (!st)
        st = xg_rw_run(c, g, p,
                       (const xg_rule_fn[]){requantize, to_table, to_integer, dequantize_down,
                                            quantize_up, xg_rule_identity, NULL});
    if (!st) st = xg_pass_fuse_shuffle(c, g, p); /* its steps may have had conversions between */
    if (!st) st = xg_pass_sink_transposes(c, g, p);
    return st ? st : tell_floats(c, *g, p);
}
