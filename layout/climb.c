/* From a plan to a faster one by swaps of single groups, each built and measured: hill climbing. */
#include "layout/climb.h"

#include "layout/clock.h"

typedef struct climb {
    const xg_machine *m;
    xg_solver *solver;
    xg_measured *best;
    bool *tried;     /* [the solver's candidates] since the plan was last changed there */
    uint64_t budget; /* what is left */
} climb;

uint64_t xg_tasks_in(const xg_plan *p) {
    uint64_t n = 0;
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t c = 0; c < p->machine->cores; c++) n += p->segment.v[s].core[c].task.n;
    return n;
}

enum {
    TRIAL_TASKS = 50, /* what a swap costs beside its plan: its program */
    FAR = 32          /* a plan with a forecast that is slower by more than 1/32 is not simulated */
};

static void spend(climb *k, uint64_t tasks) {
    k->budget -= tasks < k->budget ? tasks : k->budget;
}

static uint64_t foreseen(const xg_plan *p) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->sel->group.n; i++) sum += p->sel->group.v[i].cost_cycles;
    return sum;
}

/* The plan with the swap takes the place of the best one if it is faster. */
static bool try_swap(climb *k, const xg_swap *swap) {
    xg_ctx *c = xg_arena_ctx(k->best->plan->arena);
    xg_arena *a = xg_arena_new(c);
    size_t diags = xg_diag_count(c);
    xg_selection sel;
    xg_plan *plan = NULL;
    uint64_t cycles = UINT64_MAX;
    xg_status st = xg_solver_swap(k->solver, a, k->best->plan->sel, swap, &sel);
    if (st == XG_OK) st = xg_selection_check(a, &sel, k->m);
    if (st == XG_OK) st = xg_plan_make_as(a, &sel, k->m, true, &plan);
    if (st == XG_OK) st = xg_forecast(plan);
    if (st == XG_OK && foreseen(plan) > k->best->cycles + k->best->cycles / FAR) st = XG_LIMIT;
    if (st == XG_OK) st = xg_plan_cycles(plan, &cycles);
    spend(k, TRIAL_TASKS + (plan ? xg_tasks_in(plan) : 0));
    xg_diag_truncate(c, diags);
    if (st != XG_OK || cycles >= k->best->cycles) {
        xg_arena_free(a);
        return false;
    }
    xg_arena_free(k->best->plan->arena);
    k->best->plan = plan;
    k->best->cycles = cycles;
    k->best->swaps++;
    return true;
}

/* The first swap that helps, of those not tried yet. */
static bool step(climb *k) {
    xg_arena *a = xg_arena_new(xg_arena_ctx(k->best->plan->arena));
    xg_swaps list = {0};
    bool better = false;
    xg_solver_swaps(k->solver, a, k->best->plan->sel, &list);
    for (uint32_t i = 0; i < list.n && k->budget && !better; i++) {
        bool *tried = &k->tried[list.v[i].candidate];
        if (!*tried) better = try_swap(k, &list.v[i]);
        *tried = true;
    }
    xg_arena_free(a);
    return better;
}

void xg_climb(const xg_machine *m, xg_solver *solver, uint64_t budget, xg_measured *best) {
    xg_arena *a = xg_arena_new(xg_arena_ctx(best->plan->arena));
    climb k = {.m = m, .solver = solver, .best = best, .budget = budget};
    uint32_t before;
    do { /* what did not help may help when other groups have changed */
        before = best->swaps;
        k.tried = xg_newn(a, bool, xg_solver_candidates(solver));
        while (k.budget && step(&k)) {
        }
    } while (k.budget && best->swaps > before);
    xg_arena_free(a);
}
