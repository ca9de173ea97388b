/* Convolution, pooling, batch normalisation, matrix products. */
#include "xgraph/onnx_import.h"

#include <string.h>

static const int64_t ohwi[4] = {0, 2, 3, 1}, swap[2] = {1, 0};

/* ---- window attributes ---- */

/* A list attribute for `spatial` axes in v[0..1] (h, w); 1-D fills w and leaves h. False when its
 * length is wrong. */
static bool read_pair(xg_onnx *x, const char *name, uint32_t spatial, int64_t *v) {
    uint32_t n;
    const int64_t *list = xg_ox_ints(x, name, &n);
    if (n == 0) return true;
    if (n != spatial) return false;
    for (uint32_t i = 0; i < n; i++) v[2 - n + i] = list[i];
    return true;
}

static bool read_pads(xg_onnx *x, uint32_t spatial, int64_t *begin, int64_t *end) {
    uint32_t n;
    const int64_t *list = xg_ox_ints(x, "pads", &n);
    if (n == 0) return true;
    if (n != 2 * spatial) return false;
    for (uint32_t i = 0; i < spatial; i++) {
        begin[2 - spatial + i] = list[i];
        end[2 - spatial + i] = list[spatial + i];
    }
    return true;
}

/* auto_pad: output = ceil(in / stride); the odd element goes to the end (SAME_UPPER) or begin. */
static xg_status auto_pad(xg_onnx *x, const int64_t *in, const int64_t *k, const int64_t *s,
                          const int64_t *d, int64_t *begin, int64_t *end) {
    const char *mode = xg_ox_str(x, "auto_pad");
    if (!*mode || !strcmp(mode, "NOTSET")) return XG_OK;
    bool lower = !strcmp(mode, "SAME_LOWER"), valid = !strcmp(mode, "VALID");
    if (!lower && !valid && strcmp(mode, "SAME_UPPER")) return xg_ox_bad(x, "auto_pad '%s'", mode);
    for (int i = 0; i < 2; i++) {
        int64_t out = xg_ceil_div(in[i], s[i]);
        int64_t total = valid ? 0 : xg_max(0, (out - 1) * s[i] + (k[i] - 1) * d[i] + 1 - in[i]);
        begin[i] = lower ? (total + 1) / 2 : total / 2;
        end[i] = total - begin[i];
    }
    return XG_OK;
}

xg_status xg_ox_window(xg_onnx *x, uint32_t spatial, const int64_t *in_hw, const int64_t *kernel_hw,
                       xg_window *out) {
    int64_t k[2] = {1, 1}, s[2] = {1, 1}, d[2] = {1, 1}, begin[2] = {0}, end[2] = {0};
    const int64_t most = 1 << 20;
    if (!read_pair(x, "kernel_shape", spatial, k))
        return xg_ox_bad(x, "kernel_shape does not have %u values", spatial);
    if (!read_pair(x, "strides", spatial, s))
        return xg_ox_bad(x, "strides does not have %u values", spatial);
    if (!read_pair(x, "dilations", spatial, d))
        return xg_ox_bad(x, "dilations does not have %u values", spatial);
    if (!read_pads(x, spatial, begin, end))
        return xg_ox_bad(x, "pads does not have %u values", 2 * spatial);
    bool stated = xg_ox_attr(x, "kernel_shape") != NULL;
    if (!stated && !kernel_hw) return xg_ox_bad(x, "kernel_shape is absent");
    if (stated && kernel_hw && (k[0] != kernel_hw[0] || k[1] != kernel_hw[1]))
        return xg_ox_bad(x, "kernel_shape %lldx%lld, but weights of %lldx%lld", (long long)k[0],
                         (long long)k[1], (long long)kernel_hw[0], (long long)kernel_hw[1]);
    if (kernel_hw) memcpy(k, kernel_hw, sizeof k);
    for (int i = 0; i < 2; i++)
        if (k[i] < 1 || k[i] > most || s[i] < 1 || s[i] > most || d[i] < 1 || d[i] > most)
            return xg_ox_bad(x, "kernel %lld, stride %lld, dilation %lld; each must be in 1..%lld",
                             (long long)k[i], (long long)s[i], (long long)d[i], (long long)most);
    xg_status st = auto_pad(x, in_hw, k, s, d, begin, end);
    for (int i = 0; i < 2 && !st; i++) {
        if (begin[i] < 0 || end[i] < 0)
            st = xg_ox_refuse(x, "negative padding");
        else if (begin[i] > most || end[i] > most)
            st = xg_ox_bad(x, "padding %lld", (long long)xg_max(begin[i], end[i]));
    }
    *out = (xg_window){(int32_t)k[0],   (int32_t)k[1],  (int32_t)s[0],     (int32_t)s[1],
                       (int32_t)d[0],   (int32_t)d[1],  (int32_t)begin[0], (int32_t)begin[1],
                       (int32_t)end[0], (int32_t)end[1]};
    return st;
}

/* ---- converters ---- */

xg_status xg_ox_conv(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[3] = {xg_ox_in(x, 0), xg_ox_in(x, 1), xg_ox_in(x, 2)},
             nin = in[2] == XG_NONE ? 2 : 3;
    const xg_tensor *w = xg_ox_tensor(x, in[1]);
    uint32_t rank = xg_ox_tensor(x, in[0])->rank;
    if (rank < 3 || rank > 4 || w->rank != rank)
        return xg_ox_refuse(x, "input with %u axes and weights with %d; 1-D and 2-D are supported",
                            rank, w->rank);
    int64_t dim[4] = {w->dim[0], w->dim[1], rank == 3 ? 1 : w->dim[2], w->dim[rank - 1]};
    xg_window win;
    xg_status st = xg_ox_nhwc(x, in[0], &in[0]);
    if (!st && rank == 3) st = xg_ox_reshaped(x, in[1], dim, 4, &in[1]);
    if (!st) st = xg_ox_permuted(x, in[1], ohwi, &in[1]);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, in[0]);
    int64_t hw[2] = {t->dim[1], t->dim[2]};
    st = xg_ox_window(x, rank - 2, hw, dim + 2, &win);
    if (st) return st;
    uint32_t y = xg_ox_temp(x, 0, "nhwc"), n = xg_ox_node(x, XG_OP_Conv, in, nin, y);
    xg_set_window(xg_nodep(x->g, n), &win);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_group, xg_ox_int(x, "group", 1));
    st = xg_ox_done(x, n);
    return st ? st : xg_ox_from_nhwc(x, y, rank, 0);
}

xg_status xg_ox_pool(xg_onnx *x, int op) {
    uint32_t in = xg_ox_in(x, 0), rank = xg_ox_tensor(x, in)->rank;
    if (xg_ox_is_read(x, 1)) return xg_ox_refuse(x, "the output Indices");
    if (rank < 3 || rank > 4)
        return xg_ox_refuse(x, "input with %u axes; 1-D and 2-D are supported", rank);
    xg_window win;
    xg_status st = xg_ox_nhwc(x, in, &in);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t hw[2] = {t->dim[1], t->dim[2]};
    st = xg_ox_window(x, rank - 2, hw, NULL, &win);
    if (st) return st;
    uint32_t y = xg_ox_temp(x, 0, "nhwc"), n = xg_ox_node(x, (xg_op)op, &in, 1, y);
    xg_set_window(xg_nodep(x->g, n), &win);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_ceil_mode, xg_ox_int(x, "ceil_mode", 0) != 0);
    if (op == XG_OP_AvgPool)
        xg_set_ai(xg_nodep(x->g, n), XG_ATTR_count_pad, xg_ox_int(x, "count_include_pad", 0) != 0);
    st = xg_ox_done(x, n);
    return st ? st : xg_ox_from_nhwc(x, y, rank, 0);
}

xg_status xg_ox_global_pool(xg_onnx *x, int op) {
    uint32_t in = xg_ox_in(x, 0), rank = xg_ox_tensor(x, in)->rank;
    if (rank < 3 || rank > 4)
        return xg_ox_refuse(x, "input with %u axes; 1-D and 2-D are supported", rank);
    xg_status st = xg_ox_nhwc(x, in, &in);
    if (st) return st;
    const xg_tensor *t = xg_ox_tensor(x, in);
    xg_window win = {
        .kh = (int32_t)t->dim[1], .kw = (int32_t)t->dim[2], .sh = 1, .sw = 1, .dh = 1, .dw = 1};
    uint32_t y = xg_ox_temp(x, 0, "nhwc"), n = xg_ox_node(x, (xg_op)op, &in, 1, y);
    xg_set_window(xg_nodep(x->g, n), &win);
    st = xg_ox_done(x, n);
    return st ? st : xg_ox_from_nhwc(x, y, rank, 0);
}

xg_status xg_ox_batchnorm(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[5], rank = xg_ox_tensor(x, xg_ox_in(x, 0))->rank;
    for (uint32_t i = 0; i < 5; i++) in[i] = xg_ox_in(x, i);
    if (xg_ox_int(x, "training_mode", 0)) return xg_ox_refuse(x, "training_mode");
    if (!xg_ox_int(x, "spatial", 1)) return xg_ox_refuse(x, "spatial = 0");
    for (uint32_t i = 1; i < x->node->n_output; i++)
        if (xg_ox_is_read(x, i)) return xg_ox_refuse(x, "outputs other than the first");
    if (rank < 2 || rank > 4) return xg_ox_refuse(x, "input with %u axes", rank);
    xg_status st = rank > 2 ? xg_ox_nhwc(x, in[0], &in[0]) : XG_OK;
    if (st) return st;
    uint32_t y = rank > 2 ? xg_ox_temp(x, 0, "nhwc") : xg_ox_out(x, 0);
    uint32_t n = xg_ox_node(x, XG_OP_BatchNorm, in, 5, y);
    xg_set_af(xg_nodep(x->g, n), XG_ATTR_epsilon, xg_ox_float(x, "epsilon", 1e-5f));
    st = xg_ox_done(x, n);
    return st || rank == 2 ? st : xg_ox_from_nhwc(x, y, rank, 0);
}

xg_status xg_ox_lrn(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), rank = xg_ox_tensor(x, in)->rank;
    if (rank < 2 || rank > 4) return xg_ox_refuse(x, "input with %u axes", rank);
    xg_status st = rank > 2 ? xg_ox_nhwc(x, in, &in) : XG_OK;
    if (st) return st;
    uint32_t y = rank > 2 ? xg_ox_temp(x, 0, "nhwc") : xg_ox_out(x, 0);
    uint32_t n = xg_ox_node(x, XG_OP_LRN, &in, 1, y);
    const xg_node *node = xg_nodep(x->g, n);
    xg_set_ai(node, XG_ATTR_size, xg_ox_int(x, "size", 0));
    xg_set_af(node, XG_ATTR_alpha, xg_ox_float(x, "alpha", 1e-4f));
    xg_set_af(node, XG_ATTR_beta, xg_ox_float(x, "beta", 0.75f));
    xg_set_af(node, XG_ATTR_bias, xg_ox_float(x, "bias", 1.0f));
    st = xg_ox_done(x, n);
    return st || rank == 2 ? st : xg_ox_from_nhwc(x, y, rank, 0);
}

xg_status xg_ox_matmul(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)};
    uint32_t ra = xg_ox_tensor(x, in[0])->rank, rb = xg_ox_tensor(x, in[1])->rank;
    if (ra < 2 || rb < 2) return xg_ox_refuse(x, "a vector operand (%u and %u axes)", ra, rb);
    return xg_ox_simple(x, XG_OP_MatMul, in, 2, xg_ox_out(x, 0));
}

/* v * factor, where that is not v itself. */
static xg_status scaled(xg_onnx *x, uint32_t v, float factor, const char *suffix, uint32_t *out) {
    *out = v;
    if (factor == 1.0f) return XG_OK;
    uint32_t in[2] = {v, xg_ox_scalar(x, factor)};
    *out = xg_ox_temp(x, 0, suffix);
    return xg_ox_simple(x, XG_OP_Mul, in, 2, *out);
}

xg_status xg_ox_gemm(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)}, c = xg_ox_in(x, 2);
    float alpha = xg_ox_float(x, "alpha", 1), beta = xg_ox_float(x, "beta", 1);
    for (int i = 0; i < 2; i++)
        if (xg_ox_tensor(x, in[i])->rank != 2) return xg_ox_bad(x, "input %d must have 2 axes", i);
    xg_status st = XG_OK;
    if (xg_ox_int(x, "transA", 0)) st = xg_ox_permuted(x, in[0], swap, &in[0]);
    if (!st && xg_ox_int(x, "transB", 0)) st = xg_ox_permuted(x, in[1], swap, &in[1]);
    if (!st) st = scaled(x, in[1], alpha, "alpha", &in[1]);
    if (st) return st;
    bool add = c != XG_NONE && beta != 0;
    uint32_t product = add ? xg_ox_temp(x, 0, "product") : xg_ox_out(x, 0);
    st = xg_ox_simple(x, XG_OP_MatMul, in, 2, product);
    if (st || !add) return st;
    uint32_t sum[2] = {product, c};
    st = scaled(x, c, beta, "beta", &sum[1]);
    return st ? st : xg_ox_simple(x, XG_OP_Add, sum, 2, xg_ox_out(x, 0));
}
