/* Requantisation constants in the form that vector loops read: one rounded shift is an addend and a
 * shift (xg_fast_shift), and each method is one or two of them. */
#include "xgraph/fast.h"

#include <math.h>
#include <string.h>

static float f32_of(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

bool xg_fast_shift_of(int64_t s, xg_rounding mode, xg_fast_shift *out) {
    *out = (xg_fast_shift){.s = s};
    if (s < 0 || s > 62) return false;
    if (s == 0) return true;
    const int64_t half = INT64_C(1) << (s - 1);
    switch (mode) {
    case XG_HALF_EVEN:
        out->a = half - 1, out->c = 1;
        break;
    case XG_HALF_AWAY:
        out->a = half, out->b = -1;
        break;
    case XG_HALF_UP:
        out->a = half;
        break;
    case XG_HALF_DOWN:
        out->a = half - 1;
        break;
    case XG_FLOOR:
        break;
    case XG_TRUNC:
        out->b = (INT64_C(1) << s) - 1;
        break;
    }
    return true;
}

/* up and down say how far the fraction must reach: 1/2 itself, the number behind it, anything, or
 * never. */
xg_fast_round xg_fast_round_of(xg_rounding mode) {
    const float at = 0.5f, past = nextafterf(0.5f, 1), any = nextafterf(0, 1), never = 2;
    switch (mode) {
    case XG_HALF_AWAY:
        return (xg_fast_round){false, at, -at};
    case XG_HALF_UP:
        return (xg_fast_round){false, at, -past};
    case XG_HALF_DOWN:
        return (xg_fast_round){false, past, -at};
    case XG_FLOOR:
        return (xg_fast_round){false, never, -any};
    case XG_TRUNC:
        return (xg_fast_round){false, never, -never};
    default:
        return (xg_fast_round){true, 0, 0};
    }
}

/* Multiplier and up to two shifts of one channel; false where only the definition may go. */
static bool stages(const xg_rqrec *r, xg_rq q, int32_t *mult, xg_fast_shift s[2]) {
    *mult = q.mult;
    s[1] = (xg_fast_shift){0};
    switch (r->method) {
    case XG_RQ_SHIFT:
        *mult = 1;
        return xg_fast_shift_of(q.shift, r->rounding[0], &s[0]);
    case XG_RQ_MULSHIFT:
        return xg_fast_shift_of(q.shift, r->rounding[0], &s[0]);
    case XG_RQ_MULSHIFT2:
        return xg_fast_shift_of((int64_t)r->mul_bits + xg_min(q.shift, 0), r->rounding[0], &s[0]) &&
               xg_fast_shift_of(xg_max(q.shift, 0), r->rounding[1], &s[1]);
    default:
        return false;
    }
}

static void f32_arrays(xg_arena *a, const xg_rq *q, int64_t n, xg_fast_rq *out) {
    float *m = xg_newn(a, float, (size_t)n);
    for (int64_t i = 0; i < n; i++) m[i] = f32_of(q[i].mult);
    out->how = XG_FAST_F32;
    out->m = m;
}

static void shift_arrays(xg_arena *a, const xg_rq *q, int64_t n, xg_fast_rq *out) {
    int32_t *v = xg_newn(a, int32_t, 3 * (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        v[i] = q[i].shift;
        v[n + i] = q[i].shift > 0 ? q[i].shift - 1 : 31;
        v[2 * n + i] = q[i].shift > 0;
    }
    out->how = XG_FAST_SHIFT;
    out->sh = v;
    out->guard = v + n;
    out->keep = v + 2 * n;
}

/* Any integer method as multiplication and one or two stages. */
static void stage_arrays(xg_arena *a, int64_t n, xg_fast_rq *out) {
    int32_t *mult = xg_newn(a, int32_t, (size_t)n);
    int64_t *v = xg_newn(a, int64_t, 8 * (size_t)n);
    bool plain = true, twice = false;
    out->how = XG_FAST_SCALAR;
    for (int64_t i = 0; i < n; i++) {
        xg_fast_shift s[2];
        if (!stages(out->record, out->rq[i], &mult[i], s)) return;
        for (int j = 0; j < 2; j++) {
            int64_t *at = v + 4 * j * n + i;
            at[0] = s[j].s, at[n] = s[j].a, at[2 * n] = s[j].b, at[3 * n] = s[j].c;
        }
        plain = plain && !s[0].b && !s[0].c;
        twice = twice || s[1].s;
    }
    for (int j = 0; j < 2; j++) {
        const int64_t *at = v + 4 * j * n;
        out->s[j] = at, out->a[j] = at + n, out->b[j] = at + 2 * n, out->c[j] = at + 3 * n;
    }
    out->mult = mult;
    out->how = twice ? XG_FAST_TWICE : plain ? XG_FAST_HALF : XG_FAST_FULL;
}

void xg_fast_rq_of(xg_arena *a, const xg_rqrec *r, const xg_rq *q, int64_t n, int32_t zp,
                   int32_t lo, int32_t hi, xg_fast_rq *out) {
    *out = (xg_fast_rq){.how = XG_FAST_SCALAR,
                        .round = xg_fast_round_of(r->rounding[0]),
                        .rq = q,
                        .record = r,
                        .zp = zp,
                        .lo = lo,
                        .hi = hi};
    if (r->method == XG_RQ_F32) {
        f32_arrays(a, q, n, out);
        return;
    }
    bool narrow = r->method == XG_RQ_SHIFT && r->rounding[0] == XG_HALF_UP;
    for (int64_t i = 0; narrow && i < n; i++) narrow = q[i].shift >= 0 && q[i].shift <= 31;
    if (narrow)
        shift_arrays(a, q, n, out);
    else
        stage_arrays(a, n, out);
}
