/* The program that is built with one thing changed: a group put into it, or two nodes parted. What
 * the cycle simulator says of that does not depend on the estimates of all other groups. */
#include "fusion/explain_inner.h"

#include <string.h>

typedef struct swap {
    const teller *t;
    const uint32_t *node, *pair; /* the group that must be, or NULL; what must be parted, or NULL */
    uint32_t n;
    const bool *open; /* [groups of what is built] those whose nodes may be grouped otherwise */
} swap;

/* Groups as they are built; pieces of those that the change takes nodes from. */
static bool admit(void *arg, const uint32_t *node, uint32_t n) {
    const swap *s = arg;
    uint32_t group = s->t->group_of[node[0]], common = 0;
    for (uint32_t i = 0; i < n; i++) common += xg_has_node(s->node, s->n, node[i]);
    if (common) return common == n && n == s->n;
    for (uint32_t i = 1; i < n; i++)
        if (s->t->group_of[node[i]] != group) return false;
    if (s->pair && xg_has_node(node, n, s->pair[0]) && xg_has_node(node, n, s->pair[1]))
        return false;
    return s->open[group] || n == s->t->e->sel->group.v[group].nnode;
}

/* Groups that are as in what is built are made as there, and their tensors stay where they do. */
static void keep_the_rest(const teller *t, const swap *s, xg_selection *sel) {
    const xg_selection *built = t->e->sel;
    if (!sel->on_chip) sel->on_chip = xg_newn(t->a, bool, t->g->tensor.n + 1);
    for (uint32_t i = 0; i < sel->group.n; i++) {
        uint32_t from = t->group_of[sel->group.v[i].node[0]];
        bool same = !s->open[from] && sel->group.v[i].nnode == built->group.v[from].nnode;
        if (same) sel->group.v[i].strategy = built->group.v[from].strategy;
    }
    for (uint32_t x = 0; x < t->g->tensor.n; x++) {
        uint32_t maker = xg_tensorp(t->g, x)->producer;
        bool same = maker == XG_NONE || !s->open[t->group_of[maker]];
        for (uint32_t u = t->uses.first[x]; u < t->uses.first[x + 1]; u++)
            same = same && !s->open[t->group_of[t->uses.node[u]]];
        if (same) sel->on_chip[x] = built->on_chip && built->on_chip[x];
    }
}

static uint64_t simulated(const teller *t, const swap *s) {
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(t->a));
    xg_selection sel;
    cover c;
    uint64_t cycles = 0;
    size_t diags = xg_diag_count(xg_arena_ctx(t->a));
    xg_status st = xg_solve_cover(t, scratch, admit, (void *)(uintptr_t)s, &sel, &c);
    if (st == XG_OK && c.found) {
        keep_the_rest(t, s, &sel);
        cycles = xg_simulated(t, &sel);
    }
    xg_diag_truncate(xg_arena_ctx(t->a), diags);
    xg_arena_free(scratch);
    return cycles;
}

uint64_t xg_swap_in(const teller *t, const uint32_t *node, uint32_t n) {
    bool *open = xg_newn(t->a, bool, t->e->sel->group.n + 1), built = true;
    for (uint32_t i = 0; i < n; i++) {
        open[t->group_of[node[i]]] = true;
        built = built && t->group_of[node[i]] == t->group_of[node[0]];
    }
    if (built && n == t->e->sel->group.v[t->group_of[node[0]]].nnode) return t->simulated;
    const swap s = {.t = t, .node = node, .n = n, .open = open};
    return t->e->simulate ? simulated(t, &s) : 0;
}

uint64_t xg_swap_apart(const teller *t, const uint32_t pair[2]) {
    bool *open = xg_newn(t->a, bool, t->e->sel->group.n + 1);
    open[t->group_of[pair[0]]] = true;
    const swap s = {.t = t, .pair = pair, .open = open};
    return t->e->simulate ? simulated(t, &s) : 0;
}
