/* A selection -> the cycles that it will take, group by group, before a task, an address or an
 * instruction exists.
 *
 * The groups' tiles are walked as layout/tasks.c walks them, each loop, request and buffer in the
 * same order, but only costs and dependencies are kept: loads, computations and saves as steps of
 * the engines (fusion/pipeline.h). Room on chip decides how early a load may begin, as in
 * layout/alloc.c. Left out: cores that do not work alike (the one with
 * the most work stands for all), transfers that an encoding's fields split, workspace that is used
 * again.
 */
#ifndef XG_FORECAST_H
#define XG_FORECAST_H

#include "fusion/select.h"

/* Sets cost_cycles of every accelerator group: the cycles from the finish of the group that
 * finishes before it to its own, in one run of all segments; their sum is returned. And
 * span_cycles: those from the start of its first computation to its finish; groups that run side by
 * side have spans that overlap. Groups on the host get 0. */
uint64_t xg_forecast(const xg_machine *m, xg_selection *s);

#endif
