/* Graphs for matching, by hand and from a seed, and a plain matcher to compare with: it tries every
 * node at every vertex in the file's order, and absent vertices as they are met. */
#ifndef PATTERN_GRAPHS_H
#define PATTERN_GRAPHS_H

#include "fusion/geometry.h"
#include "fusion/patterns.h"

#include <string.h>

typedef struct maker {
    xg_arena *a;
    xg_graph *g;
    uint64_t seed;
    uint32_t favourite[3]; /* kinds of nodes that this graph has more of, see random_node */
    uint32_t bad;          /* nodes that shape inference refused */
} maker;

enum { CHANNELS = 16 };

static inline maker new_maker(xg_arena *a, uint64_t seed) {
    return (maker){.a = a, .g = xg_graph_new(a, "net"), .seed = seed};
}

static inline uint32_t one_of(maker *k, uint32_t n) {
    return (uint32_t)(xg_random(&k->seed) % n);
}

static inline uint32_t add_input(maker *k, int64_t size) {
    xg_tensor t = {.dtype = XG_I8, .rank = 4, .dim = {1, size, size, CHANNELS}};
    t.producer = XG_NONE;
    t.quant = xg_quant_scalar(k->a, 0.5f, 0);
    uint32_t i = xg_graph_add_tensor(k->g, &t);
    xg_graph_add_input(k->g, i);
    return i;
}

/* Infers the new node's shape; returns its output tensor. */
static inline uint32_t settle(maker *k, uint32_t node) {
    xg_tensor *y = xg_out(k->g, xg_nodep(k->g, node), 0);
    y->dtype = XG_I8;
    y->quant = xg_quant_scalar(k->a, 0.5f, 0);
    if (xg_node_infer(xg_arena_ctx(k->a), k->g, node) != XG_OK) k->bad++;
    return xg_nodep(k->g, node)->out[0];
}

static inline uint32_t add_conv(maker *k, uint32_t x, int32_t size, int32_t stride, bool depth) {
    int64_t dim[4] = {CHANNELS, size, size, depth ? 1 : CHANNELS};
    uint32_t in[2] = {x, 0};
    in[1] = xg_graph_add_const(k->g, NULL, XG_I8, 4, dim,
                               xg_alloc(k->a, (size_t)(dim[1] * dim[2] * dim[3]) * CHANNELS),
                               xg_quant_scalar(k->a, 0.25f, 0));
    uint32_t n = xg_graph_add_node(k->g, XG_OP_Conv, NULL, in, 2, 1);
    xg_window w = {size, size, stride, stride, 1, 1, size / 2, size / 2, size / 2, size / 2};
    xg_set_window(xg_nodep(k->g, n), &w);
    xg_set_ai(xg_nodep(k->g, n), XG_ATTR_group, depth ? CHANNELS : 1);
    return settle(k, n);
}

/* size 0: the whole map. */
static inline uint32_t add_pool(maker *k, xg_op op, uint32_t x, int32_t size, int32_t stride) {
    uint32_t n = xg_graph_add_node(k->g, op, NULL, &x, 1, 1);
    int32_t pad = size / 2, all = (int32_t)xg_tensorp(k->g, x)->dim[1];
    xg_window w = {size, size, stride, stride, 1, 1, pad, pad, pad, pad};
    if (!size) w = (xg_window){all, all, 1, 1, 1, 1, 0, 0, 0, 0};
    xg_set_window(xg_nodep(k->g, n), &w);
    return settle(k, n);
}

static inline uint32_t add_table(maker *k, uint32_t x) {
    int64_t dim[1] = {256};
    uint32_t in[2] = {x, 0};
    in[1] = xg_graph_add_const(k->g, NULL, XG_I8, 1, dim, xg_alloc(k->a, 256), NULL);
    return settle(k, xg_graph_add_node(k->g, XG_OP_Lut, NULL, in, 2, 1));
}

static inline uint32_t add_plain(maker *k, xg_op op, uint32_t x, uint32_t y) {
    uint32_t in[2] = {x, y};
    uint32_t n = xg_graph_add_node(k->g, op, NULL, in, y == XG_NONE ? 1 : 2, 1);
    if (op == XG_OP_Concat) xg_set_ai(xg_nodep(k->g, n), XG_ATTR_axis, 3);
    return settle(k, n);
}

/* Tensors that nothing reads become outputs. */
static inline void add_outputs(maker *k) {
    xg_uses u = xg_graph_uses(k->g, k->a);
    for (uint32_t i = 0; i < k->g->node.n; i++) {
        uint32_t t = xg_nodep(k->g, i)->out[0];
        if (u.first[t] == u.first[t + 1]) xg_graph_add_output(k->g, t);
    }
}

static inline bool fits_other(const maker *k, uint32_t x, uint32_t y) {
    const xg_tensor *a = xg_tensorp(k->g, x), *b = xg_tensorp(k->g, y);
    return a->dim[3] == b->dim[3] && (a->dim[1] == b->dim[1] || a->dim[1] == 1 || b->dim[1] == 1);
}

/* Another operand of x's channels: with its map, or a vector; x itself in the end. */
static inline uint32_t other_operand(maker *k, const uint32_t *made, uint32_t n, uint32_t x) {
    for (uint32_t tries = 0; tries < 8; tries++) {
        uint32_t y = made[one_of(k, n)];
        if (fits_other(k, x, y)) return y;
    }
    return x;
}

static inline uint32_t random_node(maker *k, const uint32_t *made, uint32_t n) {
    uint32_t near = n < 4 ? n : 4;
    uint32_t x = made[one_of(k, 5) ? n - 1 - one_of(k, near) : one_of(k, n)], y;
    bool wide = xg_tensorp(k->g, x)->dim[3] != CHANNELS;
    uint32_t what = one_of(k, 2) ? k->favourite[one_of(k, 3)] : one_of(k, 16);
    if (wide && what < 7) what = 9; /* convolutions here take CHANNELS channels */
    switch (what) {
    case 0:
    case 1:
    case 2:
        return add_conv(k, x, 1, 1, false);
    case 3:
    case 4:
        return add_conv(k, x, 3, 1, false);
    case 5:
        return add_conv(k, x, 3, 2, false);
    case 6:
        return add_conv(k, x, 3, 1, true);
    case 7:
        return add_pool(k, XG_OP_MaxPool, x, 3, 1);
    case 8:
        return add_pool(k, XG_OP_AvgPool, x, one_of(k, 2) ? 3 : 0, 1);
    case 9:
    case 10:
        return add_table(k, x);
    case 11:
        return add_plain(k, XG_OP_Clip, x, XG_NONE);
    default:
        y = other_operand(k, made, n, x);
        if (what == 15 && xg_tensorp(k->g, x)->dim[1] == xg_tensorp(k->g, y)->dim[1] && !wide)
            return add_plain(k, XG_OP_Concat, x, y);
        return one_of(k, 2) ? add_plain(k, XG_OP_Mul, x, y) : add_plain(k, XG_OP_Add, y, x);
    }
}

/* x times a gate from its average. */
static inline uint32_t gated(maker *k, uint32_t x) {
    uint32_t y = add_conv(k, add_pool(k, XG_OP_AvgPool, x, 0, 1), 1, 1, false);
    if (one_of(k, 2)) y = add_table(k, y);
    y = add_conv(k, y, 1, 1, false);
    if (one_of(k, 2)) y = add_table(k, y);
    return add_plain(k, XG_OP_Mul, x, y);
}

/* Two to four convolutions of x, each perhaps with a table. */
static inline uint32_t heads(maker *k, uint32_t x) {
    uint32_t y = x, n = 2 + one_of(k, 3);
    for (uint32_t i = 0; i < n; i++) {
        y = add_conv(k, x, one_of(k, 2) ? 3 : 1, 1, false);
        if (one_of(k, 4)) y = add_table(k, y);
    }
    return y;
}

/* A chain of convolutions as networks have it, from x; returns the last tensor. */
static inline uint32_t random_block(maker *k, uint32_t x) {
    if (!one_of(k, 4)) return gated(k, x);
    if (!one_of(k, 5)) return heads(k, x);
    uint32_t y = x, n = 2 + one_of(k, 2), middle = one_of(k, 2);
    for (uint32_t i = 0; i < n; i++) {
        bool wide = n == 3 ? i == 1 : i == middle;
        y = add_conv(k, y, wide ? 3 : 1, 1, wide && one_of(k, 2));
        if (!one_of(k, 4)) y = add_table(k, y);
    }
    return one_of(k, 3) ? add_plain(k, XG_OP_Add, y, x) : y;
}

/* size <= 256 nodes and a block. accel: nodes that the accelerator runs, nine in ten. */
static inline xg_graph *random_graph(xg_arena *a, uint64_t seed, uint32_t size, bool **accel) {
    maker k = new_maker(a, seed);
    uint32_t made[258], n = 0;
    for (uint32_t i = 0; i < 3; i++) k.favourite[i] = one_of(&k, 16);
    made[n++] = add_input(&k, 8);
    made[n++] = add_input(&k, 8);
    while (k.g->node.n < size) {
        bool plain = one_of(&k, 6) || xg_tensorp(k.g, made[n - 1])->dim[3] != CHANNELS;
        made[n] = plain ? random_node(&k, made, n) : random_block(&k, made[n - 1]);
        n++;
    }
    size = k.g->node.n;
    add_outputs(&k);
    if (!one_of(&k, 3)) xg_graph_add_output(k.g, made[2 + one_of(&k, n - 2)]);
    *accel = xg_newn(a, bool, size);
    for (uint32_t i = 0; i < size; i++) (*accel)[i] = one_of(&k, 10) != 0;
    return k.bad ? NULL : k.g;
}

/* ---- the plain matcher ---- */

typedef struct plain_set {
    uint32_t n, pattern, node[XG_PATTERN_VERTICES];
} plain_set;
typedef XG_VEC(plain_set) plain_sets;

typedef struct plain {
    xg_arena *a;
    const xg_graph *g;
    const bool *accel;
    const xg_pattern *p;
    uint32_t index;
    uint32_t at[XG_PATTERN_VERTICES]; /* node, or XG_NONE: absent */
    uint32_t shared;                  /* siblings: the shared input */
    uint32_t block;                   /* and which of its readers may take it: XG_SIBLING_READERS */
    plain_sets *out;
} plain;

/* The node whose result an edge from vertex v carries; XG_NONE when v is absent without source. */
static inline uint32_t stands_for(const plain *s, uint32_t v) {
    if (s->at[v] != XG_NONE) return s->at[v];
    for (uint32_t i = 0; i < s->p->nedge; i++)
        if (s->p->edge[i].to == v) return stands_for(s, s->p->edge[i].from);
    return XG_NONE;
}

static inline bool reads(const plain *s, uint32_t reader, uint32_t source, uint32_t link) {
    const xg_node *n = xg_nodep(s->g, reader);
    uint32_t t = xg_nodep(s->g, source)->out[0];
    bool first = n->in[0] == t, second = n->nin > 1 && n->in[1] == t;
    return link == XG_LINK_FIRST    ? first
           : link == XG_LINK_SECOND ? second
           : link == XG_LINK_BOTH   ? first && second
                                    : first || second;
}

static inline bool edges_hold(const plain *s, uint32_t v, uint32_t node) {
    uint32_t before[2] = {XG_NONE, XG_NONE}, n = 0;
    for (uint32_t i = 0; i < s->p->nedge; i++) {
        const xg_pattern_edge *e = &s->p->edge[i];
        uint32_t source = e->to == v ? stands_for(s, e->from) : XG_NONE;
        if (source == XG_NONE) continue;
        bool twice = n && before[0] == source;
        before[n++] = source;
        if (!reads(s, node, source, twice ? (uint32_t)XG_LINK_BOTH : e->link)) return false;
        int64_t a[4], b[4];
        xg_dims4(xg_out(s->g, xg_nodep(s->g, source), 0), a);
        xg_dims4(xg_out(s->g, xg_nodep(s->g, node), 0), b);
        if (e->same && memcmp(a, b, sizeof a)) return false;
    }
    return true;
}

static inline bool plain_member(const plain_set *x, uint32_t node) {
    for (uint32_t i = 0; i < x->n; i++)
        if (x->node[i] == node) return true;
    return false;
}

/* Legal by the definition in patterns.h: looks through all nodes of the graph. */
static inline bool plain_legal(const xg_graph *g, const bool *accel, const plain_set *x) {
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t t = xg_nodep(g, x->node[i])->out[0], op = xg_nodep(g, x->node[i])->op;
        if (!accel[x->node[i]] || op == XG_OP_Concat || op == XG_OP_Reshape || op == XG_OP_Slice)
            return false;
        if (i + 1 == x->n) break;
        uint32_t readers = 0;
        for (uint32_t r = 0; r < g->node.n; r++)
            for (uint32_t k = 0; k < xg_nodep(g, r)->nin; k++) {
                if (xg_nodep(g, r)->in[k] != t) continue;
                if (!plain_member(x, r)) return false;
                readers++;
            }
        if (!readers || xg_tensorp(g, t)->is_output) return false;
    }
    return true;
}

/* A node of the set that no other reads. */
static inline bool plain_result(const xg_graph *g, const plain_set *x, uint32_t node) {
    for (uint32_t i = 0; i < x->n; i++)
        for (uint32_t k = 0; k < xg_nodep(g, x->node[i])->nin; k++)
            if (xg_nodep(g, x->node[i])->in[k] == xg_nodep(g, node)->out[0]) return false;
    return true;
}

/* What makes a set of siblings legal, besides. results: bits of x->node that must be the results.
 */
static inline bool plain_siblings(const xg_graph *g, const bool *accel, const plain_set *x,
                                  uint32_t results) {
    uint32_t first = XG_NONE;
    for (uint32_t i = x->n; i-- > 0;) {
        if (plain_result(g, x, x->node[i]) != (results >> i & 1)) return false;
        if (results >> i & 1) first = x->node[i];
    }
    int64_t a[4], b[4];
    xg_dims4(xg_out(g, xg_nodep(g, first), 0), a);
    for (uint32_t i = 0; i < x->n; i++) {
        const xg_node *n = xg_nodep(g, x->node[i]);
        if (!accel[x->node[i]] || n->op == XG_OP_Concat || n->op == XG_OP_Reshape ||
            n->op == XG_OP_Slice)
            return false;
        for (uint32_t k = 0; k < n->nin; k++) {
            uint32_t made = n->in[k] == XG_NONE ? XG_NONE : xg_in(g, n, k)->producer;
            if (made != XG_NONE && made > first && !plain_member(x, made)) return false;
        }
        if (results >> i & 1) {
            xg_dims4(xg_out(g, n, 0), b);
            if (memcmp(a, b, 3 * sizeof *a)) return false;
            continue;
        }
        if (xg_out(g, n, 0)->is_output) return false;
        for (uint32_t r = 0; r < g->node.n; r++)
            for (uint32_t k = 0; k < xg_nodep(g, r)->nin; k++)
                if (xg_nodep(g, r)->in[k] == n->out[0] && !plain_member(x, r)) return false;
    }
    return true;
}

/* Number of the run of readers to which a reader of the tensor belongs. */
static inline uint32_t plain_block(const plain *s, uint32_t tensor, uint32_t node) {
    uint32_t at = 0;
    for (uint32_t r = 0; r < node; r++) {
        const xg_node *n = xg_nodep(s->g, r);
        if (!s->accel[r] || n->op == XG_OP_Concat || n->op == XG_OP_Reshape || n->op == XG_OP_Slice)
            continue;
        at += n->in[0] == tensor || (n->nin > 1 && n->in[1] == tensor);
    }
    return at / XG_SIBLING_READERS;
}

/* Vertex v of siblings takes the shared input, or something inside. */
static inline bool plain_takes(plain *s, uint32_t v, uint32_t node) {
    const xg_node *n = xg_nodep(s->g, node);
    for (uint32_t i = 0; i < s->p->nedge; i++)
        if (s->p->edge[i].to == v && stands_for(s, s->p->edge[i].from) != XG_NONE) return true;
    if (n->in[0] != s->shared && (n->nin < 2 || n->in[1] != s->shared)) return false;
    uint32_t block = plain_block(s, s->shared, node);
    for (uint32_t u = 0; u < v; u++)
        if (s->at[u] != XG_NONE && block != s->block) return false;
    s->block = block;
    return true;
}

static inline bool plain_same(const plain_set *x, const plain_set *y) {
    return x->n == y->n && !memcmp(x->node, y->node, x->n * sizeof *x->node);
}

static inline void plain_record(plain *s) {
    plain_set x = {.pattern = s->index};
    uint32_t read = 0, results = 0; /* vertices, bits; nodes, bits */
    for (uint32_t i = 0; i < s->p->nedge; i++)
        for (uint32_t v = 0; v < s->p->nvertex && s->at[s->p->edge[i].to] != XG_NONE; v++)
            if (s->at[v] != XG_NONE && s->at[v] == stands_for(s, s->p->edge[i].from))
                read |= 1u << v;
    for (uint32_t node = 0; node < s->g->node.n; node++)
        for (uint32_t v = 0; v < s->p->nvertex; v++)
            if (s->at[v] == node) {
                results |= (uint32_t) !(read >> v & 1) << x.n;
                x.node[x.n++] = node;
            }
    if (x.n < 2) return;
    if (s->p->siblings
            ? __builtin_popcount(results) < 2 || !plain_siblings(s->g, s->accel, &x, results)
            : !plain_legal(s->g, s->accel, &x))
        return;
    for (uint32_t i = 0; i < s->out->n; i++)
        if (s->out->v[i].pattern == s->index && plain_same(&s->out->v[i], &x)) return;
    xg_push(s->a, s->out, x);
}

static inline void plain_place(plain *s, uint32_t v) {
    if (v == s->p->nvertex) {
        plain_record(s);
        return;
    }
    const xg_pattern_vertex *vertex = &s->p->vertex[v];
    s->at[v] = XG_NONE;
    if (vertex->optional) plain_place(s, v + 1);
    for (uint32_t node = 0; node < s->g->node.n; node++) {
        bool used = false;
        for (uint32_t u = 0; u < v; u++) used |= s->at[u] == node;
        if (used || !s->accel[node]) continue;
        if (!xg_vertex_accepts(vertex, s->g, xg_nodep(s->g, node))) continue;
        s->at[v] = XG_NONE;
        if (!edges_hold(s, v, node) || (s->p->siblings && !plain_takes(s, v, node))) continue;
        s->at[v] = node;
        plain_place(s, v + 1);
    }
    s->at[v] = XG_NONE;
}

/* All node sets of all patterns, each once for each pattern. */
static inline plain_sets plain_match(xg_arena *a, const xg_graph *g, const bool *accel,
                                     const xg_patterns *p) {
    plain_sets out = {0};
    for (uint32_t i = 0; i < p->npattern; i++) {
        plain s = {.a = a, .g = g, .accel = accel, .p = &p->pattern[i], .index = i, .out = &out};
        for (s.shared = 0; s.shared < (s.p->siblings ? g->tensor.n : 1); s.shared++)
            if (!xg_tensorp(g, s.shared)->data || !s.p->siblings) plain_place(&s, 0);
    }
    return out;
}

#endif
