/* Values of a tensor over many inputs -> counts -> the range that a quantiser should cover.
 *
 * Bins are 2^e wide and start at whole multiples; when a value lies beyond them, e grows and
 * neighbours are added together. So the counts depend only on the values, not on their order or on
 * how they were divided among calls, and are the same on every host. Internal to xgraph/.
 */
#ifndef XG_HISTOGRAM_H
#define XG_HISTOGRAM_H

#include "xgraph/import.h"

enum { XG_HISTOGRAM_HALF = 2048 };

typedef struct xg_histogram {
    float min, max; /* min > max: no values yet; NaN: a NaN among them */
    int e;          /* bin HALF + i counts values in [i 2^e, (i + 1) 2^e), zeros excepted */
    uint64_t zeros;
    const uint32_t *weight; /* [channels] how often a value counts, or NULL: once */
    int64_t channels;
    uint64_t *bin; /* [2 HALF], from the arena on first use */
} xg_histogram;

void xg_histogram_init(xg_histogram *h);
/* v: whole pixels of the channels. */
void xg_histogram_add(xg_histogram *h, xg_arena *a, const float *v, int64_t n);
/* The range for values that end up in 8 bits under the record: within [min, max]. Infinite or NaN
 * bounds are given back as they are, for the quantiser to refuse. method AUTO is MSE. reader: the
 * function of one value that is all that reads them, or NULL; MSE is then that of its results, and
 * what it holds constant costs nothing. */
void xg_histogram_range(const xg_histogram *h, const xg_rqrec *r, xg_calib_method method,
                        double percentile, const xg_node *reader, float *min, float *max);

#endif
