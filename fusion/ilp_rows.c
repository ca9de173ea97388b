/* Rows of the 0-1 program (fusion/ilp.h): covers, agreement on where tensors lie, room. */
#include "fusion/ilp.h"

#include <stdlib.h>

/* Columns by the nodes that they cover: a chain of entries for each node. */
struct xg_cover_chain {
    uint32_t *head; /* [nodes] first entry, XG_NONE: none */
    XG_VEC(uint32_t) next;
    XG_VEC(uint32_t) var;
};

static void link_variants(xg_ilp *s, struct xg_cover_chain *c) {
    c->head = xg_newn(s->a, uint32_t, s->g->node.n + 1);
    for (uint32_t i = 0; i < s->g->node.n; i++) c->head[i] = XG_NONE;
    for (uint32_t v = 0; v < s->var.n; v++) {
        const xg_group *g = &s->cand.v[s->var.v[v].cand].group;
        for (uint32_t k = 0; k < g->nnode; k++) {
            xg_push(s->a, &c->next, c->head[g->node[k]]);
            xg_push(s->a, &c->var, v);
            c->head[g->node[k]] = c->next.n - 1;
        }
    }
}

typedef struct reader {
    uint32_t tensor, node;
} reader;
typedef XG_VEC(reader) reader_list;

/* From the turn at which a tensor (or the first of those that share its r and d) is made to the
 * turn of its last reader. */
static void find_lives(const xg_ilp *s, uint32_t *from, uint32_t *to, uint32_t *readers) {
    for (uint32_t t = 0; t < s->g->tensor.n; t++) from[t] = UINT32_MAX;
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        uint32_t r = s->rep[t];
        if (!s->choice[t]) continue;
        uint32_t made = s->pos[xg_tensorp(s->g, t)->producer];
        if (made < from[r]) from[r] = made;
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
            uint32_t e = s->pos[s->c->uses.node[u]];
            if (e > to[r]) to[r] = e;
            readers[r]++;
        }
    }
}

/* [tensors] Whether a flat group could have it on chip. */
static bool *find_views(const xg_ilp *s) {
    bool *view = xg_newn(s->a, bool, s->g->tensor.n + 1);
    for (uint32_t i = 0; i < s->var.n; i++) {
        const xg_var *v = &s->var.v[i];
        const xg_cand *c = &s->cand.v[v->cand];
        const uint32_t *result;
        uint32_t n = xg_group_results(&c->group, &result);
        for (uint32_t k = 0; v->strategy.flat && k < c->nin; k++)
            if (v->chip_in >> k & 1) view[c->in[k]] = xg_ilp_has_view(s, c->in[k]);
        for (uint32_t k = 0; v->strategy.flat && k < n; k++)
            if (v->chip_out >> k & 1) view[xg_nodep(s->g, result[k])->out[0]] = true;
    }
    return view;
}

static void add_tensor_columns(xg_ilp *s) {
    uint32_t nt = s->g->tensor.n;
    uint32_t *from = xg_newn(s->a, uint32_t, nt + 1), *to = xg_newn(s->a, uint32_t, nt + 1),
             *readers = xg_newn(s->a, uint32_t, nt + 1);
    const bool *view = find_views(s);
    find_lives(s, from, to, readers);
    for (uint32_t t = 0; t < nt; t++) {
        s->r_col[t] = s->d_col[t] = s->f_col[t] = XG_NONE;
        if (!s->choice[t] || s->rep[t] != t) continue;
        uint32_t p = xg_stairs_add_pair(s->stairs, from[t], to[t], s->forced[t], readers[t] > 1);
        s->r_col[t] = s->stairs->pair.v[p].r;
        s->d_col[t] = s->stairs->pair.v[p].d;
        if (view[t]) s->f_col[t] = xg_stairs_add_view(s->stairs, p);
    }
}

static void add_covers(xg_ilp *s) {
    for (uint32_t i = 0; i < s->g->node.n; i++) {
        uint32_t row = xg_stairs_add_row(s->stairs, s->pos[i], 1, 1);
        for (uint32_t e = s->chain->head[i]; e != XG_NONE; e = s->chain->next.v[e])
            xg_mip_add(s->stairs->mip, row, s->var.v[s->chain->var.v[e]].column, 1);
    }
}

static bool covers(const xg_group *g, uint32_t node) {
    for (uint32_t k = 0; k < g->nnode; k++)
        if (g->node[k] == node) return true;
    return false;
}

static bool reads_chip(const xg_ilp *s, const xg_var *v, uint32_t t) {
    const xg_cand *c = &s->cand.v[v->cand];
    for (uint32_t k = 0; k < c->nin; k++)
        if (c->in[k] == t && (v->chip_in >> k & 1)) return true;
    return false;
}

/* What reads t on chip (in DDR) for the node needs its r (its d); on chip and flat its f, on chip
 * in its own rows r without f. */
static void add_reader_rows(xg_ilp *s, uint32_t t, uint32_t node) {
    enum { CHIP, DDR, FLAT };
    uint32_t rep = s->rep[t], turn = s->pos[node], view = s->f_col[rep], row[3];
    for (uint32_t i = 0; i < (view == XG_NONE ? 2 : 3); i++)
        row[i] = xg_stairs_add_row(s->stairs, turn, INT64_MIN, 0);
    xg_mip_add(s->stairs->mip, row[CHIP], s->r_col[rep], -1);
    xg_mip_add(s->stairs->mip, row[DDR], s->d_col[rep], -1);
    if (view != XG_NONE) xg_mip_add(s->stairs->mip, row[CHIP], view, 1);
    if (view != XG_NONE) xg_mip_add(s->stairs->mip, row[FLAT], view, -1);
    for (uint32_t e = s->chain->head[node]; e != XG_NONE; e = s->chain->next.v[e]) {
        const xg_var *v = &s->var.v[s->chain->var.v[e]];
        const xg_group *g = &s->cand.v[v->cand].group;
        if (covers(g, xg_tensorp(s->g, t)->producer)) continue; /* inside the group */
        bool flat = v->strategy.flat && view != XG_NONE;
        xg_mip_add(s->stairs->mip,
                   row[!reads_chip(s, v, t) ? DDR
                       : flat               ? FLAT
                                            : CHIP],
                   v->column, 1);
    }
}

/* Beyond the turn of its last reader a tensor stays while a group lasts that reads it. end: a turn
 * at which such a group may end; before: the one before that, or the last reader's. The column says
 * that one lasts so long. */
static void add_tail(xg_ilp *s, const reader *by, uint32_t n, uint32_t before, uint32_t end,
                     const uint32_t *room) {
    uint32_t first = end, column;
    for (uint32_t i = 0; i < n; i++)
        if (s->pos[by[i].node] < first) first = s->pos[by[i].node];
    column = xg_stairs_add_col(s->stairs, 0, first, end);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = xg_stairs_add_row(s->stairs, s->pos[by[i].node], INT64_MIN, 0);
        xg_mip_add(s->stairs->mip, row, column, -1);
        for (uint32_t e = s->chain->head[by[i].node]; e != XG_NONE; e = s->chain->next.v[e]) {
            const xg_var *v = &s->var.v[s->chain->var.v[e]];
            if (s->cand.v[v->cand].turn >= end && reads_chip(s, v, by[i].tensor))
                xg_mip_add(s->stairs->mip, row, v->column, 1);
        }
    }
    uint32_t words = xg_ilp_whole_words(s, s->rep[by->tensor]);
    for (uint32_t p = before + 1; p <= end; p++) xg_mip_add(s->stairs->mip, room[p], column, words);
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* readers: of the tensors that share one r and d; last: the turn of the last of them. */
static void add_tails(xg_ilp *s, const reader_list *r, uint32_t last, const uint32_t *room) {
    XG_VEC(uint32_t) end = {0};
    for (uint32_t i = 0; i < r->n; i++)
        for (uint32_t e = s->chain->head[r->v[i].node]; e != XG_NONE; e = s->chain->next.v[e]) {
            const xg_var *v = &s->var.v[s->chain->var.v[e]];
            if (s->cand.v[v->cand].turn > last && reads_chip(s, v, r->v[i].tensor))
                xg_push(s->a, &end, s->cand.v[v->cand].turn);
        }
    if (end.n) qsort(end.v, end.n, sizeof *end.v, by_number);
    for (uint32_t i = 0; i < end.n; i++) {
        if (end.v[i] == last) continue;
        add_tail(s, r->v, r->n, last, end.v[i], room);
        last = end.v[i];
    }
}

/* What makes t makes it where r, d and f say. A concat is made by its operands' groups. */
static void add_maker_rows(xg_ilp *s, uint32_t t) {
    uint32_t made = xg_tensorp(s->g, t)->producer;
    if (xg_nodep(s->g, made)->op == XG_OP_Concat) return;
    uint32_t chip = xg_stairs_add_row(s->stairs, s->pos[made], 0, 0),
             ddr = xg_stairs_add_row(s->stairs, s->pos[made], 0, 0);
    xg_mip_add(s->stairs->mip, chip, s->r_col[s->rep[t]], -1);
    xg_mip_add(s->stairs->mip, ddr, s->d_col[s->rep[t]], -1);
    uint32_t view = s->f_col[s->rep[t]], flat = XG_NONE;
    if (view != XG_NONE) {
        flat = xg_stairs_add_row(s->stairs, s->pos[made], 0, 0);
        xg_mip_add(s->stairs->mip, flat, view, -1);
    }
    for (uint32_t e = s->chain->head[made]; e != XG_NONE; e = s->chain->next.v[e]) {
        const xg_var *v = &s->var.v[s->chain->var.v[e]];
        const xg_group *g = &s->cand.v[v->cand].group;
        const uint32_t *result;
        uint32_t n = xg_group_results(g, &result), k = 0;
        while (k < n && result[k] != made) k++;
        if (k == n) continue; /* an inner tensor */
        if (v->chip_out >> k & 1) xg_mip_add(s->stairs->mip, chip, v->column, 1);
        if (v->chip_out >> k & 1 && v->strategy.flat && flat != XG_NONE)
            xg_mip_add(s->stairs->mip, flat, v->column, 1);
        if (v->to_ddr >> k & 1) xg_mip_add(s->stairs->mip, ddr, v->column, 1);
    }
}

/* [tensors] who reads them on chip perhaps, by representatives. */
static reader_list *add_agreement(xg_ilp *s) {
    reader_list *readers = xg_newn(s->a, reader_list, s->g->tensor.n + 1);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        if (!s->choice[t]) continue;
        uint32_t last = XG_NONE;
        for (uint32_t u = s->c->uses.first[t]; u < s->c->uses.first[t + 1]; u++) {
            uint32_t n = s->c->uses.node[u];
            if (n != last && xg_ilp_reads_on_chip(s, n, t) &&
                xg_nodep(s->g, n)->op != XG_OP_Concat) {
                add_reader_rows(s, t, n);
                xg_push(s->a, &readers[s->rep[t]], (reader){t, n});
            }
            last = n;
        }
        add_maker_rows(s, t);
    }
    return readers;
}

/* Tensors whose r and d are those of others count once. */
static bool is_new(uint32_t *seen, uint32_t *n, uint32_t t) {
    for (uint32_t i = 0; i < *n; i++)
        if (seen[i] == t) return false;
    seen[(*n)++] = t;
    return true;
}

/* Siblings run before the turn of their later results, which lie on chip from then on. */
static void add_early_results(xg_ilp *s, const xg_var *v, const uint32_t *row) {
    const xg_cand *c = &s->cand.v[v->cand];
    const uint32_t *result;
    uint32_t nresult = xg_group_results(&c->group, &result), n = 0, seen[XG_GROUP_RESULTS];
    for (uint32_t k = 0; k < nresult; k++) {
        uint32_t r = s->rep[xg_nodep(s->g, result[k])->out[0]];
        if (!(v->chip_out >> k & 1) || !is_new(seen, &n, r)) continue;
        for (uint32_t p = c->turn; p < s->stairs->col.v[s->r_col[r]].first; p++)
            xg_mip_add(s->stairs->mip, row[p], v->column, xg_ilp_whole_words(s, r));
    }
}

static void add_capacity(xg_ilp *s, const reader_list *readers) {
    uint32_t *row = xg_newn(s->a, uint32_t, s->g->node.n + 1);
    for (uint32_t p = 0; p < s->g->node.n; p++)
        row[p] = xg_stairs_add_row(s->stairs, p, INT64_MIN, s->m->tile.fm_depth);
    for (uint32_t v = 0; v < s->var.n; v++)
        if (s->var.v[v].est.fm_words)
            xg_mip_add(s->stairs->mip, row[s->cand.v[s->var.v[v].cand].turn], s->var.v[v].column,
                       s->var.v[v].est.fm_words);
    for (uint32_t t = 0; t < s->g->tensor.n; t++) {
        if (s->r_col[t] == XG_NONE) continue;
        const xg_stairs_col *c = &s->stairs->col.v[s->r_col[t]];
        for (uint32_t p = c->first; p <= c->last; p++)
            xg_mip_add(s->stairs->mip, row[p], s->r_col[t], xg_ilp_whole_words(s, t));
        add_tails(s, &readers[t], c->last, row);
    }
    for (uint32_t v = 0; v < s->var.n; v++) add_early_results(s, &s->var.v[v], row);
}

void xg_ilp_add_rows(xg_ilp *s) {
    struct xg_cover_chain chain = {0};
    link_variants(s, &chain);
    s->chain = &chain;
    add_tensor_columns(s);
    add_covers(s);
    add_capacity(s, add_agreement(s));
    s->chain = NULL;
}
