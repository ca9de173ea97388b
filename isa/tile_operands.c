#include "isa/tile_operands.h"

#include <stdio.h>
#include <string.h>

/* Judging state: the first complaint wins. */
typedef struct judge {
    const xg_machine *m;
    const xg_inst *in;
    char *why;
    bool ok;
} judge;

static void complain(judge *j, const char *fmt, ...) XG_PRINTF(2, 3);
static void complain(judge *j, const char *fmt, ...) {
    if (!j->ok) return;
    j->ok = false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(j->why, XG_TILE_WHY_BYTES, fmt, ap);
    va_end(ap);
}

/* Operand i of an instruction, inside [lo, hi]; lo when it is not. */
static int32_t within(judge *j, const xg_inst *in, int i, int64_t lo, int64_t hi) {
    int32_t v = in->f[i];
    if (v >= lo && v <= hi) return v;
    complain(j, "%s %s is %d, allowed are %lld to %lld", xg_tile_inst[in->op].mnemonic,
             xg_tile_inst[in->op].operand[i].name, v, (long long)lo, (long long)hi);
    return (int32_t)lo;
}

static uint32_t at_most(judge *j, const xg_inst *in, int i, int64_t lo, int64_t hi) {
    return (uint32_t)within(j, in, i, lo, hi);
}

#define OF(inst, name)             (in->f[XG_F(inst, name)])
#define GET(i, inst, name, lo, hi) at_most(j, (i), XG_F(inst, name), (lo), (hi))
#define DIM(inst, name)            at_most(j, in, XG_F(inst, name), 1, XG_TILE_DIM_MAX)

/* Fills the place of a view from operands that may stand in two instructions. */
#define VIEW_PLACE(v, i1, I1, ADDR, ROW0, i2, I2, RING, IL, ROW, PIX)                              \
    ((v)->addr = at_most(j, i1, XG_F(I1, ADDR), 0, m->tile.fm_depth),                              \
     (v)->row0 = at_most(j, i1, XG_F(I1, ROW0), 0, INT32_MAX),                                     \
     (v)->ring = at_most(j, i2, XG_F(I2, RING), 0, INT32_MAX),                                     \
     (v)->il = at_most(j, i2, XG_F(I2, IL), 1, XG_TILE_DIM_MAX),                                   \
     (v)->row = at_most(j, i2, XG_F(I2, ROW), 0, m->tile.fm_depth),                                \
     (v)->pix = at_most(j, i2, XG_F(I2, PIX), 0, m->tile.fm_depth))

/* Sets the extent of a placed view and judges each of its rows against the depth of the banks. */
static void view_extent(judge *j, xg_tile_view *v, const char *name, uint32_t rows, uint32_t cols,
                        uint32_t ch, uint32_t lane) {
    const xg_tile_machine *t = &j->m->tile;
    v->rows = rows, v->cols = cols, v->ch = ch, v->lane = lane;
    v->words = (uint32_t)xg_ceil_div((int64_t)lane + ch, t->icp);
    if (!j->ok) return;
    uint64_t pixel = (uint64_t)v->words * (v->pix ? cols : 1);
    if (pixel > t->fm_depth || rows * pixel > (uint64_t)16 * t->pp * t->fm_depth) {
        complain(j,
                 "%s view of %u rows x %u pixels x %u words is larger than the feature-map banks",
                 name, rows, cols, v->words);
        return;
    }
    uint64_t span = (uint64_t)(cols - 1) * v->pix + v->words;
    /* Without a ring rows come to higher words block by block: the last il rows hold the highest.
     */
    uint32_t first = v->ring || rows <= v->il ? 0 : rows - v->il;
    for (uint32_t r = first; r < rows; r++) {
        uint64_t h = (uint64_t)v->row0 + r;
        if (v->ring) h %= v->ring;
        uint64_t slot = h / v->il / t->pp * v->il + h % v->il;
        uint64_t end = v->addr + slot * v->row + span;
        if (h > UINT32_MAX || end > t->fm_depth) {
            complain(j, "%s view row %u ends at word %llu of its bank, the bank has %u", name, r,
                     (unsigned long long)end, t->fm_depth);
            return;
        }
    }
}

static const xg_inst *need_init(judge *j, const xg_regs *regs, int op) {
    if (regs->set[op]) return &regs->last[op];
    complain(j, "%s without an earlier %s", xg_tile_inst[j->in->op].mnemonic,
             xg_tile_inst[op].mnemonic);
    return NULL;
}

static void ddr_extent(judge *j, xg_tile_operands *d) {
    xg_tile_ddr *a = &d->ddr;
    d->has_ddr = true;
    if (!j->ok) return;
    a->end = a->addr + (uint64_t)(a->rows - 1) * a->row_step +
             (uint64_t)(a->cols - 1) * a->pix_step + a->ch;
    if (a->end > INT32_MAX)
        complain(j, "DDR access ends at byte %llu, addresses have 31 bits",
                 (unsigned long long)a->end);
}

static void load(judge *j, xg_tile_operands *d) {
    const xg_machine *m = j->m;
    const xg_inst *in = j->in;
    uint32_t fold = DIM(LOAD, fold), cols = DIM(LOAD, cols), ch = DIM(LOAD, ch);
    d->ddr = (xg_tile_ddr){GET(in, LOAD, reg, 0, XG_REGIONS - 1),
                           GET(in, LOAD, ddr, 0, INT32_MAX),
                           GET(in, LOAD, ddr_row, 0, INT32_MAX),
                           GET(in, LOAD, ddr_pix, 0, INT32_MAX),
                           DIM(LOAD, rows),
                           fold > 1 ? DIM(LOAD, fold_in) : cols,
                           ch,
                           0};
    if (fold > 1) {
        d->win = (xg_tile_window){
            1,           fold,       1, DIM(LOAD, fold_s),
            1,           1,          0, GET(in, LOAD, fold_pad, 0, XG_TILE_DIM_MAX),
            d->ddr.rows, d->ddr.cols};
        within(j, in, XG_F(LOAD, fill), -128, 127);
        if ((uint64_t)ch * fold > XG_TILE_DIM_MAX)
            complain(j, "load fold x ch is above %d", XG_TILE_DIM_MAX);
    }
    VIEW_PLACE(&d->out, in, LOAD, addr, row0, in, LOAD, ring, il, row, pix);
    ddr_extent(j, d);
    view_extent(j, &d->out, "output", d->ddr.rows, cols, ch * fold,
                GET(in, LOAD, lane, 0, m->tile.icp - 1));
}

static void loadw(judge *j, xg_tile_operands *d) {
    const xg_tile_machine *t = &j->m->tile;
    const xg_inst *in = j->in;
    d->w_words = GET(in, LOADW, words, 1, t->w_depth);
    d->w_addr = GET(in, LOADW, addr, 0, t->w_depth - d->w_words);
    d->w_banks = GET(in, LOADW, banks, 1, t->ocp);
    d->ddr = (xg_tile_ddr){GET(in, LOADW, reg, 0, XG_REGIONS - 1),
                           GET(in, LOADW, ddr, 0, INT32_MAX),
                           0,
                           0,
                           1,
                           1,
                           d->w_words * d->w_banks * t->icp,
                           0};
    ddr_extent(j, d);
}

static void loadp(judge *j, xg_tile_operands *d) {
    const xg_tile_machine *t = &j->m->tile;
    const xg_inst *in = j->in;
    d->p_bytes = GET(in, LOADP, bytes, 1, t->param_bytes);
    d->p_addr = GET(in, LOADP, addr, 0, t->param_bytes - d->p_bytes);
    d->ddr = (xg_tile_ddr){GET(in, LOADP, reg, 0, XG_REGIONS - 1),
                           GET(in, LOADP, ddr, 0, INT32_MAX),
                           0,
                           0,
                           1,
                           1,
                           d->p_bytes,
                           0};
    ddr_extent(j, d);
}

static void save(judge *j, xg_tile_operands *d) {
    const xg_machine *m = j->m;
    const xg_inst *in = j->in;
    d->ddr = (xg_tile_ddr){GET(in, SAVE, reg, XG_REG_WORK, XG_REGIONS - 1),
                           GET(in, SAVE, ddr, 0, INT32_MAX),
                           GET(in, SAVE, ddr_row, 0, INT32_MAX),
                           GET(in, SAVE, ddr_pix, 0, INT32_MAX),
                           DIM(SAVE, rows),
                           DIM(SAVE, cols),
                           DIM(SAVE, ch),
                           0};
    VIEW_PLACE(&d->a, in, SAVE, addr, row0, in, SAVE, ring, il, row, pix);
    ddr_extent(j, d);
    view_extent(j, &d->a, "input", d->ddr.rows, d->ddr.cols, d->ddr.ch,
                GET(in, SAVE, lane, 0, m->tile.icp - 1));
}

/* kh .. dw stand first, in this order, in CONVINIT and DWINIT; POOLINIT has `kind` before them. */
static void window(judge *j, const xg_inst *init, int first, uint32_t kernel, uint32_t stride,
                   xg_tile_window *w) {
    const xg_tile_machine *t = &j->m->tile;
    uint32_t dilation = t->dilation_max ? t->dilation_max : 1;
    w->kh = at_most(j, init, first, 1, kernel);
    w->kw = at_most(j, init, first + 1, 1, kernel);
    w->sh = at_most(j, init, first + 2, 1, stride);
    w->sw = at_most(j, init, first + 3, 1, stride);
    w->dh = at_most(j, init, first + 4, 1, dilation);
    w->dw = at_most(j, init, first + 5, 1, dilation);
}

/* Extent of the input view: the rows and columns that some tap reaches, no more. */
static void window_input(judge *j, xg_tile_operands *d, uint32_t ch) {
    const xg_tile_window *w = &d->win;
    int64_t rows =
        (int64_t)(d->out.rows - 1) * w->sh + (int64_t)(w->kh - 1) * w->dh + 1 - w->pad_top;
    int64_t cols =
        (int64_t)(d->out.cols - 1) * w->sw + (int64_t)(w->kw - 1) * w->dw + 1 - w->pad_left;
    rows = xg_min(rows, w->in_rows), cols = xg_min(cols, w->in_cols);
    if (rows <= 0 || cols <= 0) {
        d->a.rows = 0;
        return;
    }
    view_extent(j, &d->a, "input", (uint32_t)rows, (uint32_t)cols, ch, 0);
    uint64_t work = (uint64_t)d->out.rows * d->out.cols * d->out.words * w->kh * w->kw;
    if (work > UINT64_C(1) << 30) complain(j, "%s has too many taps", xg_tile_inst[d->op].mnemonic);
}

static void zero_points(judge *j, const xg_inst *init, int in, int w, int out) {
    const xg_rqrec *r = &j->m->rq;
    if (in >= 0) within(j, init, in, r->act_zero_point ? -128 : 0, r->act_zero_point ? 127 : 0);
    if (w >= 0) within(j, init, w, r->weight_zero_point ? -128 : 0, r->weight_zero_point ? 127 : 0);
    if (out >= 0) within(j, init, out, r->act_zero_point ? -128 : 0, r->act_zero_point ? 127 : 0);
}

static void clamp_range(judge *j, const xg_inst *init, int lo) {
    within(j, init, lo + 1, within(j, init, lo, -128, 127), 127);
}

static void conv_init(judge *j, const xg_inst *init, xg_tile_operands *d) {
    const xg_tile_machine *t = &j->m->tile;
    window(j, init, XG_F(CONVINIT, kh), t->kernel_max, t->stride_max, &d->win);
    zero_points(j, init, XG_F(CONVINIT, zp_in), XG_F(CONVINIT, zp_w), XG_F(CONVINIT, zp_out));
    clamp_range(j, init, XG_F(CONVINIT, lo));
    within(j, init, XG_F(CONVINIT, chan), 0, j->m->rq.per_channel);
}

static void conv(judge *j, const xg_inst *init, xg_tile_operands *d) {
    const xg_machine *m = j->m;
    const xg_tile_machine *t = &m->tile;
    const xg_inst *in = j->in;
    conv_init(j, init, d);
    d->win.pad_top = GET(in, CONV, pad_top, 0, XG_TILE_DIM_MAX);
    d->win.pad_left = GET(in, CONV, pad_left, 0, XG_TILE_DIM_MAX);
    d->win.in_rows = DIM(CONV, in_rows), d->win.in_cols = DIM(CONV, in_cols);
    d->oc = GET(in, CONV, oc, 1, t->ocp), d->w_banks = d->oc;
    uint64_t words = (uint64_t)d->win.kh * d->win.kw * GET(in, CONV, icw, 1, t->w_depth);
    if (words > t->w_depth) {
        complain(j, "conv kernel of %llu words does not fit weight banks of %u",
                 (unsigned long long)words, t->w_depth);
        return;
    }
    d->w_words = (uint32_t)words;
    d->w_addr = GET(in, CONV, w_addr, 0, t->w_depth - d->w_words);
    uint32_t rows = GET(in, CONV, rows, 1, t->pp), cols = DIM(CONV, cols);
    bool acc_in = GET(in, CONV, acc_in, 0, 1), acc_out = GET(in, CONV, acc_out, 0, 1);
    bool chan = init->f[XG_F(CONVINIT, chan)] == 1;
    if (!acc_in || (!acc_out && chan)) {
        d->p_bytes = d->oc * (chan ? 12 : 4);
        d->p_addr = GET(in, CONV, p_addr, 0, (int64_t)t->param_bytes - d->p_bytes);
    }
    VIEW_PLACE(&d->a, in, CONV, in_addr, in_row0, init, CONVINIT, in_ring, in_il, in_row, in_pix);
    VIEW_PLACE(&d->out, in, CONV, out_addr, out_row0, init, CONVINIT, out_ring, out_il, out_row,
               out_pix);
    d->psum_step = (uint32_t)xg_ceil_div(4 * (int64_t)t->ocp, t->icp);
    if (acc_in || acc_out) {
        d->psum_words = (uint32_t)xg_ceil_div(4 * (int64_t)d->oc, t->icp);
        d->psum = GET(in, CONV, psum, 0, t->fm_depth);
        if (d->psum + (uint64_t)(cols - 1) * d->psum_step + d->psum_words > t->fm_depth)
            complain(j, "conv partial sums end after the last word of their bank (%u)",
                     t->fm_depth);
    }
    xg_tile_view keep = d->out;
    view_extent(j, &d->out, "output", acc_out ? 0 : rows, cols, d->oc,
                GET(in, CONV, out_lane, 0, t->icp - 1));
    if (acc_out) d->out = keep, d->out.words = 1, d->out.cols = cols;
    d->out.rows = rows;
    window_input(j, d, GET(in, CONV, icw, 1, t->w_depth) * t->icp);
}

static void dwconv(judge *j, const xg_inst *init, xg_tile_operands *d) {
    const xg_machine *m = j->m;
    const xg_tile_machine *t = &m->tile;
    const xg_inst *in = j->in;
    window(j, init, XG_F(DWINIT, kh), t->kernel_max, t->stride_max, &d->win);
    zero_points(j, init, XG_F(DWINIT, zp_in), XG_F(DWINIT, zp_w), XG_F(DWINIT, zp_out));
    clamp_range(j, init, XG_F(DWINIT, lo));
    bool chan = within(j, init, XG_F(DWINIT, chan), 0, m->rq.per_channel);
    d->win.pad_top = GET(in, DWCONV, pad_top, 0, XG_TILE_DIM_MAX);
    d->win.pad_left = GET(in, DWCONV, pad_left, 0, XG_TILE_DIM_MAX);
    d->win.in_rows = DIM(DWCONV, in_rows), d->win.in_cols = DIM(DWCONV, in_cols);
    uint32_t ch = DIM(DWCONV, ch);
    uint64_t taps = (uint64_t)d->win.kh * d->win.kw * (uint64_t)xg_ceil_div(ch, t->icp) * t->icp;
    d->p_bytes = ch * (chan ? 12 : 4);
    if (taps > t->param_bytes || d->p_bytes > t->param_bytes) {
        complain(
            j,
            "dwconv weights of %llu bytes and records of %u do not fit the parameter memory of %u",
            (unsigned long long)taps, d->p_bytes, t->param_bytes);
        return;
    }
    d->q_bytes = (uint32_t)taps;
    d->q_addr = GET(in, DWCONV, w_addr, 0, t->param_bytes - d->q_bytes);
    d->p_addr = GET(in, DWCONV, p_addr, 0, t->param_bytes - d->p_bytes);
    VIEW_PLACE(&d->a, in, DWCONV, in_addr, in_row0, init, DWINIT, in_ring, in_il, in_row, in_pix);
    VIEW_PLACE(&d->out, in, DWCONV, out_addr, out_row0, init, DWINIT, out_ring, out_il, out_row,
               out_pix);
    view_extent(j, &d->out, "output", DIM(DWCONV, rows), DIM(DWCONV, cols), ch, 0);
    window_input(j, d, ch);
}

static void pool(judge *j, const xg_inst *init, xg_tile_operands *d) {
    const xg_machine *m = j->m;
    const xg_tile_machine *t = &m->tile;
    const xg_inst *in = j->in;
    window(j, init, XG_F(POOLINIT, kh), t->pool_kernel_max, t->pool_stride_max, &d->win);
    zero_points(j, init, XG_F(POOLINIT, zp_in), -1, XG_F(POOLINIT, zp_out));
    clamp_range(j, init, XG_F(POOLINIT, lo));
    if (within(j, init, XG_F(POOLINIT, kind), 0, 2))
        within(j, init, XG_F(POOLINIT, count), 1, 1 << 24);
    d->win.pad_top = GET(in, POOL, pad_top, 0, XG_TILE_DIM_MAX);
    d->win.pad_left = GET(in, POOL, pad_left, 0, XG_TILE_DIM_MAX);
    d->win.in_rows = DIM(POOL, in_rows), d->win.in_cols = DIM(POOL, in_cols);
    VIEW_PLACE(&d->a, in, POOL, in_addr, in_row0, init, POOLINIT, in_ring, in_il, in_row, in_pix);
    VIEW_PLACE(&d->out, in, POOL, out_addr, out_row0, init, POOLINIT, out_ring, out_il, out_row,
               out_pix);
    view_extent(j, &d->out, "output", DIM(POOL, rows), DIM(POOL, cols), DIM(POOL, ch), 0);
    window_input(j, d, d->out.ch);
}

static void elew(judge *j, const xg_inst *init, xg_tile_operands *d) {
    const xg_machine *m = j->m;
    const xg_inst *in = j->in;
    if (within(j, init, XG_F(ELEWINIT, kind), 0, 1) == 1 && !m->tile.elew_mul)
        complain(j, "elew kind 1: this machine does not multiply element by element");
    zero_points(j, init, XG_F(ELEWINIT, zp_a), -1, XG_F(ELEWINIT, zp_b));
    zero_points(j, init, XG_F(ELEWINIT, zp_out), -1, -1);
    clamp_range(j, init, XG_F(ELEWINIT, lo));
    VIEW_PLACE(&d->a, in, ELEW, a_addr, a_row0, init, ELEWINIT, a_ring, a_il, a_row, a_pix);
    VIEW_PLACE(&d->b, in, ELEW, b_addr, b_row0, init, ELEWINIT, b_ring, b_il, b_row, b_pix);
    VIEW_PLACE(&d->out, in, ELEW, out_addr, out_row0, init, ELEWINIT, out_ring, out_il, out_row,
               out_pix);
    uint32_t rows = DIM(ELEW, rows), cols = DIM(ELEW, cols), ch = DIM(ELEW, ch);
    view_extent(j, &d->a, "a", rows, cols, ch, 0);
    view_extent(j, &d->b, "b", rows, cols, ch, 0);
    view_extent(j, &d->out, "output", rows, cols, ch, 0);
}

static void lut(judge *j, xg_tile_operands *d) {
    const xg_machine *m = j->m;
    const xg_inst *in = j->in;
    if (!m->tile.lut) complain(j, "lut: this machine has no tables");
    VIEW_PLACE(&d->a, in, LUT, in_addr, in_row0, in, LUT, in_ring, in_il, in_row, in_pix);
    VIEW_PLACE(&d->out, in, LUT, out_addr, out_row0, in, LUT, out_ring, out_il, out_row, out_pix);
    uint32_t rows = DIM(LUT, rows), cols = DIM(LUT, cols), ch = DIM(LUT, ch);
    d->q_bytes = 256;
    d->q_addr = GET(in, LUT, table, 0, (int64_t)m->tile.param_bytes - 256);
    view_extent(j, &d->a, "input", rows, cols, ch, 0);
    view_extent(j, &d->out, "output", rows, cols, ch, 0);
}

/* Instructions that read registers of an INIT. */
static void judge_with_init(judge *j, const xg_regs *regs, xg_tile_operands *d) {
    int op = d->op == XG_T_CONV     ? XG_T_CONVINIT
             : d->op == XG_T_DWCONV ? XG_T_DWINIT
             : d->op == XG_T_POOL   ? XG_T_POOLINIT
                                    : XG_T_ELEWINIT;
    const xg_inst *init = d->init = need_init(j, regs, op);
    if (!init) return;
    switch (d->op) {
    case XG_T_CONV:
        conv(j, init, d);
        break;
    case XG_T_DWCONV:
        dwconv(j, init, d);
        break;
    case XG_T_POOL:
        pool(j, init, d);
        break;
    default:
        elew(j, init, d);
    }
}

bool xg_tile_operands_of(const xg_machine *m, const xg_regs *regs, const xg_inst *in,
                         xg_tile_operands *out, char why[XG_TILE_WHY_BYTES]) {
    judge state = {m, in, why, true}, *j = &state;
    memset(out, 0, sizeof *out);
    out->op = in->op, out->in = in;
    switch (in->op) {
    case XG_T_LOAD:
        load(j, out);
        break;
    case XG_T_LOADW:
        loadw(j, out);
        break;
    case XG_T_LOADP:
        loadp(j, out);
        break;
    case XG_T_SAVE:
        save(j, out);
        break;
    case XG_T_AWAIT:
        GET(in, AWAIT, count, 1, INT32_MAX);
        break;
    case XG_T_CONV:
    case XG_T_DWCONV:
    case XG_T_POOL:
    case XG_T_ELEW:
        judge_with_init(j, regs, out);
        break;
    case XG_T_LUT:
        lut(j, out);
        break;
    default:
        if (in->op >= XG_T_COUNT) complain(j, "opcode row %u does not exist", in->op);
    }
    return state.ok;
}

/* ---- columns of a window
 * ------------------------------------------------------------------------------------ */

static void columns_by_bitmap(const xg_tile_window *w, uint32_t out_cols,
                              void (*fn)(void *arg, uint32_t first, uint32_t count, uint32_t step),
                              void *arg) {
    uint64_t used[(XG_TILE_DIM_MAX + 64) / 64] = {0};
    for (uint32_t t = 0; t < w->kw; t++)
        for (uint32_t x = 0; x < out_cols; x++) {
            int64_t c = (int64_t)x * w->sw + (int64_t)t * w->dw - w->pad_left;
            if (c >= 0 && c < w->in_cols) used[c / 64] |= UINT64_C(1) << (c % 64);
        }
    for (uint32_t c = 0; c < w->in_cols;) {
        uint32_t n = 0;
        while (c + n < w->in_cols && (used[(c + n) / 64] >> ((c + n) % 64) & 1)) n++;
        if (n) fn(arg, c, n, 1);
        c += n + 1;
    }
}

void xg_tile_columns(const xg_tile_window *w, uint32_t out_cols,
                     void (*fn)(void *arg, uint32_t first, uint32_t count, uint32_t step),
                     void *arg) {
    bool dense = w->kw >= w->sw && (w->dw == 1 || w->kw == 1);
    if (!dense && w->kw > 1) {
        columns_by_bitmap(w, out_cols, fn, arg);
        return;
    }
    uint32_t step = dense ? 1 : w->sw; /* one tap wide: an arithmetic progression */
    int64_t first = -(int64_t)w->pad_left;
    int64_t last = (int64_t)(out_cols - 1) * w->sw + (int64_t)(w->kw - 1) - w->pad_left;
    if (first < 0) first += (-first + step - 1) / step * step;
    last = xg_min(last, (int64_t)w->in_cols - 1);
    if (first <= last) fn(arg, (uint32_t)first, (uint32_t)((last - first) / step + 1), step);
}
