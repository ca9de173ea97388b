/* Integer products that are scaled to real values: Mul(Cast(Conv with i32 result), c) becomes the
 * float Conv of Dequantize(x) and Dequantize(w), which absorb_qdq makes an integer operator with
 * its own requantisation; and a factor behind a float Conv goes into the scale of its quantised
 * weights. */
#include "xgraph/pass.h"

#include <math.h>
#include <string.h>

/* The factor for output channel o: a constant of one value or of one for each channel. */
typedef struct factor {
    const float *v;
    int64_t n;
} factor;

static bool read_factor(const xg_rw *r, uint32_t tensor, const xg_tensor *y, factor *f) {
    const xg_tensor *t = &r->g->tensor.v[tensor];
    int64_t channels = y->dim[3];
    if (!t->data || t->dtype != XG_F32 || t->rank > y->rank) return false;
    f->n = xg_tensor_elems(t);
    f->v = t->data;
    if (f->n != 1 && (f->n != channels || t->dim[t->rank - 1] != channels)) return false;
    for (int64_t i = 0; i < f->n; i++)
        if (!(f->v[i] > 0) || !isfinite(f->v[i])) return false;
    return true;
}

/* Scales of weights w multiplied by the factor / by; NULL when one leaves f32's range. */
static const xg_quant *scaled(xg_rw *r, const xg_tensor *w, const factor *f, double by) {
    uint32_t n = (uint32_t)(w->quant->n > 1 ? w->quant->n : f->n);
    float *scale = xg_newn(r->a, float, n);
    int32_t *zp = xg_newn(r->a, int32_t, n);
    if (w->quant->axis > 0 || (w->quant->n > 1 && f->n > 1 && w->quant->n != f->n)) return NULL;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = w->quant->n > 1 ? i : 0;
        scale[i] = (float)((double)w->quant->scale[k] * (double)f->v[f->n > 1 ? i : 0] / by);
        zp[i] = w->quant->zp[k];
        if (!(scale[i] > 0) || !isfinite(scale[i])) return NULL;
    }
    return xg_quant_new(r->a, n > 1 ? 0 : -1, n, scale, zp);
}

static uint32_t dequantised(xg_rw *r, uint32_t like, uint32_t in) {
    uint32_t n = xg_rw_add(r, XG_OP_Dequantize, like, &in, 1);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

/* Conv `ci` on the float tensor x (XG_NONE: Dequantize of its own input) with weights w under q, in
 * place of node. */
static bool replace_by(xg_rw *r, uint32_t node, uint32_t ci, uint32_t x, uint32_t w,
                       const xg_quant *q) {
    xg_tensor t = r->g->tensor.v[w];
    uint32_t out = xg_rw_out(r, node), in[2] = {x, XG_NONE};
    if (x == XG_NONE) in[0] = dequantised(r, ci, xg_nodep(r->g, ci)->in[0]);
    uint32_t again = xg_rw_const(r, t.name, t.dtype, t.rank, t.dim, t.data, q);
    r->g->tensor.v[again].onnx = t.onnx;
    in[1] = dequantised(r, ci, again);
    if (in[0] == XG_NONE || in[1] == XG_NONE) return false;
    uint32_t fresh = xg_rw_add(r, XG_OP_Conv, ci, in, 2);
    xg_rw_copy_attrs(r, ci, fresh);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_lo, INT32_MIN);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_hi, INT32_MAX);
    xg_rw_join(r, fresh, xg_nodep(r->g, node));
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* Mul(Cast(Conv), c) of integers. The result's integers times the input's scale sx stand for real
 * values under weights of scale 1, so the weights get c / sx. */
static bool integer_conv(xg_rw *r, uint32_t node, uint32_t value, uint32_t constant) {
    const xg_node *cast = xg_rw_made_by(r, value, XG_OP_Cast);
    const xg_node *conv = cast ? xg_rw_made_by(r, cast->in[0], XG_OP_Conv) : NULL;
    factor f;
    if (!conv || conv->nin != 2 || xg_out(r->g, conv, 0)->dtype != XG_I32) return false;
    const xg_tensor *x = xg_in(r->g, conv, 0), *w = xg_in(r->g, conv, 1),
                    *y = xg_out(r->g, conv, 0);
    if (!x->quant || !w->quant || !w->data || !y->quant ||
        !read_factor(r, constant, xg_out(r->g, conv, 0), &f))
        return false;
    for (uint32_t i = 0; i < w->quant->n; i++) /* as the importer makes it: the result is exact */
        if (x->quant->scale[0] * w->quant->scale[i] != y->quant->scale[0] || y->quant->zp[0])
            return false;
    const xg_quant *q = scaled(r, w, &f, (double)y->quant->scale[0]);
    return q && replace_by(r, node, r->g->tensor.v[cast->in[0]].producer, XG_NONE, conv->in[1], q);
}

/* Mul(Conv(x, Dequantize(w)), c) of floats. */
static bool float_conv(xg_rw *r, uint32_t node, uint32_t value, uint32_t constant) {
    const xg_node *conv = xg_rw_made_by(r, value, XG_OP_Conv);
    factor f;
    if (!conv || conv->nin != 2 || xg_rw_uses(r, value) != 1 ||
        xg_out(r->g, conv, 0)->dtype != XG_F32)
        return false;
    const xg_node *dq = xg_rw_made_by(r, conv->in[1], XG_OP_Dequantize);
    const xg_tensor *w = dq ? xg_in(r->g, dq, 0) : NULL;
    if (!w || !w->data || !read_factor(r, constant, xg_out(r->g, conv, 0), &f)) return false;
    const xg_quant *q = scaled(r, w, &f, 1);
    return q && replace_by(r, node, r->g->tensor.v[value].producer, conv->in[0], dq->in[0], q);
}

static bool scale_behind(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Mul || xg_out(r->g, n, 0)->dtype != XG_F32) return false;
    uint32_t in[2] = {n->in[0], n->in[1]};
    for (int k = 0; k < 2; k++)
        if (integer_conv(r, node, in[k], in[1 - k]) || float_conv(r, node, in[k], in[1 - k]))
            return true;
    return false;
}

xg_status xg_pass_integer_products(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){scale_behind, NULL});
}
