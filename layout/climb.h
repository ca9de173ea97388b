/* A plan -> a faster one by measured swaps.
 *
 * What chooses groups rests on estimates, and a plan shows only what its own groups take. A swap
 * puts one candidate group in the place of present ones, or parts one, and leaves all others as
 * they were built; the cycle simulator says what that is worth. The first swap that makes the plan
 * faster is kept, best estimates first, until none does or the budget is spent: a number of tasks,
 * so that the answer does not depend on the host.
 */
#ifndef XG_CLIMB_H
#define XG_CLIMB_H

#include "layout/plan_types.h"

typedef struct xg_measured {
    xg_plan *plan; /* with its forecast, in an arena of its own, which goes when it is replaced */
    uint64_t cycles;
    uint32_t swaps; /* that were kept */
} xg_measured;

/* Tasks of all cores. */
uint64_t xg_tasks_in(const xg_plan *p);
/* budget: tasks of all plans that are built. */
void xg_climb(const xg_machine *m, xg_solver *solver, uint64_t budget, xg_measured *best);

#endif
