/* For tests of execution strategies: convolutions for a network, and a selection carried through to
 * the check of its program. */
#ifndef STRATEGY_TEST_H
#define STRATEGY_TEST_H

#include "layout/plan_types.h"
#include "validate/check.h"

#include "random_net.h"
#include "xg_test.h"

static inline uint32_t conv(net *t, uint32_t x, int32_t k, int32_t s, uint32_t o,
                            const xg_quant *q) {
    uint32_t c = (uint32_t)xg_tensorp(t->g, x)->dim[3];
    xg_window w = {k, k, s, s, 1, 1, k / 2, k / 2, k / 2, k / 2};
    bool zp;
    uint32_t in[3] = {x, random_weights(t, o, &w, c, &zp), XG_NONE};
    in[2] = random_bias(t, o, x, in[1]);
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Conv, fresh(t, "conv"), in, 3, 1);
    uint32_t y = out_of(t, node, q);
    xg_set_window(xg_nodep(t->g, node), &w);
    return keep(t, node, y) ? y : XG_NONE;
}

static inline const xg_machine *load_machine(xg_test *t, const char *name) {
    xg_machine *m;
    assert_ok(t->c, xg_machine_load(t->a, name, NULL, &m));
    return m;
}

/* Returns how many tensors stay on chip: the planner may find no room for one. */
static inline uint32_t check_program(xg_test *t, const xg_graph *g, const xg_machine *m,
                                     xg_selection *s) {
    xg_plan *plan;
    xg_program *prog;
    xg_check_result r = {0};
    static const char *const fill = "random";
    xg_check_options o = {.fill = &fill, .nfill = 1, .seed = 3};
    assert_ok(t->c, xg_selection_check(t->a, s, m));
    assert_ok(t->c, xg_plan_make(t->a, s, m, &plan));
    assert_ok(t->c, xg_lower(t->a, plan, &prog));
    assert_ok(t->c, xg_check(t->a, m, g, prog, &o, &r));
    xg_buf text = {.arena = t->a};
    xg_check_print_text(&r, true, &text);
    if (!r.equal) fail_msg("%s", text.p);
    uint32_t stay = 0;
    for (uint32_t i = 0; i < g->tensor.n; i++) stay += plan->place[i].stays;
    return stay;
}

#endif
