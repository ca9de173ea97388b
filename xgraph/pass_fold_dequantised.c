#include "xgraph/pass.h"

#include "xgraph/const_eval.h"

/* What absorb_qdq left: a float operator reads a dequantised constant. */
static bool to_float(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Dequantize || !xg_const_inputs(r->g, n) || xg_out(r->g, n, 0)->is_output)
        return false;
    const xg_tensor *q = xg_in(r->g, n, 0), *y = xg_out(r->g, n, 0);
    int64_t count = xg_tensor_elems(q), inner = 1;
    for (int64_t i = q->quant->axis + 1; q->quant->axis >= 0 && i < q->rank; i++)
        inner *= q->dim[i];
    float *data = xg_alloc_array(r->a, (size_t)count, sizeof *data);
    for (int64_t i = 0; i < count; i++) {
        int64_t k = q->quant->axis < 0 ? 0 : i / inner % q->quant->n;
        data[i] =
            xg_dequantize_f32((int32_t)xg_const_int(q, i), q->quant->scale[k], q->quant->zp[k]);
    }
    uint32_t t = xg_rw_const(r, y->name, XG_F32, y->rank, y->dim, data, NULL);
    return xg_rw_replace(r, xg_rw_out(r, node), t);
}

xg_status xg_pass_fold_dequantised(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(c, g, p, (const xg_rule_fn[]){to_float, NULL});
    if (!st) st = xg_pass_fold_constants(c, g, p);
    return st ? st : xg_pass_fold_batchnorm(c, g, p);
}
