/* The tail of a network on several cores. While maps are large and weights few, each core works on
 * its own image; towards the end weights are many and every core would load all of them. From some
 * group on, cores then share each group by output channels, for all images, and meet after each
 * group: weights are loaded once in all, maps once a core. */
#include "layout/plan_types.h"

#include <string.h>

static uint64_t map_bytes(const xg_tensor *t) {
    int64_t d[4];
    xg_dims4(t, d);
    return (uint64_t)(d[0] * d[1] * d[2] * d[3]);
}

/* DDR bytes that a group saves when its cores share channels; negative when it costs more. */
static int64_t saved(const xg_graph *g, const xg_group *grp, uint32_t cores) {
    int64_t sum = 0;
    for (uint32_t k = 0; k < grp->nnode; k++) {
        const xg_node *n = xg_nodep(g, grp->node[k]);
        xg_tile_kind kind = xg_node_tile_kind(g, n);
        if (kind == XG_TK_VIEW) continue;
        if (kind == XG_TK_CONV) sum += (int64_t)xg_tensor_elems(xg_in(g, n, 1)) * (cores - 1);
        sum -= (int64_t)map_bytes(xg_in(g, n, 0)) * (kind == XG_TK_CONV ? cores : 1);
        sum -= (int64_t)map_bytes(xg_out(g, n, 0));
    }
    return sum;
}

uint32_t xg_tail_border(const xg_selection *s, const xg_machine *m) {
    int64_t sum = 0, most = 0;
    uint32_t border = s->group.n;
    for (uint32_t i = m->cores > 1 ? s->group.n : 0; i-- > 0;) {
        const xg_group *g = &s->group.v[i];
        if (g->where != XG_ON_ACCEL) continue;
        if (g->strategy.split != XG_SPLIT_IMAGE) return s->group.n;
        sum += saved(s->graph, g, m->cores);
        if (sum > most) most = sum, border = i;
    }
    return border;
}

/* One convolution, at most, and in front; one result. */
static bool channels_stay_apart(const xg_graph *g, const xg_group *grp) {
    if (grp->nresult > 1) return false;
    for (uint32_t k = 1; k < grp->nnode; k++)
        if (xg_node_tile_kind(g, xg_nodep(g, grp->node[k])) == XG_TK_CONV) return false;
    return true;
}

static void share_channels(const xg_graph *g, const xg_machine *m, xg_group *grp) {
    int64_t d[4];
    xg_group_dims(g, grp, d);
    grp->strategy = (xg_strategy){.split = XG_SPLIT_CHANNELS,
                                  .order = XG_WEIGHT_STATIONARY,
                                  .tile_h = (uint32_t)d[1],
                                  .tile_w = (uint32_t)d[2],
                                  .tile_oc = (uint32_t)xg_max(m->tile.ocp, m->tile.icp)};
}

static void add_group(xg_selection *out, const xg_group *grp, const xg_machine *m, xg_arena *a,
                      bool tail) {
    bool whole = !tail || grp->where != XG_ON_ACCEL || channels_stay_apart(out->graph, grp);
    for (uint32_t k = 0; k < (whole ? 1 : grp->nnode); k++) {
        xg_group one = *grp;
        if (!whole) {
            one.nnode = 1;
            one.nresult = 0;
            one.node = &grp->node[k];
            one.pattern = "single";
        }
        if (tail && grp->where == XG_ON_ACCEL) share_channels(out->graph, m, &one);
        xg_push(a, &out->group, one);
    }
}

/* What the tail makes or reads goes through DDR, and what lies with it in a concat's result. */
static void send_to_ddr(xg_selection *s, uint32_t border, const uint32_t *parent) {
    for (uint32_t i = border; i < s->group.n; i++)
        for (uint32_t k = 0; k < s->group.v[i].nnode; k++) {
            const xg_node *n = xg_nodep(s->graph, s->group.v[i].node[k]);
            s->on_chip[n->out[0]] = false;
            for (uint32_t j = 0; j < n->nin; j++)
                if (n->in[j] != XG_NONE) s->on_chip[n->in[j]] = false;
        }
    for (uint32_t t = 0; t < s->graph->tensor.n; t++)
        for (uint32_t r = t; parent[r] != XG_NONE;) {
            r = parent[r];
            if (!s->on_chip[r]) s->on_chip[t] = false;
        }
}

bool xg_share_tail(xg_arena *a, const xg_selection *s, const xg_machine *m, uint32_t border,
                   xg_selection *out) {
    if (border >= s->group.n) return false;
    uint32_t first = 0;
    *out = *s;
    memset(&out->group, 0, sizeof out->group);
    for (uint32_t i = 0; i < s->group.n; i++) {
        if (i == border) first = out->group.n;
        add_group(out, &s->group.v[i], m, a, i >= border);
    }
    if (s->on_chip) {
        out->on_chip = xg_memdup(a, s->on_chip, s->graph->tensor.n);
        send_to_ddr(out, first, xg_concat_parents(out, a));
    }
    return true;
}
