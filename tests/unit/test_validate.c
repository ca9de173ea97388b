#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "xg_test.h"

#include "small_net.h"

#include "isa/tile.h"
#include "fusion/select.h"
#include "layout/plan.h"
#include "validate/check.h"
#include "validate/diff.h"
#include "validate/report.h"

typedef struct built {
    xg_graph *graph;
    xg_machine *machine;
    xg_selection selection;
    xg_program *program;
} built;

static built build(xg_test *t, const char *machine, const char *strategy, int64_t batch) {
    built b = {.graph = small_net(t->a, batch)};
    xg_plan *plan;
    assert_ok(t->c, xg_graph_infer(t->c, b.graph));
    assert_ok(t->c, xg_graph_verify(t->c, b.graph));
    assert_ok(t->c, xg_machine_load(t->a, machine, NULL, &b.machine));
    assert_ok(t->c, xg_select(t->a, b.graph, b.machine, strategy, &b.selection));
    assert_ok(t->c, xg_plan_make(t->a, &b.selection, b.machine, &plan));
    assert_ok(t->c, xg_lower(t->a, plan, &b.program));
    return b;
}

static xg_check_result check(xg_test *t, const built *b, const xg_check_options *o) {
    xg_check_result r;
    assert_ok(t->c, xg_check(t->a, b->machine, b->graph, b->program, o, &r));
    return r;
}

static const xg_check_options quick = {.fill = (const char *const[]){"random:3"}, .nfill = 1};

static xg_report_options report_options(xg_test *t, const built *b) {
    xg_report_group *g = xg_newn(t->a, xg_report_group, b->selection.group.n);
    for (uint32_t i = 0; i < b->selection.group.n; i++) {
        const xg_group *s = &b->selection.group.v[i];
        g[i] = (xg_report_group){s->nnode, s->node, s->host_reason, s->cost_cycles};
    }
    return (xg_report_options){
        .model = "small", .graph = b->graph, .group = g, .ngroup = b->selection.group.n};
}

/* ---- the verdict on right programs
 * ---------------------------------------------------------------------------- */

static void right_programs_are_equal(void **state) {
    xg_test *t = *state;
    static const char *const machine[] = {"nano", "zu2", "zu9", "edge"};
    static const char *const strategy[] = {"layer", "greedy"};
    for (size_t m = 0; m < XG_COUNT(machine); m++)
        for (size_t s = 0; s < XG_COUNT(strategy); s++) {
            built b = build(t, machine[m], strategy[s], 1 + (int64_t)m % 2);
            xg_check_options o = {.thorough = s == 0};
            xg_check_result r = check(t, &b, &o);
            xg_buf text = {.arena = t->a};
            xg_check_print_text(&r, true, &text);
            if (!r.equal) print_message("%s %s:\n%s", machine[m], strategy[s], text.p);
            assert_true(r.equal);
            assert_int_equal(r.divergence.n, 0);
            assert_int_equal(r.input_sets, 4);
            assert_int_equal(r.incomplete.n, 0);
            assert_int_equal(r.tensors, r.tensors_complete);
            assert_true(r.elements > 8 * 8 * 8);
        }
}

/* ---- the verdict on wrong ones: what was changed must be named
 * -------------------------------------------------- */

/* Where the last instruction of this kind stands that makes a tensor: the row gives its range. */
static xg_inst *find_inst(const built *b, const char *tensor, uint8_t op, const xg_map_row **row) {
    for (uint32_t i = 0; i < b->program->map.n; i++) {
        const xg_map_row *r = &b->program->map.v[i];
        if (strcmp(b->program->tensor.v[r->tensor].name, tensor)) continue;
        xg_stream *st = &b->program->segment.v[r->segment].core[r->core];
        for (uint32_t k = r->last; k-- > r->first;)
            if (st->inst[k].op == op) {
                *row = r;
                return &st->inst[k];
            }
    }
    fail_msg("no such instruction for %s", tensor);
    return NULL;
}

static void assert_named(const xg_check_result *r, const char *node, const char *mnemonic) {
    assert_false(r->equal);
    assert_true(r->divergence.n > 0);
    const xg_divergence *d = &r->divergence.v[0];
    assert_string_equal(d->node, node);
    assert_true(d->expected != d->got);
    assert_true(d->wrong > 0 && d->wrong <= d->of);
    if (!mnemonic) return;
    assert_true(d->has_inst);
    assert_memory_equal(d->inst_text, mnemonic, strlen(mnemonic));
}

static void wrong_bound_is_named(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 1);
    const xg_map_row *row;
    find_inst(&b, "body_out", XG_T_CONV, &row); /* its registers are set before */
    xg_stream *st = &b.program->segment.v[row->segment].core[row->core];
    uint32_t k = row->last;
    while (st->inst[--k].op != XG_T_CONVINIT)
        if (k == 0) fail_msg("no CONVINIT before the tile");
    st->inst[k].f[XG_F(CONVINIT, hi)] = 3;
    xg_check_result r = check(t, &b, &quick);
    assert_named(&r, "body", NULL);
    assert_string_equal(r.divergence.v[0].onnx, "onnx_body");
    assert_int_equal(r.divergence.v[0].got, 3);
    assert_int_equal(r.groups_wrong, 1);
    assert_non_null(strstr(r.divergence.v[0].verdict, "at fault by itself"));
}

/* Each group with a wrong constant is found, and no other one: what follows is judged on repaired
 * inputs. */
static void two_wrong_groups_are_both_found(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 1);
    uint8_t *constants = xg_memdup(t->a, b.program->constants.p, b.program->constants.n);
    b.program->constants.p = constants;
    static const char *const tensor[] = {"body_out", "dense_out"};
    for (int i = 0; i < 2; i++) {
        const xg_map_row *row;
        const xg_inst *conv = find_inst(&b, tensor[i], XG_T_CONV, &row);
        xg_stream *st = &b.program->segment.v[row->segment].core[row->core];
        uint32_t k = row->last, at = (uint32_t)conv->f[XG_F(CONV, p_addr)];
        while (st->inst[--k].op != XG_T_LOADP || at - (uint32_t)st->inst[k].f[XG_F(LOADP, addr)] >=
                                                     (uint32_t)st->inst[k].f[XG_F(LOADP, bytes)])
            if (k == 0) fail_msg("no parameters loaded before the tile");
        constants[st->inst[k].f[XG_F(LOADP, ddr)] + 1] ^= 0x40; /* a bias grows by 2^14 */
    }
    xg_check_result r = check(t, &b, &quick);
    assert_named(&r, "body", "conv ");
    assert_int_equal(r.groups_wrong, 2);
    assert_int_equal(r.divergence.n, 2);
    assert_string_equal(r.divergence.v[1].node, "dense");
}

static void missing_save_is_found(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 1);
    const xg_map_row *row;
    xg_inst *save = find_inst(&b, "stem_out", XG_T_SAVE, &row);
    save->f[XG_F(SAVE, rows)] -= save->f[XG_F(SAVE, rows)] > 1;
    save->f[XG_F(SAVE, ddr)] += save->f[XG_F(SAVE, rows)] > 1 ? 0 : 1;
    xg_check_result r = check(t, &b, &quick);
    assert_named(&r, "stem", NULL);
    assert_string_equal(r.divergence.v[0].where, "in DDR");
}

/* A SAVE between that of another tensor and the latter's LOAD lands on it. */
static void overwrite_before_load(xg_stream *st) {
    for (uint32_t i = 0; i < st->n; i++)
        for (uint32_t k = i + 1; st->inst[i].op == XG_T_SAVE && k < st->n; k++) {
            xg_inst *other = &st->inst[k];
            int32_t at = st->inst[i].f[XG_F(SAVE, ddr)];
            if (other->op != XG_T_SAVE || other->f[XG_F(SAVE, ddr)] == at) continue;
            for (uint32_t l = k + 1; l < st->n; l++)
                if (st->inst[l].op == XG_T_LOAD && st->inst[l].f[XG_F(LOAD, ddr)] == at &&
                    st->inst[l].f[XG_F(LOAD, reg)] == st->inst[i].f[XG_F(SAVE, reg)]) {
                    other->f[XG_F(SAVE, ddr)] = at;
                    return;
                }
        }
    fail_msg("no two saves before a load");
}

/* A tensor that is overwritten between its making and its use, and one that is loaded from the
 * wrong place. */
static void overwritten_and_misread_tensors_are_told_apart(void **state) {
    xg_test *t = *state;
    for (int kind = 0; kind < 2; kind++) {
        built b = build(t, "nano", "layer", 1);
        const xg_map_row *other;
        const xg_inst *made = find_inst(&b, "residual_out", XG_T_SAVE, &other);
        xg_inst *load = NULL; /* that brings it back */
        xg_stream *st = &b.program->segment.v[0].core[0];
        for (uint32_t i = other->last; i < st->n && !load; i++)
            if (st->inst[i].op == XG_T_LOAD &&
                st->inst[i].f[XG_F(LOAD, reg)] == made->f[XG_F(SAVE, reg)] &&
                st->inst[i].f[XG_F(LOAD, ddr)] == made->f[XG_F(SAVE, ddr)])
                load = &st->inst[i];
        assert_non_null(load);
        if (kind == 0) load->f[XG_F(LOAD, ddr)]++;
        if (kind == 1) overwrite_before_load(st);
        xg_check_result r = check(t, &b, &quick);
        assert_false(r.equal);
        bool said = false;
        for (uint32_t i = 0; i < r.divergence.n; i++)
            said |= strstr(r.divergence.v[i].verdict,
                           kind ? "overwritten since" : "bringing it on chip is at fault") != NULL;
        assert_true(said);
    }
}

static void missing_token_is_found(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 1);
    xg_stream *st = &b.program->segment.v[0].core[0];
    for (uint32_t i = 0; i < st->n; i++)
        if (st->inst[i].post) {
            st->inst[i].post = 0;
            break;
        }
    xg_check_result r = check(t, &b, &quick);
    assert_false(r.equal);
    assert_false(r.cases.v[0].ok); /* the static check */
    assert_non_null(r.cases.v[0].message);
}

/* Every random change of one operand is either found, or leaves a program that computes the same.
 */
static void random_changes_are_found(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "greedy", 1);
    uint64_t seed = 11;
    uint32_t found = 0, tried = 0, outputs_wrong = 0;
    xg_exec_options run = {.mode = XG_EXEC_IN_ORDER};
    for (int round = 0; round < 120; round++) {
        xg_stream *st = &b.program->segment.v[0].core[0];
        xg_inst *in = &st->inst[xg_random(&seed) % st->n], saved = *in;
        const xg_inst_desc *d = &b.machine->family->inst[in->op];
        if (!d->noperand) continue;
        uint32_t f = (uint32_t)(xg_random(&seed) % d->noperand);
        in->f[f] ^= 1 << xg_random(&seed) % 5;
        xg_arena *a = xg_arena_new(t->c);
        size_t diags = xg_diag_count(t->c);
        xg_check_options o = {
            .fill = (const char *const[]){"random:5"}, .nfill = 1, .functional = true};
        xg_check_result r;
        assert_ok(t->c, xg_check(a, b.machine, b.graph, b.program, &o, &r));
        tried++;
        found += !r.equal;
        /* an outside look: the output of a program that passed must be the interpreter's */
        if (r.equal) {
            xg_values v;
            xg_exec *e;
            xg_values_init(&v, b.graph, a);
            assert_ok(t->c, xg_values_fill(t->c, &v, "random", 5));
            assert_ok(t->c, xg_exec_new(a, b.machine, b.program, NULL, &e));
            xg_exec_begin(e);
            memcpy(xg_values_get(&e->host, e->io.input[0]), v.v[b.graph->input.v[0]],
                   8 * 8 * 3 * 4);
            assert_ok(t->c, xg_interp_run(t->c, &v, &b.machine->rq));
            assert_ok(t->c, xg_exec_run(e, &run));
            outputs_wrong += memcmp(v.v[b.graph->output.v[0]], e->host.v[e->io.output[0]], 40) != 0;
            xg_arena_free(e->run_arena);
        }
        xg_arena_free(a);
        xg_diag_truncate(t->c, diags);
        *in = saved;
    }
    assert_int_equal(outputs_wrong, 0);
    assert_true(found * 10 > tried * 6);
    xg_check_result r = check(t, &b, &quick);
    assert_true(r.equal);
}

/* ---- printed forms
 * ------------------------------------------------------------------------------------------------
 */

static uint32_t count(const char *text, const char *part) {
    uint32_t n = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) n++;
    return n;
}

static void verdicts_print(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 1);
    const xg_map_row *row;
    xg_inst *conv = find_inst(&b, "stem_out", XG_T_CONV, &row);
    conv->f[XG_F(CONV, icw)] = 0;
    conv->f[XG_F(CONV, acc_in)] ^= 1;
    xg_check_result r = check(t, &b, &quick);
    assert_false(r.equal);
    xg_buf text = {.arena = t->a}, json = {.arena = t->a}, junit = {.arena = t->a},
           tap = {.arena = t->a};
    xg_check_print_text(&r, false, &text);
    xg_check_print_json(&r, &json);
    xg_check_print_junit(&r, &junit);
    xg_check_print_tap(&r, &tap);
    assert_non_null(strstr(text.p, "DIFFERENT"));
    assert_non_null(strstr(json.p, "\"verdict\": \"different\""));
    assert_int_equal(count(junit.p, "<testcase "), r.cases.n);
    assert_int_equal(count(junit.p, "<failure "), count(tap.p, "not ok"));
    assert_int_equal(count(tap.p, "ok "), r.cases.n);
}

/* ---- programs that lie about themselves
 * ---------------------------------------------------------------------------- */

static void impossible_programs_are_refused(void **state) {
    xg_test *t = *state;
    for (int fault = 0; fault < 12; fault++) {
        built b = build(t, "nano", "layer", 1);
        xg_program *p = b.program;
        xg_step *accel = NULL;
        for (uint32_t i = 0; i < p->step.n; i++)
            if (p->step.v[i].kind == XG_STEP_ACCEL) accel = &p->step.v[i];
        assert_non_null(accel);
        assert_ok(t->c, xg_program_fits(t->c, b.machine, p));
        xg_map_row *r = &p->map.v[p->map.n / 2];
        switch (fault) {
        case 0:
            accel->segment = p->segment.n;
            break;
        case 1:
            *(uint32_t *)accel->read = p->tensor.n;
            break;
        case 2:
            p->tensor.v[accel->read[0]].place.addr = UINT32_MAX;
            break;
        case 3:
            p->tensor.v[accel->read[0]].dim[2] = INT64_MAX;
            break;
        case 4:
            r->tensor = p->tensor.n;
            break;
        case 5:
            r->last = UINT32_MAX;
            break;
        case 6:
            r->h1 = (uint32_t)p->tensor.v[r->tensor].dim[1] + 1;
            break;
        case 7:
            r->place.on_chip = true;
            r->place.addr = UINT32_MAX;
            break;
        case 8:
            r->core = 7;
            break;
        case 9:
            p->region_bytes[XG_REG_WORK] = UINT64_MAX - 5;
            break;
        case 10:
            p->region_bytes[XG_REG_CONST] = 1;
            break;
        case 11:
            r->place.row_step = UINT32_MAX;
            r->place.addr = UINT32_MAX;
            break;
        }
        assert_true(xg_program_fits(t->c, b.machine, p) != XG_OK);
    }
}

static void another_models_program_is_refused(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 1), two = build(t, "nano", "layer", 2);
    xg_check_result r;
    assert_status(t->c, xg_check(t->a, b.machine, two.graph, b.program, &quick, &r), XG_INPUT);
    b.program->tensor.v[0].name = "stranger";
    assert_true(xg_check(t->a, b.machine, b.graph, b.program, &quick, &r) != XG_OK);
}

/* ---- inputs
 * ----------------------------------------------------------------------------------------------------------
 */

static void inputs_convert_and_count(void **state) {
    xg_test *t = *state;
    xg_graph *g = small_net(t->a, 1);
    static uint8_t pixels[2 * 8 * 8 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)i;
    xg_array x = {.dtype = XG_U8, .rank = 4, .dim = {2, 8, 8, 3}, .data = pixels};
    uint64_t runs;
    assert_ok(t->c, xg_inputs_count(t->c, g, g->input.v, g->input.n, &x, 1, &runs));
    assert_int_equal(runs, 2);
    xg_values v;
    xg_values_init(&v, g, t->a);
    assert_ok(t->c, xg_inputs_set(t->c, &v, g->input.v, g->input.n, &x, 1, 1));
    assert_true(((float *)v.v[g->input.v[0]])[5] == (float)pixels[192 + 5]);
    assert_status(t->c, xg_inputs_set(t->c, &v, g->input.v, g->input.n, &x, 1, 2), XG_INPUT);
    x.dim[3] = 4;
    assert_status(t->c, xg_inputs_count(t->c, g, g->input.v, g->input.n, &x, 1, &runs), XG_INPUT);
    assert_said(t->c, "[2,8,8,4]");
    x = (xg_array){.dtype = XG_U8, .rank = 3, .dim = {8, 8, 3}, .data = pixels};
    assert_ok(t->c, xg_inputs_count(t->c, g, g->input.v, g->input.n, &x, 1, &runs));
    assert_int_equal(runs, 1);
    assert_status(t->c, xg_inputs_count(t->c, g, g->input.v, g->input.n, NULL, 0, &runs), XG_INPUT);
}

/* ---- report
 * ------------------------------------------------------------------------------------------------------------
 */

/* A layer's constants are its own, wherever their loads stand in the stream. */
static void constants_are_booked_where_needed(const built *b, const xg_report *r) {
    for (uint32_t i = 0; i < r->layer.n; i++) {
        const xg_layer_row *l = &r->layer.v[i];
        uint64_t weights = 0;
        if (l->group == XG_NONE) continue;
        const xg_group *g = &b->selection.group.v[l->group];
        for (uint32_t k = 0; k < g->nnode; k++) {
            const xg_node *n = xg_nodep(b->graph, g->node[k]);
            if (n->op == XG_OP_Conv) weights += (uint64_t)xg_tensor_elems(xg_in(b->graph, n, 1));
        }
        assert_true(l->weights_bytes >= weights);
        assert_int_equal(l->weights_bytes > 0, weights > 0);
    }
}

static void engines_add_up(const xg_report *r) {
    for (uint32_t i = 0; i < r->ncore * r->nengine; i++) {
        const xg_engine_time *x = &r->engine[i];
        uint64_t sum = x->busy + x->core_wait + x->ddr_wait + x->idle;
        for (uint32_t e = 0; e < r->nengine; e++) sum += x->wait[e];
        assert_int_equal(sum, r->cycles);
    }
}

static void reports_add_up(void **state) {
    xg_test *t = *state;
    static const struct {
        const char *machine, *strategy;
    } run[] = {{"nano", "greedy"}, {"zu9", "greedy"}, {"nano", "ilp"}, {"nano", "layer"}};
    for (size_t m = 0; m < XG_COUNT(run); m++) {
        built b = build(t, run[m].machine, run[m].strategy, 3);
        xg_report r;
        xg_report_options o = report_options(t, &b);
        assert_ok(t->c, xg_report_make(t->a, b.machine, b.program, &o, &r));
        /* multiply-accumulates of the network, by hand */
        uint64_t macs = 3 * (64 * 9 * 3 * 8 + 16 * 8 * 8 + 16 * 9 * 8 * 4 + 16 * 8 * 4 + 8 * 10);
        uint64_t cycles = 0, layer_macs = 0, most = 0;
        for (uint32_t i = 0; i < r.layer.n; i++) {
            cycles += r.layer.v[i].cycles;
            layer_macs += r.layer.v[i].macs;
        }
        for (uint32_t i = 0; i < r.ncore * r.nengine; i++)
            if (r.engine[i].busy > most) most = r.engine[i].busy;
        assert_int_equal(r.images, 3);
        assert_int_equal(r.macs, macs);
        assert_int_equal(layer_macs, macs);
        assert_int_equal(cycles, r.cycles);
        assert_true(r.cycles >= r.compute_bound && r.cycles >= r.ddr_bound && r.cycles >= most);
        assert_true(r.array_fit >= r.compute_bound && r.array_fit <= r.cycles);
        assert_true(r.weights_bytes > 0 && r.out_bytes >= 3 * 10);
        assert_true(r.least_ddr_bytes > 3 * (8 * 8 * 3 + 10) && r.cycles > r.least_ddr_cycles);
        constants_are_booked_where_needed(&b, &r);
        engines_add_up(&r);
        assert_true(r.in_bytes >= 3 * 8 * 8 * 3);
        assert_int_equal(r.host.n, 3);
        xg_buf text = {.arena = t->a}, json = {.arena = t->a}, csv = {.arena = t->a},
               svg = {.arena = t->a};
        xg_report_print_text(&r, true, &text);
        xg_report_print_json(&r, &json);
        xg_report_print_csv(&r, &csv);
        xg_report_print_svg(&r, &svg);
        assert_int_equal(count(csv.p, "\n"), r.layer.n + 1);
        assert_int_equal(count(json.p, "\"weights_bytes\""), r.layer.n + 1);
        assert_non_null(strstr(text.p, "Softmax"));
        assert_non_null(strstr(svg.p, "</svg>"));
    }
}

static void accuracy_counts(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 2);
    enum { IMAGES = 6 };
    float *pixels = xg_newn(t->a, float, IMAGES * 192);
    int64_t labels[IMAGES];
    uint64_t seed = 3, right = 0;
    for (int i = 0; i < IMAGES * 192; i++)
        pixels[i] = (float)((double)(xg_random(&seed) % 4001) / 1000.0 - 2.0);
    xg_array x = {.dtype = XG_F32, .rank = 4, .dim = {IMAGES, 8, 8, 3}, .data = pixels};
    for (int i = 0; i < IMAGES;
         i++) { /* the truth by the interpreter, the last label wrong on purpose */
        if (i % 2) continue;
        xg_values v;
        xg_values_init(&v, b.graph, t->a);
        assert_ok(t->c, xg_inputs_set(t->c, &v, b.graph->input.v, 1, &x, 1, (uint64_t)i / 2));
        assert_ok(t->c, xg_interp_run(t->c, &v, &b.machine->rq));
        const float *s = v.v[b.graph->output.v[0]];
        for (int k = 0; k < 2; k++, s += 10) {
            labels[i + k] = 0;
            for (int c = 1; c < 10; c++)
                if (s[c] > s[labels[i + k]]) labels[i + k] = c;
        }
    }
    labels[IMAGES - 1] = (labels[IMAGES - 1] + 1) % 10;
    right = IMAGES - 1;
    xg_array y = {.dtype = XG_I64, .rank = 1, .dim = {IMAGES}, .data = labels};
    xg_accuracy acc;
    assert_ok(t->c, xg_report_accuracy(t->a, b.machine, b.program, b.graph, NULL, &x, 1, &y, NULL,
                                       NULL, &acc));
    assert_int_equal(acc.images, IMAGES);
    assert_int_equal(acc.right, right);
    assert_int_equal(acc.reference_right, right);
    assert_int_equal(acc.disagree, 0);
    y.dim[0] = IMAGES - 1;
    assert_status(
        t->c,
        xg_report_accuracy(t->a, b.machine, b.program, NULL, NULL, &x, 1, &y, NULL, NULL, &acc),
        XG_INPUT);
}

/* ---- diff
 * ----------------------------------------------------------------------------------------------------------------
 */

static void diff_names_what_changed(void **state) {
    xg_test *t = *state;
    built a = build(t, "nano", "layer", 1), b = build(t, "nano", "layer", 1);
    xg_diff d;
    xg_diff_programs(t->a, a.machine->family, a.program, b.program, &d);
    assert_int_equal(d.differences, 0);
    const xg_map_row *row;
    find_inst(&b, "stem_out", XG_T_CONV, &row)->f[XG_F(CONV, cols)] ^= 1;
    b.program->tensor.v[1].zp++;
    xg_diff_programs(t->a, a.machine->family, a.program, b.program, &d);
    assert_int_equal(d.differences, 2);
    xg_buf text = {.arena = t->a};
    xg_diff_print_text(&d, &text);
    assert_non_null(strstr(text.p, "instruction"));
    assert_non_null(strstr(text.p, b.program->tensor.v[1].name));
    assert_non_null(strstr(text.p, "2 differences"));
}

/* ---- running out of memory
 * ------------------------------------------------------------------------------------------ */

static xg_status judge_scenario(void *arg) {
    const xg_test_case *k = arg;
    const built *b = k->arg;
    xg_check_result check_result;
    xg_report report;
    xg_report_options o = {.model = "small"};
    xg_status st = xg_check(k->a, b->machine, b->graph, b->program, &quick, &check_result);
    if (st == XG_OK) st = xg_report_make(k->a, b->machine, b->program, &o, &report);
    if (st != XG_OK) return st;
    xg_buf text = {.arena = k->a};
    xg_check_print_json(&check_result, &text);
    xg_report_print_text(&report, true, &text);
    return XG_OK;
}

static void every_allocation_may_fail(void **state) {
    xg_test *t = *state;
    built b = build(t, "nano", "layer", 1);
    assert_true(xg_test_nomem(judge_scenario, &b, 7) > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(right_programs_are_equal),
        TEST(wrong_bound_is_named),
        TEST(two_wrong_groups_are_both_found),
        TEST(missing_save_is_found),
        TEST(overwritten_and_misread_tensors_are_told_apart),
        TEST(missing_token_is_found),
        TEST(random_changes_are_found),
        TEST(verdicts_print),
        TEST(impossible_programs_are_refused),
        TEST(another_models_program_is_refused),
        TEST(inputs_convert_and_count),
        TEST(reports_add_up),
        TEST(accuracy_counts),
        TEST(diff_names_what_changed),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
