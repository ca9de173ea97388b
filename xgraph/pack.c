#include "xgraph/pack.h"

#include <string.h>

static ProtobufCBinaryData bytes_of(const char *s) {
    ProtobufCBinaryData b = {.len = s ? strlen(s) : 0, .data = (uint8_t *)(uintptr_t)s};
    return b;
}

static Xgraph__Quant *pack_quant(xg_arena *a, const xg_quant *q) {
    Xgraph__Quant *m = xg_new(a, Xgraph__Quant);
    xgraph__quant__init(m);
    m->axis = q->axis;
    m->n_scale = m->n_zp = q->n;
    m->scale = (float *)(uintptr_t)q->scale;
    m->zp = (int32_t *)(uintptr_t)q->zp;
    return m;
}

static Xgraph__Tensor *pack_tensor(xg_arena *a, const xg_tensor *t) {
    Xgraph__Tensor *m = xg_new(a, Xgraph__Tensor);
    xgraph__tensor__init(m);
    m->name = bytes_of(t->name);
    m->onnx = bytes_of(t->onnx);
    m->dtype = bytes_of(xg_dtype_name(t->dtype));
    m->n_dim = t->rank;
    m->dim = (int64_t *)(uintptr_t)t->dim;
    if (t->quant) m->quant = pack_quant(a, t->quant);
    if (t->data) {
        m->data.len = (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype);
        m->data.data = (uint8_t *)(uintptr_t)t->data;
    }
    return m;
}

static Xgraph__Attr *pack_attr(xg_arena *a, const xg_attr *v, const xg_attr_desc *d) {
    Xgraph__Attr *m = xg_new(a, Xgraph__Attr);
    xgraph__attr__init(m);
    m->name = bytes_of(d->name);
    switch (d->kind) {
    case XG_INT:
    case XG_INTS:
        m->n_i = d->kind == XG_INT ? 1 : v->n;
        m->i = (int64_t *)(uintptr_t)(d->kind == XG_INT ? &v->i : v->is);
        break;
    case XG_FLOAT:
    case XG_FLOATS:
        m->n_f = d->kind == XG_FLOAT ? 1 : v->n;
        m->f = (float *)(uintptr_t)(d->kind == XG_FLOAT ? &v->f : v->fs);
        break;
    }
    return m;
}

static Xgraph__Node *pack_node(xg_arena *a, const xg_node *n) {
    const xg_op_desc *d = &xg_ops[n->op];
    Xgraph__Node *m = xg_new(a, Xgraph__Node);
    xgraph__node__init(m);
    m->op = bytes_of(d->name);
    m->name = bytes_of(n->name);
    m->onnx = bytes_of(n->onnx);
    m->n_in = n->nin;
    m->in = n->in;
    m->n_out = n->nout;
    m->out = n->out;
    m->attr = xg_newn(a, Xgraph__Attr *, d->nattr);
    for (uint32_t i = 0; i < d->nattr; i++)
        if (!xg_attr_is_default(&n->attr[i], (xg_attr_id)d->attr[i]))
            m->attr[m->n_attr++] = pack_attr(a, &n->attr[i], &xg_attrs[d->attr[i]]);
    return m;
}

static void pack_graph(xg_arena *a, const xg_graph *g, Xgraph__Graph *m) {
    xgraph__graph__init(m);
    m->magic = XG_PACK_MAGIC;
    m->name = bytes_of(g->name);
    m->n_tensor = g->tensor.n;
    m->tensor = xg_newn(a, Xgraph__Tensor *, g->tensor.n);
    for (uint32_t i = 0; i < g->tensor.n; i++) m->tensor[i] = pack_tensor(a, &g->tensor.v[i]);
    m->n_node = g->node.n;
    m->node = xg_newn(a, Xgraph__Node *, g->node.n);
    for (uint32_t i = 0; i < g->node.n; i++) m->node[i] = pack_node(a, &g->node.v[i]);
    m->n_input = g->input.n;
    m->input = g->input.v;
    m->n_output = g->output.n;
    m->output = g->output.v;
    m->n_log = g->log.n;
    m->log = xg_newn(a, ProtobufCBinaryData, g->log.n);
    for (uint32_t i = 0; i < g->log.n; i++) m->log[i] = bytes_of(g->log.v[i]);
}

xg_status xg_graph_pack(xg_ctx *c, const xg_graph *g, xg_buf *out) {
    xg_arena *scratch = xg_arena_new(c);
    Xgraph__Graph m;
    pack_graph(scratch, g, &m);
    size_t size = xgraph__graph__get_packed_size(&m);
    if (size > XG_PACK_BYTES_MAX) {
        xg_arena_free(scratch);
        return xg_error(c, XG_LIMIT, "graph",
                        "%zu bytes, the binary form of a graph holds at most %d", size,
                        XG_PACK_BYTES_MAX);
    }
    xgraph__graph__pack(&m, xg_put_room(out, size)); /* one exact allocation: mostly weights */
    xg_arena_free(scratch);
    return XG_OK;
}
