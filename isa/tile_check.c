#include "isa/tile_operands.h"

const char *xg_tile_check(xg_arena *a, const xg_machine *m, const xg_regs *regs,
                          const xg_inst *in) {
    xg_tile_operands d;
    char why[XG_TILE_WHY_BYTES];
    return xg_tile_operands_of(m, regs, in, &d, why) ? NULL : xg_strdup(a, why);
}
