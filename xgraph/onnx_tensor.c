/* TensorProto -> constant. */
#include "xgraph/onnx_import.h"

#include "xgraph/external.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ONNX element types by number: XGraph's type, bytes in raw_data, and how the typed fields hold
 * them. */
typedef enum field { NO_FIELD, FLOATS, INT32S, INT64S, DOUBLES, UINT64S, HALVES } field;
typedef struct type_row {
    const char *name;
    int dtype; /* -1: none */
    uint8_t bytes;
    field typed;
} type_row;
static const type_row types[] = {
    {"undefined", -1, 0, NO_FIELD},      {"float", XG_F32, 4, FLOATS},
    {"uint8", XG_U8, 1, INT32S},         {"int8", XG_I8, 1, INT32S},
    {"uint16", -1, 2, INT32S},           {"int16", XG_I16, 2, INT32S},
    {"int32", XG_I32, 4, INT32S},        {"int64", XG_I64, 8, INT64S},
    {"string", -1, 0, NO_FIELD},         {"bool", XG_BOOL, 1, INT32S},
    {"float16", XG_F32, 2, HALVES},      {"double", XG_F32, 8, DOUBLES},
    {"uint32", -1, 4, UINT64S},          {"uint64", -1, 8, UINT64S},
    {"complex64", -1, 8, NO_FIELD},      {"complex128", -1, 16, NO_FIELD},
    {"bfloat16", XG_F32, 2, HALVES},     {"float8e4m3fn", -1, 1, NO_FIELD},
    {"float8e4m3fnuz", -1, 1, NO_FIELD}, {"float8e5m2", -1, 1, NO_FIELD},
    {"float8e5m2fnuz", -1, 1, NO_FIELD}, {"uint4", -1, 0, NO_FIELD},
    {"int4", -1, 0, NO_FIELD},
};

bool xg_ox_dtype(int32_t onnx, xg_dtype *out) {
    if (onnx < 0 || (size_t)onnx >= XG_COUNT(types) || types[onnx].dtype < 0) return false;
    *out = (xg_dtype)types[onnx].dtype;
    return true;
}

const char *xg_ox_dtype_name(int32_t onnx) {
    return onnx < 0 || (size_t)onnx >= XG_COUNT(types) ? "unknown" : types[onnx].name;
}

static float bits_to_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 1023;
    if (exp == 31) return bits_to_float(sign | 0x7f800000u | man << 13);
    if (exp) return bits_to_float(sign | (exp + 112) << 23 | man << 13);
    float tiny = (float)man * 0x1p-24f;
    return sign ? -tiny : tiny;
}

/* One element of raw little-endian bytes, in the type's own width, to XGraph's type. */
static void convert_raw(int32_t type, const uint8_t *p, size_t n, void *out) {
    const type_row *r = &types[type];
    if (r->dtype != XG_F32 || type == 1) {
        memcpy(out, p, n * r->bytes);
        return;
    }
    float *f = out;
    for (size_t i = 0; i < n; i++, p += r->bytes) {
        if (type == 11) {
            double d;
            memcpy(&d, p, sizeof d);
            f[i] = (float)d;
            continue;
        }
        uint16_t h;
        memcpy(&h, p, sizeof h);
        f[i] = type == 10 ? half_to_float(h) : bits_to_float((uint32_t)h << 16);
    }
}

static size_t typed_count(const Xgonnx__Tensor *t, field f) {
    switch (f) {
    case FLOATS:
        return t->n_float_data;
    case INT32S:
    case HALVES:
        return t->n_int32_data;
    case INT64S:
        return t->n_int64_data;
    case DOUBLES:
        return t->n_double_data;
    case UINT64S:
        return t->n_uint64_data;
    case NO_FIELD:
        break;
    }
    return 0;
}

static void convert_typed(const Xgonnx__Tensor *t, size_t n, void *out) {
    const type_row *r = &types[t->data_type];
    for (size_t i = 0; i < n; i++) {
        switch (r->typed) {
        case FLOATS:
            ((float *)out)[i] = t->float_data[i];
            break;
        case DOUBLES:
            ((float *)out)[i] = (float)t->double_data[i];
            break;
        case INT64S:
            ((int64_t *)out)[i] = t->int64_data[i];
            break;
        case HALVES: {
            uint16_t h = (uint16_t)t->int32_data[i];
            ((float *)out)[i] =
                t->data_type == 10 ? half_to_float(h) : bits_to_float((uint32_t)h << 16);
            break;
        }
        case INT32S: {
            int32_t v = t->int32_data[i];
            if (r->bytes == 1)
                ((uint8_t *)out)[i] = (uint8_t)v;
            else if (r->bytes == 2)
                ((int16_t *)out)[i] = (int16_t)v;
            else
                ((int32_t *)out)[i] = v;
            break;
        }
        case UINT64S:
        case NO_FIELD:
            break;
        }
    }
}

static bool parse_number(const char *s, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    *out = v;
    return end != s && !*end && !errno && v >= 0;
}

static xg_status external_bytes(xg_onnx *x, const Xgonnx__Tensor *t, const char *where, size_t want,
                                xg_bytes *raw) {
    const char *location = NULL;
    int64_t offset = 0, length = -1;
    if (!x->o || !x->o->external_data)
        return xg_error(x->c, XG_UNSUPPORTED, where,
                        "its data is in another file, and external data is off");
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *k = t->external_data[i]->key, *v = t->external_data[i]->value;
        if (!k || !v) continue;
        bool ok = true;
        if (!strcmp(k, "location"))
            location = v;
        else if (!strcmp(k, "offset"))
            ok = parse_number(v, &offset);
        else if (!strcmp(k, "length"))
            ok = parse_number(v, &length);
        if (!ok)
            return xg_error(x->c, XG_INPUT, where, "external data: %s '%s' is not a number >= 0", k,
                            v);
    }
    if (!location) return xg_error(x->c, XG_INPUT, where, "external data without a location");
    if (length < 0) length = (int64_t)want;
    return xg_external_map(x->a, x->file->path, where, location, offset, length, raw);
}

static xg_status check_dims(xg_onnx *x, const Xgonnx__Tensor *t, const char *where,
                            int64_t *elems) {
    *elems = 1;
    if (t->n_dims > XG_RANK_MAX)
        return xg_error(x->c, XG_LIMIT, where, "has %zu axes, at most %d are supported", t->n_dims,
                        XG_RANK_MAX);
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0 || t->dims[i] > INT32_MAX)
            return xg_error(x->c, XG_INPUT, where, "axis %zu has size %lld", i,
                            (long long)t->dims[i]);
        *elems *= t->dims[i]; /* both below 2^31: no overflow */
        if (*elems > INT32_MAX)
            return xg_error(x->c, XG_LIMIT, where, "has more than 2^31-1 elements");
    }
    return XG_OK;
}

/* The raw bytes of a tensor: in the message, left in the model's file, or in another file. p NULL:
 * typed fields. */
static xg_status raw_bytes(xg_onnx *x, const Xgonnx__Tensor *t, const char *where, size_t want,
                           xg_bytes *raw) {
    *raw = (xg_bytes){0};
    if (t->data_location == 1) return external_bytes(x, t, where, want, raw);
    if (t->has_payload_offset) { /* set by the loader: inside the file */
        raw->p = x->file->bytes.p + t->payload_offset;
        raw->n = (size_t)t->payload_bytes;
    } else if (t->has_raw_data) {
        raw->p = t->raw_data.data ? t->raw_data.data : (const uint8_t *)"";
        raw->n = t->raw_data.len;
    }
    return XG_OK;
}

/* ---- types that become others ---- */

enum { UINT16 = 4, UINT4 = 21, INT4 = 22 };

xg_ox_origin xg_ox_origin_of(const xg_onnx *x, uint32_t tensor) {
    return tensor < x->origin.n ? (xg_ox_origin)x->origin.v[tensor] : XG_OX_PLAIN;
}

static void note_origin(xg_onnx *x, uint32_t tensor, xg_ox_origin origin) {
    xg_reserve(x->a, &x->origin, tensor + 1);
    while (x->origin.n <= tensor) x->origin.v[x->origin.n++] = XG_OX_PLAIN;
    x->origin.v[tensor] = (uint8_t)origin;
}

static uint16_t le16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

/* Two values a byte, the first in the low half; typed data holds one such byte in each element. */
static uint8_t nibble(const Xgonnx__Tensor *t, const xg_bytes *raw, size_t i) {
    uint8_t byte = raw->p ? raw->p[i / 2] : (uint8_t)t->int32_data[i / 2];
    uint8_t v = i % 2 ? byte >> 4 : byte & 15;
    return t->data_type == INT4 && v > 7 ? (uint8_t)(v | 0xf0) : v;
}

/* uint16 as i32, uint4 as u8, int4 as i8. */
static xg_status other_constant(xg_onnx *x, const Xgonnx__Tensor *t, const char *where,
                                const char *name, uint32_t *out) {
    int64_t elems;
    xg_bytes raw;
    xg_status st = check_dims(x, t, where, &elems);
    bool wide = t->data_type == UINT16;
    size_t n = (size_t)elems, units = wide ? n : (n + 1) / 2, bytes = wide ? 2 * n : units;
    if (!st) st = raw_bytes(x, t, where, bytes, &raw);
    if (st) return st;
    if (raw.p ? raw.n != bytes : t->n_int32_data != units)
        return xg_error(x->c, XG_INPUT, where, "has %zu bytes or values, its shape asks for %zu",
                        raw.p ? raw.n : t->n_int32_data, raw.p ? bytes : units);
    xg_dtype dtype = wide ? XG_I32 : t->data_type == INT4 ? XG_I8 : XG_U8;
    void *data = xg_alloc_array(x->a, n, xg_dtype_bytes(dtype));
    for (size_t i = 0; i < n; i++)
        if (wide)
            ((int32_t *)data)[i] = raw.p ? le16(raw.p + 2 * i) : (uint16_t)t->int32_data[i];
        else
            ((uint8_t *)data)[i] = nibble(t, &raw, i);
    *out = xg_graph_add_const(x->g, name, dtype, (uint8_t)t->n_dims, t->dims, data, NULL);
    x->g->tensor.v[*out].onnx = name ? xg_strdup(x->a, name) : NULL;
    note_origin(x, *out, wide ? XG_OX_U16 : XG_OX_4BIT);
    return XG_OK;
}

xg_status xg_ox_constant(xg_onnx *x, const Xgonnx__Tensor *t, const char *name, uint32_t *out) {
    const char *where = xg_strf(x->a, "tensor '%s'", name ? name : x->name);
    xg_dtype dtype;
    int64_t elems;
    xg_bytes raw;
    if (t->data_type == UINT16 || t->data_type == UINT4 || t->data_type == INT4)
        return other_constant(x, t, where, name, out);
    if (!xg_ox_dtype(t->data_type, &dtype))
        return xg_error(x->c, XG_UNSUPPORTED, where, "constants of type %s are not supported",
                        xg_ox_dtype_name(t->data_type));
    xg_status st = check_dims(x, t, where, &elems);
    if (st) return st;
    const type_row *r = &types[t->data_type];
    size_t n = (size_t)elems;
    st = raw_bytes(x, t, where, n * r->bytes, &raw);
    if (st) return st;
    size_t have = raw.p ? raw.n / r->bytes : typed_count(t, r->typed);
    if (have != n || (raw.p && raw.n % r->bytes))
        return xg_error(x->c, XG_INPUT, where, "has data for %zu elements, its shape asks for %zu",
                        have, n);
    void *data = xg_alloc_array(x->a, n, xg_dtype_bytes(dtype));
    if (raw.p)
        convert_raw(t->data_type, raw.p, n, data);
    else
        convert_typed(t, n, data);
    *out = xg_graph_add_const(x->g, name, dtype, (uint8_t)t->n_dims, t->dims, data, NULL);
    xg_tensor *made = &x->g->tensor.v[*out];
    made->onnx = name ? xg_strdup(x->a, name) : NULL;
    if (dtype == XG_BOOL)
        for (size_t i = 0; i < n; i++) ((uint8_t *)data)[i] = ((uint8_t *)data)[i] != 0;
    return XG_OK;
}
