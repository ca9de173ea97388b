/* What matching offers, the rest of the line can run: random networks on all shipped machines,
 * grouped by random candidates; the programs equal the interpreter. Arguments: [first seed]
 * [number of networks]. Default 0 and 200. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fusion/estimate.h"
#include "fusion/patterns.h"
#include "layout/plan.h"
#include "random_net.h"
#include "validate/check.h"

#include <stdlib.h>

/* ---- networks of blocks, which random networks seldom have ---- */

static uint32_t conv(net *t, uint32_t x, uint32_t size, uint32_t stride, bool depth, uint32_t o) {
    const xg_tensor *xt = xg_tensorp(t->g, x);
    uint32_t c = (uint32_t)xt->dim[3];
    int32_t k = (int32_t)size, s = (int32_t)stride, p = k / 2;
    float sx = xt->quant->scale[0];
    bool zp;
    if (depth) o = c;
    xg_window w = {k, k, s, s, 1, 1, p, p, p, p};
    uint32_t in[3] = {x, random_weights(t, o, &w, depth ? 1 : c, &zp), XG_NONE};
    in[2] = random_bias(t, o, x, in[1]);
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Conv, fresh(t, "conv"), in, 3, 1);
    float spread = sqrtf((float)(size * size * (depth ? 1 : c)));
    uint32_t y = out_of(t, node, random_quant(t, sx * 0.32f * spread));
    xg_set_window(xg_nodep(t->g, node), &w);
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_group, depth ? c : 1);
    random_clamp(t, node);
    return keep(t, node, y) ? y : x;
}

static uint32_t table(net *t, uint32_t x) {
    uint32_t before = t->n;
    if (t->r->method == XG_RQ_SHIFT || chance(t, 50)) return x; /* not all machines have tables */
    (void)add_table(t, x);
    return t->n > before ? t->made[before] : x;
}

static uint32_t join(net *t, bool mul, uint32_t x, uint32_t y) {
    uint32_t in[2] = {x, y};
    float a = xg_tensorp(t->g, x)->quant->scale[0], b = xg_tensorp(t->g, y)->quant->scale[0];
    if (chance(t, 50)) in[0] = y, in[1] = x;
    uint32_t node =
        xg_graph_add_node(t->g, mul ? XG_OP_Mul : XG_OP_Add, fresh(t, "join"), in, 2, 1);
    uint32_t o = out_of(t, node, random_quant(t, mul ? a * b * 60 : a > b ? a : b));
    return keep(t, node, o) ? o : x;
}

/* Maps of one size behind one another; most lie in place. */
static uint32_t concat(net *t, const uint32_t *x, uint32_t n) {
    const xg_quant *q = xg_tensorp(t->g, x[0])->quant;
    for (uint32_t i = 1; i < n; i++)
        if (chance(t, 80)) xg_tensorp(t->g, x[i])->quant = q;
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Concat, fresh(t, "concat"), x, n, 1);
    uint32_t y = out_of(t, node, q);
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_axis, 3);
    return keep(t, node, y) ? y : x[n - 1];
}

static uint32_t pool3(net *t, uint32_t x) {
    uint32_t node = xg_graph_add_node(t->g, XG_OP_MaxPool, fresh(t, "pool"), &x, 1, 1);
    uint32_t y = out_of(t, node, xg_tensorp(t->g, x)->quant);
    xg_window w = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
    xg_set_window(xg_nodep(t->g, node), &w);
    return keep(t, node, y) ? y : x;
}

/* Blocks whose nodes share an input. */
static uint32_t branches(net *t, uint32_t x) {
    uint32_t s = pick(t, 1, 2), y[4], n = 0;
    switch (pick(t, 0, 2)) {
    case 0: /* inception */
        y[n++] = conv(t, x, 1, s, false, pick(t, 1, 40));
        y[n++] = conv(t, conv(t, x, 1, 1, false, pick(t, 1, 40)), 3, s, false, pick(t, 1, 40));
        if (chance(t, 50)) y[n++] = conv(t, x, 3, s, false, pick(t, 1, 40));
        y[n++] = conv(t, pool3(t, x), 1, s, false, pick(t, 1, 40));
        return concat(t, y, n);
    case 1: /* fire */
        x = table(t, conv(t, x, 1, 1, false, pick(t, 1, 40)));
        y[n++] = conv(t, x, 1, s, false, pick(t, 1, 40));
        y[n++] = conv(t, x, 3, s, false, pick(t, 1, 40));
        if (chance(t, 30)) y[n++] = conv(t, x, 5, s, false, pick(t, 1, 40));
        return concat(t, y, n);
    default: /* heads */
        for (uint32_t heads = pick(t, 2, 3), c = pick(t, 1, 40); n < heads;)
            y[n++] = table(t, conv(t, x, chance(t, 70) ? 1 : 3, s, false, c));
        return join(t, true, join(t, chance(t, 50), y[0], y[1]), y[n - 1]);
    }
}

static uint32_t block(net *t, uint32_t x) {
    uint32_t c = (uint32_t)xg_tensorp(t->g, x)->dim[3], wide = pick(t, 1, 40), s, y;
    switch (pick(t, 0, 7)) {
    case 5:
    case 6:
    case 7:
        return branches(t, x);
    case 0: /* inverted residual */
        y = table(t, conv(t, x, 1, 1, false, wide));
        y = conv(t, table(t, conv(t, y, 3, 1, true, 0)), 1, 1, false, c);
        return join(t, false, x, y);
    case 1: /* bottleneck */
        y = conv(t, table(t, conv(t, x, 1, 1, false, wide)), 3, 1, false, wide);
        return join(t, false, conv(t, y, 1, 1, false, c), x);
    case 2: /* two branches */
        s = pick(t, 1, 2);
        y = conv(t, conv(t, x, 3, s, false, wide), chance(t, 50) ? 3 : 1, 1, false, wide);
        return table(t, join(t, chance(t, 30), y, conv(t, x, 1, s, false, wide)));
    case 3: /* squeeze and excite */
        if (!add_pool(t, x, true, true)) return x;
        y = table(t, conv(t, t->made[t->n - 1], 1, 1, false, wide));
        return join(t, true, x, table(t, conv(t, y, 1, 1, false, c)));
    default: /* a gate from the same map */
        return join(t, true, conv(t, x, 3, 1, false, wide), conv(t, x, 1, 1, false, wide));
    }
}

static xg_graph *block_net(xg_arena *a, const xg_rqrec *r, uint64_t seed, uint32_t blocks) {
    net t = {.a = a, .g = xg_graph_new(a, "blocks"), .r = r, .seed = seed * 2654435761u + 1};
    xg_tensor x = {.name = "x", .dtype = XG_I8, .rank = 4, .producer = XG_NONE};
    x.quant = random_quant(&t, 0.05f);
    x.dim[0] = chance(&t, 80) ? 1 : 3;
    x.dim[1] = pick(&t, 2, 20), x.dim[2] = pick(&t, 2, 20), x.dim[3] = pick(&t, 1, 40);
    uint32_t y = t.made[t.n++] = xg_graph_add_tensor(t.g, &x);
    xg_graph_add_input(t.g, y);
    for (uint32_t i = 0; i < blocks; i++) y = block(&t, y);
    if (xg_tensorp(t.g, y)->is_input) return NULL;
    xg_graph_add_output(t.g, y);
    return t.g;
}

/* ---- programs ---- */

typedef struct tally {
    const xg_patterns *library;
    uint32_t *used; /* [patterns] groups that ran */
    uint64_t programs, groups, nodes, too_large, refused, staying;
} tally;

typedef struct job {
    xg_arena *a;
    const xg_graph *g;
    const xg_machine *m;
    uint64_t seed;
    xg_selection sel;
    bool *taken; /* [nodes] */
    tally *sum;
} job;

static uint32_t index_of(const xg_patterns *p, const char *name) {
    uint32_t i = 0;
    while (strcmp(p->pattern[i].name, name)) i++;
    return i;
}

static bool take(job *j, const xg_candidate *c) {
    xg_estimate e;
    for (uint32_t i = 0; i < c->nnode; i++)
        if (j->taken[c->node[i]]) return false;
    xg_group grp = {
        .nnode = c->nnode, .node = c->node, .where = XG_ON_ACCEL, .pattern = c->pattern};
    xg_group_find_results(j->a, j->g, &grp);
    if (!xg_best_strategy(j->g, j->m, &grp, NULL, &grp.strategy, &e)) {
        j->sum->too_large++;
        return false;
    }
    grp.cost_cycles = e.cycles;
    for (uint32_t i = 0; i < c->nnode; i++) j->taken[c->node[i]] = true;
    xg_push(j->a, &j->sel.group, grp);
    return true;
}

static int by_first_result(const void *a, const void *b) {
    const uint32_t *x, *y;
    (void)xg_group_results(a, &x);
    (void)xg_group_results(b, &y);
    return *x < *y ? -1 : *x > *y;
}

/* In one network of three tensors stay on chip at random; a concat's result with all its operands.
 */
static void keep_some(job *j) {
    if (j->seed % 3) return;
    const bool *may = xg_may_stay(&j->sel, j->m, j->a);
    j->sel.on_chip = xg_newn(j->a, bool, j->g->tensor.n + 1);
    for (uint32_t i = 0; i < j->g->node.n; i++) {
        const xg_node *n = xg_nodep(j->g, i);
        bool stay = may[n->out[0]] && (n->op == XG_OP_Concat || xg_random(&j->seed) % 2);
        for (uint32_t k = 0; n->op == XG_OP_Concat && k < n->nin; k++)
            stay = stay && j->sel.on_chip[n->in[k]];
        j->sel.on_chip[n->out[0]] = stay;
        j->sum->staying += stay;
    }
}

/* The layer-by-layer selection, with random candidates in the place of its groups. */
static xg_status choose(job *j) {
    xg_selection layers;
    xg_candidates c;
    xg_status st = xg_select(j->a, j->g, j->m, "layer", &layers);
    if (st != XG_OK) return st;
    bool *accel = xg_newn(j->a, bool, j->g->node.n);
    for (uint32_t i = 0; i < j->g->node.n; i++) accel[i] = !xg_tile_refuses(j->a, j->g, j->m, i);
    st = xg_match(j->a, j->g, accel, j->sum->library, &c, NULL);
    if (st != XG_OK) return st;
    j->sel = layers;
    memset(&j->sel.group, 0, sizeof j->sel.group);
    j->taken = xg_newn(j->a, bool, j->g->node.n);
    for (uint32_t tries = 0; c.n && tries < 2 * c.n; tries++)
        (void)take(j, &c.v[xg_random(&j->seed) % c.n]);
    for (uint32_t i = 0; i < layers.group.n; i++)
        if (!j->taken[layers.group.v[i].node[0]]) xg_push(j->a, &j->sel.group, layers.group.v[i]);
    qsort(j->sel.group.v, j->sel.group.n, sizeof *j->sel.group.v, by_first_result);
    keep_some(j);
    return xg_selection_check(j->a, &j->sel, j->m);
}

static xg_status run(job *j) {
    xg_plan *plan;
    xg_program *prog;
    xg_check_result r = {0};
    static const char *const fill = "random";
    xg_check_options o = {.fill = &fill, .nfill = 1, .seed = j->seed % 1000 + 1};
    xg_status st = choose(j);
    if (st == XG_OK) st = xg_plan_make(j->a, &j->sel, j->m, &plan);
    if (st == XG_LIMIT) { /* a group for which the estimate promised too much */
        j->sum->refused++;
        return XG_OK;
    }
    if (st == XG_OK) st = xg_lower(j->a, plan, &prog);
    if (st == XG_OK) st = xg_check(j->a, j->m, j->g, prog, &o, &r);
    if (st != XG_OK) return st;
    xg_buf text = {.arena = j->a};
    if (!r.equal) xg_check_print_text(&r, true, &text);
    if (!r.equal) return xg_error(xg_arena_ctx(j->a), XG_MISMATCH, "check", "%s", text.p);
    j->sum->programs++;
    for (uint32_t i = 0; i < j->sel.group.n; i++) {
        const xg_group *g = &j->sel.group.v[i];
        if (g->nnode < 2) continue;
        j->sum->groups++;
        j->sum->nodes += g->nnode;
        j->sum->used[index_of(j->sum->library, g->pattern)]++;
    }
    return XG_OK;
}

static xg_status one_net(uint64_t seed, tally *sum) {
    const char *const *names = xg_machine_names();
    uint32_t count = 0;
    while (names[count]) count++;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a = xg_arena_new(c);
    xg_machine *m;
    xg_status st = xg_machine_load(a, names[seed / 2 % count], NULL, &m);
    xg_graph *g = NULL;
    if (st == XG_OK)
        g = seed % 2 ? random_net(a, &m->rq, seed + 77777, 6 + (uint32_t)(seed % 9))
                     : block_net(a, &m->rq, seed, 1 + (uint32_t)(seed / 2 % 3));
    xg_graph *compact;
    if (g) st = xg_graph_compact(c, g, a, &compact);
    if (g && st == XG_OK) {
        job j = {.a = a, .g = compact, .m = m, .seed = seed, .sum = sum};
        st = run(&j);
        for (uint32_t i = 0; st != XG_OK && i < j.sel.group.n; i++)
            if (j.sel.group.v[i].nnode > 1)
                fprintf(stderr, "  group of %u by %s, last node '%s'\n", j.sel.group.v[i].nnode,
                        j.sel.group.v[i].pattern,
                        xg_nodep(compact, j.sel.group.v[i].node[j.sel.group.v[i].nnode - 1])->name);
    }
    for (size_t i = 0; st != XG_OK && i < xg_diag_count(c) && i < 6; i++)
        fprintf(stderr, "seed %llu %s: %s: %s\n", (unsigned long long)seed, names[seed / 2 % count],
                xg_diag_at(c, i)->where, xg_diag_at(c, i)->text);
    xg_ctx_free(c);
    return st;
}

static uint64_t first_seed, networks = 200;

static void test_random_groups(void **state) {
    (void)state;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a = xg_arena_new(c);
    tally sum = {0};
    uint32_t bad = 0, patterns = 0;
    assert_int_equal(xg_patterns_load(a, NULL, &sum.library), XG_OK);
    sum.used = xg_newn(a, uint32_t, sum.library->npattern);
    for (uint64_t s = first_seed; s < first_seed + networks && bad < 10; s++)
        bad += one_net(s, &sum) != XG_OK;
    for (uint32_t i = 0; i < sum.library->npattern; i++) {
        print_message("%s %u\n", sum.library->pattern[i].name, sum.used[i]);
        patterns += sum.used[i] > 0;
    }
    print_message("%llu programs, %llu groups of %llu nodes, %llu tensors on chip, %llu candidates "
                  "too large, %llu plans refused, %u bad\n",
                  (unsigned long long)sum.programs, (unsigned long long)sum.groups,
                  (unsigned long long)sum.nodes, (unsigned long long)sum.staying,
                  (unsigned long long)sum.too_large, (unsigned long long)sum.refused, bad);
    assert_int_equal(bad, 0);
    assert_true(sum.refused * 20 <= sum.programs);
    assert_true(sum.groups > sum.programs && patterns + 2 > sum.library->npattern);
    xg_ctx_free(c);
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) networks = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_groups)};
    return cmocka_run_group_tests_name("pattern_groups", tests, NULL, NULL) != 0;
}
