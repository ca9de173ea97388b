/* Example inputs: what a user points at -> sets of values for a graph's inputs.
 *
 * For calibration, comparison and accuracy. A set fills all inputs once. Paths may name
 *   random[:SEED]       one set, seeded
 *   .npy .npz .pb       arrays; several sets lie one after another along the first axis
 *   .raw .bin           elements of the only input's type, little endian, set after set
 *   .png .jpg .jpeg     pictures, for a graph with one input of rank 4
 *   a folder            its files of those kinds in the order of their names; input_0.pb,
 * input_1.pb
 *                       .. are one set (ONNX's test data)
 * Sets do not depend on the host: our own bilinear resize in integers, no order from the folder.
 */
#ifndef XG_SAMPLES_H
#define XG_SAMPLES_H

#include "xgraph/interp.h"

/* A picture's value p in 0..255 becomes (p - mean[c]) / std[c]. Without std: f32 inputs get p /
 * 255, integer inputs p (u8) or p - 128 (i8). With std an integer input with a scale gets the
 * quantised value. */
typedef struct xg_image_options {
    float mean[4], std[4];
    uint32_t nmean, nstd; /* 0: none; 1: for all channels; else one a channel */
    bool crop; /* keep the aspect: scale the shorter side, cut the middle; else stretch */
    bool bgr;  /* channels in the order blue, green, red */
} xg_image_options;

typedef struct xg_samples xg_samples;
/* Checks names, types and sizes of all arrays against g's inputs. Integers are accepted for f32
 * inputs. images may be NULL. The samples live in a; g must live as long. */
XG_MUST_USE xg_status xg_samples_open(xg_arena *a, const xg_graph *g, const char *path,
                                      const xg_image_options *images, xg_samples **out);
uint64_t xg_samples_count(const xg_samples *s);
/* The first dimension of the first input times the sets. */
uint64_t xg_samples_images(const xg_samples *s);
/* Fills the inputs, by position, of a graph with the same inputs. i < xg_samples_count(). */
XG_MUST_USE xg_status xg_samples_fill(const xg_samples *s, uint64_t i, xg_values *v);

/* ---- pictures (images.c) ---- */

typedef struct xg_image {
    int64_t h, w;
    uint32_t channels;   /* 1, 3 or 4 */
    const uint8_t *data; /* [h][w][channels], red first */
} xg_image;
/* Reads PNG or JPEG, told apart by content. LIMIT above 64 M pixels. */
XG_MUST_USE xg_status xg_image_read(xg_arena *a, const char *path, xg_image *out);
/* Bilinear, pixel centres aligned, edges clamped; weights are fractions of 2^11, one rounding (half
 * up). The picture is first cut to h : w around its middle when crop is set. Channels are
 * converted: grey to three equal ones, colour to grey by (299 R + 587 G + 114 B + 500) / 1000; a
 * missing fourth is 255. out: [h][w][channels], from the arena. */
XG_MUST_USE xg_status xg_image_resize(xg_arena *a, const xg_image *from, int64_t h, int64_t w,
                                      uint32_t channels, bool crop, uint8_t **out);

#endif
