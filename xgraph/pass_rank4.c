#include "xgraph/pass.h"

#include <string.h>

static bool element_wise(uint32_t op) {
    return xg_op_is_unary(op) || xg_op_is_binary(op) || op == XG_OP_Lut;
}

/* [C] -> [1,1,1,C], [N,C] -> [N,1,1,C], [N,L,C] -> [N,1,L,C], more axes: the middle ones in one.
 * `rank` is the result's. */
static void four(const xg_tensor *t, uint32_t rank, int64_t dim[4]) {
    int64_t full[XG_RANK_MAX];
    for (uint32_t i = 0; i < rank; i++)
        full[i] = i + t->rank >= rank ? t->dim[i + t->rank - rank] : 1;
    dim[0] = rank > 1 ? full[0] : 1;
    dim[1] = 1;
    dim[2] = rank > 2 ? full[rank - 2] : 1;
    dim[3] = rank ? full[rank - 1] : 1;
    for (uint32_t i = 1; i + 2 < rank; i++) dim[1] *= full[i];
}

/* Merging middle axes is right for an operand that has all of them or none longer than 1. */
static bool middle_merges(const xg_tensor *t, const xg_tensor *y) {
    if (y->rank <= 4) return true;
    bool ones = true, whole = t->rank == y->rank;
    for (uint32_t i = 1; i + 2 < y->rank; i++) {
        int64_t d = i + t->rank >= y->rank ? t->dim[i + t->rank - y->rank] : 1;
        ones = ones && d == 1;
        whole = whole && d == y->dim[i];
    }
    return ones || whole;
}

static bool on_four_axes(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t nin = n->nin, data = xg_op_is_binary(n->op) ? 2 : 1, out = n->out[0], in[2];
    if (!element_wise(n->op) || y.dtype == XG_F32 || !y.quant || y.quant->axis >= 0) return false;
    bool done = y.rank == 4;
    for (uint32_t k = 0; k < data; k++) {
        const xg_tensor *t = xg_in(r->g, n, k);
        done = done && (t->rank == 4 || t->data);
        if (!middle_merges(t, &y) || (t->quant && t->quant->axis >= 0)) return false;
    }
    if (done) return false;
    for (uint32_t k = 0; k < nin; k++) {
        int64_t dim[4];
        in[k] = xg_nodep(r->g, node)->in[k];
        if (k >= data) continue;
        four(&r->g->tensor.v[in[k]], y.rank, dim);
        in[k] = r->g->tensor.v[in[k]].data ? xg_rw_reshaped(r, node, in[k], dim, 4)
                                           : xg_rw_reshape(r, node, in[k], dim, 4);
        if (in[k] == XG_NONE) return false;
    }
    uint32_t fresh = xg_rw_add(r, (xg_op)xg_nodep(r->g, node)->op, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    if (!xg_rw_infer(r, fresh)) return false;
    uint32_t t = xg_rw_reshape(r, node, xg_rw_out(r, fresh), y.dim, y.rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_rank4(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){on_four_axes, xg_rule_identity, NULL});
}
