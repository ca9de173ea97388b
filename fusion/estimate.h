/* Predicted cost and room of one group under one strategy, from the formulas of isa/timing.c. */
#ifndef XG_ESTIMATE_H
#define XG_ESTIMATE_H

#include "fusion/geometry.h"
#include "fusion/select.h"

/* What surrounds a group: which of its border tensors lie on chip, and how much room that leaves.
 */
typedef struct xg_surroundings {
    const bool *on_chip;  /* [tensors]; NULL: none */
    const bool *to_ddr;   /* [tensors] saved although it stays on chip; NULL: none */
    uint32_t fm_words;    /* feature-map words in each bank that the group may use */
    const xg_graph *flat; /* the graph that flat groups see, or NULL: not asked for */
} xg_surroundings;

typedef struct xg_estimate {
    bool fits;                       /* feature maps, weights and parameters, double-buffered */
    uint64_t cycles;                 /* of the slowest core */
    uint64_t conv, misc, load, save; /* engine cycles of one core */
    uint64_t ddr_bytes;              /* of all cores */
    uint64_t map_bytes, weight_bytes;
    uint32_t fm_words, w_words, param_bytes; /* room in one tile's life */
} xg_estimate;

/* The terms of an estimate before it is decided what lies on chip. All for one core and one image;
 * ddr in 1/65536 cycles. */
enum { XG_PARTS_INPUTS = 8 };
typedef struct xg_part {
    uint32_t tensor;
    uint64_t engine, one; /* engine cycles in all, and of one transfer */
    uint64_t ddr, bytes;
    uint64_t fm; /* words in each bank, doubly buffered where several tiles come */
} xg_part;
typedef struct xg_parts {
    uint32_t folded; /* number of the input that is folded, XG_NONE */
    bool valid;      /* false: more tensors than the estimate can follow */
    uint64_t conv, misc, wload, wddr, weight_bytes;
    uint64_t fm, w, param; /* room of inner tensors and partial sums, weights, parameters */
    uint64_t times;        /* tiles */
    uint32_t images, cores;
    uint32_t nin, nout;
    xg_part in[XG_PARTS_INPUTS], out[XG_GROUP_RESULTS];
} xg_parts;
void xg_estimate_parts(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                       const xg_strategy *s, xg_parts *out);
/* Sums up: bit k of chip_in says that input k lies on chip, of chip_out that
 * result k stays there, of to_ddr that it is saved. */
void xg_estimate_sum(const xg_machine *m, const xg_parts *p, uint32_t chip_in, uint32_t chip_out,
                     uint32_t to_ddr, uint32_t fm_words, xg_estimate *out);
void xg_estimate_group(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                       const xg_strategy *s, const xg_surroundings *env, xg_estimate *out);
/* The cheapest strategy by xg_estimate_group over a fixed list of candidates; false when none fits.
 */
bool xg_best_strategy(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                      const xg_surroundings *env, xg_strategy *best, xg_estimate *cost);
/* Calls fn for every strategy of the list. */
void xg_each_strategy(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                      void (*fn)(void *arg, const xg_strategy *s), void *arg);
/* True when a convolution's input may be held with all its channels while its chunks are worked on.
 */
bool xg_conv_input_whole(const xg_machine *m, const xg_slice *need, uint32_t il);

#endif
