/* Tasks of one core -> instructions, with a map row for every slice that a task leaves somewhere.
 */
#include "layout/order.h"

#include "isa/tile.h"
#include "isa/timing.h"

#include <string.h>

#define SET(in, OP, name, value) ((in).f[XG_F(OP, name)] = (int32_t)(value))

/* Values that the fields of an instruction can hold. */
typedef struct limits_of {
    int32_t lo[XG_OPERANDS_MAX], hi[XG_OPERANDS_MAX];
    uint8_t noperand;
} limits_of;

typedef struct emitter {
    const xg_plan *p;
    const xg_graph *g;
    const xg_machine *m;
    xg_arena *arena;
    const xg_core_plan *core;
    xg_program *prog;
    uint32_t segment, core_idx;
    XG_VEC(xg_inst) inst;
    xg_inst last[XG_T_COUNT];
    bool have[XG_T_COUNT];
    limits_of limits[XG_T_COUNT];
    bool narrow; /* an operand did not fit: plan->lack */
    bool flat;   /* the task's group is: g is the graph that it sees */
    /* Costs only: instructions are not kept, but summed up, each so many times. */
    xg_task_cost *sum;
    xg_regs *regs;
    uint32_t times;
} emitter;

static void set_limits(emitter *e) {
    for (uint8_t op = 0; op < XG_T_COUNT; op++) {
        limits_of *l = &e->limits[op];
        l->noperand = e->m->family->inst[op].noperand;
        for (uint8_t k = 0; k < l->noperand; k++) {
            int64_t lo, hi;
            xg_encoding_range(e->m->encoding, op, k, &lo, &hi);
            l->lo[k] = (int32_t)xg_clamp(lo, INT32_MIN, INT32_MAX);
            l->hi[k] = (int32_t)xg_clamp(hi, INT32_MIN, INT32_MAX);
        }
    }
}

static void check_fields(emitter *e, const xg_inst *in) {
    const limits_of *l = &e->limits[in->op];
    for (uint8_t k = 0; k < l->noperand; k++) {
        if (in->f[k] >= l->lo[k] && in->f[k] <= l->hi[k]) continue;
        *e->p->lack = (xg_lack){.field = true, .op = in->op, .operand = k, .value = in->f[k]};
        e->narrow = true;
        return;
    }
}

static void add_cost(emitter *e, const xg_inst *in) {
    const xg_family *f = e->m->family;
    xg_task_cost *sum = e->sum;
    xg_cost c;
    xg_regs_track(f, e->regs, in);
    f->cost(e->m, e->regs, in, &c);
    sum->engine = f->inst[in->op].engine;
    uint64_t ddr = xg_time_ddr_x65536(e->m, c.ddr_bytes, c.ddr_bursts);
    uint64_t shared = c.ddr_bytes ? c.ddr_setup + (ddr * e->m->cores >> 16) : 0;
    sum->ninst += e->times;
    sum->alone += e->times * c.cycles;
    sum->setup += c.ddr_bytes ? e->times * c.ddr_setup : 0;
    sum->ddr_x65536 += e->times * ddr;
    sum->cycles += e->times * (shared > c.cycles ? shared : c.cycles);
}

static void put(emitter *e, xg_inst in) {
    check_fields(e, &in);
    if (!e->sum)
        xg_push(e->arena, &e->inst, in);
    else if (e->times)
        add_cost(e, &in);
}

/* An INIT only when it changes something. */
static void put_init(emitter *e, xg_inst in) {
    if (e->have[in.op] && !memcmp(e->last[in.op].f, in.f, sizeof in.f)) return;
    e->have[in.op] = true;
    e->last[in.op] = in;
    put(e, in);
}

static const xg_buffer *buffer(const emitter *e, uint32_t b) {
    return &e->core->buffer.v[b];
}

static uint32_t view_addr(const emitter *e, const xg_buffer *b, uint32_t w, uint32_t c) {
    return b->addr + (w - b->s.w0) * b->pix + (c - b->s.c0) / e->m->tile.icp;
}

static uint32_t field_max(const emitter *e, uint8_t op, int operand) {
    return (uint32_t)xg_max(e->limits[op].hi[operand], 1);
}

/* ---- transfers
 * ---------------------------------------------------------------------------------------- */

static xg_inst transfer_of(const emitter *e, bool load, const xg_place *pl, const xg_buffer *b,
                           const xg_slice *s) {
    uint32_t rows = s->h1 - s->h0, cols = s->w1 - s->w0, ch = s->c1 - s->c0;
    int ddr_row = load ? XG_F(LOAD, ddr_row) : XG_F(SAVE, ddr_row);
    int ddr_pix = load ? XG_F(LOAD, ddr_pix) : XG_F(SAVE, ddr_pix);
    xg_inst in = {.op = load ? XG_T_LOAD : XG_T_SAVE};
#define BOTH(name, value)                                                                          \
    do {                                                                                           \
        if (load)                                                                                  \
            SET(in, LOAD, name, value);                                                            \
        else                                                                                       \
            SET(in, SAVE, name, value);                                                            \
    } while (0)
    BOTH(reg, pl->region);
    BOTH(ddr, xg_place_address(pl, s));
    BOTH(rows, rows);
    BOTH(cols, cols);
    BOTH(ch, ch);
    uint32_t pix = cols == 1 ? (uint32_t)xg_min(ch, field_max(e, in.op, ddr_pix)) : pl->pix_step;
    BOTH(ddr_pix, pix);
    BOTH(ddr_row, rows == 1 ? xg_min(cols * pix, field_max(e, in.op, ddr_row)) : pl->row_step);
    BOTH(addr, view_addr(e, b, s->w0, s->c0));
    BOTH(row0, s->h0 - b->s.h0);
    BOTH(ring, b->ring);
    BOTH(il, b->il);
    BOTH(row, b->row);
    BOTH(pix, b->pix);
    BOTH(lane, (s->c0 - b->s.c0) % e->m->tile.icp);
#undef BOTH
    if (load) SET(in, LOAD, fold, 1), SET(in, LOAD, fold_s, 1);
    return in;
}

/* Splits a slice where it is larger than the fields of one instruction. */
static void transfer(emitter *e, bool load, const xg_place *pl, const xg_buffer *b,
                     const xg_slice *s) {
    uint8_t op = load ? XG_T_LOAD : XG_T_SAVE;
    uint32_t rows = field_max(e, op, load ? XG_F(LOAD, rows) : XG_F(SAVE, rows));
    uint32_t cols = field_max(e, op, load ? XG_F(LOAD, cols) : XG_F(SAVE, cols));
    uint32_t ch = field_max(e, op, load ? XG_F(LOAD, ch) : XG_F(SAVE, ch));
    /* one row or pixel names no step */
    if (pl->row_step > field_max(e, op, load ? XG_F(LOAD, ddr_row) : XG_F(SAVE, ddr_row))) rows = 1;
    if (pl->pix_step > field_max(e, op, load ? XG_F(LOAD, ddr_pix) : XG_F(SAVE, ddr_pix))) cols = 1;
    if (ch > e->m->tile.icp) ch = ch / e->m->tile.icp * e->m->tile.icp;
    for (uint32_t h = s->h0; h < s->h1; h += rows)
        for (uint32_t w = s->w0; w < s->w1; w += cols)
            for (uint32_t c = s->c0; c < s->c1; c += ch) {
                xg_slice part = {s->n,
                                 h,
                                 (uint32_t)xg_min((int64_t)h + rows, s->h1),
                                 w,
                                 (uint32_t)xg_min((int64_t)w + cols, s->w1),
                                 c,
                                 (uint32_t)xg_min((int64_t)c + ch, s->c1)};
                put(e, transfer_of(e, load, pl, b, &part));
            }
}

/* Kernel columns become channels: pixel x takes columns x * fold_s - fold_pad + j of the part of a
 * row that begins at ddr. */
static void folded_load(emitter *e, const xg_task *t) {
    const xg_node *n = xg_nodep(e->g, t->node);
    const xg_buffer *b = buffer(e, t->out);
    xg_window w = xg_node_window(n);
    int64_t d[4], start = (int64_t)t->s.w0 * w.sw - w.pl;
    xg_dims4(xg_tensorp(e->g, t->tensor), d);
    xg_slice from = {t->s.n,         t->s.h0, t->s.h1,       (uint32_t)xg_max(start, 0),
                     (uint32_t)d[2], 0,       (uint32_t)d[3]};
    const xg_place pl = e->p->place[t->tensor].place; /* never flat */
    xg_inst in = transfer_of(e, true, &pl, b, &t->s);
    SET(in, LOAD, ddr, xg_place_address(&pl, &from));
    SET(in, LOAD, ch, d[3]);
    SET(in, LOAD, ddr_pix, pl.pix_step);
    SET(in, LOAD, ddr_row, pl.row_step);
    SET(in, LOAD, fold, w.kw);
    SET(in, LOAD, fold_s, w.sw);
    SET(in, LOAD, fold_pad, xg_max(-start, 0));
    SET(in, LOAD, fold_in, d[2] - from.w0);
    SET(in, LOAD, fill, xg_tensorp(e->g, t->tensor)->quant->zp[0]);
    put(e, in);
}

/* The buffer in the coordinates of what is loaded. Its begin may come out below zero, where that
 * begins in its middle: differences are right, modulo 2^32. */
static void load_task(emitter *e, const xg_task *t) {
    xg_buffer b = *buffer(e, t->out);
    b.s.c0 -= t->i0, b.s.h0 -= t->i1, b.s.w0 -= t->acc_in;
    const xg_place pl = xg_seen_place(e->p, t->tensor, &t->s, e->flat);
    transfer(e, true, &pl, &b, &t->s);
}

static void load_piece(emitter *e, const xg_task *t) {
    const xg_piece *pc = &e->p->piece.v[t->piece];
    const xg_buffer *b = buffer(e, t->out);
    xg_inst in = {.op = b->mem == XG_MEM_W ? XG_T_LOADW : XG_T_LOADP};
    if (b->mem == XG_MEM_W) {
        SET(in, LOADW, reg, XG_REG_CONST);
        SET(in, LOADW, ddr, pc->addr);
        SET(in, LOADW, addr, b->addr);
        SET(in, LOADW, words, b->size);
        SET(in, LOADW, banks, xg_min(pc->c1 - pc->c0, e->m->tile.ocp));
    } else {
        SET(in, LOADP, reg, XG_REG_CONST);
        SET(in, LOADP, ddr, pc->addr);
        SET(in, LOADP, addr, b->addr);
        SET(in, LOADP, bytes, pc->bytes);
    }
    put(e, in);
}

/* ---- windows
 * ---------------------------------------------------------------------------------------------- */

/* Where the window of output o0.. starts in an input of `size`, of which the buffer holds [have0,
 * have1). */
typedef struct edge {
    uint32_t first, pad, existing;
} edge;

static edge window_edge(uint32_t o0, int32_t stride, int32_t pad, uint32_t have1) {
    int64_t start = (int64_t)o0 * stride - pad;
    edge r;
    r.first = start < 0 ? 0 : (uint32_t)start;
    r.pad = start < 0 ? (uint32_t)-start : 0;
    if (r.first > have1) r.first = have1;
    r.existing = have1 - r.first;
    return r;
}

/* The same for `outs` outputs of a convolution. Where all of them lie in the padding behind the
 * input, its last element is named, so far ahead that no window reaches it. */
static edge conv_edge(uint32_t o0, uint32_t outs, int32_t k, int32_t stride, int32_t dilation,
                      int32_t pad, uint32_t have1) {
    edge r = window_edge(o0, stride, pad, have1);
    if (r.existing > 0) return r;
    return (edge){have1 - 1, (outs - 1) * (uint32_t)stride + (uint32_t)((k - 1) * dilation) + 1, 1};
}

static void limits(const xg_node *n, int32_t *lo, int32_t *hi) {
    *lo = (int32_t)xg_max(xg_ai(n, XG_ATTR_lo), -128);
    *hi = (int32_t)xg_min(xg_ai(n, XG_ATTR_hi), 127);
}

static bool tensor_rq(const emitter *e, const xg_node *n, xg_rq *q) {
    const xg_tensor *x = xg_in(e->g, n, 0), *w = xg_in(e->g, n, 1);
    float num[2] = {x->quant->scale[0], w->quant->scale[0]};
    return xg_rq_derive(&e->m->rq, num, 2, xg_out(e->g, n, 0)->quant->scale[0], q);
}

/* CONVINIT and DWINIT have the same operands in the same order. */
_Static_assert(XG_F(CONVINIT, out_pix) == XG_F(DWINIT, out_pix),
               "INIT operands of CONV and DWCONV must match");

static xg_status conv_init(emitter *e, const xg_task *t, uint8_t op) {
    const xg_node *n = xg_nodep(e->g, t->node);
    const xg_buffer *ib = buffer(e, t->in), *ob = buffer(e, t->out);
    xg_window w = xg_node_window(n);
    xg_inst in = {.op = op};
    xg_rq q = {0, 0};
    int32_t lo, hi;
    limits(n, &lo, &hi);
    if (!e->m->rq.per_channel && !tensor_rq(e, n, &q))
        return xg_error(xg_arena_ctx(e->arena), XG_UNSUPPORTED, n->name,
                        "the machine's requantiser cannot express the node's scales");
    if (ib->fold) w.kw = w.sw = w.dw = 1;
    SET(in, CONVINIT, kh, w.kh), SET(in, CONVINIT, kw, w.kw);
    SET(in, CONVINIT, sh, w.sh), SET(in, CONVINIT, sw, w.sw);
    SET(in, CONVINIT, dh, w.dh), SET(in, CONVINIT, dw, w.dw);
    SET(in, CONVINIT, zp_in, xg_in(e->g, n, 0)->quant->zp[0]);
    SET(in, CONVINIT, zp_w, xg_in(e->g, n, 1)->quant->zp[0]);
    SET(in, CONVINIT, zp_out, xg_out(e->g, n, 0)->quant->zp[0]);
    SET(in, CONVINIT, lo, lo), SET(in, CONVINIT, hi, hi);
    SET(in, CONVINIT, chan, e->m->rq.per_channel);
    SET(in, CONVINIT, mult, q.mult), SET(in, CONVINIT, shift, q.shift);
    SET(in, CONVINIT, in_ring, ib->ring), SET(in, CONVINIT, out_ring, ob->ring);
    SET(in, CONVINIT, in_il, ib->il), SET(in, CONVINIT, in_row, ib->row),
        SET(in, CONVINIT, in_pix, ib->pix);
    SET(in, CONVINIT, out_il, ob->il), SET(in, CONVINIT, out_row, ob->row),
        SET(in, CONVINIT, out_pix, ob->pix);
    put_init(e, in);
    return XG_OK;
}

static void conv_rows(emitter *e, const xg_task *t, uint32_t h, uint32_t rows, uint32_t gi) {
    const xg_node *n = xg_nodep(e->g, t->node);
    const xg_buffer *ib = buffer(e, t->in), *ob = buffer(e, t->out), *wb = buffer(e, t->w),
                    *pb = buffer(e, t->p);
    xg_window w = xg_node_window(n);
    uint32_t ocp = e->m->tile.ocp, icp = e->m->tile.icp, c = t->s.c0 + gi * ocp,
             cols = t->s.w1 - t->s.w0;
    uint32_t icw = (uint32_t)xg_ceil_div(t->i1 - t->i0, icp);
    edge v = conv_edge(h, rows, w.kh, w.sh, w.dh, w.pt, ib->s.h1),
         u = conv_edge(t->s.w0, cols, w.kw, w.sw, w.dw, w.pl, ib->s.w1);
    if (ib->fold) { /* its columns are those of the output */
        u = (edge){t->s.w0, 0, ib->s.w1 - t->s.w0};
        w.kw = 1;
    }
    xg_inst in = {.op = XG_T_CONV};
    SET(in, CONV, in_addr, view_addr(e, ib, u.first, t->i0));
    SET(in, CONV, in_row0, v.first - ib->s.h0), SET(in, CONV, pad_top, v.pad),
        SET(in, CONV, in_rows, v.existing);
    SET(in, CONV, pad_left, u.pad), SET(in, CONV, in_cols, u.existing);
    SET(in, CONV, icw, icw);
    SET(in, CONV, w_addr, wb->addr + gi * (uint32_t)(w.kh * w.kw) * icw);
    SET(in, CONV, p_addr, pb->addr + gi * ocp * xg_param_record(e->m));
    SET(in, CONV, out_addr, view_addr(e, ob, t->s.w0, c)), SET(in, CONV, out_row0, h - ob->s.h0);
    SET(in, CONV, out_lane, (c - ob->s.c0) % icp);
    SET(in, CONV, rows, rows), SET(in, CONV, cols, cols);
    SET(in, CONV, oc, xg_min(ocp, t->s.c1 - c));
    SET(in, CONV, acc_in, t->acc_in), SET(in, CONV, acc_out, t->acc_out);
    if (t->psum != XG_NONE) {
        const xg_buffer *sums = buffer(e, t->psum);
        uint32_t groups_of_rows = (uint32_t)xg_ceil_div(sums->s.h1 - sums->s.h0, e->m->tile.pp);
        uint32_t nth = gi * groups_of_rows + (h - sums->s.h0) / e->m->tile.pp;
        uint32_t pixel = nth * (sums->s.w1 - sums->s.w0) + t->s.w0 - sums->s.w0;
        SET(in, CONV, psum, sums->addr + pixel * xg_psum_words(e->m));
    }
    put(e, in);
}

/* Rows from h on, `row_groups` times: what costs the same is looked at once; of the others only the
 * last, whose operands are largest. */
static void sum_conv_rows(emitter *e, const xg_task *t, uint32_t h, uint32_t rows,
                          uint32_t row_groups, uint32_t groups) {
    if (!row_groups) return;
    e->times = row_groups * groups;
    conv_rows(e, t, h, rows, 0);
    e->times = 0;
    if (row_groups * groups > 1) conv_rows(e, t, h + (row_groups - 1) * rows, rows, groups - 1);
    e->times = 1;
}

static xg_status emit_conv(emitter *e, const xg_task *t) {
    xg_status st = conv_init(e, t, XG_T_CONVINIT);
    uint32_t groups = (uint32_t)xg_ceil_div(t->s.c1 - t->s.c0, e->m->tile.ocp), pp = e->m->tile.pp;
    if (e->sum) {
        uint32_t rows = t->s.h1 - t->s.h0, whole = rows / pp;
        sum_conv_rows(e, t, t->s.h0, pp, whole, groups);
        sum_conv_rows(e, t, t->s.h0 + whole * pp, rows % pp, rows % pp > 0, groups);
        return st;
    }
    for (uint32_t h = t->s.h0; h < t->s.h1 && st == XG_OK; h += pp)
        for (uint32_t gi = 0; gi < groups; gi++)
            conv_rows(e, t, h, (uint32_t)xg_min(pp, t->s.h1 - h), gi);
    return st;
}

static xg_status emit_depthwise(emitter *e, const xg_task *t) {
    const xg_node *n = xg_nodep(e->g, t->node);
    const xg_buffer *ib = buffer(e, t->in), *ob = buffer(e, t->out);
    xg_window w = xg_node_window(n);
    xg_status st = conv_init(e, t, XG_T_DWINIT);
    edge v = conv_edge(t->s.h0, t->s.h1 - t->s.h0, w.kh, w.sh, w.dh, w.pt, ib->s.h1),
         u = conv_edge(t->s.w0, t->s.w1 - t->s.w0, w.kw, w.sw, w.dw, w.pl, ib->s.w1);
    xg_inst in = {.op = XG_T_DWCONV};
    SET(in, DWCONV, in_addr, view_addr(e, ib, u.first, t->s.c0));
    SET(in, DWCONV, in_row0, v.first - ib->s.h0), SET(in, DWCONV, pad_top, v.pad),
        SET(in, DWCONV, in_rows, v.existing);
    SET(in, DWCONV, pad_left, u.pad), SET(in, DWCONV, in_cols, u.existing);
    SET(in, DWCONV, w_addr, buffer(e, t->w)->addr), SET(in, DWCONV, p_addr, buffer(e, t->p)->addr);
    SET(in, DWCONV, out_addr, view_addr(e, ob, t->s.w0, t->s.c0)),
        SET(in, DWCONV, out_row0, t->s.h0 - ob->s.h0);
    SET(in, DWCONV, rows, t->s.h1 - t->s.h0), SET(in, DWCONV, cols, t->s.w1 - t->s.w0);
    SET(in, DWCONV, ch, t->s.c1 - t->s.c0);
    if (st == XG_OK) put(e, in);
    return st;
}

/* ---- pooling: an average's divisor changes at the border, so the tile is cut where it does
 * ---------------------- */

typedef struct pool_cut {
    uint32_t lo, hi, count;
} pool_cut;

static uint32_t pool_cuts(uint32_t o0, uint32_t o1, int32_t k, int32_t s, int32_t d, int32_t pad,
                          int32_t pad_end, int64_t size, bool count_pad, pool_cut *cut) {
    uint32_t n = 0;
    for (uint32_t o = o0; o < o1; o++) {
        uint32_t count = 0;
        for (int32_t i = 0; i < k; i++) {
            int64_t x = (int64_t)o * s - pad + (int64_t)i * d;
            count += count_pad ? x < size + pad_end : x >= 0 && x < size;
        }
        if (n && cut[n - 1].count == count)
            cut[n - 1].hi = o + 1;
        else
            cut[n++] = (pool_cut){o, o + 1, count};
    }
    return n;
}

static xg_status pool_init(emitter *e, const xg_task *t, uint32_t count, bool global) {
    const xg_node *n = xg_nodep(e->g, t->node);
    const xg_tensor *x = xg_in(e->g, n, 0), *y = xg_out(e->g, n, 0);
    const xg_buffer *ib = buffer(e, t->in), *ob = buffer(e, t->out);
    xg_window w = xg_node_window(n);
    xg_poolrq q = {{0, 0}, {0, 0}, 0, false};
    bool average = n->op == XG_OP_AvgPool;
    int32_t lo, hi;
    limits(n, &lo, &hi);
    if (average && !xg_pool_derive(&e->m->rq, x->quant->scale[0], y->quant->scale[0],
                                   (int32_t)count, global, &q))
        return xg_error(xg_arena_ctx(e->arena), XG_UNSUPPORTED, n->name,
                        "the machine cannot average %u values from scale %g to scale %g", count,
                        (double)x->quant->scale[0], (double)y->quant->scale[0]);
    xg_inst in = {.op = XG_T_POOLINIT};
    SET(in, POOLINIT, kind, average ? (global ? 2 : 1) : 0);
    SET(in, POOLINIT, kh, w.kh), SET(in, POOLINIT, kw, w.kw), SET(in, POOLINIT, sh, w.sh),
        SET(in, POOLINIT, sw, w.sw);
    SET(in, POOLINIT, dh, w.dh), SET(in, POOLINIT, dw, w.dw);
    SET(in, POOLINIT, zp_in, x->quant->zp[0]), SET(in, POOLINIT, zp_out, y->quant->zp[0]);
    SET(in, POOLINIT, lo, lo), SET(in, POOLINIT, hi, hi);
    SET(in, POOLINIT, count, average ? count : 1);
    SET(in, POOLINIT, mult, q.m.mult), SET(in, POOLINIT, shift, q.m.shift),
        SET(in, POOLINIT, mult2, q.d.mult);
    SET(in, POOLINIT, in_ring, ib->ring), SET(in, POOLINIT, out_ring, ob->ring);
    SET(in, POOLINIT, in_il, ib->il), SET(in, POOLINIT, in_row, ib->row),
        SET(in, POOLINIT, in_pix, ib->pix);
    SET(in, POOLINIT, out_il, ob->il), SET(in, POOLINIT, out_row, ob->row),
        SET(in, POOLINIT, out_pix, ob->pix);
    put_init(e, in);
    return XG_OK;
}

static void pool_part(emitter *e, const xg_task *t, const pool_cut *v, const pool_cut *u) {
    const xg_buffer *ib = buffer(e, t->in), *ob = buffer(e, t->out);
    xg_window w = xg_node_window(xg_nodep(e->g, t->node));
    edge a = window_edge(v->lo, w.sh, w.pt, ib->s.h1), b = window_edge(u->lo, w.sw, w.pl, ib->s.w1);
    xg_inst in = {.op = XG_T_POOL};
    SET(in, POOL, in_addr, view_addr(e, ib, b.first, t->s.c0));
    SET(in, POOL, in_row0, a.first - ib->s.h0), SET(in, POOL, pad_top, a.pad),
        SET(in, POOL, in_rows, a.existing);
    SET(in, POOL, pad_left, b.pad), SET(in, POOL, in_cols, b.existing);
    SET(in, POOL, out_addr, view_addr(e, ob, u->lo, t->s.c0)),
        SET(in, POOL, out_row0, v->lo - ob->s.h0);
    SET(in, POOL, rows, v->hi - v->lo), SET(in, POOL, cols, u->hi - u->lo),
        SET(in, POOL, ch, t->s.c1 - t->s.c0);
    put(e, in);
}

static xg_status emit_pool(emitter *e, const xg_task *t) {
    const xg_node *n = xg_nodep(e->g, t->node);
    xg_window w = xg_node_window(n);
    int64_t d[4];
    xg_dims4(xg_in(e->g, n, 0), d);
    bool average = n->op == XG_OP_AvgPool, pad = average && xg_ai(n, XG_ATTR_count_pad);
    bool global = average && w.kh == d[1] && w.kw == d[2] && !(w.pt | w.pl | w.pb | w.pr) &&
                  w.dh == 1 && w.dw == 1;
    pool_cut whole_v = {t->s.h0, t->s.h1, 1}, whole_u = {t->s.w0, t->s.w1, 1};
    pool_cut *v = &whole_v, *u = &whole_u;
    uint32_t nv = 1, nu = 1;
    if (average) {
        v = xg_newn(e->arena, pool_cut, t->s.h1 - t->s.h0);
        u = xg_newn(e->arena, pool_cut, t->s.w1 - t->s.w0);
        nv = pool_cuts(t->s.h0, t->s.h1, w.kh, w.sh, w.dh, w.pt, w.pb, d[1], pad, v);
        nu = pool_cuts(t->s.w0, t->s.w1, w.kw, w.sw, w.dw, w.pl, w.pr, d[2], pad, u);
    }
    for (uint32_t i = 0; i < nv; i++)
        for (uint32_t j = 0; j < nu; j++) {
            xg_status st = pool_init(e, t, (uint32_t)xg_max(v[i].count * u[j].count, 1), global);
            if (st != XG_OK) return st;
            pool_part(e, t, &v[i], &u[j]);
        }
    return XG_OK;
}

/* ---- element-wise
 * ---------------------------------------------------------------------------------------------------
 */

static bool elew_constants(const emitter *e, const xg_node *n, xg_inst *in) {
    const xg_quant *a = xg_in(e->g, n, 0)->quant, *b = xg_in(e->g, n, 1)->quant,
                   *y = xg_out(e->g, n, 0)->quant;
    if (n->op == XG_OP_Mul) {
        xg_rq q;
        if (!xg_mul_derive(&e->m->rq, a->scale[0], b->scale[0], y->scale[0], &q)) return false;
        SET(*in, ELEWINIT, kind, 1);
        SET(*in, ELEWINIT, mult_o, q.mult), SET(*in, ELEWINIT, shift_o, q.shift);
    } else {
        xg_addrq q;
        if (!xg_add_derive(&e->m->rq, a->scale[0], a->zp[0], b->scale[0], b->zp[0], y->scale[0],
                           y->zp[0], &q))
            return false;
        SET(*in, ELEWINIT, mult_a, q.a.mult), SET(*in, ELEWINIT, shift_a, q.a.shift);
        SET(*in, ELEWINIT, mult_b, q.b.mult), SET(*in, ELEWINIT, shift_b, q.b.shift);
        SET(*in, ELEWINIT, mult_o, q.o.mult), SET(*in, ELEWINIT, shift_o, q.o.shift);
    }
    SET(*in, ELEWINIT, zp_a, a->zp[0]), SET(*in, ELEWINIT, zp_b, b->zp[0]),
        SET(*in, ELEWINIT, zp_out, y->zp[0]);
    return true;
}

typedef struct operand {
    uint32_t addr, row0, ring, il, row, pix;
} operand;

/* A view of an operand; axes of size 1 repeat. */
static operand elew_operand(const emitter *e, const xg_task *t, const xg_node *n, uint32_t k) {
    const xg_buffer *b = buffer(e, k ? t->in2 : t->in);
    int64_t d[4], y[4];
    xg_dims4(xg_in(e->g, n, k), d);
    xg_dims4(xg_out(e->g, n, 0), y);
    bool same_w = d[2] > 1 || y[2] == 1, same_h = d[1] > 1 || y[1] == 1;
    operand o = {view_addr(e, b, same_w ? t->s.w0 : b->s.w0, t->s.c0),
                 same_h ? t->s.h0 - b->s.h0 : 0,
                 same_h ? b->ring : 1,
                 b->il,
                 b->row,
                 same_w ? b->pix : 0};
    return o;
}

static xg_status emit_elew(emitter *e, const xg_task *t) {
    const xg_node *n = xg_nodep(e->g, t->node);
    const xg_buffer *ob = buffer(e, t->out);
    operand a = elew_operand(e, t, n, 0), b = elew_operand(e, t, n, 1);
    xg_inst in = {.op = XG_T_ELEWINIT};
    int32_t lo, hi;
    limits(n, &lo, &hi);
    if (!elew_constants(e, n, &in))
        return xg_error(xg_arena_ctx(e->arena), XG_UNSUPPORTED, n->name,
                        "the machine's requantiser cannot express the node's scales");
    SET(in, ELEWINIT, lo, lo), SET(in, ELEWINIT, hi, hi);
    SET(in, ELEWINIT, a_ring, a.ring), SET(in, ELEWINIT, a_il, a.il),
        SET(in, ELEWINIT, a_row, a.row), SET(in, ELEWINIT, a_pix, a.pix);
    SET(in, ELEWINIT, b_ring, b.ring), SET(in, ELEWINIT, b_il, b.il),
        SET(in, ELEWINIT, b_row, b.row), SET(in, ELEWINIT, b_pix, b.pix);
    SET(in, ELEWINIT, out_ring, ob->ring), SET(in, ELEWINIT, out_il, ob->il),
        SET(in, ELEWINIT, out_row, ob->row), SET(in, ELEWINIT, out_pix, ob->pix);
    put_init(e, in);
    xg_inst x = {.op = XG_T_ELEW};
    SET(x, ELEW, a_addr, a.addr), SET(x, ELEW, a_row0, a.row0), SET(x, ELEW, b_addr, b.addr),
        SET(x, ELEW, b_row0, b.row0);
    SET(x, ELEW, out_addr, view_addr(e, ob, t->s.w0, t->s.c0)),
        SET(x, ELEW, out_row0, t->s.h0 - ob->s.h0);
    SET(x, ELEW, rows, t->s.h1 - t->s.h0), SET(x, ELEW, cols, t->s.w1 - t->s.w0),
        SET(x, ELEW, ch, t->s.c1 - t->s.c0);
    put(e, x);
    return XG_OK;
}

/* A table has the same rows, columns and channels on both sides; only a concat's operand has other
 * coordinates. */
static void emit_lut(emitter *e, const xg_task *t) {
    const xg_buffer *ib = buffer(e, t->in), *ob = buffer(e, t->out);
    const xg_node *n = xg_nodep(e->g, t->node);
    xg_slice origin = {0, 0, 0, 0, 0, 0, 0};
    if (n->op == XG_OP_Concat) origin = xg_concat_slice(e->g, n, t->i0, origin);
    uint32_t h = t->s.h0 - origin.h0, w = t->s.w0 - origin.w0, c = t->s.c0 - origin.c0;
    xg_inst in = {.op = XG_T_LUT};
    SET(in, LUT, in_addr, view_addr(e, ib, w, c)), SET(in, LUT, in_row0, h - ib->s.h0);
    SET(in, LUT, in_ring, ib->ring), SET(in, LUT, out_ring, ob->ring);
    SET(in, LUT, in_il, ib->il), SET(in, LUT, in_row, ib->row), SET(in, LUT, in_pix, ib->pix);
    SET(in, LUT, out_addr, view_addr(e, ob, t->s.w0, t->s.c0)),
        SET(in, LUT, out_row0, t->s.h0 - ob->s.h0);
    SET(in, LUT, out_il, ob->il), SET(in, LUT, out_row, ob->row), SET(in, LUT, out_pix, ob->pix);
    SET(in, LUT, table, buffer(e, t->p)->addr);
    SET(in, LUT, rows, t->s.h1 - t->s.h0), SET(in, LUT, cols, t->s.w1 - t->s.w0),
        SET(in, LUT, ch, t->s.c1 - t->s.c0);
    put(e, in);
}

/* ---- all tasks
 * -------------------------------------------------------------------------------------------------------
 */

static xg_place chip_place(const emitter *e, const xg_buffer *b, const xg_slice *s) {
    return (xg_place){.on_chip = true,
                      .addr = view_addr(e, b, s->w0, s->c0),
                      .row_step = b->row,
                      .pix_step = b->pix,
                      .row0 = s->h0 - b->s.h0,
                      .ring = b->ring,
                      .il = b->il,
                      .lane = (s->c0 - b->s.c0) % e->m->tile.icp};
}

static xg_place ddr_place(const emitter *e, uint32_t tensor, const xg_slice *s) {
    xg_place pl = xg_seen_place(e->p, tensor, s, e->flat);
    pl.addr = (uint32_t)xg_place_address(&pl, s);
    return pl;
}

/* Whether a task leaves a slice of a tensor somewhere. */
static bool mapped(const emitter *e, const xg_task *t) {
    return t->kind != XG_TASK_LOADC && t->kind != XG_TASK_SIGNAL && t->kind != XG_TASK_AWAIT &&
           !t->acc_out && !(t->kind == XG_TASK_LOAD && buffer(e, t->out)->fold);
}

static void map_task(emitter *e, const xg_task *t, uint32_t first) {
    bool load = t->kind == XG_TASK_LOAD; /* what it leaves is a part of the buffer's tensor */
    uint32_t tensor = load ? buffer(e, t->out)->tensor : t->tensor;
    uint32_t node = t->node != XG_NONE ? t->node : xg_tensorp(e->g, tensor)->producer;
    xg_slice s = load ? xg_loaded_slice(t) : t->s;
    xg_place pl =
        t->kind == XG_TASK_SAVE ? ddr_place(e, tensor, &s) : chip_place(e, buffer(e, t->out), &s);
    xg_map_row row = {e->segment,
                      e->core_idx,
                      first,
                      e->inst.n,
                      tensor,
                      t->group,
                      t->tile,
                      node == XG_NONE ? "" : xg_nodep(e->g, node)->name,
                      node == XG_NONE ? NULL : xg_nodep(e->g, node)->onnx,
                      s.n,
                      s.h0,
                      s.h1,
                      s.w0,
                      s.w1,
                      s.c0,
                      s.c1,
                      e->flat ? (uint32_t)xg_tensorp(e->g, tensor)->dim[2] : 0,
                      pl};
    xg_push(e->arena, &e->prog->map, row);
}

static void save_task(emitter *e, const xg_task *t) {
    const xg_buffer *b = buffer(e, t->in);
    const xg_place pl = xg_seen_place(e->p, t->tensor, &t->s, e->flat);
    if (b->tensor == t->tensor) {
        transfer(e, false, &pl, b, &t->s);
        return;
    }
    /* copied operand of a concat: the buffer holds it in the operand's own coordinates */
    xg_buffer moved = *b;
    const xg_node *n = xg_nodep(e->g, xg_tensorp(e->g, t->tensor)->producer);
    moved.s = xg_concat_slice(e->g, n, t->i0, b->s);
    transfer(e, false, &pl, &moved, &t->s);
}

static xg_status emit_part(emitter *e, const xg_task *t) {
    xg_inst in = {0};
    switch ((xg_task_kind)t->kind) {
    case XG_TASK_LOAD:
        if (buffer(e, t->out)->fold) {
            folded_load(e, t);
            return XG_OK;
        }
        load_task(e, t);
        return XG_OK;
    case XG_TASK_LOADC:
        load_piece(e, t);
        return XG_OK;
    case XG_TASK_CONV:
        return xg_node_tile_kind(e->g, xg_nodep(e->g, t->node)) == XG_TK_DW ? emit_depthwise(e, t)
                                                                            : emit_conv(e, t);
    case XG_TASK_POOL:
        return emit_pool(e, t);
    case XG_TASK_ELEW:
        return emit_elew(e, t);
    case XG_TASK_LUT:
        emit_lut(e, t);
        return XG_OK;
    case XG_TASK_SAVE:
        save_task(e, t);
        return XG_OK;
    case XG_TASK_SIGNAL:
        in.op = XG_T_SIGNAL;
        put(e, in);
        return XG_OK;
    case XG_TASK_AWAIT:
        in.op = XG_T_AWAIT;
        SET(in, AWAIT, count, t->i0);
        put(e, in);
        return XG_OK;
    case XG_TASK_COUNT:
        break;
    }
    return XG_INTERNAL;
}

/* The rectangles of pixels of which a task's slice consists: more than one, or none, where the
 * slice reaches beyond the end of a flat view's short last row. Transfers are cut by rows, which
 * lie in one piece; computing by columns, which set its time. */
static uint32_t parts_of(const emitter *e, const xg_task *t, xg_slice part[2]) {
    int64_t own[4], view[4];
    uint32_t n = 0;
    part[0] = t->s;
    if (!e->flat || t->tensor == XG_NONE) return 1;
    xg_dims4(xg_tensorp(e->p->graph, t->tensor), own);
    xg_dims4(xg_tensorp(e->p->flat, t->tensor), view);
    uint32_t last = (uint32_t)(own[1] * own[2] - (view[1] - 1) * view[2]);
    if (t->s.h1 < view[1] || t->s.w1 <= last) return 1;
    bool rows = t->kind == XG_TASK_LOAD || t->kind == XG_TASK_SAVE;
    xg_slice above = t->s, below = t->s;
    above.h1--;
    below.w1 = last;
    if (rows)
        below.h0 = above.h1;
    else
        above.w0 = (uint32_t)xg_max(above.w0, last);
    if (below.w0 < below.w1) part[n++] = below;
    if (above.h0 < above.h1) part[n++] = above;
    return n;
}

static void see(emitter *e, const xg_task *t) {
    const xg_group *g = &e->p->sel->group.v[t->group];
    e->flat = g->strategy.flat;
    e->g = xg_plan_graph(e->p, g);
}

static xg_status emit_task(emitter *e, const xg_task *t) {
    xg_slice part[2];
    see(e, t);
    uint32_t n = parts_of(e, t, part);
    for (uint32_t i = 0; i < n; i++) {
        xg_task one = *t;
        one.s = part[i];
        uint32_t first = e->inst.n;
        xg_status st = emit_part(e, &one);
        if (st != XG_OK) return st;
        if (e->prog && mapped(e, t)) map_task(e, &one, first);
    }
    return XG_OK;
}

xg_status xg_task_costs(const xg_plan *p, const xg_core_plan *core, uint32_t first, xg_arena *a,
                        xg_task_cost *cost) {
    emitter *e = xg_new(a, emitter);
    *e = (emitter){.p = p, .g = p->graph, .m = p->machine, .arena = a, .core = core, .times = 1};
    e->regs = xg_new(a, xg_regs);
    set_limits(e);
    for (uint32_t i = first; i < core->task.n; i++) {
        const xg_task *t = &core->task.v[i];
        e->sum = &cost[i - first];
        *e->sum = (xg_task_cost){.await = t->kind == XG_TASK_AWAIT ? t->i0 : 0,
                                 .signal = t->kind == XG_TASK_SIGNAL};
        xg_status st = emit_task(e, t);
        if (e->narrow) return XG_LIMIT;
        if (st != XG_OK) return st;
        if (!e->sum->ninst) e->sum->ninst = 1;
    }
    return XG_OK;
}

xg_status xg_emit_core(const xg_plan *p, xg_arena *a, uint32_t segment, uint32_t core,
                       xg_program *prog, xg_stream *out) {
    emitter *e = xg_new(a, emitter), *counter = xg_new(a, emitter);
    *e = *counter = (emitter){.p = p,
                              .g = p->graph,
                              .m = p->machine,
                              .arena = a,
                              .core = &p->segment.v[segment].core[core],
                              .segment = segment,
                              .core_idx = core};
    set_limits(counter);
    memcpy(e->limits, counter->limits, sizeof e->limits);
    xg_slice part[2];
    e->prog = prog;
    uint32_t ninst = 1, nrow = 0;
    for (uint32_t i = 0; i < e->core->task.n; i++) { /* how many: there may be millions */
        const xg_task *t = &e->core->task.v[i];
        xg_status st = emit_task(counter, t);
        if (st != XG_OK) return st;
        if (counter->narrow)
            return xg_too_narrow(p, t->node != XG_NONE     ? xg_nodep(p->graph, t->node)->name
                                    : t->tensor != XG_NONE ? xg_tensorp(p->graph, t->tensor)->name
                                                           : "plan");
        ninst += counter->inst.n;
        nrow += mapped(e, t) ? parts_of(counter, t, part) : 0;
        counter->inst.n = 0;
    }
    xg_reserve(a, &e->inst, ninst);
    if (prog) xg_reserve(a, &prog->map, prog->map.n + nrow);
    for (uint32_t i = 0; i < e->core->task.n; i++) {
        xg_status st = emit_task(e, &e->core->task.v[i]);
        if (st != XG_OK) return st;
    }
    put(e, (xg_inst){.op = XG_T_END});
    *out = (xg_stream){e->inst.v, e->inst.n};
    return XG_OK;
}
