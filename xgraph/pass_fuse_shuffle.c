#include "xgraph/pass.h"

#include <string.h>

/* Reshape [N,C,..] -> [N,g,C/g,..], Transpose of axes 1 and 2, Reshape back: channel c of the
 * result is channel c % g * (C/g) + c / g of the input. */
static bool to_gather(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Reshape) return false;
    const xg_node *turn = xg_rw_made_by(r, n->in[0], XG_OP_Transpose);
    const xg_node *cut = turn ? xg_rw_made_by(r, turn->in[0], XG_OP_Reshape) : NULL;
    if (!cut) return false;
    const xg_tensor *x = xg_in(r->g, cut, 0), *c = xg_out(r->g, cut, 0), *y = xg_out(r->g, n, 0);
    const xg_attr *perm = xg_attr_of(turn, XG_ATTR_perm);
    if (x->rank < 2 || x->rank != y->rank || memcmp(x->dim, y->dim, x->rank * sizeof *x->dim))
        return false;
    if (c->rank < 3 || c->dim[0] != x->dim[0] || c->dim[1] * c->dim[2] != x->dim[1]) return false;
    for (uint32_t i = 0; i < perm->n; i++)
        if (perm->is[i] != (i == 1 ? 2 : i == 2 ? 1 : (int64_t)i)) return false;
    int64_t groups = c->dim[1], each = c->dim[2], channels = x->dim[1];
    int64_t *index = xg_newn(r->a, int64_t, (size_t)channels);
    for (int64_t i = 0; i < channels; i++) index[i] = i % groups * each + i / groups;
    uint32_t out = n->out[0], in[2] = {cut->in[0], XG_NONE};
    xg_tensor result = *y;
    in[1] =
        xg_rw_const(r, xg_strf(r->tmp, "%s.channels", y->name), XG_I64, 1, &channels, index, NULL);
    uint32_t fresh = xg_rw_add(r, XG_OP_Gather, node, in, 2);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_axis, 1);
    xg_rw_set_out(r, fresh, result.dtype, result.quant);
    xg_rw_join(r, fresh, turn);
    xg_rw_join(r, fresh, cut);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

static int64_t index_at(const xg_tensor *t, int64_t i) {
    return t->dtype == XG_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}

/* Gather of indices that are evenly apart: a Slice, and where the index is a scalar a Reshape. */
static bool to_slice(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Gather) return false;
    const xg_tensor *x = xg_in(r->g, n, 0), *index = xg_in(r->g, n, 1);
    if (!index->data || index->rank > 1 || (x->quant && x->quant->axis >= 0)) return false;
    int64_t axis = xg_ai(n, XG_ATTR_axis), count = xg_tensor_elems(index);
    int64_t step = count > 1 ? index_at(index, 1) - index_at(index, 0) : 1;
    if (step < 1) return false;
    for (int64_t i = 1; i < count; i++)
        if (index_at(index, i) - index_at(index, i - 1) != step) return false;
    int64_t start[XG_RANK_MAX] = {0}, steps[XG_RANK_MAX], dim[XG_RANK_MAX];
    uint32_t rank = x->rank, out = n->out[0], in = n->in[0];
    for (uint32_t i = 0; i < rank; i++) steps[i] = 1, dim[i] = x->dim[i];
    start[axis] = index_at(index, 0);
    steps[axis] = step;
    dim[axis] = count;
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t fresh = xg_rw_add(r, XG_OP_Slice, node, &in, 1);
    xg_set_ais(r->g, xg_nodep(r->g, fresh), XG_ATTR_starts, start, rank);
    xg_set_ais(r->g, xg_nodep(r->g, fresh), XG_ATTR_steps, steps, rank);
    xg_set_ais(r->g, xg_nodep(r->g, fresh), XG_ATTR_shape, dim, rank);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    if (!xg_rw_infer(r, fresh)) return false;
    uint32_t t = xg_rw_reshape(r, node, xg_rw_out(r, fresh), y.dim, y.rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_fuse_shuffle(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){to_gather, to_slice, NULL});
}
