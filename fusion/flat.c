#include "fusion/flat.h"

#include <string.h>

enum { START_WEIGHT = 16 }; /* one column step of a convolution with so many channel words */

static xg_flat view_of(const xg_machine *m, uint64_t pixels, uint64_t cols) {
    uint64_t rows = (pixels + cols - 1) / cols, pp = m->tile.pp, groups = (rows + pp - 1) / pp;
    xg_flat f = {(uint32_t)rows, (uint32_t)cols, (uint32_t)(pixels - (rows - 1) * cols), 0};
    uint64_t starts = groups + (f.last < f.cols); /* a short row is an instruction more */
    f.steps = groups * cols * START_WEIGHT + starts * m->tile.conv_start;
    return f;
}

xg_flat xg_flat_own(const xg_machine *m, int64_t h, int64_t w) {
    return view_of(m, (uint64_t)(h * w), (uint64_t)w);
}

xg_flat xg_flat_of(const xg_machine *m, int64_t h, int64_t w) {
    int64_t pixels = h * w, groups = xg_ceil_div(h, m->tile.pp);
    xg_flat own = xg_flat_own(m, h, w),
            f = view_of(m, (uint64_t)pixels,
                        (uint64_t)xg_ceil_div(pixels, groups * (int64_t)m->tile.pp));
    return f.steps < own.steps ? f : own;
}

const xg_graph *xg_flat_graph(xg_arena *a, const xg_graph *g, const xg_machine *m) {
    xg_graph *flat = xg_memdup(a, g, sizeof *g);
    flat->tensor.v = xg_newn(a, xg_tensor, g->tensor.n + 1);
    if (g->tensor.n) memcpy(flat->tensor.v, g->tensor.v, g->tensor.n * sizeof *g->tensor.v);
    for (uint32_t t = 0; t < g->tensor.n; t++) {
        xg_tensor *x = &flat->tensor.v[t];
        int64_t d[4];
        if (x->data || x->rank < 3 || x->rank > 4) continue;
        xg_dims4(x, d);
        if (d[1] * d[2] <= 1 || d[1] > UINT16_MAX || d[2] > UINT16_MAX) continue;
        xg_flat f = xg_flat_of(m, d[1], d[2]);
        x->rank = 4;
        memcpy(x->dim, (int64_t[4]){d[0], f.rows, f.cols, d[3]}, sizeof d);
    }
    return flat;
}

static bool pointwise(const xg_graph *g, const xg_node *n) {
    xg_tile_kind kind = xg_node_tile_kind(g, n);
    if (kind == XG_TK_ELEW || kind == XG_TK_LUT) return true;
    if (kind != XG_TK_CONV && kind != XG_TK_DW) return false;
    xg_window w = xg_node_window(n);
    return w.kh == 1 && w.kw == 1 && w.sh == 1 && w.sw == 1 && !(w.pt | w.pb | w.pl | w.pr);
}

/* A slice of channels or images: it takes every pixel. */
static bool dense_slice(const xg_graph *g, const xg_node *n) {
    int64_t x[4], y[4];
    xg_dims4(xg_in(g, n, 0), x);
    xg_dims4(xg_out(g, n, 0), y);
    return x[1] == y[1] && x[2] == y[2];
}

/* A concat along columns in which the tensor lies leaves gaps at the ends of its rows. */
static bool even_in_concats(const xg_graph *g, const xg_uses *uses, uint32_t t) {
    const xg_tensor *x = xg_tensorp(g, t);
    for (uint32_t u = uses->first[t]; u < uses->first[t + 1]; u++) {
        const xg_node *n = xg_nodep(g, uses->node[u]);
        if (n->op != XG_OP_Concat) continue;
        if (x->rank - xg_ai(n, XG_ATTR_axis) == 2) return false;
        if (!even_in_concats(g, uses, n->out[0])) return false;
    }
    return true;
}

/* The pixels of a tensor in DDR have one distance: neither the concats in which it lies nor, where
 * it is a view or a concat that may be read from its operands, what it is made of leave gaps. */
static bool even_pixels(const xg_graph *g, const xg_uses *uses, uint32_t t) {
    const xg_tensor *x = xg_tensorp(g, t);
    if (!even_in_concats(g, uses, t)) return false;
    if (x->producer == XG_NONE) return true;
    const xg_node *n = xg_nodep(g, x->producer);
    if (xg_node_tile_kind(g, n) == XG_TK_VIEW)
        return (n->op != XG_OP_Slice || dense_slice(g, n)) && even_pixels(g, uses, n->in[0]);
    if (n->op != XG_OP_Concat) return true;
    if (x->rank != 4 || xg_ai(n, XG_ATTR_axis) != 3) return false;
    for (uint32_t k = 0; k < n->nin; k++)
        if (!even_pixels(g, uses, n->in[k])) return false;
    return true;
}

/* A map of the group's size, or one value for each channel. */
static bool border_fits(const xg_graph *g, const xg_uses *uses, uint32_t t, const int64_t d[4]) {
    const xg_tensor *x = xg_tensorp(g, t);
    int64_t own[4];
    xg_dims4(x, own);
    if (own[1] == 1 && own[2] == 1) return true;
    return !x->data && own[1] == d[1] && own[2] == d[2] && even_pixels(g, uses, t);
}

const char *xg_flat_refuses(const xg_graph *g, const xg_uses *uses, const xg_group *grp) {
    int64_t d[4];
    xg_group_dims(g, grp, d);
    if (grp->where != XG_ON_ACCEL) return "it is on the host";
    if (d[1] * d[2] <= 1) return "its map has one pixel";
    for (uint32_t k = 0; k < grp->nnode; k++) {
        const xg_node *n = xg_nodep(g, grp->node[k]);
        if (!pointwise(g, n)) return "not all of its nodes take each pixel by itself";
        if (!border_fits(g, uses, n->out[0], d))
            return "the pixels of a result are not even in DDR";
        uint32_t maps = xg_node_tile_kind(g, n) == XG_TK_ELEW ? 2 : 1;
        for (uint32_t o = 0; o < maps; o++)
            if (!border_fits(g, uses, n->in[o], d))
                return "the pixels of an operand are not even in DDR";
    }
    return NULL;
}

bool xg_flat_pays(const xg_graph *g, const xg_machine *m, const xg_group *grp) {
    int64_t d[4];
    xg_group_dims(g, grp, d);
    uint64_t flat = xg_flat_of(m, d[1], d[2]).steps, own = xg_flat_own(m, d[1], d[2]).steps;
    return flat + own / 50 < own;
}

void xg_group_view(const xg_graph *g, const xg_machine *m, const xg_group *grp, int64_t d[4]) {
    xg_group_dims(g, grp, d);
    xg_flat f = xg_flat_of(m, d[1], d[2]);
    if (grp->strategy.flat) d[1] = f.rows, d[2] = f.cols;
}
