/* Steps of one core's engines -> when each finishes. A step is one task of the schedule: a transfer,
 * or all instructions of one computation. This is the cost model's clock: the same formulas and the
 * same rules as the cycle simulator (isa/TIMING.md: queues, dispatch, tokens, DDR shared by what
 * moves at the same time), but one event a step instead of one an instruction, and one core that
 * stands for all that work alike. */
#ifndef XG_PIPELINE_H
#define XG_PIPELINE_H

#include "isa/machine.h"
#include "isa/tile.h"

typedef struct xg_pipe_step {
    uint8_t engine;      /* XG_TILE_LOAD .. */
    uint32_t group;      /* whose it is */
    uint32_t ninst;      /* instructions, at least 1; of equal length */
    uint32_t cores;      /* that do the same at the same time: what they share the DDR with */
    uint64_t cycles;     /* busy cycles of all instructions, alone on the bus */
    uint64_t setup, ddr; /* transfers: cycles before the first byte; 1/65536 cycles of the DDR */
    uint32_t need[XG_TILE_ENGINES]; /* how many steps of each engine must be finished before */
} xg_pipe_step;

/* Runs the steps (program order) from cycle 0; finish[n] gets the cycle in which each ends.
 * Returns the last. Memory for the run comes from the arena. */
uint64_t xg_pipe_run(xg_arena *a, const xg_machine *m, const xg_pipe_step *step, uint32_t n,
                     uint64_t *finish);

#endif
