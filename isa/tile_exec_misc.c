#include "isa/datapath.h"
#include "isa/tile_fast.h"
#include "isa/tile_operands.h"

#include <string.h>

/* The channels of pixel (row, x) of a view: consecutive bytes. */
static uint8_t *at(const xg_state *s, const xg_tile_view *v, uint32_t row, uint32_t x) {
    uint32_t bank, base = xg_tile_row(s->machine, v, row, &bank);
    return xg_tile_fm(s, bank, base + x * v->pix) + v->lane;
}

/* Input pixel of tap (y, t) of output (r, x), or NULL outside. */
static const int8_t *tap(const xg_state *s, const xg_tile_operands *d, uint32_t r, uint32_t x,
                         uint32_t y, uint32_t t) {
    const xg_tile_window *w = &d->win;
    int64_t i = (int64_t)r * w->sh + (int64_t)y * w->dh - w->pad_top;
    int64_t j = (int64_t)x * w->sw + (int64_t)t * w->dw - w->pad_left;
    if (i < 0 || i >= d->a.rows || j < 0 || j >= d->a.cols) return NULL;
    return (const int8_t *)at(s, &d->a, (uint32_t)i, (uint32_t)j);
}

static int32_t word_of(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

static void dw_pixel(xg_state *s, const xg_tile_operands *d, uint32_t r, uint32_t x) {
    const xg_tile_scratch *k = s->scratch;
    const int32_t *f = d->init->f;
    uint32_t ch = d->out.ch, padded = d->out.words * s->machine->tile.icp;
    int32_t zp_in = f[XG_F(DWINIT, zp_in)], zp_w = f[XG_F(DWINIT, zp_w)];
    const int8_t *w = (const int8_t *)s->mem[XG_MEM_PARAM] + d->q_addr;
    int32_t *sum = k->sums;
    memset(sum, 0, ch * sizeof *sum);
    for (uint32_t y = 0; y < d->win.kh; y++)
        for (uint32_t t = 0; t < d->win.kw; t++, w += padded) {
            const int8_t *in = tap(s, d, r, x, y, t);
            if (!in) continue;
            for (uint32_t c = 0; c < ch; c++) sum[c] += (in[c] - zp_in) * (w[c] - zp_w);
        }
    bool chan = f[XG_F(DWINIT, chan)];
    const uint8_t *rec = s->mem[XG_MEM_PARAM] + d->p_addr;
    uint8_t *out = at(s, &d->out, r, x);
    for (uint32_t c = 0; c < ch; c++, rec += chan ? 12 : 4) {
        int32_t mult = chan ? word_of(rec + 4) : f[XG_F(DWINIT, mult)];
        int32_t shift = chan ? word_of(rec + 8) : f[XG_F(DWINIT, shift)];
        out[c] = (uint8_t)xg_dp_requantise(&s->machine->rq, (int64_t)sum[c] + word_of(rec), mult,
                                           shift, f[XG_F(DWINIT, zp_out)], f[XG_F(DWINIT, lo)],
                                           f[XG_F(DWINIT, hi)]);
    }
}

const char *xg_tile_dwconv(xg_state *s, const xg_tile_operands *d) {
    if (xg_tile_fast_dwconv(s, d)) return NULL;
    for (uint32_t r = 0; r < d->out.rows; r++)
        for (uint32_t x = 0; x < d->out.cols; x++) dw_pixel(s, d, r, x);
    return NULL;
}

static void max_pixel(xg_state *s, const xg_tile_operands *d, uint32_t r, uint32_t x) {
    const int32_t *f = d->init->f;
    int32_t lo = f[XG_F(POOLINIT, lo)], hi = f[XG_F(POOLINIT, hi)];
    int8_t *best = (int8_t *)((xg_tile_scratch *)s->scratch)->sums;
    memset(best, -128, d->out.ch);
    for (uint32_t y = 0; y < d->win.kh; y++)
        for (uint32_t t = 0; t < d->win.kw; t++) {
            const int8_t *in = tap(s, d, r, x, y, t);
            for (uint32_t c = 0; in && c < d->out.ch; c++)
                best[c] = in[c] > best[c] ? in[c] : best[c];
        }
    uint8_t *out = at(s, &d->out, r, x);
    for (uint32_t c = 0; c < d->out.ch; c++)
        out[c] = (uint8_t)(best[c] < lo ? lo : best[c] > hi ? hi : best[c]);
}

static void average_pixel(xg_state *s, const xg_tile_operands *d, const xg_dp_pool *p, uint32_t r,
                          uint32_t x) {
    int8_t *taps = ((xg_tile_scratch *)s->scratch)->taps;
    uint8_t *out = at(s, &d->out, r, x);
    for (uint32_t c = 0; c < d->out.ch; c++) {
        int32_t n = 0;
        for (uint32_t y = 0; y < d->win.kh; y++)
            for (uint32_t t = 0; t < d->win.kw; t++) {
                const int8_t *in = tap(s, d, r, x, y, t);
                if (in) taps[n++] = in[c];
            }
        out[c] = (uint8_t)xg_dp_average(&s->machine->rq, p, taps, n);
    }
}

const char *xg_tile_pool(xg_state *s, const xg_tile_operands *d) {
    const int32_t *f = d->init->f;
    xg_dp_pool p = {f[XG_F(POOLINIT, kind)],   f[XG_F(POOLINIT, count)], f[XG_F(POOLINIT, mult)],
                    f[XG_F(POOLINIT, shift)],  f[XG_F(POOLINIT, mult2)], f[XG_F(POOLINIT, zp_in)],
                    f[XG_F(POOLINIT, zp_out)], f[XG_F(POOLINIT, lo)],    f[XG_F(POOLINIT, hi)]};
    if (xg_tile_fast_pool(s, d, &p)) return NULL;
    for (uint32_t r = 0; r < d->out.rows; r++)
        for (uint32_t x = 0; x < d->out.cols; x++) {
            if (p.kind == 0)
                max_pixel(s, d, r, x);
            else
                average_pixel(s, d, &p, r, x);
        }
    return NULL;
}

const char *xg_tile_elew(xg_state *s, const xg_tile_operands *d) {
    const int32_t *f = d->init->f;
    xg_dp_elew e = {
        f[XG_F(ELEWINIT, kind)],    f[XG_F(ELEWINIT, zp_a)],    f[XG_F(ELEWINIT, zp_b)],
        f[XG_F(ELEWINIT, zp_out)],  f[XG_F(ELEWINIT, lo)],      f[XG_F(ELEWINIT, hi)],
        f[XG_F(ELEWINIT, mult_a)],  f[XG_F(ELEWINIT, shift_a)], f[XG_F(ELEWINIT, mult_b)],
        f[XG_F(ELEWINIT, shift_b)], f[XG_F(ELEWINIT, mult_o)],  f[XG_F(ELEWINIT, shift_o)]};
    if (xg_tile_fast_elew(s, d, &e)) return NULL;
    for (uint32_t r = 0; r < d->out.rows; r++)
        for (uint32_t x = 0; x < d->out.cols; x++) {
            const int8_t *a = (const int8_t *)at(s, &d->a, r, x),
                         *b = (const int8_t *)at(s, &d->b, r, x);
            uint8_t *out = at(s, &d->out, r, x);
            for (uint32_t c = 0; c < d->out.ch; c++)
                out[c] = (uint8_t)xg_dp_elementwise(&s->machine->rq, &e, a[c], b[c]);
        }
    return NULL;
}

const char *xg_tile_lut(xg_state *s, const xg_tile_operands *d) {
    const uint8_t *table = s->mem[XG_MEM_PARAM] + d->q_addr;
    for (uint32_t r = 0; r < d->out.rows; r++)
        for (uint32_t x = 0; x < d->out.cols; x++) {
            const int8_t *in = (const int8_t *)at(s, &d->a, r, x);
            uint8_t *out = at(s, &d->out, r, x);
            for (uint32_t c = 0; c < d->out.ch; c++) out[c] = table[in[c] + 128];
        }
    return NULL;
}
