/* Per-channel scale and shift around f32 convolutions: y = s x + t. */
#include "xgraph/pass.h"

#include <math.h>
#include <string.h>

typedef struct affine {
    uint32_t n; /* channels */
    double *s, *t;
} affine;

static const float *f32_data(const xg_rw *r, uint32_t tensor) {
    if (tensor == XG_NONE) return NULL;
    const xg_tensor *t = &r->g->tensor.v[tensor];
    return t->dtype == XG_F32 ? t->data : NULL;
}

static affine new_affine(xg_rw *r, int64_t n) {
    affine f = {(uint32_t)n, xg_newn(r->tmp, double, (size_t)n),
                xg_newn(r->tmp, double, (size_t)n)};
    for (uint32_t i = 0; i < f.n; i++) f.s[i] = 1;
    return f;
}

static bool batchnorm_affine(xg_rw *r, const xg_node *n, affine *f) {
    const float *p[5] = {NULL};
    for (uint32_t i = 1; i < 5; i++)
        if (!(p[i] = f32_data(r, n->in[i]))) return false;
    *f = new_affine(r, xg_in(r->g, n, 1)->dim[0]);
    for (uint32_t i = 0; i < f->n; i++) {
        f->s[i] = (double)p[1][i] / sqrt((double)p[4][i] + (double)xg_af(n, XG_ATTR_epsilon));
        f->t[i] = (double)p[2][i] - (double)p[3][i] * f->s[i];
        if (!isfinite(f->s[i]) || !isfinite(f->t[i])) return false;
    }
    return true;
}

/* Add, Sub, Mul, Div with a constant that is one value or one for each channel; *data: the other
 * operand. */
static bool constant_affine(xg_rw *r, const xg_node *n, affine *f, uint32_t *data) {
    bool add = n->op == XG_OP_Add || n->op == XG_OP_Sub,
         mul = n->op == XG_OP_Mul || n->op == XG_OP_Div;
    if (!add && !mul) return false;
    int k = f32_data(r, n->in[1]) ? 1 : 0;
    const float *v = f32_data(r, n->in[k]);
    if (!v || (k == 0 && (n->op == XG_OP_Div || n->op == XG_OP_Sub))) return false;
    const xg_tensor *c = xg_in(r->g, n, (uint32_t)k), *y = xg_out(r->g, n, 0);
    int64_t elems = xg_tensor_elems(c), channels = y->rank ? y->dim[y->rank - 1] : 1;
    if (elems != 1 && (elems != channels || c->dim[c->rank - 1] != channels)) return false;
    const xg_tensor *x = xg_in(r->g, n, (uint32_t)(1 - k));
    if (x->rank != y->rank || memcmp(x->dim, y->dim, y->rank * sizeof *y->dim)) return false;
    *data = n->in[1 - k];
    *f = new_affine(r, channels);
    for (uint32_t i = 0; i < f->n; i++) {
        double w = (double)v[elems == 1 ? 0 : i];
        if (add)
            f->t[i] = n->op == XG_OP_Sub ? -w : w;
        else
            f->s[i] = n->op == XG_OP_Div ? 1 / w : w;
        if (!isfinite(f->s[i])) return false;
    }
    return true;
}

/* Conv with weights w (double, [O,...]) and bias in place of node's Conv; `like` gives the name. */
static uint32_t conv_with(xg_rw *r, uint32_t like, uint32_t conv, uint32_t x, const float *w,
                          const float *b) {
    const xg_node *c = xg_nodep(r->g, conv);
    const xg_tensor *wt = xg_in(r->g, c, 1);
    int64_t channels = wt->dim[0];
    uint32_t in[3] = {x, c->in[1], XG_NONE};
    if (w) in[1] = xg_rw_const(r, wt->name, XG_F32, 4, wt->dim, w, NULL);
    in[2] = xg_rw_const(r, xg_strf(r->tmp, "%s.bias", xg_nodep(r->g, conv)->name), XG_F32, 1,
                        &channels, b, NULL);
    uint32_t n = xg_rw_add(r, XG_OP_Conv, like, in, 3);
    xg_rw_copy_attrs(r, conv, n);
    return xg_rw_infer(r, n) ? n : XG_NONE;
}

/* What makes a tensor, but for movements that nothing else reads and that keep groups of
 * `channels` neighbours on the last axis together: channel o there is channel o % channels here.
 * This is how a transposed convolution's result is put together. */
static uint32_t before_moves(const xg_rw *r, uint32_t tensor, int64_t channels) {
    for (;;) {
        const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_COUNT);
        if (!n || (n->op != XG_OP_Reshape && n->op != XG_OP_Transpose)) return tensor;
        const xg_tensor *x = xg_in(r->g, n, 0);
        if (!x->rank || x->dim[x->rank - 1] % channels || xg_rw_uses(r, tensor) != 1) return tensor;
        const xg_attr *perm = n->op == XG_OP_Transpose ? xg_attr_of(n, XG_ATTR_perm) : NULL;
        if (perm && perm->is[x->rank - 1] != x->rank - 1) return tensor;
        tensor = n->in[0];
    }
}

/* BatchNorm or a constant operator behind a Conv that nothing else reads. */
static bool into_conv_before(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    affine f;
    uint32_t data = n->nin ? n->in[0] : XG_NONE, out = n->out[0];
    if (xg_out(r->g, n, 0)->dtype != XG_F32) return false;
    bool batchnorm = n->op == XG_OP_BatchNorm;
    if (!batchnorm && !xg_op_is_binary(n->op)) return false;
    if (batchnorm ? !batchnorm_affine(r, n, &f) : !constant_affine(r, n, &f, &data)) return false;
    uint32_t moved = data;
    data = before_moves(r, data, f.n);
    const xg_node *conv = xg_rw_made_by(r, data, XG_OP_Conv);
    if (!conv || xg_rw_uses(r, data) != 1) return false;
    const float *w = f32_data(r, conv->in[1]);
    bool has_bias = conv->nin > 2 && conv->in[2] != XG_NONE,
         scales = batchnorm || n->op == XG_OP_Mul || n->op == XG_OP_Div;
    const float *b = has_bias ? f32_data(r, conv->in[2]) : NULL;
    if ((scales && !w) || (has_bias && !b)) return false;
    const xg_tensor *wt = xg_in(r->g, conv, 1);
    uint32_t ci = r->g->tensor.v[data].producer;
    if (wt->dim[0] % f.n || (moved == data && wt->dim[0] != f.n)) return false;
    int64_t inner = xg_tensor_elems(wt) / wt->dim[0];
    float *nw = scales ? xg_newn(r->a, float, (size_t)xg_tensor_elems(wt)) : NULL,
          *nb = xg_newn(r->a, float, (size_t)wt->dim[0]);
    for (int64_t o = 0; o < wt->dim[0]; o++) {
        double scale = f.s[o % f.n];
        for (int64_t i = 0; scales && i < inner; i++)
            nw[o * inner + i] = (float)((double)w[o * inner + i] * scale);
        nb[o] = (float)((b ? (double)b[o] : 0) * scale + f.t[o % f.n]);
    }
    uint32_t fresh = conv_with(r, ci, ci, conv->in[0], nw, nb);
    if (fresh == XG_NONE) return false;
    xg_rw_join(r, fresh, xg_nodep(r->g, node));
    if (moved == data) return xg_rw_replace(r, out, xg_rw_out(r, fresh));
    return xg_rw_replace(r, data, xg_rw_out(r, fresh)) && xg_rw_replace(r, out, moved);
}

/* Conv + Dequantize(constant): a quantised bias that is added by an operator of its own. */
static bool bias_into_conv(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Add || xg_out(r->g, n, 0)->dtype != XG_F32) return false;
    for (uint32_t k = 0; k < 2; k++) {
        const xg_node *conv = xg_rw_made_by(r, n->in[1 - k], XG_OP_Conv),
                      *dq = xg_rw_made_by(r, n->in[k], XG_OP_Dequantize);
        if (!conv || !dq || conv->nin > 2 || xg_rw_uses(r, n->in[1 - k]) != 1 ||
            !xg_rw_const_like(r, n->in[k]))
            continue;
        int64_t channels = xg_in(r->g, conv, 1)->dim[0];
        const xg_tensor *y = xg_out(r->g, n, 0), *x = xg_out(r->g, conv, 0);
        if (xg_tensor_elems(xg_in(r->g, n, k)) != channels ||
            xg_in(r->g, n, k)->dim[xg_in(r->g, n, k)->rank - 1] != channels ||
            xg_tensor_elems(x) != xg_tensor_elems(y))
            continue;
        uint32_t ci = r->g->tensor.v[n->in[1 - k]].producer, out = n->out[0];
        uint32_t in[3] = {conv->in[0], conv->in[1],
                          xg_rw_reshaped(r, node, n->in[k], &channels, 1)};
        if (in[2] == XG_NONE) return false;
        uint32_t fresh = xg_rw_add(r, XG_OP_Conv, ci, in, 3);
        xg_rw_copy_attrs(r, ci, fresh);
        xg_rw_join(r, fresh, xg_nodep(r->g, node));
        return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
    }
    return false;
}

/* Conv(s x + t): the weights take s, the bias the sum of w t; where the Conv pads, t must be 0. */
static bool into_conv_after(xg_rw *r, uint32_t node) {
    const xg_node *conv = xg_nodep(r->g, node);
    affine f;
    if (conv->op != XG_OP_Conv || xg_ai(conv, XG_ATTR_group) != 1) return false;
    const xg_node *bn = xg_rw_made_by(r, conv->in[0], XG_OP_COUNT);
    xg_window win = xg_node_window(conv);
    if (!bn || xg_rw_uses(r, conv->in[0]) != 1 || xg_in(r->g, conv, 0)->dtype != XG_F32)
        return false;
    uint32_t data = bn->nin ? bn->in[0] : XG_NONE;
    bool affine_one =
        bn->op == XG_OP_BatchNorm ? batchnorm_affine(r, bn, &f) : constant_affine(r, bn, &f, &data);
    if (!affine_one || f.n != xg_in(r->g, conv, 1)->dim[3]) return false;
    for (uint32_t i = 0; i < f.n && (win.pt || win.pl || win.pb || win.pr); i++)
        if (f.t[i] != 0) return false;
    const float *w = f32_data(r, conv->in[1]);
    bool has_bias = conv->nin > 2 && conv->in[2] != XG_NONE;
    const float *b = has_bias ? f32_data(r, conv->in[2]) : NULL;
    if (!w || (has_bias && !b)) return false;
    const xg_tensor *wt = xg_in(r->g, conv, 1);
    int64_t inner = xg_tensor_elems(wt) / wt->dim[0];
    float *nw = xg_newn(r->a, float, (size_t)xg_tensor_elems(wt)),
          *nb = xg_newn(r->a, float, (size_t)wt->dim[0]);
    for (int64_t o = 0; o < wt->dim[0]; o++) {
        double sum = b ? (double)b[o] : 0;
        for (int64_t i = 0; i < inner; i++) {
            double v = (double)w[o * inner + i];
            nw[o * inner + i] = (float)(v * f.s[i % f.n]);
            sum += v * f.t[i % f.n];
        }
        nb[o] = (float)sum;
    }
    uint32_t out = conv->out[0], bni = r->g->tensor.v[conv->in[0]].producer,
             fresh = conv_with(r, node, node, data, nw, nb);
    if (fresh == XG_NONE) return false;
    xg_rw_join(r, fresh, xg_nodep(r->g, bni));
    return xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* A BatchNorm that no Conv takes is a depthwise 1x1 Conv itself. */
static bool to_depthwise(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    affine f;
    if (n->op != XG_OP_BatchNorm || !batchnorm_affine(r, n, &f)) return false;
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t x = n->in[0], out = n->out[0];
    int64_t dim[4] = {f.n, 1, 1, 1}, channels = f.n,
            map[4] = {y.dim[0], 1, y.rank > 2 ? y.dim[y.rank - 2] : 1, f.n};
    for (int i = 1; i + 2 < y.rank; i++) map[1] *= y.dim[i];
    float *w = xg_newn(r->a, float, f.n), *b = xg_newn(r->a, float, f.n);
    for (uint32_t i = 0; i < f.n; i++) w[i] = (float)f.s[i], b[i] = (float)f.t[i];
    if (y.rank != 4) x = xg_rw_reshape(r, node, x, map, 4);
    if (x == XG_NONE) return false;
    uint32_t in[3] = {
        x, xg_rw_const(r, xg_strf(r->tmp, "%s.scale", n->name), XG_F32, 4, dim, w, NULL),
        xg_rw_const(r, xg_strf(r->tmp, "%s.shift", n->name), XG_F32, 1, &channels, b, NULL)};
    uint32_t fresh = xg_rw_add(r, XG_OP_Conv, node, in, 3);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_group, f.n);
    if (!xg_rw_infer(r, fresh)) return false;
    uint32_t t = xg_rw_out(r, fresh);
    if (y.rank != 4) t = xg_rw_reshape(r, node, t, y.dim, y.rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_fold_batchnorm(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(
        c, g, p, (const xg_rule_fn[]){into_conv_before, into_conv_after, bias_into_conv, NULL});
    return st ? st
              : xg_rw_run(c, g, p,
                          (const xg_rule_fn[]){to_depthwise, xg_rule_identity, xg_rule_sink, NULL});
}
