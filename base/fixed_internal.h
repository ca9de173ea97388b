/* Steps of base/fixed.c that base/fixed_elew.c builds on; nobody outside base/ includes this. */
#ifndef XG_FIXED_INTERNAL_H
#define XG_FIXED_INTERNAL_H

#include "base/fixed.h"

#include <math.h>
#include <string.h>

static inline float xg_f32_of(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}
static inline int32_t xg_f32_bits(float f) {
    int32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    return bits;
}
static inline bool xg_is_scale(float s) {
    return isfinite(s) && s > 0;
}

/* round(clamp(v, lo - zp, hi - zp)) + zp, the clamp in binary32. */
int32_t xg_fixed_round_f32(float v, int64_t zp, int32_t lo, int32_t hi, xg_rounding mode);
/* v = 2^*out exactly. */
bool xg_fixed_log2(double v, int32_t *out);
/* Multiplier and shift as xg_rq_apply() wants them, for a real multiplier; false for SHIFT and F32.
 */
bool xg_fixed_derive_real(const xg_rqrec *r, double real, xg_rq *out);
/* The same constants with the total right shift, for one rounding whatever the method: real = mult
 * / 2^shift. */
bool xg_fixed_derive_total(const xg_rqrec *r, double real, xg_rq *out);
/* The integer methods without zero point and clamp. */
int64_t xg_fixed_scale(const xg_rqrec *r, xg_rq q, int64_t v);

#endif
