/* Dot products: XG_FAST_ROWS patches with XG_FAST_COLS filters at a time. Overflow cannot happen
 * (the caller has shown it), so any order of summing gives the same integers. */
#include "xgraph/fast.h"

#include <string.h>

enum { PIXELS = 2, CHANNELS = 4 };

/* Two patches with four filters, n a multiple of the vector: no tail. The sums stay in
 * registers. */
static inline __attribute__((always_inline)) void block(const int16_t *x0, const int16_t *x1,
                                                        const int16_t *w, int64_t ld,
                                                        int32_t sum[PIXELS][CHANNELS]) {
    const int16_t *w0 = w, *w1 = w + ld, *w2 = w1 + ld, *w3 = w2 + ld;
    int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    for (int64_t i = 0; i < ld; i++) {
        s00 += x0[i] * w0[i], s01 += x0[i] * w1[i], s02 += x0[i] * w2[i], s03 += x0[i] * w3[i];
        s10 += x1[i] * w0[i], s11 += x1[i] * w1[i], s12 += x1[i] * w2[i], s13 += x1[i] * w3[i];
    }
    int32_t all[PIXELS][CHANNELS] = {{s00, s01, s02, s03}, {s10, s11, s12, s13}};
    memcpy(sum, all, sizeof all);
}

static inline __attribute__((always_inline)) void tile_body(const xg_fast_weights *w,
                                                            const int16_t *patch, int64_t rows,
                                                            int64_t o, int64_t no, int32_t *out) {
    const int64_t ld = w->ld;
    const int16_t *wo = (const int16_t *)w->w + o * ld;
    for (int64_t r = 0; r < rows; r += PIXELS) {
        const int16_t *x0 = patch + r * ld, *x1 = r + 1 < rows ? x0 + ld : x0;
        for (int64_t j = 0; j < no; j += CHANNELS) {
            int32_t sum[PIXELS][CHANNELS];
            block(x0, x1, wo + j * ld, ld, sum);
            for (int64_t p = 0; p < PIXELS && r + p < rows; p++)
                for (int64_t c = 0; c < CHANNELS; c++)
                    out[(r + p) * XG_FAST_COLS + j + c] = sum[p][c] + w->start[o + j + c];
        }
    }
}

void xg_fast_tile_portable(const xg_fast_weights *w, const void *patch, int64_t rows, int64_t o,
                           int64_t no, int32_t *out) {
    tile_body(w, patch, rows, o, no, out);
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma"))) void xg_fast_tile_avx2(const xg_fast_weights *w,
                                                           const void *patch, int64_t rows,
                                                           int64_t o, int64_t no, int32_t *out) {
    tile_body(w, patch, rows, o, no, out);
}

#define VNNI        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define VNNI_INLINE VNNI static inline __attribute__((always_inline))

enum { ROWS = XG_FAST_ROWS, LANES = 16, WIDTH = XG_FAST_COLS / LANES };

/* Adds x (four bytes of one patch, in all lanes) times four blocks of 16 filters. */
#define STEP(r)                                                                                    \
    do {                                                                                           \
        int32_t four;                                                                              \
        memcpy(&four, x##r + i, 4);                                                                \
        __m512i x = _mm512_set1_epi32(four);                                                       \
        s##r##0 = _mm512_dpbusd_epi32(s##r##0, x, w0);                                             \
        if (width > 1) s##r##1 = _mm512_dpbusd_epi32(s##r##1, x, w1);                              \
        if (width > 2) s##r##2 = _mm512_dpbusd_epi32(s##r##2, x, w2);                              \
        if (width > 3) s##r##3 = _mm512_dpbusd_epi32(s##r##3, x, w3);                              \
    } while (0)
#define START(r)                                                                                   \
    const uint8_t *x##r = patch + (r < rows ? r : rows - 1) * ld;                                  \
    __m512i s##r##0 = b0, s##r##1 = b1, s##r##2 = b2, s##r##3 = b3
#define STORE(r)                                                                                   \
    do {                                                                                           \
        if (r >= rows) return;                                                                     \
        _mm512_storeu_si512(out + r * XG_FAST_COLS, s##r##0);                                      \
        if (width > 1) _mm512_storeu_si512(out + r * XG_FAST_COLS + 16, s##r##1);                  \
        if (width > 2) _mm512_storeu_si512(out + r * XG_FAST_COLS + 32, s##r##2);                  \
        if (width > 3) _mm512_storeu_si512(out + r * XG_FAST_COLS + 48, s##r##3);                  \
    } while (0)

/* Six patches with width * 16 filters; missing patches repeat the last one and are not stored.
 * start[] is read for all of them: it is rounded up to 16. */
VNNI_INLINE void panel(const uint8_t *patch, int64_t rows, int64_t ld, const int8_t *w,
                       const int32_t *start, int width, int32_t *out) {
    const __m512i zero = _mm512_setzero_si512();
    const __m512i b0 = _mm512_loadu_si512(start);
    const __m512i b1 = width > 1 ? _mm512_loadu_si512(start + 16) : zero;
    const __m512i b2 = width > 2 ? _mm512_loadu_si512(start + 32) : zero;
    const __m512i b3 = width > 3 ? _mm512_loadu_si512(start + 48) : zero;
    START(0);
    START(1);
    START(2);
    START(3);
    START(4);
    START(5);
    const int64_t next = ld * LANES; /* bytes of a block of 16 filters */
    for (int64_t i = 0; i < ld; i += 4, w += 4 * LANES) {
        const __m512i w0 = _mm512_loadu_si512(w);
        const __m512i w1 = width > 1 ? _mm512_loadu_si512(w + next) : zero;
        const __m512i w2 = width > 2 ? _mm512_loadu_si512(w + 2 * next) : zero;
        const __m512i w3 = width > 3 ? _mm512_loadu_si512(w + 3 * next) : zero;
        STEP(0);
        STEP(1);
        STEP(2);
        STEP(3);
        STEP(4);
        STEP(5);
    }
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
    STORE(4);
    STORE(5);
}

/* One patch alone: nothing is repeated. */
VNNI_INLINE void single(const uint8_t *x, int64_t ld, const int8_t *w, const int32_t *start,
                        int32_t *out) {
    __m512i s = _mm512_loadu_si512(start);
    for (int64_t i = 0; i < ld; i += 4, w += 4 * LANES) {
        int32_t four;
        memcpy(&four, x + i, 4);
        s = _mm512_dpbusd_epi32(s, _mm512_set1_epi32(four), _mm512_loadu_si512(w));
    }
    _mm512_storeu_si512(out, s);
}

/* Filters with a zero point: that times the sum of the patch is taken off. */
VNNI static void zero_points(const xg_fast_weights *w, const uint8_t *patch, int64_t rows,
                             int64_t o, int64_t no, int32_t *out) {
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *x = patch + r * w->ld;
        int32_t sum = 0;
        for (int64_t i = 0; i < w->k; i++) sum += x[i];
        int32_t *y = out + r * XG_FAST_COLS;
        for (int64_t j = 0; j < no; j++)
            y[j] = (int32_t)((uint32_t)y[j] - (uint32_t)w->zw[o + j] * (uint32_t)sum);
    }
}

VNNI void xg_fast_tile_vnni(const xg_fast_weights *w, const void *patch, int64_t rows, int64_t o,
                            int64_t no, int32_t *out) {
    const int64_t ld = w->ld;
    const int8_t *from = (const int8_t *)w->w + o * ld;
    for (int64_t j = 0; j < no;) {
        const int64_t left = (no - j + LANES - 1) / LANES;
        const int64_t width = rows == 1 ? 1 : left >= WIDTH ? WIDTH : left >= 2 ? 2 : 1;
        const int8_t *wj = from + j * ld;
        const int32_t *start = w->start + o + j;
        if (rows == 1)
            single(patch, ld, wj, start, out + j);
        else if (width == WIDTH)
            panel(patch, rows, ld, wj, start, 4, out + j);
        else if (width == 2)
            panel(patch, rows, ld, wj, start, 2, out + j);
        else
            panel(patch, rows, ld, wj, start, 1, out + j);
        j += width * LANES;
    }
    if (w->zw) zero_points(w, patch, rows, o, no, out);
}
#endif
