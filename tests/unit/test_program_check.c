/* The static program check: right programs pass (also in tests of tokens), each kind of fault is
 * named. */
#include "random_program.h"

typedef struct prog {
    xg_machine m;
    xg_segment seg;
    xg_inst *v;
    uint64_t bytes[XG_REGIONS];
} prog;

/* A random program with its tokens on one core. */
static prog sound(xg_test *t, uint32_t cores, uint64_t seed, uint32_t stages, uint32_t n) {
    prog p = {.m = rp_machine(cores)};
    p.seg = rp_segment(t->a, &p.m, seed, stages, n);
    for (uint32_t c = 0; c < cores; c++) assert_ok(t->c, xg_add_tokens(t->a, &p.m, &p.seg.core[c]));
    p.v = p.seg.core[0].inst;
    rp_regions(&p.m, p.bytes);
    return p;
}

static xg_status check(xg_test *t, const prog *p) {
    return xg_program_check(t->a, &p->m, &p->seg, p->bytes);
}

static uint32_t find_op(const prog *p, int op, uint32_t from) {
    while (from < p->seg.core[0].n && p->v[from].op != op) from++;
    assert_true(from < p->seg.core[0].n);
    return from;
}

static void test_sound(void **state) {
    xg_test *t = *state;
    for (uint64_t seed = 100; seed < 130; seed++) {
        prog p = sound(t, 1 + seed % 4, seed, 1 + seed % 3, 40);
        assert_ok(t->c, check(t, &p));
    }
    prog p = sound(t, 1, 1, 1, 5);
    p.seg.core[0].n = 0;
    assert_ok(t->c, check(t, &p));
}

static void test_operands(void **state) {
    xg_test *t = *state;
    prog p = sound(t, 1, 1, 1, 30);
    uint32_t i = find_op(&p, XG_T_CONV, 0);
    SET(p.v[i], CONV, rows, 3);
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, "conv rows is 3, allowed are 1 to 2");
    assert_said(t->c, xg_strf(t->a, "core 0 instruction %u (conv)", i));
    p.v[i].op = 99;
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, "opcode row 99");
}

static void test_ddr_bounds(void **state) {
    xg_test *t = *state;
    prog p = sound(t, 1, 1, 1, 30);
    uint32_t i = find_op(&p, XG_T_LOADW, 0);
    p.bytes[XG_REG_IN] = (uint64_t)p.v[i].f[1] + 255;
    p.seg.core[0].n = i + 1;
    p.v[i].post = p.v[i].wait = p.v[0].post = 0;
    xg_inst end = test_inst(XG_T_END);
    p.v[p.seg.core[0].n++] = end;
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, xg_strf(t->a, "touches bytes up to %d of DDR region 2, which has %d",
                              p.v[i].f[1] + 256, p.v[i].f[1] + 255));
    p.bytes[XG_REG_IN]++;
    assert_ok(t->c, check(t, &p));
}

static void test_end(void **state) {
    xg_test *t = *state;
    prog p = sound(t, 1, 2, 1, 30);
    uint32_t n = p.seg.core[0].n--;
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, "does not finish with an end");
    p.seg.core[0].n = n;
    p.v[find_op(&p, XG_T_ELEWINIT, 0)] = test_inst(XG_T_END);
    assert_status(t->c, check(t, &p), XG_INPUT);
    size_t first = 0;
    while (!strstr(xg_diag_at(t->c, first)->text, "follow the end")) first++;
    assert_true(first < xg_diag_count(t->c));
}

static void test_balance(void **state) {
    xg_test *t = *state;
    prog p = sound(t, 1, 3, 1, 30);
    uint32_t i = find_op(&p, XG_T_CONV, 0);
    p.v[i].post ^= 1 << XG_TILE_LOAD;
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, "tokens from CONV to LOAD do not balance");
}

/* Balanced, but each engine waits for the other. */
static void test_deadlock(void **state) {
    xg_test *t = *state;
    prog p = {.m = rp_machine(1)};
    xg_inst v[3] = {test_inst(XG_T_LOADP), test_inst(XG_T_CONVINIT), test_inst(XG_T_END)};
    SET(v[0], LOADP, reg, XG_REG_IN), SET(v[0], LOADP, bytes, 4);
    v[0].wait = v[0].post = 1 << XG_TILE_CONV, v[1].wait = v[1].post = 1 << XG_TILE_LOAD;
    xg_stream st = {v, 3};
    p.seg = (xg_segment){&st, 1};
    rp_regions(&p.m, p.bytes);
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, "deadlock: engine CONV waits for a token from LOAD");
    v[0].wait = v[1].post = 0;
    assert_ok(t->c, check(t, &p));
}

/* More tokens than a counter holds, none of them taken before the queue behind is full. */
static void test_full_counter(void **state) {
    xg_test *t = *state;
    prog p = {.m = rp_machine(1)};
    xg_inst v[33];
    p.m.tile.token_max = 8, p.m.tile.queue_depth = 4;
    for (int i = 0; i < 16; i++) {
        v[i] = test_inst(XG_T_LOADP), v[16 + i] = test_inst(XG_T_CONVINIT);
        SET(v[i], LOADP, reg, XG_REG_IN), SET(v[i], LOADP, bytes, 4);
        v[i].post = 1 << XG_TILE_CONV, v[16 + i].wait = 1 << XG_TILE_LOAD;
    }
    v[32] = test_inst(XG_T_END);
    xg_stream st = {v, 33};
    p.seg = (xg_segment){&st, 1};
    rp_regions(&p.m, p.bytes);
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, "finds the queue of LOAD full");
    bool counter = false;
    for (size_t i = 0; i < xg_diag_count(t->c); i++)
        counter |= strstr(xg_diag_at(t->c, i)->text, "room for its token to CONV (8") != NULL;
    assert_true(counter);
    p.m.tile.token_max = 16;
    assert_ok(t->c, check(t, &p));
}

static void test_read_before_write(void **state) {
    xg_test *t = *state;
    prog p = {.m = rp_machine(1)};
    xg_inst v[3] = {test_inst(XG_T_LOAD), test_inst(XG_T_SAVE), test_inst(XG_T_END)};
    SET(v[0], LOAD, reg, XG_REG_IN), SET(v[0], LOAD, rows, 2), SET(v[0], LOAD, cols, 3),
        SET(v[0], LOAD, ch, 4), SET(v[0], LOAD, ddr_pix, 4);
    SET(v[0], LOAD, ddr_row, 12), SET(v[0], LOAD, il, 1), SET(v[0], LOAD, pix, 1),
        SET(v[0], LOAD, fold, 1), SET(v[0], LOAD, addr, 5);
    SET(v[1], SAVE, reg, XG_REG_OUT), SET(v[1], SAVE, rows, 2), SET(v[1], SAVE, cols, 3),
        SET(v[1], SAVE, ch, 4), SET(v[1], SAVE, ddr_pix, 4);
    SET(v[1], SAVE, ddr_row, 12), SET(v[1], SAVE, il, 1), SET(v[1], SAVE, pix, 1),
        SET(v[1], SAVE, addr, 5);
    v[0].post = 1 << XG_TILE_SAVE, v[1].wait = 1 << XG_TILE_LOAD;
    xg_stream st = {v, 3};
    p.seg = (xg_segment){&st, 1};
    rp_regions(&p.m, p.bytes);
    assert_ok(t->c, check(t, &p));
    SET(v[0], LOAD, cols, 2);
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(t->c, "reads feature-map memory bank 0 word 7, which nothing has written");
    SET(v[0], LOAD, cols, 3);
    v[0].post = v[1].wait = 0;
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_said(
        t->c,
        "race: feature-map memory bank 0 word 5: reads, which core 0 instruction 0 (load) writes");
}

/* Cores that read what another core wrote need the barrier between: without the second one most
 * programs race. */
static void test_cores(void **state) {
    xg_test *t = *state;
    uint32_t races = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        prog p = sound(t, 2, seed, 3, 50);
        assert_ok(t->c, check(t, &p));
        uint32_t i = find_op(&p, XG_T_AWAIT, find_op(&p, XG_T_AWAIT, 0) + 1);
        SET(p.v[i], AWAIT, count, 1);
        size_t before = xg_diag_count(t->c);
        if (check(t, &p) == XG_OK) continue;
        const char *text = xg_diag_at(t->c, before)->text;
        assert_non_null(strstr(text, "race"));
        races += strstr(text, "core 1 instruction") && strstr(text, "no signal and await");
        SET(p.v[i], AWAIT, count, 3);
        assert_status(t->c, check(t, &p), XG_INPUT);
        assert_said(t->c, "waits for 3 signals, core 1 sends 2");
    }
    assert_true(races > 5);
}

/* At most 20 faults are told. */
static void test_many_faults(void **state) {
    xg_test *t = *state;
    prog p = sound(t, 1, 4, 1, 200);
    for (uint32_t i = 0; i < p.seg.core[0].n; i++)
        if (p.v[i].op == XG_T_CONV) SET(p.v[i], CONV, icw, 0);
    assert_status(t->c, check(t, &p), XG_INPUT);
    assert_int_equal(xg_diag_count(t->c), 20);
}

/* Damaged programs: whatever the check accepts runs to the same memory in every order; nothing
 * crashes or hangs. */
static void test_mutations(void **state) {
    xg_test *t = *state;
    uint64_t s = 77;
    uint32_t accepted = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        xg_test in = {t->c, xg_arena_new(t->c)};
        prog p = sound(&in, 1 + seed % 2, seed, 2, 25);
        xg_inst *victim = &p.v[xg_random(&s) % p.seg.core[0].n];
        int kind = (int)(xg_random(&s) % 3);
        if (kind == 0) victim->f[xg_random(&s) % 12] += test_in(&s, -2, 2);
        if (kind == 1) victim->wait ^= (uint8_t)(1u << (xg_random(&s) % 4));
        if (kind == 2) victim->post ^= (uint8_t)(1u << (xg_random(&s) % 4));
        size_t before = xg_diag_count(t->c);
        if (check(&in, &p) != XG_OK) {
            refused++;
            assert_true(xg_diag_count(t->c) > before);
            xg_diag_truncate(t->c, before);
        } else {
            accepted++;
            uint64_t want = 0;
            for (uint64_t k = 0; k < 4; k++) {
                xg_sim_options o = {.shuffle = k > 0, .seed = k};
                xg_sim *sim = rp_sim(in.a, &p.m, seed);
                assert_ok(t->c, xg_sim_run(t->c, sim, &p.seg, &o));
                if (k == 0) want = rp_digest(sim, &p.m);
                assert_true(rp_digest(sim, &p.m) == want);
            }
        }
        xg_arena_free(in.a);
    }
    print_message("%u accepted, %u refused\n", accepted, refused);
    assert_true(accepted > 20 && refused > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_sound),        TEST(test_operands),          TEST(test_ddr_bounds),
        TEST(test_end),          TEST(test_balance),           TEST(test_deadlock),
        TEST(test_full_counter), TEST(test_read_before_write), TEST(test_cores),
        TEST(test_many_faults),  TEST(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
