/* The memories that both simulators work on. */
#ifndef XG_SIM_STATE_H
#define XG_SIM_STATE_H

#include "isa/sim.h"

struct xg_sim {
    const xg_machine *machine;
    uint32_t ncore;
    xg_state *core; /* their DDR pointers are equal */
};

/* INIT registers do not outlive a segment. */
void xg_sim_begin(xg_sim *s);
/* Executes one instruction; an INPUT error names core and instruction. */
xg_status xg_sim_exec(xg_ctx *c, xg_sim *s, uint32_t core, uint32_t index, const xg_inst *in);

#endif
