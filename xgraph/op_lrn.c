/* Local response normalisation over channels: shape and reference kernel. */
#include "xgraph/kernel.h"
#include "xgraph/shape.h"

#include <math.h>

xg_status xg_shape_lrn(xg_ctx *c, xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    int64_t size;
    if (!x->rank) return xg_node_error(c, n, XG_INPUT, "the input must have at least one axis");
    xg_status st = xg_attr_in(c, n, XG_ATTR_size, 1, 1 << 20, &size);
    return st ? st : xg_shape_set(c, g, n, x->rank, x->dim);
}

xg_status xg_kernel_LRN(const xg_kernel *k) {
    const xg_tensor *t = xg_kout(k);
    const int64_t size = xg_ai(k->node, XG_ATTR_size), channels = t->dim[t->rank - 1];
    const float factor = xg_af(k->node, XG_ATTR_alpha) / (float)size;
    const float beta = xg_af(k->node, XG_ATTR_beta), bias = xg_af(k->node, XG_ATTR_bias);
    const float *x = xg_kin_data(k, 0);
    float *y = xg_kout_data(k);
    for (int64_t i = 0, n = xg_tensor_elems(t); i < n; i += channels)
        for (int64_t c = 0; c < channels; c++) {
            float sum = 0;
            int64_t last = xg_min(channels - 1, c + size / 2);
            for (int64_t j = xg_max(0, c - (size - 1) / 2); j <= last; j++)
                sum += x[i + j] * x[i + j];
            y[i + c] = x[i + c] / powf(bias + factor * sum, beta);
        }
    return XG_OK;
}
