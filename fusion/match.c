/* Matching: every place of the graph where a pattern's variant lies, by igraph's VF2.
 *
 * VF2 looks at every vertex of its graph for every step, so a whole network would cost the square
 * of its size. Here it sees pieces: BLOCK nodes as possible results, and what lies before them
 * within reach of the widest pattern, along tensors that can be inside a group. A match is found in
 * the piece that has its result, once for each automorphism. In a pattern's graph the vertex comes
 * first that fits the fewest nodes; variants without a chance in a piece are skipped.
 *
 * For siblings a piece is a tensor with at most XG_SIBLING_READERS of its readers, and what can
 * follow them inside a group. The tensor is a vertex there, and in the pattern's graph, where edges
 * lead from it to all that takes the shared input. Branches that are alike are interchangeable:
 * edges between them in the pattern, and from earlier to later readers in the piece, leave one
 * order of each set.
 *
 * igraph is not thread safe, keeps global state and aborts by default: all calls are made under one
 * lock, with error handlers that do nothing, and between lock and unlock nothing is allocated from
 * arenas, because that could unwind past igraph. */
#include "fusion/patterns.h"

#include "fusion/geometry.h"
#include "fusion/select.h"

#include <igraph/igraph.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32, STEPS_MAX = 1 << 18, WORDS_MAX = 1 << 26 };
enum { SIBLING_MEMBERS = 128, SIBLING_STEPS = 1 << 16 };

/* One variant, made ready for a graph. */
typedef struct query {
    const xg_variant *v;
    bool siblings; /* igraph's vertex 0 is the shared input, the others follow */
    uint8_t order[XG_PATTERN_VERTICES]; /* igraph's vertex -> the variant's */
    uint8_t at[XG_PATTERN_VERTICES];    /* and back */
    bool possible;                      /* every vertex fits some node */
    bool live;                          /* graph exists */
    igraph_t graph;
} query;

/* Matches as words: pattern, number of nodes, nodes ascending. Memory from malloc: it grows inside
 * igraph's callback. */
typedef struct hits {
    uint32_t *v;
    size_t n, cap;
} hits;

typedef struct link {
    uint32_t from, to; /* members of the piece */
    uint8_t operands;  /* bit 0: first, bit 1: second; 0: not read */
    bool same;         /* the tensor has the shape of the reader's result */
    bool ordered;      /* both read the shared input, `from` is the earlier node */
} link;

typedef struct matcher {
    const xg_graph *g;
    const xg_patterns *p;
    const bool *accel;
    xg_uses uses;
    bool *eligible, *inner; /* [nodes] may be in a group; may be there without being its result */
    uint8_t *fits;          /* [vertices of all patterns][nodes] */
    query *query;           /* [variants] */
    hits *hits;
    /* the piece */
    uint32_t *member, nmember, nresult; /* nodes; the first nresult may be results; of siblings the
                                           first nresult read the shared input */
    uint32_t *local;                    /* [nodes] their index in member, or XG_NONE */
    link *link;
    uint32_t nlink;
    igraph_integer_t *ends;
    /* the search */
    const query *now;
    uint32_t steps;
    bool cut_short;
    uint64_t epoch, *mark; /* [nodes] epoch of the match that has the node */
} matcher;

/* ---- what may be where ---- */

static bool can_group(const matcher *m, uint32_t node) {
    xg_tile_kind k = xg_node_tile_kind(m->g, xg_nodep(m->g, node));
    return m->accel[node] && k != XG_TK_CONCAT && k != XG_TK_VIEW && k != XG_TK_NONE;
}

/* All readers may be in a group with the node, and are few enough for one. */
static bool can_be_inner(const matcher *m, uint32_t node) {
    uint32_t t = xg_nodep(m->g, node)->out[0], readers = 0, last = XG_NONE;
    if (!m->eligible[node] || xg_tensorp(m->g, t)->is_output) return false;
    for (uint32_t u = m->uses.first[t]; u < m->uses.first[t + 1]; u++) {
        if (!m->eligible[m->uses.node[u]]) return false;
        readers += m->uses.node[u] != last; /* uses are ascending */
        last = m->uses.node[u];
    }
    return readers > 0 && readers < m->p->widest;
}

static void find_fits(matcher *m) {
    uint32_t n = m->g->node.n;
    for (uint32_t i = 0; i < n; i++) m->eligible[i] = can_group(m, i);
    for (uint32_t i = 0; i < n; i++) m->inner[i] = can_be_inner(m, i);
    for (uint32_t k = 0; k < m->p->npattern; k++)
        for (uint32_t v = 0; v < m->p->pattern[k].nvertex; v++) {
            const xg_pattern_vertex *vertex = &m->p->pattern[k].vertex[v];
            uint8_t *row = m->fits + (size_t)(m->p->pattern[k].first_vertex + v) * n;
            for (uint32_t i = 0; i < n; i++)
                row[i] = m->eligible[i] && xg_vertex_accepts(vertex, m->g, xg_nodep(m->g, i));
        }
}

/* Which nodes fit vertex k of the variant. */
static const uint8_t *fits_row(const matcher *m, const xg_variant *v, uint32_t k) {
    uint32_t vertex = m->p->pattern[v->pattern].first_vertex + v->vertex[k];
    return m->fits + (size_t)vertex * m->g->node.n;
}

/* ---- queries ---- */

static uint32_t neighbours(const xg_variant *v, uint32_t k) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < v->nedge; i++) {
        if (v->edge[i].from == k) bits |= 1u << v->edge[i].to;
        if (v->edge[i].to == k) bits |= 1u << v->edge[i].from;
    }
    return bits;
}

/* The vertex that fits the fewest nodes first, then always the rarest neighbour of those before. */
static void prepare_query(const matcher *m, const uint32_t *count, query *q) {
    const xg_variant *v = q->v;
    const uint32_t *rarity = count + m->p->pattern[v->pattern].first_vertex;
    uint32_t placed = 0, reach = q->siblings ? v->roots : (1u << v->nvertex) - 1;
    q->possible = true;
    for (uint32_t i = 0; i < v->nvertex; i++) {
        uint32_t best = XG_NONE;
        for (uint32_t k = 0; k < v->nvertex; k++)
            if (reach >> k & 1 &&
                (best == XG_NONE || rarity[v->vertex[k]] < rarity[v->vertex[best]]))
                best = k;
        q->order[i] = (uint8_t)best;
        q->at[best] = (uint8_t)i;
        q->possible &= rarity[v->vertex[best]] > 0;
        if (!placed && !q->siblings) reach = 0;
        placed |= 1u << best;
        reach = (reach | neighbours(v, best)) & ~placed;
    }
}

static void prepare_queries(matcher *m, xg_arena *tmp) {
    uint32_t n = m->g->node.n, *count = xg_newn(tmp, uint32_t, m->p->nvertex);
    for (uint32_t k = 0; k < m->p->nvertex; k++)
        for (uint32_t i = 0; i < n; i++) count[k] += m->fits[(size_t)k * n + i];
    for (uint32_t i = 0; i < m->p->nvariant; i++) {
        m->query[i].v = &m->p->variant[i];
        m->query[i].siblings = m->p->pattern[m->p->variant[i].pattern].siblings;
        prepare_query(m, count, &m->query[i]);
    }
}

/* ---- pieces ---- */

/* Sources of a node inside groups: at most two, equal ones folded. */
static uint32_t sources(const matcher *m, uint32_t node, link out[2]) {
    const xg_node *n = xg_nodep(m->g, node);
    uint32_t count = 0;
    for (uint32_t o = 0; o < n->nin && o < 2; o++) {
        const xg_tensor *t = xg_in(m->g, n, o);
        if (!t || t->producer == XG_NONE || !m->inner[t->producer]) continue;
        if (count && out[0].from == t->producer) {
            out[0].operands |= 2;
            continue;
        }
        const xg_tensor *y = xg_out(m->g, n, 0);
        int64_t a[4], b[4];
        xg_dims4(t, a);
        xg_dims4(y, b);
        out[count++] = (link){.from = t->producer,
                              .to = node,
                              .operands = (uint8_t)(1u << o),
                              .same = !memcmp(a, b, sizeof a)};
    }
    return count;
}

static void enter(matcher *m, uint32_t node) {
    if (m->local[node] != XG_NONE) return;
    m->local[node] = m->nmember;
    m->member[m->nmember++] = node;
}

static void add_link(matcher *m, uint32_t from, uint32_t to, link l) {
    m->ends[2 * m->nlink] = from;
    m->ends[2 * m->nlink + 1] = to;
    l.from = from;
    l.to = to;
    m->link[m->nlink++] = l;
}

/* Members: the nodes in `result`, and what the widest pattern can reach before them. */
static void gather_piece(matcher *m, const uint32_t *result, uint32_t n) {
    link from[2];
    for (uint32_t i = 0; i < m->nmember; i++) m->local[m->member[i]] = XG_NONE;
    m->nmember = m->nlink = 0;
    for (uint32_t i = 0; i < n; i++) enter(m, result[i]);
    m->nresult = m->nmember;
    uint32_t level = 0;
    for (uint32_t depth = 1; depth < m->p->widest; depth++) {
        uint32_t end = m->nmember;
        for (; level < end; level++) {
            uint32_t k = sources(m, m->member[level], from);
            for (uint32_t i = 0; i < k; i++) enter(m, from[i].from);
        }
    }
    for (uint32_t i = 0; i < m->nmember; i++) {
        uint32_t k = sources(m, m->member[i], from);
        for (uint32_t j = 0; j < k; j++) {
            uint32_t at = m->local[from[j].from];
            if (at == XG_NONE) continue;
            add_link(m, at, i, from[j]);
        }
    }
}

/* Readers [0, n) of the tensor, ascending, and what can follow them inside a group. */
static void gather_siblings(matcher *m, uint32_t tensor, const uint32_t *reader, uint32_t n) {
    link from[2];
    for (uint32_t i = 0; i < m->nmember; i++) m->local[m->member[i]] = XG_NONE;
    m->nmember = m->nlink = 0;
    for (uint32_t i = 0; i < n; i++) enter(m, reader[i]);
    m->nresult = n;
    for (uint32_t depth = 1, level = 0; depth < m->p->widest; depth++)
        for (uint32_t end = m->nmember; level < end; level++) {
            uint32_t t = xg_nodep(m->g, m->member[level])->out[0];
            if (!m->inner[m->member[level]]) continue;
            m->cut_short |= m->nmember >= SIBLING_MEMBERS;
            for (uint32_t u = m->uses.first[t];
                 u < m->uses.first[t + 1] && m->nmember < SIBLING_MEMBERS; u++)
                enter(m, m->uses.node[u]);
        }
    for (uint32_t i = 0; i < m->nmember; i++) {
        uint32_t k = sources(m, m->member[i], from);
        for (uint32_t j = 0; j < k; j++) {
            uint32_t at = m->local[from[j].from];
            if (at == XG_NONE) continue;
            from[j].ordered = at < i && i < n;
            add_link(m, at, i, from[j]);
        }
        for (uint32_t at = 0; at < i && i < n; at++)
            if (!(k > 0 && m->local[from[0].from] == at) &&
                !(k > 1 && m->local[from[1].from] == at))
                add_link(m, at, i, (link){.ordered = true});
        if (i >= n) continue;
        const xg_node *x = xg_nodep(m->g, m->member[i]);
        uint8_t second = x->nin > 1 && x->in[1] == tensor ? 2 : 0;
        add_link(m, XG_NONE, i, (link){.operands = (uint8_t)((x->in[0] == tensor) | second)});
    }
    for (uint32_t i = 0; i < m->nlink; i++) /* the tensor stands behind all members */
        if (m->link[i].from == XG_NONE) m->ends[2 * i] = m->link[i].from = m->nmember;
}

static bool link_fits(const xg_pattern_edge *e, const link *l) {
    if (!l->operands || (e->same && !l->same)) return false;
    switch (e->link) {
    case XG_LINK_FIRST:
        return l->operands & 1;
    case XG_LINK_SECOND:
        return l->operands & 2;
    case XG_LINK_BOTH:
        return l->operands == 3;
    default:
        return true;
    }
}

/* Every edge of the variant fits some edge of the piece. */
static bool has_chance(const matcher *m, const query *q) {
    if (!q->possible || q->v->nvertex > m->nmember) return false;
    for (uint32_t i = 0; i < q->v->nedge; i++) {
        const xg_pattern_edge *e = &q->v->edge[i];
        const uint8_t *from = fits_row(m, q->v, e->from), *to = fits_row(m, q->v, e->to);
        bool found = false;
        for (uint32_t k = 0; k < m->nlink && !found; k++)
            found = m->link[k].from < m->nmember && from[m->member[m->link[k].from]] &&
                    to[m->member[m->link[k].to]] && link_fits(e, &m->link[k]);
        if (!found) return false;
    }
    return true;
}

/* ---- igraph's callbacks ---- */

static igraph_bool_t node_fits(const igraph_t *piece, const igraph_t *pattern,
                               const igraph_integer_t v, const igraph_integer_t k, void *arg) {
    matcher *m = arg;
    (void)piece, (void)pattern;
    if (!m->steps) {
        m->cut_short = true; /* nothing fits any more: the search ends */
        return false;
    }
    m->steps--;
    bool siblings = m->now->siblings;
    if (siblings && (!k || v == m->nmember)) return !k && v == m->nmember;
    uint32_t node = m->member[v], vertex = m->now->order[siblings ? k - 1 : k];
    if (!fits_row(m, m->now->v, vertex)[node]) return false;
    if (!(m->now->v->results >> vertex & 1)) return m->inner[node];
    return siblings || (uint32_t)v < m->nresult;
}

static igraph_bool_t edge_fits(const igraph_t *piece, const igraph_t *pattern,
                               const igraph_integer_t e, const igraph_integer_t k, void *arg) {
    const matcher *m = arg;
    (void)piece, (void)pattern;
    if (k < m->now->v->nedge) return link_fits(&m->now->v->edge[k], &m->link[e]);
    bool shared = m->link[e].from == m->nmember;
    return shared || m->link[e].ordered;
}

/* Only the last node's result is read outside. node: ascending. */
static bool is_closed(matcher *m, const uint32_t *node, uint32_t n) {
    m->epoch++;
    for (uint32_t i = 0; i < n; i++) m->mark[node[i]] = m->epoch;
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t t = xg_nodep(m->g, node[i])->out[0];
        for (uint32_t u = m->uses.first[t]; u < m->uses.first[t + 1]; u++)
            if (m->mark[m->uses.node[u]] != m->epoch) return false;
    }
    return true;
}

static bool same_map(const matcher *m, uint32_t a, uint32_t b) {
    int64_t x[4], y[4];
    xg_dims4(xg_out(m->g, xg_nodep(m->g, a), 0), x);
    xg_dims4(xg_out(m->g, xg_nodep(m->g, b), 0), y);
    return !memcmp(x, y, 3 * sizeof *x);
}

/* The conditions of xg_candidate for siblings. node: ascending. */
static bool are_siblings(matcher *m, const uint32_t *node, uint32_t n) {
    uint32_t read = 0, results = 0, first = XG_NONE, latest = 0;
    m->epoch++;
    for (uint32_t i = 0; i < n; i++) m->mark[node[i]] = m->epoch;
    for (uint32_t i = 0; i < n; i++) {
        const xg_node *x = xg_nodep(m->g, node[i]);
        for (uint32_t k = 0; k < x->nin; k++) {
            const xg_tensor *t = xg_in(m->g, x, k);
            if (!t || t->producer == XG_NONE) continue;
            for (uint32_t j = 0; j < i; j++) read |= (uint32_t)(node[j] == t->producer) << j;
            if (m->mark[t->producer] != m->epoch && t->producer >= latest) latest = t->producer + 1;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t t = xg_nodep(m->g, node[i])->out[0];
        if (!(read >> i & 1)) {
            results++;
            if (first == XG_NONE) first = node[i];
            if (latest > first || !same_map(m, first, node[i])) return false;
            continue;
        }
        if (xg_tensorp(m->g, t)->is_output) return false;
        for (uint32_t u = m->uses.first[t]; u < m->uses.first[t + 1]; u++)
            if (m->mark[m->uses.node[u]] != m->epoch) return false;
    }
    return results == (uint32_t)__builtin_popcount(m->now->v->results) &&
           results <= XG_GROUP_RESULTS;
}

static bool grow(hits *h, size_t more) {
    if (h->n + more <= h->cap) return true;
    size_t cap = h->cap ? 2 * h->cap : 4096;
    uint32_t *v = realloc(h->v, cap * sizeof *v);
    if (!v) return false;
    h->v = v;
    h->cap = cap;
    return true;
}

static igraph_error_t on_match(const igraph_vector_int_t *to_pattern,
                               const igraph_vector_int_t *to_piece, void *arg) {
    matcher *m = arg;
    (void)to_pattern;
    uint32_t node[XG_PATTERN_VERTICES], n = m->now->v->nvertex;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = m->member[VECTOR(*to_piece)[m->now->siblings ? i + 1 : i]], k = i;
        for (; k && node[k - 1] > v; k--) node[k] = node[k - 1];
        node[k] = v;
    }
    if (!(m->now->siblings ? are_siblings : is_closed)(m, node, n)) return IGRAPH_SUCCESS;
    hits *h = m->hits;
    if (h->n + n + 2 > WORDS_MAX) {
        m->cut_short = true;
        return IGRAPH_STOP;
    }
    if (!grow(h, n + 2)) return IGRAPH_ENOMEM;
    h->v[h->n++] = m->now->v->pattern;
    h->v[h->n++] = n;
    memcpy(h->v + h->n, node, n * sizeof *node);
    h->n += n;
    return IGRAPH_SUCCESS;
}

/* ---- the search; all igraph objects live and die here ---- */

/* The only reader of vertex *v, when it reads nothing else of the pattern; false when there are
 * several or it does. *v becomes XG_NONE when there is none. */
static bool next_in_chain(const xg_variant *v, uint32_t *vertex, const xg_pattern_edge **edge) {
    *edge = NULL;
    for (uint32_t i = 0; i < v->nedge; i++)
        if (v->edge[i].from == *vertex) {
            if (*edge) return false;
            *edge = &v->edge[i];
        }
    *vertex = *edge ? (*edge)->to : XG_NONE;
    for (uint32_t i = 0; i < v->nedge; i++)
        if (v->edge[i].to == *vertex && &v->edge[i] != *edge) return false;
    return true;
}

static bool same_conditions(const xg_pattern_vertex *a, const xg_pattern_vertex *b) {
    return a->ops == b->ops && a->convs == b->convs && a->kernel_min == b->kernel_min &&
           a->kernel_max == b->kernel_max && a->stride_min == b->stride_min &&
           a->stride_max == b->stride_max && a->map == b->map && a->operands == b->operands;
}

/* The branches that begin at a and b are alike. */
static bool interchangeable(const xg_pattern *p, const xg_variant *v, uint32_t a, uint32_t b) {
    while (a != XG_NONE && b != XG_NONE) {
        const xg_pattern_edge *e, *f;
        if (!same_conditions(&p->vertex[v->vertex[a]], &p->vertex[v->vertex[b]])) return false;
        if (!next_in_chain(v, &a, &e) || !next_in_chain(v, &b, &f)) return false;
        if (e && f && (e->link != f->link || e->same != f->same)) return false;
    }
    return a == b;
}

static uint32_t add_shared_edges(const matcher *m, const query *q, igraph_integer_t *ends,
                                 uint32_t n) {
    const xg_pattern *p = &m->p->pattern[q->v->pattern];
    for (uint32_t r = 0; r < q->v->nvertex; r++) {
        if (!(q->v->roots >> r & 1)) continue;
        ends[2 * n] = 0;
        ends[2 * n++ + 1] = q->at[r] + 1;
        for (uint32_t s = r; s-- > 0;)
            if (q->v->roots >> s & 1 && interchangeable(p, q->v, s, r)) {
                ends[2 * n] = q->at[s] + 1;
                ends[2 * n++ + 1] = q->at[r] + 1;
                break;
            }
    }
    return n;
}

static igraph_error_t make_pattern(const matcher *m, query *q) {
    igraph_integer_t ends[2 * (XG_PATTERN_EDGES + 2 * XG_PATTERN_VERTICES)];
    igraph_vector_int_t view = {0};
    uint32_t n = q->v->nedge;
    for (uint32_t i = 0; i < n; i++) {
        ends[2 * i] = q->at[q->v->edge[i].from] + q->siblings;
        ends[2 * i + 1] = q->at[q->v->edge[i].to] + q->siblings;
    }
    if (q->siblings) n = add_shared_edges(m, q, ends, n);
    igraph_error_t rc =
        igraph_create(&q->graph, igraph_vector_int_view(&view, ends, 2 * (igraph_integer_t)n),
                      q->v->nvertex + q->siblings, IGRAPH_DIRECTED);
    q->live = rc == IGRAPH_SUCCESS;
    return rc;
}

static igraph_error_t search_piece(matcher *m, bool siblings) {
    igraph_t piece;
    igraph_vector_int_t view = {0};
    igraph_error_t rc = igraph_create(
        &piece, igraph_vector_int_view(&view, m->ends, 2 * (igraph_integer_t)m->nlink),
        m->nmember + siblings, IGRAPH_DIRECTED);
    if (rc != IGRAPH_SUCCESS) return rc;
    for (uint32_t i = 0; i < m->p->nvariant && rc == IGRAPH_SUCCESS; i++) {
        query *q = &m->query[i];
        if (q->siblings != siblings || !has_chance(m, q)) continue;
        if (!q->live) rc = make_pattern(m, q);
        if (rc != IGRAPH_SUCCESS) break;
        m->now = q;
        m->steps = siblings ? SIBLING_STEPS : STEPS_MAX;
        rc = igraph_get_subisomorphisms_vf2_callback(&piece, &q->graph, NULL, NULL, NULL, NULL,
                                                     NULL, NULL, on_match, node_fits, edge_fits, m);
    }
    igraph_destroy(&piece);
    return rc;
}

/* A piece for each run of readers of each tensor. */
static igraph_error_t search_siblings(matcher *m) {
    uint32_t reader[XG_SIBLING_READERS], least = XG_NONE;
    igraph_error_t rc = IGRAPH_SUCCESS;
    for (uint32_t i = 0; i < m->p->nvariant; i++) {
        uint32_t roots = (uint32_t)__builtin_popcount(m->query[i].v->roots);
        if (m->query[i].siblings && roots < least) least = roots;
    }
    for (uint32_t t = 0; t < m->g->tensor.n && least != XG_NONE; t++) {
        uint32_t n = 0, end = m->uses.first[t + 1], last = XG_NONE;
        for (uint32_t u = m->uses.first[t]; u < end && rc == IGRAPH_SUCCESS; u++) {
            uint32_t node = m->uses.node[u];
            if (m->eligible[node] && node != last) reader[n++] = node;
            last = node; /* uses are ascending */
            if (n < XG_SIBLING_READERS && u + 1 < end) continue;
            if (n >= least && !xg_tensorp(m->g, t)->data) {
                gather_siblings(m, t, reader, n);
                rc = search_piece(m, true);
            }
            n = 0;
        }
    }
    return rc;
}

static igraph_error_t search(matcher *m) {
    uint32_t result[BLOCK], n = 0;
    igraph_error_t rc = IGRAPH_SUCCESS;
    link from[2];
    for (uint32_t i = 0; i < m->g->node.n && rc == IGRAPH_SUCCESS; i++) {
        if (m->eligible[i] && sources(m, i, from)) result[n++] = i;
        if (!n || (n < BLOCK && i + 1 < m->g->node.n)) continue;
        gather_piece(m, result, n);
        rc = search_piece(m, false);
        n = 0;
    }
    if (rc == IGRAPH_SUCCESS) rc = search_siblings(m);
    for (uint32_t i = 0; i < m->p->nvariant; i++)
        if (m->query[i].live) igraph_destroy(&m->query[i].graph);
    return rc;
}

/* The one mutable global of the project, because igraph has some. */
static pthread_mutex_t igraph_lock = PTHREAD_MUTEX_INITIALIZER;

static igraph_error_t search_locked(matcher *m) {
    pthread_mutex_lock(&igraph_lock);
    igraph_error_handler_t *error = igraph_set_error_handler(igraph_error_handler_ignore);
    igraph_warning_handler_t *warning = igraph_set_warning_handler(igraph_warning_handler_ignore);
    igraph_error_t rc = search(m);
    igraph_set_error_handler(error);
    igraph_set_warning_handler(warning);
    pthread_mutex_unlock(&igraph_lock);
    return rc;
}

/* ---- results ---- */

typedef struct found {
    uint32_t pattern, n;
    const uint32_t *node;
} found;

static int by_nodes(const found *x, const found *y) {
    uint32_t a = x->node[x->n - 1], b = y->node[y->n - 1];
    if (a != b) return a < b ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    for (uint32_t i = 0; i < x->n; i++)
        if (x->node[i] != y->node[i]) return x->node[i] < y->node[i] ? -1 : 1;
    return 0;
}

static int by_nodes_then_pattern(const void *a, const void *b) {
    const found *x = a, *y = b;
    int d = by_nodes(x, y);
    return d ? d : x->pattern < y->pattern ? -1 : x->pattern > y->pattern;
}

static void collect(const matcher *m, xg_arena *a, xg_arena *tmp, xg_candidates *out,
                    uint32_t *count) {
    XG_VEC(found) all = {0};
    for (size_t i = 0; i < m->hits->n; i += 2 + m->hits->v[i + 1]) {
        const uint32_t *h = m->hits->v + i;
        xg_push(tmp, &all, (found){h[0], h[1], h + 2});
    }
    if (all.n) qsort(all.v, all.n, sizeof *all.v, by_nodes_then_pattern);
    for (uint32_t i = 0; i < all.n; i++) {
        const found *f = &all.v[i];
        bool again = i && !by_nodes(f - 1, f);
        if (again && f[-1].pattern == f->pattern) continue;
        if (count) count[f->pattern]++;
        if (again) continue;
        xg_push(a, out,
                (xg_candidate){.nnode = f->n,
                               .node = xg_memdup(a, f->node, f->n * sizeof *f->node),
                               .pattern = m->p->pattern[f->pattern].name,
                               .siblings = m->p->pattern[f->pattern].siblings});
    }
}

static void free_hits(void *p) {
    hits *h = p;
    free(h->v);
    *h = (hits){0};
}

static void allocate(matcher *m, xg_arena *tmp) {
    size_t n = m->g->node.n;
    m->uses = xg_graph_uses(m->g, tmp);
    m->eligible = xg_newn(tmp, bool, n);
    m->inner = xg_newn(tmp, bool, n);
    m->fits = xg_alloc_array(tmp, n, m->p->nvertex);
    m->query = xg_newn(tmp, query, m->p->nvariant);
    m->member = xg_newn(tmp, uint32_t, n);
    m->local = xg_newn(tmp, uint32_t, n);
    for (size_t i = 0; i < n; i++) m->local[i] = XG_NONE;
    size_t most = 2 * n + XG_SIBLING_READERS * XG_SIBLING_READERS; /* links of a piece */
    m->link = xg_newn(tmp, link, most);
    m->ends = xg_newn(tmp, igraph_integer_t, 2 * most);
    m->mark = xg_newn(tmp, uint64_t, n);
    m->hits = xg_new(tmp, hits);
    xg_arena_defer(tmp, free_hits, m->hits);
}

xg_status xg_match(xg_arena *a, const xg_graph *g, const bool *accel, const xg_patterns *p,
                   xg_candidates *out, uint32_t *count_per_pattern) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_arena *tmp = xg_arena_new(c);
    *out = (xg_candidates){0};
    if (count_per_pattern) memset(count_per_pattern, 0, p->npattern * sizeof *count_per_pattern);
    matcher m = {.g = g, .p = p, .accel = accel};
    allocate(&m, tmp);
    find_fits(&m);
    prepare_queries(&m, tmp);
    igraph_error_t rc = search_locked(&m);
    if (rc == IGRAPH_SUCCESS) collect(&m, a, tmp, out, count_per_pattern);
    if (m.cut_short) xg_note(c, g->name, "matching was cut short; some groups were not considered");
    xg_arena_free(tmp);
    if (rc == IGRAPH_ENOMEM) return xg_error(c, XG_NOMEM, g->name, "no memory for matching");
    return rc == IGRAPH_SUCCESS
               ? XG_OK
               : xg_error(c, XG_INTERNAL, g->name, "matching failed: %s", igraph_strerror(rc));
}
