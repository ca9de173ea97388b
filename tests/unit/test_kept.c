/* Rows that two tiles need are made, or loaded, once: in a ring where not all of them fit. */
#include "fusion/estimate.h"

#include "strategy_test.h"

enum { SIDE = 41, WIDE = 11, CHANNELS = 16 };

static uint32_t join(net *t, uint32_t x, uint32_t y) {
    uint32_t in[2] = {x, y}, node = xg_graph_add_node(t->g, XG_OP_Add, fresh(t, "add"), in, 2, 1);
    uint32_t z = out_of(t, node, xg_tensorp(t->g, x)->quant);
    return keep(t, node, z) ? z : XG_NONE;
}

static uint32_t pool(net *t, uint32_t x) {
    uint32_t node = xg_graph_add_node(t->g, XG_OP_MaxPool, fresh(t, "pool"), &x, 1, 1);
    uint32_t z = out_of(t, node, xg_tensorp(t->g, x)->quant);
    xg_window w = {5, 5, 1, 1, 1, 1, 2, 2, 2, 2};
    xg_set_window(xg_nodep(t->g, node), &w);
    return keep(t, node, z) ? z : XG_NONE;
}

/* x -> 3x3 -> 1x1 -> 3x3 of the given stride; `more`: then a pool, and x, or the first result,
 * added to it. */
static const xg_graph *network(xg_test *t, const xg_machine *m, int32_t stride, bool more) {
    net n = {.a = t->a, .g = xg_graph_new(t->a, "net"), .r = &m->rq, .seed = 99};
    const xg_quant *q = xg_quant_scalar(t->a, 0.25f, 0);
    xg_tensor x = {.name = "x",
                   .dtype = XG_I8,
                   .rank = 4,
                   .dim = {2, SIDE, WIDE, CHANNELS},
                   .producer = XG_NONE,
                   .quant = q};
    uint32_t in = xg_graph_add_tensor(n.g, &x);
    xg_graph_add_input(n.g, in);
    uint32_t first = conv(&n, in, 3, 1, CHANNELS, q);
    uint32_t y = conv(&n, conv(&n, first, 1, 1, CHANNELS, q), 3, stride, CHANNELS, q);
    if (more) y = pool(&n, y);
    if (more) y = join(&n, y, stride == 1 ? first : y);
    assert_int_not_equal(y, XG_NONE);
    xg_graph_add_output(n.g, y);
    return n.g;
}

/* All nodes in one group. */
static xg_selection one_group(xg_test *t, const xg_graph *g, xg_strategy s) {
    uint32_t *node = xg_newn(t->a, uint32_t, g->node.n);
    for (uint32_t i = 0; i < g->node.n; i++) node[i] = i;
    xg_selection sel = {.graph = g, .strategy = "test", .note = ""};
    xg_group grp = {
        .nnode = g->node.n, .node = node, .where = XG_ON_ACCEL, .pattern = "test", .strategy = s};
    xg_push(t->a, &sel.group, grp);
    return sel;
}

typedef struct tally {
    uint32_t made, loaded, rings; /* rows of the node's result; of the input; buffers */
} tally;

static tally count(const xg_plan *p, uint32_t node) {
    tally r = {0, 0, 0};
    const xg_core_plan *c = &p->segment.v[0].core[0];
    for (uint32_t i = 0; i < c->task.n; i++) {
        const xg_task *k = &c->task.v[i];
        if (k->s.n != 0) continue;
        if (k->kind == XG_TASK_LOAD) r.loaded += k->s.h1 - k->s.h0;
        if (k->node == node && k->s.c0 == 0) r.made += k->s.h1 - k->s.h0;
    }
    for (uint32_t i = 0; i < c->buffer.n; i++) r.rings += c->buffer.v[i].ring > 0;
    return r;
}

/* Each row once when kept; more often when not. Tiles of any height, rings of all sizes. */
static void test_once(void **state) {
    xg_test *t = *state;
    uint32_t rings = 0;
    for (const char *const *name = xg_machine_names(); *name; name++) {
        const xg_machine *m = load_machine(t, *name);
        for (uint32_t way = 0; way < 16; way++) {
            const xg_graph *g = network(t, m, way & 1 ? 2 : 1, way & 2);
            uint32_t th = (way & 4 ? 1 : 2) * m->tile.pp - (way & 8 ? 1 : 0);
            xg_strategy s = {
                .tile_h = th, .weights_resident = true, .split = m->cores > 1 ? XG_SPLIT_NONE : 0};
            tally r[2];
            bool whole = true; /* the group found room */
            for (uint32_t kept = 0; kept < 2; kept++) {
                xg_plan *p;
                s.keep = kept;
                xg_selection sel = one_group(t, g, s);
                (void)check_program(t, g, m, &sel);
                assert_ok(t->c, xg_plan_make_as(t->a, &sel, m, false, &p));
                r[kept] = count(p, 0);
                const xg_selection *built = xg_plan_selection(p);
                whole = whole && built->group.n == 1 && !built->group.v[0].strategy.tile_w;
            }
            if (!whole) continue;
            assert_int_equal(r[0].rings, 0);
            assert_int_equal(r[1].made, SIDE);
            assert_int_equal(r[1].loaded, SIDE);
            assert_true(r[0].made > SIDE && r[0].loaded > SIDE);
            rings += r[1].rings;
        }
    }
    assert_true(rings > 40);
}

/* What is estimated to be loaded is what is loaded. */
static void test_estimate(void **state) {
    xg_test *t = *state;
    const xg_machine *m = load_machine(t, "kv260");
    const xg_graph *g = network(t, m, 1, false);
    xg_estimate e[2];
    for (uint32_t kept = 0; kept < 2; kept++) {
        xg_strategy s = {.tile_h = m->tile.pp, .weights_resident = true, .keep = kept};
        xg_selection sel = one_group(t, g, s);
        xg_estimate_group(g, m, &sel.group.v[0], &s, NULL, &e[kept]);
        assert_true(e[kept].fits);
    }
    uint32_t tiles = (uint32_t)xg_ceil_div(SIDE, m->tile.pp), row = WIDE * CHANNELS;
    assert_int_equal((e[0].map_bytes - e[1].map_bytes) / 2, tiles * 4 * row); /* halos of 2 + 2 */
    assert_true(e[1].conv < e[0].conv);
}

int main(void) {
    (void)random_net;
    const struct CMUnitTest tests[] = {TEST(test_once), TEST(test_estimate)};
    return cmocka_run_group_tests_name("kept", tests, NULL, NULL) != 0;
}
