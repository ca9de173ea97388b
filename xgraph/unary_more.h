/* Functions of one value beyond the common activations, in binary64. Internal to xgraph/: the
 * interpreter (kernel_unary.c) and the tables of passes (unary_value.c) round the result once. */
#ifndef XG_UNARY_MORE_H
#define XG_UNARY_MORE_H

#include "xgraph/xgraph.h"

bool xg_op_is_unary_more(uint32_t op);
/* y = op(v) by the formula in ops.def; false for any other operator. */
bool xg_unary_more(const xg_node *n, double v, double *y);

#endif
