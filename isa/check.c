#include "isa/hazard.h"
#include "isa/replay.h"

#include <stdio.h>
#include <string.h>

/* Two parts. Statically, in stream order: operands, DDR bounds, END, balance of tokens and
 * barriers. Then the queues are replayed once, eagerly, with vector clocks over all engines of all
 * cores. Whether a replay drains does not depend on its order (a counter or queue has one producer
 * and one consumer, so what may happen stays possible until it does), and two conflicting accesses
 * are ordered in every run exactly when the clocks say so in this one. */

enum { E = XG_ENGINES_MAX, FAULTS_MAX = 20 };

/* Clocks of posted tokens not taken yet, oldest first. */
typedef struct fifo {
    uint32_t *v;
    uint32_t head, n, cap;
} fifo;

typedef struct checker {
    xg_arena *arena; /* scratch */
    xg_ctx *c;
    const xg_machine *m;
    const xg_family *f;
    const xg_segment *seg;
    const uint64_t *region_bytes;
    xg_replay r;
    uint32_t faults;
    uint32_t slots;             /* cores x engines */
    uint32_t *clock;            /* [slots][slots] */
    xg_regs *regs;              /* [cores] */
    xg_hazards *chip;           /* [cores], a slot an engine */
    xg_hazards ddr;             /* all slots */
    fifo *token;                /* [cores][E][E] */
    fifo *signal;               /* [cores] */
    uint32_t core, index, slot; /* current instruction */
    bool told;                  /* it has a fault already */
    bool write;
    uint8_t mem;
    uint8_t region;
} checker;

static void fault(checker *k, uint32_t core, uint32_t index, const char *fmt, ...) XG_PRINTF(4, 5);
static void fault(checker *k, uint32_t core, uint32_t index, const char *fmt, ...) {
    if (k->faults++ >= FAULTS_MAX) return;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *where = index == XG_NONE ? xg_strf(k->arena, "core %u", core)
                                         : xg_replay_where(k->arena, &k->r, core, index);
    (void)xg_error(k->c, XG_INPUT, where, "%s", text);
}

/* ---- static part
 * ---------------------------------------------------------------------------------------- */

static void check_ddr(void *arg, const xg_access *x) {
    checker *k = arg;
    if (x->mem != 0 || k->told) return;
    uint64_t end =
        x->addr + (uint64_t)(x->rows - 1) * x->row_step + (uint64_t)(x->count - 1) * x->step + 1;
    if (x->write && x->region == XG_REG_CONST) {
        k->told = true;
        fault(k, k->core, k->index, "writes to the constants' region");
    } else if (end > k->region_bytes[x->region]) {
        k->told = true;
        fault(k, k->core, k->index, "touches bytes up to %llu of DDR region %u, which has %llu",
              (unsigned long long)end, x->region, (unsigned long long)k->region_bytes[x->region]);
    }
}

static void check_balance(checker *k, uint32_t core) {
    const xg_stream *st = &k->seg->core[core];
    uint32_t post[E][E] = {{0}}, wait[E][E] = {{0}};
    for (uint32_t i = 0; i < st->n; i++) {
        const xg_inst *in = &st->inst[i];
        uint32_t own = k->f->inst[in->op].engine;
        for (uint32_t e = 0; e < k->f->nengine; e++) {
            post[own][e] += in->post >> e & 1;
            wait[e][own] += in->wait >> e & 1;
        }
    }
    for (uint32_t p = 0; p < k->f->nengine; p++)
        for (uint32_t w = 0; w < k->f->nengine; w++)
            if (post[p][w] != wait[p][w])
                fault(k, core, XG_NONE,
                      "tokens from %s to %s do not balance: %u posted, %u waited for",
                      k->f->engine_names[p], k->f->engine_names[w], post[p][w], wait[p][w]);
}

static uint32_t count_op(const xg_stream *st, uint8_t op) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < st->n; i++) n += st->inst[i].op == op;
    return n;
}

/* Every AWAIT asks for no more signals than every core sends. */
static void check_barriers(checker *k, uint32_t core) {
    const xg_stream *st = &k->seg->core[core];
    int64_t most = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < st->n; i++)
        if (st->inst[i].op == k->f->op_await && st->inst[i].f[0] > most)
            most = st->inst[i].f[0], at = i;
    for (uint32_t c = 0; most > 0 && c < k->seg->ncore; c++) {
        uint32_t sent = count_op(&k->seg->core[c], k->f->op_signal);
        if (sent < most)
            fault(k, core, at, "waits for %lld signals, core %u sends %u", (long long)most, c,
                  sent);
    }
}

static void check_stream(checker *k, uint32_t core) {
    const xg_stream *st = &k->seg->core[core];
    xg_regs *regs = &k->regs[core];
    k->core = core;
    for (uint32_t i = 0; i < st->n; i++) {
        const xg_inst *in = &st->inst[i];
        const char *why = k->f->check(k->arena, k->m, regs, in);
        k->index = i, k->told = why != NULL;
        if (why) fault(k, core, i, "%s", why);
        xg_regs_track(k->f, regs, in);
        if (!why) k->f->access(k->m, regs, in, check_ddr, k);
        if (in->op == k->f->op_end && i + 1 < st->n)
            fault(k, core, i, "instructions follow the end");
    }
    if (st->n && st->inst[st->n - 1].op != k->f->op_end)
        fault(k, core, st->n - 1, "the stream does not finish with an end");
    check_balance(k, core);
    check_barriers(k, core);
}

/* ---- replay with clocks
 * ------------------------------------------------------------------------------------ */

static uint32_t *clock_of(const checker *k, uint32_t slot) {
    return &k->clock[(size_t)slot * k->slots];
}

static void join(checker *k, uint32_t slot, const uint32_t *from) {
    uint32_t *c = clock_of(k, slot);
    for (uint32_t i = 0; i < k->slots; i++)
        if (c[i] < from[i]) c[i] = from[i];
}

static void fifo_push(checker *k, fifo *q, const uint32_t *clock) {
    if (q->head && q->head == q->n) q->head = q->n = 0;
    if (q->n == q->cap) {
        uint32_t cap = q->cap ? q->cap * 2 : 4;
        uint32_t *v = xg_alloc_array(k->arena, (size_t)cap * k->slots, sizeof *v);
        uint32_t live = q->n - q->head;
        if (live) memcpy(v, q->v + (size_t)q->head * k->slots, (size_t)live * k->slots * sizeof *v);
        q->v = v, q->cap = cap, q->head = 0, q->n = live;
    }
    memcpy(q->v + (size_t)q->n++ * k->slots, clock, k->slots * sizeof *clock);
}

static fifo *token_fifo(checker *k, uint32_t core, uint32_t from, uint32_t to) {
    return &k->token[((size_t)core * E + from) * E + to];
}

static void tell_race(checker *k, uint32_t slot, uint32_t seq, bool other_writes, uint64_t unit) {
    uint32_t nengine = k->f->nengine, core = slot / nengine;
    uint32_t other = k->r.core[core].engine[slot % nengine].list[seq - 1];
    const char *what =
        xg_strf(k->arena, "%s, which core %u instruction %u (%s) %s", k->write ? "writes" : "reads",
                core, other, k->f->inst[k->r.core[core].st->inst[other].op].mnemonic,
                other_writes ? "writes" : "reads");
    k->told = true;
    if (k->mem == 0) {
        fault(k, k->core, k->index, "race: byte %llu of DDR region %u: %s, with no %s between them",
              (unsigned long long)unit, k->region, what,
              core == k->core ? "tokens" : "signal and await");
        return;
    }
    xg_mem_desc d;
    k->f->mem_desc(k->m, k->mem, &d);
    fault(k, k->core, k->index,
          "race: %s memory bank %llu word %llu: %s, with no tokens between them", d.name,
          (unsigned long long)(unit / d.depth), (unsigned long long)(unit % d.depth), what);
}

/* Slots of on-chip maps are the engines of their core. */
static void meet(void *arg, const xg_touch *t, uint64_t unit) {
    checker *k = arg;
    if (k->told) return;
    uint32_t base = k->mem ? k->core * k->f->nengine : 0, n = k->mem ? k->f->nengine : k->slots;
    const uint32_t *known = clock_of(k, k->slot);
    if (t->write_seq == 0) {
        if (k->mem && !k->write) {
            xg_mem_desc d;
            k->f->mem_desc(k->m, k->mem, &d);
            k->told = true;
            fault(k, k->core, k->index,
                  "reads %s memory bank %llu word %llu, which nothing has written", d.name,
                  (unsigned long long)(unit / d.depth), (unsigned long long)(unit % d.depth));
            return;
        }
    } else if (known[base + t->write_slot] < t->write_seq) {
        tell_race(k, base + t->write_slot, t->write_seq, true, unit);
        return;
    }
    for (uint32_t s = 0; k->write && s < n; s++)
        if (known[base + s] < t->read[s]) {
            tell_race(k, base + s, t->read[s], false, unit);
            return;
        }
}

static void touch(void *arg, const xg_access *x) {
    checker *k = arg;
    if (x->mem == 0 && x->region == XG_REG_CONST) return; /* nobody writes there */
    k->write = x->write, k->mem = x->mem, k->region = x->region;
    uint32_t seq = clock_of(k, k->slot)[k->slot];
    if (x->mem)
        xg_hazards_touch(&k->chip[k->core], x, k->slot - k->core * k->f->nengine, seq, meet, k);
    else
        xg_hazards_touch(&k->ddr, x, k->slot, seq, meet, k);
}

static void start(checker *k, uint32_t core, uint32_t engine) {
    uint32_t i = xg_replay_start(&k->r, core, engine), slot = core * k->f->nengine + engine;
    const xg_inst *in = &k->seg->core[core].inst[i];
    k->core = core, k->index = i, k->slot = slot, k->told = false;
    for (uint32_t e = 0; in->wait >> e; e++) {
        if (!(in->wait >> e & 1)) continue;
        fifo *q = token_fifo(k, core, e, engine);
        join(k, slot, q->v + (size_t)q->head++ * k->slots);
    }
    if (in->op == k->f->op_await && in->f[0] > 0)
        for (uint32_t c = 0; c < k->seg->ncore; c++)
            join(k, slot, k->signal[c].v + (size_t)(in->f[0] - 1) * k->slots);
    clock_of(k, slot)[slot]++;
    xg_regs_track(k->f, &k->regs[core], in);
    k->f->access(k->m, &k->regs[core], in, touch, k);
}

static void finish(checker *k, uint32_t core, uint32_t engine) {
    uint32_t i = xg_replay_finish(&k->r, core, engine), slot = core * k->f->nengine + engine;
    const xg_inst *in = &k->seg->core[core].inst[i];
    for (uint32_t e = 0; in->post >> e; e++)
        if (in->post >> e & 1) fifo_push(k, token_fifo(k, core, engine, e), clock_of(k, slot));
    if (in->op == k->f->op_signal) fifo_push(k, &k->signal[core], clock_of(k, slot));
}

static void replay(checker *k) {
    bool moved = true;
    while (moved && k->faults < FAULTS_MAX) {
        moved = false;
        for (uint32_t c = 0; c < k->r.ncore; c++) {
            moved |= xg_replay_dispatch(&k->r, c);
            for (uint32_t e = 0; e < k->f->nengine; e++) {
                if (xg_replay_can_start(&k->r, c, e)) start(k, c, e), moved = true;
                if (xg_replay_can_finish(&k->r, c, e)) finish(k, c, e), moved = true;
            }
        }
    }
    if (!moved && !xg_replay_drained(&k->r)) k->faults++, (void)xg_replay_stuck(k->c, &k->r);
}

static void prepare(checker *k) {
    uint32_t n = k->seg->ncore;
    k->slots = n * k->f->nengine;
    k->clock = xg_alloc_array(k->arena, (size_t)k->slots * k->slots + 1, sizeof *k->clock);
    k->chip = xg_newn(k->arena, xg_hazards, n);
    for (uint32_t c = 0; c < n; c++) xg_hazards_init(&k->chip[c], k->arena, k->m, k->f->nengine);
    xg_hazards_init(&k->ddr, k->arena, k->m, k->slots);
    k->token = xg_newn(k->arena, fifo, (size_t)n * E * E);
    k->signal = xg_newn(k->arena, fifo, n);
    memset(k->regs, 0, n * sizeof *k->regs);
}

xg_status xg_program_check(xg_arena *a, const xg_machine *m, const xg_segment *seg,
                           const uint64_t region_bytes[XG_REGIONS]) {
    checker k = {
        .c = xg_arena_ctx(a), .m = m, .f = m->family, .seg = seg, .region_bytes = region_bytes};
    k.arena = xg_arena_new(k.c);
    k.regs = xg_newn(k.arena, xg_regs, seg->ncore);
    xg_status st = xg_replay_init(k.arena, m, seg, true, &k.r);
    for (uint32_t c = 0; st == XG_OK && c < seg->ncore && k.faults < FAULTS_MAX; c++)
        check_stream(&k, c);
    if (st == XG_OK && k.faults == 0) {
        prepare(&k);
        replay(&k);
    }
    xg_arena_free(k.arena);
    return st != XG_OK ? st : k.faults ? XG_INPUT : XG_OK;
}
