/* Steps of one group on core 0: the loops, requests and buffers of layout/tasks.c, with costs
 * instead of tasks. */
#include "fusion/forecast_inner.h"

#include "fusion/estimate.h"
#include "isa/timing.h"

#include <string.h>

enum { CACHE = 64, KEEP = 24, PREFETCH = 48, LONG_CYCLES = 512, LONG_LIST = 96 };

typedef struct cached {
    uint32_t tensor; /* a slice; XG_NONE: a packed constant */
    xg_slice s;      /* constants: [c0, c1) x [h0, h1) of the channels, kind in n, node in w0 */
    uint32_t buffer;
    uint64_t age;
} cached;

typedef struct local {
    uint32_t tensor;
    xg_slice need;
    bool seen, inside;
    uint32_t il, buffer;
} local;

typedef struct gen {
    xg_forecaster *f;
    const xg_graph *g;
    const xg_machine *m;
    const xg_group *grp;
    cached cache[CACHE];
    uint32_t ncache;
    uint64_t clock;
    local *loc;
    uint32_t nloc, stages_in_tile;
    uint32_t init[2]; /* node whose INIT the CONV and MISC engines hold */
} gen;

/* ---- steps and buffers
 * ------------------------------------------------------------------------------------ */

/* What a step reads and writes; XG_NONE: nothing. */
typedef struct uses {
    uint32_t in, in2, w, p, out, psum;
} uses;
static const uses no_uses = {XG_NONE, XG_NONE, XG_NONE, XG_NONE, XG_NONE, XG_NONE};

static void raise(uint32_t *v, uint32_t to) {
    if (*v < to) *v = to;
}

static void outlive(xg_forecaster *f, uint32_t b, uint32_t stage) {
    for (; b != XG_NONE; b = f->buffer.v[b].parent) {
        xg_fc_buffer *x = &f->buffer.v[b];
        raise(&x->last, f->step.n);
        raise(&x->soft_last, stage);
    }
}

static bool overlap(const xg_fc_access *a, const xg_fc_access *b) {
    for (int i = 0; i < 3; i++)
        if (a->lo[i] >= b->hi[i] || b->lo[i] >= a->hi[i]) return false;
    return true;
}

/* The step about to be added touches slice s of a buffer, NULL: all of it; it comes after those
 * before it that touch the same words where one of both writes. */
static void touch(gen *k, uint32_t b, const xg_slice *s, bool write) {
    xg_forecaster *f = k->f;
    if (b == XG_NONE) return;
    const xg_fc_buffer *x = &f->buffer.v[b];
    uint32_t icp = k->m->tile.icp, root = b, offset = 0, step = f->step.n;
    for (; f->buffer.v[root].parent != XG_NONE; root = f->buffer.v[root].parent)
        offset += f->buffer.v[root].offset;
    xg_fc_access y = {.step = step, .write = write, .hi = {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    if (s && x->mem == XG_MEM_FM && !x->fold && s->h0 >= x->s.h0 && s->w0 >= x->s.w0 &&
        s->c0 >= x->s.c0) {
        y.lo[0] = s->h0 - x->s.h0, y.hi[0] = s->h1 - x->s.h0;
        y.lo[1] = s->w0 - x->s.w0, y.hi[1] = s->w1 - x->s.w0;
        y.lo[2] = offset + (s->c0 - x->s.c0) / icp;
        y.hi[2] = offset + (uint32_t)xg_ceil_div(s->c1 - x->s.c0, icp);
    }
    xg_fc_accesses *all = &f->buffer.v[root].touched;
    bool close = all->n >= LONG_LIST; /* of a long list all, and what follows after this one */
    for (uint32_t i = 0; i < all->n; i++)
        if (close || ((write || all->v[i].write) && overlap(&all->v[i], &y)))
            xg_fc_order(f, all->v[i].step, step);
    if (close) {
        all->n = 0;
        y = (xg_fc_access){.step = step, .write = true, .hi = {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    }
    if (f->buffer.v[root].born == XG_NONE) f->buffer.v[root].born = step;
    xg_push(f->a, all, y);
    uint32_t event = (uint32_t)XG_PIPE_EVENT + 2 * root;
    xg_fc_order(f, event, step);
    xg_fc_order(f, step, event + 1);
}

/* a, b: the parts of the operands that are read, c: of the result; NULL: all. */
static uint32_t add_step(gen *k, xg_pipe_step x, const uses *u, uint32_t stage, const xg_slice *a,
                         const xg_slice *b, const xg_slice *c) {
    xg_forecaster *f = k->f;
    const uint32_t used[] = {u->in, u->in2, u->w, u->p, u->out, u->psum};
    for (uint32_t i = 0; i < XG_COUNT(used); i++) outlive(f, used[i], stage);
    touch(k, u->in, a, false);
    touch(k, u->in2, b, false);
    touch(k, u->w, NULL, false);
    touch(k, u->p, NULL, false);
    touch(k, u->psum, NULL, true);
    touch(k, u->out, c, true);
    x.group = f->group;
    x.share_x256 = f->share_x256;
    if (x.ninst == 0) x.ninst = 1;
    xg_push(f->a, &f->step, x);
    return f->step.n - 1;
}

static uint32_t add_buffer(gen *k, xg_fc_buffer b, uint32_t stage) {
    b.parent = b.born = XG_NONE;
    b.first = b.last = k->f->step.n;
    b.soft_first = b.soft_last = stage;
    xg_push(k->f->a, &k->f->buffer, b);
    return k->f->buffer.n - 1;
}

static uint32_t add_map_buffer(gen *k, const xg_slice *s, uint32_t il, uint32_t stage,
                               uint32_t ahead) {
    return add_buffer(
        k,
        (xg_fc_buffer){
            .mem = XG_MEM_FM, .size = xg_fm_words(k->m, s, il), .il = il, .ahead = ahead, .s = *s},
        stage);
}

/* ---- tensors: where their memory is, who wrote what
 * ----------------------------------------------------------------- */

static bool stays(const xg_forecaster *f, uint32_t t) {
    return f->sel->on_chip && f->sel->on_chip[t];
}

/* The tensor whose memory t shares, in DDR or on chip, and the slice there. */
static uint32_t home(const xg_forecaster *f, uint32_t t, bool chip, xg_slice *s) {
    for (uint32_t up; (up = f->parent[t]) != XG_NONE && (!chip || stays(f, up)); t = up) {
        const xg_node *n = xg_nodep(f->g, xg_tensorp(f->g, up)->producer);
        uint32_t k = 0;
        while (k < n->nin && n->in[k] != t) k++;
        if (k < n->nin) *s = xg_concat_slice(f->g, n, k, *s);
    }
    return t;
}

/* Through reshapes and slices to the tensor that is stored; where a view was, all of it is meant.
 */
static uint32_t stored(const xg_forecaster *f, uint32_t t, bool *view) {
    for (*view = false;; *view = true) {
        uint32_t made = xg_tensorp(f->g, t)->producer;
        if (made == XG_NONE || xg_node_tile_kind(f->g, xg_nodep(f->g, made)) != XG_TK_VIEW)
            return t;
        t = xg_nodep(f->g, made)->in[0];
    }
}

static bool meet(const xg_slice *a, const xg_slice *b) {
    return a->n == b->n && a->h0 < b->h1 && b->h0 < a->h1 && a->w0 < b->w1 && b->w0 < a->w1 &&
           a->c0 < b->c1 && b->c0 < a->c1;
}

/* ---- transfers
 * ---------------------------------------------------------------------------------------------- */

static xg_pipe_step transfer(const gen *k, bool load, uint64_t runs, uint64_t run, uint64_t words) {
    uint32_t start = load ? k->m->tile.load_start : k->m->tile.save_start;
    return (xg_pipe_step){
        .engine = load ? XG_TILE_LOAD : XG_TILE_SAVE,
        .ninst = 1,
        .cycles = xg_time_transfer(k->m, start, runs, run, words),
        .setup = (uint64_t)start + k->m->ddr.latency,
        .ddr = xg_time_ddr_x65536(k->m, runs * run, xg_time_bursts(k->m, runs, run))};
}

/* A slice between DDR and the chip: runs of bytes that are consecutive where the tensor is stored.
 */
static xg_pipe_step move_slice(const gen *k, uint32_t tensor, const xg_slice *s, bool load) {
    xg_slice at = *s;
    bool view;
    uint32_t root = home(k->f, stored(k->f, tensor, &view), false, &at);
    int64_t d[4], r[4];
    xg_dims4(xg_tensorp(k->g, tensor), d);
    xg_dims4(xg_tensorp(k->g, root), r);
    uint64_t rows = s->h1 - s->h0, cols = s->w1 - s->w0, ch = s->c1 - s->c0, runs = rows,
             run = cols * ch;
    uint64_t pix = view ? (uint64_t)d[3] : (uint64_t)r[3], row = (uint64_t)d[2] * pix;
    if (pix != ch && cols > 1)
        runs = rows * cols, run = ch;
    else if (row == run || rows == 1)
        run *= runs, runs = 1;
    return transfer(k, load, runs, run,
                    rows * cols * (uint64_t)xg_ceil_div((int64_t)ch, k->m->tile.icp));
}

/* The transfer about to be added comes behind what it needs of DDR and behind the cores' last
 * meeting. */
static void order_in_ddr(gen *k, uint32_t tensor, xg_slice s, bool load) {
    xg_forecaster *f = k->f;
    bool view;
    uint32_t root = home(f, stored(f, tensor, &view), false, &s), step = f->step.n;
    xg_fc_writes *w = &f->in_ddr[root];
    xg_push(f->a, &f->transfers, step);
    xg_fc_order(f, f->await, step);
    for (uint32_t i = 0; load && i < w->n; i++)
        if (view || meet(&w->v[i].s, &s)) xg_fc_order(f, w->v[i].step, step);
    if (!load) xg_push(f->a, w, ((xg_fc_write){s, step}));
}

/* ---- requests
 * ------------------------------------------------------------------------------------------------
 */

static cached *find(gen *k, uint32_t tensor, const xg_slice *s) {
    for (uint32_t i = 0; i < k->ncache; i++) {
        cached *c = &k->cache[i];
        if (c->tensor == tensor && xg_slice_equal(&c->s, s)) {
            c->age = ++k->clock;
            return c;
        }
    }
    return NULL;
}

static void remember(gen *k, cached c, bool keep_all) {
    c.age = ++k->clock;
    const xg_fc_buffer *b = &k->f->buffer.v[c.buffer];
    uint32_t same = 0, oldest = XG_NONE, room = b->size;
    for (uint32_t i = 0; i < k->ncache; i++) {
        const xg_fc_buffer *o = &k->f->buffer.v[k->cache[i].buffer];
        if (k->cache[i].tensor != c.tensor || o->mem != b->mem) continue;
        same++, room += o->size;
        if (oldest == XG_NONE || k->cache[i].age < k->cache[oldest].age) oldest = i;
    }
    bool parameters = c.tensor == XG_NONE && b->mem == XG_MEM_PARAM;
    bool full = parameters ? same >= KEEP || room > k->m->tile.param_bytes / 2 : same && !keep_all;
    if (oldest != XG_NONE && (full || k->ncache == CACHE))
        k->cache[oldest] = c;
    else if (k->ncache < CACHE)
        k->cache[k->ncache++] = c;
}

static uint32_t slice_ahead(const gen *k) {
    return (uint32_t)xg_clamp(k->stages_in_tile, 2, PREFETCH);
}

static uint32_t request_slice(gen *k, uint32_t tensor, const xg_slice *s, uint32_t il) {
    uint32_t stage = k->f->stage + 1;
    if (k->f->staying[tensor] != XG_NONE) return k->f->staying[tensor];
    cached *hit = find(k, tensor, s);
    if (hit) return hit->buffer;
    uses u = no_uses;
    u.out = add_map_buffer(k, s, il, stage, slice_ahead(k));
    order_in_ddr(k, tensor, *s, true);
    add_step(k, move_slice(k, tensor, s, true), &u, stage, NULL, NULL, s);
    remember(k, (cached){.tensor = tensor, .s = *s, .buffer = u.out}, false);
    return u.out;
}

/* kind, node and channels name the piece. */
static uint32_t request_piece(gen *k, xg_slice piece, uint8_t mem, uint32_t size, uint64_t bytes,
                              uint64_t words) {
    uint32_t stage = k->f->stage + 1;
    cached *hit = find(k, XG_NONE, &piece);
    if (hit) return hit->buffer;
    uses u = no_uses;
    u.out = add_buffer(k, (xg_fc_buffer){.mem = mem, .size = size, .ahead = 60}, stage);
    xg_pipe_step x = transfer(k, true, 1, bytes, words);
    x.constant = true;
    add_step(k, x, &u, stage, NULL, NULL, NULL);
    bool keep = mem == XG_MEM_W && k->grp->strategy.weights_resident;
    remember(k, (cached){.tensor = XG_NONE, .s = piece, .buffer = u.out}, keep);
    return u.out;
}

enum { PIECE_W, PIECE_DW, PIECE_PARAM, PIECE_TABLE };

static uint32_t request_param(gen *k, uint32_t kind, uint32_t node, uint32_t c0, uint32_t c1,
                              uint64_t bytes) {
    xg_slice piece = {.n = kind, .w0 = node, .c0 = c0, .c1 = c1};
    return request_piece(k, piece, XG_MEM_PARAM, (uint32_t)((bytes + 15) / 16 * 16), bytes,
                         (uint64_t)xg_ceil_div((int64_t)bytes, k->m->tile.icp));
}

static uint32_t params(gen *k, uint32_t node, uint32_t c0, uint32_t c1) {
    return request_param(k, PIECE_PARAM, node, c0, c1, (uint64_t)(c1 - c0) * xg_param_record(k->m));
}

static uint32_t conv_weights(gen *k, uint32_t node, const xg_slice *s, uint32_t i0, uint32_t i1,
                             bool fold) {
    xg_window w = xg_node_window(xg_nodep(k->g, node));
    uint32_t groups = (uint32_t)xg_ceil_div(s->c1 - s->c0, k->m->tile.ocp);
    uint32_t words = groups * (uint32_t)(w.kh * (fold ? 1 : w.kw)) *
                     (uint32_t)xg_ceil_div(i1 - i0, k->m->tile.icp);
    uint32_t all = words * (uint32_t)xg_min(s->c1 - s->c0, k->m->tile.ocp);
    xg_slice piece = {
        .n = PIECE_W, .w0 = node, .c0 = s->c0, .c1 = s->c1, .h0 = i0, .h1 = i1, .w1 = fold};
    return request_piece(k, piece, XG_MEM_W, words, (uint64_t)all * k->m->tile.icp, all);
}

/* ---- the group's tensors in one tile
 * ---------------------------------------------------------------------- */

static local *local_of(gen *k, uint32_t tensor) {
    for (uint32_t i = 0; i < k->nloc; i++)
        if (k->loc[i].tensor == tensor) return &k->loc[i];
    k->loc[k->nloc] = (local){.tensor = tensor, .il = 1, .buffer = XG_NONE};
    return &k->loc[k->nloc++];
}

static uint32_t map_operands(const xg_graph *g, const xg_node *n) {
    return xg_node_tile_kind(g, n) == XG_TK_ELEW ? 2 : 1;
}

static void spread_needs(gen *k, const xg_slice *out) {
    const xg_group *grp = k->grp;
    const uint32_t *result;
    uint32_t nresult = xg_group_results(grp, &result);
    k->nloc = 0;
    for (uint32_t r = 0; r < nresult; r++) {
        uint32_t t = xg_nodep(k->g, result[r])->out[0];
        local *l = local_of(k, t);
        l->need = *out;
        if (nresult > 1) {
            xg_slice all = xg_slice_whole(xg_tensorp(k->g, t), 0);
            l->need.c0 = all.c0;
            l->need.c1 = all.c1;
        }
        l->seen = true;
    }
    for (uint32_t i = 0; i < grp->nnode; i++)
        local_of(k, xg_nodep(k->g, grp->node[i])->out[0])->inside = true;
    for (uint32_t i = grp->nnode; i-- > 0;) {
        const xg_node *n = xg_nodep(k->g, grp->node[i]);
        xg_slice have = local_of(k, n->out[0])->need;
        for (uint32_t o = 0; o < map_operands(k->g, n); o++) {
            xg_slice s = xg_need(k->g, n, o, &have);
            s.c0 = s.c0 / k->m->tile.icp * k->m->tile.icp;
            local *l = local_of(k, n->in[o]);
            if (l->seen)
                xg_slice_unite(&l->need, &s);
            else
                l->need = s;
            l->seen = true;
            uint32_t il = xg_node_interleave(k->g, n);
            if (il > l->il) l->il = il;
        }
    }
}

static uint32_t operand_buffer(gen *k, uint32_t tensor) {
    local *l = local_of(k, tensor);
    if (!l->inside) l->buffer = request_slice(k, tensor, &l->need, l->il);
    return l->buffer;
}

/* ---- nodes
 * ----------------------------------------------------------------------------------------------------
 */

/* An INIT instruction where the engine held another node's registers. */
static void add_init(gen *k, uint32_t node, xg_pipe_step *s) {
    uint32_t *have = &k->init[s->engine == XG_TILE_MISC];
    if (*have == node) return;
    *have = node;
    s->cycles++;
}

/* What a compute step does: its cost follows from the slice of the result. */
typedef struct work {
    uint32_t node;
    xg_tile_kind kind;
    uint32_t channels, il; /* convolutions: of the input */
    bool fold, sums;
} work;

static uint32_t slice_rows(const xg_slice *s) {
    return s->h1 - s->h0;
}

static xg_pipe_step conv_step(const gen *k, const work *j, const xg_slice *s) {
    const xg_tile_machine *t = &k->m->tile;
    xg_window w = xg_node_window(xg_nodep(k->g, j->node));
    uint32_t groups = (uint32_t)xg_ceil_div(s->c1 - s->c0, t->ocp),
             row_groups = (uint32_t)xg_ceil_div(slice_rows(s), t->pp);
    uint64_t one =
        xg_time_conv(k->m, (uint32_t)w.kh, j->fold ? 1 : (uint32_t)w.kw, (uint32_t)w.sh, j->il,
                     (uint32_t)xg_ceil_div(j->channels, t->icp),
                     (uint32_t)xg_min(t->pp, slice_rows(s)), s->w1 - s->w0, j->sums, j->sums);
    return (xg_pipe_step){
        .engine = XG_TILE_CONV, .ninst = groups * row_groups, .cycles = one * groups * row_groups};
}

/* Parts of an axis in which an average has the same number of elements. */
static uint32_t equal_counts(uint32_t o0, uint32_t o1, int32_t kernel, int32_t s, int32_t d,
                             int32_t pad, int64_t size) {
    uint32_t parts = 0, before = UINT32_MAX;
    for (uint32_t o = o0; o < o1; o++) {
        uint32_t count = 0;
        for (int32_t i = 0; i < kernel; i++) {
            int64_t x = (int64_t)o * s - pad + (int64_t)i * d;
            count += x >= 0 && x < size;
        }
        parts += count != before;
        before = count;
    }
    return parts;
}

static xg_pipe_step pool_step(const gen *k, const xg_node *n, const xg_slice *s) {
    xg_window w = xg_node_window(n);
    int64_t d[4];
    xg_dims4(xg_in(k->g, n, 0), d);
    uint32_t ni = 1;
    if (n->op == XG_OP_AvgPool && !xg_ai(n, XG_ATTR_count_pad) && (w.pt | w.pl | w.pb | w.pr))
        ni = equal_counts(s->h0, s->h1, w.kh, w.sh, w.dh, w.pt, d[1]) *
             equal_counts(s->w0, s->w1, w.kw, w.sw, w.dw, w.pl, d[2]);
    uint64_t cycles =
        xg_time_pool(k->m, (uint32_t)(w.kh * w.kw), slice_rows(s), s->w1 - s->w0, s->c1 - s->c0);
    cycles += (ni - 1) * (uint64_t)(k->m->tile.misc_start + 1);
    return (xg_pipe_step){.engine = XG_TILE_MISC, .ninst = ni, .cycles = cycles};
}

static xg_pipe_step compute_step(const gen *k, const work *j, const xg_slice *s) {
    const xg_node *n = xg_nodep(k->g, j->node);
    uint32_t rows = slice_rows(s), cols = s->w1 - s->w0, ch = s->c1 - s->c0;
    xg_pipe_step x = {.engine = XG_TILE_MISC, .ninst = 1};
    switch (j->kind) {
    case XG_TK_CONV:
        return conv_step(k, j, s);
    case XG_TK_POOL:
        return pool_step(k, n, s);
    case XG_TK_DW: {
        xg_window w = xg_node_window(n);
        x.cycles = xg_time_dwconv(k->m, (uint32_t)(w.kh * w.kw), rows, cols, ch);
        return x;
    }
    case XG_TK_ELEW:
        x.cycles = xg_time_elew(k->m, 2, rows, cols, ch);
        return x;
    default:
        x.cycles = xg_time_lut(k->m, rows, cols, ch);
        return x;
    }
}

static void add_compute(gen *k, const work *j, const uses *u, const xg_slice *s) {
    const xg_node *n = xg_nodep(k->g, j->node);
    xg_slice a = *s, b = *s;
    if (j->kind != XG_TK_LUT) a = xg_need(k->g, n, 0, s);
    if (u->in2 != XG_NONE) b = xg_need(k->g, n, 1, s);
    xg_pipe_step x = compute_step(k, j, s);
    if (j->kind != XG_TK_LUT) add_init(k, j->node, &x);
    add_step(k, x, u, k->f->stage, &a, &b, s);
}

/* One stage; long ones are cut into row groups, as layout/order.c does. */
static void finish_compute(gen *k, const work *j, const uses *u, const xg_slice *s) {
    uint32_t rows = k->m->tile.pp;
    while (rows % k->m->tile.misc_rows) rows += k->m->tile.pp;
    ++k->f->stage;
    xg_slice rest = *s;
    if (u->psum == XG_NONE && slice_rows(s) > k->m->tile.pp &&
        compute_step(k, j, s).cycles >= LONG_CYCLES)
        for (; slice_rows(&rest) > rows; rest.h0 += rows) {
            xg_slice part = rest;
            part.h1 = rest.h0 + rows;
            add_compute(k, j, u, &part);
        }
    add_compute(k, j, u, &rest);
}

static uint32_t request_folded(gen *k, uint32_t node, const xg_slice *s) {
    const xg_node *n = xg_nodep(k->g, node);
    const local *in = local_of(k, n->in[0]);
    xg_slice f = xg_folded(k->g, n, in->need, s->w0, s->w1);
    cached *hit = find(k, n->in[0], &f);
    if (hit) return hit->buffer;
    uint32_t stage = k->f->stage + 1;
    int64_t d[4];
    xg_dims4(xg_in(k->g, n, 0), d);
    uses u = no_uses;
    u.out = add_map_buffer(k, &f, in->il, stage, slice_ahead(k));
    k->f->buffer.v[u.out].fold = true;
    uint64_t rows = f.h1 - f.h0, cols = in->need.w1 - in->need.w0, run = cols * (uint64_t)d[3];
    bool one = cols == (uint64_t)d[2];
    xg_pipe_step x = transfer(k, true, one ? 1 : rows, one ? rows * run : run,
                              rows * (f.w1 - f.w0) * (uint64_t)xg_ceil_div(f.c1, k->m->tile.icp));
    order_in_ddr(k, n->in[0], in->need, true);
    add_step(k, x, &u, stage, NULL, NULL, NULL);
    remember(k, (cached){.tensor = n->in[0], .s = f, .buffer = u.out}, false);
    return u.out;
}

static void conv_block_folded(gen *k, uint32_t node, const xg_slice *s, uint32_t out) {
    const xg_node *n = xg_nodep(k->g, node);
    int64_t d[4];
    xg_dims4(xg_in(k->g, n, 0), d);
    uses u = no_uses;
    u.p = params(k, node, s->c0, s->c1);
    u.in = request_folded(k, node, s);
    uint32_t channels = (uint32_t)(d[3] * xg_node_window(n).kw);
    u.w = conv_weights(k, node, s, 0, channels, true);
    u.out = out;
    work j = {node, XG_TK_CONV, channels, k->f->buffer.v[u.in].il, true, false};
    finish_compute(k, &j, &u, s);
}

static uint32_t psum_buffer(gen *k, const xg_slice *s, uint32_t stage) {
    uint32_t groups = (uint32_t)xg_ceil_div(s->c1 - s->c0, k->m->tile.ocp),
             rows = (uint32_t)xg_ceil_div(s->h1 - s->h0, k->m->tile.pp);
    return add_buffer(k,
                      (xg_fc_buffer){.mem = XG_MEM_FM,
                                     .size = groups * rows * (s->w1 - s->w0) * xg_psum_words(k->m)},
                      stage);
}

static void conv_block(gen *k, uint32_t node, const xg_slice *s, uint32_t out) {
    const xg_node *n = xg_nodep(k->g, node);
    local *in = local_of(k, n->in[0]);
    xg_slice need = xg_need(k->g, n, 0, s);
    uint32_t icp = k->m->tile.icp, step = k->grp->strategy.tile_ic, psum = XG_NONE;
    uint32_t lo = need.c0 / icp * icp, hi = need.c1;
    if (!step || step >= hi - lo) step = hi - lo;
    bool split_load =
        !in->inside && step < hi - lo && !xg_conv_input_whole(k->m, &in->need, in->il);
    uint32_t p = params(k, node, s->c0, s->c1);
    for (uint32_t i0 = lo; i0 < hi; i0 += step) {
        uint32_t i1 = (uint32_t)xg_min(i0 + step, hi);
        xg_slice part = in->need;
        part.c0 = split_load ? i0 : part.c0 / icp * icp;
        if (split_load) part.c1 = i1;
        uses u = {.in = in->inside ? in->buffer : request_slice(k, n->in[0], &part, in->il),
                  .in2 = XG_NONE,
                  .p = p,
                  .out = out};
        u.w = conv_weights(k, node, s, i0, i1, false);
        if (psum == XG_NONE && step < hi - lo) psum = psum_buffer(k, s, k->f->stage + 1);
        u.psum = psum;
        work j = {node, XG_TK_CONV, i1 - i0, k->f->buffer.v[u.in].il, false, step < hi - lo};
        finish_compute(k, &j, &u, s);
    }
}

static void conv_node(gen *k, uint32_t node, const xg_slice *s, uint32_t out) {
    uint32_t step = k->grp->strategy.tile_oc, in = xg_nodep(k->g, node)->in[0];
    bool fold = k->grp->strategy.fold && node == k->grp->node[0] && k->f->staying[in] == XG_NONE;
    if (!step) step = s->c1 - s->c0;
    if (xg_ai(xg_nodep(k->g, node), XG_ATTR_group) > 1) step = k->m->tile.ocp;
    for (uint32_t c = s->c0; c < s->c1; c += step) {
        xg_slice part = *s;
        part.c0 = c;
        part.c1 = (uint32_t)xg_min(c + step, s->c1);
        if (fold)
            conv_block_folded(k, node, &part, out);
        else
            conv_block(k, node, &part, out);
    }
}

static void dw_node(gen *k, uint32_t node, const xg_slice *s, uint32_t out) {
    const xg_node *n = xg_nodep(k->g, node);
    xg_window w = xg_node_window(n);
    uint64_t bytes = (uint64_t)(w.kh * w.kw) *
                     (uint64_t)xg_ceil_div(s->c1 - s->c0, k->m->tile.icp) * k->m->tile.icp;
    uses u = no_uses;
    u.in = operand_buffer(k, n->in[0]);
    u.w = request_param(k, PIECE_DW, node, s->c0, s->c1, bytes);
    u.p = params(k, node, s->c0, s->c1);
    u.out = out;
    work j = {.node = node, .kind = XG_TK_DW};
    finish_compute(k, &j, &u, s);
}

static void misc_node(gen *k, uint32_t node, const xg_slice *s, uint32_t out, xg_tile_kind kind) {
    const xg_node *n = xg_nodep(k->g, node);
    uses u = no_uses;
    u.in = operand_buffer(k, n->in[0]);
    if (kind == XG_TK_ELEW) u.in2 = operand_buffer(k, n->in[1]);
    if (kind == XG_TK_LUT) u.p = request_param(k, PIECE_TABLE, node, 0, 0, 256);
    u.out = out;
    work j = {.node = node, .kind = kind};
    finish_compute(k, &j, &u, s);
}

/* ---- results
 * ----------------------------------------------------------------------------------------------------
 */

/* Channel at which a tensor begins in the concat result that it lies in. */
static uint32_t channel_in(const gen *k, uint32_t tensor, uint32_t result) {
    const xg_node *n = xg_nodep(k->g, xg_tensorp(k->g, result)->producer);
    uint32_t o = 0;
    while (n->in[o] != tensor) o++;
    return xg_concat_slice(k->g, n, o, (xg_slice){0, 0, 0, 0, 0, 0, 0}).c0;
}

static uint32_t staying_buffer(gen *k, uint32_t tensor) {
    xg_forecaster *f = k->f;
    if (f->staying[tensor] != XG_NONE) return f->staying[tensor];
    uint32_t up = f->parent[tensor];
    bool inside = up != XG_NONE && stays(f, up);
    uint32_t root = inside ? staying_buffer(k, up) : XG_NONE;
    xg_slice all = xg_slice_whole(xg_tensorp(f->g, tensor), 0);
    uint32_t il = inside ? f->buffer.v[root].il : xg_staying_interleave(f->g, tensor);
    uint32_t b = add_map_buffer(k, &all, il, f->stage + 1, 0);
    xg_fc_buffer *x = &f->buffer.v[b];
    x->stays = true;
    x->addr = f->chip_addr[tensor];
    x->last = x->soft_last = UINT32_MAX;
    x->parent = root;
    if (inside) x->offset = channel_in(k, tensor, up) / k->m->tile.icp;
    return f->staying[tensor] = b;
}

static void save(gen *k, uint32_t tensor, const xg_slice *s, uint32_t buf, bool copied) {
    uses u = no_uses;
    u.in = buf;
    order_in_ddr(k, tensor, *s, false);
    add_step(k, move_slice(k, tensor, s, false), &u, k->f->stage + 1, copied ? NULL : s, NULL,
             NULL);
}

static uint32_t overwriter(const gen *k, uint32_t i) {
    const xg_group *grp = k->grp;
    uint32_t t = xg_nodep(k->g, grp->node[i])->out[0];
    for (uint32_t j = i + 1; j < grp->nnode; j++) {
        int o = xg_in_place(k->g, grp->node, grp->nnode, j);
        if (o >= 0 && xg_nodep(k->g, grp->node[j])->in[o] == t) return j;
    }
    return grp->nnode;
}

static uint32_t result_buffer(gen *k, uint32_t i) {
    const xg_node *n = xg_nodep(k->g, k->grp->node[i]);
    local *l = local_of(k, n->out[0]);
    if (l->buffer != XG_NONE) return l->buffer;
    uint32_t over = overwriter(k, i);
    if (xg_group_returns(k->grp, k->grp->node[i]) && stays(k->f, n->out[0])) {
        l->buffer = staying_buffer(k, n->out[0]);
    } else if (over < k->grp->nnode) {
        uint32_t parent = result_buffer(k, over);
        xg_fc_buffer over_it = k->f->buffer.v[parent];
        over_it.offset = over_it.ahead = 0;
        over_it.stays = false;
        over_it.touched = (xg_fc_accesses){0};
        l->buffer = add_buffer(k, over_it, k->f->stage + 1);
        k->f->buffer.v[l->buffer].parent = parent;
    } else {
        l->buffer = add_map_buffer(k, &l->need, l->il, k->f->stage + 1, slice_ahead(k));
        k->f->buffer.v[l->buffer].made = true;
    }
    return l->buffer;
}

static void one_tile(gen *k, const xg_slice *out) {
    uint32_t before = k->f->stage;
    spread_needs(k, out);
    for (uint32_t i = 0; i < k->grp->nnode; i++) {
        uint32_t node = k->grp->node[i], tensor = xg_nodep(k->g, node)->out[0];
        xg_tile_kind kind = xg_node_tile_kind(k->g, xg_nodep(k->g, node));
        xg_slice s = local_of(k, tensor)->need;
        uint32_t buf = result_buffer(k, i);
        if (kind == XG_TK_CONV)
            conv_node(k, node, &s, buf);
        else if (kind == XG_TK_DW)
            dw_node(k, node, &s, buf);
        else
            misc_node(k, node, &s, buf, kind);
        if (xg_group_returns(k->grp, node) && k->f->ddr[tensor]) save(k, tensor, &s, buf, false);
    }
    k->stages_in_tile = k->f->stage - before;
}

/* ---- loops
 * --------------------------------------------------------------------------------------------------------
 */

/* Core 0's part of an axis: the largest; *share: all of it over that part. */
static uint32_t part(uint32_t total, uint32_t unit, uint32_t cores, uint32_t *share) {
    uint32_t units = (uint32_t)xg_ceil_div(total, unit);
    uint32_t each = (uint32_t)xg_ceil_div(units, cores);
    *share = units * 256 / each;
    return (uint32_t)xg_min((int64_t)each * unit, total);
}

static bool all_channels(const gen *k) {
    if (k->grp->nresult > 1) return true;
    for (uint32_t i = 1; i < k->grp->nnode; i++)
        if (xg_node_tile_kind(k->g, xg_nodep(k->g, k->grp->node[i])) == XG_TK_CONV) return true;
    return false;
}

static void rows_and_columns(gen *k, const xg_slice *area) {
    const xg_strategy *st = &k->grp->strategy;
    uint32_t th = st->tile_h ? st->tile_h : area->h1, tw = st->tile_w ? st->tile_w : area->w1;
    for (uint32_t h = area->h0; h < area->h1; h += th)
        for (uint32_t w = area->w0; w < area->w1; w += tw) {
            xg_slice s = *area;
            s.h0 = h;
            s.h1 = (uint32_t)xg_min(h + th, area->h1);
            s.w0 = w;
            s.w1 = (uint32_t)xg_min(w + tw, area->w1);
            one_tile(k, &s);
        }
}

static void tile_loops(gen *k) {
    const uint32_t *result;
    (void)xg_group_results(k->grp, &result);
    const xg_tensor *y = xg_out(k->g, xg_nodep(k->g, result[0]), 0);
    const xg_strategy *st = &k->grp->strategy;
    const xg_tile_machine *t = &k->m->tile;
    int64_t d[4];
    xg_dims4(y, d);
    xg_slice area = xg_slice_whole(y, 0);
    uint32_t n0 = 0, n1 = (uint32_t)d[0];
    k->f->share_x256 = 256;
    if (st->split == XG_SPLIT_IMAGE) {
        n0 = k->f->image;
        if (n0 >= n1) return;
        k->f->share_x256 = 256 * (uint32_t)xg_min(n1 - n0, k->m->cores);
        n1 = n0 + 1;
    }
    if (st->split == XG_SPLIT_ROWS) area.h1 = part(area.h1, t->pp, k->m->cores, &k->f->share_x256);
    if (st->split == XG_SPLIT_CHANNELS)
        area.c1 = part(area.c1, (uint32_t)xg_max(t->ocp, t->icp), k->m->cores, &k->f->share_x256);
    uint32_t step = st->tile_oc && !all_channels(k) ? st->tile_oc : area.c1;
    bool blocks_inside = st->order == XG_MAP_STATIONARY && step < area.c1 &&
                         xg_node_tile_kind(k->g, xg_nodep(k->g, k->grp->node[0])) == XG_TK_CONV;
    uint32_t outer = blocks_inside ? area.c1 : step;
    for (uint32_t c = 0; c < area.c1; c += outer)
        for (uint32_t n = n0; n < n1; n++) {
            xg_slice s = area;
            s.n = n;
            s.c0 = c;
            s.c1 = (uint32_t)xg_min(c + outer, area.c1);
            rows_and_columns(k, &s);
        }
}

/* ---- concats that copy
 * ---------------------------------------------------------------------------------------------- */

static void copy_operand(gen *k, uint32_t node, uint32_t o, xg_slice from, xg_slice to) {
    const xg_node *n = xg_nodep(k->g, node);
    uint32_t buf = request_slice(k, n->in[o], &from, 1);
    ++k->f->stage;
    if (!xg_quant_equal(xg_in(k->g, n, o)->quant, xg_out(k->g, n, 0)->quant)) {
        uses u = no_uses;
        u.in = buf;
        u.out = add_map_buffer(k, &to, 1, k->f->stage, 0);
        u.p = request_param(k, PIECE_TABLE, node, o, 0, 256);
        xg_pipe_step x = {.engine = XG_TILE_MISC,
                          .ninst = 1,
                          .cycles =
                              xg_time_lut(k->m, slice_rows(&to), to.w1 - to.w0, to.c1 - to.c0)};
        add_step(k, x, &u, k->f->stage, NULL, NULL, NULL);
        buf = u.out;
    }
    save(k, n->out[0], &to, buf, true);
}

static xg_slice copy_part(const gen *k, const xg_slice *s) {
    xg_slice p = {0, 0, s->h1 - s->h0, 0, s->w1 - s->w0, 0, s->c1 - s->c0};
    uint32_t icp = k->m->tile.icp;
    while (xg_fm_words(k->m, &p, 1) * (uint64_t)4 > k->m->tile.fm_depth) {
        if (p.h1 > k->m->tile.pp)
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

static void copy_image(gen *k, uint32_t node, uint32_t o, uint32_t image, uint32_t *turn) {
    const xg_node *n = xg_nodep(k->g, node);
    xg_slice all = xg_slice_whole(xg_in(k->g, n, o), image), part_size = copy_part(k, &all);
    bool images = k->grp->strategy.split == XG_SPLIT_IMAGE;
    for (uint32_t h = 0; h < all.h1; h += part_size.h1)
        for (uint32_t w = 0; w < all.w1; w += part_size.w1)
            for (uint32_t c = 0; c < all.c1; c += part_size.c1) {
                if (images ? image != k->f->image : (*turn)++ % k->m->cores != 0) continue;
                xg_slice s = {image,
                              h,
                              (uint32_t)xg_min(h + part_size.h1, all.h1),
                              w,
                              (uint32_t)xg_min(w + part_size.w1, all.w1),
                              c,
                              (uint32_t)xg_min(c + part_size.c1, all.c1)};
                copy_operand(k, node, o, s, xg_concat_slice(k->g, n, o, s));
            }
}

static bool lies_inside(const gen *k, const xg_node *concat, uint32_t o) {
    for (uint32_t j = 0; j < o; j++)
        if (concat->in[j] == concat->in[o]) return false;
    return k->f->parent[concat->in[o]] == concat->out[0];
}

static void concat_group(gen *k) {
    uint32_t node = k->grp->node[0], turn = 0;
    const xg_node *n = xg_nodep(k->g, node);
    k->f->share_x256 = 256 * k->m->cores;
    for (uint32_t o = 0; o < n->nin; o++) {
        int64_t d[4];
        xg_dims4(xg_in(k->g, n, o), d);
        for (uint32_t image = 0; image < d[0] && !lies_inside(k, n, o); image++)
            copy_image(k, node, o, image, &turn);
    }
}

void xg_fc_group(xg_forecaster *f, const xg_group *grp) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(f->a));
    gen *k = xg_new(tmp, gen);
    *k = (gen){
        .f = f, .g = f->g, .m = f->m, .grp = grp, .stages_in_tile = 2, .init = {XG_NONE, XG_NONE}};
    k->loc = xg_newn(tmp, local, 3 * (size_t)grp->nnode + 4);
    xg_tile_kind kind = xg_node_tile_kind(f->g, xg_nodep(f->g, grp->node[0]));
    const uint32_t *result;
    uint32_t nresult = xg_group_results(grp, &result);
    for (uint32_t r = 0; r < nresult; r++) {
        uint32_t t = xg_nodep(f->g, result[r])->out[0];
        if (stays(f, t) && kind != XG_TK_CONCAT) (void)staying_buffer(k, t);
    }
    if (kind == XG_TK_CONCAT)
        concat_group(k);
    else if (kind != XG_TK_VIEW)
        tile_loops(k);
    xg_arena_free(tmp);
}
