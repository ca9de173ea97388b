/* Two nodes: why they are in one group, or why not. */
#include "fusion/explain_inner.h"

#include <string.h>

static const char *digits(const teller *t, int64_t v) {
    return xg_grouped_digits(t->a, v);
}

static xg_status find_pair(xg_arena *a, const xg_graph *g, const char *names, uint32_t pair[2]) {
    xg_ctx *c = xg_arena_ctx(a);
    if (!strchr(names, ','))
        return xg_error(c, XG_USAGE, "", "a pair is two names with a comma between, not '%s'",
                        names);
    /* names may have commas themselves */
    for (const char *p = strchr(names, ','); p; p = strchr(p + 1, ',')) {
        xg_status st =
            xg_find_named(c, g, xg_strndup(a, names, (size_t)(p - names)), true, &pair[0]);
        if (st == XG_OK) st = xg_find_named(c, g, p + 1, true, &pair[1]);
        if (st != XG_OK) return st;
        if (pair[0] != XG_NONE && pair[1] != XG_NONE) break;
    }
    const char *comma = strchr(names, ',');
    xg_status st = XG_OK;
    if (pair[0] == XG_NONE || pair[1] == XG_NONE)
        st = xg_find_named(c, g, xg_strndup(a, names, (size_t)(comma - names)), false, &pair[0]);
    if (st == XG_OK && pair[1] == XG_NONE) st = xg_find_named(c, g, comma + 1, false, &pair[1]);
    if (st != XG_OK) return st;
    return pair[0] != pair[1] ? XG_OK
                              : xg_error(c, XG_USAGE, "", "both names of the pair are node '%s'",
                                         xg_nodep(g, pair[0])->name);
}

/* Whether y reads the result of x, and who else does. */
static bool put_link(const teller *t, uint32_t x, uint32_t y, xg_buf *out) {
    const xg_node *n = xg_nodep(t->g, y);
    uint32_t result = xg_nodep(t->g, x)->out[0], operand = 0;
    while (operand < n->nin && n->in[operand] != result) operand++;
    if (operand == n->nin) return false;
    xg_putf(out, "'%s' reads the result of '%s' (operand %u)", n->name, xg_nodep(t->g, x)->name,
            operand);
    bool others = false;
    for (uint32_t u = t->uses.first[result]; u < t->uses.first[result + 1]; u++) {
        if (t->uses.node[u] == y) continue;
        xg_putf(out, "%s'%s'", others ? ", " : ", which is read by others too: ",
                xg_nodep(t->g, t->uses.node[u])->name);
        others = true;
    }
    if (xg_tensorp(t->g, result)->is_output)
        xg_puts(out,
                others ? ", and is an output of the model" : ", which is an output of the model");
    return true;
}

typedef struct walk {
    uint32_t *from, *queue, n;
} walk;

static void reach(walk *w, uint32_t node, uint32_t from) {
    if (w->from[node] != XG_NONE) return;
    w->from[node] = from;
    w->queue[w->n++] = node;
}

/* The shortest way between two nodes along tensors that nodes make, either way. */
static void put_way(const teller *t, uint32_t a, uint32_t b, xg_buf *out) {
    walk w = {.from = xg_newn(t->a, uint32_t, t->g->node.n),
              .queue = xg_newn(t->a, uint32_t, t->g->node.n)};
    for (uint32_t i = 0; i < t->g->node.n; i++) w.from[i] = XG_NONE;
    reach(&w, b, b);
    for (uint32_t i = 0; i < w.n && w.from[a] == XG_NONE; i++) {
        const xg_node *n = xg_nodep(t->g, w.queue[i]);
        for (uint32_t k = 0; k < n->nin; k++) {
            const xg_tensor *x = xg_in(t->g, n, k);
            if (x && x->producer != XG_NONE) reach(&w, x->producer, w.queue[i]);
        }
        for (uint32_t k = 0; k < n->nout; k++)
            for (uint32_t u = t->uses.first[n->out[k]]; u < t->uses.first[n->out[k] + 1]; u++)
                reach(&w, t->uses.node[u], w.queue[i]);
    }
    if (w.from[a] == XG_NONE) {
        xg_puts(out, "none: no tensors lead from one to the other");
        return;
    }
    xg_putf(out, "none directly; the shortest way: %s", xg_nodep(t->g, a)->name);
    uint32_t steps = 0;
    for (uint32_t i = a; i != b; i = w.from[i])
        if (++steps <= 8) xg_putf(out, ", %s", xg_nodep(t->g, w.from[i])->name);
    if (steps > 8) xg_putf(out, " ... (%u steps)", steps);
}

static void put_relation(const teller *t, uint32_t a, uint32_t b, xg_buf *out) {
    const xg_node *x = xg_nodep(t->g, a), *y = xg_nodep(t->g, b);
    if (put_link(t, a, b, out) || put_link(t, b, a, out)) return;
    for (uint32_t i = 0; i < x->nin; i++)
        for (uint32_t k = 0; k < y->nin; k++)
            if (x->in[i] != XG_NONE && x->in[i] == y->in[k] && !xg_tensorp(t->g, x->in[i])->data) {
                xg_putf(out, "both read '%s'", xg_tensorp(t->g, x->in[i])->name);
                return;
            }
    put_way(t, a, b, out);
}

/* Which conditions keep patterns from matching both. */
static void put_almost(const teller *t, const xg_nears *near) {
    xg_puts(t->out, "candidates   no pattern matches both\n");
    if (!near->n) {
        xg_puts(t->out, "             and none would if one of its conditions were dropped\n");
        return;
    }
    xg_puts(t->out, "\nwhere one condition fails\n");
    for (uint32_t i = 0; i < near->n && i < 8; i++) {
        const xg_near *x = &near->v[i];
        xg_putf(t->out, "  %s: %s\n      %s\n", t->library->pattern[x->pattern].name,
                xg_node_names(t->a, t->g, x->node, x->n), x->fault);
    }
    if (near->n > 8) xg_putf(t->out, "  ... and %u more\n", near->n - 8);
}

static bool admit_apart(void *arg, const uint32_t *node, uint32_t n) {
    const uint32_t *pair = arg;
    return !xg_has_node(node, n, pair[0]) || !xg_has_node(node, n, pair[1]);
}

/* The cheapest candidate with both, when there is one. */
static const xg_entry *together_of(const teller *t, const xg_entries *all) {
    return t->best.found && all->n && !all->v[0].why && all->v[0].cover.found ? &all->v[0] : NULL;
}

/* The best cover with the two in different groups: the best of all, unless that has them in one. */
static xg_status solve_apart(const teller *t, uint32_t pair[2], const xg_entry *together,
                             cover *apart) {
    *apart = t->best;
    if (!together || !together->in_best) return XG_OK;
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(t->a));
    xg_status st = xg_solve_cover(t, scratch, admit_apart, pair, NULL, apart);
    xg_arena_free(scratch);
    return st;
}

static void put_together_or_apart(const teller *t, const xg_entry *together, const cover *apart) {
    if (!together->in_best) {
        xg_putf(t->out, "together     %s cycles in the best cover with one of them: %s\n",
                digits(t, (int64_t)together->cover.cycles), xg_dearer(t, &together->cover));
        xg_putf(t->out, "apart        %s cycles in the best cover: the solver's choice\n",
                digits(t, (int64_t)t->best.cycles));
        return;
    }
    xg_putf(t->out, "together     %s cycles in the best cover: the solver's choice\n",
            digits(t, (int64_t)t->best.cycles));
    if (apart->found)
        xg_putf(t->out, "apart        %s cycles in the best cover with them in two groups: %s\n",
                digits(t, (int64_t)apart->cycles), xg_dearer(t, apart));
}

/* What the cycle simulator says of the other choice than the one that was made. */
static void put_measured(const teller *t, const xg_entries *all, uint64_t parted) {
    const xg_entry *least = NULL;
    uint64_t cycles = parted;
    for (uint32_t i = 0; i < all->n && !parted; i++) {
        const xg_entry *e = &all->v[i];
        uint64_t own =
            e->swapped && (!e->simulated || e->swapped < e->simulated) ? e->swapped : e->simulated;
        if (own && (!least || own < cycles)) least = e, cycles = own;
    }
    if (!cycles || !t->simulated) return;
    xg_putf(t->out, "measured     %s: %s cycles in the cycle simulator, %s\n",
            least
                ? xg_strf(t->a, "together in %s", xg_node_names(t->a, t->g, least->node, least->n))
                : "apart",
            digits(t, (int64_t)cycles), xg_beside_built(t, cycles));
}

static void put_pair(teller *t, const uint32_t pair[2], const char *relation) {
    for (uint32_t i = 0; i < 2; i++) xg_put_chosen(t, pair[i]);
    bool same = t->group_of[pair[0]] == t->group_of[pair[1]];
    xg_putf(t->out, "answer       they are %sin one group\n", same ? "" : "not ");
    xg_putf(t->out, "link         %s\n", relation);
}

xg_status xg_explain_pair(xg_arena *a, const xg_explain *e, const char *names, xg_buf *out) {
    teller t;
    uint32_t pair[2] = {XG_NONE, XG_NONE};
    xg_entries all = {0};
    xg_nears near = {0};
    cover apart;
    xg_buf relation = {.arena = a};
    xg_status st = find_pair(a, e->sel->graph, names, pair);
    if (st == XG_OK) st = xg_teller_init(&t, a, e, out);
    if (st != XG_OK) return st;
    put_relation(&t, pair[0], pair[1], &relation);
    xg_collect_entries(&t, pair[0], pair[1], &all);
    if (!all.n) xg_match_near(a, t.g, t.library, pair[0], pair[1], true, &near);
    st = xg_judge_entries(&t, &all);
    const xg_entry *together = together_of(&t, &all);
    if (st == XG_OK) st = solve_apart(&t, pair, together, &apart);
    if (st != XG_OK) return st;
    bool joined = t.group_of[pair[0]] == t.group_of[pair[1]];
    uint64_t parted = joined ? xg_swap_apart(&t, pair) : 0;
    if (e->json) {
        xg_json_pair(&t, pair, relation.p, &all, &near, &apart, parted);
        return XG_OK;
    }
    put_pair(&t, pair, relation.p);
    if (!all.n) put_almost(&t, &near);
    put_measured(&t, &all, parted);
    if (together) put_together_or_apart(&t, together, &apart);
    if (all.n) xg_put_entries(&t, &all);
    return XG_OK;
}
