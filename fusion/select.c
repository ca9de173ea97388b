/* The simple strategies: `layer` (a node a group) and `greedy` (a convolution takes the
 * element-wise, table and pooling nodes behind it while that is predicted to be cheaper). */
#include "fusion/select.h"

#include "fusion/choose.h"
#include "fusion/known.h"

#include <stdlib.h>
#include <string.h>

static bool needs_tiles(const xg_chooser *c, uint32_t node) {
    xg_tile_kind k = xg_node_tile_kind(c->g, xg_nodep(c->g, node));
    return k != XG_TK_CONCAT && k != XG_TK_VIEW;
}

xg_group xg_make_group(xg_chooser *c, const uint32_t *node, uint32_t n, const char *pattern) {
    xg_group g = {.nnode = n, .node = xg_memdup(c->a, node, n * sizeof *node), .pattern = pattern};
    g.host_reason = c->refused[node[0]];
    g.where = g.host_reason ? XG_ON_HOST : XG_ON_ACCEL;
    xg_group_find_results(c->a, c->g, &g);
    return g;
}

/* Least tiles when no candidate fits doubly buffered: the planner goes on from here. */
static xg_strategy least(const xg_chooser *c, const xg_group *g) {
    int64_t d[4];
    xg_group_dims(c->g, g, d);
    bool images = c->m->cores == 1 || d[0] >= c->m->cores;
    return (xg_strategy){.tile_h = c->m->tile.pp,
                         .tile_w = (uint32_t)d[2],
                         .split = images ? XG_SPLIT_IMAGE : XG_SPLIT_ROWS,
                         .tile_oc = (uint32_t)xg_max(c->m->tile.ocp, c->m->tile.icp)};
}

static bool best_alone(const xg_chooser *c, const xg_group *g, xg_strategy *s, xg_estimate *e) {
    return c->known ? xg_known_best(c->known, c->g, c->m, g, s, e)
                    : xg_best_strategy(c->g, c->m, g, NULL, s, e);
}

bool xg_may_be_flat(const xg_chooser *c, const xg_group *g) {
    return c->flat_views && xg_flat_pays(c->g, c->m, g) && !xg_flat_refuses(c->g, &c->uses, g);
}

void xg_price_group(xg_chooser *c, xg_group *g) {
    xg_estimate e = {0};
    if (g->where != XG_ON_ACCEL) return;
    int64_t d[4];
    xg_dims4(xg_out(c->g, xg_nodep(c->g, g->node[0]), 0), d);
    bool images = c->m->cores == 1 || d[0] >= c->m->cores;
    g->strategy = (xg_strategy){.split = images ? XG_SPLIT_IMAGE : XG_SPLIT_ROWS};
    if (!needs_tiles(c, g->node[0])) return;
    if (!best_alone(c, g, &g->strategy, &e)) {
        g->strategy = least(c, g);
        xg_estimate_group(c->g, c->m, g, &g->strategy, NULL, &e);
    }
    g->cost_cycles = e.cycles;
}

/* The only reader of the node's result, when it can follow on chip; XG_NONE else. */
uint32_t xg_follower(const xg_chooser *c, uint32_t node) {
    uint32_t t = xg_nodep(c->g, node)->out[0];
    if (xg_tensorp(c->g, t)->is_output || c->uses.first[t + 1] - c->uses.first[t] != 1)
        return XG_NONE;
    uint32_t next = c->uses.node[c->uses.first[t]];
    const xg_node *n = xg_nodep(c->g, next);
    xg_tile_kind k = xg_node_tile_kind(c->g, n);
    if (c->refused[next] || c->taken[next]) return XG_NONE;
    if (k != XG_TK_LUT && k != XG_TK_ELEW && k != XG_TK_POOL) return XG_NONE;
    int64_t a[4], b[4];
    xg_dims4(xg_tensorp(c->g, t), a);
    xg_dims4(xg_out(c->g, n, 0), b);
    if (k == XG_TK_ELEW && memcmp(a, b, sizeof a))
        return XG_NONE; /* it would be the repeated operand */
    return next;
}

const char *xg_ops_name(const xg_chooser *c, const uint32_t *node, uint32_t n) {
    xg_buf b = {.arena = c->a};
    for (uint32_t i = 0; i < n; i++)
        xg_putf(&b, "%s%s", i ? "+" : "", xg_ops[xg_nodep(c->g, node[i])->op].name);
    return b.p;
}

enum { LONGEST = 4 };

static xg_group greedy_group(xg_chooser *c, uint32_t node) {
    uint32_t chain[LONGEST] = {node}, n = 1;
    xg_group best = xg_make_group(c, chain, 1, "single");
    xg_price_group(c, &best);
    xg_tile_kind k = xg_node_tile_kind(c->g, xg_nodep(c->g, node));
    if (best.where != XG_ON_ACCEL || (k != XG_TK_CONV && k != XG_TK_DW)) return best;
    uint64_t apart = best.cost_cycles;
    for (uint32_t next; n < LONGEST && (next = xg_follower(c, chain[n - 1])) != XG_NONE;) {
        xg_group alone = xg_make_group(c, &next, 1, "single");
        xg_price_group(c, &alone);
        apart += alone.cost_cycles;
        chain[n++] = next;
        xg_group fused = xg_make_group(c, chain, n, xg_ops_name(c, chain, n));
        xg_estimate e;
        if (!best_alone(c, &fused, &fused.strategy, &e) || e.cycles > apart) break;
        fused.cost_cycles = apart = e.cycles;
        best = fused;
    }
    return best;
}

/* Groups in an order in which they can run, staying on one side (accelerator, host) as long as
 * possible. */
void xg_order_groups(xg_chooser *c) {
    xg_selection *s = c->out;
    uint32_t n = s->group.n, done = 0;
    uint32_t *group_of = xg_newn(c->a, uint32_t, c->g->node.n + 1);
    bool *ran = xg_newn(c->a, bool, n + 1);
    xg_group *to = xg_newn(c->a, xg_group, n + 1);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < s->group.v[i].nnode; k++) group_of[s->group.v[i].node[k]] = i;
    for (xg_where side = XG_ON_HOST; done < n; side = side == XG_ON_HOST ? XG_ON_ACCEL : XG_ON_HOST)
        for (uint32_t i = 0; i < n; i++) {
            const xg_group *g = &s->group.v[i];
            bool ready = !ran[i] && g->where == side;
            for (uint32_t k = 0; ready && k < g->nnode; k++) {
                const xg_node *nd = xg_nodep(c->g, g->node[k]);
                for (uint32_t j = 0; ready && j < nd->nin; j++) {
                    const xg_tensor *t = xg_in(c->g, nd, j);
                    if (t && t->producer != XG_NONE && group_of[t->producer] != i)
                        ready = ran[group_of[t->producer]];
                }
            }
            if (!ready) continue;
            ran[i] = true;
            to[done++] = *g;
        }
    s->group.v = to;
    s->group.cap = n + 1;
}

/* Later groups' outputs come later: groups are made in the order of their last node, which keeps
 * them topological. */
static int by_last_node(const void *a, const void *b) {
    const xg_group *x = a, *y = b;
    uint32_t p = x->node[x->nnode - 1], q = y->node[y->nnode - 1];
    return p < q ? -1 : p > q;
}

void xg_chooser_init(xg_chooser *c, xg_arena *a, const xg_graph *g, const xg_machine *m,
                     xg_selection *out) {
    *c = (xg_chooser){.a = a,
                      .g = g,
                      .flat = xg_flat_graph(a, g, m),
                      .m = m,
                      .out = out,
                      .uses = xg_graph_uses(g, a),
                      .refused = xg_newn(a, const char *, g->node.n + 1),
                      .taken = xg_newn(a, bool, g->node.n + 1)};
    for (uint32_t i = 0; i < g->node.n; i++) c->refused[i] = xg_tile_refuses(a, g, m, i);
}

static void select_simple(xg_chooser *c, bool greedy) {
    for (uint32_t i = 0; i < c->g->node.n; i++) {
        if (c->taken[i]) continue;
        xg_group grp = greedy ? greedy_group(c, i) : xg_make_group(c, &i, 1, "single");
        if (!greedy) xg_price_group(c, &grp);
        for (uint32_t k = 0; k < grp.nnode; k++) c->taken[grp.node[k]] = true;
        xg_push(c->a, &c->out->group, grp);
    }
    qsort(c->out->group.v, c->out->group.n, sizeof *c->out->group.v, by_last_node);
    xg_order_groups(c);
}

xg_status xg_select_with(xg_arena *a, const xg_graph *g, const xg_machine *m,
                         const xg_select_options *o, xg_selection *out) {
    static const char *const names[] = {"layer", "greedy", "path", "ilp"};
    uint32_t which = 0;
    while (which < XG_COUNT(names) && strcmp(names[which], o->strategy)) which++;
    if (which == XG_COUNT(names))
        return xg_error(xg_arena_ctx(a), XG_USAGE, "",
                        "unknown strategy '%s'; there are layer, greedy, path and ilp",
                        o->strategy);
    *out = (xg_selection){.graph = g, .strategy = names[which], .note = ""};
    xg_chooser c;
    xg_chooser_init(&c, a, g, m, out);
    c.patterns = o->patterns;
    c.known = o->known;
    c.lp = o->lp;
    c.admit = o->admit;
    c.admit_arg = o->admit_arg;
    c.image_by_image = o->image_by_image;
    c.nothing_kept = o->nothing_kept;
    c.flat_views = o->flat;
    if (which >= 2) {
        size_t diags = xg_diag_count(xg_arena_ctx(a));
        xg_status st = which == 2 ? xg_select_path(&c) : xg_select_ilp(&c);
        if (st != XG_LIMIT) return st;
        xg_diag_truncate(xg_arena_ctx(a), diags); /* no cover: the greedy one instead */
        *out = (xg_selection){.graph = g,
                              .strategy = names[which],
                              .note = "no cover was found by these candidates; greedy"};
        c.out = out;
        which = 1;
    }
    select_simple(&c, which == 1);
    return XG_OK;
}

xg_status xg_select(xg_arena *a, const xg_graph *g, const xg_machine *m, const char *strategy,
                    xg_selection *out) {
    return xg_select_with(a, g, m, &(xg_select_options){.strategy = strategy}, out);
}
