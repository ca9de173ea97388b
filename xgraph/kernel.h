/* What the reference kernels share: their signature, one row an operator, and access to tensors.
 *
 * A kernel may rely on a verified graph: shapes inferred, element types by the operator's rule,
 * inputs computed, the output's buffer allocated. It writes every element of the output. It refuses
 * with UNSUPPORTED, naming the node, what the definition does not cover (per-axis scales where one
 * is meant, scales that the record cannot express). Internal to xgraph/.
 */
#ifndef XG_KERNEL_H
#define XG_KERNEL_H

#include "xgraph/interp.h"

typedef struct xg_kernel {
    xg_ctx *ctx;
    xg_values *values;
    const xg_graph *graph;
    const xg_node *node;
    const xg_rqrec *record;
    xg_arena *scratch; /* freed when the kernel returns */
} xg_kernel;

typedef xg_status (*xg_kernel_fn)(const xg_kernel *k);
#define ATTR(...)
#define OP(name, ...) xg_status xg_kernel_##name(const xg_kernel *k);
#include "xgraph/ops.def"

/* The three readings of an operator (xg_rule in xgraph.h), by its output: f32, quantised integers,
 * plain integers. */
typedef enum xg_reading { XG_READ_F32, XG_READ_QUANT, XG_READ_PLAIN } xg_reading;
xg_reading xg_kernel_reading(const xg_kernel *k);

static inline const xg_tensor *xg_kin(const xg_kernel *k, uint32_t i) {
    return xg_in(k->graph, k->node, i);
}
static inline const xg_tensor *xg_kout(const xg_kernel *k) {
    return xg_out(k->graph, k->node, 0);
}
/* Elements of input i (NULL when absent) and of the output. */
static inline const void *xg_kin_data(const xg_kernel *k, uint32_t i) {
    return xg_kin(k, i) ? k->values->v[k->node->in[i]] : NULL;
}
static inline void *xg_kout_data(const xg_kernel *k) {
    return k->values->v[k->node->out[0]];
}

/* Element i of an integer (or bool) buffer. */
static inline int64_t xg_load(const void *p, xg_dtype t, int64_t i) {
    switch (t) {
    case XG_I8:
        return ((const int8_t *)p)[i];
    case XG_U8:
        return ((const uint8_t *)p)[i];
    case XG_BOOL:
        return ((const uint8_t *)p)[i] != 0;
    case XG_I16:
        return ((const int16_t *)p)[i];
    case XG_I32:
        return ((const int32_t *)p)[i];
    default:
        return ((const int64_t *)p)[i];
    }
}
/* Stores the low bits of v. */
static inline void xg_store(void *p, xg_dtype t, int64_t i, int64_t v) {
    switch (t) {
    case XG_I8:
        ((int8_t *)p)[i] = (int8_t)v;
        break;
    case XG_U8:
        ((uint8_t *)p)[i] = (uint8_t)v;
        break;
    case XG_BOOL:
        ((uint8_t *)p)[i] = v != 0;
        break;
    case XG_I16:
        ((int16_t *)p)[i] = (int16_t)v;
        break;
    case XG_I32:
        ((int32_t *)p)[i] = (int32_t)v;
        break;
    default:
        ((int64_t *)p)[i] = v;
        break;
    }
}

/* The one scale and zero point of a quantised tensor; UNSUPPORTED when it has several (or none). */
typedef struct xg_affine {
    float scale;
    int32_t zp;
    int32_t lo, hi; /* of the element type */
} xg_affine;
XG_MUST_USE xg_status xg_kernel_affine(const xg_kernel *k, const xg_tensor *t, xg_affine *out);
/* Bounds of the output: its type's range, narrowed by the attributes lo and hi where the operator
 * has them. */
void xg_kernel_bounds(const xg_kernel *k, int32_t *lo, int32_t *hi);
/* UNSUPPORTED: the record cannot express this quotient of scales; b = 0 when there is only one
 * factor. */
xg_status xg_kernel_inexpressible(const xg_kernel *k, float a, float b, float y);
/* UNSUPPORTED: this operator has no meaning on the element types that it was given. */
xg_status xg_kernel_no_type(const xg_kernel *k);
/* Scale and zero point of element i of a tensor, per tensor or per axis. */
typedef struct xg_affine_at {
    const xg_quant *quant;
    int64_t inner, n; /* the axis index of element i is i / inner % n */
} xg_affine_at;
xg_affine_at xg_affine_of(const xg_tensor *t);
static inline uint32_t xg_affine_idx(const xg_affine_at *a, int64_t i) {
    return a->n == 1 ? 0 : (uint32_t)(i / a->inner % a->n);
}

/* Strides in elements of a dense tensor. */
void xg_dense_strides(uint8_t rank, const int64_t *dim, int64_t *stride);
/* Strides of a dense tensor (rank, dim) read under the larger shape (out_rank, out_dim): 0 where it
 * is broadcast. */
void xg_broadcast_strides(uint8_t rank, const int64_t *dim, uint8_t out_rank,
                          const int64_t *out_dim, int64_t *stride);
/* Counts up idx[0..rank) in row-major order and keeps `offset` = sum of idx * stride; false after
 * the last one. */
bool xg_odometer(uint8_t rank, const int64_t *dim, const int64_t *stride, int64_t *idx,
                 int64_t *offset);

/* Sum of a[i] * b[i], exact; |a|, |b| <= 255. */
int64_t xg_dot_i16(const int16_t *a, const int16_t *b, int64_t n);
/* out[i] = element i of an 8-bit buffer minus zp, which is in the type's range. */
void xg_centre_i16(const void *p, xg_dtype t, int64_t first, int64_t n, int32_t zp, int16_t *out);

/* Geometry of a Conv: x [n, h, w, c], w [o, kh, kw, cg], y [n, oh, ow, o]; group g has the input
 * channels [g cg, g cg + cg) and the output channels [g og, g og + og). A patch is what one output
 * pixel of one group sees: k = kh kw cg values in r, s, c order, 0 where the window is outside of
 * the map. */
typedef struct xg_conv_dims {
    int64_t n, h, w, c, o, oh, ow, group, cg, og, k, pixels; /* pixels = n oh ow */
    xg_window win;
} xg_conv_dims;
xg_conv_dims xg_conv_dims_of(const xg_kernel *k);
/* Offset in elements of x[n][iy][ix][0] under window position (r, s) of an output pixel; -1 outside
 * of the map. */
int64_t xg_conv_source(const xg_conv_dims *d, int64_t pixel, int64_t r, int64_t s);
xg_status xg_conv_f32(const xg_kernel *k);
xg_status xg_conv_int(const xg_kernel *k);

/* Geometry of a MatMul [.., m, k] x [.., k, n]: batches of the leading axes, each operand with its
 * strides in matrices (0 where it is broadcast). */
typedef struct xg_matmul_dims {
    int64_t m, n, k, batches;
    uint8_t outer; /* axes before the last two of the result */
    int64_t dim[XG_RANK_MAX], sa[XG_RANK_MAX], sb[XG_RANK_MAX]; /* of those axes */
} xg_matmul_dims;
XG_MUST_USE xg_status xg_matmul_dims_of(const xg_kernel *k, xg_matmul_dims *v);

/* Operators that read or make 16-bit integers and requantise (kernel_wide.c): the same on every
 * machine. */
bool xg_kernel_is_wide(const xg_kernel *k);
xg_status xg_kernel_wide(const xg_kernel *k);

#endif
