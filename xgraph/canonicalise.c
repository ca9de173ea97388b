#include "xgraph/pass.h"

#include <string.h>

const xg_pass_desc xg_passes[] = {
#define PASS(name, doc)        {#name, xg_pass_##name, true, doc},
#define APPROXIMATE(name, doc) {#name, xg_pass_##name, false, doc},
#include "xgraph/passes.def"
    {NULL, NULL, false, NULL},
};

/* ---- names ---- */

/* Rewriting leaves names like conv_13.2; in the end everything is called by its ONNX name where
 * that is free. */
typedef struct namer {
    xg_graph *g;
    xg_map tensors, nodes;
} namer;

/* The map remembers for each name the next suffix to try: thousands of nodes may want one name. */
static const char *claim(namer *n, xg_map *taken, const char *want) {
    uint32_t suffix = xg_map_get(taken, want);
    const char *name = want;
    if (suffix != XG_NONE) {
        do name = xg_strf(n->g->arena, "%s.%u", want, suffix++);
        while (xg_map_get(taken, name) != XG_NONE);
        xg_map_set(taken, want, suffix);
    }
    xg_map_set(taken, name, 1);
    return name;
}

static bool helper(uint32_t op) {
    return op == XG_OP_Reshape || op == XG_OP_Transpose || op == XG_OP_Quantize ||
           op == XG_OP_Dequantize || op == XG_OP_Requantize;
}

/* The first of the ONNX nodes that a node stands for. */
static const char *first_origin(namer *n, const xg_node *node) {
    if (!node->onnx) return node->name;
    return xg_strndup(n->g->arena, node->onnx, strcspn(node->onnx, "+"));
}

/* A name without the numbers that made it unique. */
static const char *stem(namer *n, const char *name) {
    size_t len = strlen(name);
    for (;;) {
        size_t k = len;
        while (k > 0 && name[k - 1] >= '0' && name[k - 1] <= '9') k--;
        if (k == len || k < 2 || name[k - 1] != '.') return xg_strndup(n->g->arena, name, len);
        len = k - 1;
    }
}

static void name_node(namer *n, uint32_t i) {
    xg_node *node = xg_nodep(n->g, i);
    xg_tensor *y = xg_out(n->g, node, 0);
    const char *origin = first_origin(n, node);
    bool odd = helper(node->op) && xg_map_get(&n->nodes, origin) != XG_NONE;
    node->name = claim(n, &n->nodes,
                       odd ? xg_strf(n->g->arena, "%s.%s", origin, xg_ops[node->op].name) : origin);
    if (y->is_input || y->is_output) return;
    const char *want = y->onnx ? y->onnx : stem(n, y->name);
    odd = helper(node->op) && xg_map_get(&n->tensors, want) != XG_NONE;
    y->name = claim(n, &n->tensors,
                    odd ? xg_strf(n->g->arena, "%s.%s", want, xg_ops[node->op].name) : want);
}

static xg_status tidy_names(xg_ctx *c, xg_graph **gp) {
    xg_graph *g = *gp;
    xg_arena *tmp = xg_arena_new(c);
    namer n = {g, {.arena = tmp}, {.arena = tmp}};
    for (uint32_t i = 0; i < g->tensor.n; i++)
        if (g->tensor.v[i].is_input || g->tensor.v[i].is_output)
            xg_map_set(&n.tensors, g->tensor.v[i].name, 1);
    for (int helpers = 0; helpers < 2; helpers++)
        for (uint32_t i = 0; i < g->node.n; i++)
            if (helper(g->node.v[i].op) == (helpers == 1)) name_node(&n, i);
    for (uint32_t i = 0; i < g->tensor.n; i++) {
        xg_tensor *t = &g->tensor.v[i];
        if (t->data && !t->is_input && !t->is_output)
            t->name = claim(&n, &n.tensors, t->onnx ? t->onnx : stem(&n, t->name));
    }
    xg_arena_free(tmp);
    return xg_graph_compact(c, g, g->arena, gp);
}

/* ---- running ---- */

static xg_status run_passes(xg_arena *a, xg_graph **g, bool exact, xg_canonical_options *o) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_pass_args args = {.arena = a, .options = o};
    o->approximated = false;
    xg_status begin = xg_graph_compact(c, *g, a, g); /* the caller's graph stays as it is */
    if (begin) return begin;
    for (const xg_pass_desc *p = xg_passes; p->name; p++) {
        if (exact && !p->exact) continue;
        args.changed = p->exact ? NULL : &o->approximated;
        xg_status st = p->run(c, g, &args);
        if (!st && !p[1].name) st = tidy_names(c, g);
        if (!st) st = xg_graph_verify(c, *g);
        if (st) return xg_error(c, st, "", "pass %s failed", p->name);
        if (o->dump) st = o->dump(o->dump_arg, p->name, *g);
        if (st) return st;
    }
    return XG_OK;
}

xg_status xg_canonicalise_with(xg_arena *a, xg_graph **g, xg_canonical_options *o) {
    return run_passes(a, g, false, o);
}

xg_status xg_canonicalise(xg_arena *a, xg_graph **g, xg_dump_fn dump, void *arg) {
    xg_canonical_options o = {.dump = dump, .dump_arg = arg};
    return run_passes(a, g, false, &o);
}

xg_status xg_canonicalise_exact(xg_arena *a, xg_graph **g) {
    xg_canonical_options o = {0};
    return run_passes(a, g, true, &o);
}
