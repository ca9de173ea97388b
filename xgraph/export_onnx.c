#include "xgraph/export_onnx.h"

#include <string.h>

char *xg_ex_fresh(xg_export *e, const char *base) {
    char *name = xg_strdup(e->arena, base);
    for (uint32_t i = 1; xg_map_get(&e->taken, name) != XG_NONE; i++)
        name = xg_strf(e->arena, "%s.%u", base, i);
    xg_map_set(&e->taken, name, 1);
    return name;
}

int32_t xg_ex_type(xg_dtype t) {
    static const int32_t number[XG_DTYPE_COUNT] = {
        [XG_F32] = 1, [XG_U8] = 2,  [XG_I8] = 3,  [XG_I16] = 5,
        [XG_I32] = 6, [XG_I64] = 7, [XG_BOOL] = 9};
    return number[t];
}

/* ---- nodes
 * ------------------------------------------------------------------------------------------ */

Xgonnx__Node *xg_ex_node(xg_export *e, const char *domain, const char *op, const char *name,
                         char *const *in, uint32_t nin, char *out) {
    Xgonnx__Node *n = xg_new(e->arena, Xgonnx__Node);
    xgonnx__node__init(n);
    n->name = xg_strdup(e->arena, name);
    n->op_type = xg_strdup(e->arena, op);
    if (*domain) n->domain = xg_strdup(e->arena, domain);
    n->n_input = nin;
    n->input = xg_newn(e->arena, char *, nin);
    if (nin) memcpy(n->input, in, nin * sizeof *in);
    n->n_output = 1;
    n->output = xg_newn(e->arena, char *, 1);
    n->output[0] = out;
    xg_push(e->arena, &e->node, n);
    return n;
}

/* ONNX's numbers of attribute kinds. */
enum { KIND_FLOAT = 1, KIND_INT = 2, KIND_INTS = 7 };
enum { ATTRIBUTES_MAX = 8 };

static Xgonnx__Attribute *add_attribute(xg_export *e, Xgonnx__Node *n, const char *name,
                                        int32_t kind) {
    Xgonnx__Attribute *a = xg_new(e->arena, Xgonnx__Attribute);
    xgonnx__attribute__init(a);
    a->name = xg_strdup(e->arena, name);
    a->has_type = 1;
    a->type = kind;
    if (!n->attribute) n->attribute = xg_newn(e->arena, Xgonnx__Attribute *, ATTRIBUTES_MAX);
    n->attribute[n->n_attribute++] = a;
    return a;
}

void xg_ex_int(xg_export *e, Xgonnx__Node *n, const char *name, int64_t v) {
    Xgonnx__Attribute *a = add_attribute(e, n, name, KIND_INT);
    a->has_i = 1;
    a->i = v;
}

void xg_ex_float(xg_export *e, Xgonnx__Node *n, const char *name, float v) {
    Xgonnx__Attribute *a = add_attribute(e, n, name, KIND_FLOAT);
    a->has_f = 1;
    a->f = v;
}

void xg_ex_ints(xg_export *e, Xgonnx__Node *n, const char *name, const int64_t *v, uint32_t count) {
    Xgonnx__Attribute *a = add_attribute(e, n, name, KIND_INTS);
    a->n_ints = count;
    a->ints = xg_memdup(e->arena, v, count * sizeof *v);
}

void xg_ex_axes(xg_export *e, Xgonnx__Node *n, const int64_t *v, uint32_t count) {
    if (e->opset < 18) {
        xg_ex_ints(e, n, "axes", v, count);
        return;
    }
    char **in = xg_newn(e->arena, char *, n->n_input + 1);
    memcpy(in, n->input, n->n_input * sizeof *in);
    in[n->n_input++] = xg_ex_const_i64(e, xg_strf(e->arena, "%s::axes", n->name), v, count);
    n->input = in;
}

/* ---- constants
 * -------------------------------------------------------------------------------------- */

char *xg_ex_const(xg_export *e, const char *base, xg_dtype t, uint32_t rank, const int64_t *dim,
                  const void *data) {
    Xgonnx__Tensor *c = xg_new(e->arena, Xgonnx__Tensor);
    xgonnx__tensor__init(c);
    xg_tensor shape = {.rank = (uint8_t)rank};
    if (rank) memcpy(shape.dim, dim, rank * sizeof *dim);
    c->name = xg_ex_fresh(e, base);
    c->n_dims = rank;
    c->dims = rank ? xg_memdup(e->arena, dim, rank * sizeof *dim) : NULL;
    c->has_data_type = 1;
    c->data_type = xg_ex_type(t);
    c->has_raw_data = 1;
    c->raw_data.len = (size_t)xg_tensor_elems(&shape) * xg_dtype_bytes(t);
    c->raw_data.data = (uint8_t *)(uintptr_t)data; /* protobuf-c only reads it */
    xg_push(e->arena, &e->constant, c);
    return c->name;
}

char *xg_ex_const_i64(xg_export *e, const char *base, const int64_t *v, uint32_t count) {
    int64_t dim = count;
    return xg_ex_const(e, base, XG_I64, 1, &dim, xg_memdup(e->arena, v, count * sizeof *v));
}

char *xg_ex_scalar(xg_export *e, const char *base, xg_dtype t, int64_t v) {
    void *data = xg_alloc(e->arena, 8);
    memcpy(data, &v, xg_dtype_bytes(t)); /* little endian, as ONNX's raw data */
    return xg_ex_const(e, base, t, 0, NULL, data);
}

static const void *zero_points(xg_export *e, const xg_tensor *t) {
    size_t bytes = xg_dtype_bytes(t->dtype);
    char *data = xg_alloc_array(e->arena, t->quant->n, bytes);
    for (uint32_t i = 0; i < t->quant->n; i++) memcpy(data + i * bytes, &t->quant->zp[i], bytes);
    return data;
}

char *xg_ex_scale(xg_export *e, uint32_t tensor) {
    const xg_tensor *t = xg_tensorp(e->g, tensor);
    int64_t n = t->quant->n;
    if (!e->scale[tensor])
        e->scale[tensor] = xg_ex_const(e, xg_strf(e->arena, "%s::scale", t->name), XG_F32,
                                       t->quant->axis >= 0, &n, t->quant->scale);
    return e->scale[tensor];
}

char *xg_ex_zp(xg_export *e, uint32_t tensor) {
    const xg_tensor *t = xg_tensorp(e->g, tensor);
    int64_t n = t->quant->n;
    if (!e->zp[tensor])
        e->zp[tensor] = xg_ex_const(e, xg_strf(e->arena, "%s::zp", t->name), t->dtype,
                                    t->quant->axis >= 0, &n, zero_points(e, t));
    return e->zp[tensor];
}

/* ---- the two forms
 * ------------------------------------------------------------------------------------ */

static const int64_t to_nchw[4] = {0, 3, 1, 2}, to_plain[4] = {0, 2, 3, 1};

int64_t xg_ex_axis(xg_form form, int64_t axis) {
    return form == XG_PLAIN ? axis : to_plain[axis];
}

xg_form xg_ex_common_form(const xg_export *e, const xg_node *n) {
    for (uint32_t i = 0; i < n->nin; i++)
        if (xg_in(e->g, n, i) && xg_in(e->g, n, i)->rank != 4) return XG_PLAIN;
    return xg_out(e->g, n, 0)->rank == 4 ? XG_NCHW : XG_PLAIN;
}

static const void *permuted(xg_export *e, const xg_tensor *t) {
    size_t bytes = xg_dtype_bytes(t->dtype), planes = (size_t)t->dim[0],
           map = (size_t)(t->dim[1] * t->dim[2]);
    size_t ch = (size_t)t->dim[3];
    char *to = xg_alloc_array(e->arena, (size_t)xg_tensor_elems(t), bytes);
    const char *from = t->data;
    for (size_t n = 0; n < planes; n++)
        for (size_t p = 0; p < map; p++)
            for (size_t c = 0; c < ch; c++)
                memcpy(to + ((n * ch + c) * map + p) * bytes,
                       from + ((n * map + p) * ch + c) * bytes, bytes);
    return to;
}

static char *write_const(xg_export *e, uint32_t tensor, xg_form form) {
    const xg_tensor *t = xg_tensorp(e->g, tensor);
    if (form == XG_PLAIN)
        return xg_ex_const(e, xg_strf(e->arena, "%s::const", t->name), t->dtype, t->rank, t->dim,
                           t->data);
    int64_t dim[4];
    for (int i = 0; i < 4; i++) dim[i] = t->dim[to_nchw[i]];
    return xg_ex_const(e, xg_strf(e->arena, "%s::nchw", t->name), t->dtype, 4, dim, permuted(e, t));
}

char *xg_ex_read(xg_export *e, uint32_t tensor, xg_form form) {
    const xg_tensor *t = xg_tensorp(e->g, tensor);
    if (t->rank != 4) form = XG_PLAIN;
    if (e->name[form][tensor]) return e->name[form][tensor];
    if (t->data) return e->name[form][tensor] = write_const(e, tensor, form);
    char *from = e->name[!form][tensor];
    char *to = xg_ex_write(e, tensor, form);
    Xgonnx__Node *n =
        xg_ex_node(e, "", "Transpose", xg_strf(e->arena, "%s::transpose", to), &from, 1, to);
    xg_ex_ints(e, n, "perm", form == XG_NCHW ? to_nchw : to_plain, 4);
    return to;
}

char *xg_ex_write(xg_export *e, uint32_t tensor, xg_form form) {
    const xg_tensor *t = xg_tensorp(e->g, tensor);
    if (t->rank != 4) form = XG_PLAIN;
    char *name = form == XG_PLAIN ? xg_strdup(e->arena, t->name)
                                  : xg_ex_fresh(e, xg_strf(e->arena, "%s::nchw", t->name));
    return e->name[form][tensor] = name;
}
