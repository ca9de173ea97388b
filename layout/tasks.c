/* Tasks of one group on one core: loops over tiles; each tile asks for what it needs on chip,
 * computes, saves.
 *
 * A request for a slice or a constant piece that is still on chip from the step before is answered
 * with the same buffer; so the order of the loops decides what is loaded again. Every compute task
 * is a stage; loads belong to the stage that uses them first.
 */
#include "layout/plan_types.h"

#include "fusion/estimate.h"
#include "isa/tile.h"

enum { CACHE = 64, KEEP = 24, PREFETCH = 48 };

typedef struct cached {
    uint32_t tensor, il; /* slices; tensor XG_NONE: a piece */
    xg_slice s;
    uint32_t piece;
    uint32_t buffer;
    uint64_t age;
} cached;

typedef struct local {
    uint32_t tensor;
    xg_slice need; /* what the tile reads of it */
    xg_slice make; /* what of that it makes, or loads: the rest is kept; may be empty */
    bool seen, inside;
    uint32_t il;
    uint32_t buffer;
} local;

/* A tensor whose rows are kept from tile to tile, until no tile needs them: where that is all of
 * them, in place; else in a ring that holds what one tile needs and what the next one adds. */
typedef struct kept {
    uint32_t tensor, buffer;
    uint32_t begin, end; /* rows that all tiles need */
    uint32_t done;       /* rows below have been made */
    uint32_t from;       /* first row that the last tile needed */
    uint32_t rows;       /* most rows that must lie there at once */
} kept;

typedef struct gen {
    xg_task_builder *b;
    const xg_plan *plan;
    const xg_graph *g;
    const xg_machine *m;
    const xg_group *grp;
    cached cache[CACHE];
    uint32_t ncache;
    uint64_t clock;
    local *loc;
    uint32_t nloc;
    kept *kept;
    uint32_t nkept;
    uint32_t stages_in_tile; /* of the previous tile: how early the next one may be loaded */
    uint32_t first_task;
    bool full; /* no room for more tasks */
} gen;

/* ---- tasks and buffers
 * ------------------------------------------------------------------------------------ */

static xg_buffer *buffer_at(gen *g, uint32_t b) {
    return &g->b->core->buffer.v[b];
}

static void touch(gen *g, uint32_t buf, uint32_t task, uint32_t stage) {
    for (; buf != XG_NONE; buf = buffer_at(g, buf)->parent) {
        xg_buffer *b = buffer_at(g, buf);
        if (task > b->last) b->last = task;
        if (stage > b->soft_last) b->soft_last = stage;
    }
}

static uint32_t add_task(gen *g, xg_task t) {
    xg_core_plan *core = g->b->core;
    uint32_t at = core->task.n;
    g->full |= at - g->first_task >= g->b->room;
    t.group = g->b->group;
    t.tile = g->b->tile;
    const uint32_t used[] = {t.in, t.in2, t.w, t.p, t.out, t.psum};
    for (uint32_t i = 0; i < XG_COUNT(used); i++) touch(g, used[i], at, t.stage);
    xg_push_own(g->plan->draft, &core->task, t);
    return at;
}

static xg_task blank(xg_task_kind kind, uint32_t stage) {
    return (xg_task){.kind = (uint8_t)kind,
                     .stage = stage,
                     .node = XG_NONE,
                     .tensor = XG_NONE,
                     .in = XG_NONE,
                     .in2 = XG_NONE,
                     .w = XG_NONE,
                     .p = XG_NONE,
                     .out = XG_NONE,
                     .psum = XG_NONE,
                     .piece = XG_NONE};
}

static uint32_t add_buffer(gen *g, xg_buffer b, uint32_t stage) {
    xg_core_plan *core = g->b->core;
    b.parent = XG_NONE;
    b.first = b.last = core->task.n;
    b.soft_first = b.soft_last = stage;
    xg_push_own(g->plan->draft, &core->buffer, b);
    return core->buffer.n - 1;
}

static uint32_t add_map_buffer(gen *g, uint32_t tensor, const xg_slice *s, uint32_t il,
                               uint32_t stage, uint32_t ahead) {
    uint32_t words = (uint32_t)xg_ceil_div(s->c1 - s->c0, g->m->tile.icp);
    xg_buffer b = {.mem = XG_MEM_FM,
                   .size = xg_fm_words(g->m, s, il),
                   .tensor = tensor,
                   .s = *s,
                   .il = il,
                   .pix = words,
                   .row = words * (s->w1 - s->w0),
                   .ahead = ahead,
                   .flat = g->grp->strategy.flat};
    return add_buffer(g, b, stage);
}

static cached *find(gen *g, uint32_t tensor, const xg_slice *s, uint32_t il, uint32_t piece) {
    for (uint32_t i = 0; i < g->ncache; i++) {
        cached *c = &g->cache[i];
        if (tensor == XG_NONE ? c->piece == piece && c->tensor == XG_NONE
                              : c->tensor == tensor && c->il == il && xg_slice_equal(&c->s, s))
            return c;
    }
    return NULL;
}

/* Puts an entry in. Of maps of one tensor and of weights only the newest stays (all weights when
 * keep_all), of parameters what half their memory can hold. */
static void remember(gen *g, cached c, bool keep_all) {
    c.age = ++g->clock;
    const xg_buffer *b = buffer_at(g, c.buffer);
    uint32_t same = 0, oldest = XG_NONE, room = b->size;
    for (uint32_t i = 0; i < g->ncache; i++) {
        const xg_buffer *o = buffer_at(g, g->cache[i].buffer);
        if (g->cache[i].tensor != c.tensor || o->mem != b->mem) continue;
        same++, room += o->size;
        if (oldest == XG_NONE || g->cache[i].age < g->cache[oldest].age) oldest = i;
    }
    bool parameters = c.tensor == XG_NONE && b->mem == XG_MEM_PARAM;
    bool full = parameters ? same >= KEEP || room > g->m->tile.param_bytes / 2 : same && !keep_all;
    if (oldest != XG_NONE && (full || g->ncache == CACHE))
        g->cache[oldest] = c;
    else if (g->ncache < CACHE)
        g->cache[g->ncache++] = c;
}

/* What two slices have in common, in the coordinates whose origin is at `from`; false: nothing. */
static bool common(const xg_slice *a, const xg_slice *b, const xg_slice *from, xg_slice *out) {
    xg_slice s = {a->n,
                  (uint32_t)xg_max(a->h0, b->h0),
                  (uint32_t)xg_min(a->h1, b->h1),
                  (uint32_t)xg_max(a->w0, b->w0),
                  (uint32_t)xg_min(a->w1, b->w1),
                  (uint32_t)xg_max(a->c0, b->c0),
                  (uint32_t)xg_min(a->c1, b->c1)};
    if (s.h0 >= s.h1 || s.w0 >= s.w1 || s.c0 >= s.c1) return false;
    s.h0 -= from->h0, s.h1 -= from->h0;
    s.w0 -= from->w0, s.w1 -= from->w0;
    s.c0 -= from->c0, s.c1 -= from->c0;
    *out = s;
    return true;
}

static void add_parts(gen *g, xg_task t);

/* t as below, of the result of a concat, from its operands. */
static void add_operands(gen *g, const xg_task *t) {
    const xg_node *n = xg_nodep(g->g, xg_tensorp(g->g, t->tensor)->producer);
    for (uint32_t k = 0; k < n->nin; k++) {
        xg_slice all = xg_slice_whole(xg_in(g->g, n, k), t->s.n);
        xg_slice whole = xg_concat_slice(g->g, n, k, all);
        bool copied = xg_copies_operand(g->plan, n, k);
        const xg_slice origin = copied ? (xg_slice){0} : whole;
        xg_task part = *t;
        if (!common(&t->s, &whole, &origin, &part.s)) continue;
        part.i0 += origin.c0, part.i1 += origin.h0, part.acc_in += origin.w0;
        if (!copied) part.tensor = n->in[k];
        if (copied)
            add_task(g, part);
        else
            add_parts(g, part);
    }
}

/* t: a load with its buffer, its tensor, and where that begins in the buffer's tensor. */
static void add_parts(gen *g, xg_task t) {
    if (g->plan->place[t.tensor].apart)
        add_operands(g, &t);
    else
        add_task(g, t);
}

static void add_load(gen *g, uint32_t tensor, const xg_slice *s, uint32_t buf) {
    xg_task t = blank(XG_TASK_LOAD, g->b->stage + 1);
    t.tensor = tensor;
    t.s = *s;
    t.out = buf;
    add_parts(g, t);
}

/* The buffer of a tensor that stays, where the group sees it as it lies there; XG_NONE: a load. */
static uint32_t staying_of(const gen *g, uint32_t tensor) {
    int64_t d[4];
    xg_dims4(xg_tensorp(g->plan->graph, tensor), d);
    bool other = g->plan->place[tensor].flat != g->grp->strategy.flat && d[1] * d[2] > 1;
    return other ? XG_NONE : g->b->staying[tensor];
}

static uint32_t request_slice(gen *g, uint32_t tensor, const xg_slice *s, uint32_t il) {
    uint32_t stage = g->b->stage + 1;
    uint32_t stays = staying_of(g, tensor);
    if (stays != XG_NONE) return stays;
    cached *hit = find(g, tensor, s, il, XG_NONE);
    if (hit) {
        hit->age = ++g->clock;
        return hit->buffer;
    }
    uint32_t ahead = (uint32_t)xg_clamp(g->stages_in_tile, 2, PREFETCH);
    uint32_t buf = add_map_buffer(g, tensor, s, il, stage, ahead);
    add_load(g, tensor, s, buf);
    remember(g, (cached){.tensor = tensor, .il = il, .s = *s, .piece = XG_NONE, .buffer = buf},
             false);
    return buf;
}

static uint32_t request_piece(gen *g, const xg_piece *want, uint8_t mem, uint32_t size) {
    uint32_t stage = g->b->stage + 1, piece = xg_add_piece((xg_plan *)g->plan, want);
    cached *hit = find(g, XG_NONE, NULL, 0, piece);
    if (hit) {
        hit->age = ++g->clock;
        return hit->buffer;
    }
    uint32_t buf =
        add_buffer(g, (xg_buffer){.mem = mem, .size = size, .tensor = XG_NONE, .ahead = 60}, stage);
    xg_task t = blank(XG_TASK_LOADC, stage);
    t.piece = piece;
    t.out = buf;
    add_task(g, t);
    bool keep = mem == XG_MEM_W && g->grp->strategy.weights_resident;
    remember(g, (cached){.tensor = XG_NONE, .piece = piece, .buffer = buf}, keep);
    return buf;
}

/* ---- the group's tensors in one tile
 * ---------------------------------------------------------------------- */

static local *local_of(gen *g, uint32_t tensor) {
    for (uint32_t i = 0; i < g->nloc; i++)
        if (g->loc[i].tensor == tensor) return &g->loc[i];
    g->loc[g->nloc] = (local){.tensor = tensor, .il = 1, .buffer = XG_NONE};
    return &g->loc[g->nloc++];
}

static uint32_t map_operands(const xg_graph *g, const xg_node *n) {
    return xg_node_tile_kind(g, n) == XG_TK_ELEW ? 2 : 1;
}

static kept *kept_of(gen *g, uint32_t tensor) {
    for (uint32_t i = 0; i < g->nkept; i++)
        if (g->kept[i].tensor == tensor) return &g->kept[i];
    return NULL;
}

/* Whole row groups are computed: a convolution takes as long for a part of one. */
static void take_new_rows(gen *g, local *l) {
    kept *k = kept_of(g, l->tensor);
    uint32_t pp = g->m->tile.pp;
    l->make = l->need;
    if (!k) return;
    uint32_t from = (uint32_t)xg_max(k->done, l->need.h0), to = (uint32_t)xg_max(from, l->need.h1);
    if (l->inside) to = (uint32_t)xg_min(from + xg_ceil_div(to - from, pp) * pp, k->end);
    l->make.h0 = from;
    l->make.h1 = to;
    if (to - k->from > k->rows) k->rows = to - k->from;
    k->from = l->need.h0;
    k->done = to;
}

/* Walks the group backwards: what every tensor must offer for the results' slice. */
static void spread_needs(gen *g, const xg_slice *out) {
    const xg_group *grp = g->grp;
    g->nloc = 0;
    const uint32_t *result;
    uint32_t nresult = xg_group_results(grp, &result);
    for (uint32_t r = 0; r < nresult; r++) {
        uint32_t t = xg_nodep(g->g, result[r])->out[0];
        local *l = local_of(g, t);
        l->need = *out;
        if (nresult > 1) { /* rows and columns are common, channels each has its own */
            xg_slice whole = xg_slice_whole(xg_tensorp(g->g, t), 0);
            l->need.c0 = whole.c0;
            l->need.c1 = whole.c1;
        }
        l->seen = true;
    }
    for (uint32_t k = 0; k < grp->nnode; k++)
        local_of(g, xg_nodep(g->g, grp->node[k])->out[0])->inside = true;
    for (uint32_t k = grp->nnode; k-- > 0;) {
        const xg_node *n = xg_nodep(g->g, grp->node[k]);
        local *y = local_of(g, n->out[0]);
        if (y->seen) take_new_rows(g, y);
        xg_slice have = y->make;
        for (uint32_t o = 0; have.h0 < have.h1 && o < map_operands(g->g, n); o++) {
            xg_slice s = xg_need(g->g, n, o, &have);
            s.c0 = s.c0 / g->m->tile.icp *
                   g->m->tile.icp; /* whole words, also for grouped convolutions */
            local *l = local_of(g, n->in[o]);
            if (l->seen)
                xg_slice_unite(&l->need, &s);
            else
                l->need = s;
            l->seen = true;
            uint32_t il = xg_node_interleave(g->g, g->m, n);
            if (il > l->il) l->il = il;
        }
    }
    for (uint32_t i = 0; i < g->nloc; i++)
        if (!g->loc[i].inside) take_new_rows(g, &g->loc[i]);
}

static uint32_t kept_buffer(gen *g, kept *k, const local *l) {
    if (k->buffer != XG_NONE) return k->buffer;
    xg_slice all = l->need, room;
    all.h0 = k->begin;
    all.h1 = k->end;
    room = all;
    uint32_t ring = xg_ring_rows(g->m, k->rows, all.h1 - all.h0, l->il);
    if (ring) room.h1 = room.h0 + ring;
    uint32_t ahead = (uint32_t)xg_clamp(g->stages_in_tile, 2, PREFETCH);
    k->buffer = add_map_buffer(g, l->tensor, &room, l->il, g->b->stage + 1, ahead);
    xg_buffer *b = buffer_at(g, k->buffer);
    b->s = all;
    b->ring = ring;
    b->made = l->inside;
    return k->buffer;
}

static uint32_t operand_buffer(gen *g, uint32_t tensor) {
    local *l = local_of(g, tensor);
    kept *k = kept_of(g, tensor);
    if (l->inside) return l->buffer;
    if (!k) return l->buffer = request_slice(g, tensor, &l->need, l->il);
    l->buffer = kept_buffer(g, k, l);
    if (l->make.h0 < l->make.h1) add_load(g, tensor, &l->make, l->buffer);
    l->make.h0 = l->make.h1;
    return l->buffer;
}

/* ---- nodes
 * ----------------------------------------------------------------------------------------------------
 */

static uint32_t conv_block_words(const gen *g, const xg_node *n, uint32_t c0, uint32_t c1,
                                 uint32_t i0, uint32_t i1, bool fold) {
    xg_window w = xg_node_window(n);
    uint32_t groups = (uint32_t)xg_ceil_div(c1 - c0, g->m->tile.ocp);
    return groups * (uint32_t)(w.kh * (fold ? 1 : w.kw)) *
           (uint32_t)xg_ceil_div(i1 - i0, g->m->tile.icp);
}

static uint32_t conv_weights(gen *g, uint32_t node, uint32_t c0, uint32_t c1, uint32_t i0,
                             uint32_t i1, bool fold) {
    const xg_node *n = xg_nodep(g->g, node);
    uint32_t words = conv_block_words(g, n, c0, c1, i0, i1, fold);
    uint32_t banks = (uint32_t)xg_min(c1 - c0, g->m->tile.ocp);
    xg_piece want = {.kind = XG_PIECE_CONV_W,
                     .node = node,
                     .c0 = c0,
                     .c1 = c1,
                     .i0 = i0,
                     .i1 = i1,
                     .fold = fold,
                     .bytes = words * banks * g->m->tile.icp};
    return request_piece(g, &want, XG_MEM_W, words);
}

static uint32_t params(gen *g, uint32_t node, uint32_t c0, uint32_t c1) {
    xg_piece want = {.kind = XG_PIECE_PARAM,
                     .node = node,
                     .c0 = c0,
                     .c1 = c1,
                     .bytes = (c1 - c0) * xg_param_record(g->m)};
    return request_piece(g, &want, XG_MEM_PARAM, (want.bytes + 15) / 16 * 16);
}

static uint32_t psum_buffer(gen *g, const xg_slice *s, uint32_t stage) {
    uint32_t groups = (uint32_t)xg_ceil_div(s->c1 - s->c0, g->m->tile.ocp);
    uint32_t rows = (uint32_t)xg_ceil_div(s->h1 - s->h0, g->m->tile.pp);
    xg_buffer b = {.mem = XG_MEM_FM,
                   .tensor = XG_NONE,
                   .s = *s,
                   .il = 1,
                   .size = groups * rows * (s->w1 - s->w0) * xg_psum_words(g->m)};
    return add_buffer(g, b, stage);
}

/* The folded view of the convolution's input for the columns of s, loaded when it is not there. */
static uint32_t request_folded(gen *g, uint32_t node, const xg_slice *s) {
    const xg_node *n = xg_nodep(g->g, node);
    const local *in = local_of(g, n->in[0]);
    xg_slice f = xg_folded(g->g, n, in->need, s->w0, s->w1);
    uint32_t stage = g->b->stage + 1;
    cached *hit = find(g, n->in[0], &f, in->il, XG_NONE);
    if (hit) {
        hit->age = ++g->clock;
        return hit->buffer;
    }
    uint32_t ahead = (uint32_t)xg_clamp(g->stages_in_tile, 2, PREFETCH);
    uint32_t buf = add_map_buffer(g, n->in[0], &f, in->il, stage, ahead);
    buffer_at(g, buf)->fold = 1;
    xg_task t = blank(XG_TASK_LOAD, stage);
    t.node = node;
    t.tensor = n->in[0];
    t.s = f;
    t.out = buf;
    add_task(g, t);
    remember(g, (cached){.tensor = n->in[0], .il = in->il, .s = f, .piece = XG_NONE, .buffer = buf},
             false);
    return buf;
}

/* One block of output channels with kernel columns as channels. */
static void conv_block_folded(gen *g, uint32_t node, const xg_slice *s, uint32_t out) {
    const xg_node *n = xg_nodep(g->g, node);
    xg_task t = blank(XG_TASK_CONV, 0);
    t.p = params(g, node, s->c0, s->c1);
    t.in = request_folded(g, node, s);
    t.i1 = buffer_at(g, t.in)->s.c1;
    t.w = conv_weights(g, node, s->c0, s->c1, 0, t.i1, true);
    t.stage = ++g->b->stage;
    t.node = node;
    t.tensor = n->out[0];
    t.s = *s;
    t.out = out;
    add_task(g, t);
}

/* One block of output channels of a convolution: all chunks of its input channels. */
static void conv_block(gen *g, uint32_t node, const xg_slice *s, uint32_t out) {
    const xg_node *n = xg_nodep(g->g, node);
    local *in = local_of(g, n->in[0]);
    xg_slice need = xg_need(g->g, n, 0, s);
    uint32_t icp = g->m->tile.icp, step = g->grp->strategy.tile_ic, psum = XG_NONE;
    uint32_t lo = need.c0 / icp * icp, hi = need.c1;
    if (!step || step >= hi - lo) step = hi - lo;
    bool split_load =
        !in->inside && step < hi - lo && !xg_conv_input_whole(g->m, &in->need, in->il);
    uint32_t p = params(g, node, s->c0, s->c1);
    for (uint32_t i0 = lo; i0 < hi; i0 += step) {
        uint32_t i1 = (uint32_t)xg_min(i0 + step, hi);
        xg_slice part = in->need;
        part.c0 = i0;
        part.c1 = i1;
        uint32_t src =
            split_load ? request_slice(g, n->in[0], &part, in->il) : operand_buffer(g, n->in[0]);
        xg_task t = blank(XG_TASK_CONV, 0);
        t.w = conv_weights(g, node, s->c0, s->c1, i0, i1, false);
        t.stage = ++g->b->stage;
        if (psum == XG_NONE && step < hi - lo) psum = psum_buffer(g, s, t.stage);
        t.node = node;
        t.tensor = n->out[0];
        t.s = *s;
        t.in = src;
        t.p = p;
        t.out = out;
        t.psum = psum;
        t.i0 = i0;
        t.i1 = i1;
        t.acc_in = i0 > lo;
        t.acc_out = i1 < hi;
        add_task(g, t);
    }
}

static void conv_node(gen *g, uint32_t node, const xg_slice *s, uint32_t out) {
    uint32_t step = g->grp->strategy.tile_oc;
    uint32_t in = xg_nodep(g->g, node)->in[0];
    bool fold = g->grp->strategy.fold && node == g->grp->node[0] && staying_of(g, in) == XG_NONE;
    if (!step) step = s->c1 - s->c0;
    if (xg_ai(xg_nodep(g->g, node), XG_ATTR_group) > 1) step = g->m->tile.ocp;
    for (uint32_t c = s->c0; c < s->c1; c += step) {
        xg_slice part = *s;
        part.c0 = c;
        part.c1 = (uint32_t)xg_min(c + step, s->c1);
        if (fold)
            conv_block_folded(g, node, &part, out);
        else
            conv_block(g, node, &part, out);
    }
}

static void dw_node(gen *g, uint32_t node, const xg_slice *s, uint32_t out) {
    const xg_node *n = xg_nodep(g->g, node);
    xg_window w = xg_node_window(n);
    uint32_t bytes = (uint32_t)(w.kh * w.kw) *
                     (uint32_t)xg_ceil_div(s->c1 - s->c0, g->m->tile.icp) * g->m->tile.icp;
    xg_task t = blank(XG_TASK_CONV, 0);
    t.in = operand_buffer(g, n->in[0]);
    xg_piece want = {.kind = XG_PIECE_DW_W, .node = node, .c0 = s->c0, .c1 = s->c1, .bytes = bytes};
    t.w = request_piece(g, &want, XG_MEM_PARAM, (bytes + 15) / 16 * 16);
    t.p = params(g, node, s->c0, s->c1);
    t.node = node;
    t.tensor = n->out[0];
    t.s = *s;
    t.out = out;
    t.stage = ++g->b->stage;
    add_task(g, t);
}

static uint32_t table(gen *g, uint32_t node, uint32_t operand) {
    xg_piece want = {.kind = XG_PIECE_TABLE, .node = node, .c0 = operand, .bytes = 256};
    return request_piece(g, &want, XG_MEM_PARAM, 256);
}

static void misc_node(gen *g, uint32_t node, const xg_slice *s, uint32_t out, xg_tile_kind kind) {
    const xg_node *n = xg_nodep(g->g, node);
    xg_task t = blank(kind == XG_TK_POOL   ? XG_TASK_POOL
                      : kind == XG_TK_ELEW ? XG_TASK_ELEW
                                           : XG_TASK_LUT,
                      0);
    t.in = operand_buffer(g, n->in[0]);
    if (kind == XG_TK_ELEW) t.in2 = operand_buffer(g, n->in[1]);
    if (kind == XG_TK_LUT) t.p = table(g, node, 0);
    t.node = node;
    t.tensor = n->out[0];
    t.s = *s;
    t.out = out;
    t.stage = ++g->b->stage;
    add_task(g, t);
}

/* Channel at which a tensor begins in the concat result that it lies in. */
static uint32_t channel_in(const gen *g, uint32_t tensor, uint32_t result) {
    const xg_node *n = xg_nodep(g->g, xg_tensorp(g->g, result)->producer);
    uint32_t k = 0;
    while (n->in[k] != tensor) k++;
    return xg_concat_slice(g->g, n, k, (xg_slice){0, 0, 0, 0, 0, 0, 0}).c0;
}

/* The buffer of a whole tensor that stays on chip, made when it is first asked for; an operand of a
 * staying concat is a part of the result's buffer. */
static uint32_t staying_buffer(gen *g, uint32_t tensor) {
    uint32_t *slot = &g->b->staying[tensor], root = g->plan->place[tensor].root;
    if (*slot != XG_NONE) return *slot;
    xg_slice whole = xg_slice_whole(xg_tensorp(g->g, tensor), 0);
    if (root == tensor || !g->plan->place[root].stays) {
        uint32_t b = add_map_buffer(g, tensor, &whole, xg_staying_interleave(g->g, g->m, tensor),
                                    g->b->stage + 1, 0);
        buffer_at(g, b)->stays = true;
        buffer_at(g, b)->addr = g->plan->place[tensor].chip_addr;
        buffer_at(g, b)->last = UINT32_MAX;
        buffer_at(g, b)->soft_last = UINT32_MAX;
        return *slot = b;
    }
    uint32_t parent = staying_buffer(g, root);
    uint32_t b = add_buffer(g, *buffer_at(g, parent), g->b->stage + 1);
    xg_buffer *part = buffer_at(g, b);
    part->tensor = tensor;
    part->s = whole;
    part->parent = parent;
    part->offset = channel_in(g, tensor, root) / g->m->tile.icp;
    part->stays = true;
    part->last = part->soft_last = UINT32_MAX;
    return *slot = b;
}

/* operand: of the concat that is copied into; 0 else. */
static void save(gen *g, uint32_t tensor, const xg_slice *s, uint32_t buf, uint32_t operand) {
    xg_task t = blank(XG_TASK_SAVE, g->b->stage + 1);
    t.i0 = operand;
    t.tensor = tensor;
    t.s = *s;
    t.in = buf;
    add_task(g, t);
}

/* The node of the group that writes its result over that of node k; nnode when none does. */
static uint32_t overwriter(const gen *g, uint32_t k) {
    const xg_group *grp = g->grp;
    uint32_t t = xg_nodep(g->g, grp->node[k])->out[0];
    for (uint32_t j = k + 1; j < grp->nnode; j++) {
        int o = xg_in_place(g->g, grp->node, grp->nnode, j);
        if (o >= 0 && xg_nodep(g->g, grp->node[j])->in[o] == t) return j;
    }
    return grp->nnode;
}

/* Where node k of the group leaves its result in this tile: where the node that writes over it
 * does, if there is one. */
static uint32_t result_buffer(gen *g, uint32_t k) {
    const xg_node *n = xg_nodep(g->g, g->grp->node[k]);
    local *l = local_of(g, n->out[0]);
    kept *stay = kept_of(g, n->out[0]);
    if (stay) l->buffer = kept_buffer(g, stay, l);
    if (l->buffer != XG_NONE) return l->buffer;
    uint32_t over = overwriter(g, k);
    if (xg_group_returns(g->grp, g->grp->node[k]) && g->plan->place[n->out[0]].stays) {
        l->buffer = staying_buffer(g, n->out[0]);
    } else if (over < g->grp->nnode) {
        uint32_t parent = result_buffer(g, over);
        xg_buffer part = *buffer_at(g, parent);
        part.offset = part.ahead = 0;
        part.stays = false;
        part.tensor = n->out[0];
        l->buffer = add_buffer(g, part, g->b->stage + 1);
        buffer_at(g, l->buffer)->parent = parent;
    } else {
        uint32_t ahead = (uint32_t)xg_clamp(g->stages_in_tile, 2, PREFETCH);
        l->buffer = add_map_buffer(g, n->out[0], &l->need, l->il, g->b->stage + 1, ahead);
        buffer_at(g, l->buffer)->made = true;
    }
    return l->buffer;
}

static void one_tile(gen *g, const xg_slice *out) {
    uint32_t before = g->b->stage;
    spread_needs(g, out);
    for (uint32_t k = 0; k < g->grp->nnode; k++) {
        uint32_t node = g->grp->node[k];
        const xg_node *n = xg_nodep(g->g, node);
        xg_tile_kind kind = xg_node_tile_kind(g->g, n);
        local *l = local_of(g, n->out[0]);
        if (!l->seen) continue; /* nobody needs more of it */
        xg_slice s = l->make;
        uint32_t buf = result_buffer(g, k);
        if (s.h0 == s.h1) continue;
        if (kind == XG_TK_CONV)
            conv_node(g, node, &s, buf);
        else if (kind == XG_TK_DW)
            dw_node(g, node, &s, buf);
        else
            misc_node(g, node, &s, buf, kind);
        if (xg_group_returns(g->grp, node) && g->plan->place[n->out[0]].placed)
            save(g, n->out[0], &s, buf, 0);
    }
    g->stages_in_tile = g->b->stage - before;
    g->b->tile++;
}

/* ---- loops
 * --------------------------------------------------------------------------------------------------------
 */

/* This core's part of an axis that is split in units. */
static void share(uint32_t total, uint32_t unit, uint32_t cores, uint32_t core, uint32_t *lo,
                  uint32_t *hi) {
    uint32_t units = (uint32_t)xg_ceil_div(total, unit), each = units / cores, more = units % cores;
    uint32_t a = core * each + (core < more ? core : more), b = a + each + (core < more);
    *lo = (uint32_t)xg_min((int64_t)a * unit, total);
    *hi = (uint32_t)xg_min((int64_t)b * unit, total);
}

typedef struct area {
    uint32_t n0, n1, nstep;
    xg_slice s;
} area;

static area core_area(const gen *g, const xg_tensor *out) {
    int64_t d[4];
    xg_dims4(out, d);
    uint32_t cores = g->m->cores, core = g->b->core_idx;
    area a = {0, (uint32_t)d[0], 1, xg_slice_whole(out, 0)};
    switch (g->grp->strategy.split) {
    case XG_SPLIT_IMAGE:
        a.n0 = g->b->image;
        a.nstep = cores;
        if (!g->grp->strategy.batched && a.n1 > a.n0 + 1) a.n1 = a.n0 + 1;
        break;
    case XG_SPLIT_ROWS:
        share((uint32_t)d[1], g->m->tile.pp, cores, core, &a.s.h0, &a.s.h1);
        break;
    case XG_SPLIT_CHANNELS:
        share((uint32_t)d[3], (uint32_t)xg_max(g->m->tile.ocp, g->m->tile.icp), cores, core,
              &a.s.c0, &a.s.c1);
        break;
    case XG_SPLIT_NONE:
        if (core) a.n1 = 0;
        break;
    }
    return a;
}

/* Channel blocks are the tile's when nothing after the first node mixes channels and there is one
 * result. */
static bool all_channels(const gen *g) {
    if (g->grp->nresult > 1) return true;
    for (uint32_t k = 1; k < g->grp->nnode; k++)
        if (xg_node_tile_kind(g->g, xg_nodep(g->g, g->grp->node[k])) == XG_TK_CONV) return true;
    return false;
}

static uint32_t tile_rows(const gen *g, const xg_slice *area_s) {
    uint32_t h = g->grp->strategy.tile_h;
    return h ? h : area_s->h1 - area_s->h0;
}

/* A flat view's last row may be short: columns behind its end have a row less. */
static xg_slice where_pixels_are(const gen *g, xg_slice s) {
    const uint32_t *result;
    int64_t own[4], view[4];
    (void)xg_group_results(g->grp, &result);
    xg_dims4(xg_out(g->plan->graph, xg_nodep(g->g, result[0]), 0), own);
    xg_dims4(xg_out(g->g, xg_nodep(g->g, result[0]), 0), view);
    if (s.h1 == view[1] && (view[1] - 1) * view[2] + s.w0 >= own[1] * own[2]) s.h1--;
    return s;
}

/* Tiles of the columns of s. */
static void columns(gen *g, const xg_slice *s, void (*each)(gen *g, const xg_slice *s)) {
    uint32_t tw = g->grp->strategy.tile_w;
    if (!tw) tw = s->w1 - s->w0;
    for (uint32_t w = s->w0; w < s->w1 && !g->full; w += tw) {
        xg_slice part = *s;
        part.w0 = w;
        part.w1 = (uint32_t)xg_min(w + tw, s->w1);
        part = where_pixels_are(g, part);
        if (part.h0 < part.h1) each(g, &part);
    }
}

static void rows(gen *g, const xg_slice *s, void (*each)(gen *g, const xg_slice *s)) {
    uint32_t th = tile_rows(g, s);
    for (uint32_t h = s->h0; h < s->h1 && !g->full; h += th) {
        xg_slice part = *s;
        part.h0 = h;
        part.h1 = (uint32_t)xg_min(h + th, s->h1);
        each(g, &part);
    }
}

static void one_row(gen *g, const xg_slice *s) {
    columns(g, s, one_tile);
}

/* Which tensors are kept while tiles go down the strip, and how many rows of each. */
static void plan_kept(gen *g, const xg_slice *strip) {
    const xg_group *grp = g->grp;
    g->nkept = 0;
    spread_needs(g, strip);
    for (uint32_t i = 0; i < g->nloc; i++) {
        const local *l = &g->loc[i];
        bool folded = grp->strategy.fold && l->tensor == xg_nodep(g->g, grp->node[0])->in[0];
        bool result = l->inside && xg_group_returns(grp, xg_tensorp(g->g, l->tensor)->producer);
        if (folded || result || staying_of(g, l->tensor) != XG_NONE ||
            !xg_rows_kept(g->g, grp->node, grp->nnode, l->tensor))
            continue;
        g->kept[g->nkept++] = (kept){l->tensor, XG_NONE, l->need.h0, l->need.h1, 0, l->need.h0, 0};
    }
    rows(g, strip, spread_needs);
    for (uint32_t i = 0; i < g->nkept; i++) g->kept[i].done = g->kept[i].from = g->kept[i].begin;
}

static void one_strip(gen *g, const xg_slice *s) {
    plan_kept(g, s);
    rows(g, s, one_tile);
    g->nkept = 0;
}

/* Where rows are kept, strip after strip of columns, else row after row. */
static void rows_and_columns(gen *g, const xg_slice *s) {
    const xg_strategy *st = &g->grp->strategy;
    if (st->keep && !st->tile_ic && tile_rows(g, s) < s->h1 - s->h0)
        columns(g, s, one_strip);
    else
        rows(g, s, one_row);
}

/* Channel blocks outside the tiles (weights stay) or inside (maps stay). */
static void tile_loops(gen *g) {
    const uint32_t *result;
    (void)xg_group_results(g->grp, &result);
    area a = core_area(g, xg_out(g->g, xg_nodep(g->g, result[0]), 0));
    const xg_strategy *st = &g->grp->strategy;
    uint32_t step = st->tile_oc && !all_channels(g) ? st->tile_oc : a.s.c1 - a.s.c0;
    bool blocks_inside = st->order == XG_MAP_STATIONARY && step < a.s.c1 - a.s.c0 &&
                         xg_node_tile_kind(g->g, xg_nodep(g->g, g->grp->node[0])) == XG_TK_CONV;
    if (a.s.h0 >= a.s.h1 || a.s.c0 >= a.s.c1) return;
    uint32_t outer = blocks_inside ? a.s.c1 - a.s.c0 : step;
    for (uint32_t c = a.s.c0; c < a.s.c1; c += outer)
        for (uint32_t n = a.n0; n < a.n1 && !g->full; n += a.nstep) {
            xg_slice s = a.s;
            s.n = n;
            s.c0 = c;
            s.c1 = (uint32_t)xg_min(c + outer, a.s.c1);
            rows_and_columns(g, &s);
        }
}

/* A concat's operand that does not lie inside the result: load, requantise by table where needed,
 * save. */
static void copy_operand(gen *g, uint32_t node, uint32_t k, xg_slice from, xg_slice to) {
    const xg_node *n = xg_nodep(g->g, node);
    const xg_tensor *x = xg_in(g->g, n, k), *y = xg_out(g->g, n, 0);
    uint32_t buf = request_slice(g, n->in[k], &from, 1);
    if (!xg_quant_equal(x->quant, y->quant)) {
        xg_task t = blank(XG_TASK_LUT, 0);
        t.in = buf;
        t.out = add_map_buffer(g, n->out[0], &to, 1, g->b->stage + 1, 0);
        t.p = table(g, node, k);
        t.node = node;
        t.tensor = n->out[0];
        t.s = to;
        t.i0 = k;
        t.stage = ++g->b->stage;
        add_task(g, t);
        buf = t.out;
    } else {
        ++g->b->stage;
    }
    save(g, n->out[0], &to, buf, k);
    g->b->tile++;
}

/* A part of a concat's result: its operands' loads, and one save. */
static void gather(gen *g, uint32_t tensor, const xg_slice *s) {
    xg_task t = blank(XG_TASK_LOAD, g->b->stage + 1);
    t.tensor = tensor;
    t.s = *s;
    t.out = add_map_buffer(g, tensor, s, 1, g->b->stage + 1, 2);
    add_operands(g, &t);
    ++g->b->stage;
    save(g, tensor, s, t.out, 0);
    g->b->tile++;
}

/* Size of the parts in which a slice is copied: a quarter of the feature-map memory at most, so
 * that copies overlap. */
static xg_slice copy_part(const gen *g, const xg_slice *s) {
    xg_slice p = {0, 0, s->h1 - s->h0, 0, s->w1 - s->w0, 0, s->c1 - s->c0};
    uint32_t icp = g->m->tile.icp;
    while (xg_fm_words(g->m, &p, 1) * (uint64_t)4 > g->m->tile.fm_depth) {
        if (p.h1 > g->m->tile.pp)
            p.h1 = (p.h1 + 1) / 2;
        else if (p.w1 > 1)
            p.w1 = (p.w1 + 1) / 2;
        else if (p.c1 > icp)
            p.c1 = (p.c1 / 2 + icp - 1) / icp * icp;
        else
            break;
    }
    return p;
}

/* One image of operand k; k = XG_NONE: of the result, gathered. */
static void copy_image(gen *g, uint32_t node, uint32_t k, uint32_t image, uint32_t *turn) {
    const xg_node *n = xg_nodep(g->g, node);
    const xg_tensor *t = k == XG_NONE ? xg_out(g->g, n, 0) : xg_in(g->g, n, k);
    xg_slice whole = xg_slice_whole(t, image), part = copy_part(g, &whole);
    for (uint32_t h = 0; h < whole.h1; h += part.h1)
        for (uint32_t w = 0; w < whole.w1; w += part.w1)
            for (uint32_t c = 0; c < whole.c1; c += part.c1) {
                const xg_strategy *st = &g->grp->strategy;
                bool images = st->split == XG_SPLIT_IMAGE;
                uint32_t whose = images ? image : (*turn)++;
                if (images && !st->batched ? image != g->b->image
                                           : whose % g->m->cores != g->b->core_idx)
                    continue;
                xg_slice s = {image,
                              h,
                              (uint32_t)xg_min(h + part.h1, whole.h1),
                              w,
                              (uint32_t)xg_min(w + part.w1, whole.w1),
                              c,
                              (uint32_t)xg_min(c + part.c1, whole.c1)};
                if (k == XG_NONE)
                    gather(g, n->out[0], &s);
                else
                    copy_operand(g, node, k, s, xg_concat_slice(g->g, n, k, s));
            }
}

static void concat_group(gen *g) {
    uint32_t node = g->grp->node[0], turn = 0;
    const xg_node *n = xg_nodep(g->g, node);
    int64_t d[4];
    xg_dims4(xg_out(g->g, n, 0), d);
    for (uint32_t image = 0; image < d[0] && g->plan->place[n->out[0]].gathered; image++)
        copy_image(g, node, XG_NONE, image, &turn);
    for (uint32_t k = 0; k < n->nin; k++) {
        xg_dims4(xg_in(g->g, n, k), d);
        for (uint32_t image = 0; image < d[0] && xg_copies_operand(g->plan, n, k); image++)
            copy_image(g, node, k, image, &turn);
    }
}

xg_status xg_build_group(xg_task_builder *b, const xg_group *grp) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(b->plan->arena));
    gen *g = xg_new(tmp, gen);
    *g = (gen){.b = b,
               .plan = b->plan,
               .g = xg_plan_graph(b->plan, grp),
               .m = b->plan->machine,
               .grp = grp,
               .first_task = b->core->task.n,
               .stages_in_tile = 2};
    g->loc = xg_newn(tmp, local, 3 * (size_t)grp->nnode + 4);
    g->kept = xg_newn(tmp, kept, 3 * (size_t)grp->nnode + 4);
    xg_tile_kind kind = xg_node_tile_kind(g->g, xg_nodep(g->g, grp->node[0]));
    const uint32_t *result;
    uint32_t nresult = xg_group_results(grp, &result);
    for (uint32_t r = 0; r < nresult; r++) { /* before all else: their places are fixed */
        uint32_t t = xg_nodep(g->g, result[r])->out[0];
        if (b->plan->place[t].stays && kind != XG_TK_CONCAT) (void)staying_buffer(g, t);
    }
    if (kind == XG_TK_CONCAT)
        concat_group(g);
    else if (kind != XG_TK_VIEW)
        tile_loops(g);
    bool full = g->full;
    if (full) *b->plan->lack = (xg_lack){.tasks = true, .have = XG_PLAN_TASKS};
    xg_arena_free(tmp);
    return full ? XG_LIMIT : XG_OK;
}

int64_t xg_least_tasks(const xg_graph *g, const xg_group *grp) {
    const xg_strategy *s = &grp->strategy;
    const xg_node *first = xg_nodep(g, grp->node[0]);
    xg_tile_kind kind = xg_node_tile_kind(g, first);
    int64_t d[4], in[4], blocks = 1;
    if (kind == XG_TK_CONCAT || kind == XG_TK_VIEW) return 0;
    xg_group_dims(g, grp, d);
    xg_dims4(xg_in(g, first, 0), in);
    if (grp->nnode == 1 && s->tile_oc) blocks = xg_ceil_div(d[3], s->tile_oc);
    if (kind == XG_TK_CONV && s->tile_ic && xg_ai(first, XG_ATTR_group) == 1)
        blocks *= xg_ceil_div(in[3], s->tile_ic);
    return d[0] * xg_ceil_div(d[1], s->tile_h ? s->tile_h : d[1]) *
           xg_ceil_div(d[2], s->tile_w ? s->tile_w : d[2]) * blocks;
}
