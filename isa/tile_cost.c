#include "isa/tile_operands.h"
#include "isa/timing.h"

/* Instructions whose work is no more than being decoded by their engine. */
enum { CONTROL_CYCLES = 1 };

static void count_columns(void *arg, uint32_t first, uint32_t count, uint32_t step) {
    (void)first, (void)step;
    *(uint64_t *)arg += count;
}

/* Runs of consecutive DDR bytes. */
static void transfer(const xg_machine *m, const xg_tile_operands *d, uint32_t start, uint64_t words,
                     xg_cost *out) {
    uint64_t cols = d->ddr.cols, runs, run;
    if (d->op == XG_T_LOAD && d->win.kw > 1) {
        cols = 0;
        xg_tile_columns(&d->win, d->out.cols, count_columns, &cols);
    }
    if (cols == 0) { /* a folded LOAD of fill only */
        out->cycles = start + xg_time_words(m, words);
        return;
    }
    if (d->ddr.pix_step == d->ddr.ch || cols == 1) {
        run = cols * d->ddr.ch, runs = d->ddr.rows;
        if (d->ddr.row_step == run) run *= runs, runs = 1;
    } else {
        run = d->ddr.ch, runs = d->ddr.rows * cols;
    }
    out->ddr_bytes = runs * run;
    out->ddr_bursts = (uint32_t)xg_time_bursts(m, runs, run);
    out->ddr_write = d->op == XG_T_SAVE;
    out->ddr_setup = (uint64_t)start + m->ddr.latency;
    out->cycles = xg_time_transfer(m, start, runs, run, words);
}

static uint64_t view_words(const xg_tile_view *v) {
    return (uint64_t)v->rows * v->cols * v->words;
}

static void conv(const xg_machine *m, const xg_tile_operands *d, xg_cost *out) {
    const int32_t *f = d->in->f;
    uint32_t icw = (uint32_t)f[XG_F(CONV, icw)];
    out->cycles = xg_time_conv(m, d->win.kh, d->win.kw, d->win.sh, d->a.il, icw, d->out.rows,
                               d->out.cols, f[XG_F(CONV, acc_in)], f[XG_F(CONV, acc_out)]);
    out->macs =
        (uint64_t)d->out.rows * d->out.cols * d->oc * d->win.kh * d->win.kw * icw * m->tile.icp;
}

void xg_tile_cost(const xg_machine *m, const xg_regs *regs, const xg_inst *in, xg_cost *out) {
    xg_tile_operands d;
    char why[XG_TILE_WHY_BYTES];
    *out = (xg_cost){.cycles = CONTROL_CYCLES};
    if (!xg_tile_operands_of(m, regs, in, &d, why)) return;
    uint32_t taps = d.win.kh * d.win.kw;
    const xg_tile_view *o = &d.out;
    switch (in->op) {
    case XG_T_LOAD:
        transfer(m, &d, m->tile.load_start, view_words(o), out);
        break;
    case XG_T_LOADW:
        transfer(m, &d, m->tile.load_start, (uint64_t)d.w_words * d.w_banks, out);
        break;
    case XG_T_LOADP:
        transfer(m, &d, m->tile.load_start, (uint64_t)xg_ceil_div(d.p_bytes, m->tile.icp), out);
        break;
    case XG_T_SAVE:
        transfer(m, &d, m->tile.save_start, view_words(&d.a), out);
        break;
    case XG_T_CONV:
        conv(m, &d, out);
        break;
    case XG_T_DWCONV:
        out->cycles = xg_time_dwconv(m, taps, o->rows, o->cols, o->ch);
        out->macs = (uint64_t)o->rows * o->cols * o->ch * taps;
        break;
    case XG_T_POOL:
        out->cycles = xg_time_pool(m, taps, o->rows, o->cols, o->ch);
        break;
    case XG_T_ELEW:
        out->cycles = xg_time_elew(m, 2, o->rows, o->cols, o->ch);
        break;
    case XG_T_LUT:
        out->cycles = xg_time_lut(m, o->rows, o->cols, o->ch);
        break;
    default:
        break;
    }
}
