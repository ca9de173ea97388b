#include "driver/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The binary that an operand names, for the machine asked for, or for the one that it names itself.
 */
static xgc_status load_binary(cli *c, const char *path, xgc_binary **out) {
    xgc_machine *m = NULL;
    xgc_status st = XGC_OK;
    if (c->o.machine) st = load_machine(c, NULL, &m);
    return st == XGC_OK ? xgc_binary_load(c->x, path, m, out) : st;
}

/* ---- run
 * -------------------------------------------------------------------------------------------------------
 */

/* NAME.npy in the folder; characters that do not belong in file names become '_'. */
static xgc_status write_outputs(cli *c, const xgc_result *r) {
    xgc_array x;
    xgc_status st = make_dir(c, c->o.output_dir);
    for (size_t i = 0; st == XGC_OK && xgc_result_array(r, i, &x); i++) {
        size_t n = strlen(c->o.output_dir), m = strlen(x.name);
        char *path = malloc(n + m + 6);
        if (!path) return XGC_NOMEM;
        sprintf(path, "%s/%s.npy", c->o.output_dir, x.name);
        for (size_t k = n + 1; k < n + 1 + m; k++)
            if (!isalnum((unsigned char)path[k]) && !strchr("._-", path[k])) path[k] = '_';
        if (path[n + 1] == '.') path[n + 1] = '_';
        st = xgc_result_write_npy(c->x, r, i, path);
        free(path);
    }
    return st;
}

static xgc_status interpret(cli *c, const char *path, const xgc_run_options *o, xgc_result **r) {
    xgc_machine *m = NULL;
    xgc_model_options mo = model_options(c);
    xgc_status st = c->o.machine ? load_machine(c, NULL, &m) : XGC_OK;
    return st == XGC_OK ? xgc_interpret(c->x, path, m, &mo, o, r) : st;
}

int cmd_run(cli *c) {
    xgc_binary *b;
    xgc_result *r = NULL;
    if (c->o.fill.n > 1) return usage_error("run: one --fill at a time");
    if (c->o.fill.n && c->o.input) return usage_error("run: --fill and --input exclude each other");
    const xgc_run_options o = {.input = c->o.input,
                               .fill = c->o.fill.n ? c->o.fill.v[0] : NULL,
                               .shuffle = c->o.shuffle,
                               .cycles = c->o.cycles,
                               .intermediates = c->o.intermediates,
                               .progress = show_progress,
                               .progress_arg = c};
    const char *path = c->o.operand[0];
    bool model = ends_with(path, ".onnx") || ends_with(path, ".xg");
    if (c->o.intermediates && !model)
        return usage_error("run: --intermediates is for models; `xgc check` looks into binaries");
    xgc_status st = model ? interpret(c, path, &o, &r) : load_binary(c, path, &b);
    if (st == XGC_OK && !model) st = xgc_run(c->x, b, &o, &r);
    end_progress(c);
    if (st == XGC_OK && c->o.output_dir) st = write_outputs(c, r);
    if (st == XGC_OK && !c->o.quiet)
        st = emit(c, print_result, r, c->o.json ? "json" : "text", NULL);
    xgc_result_free(r);
    return exit_of(st);
}

/* ---- check
 * -------------------------------------------------------------------------------------------------------
 */

/* With a binary: its machine unless one is given, and its options. Without: compiled here. */
static xgc_status model_and_binary(cli *c, xgc_machine **m, xgc_model **g, xgc_binary **b) {
    const char *binary = c->o.noperand > 1 ? c->o.operand[1] : NULL;
    if (!binary) {
        xgc_status st = load_machine(c, NULL, m);
        if (st == XGC_OK) st = load_model(c, c->o.operand[0], *m, NULL, "always", g);
        return st == XGC_OK ? compile_model(c, *g, b) : st;
    }
    xgc_status st = load_binary(c, binary, b);
    if (st != XGC_OK) return st;
    xgc_binary_info i = xgc_binary_describe(*b);
    st = load_machine(c, i.machine, m);
    return st == XGC_OK ? load_model(c, c->o.operand[0], *m, i.options, "always", g) : st;
}

int cmd_check(cli *c) {
    xgc_machine *m;
    xgc_model *g = NULL;
    xgc_binary *b = NULL;
    xgc_result *r = NULL;
    if (c->o.fill.n && c->o.input)
        return usage_error("check: --fill and --input exclude each other");
    const xgc_check_options o = {.input = c->o.input,
                                 .fill = c->o.fill.v,
                                 .nfill = c->o.fill.n,
                                 .shuffle = c->o.shuffle,
                                 .thorough = c->o.thorough,
                                 .functional = c->o.functional,
                                 .progress = show_progress,
                                 .progress_arg = c};
    xgc_status st = model_and_binary(c, &m, &g, &b);
    if (st == XGC_OK) st = xgc_check(c->x, g, b, &o, &r);
    end_progress(c);
    if (!r) return exit_of(st);
    xgc_status w = XGC_OK;
    if (c->o.junit) w = emit(c, print_result, r, "junit", c->o.junit);
    const char *form = c->o.json      ? "json"
                       : c->o.tap     ? "tap"
                       : c->o.verbose ? "text-verbose"
                                      : "text";
    if (w == XGC_OK && !(c->o.quiet && st == XGC_OK)) w = emit(c, print_result, r, form, NULL);
    xgc_result_free(r);
    return exit_of(st != XGC_OK ? st : w);
}

/* ---- report
 * ------------------------------------------------------------------------------------------------------
 */

static xgc_status write_report(cli *c, const xgc_result *r) {
    outputs out = {.n = 0};
    xgc_status st = outputs_add(c, &out, print_result, r, "text-verbose", c->o.dir, "report.txt");
    if (st == XGC_OK) st = outputs_add(c, &out, print_result, r, "json", c->o.dir, "report.json");
    if (st == XGC_OK) st = outputs_add(c, &out, print_result, r, "csv", c->o.dir, "layers.csv");
    if (st == XGC_OK) st = outputs_add(c, &out, print_result, r, "svg", c->o.dir, "timeline.svg");
    if (st == XGC_OK) st = make_dir(c, c->o.dir);
    if (st == XGC_OK) st = outputs_write(c, &out);
    outputs_free(&out);
    return st;
}

int cmd_report(cli *c) {
    const char *path = c->o.operand[0], *slash = strrchr(path, '/');
    xgc_machine *m;
    xgc_model *g = NULL;
    xgc_binary *b;
    xgc_result *r = NULL;
    if (!c->o.input != !c->o.labels)
        return usage_error("report: accuracy needs both --input and --labels");
    const xgc_report_options o = {.name = slash ? slash + 1 : path,
                                  .input = c->o.input,
                                  .labels = c->o.labels,
                                  .float_model = c->o.float_model,
                                  .trace = c->o.trace,
                                  .progress = show_progress,
                                  .progress_arg = c};
    xgc_status st;
    if (ends_with(path, ".xgb")) {
        st = load_binary(c, path, &b);
    } else {
        st = load_machine(c, NULL, &m);
        if (st == XGC_OK) st = load_model(c, path, m, NULL, "always", &g);
        if (st == XGC_OK) st = compile_model(c, g, &b);
    }
    if (st == XGC_OK) st = xgc_report(c->x, g, b, &o, &r);
    end_progress(c);
    if (st == XGC_OK && c->o.dir) st = write_report(c, r);
    const char *form = c->o.json      ? "json"
                       : c->o.csv     ? "csv"
                       : c->o.svg     ? "svg"
                       : c->o.trace   ? "trace"
                       : c->o.verbose ? "text-verbose"
                                      : "text";
    if (st == XGC_OK && !c->o.quiet) st = emit(c, print_result, r, form, NULL);
    xgc_result_free(r);
    return exit_of(st);
}

/* ---- asm, disasm, diff
 * ------------------------------------------------------------------------------------------- */

int cmd_asm(cli *c) {
    xgc_machine *m;
    xgc_binary *b;
    if (!c->o.output) return usage_error("asm: give --output FILE.xgb");
    xgc_status st = load_machine(c, NULL, &m);
    if (st == XGC_OK) st = xgc_assemble(c->x, c->o.operand[0], m, &b);
    if (st == XGC_OK) st = emit(c, print_binary, b, "xgb", c->o.output);
    return exit_of(st);
}

int cmd_disasm(cli *c) {
    xgc_binary *b;
    xgc_status st = load_binary(c, c->o.operand[0], &b);
    if (st == XGC_OK) st = emit(c, print_binary, b, "xs", c->o.output);
    return exit_of(st);
}

int cmd_diff(cli *c) {
    xgc_binary *a, *b;
    xgc_result *r = NULL;
    xgc_status st = load_binary(c, c->o.operand[0], &a);
    if (st == XGC_OK) st = load_binary(c, c->o.operand[1], &b);
    if (st == XGC_OK) st = xgc_diff(c->x, a, b, &r);
    if (!r) return exit_of(st);
    xgc_status w =
        c->o.quiet ? XGC_OK : emit(c, print_result, r, c->o.json ? "json" : "text", NULL);
    xgc_result_free(r);
    return exit_of(st != XGC_OK ? st : w);
}
