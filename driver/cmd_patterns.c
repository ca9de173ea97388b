#include "driver/options.h"

int cmd_patterns(cli *c) {
    xgc_machine *m;
    xgc_model *g = NULL;
    xgc_blob b = {NULL, 0};
    xgc_status st = XGC_OK;
    if (c->o.noperand) {
        st = load_machine(c, NULL, &m);
        if (st == XGC_OK) st = load_model(c, c->o.operand[0], m, NULL, "never", &g);
    } else if (c->o.machine) {
        return usage_error("patterns: --machine is for a model's matches; name the model");
    }
    if (st == XGC_OK) st = xgc_patterns(c->x, c->o.patterns, g, c->o.json ? "json" : "text", &b);
    if (st == XGC_OK) st = xgc_write_file(c->x, "-", b.data, b.size);
    xgc_blob_free(&b);
    return exit_of(st);
}
