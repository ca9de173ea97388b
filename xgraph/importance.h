/* How much noise in each channel of a tensor matters to the outputs: for ranges that suit the
 * channels that count (calibrate.c).
 *
 * Going backwards from the outputs, where noise counts by its share of the output's energy, each
 * node hands its result's importance on to what it reads: a convolution by the squares of its
 * weights, a product by the squares of the other factor, a function by the squares of its slope at
 * the values seen. Noise of different elements is taken as independent. Internal to xgraph/. */
#ifndef XG_IMPORTANCE_H
#define XG_IMPORTANCE_H

#include "xgraph/interp.h"
#include "xgraph/samples.h"

/* (*out)[tensor][index on the last axis]: noise of the outputs, all together, for noise of power 1
 * in one element of that channel; NULL for tensors that are no f32 or do not reach an output. From
 * at most `most` sets, evenly spread; the graph's f32 part only. Arrays live in a. */
XG_MUST_USE xg_status xg_importance(xg_arena *a, const xg_graph *g, const xg_samples *s,
                                    uint64_t most, double ***out);

/* The function of one value that is all that reads a tensor, be its elements moved on the way: what
 * it holds constant is nobody's loss. NULL when there is none, or it is a Clip. */
const xg_node *xg_reader_of(const xg_graph *g, const xg_uses *u, uint32_t t);

#endif
