#include "xgraph/histogram.h"

#include "xgraph/pass.h"

#include <math.h>
#include <string.h>

enum { HALF = XG_HISTOGRAM_HALF, BINS = 2 * HALF, FINEST = -120 };

/* ---- counting ---- */

void xg_histogram_init(xg_histogram *h) {
    *h = (xg_histogram){.min = INFINITY, .max = -INFINITY, .e = FINEST};
}

/* Bins twice as wide: floor(floor(x) / 2) = floor(x / 2). */
static void widen(xg_histogram *h) {
    uint64_t old[BINS];
    memcpy(old, h->bin, sizeof old);
    memset(h->bin, 0, sizeof old);
    for (int i = -HALF; i < HALF; i++) h->bin[HALF + (i >> 1)] += old[HALF + i];
    h->e++;
}

static bool fits(int e, double most) {
    return most < ldexp(HALF, e);
}

/* One NaN makes both ends NaN, for good. */
static void span(xg_histogram *h, const float *v, int64_t n) {
    for (int64_t i = 0; i < n && !isnan(h->min); i++) {
        if (isnan(v[i])) h->min = h->max = v[i];
        if (!(v[i] >= h->min)) h->min = v[i];
        if (!(v[i] <= h->max)) h->max = v[i];
    }
}

void xg_histogram_add(xg_histogram *h, xg_arena *a, const float *v, int64_t n) {
    bool empty = !h->bin;
    if (empty) h->bin = xg_newn(a, uint64_t, BINS);
    span(h, v, n);
    double most = fmax(fabs((double)h->min), fabs((double)h->max));
    if (!isfinite(h->min) || !isfinite(h->max)) return;
    while (empty && !fits(h->e, most)) h->e++; /* nothing to add together yet */
    while (!fits(h->e, most)) widen(h);
    double per = ldexp(1, -h->e);
    for (int64_t i = 0; i < n; i++) {
        uint32_t times = h->weight ? h->weight[i % h->channels] : 1;
        if (v[i] == 0)
            h->zeros += times;
        else
            h->bin[HALF + (int)floor(v[i] * per)] += times;
    }
}

/* ---- what a range costs ---- */

typedef struct choice {
    const xg_histogram *h;
    const xg_rqrec *r;
    double min, max;       /* of the values, zero included */
    double width;          /* of a bin */
    int first, last;       /* bins in use, counted from zero's: [first, last] */
    const xg_node *reader; /* a function, or NULL for the values themselves */
    double *seen, *slope;  /* [BINS] of it, at the bins' centres */
} choice;

static double centre(const choice *c, int i) {
    return (i + 0.5) * c->width;
}

static double step_of(const choice *c, double lo, double hi) {
    if (c->r->act_zero_point) return (hi - lo) / 255;
    return fmax(hi / 127, -lo / (c->r->pow2_scales ? 128 : 127));
}

static double through(const choice *c, double v) {
    float y = (float)v;
    if (c->reader) xg_unary_value(c->reader, (float)v, &y);
    return (double)y;
}

/* False when the function is not finite somewhere. */
static bool see(choice *c) {
    for (int i = c->first; i <= c->last; i++) {
        double v = centre(c, i), w = c->width / 2;
        c->seen[HALF + i] = through(c, v);
        c->slope[HALF + i] = (through(c, v + w) - through(c, v - w)) / c->width;
        if (!isfinite(c->seen[HALF + i]) || !isfinite(c->slope[HALF + i])) return false;
    }
    return true;
}

/* Neighbours saturate together and to one side, so that what they lose adds up in the layers
 * behind, where rounding errors cancel. Of 1, 4 and 16 the detectors among the float models lose
 * least with 4. */
#define SATURATED 4

/* Sum of squared errors: (slope step)^2 / 12 for what is rounded (zero is exact), the distance for
 * what saturates. Without zero points the range is [-128, 127] steps whatever lo and hi say. */
static double squared_error(const choice *c, double lo, double hi, double step) {
    double sum = 0, rounding = step * step / 12;
    if (!c->r->act_zero_point) {
        lo = -128 * step;
        hi = 127 * step;
    }
    double least = through(c, lo), most = through(c, hi);
    for (int i = c->first; i <= c->last; i++) {
        uint64_t n = c->h->bin[HALF + i];
        if (!n) continue;
        double v = centre(c, i), y = c->seen[HALF + i], slope = c->slope[HALF + i];
        double beyond = v > hi ? y - most : v < lo ? least - y : 0;
        sum += (double)n * fmax(SATURATED * beyond * beyond, rounding * slope * slope);
    }
    return sum;
}

/* ln x for x > 0 by its own series, so that all hosts agree to the last bit:
 * ln m = 2 atanh((m - 1) / (m + 1)), m in [1/2, 1). */
static double natural_log(double x) {
    int e;
    double m = frexp(x, &e), s = (m - 1) / (m + 1), square = s * s, power = s, sum = 0;
    for (int k = 1; k < 40; k += 2, power *= square) sum += power / k;
    return 2 * sum + e * 0.69314718055994530942;
}

/* Kullback-Leibler divergence of the clipped counts and of the same counts shared out evenly within
 * each of the quantiser's levels. Zeros say nothing about a range and take no part. */
static double divergence(const choice *c, double lo, double hi, double step) {
    double total[512] = {0}, used[512] = {0}, all = 0, sum = 0;
    int base = (int)floor(lo / step + 0.5);
    double p[BINS];
    int level[BINS];
    for (int i = c->first; i <= c->last; i++) {
        double v = fmin(fmax(centre(c, i), lo), hi);
        p[HALF + i] = (double)c->h->bin[HALF + i];
        level[HALF + i] = (int)xg_clamp((int64_t)floor(v / step + 0.5) - base, 0, 511);
    }
    /* what lies beyond is counted with the last bin inside */
    for (int i = c->first; i <= c->last; i++) {
        double v = centre(c, i);
        if (v >= lo && v <= hi) continue;
        int at = (int)floor((v > hi ? hi : lo) / c->width);
        at = (int)xg_clamp(v > hi && centre(c, at) > hi ? at - 1 : at, c->first, c->last);
        if (v < lo && centre(c, at) < lo && at < c->last) at++;
        if (at == i) continue;
        p[HALF + at] += p[HALF + i];
        p[HALF + i] = 0;
    }
    for (int i = c->first; i <= c->last; i++) {
        double own = (double)c->h->bin[HALF + i];
        bool inside = centre(c, i) >= lo && centre(c, i) <= hi;
        if (inside) total[level[HALF + i]] += own;
        if (p[HALF + i] > 0) used[level[HALF + i]]++;
        all += p[HALF + i];
    }
    double kept = 0;
    for (int k = 0; k < 512; k++) kept += total[k];
    if (all == 0 || kept == 0) return INFINITY;
    for (int i = c->first; i <= c->last; i++) {
        if (p[HALF + i] == 0) continue;
        double share = total[level[HALF + i]] / used[level[HALF + i]];
        double q = fmax(share / kept, 1e-9), v = p[HALF + i] / all;
        sum += v * natural_log(v / q);
    }
    return sum;
}

/* ---- searching ---- */

typedef double (*cost_fn)(const choice *c, double lo, double hi, double step);

/* Powers of two: the covering step and up to seven finer ones. */
static void search_pow2(const choice *c, cost_fn cost, double *lo, double *hi) {
    int e;
    double m = frexp(step_of(c, c->min, c->max), &e), cover = ldexp(1, m == 0.5 ? e - 1 : e);
    double best = INFINITY, step = cover;
    for (int k = 0; k < 8; k++) {
        double s = ldexp(cover, -k);
        double got = cost(c, fmax(c->min, -128 * s), fmin(c->max, 127 * s), s);
        if (got < best) {
            best = got;
            step = s;
        }
    }
    *lo = fmax(c->min, -128 * step);
    *hi = fmin(c->max, 127 * step);
}

/* Both ends drawn in together; then, with zero points, each end alone, twice. */
static void search(const choice *c, cost_fn cost, double *lo, double *hi) {
    enum { PARTS = 128 };
    double best = INFINITY, most = fmax(c->max, -c->min);
    bool free_ends = c->r->act_zero_point;
    for (int k = PARTS; k > 0; k--) {
        double f = (double)k / PARTS;
        double l = free_ends ? c->min * f : fmax(c->min, -most * f);
        double u = free_ends ? c->max * f : fmin(c->max, most * f);
        double got = cost(c, l, u, step_of(c, l, u));
        if (got < best) {
            best = got;
            *lo = l;
            *hi = u;
        }
    }
    if (!free_ends || c->min == 0 || c->max == 0) return;
    for (int end = 0; end < 4; end++)
        for (int k = PARTS; k >= 0; k--) {
            double f = (double)k / PARTS, l = end % 2 ? *lo : c->min * f,
                   u = end % 2 ? c->max * f : *hi;
            if (l == u) continue;
            double got = cost(c, l, u, step_of(c, l, u));
            if (got >= best) continue;
            best = got;
            *lo = l;
            *hi = u;
        }
}

/* The ends beyond which at most that share of all values lies, zeros counted. */
static void percentile_ends(const choice *c, double percentile, double *lo, double *hi) {
    uint64_t all = c->h->zeros, below = 0, above = 0;
    for (int i = c->first; i <= c->last; i++) all += c->h->bin[HALF + i];
    double allowed = floor((double)all * (100 - percentile) / 100 + 1e-6);
    *lo = c->min;
    *hi = c->max;
    for (int i = c->first; i < 0; i++) {
        below += c->h->bin[HALF + i];
        if ((double)below > allowed) break;
        *lo = fmax(c->min, (i + 1) * c->width);
    }
    for (int i = c->last; i >= 0; i--) {
        above += c->h->bin[HALF + i];
        if ((double)above > allowed) break;
        *hi = fmin(c->max, i * c->width);
    }
}

void xg_histogram_range(const xg_histogram *h, const xg_rqrec *r, xg_calib_method method,
                        double percentile, const xg_node *reader, float *min, float *max) {
    double seen[BINS], slope[BINS];
    *min = h->min;
    *max = h->max;
    if (!h->bin || !isfinite(h->min) || !isfinite(h->max) || method == XG_CALIB_MINMAX) return;
    choice c = {.h = h, .r = r, .min = fmin(h->min, 0), .max = fmax(h->max, 0), .reader = reader};
    c.seen = seen;
    c.slope = slope;
    c.width = ldexp(1, h->e);
    if (c.min == c.max) return;
    c.first = (int)floor(c.min / c.width);
    c.last = (int)fmin(floor(c.max / c.width), HALF - 1);
    if (!see(&c)) {
        c.reader = NULL;
        see(&c);
    }
    double lo = c.min, hi = c.max;
    if (method == XG_CALIB_PERCENTILE)
        percentile_ends(&c, percentile > 0 ? percentile : 99.99, &lo, &hi);
    else if (r->pow2_scales)
        search_pow2(&c, method == XG_CALIB_ENTROPY ? divergence : squared_error, &lo, &hi);
    else
        search(&c, method == XG_CALIB_ENTROPY ? divergence : squared_error, &lo, &hi);
    *min = (float)lo;
    *max = (float)hi;
}
