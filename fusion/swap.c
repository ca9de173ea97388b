/* Swaps: what a built plan's selection becomes when one candidate takes its nodes from the groups
 * that have them. What is left of those groups becomes groups too; all others stay as they were
 * built.
 */
#include "fusion/ilp.h"

#include <stdlib.h>

enum {
    BEHIND_X256 = 333, /* a swap that costs more than 1.3 times what it replaces is none */
    PIECES = 32,       /* groups beside the candidate */
    STEPS = 1000       /* of the search for the cheapest pieces */
};

typedef struct swapper {
    const xg_ilp *s;
    const xg_selection *built;
    uint32_t *group_of;    /* [nodes] in built */
    int64_t *cost;         /* [cands] of the cheapest column; -1: none */
    uint32_t *head, *next; /* candidates by their first node */
    bool *open;            /* [groups of built] those that lose nodes */
    bool *left;            /* [nodes] to be covered by pieces */
    uint32_t piece[PIECES], npiece, best[PIECES], nbest;
    int64_t least; /* cost of best */
    uint32_t steps;
} swapper;

static swapper swapper_of(const xg_ilp *s, xg_arena *a, const xg_selection *built) {
    uint32_t n = s->g->node.n + 1;
    swapper w = {.s = s,
                 .built = built,
                 .group_of = xg_newn(a, uint32_t, n),
                 .cost = xg_newn(a, int64_t, s->cand.n + 1),
                 .head = xg_newn(a, uint32_t, n),
                 .next = xg_newn(a, uint32_t, s->cand.n + 1),
                 .open = xg_newn(a, bool, built->group.n + 1),
                 .left = xg_newn(a, bool, n)};
    for (uint32_t i = 0; i < built->group.n; i++)
        for (uint32_t k = 0; k < built->group.v[i].nnode; k++)
            w.group_of[built->group.v[i].node[k]] = i;
    for (uint32_t i = 0; i < n; i++) w.head[i] = XG_NONE;
    for (uint32_t i = s->cand.n; i-- > 0;) {
        w.cost[i] = -1;
        w.next[i] = w.head[s->cand.v[i].group.node[0]];
        w.head[s->cand.v[i].group.node[0]] = i;
    }
    for (uint32_t i = 0; i < s->var.n; i++) {
        int64_t *cost = &w.cost[s->var.v[i].cand];
        if (*cost < 0 || s->var.v[i].cost < *cost) *cost = s->var.v[i].cost;
    }
    return w;
}

/* The candidate is a group of what is built. */
static bool is_built(const swapper *w, uint32_t cand) {
    const xg_group *g = &w->s->cand.v[cand].group;
    uint32_t from = w->group_of[g->node[0]];
    for (uint32_t k = 1; k < g->nnode; k++)
        if (w->group_of[g->node[k]] != from) return false;
    return w->built->group.v[from].nnode == g->nnode;
}

static bool lies_in(const xg_group *g, const bool *set) {
    for (uint32_t k = 0; k < g->nnode; k++)
        if (!set[g->node[k]]) return false;
    return true;
}

static void put(const xg_group *g, bool *set, bool to) {
    for (uint32_t k = 0; k < g->nnode; k++) set[g->node[k]] = to;
}

/* The cheapest cover of what is left by candidates that lie in it, wherever their borders lie. */
static void search(swapper *w, uint32_t node, int64_t sum) {
    while (node < w->s->g->node.n && !w->left[node]) node++;
    if (sum >= w->least || w->steps == STEPS) return;
    w->steps++;
    if (node == w->s->g->node.n) {
        w->least = sum;
        w->nbest = w->npiece;
        for (uint32_t i = 0; i < w->npiece; i++) w->best[i] = w->piece[i];
        return;
    }
    if (w->npiece == PIECES) return;
    for (uint32_t c = w->head[node]; c != XG_NONE; c = w->next[c]) {
        const xg_group *g = &w->s->cand.v[c].group;
        if (w->cost[c] < 0 || !lies_in(g, w->left)) continue;
        put(g, w->left, false);
        w->piece[w->npiece++] = c;
        search(w, node + 1, sum + w->cost[c]);
        w->npiece--;
        put(g, w->left, true);
    }
}

/* The groups that candidate cand opens, and the pieces of what it leaves of them: least, best.
 * False when there are none, or they are dear. *before: cost of the groups that were built. */
static bool open_groups(swapper *w, uint32_t cand, int64_t *before) {
    const xg_group *g = &w->s->cand.v[cand].group;
    *before = 0;
    for (uint32_t i = 0; i < w->built->group.n; i++) w->open[i] = false;
    for (uint32_t k = 0; k < g->nnode; k++) w->open[w->group_of[g->node[k]]] = true;
    for (uint32_t i = 0; i < w->built->group.n; i++) {
        const xg_group *b = &w->built->group.v[i];
        if (!w->open[i]) continue;
        *before += (int64_t)b->cost_cycles * XG_ILP_CYCLE_WEIGHT;
        put(b, w->left, true);
    }
    put(g, w->left, false);
    w->least = *before * BEHIND_X256 / 256;
    w->nbest = w->npiece = w->steps = 0;
    int64_t limit = w->least;
    search(w, 0, w->cost[cand]);
    for (uint32_t i = 0; i < w->built->group.n; i++)
        if (w->open[i]) put(&w->built->group.v[i], w->left, false);
    return w->least < limit;
}

static int by_saving(const void *a, const void *b) {
    const xg_swap *x = a, *y = b;
    if (x->saves != y->saves) return x->saves > y->saves ? -1 : 1;
    return x->candidate < y->candidate ? -1 : x->candidate > y->candidate;
}

void xg_ilp_swaps(const xg_ilp *s, xg_arena *a, const xg_selection *built, xg_swaps *out) {
    swapper w = swapper_of(s, a, built);
    for (uint32_t i = 0; i < s->cand.n; i++) {
        int64_t before;
        if (w.cost[i] >= 0 && !is_built(&w, i) && open_groups(&w, i, &before))
            xg_push(a, out, (xg_swap){i, before - w.least});
    }
    if (out->n) qsort(out->v, out->n, sizeof *out->v, by_saving);
}

/* [tensors] Those that no open group makes or reads. */
static bool *apart_from(const swapper *w, xg_arena *a) {
    const xg_ilp *s = w->s;
    bool *apart = xg_newn(a, bool, s->g->tensor.n + 1);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        uint32_t made = xg_tensorp(s->g, t)->producer;
        apart[t] = made == XG_NONE || !w->open[w->group_of[made]];
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++)
            apart[t] = apart[t] && !w->open[w->group_of[s->c->uses.node[u]]];
    }
    return apart;
}

bool xg_ilp_restrict(xg_ilp *s, const xg_selection *built, const xg_swap *swap) {
    swapper w = swapper_of(s, s->a, built);
    bool *admit = xg_newn(s->a, bool, s->cand.n + 1);
    int64_t before;
    if (!open_groups(&w, swap->candidate, &before)) return false;
    for (uint32_t i = 0; i < s->cand.n; i++)
        admit[i] = is_built(&w, i) && !w.open[w.group_of[s->cand.v[i].group.node[0]]];
    admit[swap->candidate] = true;
    for (uint32_t i = 0; i < w.nbest; i++) admit[w.best[i]] = true;
    uint32_t n = 0;
    xg_var *v = xg_newn(s->a, xg_var, s->var.n + 1);
    s->stairs = xg_stairs_new(s->a, s->g->node.n);
    for (uint32_t i = 0; i < s->var.n; i++) {
        const xg_cand *c = &s->cand.v[s->var.v[i].cand];
        if (!admit[s->var.v[i].cand]) continue;
        v[n] = s->var.v[i];
        v[n].column = xg_stairs_add_col(s->stairs, v[n].cost, c->first, c->last);
        n++;
    }
    s->var.v = v;
    s->var.n = s->var.cap = n;
    return true;
}

void xg_ilp_keep_others(const xg_ilp *s, const xg_selection *built, const xg_swap *swap,
                        xg_selection *sel) {
    swapper w = swapper_of(s, s->a, built);
    const xg_group *g = &s->cand.v[swap->candidate].group;
    for (uint32_t k = 0; k < g->nnode; k++) w.open[w.group_of[g->node[k]]] = true;
    const bool *apart = apart_from(&w, s->a);
    for (uint32_t i = 0; i < sel->group.n; i++) {
        uint32_t from = w.group_of[sel->group.v[i].node[0]];
        if (w.open[from]) continue;
        sel->group.v[i].strategy = built->group.v[from].strategy;
        sel->group.v[i].settled = built->group.v[from].settled;
    }
    for (uint32_t t = 0; t < s->g->tensor.n; t++)
        if (apart[t]) sel->on_chip[t] = built->on_chip && built->on_chip[t];
}
