/* Groups around one node that patterns match, whether they are legal or not: a small matcher that
 * grows from the node along the edges of each variant, and from one sibling to the next through the
 * tensor that they share. It can let one condition fail, and says which. */
#include "fusion/explain.h"

#include "fusion/geometry.h"

#include <string.h>

enum { STEPS = 1 << 20, SETS = 4096 };

typedef struct near_search {
    xg_arena *a;
    const xg_graph *g;
    const xg_patterns *p;
    xg_uses uses;
    uint32_t other;
    bool almost;
    xg_nears *out;
    uint32_t steps;
    /* the variant that is being placed */
    const xg_variant *v;
    uint8_t order[XG_PATTERN_VERTICES]; /* every vertex but the first is next to an earlier one */
    uint32_t at[XG_PATTERN_VERTICES];   /* [vertices] node, or XG_NONE */
    uint32_t shared;                    /* tensor that the siblings read, once one is placed */
    const char *fault;
} near_search;

static const xg_pattern_vertex *vertex_of(const near_search *s, uint32_t k) {
    return &s->p->pattern[s->v->pattern].vertex[s->v->vertex[k]];
}

/* ---- conditions --------------------------------------------------------------------------------
 */

/* The vertex with its first n conditions; all operators' kinds are its conditions too. */
static xg_pattern_vertex first_conditions(const xg_pattern_vertex *v, uint32_t n) {
    xg_pattern_vertex r = {.ops = v->ops, .convs = v->convs};
    if (v->convs && n < 1) r.convs = XG_CONV_DENSE | XG_CONV_DEPTHWISE | XG_CONV_POINTWISE;
    if (n >= 2) r.kernel_min = v->kernel_min;
    if (n >= 3) r.kernel_max = v->kernel_max;
    if (n >= 4) r.stride_min = v->stride_min;
    if (n >= 5) r.stride_max = v->stride_max;
    if (n >= 6) r.map = v->map;
    if (n >= 7) r.operands = v->operands;
    return r;
}
enum { CONDITIONS = 7 };

static const char *condition_text(const near_search *s, const xg_pattern_vertex *v, uint32_t n) {
    static const char *const maps[] = {"any", "same", "smaller", "point"}, *const operands[] = {
                                                                               "any", "equal",
                                                                               "repeated"};
    switch (n) {
    case 1:
        return xg_strf(s->a, "op: %s", v->ops_text);
    case 2:
        return xg_strf(s->a, "kernel_min: %u", v->kernel_min);
    case 3:
        return xg_strf(s->a, "kernel_max: %u", v->kernel_max);
    case 4:
        return xg_strf(s->a, "stride_min: %u", v->stride_min);
    case 5:
        return xg_strf(s->a, "stride_max: %u", v->stride_max);
    case 6:
        return xg_strf(s->a, "map: %s", maps[v->map]);
    default:
        return xg_strf(s->a, "operands: %s", operands[v->operands]);
    }
}

/* True when the node may stand there; *fault is set when a condition has to fail for that. */
static bool may_stand(const near_search *s, uint32_t k, uint32_t node, const char **fault) {
    const xg_pattern_vertex *v = vertex_of(s, k);
    const xg_node *n = xg_nodep(s->g, node);
    if (xg_vertex_accepts(v, s->g, n)) return true;
    if (!s->almost || *fault) return false;
    for (uint32_t i = 0; i <= CONDITIONS; i++) {
        xg_pattern_vertex part = first_conditions(v, i);
        if (xg_vertex_accepts(&part, s->g, n)) continue;
        if (!i) return false; /* another operator */
        *fault = xg_strf(s->a, "'%s' does not meet '%s' of vertex %s", n->name,
                         condition_text(s, v, i), v->id);
        return true;
    }
    return false;
}

static bool reads(const xg_graph *g, const xg_node *reader, uint32_t source, uint32_t *operands) {
    uint32_t t = xg_nodep(g, source)->out[0];
    *operands = 0;
    for (uint32_t o = 0; o < reader->nin && o < 2; o++)
        *operands |= (uint32_t)(reader->in[o] == t) << o;
    return *operands != 0;
}

static bool link_holds(uint32_t link, uint32_t operands) {
    return link == XG_LINK_FIRST    ? operands & 1
           : link == XG_LINK_SECOND ? operands >> 1 & 1
           : link == XG_LINK_BOTH   ? operands == 3
                                    : true;
}

static bool edge_may_hold(const near_search *s, const xg_pattern_edge *e, const char **fault) {
    static const char *const links[] = {"any", "0", "1", "both"};
    uint32_t from = s->at[e->from], to = s->at[e->to], operands;
    const xg_node *reader = xg_nodep(s->g, to);
    if (!reads(s->g, reader, from, &operands)) return false;
    int64_t a[4], b[4];
    xg_dims4(xg_out(s->g, xg_nodep(s->g, from), 0), a);
    xg_dims4(xg_out(s->g, reader, 0), b);
    bool link = link_holds(e->link, operands), shape = !e->same || !memcmp(a, b, sizeof a);
    if (link && shape) return true;
    if (!s->almost || *fault || (!link && !shape)) return false;
    *fault = link
                 ? xg_strf(s->a,
                           "'%s' is repeated over '%s' where the edge %s to %s wants 'shape: same'",
                           xg_nodep(s->g, from)->name, reader->name, vertex_of(s, e->from)->id,
                           vertex_of(s, e->to)->id)
                 : xg_strf(s->a,
                           "'%s' is not the operand of '%s' that the edge %s to %s wants "
                           "('operand: %s')",
                           xg_nodep(s->g, from)->name, reader->name, vertex_of(s, e->from)->id,
                           vertex_of(s, e->to)->id, links[e->link]);
    return true;
}

/* ---- placing -----------------------------------------------------------------------------------
 */

static bool is_siblings(const near_search *s) {
    return s->p->pattern[s->v->pattern].siblings;
}

static bool is_root(const near_search *s, uint32_t vertex) {
    return is_siblings(s) && s->v->roots >> vertex & 1;
}

/* More tensors among the nodes than the variant has edges may leave fewer results. */
static bool has_results(const near_search *s, const xg_near *x) {
    xg_group grp = {.nnode = x->n, .node = x->node};
    const uint32_t *result;
    if (!is_siblings(s)) return true;
    xg_group_find_results(s->a, s->g, &grp);
    return xg_group_results(&grp, &result) == (uint32_t)__builtin_popcount(s->v->results);
}

static void record(near_search *s) {
    xg_near x = {.pattern = s->v->pattern, .fault = s->fault};
    bool with_other = s->other == XG_NONE;
    for (uint32_t i = 0; i < s->v->nvertex; i++) {
        uint32_t node = s->at[i], k = x.n++;
        with_other |= node == s->other;
        for (; k && x.node[k - 1] > node; k--) x.node[k] = x.node[k - 1];
        x.node[k] = node;
    }
    if (!with_other || s->out->n == SETS || !has_results(s, &x)) return;
    for (uint32_t i = 0; i < s->out->n; i++) {
        xg_near *y = &s->out->v[i];
        if (y->n != x.n || memcmp(y->node, x.node, x.n * sizeof *x.node)) continue;
        if (y->fault && !x.fault) *y = x;
        return;
    }
    xg_push(s->a, s->out, x);
}

static bool is_placed(const near_search *s, uint32_t node) {
    for (uint32_t i = 0; i < s->v->nvertex; i++)
        if (s->at[i] == node) return true;
    return false;
}

static void place_next(near_search *s, uint32_t n);

static void place_at(near_search *s, uint32_t n, uint32_t node, const char *fault) {
    uint32_t k = s->order[n];
    const char *before = s->fault;
    s->at[k] = node;
    bool holds = true;
    for (uint32_t i = 0; i < s->v->nedge && holds; i++) {
        const xg_pattern_edge *e = &s->v->edge[i];
        if ((e->from == k || e->to == k) && s->at[e->from] != XG_NONE && s->at[e->to] != XG_NONE)
            holds = edge_may_hold(s, e, &fault);
    }
    s->fault = fault;
    if (holds) place_next(s, n + 1);
    s->fault = before;
    s->at[k] = XG_NONE;
}

static void try_node(near_search *s, uint32_t n, uint32_t node) {
    const char *fault = s->fault;
    if (!s->steps || is_placed(s, node)) return;
    s->steps--;
    if (!may_stand(s, s->order[n], node, &fault)) return;
    if (!is_root(s, s->order[n])) {
        place_at(s, n, node, fault);
        return;
    }
    const xg_node *x = xg_nodep(s->g, node);
    uint32_t before = s->shared;
    for (uint32_t o = 0; o < x->nin && o < 2; o++) {
        bool again = o && x->in[1] == x->in[0], other = before != XG_NONE && x->in[o] != before;
        if (again || other || x->in[o] == XG_NONE || xg_in(s->g, x, o)->data) continue;
        s->shared = x->in[o];
        place_at(s, n, node, fault);
        s->shared = before;
    }
}

static void try_readers(near_search *s, uint32_t n, uint32_t tensor) {
    uint32_t last = XG_NONE;
    for (uint32_t u = s->uses.first[tensor]; u < s->uses.first[tensor + 1]; u++) {
        if (s->uses.node[u] != last) try_node(s, n, s->uses.node[u]);
        last = s->uses.node[u];
    }
}

/* Vertex order[n] stands next to an earlier one: the other end of one of that one's edges, or
 * another reader of the shared tensor. */
static void place_next(near_search *s, uint32_t n) {
    if (n == s->v->nvertex) {
        record(s);
        return;
    }
    uint32_t k = s->order[n];
    for (uint32_t i = 0; i < s->v->nedge; i++) {
        const xg_pattern_edge *e = &s->v->edge[i];
        if (e->to == k && s->at[e->from] != XG_NONE) {
            try_readers(s, n, xg_nodep(s->g, s->at[e->from])->out[0]);
            return;
        }
        if (e->from == k && s->at[e->to] != XG_NONE) {
            const xg_node *reader = xg_nodep(s->g, s->at[e->to]);
            for (uint32_t o = 0; o < reader->nin && o < 2; o++) {
                const xg_tensor *t = xg_in(s->g, reader, o);
                bool again = o && reader->in[1] == reader->in[0];
                if (t && t->producer != XG_NONE && !again) try_node(s, n, t->producer);
            }
            return;
        }
    }
    if (s->shared != XG_NONE) try_readers(s, n, s->shared);
}

/* The first vertex, then always one that an edge or the shared tensor links to those before. False:
 * it falls apart. */
static bool order_from(near_search *s, uint32_t first) {
    uint32_t placed = 1u << first, n = 1;
    s->order[0] = (uint8_t)first;
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < s->v->nedge; i++) {
            uint32_t from = s->v->edge[i].from, to = s->v->edge[i].to;
            bool has_from = placed >> from & 1, has_to = placed >> to & 1;
            if (has_from == has_to) continue;
            s->order[n++] = (uint8_t)(has_from ? to : from);
            placed |= 1u << s->order[n - 1];
            more = true;
        }
        uint32_t left = s->v->roots & ~placed;
        if (more || !is_siblings(s) || !left || !(s->v->roots & placed)) continue;
        s->order[n++] = (uint8_t)__builtin_ctz(left);
        placed |= left & -left;
        more = true;
    }
    return n == s->v->nvertex;
}

void xg_match_near(xg_arena *a, const xg_graph *g, const xg_patterns *p, uint32_t node,
                   uint32_t other, bool almost, xg_nears *out) {
    *out = (xg_nears){0};
    near_search s = {.a = a,
                     .g = g,
                     .p = p,
                     .uses = xg_graph_uses(g, a),
                     .other = other,
                     .almost = almost,
                     .out = out,
                     .steps = STEPS,
                     .shared = XG_NONE};
    for (uint32_t k = 0; k < XG_PATTERN_VERTICES; k++) s.at[k] = XG_NONE;
    for (uint32_t i = 0; i < p->nvariant; i++) {
        s.v = &p->variant[i];
        for (uint32_t k = 0; k < s.v->nvertex; k++)
            if (order_from(&s, k)) try_node(&s, 0, node);
    }
}

/* ---- the rules ---------------------------------------------------------------------------------
 */

static bool member(const uint32_t *node, uint32_t n, uint32_t x) {
    for (uint32_t i = 0; i < n; i++)
        if (node[i] == x) return true;
    return false;
}

static void put_fault(xg_buf *b, const char *text) {
    xg_putf(b, "%s%s", b->n ? "\n" : "", text);
}

/* Readers of x's result that are not in the set; a result of the set has them all outside. */
static void check_readers(xg_arena *a, const xg_graph *g, const xg_uses *uses, const uint32_t *node,
                          uint32_t n, const xg_node *x, xg_buf *b) {
    uint32_t inside = 0, t = x->out[0], last = XG_NONE;
    for (uint32_t u = uses->first[t]; u < uses->first[t + 1]; u++)
        inside += member(node, n, uses->node[u]);
    if (!inside) return;
    if (xg_tensorp(g, t)->is_output)
        put_fault(b, xg_strf(a, "the result of '%s' is an output of the model", x->name));
    for (uint32_t u = uses->first[t]; u < uses->first[t + 1]; u++) {
        uint32_t reader = uses->node[u];
        if (!member(node, n, reader) && reader != last)
            put_fault(b, xg_strf(a, "the result of '%s' is also read outside, by '%s'", x->name,
                                 xg_nodep(g, reader)->name));
        last = reader;
    }
}

/* Several results: maps of one size, and all that is read outside is made before the first one. */
static void check_siblings(xg_arena *a, const xg_graph *g, const uint32_t *node, uint32_t n,
                           xg_buf *b) {
    xg_group grp = {.nnode = n, .node = node};
    const uint32_t *result;
    int64_t d[4], e[4];
    xg_group_find_results(a, g, &grp);
    uint32_t results = xg_group_results(&grp, &result);
    if (results < 2) return;
    const xg_node *first = xg_nodep(g, result[0]);
    xg_dims4(xg_out(g, first, 0), d);
    if (results > XG_GROUP_RESULTS) put_fault(b, "it has more than 8 results");
    for (uint32_t i = 1; i < results; i++) {
        const xg_node *x = xg_nodep(g, result[i]);
        xg_dims4(xg_out(g, x, 0), e);
        if (memcmp(d, e, 3 * sizeof *d))
            put_fault(b, xg_strf(a, "the results of '%s' and '%s' are maps of different sizes",
                                 first->name, x->name));
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < xg_nodep(g, node[i])->nin; k++) {
            const xg_tensor *t = xg_in(g, xg_nodep(g, node[i]), k);
            if (t && t->producer != XG_NONE && t->producer >= result[0] &&
                !member(node, n, t->producer))
                put_fault(b, xg_strf(a, "'%s' reads '%s', which is made after the result of '%s'",
                                     xg_nodep(g, node[i])->name, t->name, first->name));
        }
}

const char *xg_why_no_candidate(xg_arena *a, const xg_graph *g, const char *const *refused,
                                const uint32_t *node, uint32_t n) {
    xg_buf b = {.arena = a};
    xg_uses uses = xg_graph_uses(g, a);
    for (uint32_t i = 0; i < n; i++) {
        const xg_node *x = xg_nodep(g, node[i]);
        if (refused[node[i]])
            put_fault(&b, xg_strf(a, "'%s' runs on the host: %s", x->name, refused[node[i]]));
        check_readers(a, g, &uses, node, n, x, &b);
    }
    check_siblings(a, g, node, n, &b);
    return b.n ? b.p : NULL;
}
