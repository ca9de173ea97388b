/* Steps of one core's engines -> when each finishes: the cost model's clock.
 *
 * A step is one task of the schedule: a transfer, or all instructions of one computation. Steps are
 * first put in order as layout/order.c orders tasks: an engine that becomes free takes the first
 * step, in the given order (constants may stand some places earlier), whose predecessors are
 * finished. Then they run in that order by the
 * rules of the cycle simulator (isa/TIMING.md: queues, dispatch, DDR shared by what moves at the
 * same time), but with one event a step instead of one an instruction, and with one core that
 * stands for all that work alike. */
#ifndef XG_PIPELINE_H
#define XG_PIPELINE_H

#include "isa/machine.h"
#include "isa/tile.h"

typedef struct xg_pipe_step {
    uint8_t engine;      /* XG_TILE_LOAD .. */
    bool constant;       /* a load of weights or parameters: may be ordered further ahead */
    uint32_t group;      /* whose it is */
    uint32_t ninst;      /* instructions, at least 1; of equal length */
    uint32_t share_x256; /* by what part of the DDR is left to this core: 256 x the work of all
                            cores over its own */
    uint64_t cycles;     /* busy cycles of all instructions, alone on the bus */
    uint64_t setup, ddr; /* transfers: cycles before the first byte; 1/65536 cycles of the DDR */
} xg_pipe_step;

/* Node `from` comes before node `to`. Nodes below XG_PIPE_EVENT are steps; others are events that
 * take no time. */
enum { XG_PIPE_EVENT = 1u << 31 };
typedef struct xg_pipe_edge {
    uint32_t from, to;
} xg_pipe_edge;

typedef struct xg_pipe {
    const xg_machine *m;
    const xg_pipe_step *step; /* [nstep], the first of them is node `step0` */
    uint32_t nstep, step0;
    uint32_t nevent, event0;  /* events XG_PIPE_EVENT + event0 .. */
    const xg_pipe_edge *edge; /* [nedge]; those that name other nodes are left out */
    uint32_t nedge;
} xg_pipe;

/* Cycles of the ordering run alone: a quick figure to compare two ways by. */
uint64_t xg_pipe_span(xg_arena *a, const xg_pipe *p);
/* Orders and runs the steps; start[nstep] and finish[nstep] get the cycles in which each starts and
 * ends. Returns the last. Steps that wait for each other in a circle do not run: 0 and 0. */
uint64_t xg_pipe_run(xg_arena *a, const xg_pipe *p, uint64_t *start, uint64_t *finish);

#endif
