/* Explanations: near matches against the matcher, costs and room against sums done by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fusion/explain_inner.h"

#include "pattern_graphs.h"
#include "xg_test.h"

static xg_machine *machine(xg_test *t, const char *name) {
    xg_machine *m;
    assert_ok(t->c, xg_machine_load(t->a, name, NULL, &m));
    return m;
}

static xg_group alone(xg_test *t, const uint32_t *node, uint32_t n, xg_strategy s) {
    return (xg_group){.nnode = n,
                      .node = xg_memdup(t->a, node, n * sizeof *node),
                      .where = XG_ON_ACCEL,
                      .strategy = s};
}

/* ---- names ---- */

/* in -> stem -> table; in -> side */
static xg_graph *named_graph(xg_test *t) {
    maker k = new_maker(t->a, 1);
    uint32_t in = add_input(&k, 8), x = add_conv(&k, in, 3, 1, false);
    add_table(&k, x);
    add_conv(&k, in, 1, 1, false);
    add_outputs(&k);
    assert_int_equal(k.bad, 0);
    static const char *const names[] = {"stem", "table", "side,one"};
    for (uint32_t i = 0; i < 3; i++) xg_nodep(k.g, i)->name = names[i];
    xg_nodep(k.g, 1)->onnx = "sigmoid+mul";
    xg_tensorp(k.g, x)->onnx = "stem_map";
    return k.g;
}

static void test_names(void **state) {
    xg_test *t = *state;
    const xg_graph *g = named_graph(t);
    static const struct {
        const char *name;
        uint32_t node;
    } rows[] = {{"stem", 0}, {"table", 1}, {"sigmoid", 1}, {"mul", 1}, {"stem_map", 0}};
    uint32_t node;
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        assert_ok(t->c, xg_find_named(t->c, g, rows[i].name, false, &node));
        assert_int_equal(node, rows[i].node);
    }
    assert_ok(t->c, xg_find_named(t->c, g, "stam", true, &node));
    assert_int_equal(node, XG_NONE);
    assert_status(t->c, xg_find_named(t->c, g, "stam", false, &node), XG_INPUT);
    assert_said(t->c, "near: stem");
    assert_status(t->c, xg_find_named(t->c, g, "completely else", false, &node), XG_INPUT);
    assert_null(strstr(xg_diag_at(t->c, xg_diag_count(t->c) - 1)->text, "near"));
    assert_status(t->c, xg_find_named(t->c, g, "", false, &node), XG_INPUT);
    const char *in = xg_tensorp(g, g->input.v[0])->name;
    assert_status(t->c, xg_find_named(t->c, g, in, false, &node), XG_INPUT);
    assert_said(t->c, "an input of the model");
}

/* ---- near matches ---- */

static bool in_list(const xg_candidates *c, const uint32_t *node, uint32_t n) {
    for (uint32_t i = 0; i < c->n; i++)
        if (c->v[i].nnode == n && !memcmp(c->v[i].node, node, n * sizeof *node)) return true;
    return false;
}

/* The legal ones of a node's near matches are the candidates with it. Returns how many. */
static uint32_t compare_node(xg_test *t, xg_arena *a, const xg_graph *g, const xg_patterns *p,
                             const xg_candidates *c, const char *const *refused, uint32_t node) {
    xg_nears near;
    uint32_t with = 0, legal = 0;
    for (uint32_t i = 0; i < c->n; i++)
        for (uint32_t k = 0; k < c->v[i].nnode; k++) with += c->v[i].node[k] == node;
    xg_match_near(a, g, p, node, XG_NONE, false, &near);
    for (uint32_t i = 0; i < near.n; i++) {
        const xg_near *x = &near.v[i];
        bool ok = !xg_why_no_candidate(a, g, refused, x->node, x->n);
        assert_null(x->fault);
        legal += ok;
        if (ok != in_list(c, x->node, x->n))
            fail_msg("node %u: a match of %s is %slegal, but not so for the matcher", node,
                     p->pattern[x->pattern].name, ok ? "" : "not ");
    }
    assert_int_equal(legal, with);
    (void)t;
    return legal;
}

static void test_near_is_matching(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    uint32_t seen = 0;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    for (uint64_t seed = 1; seed <= 200; seed++) {
        xg_arena *a = xg_arena_new(t->c);
        bool *accel;
        const xg_graph *g = random_graph(a, seed, 4 + (uint32_t)(seed % 16), &accel);
        const char **refused = xg_newn(a, const char *, g->node.n);
        xg_candidates c;
        for (uint32_t i = 0; i < g->node.n; i++) refused[i] = accel[i] ? NULL : "by this test";
        assert_ok(t->c, xg_match(a, g, accel, p, &c, NULL));
        for (uint32_t i = 0; i < g->node.n; i++) seen += compare_node(t, a, g, p, &c, refused, i);
        xg_arena_free(a);
    }
    assert_true(seen > 1000);
}

static void test_one_condition_fails(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    static const char text[] = "patterns:\n  - name: wide\n    vertices:\n"
                               "      - {id: a, op: [Conv], kernel_min: 5}\n"
                               "      - {id: b, op: [Lut]}\n";
    const char *path = xg_strf(t->a, "explain_%d.yaml", (int)getpid());
    assert_ok(t->c, xg_write_file(t->c, path, text, strlen(text)));
    assert_ok(t->c, xg_patterns_load(t->a, path, &p));
    unlink(path);
    const xg_graph *g = named_graph(t);
    xg_nears near;
    xg_match_near(t->a, g, p, 0, 1, false, &near);
    assert_int_equal(near.n, 0);
    xg_match_near(t->a, g, p, 0, 1, true, &near);
    assert_int_equal(near.n, 1);
    assert_string_equal(near.v[0].fault, "'stem' does not meet 'kernel_min: 5' of vertex a");
    xg_match_near(t->a, g, p, 1, 2, true, &near); /* no tensor links them */
    assert_int_equal(near.n, 0);
}

static void test_rules(void **state) {
    xg_test *t = *state;
    maker k = new_maker(t->a, 1);
    uint32_t x = add_conv(&k, add_input(&k, 8), 3, 1, false), y = add_table(&k, x);
    add_plain(&k, XG_OP_Mul, x, y);
    add_outputs(&k);
    for (uint32_t i = 0; i < 3; i++) xg_nodep(k.g, i)->name = xg_strf(t->a, "n%u", i);
    const char *refused[3] = {NULL, NULL, NULL};
    const uint32_t all[3] = {0, 1, 2};
    assert_null(xg_why_no_candidate(t->a, k.g, refused, all, 3));
    assert_string_equal(xg_why_no_candidate(t->a, k.g, refused, all, 2),
                        "the result of 'n0' is also read outside, by 'n2'");
    refused[1] = "it is blue";
    assert_string_equal(xg_why_no_candidate(t->a, k.g, refused, all, 3),
                        "'n1' runs on the host: it is blue");
    refused[1] = NULL;
    xg_graph_add_output(k.g, y);
    assert_string_equal(xg_why_no_candidate(t->a, k.g, refused, all, 3),
                        "the result of 'n1' is an output of the model");
}

/* ---- costs and room by hand ---- */

/* One convolution, size x size map, ic to oc channels; returns its node. */
static uint32_t one_conv(maker *k, int64_t size, int64_t ic, int64_t oc, int32_t kernel) {
    xg_tensor in = {.dtype = XG_I8, .rank = 4, .dim = {1, size, size, ic}};
    int64_t dim[4] = {oc, kernel, kernel, ic};
    in.producer = XG_NONE;
    in.quant = xg_quant_scalar(k->a, 0.5f, 0);
    uint32_t op[2] = {xg_graph_add_tensor(k->g, &in), 0};
    xg_graph_add_input(k->g, op[0]);
    op[1] = xg_graph_add_const(k->g, NULL, XG_I8, 4, dim,
                               xg_alloc(k->a, (size_t)(oc * kernel * kernel * ic)),
                               xg_quant_scalar(k->a, 0.25f, 0));
    uint32_t n = xg_graph_add_node(k->g, XG_OP_Conv, NULL, op, 2, 1);
    int32_t pad = kernel / 2;
    xg_window w = {kernel, kernel, 1, 1, 1, 1, pad, pad, pad, pad};
    xg_set_window(xg_nodep(k->g, n), &w);
    settle(k, n);
    add_outputs(k);
    assert_int_equal(k->bad, 0);
    return n;
}

/* kv260: 8 rows x 16 input channels x 16 output channels at once. */
static void test_terms_by_hand(void **state) {
    xg_test *t = *state;
    const xg_machine *m = machine(t, "kv260");
    static const struct {
        int64_t size, ic, oc;
        int64_t full, channels, rows, instructions;
    } rows[] = {
        {8, 16, 16, 8 * 9, 0, 0, 1},          /* all lanes at work */
        {8, 4, 16, 2 * 9, 6 * 9, 0, 1},       /* a quarter of the input lanes */
        {8, 16, 20, 10 * 9, 6 * 9, 0, 2},     /* 20 of 32 output lanes */
        {12, 16, 16, 18 * 9, 0, 6 * 9, 2},    /* 12 of 16 rows */
        {12, 8, 8, 9 * 9 / 2, 122, 6 * 9, 2}, /* 40.5, and 121.5 */
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        maker k = new_maker(t->a, 1);
        uint32_t n = one_conv(&k, rows[i].size, rows[i].ic, rows[i].oc, 3),
                 size = (uint32_t)rows[i].size;
        xg_group g = alone(t, &n, 1, (xg_strategy){.tile_h = size, .tile_w = size, .tile_oc = 32});
        xg_cost_terms c;
        xg_cost_by_term(k.g, m, &g, NULL, &c);
        assert_true(c.parts.valid);
        assert_in_range(c.full, rows[i].full, rows[i].full + 1); /* halves are rounded */
        assert_int_equal(c.full + c.channels, rows[i].full + rows[i].channels);
        assert_int_equal(c.rows, rows[i].rows);
        assert_int_equal(c.tiling, rows[i].instructions * m->tile.conv_start);
    }
}

static void test_shortage_by_hand(void **state) {
    xg_test *t = *state;
    xg_machine m = *machine(t, "kv260");
    maker k = new_maker(t->a, 1);
    uint32_t n = one_conv(&k, 8, 16, 16, 3);
    xg_group g = alone(t, &n, 1, (xg_strategy){0});
    bool *may = xg_newn(t->a, bool, k.g->tensor.n);
    xg_fit fit;
    xg_fit_of(t->a, k.g, &m, &g, may, &fit);
    assert_int_equal(fit.fit, fit.tried);
    assert_true(fit.kept > 0 && fit.kept < fit.tried);
    /* whole: 8 columns in, 8 out, one word each */
    assert_int_equal(fit.least.fm_words, 16);
    m.tile.fm_depth = 10;
    xg_fit_of(t->a, k.g, &m, &g, may, &fit);
    assert_int_equal(fit.fit, 0);
    assert_string_equal(xg_fit_shortage(t->a, &m, &fit),
                        "feature maps: the smallest tile wants 16 words a bank, the machine has 10 "
                        "(6 short)");
    may[xg_nodep(k.g, n)->out[0]] = true; /* without room for the result in 3 columns, twice */
    xg_fit_of(t->a, k.g, &m, &g, may, &fit);
    assert_int_equal(fit.fit_ddr, 0);
    assert_true(fit.fit > 0);
    m.tile.fm_depth = 4096;
    m.tile.w_depth = 8; /* 9 taps of one word */
    xg_fit_of(t->a, k.g, &m, &g, may, &fit);
    assert_int_equal(fit.fit, 0);
    assert_string_equal(
        xg_fit_shortage(t->a, &m, &fit),
        "weights: the smallest block wants 9 words a bank, the machine has 8 (1 short)");
}

/* ---- laws on random graphs ---- */

typedef struct law {
    xg_test *t;
    const xg_graph *g;
    const xg_machine *m;
    xg_group grp;
    uint32_t strategies;
} law;

static void check_sums(void *arg, const xg_strategy *s) {
    law *l = arg;
    xg_cost_terms c;
    l->grp.strategy = *s;
    if (l->strategies++ % 7) return;
    xg_cost_by_term(l->g, l->m, &l->grp, NULL, &c);
    if (!c.parts.valid) return;
    uint64_t load = c.parts.wload, save = 0;
    for (uint32_t k = 0; k < c.parts.nin; k++) load += c.parts.in[k].engine;
    for (uint32_t k = 0; k < c.parts.nout; k++) save += c.parts.out[k].engine;
    assert_int_equal(c.full + c.channels + c.rows + c.tiling, c.est.conv);
    assert_true(c.full >= 0 && c.channels >= 0 && c.rows >= 0);
    assert_int_equal(load * c.parts.images, c.est.load);
    assert_int_equal(save * c.parts.images, c.est.save);
    assert_int_equal((int64_t)c.slowest_cycles + c.not_hidden, c.est.cycles);
    assert_true(c.slowest_cycles >= c.est.conv && c.slowest_cycles >= c.est.misc);
    assert_true(c.slowest_cycles >= c.est.load && c.slowest_cycles >= c.ddr_busy);
}

static void test_terms_sum_up(void **state) {
    static const char *const machines[] = {"kv260", "zu9", "nano"};
    xg_test *t = *state;
    const xg_patterns *p;
    uint32_t groups = 0;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    for (uint64_t seed = 1; seed <= 12; seed++) {
        const xg_machine *m = machine(t, machines[seed % 3]);
        xg_arena *a = xg_arena_new(t->c);
        bool *accel;
        const xg_graph *g = random_graph(a, seed, 12, &accel);
        xg_candidates c;
        assert_ok(t->c, xg_match(a, g, accel, p, &c, NULL));
        for (uint32_t i = 0; i < c.n && i < 10; i++, groups++) {
            law l = {.t = t, .g = g, .m = m};
            l.grp = (xg_group){.nnode = c.v[i].nnode, .node = c.v[i].node, .where = XG_ON_ACCEL};
            xg_group_find_results(a, g, &l.grp);
            xg_each_strategy(g, m, &l.grp, check_sums, &l);
        }
        xg_arena_free(a);
    }
    assert_true(groups > 50);
}

/* A cover with a group fixed has that group, and is never cheaper than the bound of all. */
static void test_fixed_covers(void **state) {
    xg_test *t = *state;
    const xg_machine *m = machine(t, "nano");
    uint32_t covers = 0, dearer = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        xg_arena *a = xg_arena_new(t->c);
        bool *accel;
        xg_selection sel;
        teller k;
        xg_buf out = {.arena = a};
        const xg_graph *g = random_graph(a, seed, 8, &accel);
        assert_ok(t->c, xg_select(a, g, m, "ilp", &sel));
        const xg_explain e = {.sel = &sel, .m = m};
        assert_ok(t->c, xg_teller_init(&k, a, &e, &out));
        assert_true(k.best.found);
        for (uint32_t n = 0; n < g->node.n; n++) {
            xg_entries all = {0};
            if (k.refused[n]) continue;
            xg_collect_entries(&k, n, XG_NONE, &all);
            assert_ok(t->c, xg_judge_entries(&k, &all));
            uint32_t best = 0;
            for (uint32_t i = 0; i < all.n; i++) {
                const xg_entry *x = &all.v[i];
                assert_true(xg_has_node(x->node, x->n, n));
                assert_true(!x->why || !x->cover.found);
                if (!x->cover.found) continue;
                if ((double)x->cover.value < k.best.bound - 1)
                    fail_msg("seed %llu, %s: a cover of %lld below the bound %.1f (best %lld)",
                             (unsigned long long)seed, x->pattern, (long long)x->cover.value,
                             k.best.bound, (long long)k.best.value);
                assert_int_equal(x->group.nnode, x->n);
                best += x->in_best;
                dearer += x->cover.value > k.best.value;
                covers++;
            }
            assert_int_equal(best, 1);
        }
        xg_arena_free(a);
    }
    assert_true(covers > 40 && dearer > 10);
}

static void test_texts(void **state) {
    xg_test *t = *state;
    const xg_machine *m = machine(t, "edge");
    const xg_graph *g = named_graph(t);
    xg_selection sel;
    xg_buf out = {.arena = t->a};
    assert_ok(t->c, xg_select(t->a, g, m, "ilp", &sel));
    const xg_explain e = {.sel = &sel, .m = m};
    assert_ok(t->c, xg_explain_choice(t->a, &e, &out));
    assert_non_null(strstr(out.p, "stem"));
    assert_ok(t->c, xg_explain_pair(t->a, &e, "stem,table", &out));
    assert_non_null(strstr(out.p, "'table' reads the result of 'stem' (operand 0)\n"));
    assert_ok(t->c, xg_explain_pair(t->a, &e, "side,one,stem", &out));
    assert_non_null(strstr(out.p, "both read '"));
    assert_status(t->c, xg_explain_pair(t->a, &e, "stem", &out), XG_USAGE);
    assert_status(t->c, xg_explain_pair(t->a, &e, "stem,stem", &out), XG_USAGE);
    assert_status(t->c, xg_explain_pair(t->a, &e, "stem,side", &out), XG_INPUT);
    assert_said(t->c, "near: side,one");
    assert_status(t->c, xg_explain_pair(t->a, &e, "a,b,c", &out), XG_INPUT);
    assert_status(t->c, xg_explain_node(t->a, &e, "steem", &out), XG_INPUT);
}

static xg_status explain_all(void *arg) {
    xg_test_case *k = arg;
    xg_test t = {k->c, k->a};
    xg_machine *m;
    xg_selection sel;
    xg_buf out = {.arena = k->a};
    xg_status st = xg_machine_load(k->a, "edge", NULL, &m);
    const xg_graph *g = named_graph(&t);
    if (st == XG_OK) st = xg_select(k->a, g, m, "ilp", &sel);
    const xg_explain e = {.sel = &sel, .m = m};
    if (st == XG_OK) st = xg_explain_choice(k->a, &e, &out);
    if (st == XG_OK) st = xg_explain_node(k->a, &e, "stem", &out);
    return st == XG_OK ? xg_explain_pair(k->a, &e, "stem,table", &out) : st;
}

static void test_no_memory(void **state) {
    (void)state;
    assert_true(xg_test_nomem(explain_all, NULL, 97) > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names),        TEST(test_near_is_matching), TEST(test_one_condition_fails),
        TEST(test_rules),        TEST(test_terms_by_hand),    TEST(test_shortage_by_hand),
        TEST(test_terms_sum_up), TEST(test_fixed_covers),     TEST(test_texts),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
