/* The judge of selections agrees with the rules as written down here, on random selections of
 * random networks; what it accepts can be planned, lowered and run, and equals the interpreter.
 * Arguments: [first seed] [selections] [programs]; default 1, 100000 and 200. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fusion/geometry.h"
#include "layout/plan.h"
#include "random_net.h"
#include "validate/check.h"
#include "xg_test.h"

static uint64_t first_seed = 1, selections = 100000, programs = 200;
enum { EACH = 250 /* selections of one network */ };

typedef struct job {
    xg_arena *a;
    const xg_graph *g;
    const xg_machine *m;
    const char **refused; /* [nodes] */
    uint64_t seed;
    xg_selection sel;
} job;

static uint32_t any(job *j, uint32_t n) {
    return (uint32_t)(xg_random(&j->seed) % n);
}

/* ---- the rules ---- */

static bool member(const xg_group *g, uint32_t node) {
    for (uint32_t k = 0; k < g->nnode; k++)
        if (g->node[k] == node) return true;
    return false;
}

static uint32_t group_of(const xg_selection *s, uint32_t node) {
    uint32_t i = 0;
    while (!member(&s->group.v[i], node)) i++;
    return i;
}

static bool reads(const xg_node *n, uint32_t t) {
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k] == t) return true;
    return false;
}

/* A group's node is read by nodes of the group alone, or by none of them: then it is a result. */
static bool closed(const job *j, const xg_group *g, uint32_t *results) {
    *results = 0;
    for (uint32_t k = 0; k < g->nnode; k++) {
        uint32_t t = xg_nodep(j->g, g->node[k])->out[0], in = 0, out = 0;
        for (uint32_t i = 0; i < j->g->node.n; i++)
            if (reads(xg_nodep(j->g, i), t)) *(member(g, i) ? &in : &out) += 1;
        if (in && (out || xg_tensorp(j->g, t)->is_output)) return false;
        *results += !in;
    }
    return true;
}

static bool same_map(const job *j, const xg_group *g) {
    const int64_t *first = NULL;
    int64_t d[2][4];
    for (uint32_t k = 0; k < g->nnode; k++) {
        uint32_t t = xg_nodep(j->g, g->node[k])->out[0];
        bool in = false;
        for (uint32_t i = 0; i < g->nnode; i++) in |= reads(xg_nodep(j->g, g->node[i]), t);
        if (in) continue;
        xg_dims4(xg_tensorp(j->g, t), d[first != NULL]);
        if (first && (d[0][0] != d[1][0] || d[0][1] != d[1][1] || d[0][2] != d[1][2])) return false;
        first = d[0];
    }
    return true;
}

static bool group_legal(const job *j, const xg_group *g) {
    const xg_strategy *t = &g->strategy;
    uint32_t icp = j->m->tile.icp, ocp = j->m->tile.ocp, unit = ocp > icp ? ocp : icp, results;
    if (g->where == XG_ON_HOST) return true;
    for (uint32_t k = 0; k < g->nnode; k++) {
        uint16_t op = xg_nodep(j->g, g->node[k])->op;
        if (j->refused[g->node[k]]) return false;
        if (g->nnode > 1 && (op == XG_OP_Concat || op == XG_OP_Reshape || op == XG_OP_Slice))
            return false;
    }
    if (t->tile_oc % unit || t->tile_ic % icp) return false;
    if (t->fold && (t->tile_ic || !xg_may_fold(j->g, j->m, g->node[0]))) return false;
    if (t->batched && t->split != XG_SPLIT_IMAGE) return false;
    if (g->nnode == 1) return true;
    if (!closed(j, g, &results) || results > XG_GROUP_RESULTS) return false;
    return results == 1 || (same_map(j, g) && t->split != XG_SPLIT_CHANNELS && !t->fold);
}

/* The groups run one after another, each after those that it reads from. */
static bool order_legal(const job *j) {
    for (uint32_t i = 0; i < j->g->node.n; i++)
        for (uint32_t k = 0; k < j->g->node.n; k++)
            if (reads(xg_nodep(j->g, k), xg_nodep(j->g, i)->out[0]) &&
                group_of(&j->sel, i) > group_of(&j->sel, k))
                return false;
    return true;
}

/* Groups of one kind that follow each other work side by side; others wait for them. */
static bool same_kind(const job *j, const xg_group *a, const xg_group *b) {
    int64_t x[4], y[4];
    xg_dims4(xg_out(j->g, xg_nodep(j->g, a->node[a->nnode - 1]), 0), x);
    xg_dims4(xg_out(j->g, xg_nodep(j->g, b->node[b->nnode - 1]), 0), y);
    bool images = a->strategy.split == XG_SPLIT_IMAGE;
    return a->where == b->where &&
           (a->where == XG_ON_HOST ||
            (!a->strategy.batched && !b->strategy.batched &&
             images == (b->strategy.split == XG_SPLIT_IMAGE) && (!images || x[0] == y[0])));
}

/* Nothing of another kind runs between two groups that are split by images. */
static bool side_by_side(const job *j, uint32_t made, uint32_t by) {
    for (uint32_t k = made; k != by; k += k < by ? 1 : -1u)
        if (!same_kind(j, &j->sel.group.v[k], &j->sel.group.v[by])) return false;
    return true;
}

/* What reads the tensor in tiles, but for a concat in which it lies, works on the same images, or
 * later, after groups of another kind: then it finds it in DDR. */
static bool read_by_images(const job *j, uint32_t t) {
    const uint32_t *parent = xg_concat_parents(&j->sel, j->a);
    uint32_t made = group_of(&j->sel, xg_tensorp(j->g, t)->producer);
    for (uint32_t i = 0; i < j->g->node.n; i++) {
        const xg_node *n = xg_nodep(j->g, i);
        uint32_t by = group_of(&j->sel, i);
        const xg_group *g = &j->sel.group.v[by];
        if (!reads(n, t) || g->where == XG_ON_HOST || g->strategy.split == XG_SPLIT_IMAGE) continue;
        if (n->op == XG_OP_Reshape || n->op == XG_OP_Slice) continue;
        if (n->op == XG_OP_Concat && parent[t] == n->out[0]) continue;
        uint32_t k = made; /* it shares the run of what it reads when it ends that run */
        while (k < by && same_kind(j, &j->sel.group.v[made], &j->sel.group.v[k])) k++;
        if (side_by_side(j, k, by)) return false;
    }
    return true;
}

/* A tensor may be kept when a group of tiles makes it as its result, each core its own images. A
 * concat's result may when each operand lies in it, at whole words, once, and may be kept. */
static bool may_be_kept(const job *j, uint32_t t) {
    uint32_t made = xg_tensorp(j->g, t)->producer;
    if (made == XG_NONE) return false;
    const xg_node *n = xg_nodep(j->g, made);
    const xg_group *g = &j->sel.group.v[group_of(&j->sel, made)];
    if (g->where == XG_ON_HOST || g->strategy.split != XG_SPLIT_IMAGE) return false;
    if (g->strategy.batched) return false;
    if (n->op == XG_OP_Reshape || n->op == XG_OP_Slice || !read_by_images(j, t)) return false;
    for (uint32_t k = 0; k < g->nnode; k++)
        if (reads(xg_nodep(j->g, g->node[k]), t)) return false;
    if (n->op != XG_OP_Concat) return true;
    const uint32_t *parent = xg_concat_parents(&j->sel, j->a);
    int64_t at = 0, axis = xg_ai(n, XG_ATTR_axis);
    if (axis + 1 != xg_tensorp(j->g, t)->rank) return false;
    for (uint32_t k = 0; k < n->nin; at += xg_in(j->g, n, k)->dim[axis], k++) {
        for (uint32_t i = 0; i < k; i++)
            if (n->in[i] == n->in[k]) return false;
        if (at % j->m->tile.icp || parent[n->in[k]] != t || !may_be_kept(j, n->in[k])) return false;
        uint32_t by = group_of(&j->sel, xg_tensorp(j->g, n->in[k])->producer);
        if (!side_by_side(j, by, group_of(&j->sel, made))) return false;
    }
    return true;
}

static bool legal(const job *j) {
    for (uint32_t i = 0; i < j->sel.group.n; i++)
        if (!group_legal(j, &j->sel.group.v[i])) return false;
    for (uint32_t t = 0; t < j->g->tensor.n; t++)
        if (j->sel.on_chip[t] && !may_be_kept(j, t)) return false;
    return order_legal(j);
}

/* ---- random selections ---- */

static uint32_t some_neighbour(job *j, uint32_t node) {
    uint32_t found[64], n = 0;
    for (uint32_t i = 0; i < j->g->node.n && n < 64; i++) {
        bool near = reads(xg_nodep(j->g, i), xg_nodep(j->g, node)->out[0]) ||
                    reads(xg_nodep(j->g, node), xg_nodep(j->g, i)->out[0]);
        for (uint32_t k = 0; k < xg_nodep(j->g, node)->nin && !near; k++) { /* siblings */
            uint32_t t = xg_nodep(j->g, node)->in[k];
            near = i != node && t != XG_NONE && !xg_tensorp(j->g, t)->data &&
                   reads(xg_nodep(j->g, i), t);
        }
        if (near) found[n++] = i;
    }
    return n ? found[any(j, n)] : XG_NONE;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static xg_strategy some_strategy(job *j, const xg_group *g) {
    uint32_t icp = j->m->tile.icp, ocp = j->m->tile.ocp, unit = ocp > icp ? ocp : icp;
    int64_t d[4];
    xg_dims4(xg_out(j->g, xg_nodep(j->g, g->node[g->nnode - 1]), 0), d);
    bool images = j->m->cores == 1 || d[0] >= j->m->cores;
    xg_strategy s = {.tile_h = (1 + any(j, 4)) * j->m->tile.pp,
                     .tile_w = any(j, 3) ? (uint32_t)d[2] : 1 + any(j, (uint32_t)d[2]),
                     .tile_oc = any(j, 3) * unit,
                     .order = any(j, 2) ? XG_MAP_STATIONARY : XG_WEIGHT_STATIONARY,
                     .split = images ? XG_SPLIT_IMAGE : XG_SPLIT_ROWS,
                     .fold = !any(j, 8) && (any(j, 8) == 0 || xg_may_fold(j->g, j->m, g->node[0])),
                     .weights_resident = !any(j, 3),
                     .keep = !any(j, 3),
                     .batched = !any(j, 12)};
    if (!any(j, 12)) s.tile_ic = icp * (1 + any(j, 2));
    if (!any(j, 12)) s.split = (xg_split)any(j, 4);
    if (!any(j, 60)) s.tile_oc += 1;
    if (!any(j, 60)) s.tile_ic += 1;
    return s;
}

static void push_group(job *j, const uint32_t *node, uint32_t n) {
    xg_group g = {.nnode = n, .node = xg_memdup(j->a, node, n * sizeof *node), .pattern = "some"};
    qsort((uint32_t *)g.node, n, sizeof *g.node, ascending);
    xg_group_find_results(j->a, j->g, &g);
    bool host = n == 1 && (j->refused[node[0]] ? any(j, 40) != 0 : any(j, 30) == 0);
    g.where = host ? XG_ON_HOST : XG_ON_ACCEL;
    if (host) g.host_reason = "the test says so";
    if (!host) g.strategy = some_strategy(j, &g);
    xg_push(j->a, &j->sel.group, g);
}

/* Groups in an order in which they can run where there is one; else, or one time in 30, not. */
static void order_groups(job *j) {
    xg_group *to = xg_newn(j->a, xg_group, j->sel.group.n);
    bool *ran = xg_newn(j->a, bool, j->g->node.n), *done = xg_newn(j->a, bool, j->sel.group.n);
    uint32_t n = 0, last = XG_NONE;
    while (n != last) {
        last = n;
        for (uint32_t i = 0; i < j->sel.group.n; i++) {
            const xg_group *g = &j->sel.group.v[i];
            bool ready = !done[i];
            for (uint32_t k = 0; ready && k < g->nnode; k++)
                for (uint32_t p = 0; ready && p < j->g->node.n; p++)
                    ready = member(g, p) || ran[p] ||
                            !reads(xg_nodep(j->g, g->node[k]), xg_nodep(j->g, p)->out[0]);
            if (!ready) continue;
            done[i] = true;
            to[n++] = *g;
            for (uint32_t k = 0; k < g->nnode; k++) ran[g->node[k]] = true;
        }
    }
    for (uint32_t i = 0; i < j->sel.group.n; i++) /* a ring of groups */
        if (!done[i]) to[n++] = j->sel.group.v[i];
    if (!any(j, 30)) {
        uint32_t x = any(j, n), y = any(j, n);
        xg_group g = to[x];
        to[x] = to[y];
        to[y] = g;
    }
    memcpy(j->sel.group.v, to, n * sizeof *to);
}

static void some_selection(job *j) {
    bool *taken = xg_newn(j->a, bool, j->g->node.n);
    uint32_t eager = any(j, 5);
    j->sel = (xg_selection){.graph = j->g, .strategy = "random", .note = ""};
    for (uint32_t i = 0; i < j->g->node.n; i++) {
        uint32_t node[6] = {i}, n = 1, want = any(j, 5) < eager ? 2 + any(j, 4) : 1;
        if (taken[i]) continue;
        taken[i] = true;
        for (uint32_t tries = 0; n < want && tries < 6 && !j->refused[i]; tries++) {
            uint32_t next = some_neighbour(j, node[any(j, n)]);
            if (next == XG_NONE || taken[next] || (j->refused[next] && any(j, 20))) continue;
            taken[next] = true;
            node[n++] = next;
        }
        push_group(j, node, n);
    }
    order_groups(j);
    j->sel.on_chip = xg_newn(j->a, bool, j->g->tensor.n + 1);
    uint32_t keep = any(j, 4);
    for (uint32_t t = 0; t < j->g->tensor.n; t++)
        j->sel.on_chip[t] = any(j, 4) < keep && (may_be_kept(j, t) || !any(j, 50));
}

/* ---- tests ---- */

typedef struct tally {
    uint64_t selections, accepted, fused, siblings, kept, rings, programs, refused;
} tally;

static void count(const job *j, tally *sum) {
    sum->accepted++;
    bool fused = false, siblings = false, kept = false;
    for (uint32_t i = 0; i < j->sel.group.n; i++) {
        fused |= j->sel.group.v[i].nnode > 1;
        siblings |= j->sel.group.v[i].nresult > 1;
    }
    for (uint32_t t = 0; t < j->g->tensor.n; t++) kept |= j->sel.on_chip[t];
    sum->fused += fused;
    sum->siblings += siblings;
    sum->kept += kept;
}

/* XG_LIMIT: no tile fits, which only the planner can say. */
static xg_status run(job *j) {
    xg_plan *plan;
    xg_program *prog;
    xg_check_result r = {0};
    static const char *const fill = "random";
    xg_check_options o = {.fill = &fill, .nfill = 1, .seed = j->seed % 1000 + 1};
    xg_status st = xg_plan_make(j->a, &j->sel, j->m, &plan);
    if (st == XG_OK) st = xg_lower(j->a, plan, &prog);
    if (st == XG_OK) st = xg_check(j->a, j->m, j->g, prog, &o, &r);
    if (st != XG_OK || r.equal) return st;
    xg_buf text = {.arena = j->a};
    xg_check_print_text(&r, true, &text);
    return xg_error(xg_arena_ctx(j->a), XG_MISMATCH, "check", "%s", text.p);
}

static void show(const job *j, uint64_t seed, const char *what) {
    xg_buf text = {.arena = j->a};
    xg_selection_print(&j->sel, &text);
    fprintf(stderr, "network %llu on %s: %s\n%s", (unsigned long long)seed, j->m->name, what,
            text.p);
    xg_test_print_diags(xg_arena_ctx(j->a));
}

/* True when all went well. */
static bool one_selection(xg_ctx *c, job j, uint64_t network, bool build, tally *sum) {
    j.a = xg_arena_new(c);
    some_selection(&j);
    bool want = legal(&j), ran = false;
    xg_status got = xg_selection_check(j.a, &j.sel, j.m), st = XG_OK;
    if (want != (got == XG_OK))
        show(&j, network, want ? "refused, but legal by the rules" : "accepted against the rules");
    if (want) count(&j, sum);
    if (want && got == XG_OK && build) {
        st = run(&j);
        ran = st == XG_OK;
        if (st != XG_OK && st != XG_LIMIT) show(&j, network, "accepted, but it does not run");
        sum->programs += ran;
        sum->refused += st == XG_LIMIT;
    }
    sum->selections++;
    xg_diag_truncate(c, 0);
    xg_arena_free(j.a);
    return want == (got == XG_OK) && (st == XG_OK || st == XG_LIMIT);
}

static uint32_t one_network(uint64_t seed, tally *sum) {
    const char *const *names = xg_machine_names();
    uint32_t machines = 0, bad = 0;
    while (names[machines]) machines++;
    xg_ctx *c = xg_ctx_new();
    xg_arena *a = xg_arena_new(c);
    xg_machine *m;
    xg_graph *g, *compact;
    assert_int_equal(xg_machine_load(a, names[seed % machines], NULL, &m), XG_OK);
    g = random_net(a, &m->rq, seed, 3 + (uint32_t)(seed % 12));
    if (g && xg_graph_compact(c, g, a, &compact) == XG_OK) {
        job j = {.a = a, .g = compact, .m = m, .seed = seed * 77 + 5};
        j.refused = xg_newn(a, const char *, compact->node.n + 1);
        for (uint32_t i = 0; i < compact->node.n; i++)
            j.refused[i] = xg_tile_refuses(a, compact, m, i);
        uint64_t networks = selections / EACH + 1;
        for (uint32_t i = 0; i < EACH && bad < 3; i++) {
            (void)xg_random(&j.seed);
            bool build = (uint64_t)i * networks < programs * 3; /* about one in three is legal */
            bad += !one_selection(c, j, seed, build && sum->programs < programs, sum);
        }
    }
    xg_ctx_free(c);
    return bad;
}

static void test_random_selections(void **state) {
    (void)state;
    tally sum = {0};
    uint32_t bad = 0;
    for (uint64_t seed = first_seed; sum.selections < selections && bad < 3; seed++)
        bad += one_network(seed, &sum);
    print_message("%llu selections, %llu legal (%llu with fused groups, %llu with siblings, %llu "
                  "with tensors on chip), %llu programs equal, %llu without room\n",
                  (unsigned long long)sum.selections, (unsigned long long)sum.accepted,
                  (unsigned long long)sum.fused, (unsigned long long)sum.siblings,
                  (unsigned long long)sum.kept, (unsigned long long)sum.programs,
                  (unsigned long long)sum.refused);
    assert_int_equal(bad, 0);
    assert_true(sum.accepted > sum.selections / 10 && sum.accepted < sum.selections / 10 * 9);
    assert_true(sum.fused > sum.selections / 50 && sum.kept > sum.selections / 50);
    assert_true(sum.siblings > sum.selections / 1000);
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) selections = strtoull(argv[2], NULL, 10);
    if (argc > 3) programs = strtoull(argv[3], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_selections)};
    return cmocka_run_group_tests_name("legal", tests, NULL, NULL) != 0;
}
