/* A program and inputs -> the values of every tensor at a step border, by running the steps in
 * order.
 *
 * Host steps run nodes of the program's host graph in the reference interpreter; accelerator steps
 * run one segment in a simulator. At the border, tensors are copied between the interpreter's dense
 * buffers and their places in DDR. An xg_exec may follow another one (its leader): it then takes
 * all host values from the leader, so that two simulators can be driven side by side on the same
 * data and their memories compared after each step.
 */
#ifndef XG_RUN_H
#define XG_RUN_H

#include "assembler/program.h"
#include "xgraph/interp.h"

typedef enum xg_exec_mode {
    XG_EXEC_IN_ORDER, /* functional, program order */
    XG_EXEC_SHUFFLED, /* functional, any ready engine, by seed */
    XG_EXEC_TIMED     /* cycle simulator, executed in the order of completion */
} xg_exec_mode;

/* The model's own inputs and outputs among those of the host graph, which also lists, behind them,
 * what segments hand to the host and what the host hands to segments. An output that the host
 * makes, that a segment reads, and that stands behind all others is taken for such a hand-over.
 * Indices of host tensors. */
typedef struct xg_program_io {
    uint32_t *input, *output;
    uint32_t ninput, noutput;
} xg_program_io;
xg_program_io xg_program_borders(const xg_program *p, xg_arena *a);

typedef struct xg_exec {
    xg_arena *arena;
    const xg_machine *machine;
    const xg_program *program;
    xg_sim *sim;
    const struct xg_exec *leader; /* NULL: runs host steps itself */
    xg_arena *run_arena;          /* values and times of the present run */
    xg_values host;               /* over program->host; a follower has none */
    uint32_t *host_tensor;        /* [program tensors] index in the host graph, or XG_NONE */
    xg_program_io io;
    xg_times *times; /* [segments], filled by XG_EXEC_TIMED */
} xg_exec;

typedef struct xg_exec_options {
    xg_exec_mode mode;
    uint64_t seed;
    bool keep_spans;  /* XG_EXEC_TIMED: start and end of every instruction */
    xg_sim_hook hook; /* IN_ORDER and SHUFFLED; NULL allowed */
    void *hook_arg;
} xg_exec_options;

/* Checks every index, slice and place of a program against the machine, so that the code behind it
 * needs no bounds checks of its own. INPUT or LIMIT, naming what is out of range. */
XG_MUST_USE xg_status xg_program_fits(xg_ctx *c, const xg_machine *m, const xg_program *p);

/* The program must have passed xg_program_fits() and all must outlive the xg_exec; memory from a.
 */
XG_MUST_USE xg_status xg_exec_new(xg_arena *a, const xg_machine *m, const xg_program *p,
                                  const xg_exec *leader, xg_exec **out);
/* Forgets values and times of the last run (call it before the first one too); after it the caller
 * fills the inputs in e->host. Constants are reloaded, and the rest of DDR keeps what it had. */
void xg_exec_begin(xg_exec *e);
/* Runs step number `step`; steps are run in order. */
XG_MUST_USE xg_status xg_exec_step(xg_exec *e, uint32_t step, const xg_exec_options *o);
/* All steps. */
XG_MUST_USE xg_status xg_exec_run(xg_exec *e, const xg_exec_options *o);

/* Byte position of element [h, w, c] of a slice (counted from its first element) in region
 * `place->region` of DDR, or, on chip, in the feature-map memory of a core (banks one after
 * another; formula in isa/tile_rows.h). The channels of one pixel are contiguous from there. */
uint64_t xg_place_offset(const xg_machine *m, const xg_place *place, uint32_t n, uint32_t h,
                         uint32_t w, uint32_t c);

/* ---- inputs
 * ------------------------------------------------------------------------------------------- */

/* How many runs the arrays hold: their first dimension is a multiple of the graph input's first
 * dimension (one array an input, matched by name, by position when none has a name, or as the only
 * one that fits). input: tensors of g, ninput of them. INPUT error that shows both shapes, or both
 * types: numbers convert to f32, everything else must be equal. */
XG_MUST_USE xg_status xg_inputs_count(xg_ctx *c, const xg_graph *g, const uint32_t *input,
                                      uint32_t ninput, const xg_array *array, uint32_t n,
                                      uint64_t *runs);
/* Copies part number `run` of the arrays into those inputs of v. */
XG_MUST_USE xg_status xg_inputs_set(xg_ctx *c, xg_values *v, const uint32_t *input, uint32_t ninput,
                                    const xg_array *array, uint32_t n, uint64_t run);

#endif
