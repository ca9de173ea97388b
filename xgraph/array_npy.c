/* numpy's own array format (numpy's documentation, numpy.lib.format): read and written. */
#include "xgraph/array.h"

#include <string.h>

typedef struct cursor {
    const char *p, *end;
} cursor;

static void blanks(cursor *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool eat(cursor *s, char ch) {
    blanks(s);
    if (s->p == s->end || *s->p != ch) return false;
    s->p++;
    return true;
}

static bool eat_word(cursor *s, const char *word) {
    size_t n = strlen(word);
    blanks(s);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n)) return false;
    s->p += n;
    return true;
}

/* A short quoted string without escapes. */
static bool eat_string(cursor *s, char *out, size_t size) {
    size_t n = 0;
    blanks(s);
    if (s->p == s->end || (*s->p != '\'' && *s->p != '"')) return false;
    char quote = *s->p++;
    while (s->p < s->end && *s->p != quote && n + 1 < size) out[n++] = *s->p++;
    out[n] = 0;
    return s->p < s->end && *s->p++ == quote;
}

static bool eat_int(cursor *s, int64_t *out) {
    int64_t v = 0;
    blanks(s);
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s->p - '0', &v))
            return false;
        s->p++;
    }
    *out = v;
    return s->p > from;
}

typedef struct npy_header {
    char descr[16];
    bool fortran;
    bool has_descr, has_order, has_shape;
    uint32_t rank;
    int64_t dim[XG_RANK_MAX];
} npy_header;

static bool eat_shape(cursor *s, npy_header *h) {
    if (!eat(s, '(')) return false;
    h->rank = 0;
    while (!eat(s, ')')) {
        if (h->rank == XG_RANK_MAX || !eat_int(s, &h->dim[h->rank++])) return false;
        if (!eat(s, ',')) return eat(s, ')');
    }
    return true;
}

static bool eat_entry(cursor *s, npy_header *h) {
    char key[32];
    if (!eat_string(s, key, sizeof key) || !eat(s, ':')) return false;
    if (!strcmp(key, "descr")) return h->has_descr = eat_string(s, h->descr, sizeof h->descr);
    if (!strcmp(key, "shape")) return h->has_shape = eat_shape(s, h);
    if (strcmp(key, "fortran_order")) return false;
    h->fortran = eat_word(s, "True");
    return h->has_order = h->fortran || eat_word(s, "False");
}

static bool parse_header(cursor s, npy_header *h) {
    if (!eat(&s, '{')) return false;
    while (!eat(&s, '}')) {
        if (!eat_entry(&s, h)) return false;
        if (!eat(&s, ',') && !eat(&s, '}')) return false;
        if (s.p[-1] == '}') break;
    }
    return h->has_descr && h->has_order && h->has_shape;
}

static const struct {
    const char *descr; /* without the byte order */
    xg_element e;
} types[] = {
    {"f4", {XG_F32, 4, false, false}}, {"f8", {XG_F32, 8, true, false}},
    {"i1", {XG_I8, 1, false, false}},  {"u1", {XG_U8, 1, false, false}},
    {"i2", {XG_I16, 2, false, false}}, {"i4", {XG_I32, 4, false, false}},
    {"i8", {XG_I64, 8, false, false}}, {"b1", {XG_BOOL, 1, false, false}},
};

static bool find_type(const char *descr, xg_element *out) {
    for (size_t i = 0; i < XG_COUNT(types); i++) {
        bool single = types[i].e.bytes == 1;
        if (strcmp(descr + (descr[0] != 0), types[i].descr)) continue;
        *out = types[i].e;
        return descr[0] == '<' ||
               (single && (descr[0] == '|' || descr[0] == '=' || descr[0] == '>'));
    }
    return false;
}

/* Column-major to row-major. */
static void reorder(const xg_array *v, size_t size, const char *src, char *dst, int64_t n) {
    int64_t idx[XG_RANK_MAX] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t from = 0;
        for (int k = v->rank - 1; k >= 0; k--) from = from * v->dim[k] + idx[k];
        memcpy(dst + (size_t)i * size, src + (size_t)from * size, size);
        for (int k = v->rank - 1; k >= 0; k--) {
            if (++idx[k] < v->dim[k]) break;
            idx[k] = 0;
        }
    }
}

static xg_status read_elements(xg_arena *a, const char *where, const npy_header *h, xg_bytes body,
                               xg_array *out) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_element e;
    int64_t n;
    if (!find_type(h->descr, &e))
        return xg_error(c, XG_UNSUPPORTED, where,
                        "element type '%s', expected <f4 <f8 |i1 |u1 <i2 <i4 <i8 or |b1", h->descr);
    xg_status st = xg_array_shape(a, where, out, h->rank, h->dim, &n);
    if (st) return st;
    if ((uint64_t)n * e.bytes != body.n)
        return xg_error(c, XG_INPUT, where, "%zu bytes of elements, expected %llu for %lld of %s",
                        body.n, (unsigned long long)n * e.bytes, (long long)n, h->descr);
    out->dtype = e.dtype;
    size_t size = xg_dtype_bytes(e.dtype);
    char *data = xg_alloc_array(a, (size_t)n, size);
    xg_element_copy(e, body.p, data, n);
    out->data = data;
    if (h->fortran && out->rank > 1) {
        char *rows = xg_alloc_array(a, (size_t)n, size);
        reorder(out, size, data, rows, n);
        out->data = rows;
    }
    return XG_OK;
}

xg_status xg_array_parse_npy(xg_arena *a, const char *where, xg_bytes file, xg_array *out) {
    xg_ctx *c = xg_arena_ctx(a);
    if (file.n < 12 || memcmp(file.p, "\x93NUMPY", 6))
        return xg_error(c, XG_INPUT, where, "is no .npy file: it does not begin with \\x93NUMPY");
    uint8_t version = file.p[6];
    if (version < 1 || version > 3)
        return xg_error(c, XG_UNSUPPORTED, where, ".npy version %u, expected 1 to 3", version);
    size_t at = version == 1 ? 10 : 12,
           len = version == 1 ? xg_le16(file.p + 8) : xg_le32(file.p + 8);
    if (len > file.n - at)
        return xg_error(c, XG_INPUT, where, "the header has %zu bytes, but only %zu are there", len,
                        file.n - at);
    npy_header h = {0};
    if (!parse_header((cursor){(const char *)file.p + at, (const char *)file.p + at + len}, &h))
        return xg_error(c, XG_INPUT, where,
                        "the .npy header is damaged (expected descr, fortran_order and a shape of "
                        "at most %d axes)",
                        XG_RANK_MAX);
    *out = (xg_array){.name = out->name};
    return read_elements(a, where, &h, (xg_bytes){file.p + at + len, file.n - at - len}, out);
}

xg_status xg_array_write_npy(xg_ctx *c, const char *path, const xg_array *v) {
    static const char *const descr[XG_DTYPE_COUNT] = {
        [XG_F32] = "<f4", [XG_I8] = "|i1",  [XG_U8] = "|u1",  [XG_I16] = "<i2",
        [XG_I32] = "<i4", [XG_I64] = "<i8", [XG_BOOL] = "|b1"};
    xg_arena *a = xg_arena_new(c);
    xg_buf head = {.arena = a}, out = {.arena = a};
    size_t n = xg_dtype_bytes(v->dtype);
    xg_putf(&head, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[v->dtype]);
    for (uint8_t i = 0; i < v->rank; i++) {
        xg_putf(&head, "%lld,%s", (long long)v->dim[i], i + 1 < v->rank ? " " : "");
        n *= (size_t)v->dim[i];
    }
    xg_puts(&head, "), }");
    while ((10 + head.n + 1) % 64) /* so that the elements are aligned */
        xg_puts(&head, " ");
    xg_puts(&head, "\n");
    const uint8_t first[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)head.n, (uint8_t)(head.n >> 8)};
    xg_put(&out, first, sizeof first);
    xg_put(&out, head.p, head.n);
    xg_put(&out, v->data, n);
    xg_status st = xg_write_file(c, path, out.p, out.n);
    xg_arena_free(a);
    return st;
}
