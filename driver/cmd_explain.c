#include "driver/options.h"

int cmd_explain(cli *c) {
    xgc_machine *m;
    xgc_model *g;
    xgc_binary *b;
    xgc_blob text = {NULL, 0};
    const xgc_explain_options o = {
        .node = c->o.node, .pair = c->o.pair, .patterns = c->o.patterns, .json = c->o.json};
    if (o.node && o.pair) return usage_error("explain: give --node or --pair, not both");
    xgc_status st = load_machine(c, NULL, &m);
    if (st == XGC_OK) st = load_model(c, c->o.operand[0], m, NULL, "never", &g);
    if (st == XGC_OK) st = compile_model(c, g, &b);
    if (st == XGC_OK) st = xgc_explain(c->x, b, &o, &text);
    if (st == XGC_OK)
        st = xgc_write_file(c->x, c->o.output ? c->o.output : "-", text.data, text.size);
    xgc_blob_free(&text);
    return exit_of(st);
}
