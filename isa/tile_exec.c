#include "isa/tile_fast.h"
#include "isa/tile_operands.h"

size_t xg_tile_conv_length(const xg_machine *m) {
    return ((size_t)m->tile.w_depth * m->tile.icp + 63) / 32 * 32;
}

void xg_tile_state_init(xg_arena *a, xg_state *s) {
    const xg_tile_machine *t = &s->machine->tile;
    xg_tile_scratch *k = xg_new(a, xg_tile_scratch);
    size_t n = xg_tile_conv_length(s->machine);
    k->weights = xg_newn(a, int16_t, (t->ocp + 3) / 4 * 4 * n);
    k->patch = xg_newn(a, int16_t, 2 * n);
    k->sums = xg_newn(a, int32_t, XG_TILE_DIM_MAX + t->icp);
    k->taps = xg_newn(a, int8_t, (size_t)t->pool_kernel_max * t->pool_kernel_max + 1);
    xg_tile_fast_init(a, s->machine, &k->fast);
    s->scratch = k;
}

static xg_tile_fn *const run[XG_T_COUNT] = {
    [XG_T_LOAD] = xg_tile_load, [XG_T_LOADW] = xg_tile_loadw, [XG_T_LOADP] = xg_tile_loadp,
    [XG_T_SAVE] = xg_tile_save, [XG_T_CONV] = xg_tile_conv,   [XG_T_DWCONV] = xg_tile_dwconv,
    [XG_T_POOL] = xg_tile_pool, [XG_T_ELEW] = xg_tile_elew,   [XG_T_LUT] = xg_tile_lut,
};

/* AWAIT, SIGNAL and END change no memory; INITs set registers. */
const char *xg_tile_exec(xg_state *s, const xg_inst *in) {
    xg_tile_scratch *k = s->scratch;
    xg_tile_operands d;
    if (!xg_tile_operands_of(s->machine, &s->regs, in, &d, k->why)) return k->why;
    if (d.has_ddr && d.ddr.end > s->ddr_bytes[d.ddr.region])
        return "the DDR region ends before the access";
    xg_regs_track(&xg_tile_family, &s->regs, in);
    if (in->op != XG_T_CONV) xg_tile_fast_written(s, &d.out);
    return run[in->op] ? run[in->op](s, &d) : NULL;
}
