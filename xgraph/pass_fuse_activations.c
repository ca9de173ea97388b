#include "xgraph/pass.h"

#include <math.h>

/* y = min(max(x, lo), hi) of one tensor, as Clip. */
static bool to_clip(xg_rw *r, uint32_t node, uint32_t in, float lo, float hi, const xg_node *also) {
    uint32_t out = xg_rw_out(r, node), n = xg_rw_add(r, XG_OP_Clip, node, &in, 1);
    xg_set_af(xg_nodep(r->g, n), XG_ATTR_min, lo);
    xg_set_af(xg_nodep(r->g, n), XG_ATTR_max, hi);
    if (also) xg_rw_join(r, n, also);
    return xg_rw_infer(r, n) && xg_rw_replace(r, out, xg_rw_out(r, n));
}

static bool is_float(const xg_rw *r, uint32_t tensor) {
    return r->g->tensor.v[tensor].dtype == XG_F32;
}

/* The operand beside a scalar constant of a two-input node; XG_NONE when there is none. */
static uint32_t beside_scalar(const xg_rw *r, const xg_node *n, bool commutes, float *v) {
    if (xg_rw_scalar(r, n->in[1], v) &&
        r->g->tensor.v[n->in[1]].rank <= r->g->tensor.v[n->in[0]].rank)
        return n->in[0];
    if (commutes && xg_rw_scalar(r, n->in[0], v) &&
        r->g->tensor.v[n->in[0]].rank <= r->g->tensor.v[n->in[1]].rank)
        return n->in[1];
    return XG_NONE;
}

static bool min_max(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    float v;
    if ((n->op != XG_OP_Min && n->op != XG_OP_Max) || !is_float(r, n->out[0])) return false;
    uint32_t in = beside_scalar(r, n, true, &v);
    if (in == XG_NONE || isnan(v)) return false;
    return n->op == XG_OP_Min ? to_clip(r, node, in, -INFINITY, v, NULL)
                              : to_clip(r, node, in, v, INFINITY, NULL);
}

/* Clip of Clip: the outer bounds clamp the inner ones. */
static bool clip_clip(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Clip || !is_float(r, n->out[0])) return false;
    const xg_node *b = xg_rw_made_by(r, n->in[0], XG_OP_Clip);
    if (!b) return false;
    float lo = xg_af(n, XG_ATTR_min), hi = xg_af(n, XG_ATTR_max);
    float inner_lo = fminf(fmaxf(xg_af(b, XG_ATTR_min), lo), hi),
          inner_hi = fminf(fmaxf(xg_af(b, XG_ATTR_max), lo), hi);
    if (inner_lo > inner_hi) return false;
    return to_clip(r, node, b->in[0], inner_lo, inner_hi, b);
}

/* v with tensor = v * factor, factor folded from Mul or Div by a constant; factor 1 when it is
 * neither. */
static uint32_t scaled_by(const xg_rw *r, uint32_t tensor, float *factor) {
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_COUNT);
    *factor = 1;
    if (!n || (n->op != XG_OP_Mul && n->op != XG_OP_Div)) return tensor;
    float v;
    uint32_t in = beside_scalar(r, n, n->op == XG_OP_Mul, &v);
    if (in == XG_NONE) return tensor;
    *factor = n->op == XG_OP_Mul ? v : 1 / v;
    return in;
}

/* clip(x + 3, 0, 6): gives x. */
static uint32_t relu6_of_plus_3(const xg_rw *r, uint32_t tensor) {
    const xg_node *clip = xg_rw_made_by(r, tensor, XG_OP_Clip);
    if (!clip || xg_af(clip, XG_ATTR_min) != 0 || xg_af(clip, XG_ATTR_max) != 6) return XG_NONE;
    const xg_node *add = xg_rw_made_by(r, clip->in[0], XG_OP_Add);
    float three;
    uint32_t x = add ? beside_scalar(r, add, true, &three) : XG_NONE;
    return x != XG_NONE && three == 3 ? x : XG_NONE;
}

static bool near_sixth(float f) {
    return fabsf(f * 6 - 1) < 1e-5f;
}

static bool take_over(xg_rw *r, uint32_t node, uint32_t n) {
    uint32_t out = xg_rw_out(r, node);
    return xg_rw_infer(r, n) && xg_rw_replace(r, out, xg_rw_out(r, n));
}

/* x * relu6(x + 3) / 6 in its spellings, and x * hardsigmoid(x) with 1/6 and 1/2. */
static bool hard_swish(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if ((n->op != XG_OP_Mul && n->op != XG_OP_Div) || !is_float(r, n->out[0])) return false;
    float outer;
    uint32_t product = scaled_by(r, n->out[0], &outer);
    const xg_node *mul = product == n->out[0] ? n : xg_rw_made_by(r, product, XG_OP_Mul);
    if (!mul || mul->op != XG_OP_Mul) return false;
    for (int side = 0; side < 2; side++) {
        float inner;
        uint32_t gate = scaled_by(r, mul->in[side], &inner), x = relu6_of_plus_3(r, gate),
                 other = mul->in[1 - side];
        const xg_node *hs = xg_rw_made_by(r, mul->in[side], XG_OP_HardSigmoid);
        bool found = x != XG_NONE && x == other && near_sixth(outer * inner);
        if (!found && hs && hs->in[0] == other && outer == 1 && mul == n)
            found = near_sixth(xg_af(hs, XG_ATTR_alpha)) && xg_af(hs, XG_ATTR_beta) == 0.5f;
        if (found) return take_over(r, node, xg_rw_add(r, XG_OP_HardSwish, node, &other, 1));
    }
    return false;
}

/* relu6(x + 3) / 6. */
static bool hard_sigmoid(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if ((n->op != XG_OP_Mul && n->op != XG_OP_Div) || !is_float(r, n->out[0])) return false;
    float factor;
    uint32_t gate = scaled_by(r, n->out[0], &factor),
             x = gate == n->out[0] ? XG_NONE : relu6_of_plus_3(r, gate);
    if (x == XG_NONE || !near_sixth(factor)) return false;
    uint32_t h = xg_rw_add(r, XG_OP_HardSigmoid, node, &x, 1);
    xg_set_af(xg_nodep(r->g, h), XG_ATTR_alpha, 1.0f / 6);
    xg_set_af(xg_nodep(r->g, h), XG_ATTR_beta, 0.5f);
    return take_over(r, node, h);
}

/* ---- x times a function of x ---- */

static bool near(float f, double want) {
    return fabs((double)f - want) < 1e-4 * fabs(want);
}

/* x of Add(x, 1), XG_NONE for anything else. */
static uint32_t plus_one(const xg_rw *r, uint32_t tensor) {
    const xg_node *add = xg_rw_made_by(r, tensor, XG_OP_Add);
    float one;
    uint32_t x = add ? beside_scalar(r, add, true, &one) : XG_NONE;
    return x != XG_NONE && one == 1 ? x : XG_NONE;
}

/* x of Softplus(x) or Log(Exp(x) + 1). */
static uint32_t of_softplus(const xg_rw *r, uint32_t tensor) {
    const xg_node *soft = xg_rw_made_by(r, tensor, XG_OP_Softplus);
    if (soft) return soft->in[0];
    const xg_node *log = xg_rw_made_by(r, tensor, XG_OP_Log);
    uint32_t inner = log ? plus_one(r, log->in[0]) : XG_NONE;
    const xg_node *e = inner != XG_NONE ? xg_rw_made_by(r, inner, XG_OP_Exp) : NULL;
    return e ? e->in[0] : XG_NONE;
}

/* x^3 as Pow(x, 3) or x * x * x. */
static bool is_cube(const xg_rw *r, uint32_t tensor, uint32_t x) {
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_COUNT);
    float three;
    if (!n) return false;
    if (n->op == XG_OP_Pow) return n->in[0] == x && xg_rw_scalar(r, n->in[1], &three) && three == 3;
    for (int k = 0; k < 2 && n->op == XG_OP_Mul; k++) {
        const xg_node *square = xg_rw_made_by(r, n->in[k], XG_OP_COUNT);
        if (n->in[1 - k] != x || !square || square->in[0] != x) continue;
        if (square->op == XG_OP_Mul && square->in[1] == x) return true;
        float two;
        if (square->op == XG_OP_Pow && xg_rw_scalar(r, square->in[1], &two) && two == 2)
            return true;
    }
    return false;
}

/* Is it erf(x / sqrt 2), or tanh(sqrt(2 / pi) (x + 0.044715 x^3))? */
static bool gelu_argument(const xg_rw *r, uint32_t tensor, uint32_t x, bool *with_tanh) {
    const xg_node *f = xg_rw_made_by(r, tensor, XG_OP_COUNT);
    float factor, inner;
    if (!f || (f->op != XG_OP_Erf && f->op != XG_OP_Tanh)) return false;
    *with_tanh = f->op == XG_OP_Tanh;
    uint32_t arg = scaled_by(r, f->in[0], &factor);
    if (!*with_tanh) return arg == x && near(factor, 0.70710678);
    const xg_node *sum = xg_rw_made_by(r, arg, XG_OP_Add);
    for (int k = 0; sum && near(factor, 0.79788456) && k < 2; k++)
        if (sum->in[k] == x && is_cube(r, scaled_by(r, sum->in[1 - k], &inner), x) &&
            near(inner, 0.044715))
            return true;
    return false;
}

/* The operator that gate(x) * x * factor is; XG_OP_COUNT when it is none. */
static xg_op gated(const xg_rw *r, uint32_t gate, uint32_t x, float factor, bool *with_tanh) {
    const xg_node *g = xg_rw_made_by(r, gate, XG_OP_COUNT);
    *with_tanh = false;
    if (!g) return XG_OP_COUNT;
    if (g->op == XG_OP_Sigmoid && g->in[0] == x && factor == 1) return XG_OP_Silu;
    if (g->op == XG_OP_Tanh && of_softplus(r, g->in[0]) == x && factor == 1) return XG_OP_Mish;
    uint32_t inner = plus_one(r, gate);
    if (inner != XG_NONE && near(factor, 0.5) && gelu_argument(r, inner, x, with_tanh))
        return XG_OP_Gelu;
    return XG_OP_COUNT;
}

/* x * sigmoid(x), x * tanh(softplus(x)), x / 2 * (1 + erf(x / sqrt 2)), the factor anywhere. */
static bool gate(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if ((n->op != XG_OP_Mul && n->op != XG_OP_Div) || !is_float(r, n->out[0])) return false;
    float outer, a, b;
    uint32_t product = scaled_by(r, n->out[0], &outer);
    const xg_node *mul = product == n->out[0] ? n : xg_rw_made_by(r, product, XG_OP_Mul);
    if (!mul || mul->op != XG_OP_Mul) return false;
    for (int side = 0; side < 2; side++) {
        bool with_tanh;
        uint32_t x = scaled_by(r, mul->in[1 - side], &a), g = scaled_by(r, mul->in[side], &b);
        xg_op op = gated(r, g, x, outer * a * b, &with_tanh);
        if (op == XG_OP_COUNT && a != 1) { /* x itself is a product */
            x = mul->in[1 - side];
            op = gated(r, g, x, outer * b, &with_tanh);
        }
        if (op == XG_OP_COUNT) continue;
        uint32_t fresh = xg_rw_add(r, op, node, &x, 1);
        if (op == XG_OP_Gelu) xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_mode, with_tanh);
        return take_over(r, node, fresh);
    }
    return false;
}

/* Softplus spelled out. */
static bool softplus(xg_rw *r, uint32_t node) {
    if (xg_nodep(r->g, node)->op != XG_OP_Log) return false;
    uint32_t x = of_softplus(r, xg_rw_out(r, node));
    return x != XG_NONE && is_float(r, x) &&
           take_over(r, node, xg_rw_add(r, XG_OP_Softplus, node, &x, 1));
}

/* 1 / (1 + exp(-x)) */
static bool sigmoid(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    float one;
    if (n->op != XG_OP_Div || !xg_rw_scalar(r, n->in[0], &one) || one != 1) return false;
    uint32_t inner = plus_one(r, n->in[1]);
    const xg_node *exp = inner == XG_NONE ? NULL : xg_rw_made_by(r, inner, XG_OP_Exp);
    const xg_node *neg = exp ? xg_rw_made_by(r, exp->in[0], XG_OP_Neg) : NULL;
    if (!neg || !is_float(r, neg->in[0])) return false;
    uint32_t x = neg->in[0];
    return take_over(r, node, xg_rw_add(r, XG_OP_Sigmoid, node, &x, 1));
}

/* exp(t) / sum of exp(t) over one axis, t = x - max(x) over that axis or any x. */
static bool softmax(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Div || !is_float(r, n->out[0])) return false;
    const xg_node *exp = xg_rw_made_by(r, n->in[0], XG_OP_Exp),
                  *sum = xg_rw_made_by(r, n->in[1], XG_OP_ReduceSum);
    if (!exp || !sum || sum->in[0] != n->in[0] || !xg_ai(sum, XG_ATTR_keepdims)) return false;
    const xg_attr *axes = xg_attr_of(sum, XG_ATTR_axes);
    if (axes->n != 1) return false;
    int64_t axis = axes->is[0];
    uint32_t x = exp->in[0];
    const xg_node *sub = xg_rw_made_by(r, x, XG_OP_Sub);
    const xg_node *most = sub ? xg_rw_made_by(r, sub->in[1], XG_OP_ReduceMax) : NULL;
    if (most && most->in[0] == sub->in[0]) {
        const xg_attr *over = xg_attr_of(most, XG_ATTR_axes);
        if (over->n == 1 && over->is[0] == axis && xg_ai(most, XG_ATTR_keepdims)) x = sub->in[0];
    }
    uint32_t fresh = xg_rw_add(r, XG_OP_Softmax, node, &x, 1);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_axis, axis);
    return take_over(r, node, fresh);
}

xg_status xg_pass_fuse_activations(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p,
                     (const xg_rule_fn[]){min_max, clip_clip, hard_swish, hard_sigmoid, sigmoid,
                                          gate, softplus, softmax, NULL});
}
