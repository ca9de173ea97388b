#include "xgraph/pass.h"

#include <math.h>
#include <string.h>

static bool is_shape(const xg_tensor *a, const xg_tensor *b) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static bool all_equal(const xg_attr *a, int64_t v) {
    for (uint32_t i = 0; i < a->n; i++)
        if (a->is[i] != v) return false;
    return true;
}

static bool ascending(const xg_attr *perm) {
    for (uint32_t i = 0; i < perm->n; i++)
        if (perm->is[i] != (int64_t)i) return false;
    return true;
}

static bool unit_window(const xg_node *n) {
    xg_window w = xg_node_window(n);
    return w.kh == 1 && w.kw == 1 && w.sh == 1 && w.sw == 1 && !w.pt && !w.pl && !w.pb && !w.pr;
}

/* Integer bounds that exclude nothing. */
static bool bounds_open(const xg_node *n, const xg_tensor *y) {
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    return xg_ai(n, XG_ATTR_lo) <= lo && xg_ai(n, XG_ATTR_hi) >= hi;
}

static bool does_nothing(const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *y = xg_out(g, n, 0);
    if (!x || x->dtype != y->dtype || !is_shape(x, y) || !xg_quant_equal(x->quant, y->quant))
        return false;
    switch (n->op) {
    case XG_OP_Cast:
    case XG_OP_Reshape:
    case XG_OP_Requantize:
        return true;
    case XG_OP_Transpose:
        return ascending(xg_attr_of(n, XG_ATTR_perm));
    case XG_OP_Pad:
        return all_equal(xg_attr_of(n, XG_ATTR_pads), 0);
    case XG_OP_Slice:
        return all_equal(xg_attr_of(n, XG_ATTR_steps), 1);
    case XG_OP_Concat:
        return n->nin == 1;
    case XG_OP_Clip:
        if (x->dtype != XG_F32) return bounds_open(n, y);
        return xg_af(n, XG_ATTR_min) == -INFINITY && xg_af(n, XG_ATTR_max) == INFINITY;
    case XG_OP_MaxPool:
    case XG_OP_AvgPool:
        return unit_window(n) && (x->dtype == XG_F32 || bounds_open(n, y));
    default:
        return false;
    }
}

static bool drop(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    return does_nothing(r->g, n) && xg_rw_replace(r, n->out[0], n->in[0]);
}

/* Reshape of Reshape, Transpose of Transpose. */
static bool merge(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Reshape && n->op != XG_OP_Transpose) return false;
    const xg_node *before = xg_rw_made_by(r, n->in[0], (xg_op)n->op);
    if (!before) return false;
    uint32_t out = n->out[0], t;
    const xg_tensor *y = xg_out(r->g, n, 0);
    if (n->op == XG_OP_Reshape)
        t = xg_rw_reshape(r, node, before->in[0], y->dim, y->rank);
    else {
        const xg_attr *first = xg_attr_of(before, XG_ATTR_perm),
                      *then = xg_attr_of(n, XG_ATTR_perm);
        int64_t perm[XG_RANK_MAX];
        for (uint32_t i = 0; i < then->n; i++) perm[i] = first->is[then->is[i]];
        t = xg_rw_transpose(r, node, before->in[0], perm);
    }
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

/* A Transpose that keeps the order of all axes longer than 1 moves nothing. */
static bool unit_axes(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Transpose) return false;
    const xg_attr *perm = xg_attr_of(n, XG_ATTR_perm);
    const xg_tensor *x = xg_in(r->g, n, 0), *y = xg_out(r->g, n, 0);
    int64_t last = -1;
    for (uint32_t i = 0; i < perm->n; i++) {
        if (x->dim[perm->is[i]] == 1) continue;
        if (perm->is[i] < last) return false;
        last = perm->is[i];
    }
    if (x->quant && x->quant->axis >= 0) return false;
    uint32_t out = n->out[0], t = xg_rw_reshape(r, node, n->in[0], y->dim, y->rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

/* Axes of t longer than 1, in order. */
static uint32_t long_axes(const xg_tensor *t, uint32_t *axis) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dim[i] != 1) axis[n++] = i;
    return n;
}

/* Transpose, Reshape that only adds or drops axes of 1, Transpose: the second Transpose moves
 * before the Reshape, where it merges with the first. */
static bool around_unit_reshape(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Transpose) return false;
    const xg_node *shape = xg_rw_made_by(r, n->in[0], XG_OP_Reshape);
    if (!shape || !xg_rw_made_by(r, shape->in[0], XG_OP_Transpose)) return false;
    const xg_tensor *x = xg_in(r->g, shape, 0), *m = xg_out(r->g, shape, 0);
    uint32_t from[XG_RANK_MAX], mid[XG_RANK_MAX], count = long_axes(x, from), rank = x->rank,
                                                  at = 0;
    if (long_axes(m, mid) != count) return false;
    for (uint32_t i = 0; i < count; i++)
        if (x->dim[from[i]] != m->dim[mid[i]]) return false;
    const xg_attr *perm = xg_attr_of(n, XG_ATTR_perm);
    int64_t own[XG_RANK_MAX];
    for (uint32_t i = 0; i < rank; i++)
        if (x->dim[i] == 1) own[at++] = i;
    for (uint32_t i = 0; i < perm->n; i++)
        for (uint32_t k = 0; k < count; k++)
            if (perm->is[i] == mid[k]) own[at++] = from[k];
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t out = n->out[0], t = xg_rw_transpose(r, node, shape->in[0], own);
    if (t != XG_NONE) t = xg_rw_reshape(r, node, t, y.dim, y.rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

static bool is_all(const xg_tensor *t, float v) {
    if (!t->data || t->dtype != XG_F32) return false;
    for (int64_t i = 0; i < xg_tensor_elems(t); i++)
        if (((const float *)t->data)[i] != v) return false;
    return true;
}

/* x * 1, x / 1, x + 0, x - 0, as exporters write normalisations without parameters. */
static bool neutral(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    bool product = n->op == XG_OP_Mul || n->op == XG_OP_Div;
    if (!product && n->op != XG_OP_Add && n->op != XG_OP_Sub) return false;
    for (uint32_t k = n->op == XG_OP_Sub || n->op == XG_OP_Div ? 1 : 0; k < 2; k++) {
        const xg_tensor *x = xg_in(r->g, n, 1 - k);
        if (x->dtype == XG_F32 && is_shape(x, xg_out(r->g, n, 0)) &&
            is_all(xg_in(r->g, n, k), product ? 1 : 0))
            return xg_rw_replace(r, n->out[0], n->in[1 - k]);
    }
    return false;
}

bool xg_rule_identity(xg_rw *r, uint32_t node) {
    return drop(r, node) || neutral(r, node) || merge(r, node) || unit_axes(r, node) ||
           around_unit_reshape(r, node);
}

/* ---- equal nodes ---- */

static bool same_attrs(const xg_node *a, const xg_node *b) {
    for (uint32_t i = 0; i < xg_ops[a->op].nattr; i++) {
        const xg_attr *p = &a->attr[i], *q = &b->attr[i];
        if (p->i != q->i || memcmp(&p->f, &q->f, sizeof p->f) || p->n != q->n) return false;
        if (p->is && memcmp(p->is, q->is, p->n * sizeof *p->is)) return false;
    }
    return true;
}

static bool cheap(uint32_t op) {
    return op == XG_OP_Transpose || op == XG_OP_Reshape || op == XG_OP_Quantize ||
           op == XG_OP_Dequantize || op == XG_OP_Slice || op == XG_OP_Requantize;
}

/* The conversions and movements that importers and exporters repeat for each reader. */
static xg_status share_equal(xg_ctx *c, xg_graph **g) {
    xg_arena *tmp = xg_arena_new(c);
    xg_graph *h = *g;
    xg_uses uses = xg_graph_uses(h, tmp);
    for (uint32_t i = 0; i < h->node.n; i++) {
        const xg_node *n = xg_nodep(h, i);
        if (!cheap(n->op) || xg_out(h, n, 0)->is_output) continue;
        /* The first equal reader of the same tensor; its inputs may have been redirected meanwhile.
         */
        for (uint32_t k = uses.first[n->in[0]]; k < uses.first[n->in[0] + 1] && uses.node[k] < i;
             k++) {
            const xg_node *m = xg_nodep(h, uses.node[k]);
            const xg_tensor *y = xg_out(h, n, 0), *z = xg_out(h, m, 0);
            if (m->op != n->op || m->in[0] != n->in[0] || !same_attrs(m, n) ||
                y->dtype != z->dtype || !xg_quant_equal(y->quant, z->quant) || !is_shape(y, z))
                continue;
            xg_graph_replace(h, n->out[0], m->out[0]);
            break;
        }
    }
    xg_arena_free(tmp);
    return xg_graph_tidy(c, g);
}

xg_status xg_pass_remove_identity(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(c, g, p, (const xg_rule_fn[]){xg_rule_identity, NULL});
    return st ? st : share_equal(c, g);
}
