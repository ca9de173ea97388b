#include "isa/replay.h"

const char *xg_replay_where(xg_arena *a, const xg_replay *r, uint32_t core, uint32_t index) {
    const xg_inst *in = &r->core[core].st->inst[index];
    return xg_strf(a, "core %u instruction %u (%s)", core, index,
                   in->op < r->f->ninst ? r->f->inst[in->op].mnemonic : "?");
}

static xg_status check_masks(xg_arena *a, const xg_replay *r, uint32_t core) {
    xg_ctx *c = xg_arena_ctx(a);
    const xg_stream *st = r->core[core].st;
    uint32_t all = (1u << r->f->nengine) - 1;
    for (uint32_t i = 0; i < st->n; i++) {
        const xg_inst *in = &st->inst[i];
        if (in->op >= r->f->ninst)
            return xg_error(c, XG_INPUT, xg_replay_where(a, r, core, i),
                            "opcode row %u does not exist", in->op);
        uint32_t own = 1u << r->f->inst[in->op].engine, masks = in->wait | in->post;
        if (masks & ~all)
            return xg_error(c, XG_INPUT, xg_replay_where(a, r, core, i),
                            "wait or post names an engine that does not exist (masks 0x%x, 0x%x)",
                            in->wait, in->post);
        if (masks & own)
            return xg_error(c, XG_INPUT, xg_replay_where(a, r, core, i),
                            "wait or post names its own engine %s",
                            r->f->engine_names[r->f->inst[in->op].engine]);
    }
    return XG_OK;
}

/* The streams, split by engine. */
static void split(xg_arena *a, const xg_replay *r, xg_replay_core *k) {
    const xg_stream *st = k->st;
    for (uint32_t i = 0; i < st->n; i++) k->engine[r->f->inst[st->inst[i].op].engine].n++;
    for (uint32_t e = 0; e < r->f->nengine; e++) {
        k->engine[e].list = xg_newn(a, uint32_t, k->engine[e].n);
        k->engine[e].n = 0;
    }
    for (uint32_t i = 0; i < st->n; i++) {
        xg_replay_engine *g = &k->engine[r->f->inst[st->inst[i].op].engine];
        g->list[g->n++] = i;
    }
    if (r->queue_depth != UINT32_MAX) return;
    k->next = st->n;
    for (uint32_t e = 0; e < r->f->nengine; e++) k->engine[e].dispatched = k->engine[e].n;
}

xg_status xg_replay_init(xg_arena *a, const xg_machine *m, const xg_segment *seg, bool bounded,
                         xg_replay *out) {
    *out = (xg_replay){m, m->family, seg->ncore, UINT32_MAX, UINT32_MAX, NULL};
    if (seg->ncore > m->cores)
        return xg_error(xg_arena_ctx(a), XG_INPUT, "segment", "%u cores, machine '%s' has %u",
                        seg->ncore, m->name ? m->name : "", m->cores);
    if (bounded) {
        out->queue_depth = m->tile.queue_depth ? m->tile.queue_depth : 1;
        out->token_max = m->tile.token_max ? m->tile.token_max : 1;
    }
    out->core = xg_newn(a, xg_replay_core, seg->ncore);
    for (uint32_t c = 0; c < seg->ncore; c++) {
        out->core[c].st = &seg->core[c];
        xg_status st = check_masks(a, out, c);
        if (st != XG_OK) return st;
        split(a, out, &out->core[c]);
    }
    return XG_OK;
}

static const xg_inst *inst_at(const xg_replay_core *k, const xg_replay_engine *g, uint32_t i) {
    return &k->st->inst[g->list[i]];
}

/* The first core that has not signalled as often as an AWAIT asks, or XG_NONE. */
static uint32_t missing_core(const xg_replay *r, const xg_inst *in) {
    for (uint32_t c = 0; c < r->ncore; c++)
        if ((int64_t)r->core[c].signals < in->f[0]) return c;
    return XG_NONE;
}

bool xg_replay_can_start(const xg_replay *r, uint32_t core, uint32_t engine) {
    const xg_replay_core *k = &r->core[core];
    const xg_replay_engine *g = &k->engine[engine];
    if (g->started > g->done || g->started >= g->dispatched) return false;
    const xg_inst *in = inst_at(k, g, g->started);
    for (uint32_t e = 0; in->wait >> e; e++)
        if ((in->wait >> e & 1) && k->tokens[e][engine] == 0) return false;
    return in->op != r->f->op_await || missing_core(r, in) == XG_NONE;
}

uint32_t xg_replay_start(xg_replay *r, uint32_t core, uint32_t engine) {
    xg_replay_core *k = &r->core[core];
    xg_replay_engine *g = &k->engine[engine];
    const xg_inst *in = inst_at(k, g, g->started);
    for (uint32_t e = 0; in->wait >> e; e++)
        if (in->wait >> e & 1) k->tokens[e][engine]--;
    return g->list[g->started++];
}

bool xg_replay_can_finish(const xg_replay *r, uint32_t core, uint32_t engine) {
    const xg_replay_core *k = &r->core[core];
    const xg_replay_engine *g = &k->engine[engine];
    if (g->started == g->done) return false;
    const xg_inst *in = inst_at(k, g, g->done);
    for (uint32_t e = 0; in->post >> e; e++)
        if ((in->post >> e & 1) && k->tokens[engine][e] >= r->token_max) return false;
    return true;
}

uint32_t xg_replay_finish(xg_replay *r, uint32_t core, uint32_t engine) {
    xg_replay_core *k = &r->core[core];
    xg_replay_engine *g = &k->engine[engine];
    const xg_inst *in = inst_at(k, g, g->done);
    for (uint32_t e = 0; in->post >> e; e++)
        if (in->post >> e & 1) k->tokens[engine][e]++;
    if (in->op == r->f->op_signal) k->signals++;
    return g->list[g->done++];
}

bool xg_replay_dispatch(xg_replay *r, uint32_t core) {
    xg_replay_core *k = &r->core[core];
    bool moved = false;
    while (k->next < k->st->n) {
        xg_replay_engine *g = &k->engine[r->f->inst[k->st->inst[k->next].op].engine];
        if (g->dispatched - g->started >= r->queue_depth) break;
        g->dispatched++, k->next++;
        moved = true;
    }
    return moved;
}

uint32_t xg_replay_head(const xg_replay *r, uint32_t core, uint32_t engine) {
    const xg_replay_engine *g = &r->core[core].engine[engine];
    return g->done < g->n ? g->list[g->done] : XG_NONE;
}

bool xg_replay_drained(const xg_replay *r) {
    for (uint32_t c = 0; c < r->ncore; c++)
        for (uint32_t e = 0; e < r->f->nengine; e++)
            if (xg_replay_head(r, c, e) != XG_NONE) return false;
    return true;
}

static void stuck_engine(xg_ctx *c, xg_arena *a, const xg_replay *r, uint32_t core, uint32_t e) {
    const xg_replay_core *k = &r->core[core];
    const xg_replay_engine *g = &k->engine[e];
    uint32_t i = g->list[g->done];
    const xg_inst *in = &k->st->inst[i];
    xg_buf why = {.arena = a};
    if (g->started > g->done) {
        for (uint32_t o = 0; in->post >> o; o++)
            if ((in->post >> o & 1) && k->tokens[e][o] >= r->token_max)
                xg_putf(&why, " room for its token to %s (%u, the most, are there)",
                        r->f->engine_names[o], r->token_max);
    } else if (g->dispatched == g->done) {
        uint32_t blocked = k->next;
        xg_putf(&why, " dispatch: instruction %u finds the queue of %s full", blocked,
                r->f->engine_names[r->f->inst[k->st->inst[blocked].op].engine]);
    } else {
        for (uint32_t o = 0; in->wait >> o; o++)
            if ((in->wait >> o & 1) && k->tokens[o][e] == 0)
                xg_putf(&why, " a token from %s", r->f->engine_names[o]);
        uint32_t m = in->op == r->f->op_await ? missing_core(r, in) : XG_NONE;
        if (m != XG_NONE)
            xg_putf(&why, " signal %d of core %u, which has sent %u", in->f[0], m,
                    r->core[m].signals);
    }
    (void)xg_error(c, XG_INPUT, xg_replay_where(a, r, core, i), "deadlock: engine %s waits for%s",
                   r->f->engine_names[e], why.p ? why.p : " nothing");
}

xg_status xg_replay_stuck(xg_ctx *c, const xg_replay *r) {
    xg_arena *a = xg_ctx_arena(c);
    uint32_t said = 0;
    for (uint32_t k = 0; k < r->ncore; k++)
        for (uint32_t e = 0; e < r->f->nengine && said < 20; e++)
            if (xg_replay_head(r, k, e) != XG_NONE) stuck_engine(c, a, r, k, e), said++;
    return XG_INPUT;
}
