#include "isa/sim_state.h"

#include "isa/replay.h"

#include <string.h>

/* Content of on-chip memory before the first write: differs from byte to byte and is not zero for
 * long. */
static void fill_pattern(uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(i * 167 + (i >> 8) * 13 + 89);
}

static void core_init(xg_arena *a, const xg_machine *m, xg_state *s) {
    s->machine = m;
    for (uint8_t i = 1; i < m->family->nmem; i++) {
        xg_mem_desc d;
        m->family->mem_desc(m, i, &d);
        s->mem_bytes[i] = (uint64_t)d.banks * d.depth * d.word_bytes;
        s->mem[i] = xg_alloc(a, s->mem_bytes[i]);
        fill_pattern(s->mem[i], s->mem_bytes[i]);
    }
    m->family->state_init(a, s);
}

xg_status xg_sim_new(xg_arena *a, const xg_machine *m, const uint64_t region_bytes[XG_REGIONS],
                     xg_sim **out) {
    uint64_t total = 0;
    for (int r = 0; r < XG_REGIONS; r++) {
        if (region_bytes[r] > m->ddr.bytes || (total += region_bytes[r]) > m->ddr.bytes)
            return xg_error(xg_arena_ctx(a), XG_LIMIT, "",
                            "DDR regions need more than the %llu bytes of machine '%s'",
                            (unsigned long long)m->ddr.bytes, m->name ? m->name : "");
    }
    xg_sim *s = xg_new(a, xg_sim);
    s->machine = m, s->ncore = m->cores;
    s->core = xg_newn(a, xg_state, m->cores);
    for (int r = 0; r < XG_REGIONS; r++) {
        uint8_t *p = xg_alloc(a, region_bytes[r]);
        for (uint32_t c = 0; c < m->cores; c++)
            s->core[c].ddr[r] = p, s->core[c].ddr_bytes[r] = region_bytes[r];
    }
    for (uint32_t c = 0; c < m->cores; c++) core_init(a, m, &s->core[c]);
    *out = s;
    return XG_OK;
}

uint8_t *xg_sim_ddr(xg_sim *s, xg_region r, uint64_t *bytes) {
    if (bytes) *bytes = s->core[0].ddr_bytes[r];
    return s->core[0].ddr[r];
}

const xg_state *xg_sim_core(const xg_sim *s, uint32_t core) {
    return &s->core[core];
}

void xg_sim_begin(xg_sim *s) {
    for (uint32_t c = 0; c < s->ncore; c++) memset(&s->core[c].regs, 0, sizeof s->core[c].regs);
}

xg_status xg_sim_exec(xg_ctx *c, xg_sim *s, uint32_t core, uint32_t index, const xg_inst *in) {
    const xg_family *f = s->machine->family;
    const char *why = f->exec(&s->core[core], in);
    if (!why) return XG_OK;
    const char *where = xg_strf(xg_ctx_arena(c), "core %u instruction %u (%s)", core, index,
                                f->inst[in->op].mnemonic);
    return xg_error(c, XG_INPUT, where, "%s", why);
}

typedef struct run {
    xg_arena *arena;
    xg_ctx *c;
    xg_sim *s;
    const xg_sim_options *o;
    xg_replay r;
} run;

static xg_status execute(run *k, uint32_t core, uint32_t engine) {
    uint32_t i = xg_replay_start(&k->r, core, engine);
    const xg_inst *in = &k->r.core[core].st->inst[i];
    xg_status st = xg_sim_exec(k->c, k->s, core, i, in);
    xg_replay_finish(&k->r, core, engine);
    if (st == XG_OK && k->o->hook) st = k->o->hook(k->o->hook_arg, k->s, core, i, in);
    return st;
}

/* The engine whose next instruction comes first in the stream; with `ready`, among those that can
 * start. */
static uint32_t first_engine(const xg_replay *r, uint32_t core, bool ready) {
    uint32_t best = XG_NONE, engine = XG_NONE;
    for (uint32_t e = 0; e < r->f->nengine; e++) {
        uint32_t i = xg_replay_head(r, core, e);
        if (i >= best || (ready && !xg_replay_can_start(r, core, e))) continue;
        best = i, engine = e;
    }
    return engine;
}

/* Cores in turn, each in the order of its stream until an instruction cannot start. Only when all
 * cores stand still, an instruction behind the blocked one may go first: hand-written streams need
 * not be serial programs. */
static xg_status run_in_order(run *k) {
    for (;;) {
        bool moved = false;
        for (uint32_t c = 0; c < k->r.ncore; c++) {
            uint32_t e;
            while ((e = first_engine(&k->r, c, false)) != XG_NONE &&
                   xg_replay_can_start(&k->r, c, e)) {
                xg_status st = execute(k, c, e);
                if (st != XG_OK) return st;
                moved = true;
            }
        }
        for (uint32_t c = 0; !moved && c < k->r.ncore; c++) {
            uint32_t e = first_engine(&k->r, c, true);
            if (e == XG_NONE) continue;
            xg_status st = execute(k, c, e);
            if (st != XG_OK) return st;
            moved = true;
        }
        if (!moved) return XG_OK;
    }
}

static xg_status run_shuffled(run *k) {
    uint64_t seed = k->o->seed;
    uint32_t engines = k->r.f->nengine, all = k->r.ncore * engines;
    uint32_t *ready = xg_newn(k->arena, uint32_t, all);
    for (;;) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < all; i++)
            if (xg_replay_can_start(&k->r, i / engines, i % engines)) ready[n++] = i;
        if (n == 0) return XG_OK;
        uint32_t pick = ready[xg_random(&seed) % n];
        xg_status st = execute(k, pick / engines, pick % engines);
        if (st != XG_OK) return st;
    }
}

xg_status xg_sim_run(xg_ctx *c, xg_sim *s, const xg_segment *seg, const xg_sim_options *o) {
    static const xg_sim_options plain;
    xg_arena *a = xg_arena_new(c);
    run k = {.arena = a, .c = c, .s = s, .o = o ? o : &plain};
    xg_status st = xg_replay_init(a, s->machine, seg, false, &k.r);
    if (st == XG_OK) {
        xg_sim_begin(s);
        st = k.o->shuffle ? run_shuffled(&k) : run_in_order(&k);
        if (st == XG_OK && !xg_replay_drained(&k.r)) st = xg_replay_stuck(c, &k.r);
    }
    xg_arena_free(a);
    return st;
}
