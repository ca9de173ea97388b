#include "xgraph/import.h"

#include <math.h>

static bool all_equal(const float *v, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (v[i] != v[0]) return false;
    return true;
}

/* Constant within each output channel: a batch norm may have been folded into equal weights. */
static bool is_topology_only(const xg_tensor *w) {
    int64_t n = xg_tensor_elems(w), run = n / w->dim[0];
    if (n < 2) return false;
    if (run == 1) return all_equal(w->data, n);
    for (int64_t o = 0; o < w->dim[0]; o++)
        if (!all_equal((const float *)w->data + o * run, run)) return false;
    return true;
}

/* 24 random bits, in [-1, 1): exact in binary32. */
static float uniform(uint64_t *state) {
    return (float)((int64_t)(xg_random(state) >> 40) - (1 << 23)) * 0x1p-23f;
}

static const float *random_floats(xg_arena *a, int64_t n, float bound, uint64_t *state) {
    float *v = xg_newn(a, float, (size_t)n);
    for (int64_t i = 0; i < n; i++) v[i] = uniform(state) * bound;
    return v;
}

static uint32_t random_const(xg_graph *g, const xg_tensor *old, float bound, uint64_t *state) {
    const float *v = random_floats(g->arena, xg_tensor_elems(old), bound, state);
    return xg_graph_add_const(g, old->name, XG_F32, old->rank, old->dim, v, NULL);
}

/* A uniform variable in [-b, b] has variance b^2 / 3: He's 2 / fan-in asks for b = sqrt(6 /
 * fan-in). */
uint32_t xg_random_weights(xg_graph *g, uint64_t seed) {
    uint32_t changed = 0;
    for (uint32_t i = 0; i < g->node.n; i++) {
        xg_node *n = xg_nodep(g, i);
        const xg_tensor *w = xg_in(g, n, 1), *b = xg_in(g, n, 2);
        if (n->op != XG_OP_Conv || w->dtype != XG_F32 || !w->data || !is_topology_only(w)) continue;
        xg_tensor weights = *w, bias = b ? *b : (xg_tensor){0};
        uint64_t state = seed + 0x10001ull * i;
        double fan_in = (double)(xg_tensor_elems(&weights) / weights.dim[0]);
        n->in[1] = random_const(g, &weights, (float)sqrt(6 / fan_in), &state);
        if (b && b->data) n->in[2] = random_const(g, &bias, 0.0625f, &state);
        changed++;
    }
    return changed;
}
