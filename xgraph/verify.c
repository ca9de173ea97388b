#include "xgraph/shape.h"

#include <stdio.h>
#include <string.h>

typedef struct verifier {
    xg_ctx *c;
    const xg_graph *g;
    xg_arena *scratch;
    xg_graph inferred; /* g with its own tensors, which inference may overwrite */
} verifier;

static xg_status XG_PRINTF(3, 4)
    tensor_error(const verifier *v, const xg_tensor *t, const char *fmt, ...) {
    char where[160], text[256];
    snprintf(where, sizeof where, "tensor '%.120s'", t->name ? t->name : "?");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return xg_error(v->c, XG_INPUT, where, "%s", text);
}

/* ---- tensors
 * -------------------------------------------------------------------------------------------- */

static bool bools_sane(const xg_tensor *t) {
    if (t->dtype != XG_BOOL || !t->data) return true;
    const uint8_t *p = t->data;
    for (int64_t i = 0, n = xg_tensor_elems(t); i < n; i++)
        if (p[i] > 1) return false;
    return true;
}

static xg_status check_tensor(const verifier *v, const xg_tensor *t, bool produced) {
    if (!t->name || !*t->name) return tensor_error(v, t, "has no name");
    if (t->producer != XG_NONE && t->producer >= v->g->node.n)
        return tensor_error(v, t, "is made by node number %u, the graph has %u", t->producer,
                            v->g->node.n);
    if ((t->is_input != 0) + (t->data != NULL) + (t->producer != XG_NONE) > 1)
        return tensor_error(v, t, "is more than one of graph input, constant and node output");
    if (t->producer != XG_NONE && !produced)
        return tensor_error(v, t, "is not among the outputs of its node");
    xg_status st = xg_tensor_check(v->c, t);
    if (st != XG_OK) return st;
    return bools_sane(t) ? XG_OK
                         : tensor_error(v, t, "a bool constant holds a byte that is not 0 or 1");
}

static xg_status check_names(const verifier *v) {
    xg_map tensors = {.arena = v->scratch}, nodes = {.arena = v->scratch};
    for (uint32_t i = 0; i < v->g->tensor.n; i++) {
        const xg_tensor *t = &v->g->tensor.v[i];
        if (xg_map_get(&tensors, t->name) != XG_NONE)
            return tensor_error(v, t, "the name is used twice");
        xg_map_set(&tensors, t->name, i);
    }
    for (uint32_t i = 0; i < v->g->node.n; i++) {
        const xg_node *n = &v->g->node.v[i];
        if (!n->name || !*n->name)
            return xg_node_error(v->c, n, XG_INPUT, "node number %u has no name", i);
        if (xg_map_get(&nodes, n->name) != XG_NONE)
            return xg_node_error(v->c, n, XG_INPUT, "the name is used twice");
        xg_map_set(&nodes, n->name, i);
    }
    return XG_OK;
}

/* Each tensor flagged as graph input (output) stands in the list once, and nothing else does. */
static xg_status check_border(const verifier *v, const uint32_t *list, uint32_t n, bool input) {
    const char *what = input ? "input" : "output";
    const xg_graph *g = v->g;
    bool *listed = xg_newn(v->scratch, bool, g->tensor.n);
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] >= g->tensor.n)
            return xg_error(v->c, XG_INPUT, "graph", "%s %u is tensor number %u, the graph has %u",
                            what, i, list[i], g->tensor.n);
        const xg_tensor *t = &g->tensor.v[list[i]];
        if (listed[list[i]]) return tensor_error(v, t, "stands twice among the graph's %ss", what);
        if (!(input ? t->is_input : t->is_output))
            return tensor_error(v, t, "lacks the flag of a graph %s", what);
        if (!t->is_input && !t->data && t->producer == XG_NONE)
            return tensor_error(v, t, "is a graph output that nothing makes");
        listed[list[i]] = true;
    }
    for (uint32_t i = 0; i < g->tensor.n; i++) {
        const xg_tensor *t = &g->tensor.v[i];
        if ((input ? t->is_input : t->is_output) && !listed[i])
            return tensor_error(v, t, "has the flag of a graph %s, but is not listed as one", what);
    }
    return XG_OK;
}

/* produced[t] = t is an output of the node that it names as its producer. */
static xg_status check_outputs(const verifier *v, bool *produced) {
    const xg_graph *g = v->g;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = &g->node.v[i];
        for (uint32_t k = 0; k < n->nout; k++) {
            if (n->out[k] >= g->tensor.n)
                return xg_node_error(v->c, n, XG_INPUT,
                                     "output %u is tensor number %u, the graph has %u", k,
                                     n->out[k], g->tensor.n);
            const xg_tensor *t = &g->tensor.v[n->out[k]];
            if (t->producer != i || produced[n->out[k]])
                return xg_node_error(v->c, n, XG_INPUT, "output '%.100s' has another producer",
                                     t->name ? t->name : "?");
            produced[n->out[k]] = true;
        }
    }
    return XG_OK;
}

/* ---- nodes
 * ---------------------------------------------------------------------------------------------- */

static xg_status check_attrs(const verifier *v, const xg_node *n) {
    const xg_op_desc *d = &xg_ops[n->op];
    for (uint32_t i = 0; i < d->nattr; i++) {
        const xg_attr *a = &n->attr[i];
        const xg_attr_desc *ad = &xg_attrs[d->attr[i]];
        bool bad = ad->kind == XG_FLOAT && a->f != a->f;
        for (uint32_t k = 0; ad->kind == XG_FLOATS && k < a->n; k++) bad |= a->fs[k] != a->fs[k];
        if (bad) return xg_node_error(v->c, n, XG_INPUT, "attribute %s is not a number", ad->name);
    }
    if (!xg_has_attr(n, XG_ATTR_lo)) return XG_OK;
    int64_t lo, hi;
    xg_status st = xg_attr_in(v->c, n, XG_ATTR_lo, INT32_MIN, INT32_MAX, &lo);
    return st != XG_OK ? st : xg_attr_in(v->c, n, XG_ATTR_hi, lo, INT32_MAX, &hi);
}

static xg_status check_inferred(verifier *v, const xg_node *n) {
    for (uint32_t k = 0; k < n->nout; k++) {
        const xg_tensor *is = &v->g->tensor.v[n->out[k]];
        xg_tensor *want = &v->inferred.tensor.v[n->out[k]];
        bool same = is->dtype == want->dtype && is->rank == want->rank;
        same = same && !memcmp(is->dim, want->dim, is->rank * sizeof *is->dim);
        char a[96], b[96];
        if (!same)
            return xg_node_error(v->c, n, XG_INPUT,
                                 "output '%.80s' is %s %s, inference gives %s %s", is->name,
                                 xg_dtype_name(is->dtype), xg_shape_text(is, a),
                                 xg_dtype_name(want->dtype), xg_shape_text(want, b));
        *want = *is;
    }
    return XG_OK;
}

static xg_status check_node(verifier *v, uint32_t node) {
    const xg_node *n = &v->g->node.v[node];
    xg_status st = xg_node_check(v->c, v->g, node);
    if (st == XG_OK) st = check_attrs(v, n);
    if (st == XG_OK) st = xg_node_infer(v->c, &v->inferred, node);
    if (st == XG_OK) st = check_inferred(v, n);
    return st == XG_OK ? xg_rule_check(v->c, v->g, n) : st;
}

static xg_status verify(verifier *v) {
    const xg_graph *g = v->g;
    bool *produced = xg_newn(v->scratch, bool, g->tensor.n);
    xg_status st = check_outputs(v, produced);
    for (uint32_t i = 0; i < g->tensor.n && st == XG_OK; i++)
        st = check_tensor(v, &g->tensor.v[i], produced[i]);
    if (st == XG_OK) st = check_names(v);
    if (st == XG_OK) st = check_border(v, g->input.v, g->input.n, true);
    if (st == XG_OK) st = check_border(v, g->output.v, g->output.n, false);
    for (uint32_t i = 0; i < g->node.n && st == XG_OK; i++) st = check_node(v, i);
    return st;
}

xg_status xg_graph_verify(xg_ctx *c, const xg_graph *g) {
    verifier v = {.c = c, .g = g, .scratch = xg_arena_new(c), .inferred = *g};
    v.inferred.arena = v.scratch;
    if (g->tensor.n)
        v.inferred.tensor.v =
            xg_memdup(v.scratch, g->tensor.v, (size_t)g->tensor.n * sizeof *g->tensor.v);
    xg_status st = verify(&v);
    xg_arena_free(v.scratch);
    return st;
}
