/* The best cover of the graph by groups, their strategies, and what stays on chip, as one 0-1
 * program.
 *
 * Columns: one for each (candidate group, which border tensors lie on chip, room taken), and for
 * each tensor r (stays on chip) and d (lies in DDR). Rows: each node is covered once; a column that
 * reads a tensor on chip (from DDR) needs its r (its d), one row for each tensor and reader; what
 * makes a tensor makes it where r and d say; at each node's turn the room of its group and of all
 * that stays then fits the feature-map memory. A concat's result and what lies in it share r and d.
 * Costs are estimated cycles (isa/timing.c), with the DDR's busy cycles as a small second term.
 */
#include "fusion/choose.h"
#include "fusion/mip.h"
#include "fusion/patterns.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUDGETS = 3, /* room tried for a group: all, a half, a quarter of the memory */
    OUTS = 3,    /* output on chip, in DDR, both */
    INPUTS = 3,  /* inputs of a group that may lie on chip one by one; more: all or none */
    PIVOTS = 400000,
    NODES = 400,
    CYCLE_WEIGHT = 16 /* cost of a cycle, when a busy DDR cycle costs 1 */
};

typedef struct variant {
    uint32_t cand, column;
    uint32_t chip_in; /* mask over the parts' inputs */
    bool chip_out, to_ddr;
    xg_strategy strategy;
    xg_estimate est;
    int64_t cost;
} variant;

typedef struct cand {
    xg_group group;
    uint32_t last; /* position of its last node */
} cand;

typedef struct ilp {
    xg_chooser *c;
    const xg_graph *g;
    const xg_machine *m;
    xg_arena *a;
    xg_selection base;       /* every node alone: order and segments */
    uint32_t *pos;           /* [nodes] turn */
    uint32_t *segment;       /* [nodes] */
    uint32_t *parent;        /* [tensors] concat that it lies in */
    bool *choice;            /* [tensors] may stay on chip */
    bool *forced;            /* [tensors] somebody needs it in DDR */
    uint32_t *rep;           /* [tensors] the tensor whose r and d stand for it */
    uint32_t *r_col, *d_col; /* [tensors] of representatives */
    XG_VEC(cand) cand;
    XG_VEC(variant) var;
    xg_mip *mip;
} ilp;

/* ---- what may stay
 * --------------------------------------------------------------------------------------- */

static void order_nodes(ilp *s) {
    uint32_t at = 0, seg = 0;
    xg_where side = XG_ON_ACCEL;
    for (uint32_t i = 0; i < s->base.group.n; i++) {
        const xg_group *g = &s->base.group.v[i];
        if (g->where != side) seg++;
        side = g->where;
        s->pos[g->node[0]] = at++;
        s->segment[g->node[0]] = seg;
    }
}

static uint32_t whole_words(const ilp *s, uint32_t t) {
    xg_slice whole = xg_slice_whole(xg_tensorp(s->g, t), 0);
    uint32_t il = 1;
    for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
        uint32_t want = xg_node_interleave(s->g, xg_nodep(s->g, s->c->uses.node[u]));
        if (want > il) il = want;
    }
    return xg_fm_words(s->m, &whole, il);
}

static bool reads_on_chip(const ilp *s, uint32_t node, uint32_t t) {
    const xg_node *n = xg_nodep(s->g, node);
    xg_tile_kind k = xg_node_tile_kind(s->g, n);
    if (s->c->refused[node] || k == XG_TK_VIEW) return false;
    return k != XG_TK_CONCAT || s->parent[t] == n->out[0];
}

/* Readers in another segment, on the host, or through a view want the tensor in DDR. */
static void find_choices(ilp *s) {
    const bool *may = xg_may_stay(&s->base, s->m, s->a);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        const xg_tensor *x = xg_tensorp(s->g, t);
        s->rep[t] = t;
        s->forced[t] = x->is_output;
        if (x->producer == XG_NONE || !may[t]) continue;
        uint32_t near = 0;
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
            uint32_t n = s->c->uses.node[u];
            bool here = reads_on_chip(s, n, t) && s->segment[n] == s->segment[x->producer];
            if (here)
                near++;
            else
                s->forced[t] = true;
        }
        s->choice[t] = near && whole_words(s, t) * (uint64_t)8 <= s->m->tile.fm_depth * (uint64_t)7;
    }
}

/* A concat's result stays only with all its operands; else nothing may lie in it on chip. */
static void join_concats(ilp *s) {
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

/* ---- candidates and their variants
 * ------------------------------------------------------------------------- */

static void add_candidate(ilp *s, const uint32_t *node, uint32_t n, const char *pattern) {
    if (s->c->admit && !s->c->admit(s->c->admit_arg, node, n)) return;
    cand c = {.group = xg_make_group(s->c, node, n, pattern)};
    for (uint32_t k = 0; k < n; k++)
        if (s->pos[node[k]] > c.last) c.last = s->pos[node[k]];
    xg_push(s->a, &s->cand, c);
}

/* Every node alone, and what the pattern library matches. */
static xg_status find_candidates(ilp *s) {
    const xg_patterns *library;
    xg_candidates found = {0};
    bool *accel = xg_newn(s->a, bool, s->g->node.n + 1);
    for (uint32_t i = 0; i < s->g->node.n; i++) {
        accel[i] = !s->c->refused[i];
        add_candidate(s, &i, 1, "single");
    }
    xg_status st = xg_patterns_load(s->a, s->c->patterns, &library);
    if (st == XG_OK) st = xg_match(s->a, s->g, accel, library, &found, NULL);
    for (uint32_t i = 0; st == XG_OK && i < found.n; i++) {
        bool together = true;
        for (uint32_t k = 1; k < found.v[i].nnode; k++)
            together = together && s->segment[found.v[i].node[k]] == s->segment[found.v[i].node[0]];
        if (together) add_candidate(s, found.v[i].node, found.v[i].nnode, found.v[i].pattern);
    }
    return st;
}

typedef struct maker {
    ilp *s;
    uint32_t cand;
    uint32_t masks[1 << INPUTS];
    uint32_t nmask;
    bool out_choice, out_forced;
    bool have[1 << INPUTS][OUTS][BUDGETS];
    variant best[1 << INPUTS][OUTS][BUDGETS];
    bool ready;
} maker;

static void list_masks(maker *k, const xg_parts *p) {
    uint32_t may[XG_PARTS_INPUTS], n = 0, all = 0;
    for (uint32_t i = 0; i < p->nin; i++)
        if (k->s->choice[p->in[i].tensor]) may[n++] = i, all |= 1u << i;
    k->masks[k->nmask++] = 0;
    if (n > INPUTS) {
        k->masks[k->nmask++] = all;
        return;
    }
    for (uint32_t m = 1; m < 1u << n; m++) {
        uint32_t mask = 0;
        for (uint32_t i = 0; i < n; i++)
            if (m >> i & 1) mask |= 1u << may[i];
        k->masks[k->nmask++] = mask;
    }
}

static void keep_best(maker *k, uint32_t mask, uint32_t out, const xg_strategy *st,
                      const xg_estimate *e) {
    int64_t cost = (int64_t)(e->cycles * CYCLE_WEIGHT +
                             e->ddr_bytes * 256 / (k->s->m->ddr.bytes_per_cycle_x256 + 1));
    for (uint32_t b = 0; b < BUDGETS; b++) {
        variant *v = &k->best[mask][out][b];
        if (e->fm_words > k->s->m->tile.fm_depth >> b || (k->have[mask][out][b] && v->cost <= cost))
            continue;
        k->have[mask][out][b] = true;
        *v = (variant){.cand = k->cand,
                       .chip_in = k->masks[mask],
                       .chip_out = out != 1,
                       .to_ddr = out != 0,
                       .strategy = *st,
                       .est = *e,
                       .cost = cost};
    }
}

static void weigh(void *arg, const xg_strategy *st) {
    maker *k = arg;
    xg_parts p;
    const xg_group *g = &k->s->cand.v[k->cand].group;
    xg_estimate_parts(k->s->g, k->s->m, g, st, &p);
    if (!p.valid) return;
    if (!k->ready) {
        list_masks(k, &p);
        k->out_choice = k->s->choice[p.out.tensor];
        k->out_forced = k->s->forced[p.out.tensor];
        k->ready = true;
    }
    for (uint32_t m = 0; m < k->nmask; m++)
        for (uint32_t o = 0; o < OUTS; o++) {
            if ((o != 1 && !k->out_choice) || (o == 0 && k->out_forced)) continue;
            xg_estimate e;
            xg_estimate_sum(k->s->m, &p, k->masks[m], o != 1, o != 0, k->s->m->tile.fm_depth, &e);
            bool folded_on_chip = p.folded != XG_NONE && (k->masks[m] >> p.folded & 1);
            if (e.fits && !folded_on_chip) keep_best(k, m, o, st, &e);
        }
}

static void push_variant(ilp *s, variant v) {
    v.column = xg_mip_col(s->mip, v.cost, true);
    xg_push(s->a, &s->var, v);
}

/* One budget's best is dropped when a smaller room costs no more. */
static void push_best(maker *k) {
    for (uint32_t m = 0; m < k->nmask; m++)
        for (uint32_t o = 0; o < OUTS; o++)
            for (uint32_t b = 0; b < BUDGETS; b++) {
                if (!k->have[m][o][b]) continue;
                const variant *v = &k->best[m][o][b];
                bool same =
                    b + 1 < BUDGETS && k->have[m][o][b + 1] && k->best[m][o][b + 1].cost <= v->cost;
                if (!same) push_variant(k->s, *v);
            }
}

/* Singles always have a column, so that a cover exists. */
static void plain_variant(ilp *s, uint32_t i) {
    cand *c = &s->cand.v[i];
    xg_price_group(s->c, &c->group);
    variant v = {.cand = i,
                 .to_ddr = true,
                 .strategy = c->group.strategy,
                 .cost = (int64_t)c->group.cost_cycles * CYCLE_WEIGHT};
    v.est.cycles = c->group.cost_cycles;
    push_variant(s, v);
}

static void find_variants(ilp *s) {
    maker *k = xg_new(s->a, maker);
    for (uint32_t i = 0; i < s->cand.n; i++) {
        const xg_group *g = &s->cand.v[i].group;
        xg_tile_kind kind = xg_node_tile_kind(s->g, xg_nodep(s->g, g->node[0]));
        bool tiles = g->where == XG_ON_ACCEL && kind != XG_TK_CONCAT && kind != XG_TK_VIEW;
        memset(k, 0, sizeof *k);
        k->s = s;
        k->cand = i;
        uint32_t before = s->var.n;
        if (tiles) xg_each_strategy(s->g, s->m, g, weigh, k);
        if (k->ready) push_best(k);
        if (s->var.n == before && g->nnode == 1) plain_variant(s, i);
    }
}

/* ---- rows
 * ---------------------------------------------------------------------------------------------------------
 */

static void add_tensor_columns(ilp *s) {
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        s->r_col[t] = s->d_col[t] = XG_NONE;
        if (!s->choice[t] || s->rep[t] != t) continue;
        s->r_col[t] = xg_mip_col(s->mip, 0, true);
        s->d_col[t] = xg_mip_col(s->mip, 0, true);
    }
}

static void add_covers(ilp *s) {
    uint32_t first = xg_mip_row(s->mip, 1, 1);
    for (uint32_t i = 1; i < s->g->node.n; i++) (void)xg_mip_row(s->mip, 1, 1);
    for (uint32_t v = 0; v < s->var.n; v++) {
        const xg_group *g = &s->cand.v[s->var.v[v].cand].group;
        for (uint32_t k = 0; k < g->nnode; k++)
            xg_mip_add(s->mip, first + g->node[k], s->var.v[v].column, 1);
    }
}

/* Rows for (tensor, reader node): two numbers each, made when first needed. */
typedef struct reader_rows {
    uint32_t tensor, node, chip, ddr;
} reader_rows;

static bool covers(const xg_group *g, uint32_t node) {
    for (uint32_t k = 0; k < g->nnode; k++)
        if (g->node[k] == node) return true;
    return false;
}

static void add_reader_rows(ilp *s, uint32_t t, uint32_t node, const uint32_t *var_of_node,
                            const uint32_t *next) {
    uint32_t rep = s->rep[t],
             row[2] = {xg_mip_row(s->mip, INT64_MIN, 0), xg_mip_row(s->mip, INT64_MIN, 0)};
    xg_mip_add(s->mip, row[0], s->r_col[rep], -1);
    xg_mip_add(s->mip, row[1], s->d_col[rep], -1);
    for (uint32_t e = var_of_node[node]; e != XG_NONE; e = next[e]) {
        const variant *v = &s->var.v[e / 16];
        const xg_group *g = &s->cand.v[v->cand].group;
        if (covers(g, xg_tensorp(s->g, t)->producer)) continue; /* inside the group */
        xg_parts p;
        xg_estimate_parts(s->g, s->m, g, &v->strategy, &p);
        bool chip = false;
        for (uint32_t k = 0; k < p.nin; k++) chip |= p.in[k].tensor == t && (v->chip_in >> k & 1);
        xg_mip_add(s->mip, row[chip ? 0 : 1], v->column, 1);
    }
}

/* Chains of variants by the nodes that they cover: entry 16 v + k is node k of variant v. */
static void link_variants(ilp *s, uint32_t *head, uint32_t *next) {
    for (uint32_t i = 0; i < s->g->node.n; i++) head[i] = XG_NONE;
    for (uint32_t v = 0; v < s->var.n; v++) {
        const xg_group *g = &s->cand.v[s->var.v[v].cand].group;
        for (uint32_t k = 0; k < g->nnode && k < 16; k++) {
            next[16 * v + k] = head[g->node[k]];
            head[g->node[k]] = 16 * v + k;
        }
    }
}

static void add_agreement(ilp *s) {
    uint32_t *head = xg_newn(s->a, uint32_t, s->g->node.n + 1),
             *next = xg_newn(s->a, uint32_t, 16 * (size_t)s->var.n + 1);
    link_variants(s, head, next);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        if (!s->choice[t]) continue;
        uint32_t last = XG_NONE;
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
            uint32_t n = s->c->uses.node[u];
            if (n != last && reads_on_chip(s, n, t) && xg_nodep(s->g, n)->op != XG_OP_Concat)
                add_reader_rows(s, t, n, head, next);
            last = n;
        }
        uint32_t chip = xg_mip_row(s->mip, 0, 0), ddr = xg_mip_row(s->mip, 0, 0),
                 made = xg_tensorp(s->g, t)->producer;
        if (xg_nodep(s->g, made)->op == XG_OP_Concat) continue; /* its operands make it */
        xg_mip_add(s->mip, chip, s->r_col[s->rep[t]], -1);
        xg_mip_add(s->mip, ddr, s->d_col[s->rep[t]], -1);
        for (uint32_t e = head[made]; e != XG_NONE; e = next[e]) {
            const variant *v = &s->var.v[e / 16];
            const xg_group *g = &s->cand.v[v->cand].group;
            if (g->node[g->nnode - 1] != made) continue; /* an inner tensor */
            if (v->chip_out) xg_mip_add(s->mip, chip, v->column, 1);
            if (v->to_ddr) xg_mip_add(s->mip, ddr, v->column, 1);
        }
    }
}

/* Turn at which a group that covers the node may end. */
static uint32_t latest_end(const ilp *s, const uint32_t *end_of, uint32_t node) {
    (void)s;
    return end_of[node];
}

static void add_capacity(ilp *s) {
    uint32_t *end_of = xg_newn(s->a, uint32_t, s->g->node.n + 1),
             *row = xg_newn(s->a, uint32_t, s->g->node.n + 1);
    for (uint32_t i = 0; i < s->cand.n; i++)
        for (uint32_t k = 0; k < s->cand.v[i].group.nnode; k++) {
            uint32_t n = s->cand.v[i].group.node[k];
            if (s->cand.v[i].last > end_of[n]) end_of[n] = s->cand.v[i].last;
        }
    for (uint32_t p = 0; p < s->g->node.n; p++)
        row[p] = xg_mip_row(s->mip, INT64_MIN, s->m->tile.fm_depth);
    for (uint32_t v = 0; v < s->var.n; v++)
        xg_mip_add(s->mip, row[s->cand.v[s->var.v[v].cand].last], s->var.v[v].column,
                   s->var.v[v].est.fm_words);
    uint32_t *from = xg_newn(s->a, uint32_t, s->g->tensor.n + 1),
             *to = xg_newn(s->a, uint32_t, s->g->tensor.n + 1);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) from[t] = UINT32_MAX;
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        uint32_t r = s->rep[t];
        if (!s->choice[t]) continue;
        uint32_t made = s->pos[xg_tensorp(s->g, t)->producer];
        if (made < from[r]) from[r] = made;
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
            uint32_t e = latest_end(s, end_of, s->c->uses.node[u]);
            if (e > to[r]) to[r] = e;
        }
    }
    for (uint32_t t = 0; t < s->g->tensor.n; t++)
        if (s->r_col[t] != XG_NONE)
            for (uint32_t p = from[t]; p <= to[t] && p < s->g->node.n; p++)
                xg_mip_add(s->mip, row[p], s->r_col[t], whole_words(s, t));
}

/* ---- the answer
 * ------------------------------------------------------------------------------------------------------
 */

typedef struct placed_group {
    xg_group g;
    uint32_t last;
} placed_group;

static int by_turn(const void *a, const void *b) {
    const placed_group *x = a, *y = b;
    return x->last < y->last ? -1 : x->last > y->last;
}

static void take_answer(ilp *s, const xg_mip_result *r) {
    xg_selection *out = s->c->out;
    out->on_chip = xg_newn(s->a, bool, s->g->tensor.n + 1);
    bool *inner = xg_newn(s->a, bool, s->g->tensor.n + 1);
    XG_VEC(placed_group) chosen = {0};
    for (uint32_t v = 0; v < s->var.n; v++) {
        const variant *x = &s->var.v[v];
        if (!r->x[x->column]) continue;
        placed_group p = {s->cand.v[x->cand].group, s->cand.v[x->cand].last};
        p.g.strategy = x->strategy;
        p.g.cost_cycles = x->est.cycles;
        xg_push(s->a, &chosen, p);
        for (uint32_t k = 0; k + 1 < p.g.nnode; k++)
            inner[xg_nodep(s->g, p.g.node[k])->out[0]] = true;
    }
    qsort(chosen.v, chosen.n, sizeof *chosen.v, by_turn);
    for (uint32_t i = 0; i < chosen.n; i++) xg_push(s->a, &out->group, chosen.v[i].g);
    out->solved = true;
    out->value = r->value;
    out->bound = r->bound;
    uint32_t staying = 0;
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        out->on_chip[t] = s->choice[t] && !inner[t] && r->x[s->r_col[s->rep[t]]];
        staying += out->on_chip[t];
    }
    out->note =
        xg_strf(s->a,
                "ilp: %u rows, %u columns, value %lld, bound %.0f, gap %.3f %%, %u nodes, %u "
                "tensors stay on chip",
                r->rows, r->cols, (long long)r->value, r->bound,
                r->value > 0 ? 100.0 * ((double)r->value - r->bound) / (double)r->value : 0.0,
                r->nodes, staying);
}

static void prepare(ilp *s) {
    uint32_t nt = s->g->tensor.n + 1, nn = s->g->node.n + 1;
    s->pos = xg_newn(s->a, uint32_t, nn);
    s->segment = xg_newn(s->a, uint32_t, nn);
    s->choice = xg_newn(s->a, bool, nt);
    s->forced = xg_newn(s->a, bool, nt);
    s->rep = xg_newn(s->a, uint32_t, nt);
    s->r_col = xg_newn(s->a, uint32_t, nt);
    s->d_col = xg_newn(s->a, uint32_t, nt);
    s->mip = xg_mip_new(s->a);
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

xg_status xg_select_ilp(xg_chooser *c) {
    ilp *s = xg_new(c->a, ilp);
    *s = (ilp){.c = c, .g = c->g, .m = c->m, .a = c->a};
    if (!c->g->node.n) return XG_OK;
    prepare(s);
    order_nodes(s);
    find_choices(s);
    join_concats(s);
    xg_status st = find_candidates(s);
    if (st != XG_OK) return st;
    find_variants(s);
    add_tensor_columns(s);
    add_covers(s);
    add_agreement(s);
    add_capacity(s);
    if (c->lp) xg_mip_print_lp(s->mip, c->lp);
    xg_mip_result r;
    st = xg_mip_solve(s->mip, PIVOTS, NODES, &r);
    if (st != XG_OK) return st;
    if (!r.feasible)
        return xg_error(xg_arena_ctx(c->a), XG_LIMIT, "",
                        "the solver found no cover within its budget (%u rows, %u columns)", r.rows,
                        r.cols);
    take_answer(s, &r);
    return XG_OK;
}
