/* Flat views: their size, which groups may have them, and that programs with them are right. */
#include "fusion/flat.h"

#include "strategy_test.h"

/* As many row groups as the map has, and no column more than its pixels want. */
static void test_size(void **state) {
    xg_test *t = *state;
    xg_machine m = *load_machine(t, "kv260");
    for (m.tile.pp = 1; m.tile.pp < 20; m.tile.pp++)
        for (uint32_t h = 1; h < 33; h++)
            for (uint32_t w = 1; w < 33; w++) {
                uint32_t pixels = h * w, groups = (h + m.tile.pp - 1) / m.tile.pp, cols = 1;
                while (groups * m.tile.pp * cols < pixels) cols++;
                xg_flat f = xg_flat_of(&m, h, w), own = xg_flat_own(&m, h, w);
                assert_true(own.rows == h && own.cols == w && own.last == w);
                assert_int_equal(own.steps, 16 * groups * w + groups * m.tile.conv_start);
                assert_true(f.steps <= own.steps);
                assert_int_equal((f.rows - 1) * f.cols + f.last, pixels);
                assert_true(f.last >= 1 && f.last <= f.cols);
                assert_true(f.cols == w || f.cols == cols);
                if (w > cols + 2) assert_int_equal(f.cols, cols);
            }
}

typedef struct sample {
    net n;
    uint32_t in, one, add, wide, stride; /* tensors */
} sample;

/* x -> 1x1 -> 1x1 of it, added -> 3x3; 1x1 of stride 2. */
static sample sample_net(xg_test *t, const xg_machine *m, int64_t h, int64_t w) {
    sample s = {.n = {.a = t->a, .g = xg_graph_new(t->a, "net"), .r = &m->rq, .seed = 5}};
    const xg_quant *q = xg_quant_scalar(t->a, 0.25f, 0);
    xg_tensor x = {.name = "x",
                   .dtype = XG_I8,
                   .rank = 4,
                   .dim = {3, h, w, 20},
                   .producer = XG_NONE,
                   .quant = q};
    s.in = xg_graph_add_tensor(s.n.g, &x);
    xg_graph_add_input(s.n.g, s.in);
    s.one = conv(&s.n, s.in, 1, 1, 24, q);
    uint32_t in[2] = {s.one, conv(&s.n, s.one, 1, 1, 24, q)};
    uint32_t node = xg_graph_add_node(s.n.g, XG_OP_Add, "add", in, 2, 1);
    s.add = out_of(&s.n, node, q);
    assert_true(keep(&s.n, node, s.add));
    s.wide = conv(&s.n, s.add, 3, 1, 8, q);
    s.stride = conv(&s.n, s.add, 1, 2, 8, q);
    xg_graph_add_output(s.n.g, s.wide);
    xg_graph_add_output(s.n.g, s.stride);
    return s;
}

static xg_group group_of(xg_test *t, const xg_graph *g, uint32_t tensor) {
    xg_group grp = {.nnode = 1, .where = XG_ON_ACCEL, .pattern = "single"};
    grp.node = xg_memdup(t->a, &xg_tensorp(g, tensor)->producer, sizeof(uint32_t));
    return grp;
}

static void test_legal(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "kv260");
    sample s;
    for (int64_t axis = 1; axis < 4; axis++) { /* along columns only there are gaps */
        s = sample_net(t, m, 9, 7);
        const xg_quant *q = xg_tensorp(s.n.g, s.one)->quant;
        uint32_t y = conv(&s.n, s.add, 1, 1, 24, q), in[2] = {y, s.wide};
        if (axis < 3) in[1] = s.add;
        uint32_t node = xg_graph_add_node(s.n.g, XG_OP_Concat, fresh(&s.n, "concat"), in, 2, 1);
        xg_set_ai(xg_nodep(s.n.g, node), XG_ATTR_axis, axis);
        uint32_t z = out_of(&s.n, node, q);
        assert_true(keep(&s.n, node, z));
        xg_group grp = group_of(t, s.n.g, y);
        xg_uses uses = xg_graph_uses(s.n.g, t->a);
        assert_int_equal(xg_flat_refuses(s.n.g, &uses, &grp) != NULL, axis == 2);
    }
    s = sample_net(t, m, 9, 7);
    xg_uses uses = xg_graph_uses(s.n.g, t->a);
    const uint32_t yes[] = {s.one, s.add}, no[] = {s.wide, s.stride};
    for (uint32_t i = 0; i < 2; i++) {
        xg_group a = group_of(t, s.n.g, yes[i]), b = group_of(t, s.n.g, no[i]);
        assert_null(xg_flat_refuses(s.n.g, &uses, &a));
        assert_non_null(xg_flat_refuses(s.n.g, &uses, &b));
        a.where = XG_ON_HOST;
        assert_non_null(xg_flat_refuses(s.n.g, &uses, &a));
    }
}

/* Every node alone, with the tile; flat where that may be. */
static xg_selection all_alone(xg_test *t, const xg_graph *g, const xg_machine *m, xg_strategy st) {
    xg_selection sel = {.graph = g, .strategy = "test", .note = ""};
    xg_uses uses = xg_graph_uses(g, t->a);
    for (uint32_t i = 0; i < g->node.n; i++) {
        xg_group grp = group_of(t, g, xg_nodep(g, i)->out[0]);
        grp.strategy = st;
        grp.strategy.flat = !xg_flat_refuses(g, &uses, &grp);
        xg_push(t->a, &sel.group, grp);
    }
    sel.on_chip = xg_newn(t->a, bool, g->tensor.n + 1);
    (void)m;
    return sel;
}

/* Tiles of all sizes, partial sums, splits, short last rows, tensors that stay flat. */
static void test_programs(void **state) {
    xg_test *t = *state;
    uint32_t staying = 0;
    static const uint32_t side[][2] = {{7, 7}, {14, 14}, {13, 13}, {1, 23}, {5, 6}, {9, 1}};
    for (const char *const *name = xg_machine_names(); *name; name++) {
        xg_machine m = *load_machine(t, *name);
        for (uint32_t way = 0; way < 36; way++) {
            if (way % 2) m.tile.pp = 3 + way % 5;
            sample s = sample_net(t, &m, side[way % 6][0], side[way % 6][1]);
            uint32_t unit = (uint32_t)xg_max(m.tile.ocp, m.tile.icp);
            xg_strategy st = {.tile_h = way / 6 % 3 * m.tile.pp / 2,
                              .tile_w = way / 6 % 2 * (way % 5 + 1),
                              .tile_oc = way % 3 ? unit : 0,
                              .tile_ic = way % 4 == 1 ? m.tile.icp : 0,
                              .keep = way % 7 == 0,
                              .split = way % 5 == 4 ? XG_SPLIT_ROWS : XG_SPLIT_IMAGE};
            xg_selection sel = all_alone(t, s.n.g, &m, st);
            sel.on_chip[s.one] = st.split == XG_SPLIT_IMAGE;
            staying += check_program(t, s.n.g, &m, &sel);
        }
    }
    assert_true(staying > 60);
}

/* A tensor on chip that one group sees flat and others not, who read it from DDR; a buffer in a
 * wrong view, a place with gaps. */
static void test_mixed(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "kv260");
    sample s = sample_net(t, m, 14, 14);
    xg_selection sel = all_alone(t, s.n.g, m, (xg_strategy){.split = XG_SPLIT_IMAGE});
    sel.on_chip[s.add] = true;
    assert_true(xg_needs_ddr(&sel, t->a)[s.add]);
    assert_int_equal(check_program(t, s.n.g, m, &sel), 1);
    sel.on_chip[s.add] = false;
    xg_plan *plan, *again;
    assert_ok(t->c, xg_selection_check(t->a, &sel, m));
    assert_ok(t->c, xg_plan_make(t->a, &sel, m, &plan));
    xg_buf b = {.arena = t->a};
    xg_plan_print(plan, &b);
    assert_ok(t->c, xg_plan_parse(t->a, s.n.g, m, "p", b.p, b.n, &again));
    char *buffer = strstr(b.p, "\nbuffer"), *flat = strstr(buffer, " flat=1");
    assert_non_null(flat);
    flat[6] = '0';
    assert_status(t->c, xg_plan_parse(t->a, s.n.g, m, "p", b.p, b.n, &again), XG_INPUT);
    assert_said(t->c, "its group is flat, a buffer of it is not");
    flat[6] = '1';
    char *place = strstr(b.p, "place tensor=\"x\""), *row = strstr(place, " row=");
    row[5] = row[5] == '9' ? '8' : '9';
    assert_status(t->c, xg_plan_parse(t->a, s.n.g, m, "p", b.p, b.n, &again), XG_INPUT);
    assert_said(t->c, "have gaps between them");
}

int main(void) {
    (void)random_net;
    const struct CMUnitTest tests[] = {TEST(test_size), TEST(test_legal), TEST(test_programs),
                                       TEST(test_mixed)};
    return cmocka_run_group_tests_name("flat", tests, NULL, NULL) != 0;
}
