/* A quantisation plan: a graph of integer operators whose activations have no scale yet, with what
 * is known about them in real numbers, and the machine's record; out come scales, integer weights,
 * biases, tables and clamps.
 *
 * Two front ends make plans: quantise.c from a float graph and a calibration, target_quantise.c
 * from an integer graph whose numbers a machine cannot express. What they share is here, so that
 * both obey the same rules:
 *  - tensors that must share a scale are in one class (union-find); a class covers the union of its
 * members' ranges;
 *  - a class's scale is the finest that covers its range; where the record cannot express a node
 * with it, scales are only ever made coarser (doubled), never finer, so that nothing saturates that
 * the range covers;
 *  - weights are symmetric; their scales, too, are only made coarser;
 *  - nodes that touch 16-bit tensors are the host's (kernel_wide.c): the record does not bind them;
 *    a Conv that reads 16 bits has weights of 16 bits.
 * The page is QUANTISE.md. Internal to xgraph/.
 */
#ifndef XG_QUANTISE_PLAN_H
#define XG_QUANTISE_PLAN_H

#include "base/fixed.h"
#include "xgraph/xgraph.h"

typedef struct xg_qtensor {
    bool active;           /* the plan gives this tensor its quant */
    bool wide;             /* in 16 bits, without zero point; the same in a whole class */
    uint32_t up;           /* union-find: the parent; a class is known by its root */
    float min, max;        /* root: real range to cover; min > max: nothing known */
    const xg_quant *fixed; /* root: the quant that this class must have, or NULL */
    const float *value;    /* real values of an active constant, dense; NULL for activations */
    float scale;           /* root: the answer */
    int32_t zp;
} xg_qtensor;

typedef struct xg_qnode {
    bool clamp; /* results are limited to [lo, hi], real values */
    float lo, hi;
    const float *w; /* Conv to be re-quantised: real weights [O, kh, kw, I/group], else NULL */
    const float *b; /* its real bias [O], or NULL */
    float *wscale;  /* [nw], made by the solver */
    uint32_t nw;    /* O or 1 */
    bool wide;      /* weights in 16 bits: what the Conv reads has 16 bits */
    bool pad;       /* Pad: fill holds the real value of its border */
    float fill;
    const xg_node *unary; /* Lut: the float operator it stands for, or NULL */
    const xg_tensor *old_x, *old_y,
        *old_table; /* Lut: the table it stood for under old quants, or NULL */
} xg_qnode;

typedef struct xg_qplan {
    xg_ctx *ctx;
    xg_arena *arena; /* the graph's */
    xg_graph *g;
    const xg_rqrec *record;
    XG_VEC(xg_qtensor) tensor; /* dense as g's, grown by xg_qplan_tensor */
    XG_VEC(xg_qnode) node;
} xg_qplan;

void xg_qplan_init(xg_qplan *p, xg_graph *g, const xg_rqrec *record);
/* The entry of a tensor or node of p->g; valid until the next call. */
xg_qtensor *xg_qplan_tensor(xg_qplan *p, uint32_t t);
xg_qnode *xg_qplan_node(xg_qplan *p, uint32_t n);
/* Root of the tensor's class. */
uint32_t xg_qplan_root(xg_qplan *p, uint32_t t);
/* Makes two classes one. Two different fixed quants stay apart; returns false then. */
bool xg_qplan_tie(xg_qplan *p, uint32_t a, uint32_t b);
/* The class must cover [min, max]. */
void xg_qplan_cover(xg_qplan *p, uint32_t t, float min, float max);

/* Ties by the graph's operators, then scales for all classes and weights. LIMIT when the record
 * cannot express a node however coarse its scales are; INPUT when an active tensor has no range. */
XG_MUST_USE xg_status xg_qplan_solve(xg_qplan *p);
/* Writes quants, constants, tables and clamps into p->g. */
XG_MUST_USE xg_status xg_qplan_write(xg_qplan *p);

/* The scale and zero point that the record's rules give a range (zero is always inside). */
void xg_qrange(const xg_rqrec *r, float min, float max, float *scale, int32_t *zp);
/* Of a 16-bit tensor: max(|min|, |max|) / 32767. */
float xg_qrange_wide(float min, float max);
/* Finest symmetric scale that covers n weights. Powers of two: the covering exponent, or one less
 * when its squared error is smaller. 0 when all weights are zero. */
float xg_qweight_scale(const xg_rqrec *r, const float *w, int64_t n);

struct xg_quant_report;
/* SQNR of each node of `after` against the tensor of the same name in `before`, on one seeded
 * random input, both in the interpreter (`before` under profile ort, `after` under the record).
 * Appends rows to the report. */
XG_MUST_USE xg_status xg_quant_measure(xg_ctx *c, const xg_graph *before, const xg_graph *after,
                                       const xg_rqrec *record, struct xg_quant_report *report);
/* Suffix of the integer twin of a graph output or input. */
#define XG_QSUFFIX   "/i8"
#define XG_QSUFFIX16 "/i16"

#endif
