/* Rows of the 0-1 program (fusion/ilp.h): covers, agreement on where tensors lie, room. */
#include "fusion/ilp.h"


static void add_tensor_columns(xg_ilp *s) {
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        s->r_col[t] = s->d_col[t] = XG_NONE;
        if (!s->choice[t] || s->rep[t] != t) continue;
        s->r_col[t] = xg_mip_col(s->mip, 0, true);
        s->d_col[t] = xg_mip_col(s->mip, 0, true);
    }
}

static void add_covers(xg_ilp *s) {
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

static void add_reader_rows(xg_ilp *s, uint32_t t, uint32_t node, const uint32_t *var_of_node,
                            const uint32_t *next) {
    uint32_t rep = s->rep[t],
             row[2] = {xg_mip_row(s->mip, INT64_MIN, 0), xg_mip_row(s->mip, INT64_MIN, 0)};
    xg_mip_add(s->mip, row[0], s->r_col[rep], -1);
    xg_mip_add(s->mip, row[1], s->d_col[rep], -1);
    for (uint32_t e = var_of_node[node]; e != XG_NONE; e = next[e]) {
        const xg_var *v = &s->var.v[e / 16];
        const xg_group *g = &s->cand.v[v->cand].group;
        if (covers(g, xg_tensorp(s->g, t)->producer)) continue; /* inside the group */
        xg_parts p;
        xg_estimate_parts(s->g, s->m, g, &v->strategy, &p);
        bool chip = false;
        for (uint32_t k = 0; k < p.nin; k++) chip |= p.in[k].tensor == t && (v->chip_in >> k & 1);
        xg_mip_add(s->mip, row[chip ? 0 : 1], v->column, 1);
    }
}

/* Chains of variants by the nodes that they cover: entry 16 v + k is node k of xg_var v. */
static void link_variants(xg_ilp *s, uint32_t *head, uint32_t *next) {
    for (uint32_t i = 0; i < s->g->node.n; i++) head[i] = XG_NONE;
    for (uint32_t v = 0; v < s->var.n; v++) {
        const xg_group *g = &s->cand.v[s->var.v[v].cand].group;
        for (uint32_t k = 0; k < g->nnode && k < 16; k++) {
            next[16 * v + k] = head[g->node[k]];
            head[g->node[k]] = 16 * v + k;
        }
    }
}

static void add_agreement(xg_ilp *s) {
    uint32_t *head = xg_newn(s->a, uint32_t, s->g->node.n + 1),
             *next = xg_newn(s->a, uint32_t, 16 * (size_t)s->var.n + 1);
    link_variants(s, head, next);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        if (!s->choice[t]) continue;
        uint32_t last = XG_NONE;
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
            uint32_t n = s->c->uses.node[u];
            if (n != last && xg_ilp_reads_on_chip(s, n, t) && xg_nodep(s->g, n)->op != XG_OP_Concat)
                add_reader_rows(s, t, n, head, next);
            last = n;
        }
        uint32_t chip = xg_mip_row(s->mip, 0, 0), ddr = xg_mip_row(s->mip, 0, 0),
                 made = xg_tensorp(s->g, t)->producer;
        if (xg_nodep(s->g, made)->op == XG_OP_Concat) continue; /* its operands make it */
        xg_mip_add(s->mip, chip, s->r_col[s->rep[t]], -1);
        xg_mip_add(s->mip, ddr, s->d_col[s->rep[t]], -1);
        for (uint32_t e = head[made]; e != XG_NONE; e = next[e]) {
            const xg_var *v = &s->var.v[e / 16];
            const xg_group *g = &s->cand.v[v->cand].group;
            if (g->node[g->nnode - 1] != made) continue; /* an inner tensor */
            if (v->chip_out) xg_mip_add(s->mip, chip, v->column, 1);
            if (v->to_ddr) xg_mip_add(s->mip, ddr, v->column, 1);
        }
    }
}

/* Turn at which a group that covers the node may end. */
static uint32_t latest_end(const xg_ilp *s, const uint32_t *end_of, uint32_t node) {
    (void)s;
    return end_of[node];
}

static void add_capacity(xg_ilp *s) {
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
                xg_mip_add(s->mip, row[p], s->r_col[t], xg_ilp_whole_words(s, t));
}

void xg_ilp_add_rows(xg_ilp *s) {
    add_tensor_columns(s);
    add_covers(s);
    add_agreement(s);
    add_capacity(s);
}
