#include "xgraph/pass.h"

static bool of_node(void *arg, float v, float *y) {
    const xg_node *n = arg;
    if (n->op != XG_OP_Requantize) return xg_unary_value(n, v, y) && *y == *y;
    *y = v;
    return true;
}

/* Requantize i8 -> i8 and integer Sigmoid, LeakyRelu ...: Q(f(DQ(q))) for all 256 integers. A
 * Requantize between u8 and i8 at the graph's border stays: it is the host's. */
static bool to_table(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    bool clip = n->op == XG_OP_Clip;
    if (clip || (n->op != XG_OP_Requantize && !xg_op_is_unary(n->op))) return false;
    xg_tensor x = *xg_in(r->g, n, 0), y = *xg_out(r->g, n, 0);
    if (x.dtype != XG_I8 || y.dtype != XG_I8 || !x.quant || x.quant->axis >= 0 ||
        y.quant->axis >= 0)
        return false;
    uint32_t out = n->out[0],
             in[2] = {n->in[0], xg_rw_table(r, &x, &y, of_node, xg_nodep(r->g, node))};
    if (in[1] == XG_NONE) return false;
    uint32_t fresh = xg_rw_add(r, XG_OP_Lut, node, in, 2);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* Table of a table that nothing else reads: one table. */
static bool merge(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Lut) return false;
    const xg_node *first = xg_rw_made_by(r, n->in[0], XG_OP_Lut);
    if (!first || xg_rw_uses(r, n->in[0]) != 1) return false;
    xg_tensor y = *xg_out(r->g, n, 0);
    const uint8_t *a = xg_in(r->g, first, 1)->data, *b = xg_in(r->g, n, 1)->data;
    int32_t offset = xg_out(r->g, first, 0)->dtype == XG_I8 ? 128 : 0;
    uint8_t *table = xg_alloc(r->a, 256);
    for (int i = 0; i < 256; i++) table[i] = b[offset ? (uint8_t)(a[i] + 128) : a[i]];
    const int64_t dim[1] = {256};
    uint32_t out = n->out[0], in[2] = {first->in[0], xg_rw_const(r, xg_in(r->g, n, 1)->name,
                                                                 y.dtype, 1, dim, table, NULL)};
    uint32_t fresh = xg_rw_add(r, XG_OP_Lut, node, in, 2);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    xg_rw_join(r, fresh, first);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

xg_status xg_pass_lower_tables(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(c, g, p, (const xg_rule_fn[]){to_table, merge, NULL});
    if (!st) st = xg_pass_fold_constants(c, g, p);
    return st ? st : xg_pass_remove_identity(c, g, p);
}
