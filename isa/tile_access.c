#include "isa/tile_operands.h"

/* Words touched, for the hazard analysis and the checkers. What operands do not allow touches
 * nothing. */

typedef struct sink {
    const xg_machine *m;
    const xg_tile_operands *d;
    void (*fn)(void *arg, const xg_access *a);
    void *arg;
    uint32_t bank, base; /* of the row whose columns are walked */
} sink;

static void emit(const sink *k, uint8_t mem, bool write, uint32_t bank, uint32_t addr,
                 uint32_t count) {
    xg_access a = {.mem = mem,
                   .write = write,
                   .bank = (uint16_t)bank,
                   .addr = addr,
                   .count = count,
                   .step = 1,
                   .rows = 1};
    a.echo = mem == XG_MEM_W && bank > 0; /* who touches a bank touches all before it */
    k->fn(k->arg, &a);
}

/* `cols` pixels of a row, `step` columns apart. */
static void emit_pixels(const sink *k, const xg_tile_view *v, bool write, uint32_t bank,
                        uint32_t addr, uint32_t cols, uint32_t step) {
    xg_access a = {.mem = XG_MEM_FM,
                   .write = write,
                   .bank = (uint16_t)bank,
                   .addr = addr,
                   .count = v->words,
                   .step = 1,
                   .rows = cols,
                   .row_step = v->pix * step};
    a.partial = write && (v->lane || (v->lane + v->ch) % k->m->tile.icp);
    if (v->pix == 0 || cols == 1) {
        a.rows = 1, a.row_step = 0;
    } else if (a.row_step == v->words) {
        a.count = v->words * cols, a.rows = 1, a.row_step = 0;
    }
    k->fn(k->arg, &a);
}

static void view_all(const sink *k, const xg_tile_view *v, bool write) {
    for (uint32_t r = 0; r < v->rows; r++) {
        uint32_t bank, base = xg_tile_row(k->m, v, r, &bank);
        emit_pixels(k, v, write, bank, base, v->cols, 1);
    }
}

static void window_run(void *arg, uint32_t first, uint32_t count, uint32_t step) {
    const sink *k = arg;
    const xg_tile_view *v = &k->d->a;
    emit_pixels(k, v, false, k->bank, k->base + first * v->pix, count, step);
}

/* Whether some output row has a tap in input row i: i = r*sh + y*dh - pad_top. */
static bool row_used(const xg_tile_window *w, uint32_t out_rows, uint32_t i) {
    for (uint32_t y = 0; y < w->kh; y++) {
        int64_t p = (int64_t)i + w->pad_top - (int64_t)y * w->dh;
        if (p >= 0 && p % w->sh == 0 && p / w->sh < out_rows) return true;
    }
    return false;
}

static void view_window(sink *k) {
    const xg_tile_operands *d = k->d;
    for (uint32_t i = 0; i < d->a.rows; i++) {
        if (!row_used(&d->win, d->out.rows, i)) continue;
        k->base = xg_tile_row(k->m, &d->a, i, &k->bank);
        xg_tile_columns(&d->win, d->out.cols, window_run, k);
    }
}

static void ddr_run(void *arg, uint32_t first, uint32_t count, uint32_t step) {
    const sink *k = arg;
    const xg_tile_ddr *p = &k->d->ddr;
    xg_access a = {.mem = XG_MEM_DDR,
                   .write = k->d->op == XG_T_SAVE,
                   .region = (uint8_t)p->region,
                   .count = p->ch,
                   .step = 1,
                   .rows = count,
                   .row_step = p->pix_step * step};
    uint32_t rows = p->rows;
    if (a.row_step == p->ch || count == 1) a.count *= count, a.rows = 1, a.row_step = 0;
    if (a.rows == 1 && p->row_step == a.count) a.count *= rows, rows = 1;
    for (uint32_t r = 0; r < rows; r++) {
        a.addr = p->addr + r * p->row_step + first * p->pix_step;
        k->fn(k->arg, &a);
    }
}

static void ddr(sink *k) {
    const xg_tile_operands *d = k->d;
    if (d->op == XG_T_LOAD && d->win.kw > 1)
        xg_tile_columns(&d->win, d->out.cols, ddr_run, k);
    else
        ddr_run(k, 0, d->ddr.cols, 1);
}

static void psum(const sink *k, bool write) {
    const xg_tile_operands *d = k->d;
    xg_access a = {.mem = XG_MEM_FM,
                   .write = write,
                   .addr = d->psum,
                   .count = d->psum_words,
                   .step = 1,
                   .rows = d->out.cols,
                   .row_step = d->psum_step};
    a.partial = write && (4 * d->oc) % k->m->tile.icp;
    for (uint32_t r = 0; r < d->out.rows; r++) {
        a.bank = (uint16_t)r;
        k->fn(k->arg, &a);
    }
}

void xg_tile_access(const xg_machine *m, const xg_regs *regs, const xg_inst *in,
                    void (*fn)(void *arg, const xg_access *a), void *arg) {
    xg_tile_operands d;
    char why[XG_TILE_WHY_BYTES];
    if (!xg_tile_operands_of(m, regs, in, &d, why)) return;
    sink k = {m, &d, fn, arg, 0, 0};
    bool acc_in = in->op == XG_T_CONV && in->f[XG_F(CONV, acc_in)];
    bool acc_out = in->op == XG_T_CONV && in->f[XG_F(CONV, acc_out)];
    bool loads = in->op == XG_T_LOADW || in->op == XG_T_LOADP;
    if (d.has_ddr) ddr(&k);
    for (uint32_t b = 0; d.w_words && b < d.w_banks; b++)
        emit(&k, XG_MEM_W, loads, b, d.w_addr, d.w_words);
    if (d.p_bytes) emit(&k, XG_MEM_PARAM, loads, 0, d.p_addr, d.p_bytes);
    if (d.q_bytes) emit(&k, XG_MEM_PARAM, false, 0, d.q_addr, d.q_bytes);
    if (acc_in) psum(&k, false);
    if (in->op == XG_T_CONV || in->op == XG_T_DWCONV || in->op == XG_T_POOL)
        view_window(&k);
    else
        view_all(&k, &d.a, false);
    view_all(&k, &d.b, false);
    if (!acc_out)
        view_all(&k, &d.out, true);
    else
        psum(&k, true);
}
