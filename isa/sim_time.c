#include "isa/sim_state.h"

#include "isa/replay.h"
#include "isa/timing.h"

#include <string.h>

/* Discrete events over whole cycles. Each core has a dispatcher and its engines; a DDR transfer is,
 * after its set-up, a member of a set among which the DDR's time is shared: in every cycle each
 * member gets an equal share, but none more than the rate at which its own port and the on-chip
 * memory can take the data; what one cannot use goes to the others (water filling). Shares are in
 * 1/65536 of the DDR's time, so that all arithmetic is exact and equal on every host. */

enum { E = XG_ENGINES_MAX };
#define NEVER UINT64_MAX

typedef enum phase { IDLE, BUSY, SETUP, MOVE, POST } phase;

typedef struct engine {
    phase phase;
    uint32_t inst;
    uint64_t until; /* BUSY, SETUP: end; MOVE: earliest end */
    uint64_t start;
    uint64_t free_at;   /* since when it waits for its next instruction */
    uint64_t left;      /* MOVE: DDR time still needed, 1/65536 cycles */
    uint64_t cap, rate; /* MOVE: shares */
    xg_cost cost;
} engine;

typedef struct core {
    engine engine[E];
    uint64_t dispatch_at; /* next dispatch */
    uint64_t *dispatched; /* [n] time */
    xg_regs regs;
} core;

/* Times at which tokens of a pair were posted, oldest first. */
typedef struct times {
    uint64_t *v;
    uint32_t head, n, cap;
} times;

typedef struct sim {
    xg_arena *arena;
    xg_ctx *c;
    const xg_machine *m;
    const xg_family *f;
    const xg_segment *seg;
    xg_sim *s;
    xg_times *out;
    xg_replay r;
    core *core;
    times *token;  /* [cores][E][E] */
    times *signal; /* [cores], kept whole */
    uint64_t now;
    uint64_t moved_to; /* transfers have been advanced to here */
    uint32_t movers;
    uint32_t *mover;      /* core * E + engine of transfers, ascending */
    uint64_t *cap, *rate; /* [movers] */
    uint32_t *offset;     /* first span of a core */
} sim;

static void push_time(xg_arena *a, times *q, uint64_t t) {
    if (q->head && q->head == q->n) q->head = q->n = 0;
    if (q->n == q->cap) {
        uint32_t cap = q->cap ? q->cap * 2 : 8;
        uint64_t *v = xg_newn(a, uint64_t, cap);
        uint32_t live = q->n - q->head;
        if (live) memcpy(v, q->v + q->head, live * sizeof *v);
        q->v = v, q->cap = cap, q->head = 0, q->n = live;
    }
    q->v[q->n++] = t;
}

static times *token_times(sim *k, uint32_t c, uint32_t from, uint32_t to) {
    return &k->token[((size_t)c * E + from) * E + to];
}

/* ---- the shared DDR
 * ------------------------------------------------------------------------------------------- */

static engine *mover_at(sim *k, uint32_t i) {
    return &k->core[k->mover[i] / E].engine[k->mover[i] % E];
}

static void share(sim *k) {
    for (uint32_t i = 0; i < k->movers; i++) k->cap[i] = mover_at(k, i)->cap;
    xg_time_share(k->cap, k->movers, k->rate);
    for (uint32_t i = 0; i < k->movers; i++) mover_at(k, i)->rate = k->rate[i];
}

static void advance(sim *k) {
    uint64_t dt = k->now - k->moved_to;
    k->moved_to = k->now;
    if (k->movers && dt) k->out->ddr_busy_cycles += dt;
    for (uint32_t i = 0; dt && i < k->movers; i++) {
        engine *g = mover_at(k, i);
        uint64_t done = g->rate * dt;
        g->left = done < g->left ? g->left - done : 0;
    }
}

static uint64_t move_end(const sim *k, const engine *g) {
    uint64_t end = k->moved_to + (g->left + g->rate - 1) / g->rate;
    return end > g->until ? end : g->until;
}

static void begin_move(sim *k, uint32_t c, uint32_t e) {
    engine *g = &k->core[c].engine[e];
    uint64_t alone = g->cost.cycles - g->cost.ddr_setup;
    if (alone == 0) alone = 1;
    g->phase = MOVE, g->until = k->now + alone;
    g->left = xg_time_ddr_x65536(k->m, g->cost.ddr_bytes, g->cost.ddr_bursts);
    g->cap = xg_time_cap(g->left, alone);
    advance(k);
    uint32_t id = c * E + e, i = k->movers++;
    for (; i > 0 && k->mover[i - 1] > id; i--) k->mover[i] = k->mover[i - 1];
    k->mover[i] = id;
    share(k);
}

static void end_move(sim *k, uint32_t c, uint32_t e) {
    uint32_t id = c * E + e, n = 0;
    advance(k);
    for (uint32_t i = 0; i < k->movers; i++)
        if (k->mover[i] != id) k->mover[n++] = k->mover[i];
    k->movers = n;
    share(k);
}

/* ---- engines
 * -----------------------------------------------------------------------------------------------------
 */

static xg_engine_time *time_of(sim *k, uint32_t c, uint32_t e) {
    return &k->out->engine[c][e];
}

/* Why the engine stood still from when it could have started until now: the engine whose token, or
 * the core whose signal, came last. Before dispatch it was idle. */
static void blame(sim *k, uint32_t c, uint32_t e, const xg_inst *in) {
    engine *g = &k->core[c].engine[e];
    uint64_t ready = k->core[c].dispatched[g->inst], last = 0;
    uint64_t *who = NULL;
    if (ready < g->free_at) ready = g->free_at;
    for (uint32_t o = 0; in->wait >> o; o++) {
        if (!(in->wait >> o & 1)) continue;
        times *q = token_times(k, c, o, e);
        uint64_t t = q->v[q->head++];
        if (!who || t > last) who = &time_of(k, c, e)->wait[o], last = t;
    }
    if (in->op == k->f->op_await && in->f[0] > 0)
        for (uint32_t o = 0; o < k->seg->ncore; o++) {
            uint64_t t = k->signal[o].v[in->f[0] - 1];
            uint32_t signaller = k->f->inst[k->f->op_signal].engine;
            if (who && t <= last) continue;
            who = o == c ? &time_of(k, c, e)->wait[signaller] : &time_of(k, c, e)->core_wait;
            last = t;
        }
    if (who && k->now > ready) *who += k->now - ready;
}

static void start(sim *k, uint32_t c, uint32_t e) {
    engine *g = &k->core[c].engine[e];
    g->inst = xg_replay_start(&k->r, c, e);
    const xg_inst *in = &k->seg->core[c].inst[g->inst];
    blame(k, c, e, in);
    xg_regs_track(k->f, &k->core[c].regs, in);
    k->f->cost(k->m, &k->core[c].regs, in, &g->cost);
    g->start = k->now;
    if (g->cost.ddr_bytes) {
        g->phase = SETUP, g->until = k->now + g->cost.ddr_setup;
    } else {
        g->phase = BUSY, g->until = k->now + g->cost.cycles;
    }
    time_of(k, c, e)->instructions++;
    k->out->macs += g->cost.macs;
}

static void account(sim *k, uint32_t c, uint32_t e) {
    engine *g = &k->core[c].engine[e];
    xg_engine_time *t = time_of(k, c, e);
    uint64_t spent = k->now - g->start;
    t->busy += g->cost.cycles;
    if (!g->cost.ddr_bytes) return;
    if (spent > g->cost.cycles) t->ddr_wait += spent - g->cost.cycles;
    if (g->cost.ddr_write)
        k->out->ddr_write_bytes += g->cost.ddr_bytes;
    else
        k->out->ddr_read_bytes += g->cost.ddr_bytes;
}

/* Tokens go out, memory changes. */
static xg_status finish(sim *k, uint32_t c, uint32_t e) {
    engine *g = &k->core[c].engine[e];
    const xg_inst *in = &k->seg->core[c].inst[g->inst];
    xg_replay_finish(&k->r, c, e);
    for (uint32_t o = 0; in->post >> o; o++)
        if (in->post >> o & 1) push_time(k->arena, token_times(k, c, e, o), k->now);
    if (in->op == k->f->op_signal) push_time(k->arena, &k->signal[c], k->now);
    if (k->out->start) {
        k->out->start[k->offset[c] + g->inst] = g->start;
        k->out->end[k->offset[c] + g->inst] = k->now;
    }
    g->phase = IDLE, g->free_at = k->now;
    return k->s ? xg_sim_exec(k->c, k->s, c, g->inst, in) : XG_OK;
}

/* A finished instruction whose tokens find no room keeps its engine. */
static void charge_full_counter(sim *k, uint32_t c, uint32_t e) {
    engine *g = &k->core[c].engine[e];
    const xg_inst *in = &k->seg->core[c].inst[g->inst];
    if (k->now == g->until) return;
    for (uint32_t o = 0; o < k->f->nengine; o++)
        if (in->post >> o & 1) {
            time_of(k, c, e)->wait[o] += k->now - g->until;
            return;
        }
}

/* Takes every step of one engine that is due now. */
static xg_status step_engine(sim *k, uint32_t c, uint32_t e, bool *moved) {
    engine *g = &k->core[c].engine[e];
    if (g->phase == SETUP && g->until <= k->now) begin_move(k, c, e), *moved = true;
    if ((g->phase == BUSY && g->until <= k->now) ||
        (g->phase == MOVE && move_end(k, g) <= k->now)) {
        if (g->phase == MOVE) end_move(k, c, e);
        account(k, c, e);
        g->phase = POST, g->until = k->now, *moved = true;
    }
    if (g->phase == POST && xg_replay_can_finish(&k->r, c, e)) {
        charge_full_counter(k, c, e);
        *moved = true;
        xg_status st = finish(k, c, e);
        if (st != XG_OK) return st;
    }
    if (g->phase == IDLE && xg_replay_can_start(&k->r, c, e)) start(k, c, e), *moved = true;
    return XG_OK;
}

static bool dispatch(sim *k, uint32_t c) {
    core *o = &k->core[c];
    xg_replay_core *q = &k->r.core[c];
    bool moved = false;
    while (q->next < q->st->n && o->dispatch_at <= k->now) {
        xg_replay_engine *g = &q->engine[k->f->inst[q->st->inst[q->next].op].engine];
        if (g->dispatched - g->started >= k->r.queue_depth) break;
        o->dispatched[q->next] = k->now;
        o->dispatch_at = k->now + k->m->tile.dispatch;
        g->dispatched++, q->next++, moved = true;
    }
    return moved;
}

static xg_status settle(sim *k) {
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t c = 0; c < k->seg->ncore; c++) {
            moved |= dispatch(k, c);
            for (uint32_t e = 0; e < k->f->nengine; e++) {
                xg_status st = step_engine(k, c, e, &moved);
                if (st != XG_OK) return st;
            }
        }
    }
    return XG_OK;
}

/* The next cycle at which something is due; NEVER when all stands still. */
static uint64_t next_event(const sim *k) {
    uint64_t next = NEVER;
    for (uint32_t c = 0; c < k->seg->ncore; c++) {
        const core *o = &k->core[c];
        if (k->r.core[c].next < k->r.core[c].st->n && o->dispatch_at > k->now &&
            o->dispatch_at < next)
            next = o->dispatch_at;
        for (uint32_t e = 0; e < k->f->nengine; e++) {
            const engine *g = &o->engine[e];
            uint64_t t = g->phase == BUSY || g->phase == SETUP ? g->until
                         : g->phase == MOVE                    ? move_end(k, g)
                                                               : NEVER;
            if (t < next) next = t;
        }
    }
    return next;
}

static void prepare(sim *k, xg_arena *a, bool keep_spans) {
    uint32_t n = k->seg->ncore;
    uint64_t total = 0;
    k->core = xg_newn(k->arena, core, n);
    k->token = xg_newn(k->arena, times, (size_t)n * E * E);
    k->signal = xg_newn(k->arena, times, n);
    k->mover = xg_newn(k->arena, uint32_t, (size_t)n * E);
    k->cap = xg_newn(k->arena, uint64_t, (size_t)n * E);
    k->rate = xg_newn(k->arena, uint64_t, (size_t)n * E);
    k->offset = xg_newn(k->arena, uint32_t, n);
    for (uint32_t c = 0; c < n; c++) {
        k->core[c].dispatched = xg_newn(k->arena, uint64_t, k->seg->core[c].n);
        k->offset[c] = (uint32_t)total;
        total += k->seg->core[c].n;
    }
    memset(k->out, 0, sizeof *k->out);
    k->out->engine = xg_alloc_array(a, n, sizeof *k->out->engine);
    if (keep_spans)
        k->out->start = xg_newn(a, uint64_t, total), k->out->end = xg_newn(a, uint64_t, total);
}

/* What is neither work nor a wait for somebody is idle time. */
static void close_accounts(sim *k) {
    k->out->cycles = k->now;
    for (uint32_t c = 0; c < k->seg->ncore; c++)
        for (uint32_t e = 0; e < k->f->nengine; e++) {
            xg_engine_time *t = time_of(k, c, e);
            uint64_t used = t->busy + t->core_wait + t->ddr_wait;
            for (uint32_t o = 0; o < k->f->nengine; o++) used += t->wait[o];
            t->idle = k->now > used ? k->now - used : 0;
        }
}

static xg_status simulate(sim *k) {
    for (;;) {
        xg_status st = settle(k);
        if (st != XG_OK) return st;
        uint64_t next = next_event(k);
        if (next == NEVER) break;
        k->now = next;
    }
    if (!xg_replay_drained(&k->r)) return xg_replay_stuck(k->c, &k->r);
    close_accounts(k);
    return XG_OK;
}

xg_status xg_sim_time(xg_arena *a, const xg_machine *m, const xg_segment *seg, xg_sim *s,
                      bool keep_spans, xg_times *out) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_arena *scratch = xg_arena_new(c);
    sim k = {.arena = scratch, .c = c, .m = m, .f = m->family, .seg = seg, .s = s, .out = out};
    xg_status st = xg_replay_init(scratch, m, seg, true, &k.r);
    if (st == XG_OK) {
        prepare(&k, a, keep_spans);
        if (s) xg_sim_begin(s);
        st = simulate(&k);
    }
    xg_arena_free(scratch);
    return st;
}
