#include "xgraph/quantise_plan.h"

#include "xgraph/import.h"
#include "xgraph/reals.h"

#include <math.h>
#include <string.h>

/* 10 log10(signal / noise); infinite when equal, NAN when the two cannot be compared. */
static double sqnr(const xg_tensor *ta, const void *a, const xg_tensor *tb, const void *b) {
    int64_t n = xg_tensor_elems(ta);
    if (!a || !b || n != xg_tensor_elems(tb) || !xg_has_reals(ta) || !xg_has_reals(tb)) return NAN;
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = xg_real_at(ta, a, i), d = x - xg_real_at(tb, b, i);
        signal += x * x;
        noise += d * d;
    }
    return noise == 0 ? INFINITY : 10 * log10(signal / noise);
}

static uint32_t counterpart(xg_arena *a, const xg_map *names, const char *name) {
    uint32_t t = xg_map_get(names, name);
    size_t n = strlen(name), s = strlen(XG_QSUFFIX);
    if (t != XG_NONE || n <= s || strcmp(name + n - s, XG_QSUFFIX)) return t;
    return xg_map_get(names, xg_strndup(a, name, n - s));
}

static xg_status run_both(xg_ctx *c, xg_values *before, xg_values *after, const xg_rqrec *record) {
    xg_status st = xg_values_fill(c, before, "random", 1);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < before->graph->input.n; i++) {
        uint32_t from = before->graph->input.v[i], to = after->graph->input.v[i];
        const xg_tensor *t = xg_tensorp(before->graph, from);
        memcpy(xg_values_get(after, to), before->v[from],
               (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype));
    }
    st = xg_interp_run(c, before, NULL);
    return st == XG_OK ? xg_interp_run(c, after, record) : st;
}

xg_status xg_quant_measure(xg_ctx *c, const xg_graph *before, const xg_graph *after,
                           const xg_rqrec *record, xg_quant_report *report) {
    xg_arena *scratch = xg_arena_new(c);
    xg_values a, b;
    xg_values_init(&a, before, scratch);
    xg_values_init(&b, after, scratch);
    xg_status st = run_both(c, &a, &b, record);
    xg_map names = {.arena = scratch};
    for (uint32_t t = 0; t < before->tensor.n; t++) xg_map_set(&names, before->tensor.v[t].name, t);
    for (uint32_t i = 0; i < after->node.n && st == XG_OK; i++) {
        const xg_node *n = xg_nodep(after, i);
        uint32_t y = n->out[0], x = counterpart(scratch, &names, after->tensor.v[y].name);
        if (x == XG_NONE || after->tensor.v[y].dtype == XG_F32) continue;
        double db = sqnr(xg_tensorp(before, x), a.v[x], xg_tensorp(after, y), b.v[y]);
        xg_quant_row row = {
            .node = xg_strdup(after->arena, n->name), .sqnr_db = db, .own_db = NAN, .effect = NAN};
        xg_push(after->arena, &report->row, row);
    }
    xg_arena_free(scratch);
    return st;
}
