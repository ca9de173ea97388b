/* A graph and a program -> the verdict: does the program compute what the graph says, bit for bit?
 *
 * Reference: the interpreter over the canonical graph. Subject: the program in the functional
 * simulator. Every piece of every tensor that the program makes is compared the moment it is final,
 * in DDR or on chip, at the place that the program's map gives. Then the same program runs in a
 * shuffled engine order and in the cycle simulator, and all memories must agree. A difference is
 * repaired with the reference's values after it was recorded, so that what follows is judged on
 * right inputs: each group that differs is at fault by itself.
 */
#ifndef XG_CHECK_H
#define XG_CHECK_H

#include "validate/run.h"

enum { XG_DIVERGENCES_MAX = 32 };

typedef struct xg_check_case { /* one line of a test report */
    const char *name;
    bool ok;
    const char *message; /* why not; NULL when ok */
} xg_check_case;

typedef struct xg_divergence {
    const char *input;                /* which input set */
    const char *tensor, *tensor_onnx; /* ONNX name or NULL */
    const char *node, *onnx;          /* XGraph node, ONNX nodes or NULL */
    const char *where;                /* "on chip", "in DDR", "on the host" */
    uint32_t step, segment, core;
    bool has_map;  /* the fields up to c1 are set */
    uint32_t flat; /* not 0: h0 .. w1 count in rows of so many pixels (xg_map_row) */
    uint32_t group, tile, h0, h1, w0, w1, c0, c1;
    uint32_t n, h, w, c;   /* first wrong element */
    int64_t expected, got; /* integers; for f32 the bits */
    bool is_f32;
    uint64_t wrong, of; /* elements of the piece */
    bool has_inst;
    uint32_t inst;        /* number in the core's stream */
    uint64_t inst_offset; /* bytes in the stream */
    const char *inst_text;
    const char *verdict;
} xg_divergence;

typedef struct xg_check_result {
    const char *machine, *strategy;
    const char *scheme; /* how far the reference is from what the model states; or NULL */
    bool equal;         /* no case failed */
    XG_VEC(xg_check_case) cases;
    XG_VEC(xg_divergence) divergence; /* first one of each group, in program order */
    uint32_t groups, groups_wrong;
    uint32_t input_sets;
    /* of one input set */
    uint32_t tensors, tensors_complete,
        tensors_chip; /* in the program; compared in every element; of those, on chip only */
    uint64_t elements;
    uint64_t instructions;
    XG_VEC(const char *) incomplete; /* tensors of which some element was never compared */
} xg_check_result;

typedef void (*xg_progress)(void *arg, const char *what, double share);

typedef struct xg_check_options {
    const xg_array *input; /* inputs given by the user; 0: fills */
    uint32_t ninput;
    const char *const
        *fill; /* "random", "random:SEED", "min", "max", "zero"; 0: random, min, max, zero */
    uint32_t nfill;
    uint64_t seed; /* of the shuffled order; 0 = 1 */
    bool
        thorough; /* shuffled order and cycle simulator on every input set, not only on the first */
    bool functional; /* neither */
    xg_progress progress;
    void *progress_arg;
} xg_check_options;

/* Returns OK when the check could be made: the verdict is out->equal. INPUT when program and graph
 * are not of the same model. All text in the result lives in a. */
XG_MUST_USE xg_status xg_check(xg_arena *a, const xg_machine *m, const xg_graph *reference,
                               const xg_program *p, const xg_check_options *o,
                               xg_check_result *out);

void xg_check_print_text(const xg_check_result *r, bool verbose, xg_buf *out);
void xg_check_print_json(const xg_check_result *r, xg_buf *out);
void xg_check_print_junit(const xg_check_result *r, xg_buf *out);
void xg_check_print_tap(const xg_check_result *r, xg_buf *out);

#endif
