/* The plan to build: what the solver chose, unless the cycle simulator finds a simpler strategy's
 * plan faster. */
#include "fusion/patterns.h"
#include "layout/clock.h"

#include <string.h>

static xg_status segment_cycles(xg_arena *a, const xg_plan *p, uint32_t segment, uint64_t *cycles) {
    xg_segment seg = {xg_newn(a, xg_stream, p->machine->cores), p->machine->cores};
    xg_times times = {0};
    xg_status st = XG_OK;
    for (uint32_t c = 0; c < p->machine->cores && st == XG_OK; c++) {
        st = xg_emit_core(p, a, segment, c, NULL, &seg.core[c]);
        if (st == XG_OK) st = xg_add_tokens(a, p->machine, &seg.core[c]);
    }
    if (st == XG_OK) st = xg_sim_time(a, p->machine, &seg, NULL, false, &times);
    *cycles += times.cycles;
    return st;
}

xg_status xg_plan_cycles(const xg_plan *p, uint64_t *cycles) {
    xg_status st = XG_OK;
    *cycles = 0;
    for (uint32_t s = 0; s < p->segment.n && st == XG_OK; s++) {
        xg_arena *tmp = xg_arena_new(xg_arena_ctx(p->arena));
        st = segment_cycles(tmp, p, s, cycles);
        xg_arena_free(tmp);
    }
    return st;
}

enum {
    /* Plans with more are not refined; nor are others built that differ in tiles only: each group's
     * tiles are the best by the same estimate, and with many of them it errs least. */
    MANY_TASKS = 50000,
    NEAR = 16 /* the second plan is refined when it is slower by 1/16 at most */
};

/* Plans are large: of all attempts only the fastest has its plan, in an arena of its own. */
typedef struct attempt {
    xg_selection sel;
    xg_plan *plan; /* NULL: not the fastest */
    uint64_t cycles, tasks;
    bool ok, again; /* again: an earlier attempt has the same plan */
} attempt;

static uint64_t tasks_in(const xg_plan *p) {
    uint64_t n = 0;
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t c = 0; c < p->machine->cores; c++) n += p->segment.v[s].core[c].task.n;
    return n;
}

static void drop_plan(attempt *t) {
    if (t->plan) xg_arena_free(t->plan->arena);
    t->plan = NULL;
}

/* A plan of t's selection; kept when it is faster than t's and than all others. A strategy that
 * fails is no error while another one works. */
static void try_plan(xg_ctx *c, const xg_machine *m, bool refine, attempt *t, attempt **fastest) {
    xg_plan *plan;
    uint64_t cycles;
    size_t diags = xg_diag_count(c);
    xg_arena *a = xg_arena_new(c);
    xg_status st = xg_plan_make_as(a, &t->sel, m, refine, &plan);
    if (st == XG_OK) st = xg_plan_cycles(plan, &cycles);
    if (st != XG_OK) xg_diag_truncate(c, diags);
    bool better = st == XG_OK && (!t->ok || cycles < t->cycles);
    if (better) {
        t->ok = true;
        t->cycles = cycles;
        t->tasks = tasks_in(plan);
    }
    if (!better || (*fastest && cycles >= (*fastest)->cycles && *fastest != t)) {
        xg_arena_free(a);
        return;
    }
    if (*fastest) drop_plan(*fastest);
    t->plan = plan;
    *fastest = t;
}

/* Whether only one of the nodes is read from outside them, or by nobody. */
static bool one_result(void *arg, const uint32_t *node, uint32_t n) {
    const xg_graph *g = arg;
    uint32_t results = 0;
    for (uint32_t k = 0; k < n; k++) {
        bool inside = false;
        for (uint32_t j = k + 1; j < n && !inside; j++) {
            const xg_node *reader = xg_nodep(g, node[j]);
            for (uint32_t i = 0; i < reader->nin; i++)
                inside |= reader->in[i] == xg_nodep(g, node[k])->out[0];
        }
        results += !inside;
    }
    return results < 2;
}

static bool has_siblings(const xg_selection *s) {
    for (uint32_t i = 0; i < s->group.n; i++)
        if (s->group.v[i].nresult > 1) return true;
    return false;
}

static bool has_batched(const xg_selection *s) {
    for (uint32_t i = 0; i < s->group.n; i++)
        if (s->group.v[i].strategy.batched) return true;
    return false;
}

static bool same_tiles(const xg_strategy *a, const xg_strategy *b) {
    return a->tile_h == b->tile_h && a->tile_w == b->tile_w && a->tile_oc == b->tile_oc &&
           a->tile_ic == b->tile_ic && a->order == b->order && a->fold == b->fold &&
           a->weights_resident == b->weights_resident;
}

static bool stays(const xg_selection *s, uint32_t t) {
    return s->on_chip && s->on_chip[t];
}

/* Two selections from which the same plan would be made; but for the tiles, when these may differ.
 */
static bool same_choice(const xg_selection *a, const xg_selection *b, bool other_tiles) {
    if (a->group.n != b->group.n) return false;
    for (uint32_t i = 0; i < a->group.n; i++) {
        const xg_group *x = &a->group.v[i], *y = &b->group.v[i];
        if (x->nnode != y->nnode || x->nresult != y->nresult || x->where != y->where ||
            memcmp(x->node, y->node, x->nnode * sizeof *x->node) ||
            x->strategy.split != y->strategy.split || x->strategy.batched != y->strategy.batched ||
            (!other_tiles && !same_tiles(&x->strategy, &y->strategy)))
            return false;
    }
    for (uint32_t t = 0; t < a->graph->tensor.n; t++)
        if (stays(a, t) != stays(b, t)) return false;
    return true;
}

static void try_strategy(xg_arena *a, const xg_graph *g, const xg_machine *m,
                         const xg_select_options *o, attempt *t, uint32_t i, attempt **fastest) {
    xg_ctx *c = xg_arena_ctx(a);
    size_t diags = xg_diag_count(c);
    if (xg_select_with(a, g, m, o, &t[i].sel) != XG_OK) {
        xg_diag_truncate(c, diags);
        return;
    }
    for (uint32_t k = 0; k < i; k++)
        if (t[k].ok && same_choice(&t[k].sel, &t[i].sel, t[k].tasks > MANY_TASKS)) {
            t[i].cycles = t[k].cycles;
            t[i].tasks = t[k].tasks;
            t[i].ok = t[i].again = true;
            return;
        }
    try_plan(c, m, false, &t[i], fastest);
}

/* Refining takes longest: only the two fastest plans have the chance, the second when it is near,
 * and no plan of very many tasks. */
static void refine_fastest(xg_ctx *c, const xg_machine *m, attempt *t, uint32_t n,
                           attempt **fastest) {
    uint32_t order[2] = {XG_NONE, XG_NONE};
    for (uint32_t i = 0; i < n; i++) {
        if (!t[i].ok || t[i].again) continue;
        if (order[0] == XG_NONE || t[i].cycles < t[order[0]].cycles) {
            order[1] = order[0];
            order[0] = i;
        } else if (order[1] == XG_NONE || t[i].cycles < t[order[1]].cycles) {
            order[1] = i;
        }
    }
    for (uint32_t k = 0; k < 2 && order[k] != XG_NONE; k++) {
        attempt *x = &t[order[k]];
        if (k && x->cycles - x->cycles / NEAR > t[order[0]].cycles) break;
        if (x->tasks <= MANY_TASKS) try_plan(c, m, true, x, fastest);
    }
}

/* The same selection with its tail shared by channels, when that is faster. */
static void share_tail(xg_arena *a, const xg_machine *m, const attempt *from, attempt *t,
                       attempt **fastest, xg_buf *note) {
    if (!xg_share_tail(a, &from->sel, m, xg_tail_border(&from->sel, m), &t->sel)) return;
    try_plan(xg_arena_ctx(a), m, from->tasks <= MANY_TASKS, t, fastest);
    if (t->ok) xg_putf(note, ", tail shared by channels %llu", (unsigned long long)t->cycles);
}

xg_status xg_plan_best(xg_arena *a, const xg_graph *g, const xg_machine *m,
                       const xg_select_options *o, xg_selection *sel, xg_plan **plan) {
    /* The second: "ilp" without groups of several results, whose gain the estimate judges less
     * well. The last: without batched groups; a tail shared by channels saves the same traffic. */
    static const char *const names[] = {"ilp",   "ilp without siblings", "path", "greedy",
                                        "layer", "ilp image by image"};
    enum { NO_SIBLINGS = 1, NO_BATCHED = XG_COUNT(names) - 1 };
    if (strcmp(o->strategy, names[0])) {
        xg_status st = xg_select_with(a, g, m, o, sel);
        return st == XG_OK ? xg_plan_make(a, sel, m, plan) : st;
    }
    /* A faulty pattern file is an error, not a reason for a simpler strategy. */
    const xg_patterns *library;
    xg_status readable = xg_patterns_load(a, o->patterns, &library);
    if (readable != XG_OK) return readable;
    attempt t[XG_COUNT(names)] = {0}, tail[2] = {0}, *fastest = NULL;
    xg_buf note = {.arena = a};
    for (uint32_t i = 0; i < XG_COUNT(names); i++) {
        xg_select_options mine = *o;
        mine.strategy = i == NO_SIBLINGS || i == NO_BATCHED ? names[0] : names[i];
        if (i) mine.lp = NULL;
        if (i == NO_BATCHED) {
            if (!t[0].ok || !has_batched(&t[0].sel)) continue;
            mine.image_by_image = true;
        }
        if (i == NO_SIBLINGS) {
            if (o->admit || !t[0].ok || !has_siblings(&t[0].sel)) continue;
            mine.admit = one_result;
            mine.admit_arg = (void *)(uintptr_t)g;
        }
        try_strategy(a, g, m, &mine, t, i, &fastest);
    }
    refine_fastest(xg_arena_ctx(a), m, t, XG_COUNT(names), &fastest);
    for (uint32_t i = 0; i < XG_COUNT(names); i++) {
        if (!t[i].ok) continue;
        xg_putf(&note, "%s %s %llu", note.n ? "," : "simulated cycles:", names[i],
                (unsigned long long)t[i].cycles);
    }
    if (!fastest) { /* say why */
        xg_status st = xg_select(a, g, m, "layer", sel);
        return st == XG_OK ? xg_plan_make(a, sel, m, plan) : st;
    }
    size_t best = (size_t)(fastest - t);
    share_tail(a, m, &t[best], &tail[0], &fastest, &note);
    if (t[NO_BATCHED].ok && best != NO_BATCHED) {
        share_tail(a, m, &t[NO_BATCHED], &tail[1], &fastest, &note);
        if (fastest == &tail[1]) best = NO_BATCHED;
    }
    *plan = fastest->plan;
    xg_arena_adopt(a, (*plan)->arena);
    (*plan)->arena = a;
    xg_status st = xg_forecast(*plan);
    if (st != XG_OK) return st;
    *sel = *(*plan)->sel;
    (*plan)->sel = sel;
    sel->strategy = "ilp";
    sel->note =
        xg_strf(a, "%s; %s%s%s", t[0].ok && t[0].sel.note[0] ? t[0].sel.note : "ilp: no plan",
                note.p, best ? "; built from " : "", best ? names[best] : "");
    return XG_OK;
}
