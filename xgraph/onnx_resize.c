/* Resize and Upsample, Expand and Tile, Range. What only repeats elements becomes Gather: exact for
 * every element type. The taps of interpolation are worked out here (ONNX, operator Resize). */
#include "xgraph/onnx_import.h"

#include "xgraph/const_eval.h"

#include <math.h>
#include <string.h>

/* ---- gathering ---- */

/* out = in with index[0..n) taken on axis; the identity is left out (then *out = in). */
static xg_status gather(xg_onnx *x, uint32_t in, uint32_t axis, const int64_t *index, int64_t n,
                        uint32_t *out) {
    bool same = n == xg_ox_tensor(x, in)->dim[axis];
    for (int64_t i = 0; i < n && same; i++) same = index[i] == i;
    *out = in;
    if (same) return XG_OK;
    uint32_t pair[2] = {in, xg_graph_add_const(x->g, NULL, XG_I64, 1, &n,
                                               xg_memdup(x->a, index, (size_t)n * sizeof *index),
                                               NULL)};
    *out = xg_ox_temp(x, 0, "taken");
    uint32_t node = xg_ox_node(x, XG_OP_Gather, pair, 2, *out);
    xg_set_ai(xg_nodep(x->g, node), XG_ATTR_axis, axis);
    return xg_ox_done(x, node);
}

/* `in` with every axis i repeated: element j of the result is element j % dim[i] (or 0 when dim is
 * 1). */
static xg_status repeated(xg_onnx *x, uint32_t in, const int64_t *want, uint32_t rank) {
    for (uint32_t axis = 0; axis < rank; axis++) {
        int64_t size = xg_ox_tensor(x, in)->dim[axis],
                *index = xg_newn(x->a, int64_t, (size_t)want[axis]);
        for (int64_t i = 0; i < want[axis]; i++) index[i] = i % size;
        xg_status st = gather(x, in, axis, index, want[axis], &in);
        if (st) return st;
    }
    return xg_ox_alias(x, 0, in);
}

static xg_status check_result(xg_onnx *x, const int64_t *dim, uint32_t rank) {
    int64_t count = 1;
    for (uint32_t i = 0; i < rank; i++)
        if (dim[i] < 1 || __builtin_mul_overflow(count, dim[i], &count) || count > INT32_MAX)
            return xg_ox_bad(x, "axis %u of the result has size %lld", i, (long long)dim[i]);
    return XG_OK;
}

xg_status xg_ox_expand(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), n;
    const int64_t *want;
    xg_status st = xg_ox_const_ints(x, 1, "the shape", &want, &n);
    if (st) return st;
    uint32_t own = xg_ox_tensor(x, in)->rank, rank = n > own ? n : own;
    int64_t dim[XG_RANK_MAX], full[XG_RANK_MAX];
    if (rank > XG_RANK_MAX) return xg_ox_refuse(x, "%u axes", rank);
    for (uint32_t i = 0; i < rank; i++) {
        full[i] = i + own >= rank ? xg_ox_tensor(x, in)->dim[i + own - rank] : 1;
        int64_t b = i + n >= rank ? want[i + n - rank] : 1;
        if (b < 1 || (full[i] != b && full[i] != 1 && b != 1))
            return xg_ox_bad(x, "axis %u: %lld does not expand to %lld", i, (long long)full[i],
                             (long long)b);
        dim[i] = xg_max(full[i], b);
    }
    st = check_result(x, dim, rank);
    if (!st && own != rank) st = xg_ox_reshaped(x, in, full, rank, &in);
    return st ? st : repeated(x, in, dim, rank);
}

xg_status xg_ox_tile(xg_onnx *x, int arg) {
    (void)arg;
    uint32_t in = xg_ox_in(x, 0), n, rank = xg_ox_tensor(x, in)->rank;
    const int64_t *times;
    int64_t dim[XG_RANK_MAX];
    xg_status st = xg_ox_const_ints(x, 1, "the repeats", &times, &n);
    if (st) return st;
    if (n != rank) return xg_ox_bad(x, "%u repeats for %u axes", n, rank);
    for (uint32_t i = 0; i < rank; i++)
        if (times[i] < 1 || times[i] > INT32_MAX)
            return xg_ox_bad(x, "axis %u repeated %lld times", i, (long long)times[i]);
        else
            dim[i] = xg_ox_tensor(x, in)->dim[i] * times[i];
    st = check_result(x, dim, rank);
    return st ? st : repeated(x, in, dim, rank);
}

/* Elements in binary64 for f32, as ONNX's reference does. */
xg_status xg_ox_range(xg_onnx *x, int arg) {
    (void)arg;
    const xg_tensor *t[3];
    for (uint32_t i = 0; i < 3; i++) {
        t[i] = xg_ox_tensor(x, xg_ox_in(x, i));
        if (!t[i]->data) return xg_ox_refuse(x, "'%s' must be constant", t[i]->name);
        if (xg_tensor_elems(t[i]) != 1 || t[i]->dtype != t[0]->dtype)
            return xg_ox_bad(x, "start, limit and delta must be scalars of one type");
    }
    bool f32 = t[0]->dtype == XG_F32;
    double v[3];
    for (int i = 0; i < 3; i++)
        v[i] = f32 ? (double)*(const float *)t[i]->data : (double)xg_const_int(t[i], 0);
    double count = ceil((v[1] - v[0]) / v[2]);
    if (!(count >= 1) || count > 1 << 24) return xg_ox_refuse(x, "a range of %g elements", count);
    int64_t n = (int64_t)count, from = f32 ? 0 : xg_const_int(t[0], 0),
            by = f32 ? 0 : xg_const_int(t[2], 0);
    xg_dtype dtype = t[0]->dtype;
    if (!f32 && dtype != XG_I32 && dtype != XG_I64)
        return xg_ox_refuse(x, "%s values", xg_dtype_name(dtype));
    void *data = xg_alloc_array(x->a, (size_t)n, xg_dtype_bytes(dtype));
    for (int64_t i = 0; i < n; i++)
        if (f32)
            ((float *)data)[i] = (float)(v[0] + (double)i * v[2]);
        else if (dtype == XG_I32)
            ((int32_t *)data)[i] = (int32_t)(from + i * by);
        else
            ((int64_t *)data)[i] = from + i * by;
    return xg_ox_alias(x, 0,
                       xg_graph_add_const(x->g, x->node->output[0], dtype, 1, &n, data, NULL));
}

/* ---- Resize: what the node says ---- */

typedef enum coordinate {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_HALF_PIXEL_FOR_NN,
    TF_CROP_AND_RESIZE
} coordinate;
typedef enum rounding { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL } rounding;
typedef enum method { NEAREST, LINEAR, CUBIC } method;

typedef struct resize {
    int coordinate, rounding, method; /* the enums above */
    double cubic_a;
    bool exclude_outside;
    float outside; /* the value there, TF_CROP_AND_RESIZE */
    double scale[XG_RANK_MAX], roi[2 * XG_RANK_MAX];
    int64_t size[XG_RANK_MAX];
    uint32_t rank;
} resize;

/* Index of the attribute's text in a list; the first one when it is absent, -1 when unknown. */
static int choice(const xg_onnx *x, const char *attribute, const char *const *list, int n) {
    const char *s = xg_ox_str(x, attribute);
    if (!*s) return 0;
    for (int i = 0; i < n; i++)
        if (!strcmp(s, list[i])) return i;
    return -1;
}

static xg_status read_modes(xg_onnx *x, resize *r) {
    static const char *const coordinates[] = {
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
        "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"};
    static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil"};
    static const char *const methods[] = {"nearest", "linear", "cubic"};
    r->coordinate = choice(x, "coordinate_transformation_mode", coordinates, 7);
    r->rounding = choice(x, "nearest_mode", roundings, 4);
    r->method = choice(x, "mode", methods, 3);
    const char *policy = xg_ox_str(x, "keep_aspect_ratio_policy");
    if (r->coordinate < 0)
        return xg_ox_refuse(x, "coordinate_transformation_mode '%s'",
                            xg_ox_str(x, "coordinate_transformation_mode"));
    if (r->rounding < 0) return xg_ox_refuse(x, "nearest_mode '%s'", xg_ox_str(x, "nearest_mode"));
    if (r->method < 0) return xg_ox_refuse(x, "mode '%s'", xg_ox_str(x, "mode"));
    if (*policy && strcmp(policy, "stretch"))
        return xg_ox_refuse(x, "keep_aspect_ratio_policy '%s'", policy);
    r->cubic_a = (double)xg_ox_float(x, "cubic_coeff_a", -0.75f);
    r->exclude_outside = xg_ox_int(x, "exclude_outside", 0) != 0;
    r->outside = xg_ox_float(x, "extrapolation_value", 0);
    if (!isfinite(r->cubic_a)) return xg_ox_bad(x, "cubic_coeff_a is not finite");
    return XG_OK;
}

/* f32 constants of input i, one for each listed axis (`per` of them); count 0: absent or empty. */
static xg_status read_floats(xg_onnx *x, uint32_t i, const char *what, const float **v,
                             int64_t *count) {
    uint32_t in = xg_ox_in(x, i);
    *v = NULL;
    *count = 0;
    if (in == XG_NONE) return XG_OK;
    const xg_tensor *t = xg_ox_tensor(x, in);
    if (!t->data) return xg_ox_refuse(x, "%s ('%s') must be constant", what, t->name);
    *count = xg_tensor_elems(t);
    if (*count && t->dtype != XG_F32)
        return xg_ox_bad(x, "%s ('%s') is %s, must be float", what, t->name,
                         xg_dtype_name(t->dtype));
    *v = t->data;
    return XG_OK;
}

static xg_status set_scale(xg_onnx *x, resize *r, uint32_t axis, int64_t in, float scale) {
    double size = floor((double)in * (double)scale);
    if (!(scale > 0) || !(size >= 1) || size > INT32_MAX)
        return xg_ox_bad(x, "scale %g on axis %u of size %lld", (double)scale, axis, (long long)in);
    r->scale[axis] = (double)scale;
    r->size[axis] = (int64_t)size;
    return XG_OK;
}

/* Sizes or scales on the axes (all, unless the node lists some). */
static xg_status read_extent(xg_onnx *x, resize *r, uint32_t iscales, uint32_t isizes) {
    const int64_t *dim = xg_ox_tensor(x, xg_ox_in(x, 0))->dim, *sizes, *list;
    const float *scales;
    int64_t nscales, axes[XG_RANK_MAX];
    uint32_t nsizes, n, axis;
    xg_status st = read_floats(x, iscales, "the scales", &scales, &nscales);
    if (!st) st = xg_ox_const_ints(x, isizes, "the sizes", &sizes, &nsizes);
    if (st) return st;
    list = xg_ox_ints(x, "axes", &n);
    if (n > r->rank) return xg_ox_bad(x, "%u axes of a tensor with %u", n, r->rank);
    for (uint32_t i = 0; i < n; i++) {
        st = xg_ox_axis(x, list[i], r->rank, &axis);
        if (st) return st;
        axes[i] = axis;
    }
    uint32_t count = n ? n : r->rank;
    for (uint32_t i = 0; !n && i < count; i++) axes[i] = i;
    if (nscales ? nscales != count : nsizes != count)
        return xg_ox_bad(x, "%lld scales and %u sizes for %u axes", (long long)nscales, nsizes,
                         count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t a = (uint32_t)axes[i];
        dim = xg_ox_tensor(x, xg_ox_in(x, 0))->dim;
        if (nscales) {
            st = set_scale(x, r, a, dim[a], scales[i]);
            if (st) return st;
        } else {
            if (sizes[i] < 1 || sizes[i] > INT32_MAX)
                return xg_ox_bad(x, "size %lld on axis %u", (long long)sizes[i], a);
            r->size[a] = sizes[i];
            r->scale[a] = (double)sizes[i] / (double)dim[a];
        }
    }
    return XG_OK;
}

static xg_status read_roi(xg_onnx *x, resize *r) {
    const float *roi;
    int64_t n;
    for (uint32_t i = 0; i < r->rank; i++) r->roi[i] = 0, r->roi[r->rank + i] = 1;
    if (r->coordinate != TF_CROP_AND_RESIZE) return XG_OK;
    xg_status st = read_floats(x, 1, "the region", &roi, &n);
    if (st) return st;
    if (n != 2 * (int64_t)r->rank || xg_ox_attr(x, "axes"))
        return xg_ox_refuse(x, "a region of %lld values for %u axes", (long long)n, r->rank);
    for (uint32_t i = 0; i < 2 * r->rank; i++) {
        if (!isfinite(roi[i])) return xg_ox_bad(x, "the region is not finite");
        r->roi[i] = (double)roi[i];
    }
    return XG_OK;
}

/* ---- Resize: taps ---- */

/* Where output index i lies on an input axis of n elements (ONNX, coordinate_transformation_mode).
 */
static double source(const resize *r, uint32_t axis, int64_t i, int64_t n) {
    const double at = (double)i, scale = r->scale[axis], out = (double)r->size[axis],
                 last = (double)(n - 1), begin = r->roi[axis], end = r->roi[r->rank + axis];
    switch (r->coordinate) {
    case HALF_PIXEL_SYMMETRIC:
        return (double)n / 2 * (1 - out / (scale * (double)n)) + (at + 0.5) / scale - 0.5;
    case PYTORCH_HALF_PIXEL:
        return out > 1 ? (at + 0.5) / scale - 0.5 : 0;
    case ALIGN_CORNERS:
        return out > 1 ? at * last / (out - 1) : 0;
    case ASYMMETRIC:
        return at / scale;
    case TF_HALF_PIXEL_FOR_NN:
        return (at + 0.5) / scale;
    case TF_CROP_AND_RESIZE:
        return out > 1 ? begin * last + at * (end - begin) * last / (out - 1)
                       : 0.5 * (begin + end) * last;
    default:
        return (at + 0.5) / scale - 0.5;
    }
}

static int64_t nearest(const resize *r, double at, int64_t n) {
    double v;
    switch (r->rounding) {
    case ROUND_PREFER_FLOOR:
        v = ceil(at - 0.5);
        break;
    case ROUND_PREFER_CEIL:
        v = floor(at + 0.5);
        break;
    case FLOOR:
        v = floor(at);
        break;
    default:
        v = ceil(at);
        break;
    }
    return v < 0 ? 0 : v > (double)(n - 1) ? n - 1 : (int64_t)v;
}

/* Weight of the cubic kernel with parameter a at distance t. */
static double cubic(double a, double t) {
    t = fabs(t);
    if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? ((t - 5) * t + 8) * t * a - 4 * a : 0;
}

/* index[0..taps), weight[0..taps) of one output element. Indices beyond the ends are the end's. */
static void taps_at(const resize *r, double at, int64_t n, int taps, int64_t *index,
                    float *weight) {
    const double base = floor(at), part = at - base;
    double w[4] = {0}, sum = 0;
    for (int k = 0; k < taps; k++) {
        double i = base + k - (taps == 4);
        w[k] = taps == 4 ? cubic(r->cubic_a, at - i) : k ? part : 1 - part;
        bool out = i < 0 || i > (double)(n - 1);
        if (out && r->exclude_outside && taps == 4) w[k] = 0;
        sum += w[k];
        index[k] = i < 0 ? 0 : i > (double)(n - 1) ? n - 1 : (int64_t)i;
    }
    bool renormalise = r->exclude_outside && taps == 4 && sum != 0;
    for (int k = 0; k < taps; k++) weight[k] = (float)(renormalise ? w[k] / sum : w[k]);
}

/* Nothing is to be read beyond the input where that has a value of its own. */
static xg_status check_outside(xg_onnx *x, const resize *r, double at, int64_t n) {
    if (!isfinite(at) || fabs(at) > 0x1p40) return xg_ox_bad(x, "a coordinate is %g", at);
    if (r->coordinate != TF_CROP_AND_RESIZE || (at >= 0 && at <= (double)(n - 1))) return XG_OK;
    return xg_ox_refuse(x, "a region that reaches beyond the input");
}

/* The axes that change, in this order of `in`: nearest as Gather, one after another. */
static xg_status by_gather(xg_onnx *x, const resize *r, const uint32_t *axis, const uint32_t *place,
                           uint32_t n, uint32_t in, uint32_t *out) {
    *out = in;
    for (uint32_t k = 0; k < n; k++) {
        int64_t size = xg_ox_tensor(x, *out)->dim[place[k]], want = r->size[axis[k]];
        int64_t *index = xg_newn(x->a, int64_t, (size_t)want);
        for (int64_t i = 0; i < want; i++) {
            double at = source(r, axis[k], i, size);
            xg_status st = check_outside(x, r, at, size);
            if (st) return st;
            index[i] = nearest(r, at, size);
        }
        xg_status st = gather(x, *out, place[k], index, want, out);
        if (st) return st;
    }
    return XG_OK;
}

static xg_status by_taps(xg_onnx *x, const resize *r, const uint32_t *axis, const uint32_t *place,
                         uint32_t n, uint32_t in, uint32_t *out) {
    enum { MOST = 4 };
    uint32_t ins[1 + 2 * MOST] = {in};
    int64_t axes[MOST], taps = r->method == CUBIC ? 4 : 2;
    if (n > MOST) return xg_ox_refuse(x, "interpolation on %u axes", n);
    for (uint32_t k = 0; k < n; k++) {
        int64_t size = xg_ox_tensor(x, in)->dim[place[k]], dim[2] = {r->size[axis[k]], taps};
        int64_t *index = xg_newn(x->a, int64_t, (size_t)(dim[0] * taps));
        float *weight = xg_newn(x->a, float, (size_t)(dim[0] * taps));
        for (int64_t i = 0; i < dim[0]; i++) {
            double at = source(r, axis[k], i, size);
            xg_status st = check_outside(x, r, at, size);
            if (st) return st;
            taps_at(r, at, size, (int)taps, index + i * taps, weight + i * taps);
        }
        axes[k] = place[k];
        ins[1 + 2 * k] = xg_graph_add_const(x->g, NULL, XG_I64, 2, dim, index, NULL);
        ins[2 + 2 * k] = xg_graph_add_const(x->g, NULL, XG_F32, 2, dim, weight, NULL);
    }
    *out = xg_ox_temp(x, 0, "resized");
    uint32_t node = xg_ox_node(x, XG_OP_Resize, ins, 1 + 2 * n, *out);
    xg_set_ais(x->g, xg_nodep(x->g, node), XG_ATTR_axes, axes, n);
    return xg_ox_done(x, node);
}

/* ---- Resize: building ---- */

/* Axis i of NCHW in NHWC. */
static uint32_t in_nhwc(uint32_t axis) {
    return axis == 1 ? 3 : axis > 1 ? axis - 1 : 0;
}

static xg_status build(xg_onnx *x, const resize *r) {
    uint32_t in = xg_ox_in(x, 0), axis[XG_RANK_MAX], place[XG_RANK_MAX], n = 0, y;
    bool spatial = r->rank == 4;
    for (uint32_t i = 0; i < r->rank; i++) {
        bool crops =
            r->coordinate == TF_CROP_AND_RESIZE && (r->roi[i] != 0 || r->roi[r->rank + i] != 1);
        if (r->size[i] == xg_ox_tensor(x, in)->dim[i] && r->scale[i] == 1 && !crops) continue;
        spatial = spatial && i > 1;
        axis[n] = place[n] = i;
        n++;
    }
    bool shrinks = false;
    for (uint32_t i = 0; i < n; i++) shrinks = shrinks || r->scale[axis[i]] < 1;
    if (xg_ox_int(x, "antialias", 0) && shrinks && r->method != NEAREST)
        return xg_ox_refuse(x, "antialias");
    if (n == 0) return xg_ox_alias(x, 0, in);
    xg_status st = XG_OK;
    if (spatial) {
        for (uint32_t i = 0; i < n; i++) place[i] = in_nhwc(axis[i]);
        st = xg_ox_nhwc(x, in, &in);
    }
    if (!st && r->method == NEAREST)
        st = by_gather(x, r, axis, place, n, in, &y);
    else if (!st)
        st = by_taps(x, r, axis, place, n, in, &y);
    if (st) return st;
    return spatial ? xg_ox_from_nhwc(x, y, r->rank, 0) : xg_ox_alias(x, 0, y);
}

static xg_status begin(xg_onnx *x, resize *r) {
    const xg_tensor *t = xg_ox_tensor(x, xg_ox_in(x, 0));
    *r = (resize){.rank = t->rank};
    for (uint32_t i = 0; i < r->rank; i++) r->scale[i] = 1, r->size[i] = t->dim[i];
    if (!r->rank) return xg_ox_bad(x, "a scalar");
    return XG_OK;
}

static xg_status finish(xg_onnx *x, const resize *r) {
    const xg_tensor *t = xg_ox_tensor(x, xg_ox_in(x, 0));
    xg_status st = check_result(x, r->size, r->rank);
    if (!st && t->dtype != XG_F32 && r->method != NEAREST)
        st = xg_ox_refuse(x, "interpolation of %s values", xg_dtype_name(t->dtype));
    return st ? st : build(x, r);
}

/* Operator sets before 11 know nearest and linear, both at i / scale, rounded down. */
static xg_status old_modes(xg_onnx *x, resize *r) {
    const char *mode = xg_ox_str(x, "mode");
    r->coordinate = ASYMMETRIC;
    r->rounding = FLOOR;
    r->method = !*mode || !strcmp(mode, "nearest")                     ? NEAREST
                : !strcmp(mode, "linear") || !strcmp(mode, "bilinear") ? LINEAR
                                                                       : -1;
    return r->method < 0 ? xg_ox_refuse(x, "mode '%s'", mode) : XG_OK;
}

xg_status xg_ox_resize(xg_onnx *x, int arg) {
    (void)arg;
    resize r;
    xg_status st = begin(x, &r);
    if (!st) st = x->opset < 11 ? old_modes(x, &r) : read_modes(x, &r);
    if (!st) st = x->opset < 11 ? read_extent(x, &r, 1, 99) : read_extent(x, &r, 2, 3);
    if (!st && x->opset >= 11) st = read_roi(x, &r);
    return st ? st : finish(x, &r);
}

xg_status xg_ox_upsample(xg_onnx *x, int arg) {
    (void)arg;
    resize r;
    xg_status st = begin(x, &r);
    if (!st) st = old_modes(x, &r);
    const Xgonnx__Attribute *scales = xg_ox_attr(x, "scales");
    if (!st && scales && scales->n_floats != r.rank)
        st = xg_ox_bad(x, "%zu scales for %u axes", scales->n_floats, r.rank);
    for (uint32_t i = 0; !st && scales && i < r.rank; i++)
        st = set_scale(x, &r, i, xg_ox_tensor(x, xg_ox_in(x, 0))->dim[i], scales->floats[i]);
    if (!st && !scales) st = read_extent(x, &r, 1, 99);
    return st ? st : finish(x, &r);
}
