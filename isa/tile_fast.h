/* Vector forms of the tile family's arithmetic: what isa/datapath.c computes for one value, for
 * many at a time (formulas: isa/DATAPATH.md). They share no arithmetic with xgraph/ and
 * base/fixed.c.
 *
 * A vector form takes an instruction only when it can show that its narrower words suffice;
 * otherwise the scalar form runs. Both give the same bytes, at every xg_cpu level. Internal to
 * isa/.
 */
#ifndef XG_TILE_FAST_H
#define XG_TILE_FAST_H

#include "base/cpu.h"
#include "isa/datapath.h"
#include "isa/tile_operands.h"

enum {
    XG_TILE_BLOCK = 256, /* channels whose constants are prepared at once */
    XG_TILE_BATCH = 32,  /* pixels of a CONV whose accumulators are kept */
    XG_TILE_SUMS = 1024  /* pixels of a CONV whose input sums are kept for the next ones */
};

/* Which of the bits behind the point let the incrementer count up; 0 or all ones. Up for a value v
 * with guard bit G, sticky bits S, lowest kept bit L, sign N:
 *   G & (always | sticky & S | odd & L | positive & ~N)  |  N & negative & (G | S) */
typedef struct xg_tile_round {
    int32_t always, sticky, odd, positive, negative;
} xg_tile_round;

typedef enum xg_tile_how { XG_TILE_F32, XG_TILE_SHIFT, XG_TILE_MUL, XG_TILE_MUL2 } xg_tile_how;

/* Requantisation of up to XG_TILE_BLOCK channels. A shifter stage by n has kept = v >> n, guard =
 * (v >> g) & gm, sticky = (v & sm) != 0. */
typedef struct xg_tile_rq {
    xg_tile_how how;
    xg_rounding mode; /* F32 */
    xg_tile_round round[2];
    int32_t zp, lo, hi;
    float m[XG_TILE_BLOCK];
    int32_t mult[XG_TILE_BLOCK];
    int32_t n32[XG_TILE_BLOCK], g32[XG_TILE_BLOCK], gm32[XG_TILE_BLOCK], sm32[XG_TILE_BLOCK];
    int64_t n[2][XG_TILE_BLOCK], g[2][XG_TILE_BLOCK], gm[2][XG_TILE_BLOCK], sm[2][XG_TILE_BLOCK];
} xg_tile_rq;

/* Sets what does not depend on the channel. */
void xg_tile_rq_begin(xg_tile_rq *q, const xg_rqrec *r, int32_t zp, int32_t lo, int32_t hi);
/* Constants of channel c; false when a word is too narrow for them: take the scalar form. */
bool xg_tile_rq_set(xg_tile_rq *q, const xg_rqrec *r, uint32_t c, int32_t mult, int32_t shift);
/* The same constants for all of [0, n). */
bool xg_tile_rq_fill(xg_tile_rq *q, const xg_rqrec *r, uint32_t n, int32_t mult, int32_t shift);

/* The element-wise unit. Integer adds: the sum of (a - zp_a) * ma and (b - zp_b) * mb through a
 * shifter stage; TFLITE: each operand and the sum through a rescaling of one or two stages. */
typedef struct xg_tile_stage {
    int64_t n, g, gm, sm;
} xg_tile_stage;
typedef struct xg_tile_pairs {
    xg_add_method add;
    xg_rounding mode; /* F32 */
    xg_tile_round round[2];
    int32_t zp_a, zp_b, zp, lo, hi, ma, mb, mo;
    float ra, rb, fixed;
    xg_tile_stage a[2], b[2], o[2];
    bool twice;
    bool narrow; /* 32 bits hold everything, and mo is 1 */
} xg_tile_pairs;
/* False: take the scalar form. */
bool xg_tile_pairs_of(const xg_rqrec *r, const xg_dp_elew *e, xg_tile_pairs *out);

/* A result in binary32, placed: round(clamp(v + zf)) + zp. */
typedef struct xg_tile_place {
    xg_rounding mode;
    float scale, divisor, divisor2, zf;
    int32_t zp, lo, hi;
} xg_tile_place;

/* Innermost loops of one level. */
typedef struct xg_tile_rows {
    xg_cpu level;
    /* out[p * step + c] for `pixels` rows of n accumulators and channel constants first .. With ld,
     * rows are ld apart and have room for 16 at a time, and so have the constants. */
    void (*requantise)(const xg_tile_rq *q, const int32_t *acc, uint32_t pixels, size_t ld,
                       uint32_t first, uint32_t n, uint8_t *out, size_t step);
    /* acc[i] += start[i], n a multiple of 16; false when a sum is outside [lo, hi]. */
    bool (*start)(const int32_t *start, size_t n, int32_t lo, int32_t hi, int32_t *acc);
    void (*add)(const xg_tile_pairs *e, const int8_t *a, const int8_t *b, size_t n, uint8_t *out);
    /* (a - za)(b - zb) */
    void (*product)(const int8_t *a, int32_t za, const int8_t *b, int32_t zb, size_t n,
                    int32_t *out);
    /* sum[c] += (x - zx)(w - zw) */
    void (*tap)(const int8_t *x, int32_t zx, const int8_t *w, int32_t zw, size_t n, int32_t *sum);
    void (*max)(const int8_t *x, size_t n, int8_t *best);
    void (*sum)(const int8_t *x, int32_t zx, size_t n, int32_t *sum);
    void (*sum_f32)(const int8_t *x, int32_t zx, float scale, size_t n, float *sum);
    /* v = sum / divisor / divisor2, and v = f32(product) * scale */
    void (*mean)(const xg_tile_place *p, const float *sum, size_t n, uint8_t *out);
    void (*scaled)(const xg_tile_place *p, const int32_t *product, size_t n, uint8_t *out);
} xg_tile_rows;
const xg_tile_rows *xg_tile_rows_of(xg_cpu level);

/* What the sums over the input of a CONV depend on beside the bytes of its view. */
typedef struct xg_tile_summed {
    xg_tile_view in;
    xg_tile_window win;
    uint32_t rows, cols, words; /* of the output; channel words */
    int32_t zp_in, zp_w;
} xg_tile_summed;

/* What the vector forms keep in an xg_tile_scratch. */
typedef struct xg_tile_fast {
    const xg_tile_rows *rows; /* NULL: vector forms are switched off, for tests */
    xg_tile_rq rq;
    /* CONV (isa/tile_fast_dot.h) */
    int16_t *weights, *patch;
    const int8_t **tap;
    uint8_t *pad;               /* the input's zero point, as many bytes as a tap has channels */
    const int8_t **line;        /* first pixel of each input row */
    int32_t *acc;               /* [XG_TILE_BATCH][channels rounded up to 16] */
    int32_t *partial;           /* the same of the sums that CONV goes on from */
    int32_t sums[XG_TILE_SUMS]; /* of the pixels of `summed`, while has_sums */
    xg_tile_summed summed;
    bool has_sums;
    int32_t *start, *bias; /* [channels rounded up to 16] of the dot products; of the instruction */
} xg_tile_fast;
void xg_tile_fast_init(xg_arena *a, const xg_machine *m, xg_tile_fast **out);

/* Whether the words that two views span may meet (their outermost words are compared). */
bool xg_tile_may_meet(const xg_machine *m, const xg_tile_view *a, const xg_tile_view *b);
/* An instruction is about to write `out`: forgets sums over what it may touch. */
void xg_tile_fast_written(const xg_state *s, const xg_tile_view *out);
/* Whether each word of the view belongs to one pixel only: then it does not matter in which order
 * pixels and channels are written. */
static inline bool xg_tile_apart(const xg_tile_view *v) {
    return (v->cols == 1 || v->pix >= v->words) &&
           (v->rows == 1 || v->row >= (uint64_t)(v->cols - 1) * v->pix + v->words) &&
           (v->ring == 0 || v->ring >= v->rows);
}
static inline bool xg_tile_same_place(const xg_tile_view *a, const xg_tile_view *b) {
    return a->addr == b->addr && a->row0 == b->row0 && a->ring == b->ring && a->il == b->il &&
           a->row == b->row && a->pix == b->pix && a->lane == b->lane;
}

/* Runs CONV as far as it can: true when done; else the scalar form goes on from row *r, pixel *x.
 */
bool xg_tile_fast_conv(xg_state *s, const xg_tile_operands *d, uint32_t *r, uint32_t *x);
/* True when done; else nothing is written. */
bool xg_tile_fast_dwconv(xg_state *s, const xg_tile_operands *d);
bool xg_tile_fast_pool(xg_state *s, const xg_tile_operands *d, const xg_dp_pool *p);
bool xg_tile_fast_elew(xg_state *s, const xg_tile_operands *d, const xg_dp_elew *e);

#endif
