#include "xgraph/kernel.h"

xg_reading xg_kernel_reading(const xg_kernel *k) {
    const xg_tensor *y = xg_kout(k);
    return y->dtype == XG_F32 ? XG_READ_F32 : y->quant ? XG_READ_QUANT : XG_READ_PLAIN;
}

xg_status xg_kernel_affine(const xg_kernel *k, const xg_tensor *t, xg_affine *out) {
    if (!t->quant || t->quant->n != 1)
        return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED,
                             "tensor '%s' has %u scales, expected one for the whole tensor",
                             t->name, t->quant ? t->quant->n : 0);
    *out = (xg_affine){.scale = t->quant->scale[0], .zp = t->quant->zp[0]};
    xg_dtype_range(t->dtype, &out->lo, &out->hi);
    return XG_OK;
}

void xg_kernel_bounds(const xg_kernel *k, int32_t *lo, int32_t *hi) {
    xg_dtype_range(xg_kout(k)->dtype, lo, hi);
    if (!xg_has_attr(k->node, XG_ATTR_lo)) return;
    *lo = (int32_t)xg_clamp(xg_ai(k->node, XG_ATTR_lo), *lo, *hi);
    *hi = (int32_t)xg_clamp(xg_ai(k->node, XG_ATTR_hi), *lo, *hi);
}

xg_status xg_kernel_inexpressible(const xg_kernel *k, float a, float b, float y) {
    xg_buf rec = {.arena = k->scratch}, s = {.arena = k->scratch};
    xg_rqrec_print(k->record, &rec);
    xg_putf(&s, "%.9g", (double)a);
    if (b != 0) xg_putf(&s, " * %.9g", (double)b);
    return xg_node_error(
        k->ctx, k->node, XG_UNSUPPORTED,
        "the record (%s) cannot express the scale %s / %.9g; re-quantise the model for it",
        rec.p ? rec.p : "", s.p, (double)y);
}

xg_status xg_kernel_no_type(const xg_kernel *k) {
    return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED, "not defined for element types %s -> %s",
                         xg_dtype_name(xg_kin(k, 0)->dtype), xg_dtype_name(xg_kout(k)->dtype));
}

xg_affine_at xg_affine_of(const xg_tensor *t) {
    xg_affine_at a = {.quant = t->quant, .inner = 1, .n = t->quant ? t->quant->n : 1};
    if (a.n != 1)
        for (int32_t i = t->quant->axis + 1; i < t->rank; i++) a.inner *= t->dim[i];
    return a;
}

void xg_dense_strides(uint8_t rank, const int64_t *dim, int64_t *stride) {
    int64_t s = 1;
    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = s;
        s *= dim[i];
    }
}

void xg_broadcast_strides(uint8_t rank, const int64_t *dim, uint8_t out_rank,
                          const int64_t *out_dim, int64_t *stride) {
    int64_t own[XG_RANK_MAX];
    xg_dense_strides(rank, dim, own);
    for (int i = 0; i < out_rank; i++) {
        int j = i - (out_rank - rank);
        stride[i] = j >= 0 && dim[j] == out_dim[i] ? own[j] : 0;
    }
}

bool xg_odometer(uint8_t rank, const int64_t *dim, const int64_t *stride, int64_t *idx,
                 int64_t *offset) {
    for (int i = rank - 1; i >= 0; i--) {
        *offset += stride[i];
        if (++idx[i] < dim[i]) return true;
        *offset -= stride[i] * dim[i];
        idx[i] = 0;
    }
    return false;
}

/* Longest run whose sum of products of two values in [-255, 255] is sure to fit 32 bits. */
enum { DOT_RUN = 32768 };
_Static_assert((int64_t)DOT_RUN * 255 * 255 <= INT32_MAX, "a run must fit 32 bits");

int64_t xg_dot_i16(const int16_t *a, const int16_t *b, int64_t n) {
    int64_t total = 0;
    for (int64_t first = 0; first < n; first += DOT_RUN) {
        int64_t end = xg_min(n, first + DOT_RUN);
        int32_t sum = 0;
        for (int64_t i = first; i < end; i++) sum += (int32_t)a[i] * b[i];
        total += sum;
    }
    return total;
}

void xg_centre_i16(const void *p, xg_dtype t, int64_t first, int64_t n, int32_t zp, int16_t *out) {
    const int8_t *s = (const int8_t *)p + first;
    const uint8_t *u = (const uint8_t *)p + first;
    if (t == XG_I8)
        for (int64_t i = 0; i < n; i++) out[i] = (int16_t)(s[i] - zp);
    else
        for (int64_t i = 0; i < n; i++) out[i] = (int16_t)(u[i] - zp);
}
