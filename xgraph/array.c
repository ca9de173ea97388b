#include "xgraph/array.h"

#include <string.h>

uint16_t xg_le16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t xg_le32(const uint8_t *p) {
    return (uint32_t)xg_le16(p) | (uint32_t)xg_le16(p + 2) << 16;
}

static uint64_t le64(const uint8_t *p) {
    return (uint64_t)xg_le32(p) | (uint64_t)xg_le32(p + 4) << 32;
}

static float f32_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float f32_of_f64(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return (float)d;
}

/* binary16: sign, five bits of exponent, ten of fraction; every value is exact in f32. */
static float f32_of_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h >> 15) << 31, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return f32_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent) return f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float f = (float)fraction * 0x1p-24f;
    return sign ? -f : f;
}

void xg_element_copy(xg_element e, const uint8_t *src, void *dst, int64_t n) {
    for (int64_t i = 0; i < n; i++, src += e.bytes) {
        if (e.f64)
            ((float *)dst)[i] = f32_of_f64(le64(src));
        else if (e.f16)
            ((float *)dst)[i] = f32_of_f16(xg_le16(src));
        else if (e.dtype == XG_BOOL)
            ((uint8_t *)dst)[i] = *src != 0;
        else if (e.bytes == 1)
            ((uint8_t *)dst)[i] = *src;
        else if (e.bytes == 2)
            ((uint16_t *)dst)[i] = xg_le16(src);
        else if (e.bytes == 4)
            ((uint32_t *)dst)[i] = xg_le32(src);
        else
            ((uint64_t *)dst)[i] = le64(src);
    }
}

xg_status xg_array_shape(xg_arena *a, const char *where, xg_array *v, uint32_t rank,
                         const int64_t *dim, int64_t *elems) {
    xg_ctx *c = xg_arena_ctx(a);
    if (rank > XG_RANK_MAX)
        return xg_error(c, XG_LIMIT, where, "the array has %u axes, at most %d are possible", rank,
                        XG_RANK_MAX);
    v->rank = (uint8_t)rank;
    *elems = 1;
    for (uint32_t i = 0; i < rank; i++) {
        v->dim[i] = dim[i];
        if (dim[i] < 1)
            return xg_error(c, XG_INPUT, where,
                            "axis %u of the array has %lld elements, expected 1 or more", i,
                            (long long)dim[i]);
        if (__builtin_mul_overflow(*elems, dim[i], elems) || *elems > XG_ARRAY_ELEMS_MAX)
            return xg_error(c, XG_LIMIT, where, "the array has more than %d elements",
                            XG_ARRAY_ELEMS_MAX);
    }
    return XG_OK;
}

static bool has_magic(xg_bytes f, const char *magic, size_t n) {
    return f.n >= n && memcmp(f.p, magic, n) == 0;
}

xg_status xg_array_read(xg_arena *a, const char *path, xg_array **out, uint32_t *n) {
    xg_bytes file;
    xg_status st = xg_read_file(a, path, &file);
    if (st) return st;
    if (has_magic(file, "PK", 2)) return xg_array_parse_npz(a, path, file, out, n);
    *out = xg_new(a, xg_array);
    *n = 1;
    size_t len = strlen(path);
    if (has_magic(file, "\x93NUMPY", 6)) return xg_array_parse_npy(a, path, file, *out);
    if (len >= 3 && !strcmp(path + len - 3, ".pb")) return xg_array_parse_pb(a, path, file, *out);
    return xg_error(xg_arena_ctx(a), XG_INPUT, path,
                    "is no array file: expected .npy, .npz, or a TensorProto in a file named .pb");
}
