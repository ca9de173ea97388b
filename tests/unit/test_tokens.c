/* Token insertion: programs stay right in every legal order, no token is superfluous, counters stay
 * within limits. */
#include "random_program.h"

static void add_tokens(xg_test *t, const xg_machine *m, xg_segment *seg) {
    for (uint32_t c = 0; c < seg->ncore; c++)
        assert_ok(t->c, xg_add_tokens(t->a, m, &seg->core[c]));
}

static xg_status check(xg_arena *a, const xg_machine *m, const xg_segment *seg) {
    uint64_t bytes[XG_REGIONS];
    rp_regions(m, bytes);
    return xg_program_check(a, m, seg, bytes);
}

/* Memory after executing the streams one instruction after another, stage by stage, tokens ignored.
 */
static uint64_t serial_digest(xg_arena *a, const xg_machine *m, const xg_segment *seg,
                              uint64_t seed) {
    xg_sim *sim = rp_sim(a, m, seed);
    uint32_t *at = xg_newn(a, uint32_t, seg->ncore);
    bool more = true;
    while (more) {
        more = false;
        for (uint32_t c = 0; c < seg->ncore; c++) {
            const xg_stream *st = &seg->core[c];
            while (at[c] < st->n) {
                const xg_inst *in = &st->inst[at[c]++];
                more = true;
                const char *why =
                    xg_tile_family.exec((xg_state *)(uintptr_t)xg_sim_core(sim, c), in);
                if (why) print_message("core %u instruction %u: %s\n", c, at[c] - 1, why);
                assert_null(why);
                if (in->op == XG_T_AWAIT) break;
            }
        }
    }
    return rp_digest(sim, m);
}

static void orders_agree(xg_test *t, const xg_machine *m, uint64_t seed, uint32_t stages,
                         uint32_t n) {
    xg_arena *a = xg_arena_new(t->c);
    xg_segment seg = rp_segment(a, m, seed, stages, n);
    uint64_t want = serial_digest(a, m, &seg, seed);
    add_tokens(t, m, &seg);
    assert_ok(t->c, check(a, m, &seg));
    for (uint64_t k = 0; k < 5; k++) {
        xg_sim_options o = {.shuffle = k > 0, .seed = seed * 10 + k};
        xg_sim *sim = rp_sim(a, m, seed);
        assert_ok(t->c, xg_sim_run(t->c, sim, &seg, &o));
        assert_true(rp_digest(sim, m) == want);
    }
    xg_sim *sim = rp_sim(a, m, seed);
    xg_times times;
    assert_ok(t->c, xg_sim_time(a, m, &seg, sim, false, &times));
    assert_true(rp_digest(sim, m) == want);
    xg_arena_free(a);
}

static void test_one_core(void **state) {
    xg_machine m = rp_machine(1);
    for (uint64_t seed = 1; seed <= 150; seed++)
        orders_agree(*state, &m, seed, 1 + seed % 3, 10 + (uint32_t)seed % 60);
}

static void test_three_cores(void **state) {
    xg_machine m = rp_machine(3);
    for (uint64_t seed = 1; seed <= 60; seed++) orders_agree(*state, &m, seed, 1 + seed % 5, 25);
}

/* Counters as small as they come: later posts are merged, and still nothing races or stops. */
static void test_small_counters(void **state) {
    for (uint32_t max = 1; max <= 3; max++) {
        xg_machine m = rp_machine(2);
        m.tile.token_max = max, m.tile.queue_depth = max;
        for (uint64_t seed = 1; seed <= 40; seed++) orders_agree(*state, &m, seed, 2, 60);
    }
}

/* The k-th wait of a pair takes the k-th post. */
static void remove_token(xg_stream *st, uint32_t waiter, uint32_t from) {
    uint32_t to = xg_tile_inst[st->inst[waiter].op].engine, k = 0, i;
    for (i = 0; i < waiter; i++)
        k += xg_tile_inst[st->inst[i].op].engine == to && (st->inst[i].wait >> from & 1);
    st->inst[waiter].wait &= (uint8_t) ~(1u << from);
    for (i = 0; i < st->n; i++) {
        if (xg_tile_inst[st->inst[i].op].engine != from || !(st->inst[i].post >> to & 1)) continue;
        if (k-- == 0) break;
    }
    assert_true(i < st->n);
    st->inst[i].post &= (uint8_t) ~(1u << to);
}

/* Without any one of the tokens, some pair of accesses races, and the checker finds it. Programs
 * whose barriers only exist for other cores are left to the test above: there is one core, so every
 * token orders two accesses. */
static void test_each_token_is_needed(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    uint32_t removed = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        xg_arena *a = xg_arena_new(t->c);
        xg_segment seg = rp_segment(a, &m, seed, 1, 40);
        add_tokens(t, &m, &seg);
        xg_stream *st = &seg.core[0];
        xg_inst *copy = xg_memdup(a, st->inst, st->n * sizeof *copy);
        for (uint32_t i = 0; i < st->n; i++)
            for (uint32_t e = 0; e < XG_TILE_ENGINES; e++) {
                if (!(copy[i].wait >> e & 1)) continue;
                memcpy(st->inst, copy, st->n * sizeof *copy);
                remove_token(st, i, e);
                size_t before = xg_diag_count(t->c);
                if (check(a, &m, &seg) == XG_OK) {
                    print_message("seed %llu: the wait of instruction %u for %u is not needed\n",
                                  (unsigned long long)seed, i, e);
                    fail();
                }
                const char *text = xg_diag_at(t->c, before)->text;
                assert_true(strstr(text, "race") || strstr(text, "nothing has written"));
                xg_diag_truncate(t->c, before);
                removed++;
            }
        xg_arena_free(a);
    }
    print_message("%u tokens removed, each missed\n", removed);
    assert_true(removed > 500);
}

/* By hand: LOAD, CONV reads it, SAVE of the result, LOAD over the input, one token each; nothing
 * between others. */
static void test_by_hand(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    rp p = {.a = t->a, .m = &m, .s = 1};
    rp_begin(&p); /* load, loadw, loadp, elewinit, convinit, conv */
    p.v.n = 6;
    xg_inst *conv = &p.v.v[5];
    SET(*conv, CONV, acc_in, 0), SET(*conv, CONV, acc_out, 0), SET(*conv, CONV, in_addr, 0),
        SET(*conv, CONV, out_addr, 20);
    SET(*conv, CONV, pad_top, 0), SET(*conv, CONV, in_row0, 0), SET(*conv, CONV, out_row0, 0);
    rp_save(&p);
    SET(p.v.v[6], SAVE, addr, 20), SET(p.v.v[6], SAVE, rows, 1), SET(p.v.v[6], SAVE, row0, 0),
        SET(p.v.v[6], SAVE, cols, 1);
    rp_load(&p);
    SET(p.v.v[7], LOAD, addr, 0), SET(p.v.v[7], LOAD, row0, 0), SET(p.v.v[7], LOAD, ddr, RP_SLICE);
    rp_push(&p, test_inst(XG_T_END));
    xg_stream st = {p.v.v, p.v.n};
    assert_ok(t->c, xg_add_tokens(t->a, &m, &st));
    enum { L = 1 << XG_TILE_LOAD, S = 1 << XG_TILE_SAVE, C = 1 << XG_TILE_CONV };
    static const uint8_t want[9][2] = {{0, 0},     {0, 0}, {0, C}, {0, 0}, {0, 0},
                                       {L, L | S}, {C, 0}, {C, 0}, {0, 0}};
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(st.inst[i].wait, want[i][0]);
        assert_int_equal(st.inst[i].post, want[i][1]);
    }
}

static void test_refusals(void **state) {
    xg_test *t = *state;
    xg_machine m = rp_machine(1);
    xg_inst bad = test_inst(XG_T_CONV);
    xg_stream st = {&bad, 1};
    assert_status(t->c, xg_add_tokens(t->a, &m, &st), XG_INPUT);
    assert_said(t->c, "convinit");
    bad = test_inst(200);
    assert_status(t->c, xg_add_tokens(t->a, &m, &st), XG_INPUT);
    bad = test_inst(XG_T_AWAIT);
    SET(bad, AWAIT, count, 1);
    assert_status(t->c, xg_add_tokens(t->a, &m, &st), XG_INPUT);
    assert_said(t->c, "this core sends 0 before it");
    st.n = 0;
    assert_ok(t->c, xg_add_tokens(t->a, &m, &st));
}

static xg_status nomem_case(void *arg) {
    xg_test_case *k = arg;
    xg_machine m = rp_machine(1);
    xg_segment seg = rp_segment(k->a, &m, 3, 2, 12);
    xg_status st = xg_add_tokens(k->a, &m, &seg.core[0]);
    if (st == XG_OK) st = check(k->a, &m, &seg);
    xg_times times;
    xg_sim *sim;
    uint64_t bytes[XG_REGIONS];
    rp_regions(&m, bytes);
    if (st == XG_OK) st = xg_sim_new(k->a, &m, bytes, &sim);
    if (st == XG_OK) st = xg_sim_run(k->c, sim, &seg, NULL);
    return st == XG_OK ? xg_sim_time(k->a, &m, &seg, sim, true, &times) : st;
}

static void test_out_of_memory(void **state) {
    (void)state;
    assert_true(xg_test_nomem(nomem_case, NULL, 1) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_one_core),       TEST(test_three_cores),
        TEST(test_small_counters), TEST(test_each_token_is_needed),
        TEST(test_by_hand),        TEST(test_refusals),
        TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
