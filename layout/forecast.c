/* A plan -> what each group takes by the cost model's clock. */
#include "layout/clock.h"

#include "isa/book.h"

#include <string.h>

typedef XG_VEC(xg_work) works;

/* Computations; of groups that have none, transfers. */
static void note_work(xg_arena *a, const xg_core_plan *plan, const xg_clock_core *core,
                      uint32_t ngroup, works *out) {
    bool *computes = xg_newn(a, bool, ngroup);
    for (uint32_t i = 0; i < core->n; i++) {
        const xg_task *t = &plan->task.v[i];
        computes[t->group] |= t->kind >= XG_TASK_CONV && t->kind <= XG_TASK_LUT;
    }
    for (uint32_t i = 0; i < core->n; i++) {
        const xg_task *t = &plan->task.v[i];
        bool compute = t->kind >= XG_TASK_CONV && t->kind <= XG_TASK_LUT;
        bool move = !computes[t->group] && core->cost[i].ddr_x65536;
        if ((compute || move) && core->finish[i] != UINT64_MAX)
            xg_push(a, out, ((xg_work){core->start[i], core->finish[i], t->group}));
    }
}

/* Part `words` of a buffer. */
static uint32_t slot_in(xg_arena *a, xg_core_plan *core, uint32_t b, uint32_t from, uint32_t size) {
    xg_buffer x = core->buffer.v[b];
    x.addr += from, x.size = size;
    xg_push(a, &core->buffer, x);
    return core->buffer.n - 1;
}

/* A row group, instruction by instruction: each has weights and parameters of its own. */
static void cut_channels(const xg_plan *p, xg_arena *a, xg_core_plan *out, const xg_task *row) {
    uint32_t ocp = p->machine->tile.ocp, groups = (uint32_t)xg_ceil_div(row->s.c1 - row->s.c0, ocp);
    uint32_t words = out->buffer.v[row->w].size / groups, bytes = ocp * xg_param_record(p->machine);
    uint32_t all = out->buffer.v[row->p].size;
    for (uint32_t k = 0; k < groups; k++) {
        xg_task t = *row;
        t.s.c0 = row->s.c0 + k * ocp;
        t.s.c1 = (uint32_t)xg_min(t.s.c0 + ocp, row->s.c1);
        t.w = slot_in(a, out, row->w, k * words, words);
        t.p = slot_in(a, out, row->p, k * bytes,
                      (uint32_t)xg_min(bytes, all > k * bytes ? all - k * bytes : 0));
        xg_push(a, &out->task, t);
    }
}

/* Convolutions are cut into row groups: others may begin when the rows that they read are made. The
 * first is cut into instructions, which begin as their weights come, and the last, which leave
 * theirs one by one. */
static void cut_convolutions(const xg_plan *p, xg_arena *a, const xg_core_plan *core,
                             xg_core_plan *out) {
    uint32_t pp = p->machine->tile.pp;
    *out = *core;
    memset(&out->task, 0, sizeof out->task);
    memset(&out->buffer, 0, sizeof out->buffer);
    for (uint32_t b = 0; b < core->buffer.n; b++) xg_push(a, &out->buffer, core->buffer.v[b]);
    for (uint32_t i = 0; i < core->task.n; i++) {
        xg_task t = core->task.v[i];
        uint32_t first = t.s.h0, end = t.s.h1;
        if (t.kind != XG_TASK_CONV || t.psum != XG_NONE ||
            xg_node_tile_kind(p->graph, xg_nodep(p->graph, t.node)) != XG_TK_CONV) {
            xg_push(a, &out->task, t);
            continue;
        }
        for (; t.s.h0 < end; t.s.h0 += pp) {
            t.s.h1 = (uint32_t)xg_min(t.s.h0 + pp, end);
            if (t.s.h0 == first || t.s.h1 == end)
                cut_channels(p, a, out, &t);
            else
                xg_push(a, &out->task, t);
        }
    }
}

static xg_status prepare(const xg_plan *p, xg_arena *a, const xg_core_plan *plan,
                         xg_clock_core *out) {
    uint32_t n = plan->task.n;
    xg_task_cost *cost = xg_newn(a, xg_task_cost, n + 1);
    xg_task_order *order = xg_new(a, xg_task_order);
    *out =
        (xg_clock_core){n, cost, order, xg_newn(a, uint64_t, n + 1), xg_newn(a, uint64_t, n + 1)};
    xg_status st = xg_task_costs(p, plan, 0, a, cost);
    if (st == XG_OK) xg_task_depend_words(p, plan, cost, a, order);
    return st;
}

static xg_status segment(const xg_plan *p, const xg_plan_step *step) {
    const xg_seg_plan *seg = &p->segment.v[step->segment];
    uint32_t ncore = p->machine->cores, ngroup = p->sel->group.n;
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(p->arena));
    xg_core_plan *fine = xg_newn(tmp, xg_core_plan, ncore);
    xg_clock_core *core = xg_newn(tmp, xg_clock_core, ncore);
    xg_status st = XG_OK;
    for (uint32_t c = 0; c < ncore && st == XG_OK; c++) {
        cut_convolutions(p, tmp, &seg->core[c], &fine[c]);
        st = prepare(p, tmp, &fine[c], &core[c]);
    }
    if (st == XG_OK) {
        uint64_t total = xg_clock_run(tmp, p->machine, core, ncore);
        uint64_t *cycles = xg_newn(tmp, uint64_t, ngroup);
        works w = {0};
        for (uint32_t c = 0; c < ncore; c++) note_work(tmp, &fine[c], &core[c], ngroup, &w);
        xg_book_cycles(tmp, w.v, w.n, total, cycles);
        for (uint32_t i = 0; i < ngroup; i++) p->sel->group.v[i].cost_cycles += cycles[i];
    }
    xg_arena_free(tmp);
    return st;
}

xg_status xg_forecast(const xg_plan *p) {
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < p->sel->group.n; i++) p->sel->group.v[i].cost_cycles = 0;
    for (uint32_t i = 0; i < p->step.n && st == XG_OK; i++)
        if (p->step.v[i].accel) st = segment(p, &p->step.v[i]);
    return st;
}
