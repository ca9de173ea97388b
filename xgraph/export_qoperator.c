#include "xgraph/import.h"

#include "xgraph/export_onnx.h"

#include <string.h>

Xgonnx__ValueInfo *xg_ex_value_info(xg_export *e, const xg_tensor *t) {
    Xgonnx__ValueInfo *v = xg_new(e->arena, Xgonnx__ValueInfo);
    xgonnx__value_info__init(v);
    v->name = xg_strdup(e->arena, t->name);
    v->type = xg_new(e->arena, Xgonnx__Type);
    xgonnx__type__init(v->type);
    Xgonnx__TensorType *type = v->type->tensor_type = xg_new(e->arena, Xgonnx__TensorType);
    xgonnx__tensor_type__init(type);
    type->has_elem_type = 1;
    type->elem_type = xg_ex_type(t->dtype);
    type->shape = xg_new(e->arena, Xgonnx__TensorShape);
    xgonnx__tensor_shape__init(type->shape);
    type->shape->n_dim = t->rank;
    type->shape->dim = xg_newn(e->arena, Xgonnx__Dimension *, t->rank);
    for (uint32_t i = 0; i < t->rank; i++) {
        Xgonnx__Dimension *d = type->shape->dim[i] = xg_new(e->arena, Xgonnx__Dimension);
        xgonnx__dimension__init(d);
        d->has_dim_value = 1;
        d->dim_value = t->dim[i];
    }
    return v;
}

void xg_ex_init(xg_export *e, xg_ctx *c, xg_arena *a, const xg_graph *g) {
    *e = (xg_export){.ctx = c, .arena = a, .g = g, .taken = {.arena = a}, .opset = 13};
    for (int f = 0; f < 2; f++) e->name[f] = xg_newn(a, char *, g->tensor.n);
    e->scale = xg_newn(a, char *, g->tensor.n);
    e->zp = xg_newn(a, char *, g->tensor.n);
    for (uint32_t t = 0; t < g->tensor.n; t++) xg_map_set(&e->taken, g->tensor.v[t].name, 1);
    for (uint32_t i = 0; i < g->input.n; i++) xg_ex_write(e, g->input.v[i], XG_PLAIN);
}

static xg_status write_nodes(xg_export *e) {
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < e->g->node.n && st == XG_OK; i++)
        st = xg_export_node(e, xg_nodep(e->g, i));
    return st;
}

static bool is_wanted(const xg_tensor *t, bool all_outputs) {
    if (t->is_output) return true;
    return all_outputs && t->producer != XG_NONE && t->quant && t->dtype != XG_I32;
}

/* The graph's own outputs first, in their order. */
static xg_status write_outputs(xg_export *e, bool all_outputs, Xgonnx__Graph *to) {
    to->output = xg_newn(e->arena, Xgonnx__ValueInfo *, (size_t)e->g->tensor.n + 1);
    for (uint32_t pass = 0; pass < 2; pass++) {
        uint32_t n = pass == 0 ? e->g->output.n : e->g->tensor.n;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t t = pass == 0 ? e->g->output.v[i] : i;
            const xg_tensor *v = xg_tensorp(e->g, t);
            if (pass == 1 && (v->is_output || !is_wanted(v, all_outputs))) continue;
            if (v->producer == XG_NONE)
                return xg_error(e->ctx, XG_UNSUPPORTED, v->name,
                                "ONNX export: an output that no node computes");
            xg_ex_read(e, t, XG_PLAIN);
            to->output[to->n_output++] = xg_ex_value_info(e, v);
        }
    }
    return XG_OK;
}

void xg_ex_write_inputs(xg_export *e, Xgonnx__Graph *to) {
    to->input = xg_newn(e->arena, Xgonnx__ValueInfo *, e->g->input.n);
    for (uint32_t i = 0; i < e->g->input.n; i++)
        to->input[to->n_input++] = xg_ex_value_info(e, xg_tensorp(e->g, e->g->input.v[i]));
}

static Xgonnx__OperatorSetId *operator_set(xg_export *e, const char *domain, int64_t version) {
    Xgonnx__OperatorSetId *id = xg_new(e->arena, Xgonnx__OperatorSetId);
    xgonnx__operator_set_id__init(id);
    id->domain = xg_strdup(e->arena, domain);
    id->has_version = 1;
    id->version = version;
    return id;
}

xg_status xg_ex_pack(xg_export *e, Xgonnx__Graph *graph, bool microsoft, xg_buf *out) {
    Xgonnx__Model model;
    xgonnx__model__init(&model);
    Xgonnx__OperatorSetId *sets[2] = {operator_set(e, "", e->opset),
                                      operator_set(e, "com.microsoft", 1)};
    model.has_ir_version = 1;
    model.ir_version = e->opset < 21 ? 7 : 10; /* the ones of those opsets' times */
    model.producer_name = xg_strdup(e->arena, "xgc");
    model.graph = graph;
    graph->n_node = e->node.n;
    graph->node = e->node.v;
    graph->n_initializer = e->constant.n;
    graph->initializer = e->constant.v;
    model.n_opset_import = microsoft ? 2 : 1;
    model.opset_import = sets;
    size_t n = xgonnx__model__get_packed_size(&model);
    if (n > INT32_MAX)
        return xg_error(e->ctx, XG_LIMIT, "",
                        "an ONNX file above 2 GiB cannot be written without external data");
    uint8_t *bytes = xg_alloc(e->arena, n);
    xgonnx__model__pack(&model, bytes);
    xg_put(out, bytes, n);
    return XG_OK;
}

xg_status xg_export_qoperator(xg_ctx *c, const xg_graph *g, bool all_outputs, xg_buf *out) {
    xg_arena *scratch = xg_arena_new(c);
    xg_export e;
    xg_ex_init(&e, c, scratch, g);
    Xgonnx__Graph graph;
    xgonnx__graph__init(&graph);
    graph.name = xg_strdup(scratch, g->name && *g->name ? g->name : "xgc");
    xg_status st = write_nodes(&e);
    xg_ex_write_inputs(&e, &graph);
    if (st == XG_OK) st = write_outputs(&e, all_outputs, &graph);
    if (st == XG_OK) st = xg_ex_pack(&e, &graph, true, out);
    xg_arena_free(scratch);
    return st;
}
