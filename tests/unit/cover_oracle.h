/* The cheapest cover, strategies and residency of a small graph, by trying everything: the rules of
 * fusion/ilp.h from their words, without its rows. It takes the candidates and their ways of
 * execution (with costs and room) from the program's columns, nothing else. */
#ifndef COVER_ORACLE_H
#define COVER_ORACLE_H

#include "fusion/ilp.h"

#include <stdlib.h>
#include <string.h>

enum { ORACLE_NODES = 24, ORACLE_TENSORS = 128 };

/* What is decided about a tensor (of those in one place on chip: about their representative). */
enum { UNDECIDED, CHIP, DDR, BOTH };

typedef struct oracle {
    const xg_ilp *s;
    int64_t best, steps;
    bool found;
    int64_t least[512];              /* [cands] cheapest way */
    uint32_t covered;                /* mask over nodes */
    uint32_t n, group[ORACLE_NODES]; /* candidates of the present cover */
    const xg_var *way[ORACLE_NODES];
    uint8_t state[ORACLE_TENSORS];  /* [tensors] by representative */
    int64_t rest[ORACLE_NODES + 1]; /* what groups from here on cost at least */
} oracle;

static inline bool in_group(const xg_group *g, uint32_t node) {
    for (uint32_t k = 0; k < g->nnode; k++)
        if (g->node[k] == node) return true;
    return false;
}

static inline bool reads_it(const xg_node *n, uint32_t t) {
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k] == t) return true;
    return false;
}

static inline uint32_t oracle_turn_end(const oracle *o, uint32_t t, uint32_t last) {
    for (uint32_t i = 0; i < o->n; i++) {
        const xg_cand *c = &o->s->cand.v[o->group[i]];
        for (uint32_t k = 0; o->way[i] && k < c->nin; k++)
            if (c->in[k] == t && (o->way[i]->chip_in >> k & 1) && c->turn > last) last = c->turn;
    }
    return last;
}

/* The turn of the group that makes t, or, for a concat, its own. */
static inline uint32_t oracle_turn_made(const oracle *o, uint32_t t) {
    uint32_t made = xg_tensorp(o->s->g, t)->producer;
    for (uint32_t i = 0; i < o->n; i++)
        if (in_group(&o->s->cand.v[o->group[i]].group, made)) return o->s->cand.v[o->group[i]].turn;
    abort();
}

/* Room at every turn, with the ways chosen so far. */
static inline bool room_suffices(const oracle *o) {
    const xg_ilp *s = o->s;
    uint64_t used[ORACLE_NODES] = {0};
    uint32_t from[ORACLE_TENSORS], to[ORACLE_TENSORS];
    for (uint32_t t = 0; t < s->g->tensor.n; t++) from[t] = UINT32_MAX, to[t] = 0;
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        uint32_t r = s->rep[t], made;
        if (!s->choice[t] || (o->state[r] != CHIP && o->state[r] != BOTH)) continue;
        made = oracle_turn_made(o, t);
        if (made < from[r]) from[r] = made;
        for (uint32_t i = 0; i < s->g->node.n; i++)
            if (reads_it(xg_nodep(s->g, i), t) && s->pos[i] > to[r]) to[r] = s->pos[i];
    }
    for (uint32_t t = 0; t < s->g->tensor.n; t++)
        if (from[s->rep[t]] != UINT32_MAX && s->choice[t])
            to[s->rep[t]] = oracle_turn_end(o, t, to[s->rep[t]]);
    for (uint32_t t = 0; t < s->g->tensor.n; t++)
        for (uint32_t p = from[t]; from[t] != UINT32_MAX && p <= to[t]; p++)
            used[p] += xg_ilp_whole_words(s, t);
    for (uint32_t i = 0; i < o->n; i++)
        if (o->way[i]) used[s->cand.v[o->group[i]].turn] += o->way[i]->est.fm_words;
    for (uint32_t p = 0; p < s->g->node.n; p++)
        if (used[p] > s->m->tile.fm_depth) return false;
    return true;
}

/* The way agrees with what is decided about its inputs and its result. */
static inline bool agrees(const oracle *o, const xg_cand *c, const xg_var *v) {
    const xg_ilp *s = o->s;
    for (uint32_t k = 0; k < c->nin; k++) {
        bool chip = v->chip_in >> k & 1;
        if (!s->choice[c->in[k]]) {
            if (chip) return false;
            continue;
        }
        uint8_t at = o->state[s->rep[c->in[k]]];
        if (at != BOTH && at != (chip ? CHIP : DDR)) return false;
    }
    const uint32_t *result;
    uint32_t n = xg_group_results(&c->group, &result);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t out = xg_nodep(s->g, result[k])->out[0];
        bool chip = v->chip_out >> k & 1, ddr = v->to_ddr >> k & 1;
        if (!s->choice[out] && chip) return false;
        if (!s->choice[out] || xg_nodep(s->g, result[k])->op == XG_OP_Concat) continue;
        uint8_t at = o->state[s->rep[out]];
        if (chip != (at != DDR) || ddr != (at != CHIP)) return false;
    }
    return true;
}

static inline void try_ways(oracle *o, uint32_t i, int64_t cost);

/* Group i, whose results before k are decided about. */
static inline void try_states(oracle *o, uint32_t i, uint32_t k, int64_t cost) {
    const xg_ilp *s = o->s;
    if (cost + o->rest[i] >= o->best) return;
    if (i == o->n) {
        if (!room_suffices(o)) return;
        o->best = cost;
        o->found = true;
        return;
    }
    const uint32_t *result;
    if (k == xg_group_results(&s->cand.v[o->group[i]].group, &result)) {
        try_ways(o, i, cost);
        return;
    }
    uint32_t out = xg_nodep(s->g, result[k])->out[0], r = s->rep[out];
    if (!s->choice[out] || o->state[r] != UNDECIDED) {
        try_states(o, i, k + 1, cost);
        return;
    }
    for (uint8_t at = CHIP; at <= BOTH; at++) {
        if (at == CHIP && s->forced[r]) continue;
        o->state[r] = at;
        try_states(o, i, k + 1, cost);
    }
    o->state[r] = UNDECIDED;
}

static inline void try_ways(oracle *o, uint32_t i, int64_t cost) {
    const xg_ilp *s = o->s;
    const xg_cand *c = &s->cand.v[o->group[i]];
    o->steps++;
    for (uint32_t v = 0; v < s->var.n; v++) {
        const xg_var *x = &s->var.v[v];
        if (x->cand != o->group[i] || !agrees(o, c, x)) continue;
        if (cost + x->cost + o->rest[i + 1] >= o->best) continue;
        o->way[i] = x;
        if (room_suffices(o)) try_states(o, i + 1, 0, cost + x->cost);
        o->way[i] = NULL;
    }
}

static inline void try_cover(oracle *o) {
    oracle k = *o; /* groups by their turn; what is made is then made before it is read */
    for (uint32_t i = 1; i < k.n; i++)
        for (uint32_t j = i; j && k.s->cand.v[k.group[j - 1]].turn > k.s->cand.v[k.group[j]].turn;
             j--) {
            uint32_t x = k.group[j];
            k.group[j] = k.group[j - 1];
            k.group[j - 1] = x;
        }
    k.rest[k.n] = 0;
    for (uint32_t i = k.n; i-- > 0;) k.rest[i] = k.rest[i + 1] + k.least[k.group[i]];
    memset(k.state, UNDECIDED, sizeof k.state);
    memset(k.way, 0, sizeof k.way);
    try_states(&k, 0, 0, 0);
    o->best = k.best;
    o->found = k.found;
    o->steps = k.steps;
}

static inline void try_covers(oracle *o, int64_t cost) {
    const xg_ilp *s = o->s;
    uint32_t node = 0;
    while (node < s->g->node.n && (o->covered >> node & 1)) node++;
    if (cost >= o->best) return;
    if (node == s->g->node.n) {
        try_cover(o);
        return;
    }
    for (uint32_t c = 0; c < s->cand.n; c++) {
        const xg_group *g = &s->cand.v[c].group;
        uint32_t mask = 0;
        for (uint32_t k = 0; k < g->nnode; k++) mask |= 1u << g->node[k];
        if (o->least[c] == INT64_MAX || !in_group(g, node) || (mask & o->covered)) continue;
        o->covered |= mask;
        o->group[o->n++] = c;
        try_covers(o, cost + o->least[c]);
        o->n--;
        o->covered &= ~mask;
    }
}

/* The least cost; limit: only what is cheaper than this is looked for. False: there is nothing. */
static inline bool oracle_least(const xg_ilp *s, int64_t limit, int64_t *cost, int64_t *steps) {
    oracle *o = calloc(1, sizeof *o);
    o->s = s;
    o->best = limit;
    for (uint32_t c = 0; c < s->cand.n; c++) o->least[c] = INT64_MAX;
    for (uint32_t v = 0; v < s->var.n; v++)
        if (s->var.v[v].cost < o->least[s->var.v[v].cand])
            o->least[s->var.v[v].cand] = s->var.v[v].cost;
    try_covers(o, 0);
    bool found = o->found;
    *cost = o->best;
    *steps = o->steps;
    free(o);
    return found;
}

#endif
