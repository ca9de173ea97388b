/* Integerised exports (NEMO, DORY, Deeploy): float graphs in which everything is an integer, and a
 * layer ends in multiplication, shift and clipping:
 *
 *     clip(floor((kappa (w * x + b) + lambda) m / d), 0, 255)
 *
 * All activations are 8-bit integers of scale 1, so the layer is Quantize(scale 1) of a convolution
 * whose weights have the scale kappa m / d for each channel: floor(v) = rne(v - 1/2 + 1/(2 d)) for
 * multiples of 1 / d. absorb_qdq does the rest. What a machine's requantisation rounds otherwise
 * (the bias goes in whole steps of that scale) differs by one in few elements; the log says so.
 */
#include "xgraph/pass.h"

#include <math.h>
#include <string.h>
#include <string.h>

enum { STEPS_MAX = 16, DEPTH_MAX = 32 };

/* ---- what the graph says ---- */

/* Element c of a constant with one value or one for each of n channels (the last axis). */
static bool constant_at(const xg_tensor *t, int64_t n, int64_t c, double *v) {
    int64_t count = xg_tensor_elems(t), at = count == 1 ? 0 : c;
    if (!t->data || t->quant || (count != 1 && (count != n || t->dim[t->rank - 1] != n)))
        return false;
    switch (t->dtype) {
    case XG_F32:
        *v = (double)((const float *)t->data)[at];
        return isfinite(*v);
    case XG_I32:
        *v = ((const int32_t *)t->data)[at];
        return true;
    case XG_I64:
        *v = (double)((const int64_t *)t->data)[at];
        return true;
    default:
        return false;
    }
}

static bool is_integer(double v) {
    return v == nearbyint(v) && fabs(v) <= 0x1p48; /* products of these stay whole in binary64 */
}

/* The operand beside a constant; XG_NONE when there is none. */
static uint32_t beside(const xg_rw *r, const xg_node *n, uint32_t *constant) {
    for (uint32_t k = 0; k < 2; k++) {
        if (!xg_in(r->g, n, 1 - k)->data || xg_in(r->g, n, k)->data) continue;
        if (n->op == XG_OP_Div && k == 1) continue;
        *constant = n->in[1 - k];
        return n->in[k];
    }
    return XG_NONE;
}

/* Operators that move or pick elements: integers stay integers of the same range. */
static bool moves(const xg_node *n) {
    return n->op == XG_OP_MaxPool || n->op == XG_OP_Reshape || n->op == XG_OP_Transpose ||
           n->op == XG_OP_Slice || n->op == XG_OP_Gather ||
           (n->op == XG_OP_Pad && xg_af(n, XG_ATTR_value) == 0);
}

/* The type of the 8-bit integers that the tensor holds, moved from a Dequantize of scale 1;
 * XG_DTYPE_COUNT when it does not. */
static xg_dtype codes_in(const xg_rw *r, uint32_t tensor) {
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_COUNT);
        if (!n) return XG_DTYPE_COUNT;
        if (n->op == XG_OP_Dequantize) {
            const xg_tensor *x = xg_in(r->g, n, 0);
            return x->quant->axis < 0 && x->quant->scale[0] == 1 ? x->dtype : XG_DTYPE_COUNT;
        }
        if (!moves(n)) return XG_DTYPE_COUNT;
        tensor = n->in[0];
    }
    return XG_DTYPE_COUNT;
}

static bool holds_codes(const xg_rw *r, uint32_t tensor) {
    return codes_in(r, tensor) != XG_DTYPE_COUNT;
}

/* True when the value is surely not negative: made of unsigned integers by what keeps the sign. */
static bool not_negative(const xg_rw *r, uint32_t tensor, int depth) {
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_COUNT);
    double v;
    if (!n) return constant_at(&r->g->tensor.v[tensor], 1, 0, &v) && v >= 0;
    if (depth > DEPTH_MAX) return false;
    switch (n->op) {
    case XG_OP_Dequantize:
        return xg_in(r->g, n, 0)->dtype == XG_U8 && xg_in(r->g, n, 0)->quant->zp[0] == 0;
    case XG_OP_Add:
    case XG_OP_Mul:
    case XG_OP_Div:
        return not_negative(r, n->in[0], depth + 1) && not_negative(r, n->in[1], depth + 1);
    case XG_OP_AvgPool:
    case XG_OP_Floor:
    case XG_OP_Cast:
        return not_negative(r, n->in[0], depth + 1);
    default:
        return moves(n) && not_negative(r, n->in[0], depth + 1);
    }
}

static bool same_shape(const xg_tensor *a, const xg_tensor *b) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

/* ---- a layer's end ---- */

/* v = s[c] acc + t[c], rounded down when `rounds`; v is a multiple of 1 / d. */
typedef struct chain {
    uint32_t source;             /* tensor of acc */
    uint32_t step[STEPS_MAX], n; /* nodes from the end back to the source */
    uint32_t moved;              /* a Transpose among them, or XG_NONE */
    double *s, *t, d;
    bool rounds;
    bool truncates; /* by integer division: rounds down what is not below `after` */
    double after;   /* added behind the rounding */
} chain;

/* What a scaling, shift or rounding that makes tensor v reads; XG_NONE for anything else. */
static uint32_t step_up(const xg_rw *r, uint32_t v) {
    const xg_node *n = xg_rw_made_by(r, v, XG_OP_COUNT);
    uint32_t constant;
    if (n && (n->op == XG_OP_Floor || n->op == XG_OP_Cast)) return n->in[0];
    if (n && (n->op == XG_OP_Mul || n->op == XG_OP_Add || n->op == XG_OP_Div))
        return beside(r, n, &constant);
    return XG_NONE;
}

/* The nodes from tensor v upwards as long as they are such. */
static void collect(const xg_rw *r, uint32_t v, chain *k) {
    k->moved = XG_NONE;
    for (k->n = 0; k->n < STEPS_MAX; k->n++) {
        uint32_t up = step_up(r, v);
        const xg_node *turn = xg_rw_made_by(r, v, XG_OP_Transpose);
        if (turn && k->moved == XG_NONE && step_up(r, turn->in[0]) != XG_NONE) {
            k->moved = r->g->tensor.v[v].producer;
            v = turn->in[0];
            up = step_up(r, v);
        }
        if (up == XG_NONE) break;
        k->step[k->n] = r->g->tensor.v[v].producer;
        v = up;
    }
    k->source = v;
}

/* One step on channel values; false when a constant is not what it must be. */
static bool apply(const xg_rw *r, const xg_node *n, int64_t channels, chain *k, bool *whole) {
    uint32_t constant;
    const xg_tensor *y = xg_out(r->g, n, 0);
    bool rounding = n->op == XG_OP_Floor || n->op == XG_OP_Cast;
    if (rounding) {
        bool loses = n->op == XG_OP_Floor || y->dtype != XG_F32;
        if (loses && !*whole) k->rounds = *whole = true;
        return n->op == XG_OP_Floor || y->dtype == XG_F32 || y->dtype == XG_I64 ||
               y->dtype == XG_I32;
    }
    beside(r, n, &constant);
    double v, all = 0;
    if (k->rounds) { /* nothing but conversions after the rounding, and one number for all */
        const xg_tensor *by = &r->g->tensor.v[constant];
        if (n->op != XG_OP_Add || !*whole || xg_tensor_elems(by) != 1 ||
            !constant_at(by, 1, 0, &v) || !is_integer(v))
            return false;
        k->after += v;
        for (int64_t c = 0; c < channels; c++) k->t[c] += v;
        return true;
    }
    for (int64_t c = 0; c < channels; c++) {
        if (!constant_at(&r->g->tensor.v[constant], channels, c, &v) || !is_integer(v))
            return false;
        if (n->op == XG_OP_Add) {
            k->t[c] += v;
        } else if (n->op == XG_OP_Mul) {
            k->s[c] *= v;
            k->t[c] *= v;
        } else {
            if (!(v > 0) || (c && v != all)) return false;
            k->s[c] /= v;
            k->t[c] /= v;
            all = v;
        }
    }
    if (n->op == XG_OP_Div) {
        k->d *= all;
        if (y->dtype != XG_F32) k->rounds = k->truncates = *whole = true;
        if (y->dtype == XG_F32) *whole = false;
    } else if (n->op == XG_OP_Add && k->d != 1)
        return false; /* a fraction of 1 / d plus an integer would do; nobody writes it */
    return true;
}

static bool read_chain(xg_rw *r, uint32_t v, int64_t channels, chain *k) {
    bool whole = true;
    collect(r, v, k);
    k->d = 1;
    k->rounds = k->truncates = false;
    k->after = 0;
    k->s = xg_newn(r->tmp, double, (size_t)channels);
    k->t = xg_newn(r->tmp, double, (size_t)channels);
    for (int64_t c = 0; c < channels; c++) k->s[c] = 1;
    for (uint32_t i = k->n; i-- > 0;)
        if (!apply(r, xg_nodep(r->g, k->step[i]), channels, k, &whole)) return false;
    return whole;
}

/* ---- rewriting ---- */

/* Quantize to 8 bits of scale 1 and Dequantize behind tensor t. */
static uint32_t through_codes(xg_rw *r, uint32_t like, uint32_t t, xg_dtype dtype) {
    uint32_t q = xg_rw_add(r, XG_OP_Quantize, like, &t, 1);
    xg_rw_set_out(r, q, dtype, xg_quant_scalar(r->a, 1, 0));
    if (!xg_rw_infer(r, q)) return XG_NONE;
    uint32_t codes = xg_rw_out(r, q), n = xg_rw_add(r, XG_OP_Dequantize, like, &codes, 1);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

/* Integer weights under scale |s[o]|; channels with negative s change sign. XG_NONE when a weight
 * is no 8-bit integer. */
static uint32_t weights(xg_rw *r, uint32_t like, const xg_tensor *w, const double *s) {
    int64_t o = w->dim[0], inner = xg_tensor_elems(w) / o;
    if (!w->data || w->dtype != XG_F32) return XG_NONE;
    int8_t *data = xg_newn(r->a, int8_t, (size_t)(o * inner));
    float *scale = xg_newn(r->a, float, (size_t)o);
    for (int64_t i = 0; i < o * inner; i++) {
        double v = (double)((const float *)w->data)[i], sign = s[i / inner];
        v = sign < 0 ? -v : sign > 0 ? v : 0;
        if (!is_integer(v) || v < -128 || v > 127) return XG_NONE;
        data[i] = (int8_t)v;
    }
    for (int64_t c = 0; c < o; c++) {
        scale[c] = s[c] == 0 ? 1 : (float)fabs(s[c]);
        if (!(scale[c] > 0) || !isfinite(scale[c])) return XG_NONE;
    }
    const xg_quant *q = xg_quant_new(r->a, 0, (uint32_t)o, scale, NULL);
    const char *onnx = w->onnx;
    uint32_t t = xg_rw_const(r, w->name, XG_I8, 4, w->dim, data, q);
    r->g->tensor.v[t].onnx = onnx;
    uint32_t n = xg_rw_add(r, XG_OP_Dequantize, like, &t, 1);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

/* Rounding to the nearest gives floor(v) when the bias is lower by 1/2 .. 1/2 - 1/d (without the
 * latter). Biases are whole units: one of those in that range is exact where halves round up;
 * without one the nearest to the middle has to do. */
static double lowered(double v, double unit, double d) {
    double least = (v - 0.5) / unit, whole = ceil(least - 1e-9);
    if (unit > 0 && whole < least + 1 / (d * unit) - 1e-9) return whole * unit;
    return v - 0.5 + 0.5 / d;
}

/* The real bias: s b + t, lower where the value is rounded down. b: of a Conv, or NULL. */
static uint32_t bias(xg_rw *r, const char *name, const xg_tensor *b, const chain *k,
                     int64_t channels) {
    float *data = xg_newn(r->a, float, (size_t)channels);
    for (int64_t c = 0; c < channels; c++) {
        double v = 0;
        if (b && (!constant_at(b, channels, c, &v) || !is_integer(v))) return XG_NONE;
        v = k->s[c] * v + k->t[c];
        data[c] = (float)(k->rounds ? lowered(v, fabs(k->s[c]), k->d) : v);
    }
    return xg_rw_const(r, xg_strf(r->tmp, "%s.bias", name), XG_F32, 1, &channels, data, NULL);
}

static uint32_t clipped(xg_rw *r, uint32_t like, uint32_t t, float lo, float hi) {
    uint32_t n = xg_rw_add(r, XG_OP_Clip, like, &t, 1);
    xg_set_af(xg_nodep(r->g, n), XG_ATTR_min, lo);
    xg_set_af(xg_nodep(r->g, n), XG_ATTR_max, hi);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

/* What a chain begins with, as a Conv: that Conv; or codes, each channel times 1; or the sum of two
 * maps of codes, one above the other under a window of 2x1 ones. */
typedef struct layer_source {
    uint32_t in, like;  /* what the Conv reads; the node that it takes over from */
    const xg_tensor *w; /* f32 */
    const xg_tensor *b; /* or NULL */
    bool sum;
} layer_source;

static const xg_tensor *ones(xg_rw *r, const char *name, int64_t channels, int64_t rows) {
    xg_tensor *t = xg_new(r->tmp, xg_tensor);
    float *data = xg_newn(r->tmp, float, (size_t)(channels * rows));
    for (int64_t i = 0; i < channels * rows; i++) data[i] = 1;
    *t = (xg_tensor){.name = xg_strf(r->a, "%s.ones", name), .dtype = XG_F32, .rank = 4};
    const int64_t dim[4] = {channels, rows, 1, 1};
    memcpy(t->dim, dim, sizeof dim);
    t->data = data;
    return t;
}

/* [N,2,HW,C] of two maps; XG_NONE when they are no maps of one shape and type. */
static uint32_t stacked(xg_rw *r, uint32_t like, uint32_t a, uint32_t b) {
    xg_tensor x = r->g->tensor.v[a], y = r->g->tensor.v[b];
    xg_dtype type = codes_in(r, a);
    if (type == XG_DTYPE_COUNT || codes_in(r, b) != type || x.rank != 4 || y.rank != 4 ||
        memcmp(x.dim, y.dim, sizeof x.dim[0] * 4) != 0)
        return XG_NONE;
    const int64_t row[4] = {x.dim[0], 1, x.dim[1] * x.dim[2], x.dim[3]};
    uint32_t in[2] = {xg_rw_reshape(r, like, a, row, 4), XG_NONE};
    if (in[0] != XG_NONE) in[1] = xg_rw_reshape(r, like, b, row, 4);
    if (in[1] == XG_NONE) return XG_NONE;
    uint32_t n = xg_rw_add(r, XG_OP_Concat, like, in, 2);
    xg_set_ai(xg_nodep(r->g, n), XG_ATTR_axis, 1);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

static bool find_source(xg_rw *r, uint32_t node, uint32_t tensor, int64_t channels,
                        layer_source *s) {
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_COUNT);
    *s = (layer_source){.in = tensor, .like = node};
    if (holds_codes(r, tensor)) {
        s->w = ones(r, xg_nodep(r->g, node)->name, channels, 1);
        return true;
    }
    if (!n) return false;
    s->like = r->g->tensor.v[tensor].producer;
    if (n->op == XG_OP_Conv) {
        s->in = n->in[0];
        s->w = xg_in(r->g, n, 1);
        s->b = xg_in(r->g, n, 2);
        return s->w->dim[0] == channels && holds_codes(r, s->in);
    }
    if (n->op != XG_OP_Add || n->in[0] == n->in[1]) return false;
    s->sum = true;
    s->w = ones(r, n->name, channels, 2);
    s->in = stacked(r, s->like, n->in[0], n->in[1]);
    return s->in != XG_NONE;
}

/* Weights of -128 under a negative factor as the sum of two, for an input that stands twice among
 * the channels: [O,kh,kw,2 I]. */
static const xg_tensor *in_two(xg_rw *r, const xg_tensor *w, const double *s) {
    int64_t each = w->dim[3], taps = xg_tensor_elems(w) / each, row = taps / w->dim[0];
    float *data = xg_newn(r->tmp, float, (size_t)(2 * each * taps));
    for (int64_t i = 0; i < taps; i++)
        for (int64_t c = 0; c < each; c++) {
            float v = ((const float *)w->data)[i * each + c];
            bool beyond = v == -128 && s[i / row] < 0;
            data[2 * i * each + c] = beyond ? -127 : v;
            data[(2 * i + 1) * each + c] = beyond ? -1 : 0;
        }
    xg_tensor *t = xg_memdup(r->tmp, w, sizeof *w);
    t->dim[3] = 2 * each;
    t->data = data;
    return t;
}

/* The weights of the source under the chain's factors; *in becomes what they are for. */
static uint32_t scaled_weights(xg_rw *r, const layer_source *s, const chain *k, bool dense,
                               uint32_t *in) {
    uint32_t w = weights(r, s->like, s->w, k->s), twice[2] = {*in, *in};
    if (w != XG_NONE || !dense || s->w->dtype != XG_F32 || !s->w->data) return w;
    w = weights(r, s->like, in_two(r, s->w, k->s), k->s);
    if (w == XG_NONE) return w;
    uint32_t n = xg_rw_add(r, XG_OP_Concat, s->like, twice, 2);
    xg_set_ai(xg_nodep(r->g, n), XG_ATTR_axis, 3);
    if (!xg_rw_infer(r, n)) return XG_NONE;
    *in = xg_rw_out(r, n);
    return w;
}

/* The Conv of the source with the chain's factors in its weights and bias; its result, or XG_NONE.
 */
static uint32_t scaled_conv(xg_rw *r, const layer_source *s, const chain *k, int64_t channels) {
    const char *name = xg_nodep(r->g, s->like)->name;
    bool is_conv = xg_nodep(r->g, s->like)->op == XG_OP_Conv;
    uint32_t in[3] = {s->in, XG_NONE, XG_NONE};
    bool dense = is_conv && xg_ai(xg_nodep(r->g, s->like), XG_ATTR_group) == 1;
    in[1] = scaled_weights(r, s, k, dense, &in[0]);
    if (in[1] != XG_NONE) in[2] = bias(r, name, is_conv ? s->b : NULL, k, channels);
    if (in[2] == XG_NONE) {
        xg_rw_log(
            r,
            "node '%s': weights that are no 8-bit integers under their factor's sign; the layer "
            "stays in floating point",
            name);
        return XG_NONE;
    }
    uint32_t fresh = xg_rw_add(r, XG_OP_Conv, s->like, in, 3);
    if (is_conv) xg_rw_copy_attrs(r, s->like, fresh);
    if (!is_conv) xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_group, channels);
    if (s->sum) xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_kernel_h, 2);
    return xg_rw_infer(r, fresh) ? xg_rw_out(r, fresh) : XG_NONE;
}

/* ---- a function of one integer ---- */

typedef struct rounded_line {
    double s, t, after;
    bool down;
} rounded_line;

static bool line_at(void *arg, float v, float *y) {
    const rounded_line *f = arg;
    double u = f->s * (double)v + f->t - f->after;
    *y = (float)((f->down ? floor(u) : u) + f->after);
    return true;
}

/* Every channel alike: a table of the codes. */
static uint32_t table(xg_rw *r, uint32_t node, const chain *k, xg_dtype type) {
    xg_dtype from = codes_in(r, k->source);
    rounded_line f = {k->s[0], k->t[0], k->after, k->rounds};
    const xg_quant *one = xg_quant_scalar(r->a, 1, 0);
    uint32_t source = k->source, q = xg_rw_add(r, XG_OP_Quantize, node, &source, 1);
    xg_rw_set_out(r, q, from, one);
    if (!xg_rw_infer(r, q)) return XG_NONE;
    xg_tensor x = r->g->tensor.v[xg_rw_out(r, q)], y = x;
    y.dtype = type;
    uint32_t in[2] = {xg_rw_out(r, q), xg_rw_table(r, &x, &y, line_at, &f)};
    uint32_t n = xg_rw_add(r, XG_OP_Lut, node, in, 2);
    xg_rw_set_out(r, n, type, one);
    if (!xg_rw_infer(r, n)) return XG_NONE;
    uint32_t codes = xg_rw_out(r, n), real = xg_rw_add(r, XG_OP_Dequantize, node, &codes, 1);
    return xg_rw_infer(r, real) ? xg_rw_out(r, real) : XG_NONE;
}

static bool alike(const chain *k, int64_t channels) {
    for (int64_t c = 1; c < channels; c++)
        if (k->s[c] != k->s[0] || k->t[c] != k->t[0]) return false;
    return true;
}

/* Clip of a chain behind integers. */
static bool layer(xg_rw *r, uint32_t node) {
    const xg_node *clip = xg_nodep(r->g, node);
    if (clip->op != XG_OP_Clip || xg_out(r->g, clip, 0)->dtype != XG_F32) return false;
    float lo = xg_af(clip, XG_ATTR_min), hi = xg_af(clip, XG_ATTR_max);
    bool is_signed = lo < 0;
    const float least = is_signed ? -128 : 0, most = is_signed ? 127 : 255;
    if (!(lo >= least) || !(hi <= most) || !is_integer((double)lo) || !is_integer((double)hi))
        return false;
    const xg_dtype type = is_signed ? XG_I8 : XG_U8;
    xg_tensor y = *xg_out(r->g, clip, 0);
    uint32_t from = clip->in[0], out = xg_rw_out(r, node), t;
    int64_t channels = y.rank ? y.dim[y.rank - 1] : 1;
    chain k;
    layer_source s;
    if (!read_chain(r, from, channels, &k) || k.n == 0) return false;
    if (k.truncates && k.after > (double)lo) return false;
    if (k.moved != XG_NONE) { /* moves the integers as well, where all are treated alike */
        const xg_attr *perm = xg_attr_of(xg_nodep(r->g, k.moved), XG_ATTR_perm);
        if (!alike(&k, channels) || !holds_codes(r, k.source)) return false;
        k.source = xg_rw_transpose(r, node, k.source, perm->is);
        if (k.source == XG_NONE) return false;
    }
    bool codes = holds_codes(r, k.source) && same_shape(&r->g->tensor.v[k.source], &y);
    if (codes && alike(&k, channels)) {
        t = table(r, node, &k, type);
    } else {
        if (y.rank != 4 || !find_source(r, node, k.source, channels, &s)) return false;
        t = scaled_conv(r, &s, &k, channels);
    }
    if (t != XG_NONE && (lo > least || hi < most)) t = clipped(r, node, t, lo, hi);
    if (t != XG_NONE) t = through_codes(r, node, t, type);
    if (t != XG_NONE && !same_shape(&r->g->tensor.v[t], &y))
        t = xg_rw_reshape(r, node, t, y.dim, y.rank);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

/* a for Mul(a, d), XG_NONE for anything else. */
static uint32_t times(const xg_rw *r, uint32_t tensor, double d) {
    const xg_node *n = xg_rw_made_by(r, tensor, XG_OP_Mul);
    uint32_t constant, a = n ? beside(r, n, &constant) : XG_NONE;
    double v;
    return a != XG_NONE && constant_at(&r->g->tensor.v[constant], 1, 0, &v) && v == d ? a : XG_NONE;
}

/* (a d + b d) / d of integers is a + b. */
static uint32_t plain_sum(xg_rw *r, uint32_t tensor) {
    const xg_node *div = xg_rw_made_by(r, tensor, XG_OP_Div);
    double d;
    if (!div || !constant_at(xg_in(r->g, div, 1), 1, 0, &d)) return XG_NONE;
    const xg_node *add = xg_rw_made_by(r, div->in[0], XG_OP_Add);
    uint32_t in[2] = {XG_NONE, XG_NONE};
    for (uint32_t k = 0; add && k < 2; k++) in[k] = times(r, add->in[k], d);
    if (in[0] == XG_NONE || in[1] == XG_NONE || !holds_codes(r, in[0]) || !holds_codes(r, in[1]))
        return XG_NONE;
    uint32_t n = xg_rw_add(r, XG_OP_Add, r->g->tensor.v[div->in[0]].producer, in, 2);
    return xg_rw_infer(r, n) ? xg_rw_out(r, n) : XG_NONE;
}

static bool is_quantised_already(xg_rw *r, uint32_t tensor) {
    xg_uses uses = xg_graph_uses(r->g, r->tmp);
    for (uint32_t i = uses.first[tensor]; i < uses.first[tensor + 1]; i++)
        if (xg_nodep(r->g, uses.node[i])->op == XG_OP_Quantize) return true;
    return false;
}

/* A rounded value that is not negative and not clipped (sums, averages): 8 bits, like all
 * activations of such exports. */
static bool rounded(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    uint32_t out = xg_rw_out(r, node), in = n->in[0];
    if (n->op != XG_OP_Floor || xg_out(r->g, n, 0)->dtype != XG_F32 ||
        xg_out(r->g, n, 0)->is_output || !not_negative(r, in, 0) || is_quantised_already(r, out))
        return false;
    xg_rw_log(r, "node '%s': sums above 255 saturate", n->name);
    uint32_t t = plain_sum(r, in);
    if (t == XG_NONE) {
        uint32_t floor = xg_rw_add(r, XG_OP_Floor, node, &in, 1);
        if (!xg_rw_infer(r, floor)) return false;
        t = xg_rw_out(r, floor);
    }
    t = through_codes(r, node, t, XG_U8);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

/* Clip to 0 .. 255 of 8-bit integers that nothing happened to. */
static bool clip_of_codes(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    chain k;
    if (n->op != XG_OP_Clip || xg_out(r->g, n, 0)->dtype != XG_F32 || xg_af(n, XG_ATTR_min) != 0 ||
        !(xg_af(n, XG_ATTR_max) >= 255))
        return false;
    if (!read_chain(r, n->in[0], 1, &k) || k.s[0] != 1 || k.t[0] != 0 || k.moved != XG_NONE)
        return false;
    return holds_codes(r, k.source) && not_negative(r, k.source, 0) &&
           xg_rw_replace(r, xg_rw_out(r, node), k.source);
}

/* Some layer gives negative integers. */
static bool has_signed_layers(const xg_graph *g) {
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        float lo = n->op == XG_OP_Clip ? xg_af(n, XG_ATTR_min) : 0;
        if (lo < 0 && lo >= -128 && is_integer((double)lo)) return true;
    }
    return false;
}

/* Graph inputs that layers read hold integers: those that the user or the example inputs say; else
 * from 0 to 255, in networks with signed layers from -128 to 127. */
static bool input(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    const xg_tensor *x = xg_in(r->g, n, 0);
    bool chain_begins = n->op == XG_OP_Cast && xg_out(r->g, n, 0)->dtype == XG_I64;
    if ((!moves(n) && n->op != XG_OP_Conv && !chain_begins) || !x || !x->is_input ||
        x->dtype != XG_F32)
        return false;
    uint32_t out = n->out[0], nin = n->nin, in[3] = {n->in[0], XG_NONE, XG_NONE};
    if (nin > 3) return false;
    for (uint32_t k = 1; k < nin; k++) in[k] = n->in[k];
    const xg_canonical_options *o = r->args->options;
    xg_dtype said = o && o->codes ? o->codes(o->codes_arg, r->g, n->in[0]) : XG_DTYPE_COUNT;
    bool is_signed = said == XG_DTYPE_COUNT ? has_signed_layers(r->g) : said == XG_I8;
    xg_rw_log(r, "graph input '%s' is taken as integers from %s%s", x->name,
              is_signed ? "-128 to 127" : "0 to 255",
              said == XG_DTYPE_COUNT ? " (--input-type says what it is)" : "");
    const char *name = xg_strf(r->a, "%s.codes", x->name);
    in[0] = through_codes(r, node, in[0], is_signed ? XG_I8 : XG_U8);
    if (in[0] == XG_NONE) return false;
    xg_tensor *codes = xg_in(r->g, xg_rw_made_by(r, in[0], XG_OP_Dequantize), 0);
    codes->name = name; /* the reader's own name is that of what it makes */
    codes->onnx = NULL;
    uint32_t fresh = xg_rw_add(r, (xg_op)xg_nodep(r->g, node)->op, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

/* ---- is it one? ---- */

static const xg_node *maker(const xg_graph *g, const xg_node *n) {
    const xg_tensor *t = xg_in(g, n, 0);
    return t && t->producer != XG_NONE ? xg_nodep(g, t->producer) : NULL;
}

/* A Clip to whole bounds of 8 bits, behind a rounding, behind a division by a power of two; and no
 * quantisers. */
static bool looks_integerised(const xg_graph *g) {
    bool found = false;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (n->op == XG_OP_Quantize || n->op == XG_OP_Dequantize) return false;
        if (found || n->op != XG_OP_Clip) continue;
        float lo = xg_af(n, XG_ATTR_min);
        if (!(lo <= 0 && lo >= -128) || !is_integer((double)lo)) continue;
        bool rounds = false;
        const xg_node *m = maker(g, n);
        if (m && m->op == XG_OP_Add && xg_in(g, m, 1)->data) m = maker(g, m);
        for (int k = 0; m && k < STEPS_MAX && (m->op == XG_OP_Floor || m->op == XG_OP_Cast); k++) {
            rounds = true;
            m = maker(g, m);
        }
        double d;
        const xg_tensor *by = m && m->op == XG_OP_Div ? xg_in(g, m, 1) : NULL;
        found = rounds && by && xg_tensor_elems(by) == 1 && constant_at(by, 1, 0, &d) && d >= 1 &&
                exp2(nearbyint(log2(d))) == d;
    }
    return found;
}

xg_status xg_pass_integerised(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    if (!looks_integerised(*g)) return XG_OK;
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){input, layer, rounded, clip_of_codes, NULL});
}
