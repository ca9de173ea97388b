/* Dot products of CONV with vector instructions: up to XG_DOT_PIXELS patches with blocks of
 * XG_DOT_LANES filters. Internal to isa/; who decides whether a sum fits is isa/tile_fast_conv.c.
 */
#ifndef XG_TILE_FAST_DOT_H
#define XG_TILE_FAST_DOT_H

#include <stddef.h>
#include <stdint.h>

enum {
    XG_DOT_PIXELS = 8,
    XG_DOT_LANES = 16,
    XG_DOT_TERMS = 1 << 15 /* products of magnitude 255 x 255 whose sum fits 32 bits */
};

typedef struct xg_tile_dot {
    size_t depth, taps, k; /* channels a tap; taps; product */
    uint32_t lanes;        /* filters rounded up to XG_DOT_LANES */
    int32_t zp_in, zp_w;
    void *weights;      /* as the form's pack() leaves them, block after block */
    int32_t *start;     /* [lanes] added to each sum; pack() adds its own corrections */
    int16_t *patch;     /* [XG_DOT_PIXELS][k rounded up to 16] */
    const int8_t **tap; /* [taps][XG_DOT_PIXELS] where the channels of a tap lie */
} xg_tile_dot;

/* VNNI needs depth to be a multiple of 4. */
typedef struct xg_dot_form {
    /* Filters o .. o + XG_DOT_LANES - 1, k bytes each; NULL: does not exist, its sum is of no use.
     */
    void (*pack)(const xg_tile_dot *d, uint32_t o, const int8_t *const w[XG_DOT_LANES]);
    /* What to take off the sums of the pixels of tap[], whatever the filters; NULL: nothing. */
    void (*centre)(const xg_tile_dot *d, int32_t less[XG_DOT_PIXELS]);
    /* out[p * lanes + o] = start[o] + sum (x - zp_in)(w - zp_w) of the first n pixels of tap[],
     * where all XG_DOT_PIXELS are set; out has room for all of them. less[]: as centre() gives it.
     */
    void (*run)(const xg_tile_dot *d, uint32_t n, const int32_t less[XG_DOT_PIXELS], int32_t *out);
} xg_dot_form;
extern const xg_dot_form xg_dot_vnni, xg_dot_avx2;

#endif
