#include "xgraph/interp.h"

#include "xgraph/fast.h"
#include "xgraph/kernel.h"

#include <string.h>

static const xg_kernel_fn kernels[XG_OP_COUNT] = {
#define ATTR(...)
#define OP(name, ...) [XG_OP_##name] = xg_kernel_##name,
#include "xgraph/ops.def"
};

void xg_values_init(xg_values *v, const xg_graph *g, xg_arena *a) {
    *v = (xg_values){.graph = g, .arena = a, .v = xg_newn(a, void *, g->tensor.n)};
    for (uint32_t t = 0; t < g->tensor.n; t++) v->v[t] = (void *)(uintptr_t)xg_tensorp(g, t)->data;
}

void *xg_values_get(xg_values *v, uint32_t tensor) {
    const xg_tensor *t = xg_tensorp(v->graph, tensor);
    if (!v->v[tensor])
        v->v[tensor] =
            xg_alloc_array(v->arena, (size_t)xg_tensor_elems(t), xg_dtype_bytes(t->dtype));
    return v->v[tensor];
}

xg_status xg_interp_node(xg_ctx *c, xg_values *v, uint32_t node, const xg_rqrec *record) {
    const xg_node *n = xg_nodep(v->graph, node);
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != XG_NONE && !v->v[n->in[i]])
            return xg_node_error(c, n, XG_INPUT, "input tensor '%s' has no value",
                                 xg_in(v->graph, n, i)->name);
    xg_rqrec ort;
    if (!record) {
        if (!xg_rqrec_profile("ort", &ort))
            return xg_node_error(c, n, XG_INTERNAL, "no profile 'ort'");
        record = &ort;
    }
    for (uint32_t i = 0; i < n->nout; i++) xg_values_get(v, n->out[i]);
    xg_arena *scratch = xg_arena_new(c);
    xg_kernel k = {
        .ctx = c, .values = v, .graph = v->graph, .node = n, .record = record, .scratch = scratch};
    xg_status st = XG_OK;
    if (v->mode == XG_VALUES_LITERAL || !xg_fast_node(&k))
        st = xg_kernel_is_wide(&k) ? xg_kernel_wide(&k) : kernels[n->op](&k);
    xg_arena_free(scratch);
    return st;
}

xg_status xg_interp_run(xg_ctx *c, xg_values *v, const xg_rqrec *record) {
    for (uint32_t i = 0; i < v->graph->node.n; i++) {
        xg_status st = xg_interp_node(c, v, i, record);
        if (st) return st;
    }
    return XG_OK;
}
