#include "xgraph/form.h"

#include <string.h>

static void put_f32s(xg_buf *b, const char *key, const float *v, uint32_t n, bool list) {
    xg_putf(b, list ? " %s=[" : " %s=", key);
    for (uint32_t i = 0; i < n; i++) {
        if (i) xg_puts(b, ",");
        xg_put_f32(b, v[i]);
    }
    if (list) xg_puts(b, "]");
}

static void put_i64s(xg_buf *b, const char *key, const int64_t *v, uint32_t n) {
    xg_putf(b, " %s=[", key);
    for (uint32_t i = 0; i < n; i++) xg_putf(b, i ? ",%lld" : "%lld", (long long)v[i]);
    xg_puts(b, "]");
}

static void put_quant(xg_buf *b, const xg_quant *q) {
    bool list = q->axis >= 0;
    if (list) xg_putf(b, " axis=%d", q->axis);
    put_f32s(b, "scale", q->scale, q->n, list);
    xg_puts(b, list ? " zp=[" : " zp=");
    for (uint32_t i = 0; i < q->n; i++) xg_putf(b, i ? ",%d" : "%d", q->zp[i]);
    if (list) xg_puts(b, "]");
}

static void put_data(xg_buf *b, const xg_tensor *t, bool with_data) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = t->data;
    size_t n = (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype);
    if (!with_data) {
        char digest[65];
        xg_sha256_hex(p, n, digest);
        xg_putf(b, " data=sha256:%s", digest);
        return;
    }
    xg_puts(b, " data=hex:");
    for (size_t i = 0; i < n;) {
        char chunk[512];
        size_t k = 0;
        for (; k < sizeof chunk && i < n; i++) {
            chunk[k++] = digits[p[i] >> 4];
            chunk[k++] = digits[p[i] & 15];
        }
        xg_put(b, chunk, k);
    }
}

static void put_onnx(xg_buf *b, const char *onnx) {
    if (!onnx || !*onnx) return;
    xg_puts(b, " onnx=");
    xg_put_quoted(b, onnx, false);
}

static void put_tensor(xg_buf *b, const xg_tensor *t, bool with_data) {
    xg_puts(b, "tensor ");
    xg_put_quoted(b, t->name, false);
    xg_putf(b, " %s [", xg_dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->rank; i++) xg_putf(b, i ? ",%lld" : "%lld", (long long)t->dim[i]);
    xg_puts(b, "]");
    if (t->quant) put_quant(b, t->quant);
    put_onnx(b, t->onnx);
    if (t->data) put_data(b, t, with_data);
    xg_puts(b, "\n");
}

static void put_names(xg_buf *b, const char *key, const xg_graph *g, const uint32_t *t,
                      uint32_t n) {
    xg_putf(b, " %s=[", key);
    for (uint32_t i = 0; i < n; i++) {
        if (i) xg_puts(b, ",");
        xg_put_quoted(b, t[i] == XG_NONE ? "" : g->tensor.v[t[i]].name, false);
    }
    xg_puts(b, "]");
}

bool xg_attr_is_default(const xg_attr *a, xg_attr_id id) {
    const xg_attr_desc *d = &xg_attrs[id];
    switch (d->kind) {
    case XG_INT:
        return a->i == d->default_i;
    case XG_FLOAT:
        return !memcmp(&a->f, &d->default_f, sizeof a->f); /* tells 0 from -0 */
    case XG_INTS:
    case XG_FLOATS:
        break;
    }
    return a->n == 0;
}

static void put_attr(xg_buf *b, const xg_attr *a, xg_attr_id id) {
    const xg_attr_desc *d = &xg_attrs[id];
    switch (d->kind) {
    case XG_INT:
        xg_putf(b, " %s=%lld", d->name, (long long)a->i);
        break;
    case XG_FLOAT:
        put_f32s(b, d->name, &a->f, 1, false);
        break;
    case XG_INTS:
        put_i64s(b, d->name, a->is, a->n);
        break;
    case XG_FLOATS:
        put_f32s(b, d->name, a->fs, a->n, true);
        break;
    }
}

static void put_node(xg_buf *b, const xg_graph *g, const xg_node *n) {
    const xg_op_desc *d = &xg_ops[n->op];
    xg_putf(b, "node %s ", d->name);
    xg_put_quoted(b, n->name, false);
    put_names(b, "in", g, n->in, n->nin);
    put_names(b, "out", g, n->out, n->nout);
    put_onnx(b, n->onnx);
    for (uint32_t i = 0; i < d->nattr; i++)
        if (!xg_attr_is_default(&n->attr[i], (xg_attr_id)d->attr[i]))
            put_attr(b, &n->attr[i], (xg_attr_id)d->attr[i]);
    xg_puts(b, "\n");
}

static void put_line(xg_buf *b, const char *word, const char *text) {
    xg_putf(b, "%s ", word);
    xg_put_quoted(b, text, false);
    xg_puts(b, "\n");
}

void xg_graph_print(const xg_graph *g, bool with_data, xg_buf *out) {
    xg_puts(out, "graph ");
    xg_put_quoted(out, g->name, false);
    xg_putf(out, " format=%d\n", XG_FORM_VERSION);
    for (uint32_t i = 0; i < g->tensor.n; i++) put_tensor(out, &g->tensor.v[i], with_data);
    for (uint32_t i = 0; i < g->input.n; i++)
        put_line(out, "input", g->tensor.v[g->input.v[i]].name);
    for (uint32_t i = 0; i < g->node.n; i++) put_node(out, g, &g->node.v[i]);
    for (uint32_t i = 0; i < g->output.n; i++)
        put_line(out, "output", g->tensor.v[g->output.v[i]].name);
    for (uint32_t i = 0; i < g->log.n; i++) put_line(out, "log", g->log.v[i]);
}
