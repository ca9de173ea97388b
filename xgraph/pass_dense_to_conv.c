#include "xgraph/pass.h"

#include <string.h>

static const int64_t swap[2] = {1, 0};

/* Shape of the left operand as a map: [M,K] -> [M,1,1,K], [B,L,K] -> [B,1,L,K], more axes: the
 * middle ones in one. */
static void as_map(const xg_tensor *a, int64_t dim[4]) {
    uint32_t r = a->rank;
    dim[0] = a->dim[0];
    dim[1] = 1;
    dim[2] = r > 2 ? a->dim[r - 2] : 1;
    dim[3] = a->dim[r - 1];
    for (uint32_t i = 1; i + 2 < r; i++) dim[1] *= a->dim[i];
}

/* MatMul(x, W) with constant W [K,N] -> Reshape, Conv with weights [N,1,1,K], Reshape. */
static bool to_conv(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_MatMul || !xg_rw_const_like(r, n->in[1]) || xg_rw_const_like(r, n->in[0]))
        return false;
    const xg_tensor *w = xg_in(r->g, n, 1), *y = xg_out(r->g, n, 0);
    uint32_t in[2] = {n->in[0], n->in[1]}, out = n->out[0], rank = y->rank;
    int64_t dim[4], kernel[4], back[XG_RANK_MAX],
        flat[2] = {w->dim[w->rank - 2], w->dim[w->rank - 1]};
    if (xg_tensor_elems(w) != flat[0] * flat[1] || rank != xg_in(r->g, n, 0)->rank) return false;
    as_map(xg_in(r->g, n, 0), dim);
    memcpy(back, y->dim, sizeof back);
    kernel[0] = flat[1], kernel[1] = kernel[2] = 1, kernel[3] = flat[0];
    xg_dtype dtype = y->dtype;
    const xg_quant *q = y->quant;
    if (w->rank > 2) in[1] = xg_rw_reshaped(r, node, in[1], flat, 2);
    if (in[1] != XG_NONE) in[1] = xg_rw_permuted(r, node, in[1], swap);
    if (in[1] != XG_NONE) in[1] = xg_rw_reshaped(r, node, in[1], kernel, 4);
    if (in[1] == XG_NONE) return false;
    in[0] = xg_rw_reshape(r, node, in[0], dim, 4);
    if (in[0] == XG_NONE) return false;
    uint32_t conv = xg_rw_add(r, XG_OP_Conv, node, in, 2);
    xg_rw_copy_attrs(r, node, conv);
    xg_rw_set_out(r, conv, dtype, q);
    if (!xg_rw_infer(r, conv)) return false;
    uint32_t t = xg_rw_reshape(r, node, xg_rw_out(r, conv), back, rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_dense_to_conv(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){to_conv, NULL});
}
