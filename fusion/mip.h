/* A 0-1 program, row by row, solved by GLPK within counted budgets. The only door to GLPK.
 *
 * Costs are integers (of cycles); nothing is timed, so the same program gives the same answer on
 * every host.
 */
#ifndef XG_MIP_H
#define XG_MIP_H

#include "base/base.h"

typedef struct xg_mip xg_mip;
xg_mip *xg_mip_new(xg_arena *a);
/* A column in [0, 1]; returns its number. integer: 0 or 1 only. */
uint32_t xg_mip_col(xg_mip *p, int64_t cost, bool integer);
/* A row lo <= sum <= hi (INT64_MIN, INT64_MAX: no bound); returns its number. */
uint32_t xg_mip_row(xg_mip *p, int64_t lo, int64_t hi);
/* Adds v * col to a row; the same pair may come several times. */
void xg_mip_add(xg_mip *p, uint32_t row, uint32_t col, int64_t v);

typedef struct xg_mip_result {
    bool feasible; /* x holds a solution */
    bool optimal;  /* proved */
    int64_t value; /* cost of x, recomputed in integers */
    double bound;  /* nothing can be cheaper */
    uint32_t rows, cols, nodes;
    const bool *x; /* [cols] */
} xg_mip_result;
/* Dual simplex from the slack basis, then branch and bound with Gomory and clique cuts. */
XG_MUST_USE xg_status xg_mip_solve(xg_mip *p, uint32_t pivots, uint32_t nodes, xg_mip_result *out);
/* CPLEX LP form, for another solver. */
void xg_mip_print_lp(const xg_mip *p, xg_buf *out);

#endif
