/* Operators that move elements, and those that make constants. */
#include "xgraph/onnx_import.h"

#include "xgraph/const_eval.h"

#include <string.h>

xg_status xg_ox_concat(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t n = (uint32_t)x->node->n_input, axis;
    uint32_t *in = xg_newn(x->a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++) {
        in[i] = xg_ox_in(x, i);
        if (in[i] == XG_NONE) return xg_ox_bad(x, "input %u is absent", i);
        if (xg_ox_tensor(x, in[i])->dtype != xg_ox_tensor(x, in[0])->dtype)
            return xg_ox_bad(x, "inputs of types %s and %s",
                             xg_dtype_name(xg_ox_tensor(x, in[0])->dtype),
                             xg_dtype_name(xg_ox_tensor(x, in[i])->dtype));
    }
    xg_status st = xg_ox_axis(x, xg_ox_int(x, "axis", 1), xg_ox_tensor(x, in[0])->rank, &axis);
    if (st) return st;
    uint32_t out = xg_ox_out(x, 0);
    const xg_quant *q = xg_ox_tensor(x, in[0])->quant;
    for (uint32_t i = 1; i < n && q;
         i++) /* ONNX's Concat copies: the integers must mean the same */
        if (!xg_quant_equal(q, xg_ox_tensor(x, in[i])->quant))
            return xg_ox_refuse(x, "quantised inputs with different scales");
    if (q) xg_ox_set_quant(x, out, xg_ox_tensor(x, in[0])->dtype, q);
    uint32_t node = xg_ox_node(x, XG_OP_Concat, in, n, out);
    xg_set_ai(xg_nodep(x->g, node), XG_ATTR_axis, axis);
    return xg_ox_done(x, node);
}

xg_status xg_ox_flatten(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0);
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t axis = xg_ox_int(x, "axis", 1), dim[2] = {1, 1};
    if (axis < -(int64_t)t->rank || axis > t->rank)
        return xg_ox_bad(x, "axis %lld", (long long)axis);
    if (axis < 0) axis += t->rank;
    for (uint32_t i = 0; i < t->rank; i++) dim[i >= axis] *= t->dim[i];
    return xg_ox_reshape(x, in, dim, 2, xg_ox_out(x, 0));
}

xg_status xg_ox_reshape_op(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), n, free_axis = XG_NONE;
    const int64_t *want;
    xg_status st = xg_ox_const_ints(x, 1, "the shape", &want, &n);
    if (st) return st;
    if (x->node->n_input < 2) return xg_ox_bad(x, "has no shape input");
    if (n > XG_RANK_MAX) return xg_ox_refuse(x, "a shape of %u axes", n);
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t dim[XG_RANK_MAX], known = 1;
    bool zero_is_zero = xg_ox_int(x, "allowzero", 0) != 0;
    for (uint32_t i = 0; i < n; i++) {
        dim[i] = want[i] == 0 && !zero_is_zero && i < t->rank ? t->dim[i] : want[i];
        if (dim[i] == -1 && free_axis == XG_NONE) {
            free_axis = i;
            continue;
        }
        if (dim[i] < 1 || dim[i] > INT32_MAX)
            return xg_ox_bad(x, "axis %u of the new shape is %lld", i, (long long)want[i]);
        if (__builtin_mul_overflow(known, dim[i], &known))
            return xg_ox_bad(x, "the new shape is too large");
    }
    /* A model written for one image says 1 where a batch means the number of images. */
    bool one = x->batch > 1 && n && want[0] == 1 && t->rank && t->dim[0] == x->batch;
    if (one && (free_axis != XG_NONE || known * x->batch == xg_tensor_elems(t))) {
        dim[0] = x->batch;
        known *= x->batch;
    }
    if (free_axis != XG_NONE) dim[free_axis] = xg_tensor_elems(t) / known;
    return xg_ox_reshape(x, in, dim, n, xg_ox_out(x, 0));
}

/* The axes of Squeeze and Unsqueeze: attribute before opset 13, input since. */
static xg_status read_axes(xg_onnx *x, uint32_t rank, bool *mark, uint32_t *n) {
    const int64_t *list;
    xg_status st = xg_ox_const_ints(x, 1, "the axes", &list, n);
    if (st) return st;
    if (xg_ox_in(x, 1) == XG_NONE) list = xg_ox_ints(x, "axes", n);
    for (uint32_t i = 0; i < *n; i++) {
        uint32_t a;
        st = xg_ox_axis(x, list[i], rank, &a);
        if (st) return st;
        if (mark[a]) return xg_ox_bad(x, "axis %u twice", a);
        mark[a] = true;
    }
    return XG_OK;
}

xg_status xg_ox_squeeze(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), n, rank = 0;
    const xg_tensor *t = xg_ox_tensor(x, in);
    bool mark[XG_RANK_MAX] = {0};
    int64_t dim[XG_RANK_MAX];
    xg_status st = read_axes(x, t->rank, mark, &n);
    if (st) return st;
    for (uint32_t i = 0; i < t->rank; i++) {
        bool drop = n ? mark[i] : t->dim[i] == 1;
        if (drop && t->dim[i] != 1)
            return xg_ox_bad(x, "axis %u has size %lld", i, (long long)t->dim[i]);
        if (!drop) dim[rank++] = t->dim[i];
    }
    return xg_ox_reshape(x, in, dim, rank, xg_ox_out(x, 0));
}

xg_status xg_ox_unsqueeze(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), n, listed;
    const xg_tensor *t = xg_ox_tensor(x, in);
    bool mark[XG_RANK_MAX] = {0};
    int64_t dim[XG_RANK_MAX];
    if (xg_ox_in(x, 1) != XG_NONE)
        listed = (uint32_t)xg_min(xg_tensor_elems(xg_ox_tensor(x, xg_ox_in(x, 1))), 99);
    else
        xg_ox_ints(x, "axes", &listed);
    if (listed > XG_RANK_MAX || t->rank + listed > XG_RANK_MAX)
        return xg_ox_refuse(x, "more than %d axes", XG_RANK_MAX);
    uint32_t rank = t->rank + listed;
    xg_status st = read_axes(x, rank, mark, &n);
    if (st) return st;
    for (uint32_t i = 0, k = 0; i < rank; i++) dim[i] = mark[i] ? 1 : t->dim[k++];
    return xg_ox_reshape(x, in, dim, rank, xg_ox_out(x, 0));
}

xg_status xg_ox_transpose_op(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), n, rank = xg_ox_tensor(x, in)->rank;
    const int64_t *perm = xg_ox_ints(x, "perm", &n);
    int64_t own[XG_RANK_MAX];
    if (n && n != rank) return xg_ox_bad(x, "perm has %u values for %u axes", n, rank);
    for (uint32_t i = 0; i < rank; i++) own[i] = n ? perm[i] : (int64_t)rank - 1 - i;
    return xg_ox_transpose(x, in, own, xg_ox_out(x, 0));
}

static xg_status pad_mode(xg_onnx *x, int64_t *mode) {
    const char *m = xg_ox_str(x, "mode");
    *mode = !*m || !strcmp(m, "constant") ? 0
            : !strcmp(m, "reflect")       ? 1
            : !strcmp(m, "edge")          ? 2
                                          : 3;
    return *mode == 3 ? xg_ox_refuse(x, "mode '%s'", m) : XG_OK;
}

xg_status xg_ox_pad(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), n, naxes, rank = xg_ox_tensor(x, in)->rank;
    const int64_t *list, *axes;
    int64_t pads[2 * XG_RANK_MAX] = {0}, mode;
    float value;
    xg_status st = xg_ox_const_ints(x, 1, "the pads", &list, &n);
    if (!st) st = xg_ox_const_float(x, 2, "the fill value", xg_ox_float(x, "value", 0), &value);
    if (!st) st = xg_ox_const_ints(x, 3, "the axes", &axes, &naxes);
    if (!st) st = pad_mode(x, &mode);
    if (st) return st;
    if (xg_ox_in(x, 1) == XG_NONE) list = xg_ox_ints(x, "pads", &n);
    bool some = xg_ox_in(x, 3) != XG_NONE;
    uint32_t count = some ? naxes : rank;
    if (n != 2 * count) return xg_ox_bad(x, "%u pads for %u axes", n, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t a = i;
        if (some) st = xg_ox_axis(x, axes[i], rank, &a);
        if (st) return st;
        if (list[i] < 0 || list[count + i] < 0) return xg_ox_refuse(x, "negative padding");
        pads[a] = list[i];
        pads[rank + a] = list[count + i];
    }
    uint32_t node = xg_ox_node(x, XG_OP_Pad, &in, 1, xg_ox_out(x, 0));
    const xg_node *p = xg_nodep(x->g, node);
    xg_set_ais(x->g, p, XG_ATTR_pads, pads, 2 * rank);
    xg_set_ai(p, XG_ATTR_mode, mode);
    xg_set_af(p, XG_ATTR_value, value);
    return xg_ox_done(x, node);
}

/* ---- Slice, Split ---- */

static xg_status emit_slice(xg_onnx *x, uint32_t in, const int64_t *start, const int64_t *step,
                            const int64_t *dim, uint32_t out) {
    uint32_t rank = xg_ox_tensor(x, in)->rank, node = xg_ox_node(x, XG_OP_Slice, &in, 1, out);
    const xg_node *n = xg_nodep(x->g, node);
    xg_set_ais(x->g, n, XG_ATTR_starts, start, rank);
    xg_set_ais(x->g, n, XG_ATTR_steps, step, rank);
    xg_set_ais(x->g, n, XG_ATTR_shape, dim, rank);
    return xg_ox_done(x, node);
}

typedef struct slices {
    const int64_t *start, *end, *axis, *step;
    uint32_t n, naxis, nstep;
} slices;

static xg_status read_slices(xg_onnx *x, slices *s) {
    uint32_t nend;
    xg_status st = XG_OK;
    *s = (slices){0};
    if (x->opset < 10) {
        s->start = xg_ox_ints(x, "starts", &s->n);
        s->end = xg_ox_ints(x, "ends", &nend);
        s->axis = xg_ox_ints(x, "axes", &s->naxis);
    } else {
        if (xg_ox_in(x, 1) == XG_NONE || xg_ox_in(x, 2) == XG_NONE)
            return xg_ox_bad(x, "starts or ends are absent");
        st = xg_ox_const_ints(x, 1, "the starts", &s->start, &s->n);
        if (!st) st = xg_ox_const_ints(x, 2, "the ends", &s->end, &nend);
        if (!st) st = xg_ox_const_ints(x, 3, "the axes", &s->axis, &s->naxis);
        if (!st) st = xg_ox_const_ints(x, 4, "the steps", &s->step, &s->nstep);
    }
    if (st) return st;
    if (s->n != nend || (s->naxis && s->naxis != s->n) || (s->nstep && s->nstep != s->n) ||
        s->n > XG_RANK_MAX)
        return xg_ox_bad(x, "starts, ends, axes and steps differ in length");
    return XG_OK;
}

xg_status xg_ox_slice(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), rank = xg_ox_tensor(x, in)->rank;
    int64_t start[XG_RANK_MAX], step[XG_RANK_MAX], dim[XG_RANK_MAX];
    slices s;
    xg_status st = read_slices(x, &s);
    for (uint32_t i = 0; i < rank; i++) {
        start[i] = 0;
        step[i] = 1;
        dim[i] = xg_ox_tensor(x, in)->dim[i];
    }
    for (uint32_t i = 0; i < s.n && !st; i++) {
        uint32_t a = i;
        st = xg_ox_axis(x, s.naxis ? s.axis[i] : i, rank, &a);
        if (st) return st;
        int64_t size = xg_ox_tensor(x, in)->dim[a], by = s.nstep ? s.step[i] : 1, from = s.start[i],
                to = s.end[i];
        if (by == 0 || by < -INT32_MAX || by > INT32_MAX)
            return xg_ox_bad(x, "step %lld", (long long)by);
        from = xg_clamp(from < 0 ? from + size : from, by < 0 ? -1 : 0, by < 0 ? size - 1 : size);
        if (to < 0) to = to < -size ? -1 : to + size;
        to = xg_clamp(to, by < 0 ? -1 : 0, size);
        if (by > 0 && s.end[i] < -size) to = 0;
        start[a] = from;
        step[a] = by;
        dim[a] =
            by > 0 ? xg_ceil_div(xg_max(to - from, 0), by) : xg_ceil_div(xg_max(from - to, 0), -by);
        if (dim[a] < 1) return xg_ox_refuse(x, "an empty result (axis %u)", a);
    }
    return st ? st : emit_slice(x, in, start, step, dim, xg_ox_out(x, 0));
}

static xg_status split_sizes(xg_onnx *x, int64_t size, uint32_t outs, const int64_t **sizes) {
    uint32_t n;
    xg_status st = xg_ox_const_ints(x, 1, "the split", sizes, &n);
    if (st) return st;
    if (xg_ox_in(x, 1) == XG_NONE) *sizes = xg_ox_ints(x, "split", &n);
    if (n && n != outs) return xg_ox_bad(x, "split has %u values for %u outputs", n, outs);
    if (n) return XG_OK;
    int64_t *own = xg_newn(x->a, int64_t, outs), each = xg_ceil_div(size, outs);
    if (size % outs && !xg_ox_attr(x, "num_outputs"))
        return xg_ox_bad(x, "%lld elements for %u outputs", (long long)size, outs);
    for (uint32_t i = 0; i < outs; i++) own[i] = xg_min(each, size - each * i);
    *sizes = own;
    return XG_OK;
}

xg_status xg_ox_split(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), axis, rank = xg_ox_tensor(x, in)->rank,
             outs = (uint32_t)x->node->n_output;
    const int64_t *sizes;
    xg_status st = xg_ox_axis(x, xg_ox_int(x, "axis", 0), rank, &axis);
    if (!st) st = split_sizes(x, xg_ox_tensor(x, in)->dim[axis], outs, &sizes);
    if (st) return st;
    int64_t start[XG_RANK_MAX] = {0}, step[XG_RANK_MAX], dim[XG_RANK_MAX],
            left = xg_ox_tensor(x, in)->dim[axis];
    for (uint32_t i = 0; i < XG_RANK_MAX; i++) step[i] = 1;
    memcpy(dim, xg_ox_tensor(x, in)->dim, sizeof dim);
    for (uint32_t i = 0; i < outs; i++) {
        if (sizes[i] < 1 || sizes[i] > left)
            return xg_ox_bad(x, "output %u has size %lld", i, (long long)sizes[i]);
        dim[axis] = sizes[i];
        if (xg_ox_wants(x, i)) st = emit_slice(x, in, start, step, dim, xg_ox_out(x, i));
        if (st) return st;
        start[axis] += sizes[i];
        left -= sizes[i];
    }
    return left ? xg_ox_bad(x, "the split leaves %lld elements over", (long long)left) : XG_OK;
}

/* ---- Gather, DepthToSpace ---- */

xg_status xg_ox_gather(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in[2] = {xg_ox_in(x, 0), xg_ox_in(x, 1)}, axis, n;
    const int64_t *list;
    xg_status st = xg_ox_axis(x, xg_ox_int(x, "axis", 0), xg_ox_tensor(x, in[0])->rank, &axis);
    if (!st) st = xg_ox_const_ints(x, 1, "the indices", &list, &n);
    if (st) return st;
    int64_t *own = xg_memdup(x->a, list, n * sizeof *list),
            size = xg_ox_tensor(x, in[0])->dim[axis];
    for (uint32_t i = 0; i < n; i++) {
        if (own[i] < 0) own[i] += size;
        if (own[i] < 0 || own[i] >= size)
            return xg_ox_bad(x, "index %lld of an axis of size %lld", (long long)list[i],
                             (long long)size);
    }
    const xg_tensor *t = xg_ox_tensor(x, in[1]);
    in[1] = xg_graph_add_const(x->g, t->name, XG_I64, t->rank, t->dim, own, NULL);
    uint32_t node = xg_ox_node(x, XG_OP_Gather, in, 2, xg_ox_out(x, 0));
    xg_set_ai(xg_nodep(x->g, node), XG_ATTR_axis, axis);
    return xg_ox_done(x, node);
}

/* Blocks b x b between channels and space. Depth first (DCR) or columns first (CRD) order of ONNX.
 */
xg_status xg_ox_depth_space(xg_onnx *x, int to_depth) {
    uint32_t in = xg_ox_in(x, 0), cut = xg_ox_temp(x, 0, "cut"), moved = xg_ox_temp(x, 0, "moved");
    const xg_tensor *t = xg_ox_tensor(x, in);
    int64_t b = xg_ox_int(x, "blocksize", 0), n, c, h, w;
    if (t->rank != 4) return xg_ox_bad(x, "input with %d axes, expected 4", t->rank);
    n = t->dim[0], c = t->dim[1], h = t->dim[2], w = t->dim[3];
    if (b < 1 || b > 4096 || (to_depth ? h % b || w % b : c % (b * b)))
        return xg_ox_bad(x, "blocksize %lld does not divide the input", (long long)b);
    bool crd = !to_depth && !strcmp(xg_ox_str(x, "mode"), "CRD");
    int64_t dcr_dim[6] = {n, b, b, c / (b * b), h, w}, dcr_perm[6] = {0, 3, 4, 1, 5, 2};
    int64_t crd_dim[6] = {n, c / (b * b), b, b, h, w}, crd_perm[6] = {0, 1, 4, 2, 5, 3};
    int64_t std_dim[6] = {n, c, h / b, b, w / b, b}, std_perm[6] = {0, 3, 5, 1, 2, 4};
    int64_t space[4] = {n, c / (b * b), h * b, w * b}, depth[4] = {n, c * b * b, h / b, w / b};
    xg_status st = xg_ox_reshape(x, in, to_depth ? std_dim : crd ? crd_dim : dcr_dim, 6, cut);
    if (!st) st = xg_ox_transpose(x, cut, to_depth ? std_perm : crd ? crd_perm : dcr_perm, moved);
    return st ? st : xg_ox_reshape(x, moved, to_depth ? depth : space, 4, xg_ox_out(x, 0));
}

/* ---- Identity, Constant, Shape ---- */

xg_status xg_ox_identity(xg_onnx *x, int arg) {
    (void)arg;
    if (xg_ox_is_read(x, 1)) return xg_ox_refuse(x, "the output mask");
    if (xg_ox_in(x, 2) != XG_NONE) {
        const xg_tensor *train = xg_ox_tensor(x, xg_ox_in(x, 2));
        if (!train->data || xg_const_int(train, 0)) return xg_ox_refuse(x, "training_mode");
    }
    return xg_ox_alias(x, 0, xg_ox_in(x, 0));
}

static xg_status constant_numbers(xg_onnx *x, xg_dtype dtype, bool list, size_t n,
                                  const void *data) {
    int64_t dim[1] = {(int64_t)n};
    if (n > INT32_MAX) return xg_ox_bad(x, "%zu values", n);
    void *own = xg_memdup(x->a, data, n * xg_dtype_bytes(dtype));
    return xg_ox_alias(x, 0,
                       xg_graph_add_const(x->g, x->node->output[0], dtype, list, dim, own, NULL));
}

xg_status xg_ox_constant_op(xg_onnx *x, int arg) {
    (void)arg;
    const Xgonnx__Attribute *a;
    uint32_t t;
    if ((a = xg_ox_attr(x, "value")) && a->t) {
        xg_status st = xg_ox_constant(x, a->t, x->node->output[0], &t);
        return st ? st : xg_ox_alias(x, 0, t);
    }
    if ((a = xg_ox_attr(x, "value_float")) && a->has_f)
        return constant_numbers(x, XG_F32, false, 1, &a->f);
    if ((a = xg_ox_attr(x, "value_int")) && a->has_i)
        return constant_numbers(x, XG_I64, false, 1, &a->i);
    if ((a = xg_ox_attr(x, "value_floats")))
        return constant_numbers(x, XG_F32, true, a->n_floats, a->floats);
    if ((a = xg_ox_attr(x, "value_ints")))
        return constant_numbers(x, XG_I64, true, a->n_ints, a->ints);
    return xg_ox_refuse(x, "a value that is neither a dense tensor nor numbers");
}

xg_status xg_ox_constant_of_shape(xg_onnx *x, int arg) {
    (void)arg;
    const int64_t *want;
    uint32_t n, t;
    int64_t count = 1;
    xg_status st = xg_ox_const_ints(x, 0, "the shape", &want, &n);
    if (st) return st;
    if (n > XG_RANK_MAX) return xg_ox_refuse(x, "%u axes", n);
    for (uint32_t i = 0; i < n; i++)
        if (want[i] < 1 || __builtin_mul_overflow(count, want[i], &count) || count > INT32_MAX)
            return xg_ox_bad(x, "axis %u has size %lld", i, (long long)want[i]);
    const Xgonnx__Attribute *a = xg_ox_attr(x, "value");
    t = xg_ox_scalar(x, 0);
    if (a && a->t) st = xg_ox_constant(x, a->t, NULL, &t);
    if (st) return st;
    const xg_tensor *v = xg_ox_tensor(x, t);
    if (xg_tensor_elems(v) != 1) return xg_ox_bad(x, "the value must have one element");
    size_t size = xg_dtype_bytes(v->dtype);
    uint8_t *data = xg_alloc_array(x->a, (size_t)count, size);
    for (int64_t i = 0; i < count; i++) memcpy(data + (size_t)i * size, v->data, size);
    return xg_ox_alias(
        x, 0, xg_graph_add_const(x->g, x->node->output[0], v->dtype, (uint8_t)n, want, data, NULL));
}

xg_status xg_ox_shape(xg_onnx *x, int size_only) {
    const xg_tensor *t = xg_ox_tensor(x, xg_ox_in(x, 0));
    int64_t rank = t->rank, from = xg_ox_int(x, "start", 0), to = xg_ox_int(x, "end", rank),
            dim[XG_RANK_MAX], elems = xg_tensor_elems(t);
    if (size_only) return constant_numbers(x, XG_I64, false, 1, &elems);
    from = xg_clamp(from < 0 ? from + rank : from, 0, rank);
    to = xg_clamp(to < 0 ? to + rank : to, from, rank);
    memcpy(dim, t->dim, sizeof dim);
    return constant_numbers(x, XG_I64, true, (size_t)(to - from), dim + from);
}
