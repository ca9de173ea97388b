#include "xgraph/xgraph.h"

#include <stdio.h>
#include <string.h>

xg_graph *xg_graph_new(xg_arena *a, const char *name) {
    xg_graph *g = xg_new(a, xg_graph);
    g->arena = a;
    g->name = xg_strdup(a, name ? name : "");
    g->tensor_names.arena = a;
    g->node_names.arena = a;
    return g;
}

/* The name itself, or name.1, name.2 ...; the map remembers for each name the next suffix to try.
 */
static const char *unique_name(xg_arena *a, xg_map *taken, const char *name) {
    uint32_t suffix = xg_map_get(taken, name);
    if (suffix == XG_NONE) {
        const char *own = xg_strdup(a, name);
        xg_map_set(taken, own, 1);
        return own;
    }
    const char *made;
    do made = xg_strf(a, "%s.%u", name, suffix++);
    while (xg_map_get(taken, made) != XG_NONE);
    xg_map_set(taken, name, suffix);
    xg_map_set(taken, made, 1);
    return made;
}

static const char *dup_or_null(xg_arena *a, const char *s) {
    return s && *s ? xg_strdup(a, s) : NULL;
}

uint32_t xg_graph_add_tensor(xg_graph *g, const xg_tensor *t) {
    xg_tensor copy = *t;
    char made_up[24];
    snprintf(made_up, sizeof made_up, "t%u", g->tensor.n);
    const char *wanted = t->name && *t->name ? t->name : made_up;
    copy.name = unique_name(g->arena, &g->tensor_names, wanted);
    copy.onnx = dup_or_null(g->arena, t->onnx);
    xg_push(g->arena, &g->tensor, copy);
    return g->tensor.n - 1;
}

uint32_t xg_graph_add_const(xg_graph *g, const char *name, xg_dtype t, uint8_t rank,
                            const int64_t *dim, const void *data, const xg_quant *q) {
    xg_tensor c = {.name = name, .dtype = t, .rank = rank, .quant = q, .data = data};
    c.producer = XG_NONE;
    if (rank) memcpy(c.dim, dim, rank * sizeof *dim);
    return xg_graph_add_tensor(g, &c);
}

void xg_tensor_rename(xg_graph *g, uint32_t tensor, const char *name) {
    if (!strcmp(g->tensor.v[tensor].name, name)) return;
    g->tensor.v[tensor].name = unique_name(g->arena, &g->tensor_names, name);
}

void xg_graph_add_input(xg_graph *g, uint32_t tensor) {
    if (g->tensor.v[tensor].is_input) return;
    g->tensor.v[tensor].is_input = true;
    xg_push(g->arena, &g->input, tensor);
}

void xg_graph_add_output(xg_graph *g, uint32_t tensor) {
    if (g->tensor.v[tensor].is_output) return;
    g->tensor.v[tensor].is_output = true;
    xg_push(g->arena, &g->output, tensor);
}

static xg_attr *default_attrs(xg_arena *a, xg_op op) {
    const xg_op_desc *d = &xg_ops[op];
    xg_attr *attr = xg_newn(a, xg_attr, d->nattr);
    for (uint32_t i = 0; i < d->nattr; i++) {
        attr[i].i = xg_attrs[d->attr[i]].default_i;
        attr[i].f = xg_attrs[d->attr[i]].default_f;
    }
    return attr;
}

uint32_t xg_graph_add_node_to(xg_graph *g, xg_op op, const char *name, const uint32_t *in,
                              uint32_t nin, const uint32_t *out, uint32_t nout) {
    char made_up[48];
    snprintf(made_up, sizeof made_up, "%s%u", xg_ops[op].name, g->node.n);
    xg_node n = {.op = (uint16_t)op, .nin = nin, .nout = nout};
    n.name = unique_name(g->arena, &g->node_names, name && *name ? name : made_up);
    n.in = xg_newn(g->arena, uint32_t, nin);
    n.out = xg_newn(g->arena, uint32_t, nout);
    if (nin) memcpy(n.in, in, nin * sizeof *in);
    if (nout) memcpy(n.out, out, nout * sizeof *out);
    n.attr = default_attrs(g->arena, op);
    xg_push(g->arena, &g->node, n);
    for (uint32_t i = 0; i < nout; i++) g->tensor.v[out[i]].producer = g->node.n - 1;
    return g->node.n - 1;
}

uint32_t xg_graph_add_node(xg_graph *g, xg_op op, const char *name, const uint32_t *in,
                           uint32_t nin, uint32_t nout) {
    uint32_t node = xg_graph_add_node_to(g, op, name, in, nin, NULL, 0);
    xg_node *n = &g->node.v[node];
    n->out = xg_newn(g->arena, uint32_t, nout);
    n->nout = nout;
    for (uint32_t i = 0; i < nout; i++) {
        xg_tensor t = {.name = n->name, .producer = node};
        n->out[i] = xg_graph_add_tensor(g, &t);
    }
    return node;
}

const xg_quant *xg_quant_new(xg_arena *a, int32_t axis, uint32_t n, const float *scale,
                             const int32_t *zp) {
    xg_quant *q = xg_new(a, xg_quant);
    q->axis = axis;
    q->n = n;
    q->scale = xg_memdup(a, scale, n * sizeof *scale);
    q->zp = zp ? xg_memdup(a, zp, n * sizeof *zp) : xg_newn(a, int32_t, n);
    return q;
}

const xg_quant *xg_quant_scalar(xg_arena *a, float scale, int32_t zp) {
    return xg_quant_new(a, -1, 1, &scale, &zp);
}

bool xg_quant_equal(const xg_quant *a, const xg_quant *b) {
    if (!a || !b) return a == b;
    return a->axis == b->axis && a->n == b->n &&
           !memcmp(a->scale, b->scale, a->n * sizeof *a->scale) &&
           !memcmp(a->zp, b->zp, a->n * sizeof *a->zp);
}

static bool is_wide(const xg_tensor *t) {
    return t && t->dtype == XG_I16 && t->quant;
}

bool xg_node_is_wide(const xg_graph *g, const xg_node *n) {
    for (uint32_t i = 0; i < n->nin; i++)
        if (is_wide(xg_in(g, n, i))) return true;
    for (uint32_t i = 0; i < n->nout; i++)
        if (is_wide(xg_out(g, n, i))) return true;
    return false;
}

uint64_t xg_node_macs(const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *w = xg_in(g, n, 1);
    uint64_t out = (uint64_t)xg_tensor_elems(xg_out(g, n, 0));
    if (n->op == XG_OP_Conv) return out * (uint64_t)(w->dim[1] * w->dim[2] * w->dim[3]);
    if (n->op == XG_OP_MatMul) return out * (uint64_t)x->dim[x->rank - 1];
    return 0;
}

int64_t xg_tensor_elems(const xg_tensor *t) {
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dim[i] < 0) return 0;
        if (__builtin_mul_overflow(n, t->dim[i], &n)) return INT64_MAX;
    }
    return n;
}

/* A graph output must keep the name that the user knows; false when `to` cannot take it. */
static bool hand_over_output(xg_graph *g, uint32_t from, uint32_t to) {
    xg_tensor *f = &g->tensor.v[from], *t = &g->tensor.v[to];
    if (t->is_input || t->is_output) return false;
    const char *name = f->name, *onnx = f->onnx;
    f->name = t->name;
    f->onnx = t->onnx;
    t->name = name;
    t->onnx = onnx;
    f->is_output = false;
    t->is_output = true;
    return true;
}

void xg_graph_replace(xg_graph *g, uint32_t from, uint32_t to) {
    if (from == to) return;
    for (uint32_t i = 0; i < g->node.n; i++) {
        xg_node *n = &g->node.v[i];
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] == from) n->in[k] = to;
    }
    if (!g->tensor.v[from].is_output || !hand_over_output(g, from, to)) return;
    for (uint32_t i = 0; i < g->output.n; i++)
        if (g->output.v[i] == from) g->output.v[i] = to;
}

xg_status xg_node_error(xg_ctx *c, const xg_node *n, xg_status st, const char *fmt, ...) {
    char where[256], text[512];
    const char *op = n->op < XG_OP_COUNT ? xg_ops[n->op].name : "?";
    snprintf(where, sizeof where, "node '%.200s' (%s)", n->name ? n->name : "?", op);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return xg_error(c, st, where, "%s", text);
}
