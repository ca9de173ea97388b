/* Constants of the vector forms, and what they need to hold. */
#include "isa/tile_fast.h"
#include "isa/tile_fast_dot.h"

#include <stdlib.h>
#include <string.h>

static float bits_f32(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static xg_tile_round round_masks(xg_rounding mode) {
    xg_tile_round r = {0, 0, 0, 0, 0};
    if (mode == XG_HALF_UP) r.always = -1;
    if (mode == XG_HALF_EVEN || mode == XG_HALF_AWAY || mode == XG_HALF_DOWN) r.sticky = -1;
    if (mode == XG_HALF_EVEN) r.odd = -1;
    if (mode == XG_HALF_AWAY) r.positive = -1;
    if (mode == XG_TRUNC) r.negative = -1;
    return r;
}

/* A shifter of 64 bits by n; values are below 2^62, so a larger n than 62 is left to the scalar
 * form. */
static bool stage_of(int64_t n, xg_tile_stage *out) {
    if (n < 0 || n > 62) return false;
    *out = (xg_tile_stage){n, n ? n - 1 : 0, n ? 1 : 0, n ? (INT64_C(1) << (n - 1)) - 1 : 0};
    return true;
}

/* The multiplier and the shifters of one rescaling. acc * 2^left * mult / 2^mul_bits is acc * mult
 * / 2^(mul_bits - left). */
static bool stages_of(const xg_rqrec *r, int32_t mult, int32_t shift, int32_t *m,
                      xg_tile_stage s[2]) {
    *m = r->method == XG_RQ_SHIFT ? 1 : mult;
    (void)stage_of(0, &s[1]);
    if (r->method == XG_RQ_F32) return false;
    if (r->method != XG_RQ_MULSHIFT2) return stage_of(shift, &s[0]);
    return stage_of((int64_t)r->mul_bits + (shift < 0 ? shift : 0), &s[0]) &&
           stage_of(shift > 0 ? shift : 0, &s[1]);
}

void xg_tile_rq_begin(xg_tile_rq *q, const xg_rqrec *r, int32_t zp, int32_t lo, int32_t hi) {
    static const xg_tile_how how[] = {[XG_RQ_SHIFT] = XG_TILE_SHIFT,
                                      [XG_RQ_MULSHIFT] = XG_TILE_MUL,
                                      [XG_RQ_MULSHIFT2] = XG_TILE_MUL2,
                                      [XG_RQ_F32] = XG_TILE_F32};
    q->how = how[r->method];
    q->mode = r->rounding[0];
    q->round[0] = round_masks(r->rounding[0]);
    q->round[1] = round_masks(r->rounding[1]);
    q->zp = zp, q->lo = lo, q->hi = hi;
}

bool xg_tile_rq_set(xg_tile_rq *q, const xg_rqrec *r, uint32_t c, int32_t mult, int32_t shift) {
    xg_tile_stage s[2];
    if (r->method == XG_RQ_F32) {
        q->m[c] = bits_f32(mult);
        return true;
    }
    if (!stages_of(r, mult, shift, &q->mult[c], s)) return false;
    for (int i = 0; i < 2; i++)
        q->n[i][c] = s[i].n, q->g[i][c] = s[i].g, q->gm[i][c] = s[i].gm, q->sm[i][c] = s[i].sm;
    if (r->method != XG_RQ_SHIFT) return true;
    q->n32[c] = shift, q->g32[c] = (int32_t)s[0].g, q->gm32[c] = (int32_t)s[0].gm;
    q->sm32[c] = (int32_t)s[0].sm;
    return shift <= 31;
}

bool xg_tile_rq_fill(xg_tile_rq *q, const xg_rqrec *r, uint32_t n, int32_t mult, int32_t shift) {
    for (uint32_t c = 0; c < n; c++)
        if (!xg_tile_rq_set(q, r, c, mult, shift)) return false;
    return true;
}

/* |255 * 2^20 * m / 2^n| <= 2^29: two of them and their roundings fit 32 bits. */
static bool fits(int32_t m, const xg_tile_stage s[2]) {
    int64_t p = (int64_t)(255 << 20) * (m < 0 ? -(int64_t)m : m);
    int64_t n = s[0].n + s[1].n;
    return n > 62 || p >> n < INT64_C(1) << 29;
}

/* Sets `narrow` where sums stay below 2^30. */
static bool narrow_down(int64_t shift, xg_tile_pairs *p) {
    const int64_t a = (int64_t)p->ma * p->mo, b = (int64_t)p->mb * p->mo, most = (1 << 30) / 255;
    if (a > -most && a < most && b > -most && b < most && llabs(a) + llabs(b) < most &&
        shift <= 31) {
        p->ma = (int32_t)a, p->mb = (int32_t)b, p->mo = 1;
        p->narrow = true;
    }
    return stage_of(shift, &p->o[0]);
}

/* A shifter to the left is a multiplication. */
static bool shift_add(const xg_dp_elew *e, xg_tile_pairs *out) {
    enum { MOST = 20 };
    if (e->shift_a < 0 || e->shift_a > MOST || e->shift_b < 0 || e->shift_b > MOST ||
        e->shift_o < -MOST)
        return false;
    out->ma = 1 << e->shift_a;
    out->mb = 1 << e->shift_b;
    out->mo = e->shift_o < 0 ? 1 << -e->shift_o : 1;
    return narrow_down(e->shift_o > 0 ? e->shift_o : 0, out);
}

bool xg_tile_pairs_of(const xg_rqrec *r, const xg_dp_elew *e, xg_tile_pairs *out) {
    *out = (xg_tile_pairs){.add = r->add,
                           .mode = r->rounding[0],
                           .round = {round_masks(r->rounding[0]), round_masks(r->rounding[1])},
                           .zp_a = e->zp_a,
                           .zp_b = e->zp_b,
                           .zp = e->zp_out,
                           .lo = e->lo,
                           .hi = e->hi,
                           .mo = 1,
                           .twice = r->method == XG_RQ_MULSHIFT2};
    switch (r->add) {
    case XG_ADD_F32_FMA:
    case XG_ADD_F32:
        out->ra = bits_f32(e->mult_a), out->rb = bits_f32(e->mult_b);
        out->fixed = bits_f32(e->mult_o);
        if (r->zp_before_round) out->zp = 0;
        return true;
    case XG_ADD_SHIFT:
        return shift_add(e, out);
    case XG_ADD_MULSHIFT:
        out->ma = e->mult_a, out->mb = e->mult_b;
        return narrow_down(e->shift_o, out);
    case XG_ADD_TFLITE:
        return stages_of(r, e->mult_a, e->shift_a, &out->ma, out->a) &&
               stages_of(r, e->mult_b, e->shift_b, &out->mb, out->b) &&
               stages_of(r, e->mult_o, e->shift_o, &out->mo, out->o) && fits(out->ma, out->a) &&
               fits(out->mb, out->b);
    }
    return false;
}

/* One word behind the last one that a view may touch. */
static uint64_t view_end(const xg_machine *m, const xg_tile_view *v) {
    uint64_t last = v->ring ? v->ring - 1 : (uint64_t)v->row0 + v->rows - 1;
    uint64_t slot = last / v->il / m->tile.pp * v->il + v->il - 1;
    return v->addr + slot * v->row + (uint64_t)(v->cols - 1) * v->pix + v->words;
}

bool xg_tile_may_meet(const xg_machine *m, const xg_tile_view *a, const xg_tile_view *b) {
    if (a->rows == 0 || b->rows == 0) return false;
    return a->addr < view_end(m, b) && b->addr < view_end(m, a);
}

void xg_tile_fast_written(const xg_state *s, const xg_tile_view *out) {
    xg_tile_fast *f = ((xg_tile_scratch *)s->scratch)->fast;
    if (xg_tile_may_meet(s->machine, &f->summed.in, out)) f->has_sums = false;
}

void xg_tile_fast_init(xg_arena *a, const xg_machine *m, xg_tile_fast **out) {
    const xg_tile_machine *t = &m->tile;
    const size_t lanes = ((size_t)t->ocp + 15) / 16 * 16, n = xg_tile_conv_length(m);
    const size_t dilation = t->dilation_max ? t->dilation_max : 1;
    size_t taps = (size_t)t->kernel_max * t->kernel_max;
    if (taps > t->w_depth) taps = t->w_depth;
    xg_tile_fast *f = xg_new(a, xg_tile_fast);
    f->rows = xg_tile_rows_of(xg_cpu_level());
    f->weights = xg_newn(a, int16_t, lanes * n);
    f->patch = xg_newn(a, int16_t, XG_DOT_PIXELS * n);
    f->tap = xg_newn(a, const int8_t *, XG_DOT_PIXELS *taps);
    f->pad = xg_alloc(a, n);
    f->line = xg_newn(a, const int8_t *,
                      (size_t)t->pp * t->stride_max + (t->kernel_max - 1) * dilation + 1);
    f->acc = xg_newn(a, int32_t, XG_TILE_BATCH * lanes);
    f->partial = xg_newn(a, int32_t, XG_TILE_BATCH * lanes);
    f->start = xg_newn(a, int32_t, lanes);
    f->bias = xg_newn(a, int32_t, lanes);
    *out = f;
}
