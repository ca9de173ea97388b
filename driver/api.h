/* What the sources of the library share: the handles' insides and how a call is guarded.
 *
 * Every public function that allocates runs its body under xg_ctx_run(), so that running out of
 * memory comes back as XGC_NOMEM. A handle has an arena of its own; when its body fails, the guard
 * frees the arena.
 */
#ifndef XGC_INNER_H
#define XGC_INNER_H

#include "driver/xgc.h"
#include "fusion/select.h"
#include "layout/plan.h"
#include "validate/check.h"
#include "validate/diff.h"
#include "validate/report.h"
#include "xgraph/import.h"
#include "xgraph/samples.h"
#include "xgraph/scheme.h"

struct xgc {
    xg_ctx *ctx;
};

struct xgc_machine {
    xg_arena *arena;
    xg_machine *m;
};

struct xgc_model {
    xg_arena *arena;
    const xgc_machine *machine;
    xg_graph *graph;
    xg_quant_report quant;
    xg_scheme scheme;
    const char *options; /* recorded in binaries, see xgc_model_options.recorded */
    const char *input_digest;
};

struct xgc_binary {
    xg_arena *arena;
    const xg_machine *machine;
    xg_program *program;
    xg_selection *selection; /* of xgc_compile(); else NULL */
    xg_plan *plan;
    xg_buf lp; /* the 0-1 program, when it was asked for */
};

typedef enum result_kind {
    RESULT_RUN,
    RESULT_CHECK,
    RESULT_REPORT,
    RESULT_DIFF,
    RESULT_QUANTIZE
} result_kind;

typedef struct run_result {
    const char *machine; /* or what else computed it */
    bool interpreted;
    XG_VEC(xg_array) output;
    uint64_t batches, images; /* images in all of them */
    bool timed;
    uint64_t cycles;
    double ms;
} run_result;

/* Outputs below this cosine get a search for the layers that cost them most. */
#define XG_LOW_COSINE 0.99

typedef struct quantize_result {
    const char *name, *target; /* model; machine or profile */
    xg_rqrec record;
    xg_front_result front;
    xg_quant_report report;
    xg_dtype activations;       /* in the QDQ model */
    uint64_t compared;          /* sets */
    double *noise;              /* xg_quant_effects(), or NULL: nothing was short of its goal */
    const char *const *widened; /* layers held in 16 bits for the sake of min_cosine */
    uint32_t nwidened;
    uint64_t images, right_before, right_after; /* images 0: no labels */
} quantize_result;

struct xgc_result {
    xg_arena *arena;
    result_kind kind;
    run_result run;
    xg_check_result check;
    xg_report report;
    xg_diff diff;
    quantize_result quantize;
};

/* Runs fn(arg), where arg starts with the arena that fn fills in (struct guarded); frees the arena
 * on failure. */
typedef struct guarded {
    xg_arena *arena;
    bool keep; /* the arena survives success */
} guarded;
xgc_status xgc_guard(xgc *x, xg_status (*fn)(void *arg), guarded *arg);
/* As above, for functions that print: the text that fn leaves in buf becomes *out. */
typedef struct printing {
    guarded g;
    xgc *x;
    xg_status (*fn)(void *arg); /* takes this struct */
    const void *what;
    const char *form;
    xg_buf buf;
    char *taken; /* buf's bytes, out of the arena */
} printing;
xgc_status xgc_print_guard(xgc *x, xg_status (*fn)(void *arg), const void *what, const char *form,
                           xgc_blob *out);
/* One body for the functions whose answer is an xgc_result (api_result.c). */
typedef struct judging {
    guarded g;
    xgc *x;
    const xgc_model *model;
    const xgc_binary *b, *other;
    const void *o;
    xgc_result *r;
} judging;
/* The result of k, in an arena of its own. */
xgc_result *xgc_new_result(judging *k, result_kind kind);
/* Runs body(k); *out is set when it succeeds or finds a difference. */
xgc_status xgc_judge(xgc *x, xg_status (*body)(void *arg), judging *k, xgc_result **out);
/* A USAGE error that lists the forms there are. */
xg_status xgc_bad_form(xg_ctx *c, const char *form, const char *known);

/* front_options.c: the public options as xgraph's. USAGE names an option with an impossible value.
 * The result points to o's texts and to *images. */
xg_status xgc_front_options(xg_ctx *c, const xgc_model_options *o, const xgc_machine *m,
                            xg_image_options *images, xg_front_options *f);
/* quantize_print.c: forms "text", "json", "onnx", "xg", "table". */
xg_status xgc_print_quantize(xg_ctx *c, const quantize_result *r, const char *form, xg_buf *out);

/* operators.c: the table of operators, with a column for m when it is not NULL. */
void xgc_print_operators(xg_arena *a, const xg_machine *m, bool json, xg_buf *out);
/* printing of a run's result (result_print.c) */
void xgc_print_run(const run_result *r, bool json, xg_buf *out);

#endif
