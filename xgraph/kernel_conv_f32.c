/* Conv in binary32: y[o] = ((b[o] + x0 w0) + x1 w1) + .. in r, s, c order, one rounding an
 * operation.
 *
 * Every output element keeps that order; what is done side by side is elements: four pixels by
 * eight channels. So the result does not depend on the width of the host's vectors. Padding takes
 * part as x = 0.
 */
#include "xgraph/kernel.h"

#include <string.h>

enum { LANES = 8, QUAD = 4, TILE_MAX = 32 };
typedef float f32x4 __attribute__((vector_size(16)));

static f32x4 load4(const float *p) {
    f32x4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* acc[p][j] = b[j] + sum over i of x[p][i] w[i][j] for four patches and eight output channels. */
static void quad_by_eight(const float *w, const float *x, int64_t k, const float *b,
                          float out[QUAD][LANES]) {
    const float *x0 = x, *x1 = x + k, *x2 = x + 2 * k, *x3 = x + 3 * k;
    f32x4 bl = load4(b), bh = load4(b + 4);
    f32x4 l0 = bl, l1 = bl, l2 = bl, l3 = bl, h0 = bh, h1 = bh, h2 = bh, h3 = bh;
    for (int64_t i = 0; i < k; i++, w += LANES) {
        f32x4 wl = load4(w), wh = load4(w + 4);
        l0 += x0[i] * wl, h0 += x0[i] * wh;
        l1 += x1[i] * wl, h1 += x1[i] * wh;
        l2 += x2[i] * wl, h2 += x2[i] * wh;
        l3 += x3[i] * wl, h3 += x3[i] * wh;
    }
    f32x4 all[QUAD][2] = {{l0, h0}, {l1, h1}, {l2, h2}, {l3, h3}};
    memcpy(out, all, sizeof all);
}

/* Weights of one group as [block of eight channels][k][8], missing channels 0; biases as
 * [block][8]. */
static void pack(const xg_conv_dims *d, int64_t g, const float *w, const float *bias, float *wp,
                 float *bp) {
    int64_t blocks = xg_ceil_div(d->og, LANES);
    memset(wp, 0, (size_t)(blocks * d->k * LANES) * sizeof *wp);
    memset(bp, 0, (size_t)(blocks * LANES) * sizeof *bp);
    for (int64_t o = 0; o < d->og; o++) {
        const float *from = w + (g * d->og + o) * d->k;
        float *to = wp + o / LANES * d->k * LANES + o % LANES;
        for (int64_t i = 0; i < d->k; i++) to[i * LANES] = from[i];
        if (bias) bp[o] = bias[g * d->og + o];
    }
}

static void gather(const xg_conv_dims *d, int64_t g, const float *x, int64_t pixel, float *patch) {
    for (int64_t r = 0; r < d->win.kh; r++)
        for (int64_t s = 0; s < d->win.kw; s++, patch += d->cg) {
            int64_t from = xg_conv_source(d, pixel, r, s);
            if (from < 0)
                memset(patch, 0, (size_t)d->cg * sizeof *patch);
            else
                memcpy(patch, x + from + g * d->cg, (size_t)d->cg * sizeof *patch);
        }
}

/* Pixels [first, first + count) of one group. */
static void tile(const xg_conv_dims *d, int64_t g, int64_t first, int64_t count, const float *patch,
                 const float *wp, const float *bp, float *y) {
    for (int64_t o = 0; o < d->og; o += LANES)
        for (int64_t p = 0; p < count; p += QUAD) {
            float out[QUAD][LANES];
            quad_by_eight(wp + o * d->k, patch + p * d->k, d->k, bp + o, out);
            for (int64_t q = 0; q < xg_min(QUAD, count - p); q++)
                memcpy(y + (first + p + q) * d->o + g * d->og + o, out[q],
                       (size_t)xg_min(LANES, d->og - o) * sizeof *y);
        }
}

static void grouped(const xg_kernel *k, const xg_conv_dims *d, const float *x, const float *w,
                    const float *bias, float *y) {
    int64_t blocks = xg_ceil_div(d->og, LANES);
    int64_t size = xg_min(TILE_MAX, xg_ceil_div(d->pixels, QUAD) * QUAD);
    float *wp = xg_newn(k->scratch, float, (size_t)(blocks * d->k * LANES));
    float *bp = xg_newn(k->scratch, float, (size_t)(blocks * LANES));
    float *patch =
        xg_newn(k->scratch, float, (size_t)(size * d->k)); /* zero: unused rows of a last quad */
    for (int64_t g = 0; g < d->group; g++) {
        pack(d, g, w, bias, wp, bp);
        for (int64_t first = 0; first < d->pixels; first += size) {
            int64_t count = xg_min(size, d->pixels - first);
            for (int64_t p = 0; p < count; p++) gather(d, g, x, first + p, patch + p * d->k);
            tile(d, g, first, count, patch, wp, bp, y);
        }
    }
}

/* One input and one output channel a group: all channels of a pixel side by side. */
static void depthwise(const xg_kernel *k, const xg_conv_dims *d, const float *x, const float *w,
                      const float *bias, float *y) {
    float *wt = xg_newn(k->scratch, float, (size_t)(d->k * d->c)); /* [r, s][c] */
    for (int64_t c = 0; c < d->c; c++)
        for (int64_t i = 0; i < d->k; i++) wt[i * d->c + c] = w[c * d->k + i];
    for (int64_t p = 0; p < d->pixels; p++) {
        float *acc = y + p * d->c;
        for (int64_t c = 0; c < d->c; c++) acc[c] = bias ? bias[c] : 0;
        for (int64_t i = 0; i < d->k; i++) {
            int64_t from = xg_conv_source(d, p, i / d->win.kw, i % d->win.kw);
            const float *wi = wt + i * d->c;
            for (int64_t c = 0; c < d->c; c++) acc[c] += (from < 0 ? 0 : x[from + c]) * wi[c];
        }
    }
}

xg_status xg_conv_f32(const xg_kernel *k) {
    xg_conv_dims d = xg_conv_dims_of(k);
    const float *x = xg_kin_data(k, 0), *w = xg_kin_data(k, 1), *bias = xg_kin_data(k, 2);
    if (d.cg == 1 && d.og == 1)
        depthwise(k, &d, x, w, bias, xg_kout_data(k));
    else
        grouped(k, &d, x, w, bias, xg_kout_data(k));
    return XG_OK;
}
