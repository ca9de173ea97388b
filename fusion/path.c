/* Covers by groups that do not depend on each other.
 *
 * A group has one result, which its last node makes, and every other node in it is read inside
 * only. So the post-dominator of each of its nodes but the last is in the group too: the group is a
 * connected part of the post-dominator tree, with its last node on top, and
 *
 *     best(v) = min over candidates S with v on top of
 *               cost(S) + sum of best(c) over children c of nodes of S that are not in S.
 *
 * The optimum is the sum of best over the tree's roots. Where the network is a chain this is a
 * shortest path, hence the strategy's name.
 */
#include "fusion/ilp.h"

typedef struct tree {
    const xg_graph *g;
    uint32_t *up;           /* [nodes] immediate post-dominator; node count: the end of the graph */
    uint32_t *depth;        /* [nodes + 1] */
    uint32_t *child, *next; /* [nodes + 1], [nodes]: children as chains */
} tree;

static uint32_t meet(const tree *t, uint32_t a, uint32_t b) {
    while (a != b) {
        uint32_t *deeper = t->depth[a] >= t->depth[b] ? &a : &b;
        *deeper = t->up[*deeper];
    }
    return a;
}

static tree post_dominators(const xg_ilp *s) {
    uint32_t n = s->g->node.n;
    tree t = {s->g, xg_newn(s->a, uint32_t, n + 1), xg_newn(s->a, uint32_t, n + 1),
              xg_newn(s->a, uint32_t, n + 1), xg_newn(s->a, uint32_t, n + 1)};
    for (uint32_t i = 0; i <= n; i++) t.child[i] = t.next[i] = XG_NONE;
    for (uint32_t i = n; i-- > 0;) { /* readers come later */
        uint32_t up = XG_NONE;
        const xg_node *node = xg_nodep(s->g, i);
        for (uint32_t k = 0; k < node->nout; k++) {
            uint32_t x = node->out[k], from = s->c->uses.first[x], to = s->c->uses.first[x + 1];
            if (from == to || xg_tensorp(s->g, x)->is_output) up = n;
            for (uint32_t u = from; u < to; u++) {
                uint32_t reader = s->c->uses.node[u];
                up = up == XG_NONE ? reader : meet(&t, up, reader);
            }
        }
        t.up[i] = up == XG_NONE ? n : up;
        t.depth[i] = t.depth[t.up[i]] + 1;
        t.next[i] = t.child[t.up[i]];
        t.child[t.up[i]] = i;
    }
    return t;
}

/* Every node but the last has its post-dominator in the group. */
static bool is_part(const tree *t, const xg_group *g) {
    if (g->nresult > 1) return false;
    for (uint32_t k = 0; k + 1 < g->nnode; k++) {
        bool inside = false;
        for (uint32_t j = k + 1; j < g->nnode; j++) inside |= g->node[j] == t->up[g->node[k]];
        if (!inside) return false;
    }
    return true;
}

static const int64_t NEVER = INT64_MAX / 4;

/* What hangs off the group, and its own cost. */
static int64_t with_children(const tree *t, const xg_group *g, int64_t cost, const int64_t *best) {
    for (uint32_t k = 0; k < g->nnode; k++)
        for (uint32_t c = t->child[g->node[k]]; c != XG_NONE && cost < NEVER; c = t->next[c]) {
            bool inside = false;
            for (uint32_t j = 0; j < g->nnode; j++) inside |= g->node[j] == c;
            if (!inside) cost += best[c];
        }
    return cost < NEVER ? cost : NEVER;
}

typedef struct top_down {
    const xg_ilp *s;
    const tree *t;
    const uint32_t *pick; /* [nodes] candidate with the node on top */
    bool *take;
} top_down;

static void take_from(top_down *w, uint32_t root) {
    XG_VEC(uint32_t) todo = {0};
    xg_push(w->s->a, &todo, root);
    while (todo.n) {
        uint32_t top = todo.v[--todo.n];
        const xg_group *g = &w->s->cand.v[w->pick[top]].group;
        w->take[w->pick[top]] = true;
        for (uint32_t k = 0; k < g->nnode; k++)
            for (uint32_t c = w->t->child[g->node[k]]; c != XG_NONE; c = w->t->next[c]) {
                bool inside = false;
                for (uint32_t j = 0; j < g->nnode; j++) inside |= g->node[j] == c;
                if (!inside) xg_push(w->s->a, &todo, c);
            }
    }
}

bool xg_ilp_tree_cover(const xg_ilp *s, const int64_t *cost, bool *take, int64_t *total) {
    uint32_t n = s->g->node.n;
    tree t = post_dominators(s);
    int64_t *best = xg_newn(s->a, int64_t, n + 1);
    uint32_t *pick = xg_newn(s->a, uint32_t, n + 1), *head = xg_newn(s->a, uint32_t, n + 1),
             *next = xg_newn(s->a, uint32_t, s->cand.n + 1);
    for (uint32_t i = 0; i < n; i++) head[i] = XG_NONE;
    for (uint32_t i = s->cand.n; i-- > 0;) {
        const xg_group *g = &s->cand.v[i].group;
        if (cost[i] < 0 || !is_part(&t, g)) continue;
        next[i] = head[g->node[g->nnode - 1]];
        head[g->node[g->nnode - 1]] = i;
    }
    *total = 0;
    for (uint32_t i = 0; i < n; i++) { /* children come before what dominates them */
        best[i] = NEVER;
        for (uint32_t c = head[i]; c != XG_NONE; c = next[c]) {
            int64_t v = with_children(&t, &s->cand.v[c].group, cost[c], best);
            if (v < best[i]) best[i] = v, pick[i] = c;
        }
        if (t.up[i] == n) *total = xg_min(*total + best[i], NEVER);
    }
    if (*total >= NEVER) return false;
    top_down w = {s, &t, pick, take};
    for (uint32_t c = t.child[n]; take && c != XG_NONE; c = t.next[c]) take_from(&w, c);
    return true;
}

/* [cands] cost of the cheapest column (*var), of all or of those with everything in DDR; -1: none.
 */
static int64_t *cheapest(const xg_ilp *s, bool in_ddr, uint32_t *var) {
    int64_t *cost = xg_newn(s->a, int64_t, s->cand.n + 1);
    for (uint32_t i = 0; i < s->cand.n; i++) cost[i] = -1;
    for (uint32_t v = 0; v < s->var.n; v++) {
        const xg_var *x = &s->var.v[v];
        if (in_ddr && (x->chip_in || x->chip_out)) continue;
        if (cost[x->cand] >= 0 && cost[x->cand] <= x->cost) continue;
        cost[x->cand] = x->cost;
        if (var) var[x->cand] = v;
    }
    return cost;
}

const bool *xg_ilp_path(const xg_ilp *s) {
    uint32_t *var = xg_newn(s->a, uint32_t, s->cand.n + 1);
    bool *take = xg_newn(s->a, bool, s->cand.n + 1),
         *x = xg_newn(s->a, bool, s->stairs->mip->col.n + 1);
    int64_t total;
    if (!xg_ilp_tree_cover(s, cheapest(s, true, var), take, &total)) return NULL;
    for (uint32_t i = 0; i < s->cand.n; i++) {
        if (!take[i]) continue;
        const xg_group *g = &s->cand.v[i].group;
        uint32_t out = xg_nodep(s->g, g->node[g->nnode - 1])->out[0];
        x[s->var.v[var[i]].column] = true;
        if (s->choice[out]) x[s->d_col[s->rep[out]]] = true;
    }
    return x;
}

/* Siblings are no part of the tree. A cover with them costs no less than the same cover with each
 * of their nodes alone at a share of their cost, so singles are made as cheap as their least share.
 * Shares are in proportion to what the nodes cost alone. False when a node cannot be alone. */
static bool share_siblings(const xg_ilp *s, int64_t *cost) {
    int64_t *alone = xg_newn(s->a, int64_t, s->g->node.n + 1);
    uint32_t *single = xg_newn(s->a, uint32_t, s->g->node.n + 1);
    for (uint32_t i = 0; i < s->g->node.n; i++) single[i] = XG_NONE;
    for (uint32_t i = 0; i < s->cand.n; i++) {
        const xg_group *g = &s->cand.v[i].group;
        if (g->nnode == 1 && cost[i] >= 0) single[g->node[0]] = i, alone[g->node[0]] = cost[i];
    }
    for (uint32_t i = 0; i < s->cand.n; i++) {
        const xg_group *g = &s->cand.v[i].group;
        double sum = 0;
        if (g->nresult < 2 || cost[i] < 0) continue;
        for (uint32_t k = 0; k < g->nnode; k++) {
            if (single[g->node[k]] == XG_NONE) return false;
            sum += (double)alone[g->node[k]];
        }
        for (uint32_t k = 0; k < g->nnode; k++) {
            uint32_t at = single[g->node[k]];
            int64_t share = (int64_t)((double)cost[i] * (double)alone[g->node[k]] / (sum + 1));
            if (share < cost[at]) cost[at] = share;
        }
    }
    return true;
}

double xg_ilp_tree_bound(const xg_ilp *s) {
    int64_t total, *cost = cheapest(s, false, NULL);
    if (!share_siblings(s, cost)) return 0;
    return xg_ilp_tree_cover(s, cost, NULL, &total) ? (double)total : 0;
}
