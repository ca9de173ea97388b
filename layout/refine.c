/* Strategies near a given one: one of its numbers changed. */
#include "layout/plan_types.h"

typedef struct list {
    xg_strategy *v;
    uint32_t n;
    const xg_strategy *from;
} list;

static void add(list *l, xg_strategy s) {
    if (l->n < XG_NEIGHBOURS) l->v[l->n++] = s;
}

static void with_height(list *l, uint32_t h, uint32_t rows) {
    xg_strategy s = *l->from;
    s.tile_h = h < rows ? h : rows;
    if (h && s.tile_h != l->from->tile_h) add(l, s);
}

static void with_width(list *l, uint32_t w, uint32_t cols) {
    xg_strategy s = *l->from;
    s.tile_w = w < cols ? w : cols;
    if (w && s.tile_w != l->from->tile_w) add(l, s);
}

static void with_channels(list *l, uint32_t c, uint32_t most, uint32_t unit) {
    xg_strategy s = *l->from;
    c = (uint32_t)xg_ceil_div(c, unit) * unit;
    most = (uint32_t)xg_ceil_div(most, unit) * unit;
    s.tile_oc = c < most ? c : most;
    if (c && s.tile_oc != l->from->tile_oc) add(l, s);
}

/* The last node is a window over a convolution's rows: heights for which these fill whole row
 * groups. */
static void with_whole_row_groups(list *l, const xg_graph *g, const xg_machine *m,
                                  const xg_group *grp, uint32_t h, uint32_t rows) {
    const xg_node *last = xg_nodep(g, grp->node[grp->nnode - 1]);
    xg_tile_kind kind = xg_node_tile_kind(g, last);
    if (grp->nnode < 2 || (kind != XG_TK_POOL && kind != XG_TK_DW)) return;
    xg_window w = xg_node_window(last);
    int32_t extent = (w.kh - 1) * w.dh + 1, pp = (int32_t)m->tile.pp;
    int32_t most = ((int32_t)h - 1) * w.sh + extent;
    for (int32_t groups = most / pp; groups > 0; groups /= 2)
        if (groups * pp >= extent)
            with_height(l, (uint32_t)((groups * pp - extent) / w.sh + 1), rows);
}

uint32_t xg_strategy_neighbours(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                                xg_strategy out[XG_NEIGHBOURS]) {
    const xg_strategy *s = &grp->strategy;
    list l = {out, 0, s};
    int64_t d[4];
    xg_group_dims(g, grp, d);
    uint32_t rows = (uint32_t)d[1], cols = (uint32_t)d[2], ch = (uint32_t)d[3];
    uint32_t pp = m->tile.pp, unit = (uint32_t)xg_max(m->tile.ocp, m->tile.icp);
    uint32_t h = s->tile_h ? s->tile_h : rows, w = s->tile_w ? s->tile_w : cols;
    uint32_t c = s->tile_oc ? s->tile_oc : ch;
    with_whole_row_groups(&l, g, m, grp, h, rows);
    if (h > pp) with_height(&l, (uint32_t)xg_ceil_div(h / 2, pp) * pp, rows);
    with_height(&l, (uint32_t)xg_ceil_div(2 * (int64_t)h, pp) * pp, rows);
    if (w > 1) with_width(&l, (w + 1) / 2, cols);
    with_width(&l, 2 * w, cols);
    if (c > unit) with_channels(&l, c / 2, ch, unit);
    with_channels(&l, 2 * c, ch, unit);
    xg_strategy other = *s;
    other.order = s->order == XG_MAP_STATIONARY ? XG_WEIGHT_STATIONARY : XG_MAP_STATIONARY;
    add(&l, other);
    other = *s;
    other.weights_resident = !s->weights_resident;
    add(&l, other);
    other = *s;
    other.keep = !s->keep;
    if (h < rows && (xg_group_keeps(g, grp->node, grp->nnode, true) ||
                     xg_group_keeps(g, grp->node, grp->nnode, false)))
        add(&l, other);
    return l.n;
}
