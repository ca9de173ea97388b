#include "xgraph/pass.h"

#include "xgraph/const_eval.h"
#include "xgraph/interp.h"

#include <string.h>

/* The value by the interpreter, for operators that const_eval does not know. */
static void *interpret(xg_rw *r, uint32_t node) {
    xg_values v;
    xg_values_init(&v, r->g, r->tmp);
    if (xg_interp_node(r->c, &v, node, NULL)) return NULL;
    const xg_tensor *y = xg_out(r->g, xg_nodep(r->g, node), 0);
    size_t bytes = (size_t)xg_tensor_elems(y) * xg_dtype_bytes(y->dtype);
    return xg_memdup(r->a, xg_values_get(&v, xg_rw_out(r, node)), bytes);
}

static bool fold(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    const xg_tensor *y = xg_out(r->g, n, 0);
    /* Dequantize of weights is how a model says that they are integers: it stays for absorb_qdq. */
    if (n->op == XG_OP_Dequantize || y->is_output || !xg_const_inputs(r->g, n)) return false;
    void *data = xg_const_eval(r->a, r->g, n);
    if (!data && !y->quant) data = interpret(r, node);
    if (!data) return false;
    uint32_t t = xg_rw_const(r, y->name, y->dtype, y->rank, y->dim, data, y->quant);
    return xg_rw_replace(r, xg_rw_out(r, node), t);
}

xg_status xg_pass_fold_constants(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){fold, NULL});
}
