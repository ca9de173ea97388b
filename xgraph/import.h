/* ONNX to XGraph, canonical form, quantisation. What turns a user's model into the graph that is compiled. */
#ifndef XG_IMPORT_H
#define XG_IMPORT_H

#include "base/fixed.h"
#include "xgraph/interp.h"
#include "xgraph/xgraph.h"

typedef struct xg_import_options {
    const char *const *shape; /* "name=1x3x224x224" */
    uint32_t nshape;
    int64_t batch;            /* > 0: value for a symbolic first dimension (default 1) */
    bool external_data;       /* follow external data inside the model's folder (default on from the command line) */
} xg_import_options;
/* ONNX file -> XGraph with float operators, Quantize/Dequantize, QLinear* already as integer operators; NHWC with
 * Transposes where ONNX was NCHW. Graph inputs and outputs keep ONNX's names, order and axis order (NCHW as in ONNX).
 * All unsupported operators are listed, one error each. */
XG_MUST_USE xg_status xg_import_onnx(xg_arena *a, const char *path, const xg_import_options *o, xg_graph **out);

/* ONNX operators that the importer accepts (onnx_ops.def), one row each; ends with a NULL op. */
typedef struct xg_onnx_op {
    const char *domain, *op; /* domain "" is ai.onnx */
    int since;               /* first opset accepted */
    const char *rule;        /* limits, or what it becomes; may be "" */
} xg_onnx_op;
extern const xg_onnx_op xg_onnx_ops[];

/* One pass: rewrites *g (may allocate a new graph in a). */
typedef struct xg_pass_args {
    xg_arena *arena;
    const xg_rqrec *record; /* for target passes; NULL else */
    const struct xg_calibration *calibration; /* for quantise */
    struct xg_quant_report *report;           /* may be NULL */
} xg_pass_args;
typedef xg_status (*xg_pass_fn)(xg_ctx *c, xg_graph **g, const xg_pass_args *p);
typedef struct xg_pass_desc {
    const char *name;
    xg_pass_fn run;
    const char *doc;
} xg_pass_desc;
extern const xg_pass_desc xg_passes[]; /* passes.def, in order; ends with a NULL name */
/* Runs the passes from the first to the one named last (NULL: all of stage "canonical"); verifies after each. dump:
 * called with the graph after each pass (NULL allowed). */
typedef xg_status (*xg_dump_fn)(void *arg, const char *pass, const xg_graph *g);
XG_MUST_USE xg_status xg_canonicalise(xg_arena *a, xg_graph **g, xg_dump_fn dump, void *arg);

/* Ranges of f32 tensors by name, text form `range "tensor" min=0x.. max=0x..`. */
typedef struct xg_range {
    const char *tensor;
    float min, max;
} xg_range;
typedef struct xg_calibration {
    XG_VEC(xg_range) range;
} xg_calibration;
/* Runs the float interpreter on each input set and keeps minimum and maximum of every tensor. */
XG_MUST_USE xg_status xg_calibrate(xg_arena *a, const xg_graph *g, xg_values *const *inputs, uint32_t n,
                                   xg_calibration *out);
void xg_calibration_print(const xg_calibration *k, xg_buf *out);
XG_MUST_USE xg_status xg_calibration_parse(xg_arena *a, const char *path, const char *text, size_t n,
                                           xg_calibration *out);
/* How a graph was quantised: for the report. */
typedef struct xg_quant_row {
    const char *node;
    double sqnr_db; /* of the node's output against the graph before, on given inputs; NAN when not measured */
} xg_quant_row;
typedef struct xg_quant_report {
    bool measure; /* set by the caller: fill the rows, which runs the interpreter twice */
    const char *how; /* "as the model states", "min-max", "re-quantised to powers of two" */
    XG_VEC(xg_quant_row) row;
} xg_quant_report;

/* Replaces the weights of float Conv nodes whose weights are all equal (models that are topology only) by seeded uniform
 * ones of variance 2 / fan-in, and their biases by small ones. Returns the number of nodes changed. */
uint32_t xg_random_weights(xg_graph *g, uint64_t seed);

/* Float operators -> integer operators, min-max ranges from the calibration; what cannot be (softmax ...) stays f32 between
 * Dequantize and Quantize. symmetric/pow2/per-channel as the record asks. */
XG_MUST_USE xg_status xg_quantise(xg_arena *a, xg_graph **g, const xg_calibration *k, const xg_rqrec *record,
                                  xg_quant_report *report);
/* Makes an integer graph fit a machine's record: when the record cannot express zero points, per-channel scales or
 * scales that are no powers of two, weights are re-quantised from their dequantised values and activations from their
 * own ranges; else the graph is left alone. The report says which. */
XG_MUST_USE xg_status xg_target_quantise(xg_arena *a, xg_graph **g, const xg_rqrec *record,
                                         xg_quant_report *report);
/* True when the graph still has f32 Conv/MatMul/.. operators that calibration would turn into integers. */
bool xg_graph_is_float(const xg_graph *g);

/* The whole front half: file (.onnx or .xg) -> graph for this record, in the order that compile uses. calibration may be NULL
 * (then a float model is refused by name). */
typedef struct xg_front_options {
    xg_import_options import;
    const char *calibration_path; /* text table, or NULL */
    const char *calib_inputs;     /* .npy/.npz path, or "random" / "random:SEED" */
    bool weights_random;          /* replace constant-valued weights by seeded random ones (topology-only models) */
    xg_dump_fn dump;
    void *dump_arg;
} xg_front_options;
XG_MUST_USE xg_status xg_front(xg_arena *a, const char *path, const xg_front_options *o, const xg_rqrec *record,
                               xg_graph **out, xg_quant_report *report);

/* Writes an integer graph as an ONNX QOperator model (s8 x s8, opset 13 + com.microsoft), for an outside runtime;
 * all_outputs: every intermediate integer tensor becomes a graph output. */
XG_MUST_USE xg_status xg_export_qoperator(xg_ctx *c, const xg_graph *g, bool all_outputs, xg_buf *out);

#endif
