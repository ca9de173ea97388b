/* Random networks, all strategies, the shipped machines (two seeds of three) and machines with
 * random numbers (the third): simulator (program order, shuffled order, cycle simulator) equals
 * interpreter in every element; plans survive print and parse, and are made again from the choice
 * that they came to. A random machine may be too small
 * for a network; that is an error with a reason, counted. Arguments: [first seed] [number of
 * networks]. Default 0 and 1000 (or XGC_RANDOM_NETS). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fusion/flat.h"
#include "layout/plan.h"
#include "random_machine.h"
#include "random_net.h"
#include "validate/check.h"
#include "xgraph/import.h"

#include <stdlib.h>

static const char *const strategies[] = {"layer", "greedy", "path", "ilp"};

static void print_diags(xg_ctx *c, uint64_t seed, const char *machine, const char *strategy) {
    for (size_t i = 0; i < xg_diag_count(c) && i < 6; i++)
        fprintf(stderr, "seed %llu %s %s: %s: %s\n", (unsigned long long)seed, machine, strategy,
                xg_diag_at(c, i)->where, xg_diag_at(c, i)->text);
}

static xg_status same_plan(xg_arena *a, const xg_plan *p, const xg_plan *q, const char *what) {
    xg_buf one = {.arena = a}, two = {.arena = a};
    xg_plan_print(p, &one);
    xg_plan_print(q, &two);
    /* the strategy's name is replaced by the file's */
    const char *x = strchr(one.p, '\n'), *y = strchr(two.p, '\n');
    return one.n && x && y && !strcmp(x, y)
               ? XG_OK
               : xg_error(xg_arena_ctx(a), XG_MISMATCH, what, "the plan differs");
}

static xg_status plan_round_trip(xg_arena *a, const xg_plan *p, const xg_graph *g,
                                 const xg_machine *m) {
    xg_buf text = {.arena = a};
    xg_plan *again;
    xg_plan_print(p, &text);
    xg_status st = xg_plan_parse(a, g, m, "plan", text.p, text.n, &again);
    return st == XG_OK ? same_plan(a, p, again, "print(parse(print))") : st;
}

static xg_status made_again(xg_arena *a, const xg_plan *p, const xg_graph *g, const xg_machine *m) {
    xg_buf text = {.arena = a};
    xg_selection sel;
    xg_plan *again;
    xg_selection_print(xg_plan_selection(p), &text);
    xg_status st = xg_selection_parse(a, g, "sel", text.p, text.n, &sel);
    if (st == XG_OK) st = xg_selection_check(a, &sel, m);
    if (st == XG_OK) st = xg_plan_make(a, &sel, m, &again);
    return st == XG_OK ? same_plan(a, p, again, "made of its own choice") : st;
}

typedef struct tally {
    uint64_t nets, programs, accel_nodes, nodes, elements, too_small, flat;
} tally;

/* Every group flat that may be, but for what lies in concats on chip. */
static uint64_t flatten(xg_arena *a, xg_selection *s) {
    const xg_graph *g = s->graph;
    xg_uses uses = xg_graph_uses(g, a);
    uint64_t flat = 0;
    for (uint32_t i = 0; i < s->group.n; i++) {
        xg_group *grp = &s->group.v[i];
        bool inside = false;
        for (uint32_t k = 0; k < grp->nnode; k++) {
            uint32_t t = xg_nodep(g, grp->node[k])->out[0];
            for (uint32_t u = uses.first[t]; u < uses.first[t + 1]; u++)
                inside |=
                    s->on_chip && s->on_chip[t] && xg_nodep(g, uses.node[u])->op == XG_OP_Concat;
        }
        grp->strategy.flat = !inside && !xg_flat_refuses(g, &uses, grp);
        flat += grp->strategy.flat;
    }
    return flat;
}

static xg_status one_program(xg_arena *a, const xg_graph *g, const xg_machine *m,
                             const char *strategy, uint64_t seed, tally *sum) {
    xg_selection sel;
    xg_plan *plan;
    xg_program *prog;
    xg_check_result r = {0};
    const xg_select_options how = {.strategy = strategy, .flat = seed / 2 % 2};
    xg_status st = xg_select_with(a, g, m, &how, &sel);
    if (st == XG_OK && seed % 2) sum->flat += flatten(a, &sel);
    if (st == XG_OK) st = xg_selection_check(a, &sel, m);
    if (st == XG_OK) st = xg_plan_make(a, &sel, m, &plan);
    if (st == XG_OK && seed % 10 < 2) st = plan_round_trip(a, plan, g, m);
    if (st == XG_OK && seed % 5 == 3) st = made_again(a, plan, g, m);
    if (st == XG_OK) st = xg_lower(a, plan, &prog);
    if (st != XG_OK) return st;
    static const char *const fills[] = {"random", "min", "max", "zero"};
    const char *fill = seed % 4 == 3 ? fills[seed / 4 % 4] : fills[0];
    xg_check_options o = {.fill = &fill, .nfill = 1, .seed = seed + 1};
    st = xg_check(a, m, g, prog, &o, &r);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < sel.group.n; i++)
        sum->accel_nodes += sel.group.v[i].where == XG_ON_ACCEL ? sel.group.v[i].nnode : 0;
    sum->nodes += g->node.n;
    sum->elements += r.elements;
    sum->programs++;
    if (r.equal) return XG_OK;
    xg_buf text = {.arena = a};
    xg_check_print_text(&r, true, &text);
    return xg_error(xg_arena_ctx(a), XG_MISMATCH, "check", "%s", text.p);
}

static xg_status one_net(uint64_t seed, tally *sum) {
    const char *const *names = xg_machine_names();
    uint32_t count = 0;
    while (names[count]) count++;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a = xg_arena_new(c);
    xg_machine *m;
    const char *machine = names[seed % count],
               *strategy = strategies[seed / count % XG_COUNT(strategies)];
    bool shipped = seed / count % 9 < 6;
    xg_status st =
        shipped ? xg_machine_load(a, machine, NULL, &m) : random_machine(a, machine, seed, &m);
    xg_graph *g = st == XG_OK ? random_net(a, &m->rq, seed, 3 + (uint32_t)(seed % 12)) : NULL;
    if (g) st = xg_graph_verify(c, g);
    if (g && st == XG_OK) {
        xg_graph *compact;
        st = xg_graph_compact(c, g, a, &compact);
        if (st == XG_OK) st = one_program(a, compact, m, strategy, seed, sum);
        sum->nets++;
    }
    if (st == XG_LIMIT && !shipped && xg_diag_count(c)) {
        sum->too_small++;
        st = XG_OK;
    }
    if (st != XG_OK) print_diags(c, seed, machine, strategy);
    xg_ctx_free(c);
    return st;
}

static uint64_t first_seed, networks = 1000;

static void random_networks(void **state) {
    (void)state;
    tally sum = {0};
    uint32_t bad = 0;
    for (uint64_t s = first_seed; s < first_seed + networks && bad < 10; s++)
        bad += one_net(s, &sum) != XG_OK;
    printf("%llu networks, %llu programs, %llu of %llu nodes on the accelerator, %llu elements "
           "compared, %llu flat groups, %llu machines too small, %u failed\n",
           (unsigned long long)sum.nets, (unsigned long long)sum.programs,
           (unsigned long long)sum.accel_nodes, (unsigned long long)sum.nodes,
           (unsigned long long)sum.elements, (unsigned long long)sum.flat,
           (unsigned long long)sum.too_small, bad);
    assert_int_equal(bad, 0);
    assert_true(sum.too_small * 10 <= sum.nets);
    assert_true(networks < 100 || sum.flat * 4 > sum.nets);
    assert_true(sum.accel_nodes * 10 >
                sum.nodes * 8); /* the machines, not the host, must be tested */
}

int main(int argc, char **argv) {
    const char *env = getenv("XGC_RANDOM_NETS");
    if (env) networks = strtoull(env, NULL, 10);
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) networks = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_networks)};
    return cmocka_run_group_tests_name("random_nets", tests, NULL, NULL) != 0;
}
