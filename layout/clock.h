/* Ordered tasks of all cores -> when each starts and finishes: the cost model's clock.
 *
 * The rules are those of the cycle simulator (isa/TIMING.md: queues, dispatch, the DDR shared by
 * what moves at the same time, SIGNAL and AWAIT), with one event a task instead of one an
 * instruction, and with what tasks touch (words.c) in the place of tokens.
 */
#ifndef XG_CLOCK_H
#define XG_CLOCK_H

#include "layout/order.h"

/* One core. Tasks are dispatched in the order in which they stand. */
typedef struct xg_clock_core {
    uint32_t n;
    const xg_task_cost *cost;   /* [n] */
    const xg_task_order *order; /* over the same tasks */
    uint64_t *start, *finish;   /* [n] get the cycles; UINT64_MAX: never */
} xg_clock_core;

/* Runs the cores together. Returns the cycle in which the last task ends; tasks that wait for each
 * other in a circle, and those behind them, do not run. Start and finish are the caller's. */
uint64_t xg_clock_run(xg_arena *a, const xg_machine *m, const xg_clock_core *core, uint32_t ncore);

/* forecast.c: sets cost_cycles of every group of the plan's selection: what is booked to it
 * (isa/book.h) of one run of each segment. Their sum is the plan's. Groups on the host get 0. */
XG_MUST_USE xg_status xg_forecast(const xg_plan *p);

#endif
