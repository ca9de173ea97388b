/* Predicted cost and room of one group under one strategy, from the formulas of isa/timing.c. */
#ifndef XG_ESTIMATE_H
#define XG_ESTIMATE_H

#include "fusion/geometry.h"
#include "fusion/select.h"

/* What surrounds a group: which of its border tensors lie on chip, and how much room that leaves.
 */
typedef struct xg_surroundings {
    const bool *on_chip; /* [tensors]; NULL: none */
    bool output_to_ddr;  /* the output is saved although it stays on chip */
    uint32_t fm_words;   /* feature-map words in each bank that the group may use */
} xg_surroundings;

typedef struct xg_estimate {
    bool fits;                       /* feature maps, weights and parameters, double-buffered */
    uint64_t cycles;                 /* of the slowest core */
    uint64_t conv, misc, load, save; /* engine cycles of one core */
    uint64_t ddr_bytes;              /* of all cores */
    uint64_t map_bytes, weight_bytes;
    uint32_t fm_words, w_words, param_bytes; /* room in one tile's life */
} xg_estimate;

void xg_estimate_group(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                       const xg_strategy *s, const xg_surroundings *env, xg_estimate *out);
/* The cheapest strategy by xg_estimate_group over a fixed list of candidates; false when none fits.
 */
bool xg_best_strategy(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                      const xg_surroundings *env, xg_strategy *best, xg_estimate *cost);
/* True when a convolution's input may be held with all its channels while its chunks are worked on.
 */
bool xg_conv_input_whole(const xg_machine *m, const xg_slice *need, uint32_t il);

#endif
