/* A 0-1 program, row by row, solved by GLPK within counted budgets. The only door to GLPK.
 *
 * Costs are integers (of cycles); nothing is timed, so the same program gives the same answer on
 * every host.
 */
#ifndef XG_MIP_H
#define XG_MIP_H

#include "base/base.h"

typedef struct xg_mip_bounds {
    int64_t lo, hi; /* INT64_MIN, INT64_MAX: none */
} xg_mip_bounds;
typedef struct xg_mip_entry {
    uint32_t row, col;
    int64_t v;
} xg_mip_entry;
typedef struct xg_mip {
    xg_arena *arena;
    XG_VEC(int64_t) col; /* costs */
    XG_VEC(xg_mip_bounds) row;
    XG_VEC(xg_mip_entry) entry;
} xg_mip;

xg_mip *xg_mip_new(xg_arena *a);
/* A column, 0 or 1; returns its number. */
uint32_t xg_mip_col(xg_mip *p, int64_t cost);
/* A row lo <= sum <= hi; returns its number. */
uint32_t xg_mip_row(xg_mip *p, int64_t lo, int64_t hi);
/* Adds v * col to a row; the same pair may come several times. */
void xg_mip_add(xg_mip *p, uint32_t row, uint32_t col, int64_t v);
/* Sorts the entries by row, then column, and adds those of one place together. */
void xg_mip_sort(xg_mip *p);
/* Cost of x [cols] in integers. */
int64_t xg_mip_value(const xg_mip *p, const bool *x);
/* Whether x [cols] fulfils every row, in integers. */
bool xg_mip_holds(const xg_mip *p, const bool *x, xg_arena *tmp);

typedef struct xg_mip_options {
    uint32_t pivots;   /* of the first relaxation */
    uint32_t nodes;    /* of the search after it; 0: no search */
    double gap;        /* (value - bound) / value at which the search may stop */
    const bool *start; /* [cols] a solution to begin with, or NULL */
} xg_mip_options;

typedef struct xg_mip_result {
    bool feasible;   /* x holds a solution */
    bool optimal;    /* proved, but for the gap that was asked for */
    bool infeasible; /* proved */
    int64_t value;   /* cost of x */
    double bound;    /* nothing is cheaper; 0 when the relaxation did not end */
    uint32_t nodes;
    const bool *x; /* [cols] */
} xg_mip_result;
/* Dual simplex from the slack basis, then branch and bound with Gomory and clique cuts. Sorts p. A
 * solution is only called feasible after every row was checked in integers. */
XG_MUST_USE xg_status xg_mip_solve(xg_mip *p, const xg_mip_options *o, xg_mip_result *out);
/* CPLEX LP form, for another solver. Sorts p. */
void xg_mip_print_lp(xg_mip *p, xg_buf *out);

#endif
