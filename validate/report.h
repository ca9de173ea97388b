/* A program -> what it costs: cycles, bounds, traffic, where the time goes; with labels, its
 * accuracy.
 *
 * Cycles come from the cycle simulator; MACs, DDR bytes and memory peaks from walking the
 * instructions with the family's cost and access functions. Host steps are not timed: they are
 * listed. One operation = half a MAC (2 x MAC, as accelerators are advertised).
 */
#ifndef XG_REPORT_H
#define XG_REPORT_H

#include "validate/run.h"
#include "xgraph/scheme.h"

enum { XG_TIMELINE_BINS = 960 };

typedef struct xg_layer_row { /* one group */
    uint32_t group;
    const char *node, *onnx, *op; /* its nodes and operators, joined by '+'; without the model: the
                                     node of its last tensor, and no operator */
    uint64_t cycles;              /* booked to it (isa/book.h): the rows add up to all cycles */
    uint64_t predicted;           /* the same by the cost model; 0: not known */
    uint64_t macs, instructions;  /* macs: the network's, see xg_report */
    uint64_t weights_bytes, in_bytes, out_bytes; /* DDR traffic */
    uint64_t busy[XG_ENGINES_MAX];               /* summed over the cores */
} xg_layer_row;

typedef struct xg_report_memory {
    const char *name;
    uint64_t used, words,
        word_bytes; /* highest word used in any bank of any core; words in a bank */
    uint32_t banks;
} xg_report_memory;

typedef struct xg_report_host {
    uint32_t step;
    const char *node, *op, *reason; /* reason "" when not known */
} xg_report_host;

typedef struct xg_accuracy {
    uint64_t images, right;   /* of the simulated program */
    uint64_t reference_right; /* of the interpreter; meaningful when has_reference */
    uint64_t float_right;     /* of the float model; meaningful when has_float */
    uint64_t disagree; /* images whose output differs between program and interpreter in any bit */
    bool has_reference, has_float;
} xg_accuracy;

typedef struct xg_report_span { /* one instruction */
    uint64_t start, end;        /* cycles from the program's begin */
    uint32_t core, inst;        /* index in the core's stream */
    uint32_t segment;
    uint32_t layer; /* row of xg_report.layer, XG_NONE: none of them */
    uint8_t op;
} xg_report_span;

typedef struct xg_report {
    const xg_machine *machine;
    const char *model, *strategy, *solver_note;
    uint64_t images; /* in one batch */
    uint64_t cycles, compute_bound,
        ddr_bound; /* bounds: all MACs at peak; all DDR payload at the DDR's rate */
    /* The same MACs when CONV engines never wait, with rows filled up to row groups and channels to
     * words and blocks, shared evenly by the cores; 0: the graph is not known. */
    uint64_t array_fit;
    uint64_t predicted; /* cycles by the cost model, the sum of the layers'; 0: not known */
    /* Multiply-accumulates of the network when its graph is known (macs_exact), else those of the
     * instructions, which count the unused bytes of channel words too. */
    uint64_t macs, instructions;
    bool macs_exact;
    /* The roofline: the slower of all MACs on the full array (compute_bound), and of constants,
     * inputs and outputs moved once at the DDR's rate. */
    uint64_t least_ddr_bytes, least_ddr_cycles;
    uint64_t weights_bytes, in_bytes, out_bytes, ddr_busy_cycles;
    double ms, images_per_s, tops, peak_tops;
    uint64_t region_bytes[XG_REGIONS];
    uint32_t ncore, nengine;
    xg_engine_time *engine; /* [ncore][nengine]; but for instructions, each adds up to cycles */
    XG_VEC(xg_report_memory) memory;
    XG_VEC(xg_layer_row) layer; /* in the order of finishing */
    XG_VEC(xg_report_host) host;
    const char *quantised; /* how, or "" */
    XG_VEC(xg_quant_row) sqnr;
    xg_scheme scheme; /* stated NULL: nothing to say */
    bool has_accuracy;
    xg_accuracy accuracy;
    XG_VEC(xg_report_span) span; /* when asked for */
    float *timeline; /* [ncore][nengine][XG_TIMELINE_BINS] share of the bin in which the engine
                        worked */
} xg_report;

/* A group of the selection, for names, reasons and exact work. Its number is that of the program's
 * map. */
typedef struct xg_report_group {
    uint32_t nnode;
    const uint32_t *node;    /* of the graph, in order */
    const char *host_reason; /* NULL on the accelerator */
    uint64_t predicted;      /* cycles that the cost model books to it */
} xg_report_group;

typedef struct xg_report_options {
    const char *model; /* name to print */
    const xg_graph
        *graph; /* that was compiled; NULL: layers have no operators, the host no reasons */
    const xg_report_group *group; /* [ngroup] */
    uint32_t ngroup;
    const xg_quant_report *quant; /* NULL allowed */
    bool spans;                   /* keep the time of every instruction, for the trace */
    const xg_scheme *scheme;      /* NULL allowed */
} xg_report_options;

/* Times every accelerator step once, on zero inputs (timing does not depend on values). Cycles
 * below a bound are a defect of the simulator: INTERNAL. */
XG_MUST_USE xg_status xg_report_make(xg_arena *a, const xg_machine *m, const xg_program *p,
                                     const xg_report_options *o, xg_report *out);
/* Runs all images of `input` (dense, first dimension = images) and compares the first output's
 * largest element with labels (integers, one an image). reference and float_model may be NULL. */
XG_MUST_USE xg_status xg_report_accuracy(
    xg_arena *a, const xg_machine *m, const xg_program *p, const xg_graph *reference,
    const xg_graph *float_model, const xg_array *input, uint32_t ninput, const xg_array *labels,
    void (*progress)(void *arg, const char *what, double share), void *progress_arg,
    xg_accuracy *out);

void xg_report_print_text(const xg_report *r, bool verbose, xg_buf *out);
void xg_report_print_json(const xg_report *r, xg_buf *out);
void xg_report_print_csv(const xg_report *r, xg_buf *out);
void xg_report_print_svg(const xg_report *r, xg_buf *out); /* engines over time */
/* Every instruction's time as JSON in the Trace Event Format, which chrome://tracing and Perfetto
 * draw: a process a core, a thread an engine. Needs spans. */
void xg_report_print_trace(const xg_report *r, xg_buf *out);

#endif
