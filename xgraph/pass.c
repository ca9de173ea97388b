#include "xgraph/pass.h"

#include "xgraph/const_eval.h"

#include <stdio.h>
#include <string.h>

/* ---- looking ---- */

uint32_t xg_rw_uses(const xg_rw *r, uint32_t tensor) {
    return tensor < r->uses.n ? r->uses.v[tensor] : 0;
}

const xg_node *xg_rw_made_by(const xg_rw *r, uint32_t tensor, xg_op op) {
    if (tensor == XG_NONE) return NULL;
    uint32_t p = r->g->tensor.v[tensor].producer;
    if (p == XG_NONE) return NULL;
    const xg_node *n = &r->g->node.v[p];
    return op == XG_OP_COUNT || n->op == op ? n : NULL;
}

bool xg_rw_scalar(const xg_rw *r, uint32_t tensor, float *v) {
    if (tensor == XG_NONE) return false;
    const xg_tensor *t = &r->g->tensor.v[tensor];
    if (!t->data || t->dtype != XG_F32 || xg_tensor_elems(t) != 1) return false;
    *v = *(const float *)t->data;
    return true;
}

bool xg_rw_const_like(const xg_rw *r, uint32_t tensor) {
    if (tensor == XG_NONE) return false;
    if (r->g->tensor.v[tensor].data) return true;
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_Dequantize);
    return n && r->g->tensor.v[n->in[0]].data;
}

/* ---- counting readers ---- */

static void grow(xg_rw *r) {
    while (r->uses.n < r->g->tensor.n) xg_push(r->tmp, &r->uses, 0);
    while (r->dead.n < r->g->node.n) xg_push(r->tmp, &r->dead, false);
}

static void count_readers(xg_rw *r) {
    grow(r);
    for (uint32_t i = 0; i < r->g->node.n; i++) {
        const xg_node *n = &r->g->node.v[i];
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != XG_NONE) r->uses.v[n->in[k]]++;
    }
    for (uint32_t i = 0; i < r->g->output.n; i++) r->uses.v[r->g->output.v[i]]++;
}

/* The maker of an unread tensor is dead, and so may be the makers of its inputs. */
static void bury(xg_rw *r, uint32_t tensor) {
    XG_VEC(uint32_t) todo = {0};
    xg_push(r->tmp, &todo, tensor);
    while (todo.n) {
        uint32_t t = todo.v[--todo.n], p = r->g->tensor.v[t].producer;
        if (r->uses.v[t] || p == XG_NONE || r->dead.v[p]) continue;
        const xg_node *n = &r->g->node.v[p];
        bool read = false;
        for (uint32_t k = 0; k < n->nout; k++) read = read || r->uses.v[n->out[k]];
        if (read) continue;
        r->dead.v[p] = true;
        for (uint32_t k = 0; k < n->nin; k++) {
            if (n->in[k] == XG_NONE) continue;
            r->uses.v[n->in[k]]--;
            xg_push(r->tmp, &todo, n->in[k]);
        }
    }
}

/* ---- changing ---- */

static bool is_helper(xg_op op) {
    return op == XG_OP_Reshape || op == XG_OP_Transpose || op == XG_OP_Quantize ||
           op == XG_OP_Dequantize;
}

uint32_t xg_rw_add(xg_rw *r, xg_op op, uint32_t like, const uint32_t *in, uint32_t nin) {
    xg_graph *g = r->g;
    const char *onnx = g->node.v[like].onnx;
    xg_tensor t = {.name = g->tensor.v[g->node.v[like].out[0]].name, .producer = XG_NONE};
    t.onnx = g->tensor.v[g->node.v[like].out[0]].onnx;
    uint32_t out = xg_graph_add_tensor(g, &t);
    uint32_t n = xg_graph_add_node_to(g, op, g->node.v[like].name, in, nin, &out, 1);
    if (!is_helper(op) ||
        op == g->node.v[like].op) { /* the name goes to the node that does the work */
        const char *own = g->node.v[n].name;
        g->node.v[n].name = g->node.v[like].name;
        g->node.v[like].name = own;
    }
    g->node.v[n].onnx = onnx;
    grow(r);
    for (uint32_t i = 0; i < nin; i++)
        if (in[i] != XG_NONE) r->uses.v[in[i]]++;
    return n;
}

void xg_rw_copy_attrs(xg_rw *r, uint32_t from, uint32_t to) {
    const xg_node *f = &r->g->node.v[from], *t = &r->g->node.v[to];
    for (uint32_t i = 0; i < xg_ops[t->op].nattr; i++) {
        xg_attr_id id = (xg_attr_id)xg_ops[t->op].attr[i];
        if (xg_has_attr(f, id)) *xg_attr_of(t, id) = *xg_attr_of(f, id);
    }
}

void xg_rw_set_out(xg_rw *r, uint32_t node, xg_dtype dtype, const xg_quant *q) {
    xg_tensor *t = xg_out(r->g, &r->g->node.v[node], 0);
    t->dtype = dtype;
    t->quant = q;
}

bool xg_rw_infer(xg_rw *r, uint32_t node) {
    xg_status st = xg_node_infer(r->c, r->g, node);
    if (st && !r->status) r->status = st;
    return !st;
}

uint32_t xg_rw_out(const xg_rw *r, uint32_t node) {
    return r->g->node.v[node].out[0];
}

void xg_rw_join(xg_rw *r, uint32_t node, const xg_node *other) {
    const char *mine = r->g->node.v[node].onnx, *theirs = other->onnx;
    if (!theirs || (mine && strstr(mine, theirs))) return;
    if (mine && strlen(mine) + strlen(theirs) > 1000) return;
    r->g->node.v[node].onnx = mine ? xg_strf(r->a, "%s+%s", mine, theirs) : theirs;
}

bool xg_rw_replace(xg_rw *r, uint32_t from, uint32_t to) {
    xg_graph *g = r->g;
    if (from == to) return false;
    if (g->tensor.v[from].is_output) {
        const xg_tensor *t = &g->tensor.v[to];
        if (t->is_input || t->is_output || t->producer == XG_NONE) return false;
    } else if (to >= r->first_new) {
        const char *name = g->tensor.v[from].name, *onnx = g->tensor.v[from].onnx;
        g->tensor.v[from].name = g->tensor.v[to].name;
        g->tensor.v[to].name = name;
        if (onnx) g->tensor.v[to].onnx = onnx;
    }
    xg_graph_replace(g, from, to);
    r->uses.v[to] += r->uses.v[from];
    r->uses.v[from] = 0;
    bury(r, from);
    return true;
}

uint32_t xg_rw_const(xg_rw *r, const char *name, xg_dtype t, uint32_t rank, const int64_t *dim,
                     const void *data, const xg_quant *q) {
    uint32_t out = xg_graph_add_const(r->g, name, t, (uint8_t)rank, dim, data, q);
    grow(r);
    return out;
}

void xg_rw_log(xg_rw *r, const char *fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (uint32_t i = 0; i < r->g->log.n; i++)
        if (!strcmp(r->g->log.v[i], line)) return; /* a rule may look at a node in every sweep */
    xg_push(r->a, &r->g->log, xg_strdup(r->a, line));
}

uint32_t xg_rw_reshape(xg_rw *r, uint32_t like, uint32_t in, const int64_t *dim, uint32_t rank) {
    const xg_tensor *t = &r->g->tensor.v[in];
    if (t->rank == rank && !memcmp(t->dim, dim, rank * sizeof *dim)) return in;
    uint32_t n = xg_rw_add(r, XG_OP_Reshape, like, &in, 1);
    xg_set_ais(r->g, xg_nodep(r->g, n), XG_ATTR_shape, dim, rank);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

uint32_t xg_rw_transpose(xg_rw *r, uint32_t like, uint32_t in, const int64_t *perm) {
    uint32_t n = xg_rw_add(r, XG_OP_Transpose, like, &in, 1);
    xg_set_ais(r->g, xg_nodep(r->g, n), XG_ATTR_perm, perm, r->g->tensor.v[in].rank);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

/* ---- constants in another shape ---- */

/* Another form of a constant keeps its ONNX name. */
static uint32_t like_constant(xg_rw *r, uint32_t old, uint32_t rank, const int64_t *dim,
                              const void *data, const xg_quant *q) {
    const xg_tensor *t = &r->g->tensor.v[old];
    uint32_t out = xg_rw_const(r, t->name, t->dtype, rank, dim, data, q);
    r->g->tensor.v[out].onnx = r->g->tensor.v[old].onnx;
    return out;
}

static uint32_t dequantised(xg_rw *r, uint32_t like, uint32_t constant) {
    uint32_t n = xg_rw_add(r, XG_OP_Dequantize, like, &constant, 1);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

uint32_t xg_rw_permuted(xg_rw *r, uint32_t like, uint32_t tensor, const int64_t *perm) {
    const xg_node *dq = xg_rw_made_by(r, tensor, XG_OP_Dequantize);
    if (dq) {
        uint32_t inner = xg_rw_permuted(r, like, dq->in[0], perm);
        return inner == XG_NONE ? XG_NONE : dequantised(r, like, inner);
    }
    const xg_tensor *t = &r->g->tensor.v[tensor];
    if (!t->data) return XG_NONE;
    const xg_quant *q = t->quant;
    int64_t dim[XG_RANK_MAX];
    int32_t axis = -1;
    for (uint32_t i = 0; i < t->rank; i++) {
        dim[i] = t->dim[perm[i]];
        if (q && q->axis == perm[i]) axis = (int32_t)i;
    }
    if (q && q->axis >= 0) q = xg_quant_new(r->a, axis, q->n, q->scale, q->zp);
    void *data = xg_const_permute(r->a, t->data, xg_dtype_bytes(t->dtype), t->rank, t->dim, perm);
    return like_constant(r, tensor, t->rank, dim, data, q);
}

uint32_t xg_rw_reshaped(xg_rw *r, uint32_t like, uint32_t tensor, const int64_t *dim,
                        uint32_t rank) {
    const xg_node *dq = xg_rw_made_by(r, tensor, XG_OP_Dequantize);
    if (dq) {
        uint32_t inner = xg_rw_reshaped(r, like, dq->in[0], dim, rank);
        return inner == XG_NONE ? XG_NONE : dequantised(r, like, inner);
    }
    const xg_tensor *t = &r->g->tensor.v[tensor];
    if (!t->data) return XG_NONE;
    const xg_quant *q = t->quant;
    if (q && q->axis >= 0) {
        int64_t behind = 1, at = 1;
        int32_t axis = -1;
        for (uint32_t i = (uint32_t)q->axis + 1; i < t->rank; i++) behind *= t->dim[i];
        for (uint32_t i = rank; i-- > 0; at *= dim[i])
            if (at == behind && dim[i] == t->dim[q->axis]) axis = (int32_t)i;
        if (axis < 0) return XG_NONE;
        q = xg_quant_new(r->a, axis, q->n, q->scale, q->zp);
    }
    return like_constant(r, tensor, rank, dim, t->data, q);
}

/* ---- running ---- */

/* One sweep; *changed tells whether a rule fired. */
static xg_status sweep(xg_ctx *c, xg_graph **g, const xg_pass_args *p, const xg_rule_fn *rules,
                       bool *changed) {
    xg_rw r = {.c = c,
               .g = *g,
               .a = p->arena,
               .tmp = xg_arena_new(c),
               .args = p,
               .first_new = (*g)->tensor.n};
    count_readers(&r);
    *changed = false;
    for (uint32_t i = 0, n = r.g->node.n; i < n && !r.status; i++)
        for (const xg_rule_fn *rule = rules; *rule && !r.status; rule++)
            if (!r.dead.v[i] && (*rule)(&r, i)) *changed = true;
    xg_status st = r.status;
    xg_arena_free(r.tmp);
    return st ? st : xg_graph_tidy(c, g);
}

xg_status xg_rw_run(xg_ctx *c, xg_graph **g, const xg_pass_args *p, const xg_rule_fn *rules) {
    /* Every rule moves something in one direction or removes it, so that a sweep without change
     * comes; the bound is a guard against a pair of rules that undo each other. */
    for (uint32_t i = 0, most = 100 + (*g)->node.n; i < most; i++) {
        bool changed;
        xg_status st = sweep(c, g, p, rules, &changed);
        if (st || !changed) return st;
        if (p->changed) *p->changed = true;
    }
    return xg_error(c, XG_INTERNAL, "", "a pass does not come to an end");
}
