/* Small ONNX models from lines of text, in float and in QDQ form. Include after onnx_model.h.
 *
 *   Conv a w(8x8x3x3) _ pads=[1,1,1,1] -> y ; Relu y -> z
 *
 * An operator, inputs, attributes, "->", outputs; ";" or a new line between nodes. Inputs: a
 * tensor's name; _ absent; w(2x3) seeded weights of that shape, 8-bit behind DequantizeLinear in
 * QDQ form; f(2x3) the same, always f32; p(2x3) f32 in 1 .. 2; i(1,2) i64 constants, k(1) an i64
 * scalar, s(0.5) an f32 scalar, v(1,0.5) f32 constants, e an empty f32 list. Attributes: name=3,
 * name=0.5 (a point makes it a float), name=[1,2], name:text. In QDQ form what stands behind "->"
 * is quantised and dequantised, what stands behind "=>" is not. */
#ifndef ONNX_TEXT_H
#define ONNX_TEXT_H

#include "onnx_model.h"

typedef struct texter {
    model *m;
    bool qdq;
    uint64_t seed;
    uint32_t count; /* constants made */
} texter;

static const float text_scale = 0.06f;
static const int8_t text_zero = 3;

static inline uint32_t text_list(const char *p, char between, int64_t *v) {
    uint32_t n = 0;
    for (char *end; *p && *p != ')' && *p != ']'; p = *end == between ? end + 1 : end)
        v[n++] = strtoll(p, &end, 10);
    return n;
}

/* Weights around 0 of a size that keeps sums small. */
static inline const char *text_weights(texter *x, const char *p, char kind) {
    int64_t dim[8], n = 1, inner;
    uint32_t rank = text_list(p, 'x', dim);
    for (uint32_t i = 0; i < rank; i++) n *= dim[i];
    inner = rank ? n / dim[0] : 1;
    const char *name = xg_strf(x->m->t->a, "c%u", x->count++);
    float *v = xg_newn(x->m->t->a, float, (size_t)n);
    int8_t *q = xg_newn(x->m->t->a, int8_t, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        int r = (int)(xg_random(&x->seed) % 255) - 127;
        q[i] = (int8_t)r;
        v[i] = (float)r / 127 / (inner > 4 ? 2 : 1);
        if (kind == 'p') v[i] = 1.5f + v[i] / 2;
    }
    if (kind != 'w' || !x->qdq) {
        m_constant(x->m, name, ONNX_F32, rank, dim, v);
        return name;
    }
    const char *in = xg_strf(x->m->t->a, "%s_q,%s_s", name, name);
    m_constant(x->m, xg_strf(x->m->t->a, "%s_q", name), ONNX_I8, rank, dim, q);
    m_scalar(x->m, xg_strf(x->m->t->a, "%s_s", name), inner > 4 ? 0.5f / 127 : 1.0f / 127);
    m_node(x->m, "DequantizeLinear", in, name);
    return name;
}

static inline const char *text_numbers(texter *x, const char *p, char kind) {
    int64_t v[64];
    float f[64];
    const char *name = xg_strf(x->m->t->a, "c%u", x->count++);
    uint32_t n = 0;
    if (kind == 'i' || kind == 'k') {
        n = text_list(p, ',', v);
        int64_t dim = n;
        m_constant(x->m, name, ONNX_I64, kind == 'i', &dim, v);
        return name;
    }
    for (char *end; kind != 'e' && *p && *p != ')'; p = *end == ',' ? end + 1 : end)
        f[n++] = strtof(p, &end);
    int64_t dim = n;
    m_constant(x->m, name, ONNX_F32, kind != 's', &dim, f);
    return name;
}

static inline const char *text_input(texter *x, const char *word) {
    if (!strcmp(word, "_")) return "";
    if (!strcmp(word, "e")) return text_numbers(x, word, 'e');
    if (word[1] != '(') return word;
    return strchr("wfp", word[0]) ? text_weights(x, word + 2, word[0])
                                  : text_numbers(x, word + 2, word[0]);
}

static inline void text_attribute(texter *x, Xgonnx__Node *n, char *word) {
    char *value = strpbrk(word, "=:"), kind = *value;
    *value++ = 0;
    int64_t v[16];
    if (kind == ':')
        m_str(x->m, n, word, value);
    else if (*value == '[')
        m_ints(x->m, n, word, text_list(value + 1, ',', v), v);
    else if (strchr(value, '.'))
        m_float(x->m, n, word, strtof(value, NULL));
    else
        m_int(x->m, n, word, strtoll(value, NULL, 10));
}

/* real -> QuantizeLinear -> DequantizeLinear -> name */
static inline void text_pair(texter *x, const char *real, const char *name) {
    xg_arena *a = x->m->t->a;
    if (!x->count++) {
        m_scalar(x->m, "text_s", text_scale);
        m_constant(x->m, "text_z", ONNX_I8, 0, NULL, &text_zero);
    }
    const char *q = xg_strf(a, "%s_q", name);
    m_node(x->m, "QuantizeLinear", xg_strf(a, "%s,text_s,text_z", real), q);
    m_node(x->m, "DequantizeLinear", xg_strf(a, "%s,text_s,text_z", q), name);
}

static inline void text_node(texter *x, char *line) {
    xg_arena *a = x->m->t->a;
    char *rest, *word = strtok_r(line, " \n", &rest), *attribute[16];
    if (!word) return;
    const char *op = word, *in = NULL, *out = NULL;
    uint32_t attributes = 0;
    bool behind = false, quantised = false;
    while ((word = strtok_r(NULL, " \n", &rest))) {
        if (!strcmp(word, "->") || !strcmp(word, "=>")) {
            behind = true;
            quantised = x->qdq && word[0] == '-';
        } else if (!behind && strpbrk(word, "=:") && word[1] != '(')
            attribute[attributes++] = word;
        else if (!behind) {
            const char *name = text_input(x, word);
            in = in ? xg_strf(a, "%s,%s", in, name) : name;
        } else {
            const char *name = quantised ? xg_strf(a, "%s_real", word) : word;
            out = out ? xg_strf(a, "%s,%s", out, name) : name;
            if (quantised) text_pair(x, name, word);
        }
    }
    Xgonnx__Node *n = m_node(x->m, op, in ? in : "", out);
    if (!in) n->n_input = 0;
    for (uint32_t i = 0; i < attributes; i++) text_attribute(x, n, attribute[i]);
}

static inline void m_text(texter *x, const char *text) {
    char *rest, *copy = keep(x->m, text);
    for (char *line = strtok_r(copy, ";\n", &rest); line; line = strtok_r(NULL, ";\n", &rest))
        text_node(x, line);
}

#endif
