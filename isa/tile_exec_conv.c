#include "isa/datapath.h"
#include "isa/tile_fast.h"
#include "isa/tile_operands.h"

#include <stdio.h>
#include <string.h>

/* The multiplier array: outputs of one pixel are dot products of a patch (taps x channels, zero
 * point taken off) with each output channel's weights. Patches and weights are padded with zeros to
 * whole vectors, so the inner loop has no tail. |x - zp| and |w - zp| are at most 255: a chunk of
 * 2^15 products fits 32 bits. */
enum { CHUNK = 1 << 15, PIXELS = 2, CHANNELS = 4, VECTOR = 32 };

/* sum[p][c] = sum over i of x[p][i] * w[c][i], n a multiple of VECTOR and at most CHUNK. */
static void dot(const int16_t *x, const int16_t *w, size_t ld, size_t n,
                int32_t sum[PIXELS][CHANNELS]) {
    const int16_t *x0 = x, *x1 = x + ld, *w0 = w, *w1 = w + ld, *w2 = w1 + ld, *w3 = w2 + ld;
    int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    for (size_t i = 0; i < n; i++) {
        s00 += x0[i] * w0[i], s01 += x0[i] * w1[i], s02 += x0[i] * w2[i], s03 += x0[i] * w3[i];
        s10 += x1[i] * w0[i], s11 += x1[i] * w1[i], s12 += x1[i] * w2[i], s13 += x1[i] * w3[i];
    }
    sum[0][0] = s00, sum[0][1] = s01, sum[0][2] = s02, sum[0][3] = s03;
    sum[1][0] = s10, sum[1][1] = s11, sum[1][2] = s12, sum[1][3] = s13;
}

typedef struct conv {
    xg_state *s;
    const xg_tile_operands *d;
    const xg_tile_scratch *k;
    size_t depth, n, ld; /* channels a tap; taps x channels; padded */
    int32_t zp_in;
    bool acc_in, acc_out, chan;
    int64_t acc[PIXELS][CHANNELS];
} conv;

static void widen(const uint8_t *from, int16_t *to, size_t n, int16_t zp) {
    const int8_t *x = (const int8_t *)from;
    for (size_t i = 0; i < n; i++) to[i] = (int16_t)(x[i] - zp);
}

static void gather_weights(conv *c) {
    int32_t zp = c->d->init->f[XG_F(CONVINIT, zp_w)];
    for (uint32_t o = 0; o < (c->d->oc + 3) / 4 * 4; o++) {
        int16_t *to = c->k->weights + o * c->ld;
        size_t n = o < c->d->oc ? c->n : 0;
        if (n) widen(xg_tile_w(c->s, o, c->d->w_addr), to, n, (int16_t)zp);
        memset(to + n, 0, (c->ld - n) * sizeof *to);
    }
}

/* Taps of output pixel (r, x); missing ones are zero. Past the last pixel: the patch before stays.
 */
static void gather_patch(const conv *c, uint32_t r, uint32_t x, int16_t *to) {
    const xg_tile_operands *d = c->d;
    const xg_tile_window *w = &d->win;
    for (uint32_t y = 0; y < w->kh; y++) {
        int64_t i = (int64_t)r * w->sh + (int64_t)y * w->dh - w->pad_top;
        bool row = i >= 0 && i < d->a.rows;
        uint32_t bank = 0, base = row ? xg_tile_row(c->s->machine, &d->a, (uint32_t)i, &bank) : 0;
        for (uint32_t t = 0; t < w->kw; t++, to += c->depth) {
            int64_t j = (int64_t)x * w->sw + (int64_t)t * w->dw - w->pad_left;
            if (row && j >= 0 && j < d->a.cols)
                widen(xg_tile_fm(c->s, bank, base + (uint32_t)j * d->a.pix), to, c->depth,
                      (int16_t)c->zp_in);
            else
                memset(to, 0, c->depth * sizeof *to);
        }
    }
}

static void multiply(conv *c, uint32_t o) {
    const int16_t *w = c->k->weights + o * c->ld;
    memset(c->acc, 0, sizeof c->acc);
    for (size_t i = 0; i < c->ld; i += CHUNK) {
        int32_t sum[PIXELS][CHANNELS];
        dot(c->k->patch + i, w + i, c->ld, c->ld - i < CHUNK ? c->ld - i : CHUNK, sum);
        for (int p = 0; p < PIXELS; p++)
            for (int q = 0; q < CHANNELS; q++) c->acc[p][q] += sum[p][q];
    }
}

static int32_t word_of(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p,
           4); /* records and partial sums are little-endian, as are the hosts that run this */
    return v;
}

/* One output: start value, width of the accumulator, partial sum or requantised byte. */
static const char *finish(const conv *c, uint32_t r, uint32_t x, uint32_t o, int64_t acc,
                          uint8_t *out) {
    const xg_machine *m = c->s->machine;
    const xg_tile_operands *d = c->d;
    const int32_t *f = d->init->f;
    const uint8_t *rec = c->s->mem[XG_MEM_PARAM] + d->p_addr + (size_t)o * (c->chan ? 12 : 4);
    uint8_t *psum = c->acc_in || c->acc_out
                        ? xg_tile_fm(c->s, r, d->psum + x * d->psum_step) + 4 * (size_t)o
                        : NULL;
    acc += c->acc_in ? word_of(psum) : word_of(rec);
    int bits = m->rq.acc_bits && m->rq.acc_bits < 63 ? m->rq.acc_bits : 63;
    if (c->acc_out && bits > 32) bits = 32;
    if (acc >= INT64_C(1) << (bits - 1) || acc < -(INT64_C(1) << (bits - 1))) {
        snprintf(c->s->scratch, XG_TILE_WHY_BYTES,
                 "conv accumulator of row %u pixel %u channel %u is %lld, it has %d bits", r, x, o,
                 (long long)acc, bits);
        return c->s->scratch;
    }
    if (c->acc_out) {
        int32_t v = (int32_t)acc;
        memcpy(psum, &v, 4);
        return NULL;
    }
    int32_t mult = c->chan ? word_of(rec + 4) : f[XG_F(CONVINIT, mult)];
    int32_t shift = c->chan ? word_of(rec + 8) : f[XG_F(CONVINIT, shift)];
    out[o] = (uint8_t)xg_dp_requantise(&m->rq, acc, mult, shift, f[XG_F(CONVINIT, zp_out)],
                                       f[XG_F(CONVINIT, lo)], f[XG_F(CONVINIT, hi)]);
    return NULL;
}

/* Outputs of up to PIXELS pixels from x on in row r. */
static const char *pixels(conv *c, uint32_t r, uint32_t x) {
    const xg_tile_operands *d = c->d;
    uint32_t n = d->out.cols - x < PIXELS ? d->out.cols - x : PIXELS, bank = 0, base = 0;
    if (!c->acc_out) base = xg_tile_row(c->s->machine, &d->out, r, &bank);
    for (uint32_t p = 0; p < n; p++) gather_patch(c, r, x + p, c->k->patch + p * c->ld);
    for (uint32_t o = 0; o < d->oc; o += CHANNELS) {
        multiply(c, o);
        for (uint32_t p = 0; p < n; p++) {
            uint8_t *out = c->acc_out
                               ? NULL
                               : xg_tile_fm(c->s, bank, base + (x + p) * d->out.pix) + d->out.lane;
            for (uint32_t q = 0; q < CHANNELS && o + q < d->oc; q++) {
                const char *why = finish(c, r, x + p, o + q, c->acc[p][q], out);
                if (why) return why;
            }
        }
    }
    return NULL;
}

const char *xg_tile_conv(xg_state *s, const xg_tile_operands *d) {
    uint32_t r = 0, first = 0; /* where the vector form stops is the start of a pair of pixels */
    if (xg_tile_fast_conv(s, d, &r, &first)) return NULL;
    conv c = {.s = s, .d = d, .k = s->scratch};
    c.depth = (size_t)d->in->f[XG_F(CONV, icw)] * s->machine->tile.icp;
    c.n = (size_t)d->win.kh * d->win.kw * c.depth;
    c.ld = (c.n + VECTOR - 1) / VECTOR * VECTOR;
    c.zp_in = d->init->f[XG_F(CONVINIT, zp_in)];
    c.chan = d->init->f[XG_F(CONVINIT, chan)];
    c.acc_in = d->in->f[XG_F(CONV, acc_in)], c.acc_out = d->in->f[XG_F(CONV, acc_out)];
    gather_weights(&c);
    for (uint32_t p = 0; p < PIXELS; p++)
        memset(c.k->patch + p * c.ld, 0, c.ld * sizeof *c.k->patch);
    for (; r < d->out.rows; r++, first = 0)
        for (uint32_t x = first; x < d->out.cols; x += PIXELS) {
            const char *why = pixels(&c, r, x);
            if (why) return why;
        }
    return NULL;
}
