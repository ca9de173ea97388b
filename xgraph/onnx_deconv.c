/* ConvTranspose as an ordinary convolution.
 *
 * Output row t (counted before the padding is cut off) is sum over taps a of w[a] x[(t - a) / s],
 * where s divides t - a. With t = s q + p, only taps a = s j + p matter, and they see x[q - j]: the
 * s rows t of one q look at the same window x[q - J + 1 .. q], J = ceil(k / s). So the s x s phases
 * are output channels of one convolution with stride 1 and window J x J, whose kernels are the
 * phases' taps, mirrored, with zeros where a phase has fewer; then depth to space, then the padding
 * is cut off. Integers are exact: a zero tap contributes nothing.
 */
#include "xgraph/onnx_import.h"

#include "xgraph/const_eval.h"

#include <string.h>

typedef struct deconv {
    int64_t k[2], s[2], d[2], begin[2], out[2], in[2]; /* h, w; out: the result's size */
    int64_t j[2], first[2], last[2];                   /* window; first and last q */
    int64_t group, ci, og;                             /* channels: all inputs, outputs a group */
    uint32_t rank;
} deconv;

static bool read_list(const xg_onnx *x, const char *name, uint32_t spatial, int64_t *v) {
    uint32_t n;
    const int64_t *list = xg_ox_ints(x, name, &n);
    for (uint32_t i = 0; n == spatial && i < n; i++) v[2 - n + i] = list[i];
    return n == 0 || n == spatial;
}

/* Result sizes and the padding before, from pads, output_shape or auto_pad. */
static xg_status extent(xg_onnx *x, deconv *v, const int64_t *pads, const int64_t *extra,
                        int64_t *stated) {
    const char *mode = xg_ox_str(x, "auto_pad");
    bool upper = !strcmp(mode, "SAME_UPPER"), lower = !strcmp(mode, "SAME_LOWER"),
         one_d = v->rank == 3;
    if (*mode && !upper && !lower && strcmp(mode, "NOTSET") && strcmp(mode, "VALID"))
        return xg_ox_bad(x, "auto_pad '%s'", mode);
    for (int i = 0; i < 2; i++) {
        int64_t span = (v->k[i] - 1) * v->d[i] + 1,
                whole = v->s[i] * (v->in[i] - 1) + extra[i] + span;
        if (one_d && i == 0) {
            v->out[i] = whole;
            v->begin[i] = 0;
            continue;
        }
        if (!stated[i] && (upper || lower)) stated[i] = v->in[i] * v->s[i];
        if (stated[i]) {
            int64_t total = xg_max(whole - stated[i], 0);
            v->out[i] = stated[i];
            v->begin[i] = upper ? total / 2 : total - total / 2;
            if (!upper && !lower) v->begin[i] = total / 2;
        } else {
            v->begin[i] = strcmp(mode, "VALID") ? pads[i] : 0;
            v->out[i] = whole - v->begin[i] - (strcmp(mode, "VALID") ? pads[2 + i] : 0);
        }
        if (v->out[i] < 1 || v->out[i] > INT32_MAX)
            return xg_ox_bad(x, "axis %d of the result has size %lld", i, (long long)v->out[i]);
    }
    return XG_OK;
}

static xg_status read_deconv(xg_onnx *x, const xg_tensor *w, deconv *v) {
    const int64_t most = 1 << 16;
    uint32_t spatial = v->rank - 2, n;
    int64_t pads[4] = {0}, extra[2] = {0}, stated[2] = {0};
    const int64_t *list = xg_ox_ints(x, "pads", &n);
    bool ok = read_list(x, "strides", spatial, v->s) && read_list(x, "dilations", spatial, v->d) &&
              read_list(x, "output_padding", spatial, extra) && (n == 0 || n == 2 * spatial);
    for (uint32_t i = 0; ok && i < n; i++)
        pads[i / spatial * 2 + 2 - spatial + i % spatial] = list[i];
    const int64_t *shape = xg_ox_ints(x, "output_shape", &n);
    ok = ok && (n == 0 || n == spatial || n == v->rank);
    for (uint32_t i = 0; ok && n && i < spatial; i++)
        stated[2 - spatial + i] = shape[n - spatial + i];
    v->k[0] = v->rank == 3 ? 1 : w->dim[2];
    v->k[1] = w->dim[v->rank - 1];
    int64_t kernel[2] = {v->k[0], v->k[1]};
    ok = ok && read_list(x, "kernel_shape", spatial, kernel);
    if (!ok)
        return xg_ox_bad(x, "strides, dilations, pads or shapes do not have %u values", spatial);
    for (int i = 0; i < 2; i++) {
        if (kernel[i] != v->k[i])
            return xg_ox_bad(x, "kernel_shape %lld, but weights of %lld", (long long)kernel[i],
                             (long long)v->k[i]);
        if (v->s[i] < 1 || v->s[i] > most || v->d[i] < 1 || v->d[i] > most || v->k[i] > most ||
            pads[i] < 0 || pads[i] > most || pads[2 + i] < 0 || pads[2 + i] > most ||
            extra[i] < 0 || extra[i] > most || stated[i] < 0 || stated[i] > INT32_MAX)
            return xg_ox_refuse(x, "stride %lld, dilation %lld, padding %lld, output padding %lld",
                                (long long)v->s[i], (long long)v->d[i], (long long)pads[i],
                                (long long)extra[i]);
    }
    return extent(x, v, pads, extra, stated);
}

/* Window and the range of q on both axes. */
static void plan(deconv *v) {
    for (int i = 0; i < 2; i++) {
        v->j[i] = xg_ceil_div((v->k[i] - 1) * v->d[i] + 1, v->s[i]);
        v->first[i] = xg_min(v->begin[i] / v->s[i], v->j[i] - 1);
        v->last[i] = xg_max((v->begin[i] + v->out[i] - 1) / v->s[i], v->in[i] - 1);
    }
}

/* ---- weights and bias ---- */

/* The constant behind a tensor, and the quant under which it is read (NULL: f32). */
static const xg_tensor *constant_of(const xg_onnx *x, uint32_t tensor, const xg_quant **q) {
    const xg_tensor *t = xg_ox_tensor((xg_onnx *)(uintptr_t)x, tensor);
    *q = NULL;
    if (t->producer != XG_NONE) {
        const xg_node *n = xg_nodep(x->g, t->producer);
        if (n->op != XG_OP_Dequantize) return NULL;
        t = xg_in(x->g, n, 0);
        *q = t->quant;
    }
    return t->data && (*q || t->dtype == XG_F32) ? t : NULL;
}

/* Quant of the new weights or bias: one for each new channel where the old had one for each. */
static const xg_quant *spread(xg_onnx *x, const deconv *v, const xg_quant *q) {
    if (!q || q->axis < 0) return q;
    int64_t phases = v->s[0] * v->s[1], n = v->group * phases * v->og;
    float *scale = xg_newn(x->a, float, (size_t)n);
    int32_t *zp = xg_newn(x->a, int32_t, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t from = i / (phases * v->og) * v->og + i % v->og;
        scale[i] = q->scale[from % q->n];
        zp[i] = q->zp[from % q->n];
    }
    return xg_quant_new(x->a, 0, (uint32_t)n, scale, zp);
}

/* A new constant, behind Dequantize when the old one was. */
static xg_status rebuilt(xg_onnx *x, const xg_tensor *old, uint32_t rank, const int64_t *dim,
                         const void *data, const xg_quant *q, uint32_t *out) {
    const char *name = old->name, *onnx = old->onnx;
    *out = xg_graph_add_const(x->g, name, old->dtype, (uint8_t)rank, dim, data, q);
    xg_ox_tensor(x, *out)->onnx = onnx;
    if (!q) return XG_OK;
    uint32_t in = *out;
    *out = xg_ox_temp(x, 0, "real");
    return xg_ox_simple(x, XG_OP_Dequantize, &in, 1, *out);
}

/* Integer that stands for 0 in new channel o. */
static int32_t zero_of(const xg_quant *q, int64_t o) {
    return q->zp[q->axis < 0 ? 0 : o];
}

/* Weights [ci, og, kh, kw] -> [group s s og, jh, jw, ci / group]; a tap that does not exist is 0.
 */
static xg_status phase_weights(xg_onnx *x, const deconv *v, const xg_tensor *w, const xg_quant *old,
                               uint32_t *out) {
    const int64_t cg = v->ci / v->group, phases = v->s[0] * v->s[1];
    int64_t dim[4] = {v->group * phases * v->og, v->j[0], v->j[1], cg}, count = 1;
    for (int i = 0; i < 4; i++)
        if (__builtin_mul_overflow(count, dim[i], &count) || count > INT32_MAX)
            return xg_ox_refuse(x, "stride %lldx%lld with that many channels", (long long)v->s[0],
                                (long long)v->s[1]);
    const xg_quant *q = spread(x, v, old);
    const size_t size = xg_dtype_bytes(w->dtype);
    uint8_t *data = xg_alloc_array(x->a, (size_t)count, size);
    for (int64_t at = 0; at < count; at++) {
        int64_t c = at % cg, jx = at / cg % v->j[1], jy = at / cg / v->j[1] % v->j[0],
                o = at / cg / v->j[1] / v->j[0], g = o / (phases * v->og), og = o % v->og,
                p = o / v->og % phases;
        int64_t ay = v->s[0] * (v->j[0] - 1 - jy) + p / v->s[1],
                ax = v->s[1] * (v->j[1] - 1 - jx) + p % v->s[1];
        bool tap = ay % v->d[0] == 0 && ax % v->d[1] == 0 && ay / v->d[0] < v->k[0] &&
                   ax / v->d[1] < v->k[1];
        int64_t from =
            (((g * cg + c) * v->og + og) * v->k[0] + ay / v->d[0]) * v->k[1] + ax / v->d[1];
        if (tap)
            memcpy(data + (size_t)at * size, (const uint8_t *)w->data + (size_t)from * size, size);
        else if (q) /* 8-bit: the low byte of the zero point */
            data[at] = (uint8_t)zero_of(q, o);
    }
    return rebuilt(x, w, 4, dim, data, q, out);
}

static xg_status phase_bias(xg_onnx *x, const deconv *v, uint32_t bias, uint32_t *out) {
    const xg_quant *q;
    const xg_tensor *b = constant_of(x, bias, &q);
    int64_t phases = v->s[0] * v->s[1], n = v->group * phases * v->og;
    if (!b) return xg_ox_refuse(x, "a bias that is not constant");
    if (xg_tensor_elems(b) != v->group * v->og)
        return xg_ox_bad(x, "%lld biases for %lld channels", (long long)xg_tensor_elems(b),
                         (long long)(v->group * v->og));
    const size_t size = xg_dtype_bytes(b->dtype);
    uint8_t *data = xg_alloc_array(x->a, (size_t)n, size);
    for (int64_t i = 0; i < n; i++) {
        int64_t from = i / (phases * v->og) * v->og + i % v->og;
        memcpy(data + (size_t)i * size, (const uint8_t *)b->data + (size_t)from * size, size);
    }
    return rebuilt(x, b, 1, &n, data, spread(x, v, q), out);
}

/* ---- building ---- */

/* [N, Q, P, group s s og] -> [N, Q s, P s, group og] */
static xg_status interleave(xg_onnx *x, const deconv *v, uint32_t in, uint32_t *out) {
    static const int64_t perm[7] = {0, 1, 4, 2, 5, 3, 6}, perm6[6] = {0, 1, 3, 2, 4, 5};
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t n = t->dim[0], q = t->dim[1], p = t->dim[2];
    int64_t cut[7] = {n, q, p, v->group, v->s[0], v->s[1], v->og};
    int64_t cut6[6] = {n, q, p, v->s[0], v->s[1], v->og};
    int64_t whole[4] = {n, q * v->s[0], p * v->s[1], v->group * v->og};
    uint32_t a = xg_ox_temp(x, 0, "cut"), b = xg_ox_temp(x, 0, "moved");
    *out = xg_ox_temp(x, 0, "phases");
    bool one = v->group == 1;
    xg_status st = xg_ox_reshape(x, in, one ? cut6 : cut, one ? 6 : 7, a);
    if (!st) st = xg_ox_transpose(x, a, one ? perm6 : perm, b);
    return st ? st : xg_ox_reshape(x, b, whole, 4, *out);
}

/* Rows and columns begin .. begin + out of the whole result. */
static xg_status crop(xg_onnx *x, const deconv *v, uint32_t *t) {
    const xg_tensor *w = xg_ox_tensor(x, *t);
    int64_t start[4] = {0, v->begin[0] - v->first[0] * v->s[0], v->begin[1] - v->first[1] * v->s[1],
                        0};
    int64_t dim[4] = {w->dim[0], v->out[0], v->out[1], w->dim[3]}, step[4] = {1, 1, 1, 1};
    if (!start[1] && !start[2] && dim[1] == w->dim[1] && dim[2] == w->dim[2]) return XG_OK;
    uint32_t out = xg_ox_temp(x, 0, "cropped"), n = xg_ox_node(x, XG_OP_Slice, t, 1, out);
    const xg_node *node = xg_nodep(x->g, n);
    xg_set_ais(x->g, node, XG_ATTR_starts, start, 4);
    xg_set_ais(x->g, node, XG_ATTR_steps, step, 4);
    xg_set_ais(x->g, node, XG_ATTR_shape, dim, 4);
    *t = out;
    return xg_ox_done(x, n);
}

static xg_status build(xg_onnx *x, const deconv *v, uint32_t *in, uint32_t nin) {
    xg_window win = {(int32_t)v->j[0],
                     (int32_t)v->j[1],
                     1,
                     1,
                     1,
                     1,
                     (int32_t)(v->j[0] - 1 - v->first[0]),
                     (int32_t)(v->j[1] - 1 - v->first[1]),
                     (int32_t)(v->last[0] - (v->in[0] - 1)),
                     (int32_t)(v->last[1] - (v->in[1] - 1))};
    uint32_t y = xg_ox_temp(x, 0, "nhwc"), n = xg_ox_node(x, XG_OP_Conv, in, nin, y);
    xg_set_window(xg_nodep(x->g, n), &win);
    xg_set_ai(xg_nodep(x->g, n), XG_ATTR_group, v->group);
    xg_status st = xg_ox_done(x, n);
    if (!st && v->s[0] * v->s[1] > 1) st = interleave(x, v, y, &y);
    if (!st) st = crop(x, v, &y);
    return st ? st : xg_ox_from_nhwc(x, y, v->rank, 0);
}

xg_status xg_ox_conv_transpose(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[3], bias = xg_ox_in(x, 2), nin = bias == XG_NONE ? 2 : 3;
    const xg_quant *q;
    const xg_tensor *w = constant_of(x, xg_ox_in(x, 1), &q), *t = xg_ox_tensor(x, xg_ox_in(x, 0));
    deconv v = {.s = {1, 1}, .d = {1, 1}, .rank = t->rank, .group = xg_ox_int(x, "group", 1)};
    if (v.rank < 3 || v.rank > 4)
        return xg_ox_refuse(x, "input with %u axes; 1-D and 2-D are supported", v.rank);
    if (!w) return xg_ox_refuse(x, "weights that are not constant");
    if (w->rank != v.rank)
        return xg_ox_bad(x, "weights with %d axes, input with %u", w->rank, v.rank);
    if (q && (!xg_dtype_is_int8(w->dtype) || (q->axis >= 0 && (q->axis != 1 || v.group != 1))))
        return xg_ox_refuse(x, "weights of %s with scales along axis %d", xg_dtype_name(w->dtype),
                            q->axis);
    v.ci = w->dim[0], v.og = w->dim[1];
    if (v.group < 1 || v.ci % v.group || t->dim[1] != v.ci)
        return xg_ox_bad(x, "weights of %lld channels for an input of %lld in %lld groups",
                         (long long)v.ci, (long long)t->dim[1], (long long)v.group);
    v.in[0] = v.rank == 3 ? 1 : t->dim[2];
    v.in[1] = t->dim[v.rank - 1];
    xg_status st = read_deconv(x, w, &v);
    if (st) return st;
    plan(&v);
    st = phase_weights(x, &v, constant_of(x, xg_ox_in(x, 1), &q), q, &in[1]);
    if (!st && nin == 3) st = phase_bias(x, &v, bias, &in[2]);
    if (!st) st = xg_ox_nhwc(x, xg_ox_in(x, 0), &in[0]);
    return st ? st : build(x, &v, in, nin);
}
