/* Groups with several results: what is legal, that the shared input is loaded once, and that every
 * place of a result gives the interpreter's values. */
#include "fusion/ilp.h"

#include "strategy_test.h"

/* Nodes of the network below. */
enum { STEM, LEFT, RIGHT, POOL, PROJECT, JOIN, NEXT, BESIDE, SMALL, SUM, NODES };

static uint32_t two(net *t, xg_op op, uint32_t x, uint32_t y) {
    uint32_t in[2] = {x, y};
    uint32_t node = xg_graph_add_node(t->g, op, fresh(t, "node"), in, y == XG_NONE ? 1 : 2, 1);
    uint32_t z = out_of(t, node, xg_tensorp(t->g, x)->quant);
    xg_window w = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
    if (op == XG_OP_MaxPool) xg_set_window(xg_nodep(t->g, node), &w);
    if (op == XG_OP_Concat) xg_set_ai(xg_nodep(t->g, node), XG_ATTR_axis, 3);
    return keep(t, node, z) ? z : XG_NONE;
}

/* stem -> left (1x1), right (3x3), pool -> project, beside, small (stride 2)
 * join = concat(left, right); next = conv(left); sum = next + beside */
static const xg_graph *network(xg_test *t, const xg_machine *m) {
    net n = {.a = t->a, .g = xg_graph_new(t->a, "net"), .r = &m->rq, .seed = 4711};
    const xg_quant *q = xg_quant_scalar(t->a, 0.25f, 0);
    xg_tensor x = {.name = "x", .dtype = XG_I8, .rank = 4, .dim = {1, 19, 17, 8}, .quant = q};
    x.producer = XG_NONE;
    uint32_t in = xg_graph_add_tensor(n.g, &x), y[NODES];
    xg_graph_add_input(n.g, in);
    y[STEM] = conv(&n, in, 3, 1, 16, q);
    y[LEFT] = conv(&n, y[STEM], 1, 1, 32, q);
    y[RIGHT] = conv(&n, y[STEM], 3, 1, 24, q);
    y[POOL] = two(&n, XG_OP_MaxPool, y[STEM], XG_NONE);
    y[PROJECT] = conv(&n, y[POOL], 1, 1, 16, q);
    y[JOIN] = two(&n, XG_OP_Concat, y[LEFT], y[RIGHT]);
    y[NEXT] = conv(&n, y[LEFT], 1, 1, 16, q);
    y[BESIDE] = conv(&n, y[STEM], 3, 1, 16, q);
    y[SMALL] = conv(&n, y[STEM], 3, 2, 16, q);
    y[SUM] = two(&n, XG_OP_Add, y[NEXT], y[BESIDE]);
    for (uint32_t i = 0; i < NODES; i++) assert_int_not_equal(y[i], XG_NONE);
    static const uint32_t outputs[] = {PROJECT, JOIN, SMALL, SUM};
    for (uint32_t i = 0; i < XG_COUNT(outputs); i++) xg_graph_add_output(n.g, y[outputs[i]]);
    return n.g;
}

static uint32_t out_of_node(const xg_graph *g, uint32_t node) {
    return xg_nodep(g, node)->out[0];
}

/* A group of these nodes before the first group that has one of them; the others alone. */
static xg_selection with_group(xg_test *t, const xg_graph *g, const xg_machine *m,
                               const uint32_t *node, uint32_t n) {
    xg_selection s, all;
    assert_ok(t->c, xg_select(t->a, g, m, "layer", &all));
    s = all;
    memset(&s.group, 0, sizeof s.group);
    xg_group grp = {.nnode = n, .node = node, .where = XG_ON_ACCEL, .pattern = "test"};
    xg_estimate e;
    xg_group_find_results(t->a, g, &grp);
    assert_true(xg_best_strategy(g, m, &grp, NULL, &grp.strategy, &e));
    bool done = false;
    for (uint32_t i = 0; i < all.group.n; i++) {
        bool mine = false;
        for (uint32_t k = 0; k < n; k++) mine |= all.group.v[i].node[0] == node[k];
        if (!mine) xg_push(t->a, &s.group, all.group.v[i]);
        if (mine && !done) xg_push(t->a, &s.group, grp);
        done |= mine;
    }
    return s;
}

/* ---- what is legal ---- */

static void judge(xg_test *t, const xg_graph *g, const xg_machine *m, const uint32_t *node,
                  uint32_t n, const char *fault) {
    xg_selection s = with_group(t, g, m, node, n);
    assert_status(t->c, xg_selection_check(t->a, &s, m), fault ? XG_INPUT : XG_OK);
    if (fault) assert_said(t->c, fault);
}

static void test_legal(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "nano");
    const xg_graph *g = network(t, m);
    judge(t, g, m, (uint32_t[]){LEFT, RIGHT}, 2, NULL);
    judge(t, g, m, (uint32_t[]){LEFT, RIGHT, BESIDE}, 3, NULL);
    judge(t, g, m, (uint32_t[]){RIGHT, POOL, PROJECT}, 3, NULL);
    judge(t, g, m, (uint32_t[]){PROJECT, BESIDE}, 2, NULL); /* no shared input, but possible */
    judge(t, g, m, (uint32_t[]){LEFT, SMALL}, 2, "results' maps differ in size");
    judge(t, g, m, (uint32_t[]){LEFT, RIGHT, NEXT}, 3, "read outside the group");
    judge(t, g, m, (uint32_t[]){LEFT, SUM}, 2, "from which it reads");
    xg_selection s = with_group(t, g, m, (uint32_t[]){LEFT, RIGHT}, 2);
    for (uint32_t i = 0; i < s.group.n; i++)
        if (s.group.v[i].nnode > 1) s.group.v[i].strategy.split = XG_SPLIT_CHANNELS;
    assert_status(t->c, xg_selection_check(t->a, &s, m), XG_INPUT);
    assert_said(t->c, "neither split by channels nor folded");
    s = with_group(t, g, m, (uint32_t[]){LEFT, RIGHT}, 2);
    for (uint32_t i = 0; i < s.group.n; i++) s.group.v[i].nresult = 0; /* as if it had one */
    assert_status(t->c, xg_selection_check(t->a, &s, m), XG_INPUT);
}

/* a -> c, d -> b: neither of {a, b} and {c, d} can run first. */
static void test_cycle(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "nano");
    net n = {.a = t->a, .g = xg_graph_new(t->a, "net"), .r = &m->rq, .seed = 1};
    const xg_quant *q = xg_quant_scalar(t->a, 0.25f, 0);
    xg_tensor x = {.name = "x", .dtype = XG_I8, .rank = 4, .dim = {1, 8, 8, 8}, .quant = q};
    x.producer = XG_NONE;
    uint32_t in = xg_graph_add_tensor(n.g, &x);
    xg_graph_add_input(n.g, in);
    uint32_t a = conv(&n, in, 1, 1, 8, q), d = conv(&n, in, 1, 1, 8, q);
    xg_graph_add_output(n.g, conv(&n, a, 1, 1, 8, q));
    xg_graph_add_output(n.g, conv(&n, d, 1, 1, 8, q));
    for (uint32_t first = 0; first < 2; first++) {
        static const uint32_t pair[2][2] = {{0, 3}, {1, 2}};
        xg_selection s = {.graph = n.g, .strategy = "test", .note = ""};
        for (uint32_t i = 0; i < 2; i++) {
            xg_group grp = {.nnode = 2,
                            .node = pair[first ? 1 - i : i],
                            .where = XG_ON_ACCEL,
                            .pattern = "test"};
            xg_group_find_results(t->a, n.g, &grp);
            assert_int_equal(grp.nresult, 2);
            xg_push(t->a, &s.group, grp);
        }
        assert_status(t->c, xg_selection_check(t->a, &s, m), XG_INPUT);
        assert_said(t->c, "from which it reads");
    }
}

/* ---- the shared input ---- */

/* Loads of the tensor by group gi (XG_NONE: by all), and that group's tiles. */
static uint32_t loads_of(const xg_plan *p, uint32_t tensor, uint32_t gi, uint32_t *tiles) {
    uint32_t n = 0;
    const xg_core_plan *core = &p->segment.v[0].core[0];
    *tiles = 0;
    for (uint32_t i = 0; i < core->task.n; i++) {
        const xg_task *k = &core->task.v[i];
        if (gi != XG_NONE && k->group != gi) continue;
        n += k->kind == XG_TASK_LOAD && k->tensor == tensor;
        if (k->tile >= *tiles) *tiles = k->tile + 1;
    }
    return n;
}

static void test_loaded_once(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "nano");
    const xg_graph *g = network(t, m);
    static const uint32_t node[] = {LEFT, RIGHT, BESIDE};
    uint32_t stem = out_of_node(g, STEM), tiles, all, gi = 0;
    xg_selection s = with_group(t, g, m, node, 3), apart;
    while (s.group.v[gi].nnode == 1) gi++;
    s.group.v[gi].strategy = (xg_strategy){.tile_h = 4};
    xg_plan *p;
    assert_ok(t->c, xg_plan_make(t->a, &s, m, &p));
    uint32_t mine = loads_of(p, stem, gi, &tiles);
    assert_int_equal(mine, tiles);
    assert_true(tiles > 2);
    all = loads_of(p, stem, XG_NONE, &tiles);
    assert_ok(t->c, xg_select(t->a, g, m, "layer", &apart));
    assert_ok(t->c, xg_plan_make(t->a, &apart, m, &p));
    assert_true(all < loads_of(p, stem, XG_NONE, &tiles));
}

/* Of one tile of 4 x 17: the stem's 6 rows once, and three results of 32, 24 and 16 channels. */
static void test_estimate(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "nano");
    const xg_graph *g = network(t, m);
    static const uint32_t node[] = {LEFT, RIGHT, BESIDE};
    xg_group grp = {.nnode = 3, .node = node, .where = XG_ON_ACCEL};
    xg_group_find_results(t->a, g, &grp);
    xg_strategy s = {.tile_h = 4};
    xg_parts p;
    xg_estimate_parts(g, m, &grp, &s, &p);
    assert_true(p.valid);
    assert_int_equal(p.times, 5);
    assert_int_equal(p.nin, 1);
    assert_int_equal(p.in[0].bytes, 5 * 6 * 17 * 16);
    assert_int_equal(p.nout, 3);
    static const uint32_t channels[] = {32, 24, 16};
    for (uint32_t k = 0; k < 3; k++) assert_int_equal(p.out[k].bytes, 5 * 4 * 17 * channels[k]);
    xg_estimate all, chip;
    xg_estimate_sum(m, &p, 0, 0, 7, m->tile.fm_depth, &all);
    xg_estimate_sum(m, &p, 0, 2, 5, m->tile.fm_depth, &chip);
    assert_int_equal(all.map_bytes - chip.map_bytes, 5 * 4 * 17 * 24);
    assert_int_equal(all.fm_words - chip.fm_words, p.out[1].fm);
}

/* ---- every place of the results ---- */

/* Left and right lie in the concat's result, in DDR or on chip; beside is by itself. */
static void test_places(void **state) {
    xg_test *t = *state;
    uint32_t wanted = 0, stay = 0;
    for (const char *const *name = xg_machine_names(); *name; name++) {
        const xg_machine *m = load_machine(t, *name);
        const xg_graph *g = network(t, m);
        static const uint32_t node[] = {LEFT, RIGHT, BESIDE};
        uint32_t left = out_of_node(g, LEFT), right = out_of_node(g, RIGHT),
                 beside = out_of_node(g, BESIDE), join = out_of_node(g, JOIN);
        for (uint32_t places = 0; places < 16; places++) {
            xg_selection s = with_group(t, g, m, node, 3);
            const bool *may = xg_may_stay(&s, m, t->a);
            s.on_chip = xg_newn(t->a, bool, g->tensor.n);
            s.on_chip[left] = may[left] && places & 1;
            s.on_chip[right] = may[right] && places & 2;
            s.on_chip[beside] = may[beside] && places & 4;
            s.on_chip[join] = may[join] && (places & 11) == 11;
            assert_true(m->cores > 1 || may[left]);
            for (uint32_t i = 0; i < g->tensor.n; i++) wanted += s.on_chip[i];
            stay += check_program(t, g, m, &s);
        }
    }
    assert_true(wanted > 50 && stay * 3 > wanted * 2);
}

/* ---- columns of the 0-1 program ---- */

static bool reads(const xg_cand *c, const xg_var *v, uint32_t tensor) {
    for (uint32_t k = 0; k < c->nin; k++)
        if (c->in[k] == tensor) return v->chip_in >> k & 1;
    return false;
}

/* The cheapest column of a node alone, its result in DDR, the stem on chip or not; -1: none. */
static int64_t alone(const xg_ilp *s, uint32_t node, bool chip) {
    int64_t least = -1;
    for (uint32_t i = 0; i < s->var.n; i++) {
        const xg_var *v = &s->var.v[i];
        const xg_cand *c = &s->cand.v[v->cand];
        if (c->group.nnode > 1 || c->group.node[0] != node || v->chip_out) continue;
        if (reads(c, v, out_of_node(s->g, STEM)) != chip) continue;
        if (least < 0 || v->cost < least) least = v->cost;
    }
    return least;
}

/* Siblings cost less than their branches one after another. With the shared input on chip they
 * have no column. */
static void test_costs(void **state) {
    xg_test *t = *state;
    uint32_t columns = 0;
    for (const char *const *name = xg_machine_names(); *name; name++) {
        const xg_machine *m = load_machine(t, *name);
        const xg_graph *g = network(t, m);
        xg_selection sel = {.graph = g, .strategy = "ilp", .note = ""};
        xg_chooser c;
        xg_ilp *s = xg_new(t->a, xg_ilp);
        xg_chooser_init(&c, t->a, g, m, &sel);
        assert_ok(t->c, xg_ilp_set_up(s, &c, true));
        for (uint32_t i = 0; i < s->var.n; i++) {
            const xg_var *v = &s->var.v[i];
            const xg_group *grp = &s->cand.v[v->cand].group;
            int64_t apart = 0;
            if (grp->nresult != grp->nnode || grp->nresult < 2) continue;
            assert_false(reads(&s->cand.v[v->cand], v, out_of_node(g, STEM)));
            columns++;
            for (uint32_t k = 0; k < grp->nnode && !v->chip_out; k++)
                apart += alone(s, grp->node[k], false);
            assert_true(v->chip_out || v->cost < apart);
        }
    }
    assert_true(columns > 10);
}

static void test_text(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "nano");
    const xg_graph *g = network(t, m);
    xg_selection s = with_group(t, g, m, (uint32_t[]){LEFT, RIGHT, POOL, PROJECT}, 4), again;
    xg_buf one = {.arena = t->a}, two_ = {.arena = t->a};
    xg_selection_print(&s, &one);
    assert_ok(t->c, xg_selection_parse(t->a, g, "a.sel", one.p, one.n, &again));
    for (uint32_t i = 0; i < s.group.n; i++) {
        const uint32_t *a, *b;
        uint32_t n = xg_group_results(&s.group.v[i], &a);
        assert_int_equal(xg_group_results(&again.group.v[i], &b), n);
        assert_int_equal(n, s.group.v[i].nnode > 1 ? 3 : 1);
        assert_memory_equal(a, b, n * sizeof *a);
    }
    again.strategy = s.strategy;
    xg_selection_print(&again, &two_);
    assert_string_equal(one.p, two_.p);
    (void)check_program(t, g, m, &again);
}

int main(void) {
    (void)random_net;
    const struct CMUnitTest tests[] = {
        TEST(test_legal),  TEST(test_cycle), TEST(test_loaded_once), TEST(test_estimate),
        TEST(test_places), TEST(test_costs), TEST(test_text),
    };
    return cmocka_run_group_tests_name("siblings", tests, NULL, NULL) != 0;
}
