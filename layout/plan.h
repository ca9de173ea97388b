/* Groups and strategies -> tiles, layouts, addresses, order (the .plan form) -> instructions with
 * tokens. */
#ifndef XG_PLAN_H
#define XG_PLAN_H

#include "assembler/program.h"
#include "fusion/select.h"

typedef struct xg_plan xg_plan;
/* Tiles of groups whose engines wait are refined, but not those of a choice that a file gave
 * (sel->path): what was built is built again. */
XG_MUST_USE xg_status xg_plan_make(xg_arena *a, const xg_selection *s, const xg_machine *m,
                                   xg_plan **out);
/* The selection with the strategies that were built, and what the cost model foresees for each
 * group.
 */
const xg_selection *xg_plan_selection(const xg_plan *p);
/* Selection and plan by strategy name. For "ilp" the plans of the simpler strategies are made too,
 * and the one with the fewest simulated cycles is taken; the note says all of them. */
XG_MUST_USE xg_status xg_plan_best(xg_arena *a, const xg_graph *g, const xg_machine *m,
                                   const xg_select_options *o, xg_selection *sel, xg_plan **plan);
/* Cycles of all segments by the cycle simulator. */
XG_MUST_USE xg_status xg_plan_cycles(const xg_plan *p, uint64_t *cycles);
void xg_plan_print(const xg_plan *p, xg_buf *out);
XG_MUST_USE xg_status xg_plan_parse(xg_arena *a, const xg_graph *g, const xg_machine *m,
                                    const char *path, const char *text, size_t n, xg_plan **out);
/* Plan -> program: constants packed, instructions emitted, tokens added; checked with
 * xg_program_check(). */
XG_MUST_USE xg_status xg_lower(xg_arena *a, const xg_plan *p, xg_program **out);

#endif
