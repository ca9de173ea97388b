/* The pattern library and matching: patterns.yaml (shipped, or the user's own) -> patterns -> the
 * candidate groups of a graph, from which a strategy chooses. The file form: fusion/PATTERNS.md.
 *
 * A pattern is a small DAG of vertices (sets of operators with conditions) and edges (which operand
 * of the reader). Vertices stand in an order in which every edge goes forward. An optional vertex
 * has one incoming edge at most; where it is absent, its predecessor takes its place. So a pattern
 * stands for variants of two vertices or more. Of kind group: exactly one vertex has no outgoing
 * edge, the result. Of kind siblings: two or more have none, the results, and the vertices without
 * incoming edge take one tensor that is made outside, the shared input. */
#ifndef XG_PATTERNS_H
#define XG_PATTERNS_H

#include "xgraph/xgraph.h"

enum { XG_PATTERN_VERTICES = 12, XG_PATTERN_EDGES = 2 * XG_PATTERN_VERTICES };

/* Which operand of the reader an edge is. BOTH: the same tensor twice, as in x * x. */
typedef enum xg_link { XG_LINK_ANY, XG_LINK_FIRST, XG_LINK_SECOND, XG_LINK_BOTH } xg_link;
/* The result's height and width against the first operand's. POINT: the result is 1 x 1. */
typedef enum xg_map_rule { XG_MAP_ANY, XG_MAP_SAME, XG_MAP_SMALLER, XG_MAP_POINT } xg_map_rule;
/* EQUAL: both operands have the result's shape. REPEATED: one of them does not. */
typedef enum xg_operand_rule {
    XG_OPERANDS_ANY,
    XG_OPERANDS_EQUAL,
    XG_OPERANDS_REPEATED
} xg_operand_rule;
/* Kinds of Conv, as bits. */
enum { XG_CONV_DENSE = 1, XG_CONV_DEPTHWISE = 2, XG_CONV_POINTWISE = 4 };

/* A set of operators, a bit each. */
typedef unsigned __int128 xg_op_set;

typedef struct xg_pattern_vertex {
    const char *id, *ops_text; /* "Lut|Clip" */
    xg_op_set ops;             /* bit xg_op: any node of this operator */
    uint8_t convs;             /* XG_CONV_*: Conv of these kinds */
    bool optional;
    uint32_t kernel_min, kernel_max, stride_min, stride_max; /* both axes; 0 = no condition */
    xg_map_rule map;
    xg_operand_rule operands;
} xg_pattern_vertex;

typedef struct xg_pattern_edge {
    uint8_t from, to; /* vertices of the pattern (of the variant, in a variant), from < to */
    uint8_t link;     /* xg_link */
    bool same;        /* the tensor has the shape of the reader's result */
} xg_pattern_edge;

typedef struct xg_pattern {
    const char *name, *doc;
    bool siblings;
    uint32_t nvertex, nedge;
    const xg_pattern_vertex *vertex;
    const xg_pattern_edge *edge;
    uint32_t first_vertex; /* number of vertices in the patterns before this one */
    uint32_t nvariant;
} xg_pattern;

typedef struct xg_variant {
    uint32_t pattern;
    uint8_t nvertex, nedge;
    uint32_t results, roots;             /* bits: vertices without outgoing, incoming edge */
    uint8_t vertex[XG_PATTERN_VERTICES]; /* the pattern's vertices that are present, ascending */
    xg_pattern_edge edge[XG_PATTERN_EDGES];
} xg_variant;

typedef struct xg_patterns {
    const char *path; /* as it is named in messages */
    uint32_t npattern, nvariant, nvertex;
    uint32_t widest; /* vertices of the largest pattern */
    const xg_pattern *pattern;
    const xg_variant *variant; /* in the order of their patterns */
} xg_patterns;

/* Reads a pattern file; path NULL: the shipped library. Everything lives as long as the arena.
 * Errors: IO; INPUT with file:line:column and the field's path; UNSUPPORTED for kinds of groups
 * that cannot be executed; LIMIT above 4,096 variants. */
XG_MUST_USE xg_status xg_patterns_load(xg_arena *a, const char *path, const xg_patterns **out);
/* "Conv (Lut|Clip)? (MaxPool|AvgPool)?": the vertices in order. */
void xg_pattern_summary(const xg_pattern *p, xg_buf *out);

/* True when the node may stand at the vertex: operator and conditions, its neighbours aside. */
bool xg_vertex_accepts(const xg_pattern_vertex *v, const xg_graph *g, const xg_node *n);

/* For the loader: appends the pattern's variants. False when one of them has several results (of
 * siblings: when the whole pattern has one; variants with one are left out): *missing is then an
 * optional vertex that is absent in it, or XG_NONE when it is the whole pattern. */
typedef XG_VEC(xg_variant) xg_variants;
bool xg_pattern_expand(xg_arena *a, const xg_pattern *p, uint32_t index, xg_variants *out,
                       uint32_t *missing);

/* A legal group of two nodes or more: all of them on the accelerator, no Concat and no view in it.
 * One result (node[nnode - 1]'s), or siblings: the results are what no node of the group reads;
 * their maps have one size, and all that the group reads from outside is made by nodes before the
 * first of them. Every other tensor is read by nodes of the group only and is no graph output. It
 * follows that groups that share no node can run in the order of their first results. */
typedef struct xg_candidate {
    uint32_t nnode;
    const uint32_t *node; /* ascending, which is topological */
    const char *pattern;  /* the first pattern of the library that matches these nodes */
    bool siblings;        /* it has several results */
} xg_candidate;
typedef struct xg_candidates {
    XG_VEC(xg_candidate);
} xg_candidates;

/* Siblings are sought among so many readers of a tensor at once, in the graph's order. */
enum { XG_SIBLING_READERS = 8 };
/* All candidates, each set of nodes once; ordered by last node, then size, then nodes. accel
 * [nodes]: the accelerator runs it. count_per_pattern [patterns] (may be NULL): node sets that each
 * pattern matches, also those that an earlier pattern matches too. Work is bounded: on graphs made
 * to defeat matching some candidates are left out, always the same ones, and a note says so. */
XG_MUST_USE xg_status xg_match(xg_arena *a, const xg_graph *g, const bool *accel,
                               const xg_patterns *p, xg_candidates *out,
                               uint32_t *count_per_pattern);

#endif
