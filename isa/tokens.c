#include "isa/hazard.h"
#include "isa/sim.h"

#include <string.h>

/* One walk in program order with vector clocks. clock[e][f] is the last instruction of engine f
 * that is known to be finished before the next instruction of e starts. An instruction that
 * conflicts with a later one of f than that waits for a token which this latest one posts; its
 * engine then knows all that the poster knew. A wait that another wait of the same instruction
 * brings along is left out. Pairs are matched first to first, because the posters of a pair rise
 * with its waiters. */

enum { E = XG_ENGINES_MAX };

typedef struct pair {
    uint32_t post, wait; /* indices in the stream */
} pair;
typedef XG_VEC(pair) pairs;
typedef XG_VEC(uint32_t) indices;

typedef struct walk {
    xg_arena *arena; /* scratch */
    const xg_machine *m;
    const xg_family *f;
    xg_stream *st;
    xg_regs regs;
    xg_hazards mem;
    uint32_t clock[E][E];
    uint32_t *known;  /* [n][nengine]: clock of an instruction's engine when it has finished */
    indices list[E];  /* stream index of the engine's instruction number i + 1 */
    indices signals;  /* stream indices */
    pairs pair[E][E]; /* [poster][waiter] */
    uint32_t need[E]; /* of the current instruction */
    uint32_t await;   /* number of the last AWAIT in its engine, 0 = none */
    uint32_t
        shared[E]; /* last instruction of each engine that touched DDR which others may write */
    uint32_t engine, seq; /* current */
    bool touches_shared;
} walk;

static void raise(uint32_t *v, uint32_t to) {
    if (*v < to) *v = to;
}

static void touch(void *arg, const xg_access *x) {
    walk *w = arg;
    if (x->echo || (x->mem == 0 && x->region == XG_REG_CONST && !x->write)) return;
    if (x->mem == 0) w->touches_shared = true;
    xg_hazards_need(&w->mem, x, w->engine, w->seq, w->need);
}

static void join(walk *w, uint32_t engine, uint32_t instruction) {
    const uint32_t *k = &w->known[(size_t)instruction * w->f->nengine];
    for (uint32_t s = 0; s < w->f->nengine; s++) raise(&w->clock[engine][s], k[s]);
}

static uint32_t nth(const walk *w, uint32_t engine, uint32_t seq) {
    return w->list[engine].v[seq - 1];
}

/* A pair's counter may hold token_max at most: at the point of post j, so many of the pair's waits
 * lie behind j. When one more would be too many, the pair's latest wait takes this later post
 * instead of its own (it also lies behind j), which this engine then knows from there on. */
static void add_pair(walk *w, uint32_t from, uint32_t j, uint32_t i) {
    pairs *p = &w->pair[from][w->engine];
    uint32_t max = w->m->tile.token_max ? w->m->tile.token_max : 1;
    xg_inst *inst = w->st->inst;
    if (p->n >= max && p->v[p->n - max].wait > j) {
        pair *last = &p->v[p->n - 1];
        inst[last->post].post &= (uint8_t) ~(1u << w->engine);
        last->post = j;
    } else {
        xg_push(w->arena, p, (pair){j, i});
        inst[i].wait |= (uint8_t)(1u << from);
    }
    inst[j].post |= (uint8_t)(1u << w->engine);
    join(w, w->engine, j);
}

/* Leaves in need[] what is neither known nor brought along by another need. */
static void reduce(walk *w) {
    uint32_t n = w->f->nengine;
    for (uint32_t s = 0; s < n; s++)
        if (s == w->engine || w->need[s] <= w->clock[w->engine][s]) w->need[s] = 0;
    for (uint32_t s = 0; s < n; s++)
        for (uint32_t o = 0; w->need[s] && o < n; o++) {
            if (o == s || !w->need[o]) continue;
            if (w->known[(size_t)nth(w, o, w->need[o]) * n + s] >= w->need[s]) w->need[s] = 0;
        }
}

static xg_status barrier(walk *w, const xg_inst *in, uint32_t i) {
    uint32_t await_engine = w->f->inst[w->f->op_await].engine;
    if (in->op == w->f->op_signal) {
        for (uint32_t s = 0; s < w->f->nengine; s++) raise(&w->need[s], w->shared[s]);
        xg_push(w->arena, &w->signals, i);
    } else if (in->op == w->f->op_await) {
        uint32_t count = (uint32_t)in->f[0];
        if (count > w->signals.n)
            return xg_error(
                xg_arena_ctx(w->arena), XG_INPUT, "tokens",
                "instruction %u waits for %u signals of each core, this core sends %u before it", i,
                count, w->signals.n);
        if (count) join(w, w->engine, w->signals.v[count - 1]);
        w->await = w->seq;
    }
    if (w->touches_shared) raise(&w->need[await_engine], w->await);
    return XG_OK;
}

static xg_status step(walk *w, uint32_t i) {
    xg_inst *in = &w->st->inst[i];
    uint32_t n = w->f->nengine, e = w->f->inst[in->op].engine;
    xg_push(w->arena, &w->list[e], i);
    w->engine = e, w->seq = w->list[e].n, w->touches_shared = false;
    memset(w->need, 0, sizeof w->need);
    xg_regs_track(w->f, &w->regs, in);
    w->f->access(w->m, &w->regs, in, touch, w);
    xg_status st = barrier(w, in, i);
    if (st != XG_OK) return st;
    if (w->touches_shared) w->shared[e] = w->seq;
    reduce(w);
    for (uint32_t s = 0; s < n; s++)
        if (w->need[s]) add_pair(w, s, nth(w, s, w->need[s]), i);
    w->clock[e][e] = w->seq;
    memcpy(&w->known[(size_t)i * n], w->clock[e], n * sizeof(uint32_t));
    return XG_OK;
}

static xg_status run(walk *w) {
    xg_ctx *c = xg_arena_ctx(w->arena);
    for (uint32_t i = 0; i < w->st->n; i++) {
        xg_inst *in = &w->st->inst[i];
        in->wait = in->post = 0;
        const char *why = in->op < w->f->ninst ? w->f->check(w->arena, w->m, &w->regs, in)
                                               : "unknown instruction";
        if (why) return xg_error(c, XG_INPUT, xg_strf(w->arena, "instruction %u", i), "%s", why);
        xg_status st = step(w, i);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

xg_status xg_add_tokens(xg_arena *a, const xg_machine *m, xg_stream *st) {
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(a));
    walk *w = xg_new(scratch, walk);
    w->arena = scratch, w->m = m, w->f = m->family, w->st = st;
    w->known = xg_alloc_array(scratch, (size_t)st->n + 1, m->family->nengine * sizeof(uint32_t));
    xg_hazards_init(&w->mem, scratch, m, m->family->nengine);
    xg_status result = run(w);
    xg_arena_free(scratch);
    return result;
}
