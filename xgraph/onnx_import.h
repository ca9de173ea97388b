/* Inside the importer: the state of one import and what the converters (onnx_*.c) build nodes with.
 *
 * A converter turns one ONNX node into XGraph nodes. ONNX's NCHW operators become Transpose -> NHWC
 * operator -> Transpose. A value is known by its ONNX name; small constant computations (shape
 * chains) are evaluated while importing, so that a converter sees constants. After an error a
 * node's outputs are poisoned: their readers are skipped in silence, so that every refusal is told
 * once.
 */
#ifndef XG_ONNX_IMPORT_H
#define XG_ONNX_IMPORT_H

#include "xgraph/import.h"
#include "xgraph/onnx_load.h"

typedef struct xg_ox_value {
    const char *name;
    uint32_t tensor;            /* XG_NONE: not made yet */
    const Xgonnx__Tensor *init; /* initialiser, made into a constant on first use */
    bool poisoned;              /* its producer was refused */
    bool is_output;             /* tensor was reserved for a graph output */
    bool bound;                 /* has a value (input, initialiser or converted node) */
} xg_ox_value;

typedef struct xg_onnx {
    xg_ctx *c;
    xg_arena *a;
    xg_graph *g;
    const xg_onnx_file *file;
    const xg_import_options *o;
    int64_t opset, ms_opset; /* 0: domain not imported */
    xg_map index;            /* ONNX name -> number in value */
    XG_VEC(xg_ox_value) value;
    int64_t batch;            /* images when the user asked for several, else 0 */
    XG_VEC(uint32_t) nhwc;    /* by tensor: its NHWC twin, or XG_NONE */
    XG_VEC(uint8_t) origin;   /* by tensor: xg_ox_origin of a constant */
    const Xgonnx__Node *node; /* the one being converted */
    const char *name;         /* its name for people */
    const char *where;        /* "node 'name' (Op)" */
} xg_onnx;

/* Constants of types that XGraph has not, and what they become. */
typedef enum xg_ox_origin {
    XG_OX_PLAIN,
    XG_OX_U16, /* i32; as a quantised tensor i16, its values and zero points 32768 less */
    XG_OX_4BIT /* i8 or u8, one value a byte */
} xg_ox_origin;
xg_ox_origin xg_ox_origin_of(const xg_onnx *x, uint32_t tensor);

typedef xg_status (*xg_ox_fn)(xg_onnx *x, int arg);
#define ONNX(domain, op, fn, ...) xg_status xg_ox_##fn(xg_onnx *x, int arg);
#include "xgraph/onnx_ops.def"

/* ---- refusing ---- */

xg_status xg_ox_refuse(xg_onnx *x, const char *fmt, ...) XG_PRINTF(2, 3); /* UNSUPPORTED */
xg_status xg_ox_bad(xg_onnx *x, const char *fmt, ...) XG_PRINTF(2, 3);    /* INPUT */

/* ---- attributes of the current node (absent or of another type: the default) ---- */

const Xgonnx__Attribute *xg_ox_attr(const xg_onnx *x, const char *name);
int64_t xg_ox_int(const xg_onnx *x, const char *name, int64_t none);
float xg_ox_float(const xg_onnx *x, const char *name, float none);
/* "" when absent; in the import's arena. */
const char *xg_ox_str(const xg_onnx *x, const char *name);
const int64_t *xg_ox_ints(const xg_onnx *x, const char *name, uint32_t *n);

/* ---- inputs and outputs ---- */

/* Tensor of input i, XG_NONE when absent. */
uint32_t xg_ox_in(const xg_onnx *x, uint32_t i);
xg_tensor *xg_ox_tensor(const xg_onnx *x, uint32_t tensor);
bool xg_ox_wants(const xg_onnx *x, uint32_t i);   /* output i exists */
bool xg_ox_is_read(const xg_onnx *x, uint32_t i); /* ... and a node or the graph reads it */
/* Integer constant of input i as int64 (any integer type), NULL + *n = 0 when absent; an error when
 * not constant. */
XG_MUST_USE xg_status xg_ox_const_ints(xg_onnx *x, uint32_t i, const char *what, const int64_t **v,
                                       uint32_t *n);
/* Scalar (or one-element) f32 constant of input i; none when absent. */
XG_MUST_USE xg_status xg_ox_const_float(xg_onnx *x, uint32_t i, const char *what, float none,
                                        float *v);
/* The tensor that ONNX output i is to be written to: named after it, without shape. */
uint32_t xg_ox_out(xg_onnx *x, uint32_t i);
/* A tensor for a step inside the current node, named after output i with a suffix. */
uint32_t xg_ox_temp(xg_onnx *x, uint32_t i, const char *suffix);
/* Output i is the same value as this tensor. */
XG_MUST_USE xg_status xg_ox_alias(xg_onnx *x, uint32_t i, uint32_t tensor);
/* Axis from ONNX's -rank..rank-1 to 0..rank-1. */
XG_MUST_USE xg_status xg_ox_axis(xg_onnx *x, int64_t axis, uint32_t rank, uint32_t *out);

/* ---- building ---- */

/* A node with default attributes that writes tensor out; set its attributes, then xg_ox_done(). */
uint32_t xg_ox_node(xg_onnx *x, xg_op op, const uint32_t *in, uint32_t nin, uint32_t out);
/* Infers the shape of the node made last; when its inputs are constants that can be computed here,
 * the output becomes a constant and the node goes. */
XG_MUST_USE xg_status xg_ox_done(xg_onnx *x, uint32_t node);
/* node + done, for operators without attributes. */
XG_MUST_USE xg_status xg_ox_simple(xg_onnx *x, xg_op op, const uint32_t *in, uint32_t nin,
                                   uint32_t out);
XG_MUST_USE xg_status xg_ox_reshape(xg_onnx *x, uint32_t in, const int64_t *dim, uint32_t rank,
                                    uint32_t out);
XG_MUST_USE xg_status xg_ox_transpose(xg_onnx *x, uint32_t in, const int64_t *perm, uint32_t out);
/* The NHWC form of an NC, NCL or NCHW tensor: [N,H,W,C]; made once for each tensor. */
XG_MUST_USE xg_status xg_ox_nhwc(xg_onnx *x, uint32_t in, uint32_t *out);
/* Writes the NHWC tensor `in` as ONNX output i with `rank` axes (3: H must be 1). */
XG_MUST_USE xg_status xg_ox_from_nhwc(xg_onnx *x, uint32_t in, uint32_t rank, uint32_t i);
/* Operand b of a: before opset 7, broadcast=1 aligns it from attribute axis on (default: at the
 * end), which numpy's rule does once it has axes of 1 behind. Replaces *b. */
XG_MUST_USE xg_status xg_ox_aligned(xg_onnx *x, uint32_t a, uint32_t *b);
/* A permuted or reshaped form of weights: constants (also behind Quantize/Dequantize) are rewritten
 * themselves. */
XG_MUST_USE xg_status xg_ox_permuted(xg_onnx *x, uint32_t in, const int64_t *perm, uint32_t *out);
XG_MUST_USE xg_status xg_ox_reshaped(xg_onnx *x, uint32_t in, const int64_t *dim, uint32_t rank,
                                     uint32_t *out);
uint32_t xg_ox_scalar(xg_onnx *x, float v); /* f32 constant of rank 0 */
void xg_ox_log(xg_onnx *x, const char *fmt, ...) XG_PRINTF(2, 3);

/* ---- quantisation parameters ---- */

/* Scale and zero point from inputs iscale, izp (constants); channels: length that a per-axis scale
 * must have. *dtype is the zero point's type, or `none` when it is absent. */
XG_MUST_USE xg_status xg_ox_quant(xg_onnx *x, uint32_t iscale, uint32_t izp, int32_t axis,
                                  int64_t channels, xg_dtype none, const xg_quant **q,
                                  xg_dtype *dtype);
/* Tensor in, read under scale and zero point q: its own, or a reinterpretation of the same
 * integers. */
XG_MUST_USE xg_status xg_ox_read_as(xg_onnx *x, uint32_t in, const xg_quant *q, xg_dtype dtype,
                                    uint32_t *out);
void xg_ox_set_quant(xg_onnx *x, uint32_t tensor, xg_dtype dtype, const xg_quant *q);

/* ---- shared by converters ---- */

/* kernel_shape, strides, dilations, pads, auto_pad of the current node over a map of in_h x in_w
 * (1-D: in_h = 1). */
XG_MUST_USE xg_status xg_ox_window(xg_onnx *x, uint32_t spatial, const int64_t *in_hw,
                                   const int64_t *kernel_hw, xg_window *out);
/* Reads a TensorProto into a constant tensor. name may be NULL. */
XG_MUST_USE xg_status xg_ox_constant(xg_onnx *x, const Xgonnx__Tensor *t, const char *name,
                                     uint32_t *out);
/* XGraph's type for an ONNX type number; float16, bfloat16 and double become f32. False when there
 * is none. */
bool xg_ox_dtype(int32_t onnx, xg_dtype *out);
const char *xg_ox_dtype_name(int32_t onnx);

#endif
