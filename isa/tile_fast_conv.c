/* CONV with dot products of bytes. The multiplier takes unsigned times signed bytes, so it gets w +
 * 128 and x as they are:
 *   sum (x - zx)(w - zw) = sum x (w + 128) - (128 + zw) sum x - zx sum (w - zw)
 * where taps that do not exist read as zx. Sums fit 32 bits for up to 2^15 terms; a start value or
 * a partial sum that makes an accumulator leave its width stops the vector form at that pixel. */
#include "isa/tile_fast.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define VNNI        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define VNNI_INLINE VNNI static inline __attribute__((always_inline))

enum { PIXELS = 8, LANES = 16, TERMS_MAX = 1 << 15 };

typedef struct conv {
    xg_state *s;
    const xg_tile_operands *d;
    xg_tile_fast *f;
    size_t depth, taps, k;       /* channels a tap; taps; product */
    uint32_t lanes;              /* output channels rounded up to LANES */
    int32_t zp_in, zp_w, lo, hi; /* lo, hi: of the accumulator */
    bool chan, acc_in, acc_out;
} conv;

/* ---- weights --------------------------------------------------------------------------------- */

/* Rows of 16 words of 32 bits become columns. */
VNNI_INLINE void transpose(__m512i v[LANES]) {
    __m512i t[LANES];
    for (int i = 0; i < LANES; i += 4) {
        __m512i a = _mm512_unpacklo_epi32(v[i], v[i + 1]),
                b = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        __m512i c = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]);
        __m512i d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, c), t[i + 1] = _mm512_unpackhi_epi64(a, c);
        t[i + 2] = _mm512_unpacklo_epi64(b, d), t[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) { /* t[i + 4 j]: columns i, 4 + i, 8 + i, 12 + i of rows 4 j .. */
        __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
        __m512i b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
        __m512i d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
        v[i] = _mm512_shuffle_i32x4(a, c, 0x88), v[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88), v[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

/* Filters o .. o + 15 as [k / 4][16][4], moved by 128; channels past oc are zero. Their sums go
 * into start[]: minus zx sum (w - zw). */
VNNI static void pack_block(const conv *c, uint32_t o) {
    const __m512i flip = _mm512_set1_epi8((char)0x80), ones = _mm512_set1_epi8(1);
    uint8_t *to = c->f->weights + (size_t)o * c->k;
    __m512i sums = _mm512_setzero_si512();
    for (size_t i = 0; i < c->k; i += 64) {
        const size_t left = c->k - i < 64 ? c->k - i : 64;
        const __mmask64 mask = left == 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
        __m512i v[LANES];
        for (uint32_t j = 0; j < LANES; j++)
            v[j] = o + j < c->d->oc
                       ? _mm512_maskz_loadu_epi8(mask, xg_tile_w(c->s, o + j, c->d->w_addr) + i)
                       : _mm512_setzero_si512();
        transpose(v);
        for (size_t j = 0; j < left / 4; j++, to += 4 * LANES) {
            sums = _mm512_dpbusd_epi32(sums, ones, v[j]);
            _mm512_storeu_si512(to, _mm512_xor_si512(v[j], flip));
        }
    }
    const __m512i centre = _mm512_set1_epi32((int32_t)c->k * c->zp_w);
    sums = _mm512_mullo_epi32(_mm512_sub_epi32(sums, centre), _mm512_set1_epi32(-c->zp_in));
    _mm512_storeu_si512(c->f->start + o, sums);
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* Where the taps of PIXELS pixels from x on in row r lie; pixels past the last one repeat it. */
static void find_taps(const conv *c, uint32_t r, uint32_t x, uint32_t n) {
    const xg_tile_operands *d = c->d;
    const xg_tile_window *w = &d->win;
    const int8_t **to = c->f->tap, *pad = (const int8_t *)c->f->pad;
    for (uint32_t y = 0; y < w->kh; y++) {
        int64_t i = (int64_t)r * w->sh + (int64_t)y * w->dh - w->pad_top;
        bool row = i >= 0 && i < d->a.rows;
        uint32_t bank = 0, base = row ? xg_tile_row(c->s->machine, &d->a, (uint32_t)i, &bank) : 0;
        const int8_t *line = row ? (const int8_t *)xg_tile_fm(c->s, bank, base) : NULL;
        const size_t step = (size_t)d->a.pix * c->s->machine->tile.icp;
        for (uint32_t t = 0; t < w->kw; t++, to += PIXELS)
            for (uint32_t p = 0; p < PIXELS; p++) {
                int64_t j =
                    (int64_t)(x + (p < n ? p : n - 1)) * w->sw + (int64_t)t * w->dw - w->pad_left;
                to[p] = row && j >= 0 && j < d->a.cols ? line + (size_t)j * step : pad;
            }
    }
}

/* Sum of all terms of each pixel. */
VNNI static void sum_taps(const conv *c, uint32_t n, int32_t out[PIXELS]) {
    const __m512i ones = _mm512_set1_epi8(1);
    const size_t whole = c->depth / 64 * 64, rest = c->depth - whole;
    const __mmask64 mask = (UINT64_C(1) << rest) - 1;
    for (uint32_t p = 0; p < n; p++) {
        __m512i s = _mm512_setzero_si512();
        for (size_t t = 0; t < c->taps; t++) {
            const int8_t *x = c->f->tap[t * PIXELS + p];
            for (size_t i = 0; i < whole; i += 64)
                s = _mm512_dpbusd_epi32(s, ones, _mm512_loadu_si512(x + i));
            if (rest) s = _mm512_dpbusd_epi32(s, ones, _mm512_maskz_loadu_epi8(mask, x + whole));
        }
        out[p] = _mm512_reduce_add_epi32(s);
    }
}

#define STEP(p)                                                                                    \
    do {                                                                                           \
        int32_t four;                                                                              \
        memcpy(&four, x[p] + i, 4);                                                                \
        s##p = _mm512_dpbusd_epi32(s##p, w, _mm512_set1_epi32(four));                              \
    } while (0)
#define STORE(p)                                                                                   \
    _mm512_storeu_si512(out + (size_t)p * ld,                                                      \
                        _mm512_sub_epi32(s##p, _mm512_set1_epi32(scale * sum[p])))

/* PIXELS pixels with 16 filters: out[p][16], rows ld apart. */
VNNI static void multiply(const conv *c, uint32_t o, const int32_t sum[PIXELS], int32_t *out) {
    const uint8_t *weights = c->f->weights + (size_t)o * c->k;
    const int8_t *const *x = c->f->tap;
    const size_t ld = c->lanes;
    const int32_t scale = 128 + c->zp_w;
    __m512i s0 = _mm512_loadu_si512(c->f->start + o);
    __m512i s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (size_t t = 0; t < c->taps; t++, x += PIXELS)
        for (size_t i = 0; i < c->depth; i += 4, weights += 4 * LANES) {
            const __m512i w = _mm512_loadu_si512(weights);
            STEP(0);
            STEP(1);
            STEP(2);
            STEP(3);
            STEP(4);
            STEP(5);
            STEP(6);
            STEP(7);
        }
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
    STORE(4);
    STORE(5);
    STORE(6);
    STORE(7);
}

/* ---- results --------------------------------------------------------------------------------- */

static int32_t word_of(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

static uint8_t *psum_of(const conv *c, uint32_t r, uint32_t x) {
    return xg_tile_fm(c->s, r, c->d->psum + x * c->d->psum_step);
}

/* Adds bias or partial sums to n pixels; false when one leaves the accumulator. */
VNNI static bool start_values(const conv *c, uint32_t r, uint32_t x, uint32_t n) {
    const __m512i lo = _mm512_set1_epi32(c->lo), hi = _mm512_set1_epi32(c->hi);
    uint32_t outside = 0;
    for (uint32_t o = 0; o < c->d->oc; o += LANES) {
        const uint32_t left = c->d->oc - o;
        const __mmask16 mask = left < LANES ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
        __m512i start = _mm512_maskz_loadu_epi32(mask, c->f->bias + o);
        for (uint32_t p = 0; p < n; p++) {
            int32_t *at = c->f->acc + (size_t)p * c->lanes + o;
            if (c->acc_in)
                start = _mm512_maskz_loadu_epi32(mask, psum_of(c, r, x + p) + 4 * (size_t)o);
            __m512i a = _mm512_loadu_si512(at), v = _mm512_add_epi32(a, start);
            __m512i wrong = _mm512_and_si512(_mm512_xor_si512(a, v), _mm512_xor_si512(start, v));
            outside |= mask & (_mm512_movepi32_mask(wrong) | _mm512_cmplt_epi32_mask(v, lo) |
                               _mm512_cmpgt_epi32_mask(v, hi));
            _mm512_storeu_si512(at, v);
        }
    }
    return !outside;
}

static void finish(const conv *c, uint32_t r, uint32_t x, uint32_t n) {
    const xg_tile_operands *d = c->d;
    if (c->acc_out) {
        for (uint32_t p = 0; p < n; p++)
            memcpy(psum_of(c, r, x + p), c->f->acc + (size_t)p * c->lanes, 4 * (size_t)d->oc);
        return;
    }
    uint32_t bank, base = xg_tile_row(c->s->machine, &d->out, r, &bank);
    uint8_t *out = xg_tile_fm(c->s, bank, base + x * d->out.pix) + d->out.lane;
    c->f->rows->requantise(&c->f->rq, c->f->acc, n, c->lanes, 0, d->oc, out,
                           (size_t)d->out.pix * c->s->machine->tile.icp);
}

/* ---- the instruction ------------------------------------------------------------------------- */

static bool constants(conv *c) {
    const int32_t *f = c->d->init->f;
    const xg_rqrec *r = &c->s->machine->rq;
    const uint8_t *rec = c->s->mem[XG_MEM_PARAM] + c->d->p_addr;
    xg_tile_rq_begin(&c->f->rq, r, f[XG_F(CONVINIT, zp_out)], f[XG_F(CONVINIT, lo)],
                     f[XG_F(CONVINIT, hi)]);
    for (uint32_t o = 0; !c->acc_in && o < c->d->oc; o++)
        c->f->bias[o] = word_of(rec + (size_t)o * (c->chan ? 12 : 4));
    if (c->acc_out) return true;
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
    c->depth = (size_t)in[XG_F(CONV, icw)] * m->tile.icp;
    c->taps = (size_t)c->d->win.kh * c->d->win.kw;
    c->k = c->taps * c->depth;
    c->lanes = (c->d->oc + LANES - 1) / LANES * LANES;
    c->zp_in = f[XG_F(CONVINIT, zp_in)], c->zp_w = f[XG_F(CONVINIT, zp_w)];
    c->chan = f[XG_F(CONVINIT, chan)];
    c->acc_in = in[XG_F(CONV, acc_in)], c->acc_out = in[XG_F(CONV, acc_out)];
    const int bits = m->rq.acc_bits && m->rq.acc_bits < 32 ? m->rq.acc_bits : 32;
    c->hi = (int32_t)((INT64_C(1) << (bits - 1)) - 1), c->lo = -c->hi - 1;
    return c->f->rows && c->f->rows->level == XG_CPU_VNNI && c->depth % 4 == 0 &&
           c->k <= TERMS_MAX && c->d->oc <= XG_TILE_BLOCK && !meets_itself(c) && constants(c);
}

bool xg_tile_fast_conv(xg_state *s, const xg_tile_operands *d, uint32_t *r, uint32_t *x) {
    conv c = {.s = s, .d = d, .f = ((xg_tile_scratch *)s->scratch)->fast};
    if (!setup(&c)) return false;
    for (uint32_t o = 0; o < d->oc; o += LANES) pack_block(&c, o);
    memset(c.f->pad, (uint8_t)c.zp_in, c.depth);
    for (; *r < d->out.rows; ++*r, *x = 0)
        for (; *x < d->out.cols; *x += PIXELS) {
            const uint32_t left = d->out.cols - *x, n = left < PIXELS ? left : PIXELS;
            int32_t sum[PIXELS] = {0};
            find_taps(&c, *r, *x, n);
            sum_taps(&c, n, sum);
            for (uint32_t o = 0; o < d->oc; o += LANES) multiply(&c, o, sum, c.f->acc + o);
            if (!start_values(&c, *r, *x, n)) return false;
            finish(&c, *r, *x, n);
        }
    return true;
}
#else
bool xg_tile_fast_conv(xg_state *s, const xg_tile_operands *d, uint32_t *r, uint32_t *x) {
    (void)s, (void)d, (void)r, (void)x;
    return false;
}
#endif
