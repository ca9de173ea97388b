/* XGraph: a DAG of typed nodes and tensors. Spatial operators are NHWC; shapes are static.
 *
 * Nodes and tensors are dense 32-bit indices. A node may only read tensors of earlier nodes, inputs
 * and constants (the node array is a topological order, kept by every pass). A tensor has one
 * producer at most. Integer tensors (i8, u8, i16, i32 with a quant) stand for real values scale *
 * (q - zero point); an operator on such tensors *is* the quantised operator, requantising from its
 * inputs' scales to its output's by the machine's record (default: profile ort). An operator on f32
 * tensors is the float operator. Activations that are clamps are folded into the attributes lo and
 * hi of integer operators (in the output's quantised values). The name of the ONNX tensor or node
 * that something comes from is kept in `onnx` and survives every stage.
 */
#ifndef XG_XGRAPH_H
#define XG_XGRAPH_H

#include "base/base.h"

typedef enum xg_dtype {
    XG_F32,
    XG_I8,
    XG_U8,
    XG_I16,
    XG_I32,
    XG_I64,
    XG_BOOL,
    XG_DTYPE_COUNT
} xg_dtype;
size_t xg_dtype_bytes(xg_dtype t);
const char *xg_dtype_name(xg_dtype t); /* "f32" */
bool xg_dtype_parse(const char *s, xg_dtype *out);
bool xg_dtype_is_int8(xg_dtype t); /* i8 or u8 */
void xg_dtype_range(xg_dtype t, int32_t *lo, int32_t *hi);

enum { XG_RANK_MAX = 8 };

typedef struct xg_quant {
    int32_t axis; /* -1: per tensor (n = 1) */
    uint32_t n;
    const float *scale; /* finite, > 0 */
    const int32_t *zp;
} xg_quant;

typedef struct xg_tensor {
    const char *name; /* unique in the graph */
    const char *onnx; /* ONNX tensor name, or NULL */
    xg_dtype dtype;
    uint8_t rank;
    bool is_input, is_output;
    int64_t dim[XG_RANK_MAX];
    const xg_quant *quant; /* NULL: no scale */
    const void *data;      /* constants: dense, row-major, host byte order; else NULL */
    uint32_t producer;     /* node, or XG_NONE for inputs and constants */
} xg_tensor;

/* Attribute names are global rows (ops.def); an operator lists the ones it has, with defaults. */
typedef enum xg_attr_kind { XG_INT, XG_FLOAT, XG_INTS, XG_FLOATS } xg_attr_kind;
typedef struct xg_attr {
    int64_t i;
    float f;
    uint32_t n; /* XG_INTS, XG_FLOATS */
    const int64_t *is;
    const float *fs;
} xg_attr;

enum { XG_ATTRS_MAX = 24 };

typedef struct xg_node {
    uint16_t op;
    const char *name; /* unique in the graph */
    const char *onnx; /* names of the ONNX nodes it came from, joined by '+', or NULL */
    uint32_t nin, nout;
    uint32_t *in; /* XG_NONE = absent optional input */
    uint32_t *out;
    xg_attr *attr; /* [op's nattr], in the order of the op's row */
} xg_node;

typedef struct xg_graph {
    xg_arena *arena;
    const char *name;
    XG_VEC(xg_node) node;
    XG_VEC(xg_tensor) tensor;
    XG_VEC(uint32_t) input; /* tensors */
    XG_VEC(uint32_t) output;
    XG_VEC(const char *) log; /* what passes did and a user should know, one line each */
    xg_map tensor_names,
        node_names; /* names ever given, for making new ones unique; see xg_tensor_rename */
} xg_graph;

/* ---- the operator table (ops.def)
 * ------------------------------------------------------------------ */

/* What goes in and comes out. "Plain" integers have no quant (indices, shapes, masks). */
typedef enum xg_rule {
    XG_RULE_FLOAT,   /* f32 in, f32 out */
    XG_RULE_KEEP,    /* the first input's type and quant come out again: movement and selection of
                        elements */
    XG_RULE_REQUANT, /* all f32; or all quantised, each with a quant of its own, output too; or all
                      * plain of one type. An output without quant takes the first input's type.
                      * Conv's bias (i32) needs no quant. */
    XG_RULE_CONVERT  /* the operator is the conversion; its shape function checks */
} xg_rule;

/* OP(name, min inputs, max inputs (-1 = any), outputs (-1 = any)); see ops.def for all columns. */
typedef enum xg_op {
#define OP(name, ...) XG_OP_##name,
#define ATTR(...)
#include "xgraph/ops.def"
    XG_OP_COUNT
} xg_op;
typedef enum xg_attr_id {
#define OP(...)
#define ATTR(name, ...) XG_ATTR_##name,
#include "xgraph/ops.def"
    XG_ATTR_COUNT
} xg_attr_id;

struct xg_op_desc;
/* Fills rank and dim of the outputs (CONVERT: dtype too) and checks attributes; use xg_node_infer.
 */
typedef xg_status (*xg_shape_fn)(xg_ctx *c, xg_graph *g, const xg_node *n);
typedef struct xg_op_desc {
    const char *name;
    int8_t min_in, max_in, nout;
    uint8_t nattr;
    xg_rule rule;
    uint16_t attr[XG_ATTRS_MAX]; /* attribute ids */
    xg_shape_fn shape;
    const char *formula;
} xg_op_desc;
typedef struct xg_attr_desc {
    const char *name;
    xg_attr_kind kind;
    int64_t default_i;
    float default_f;
    const char *doc;
} xg_attr_desc;
extern const xg_op_desc xg_ops[XG_OP_COUNT];
extern const xg_attr_desc xg_attrs[XG_ATTR_COUNT];
int xg_op_by_name(const char *name); /* -1 when unknown */

/* ---- building
 * ----------------------------------------------------------------------------------------- */

xg_graph *xg_graph_new(xg_arena *a, const char *name);
/* Names are made unique by a suffix when taken (NULL: made up) and copied, as is `onnx`; quant and
 * data must live as long as the graph. A tensor with is_input or is_output set is not put into
 * g->input or g->output: use xg_graph_add_input, xg_graph_add_output, or push it. Returns the
 * tensor's index. */
uint32_t xg_graph_add_tensor(xg_graph *g, const xg_tensor *t);
uint32_t xg_graph_add_const(xg_graph *g, const char *name, xg_dtype t, uint8_t rank,
                            const int64_t *dim, const void *data, const xg_quant *q);
/* Appends a node with default attributes and nout new, shapeless output tensors; returns its index.
 */
uint32_t xg_graph_add_node(xg_graph *g, xg_op op, const char *name, const uint32_t *in,
                           uint32_t nin, uint32_t nout);
/* As above, but the outputs are existing tensors without producer. */
uint32_t xg_graph_add_node_to(xg_graph *g, xg_op op, const char *name, const uint32_t *in,
                              uint32_t nin, const uint32_t *out, uint32_t nout);
/* Sets the flag and appends to g->input (g->output); nothing when it is there already. */
void xg_graph_add_input(xg_graph *g, uint32_t tensor);
void xg_graph_add_output(xg_graph *g, uint32_t tensor);
/* Gives a tensor the name, made unique when taken by another; the old name stays reserved. */
void xg_tensor_rename(xg_graph *g, uint32_t tensor, const char *name);
/* An error at a node: where is "node 'name' (Op)". */
xg_status xg_node_error(xg_ctx *c, const xg_node *n, xg_status st, const char *fmt, ...)
    XG_PRINTF(4, 5);
const xg_quant *xg_quant_new(xg_arena *a, int32_t axis, uint32_t n, const float *scale,
                             const int32_t *zp);
const xg_quant *xg_quant_scalar(xg_arena *a, float scale, int32_t zp);
bool xg_quant_equal(const xg_quant *a, const xg_quant *b);

/* True when the node reads or makes quantised 16-bit integers. Such nodes run on the host, by the
 * same arithmetic on every machine (kernel_wide.c); their accumulators have XG_WIDE_ACC_BITS. */
bool xg_node_is_wide(const xg_graph *g, const xg_node *n);
/* Multiply-accumulates of a Conv or MatMul; 0 for all others. */
uint64_t xg_node_macs(const xg_graph *g, const xg_node *n);
enum { XG_WIDE_ACC_BITS = 48 };

/* Product of the dimensions; INT64_MAX when it overflows, 0 when a dimension is negative. */
int64_t xg_tensor_elems(const xg_tensor *t);
static inline xg_node *xg_nodep(const xg_graph *g, uint32_t n) {
    return &g->node.v[n];
}
static inline xg_tensor *xg_tensorp(const xg_graph *g, uint32_t t) {
    return &g->tensor.v[t];
}
static inline xg_tensor *xg_in(const xg_graph *g, const xg_node *n, uint32_t i) {
    return i < n->nin && n->in[i] != XG_NONE ? &g->tensor.v[n->in[i]] : NULL;
}
static inline xg_tensor *xg_out(const xg_graph *g, const xg_node *n, uint32_t i) {
    return &g->tensor.v[n->out[i]];
}
/* Attributes of a node by global id; asking for one that the op does not have is a defect
 * (asserts). */
xg_attr *xg_attr_of(const xg_node *n, xg_attr_id id);
bool xg_has_attr(const xg_node *n, xg_attr_id id);
int64_t xg_ai(const xg_node *n, xg_attr_id id);
float xg_af(const xg_node *n, xg_attr_id id);
void xg_set_ai(const xg_node *n, xg_attr_id id, int64_t v);
void xg_set_af(const xg_node *n, xg_attr_id id, float v);
void xg_set_ais(xg_graph *g, const xg_node *n, xg_attr_id id, const int64_t *v, uint32_t count);

/* The window of Conv, MaxPool, AvgPool ... as one struct. */
typedef struct xg_window {
    int32_t kh, kw, sh, sw, dh, dw, pt, pl, pb, pr;
} xg_window;
xg_window xg_node_window(const xg_node *n);
void xg_set_window(const xg_node *n, const xg_window *w);

/* Consumers of every tensor: users[first[t] .. first[t+1]) are node indices in ascending order, one
 * for each use. */
typedef struct xg_uses {
    uint32_t *first, *node;
} xg_uses;
xg_uses xg_graph_uses(const xg_graph *g, xg_arena *a);
/* All readers of `from` read `to` instead; graph outputs too, in their place. A graph output keeps
 * its name: the two tensors swap names then. When `from` is an output and `to` is an input or an
 * output already, that output stays `from` (a tensor has one name); only the nodes are changed. */
void xg_graph_replace(xg_graph *g, uint32_t from, uint32_t to);
/* A compact copy in arena a: nodes not needed for any output and unused tensors dropped (graph
 * inputs stay), nodes in a stable topological order. In the graph's own arena quants and constants
 * are shared with g, else copied. Errors with INPUT when cyclic. */
XG_MUST_USE xg_status xg_graph_compact(xg_ctx *c, const xg_graph *g, xg_arena *a, xg_graph **out);
/* *g becomes compact: stays what it is when nothing would be dropped or moved, else is replaced by
 * a compact copy in its own arena. */
XG_MUST_USE xg_status xg_graph_tidy(xg_ctx *c, xg_graph **g);

/* ---- checking
 * ------------------------------------------------------------------------------------------- */

/* Shape and dtype of all node outputs from their inputs, in order; a KEEP output without quant
 * inherits the input's. */
XG_MUST_USE xg_status xg_graph_infer(xg_ctx *c, xg_graph *g);
XG_MUST_USE xg_status xg_node_infer(xg_ctx *c, xg_graph *g, uint32_t node);
/* Every invariant: names unique, topological order, arity, attribute ranges, shapes equal to
 * inferred ones, quant sane (scales finite and > 0, axis in range, zp in type's range), element
 * counts <= 2^31-1. */
XG_MUST_USE xg_status xg_graph_verify(xg_ctx *c, const xg_graph *g);

/* ---- forms
 * ------------------------------------------------------------------------------------------------
 */

/* Text form: structure only (constants by digest) unless with_data, which writes them as hex.
 * parse(print) = same; a text with digests cannot be parsed back, and the parser says so. Page:
 * xgraph/README.md. */
void xg_graph_print(const xg_graph *g, bool with_data, xg_buf *out);
XG_MUST_USE xg_status xg_graph_parse(xg_arena *a, const char *path, const char *text, size_t n,
                                     xg_graph **out);
/* Protobuf form (xgraph/xgraph.proto), with weights. */
XG_MUST_USE xg_status xg_graph_pack(xg_ctx *c, const xg_graph *g, xg_buf *out);
XG_MUST_USE xg_status xg_graph_unpack(xg_arena *a, const char *path, const void *p, size_t n,
                                      xg_graph **out);
/* Either form, told apart by content. */
XG_MUST_USE xg_status xg_graph_read(xg_arena *a, const char *path, xg_graph **out);

#endif
