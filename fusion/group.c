/* Groups: their results, and which of them run as one. */
#include "fusion/geometry.h"
#include "fusion/select.h"

uint32_t xg_group_results(const xg_group *g, const uint32_t **node) {
    *node = g->nresult ? g->result : &g->node[g->nnode - 1];
    return g->nresult ? g->nresult : 1;
}

bool xg_group_returns(const xg_group *g, uint32_t node) {
    const uint32_t *result;
    uint32_t n = xg_group_results(g, &result);
    for (uint32_t i = 0; i < n; i++)
        if (result[i] == node) return true;
    return false;
}

static bool read_inside(const xg_graph *g, const xg_group *grp, uint32_t tensor) {
    for (uint32_t k = 0; k < grp->nnode; k++) {
        const xg_node *n = xg_nodep(g, grp->node[k]);
        for (uint32_t o = 0; o < n->nin; o++)
            if (n->in[o] == tensor) return true;
    }
    return false;
}

void xg_group_find_results(xg_arena *a, const xg_graph *g, xg_group *grp) {
    uint32_t *result = xg_newn(a, uint32_t, grp->nnode + 1), n = 0;
    for (uint32_t k = 0; k < grp->nnode; k++)
        if (!read_inside(g, grp, xg_nodep(g, grp->node[k])->out[0])) result[n++] = grp->node[k];
    grp->nresult = n > 1 ? n : 0;
    grp->result = n > 1 ? result : NULL;
}

void xg_group_dims(const xg_graph *g, const xg_group *grp, int64_t d[4]) {
    const uint32_t *result;
    uint32_t n = xg_group_results(grp, &result);
    xg_dims4(xg_out(g, xg_nodep(g, result[0]), 0), d);
    for (uint32_t i = 1; i < n; i++) {
        int64_t other[4];
        xg_dims4(xg_out(g, xg_nodep(g, result[i]), 0), other);
        d[3] = xg_max(d[3], other[3]);
    }
}

/* Host groups -1; groups that are split by images, how many; others 0. */
static int64_t kind_of(const xg_graph *g, const xg_group *grp) {
    int64_t d[4];
    if (grp->where == XG_ON_HOST) return -1;
    if (grp->strategy.split != XG_SPLIT_IMAGE) return 0;
    xg_group_dims(g, grp, d);
    return d[0];
}

uint32_t *xg_selection_runs(const xg_selection *s, xg_arena *a) {
    uint32_t *run = xg_newn(a, uint32_t, s->group.n + 1);
    int64_t before = 0, kind;
    for (uint32_t i = 0; i < s->group.n; i++, before = kind) {
        kind = kind_of(s->graph, &s->group.v[i]);
        bool together = !i || kind == before || (before > 0 && !kind);
        run[i] = i ? run[i - 1] + !together : 0;
    }
    return run;
}

uint32_t *xg_selection_stretches(const xg_selection *s, xg_arena *a) {
    uint32_t *v = xg_selection_runs(s, a), run = 0, stretch = 0;
    for (uint32_t i = 0; i < s->group.n; i++) {
        bool cut = i && (s->group.v[i].strategy.batched || s->group.v[i - 1].strategy.batched);
        if (i && (cut || v[i] != run)) stretch++;
        run = v[i];
        v[i] = stretch;
    }
    return v;
}

uint32_t xg_selection_rounds(const xg_selection *s, const xg_machine *m, uint32_t first,
                             uint32_t last) {
    int64_t most = 1;
    for (uint32_t gi = first; gi < last; gi++) {
        const xg_group *g = &s->group.v[gi];
        int64_t d[4];
        xg_group_dims(s->graph, g, d);
        if (g->strategy.split == XG_SPLIT_IMAGE && !g->strategy.batched)
            most = xg_max(most, xg_ceil_div(d[0], m->cores));
    }
    return (uint32_t)most;
}
