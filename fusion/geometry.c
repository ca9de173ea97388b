#include "fusion/geometry.h"

#include <assert.h>
#include <string.h>

xg_slice xg_slice_whole(const xg_tensor *t, uint32_t image) {
    int64_t d[4];
    xg_dims4(t, d);
    return (xg_slice){image, 0, (uint32_t)d[1], 0, (uint32_t)d[2], 0, (uint32_t)d[3]};
}

bool xg_slice_equal(const xg_slice *a, const xg_slice *b) {
    return a->n == b->n && a->h0 == b->h0 && a->h1 == b->h1 && a->w0 == b->w0 && a->w1 == b->w1 &&
           a->c0 == b->c0 && a->c1 == b->c1;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

void xg_slice_unite(xg_slice *a, const xg_slice *b) {
    a->h0 = least(a->h0, b->h0);
    a->w0 = least(a->w0, b->w0);
    a->c0 = least(a->c0, b->c0);
    a->h1 = most(a->h1, b->h1);
    a->w1 = most(a->w1, b->w1);
    a->c1 = most(a->c1, b->c1);
}

static bool is_depthwise(const xg_graph *g, const xg_node *n) {
    int64_t in[4], out[4], group = xg_ai(n, XG_ATTR_group);
    xg_dims4(xg_in(g, n, 0), in);
    xg_dims4(xg_out(g, n, 0), out);
    return group > 1 && group == in[3] && group == out[3];
}

xg_tile_kind xg_node_tile_kind(const xg_graph *g, const xg_node *n) {
    switch ((xg_op)n->op) {
    case XG_OP_Conv:
        return is_depthwise(g, n) ? XG_TK_DW : XG_TK_CONV;
    case XG_OP_MaxPool:
    case XG_OP_AvgPool:
        return XG_TK_POOL;
    case XG_OP_Add:
    case XG_OP_Mul:
        return XG_TK_ELEW;
    case XG_OP_Lut:
    case XG_OP_Clip:
        return XG_TK_LUT;
    case XG_OP_Concat:
        return XG_TK_CONCAT;
    case XG_OP_Reshape:
    case XG_OP_Slice:
        return XG_TK_VIEW;
    default:
        return XG_TK_NONE;
    }
}

/* Input range [*lo, *hi) of a window axis for outputs [o0, o1), clipped to [0, size). */
static void window_range(uint32_t o0, uint32_t o1, int32_t stride, int32_t pad, int32_t extent,
                         int64_t size, uint32_t *lo, uint32_t *hi) {
    int64_t a = (int64_t)o0 * stride - pad, b = (int64_t)(o1 - 1) * stride - pad + extent;
    a = xg_clamp(a, 0, size - 1); /* a window wholly inside the padding still names one element */
    b = xg_clamp(b, a + 1, size);
    *lo = (uint32_t)a;
    *hi = (uint32_t)b;
}

static xg_slice need_window(const xg_graph *g, const xg_node *n, const xg_slice *out) {
    xg_window w = xg_node_window(n);
    int64_t d[4];
    xg_dims4(xg_in(g, n, 0), d);
    xg_slice s = *out;
    window_range(out->h0, out->h1, w.sh, w.pt, (w.kh - 1) * w.dh + 1, d[1], &s.h0, &s.h1);
    window_range(out->w0, out->w1, w.sw, w.pl, (w.kw - 1) * w.dw + 1, d[2], &s.w0, &s.w1);
    return s;
}

static xg_slice need_broadcast(const xg_graph *g, const xg_node *n, uint32_t operand,
                               const xg_slice *out) {
    int64_t d[4];
    xg_dims4(xg_in(g, n, operand), d);
    xg_slice s = *out;
    if (d[0] == 1) s.n = 0;
    if (d[1] == 1) s.h0 = 0, s.h1 = 1;
    if (d[2] == 1) s.w0 = 0, s.w1 = 1;
    if (d[3] == 1) s.c0 = 0, s.c1 = 1;
    return s;
}

xg_slice xg_need(const xg_graph *g, const xg_node *n, uint32_t operand, const xg_slice *out) {
    switch (xg_node_tile_kind(g, n)) {
    case XG_TK_CONV: {
        xg_slice s = need_window(g, n, out);
        int64_t in[4], o[4], group = xg_ai(n, XG_ATTR_group);
        xg_dims4(xg_in(g, n, 0), in);
        xg_dims4(xg_out(g, n, 0), o);
        int64_t ipg = in[3] / group, opg = o[3] / group;
        s.c0 = (uint32_t)(out->c0 / opg * ipg);
        s.c1 = (uint32_t)(((out->c1 - 1) / opg + 1) * ipg);
        return s;
    }
    case XG_TK_DW:
    case XG_TK_POOL:
        return need_window(g, n, out);
    case XG_TK_ELEW:
        return need_broadcast(g, n, operand, out);
    default:
        return *out;
    }
}

void xg_conv_channel_words(const xg_graph *g, const xg_node *n, uint32_t icp, uint32_t c0,
                           uint32_t c1, uint32_t *lo, uint32_t *hi) {
    int64_t in[4], o[4], group = xg_ai(n, XG_ATTR_group);
    xg_dims4(xg_in(g, n, 0), in);
    xg_dims4(xg_out(g, n, 0), o);
    int64_t ipg = in[3] / group, opg = o[3] / group;
    *lo = (uint32_t)(c0 / opg * ipg / icp);
    *hi = (uint32_t)xg_ceil_div(((c1 - 1) / opg + 1) * ipg, icp);
}

uint32_t xg_fm_words(const xg_machine *m, const xg_slice *s, uint32_t il) {
    uint32_t rows = s->h1 - s->h0, cols = s->w1 - s->w0, ch = s->c1 - s->c0;
    uint64_t slots = (uint64_t)xg_ceil_div(rows, (int64_t)il * m->tile.pp) * il;
    uint64_t words = slots * cols * (uint64_t)xg_ceil_div(ch, m->tile.icp);
    return words > UINT32_MAX ? UINT32_MAX : (uint32_t)words;
}

uint32_t xg_node_interleave(const xg_graph *g, const xg_machine *m, const xg_node *n) {
    xg_tile_kind k = xg_node_tile_kind(g, n);
    if (k != XG_TK_CONV && k != XG_TK_DW && k != XG_TK_POOL) return 1;
    uint32_t stride = (uint32_t)xg_ai(n, XG_ATTR_stride_h);
    return stride <= m->interleave_max ? stride : 1;
}

uint32_t xg_staying_interleave(const xg_graph *g, const xg_machine *m, uint32_t tensor) {
    uint32_t il = 0;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] == tensor) {
                uint32_t want = xg_node_interleave(g, m, n);
                if (il && il != want) return 1;
                il = want;
            }
    }
    return il ? il : 1;
}

uint32_t xg_param_record(const xg_machine *m) {
    return m->rq.per_channel ? 12 : 4;
}

uint32_t xg_psum_words(const xg_machine *m) {
    return (uint32_t)xg_ceil_div(4 * (int64_t)m->tile.ocp, m->tile.icp);
}

xg_slice xg_concat_slice(const xg_graph *g, const xg_node *concat, uint32_t operand, xg_slice s) {
    int64_t axis = xg_ai(concat, XG_ATTR_axis), at = 0;
    for (uint32_t k = 0; k < operand; k++) at += xg_in(g, concat, k)->dim[axis];
    uint32_t by = (uint32_t)at;
    switch (xg_out(g, concat, 0)->rank - axis) {
    case 1:
        s.c0 += by, s.c1 += by;
        break;
    case 2:
        s.w0 += by, s.w1 += by;
        break;
    default:
        s.h0 += by, s.h1 += by;
    }
    return s;
}

static bool may_overwrite(const xg_graph *g, const uint32_t *node, uint32_t nnode, uint32_t k,
                          uint32_t operand) {
    const xg_node *n = xg_nodep(g, node[k]);
    uint32_t t = n->in[operand], readers = 0;
    int64_t a[4], b[4];
    xg_dims4(xg_tensorp(g, t), a);
    xg_dims4(xg_out(g, n, 0), b);
    bool inside = false;
    for (uint32_t j = 0; j < k; j++) inside |= xg_nodep(g, node[j])->out[0] == t;
    for (uint32_t j = 0; j < nnode; j++)
        for (uint32_t o = 0; o < xg_nodep(g, node[j])->nin; o++)
            readers += xg_nodep(g, node[j])->in[o] == t;
    return inside && readers == 1 && !memcmp(a, b, sizeof a);
}

int xg_in_place(const xg_graph *g, const uint32_t *node, uint32_t nnode, uint32_t k) {
    xg_tile_kind kind = xg_node_tile_kind(g, xg_nodep(g, node[k]));
    if (kind != XG_TK_ELEW && kind != XG_TK_LUT) return -1;
    if (may_overwrite(g, node, nnode, k, 0)) return 0;
    return kind == XG_TK_ELEW && may_overwrite(g, node, nnode, k, 1) ? 1 : -1;
}

bool xg_rows_kept(const xg_graph *g, const uint32_t *node, uint32_t nnode, uint32_t tensor) {
    uint32_t readers = 0;
    bool overlap = false, over = false;
    int64_t d[4], y[4];
    xg_dims4(xg_tensorp(g, tensor), d);
    for (uint32_t k = 0; k < nnode; k++) {
        const xg_node *n = xg_nodep(g, node[k]);
        xg_tile_kind kind = xg_node_tile_kind(g, n);
        bool window = kind == XG_TK_CONV || kind == XG_TK_DW || kind == XG_TK_POOL;
        for (uint32_t o = 0; o < (kind == XG_TK_ELEW ? 2 : 1); o++) {
            if (n->in[o] != tensor) continue;
            xg_dims4(xg_out(g, n, 0), y);
            over |= !window && !memcmp(d, y, sizeof d);
            readers++;
        }
        if (!window || n->in[0] != tensor) continue;
        xg_window w = xg_node_window(n);
        overlap |= (w.kh - 1) * w.dh + 1 > w.sh;
    }
    return overlap || readers > 1 || (readers && d[1] == 1 && !over);
}

bool xg_group_keeps(const xg_graph *g, const uint32_t *node, uint32_t nnode, bool inside) {
    for (uint32_t k = 0; k < nnode; k++) {
        const xg_node *n = xg_nodep(g, node[k]);
        if (inside && xg_rows_kept(g, node, nnode, n->out[0])) return true;
        if (!inside && xg_rows_kept(g, node, nnode, n->in[0])) return true;
    }
    return false;
}

uint32_t xg_ring_rows(const xg_machine *m, uint32_t rows, uint32_t all, uint32_t il) {
    uint32_t unit = m->tile.pp * il;
    rows = (uint32_t)xg_ceil_div(rows, unit) * unit;
    return rows < all ? rows : 0;
}

bool xg_may_fold(const xg_graph *g, const xg_machine *m, uint32_t node) {
    const xg_node *n = xg_nodep(g, node);
    if (xg_node_tile_kind(g, n) != XG_TK_CONV || xg_ai(n, XG_ATTR_group) != 1) return false;
    xg_window w = xg_node_window(n);
    int64_t d[4];
    xg_dims4(xg_in(g, n, 0), d);
    return w.kw > 1 && w.dw == 1 && d[3] * 2 <= m->tile.icp &&
           d[3] * w.kw <= 4 * (int64_t)m->tile.icp;
}

xg_slice xg_folded(const xg_graph *g, const xg_node *n, xg_slice rows, uint32_t w0, uint32_t w1) {
    int64_t d[4];
    xg_dims4(xg_in(g, n, 0), d);
    return (xg_slice){
        rows.n, rows.h0, rows.h1, w0, w1, 0, (uint32_t)d[3] * (uint32_t)xg_node_window(n).kw};
}
