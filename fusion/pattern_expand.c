/* Optional vertices -> variants: one for every choice of absent vertices that leaves two or more.
 */
#include "fusion/patterns.h"

typedef struct draft {
    const xg_pattern *p;
    uint32_t absent; /* bits */
    uint32_t nedge;
    xg_pattern_edge edge[XG_PATTERN_EDGES];
} draft;

static void add_edge(draft *d, xg_pattern_edge e) {
    for (uint32_t i = 0; i < d->nedge; i++)
        if (d->edge[i].from == e.from && d->edge[i].to == e.to) {
            d->edge[i].link = XG_LINK_BOTH; /* the reader now takes the same tensor twice */
            d->edge[i].same |= e.same;
            return;
        }
    d->edge[d->nedge++] = e;
}

/* The predecessor of v becomes the source of v's outgoing edges; without one they are dropped. */
static void bypass(draft *d, uint32_t v) {
    draft old = *d;
    uint32_t source = XG_NONE;
    for (uint32_t i = 0; i < old.nedge; i++)
        if (old.edge[i].to == v) source = old.edge[i].from;
    d->nedge = 0;
    for (uint32_t i = 0; i < old.nedge; i++) {
        xg_pattern_edge e = old.edge[i];
        if (e.to == v || (e.from == v && source == XG_NONE)) continue;
        if (e.from == v) e.from = (uint8_t)source;
        add_edge(d, e);
    }
}

/* Renumbers the vertices that are present; returns the number of results. */
static uint32_t finish(const draft *d, uint32_t index, xg_variant *out) {
    uint8_t at[XG_PATTERN_VERTICES] = {0};
    uint32_t read = 0, reading = 0, all;
    *out = (xg_variant){.pattern = index, .nedge = (uint8_t)d->nedge};
    for (uint32_t v = 0; v < d->p->nvertex; v++)
        if (!(d->absent >> v & 1)) {
            at[v] = out->nvertex;
            out->vertex[out->nvertex++] = (uint8_t)v;
        }
    for (uint32_t i = 0; i < d->nedge; i++) {
        out->edge[i] = d->edge[i];
        out->edge[i].from = at[d->edge[i].from];
        out->edge[i].to = at[d->edge[i].to];
        read |= 1u << out->edge[i].from;
        reading |= 1u << out->edge[i].to;
    }
    all = (1u << out->nvertex) - 1;
    out->results = all & ~read;
    out->roots = all & ~reading;
    return (uint32_t)__builtin_popcount(out->results);
}

bool xg_pattern_expand(xg_arena *a, const xg_pattern *p, uint32_t index, xg_variants *out,
                       uint32_t *missing) {
    uint32_t optional = 0;
    for (uint32_t v = 0; v < p->nvertex; v++)
        if (p->vertex[v].optional) optional |= 1u << v;
    /* All subsets of the bits of `optional`, the empty one first. */
    uint32_t absent = 0;
    do {
        draft d = {.p = p, .absent = absent, .nedge = p->nedge};
        for (uint32_t i = 0; i < p->nedge; i++) d.edge[i] = p->edge[i];
        for (uint32_t v = 0; v < p->nvertex; v++)
            if (absent >> v & 1) bypass(&d, v);
        xg_variant made;
        uint32_t results = finish(&d, index, &made);
        if (p->siblings ? !absent && results < 2 : made.nvertex >= 2 && results != 1) {
            *missing = absent ? (uint32_t)__builtin_ctz(absent) : XG_NONE;
            return false;
        }
        if (p->siblings ? results >= 2 : made.nvertex >= 2) xg_push(a, out, made);
        absent = (absent - optional) & optional;
    } while (absent);
    return true;
}
