/* Cycles that the CONV engines need at least, because rows fill row groups and channels fill words
 * and blocks: the bound of a network's shapes on an array, before any plan. */
#include "validate/report_inner.h"

#include "isa/timing.h"

/* Of one image on one core: whole row groups by whole output blocks, no pixel twice, one piece of
 * each row. Pixels of a 1x1 convolution may be seen as rows of any length. Few input channels may
 * have kernel columns beside them in their words. */
static uint64_t conv_cycles(const xg_graph *g, const xg_node *n, const xg_machine *m) {
    const xg_tile_machine *t = &m->tile;
    const xg_window w = xg_node_window(n);
    const int64_t *y = xg_out(g, n, 0)->dim, ic = xg_in(g, n, 1)->dim[3];
    int64_t rows = xg_ceil_div(y[1], t->pp), cols = y[2], kw = w.kw,
            words = xg_ceil_div(ic, t->icp);
    if (w.kh == 1 && w.kw == 1) rows = 1, cols = xg_ceil_div(y[1] * y[2], t->pp);
    if (ic * 2 <= t->icp && w.dw == 1) kw = 1, words = xg_ceil_div(w.kw * ic, t->icp);
    uint64_t one = xg_time_conv(m, (uint32_t)w.kh, (uint32_t)kw, (uint32_t)w.sh, (uint32_t)w.sh,
                                (uint32_t)words, t->pp, (uint32_t)cols, false, false);
    return one * (uint64_t)(rows * xg_ceil_div(y[3], t->ocp) * y[0]);
}

static bool is_depthwise(const xg_graph *g, const xg_node *n) {
    return xg_in(g, n, 1)->dim[3] == 1 && xg_ai(n, XG_ATTR_group) > 1 &&
           xg_in(g, n, 1)->dim[0] == xg_ai(n, XG_ATTR_group);
}

uint64_t xg_report_array_fit(const xg_machine *m, const xg_report_options *o) {
    uint64_t cycles = 0;
    for (uint32_t i = 0; o->graph && i < o->ngroup; i++)
        for (uint32_t k = 0; !o->group[i].host_reason && k < o->group[i].nnode; k++) {
            const xg_node *n = xg_nodep(o->graph, o->group[i].node[k]);
            if (n->op == XG_OP_Conv && xg_out(o->graph, n, 0)->rank == 4 &&
                !is_depthwise(o->graph, n))
                cycles += conv_cycles(o->graph, n, m);
        }
    return cycles / (m->cores ? m->cores : 1);
}
