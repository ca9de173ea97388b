/* Shape functions, one for each suffix in ops.def, and what they share. Internal to xgraph/.
 *
 * A shape function may rely on: arity within the row's bounds, required inputs present, valid
 * tensor indices, every dimension of every input in [1, 2^31), element counts below 2^31, element
 * types that obey the row's rule. It must check all attributes, also against hostile values, and
 * set rank and dim of the outputs.
 */
#ifndef XG_SHAPE_H
#define XG_SHAPE_H

#include "xgraph/xgraph.h"

#define XG_ELEMS_MAX INT32_MAX

#define ATTR(...)
#define OP(name, min, max, nout, suffix, ...)                                                      \
    xg_status xg_shape_##suffix(xg_ctx *c, xg_graph *g, const xg_node *n);
#include "xgraph/ops.def"

/* Sets rank and dim of output 0. INPUT when a dimension is < 1 or the element count exceeds
 * XG_ELEMS_MAX. */
xg_status xg_shape_set(xg_ctx *c, xg_graph *g, const xg_node *n, uint32_t rank, const int64_t *dim);
/* "[1,2,3]" in buf, for messages. */
const char *xg_shape_text(const xg_tensor *t, char buf[96]);
/* The integer attribute, INPUT when outside [lo, hi]. */
xg_status xg_attr_in(xg_ctx *c, const xg_node *n, xg_attr_id id, int64_t lo, int64_t hi,
                     int64_t *out);
/* Node's indices, arity and required inputs: what must hold before a shape function may run. */
xg_status xg_node_check(xg_ctx *c, const xg_graph *g, uint32_t node);
/* Element types and quants of inputs and outputs against the row's rule (after inference). */
xg_status xg_rule_check(xg_ctx *c, const xg_graph *g, const xg_node *n);
/* Element type, dimensions and element count of one tensor; and the same with its quant, which
 * costs as much as the quant is long. */
xg_status xg_dims_check(xg_ctx *c, const xg_tensor *t);
xg_status xg_tensor_check(xg_ctx *c, const xg_tensor *t);

#endif
