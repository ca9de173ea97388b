/* Inside the passes: graph rewriting. A pass never changes what an existing tensor means: it adds
 * nodes and lets readers read the new tensor instead; what nobody reads any more dies and is
 * dropped by the compaction after each sweep.
 */
#ifndef XG_PASS_H
#define XG_PASS_H

#include "xgraph/import.h"

typedef struct xg_rw {
    xg_ctx *c;
    xg_graph *g;
    xg_arena *a;           /* the graph's */
    xg_arena *tmp;         /* until the sweep ends */
    XG_VEC(uint32_t) uses; /* by tensor: readers, a graph output counts as one */
    XG_VEC(bool) dead;     /* by node */
    uint32_t first_new;    /* tensors from here on were made in this sweep */
    const xg_pass_args *args;
    xg_status status; /* first error of a rule */
} xg_rw;

/* Tries to rewrite at a node; true when it changed something. Nodes that are dead are not offered.
 */
typedef bool (*xg_rule_fn)(xg_rw *r, uint32_t node);
/* Offers every node in order to the rules (a NULL ends them), compacts, and repeats until nothing
 * changes. */
XG_MUST_USE xg_status xg_rw_run(xg_ctx *c, xg_graph **g, const xg_pass_args *p,
                                const xg_rule_fn *rules);

/* ---- looking ---- */

uint32_t xg_rw_uses(const xg_rw *r, uint32_t tensor);
/* The node that makes a tensor when it is of this operator (any: XG_OP_COUNT); NULL when not. */
const xg_node *xg_rw_made_by(const xg_rw *r, uint32_t tensor, xg_op op);
/* Constant data that is one f32 value (of any shape). */
bool xg_rw_scalar(const xg_rw *r, uint32_t tensor, float *v);
/* True for a constant and for Dequantize of a constant. */
bool xg_rw_const_like(const xg_rw *r, uint32_t tensor);

/* ---- changing ---- */

/* A node that takes over from `like` (its name and ONNX origin); its output is a new tensor named
 * after like's output. Set attributes, then xg_rw_infer. Node and tensor pointers from before are
 * stale afterwards. */
uint32_t xg_rw_add(xg_rw *r, xg_op op, uint32_t like, const uint32_t *in, uint32_t nin);
/* Copies all attributes that both operators have. */
void xg_rw_copy_attrs(xg_rw *r, uint32_t from, uint32_t to);
/* Type and scale of a node's output before inference. */
void xg_rw_set_out(xg_rw *r, uint32_t node, xg_dtype dtype, const xg_quant *q);
/* Infers the node; false (and r->status) on an error, which is a defect of the rule. */
bool xg_rw_infer(xg_rw *r, uint32_t node);
uint32_t xg_rw_out(const xg_rw *r, uint32_t node);
/* The node also stands for another's ONNX origin. */
void xg_rw_join(xg_rw *r, uint32_t node, const xg_node *other);
/* All readers of `from` read `to`; a new `to` takes its names. False when `from` is a graph output
 * that `to` cannot be. */
bool xg_rw_replace(xg_rw *r, uint32_t from, uint32_t to);
uint32_t xg_rw_const(xg_rw *r, const char *name, xg_dtype t, uint32_t rank, const int64_t *dim,
                     const void *data, const xg_quant *q);
void xg_rw_log(xg_rw *r, const char *fmt, ...) XG_PRINTF(2, 3);

/* One node + inference; the new tensor, or XG_NONE with r->status. */
uint32_t xg_rw_reshape(xg_rw *r, uint32_t like, uint32_t in, const int64_t *dim, uint32_t rank);
uint32_t xg_rw_transpose(xg_rw *r, uint32_t like, uint32_t in, const int64_t *perm);
/* A constant, or Dequantize of one, with its axes permuted or its shape changed (scale axis 0 stays
 * axis 0). XG_NONE when the tensor is neither or its scales would not survive. */
uint32_t xg_rw_permuted(xg_rw *r, uint32_t like, uint32_t tensor, const int64_t *perm);
uint32_t xg_rw_reshaped(xg_rw *r, uint32_t like, uint32_t tensor, const int64_t *dim,
                        uint32_t rank);

/* ---- shared rules ---- */

/* Drops what does nothing, merges Reshape and Transpose pairs, turns Transposes of unit axes into
 * Reshapes. */
bool xg_rule_identity(xg_rw *r, uint32_t node);
/* Rules that move Transpose and Reshape down and NCHW-to-NHWC Transposes up. */
bool xg_rule_sink(xg_rw *r, uint32_t node);

/* y = op(v) for a one-input element-wise operator, rounded to binary32; false for any other
 * operator. */
bool xg_unary_value(const xg_node *n, float v, float *y);
bool xg_op_is_unary(uint32_t op);  /* f32 element-wise of one input, Clip included */
bool xg_op_is_binary(uint32_t op); /* numpy broadcast of two inputs */

/* 256 output values in order of the input's integers: Q(f(DQ(q))). */
typedef bool (*xg_value_fn)(void *arg, float v, float *y);
uint32_t xg_rw_table(xg_rw *r, const xg_tensor *in, const xg_tensor *out, xg_value_fn f, void *arg);

#define PASS(name, doc) xg_status xg_pass_##name(xg_ctx *c, xg_graph **g, const xg_pass_args *p);
#define APPROXIMATE     PASS
#include "xgraph/passes.def"

#endif
