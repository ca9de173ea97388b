/* Random correct serial programs for a small tile machine, full of conflicts: for the tests of
 * tokens, simulators and the program check. All on-chip memory is loaded first, so every read finds
 * something; parameter bytes are small, so no accumulator overflows. */
#ifndef RANDOM_PROGRAM_H
#define RANDOM_PROGRAM_H

#include "tile_test.h"

#include "isa/sim.h"

enum { RP_SLICE = 512, RP_CONST = 1024 };

static inline xg_machine rp_machine(uint32_t cores) {
    xg_machine m = tile_test_machine(2, 4, 4, cores, "ort");
    m.tile.fm_depth = 32, m.tile.w_depth = 16, m.tile.param_bytes = 320, m.rq.acc_bits = 48;
    m.tile.token_max = 200;
    return m;
}

/* Workspace: two slices a core, used in turn from stage to stage. */
static inline void rp_regions(const xg_machine *m, uint64_t bytes[XG_REGIONS]) {
    for (int r = 0; r < XG_REGIONS; r++) bytes[r] = RP_CONST;
    bytes[XG_REG_WORK] = (uint64_t)m->cores * 2 * RP_SLICE;
}

static inline void rp_fill(xg_sim *sim, uint64_t seed) {
    for (int r = 0; r < XG_REGIONS; r++) {
        uint64_t n;
        uint8_t *p = xg_sim_ddr(sim, (xg_region)r, &n);
        for (uint64_t i = 0; i < n; i++)
            p[i] = (uint8_t)(r == XG_REG_CONST ? xg_random(&seed) % 4 : xg_random(&seed));
    }
}

typedef struct rp {
    xg_arena *a;
    const xg_machine *m;
    uint64_t s;
    uint32_t core, stage;
    xg_regs regs;
    XG_VEC(xg_inst) v;
} rp;

/* Appends what the machine allows; drops the rest. */
static inline void rp_push(rp *p, xg_inst in) {
    if (xg_tile_family.check(p->a, p->m, &p->regs, &in)) return;
    xg_regs_track(&xg_tile_family, &p->regs, &in);
    xg_push(p->a, &p->v, in);
}

/* Where this core may write in this stage, and where it may read. */
static inline int32_t rp_slice(rp *p, bool write) {
    uint32_t core = write ? p->core : (uint32_t)test_in(&p->s, 0, (int32_t)p->m->cores - 1);
    uint32_t parity = write ? p->stage % 2 : (p->stage + 1) % 2;
    if (!write && xg_random(&p->s) & 1) core = p->core, parity = p->stage % 2;
    return (int32_t)((core * 2 + parity) * RP_SLICE);
}

static inline void rp_load(rp *p) {
    xg_inst in = test_inst(XG_T_LOAD);
    int32_t rows = test_in(&p->s, 1, 3), cols = test_in(&p->s, 1, 4), ch = test_in(&p->s, 1, 6);
    SET(in, LOAD, reg, XG_REG_WORK),
        SET(in, LOAD, ddr, rp_slice(p, false) + test_in(&p->s, 0, 400));
    SET(in, LOAD, rows, rows), SET(in, LOAD, cols, cols), SET(in, LOAD, ch, ch),
        SET(in, LOAD, ddr_row, 28);
    SET(in, LOAD, ddr_pix, ch + (int32_t)(xg_random(&p->s) & 1)),
        SET(in, LOAD, addr, test_in(&p->s, 0, 10)), SET(in, LOAD, row0, test_in(&p->s, 0, 2));
    SET(in, LOAD, ring, xg_random(&p->s) & 1 ? 4 : 0), SET(in, LOAD, il, 1), SET(in, LOAD, row, 8),
        SET(in, LOAD, pix, 2);
    SET(in, LOAD, lane, ch < 3 ? test_in(&p->s, 0, 2) : 0), SET(in, LOAD, fold, 1),
        SET(in, LOAD, fold_s, 1);
    rp_push(p, in);
}

static inline void rp_save(rp *p) {
    xg_inst in = test_inst(XG_T_SAVE);
    int32_t rows = test_in(&p->s, 1, 3), cols = test_in(&p->s, 1, 4), ch = test_in(&p->s, 1, 6);
    SET(in, SAVE, reg, XG_REG_WORK), SET(in, SAVE, ddr, rp_slice(p, true) + test_in(&p->s, 0, 400));
    SET(in, SAVE, rows, rows), SET(in, SAVE, cols, cols), SET(in, SAVE, ch, ch),
        SET(in, SAVE, ddr_row, 28);
    SET(in, SAVE, ddr_pix, ch + (int32_t)(xg_random(&p->s) & 1)),
        SET(in, SAVE, addr, test_in(&p->s, 0, 10)), SET(in, SAVE, row0, test_in(&p->s, 0, 2));
    SET(in, SAVE, il, 1), SET(in, SAVE, row, 8), SET(in, SAVE, pix, 2);
    rp_push(p, in);
}

static inline void rp_loadw(rp *p, int32_t words, int32_t addr, int32_t banks) {
    xg_inst in = test_inst(XG_T_LOADW);
    SET(in, LOADW, reg, XG_REG_IN), SET(in, LOADW, ddr, test_in(&p->s, 0, 99)),
        SET(in, LOADW, addr, addr);
    SET(in, LOADW, words, words), SET(in, LOADW, banks, banks);
    rp_push(p, in);
}

static inline void rp_loadp(rp *p, int32_t bytes, int32_t addr) {
    xg_inst in = test_inst(XG_T_LOADP);
    SET(in, LOADP, reg, XG_REG_CONST), SET(in, LOADP, ddr, test_in(&p->s, 0, 99)),
        SET(in, LOADP, addr, addr), SET(in, LOADP, bytes, bytes);
    rp_push(p, in);
}

static inline void rp_conv(rp *p) {
    xg_inst in = test_inst(XG_T_CONV);
    if (xg_random(&p->s) % 4 == 0) {
        xg_inst init = test_inst(XG_T_CONVINIT);
        SET(init, CONVINIT, kh, test_in(&p->s, 1, 2)),
            SET(init, CONVINIT, kw, test_in(&p->s, 1, 2)), SET(init, CONVINIT, sh, 1),
            SET(init, CONVINIT, sw, test_in(&p->s, 1, 2));
        SET(init, CONVINIT, dh, 1), SET(init, CONVINIT, dw, 1), SET(init, CONVINIT, lo, -128),
            SET(init, CONVINIT, hi, 127), SET(init, CONVINIT, mult, 0x3c000000);
        SET(init, CONVINIT, in_il, 1), SET(init, CONVINIT, in_row, 8),
            SET(init, CONVINIT, in_pix, 2);
        SET(init, CONVINIT, out_il, 1), SET(init, CONVINIT, out_row, 8),
            SET(init, CONVINIT, out_pix, 2);
        rp_push(p, init);
    }
    SET(in, CONV, in_addr, test_in(&p->s, 0, 8)), SET(in, CONV, in_row0, test_in(&p->s, 0, 1)),
        SET(in, CONV, pad_top, test_in(&p->s, 0, 1)), SET(in, CONV, in_rows, 2);
    SET(in, CONV, pad_left, test_in(&p->s, 0, 1)), SET(in, CONV, in_cols, 4),
        SET(in, CONV, icw, test_in(&p->s, 1, 2)), SET(in, CONV, w_addr, test_in(&p->s, 0, 8));
    SET(in, CONV, p_addr, test_in(&p->s, 0, 40)), SET(in, CONV, out_addr, test_in(&p->s, 0, 20)),
        SET(in, CONV, out_row0, test_in(&p->s, 0, 1)),
        SET(in, CONV, out_lane, test_in(&p->s, 0, 1));
    SET(in, CONV, rows, test_in(&p->s, 1, 2)), SET(in, CONV, cols, test_in(&p->s, 1, 2)),
        SET(in, CONV, oc, test_in(&p->s, 1, 4));
    int acc = test_in(&p->s, 0, 3);
    SET(in, CONV, acc_in, acc == 1), SET(in, CONV, acc_out, acc == 2),
        SET(in, CONV, psum, test_in(&p->s, 0, 24));
    rp_push(p, in);
}

static inline void rp_misc(rp *p) {
    xg_inst in = test_inst(XG_T_LUT);
    if (xg_random(&p->s) & 1) {
        in = test_inst(XG_T_ELEW);
        SET(in, ELEW, a_addr, test_in(&p->s, 0, 20)), SET(in, ELEW, b_addr, test_in(&p->s, 0, 20)),
            SET(in, ELEW, out_addr, test_in(&p->s, 0, 20));
        SET(in, ELEW, rows, test_in(&p->s, 1, 2)), SET(in, ELEW, cols, test_in(&p->s, 1, 2)),
            SET(in, ELEW, ch, test_in(&p->s, 1, 6));
    } else {
        SET(in, LUT, in_addr, test_in(&p->s, 0, 20)), SET(in, LUT, in_il, 1),
            SET(in, LUT, in_row, 8), SET(in, LUT, in_pix, 2);
        SET(in, LUT, out_addr, test_in(&p->s, 0, 20)), SET(in, LUT, out_il, 1),
            SET(in, LUT, out_row, 8), SET(in, LUT, out_pix, 2);
        SET(in, LUT, table, test_in(&p->s, 0, 64)), SET(in, LUT, rows, test_in(&p->s, 1, 2)),
            SET(in, LUT, cols, test_in(&p->s, 1, 3)), SET(in, LUT, ch, test_in(&p->s, 1, 6));
    }
    rp_push(p, in);
}

static inline void rp_begin(rp *p) {
    xg_inst in = test_inst(XG_T_LOAD), init = test_inst(XG_T_ELEWINIT);
    SET(in, LOAD, reg, XG_REG_IN), SET(in, LOAD, rows, 2), SET(in, LOAD, cols, 32),
        SET(in, LOAD, ch, 4), SET(in, LOAD, ddr_row, 128), SET(in, LOAD, ddr_pix, 4);
    SET(in, LOAD, il, 1), SET(in, LOAD, pix, 1), SET(in, LOAD, fold, 1), SET(in, LOAD, fold_s, 1);
    rp_push(p, in);
    rp_loadw(p, 16, 0, 4);
    rp_loadp(p, 320, 0);
    SET(init, ELEWINIT, lo, -128), SET(init, ELEWINIT, hi, 127),
        SET(init, ELEWINIT, mult_a, 0x3f000000), SET(init, ELEWINIT, mult_b, 0x3f000000);
    SET(init, ELEWINIT, a_il, 1), SET(init, ELEWINIT, a_row, 8), SET(init, ELEWINIT, a_pix, 2),
        SET(init, ELEWINIT, b_il, 1), SET(init, ELEWINIT, b_row, 8);
    SET(init, ELEWINIT, b_pix, 2), SET(init, ELEWINIT, out_il, 1), SET(init, ELEWINIT, out_row, 8),
        SET(init, ELEWINIT, out_pix, 2);
    rp_push(p, init);
    do { /* the first CONV brings its INIT */
        p->v.n = 4;
        rp_conv(p);
    } while (p->v.n != 6);
}

static inline void rp_step(rp *p) {
    switch (xg_random(&p->s) % 8) {
    case 0:
    case 1:
        rp_load(p);
        break;
    case 2:
        rp_save(p);
        break;
    case 3:
        rp_loadw(p, test_in(&p->s, 1, 4), test_in(&p->s, 0, 12), test_in(&p->s, 1, 4));
        break;
    case 4:
        rp_loadp(p, test_in(&p->s, 1, 60), test_in(&p->s, 0, 250));
        break;
    case 5:
        rp_misc(p);
        break;
    default:
        rp_conv(p);
    }
}

/* One stream a core; `stages` - 1 barriers between stages of about n instructions. No tokens yet.
 */
static inline xg_segment rp_segment(xg_arena *a, const xg_machine *m, uint64_t seed,
                                    uint32_t stages, uint32_t n) {
    xg_segment seg = {xg_newn(a, xg_stream, m->cores), m->cores};
    for (uint32_t c = 0; c < m->cores; c++) {
        rp p = {.a = a, .m = m, .s = seed * 977 + c, .core = c};
        rp_begin(&p);
        for (p.stage = 0; p.stage < stages; p.stage++) {
            for (uint32_t i = 0; i < n; i++) rp_step(&p);
            if (p.stage + 1 == stages) break;
            rp_push(&p, test_inst(XG_T_SIGNAL));
            xg_inst await = test_inst(XG_T_AWAIT);
            SET(await, AWAIT, count, p.stage + 1);
            rp_push(&p, await);
        }
        rp_push(&p, test_inst(XG_T_END));
        seg.core[c] = (xg_stream){p.v.v, p.v.n};
    }
    return seg;
}

static inline uint32_t rp_count_tokens(const xg_segment *seg) {
    uint32_t n = 0;
    for (uint32_t c = 0; c < seg->ncore; c++)
        for (uint32_t i = 0; i < seg->core[c].n; i++)
            n += (uint32_t)__builtin_popcount(seg->core[c].inst[i].wait);
    return n;
}

/* All memory of a simulator as one number. */
static inline uint64_t rp_digest(xg_sim *sim, const xg_machine *m) {
    uint64_t h = 0, n;
    for (int r = 0; r < XG_REGIONS; r++) {
        const uint8_t *p = xg_sim_ddr(sim, (xg_region)r, &n);
        h = h * 31 + xg_hash(p, n);
    }
    for (uint32_t c = 0; c < m->cores; c++)
        for (int k = 1; k < XG_TILE_MEMS; k++)
            h = h * 31 + xg_hash(xg_sim_core(sim, c)->mem[k], xg_sim_core(sim, c)->mem_bytes[k]);
    return h;
}

static inline xg_sim *rp_sim(xg_arena *a, const xg_machine *m, uint64_t seed) {
    uint64_t bytes[XG_REGIONS];
    xg_sim *sim;
    rp_regions(m, bytes);
    assert_int_equal(xg_sim_new(a, m, bytes, &sim), XG_OK);
    rp_fill(sim, seed);
    return sim;
}

#endif
