/* The cost model's forecast against the cycle simulator: networks of blocks with sizes as in
 * practice, on the shipped machines, by every strategy. Limits: 3 % for a network; nine groups in
 * ten by 10 %, by the cycles that are booked to them. And the clock and the booking by themselves.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isa/book.h"
#include "isa/tile.h"
#include "layout/clock.h"
#include "random_net.h"
#include "validate/report.h"

#include <stdlib.h>

/* ---- networks ---- */

static uint32_t grown(net *t, uint32_t node, const xg_quant *q) {
    uint32_t o = out_of(t, node, q);
    assert_int_equal(xg_node_infer(xg_arena_ctx(t->a), t->g, node), XG_OK);
    return o;
}

static uint32_t conv(net *t, uint32_t x, int32_t k, int32_t s, bool depth, uint32_t o) {
    uint32_t c = (uint32_t)xg_tensorp(t->g, x)->dim[3];
    float sx = xg_tensorp(t->g, x)->quant->scale[0];
    bool zp;
    if (depth) o = c;
    xg_window w = {k, k, s, s, 1, 1, k / 2, k / 2, k / 2, k / 2};
    uint32_t in[3] = {x, random_weights(t, o, &w, depth ? 1 : c, &zp), XG_NONE};
    in[2] = random_bias(t, o, x, in[1]);
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Conv, fresh(t, "conv"), in, 3, 1);
    float spread = sqrtf((float)(k * k) * (float)(depth ? 1 : c));
    xg_set_window(xg_nodep(t->g, node), &w);
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_group, depth ? c : 1);
    return grown(t, node, random_quant(t, sx * 0.32f * spread));
}

static uint32_t add(net *t, uint32_t x, uint32_t y) {
    uint32_t in[2] = {x, y}, node = xg_graph_add_node(t->g, XG_OP_Add, fresh(t, "add"), in, 2, 1);
    return grown(t, node, random_quant(t, xg_tensorp(t->g, x)->quant->scale[0]));
}

static uint32_t pool(net *t, uint32_t x) {
    uint32_t node = xg_graph_add_node(t->g, XG_OP_MaxPool, fresh(t, "pool"), &x, 1, 1);
    xg_window w = {2, 2, 2, 2, 1, 1, 0, 0, 0, 0};
    xg_set_window(xg_nodep(t->g, node), &w);
    return grown(t, node, xg_tensorp(t->g, x)->quant);
}

static uint32_t residual(net *t, uint32_t x, uint32_t c) {
    uint32_t y = conv(t, x, 1, 1, false, c / 2);
    y = conv(t, y, 3, 1, false, c / 2);
    return add(t, conv(t, y, 1, 1, false, c), x);
}

static uint32_t inverted(net *t, uint32_t x, uint32_t c) {
    uint32_t y = conv(t, x, 1, 1, false, 4 * c);
    y = conv(t, y, 3, 1, true, 0);
    return add(t, conv(t, y, 1, 1, false, c), x);
}

/* small: maps and channels for a machine of 2 x 4 x 4. */
static xg_graph *network(xg_arena *a, const xg_rqrec *r, uint32_t kind, bool small,
                         uint32_t images) {
    net t = {.a = a, .g = xg_graph_new(a, "blocks"), .r = r, .seed = kind + 1};
    uint32_t c = small ? 16 : 48, size = small ? 16 : 28;
    xg_tensor in = {.name = "x", .dtype = XG_I8, .rank = 4, .producer = XG_NONE};
    in.quant = random_quant(&t, 0.05f);
    in.dim[0] = images, in.dim[1] = in.dim[2] = size, in.dim[3] = small ? 4 : 16;
    uint32_t x = t.made[t.n++] = xg_graph_add_tensor(t.g, &in);
    xg_graph_add_input(t.g, x);
    x = conv(&t, x, 3, 1, false, c);
    for (uint32_t i = 0; i < 3; i++) {
        if (kind != 1) x = residual(&t, x, c);
        if (kind != 0) x = inverted(&t, x, c);
        if (i == 1) x = pool(&t, x);
    }
    x = conv(&t, x, 3, 2, false, 2 * c);
    xg_graph_add_output(t.g, x);
    return t.g;
}

/* ---- predicted and simulated ---- */

typedef struct tally {
    uint32_t programs, groups, good;
    double worst, worst_group;
} tally;

static double off(uint64_t predicted, uint64_t simulated) {
    return fabs((double)predicted / (double)simulated - 1);
}

static void judge_groups(const xg_report *r, tally *sum) {
    for (uint32_t i = 0; i < r->layer.n; i++) {
        const xg_layer_row *l = &r->layer.v[i];
        if (!l->cycles || l->cycles * 100 < r->cycles) continue; /* noise of a few instructions */
        double x = off(l->predicted, l->cycles);
        sum->good += x <= 0.10;
        sum->groups++;
        if (x > sum->worst_group) sum->worst_group = x;
    }
}

static uint64_t one_program(xg_arena *a, const xg_graph *g, const xg_machine *m,
                            const char *strategy, tally *sum) {
    xg_selection sel;
    xg_plan *plan;
    xg_program *prog;
    xg_report r;
    const xg_select_options o = {.strategy = strategy};
    assert_int_equal(xg_plan_best(a, g, m, &o, &sel, &plan), XG_OK);
    assert_int_equal(xg_lower(a, plan, &prog), XG_OK);
    const xg_selection *built = xg_plan_selection(plan);
    xg_report_group *group = xg_newn(a, xg_report_group, built->group.n + 1);
    for (uint32_t i = 0; i < built->group.n; i++) {
        const xg_group *x = &built->group.v[i];
        group[i] = (xg_report_group){x->nnode, x->node, x->host_reason, x->cost_cycles};
    }
    const xg_report_options ro = {
        .model = "blocks", .graph = g, .group = group, .ngroup = built->group.n};
    assert_int_equal(xg_report_make(a, m, prog, &ro, &r), XG_OK);
    const char *what = xg_strf(a, "%s %s %s", g->name, m->name, strategy);
    double x = off(r.predicted, r.cycles);
    if (x > 0.03)
        fprintf(stderr, "%s: %llu cycles predicted, %llu simulated\n", what,
                (unsigned long long)r.predicted, (unsigned long long)r.cycles);
    if (x > sum->worst) sum->worst = x;
    sum->programs++;
    judge_groups(&r, sum);
    return r.cycles;
}

/* No strategy by its name is faster than "ilp", which comes first. */
static void measure(const char *const *machines, uint32_t nmachine, uint32_t images, tally *sum) {
    static const char *const strategies[] = {"ilp", "layer", "greedy", "path"};
    uint64_t least = 0;
    for (uint32_t i = 0; i < nmachine; i++)
        for (uint32_t kind = 0; kind < 3; kind++)
            for (uint32_t s = 0; s < XG_COUNT(strategies); s++) {
                xg_ctx *c = xg_ctx_new();
                xg_arena *a = xg_arena_new(c);
                xg_machine *m;
                assert_int_equal(xg_machine_load(a, machines[i], NULL, &m), XG_OK);
                xg_graph *g = network(a, &m->rq, kind, m->tile.pp < 4, images);
                uint64_t cycles = one_program(a, g, m, strategies[s], sum);
                if (!s) least = cycles;
                assert_true(least <= cycles);
                xg_ctx_free(c);
            }
    printf("%u programs, off by %.2f %% at most; %u of %u groups within 10 %%, the worst off by "
           "%.0f %%\n",
           sum->programs, 100 * sum->worst, sum->good, sum->groups, 100 * sum->worst_group);
}

static uint64_t best_cycles(xg_arena *a, const xg_graph *g, const xg_machine *m,
                            const xg_select_options *o) {
    xg_selection sel;
    xg_plan *plan;
    uint64_t cycles;
    assert_int_equal(xg_plan_best(a, g, m, o, &sel, &plan), XG_OK);
    assert_int_equal(xg_plan_cycles(plan, &cycles), XG_OK);
    return cycles;
}

/* Of large plans less is tried; still none that is asked for by name is faster than "ilp". */
static void large_plans(void **state) {
    (void)state;
    static const char *const strategies[] = {"layer", "greedy", "path"};
    for (uint32_t kind = 0; kind < 3; kind++) {
        xg_ctx *c = xg_ctx_new();
        xg_arena *a = xg_arena_new(c);
        xg_machine *m;
        assert_int_equal(xg_machine_load(a, "nano", NULL, &m), XG_OK);
        xg_graph *g = network(a, &m->rq, kind, false, 1);
        const xg_select_options large = {.strategy = "ilp", .many_tasks = 1};
        uint64_t least = best_cycles(a, g, m, &large);
        for (uint32_t s = 0; s < XG_COUNT(strategies); s++) {
            const xg_select_options o = {.strategy = strategies[s]};
            assert_true(least <= best_cycles(a, g, m, &o));
        }
        xg_ctx_free(c);
    }
}

static void one_core(void **state) {
    (void)state;
    static const char *const machines[] = {"nano", "zu2", "kv260", "edge"};
    tally sum = {0};
    measure(machines, XG_COUNT(machines), 1, &sum);
    assert_true(sum.groups > 200);
    assert_true(sum.worst <= 0.01);
    assert_true(sum.good * 100 >= sum.groups * 99);
}

static void image_a_core(void **state) {
    (void)state;
    static const char *const machines[] = {"zu9"};
    tally sum = {0};
    measure(machines, 1, 3, &sum);
    assert_true(sum.groups > 50);
    assert_true(sum.worst <= 0.03);
    assert_int_equal(sum.good, sum.groups);
}

static void shared_image(void **state) {
    (void)state;
    static const char *const machines[] = {"zu9"};
    tally sum = {0};
    measure(machines, 1, 1, &sum);
    assert_true(sum.groups > 50);
    assert_true(sum.worst <= 0.01);
    assert_int_equal(sum.good, sum.groups);
}

/* A map may have fewer rows than its groups have numbers, when most are on the host. */
static void far_groups(void **state) {
    (void)state;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a = xg_arena_new(c);
    xg_machine *m;
    xg_selection sel;
    xg_plan *plan;
    xg_program *prog;
    xg_report near, far;
    assert_int_equal(xg_machine_load(a, "kv260", NULL, &m), XG_OK);
    const xg_graph *g = network(a, &m->rq, 0, false, 1);
    assert_int_equal(xg_select(a, g, m, "layer", &sel), XG_OK);
    assert_int_equal(xg_plan_make(a, &sel, m, &plan), XG_OK);
    assert_int_equal(xg_lower(a, plan, &prog), XG_OK);
    const xg_report_options o = {.model = "blocks", .graph = g};
    assert_int_equal(xg_report_make(a, m, prog, &o, &near), XG_OK);
    for (uint32_t i = 0; i < prog->map.n; i++) prog->map.v[i].group += prog->map.n;
    assert_int_equal(xg_report_make(a, m, prog, &o, &far), XG_OK);
    assert_true(near.layer.n > 10);
    assert_int_equal(far.layer.n, near.layer.n);
    for (uint32_t i = 0; i < near.layer.n; i++)
        assert_int_equal(far.layer.v[i].cycles, near.layer.v[i].cycles);
    xg_ctx_free(c);
}

/* Odd shapes, host nodes, tiny maps: together within the same limit. */
static void random_networks(void **state) {
    (void)state;
    uint64_t predicted = 0, simulated = 0;
    const char *const *names = xg_machine_names();
    uint32_t count = 0;
    while (names[count]) count++;
    for (uint64_t seed = 0; seed < 60; seed++) {
        xg_ctx *c = xg_ctx_new();
        xg_arena *a = xg_arena_new(c);
        xg_machine *m;
        xg_selection sel;
        xg_plan *plan;
        uint64_t cycles = 0;
        assert_int_equal(xg_machine_load(a, names[seed % count], NULL, &m), XG_OK);
        xg_graph *g = random_net(a, &m->rq, seed, 10);
        if (g && xg_select(a, g, m, "greedy", &sel) == XG_OK &&
            xg_plan_make(a, &sel, m, &plan) == XG_OK) {
            assert_int_equal(xg_plan_cycles(plan, &cycles), XG_OK);
            const xg_selection *built = xg_plan_selection(plan);
            for (uint32_t i = 0; i < built->group.n; i++)
                predicted += built->group.v[i].cost_cycles;
            simulated += cycles;
        }
        xg_ctx_free(c);
    }
    printf("random networks: %llu cycles predicted, %llu simulated\n",
           (unsigned long long)predicted, (unsigned long long)simulated);
    assert_true(simulated > 100000);
    assert_true(off(predicted, simulated) <= 0.03);
}

/* ---- the clock by itself ---- */

typedef struct edge {
    uint32_t from, to;
} edge;

static const xg_task_order *order_of(xg_arena *a, uint32_t n, const edge *e, uint32_t nedge) {
    xg_task_order *o = xg_new(a, xg_task_order);
    *o = (xg_task_order){n, xg_newn(a, uint32_t, n + 1), xg_newn(a, uint32_t, nedge + 1),
                         xg_newn(a, uint32_t, n + 1)};
    for (uint32_t k = 0, at = 0; k < n; k++) {
        for (uint32_t i = 0; i < nedge; i++)
            if (e[i].from == k) o->to[at++] = e[i].to, o->pending[e[i].to]++;
        o->first[k + 1] = at;
    }
    return o;
}

static xg_machine *kv260(xg_ctx *c, xg_arena **a) {
    xg_machine *m;
    *a = xg_arena_new(c);
    assert_int_equal(xg_machine_load(*a, "kv260", NULL, &m), XG_OK);
    return m;
}

enum { LOAD = XG_TILE_LOAD, CONV = XG_TILE_CONV, MISC = XG_TILE_MISC, SAVE = XG_TILE_SAVE };
#define WORK(e, n)                                                                                 \
    { .engine = (e), .ninst = 1, .cycles = (n), .alone = (n) }

/* Two tiles: loads wait for nobody, computations for their load, the save for its computation. */
static void overlap(void **state) {
    (void)state;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a;
    const xg_machine *m = kv260(c, &a);
    const xg_task_cost cost[] = {WORK(LOAD, 100), WORK(CONV, 300), WORK(LOAD, 100),
                                 WORK(CONV, 300), WORK(SAVE, 50),  WORK(SAVE, 50)};
    const edge free_edges[] = {{0, 1}, {1, 4}, {2, 3}, {3, 5}};
    uint64_t start[6], end[6];
    xg_clock_core k = {6, cost, order_of(a, 6, free_edges, 4), start, end};
    assert_int_equal(xg_clock_run(a, m, &k, 1), 100 + 300 + 300 + 50);
    assert_int_equal(end[0], 100);
    assert_int_equal(start[3], 400);
    assert_int_equal(end[4], 450);
    /* one buffer for both loads: the second waits until the first tile is computed */
    const edge tight[] = {{0, 1}, {1, 4}, {2, 3}, {3, 5}, {1, 2}};
    k.order = order_of(a, 6, tight, 5);
    assert_int_equal(xg_clock_run(a, m, &k, 1), 100 + 300 + 100 + 300 + 50);
    xg_ctx_free(c);
}

/* Tasks that wait for each other do not run; the others do. */
static void circle(void **state) {
    (void)state;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a;
    const xg_machine *m = kv260(c, &a);
    const xg_task_cost cost[] = {WORK(CONV, 300), WORK(MISC, 50), WORK(LOAD, 100), WORK(LOAD, 100)};
    const edge round[] = {{0, 1}, {1, 0}};
    uint64_t start[4], end[4];
    xg_clock_core k = {4, cost, order_of(a, 4, round, 2), start, end};
    assert_int_equal(xg_clock_run(a, m, &k, 1), 200 + 2 * m->tile.dispatch);
    assert_true(end[1] == UINT64_MAX);
    assert_int_equal(end[3], 200 + 2 * m->tile.dispatch);
    xg_ctx_free(c);
}

/* A load and a save share the DDR while both move, and all cores' do. */
static void shared_bus(void **state) {
    (void)state;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a;
    const xg_machine *m = kv260(c, &a);
    xg_task_cost cost[] = {WORK(LOAD, 1000), WORK(SAVE, 1000)};
    cost[0].ddr_x65536 = cost[1].ddr_x65536 = 1000 << 16;
    uint64_t time[3][2][2];
    xg_clock_core k[3];
    for (int i = 0; i < 3; i++)
        k[i] = (xg_clock_core){2, cost, order_of(a, 2, NULL, 0), time[i][0], time[i][1]};
    uint64_t dispatch = 2 * m->tile.dispatch;
    assert_in_range(xg_clock_run(a, m, k, 1), 2000, 2000 + dispatch);
    assert_in_range(xg_clock_run(a, m, k, 3), 6000, 6010 + dispatch);
    xg_ctx_free(c);
}

/* Who finishes early waits at an AWAIT for the SIGNAL of the slowest core. */
static void cores_meet(void **state) {
    (void)state;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a;
    const xg_machine *m = kv260(c, &a);
    const edge e[] = {{0, 1}, {2, 3}};
    uint64_t time[2][2][4];
    xg_clock_core k[2];
    for (uint64_t i = 0; i < 2; i++) {
        xg_task_cost cost[] = {WORK(CONV, 100 + 400 * i), WORK(SAVE, 1), WORK(LOAD, 1),
                               WORK(CONV, 10)};
        cost[1].signal = true;
        cost[2].await = 1;
        k[i] = (xg_clock_core){4, xg_memdup(a, cost, sizeof cost), order_of(a, 4, e, 2), time[i][0],
                               time[i][1]};
    }
    assert_int_equal(xg_clock_run(a, m, k, 2), 500 + 1 + 1 + 10);
    assert_int_equal(k[0].finish[1], 101);
    assert_int_equal(k[0].start[2], 501);
    xg_ctx_free(c);
}

/* Two engines at work share a cycle, whoever is waited for gets the others; nothing is lost. */
static void booking(void **state) {
    (void)state;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a = xg_arena_new(c);
    uint64_t cycles[3] = {0};
    xg_work work[] = {{40, 60, 2}, {10, 20, 0}, {15, 30, 1}, {70, 70, 0}};
    xg_book_cycles(a, work, 4, 100, cycles);
    /* 0: [10, 15) and half of [15, 20), waited for [0, 10), [60, 70) and, last to compute, the end
     */
    assert_int_equal(cycles[1] + cycles[0], 10 + 10 + 10 + 40);
    assert_in_range(cycles[1], 12, 13);
    assert_int_equal(cycles[2], 10 + 20);
    uint64_t thirds[3] = {0};
    xg_work same[] = {{0, 10, 0}, {0, 10, 1}, {0, 10, 2}};
    xg_book_cycles(a, same, 3, 10, thirds);
    assert_int_equal(thirds[0] + thirds[1] + thirds[2], 10);
    assert_in_range(thirds[2], 3, 4);
    xg_book_cycles(a, same, 0, 10, thirds); /* nobody computes: nobody gets it */
    assert_int_equal(thirds[0] + thirds[1] + thirds[2], 10);
    xg_ctx_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(booking),      cmocka_unit_test(overlap),
        cmocka_unit_test(shared_bus),   cmocka_unit_test(circle),
        cmocka_unit_test(cores_meet),   cmocka_unit_test(one_core),
        cmocka_unit_test(image_a_core), cmocka_unit_test(shared_image),
        cmocka_unit_test(far_groups),   cmocka_unit_test(random_networks),
        cmocka_unit_test(large_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
