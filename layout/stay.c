/* Addresses of tensors that stay on chip, fixed before any tile is made: first fit, largest first,
 * from the top of the feature-map memory, by the groups between which each must live. A tensor that
 * finds no place goes to DDR. */
#include "layout/plan_types.h"

#include "fusion/estimate.h"

#include <stdlib.h>

typedef struct stay {
    uint32_t tensor, first, last, size, at;
} stay;

static int by_size(const void *a, const void *b) {
    const stay *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

static int by_place(const void *a, const void *b) {
    const stay *x = *(const stay *const *)a, *y = *(const stay *const *)b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The staying tensor whose memory t shares: itself, or the concat result that it lies in. */
static uint32_t stay_root(const xg_plan *p, uint32_t t) {
    while (p->place[t].root != t && p->place[p->place[t].root].stays) t = p->place[t].root;
    return t;
}

static uint32_t collect(const xg_plan *p, const uint32_t *made_in, stay *v) {
    uint32_t n = 0, *slot = xg_newn(p->arena, uint32_t, p->graph->tensor.n + 1);
    for (uint32_t t = 0; t < p->graph->tensor.n; t++) {
        if (!p->place[t].stays) continue;
        uint32_t r = stay_root(p, t), made = made_in[xg_tensorp(p->graph, t)->producer];
        if (!slot[r]) {
            const xg_graph *g = p->place[r].flat ? p->flat : p->graph;
            xg_slice whole = xg_slice_whole(xg_tensorp(g, r), 0);
            v[n] = (stay){
                r, made, p->place[r].last,
                xg_fm_words(p->machine, &whole, xg_staying_interleave(p->graph, p->machine, r)), 0};
            slot[r] = ++n;
        }
        stay *s = &v[slot[r] - 1];
        if (made < s->first) s->first = made;
        if (p->place[t].last > s->last) s->last = p->place[t].last;
    }
    return n;
}

/* Returns the number of the first that does not fit, or n. */
static uint32_t fit(const xg_plan *p, stay *v, uint32_t n) {
    const stay **near = xg_newn(p->arena, const stay *, n + 1);
    qsort(v, n, sizeof *v, by_size);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t m = 0, at = 0;
        for (uint32_t j = 0; j < i; j++)
            if (v[j].first <= v[i].last && v[i].first <= v[j].last) near[m++] = &v[j];
        qsort(near, m, sizeof *near, by_place);
        for (uint32_t j = 0; j < m && near[j]->at < at + v[i].size; j++)
            if (near[j]->at + near[j]->size > at) at = near[j]->at + near[j]->size;
        if (at + v[i].size > p->machine->tile.fm_depth) return i;
        v[i].at = at;
    }
    return n;
}

uint32_t xg_place_staying(xg_plan *p) {
    uint32_t *made_in = xg_newn(p->arena, uint32_t, p->graph->node.n + 1);
    for (uint32_t gi = 0; gi < p->sel->group.n; gi++)
        for (uint32_t k = 0; k < p->sel->group.v[gi].nnode; k++)
            made_in[p->sel->group.v[gi].node[k]] = gi;
    stay *v = xg_newn(p->arena, stay, p->graph->tensor.n + 1);
    uint32_t n = collect(p, made_in, v), bad = fit(p, v, n);
    if (bad < n) return v[bad].tensor;
    for (uint32_t i = 0; i < n; i++) {
        p->place[v[i].tensor].chip_addr = p->machine->tile.fm_depth - v[i].at - v[i].size;
        p->place[v[i].tensor].last = v[i].last;
    }
    return XG_NONE;
}

/* Words that stay on chip while group gi runs. */
static uint32_t words_beside(const xg_plan *p, uint32_t gi) {
    uint32_t *made_in = xg_newn(p->arena, uint32_t, p->graph->node.n + 1), sum = 0;
    for (uint32_t g = 0; g < p->sel->group.n; g++)
        for (uint32_t k = 0; k < p->sel->group.v[g].nnode; k++)
            made_in[p->sel->group.v[g].node[k]] = g;
    stay *v = xg_newn(p->arena, stay, p->graph->tensor.n + 1);
    uint32_t n = collect(p, made_in, v);
    for (uint32_t i = 0; i < n; i++)
        if (v[i].first <= gi && gi <= v[i].last) sum += v[i].size;
    return sum;
}

void xg_restrategise(xg_plan *p, xg_group *grp, uint32_t gi) {
    const bool *ddr = xg_needs_ddr(p->sel, p->arena);
    uint32_t beside = words_beside(p, gi), depth = p->machine->tile.fm_depth;
    xg_surroundings env = {p->sel->on_chip, ddr, beside < depth ? depth - beside : 0, NULL};
    xg_strategy best;
    xg_estimate cost;
    if (!xg_best_strategy(xg_plan_graph(p, grp), p->machine, grp, &env, &best, &cost)) return;
    best.flat = grp->strategy.flat;
    grp->strategy = best;
    grp->settled = false;
    grp->cost_cycles = cost.cycles;
}
