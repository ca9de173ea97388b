/* The pattern file and matching. */
#include "fusion/patterns.h"

#include "isa/machine.h"
#include "fusion/select.h"
#include "xgraph/import.h"

#include "pattern_graphs.h"
#include "xg_test.h"

/* ---- the file ---- */

static xg_status load_text(xg_test *t, const char *text, const xg_patterns **out) {
    const char *path = xg_strf(t->a, "patterns_%d.yaml", (int)getpid());
    assert_ok(t->c, xg_write_file(t->c, path, text, strlen(text)));
    xg_status st = xg_patterns_load(t->a, path, out);
    unlink(path);
    return st;
}

static void test_shipped(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    assert_true(p->npattern >= 15);
    uint32_t variants = 0, vertices = 0;
    for (uint32_t i = 0; i < p->npattern; i++) {
        assert_true(p->pattern[i].doc[0] != 0);
        assert_int_equal(p->pattern[i].first_vertex, vertices);
        assert_true(p->pattern[i].nvertex <= p->widest);
        assert_true(p->pattern[i].nvariant > 0);
        variants += p->pattern[i].nvariant;
        vertices += p->pattern[i].nvertex;
    }
    assert_int_equal(variants, p->nvariant);
    assert_int_equal(vertices, p->nvertex);
}

#define HEAD "patterns:\n  - name: p\n    vertices:\n"
#define AB   HEAD "      - {id: a, op: [Conv]}\n      - {id: b, op: [Add]}\n"

static void test_malformed(void **state) {
    static const struct {
        const char *text, *where, *part;
        xg_status st;
    } rows[] = {
        {"patterns: []\n", ":1:11", "patterns", XG_INPUT},
        {"pattern: 1\n", ":1:10", "unknown field", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv], opt: true}\n      - {id: b, op: [Lut]}\n", ":4:34",
         "'patterns[0].vertices[0].opt': unknown field", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv]}\n      - {op: [Lut]}\n", ":5:9",
         "'patterns[0].vertices[1].id' is missing", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv]}\n", ":4:7", "found 1, expected 2 to 12", XG_INPUT},
        {HEAD "      - {id: a, op: [Convx]}\n      - {id: b, op: [Lut]}\n", ":4:22",
         "no operator 'Convx'", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv]}\n      - {id: b, op: [Lut, Concat]}\n", ":5:27",
         "Concat cannot be in a group", XG_UNSUPPORTED},
        {HEAD "      - {id: a, op: [Conv]}\n      - {id: a, op: [Lut]}\n", ":5:14",
         "a second vertex 'a'", XG_INPUT},
        {HEAD "      - {id: a b, op: [Conv]}\n      - {id: c, op: [Lut]}\n", ":4:14",
         "letters, digits", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv], kernel_min: 0}\n      - {id: c, op: [Lut]}\n", ":4:41",
         "whole number from 1 to 65535", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv], kernel_min: 3, kernel_max: 2}\n"
              "      - {id: c, op: [Lut]}\n",
         ":4:56", "less than kernel_min", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv]}\n      - {id: c, op: [Lut], stride_max: 1}\n", ":5:40",
         "operators with a window only", XG_INPUT},
        {HEAD
         "      - {id: a, op: [Conv]}\n      - {id: c, op: [Add, DenseConv], operands: equal}\n",
         ":5:49", "Add and Mul only", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv], map: round}\n      - {id: c, op: [Lut]}\n", ":4:34",
         "expected one of: any, same, smaller, point", XG_INPUT},
        {AB "    edges:\n      - {from: a, to: z}\n", ":7:23", "no vertex 'z'", XG_INPUT},
        {AB "    edges:\n      - {from: b, to: a}\n", ":7:23", "must stand after 'b'", XG_INPUT},
        {AB "    edges:\n      - {from: a, to: a}\n", ":7:23", "must stand after 'a'", XG_INPUT},
        {AB "    edges:\n      - {from: a, to: b}\n      - {from: a, to: b}\n", ":8:23",
         "operand: both", XG_INPUT},
        {AB "    edges:\n      - {from: a, to: b, operand: 2}\n", ":7:35", "any, 0, 1, both",
         XG_INPUT},
        {AB "      - {id: c, op: [Lut]}\n    edges:\n      - {from: a, to: b}\n", ":2:5",
         "several vertices have no outgoing edge", XG_INPUT},
        {AB "      - {id: c, op: [Lut]}\n    edges:\n      - {from: a, to: c}\n"
            "      - {from: b, to: c}\n",
         ":9:23", "takes one tensor", XG_INPUT},
        {AB "      - {id: c, op: [Mul]}\n    edges:\n      - {from: a, to: c, operand: 1}\n"
            "      - {from: b, to: c, operand: 1}\n",
         ":9:23", "takes that operand", XG_INPUT},
        {AB "      - {id: c, op: [Mul]}\n      - {id: d, op: [Lut], optional: true}\n    edges:\n"
            "      - {from: a, to: d}\n      - {from: b, to: c}\n      - {from: d, to: c}\n",
         ":11:23", "must stand after 'd'", XG_INPUT},
        {HEAD "      - {id: a, op: [Conv]}\n      - {id: b, op: [Conv]}\n"
              "      - {id: c, op: [Mul], optional: true}\n    edges:\n"
              "      - {from: a, to: c}\n      - {from: b, to: c}\n",
         ":9:23", "one incoming edge only", XG_INPUT},
        {HEAD "      - {id: b, op: [Conv], optional: true}\n      - {id: a, op: [Conv]}\n"
              "      - {id: c, op: [Lut]}\n      - {id: d, op: [Mul]}\n"
              "    edges:\n      - {from: a, to: d}\n      - {from: b, to: c}\n"
              "      - {from: c, to: d}\n  - name: p\n    vertices:\n"
              "      - {id: a, op: [Conv]}\n      - {id: b, op: [Lut]}\n",
         ":12:11", "a second pattern 'p'", XG_INPUT},
        {"patterns:\n  - name: single\n    vertices:\n      - {id: a, op: [Conv]}\n"
         "      - {id: b, op: [Lut]}\n",
         ":2:11", "groups of one node", XG_INPUT},
        {"patterns:\n  - name: heads\n    kind: siblings\n    vertices:\n"
         "      - {id: a, op: [Conv]}\n      - {id: b, op: [Conv]}\n"
         "    edges: [{from: a, to: b}]\n",
         ":2:5", "siblings have two results or more", XG_INPUT},
        {"patterns:\n  - name: heads\n    kind: sisters\n    vertices:\n"
         "      - {id: a, op: [Conv]}\n      - {id: b, op: [Conv]}\n",
         ":3:11", "expected one of: group, siblings", XG_INPUT},
        {"patterns: [{name: p, vertices: *x}]\n", ":1:32", "aliases", XG_INPUT},
    };
    xg_test *t = *state;
    const xg_patterns *p;
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        size_t before = xg_diag_count(t->c);
        xg_status st = load_text(t, rows[i].text, &p);
        const xg_diag *d = xg_diag_count(t->c) > before ? xg_diag_at(t->c, before) : NULL;
        if (st != rows[i].st || !d || !strstr(d->where, rows[i].where) ||
            !strstr(d->text, rows[i].part))
            fail_msg("row %zu: %s '%s: %s', expected '%s ... %s'", i, xg_status_name(st),
                     d ? d->where : "", d ? d->text : "", rows[i].where, rows[i].part);
    }
}

static void test_result_must_be_single(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    /* without c the pattern falls into a and b */
    assert_status(t->c,
                  load_text(t,
                            "patterns:\n  - name: p\n    vertices:\n"
                            "      - {id: a, op: [Conv], optional: true}\n"
                            "      - {id: b, op: [Conv]}\n      - {id: c, op: [Conv]}\n"
                            "      - {id: d, op: [Mul]}\n    edges:\n      - {from: a, to: b}\n"
                            "      - {from: b, to: d}\n      - {from: c, to: d}\n",
                            &p),
                  XG_OK);
    assert_int_equal(p->nvariant, 2);
    assert_status(t->c,
                  load_text(t,
                            "patterns:\n  - name: p\n    vertices:\n"
                            "      - {id: a, op: [Conv]}\n      - {id: b, op: [Conv]}\n"
                            "      - {id: c, op: [Lut], optional: true}\n"
                            "    edges:\n      - {from: b, to: c}\n",
                            &p),
                  XG_INPUT);
    assert_said(t->c, "several vertices");
}

static void test_too_many_variants(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    xg_buf b = {.arena = t->a};
    xg_puts(&b, "patterns:\n");
    for (uint32_t k = 0; k < 3; k++) {
        xg_putf(&b, "  - name: p%u\n    vertices:\n      - {id: a, op: [Conv]}\n", k);
        for (uint32_t i = 0; i < 11; i++)
            xg_putf(&b, "      - {id: v%u, op: [Lut], optional: true}\n", i);
    }
    assert_status(t->c, load_text(t, b.p, &p), XG_LIMIT);
    assert_said(t->c, "4096 variants");
}

static void test_user_file(void **state) {
    xg_test *t = *state;
    const xg_patterns *shipped, *p;
    static const char own[] = "patterns:\n"
                              "  - name: conv-tail\n    vertices:\n      - {id: a, op: [Conv]}\n"
                              "      - {id: b, op: [Lut]}\n"
                              "  - name: mine\n    vertices:\n      - {id: a, op: [Lut]}\n"
                              "      - {id: b, op: [Lut]}\n";
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &shipped));
    assert_ok(t->c, load_text(t, own, &p));
    assert_int_equal(p->npattern, 2);
    assert_ok(t->c, load_text(t, xg_strf(t->a, "with_shipped: true\n%s", own), &p));
    assert_int_equal(p->npattern, shipped->npattern + 1); /* conv-tail is replaced */
    assert_string_equal(p->pattern[0].name, "conv-tail");
    assert_int_equal(p->pattern[0].nvariant, 1);
    assert_string_equal(p->pattern[1].name, "mine");
    xg_buf b = {.arena = t->a};
    xg_pattern_summary(&p->pattern[0], &b);
    assert_string_equal(b.p, "Conv Lut");
    assert_status(t->c, xg_patterns_load(t->a, "no/such.yaml", &p), XG_IO);
}

/* ---- vertices ---- */

static bool accepts(xg_test *t, const char *vertex, const xg_graph *g, uint32_t tensor) {
    const xg_patterns *p;
    const char *text = xg_strf(t->a,
                               "patterns:\n  - name: p\n    vertices:\n      - {id: a, %s}\n"
                               "      - {id: b, op: [Lut]}\n",
                               vertex);
    assert_ok(t->c, load_text(t, text, &p));
    return xg_vertex_accepts(&p->pattern[0].vertex[0], g,
                             xg_nodep(g, xg_tensorp(g, tensor)->producer));
}

static void test_conditions(void **state) {
    xg_test *t = *state;
    maker k = new_maker(t->a, 1);
    uint32_t x = add_input(&k, 8);
    uint32_t point = add_conv(&k, x, 1, 1, false), dense = add_conv(&k, x, 3, 2, false);
    uint32_t depth = add_conv(&k, x, 3, 1, true), global = add_pool(&k, XG_OP_AvgPool, x, 0, 1);
    uint32_t sum = add_plain(&k, XG_OP_Add, x, point), scale = add_plain(&k, XG_OP_Mul, global, x);
    uint32_t narrow = add_pool(&k, XG_OP_MaxPool, x, 1, 1); /* half as wide, as high */
    xg_window w = {1, 2, 1, 2, 1, 1, 0, 0, 0, 0};
    xg_set_window(xg_nodep(k.g, xg_tensorp(k.g, narrow)->producer), &w);
    assert_ok(t->c, xg_node_infer(t->c, k.g, xg_tensorp(k.g, narrow)->producer));
    assert_true(accepts(t, "op: [MaxPool], map: smaller", k.g, narrow));
    assert_false(accepts(t, "op: [MaxPool], map: same", k.g, narrow));
    assert_false(accepts(t, "op: [MaxPool], kernel_min: 2", k.g, narrow));
    assert_false(accepts(t, "op: [MaxPool], stride_max: 1", k.g, narrow));
    uint32_t grouped = add_conv(&k, x, 1, 1, false);
    xg_set_ai(xg_nodep(k.g, xg_tensorp(k.g, grouped)->producer), XG_ATTR_group, 2);
    assert_false(accepts(t, "op: [PointwiseConv]", k.g, grouped));
    assert_true(accepts(t, "op: [DenseConv]", k.g, grouped));
    const struct {
        const char *vertex;
        bool want[6]; /* point, dense, depth, global, sum, scale */
    } rows[] = {
        {"op: [Conv]", {1, 1, 1, 0, 0, 0}},
        {"op: [DenseConv]", {1, 1, 0, 0, 0, 0}},
        {"op: [DepthwiseConv]", {0, 0, 1, 0, 0, 0}},
        {"op: [PointwiseConv]", {1, 0, 0, 0, 0, 0}},
        {"op: [PointwiseConv, DepthwiseConv, Add]", {1, 0, 1, 0, 1, 0}},
        {"op: [Conv], kernel_min: 2", {0, 1, 1, 0, 0, 0}},
        {"op: [Conv, AvgPool], kernel_max: 3", {1, 1, 1, 0, 0, 0}},
        {"op: [Conv], stride_max: 1", {1, 0, 1, 0, 0, 0}},
        {"op: [Conv], stride_min: 2", {0, 1, 0, 0, 0, 0}},
        {"op: [Conv, AvgPool, Add, Mul], map: same", {1, 0, 1, 0, 1, 0}},
        {"op: [Conv, AvgPool], map: smaller", {0, 1, 0, 1, 0, 0}},
        {"op: [Conv, AvgPool], map: point", {0, 0, 0, 1, 0, 0}},
        {"op: [Add, Mul], operands: equal", {0, 0, 0, 0, 1, 0}},
        {"op: [Add, Mul], operands: repeated", {0, 0, 0, 0, 0, 1}},
    };
    const uint32_t node[6] = {point, dense, depth, global, sum, scale};
    assert_int_equal(k.bad, 0);
    for (size_t i = 0; i < XG_COUNT(rows); i++)
        for (uint32_t j = 0; j < 6; j++)
            if (accepts(t, rows[i].vertex, k.g, node[j]) != rows[i].want[j])
                fail_msg("'%s', node %u: expected %d", rows[i].vertex, j, rows[i].want[j]);
}

/* ---- matching by hand ---- */

/* Candidates as text: "conv-tail:0,1 gate:0,1,2". */
static const char *match_text(xg_test *t, maker *k, const xg_patterns *p) {
    xg_candidates c;
    bool *accel = xg_newn(t->a, bool, k->g->node.n);
    memset(accel, true, k->g->node.n);
    add_outputs(k);
    assert_int_equal(k->bad, 0);
    assert_ok(t->c, xg_match(t->a, k->g, accel, p, &c, NULL));
    xg_buf b = {.arena = t->a};
    xg_puts(&b, "");
    for (uint32_t i = 0; i < c.n; i++) {
        xg_putf(&b, "%s%s:", i ? " " : "", c.v[i].pattern);
        for (uint32_t j = 0; j < c.v[i].nnode; j++)
            xg_putf(&b, "%s%u", j ? "," : "", c.v[i].node[j]);
    }
    return b.n ? b.p : "";
}

static void test_chain(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    maker k = new_maker(t->a, 1);
    uint32_t x = add_table(&k, add_conv(&k, add_input(&k, 8), 3, 1, false));
    add_pool(&k, XG_OP_MaxPool, x, 2, 2);
    assert_string_equal(match_text(t, &k, p), "conv-tail:0,1 conv-tail:0,1,2");
}

static void test_either_operand(void **state) {
    xg_test *t = *state;
    const xg_patterns *any, *first, *second, *both;
#define CONV_ADD(operand)                                                                          \
    "patterns:\n  - name: p\n    vertices:\n      - {id: a, op: [Conv]}\n"                         \
    "      - {id: b, op: [Add]}\n    edges: [{from: a, to: b, operand: " operand "}]\n"
    assert_ok(t->c, load_text(t, CONV_ADD("any"), &any));
    assert_ok(t->c, load_text(t, CONV_ADD("0"), &first));
    assert_ok(t->c, load_text(t, CONV_ADD("1"), &second));
    assert_ok(t->c, load_text(t, CONV_ADD("both"), &both));
    maker k = new_maker(t->a, 1);
    uint32_t x = add_input(&k, 8), y;
    add_plain(&k, XG_OP_Add, add_conv(&k, x, 1, 1, false), x);
    add_plain(&k, XG_OP_Add, x, add_conv(&k, x, 1, 1, false));
    y = add_conv(&k, x, 1, 1, false);
    add_plain(&k, XG_OP_Add, y, y);
    assert_string_equal(match_text(t, &k, any), "p:0,1 p:2,3 p:4,5");
    assert_string_equal(match_text(t, &k, first), "p:0,1 p:4,5");
    assert_string_equal(match_text(t, &k, second), "p:2,3 p:4,5");
    assert_string_equal(match_text(t, &k, both), "p:4,5");
}

static void test_outside_readers(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    maker k = new_maker(t->a, 1); /* the convolution is a graph output too */
    uint32_t x = add_conv(&k, add_input(&k, 8), 3, 1, false);
    xg_graph_add_output(k.g, x);
    add_table(&k, x);
    assert_string_equal(match_text(t, &k, p), "");
    k = new_maker(t->a, 1); /* a concat reads it */
    x = add_conv(&k, add_input(&k, 8), 3, 1, false);
    add_plain(&k, XG_OP_Concat, x, add_table(&k, x));
    assert_string_equal(match_text(t, &k, p), "");
    k = new_maker(t->a, 1); /* x * table(x): only as a whole */
    x = add_conv(&k, add_input(&k, 8), 3, 1, false);
    add_plain(&k, XG_OP_Mul, x, add_table(&k, x));
    assert_string_equal(match_text(t, &k, p), "activation-elementwise:1,2 conv-elementwise:0,1,2");
}

static void test_blocks(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    maker k = new_maker(t->a, 1);
    uint32_t x = add_input(&k, 8), y = add_conv(&k, x, 1, 1, false);
    y = add_conv(&k, add_table(&k, y), 3, 1, true);
    add_plain(&k, XG_OP_Add, x, add_conv(&k, y, 1, 1, false));
    const char *s = match_text(t, &k, p);
    assert_non_null(strstr(s, "inverted-residual:0,1,2,3 "));
    assert_non_null(strstr(s, "inverted-residual:0,1,2,3,4"));
    k = new_maker(t->a, 1);
    x = add_input(&k, 8);
    y = add_conv(&k, add_conv(&k, add_conv(&k, x, 1, 1, false), 3, 2, false), 1, 1, false);
    add_plain(&k, XG_OP_Add, y, add_conv(&k, x, 1, 2, false));
    s = match_text(t, &k, p);
    assert_non_null(strstr(s, "bottleneck:0,1,2,4"));
    assert_non_null(strstr(s, "projected-block:0,1,2,3,4"));
    k = new_maker(t->a, 1);
    x = add_input(&k, 8);
    y = add_table(&k, add_conv(&k, add_pool(&k, XG_OP_AvgPool, x, 0, 1), 1, 1, false));
    add_plain(&k, XG_OP_Mul, x, add_table(&k, add_conv(&k, y, 1, 1, false)));
    s = match_text(t, &k, p);
    assert_non_null(strstr(s, "squeeze-excite:0,1,2,3,4,5"));
    assert_non_null(strstr(s, "squeeze-excite:0,1,2,3,4 "));
    assert_non_null(strstr(s, "gate:3,4,5"));
}

/* ---- matching against the plain matcher ---- */

static void compare(xg_test *t, xg_arena *a, const xg_graph *g, const bool *accel,
                    const xg_patterns *p, uint64_t seed) {
    xg_candidates c;
    uint32_t *count = xg_newn(a, uint32_t, p->npattern), *want = xg_newn(a, uint32_t, p->npattern);
    assert_ok(t->c, xg_match(a, g, accel, p, &c, count));
    plain_sets all = plain_match(a, g, accel, p);
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < all.n; i++) {
        const plain_set *x = &all.v[i];
        bool first = true;
        want[x->pattern]++;
        for (uint32_t j = 0; j < i; j++) first &= !plain_same(&all.v[j], x);
        if (!first) continue;
        distinct++;
        uint32_t found = 0;
        for (uint32_t j = 0; j < c.n; j++)
            found += c.v[j].nnode == x->n &&
                     !memcmp(c.v[j].node, x->node, x->n * sizeof *x->node) &&
                     !strcmp(c.v[j].pattern, p->pattern[x->pattern].name);
        if (found != 1)
            fail_msg("seed %llu: a group of %s, last node %u, is found %u times",
                     (unsigned long long)seed, p->pattern[x->pattern].name, x->node[x->n - 1],
                     found);
    }
    if (c.n != distinct)
        fail_msg("seed %llu: %u candidates, expected %u", (unsigned long long)seed, c.n, distinct);
    assert_memory_equal(count, want, p->npattern * sizeof *count);
    for (uint32_t i = 1; i < c.n; i++) {
        const xg_candidate *x = &c.v[i - 1], *y = &c.v[i];
        uint32_t u = x->node[x->nnode - 1], v = y->node[y->nnode - 1];
        assert_true(u < v || (u == v && x->nnode <= y->nnode));
    }
}

static void test_random_graphs(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    uint32_t *seen = xg_newn(t->a, uint32_t, p->npattern), *count;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        xg_arena *a = xg_arena_new(t->c);
        bool *accel;
        uint64_t s = seed;
        uint32_t size = seed <= 1480 ? 2 + (uint32_t)(xg_random(&s) % 19) : 100;
        const xg_graph *g = random_graph(a, seed, size, &accel);
        assert_non_null(g);
        compare(t, a, g, accel, p, seed);
        xg_candidates c;
        count = xg_newn(a, uint32_t, p->npattern);
        assert_ok(t->c, xg_match(a, g, accel, p, &c, count));
        for (uint32_t i = 0; i < p->npattern; i++) seen[i] += count[i];
        xg_arena_free(a);
    }
    for (uint32_t i = 0; i < p->npattern; i++)
        if (seen[i] < 10) fail_msg("%s: only %u matches", p->pattern[i].name, seen[i]);
}

/* What the shipped library does not use: operand numbers, squares, variants whose edges coincide.
 */
static const char odd_library[] =
    "patterns:\n"
    "  - name: swish\n    vertices:\n      - {id: x, op: [Conv, Lut, MaxPool]}\n"
    "      - {id: gate, op: [Lut, Clip], optional: true}\n      - {id: y, op: [Add, Mul]}\n"
    "      - {id: tail, op: [Conv, Lut], optional: true}\n    edges:\n"
    "      - {from: x, to: y, operand: 1}\n      - {from: x, to: gate}\n"
    "      - {from: gate, to: y, shape: same}\n      - {from: y, to: tail}\n"
    "  - name: square\n    vertices:\n      - {id: x, op: [Conv, Lut, Add, Mul]}\n"
    "      - {id: y, op: [Add, Mul]}\n    edges: [{from: x, to: y, operand: both}]\n"
    "  - name: second\n    vertices:\n      - {id: x, op: [Conv], optional: true}\n"
    "      - {id: y, op: [Lut, Clip], optional: true}\n      - {id: z, op: [Mul, Add]}\n"
    "      - {id: u, op: [Conv, Add]}\n    edges:\n      - {from: x, to: y}\n"
    "      - {from: y, to: z, operand: 1}\n      - {from: z, to: u, operand: 0}\n"
    "  - name: diamond\n    vertices:\n      - {id: x, op: [Conv, Lut, Add]}\n"
    "      - {id: a, op: [Conv, Lut, MaxPool], optional: true}\n"
    "      - {id: b, op: [Conv, Lut, Clip], optional: true}\n      - {id: y, op: [Add, Mul]}\n"
    "    edges:\n      - {from: x, to: a}\n      - {from: x, to: b}\n      - {from: a, to: y}\n"
    "      - {from: b, to: y, shape: same}\n";

static void test_odd_library(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, load_text(t, odd_library, &p));
    uint32_t seen[4] = {0}, count[4], squares = 0;
    assert_int_equal(p->npattern, 4);
    for (uint64_t seed = 5000; seed < 6500; seed++) {
        xg_arena *a = xg_arena_new(t->c);
        bool *accel;
        xg_candidates c;
        const xg_graph *g = random_graph(a, seed, 16, &accel);
        assert_non_null(g);
        compare(t, a, g, accel, p, seed);
        assert_ok(t->c, xg_match(a, g, accel, p, &c, count));
        for (uint32_t i = 0; i < 4; i++) seen[i] += count[i];
        for (uint32_t i = 0; i < c.n; i++)
            squares += c.v[i].nnode == 2 && !strcmp(c.v[i].pattern, "swish");
        xg_arena_free(a);
    }
    for (uint32_t i = 0; i < 4; i++)
        if (seen[i] < 10) fail_msg("%s: only %u matches", p->pattern[i].name, seen[i]);
    assert_true(squares > 0);
}

/* ---- size and hostility ---- */

static bool *all_true(xg_arena *a, uint32_t n) {
    bool *b = xg_newn(a, bool, n);
    memset(b, true, n);
    return b;
}

static uint32_t count_of(const xg_patterns *p, const uint32_t *count, const char *name) {
    for (uint32_t i = 0; i < p->npattern; i++)
        if (!strcmp(p->pattern[i].name, name)) return count[i];
    fail_msg("no pattern %s", name);
    return 0;
}

static void test_long_chain(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    maker k = new_maker(t->a, 1);
    uint32_t x = add_input(&k, 8);
    for (uint32_t i = 0; i < 1000; i++) x = add_conv(&k, x, 3, 1, false);
    add_outputs(&k);
    xg_candidates c;
    uint32_t *count = xg_newn(t->a, uint32_t, p->npattern);
    assert_ok(t->c, xg_match(t->a, k.g, all_true(t->a, 1000), p, &c, count));
    assert_int_equal(count_of(p, count, "conv-chain-2"), 999);
    assert_int_equal(count_of(p, count, "conv-chain-3"), 998);
    assert_int_equal(count_of(p, count, "conv-chain-4"), 997);
    assert_int_equal(c.n, 999 + 998 + 997);
    assert_int_equal(xg_diag_count(t->c), 0);
}

/* Every node adds the two before it: the number of paths doubles at every step. */
static void test_many_paths(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    xg_buf text = {.arena = t->a};
    xg_puts(&text, "patterns:\n  - name: path\n    vertices:\n");
    for (uint32_t i = 0; i < XG_PATTERN_VERTICES; i++)
        xg_putf(&text, "      - {id: v%u, op: [Add]}\n", i);
    assert_ok(t->c, load_text(t, text.p, &p));
    maker k = new_maker(t->a, 1);
    uint32_t x = add_input(&k, 8), y = add_input(&k, 8), z;
    for (uint32_t i = 0; i < 300; i++) z = add_plain(&k, XG_OP_Add, x, y), x = y, y = z;
    add_outputs(&k);
    xg_candidates c, again;
    assert_ok(t->c, xg_match(t->a, k.g, all_true(t->a, 300), p, &c, NULL));
    assert_said(t->c, "cut short");
    assert_ok(t->c, xg_match(t->a, k.g, all_true(t->a, 300), p, &again, NULL));
    assert_int_equal(c.n, again.n);
}

static void test_empty_and_wide(void **state) {
    xg_test *t = *state;
    const xg_patterns *p;
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    maker k = new_maker(t->a, 1);
    assert_string_equal(match_text(t, &k, p), "");
    uint32_t x = add_conv(&k, add_input(&k, 8), 1, 1, false);
    assert_string_equal(match_text(t, &k, p), "");
    for (uint32_t i = 0; i < 500; i++) add_table(&k, x); /* too many readers for any group */
    k.g->output.n = 0;
    xg_tensorp(k.g, x)->is_output = false;
    assert_string_equal(match_text(t, &k, p), "");
}

static xg_status nomem_scenario(void *arg) {
    xg_test_case *k = arg;
    const xg_patterns *p;
    xg_candidates c;
    xg_status st = xg_patterns_load(k->a, NULL, &p);
    if (st) return st;
    bool *accel;
    const xg_graph *g = random_graph(k->a, 7, 20, &accel);
    return xg_match(k->a, g, accel, p, &c, NULL);
}

static void test_nomem(void **state) {
    (void)state;
    assert_true(xg_test_nomem(nomem_scenario, NULL, 23) > 100);
}

/* ---- golden counts: tests/unit/pattern_counts.txt, "model machine pattern count" ----
 * XGC_UPDATE=1 prints the lines instead of comparing. */

static void put_counts(xg_test *t, const char *name, const char *path, const char *machine,
                       xg_buf *out) {
    const xg_patterns *p;
    xg_machine *m;
    xg_graph *g;
    xg_quant_report report = {0};
    xg_candidates c;
    xg_front_options o = {.import = {.external_data = true}};
    assert_ok(t->c, xg_patterns_load(t->a, NULL, &p));
    assert_ok(t->c, xg_machine_load(t->a, machine, NULL, &m));
    assert_ok(t->c, xg_front(t->a, path, &o, &m->rq, &g, &report));
    bool *accel = xg_newn(t->a, bool, g->node.n);
    for (uint32_t i = 0; i < g->node.n; i++) accel[i] = !xg_tile_refuses(t->a, g, m, i);
    uint32_t *count = xg_newn(t->a, uint32_t, p->npattern);
    assert_ok(t->c, xg_match(t->a, g, accel, p, &c, count));
    for (uint32_t i = 0; i < p->npattern; i++)
        if (count[i]) xg_putf(out, "%s %s %s %u\n", name, machine, p->pattern[i].name, count[i]);
    xg_putf(out, "%s %s all %u\n", name, machine, c.n);
}

/* The golden file's lines of one model, or NULL. */
static const char *golden_lines(xg_test *t, const char *name) {
    xg_bytes text;
    xg_buf b = {.arena = t->a};
    assert_ok(t->c, xg_read_file(t->a, XGC_SOURCE_DIR "/tests/unit/pattern_counts.txt", &text));
    const char *s = xg_strndup(t->a, (const char *)text.p, text.n), *end;
    size_t n = strlen(name);
    for (; *s; s = end + 1) {
        end = strchr(s, '\n');
        assert_non_null(end);
        if (!strncmp(s, name, n) && s[n] == ' ') xg_put(&b, s, (size_t)(end - s) + 1);
    }
    return b.p;
}

static void check_golden(xg_test *t, const char *name, const char *path, const char *machine) {
    xg_buf b = {.arena = t->a};
    put_counts(t, name, path, machine, &b);
    const char *want = golden_lines(t, name), *update = getenv("XGC_UPDATE");
    if (update && *update) {
        printf("%s", b.p);
        return;
    }
    if (!want || strcmp(want, b.p))
        fail_msg("counts differ from tests/unit/pattern_counts.txt; expected\n%snow\n%s",
                 want ? want : "", b.p);
}

static void test_golden_digits(void **state) {
    check_golden(*state, "digits", XGC_SOURCE_DIR "/examples/digits/digits_qdq.onnx", "edge");
}

#define GOLDEN(test, name, file)                                                                   \
    static void test(void **state) {                                                               \
        xg_test *t = *state;                                                                       \
        check_golden(t, name, xg_test_model(t->a, file), "edge");                                  \
    }
GOLDEN(test_golden_resnet8, "resnet8", "tfl_mlperf_ic_int8/model.onnx")
GOLDEN(test_golden_mobilenetv2, "mobilenetv2", "mobilenetv2_12_int8/model.onnx")
GOLDEN(test_golden_mobilenetv3, "mobilenetv3", "tfl_mobilenetv3_minimal_u8/model.onnx")

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_shipped),
        TEST(test_malformed),
        TEST(test_user_file),
        TEST(test_result_must_be_single),
        TEST(test_too_many_variants),
        TEST(test_conditions),
        TEST(test_chain),
        TEST(test_either_operand),
        TEST(test_outside_readers),
        TEST(test_blocks),
        TEST(test_random_graphs),
        TEST(test_odd_library),
        TEST(test_long_chain),
        TEST(test_many_paths),
        TEST(test_empty_and_wide),
        TEST(test_nomem),
        TEST(test_golden_digits),
        TEST(test_golden_resnet8),
        TEST(test_golden_mobilenetv2),
        TEST(test_golden_mobilenetv3),

    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
