/* Operators along lines of an axis (ArgMax, ArgMin, Hardmax, CumSum) and Normalize over axes. */
#include "xgraph/kernel.h"

#include <math.h>

/* Lines of n elements, `stride` apart; line i starts at line_at(i). */
typedef struct lines {
    int64_t count, n, stride;
} lines;

static lines lines_of(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0);
    int64_t axis = xg_ai(k->node, XG_ATTR_axis);
    lines l = {.n = x->dim[axis], .stride = 1};
    for (int64_t i = axis + 1; i < x->rank; i++) l.stride *= x->dim[i];
    l.count = xg_tensor_elems(x) / l.n;
    return l;
}

static int64_t line_at(const lines *l, int64_t i) {
    return i / l->stride * l->stride * l->n + i % l->stride;
}

/* Is element a above element b? Integers with one scale compare as they are. */
static bool above(const void *x, xg_dtype t, int64_t a, int64_t b) {
    if (t == XG_F32) return ((const float *)x)[a] > ((const float *)x)[b];
    return xg_load(x, t, a) > xg_load(x, t, b);
}

static int64_t best(const void *x, xg_dtype t, const lines *l, int64_t base, bool min, bool last) {
    int64_t found = 0;
    for (int64_t i = 1; i < l->n; i++) {
        int64_t a = base + i * l->stride, b = base + found * l->stride;
        bool better = min ? above(x, t, b, a) : above(x, t, a, b);
        bool worse = min ? above(x, t, a, b) : above(x, t, b, a);
        if (better || (last && !worse)) found = i;
    }
    return found;
}

static xg_status arg(const xg_kernel *k, bool min) {
    const lines l = lines_of(k);
    const bool last = xg_ai(k->node, XG_ATTR_last);
    int64_t *y = xg_kout_data(k);
    for (int64_t i = 0; i < l.count; i++)
        y[i] = best(xg_kin_data(k, 0), xg_kin(k, 0)->dtype, &l, line_at(&l, i), min, last);
    return XG_OK;
}

xg_status xg_kernel_ArgMax(const xg_kernel *k) {
    return arg(k, false);
}

xg_status xg_kernel_ArgMin(const xg_kernel *k) {
    return arg(k, true);
}

xg_status xg_kernel_Hardmax(const xg_kernel *k) {
    const lines l = lines_of(k);
    float *y = xg_kout_data(k);
    for (int64_t i = 0; i < l.count; i++) {
        int64_t base = line_at(&l, i),
                one = best(xg_kin_data(k, 0), XG_F32, &l, base, false, false);
        for (int64_t j = 0; j < l.n; j++) y[base + j * l.stride] = j == one;
    }
    return XG_OK;
}

xg_status xg_kernel_CumSum(const xg_kernel *k) {
    const lines l = lines_of(k);
    const bool exclusive = xg_ai(k->node, XG_ATTR_exclusive),
               reverse = xg_ai(k->node, XG_ATTR_reverse);
    const float *x = xg_kin_data(k, 0);
    float *y = xg_kout_data(k);
    for (int64_t i = 0; i < l.count; i++) {
        float sum = 0;
        for (int64_t j = 0; j < l.n; j++) {
            int64_t at = line_at(&l, i) + (reverse ? l.n - 1 - j : j) * l.stride;
            float next = sum + x[at];
            y[at] = exclusive ? sum : next;
            sum = next;
        }
    }
    return XG_OK;
}

/* ---- Normalize ---- */

/* Mean, variance and quotient in binary64, elements in row-major order, rounded once. */
typedef struct group {
    uint8_t rank; /* of the axes that are normalised over */
    int64_t dim[XG_RANK_MAX], stride[XG_RANK_MAX], n;
} group;

static void normalize_group(const group *g, const float *x, float *y, double epsilon) {
    int64_t index[XG_RANK_MAX] = {0}, at = 0;
    double mean = 0, variance = 0;
    do mean += (double)x[at];
    while (xg_odometer(g->rank, g->dim, g->stride, index, &at));
    mean /= (double)g->n;
    at = 0;
    do variance += ((double)x[at] - mean) * ((double)x[at] - mean);
    while (xg_odometer(g->rank, g->dim, g->stride, index, &at));
    const double deviation = sqrt(variance / (double)g->n + epsilon);
    at = 0;
    do y[at] = deviation > 0 ? (float)(((double)x[at] - mean) / deviation) : 0;
    while (xg_odometer(g->rank, g->dim, g->stride, index, &at));
}

xg_status xg_kernel_Normalize(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0);
    const xg_attr *axes = xg_attr_of(k->node, XG_ATTR_axes);
    int64_t stride[XG_RANK_MAX], dim[XG_RANK_MAX], kept[XG_RANK_MAX], index[XG_RANK_MAX] = {0},
                                                                      at = 0;
    group g = {.n = 1};
    uint8_t outer = 0;
    xg_dense_strides(x->rank, x->dim, stride);
    for (uint8_t i = 0; i < x->rank; i++) {
        bool in = false;
        for (uint32_t j = 0; j < axes->n; j++) in |= axes->is[j] == i;
        if (in) {
            g.dim[g.rank] = x->dim[i];
            g.stride[g.rank++] = stride[i];
            g.n *= x->dim[i];
        } else {
            dim[outer] = x->dim[i];
            kept[outer++] = stride[i];
        }
    }
    do
        normalize_group(&g, (const float *)xg_kin_data(k, 0) + at, (float *)xg_kout_data(k) + at,
                        (double)xg_af(k->node, XG_ATTR_epsilon));
    while (xg_odometer(outer, dim, kept, index, &at));
    return XG_OK;
}
