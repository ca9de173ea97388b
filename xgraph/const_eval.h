/* Values of nodes whose inputs are all constants: movement of elements of any type, conversions,
 * and the arithmetic that shape computations use. The importer folds shape chains with it, the pass
 * fold_constants everything else. */
#ifndef XG_CONST_EVAL_H
#define XG_CONST_EVAL_H

#include "xgraph/xgraph.h"

/* True when all inputs of n are constants (and it has at least one). */
bool xg_const_inputs(const xg_graph *g, const xg_node *n);
/* The data of output 0 in arena a (its shape and type are inferred already), or NULL when the
 * operator is not one of those above. Integer division by zero gives NULL, too. */
void *xg_const_eval(xg_arena *a, const xg_graph *g, const xg_node *n);
/* Element i of an integer or bool constant. */
int64_t xg_const_int(const xg_tensor *t, int64_t i);
/* dst[out index] = src[base + sum of index[k] * stride[k]], elements of `size` bytes, strides in
 * elements. */
void xg_strided_copy(void *dst, const void *src, size_t size, uint32_t rank, const int64_t *dim,
                     const int64_t *stride, int64_t base);
/* src of shape dim with axes permuted, in arena a. */
void *xg_const_permute(xg_arena *a, const void *src, size_t size, uint32_t rank, const int64_t *dim,
                       const int64_t *perm);

#endif
