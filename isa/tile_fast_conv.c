/* CONV with vector instructions: dot products of a few pixels at a time (isa/tile_fast_dot.h), then
 * bias or partial sums, then the requantiser. A start value or a partial sum that makes an
 * accumulator leave its width stops the vector form at that batch of pixels. */
#include "isa/tile_fast.h"
#include "isa/tile_fast_dot.h"

#include <string.h>

#if defined(__x86_64__)
enum { PIXELS = XG_DOT_PIXELS, LANES = XG_DOT_LANES, BATCH = XG_TILE_BATCH };

/* Pixels are counted through the rows of the instruction: pixel i is in row i / cols. */
typedef struct conv {
    xg_state *s;
    const xg_tile_operands *d;
    xg_tile_fast *f;
    xg_tile_dot dot;
    const xg_dot_form *form;
    int32_t lo, hi; /* of the accumulator */
    bool chan, acc_in, acc_out;
    bool summed; /* the sums of the input are at hand */
    bool proved; /* no accumulator can leave its width; the bias is in dot.start */
} conv;

/* ---- taps ------------------------------------------------------------------------------------ */

static void find_lines(const conv *c) {
    const xg_tile_view *a = &c->d->a;
    for (uint32_t i = 0; i < a->rows; i++) {
        uint32_t bank, base = xg_tile_row(c->s->machine, a, i, &bank);
        c->f->line[i] = (const int8_t *)xg_tile_fm(c->s, bank, base);
    }
}

/* Where one tap of n pixels of a row lies: the first in column j, the others sw columns on. */
static void tap_columns(const conv *c, const int8_t *line, int64_t j, uint32_t n,
                        const int8_t **to) {
    const int64_t sw = c->d->win.sw, cols = c->d->a.cols;
    const int64_t step = (int64_t)c->d->a.pix * c->s->machine->tile.icp;
    if (line && j >= 0 && j + (n - 1) * sw < cols) {
        for (uint32_t p = 0; p < n; p++) to[p] = line + (j + p * sw) * step;
        return;
    }
    for (uint32_t p = 0; p < n; p++, j += sw)
        to[p] = line && j >= 0 && j < cols ? line + j * step : (const int8_t *)c->f->pad;
}

/* Where the taps of n pixels from pixel i on lie; the last one is repeated. */
static void find_taps(const conv *c, uint32_t i, uint32_t n) {
    const xg_tile_operands *d = c->d;
    const xg_tile_window *w = &d->win;
    for (uint32_t p = 0, run; p < n; p += run) { /* what lies in one row at a time */
        const uint32_t r = (i + p) / d->out.cols, x = (i + p) % d->out.cols;
        run = d->out.cols - x < n - p ? d->out.cols - x : n - p;
        const int8_t **to = c->dot.tap + p;
        for (uint32_t y = 0; y < w->kh; y++) {
            const int64_t row = (int64_t)r * w->sh + (int64_t)y * w->dh - w->pad_top;
            const int8_t *line = row >= 0 && row < d->a.rows ? c->f->line[row] : NULL;
            int64_t j = (int64_t)x * w->sw - w->pad_left;
            for (uint32_t t = 0; t < w->kw; t++, to += PIXELS, j += w->dw)
                tap_columns(c, line, j, run, to);
        }
    }
    for (size_t t = 0; n < PIXELS && t < c->dot.taps; t++)
        for (uint32_t p = n; p < PIXELS; p++)
            c->dot.tap[t * PIXELS + p] = c->dot.tap[t * PIXELS + n - 1];
}

static void pack(const conv *c) {
    for (uint32_t o = 0; o < c->dot.lanes; o += LANES) {
        const int8_t *w[LANES];
        for (uint32_t j = 0; j < LANES; j++)
            w[j] = o + j < c->d->oc ? (const int8_t *)xg_tile_w(c->s, o + j, c->d->w_addr) : NULL;
        c->form->pack(&c->dot, o, w);
    }
}

/* ---- results --------------------------------------------------------------------------------- */

static int32_t word_of(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* Copies accumulators or partial sums of n pixels from memory, or to it. */
static void move_psums(const conv *c, uint32_t i, uint32_t n, int32_t *sums, bool store) {
    const xg_tile_operands *d = c->d;
    const size_t bytes = 4 * (size_t)d->oc;
    uint32_t r = i / d->out.cols, x = i % d->out.cols;
    for (uint32_t p = 0; p < n; p++, sums += c->dot.lanes) {
        uint8_t *at = xg_tile_fm(c->s, r, d->psum + x * d->psum_step);
        if (store)
            memcpy(at, sums, bytes);
        else
            memcpy(sums, at, bytes);
        if (++x == d->out.cols) r++, x = 0;
    }
}

/* Adds bias or partial sums to n pixels; false when one leaves the accumulator. Channels past the
 * last one, whose sums are of no use, have 0 added. */
static bool start_values(const conv *c, uint32_t i, uint32_t n) {
    const xg_tile_rows *rows = c->f->rows;
    const uint32_t lanes = c->dot.lanes;
    if (c->acc_in) {
        if (lanes > c->d->oc) memset(c->f->partial, 0, (size_t)n * lanes * sizeof(int32_t));
        move_psums(c, i, n, c->f->partial, false);
        return rows->start(c->f->partial, (size_t)n * lanes, c->lo, c->hi, c->f->acc);
    }
    bool fits = true;
    for (uint32_t p = 0; p < n; p++)
        fits &= rows->start(c->f->bias, lanes, c->lo, c->hi, c->f->acc + (size_t)p * lanes);
    return fits;
}

static void finish(const conv *c, uint32_t i, uint32_t n) {
    const xg_tile_operands *d = c->d;
    if (c->acc_out) {
        move_psums(c, i, n, c->f->acc, true);
        return;
    }
    const int32_t *acc = c->f->acc;
    while (n) { /* what lies in one row at a time */
        const uint32_t r = i / d->out.cols, x = i % d->out.cols;
        const uint32_t run = d->out.cols - x < n ? d->out.cols - x : n;
        uint32_t bank, base = xg_tile_row(c->s->machine, &d->out, r, &bank);
        uint8_t *out = xg_tile_fm(c->s, bank, base + x * d->out.pix) + d->out.lane;
        c->f->rows->requantise(&c->f->rq, acc, run, c->dot.lanes, 0, d->oc, out,
                               (size_t)d->out.pix * c->s->machine->tile.icp);
        acc += (size_t)run * c->dot.lanes, i += run, n -= run;
    }
}

/* ---- the instruction ------------------------------------------------------------------------- */

/* Whether start values of the bias leave room for any sum. */
static bool bounded(const conv *c) {
    const int64_t most = (int64_t)c->dot.k * 255 * 255;
    for (uint32_t o = 0; o < c->d->oc; o++)
        if (c->f->bias[o] - most < c->lo || c->f->bias[o] + most > c->hi) return false;
    return true;
}

static bool constants(conv *c) {
    const int32_t *f = c->d->init->f;
    const xg_rqrec *r = &c->s->machine->rq;
    const uint8_t *rec = c->s->mem[XG_MEM_PARAM] + c->d->p_addr;
    memset(c->f->bias, 0, c->dot.lanes * sizeof *c->f->bias);
    for (uint32_t o = 0; !c->acc_in && o < c->d->oc; o++)
        c->f->bias[o] = word_of(rec + (size_t)o * (c->chan ? 12 : 4));
    c->proved = !c->acc_in && bounded(c);
    if (c->proved)
        memcpy(c->dot.start, c->f->bias, c->dot.lanes * sizeof *c->dot.start);
    else
        memset(c->dot.start, 0, c->dot.lanes * sizeof *c->dot.start);
    if (c->acc_out) return true;
    xg_tile_rq_begin(&c->f->rq, r, f[XG_F(CONVINIT, zp_out)], f[XG_F(CONVINIT, lo)],
                     f[XG_F(CONVINIT, hi)]);
    if (!c->chan)
        return xg_tile_rq_fill(&c->f->rq, r, c->d->oc, f[XG_F(CONVINIT, mult)],
                               f[XG_F(CONVINIT, shift)]);
    for (uint32_t o = 0; o < c->d->oc; o++, rec += 12)
        if (!xg_tile_rq_set(&c->f->rq, r, o, word_of(rec + 4), word_of(rec + 8))) return false;
    return true;
}

/* Whether the instruction reads words that it also writes, or writes words twice, as far as spans
 * tell. */
static bool meets_itself(const conv *c) {
    const xg_tile_operands *d = c->d;
    const xg_tile_view sums = {.addr = d->psum,
                               .il = 1,
                               .pix = d->psum_step,
                               .rows = 1,
                               .cols = d->out.cols,
                               .words = d->psum_words};
    const bool has = c->acc_in || c->acc_out;
    const xg_machine *m = c->s->machine;
    if (!c->acc_out && (!xg_tile_apart(&d->out) || xg_tile_may_meet(m, &d->a, &d->out)))
        return true;
    return has && (xg_tile_may_meet(m, &sums, &d->a) ||
                   (!c->acc_out && xg_tile_may_meet(m, &sums, &d->out)));
}

static bool setup(conv *c) {
    const xg_machine *m = c->s->machine;
    const int32_t *f = c->d->init->f, *in = c->d->in->f;
    const size_t depth = (size_t)in[XG_F(CONV, icw)] * m->tile.icp;
    const size_t taps = (size_t)c->d->win.kh * c->d->win.kw;
    if (!c->f->rows || c->f->rows->level < XG_CPU_AVX2 || taps * depth > XG_DOT_TERMS ||
        c->d->oc > XG_TILE_BLOCK)
        return false;
    c->form = c->f->rows->level == XG_CPU_VNNI && depth % 4 == 0 ? &xg_dot_vnni : &xg_dot_avx2;
    c->dot = (xg_tile_dot){.depth = depth,
                           .taps = taps,
                           .k = taps * depth,
                           .lanes = (c->d->oc + LANES - 1) / LANES * LANES,
                           .zp_in = f[XG_F(CONVINIT, zp_in)],
                           .zp_w = f[XG_F(CONVINIT, zp_w)],
                           .weights = c->f->weights,
                           .start = c->f->start,
                           .patch = c->f->patch,
                           .tap = c->f->tap};
    c->chan = f[XG_F(CONVINIT, chan)];
    c->acc_in = in[XG_F(CONV, acc_in)], c->acc_out = in[XG_F(CONV, acc_out)];
    const int bits = m->rq.acc_bits && m->rq.acc_bits < 32 ? m->rq.acc_bits : 32;
    c->hi = (int32_t)((INT64_C(1) << (bits - 1)) - 1), c->lo = -c->hi - 1;
    return !meets_itself(c) && constants(c);
}

/* CONVs of other filters often follow with the same input, which none of them writes. */
static void find_sums(conv *c) {
    const xg_tile_operands *d = c->d;
    const xg_tile_summed now = {.in = d->a,
                                .win = d->win,
                                .rows = d->out.rows,
                                .cols = d->out.cols,
                                .words = (uint32_t)d->in->f[XG_F(CONV, icw)],
                                .zp_in = c->dot.zp_in,
                                .zp_w = c->dot.zp_w};
    _Static_assert(sizeof now == 26 * sizeof(int32_t), "compared as bytes");
    c->summed = c->f->has_sums && memcmp(&now, &c->f->summed, sizeof now) == 0;
    c->f->summed = now;
    c->f->has_sums = false; /* until all of them are there */
}

/* Pixels i + p .. of a batch, PIXELS at a time. */
static void multiply(const conv *c, uint32_t i, uint32_t n) {
    int32_t here[PIXELS];
    for (uint32_t p = 0; p < n; p += PIXELS) {
        const uint32_t few = n - p < PIXELS ? n - p : PIXELS;
        int32_t *less = i + p + PIXELS <= XG_TILE_SUMS ? c->f->sums + i + p : here;
        find_taps(c, i + p, few);
        if (c->form->centre && (!c->summed || less == here)) c->form->centre(&c->dot, less);
        c->form->run(&c->dot, few, less, c->f->acc + (size_t)p * c->dot.lanes);
    }
}

bool xg_tile_fast_conv(xg_state *s, const xg_tile_operands *d, uint32_t *r, uint32_t *x) {
    conv c = {.s = s, .d = d, .f = ((xg_tile_scratch *)s->scratch)->fast};
    if (!setup(&c)) {
        c.f->has_sums = false;
        return false;
    }
    pack(&c);
    find_lines(&c);
    find_sums(&c);
    memset(c.f->pad, (uint8_t)c.dot.zp_in, c.dot.depth);
    const uint32_t all = d->out.rows * d->out.cols;
    const uint32_t first = *r * d->out.cols + *x;
    for (uint32_t i = first; i < all; i += BATCH) {
        const uint32_t n = all - i < BATCH ? all - i : BATCH;
        multiply(&c, i, n);
        if (!c.proved && !start_values(&c, i, n)) {
            *r = i / d->out.cols, *x = i % d->out.cols;
            return false;
        }
        finish(&c, i, n);
    }
    c.f->has_sums = c.form->centre && first == 0;
    return true;
}
#else
bool xg_tile_fast_conv(xg_state *s, const xg_tile_operands *d, uint32_t *r, uint32_t *x) {
    (void)s, (void)d, (void)r, (void)x;
    return false;
}
#endif
