/* Groups in order -> steps and segments; for each group its tasks on every core and the addresses
 * of its buffers. A group whose buffers do not fit gets smaller tiles until they do. */
#include "layout/plan_types.h"

#include "fusion/choose.h"
#include "isa/encoding.h"
#include "isa/tile.h"
#include "layout/clock.h"
#include "layout/order.h"

#include <string.h>

enum {
    REFINE_CYCLES = 4096,
    REFINE_STEPS = 4,
    REFINE_TASKS = 1000000 /* a plan's neighbours have no more together; then none is tried */
};

/* Cycles of a group's tasks, alone; and those that the busier of the two computing engines works.
 */
typedef struct group_span {
    uint64_t cycles, work;
} group_span;

typedef struct mark {
    uint32_t task, buffer, stage, tile;
} mark;

typedef struct maker {
    xg_plan *p;
    xg_task_builder *builder; /* [cores] of the running segment */
    mark *mark;
    uint32_t signals;       /* SIGNALs of each core in this segment */
    bool refine;            /* strategies may be bettered, in the first round */
    bool trial;             /* a neighbour is being tried */
    bool stands;            /* the group's tasks are those of its strategy */
    uint64_t tried;         /* tasks of all neighbours */
    int64_t before;         /* tasks of the segments before this one */
    const int64_t *least;   /* [groups + 1] tasks from a group on, before tiles become smaller */
    uint32_t round;         /* of images */
    bool apart_since;       /* cores have worked on their own images since the last of them */
    uint32_t victim;        /* XG_NONE, or the tensor that had better not stay on chip */
    XG_VEC(uint32_t) apart; /* groups whose nodes had better run alone: all are found in one go */
    xg_map known; /* groups that were refined, by kind (see kind_of): number in `refined` */
    XG_VEC(xg_strategy) refined;
} maker;

static xg_selection *copy_selection(xg_arena *a, const xg_selection *s) {
    xg_selection *c = xg_new(a, xg_selection);
    *c = *s;
    c->group.v = xg_newn(a, xg_group, s->group.n + 1);
    if (s->group.n) memcpy(c->group.v, s->group.v, s->group.n * sizeof *s->group.v);
    c->group.cap = s->group.n + 1;
    return c;
}

/* The field that is too narrow counts columns. */
static bool too_wide(const xg_plan *p) {
    const xg_lack *l = p->lack;
    return l->field &&
           strstr(p->machine->family->inst[l->op].operand[l->operand].name, "cols") != NULL;
}

/* Smaller tiles: the dimension that is furthest from its least size is halved. False when nothing
 * is left, or when there are too many tiles already. */
static bool shrink(const maker *mk, xg_group *g) {
    const xg_machine *m = mk->p->machine;
    if (mk->p->lack->tasks) return false;
    xg_strategy *s = &g->strategy;
    int64_t d[4];
    xg_group_dims(xg_plan_graph(mk->p, g), g, d);
    uint32_t unit = (uint32_t)xg_max(m->tile.ocp, m->tile.icp);
    uint32_t h = s->tile_h ? s->tile_h : (uint32_t)d[1], w = s->tile_w ? s->tile_w : (uint32_t)d[2];
    uint32_t c = s->tile_oc ? s->tile_oc : (uint32_t)d[3];
    if (mk->p->lack->field && s->fold)
        s->fold = false;
    else if (too_wide(mk->p) && w > 1)
        s->tile_w = (w + 1) / 2;
    else if (s->weights_resident)
        s->weights_resident = false;
    else if (h > m->tile.pp)
        s->tile_h = (h / 2 + m->tile.pp - 1) / m->tile.pp * m->tile.pp;
    else if (c > unit)
        s->tile_oc = (c / 2 + unit - 1) / unit * unit;
    else if (w > 1)
        s->tile_w = (w + 1) / 2;
    else if (h > 1)
        s->tile_h = (h + 1) / 2;
    else if (!s->tile_ic || s->tile_ic > m->tile.icp) {
        int64_t in[4];
        xg_dims4(xg_in(mk->p->graph, xg_nodep(mk->p->graph, g->node[0]), 0), in);
        uint32_t ic = s->tile_ic ? s->tile_ic : (uint32_t)in[3];
        uint32_t next = (ic / 2 + m->tile.icp - 1) / m->tile.icp * m->tile.icp;
        if (next >= ic) return false;
        s->tile_ic = next;
    } else
        return false;
    return true;
}

static void take_marks(maker *mk) {
    for (uint32_t c = 0; c < mk->p->machine->cores; c++) {
        const xg_task_builder *b = &mk->builder[c];
        mk->mark[c] = (mark){b->core->task.n, b->core->buffer.n, b->stage, b->tile};
    }
}

static void back_to_marks(maker *mk, uint32_t pieces, uint64_t const_bytes) {
    for (uint32_t c = 0; c < mk->p->machine->cores; c++) {
        xg_task_builder *b = &mk->builder[c];
        b->core->task.n = mk->mark[c].task;
        b->core->buffer.n = mk->mark[c].buffer;
        b->stage = mk->mark[c].stage;
        b->tile = mk->mark[c].tile;
        for (uint32_t t = 0; t < mk->p->graph->tensor.n; t++)
            if (b->staying[t] != XG_NONE && b->staying[t] >= b->core->buffer.n)
                b->staying[t] = XG_NONE;
    }
    xg_drop_pieces(mk->p, pieces, const_bytes);
    mk->stands = false;
}

/* Tasks and buffers of a group that is being built, on one core. */
typedef struct placing {
    const maker *mk;
    xg_core_plan *core;
    uint32_t task, from; /* its first task and buffer */
    xg_arena *tmp;
    xg_task_cost *cost; /* NULL: not yet known */
    xg_depend *depend;
    uint32_t *wish, *ahead, *addr; /* [buffers] wished; granted, and where, by the best way */
    uint64_t work, busiest;        /* cycles of the computing engine that works most; of any */
} placing;

static xg_status judge_tasks(placing *g) {
    const xg_plan *p = g->mk->p;
    uint32_t n = g->core->task.n - g->task;
    uint64_t work[2] = {0}, busy[XG_ENGINES_MAX] = {0};
    if (g->cost) return XG_OK;
    g->cost = xg_newn(g->tmp, xg_task_cost, n + 1);
    xg_status st = xg_task_costs(p, g->core, g->task, g->tmp, g->cost);
    if (st != XG_OK) g->cost = NULL;
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < n; i++) {
        const xg_task_cost *c = &g->cost[i];
        uint8_t kind = g->core->task.v[g->task + i].kind;
        bool conv = c->engine == p->machine->family->inst[XG_T_CONV].engine;
        if (kind >= XG_TASK_CONV && kind <= XG_TASK_LUT) work[conv] += c->cycles;
        busy[c->engine] += c->cycles;
    }
    g->work = work[0] > work[1] ? work[0] : work[1];
    for (uint32_t e = 0; e < XG_ENGINES_MAX; e++)
        if (busy[e] > g->busiest) g->busiest = busy[e];
    return XG_OK;
}

/* Addresses, with (0) or without (1) the wish that results of tiles lie side by side; the cycles,
 * or at least `worth`. */
static xg_status place_one_way(placing *g, uint32_t way, uint64_t worth, uint64_t *cycles) {
    xg_core_plan *core = g->core;
    for (uint32_t b = g->from; b < core->buffer.n; b++) {
        xg_buffer *x = &core->buffer.v[b];
        x->ahead = way == 1 && x->made ? 0 : g->wish[b - g->from];
    }
    xg_status st = xg_alloc_buffers(g->mk->p, core, g->from);
    if (st == XG_OK) st = judge_tasks(g);
    if (st != XG_OK) return st;
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(g->tmp));
    xg_task_order order;
    if (!g->depend) g->depend = xg_depend_new(g->mk->p, core, g->task, g->tmp);
    xg_depend_order(g->depend, tmp, &order);
    *cycles = xg_task_cycles(g->cost, core->task.n - g->task, &order, worth, tmp);
    xg_arena_free(tmp);
    return XG_OK;
}

static void keep_addresses(placing *g) {
    for (uint32_t b = g->from; b < g->core->buffer.n; b++) {
        g->ahead[b - g->from] = g->core->buffer.v[b].ahead;
        g->addr[b - g->from] = g->core->buffer.v[b].addr;
    }
}

static void use_addresses(const placing *g) {
    for (uint32_t b = g->from; b < g->core->buffer.n; b++) {
        g->core->buffer.v[b].ahead = g->ahead[b - g->from];
        g->core->buffer.v[b].addr = g->addr[b - g->from];
    }
}

/* Where room is short, results of several tiles side by side compete with loads ahead of time: both
 * ways are tried, if that makes a difference. */
static xg_status place_both_ways(placing *g, uint64_t worth, group_span *out) {
    bool found = false, made = false;
    xg_status st = XG_OK;
    out->cycles = worth;
    for (uint32_t b = g->from; b < g->core->buffer.n; b++) {
        g->wish[b - g->from] = g->core->buffer.v[b].ahead;
        made |= g->core->buffer.v[b].made && g->core->buffer.v[b].ahead;
    }
    for (uint32_t way = 0; way < (made ? 2 : 1); way++) {
        uint64_t cycles;
        st = place_one_way(g, way, out->cycles, &cycles);
        if (st != XG_OK && st != XG_LIMIT) return st;
        if (st != XG_OK || (found && cycles >= out->cycles)) continue;
        *out = (group_span){cycles, g->work};
        found = true;
        keep_addresses(g);
    }
    if (found) use_addresses(g);
    return found ? XG_OK : XG_LIMIT;
}

/* Addresses for the group's buffers, from number `from` on, and how long its tasks take, unless
 * their engines alone need `worth` cycles: then that many. */
static xg_status place_group(const maker *mk, xg_core_plan *core, uint32_t task, uint32_t from,
                             uint64_t worth, group_span *out) {
    uint32_t n = core->buffer.n - from;
    placing g = {.mk = mk, .core = core, .task = task, .from = from};
    g.tmp = xg_arena_new(xg_arena_ctx(mk->p->arena));
    g.wish = xg_newn(g.tmp, uint32_t, 3 * (size_t)n + 1);
    g.ahead = g.wish + n;
    g.addr = g.ahead + n;
    xg_status st = mk->trial ? judge_tasks(&g) : XG_OK;
    if (st == XG_OK && g.busiest >= worth)
        *out = (group_span){g.busiest, g.work};
    else if (st == XG_OK)
        st = place_both_ways(&g, worth, out);
    xg_arena_free(g.tmp);
    return st;
}

/* On all cores, in this segment and those before it. */
static int64_t tasks_made(const maker *mk) {
    int64_t n = mk->before;
    for (uint32_t c = 0; c < mk->p->machine->cores; c++) n += mk->builder[c].core->task.n;
    return n;
}

/* Cores that work on images do the same. */
static uint32_t trial_cores(const maker *mk, const xg_group *g) {
    return g->strategy.split == XG_SPLIT_IMAGE ? 1 : mk->p->machine->cores;
}

/* Builds the group as its strategy says. A trial ends when it is not worth while: when it takes so
 * many cycles. */
static xg_status try_group(maker *mk, uint32_t gi, uint64_t worth, group_span *slowest) {
    const xg_group *g = &mk->p->sel->group.v[gi];
    *slowest = (group_span){0, 0};
    uint32_t cores = mk->trial ? trial_cores(mk, g) : mk->p->machine->cores;
    for (uint32_t c = 0; c < cores; c++) {
        xg_task_builder *b = &mk->builder[c];
        b->group = gi;
        b->core_idx = c;
        b->tile = 0;
        if (mk->signals) {
            xg_task t = {.kind = XG_TASK_AWAIT,
                         .stage = b->stage,
                         .group = gi,
                         .node = XG_NONE,
                         .tensor = XG_NONE,
                         .in = XG_NONE,
                         .in2 = XG_NONE,
                         .w = XG_NONE,
                         .p = XG_NONE,
                         .out = XG_NONE,
                         .psum = XG_NONE,
                         .i0 = mk->signals,
                         .piece = XG_NONE};
            xg_push_own(mk->p->draft, &b->core->task, t);
        }
        uint32_t from = b->core->buffer.n, task = b->core->task.n;
        b->room = xg_max(0, XG_PLAN_TASKS - tasks_made(mk) - mk->least[gi + 1]);
        xg_status st = xg_build_group(b, g);
        group_span span = {0, 0};
        if (mk->trial) mk->tried += b->core->task.n - task;
        if (st == XG_OK) st = place_group(mk, b->core, task, from, worth, &span);
        if (st != XG_OK) return st;
        if (span.cycles > slowest->cycles) *slowest = span;
        if (span.cycles >= worth) break;
    }
    return XG_OK;
}

static void signal_all(maker *mk, uint32_t gi) {
    for (uint32_t c = 0; c < mk->p->machine->cores; c++) {
        xg_core_plan *core = mk->builder[c].core;
        xg_task t = {.kind = XG_TASK_SIGNAL,
                     .stage = mk->builder[c].stage,
                     .group = gi,
                     .node = XG_NONE,
                     .tensor = XG_NONE,
                     .in = XG_NONE,
                     .in2 = XG_NONE,
                     .w = XG_NONE,
                     .p = XG_NONE,
                     .out = XG_NONE,
                     .psum = XG_NONE,
                     .piece = XG_NONE};
        xg_push_own(mk->p->draft, &core->task, t);
    }
    mk->signals++;
    mk->apart_since = false;
}

/* Cores that do not keep to their own images meet after every group that makes something. */
static void meet(maker *mk, uint32_t gi) {
    const xg_group *g = &mk->p->sel->group.v[gi];
    bool made = false;
    if (mk->p->machine->cores == 1) return;
    for (uint32_t c = 0; c < mk->p->machine->cores; c++)
        made |= mk->builder[c].core->task.n > mk->mark[c].task + (mk->signals > 0);
    if (g->strategy.split == XG_SPLIT_IMAGE) {
        mk->apart_since |= made;
        return;
    }
    if (!made) {
        for (uint32_t c = 0; c < mk->p->machine->cores; c++)
            mk->builder[c].core->task.n = mk->mark[c].task;
        return;
    }
    signal_all(mk, gi);
}

/* The largest tensor that stays on chip now and is no part of another; XG_NONE when none does. */
static uint32_t largest_staying(const maker *mk) {
    uint32_t best = XG_NONE, size = 0;
    const xg_task_builder *b = &mk->builder[0];
    for (uint32_t t = 0; t < mk->p->graph->tensor.n; t++) {
        if (b->staying[t] == XG_NONE) continue;
        const xg_buffer *x = &b->core->buffer.v[b->staying[t]];
        if (x->parent == XG_NONE && x->size > size) best = t, size = x->size;
    }
    return best;
}

/* Groups of one kind have equal shapes, strategies and borders. */
static const char *kind_of(const maker *mk, const xg_group *g, xg_buf *key) {
    const xg_strategy *s = &g->strategy;
    const uint32_t *result, n = xg_group_results(g, &result);
    xg_group_signature(mk->p->graph, g, key);
    xg_putf(key, ",%u,%u,%u,%u,%d,%d,%d,%d,%d,%d,", s->tile_h, s->tile_w, s->tile_oc, s->tile_ic,
            (int)s->order, (int)s->split, s->fold, s->weights_resident, s->batched, s->flat);
    for (uint32_t k = 0; k < g->nnode; k++) {
        const xg_node *node = xg_nodep(mk->p->graph, g->node[k]);
        for (uint32_t i = 0; i < node->nin; i++)
            xg_putf(key, "%d", node->in[i] != XG_NONE && mk->p->place[node->in[i]].stays);
    }
    for (uint32_t k = 0; k < n; k++) {
        const xg_place_row *row = &mk->p->place[xg_nodep(mk->p->graph, result[k])->out[0]];
        xg_putf(key, "%d%d", row->stays, row->placed);
    }
    return key->p;
}

static bool seen_before(const xg_strategy *tried, uint32_t n, const xg_strategy *s) {
    for (uint32_t i = 0; i < n; i++)
        if (xg_same_strategy(&tried[i], s)) return true;
    return false;
}

/* Strategies near g's; each step goes to the fastest of them, while that gains a hundredth. */
static xg_status search_near(maker *mk, uint32_t gi, group_span span, uint32_t pieces,
                             uint64_t bytes) {
    xg_group *g = &mk->p->sel->group.v[gi];
    xg_strategy near[XG_NEIGHBOURS], best = g->strategy;
    xg_strategy tried[XG_NEIGHBOURS * REFINE_STEPS + 1] = {best};
    uint32_t ntried = 1;
    for (uint32_t step = 0; step < REFINE_STEPS; step++) {
        uint64_t before = span.cycles;
        uint32_t n = xg_strategy_neighbours(xg_plan_graph(mk->p, g), mk->p->machine, g, near);
        for (uint32_t i = 0; i < n && mk->tried < REFINE_TASKS; i++) {
            group_span now;
            if (seen_before(tried, ntried, &near[i])) continue;
            tried[ntried++] = near[i];
            back_to_marks(mk, pieces, bytes);
            g->strategy = near[i];
            uint64_t gain = before / 100, worth = span.cycles > gain ? span.cycles - gain : 0;
            xg_status st = try_group(mk, gi, worth, &now);
            if (st != XG_OK && st != XG_LIMIT) return st;
            if (st == XG_OK && now.cycles < worth) span = now, best = near[i];
        }
        g->strategy = best;
        if (span.cycles == before) break;
    }
    return XG_OK;
}

/* The group stands. Where its engines wait for each other or for data, strategies near its own are
 * built too, once for each kind of group. */
static xg_status refine_group(maker *mk, uint32_t gi, group_span span, uint32_t pieces,
                              uint64_t bytes) {
    xg_group *g = &mk->p->sel->group.v[gi];
    xg_buf buf = {.arena = mk->p->arena};
    const char *kind = kind_of(mk, g, &buf);
    uint32_t known = xg_map_get(&mk->known, kind);
    xg_strategy own = g->strategy;
    xg_status st = XG_OK;
    mk->trial = mk->stands = true;
    if (known == XG_NONE) {
        st = search_near(mk, gi, span, pieces, bytes);
        xg_map_set(&mk->known, kind, mk->refined.n);
        xg_push(mk->p->arena, &mk->refined, g->strategy);
    } else if (!xg_same_strategy(&own, &mk->refined.v[known])) {
        group_span now;
        back_to_marks(mk, pieces, bytes);
        g->strategy = mk->refined.v[known];
        st = try_group(mk, gi, span.cycles + 1, &now);
        bool worse = st == XG_LIMIT || (st == XG_OK && now.cycles > span.cycles);
        if (worse) g->strategy = own;
        if (st == XG_LIMIT) st = XG_OK;
        mk->stands = !worse && trial_cores(mk, g) == mk->p->machine->cores;
    }
    mk->trial = false;
    if (st != XG_OK || mk->stands) return st;
    back_to_marks(mk, pieces, bytes);
    return try_group(mk, gi, UINT64_MAX, &span);
}

/* The error of a LIMIT that xg_task_costs() or xg_emit_core() found. */
xg_status xg_too_narrow(const xg_plan *p, const char *node) {
    const xg_lack *l = p->lack;
    const xg_inst_desc *d = &p->machine->family->inst[l->op];
    int64_t lo, hi;
    xg_encoding_range(p->machine->encoding, l->op, l->operand, &lo, &hi);
    return xg_error(xg_arena_ctx(p->arena), XG_LIMIT, node,
                    "its smallest tile wants %s of instruction %s to be %lld; the encoding's field "
                    "holds %lld to %lld",
                    d->operand[l->operand].name, d->mnemonic, (long long)l->value, (long long)lo,
                    (long long)hi);
}

static xg_status too_many(const xg_plan *p, const char *node) {
    const xg_tile_machine *t = &p->machine->tile;
    return xg_error(xg_arena_ctx(p->arena), XG_LIMIT, node,
                    "the program has at least %llu steps, %llu more than a plan may "
                    "have: the memories of machine %s (feature maps %u words in each of %u banks, "
                    "weights %u in each of %u, parameters %u bytes) leave so small tiles",
                    (unsigned long long)p->lack->need,
                    (unsigned long long)(p->lack->need - p->lack->have), p->machine->name,
                    t->fm_depth, t->pp, t->w_depth, t->ocp, t->param_bytes);
}

static xg_status too_small(const xg_plan *p, const char *node) {
    xg_mem_desc d;
    xg_lack lack = *p->lack;
    if (lack.tasks) return too_many(p, node);
    if (lack.field) return xg_too_narrow(p, node);
    p->machine->family->mem_desc(p->machine, lack.mem, &d);
    const char *unit = lack.mem == XG_MEM_PARAM ? "bytes" : "words";
    const xg_tile_machine *t = &p->machine->declared;
    const char *reach = lack.have < (lack.mem == XG_MEM_FM  ? t->fm_depth
                                     : lack.mem == XG_MEM_W ? t->w_depth
                                                            : t->param_bytes)
                            ? " (as far as the encoding's addresses reach)"
                            : "";
    xg_ctx *c = xg_arena_ctx(p->arena);
    if (lack.need <= lack.have)
        return xg_error(c, XG_LIMIT, node,
                        "not even its smallest tile fits machine %s: the %s memory (%llu %s%s) "
                        "could hold its %llu, but not in one piece each",
                        p->machine->name, d.name, (unsigned long long)lack.have, unit, reach,
                        (unsigned long long)lack.need);
    return xg_error(c, XG_LIMIT, node,
                    "not even its smallest tile fits machine %s: the %s memory would have to hold "
                    "%llu %s at once and has %llu%s, %llu too few",
                    p->machine->name, d.name, (unsigned long long)lack.need, unit,
                    (unsigned long long)lack.have, reach,
                    (unsigned long long)(lack.need - lack.have));
}

static xg_status add_group(maker *mk, uint32_t gi) {
    xg_plan *p = mk->p;
    xg_group *g = &p->sel->group.v[gi];
    uint32_t pieces = p->piece.n;
    uint64_t bytes = p->region_bytes[XG_REG_CONST];
    group_span span;
    if (mk->apart_since && g->strategy.split != XG_SPLIT_IMAGE) signal_all(mk, gi - 1);
    take_marks(mk);
    for (;;) {
        xg_status st = try_group(mk, gi, UINT64_MAX, &span);
        if (st == XG_OK) break;
        if (st != XG_LIMIT) return st;
        if (p->lack->tasks) p->lack->need = (uint64_t)(tasks_made(mk) + mk->least[gi + 1]);
        back_to_marks(mk, pieces, bytes);
        g->settled = false;
        if (shrink(mk, g)) continue;
        if (p->lack->tasks) return too_small(p, xg_nodep(p->graph, g->node[0])->name);
        mk->victim = largest_staying(mk);
        if (mk->victim != XG_NONE) return XG_LIMIT;
        if (g->nnode > 1) {
            xg_push(p->draft, &mk->apart, gi);
            return XG_OK;
        }
        return too_small(p, xg_nodep(p->graph, g->node[0])->name);
    }
    bool again = mk->round && g->strategy.split == XG_SPLIT_IMAGE; /* as in the first round */
    if (mk->refine && !again && !g->settled && span.cycles > REFINE_CYCLES &&
        span.cycles - span.work > span.work / 8) {
        xg_status st = refine_group(mk, gi, span, pieces, bytes);
        if (st != XG_OK) return st;
    }
    g->settled |= mk->refine;
    meet(mk, gi);
    return XG_OK;
}

static uint32_t *staying_none(const xg_plan *p) {
    uint32_t *v = xg_newn(p->arena, uint32_t, p->graph->tensor.n + 1);
    for (uint32_t t = 0; t < p->graph->tensor.n; t++) v[t] = XG_NONE;
    return v;
}

static void release_buffer(xg_task_builder *b, uint32_t tensor) {
    uint32_t buf = b->staying[tensor];
    if (buf == XG_NONE) return;
    xg_buffer *x = &b->core->buffer.v[buf];
    x->last = b->core->task.n ? b->core->task.n - 1 : 0;
    x->soft_last = b->stage;
    b->staying[tensor] = XG_NONE;
}

/* Tensors whose last reader has run stay no longer. */
static void release(maker *mk, uint32_t gi) {
    for (uint32_t t = 0; t < mk->p->graph->tensor.n; t++) {
        if (!mk->p->place[t].stays || mk->p->place[t].last != gi) continue;
        for (uint32_t c = 0; c < mk->p->machine->cores; c++) release_buffer(&mk->builder[c], t);
    }
}

/* Groups [first, last): a stretch, which each image of a core passes before the next one. */
static xg_status add_stretch(maker *mk, uint32_t first, uint32_t last) {
    xg_plan *p = mk->p;
    uint32_t cores = p->machine->cores,
             nround = xg_selection_rounds(p->sel, p->machine, first, last);
    for (uint32_t r = 0; r < nround; r++) {
        mk->round = r;
        for (uint32_t gi = first; gi < last; gi++) { /* groups of all images come last */
            if (r + 1 < nround && p->sel->group.v[gi].strategy.split != XG_SPLIT_IMAGE) continue;
            for (uint32_t c = 0; c < cores; c++) mk->builder[c].image = r * cores + c;
            xg_status st = add_group(mk, gi);
            if (st != XG_OK) return st;
            release(mk, gi);
        }
        for (uint32_t t = 0; t < p->graph->tensor.n; t++) /* last read after this stretch */
            for (uint32_t c = 0; c < cores; c++) release_buffer(&mk->builder[c], t);
    }
    return XG_OK;
}

static xg_status add_segment(maker *mk, uint32_t first, uint32_t last, const uint32_t *stretch) {
    xg_plan *p = mk->p;
    xg_seg_plan seg = {xg_newn(p->arena, xg_core_plan, p->machine->cores)};
    for (uint32_t c = 0; c < p->machine->cores; c++)
        mk->builder[c] = (xg_task_builder){
            .plan = p, .core = &seg.core[c], .stage = 64, .staying = staying_none(p)};
    mk->signals = 0;
    mk->apart_since = false;
    for (uint32_t i = first, end; i < last; i = end) {
        for (end = i + 1; end < last && stretch[end] == stretch[i];) end++;
        xg_status st = add_stretch(mk, i, end);
        if (st != XG_OK) return st;
    }
    mk->before = tasks_made(mk);
    xg_plan_step step = {true, p->segment.n, first, last};
    xg_push(p->arena, &p->segment, seg);
    xg_push(p->arena, &p->step, step);
    return XG_OK;
}

/* A tensor that stays lies as the group sees it that makes it. */
static void note_views(xg_plan *p) {
    for (uint32_t gi = 0; gi < p->sel->group.n; gi++) {
        const xg_group *g = &p->sel->group.v[gi];
        for (uint32_t k = 0; k < g->nnode; k++)
            p->place[xg_nodep(p->graph, g->node[k])->out[0]].flat = g->strategy.flat;
    }
}

/* [groups + 1] Tasks that the groups from a number on have at least; images of a batch do
 * not come group by group: nothing is known of theirs. */
static int64_t *least_tasks(const xg_plan *p) {
    const xg_selection *s = p->sel;
    int64_t *v = xg_newn(p->arena, int64_t, s->group.n + 1), d[4];
    for (uint32_t i = s->group.n; i-- > 0;) {
        const xg_group *g = &s->group.v[i];
        v[i] = v[i + 1];
        if (g->where != XG_ON_ACCEL) continue;
        xg_group_dims(xg_plan_graph(p, g), g, d);
        if (d[0] == 1) v[i] += xg_least_tasks(xg_plan_graph(p, g), g);
    }
    return v;
}

/* One attempt with the selection as it is. */
static xg_status make_once(xg_plan *p, bool refine, uint32_t *victim, bool *apart) {
    const xg_selection *s = p->sel;
    xg_status st = xg_place_tensors(p);
    note_views(p);
    *victim = st == XG_OK ? xg_place_staying(p) : XG_NONE;
    if (*victim != XG_NONE) return XG_LIMIT;
    maker mk = {.p = p,
                .refine = refine,
                .builder = xg_newn(p->arena, xg_task_builder, p->machine->cores),
                .mark = xg_newn(p->arena, mark, p->machine->cores),
                .known = {.arena = p->arena},
                .least = least_tasks(p),
                .victim = XG_NONE,
                .apart = {0}};
    const uint32_t *run = xg_selection_runs(s, p->arena),
                   *stretch = xg_selection_stretches(s, p->arena);
    for (uint32_t i = 0; i < s->group.n && st == XG_OK;) {
        uint32_t end = i + 1;
        while (end < s->group.n && run[end] == run[i]) end++;
        if (s->group.v[i].where == XG_ON_ACCEL)
            st = add_segment(&mk, i, end, stretch);
        else {
            xg_plan_step step = {false, 0, i, end};
            xg_push(p->arena, &p->step, step);
        }
        i = end;
    }
    *victim = mk.victim;
    for (uint32_t i = 0; i < mk.apart.n; i++) apart[mk.apart.v[i]] = true;
    return st == XG_OK && mk.apart.n ? XG_LIMIT : st;
}

/* The tensor, and what lies in it, goes to DDR. */
static void evict(xg_selection *sel, const xg_graph *g, const uint32_t *parent, uint32_t victim) {
    for (uint32_t t = 0; t < g->tensor.n; t++) {
        uint32_t r = t;
        while (r != victim && parent[r] != XG_NONE) r = parent[r];
        if (r == victim) sel->on_chip[t] = false;
    }
}

/* New strategies for the groups that made or read what was evicted. */
static void adapt(xg_plan *p, xg_selection *sel, uint32_t victim) {
    p->sel = sel;
    for (uint32_t t = 0; t < p->graph->tensor.n; t++) p->place[t].stays = sel->on_chip[t];
    for (uint32_t gi = 0; gi < sel->group.n; gi++) {
        xg_group *g = &sel->group.v[gi];
        bool near = false;
        for (uint32_t k = 0; k < g->nnode; k++) {
            const xg_node *n = xg_nodep(p->graph, g->node[k]);
            near |= n->out[0] == victim;
            for (uint32_t j = 0; j < n->nin; j++) near |= n->in[j] == victim;
        }
        xg_tile_kind kind = xg_node_tile_kind(p->graph, xg_nodep(p->graph, g->node[0]));
        if (near && g->where == XG_ON_ACCEL && kind != XG_TK_CONCAT && kind != XG_TK_VIEW)
            xg_restrategise(p, g, gi);
    }
}

/* Each node of group gi becomes a group; their results go through DDR. */
static void take_apart(xg_plan *p, xg_selection *sel, uint32_t gi) {
    xg_group old = sel->group.v[gi];
    uint32_t more = old.nnode - 1, n = sel->group.n;
    p->sel = sel;
    xg_reserve(p->arena, &sel->group, n + more);
    memmove(&sel->group.v[gi + old.nnode], &sel->group.v[gi + 1],
            (n - gi - 1) * sizeof *sel->group.v);
    sel->group.n = n + more;
    for (uint32_t k = 0; k < old.nnode; k++) {
        xg_group *g = &sel->group.v[gi + k];
        *g = old;
        g->nnode = 1;
        g->nresult = 0;
        g->node = &old.node[k];
        g->pattern = "single";
        g->strategy =
            (xg_strategy){.split = old.strategy.split,
                          .flat = old.strategy.flat,
                          .tile_h = p->machine->tile.pp,
                          .tile_oc = (uint32_t)xg_max(p->machine->tile.ocp, p->machine->tile.icp)};
        for (uint32_t t = 0; t < p->graph->tensor.n; t++)
            p->place[t].stays = sel->on_chip && sel->on_chip[t];
        xg_restrategise(p, g, gi + k);
    }
}

xg_status xg_plan_make_as(xg_arena *a, const xg_selection *s, const xg_machine *m, bool refine,
                          xg_plan **out) {
    xg_selection *sel = copy_selection(a, s);
    if (s->on_chip) sel->on_chip = xg_memdup(a, s->on_chip, s->graph->tensor.n);
    const uint32_t *parent = xg_concat_parents(sel, a);
    const xg_graph *flat = xg_flat_graph(a, s->graph, m);
    for (;;) {
        xg_plan *p = xg_new(a, xg_plan);
        xg_selection *mine = copy_selection(a, sel); /* tiles shrink in this attempt only */
        *p = (xg_plan){.arena = a,
                       .graph = s->graph,
                       .flat = flat,
                       .machine = m,
                       .sel = mine,
                       .lack = xg_new(a, xg_lack)};
        p->draft = xg_arena_new(xg_arena_ctx(a));
        uint32_t victim, n = mine->group.n;
        bool *apart = xg_newn(a, bool, n + 1), any = false;
        /* Tiles from a file are taken as they stand there, so that what was built is built again.
         */
        xg_status st = make_once(p, refine && !s->path, &victim, apart);
        *out = p;
        if (st == XG_OK) st = xg_order_tasks(p);
        xg_arena_free(p->draft);
        p->draft = NULL;
        for (uint32_t i = 0; i < n; i++) any |= apart[i];
        if (st != XG_LIMIT || (victim == XG_NONE && !any)) return st;
        for (uint32_t i = n; i-- > 0;) /* from the last: the numbers before it hold */
            if (apart[i]) take_apart(p, sel, i);
        if (any) continue;
        evict(sel, s->graph, parent, victim);
        adapt(p, sel, victim);
    }
}

const xg_selection *xg_plan_selection(const xg_plan *p) {
    return p->sel;
}

xg_status xg_plan_make(xg_arena *a, const xg_selection *s, const xg_machine *m, xg_plan **out) {
    xg_status st = xg_plan_make_as(a, s, m, true, out);
    return st == XG_OK ? xg_forecast(*out) : st;
}
