/* The list of strategies that are tried for a group, and the cheapest of them. */
#include "fusion/estimate.h"

#include <string.h>

typedef struct options {
    uint32_t v[24];
    uint32_t n;
} options;

static void add_option(options *o, uint32_t v) {
    for (uint32_t i = 0; i < o->n; i++)
        if (o->v[i] == v) return;
    if (o->n < XG_COUNT(o->v)) o->v[o->n++] = v;
}

/* total split in 1, 2, 3 ... equal parts, each a multiple of unit, down to one unit. */
static options parts(uint32_t total, uint32_t unit, uint32_t most) {
    options o = {{0}, 0};
    for (uint32_t k = 1; k <= most; k = k < 4 ? k + 1 : k + k / 2) {
        uint32_t each = (uint32_t)xg_ceil_div(xg_ceil_div(total, k), unit) * unit;
        add_option(&o, each);
        if (each <= unit) break;
    }
    add_option(&o, unit);
    return o;
}

typedef struct search {
    const xg_graph *g;
    const xg_machine *m;
    const xg_group *grp;
    const xg_surroundings *env;
    bool conv, found, may_fold;
    bool keeps,
        keeps_inside; /* rows of an input, of an inner tensor can be held from tile to tile */
    bool siblings;    /* several results: tiles with all channels, split by rows or images */
    uint32_t in_channels;
    int64_t d[4];
    xg_strategy best;
    xg_estimate cost;
    void (*each)(void *arg, const xg_strategy *s); /* instead of keeping the cheapest */
    void *arg;
} search;

/* Where tiles go down once for each block of channels, each time in a ring of its own, the last
 * rows of one ring and the first of the next wait for each other: nothing is kept there. */
static void consider(search *s, const xg_strategy *tried) {
    xg_strategy plain = *tried;
    const xg_strategy *st = &plain;
    xg_estimate e;
    plain.keep &= st->order == XG_MAP_STATIONARY || st->tile_oc >= s->d[3];
    if (s->each) {
        s->each(s->arg, st);
        return;
    }
    xg_estimate_group(s->g, s->m, s->grp, st, s->env, &e);
    if (!e.fits || (s->found && e.cycles >= s->cost.cycles)) return;
    s->found = true;
    s->best = *st;
    s->cost = e;
}

static void try_one_pass(search *s, xg_strategy st) {
    st.order = XG_MAP_STATIONARY;
    consider(s, &st);
    if (!s->conv) return;
    st.weights_resident = true;
    consider(s, &st);
    if (s->siblings) return;
    st.weights_resident = false;
    st.order = XG_WEIGHT_STATIONARY;
    consider(s, &st);
}

/* Batched too, where a core has several images whose weights could stay. */
static void try_loops(search *s, xg_strategy st) {
    try_one_pass(s, st);
    bool may = st.split == XG_SPLIT_IMAGE && s->conv && s->d[0] > s->m->cores;
    if (!may || (s->env && (s->env->on_chip || s->env->fm_words < s->m->tile.fm_depth))) return;
    st.batched = true;
    try_one_pass(s, st);
}

/* Rows of inputs that two tiles need are better kept; with those of inner tensors it depends on the
 * room. */
static void try_kept(search *s, xg_strategy st) {
    bool may = s->keeps && !st.tile_ic && st.tile_h < s->d[1];
    if (!may || s->keeps_inside) try_loops(s, st);
    st.keep = true;
    if (may) try_loops(s, st);
}

/* Folded too, where that may be. */
static void try_orders(search *s, xg_strategy st) {
    try_kept(s, st);
    if (!s->may_fold || st.tile_ic) return;
    st.fold = true;
    try_kept(s, st);
}

static void try_tiles(search *s, xg_split split, uint32_t tile_ic) {
    uint32_t pp = s->m->tile.pp, unit = (uint32_t)xg_max(s->m->tile.ocp, s->m->tile.icp),
             cores = s->m->cores;
    uint32_t rows = (uint32_t)s->d[1], cols = (uint32_t)s->d[2], ch = (uint32_t)s->d[3];
    if (split == XG_SPLIT_ROWS)
        rows = (uint32_t)xg_min((int64_t)xg_ceil_div(xg_ceil_div(rows, pp), cores) * pp, rows);
    if (split == XG_SPLIT_CHANNELS)
        ch = (uint32_t)xg_min((int64_t)xg_ceil_div(xg_ceil_div(ch, unit), cores) * unit, ch);
    options h = parts(rows, pp, 64), w = parts(cols, 1, 512), c = parts(ch, unit, 128);
    for (uint32_t k = 0; k < w.n; k++) {
        for (uint32_t i = 0; i < h.n; i++)
            for (uint32_t j = 0; j < c.n; j++)
                try_orders(s, (xg_strategy){.tile_h = h.v[i],
                                            .tile_w = w.v[k],
                                            .tile_oc = c.v[j],
                                            .tile_ic = tile_ic,
                                            .split = split});
        if ((s->found || s->each) && k >= 2)
            break; /* very narrow columns only when wide ones do not fit */
    }
}

/* Where tiles with all input channels do not fit, or are narrow, chunks of these: the smaller they
 * are, the wider tiles may be. */
static void try_chunks(search *s, xg_split split) {
    try_tiles(s, split, 0);
    bool wide = s->found && s->best.tile_w >= s->d[2];
    if (wide || !s->conv || s->siblings) return;
    for (uint32_t k = 2;; k *= 2) {
        uint32_t icp = s->m->tile.icp;
        uint32_t chunk = (uint32_t)xg_ceil_div(xg_ceil_div(s->in_channels, k), icp) * icp;
        try_tiles(s, split, chunk);
        if (chunk <= icp) break;
    }
}

static search begin(const xg_graph *g, const xg_machine *m, const xg_group *grp) {
    search s = {.g = g, .m = m, .grp = grp};
    const xg_node *first = xg_nodep(g, grp->node[0]);
    xg_group_dims(g, grp, s.d);
    s.siblings = grp->nresult > 1;
    for (uint32_t k = 0; k < grp->nnode; k++)
        s.conv |= xg_node_tile_kind(g, xg_nodep(g, grp->node[k])) == XG_TK_CONV;
    int64_t in[4];
    xg_dims4(xg_in(g, first, 0), in);
    s.in_channels = (uint32_t)in[3];
    s.keeps_inside = xg_group_keeps(g, grp->node, grp->nnode, true);
    s.keeps = s.keeps_inside || xg_group_keeps(g, grp->node, grp->nnode, false);
    s.may_fold = !s.siblings && xg_may_fold(g, m, grp->node[0]);
    return s;
}

static bool image_a_core(const search *s) {
    return s->m->cores == 1 || s->d[0] >= s->m->cores;
}

void xg_each_strategy(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                      void (*fn)(void *arg, const xg_strategy *s), void *arg) {
    search s = begin(g, m, grp);
    s.each = fn;
    s.arg = arg;
    if (image_a_core(&s)) {
        try_tiles(&s, XG_SPLIT_IMAGE, 0);
        return;
    }
    try_tiles(&s, XG_SPLIT_ROWS, 0);
    if (!s.siblings) try_tiles(&s, XG_SPLIT_CHANNELS, 0);
}

bool xg_best_strategy(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                      const xg_surroundings *env, xg_strategy *best, xg_estimate *cost) {
    search s = begin(g, m, grp);
    s.env = env;
    if (image_a_core(&s))
        try_chunks(&s, XG_SPLIT_IMAGE);
    else {
        try_chunks(&s, XG_SPLIT_ROWS);
        search other = s;
        other.found = false;
        if (!s.siblings) try_chunks(&other, XG_SPLIT_CHANNELS);
        if (other.found && (!s.found || other.cost.cycles < s.cost.cycles)) s = other;
    }
    *best = s.best;
    *cost = s.cost;
    return s.found;
}
