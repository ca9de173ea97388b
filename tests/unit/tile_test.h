/* For tests of the tile family: machines filled by hand, instructions by operand name, random
 * views. */
#ifndef TILE_TEST_H
#define TILE_TEST_H

#include "isa/machine.h"
#include "isa/tile.h"

#include "xg_test.h"

static inline xg_machine tile_test_machine(uint32_t pp, uint32_t icp, uint32_t ocp, uint32_t cores,
                                           const char *profile) {
    xg_machine m = {.name = "test", .family = &xg_tile_family, .clock_khz = 100000, .cores = cores};
    m.ddr = (xg_ddr){.bytes = 1 << 28,
                     .bytes_per_cycle_x256 = 16 * 256,
                     .latency = 20,
                     .burst_bytes = 256,
                     .burst_overhead = 2,
                     .efficiency_x256 = 240};
    m.tile = (xg_tile_machine){.pp = pp,
                               .icp = icp,
                               .ocp = ocp,
                               .fm_depth = 256,
                               .w_depth = 64,
                               .param_bytes = 4096,
                               .misc_rows = (pp + 1) / 2,
                               .kernel_max = 7,
                               .stride_max = 4,
                               .dilation_max = 3,
                               .pool_kernel_max = 9,
                               .pool_stride_max = 4,
                               .elew_mul = 1,
                               .lut = 1,
                               .conv_start = 18,
                               .misc_start = 16,
                               .load_start = 7,
                               .save_start = 7,
                               .dispatch = 2,
                               .queue_depth = 8,
                               .token_max = 15,
                               .port_bytes = 8};
    assert_true(xg_rqrec_profile(profile, &m.rq));
    m.profile = profile;
    return m;
}

static inline int32_t test_in(uint64_t *s, int32_t lo, int32_t hi) { /* lo <= hi */
    return (int32_t)(lo + (int64_t)(xg_random(s) % ((uint64_t)((int64_t)hi - lo) + 1)));
}

static inline xg_inst test_inst(int op) {
    xg_inst in = {.op = (uint8_t)op};
    return in;
}
/* SET(in, CONV, rows, 3) */
#define SET(in, op, name, value) ((in).f[XG_F(op, name)] = (int32_t)(value))
#define GETF(in, op, name)       ((in).f[XG_F(op, name)])

#endif
