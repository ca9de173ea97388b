/* libxgc: compile neural networks for accelerators with their own instruction set, run and check
 * the binaries.
 *
 * Everything that the command `xgc` does is here. The library prints nothing, exits never, keeps no
 * globals and reads no clock: the same inputs give the same bytes.
 *
 *   xgc *x = xgc_new();
 *   xgc_machine *m;  xgc_model *g;  xgc_binary *b;  xgc_blob bytes;
 *   if (xgc_machine_load(x, "zu9", NULL, &m) == XGC_OK &&
 *       xgc_model_load(x, "model.onnx", m, NULL, &g) == XGC_OK &&
 *       xgc_compile(x, g, NULL, &b) == XGC_OK &&
 *       xgc_binary_print(x, b, "xgb", &bytes) == XGC_OK) {
 *       if (xgc_write_file(x, "model.xgb", bytes.data, bytes.size) == XGC_OK) ...
 *       xgc_blob_free(&bytes);
 *   }
 *   for (size_t i = 0; i < xgc_message_count(x); i++) puts(xgc_message_at(x, i).text);
 *   xgc_free(x);
 *
 * Rules for all functions
 * - A function that can fail returns an xgc_status and, unless it is XGC_OK, leaves at least one
 * message in the context (XGC_NOMEM leaves none) and sets its result pointer to NULL.
 * - Handles belong to the context: xgc_free() frees all of them; each can be freed earlier with its
 * own function, in any order that respects this: a model uses its machine; a binary uses its
 * machine and, when compiled here, its model; a result of xgc_report() uses its binary; other
 * results use nothing.
 * - Option structs: all zero means the defaults; NULL is allowed in their place.
 * - Strings given are copied or used only during the call. Strings returned live as long as the
 * handle asked.
 * - A context and its handles may be used by one thread at a time; different contexts are
 * independent.
 */
#ifndef XGC_H
#define XGC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define XGC_API     __attribute__((visibility("default")))
#define XGC_CHECKED __attribute__((visibility("default"), warn_unused_result))
#else
#define XGC_API
#define XGC_CHECKED
#endif

typedef enum xgc_status {
    XGC_OK,
    XGC_INPUT,       /* an input is damaged or contradicts itself */
    XGC_UNSUPPORTED, /* an input asks for something that is not supported */
    XGC_LIMIT,       /* a limit of the machine or of a format is exceeded */
    XGC_IO,          /* the operating system refused a file operation */
    XGC_MISMATCH,    /* a comparison found a difference */
    XGC_USAGE,       /* an option has an impossible value */
    XGC_NOMEM,       /* out of memory */
    XGC_INTERNAL     /* a defect in xgc itself */
} xgc_status;

typedef struct xgc xgc;                 /* context: messages and memory */
typedef struct xgc_machine xgc_machine; /* an accelerator, with its instruction encoding */
typedef struct xgc_model xgc_model;     /* a network, canonical and quantised for one machine */
typedef struct xgc_binary xgc_binary;   /* a compiled program */
typedef struct xgc_result xgc_result;   /* what run, check, report and diff found */

/* ---- context and messages
 * --------------------------------------------------------------------------------- */

/* NULL when there is no memory. */
XGC_API xgc *xgc_new(void);
XGC_API void xgc_free(xgc *x); /* NULL is allowed, as in all functions that free */
XGC_API const char *xgc_version(void);
/* One sentence for a status. */
XGC_API const char *xgc_status_text(xgc_status s);

typedef enum xgc_level { XGC_NOTE, XGC_WARNING, XGC_ERROR } xgc_level;
typedef struct xgc_message {
    xgc_level level;
    const char *where; /* "file:line", a node's name, "core 0 offset 0x40", or "" */
    const char *text;  /* one line: what was found, what was expected, what would help */
} xgc_message;
XGC_API size_t xgc_message_count(const xgc *x);
/* The message is valid until xgc_clear_messages() or xgc_free(). i < xgc_message_count(). */
XGC_API xgc_message xgc_message_at(const xgc *x, size_t i);
XGC_API void xgc_clear_messages(xgc *x);
/* The files that were read so far (models and their external data, machines, encodings, patterns,
 * inputs), each once, for build tools. The path is as it was given, valid until xgc_free(); NULL:
 * no more. */
XGC_API const char *xgc_file_at(const xgc *x, size_t i);

/* Bytes that the caller owns; one NUL follows them. */
typedef struct xgc_blob {
    char *data;
    size_t size;
} xgc_blob;
XGC_API void xgc_blob_free(xgc_blob *b);
/* Writes a file whole or not at all: beside it first, then renamed over it. "-" = standard output.
 */
XGC_CHECKED xgc_status xgc_write_file(xgc *x, const char *path, const void *data, size_t size);

/* Called during long work with a share done in 0..1. */
typedef void (*xgc_progress)(void *arg, const char *what, double share);

/* ---- machines
 * ------------------------------------------------------------------------------------------------
 */

/* A shipped machine by its name, or a machine file by its path. encoding: path of an encoding file
 * that replaces the machine's own, or NULL. */
XGC_CHECKED xgc_status xgc_machine_load(xgc *x, const char *name_or_path, const char *encoding,
                                        xgc_machine **out);
XGC_API void xgc_machine_free(xgc_machine *m);
/* Names of the shipped machines; a NULL ends them. */
XGC_API const char *const *xgc_machine_names(void);

typedef struct xgc_machine_info {
    const char *name, *description, *family, *profile; /* profile: of requantisation */
    const char *file;                                  /* where it was read from, or "built-in" */
    uint32_t cores;
    double clock_hz;
    double peak_ops;        /* operations a second; one multiply-accumulate is two */
    double ddr_bytes_per_s; /* peak */
    uint64_t ddr_bytes;     /* size */
    uint64_t on_chip_bytes; /* of all memories of one core */
    const char *digest;     /* SHA-256 of all numbers of the machine, hexadecimal */
} xgc_machine_info;
XGC_API xgc_machine_info xgc_machine_describe(const xgc_machine *m);

/* The machine on paper. Forms: "md" (manual of its instruction set), "h" (C header), "sv"
 * (SystemVerilog package), "encoding" (encoding file), "machine" (machine file), "ops" and
 * "ops-json" (operators: where each one runs). */
XGC_CHECKED xgc_status xgc_machine_print(xgc *x, const xgc_machine *m, const char *form,
                                         xgc_blob *out);
/* "text" or "json": all operators of XGraph without a machine: integer or float only. */
XGC_CHECKED xgc_status xgc_operators(xgc *x, const char *form, xgc_blob *out);

/* ---- models
 * ---------------------------------------------------------------------------------------------------
 */

typedef struct xgc_model_options {
    const char *const *shape; /* "input=1x3x224x224", for symbolic dimensions */
    size_t nshape;
    const char *const
        *input_type; /* "input=i8" or "input=u8": what an f32 input of an integer
                        export holds; without, the example inputs or the layers tell */
    size_t ninput_type;
    const char *const *cut; /* tensors that become the outputs in place of the model's own; what
                               leads only elsewhere is left out */
    size_t ncut;
    int64_t batch;           /* for a symbolic first dimension; 0 = 1 */
    const char *calibration; /* inputs to quantise a float model with, or to fit a quantised one
                                to a machine: .npy, .npz, .pb, .raw, .png, .jpg, a folder of
                                them, "random" or "random:SEED" */
    const char *calibration_table;  /* ranges (text); wins over those of the inputs */
    const char *calibration_method; /* "mse" (default), "minmax", "percentile[:P]", "entropy" */
    const char *equalise; /* "on", "off"; NULL: on for machines with one weight scale a tensor */
    const char *bias_correction;   /* "on", "off"; NULL: on where there are inputs */
    const char *const *keep_float; /* nodes of a float model that stay f32, on the host; names may
                                      have wildcards: * ? [a-z] */
    size_t nkeep_float;
    const char *const *keep_int16; /* nodes that read and make 16-bit activations, on the host */
    size_t nkeep_int16;
    const char *image_mean, *image_std; /* of pictures' values 0..255: one number or one a channel,
                                           "123.7,116.3,103.5"; without: values / 255 */
    bool image_crop, image_bgr;         /* cut the middle instead of stretching; blue first */
    bool random_weights;                /* replace constant-valued weights by seeded random ones */
    bool no_external_data;              /* refuse weights outside the model file */
    const char *difference; /* a quantised model whose requantisation is not the machine's is run
                               both ways and compared: "always", "never", "cheap" (default: up to
                               4 10^8 multiply-accumulates) */
    const char *recorded;   /* xgc_binary_info.options: gives those of the above that are not set */
} xgc_model_options;
/* Reads .onnx or .xg, brings it to canonical form and quantises it for the machine. All unsupported
 * operators are listed at once, a message each. */
XGC_CHECKED xgc_status xgc_model_load(xgc *x, const char *path, const xgc_machine *m,
                                      const xgc_model_options *o, xgc_model **out);
XGC_API void xgc_model_free(xgc_model *g);
/* "xg" (protobuf, with weights), "text" (structure), "text-data" (with weights), "qoperator" (an
 * ONNX QOperator model with all intermediates as outputs, for another runtime), "difference" (one
 * line: how far the machine's arithmetic is from what a quantised model states; empty when it is
 * the same). */
XGC_CHECKED xgc_status xgc_model_print(xgc *x, const xgc_model *g, const char *form, xgc_blob *out);
/* The fusion patterns: the shipped library (path NULL) or a file; with a model (or NULL) how often
 * each matches on its machine. "text", "json". */
XGC_CHECKED xgc_status xgc_patterns(xgc *x, const char *path, const xgc_model *g, const char *form,
                                    xgc_blob *out);

typedef struct xgc_quantize_options {
    const char *name;        /* of the model, to print */
    const char *profile;     /* arithmetic to quantise for when there is no machine: "ort" ... */
    const char *input;       /* with labels: inputs, as for calibration; first dimension counts */
    const char *labels;      /* integers, one an image (.npy, .npz) */
    const char *activations; /* type in the QDQ model: "int8" (default) or "uint8" */
    uint64_t samples;        /* sets of inputs that are compared; 0 = 16 */
    double min_cosine; /* not 0: layers that lose most are held in 16 bits until no output's cosine
                          is below it (a float model) */
    xgc_progress progress;
    void *progress_arg;
} xgc_quantize_options;
/* Quantises a model for a machine's arithmetic (m NULL: for the profile) and compares it with what
 * it was before. model->calibration is needed. Result: "text", "json", "onnx" (QDQ; of a float
 * model), "xg" and "xg-text" (the quantised graph), "table" (ranges; of a float model). */
XGC_CHECKED xgc_status xgc_quantize(xgc *x, const char *path, const xgc_machine *m,
                                    const xgc_model_options *model, const xgc_quantize_options *o,
                                    xgc_result **out);

/* ---- binaries
 * --------------------------------------------------------------------------------------------------
 */

typedef struct xgc_compile_options {
    const char *strategy;  /* "ilp", "path", "greedy", "layer"; NULL = "ilp" */
    const char *selection; /* path of a .sel file to use instead of choosing */
    const char *patterns;  /* path of a pattern file; NULL: the shipped library */
    bool keep_ilp;         /* keep the 0-1 program of "ilp", to print as "lp" */
} xgc_compile_options;
/* The program has passed the static checker when this succeeds. */
XGC_CHECKED xgc_status xgc_compile(xgc *x, const xgc_model *g, const xgc_compile_options *o,
                                   xgc_binary **out);
/* Reads an .xgb file. m = NULL: for the shipped machine that it names. Damaged files and those of
 * another machine, encoding or format version are refused. */
XGC_CHECKED xgc_status xgc_binary_load(xgc *x, const char *path, const xgc_machine *m,
                                       xgc_binary **out);
/* Assembles an .xs file ("-" = standard input). */
XGC_CHECKED xgc_status xgc_assemble(xgc *x, const char *path, const xgc_machine *m,
                                    xgc_binary **out);
XGC_API void xgc_binary_free(xgc_binary *b);

typedef struct xgc_binary_info {
    const char *machine, *strategy, *options, *input_digest, *tool_version;
    uint64_t instructions, constant_bytes, ddr_bytes;
    uint32_t groups, segments, tensors, host_nodes;
} xgc_binary_info;
XGC_API xgc_binary_info xgc_binary_describe(const xgc_binary *b);
/* "xgb" (the file), "xs" (assembly), "json" (summary); and, of a binary that xgc_compile() made,
 * "sel" and "plan"; with keep_ilp "lp" (the 0-1 program in CPLEX LP form). */
XGC_CHECKED xgc_status xgc_binary_print(xgc *x, const xgc_binary *b, const char *form,
                                        xgc_blob *out);

typedef struct xgc_explain_options {
    const char *node;     /* a node's or tensor's name: its candidate groups; or */
    const char *pair;     /* "A,B": why the two are in one group, or not; both NULL: all groups */
    const char *patterns; /* as in xgc_compile_options */
    bool json;            /* as JSON instead of text */
} xgc_explain_options;
/* Why the groups of a binary that xgc_compile() made (its model still alive) are as they are, as
 * text. INPUT for an unknown name, with near ones. */
XGC_CHECKED xgc_status xgc_explain(xgc *x, const xgc_binary *b, const xgc_explain_options *o,
                                   xgc_blob *out);

/* ---- running and judging
 * ------------------------------------------------------------------------------------------ */

typedef struct xgc_array {
    const char *name; /* tensor; NULL: by position */
    const char *type; /* "f32", "i8", "u8", "i16", "i32", "i64", "bool" */
    uint32_t rank;
    int64_t dim[8];
    const void *data; /* dense, row-major, host byte order */
} xgc_array;

typedef struct xgc_run_options {
    const char *input;      /* .npy, .npz or .pb file; or else */
    const xgc_array *array; /* arrays, one a model input; or else */
    size_t narray;
    const char *fill;   /* "random:SEED", "min", "max", "zero"; all three missing = "random" */
    uint64_t shuffle;   /* not 0: any legal engine order, by this seed */
    bool cycles;        /* in the cycle simulator */
    bool intermediates; /* of xgc_interpret(): every computed tensor is an output */
    xgc_progress progress;
    void *progress_arg;
} xgc_run_options;
/* Runs the binary on the simulator. An input whose first dimension is a multiple of the model's is
 * run in that many batches, and the outputs are joined again. Result: arrays, "text", "json". */
XGC_CHECKED xgc_status xgc_run(xgc *x, const xgc_binary *b, const xgc_run_options *o,
                               xgc_result **out);

/* Runs a model (.onnx, .xg) on the reference interpreter. With a machine: quantised for it, in its
 * arithmetic. Without: as the model states, float in float and integers as ONNX Runtime computes
 * them; with calibration quantised for that. Result as of xgc_run(). */
XGC_CHECKED xgc_status xgc_interpret(xgc *x, const char *path, const xgc_machine *m,
                                     const xgc_model_options *model, const xgc_run_options *o,
                                     xgc_result **out);

typedef struct xgc_check_options {
    const char *input; /* file of inputs; or else */
    const char *const
        *fill; /* "random:SEED", "min", "max", "zero"; none = random, min, max and zero */
    size_t nfill;
    uint64_t shuffle; /* seed of the shuffled engine order; 0 = 1 */
    bool thorough; /* shuffled order and cycle simulator for every input, not only for the first */
    bool functional; /* neither of them */
    xgc_progress progress;
    void *progress_arg;
} xgc_check_options;
/* Compares every tensor of the binary with the reference interpreter's, bit for bit. XGC_MISMATCH
 * when a check fails: *out is set then too. Result: "text", "text-verbose", "json", "junit", "tap".
 */
XGC_CHECKED xgc_status xgc_check(xgc *x, const xgc_model *g, const xgc_binary *b,
                                 const xgc_check_options *o, xgc_result **out);

typedef struct xgc_report_options {
    const char *name;        /* of the model, to print */
    const char *input;       /* with labels: images, first dimension counts them */
    const char *labels;      /* integers, one an image (.npy) */
    const char *float_model; /* .onnx file whose accuracy is wanted beside it */
    bool trace;              /* keep the time of every instruction, for the form "trace" */
    xgc_progress progress;
    void *progress_arg;
} xgc_report_options;
/* Cycles, bounds, traffic, layers. g may be NULL (no interpreter accuracy, no reasons of host
 * steps). Result: "text", "text-verbose", "json", "csv" (layers), "svg" (engines over time),
 * "trace" (JSON in the Trace Event Format). */
XGC_CHECKED xgc_status xgc_report(xgc *x, const xgc_model *g, const xgc_binary *b,
                                  const xgc_report_options *o, xgc_result **out);

/* Compares two binaries by meaning. XGC_MISMATCH when they differ: *out is set then too. Result:
 * "text", "json". */
XGC_CHECKED xgc_status xgc_diff(xgc *x, const xgc_binary *a, const xgc_binary *b, xgc_result **out);

XGC_CHECKED xgc_status xgc_result_print(xgc *x, const xgc_result *r, const char *form,
                                        xgc_blob *out);
/* Output array number i of a run; false when there is none. Valid while the result lives. */
XGC_API bool xgc_result_array(const xgc_result *r, size_t i, xgc_array *out);
/* Writes output array number i as .npy. */
XGC_CHECKED xgc_status xgc_result_write_npy(xgc *x, const xgc_result *r, size_t i,
                                            const char *path);
XGC_API void xgc_result_free(xgc_result *r);

#ifdef __cplusplus
}
#endif

#endif
