#include "xgraph/kernel.h"

xg_conv_dims xg_conv_dims_of(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0), *w = xg_kin(k, 1), *y = xg_kout(k);
    xg_conv_dims d = {.n = x->dim[0],
                      .h = x->dim[1],
                      .w = x->dim[2],
                      .c = x->dim[3],
                      .o = y->dim[3],
                      .oh = y->dim[1],
                      .ow = y->dim[2],
                      .group = xg_ai(k->node, XG_ATTR_group),
                      .cg = w->dim[3],
                      .win = xg_node_window(k->node)};
    d.og = d.o / d.group;
    d.k = (int64_t)d.win.kh * d.win.kw * d.cg;
    d.pixels = d.n * d.oh * d.ow;
    return d;
}

int64_t xg_conv_source(const xg_conv_dims *d, int64_t pixel, int64_t r, int64_t s) {
    int64_t ox = pixel % d->ow, oy = pixel / d->ow % d->oh, n = pixel / d->ow / d->oh;
    int64_t iy = oy * d->win.sh - d->win.pt + r * d->win.dh;
    int64_t ix = ox * d->win.sw - d->win.pl + s * d->win.dw;
    if (iy < 0 || iy >= d->h || ix < 0 || ix >= d->w) return -1;
    return ((n * d->h + iy) * d->w + ix) * d->c;
}

xg_status xg_kernel_Conv(const xg_kernel *k) {
    switch (xg_kernel_reading(k)) {
    case XG_READ_F32:
        return xg_conv_f32(k);
    case XG_READ_QUANT:
        return xg_conv_int(k);
    default:
        return xg_kernel_no_type(k);
    }
}
