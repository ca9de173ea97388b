#include "xgraph/xgraph.h"

#include <string.h>

xg_uses xg_graph_uses(const xg_graph *g, xg_arena *a) {
    uint32_t nt = g->tensor.n;
    xg_uses u = {.first = xg_newn(a, uint32_t, (size_t)nt + 2)};
    /* Counts two places up, so that filling moves them one place down to their final meaning. */
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = &g->node.v[i];
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != XG_NONE) u.first[n->in[k] + 2]++;
    }
    for (uint32_t t = 1; t <= nt; t++) u.first[t + 1] += u.first[t];
    u.node = xg_newn(a, uint32_t, u.first[nt + 1]);
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = &g->node.v[i];
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != XG_NONE) u.node[u.first[n->in[k] + 1]++] = i;
    }
    return u;
}

/* ---- order
 * ---------------------------------------------------------------------------------------------- */

enum { UNSEEN, OPEN, DONE };

typedef struct frame {
    uint32_t node, next; /* next input to look at */
} frame;

typedef struct walk {
    const xg_graph *g;
    uint8_t *state; /* [nodes] */
    frame *stack;   /* [nodes]: a node is on it once at most */
    uint32_t *order, norder;
} walk;

/* Depth first from one node, inputs in their order: what is in order already stays so. False when
 * there is a cycle; *bad is then a node on it. */
static bool visit(walk *w, uint32_t root, uint32_t *bad) {
    uint32_t depth = 0;
    if (w->state[root] == DONE) return true;
    w->stack[depth++] = (frame){root, 0};
    w->state[root] = OPEN;
    while (depth) {
        frame *f = &w->stack[depth - 1];
        const xg_node *n = &w->g->node.v[f->node];
        if (f->next == n->nin) {
            w->state[f->node] = DONE;
            w->order[w->norder++] = f->node;
            depth--;
            continue;
        }
        uint32_t t = n->in[f->next++];
        uint32_t p = t == XG_NONE ? XG_NONE : w->g->tensor.v[t].producer;
        if (p == XG_NONE || w->state[p] == DONE) continue;
        *bad = p;
        if (w->state[p] == OPEN) return false;
        w->state[p] = OPEN;
        w->stack[depth++] = (frame){p, 0};
    }
    return true;
}

/* live[node] = needed for a graph output. */
static void mark_live(const xg_graph *g, bool *live, uint32_t *stack) {
    uint32_t depth = 0;
    for (uint32_t i = 0; i < g->output.n; i++) {
        uint32_t p = g->tensor.v[g->output.v[i]].producer;
        if (p == XG_NONE || live[p]) continue;
        live[p] = true;
        stack[depth++] = p;
    }
    while (depth) {
        const xg_node *n = &g->node.v[stack[--depth]];
        for (uint32_t k = 0; k < n->nin; k++) {
            uint32_t p = n->in[k] == XG_NONE ? XG_NONE : g->tensor.v[n->in[k]].producer;
            if (p == XG_NONE || live[p]) continue;
            live[p] = true;
            stack[depth++] = p;
        }
    }
}

/* ---- copying
 * -------------------------------------------------------------------------------------------- */

/* new index of every tensor, XG_NONE = dropped; tensors keep their order. */
static uint32_t *number_tensors(const xg_graph *g, const uint32_t *order, uint32_t norder,
                                xg_arena *a) {
    uint32_t *to = xg_newn(a, uint32_t, g->tensor.n);
    for (uint32_t i = 0; i < norder; i++) {
        const xg_node *n = &g->node.v[order[i]];
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != XG_NONE) to[n->in[k]] = 1;
        for (uint32_t k = 0; k < n->nout; k++) to[n->out[k]] = 1;
    }
    for (uint32_t i = 0; i < g->input.n; i++) to[g->input.v[i]] = 1;
    for (uint32_t i = 0; i < g->output.n; i++) to[g->output.v[i]] = 1;
    uint32_t next = 0;
    for (uint32_t t = 0; t < g->tensor.n; t++) to[t] = to[t] ? next++ : XG_NONE;
    return to;
}

static void copy_tensors(const xg_graph *g, xg_graph *to, const uint32_t *number) {
    bool share = to->arena == g->arena;
    for (uint32_t i = 0; i < g->tensor.n; i++) {
        if (number[i] == XG_NONE) continue;
        xg_tensor t = g->tensor.v[i];
        t.producer = XG_NONE;
        if (t.quant && !share)
            t.quant =
                xg_quant_new(to->arena, t.quant->axis, t.quant->n, t.quant->scale, t.quant->zp);
        if (t.data && !share)
            t.data =
                xg_memdup(to->arena, t.data, (size_t)xg_tensor_elems(&t) * xg_dtype_bytes(t.dtype));
        xg_graph_add_tensor(to, &t);
    }
}

static void copy_attrs(xg_arena *a, const xg_node *from, const xg_node *to) {
    for (uint32_t i = 0; i < xg_ops[from->op].nattr; i++) {
        xg_attr v = from->attr[i];
        if (v.is) v.is = xg_memdup(a, v.is, v.n * sizeof *v.is);
        if (v.fs) v.fs = xg_memdup(a, v.fs, v.n * sizeof *v.fs);
        to->attr[i] = v;
    }
}

static void copy_nodes(const xg_graph *g, xg_graph *to, const uint32_t *number, const walk *w) {
    for (uint32_t i = 0; i < w->norder; i++) {
        const xg_node *n = &g->node.v[w->order[i]];
        uint32_t index = xg_graph_add_node_to(to, (xg_op)n->op, n->name, n->in, n->nin, NULL, 0);
        xg_node *copy = &to->node.v[index];
        for (uint32_t k = 0; k < n->nin; k++)
            copy->in[k] = n->in[k] == XG_NONE ? XG_NONE : number[n->in[k]];
        copy->out = xg_newn(to->arena, uint32_t, n->nout);
        copy->nout = n->nout;
        for (uint32_t k = 0; k < n->nout; k++) {
            copy->out[k] = number[n->out[k]];
            to->tensor.v[copy->out[k]].producer = index;
        }
        copy->onnx = n->onnx ? xg_strdup(to->arena, n->onnx) : NULL;
        copy_attrs(to->arena, n, copy);
    }
}

/* Nodes that are kept, in order. */
static xg_status order_nodes(xg_ctx *c, xg_arena *scratch, const xg_graph *g, walk *w) {
    uint32_t nn = g->node.n;
    *w = (walk){
        .g = g, .state = xg_newn(scratch, uint8_t, nn), .stack = xg_newn(scratch, frame, nn)};
    w->order = xg_newn(scratch, uint32_t, nn);
    bool *live = xg_newn(scratch, bool, nn);
    mark_live(g, live, w->order);
    for (uint32_t i = 0, bad = 0; i < nn; i++)
        if (live[i] && !visit(w, i, &bad))
            return xg_node_error(c, &g->node.v[bad], XG_INPUT, "the node is part of a cycle");
    return XG_OK;
}

static xg_graph *copy_graph(const xg_graph *g, xg_arena *a, const walk *w, const uint32_t *number) {
    xg_graph *to = xg_graph_new(a, g->name);
    copy_tensors(g, to, number);
    copy_nodes(g, to, number, w);
    for (uint32_t i = 0; i < g->input.n; i++) xg_push(a, &to->input, number[g->input.v[i]]);
    for (uint32_t i = 0; i < g->output.n; i++) xg_push(a, &to->output, number[g->output.v[i]]);
    for (uint32_t i = 0; i < g->log.n; i++) xg_push(a, &to->log, xg_strdup(a, g->log.v[i]));
    return to;
}

/* Whether a copy would have the same nodes and tensors in the same places. */
static bool is_compact(const xg_graph *g, const walk *w, const uint32_t *number) {
    if (w->norder != g->node.n) return false;
    for (uint32_t i = 0; i < w->norder; i++)
        if (w->order[i] != i) return false;
    return g->tensor.n == 0 || number[g->tensor.n - 1] == g->tensor.n - 1;
}

xg_status xg_graph_compact(xg_ctx *c, const xg_graph *g, xg_arena *a, xg_graph **out) {
    xg_arena *scratch = xg_arena_new(c);
    walk w;
    xg_status st = order_nodes(c, scratch, g, &w);
    if (st == XG_OK) {
        const uint32_t *number = number_tensors(g, w.order, w.norder, scratch);
        *out = copy_graph(g, a, &w, number);
    }
    xg_arena_free(scratch);
    return st;
}

xg_status xg_graph_tidy(xg_ctx *c, xg_graph **g) {
    xg_arena *scratch = xg_arena_new(c);
    walk w;
    xg_status st = order_nodes(c, scratch, *g, &w);
    if (st == XG_OK) {
        const uint32_t *number = number_tensors(*g, w.order, w.norder, scratch);
        if (!is_compact(*g, &w, number)) *g = copy_graph(*g, (*g)->arena, &w, number);
    }
    xg_arena_free(scratch);
    return st;
}
