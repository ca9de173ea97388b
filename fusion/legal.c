/* The independent judge of selections. */
#include "fusion/flat.h"

#include <string.h>

/* All that is read inside the group is read only there. */
static const char *check_inner(const xg_selection *s, const xg_uses *uses, const xg_group *g) {
    const xg_graph *gr = s->graph;
    if (g->nnode == 1) return NULL;
    for (uint32_t k = 0; k < g->nnode; k++) {
        const xg_node *n = xg_nodep(gr, g->node[k]);
        xg_tile_kind kind = xg_node_tile_kind(gr, n);
        if (kind == XG_TK_CONCAT || kind == XG_TK_VIEW) return "concat and views stand alone";
        uint32_t t = n->out[0], readers = uses->first[t + 1] - uses->first[t], inside = 0;
        for (uint32_t u = uses->first[t]; u < uses->first[t + 1]; u++)
            for (uint32_t j = k + 1; j < g->nnode; j++) inside += uses->node[u] == g->node[j];
        if (xg_group_returns(g, g->node[k]) && !inside) continue;
        if (!readers || inside != readers || xg_tensorp(gr, t)->is_output)
            return "an inner tensor is read outside the group";
    }
    return NULL;
}

/* Several results are cut into the same tiles. */
static const char *check_results(const xg_graph *gr, const xg_group *g) {
    const uint32_t *result;
    uint32_t n = xg_group_results(g, &result);
    int64_t d[4], other[4];
    if (n == 1) return NULL;
    if (n > XG_GROUP_RESULTS) return "it has more than 8 results";
    if (g->strategy.split == XG_SPLIT_CHANNELS || g->strategy.fold)
        return "a group with several results is neither split by channels nor folded";
    xg_dims4(xg_out(gr, xg_nodep(gr, result[0]), 0), d);
    for (uint32_t i = 1; i < n; i++) {
        xg_dims4(xg_out(gr, xg_nodep(gr, result[i]), 0), other);
        if (memcmp(d, other, 3 * sizeof *d)) return "its results' maps differ in size";
    }
    return NULL;
}

/* The groups' order is one in which they can run; so no path leaves a group and comes back. */
static xg_status check_order(xg_arena *a, const xg_selection *s) {
    const xg_graph *gr = s->graph;
    uint32_t *group_of = xg_newn(a, uint32_t, gr->node.n + 1);
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < s->group.n; i++)
        for (uint32_t k = 0; k < s->group.v[i].nnode; k++) group_of[s->group.v[i].node[k]] = i;
    for (uint32_t i = 0; i < gr->node.n; i++)
        for (uint32_t k = 0; k < xg_nodep(gr, i)->nin; k++) {
            const xg_tensor *t = xg_in(gr, xg_nodep(gr, i), k);
            if (t && t->producer != XG_NONE && group_of[t->producer] > group_of[i])
                st = xg_error(xg_arena_ctx(a), XG_INPUT, xg_nodep(gr, i)->name,
                              "group %u runs before group %u, from which it reads '%s'",
                              group_of[i], group_of[t->producer], t->name);
        }
    return st;
}

static const char *check_strategy(xg_arena *a, const xg_graph *gr, const xg_machine *m,
                                  const xg_group *g) {
    const xg_strategy *t = &g->strategy;
    uint32_t unit = (uint32_t)xg_max(m->tile.ocp, m->tile.icp);
    if (t->tile_oc % unit)
        return xg_strf(a, "the tile's %u channels are no multiple of the array's %u", t->tile_oc,
                       unit);
    if (t->fold && (!xg_may_fold(gr, m, g->node[0]) || t->tile_ic))
        return "its first node cannot be folded";
    if (t->batched && t->split != XG_SPLIT_IMAGE)
        return "only images that cores share can pass it batched";
    if (t->tile_ic % m->tile.icp)
        return xg_strf(a, "a chunk of %u is no multiple of the array's %u input channels",
                       t->tile_ic, m->tile.icp);
    return NULL;
}

/* What the node reads for one pixel of its result is that pixel, or an operand's only one. */
static bool keeps_pixel(const xg_graph *g, const xg_node *n, uint32_t operand, uint32_t h,
                        uint32_t w) {
    int64_t d[4];
    xg_slice one = {0, h, h + 1, w, w + 1, 0, 1};
    xg_slice need = xg_need(g, n, operand, &one);
    xg_dims4(xg_in(g, n, operand), d);
    bool only = d[1] * d[2] == 1;
    return need.h1 - need.h0 == 1 && need.w1 - need.w0 == 1 &&
           (only || (need.h0 == h && need.w0 == w));
}

/* The judge's own view of what may be flat: by what nodes read, not by what they are. */
static const char *check_flat(const xg_graph *g, const xg_uses *uses, const xg_group *grp) {
    int64_t d[4], x[4];
    xg_group_dims(g, grp, d);
    for (uint32_t k = 0; k < grp->nnode; k++) {
        const xg_node *n = xg_nodep(g, grp->node[k]);
        xg_tile_kind kind = xg_node_tile_kind(g, n);
        if (kind == XG_TK_CONCAT || kind == XG_TK_VIEW || kind == XG_TK_POOL)
            return "a group with it cannot be flat";
        for (uint32_t o = 0; o < (kind == XG_TK_ELEW ? 2 : 1); o++) {
            xg_dims4(xg_in(g, n, o), x);
            bool same = (x[1] == d[1] && x[2] == d[2]) || x[1] * x[2] == 1;
            if (!same || !keeps_pixel(g, n, o, 0, 0) ||
                !keeps_pixel(g, n, o, (uint32_t)d[1] - 1, (uint32_t)d[2] - 1))
                return "a flat group takes every pixel by itself, and this node does not";
        }
    }
    return xg_flat_refuses(g, uses, grp);
}

/* What lies in a concat's result on chip lies there in its own rows, beside others. */
static xg_status check_views(xg_arena *a, const xg_selection *s, const xg_uses *uses) {
    const xg_graph *g = s->graph;
    bool *flat = xg_newn(a, bool, g->tensor.n + 1);
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < s->group.n; i++)
        for (uint32_t k = 0; k < s->group.v[i].nnode; k++)
            flat[xg_nodep(g, s->group.v[i].node[k])->out[0]] = s->group.v[i].strategy.flat;
    for (uint32_t t = 0; s->on_chip && t < g->tensor.n; t++)
        for (uint32_t u = uses->first[t]; u < uses->first[t + 1]; u++) {
            const xg_node *n = xg_nodep(g, uses->node[u]);
            if (!flat[t] || n->op != XG_OP_Concat || !s->on_chip[t] || !s->on_chip[n->out[0]])
                continue;
            st = xg_error(xg_arena_ctx(a), XG_INPUT, s->path ? s->path : "",
                          "tensor '%s' is flat and cannot lie in '%s' on chip",
                          xg_tensorp(g, t)->name, xg_out(g, n, 0)->name);
        }
    return st;
}

xg_status xg_selection_check(xg_arena *a, const xg_selection *s, const xg_machine *m) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_uses uses = xg_graph_uses(s->graph, a);
    xg_status st = check_order(a, s);
    const bool *may = xg_may_stay(s, m, a);
    for (uint32_t t = 0; s->on_chip && t < s->graph->tensor.n; t++)
        if (s->on_chip[t] && !may[t])
            st = xg_error(c, XG_INPUT, s->path ? s->path : "", "tensor '%s' cannot stay on chip",
                          xg_tensorp(s->graph, t)->name);
    for (uint32_t i = 0; i < s->group.n; i++) {
        const xg_group *g = &s->group.v[i];
        if (g->where == XG_ON_HOST) continue;
        const char *why = NULL, *name = xg_nodep(s->graph, g->node[0])->name;
        for (uint32_t k = 0; k < g->nnode && !why; k++) {
            why = xg_tile_refuses(a, s->graph, m, g->node[k]);
            if (why) name = xg_nodep(s->graph, g->node[k])->name;
        }
        if (!why) why = check_inner(s, &uses, g);
        if (!why) why = check_results(s->graph, g);
        if (!why) why = check_strategy(a, s->graph, m, g);
        if (!why && g->strategy.flat) why = check_flat(s->graph, &uses, g);
        if (why)
            st = xg_error(c, XG_INPUT, g->line ? xg_strf(a, "%s:%u", s->path, g->line) : "",
                          "group %u with '%s' is not possible: %s", i, name, why);
    }
    return st == XG_OK ? check_views(a, s, &uses) : st;
}
