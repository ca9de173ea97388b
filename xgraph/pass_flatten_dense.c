#include "xgraph/pass.h"

#include <string.h>

enum { KERNEL_MAX = 16 };

/* A vector is no map, on whichever axis it lies. */
static bool is_vector(const xg_tensor *t) {
    return (t->dim[1] > 1) + (t->dim[2] > 1) + (t->dim[3] > 1) <= 1;
}

/* Conv 1x1 on [N,1,1,K] whose input is a flattened map: a Conv with the map's size as kernel; where
 * that is more than machines have, the map flattened as it lies, [N,1,1,HWC]. The map is flattened
 * from NHWC, or from NCHW (a Transpose stands before the Reshape). */
static bool cover_map(xg_rw *r, uint32_t node) {
    static const int64_t chw_to_hwc[4] = {0, 2, 3, 1}, nchw[4] = {0, 3, 1, 2};
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Conv || xg_ai(n, XG_ATTR_group) != 1) return false;
    const xg_tensor *x = xg_in(r->g, n, 0), *w = xg_in(r->g, n, 1);
    const xg_node *shape = xg_rw_made_by(r, n->in[0], XG_OP_Reshape);
    if (!shape || x->dim[1] != 1 || x->dim[2] != 1 || w->dim[1] != 1 || w->dim[2] != 1)
        return false;
    uint32_t map = shape->in[0], in[3] = {map, n->in[1], n->nin > 2 ? n->in[2] : XG_NONE},
             nin = n->nin;
    const xg_node *turn = xg_rw_made_by(r, map, XG_OP_Transpose);
    bool turned = turn && xg_attr_of(turn, XG_ATTR_perm)->n == 4 &&
                  !memcmp(xg_attr_of(turn, XG_ATTR_perm)->is, nchw, sizeof nchw);
    if (turned) in[0] = turn->in[0];
    xg_tensor m = r->g->tensor.v[in[0]];
    if (m.rank != 4 || m.dim[0] != x->dim[0] || is_vector(&m) || !xg_rw_const_like(r, in[1]))
        return false;
    bool large = xg_max(m.dim[1], m.dim[2]) > KERNEL_MAX;
    if (large && !turned) return false;
    int64_t whole[4] = {m.dim[0], 1, 1, x->dim[3]}, row[4] = {w->dim[0], 1, 1, x->dim[3]};
    int64_t chw[4] = {w->dim[0], m.dim[3], m.dim[1], m.dim[2]},
            hwc[4] = {w->dim[0], m.dim[1], m.dim[2], m.dim[3]};
    in[1] = xg_rw_reshaped(r, node, in[1], turned ? chw : hwc, 4);
    if (in[1] != XG_NONE && turned) in[1] = xg_rw_permuted(r, node, in[1], chw_to_hwc);
    if (in[1] != XG_NONE && large) in[1] = xg_rw_reshaped(r, node, in[1], row, 4);
    if (in[1] != XG_NONE && large) in[0] = xg_rw_reshape(r, node, in[0], whole, 4);
    if (in[0] == XG_NONE || in[1] == XG_NONE) return false;
    uint32_t out = xg_rw_out(r, node), fresh = xg_rw_add(r, XG_OP_Conv, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_kernel_h, large ? 1 : m.dim[1]);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_kernel_w, large ? 1 : m.dim[2]);
    xg_rw_set_out(r, fresh, r->g->tensor.v[out].dtype, r->g->tensor.v[out].quant);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

xg_status xg_pass_flatten_dense(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){cover_map, xg_rule_identity, NULL});
}
