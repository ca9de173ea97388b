#include "xgraph/import.h"

#include "xgraph/kernel.h"
#include "xgraph/samples.h"

static double value_at(const xg_tensor *t, const void *data, int64_t i) {
    return t->dtype == XG_F32 ? (double)((const float *)data)[i]
                              : (double)xg_load(data, t->dtype, i);
}

/* Ties go to the lowest index. */
static int64_t largest(const xg_tensor *t, const void *data, int64_t first, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (value_at(t, data, first + i) > value_at(t, data, first + best)) best = i;
    return best;
}

static xg_status check(xg_ctx *c, const xg_graph *g, const xg_samples *s, const xg_array *labels) {
    xg_tensor shape = {.rank = labels->rank};
    for (uint32_t i = 0; i < labels->rank; i++) shape.dim[i] = labels->dim[i];
    if (labels->dtype == XG_F32 || (uint64_t)xg_tensor_elems(&shape) != xg_samples_images(s))
        return xg_error(c, XG_INPUT, "labels", "%lld of type %s for %llu images, expected integers",
                        (long long)xg_tensor_elems(&shape), xg_dtype_name(labels->dtype),
                        (unsigned long long)xg_samples_images(s));
    uint64_t batch = xg_samples_count(s) ? xg_samples_images(s) / xg_samples_count(s) : 0;
    if (!g->output.n || !batch || (uint64_t)xg_tensor_elems(xg_tensorp(g, g->output.v[0])) % batch)
        return xg_error(c, XG_UNSUPPORTED, "labels", "the first output has no value an image");
    return XG_OK;
}

xg_status xg_quant_accuracy(xg_arena *a, const xg_graph *g, const xg_rqrec *record,
                            const xg_samples *s, const xg_array *labels, uint64_t *right) {
    xg_ctx *c = xg_arena_ctx(a);
    *right = 0;
    xg_status st = check(c, g, s, labels);
    if (st != XG_OK) return st;
    int64_t batch = (int64_t)(xg_samples_images(s) / xg_samples_count(s));
    uint32_t y = g->output.v[0];
    const xg_tensor *t = xg_tensorp(g, y);
    int64_t each = xg_tensor_elems(t) / batch;
    for (uint64_t set = 0; set < xg_samples_count(s) && st == XG_OK; set++) {
        xg_arena *scratch = xg_arena_new(c);
        xg_values v;
        xg_values_init(&v, g, scratch);
        st = xg_samples_fill(s, set, &v);
        if (st == XG_OK) st = xg_interp_run(c, &v, record);
        for (int64_t i = 0; i < batch && st == XG_OK; i++) {
            int64_t label = xg_load(labels->data, labels->dtype, (int64_t)set * batch + i);
            *right += largest(t, v.v[y], i * each, each) == label;
        }
        xg_arena_free(scratch);
    }
    return st;
}
