/* The simulators' arithmetic, as hardware would compute it. Shares the record (xg_rqrec) with
 * base/fixed.c and no code: agreement of the two is the proof. Written from the formulas in
 * isa/DATAPATH.md. */
#ifndef XG_DATAPATH_H
#define XG_DATAPATH_H

#include "base/fixed.h"

int32_t xg_dp_requantise(const xg_rqrec *r, int64_t acc, int32_t mult, int32_t shift, int32_t zp,
                         int32_t lo, int32_t hi);
typedef struct xg_dp_elew {
    int32_t kind, zp_a, zp_b, zp_out, lo, hi, mult_a, shift_a, mult_b, shift_b, mult_o, shift_o;
} xg_dp_elew;
int32_t xg_dp_elementwise(const xg_rqrec *r, const xg_dp_elew *e, int32_t a, int32_t b);
typedef struct xg_dp_pool {
    int32_t kind, count, mult, shift, mult2, zp_in, zp_out, lo, hi;
} xg_dp_pool;
/* x: raw values of the taps inside the input, in h, w order. */
int32_t xg_dp_average(const xg_rqrec *r, const xg_dp_pool *p, const int8_t *x, int32_t n);

#endif
