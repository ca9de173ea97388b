#include "isa/tile_operands.h"

static const char *const engine_names[XG_TILE_ENGINES] = {"LOAD", "SAVE", "CONV", "MISC"};

static void mem_desc(const xg_machine *m, uint8_t mem, xg_mem_desc *out) {
    const xg_tile_machine *t = &m->tile;
    switch (mem) {
    case XG_MEM_FM:
        *out = (xg_mem_desc){"feature-map", t->pp, t->fm_depth, t->icp};
        break;
    case XG_MEM_W:
        *out = (xg_mem_desc){"weight", t->ocp, t->w_depth, t->icp};
        break;
    case XG_MEM_PARAM:
        *out = (xg_mem_desc){"parameter", 1, t->param_bytes, 1};
        break;
    default:
        *out = (xg_mem_desc){"DDR", 1, 0, 1};
    }
}

const xg_family xg_tile_family = {
    .name = "tile",
    .inst = xg_tile_inst,
    .ninst = XG_T_COUNT,
    .engine_names = engine_names,
    .nengine = XG_TILE_ENGINES,
    .op_end = XG_T_END,
    .op_signal = XG_T_SIGNAL,
    .op_await = XG_T_AWAIT,
    .nmem = XG_TILE_MEMS,
    .mem_desc = mem_desc,
    .exec = xg_tile_exec,
    .state_init = xg_tile_state_init,
    .access = xg_tile_access,
    .cost = xg_tile_cost,
    .check = xg_tile_check,
};
