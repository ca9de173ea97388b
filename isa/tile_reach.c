#include "isa/encoding.h"
#include "isa/machine.h"
#include "isa/tile.h"

#include <string.h>

typedef struct address {
    uint8_t op, operand, mem;
} address;

#define ROW(OP, name, mem)                                                                         \
    { XG_T_##OP, XG_F(OP, name), mem }
static const address addresses[] = {
    ROW(LOAD, addr, XG_MEM_FM),        ROW(SAVE, addr, XG_MEM_FM),
    ROW(CONV, in_addr, XG_MEM_FM),     ROW(CONV, out_addr, XG_MEM_FM),
    ROW(CONV, psum, XG_MEM_FM),        ROW(DWCONV, in_addr, XG_MEM_FM),
    ROW(DWCONV, out_addr, XG_MEM_FM),  ROW(POOL, in_addr, XG_MEM_FM),
    ROW(POOL, out_addr, XG_MEM_FM),    ROW(ELEW, a_addr, XG_MEM_FM),
    ROW(ELEW, b_addr, XG_MEM_FM),      ROW(ELEW, out_addr, XG_MEM_FM),
    ROW(LUT, in_addr, XG_MEM_FM),      ROW(LUT, out_addr, XG_MEM_FM),
    ROW(LOADW, addr, XG_MEM_W),        ROW(CONV, w_addr, XG_MEM_W),
    ROW(LOADP, addr, XG_MEM_PARAM),    ROW(CONV, p_addr, XG_MEM_PARAM),
    ROW(DWCONV, w_addr, XG_MEM_PARAM), ROW(DWCONV, p_addr, XG_MEM_PARAM),
    ROW(LUT, table, XG_MEM_PARAM),
};

/* The largest interleave that every instruction with a view can name. */
static uint32_t least_interleave(const xg_machine *m) {
    int64_t least = UINT32_MAX, lo, hi;
    for (uint8_t op = 0; op < m->family->ninst; op++)
        for (uint8_t k = 0; k < m->family->inst[op].noperand; k++) {
            const char *name = m->family->inst[op].operand[k].name, *last = strrchr(name, '_');
            if (strcmp(last ? last + 1 : name, "il") != 0) continue;
            xg_encoding_range(m->encoding, op, k, &lo, &hi);
            least = xg_min(least, hi);
        }
    return (uint32_t)least;
}

void xg_tile_clip_memories(xg_machine *m) {
    uint32_t *depth[XG_TILE_MEMS] = {[XG_MEM_FM] = &m->tile.fm_depth,
                                     [XG_MEM_W] = &m->tile.w_depth,
                                     [XG_MEM_PARAM] = &m->tile.param_bytes};
    for (size_t i = 0; i < XG_COUNT(addresses); i++) {
        int64_t lo, hi;
        xg_encoding_range(m->encoding, addresses[i].op, addresses[i].operand, &lo, &hi);
        uint32_t *d = depth[addresses[i].mem];
        if (hi + 1 < *d) *d = (uint32_t)hi + 1;
    }
    m->interleave_max = least_interleave(m);
}
