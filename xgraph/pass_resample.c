/* What brings new pixels into an integer map: Pad, and Resize by whole factors with constant
 * weights that are multiples of a power of two (linear interpolation by 2, 4, ..).
 *
 * Interpolation by s: pixel s q + p of the result is sum over o of K_p[o] x[q + o], the same kernel
 * K_p for every q, when the map goes on beyond its ends with its last pixels. So each phase (i, j)
 * is a depthwise convolution, and the phases interleave without a copy:
 *
 *   [H, W, C] x phases -> joined along C for j, along W for i -> [H, s W, s C] is [s H, s W, C]. */
#include "xgraph/pass_parts.h"

#include <math.h>
#include <string.h>

enum { REACH = 2, TAPS = 2 * REACH + 1, FACTOR_MAX = 8, BORDER_MAX = 16 };

/* ---- Resize ---- */

/* One axis: factor, and for each phase the weight of offset -REACH .. REACH. */
typedef struct phases {
    int64_t factor, size; /* size: of the input */
    double k[FACTOR_MAX][TAPS];
    int first, last; /* offsets used by any phase */
} phases;

/* Weight of input pixel m in output i of a Resize with these taps. */
static double weight_of(const xg_tensor *index, const xg_tensor *weight, int64_t i, int64_t m) {
    int64_t taps = index->dim[1];
    double sum = 0;
    for (int64_t t = 0; t < taps; t++)
        if (((const int64_t *)index->data)[i * taps + t] == m)
            sum += (double)((const float *)weight->data)[i * taps + t];
    return sum;
}

/* The kernel's weight of pixel m around q, the map going on with its last pixels. */
static double kernel_at(const double *k, int64_t q, int64_t m, int64_t size) {
    double sum = 0;
    for (int o = -REACH; o <= REACH; o++)
        if (xg_clamp(q + o, 0, size - 1) == m) sum += k[o + REACH];
    return sum;
}

static bool phase_kernels(const xg_tensor *index, const xg_tensor *weight, phases *p) {
    int64_t out = index->dim[0], middle = p->size / 2;
    if (out % p->size || out / p->size > FACTOR_MAX) return false;
    p->factor = out / p->size;
    p->first = p->last = 0;
    if (p->size < TAPS && p->factor > 1) return false; /* no pixel whose window lies inside */
    for (int64_t f = 0; f < p->factor; f++)
        for (int o = -REACH; o <= REACH; o++) {
            double *k = &p->k[f][o + REACH];
            *k = p->factor == 1 ? o == 0
                                : weight_of(index, weight, middle * p->factor + f, middle + o);
            if (*k != 0 && o < p->first) p->first = o;
            if (*k != 0 && o > p->last) p->last = o;
        }
    for (int64_t i = 0; i < out; i++)
        for (int64_t q = i / p->factor, m = xg_max(q - 4, 0); m < xg_min(q + 5, p->size); m++)
            if (weight_of(index, weight, i, m) != kernel_at(p->k[i % p->factor], q, m, p->size))
                return false;
    return true;
}

/* Both axes of a Resize; one that it does not touch has factor 1. */
static bool read_phases(const xg_rw *r, const xg_node *n, phases p[2]) {
    const xg_tensor *x = xg_in(r->g, n, 0);
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    for (int a = 0; a < 2; a++) {
        p[a] = (phases){.factor = 1, .size = x->dim[a + 1]};
        p[a].k[0][REACH] = 1;
    }
    for (uint32_t i = 0; i < axes->n; i++) {
        int64_t a = axes->is[i] - 1;
        const xg_tensor *index = xg_in(r->g, n, 1 + 2 * i), *weight = xg_in(r->g, n, 2 + 2 * i);
        if (a < 0 || a > 1 || index->dtype != XG_I64) return false;
        if (!phase_kernels(index, weight, &p[a])) return false;
    }
    return p[0].factor * p[1].factor > 1;
}

/* The least exponent with which all weights are integers of 8 bits; -1 when there is none. */
static int find_exponent(const phases p[2]) {
    for (int e = 0; e <= 7; e++) {
        bool good = true;
        for (int64_t i = 0; i < p[0].factor * TAPS; i++)
            for (int64_t j = 0; j < p[1].factor * TAPS; j++) {
                double v = ldexp(p[0].k[i / TAPS][i % TAPS] * p[1].k[j / TAPS][j % TAPS], e);
                good = good && v == rint(v) && fabs(v) <= 127;
            }
        if (good) return e;
    }
    return -1;
}

/* The map with its first and last pixels repeated on an axis as far as kernels reach. */
static uint32_t extended(xg_rw *r, uint32_t like, uint32_t in, int axis, int before, int after) {
    int64_t size = r->g->tensor.v[in].dim[axis], n = size + before + after;
    if (n == size) return in;
    int64_t *list = xg_newn(r->tmp, int64_t, (size_t)n);
    for (int64_t i = 0; i < n; i++) list[i] = xg_clamp(i - before, 0, size - 1);
    return xg_rw_take_runs(r, like, in, axis, list, n);
}

static void span_of(const double *k, int *first, int *last) {
    *first = REACH;
    *last = -REACH;
    for (int o = -REACH; o <= REACH; o++) {
        if (k[o + REACH] == 0) continue;
        if (o < *first) *first = o;
        if (o > *last) *last = o;
    }
}

/* Phase (i, j) of the extended map: a window of it, convolved. */
static uint32_t phase(xg_rw *r, uint32_t like, uint32_t wide, const phases p[2],
                      const int64_t at[2], int exponent, const xg_quant *q) {
    int lo[2], hi[2];
    xg_tensor x = r->g->tensor.v[wide];
    int64_t start[4] = {0}, step[4] = {1, 1, 1, 1}, dim[4] = {x.dim[0], 0, 0, x.dim[3]};
    for (int a = 0; a < 2; a++) {
        span_of(p[a].k[at[a]], &lo[a], &hi[a]);
        start[a + 1] = lo[a] - p[a].first;
        dim[a + 1] = p[a].size + hi[a] - lo[a];
    }
    uint32_t in = xg_rw_slice(r, like, wide, start, step, dim);
    int kh = hi[0] - lo[0] + 1, kw = hi[1] - lo[1] + 1;
    int8_t *w = xg_newn(r->a, int8_t, (size_t)(dim[3] * kh * kw));
    for (int64_t i = 0; i < dim[3] * kh * kw; i++)
        w[i] = (int8_t)ldexp(p[0].k[at[0]][i / kw % kh + lo[0] + REACH] *
                                 p[1].k[at[1]][i % kw + lo[1] + REACH],
                             exponent);
    xg_window win = {kh, kw, 1, 1, 1, 1, 0, 0, 0, 0};
    return in == XG_NONE ? in : xg_rw_fixed_conv(r, like, in, w, dim[3], dim[3], &win, exponent, q);
}

static bool interpolate(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    phases p[2];
    if (n->op != XG_OP_Resize) return false;
    xg_tensor y = *xg_out(r->g, n, 0);
    if (!xg_is_int_map(xg_in(r->g, n, 0)) || !xg_is_int_map(&y) || !read_phases(r, n, p))
        return false;
    int exponent = find_exponent(p);
    if (exponent < 0) return false;
    uint32_t out = n->out[0], wide = n->in[0], row[FACTOR_MAX], all[FACTOR_MAX];
    for (int a = 0; a < 2 && wide != XG_NONE; a++)
        wide = extended(r, node, wide, a + 1, -p[a].first, p[a].last);
    if (wide == XG_NONE) return false;
    for (int64_t i = 0; i < p[0].factor; i++) {
        for (int64_t j = 0; j < p[1].factor; j++)
            row[j] = phase(r, node, wide, p, (int64_t[]){i, j}, exponent, y.quant);
        all[i] = xg_rw_joined(r, node, row, (uint32_t)p[1].factor, 3);
    }
    uint32_t t = xg_rw_joined(r, node, all, (uint32_t)p[0].factor, 2);
    if (t != XG_NONE) t = xg_rw_reshape(r, node, t, y.dim, 4);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

/* ---- Pad ---- */

/* Zeros around a map, or more channels of zeros: a convolution pads. */
static uint32_t pad_zeros(xg_rw *r, uint32_t node, uint32_t in, const int64_t *pads) {
    xg_tensor x = r->g->tensor.v[in];
    xg_window w = {
        1, 1, 1, 1, 1, 1, (int32_t)pads[1], (int32_t)pads[2], (int32_t)pads[5], (int32_t)pads[6]};
    int64_t n = x.dim[3] + pads[3] + pads[7];
    if (n == x.dim[3]) {
        int8_t *ones = xg_newn(r->a, int8_t, (size_t)n);
        memset(ones, 1, (size_t)n);
        return xg_rw_fixed_conv(r, node, in, ones, n, n, &w, 0, x.quant);
    }
    int64_t *list = xg_newn(r->tmp, int64_t, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        list[i] = i >= pads[3] && i < pads[3] + x.dim[3] ? i - pads[3] : -1;
    return xg_rw_one_hot(r, node, in, list, n, &w);
}

/* Pixels of the map itself around it: mode 1 mirrored, 2 the nearest one. */
static uint32_t pad_pixels(xg_rw *r, uint32_t node, uint32_t in, const int64_t *pads, bool mirror) {
    if (pads[3] || pads[7]) return XG_NONE;
    for (int axis = 1; axis < 3 && in != XG_NONE; axis++) {
        int64_t size = r->g->tensor.v[in].dim[axis], n = size + pads[axis] + pads[4 + axis];
        if (n == size) continue;
        int64_t *list = xg_newn(r->tmp, int64_t, (size_t)n);
        for (int64_t i = 0; i < n; i++) {
            int64_t k = i - pads[axis];
            if (mirror) k = k < 0 ? -k : k >= size ? 2 * (size - 1) - k : k;
            list[i] = xg_clamp(k, 0, size - 1);
        }
        in = xg_rw_take_runs(r, node, in, axis, list, n);
    }
    return in;
}

static bool pad(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    if (n->op != XG_OP_Pad || !xg_is_int_map(xg_in(r->g, n, 0))) return false;
    const xg_attr *p = xg_attr_of(n, XG_ATTR_pads);
    int64_t mode = xg_ai(n, XG_ATTR_mode), pads[8];
    for (uint32_t i = 0; i < 8; i++) {
        pads[i] = p->is[i];
        if (pads[i] > (mode ? BORDER_MAX : UINT16_MAX)) return false;
    }
    if (pads[0] || pads[4]) return false;
    if (!mode && xg_af(n, XG_ATTR_value) != (float)xg_in(r->g, n, 0)->quant->zp[0]) return false;
    uint32_t out = n->out[0], t = mode ? pad_pixels(r, node, n->in[0], pads, mode == 1)
                                       : pad_zeros(r, node, n->in[0], pads);
    return t != XG_NONE && xg_rw_replace(r, out, t);
}

xg_status xg_pass_resample(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    xg_status st = xg_rw_run(c, g, p, (const xg_rule_fn[]){interpolate, pad, NULL});
    return st ? st : xg_pass_remove_identity(c, g, p);
}
