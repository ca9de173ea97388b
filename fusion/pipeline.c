#include "fusion/pipeline.h"

enum { E = XG_TILE_ENGINES, ONE = 1 << 16 };
#define NEVER UINT64_MAX

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
    uint32_t n;
    engine engine[E];
    uint64_t *start;     /* [n] NEVER: not yet */
    uint64_t *available; /* [n] cycle in which the first instruction is in its queue */
    uint64_t *first;     /* [n] number of the step's first instruction in its engine */
    uint64_t *finish;
    uint64_t now, moved_to;
    uint32_t next; /* step to be dispatched */
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

/* Hands out instructions in program order as far as is known. */
static void dispatch(pipe *p) {
    for (; p->next < p->n; p->next++) {
        const xg_pipe_step *s = &p->step[p->next];
        engine *g = &p->engine[s->engine];
        uint64_t at, cycles = p->m->tile.dispatch;
        if (!p->entered) {
            if (!has_room(p, g, p->first[p->next], &at)) return;
            if (at > p->dispatcher) p->dispatcher = at;
            p->available[p->next] = p->dispatcher;
            p->entered = true;
        }
        if (!has_room(p, g, p->first[p->next] + s->ninst - 1, &at)) return;
        uint64_t end = p->dispatcher + s->ninst * cycles;
        p->dispatcher = at + cycles > end ? at + cycles : end;
        p->entered = false;
    }
}

/* ---- the DDR: LOAD and SAVE of this core, and the same of its likes */

static void share(pipe *p) {
    engine *l = &p->engine[XG_TILE_LOAD], *s = &p->engine[XG_TILE_SAVE];
    bool both = l->phase == MOVE && s->phase == MOVE;
    for (int k = 0; k < 2; k++) {
        engine *g = k ? s : l, *o = k ? l : s;
        if (g->phase != MOVE) continue;
        uint64_t all = ONE / p->step[g->list[g->done]].cores, fair = both ? all / 2 : all;
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

/* ---- engines */

static bool may_start(const pipe *p, const engine *g) {
    if (g->phase != IDLE || g->started == g->n) return false;
    const xg_pipe_step *s = &p->step[g->list[g->started]];
    for (int e = 0; e < E; e++)
        if (p->engine[e].done < s->need[e]) return false;
    return p->available[g->list[g->started]] <= p->now;
}

/* True when the engine took a step. */
static bool run_engine(pipe *p, engine *g) {
    if (g->phase == IDLE) {
        if (!may_start(p, g)) return false;
        uint32_t i = g->list[g->started++];
        p->start[i] = p->now;
        g->phase = p->step[i].ddr ? SETUP : BUSY;
        g->until = p->now + (p->step[i].ddr ? p->step[i].setup : p->step[i].cycles);
        return true;
    }
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
    p->finish[g->list[g->done++]] = p->now;
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
    p->start = xg_newn(a, uint64_t, p->n);
    p->available = xg_newn(a, uint64_t, p->n);
    p->first = xg_newn(a, uint64_t, p->n);
    uint32_t count[E] = {0};
    for (uint32_t i = 0; i < p->n; i++) count[p->step[i].engine]++;
    for (int e = 0; e < E; e++) p->engine[e].list = xg_newn(a, uint32_t, count[e] + 1);
    for (uint32_t i = 0; i < p->n; i++) {
        engine *g = &p->engine[p->step[i].engine];
        g->list[g->n++] = i;
        p->first[i] = g->dispatched;
        g->dispatched += p->step[i].ninst;
        p->start[i] = p->available[i] = NEVER;
    }
}

uint64_t xg_pipe_run(xg_arena *a, const xg_machine *m, const xg_pipe_step *step, uint32_t n,
                     uint64_t *finish) {
    pipe p = {.m = m, .step = step, .n = n, .finish = finish};
    prepare(&p, a);
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
