/* Inside the passes: pieces of integer maps with four axes, cut and joined; and convolutions with
 * fixed kernels. Every function returns the new tensor, which has the type and quant of the one
 * that it is made from, or XG_NONE (r->status says when that is an error). `like` names the new
 * nodes. */
#ifndef XG_PASS_PARTS_H
#define XG_PASS_PARTS_H

#include "xgraph/pass.h"

/* An 8-bit signed map with four axes and one scale, not constant. */
bool xg_is_int_map(const xg_tensor *t);
/* Type and quant of node's output, then inference. */
uint32_t xg_rw_finish(xg_rw *r, uint32_t node, xg_dtype dtype, const xg_quant *q);
/* Elements start[i] + k * step[i], k < dim[i], on every axis; `in` itself when that is all of it.
 */
uint32_t xg_rw_slice(xg_rw *r, uint32_t like, uint32_t in, const int64_t *start,
                     const int64_t *step, const int64_t *dim);
/* n elements of one axis, from first on, step apart. */
uint32_t xg_rw_part(xg_rw *r, uint32_t like, uint32_t in, int axis, int64_t first, int64_t step,
                    int64_t n);
/* Concat of n tensors; the tensor itself when n is 1; XG_NONE when one of them is. */
uint32_t xg_rw_joined(xg_rw *r, uint32_t like, const uint32_t *in, uint32_t n, int axis);
/* Runs of the list, list[i] = list[i-1] + 1. */
uint32_t xg_count_runs(const int64_t *list, int64_t n);
/* Elements list[0..n) of an axis: slices of the runs, joined. */
uint32_t xg_rw_take_runs(xg_rw *r, uint32_t like, uint32_t in, int axis, const int64_t *list,
                         int64_t n);
/* A convolution with stride 1 and weights [out channels, kh, kw, channels / group] * 2^-exponent
 * (kept, not copied); the result has the quant q. w gives kernel and padding. */
uint32_t xg_rw_fixed_conv(xg_rw *r, uint32_t like, uint32_t in, const int8_t *weights,
                          int64_t channels, int64_t group, const xg_window *w, int exponent,
                          const xg_quant *q);
/* A 1x1 convolution whose output channel o is input channel list[o], or 0 where that is -1, with
 * the padding of w. */
uint32_t xg_rw_one_hot(xg_rw *r, uint32_t like, uint32_t in, const int64_t *list, int64_t n,
                       const xg_window *w);

#endif
