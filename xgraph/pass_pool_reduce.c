#include "xgraph/pass.h"

/* ReduceMean, ReduceMax, or (f32) ReduceSum as the mean times the elements, over axes 1 and 2 of
 * four axes (NHWC), 2 and 3 (a map that stayed NCHW), or axis 1 of three ([N,L,C] as [N,1,L,C]):
 * one pool. */
typedef enum lie { NO_MAP, NHWC, NCHW, LINE } lie;

static lie how_it_lies(const xg_tensor *x, const xg_attr *axes) {
    if (x->rank == 3 && axes->n == 1 && axes->is[0] == 1) return LINE;
    if (x->rank != 4 || axes->n != 2) return NO_MAP;
    int64_t a = xg_min(axes->is[0], axes->is[1]), b = xg_max(axes->is[0], axes->is[1]);
    return a == 1 && b == 2 ? NHWC : a == 2 && b == 3 ? NCHW : NO_MAP;
}

/* line [N,HW,C] is the map [N,H,W,C]. */
static bool is_flattened(const xg_tensor *map, const xg_tensor *line) {
    return map->rank == 4 && map->dim[0] == line->dim[0] && map->dim[3] == line->dim[2];
}

static int64_t window_elems(const xg_rw *r, uint32_t pool) {
    const xg_node *n = xg_nodep(r->g, pool);
    return xg_ai(n, XG_ATTR_kernel_h) * xg_ai(n, XG_ATTR_kernel_w);
}

static uint32_t times(xg_rw *r, uint32_t like, uint32_t x, float factor) {
    float *data = xg_memdup(r->a, &factor, sizeof factor);
    const char *name = xg_strf(r->tmp, "%s.elements", r->g->tensor.v[x].name);
    uint32_t in[2] = {x, xg_rw_const(r, name, XG_F32, 0, NULL, data, NULL)};
    uint32_t n = xg_rw_add(r, XG_OP_Mul, like, in, 2);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

static bool to_pool(xg_rw *r, uint32_t node) {
    static const int64_t to_nhwc[4] = {0, 2, 3, 1};
    const xg_node *n = xg_nodep(r->g, node);
    const xg_tensor *x = xg_in(r->g, n, 0);
    bool sum = n->op == XG_OP_ReduceSum && x->dtype == XG_F32;
    if (n->op != XG_OP_ReduceMean && n->op != XG_OP_ReduceMax && !sum) return false;
    xg_op kind = n->op == XG_OP_ReduceMax ? XG_OP_MaxPool : XG_OP_AvgPool;
    lie how = how_it_lies(x, xg_attr_of(n, XG_ATTR_axes));
    if (how == NO_MAP) return false;
    int64_t line[4] = {x->dim[0], 1, x->dim[1], x->dim[2]};
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t out = n->out[0], in = n->in[0];
    const xg_node *flat = xg_rw_made_by(r, in, XG_OP_Reshape);
    if (how == LINE && flat && is_flattened(xg_in(r->g, flat, 0), x))
        in = flat->in[0];
    else if (how == LINE)
        in = xg_rw_reshape(r, node, in, line, 4);
    if (how == NCHW) in = xg_rw_transpose(r, node, in, to_nhwc);
    if (in == XG_NONE) return false;
    uint32_t pool = xg_rw_add(r, kind, node, &in, 1);
    xg_rw_copy_attrs(r, node, pool);
    xg_set_ai(xg_nodep(r->g, pool), XG_ATTR_kernel_h, r->g->tensor.v[in].dim[1]);
    xg_set_ai(xg_nodep(r->g, pool), XG_ATTR_kernel_w, r->g->tensor.v[in].dim[2]);
    xg_rw_set_out(r, pool, y.dtype, y.quant);
    if (!xg_rw_infer(r, pool)) return false;
    /* One pixel for each image and channel: the same elements in the same order, whatever the axes.
     */
    uint32_t t = xg_rw_reshape(r, node, xg_rw_out(r, pool), y.dim, y.rank);
    if (t != XG_NONE && sum) t = times(r, node, t, (float)window_elems(r, pool));
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_pool_reduce(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){to_pool, xg_rule_identity, xg_rule_sink, NULL});
}
