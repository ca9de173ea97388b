#include "xgraph/onnx_load.h"

#include <limits.h>
#include <string.h>

enum {
    DEPTH_MAX = 100,          /* nested messages, as Google's parsers */
    PAYLOAD_MIN_BYTES = 4096, /* raw_data from here on stays in the file */
    LENGTH_BYTES = 5, /* a length is patched in after its message: always written in 5 bytes */
    BUDGET_BASE_BYTES = 64 << 20,
    BUDGET_FACTOR = 64,
};

typedef struct walker {
    xg_ctx *c;
    const char *path;
    const uint8_t *base; /* the file */
    xg_buf *out;
} walker;

typedef struct span {
    const uint8_t *p, *end;
} span;

static xg_status damaged(const walker *w, const uint8_t *at, const char *what) {
    return xg_error(w->c, XG_INPUT, w->path, "byte %zu: %s; not a valid ONNX file",
                    (size_t)(at - w->base), what);
}

static bool read_varint(span *s, uint64_t *v) {
    uint64_t r = 0;
    for (int shift = 0; shift < 70 && s->p < s->end; shift += 7) {
        uint8_t byte = *s->p++;
        if (shift < 64) r |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *v = r;
            return true;
        }
    }
    return false;
}

static void put_varint(xg_buf *b, uint64_t v) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (bytes[n++] & 0x80);
    xg_put(b, bytes, n);
}

static void patch_length(xg_buf *b, size_t at, size_t v) {
    for (int i = 0; i < LENGTH_BYTES; i++) {
        b->p[at + (size_t)i] = (char)((v & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
        v >>= 7;
    }
}

static bool is_private(const ProtobufCMessageDescriptor *d, uint32_t id) {
    return d == &xgonnx__tensor__descriptor && (id == 536870001 || id == 536870002);
}

static xg_status walk_message(walker *w, const ProtobufCMessageDescriptor *d, span s, int depth);

/* Names go into one-line messages and text forms. */
static bool has_control(span s) {
    for (; s.p < s.end; s.p++)
        if (*s.p < 0x20 || *s.p == 0x7f) return true;
    return false;
}

static xg_status walk_bytes_field(walker *w, const ProtobufCMessageDescriptor *d,
                                  const ProtobufCFieldDescriptor *f, uint64_t tag, span body,
                                  int depth) {
    size_t n = (size_t)(body.end - body.p);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (depth + 1 > DEPTH_MAX) return damaged(w, body.p, "messages nested deeper than 100");
        put_varint(w->out, tag);
        size_t at = w->out->n;
        xg_put(w->out, "\0\0\0\0\0", LENGTH_BYTES);
        xg_status st = walk_message(w, f->descriptor, body, depth + 1);
        if (st) return st;
        if (w->out->n - at - LENGTH_BYTES > INT_MAX)
            return damaged(w, body.p, "message above 2 GiB");
        patch_length(w->out, at, w->out->n - at - LENGTH_BYTES);
        return XG_OK;
    }
    if (d == &xgonnx__tensor__descriptor && f->id == 9 && n > PAYLOAD_MIN_BYTES) {
        put_varint(w->out, (uint64_t)536870001 << 3);
        put_varint(w->out, (uint64_t)(body.p - w->base));
        put_varint(w->out, (uint64_t)536870002 << 3);
        put_varint(w->out, n);
        return XG_OK;
    }
    if (f->type == PROTOBUF_C_TYPE_STRING && has_control(body))
        return damaged(w, body.p, "a name with a control character in it");
    put_varint(w->out, tag);
    put_varint(w->out, n);
    xg_put(w->out, body.p, n);
    return XG_OK;
}

static xg_status walk_field(walker *w, const ProtobufCMessageDescriptor *d, span *s, int depth) {
    const uint8_t *start = s->p;
    uint64_t tag, v = 0;
    if (!read_varint(s, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return damaged(w, start, "bad field tag");
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(d, (unsigned)(tag >> 3));
    bool keep = f && !is_private(d, (uint32_t)(tag >> 3));
    size_t left = (size_t)(s->end - s->p), fixed = (tag & 7) == 1 ? 8 : 4;
    switch (tag & 7) {
    case 0:
        if (!read_varint(s, &v)) return damaged(w, start, "number cut off");
        break;
    case 1:
    case 5:
        if (left < fixed) return damaged(w, start, "number cut off");
        s->p += fixed;
        break;
    case 2: {
        if (!read_varint(s, &v) || v > (uint64_t)(s->end - s->p))
            return damaged(w, start, "a length that exceeds its message");
        span body = {s->p, s->p + v};
        s->p = body.end;
        return keep ? walk_bytes_field(w, d, f, tag, body, depth) : XG_OK;
    }
    default:
        return damaged(w, start, "wire type that ONNX does not use");
    }
    if (keep) {
        if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING ||
            f->type == PROTOBUF_C_TYPE_BYTES)
            return damaged(w, start, "field of the wrong wire type");
        xg_put(w->out, start, (size_t)(s->p - start));
    }
    return XG_OK;
}

static xg_status walk_message(walker *w, const ProtobufCMessageDescriptor *d, span s, int depth) {
    while (s.p < s.end) {
        xg_status st = walk_field(w, d, &s, depth);
        if (st) return st;
    }
    return XG_OK;
}

/* protobuf-c allocates from the arena up to a budget; NULL makes it give up cleanly. */
typedef struct budget {
    xg_arena *arena;
    size_t left;
} budget;

static void *budget_alloc(void *data, size_t n) {
    budget *b = data;
    if (n > b->left) return NULL;
    b->left -= n;
    return xg_alloc(b->arena, n);
}

static void budget_free(void *data, void *p) {
    (void)data;
    (void)p;
}

xg_status xg_onnx_parse(xg_arena *a, const char *path, xg_bytes bytes, xg_onnx_file *out) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_buf skeleton = {.arena = a};
    walker w = {c, path, bytes.p, &skeleton};
    if (bytes.n == 0) return xg_error(c, XG_INPUT, path, "empty file; expected an ONNX model");
    span all = {bytes.p, bytes.p + bytes.n};
    xg_status st = walk_message(&w, &xgonnx__model__descriptor, all, 1);
    if (st) return st;
    if (skeleton.n > INT_MAX) return xg_error(c, XG_LIMIT, path, "model structure above 2 GiB");
    budget b = {a, (size_t)BUDGET_BASE_BYTES + BUDGET_FACTOR * skeleton.n};
    ProtobufCAllocator alloc = {budget_alloc, budget_free, &b};
    out->path = path;
    out->bytes = bytes;
    out->model = xgonnx__model__unpack(&alloc, skeleton.n, (const uint8_t *)skeleton.p);
    if (!out->model) return xg_error(c, XG_INPUT, path, "damaged message; not a valid ONNX file");
    if (!out->model->graph) return xg_error(c, XG_INPUT, path, "no graph; not a valid ONNX model");
    return XG_OK;
}

xg_status xg_onnx_load(xg_arena *a, const char *path, xg_onnx_file *out) {
    xg_bytes bytes;
    xg_status st = xg_read_file(a, path, &bytes);
    if (st == XG_OK && bytes.n > 6 && !memcmp(bytes.p, "graph \"", 7))
        return xg_error(xg_arena_ctx(a), XG_INPUT, path,
                        "text form of an XGraph, not ONNX: give it a name that ends in .xg");
    return st ? st : xg_onnx_parse(a, path, bytes, out);
}
