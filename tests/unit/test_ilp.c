/* The 0-1 program's optimum is that of an exhaustive search, on random graphs of up to 16
 * operators; what pieces and bounds say is true. Arguments: [first seed] [number of graphs];
 * default 1 and 600.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cover_oracle.h"
#include "layout/plan.h"
#include "pattern_graphs.h"
#include "xg_test.h"

static uint64_t first_seed = 1, graphs = 600;

/* One graph on one machine; the machine's memory is small, so that room is short. */
typedef struct problem {
    xg_test *t;
    xg_arena *a;
    const xg_graph *g;
    xg_machine m;
    const bool *accel;
    uint64_t seed;
} problem;

static xg_chooser chooser_of(problem *p, xg_selection *out) {
    xg_chooser c;
    *out = (xg_selection){.graph = p->g, .strategy = "ilp", .note = ""};
    xg_chooser_init(&c, p->a, p->g, &p->m, out);
    for (uint32_t i = 0; i < p->g->node.n; i++)
        if (!p->accel[i]) c.refused[i] = "the test says so";
    return c;
}

static bool make_problem(problem *p, xg_test *t, const xg_machine *m, uint64_t seed) {
    bool *accel;
    p->t = t;
    p->seed = seed;
    p->a = xg_arena_new(t->c);
    p->g = random_graph(p->a, seed, 3 + (uint32_t)(seed % 14), &accel);
    p->accel = accel;
    p->m = *m;
    p->m.tile.fm_depth = 150 + (uint32_t)(seed * 2654435761u >> 7) % 900;
    return p->g && p->g->node.n <= 16;
}

static void check_selection(problem *p, const xg_selection *s) {
    bool seen[ORACLE_NODES] = {false};
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->group.n; i++)
        for (uint32_t k = 0; k < s->group.v[i].nnode; k++, n++) {
            assert_false(seen[s->group.v[i].node[k]]);
            seen[s->group.v[i].node[k]] = true;
        }
    assert_int_equal(n, p->g->node.n);
    assert_ok(p->t->c, xg_selection_check(p->a, s, &p->m));
}

typedef struct tally {
    uint32_t graphs, multiple, staying, pieces_equal, bounds_equal, path_equal;
    int64_t steps, most;
} tally;

/* In pieces: a solution no better than the optimum, a bound no worse. */
static void check_pieces(problem *p, xg_ilp *s, int64_t optimum, tally *sum) {
    xg_mip_result r;
    xg_stairs_sizes sizes = {0, 8 + (uint32_t)(p->seed % 5) * 8};
    const bool *start = xg_ilp_path(s);
    double bound = xg_ilp_tree_bound(s);
    assert_non_null(start);
    assert_true(xg_mip_holds(s->stairs->mip, start, p->a));
    assert_true(xg_mip_value(s->stairs->mip, start) >= optimum);
    assert_true(bound <= (double)optimum);
    sum->path_equal += xg_mip_value(s->stairs->mip, start) == optimum;
    assert_ok(p->t->c, xg_stairs_solve(s->stairs, start, bound, &sizes, &r));
    assert_true(r.feasible);
    assert_true(xg_mip_holds(s->stairs->mip, r.x, p->a));
    assert_true(r.value == xg_mip_value(s->stairs->mip, r.x));
    assert_true(r.value >= optimum);
    if (r.bound > (double)optimum + 1e-3)
        fail_msg("seed %llu: bound %f, optimum %lld", (unsigned long long)p->seed, r.bound,
                 (long long)optimum);
    sum->pieces_equal += r.value == optimum;
    sum->bounds_equal += r.bound > (double)optimum - 1;
}

static void check_problem(problem *p, tally *sum) {
    xg_selection out, unused;
    xg_chooser c = chooser_of(p, &out), again = chooser_of(p, &unused);
    xg_ilp *s = xg_new(p->a, xg_ilp);
    int64_t cost, steps;
    assert_ok(p->t->c, xg_select_ilp(&c));
    assert_ok(p->t->c, xg_ilp_set_up(s, &again, true));
    bool found = oracle_least(s, out.value + 1, &cost, &steps);
    if (!found || cost != out.value || out.bound != (double)out.value)
        fail_msg("seed %llu: solver %lld, bound %f, search %s %lld", (unsigned long long)p->seed,
                 (long long)out.value, out.bound, found ? "finds" : "finds nothing up to",
                 (long long)cost);
    check_selection(p, &out);
    xg_ilp_add_rows(s);
    check_pieces(p, s, cost, sum);
    sum->graphs++;
    sum->steps += steps;
    if (steps > sum->most) sum->most = steps;
    sum->multiple += out.group.n < p->g->node.n;
    for (uint32_t t = 0, any = 0; t < p->g->tensor.n && !any; t++)
        if (out.on_chip[t]) any = 1, sum->staying++;
}

static void test_equal_to_exhaustive_search(void **state) {
    xg_test *t = *state;
    xg_machine *m;
    tally sum = {0};
    assert_ok(t->c, xg_machine_load(t->a, "nano", NULL, &m));
    for (uint64_t seed = first_seed; sum.graphs < graphs; seed++) {
        problem p;
        if (make_problem(&p, t, m, seed)) check_problem(&p, &sum);
        xg_arena_free(p.a);
    }
    print_message("%u graphs: %u with groups of several nodes, %u with tensors on chip; search: "
                  "%lld steps, at most %lld; pieces find %u optima and prove %u bounds; path is "
                  "the optimum of %u\n",
                  sum.graphs, sum.multiple, sum.staying, (long long)sum.steps, (long long)sum.most,
                  sum.pieces_equal, sum.bounds_equal, sum.path_equal);
    if (graphs < 100) return;
    assert_true(sum.multiple > graphs / 3);
    assert_true(sum.staying > graphs / 3);
    assert_true(sum.path_equal < graphs);
    assert_true(sum.pieces_equal > graphs / 2);
}

/* A chain's path by hand: with one candidate for every pair, the cheapest cover is a shortest path
 * over the nodes. */
static void test_path_is_the_shortest(void **state) {
    xg_test *t = *state;
    maker k = new_maker(t->a, 1);
    uint32_t x = add_input(&k, 8);
    for (uint32_t i = 0; i < 4; i++) x = add_conv(&k, x, 3, 1, false);
    add_outputs(&k);
    xg_cand cand[7];
    uint32_t node[4] = {0, 1, 2, 3};
    for (uint32_t i = 0; i < 4; i++) cand[i].group = (xg_group){.nnode = 1, .node = &node[i]};
    for (uint32_t i = 0; i < 3; i++) cand[4 + i].group = (xg_group){.nnode = 2, .node = &node[i]};
    xg_chooser c = {.a = t->a, .g = k.g, .uses = xg_graph_uses(k.g, t->a)};
    xg_ilp s = {.c = &c, .g = k.g, .a = t->a};
    s.cand.v = cand;
    s.cand.n = 7;
    const int64_t cost[3][7] = {
        {5, 5, 5, 5, 9, 3, 9}, {5, 5, 5, 5, 7, 3, 7}, {5, 5, 5, 5, -1, -1, 2}};
    const int64_t want[3] = {13, 13, 12};
    for (uint32_t i = 0; i < 3; i++) {
        bool take[7] = {false};
        int64_t total;
        assert_true(xg_ilp_tree_cover(&s, cost[i], take, &total));
        assert_int_equal(total, want[i]);
        assert_int_equal(take[5], i < 2);
        assert_int_equal(take[6], i == 2);
    }
    const int64_t none[7] = {5, 5, 5, -1, 7, 3, -1};
    int64_t total;
    assert_false(xg_ilp_tree_cover(&s, none, NULL, &total));
}

/* A graph of so many equal blocks that it is solved in pieces; the bound shows how good it is. */
static void test_large_graph_in_pieces(void **state) {
    xg_test *t = *state;
    xg_machine *m;
    maker k = new_maker(t->a, 7);
    uint32_t x = add_input(&k, 8);
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t a = add_conv(&k, x, 1, 1, false), b = add_conv(&k, a, 3, 1, false);
        uint32_t c = add_conv(&k, x, 3, 1, false);
        x = add_plain(&k, XG_OP_Add, add_plain(&k, XG_OP_Add, b, c), x);
    }
    add_outputs(&k);
    assert_ok(t->c, xg_machine_load(t->a, "nano", NULL, &m));
    xg_selection ilp, path;
    assert_ok(t->c, xg_select(t->a, k.g, m, "ilp", &ilp));
    assert_ok(t->c, xg_select(t->a, k.g, m, "path", &path));
    assert_true(ilp.solved && ilp.value > 0);
    assert_true(ilp.bound <= (double)ilp.value);
    assert_true(ilp.bound > 0.99 * (double)ilp.value);
    xg_buf one = {.arena = t->a}, two = {.arena = t->a};
    xg_selection_print(&ilp, &one);
    assert_ok(t->c, xg_select(t->a, k.g, m, "ilp", &ilp));
    xg_selection_print(&ilp, &two);
    assert_string_equal(one.p, two.p);
    assert_ok(t->c, xg_selection_check(t->a, &ilp, m));
    assert_ok(t->c, xg_selection_check(t->a, &path, m));
}

static void test_mip_edges(void **state) {
    xg_test *t = *state;
    xg_mip *p = xg_mip_new(t->a);
    xg_mip_result r;
    xg_mip_options o = {.pivots = 1000, .nodes = 50};
    assert_ok(t->c, xg_mip_solve(p, &o, &r)); /* empty */
    assert_false(r.feasible);
    uint32_t a = xg_mip_col(p, 3), b = xg_mip_col(p, 2), c = xg_mip_col(p, 4);
    uint32_t row = xg_mip_row(p, 1, INT64_MAX), pair = xg_mip_row(p, INT64_MIN, 1);
    xg_mip_add(p, row, a, 1);
    xg_mip_add(p, row, b, 1);
    xg_mip_add(p, row, c, 1);
    xg_mip_add(p, pair, b, 1);
    xg_mip_add(p, pair, b, 1); /* the same place twice: 2 b <= 1 */
    assert_ok(t->c, xg_mip_solve(p, &o, &r));
    assert_true(r.feasible && r.optimal && r.value == 3 && r.bound == 3);
    uint32_t no = xg_mip_row(p, 4, 4);
    xg_mip_add(p, no, a, 1);
    assert_ok(t->c, xg_mip_solve(p, &o, &r));
    assert_true(!r.feasible && r.infeasible);
    /* a start that the budget cannot improve is kept */
    xg_mip *q = xg_mip_new(t->a);
    bool start[6] = {true, true, true, false, false, false};
    for (uint32_t i = 0; i < 6; i++) (void)xg_mip_col(q, 10 + i % 3);
    for (uint32_t i = 0; i < 3; i++) {
        row = xg_mip_row(q, 1, 1);
        xg_mip_add(q, row, i, 1);
        xg_mip_add(q, row, i + 3, 1);
    }
    o = (xg_mip_options){.pivots = 0, .nodes = 0, .start = start};
    assert_ok(t->c, xg_mip_solve(q, &o, &r));
    assert_true(r.feasible && r.value == 33 && r.x == start);
}

/* A plan that took what was estimated makes nothing dearer; one whose groups took eight times as
 * long is often left. */
static void test_built_plans(void **state) {
    xg_test *t = *state;
    xg_machine *m;
    assert_ok(t->c, xg_machine_load(t->a, "nano", NULL, &m));
    uint32_t changed = 0, tried = 0;
    for (uint64_t seed = first_seed; seed < first_seed + 60; seed++) {
        problem p;
        xg_solver *solver;
        xg_selection first, same, layer, other;
        if (!make_problem(&p, t, m, seed)) continue;
        const xg_select_options o = {.strategy = "ilp"};
        assert_ok(t->c, xg_solver_new(p.a, p.g, &p.m, &o, &solver));
        assert_ok(t->c, xg_solver_run(solver, NULL, 0, &first));
        check_selection(&p, &first);
        xg_seen seen[2] = {{&first, &first}};
        assert_ok(t->c, xg_solver_run(solver, seen, 1, &same));
        check_selection(&p, &same);
        /* siblings are priced dearer than estimated; least tiles without what they move */
        assert_true(same.value <= first.value + first.value / 100);
        assert_ok(t->c, xg_select(p.a, p.g, &p.m, "layer", &layer));
        for (uint32_t i = 0; i < first.group.n; i++) first.group.v[i].cost_cycles *= 8;
        seen[1] = (xg_seen){&layer, &layer};
        assert_ok(t->c, xg_solver_run(solver, seen, 2, &other));
        check_selection(&p, &other);
        assert_true(other.bound <= (double)other.value);
        changed += other.group.n != first.group.n;
        tried++;
    }
    assert_true(tried > 20);
    assert_true(changed > 5);
}

static const char *selection_text(problem *p, xg_select_options o, xg_known *known) {
    xg_selection s;
    xg_buf text = {.arena = p->a};
    o.known = known;
    assert_ok(p->t->c, xg_select_with(p->a, p->g, &p->m, &o, &s));
    xg_selection_print(&s, &text);
    for (uint32_t t = 0; s.on_chip && t < p->g->tensor.n; t++)
        xg_puts(&text, s.on_chip[t] ? "c" : "-");
    return text.p;
}

/* What choices share changes none of them, whatever was asked before. */
static void test_shared_estimates(void **state) {
    static const xg_select_options all[] = {
        {.strategy = "layer"}, {.strategy = "greedy"}, {.strategy = "path"},
        {.strategy = "ilp"},   {.strategy = "path"},   {.strategy = "ilp", .nothing_kept = true},
        {.strategy = "layer"}, {.strategy = "ilp"},    {.strategy = "ilp", .image_by_image = true}};
    static const char *const machines[] = {"nano", "zu9"};
    xg_test *t = *state;
    for (uint64_t seed = 0; seed < 80; seed++) {
        problem p;
        xg_machine *m;
        xg_known *known;
        assert_ok(t->c, xg_machine_load(t->a, machines[seed & 1], NULL, &m));
        if (make_problem(&p, t, m, seed)) {
            assert_ok(t->c, xg_known_new(p.a, NULL, &known));
            for (size_t i = 0; i < XG_COUNT(all); i++)
                assert_string_equal(selection_text(&p, all[i], known),
                                    selection_text(&p, all[i], NULL));
        }
        xg_arena_free(p.a);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) graphs = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {TEST(test_equal_to_exhaustive_search),
                                       TEST(test_path_is_the_shortest),
                                       TEST(test_large_graph_in_pieces),
                                       TEST(test_built_plans),
                                       TEST(test_mip_edges),
                                       TEST(test_shared_estimates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
