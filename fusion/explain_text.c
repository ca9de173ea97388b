/* Words for nodes, strategies and costs. */
#include "fusion/explain_inner.h"
#include "fusion/flat.h"

#include <inttypes.h>
#include <string.h>

static const char *digits(const teller *t, int64_t v) {
    return xg_grouped_digits(t->a, v);
}

const char *xg_node_names(xg_arena *a, const xg_graph *g, const uint32_t *node, uint32_t n) {
    xg_buf b = {.arena = a};
    for (uint32_t i = 0; i < n; i++)
        xg_putf(&b, "%s%s", i ? " + " : "", xg_nodep(g, node[i])->name);
    return b.p;
}

static const char *shape_text(xg_arena *a, const xg_tensor *t) {
    xg_buf b = {.arena = a};
    if (!t->rank) xg_puts(&b, "scalar");
    for (uint32_t i = 0; i < t->rank; i++) xg_putf(&b, "%s%" PRId64, i ? " x " : "", t->dim[i]);
    return b.p;
}

const char *xg_node_text(xg_arena *a, const xg_graph *g, uint32_t node) {
    const xg_node *n = xg_nodep(g, node);
    xg_buf b = {.arena = a};
    xg_tile_kind k = xg_node_tile_kind(g, n);
    bool window = k == XG_TK_CONV || k == XG_TK_DW || k == XG_TK_POOL;
    if (window) {
        xg_window w = xg_node_window(n);
        xg_putf(&b, "%d x %d ", w.kh, w.kw);
        if (w.sh > 1 || w.sw > 1) xg_putf(&b, "stride %d ", w.sh > w.sw ? w.sh : w.sw);
        if (k == XG_TK_DW) xg_puts(&b, "depthwise ");
    }
    xg_puts(&b, xg_ops[n->op].name);
    if (n->nin && n->in[0] != XG_NONE && n->nout)
        xg_putf(&b, ", %s -> %s", shape_text(a, xg_in(g, n, 0)), shape_text(a, xg_out(g, n, 0)));
    return b.p;
}

bool xg_group_tiles(const xg_graph *g, const xg_group *grp) {
    xg_tile_kind k = xg_node_tile_kind(g, xg_nodep(g, grp->node[0]));
    return grp->where == XG_ON_ACCEL && k != XG_TK_CONCAT && k != XG_TK_VIEW && k != XG_TK_NONE;
}

const char *xg_places_text(const xg_group *grp) {
    return grp->cost_cycles ? "places in memory, no tiles; operands that cannot lie there are moved"
                            : "places in memory, no tiles";
}

const char *xg_strategy_text(const teller *t, const xg_group *grp, const xg_parts *p) {
    const xg_strategy *s = &grp->strategy;
    const char *const cores = xg_strf(t->a, "%u cores", t->e->m->cores);
    int64_t d[4];
    xg_buf b = {.arena = t->a};
    xg_group_view(t->g, t->e->m, grp, d);
    xg_putf(&b, "tile %" PRId64 " x %" PRId64 " x %" PRId64,
            xg_min(s->tile_h ? s->tile_h : d[1], d[1]), xg_min(s->tile_w ? s->tile_w : d[2], d[2]),
            xg_min(s->tile_oc ? s->tile_oc : d[3], d[3]));
    bool all = s->batched || s->split != XG_SPLIT_IMAGE;
    xg_putf(&b, " of %" PRId64 " x %" PRId64 " x %" PRId64 ", %s step%s %s", d[1], d[2], d[3],
            digits(t, (int64_t)p->times), p->times == 1 ? "" : "s",
            all && d[0] > 1 ? "for all images" : "an image");
    if (s->tile_ic) xg_putf(&b, "; %u input channels at a time", s->tile_ic);
    xg_puts(&b, s->order == XG_MAP_STATIONARY ? "; maps stay, weights pass"
                                              : "; weights stay, maps pass");
    if (s->weights_resident) xg_puts(&b, ", all of them on chip at once");
    if (s->keep) xg_puts(&b, "; rows that two tiles need are kept");
    if (s->fold) xg_puts(&b, "; kernel columns taken as channels");
    if (s->flat) xg_puts(&b, "; rows and columns are those of the flat view");
    switch (s->split) {
    case XG_SPLIT_IMAGE:
        xg_puts(&b, t->e->m->cores > 1 ? "; an image a core" : "");
        xg_puts(&b, s->batched ? "; all of them before the next group" : "");
        break;
    case XG_SPLIT_ROWS:
        xg_putf(&b, "; rows over %s", cores);
        break;
    case XG_SPLIT_CHANNELS:
        xg_putf(&b, "; channels over %s", cores);
        break;
    default:
        xg_puts(&b, "; one core");
    }
    return b.p;
}

static void put_sum(xg_buf *b, const teller *t, bool *first, int64_t v, const char *what) {
    if (!v) return;
    xg_putf(b, " %s %s %s",
            *first  ? "="
            : v < 0 ? "-"
                    : "+",
            digits(t, *first || v > 0 ? v : -v), what);
    *first = false;
}

static void put_conv(teller *t, const xg_cost_terms *c, const char *indent) {
    const xg_tile_machine *m = &t->e->m->tile;
    bool first = true;
    if (!c->est.conv) return;
    xg_putf(t->out, "%sCONV    %s", indent, digits(t, (int64_t)c->est.conv));
    put_sum(t->out, t, &first, c->full, "with every lane at work");
    put_sum(t->out, t, &first, c->channels,
            xg_strf(t->a, "channels filled up to %u in, %u out", m->icp, m->ocp));
    put_sum(t->out, t, &first, c->rows,
            t->e->m->cores > 1 ? xg_strf(t->a, "rows filled up to %u, uneven cores", m->pp)
                               : xg_strf(t->a, "rows filled up to %u", m->pp));
    put_sum(t->out, t, &first, c->tiling, "halos, starts, sums in parts");
    xg_puts(t->out, "\n");
}

static void put_load(teller *t, const xg_cost_terms *c, const char *indent) {
    const xg_parts *p = &c->parts;
    bool first = true;
    xg_putf(t->out, "%sLOAD    %s", indent, digits(t, (int64_t)c->est.load));
    put_sum(t->out, t, &first, (int64_t)(p->wload * p->images), "weights");
    for (uint32_t k = 0; k < p->nin; k++)
        if (!(c->chip_in >> k & 1))
            put_sum(t->out, t, &first, (int64_t)(p->in[k].engine * p->images),
                    xg_tensorp(t->g, p->in[k].tensor)->name);
    for (uint32_t k = 0; k < p->nin; k++)
        if (c->chip_in >> k & 1)
            xg_putf(t->out, "; %s is on chip", xg_tensorp(t->g, p->in[k].tensor)->name);
    xg_puts(t->out, "\n");
}

static void put_save(teller *t, const xg_cost_terms *c, const char *indent) {
    const xg_parts *p = &c->parts;
    bool first = true;
    xg_putf(t->out, "%sSAVE    %s", indent, digits(t, (int64_t)c->est.save));
    for (uint32_t k = 0; k < p->nout; k++)
        if (c->to_ddr >> k & 1)
            put_sum(t->out, t, &first, (int64_t)(p->out[k].engine * p->images),
                    xg_tensorp(t->g, p->out[k].tensor)->name);
    for (uint32_t k = 0; k < p->nout; k++)
        if (c->chip_out >> k & 1)
            xg_putf(t->out, "; %s %sstays on chip", xg_tensorp(t->g, p->out[k].tensor)->name,
                    c->to_ddr >> k & 1 ? "also " : "");
    xg_puts(t->out, "\n");
}

/* A transfer's share of the bus, in whole cycles that sum up: *done is what came before it. */
static void put_share(teller *t, const xg_cost_terms *c, bool *first, uint64_t *done, uint64_t ddr,
                      const char *what) {
    uint64_t cores = c->parts.cores, before = *done * cores >> 16;
    *done += ddr;
    put_sum(t->out, t, first, (int64_t)(((*done * cores >> 16) - before) * c->parts.images), what);
}

static void put_ddr(teller *t, const xg_cost_terms *c, const char *indent) {
    const xg_parts *p = &c->parts;
    bool first = true;
    uint64_t done = 0;
    xg_putf(t->out, "%sDDR     %s", indent, digits(t, (int64_t)c->ddr_busy));
    put_share(t, c, &first, &done, p->wddr, "weights");
    for (uint32_t k = 0; k < p->nin; k++)
        if (!(c->chip_in >> k & 1))
            put_share(t, c, &first, &done, p->in[k].ddr, xg_tensorp(t->g, p->in[k].tensor)->name);
    for (uint32_t k = 0; k < p->nout; k++)
        if (c->to_ddr >> k & 1)
            put_share(t, c, &first, &done, p->out[k].ddr, xg_tensorp(t->g, p->out[k].tensor)->name);
    xg_putf(t->out, "; %s bytes of weights, %s of maps\n", digits(t, (int64_t)c->est.weight_bytes),
            digits(t, (int64_t)c->est.map_bytes));
}

void xg_put_terms(teller *t, const xg_cost_terms *c, const char *indent) {
    put_conv(t, c, indent);
    if (c->est.misc) xg_putf(t->out, "%sMISC    %s\n", indent, digits(t, (int64_t)c->est.misc));
    put_load(t, c, indent);
    put_save(t, c, indent);
    put_ddr(t, c, indent);
    xg_putf(t->out,
            "%scycles  %s = %s of %s, the slowest, %s %s that nothing hides (fill and drain)\n",
            indent, digits(t, (int64_t)c->est.cycles), digits(t, (int64_t)c->slowest_cycles),
            c->slowest, c->not_hidden < 0 ? "-" : "+",
            digits(t, c->not_hidden < 0 ? -c->not_hidden : c->not_hidden));
}

void xg_put_lines(xg_buf *out, const char *indent, const char *text) {
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        xg_putf(out, "%s%.*s\n", indent, (int)n, p);
        p += n + (p[n] == '\n');
    }
}
