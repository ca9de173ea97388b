#include "isa/tile_fast_dot.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

enum { PIXELS = XG_DOT_PIXELS, LANES = XG_DOT_LANES };

static int32_t four_bytes(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* ---- VNNI ------------------------------------------------------------------------------------ */

/* The multiplier takes unsigned times signed bytes, so it gets w + 128 and x as they are:
 *   sum (x - zx)(w - zw) = sum (w + 128) x - (128 + zw) sum x - zx sum (w - zw)
 * Weights lie as [k / 4][LANES][4]. */
#define VNNI        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define VNNI_INLINE VNNI static inline __attribute__((always_inline))

/* Rows of 16 words of 32 bits become columns. */
VNNI_INLINE void transpose16(__m512i v[LANES]) {
    __m512i t[LANES];
    for (int i = 0; i < LANES; i += 4) {
        __m512i a = _mm512_unpacklo_epi32(v[i], v[i + 1]),
                b = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        __m512i c = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]);
        __m512i d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, c), t[i + 1] = _mm512_unpackhi_epi64(a, c);
        t[i + 2] = _mm512_unpacklo_epi64(b, d), t[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) { /* t[i + 4 j]: columns i, 4 + i, 8 + i, 12 + i of rows 4 j .. */
        __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
        __m512i b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
        __m512i d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
        v[i] = _mm512_shuffle_i32x4(a, c, 0x88), v[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88), v[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

VNNI static void pack_vnni(const xg_tile_dot *d, uint32_t o, const int8_t *const w[LANES]) {
    const __m512i flip = _mm512_set1_epi8((char)0x80), ones = _mm512_set1_epi8(1);
    uint8_t *to = (uint8_t *)d->weights + (size_t)o * d->k;
    __m512i sums = _mm512_setzero_si512();
    for (size_t i = 0; i < d->k; i += 64) {
        const size_t left = d->k - i < 64 ? d->k - i : 64;
        const __mmask64 mask = left == 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
        __m512i v[LANES];
        for (uint32_t j = 0; j < LANES; j++)
            v[j] = w[j] ? _mm512_maskz_loadu_epi8(mask, w[j] + i) : _mm512_setzero_si512();
        transpose16(v);
        for (size_t j = 0; j < left / 4; j++, to += 4 * LANES) {
            sums = _mm512_dpbusd_epi32(sums, ones, v[j]);
            _mm512_storeu_si512(to, _mm512_xor_si512(v[j], flip));
        }
    }
    sums = _mm512_sub_epi32(sums, _mm512_set1_epi32((int32_t)d->k * d->zp_w));
    sums = _mm512_mullo_epi32(sums, _mm512_set1_epi32(-d->zp_in));
    _mm512_storeu_si512(d->start + o, _mm512_add_epi32(sums, _mm512_loadu_si512(d->start + o)));
}

/* Sums of the 16 words of each of four vectors. */
VNNI_INLINE __m128i totals(__m512i s0, __m512i s1, __m512i s2, __m512i s3) {
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(s0, s1), _mm512_unpackhi_epi32(s0, s1));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(s2, s3), _mm512_unpackhi_epi32(s2, s3));
    __m512i c = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    __m256i d = _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1));
}

/* (128 + zw) times the sum of all terms of each pixel. */
VNNI static void centre_terms(const xg_tile_dot *d, int32_t out[PIXELS]) {
    const __m512i ones = _mm512_set1_epi8(1);
    const size_t whole = d->depth / 64 * 64, rest = d->depth - whole;
    const __mmask64 mask = (UINT64_C(1) << rest) - 1;
    const int8_t *const *x = d->tap;
    __m512i s[PIXELS];
#pragma GCC unroll 8
    for (int p = 0; p < PIXELS; p++) s[p] = _mm512_setzero_si512();
    for (size_t t = 0; t < d->taps; t++, x += PIXELS) {
        for (size_t i = 0; i < whole; i += 64)
#pragma GCC unroll 8
            for (int p = 0; p < PIXELS; p++)
                s[p] = _mm512_dpbusd_epi32(s[p], ones, _mm512_loadu_si512(x[p] + i));
        if (rest)
#pragma GCC unroll 8
            for (int p = 0; p < PIXELS; p++)
                s[p] = _mm512_dpbusd_epi32(s[p], ones, _mm512_maskz_loadu_epi8(mask, x[p] + whole));
    }
    const __m128i scale = _mm_set1_epi32(128 + d->zp_w);
    const __m128i a = totals(s[0], s[1], s[2], s[3]), b = totals(s[4], s[5], s[6], s[7]);
    _mm_storeu_si128((__m128i *)(void *)out, _mm_mullo_epi32(a, scale));
    _mm_storeu_si128((__m128i *)(void *)(out + 4), _mm_mullo_epi32(b, scale));
}

/* n pixels with one block of filters; n is a constant where this is called. */
VNNI_INLINE void block_vnni(const xg_tile_dot *d, uint32_t o, const int32_t less[PIXELS], int n,
                            int32_t *out) {
    const uint8_t *w = (const uint8_t *)d->weights + (size_t)o * d->k;
    const int8_t *const *x = d->tap;
    __m512i s[PIXELS];
    for (int p = 0; p < n; p++) s[p] = _mm512_loadu_si512(d->start + o);
    for (size_t t = 0; t < d->taps; t++, x += PIXELS)
        for (size_t i = 0; i < d->depth; i += 4, w += 4 * LANES) {
            const __m512i v = _mm512_loadu_si512(w);
#pragma GCC unroll 8
            for (int p = 0; p < n; p++)
                s[p] = _mm512_dpbusd_epi32(s[p], v, _mm512_set1_epi32(four_bytes(x[p] + i)));
        }
    for (int p = 0; p < n; p++)
        _mm512_storeu_si512(out + (size_t)p * d->lanes + o,
                            _mm512_sub_epi32(s[p], _mm512_set1_epi32(less[p])));
}

VNNI static void run_vnni(const xg_tile_dot *d, uint32_t n, const int32_t less[PIXELS],
                          int32_t *out) {
    for (uint32_t o = 0; o < d->lanes; o += LANES) {
        if (n == 1)
            block_vnni(d, o, less, 1, out);
        else if (n <= PIXELS / 2)
            block_vnni(d, o, less, PIXELS / 2, out);
        else
            block_vnni(d, o, less, PIXELS, out);
    }
}

const xg_dot_form xg_dot_vnni = {pack_vnni, centre_terms, run_vnni};

/* ---- AVX2 ------------------------------------------------------------------------------------ */

/* Words of 16 bits with zero points taken off, two products an addition. Weights lie as
 * [k / 2][LANES][2], patches are widened likewise; what follows an odd k is zero. */
#define AVX2        __attribute__((target("avx2")))
#define AVX2_INLINE AVX2 static inline __attribute__((always_inline))

enum { HALF = LANES / 2, WIDE = 16 };

static size_t padded(const xg_tile_dot *d) {
    return (d->k + WIDE - 1) / WIDE * WIDE;
}

AVX2_INLINE __m256i widen16(const int8_t *x, __m256i zp) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)x);
    return _mm256_sub_epi16(_mm256_cvtepi8_epi16(bytes), zp);
}

/* n bytes without their zero point. */
AVX2_INLINE void widen(const int8_t *x, int32_t zp, size_t n, int16_t *to) {
    const __m256i z = _mm256_set1_epi16((int16_t)zp);
    size_t i = 0;
    for (; i + WIDE <= n; i += WIDE)
        _mm256_storeu_si256((__m256i *)(void *)(to + i), widen16(x + i, z));
    for (; i < n; i++) to[i] = (int16_t)(x[i] - zp);
}

/* Rows of 8 words of 32 bits become columns. */
AVX2_INLINE void transpose8(__m256i v[HALF]) {
    __m256i t[HALF];
    for (int i = 0; i < HALF; i += 4) {
        __m256i a = _mm256_unpacklo_epi32(v[i], v[i + 1]),
                b = _mm256_unpackhi_epi32(v[i], v[i + 1]);
        __m256i c = _mm256_unpacklo_epi32(v[i + 2], v[i + 3]);
        __m256i d = _mm256_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm256_unpacklo_epi64(a, c), t[i + 1] = _mm256_unpackhi_epi64(a, c);
        t[i + 2] = _mm256_unpacklo_epi64(b, d), t[i + 3] = _mm256_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x20);
        v[i + 4] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x31);
    }
}

AVX2 static void pack_avx2(const xg_tile_dot *d, uint32_t o, const int8_t *const w[LANES]) {
    const size_t ld = padded(d);
    const __m256i zp = _mm256_set1_epi16((int16_t)d->zp_w);
    int16_t *to = (int16_t *)d->weights + (size_t)o * ld;
    for (size_t i = 0; i < ld; i += WIDE, to += WIDE * LANES)
        for (int half = 0; half < LANES; half += HALF) {
            __m256i v[HALF];
            for (int j = 0; j < HALF; j++) {
                int16_t last[WIDE] = {0};
                const int8_t *from = w[half + j];
                if (from && i + WIDE <= d->k) {
                    v[j] = widen16(from + i, zp);
                } else {
                    if (from) widen(from + i, d->zp_w, d->k - i, last);
                    v[j] = _mm256_loadu_si256((const __m256i *)(const void *)last);
                }
            }
            transpose8(v);
            for (int j = 0; j < HALF; j++)
                _mm256_storeu_si256((__m256i *)(void *)(to + (size_t)j * 2 * LANES + 2 * half),
                                    v[j]);
        }
}

/* n pixels with one block of filters; n is a constant where this is called. */
AVX2_INLINE void block_avx2(const xg_tile_dot *d, uint32_t o, uint32_t first, int n, int32_t *out) {
    const size_t ld = padded(d);
    const int16_t *w = (const int16_t *)d->weights + (size_t)o * ld;
    const int16_t *x = d->patch + first * ld;
    __m256i a[PIXELS / 2], b[PIXELS / 2];
    for (int p = 0; p < n; p++) {
        a[p] = _mm256_loadu_si256((const __m256i *)(const void *)(d->start + o));
        b[p] = _mm256_loadu_si256((const __m256i *)(const void *)(d->start + o + HALF));
    }
    for (size_t i = 0; i < d->k; i += 2, w += 2 * LANES) {
        const __m256i v0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
        const __m256i v1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + LANES));
#pragma GCC unroll 4
        for (int p = 0; p < n; p++) {
            const __m256i two = _mm256_set1_epi32(four_bytes(x + p * ld + i));
            a[p] = _mm256_add_epi32(a[p], _mm256_madd_epi16(two, v0));
            b[p] = _mm256_add_epi32(b[p], _mm256_madd_epi16(two, v1));
        }
    }
    for (int p = 0; p < n; p++) {
        int32_t *to = out + (first + (size_t)p) * d->lanes + o;
        _mm256_storeu_si256((__m256i *)(void *)to, a[p]);
        _mm256_storeu_si256((__m256i *)(void *)(to + HALF), b[p]);
    }
}

AVX2 static void run_avx2(const xg_tile_dot *d, uint32_t n, const int32_t less[PIXELS],
                          int32_t *out) {
    (void)less;
    const size_t ld = padded(d);
    for (uint32_t p = 0; p < n; p++) {
        int16_t *to = d->patch + p * ld;
        for (size_t t = 0; t < d->taps; t++)
            widen(d->tap[t * PIXELS + p], d->zp_in, d->depth, to + t * d->depth);
        memset(to + d->k, 0, (ld - d->k) * sizeof *to);
    }
    for (uint32_t o = 0; o < d->lanes; o += LANES)
        for (uint32_t p = 0; p < n; p += PIXELS / 2) {
            if (n - p == 1)
                block_avx2(d, o, p, 1, out);
            else
                block_avx2(d, o, p, PIXELS / 2, out);
        }
}

const xg_dot_form xg_dot_avx2 = {pack_avx2, NULL, run_avx2};
#endif
