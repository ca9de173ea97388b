/* ONNX to XGraph, canonical form, quantisation. What turns a user's model into the graph that is
 * compiled. */
#ifndef XG_IMPORT_H
#define XG_IMPORT_H

#include "base/fixed.h"
#include "xgraph/interp.h"
#include "xgraph/xgraph.h"

typedef struct xg_import_options {
    const char *const *shape; /* "name=1x3x224x224" */
    uint32_t nshape;
    int64_t batch;          /* > 0: value for a symbolic first dimension (default 1) */
    const char *const *cut; /* tensors that become the outputs, in place of the model's own; nodes
                               that none of them needs are left out, whatever they are */
    uint32_t ncut;
    bool external_data; /* follow external data inside the model's folder (default on from the
                           command line) */
} xg_import_options;
/* ONNX file -> XGraph with float operators, Quantize/Dequantize, QLinear* already as integer
 * operators; NHWC with Transposes where ONNX was NCHW. Graph inputs and outputs keep ONNX's names,
 * order and axis order (NCHW as in ONNX). All unsupported operators are listed, one error each. */
XG_MUST_USE xg_status xg_import_onnx(xg_arena *a, const char *path, const xg_import_options *o,
                                     xg_graph **out);

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
    const xg_rqrec *record;                     /* for target passes; NULL else */
    const struct xg_calibration *calibration;   /* for quantise */
    struct xg_quant_report *report;             /* may be NULL */
    bool *changed;                              /* set when a rule of the pass fired; may be NULL */
    const struct xg_canonical_options *options; /* for passes of canonicalisation; may be NULL */
} xg_pass_args;
typedef xg_status (*xg_pass_fn)(xg_ctx *c, xg_graph **g, const xg_pass_args *p);
typedef struct xg_pass_desc {
    const char *name;
    xg_pass_fn run;
    bool exact; /* equal results, up to float rounding */
    const char *doc;
} xg_pass_desc;
extern const xg_pass_desc xg_passes[]; /* passes.def, in order; ends with a NULL name */
/* Runs the passes from the first to the one named last (NULL: all of stage "canonical"); verifies
 * after each. dump: called with the graph after each pass (NULL allowed). */
typedef xg_status (*xg_dump_fn)(void *arg, const char *pass, const xg_graph *g);
XG_MUST_USE xg_status xg_canonicalise(xg_arena *a, xg_graph **g, xg_dump_fn dump, void *arg);
/* What f32 graph input t of an integer export holds: XG_I8 or XG_U8; XG_DTYPE_COUNT when that is
 * not known. */
typedef xg_dtype (*xg_codes_fn)(void *arg, const xg_graph *g, uint32_t t);
typedef struct xg_canonical_options {
    xg_dump_fn dump;
    void *dump_arg;
    xg_codes_fn codes; /* NULL: nothing is known; then signed layers stand for signed inputs */
    void *codes_arg;
    int64_t kernel_max, stride_max; /* of a machine's convolutions; 0: not known */
    bool approximated;              /* result: a pass that is not exact rewrote something */
} xg_canonical_options;
XG_MUST_USE xg_status xg_canonicalise_with(xg_arena *a, xg_graph **g, xg_canonical_options *o);

/* The same without the passes that are not exact. */
XG_MUST_USE xg_status xg_canonicalise_exact(xg_arena *a, xg_graph **g);

/* Ranges of f32 tensors by name, text form `range "tensor" min=0x.. max=0x..`, followed by
 * `least=0x.. most=0x..` where those differ. */
typedef struct xg_range {
    const char *tensor;
    float min, max;    /* what 8 bits cover, by the method chosen */
    float least, most; /* all values seen: what 16 bits cover */
} xg_range;
typedef struct xg_calibration {
    XG_VEC(xg_range) range;
    uint32_t
        equalised; /* tensors that cross-layer equalisation had rescaled in the graph measured */
} xg_calibration;
/* Runs the float interpreter on each input set and keeps minimum and maximum of every tensor. */
XG_MUST_USE xg_status xg_calibrate(xg_arena *a, const xg_graph *g, xg_values *const *inputs,
                                   uint32_t n, xg_calibration *out);
void xg_calibration_print(const xg_calibration *k, xg_buf *out);
XG_MUST_USE xg_status xg_calibration_parse(xg_arena *a, const char *path, const char *text,
                                           size_t n, xg_calibration *out);
/* ---- the quantiser's choices ---- */

/* Which range of a tensor's values is covered; the rest saturates (histogram.c). */
typedef enum xg_calib_method {
    XG_CALIB_AUTO, /* MSE */
    XG_CALIB_MINMAX,
    XG_CALIB_PERCENTILE, /* at most 1 - percentile / 100 of the values beyond each end */
    XG_CALIB_ENTROPY,    /* least Kullback-Leibler divergence of the histograms before and after */
    XG_CALIB_MSE /* least squared error; picks the exponent on machines with powers of two */
} xg_calib_method;
/* AUTO: equalisation for records with one weight scale a tensor, bias correction wherever there are
 * samples. */
typedef enum xg_switch { XG_AUTO, XG_ON, XG_OFF } xg_switch;
/* Of equalisation. */
static inline bool xg_switch_wants(xg_switch s, const xg_rqrec *r) {
    return s == XG_ON || (s == XG_AUTO && !r->per_channel);
}
typedef struct xg_quant_options {
    xg_calib_method method;
    double percentile; /* 0: 99.99 */
    xg_switch equalise, bias_correction;
    const char *const *keep_float; /* names of nodes (or of their ONNX nodes) that stay f32, on the
                                    * host; may have wildcards (* ? [..]) */
    uint32_t nkeep_float;
    const char *const *keep_int16; /* nodes that read and make 16-bit integers */
    uint32_t nkeep_int16;
} xg_quant_options;
/* "minmax", "percentile", "entropy", "mse"; false when unknown. */
bool xg_calib_method_parse(const char *s, xg_calib_method *out);
const char *xg_calib_method_name(xg_calib_method m);

struct xg_samples;
/* Ranges by a method from histograms of every set of inputs (XG_CALIB_AUTO: MSE): f32 tensors and
 * quantised ones (in real values) that are inputs or computed. divide: by tensor, NULL or a factor
 * a channel (last axis) that values are divided by first; may be NULL as a whole. Histograms are
 * integers: the result does not depend on the order of sets. */
XG_MUST_USE xg_status xg_calibrate_samples(xg_arena *a, const xg_graph *g, const xg_rqrec *record,
                                           const struct xg_samples *s, const xg_quant_options *o,
                                           const float *const *divide, xg_calibration *out);

/* ---- what it did ---- */

typedef struct xg_quant_row {
    const char *node;
    double sqnr_db; /* of the node's output against the graph before, on given inputs; NAN when not
                       measured */
    const char *op; /* NULL in rows of xg_quant_measure */
    bool known;     /* the graph before has a node of that name, which options may name */
    double own_db; /* the same when the node's inputs are exact but for their own rounding; NAN when
                      not measured */
    double most;   /* largest difference of an element, in real units */
    double effect; /* share of the noise of the output with the least cosine that the node brings;
                      NAN when not measured */
} xg_quant_row;
typedef struct xg_quant_output {
    const char *name;
    double sqnr_db, cosine, most; /* all samples together; most as in a row */
} xg_quant_output;
/* A tensor of the graph before whose channels the graph after holds divided (cross-layer
 * equalisation). */
typedef struct xg_quant_scaled {
    const char *tensor;
    const float *divide; /* [channels of the last axis] */
} xg_quant_scaled;
typedef struct xg_quant_report {
    bool measure;    /* set by the caller: fill the rows, which runs the interpreter twice */
    bool together;   /* set by the caller: xg_quant_compare() leaves own_db out */
    const char *how; /* "as the model states", "min-max", "re-quantised to powers of two" */
    XG_VEC(xg_quant_row) row;
    XG_VEC(xg_quant_output) output;
    XG_VEC(xg_quant_scaled) scaled;
    uint32_t equalised, corrected; /* tensors, biases */
} xg_quant_report;
/* Fills row (one for each integer node, in order) and output from at most `most` samples: `before`
 * runs under profile ort, `after` under the record. Tensors are matched by name. */
XG_MUST_USE xg_status xg_quant_compare(xg_arena *a, const xg_graph *before, const xg_graph *after,
                                       const xg_rqrec *record, const struct xg_samples *s,
                                       uint64_t most, xg_quant_report *report);

/* How many images have the largest element of the first output at their label (integers, one an
 * image). */
XG_MUST_USE xg_status xg_quant_accuracy(xg_arena *a, const xg_graph *g, const xg_rqrec *record,
                                        const struct xg_samples *s, const xg_array *labels,
                                        uint64_t *right);

/* Replaces the weights of float Conv nodes whose weights are all equal (models that are topology
 * only) by seeded uniform ones of variance 2 / fan-in, and their biases by small ones. Returns the
 * number of nodes changed. */
uint32_t xg_random_weights(xg_graph *g, uint64_t seed);

/* Float operators -> integer operators, min-max ranges from the calibration; what cannot be
 * (softmax ...) stays f32 between Dequantize and Quantize. symmetric/pow2/per-channel as the record
 * asks. */
XG_MUST_USE xg_status xg_quantise(xg_arena *a, xg_graph **g, const xg_calibration *k,
                                  const xg_rqrec *record, xg_quant_report *report);
/* The same with choices; o, s, map may be NULL. Ranges come from k. With samples: bias correction
 * when o asks for it. map: how the two graphs belong together, for export; its graph `to` is not
 * compacted. */
typedef struct xg_quant_map {
    const xg_graph *from, *to;
    uint32_t *tensor; /* [from's tensors]: integer twin in `to` (the widest), or XG_NONE */
    uint32_t
        *narrow; /* [from's tensors]: of a tensor in 16 bits the twin in 8 bits, too, or XG_NONE */
    uint32_t *node; /* [from's nodes]: integer node in `to`, or XG_NONE */
} xg_quant_map;
XG_MUST_USE xg_status xg_quantise_with(xg_arena *a, xg_graph **g, const xg_calibration *k,
                                       const xg_rqrec *record, const xg_quant_options *o,
                                       const struct xg_samples *s, xg_quant_map *map,
                                       xg_quant_report *report);
/* What each integer node's own rounding (of what it reads, its weights, and of its result where f32
 * readers see it) costs the outputs: (*noise)[node of map->from * outputs + output] is tan^2 of the
 * angle between the output with everything else exact and the exact one, 0 for nodes that stay f32.
 * Noise of many nodes adds up: an output's cosine is about 1 / sqrt(1 + sum). From at most `most`
 * samples, fewer for large graphs. centred: biases are corrected. */
XG_MUST_USE xg_status xg_quant_effects(xg_arena *a, const xg_quant_map *map,
                                       const struct xg_samples *s, uint64_t most, bool centred,
                                       double **noise);

/* Nodes with noise, in the order in which making them exact brings every output's sum down to
 * `most` fastest. *enough: how many of them do that, by the sums. Returns the number in *order. */
uint32_t xg_quant_order(xg_arena *a, const double *noise, uint32_t nodes, uint32_t outputs,
                        double most, uint32_t **order, uint32_t *enough);

/* Cross-layer equalisation of a float graph: channels between convolutions are rescaled, weights
 * before and after to match, so that one scale a tensor suits all channels; the function stays the
 * same up to float rounding. Upper bounds of Clips limit it by what the samples reach; without
 * samples such tensors are left alone. Returns in *changed the number of tensors rescaled. */
XG_MUST_USE xg_status xg_equalise(xg_arena *a, xg_graph **g, const struct xg_samples *s,
                                  uint32_t *changed);

/* Makes an integer graph fit a machine's record: when the record cannot express zero points,
 * per-channel scales or scales that are no powers of two, weights are re-quantised from their
 * dequantised values and activations from their own ranges; else the graph is left alone. The
 * report says which. */
XG_MUST_USE xg_status xg_target_quantise(xg_arena *a, xg_graph **g, const xg_rqrec *record,
                                         xg_quant_report *report);
/* The same with choices and samples (either may be NULL). With samples ranges come from them, and
 * equalisation and bias correction are possible. */
XG_MUST_USE xg_status xg_target_quantise_with(xg_arena *a, xg_graph **g, const xg_rqrec *record,
                                              const xg_quant_options *o, const struct xg_samples *s,
                                              xg_quant_report *report);
/* True when the graph still has f32 Conv/MatMul/.. operators that calibration would turn into
 * integers. */
bool xg_graph_is_float(const xg_graph *g);

/* The whole front half: file (.onnx or .xg) -> graph for this record, in the order that compile
 * uses. calibration may be NULL (then a float model is refused by name). */
typedef struct xg_front_options {
    xg_import_options import;
    const char *calibration_path; /* text table, or NULL */
    const char
        *calib_inputs;   /* path of arrays or images (samples.h), or "random" / "random:SEED" */
    bool weights_random; /* replace constant-valued weights by seeded random ones (topology-only
                            models) */
    xg_quant_options quant;
    const struct xg_image_options
        *images;                   /* how calib_inputs' pictures become numbers; may be NULL */
    const char *const *input_type; /* "NAME=i8" or "NAME=u8": what an f32 input of an integer export
                                      holds; without, calib_inputs tell */
    uint32_t ninput_type;
    int64_t kernel_max, stride_max; /* of the machine's convolutions; 0: not known */
    bool as_it_is; /* stop at the canonical graph: float stays float, nothing is fitted */
    xg_dump_fn dump;
    void *dump_arg;
} xg_front_options;
XG_MUST_USE xg_status xg_front(xg_arena *a, const char *path, const xg_front_options *o,
                               const xg_rqrec *record, xg_graph **out, xg_quant_report *report);

/* Its first step: the file as it is. */
XG_MUST_USE xg_status xg_front_read(xg_arena *a, const char *path, const xg_import_options *o,
                                    xg_graph **out);

/* The same, with what came by on the way. */
typedef struct xg_front_result {
    xg_graph *graph;   /* as xg_front's */
    xg_graph *before;  /* canonical, equalised when that was done; before any quantisation by xgc */
    bool was_float;    /* then map and ranges are set */
    bool approximated; /* `before` is not exactly the file's: xg_canonicalise_exact() of that is */
    xg_quant_map map;  /* from == before */
    xg_calibration ranges;
    struct xg_samples *samples; /* of calib_inputs, or NULL */
} xg_front_result;
XG_MUST_USE xg_status xg_front_full(xg_arena *a, const char *path, const xg_front_options *o,
                                    const xg_rqrec *record, xg_front_result *out,
                                    xg_quant_report *report);
/* The same float model with other nodes kept wide: import, equalisation and ranges are those of
 * `first`, which must outlive what comes out. */
XG_MUST_USE xg_status xg_front_again(xg_arena *a, const xg_front_options *o, const xg_rqrec *record,
                                     const xg_front_result *first, xg_front_result *out,
                                     xg_quant_report *report);

/* Writes what xg_quantise_with() made of a float graph as a QDQ ONNX model (opset 13; 21 when
 * activations are held in 16 bits): float
 * operators between QuantizeLinear and DequantizeLinear, weights and biases as integers. type: of
 * activations, XG_I8 or XG_U8. */
XG_MUST_USE xg_status xg_export_qdq(xg_ctx *c, const xg_quant_map *map, xg_dtype type, xg_buf *out);
/* Writes an integer graph as an ONNX QOperator model (s8 x s8, opset 13 + com.microsoft), for an
 * outside runtime; all_outputs: every intermediate integer tensor becomes a graph output. */
XG_MUST_USE xg_status xg_export_qoperator(xg_ctx *c, const xg_graph *g, bool all_outputs,
                                          xg_buf *out);

#endif
