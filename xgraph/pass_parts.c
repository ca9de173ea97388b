#include "xgraph/pass_parts.h"

#include <math.h>
#include <string.h>

enum { ONE_HOT_MAX = 1 << 22 }; /* weights */

bool xg_is_int_map(const xg_tensor *t) {
    return t->rank == 4 && t->dtype == XG_I8 && t->quant && t->quant->axis < 0 && !t->data;
}

uint32_t xg_rw_finish(xg_rw *r, uint32_t node, xg_dtype dtype, const xg_quant *q) {
    xg_rw_set_out(r, node, dtype, q);
    return xg_rw_infer(r, node) ? xg_rw_out(r, node) : XG_NONE;
}

uint32_t xg_rw_slice(xg_rw *r, uint32_t like, uint32_t in, const int64_t *start,
                     const int64_t *step, const int64_t *dim) {
    xg_tensor t = r->g->tensor.v[in];
    if (!memcmp(t.dim, dim, 4 * sizeof *dim)) return in;
    uint32_t fresh = xg_rw_add(r, XG_OP_Slice, like, &in, 1);
    const xg_node *n = xg_nodep(r->g, fresh);
    xg_set_ais(r->g, n, XG_ATTR_starts, start, 4);
    xg_set_ais(r->g, n, XG_ATTR_steps, step, 4);
    xg_set_ais(r->g, n, XG_ATTR_shape, dim, 4);
    return xg_rw_finish(r, fresh, t.dtype, t.quant);
}

uint32_t xg_rw_part(xg_rw *r, uint32_t like, uint32_t in, int axis, int64_t first, int64_t step,
                    int64_t n) {
    int64_t start[4] = {0}, steps[4] = {1, 1, 1, 1}, dim[4];
    memcpy(dim, r->g->tensor.v[in].dim, sizeof dim);
    start[axis] = first;
    steps[axis] = step;
    dim[axis] = n;
    return xg_rw_slice(r, like, in, start, steps, dim);
}

uint32_t xg_rw_joined(xg_rw *r, uint32_t like, const uint32_t *in, uint32_t n, int axis) {
    for (uint32_t i = 0; i < n; i++)
        if (in[i] == XG_NONE) return XG_NONE;
    if (n == 1) return in[0];
    xg_tensor t = r->g->tensor.v[in[0]];
    uint32_t fresh = xg_rw_add(r, XG_OP_Concat, like, in, n);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_axis, axis);
    return xg_rw_finish(r, fresh, t.dtype, t.quant);
}

uint32_t xg_count_runs(const int64_t *list, int64_t n) {
    uint32_t runs = 1;
    for (int64_t i = 1; i < n; i++) runs += list[i] != list[i - 1] + 1;
    return runs;
}

uint32_t xg_rw_take_runs(xg_rw *r, uint32_t like, uint32_t in, int axis, const int64_t *list,
                         int64_t n) {
    uint32_t *part = xg_newn(r->tmp, uint32_t, (size_t)n), count = 0;
    for (int64_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && list[j] == list[j - 1] + 1;) j++;
        bool again = count && list[i] == list[0] && j - i == r->g->tensor.v[part[0]].dim[axis];
        part[count] = again ? part[0] : xg_rw_part(r, like, in, axis, list[i], 1, j - i);
        if (part[count++] == XG_NONE) return XG_NONE;
    }
    return xg_rw_joined(r, like, part, count, axis);
}

uint32_t xg_rw_fixed_conv(xg_rw *r, uint32_t like, uint32_t in, const int8_t *weights,
                          int64_t channels, int64_t group, const xg_window *w, int exponent,
                          const xg_quant *q) {
    xg_tensor x = r->g->tensor.v[in];
    int64_t dim[4] = {channels, w->kh, w->kw, x.dim[3] / group};
    const char *name = xg_strf(r->tmp, "%s.kernel", r->g->tensor.v[xg_rw_out(r, like)].name);
    const xg_quant *unit = xg_quant_scalar(r->a, ldexpf(1, -exponent), 0);
    uint32_t ins[2] = {in, xg_rw_const(r, name, XG_I8, 4, dim, weights, unit)};
    uint32_t fresh = xg_rw_add(r, XG_OP_Conv, like, ins, 2);
    xg_set_window(xg_nodep(r->g, fresh), w);
    xg_set_ai(xg_nodep(r->g, fresh), XG_ATTR_group, group);
    return xg_rw_finish(r, fresh, XG_I8, q);
}

uint32_t xg_rw_one_hot(xg_rw *r, uint32_t like, uint32_t in, const int64_t *list, int64_t n,
                       const xg_window *w) {
    int64_t c = r->g->tensor.v[in].dim[3];
    const xg_quant *q = r->g->tensor.v[in].quant;
    if (n * c > ONE_HOT_MAX) return XG_NONE;
    int8_t *weights = xg_newn(r->a, int8_t, (size_t)(n * c));
    for (int64_t o = 0; o < n; o++)
        if (list[o] >= 0) weights[o * c + list[o]] = 1;
    return xg_rw_fixed_conv(r, like, in, weights, n, 1, w, 0, q);
}
