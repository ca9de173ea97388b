/* The pattern library on paper, and how often each pattern matches a model. */
#include "driver/api.h"

#include "base/json.h"
#include "fusion/patterns.h"

#include <string.h>

typedef struct listing {
    const char *path;
    const xgc_model *model; /* or NULL */
} listing;

typedef struct counts {
    uint32_t *pattern, candidates, nodes; /* nodes: on the accelerator */
} counts;

static xg_status count_matches(xg_arena *a, const xgc_model *model, const xg_patterns *p,
                               counts *out) {
    const xg_graph *g = model->graph;
    bool *accel = xg_newn(a, bool, g->node.n);
    xg_candidates c;
    for (uint32_t i = 0; i < g->node.n; i++) {
        accel[i] = !xg_tile_refuses(a, g, model->machine->m, i);
        out->nodes += accel[i];
    }
    out->pattern = xg_newn(a, uint32_t, p->npattern);
    xg_status st = xg_match(a, g, accel, p, &c, out->pattern);
    out->candidates = c.n;
    return st;
}

static void put_text(const xg_patterns *p, const counts *k, xg_buf *out) {
    xg_putf(out, "%-24s %8s  %s%s\n", "pattern", "variants", k ? " matches  " : "", "operators");
    for (uint32_t i = 0; i < p->npattern; i++) {
        const xg_pattern *t = &p->pattern[i];
        xg_putf(out, "%-24s %8u  ", t->name, t->nvariant);
        if (k) xg_putf(out, "%8u  ", k->pattern[i]);
        xg_pattern_summary(t, out);
        xg_puts(out, "\n");
    }
    if (k)
        xg_putf(out, "\n%u groups to choose from, besides %u single nodes on the accelerator\n",
                k->candidates, k->nodes);
}

static void put_json(xg_arena *a, const xg_patterns *p, const counts *k, xg_buf *out) {
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    xg_json_kstr(&j, "library", p->path);
    xg_json_key(&j, "patterns");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < p->npattern; i++) {
        const xg_pattern *t = &p->pattern[i];
        xg_buf ops = {.arena = a};
        xg_pattern_summary(t, &ops);
        xg_json_open(&j, '{');
        xg_json_kstr(&j, "name", t->name);
        xg_json_kstr(&j, "kind", t->siblings ? "siblings" : "group");
        xg_json_kstr(&j, "operators", ops.p);
        xg_json_kint(&j, "variants", t->nvariant);
        if (k) xg_json_kint(&j, "matches", k->pattern[i]);
        xg_json_kstr(&j, "doc", t->doc);
        xg_json_close(&j, '}');
    }
    xg_json_close(&j, ']');
    if (k) {
        xg_json_kint(&j, "groups", k->candidates);
        xg_json_kint(&j, "accelerator_nodes", k->nodes);
    }
    xg_json_close(&j, '}');
    xg_puts(out, "\n");
}

static xg_status patterns_body(void *arg) {
    printing *p = arg;
    const listing *l = p->what;
    const xg_patterns *lib;
    counts k = {0};
    xg_arena *a = p->buf.arena = p->g.arena = xg_arena_new(p->x->ctx);
    bool json = !strcmp(p->form, "json");
    if (!json && strcmp(p->form, "text")) return xgc_bad_form(p->x->ctx, p->form, "text, json");
    xg_status st = xg_patterns_load(a, l->path, &lib);
    if (st == XG_OK && l->model) st = count_matches(a, l->model, lib, &k);
    if (st != XG_OK) return st;
    if (json)
        put_json(a, lib, l->model ? &k : NULL, &p->buf);
    else
        put_text(lib, l->model ? &k : NULL, &p->buf);
    return XG_OK;
}

xgc_status xgc_patterns(xgc *x, const char *path, const xgc_model *g, const char *form,
                        xgc_blob *out) {
    const listing l = {path, g};
    return xgc_print_guard(x, patterns_body, &l, form, out);
}
