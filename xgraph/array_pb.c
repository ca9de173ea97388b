/* ONNX TensorProto, straight from the protobuf wire: dims = 1, data_type = 2, float_data = 4,
 * int32_data = 5, int64_data = 7, name = 8, raw_data = 9, double_data = 10, data_location = 14. */
#include "xgraph/array.h"

#include <string.h>

typedef struct wire {
    const uint8_t *p, *end;
} wire;

static bool varint(wire *w, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64 && w->p < w->end; shift += 7) {
        uint8_t b = *w->p++;
        *out |= (uint64_t)(b & 127) << shift;
        if (b < 128) return true;
    }
    return false;
}

static bool take(wire *w, uint64_t n, wire *out) {
    if (n > (uint64_t)(w->end - w->p)) return false;
    *out = (wire){w->p, w->p + n};
    w->p += n;
    return true;
}

typedef struct tensor_proto {
    xg_arena *arena;
    uint32_t rank;
    int64_t dim[XG_RANK_MAX];
    uint64_t type, location;
    wire name, raw;
    XG_VEC(uint8_t) fixed;   /* float_data or double_data as file bytes */
    XG_VEC(int64_t) integer; /* int32_data or int64_data */
} tensor_proto;

static bool add_dim(tensor_proto *t, uint64_t v) {
    if (t->rank == XG_RANK_MAX) return false;
    t->dim[t->rank++] = (int64_t)v;
    return true;
}

/* One value or a packed run of field number `field`, as varints. */
static bool add_varint(tensor_proto *t, uint32_t field, uint64_t v) {
    switch (field) {
    case 1:
        return add_dim(t, v);
    case 2:
        t->type = v;
        return true;
    case 5:
    case 7:
        xg_push(t->arena, &t->integer, (int64_t)v);
        return true;
    case 14:
        t->location = v;
        return true;
    default:
        return true;
    }
}

static void add_fixed(tensor_proto *t, wire run) {
    size_t n = (size_t)(run.end - run.p);
    if (!n) return;
    xg_reserve(t->arena, &t->fixed, t->fixed.n + (uint32_t)n);
    memcpy(t->fixed.v + t->fixed.n, run.p, n);
    t->fixed.n += (uint32_t)n;
}

static bool add_bytes(tensor_proto *t, uint32_t field, wire run) {
    if (field == 8) t->name = run;
    if (field == 9) t->raw = run;
    if (field == 4 || field == 10) add_fixed(t, run);
    if (field != 1 && field != 5 && field != 7) return true;
    while (run.p < run.end) {
        uint64_t v;
        if (!varint(&run, &v) || !add_varint(t, field, v)) return false;
    }
    return true;
}

static bool read_field(wire *w, tensor_proto *t) {
    uint64_t key, v;
    wire run;
    if (!varint(w, &key) || key >> 3 == 0 || key >> 3 > INT32_MAX) return false;
    uint32_t field = (uint32_t)(key >> 3);
    switch (key & 7) {
    case 0:
        return varint(w, &v) && add_varint(t, field, v);
    case 1:
        if (!take(w, 8, &run)) return false;
        if (field == 10) add_fixed(t, run);
        return true;
    case 2:
        return varint(w, &v) && take(w, v, &run) && add_bytes(t, field, run);
    case 5:
        if (!take(w, 4, &run)) return false;
        if (field == 4) add_fixed(t, run);
        return true;
    default:
        return false;
    }
}

/* By ONNX's numbers of element types; bytes = 0: not supported. */
static const xg_element types[] = {
    [1] = {XG_F32, 4, false, false},  [2] = {XG_U8, 1, false, false},
    [3] = {XG_I8, 1, false, false},   [5] = {XG_I16, 2, false, false},
    [6] = {XG_I32, 4, false, false},  [7] = {XG_I64, 8, false, false},
    [9] = {XG_BOOL, 1, false, false}, [10] = {XG_F32, 2, false, true},
    [11] = {XG_F32, 8, true, false},
};

static xg_status wrong_size(xg_ctx *c, const char *where, size_t got, int64_t want,
                            const char *unit) {
    return xg_error(c, XG_INPUT, where, "%zu %s of tensor data, expected %lld", got, unit,
                    (long long)want);
}

/* int32_data and int64_data hold one element each, float16 by its bits. */
static void from_integers(const tensor_proto *t, xg_element e, void *data, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = (uint64_t)t->integer.v[i];
        uint8_t bytes[8];
        for (int k = 0; k < 8; k++) bytes[k] = (uint8_t)(v >> (8 * k));
        xg_element_copy(e, bytes, (char *)data + (size_t)i * xg_dtype_bytes(e.dtype), 1);
    }
}

static xg_status read_data(const tensor_proto *t, const char *where, xg_element e, int64_t n,
                           void **out) {
    xg_ctx *c = xg_arena_ctx(t->arena);
    const size_t raw = (size_t)(t->raw.end - t->raw.p);
    const bool fixed = e.dtype == XG_F32 && !e.f16;
    const uint8_t *bytes = t->raw.p ? t->raw.p : t->fixed.v;
    if (!t->raw.p && !fixed) {
        if (t->integer.n != n) return wrong_size(c, where, t->integer.n, n, "elements");
        *out = xg_alloc_array(t->arena, (size_t)n, xg_dtype_bytes(e.dtype));
        from_integers(t, e, *out, n);
        return XG_OK;
    }
    size_t have = t->raw.p ? raw : t->fixed.n;
    if (have != (uint64_t)n * e.bytes) return wrong_size(c, where, have, n * e.bytes, "bytes");
    *out = xg_alloc_array(t->arena, (size_t)n, xg_dtype_bytes(e.dtype));
    xg_element_copy(e, bytes, *out, n);
    return XG_OK;
}

xg_status xg_array_parse_pb(xg_arena *a, const char *where, xg_bytes file, xg_array *out) {
    xg_ctx *c = xg_arena_ctx(a);
    tensor_proto t = {.arena = a};
    wire w = {file.p, file.p + file.n};
    if (file.n > INT32_MAX) return xg_error(c, XG_LIMIT, where, "a TensorProto of more than 2 GiB");
    while (w.p < w.end)
        if (!read_field(&w, &t))
            return xg_error(c, XG_INPUT, where, "is no TensorProto: damaged near byte %td",
                            w.p - file.p);
    if (t.location)
        return xg_error(c, XG_UNSUPPORTED, where, "the tensor's data is in another file");
    if (t.type >= XG_COUNT(types) || !types[t.type].bytes)
        return xg_error(c, XG_UNSUPPORTED, where, "ONNX element type %llu",
                        (unsigned long long)t.type);
    int64_t n;
    void *data = NULL;
    *out = (xg_array){.dtype = types[t.type].dtype};
    xg_status st = xg_array_shape(a, where, out, t.rank, t.dim, &n);
    if (!st) st = read_data(&t, where, types[t.type], n, &data);
    if (st) return st;
    if (t.name.p)
        out->name = xg_strndup(a, (const char *)t.name.p, (size_t)(t.name.end - t.name.p));
    out->data = data;
    return XG_OK;
}
