/* Measured swaps: a plan of single layers becomes a faster one whose program is right; the same
 * one again; none without a budget. */
#include "layout/climb.h"
#include "layout/clock.h"

#include "strategy_test.h"

enum { LAYERS = 5 };

static const xg_graph *network(xg_test *t, const xg_machine *m) {
    net n = {.a = t->a, .g = xg_graph_new(t->a, "net"), .r = &m->rq, .seed = 4711};
    const xg_quant *q = xg_quant_scalar(t->a, 0.25f, 0);
    xg_tensor x = {.name = "x",
                   .dtype = XG_I8,
                   .rank = 4,
                   .dim = {1, 20, 20, 16},
                   .producer = XG_NONE,
                   .quant = q};
    uint32_t y = xg_graph_add_tensor(n.g, &x);
    xg_graph_add_input(n.g, y);
    for (uint32_t i = 0; i < LAYERS; i++) {
        y = conv(&n, y, i % 2 ? 1 : 3, 1, 16, q);
        assert_int_not_equal(y, XG_NONE);
    }
    xg_graph_add_output(n.g, y);
    return n.g;
}

typedef struct climbed {
    xg_measured best;
    uint64_t before;
    const char *text; /* of the selection */
} climbed;

static climbed climb_from(xg_test *t, const xg_graph *g, const xg_machine *m, uint64_t budget) {
    xg_selection *layer = xg_new(t->a, xg_selection);
    xg_solver *solver;
    xg_plan *plan;
    climbed r = {0};
    const xg_select_options o = {.strategy = "ilp"};
    assert_ok(t->c, xg_select(t->a, g, m, "layer", layer));
    assert_ok(t->c, xg_plan_make(xg_arena_new(t->c), layer, m, &plan));
    assert_ok(t->c, xg_plan_cycles(plan, &r.before));
    assert_ok(t->c, xg_solver_new(t->a, g, m, &o, &solver));
    r.best = (xg_measured){plan, r.before, 0};
    xg_climb(m, solver, budget, &r.best);
    xg_buf text = {.arena = t->a};
    xg_selection_print(r.best.plan->sel, &text);
    r.text = text.p;
    return r;
}

static void test_faster(void **state) {
    xg_test *t = *state;
    static const char *const names[] = {"nano", "zu2", "edge"};
    for (uint32_t i = 0; i < XG_COUNT(names); i++) {
        const xg_machine *m = load_machine(t, names[i]);
        const xg_graph *g = network(t, m);
        climbed x = climb_from(t, g, m, 20000), again = climb_from(t, g, m, 20000);
        uint64_t cycles;
        assert_ok(t->c, xg_plan_cycles(x.best.plan, &cycles));
        assert_int_equal(cycles, x.best.cycles);
        assert_true(x.best.swaps > 0);
        assert_true(cycles < x.before);
        xg_selection sel = *x.best.plan->sel;
        (void)check_program(t, g, m, &sel);
        assert_int_equal(again.best.cycles, cycles);
        assert_string_equal(again.text, x.text);
    }
}

static void test_budget(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "edge");
    const xg_graph *g = network(t, m);
    climbed none = climb_from(t, g, m, 0), one = climb_from(t, g, m, 1),
            all = climb_from(t, g, m, 20000);
    assert_int_equal(none.best.swaps, 0);
    assert_int_equal(none.best.cycles, none.before);
    assert_true(one.best.swaps <= 1);
    assert_true(all.best.swaps > 1);
}

/* What is built already is no swap, every other one is legal, and leaves no group of its own
 * making. */
static void test_list(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "edge");
    const xg_graph *g = network(t, m);
    const xg_select_options o = {.strategy = "ilp"};
    xg_solver *solver;
    xg_plan *plan;
    xg_selection layer, sel;
    xg_swaps list = {0};
    assert_ok(t->c, xg_solver_new(t->a, g, m, &o, &solver));
    assert_ok(t->c, xg_select(t->a, g, m, "layer", &layer));
    assert_ok(t->c, xg_plan_make(t->a, &layer, m, &plan));
    xg_solver_swaps(solver, t->a, plan->sel, &list);
    assert_true(list.n > 0);
    for (uint32_t i = 0; i < list.n; i++) {
        assert_true(list.v[i].candidate < xg_solver_candidates(solver));
        assert_true(!i || list.v[i - 1].saves >= list.v[i].saves);
        assert_ok(t->c, xg_solver_swap(solver, t->a, plan->sel, &list.v[i], &sel));
        assert_ok(t->c, xg_selection_check(t->a, &sel, m));
        uint32_t several = 0;
        for (uint32_t k = 0; k < sel.group.n; k++) several += sel.group.v[k].nnode > 1;
        assert_int_equal(several, 1);
    }
}

int main(void) {
    (void)random_net;
    const struct CMUnitTest tests[] = {TEST(test_faster), TEST(test_budget), TEST(test_list)};
    return cmocka_run_group_tests_name("climb", tests, NULL, NULL) != 0;
}
