/* Empirical bias correction: rounded weights and inputs shift a convolution's mean result; the bias
 * takes the shift back.
 *
 * The mean result of a channel is linear in the means of the inputs that each weight meets, so
 *   b'[o] = b[o] + sum_k w[o][k] mean(x[k]) - sum_k w~[o][k] mean(x~[k])
 * with w, x as before and w~, x~ as the quantised graph has them, every earlier bias corrected
 * already. Internal to xgraph/.
 */
#ifndef XG_BIAS_CORRECT_H
#define XG_BIAS_CORRECT_H

#include "xgraph/import.h"
#include "xgraph/samples.h"

typedef struct xg_bias_pair {
    uint32_t from, to;   /* Conv nodes */
    const float *w, *b;  /* real weights as `to` should have them; b may be NULL */
    const float *divide; /* factors that `to`'s input channels are divided by, or NULL */
} xg_bias_pair;

/* Rewrites biases (i32 constants) of `to`, adding those that are missing; pairs in the order of
 * `to`'s nodes. `from` runs under profile ort, `to` under the record, on a few samples. Returns the
 * number of biases changed. */
XG_MUST_USE xg_status xg_bias_correct(const xg_graph *from, xg_graph *to, const xg_rqrec *record,
                                      const xg_samples *s, const xg_bias_pair *pair, uint32_t n,
                                      uint32_t *changed);

#endif
