#include "driver/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static xgc_status write_files(cli *c, const xgc_result *r) {
    outputs out = {.n = 0};
    const char *form = c->o.output && ends_with(c->o.output, ".xg") ? "xg" : "onnx";
    xgc_status st = outputs_add(c, &out, print_result, r, form, NULL, c->o.output);
    if (st == XGC_OK) st = outputs_add(c, &out, print_result, r, "table", NULL, c->o.emit_calib);
    if (st == XGC_OK) st = outputs_add(c, &out, print_result, r, "xg-text", NULL, c->o.emit_xg);
    if (st == XGC_OK) st = outputs_write(c, &out);
    outputs_free(&out);
    return st;
}

int cmd_quantize(cli *c) {
    const char *path = c->o.operand[0], *slash = strrchr(path, '/');
    xgc_machine *m = NULL;
    xgc_result *r = NULL;
    if (c->o.machine && c->o.profile)
        return usage_error("quantize: --machine and --profile exclude each other");
    if (!c->o.input != !c->o.labels)
        return usage_error("quantize: accuracy needs both --input and --labels");
    if (!c->o.calib)
        return usage_error("quantize: give example inputs with --calib (random for a trial)");
    double min_cosine = 0;
    char *end = NULL;
    if (c->o.min_cosine) min_cosine = strtod(c->o.min_cosine, &end);
    if (end && (*end || end == c->o.min_cosine || !(min_cosine > 0 && min_cosine < 1)))
        return usage_error("quantize: --min-cosine is '%.40s', expected a number between 0 and 1",
                           c->o.min_cosine);
    const xgc_quantize_options o = {.name = slash ? slash + 1 : path,
                                    .profile = c->o.profile,
                                    .input = c->o.input,
                                    .labels = c->o.labels,
                                    .activations = c->o.activations,
                                    .samples = c->o.samples,
                                    .min_cosine = min_cosine,
                                    .progress = show_progress,
                                    .progress_arg = c};
    const xgc_model_options model = model_options(c);
    xgc_status st = c->o.machine ? load_machine(c, NULL, &m) : XGC_OK;
    if (st == XGC_OK) st = xgc_quantize(c->x, path, m, &model, &o, &r);
    end_progress(c);
    if (st == XGC_OK) st = write_files(c, r);
    bool to_stdout = c->o.output && !strcmp(c->o.output, "-");
    if (st == XGC_OK && !c->o.quiet && !to_stdout)
        st = emit(c, print_result, r, c->o.json ? "json" : "text", NULL);
    xgc_result_free(r);
    return exit_of(st);
}
