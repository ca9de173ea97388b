/* Candidate groups and their columns: the strategies of each group, costed for every combination of
 * border tensors on chip; of those that differ in room only, the cheapest for each of a few
 * budgets.
 */
#include "fusion/ilp.h"
#include "fusion/known.h"

#include <string.h>

enum {
    BUDGETS = 3, /* room tried for a group: all, a half, a quarter of the memory */
    BATCHED = 3, /* beside them: the cheapest batched strategy, which takes all room */
    KINDS,
    OUTS = 8,   /* where the results lie */
    INPUTS = 3, /* inputs of a group that may lie on chip one by one; more: all or none */
    RESULTS = 3 /* the same of siblings' results */
};

static void add_candidate(xg_ilp *s, const uint32_t *node, uint32_t n, const char *pattern) {
    xg_cand c = {.group = xg_make_group(s->c, node, n, pattern), .first = s->pos[node[0]]};
    c.barred = s->c->admit && !s->c->admit(s->c->admit_arg, node, n);
    if (c.barred && c.group.nresult > 1) return;
    for (uint32_t k = 0; k < n; k++) {
        if (s->pos[node[k]] < c.first) c.first = s->pos[node[k]];
        if (s->pos[node[k]] > c.last) c.last = s->pos[node[k]];
    }
    const uint32_t *result;
    uint32_t nresult = xg_group_results(&c.group, &result);
    c.turn = c.last;
    for (uint32_t r = 0; r < nresult; r++)
        if (s->pos[result[r]] < c.turn) c.turn = s->pos[result[r]];
    xg_push(s->a, &s->cand, c);
}

static void add_matches(xg_ilp *s, const xg_candidates *found, bool siblings) {
    for (uint32_t i = 0; i < found->n; i++) {
        const xg_candidate *c = &found->v[i];
        bool together = c->siblings == siblings;
        for (uint32_t k = 1; k < c->nnode; k++)
            together = together && s->segment[c->node[k]] == s->segment[c->node[0]];
        if (together) add_candidate(s, c->node, c->nnode, c->pattern);
    }
}

/* Every node alone, and what the pattern library matches: siblings behind their branches. */
xg_status xg_ilp_find_candidates(xg_ilp *s) {
    const xg_candidates *found;
    bool *accel = xg_newn(s->a, bool, s->g->node.n + 1);
    for (uint32_t i = 0; i < s->g->node.n; i++) {
        accel[i] = !s->c->refused[i];
        add_candidate(s, &i, 1, "single");
    }
    xg_status st = s->c->known ? XG_OK : xg_known_new(s->a, s->c->patterns, &s->c->known);
    if (st == XG_OK) st = xg_known_match(s->c->known, s->g, accel, &found);
    if (st == XG_OK) add_matches(s, found, false);
    if (st == XG_OK) add_matches(s, found, true);
    return st;
}

typedef struct maker {
    xg_ilp *s;
    uint32_t cand;
    uint32_t masks[1 << INPUTS];
    uint32_t nmask;
    uint32_t chip_out[OUTS], to_ddr[OUTS]; /* masks over the results */
    uint32_t nout;
    bool have[1 << INPUTS][OUTS][KINDS];
    xg_var best[1 << INPUTS][OUTS][KINDS];
    bool ready;
    bool flat; /* the strategies that are weighed */
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

static void add_out(maker *k, uint32_t chip, uint32_t ddr) {
    k->chip_out[k->nout] = chip;
    k->to_ddr[k->nout++] = ddr;
}

/* Several results: each on chip or in DDR; both only where somebody needs it there. Those that lie
 * in one concat go together. */
static void list_sibling_outs(maker *k, const xg_parts *p) {
    uint32_t unit[XG_GROUP_RESULTS], rep[XG_GROUP_RESULTS], n = 0;
    uint32_t all = (1u << p->nout) - 1, forced = 0;
    for (uint32_t i = 0; i < p->nout; i++) {
        uint32_t t = p->out[i].tensor, u = 0;
        forced |= (uint32_t)k->s->forced[t] << i;
        if (!k->s->choice[t]) continue;
        while (u < n && rep[u] != k->s->rep[t]) u++;
        if (u == n) rep[n] = k->s->rep[t], unit[n++] = 0;
        unit[u] |= 1u << i;
    }
    for (; n > RESULTS; n--) unit[n - 2] |= unit[n - 1];
    for (uint32_t m = 0; m < 1u << n; m++) {
        uint32_t chip = 0;
        for (uint32_t u = 0; u < n; u++) chip |= m >> u & 1 ? unit[u] : 0;
        add_out(k, chip, (all & ~chip) | forced);
    }
}

static void list_outs(maker *k, const xg_parts *p) {
    if (p->nout > 1) {
        list_sibling_outs(k, p);
        return;
    }
    bool choice = k->s->choice[p->out[0].tensor];
    if (choice && !k->s->forced[p->out[0].tensor]) add_out(k, 1, 0);
    add_out(k, 0, 1);
    if (choice) add_out(k, 1, 1);
}

int64_t xg_ilp_cost(const xg_machine *m, const xg_estimate *e) {
    return (int64_t)(e->cycles * XG_ILP_CYCLE_WEIGHT +
                     e->ddr_bytes * 256 / (m->ddr.bytes_per_cycle_x256 + 1));
}

static void keep_best(maker *k, uint32_t mask, uint32_t out, const xg_strategy *st,
                      const xg_estimate *e) {
    int64_t cost = xg_ilp_cost(k->s->m, e);
    for (uint32_t b = st->batched ? BATCHED : 0; b < (st->batched ? KINDS : BUDGETS); b++) {
        xg_var *v = &k->best[mask][out][b];
        bool narrow = b < BUDGETS && e->fm_words > k->s->m->tile.fm_depth >> b;
        if (narrow || (k->have[mask][out][b] && v->cost <= cost)) continue;
        k->have[mask][out][b] = true;
        *v = (xg_var){.cand = k->cand,
                      .chip_in = k->masks[mask],
                      .chip_out = k->chip_out[out],
                      .to_ddr = k->to_ddr[out],
                      .strategy = *st,
                      .est = *e,
                      .cost = cost};
    }
}

static void note_inputs(xg_cand *c, const xg_parts *p) {
    c->nin = p->nin;
    for (uint32_t k = 0; k < p->nin; k++) c->in[k] = p->in[k].tensor;
}

/* What stays flat is no concat's result and lies in none: its parts may be in their own rows. */
static bool alone(const xg_ilp *s, uint32_t t) {
    uint32_t made = xg_tensorp(s->g, t)->producer;
    return s->parent[t] == XG_NONE && (made == XG_NONE || xg_nodep(s->g, made)->op != XG_OP_Concat);
}

static bool stays_flat(const xg_ilp *s, const xg_parts *p, uint32_t in, uint32_t out) {
    for (uint32_t k = 0; k < p->nin; k++)
        if (in >> k & 1 && !alone(s, p->in[k].tensor)) return false;
    for (uint32_t k = 0; k < p->nout; k++)
        if (out >> k & 1 && !alone(s, p->out[k].tensor)) return false;
    return true;
}

static void weigh(void *arg, const xg_strategy *st, const xg_parts *p) {
    maker *k = arg;
    xg_parts without;
    xg_strategy plain = *st;
    plain.flat = k->flat;
    st = &plain;
    if (st->batched && k->s->c->image_by_image) return;
    if (st->keep && k->s->c->nothing_kept) {
        plain.keep = false, p = &without;
        xg_estimate_parts(xg_seen_by(k->s->g, k->s->flat, st), k->s->m,
                          &k->s->cand.v[k->cand].group, st, &without);
    }
    if (!p->valid) return;
    if (!k->ready) {
        note_inputs(&k->s->cand.v[k->cand], p);
        list_masks(k, p);
        list_outs(k, p);
        k->ready = true;
    }
    for (uint32_t m = 0; m < k->nmask; m++)
        for (uint32_t o = 0; o < k->nout; o++) {
            xg_estimate e;
            if (st->batched && (k->masks[m] || k->chip_out[o])) continue;
            if (k->flat && !stays_flat(k->s, p, k->masks[m], k->chip_out[o])) continue;
            xg_estimate_sum(k->s->m, p, k->masks[m], k->chip_out[o], k->to_ddr[o],
                            k->s->m->tile.fm_depth, &e);
            bool folded_on_chip = p->folded != XG_NONE && (k->masks[m] >> p->folded & 1);
            if (st->batched) e.fm_words = k->s->m->tile.fm_depth; /* nothing stays meanwhile */
            if (e.fits && !folded_on_chip) keep_best(k, m, o, st, &e);
        }
}

static void push_variant(xg_ilp *s, xg_var v) {
    const xg_cand *c = &s->cand.v[v.cand];
    v.column = c->barred ? XG_NONE : xg_stairs_add_col(s->stairs, v.cost, c->first, c->last);
    v.estimated = v.cost;
    xg_push(s->a, &s->var, v);
}

/* Whether, with all borders in DDR, the other maker has as cheap a strategy for no more room. */
static bool beaten(const maker *k, const maker *by, uint32_t m, uint32_t o, uint32_t b) {
    if (!by || !by->ready || k->masks[m] || k->chip_out[o] || !by->have[m][o][b]) return false;
    int64_t mine = k->best[m][o][b].cost, other = by->best[m][o][b].cost;
    return other < mine || (other == mine && k->flat);
}

/* One budget's best is dropped when a smaller room costs no more, or `by` does. */
static void push_best(maker *k, const maker *by) {
    for (uint32_t m = 0; m < k->nmask; m++)
        for (uint32_t o = 0; o < k->nout; o++)
            for (uint32_t b = 0; b < KINDS; b++) {
                if (!k->have[m][o][b] || beaten(k, by, m, o, b)) continue;
                xg_var v = k->best[m][o][b];
                uint32_t less = b == BATCHED ? 0 : b + 1;
                bool same =
                    less < BUDGETS && k->have[m][o][less] && k->best[m][o][less].cost <= v.cost;
                bool siblings = k->s->cand.v[k->cand].group.nresult > 1;
                if (!same && (!siblings || xg_ilp_price_siblings(k->s, &v))) push_variant(k->s, v);
            }
}

/* A single always has a column with everything in DDR, so that a cover exists; where no tile fits
 * twice, the planner goes on from the least one. */
static void plain_variant(xg_ilp *s, uint32_t i) {
    xg_cand *c = &s->cand.v[i];
    xg_price_group(s->c, &c->group);
    xg_var v = {.cand = i,
                .to_ddr = 1,
                .strategy = c->group.strategy,
                .cost = (int64_t)c->group.cost_cycles * XG_ILP_CYCLE_WEIGHT};
    v.est.cycles = c->group.cost_cycles;
    push_variant(s, v);
}

/* The same shapes, attributes and freedoms give the same columns: `as` is a candidate that has
 * them. */
static void copy_variants(xg_ilp *s, uint32_t i, uint32_t as, const uint32_t *first) {
    for (uint32_t v = first[as]; v < first[as + 1]; v++) {
        xg_var mine = s->var.v[v];
        mine.cand = i;
        push_variant(s, mine);
    }
}

/* signature: the group's own. */
static void weigh_all(xg_ilp *s, maker *k, uint32_t i, const char *signature, bool flat) {
    memset(k->have, 0, sizeof k->have);
    k->s = s;
    k->cand = i;
    k->nmask = k->nout = 0;
    k->ready = false;
    k->flat = flat;
    if (flat) signature = xg_strf(s->a, "%s,flat", signature);
    xg_known_each(s->c->known, flat ? s->flat : s->g, s->m, &s->cand.v[i].group, signature, weigh,
                  k);
}

/* own, flat: for work; both list the same combinations of borders. */
static void make_variants(xg_ilp *s, maker *own, maker *flat, uint32_t i, const char *signature) {
    bool both = xg_may_be_flat(s->c, &s->cand.v[i].group);
    weigh_all(s, own, i, signature, false);
    if (both) weigh_all(s, flat, i, signature, true);
    if (own->ready) push_best(own, both ? flat : NULL);
    if (both && flat->ready) push_best(flat, own);
}

/* The group's own, of *own bytes, and the freedoms of its border. */
static const char *signature(const xg_ilp *s, const xg_group *g, xg_buf *key, size_t *own) {
    key->n = 0;
    xg_group_signature(s->g, g, key);
    *own = key->n;
    bool flat = xg_may_be_flat(s->c, g);
    xg_puts(key, flat ? "f" : "-");
    for (uint32_t k = 0; k < g->nnode; k++) {
        const xg_node *n = xg_nodep(s->g, g->node[k]);
        for (uint32_t j = 0; j < n->nin; j++) {
            bool choice = n->in[j] != XG_NONE && s->choice[n->in[j]];
            xg_puts(key, !choice ? "-" : flat && alone(s, n->in[j]) ? "a" : "c");
        }
    }
    const uint32_t *result;
    uint32_t n = xg_group_results(g, &result);
    for (uint32_t r = 0; r < n; r++) {
        uint32_t out = xg_nodep(s->g, result[r])->out[0], same = 0;
        while (s->rep[xg_nodep(s->g, result[same])->out[0]] != s->rep[out]) same++;
        xg_puts(key, !s->choice[out] ? "-" : flat && alone(s, out) ? "A" : "C");
        xg_puts(key, s->forced[out] ? "F" : "-");
        xg_putf(key, "%u", same);
    }
    return key->p;
}

void xg_ilp_find_variants(xg_ilp *s) {
    maker *own = xg_new(s->a, maker), *flat = xg_new(s->a, maker);
    uint32_t *first = xg_newn(s->a, uint32_t, s->cand.n + 2);
    xg_map known = {.arena = s->a};
    xg_buf key = {.arena = s->a};
    for (uint32_t i = 0; i < s->cand.n; i++) {
        const xg_group *g = &s->cand.v[i].group;
        xg_tile_kind kind = xg_node_tile_kind(s->g, xg_nodep(s->g, g->node[0]));
        first[i] = s->cand.v[i].first_var = s->var.n;
        if (g->where == XG_ON_ACCEL && kind != XG_TK_CONCAT && kind != XG_TK_VIEW) {
            size_t bytes;
            const char *sign = signature(s, g, &key, &bytes);
            uint32_t as = xg_map_get(&known, sign);
            if (as == XG_NONE) {
                xg_map_set(&known, sign, i);
                make_variants(s, own, flat, i, xg_strndup(s->a, sign, bytes));
            } else
                copy_variants(s, i, as, first);
        }
        if (s->var.n > first[i] && !s->cand.v[i].nin) {
            xg_parts p;
            const xg_strategy *st = &s->var.v[first[i]].strategy;
            xg_estimate_parts(xg_seen_by(s->g, s->flat, st), s->m, g, st, &p);
            note_inputs(&s->cand.v[i], &p);
        }
        bool plain = false;
        for (uint32_t v = first[i]; v < s->var.n; v++)
            plain = plain || (!s->var.v[v].chip_in && !s->var.v[v].chip_out);
        if (!plain && g->nnode == 1) plain_variant(s, i);
        first[i + 1] = s->cand.v[i].end_var = s->var.n;
    }
    uint32_t n = 0;
    for (uint32_t v = 0; v < s->var.n; v++)
        if (s->var.v[v].column != XG_NONE) s->var.v[n++] = s->var.v[v];
    s->var.n = s->nvar = n;
}
