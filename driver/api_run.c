/* Running: a binary on the simulator, a model on the reference interpreter. */
#include "driver/api.h"

#include <stdlib.h>
#include <string.h>

static xg_status take_arrays(xg_arena *a, const xgc_run_options *o, xg_array **out, uint32_t *n) {
    if (o->input) return xg_array_read(a, o->input, out, n);
    if (o->narray > 1024) return xg_error(xg_arena_ctx(a), XG_INPUT, "", "%zu arrays", o->narray);
    *n = (uint32_t)o->narray;
    *out = xg_newn(a, xg_array, *n);
    for (uint32_t i = 0; i < *n; i++) {
        const xgc_array *x = &o->array[i];
        xg_array *y = &(*out)[i];
        y->name = x->name;
        y->data = x->data;
        if (!xg_dtype_parse(x->type, &y->dtype) || x->rank > XG_RANK_MAX)
            return xg_error(xg_arena_ctx(a), XG_INPUT, x->name ? x->name : "",
                            "array %u has type '%s' and rank %u", i, x->type, x->rank);
        y->rank = (uint8_t)x->rank;
        memcpy(y->dim, x->dim, sizeof *x->dim * x->rank);
    }
    return XG_OK;
}

static xg_status fill(xg_ctx *c, xg_arena *a, const char *what, xg_values *v) {
    const char *text = what ? what : "random", *colon = strchr(text, ':');
    const char *kind = xg_strndup(a, text, colon ? (size_t)(colon - text) : strlen(text));
    char *end = NULL;
    uint64_t seed = colon ? strtoull(colon + 1, &end, 0) : 1;
    if (colon && (end == colon + 1 || *end))
        return xg_error(c, XG_USAGE, "", "'%s' is not an input fill: the seed must be a number",
                        text);
    return xg_values_fill(c, v, kind, seed);
}

/* What is run: a graph whose values have these inputs and outputs. */
typedef struct ends {
    const xg_graph *graph;
    const uint32_t *input, *output;
    uint32_t ninput, noutput;
} ends;

/* Output arrays for all batches; a first dimension grows with their number. */
static void new_outputs(xg_arena *a, const ends *e, uint64_t batches, run_result *r) {
    const xg_graph *g = e->graph;
    for (uint32_t i = 0; i < e->noutput; i++) {
        const xg_tensor *t = xg_tensorp(g, e->output[i]);
        xg_array x = {xg_strdup(a, t->onnx ? t->onnx : t->name), t->dtype, t->rank, {0}, NULL};
        memcpy(x.dim, t->dim, sizeof *t->dim * t->rank);
        if (x.rank == 0) {
            x.rank = batches > 1;
            x.dim[0] = 1;
        }
        if (x.rank) x.dim[0] *= (int64_t)batches;
        x.data = xg_alloc_array(a, (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype), batches);
        xg_push(a, &r->output, x);
    }
    r->batches = batches;
    const xg_tensor *in = e->ninput ? xg_tensorp(g, e->input[0]) : NULL;
    r->images = batches * (in && in->rank ? (uint64_t)in->dim[0] : 1);
}

static void keep_outputs(const ends *e, const xg_values *values, uint64_t batch, run_result *r) {
    for (uint32_t i = 0; i < e->noutput; i++) {
        const xg_tensor *t = xg_tensorp(e->graph, e->output[i]);
        size_t bytes = (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype);
        const void *v = values->v[e->output[i]];
        if (v) memcpy((char *)(uintptr_t)r->output.v[i].data + batch * bytes, v, bytes);
    }
}

static xg_status run_batches(judging *k, xg_arena *scratch, const xg_array *x, uint32_t n,
                             xg_exec **pe) {
    const xgc_run_options *o = k->o;
    const xg_program *p = k->b->program;
    xg_ctx *c = k->x->ctx;
    uint64_t batches = 1;
    xg_status st = xg_exec_new(scratch, k->b->machine, p, NULL, pe);
    if (st != XG_OK) return st;
    xg_exec *e = *pe;
    if (n) st = xg_inputs_count(c, p->host, e->io.input, e->io.ninput, x, n, &batches);
    if (st != XG_OK) return st;
    const ends io = {p->host, e->io.input, e->io.output, e->io.ninput, e->io.noutput};
    new_outputs(k->r->arena, &io, batches, &k->r->run);
    xg_exec_options eo = {.mode = o->cycles ? XG_EXEC_TIMED : XG_EXEC_IN_ORDER, .seed = o->shuffle};
    if (o->shuffle && !o->cycles) eo.mode = XG_EXEC_SHUFFLED;
    for (uint64_t i = 0; i < batches && st == XG_OK; i++) {
        if (o->progress) o->progress(o->progress_arg, "run", (double)i / (double)batches);
        xg_exec_begin(e);
        st = n ? xg_inputs_set(c, &e->host, e->io.input, e->io.ninput, x, n, i)
               : fill(c, scratch, o->fill, &e->host);
        if (st == XG_OK) st = xg_exec_run(e, &eo);
        if (st != XG_OK) return st;
        keep_outputs(&io, &e->host, i, &k->r->run);
        for (uint32_t s = 0; o->cycles && s < p->step.n; s++)
            if (p->step.v[s].kind == XG_STEP_ACCEL)
                k->r->run.cycles += e->times[p->step.v[s].segment].cycles;
    }
    return st;
}

static xg_status run_body(void *arg) {
    judging *k = arg;
    xgc_result *r = xgc_new_result(k, RESULT_RUN);
    const xgc_run_options none = {0}, *o = k->o = k->o ? k->o : &none;
    xg_arena *scratch = xg_arena_new(k->x->ctx);
    xg_array *x = NULL;
    uint32_t n = 0;
    xg_exec *e = NULL;
    r->run.machine = xg_strdup(r->arena, k->b->machine->name);
    r->run.timed = o->cycles;
    xg_status st = XG_OK;
    if (o->cycles && o->shuffle)
        st = xg_error(k->x->ctx, XG_USAGE, "",
                      "a shuffled order has no cycles: --shuffle and --cycles exclude each other");
    if (st == XG_OK) st = take_arrays(scratch, o, &x, &n);
    if (st == XG_OK) st = run_batches(k, scratch, x, n, &e);
    r->run.ms = (double)r->run.cycles / (double)k->b->machine->clock_khz;
    if (e) xg_arena_free(e->run_arena);
    xg_arena_free(scratch);
    k->o = NULL;
    return st;
}

xgc_status xgc_run(xgc *x, const xgc_binary *b, const xgc_run_options *o, xgc_result **out) {
    judging k = {.b = b, .o = o};
    return xgc_judge(x, run_body, &k, out);
}

/* ---- interpret
 * ------------------------------------------------------------------------------------------------
 */

typedef struct {
    judging k;
    const char *path;
    const xgc_machine *machine;
    const xgc_model_options *model;
} interpreting;

static void say_who(const interpreting *p, const xg_graph *g, run_result *r) {
    r->interpreted = true;
    bool quantised = p->machine || p->model->calibration || p->model->calibration_table;
    r->machine = xg_strf(p->k.r->arena, "the reference interpreter, %s%s",
                         p->machine ? "arithmetic of " : "",
                         p->machine                           ? p->machine->m->name
                         : !quantised && xg_graph_is_float(g) ? "in float"
                                                              : "arithmetic of ONNX Runtime");
}

static xg_status read_model(const interpreting *p, xg_arena *a, xg_rqrec *record, xg_graph **g) {
    xg_ctx *c = p->k.x->ctx;
    xg_front_options f;
    xg_image_options images;
    xg_quant_report quant = {0};
    if (p->machine)
        *record = p->machine->m->rq;
    else if (!xg_rqrec_profile("ort", record))
        return xg_error(c, XG_INTERNAL, "", "no profile ort");
    xg_status st = xgc_front_options(c, p->model, p->machine, &images, &f);
    f.as_it_is = !p->machine && !f.calib_inputs && !f.calibration_path;
    return st == XG_OK ? xg_front(a, p->path, &f, record, g, &quant) : st;
}

/* The graph's ends; with all: every tensor that a node computes is an output. */
static ends ends_of(xg_arena *a, const xg_graph *g, bool all) {
    ends e = {g, g->input.v, g->output.v, g->input.n, g->output.n};
    if (!all) return e;
    uint32_t *made = xg_newn(a, uint32_t, g->tensor.n + 1), n = 0;
    for (uint32_t t = 0; t < g->tensor.n; t++)
        if (xg_tensorp(g, t)->producer != XG_NONE) made[n++] = t;
    e.output = made;
    e.noutput = n;
    return e;
}

static xg_status interpret_batches(interpreting *p, xg_arena *a, const xg_graph *g,
                                   const xg_rqrec *record) {
    const xgc_run_options *o = p->k.o;
    xg_ctx *c = p->k.x->ctx;
    const ends io = ends_of(a, g, o->intermediates);
    uint64_t batches = 1;
    xg_array *x = NULL;
    uint32_t n = 0;
    xg_status st = take_arrays(a, o, &x, &n);
    if (st == XG_OK && n) st = xg_inputs_count(c, g, io.input, io.ninput, x, n, &batches);
    if (st != XG_OK) return st;
    new_outputs(p->k.r->arena, &io, batches, &p->k.r->run);
    for (uint64_t i = 0; i < batches && st == XG_OK; i++) {
        if (o->progress) o->progress(o->progress_arg, "run", (double)i / (double)batches);
        xg_arena *scratch = xg_arena_new(c);
        xg_values v;
        xg_values_init(&v, g, scratch);
        st = n ? xg_inputs_set(c, &v, io.input, io.ninput, x, n, i) : fill(c, scratch, o->fill, &v);
        if (st == XG_OK) st = xg_interp_run(c, &v, record);
        if (st == XG_OK) keep_outputs(&io, &v, i, &p->k.r->run);
        xg_arena_free(scratch);
    }
    return st;
}

static xg_status interpret_body(void *arg) {
    interpreting *p = arg;
    const xgc_run_options none = {0};
    const xgc_model_options plain = {0};
    xgc_result *r = xgc_new_result(&p->k, RESULT_RUN);
    p->k.o = p->k.o ? p->k.o : &none;
    p->model = p->model ? p->model : &plain;
    const xgc_run_options *o = p->k.o;
    if (o->cycles || o->shuffle)
        return xg_error(p->k.x->ctx, XG_USAGE, "",
                        "a model on the interpreter has no cycles and no engines to shuffle");
    xg_arena *scratch = xg_arena_new(p->k.x->ctx);
    xg_graph *g;
    xg_rqrec record;
    xg_status st = read_model(p, scratch, &record, &g);
    if (st == XG_OK) say_who(p, g, &r->run);
    if (st == XG_OK) st = interpret_batches(p, scratch, g, &record);
    xg_arena_free(scratch);
    p->k.o = NULL;
    return st;
}

xgc_status xgc_interpret(xgc *x, const char *path, const xgc_machine *m,
                         const xgc_model_options *model, const xgc_run_options *o,
                         xgc_result **out) {
    interpreting p = {.k = {.o = o}, .path = path, .machine = m, .model = model};
    return xgc_judge(x, interpret_body, &p.k, out);
}
