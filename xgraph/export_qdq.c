/* Float graph and its quantisation -> QDQ ONNX. The operators stay float and keep their kinds; each
 * tensor that has an integer twin passes through QuantizeLinear and DequantizeLinear, weights and
 * biases are integers behind DequantizeLinear. */
#include "xgraph/import.h"

#include "xgraph/export_onnx.h"
#include "xgraph/kernel.h"

#include <string.h>

typedef struct qdq {
    xg_export e;
    const xg_quant_map *map;
    xg_dtype type;    /* of 8-bit activations */
    char **narrow[2]; /* [form][tensor]: as e.name, of the 8-bit twin of a 16-bit tensor */
} qdq;

/* A tensor of the quantised graph that is an activation, or NULL. */
static const xg_tensor *activation(const qdq *q, uint32_t twin) {
    if (twin == XG_NONE) return NULL;
    const xg_tensor *v = xg_tensorp(q->map->to, twin);
    return v->quant && (xg_dtype_is_int8(v->dtype) || v->dtype == XG_I16) ? v : NULL;
}

/* The integer twin of a tensor of the float graph, or NULL. */
static const xg_tensor *twin_of(const qdq *q, uint32_t t) {
    return activation(q, q->map->tensor[t]);
}

/* What a twin is written as: 8 bits as asked, 16 bits signed. */
static xg_dtype type_of(const qdq *q, const xg_tensor *twin) {
    return twin->dtype == XG_I16 ? XG_I16 : q->type;
}

/* ---- conversions ---- */

typedef struct constants {
    char *scale, *zp;
    int32_t axis;
} constants;

/* shift: what is added to zero points, 128 for u8 twins of i8. */
static constants write_constants(qdq *q, const char *base, const xg_quant *quant, xg_dtype type,
                                 int32_t shift) {
    xg_export *e = &q->e;
    size_t bytes = xg_dtype_bytes(type);
    char *zp = xg_alloc_array(e->arena, quant->n, bytes);
    for (uint32_t i = 0; i < quant->n; i++) {
        int32_t v = (quant->zp ? quant->zp[i] : 0) + shift;
        memcpy(zp + i * bytes, &v, bytes); /* little endian */
    }
    int64_t n = quant->n;
    uint32_t rank = quant->axis >= 0;
    constants c = {.axis = quant->axis};
    c.scale = xg_ex_const(e, xg_strf(e->arena, "%s::scale", base), XG_F32, rank, &n, quant->scale);
    c.zp = xg_ex_const(e, xg_strf(e->arena, "%s::zp", base), type, rank, &n, zp);
    return c;
}

static void convert(qdq *q, const char *op, char *from, const constants *c, char *to) {
    char *in[3] = {from, c->scale, c->zp};
    char *name = xg_ex_fresh(&q->e, xg_strf(q->e.arena, "%s::%s", to, op));
    Xgonnx__Node *n = xg_ex_node(&q->e, "", op, name, in, 3, to);
    if (c->axis >= 0) xg_ex_int(&q->e, n, "axis", c->axis);
}

static int32_t shift_of(const qdq *q, const xg_tensor *twin) {
    return type_of(q, twin) == XG_U8 ? 128 : 0;
}

/* ---- parameters ---- */

/* [O][kh kw][I] -> [O][I][kh kw]. */
static const void *channels_first(qdq *q, const xg_tensor *t) {
    int64_t o = t->dim[0], map = t->dim[1] * t->dim[2], ch = t->dim[3];
    void *to = xg_alloc_array(q->e.arena, (size_t)xg_tensor_elems(t), xg_dtype_bytes(t->dtype));
    for (int64_t n = 0; n < o; n++)
        for (int64_t p = 0; p < map; p++)
            for (int64_t c = 0; c < ch; c++)
                xg_store(to, t->dtype, (n * ch + c) * map + p,
                         xg_load(t->data, t->dtype, (n * map + p) * ch + c));
    return to;
}

static char *write_weights(qdq *q, const char *name, const xg_tensor *t) {
    xg_export *e = &q->e;
    int64_t dim[4] = {t->dim[0], t->dim[3], t->dim[1], t->dim[2]};
    char *data = xg_ex_const(e, xg_strf(e->arena, "%s::quantised", name), t->dtype, 4, dim,
                             channels_first(q, t));
    constants c = write_constants(q, name, t->quant, t->dtype, 0);
    char *to = xg_ex_fresh(e, xg_strf(e->arena, "%s::dequantised", name));
    convert(q, "DequantizeLinear", data, &c, to);
    return to;
}

static char *write_bias(qdq *q, const char *name, const xg_tensor *t) {
    xg_export *e = &q->e;
    char *data =
        xg_ex_const(e, xg_strf(e->arena, "%s::quantised", name), XG_I32, 1, t->dim, t->data);
    constants c = write_constants(q, name, t->quant, XG_I32, 0);
    char *to = xg_ex_fresh(e, xg_strf(e->arena, "%s::dequantised", name));
    convert(q, "DequantizeLinear", data, &c, to);
    return to;
}

/* A constant operand in the form that the operator works in. */
static void write_operand(qdq *q, uint32_t t, const xg_tensor *twin, xg_form form) {
    xg_export *e = &q->e;
    int64_t n = xg_tensor_elems(twin);
    xg_dtype type = type_of(q, twin);
    int32_t shift = shift_of(q, twin);
    void *shifted = xg_alloc_array(e->arena, (size_t)n, xg_dtype_bytes(type));
    xg_tensor v = *twin;
    for (int64_t i = 0; i < n; i++) xg_store(shifted, type, i, xg_load(v.data, v.dtype, i) + shift);
    v.data = shifted;
    int64_t dim[XG_RANK_MAX];
    memcpy(dim, v.dim, sizeof dim);
    if (form == XG_NCHW) {
        int64_t nchw[4] = {v.dim[0], v.dim[3], v.dim[1], v.dim[2]};
        memcpy(dim, nchw, sizeof nchw);
        v.data = channels_first(q, &v);
    }
    const char *name = xg_tensorp(e->g, t)->name;
    char *data =
        xg_ex_const(e, xg_strf(e->arena, "%s::quantised", name), type, v.rank, dim, v.data);
    constants c = write_constants(q, name, v.quant, type, shift);
    char *to = xg_ex_fresh(e, xg_strf(e->arena, "%s::dequantised", name));
    convert(q, "DequantizeLinear", data, &c, to);
    e->name[form][t] = to;
}

/* Gives the node's constants their integer forms, for this node only: readers may differ in scale.
 * Returns the DequantizeLinear of a bias that the float node has not, or NULL. */
static char *set_parameters(qdq *q, uint32_t node) {
    const xg_node *n = xg_nodep(q->e.g, node);
    uint32_t made = q->map->node[node];
    if (made == XG_NONE) return NULL;
    if (n->op != XG_OP_Conv) {
        xg_form form = xg_ex_common_form(&q->e, n);
        for (uint32_t k = 0; k < n->nin; k++) {
            const xg_node *to = xg_nodep(q->map->to, made);
            const xg_tensor *v = xg_in(q->e.g, n, k);
            const xg_tensor *twin = v && k < to->nin ? activation(q, to->in[k]) : NULL;
            if (twin && v->data && v->dtype == XG_F32) write_operand(q, n->in[k], twin, form);
        }
        return NULL;
    }
    const xg_node *to = xg_nodep(q->map->to, made);
    const xg_tensor *b = xg_in(q->map->to, to, 2);
    q->e.name[XG_NCHW][n->in[1]] =
        write_weights(q, xg_in(q->map->to, to, 1)->name, xg_in(q->map->to, to, 1));
    if (!b) return NULL;
    char *bias = write_bias(q, b->name, b);
    if (!xg_in(q->e.g, n, 2)) return bias;
    q->e.name[XG_PLAIN][n->in[2]] = bias;
    return NULL;
}

static void unset_parameters(qdq *q, const xg_node *n) {
    for (uint32_t k = 0; k < n->nin; k++)
        if (xg_in(q->e.g, n, k) && xg_in(q->e.g, n, k)->data)
            q->e.name[XG_PLAIN][n->in[k]] = q->e.name[XG_NCHW][n->in[k]] = NULL;
}

static void add_bias(qdq *q, uint32_t first, char *bias) {
    for (uint32_t i = first; i < q->e.node.n; i++) {
        Xgonnx__Node *n = q->e.node.v[i];
        if (strcmp(n->op_type, "Conv")) continue;
        char **in = xg_newn(q->e.arena, char *, 3);
        memcpy(in, n->input, 2 * sizeof *in);
        in[2] = bias;
        n->input = in;
        n->n_input = 3;
    }
}

/* ---- activations ---- */

static void rename_in(char **name, size_t n, const char *from, char *to) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name[i], from)) name[i] = to;
}

/* Nodes that read the 8-bit twin of a tensor in 16 bits find it under `narrow`. */
static void annotate_narrow(qdq *q, uint32_t t, xg_form form, char *from) {
    xg_export *e = &q->e;
    const xg_tensor *twin = activation(q, q->map->narrow[t]);
    if (!twin) return;
    const char *base = xg_strf(e->arena, "%s::narrow", xg_tensorp(e->g, t)->name);
    constants c = write_constants(q, base, twin->quant, q->type, shift_of(q, twin));
    char *codes = xg_ex_fresh(e, xg_strf(e->arena, "%s::quantised", base));
    char *out = xg_ex_fresh(e, xg_strf(e->arena, "%s::dequantised", base));
    convert(q, "QuantizeLinear", from, &c, codes);
    convert(q, "DequantizeLinear", codes, &c, out);
    q->narrow[form][t] = out;
}

/* The tensor goes through Quantize and Dequantize; what was written under its name since node
 * `first` gets another. A form that stands for a tensor of another name keeps that one. */
static void annotate(qdq *q, uint32_t t, uint32_t first) {
    xg_export *e = &q->e;
    const xg_tensor *twin = twin_of(q, t);
    if (!twin) return;
    xg_form form = e->name[XG_PLAIN][t] ? XG_PLAIN : XG_NCHW;
    const char *base = xg_tensorp(e->g, t)->name;
    char *name = e->name[form][t], *real = name, *out = name;
    bool made = false;
    for (uint32_t i = first; i < e->node.n; i++) made |= !strcmp(e->node.v[i]->output[0], name);
    if (made)
        real = xg_ex_fresh(e, xg_strf(e->arena, "%s::real", base));
    else
        out = xg_ex_fresh(e, xg_strf(e->arena, "%s::dequantised", base));
    for (uint32_t i = first; i < e->node.n && made; i++) {
        rename_in(e->node.v[i]->output, e->node.v[i]->n_output, name, real);
        rename_in(e->node.v[i]->input, e->node.v[i]->n_input, name, real);
    }
    constants c = write_constants(q, base, twin->quant, type_of(q, twin), shift_of(q, twin));
    char *codes = xg_ex_fresh(e, xg_strf(e->arena, "%s::quantised", base));
    convert(q, "QuantizeLinear", real, &c, codes);
    convert(q, "DequantizeLinear", codes, &c, out);
    e->name[form][t] = out;
    annotate_narrow(q, t, form, out);
}

/* Swaps the names of the tensors that the node reads in 8 bits but that are held in 16, too; called
 * before and after it is written. */
static void swap_narrow(qdq *q, uint32_t node) {
    const xg_node *n = xg_nodep(q->e.g, node);
    if (q->map->node[node] == XG_NONE) return;
    const xg_node *to = xg_nodep(q->map->to, q->map->node[node]);
    for (uint32_t k = 0; k < n->nin && k < to->nin; k++) {
        uint32_t t = n->in[k];
        bool again = false; /* one tensor may be read twice */
        for (uint32_t j = 0; j < k; j++) again |= n->in[j] == t;
        if (t == XG_NONE || again || q->map->narrow[t] != to->in[k] || to->in[k] == XG_NONE)
            continue;
        for (int form = 0; form < 2; form++) {
            char *name = q->e.name[form][t];
            q->e.name[form][t] = q->narrow[form][t];
            q->narrow[form][t] = name;
        }
    }
}

/* ---- nodes ---- */

/* A Transpose between ONNX's order and XGraph's is no node: one form of the result is the other
 * form of the input. */
static bool alias(qdq *q, const xg_node *n) {
    static const int64_t to_last[4] = {0, 2, 3, 1}, to_first[4] = {0, 3, 1, 2};
    if (n->op != XG_OP_Transpose || xg_in(q->e.g, n, 0)->rank != 4) return false;
    const xg_attr *perm = xg_attr_of(n, XG_ATTR_perm);
    uint32_t x = n->in[0], y = n->out[0];
    bool last = !memcmp(perm->is, to_last, sizeof to_last);
    bool first = !memcmp(perm->is, to_first, sizeof to_first);
    if (!(last || first) || xg_tensorp(q->e.g, x)->data) return false;
    q->e.name[last ? XG_NCHW : XG_PLAIN][y] = xg_ex_read(&q->e, x, last ? XG_PLAIN : XG_NCHW);
    return true;
}

static xg_status write_node(qdq *q, uint32_t i) {
    const xg_node *n = xg_nodep(q->e.g, i);
    char *bias = set_parameters(q, i);
    uint32_t first = q->e.node.n;
    swap_narrow(q, i);
    xg_status st = alias(q, n) ? XG_OK : xg_export_node(&q->e, n);
    swap_narrow(q, i);
    if (st != XG_OK) return st;
    if (bias) add_bias(q, first, bias);
    unset_parameters(q, n);
    bool converted = n->op == XG_OP_Quantize || n->op == XG_OP_Dequantize;
    for (uint32_t k = 0; k < n->nout && !converted; k++) annotate(q, n->out[k], first);
    return XG_OK;
}

/* ---- the whole ---- */

/* An output under another name, as an alias has it, gets its own. */
static void name_output(qdq *q, uint32_t t) {
    xg_export *e = &q->e;
    char *want = xg_strdup(e->arena, xg_tensorp(e->g, t)->name);
    char *have = xg_ex_read(e, t, XG_PLAIN);
    if (!strcmp(have, want)) return;
    char *name = xg_ex_fresh(e, xg_strf(e->arena, "%s::Identity", want));
    xg_ex_node(e, "", "Identity", name, &have, 1, want);
}

static xg_status write_outputs(qdq *q, Xgonnx__Graph *to) {
    xg_export *e = &q->e;
    to->output = xg_newn(e->arena, Xgonnx__ValueInfo *, e->g->output.n);
    for (uint32_t i = 0; i < e->g->output.n; i++) {
        uint32_t t = e->g->output.v[i];
        if (xg_tensorp(e->g, t)->producer == XG_NONE)
            return xg_error(e->ctx, XG_UNSUPPORTED, xg_tensorp(e->g, t)->name,
                            "ONNX export: an output that no node computes");
        name_output(q, t);
        to->output[to->n_output++] = xg_ex_value_info(e, xg_tensorp(e->g, t));
    }
    return XG_OK;
}

xg_status xg_export_qdq(xg_ctx *c, const xg_quant_map *map, xg_dtype type, xg_buf *out) {
    xg_arena *scratch = xg_arena_new(c);
    qdq q = {.map = map, .type = type};
    xg_ex_init(&q.e, c, scratch, map->from);
    for (int f = 0; f < 2; f++) q.narrow[f] = xg_newn(scratch, char *, map->from->tensor.n);
    for (uint32_t t = 0; t < map->from->tensor.n; t++) {
        const xg_tensor *twin = twin_of(&q, t);
        if (twin && twin->dtype == XG_I16) q.e.opset = 21; /* QuantizeLinear to int16 */
    }
    for (uint32_t i = 0; i < map->from->node.n; i++) /* node names are unique, too */
        xg_map_set(&q.e.taken, map->from->node.v[i].name, 1);
    Xgonnx__Graph graph;
    xgonnx__graph__init(&graph);
    graph.name = xg_strdup(scratch, map->from->name && *map->from->name ? map->from->name : "xgc");
    xg_ex_write_inputs(&q.e, &graph);
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < map->from->input.n; i++) annotate(&q, map->from->input.v[i], 0);
    for (uint32_t i = 0; i < map->from->node.n && st == XG_OK; i++) st = write_node(&q, i);
    if (st == XG_OK) st = write_outputs(&q, &graph);
    if (st == XG_OK) st = xg_ex_pack(&q.e, &graph, false, out);
    xg_arena_free(scratch);
    return st;
}
