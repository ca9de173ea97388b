/* Conv on 16-bit integers: products and sums in binary64, where they are exact while they stay
 * below 2^53, four pixels by eight channels at a time. */
#include "xgraph/fast.h"

#include <string.h>

enum { LANES = 8, QUAD = 4, TILE = 32, TERMS_MAX = 1 << 20 }; /* |x w| < 2^33 */
typedef double f64x8 __attribute__((vector_size(64)));

typedef struct job {
    const xg_kernel *k;
    xg_conv_dims d;
    xg_rqrec record;
    xg_affine xa, ya;
    const xg_quant *wq;
    xg_rq *rq;
    int32_t lo, hi;
    xg_cpu level;
} job;

static void centred(const job *j, uint32_t input, int64_t first, int64_t n, int32_t zp,
                    double *out) {
    const void *p = xg_kin_data(j->k, input);
    if (xg_kin(j->k, input)->dtype == XG_I16)
        for (int64_t i = 0; i < n; i++) out[i] = ((const int16_t *)p)[first + i] - zp;
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)(xg_load(p, xg_kin(j->k, input)->dtype, first + i) - zp);
}

/* ---- innermost loops ---- */

/* out[p][c] = sum over i of x[p][i] w[i][c]. */
static inline __attribute__((always_inline)) void quad(const double *w, const double *x, int64_t k,
                                                       double out[QUAD][LANES]) {
    f64x8 a = {0}, b = {0}, c = {0}, d = {0}, v;
    for (int64_t i = 0; i < k; i++) {
        memcpy(&v, w + i * LANES, sizeof v);
        a += x[i] * v;
        b += x[k + i] * v;
        c += x[2 * k + i] * v;
        d += x[3 * k + i] * v;
    }
    memcpy(out[0], &a, sizeof a);
    memcpy(out[1], &b, sizeof b);
    memcpy(out[2], &c, sizeof c);
    memcpy(out[3], &d, sizeof d);
}

/* acc[c] += x[c] w[c] */
static inline __attribute__((always_inline)) void
row(const double *restrict w, const double *restrict x, int64_t n, double *restrict acc) {
    for (int64_t c = 0; c < n; c++) acc[c] += x[c] * w[c];
}

#define LEVEL(name, target)                                                                        \
    target static void quad_##name(const double *w, const double *x, int64_t k,                    \
                                   double out[QUAD][LANES]) {                                      \
        quad(w, x, k, out);                                                                        \
    }                                                                                              \
    target static void row_##name(const double *w, const double *x, int64_t n, double *acc) {      \
        row(w, x, n, acc);                                                                         \
    }
LEVEL(portable, )
#if defined(__x86_64__)
LEVEL(avx2, __attribute__((target("avx2"))))
LEVEL(vnni, __attribute__((target("avx512f"))))
#else
#define quad_avx2 quad_portable
#define quad_vnni quad_portable
#define row_avx2  row_portable
#define row_vnni  row_portable
#endif

static void (*const quads[])(const double *, const double *, int64_t,
                             double[QUAD][LANES]) = {quad_portable, quad_avx2, quad_vnni};
static void (*const rows[])(const double *, const double *, int64_t,
                            double *) = {row_portable, row_avx2, row_vnni};

/* ---- results ---- */

static void finish(const job *j, int64_t at, int64_t o, double acc) {
    const int32_t *bias = xg_kin_data(j->k, 2);
    int32_t y = xg_rq_apply(&j->record, j->rq[o], (int64_t)acc + (bias ? bias[o] : 0), j->ya.zp,
                            j->lo, j->hi);
    xg_store(xg_kout_data(j->k), xg_kout(j->k)->dtype, at, y);
}

static int32_t zero_of(const job *j, int64_t o) {
    return j->wq->zp[j->wq->n == 1 ? 0 : o];
}

/* ---- grouped ---- */

/* Weights of one group as [block of eight channels][k][8], missing channels 0. */
static void pack(const job *j, int64_t g, double *row_of, double *out) {
    const xg_conv_dims *d = &j->d;
    memset(out, 0, (size_t)(xg_ceil_div(d->og, LANES) * d->k * LANES) * sizeof *out);
    for (int64_t o = 0; o < d->og; o++) {
        centred(j, 1, (g * d->og + o) * d->k, d->k, zero_of(j, g * d->og + o), row_of);
        double *to = out + o / LANES * d->k * LANES + o % LANES;
        for (int64_t i = 0; i < d->k; i++) to[i * LANES] = row_of[i];
    }
}

static void gather(const job *j, int64_t g, int64_t pixel, double *patch) {
    const xg_conv_dims *d = &j->d;
    for (int64_t r = 0; r < d->win.kh; r++)
        for (int64_t s = 0; s < d->win.kw; s++, patch += d->cg) {
            int64_t from = xg_conv_source(d, pixel, r, s);
            if (from < 0)
                memset(patch, 0, (size_t)d->cg * sizeof *patch);
            else
                centred(j, 0, from + g * d->cg, d->cg, j->xa.zp, patch);
        }
}

static void grouped(const job *j) {
    const xg_conv_dims *d = &j->d;
    xg_arena *a = j->k->scratch;
    int64_t blocks = xg_ceil_div(d->og, LANES);
    double *w = xg_newn(a, double, (size_t)(blocks * d->k * LANES)), out[QUAD][LANES];
    double *one = xg_newn(a, double, (size_t)d->k);
    double *patch = xg_newn(a, double, (size_t)(TILE * d->k)); /* 0: rows of a last quad */
    for (int64_t g = 0; g < d->group; g++) {
        pack(j, g, one, w);
        for (int64_t first = 0; first < d->pixels; first += TILE) {
            int64_t count = xg_min(TILE, d->pixels - first);
            for (int64_t p = 0; p < count; p++) gather(j, g, first + p, patch + p * d->k);
            for (int64_t at = 0; at < blocks * xg_ceil_div(count, QUAD); at++) {
                int64_t o = at % blocks * LANES, p = at / blocks * QUAD;
                quads[j->level](w + o * d->k, patch + p * d->k, d->k, out);
                for (int64_t e = 0; e < QUAD * LANES; e++) {
                    int64_t q = p + e / LANES, c = o + e % LANES, oc = g * d->og + c;
                    if (q < count && c < d->og)
                        finish(j, (first + q) * d->o + oc, oc, out[e / LANES][e % LANES]);
                }
            }
        }
    }
}

/* ---- depthwise: all channels of a pixel side by side ---- */

static void depthwise(const job *j) {
    const xg_conv_dims *d = &j->d;
    xg_arena *a = j->k->scratch;
    double *w = xg_newn(a, double, (size_t)(d->k * d->c)); /* [r, s][c] */
    double *x = xg_newn(a, double, (size_t)d->c), *acc = xg_newn(a, double, (size_t)d->c);
    double *one = xg_newn(a, double, (size_t)d->k);
    for (int64_t c = 0; c < d->c; c++) {
        centred(j, 1, c * d->k, d->k, zero_of(j, c), one);
        for (int64_t i = 0; i < d->k; i++) w[i * d->c + c] = one[i];
    }
    for (int64_t p = 0; p < d->pixels; p++) {
        memset(acc, 0, (size_t)d->c * sizeof *acc);
        for (int64_t i = 0; i < d->k; i++) {
            int64_t from = xg_conv_source(d, p, i / d->win.kw, i % d->win.kw);
            if (from < 0) continue;
            centred(j, 0, from, d->c, j->xa.zp, x);
            rows[j->level](w + i * d->c, x, d->c, acc);
        }
        for (int64_t c = 0; c < d->c; c++) finish(j, p * d->c + c, c, acc[c]);
    }
}

/* ---- the whole ---- */

static bool is_operand(const xg_tensor *t) {
    return xg_dtype_is_int8(t->dtype) || t->dtype == XG_I16;
}

static bool prepare(job *j) {
    const xg_kernel *k = j->k;
    const xg_tensor *x = xg_kin(k, 0), *w = xg_kin(k, 1), *b = xg_kin(k, 2), *y = xg_kout(k);
    if (!is_operand(x) || !is_operand(w) || !is_operand(y) || (b && b->dtype != XG_I32))
        return false;
    j->wq = w->quant;
    if (!j->wq || (j->wq->n != 1 && j->wq->axis != 0) || j->d.k > TERMS_MAX) return false;
    if (!xg_fast_affine(x, &j->xa) || !xg_fast_affine(y, &j->ya)) return false;
    if (!xg_rqrec_profile("ort", &j->record)) return false;
    j->record.acc_bits = XG_WIDE_ACC_BITS;
    j->rq = xg_newn(k->scratch, xg_rq, (size_t)j->d.o);
    for (int64_t o = 0; o < j->d.o; o++) {
        float scale[2] = {j->xa.scale, j->wq->scale[j->wq->n == 1 ? 0 : o]};
        if (!xg_rq_derive(&j->record, scale, 2, j->ya.scale, &j->rq[o])) return false;
    }
    xg_kernel_bounds(k, &j->lo, &j->hi);
    return true;
}

bool xg_fast_wide_conv(const xg_kernel *k) {
    job j = {.k = k, .d = xg_conv_dims_of(k), .level = xg_cpu_level()};
    if (!prepare(&j)) return false;
    if (j.d.cg == 1 && j.d.og == 1)
        depthwise(&j);
    else
        grouped(&j);
    return true;
}
