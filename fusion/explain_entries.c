/* The groups that patterns would make with a node, and what becomes of each: legal or not, with
 * room or not, and the best cover of the graph with it. */
#include "fusion/explain_inner.h"

#include <stdlib.h>

bool xg_has_node(const uint32_t *node, uint32_t n, uint32_t x) {
    for (uint32_t i = 0; i < n; i++)
        if (node[i] == x) return true;
    return false;
}

static bool same_nodes(const uint32_t *x, uint32_t nx, const uint32_t *y, uint32_t ny) {
    for (uint32_t i = 0; i < nx; i++)
        if (!xg_has_node(y, ny, x[i])) return false;
    return nx == ny;
}

/* ---- which ones --------------------------------------------------------------------------------
 */

static void add_entry(const teller *t, xg_entries *all, const char *pattern, const uint32_t *node,
                      uint32_t n, const char *why) {
    for (uint32_t i = 0; i < all->n; i++)
        if (same_nodes(all->v[i].node, all->v[i].n, node, n)) return;
    xg_entry e = {.pattern = pattern, .n = n, .why = why};
    e.node = xg_memdup(t->a, node, n * sizeof *node);
    for (uint32_t i = 1; i < n && !e.why; i++)
        if (t->stretch[node[i]] != t->stretch[node[0]])
            e.why = xg_strf(t->a, "host nodes run between '%s' and '%s'",
                            xg_nodep(t->g, node[0])->name, xg_nodep(t->g, node[i])->name);
    xg_push(t->a, all, e);
}

/* other: XG_NONE, or a node that must be in the group too. */
void xg_collect_entries(const teller *t, uint32_t node, uint32_t other, xg_entries *all) {
    xg_nears near;
    if (other == XG_NONE) add_entry(t, all, "alone", &node, 1, t->refused[node]);
    for (uint32_t i = 0; i < t->candidates.n; i++) {
        const xg_candidate *c = &t->candidates.v[i];
        if (xg_has_node(c->node, c->nnode, node) &&
            (other == XG_NONE || xg_has_node(c->node, c->nnode, other)))
            add_entry(t, all, c->pattern, c->node, c->nnode, NULL);
    }
    xg_match_near(t->a, t->g, t->library, node, other, false, &near);
    for (uint32_t i = 0; i < near.n; i++) {
        const xg_near *x = &near.v[i];
        const char *why = xg_why_no_candidate(t->a, t->g, t->refused, x->node, x->n);
        add_entry(t, all, t->library->pattern[x->pattern].name, x->node, x->n,
                  why ? why : "matching does not go that far (too many readers of one tensor)");
    }
}

/* ---- what became of them -----------------------------------------------------------------------
 */

typedef struct exactly {
    const uint32_t *node;
    uint32_t n;
} exactly;

/* Only the set itself may have nodes of the set. */
static bool admit_exactly(void *arg, const uint32_t *node, uint32_t n) {
    const exactly *x = arg;
    uint32_t common = 0;
    for (uint32_t i = 0; i < n; i++) common += xg_has_node(x->node, x->n, node[i]);
    return !common || (common == n && n == x->n);
}

static const xg_group *group_in(const xg_selection *s, const uint32_t *node, uint32_t n) {
    for (uint32_t i = 0; i < s->group.n; i++)
        if (same_nodes(s->group.v[i].node, s->group.v[i].nnode, node, n)) return &s->group.v[i];
    return NULL;
}

static void take_group(const teller *t, xg_entry *e, const xg_selection *s) {
    const xg_group *found = group_in(s, e->node, e->n);
    if (!found) return;
    e->group = *found;
    e->group.node = e->node;
    xg_group_find_results(t->a, t->g, &e->group);
    if (!xg_group_tiles(t->g, &e->group)) return;
    const xg_surroundings env = xg_surroundings_of(t->a, s, t->e->m);
    xg_cost_by_term(t->g, t->e->m, &e->group, &env, &e->terms);
}

static xg_status judge(const teller *t, xg_entry *e) {
    exactly x = {e->node, e->n};
    xg_selection s;
    if (e->why) return XG_OK;
    xg_group g = {.nnode = e->n, .node = e->node, .where = XG_ON_ACCEL};
    xg_group_find_results(t->a, t->g, &g);
    if (xg_group_tiles(t->g, &g)) {
        xg_fit_of(t->a, t->g, t->e->m, &g, t->could_stay, &e->fit);
        if (!e->fit.fit && e->n > 1) {
            e->why = xg_fit_shortage(t->a, t->e->m, &e->fit);
            return XG_OK;
        }
    }
    e->in_best = t->best.found && group_in(&t->chosen, e->node, e->n);
    if (e->in_best) {
        e->cover = t->best;
        take_group(t, e, &t->chosen);
        e->simulated = xg_simulated(t, &t->chosen);
        e->swapped = xg_swap_in(t, e->node, e->n);
        return XG_OK;
    }
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(t->a));
    xg_status st = xg_solve_cover(t, scratch, admit_exactly, &x, &s, &e->cover);
    if (st == XG_OK && e->cover.found) {
        take_group(t, e, &s);
        e->simulated = xg_simulated(t, &s);
        e->swapped = xg_swap_in(t, e->node, e->n);
    }
    xg_arena_free(scratch);
    return st;
}

/* Those in the best cover first, then by what a cover with them costs; impossible ones last. */
static int by_worth(const void *a, const void *b) {
    const xg_entry *x = a, *y = b;
    int rx = x->why ? 2 : !x->cover.found, ry = y->why ? 2 : !y->cover.found;
    if (rx != ry) return rx - ry;
    if (x->in_best != y->in_best) return y->in_best - x->in_best;
    if (!rx && x->cover.value != y->cover.value) return x->cover.value < y->cover.value ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    for (uint32_t i = 0; i < x->n; i++)
        if (x->node[i] != y->node[i]) return x->node[i] < y->node[i] ? -1 : 1;
    return 0;
}

xg_status xg_judge_entries(const teller *t, xg_entries *all) {
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < all->n && st == XG_OK; i++) st = judge(t, &all->v[i]);
    if (st == XG_OK && all->n) qsort(all->v, all->n, sizeof *all->v, by_worth);
    return st;
}
