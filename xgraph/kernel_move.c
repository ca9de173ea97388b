/* Movement of elements: Reshape, Transpose, Slice, Pad, Concat, Gather. */
#include "xgraph/kernel.h"

#include <string.h>

/* n elements of `size` bytes from src, `step` elements apart, to a dense dst. */
static void copy_run(char *dst, const char *src, int64_t n, int64_t step, size_t size) {
    if (step == 1) {
        memcpy(dst, src, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(dst + i * (int64_t)size, src + i * step * (int64_t)size, size);
}

/* Fills the dense output (rank, dim) from x at `base` with the given strides in elements (which may
 * be negative). */
static void copy_strided(const xg_kernel *k, int64_t base, const int64_t *stride) {
    const xg_tensor *y = xg_kout(k);
    const size_t size = xg_dtype_bytes(y->dtype);
    const char *x = xg_kin_data(k, 0);
    char *out = xg_kout_data(k);
    int64_t idx[XG_RANK_MAX] = {0};
    const uint8_t outer = y->rank ? (uint8_t)(y->rank - 1) : 0;
    const int64_t run = y->rank ? y->dim[outer] : 1, step = y->rank ? stride[outer] : 1;
    do {
        copy_run(out, x + base * (int64_t)size, run, step, size);
        out += run * (int64_t)size;
    } while (xg_odometer(outer, y->dim, stride, idx, &base));
}

xg_status xg_kernel_Reshape(const xg_kernel *k) {
    const xg_tensor *y = xg_kout(k);
    memcpy(xg_kout_data(k), xg_kin_data(k, 0),
           (size_t)xg_tensor_elems(y) * xg_dtype_bytes(y->dtype));
    return XG_OK;
}

xg_status xg_kernel_Transpose(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0);
    const xg_attr *perm = xg_attr_of(k->node, XG_ATTR_perm);
    int64_t own[XG_RANK_MAX], stride[XG_RANK_MAX];
    xg_dense_strides(x->rank, x->dim, own);
    for (uint8_t i = 0; i < x->rank; i++) stride[i] = own[perm->is[i]];
    copy_strided(k, 0, stride);
    return XG_OK;
}

xg_status xg_kernel_Slice(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0);
    const xg_attr *starts = xg_attr_of(k->node, XG_ATTR_starts),
                  *steps = xg_attr_of(k->node, XG_ATTR_steps);
    int64_t stride[XG_RANK_MAX], base = 0;
    xg_dense_strides(x->rank, x->dim, stride);
    for (uint8_t i = 0; i < x->rank; i++) {
        base += starts->is[i] * stride[i];
        stride[i] *= steps->is[i];
    }
    copy_strided(k, base, stride);
    return XG_OK;
}

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE };

/* The source index on an axis of `dim` elements for index i (from -begin on), or -1: the fill
 * value. */
static int64_t pad_source(int64_t i, int64_t dim, int64_t mode) {
    if (i >= 0 && i < dim) return i;
    if (mode == PAD_CONSTANT) return -1;
    if (mode == PAD_EDGE || dim == 1) return i < 0 ? 0 : dim - 1;
    int64_t period = 2 * (dim - 1), m = (i % period + period) % period;
    return m < dim ? m : period - m;
}

static void pad_element(char *dst, const char *src, float value, xg_dtype t) {
    if (src)
        memcpy(dst, src, xg_dtype_bytes(t));
    else if (t == XG_F32)
        memcpy(dst, &value, sizeof value);
    else
        xg_store(dst, t, 0, (int64_t)xg_clamp((int64_t)value, INT32_MIN, INT32_MAX));
}

xg_status xg_kernel_Pad(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0), *y = xg_kout(k);
    const xg_attr *pads = xg_attr_of(k->node, XG_ATTR_pads);
    const int64_t mode = xg_ai(k->node, XG_ATTR_mode);
    const float value = xg_af(k->node, XG_ATTR_value);
    const size_t size = xg_dtype_bytes(y->dtype);
    int64_t stride[XG_RANK_MAX], none[XG_RANK_MAX] = {0}, idx[XG_RANK_MAX] = {0}, unused = 0,
                                 at = 0;
    if (x->dtype != XG_F32 && !(value >= -0x1p31f && value < 0x1p31f))
        return xg_node_error(k->ctx, k->node, XG_INPUT, "fill value %.9g is no %s", (double)value,
                             xg_dtype_name(x->dtype));
    xg_dense_strides(x->rank, x->dim, stride);
    do {
        int64_t from = 0;
        for (uint8_t i = 0; i < x->rank && from >= 0; i++) {
            int64_t s = pad_source(idx[i] - pads->is[i], x->dim[i], mode);
            from = s < 0 ? -1 : from + s * stride[i];
        }
        pad_element((char *)xg_kout_data(k) + (size_t)at++ * size,
                    from < 0 ? NULL : (const char *)xg_kin_data(k, 0) + (size_t)from * size, value,
                    y->dtype);
    } while (xg_odometer(y->rank, y->dim, none, idx, &unused));
    return XG_OK;
}

/* Copies one input of a Concat; 8-bit values pass through `table` (by q - lowest) unless that is
 * NULL. */
static void concat_one(const xg_kernel *k, uint32_t input, int64_t axis, int64_t *first,
                       const int32_t *table) {
    const xg_tensor *x = xg_kin(k, input), *y = xg_kout(k);
    const int64_t size = (int64_t)xg_dtype_bytes(y->dtype);
    const char *from = xg_kin_data(k, input);
    int64_t inner = 1, outer = 1;
    int32_t lo, hi;
    for (int64_t i = 0; i < axis; i++) outer *= y->dim[i];
    for (int64_t i = axis + 1; i < y->rank; i++) inner *= y->dim[i];
    if (table) xg_dtype_range(x->dtype, &lo, &hi);
    const int64_t run = x->dim[axis] * inner;
    for (int64_t o = 0; o < outer; o++) {
        int64_t to = (o * y->dim[axis] + *first) * inner;
        if (!table)
            memcpy((char *)xg_kout_data(k) + to * size, from + o * run * size,
                   (size_t)(run * size));
        for (int64_t i = 0; table && i < run; i++)
            xg_store(xg_kout_data(k), y->dtype, to + i,
                     table[xg_load(from, x->dtype, o * run + i) - lo]);
    }
    *first += x->dim[axis];
}

/* Q(DQ(q)) for every value of an 8-bit input; *out stays NULL when it is the identity. */
static xg_status concat_table(const xg_kernel *k, uint32_t input, const int32_t **out) {
    const xg_tensor *x = xg_kin(k, input), *y = xg_kout(k);
    xg_affine xa, ya;
    *out = NULL;
    if (x->dtype == y->dtype && (!y->quant || (x->quant && xg_quant_equal(x->quant, y->quant))))
        return XG_OK;
    if (!xg_dtype_is_int8(x->dtype)) return xg_kernel_no_type(k);
    xg_status st = xg_kernel_affine(k, x, &xa);
    if (!st) st = xg_kernel_affine(k, y, &ya);
    if (st) return st;
    int32_t *table = xg_newn(k->scratch, int32_t, 256);
    for (int32_t q = xa.lo; q <= xa.hi; q++)
        table[q - xa.lo] =
            xg_quantize_f32(xg_dequantize_f32(q, xa.scale, xa.zp), ya.scale, ya.zp, ya.lo, ya.hi);
    *out = table;
    return XG_OK;
}

xg_status xg_kernel_Concat(const xg_kernel *k) {
    int64_t axis = xg_ai(k->node, XG_ATTR_axis), first = 0;
    if (axis < 0) axis += xg_kout(k)->rank;
    for (uint32_t i = 0; i < k->node->nin; i++) {
        const int32_t *table;
        xg_status st = concat_table(k, i, &table);
        if (st) return st;
        concat_one(k, i, axis, &first, table);
    }
    return XG_OK;
}

xg_status xg_kernel_Gather(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0), *index = xg_kin(k, 1);
    int64_t axis = xg_ai(k->node, XG_ATTR_axis), inner = 1, outer = 1, n = xg_tensor_elems(index);
    if (axis < 0) axis += x->rank;
    for (int64_t i = 0; i < axis; i++) outer *= x->dim[i];
    for (int64_t i = axis + 1; i < x->rank; i++) inner *= x->dim[i];
    const int64_t run = inner * (int64_t)xg_dtype_bytes(x->dtype);
    char *to = xg_kout_data(k);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n; i++, to += run) {
            int64_t at = xg_load(xg_kin_data(k, 1), index->dtype, i);
            if (at < 0 || at >= x->dim[axis])
                return xg_node_error(k->ctx, k->node, XG_INPUT,
                                     "index %lld is outside of [0, %lld)", (long long)at,
                                     (long long)x->dim[axis]);
            memcpy(to, (const char *)xg_kin_data(k, 0) + (o * x->dim[axis] + at) * run,
                   (size_t)run);
        }
    return XG_OK;
}
