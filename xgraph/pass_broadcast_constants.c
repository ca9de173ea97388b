#include "xgraph/pass.h"

#include <string.h>

/* A constant operand of one value or one for each channel, spread to [1,1,1,C]. The operands keep
 * their places: ORT's addition is not symmetric in its roundings. */
static bool spread(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if ((n->op != XG_OP_Add && n->op != XG_OP_Mul) || !xg_dtype_is_int8(xg_out(r->g, n, 0)->dtype))
        return false;
    const xg_tensor *y = xg_out(r->g, n, 0);
    if (y->rank != 4) return false;
    for (uint32_t k = 0; k < 2; k++) {
        const xg_tensor *t = xg_in(r->g, n, k);
        int64_t elems = xg_tensor_elems(t), channels = y->dim[3], dim[4] = {1, 1, 1, channels};
        if (!t->data || (elems != 1 && (elems != channels || t->dim[t->rank - 1] != channels)))
            continue;
        if (t->rank == 4 && t->dim[3] == channels) continue;
        uint8_t *data = xg_alloc(r->a, (size_t)channels);
        for (int64_t i = 0; i < channels; i++)
            data[i] = ((const uint8_t *)t->data)[elems == 1 ? 0 : i];
        uint32_t in[2] = {n->in[0], n->in[1]}, out = n->out[0];
        in[k] = xg_rw_const(r, t->name, t->dtype, 4, dim, data, t->quant);
        xg_tensor old = r->g->tensor.v[out];
        uint32_t fresh = xg_rw_add(r, (xg_op)xg_nodep(r->g, node)->op, node, in, 2);
        xg_rw_copy_attrs(r, node, fresh);
        xg_rw_set_out(r, fresh, old.dtype, old.quant);
        return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
    }
    return false;
}

xg_status xg_pass_broadcast_constants(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){spread, NULL});
}
