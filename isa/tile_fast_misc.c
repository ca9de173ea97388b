/* DWCONV, POOL and ELEW, all channels of a pixel side by side. */
#include "isa/tile_fast.h"

#include <string.h>

static xg_tile_fast *fast_of(const xg_state *s) {
    return ((xg_tile_scratch *)s->scratch)->fast;
}

static int32_t word_of(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

static float bits_f32(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint8_t *at(const xg_state *s, const xg_tile_view *v, uint32_t row, uint32_t x) {
    uint32_t bank, base = xg_tile_row(s->machine, v, row, &bank);
    return xg_tile_fm(s, bank, base + x * v->pix) + v->lane;
}

/* Calls fn for the taps of output pixel (r, x) that exist, in order; t counts all of them. */
typedef void tap_fn(void *arg, const int8_t *x, uint32_t t);
static void each_tap(const xg_state *s, const xg_tile_operands *d, uint32_t r, uint32_t x,
                     tap_fn *fn, void *arg) {
    const xg_tile_window *w = &d->win;
    uint32_t t = 0;
    for (uint32_t y = 0; y < w->kh; y++) {
        int64_t i = (int64_t)r * w->sh + (int64_t)y * w->dh - w->pad_top;
        if (i < 0 || i >= d->a.rows) {
            t += w->kw;
            continue;
        }
        uint32_t bank, base = xg_tile_row(s->machine, &d->a, (uint32_t)i, &bank);
        for (uint32_t k = 0; k < w->kw; k++, t++) {
            int64_t j = (int64_t)x * w->sw + (int64_t)k * w->dw - w->pad_left;
            if (j >= 0 && j < d->a.cols)
                fn(arg,
                   (const int8_t *)xg_tile_fm(s, bank, base + (uint32_t)j * d->a.pix) + d->a.lane,
                   t);
        }
    }
}

/* ---- DWCONV ---------------------------------------------------------------------------------- */

typedef struct dw {
    const xg_tile_rows *rows;
    const int8_t *w;
    uint32_t padded, first, n; /* bytes from tap to tap; channels */
    int32_t zp_in, zp_w, *sum;
} dw;

static void dw_tap(void *arg, const int8_t *x, uint32_t t) {
    const dw *k = arg;
    k->rows->tap(x + k->first, k->zp_in, k->w + (size_t)t * k->padded + k->first, k->zp_w, k->n,
                 k->sum);
}

/* Start values and constants of a block of channels; false when a sum could leave 32 bits. */
static bool dw_constants(xg_state *s, const xg_tile_operands *d, const dw *k, int32_t *start) {
    const int32_t *f = d->init->f;
    const bool chan = f[XG_F(DWINIT, chan)];
    const int64_t most = (int64_t)d->win.kh * d->win.kw * 255 * 255;
    const uint8_t *rec = s->mem[XG_MEM_PARAM] + d->p_addr + (size_t)k->first * (chan ? 12 : 4);
    xg_tile_rq *q = &fast_of(s)->rq;
    xg_tile_rq_begin(q, &s->machine->rq, f[XG_F(DWINIT, zp_out)], f[XG_F(DWINIT, lo)],
                     f[XG_F(DWINIT, hi)]);
    for (uint32_t c = 0; c < k->n; c++, rec += chan ? 12 : 4) {
        start[c] = word_of(rec);
        if (start[c] + most > INT32_MAX || start[c] - most < INT32_MIN) return false;
        int32_t mult = chan ? word_of(rec + 4) : f[XG_F(DWINIT, mult)];
        int32_t shift = chan ? word_of(rec + 8) : f[XG_F(DWINIT, shift)];
        if (!xg_tile_rq_set(q, &s->machine->rq, c, mult, shift)) return false;
    }
    return true;
}

/* Every block's constants are tried before the first one is computed. */
bool xg_tile_fast_dwconv(xg_state *s, const xg_tile_operands *d) {
    int32_t start[XG_TILE_BLOCK], sum[XG_TILE_BLOCK];
    const int32_t *f = d->init->f;
    dw k = {.rows = fast_of(s)->rows,
            .w = (const int8_t *)s->mem[XG_MEM_PARAM] + d->q_addr,
            .padded = d->out.words * s->machine->tile.icp,
            .zp_in = f[XG_F(DWINIT, zp_in)],
            .zp_w = f[XG_F(DWINIT, zp_w)],
            .sum = sum};
    const uint32_t ch = d->out.ch;
    if (!k.rows || xg_tile_may_meet(s->machine, &d->a, &d->out) || !xg_tile_apart(&d->out))
        return false;
    for (int run = 0; run < 2; run++)
        for (k.first = 0; k.first < ch; k.first += k.n) {
            k.n = ch - k.first < XG_TILE_BLOCK ? ch - k.first : XG_TILE_BLOCK;
            if (!dw_constants(s, d, &k, start)) return false;
            for (uint32_t r = 0; run == 1 && r < d->out.rows; r++)
                for (uint32_t x = 0; x < d->out.cols; x++) {
                    memcpy(sum, start, k.n * sizeof *sum);
                    each_tap(s, d, r, x, dw_tap, &k);
                    k.rows->requantise(&fast_of(s)->rq, sum, 1, 0, 0, k.n,
                                       at(s, &d->out, r, x) + k.first, 0);
                }
            if (run == 0 && ch <= XG_TILE_BLOCK) break; /* the same constants again */
        }
    return true;
}

/* ---- POOL ------------------------------------------------------------------------------------ */

typedef struct pool {
    const xg_tile_rows *rows;
    const xg_tile_rq *rq;
    xg_tile_place place;
    uint32_t ch;
    int32_t zp_in;
    float scale;
    int32_t *sum; /* int8 maxima, 32-bit sums or binary32 sums */
    enum { MAXIMUM, FLOATS, WHOLE, RESCALED } how;
} pool;

static void pool_tap(void *arg, const int8_t *x, uint32_t t) {
    const pool *k = arg;
    (void)t;
    if (k->how == MAXIMUM)
        k->rows->max(x, k->ch, (int8_t *)k->sum);
    else if (k->how == FLOATS)
        k->rows->sum_f32(x, k->zp_in, k->scale, k->ch, (float *)k->sum);
    else
        k->rows->sum(x, k->zp_in, k->ch, k->sum);
}

static void pool_pixel(xg_state *s, const xg_tile_operands *d, const pool *k, const xg_dp_pool *p,
                       uint32_t r, uint32_t x) {
    uint8_t *out = at(s, &d->out, r, x);
    if (k->how == MAXIMUM)
        memset(k->sum, -128, k->ch);
    else
        memset(k->sum, 0, k->ch * sizeof *k->sum);
    each_tap(s, d, r, x, pool_tap, (void *)(uintptr_t)k);
    if (k->how == MAXIMUM) {
        const int8_t *best = (const int8_t *)k->sum;
        for (uint32_t c = 0; c < k->ch; c++)
            out[c] = (uint8_t)(best[c] < p->lo ? p->lo : best[c] > p->hi ? p->hi : best[c]);
    } else if (k->how == FLOATS) {
        k->rows->mean(&k->place, (const float *)k->sum, k->ch, out);
    } else if (k->how == WHOLE) {
        k->rows->scaled(&k->place, k->sum, k->ch, out);
    } else {
        for (uint32_t c = 0; c < k->ch; c += XG_TILE_BLOCK) {
            uint32_t n = k->ch - c < XG_TILE_BLOCK ? k->ch - c : XG_TILE_BLOCK;
            k->rows->requantise(k->rq, k->sum + c, 1, 0, 0, n, out + c, 0);
        }
    }
}

/* MULSHIFT and DPU averages go through the requantiser with one stage, whatever the method. */
static bool pool_how(xg_state *s, const xg_tile_operands *d, const xg_dp_pool *p, pool *k) {
    const xg_rqrec *r = &s->machine->rq;
    if (p->kind == 0) {
        k->how = MAXIMUM;
        return true;
    }
    if ((uint64_t)d->win.kh * d->win.kw > 1 << 22) return false;
    if (r->pool == XG_POOL_F32) {
        const bool window = p->kind == 1, before = window && r->zp_before_round;
        k->how = window ? FLOATS : WHOLE;
        k->scale = bits_f32(p->mult);
        k->place = (xg_tile_place){r->rounding[0],
                                   k->scale,
                                   (float)p->count,
                                   bits_f32(p->mult2),
                                   before ? (float)p->zp_out : 0.0f,
                                   before ? 0 : p->zp_out,
                                   p->lo,
                                   p->hi};
        return true;
    }
    k->how = RESCALED;
    if (r->pool == XG_POOL_EXACT) return false;
    xg_rqrec one = *r;
    one.method = XG_RQ_MULSHIFT;
    xg_tile_rq *q = &fast_of(s)->rq;
    xg_tile_rq_begin(q, &one, p->zp_out, p->lo, p->hi);
    k->rq = q;
    return xg_tile_rq_fill(q, &one, k->ch < XG_TILE_BLOCK ? k->ch : XG_TILE_BLOCK, p->mult,
                           p->shift);
}

bool xg_tile_fast_pool(xg_state *s, const xg_tile_operands *d, const xg_dp_pool *p) {
    const xg_tile_scratch *scratch = s->scratch;
    pool k = {
        .rows = scratch->fast->rows, .ch = d->out.ch, .zp_in = p->zp_in, .sum = scratch->sums};
    if (!k.rows || xg_tile_may_meet(s->machine, &d->a, &d->out) || !pool_how(s, d, p, &k))
        return false;
    for (uint32_t r = 0; r < d->out.rows; r++)
        for (uint32_t x = 0; x < d->out.cols; x++) pool_pixel(s, d, &k, p, r, x);
    return true;
}

/* ---- ELEW ------------------------------------------------------------------------------------ */

typedef struct elew {
    const xg_tile_rows *rows;
    xg_tile_rq *rq;
    xg_tile_pairs pairs;
    xg_tile_place place;
    bool add, scaled;
    const xg_dp_elew *e;
} elew;

/* The result may lie where an operand does: it is written when a run has been read. */
static void elew_run(const elew *k, const int8_t *a, const int8_t *b, size_t n, uint8_t *out) {
    int32_t product[XG_TILE_BLOCK];
    uint8_t result[XG_TILE_BLOCK];
    for (size_t i = 0; i < n; i += XG_TILE_BLOCK) {
        const size_t run = n - i < XG_TILE_BLOCK ? n - i : XG_TILE_BLOCK;
        if (k->add) {
            k->rows->add(&k->pairs, a + i, b + i, run, result);
        } else {
            k->rows->product(a + i, k->e->zp_a, b + i, k->e->zp_b, run, product);
            if (k->scaled)
                k->rows->scaled(&k->place, product, run, result);
            else
                k->rows->requantise(k->rq, product, 1, 0, 0, (uint32_t)run, result, 0);
        }
        memcpy(out + i, result, run);
    }
}

static bool elew_how(const xg_rqrec *r, const xg_dp_elew *e, elew *k) {
    k->add = e->kind == 0;
    if (k->add) return xg_tile_pairs_of(r, e, &k->pairs);
    k->scaled = r->method == XG_RQ_F32;
    if (k->scaled) {
        const bool before = r->zp_before_round;
        k->place = (xg_tile_place){r->rounding[0],
                                   bits_f32(e->mult_o),
                                   1,
                                   1,
                                   before ? (float)e->zp_out : 0.0f,
                                   before ? 0 : e->zp_out,
                                   e->lo,
                                   e->hi};
        return true;
    }
    xg_tile_rq_begin(k->rq, r, e->zp_out, e->lo, e->hi);
    return xg_tile_rq_fill(k->rq, r, XG_TILE_BLOCK, e->mult_o, e->shift_o);
}

/* Whether the pixels of a row are consecutive bytes. */
static bool packed(const xg_state *s, const xg_tile_view *v) {
    return v->lane == 0 && v->pix * s->machine->tile.icp == v->ch;
}

bool xg_tile_fast_elew(xg_state *s, const xg_tile_operands *d, const xg_dp_elew *e) {
    xg_tile_fast *f = fast_of(s);
    elew k = {.rows = f->rows, .rq = &f->rq, .e = e};
    const xg_tile_view *in[2] = {&d->a, &d->b};
    for (int i = 0; i < 2; i++)
        if (!xg_tile_same_place(in[i], &d->out) && xg_tile_may_meet(s->machine, in[i], &d->out))
            return false;
    if (!k.rows || !elew_how(&s->machine->rq, e, &k)) return false;
    const bool rows = packed(s, &d->a) && packed(s, &d->b) && packed(s, &d->out);
    const uint32_t step = rows ? d->out.cols : 1;
    for (uint32_t r = 0; r < d->out.rows; r++)
        for (uint32_t x = 0; x < d->out.cols; x += step)
            elew_run(&k, (const int8_t *)at(s, &d->a, r, x), (const int8_t *)at(s, &d->b, r, x),
                     (size_t)d->out.ch * step, at(s, &d->out, r, x));
    return true;
}
