/* Chains of Reshape, Transpose, Slice and Gather on integer maps, in forms that a machine which
 * addresses rows, pixels and channels can do without a host: channel shuffles, depth to space,
 * space to depth, nearest resizing, each in any spelling. What a chain does is found by following
 * every element, not by its operators.
 *
 *   depth to space, repeated pixels   y[h a + i, w b + j, c] = x[h, w, f(i, j, c)]: for each i the
 *     channels f(i, ., .); these a maps side by side along W; and the same bytes as [H a, W b, C].
 *   space to depth   y[h, w, c] = x[h a + i(c), w b + j(c), f(c)]: slices of every a-th row and
 * b-th pixel, joined along C. each axis on its own   slices, joined.
 *
 * Channels are taken by a slice, by reordering the rows of the convolution before, or by a 1x1
 * convolution with weights 0 and 1, which is exact under every requantisation record. */
#include "xgraph/pass_parts.h"

#include <string.h>

enum { ELEMS_MAX = 1 << 23, CHAIN_MAX = 12, PIECES_MAX = 16 };

static const xg_window point = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0};

typedef struct chain {
    uint32_t like; /* the node that is rewritten */
    uint32_t x, y; /* tensors at both ends, four axes */
    int32_t *from; /* [elements of y]: the element of x */
    bool alone;    /* nothing else reads x or what lies between */
    int64_t xd[4], yd[4];
} chain;

static bool moves(const xg_rw *r, const xg_node *n) {
    if (n->op == XG_OP_Gather) return xg_in(r->g, n, 1)->data && xg_in(r->g, n, 1)->rank < 2;
    return n->op == XG_OP_Reshape || n->op == XG_OP_Transpose || n->op == XG_OP_Slice;
}

static int64_t index_at(const xg_tensor *t, int64_t i) {
    return t->dtype == XG_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}

/* ---- what one node does ---- */

/* Elements at[0..n) grow by an axis: n * size of them, each moved by base + c * step. */
static int32_t *grown(xg_arena *a, const int32_t *at, int64_t n, int64_t size, int64_t base,
                      int64_t step, const xg_tensor *table) {
    int32_t *to = xg_newn(a, int32_t, (size_t)(n * size));
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < size; c++)
            to[i * size + c] = at[i] + (int32_t)(base + (table ? index_at(table, c) : c) * step);
    return to;
}

/* [elements of the output]: the element of the input that each one is. */
static int32_t *node_map(xg_rw *r, const xg_node *n) {
    const xg_tensor *x = xg_in(r->g, n, 0);
    int64_t stride[XG_RANK_MAX], count = 1;
    for (uint32_t i = x->rank; i-- > 0; count *= x->dim[i]) stride[i] = count;
    int32_t *at = xg_newn(r->tmp, int32_t, 1);
    at[0] = 0;
    count = 1;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t base = 0, step = stride[i], size = x->dim[i];
        const xg_tensor *table = NULL;
        if (n->op == XG_OP_Transpose) {
            int64_t p = xg_attr_of(n, XG_ATTR_perm)->is[i];
            step = stride[p];
            size = x->dim[p];
        } else if (n->op == XG_OP_Slice) {
            base = xg_attr_of(n, XG_ATTR_starts)->is[i] * step;
            step *= xg_attr_of(n, XG_ATTR_steps)->is[i];
            size = xg_attr_of(n, XG_ATTR_shape)->is[i];
        } else if (n->op == XG_OP_Gather && xg_ai(n, XG_ATTR_axis) == i) {
            table = xg_in(r->g, n, 1);
            size = xg_tensor_elems(table);
        }
        at = grown(r->tmp, at, count, size, base, step, table);
        count *= size;
    }
    return at;
}

/* ---- the chain ---- */

/* A slice that leaves out channels in between, or runs backwards: addressing cannot. */
static bool picks(const xg_node *n) {
    if (n->op != XG_OP_Slice) return false;
    const xg_attr *step = xg_attr_of(n, XG_ATTR_steps), *dim = xg_attr_of(n, XG_ATTR_shape);
    bool picks = false;
    for (uint32_t i = 0; i < step->n; i++)
        picks =
            picks || (dim->is[i] > 1 && (step->is[i] < 1 || (i + 1 == step->n && step->is[i] > 1)));
    return picks;
}

/* Follows y back by one node; false when there is none to follow. */
static bool step_back(xg_rw *r, chain *c, bool *heavy) {
    const xg_node *n = xg_rw_made_by(r, c->x, XG_OP_COUNT);
    if (!n || !moves(r, n)) return false;
    const xg_tensor *in = xg_in(r->g, n, 0);
    if (in->data || xg_tensor_elems(in) > ELEMS_MAX || !in->quant ||
        !xg_quant_equal(in->quant, r->g->tensor.v[c->y].quant))
        return false;
    if (c->x != c->y) c->alone = c->alone && xg_rw_uses(r, c->x) == 1;
    *heavy = *heavy || n->op == XG_OP_Transpose || n->op == XG_OP_Gather || picks(n);
    if (n->op != XG_OP_Reshape) {
        const int32_t *map = node_map(r, n);
        int64_t elems = xg_tensor_elems(&r->g->tensor.v[c->y]);
        int32_t *from = xg_newn(r->tmp, int32_t, (size_t)elems);
        for (int64_t i = 0; i < elems; i++) from[i] = map[c->from[i]];
        c->from = from;
    }
    c->x = n->in[0];
    return true;
}

/* Nothing that moves elements reads it: the end of its chain. */
static bool ends_here(const xg_rw *r, uint32_t tensor) {
    for (uint32_t i = 0; i < r->g->node.n; i++) {
        const xg_node *n = xg_nodep(r->g, i);
        if (!r->dead.v[i] && n->nin && n->in[0] == tensor && moves(r, n)) return false;
    }
    return true;
}

/* ---- taking channels ---- */

/* Rows list[0..n) of a constant, scales along with them. */
static uint32_t take_rows(xg_rw *r, uint32_t constant, const int64_t *list, int64_t n) {
    xg_tensor t = r->g->tensor.v[constant];
    size_t row = (size_t)(xg_tensor_elems(&t) / t.dim[0]) * xg_dtype_bytes(t.dtype);
    uint8_t *data = xg_alloc_array(r->a, (size_t)n, row);
    for (int64_t i = 0; i < n; i++)
        memcpy(data + (size_t)i * row, (const uint8_t *)t.data + (size_t)list[i] * row, row);
    const xg_quant *q = t.quant;
    if (q && q->axis == 0) {
        float *scale = xg_newn(r->a, float, (size_t)n);
        int32_t *zp = xg_newn(r->a, int32_t, (size_t)n);
        for (int64_t i = 0; i < n; i++) scale[i] = q->scale[list[i]], zp[i] = q->zp[list[i]];
        q = xg_quant_new(r->a, 0, (uint32_t)n, scale, zp);
    }
    t.dim[0] = n;
    uint32_t out = xg_rw_const(r, t.name, t.dtype, t.rank, t.dim, data, q);
    r->g->tensor.v[out].onnx = t.onnx;
    return out;
}

/* The convolution before, with some of its output channels. */
static uint32_t conv_rows(xg_rw *r, const chain *c, uint32_t conv, const int64_t *list, int64_t n) {
    const xg_node *v = xg_nodep(r->g, conv);
    xg_tensor y = *xg_out(r->g, v, 0);
    uint32_t in[3] = {v->in[0], v->in[1], v->nin > 2 ? v->in[2] : XG_NONE}, nin = v->nin;
    in[1] = take_rows(r, in[1], list, n);
    if (in[2] != XG_NONE) in[2] = take_rows(r, in[2], list, n);
    uint32_t fresh = xg_rw_add(r, XG_OP_Conv, conv, in, nin);
    xg_rw_copy_attrs(r, conv, fresh);
    xg_rw_join(r, fresh, xg_nodep(r->g, c->like));
    return xg_rw_finish(r, fresh, y.dtype, y.quant);
}

/* The convolution that makes x for this chain only, when lists[0..n) use each of its channels once;
 * else XG_NONE. */
static uint32_t own_conv(xg_rw *r, const chain *c, const int64_t *lists, int64_t n) {
    const xg_node *v = xg_rw_made_by(r, c->x, XG_OP_Conv);
    if (!v || !c->alone || xg_rw_uses(r, c->x) != 1 || xg_ai(v, XG_ATTR_group) != 1 ||
        n != c->xd[3])
        return XG_NONE;
    for (uint32_t k = 1; k < v->nin; k++)
        if (v->in[k] != XG_NONE && !xg_in(r->g, v, k)->data) return XG_NONE;
    bool *seen = xg_newn(r->tmp, bool, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        if (seen[lists[i]]) return XG_NONE;
        seen[lists[i]] = true;
    }
    return r->g->tensor.v[c->x].producer;
}

/* Channels list[0..n) of x; conv: what own_conv said of all that is taken. */
static uint32_t take_channels(xg_rw *r, const chain *c, uint32_t x, uint32_t conv,
                              const int64_t *list, int64_t n) {
    if (conv != XG_NONE) return conv_rows(r, c, conv, list, n);
    int64_t whole = 0; /* copies of all channels, one after another */
    for (int64_t i = 0; i < n; i++) whole += list[i] == i % c->xd[3];
    bool copies = whole == n && n % c->xd[3] == 0 && n / c->xd[3] <= PIECES_MAX;
    if (xg_count_runs(list, n) == 1 || copies) return xg_rw_take_runs(r, c->like, x, 3, list, n);
    return xg_rw_one_hot(r, c->like, x, list, n, &point);
}

/* ---- the three forms ---- */

static int64_t flat(const int64_t d[4], int64_t n, int64_t h, int64_t w, int64_t c) {
    return ((n * d[1] + h) * d[2] + w) * d[3] + c;
}

/* list[(i b + j) C + c] = f(i, j, c); NULL when the chain is something else. */
static int64_t *depth_to_space(xg_rw *r, const chain *c, int64_t a, int64_t b) {
    const int64_t *d = c->yd;
    int64_t *f = xg_newn(r->tmp, int64_t, (size_t)(a * b * d[3]));
    for (int64_t i = 0; i < a * b * d[3]; i++) {
        f[i] = c->from[flat(d, 0, i / d[3] / b, i / d[3] % b, i % d[3])];
        if (f[i] >= c->xd[3]) return NULL;
    }
    for (int64_t n = 0, k = 0; n < d[0]; n++)
        for (int64_t h = 0; h < d[1]; h++)
            for (int64_t w = 0; w < d[2]; w++)
                for (int64_t ch = 0; ch < d[3]; ch++, k++)
                    if (c->from[k] !=
                        flat(c->xd, n, h / a, w / b, 0) + f[(h % a * b + w % b) * d[3] + ch])
                        return NULL;
    return f;
}

static uint32_t to_space(xg_rw *r, const chain *c) {
    if (c->yd[1] % c->xd[1] || c->yd[2] % c->xd[2]) return XG_NONE;
    int64_t a = c->yd[1] / c->xd[1], b = c->yd[2] / c->xd[2], each = b * c->yd[3];
    if (a > PIECES_MAX || b > PIECES_MAX) return XG_NONE;
    const int64_t *f = depth_to_space(r, c, a, b);
    if (!f) return XG_NONE;
    uint32_t part[PIECES_MAX], conv = own_conv(r, c, f, a * each);
    for (int64_t i = 0; i < a; i++) {
        bool again = i && !memcmp(f, f + i * each, (size_t)each * sizeof *f);
        part[i] = again ? part[0] : take_channels(r, c, c->x, conv, f + i * each, each);
        if (part[i] == XG_NONE) return XG_NONE;
    }
    uint32_t wide = xg_rw_joined(r, c->like, part, (uint32_t)a, 2);
    return wide == XG_NONE ? XG_NONE : xg_rw_reshape(r, c->like, wide, c->yd, 4);
}

/* at[c] = (i b + j) C + channel of x; NULL when the chain is something else. */
static int64_t *space_to_depth(xg_rw *r, const chain *c, int64_t a, int64_t b) {
    const int64_t *d = c->yd, *s = c->xd;
    int64_t *at = xg_newn(r->tmp, int64_t, (size_t)d[3]);
    for (int64_t ch = 0; ch < d[3]; ch++) {
        int64_t v = c->from[ch], i = v / s[3] / s[2], j = v / s[3] % s[2];
        if (i >= a || j >= b) return NULL;
        at[ch] = (i * b + j) * s[3] + v % s[3];
    }
    for (int64_t n = 0, k = 0; n < d[0]; n++)
        for (int64_t h = 0; h < d[1]; h++)
            for (int64_t w = 0; w < d[2]; w++)
                for (int64_t ch = 0; ch < d[3]; ch++, k++)
                    if (c->from[k] != flat(s, n, h * a, w * b, 0) + c->from[ch]) return NULL;
    return at;
}

static uint32_t to_depth(xg_rw *r, const chain *c) {
    if (c->xd[1] % c->yd[1] || c->xd[2] % c->yd[2]) return XG_NONE;
    int64_t a = c->xd[1] / c->yd[1], b = c->xd[2] / c->yd[2], all = a * b * c->xd[3];
    if (a * b > PIECES_MAX || a * b < 2) return XG_NONE;
    const int64_t *at = space_to_depth(r, c, a, b);
    if (!at) return XG_NONE;
    uint32_t part[PIECES_MAX], n = 0;
    int64_t *where = xg_newn(r->tmp, int64_t, (size_t)all), *list;
    for (int64_t p = 0; p < a * b; p++) { /* phases in the order in which they are first read */
        int64_t first = 0;
        while (first < c->yd[3] && at[first] / c->xd[3] != p) first++;
        where[p] = first;
    }
    int64_t *place = xg_newn(r->tmp, int64_t, (size_t)(a * b));
    for (int64_t p = 0; p < a * b; p++)
        for (int64_t q = 0; q < a * b; q++)
            place[p] += where[q] < where[p] || (where[q] == where[p] && q < p);
    for (int64_t k = 0; k < a * b; k++)
        for (int64_t p = 0; p < a * b; p++)
            if (place[p] == k && where[p] < c->yd[3]) {
                int64_t start[4] = {0, p / b, p % b, 0}, step[4] = {1, a, b, 1},
                        dim[4] = {c->yd[0], c->yd[1], c->yd[2], c->xd[3]};
                part[n++] = xg_rw_slice(r, c->like, c->x, start, step, dim);
            }
    uint32_t deep = xg_rw_joined(r, c->like, part, n, 3);
    if (deep == XG_NONE) return XG_NONE;
    list = xg_newn(r->tmp, int64_t, (size_t)c->yd[3]);
    bool same = c->yd[3] == n * c->xd[3];
    for (int64_t ch = 0; ch < c->yd[3]; ch++) {
        list[ch] = place[at[ch] / c->xd[3]] * c->xd[3] + at[ch] % c->xd[3];
        same = same && list[ch] == ch;
    }
    if (same) return deep;
    return xg_count_runs(list, c->yd[3]) == 1
               ? xg_rw_take_runs(r, c->like, deep, 3, list, c->yd[3])
               : xg_rw_one_hot(r, c->like, deep, list, c->yd[3], &point);
}

/* Elements list[0..n) of rows or pixels. */
static uint32_t take_places(xg_rw *r, const chain *c, uint32_t in, int axis, const int64_t *list,
                            int64_t n) {
    int64_t step = n > 1 ? list[1] - list[0] : 1;
    bool even = step > 0;
    for (int64_t i = 1; i < n; i++) even = even && list[i] - list[i - 1] == step;
    if (even) return xg_rw_part(r, c->like, in, axis, list[0], step, n);
    return xg_count_runs(list, n) <= PIECES_MAX ? xg_rw_take_runs(r, c->like, in, axis, list, n)
                                                : XG_NONE;
}

static uint32_t each_axis(xg_rw *r, const chain *c) {
    int64_t *list[4], unit = 1, stride[4], behind = 1;
    for (int k = 4; k-- > 0; unit *= c->yd[k], behind *= c->xd[k]) {
        list[k] = xg_newn(r->tmp, int64_t, (size_t)c->yd[k]);
        stride[k] = behind;
        for (int64_t i = 0; i < c->yd[k]; i++) list[k][i] = c->from[i * unit] / behind % c->xd[k];
    }
    const int64_t *d = c->yd;
    for (int64_t n = 0, k = 0; n < d[0]; n++)
        for (int64_t h = 0; h < d[1]; h++)
            for (int64_t w = 0; w < d[2]; w++)
                for (int64_t ch = 0; ch < d[3]; ch++, k++)
                    if (c->from[k] != list[0][n] * stride[0] + list[1][h] * stride[1] +
                                          list[2][w] * stride[2] + list[3][ch])
                        return XG_NONE;
    for (int64_t n = 0; n < d[0]; n++)
        if (list[0][n] != n) return XG_NONE;
    uint32_t t = take_places(r, c, c->x, 1, list[1], d[1]);
    if (t != XG_NONE) t = take_places(r, c, t, 2, list[2], d[2]);
    return t == XG_NONE ? t : take_channels(r, c, t, XG_NONE, list[3], d[3]);
}

/* ---- the rules ---- */

static uint32_t rewritten(xg_rw *r, const chain *c) {
    uint32_t t = c->yd[0] == c->xd[0] ? to_space(r, c) : XG_NONE;
    if (t == XG_NONE && c->yd[0] == c->xd[0]) t = to_depth(r, c);
    return t == XG_NONE && c->yd[0] <= c->xd[0] ? each_axis(r, c) : t;
}

static bool rewrite_chain(xg_rw *r, uint32_t node, bool ends) {
    const xg_node *n = xg_nodep(r->g, node);
    if (!moves(r, n)) return false;
    xg_tensor y = *xg_out(r->g, n, 0);
    int64_t elems = xg_tensor_elems(&y);
    if (!xg_is_int_map(&y) || elems > ELEMS_MAX || (ends && !ends_here(r, n->out[0]))) return false;
    chain c = {.like = node, .x = n->out[0], .y = n->out[0], .alone = true}, seen[CHAIN_MAX];
    memcpy(c.yd, y.dim, sizeof c.yd);
    c.from = xg_newn(r->tmp, int32_t, (size_t)elems);
    for (int64_t i = 0; i < elems; i++) c.from[i] = (int32_t)i;
    bool heavy = false;
    int count = 0;
    while (count < CHAIN_MAX && step_back(r, &c, &heavy)) {
        if (!heavy || !xg_is_int_map(&r->g->tensor.v[c.x])) continue;
        memcpy(c.xd, r->g->tensor.v[c.x].dim, sizeof c.xd);
        seen[count++] = c;
    }
    uint32_t t = XG_NONE;
    while (count-- > 0 && t == XG_NONE && !r->status) {
        t = rewritten(r, &seen[count]);
        int64_t turned[4] = {y.dim[0], y.dim[2], y.dim[3], 1}; /* one channel, axes as in NCHW */
        if (t != XG_NONE || y.dim[1] != 1) continue;
        memcpy(seen[count].yd, turned, sizeof turned);
        t = rewritten(r, &seen[count]);
        if (t != XG_NONE) t = xg_rw_reshape(r, node, t, y.dim, 4);
    }
    return t != XG_NONE && !r->status && xg_rw_replace(r, c.y, t);
}

/* What only moves elements moves integers: before Dequantize, not behind it. */
static bool before_dequantize(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    const xg_node *dq = moves(r, n) ? xg_rw_made_by(r, n->in[0], XG_OP_Dequantize) : NULL;
    if (!dq || xg_rw_uses(r, n->in[0]) != 1) return false;
    const xg_tensor *q = xg_in(r->g, dq, 0);
    if (q->data || q->dtype != XG_I8 || q->quant->axis >= 0) return false;
    xg_tensor x = *q;
    uint32_t out = n->out[0], maker = r->g->tensor.v[n->in[0]].producer,
             in[2] = {dq->in[0], n->nin > 1 ? n->in[1] : XG_NONE};
    uint32_t fresh = xg_rw_add(r, (xg_op)n->op, node, in, n->nin);
    xg_rw_copy_attrs(r, node, fresh);
    uint32_t moved = xg_rw_finish(r, fresh, x.dtype, x.quant);
    if (moved == XG_NONE) return false;
    uint32_t real = xg_rw_add(r, XG_OP_Dequantize, maker, &moved, 1);
    return xg_rw_infer(r, real) && xg_rw_replace(r, out, xg_rw_out(r, real));
}

static bool whole_chain(xg_rw *r, uint32_t node) {
    return rewrite_chain(r, node, true);
}

static bool any_chain(xg_rw *r, uint32_t node) {
    return rewrite_chain(r, node, false);
}

/* A function that stays f32 behind Dequantize: what moves its result moves its input. */
static bool before_function(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    const xg_node *f = moves(r, n) ? xg_rw_made_by(r, n->in[0], XG_OP_COUNT) : NULL;
    if (!f || !xg_op_is_unary(f->op) || xg_rw_uses(r, n->in[0]) != 1 ||
        !xg_rw_made_by(r, f->in[0], XG_OP_Dequantize) || xg_out(r->g, f, 0)->dtype != XG_F32)
        return false;
    uint32_t out = n->out[0], fi = r->g->tensor.v[n->in[0]].producer,
             in[2] = {f->in[0], n->nin > 1 ? n->in[1] : XG_NONE};
    uint32_t fresh = xg_rw_add(r, (xg_op)n->op, node, in, n->nin);
    xg_rw_copy_attrs(r, node, fresh);
    uint32_t moved = xg_rw_finish(r, fresh, XG_F32, NULL);
    if (moved == XG_NONE) return false;
    uint32_t again = xg_rw_add(r, (xg_op)xg_nodep(r->g, fi)->op, fi, &moved, 1);
    xg_rw_copy_attrs(r, fi, again);
    return xg_rw_infer(r, again) && xg_rw_replace(r, out, xg_rw_out(r, again));
}

static xg_status rewrite_chains(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(c, g, p, (const xg_rule_fn[]){whole_chain, NULL});
    return st ? st : xg_rw_run(c, g, p, (const xg_rule_fn[]){any_chain, NULL});
}

/* A chain that is gone no longer holds up the Transposes before it: they move on, and meet others.
 */
xg_status xg_pass_moves(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = rewrite_chains(c, g, p);
    if (!st) st = xg_pass_sink_transposes(c, g, p);
    if (!st)
        st = xg_rw_run(c, g, p, (const xg_rule_fn[]){before_dequantize, before_function, NULL});
    if (!st) st = rewrite_chains(c, g, p);
    return st ? st : xg_pass_remove_identity(c, g, p);
}
