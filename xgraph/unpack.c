#include "xgraph/pack.h"

#include <string.h>

enum { BUDGET_BASE_BYTES = 64 << 20, BUDGET_FACTOR = 16 };

/* protobuf-c allocates from the graph's arena, so that weights are not copied a second time; the
 * budget stops a small file from asking for a lot (an empty message costs 2 bytes in the file and
 * about 100 in memory). Weights share one block, which is filled faster than many. */
typedef struct budget {
    xg_arena *arena;
    size_t left;
    uint8_t *block; /* of as many bytes as the file has */
    size_t block_left;
} budget;

enum { WEIGHTS_BYTES = 4096, WEIGHTS_ALIGN = 64 };

static void *budget_alloc(void *data, size_t n) {
    budget *b = data;
    if (n > b->left) return NULL;
    b->left -= n;
    size_t used = (n + WEIGHTS_ALIGN - 1) / WEIGHTS_ALIGN * WEIGHTS_ALIGN;
    if (n < WEIGHTS_BYTES || used > b->block_left) return xg_alloc(b->arena, n);
    b->block_left -= used;
    return (b->block += used) - used;
}

static void budget_free(void *data, void *p) {
    (void)data;
    (void)p; /* the arena's business */
}

typedef struct unpacker {
    xg_ctx *c;
    xg_arena *arena;
    const char *path;
    xg_graph *g;
    xg_map tensors, nodes;
} unpacker;

static xg_status XG_PRINTF(2, 3) damaged(const unpacker *u, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    xg_status st = xg_error(u->c, XG_INPUT, u->path, "%s", xg_vstrf(u->arena, fmt, ap));
    va_end(ap);
    return st;
}

/* A name as a string; false when it holds a NUL. Empty gives NULL. */
static bool text_of(xg_arena *a, ProtobufCBinaryData b, const char **out) {
    *out = NULL;
    if (!b.len) return true;
    if (memchr(b.data, 0, b.len)) return false;
    *out = xg_strndup(a, (const char *)b.data, b.len);
    return true;
}

static bool unknown(const ProtobufCMessage *m) {
    return m->n_unknown_fields != 0;
}

/* ---- tensors
 * -------------------------------------------------------------------------------------------- */

static xg_status unpack_quant(unpacker *u, const Xgraph__Quant *m, xg_tensor *t) {
    if (m->n_scale != m->n_zp || !m->n_scale || m->n_scale > INT32_MAX || unknown(&m->base))
        return damaged(u, "tensor '%.100s' has %zu scales and %zu zero points", t->name, m->n_scale,
                       m->n_zp);
    t->quant = xg_quant_new(u->g->arena, m->axis, (uint32_t)m->n_scale, m->scale, m->zp);
    return XG_OK;
}

static xg_status unpack_shape(unpacker *u, const Xgraph__Tensor *m, xg_tensor *t) {
    const char *dtype;
    if (!text_of(u->arena, m->dtype, &dtype) || !dtype || !xg_dtype_parse(dtype, &t->dtype))
        return damaged(u, "tensor '%.100s' has an unknown element type", t->name);
    if (m->n_dim > XG_RANK_MAX)
        return damaged(u, "tensor '%.100s' has %zu axes, at most %d are supported", t->name,
                       m->n_dim, XG_RANK_MAX);
    t->rank = (uint8_t)m->n_dim;
    for (uint32_t i = 0; i < t->rank; i++) {
        t->dim[i] = m->dim[i];
        if (t->dim[i] < 1 || t->dim[i] > INT32_MAX)
            return damaged(u, "tensor '%.100s': axis %u has size %lld", t->name, i,
                           (long long)t->dim[i]);
    }
    if (xg_tensor_elems(t) > INT32_MAX)
        return damaged(u, "tensor '%.100s' has more than 2^31-1 elements", t->name);
    return XG_OK;
}

static xg_status unpack_tensor(unpacker *u, const Xgraph__Tensor *m) {
    xg_tensor t = {.producer = XG_NONE};
    if (!text_of(u->arena, m->name, &t.name) || !text_of(u->arena, m->onnx, &t.onnx) || !t.name ||
        unknown(&m->base))
        return damaged(u, "tensor %u has a damaged name or an unknown field", u->g->tensor.n);
    if (xg_map_get(&u->tensors, t.name) != XG_NONE)
        return damaged(u, "two tensors are called '%.100s'", t.name);
    xg_status st = unpack_shape(u, m, &t);
    if (st == XG_OK && m->quant) st = unpack_quant(u, m->quant, &t);
    if (st != XG_OK) return st;
    size_t want = (size_t)xg_tensor_elems(&t) * xg_dtype_bytes(t.dtype);
    if (m->data.len && m->data.len != want)
        return damaged(u, "constant '%.100s' has %zu bytes, its shape needs %zu", t.name,
                       m->data.len, want);
    if (m->data.len) t.data = m->data.data; /* lies in the graph's arena, aligned by it */
    xg_map_set(&u->tensors, t.name, xg_graph_add_tensor(u->g, &t));
    return XG_OK;
}

/* ---- nodes
 * ---------------------------------------------------------------------------------------------- */

static xg_status unpack_attr(unpacker *u, const Xgraph__Attr *m, const xg_node *n) {
    const char *name;
    if (!text_of(u->arena, m->name, &name) || !name || unknown(&m->base))
        return damaged(u, "node '%.100s' has a damaged attribute", n->name);
    int slot = xg_attr_slot_by_name((xg_op)n->op, name);
    if (slot < 0)
        return damaged(u, "node '%.100s': %s has no attribute '%.60s'", n->name, xg_ops[n->op].name,
                       name);
    xg_attr *a = &n->attr[slot];
    xg_attr_kind kind = xg_attrs[xg_ops[n->op].attr[slot]].kind;
    bool integer = kind == XG_INT || kind == XG_INTS, single = kind == XG_INT || kind == XG_FLOAT;
    size_t count = integer ? m->n_i : m->n_f, other = integer ? m->n_f : m->n_i;
    if (other || (single && count != 1) || count > INT32_MAX)
        return damaged(u, "node '%.100s': attribute '%.60s' has another kind", n->name, name);
    if (kind == XG_INT) a->i = m->i[0];
    if (kind == XG_FLOAT) a->f = m->f[0];
    if (single) return XG_OK;
    a->n = (uint32_t)count;
    a->is = integer ? m->i : NULL;
    a->fs = integer ? NULL : m->f;
    return XG_OK;
}

static xg_status check_indices(unpacker *u, const char *node, const uint32_t *t, size_t n,
                               bool in) {
    for (size_t i = 0; i < n; i++) {
        if (in && t[i] == XG_NONE) continue;
        if (t[i] >= u->g->tensor.n)
            return damaged(u, "%.100s: tensor number %u, the graph has %u", node, t[i],
                           u->g->tensor.n);
    }
    return XG_OK;
}

static xg_status unpack_node(unpacker *u, const Xgraph__Node *m) {
    const char *op_name, *name, *onnx;
    bool ok = text_of(u->arena, m->op, &op_name) && text_of(u->arena, m->name, &name);
    ok = ok && text_of(u->arena, m->onnx, &onnx) && op_name && name && !unknown(&m->base);
    if (!ok) return damaged(u, "node %u has a damaged name or an unknown field", u->g->node.n);
    int op = xg_op_by_name(op_name);
    if (op < 0) return damaged(u, "node '%.100s': unknown operator '%.60s'", name, op_name);
    if (xg_map_get(&u->nodes, name) != XG_NONE)
        return damaged(u, "two nodes are called '%.100s'", name);
    if (m->n_in > INT32_MAX || m->n_out > INT32_MAX)
        return damaged(u, "node '%.100s' has too many operands", name);
    xg_status st = check_indices(u, name, m->in, m->n_in, true);
    if (st == XG_OK) st = check_indices(u, name, m->out, m->n_out, false);
    if (st != XG_OK) return st;
    uint32_t node = xg_graph_add_node_to(u->g, (xg_op)op, name, m->in, (uint32_t)m->n_in, m->out,
                                         (uint32_t)m->n_out);
    u->g->node.v[node].onnx = onnx;
    xg_map_set(&u->nodes, name, node);
    for (size_t i = 0; i < m->n_attr && st == XG_OK; i++)
        st = unpack_attr(u, m->attr[i], &u->g->node.v[node]);
    return st;
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------ */

static xg_status unpack_border(unpacker *u, const uint32_t *t, size_t n, bool input) {
    const char *what = input ? "the graph's inputs" : "the graph's outputs";
    xg_status st = check_indices(u, what, t, n, false);
    for (size_t i = 0; i < n && st == XG_OK; i++) {
        xg_tensor *is = &u->g->tensor.v[t[i]];
        if (input ? is->is_input : is->is_output)
            return damaged(u, "%s: '%.100s' stands there twice", what, is->name);
        if (input)
            xg_graph_add_input(u->g, t[i]);
        else
            xg_graph_add_output(u->g, t[i]);
    }
    return st;
}

static xg_status unpack_graph(unpacker *u, const Xgraph__Graph *m) {
    const char *name;
    if (!text_of(u->arena, m->name, &name) || unknown(&m->base))
        return damaged(u, "the graph has a damaged name or an unknown field");
    u->g = xg_graph_new(u->arena, name);
    xg_status st = XG_OK;
    for (size_t i = 0; i < m->n_tensor && st == XG_OK; i++) st = unpack_tensor(u, m->tensor[i]);
    for (size_t i = 0; i < m->n_node && st == XG_OK; i++) st = unpack_node(u, m->node[i]);
    if (st == XG_OK) st = unpack_border(u, m->input, m->n_input, true);
    if (st == XG_OK) st = unpack_border(u, m->output, m->n_output, false);
    for (size_t i = 0; i < m->n_log && st == XG_OK; i++) {
        const char *line;
        if (!text_of(u->arena, m->log[i], &line)) return damaged(u, "a damaged log line");
        xg_push(u->arena, &u->g->log, line ? line : "");
    }
    return st;
}

static bool is_packed(const uint8_t *p, size_t n) {
    static const uint8_t head[] = {XG_PACK_TAG, 'X', 'G', 'R'};
    return n > sizeof head && !memcmp(p, head, sizeof head);
}

xg_status xg_graph_unpack(xg_arena *a, const char *path, const void *p, size_t n, xg_graph **out) {
    unpacker u = {.c = xg_arena_ctx(a),
                  .arena = a,
                  .path = path,
                  .tensors = {.arena = a},
                  .nodes = {.arena = a}};
    if (!is_packed(p, n)) return damaged(&u, "not an XGraph in binary form");
    int version = ((const uint8_t *)p)[4];
    if (version != XG_FORM_VERSION)
        return damaged(&u, "format %d, this program reads format %d", version, XG_FORM_VERSION);
    if (n > XG_PACK_BYTES_MAX)
        return xg_error(u.c, XG_LIMIT, path,
                        "%zu bytes, the binary form of a graph holds at most %d", n,
                        XG_PACK_BYTES_MAX);
    budget b = {a, BUDGET_BASE_BYTES + BUDGET_FACTOR * n, xg_alloc(a, n), n};
    ProtobufCAllocator alloc = {budget_alloc, budget_free, &b};
    Xgraph__Graph *m = xgraph__graph__unpack(&alloc, n, p);
    if (!m) return damaged(&u, "the file is damaged or cut off");
    if (m->magic != XG_PACK_MAGIC) return damaged(&u, "the format is given twice");
    xg_status st = unpack_graph(&u, m);
    if (st == XG_OK) st = xg_graph_verify(u.c, u.g);
    if (st == XG_OK) *out = u.g;
    return st;
}

xg_status xg_graph_read(xg_arena *a, const char *path, xg_graph **out) {
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(a));
    xg_bytes file;
    xg_status st = xg_read_file(scratch, path, &file);
    if (st == XG_OK)
        st = is_packed(file.p, file.n) ? xg_graph_unpack(a, path, file.p, file.n, out)
                                       : xg_graph_parse(a, path, (const char *)file.p, file.n, out);
    xg_arena_free(scratch);
    return st;
}
