#include "driver/api.h"

#include "base/json.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
    guarded g;
    xgc *x;
    const xgc_model *model;
    const xgc_compile_options *o;
    const char *path;
    const xgc_machine *machine;
    xgc_binary *b;
} making;

static xgc_binary *new_binary(making *k, const xg_machine *m) {
    xg_arena *a = k->g.arena = xg_arena_new(k->x->ctx);
    k->b = xg_new(a, xgc_binary);
    k->b->arena = a;
    k->b->machine = m;
    return k->b;
}

static xgc_status finish(making *k, xgc_status st, xgc_binary **out) {
    *out = st == XGC_OK ? k->b : NULL;
    return st;
}

/* ---- compile
 * ----------------------------------------------------------------------------------------------------
 */

static xg_status plan_of_file(making *k, xg_arena *a, xgc_binary *b) {
    xg_bytes text;
    xg_status st = xg_read_file(a, k->o->selection, &text);
    if (st == XG_OK)
        st = xg_selection_parse(a, k->model->graph, k->o->selection, (const char *)text.p, text.n,
                                b->selection);
    if (st == XG_OK) st = xg_selection_check(a, b->selection, b->machine);
    return st == XG_OK ? xg_plan_make(a, b->selection, b->machine, &b->plan) : st;
}

static xg_status compile_body(void *arg) {
    making *k = arg;
    xgc_binary *b = new_binary(k, k->model->machine->m);
    xg_arena *a = b->arena;
    const char *strategy = k->o && k->o->strategy ? k->o->strategy : "ilp";
    b->selection = xg_new(a, xg_selection);
    b->lp.arena = a;
    const xg_select_options choice = {.strategy = strategy,
                                      .patterns = k->o ? k->o->patterns : NULL,
                                      .lp = k->o && k->o->keep_ilp ? &b->lp : NULL};
    xg_status st = k->o && k->o->selection ? plan_of_file(k, a, b)
                                           : xg_plan_best(a, k->model->graph, b->machine, &choice,
                                                          b->selection, &b->plan);
    if (st == XG_OK) *b->selection = *xg_plan_selection(b->plan);
    if (st == XG_OK) st = xg_lower(a, b->plan, &b->program);
    if (st != XG_OK) return st;
    if (!b->program->segment.n)
        xg_warn(k->x->ctx, "", "nothing runs on the accelerator: all operators are on the host");
    b->program->tool_version = "xgc " XGC_VERSION;
    b->program->input_digest = xg_strdup(a, k->model->input_digest);
    b->program->options = xg_strdup(a, k->model->options);
    if (!b->program->strategy) b->program->strategy = b->selection->strategy;
    if (!b->program->solver_note)
        b->program->solver_note = b->selection->note ? b->selection->note : "";
    return XG_OK;
}

xgc_status xgc_compile(xgc *x, const xgc_model *g, const xgc_compile_options *o, xgc_binary **out) {
    making k = {.g = {.keep = true}, .x = x, .model = g, .o = o};
    return finish(&k, xgc_guard(x, compile_body, &k.g), out);
}

/* ---- read and assemble
 * -------------------------------------------------------------------------------------------- */

static xg_status named_machine(making *k, const xg_bytes *data) {
    const char *name = NULL;
    xg_arena *a = k->b->arena;
    xg_status st = xg_xgb_machine(a, k->path, data->p, data->n, &name);
    if (st != XG_OK) return st;
    for (const char *const *shipped = xg_machine_names(); *shipped; shipped++)
        if (!strcmp(*shipped, name)) {
            xg_machine *m;
            st = xg_machine_load(a, name, NULL, &m);
            k->b->machine = m;
            return st;
        }
    return xg_error(
        k->x->ctx, XG_INPUT, k->path,
        "it was built for machine '%s', which is not a shipped one: give its file with -m", name);
}

static xg_status load_body(void *arg) {
    making *k = arg;
    xgc_binary *b = new_binary(k, k->machine ? k->machine->m : NULL);
    xg_bytes data;
    xg_status st = xg_read_file(b->arena, k->path, &data);
    if (st == XG_OK && !b->machine) st = named_machine(k, &data);
    if (st == XG_OK) st = xg_xgb_read(b->arena, k->path, data.p, data.n, b->machine, &b->program);
    if (st == XG_OK) st = xg_program_fits(k->x->ctx, b->machine, b->program);
    return st;
}

xgc_status xgc_binary_load(xgc *x, const char *path, const xgc_machine *m, xgc_binary **out) {
    making k = {.g = {.keep = true}, .x = x, .path = path, .machine = m};
    return finish(&k, xgc_guard(x, load_body, &k.g), out);
}

static xg_status assemble_body(void *arg) {
    making *k = arg;
    xgc_binary *b = new_binary(k, k->machine->m);
    xg_bytes text;
    xg_status st = xg_read_file(b->arena, k->path, &text);
    if (st == XG_OK)
        st = xg_xs_parse(b->arena, k->path, (const char *)text.p, text.n, b->machine, &b->program);
    if (st == XG_OK) st = xg_program_fits(k->x->ctx, b->machine, b->program);
    return st;
}

xgc_status xgc_assemble(xgc *x, const char *path, const xgc_machine *m, xgc_binary **out) {
    making k = {.g = {.keep = true}, .x = x, .path = path, .machine = m};
    return finish(&k, xgc_guard(x, assemble_body, &k.g), out);
}

void xgc_binary_free(xgc_binary *b) {
    if (b) xg_arena_free(b->arena);
}

/* ---- describe and print
 * --------------------------------------------------------------------------------------------- */

xgc_binary_info xgc_binary_describe(const xgc_binary *b) {
    const xg_program *p = b->program;
    xgc_binary_info i = {
        .machine = b->machine->name,
        .strategy = p->strategy ? p->strategy : "",
        .options = p->options ? p->options : "",
        .input_digest = p->input_digest ? p->input_digest : "",
        .tool_version = p->tool_version ? p->tool_version : "",
        .constant_bytes = p->constants.n,
        .segments = p->segment.n,
        .tensors = p->tensor.n,
    };
    for (int r = 0; r < XG_REGIONS; r++) i.ddr_bytes += p->region_bytes[r];
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t c = 0; c < p->segment.v[s].ncore; c++)
            i.instructions += p->segment.v[s].core[c].n;
    uint32_t groups = 0; /* the map names them; numbers of host groups do not occur in it */
    for (uint32_t r = 0; r < p->map.n; r++)
        if (r == 0 || p->map.v[r].group != p->map.v[r - 1].group) groups++;
    i.groups = groups;
    for (uint32_t s = 0; s < p->step.n; s++)
        if (p->step.v[s].kind == XG_STEP_HOST) i.host_nodes += p->step.v[s].nnode;
    return i;
}

static void print_json(const xgc_binary *b, xg_buf *out) {
    xgc_binary_info i = xgc_binary_describe(b);
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    xg_json_kstr(&j, "machine", i.machine);
    xg_json_kstr(&j, "strategy", i.strategy);
    xg_json_kstr(&j, "options", i.options);
    xg_json_kstr(&j, "input_digest", i.input_digest);
    xg_json_kstr(&j, "tool", i.tool_version);
    xg_json_kint(&j, "instructions", (int64_t)i.instructions);
    xg_json_kint(&j, "constant_bytes", (int64_t)i.constant_bytes);
    xg_json_kint(&j, "ddr_bytes", (int64_t)i.ddr_bytes);
    xg_json_kint(&j, "segments", i.segments);
    xg_json_kint(&j, "tensors", i.tensors);
    xg_json_key(&j, "host_nodes");
    xg_json_open(&j, '[');
    const xg_program *p = b->program;
    for (uint32_t s = 0; s < p->step.n; s++)
        for (uint32_t n = 0; p->step.v[s].kind == XG_STEP_HOST && n < p->step.v[s].nnode; n++) {
            const xg_node *node = xg_nodep(p->host, p->step.v[s].node[n]);
            xg_json_open(&j, '{');
            xg_json_kstr(&j, "node", node->name);
            xg_json_kstr(&j, "op", xg_ops[node->op].name);
            xg_json_close(&j, '}');
        }
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
    xg_puts(out, "\n");
}

static xg_status print_body(void *arg) {
    printing *p = arg;
    const xgc_binary *b = p->what;
    p->buf.arena = p->g.arena = xg_arena_new(p->x->ctx);
    if (!strcmp(p->form, "xgb")) return xg_xgb_write(p->x->ctx, b->machine, b->program, &p->buf);
    if (!strcmp(p->form, "xs")) return xg_xs_print(p->x->ctx, b->machine, b->program, &p->buf);
    if (!strcmp(p->form, "json"))
        print_json(b, &p->buf);
    else if (!strcmp(p->form, "sel") && b->selection)
        xg_selection_print(b->selection, &p->buf);
    else if (!strcmp(p->form, "lp") && b->lp.n)
        xg_puts(&p->buf, b->lp.p);
    else if (!strcmp(p->form, "plan") && b->plan)
        xg_plan_print(b->plan, &p->buf);
    else
        return xgc_bad_form(
            p->x->ctx, p->form,
            "xgb, xs, json and, after xgc_compile(), sel, plan and, when asked for, lp");
    return XG_OK;
}

xgc_status xgc_binary_print(xgc *x, const xgc_binary *b, const char *form, xgc_blob *out) {
    return xgc_print_guard(x, print_body, b, form, out);
}
