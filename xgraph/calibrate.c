#include "xgraph/import.h"

#include <math.h>

/* A NaN makes the range NaN, which the quantiser refuses by the tensor's name. */
static void widen(xg_range *r, const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!(v[i] >= r->min)) r->min = v[i];
        if (!(v[i] <= r->max)) r->max = v[i];
    }
}

static bool is_measured(const xg_tensor *t) {
    return t->dtype == XG_F32 && (t->is_input || t->producer != XG_NONE);
}

xg_status xg_calibrate(xg_arena *a, const xg_graph *g, xg_values *const *inputs, uint32_t n,
                       xg_calibration *out) {
    xg_ctx *c = xg_arena_ctx(a);
    *out = (xg_calibration){0};
    if (!n) return xg_error(c, XG_INPUT, "", "calibration needs at least one set of inputs");
    for (uint32_t t = 0; t < g->tensor.n; t++)
        if (is_measured(xg_tensorp(g, t))) {
            xg_range fresh = {g->tensor.v[t].name, INFINITY, -INFINITY};
            xg_push(a, &out->range, fresh);
        }
    for (uint32_t i = 0; i < n; i++) {
        xg_status st = xg_interp_run(c, inputs[i], NULL);
        if (st != XG_OK) return st;
        uint32_t row = 0;
        for (uint32_t t = 0; t < g->tensor.n; t++) {
            if (!is_measured(xg_tensorp(g, t))) continue;
            if (inputs[i]->v[t])
                widen(&out->range.v[row], inputs[i]->v[t], xg_tensor_elems(xg_tensorp(g, t)));
            row++;
        }
    }
    return XG_OK;
}
