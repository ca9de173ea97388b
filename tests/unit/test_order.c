/* The order of tasks, strategies near a given one, and a tail that cores share by channels. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "xg_test.h"

#include "small_net.h"

#include "layout/order.h"
#include "validate/check.h"

static xg_graph *net(xg_test *t, int64_t batch) {
    xg_graph *g = small_net(t->a, batch);
    assert_ok(t->c, xg_graph_infer(t->c, g));
    assert_ok(t->c, xg_graph_verify(t->c, g));
    return g;
}

static void assert_equal(xg_test *t, const xg_graph *g, const xg_machine *m,
                         const xg_selection *s) {
    xg_plan *plan;
    xg_program *program;
    xg_check_result r;
    xg_check_options o = {.fill = (const char *const[]){"random:5"}, .nfill = 1};
    assert_ok(t->c, xg_selection_check(t->a, s, m));
    assert_ok(t->c, xg_plan_make(t->a, s, m, &plan));
    assert_ok(t->c, xg_lower(t->a, plan, &program));
    assert_ok(t->c, xg_check(t->a, m, g, program, &o, &r));
    assert_true(r.equal);
}

/* Wherever the tail begins, on fewer and more images than cores, the program is right. */
static void every_tail_is_right(void **state) {
    xg_test *t = *state;
    static const char *const strategy[] = {"layer", "greedy", "ilp"};
    static const int64_t batch[] = {3, 4, 7};
    uint32_t shared = 0;
    for (size_t b = 0; b < XG_COUNT(batch); b++)
        for (size_t s = 0; s < XG_COUNT(strategy); s++) {
            xg_graph *g = net(t, batch[b]);
            xg_machine *m;
            xg_selection sel, tail;
            assert_ok(t->c, xg_machine_load(t->a, "zu9", NULL, &m));
            assert_ok(t->c, xg_select(t->a, g, m, strategy[s], &sel));
            for (uint32_t k = 0; k <= sel.group.n; k++) {
                bool made = xg_share_tail(t->a, &sel, m, k, &tail);
                assert_int_equal(made, k < sel.group.n);
                if (!made) continue;
                for (uint32_t i = k; i < tail.group.n; i++)
                    shared += tail.group.v[i].strategy.split == XG_SPLIT_CHANNELS;
                assert_equal(t, g, m, &tail);
            }
        }
    assert_true(shared > 100);
}

/* One core, or groups that are split otherwise: there is no tail to share. */
static void no_tail(void **state) {
    xg_test *t = *state;
    static const char *const machine[] = {"kv260", "zu9"};
    for (size_t i = 0; i < XG_COUNT(machine); i++) {
        xg_graph *g = net(t, 1);
        xg_machine *m;
        xg_selection sel;
        assert_ok(t->c, xg_machine_load(t->a, machine[i], NULL, &m));
        assert_ok(t->c, xg_select(t->a, g, m, "layer", &sel));
        assert_int_equal(xg_tail_border(&sel, m), sel.group.n);
    }
}

/* In the order as made every task comes after those that it depends on, and no task is lost. */
static void order_keeps_dependencies(void **state) {
    xg_test *t = *state;
    static const char *const machine[] = {"nano", "kv260", "zu9"};
    uint32_t edges = 0;
    for (size_t i = 0; i < XG_COUNT(machine); i++) {
        xg_graph *g = net(t, 2);
        xg_machine *m;
        xg_selection sel;
        xg_plan *p;
        assert_ok(t->c, xg_machine_load(t->a, machine[i], NULL, &m));
        assert_ok(t->c, xg_select(t->a, g, m, "greedy", &sel));
        assert_ok(t->c, xg_plan_make(t->a, &sel, m, &p));
        for (uint32_t c = 0; c < m->cores; c++) {
            const xg_core_plan *core = &p->segment.v[0].core[c];
            xg_task_order o;
            xg_task_depend(p, core, 0, t->a, &o);
            assert_int_equal(o.nnode, core->task.n + 2 * core->buffer.n);
            for (uint32_t k = 0; k < core->task.n; k++)
                for (uint32_t e = o.first[k]; e < o.first[k + 1]; e++, edges++)
                    if (o.to[e] < core->task.n) assert_true(o.to[e] > k);
            for (uint32_t b = 0; b < core->buffer.n; b++)
                assert_true(core->buffer.v[b].first <= core->buffer.v[b].last);
        }
    }
    assert_true(edges > 200);
}

/* All of a group's neighbours are strategies that a selection may have, other than its own. */
static void neighbours_are_possible(void **state) {
    xg_test *t = *state;
    xg_graph *g = net(t, 1);
    xg_machine *m;
    xg_selection sel;
    uint32_t tried = 0;
    assert_ok(t->c, xg_machine_load(t->a, "nano", NULL, &m));
    assert_ok(t->c, xg_select(t->a, g, m, "layer", &sel));
    for (uint32_t i = 0; i < sel.group.n; i++) {
        xg_group *grp = &sel.group.v[i];
        xg_tile_kind kind = xg_node_tile_kind(g, xg_nodep(g, grp->node[0]));
        if (grp->where != XG_ON_ACCEL || kind == XG_TK_VIEW || kind == XG_TK_CONCAT) continue;
        xg_strategy near[XG_NEIGHBOURS], own = grp->strategy;
        uint32_t n = xg_strategy_neighbours(g, m, grp, near);
        assert_in_range(n, 1, XG_NEIGHBOURS);
        for (uint32_t k = 0; k < n; k++, tried++) {
            assert_memory_not_equal(&near[k], &own, sizeof own);
            grp->strategy = near[k];
            assert_equal(t, g, m, &sel);
        }
        grp->strategy = own;
    }
    assert_true(tried > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(every_tail_is_right), TEST(no_tail),
                                       TEST(order_keeps_dependencies),
                                       TEST(neighbours_are_possible)};
    return cmocka_run_group_tests_name("order", tests, NULL, NULL) != 0;
}
