#include "xgraph/pass.h"

/* ReduceMean over axes 1 and 2 of four axes, or axis 1 of three ([N,L,C] as [N,1,L,C]). */
static bool to_pool(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_ReduceMean) return false;
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    const xg_tensor *x = xg_in(r->g, n, 0);
    bool map = x->rank == 4 && axes->n == 2 && axes->is[0] + axes->is[1] == 3 &&
               axes->is[0] * axes->is[1] == 2;
    bool line = x->rank == 3 && axes->n == 1 && axes->is[0] == 1;
    if (!map && !line) return false;
    int64_t dim[4] = {x->dim[0], map ? x->dim[1] : 1, x->dim[x->rank - 2], x->dim[x->rank - 1]};
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t out = n->out[0], in = xg_rw_reshape(r, node, n->in[0], dim, 4);
    if (in == XG_NONE) return false;
    uint32_t pool = xg_rw_add(r, XG_OP_AvgPool, node, &in, 1);
    xg_set_ai(xg_nodep(r->g, pool), XG_ATTR_kernel_h, dim[1]);
    xg_set_ai(xg_nodep(r->g, pool), XG_ATTR_kernel_w, dim[2]);
    xg_rw_set_out(r, pool, y.dtype, y.quant);
    if (!xg_rw_infer(r, pool)) return false;
    uint32_t t = xg_rw_reshape(r, node, xg_rw_out(r, pool), y.dim, y.rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_pool_reduce(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){to_pool, xg_rule_identity, xg_rule_sink, NULL});
}
