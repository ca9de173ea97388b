/* Changes of representation: Quantize, Dequantize, Requantize, Lut, Cast. */
#include "xgraph/kernel.h"

#include <math.h>

xg_status xg_kernel_Quantize(const xg_kernel *k) {
    const float *x = xg_kin_data(k, 0);
    const xg_tensor *y = xg_kout(k);
    const xg_affine_at a = xg_affine_of(y);
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    for (int64_t i = 0, n = xg_tensor_elems(y); i < n; i++) {
        uint32_t c = xg_affine_idx(&a, i);
        xg_store(xg_kout_data(k), y->dtype, i,
                 xg_quantize_f32(x[i], a.quant->scale[c], a.quant->zp[c], lo, hi));
    }
    return XG_OK;
}

xg_status xg_kernel_Dequantize(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0);
    const xg_affine_at a = xg_affine_of(x);
    float *y = xg_kout_data(k);
    for (int64_t i = 0, n = xg_tensor_elems(x); i < n; i++) {
        uint32_t c = xg_affine_idx(&a, i);
        y[i] = xg_dequantize_f32((int32_t)xg_load(xg_kin_data(k, 0), x->dtype, i),
                                 a.quant->scale[c], a.quant->zp[c]);
    }
    return XG_OK;
}

xg_status xg_kernel_Requantize(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0), *y = xg_kout(k);
    const xg_affine_at ax = xg_affine_of(x), ay = xg_affine_of(y);
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    for (int64_t i = 0, n = xg_tensor_elems(y); i < n; i++) {
        uint32_t cx = xg_affine_idx(&ax, i), cy = xg_affine_idx(&ay, i);
        float f = xg_dequantize_f32((int32_t)xg_load(xg_kin_data(k, 0), x->dtype, i),
                                    ax.quant->scale[cx], ax.quant->zp[cx]);
        xg_store(xg_kout_data(k), y->dtype, i,
                 xg_quantize_f32(f, ay.quant->scale[cy], ay.quant->zp[cy], lo, hi));
    }
    return XG_OK;
}

xg_status xg_kernel_Lut(const xg_kernel *k) {
    const xg_tensor *x = xg_kin(k, 0), *table = xg_kin(k, 1), *y = xg_kout(k);
    int32_t lo, hi;
    if (!xg_dtype_is_int8(x->dtype) || xg_tensor_elems(table) != 256 || table->dtype != y->dtype)
        return xg_kernel_no_type(k);
    xg_dtype_range(x->dtype, &lo, &hi);
    for (int64_t i = 0, n = xg_tensor_elems(y); i < n; i++) {
        int64_t q = xg_load(xg_kin_data(k, 0), x->dtype, i);
        xg_store(xg_kout_data(k), y->dtype, i, xg_load(xg_kin_data(k, 1), table->dtype, q - lo));
    }
    return XG_OK;
}

/* A float becomes an integer by truncation; what lies outside of the type becomes its nearest end,
 * NaN becomes 0. */
static int64_t truncated(float f, xg_dtype t) {
    int32_t lo, hi;
    if (isnan(f)) return 0;
    if (t == XG_BOOL) return f != 0;
    if (t == XG_I64) return f >= 0x1p63f ? INT64_MAX : f <= -0x1p63f ? INT64_MIN : (int64_t)f;
    xg_dtype_range(t, &lo, &hi);
    return f >= 0x1p31f ? hi : f <= -0x1p31f ? lo : xg_clamp((int64_t)f, lo, hi);
}

xg_status xg_kernel_Cast(const xg_kernel *k) {
    const xg_dtype from = xg_kin(k, 0)->dtype, to = xg_kout(k)->dtype;
    const void *x = xg_kin_data(k, 0);
    void *y = xg_kout_data(k);
    for (int64_t i = 0, n = xg_tensor_elems(xg_kout(k)); i < n; i++)
        if (from == XG_F32 && to == XG_F32)
            ((float *)y)[i] = ((const float *)x)[i];
        else if (from == XG_F32)
            xg_store(y, to, i, truncated(((const float *)x)[i], to));
        else if (to == XG_F32)
            ((float *)y)[i] = (float)xg_load(x, from, i);
        else
            xg_store(y, to, i, xg_load(x, from, i));
    return XG_OK;
}
