/* Concats whose operands are read where they were made: which ones, that nothing is copied or saved
 * in runs of channels then, and that every tensor equals the interpreter's. */
#include "strategy_test.h"

enum { HEIGHT = 19, WIDTH = 17, CHANNELS = 24 };

static uint32_t join(net *t, const uint32_t *in, uint32_t n, int64_t axis, const xg_quant *q) {
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Concat, fresh(t, "concat"), in, n, 1);
    uint32_t y = out_of(t, node, q);
    xg_set_ai(xg_nodep(t->g, node), XG_ATTR_axis, axis);
    assert_true(keep(t, node, y));
    return y;
}

/* Elements [from, to) of an axis. */
static uint32_t slice(net *t, uint32_t x, int axis, int64_t from, int64_t to) {
    const xg_tensor *xt = xg_tensorp(t->g, x);
    int64_t starts[4] = {0}, steps[4] = {1, 1, 1, 1}, shape[4];
    memcpy(shape, xt->dim, sizeof shape);
    starts[axis] = from;
    shape[axis] = to - from;
    const xg_quant *q = xt->quant;
    uint32_t node = xg_graph_add_node(t->g, XG_OP_Slice, fresh(t, "slice"), &x, 1, 1);
    uint32_t y = out_of(t, node, q);
    xg_set_ais(t->g, xg_nodep(t->g, node), XG_ATTR_starts, starts, 4);
    xg_set_ais(t->g, xg_nodep(t->g, node), XG_ATTR_steps, steps, 4);
    xg_set_ais(t->g, xg_nodep(t->g, node), XG_ATTR_shape, shape, 4);
    assert_true(keep(t, node, y));
    return y;
}

typedef struct sample {
    const xg_graph *g;
    uint32_t apart[3]; /* results of concats that are read apart */
    uint32_t mixed;    /* and one with an operand of another scale, which is copied */
    uint32_t whole;    /* an output of the model with such an operand */
    uint32_t viewed;   /* read by a Slice: gathered, where that pays */
} sample;

/* Operands that begin in the middle of a word, a view, the model's input, one given twice, one of
 * another scale; a concat in a concat; rows and columns put around a map. */
static sample network(xg_test *t, const xg_machine *m) {
    net n = {.a = t->a, .g = xg_graph_new(t->a, "net"), .r = &m->rq, .seed = 5};
    const xg_quant *q = xg_quant_scalar(t->a, 0.25f, 0), *other = xg_quant_scalar(t->a, 0.5f, 0);
    xg_tensor input = {.name = "x",
                       .dtype = XG_I8,
                       .rank = 4,
                       .dim = {3, HEIGHT, WIDTH, CHANNELS},
                       .producer = XG_NONE,
                       .quant = q};
    uint32_t x = xg_graph_add_tensor(n.g, &input);
    xg_graph_add_input(n.g, x);
    uint32_t a = conv(&n, x, 3, 1, 5, q), b = conv(&n, x, 1, 1, 13, q),
             c = conv(&n, a, 3, 1, 7, other), d = conv(&n, b, 1, 1, 3, q);
    uint32_t inner = join(&n, (uint32_t[]){a, slice(&n, b, 3, 3, 10), d, a}, 4, 3, q);
    uint32_t outer = join(&n, (uint32_t[]){inner, x, c}, 3, 3, q);
    uint32_t viewed = join(&n, (uint32_t[]){b, d}, 2, 3, q);
    uint32_t top = slice(&n, viewed, 1, 1, 2);
    uint32_t rows =
        join(&n, (uint32_t[]){slice(&n, b, 1, 1, 2), b, slice(&n, b, 1, 3, 5)}, 3, 1, q);
    uint32_t framed =
        join(&n, (uint32_t[]){slice(&n, rows, 2, 1, 2), rows, slice(&n, rows, 2, 4, 6)}, 3, 2, q);
    uint32_t beside = join(&n, (uint32_t[]){b, d, x}, 3, 3, q),
             last = join(&n, (uint32_t[]){a, c}, 2, 3, q);
    uint32_t out[] = {conv(&n, inner, 3, 1, 9, q),
                      conv(&n, framed, 3, 2, 9, q),
                      conv(&n, top, 1, 1, 8, q),
                      conv(&n, beside, 3, 1, 20, q),
                      conv(&n, beside, 1, 1, 4, q),
                      conv(&n, outer, 1, 1, 6, q),
                      last};
    for (uint32_t i = 0; i < XG_COUNT(out); i++) xg_graph_add_output(n.g, out[i]);
    return (sample){
        .g = n.g,
        .apart = {inner, framed, beside},

        .mixed = outer,
        .whole = last,
        .viewed = viewed,
    };
}

/* Tasks of all cores that save a tensor, and that load it. */
static uint32_t moves(const xg_plan *p, uint32_t tensor, xg_task_kind kind) {
    uint32_t n = 0;
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t c = 0; c < p->machine->cores; c++)
            for (uint32_t i = 0; i < p->segment.v[s].core[c].task.n; i++) {
                const xg_task *k = &p->segment.v[s].core[c].task.v[i];
                n += k->kind == kind && k->tensor == tensor;
            }
    return n;
}

/* The plan as read back from its text form. */
static void check_text(xg_test *t, const xg_machine *m, const sample *x, const xg_plan *p) {
    xg_plan *again;
    xg_program *prog;
    xg_buf text = {.arena = t->a};
    xg_check_result r = {0};
    static const char *const fill = "random";
    xg_check_options o = {.fill = &fill, .nfill = 1};
    xg_plan_print(p, &text);
    assert_ok(t->c, xg_plan_parse(t->a, x->g, m, "plan", text.p, text.n, &again));
    assert_ok(t->c, xg_lower(t->a, again, &prog));
    assert_ok(t->c, xg_check(t->a, m, x->g, prog, &o, &r));
    assert_true(r.equal && again->place[x->mixed].apart);
}

/* Returns whether the tensor that a Slice reads was gathered. */
static bool check_layer(xg_test *t, const xg_machine *m, const sample *x) {
    xg_selection s;
    xg_plan *p;
    assert_ok(t->c, xg_select(t->a, x->g, m, "layer", &s));
    const xg_concat_form *form = xg_concat_forms(&s, m, t->a);
    (void)check_program(t, x->g, m, &s);
    assert_ok(t->c, xg_plan_make(t->a, &s, m, &p));
    check_text(t, m, x, p);
    for (uint32_t i = 0; i < XG_COUNT(x->apart); i++) {
        assert_int_equal(form[x->apart[i]], XG_CONCAT_APART);
        assert_false(p->place[x->apart[i]].placed);
        assert_int_equal(moves(p, x->apart[i], XG_TASK_SAVE), 0);
        assert_int_equal(moves(p, x->apart[i], XG_TASK_LOAD), 0);
    }
    assert_true(form[x->mixed] == XG_CONCAT_APART && p->place[x->mixed].placed);
    assert_true(moves(p, x->mixed, XG_TASK_SAVE) && moves(p, x->mixed, XG_TASK_LOAD));
    assert_true(form[x->whole] == XG_CONCAT_WHOLE && p->place[x->whole].placed);
    assert_true(form[x->viewed] != XG_CONCAT_APART && p->place[x->viewed].placed);
    bool gathered = form[x->viewed] == XG_CONCAT_GATHERED;
    assert_true(!gathered || moves(p, x->viewed, XG_TASK_SAVE) > 0);
    assert_int_equal(moves(p, x->viewed, XG_TASK_LOAD), 0);
    return gathered;
}

static void test_apart(void **state) {
    xg_test *t = *state;
    uint32_t gathered = 0;
    for (const char *const *name = xg_machine_names(); *name; name++) {
        const xg_machine *m = load_machine(t, *name);
        sample s = network(t, m);
        gathered += check_layer(t, m, &s);
        static const char *const strategies[] = {"greedy", "path", "ilp"};
        for (uint32_t i = 0; i < XG_COUNT(strategies); i++) {
            xg_selection sel;
            assert_ok(t->c, xg_select(t->a, s.g, m, strategies[i], &sel));
            (void)check_program(t, s.g, m, &sel);
        }
    }
    assert_true(gathered > 0);
}

/* An encoding whose loads begin at lane 0 or 1 only: every concat is written whole. */
static void test_no_lanes(void **state) {
    xg_test *t = *state;
    xg_machine m = *load_machine(t, "kv260");
    xg_encoding e = *m.encoding;
    const xg_inst_desc *load = &e.family->inst[XG_T_LOAD];
    xg_field *field = xg_memdup(t->a, e.field[XG_T_LOAD], load->noperand * sizeof *field);
    e.field = xg_memdup(t->a, e.field, e.family->ninst * sizeof *e.field);
    e.field[XG_T_LOAD] = field;
    field[XG_F(LOAD, lane)].width = 1;
    m.encoding = &e;
    sample s = network(t, &m);
    xg_selection sel;
    assert_ok(t->c, xg_select(t->a, s.g, &m, "layer", &sel));
    const xg_concat_form *form = xg_concat_forms(&sel, &m, t->a);
    for (uint32_t i = 0; i < s.g->tensor.n; i++) assert_int_equal(form[i], XG_CONCAT_WHOLE);
    (void)check_program(t, s.g, &m, &sel);
}

int main(void) {
    (void)random_net;
    const struct CMUnitTest tests[] = {TEST(test_apart), TEST(test_no_lanes)};
    return cmocka_run_group_tests_name("apart", tests, NULL, NULL) != 0;
}
