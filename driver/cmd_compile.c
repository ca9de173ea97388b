#include "driver/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- depfile
 * ----------------------------------------------------------------------------------------------------
 */

typedef struct {
    char *p;
    size_t n, cap;
    bool failed;
} text;

static void put(text *t, const char *s, size_t n) {
    if (t->failed) return;
    if (t->n + n + 1 > t->cap) {
        size_t cap = 2 * (t->n + n + 64);
        char *p = realloc(t->p, cap);
        if (!p) {
            t->failed = true;
            return;
        }
        t->p = p;
        t->cap = cap;
    }
    memcpy(t->p + t->n, s, n);
    t->n += n;
    t->p[t->n] = 0;
}

/* A file name as make and ninja read it: blanks and # escaped by a backslash, $ doubled. */
static void put_name(text *t, const char *s) {
    for (; *s; s++) {
        if (*s == ' ' || *s == '#') put(t, "\\", 1);
        if (*s == '$') put(t, "$", 1);
        put(t, s, 1);
    }
}

/* The model first, then all other files that were read for it. */
static xgc_status write_depfile(cli *c, const char *target) {
    const char *model = c->o.operand[0], *file;
    text t = {0};
    put_name(&t, target);
    put(&t, ":", 1);
    if (strcmp(model, "-") != 0) {
        put(&t, " ", 1);
        put_name(&t, model);
    }
    for (size_t i = 0; (file = xgc_file_at(c->x, i)); i++) {
        if (!strcmp(file, model)) continue;
        put(&t, " ", 1);
        put_name(&t, file);
    }
    put(&t, "\n", 1);
    xgc_status st = t.failed ? XGC_NOMEM : xgc_write_file(c->x, c->o.depfile, t.p, t.n);
    free(t.p);
    return st;
}

/* ---- compile
 * -----------------------------------------------------------------------------------------------------
 */

/* Everything about one compilation, into a folder. */
static xgc_status add_report(cli *c, outputs *out, const xgc_model *g, const xgc_binary *b,
                             xgc_result **report) {
    static const struct {
        const char *form, *file;
    } kinds[] = {{"text-verbose", "report.txt"},
                 {"json", "report.json"},
                 {"csv", "layers.csv"},
                 {"svg", "timeline.svg"}};
    const xgc_report_options o = {.name = c->o.operand[0]};
    xgc_status st = xgc_report(c->x, g, b, &o, report);
    for (size_t i = 0; i < 4 && st == XGC_OK; i++)
        st = outputs_add(c, out, print_result, *report, kinds[i].form, c->o.report, kinds[i].file);
    if (st == XGC_OK) st = outputs_add(c, out, print_model, g, "text", c->o.report, "graph.xg.txt");
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "sel", c->o.report, "groups.sel");
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "plan", c->o.report, "tiles.plan");
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "xs", c->o.report, "program.xs");
    return st;
}

static xgc_status add_outputs(cli *c, outputs *out, const xgc_model *g, const xgc_binary *b,
                              const char *path, xgc_result **report) {
    xgc_status st = outputs_add(c, out, print_model, g, "text", NULL, c->o.emit_xg);
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "sel", NULL, c->o.emit_sel);
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "plan", NULL, c->o.emit_plan);
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "xs", NULL, c->o.emit_xs);
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "lp", NULL, c->o.dump_ilp);
    if (st == XGC_OK && c->o.report) st = add_report(c, out, g, b, report);
    if (st == XGC_OK) st = outputs_add(c, out, print_binary, b, "xgb", NULL, path);
    if (st == XGC_OK && c->o.report) st = make_dir(c, c->o.report);
    if (st == XGC_OK) st = outputs_write(c, out);
    return st;
}

static xgc_status say(cli *c, const xgc_model *g, const xgc_binary *b, const char *path,
                      size_t bytes) {
    xgc_binary_info i = xgc_binary_describe(b);
    if (c->o.quiet || c->o.json || !strcmp(path, "-")) return XGC_OK;
    printf("%s: %zu bytes for %s: %llu instructions, %llu bytes of constants, %u host step%s\n",
           path, bytes, i.machine, (unsigned long long)i.instructions,
           (unsigned long long)i.constant_bytes, i.host_nodes, i.host_nodes == 1 ? "" : "s");
    xgc_blob difference;
    xgc_status st = xgc_model_print(c->x, g, "difference", &difference);
    if (st == XGC_OK && difference.size) printf("requantisation: %s", difference.data);
    xgc_blob_free(&difference);
    return st;
}

/* model.onnx -> model.xgb, without its folder. Freed by the caller. */
static char *default_output(const char *model) {
    const char *slash = strrchr(model, '/'), *base = slash ? slash + 1 : model,
               *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    char *path = malloc(n + 5);
    if (path) {
        memcpy(path, base, n);
        memcpy(path + n, ".xgb", 5);
    }
    return path;
}

static xgc_status compile(cli *c, const char *path) {
    xgc_machine *m;
    xgc_model *g;
    xgc_binary *b;
    xgc_result *report = NULL;
    outputs out = {.n = 0};
    const char *when = c->o.report ? "always" : c->o.quiet ? "never" : "cheap";
    xgc_status st = load_machine(c, NULL, &m);
    if (st == XGC_OK) st = load_model(c, c->o.operand[0], m, NULL, when, &g);
    if (st == XGC_OK) st = compile_model(c, g, &b);
    if (st == XGC_OK) st = add_outputs(c, &out, g, b, path, &report);
    if (st == XGC_OK && c->o.depfile) st = write_depfile(c, path);
    if (st == XGC_OK && c->o.json) st = emit(c, print_binary, b, "json", NULL);
    if (st == XGC_OK) st = say(c, g, b, path, out.v[out.n - 1].blob.size);
    outputs_free(&out);
    xgc_result_free(report);
    return st;
}

int cmd_compile(cli *c) {
    if (c->o.dump_ilp && (c->o.sel || (c->o.strategy && strcmp(c->o.strategy, "ilp"))))
        return usage_error("compile: --dump-ilp needs the strategy ilp, without --sel");
    char *path = c->o.output ? NULL : default_output(c->o.operand[0]);
    if (!c->o.output && !path) return EXIT_FAULT;
    xgc_status st = compile(c, path ? path : c->o.output);
    free(path);
    return exit_of(st);
}

int cmd_import(cli *c) {
    xgc_machine *m;
    xgc_model *g = NULL;
    if (!c->o.output && !c->o.emit_qoperator)
        return usage_error("import: give --output FILE (- is standard output)");
    outputs out = {.n = 0};
    xgc_status st = load_machine(c, "nano", &m);
    if (st == XGC_OK) st = load_model(c, c->o.operand[0], m, NULL, "never", &g);
    if (st == XGC_OK)
        st =
            outputs_add(c, &out, print_model, g, c->o.text ? "text-data" : "xg", NULL, c->o.output);
    if (st == XGC_OK)
        st = outputs_add(c, &out, print_model, g, "qoperator", NULL, c->o.emit_qoperator);
    if (st == XGC_OK) st = outputs_write(c, &out);
    outputs_free(&out);
    return exit_of(st);
}
