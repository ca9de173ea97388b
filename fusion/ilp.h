/* The 0-1 program that chooses a cover of the graph by groups, their strategies and what stays on
 * chip: its parts, from the graph to the solver's columns and rows.
 *
 * Columns: one for each (candidate group, which border tensors lie on chip, room taken, flat or
 * not), and for each tensor r (stays on chip), d (lies in DDR) and, where flat groups could have it
 * on chip, f (stays as its flat view). Rows: each node is covered once; a column that
 * reads a tensor on chip (from DDR) needs its r (its d), one row for each tensor and reader; what
 * makes a tensor makes it where r and d say; at each node's turn the room of the group that runs
 * then and of all that stays then fits the feature-map memory. A group runs at the turn of its
 * result, siblings at that of their first one: all that they read is made before it, so groups that
 * share no node can always run in the order of their turns, and no rows are needed against cycles.
 * A tensor stays from the turn at which its maker runs to that of its last reader, and longer while
 * a group has yet to run that reads it on chip; for the turns beyond the last reader's there are
 * columns of their own. A concat's result and what lies in it share r and d, and stay as one. Costs
 * are estimated cycles (isa/timing.c), with the DDR's busy cycles as a small second term.
 */
#ifndef XG_ILP_H
#define XG_ILP_H

#include "fusion/choose.h"
#include "fusion/stairs.h"

enum {
    XG_ILP_CYCLE_WEIGHT = 16 /* cost of a cycle, when a busy DDR cycle costs 1 */
};

/* A candidate group in one way of execution: a column. */
typedef struct xg_var {
    uint32_t cand, column;
    uint32_t chip_in;          /* mask over the parts' inputs (xg_parts.in) */
    uint32_t chip_out, to_ddr; /* masks over the results (xg_parts.out) */
    bool settled;              /* see xg_group */
    xg_strategy strategy;
    xg_estimate est;
    int64_t cost;
    int64_t estimated; /* its cost before plans were seen */
} xg_var;

typedef struct xg_cand {
    xg_group group;
    uint32_t first, last; /* turns of its first and last node */
    uint32_t turn; /* of its first result: when it runs, before its readers and after its inputs */
    bool barred;   /* not admitted: no columns, only known for what siblings save over it */
    uint32_t nin;
    uint32_t in[XG_PARTS_INPUTS]; /* tensors, in the order of xg_parts.in */
    uint32_t first_var, end_var;  /* its columns while they are made: var [first_var, end_var) */
} xg_cand;

typedef struct xg_ilp {
    xg_chooser *c;
    const xg_graph *g, *flat; /* flat: of flat groups */
    const xg_machine *m;
    xg_arena *a;
    xg_selection base;       /* every node alone: order and segments */
    uint32_t *pos;           /* [nodes] turn */
    uint32_t *segment;       /* [nodes] run (fusion/select.h) */
    uint32_t *parent;        /* [tensors] concat that it lies in */
    bool *choice;            /* [tensors] may stay on chip */
    bool *forced;            /* [tensors] somebody needs it in DDR */
    uint32_t *rep;           /* [tensors] the tensor whose r and d stand for it */
    uint32_t *r_col, *d_col; /* [tensors] of representatives */
    uint32_t *f_col;         /* [tensors] stays as its flat view; XG_NONE: no column wants that */
    XG_VEC(xg_cand) cand;
    XG_VEC(xg_var) var;
    uint32_t nvar; /* those that candidates have by themselves */
    xg_stairs *stairs;
    struct xg_cover_chain *chain; /* while rows are added */
} xg_ilp;

/* Everything up to the groups' columns, for a graph with nodes. residency: tensors may stay on
 * chip.
 */
XG_MUST_USE xg_status xg_ilp_set_up(xg_ilp *s, xg_chooser *c, bool residency);
/* True when an accelerator node reads the tensor in tiles, so that it may lie on chip for it. */
bool xg_ilp_reads_on_chip(const xg_ilp *s, uint32_t node, uint32_t t);
/* Feature-map words in each bank that the whole tensor takes. */
uint32_t xg_ilp_whole_words(const xg_ilp *s, uint32_t t);
/* Whether a flat group sees the tensor otherwise than others do: it has more than one pixel. */
bool xg_ilp_has_view(const xg_ilp *s, uint32_t t);
/* variants.c: all candidates (every node alone, and the pattern library's), then their columns. */
XG_MUST_USE xg_status xg_ilp_find_candidates(xg_ilp *s);
void xg_ilp_find_variants(xg_ilp *s);
/* What a column costs that is estimated so. */
int64_t xg_ilp_cost(const xg_machine *m, const xg_estimate *e);
/* seen.c: costs by what built plans have shown, and columns for the strategies that were built; all
 * columns enter a new program, without rows. */
void xg_ilp_learn(xg_ilp *s, const xg_seen *seen, uint32_t nseen);
/* swap.c: the swaps of a selection whose plan the program has learnt, see xg_solver_swaps(). */
void xg_ilp_swaps(const xg_ilp *s, xg_arena *a, const xg_selection *built, xg_swaps *out);
/* Leaves only the columns of the swap's groups and of the built ones that it does not touch, in a
 * new program without rows; false when there is no such swap. */
bool xg_ilp_restrict(xg_ilp *s, const xg_selection *built, const xg_swap *swap);
/* Groups of sel that the swap does not touch get back what they had in built. */
void xg_ilp_keep_others(const xg_ilp *s, const xg_selection *built, const xg_swap *swap,
                        xg_selection *sel);
/* siblings.c: raises the cost of a column of siblings to what it saves over its branches, whose
 * columns are known; false when it saves nothing. */
bool xg_ilp_price_siblings(const xg_ilp *s, xg_var *v);
/* ilp_rows.c: columns of tensors, and all rows. */
void xg_ilp_add_rows(xg_ilp *s);

/* path.c: the least-cost cover when groups do not depend on each other: by dynamic programming over
 * the tree of post-dominators, in which a group with one result is a connected part. cost[cand]:
 * negative, the candidate is not to be used. True when there is a cover; then take[cand] and the
 * total. */
bool xg_ilp_tree_cover(const xg_ilp *s, const int64_t *cost, bool *take, int64_t *total);
/* The cheapest cover with every tensor between groups in DDR, as the program's columns [cols]; NULL
 * when there is none. */
const bool *xg_ilp_path(const xg_ilp *s);
/* What no cover can be cheaper than, whatever stays on chip. */
double xg_ilp_tree_bound(const xg_ilp *s);

#endif
