/* Shapes of operators with windows: Conv and the pools. */
#include "xgraph/shape.h"

enum { WINDOW_MAX = 1 << 20 }; /* keeps every product of attributes far inside 64 bits */

static xg_status read_window(xg_ctx *c, const xg_node *n, xg_window *w) {
    static const struct {
        uint16_t id;
        int64_t lo;
    } rows[] = {
        {XG_ATTR_kernel_h, 1}, {XG_ATTR_kernel_w, 1},   {XG_ATTR_stride_h, 1},
        {XG_ATTR_stride_w, 1}, {XG_ATTR_dilation_h, 1}, {XG_ATTR_dilation_w, 1},
        {XG_ATTR_pad_t, 0},    {XG_ATTR_pad_l, 0},      {XG_ATTR_pad_b, 0},
        {XG_ATTR_pad_r, 0},
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        int64_t v;
        xg_status st = xg_attr_in(c, n, (xg_attr_id)rows[i].id, rows[i].lo, WINDOW_MAX, &v);
        if (st != XG_OK) return st;
    }
    *w = xg_node_window(n);
    return XG_OK;
}

static xg_status need_rank4(xg_ctx *c, const xg_graph *g, const xg_node *n, uint32_t i) {
    const xg_tensor *t = xg_in(g, n, i);
    char text[96];
    if (t->rank == 4) return XG_OK;
    return xg_node_error(c, n, XG_INPUT, "input %u is %s, must have 4 axes", i,
                         xg_shape_text(t, text));
}

/* One axis of the output. With ceil_mode a last window that would start beyond the input and the
 * padding before it does not exist (ONNX MaxPool, opset 11 on). */
static int64_t out_size(int64_t in, int64_t k, int64_t s, int64_t d, int64_t before, int64_t after,
                        bool ceil_mode) {
    int64_t span = (k - 1) * d + 1, room = in + before + after - span;
    if (room < 0) return 0;
    if (!ceil_mode) return room / s + 1;
    int64_t n = xg_ceil_div(room, s) + 1;
    return (n - 1) * s >= in + before ? n - 1 : n;
}

/* Does every window hold at least one element? For d <= in (or a single tap) taps of a window that
 * reaches the input cannot all miss it, and reaching it gets harder towards the two ends only. */
static bool windows_hold_something(int64_t out, int64_t in, int64_t k, int64_t s, int64_t d,
                                   int64_t before) {
    return before <= (k - 1) * d && (out - 1) * s - before < in;
}

static xg_status check_windows(xg_ctx *c, const xg_node *n, const xg_tensor *x, const xg_window *k,
                               int64_t h, int64_t w) {
    char xt[96];
    xg_shape_text(x, xt);
    if ((k->kh > 1 && k->dh > x->dim[1]) || (k->kw > 1 && k->dw > x->dim[2]))
        return xg_node_error(c, n, XG_UNSUPPORTED, "the dilation %dx%d exceeds the input %s", k->dh,
                             k->dw, xt);
    if (windows_hold_something(h, x->dim[1], k->kh, k->sh, k->dh, k->pt) &&
        windows_hold_something(w, x->dim[2], k->kw, k->sw, k->dw, k->pl))
        return XG_OK;
    return xg_node_error(c, n, XG_INPUT, "a window of the input %s holds padding only", xt);
}

xg_status xg_shape_conv(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *w = xg_in(g, n, 1), *b = xg_in(g, n, 2);
    xg_window k;
    int64_t group;
    xg_status st = need_rank4(c, g, n, 0);
    if (st == XG_OK) st = need_rank4(c, g, n, 1);
    if (st == XG_OK) st = read_window(c, n, &k);
    if (st == XG_OK) st = xg_attr_in(c, n, XG_ATTR_group, 1, XG_ELEMS_MAX, &group);
    if (st != XG_OK) return st;
    char xt[96], wt[96];
    xg_shape_text(x, xt);
    xg_shape_text(w, wt);
    if (w->dim[1] != k.kh || w->dim[2] != k.kw)
        return xg_node_error(c, n, XG_INPUT,
                             "weights %s [O,kh,kw,I/group] do not match the kernel %dx%d", wt, k.kh,
                             k.kw);
    if (x->dim[3] % group || w->dim[0] % group || w->dim[3] != x->dim[3] / group)
        return xg_node_error(
            c, n, XG_INPUT, "weights %s [O,kh,kw,I/group] do not match the input %s in %lld groups",
            wt, xt, (long long)group);
    if (x->dtype != XG_F32 && (x->dtype == XG_I32 || x->dtype == XG_I64 || x->dtype == XG_BOOL))
        return xg_node_error(c, n, XG_UNSUPPORTED, "no convolution of %s", xg_dtype_name(x->dtype));
    if (b && (b->rank != 1 || b->dim[0] != w->dim[0] || (b->dtype != XG_F32 && b->dtype != XG_I32)))
        return xg_node_error(c, n, XG_INPUT, "the bias must be %lld values of %s",
                             (long long)w->dim[0], x->dtype == XG_F32 ? "f32" : "i32");
    int64_t dim[4] = {x->dim[0], out_size(x->dim[1], k.kh, k.sh, k.dh, k.pt, k.pb, false),
                      out_size(x->dim[2], k.kw, k.sw, k.dw, k.pl, k.pr, false), w->dim[0]};
    if (!dim[1] || !dim[2])
        return xg_node_error(c, n, XG_INPUT,
                             "the kernel %dx%d does not fit into the input %s with its padding",
                             k.kh, k.kw, xt);
    return xg_shape_set(c, g, n, 4, dim);
}

xg_status xg_shape_pool(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    xg_window k;
    int64_t ceil_mode, count_pad;
    xg_status st = need_rank4(c, g, n, 0);
    if (st == XG_OK) st = read_window(c, n, &k);
    if (st == XG_OK) st = xg_attr_in(c, n, XG_ATTR_ceil_mode, 0, 1, &ceil_mode);
    if (st == XG_OK && xg_has_attr(n, XG_ATTR_count_pad))
        st = xg_attr_in(c, n, XG_ATTR_count_pad, 0, 1, &count_pad);
    if (st != XG_OK) return st;
    int64_t h = out_size(x->dim[1], k.kh, k.sh, k.dh, k.pt, k.pb, ceil_mode);
    int64_t w = out_size(x->dim[2], k.kw, k.sw, k.dw, k.pl, k.pr, ceil_mode);
    char xt[96];
    xg_shape_text(x, xt);
    if (!h || !w)
        return xg_node_error(c, n, XG_INPUT,
                             "the window %dx%d does not fit into the input %s with its padding",
                             k.kh, k.kw, xt);
    st = check_windows(c, n, x, &k, h, w);
    if (st != XG_OK) return st;
    return xg_shape_set(c, g, n, 4, (int64_t[]){x->dim[0], h, w, x->dim[3]});
}
