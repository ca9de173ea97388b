/* Batched groups: all images of a core pass a group before the next one begins. Its weights are
 * loaded once a core, the estimate knows it, and every element is the interpreter's. */
#include "fusion/estimate.h"

#include "strategy_test.h"

enum { IMAGES = 5, LAYERS = 3 };

/* Three convolutions, side x side. */
static const xg_graph *network(xg_test *t, const xg_machine *m, int64_t side, uint32_t channels) {
    net n = {.a = t->a, .g = xg_graph_new(t->a, "net"), .r = &m->rq, .seed = 4711};
    const xg_quant *q = xg_quant_scalar(t->a, 0.25f, 0);
    xg_tensor x = {.name = "x",
                   .dtype = XG_I8,
                   .rank = 4,
                   .dim = {IMAGES, side, side, channels},
                   .producer = XG_NONE,
                   .quant = q};
    uint32_t y = xg_graph_add_tensor(n.g, &x);
    xg_graph_add_input(n.g, y);
    for (uint32_t i = 0; i < LAYERS; i++) {
        y = conv(&n, y, side > 1 ? 3 : 1, 1, channels, q);
        assert_int_not_equal(y, XG_NONE);
    }
    xg_graph_add_output(n.g, y);
    return n.g;
}

static uint64_t loaded_weights(const xg_plan *p, uint32_t core) {
    uint64_t bytes = 0;
    const xg_core_plan *c = &p->segment.v[0].core[core];
    for (uint32_t i = 0; i < c->task.n; i++)
        if (c->task.v[i].kind == XG_TASK_LOADC) bytes += p->piece.v[c->task.v[i].piece].bytes;
    return bytes;
}

static uint64_t all_pieces(const xg_plan *p) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->piece.n; i++) bytes += p->piece.v[i].bytes;
    return bytes;
}

static uint64_t estimated_weights(const xg_selection *s, const xg_machine *m) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->group.n; i++) {
        xg_estimate e;
        xg_estimate_group(s->graph, m, &s->group.v[i], &s->group.v[i].strategy, NULL, &e);
        bytes += e.weight_bytes / m->cores;
    }
    return bytes;
}

/* Image by image each core loads all weights for each of its images; batched it loads them once,
 * block after block of channels or all of a group together. Not all groups are batched in `mixed`:
 * the images of the others pass them one by one between. */
static void test_loaded_once(void **state) {
    xg_test *t = *state;
    static const char *const names[] = {"nano", "zu9", "edge"};
    for (uint32_t k = 0; k < XG_COUNT(names); k++)
        for (uint32_t way = 0; way < 4; way++) {
            const xg_machine *m = load_machine(t, names[k]);
            const xg_graph *g = network(t, m, 9, 16);
            xg_selection s;
            xg_plan *p;
            assert_ok(t->c, xg_select(t->a, g, m, "layer", &s));
            for (uint32_t i = 0; i < s.group.n; i++)
                s.group.v[i].strategy =
                    (xg_strategy){.tile_h = m->tile.pp,
                                  .tile_oc = way == 1 ? 16 : 0,
                                  .order = way == 1 ? XG_WEIGHT_STATIONARY : XG_MAP_STATIONARY,
                                  .weights_resident = way != 1,
                                  .batched = way < 2 || (way == 2 && i == 1)};
            (void)check_program(t, g, m, &s);
            assert_ok(t->c, xg_plan_make_as(t->a, &s, m, false, &p));
            uint64_t once = all_pieces(p), loaded = loaded_weights(p, 0);
            uint32_t rounds = (uint32_t)xg_ceil_div(IMAGES, m->cores);
            if (way < 2) assert_int_equal(loaded, once);
            if (way == 2) assert_int_equal(loaded * LAYERS, once * (1 + (LAYERS - 1) * rounds));
            if (way == 3) assert_int_equal(loaded, once * rounds);
            assert_int_equal(estimated_weights(&s, m), loaded);
        }
}

/* Dense layers: nothing but weights. The solver takes them batched, and that is faster. */
static void test_chosen(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "kv260");
    const xg_graph *g = network(t, m, 1, 512);
    uint64_t cycles[2];
    for (uint32_t i = 0; i < 2; i++) {
        xg_selection s;
        xg_plan *p;
        xg_select_options o = {.strategy = "ilp", .image_by_image = i};
        uint32_t batched = 0;
        assert_ok(t->c, xg_select_with(t->a, g, m, &o, &s));
        for (uint32_t k = 0; k < s.group.n; k++) batched += s.group.v[k].strategy.batched;
        assert_int_equal(batched, i ? 0 : s.group.n);
        assert_ok(t->c, xg_plan_make(t->a, &s, m, &p));
        assert_ok(t->c, xg_plan_cycles(p, &cycles[i]));
    }
    assert_true(cycles[0] * 3 < cycles[1]);
}

/* Neither what it makes nor what it reads stays, and the field survives print and parse. */
static void test_rules(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "zu9");
    const xg_graph *g = network(t, m, 9, 16);
    xg_selection s, again;
    xg_buf text = {.arena = t->a};
    assert_ok(t->c, xg_select(t->a, g, m, "layer", &s));
    for (uint32_t i = 0; i < LAYERS; i++) s.group.v[i].strategy.batched = i == 1;
    const bool *may = xg_may_stay(&s, m, t->a);
    for (uint32_t i = 0; i < LAYERS; i++) assert_false(may[xg_nodep(g, i)->out[0]] && i == 1);
    s.on_chip = xg_newn(t->a, bool, g->tensor.n);
    s.on_chip[xg_nodep(g, 0)->out[0]] = true; /* read by a batched group: then in DDR too */
    assert_true(xg_needs_ddr(&s, t->a)[xg_nodep(g, 0)->out[0]]);
    (void)check_program(t, g, m, &s);
    xg_selection_print(&s, &text);
    assert_ok(t->c, xg_selection_parse(t->a, g, "a.sel", text.p, text.n, &again));
    for (uint32_t i = 0; i < LAYERS; i++)
        assert_int_equal(again.group.v[i].strategy.batched, i == 1);
    s.group.v[1].strategy.split = XG_SPLIT_ROWS;
    s.on_chip = NULL;
    assert_status(t->c, xg_selection_check(t->a, &s, m), XG_INPUT);
    assert_said(t->c, "batched");
}

int main(void) {
    (void)random_net;
    const struct CMUnitTest tests[] = {TEST(test_loaded_once), TEST(test_chosen), TEST(test_rules)};
    return cmocka_run_group_tests_name("batched", tests, NULL, NULL) != 0;
}
