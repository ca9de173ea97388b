#include "fusion/pipeline.h"

#include "base/heap.h"
#include <string.h>

enum { E = XG_TILE_ENGINES, ONE = 1 << 16 };
#define NEVER UINT64_MAX

/* ---- who comes before whom
 * -------------------------------------------------------------------------------- */

/* Nodes: steps [0, nstep), then events. Node k comes before to[first[k] .. first[k + 1]). */
typedef struct nodes {
    const xg_pipe *p;
    uint32_t n;
    uint32_t *first, *to, *pending, *pending0, *stack;
} nodes;

static uint32_t node_of(const xg_pipe *p, uint32_t id) {
    bool event = id >= (uint32_t)XG_PIPE_EVENT;
    uint32_t k = event ? id - (uint32_t)XG_PIPE_EVENT - p->event0 : id - p->step0;
    if (k >= (event ? p->nevent : p->nstep)) return XG_NONE;
    return event ? p->nstep + k : k;
}

static void link_nodes(xg_arena *a, const xg_pipe *p, nodes *g) {
    uint32_t n = g->n = p->nstep + p->nevent;
    g->p = p;
    g->first = xg_newn(a, uint32_t, n + 2);
    g->to = xg_newn(a, uint32_t, p->nedge + 1);
    g->pending = xg_newn(a, uint32_t, n + 1);
    g->pending0 = xg_newn(a, uint32_t, n + 1);
    g->stack = xg_newn(a, uint32_t, n + 1);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < p->nedge; i++) {
            uint32_t from = node_of(p, p->edge[i].from), to = node_of(p, p->edge[i].to);
            if (from == XG_NONE || to == XG_NONE || from == to) continue;
            if (pass)
                g->to[g->first[from + 1]++] = to;
            else
                g->first[from + 2]++, g->pending0[to]++;
        }
        for (uint32_t k = 2; !pass && k < n + 2; k++) g->first[k] += g->first[k - 1];
    }
}

/* A node is over: calls ready() for the steps that nothing holds any more. */
static void node_over(nodes *g, uint32_t node, void (*ready)(void *arg, uint32_t step), void *arg) {
    uint32_t depth = 0;
    g->stack[depth++] = node;
    while (depth) {
        uint32_t k = g->stack[--depth];
        for (uint32_t i = g->first[k]; i < g->first[k + 1]; i++) {
            uint32_t to = g->to[i];
            if (--g->pending[to]) continue;
            if (to >= g->p->nstep)
                g->stack[depth++] = to;
            else
                ready(arg, to);
        }
    }
}

static void nodes_begin(nodes *g, void (*ready)(void *arg, uint32_t step), void *arg) {
    memcpy(g->pending, g->pending0, g->n * sizeof *g->pending);
    for (uint32_t k = g->p->nstep; k < g->n; k++)
        if (!g->pending0[k]) node_over(g, k, ready, arg);
    for (uint32_t k = 0; k < g->p->nstep; k++)
        if (!g->pending0[k]) ready(arg, k);
}

/* ---- the order
 * -------------------------------------------------------------------------------------------- */

typedef struct ordering {
    const xg_pipe *p;
    nodes g;
    xg_heap ready[E];
    uint32_t running[E];
    uint64_t until[E], now;
    uint32_t *order, n;
} ordering;

static void order_ready(void *arg, uint32_t step) {
    ordering *o = arg;
    xg_heap_push(&o->ready[o->p->step[step].engine], step);
}

/* Transfers as if all cores moved data. */
static uint64_t shared_cycles(const xg_machine *m, const xg_pipe_step *s) {
    uint64_t ddr = s->setup + (s->ddr * m->cores >> 16);
    return s->ddr && ddr > s->cycles ? ddr : s->cycles;
}

static bool order_advance(ordering *o) {
    uint64_t next = NEVER;
    for (int e = 0; e < E; e++) {
        if (o->running[e] == XG_NONE && o->ready[e].n) {
            uint32_t k = o->running[e] = xg_heap_pop(&o->ready[e]);
            o->until[e] = o->now + shared_cycles(o->p->m, &o->p->step[k]);
            o->order[o->n++] = k;
        }
        if (o->running[e] != XG_NONE && o->until[e] < next) next = o->until[e];
    }
    if (next == NEVER) return false;
    o->now = next;
    for (int e = 0; e < E; e++) {
        uint32_t k = o->running[e];
        if (k == XG_NONE || o->until[e] != next) continue;
        o->running[e] = XG_NONE;
        node_over(&o->g, k, order_ready, o);
    }
    return true;
}

/* Keys: the given order, in which constants stand `early` places before theirs. */
static void order_steps(xg_arena *a, const xg_pipe *p, uint32_t early, ordering *o) {
    uint32_t *key = xg_newn(a, uint32_t, p->nstep + 1);
    for (uint32_t i = 0; i < p->nstep; i++) {
        uint32_t by = p->step[i].constant ? early : 0;
        key[i] = i > by ? i - by : 0;
    }
    o->now = o->n = 0;
    o->order = xg_newn(a, uint32_t, p->nstep + 1);
    for (int e = 0; e < E; e++) {
        o->ready[e] = (xg_heap){key, xg_newn(a, uint32_t, p->nstep + 1), 0};
        o->running[e] = XG_NONE;
    }
    nodes_begin(&o->g, order_ready, o);
    while (order_advance(o)) {
    }
}

uint64_t xg_pipe_span(xg_arena *a, const xg_pipe *p) {
    ordering o = {.p = p};
    link_nodes(a, p, &o.g);
    order_steps(a, p, 0, &o);
    return o.now;
}

/* The best of several orders, as layout/order.c has them. */
static void best_order(xg_arena *a, const xg_pipe *p, ordering *best) {
    static const uint32_t early[] = {0, 24, 96, 384};
    ordering o = {.p = p};
    link_nodes(a, p, &o.g);
    for (size_t k = 0; k < XG_COUNT(early); k++) {
        order_steps(a, p, early[k], &o);
        if (!k || (o.n == best->n && o.now < best->now)) *best = o;
    }
}

/* ---- the run
 * ---------------------------------------------------------------------------------------------- */

typedef enum phase { IDLE, BUSY, SETUP, MOVE } phase;

typedef struct engine {
    phase phase;
    uint32_t *list, n; /* its steps */
    uint32_t started, done;
    uint64_t until;
    uint64_t left, cap, rate; /* MOVE: DDR time still needed; shares; 1/65536 */
    uint32_t cursor;          /* dispatch: the step that holds the instruction asked for last */
    uint64_t dispatched;      /* instructions */
} engine;

typedef struct pipe {
    const xg_machine *m;
    const xg_pipe_step *step;
    nodes *g;
    const uint32_t *order;
    uint32_t n;
    engine engine[E];
    uint64_t *start;     /* [n] NEVER: not yet */
    uint64_t *available; /* [n] cycle in which the first instruction is in its queue */
    uint64_t *first;     /* [n] number of the step's first instruction in its engine */
    uint64_t *finish;
    uint64_t now, moved_to;
    uint32_t next; /* place in the order of the step to be dispatched */
    bool entered;  /* its first instruction has been */
    uint64_t dispatcher;
} pipe;

/* When instruction q of an engine starts; false: not known yet. q never falls from call to call. */
static bool starts_at(pipe *p, engine *g, uint64_t q, uint64_t *at) {
    while (g->cursor + 1 < g->n && p->first[g->list[g->cursor + 1]] <= q) g->cursor++;
    uint32_t i = g->list[g->cursor];
    const xg_pipe_step *s = &p->step[i];
    if (p->start[i] == NEVER) return false;
    *at = p->start[i] + (q - p->first[i]) * (s->cycles / s->ninst);
    return true;
}

/* Room for instruction q in its queue: the one queue_depth before it has started. */
static bool has_room(pipe *p, engine *g, uint64_t q, uint64_t *at) {
    *at = 0;
    return q < p->m->tile.queue_depth || starts_at(p, g, q - p->m->tile.queue_depth, at);
}

/* Hands out instructions in order as far as is known. */
static void dispatch(pipe *p) {
    for (; p->next < p->n; p->next++) {
        uint32_t k = p->order[p->next];
        const xg_pipe_step *s = &p->step[k];
        engine *g = &p->engine[s->engine];
        uint64_t at, cycles = p->m->tile.dispatch;
        if (!p->entered) {
            if (!has_room(p, g, p->first[k], &at)) return;
            if (at > p->dispatcher) p->dispatcher = at;
            p->available[k] = p->dispatcher;
            p->entered = true;
        }
        if (!has_room(p, g, p->first[k] + s->ninst - 1, &at)) return;
        uint64_t end = p->dispatcher + s->ninst * cycles;
        p->dispatcher = at + cycles > end ? at + cycles : end;
        p->entered = false;
    }
}

/* The DDR: LOAD and SAVE of this core, and the same of its likes. */
static void share(pipe *p) {
    engine *l = &p->engine[XG_TILE_LOAD], *s = &p->engine[XG_TILE_SAVE];
    bool both = l->phase == MOVE && s->phase == MOVE;
    for (int k = 0; k < 2; k++) {
        engine *g = k ? s : l, *o = k ? l : s;
        if (g->phase != MOVE) continue;
        uint64_t all = ONE * UINT64_C(256) / p->step[g->list[g->done]].share_x256,
                 fair = both ? all / 2 : all;
        if (both && o->cap < fair) fair = all - o->cap;
        g->rate = g->cap < fair ? g->cap : fair;
        if (!g->rate) g->rate = 1;
    }
}

static void advance(pipe *p) {
    uint64_t dt = p->now - p->moved_to;
    p->moved_to = p->now;
    for (int e = XG_TILE_LOAD; e <= XG_TILE_SAVE; e++) {
        engine *g = &p->engine[e];
        if (g->phase != MOVE) continue;
        uint64_t moved = dt * g->rate;
        g->left = moved < g->left ? g->left - moved : 0;
    }
}

static uint64_t due(const pipe *p, const engine *g) {
    if (g->phase != MOVE) return g->phase == IDLE ? NEVER : g->until;
    uint64_t end = p->moved_to + (g->left + g->rate - 1) / g->rate;
    return end > g->until ? end : g->until;
}

static void begin_move(pipe *p, engine *g) {
    const xg_pipe_step *s = &p->step[g->list[g->done]];
    uint64_t alone = s->cycles - s->setup ? s->cycles - s->setup : 1;
    advance(p);
    g->phase = MOVE;
    g->until = p->now + alone;
    g->left = s->ddr;
    g->cap = (s->ddr + alone - 1) / alone;
    g->cap = g->cap < 1 ? 1 : g->cap > ONE ? ONE : g->cap;
    share(p);
}

static void run_ready(void *arg, uint32_t step) {
    (void)arg, (void)step; /* found by its pending count */
}

static bool start(pipe *p, engine *g) {
    if (g->started == g->n) return false;
    uint32_t k = g->list[g->started];
    if (p->g->pending[k] || p->available[k] > p->now) return false;
    g->started++;
    p->start[k] = p->now;
    g->phase = p->step[k].ddr ? SETUP : BUSY;
    g->until = p->now + (p->step[k].ddr ? p->step[k].setup : p->step[k].cycles);
    return true;
}

/* True when the engine went on. */
static bool run_engine(pipe *p, engine *g) {
    if (g->phase == IDLE) return start(p, g);
    if (due(p, g) > p->now) return false;
    if (g->phase == SETUP) {
        begin_move(p, g);
        return true;
    }
    if (g->phase == MOVE) {
        advance(p);
        g->phase = IDLE;
        share(p);
    }
    g->phase = IDLE;
    uint32_t k = g->list[g->done++];
    p->finish[k] = p->now;
    node_over(p->g, k, run_ready, NULL);
    return true;
}

static uint64_t next_event(const pipe *p) {
    uint64_t next = NEVER;
    for (int e = 0; e < E; e++) {
        const engine *g = &p->engine[e];
        uint64_t t = due(p, g);
        if (g->phase == IDLE && g->started < g->n) {
            uint64_t at = p->available[g->list[g->started]];
            if (at > p->now) t = at;
        }
        if (t < next) next = t;
    }
    return next;
}

static void prepare(pipe *p, xg_arena *a) {

    p->available = xg_newn(a, uint64_t, p->g->n + 1);
    p->first = xg_newn(a, uint64_t, p->g->n + 1);
    uint32_t count[E] = {0};
    for (uint32_t i = 0; i < p->n; i++) count[p->step[p->order[i]].engine]++;
    for (int e = 0; e < E; e++) p->engine[e].list = xg_newn(a, uint32_t, count[e] + 1);
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t k = p->order[i];
        engine *g = &p->engine[p->step[k].engine];
        g->list[g->n++] = k;
        p->first[k] = g->dispatched;
        g->dispatched += p->step[k].ninst;
        p->start[k] = p->available[k] = NEVER;
    }
}

uint64_t xg_pipe_run(xg_arena *a, const xg_pipe *in, uint64_t *start_at, uint64_t *finish) {
    ordering o;
    best_order(a, in, &o);
    pipe p = {.m = in->m,
              .step = in->step,
              .g = &o.g,
              .order = o.order,
              .n = o.n,
              .start = start_at,
              .finish = finish};
    memset(start_at, 0, in->nstep * sizeof *start_at);
    memset(finish, 0, in->nstep * sizeof *finish);
    prepare(&p, a);
    nodes_begin(p.g, run_ready, NULL);
    for (;;) {
        for (bool moved = true; moved;) {
            moved = false;
            dispatch(&p);
            for (int e = 0; e < E; e++) moved |= run_engine(&p, &p.engine[e]);
        }
        uint64_t next = next_event(&p);
        if (next == NEVER) break;
        p.now = next;
    }
    return p.now;
}
