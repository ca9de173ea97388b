/* The plan to build: what the solver chose, unless the cycle simulator finds a simpler strategy's
 * plan faster. */
#include "fusion/flat.h"
#include "layout/climb.h"
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
    /* Of a plan with more, what the solver chose otherwise is not built when it differs in tiles
     * only: each group's tiles are the best by the same estimate, and with many of them it errs
     * least. Nor is the program solved again. */
    MANY_TASKS = 50000,
    /* Of a plan with more, only strategies with a name are built beside it, and none is refined. */
    HUGE_TASKS = 500000,
    NEAR = 16,             /* a plan that is slower by more than 1/16 is not refined */
    SWAP_TASKS = 5000,     /* of all plans that are built for measured swaps ... */
    SWAPS_LEAST = 8,       /* ... when at least so many can be tried */
    ITERATED_TASKS = 4000, /* of plans that were built from what others have shown; then no more */
    STRATEGIES = 7,
    FLAT_GAIN = 125, /* parts of a plan's cycles of which flat groups could save one or more */
    ROUNDS = 3,      /* of the program with what plans have shown */
    FLAT_ROUNDS = 1, /* the same, of the one whose groups may be flat */
    ATTEMPTS = STRATEGIES + ROUNDS + FLAT_ROUNDS
};

/* Beside the four: "ilp" without what the estimate judges less well: groups of several results,
 * rows that are kept; and without batched groups, since a tail shared by channels saves the same
 * traffic. */
enum { ILP, NO_SIBLINGS, PATH, GREEDY, LAYER, NO_KEPT, NO_BATCHED };
static const char *const names[STRATEGIES] = {"ilp",
                                              "ilp without siblings",
                                              "path",
                                              "greedy",
                                              "layer",
                                              "ilp without kept rows",
                                              "ilp image by image"};

/* Plans are large: of all attempts only the fastest has its plan, in an arena of its own. */
typedef struct attempt {
    xg_selection sel;
    xg_plan *plan;       /* NULL: not the fastest */
    xg_selection *built; /* what the plan came to, with its forecast; NULL: too many tasks */
    xg_buf lp;           /* the 0-1 program that chose it */
    uint64_t cycles, tasks;
    uint64_t many;   /* tasks: see MANY_TASKS */
    bool chosen, ok; /* sel is one; its plan works */
    bool again;      /* an earlier attempt has the same plan */
    bool refined;
    bool over; /* its plan has too many tasks for any */
    bool flat; /* its groups might be flat */
} attempt;

static void drop_plan(attempt *t) {
    if (t->plan) xg_arena_free(t->plan->arena);
    t->plan = NULL;
}

/* The plan's selection, with its forecast, in another arena. */
static xg_selection *what_was_built(xg_arena *a, const xg_plan *p) {
    if (xg_forecast(p) != XG_OK) return NULL;
    const xg_selection *from = p->sel;
    xg_selection *s = xg_memdup(a, from, sizeof *from);
    s->group.v = xg_memdup(a, from->group.v, from->group.n * sizeof *from->group.v);
    if (from->on_chip) s->on_chip = xg_memdup(a, from->on_chip, from->graph->tensor.n);
    return s;
}

/* A plan of t's selection; kept when it is faster than t's and than all others. A strategy that
 * fails is no error while another one works. */
static void try_plan(xg_arena *to, const xg_machine *m, bool refine, attempt *t,
                     attempt **fastest) {
    xg_plan *plan = NULL;
    uint64_t cycles;
    xg_ctx *c = xg_arena_ctx(to);
    size_t diags = xg_diag_count(c);
    xg_arena *a = xg_arena_new(c);
    xg_status st = xg_plan_make_as(a, &t->sel, m, refine, &plan);
    if (st == XG_OK) st = xg_plan_cycles(plan, &cycles);
    t->over = st == XG_LIMIT && plan && plan->lack->tasks;
    if (st != XG_OK && !t->over) xg_diag_truncate(c, diags);
    bool better = st == XG_OK && (!t->ok || cycles < t->cycles);
    if (better) {
        t->ok = true;
        t->cycles = cycles;
        t->tasks = xg_tasks_in(plan);
        t->built = t->tasks > t->many ? NULL : what_was_built(to, plan);
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

static bool keeps_rows(const xg_selection *s) {
    for (uint32_t i = 0; i < s->group.n; i++)
        if (s->group.v[i].strategy.keep) return true;
    return false;
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
            (!other_tiles && !xg_same_strategy(&x->strategy, &y->strategy)))
            return false;
    }
    for (uint32_t t = 0; t < a->graph->tensor.n; t++)
        if (stays(a, t) != stays(b, t)) return false;
    return true;
}

/* Whether a strategy that can be asked for by name has the same selection as t[i]. */
static bool has_name(const attempt *t, uint32_t i) {
    for (uint32_t k = PATH; k <= LAYER; k++)
        if (t[k].chosen && same_choice(&t[k].sel, &t[i].sel, false)) return true;
    return false;
}

/* t[k] was built: whether that is, or is as good as, the plan that t[i] would get. What has a name
 * must come to what the name alone gives. */
static bool is_known(const attempt *t, uint32_t k, uint32_t i, bool named) {
    if (!t[k].ok) return false;
    if (named) return same_choice(&t[k].sel, &t[i].sel, false);
    bool other_tiles = t[k].tasks > t[k].many;
    return same_choice(&t[k].sel, &t[i].sel, other_tiles) ||
           (t[k].built && same_choice(t[k].built, &t[i].sel, other_tiles));
}

/* t[i].sel was chosen: its plan, unless an earlier attempt has the same. */
static void try_choice(xg_arena *a, const xg_machine *m, bool refine, attempt *t, uint32_t i,
                       attempt **fastest) {
    bool named = has_name(t, i);
    for (uint32_t k = 0; k < i; k++) {
        if (!is_known(t, k, i, named)) continue;
        t[i].cycles = t[k].cycles;
        t[i].tasks = t[k].tasks;
        t[i].ok = t[i].again = true;
        return;
    }
    t[i].refined = refine || named;
    try_plan(a, m, t[i].refined, &t[i], fastest);
}

static void refine_one(xg_arena *a, const xg_machine *m, attempt *t, uint32_t n, bool all,
                       attempt **fastest) {
    attempt *first = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (t[i].ok && !t[i].again && !t[i].refined && (all || !keeps_rows(&t[i].sel)) &&
            (!first || t[i].cycles < first->cycles))
            first = &t[i];
    if (!first || first->cycles - first->cycles / NEAR > (*fastest)->cycles) return;
    first->refined = true;
    try_plan(a, m, true, first, fastest);
}

static bool is_huge(const attempt *t) {
    return t->over || t->tasks > HUGE_TASKS;
}

/* Refining takes longest: beside the strategies with a name, which all are refined, only the
 * fastest plan has the chance, and the fastest that keeps no rows; none that is slower by far. */
static void refine_fastest(xg_arena *a, const xg_machine *m, attempt *t, uint32_t n,
                           attempt **fastest) {
    if (!*fastest || is_huge(*fastest)) return;
    refine_one(a, m, t, n, true, fastest);
    refine_one(a, m, t, n, false, fastest);
}

/* The same selection with its tail shared by channels, when that is faster. */
static void share_tail(xg_arena *a, const xg_machine *m, const attempt *from, attempt *t,
                       attempt **fastest, xg_buf *note) {
    if (is_huge(from) || !xg_share_tail(a, &from->sel, m, xg_tail_border(&from->sel, m), &t->sel))
        return;
    try_plan(a, m, true, t, fastest);
    if (t->ok) xg_putf(note, ", tail shared by channels %llu", (unsigned long long)t->cycles);
}

/* The solver's answer to what has been seen; keeps the program when it is wanted. */
static xg_status ask(xg_solver *solver, const xg_seen *seen, uint32_t n, xg_buf *lp, attempt *t) {
    if (lp) *lp = (xg_buf){.arena = lp->arena};
    xg_status st = xg_solver_run(solver, seen, n, &t->sel);
    if (lp) t->lp = *lp;
    return st;
}

/* The program is solved again with what plans have shown, for attempts [n, end), until that brings
 * nothing new. Returns the number of attempts. */
static uint32_t iterate(xg_arena *a, const xg_machine *m, xg_solver *solver, xg_buf *lp, attempt *t,
                        uint32_t n, uint32_t end, attempt **fastest) {
    xg_seen seen[ATTEMPTS];
    uint32_t worse = 0;
    uint64_t tasks = 0;
    for (; n < end && worse < 2 && tasks < ITERATED_TASKS; n++) {
        uint32_t k = 0;
        size_t diags = xg_diag_count(xg_arena_ctx(a));
        for (uint32_t i = 0; i < n; i++)
            if (t[i].ok && t[i].built) seen[k++] = (xg_seen){&t[i].sel, t[i].built};
        if (!k) break;
        if (ask(solver, seen, k, lp, &t[n]) != XG_OK) {
            xg_diag_truncate(xg_arena_ctx(a), diags);
            break;
        }
        t[n].chosen = true;
        try_choice(a, m, true, t, n, fastest);
        if (!t[n].ok || t[n].again) break;
        tasks += t[n].tasks;
        worse = *fastest == &t[n] ? 0 : worse + 1;
    }
    return n;
}

/* Cycles that the array would save if all groups of a plan were flat that may be; for few the
 * program is not worth while. */
static bool flat_pays(xg_arena *a, const xg_machine *m, const xg_selection *built) {
    const xg_graph *g = built->graph;
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(a));
    xg_uses uses = xg_graph_uses(g, tmp);
    double gain = 0, all = 0;
    for (uint32_t i = 0; i < built->group.n; i++) {
        const xg_group *grp = &built->group.v[i];
        int64_t d[4];
        all += (double)grp->cost_cycles;
        if (grp->where != XG_ON_ACCEL || !xg_flat_pays(g, m, grp) || xg_flat_refuses(g, &uses, grp))
            continue;
        xg_group_dims(g, grp, d);
        gain += (double)grp->cost_cycles * (1 - (double)xg_flat_of(m, d[1], d[2]).steps /
                                                    (double)xg_flat_own(m, d[1], d[2]).steps);
    }
    xg_arena_free(tmp);
    return gain * FLAT_GAIN > all;
}

/* Flat groups have gains that an estimate overrates: in DDR they wait for whole maps, while others
 * hold theirs on chip. So they come last, when plans have shown what their nodes take. */
static uint32_t try_flat(xg_arena *a, const xg_graph *g, const xg_machine *m,
                         const xg_select_options *o, attempt *t, uint32_t n, attempt **fastest,
                         xg_solver **out) {
    xg_select_options mine = *o;
    xg_solver *solver;
    mine.flat = true;
    size_t diags = xg_diag_count(xg_arena_ctx(a));
    if (!*fastest || !(*fastest)->built || !flat_pays(a, m, (*fastest)->built)) return n;
    if (xg_solver_new(a, g, m, &mine, &solver) != XG_OK) {
        xg_diag_truncate(xg_arena_ctx(a), diags);
        return n;
    }
    *out = solver;
    uint32_t end = n + FLAT_ROUNDS;
    for (uint32_t i = n; i < end; i++) t[i].flat = true;
    return iterate(a, m, solver, o->lp, t, n, end, fastest);
}

/* False when attempt i is not worth while: what it goes without is not in the first. */
static bool attempt_options(const xg_graph *g, const attempt *first, uint32_t i,
                            xg_select_options *o) {
    bool less = i == NO_SIBLINGS || i == NO_KEPT || i == NO_BATCHED;
    o->strategy = less ? names[ILP] : names[i];
    if (i) o->lp = NULL;
    if (less && !first->chosen) return false;
    if (i == NO_SIBLINGS) {
        if (o->admit || !has_siblings(&first->sel)) return false;
        o->admit = one_result;
        o->admit_arg = (void *)(uintptr_t)g;
    }
    o->nothing_kept = i == NO_KEPT;
    o->image_by_image = i == NO_BATCHED;
    return i == NO_KEPT ? keeps_rows(&first->sel) : i != NO_BATCHED || has_batched(&first->sel);
}

/* A plan with too many tasks takes long to fail: the next one is then "layer", and the others
 * follow only when that has one. Its message is left when nothing has. */
static void build_chosen(xg_arena *a, const xg_machine *m, attempt *t, attempt **fastest) {
    xg_ctx *c = xg_arena_ctx(a);
    size_t diags = xg_diag_count(c);
    static const uint32_t usual[] = {ILP, NO_SIBLINGS, PATH, GREEDY, LAYER, NO_KEPT, NO_BATCHED};
    static const uint32_t careful[] = {LAYER, PATH, GREEDY};
    for (uint32_t k = 0; k < XG_COUNT(usual) && !t[ILP].over; k++) {
        uint32_t i = usual[k];
        bool named = i == ILP || (i >= PATH && i <= LAYER);
        if (t[i].chosen && (named || !is_huge(&t[ILP]))) try_choice(a, m, false, t, i, fastest);
    }
    if (t[ILP].over) xg_diag_truncate(c, diags);
    for (uint32_t k = 0; k < XG_COUNT(careful) && t[ILP].over && !t[LAYER].over; k++)
        if (t[careful[k]].chosen) try_choice(a, m, false, t, careful[k], fastest);
    if (*fastest || !t[ILP].over) xg_diag_truncate(c, diags);
}

static void try_strategies(xg_arena *a, const xg_graph *g, const xg_machine *m,
                           const xg_select_options *o, xg_solver *solver, attempt *t,
                           attempt **fastest) {
    xg_ctx *c = xg_arena_ctx(a);
    for (uint32_t i = 0; i < STRATEGIES; i++) {
        xg_select_options mine = *o;
        size_t diags = xg_diag_count(c);
        xg_status st = XG_LIMIT;
        if (!attempt_options(g, &t[ILP], i, &mine)) continue;
        if (!i && solver) st = ask(solver, NULL, 0, o->lp, &t[0]);
        if (st != XG_OK) st = xg_select_with(a, g, m, &mine, &t[i].sel);
        t[i].chosen = st == XG_OK;
        if (st != XG_OK) xg_diag_truncate(c, diags);
    }
    build_chosen(a, m, t, fastest);
}

static const char *name_of(const attempt *t, uint32_t i) {
    return i < STRATEGIES ? names[i] : t[i].flat ? "iterated with flat views" : "iterated";
}

/* Single groups of a small plan are swapped for others, as long as that makes it faster. */
static void swap_groups(const xg_machine *m, xg_solver *solver, attempt *fastest, xg_buf *note) {
    xg_measured best = {fastest->plan, fastest->cycles, 0};
    if (fastest->tasks * SWAPS_LEAST > SWAP_TASKS || xg_forecast(best.plan) != XG_OK) return;
    xg_climb(m, solver, SWAP_TASKS, &best);
    fastest->plan = best.plan;
    fastest->cycles = best.cycles;
    if (best.swaps)
        xg_putf(note, ", after %u measured swap%s %llu", best.swaps, best.swaps > 1 ? "s" : "",
                (unsigned long long)best.cycles);
}

/* The plan of all attempts that is fastest, and what is said about it. */
static xg_status take_fastest(xg_arena *a, const attempt *t, uint32_t best, const attempt *fastest,
                              const char *simulated, xg_selection *sel, xg_plan **plan) {
    *plan = fastest->plan;
    xg_arena_adopt(a, (*plan)->arena);
    (*plan)->arena = a;
    xg_status st = xg_forecast(*plan);
    if (st != XG_OK) return st;
    *sel = *(*plan)->sel;
    (*plan)->sel = sel;
    sel->strategy = "ilp";
    /* Note and value are those of the program that chose what is built, else of the first. */
    const xg_selection *answer = &t[best < STRATEGIES ? 0 : best].sel;
    sel->solved = answer->solved;
    sel->value = answer->value;
    sel->bound = answer->bound;
    bool said = answer->note && answer->note[0];
    sel->note = xg_strf(a, "%s; %s%s%s", said ? answer->note : "ilp: no plan", simulated,
                        best ? "; built from " : "", best ? name_of(t, best) : "");
    return XG_OK;
}

xg_status xg_plan_best(xg_arena *a, const xg_graph *g, const xg_machine *m,
                       const xg_select_options *o, xg_selection *sel, xg_plan **plan) {
    if (strcmp(o->strategy, names[0])) {
        xg_status st = xg_select_with(a, g, m, o, sel);
        return st == XG_OK ? xg_plan_make(a, sel, m, plan) : st;
    }
    /* A faulty pattern file is an error, not a reason for a simpler strategy. */
    xg_select_options shared = *o;
    xg_status readable = xg_known_new(a, o->patterns, &shared.known);
    if (readable != XG_OK) return readable;
    o = &shared;
    attempt t[ATTEMPTS] = {0}, tail[2] = {0}, *fastest = NULL;
    xg_buf note = {.arena = a};
    xg_solver *solver;
    for (uint32_t i = 0; i < ATTEMPTS + 2; i++)
        (i < ATTEMPTS ? &t[i] : &tail[i - ATTEMPTS])->many =
            o->many_tasks ? o->many_tasks : MANY_TASKS;
    size_t diags = xg_diag_count(xg_arena_ctx(a));
    if (xg_solver_new(a, g, m, o, &solver) != XG_OK) { /* too large: what "ilp" gives then */
        solver = NULL;
        xg_diag_truncate(xg_arena_ctx(a), diags);
    }
    try_strategies(a, g, m, o, solver, t, &fastest);
    refine_fastest(a, m, t, STRATEGIES, &fastest);
    uint32_t n = STRATEGIES;
    if (solver) n = iterate(a, m, solver, o->lp, t, n, n + ROUNDS, &fastest);
    xg_solver *flat = NULL;
    if (solver) n = try_flat(a, g, m, o, t, n, &fastest, &flat);
    for (uint32_t i = 0; i < n; i++)
        if (t[i].ok)
            xg_putf(&note, "%s %s %llu", note.n ? "," : "simulated cycles:", name_of(t, i),
                    (unsigned long long)t[i].cycles);
    if (!fastest && t[LAYER].over) return XG_LIMIT; /* the message is there */
    if (!fastest) {                                 /* say why */
        xg_status st = xg_select(a, g, m, "layer", sel);
        return st == XG_OK ? xg_plan_make(a, sel, m, plan) : st;
    }
    uint32_t best = (uint32_t)(fastest - t);
    if (solver && o->lp) *o->lp = t[best < STRATEGIES ? 0 : best].lp;
    share_tail(a, m, &t[best], &tail[0], &fastest, &note);
    if (t[NO_BATCHED].ok && best != NO_BATCHED) {
        share_tail(a, m, &t[NO_BATCHED], &tail[1], &fastest, &note);
        if (fastest == &tail[1]) best = NO_BATCHED;
    }
    if (solver && fastest == &t[best]) swap_groups(m, flat ? flat : solver, fastest, &note);
    xg_diag_truncate(xg_arena_ctx(a), diags); /* of attempts that failed */
    return take_fastest(a, t, best, fastest, note.p, sel, plan);
}
