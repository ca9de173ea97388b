#include "layout/clock.h"

#include "isa/timing.h"

#include <string.h>

enum { E = XG_ENGINES_MAX };
#define NEVER UINT64_MAX

typedef enum phase { IDLE, BUSY, SETUP, MOVE } phase;

typedef struct engine {
    phase phase;
    uint32_t *list, n; /* its tasks */
    uint32_t started, done;
    uint64_t until;
    uint64_t left, cap, rate; /* MOVE: DDR time still needed; shares; 1/65536 */
    uint32_t cursor;          /* dispatch: the task that holds the instruction asked for last */
    uint64_t dispatched;      /* instructions */
} engine;

typedef struct core {
    const xg_clock_core *in;
    engine engine[E];
    uint32_t *pending, *stack; /* [nodes] */
    uint64_t *available;       /* [n] cycle in which the first instruction is in its queue */
    uint64_t *first;           /* [n] number of the task's first instruction in its engine */
    uint32_t next;             /* task to be dispatched */
    bool entered;              /* its first instruction has been */
    uint64_t dispatcher;
    uint32_t signals;
} core;

typedef struct run {
    const xg_machine *m;
    core *core;
    uint32_t ncore;
    engine **mover; /* engines that move data */
    uint32_t movers;
    uint64_t *cap, *rate; /* [movers] */
    uint64_t now, moved_to;
} run;

/* ---- queues
 * -------------------------------------------------------------------------------------------- */

/* When instruction q of an engine starts; false: not known yet. q never falls from call to call. */
static bool starts_at(const core *c, engine *g, uint64_t q, uint64_t *at) {
    while (g->cursor + 1 < g->n && c->first[g->list[g->cursor + 1]] <= q) g->cursor++;
    uint32_t i = g->list[g->cursor];
    const xg_task_cost *s = &c->in->cost[i];
    if (c->in->start[i] == NEVER) return false;
    *at = c->in->start[i] + (q - c->first[i]) * (s->alone / s->ninst);
    return true;
}

/* Room for instruction q in its queue: the one queue_depth before it has started. */
static bool has_room(const run *r, const core *c, engine *g, uint64_t q, uint64_t *at) {
    *at = 0;
    return q < r->m->tile.queue_depth || starts_at(c, g, q - r->m->tile.queue_depth, at);
}

/* Hands out instructions in order as far as is known. */
static void dispatch(const run *r, core *c) {
    for (; c->next < c->in->n; c->next++) {
        const xg_task_cost *s = &c->in->cost[c->next];
        engine *g = &c->engine[s->engine];
        uint64_t at, cycles = r->m->tile.dispatch;
        if (!c->entered) {
            if (!has_room(r, c, g, c->first[c->next], &at)) return;
            if (at > c->dispatcher) c->dispatcher = at;
            c->available[c->next] = c->dispatcher;
            c->entered = true;
        }
        if (!has_room(r, c, g, c->first[c->next] + s->ninst - 1, &at)) return;
        uint64_t end = c->dispatcher + s->ninst * cycles;
        c->dispatcher = at + cycles > end ? at + cycles : end;
        c->entered = false;
    }
}

/* ---- the DDR
 * ------------------------------------------------------------------------------------------- */

static void share(run *r) {
    for (uint32_t i = 0; i < r->movers; i++) r->cap[i] = r->mover[i]->cap;
    xg_time_share(r->cap, r->movers, r->rate);
    for (uint32_t i = 0; i < r->movers; i++) r->mover[i]->rate = r->rate[i];
}

static void advance(run *r) {
    uint64_t dt = r->now - r->moved_to;
    r->moved_to = r->now;
    for (uint32_t i = 0; dt && i < r->movers; i++) {
        engine *g = r->mover[i];
        uint64_t moved = dt * g->rate;
        g->left = moved < g->left ? g->left - moved : 0;
    }
}

static uint64_t due(const run *r, const engine *g) {
    if (g->phase != MOVE) return g->phase == IDLE ? NEVER : g->until;
    uint64_t end = r->moved_to + (g->left + g->rate - 1) / g->rate;
    return end > g->until ? end : g->until;
}

static void begin_move(run *r, engine *g, const xg_task_cost *s) {
    uint64_t alone = s->alone > s->setup ? s->alone - s->setup : 1;
    advance(r);
    g->phase = MOVE;
    g->until = r->now + alone;
    g->left = s->ddr_x65536;
    g->cap = xg_time_cap(s->ddr_x65536, alone);
    r->mover[r->movers++] = g;
    share(r);
}

static void end_move(run *r, const engine *g) {
    uint32_t n = 0;
    advance(r);
    for (uint32_t i = 0; i < r->movers; i++)
        if (r->mover[i] != g) r->mover[n++] = r->mover[i];
    r->movers = n;
    share(r);
}

/* ---- engines
 * -------------------------------------------------------------------------------------------- */

/* A node is over: what waits for it waits for one less; buffers' nodes take no time. */
static void node_over(core *c, uint32_t node) {
    const xg_task_order *o = c->in->order;
    uint32_t depth = 0;
    c->stack[depth++] = node;
    while (depth) {
        uint32_t k = c->stack[--depth];
        for (uint32_t i = o->first[k]; i < o->first[k + 1]; i++)
            if (!--c->pending[o->to[i]] && o->to[i] >= c->in->n) c->stack[depth++] = o->to[i];
    }
}

static bool signalled(const run *r, uint32_t count) {
    for (uint32_t i = 0; i < r->ncore; i++)
        if (r->core[i].signals < count) return false;
    return true;
}

static bool start(const run *r, core *c, engine *g) {
    if (g->started == g->n) return false;
    uint32_t k = g->list[g->started];
    const xg_task_cost *s = &c->in->cost[k];
    if (c->pending[k] || c->available[k] > r->now || !signalled(r, s->await)) return false;
    g->started++;
    c->in->start[k] = r->now;
    g->phase = s->ddr_x65536 ? SETUP : BUSY;
    g->until = r->now + (s->ddr_x65536 ? s->setup : s->alone);
    return true;
}

/* True when the engine went on. */
static bool run_engine(run *r, core *c, engine *g) {
    if (g->phase == IDLE) return start(r, c, g);
    if (due(r, g) > r->now) return false;
    uint32_t k = g->list[g->done];
    if (g->phase == SETUP) {
        begin_move(r, g, &c->in->cost[k]);
        return true;
    }
    if (g->phase == MOVE) end_move(r, g);
    g->phase = IDLE;
    g->done++;
    c->in->finish[k] = r->now;
    c->signals += c->in->cost[k].signal;
    node_over(c, k);
    return true;
}

static uint64_t next_event(const run *r) {
    uint64_t next = NEVER;
    for (uint32_t i = 0; i < r->ncore; i++)
        for (int e = 0; e < E; e++) {
            const engine *g = &r->core[i].engine[e];
            uint64_t t = due(r, g);
            if (g->phase == IDLE && g->started < g->n) {
                uint64_t at = r->core[i].available[g->list[g->started]];
                if (at > r->now) t = at;
            }
            if (t < next) next = t;
        }
    return next;
}

static void prepare(xg_arena *a, const xg_clock_core *in, core *c) {
    const xg_task_order *o = in->order;
    uint32_t count[E] = {0};
    c->in = in;
    c->available = xg_newn(a, uint64_t, in->n + 1);
    c->first = xg_newn(a, uint64_t, in->n + 1);
    c->pending = xg_memdup(a, o->pending, o->nnode * sizeof *o->pending + 1);
    c->stack = xg_newn(a, uint32_t, o->nnode + 1);
    for (uint32_t i = 0; i < in->n; i++) count[in->cost[i].engine]++;
    for (int e = 0; e < E; e++) c->engine[e].list = xg_newn(a, uint32_t, count[e] + 1);
    for (uint32_t i = 0; i < in->n; i++) {
        engine *g = &c->engine[in->cost[i].engine];
        g->list[g->n++] = i;
        c->first[i] = g->dispatched;
        g->dispatched += in->cost[i].ninst;
        in->start[i] = in->finish[i] = c->available[i] = NEVER;
    }
    for (uint32_t k = in->n; k < o->nnode; k++)
        if (!o->pending[k]) node_over(c, k);
}

uint64_t xg_clock_run(xg_arena *a, const xg_machine *m, const xg_clock_core *in, uint32_t ncore) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(a));
    run r = {.m = m, .core = xg_newn(tmp, core, ncore), .ncore = ncore};
    r.mover = xg_newn(tmp, engine *, (size_t)ncore * E);
    r.cap = xg_newn(tmp, uint64_t, (size_t)ncore * E);
    r.rate = xg_newn(tmp, uint64_t, (size_t)ncore * E);
    for (uint32_t i = 0; i < ncore; i++) prepare(tmp, &in[i], &r.core[i]);
    for (;;) {
        for (bool moved = true; moved;) {
            moved = false;
            for (uint32_t i = 0; i < ncore; i++) {
                dispatch(&r, &r.core[i]);
                for (int e = 0; e < E; e++)
                    moved |= run_engine(&r, &r.core[i], &r.core[i].engine[e]);
            }
        }
        uint64_t next = next_event(&r);
        if (next == NEVER) break;
        r.now = next;
    }
    xg_arena_free(tmp);
    return r.now;
}
