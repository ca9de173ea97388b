/* What built plans have shown: the cycles of their groups as costs of columns.
 *
 * An estimate does not know what groups do for each other: weights that come while the group before
 * computes, waits for room, tiles that the planner had to take instead. A plan does. So its groups
 * become columns, with the strategies that were built, at what they took there. Columns that no
 * plan has shown keep their order among themselves, but are corrected as their nodes were on the
 * average; else the solver would leave what is known for what is merely hoped.
 */
#include "fusion/ilp.h"

typedef struct learner {
    xg_ilp *s;
    uint32_t *head, *next;      /* candidates by their first node */
    double *took, *expected;    /* [nodes] cycles in the best plan, equal parts of their groups' */
    uint32_t *seen_head;        /* [cands] columns from plans, XG_NONE */
    XG_VEC(uint32_t) seen_next; /* [columns - nvar] */
} learner;

static void index_candidates(learner *k) {
    xg_ilp *s = k->s;
    k->head = xg_newn(s->a, uint32_t, s->g->node.n + 1);
    k->next = xg_newn(s->a, uint32_t, s->cand.n + 1);
    for (uint32_t i = 0; i < s->g->node.n; i++) k->head[i] = XG_NONE;
    for (uint32_t i = s->cand.n; i-- > 0;) {
        uint32_t *head = &k->head[s->cand.v[i].group.node[0]];
        k->next[i] = *head;
        *head = i;
    }
}

static uint32_t candidate_of(const learner *k, const xg_group *g) {
    for (uint32_t i = k->head[g->node[0]]; i != XG_NONE; i = k->next[i]) {
        const xg_group *c = &k->s->cand.v[i].group;
        uint32_t same = 0;
        while (same < g->nnode && c->nnode == g->nnode && c->node[same] == g->node[same]) same++;
        if (same == g->nnode) return k->s->cand.v[i].barred ? XG_NONE : i;
    }
    return XG_NONE;
}

bool xg_same_strategy(const xg_strategy *a, const xg_strategy *b) {
    return a->tile_h == b->tile_h && a->tile_w == b->tile_w && a->tile_oc == b->tile_oc &&
           a->tile_ic == b->tile_ic && a->order == b->order && a->split == b->split &&
           a->fold == b->fold && a->weights_resident == b->weights_resident && a->keep == b->keep &&
           a->batched == b->batched && a->flat == b->flat;
}

/* The column of a built group; false when the program cannot say where its borders lie. */
static bool column_of(const learner *k, const xg_selection *sel, const bool *ddr, const xg_group *g,
                      xg_var *v) {
    const xg_ilp *s = k->s;
    xg_parts p;
    xg_estimate_parts(xg_seen_by(s->g, s->flat, &g->strategy), s->m, g, &g->strategy, &p);
    v->strategy = g->strategy;
    uint32_t stays = 0;
    for (uint32_t i = 0; p.valid && i < p.nin; i++) {
        bool here = sel->on_chip && sel->on_chip[p.in[i].tensor];
        if (here && !s->choice[p.in[i].tensor]) return false;
        if (here) stays += xg_ilp_whole_words(s, p.in[i].tensor);
        v->chip_in |= (uint32_t)here << i;
    }
    for (uint32_t i = 0; p.valid && i < p.nout; i++) {
        bool here = sel->on_chip && sel->on_chip[p.out[i].tensor];
        if (here && !s->choice[p.out[i].tensor]) return false;
        if (here) stays += xg_ilp_whole_words(s, p.out[i].tensor);
        v->chip_out |= (uint32_t)here << i;
        v->to_ddr |= (uint32_t)(!here || ddr[p.out[i].tensor]) << i;
    }
    xg_estimate_sum(s->m, &p, v->chip_in, v->chip_out, v->to_ddr, s->m->tile.fm_depth, &v->est);
    uint32_t room = stays < s->m->tile.fm_depth ? s->m->tile.fm_depth - stays : 0;
    if (v->est.fm_words > room) v->est.fm_words = room;             /* it was built */
    if (v->strategy.batched) v->est.fm_words = s->m->tile.fm_depth; /* nothing stays meanwhile */
    return p.valid;
}

static bool same_column(const xg_var *a, const xg_var *b) {
    return a->cand == b->cand && a->chip_in == b->chip_in && a->chip_out == b->chip_out &&
           a->to_ddr == b->to_ddr && xg_same_strategy(&a->strategy, &b->strategy);
}

static int64_t cost_at(const xg_ilp *s, const xg_var *v, double cycles) {
    xg_estimate e = v->est;
    e.cycles = (uint64_t)cycles;
    return xg_ilp_cost(s->m, &e);
}

/* What the group takes beside others: in the plan some of its work may have been hidden behind
 * theirs, but one engine does not work faster. */
static uint64_t least_cycles(uint64_t took, const xg_estimate *e) {
    if (e->conv > took) took = e->conv;
    return e->misc > took ? e->misc : took;
}

static void note_nodes(learner *k, const xg_group *g, const xg_var *v, uint64_t took) {
    for (uint32_t i = 0; i < g->nnode; i++) {
        k->took[g->node[i]] = (double)took / g->nnode;
        k->expected[g->node[i]] = (double)v->est.cycles / g->nnode;
    }
}

/* The column from a plan that is the same, or XG_NONE. */
static uint32_t find_seen(const learner *k, const xg_var *v) {
    uint32_t at = k->seen_head[v->cand];
    while (at != XG_NONE && !same_column(&k->s->var.v[at], v)) at = k->seen_next.v[at - k->s->nvar];
    return at;
}

/* The group's column in sel, at the cycles that it took; a newer plan's stands. */
static void add_column(learner *k, const xg_selection *sel, const bool *ddr, const xg_group *g,
                       uint64_t cycles, bool best) {
    xg_ilp *s = k->s;
    xg_tile_kind kind = xg_node_tile_kind(s->g, xg_nodep(s->g, g->node[0]));
    if (g->where != XG_ON_ACCEL || kind == XG_TK_CONCAT || kind == XG_TK_VIEW) return;
    xg_var v = {.cand = candidate_of(k, g), .settled = g->settled};
    if (v.cand == XG_NONE || !column_of(k, sel, ddr, g, &v)) return;
    cycles = least_cycles(cycles, &v.est);
    if (best) note_nodes(k, g, &v, cycles);
    if (find_seen(k, &v) != XG_NONE) return;
    v.cost = v.estimated = cost_at(s, &v, (double)cycles);
    v.est.cycles = cycles;
    xg_push(s->a, &k->seen_next, k->seen_head[v.cand]);
    k->seen_head[v.cand] = s->var.n;
    xg_push(s->a, &s->var, v);
}

/* The groups of a plan as they were built and as they were asked for: where the planner took
 * smaller tiles, or sent a tensor to DDR, what was asked for comes to what was built. */
static void add_plan(learner *k, const xg_seen *plan, bool best) {
    const xg_selection *built = plan->built, *asked = plan->asked;
    const bool *ddr = xg_needs_ddr(built, k->s->a), *asked_ddr = xg_needs_ddr(asked, k->s->a);
    bool alike = asked->group.n == built->group.n; /* no group was taken apart */
    for (uint32_t i = 0; i < built->group.n; i++) {
        const xg_group *g = &built->group.v[i];
        add_column(k, built, ddr, g, g->cost_cycles, best);
        if (alike) add_column(k, asked, asked_ddr, &asked->group.v[i], g->cost_cycles, false);
    }
}

/* Columns that candidates have by themselves. */
static void correct(learner *k) {
    enum { LEAST = 2, MOST = 3 }; /* a half to three times */
    xg_ilp *s = k->s;
    for (uint32_t i = 0; i < s->nvar; i++) {
        xg_var *v = &s->var.v[i];
        const xg_group *g = &s->cand.v[v->cand].group;
        double took = 0, expected = 0;
        for (uint32_t n = 0; n < g->nnode; n++)
            took += k->took[g->node[n]], expected += k->expected[g->node[n]];
        double ratio = expected > 0 ? took / expected : 1;
        ratio = ratio < 1.0 / LEAST ? 1.0 / LEAST : ratio > MOST ? MOST : ratio;
        int64_t more =
            cost_at(s, v, (double)v->est.cycles * ratio) - cost_at(s, v, (double)v->est.cycles);
        uint32_t seen = find_seen(k, v);
        v->cost = seen != XG_NONE ? s->var.v[seen].cost : v->estimated + more;
        v->settled = seen != XG_NONE && s->var.v[seen].settled;
    }
}

static uint64_t cycles_of(const xg_selection *s) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->group.n; i++) sum += s->group.v[i].cost_cycles;
    return sum;
}

void xg_ilp_learn(xg_ilp *s, const xg_seen *seen, uint32_t nseen) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < nseen; i++)
        if (cycles_of(seen[i].built) < cycles_of(seen[best].built)) best = i;
    learner k = {.s = s};
    index_candidates(&k);
    k.took = xg_newn(s->a, double, s->g->node.n + 1);
    k.expected = xg_newn(s->a, double, s->g->node.n + 1);
    k.seen_head = xg_newn(s->a, uint32_t, s->cand.n + 1);
    for (uint32_t i = 0; i < s->cand.n; i++) k.seen_head[i] = XG_NONE;
    s->var.n = s->nvar;
    for (uint32_t i = nseen; i-- > 0;) add_plan(&k, &seen[i], i == best);
    correct(&k);
    s->stairs = xg_stairs_new(s->a, s->g->node.n);
    for (uint32_t i = 0; i < s->var.n; i++) {
        xg_var *v = &s->var.v[i];
        const xg_cand *c = &s->cand.v[v->cand];
        v->column = xg_stairs_add_col(s->stairs, v->cost, c->first, c->last);
    }
}
