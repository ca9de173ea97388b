/* The real values that a tensor stands for, whatever it is held in. Internal to xgraph/. */
#ifndef XG_REALS_H
#define XG_REALS_H

#include "base/fixed.h"
#include "xgraph/xgraph.h"

/* True when every element stands for one real value: f32, or 8- or 16-bit integers with one scale.
 */
static inline bool xg_has_reals(const xg_tensor *t) {
    bool small = xg_dtype_is_int8(t->dtype) || t->dtype == XG_I16;
    return t->dtype == XG_F32 || (small && t->quant && t->quant->axis < 0);
}

/* Element i of such a tensor's data. */
static inline float xg_real_at(const xg_tensor *t, const void *data, int64_t i) {
    if (t->dtype == XG_F32) return ((const float *)data)[i];
    int32_t q = t->dtype == XG_I16  ? ((const int16_t *)data)[i]
                : t->dtype == XG_I8 ? ((const int8_t *)data)[i]
                                    : ((const uint8_t *)data)[i];
    return xg_dequantize_f32(q, t->quant->scale[0], t->quant->zp[0]);
}

#endif
