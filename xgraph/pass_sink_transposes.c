/* Importing leaves Transpose(NHWC to NCHW) behind every spatial operator and Transpose(NCHW to
 * NHWC) before it. The first kind and all Reshapes move down through operators that do not care;
 * the second kind moves up through Dequantize; where they meet they cancel (xg_rule_identity). What
 * reaches a graph output or a real reshape stays. */
#include "xgraph/pass.h"

#include "xgraph/const_eval.h"

#include <string.h>

static const int64_t to_nhwc[4] = {0, 2, 3, 1}, to_nchw[4] = {0, 3, 1, 2};

static bool is_perm(const xg_attr *p, const int64_t *want) {
    return p->n == 4 && !memcmp(p->is, want, 4 * sizeof *want);
}

/* The Transpose that makes this tensor, if it is one that moves down. */
static const xg_node *down(const xg_rw *r, uint32_t tensor) {
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_Transpose);
    return n && !is_perm(xg_attr_of(n, XG_ATTR_perm), to_nhwc) ? n : NULL;
}

/* new node's output, behind the moved Transpose or Reshape, takes the place of `out`. */
static bool behind_transpose(xg_rw *r, uint32_t node, uint32_t fresh, const int64_t *perm,
                             uint32_t out) {
    if (!xg_rw_infer(r, fresh)) return false;
    uint32_t t = xg_rw_transpose(r, node, xg_rw_out(r, fresh), perm);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

static bool behind_reshape(xg_rw *r, uint32_t node, uint32_t fresh, const xg_tensor *like,
                           uint32_t out) {
    int64_t dim[XG_RANK_MAX];
    uint32_t rank = like->rank;
    memcpy(dim, like->dim, sizeof dim);
    if (!xg_rw_infer(r, fresh)) return false;
    uint32_t t = xg_rw_reshape(r, node, xg_rw_out(r, fresh), dim, rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

/* ---- one data input ---- */

static bool passes_elements(uint32_t op) {
    return xg_op_is_unary(op) || op == XG_OP_Cast || op == XG_OP_Lut || op == XG_OP_Requantize ||
           op == XG_OP_Quantize || op == XG_OP_Dequantize;
}

static bool moves_axes(uint32_t op) {
    return op == XG_OP_Softmax || op == XG_OP_ReduceMean || op == XG_OP_ReduceSum ||
           op == XG_OP_ReduceMax || op == XG_OP_ReduceMin || op == XG_OP_ReduceProd ||
           op == XG_OP_ArgMax || op == XG_OP_ArgMin || op == XG_OP_Hardmax || op == XG_OP_CumSum ||
           op == XG_OP_Normalize || op == XG_OP_Slice || op == XG_OP_Pad || op == XG_OP_Gather;
}

static bool per_tensor(const xg_tensor *t) {
    return !t->quant || t->quant->axis < 0;
}

/* A list attribute with one value for each axis (twice for pads), seen from before the Transpose.
 */
static void remap_list(xg_rw *r, const xg_node *n, xg_attr_id id, const xg_attr *old,
                       const int64_t *perm, uint32_t rank) {
    int64_t v[2 * XG_RANK_MAX];
    for (uint32_t i = 0; i < old->n; i++) v[perm[i % rank] + i / rank * rank] = old->is[i];
    xg_set_ais(r->g, n, id, v, old->n);
}

static bool remap_axes(xg_rw *r, uint32_t old, uint32_t fresh, const int64_t *perm, uint32_t rank) {
    const xg_node *o = xg_nodep(r->g, old), *n = xg_nodep(r->g, fresh);
    if (xg_has_attr(o, XG_ATTR_axis)) {
        xg_set_ai(n, XG_ATTR_axis, perm[xg_ai(o, XG_ATTR_axis)]);
    } else if (o->op == XG_OP_Slice) {
        remap_list(r, n, XG_ATTR_starts, xg_attr_of(o, XG_ATTR_starts), perm, rank);
        remap_list(r, n, XG_ATTR_steps, xg_attr_of(o, XG_ATTR_steps), perm, rank);
        remap_list(r, n, XG_ATTR_shape, xg_attr_of(o, XG_ATTR_shape), perm, rank);
    } else if (o->op == XG_OP_Pad) {
        remap_list(r, n, XG_ATTR_pads, xg_attr_of(o, XG_ATTR_pads), perm, rank);
    } else {
        const xg_attr *axes = xg_attr_of(o, XG_ATTR_axes);
        int64_t v[XG_RANK_MAX];
        bool gone[XG_RANK_MAX] = {0};
        uint32_t count = 0;
        for (uint32_t i = 0; i < axes->n; i++) gone[perm[axes->is[i]]] = true;
        for (uint32_t i = 0; i < rank; i++)
            if (gone[i]) v[count++] = i;
        xg_set_ais(r->g, n, XG_ATTR_axes, v, count);
    }
    return true;
}

static bool transpose_through_one(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    bool axes = moves_axes(n->op);
    if (!axes && !passes_elements(n->op)) return false;
    const xg_node *t = down(r, n->in[0]);
    const xg_tensor *y = xg_out(r->g, n, 0);
    if (!t || !per_tensor(y) || !per_tensor(xg_in(r->g, n, 0))) return false;
    if (xg_has_attr(n, XG_ATTR_keepdims) && !xg_ai(n, XG_ATTR_keepdims)) return false;
    if (n->op == XG_OP_Gather && xg_in(r->g, n, 1)->rank != 1) return false;
    const int64_t *perm = xg_attr_of(t, XG_ATTR_perm)->is;
    uint32_t rank = y->rank, out = n->out[0], in[2] = {t->in[0], n->nin > 1 ? n->in[1] : XG_NONE};
    xg_dtype dtype = y->dtype;
    const xg_quant *q = y->quant;
    uint32_t fresh = xg_rw_add(r, (xg_op)n->op, node, in, n->nin);
    xg_rw_copy_attrs(r, node, fresh);
    if (axes) remap_axes(r, node, fresh, perm, rank);
    xg_rw_set_out(r, fresh, dtype, q);
    return behind_transpose(r, node, fresh, perm, out);
}

static bool reshape_through_one(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (!passes_elements(n->op)) return false;
    const xg_node *t = xg_rw_made_by(r, n->in[0], XG_OP_Reshape);
    const xg_tensor *y = xg_out(r->g, n, 0);
    if (!t || !per_tensor(y) || !per_tensor(xg_in(r->g, n, 0))) return false;
    uint32_t out = n->out[0], in[2] = {t->in[0], n->nin > 1 ? n->in[1] : XG_NONE};
    uint32_t fresh = xg_rw_add(r, (xg_op)n->op, node, in, n->nin);
    y = &r->g->tensor.v[out];
    xg_rw_copy_attrs(r, node, fresh);
    xg_rw_set_out(r, fresh, y->dtype, y->quant);
    xg_tensor shape = r->g->tensor.v[out];
    return behind_reshape(r, node, fresh, &shape, out);
}

/* ---- several inputs ---- */

/* A constant operand as it stands before the Transpose: padded to full rank, axes moved back. */
static uint32_t constant_before(xg_rw *r, uint32_t node, uint32_t tensor, const int64_t *perm,
                                uint32_t rank) {
    const xg_tensor *t = &r->g->tensor.v[tensor];
    int64_t dim[XG_RANK_MAX], back[XG_RANK_MAX];
    if (xg_tensor_elems(t) == 1) return tensor;
    for (uint32_t i = 0; i < rank; i++) {
        dim[i] = i + t->rank >= rank ? t->dim[i + t->rank - rank] : 1;
        back[perm[i]] = i;
    }
    uint32_t wide = t->rank == rank ? tensor : xg_rw_reshaped(r, node, tensor, dim, rank);
    return wide == XG_NONE ? XG_NONE : xg_rw_permuted(r, node, wide, back);
}

/* Operand k seen from before the Transpose `perm`; XG_NONE when it cannot be. */
static uint32_t operand_before(xg_rw *r, uint32_t node, uint32_t tensor, const int64_t *perm,
                               uint32_t rank) {
    const xg_node *t = down(r, tensor);
    if (t && !memcmp(xg_attr_of(t, XG_ATTR_perm)->is, perm, rank * sizeof *perm)) return t->in[0];
    if (xg_rw_const_like(r, tensor)) return constant_before(r, node, tensor, perm, rank);
    const xg_tensor *x = &r->g->tensor.v[tensor];
    bool spatial = rank == 4 && !memcmp(perm, to_nchw, sizeof to_nchw);
    if (!spatial || x->rank != 4) return XG_NONE;
    return xg_rw_transpose(r, node, tensor, to_nhwc);
}

static bool has_several(uint32_t op) {
    return xg_op_is_binary(op) || op == XG_OP_Concat;
}

/* At least half of the operands that are not constant come from such a Transpose: moving it pays.
 */
static const xg_node *worth_moving(const xg_rw *r, const xg_node *n, uint32_t rank) {
    const xg_node *first = NULL;
    uint32_t moved = 0, other = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        const xg_node *t = down(r, n->in[k]);
        bool fits = t && r->g->tensor.v[n->in[k]].rank == rank;
        if (fits && first &&
            memcmp(xg_attr_of(t, XG_ATTR_perm)->is, xg_attr_of(first, XG_ATTR_perm)->is,
                   rank * sizeof(int64_t)))
            fits = false;
        if (fits) {
            moved++;
            if (!first) first = t;
        } else if (!xg_rw_const_like(r, n->in[k]))
            other++;
    }
    return moved >= other ? first : NULL;
}

static bool can_stand_before(const xg_rw *r, uint32_t tensor, const int64_t *perm, uint32_t rank) {
    const xg_tensor *x = &r->g->tensor.v[tensor];
    const xg_node *t = down(r, tensor);
    if (t && x->rank == rank && !memcmp(xg_attr_of(t, XG_ATTR_perm)->is, perm, rank * sizeof *perm))
        return true;
    if (xg_rw_const_like(r, tensor)) return x->rank <= rank;
    return rank == 4 && x->rank == 4 && !memcmp(perm, to_nchw, sizeof to_nchw);
}

static bool transpose_through_several(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (!has_several(n->op)) return false;
    uint32_t rank = xg_out(r->g, n, 0)->rank, nin = n->nin, out = n->out[0];
    const xg_node *t = worth_moving(r, n, rank);
    if (!t) return false;
    const int64_t *perm = xg_attr_of(t, XG_ATTR_perm)->is;
    for (uint32_t k = 0; k < nin; k++)
        if (!can_stand_before(r, n->in[k], perm, rank)) return false;
    uint32_t *in = xg_newn(r->tmp, uint32_t, nin);
    for (uint32_t k = 0; k < nin; k++) {
        in[k] = operand_before(r, node, xg_nodep(r->g, node)->in[k], perm, rank);
        if (in[k] == XG_NONE) return false;
    }
    xg_op op = (xg_op)xg_nodep(r->g, node)->op;
    uint32_t fresh = xg_rw_add(r, op, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    if (op == XG_OP_Concat)
        xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_axis,
                  perm[xg_ai(xg_nodep(r->g, node), XG_ATTR_axis)]);
    xg_rw_set_out(r, fresh, r->g->tensor.v[out].dtype, r->g->tensor.v[out].quant);
    return behind_transpose(r, node, fresh, perm, out);
}

/* A constant of one value or along the last axis; its scales may be per channel. */
static bool along_last(const xg_tensor *t, int64_t last) {
    int64_t n = xg_tensor_elems(t);
    return n == 1 || (n == last && t->rank && t->dim[t->rank - 1] == last);
}

static bool same_dims(const xg_tensor *a, const xg_tensor *b, uint32_t but_last) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, (a->rank - but_last) * sizeof *a->dim);
}

/* The Reshape cuts the last axis into several and leaves the others. */
static bool splits_last(const xg_tensor *x, const xg_tensor *y) {
    return y->rank > x->rank && !memcmp(x->dim, y->dim, (x->rank - 1u) * sizeof *x->dim);
}

/* The source that all Reshaped operands share in shape; constants must lie along a last axis that
 * stays. */
static const xg_node *common_reshape(const xg_rw *r, const xg_node *n) {
    const xg_node *first = NULL;
    const xg_tensor *out = xg_out(r->g, n, 0);
    bool concat = n->op == XG_OP_Concat, constants = false;
    int64_t last = out->rank ? out->dim[out->rank - 1] : 1;
    for (uint32_t k = 0; k < n->nin; k++) {
        const xg_node *t = xg_rw_made_by(r, n->in[k], XG_OP_Reshape);
        if (!t && !concat && xg_rw_const_like(r, n->in[k]) && along_last(xg_in(r->g, n, k), last)) {
            constants = constants || xg_tensor_elems(xg_in(r->g, n, k)) > 1;
            continue;
        }
        if (!t || !xg_in(r->g, t, 0)->rank || !xg_out(r->g, t, 0)->rank) return NULL;
        if (!first) first = t;
        if (!same_dims(xg_in(r->g, t, 0), xg_in(r->g, first, 0), concat) ||
            !same_dims(xg_out(r->g, t, 0), xg_out(r->g, first, 0), concat))
            return NULL;
    }
    if (!first) return NULL;
    const xg_tensor *x = xg_in(r->g, first, 0), *y = xg_out(r->g, first, 0);
    bool keeps_last = x->dim[x->rank - 1] == y->dim[y->rank - 1];
    if (concat) return keeps_last && xg_ai(n, XG_ATTR_axis) == y->rank - 1 ? first : NULL;
    if (out->rank != y->rank || memcmp(out->dim, y->dim, y->rank * sizeof *y->dim)) return NULL;
    return keeps_last || !constants || splits_last(x, y) ? first : NULL;
}

/* A constant along the last axis of `was` elements, for one of `is` that was cut into several: it
 * repeats. */
static uint32_t spread_constant(xg_rw *r, uint32_t node, uint32_t tensor, int64_t is) {
    xg_tensor t = r->g->tensor.v[tensor];
    int64_t n = xg_tensor_elems(&t);
    if (n == 1 || n == is) return xg_rw_reshaped(r, node, tensor, &n, 1);
    size_t bytes = (size_t)n * xg_dtype_bytes(t.dtype);
    if (!t.data || (t.quant && t.quant->axis >= 0)) return XG_NONE;
    uint8_t *data = xg_alloc_array(r->a, (size_t)(is / n), bytes);
    for (int64_t i = 0; i < is / n; i++) memcpy(data + (size_t)i * bytes, t.data, bytes);
    uint32_t out = xg_rw_const(r, t.name, t.dtype, 1, &is, data, t.quant);
    r->g->tensor.v[out].onnx = t.onnx;
    return out;
}

static bool reshape_through_several(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (!has_several(n->op)) return false;
    const xg_node *t = common_reshape(r, n);
    if (!t) return false;
    if (n->op == XG_OP_Concat) /* every operand keeps its own last axis */
        for (uint32_t k = 0; k < n->nin; k++) {
            const xg_node *own = xg_rw_made_by(r, n->in[k], XG_OP_Reshape);
            const xg_tensor *a = xg_in(r->g, own, 0), *b = xg_out(r->g, own, 0);
            if (a->dim[a->rank - 1] != b->dim[b->rank - 1]) return false;
        }
    uint32_t nin = n->nin, out = n->out[0], *in = xg_newn(r->tmp, uint32_t, nin);
    int64_t last = xg_in(r->g, t, 0)->rank - 1, width = xg_in(r->g, t, 0)->dim[last];
    for (uint32_t k = 0; k < nin; k++) {
        n = xg_nodep(r->g, node);
        const xg_node *own = xg_rw_made_by(r, n->in[k], XG_OP_Reshape);
        in[k] = own ? own->in[0] : n->in[k];
        if (!own) in[k] = spread_constant(r, node, in[k], width);
        if (in[k] == XG_NONE) return false;
    }
    xg_op op = (xg_op)xg_nodep(r->g, node)->op;
    uint32_t fresh = xg_rw_add(r, op, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    if (op == XG_OP_Concat) xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_axis, last);
    xg_rw_set_out(r, fresh, r->g->tensor.v[out].dtype, r->g->tensor.v[out].quant);
    xg_tensor shape = r->g->tensor.v[out];
    return behind_reshape(r, node, fresh, &shape, out);
}

/* A map turned to NCHW and flattened to [N,C,HW], as detection heads do: flattened to [N,HW,C] and
 * then turned, so that the Transpose goes on moving. And back: [N,HW,C] turned and cut into
 * [N,C,H,W]. */
static bool reshape_before_transpose(xg_rw *r, uint32_t node) {
    static const int64_t swap[3] = {0, 2, 1};
    const xg_node *n = xg_nodep(r->g, node);
    const xg_node *t = n->op == XG_OP_Reshape ? xg_rw_made_by(r, n->in[0], XG_OP_Transpose) : NULL;
    if (!t || !per_tensor(xg_in(r->g, t, 0))) return false;
    const xg_attr *perm = xg_attr_of(t, XG_ATTR_perm);
    xg_tensor x = *xg_in(r->g, t, 0), y = *xg_out(r->g, n, 0);
    bool flattens = is_perm(perm, to_nchw) && y.rank == 3,
         cuts = perm->n == 3 && !memcmp(perm->is, swap, sizeof swap) && y.rank == 4;
    if (!(flattens || cuts) || y.dim[0] != x.dim[0] || y.dim[1] != x.dim[x.rank - 1]) return false;
    int64_t flat[3] = {y.dim[0], y.dim[2], y.dim[1]},
            map[4] = {y.dim[0], y.dim[2], y.dim[3], y.dim[1]};
    uint32_t out = n->out[0], in = flattens ? xg_rw_reshape(r, node, t->in[0], flat, 3)
                                            : xg_rw_reshape(r, node, t->in[0], map, 4);
    if (in == XG_NONE) return false;
    uint32_t turned = xg_rw_transpose(r, node, in, flattens ? swap : to_nchw);
    return turned != XG_NONE && xg_rw_replace(r, out, turned);
}

/* ---- up ---- */

/* All that read it are Transposes from NCHW to NHWC. */
static bool only_turned(const xg_rw *r, uint32_t tensor) {
    uint32_t turns = 0;
    for (uint32_t i = 0; i < r->g->node.n; i++) {
        const xg_node *n = xg_nodep(r->g, i);
        turns += !r->dead.v[i] && n->op == XG_OP_Transpose && n->in[0] == tensor &&
                 is_perm(xg_attr_of(n, XG_ATTR_perm), to_nhwc);
    }
    return turns == xg_rw_uses(r, tensor);
}

/* What a Transpose(NCHW to NHWC) moves up through: Dequantize always (the copy is free), functions
 * of one element and Pad when nothing else reads them, Slice when nothing reads it otherwise. */
static const xg_node *above(const xg_rw *r, const xg_node *n) {
    const xg_node *m = xg_rw_made_by(r, n->in[0], XG_OP_COUNT);
    if (!m || !per_tensor(xg_in(r->g, m, 0)) || !per_tensor(xg_out(r->g, m, 0))) return NULL;
    if (m->op == XG_OP_Dequantize) return xg_in(r->g, m, 0)->data ? NULL : m;
    if (m->op == XG_OP_Slice) return only_turned(r, n->in[0]) ? m : NULL;
    bool passes = xg_op_is_unary(m->op) || m->op == XG_OP_Pad;
    return passes && xg_rw_uses(r, n->in[0]) == 1 ? m : NULL;
}

static bool transpose_up(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Transpose || !is_perm(xg_attr_of(n, XG_ATTR_perm), to_nhwc)) return false;
    const xg_node *m = above(r, n);
    if (!m) return false;
    uint32_t out = n->out[0], mi = r->g->tensor.v[n->in[0]].producer;
    xg_tensor y = *xg_out(r->g, n, 0);
    uint32_t t = xg_rw_transpose(r, node, m->in[0], to_nhwc);
    if (t == XG_NONE) return false;
    uint32_t fresh = xg_rw_add(r, (xg_op)xg_nodep(r->g, mi)->op, mi, &t, 1);
    xg_rw_copy_attrs(r, mi, fresh);
    if (moves_axes(xg_nodep(r->g, fresh)->op)) remap_axes(r, mi, fresh, to_nchw, 4);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* Up through a Concat of pieces (slices of a graph input, say), so that each is turned where it
 * comes from. */
static bool transpose_up_concat(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Transpose || !is_perm(xg_attr_of(n, XG_ATTR_perm), to_nhwc)) return false;
    const xg_node *m = xg_rw_made_by(r, n->in[0], XG_OP_Concat);
    if (!m || xg_rw_uses(r, n->in[0]) != 1) return false;
    for (uint32_t k = 0; k < m->nin; k++) {
        const xg_node *slice = xg_rw_made_by(r, m->in[k], XG_OP_Slice);
        if (!slice || !per_tensor(xg_in(r->g, m, k))) return false;
    }
    uint32_t out = n->out[0], nin = m->nin, mi = r->g->tensor.v[n->in[0]].producer,
             *in = xg_newn(r->tmp, uint32_t, nin);
    int64_t axis = to_nchw[xg_ai(m, XG_ATTR_axis)];
    xg_tensor y = *xg_out(r->g, n, 0);
    for (uint32_t k = 0; k < nin; k++) {
        in[k] = xg_rw_transpose(r, node, xg_nodep(r->g, mi)->in[k], to_nhwc);
        if (in[k] == XG_NONE) return false;
    }
    uint32_t fresh = xg_rw_add(r, XG_OP_Concat, mi, in, nin);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_axis, axis);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

bool xg_rule_sink(xg_rw *r, uint32_t node) {
    return transpose_through_one(r, node) || reshape_through_one(r, node) ||
           transpose_through_several(r, node) || reshape_through_several(r, node) ||
           reshape_before_transpose(r, node) || transpose_up(r, node) ||
           transpose_up_concat(r, node);
}

xg_status xg_pass_sink_transposes(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(c, g, p, (const xg_rule_fn[]){xg_rule_identity, xg_rule_sink, NULL});
    return st ? st : xg_pass_remove_identity(c, g, p);
}
