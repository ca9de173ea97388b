#include "driver/api.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

xgc_result *xgc_new_result(judging *k, result_kind kind) {
    xg_arena *a = k->g.arena = xg_arena_new(k->x->ctx);
    k->r = xg_new(a, xgc_result);
    k->r->arena = a;
    k->r->kind = kind;
    return k->r;
}

xgc_status xgc_judge(xgc *x, xg_status (*body)(void *arg), judging *k, xgc_result **out) {
    k->x = x;
    k->g.keep = true;
    xgc_status st = xgc_guard(x, body, &k->g);
    *out = st == XGC_OK || st == XGC_MISMATCH ? k->r : NULL;
    return st;
}

/* ---- check
 * --------------------------------------------------------------------------------------------------------
 */

static xg_status check_body(void *arg) {
    judging *k = arg;
    xgc_result *r = xgc_new_result(k, RESULT_CHECK);
    const xgc_check_options none = {0}, *o = k->o ? k->o : &none;
    xg_check_options co = {.fill = o->fill,
                           .nfill = (uint32_t)o->nfill,
                           .seed = o->shuffle,
                           .thorough = o->thorough,
                           .functional = o->functional,
                           .progress = o->progress,
                           .progress_arg = o->progress_arg};
    xg_status st = XG_OK;
    if (k->b->program->input_digest && k->b->program->input_digest[0] &&
        strcmp(k->b->program->input_digest, k->model->input_digest))
        xg_warn(k->x->ctx, "",
                "the binary was compiled from a file with digest %.16s, this model's is %.16s",
                k->b->program->input_digest, k->model->input_digest);
    if (o->input) {
        xg_array *x = NULL;
        st = xg_array_read(r->arena, o->input, &x, &co.ninput);
        co.input = x;
    }
    if (st == XG_OK)
        st = xg_check(r->arena, k->b->machine, k->model->graph, k->b->program, &co, &r->check);
    r->check.scheme = xg_scheme_text(r->arena, &k->model->scheme);
    return st == XG_OK && !r->check.equal ? XG_MISMATCH : st;
}

xgc_status xgc_check(xgc *x, const xgc_model *g, const xgc_binary *b, const xgc_check_options *o,
                     xgc_result **out) {
    judging k = {.model = g, .b = b, .o = o};
    return xgc_judge(x, check_body, &k, out);
}

/* ---- report
 * ----------------------------------------------------------------------------------------------------------
 */

static xg_status float_graph(xg_arena *a, const xgc_model *model, const char *path,
                             xg_graph **out) {
    (void)model;
    const xg_import_options o = {.external_data = true};
    xg_status st = xg_import_onnx(a, path, &o, out);
    return st == XG_OK ? xg_canonicalise(a, out, NULL, NULL) : st;
}

/* A file with images and labels together is fine: the labels are its only integers in one
 * dimension. */
static xg_status pick_labels(xg_ctx *c, const char *path, xg_array **labels, uint32_t n) {
    xg_array *found = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if ((*labels)[i].rank == 1 && (*labels)[i].dtype != XG_F32) {
            found = &(*labels)[i];
            count++;
        }
    if (n == 1) return XG_OK;
    *labels = found;
    return count == 1
               ? XG_OK
               : xg_error(c, XG_INPUT, path,
                          "labels are one array of integers in one dimension; found %u", count);
}

static xg_status measure_accuracy(judging *k, const xgc_report_options *o, xg_report *r) {
    xg_arena *a = xg_arena_new(k->x->ctx);
    xg_array *input = NULL, *labels = NULL;
    uint32_t ninput = 0, nlabels = 0;
    xg_graph *fg = NULL;
    xg_status st = xg_array_read(a, o->input, &input, &ninput);
    if (st == XG_OK) st = xg_array_read(a, o->labels, &labels, &nlabels);
    if (st == XG_OK) st = pick_labels(k->x->ctx, o->labels, &labels, nlabels);
    if (st == XG_OK && o->float_model) st = float_graph(a, k->model, o->float_model, &fg);
    if (st == XG_OK)
        st = xg_report_accuracy(a, k->b->machine, k->b->program, k->model ? k->model->graph : NULL,
                                fg, input, ninput, labels, o->progress, o->progress_arg,
                                &r->accuracy);
    r->has_accuracy = st == XG_OK;
    xg_arena_free(a);
    return st;
}

static void describe_groups(xg_arena *a, const xg_selection *s, xg_report_options *o) {
    if (!s) return;
    xg_report_group *g = xg_newn(a, xg_report_group, s->group.n);
    for (uint32_t i = 0; i < s->group.n; i++)
        g[i] = (xg_report_group){s->group.v[i].nnode, s->group.v[i].node, s->group.v[i].host_reason,
                                 s->group.v[i].cost_cycles};
    o->graph = s->graph;
    o->group = g;
    o->ngroup = s->group.n;
}

static xg_status report_body(void *arg) {
    judging *k = arg;
    xgc_result *r = xgc_new_result(k, RESULT_REPORT);
    const xgc_report_options none = {0}, *o = k->o ? k->o : &none;
    if (!o->labels != !o->input && (o->labels || o->float_model))
        return xg_error(k->x->ctx, XG_USAGE, "", "accuracy needs both --input and --labels");
    xg_report_options ro = {.model = o->name ? xg_strdup(r->arena, o->name) : NULL,
                            .quant = k->model ? &k->model->quant : NULL,
                            .spans = o->trace,
                            .scheme = k->model ? &k->model->scheme : NULL};
    describe_groups(r->arena, k->b->selection, &ro);
    xg_status st = xg_report_make(r->arena, k->b->machine, k->b->program, &ro, &r->report);
    if (st == XG_OK && o->labels) st = measure_accuracy(k, o, &r->report);
    return st;
}

xgc_status xgc_report(xgc *x, const xgc_model *g, const xgc_binary *b, const xgc_report_options *o,
                      xgc_result **out) {
    judging k = {.model = g, .b = b, .o = o};
    return xgc_judge(x, report_body, &k, out);
}

/* ---- diff
 * ------------------------------------------------------------------------------------------------------------
 */

static xg_status diff_body(void *arg) {
    judging *k = arg;
    xgc_result *r = xgc_new_result(k, RESULT_DIFF);
    if (k->b->machine->family != k->other->machine->family)
        return xg_error(k->x->ctx, XG_INPUT, "", "the binaries are of the families '%s' and '%s'",
                        k->b->machine->family->name, k->other->machine->family->name);
    xg_diff_programs(r->arena, k->b->machine->family, k->b->program, k->other->program, &r->diff);
    return r->diff.differences ? XG_MISMATCH : XG_OK;
}

xgc_status xgc_diff(xgc *x, const xgc_binary *a, const xgc_binary *b, xgc_result **out) {
    judging k = {.b = a, .other = b};
    return xgc_judge(x, diff_body, &k, out);
}

/* ---- results
 * ----------------------------------------------------------------------------------------------------------
 */

static bool print_check(const xg_check_result *r, const char *form, xg_buf *out) {
    if (!strcmp(form, "text") || !strcmp(form, "text-verbose"))
        xg_check_print_text(r, form[4] != 0, out);
    else if (!strcmp(form, "json"))
        xg_check_print_json(r, out);
    else if (!strcmp(form, "junit"))
        xg_check_print_junit(r, out);
    else if (!strcmp(form, "tap"))
        xg_check_print_tap(r, out);
    else
        return false;
    return true;
}

static bool print_report(const xg_report *r, const char *form, xg_buf *out) {
    if (!strcmp(form, "text") || !strcmp(form, "text-verbose"))
        xg_report_print_text(r, form[4] != 0, out);
    else if (!strcmp(form, "json"))
        xg_report_print_json(r, out);
    else if (!strcmp(form, "csv"))
        xg_report_print_csv(r, out);
    else if (!strcmp(form, "svg"))
        xg_report_print_svg(r, out);
    else if (!strcmp(form, "trace") && r->span.n)
        xg_report_print_trace(r, out);
    else
        return false;
    return true;
}

static xg_status result_body(void *arg) {
    printing *p = arg;
    const xgc_result *r = p->what;
    xg_buf *out = &p->buf;
    out->arena = p->g.arena = xg_arena_new(p->x->ctx);
    if (r->kind == RESULT_CHECK && !print_check(&r->check, p->form, out))
        return xgc_bad_form(p->x->ctx, p->form, "text, text-verbose, json, junit, tap");
    if (r->kind == RESULT_REPORT && !print_report(&r->report, p->form, out))
        return xgc_bad_form(p->x->ctx, p->form,
                            "text, text-verbose, json, csv, svg, and trace when asked for");
    if (r->kind == RESULT_QUANTIZE)
        return xgc_print_quantize(p->x->ctx, &r->quantize, p->form, out);
    bool json = !strcmp(p->form, "json");
    if ((r->kind == RESULT_RUN || r->kind == RESULT_DIFF) && !json && strcmp(p->form, "text"))
        return xgc_bad_form(p->x->ctx, p->form, "text, json");
    if (r->kind == RESULT_RUN) xgc_print_run(&r->run, json, out);
    if (r->kind == RESULT_DIFF && json) xg_diff_print_json(&r->diff, out);
    if (r->kind == RESULT_DIFF && !json) xg_diff_print_text(&r->diff, out);
    return XG_OK;
}

xgc_status xgc_result_print(xgc *x, const xgc_result *r, const char *form, xgc_blob *out) {
    return xgc_print_guard(x, result_body, r, form, out);
}

bool xgc_result_array(const xgc_result *r, size_t i, xgc_array *out) {
    if (!r || r->kind != RESULT_RUN || i >= r->run.output.n) return false;
    const xg_array *x = &r->run.output.v[i];
    *out = (xgc_array){
        .name = x->name, .type = xg_dtype_name(x->dtype), .rank = x->rank, .data = x->data};
    memcpy(out->dim, x->dim, sizeof *x->dim * x->rank);
    return true;
}

typedef struct {
    guarded g;
    xg_ctx *c;
    const xg_array *x;
    const char *path;
} npy;

static xg_status npy_body(void *arg) {
    npy *n = arg;
    if (!n->x) return xg_error(n->c, XG_USAGE, n->path, "there is no such output array");
    return xg_array_write_npy(n->c, n->path, n->x);
}

xgc_status xgc_result_write_npy(xgc *x, const xgc_result *r, size_t i, const char *path) {
    bool there = r && r->kind == RESULT_RUN && i < r->run.output.n;
    npy n = {.c = x->ctx, .x = there ? &r->run.output.v[i] : NULL, .path = path};
    return xgc_guard(x, npy_body, &n.g);
}

void xgc_result_free(xgc_result *r) {
    if (r) xg_arena_free(r->arena);
}
