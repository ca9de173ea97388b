/* Where tensors may live: inside a concat's result, on chip, in DDR. Rules shared by the choice and
 * by the layout. */
#include "fusion/geometry.h"
#include "fusion/select.h"

#include "isa/encoding.h"
#include "isa/tile.h"

typedef struct sides {
    const xg_graph *g;
    bool *accel;        /* [nodes] */
    uint32_t *group_of; /* [nodes] */
    uint32_t *run;      /* [nodes] what stays on chip does so only within its stretch */
    xg_uses uses;
} sides;

static sides sides_of(const xg_selection *s, xg_arena *a) {
    sides d = {.g = s->graph,
               .accel = xg_newn(a, bool, s->graph->node.n + 1),
               .group_of = xg_newn(a, uint32_t, s->graph->node.n + 1),
               .run = xg_newn(a, uint32_t, s->graph->node.n + 1),
               .uses = xg_graph_uses(s->graph, a)};
    const uint32_t *run = xg_selection_stretches(s, a);
    for (uint32_t i = 0; i < s->group.n; i++)
        for (uint32_t k = 0; k < s->group.v[i].nnode; k++) {
            d.accel[s->group.v[i].node[k]] = s->group.v[i].where == XG_ON_ACCEL;
            d.group_of[s->group.v[i].node[k]] = i;
            d.run[s->group.v[i].node[k]] = run[i];
        }
    return d;
}

static bool read_by_view(const sides *d, uint32_t t) {
    for (uint32_t u = d->uses.first[t]; u < d->uses.first[t + 1]; u++) {
        uint32_t n = d->uses.node[u];
        if (d->accel[n] && xg_node_tile_kind(d->g, xg_nodep(d->g, n)) == XG_TK_VIEW) return true;
    }
    return false;
}

static bool can_lie_inside(const sides *d, const xg_node *concat, uint32_t t) {
    const xg_tensor *x = xg_tensorp(d->g, t), *y = xg_out(d->g, concat, 0);
    if (x->data || x->producer == XG_NONE || !d->accel[x->producer]) return false;
    if (!xg_quant_equal(x->quant, y->quant) || x->rank != y->rank) return false;
    return xg_node_tile_kind(d->g, xg_nodep(d->g, x->producer)) != XG_TK_VIEW &&
           !read_by_view(d, t);
}

static uint32_t *parents(const sides *d, xg_arena *a) {
    uint32_t *parent = xg_newn(a, uint32_t, d->g->tensor.n + 1);
    for (uint32_t t = 0; t < d->g->tensor.n; t++) parent[t] = XG_NONE;
    for (uint32_t i = d->g->node.n; i-- > 0;) { /* last concats first, so that nested ones chain */
        const xg_node *n = xg_nodep(d->g, i);
        if (n->op != XG_OP_Concat || !d->accel[i]) continue;
        for (uint32_t k = 0; k < n->nin; k++)
            if (parent[n->in[k]] == XG_NONE && can_lie_inside(d, n, n->in[k]))
                parent[n->in[k]] = n->out[0];
    }
    return parent;
}

/* Cycles that runs in DDR cost beyond their bytes. */
static int64_t run_cycles(const xg_machine *m, int64_t runs) {
    return runs * m->ddr.burst_overhead;
}

/* What it saves per image to leave a concat's operands where their producers put them: runs of
 * pixels or rows instead of whole maps, and copies; less what the loads begin with that readers
 * need more of, for tiles of a quarter of the memory, and twice: weights may come in blocks. */
static int64_t apart_gain(const sides *d, const xg_machine *m, const uint32_t *parent,
                          const xg_node *n) {
    int64_t gain = 0, y[4], x[4], begin = m->tile.load_start + m->ddr.latency;
    uint32_t t = n->out[0], readers = d->uses.first[t + 1] - d->uses.first[t];
    xg_dims4(xg_tensorp(d->g, t), y);
    xg_slice whole = xg_slice_whole(xg_tensorp(d->g, t), 0);
    int64_t tiles = xg_ceil_div(4 * (int64_t)xg_fm_words(m, &whole, 1), m->tile.fm_depth);
    for (uint32_t k = 0; k < n->nin; k++) {
        xg_dims4(xg_in(d->g, n, k), x);
        if (x[0] != y[0]) return 0; /* images have places of their own */
        gain += run_cycles(m, x[3] < y[3] ? x[1] * x[2] : x[2] < y[2] ? x[1] : 0);
        if (parent[n->in[k]] != t && xg_read_apart(d->g, n, k))
            gain += 2 * (begin + x[1] * x[2] * x[3] / m->tile.port_bytes);
    }
    return gain - 2 * tiles * readers * (n->nin - 1) * begin;
}

/* All readers load it, part by part: none sees it as another shape, has it in its own result's
 * memory, or gathers its columns. */
static bool loaded_in_parts(const sides *d, const xg_machine *m, const uint32_t *parent,
                            const xg_concat_form *form, uint32_t t) {
    if (xg_tensorp(d->g, t)->is_output) return false;
    for (uint32_t u = d->uses.first[t]; u < d->uses.first[t + 1]; u++) {
        uint32_t i = d->uses.node[u];
        const xg_node *n = xg_nodep(d->g, i);
        if (!d->accel[i] || xg_node_tile_kind(d->g, n) == XG_TK_VIEW) return false;
        if (parent[t] == n->out[0] && form[parent[t]] == XG_CONCAT_WHOLE) return false;
        if (n->in[0] == t && xg_may_fold(d->g, m, i)) return false;
    }
    return true;
}

bool xg_read_apart(const xg_graph *g, const xg_node *concat, uint32_t k) {
    return xg_quant_equal(xg_in(g, concat, k)->quant, xg_out(g, concat, 0)->quant);
}

/* What it saves per image to gather a result on chip: a run for each pixel of each operand, less
 * what moves once more, with one load for each operand and a save for tiles of a quarter of the
 * memory; twice, as readers wait for it. */
static int64_t gather_gain(const sides *d, const xg_machine *m, const xg_node *n) {
    int64_t gain = 0, y[4], x[4], begin = m->tile.load_start + m->ddr.latency;
    const xg_tensor *t = xg_out(d->g, n, 0);
    xg_slice whole = xg_slice_whole(t, 0);
    int64_t tiles = xg_ceil_div(4 * (int64_t)xg_fm_words(m, &whole, 1), m->tile.fm_depth);
    xg_dims4(t, y);
    for (uint32_t k = 0; k < n->nin; k++) {
        xg_dims4(xg_in(d->g, n, k), x);
        if (!xg_read_apart(d->g, n, k) || x[0] != y[0] || x[3] == y[3]) return 0;
        gain += run_cycles(m, x[1] * x[2]);
    }
    return gain - 2 * (tiles * (n->nin + 1) * begin + 2 * y[1] * y[2] * y[3] / m->tile.port_bytes);
}

/* An operand's channels may begin at any byte of a word. */
static bool loads_any_lane(const xg_machine *m) {
    int64_t lo, hi;
    xg_encoding_range(m->encoding, XG_T_LOAD, XG_F(LOAD, lane), &lo, &hi);
    return hi >= (int64_t)m->tile.icp - 1;
}

xg_concat_form *xg_concat_forms(const xg_selection *s, const xg_machine *m, xg_arena *a) {
    sides d = sides_of(s, a);
    const uint32_t *parent = parents(&d, a);
    xg_concat_form *form = xg_newn(a, xg_concat_form, s->graph->tensor.n + 1);
    bool parts = loads_any_lane(m);
    for (uint32_t i = s->graph->node.n; parts && i-- > 0;) { /* last concats first, as above */
        const xg_node *n = xg_nodep(s->graph, i);
        uint32_t t = n->out[0];
        if (n->op != XG_OP_Concat || !d.accel[i] || (s->on_chip && s->on_chip[t])) continue;
        if (loaded_in_parts(&d, m, parent, form, t) && apart_gain(&d, m, parent, n) > 0)
            form[t] = XG_CONCAT_APART;
        else if (gather_gain(&d, m, n) > 0)
            form[t] = XG_CONCAT_GATHERED;
    }
    return form;
}

uint32_t *xg_concat_parents(const xg_selection *s, xg_arena *a) {
    sides d = sides_of(s, a);
    return parents(&d, a);
}

static bool concat_may_stay(const sides *d, const xg_node *n, const uint32_t *parent,
                            const bool *may, uint32_t icp) {
    int64_t at = 0, rank = xg_out(d->g, n, 0)->rank, axis = xg_ai(n, XG_ATTR_axis);
    if (axis != rank - 1) return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        for (uint32_t j = 0; j < k; j++)
            if (n->in[j] == n->in[k]) return false;
        uint32_t made = xg_in(d->g, n, k)->producer;
        if (parent[n->in[k]] != n->out[0] || at % icp || !may[n->in[k]]) return false;
        if (d->run[made] != d->run[xg_out(d->g, n, 0)->producer]) return false;
        at += xg_in(d->g, n, k)->dim[axis];
    }
    return true;
}

/* What reads it on chip works on the same images. A concat in whose result it lies does not read
 * it; other runs read it in DDR. */
static bool readers_find_it(const sides *d, const xg_selection *s, const uint32_t *parent,
                            uint32_t t) {
    uint32_t made = xg_tensorp(d->g, t)->producer;
    for (uint32_t u = d->uses.first[t]; u < d->uses.first[t + 1]; u++) {
        uint32_t n = d->uses.node[u];
        const xg_node *node = xg_nodep(d->g, n);
        if (d->run[n] != d->run[made] || xg_node_tile_kind(d->g, node) == XG_TK_VIEW ||
            (node->op == XG_OP_Concat && parent[t] == node->out[0]))
            continue;
        if (s->group.v[d->group_of[n]].strategy.split != XG_SPLIT_IMAGE) return false;
    }
    return true;
}

bool *xg_may_stay(const xg_selection *s, const xg_machine *m, xg_arena *a) {
    sides d = sides_of(s, a);
    const uint32_t *parent = parents(&d, a);
    bool *may = xg_newn(a, bool, s->graph->tensor.n + 1);
    for (uint32_t i = 0; i < s->graph->node.n; i++) {
        const xg_node *n = xg_nodep(s->graph, i);
        const xg_group *g = &s->group.v[d.group_of[i]];
        xg_tile_kind kind = xg_node_tile_kind(s->graph, n);
        bool returned = xg_group_returns(g, i);
        if (g->where != XG_ON_ACCEL || g->strategy.split != XG_SPLIT_IMAGE || g->strategy.batched ||
            !returned || kind == XG_TK_VIEW || !readers_find_it(&d, s, parent, n->out[0]))
            continue;
        may[n->out[0]] = kind != XG_TK_CONCAT || concat_may_stay(&d, n, parent, may, m->tile.icp);
    }
    return may;
}

/* Whether one of two nodes sees a tensor flat and the other one does not. */
static bool views_differ(const sides *d, const xg_selection *s, uint32_t made, uint32_t reader,
                         uint32_t t) {
    int64_t dim[4];
    xg_dims4(xg_tensorp(d->g, t), dim);
    return dim[1] * dim[2] > 1 && s->group.v[d->group_of[made]].strategy.flat !=
                                      s->group.v[d->group_of[reader]].strategy.flat;
}

/* Whether reader n needs tensor t in DDR. */
static bool reader_needs_ddr(const sides *d, const xg_selection *s, uint32_t n, uint32_t t) {
    const xg_node *node = xg_nodep(d->g, n);
    xg_tile_kind kind = xg_node_tile_kind(d->g, node);
    if (!d->accel[n] || kind == XG_TK_VIEW) return true;
    uint32_t made = xg_tensorp(d->g, t)->producer;
    if (made == XG_NONE || d->run[n] != d->run[made] || views_differ(d, s, made, n, t)) return true;
    return kind == XG_TK_CONCAT && !s->on_chip[node->out[0]];
}

bool *xg_needs_ddr(const xg_selection *s, xg_arena *a) {
    sides d = sides_of(s, a);
    const uint32_t *parent = parents(&d, a);
    bool *ddr = xg_newn(a, bool, s->graph->tensor.n + 1);
    for (uint32_t t = s->graph->tensor.n; t-- > 0;)
        ddr[t] = !s->on_chip || !s->on_chip[t] || xg_tensorp(s->graph, t)->is_output;
    for (bool again = true; again;) { /* a concat's result and what lies in it go together */
        again = false;
        for (uint32_t i = s->graph->node.n; i-- > 0;) {
            const xg_node *n = xg_nodep(s->graph, i);
            for (uint32_t k = 0; k < n->nin; k++) {
                uint32_t t = n->in[k];
                if (t == XG_NONE) continue;
                bool inside = parent[t] == n->out[0];
                if (!ddr[t] && (reader_needs_ddr(&d, s, i, t) || (inside && ddr[n->out[0]])))
                    ddr[t] = again = true;
                if (inside && ddr[t] && !ddr[n->out[0]]) ddr[n->out[0]] = again = true;
            }
        }
    }
    return ddr;
}
