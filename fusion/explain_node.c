/* One node or a pair: every group that patterns would make with it, and what became of each. */
#include "fusion/explain_inner.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    const char *pattern;
    uint32_t n;
    const uint32_t *node;
    const char *why; /* it cannot be, lines; NULL: it can */
    xg_fit fit;
    cover cover; /* the best one with it */
    bool in_best;
    xg_group group; /* in that cover */
    xg_cost_terms terms;
} entry;

typedef struct entries {
    XG_VEC(entry);
} entries;

static const char *digits(const teller *t, int64_t v) {
    return xg_grouped_digits(t->a, v);
}

static bool has(const uint32_t *node, uint32_t n, uint32_t x) {
    for (uint32_t i = 0; i < n; i++)
        if (node[i] == x) return true;
    return false;
}

static bool same_nodes(const uint32_t *x, uint32_t nx, const uint32_t *y, uint32_t ny) {
    for (uint32_t i = 0; i < nx; i++)
        if (!has(y, ny, x[i])) return false;
    return nx == ny;
}

/* ---- which ones -------------------------------------------------------------------------------- */

static void add_entry(const teller *t, entries *all, const char *pattern, const uint32_t *node,
                      uint32_t n, const char *why) {
    for (uint32_t i = 0; i < all->n; i++)
        if (same_nodes(all->v[i].node, all->v[i].n, node, n)) return;
    entry e = {.pattern = pattern, .n = n, .why = why};
    e.node = xg_memdup(t->a, node, n * sizeof *node);
    for (uint32_t i = 1; i < n && !e.why; i++)
        if (t->stretch[node[i]] != t->stretch[node[0]])
            e.why = xg_strf(t->a, "host nodes run between '%s' and '%s'",
                            xg_nodep(t->g, node[0])->name, xg_nodep(t->g, node[i])->name);
    xg_push(t->a, all, e);
}

/* other: XG_NONE, or a node that must be in the group too. */
static void collect(const teller *t, uint32_t node, uint32_t other, entries *all) {
    xg_nears near;
    if (other == XG_NONE) add_entry(t, all, "alone", &node, 1, t->refused[node]);
    for (uint32_t i = 0; i < t->candidates.n; i++) {
        const xg_candidate *c = &t->candidates.v[i];
        if (has(c->node, c->nnode, node) && (other == XG_NONE || has(c->node, c->nnode, other)))
            add_entry(t, all, c->pattern, c->node, c->nnode, NULL);
    }
    xg_match_near(t->a, t->g, t->library, node, other, false, &near);
    for (uint32_t i = 0; i < near.n; i++) {
        const xg_near *x = &near.v[i];
        const char *why = xg_why_no_candidate(t->a, t->g, t->refused, x->node, x->n);
        add_entry(t, all, t->library->pattern[x->pattern].name, x->node, x->n,
                  why ? why : "matching was cut short before it");
    }
}

/* ---- what became of them ----------------------------------------------------------------------- */

typedef struct exactly {
    const uint32_t *node;
    uint32_t n;
} exactly;

/* Only the set itself may have nodes of the set. */
static bool admit_exactly(void *arg, const uint32_t *node, uint32_t n) {
    const exactly *x = arg;
    uint32_t common = 0;
    for (uint32_t i = 0; i < n; i++) common += has(x->node, x->n, node[i]);
    return !common || (common == n && n == x->n);
}

static const xg_group *group_in(const xg_selection *s, const uint32_t *node, uint32_t n) {
    for (uint32_t i = 0; i < s->group.n; i++)
        if (same_nodes(s->group.v[i].node, s->group.v[i].nnode, node, n)) return &s->group.v[i];
    return NULL;
}

static void take_group(const teller *t, entry *e, const xg_selection *s) {
    const xg_group *found = group_in(s, e->node, e->n);
    if (!found) return;
    e->group = *found;
    e->group.node = e->node;
    if (!xg_group_tiles(t->g, &e->group)) return;
    const xg_surroundings env = xg_surroundings_of(t->a, s, t->e->m, &e->group);
    xg_cost_by_term(t->g, t->e->m, &e->group, &env, &e->terms);
}

static xg_status judge(const teller *t, entry *e) {
    exactly x = {e->node, e->n};
    xg_selection s;
    if (e->why) return XG_OK;
    xg_group g = {.nnode = e->n, .node = e->node, .where = XG_ON_ACCEL};
    if (xg_group_tiles(t->g, &g)) {
        xg_fit_of(t->a, t->g, t->e->m, &g, t->may_stay, &e->fit);
        if (!e->fit.fit && e->n > 1) {
            e->why = xg_fit_shortage(t->a, t->e->m, &e->fit);
            return XG_OK;
        }
    }
    e->in_best = t->best.found && group_in(&t->chosen, e->node, e->n);
    if (e->in_best) {
        e->cover = t->best;
        take_group(t, e, &t->chosen);
        return XG_OK;
    }
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(t->a));
    xg_status st = xg_solve_cover(t, scratch, admit_exactly, &x, &s, &e->cover);
    if (st == XG_OK && e->cover.found) take_group(t, e, &s);
    xg_arena_free(scratch);
    return st;
}

/* Those in the best cover first, then by what a cover with them costs; impossible ones last. */
static int by_worth(const void *a, const void *b) {
    const entry *x = a, *y = b;
    int rx = x->why ? 2 : !x->cover.found, ry = y->why ? 2 : !y->cover.found;
    if (rx != ry) return rx - ry;
    if (x->in_best != y->in_best) return y->in_best - x->in_best;
    if (!rx && x->cover.value != y->cover.value) return x->cover.value < y->cover.value ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    for (uint32_t i = 0; i < x->n; i++)
        if (x->node[i] != y->node[i]) return x->node[i] < y->node[i] ? -1 : 1;
    return 0;
}

static xg_status judge_all(const teller *t, entries *all) {
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < all->n && st == XG_OK; i++) st = judge(t, &all->v[i]);
    if (st == XG_OK && all->n) qsort(all->v, all->n, sizeof *all->v, by_worth);
    return st;
}

/* ---- on paper ---------------------------------------------------------------------------------- */

/* What cover x costs more than the best one. */
static const char *dearer(const teller *t, const cover *x) {
    int64_t cycles = (int64_t)x->cycles - (int64_t)t->best.cycles,
            value = x->value - t->best.value;
    if (!value) return "ties with the best";
    if (!cycles)
        return xg_strf(t->a, "as fast as the best, %s the DDR %s cycles %s",
                       value > 0 ? "keeps" : "spares", digits(t, value > 0 ? value : -value),
                       value > 0 ? "longer" : "(within the solver's gap)");
    return xg_strf(t->a, "%s cycles (%.2f %%) %s than the best%s",
                   digits(t, cycles > 0 ? cycles : -cycles),
                   100.0 * (double)(cycles > 0 ? cycles : -cycles) /
                       (double)(t->best.cycles ? t->best.cycles : 1),
                   cycles > 0 ? "more" : "less",
                   value < 0    ? " (within the solver's gap)"
                   : cycles < 0 ? ", but the DDR is busy for longer"
                                : "");
}

static void put_fit(const teller *t, const entry *e) {
    const xg_fit *f = &e->fit;
    if (!f->fit) {
        xg_puts(t->out, "      room    none of the usual strategies fits; it runs in the least tiles, input "
                        "channels in parts\n");
        return;
    }
    xg_putf(t->out, "      tried   %s strategies: %s have no room; of %s that fit through DDR, %s are dominated, "
                    "%s kept\n",
            digits(t, f->tried), digits(t, f->tried - f->fit), digits(t, f->fit_ddr),
            digits(t, f->fit_ddr - f->kept), digits(t, f->kept));
}

static void put_possible(teller *t, const entry *e, uint32_t number) {
    xg_putf(t->out, "\n%4u  %s: %s\n", number, e->pattern, xg_node_names(t->a, t->g, e->node, e->n));
    if (!e->cover.found) {
        xg_puts(t->out, "      cover   the solver found none with it\n");
        return;
    }
    if (e->in_best)
        xg_puts(t->out, "      cover   in the best cover\n");
    else
        xg_putf(t->out, "      cover   the best cover with it takes %s cycles: %s\n",
                digits(t, (int64_t)e->cover.cycles), dearer(t, &e->cover));
    if (!xg_group_tiles(t->g, &e->group)) {
        xg_puts(t->out, "      cost    none: places in memory, no tiles\n");
        return;
    }
    if (!e->terms.parts.valid) return;
    xg_putf(t->out, "      how     %s\n", xg_strategy_text(t, &e->group, &e->terms.parts));
    put_fit(t, e);
    xg_put_terms(t, &e->group, &e->terms, "      ");
}

static void put_entries(teller *t, const entries *all) {
    uint32_t possible = 0, i = 0;
    for (; i < all->n && !all->v[i].why; i++) possible++;
    for (i = 0; i < possible; i++) put_possible(t, &all->v[i], i + 1);
    if (i < all->n) xg_puts(t->out, "\nnot possible\n");
    for (; i < all->n; i++) {
        const entry *e = &all->v[i];
        xg_putf(t->out, "  %s: %s\n", e->pattern, xg_node_names(t->a, t->g, e->node, e->n));
        xg_put_lines(t->out, "      ", e->why);
    }
}

static void put_where(const teller *t, uint32_t node) {
    const xg_selection *s = t->e->sel;
    uint32_t i = t->group_of[node];
    const xg_group *g = &s->group.v[i];
    xg_putf(t->out, "%s: %s\n", xg_nodep(t->g, node)->name, xg_node_text(t->a, t->g, node));
    if (xg_nodep(t->g, node)->onnx)
        xg_putf(t->out, "  from ONNX  %s\n", xg_nodep(t->g, node)->onnx);
    if (t->refused[node])
        xg_putf(t->out, "  runs on    the host: %s\n", t->refused[node]);
    else
        xg_putf(t->out, "  chosen     group %u, %s: %s; %s cycles\n", i, g->pattern,
                xg_node_names(t->a, t->g, g->node, g->nnode), digits(t, (int64_t)g->cost_cycles));
}

static void put_best(const teller *t) {
    const cover *b = &t->best;
    if (!b->found) {
        xg_puts(t->out, "best cover   the solver found none within its budget\n");
        return;
    }
    xg_putf(t->out, "best cover   %s predicted cycles of the whole model; proved best within %.3f %%\n",
            digits(t, (int64_t)b->cycles),
            b->value > 0 ? 100.0 * ((double)b->value - b->bound) / (double)b->value : 0.0);
}

static void put_legend(const teller *t, const char *what) {
    xg_putf(t->out, "\n%s 'cover': the 0-1 program is solved again with this group fixed, so the "
                    "difference is the whole model's,\nneighbours and what stays on chip included. "
                    "'dominated': another strategy is as fast in as little room.\n", what);
}

xg_status xg_explain_node(xg_arena *a, const xg_explain *e, const char *name, xg_buf *out) {
    teller t;
    uint32_t node;
    entries all = {0};
    xg_status st = xg_find_named(xg_arena_ctx(a), e->sel->graph, name, false, &node);
    if (st == XG_OK) st = xg_teller_init(&t, a, e, out);
    if (st != XG_OK) return st;
    put_where(&t, node);
    collect(&t, node, XG_NONE, &all);
    if (t.refused[node]) {
        all.v++, all.n--; /* "alone" has been said */
        put_entries(&t, &all);
        return XG_OK;
    }
    st = judge_all(&t, &all);
    if (st != XG_OK) return st;
    put_best(&t);
    uint32_t possible = 0;
    for (uint32_t i = 0; i < all.n; i++) possible += !all.v[i].why;
    xg_putf(out, "candidates   %u groups with it are possible, best first; %u that patterns match are not\n",
            possible, all.n - possible);
    put_entries(&t, &all);
    put_legend(&t, "Cycles are predicted, of the slowest core.");
    return XG_OK;
}

/* ---- pairs ------------------------------------------------------------------------------------- */

static xg_status find_pair(xg_arena *a, const xg_graph *g, const char *names, uint32_t pair[2]) {
    xg_ctx *c = xg_arena_ctx(a);
    if (!strchr(names, ','))
        return xg_error(c, XG_USAGE, "", "a pair is two names with a comma between, not '%s'", names);
    /* names may have commas themselves */
    for (const char *p = strchr(names, ','); p; p = strchr(p + 1, ',')) {
        xg_status st = xg_find_named(c, g, xg_strndup(a, names, (size_t)(p - names)), true, &pair[0]);
        if (st == XG_OK) st = xg_find_named(c, g, p + 1, true, &pair[1]);
        if (st != XG_OK) return st;
        if (pair[0] != XG_NONE && pair[1] != XG_NONE) break;
    }
    const char *p = strchr(names, ',');
    for (uint32_t i = 0; i < 2; i++) {
        if (pair[i] != XG_NONE) continue;
        return xg_find_named(c, g, i ? p + 1 : xg_strndup(a, names, (size_t)(p - names)), false,
                             &pair[i]);
    }
    return pair[0] != pair[1] ? XG_OK
                              : xg_error(c, XG_USAGE, "", "both names of the pair are node '%s'",
                                         xg_nodep(g, pair[0])->name);
}

/* Whether y reads the result of x, and who else does. */
static bool put_link(const teller *t, uint32_t x, uint32_t y) {
    const xg_node *n = xg_nodep(t->g, y);
    uint32_t result = xg_nodep(t->g, x)->out[0], operand = 0;
    while (operand < n->nin && n->in[operand] != result) operand++;
    if (operand == n->nin) return false;
    xg_putf(t->out, "link         '%s' reads the result of '%s' (operand %u)", n->name,
            xg_nodep(t->g, x)->name, operand);
    bool others = false;
    for (uint32_t u = t->uses.first[result]; u < t->uses.first[result + 1]; u++) {
        if (t->uses.node[u] == y) continue;
        xg_putf(t->out, "%s'%s'", others ? ", " : ", which is read by others too: ",
                xg_nodep(t->g, t->uses.node[u])->name);
        others = true;
    }
    if (xg_tensorp(t->g, result)->is_output)
        xg_puts(t->out, others ? ", and is an output of the model" : ", which is an output of the model");
    xg_puts(t->out, "\n");
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
static void put_way(const teller *t, uint32_t a, uint32_t b) {
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
        xg_puts(t->out, "link         none: no tensors lead from one to the other\n");
        return;
    }
    xg_putf(t->out, "link         none directly; the shortest way: %s", xg_nodep(t->g, a)->name);
    uint32_t steps = 0;
    for (uint32_t i = a; i != b; i = w.from[i])
        if (++steps <= 8) xg_putf(t->out, ", %s", xg_nodep(t->g, w.from[i])->name);
    xg_putf(t->out, steps > 8 ? " ... (%u steps)\n" : "\n", steps);
}

static void put_relation(const teller *t, uint32_t a, uint32_t b) {
    const xg_node *x = xg_nodep(t->g, a), *y = xg_nodep(t->g, b);
    if (put_link(t, a, b) || put_link(t, b, a)) return;
    for (uint32_t i = 0; i < x->nin; i++)
        for (uint32_t k = 0; k < y->nin; k++)
            if (x->in[i] != XG_NONE && x->in[i] == y->in[k] && !xg_tensorp(t->g, x->in[i])->data) {
                xg_putf(t->out, "link         both read '%s'\n", xg_tensorp(t->g, x->in[i])->name);
                return;
            }
    put_way(t, a, b);
}

/* Which conditions keep patterns from matching both. */
static void put_almost(const teller *t, const uint32_t pair[2]) {
    xg_nears near;
    xg_match_near(t->a, t->g, t->library, pair[0], pair[1], true, &near);
    xg_puts(t->out, "candidates   no pattern matches both\n");
    if (!near.n) {
        xg_puts(t->out, "             and none would if one of its conditions were dropped\n");
        return;
    }
    xg_puts(t->out, "\nwhere one condition fails\n");
    for (uint32_t i = 0; i < near.n && i < 8; i++) {
        const xg_near *x = &near.v[i];
        xg_putf(t->out, "  %s: %s\n      %s\n", t->library->pattern[x->pattern].name,
                xg_node_names(t->a, t->g, x->node, x->n), x->fault);
    }
    if (near.n > 8) xg_putf(t->out, "  ... and %u more\n", near.n - 8);
}

static bool admit_apart(void *arg, const uint32_t *node, uint32_t n) {
    const uint32_t *pair = arg;
    return !has(node, n, pair[0]) || !has(node, n, pair[1]);
}

static xg_status put_together_or_apart(const teller *t, uint32_t pair[2], const entries *all) {
    const entry *first = all->n && !all->v[0].why && all->v[0].cover.found ? &all->v[0] : NULL;
    if (!t->best.found || !first) return XG_OK;
    if (!first->in_best) {
        xg_putf(t->out, "together     %s cycles in the best cover with one of them: %s\n",
                digits(t, (int64_t)first->cover.cycles), dearer(t, &first->cover));
        xg_putf(t->out, "apart        %s cycles in the best cover: the solver's choice\n",
                digits(t, (int64_t)t->best.cycles));
        return XG_OK;
    }
    cover apart;
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(t->a));
    xg_status st = xg_solve_cover(t, scratch, admit_apart, pair, NULL, &apart);
    xg_arena_free(scratch);
    if (st != XG_OK) return st;
    xg_putf(t->out, "together     %s cycles in the best cover: the solver's choice\n",
            digits(t, (int64_t)t->best.cycles));
    if (apart.found)
        xg_putf(t->out, "apart        %s cycles in the best cover with them in two groups: %s\n",
                digits(t, (int64_t)apart.cycles), dearer(t, &apart));
    return XG_OK;
}

xg_status xg_explain_pair(xg_arena *a, const xg_explain *e, const char *names, xg_buf *out) {
    teller t;
    uint32_t pair[2] = {XG_NONE, XG_NONE};
    entries all = {0};
    xg_status st = find_pair(a, e->sel->graph, names, pair);
    if (st == XG_OK) st = xg_teller_init(&t, a, e, out);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < 2; i++) put_where(&t, pair[i]);
    bool same = t.group_of[pair[0]] == t.group_of[pair[1]];
    xg_putf(out, "answer       they are %sin one group\n", same ? "" : "not ");
    put_relation(&t, pair[0], pair[1]);
    collect(&t, pair[0], pair[1], &all);
    if (!all.n) {
        put_almost(&t, pair);
        return XG_OK;
    }
    st = judge_all(&t, &all);
    if (st != XG_OK) return st;
    uint32_t possible = 0;
    for (uint32_t i = 0; i < all.n; i++) possible += !all.v[i].why;
    xg_putf(out, "candidates   %u groups with both are possible, best first; %u that patterns match are not\n",
            possible, all.n - possible);
    st = put_together_or_apart(&t, pair, &all);
    if (st != XG_OK) return st;
    put_entries(&t, &all);
    if (possible) put_legend(&t, "Cycles are predicted, of the slowest core.");
    return XG_OK;
}
