/* What converters read nodes and build the graph with. */
#include "xgraph/onnx_import.h"

#include "xgraph/const_eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- refusing ---- */

static xg_status tell(xg_onnx *x, xg_status st, const char *fmt, va_list ap) {
    char line[512];
    vsnprintf(line, sizeof line, fmt, ap);
    return xg_error(x->c, st, x->where, "%s", line);
}

xg_status xg_ox_refuse(xg_onnx *x, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    xg_status st = tell(x, XG_UNSUPPORTED, fmt, ap);
    va_end(ap);
    return st;
}

xg_status xg_ox_bad(xg_onnx *x, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    xg_status st = tell(x, XG_INPUT, fmt, ap);
    va_end(ap);
    return st;
}

void xg_ox_log(xg_onnx *x, const char *fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    xg_push(x->a, &x->g->log, xg_strdup(x->a, line));
}

/* ---- attributes ---- */

const Xgonnx__Attribute *xg_ox_attr(const xg_onnx *x, const char *name) {
    for (size_t i = 0; i < x->node->n_attribute; i++) {
        const Xgonnx__Attribute *a = x->node->attribute[i];
        if (a->name && !strcmp(a->name, name)) return a;
    }
    return NULL;
}

int64_t xg_ox_int(const xg_onnx *x, const char *name, int64_t none) {
    const Xgonnx__Attribute *a = xg_ox_attr(x, name);
    return a && a->has_i ? a->i : none;
}

float xg_ox_float(const xg_onnx *x, const char *name, float none) {
    const Xgonnx__Attribute *a = xg_ox_attr(x, name);
    return a && a->has_f ? a->f : none;
}

const char *xg_ox_str(const xg_onnx *x, const char *name) {
    const Xgonnx__Attribute *a = xg_ox_attr(x, name);
    return a && a->has_s && a->s.len ? xg_strndup(x->a, (const char *)a->s.data, a->s.len) : "";
}

const int64_t *xg_ox_ints(const xg_onnx *x, const char *name, uint32_t *n) {
    const Xgonnx__Attribute *a = xg_ox_attr(x, name);
    *n = a ? (uint32_t)a->n_ints : 0;
    return a ? a->ints : NULL;
}

/* ---- inputs and outputs ---- */

uint32_t xg_ox_in(const xg_onnx *x, uint32_t i) {
    if (i >= x->node->n_input || !*x->node->input[i]) return XG_NONE;
    return x->value.v[xg_map_get(&x->index, x->node->input[i])].tensor;
}

xg_tensor *xg_ox_tensor(const xg_onnx *x, uint32_t tensor) {
    return &x->g->tensor.v[tensor];
}

bool xg_ox_wants(const xg_onnx *x, uint32_t i) {
    return i < x->node->n_output && *x->node->output[i];
}

bool xg_ox_is_read(const xg_onnx *x, uint32_t i) {
    const Xgonnx__Graph *g = x->file->model->graph;
    if (!xg_ox_wants(x, i)) return false;
    const char *name = x->node->output[i];
    for (size_t k = 0; k < g->n_output; k++)
        if (!strcmp(g->output[k]->name, name)) return true;
    for (size_t k = 0; k < g->n_node; k++)
        for (size_t j = 0; j < g->node[k]->n_input; j++)
            if (!strcmp(g->node[k]->input[j], name)) return true;
    return false;
}

xg_status xg_ox_const_ints(xg_onnx *x, uint32_t i, const char *what, const int64_t **v,
                           uint32_t *n) {
    uint32_t in = xg_ox_in(x, i);
    *v = NULL;
    *n = 0;
    if (in == XG_NONE) return XG_OK;
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (!t->data) return xg_ox_refuse(x, "%s ('%s') must be constant", what, t->name);
    if (t->dtype == XG_F32) return xg_ox_bad(x, "%s ('%s') must be integers", what, t->name);
    int64_t count = xg_tensor_elems(t);
    if (count > 1 << 20)
        return xg_ox_bad(x, "%s ('%s') has %lld values", what, t->name, (long long)count);
    int64_t *out = xg_newn(x->a, int64_t, (size_t)count);
    for (int64_t k = 0; k < count; k++) out[k] = xg_const_int(t, k);
    *v = out;
    *n = (uint32_t)count;
    return XG_OK;
}

xg_status xg_ox_const_float(xg_onnx *x, uint32_t i, const char *what, float none, float *v) {
    uint32_t in = xg_ox_in(x, i);
    *v = none;
    if (in == XG_NONE) return XG_OK;
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (!t->data) return xg_ox_refuse(x, "%s ('%s') must be constant", what, t->name);
    if (xg_tensor_elems(t) != 1) return xg_ox_bad(x, "%s ('%s') must be a scalar", what, t->name);
    *v = t->dtype == XG_F32 ? *(const float *)t->data : (float)xg_const_int(t, 0);
    return XG_OK;
}

static xg_ox_value *output_value(xg_onnx *x, uint32_t i) {
    const char *name = x->node->output[i];
    uint32_t v = xg_map_get(&x->index, name);
    if (v == XG_NONE) {
        xg_ox_value fresh = {.name = name, .tensor = XG_NONE};
        xg_push(x->a, &x->value, fresh);
        v = x->value.n - 1;
        xg_map_set(&x->index, name, v);
    }
    x->value.v[v].bound = true;
    return &x->value.v[v];
}

uint32_t xg_ox_out(xg_onnx *x, uint32_t i) {
    xg_ox_value *v = output_value(x, i);
    if (v->tensor != XG_NONE) return v->tensor;
    xg_tensor t = {.name = v->name, .onnx = v->name, .producer = XG_NONE};
    v->tensor = xg_graph_add_tensor(x->g, &t);
    return v->tensor;
}

uint32_t xg_ox_temp(xg_onnx *x, uint32_t i, const char *suffix) {
    const char *base = xg_ox_wants(x, i) ? x->node->output[i] : x->name;
    xg_tensor t = {.name = xg_strf(x->a, "%s.%s", base, suffix), .producer = XG_NONE};
    return xg_graph_add_tensor(x->g, &t);
}

xg_status xg_ox_alias(xg_onnx *x, uint32_t i, uint32_t tensor) {
    xg_ox_value *v = output_value(x, i);
    if (!v->is_output) {
        v->tensor = tensor;
        return XG_OK;
    }
    /* A graph output keeps its own name: a reshape to the same shape carries it. */
    const xg_tensor *t = xg_ox_tensor(x, tensor);
    int64_t dim[XG_RANK_MAX];
    memcpy(dim, t->dim, sizeof dim);
    return xg_ox_reshape(x, tensor, dim, t->rank, v->tensor);
}

xg_status xg_ox_axis(xg_onnx *x, int64_t axis, uint32_t rank, uint32_t *out) {
    if (axis < -(int64_t)rank || axis >= (int64_t)rank)
        return xg_ox_bad(x, "axis %lld of a tensor with %u axes", (long long)axis, rank);
    *out = (uint32_t)(axis < 0 ? axis + rank : axis);
    return XG_OK;
}

/* ---- building ---- */

uint32_t xg_ox_node(xg_onnx *x, xg_op op, const uint32_t *in, uint32_t nin, uint32_t out) {
    bool helper = op == XG_OP_Reshape || op == XG_OP_Transpose;
    const char *kind = xg_ops[op].name, *name = x->name;
    if (helper && strcmp(kind, x->node->op_type) != 0) name = xg_strf(x->a, "%s.%s", name, kind);
    uint32_t n = xg_graph_add_node_to(x->g, op, name, in, nin, &out, 1);
    x->g->node.v[n].onnx = xg_strdup(x->a, x->name);
    return n;
}

xg_status xg_ox_done(xg_onnx *x, uint32_t node) {
    xg_status st = xg_node_infer(x->c, x->g, node);
    if (st) return st;
    const xg_node *n = xg_nodep(x->g, node);
    xg_tensor *y = xg_out(x->g, n, 0);
    if (!xg_const_inputs(x->g, n) || node + 1 != x->g->node.n) return XG_OK;
    void *data = xg_const_eval(x->a, x->g, n);
    if (!data) return XG_OK;
    y->data = data;
    y->producer = XG_NONE;
    x->g->node.n--;
    return XG_OK;
}

xg_status xg_ox_simple(xg_onnx *x, xg_op op, const uint32_t *in, uint32_t nin, uint32_t out) {
    return xg_ox_done(x, xg_ox_node(x, op, in, nin, out));
}

xg_status xg_ox_reshape(xg_onnx *x, uint32_t in, const int64_t *dim, uint32_t rank, uint32_t out) {
    uint32_t n = xg_ox_node(x, XG_OP_Reshape, &in, 1, out);
    xg_set_ais(x->g, xg_nodep(x->g, n), XG_ATTR_shape, dim, rank);
    return xg_ox_done(x, n);
}

xg_status xg_ox_transpose(xg_onnx *x, uint32_t in, const int64_t *perm, uint32_t out) {
    uint32_t n = xg_ox_node(x, XG_OP_Transpose, &in, 1, out);
    xg_set_ais(x->g, xg_nodep(x->g, n), XG_ATTR_perm, perm, xg_ox_tensor(x, in)->rank);
    return xg_ox_done(x, n);
}

uint32_t xg_ox_scalar(xg_onnx *x, float v) {
    return xg_graph_add_const(x->g, NULL, XG_F32, 0, NULL, xg_memdup(x->a, &v, sizeof v), NULL);
}

static const int64_t to_nhwc[4] = {0, 2, 3, 1}, to_nchw[4] = {0, 3, 1, 2};

static void remember_nhwc(xg_onnx *x, uint32_t tensor, uint32_t twin) {
    while (x->nhwc.n < x->g->tensor.n) xg_push(x->a, &x->nhwc, XG_NONE);
    x->nhwc.v[tensor] = twin;
}

/* A step beside tensor t, named after it. */
static uint32_t beside(xg_onnx *x, uint32_t tensor, const char *suffix, bool same_value) {
    const xg_tensor *from = xg_ox_tensor(x, tensor);
    xg_tensor t = {.name = xg_strf(x->a, "%s.%s", from->name, suffix), .producer = XG_NONE};
    t.onnx = same_value ? from->onnx : NULL;
    return xg_graph_add_tensor(x->g, &t);
}

xg_status xg_ox_nhwc(xg_onnx *x, uint32_t in, uint32_t *out) {
    if (in < x->nhwc.n && x->nhwc.v[in] != XG_NONE) {
        *out = x->nhwc.v[in];
        return XG_OK;
    }
    const xg_tensor *t = xg_ox_tensor(x, in);
    uint32_t four = in;
    xg_status st = XG_OK;
    if (t->rank == 5) return xg_ox_refuse(x, "3-D windows (input '%s' has 5 axes)", t->name);
    if (t->rank < 2 || t->rank > 4)
        return xg_ox_bad(x, "input '%s' has %d axes, expected 3 or 4", t->name, t->rank);
    if (t->rank < 4) { /* NC -> NC11, NCL -> NC1L */
        int64_t dim[4] = {t->dim[0], t->dim[1], 1, t->rank == 3 ? t->dim[2] : 1};
        four = beside(x, in, "nchw", true);
        st = xg_ox_reshape(x, in, dim, 4, four);
    }
    *out = beside(x, in, "nhwc", true);
    if (!st) st = xg_ox_transpose(x, four, to_nhwc, *out);
    remember_nhwc(x, in, *out);
    return st;
}

xg_status xg_ox_from_nhwc(xg_onnx *x, uint32_t in, uint32_t rank, uint32_t i) {
    uint32_t y = xg_ox_out(x, i), four = y;
    xg_ox_tensor(x, in)->onnx = xg_ox_tensor(x, y)->onnx;
    if (rank < 4) four = beside(x, y, "nchw", true);
    xg_status st = xg_ox_transpose(x, in, to_nchw, four);
    if (!st && rank < 4) {
        const xg_tensor *t = xg_ox_tensor(x, four);
        int64_t dim[3] = {t->dim[0], t->dim[1], t->dim[3]};
        st = xg_ox_reshape(x, four, dim, rank, y);
    }
    remember_nhwc(x, y, in);
    return st;
}

/* The producer of a tensor when it is a Quantize or Dequantize of (in the end) a constant. */
static const xg_node *quantiser_of_constant(const xg_onnx *x, uint32_t in) {
    uint32_t p = xg_ox_tensor(x, in)->producer;
    if (p == XG_NONE) return NULL;
    const xg_node *n = xg_nodep(x->g, p);
    return n->op == XG_OP_Quantize || n->op == XG_OP_Dequantize ? n : NULL;
}

/* A new Quantize or Dequantize like n on tensor `in`, whose output has the quant axis `axis`. */
static xg_status same_quantiser(xg_onnx *x, const xg_node *n, uint32_t in, int32_t axis,
                                uint32_t *out) {
    xg_op op = (xg_op)n->op;
    uint32_t old = n->out[0];
    *out = beside(x, old, "ohwi", true);
    const xg_tensor *o = xg_ox_tensor(x, old);
    if (op == XG_OP_Quantize) {
        xg_ox_tensor(x, *out)->dtype = o->dtype;
        xg_ox_tensor(x, *out)->quant =
            xg_quant_new(x->a, axis, o->quant->n, o->quant->scale, o->quant->zp);
    }
    return xg_ox_simple(x, op, &in, 1, *out);
}

static int32_t axis_after(const xg_quant *q, const int64_t *perm, uint32_t rank) {
    for (uint32_t i = 0; q && q->axis >= 0 && i < rank; i++)
        if (perm[i] == q->axis) return (int32_t)i;
    return -1;
}

xg_status xg_ox_permuted(xg_onnx *x, uint32_t in, const int64_t *perm, uint32_t *out) {
    const xg_node *n = quantiser_of_constant(x, in);
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (n) {
        uint32_t inner;
        const xg_quant *q = n->op == XG_OP_Quantize ? t->quant : NULL;
        int32_t axis = axis_after(q, perm, t->rank);
        xg_status st = xg_ox_permuted(x, n->in[0], perm, &inner);
        return st ? st : same_quantiser(x, n, inner, axis, out);
    }
    const xg_quant *q = t->quant;
    uint32_t rank = t->rank;
    *out = beside(x, in, "ohwi", true);
    if (q) {
        xg_ox_tensor(x, *out)->dtype = xg_ox_tensor(x, in)->dtype;
        xg_ox_tensor(x, *out)->quant =
            xg_quant_new(x->a, axis_after(q, perm, rank), q->n, q->scale, q->zp);
    }
    return xg_ox_transpose(x, in, perm, *out);
}

/* The axis that stays when a shape only gains or loses axes behind it; -2 when it does not stay. */
static int32_t axis_reshaped(const xg_quant *q, const xg_tensor *t, const int64_t *dim,
                             uint32_t rank) {
    if (!q || q->axis < 0) return -1;
    int64_t before = 1, at = 1;
    for (int32_t i = 0; i < q->axis; i++) before *= t->dim[i];
    for (uint32_t i = 0; i < rank; at *= dim[i++])
        if (at == before && dim[i] == t->dim[q->axis]) return (int32_t)i;
    return -2;
}

xg_status xg_ox_reshaped(xg_onnx *x, uint32_t in, const int64_t *dim, uint32_t rank,
                         uint32_t *out) {
    const xg_node *n = quantiser_of_constant(x, in);
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (n) {
        uint32_t inner;
        int32_t axis = axis_reshaped(n->op == XG_OP_Quantize ? t->quant : NULL, t, dim, rank);
        if (axis == -2) return xg_ox_refuse(x, "scales of '%s' do not survive a reshape", t->name);
        xg_status st = xg_ox_reshaped(x, n->in[0], dim, rank, &inner);
        return st ? st : same_quantiser(x, n, inner, axis, out);
    }
    const xg_quant *q = t->quant;
    int32_t axis = axis_reshaped(q, t, dim, rank);
    if (axis == -2) return xg_ox_refuse(x, "scales of '%s' do not survive a reshape", t->name);
    *out = beside(x, in, "shaped", true);
    if (q) {
        xg_ox_tensor(x, *out)->dtype = xg_ox_tensor(x, in)->dtype;
        xg_ox_tensor(x, *out)->quant = xg_quant_new(x->a, axis, q->n, q->scale, q->zp);
    }
    return xg_ox_reshape(x, in, dim, rank, *out);
}
