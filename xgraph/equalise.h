/* Cross-layer equalisation: a convolution's output channels are divided by factors, its readers'
 * input channels multiplied by the same, so that one scale a tensor suits all channels of the
 * weights.
 *
 * What lies between must commute with a positive factor a channel: nothing, MaxPool, average and
 * padding of f32, LeakyRelu, Clip at zero. Other bounds of a Clip (or of an integer tensor's type)
 * hold for all channels alike: a channel that reaches one keeps its factor at 1, the others may
 * grow only as far as the bound. What channels reach comes from samples.
 *
 * Method: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
 * (2019), extended by the bounds and by the activations' ranges: with a, h, b the shares of a
 * channel in the largest weight before, the largest value of the tensor and the largest weight
 * behind, its factor is sqrt(max(a, h) / b), iterated. Internal to xgraph/.
 */
#ifndef XG_EQUALISE_H
#define XG_EQUALISE_H

#include "xgraph/import.h"
#include "xgraph/samples.h"

typedef struct xg_equaliser {
    xg_arena *arena;
    const xg_graph *g;
    const float **w, **b; /* [nodes]: real weights and bias of candidates, else NULL; rescaled
                             copies take their places */
    const float **divide; /* [tensors]: factors of the last axis, NULL where nothing changed */
    uint32_t changed;     /* links */
} xg_equaliser;

/* w, b, divide are allocated; the caller fills w and b. */
void xg_equaliser_init(xg_equaliser *e, xg_arena *a, const xg_graph *g);
/* samples NULL: tensors with bounds are left alone. */
XG_MUST_USE xg_status xg_equaliser_run(xg_equaliser *e, const xg_samples *s);

#endif
