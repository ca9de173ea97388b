/* The two simulators: a program by hand with its result, orders, deadlocks, and the cycle model's
 * bounds. */
#include "random_program.h"

#include "isa/timing.h"

static xg_segment one_core(xg_arena *a, xg_inst *v, uint32_t n) {
    xg_segment seg = {xg_new(a, xg_stream), 1};
    seg.core[0] = (xg_stream){v, n};
    return seg;
}

static xg_sim *new_sim(xg_test *t, const xg_machine *m, uint64_t bytes) {
    uint64_t region[XG_REGIONS] = {bytes, bytes, bytes, bytes};
    xg_sim *sim;
    assert_ok(t->c, xg_sim_new(t->a, m, region, &sim));
    return sim;
}

static xg_inst load_bytes(int32_t ddr, int32_t bytes) {
    xg_inst in = test_inst(XG_T_LOADP);
    SET(in, LOADP, reg, XG_REG_IN), SET(in, LOADP, ddr, ddr), SET(in, LOADP, bytes, bytes);
    return in;
}

/* A 1x1 convolution over a 2 x 2 map of one channel word: y = round(bias + sum x w / 2). */
static uint32_t small_conv(xg_inst *v) {
    xg_inst load = test_inst(XG_T_LOAD), w = test_inst(XG_T_LOADW), p = load_bytes(100, 8),
            init = test_inst(XG_T_CONVINIT);
    xg_inst conv = test_inst(XG_T_CONV), save = test_inst(XG_T_SAVE);
    SET(load, LOAD, reg, XG_REG_IN), SET(load, LOAD, rows, 2), SET(load, LOAD, cols, 2),
        SET(load, LOAD, ch, 4), SET(load, LOAD, ddr_row, 8);
    SET(load, LOAD, ddr_pix, 4), SET(load, LOAD, il, 1), SET(load, LOAD, row, 2),
        SET(load, LOAD, pix, 1), SET(load, LOAD, fold, 1);
    SET(w, LOADW, reg, XG_REG_IN), SET(w, LOADW, ddr, 50), SET(w, LOADW, words, 1),
        SET(w, LOADW, banks, 2);
    SET(init, CONVINIT, kh, 1), SET(init, CONVINIT, kw, 1), SET(init, CONVINIT, sh, 1),
        SET(init, CONVINIT, sw, 1), SET(init, CONVINIT, dh, 1), SET(init, CONVINIT, dw, 1);
    SET(init, CONVINIT, lo, -128), SET(init, CONVINIT, hi, 127),
        SET(init, CONVINIT, mult, 0x3f000000), SET(init, CONVINIT, in_il, 1),
        SET(init, CONVINIT, in_row, 2);
    SET(init, CONVINIT, in_pix, 1), SET(init, CONVINIT, out_il, 1), SET(init, CONVINIT, out_row, 2),
        SET(init, CONVINIT, out_pix, 1);
    SET(conv, CONV, in_rows, 2), SET(conv, CONV, in_cols, 2), SET(conv, CONV, icw, 1),
        SET(conv, CONV, out_addr, 10), SET(conv, CONV, rows, 2);
    SET(conv, CONV, cols, 2), SET(conv, CONV, oc, 2);
    SET(save, SAVE, reg, XG_REG_OUT), SET(save, SAVE, rows, 2), SET(save, SAVE, cols, 2),
        SET(save, SAVE, ch, 2), SET(save, SAVE, ddr_row, 4), SET(save, SAVE, ddr_pix, 2);
    SET(save, SAVE, addr, 10), SET(save, SAVE, il, 1), SET(save, SAVE, row, 2),
        SET(save, SAVE, pix, 1);
    const xg_inst all[] = {load, w, p, init, conv, save, test_inst(XG_T_END)};
    memcpy(v, all, sizeof all);
    return XG_COUNT(all);
}

static void fill_small_conv(xg_sim *sim) {
    uint8_t *in = xg_sim_ddr(sim, XG_REG_IN, NULL);
    static const int8_t w[8] = {1, 0, 0, 0, -1, 2, 0, 1};
    for (int i = 0; i < 16; i++) in[i] = (uint8_t)(i - 8); /* pixel p, channel c: 4p + c - 8 */
    memcpy(in + 50, w, 8);
    memcpy(in + 100, (const uint8_t[]){10, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff}, 8); /* biases 10, -3 */
}

/* Channel 0: (4p - 8 + 10) / 2; channel 1: -x0 + 2 x1 + x3 - 3 = 8p - 14, halved; both exact. */
static void test_small_program(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    xg_inst v[8];
    xg_segment seg = one_core(t->a, v, small_conv(v));
    assert_ok(t->c, xg_add_tokens(t->a, &m, &seg.core[0]));
    for (int cycles = 0; cycles < 2; cycles++) {
        xg_sim *sim = new_sim(t, &m, 256);
        xg_times times;
        fill_small_conv(sim);
        if (cycles)
            assert_ok(t->c, xg_sim_time(t->a, &m, &seg, sim, false, &times));
        else
            assert_ok(t->c, xg_sim_run(t->c, sim, &seg, NULL));
        const int8_t *out = (const int8_t *)xg_sim_ddr(sim, XG_REG_OUT, NULL);
        for (int p = 0; p < 4; p++) {
            assert_int_equal(out[2 * p], 2 * p + 1);
            assert_int_equal(out[2 * p + 1], 4 * p - 7);
        }
        assert_int_equal(out[8], 0);
    }
}

static xg_status stop_at(void *arg, xg_sim *s, uint32_t core, uint32_t index, const xg_inst *in) {
    (void)s, (void)core, (void)in;
    uint32_t *last = arg;
    *last = index;
    return index == 2 ? XG_LIMIT : XG_OK;
}

static void test_hook_stops(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    xg_inst v[8];
    xg_segment seg = one_core(t->a, v, small_conv(v));
    uint32_t last = 99;
    xg_sim_options o = {.hook = stop_at, .hook_arg = &last};
    assert_status(t->c, xg_sim_run(t->c, new_sim(t, &m, 256), &seg, &o), XG_LIMIT);
    assert_int_equal(last, 2);
}

static void test_out_of_bounds(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    xg_inst v[2] = {load_bytes(250, 8), test_inst(XG_T_END)};
    xg_segment seg = one_core(t->a, v, 2);
    assert_status(t->c, xg_sim_run(t->c, new_sim(t, &m, 256), &seg, NULL), XG_INPUT);
    assert_said(t->c, "DDR region ends");
    assert_said(t->c, "core 0 instruction 0 (loadp)");
    xg_sim *sim;
    const uint64_t huge[XG_REGIONS] = {1u << 28, 1, 0, 0};
    assert_status(t->c, xg_sim_new(t->a, &m, huge, &sim), XG_LIMIT);
    assert_status(t->c,
                  xg_sim_new(t->a, &m, (const uint64_t[]){UINT64_MAX, UINT64_MAX, 2, 0}, &sim),
                  XG_LIMIT);
}

/* An accumulator that does not fit is an error, not a wrap. */
static void test_accumulator_limit(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    m.rq.acc_bits = 32;
    xg_inst v[8];
    xg_segment seg = one_core(t->a, v, small_conv(v));
    xg_sim *sim = new_sim(t, &m, 256);
    fill_small_conv(sim);
    memcpy(xg_sim_ddr(sim, XG_REG_IN, NULL) + 100, (const uint8_t[]){0xff, 0xff, 0xff, 0x7f}, 4);
    assert_status(t->c, xg_sim_run(t->c, sim, &seg, NULL), XG_INPUT);
    assert_said(t->c, "accumulator of row 1 pixel 1 channel 0 is 2147483651, it has 32 bits");
}

static void test_deadlock(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(2);
    xg_inst v[3] = {load_bytes(0, 8), test_inst(XG_T_AWAIT), test_inst(XG_T_END)};
    v[0].wait = 1 << XG_TILE_CONV;
    SET(v[1], AWAIT, count, 1);
    xg_segment seg = one_core(t->a, v, 3);
    for (int k = 0; k < 3; k++) {
        xg_sim_options o = {.shuffle = k == 1, .seed = 7};
        xg_times times;
        xg_status st = k == 2 ? xg_sim_time(t->a, &m, &seg, NULL, false, &times)
                              : xg_sim_run(t->c, new_sim(t, &m, 64), &seg, &o);
        assert_status(t->c, st, XG_INPUT);
        assert_said(t->c, "core 0 instruction 0 (loadp)");
        assert_said(t->c, "deadlock: engine LOAD waits for a token from CONV");
    }
    v[0].wait = 0;
    assert_status(t->c, xg_sim_run(t->c, new_sim(t, &m, 64), &seg, NULL), XG_INPUT);
    assert_said(t->c, "signal 1 of core 0, which has sent 0");
    v[0].wait = 1 << XG_TILE_LOAD;
    assert_status(t->c, xg_sim_run(t->c, new_sim(t, &m, 64), &seg, NULL), XG_INPUT);
    assert_said(t->c, "its own engine LOAD");
    seg.ncore = 3;
    assert_status(t->c, xg_sim_run(t->c, new_sim(t, &m, 64), &seg, NULL), XG_INPUT);
    assert_said(t->c, "3 cores");
}

/* ---- cycles
 * ----------------------------------------------------------------------------------------------------------------
 */

static uint64_t cycles_of(xg_test *t, const xg_machine *m, const xg_segment *seg, xg_times *times) {
    assert_ok(t->c, xg_sim_time(t->a, m, seg, NULL, true, times));
    return times->cycles;
}

static void accounts_close(const xg_machine *m, const xg_segment *seg, const xg_times *times) {
    for (uint32_t c = 0; c < seg->ncore; c++)
        for (int e = 0; e < XG_TILE_ENGINES; e++) {
            const xg_engine_time *x = &times->engine[c][e];
            uint64_t sum = x->busy + x->idle;
            for (int o = 0; o < XG_TILE_ENGINES; o++) sum += x->wait[o];
            sum += x->core_wait + x->ddr_wait;
            if (sum != times->cycles)
                print_message("core %u engine %d: busy %llu idle %llu sum %llu of %llu\n", c, e,
                              (unsigned long long)x->busy, (unsigned long long)x->idle,
                              (unsigned long long)sum, (unsigned long long)times->cycles);
            assert_true(sum == times->cycles);
        }
    (void)m;
}

/* One transfer alone takes what its formula says, beginning when it is dispatched. */
static void test_single_transfer(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    xg_times times;
    static const int32_t sizes[] = {1, 7, 8, 9, 63, 64, 250, 256, 257, 320};
    for (size_t k = 0; k < XG_COUNT(sizes); k++) {
        xg_inst v[2] = {load_bytes(0, sizes[k]), test_inst(XG_T_END)};
        xg_segment seg = one_core(t->a, v, 2);
        uint64_t alone = xg_time_transfer(&m, m.tile.load_start, 1, (uint64_t)sizes[k],
                                          (uint64_t)(sizes[k] + 3) / 4);
        assert_int_equal(cycles_of(t, &m, &seg, &times), alone);
        assert_int_equal(times.ddr_read_bytes, sizes[k]);
        assert_int_equal(times.start[0], 0);
        assert_int_equal(times.end[0], alone);
        accounts_close(&m, &seg, &times);
    }
}

/* Cores share the DDR: as slow as its bandwidth when it is the bottleneck, undisturbed when it is
 * not. */
static void test_shared_ddr(void **state) {
    xg_test *t = *state;
    xg_times times;
    for (int fast = 0; fast < 2; fast++) {
        xg_machine m = rp_machine(3);
        m.ddr.bytes_per_cycle_x256 = fast ? 256 * 256 : 2 * 256;
        xg_segment seg = {xg_newn(t->a, xg_stream, 3), 3};
        xg_inst *v = xg_newn(t->a, xg_inst, 21);
        for (int i = 0; i < 20; i++) v[i] = load_bytes(0, 256);
        v[20] = test_inst(XG_T_END);
        for (int c = 0; c < 3; c++) seg.core[c] = (xg_stream){v, 21};
        uint64_t three = cycles_of(t, &m, &seg, &times),
                 work = xg_time_ddr_x65536(&m, 3 * 20 * 256, 3 * 20) >> 16;
        accounts_close(&m, &seg, &times);
        assert_int_equal(times.ddr_read_bytes, 3 * 20 * 256);
        seg.ncore = 1;
        uint64_t one = cycles_of(t, &m, &seg, &times);
        assert_true(three >= work && three >= one);
        if (fast)
            assert_int_equal(three, one);
        else
            assert_true(three > 2 * one && three < work + work / 4);
    }
}

static void test_waits_have_causes(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    xg_inst v[8];
    xg_times times;
    xg_segment seg = one_core(t->a, v, small_conv(v));
    assert_ok(t->c, xg_add_tokens(t->a, &m, &seg.core[0]));
    (void)cycles_of(t, &m, &seg, &times);
    accounts_close(&m, &seg, &times);
    const xg_engine_time *conv = &times.engine[0][XG_TILE_CONV],
                         *save = &times.engine[0][XG_TILE_SAVE];
    uint64_t work = xg_time_conv(&m, 1, 1, 1, 1, 1, 2, 2, false, false);
    assert_int_equal(conv->busy, work + 1); /* and its INIT */
    assert_true(conv->wait[XG_TILE_LOAD] > 0 && save->wait[XG_TILE_CONV] > 0);
    assert_int_equal(times.start[4], times.end[2]);
    assert_int_equal(times.end[4], times.start[4] + work);
    assert_int_equal(times.start[5], times.end[4]);
    assert_int_equal(times.macs, 2 * 2 * 2 * 4);
    assert_int_equal(times.ddr_write_bytes, 8);
}

/* Random programs: never faster than any engine's work, the DDR's, or the dispatcher's. */
static void test_bounds(void **state) {
    xg_test *t = *state;
    for (uint32_t cores = 1; cores <= 3; cores++) {
        xg_machine m = rp_machine(cores);
        m.ddr.bytes_per_cycle_x256 = cores * 256;
        for (uint64_t seed = 1; seed <= 15; seed++) {
            xg_segment seg = rp_segment(t->a, &m, seed, 2, 60);
            uint64_t work = 0;
            xg_times times, again;
            for (uint32_t c = 0; c < cores; c++) {
                assert_ok(t->c, xg_add_tokens(t->a, &m, &seg.core[c]));
                xg_regs regs = {0};
                for (uint32_t i = 0; i < seg.core[c].n; i++) {
                    xg_cost cost;
                    xg_regs_track(m.family, &regs, &seg.core[c].inst[i]);
                    m.family->cost(&m, &regs, &seg.core[c].inst[i], &cost);
                    if (cost.ddr_bytes)
                        work += xg_time_ddr_x65536(&m, cost.ddr_bytes, cost.ddr_bursts);
                }
            }
            uint64_t cycles = cycles_of(t, &m, &seg, &times);
            accounts_close(&m, &seg, &times);
            assert_true(cycles >= work >> 16 && times.ddr_busy_cycles >= work >> 16 &&
                        cycles >= times.ddr_busy_cycles);
            for (uint32_t c = 0; c < cores; c++) {
                assert_true(cycles >= (uint64_t)(seg.core[c].n - 1) * m.tile.dispatch);
                for (int e = 0; e < XG_TILE_ENGINES; e++)
                    assert_true(cycles >= times.engine[c][e].busy);
            }
            assert_int_equal(cycles_of(t, &m, &seg, &again), cycles);
        }
    }
}

/* ---- the formulas of isa/TIMING.md
 * ---------------------------------------------------------------------------------------- */

static void test_formulas(void **state) {
    (void)state;
    xg_machine m = tile_test_machine(8, 16, 16, 1, "dpu");
    assert_int_equal(xg_time_conv(&m, 3, 3, 1, 1, 4, 8, 56, false, false), 18 + 56 * 36);
    assert_int_equal(xg_time_conv(&m, 3, 3, 2, 2, 4, 8, 56, false, false),
                     18 + 56 * 36); /* interleaved for the stride */
    assert_int_equal(xg_time_conv(&m, 3, 3, 2, 1, 4, 8, 56, false, false),
                     18 + 56 * 36 * 2); /* two rows a bank */
    assert_int_equal(xg_time_conv(&m, 1, 1, 1, 1, 1, 8, 10, true, false),
                     18 + 10 * 4); /* 64 bytes of sums a pixel */
    assert_int_equal(xg_time_dwconv(&m, 9, 8, 10, 40), 16 + 2 * 10 * 9 * 3);
    assert_int_equal(xg_time_pool(&m, 4, 3, 10, 16), 16 + 10 * 4);
    assert_int_equal(xg_time_elew(&m, 2, 4, 10, 17), 16 + 10 * 2 * 2);
    assert_int_equal(xg_time_lut(&m, 5, 10, 16), 16 + 2 * 10);
    assert_int_equal(xg_time_bursts(&m, 3, 257), 6);
    /* 16 bytes a cycle at 240/256: 3 x 256 bytes need 51.2 cycles and 3 bursts of 2; the port
     * needs 96. */
    assert_int_equal(xg_time_transfer(&m, 7, 3, 256, 48), 7 + 20 + 96);
    m.tile.port_bytes = 64;
    assert_int_equal(xg_time_transfer(&m, 7, 3, 256, 48), 7 + 20 + 58);
    assert_int_equal(xg_time_transfer(&m, 7, 3, 256, 400), 7 + 20 + 100); /* four words a cycle */
    for (uint32_t sh = 1; sh <= 8; sh++) {
        assert_int_equal(xg_time_conflict(8, 8, sh, sh), 1);
        uint32_t g = sh == 8 ? 8 : sh % 4 == 0 ? 4 : sh % 2 == 0 ? 2 : 1;
        assert_int_equal(xg_time_conflict(8, 8, sh, 1), g);
    }
    assert_int_equal(xg_time_conflict(8, 8, 1, 4), 4);
    assert_int_equal(xg_time_conflict(8, 1, 4, 1), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_small_program),     TEST(test_hook_stops),        TEST(test_out_of_bounds),
        TEST(test_accumulator_limit), TEST(test_deadlock),          TEST(test_single_transfer),
        TEST(test_shared_ddr),        TEST(test_waits_have_causes), TEST(test_bounds),
        TEST(test_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
