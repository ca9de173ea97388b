/* Shared by the sources of the report. */
#ifndef XG_REPORT_INNER_H
#define XG_REPORT_INNER_H

#include "validate/report.h"

/* The layer of each instruction of a core's stream, in the arena. layer_of_row: [map] -> layer;
 * `none`: the layer of what belongs to nobody. Instructions of a map row are its layer's. What
 * stands in no row (constants, partial sums, the loads of folded rows) belongs to the layer that
 * reads what it wrote, wherever that stands: tasks of layers interleave, so the neighbours in the
 * stream say nothing. */
uint32_t *xg_report_owners(xg_arena *a, const xg_machine *m, const xg_program *p, uint32_t segment,
                           uint32_t core, const uint32_t *layer_of_row, uint32_t none);
/* report_fit.c: see xg_report.array_fit. */
uint64_t xg_report_array_fit(const xg_machine *m, const xg_report_options *o);

#endif
