/* The reference interpreter: literal kernels, one file a group of operators, straight from the
 * formulas of ops.def.
 *
 * Integer kernels compute with base/fixed.c under a requantisation record; float kernels sum in one
 * fixed order (window rows, columns, channels) in binary32 with contraction off, so results are
 * equal on every host.
 */
#ifndef XG_INTERP_H
#define XG_INTERP_H

#include "base/fixed.h"
#include "xgraph/xgraph.h"

/* Values of all tensors of a graph, dense in XGraph's order; NULL = not computed. Memory from
 * `arena`. */
typedef struct xg_values {
    const xg_graph *graph;
    xg_arena *arena;
    void **v; /* [tensors]; constants point at their data */
    /* Which kernels: fast twins where there is one (the default), or the literal ones only. The
     * values are the same. */
    enum { XG_VALUES_FAST, XG_VALUES_LITERAL } mode;
    struct xg_fast_packed
        *packed; /* [nodes] weights as the fast kernels want them; NULL at first */
} xg_values;
void xg_values_init(xg_values *v, const xg_graph *g, xg_arena *a);
/* The buffer of a tensor, allocated (zeroed) on first use. */
void *xg_values_get(xg_values *v, uint32_t tensor);

/* Runs one node: inputs must be there. record NULL = profile ort. INPUT errors only for what cannot
 * be known before (never for a verified graph). */
XG_MUST_USE xg_status xg_interp_node(xg_ctx *c, xg_values *v, uint32_t node,
                                     const xg_rqrec *record);
/* Runs all nodes in order. */
XG_MUST_USE xg_status xg_interp_run(xg_ctx *c, xg_values *v, const xg_rqrec *record);
/* The function of one value that a unary operator (Clip, LeakyRelu .. Softplus) computes on f32,
 * for tables too: evaluated in binary64 and rounded once, except where binary32 is exact or ONNX
 * Runtime's order asks for it (LeakyRelu). False when the operator is no such function. */
bool xg_unary_f32(const xg_node *n, float x, float *y);
/* Proves from weights, biases and input ranges that every integer accumulator fits
 * record->acc_bits; names the node. */
XG_MUST_USE xg_status xg_prove_accumulators(xg_ctx *c, const xg_graph *g, const xg_rqrec *record);

/* ---- arrays as users give them ---- */

typedef struct xg_array {
    const char *name; /* tensor it is for, or NULL */
    xg_dtype dtype;
    uint8_t rank;
    int64_t dim[XG_RANK_MAX];
    const void *data;
} xg_array;
/* .npy (C or Fortran order, f4 i1 u1 i2 i4 i8 b1 f8->f4), .npz (stored or deflated: zlib), .pb
 * (ONNX TensorProto). Several arrays only from .npz. */
XG_MUST_USE xg_status xg_array_read(xg_arena *a, const char *path, xg_array **out, uint32_t *n);
XG_MUST_USE xg_status xg_array_write_npy(xg_ctx *c, const char *path, const xg_array *v);

/* Inputs for tests: kind "random" (seeded), "min", "max", "zero" for each graph input, in its dtype
 * and range (f32: uniform in [lo, hi] from the consumer Quantize's range, else [-1, 1]). */
XG_MUST_USE xg_status xg_values_fill(xg_ctx *c, xg_values *v, const char *kind, uint64_t seed);

#endif
