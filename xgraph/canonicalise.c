#include "xgraph/pass.h"

const xg_pass_desc xg_passes[] = {
#define PASS(name, doc) {#name, xg_pass_##name, doc},
#include "xgraph/passes.def"
    {NULL, NULL, NULL},
};

xg_status xg_canonicalise(xg_arena *a, xg_graph **g, xg_dump_fn dump, void *arg) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_pass_args args = {.arena = a};
    for (const xg_pass_desc *p = xg_passes; p->name; p++) {
        xg_status st = p->run(c, g, &args);
        if (!st) st = xg_graph_verify(c, *g);
        if (st) return xg_error(c, st, "", "pass %s failed", p->name);
        if (dump) st = dump(arg, p->name, *g);
        if (st) return st;
    }
    return XG_OK;
}
