/* What siblings cost in the 0-1 program.
 *
 * The estimate of a group lets its engines overlap, and adds what nothing hides before and behind.
 * Groups that follow one another overlap too, but costs of columns only add up. So siblings, which
 * are several groups in one, would look cheaper than they are. Here they cost at least what their
 * branches cost one after another when the shared input costs them nothing, and what it costs once.
 * Where the input lies on chip there is nothing to gain, and they have no column.
 */
#include "fusion/ilp.h"
#include "fusion/patterns.h"

typedef struct branches {
    uint32_t n;
    uint32_t cand[XG_GROUP_RESULTS];
    uint32_t shared; /* mask over the group's inputs: read by several branches */
} branches;

/* owner [nodes of the group]: the result that the node leads to; false when it leads to several. */
static bool find_owners(const xg_ilp *s, const xg_group *g, uint32_t *owner) {
    for (uint32_t k = g->nnode; k-- > 0;) {
        uint32_t t = xg_nodep(s->g, g->node[k])->out[0];
        owner[k] = xg_group_returns(g, g->node[k]) ? g->node[k] : XG_NONE;
        for (uint32_t j = k + 1; j < g->nnode; j++) {
            const xg_node *n = xg_nodep(s->g, g->node[j]);
            for (uint32_t o = 0; o < n->nin; o++) {
                if (n->in[o] != t || owner[k] == owner[j]) continue;
                if (owner[k] != XG_NONE) return false;
                owner[k] = owner[j];
            }
        }
    }
    return true;
}

/* The candidate with exactly these nodes, or XG_NONE. */
static uint32_t candidate_of(const xg_ilp *s, const uint32_t *node, uint32_t n) {
    for (uint32_t i = 0; i < s->cand.n; i++) {
        const xg_group *g = &s->cand.v[i].group;
        uint32_t same = 0;
        while (same < n && g->nnode == n && g->node[same] == node[same]) same++;
        if (same == n) return i;
    }
    return XG_NONE;
}

/* The group's branches as candidates; false when it does not fall into candidates. */
static bool find_branches(const xg_ilp *s, uint32_t cand, branches *b) {
    const xg_cand *c = &s->cand.v[cand];
    const uint32_t *result;
    uint32_t owner[XG_PATTERN_VERTICES], node[XG_PATTERN_VERTICES], readers[XG_PARTS_INPUTS] = {0};
    if (c->group.nnode > XG_PATTERN_VERTICES || !find_owners(s, &c->group, owner)) return false;
    *b = (branches){.n = xg_group_results(&c->group, &result)};
    for (uint32_t r = 0; r < b->n; r++) {
        uint32_t n = 0;
        for (uint32_t k = 0; k < c->group.nnode; k++)
            if (owner[k] == result[r]) node[n++] = c->group.node[k];
        b->cand[r] = candidate_of(s, node, n);
        if (b->cand[r] == XG_NONE) return false;
        const xg_cand *one = &s->cand.v[b->cand[r]];
        for (uint32_t j = 0; j < one->nin; j++)
            for (uint32_t k = 0; k < c->nin; k++) readers[k] += one->in[j] == c->in[k];
    }
    for (uint32_t k = 0; k < c->nin; k++) b->shared |= (uint32_t)(readers[k] > 1) << k;
    return true;
}

/* The mask over another candidate's inputs. */
static uint32_t mask_for(const xg_cand *of, const xg_cand *from, uint32_t mask) {
    uint32_t r = 0;
    for (uint32_t j = 0; j < of->nin; j++)
        for (uint32_t k = 0; k < from->nin; k++)
            if (of->in[j] == from->in[k]) r |= (mask >> k & 1) << j;
    return r;
}

static int64_t cost_of(const xg_ilp *s, const xg_group *g, const xg_strategy *st, uint32_t chip_in,
                       uint32_t chip_out, uint32_t to_ddr) {
    xg_parts p;
    xg_estimate e;
    xg_estimate_parts(xg_seen_by(s->g, s->flat, st), s->m, g, st, &p);
    xg_estimate_sum(s->m, &p, chip_in, chip_out, to_ddr, s->m->tile.fm_depth, &e);
    return xg_ilp_cost(s->m, &e);
}

/* The cheapest column of a branch with the same tensors on chip; XG_NONE: there is none. */
static uint32_t branch_column(const xg_ilp *s, const xg_cand *branch, uint32_t chip_in,
                              uint32_t chip_out, uint32_t to_ddr) {
    uint32_t best = XG_NONE;
    for (uint32_t v = branch->first_var; v < branch->end_var; v++) {
        const xg_var *x = &s->var.v[v];
        if (x->chip_in != chip_in || x->chip_out != chip_out || x->to_ddr != to_ddr) continue;
        if (best == XG_NONE || x->cost < s->var.v[best].cost) best = v;
    }
    return best;
}

bool xg_ilp_price_siblings(const xg_ilp *s, xg_var *v) {
    const xg_cand *c = &s->cand.v[v->cand];
    branches b;
    if (!find_branches(s, v->cand, &b)) return true;
    if (v->chip_in & b.shared) return false;
    int64_t apart = 0, least = v->cost - cost_of(s, &c->group, &v->strategy, v->chip_in | b.shared,
                                                 v->chip_out, v->to_ddr);
    for (uint32_t r = 0; r < b.n; r++) {
        const xg_cand *one = &s->cand.v[b.cand[r]];
        uint32_t in = mask_for(one, c, v->chip_in), free = mask_for(one, c, v->chip_in | b.shared),
                 out = v->chip_out >> r & 1, ddr = v->to_ddr >> r & 1;
        uint32_t at = branch_column(s, one, in, out, ddr);
        if (at == XG_NONE) return true;
        apart += s->var.v[at].cost;
        least += cost_of(s, &one->group, &s->var.v[at].strategy, free, out, ddr);
    }
    if (least > v->cost) v->cost = least;
    return v->cost < apart;
}
