/* Running programs: the functional simulator, the cycle simulator, and the checks made before
 * either.
 *
 * All of them work on one segment of an xg_program (assembler/program.h): one instruction stream a
 * core. They compute with isa/datapath.c, never with base/fixed.c.
 */
#ifndef XG_SIM_H
#define XG_SIM_H

#include "isa/machine.h"

typedef struct xg_stream {
    xg_inst *inst;
    uint32_t n;
} xg_stream;

typedef struct xg_segment {
    xg_stream *core; /* [ncore] */
    uint32_t ncore;
} xg_segment;

/* DDR (one buffer a region, shared by the cores) and the on-chip memories of each core. On-chip
 * memories start with a fixed pattern, not zero, so that a read before a write shows. */
typedef struct xg_sim xg_sim;
XG_MUST_USE xg_status xg_sim_new(xg_arena *a, const xg_machine *m,
                                 const uint64_t region_bytes[XG_REGIONS], xg_sim **out);
uint8_t *xg_sim_ddr(xg_sim *s, xg_region r, uint64_t *bytes);
const xg_state *xg_sim_core(const xg_sim *s, uint32_t core);

/* Called after each executed instruction; a non-zero result stops the run with that status. */
typedef xg_status (*xg_sim_hook)(void *arg, xg_sim *s, uint32_t core, uint32_t index,
                                 const xg_inst *in);

typedef struct xg_sim_options {
    bool shuffle; /* pick any ready engine of any core, by seed; else program order, cores advance
                     to the next AWAIT in turn */
    uint64_t seed;
    xg_sim_hook hook; /* NULL allowed */
    void *hook_arg;
} xg_sim_options;
/* Functional execution of a segment. A stuck program is an INPUT error that names each blocked
 * engine and what it waits for; an out-of-bounds access names instruction and address. */
XG_MUST_USE xg_status xg_sim_run(xg_ctx *c, xg_sim *s, const xg_segment *seg,
                                 const xg_sim_options *o);

/* Where an engine's cycles went; all but `instructions` add up to the makespan. */
typedef struct xg_engine_time {
    uint64_t busy;                 /* working; a transfer as long as alone on the bus */
    uint64_t wait[XG_ENGINES_MAX]; /* for a token of that engine, or for room in its counter */
    uint64_t core_wait;            /* for another core's signal */
    uint64_t ddr_wait;             /* transfers: longer than alone, because others share the DDR */
    uint64_t idle;                 /* nothing dispatched */
    uint64_t instructions;
} xg_engine_time;

typedef struct xg_times {
    uint64_t cycles; /* makespan of the segment */
    uint64_t *start,
        *end; /* [sum of instructions], core after core, program order; NULL if not asked for */
    xg_engine_time (*engine)[XG_ENGINES_MAX]; /* [ncore] */
    uint64_t ddr_read_bytes, ddr_write_bytes; /* payload */
    uint64_t ddr_busy_cycles;
    uint64_t macs; /* useful ones */
} xg_times;
/* Cycle simulation: engines, queues, dispatch, tokens, DDR shared by the cores. When s is not NULL
 * the instructions are executed too, in the order of their completion, on the same memory. */
XG_MUST_USE xg_status xg_sim_time(xg_arena *a, const xg_machine *m, const xg_segment *seg,
                                  xg_sim *s, bool keep_spans, xg_times *out);

/* Static check of a segment: operands in range, token balance for each engine pair, queues drain
 * under eager replay with bounded counters, no read of on-chip words never written, no two engines
 * touching the same words without a token path between them (races), DDR accesses inside their
 * regions, cores' barriers match. One error a fault, at most 20. */
XG_MUST_USE xg_status xg_program_check(xg_arena *a, const xg_machine *m, const xg_segment *seg,
                                       const uint64_t region_bytes[XG_REGIONS]);

/* Adds the least set of token waits and posts that orders all conflicting accesses of different
 * engines as in program order (wait/post masks are overwritten). The stream in its own order must
 * be a correct serial program. Barriers hold for all DDR accesses: a SIGNAL comes after the core's
 * earlier reads and writes of regions that others may write, and what touches such regions after an
 * AWAIT comes after it. Where counters would pass token_max, later posts are merged into one.
 * Errors: INPUT for operands that the machine does not allow, and for an AWAIT that needs a SIGNAL
 * which stands behind it. */
XG_MUST_USE xg_status xg_add_tokens(xg_arena *a, const xg_machine *m, xg_stream *st);

#endif
