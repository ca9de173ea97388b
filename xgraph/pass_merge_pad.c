#include "xgraph/pass.h"

#include <float.h>
#include <math.h>

/* Padding that a Pad of rows and columns adds to a window; false: it pads more, or too much. */
static bool add_pads(const xg_node *pad, xg_window *w) {
    const xg_attr *p = xg_attr_of(pad, XG_ATTR_pads);
    if (p->n != 8 || p->is[0] || p->is[3] || p->is[4] || p->is[7]) return false;
    int64_t most = 1 << 20;
    if (p->is[1] > most || p->is[2] > most || p->is[5] > most || p->is[6] > most) return false;
    w->pt += (int32_t)p->is[1];
    w->pl += (int32_t)p->is[2];
    w->pb += (int32_t)p->is[5];
    w->pr += (int32_t)p->is[6];
    return true;
}

/* The node again, with that window, reading what the Pad reads. */
static bool absorb(xg_rw *r, uint32_t node, const xg_node *pad, const xg_window *w) {
    const xg_node *n = xg_nodep(r->g, node);
    uint32_t in[3] = {pad->in[0], n->nin > 1 ? n->in[1] : XG_NONE, n->nin > 2 ? n->in[2] : XG_NONE},
             nin = n->nin, out = n->out[0];
    xg_op op = (xg_op)n->op;
    xg_tensor y = r->g->tensor.v[out];
    uint32_t fresh = xg_rw_add(r, op, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    xg_set_window(xg_nodep(r->g, fresh), w);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    xg_rw_join(r, fresh, pad);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* The lowest value that a float tensor can have, from what makes it. */
static float floor_of(const xg_rw *r, uint32_t t) {
    const xg_node *f = xg_rw_made_by(r, t, XG_OP_COUNT);
    while (f && f->op == XG_OP_MaxPool) f = xg_rw_made_by(r, f->in[0], XG_OP_COUNT);
    return f && f->op == XG_OP_Clip ? xg_af(f, XG_ATTR_min) : -INFINITY;
}

/* Pad in front of a float MaxPool with a value that no element is below: MaxPool's own padding,
 * which never wins. Every window must hold an element. */
static bool into_max_pool(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_MaxPool || xg_out(r->g, n, 0)->dtype != XG_F32) return false;
    const xg_node *pad = xg_rw_made_by(r, n->in[0], XG_OP_Pad);
    if (!pad || xg_ai(pad, XG_ATTR_mode) != 0) return false;
    if (!(xg_af(pad, XG_ATTR_value) <= fmaxf(floor_of(r, pad->in[0]), -FLT_MAX))) return false;
    xg_window w = xg_node_window(n);
    if (!add_pads(pad, &w) || w.dh != 1 || w.dw != 1) return false;
    if (w.pt >= w.kh || w.pb >= w.kh || w.pl >= w.kw || w.pr >= w.kw) return false;
    return absorb(r, node, pad, &w);
}

/* Pad of rows and columns with the value 0 in front of a Conv: the Conv pads itself (with the zero
 * point, which is 0). */
static bool into_conv(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Conv) return false;
    const xg_node *pad = xg_rw_made_by(r, n->in[0], XG_OP_Pad);
    if (!pad || xg_ai(pad, XG_ATTR_mode) != 0) return false;
    const xg_tensor *x =
        xg_in(r->g, pad, 0); /* integers are filled with an integer: 0 is the zero point */
    if (x->quant && x->quant->axis >= 0) return false;
    if (xg_af(pad, XG_ATTR_value) != (x->quant ? (float)x->quant->zp[0] : 0)) return false;
    xg_window w = xg_node_window(n);
    return add_pads(pad, &w) && absorb(r, node, pad, &w);
}

xg_status xg_pass_merge_pad(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){into_conv, into_max_pool, NULL});
}
