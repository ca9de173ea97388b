/* XGraph + machine -> groups of nodes with one execution strategy each (the .sel form). */
#ifndef XG_SELECT_H
#define XG_SELECT_H

#include "isa/machine.h"
#include "xgraph/xgraph.h"

typedef enum xg_where { XG_ON_HOST, XG_ON_ACCEL } xg_where;
typedef enum xg_split { XG_SPLIT_IMAGE, XG_SPLIT_ROWS, XG_SPLIT_CHANNELS, XG_SPLIT_NONE } xg_split;
typedef enum xg_order { XG_MAP_STATIONARY, XG_WEIGHT_STATIONARY } xg_order;

typedef struct xg_strategy {
    uint32_t tile_h, tile_w; /* output rows and columns of the group's last node in a tile */
    uint32_t tile_oc;        /* output channels in a block (convolutions) */
    uint32_t tile_ic;        /* input channels in a chunk; less than all = partial sums */
    xg_order order;
    xg_split split; /* over the cores */
    bool fold;      /* kernel columns of the first convolution become channels while loading */
    bool weights_resident; /* all weights of the group stay on chip while it runs */
    bool keep;    /* rows that two tiles need are made, or loaded, once and kept (xg_rows_kept) */
    bool batched; /* XG_SPLIT_IMAGE: all images of a core pass this group, its weights on
                     chip, before the next group begins; borders lie in DDR */
    bool flat;    /* its maps are cut as their flat views (fusion/flat.h) */
} xg_strategy;

/* Siblings: a group may have several results, maps of one size (batch, rows, columns) that are cut
 * into the same tiles. Everything that its nodes read from outside is made before the group runs,
 * and what they make is read after it: no path leaves a group and comes back. */
enum { XG_GROUP_RESULTS = 8 };
typedef struct xg_group {
    uint32_t nnode;
    const uint32_t *node;   /* in topological order */
    uint32_t nresult;       /* 0: one result, the last node's */
    const uint32_t *result; /* the nodes whose results leave the group, in the order of `node` */
    xg_where where;
    const char *pattern;     /* which pattern made it, "single" else */
    const char *host_reason; /* why it is on the host; NULL on the accelerator */
    xg_strategy strategy;
    bool settled; /* strategies near its own were tried with these borders: none is better */
    uint64_t cost_cycles; /* predicted */
    uint32_t line;        /* of the .sel file that it was read from; 0: of none */
} xg_group;

typedef struct xg_selection {
    const xg_graph *graph;
    const char *strategy;   /* "layer", "greedy" ... */
    XG_VEC(xg_group) group; /* in an order in which they can run */
    const char *note;       /* value, bound, gap, or "" */
    const char *path;       /* of the .sel file that it was read from, or NULL */
    bool *on_chip; /* [tensors] stays in the feature-map memory until its last reader; NULL: none */
    const bool *could_stay; /* [tensors] "ilp": might have stayed on chip; else NULL */
    bool solved;            /* "ilp", and value and bound are those of its 0-1 program */
    int64_t value;          /* 16 x predicted cycles + busy cycles of the DDR, of all groups */
    double bound;           /* no cover by the same candidates has a smaller value */
} xg_selection;

bool xg_same_strategy(const xg_strategy *a, const xg_strategy *b);
/* The nodes whose results leave the group: at least one. */
uint32_t xg_group_results(const xg_group *g, const uint32_t **node);
/* True when the node's result leaves the group. */
bool xg_group_returns(const xg_group *g, uint32_t node);
/* Fills in nresult and result: the nodes that no node of the group reads. result lives in the
 * arena. */
void xg_group_find_results(xg_arena *a, const xg_graph *g, xg_group *grp);
/* N, H, W of the results, and the channels of the widest. */
void xg_group_dims(const xg_graph *g, const xg_group *grp, int64_t d[4]);

/* [groups] The run that each belongs to. A run is a piece of the order: groups on the host; or
 * groups on the accelerator, first those that are split by images, all by the same number of them,
 * then those that are split otherwise. All cores end a run before the next one begins. */
uint32_t *xg_selection_runs(const xg_selection *s, xg_arena *a);

/* [groups] The same, cut where groups are batched: an image passes the groups of one stretch before
 * the core takes its next image. A batched group is a stretch of its own. */
uint32_t *xg_selection_stretches(const xg_selection *s, xg_arena *a);
/* How many images one core works on, one after another, in the groups [first, last). */
uint32_t xg_selection_rounds(const xg_selection *s, const xg_machine *m, uint32_t first,
                             uint32_t last);

/* [tensors] The concat result in which a tensor lies, because its producer can write it there: then
 * the concat costs no instruction for it (a tensor that a concat takes twice lies there once).
 * XG_NONE: in none. */
uint32_t *xg_concat_parents(const xg_selection *s, xg_arena *a);
/* How a concat's result lies in DDR. */
typedef enum xg_concat_form {
    XG_CONCAT_WHOLE, /* producers save into it, where they can; other operands are copied */
    /* In pieces: each operand stays where it was made, and readers load it into its part of their
     * buffers. So no producer saves runs of a few channels, and nothing is copied; operands of
     * another scale are, into a place of the result's own. Where all readers can load so. */
    XG_CONCAT_APART,
    /* Producers save whole maps; then the concat loads all of them into one buffer, and saves that.
     * For results that are seen as other shapes, or by the host. */
    XG_CONCAT_GATHERED
} xg_concat_form;
/* [tensors] The form that is cheapest for results of concats that are not on chip. */
xg_concat_form *xg_concat_forms(const xg_selection *s, const xg_machine *m, xg_arena *a);
/* Whether operand k of such a concat is read where it lies: its scale is the result's. */
bool xg_read_apart(const xg_graph *g, const xg_node *concat, uint32_t k);
/* What made the choice, a strategy's name or "file", and what was said about it. What a file says
 * of its strategy and of a solver is kept for printing only: it may have been edited since. */
static inline const char *xg_selection_origin(const xg_selection *s) {
    return s->path ? "file" : s->strategy;
}
static inline const char *xg_selection_note(const xg_selection *s) {
    return s->note && !s->path ? s->note : "";
}
/* [tensors] Which tensors may stay on chip until their last reader: made by a tile group and read
 * by tile groups of the same stretch, one image a core at a time; a concat's result when all its
 * operands lie in it at whole channel words. */
bool *xg_may_stay(const xg_selection *s, const xg_machine *m, xg_arena *a);
/* [tensors] Given what stays, which tensors DDR must hold too (or only). */
bool *xg_needs_ddr(const xg_selection *s, xg_arena *a);

/* What choices over one graph and machine have in common: the pattern library, its matches, and
 * estimates. Lives in the arena; errors are those of the pattern file. */
typedef struct xg_known xg_known;
XG_MUST_USE xg_status xg_known_new(xg_arena *a, const char *patterns, xg_known **out);

typedef struct xg_select_options {
    const char *strategy; /* "layer", "greedy", "path", "ilp" */
    const char
        *patterns;   /* path of the pattern file for "path", "ilp"; NULL: the shipped library */
    xg_known *known; /* shared with other choices (then `patterns` is that of all), or NULL */
    xg_buf *lp;      /* not NULL: gets the 0-1 program of "ilp" in CPLEX LP form */
    /* For "ilp", not NULL: only candidates (single nodes too) for which it is true are considered.
     * Answers questions such as "what if these nodes were one group"; when no cover is left, the
     * selection is not `solved`. */
    bool (*admit)(void *arg, const uint32_t *node, uint32_t n);
    void *admit_arg;
    bool image_by_image; /* "ilp", "path": no batched groups */
    bool nothing_kept;   /* the same: no rows are kept from tile to tile */
    uint32_t many_tasks; /* "ilp": plans with more are taken for large (layout/best.c); 0: 50,000 */
    bool flat;           /* "ilp": groups may be flat */
} xg_select_options;
XG_MUST_USE xg_status xg_select_with(xg_arena *a, const xg_graph *g, const xg_machine *m,
                                     const xg_select_options *o, xg_selection *out);
/* The 0-1 program of "ilp", kept so that it can be solved again when plans have been built. LIMIT,
 * without a diagnostic: the graph is too large for it. It lives in the arena, as all answers do. */
typedef struct xg_solver xg_solver;
XG_MUST_USE xg_status xg_solver_new(xg_arena *a, const xg_graph *g, const xg_machine *m,
                                    const xg_select_options *o, xg_solver **out);
/* A plan that was made: of what selection, and what was built in the end; the cost_cycles of its
 * groups are what they took. */
typedef struct xg_seen {
    const xg_selection *asked, *built;
} xg_seen;
/* Groups of seen[n] become columns at what they took; columns that no plan has shown cost their
 * estimate times the ratio of what their nodes took in the best plan to what was estimated. n = 0:
 * estimates only. LIMIT when no cover was found. */
XG_MUST_USE xg_status xg_solver_run(xg_solver *s, const xg_seen *seen, uint32_t n,
                                    xg_selection *out);
/* How many candidates the solver has; xg_swap.candidate is less. */
uint32_t xg_solver_candidates(const xg_solver *s);
/* A candidate that takes its nodes from groups of a built plan. */
typedef struct xg_swap {
    uint32_t candidate; /* the solver's number of it */
    int64_t saves;      /* estimated, in units of xg_selection's value; it may be negative */
} xg_swap;
typedef XG_VEC(xg_swap) xg_swaps;
/* Learns from what was built, as xg_solver_run() does, and appends all its swaps but those that are
 * estimated to cost far more than what they replace, the best ones first. The list is in a. */
void xg_solver_swaps(xg_solver *s, xg_arena *a, const xg_selection *built, xg_swaps *out);
/* The built selection after one of those swaps; what else the candidate's groups had is covered by
 * the cheapest pieces. It lives in a. LIMIT when there is none. */
XG_MUST_USE xg_status xg_solver_swap(xg_solver *s, xg_arena *a, const xg_selection *built,
                                     const xg_swap *swap, xg_selection *out);
/* With the shipped pattern library. */
XG_MUST_USE xg_status xg_select(xg_arena *a, const xg_graph *g, const xg_machine *m,
                                const char *strategy, xg_selection *out);
void xg_selection_print(const xg_selection *s, xg_buf *out);
XG_MUST_USE xg_status xg_selection_parse(xg_arena *a, const xg_graph *g, const char *path,
                                         const char *text, size_t n, xg_selection *out);
/* Legality of a selection, whoever made it: accelerator nodes that the machine runs, inner tensors
 * without readers outside their group, tile sizes that are multiples of the machine's. One error a
 * fault, with the line of a .sel file. */
XG_MUST_USE xg_status xg_selection_check(xg_arena *a, const xg_selection *s, const xg_machine *m);
/* Whether the tile machine can run the node; NULL, or the reason why not (in the arena). */
const char *xg_tile_refuses(xg_arena *a, const xg_graph *g, const xg_machine *m, uint32_t node);

#endif
