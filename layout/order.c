/* Tasks in the order in which busy engines would take them.
 *
 * The generator writes group after group and tile after tile. Here long compute tasks are cut into
 * row groups, and each core's tasks are put in the order of a simulated run in which an engine that
 * becomes free takes the first task, in the old order, whose predecessors are finished: a
 * convolution of the next tile goes ahead while this tile's depthwise part is being computed, a
 * pooling branch runs beside the convolutions of the other branches, weights come as early as
 * their memory is free. Addresses are not changed, so the result of the program is not either.
 */
#include "layout/order.h"

#include "base/heap.h"
#include "isa/tile.h"

#include <string.h>

enum { E = XG_ENGINES_MAX, LONG_CYCLES = 512 };

/* ---- cutting
 * ------------------------------------------------------------------------------------------ */

static bool may_cut(const xg_plan *p, const xg_task *t, uint64_t cycles) {
    bool compute = t->kind == XG_TASK_CONV || t->kind == XG_TASK_POOL || t->kind == XG_TASK_ELEW ||
                   t->kind == XG_TASK_LUT;
    if (!compute || t->psum != XG_NONE || cycles < LONG_CYCLES) return false;
    if (xg_nodep(p->graph, t->node)->op == XG_OP_Concat) return false;
    return t->s.h1 - t->s.h0 > p->machine->tile.pp;
}

/* Rows of the parts: whole row groups of both engines. */
static uint32_t cut_rows(const xg_machine *m) {
    uint32_t unit = m->tile.pp;
    while (unit % m->tile.misc_rows) unit += m->tile.pp;
    return unit;
}

/* False when no task was cut. */
static bool cut_tasks(const xg_plan *p, xg_core_plan *core, const xg_task_cost *cost) {
    uint32_t rows = cut_rows(p->machine), n = core->task.n;
    xg_core_plan cut = {.task = {0}};
    for (uint32_t i = 0; i < n; i++) {
        xg_task t = core->task.v[i];
        uint32_t end = t.s.h1;
        if (may_cut(p, &t, cost[i].cycles))
            for (; end - t.s.h0 > rows; t.s.h0 += rows) {
                xg_task part = t;
                part.s.h1 = t.s.h0 + rows;
                xg_push_own(p->draft, &cut.task, part);
            }
        xg_push_own(p->draft, &cut.task, t);
    }
    xg_drop_own(p->draft, &core->task);
    memcpy(&core->task, &cut.task, sizeof cut.task);
    return cut.task.n > n;
}

/* ---- the simulated run
 * ---------------------------------------------------------------------------------------- */

typedef struct run {
    const xg_task_cost *cost;
    const xg_task_order *o;
    uint32_t *pending; /* [nodes] */
    uint32_t n;
    xg_heap ready[E];
    uint32_t running[E];
    uint64_t until[E], now;
    uint32_t *stack;
    uint32_t *order, done;
} run;

/* A finished node lets others begin; buffers' nodes take no time. */
static void release(run *r, uint32_t node) {
    uint32_t depth = 0;
    r->stack[depth++] = node;
    while (depth) {
        uint32_t k = r->stack[--depth];
        for (uint32_t e = r->o->first[k]; e < r->o->first[k + 1]; e++) {
            uint32_t to = r->o->to[e];
            if (--r->pending[to]) continue;
            if (to < r->n)
                xg_heap_push(&r->ready[r->cost[to].engine], to);
            else
                r->stack[depth++] = to;
        }
    }
}

static void begin(run *r) {
    uint32_t roots = 0, *root = r->stack + r->o->nnode + 1;
    for (uint32_t k = 0; k < r->o->nnode; k++)
        if (!r->pending[k]) root[roots++] = k;
    for (uint32_t i = 0; i < roots; i++) {
        if (root[i] < r->n)
            xg_heap_push(&r->ready[r->cost[root[i]].engine], root[i]);
        else
            release(r, root[i]);
    }
}

static bool advance(run *r) {
    uint64_t next = UINT64_MAX;
    for (uint32_t e = 0; e < E; e++) {
        if (r->running[e] == XG_NONE && r->ready[e].n) {
            uint32_t t = xg_heap_pop(&r->ready[e]);
            r->running[e] = t;
            r->until[e] = r->now + r->cost[t].cycles;
            r->order[r->done++] = t;
        }
        if (r->running[e] != XG_NONE && r->until[e] < next) next = r->until[e];
    }
    if (next == UINT64_MAX) return false;
    r->now = next;
    for (uint32_t e = 0; e < E; e++)
        if (r->running[e] != XG_NONE && r->until[e] == next) {
            uint32_t t = r->running[e];
            r->running[e] = XG_NONE;
            release(r, t);
        }
    return true;
}

/* order[k]: the task that comes k-th; key: which of several ready tasks goes first. Returns the
 * cycles; UINT64_MAX when they are not less than `enough`, and when not all tasks can run (never,
 * in a correct plan). */
static uint64_t simulate(xg_arena *a, const xg_task_cost *cost, uint32_t n, const xg_task_order *o,
                         const uint32_t *key, uint64_t enough, uint32_t *order) {
    run r = {.cost = cost, .o = o, .n = n, .order = order};
    r.stack = xg_newn(a, uint32_t, 2 * (size_t)o->nnode + 2);
    r.pending = xg_memdup(a, o->pending, o->nnode * sizeof *o->pending);
    for (uint32_t e = 0; e < E; e++)
        r.ready[e] = (xg_heap){key, xg_newn(a, uint32_t, n + 1), 0}, r.running[e] = XG_NONE;
    begin(&r);
    while (r.now < enough && advance(&r)) {
    }
    return r.done == n && r.now < enough ? r.now : UINT64_MAX;
}

/* Keys: the old order, in which constants stand `early` places before theirs. */
static void old_order(const xg_task *task, uint32_t n, uint32_t early, uint32_t *key) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t by = task[i].kind == XG_TASK_LOADC ? early : 0;
        key[i] = i > by ? i - by : 0;
    }
}

/* ---- the new order
 * -------------------------------------------------------------------------------------------- */

static void touch(xg_core_plan *core, uint32_t buf, uint32_t task) {
    for (; buf != XG_NONE; buf = core->buffer.v[buf].parent) {
        xg_buffer *b = &core->buffer.v[buf];
        if (b->first == UINT32_MAX) b->first = task;
        b->last = task;
    }
}

static void renew_lives(xg_core_plan *core) {
    for (uint32_t b = 0; b < core->buffer.n; b++) core->buffer.v[b].first = UINT32_MAX;
    for (uint32_t i = 0; i < core->task.n; i++) {
        const xg_task *t = &core->task.v[i];
        const uint32_t used[] = {t->in, t->in2, t->w, t->p, t->out, t->psum};
        for (uint32_t k = 0; k < XG_COUNT(used); k++) touch(core, used[k], i);
    }
    for (uint32_t b = 0; b < core->buffer.n; b++) /* asked for, never used */
        if (core->buffer.v[b].first == UINT32_MAX)
            core->buffer.v[b].first = core->buffer.v[b].last = 0;
}

/* The best of several orders; NULL when none is possible. */
static uint32_t *best_order(xg_arena *tmp, const xg_plan *p, const xg_core_plan *core,
                            const xg_task_cost *cost) {
    static const uint32_t early[] = {0, 24, 96, 384};
    uint32_t n = core->task.n, *best = NULL, *key = xg_newn(tmp, uint32_t, n + 1);
    uint64_t least = UINT64_MAX;
    xg_task_order o;
    xg_task_depend(p, core, 0, tmp, &o);
    for (size_t k = 0; k < XG_COUNT(early); k++) {
        uint32_t *order = xg_newn(tmp, uint32_t, n + 1);
        old_order(core->task.v, n, early[k], key);
        uint64_t cycles = simulate(tmp, cost, n, &o, key, least, order);
        if (cycles < least) least = cycles, best = order;
    }
    return best;
}

static xg_status order_core(const xg_plan *p, xg_core_plan *core, xg_arena *tmp) {
    xg_task_cost *cost = xg_newn(tmp, xg_task_cost, core->task.n + 1);
    xg_status st = xg_task_costs(p, core, 0, tmp, cost);
    if (st == XG_OK && cut_tasks(p, core, cost)) {
        cost = xg_newn(tmp, xg_task_cost, core->task.n + 1);
        st = xg_task_costs(p, core, 0, tmp, cost);
    }
    if (st != XG_OK) return st;
    uint32_t n = core->task.n;
    const uint32_t *order = best_order(tmp, p, core, cost);
    if (!order) return XG_INTERNAL;
    xg_task *task = xg_newn(p->arena, xg_task, n + 1);
    for (uint32_t k = 0; k < n; k++) task[k] = core->task.v[order[k]];
    xg_drop_own(p->draft, &core->task);
    core->task.v = task;
    core->task.cap = n + 1;
    if (core->buffer.n)
        core->buffer.v = xg_memdup(p->arena, core->buffer.v, core->buffer.n * sizeof(xg_buffer));
    core->buffer.cap = core->buffer.n;
    memset(core->alive, 0, sizeof core->alive);
    core->alive_from = 0;
    renew_lives(core);
    return XG_OK;
}

uint64_t xg_task_cycles(const xg_task_cost *cost, uint32_t n, const xg_task_order *o,
                        uint64_t enough, xg_arena *a) {
    uint32_t *order = xg_newn(a, uint32_t, n + 1), *key = xg_newn(a, uint32_t, n + 1);
    for (uint32_t i = 0; i < n; i++) key[i] = i;
    return simulate(a, cost, n, o, key, enough, order);
}

xg_status xg_order_tasks(xg_plan *p) {
    xg_status st = XG_OK;
    for (uint32_t s = 0; s < p->segment.n && st == XG_OK; s++)
        for (uint32_t c = 0; c < p->machine->cores && st == XG_OK; c++) {
            xg_arena *tmp = xg_arena_new(xg_arena_ctx(p->arena));
            st = order_core(p, &p->segment.v[s].core[c], tmp);
            xg_arena_free(tmp);
        }
    return st;
}
