/* The explanations as JSON. Cycles and bytes mean what the texts' terms mean. */
#include "fusion/explain_inner.h"
#include "fusion/flat.h"

#include "base/json.h"

#include <string.h>

static void put_names(xg_json *j, const char *key, const xg_graph *g, const uint32_t *node,
                      uint32_t n) {
    xg_json_key(j, key);
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < n; i++) xg_json_str(j, xg_nodep(g, node[i])->name);
    xg_json_close(j, ']');
}

static void put_strategy(xg_json *j, const xg_graph *g, const xg_machine *m, const xg_group *grp) {
    static const char *const splits[] = {"images", "rows", "channels", "one core"};
    const xg_strategy *s = &grp->strategy;
    int64_t d[4];
    xg_group_view(g, m, grp, d);
    xg_json_key(j, "strategy");
    xg_json_open(j, '{');
    xg_json_kint(j, "tile_rows", xg_min(s->tile_h ? s->tile_h : d[1], d[1]));
    xg_json_kint(j, "tile_cols", xg_min(s->tile_w ? s->tile_w : d[2], d[2]));
    xg_json_kint(j, "tile_channels", xg_min(s->tile_oc ? s->tile_oc : d[3], d[3]));
    xg_json_kint(j, "input_channels_at_a_time", s->tile_ic);
    xg_json_kstr(j, "stays", s->order == XG_MAP_STATIONARY ? "maps" : "weights");
    xg_json_kbool(j, "weights_resident", s->weights_resident);
    xg_json_kbool(j, "columns_as_channels", s->fold);
    xg_json_kbool(j, "flat", s->flat);
    xg_json_kbool(j, "rows_kept", s->keep);
    xg_json_kbool(j, "batched", s->batched);
    xg_json_kstr(j, "split", splits[s->split]);
    xg_json_close(j, '}');
}

/* A border tensor: where it lies, and what moving it takes. */
static void put_border(xg_json *j, const xg_graph *g, const xg_cost_terms *c, const xg_part *p,
                       bool chip, bool ddr) {
    xg_json_open(j, '{');
    xg_json_kstr(j, "tensor", xg_tensorp(g, p->tensor)->name);
    xg_json_kbool(j, "on_chip", chip);
    xg_json_kbool(j, "in_ddr", ddr);
    xg_json_kint(j, "engine_cycles", ddr ? (int64_t)(p->engine * c->parts.images) : 0);
    xg_json_kint(j, "ddr_cycles",
                 ddr ? (int64_t)((p->ddr * c->parts.cores >> 16) * c->parts.images) : 0);
    xg_json_close(j, '}');
}

static void put_terms(xg_json *j, const xg_graph *g, const xg_cost_terms *c) {
    const xg_parts *p = &c->parts;
    xg_json_key(j, "cost");
    xg_json_open(j, '{');
    xg_json_kint(j, "cycles", (int64_t)c->est.cycles);
    xg_json_kstr(j, "slowest", c->slowest);
    xg_json_kint(j, "slowest_cycles", (int64_t)c->slowest_cycles);
    xg_json_kint(j, "fill_and_drain_cycles", c->not_hidden);
    xg_json_kint(j, "conv_cycles", (int64_t)c->est.conv);
    xg_json_kint(j, "conv_every_lane_at_work_cycles", c->full);
    xg_json_kint(j, "conv_channels_filled_up_cycles", c->channels);
    xg_json_kint(j, "conv_rows_filled_up_cycles", c->rows);
    xg_json_kint(j, "conv_tiling_cycles", c->tiling);
    xg_json_kint(j, "misc_cycles", (int64_t)c->est.misc);
    xg_json_kint(j, "load_cycles", (int64_t)c->est.load);
    xg_json_kint(j, "load_weights_cycles", (int64_t)(p->wload * p->images));
    xg_json_kint(j, "save_cycles", (int64_t)c->est.save);
    xg_json_kint(j, "ddr_cycles", (int64_t)c->ddr_busy);
    xg_json_kint(j, "weights_bytes", (int64_t)c->est.weight_bytes);
    xg_json_kint(j, "maps_bytes", (int64_t)c->est.map_bytes);
    xg_json_kint(j, "steps_an_image", (int64_t)p->times);
    xg_json_key(j, "inputs");
    xg_json_open(j, '[');
    for (uint32_t k = 0; k < p->nin; k++)
        put_border(j, g, c, &p->in[k], c->chip_in >> k & 1, !(c->chip_in >> k & 1));
    xg_json_close(j, ']');
    xg_json_key(j, "results");
    xg_json_open(j, '[');
    for (uint32_t k = 0; k < p->nout; k++)
        put_border(j, g, c, &p->out[k], c->chip_out >> k & 1, c->to_ddr >> k & 1);
    xg_json_close(j, ']');
    xg_json_close(j, '}');
}

static void put_fit(xg_json *j, const xg_fit *f) {
    xg_json_key(j, "strategies");
    xg_json_open(j, '{');
    xg_json_kint(j, "tried", f->tried);
    xg_json_kint(j, "without_room", f->tried - f->fit);
    xg_json_kint(j, "room_only_when_a_neighbour_stays_on_chip", f->fit - f->fit_ddr);
    xg_json_kint(j, "kept", f->kept);
    xg_json_kint(j, "dominated", f->fit_ddr - f->kept);
    xg_json_close(j, '}');
}

/* What a text has on its lines. */
static void put_lines(xg_json *j, const char *key, const char *text) {
    xg_json_key(j, key);
    xg_json_open(j, '[');
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        xg_json_str(j, xg_strndup(j->out->arena, p, n));
        p += n + (p[n] == '\n');
    }
    xg_json_close(j, ']');
}

static void put_entry(const teller *t, xg_json *j, const xg_entry *e) {
    xg_json_open(j, '{');
    xg_json_kstr(j, "pattern", e->pattern);
    put_names(j, "nodes", t->g, e->node, e->n);
    xg_json_kbool(j, "possible", !e->why);
    if (e->why) {
        put_lines(j, "why_not", e->why);
        xg_json_close(j, '}');
        return;
    }
    xg_json_kbool(j, "in_best_cover", e->in_best);
    if (e->cover.found) {
        xg_json_kint(j, "cover_cycles", (int64_t)e->cover.cycles);
        xg_json_kint(j, "more_than_best_cycles",
                     (int64_t)e->cover.cycles - (int64_t)t->best.cycles);
        xg_json_kint(j, "more_than_best_value", e->cover.value - t->best.value);
    }
    if (e->simulated) xg_json_kint(j, "simulated_cycles", (int64_t)e->simulated);
    if (e->swapped) xg_json_kint(j, "put_in_simulated_cycles", (int64_t)e->swapped);
    if (e->terms.parts.valid) {
        put_strategy(j, t->g, t->e->m, &e->group);
        put_fit(j, &e->fit);
        put_terms(j, t->g, &e->terms);
    }
    xg_json_close(j, '}');
}

static void put_entries(const teller *t, xg_json *j, const xg_entries *all) {
    xg_json_key(j, "candidates");
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < all->n; i++) put_entry(t, j, &all->v[i]);
    xg_json_close(j, ']');
}

static void put_head(xg_json *j, const xg_explain *e) {
    xg_json_kstr(j, "model", e->sel->graph->name ? e->sel->graph->name : "");
    xg_json_kstr(j, "machine", e->m->name);
    xg_json_kstr(j, "selection", xg_selection_origin(e->sel));
    xg_json_kstr(j, "solver_note", xg_selection_note(e->sel));
}

static void put_node(const teller *t, xg_json *j, uint32_t node) {
    const xg_node *n = xg_nodep(t->g, node);
    uint32_t group = t->group_of[node];
    const xg_group *g = &t->e->sel->group.v[group];
    xg_json_open(j, '{');
    xg_json_kstr(j, "name", n->name);
    if (n->onnx) xg_json_kstr(j, "onnx", n->onnx);
    xg_json_kstr(j, "what", xg_node_text(t->a, t->g, node));
    if (t->refused[node]) {
        xg_json_kstr(j, "on_host", t->refused[node]);
    } else {
        xg_json_kint(j, "group", group);
        xg_json_kstr(j, "pattern", g->pattern);
        put_names(j, "group_nodes", t->g, g->node, g->nnode);
        xg_json_kint(j, "predicted_cycles", (int64_t)g->cost_cycles);
    }
    xg_json_close(j, '}');
}

static void put_cover(xg_json *j, const char *key, const cover *c) {
    if (!c->found) return;
    xg_json_key(j, key);
    xg_json_open(j, '{');
    xg_json_kint(j, "cycles", (int64_t)c->cycles);
    xg_json_kint(j, "value", c->value);
    xg_json_knum(j, "bound", c->bound);
    xg_json_close(j, '}');
}

static void put_best(xg_json *j, const teller *t) {
    if (t->simulated) xg_json_kint(j, "simulated_cycles", (int64_t)t->simulated);
    put_cover(j, "best_cover", &t->best);
}

void xg_json_node(const teller *t, uint32_t node, const xg_entries *all) {
    xg_json j;
    xg_json_init(&j, t->out);
    xg_json_open(&j, '{');
    put_head(&j, t->e);
    xg_json_key(&j, "node");
    put_node(t, &j, node);
    put_best(&j, t);
    put_entries(t, &j, all);
    xg_json_close(&j, '}');
}

void xg_json_pair(const teller *t, const uint32_t pair[2], const char *relation,
                  const xg_entries *all, const xg_nears *near, const cover *apart,
                  uint64_t parted) {
    xg_json j;
    xg_json_init(&j, t->out);
    xg_json_open(&j, '{');
    put_head(&j, t->e);
    xg_json_key(&j, "pair");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < 2; i++) put_node(t, &j, pair[i]);
    xg_json_close(&j, ']');
    xg_json_kbool(&j, "in_one_group", t->group_of[pair[0]] == t->group_of[pair[1]]);
    xg_json_kstr(&j, "link", relation);
    put_best(&j, t);
    put_cover(&j, "best_cover_apart", apart);
    if (parted) xg_json_kint(&j, "apart_simulated_cycles", (int64_t)parted);
    put_entries(t, &j, all);
    xg_json_key(&j, "one_condition_fails");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < near->n; i++) {
        xg_json_open(&j, '{');
        xg_json_kstr(&j, "pattern", t->library->pattern[near->v[i].pattern].name);
        put_names(&j, "nodes", t->g, near->v[i].node, near->v[i].n);
        xg_json_kstr(&j, "condition", near->v[i].fault ? near->v[i].fault : "");
        xg_json_close(&j, '}');
    }
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
}

static void put_group(xg_json *j, const xg_explain *e, const xg_surroundings *env, uint32_t i) {
    const xg_graph *g = e->sel->graph;
    const xg_group *grp = &e->sel->group.v[i];
    xg_json_open(j, '{');
    xg_json_kint(j, "group", i);
    put_names(j, "nodes", g, grp->node, grp->nnode);
    if (grp->where == XG_ON_HOST) {
        xg_json_kstr(j, "on_host", grp->host_reason);
    } else {
        xg_json_kstr(j, "pattern", grp->pattern);
        xg_json_kint(j, "predicted_cycles", (int64_t)grp->cost_cycles);
        xg_json_kbool(j, "tiles", xg_group_tiles(g, grp));
    }
    if (xg_group_tiles(g, grp)) {
        xg_cost_terms c;
        xg_cost_by_term(g, e->m, grp, env, &c);
        put_strategy(j, g, e->m, grp);
        if (c.parts.valid) put_terms(j, g, &c);
    }
    xg_json_close(j, '}');
}

void xg_json_choice(xg_arena *a, const xg_explain *e, xg_buf *out) {
    const xg_surroundings env = xg_surroundings_of(a, e->sel, e->m);
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    put_head(&j, e);
    xg_json_key(&j, "groups");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < e->sel->group.n; i++) put_group(&j, e, &env, i);
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
}
