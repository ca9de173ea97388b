#include "xgraph/export_onnx.h"

#include <math.h>
#include <string.h>

#define MS "com.microsoft"

static xg_status refuse(xg_export *e, const xg_node *n, const char *why) {
    return xg_node_error(e->ctx, n, XG_UNSUPPORTED, "ONNX export: %s", why);
}

static bool is_int(const xg_export *e, const xg_node *n) {
    return xg_out(e->g, n, 0)->dtype != XG_F32;
}

static bool is_quantised(const xg_export *e, const xg_node *n) {
    const xg_tensor *x = xg_in(e->g, n, 0), *y = xg_out(e->g, n, 0);
    return xg_dtype_is_int8(x->dtype) && x->quant && xg_dtype_is_int8(y->dtype) && y->quant;
}

/* ---- results with a clamp
 * ----------------------------------------------------------------------------- */

typedef struct result {
    char *raw;   /* what the operator writes */
    char *final; /* the tensor; equal to raw when nothing is clamped */
    int64_t lo, hi;
} result;

static result begin_result(xg_export *e, const xg_node *n, xg_form form) {
    const xg_tensor *y = xg_out(e->g, n, 0);
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    result r = {.lo = lo, .hi = hi};
    if (xg_has_attr(n, XG_ATTR_lo) && y->dtype != XG_F32) {
        r.lo = xg_max(lo, xg_ai(n, XG_ATTR_lo));
        r.hi = xg_min(hi, xg_ai(n, XG_ATTR_hi));
    }
    r.final = xg_ex_write(e, n->out[0], form);
    bool clamped = r.lo > lo || r.hi < hi;
    r.raw = clamped ? xg_ex_fresh(e, xg_strf(e->arena, "%s::raw", y->name)) : r.final;
    return r;
}

static void end_result(xg_export *e, const xg_node *n, const result *r) {
    if (r->raw == r->final) return;
    xg_dtype t = xg_out(e->g, n, 0)->dtype;
    char *in[3] = {r->raw, xg_ex_scalar(e, xg_strf(e->arena, "%s::lo", n->name), t, r->lo),
                   xg_ex_scalar(e, xg_strf(e->arena, "%s::hi", n->name), t, r->hi)};
    xg_ex_node(e, "", "Clip", xg_strf(e->arena, "%s::clip", n->name), in, 3, r->final);
}

/* ---- windows
 * ------------------------------------------------------------------------------------------ */

static void window_attributes(xg_export *e, Xgonnx__Node *to, const xg_window *w, bool dilations) {
    int64_t kernel[2] = {w->kh, w->kw}, stride[2] = {w->sh, w->sw}, dilation[2] = {w->dh, w->dw};
    int64_t pads[4] = {w->pt, w->pl, w->pb, w->pr};
    xg_ex_ints(e, to, "kernel_shape", kernel, 2);
    xg_ex_ints(e, to, "strides", stride, 2);
    if (dilations) xg_ex_ints(e, to, "dilations", dilation, 2);
    xg_ex_ints(e, to, "pads", pads, 4);
}

static xg_status export_conv(xg_export *e, const xg_node *n) {
    uint32_t x = n->in[0], w = n->in[1], y = n->out[0];
    if (is_int(e, n) && !is_quantised(e, n))
        return refuse(e, n, "an integer convolution without scales");
    bool bias = n->nin > 2 && n->in[2] != XG_NONE;
    result r = begin_result(e, n, XG_NCHW);
    Xgonnx__Node *to;
    if (is_int(e, n)) {
        char *in[9] = {xg_ex_read(e, x, XG_NCHW),
                       xg_ex_scale(e, x),
                       xg_ex_zp(e, x),
                       xg_ex_read(e, w, XG_NCHW),
                       xg_ex_scale(e, w),
                       xg_ex_zp(e, w),
                       xg_ex_scale(e, y),
                       xg_ex_zp(e, y),
                       bias ? xg_ex_read(e, n->in[2], XG_PLAIN) : NULL};
        to = xg_ex_node(e, "", "QLinearConv", n->name, in, bias ? 9 : 8, r.raw);
    } else {
        char *in[3] = {xg_ex_read(e, x, XG_NCHW), xg_ex_read(e, w, XG_NCHW),
                       bias ? xg_ex_read(e, n->in[2], XG_PLAIN) : NULL};
        to = xg_ex_node(e, "", "Conv", n->name, in, bias ? 3 : 2, r.raw);
    }
    xg_window win = xg_node_window(n);
    window_attributes(e, to, &win, true);
    xg_ex_int(e, to, "group", xg_ai(n, XG_ATTR_group));
    end_result(e, n, &r);
    return XG_OK;
}

static bool is_global(const xg_export *e, const xg_node *n, const xg_window *w) {
    const xg_tensor *x = xg_in(e->g, n, 0);
    return w->kh == x->dim[1] && w->kw == x->dim[2] && !(w->pt | w->pl | w->pb | w->pr);
}

/* Padding that makes rounding down give the output size: the same windows, as padding never counts
 * in these pools. */
static void pads_for_ceil(const xg_export *e, const xg_node *n, xg_window *w) {
    const xg_tensor *x = xg_in(e->g, n, 0), *y = xg_out(e->g, n, 0);
    int64_t need_h = (y->dim[1] - 1) * w->sh + (int64_t)(w->kh - 1) * w->dh + 1 - x->dim[1] - w->pt;
    int64_t need_w = (y->dim[2] - 1) * w->sw + (int64_t)(w->kw - 1) * w->dw + 1 - x->dim[2] - w->pl;
    w->pb = (int32_t)xg_max(w->pb, need_h);
    w->pr = (int32_t)xg_max(w->pr, need_w);
}

static xg_status export_maxpool(xg_export *e, const xg_node *n) {
    result r = begin_result(e, n, XG_NCHW);
    xg_window w = xg_node_window(n);
    pads_for_ceil(e, n, &w);
    char *in = xg_ex_read(e, n->in[0], XG_NCHW);
    Xgonnx__Node *to = xg_ex_node(e, "", "MaxPool", n->name, &in, 1, r.raw);
    window_attributes(e, to, &w, true);
    end_result(e, n, &r);
    return XG_OK;
}

static xg_status export_avgpool(xg_export *e, const xg_node *n) {
    xg_window w = xg_node_window(n);
    uint32_t x = n->in[0], y = n->out[0];
    bool quantised = is_int(e, n), global = is_global(e, n, &w);
    bool count_pad = xg_ai(n, XG_ATTR_count_pad) && (w.pt | w.pl | w.pb | w.pr);
    xg_window grown = w;
    pads_for_ceil(e, n, &grown);
    if (quantised && !is_quantised(e, n)) return refuse(e, n, "an integer pool without scales");
    if (w.dh != 1 || w.dw != 1)
        return refuse(e, n, "a dilated average has no counterpart in opset 13");
    if (count_pad && (grown.pb > w.pb || grown.pr > w.pr))
        return refuse(e, n, "windows that reach beyond counted padding (runtimes disagree on it)");
    result r = begin_result(e, n, XG_NCHW);
    char *in[5] = {xg_ex_read(e, x, XG_NCHW), NULL, NULL, NULL, NULL};
    if (quantised) {
        in[1] = xg_ex_scale(e, x);
        in[2] = xg_ex_zp(e, x);
        in[3] = xg_ex_scale(e, y);
        in[4] = xg_ex_zp(e, y);
    }
    const char *op =
        quantised ? (global ? "QLinearGlobalAveragePool" : "QLinearAveragePool") : "AveragePool";
    Xgonnx__Node *to =
        xg_ex_node(e, quantised ? MS : "", op, n->name, in, quantised ? 5 : 1, r.raw);
    if (!(quantised && global)) {
        window_attributes(e, to, &grown, false);
        xg_ex_int(e, to, "count_include_pad", count_pad);
        xg_ex_int(e, to, "ceil_mode", 0);
    }
    end_result(e, n, &r);
    return XG_OK;
}

/* ---- element by element
 * --------------------------------------------------------------------------------- */

static xg_status export_qbinary(xg_export *e, const xg_node *n, const char *domain, const char *op,
                                xg_form form) {
    uint32_t a = n->in[0], b = n->in[1], y = n->out[0];
    result r = begin_result(e, n, form);
    char *in[8] = {xg_ex_read(e, a, form), xg_ex_scale(e, a), xg_ex_zp(e, a),
                   xg_ex_read(e, b, form), xg_ex_scale(e, b), xg_ex_zp(e, b),
                   xg_ex_scale(e, y),      xg_ex_zp(e, y)};
    xg_ex_node(e, domain, op, n->name, in, 8, r.raw);
    end_result(e, n, &r);
    return XG_OK;
}

static xg_status export_lut(xg_export *e, const xg_node *n) {
    const xg_tensor *x = xg_in(e->g, n, 0);
    xg_form form = x->rank == 4 ? XG_NCHW : XG_PLAIN;
    char *at = xg_ex_read(e, n->in[0], form);
    char *wide = xg_ex_fresh(e, xg_strf(e->arena, "%s::wide", n->name));
    Xgonnx__Node *cast =
        xg_ex_node(e, "", "Cast", xg_strf(e->arena, "%s::cast", n->name), &at, 1, wide);
    xg_ex_int(e, cast, "to", xg_ex_type(XG_I32));
    char *index = wide;
    if (x->dtype == XG_I8) {
        char *in[2] = {wide, xg_ex_scalar(e, xg_strf(e->arena, "%s::128", n->name), XG_I32, 128)};
        index = xg_ex_fresh(e, xg_strf(e->arena, "%s::index", n->name));
        xg_ex_node(e, "", "Add", xg_strf(e->arena, "%s::add", n->name), in, 2, index);
    }
    char *in[2] = {xg_ex_read(e, n->in[1], XG_PLAIN), index};
    Xgonnx__Node *to = xg_ex_node(e, "", "Gather", n->name, in, 2, xg_ex_write(e, n->out[0], form));
    xg_ex_int(e, to, "axis", 0);
    return XG_OK;
}

static xg_status export_int_clip(xg_export *e, const xg_node *n) {
    xg_form form = xg_ex_common_form(e, n);
    int32_t lo, hi;
    xg_dtype t = xg_out(e->g, n, 0)->dtype;
    xg_dtype_range(t, &lo, &hi);
    char *in[3] = {
        xg_ex_read(e, n->in[0], form),
        xg_ex_scalar(e, xg_strf(e->arena, "%s::lo", n->name), t, xg_max(lo, xg_ai(n, XG_ATTR_lo))),
        xg_ex_scalar(e, xg_strf(e->arena, "%s::hi", n->name), t, xg_min(hi, xg_ai(n, XG_ATTR_hi)))};
    xg_ex_node(e, "", "Clip", n->name, in, 3, xg_ex_write(e, n->out[0], form));
    return XG_OK;
}

/* ---- conversions
 * ------------------------------------------------------------------------------------------ */

static char *quantiser(xg_export *e, const char *op, const char *name, char *from,
                       uint32_t quant_of, char *to) {
    char *in[3] = {from, xg_ex_scale(e, quant_of), xg_ex_zp(e, quant_of)};
    Xgonnx__Node *n = xg_ex_node(e, "", op, name, in, 3, to);
    int32_t axis = xg_tensorp(e->g, quant_of)->quant->axis;
    if (axis >= 0) xg_ex_int(e, n, "axis", axis);
    return to;
}

static char *dequantised(xg_export *e, uint32_t t, xg_form form, const char *node) {
    char *to = xg_ex_fresh(e, xg_strf(e->arena, "%s::float", node));
    return quantiser(e, "DequantizeLinear", to, xg_ex_read(e, t, form), t, to);
}

static xg_status export_quantiser(xg_export *e, const xg_node *n) {
    uint32_t x = n->in[0], y = n->out[0];
    bool per_axis =
        (n->op == XG_OP_Quantize ? xg_out(e->g, n, 0) : xg_in(e->g, n, 0))->quant->axis >= 0;
    xg_form form = per_axis ? XG_PLAIN : xg_ex_common_form(e, n);
    if (n->op == XG_OP_Requantize) {
        char *middle = dequantised(e, x, form, n->name);
        quantiser(e, "QuantizeLinear", n->name, middle, y, xg_ex_write(e, y, form));
        return XG_OK;
    }
    bool up = n->op == XG_OP_Quantize;
    char *from = xg_ex_read(e, x, form);
    quantiser(e, up ? "QuantizeLinear" : "DequantizeLinear", n->name, from, up ? y : x,
              xg_ex_write(e, y, form));
    return XG_OK;
}

/* ---- movement, in the plain form
 * ---------------------------------------------------------------------------- */

static xg_status export_concat(xg_export *e, const xg_node *n) {
    xg_form form = xg_ex_common_form(e, n);
    bool quantised = is_int(e, n) && is_quantised(e, n);
    uint32_t nin = 0;
    char **in = xg_newn(e->arena, char *, 3 * (size_t)n->nin + 2);
    if (quantised) {
        in[nin++] = xg_ex_scale(e, n->out[0]);
        in[nin++] = xg_ex_zp(e, n->out[0]);
    }
    for (uint32_t i = 0; i < n->nin; i++) {
        in[nin++] = xg_ex_read(e, n->in[i], form);
        if (!quantised) continue;
        in[nin++] = xg_ex_scale(e, n->in[i]);
        in[nin++] = xg_ex_zp(e, n->in[i]);
    }
    char *out = xg_ex_write(e, n->out[0], form);
    Xgonnx__Node *to = xg_ex_node(e, quantised ? MS : "", quantised ? "QLinearConcat" : "Concat",
                                  n->name, in, nin, out);
    xg_ex_int(e, to, "axis", xg_ex_axis(form, xg_ai(n, XG_ATTR_axis)));
    return XG_OK;
}

static xg_status export_slice(xg_export *e, const xg_node *n) {
    const xg_attr *start = xg_attr_of(n, XG_ATTR_starts), *step = xg_attr_of(n, XG_ATTR_steps);
    const xg_tensor *y = xg_out(e->g, n, 0);
    int64_t axes[XG_RANK_MAX], ends[XG_RANK_MAX];
    for (uint32_t i = 0; i < y->rank; i++) {
        axes[i] = i;
        ends[i] = start->is[i] + y->dim[i] * step->is[i];
        if (ends[i] < 0) ends[i] = INT32_MIN; /* before the first element; -1 would mean the last */
    }
    char *in[5] = {xg_ex_read(e, n->in[0], XG_PLAIN),
                   xg_ex_const_i64(e, xg_strf(e->arena, "%s::starts", n->name), start->is, y->rank),
                   xg_ex_const_i64(e, xg_strf(e->arena, "%s::ends", n->name), ends, y->rank),
                   xg_ex_const_i64(e, xg_strf(e->arena, "%s::axes", n->name), axes, y->rank),
                   xg_ex_const_i64(e, xg_strf(e->arena, "%s::steps", n->name), step->is, y->rank)};
    xg_ex_node(e, "", "Slice", n->name, in, 5, xg_ex_write(e, n->out[0], XG_PLAIN));
    return XG_OK;
}

static char *pad_value(xg_export *e, const xg_node *n) {
    const xg_tensor *y = xg_out(e->g, n, 0);
    const char *base = xg_strf(e->arena, "%s::value", n->name);
    float v = xg_af(n, XG_ATTR_value);
    if (y->dtype == XG_F32)
        return xg_ex_const(e, base, XG_F32, 0, NULL, xg_memdup(e->arena, &v, sizeof v));
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    return xg_ex_scalar(e, base, y->dtype, xg_clamp((int64_t)v, lo, hi)); /* integers: a code */
}

static xg_status export_pad(xg_export *e, const xg_node *n) {
    static const char *const modes[] = {"constant", "reflect", "edge"};
    const xg_attr *pads = xg_attr_of(n, XG_ATTR_pads);
    char *in[3] = {xg_ex_read(e, n->in[0], XG_PLAIN),
                   xg_ex_const_i64(e, xg_strf(e->arena, "%s::pads", n->name), pads->is, pads->n),
                   pad_value(e, n)};
    int64_t mode = xg_ai(n, XG_ATTR_mode);
    if (mode != 0) return refuse(e, n, xg_strf(e->arena, "padding mode %s", modes[mode]));
    xg_ex_node(e, "", "Pad", n->name, in, 3, xg_ex_write(e, n->out[0], XG_PLAIN));
    return XG_OK;
}

static xg_status export_reshape(xg_export *e, const xg_node *n) {
    const xg_tensor *y = xg_out(e->g, n, 0);
    char *in[2] = {xg_ex_read(e, n->in[0], XG_PLAIN),
                   xg_ex_const_i64(e, xg_strf(e->arena, "%s::shape", n->name), y->dim, y->rank)};
    xg_ex_node(e, "", "Reshape", n->name, in, 2, xg_ex_write(e, n->out[0], XG_PLAIN));
    return XG_OK;
}

static xg_status export_transpose(xg_export *e, const xg_node *n) {
    const xg_attr *perm = xg_attr_of(n, XG_ATTR_perm);
    char *in = xg_ex_read(e, n->in[0], XG_PLAIN);
    Xgonnx__Node *to =
        xg_ex_node(e, "", "Transpose", n->name, &in, 1, xg_ex_write(e, n->out[0], XG_PLAIN));
    xg_ex_ints(e, to, "perm", perm->is, perm->n);
    return XG_OK;
}

static xg_status export_gather(xg_export *e, const xg_node *n) {
    char *in[2] = {xg_ex_read(e, n->in[0], XG_PLAIN), xg_ex_read(e, n->in[1], XG_PLAIN)};
    Xgonnx__Node *to =
        xg_ex_node(e, "", "Gather", n->name, in, 2, xg_ex_write(e, n->out[0], XG_PLAIN));
    xg_ex_int(e, to, "axis", xg_ai(n, XG_ATTR_axis));
    return XG_OK;
}

static xg_status export_cast(xg_export *e, const xg_node *n) {
    char *in = xg_ex_read(e, n->in[0], XG_PLAIN);
    Xgonnx__Node *to =
        xg_ex_node(e, "", "Cast", n->name, &in, 1, xg_ex_write(e, n->out[0], XG_PLAIN));
    xg_ex_int(e, to, "to", xg_ex_type((xg_dtype)xg_ai(n, XG_ATTR_to)));
    return XG_OK;
}

static xg_status export_lrn(xg_export *e, const xg_node *n) {
    if (xg_in(e->g, n, 0)->rank != 4) return refuse(e, n, "LRN of another rank than 4");
    char *in = xg_ex_read(e, n->in[0], XG_NCHW);
    Xgonnx__Node *to =
        xg_ex_node(e, "", "LRN", n->name, &in, 1, xg_ex_write(e, n->out[0], XG_NCHW));
    xg_ex_int(e, to, "size", xg_ai(n, XG_ATTR_size));
    xg_ex_float(e, to, "alpha", xg_af(n, XG_ATTR_alpha));
    xg_ex_float(e, to, "beta", xg_af(n, XG_ATTR_beta));
    xg_ex_float(e, to, "bias", xg_af(n, XG_ATTR_bias));
    return XG_OK;
}

/* ---- softmax and operators that stay float, in the plain form
 * ------------------------------------------------ */

static xg_status export_qsoftmax(xg_export *e, const xg_node *n) {
    uint32_t x = n->in[0], y = n->out[0];
    char *in[5] = {xg_ex_read(e, x, XG_PLAIN), xg_ex_scale(e, x), xg_ex_zp(e, x), xg_ex_scale(e, y),
                   xg_ex_zp(e, y)};
    Xgonnx__Node *to =
        xg_ex_node(e, MS, "QLinearSoftmax", n->name, in, 5, xg_ex_write(e, y, XG_PLAIN));
    xg_ex_int(e, to, "axis", xg_ai(n, XG_ATTR_axis));
    xg_ex_int(e, to, "opset", 13);
    return XG_OK;
}

static char *float_const(xg_export *e, const xg_node *n, const char *what, float v) {
    return xg_ex_const(e, xg_strf(e->arena, "%s::%s", n->name, what), XG_F32, 0, NULL,
                       xg_memdup(e->arena, &v, sizeof v));
}

/* x * HardSigmoid(x): HardSwish itself came with opset 14. */
static void hard_swish(xg_export *e, const xg_node *n, char *x, char *y) {
    char *gate = xg_ex_fresh(e, xg_strf(e->arena, "%s::gate", n->name));
    Xgonnx__Node *sigmoid = xg_ex_node(e, "", "HardSigmoid", gate, &x, 1, gate);
    xg_ex_float(e, sigmoid, "alpha", 1.0f / 6);
    xg_ex_float(e, sigmoid, "beta", 0.5f);
    char *in[2] = {x, gate};
    xg_ex_node(e, "", "Mul", n->name, in, 2, y);
}

static void float_attributes(xg_export *e, const xg_node *n, Xgonnx__Node *to) {
    if (xg_has_attr(n, XG_ATTR_alpha)) xg_ex_float(e, to, "alpha", xg_af(n, XG_ATTR_alpha));
    if (xg_has_attr(n, XG_ATTR_beta)) xg_ex_float(e, to, "beta", xg_af(n, XG_ATTR_beta));
    if (xg_has_attr(n, XG_ATTR_axis)) xg_ex_int(e, to, "axis", xg_ai(n, XG_ATTR_axis));
    if (!xg_has_attr(n, XG_ATTR_axes)) return;
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    if (axes->n) xg_ex_axes(e, to, axes->is, axes->n);
    xg_ex_int(e, to, "keepdims", xg_ai(n, XG_ATTR_keepdims));
}

/* The float operator from float names to a float name. */
static void float_operator(xg_export *e, const xg_node *n, char **in, uint32_t nin, char *out) {
    if (xg_export_more(e, n, in, nin, out)) return;
    if (n->op == XG_OP_HardSwish) {
        hard_swish(e, n, in[0], out);
        return;
    }
    if (n->op == XG_OP_Clip && xg_af(n, XG_ATTR_min) == 0 && xg_af(n, XG_ATTR_max) == INFINITY) {
        xg_ex_node(e, "", "Relu", n->name, in, 1, out);
        return;
    }
    if (n->op == XG_OP_Clip) {
        char *args[3] = {in[0], float_const(e, n, "min", xg_af(n, XG_ATTR_min)),
                         float_const(e, n, "max", xg_af(n, XG_ATTR_max))};
        xg_ex_node(e, "", "Clip", n->name, args, 3, out);
        return;
    }
    float_attributes(e, n, xg_ex_node(e, "", xg_ops[n->op].name, n->name, in, nin, out));
}

static bool has_float_counterpart(uint16_t op) {
    switch (op) {
    case XG_OP_MatMul:
    case XG_OP_Add:
    case XG_OP_Sub:
    case XG_OP_Mul:
    case XG_OP_Div:
    case XG_OP_Pow:
    case XG_OP_Min:
    case XG_OP_Max:
    case XG_OP_Clip:
    case XG_OP_LeakyRelu:
    case XG_OP_Sigmoid:
    case XG_OP_Tanh:
    case XG_OP_HardSigmoid:
    case XG_OP_HardSwish:
    case XG_OP_Elu:
    case XG_OP_Exp:
    case XG_OP_Log:
    case XG_OP_Sqrt:
    case XG_OP_Erf:
    case XG_OP_Abs:
    case XG_OP_Neg:
    case XG_OP_Floor:
    case XG_OP_Ceil:
    case XG_OP_Softplus:
    case XG_OP_Softmax:
    case XG_OP_ReduceMax:
    case XG_OP_ReduceMean:
        return true;
    default:
        return xg_export_has_more(op);
    }
}

static bool knows_axes(const xg_node *n) {
    return n->op == XG_OP_MatMul || xg_has_attr(n, XG_ATTR_axis) || xg_has_attr(n, XG_ATTR_axes);
}

/* Float operators as they are; quantised ones as Q(f(DQ(..))), which is what their definition says.
 */
static xg_status export_float(xg_export *e, const xg_node *n) {
    if (!has_float_counterpart(n->op)) return refuse(e, n, "the operator has no counterpart");
    char **in = xg_newn(e->arena, char *, n->nin);
    uint32_t nin = n->op == XG_OP_Resize ? 1 : n->nin; /* taps are its own affair */
    if (!is_int(e, n)) {
        xg_form form = knows_axes(n) ? XG_PLAIN : xg_ex_common_form(e, n);
        for (uint32_t i = 0; i < nin; i++) in[i] = xg_ex_read(e, n->in[i], form);
        float_operator(e, n, in, nin, xg_ex_write(e, n->out[0], form));
        return XG_OK;
    }
    if (!is_quantised(e, n) || n->op == XG_OP_ReduceMean)
        return refuse(e, n, "integers of this kind have no counterpart");
    for (uint32_t i = 0; i < nin; i++) in[i] = dequantised(e, n->in[i], XG_PLAIN, n->name);
    char *middle = xg_ex_fresh(e, xg_strf(e->arena, "%s::real", n->name));
    float_operator(e, n, in, nin, middle);
    result r = begin_result(e, n, XG_PLAIN);
    quantiser(e, "QuantizeLinear", xg_strf(e->arena, "%s::quantise", n->name), middle, n->out[0],
              r.raw);
    end_result(e, n, &r);
    return XG_OK;
}

/* A flat switch over the operators. */
xg_status xg_export_node(xg_export *e, const xg_node *n) {
    if (e->opset < 21 && xg_node_is_wide(e->g, n))
        return refuse(e, n, "16-bit activations have no QOperator form");
    bool quantised = is_int(e, n) && is_quantised(e, n);
    xg_form form = xg_ex_common_form(e, n);
    switch (n->op) {
    case XG_OP_Conv:
        return export_conv(e, n);
    case XG_OP_MaxPool:
        return export_maxpool(e, n);
    case XG_OP_AvgPool:
        return export_avgpool(e, n);
    case XG_OP_MatMul:
        return quantised ? export_qbinary(e, n, "", "QLinearMatMul", XG_PLAIN) : export_float(e, n);
    case XG_OP_Add:
        return quantised ? export_qbinary(e, n, MS, "QLinearAdd", form) : export_float(e, n);
    case XG_OP_Mul:
        return quantised ? export_qbinary(e, n, MS, "QLinearMul", form) : export_float(e, n);
    case XG_OP_Clip:
        return quantised ? export_int_clip(e, n) : export_float(e, n);
    case XG_OP_Softmax:
        return quantised ? export_qsoftmax(e, n) : export_float(e, n);
    case XG_OP_LRN:
        return export_lrn(e, n);
    case XG_OP_Lut:
        return export_lut(e, n);
    case XG_OP_Quantize:
    case XG_OP_Dequantize:
    case XG_OP_Requantize:
        return export_quantiser(e, n);
    case XG_OP_Concat:
        return export_concat(e, n);
    case XG_OP_Slice:
        return export_slice(e, n);
    case XG_OP_Pad:
        return export_pad(e, n);
    case XG_OP_Reshape:
        return export_reshape(e, n);
    case XG_OP_Transpose:
        return export_transpose(e, n);
    case XG_OP_Gather:
        return export_gather(e, n);
    case XG_OP_Cast:
        return export_cast(e, n);
    case XG_OP_ArgMax:
    case XG_OP_ArgMin:
        return xg_export_arg(e, n);
    default:
        return export_float(e, n);
    }
}
