/* The best cover of the graph by groups, their strategies, and what stays on chip, as one 0-1
 * program: what may stay, the solver's call, and the answer as a selection. */
#include "fusion/ilp.h"

#include <stdlib.h>

/* ---- what may stay
 * --------------------------------------------------------------------------------------- */

static void order_nodes(xg_ilp *s) {
    const uint32_t *run = xg_selection_runs(&s->base, s->a);
    for (uint32_t i = 0; i < s->base.group.n; i++) {
        s->pos[s->base.group.v[i].node[0]] = i;
        s->segment[s->base.group.v[i].node[0]] = run[i];
    }
}

uint32_t xg_ilp_whole_words(const xg_ilp *s, uint32_t t) {
    xg_slice whole = xg_slice_whole(xg_tensorp(s->g, t), 0);
    uint32_t il = 1;
    for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
        uint32_t want = xg_node_interleave(s->g, s->m, xg_nodep(s->g, s->c->uses.node[u]));
        if (want > il) il = want;
    }
    return xg_fm_words(s->m, &whole, il);
}

bool xg_ilp_has_view(const xg_ilp *s, uint32_t t) {
    int64_t d[4];
    xg_dims4(xg_tensorp(s->g, t), d);
    return d[1] * d[2] > 1;
}

bool xg_ilp_reads_on_chip(const xg_ilp *s, uint32_t node, uint32_t t) {
    const xg_node *n = xg_nodep(s->g, node);
    xg_tile_kind k = xg_node_tile_kind(s->g, n);
    if (s->c->refused[node] || k == XG_TK_VIEW) return false;
    return k != XG_TK_CONCAT || s->parent[t] == n->out[0];
}

/* Readers in another segment, on the host, or through a view want the tensor in DDR. */
static void find_choices(xg_ilp *s) {
    const bool *may = xg_may_stay(&s->base, s->m, s->a);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        const xg_tensor *x = xg_tensorp(s->g, t);
        s->rep[t] = t;
        s->forced[t] = x->is_output;
        if (x->producer == XG_NONE || !may[t]) continue;
        uint32_t near = 0;
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
            uint32_t n = s->c->uses.node[u];
            bool here = xg_ilp_reads_on_chip(s, n, t) && s->segment[n] == s->segment[x->producer];
            if (here)
                near++;
            else
                s->forced[t] = true;
        }
        s->choice[t] =
            near && xg_ilp_whole_words(s, t) * (uint64_t)8 <= s->m->tile.fm_depth * (uint64_t)7;
    }
}

/* A concat's result stays only with all its operands; else nothing may lie in it on chip. */
static void join_concats(xg_ilp *s) {
    for (uint32_t i = s->g->node.n; i-- > 0;) {
        const xg_node *n = xg_nodep(s->g, i);
        if (n->op != XG_OP_Concat || s->c->refused[i]) continue;
        uint32_t y = n->out[0];
        for (uint32_t k = 0; k < n->nin; k++)
            if (!s->choice[n->in[k]] || s->parent[n->in[k]] != y) s->choice[y] = false;
        for (uint32_t k = 0; k < n->nin; k++) {
            uint32_t t = n->in[k];
            if (s->parent[t] != y) continue;
            if (s->choice[y])
                s->rep[t] = s->rep[y];
            else
                s->forced[t] = true; /* the concat reads it in DDR */
        }
    }
    for (uint32_t t = 0; t < s->g->tensor.n; t++)
        if (s->rep[t] != t && s->forced[t]) s->forced[s->rep[t]] = true;
    for (uint32_t t = 0; t < s->g->tensor.n; t++) s->forced[t] |= s->forced[s->rep[t]];
}

/* ---- the answer
 * ------------------------------------------------------------------------------------------------------
 */

typedef struct placed_group {
    xg_group g;
    uint32_t turn;
} placed_group;

static int by_turn(const void *a, const void *b) {
    const placed_group *x = a, *y = b;
    return x->turn < y->turn ? -1 : x->turn > y->turn;
}

/* Groups and what stays on chip, from the program's columns. */
static void take_answer(xg_ilp *s, const bool *column) {
    xg_selection *out = s->c->out;
    out->on_chip = xg_newn(s->a, bool, s->g->tensor.n + 1);
    bool *inner = xg_newn(s->a, bool, s->g->tensor.n + 1);
    XG_VEC(placed_group) chosen = {0};
    for (uint32_t v = 0; v < s->var.n; v++) {
        const xg_var *x = &s->var.v[v];
        if (!column[x->column]) continue;
        placed_group p = {s->cand.v[x->cand].group, s->cand.v[x->cand].turn};
        p.g.strategy = x->strategy;
        p.g.settled = x->settled;
        p.g.cost_cycles = x->est.cycles;
        xg_push(s->a, &chosen, p);
        for (uint32_t k = 0; k < p.g.nnode; k++)
            inner[xg_nodep(s->g, p.g.node[k])->out[0]] = !xg_group_returns(&p.g, p.g.node[k]);
    }
    qsort(chosen.v, chosen.n, sizeof *chosen.v, by_turn);
    for (uint32_t i = 0; i < chosen.n; i++) xg_push(s->a, &out->group, chosen.v[i].g);
    out->could_stay = s->choice;
    for (uint32_t t = 0; t < s->g->tensor.n; t++)
        out->on_chip[t] = s->choice[t] && !inner[t] && column[s->r_col[s->rep[t]]];
}

static void prepare(xg_ilp *s) {
    uint32_t nt = s->g->tensor.n + 1, nn = s->g->node.n + 1;
    s->pos = xg_newn(s->a, uint32_t, nn);
    s->segment = xg_newn(s->a, uint32_t, nn);
    s->choice = xg_newn(s->a, bool, nt);
    s->forced = xg_newn(s->a, bool, nt);
    s->rep = xg_newn(s->a, uint32_t, nt);
    s->r_col = xg_newn(s->a, uint32_t, nt);
    s->d_col = xg_newn(s->a, uint32_t, nt);
    s->f_col = xg_newn(s->a, uint32_t, nt);
    s->stairs = xg_stairs_new(s->a, s->g->node.n);
    xg_selection *out = s->c->out;
    s->base = (xg_selection){.graph = s->g, .strategy = "ilp", .note = ""};
    s->c->out = &s->base;
    for (uint32_t i = 0; i < s->g->node.n; i++) {
        xg_group g = xg_make_group(s->c, &i, 1, "single");
        int64_t d[4];
        xg_dims4(xg_out(s->g, xg_nodep(s->g, i), 0), d);
        g.strategy.split = s->m->cores == 1 || d[0] >= s->m->cores ? XG_SPLIT_IMAGE : XG_SPLIT_ROWS;
        xg_push(s->a, &s->base.group, g);
    }
    xg_order_groups(s->c);
    s->c->out = out;
    s->parent = xg_concat_parents(&s->base, s->a);
}

xg_status xg_ilp_set_up(xg_ilp *s, xg_chooser *c, bool residency) {
    *s = (xg_ilp){.c = c, .g = c->g, .flat = c->flat, .m = c->m, .a = c->a};
    prepare(s);
    order_nodes(s);
    if (residency) {
        find_choices(s);
        join_concats(s);
    }
    xg_status st = xg_ilp_find_candidates(s);
    if (st == XG_OK) xg_ilp_find_variants(s);
    return st;
}

static xg_status no_cover(const xg_ilp *s) {
    return xg_error(xg_arena_ctx(s->a), XG_LIMIT, "", "no cover was found (%u candidates)",
                    s->cand.n);
}

/* Beyond, the program costs minutes and gigabytes: the path, which is a dynamic program, instead.
 */
enum { ILP_NODES_MAX = 5000 };

/* The program as it is -> c->out. */
static xg_status solve(xg_ilp *s) {
    xg_chooser *c = s->c;
    xg_ilp_add_rows(s);
    if (c->lp) xg_mip_print_lp(s->stairs->mip, c->lp);
    xg_mip_result r;
    xg_status st =
        xg_stairs_solve(s->stairs, xg_ilp_path(s), xg_ilp_tree_bound(s), &xg_stairs_usual, &r);
    if (st != XG_OK) return st;
    if (!r.feasible) return no_cover(s);
    take_answer(s, r.x);
    c->out->solved = true;
    c->out->value = r.value;
    c->out->bound = r.bound;
    uint32_t staying = 0;
    for (uint32_t t = 0; t < s->g->tensor.n; t++) staying += c->out->on_chip[t];
    c->out->note =
        xg_strf(s->a,
                "ilp: %u rows, %u columns, value %lld, bound %.0f, gap %.3f %%, %u nodes, %u "
                "tensors stay on chip",
                s->stairs->mip->row.n, s->stairs->mip->col.n, (long long)r.value, r.bound,
                r.value > 0 ? 100.0 * ((double)r.value - r.bound) / (double)r.value : 0.0, r.nodes,
                staying);
    return XG_OK;
}

xg_status xg_select_ilp(xg_chooser *c) {
    xg_ilp *s = xg_new(c->a, xg_ilp);
    if (!c->g->node.n) return XG_OK;
    if (c->g->node.n > ILP_NODES_MAX) {
        xg_status path = xg_select_path(c);
        c->out->note = xg_strf(c->a, "ilp: %u nodes, more than %d; %s", c->g->node.n, ILP_NODES_MAX,
                               c->out->note);
        return path;
    }
    xg_status st = xg_ilp_set_up(s, c, true);
    return st == XG_OK ? solve(s) : st;
}

struct xg_solver {
    xg_chooser c;
    xg_ilp ilp;
};

xg_status xg_solver_new(xg_arena *a, const xg_graph *g, const xg_machine *m,
                        const xg_select_options *o, xg_solver **out) {
    xg_solver *s = *out = xg_new(a, xg_solver);
    if (!g->node.n || g->node.n > ILP_NODES_MAX) return XG_LIMIT;
    xg_chooser_init(&s->c, a, g, m, NULL);
    s->c.patterns = o->patterns;
    s->c.known = o->known;
    s->c.lp = o->lp;
    s->c.admit = o->admit;
    s->c.admit_arg = o->admit_arg;
    s->c.image_by_image = o->image_by_image;
    s->c.flat_views = o->flat;
    return xg_ilp_set_up(&s->ilp, &s->c, true);
}

xg_status xg_solver_run(xg_solver *s, const xg_seen *seen, uint32_t n, xg_selection *out) {
    *out = (xg_selection){.graph = s->c.g, .strategy = "ilp", .note = ""};
    s->c.out = out;
    if (n) xg_ilp_learn(&s->ilp, seen, n);
    return solve(&s->ilp);
}

uint32_t xg_solver_candidates(const xg_solver *s) {
    return s->ilp.cand.n;
}

void xg_solver_swaps(xg_solver *s, xg_arena *a, const xg_selection *built, xg_swaps *out) {
    xg_ilp_learn(&s->ilp, &(xg_seen){built, built}, 1);
    xg_ilp_swaps(&s->ilp, a, built, out);
}

xg_status xg_solver_swap(xg_solver *s, xg_arena *a, const xg_selection *built, const xg_swap *swap,
                         xg_selection *out) {
    xg_chooser c = s->c;
    xg_ilp small = s->ilp; /* beside it: the columns of the whole program stay */
    *out = (xg_selection){.graph = c.g, .strategy = "ilp", .note = ""};
    small.a = c.a = a;
    small.c = &c;
    c.out = out;
    c.lp = NULL;
    if (!xg_ilp_restrict(&small, built, swap)) return XG_LIMIT;
    xg_status st = solve(&small);
    if (st == XG_OK) xg_ilp_keep_others(&small, built, swap, out);
    return st;
}

xg_status xg_select_path(xg_chooser *c) {
    xg_ilp *s = xg_new(c->a, xg_ilp);
    if (!c->g->node.n) return XG_OK;
    xg_status st = xg_ilp_set_up(s, c, false);
    if (st != XG_OK) return st;
    const bool *x = xg_ilp_path(s);
    if (!x) return no_cover(s);
    take_answer(s, x);
    c->out->note = xg_strf(s->a, "path: %u candidates, value %lld, the least with all in DDR",
                           s->cand.n, (long long)xg_mip_value(s->stairs->mip, x));
    return XG_OK;
}
