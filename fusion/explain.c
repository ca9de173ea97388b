/* The choice as a whole: a line a group, and totals. */
#include "fusion/explain_inner.h"
#include "fusion/flat.h"

#include <inttypes.h>
#include <string.h>

/* "chip", "DDR" or "both" for a tensor under a selection. */
static const char *place_of(const xg_selection *s, const bool *ddr, uint32_t tensor) {
    bool chip = s->on_chip && s->on_chip[tensor];
    return !chip ? "DDR" : ddr[tensor] ? "both" : "chip";
}

typedef struct overview {
    xg_arena *a;
    const xg_explain *e;
    const xg_selection *s;
    const bool *ddr;
    uint64_t total;
    uint64_t tiled, estimated; /* of groups with tiles: the forecast, the solver's estimate */
    uint32_t judged, near;     /* those of 1 % of the whole and more; estimated within 10 % */
    uint32_t host, accel, groups;
    xg_buf *out;
} overview;

static const char *digits(const overview *o, uint64_t v) {
    return xg_grouped_digits(o->a, (int64_t)v);
}

/* "8x28x64 map rows": tile, what stays, split. */
static const char *short_strategy(const overview *o, const xg_group *g) {
    static const char *const splits[] = {"images", "rows", "channels", "one core"};
    const xg_strategy *s = &g->strategy;
    int64_t d[4];
    xg_group_view(o->s->graph, o->e->m, g, d);
    return xg_strf(o->a, "%-13s %-8s %-8s",
                   xg_strf(o->a, "%" PRId64 "x%" PRId64 "x%" PRId64 "%s%s",
                           xg_min(s->tile_h ? s->tile_h : d[1], d[1]),
                           xg_min(s->tile_w ? s->tile_w : d[2], d[2]),
                           xg_min(s->tile_oc ? s->tile_oc : d[3], d[3]),
                           s->flat   ? "r"
                           : s->fold ? "f"
                                     : "",
                           xg_strf(o->a, "%s%s", s->tile_ic ? "p" : "", s->keep ? "k" : "")),
                   s->order == XG_WEIGHT_STATIONARY ? "weights"
                   : s->weights_resident            ? "both"
                                                    : "maps",
                   s->batched ? "batched" : splits[s->split]);
}

static void put_places(const overview *o, const xg_cost_terms *c, xg_buf *b) {
    for (uint32_t k = 0; k < c->parts.nin; k++)
        xg_putf(b, "%s%s", k ? "," : "", place_of(o->s, o->ddr, c->parts.in[k].tensor));
    for (uint32_t k = 0; k < c->parts.nout; k++)
        xg_putf(b, "%s%s", k ? "," : "->", place_of(o->s, o->ddr, c->parts.out[k].tensor));
}

static const char *share(const overview *o, const xg_group *g) {
    return xg_strf(o->a, "%.1f%%",
                   o->total ? 100.0 * (double)g->cost_cycles / (double)o->total : 0);
}

static void put_group(overview *o, uint32_t i) {
    const xg_group *g = &o->s->group.v[i];
    const xg_graph *gr = o->s->graph;
    const char *names = xg_node_names(o->a, gr, g->node, g->nnode);
    if (g->where == XG_ON_HOST) {
        xg_putf(o->out, "%5u  %11s  %6s  %-7s %s: %s\n", i, "-", "-", "host", names,
                g->host_reason);
        return;
    }
    if (!xg_group_tiles(gr, g)) {
        xg_putf(o->out, "%5u  %11s  %6s  %-7s %s: %s\n", i, digits(o, g->cost_cycles),
                g->cost_cycles ? share(o, g) : "-", "-", names, xg_places_text(g));
        return;
    }
    xg_cost_terms c;
    xg_buf places = {.arena = o->a};
    const xg_surroundings env = xg_surroundings_of(o->a, o->s, o->e->m);
    xg_cost_by_term(gr, o->e->m, g, &env, &c);
    if (c.parts.valid) put_places(o, &c, &places);
    int64_t off = (int64_t)c.est.cycles - (int64_t)g->cost_cycles;
    bool judged = c.parts.valid && g->cost_cycles * 100 >= o->total;
    o->tiled += c.parts.valid ? g->cost_cycles : 0;
    o->estimated += c.parts.valid ? c.est.cycles : 0;
    o->judged += judged;
    o->near += judged && (off < 0 ? -off : off) * 10 <= (int64_t)g->cost_cycles;
    xg_putf(o->out, "%5u  %11s  %6s  %-7s %s %-15s %s (%s)\n", i, digits(o, g->cost_cycles),
            share(o, g), c.slowest, short_strategy(o, g), places.n ? places.p : "", names,
            g->pattern);
}

static void put_totals(const overview *o) {
    const xg_selection *s = o->s;
    double ms = o->e->m->clock_khz ? (double)o->total / (double)o->e->m->clock_khz : 0;
    xg_putf(o->out, "\npredicted  %s cycles, %.4g ms at %g MHz, without the host\n",
            digits(o, o->total), ms, o->e->m->clock_khz / 1000.0);
    if (o->tiled)
        xg_putf(
            o->out,
            "estimated  %s cycles (%+.1f %%) by the formula that candidates are compared by; %u "
            "of %u groups of 1 %% and more within 10 %%\n",
            digits(o, o->estimated),
            100.0 * ((double)o->estimated - (double)o->tiled) / (double)o->tiled, o->near,
            o->judged);
    const char *note = xg_selection_note(s);
    if (!strncmp(note, "ilp: ", 5))
        xg_putf(o->out, "solver     %.*s (value: 16 x cycles + busy cycles of the DDR)\n",
                (int)strcspn(note + 5, ";"), note + 5);
    const char *compared = strstr(note, "simulated cycles: ");
    if (compared) xg_putf(o->out, "compared   %s\n", compared);
    xg_puts(
        o->out,
        "\nslowest: the engine (or the DDR) that the others wait for. tile: rows x columns x "
        "channels of the "
        "result; f: kernel columns\ntaken as channels, p: input channels in parts, k: rows that "
        "two tiles need are kept, r: rows and columns of the flat\nview. stays: what stays on "
        "chip while the rest passes. split: over the cores.\nborder: where inputs and the "
        "result lie; chip: kept until the last reader. `--node NAME` says why.\n");
}

xg_status xg_explain_choice(xg_arena *a, const xg_explain *e, xg_buf *out) {
    overview o = {.a = a, .e = e, .s = e->sel, .ddr = xg_needs_ddr(e->sel, a), .out = out};
    const xg_selection *s = e->sel;
    if (e->json) {
        xg_json_choice(a, e, out);
        return XG_OK;
    }
    for (uint32_t i = 0; i < s->group.n; i++) {
        const xg_group *g = &s->group.v[i];
        o.total += g->cost_cycles;
        *(g->where == XG_ON_ACCEL ? &o.accel : &o.host) += g->nnode;
        o.groups += g->where == XG_ON_ACCEL;
    }
    xg_putf(out,
            "%s on %s, strategy %s: %u nodes in %u groups on the accelerator, %u on the host\n\n",
            s->graph->name && *s->graph->name ? s->graph->name : "model", e->m->name,
            xg_selection_origin(s), o.accel, o.groups, o.host);
    xg_putf(out, "%5s  %11s  %6s  %-7s %-13s %-8s %-8s %-15s %s\n", "group", "cycles", "share",
            "slowest", "tile", "stays", "split", "border", "nodes (pattern)");
    for (uint32_t i = 0; i < s->group.n; i++) put_group(&o, i);
    put_totals(&o);
    return XG_OK;
}
