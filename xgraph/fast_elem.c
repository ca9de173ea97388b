/* Add, Mul, tables and changes of representation, element by element. */
#include "xgraph/fast.h"

#include <string.h>

static float f32_of(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void xg_fast_lookup(const uint8_t *x, uint8_t flip, const uint8_t table[256], int64_t n,
                    uint8_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = table[x[i] ^ flip];
}

/* ---- rows of two operands -------------------------------------------------------------------- */

/* Axes on which both operands are dense or both are not there are merged; what remains is walked
 * row by row. */
typedef struct rows {
    uint8_t outer;
    int64_t dim[XG_RANK_MAX], sa[XG_RANK_MAX], sb[XG_RANK_MAX], ia[XG_RANK_MAX], ib[XG_RANK_MAX];
    int64_t a, b, n, step_a, step_b;
} rows;

static rows rows_of(const xg_tensor *a, const xg_tensor *b, const xg_tensor *y) {
    rows r = {.n = 1};
    int64_t sa[XG_RANK_MAX] = {0}, sb[XG_RANK_MAX] = {0};
    xg_broadcast_strides(a->rank, a->dim, y->rank, y->dim, sa);
    xg_broadcast_strides(b->rank, b->dim, y->rank, y->dim, sb);
    int i = y->rank;
    while (i > 0 && y->dim[i - 1] == 1) i--;
    if (i > 0) {
        r.step_a = sa[i - 1] != 0;
        r.step_b = sb[i - 1] != 0;
        while (i > 0 &&
               (y->dim[i - 1] == 1 || (sa[i - 1] == r.step_a * r.n && sb[i - 1] == r.step_b * r.n)))
            r.n *= y->dim[--i];
    }
    r.outer = (uint8_t)i;
    memcpy(r.dim, y->dim, sizeof r.dim);
    memcpy(r.sa, sa, sizeof sa);
    memcpy(r.sb, sb, sizeof sb);
    return r;
}

static bool next(rows *r) {
    xg_odometer(r->outer, r->dim, r->sa, r->ia, &r->a);
    return xg_odometer(r->outer, r->dim, r->sb, r->ib, &r->b);
}

typedef struct binary {
    const xg_kernel *k;
    const xg_fast_isa *isa;
    xg_affine a, b, y;
    xg_fast_type ta, tb;
    int32_t lo, hi;
    xg_fast_add add;
    xg_fast_mean mul; /* binary32 with the zero point before rounding */
    bool before;
    xg_fast_rq rq; /* every other multiplication; RUN equal entries */
} binary;

enum { RUN = 256 };

/* Both shifts of one rescaling of TFLITE's addition. */
static bool rescale_of(const xg_rqrec *r, xg_rq q, int32_t *mult, xg_fast_shift s[2]) {
    *mult = q.mult;
    if (r->method == XG_RQ_MULSHIFT) {
        s[1] = (xg_fast_shift){0};
        return xg_fast_shift_of(q.shift, r->rounding[0], &s[0]);
    }
    return r->method == XG_RQ_MULSHIFT2 &&
           xg_fast_shift_of((int64_t)r->mul_bits + xg_min(q.shift, 0), r->rounding[0], &s[0]) &&
           xg_fast_shift_of(xg_max(q.shift, 0), r->rounding[1], &s[1]);
}

static bool add_constants(binary *v) {
    const xg_rqrec *r = v->k->record;
    xg_fast_add *f = &v->add;
    xg_addrq q;
    if (!xg_add_derive(r, v->a.scale, v->a.zp, v->b.scale, v->b.zp, v->y.scale, v->y.zp, &q))
        return false;
    *f = (xg_fast_add){.method = r->add,
                       .off_a = v->ta.off + v->a.zp,
                       .off_b = v->tb.off + v->b.zp,
                       .flip_a = v->ta.flip,
                       .flip_b = v->tb.flip,
                       .round = xg_fast_round_of(r->rounding[0]),
                       .mo = 1,
                       .zp = v->y.zp,
                       .lo = v->lo,
                       .hi = v->hi};
    switch (r->add) {
    case XG_ADD_F32_FMA:
    case XG_ADD_F32:
        f->off_a = v->ta.off;
        f->off_b = v->tb.off;
        f->ra = f32_of(q.a.mult);
        f->rb = f32_of(q.b.mult);
        f->fixed = f32_of(q.o.mult);
        if (r->zp_before_round) f->zp = 0;
        return true;
    case XG_ADD_SHIFT:
        f->ma = 1 << q.a.shift;
        f->mb = 1 << q.b.shift;
        f->mo = q.o.shift < 0 ? 1 << -q.o.shift : 1;
        return xg_fast_shift_of(xg_max(q.o.shift, 0), r->rounding[0], &f->so[0]);
    case XG_ADD_TFLITE:
        return rescale_of(r, q.a, &f->ma, f->sa) && rescale_of(r, q.b, &f->mb, f->sb) &&
               rescale_of(r, q.o, &f->mo, f->so);
    case XG_ADD_MULSHIFT:
        f->ma = q.a.mult;
        f->mb = q.b.mult;
        return xg_fast_shift_of(q.o.shift, r->rounding[0], &f->so[0]);
    }
    return false;
}

static bool mul_constants(binary *v) {
    const xg_rqrec *r = v->k->record;
    xg_rq *same = xg_newn(v->k->scratch, xg_rq, RUN);
    if (!xg_mul_derive(r, v->a.scale, v->b.scale, v->y.scale, &same[0])) return false;
    for (int i = 1; i < RUN; i++) same[i] = same[0];
    v->before = r->method == XG_RQ_F32 && r->zp_before_round;
    v->mul = (xg_fast_mean){.sx = f32_of(same[0].mult),
                            .zf = (float)v->y.zp,
                            .round = xg_fast_round_of(r->rounding[0]),
                            .lo = v->lo,
                            .hi = v->hi};
    xg_fast_rq_of(v->k->scratch, r, same, RUN, v->y.zp, v->lo, v->hi, &v->rq);
    return true;
}

static void multiply(const binary *v, const rows *r, const uint8_t *a, const uint8_t *b,
                     uint8_t *y) {
    int32_t product[RUN];
    const xg_fast_type ta = {v->ta.flip, v->ta.off + v->a.zp},
                       tb = {v->tb.flip, v->tb.off + v->b.zp};
    for (int64_t i = 0; i < r->n; i += RUN) {
        const int64_t n = xg_min(RUN, r->n - i);
        v->isa->product(a + i * r->step_a, r->step_a, ta, b + i * r->step_b, r->step_b, tb, n,
                        product);
        if (v->before)
            v->isa->mul_f32(&v->mul, product, n, y + i);
        else
            v->isa->requantise(&v->rq, product, 0, n, y + i);
    }
}

bool xg_fast_binary(const xg_kernel *k, const xg_fast_isa *isa) {
    const xg_tensor *a = xg_kin(k, 0), *b = xg_kin(k, 1), *y = xg_kout(k);
    binary v = {
        .k = k, .isa = isa, .ta = xg_fast_type_of(a->dtype), .tb = xg_fast_type_of(b->dtype)};
    if (!xg_dtype_is_int8(a->dtype) || !xg_dtype_is_int8(b->dtype) || !xg_dtype_is_int8(y->dtype) ||
        !xg_fast_affine(a, &v.a) || !xg_fast_affine(b, &v.b) || !xg_fast_affine(y, &v.y))
        return false;
    xg_kernel_bounds(k, &v.lo, &v.hi);
    const bool sum = k->node->op == XG_OP_Add;
    if (!(sum ? add_constants(&v) : mul_constants(&v))) return false;
    rows r = rows_of(a, b, y);
    const uint8_t *pa = xg_kin_data(k, 0), *pb = xg_kin_data(k, 1);
    uint8_t *out = xg_kout_data(k);
    do {
        if (sum)
            isa->add(&v.add, pa + r.a, r.step_a, pb + r.b, r.step_b, r.n, out);
        else
            multiply(&v, &r, pa + r.a, pb + r.b, out);
        out += r.n;
    } while (next(&r));
    return true;
}

/* ---- tables ---------------------------------------------------------------------------------- */

bool xg_fast_lut(const xg_kernel *k, const xg_fast_isa *isa) {
    (void)isa;
    const xg_tensor *x = xg_kin(k, 0), *table = xg_kin(k, 1), *y = xg_kout(k);
    if (!xg_dtype_is_int8(x->dtype) || !xg_dtype_is_int8(y->dtype) || table->dtype != y->dtype ||
        xg_tensor_elems(table) != 256)
        return false;
    xg_fast_lookup(xg_kin_data(k, 0), xg_fast_type_of(x->dtype).flip, xg_kin_data(k, 1),
                   xg_tensor_elems(y), xg_kout_data(k));
    return true;
}

/* Q(DQ(q)) of every value. */
static bool requantise_table(const xg_tensor *x, const xg_tensor *y, uint8_t table[256]) {
    xg_affine xa, ya;
    if (!xg_dtype_is_int8(x->dtype) || !xg_dtype_is_int8(y->dtype) || !xg_fast_affine(x, &xa) ||
        !xg_fast_affine(y, &ya))
        return false;
    for (int32_t i = 0; i < 256; i++)
        table[i] = (uint8_t)xg_quantize_f32(xg_dequantize_f32(i + xa.lo, xa.scale, xa.zp), ya.scale,
                                            ya.zp, ya.lo, ya.hi);
    return true;
}

bool xg_fast_requantize(const xg_kernel *k, const xg_fast_isa *isa) {
    (void)isa;
    uint8_t table[256];
    if (!requantise_table(xg_kin(k, 0), xg_kout(k), table)) return false;
    xg_fast_lookup(xg_kin_data(k, 0), xg_fast_type_of(xg_kin(k, 0)->dtype).flip, table,
                   xg_tensor_elems(xg_kout(k)), xg_kout_data(k));
    return true;
}

bool xg_fast_concat(const xg_kernel *k, const xg_fast_isa *isa) {
    (void)isa;
    const xg_tensor *y = xg_kout(k);
    int64_t axis = xg_ai(k->node, XG_ATTR_axis), first = 0, inner = 1, outer = 1;
    if (axis < 0) axis += y->rank;
    if (!xg_dtype_is_int8(y->dtype) || !y->quant) return false;
    for (int64_t i = 0; i < axis; i++) outer *= y->dim[i];
    for (int64_t i = axis + 1; i < y->rank; i++) inner *= y->dim[i];
    for (uint32_t i = 0; i < k->node->nin; i++) {
        const xg_tensor *x = xg_kin(k, i);
        const uint8_t *from = xg_kin_data(k, i);
        uint8_t table[256], flip = xg_fast_type_of(x->dtype).flip;
        const bool same = x->dtype == y->dtype && x->quant && xg_quant_equal(x->quant, y->quant);
        if (!same && !requantise_table(x, y, table)) return false;
        const int64_t run = x->dim[axis] * inner;
        for (int64_t o = 0; o < outer; o++) {
            uint8_t *to = (uint8_t *)xg_kout_data(k) + (o * y->dim[axis] + first) * inner;
            if (same)
                memcpy(to, from + o * run, (size_t)run);
            else
                xg_fast_lookup(from + o * run, flip, table, run, to);
        }
        first += x->dim[axis];
    }
    return true;
}

bool xg_fast_quantize(const xg_kernel *k, const xg_fast_isa *isa) {
    const xg_tensor *y = xg_kout(k);
    xg_affine a;
    if (!xg_dtype_is_int8(y->dtype) || !xg_fast_affine(y, &a)) return false;
    const xg_fast_mean q = {
        .sy = a.scale, .round = xg_fast_round_of(XG_HALF_EVEN), .zp = a.zp, .lo = a.lo, .hi = a.hi};
    isa->quantise(&q, xg_kin_data(k, 0), xg_tensor_elems(y), xg_kout_data(k));
    return true;
}

bool xg_fast_dequantize(const xg_kernel *k, const xg_fast_isa *isa) {
    const xg_tensor *x = xg_kin(k, 0);
    xg_affine a;
    if (!xg_dtype_is_int8(x->dtype) || !xg_fast_affine(x, &a)) return false;
    const xg_fast_type t = xg_fast_type_of(x->dtype);
    isa->dequantise(xg_kin_data(k, 0), t.flip, t.off + a.zp, a.scale, xg_tensor_elems(x),
                    xg_kout_data(k));
    return true;
}
