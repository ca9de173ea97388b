/* Fast twins of the literal integer kernels: the same integers, many at a time.
 *
 * The literal kernels (kernel_*.c) stay the definition. A twin takes a node only when it can show
 * that its 32-bit accumulators cannot overflow and that the record's constants lie where its
 * arithmetic is exact; every other node, and every error, is left to the literal kernel. The
 * innermost loops exist once for each xg_cpu level and give the same integers on all of them.
 * Internal to xgraph/.
 */
#ifndef XG_FAST_H
#define XG_FAST_H

#include "base/cpu.h"
#include "xgraph/kernel.h"

/* Runs the node and returns true, or returns false and has written nothing that matters. */
bool xg_fast_node(const xg_kernel *k);

/* 8-bit elements of either signedness as unsigned ones: u = raw ^ flip, value = u - off. Centred:
 * value - zero point = u - (off + zp). */
typedef struct xg_fast_type {
    uint8_t flip; /* 0x80 for i8, 0 for u8 */
    int32_t off;  /* 128 for i8, 0 for u8 */
} xg_fast_type;
static inline xg_fast_type xg_fast_type_of(xg_dtype t) {
    return t == XG_I8 ? (xg_fast_type){0x80, 128} : (xg_fast_type){0, 0};
}

/* ---- requantisation -------------------------------------------------------------------------- */

/* One rounded right shift: y = (p + a + (p < 0 ? b : 0) + ((p >> s) & c)) >> s. Exact for |p| <=
 * 2^62; s in [0, 62]. By rounding, with half = 2^(s-1):
 *   floor 0 0 0, half-up half 0 0, half-down half-1 0 0, half-away half -1 0,
 *   truncate 0 2^s-1 0, half-even half-1 0 1; all 0 when s = 0. */
typedef struct xg_fast_shift {
    int64_t s, a, b, c;
} xg_fast_shift;
/* False when s is out of range. */
bool xg_fast_shift_of(int64_t s, xg_rounding mode, xg_fast_shift *out);

/* A rounding of a binary32 v, |v| < 2^22, to an integer: nearest-even, or t = trunc(v), r = v - t
 * (exact), y = t + (r >= up) - (r <= down). */
typedef struct xg_fast_round {
    bool even;
    float up, down;
} xg_fast_round;
xg_fast_round xg_fast_round_of(xg_rounding mode);

typedef enum xg_fast_how {
    XG_FAST_F32,   /* round(clamp(f32(acc) * m)) */
    XG_FAST_SHIFT, /* half-up in 32 bits: (acc >> s) + ((acc >> (s - 1)) & 1) */
    XG_FAST_HALF,  /* (acc * mult + a) >> s */
    XG_FAST_FULL,  /* any rounding, one stage */
    XG_FAST_TWICE, /* any roundings, two stages */
    XG_FAST_SCALAR /* xg_rq_apply */
} xg_fast_how;

/* The requantisation of one row of channels, one entry a channel. */
typedef struct xg_fast_rq {
    xg_fast_how how;
    const float *m;            /* F32 */
    const int32_t *mult;       /* HALF, FULL, TWICE */
    const int32_t *sh, *guard; /* SHIFT: s; and s - 1, or 31 when s = 0 ... */
    const int32_t *keep;       /* ... with keep = 0, which drops the guard bit */
    const int64_t *s[2], *a[2], *b[2], *c[2];
    xg_fast_round round;
    const xg_rq *rq;
    const xg_rqrec *record;
    int32_t zp, lo, hi;
} xg_fast_rq;
/* Prepares n channels; all arrays come from `a`. */
void xg_fast_rq_of(xg_arena *a, const xg_rqrec *r, const xg_rq *q, int64_t n, int32_t zp,
                   int32_t lo, int32_t hi, xg_fast_rq *out);

/* ---- element-wise ---------------------------------------------------------------------------- */

typedef struct xg_fast_add {
    xg_add_method method;
    int32_t off_a, off_b; /* F32*: of the type; else with the zero point */
    uint8_t flip_a, flip_b;
    float ra, rb, fixed; /* F32* */
    xg_fast_round round;
    int32_t ma, mb, mo;                /* integer methods: multipliers of operands and sum */
    xg_fast_shift sa[2], sb[2], so[2]; /* TFLITE: two stages each; else so[0] only */
    int32_t zp, lo, hi;                /* zp: added after rounding */
} xg_fast_add;

/* A binary32 window average, and a quantiser: y = round(clamp(..)) + zp. */
typedef struct xg_fast_mean {
    float sx, n, sy, zf; /* zf: zero point added in binary32 */
    bool before;
    xg_fast_round round;
    int32_t zp, lo, hi;
} xg_fast_mean;

/* ---- dot products ---------------------------------------------------------------------------- */

enum { XG_FAST_ROWS = 6, XG_FAST_COLS = 64, XG_FAST_RUN = 128 };

/* Weights of one group, in the form that a level's tile() reads.
 *   dot   int16 [o][ld], centred, zero beyond k
 *   vnni  int8  [block of 16 o][ld / 4][16][4], as signed values ws, zero beyond o and k */
typedef struct xg_fast_weights {
    int64_t o, k, ld; /* ld: k rounded up to the level's vector */
    void *w;
    const int32_t *start; /* [o rounded up to 16] what an accumulator begins with */
    const int32_t *zw;    /* [same] times the sum of a patch is taken off; NULL = all 0 */
} xg_fast_weights;

/* A row of channels summed over window positions, side by side. */
typedef struct xg_fast_taps {
    const uint8_t *const *x; /* [n] first channel at each position, NULL = outside */
    const int16_t *w;        /* [n][channels], centred */
    int64_t n, channels;
    uint8_t flip;
    int32_t off; /* u - off = centred */
} xg_fast_taps;

/* The innermost loops of one level. */
typedef struct xg_fast_isa {
    xg_cpu level;
    int64_t vector; /* ld of weights and patches is a multiple of it, in elements */
    bool centred;   /* patches are int16 u - off; else uint8 u */
    /* out[r][j] = start + sum of patch row r times weights of o + j; rows <= XG_FAST_ROWS, no <=
     * XG_FAST_COLS, o a multiple of 16; out has XG_FAST_COLS columns. */
    void (*tile)(const xg_fast_weights *w, const void *patch, int64_t rows, int64_t o, int64_t no,
                 int32_t *out);
    /* u ^ flip of n bytes: as bytes in place, or centred into wide. */
    void (*patch)(uint8_t *raw, int64_t n, uint8_t flip, int32_t off, int16_t *wide);
    /* acc[c - first] = start[c] + sum for channels [first, first + n), n <=
     * XG_FAST_RUN. */
    void (*depthwise)(const xg_fast_taps *t, const int32_t *start, int64_t first, int64_t n,
                      int32_t *acc);
    /* out[i] = low byte of the result for acc[i], channel first + i. */
    void (*requantise)(const xg_fast_rq *q, const int32_t *acc, int64_t first, int64_t n,
                       uint8_t *out);
    /* n elements; step_a, step_b 0 or 1. */
    void (*add)(const xg_fast_add *q, const uint8_t *a, int64_t step_a, const uint8_t *b,
                int64_t step_b, int64_t n, uint8_t *out);
    /* out[i] = ((a ^ fa) - oa) * ((b ^ fb) - ob) */
    void (*product)(const uint8_t *a, int64_t step_a, xg_fast_type ta, const uint8_t *b,
                    int64_t step_b, xg_fast_type tb, int64_t n, int32_t *out);
    /* y = round(clamp(f32(acc) * sx + zf)): with the zero point before rounding. */
    void (*mul_f32)(const xg_fast_mean *q, const int32_t *acc, int64_t n, uint8_t *out);
    /* max[i] = max(max[i], x[i] ^ flip) */
    void (*max)(const uint8_t *x, uint8_t flip, int64_t n, uint8_t *max);
    /* sum[i] += (x[i] ^ flip) - off, in integers or as binary32 times scale. */
    void (*sum)(const uint8_t *x, uint8_t flip, int32_t off, int64_t n, int32_t *sum);
    void (*sum_f32)(const uint8_t *x, uint8_t flip, int32_t off, float scale, int64_t n,
                    float *sum);
    void (*mean_f32)(const xg_fast_mean *q, const float *sum, int64_t n, uint8_t *out);
    /* out = round(clamp(x / sy)) + zp */
    void (*quantise)(const xg_fast_mean *q, const float *x, int64_t n, uint8_t *out);
    /* out = f32(u - off) * scale */
    void (*dequantise)(const uint8_t *x, uint8_t flip, int32_t off, float scale, int64_t n,
                       float *out);
} xg_fast_isa;
const xg_fast_isa *xg_fast_isa_of(xg_cpu level);

/* tile() of the level VNNI, and of the others. */
void xg_fast_tile_vnni(const xg_fast_weights *w, const void *patch, int64_t rows, int64_t o,
                       int64_t no, int32_t *out);
void xg_fast_tile_avx2(const xg_fast_weights *w, const void *patch, int64_t rows, int64_t o,
                       int64_t no, int32_t *out);
void xg_fast_tile_portable(const xg_fast_weights *w, const void *patch, int64_t rows, int64_t o,
                           int64_t no, int32_t *out);

/* ---- operators ------------------------------------------------------------------------------- */

bool xg_fast_conv(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_wide_conv(const xg_kernel *k); /* 16-bit integers */
bool xg_fast_matmul(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_max_pool(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_avg_pool(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_binary(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_lut(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_concat(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_requantize(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_quantize(const xg_kernel *k, const xg_fast_isa *isa);
bool xg_fast_dequantize(const xg_kernel *k, const xg_fast_isa *isa);

/* The one scale and zero point of a tensor, without a diagnostic; false when it has several. */
bool xg_fast_affine(const xg_tensor *t, xg_affine *out);
/* out[i] = table[x[i] ^ flip] for n bytes. */
void xg_fast_lookup(const uint8_t *x, uint8_t flip, const uint8_t table[256], int64_t n,
                    uint8_t *out);

/* Packed weights of a node that has run before with these values (xg_values.packed), so that a
 * second run need not pack again; constants only. NULL: not there yet. */
typedef struct xg_fast_packed {
    xg_cpu level;
    uint32_t runs;
    xg_fast_weights *group; /* [groups], or NULL */
} xg_fast_packed;
/* NULL when the node's weights are computed ones. */
xg_fast_packed *xg_fast_packed_of(const xg_kernel *k, xg_cpu level);

#endif
