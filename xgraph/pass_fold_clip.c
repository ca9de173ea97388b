#include "xgraph/pass.h"

/* An integer Clip whose input nothing else reads: the producer's bounds take it. */
static bool into_producer(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Clip || xg_out(r->g, n, 0)->dtype == XG_F32 || xg_rw_uses(r, n->in[0]) != 1)
        return false;
    const xg_node *f = xg_rw_made_by(r, n->in[0], XG_OP_COUNT);
    if (!f || !xg_has_attr(f, XG_ATTR_lo)) return false;
    int64_t lo = xg_ai(n, XG_ATTR_lo), hi = xg_ai(n, XG_ATTR_hi);
    int64_t inner_lo = xg_clamp(xg_ai(f, XG_ATTR_lo), lo, hi),
            inner_hi = xg_clamp(xg_ai(f, XG_ATTR_hi), lo, hi);
    uint32_t fi = r->g->tensor.v[n->in[0]].producer, out = n->out[0];
    xg_tensor y = r->g->tensor.v[out];
    uint32_t fresh = xg_rw_add(r, (xg_op)f->op, fi, f->in, f->nin);
    xg_rw_copy_attrs(r, fi, fresh);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_lo, inner_lo);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_hi, inner_hi);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    xg_rw_join(r, fresh, n);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

xg_status xg_pass_fold_clip(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){into_producer, xg_rule_identity, NULL});
}
