/* A 0-1 program whose rows and columns belong to turns of one sequence, so that it can be solved in
 * pieces: a column only appears in rows of the turns between its first and its last.
 *
 * A pair of columns (r, d) stands for a tensor: r, it lies on chip; d, it lies in DDR; some have a
 * third one, that it lies on chip in another layout. Its columns cost nothing. At a cut between two
 * turns, every column that reaches across and is no pair's is zero, and a pair that reaches across
 * is either tried in each of its states or kept as it is in the best solution so far. A dynamic
 * program over the cuts then joins the pieces. Pieces of the same content are solved once.
 */
#ifndef XG_STAIRS_H
#define XG_STAIRS_H

#include "fusion/mip.h"

typedef struct xg_stairs_col {
    uint32_t first, last; /* turns */
    uint32_t pair;        /* XG_NONE, or its pair's number */
} xg_stairs_col;
typedef struct xg_stairs_pair {
    uint32_t r, d; /* columns */
    uint32_t view; /* r, in another layout; XG_NONE: there is none */
    bool forced;   /* d must be 1 */
    bool both;     /* r = d = 1 may be worth while */
} xg_stairs_pair;
typedef struct xg_stairs {
    xg_mip *mip;
    uint32_t turns;
    XG_VEC(uint32_t) row; /* [rows] turn */
    XG_VEC(xg_stairs_col) col;
    XG_VEC(xg_stairs_pair) pair;
} xg_stairs;

xg_stairs *xg_stairs_new(xg_arena *a, uint32_t turns);
uint32_t xg_stairs_add_row(xg_stairs *s, uint32_t turn, int64_t lo, int64_t hi);
uint32_t xg_stairs_add_col(xg_stairs *s, int64_t cost, uint32_t first, uint32_t last);
/* Two columns; returns the pair's number. */
uint32_t xg_stairs_add_pair(xg_stairs *s, uint32_t first, uint32_t last, bool forced, bool both);
/* The pair's third column: r, but in another layout. Returns it. */
uint32_t xg_stairs_add_view(xg_stairs *s, uint32_t pair);

typedef struct xg_stairs_sizes {
    uint32_t whole_rows; /* programs with no more rows are searched as a whole, to the optimum */
    uint32_t piece_cols; /* columns that a piece should have */
} xg_stairs_sizes;
extern const xg_stairs_sizes xg_stairs_usual;

/* The best solution found, no dearer than start (NULL: none is known). Small programs are solved to
 * the optimum. Of large ones the whole relaxation is solved (within a budget of pivots that depends
 * on the size), and when it is not integral, pieces. bound: what is known from elsewhere that
 * nothing is cheaper than. */
XG_MUST_USE xg_status xg_stairs_solve(xg_stairs *s, const bool *start, double bound,
                                      const xg_stairs_sizes *sizes, xg_mip_result *out);

#endif
