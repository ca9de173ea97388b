/* What every explanation begins with: names, candidates, and covers solved again. */
#include "fusion/explain_inner.h"
#include "fusion/flat.h"

#include <stdlib.h>
#include <string.h>

/* ---- names -------------------------------------------------------------------------------------
 */

/* One of the names in "a+b+c". */
static bool is_part(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, '+'), p = p ? p + 1 : NULL)
        if (!strncmp(p, name, n) && (p[n] == 0 || p[n] == '+')) return true;
    return false;
}

static uint32_t by_name(const xg_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->node.n; i++)
        if (!strcmp(xg_nodep(g, i)->name, name)) return i;
    for (uint32_t i = 0; i < g->node.n; i++)
        if (xg_nodep(g, i)->onnx && is_part(xg_nodep(g, i)->onnx, name)) return i;
    for (uint32_t i = 0; i < g->tensor.n; i++) {
        const xg_tensor *t = xg_tensorp(g, i);
        bool same = !strcmp(t->name, name) || (t->onnx && !strcmp(t->onnx, name));
        if (same && t->producer != XG_NONE) return t->producer;
    }
    return XG_NONE;
}

enum { COMPARED = 48, SUGGESTED = 5 };

/* Edits from a to b: characters changed, put in, left out; of their first COMPARED ones. */
static uint32_t distance(const char *a, const char *b) {
    uint32_t row[COMPARED + 1], n = (uint32_t)xg_min((int64_t)strlen(b), COMPARED);
    for (uint32_t j = 0; j <= n; j++) row[j] = j;
    for (uint32_t i = 1; i <= COMPARED && a[i - 1]; i++) {
        uint32_t before = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= n; j++) {
            uint32_t change = before + (a[i - 1] != b[j - 1]), old = row[j];
            row[j] = (uint32_t)xg_min(change, 1 + xg_min(row[j - 1], old));
            before = old;
        }
    }
    return row[n];
}

typedef struct suggestion {
    const char *name;
    uint32_t distance;
} suggestion;

static void suggest(suggestion s[SUGGESTED], const char *name, const char *wanted) {
    uint32_t d = strstr(name, wanted) ? 0 : distance(name, wanted), k = SUGGESTED;
    if (d > strlen(wanted) / 2 + 1) return;
    while (k && (!s[k - 1].name || s[k - 1].distance > d)) k--;
    if (k == SUGGESTED) return;
    memmove(s + k + 1, s + k, (SUGGESTED - 1 - k) * sizeof *s);
    s[k] = (suggestion){name, d};
}

xg_status xg_find_named(xg_ctx *c, const xg_graph *g, const char *name, bool quiet,
                        uint32_t *node) {
    *node = *name ? by_name(g, name) : XG_NONE;
    if (*node != XG_NONE || quiet) return XG_OK;
    for (uint32_t i = 0; i < g->tensor.n; i++)
        if (!strcmp(xg_tensorp(g, i)->name, name))
            return xg_error(c, XG_INPUT, "", "'%s' is %s, which no node makes", name,
                            xg_tensorp(g, i)->data ? "a constant" : "an input of the model");
    suggestion near[SUGGESTED] = {{0}};
    for (uint32_t i = 0; i < g->node.n && *name; i++) suggest(near, xg_nodep(g, i)->name, name);
    xg_arena *a = xg_arena_new(c);
    xg_buf b = {.arena = a};
    for (uint32_t i = 0; i < SUGGESTED && near[i].name; i++)
        xg_putf(&b, "%s%s", i ? ", " : "; near: ", near[i].name);
    xg_status st =
        xg_error(c, XG_INPUT, "", "the graph has no node or tensor '%s'%s", name, b.n ? b.p : "");
    xg_arena_free(a);
    return st;
}

/* ---- covers ------------------------------------------------------------------------------------
 */

xg_status xg_solve_cover(const teller *t, xg_arena *a, xg_admit admit, void *arg, xg_selection *sel,
                         cover *out) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_selection own;
    const xg_select_options o = {
        .strategy = "ilp", .patterns = t->e->patterns, .admit = admit, .admit_arg = arg};
    size_t notes = xg_diag_count(c);
    if (!sel) sel = &own;
    *out = (cover){0};
    xg_status st = xg_select_with(a, t->g, t->e->m, &o, sel);
    if (st != XG_OK) return st;
    xg_diag_truncate(c, notes); /* the same note for every cover */
    out->found = sel->solved;
    out->value = sel->value;
    out->bound = sel->bound;
    for (uint32_t i = 0; i < sel->group.n; i++) out->cycles += sel->group.v[i].cost_cycles;
    return XG_OK;
}

uint64_t xg_simulated(const teller *t, const xg_selection *s) {
    uint64_t cycles = 0;
    bool known = t->e->simulate && t->e->simulate(t->e->simulate_arg, s, &cycles);
    return known ? cycles : 0;
}

xg_surroundings xg_surroundings_of(xg_arena *a, const xg_selection *sel, const xg_machine *m) {
    return (xg_surroundings){.on_chip = sel->on_chip,
                             .to_ddr = xg_needs_ddr(sel, a),
                             .fm_words = m->tile.fm_depth,
                             .flat = xg_flat_graph(a, sel->graph, m)};
}

/* ---- beginning ---------------------------------------------------------------------------------
 */

/* Groups are made within runs of nodes of one side, in the order of the layer-by-layer selection.
 */
static xg_status find_stretches(teller *t) {
    xg_selection layers;
    xg_status st = xg_select(t->a, t->g, t->e->m, "layer", &layers);
    if (st != XG_OK) return st;
    uint32_t stretch = 0;
    for (uint32_t i = 0; i < layers.group.n; i++) {
        const xg_group *g = &layers.group.v[i];
        if (i && g->where != layers.group.v[i - 1].where) stretch++;
        t->stretch[g->node[0]] = stretch;
    }
    return XG_OK;
}

static xg_status find_candidates(teller *t) {
    bool *accel = xg_newn(t->a, bool, t->g->node.n + 1);
    for (uint32_t i = 0; i < t->g->node.n; i++) accel[i] = !t->refused[i];
    xg_status st = xg_patterns_load(t->a, t->e->patterns, &t->library);
    return st == XG_OK ? xg_match(t->a, t->g, accel, t->library, &t->candidates, NULL) : st;
}

xg_status xg_teller_init(teller *t, xg_arena *a, const xg_explain *e, xg_buf *out) {
    const xg_graph *g = e->sel->graph;
    *t = (teller){.a = a,
                  .g = g,
                  .e = e,
                  .uses = xg_graph_uses(g, a),
                  .refused = xg_newn(a, const char *, g->node.n + 1),
                  .stretch = xg_newn(a, uint32_t, g->node.n + 1),
                  .group_of = xg_newn(a, uint32_t, g->node.n + 1),
                  .out = out};
    for (uint32_t i = 0; i < g->node.n; i++) t->refused[i] = xg_tile_refuses(a, g, e->m, i);
    for (uint32_t i = 0; i < e->sel->group.n; i++)
        for (uint32_t k = 0; k < e->sel->group.v[i].nnode; k++)
            t->group_of[e->sel->group.v[i].node[k]] = i;
    xg_status st = find_stretches(t);
    if (st == XG_OK) st = find_candidates(t);
    if (st == XG_OK) st = xg_solve_cover(t, a, NULL, NULL, &t->chosen, &t->best);
    if (st != XG_OK) return st;
    t->simulated = xg_simulated(t, e->sel);
    t->could_stay = t->chosen.could_stay;
    if (!t->could_stay) t->could_stay = xg_newn(a, bool, g->tensor.n + 1);
    return XG_OK;
}
