/* One node: every group that patterns would make with it, and what became of each. */
#include "fusion/explain_inner.h"

#include <string.h>

static const char *digits(const teller *t, int64_t v) {
    return xg_grouped_digits(t->a, v);
}

/* What cover x costs more than the best one. */
const char *xg_dearer(const teller *t, const cover *x) {
    int64_t cycles = (int64_t)x->cycles - (int64_t)t->best.cycles, value = x->value - t->best.value;
    double share = 100.0 * (double)cycles / (double)(t->best.cycles ? t->best.cycles : 1);
    if (!value) return "ties with the best";
    if (cycles > 0)
        return xg_strf(t->a, "%s cycles (%.2f %%) more than the best%s", digits(t, cycles), share,
                       value < 0 ? "; the DDR is busy for less" : "");
    if (cycles < 0)
        return xg_strf(t->a, "%s cycles (%.2f %%) less than the best%s", digits(t, -cycles), -share,
                       value < 0 ? " (within the solver's gap)"
                                 : "; but the DDR is busy for longer");
    return xg_strf(t->a, "as fast as the best, the DDR is busy for %s cycles %s",
                   digits(t, value > 0 ? value : -value), value > 0 ? "more" : "less");
}

const char *xg_beside_built(const teller *t, uint64_t cycles) {
    int64_t more = (int64_t)cycles - (int64_t)t->simulated;
    if (!more) return "as many as what is chosen";
    return xg_strf(t->a, "%s (%.2f %%) %s than what is chosen", digits(t, more < 0 ? -more : more),
                   100.0 * (double)(more < 0 ? -more : more) / (double)t->simulated,
                   more < 0 ? "fewer" : "more");
}

static void put_fit(const teller *t, const xg_entry *e) {
    const xg_fit *f = &e->fit;
    if (!f->fit) {
        xg_puts(t->out,
                "      room    no strategy of the list has room; it runs in the least tiles, input "
                "channels in parts\n");
        return;
    }
    xg_putf(t->out,
            "      tried   %s strategies: %s without room, %s with room only when a neighbour "
            "stays on chip, %s "
            "others (%s kept, %s dominated)\n",
            digits(t, f->tried), digits(t, f->tried - f->fit), digits(t, f->fit - f->fit_ddr),
            digits(t, f->fit_ddr), digits(t, f->kept), digits(t, f->fit_ddr - f->kept));
}

static void put_possible(teller *t, const xg_entry *e, uint32_t number) {
    xg_putf(t->out, "\n%4u  %s: %s\n", number, e->pattern,
            xg_node_names(t->a, t->g, e->node, e->n));
    if (!e->cover.found) {
        xg_puts(t->out, "      cover   the solver found none with it\n");
        return;
    }
    if (e->in_best)
        xg_puts(t->out, "      cover   in the best cover\n");
    else
        xg_putf(t->out, "      cover   the best cover with it takes %s cycles: %s\n",
                digits(t, (int64_t)e->cover.cycles), xg_dearer(t, &e->cover));
    if (e->swapped && t->simulated)
        xg_putf(t->out, "      put in  %s cycles in the cycle simulator: %s\n",
                digits(t, (int64_t)e->swapped), xg_beside_built(t, e->swapped));
    if (e->simulated && t->simulated)
        xg_putf(t->out, "      built   %s cycles in the cycle simulator: %s\n",
                digits(t, (int64_t)e->simulated), xg_beside_built(t, e->simulated));
    if (!xg_group_tiles(t->g, &e->group)) {
        xg_putf(t->out, "      cost    %s: %s\n",
                e->group.cost_cycles ? digits(t, (int64_t)e->group.cost_cycles) : "none",
                xg_places_text(&e->group));
        return;
    }
    if (!e->terms.parts.valid) return;
    xg_putf(t->out, "      how     %s\n", xg_strategy_text(t, &e->group, &e->terms.parts));
    put_fit(t, e);
    xg_put_terms(t, &e->terms, "      ");
}

static void put_legend(const teller *t) {
    xg_puts(
        t->out,
        "\nCycles are the solver's estimates, for the slowest core; 'chosen' has the forecast of "
        "the built plan. 'cover': the 0-1 program is\nsolved again with this group fixed, so the "
        "difference is the whole model's, neighbours and what stays on chip included.\n"
        "'put in': measured: what is chosen with only this group changed; 'built': measured: the "
        "plan of that cover. Both have the tile sizes that the\nlayout finds, which may be larger "
        "than those of the estimate, and so faster.\n"
        "'dominated': another strategy is as fast in as little room.\n");
}

void xg_put_entries(teller *t, const xg_entries *all) {
    uint32_t possible = 0, i = 0;
    while (possible < all->n && !all->v[possible].why) possible++;
    for (; i < possible; i++) put_possible(t, &all->v[i], i + 1);
    if (i < all->n) xg_puts(t->out, "\nnot possible\n");
    for (; i < all->n; i++) {
        const xg_entry *e = &all->v[i];
        xg_putf(t->out, "  %s: %s\n", e->pattern, xg_node_names(t->a, t->g, e->node, e->n));
        xg_put_lines(t->out, "      ", e->why);
    }
    if (possible) put_legend(t);
}

void xg_put_chosen(const teller *t, uint32_t node) {
    const xg_selection *s = t->e->sel;
    uint32_t i = t->group_of[node];
    const xg_group *g = &s->group.v[i];
    xg_putf(t->out, "%s: %s\n", xg_nodep(t->g, node)->name, xg_node_text(t->a, t->g, node));
    if (xg_nodep(t->g, node)->onnx)
        xg_putf(t->out, "  from ONNX  %s\n", xg_nodep(t->g, node)->onnx);
    if (t->refused[node])
        xg_putf(t->out, "  runs on    the host: %s\n", t->refused[node]);
    else
        xg_putf(t->out, "  chosen     group %u, %s: %s; %s cycles\n", i, g->pattern,
                xg_node_names(t->a, t->g, g->node, g->nnode), digits(t, (int64_t)g->cost_cycles));
}

static void put_best(const teller *t) {
    const cover *b = &t->best;
    if (!b->found) {
        xg_puts(t->out, "best cover   the solver found none within its budget\n");
        return;
    }
    const xg_selection *s = t->e->sel;
    const char *built = strstr(xg_selection_note(s), "built from ");
    if (s->path)
        xg_putf(t->out, "note         what is chosen was given: %s\n", s->path);
    else if (built || strcmp(s->strategy, "ilp"))
        xg_putf(t->out, "note         what is chosen is not the best cover: %s\n",
                built ? xg_strf(t->a, "%s, which the cycle simulator found faster", built)
                      : xg_strf(t->a, "strategy %s", s->strategy));
    xg_putf(t->out,
            "best cover   %s estimated cycles of the whole model; proved best within %.3f %%\n",
            digits(t, (int64_t)b->cycles),
            b->value > 0 ? 100.0 * ((double)b->value - b->bound) / (double)b->value : 0.0);
}

xg_status xg_explain_node(xg_arena *a, const xg_explain *e, const char *name, xg_buf *out) {
    teller t;
    uint32_t node;
    xg_entries all = {0};
    xg_status st = xg_find_named(xg_arena_ctx(a), e->sel->graph, name, false, &node);
    if (st == XG_OK) st = xg_teller_init(&t, a, e, out);
    if (st != XG_OK) return st;
    xg_collect_entries(&t, node, XG_NONE, &all);
    if (t.refused[node])
        all.v++, all.n--; /* "alone" is said otherwise */
    else
        st = xg_judge_entries(&t, &all);
    if (st != XG_OK) return st;
    if (e->json) {
        xg_json_node(&t, node, &all);
        return XG_OK;
    }
    xg_put_chosen(&t, node);
    if (!t.refused[node]) put_best(&t);
    xg_put_entries(&t, &all);
    return XG_OK;
}
