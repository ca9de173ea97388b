#include "xgraph/quantise_plan.h"

#include "xgraph/kernel.h"

#include <math.h>
#include <string.h>

static const xg_qtensor *class_of(xg_qplan *p, uint32_t t) {
    return &p->tensor.v[xg_qplan_root(p, t)];
}

/* ---- tensors
 * ---------------------------------------------------------------------------------------- */

/* The values of a constant under its tensor's type and scale. */
static const void *integers(xg_qplan *p, const xg_tensor *t, const float *value) {
    int64_t n = xg_tensor_elems(t);
    int32_t lo, hi;
    void *data = xg_alloc_array(p->arena, (size_t)n, xg_dtype_bytes(t->dtype));
    xg_dtype_range(t->dtype, &lo, &hi);
    for (int64_t k = 0; k < n; k++)
        xg_store(data, t->dtype, k,
                 xg_quantize_f32(value[k], t->quant->scale[0], t->quant->zp[0], lo, hi));
    return data;
}

static void write_tensors(xg_qplan *p) {
    const xg_quant **quant = xg_newn(p->arena, const xg_quant *, p->g->tensor.n);
    for (uint32_t i = 0; i < p->g->tensor.n; i++) {
        const xg_qtensor *q = xg_qplan_tensor(p, i);
        if (!q->active) continue;
        uint32_t root = xg_qplan_root(p, i);
        const xg_qtensor *c = &p->tensor.v[root];
        if (!quant[root])
            quant[root] = c->fixed ? c->fixed : xg_quant_scalar(p->arena, c->scale, c->zp);
        xg_tensor *t = xg_tensorp(p->g, i);
        t->dtype = q->wide ? XG_I16 : XG_I8;
        t->quant = quant[root];
        if (q->value) t->data = integers(p, t, q->value);
    }
}

/* New contents for a parameter: in place when this node is its only reader (its name stays), else a
 * constant of its own. */
static void write_parameter(xg_qplan *p, const xg_uses *u, uint32_t node, uint32_t input,
                            xg_dtype type, const void *data, const xg_quant *quant) {
    uint32_t t = xg_nodep(p->g, node)->in[input];
    xg_tensor *old = xg_tensorp(p->g, t);
    if (u->first[t + 1] - u->first[t] == 1) {
        old->dtype = type;
        old->data = data;
        old->quant = quant;
        return;
    }
    xg_tensor copy = *old;
    xg_nodep(p->g, node)->in[input] =
        xg_graph_add_const(p->g, copy.name, type, copy.rank, copy.dim, data, quant);
}

/* ---- convolutions
 * ----------------------------------------------------------------------------------- */

static void write_weights(xg_qplan *p, const xg_uses *u, uint32_t node) {
    const xg_qnode *q = &p->node.v[node];
    int64_t n = xg_tensor_elems(xg_in(p->g, xg_nodep(p->g, node), 1)), run = n / q->nw;
    xg_dtype type = q->wide ? XG_I16 : XG_I8;
    int32_t lo, hi;
    xg_dtype_range(type, &lo, &hi);
    void *data = xg_alloc_array(p->arena, (size_t)n, xg_dtype_bytes(type));
    for (int64_t i = 0; i < n; i++)
        xg_store(data, type, i, xg_quantize_f32(q->w[i], q->wscale[i / run], 0, lo, hi));
    const xg_quant *quant = xg_quant_new(p->arena, q->nw == 1 ? -1 : 0, q->nw, q->wscale, NULL);
    write_parameter(p, u, node, 1, type, data, quant);
}

/* b / f32(sx * sw[o]), which the solver has proved to fit the accumulator, with its scale: ONNX's
 * rule for biases. */
static void write_bias(xg_qplan *p, const xg_uses *u, uint32_t node) {
    const xg_qnode *q = &p->node.v[node];
    const xg_node *conv = xg_nodep(p->g, node);
    float sx = class_of(p, conv->in[0])->scale;
    uint32_t n = (uint32_t)xg_in(p->g, conv, 2)->dim[0];
    int32_t *data = xg_newn(p->arena, int32_t, n);
    float *scale = xg_newn(p->arena, float, q->nw);
    for (uint32_t o = 0; o < q->nw; o++) {
        float product = sx * q->wscale[o];
        scale[o] = product > 0 ? product : 0x1p-149f;
    }
    for (uint32_t o = 0; o < n; o++) {
        double v = rint((double)q->b[o] / scale[q->nw == 1 ? 0 : o]);
        data[o] = (int32_t)fmin(fmax(v, INT32_MIN), INT32_MAX);
    }
    const xg_quant *quant = xg_quant_new(p->arena, q->nw == 1 ? -1 : 0, q->nw, scale, NULL);
    write_parameter(p, u, node, 2, XG_I32, data, quant);
}

/* ---- tables
 * ----------------------------------------------------------------------------------------- */

/* y[0..n) = the float operator of x[0..n), by the interpreter's own kernel. */
static xg_status evaluate(xg_qplan *p, const xg_node *unary, const float *x, float *y, int64_t n) {
    xg_arena *scratch = xg_arena_new(p->ctx);
    xg_graph *g = xg_graph_new(scratch, "table");
    xg_tensor in = {.name = "x", .dtype = XG_F32, .rank = 1, .dim = {n}, .producer = XG_NONE};
    uint32_t t = xg_graph_add_tensor(g, &in);
    xg_graph_add_input(g, t);
    uint32_t node = xg_graph_add_node(g, (xg_op)unary->op, unary->name, &t, 1, 1);
    for (uint32_t i = 0; i < xg_ops[unary->op].nattr; i++)
        xg_nodep(g, node)->attr[i] = unary->attr[i];
    xg_status st = xg_graph_infer(p->ctx, g);
    xg_values v;
    xg_values_init(&v, g, scratch);
    memcpy(xg_values_get(&v, t), x, (size_t)n * sizeof *x);
    if (st == XG_OK) st = xg_interp_run(p->ctx, &v, NULL);
    if (st == XG_OK) memcpy(y, v.v[xg_nodep(g, node)->out[0]], (size_t)n * sizeof *y);
    xg_arena_free(scratch);
    return st;
}

/* The old table as a function of real numbers: between its grid points a straight line, outside the
 * nearest point. */
static float old_function(const xg_qnode *q, float x) {
    int32_t lo, hi;
    xg_dtype_range(q->old_x->dtype, &lo, &hi);
    bool is_signed = q->old_y->dtype == XG_I8;
    const uint8_t *table = q->old_table->data;
    const xg_quant *qx = q->old_x->quant, *qy = q->old_y->quant;
    double at = (double)x / qx->scale[0] + qx->zp[0] - lo;
    at = fmin(fmax(at, 0), hi - lo);
    int32_t i = (int32_t)fmin(floor(at), hi - lo - 1);
    double y[2];
    for (int32_t k = 0; k < 2; k++) {
        int32_t code = is_signed ? (int8_t)table[i + k] : table[i + k];
        y[k] = (double)(code - qy->zp[0]) * qy->scale[0];
    }
    return (float)(y[0] + (y[1] - y[0]) * (at - i));
}

static xg_status write_lut(xg_qplan *p, const xg_uses *u, uint32_t node) {
    const xg_qnode *q = &p->node.v[node];
    const xg_node *n = xg_nodep(p->g, node);
    const xg_tensor *in = xg_in(p->g, n, 0), *out = xg_out(p->g, n, 0);
    int32_t xlo, xhi, ylo, yhi;
    xg_dtype_range(in->dtype, &xlo, &xhi);
    xg_dtype_range(out->dtype, &ylo, &yhi);
    float x[256], y[256];
    for (int32_t i = 0; i < 256; i++) {
        x[i] = xg_dequantize_f32(xlo + i, in->quant->scale[0], in->quant->zp[0]);
        y[i] = q->unary ? 0 : old_function(q, x[i]);
    }
    xg_status st = q->unary ? evaluate(p, q->unary, x, y, 256) : XG_OK;
    if (st != XG_OK) return st;
    uint8_t *table = xg_newn(p->arena, uint8_t, 256);
    for (int32_t i = 0; i < 256; i++) {
        float v = isnan(y[i]) ? 0 : y[i]; /* log of a negative: outside the calibrated range */
        table[i] = (uint8_t)xg_quantize_f32(v, out->quant->scale[0], out->quant->zp[0], ylo, yhi);
    }
    write_parameter(p, u, node, 1, out->dtype, table, NULL);
    return XG_OK;
}

/* ---- clamps
 * ----------------------------------------------------------------------------------------- */

/* Q is monotonic: Q(clip(v)) = clip(Q(v)) with the quantised bounds. A bound at the type's own
 * limit stays the default. */
static void write_clamp(xg_qplan *p, uint32_t node) {
    const xg_qnode *q = &p->node.v[node];
    xg_node *n = xg_nodep(p->g, node);
    if (!xg_has_attr(n, XG_ATTR_lo)) return;
    const xg_quant *y = xg_out(p->g, n, 0)->quant;
    int32_t least, most;
    xg_dtype_range(xg_out(p->g, n, 0)->dtype, &least, &most);
    int32_t lo = xg_quantize_f32(q->lo, y->scale[0], y->zp[0], least, most);
    int32_t hi = xg_quantize_f32(q->hi, y->scale[0], y->zp[0], least, most);
    xg_set_ai(n, XG_ATTR_lo, lo > least ? lo : xg_attrs[XG_ATTR_lo].default_i);
    xg_set_ai(n, XG_ATTR_hi, hi < most ? hi : xg_attrs[XG_ATTR_hi].default_i);
}

/* Integers are filled with an integer: the quantised value. */
static void write_fill(xg_qplan *p, uint32_t node) {
    const xg_node *n = xg_nodep(p->g, node);
    const xg_tensor *y = xg_out(p->g, n, 0);
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    float fill = p->node.v[node].fill;
    xg_set_af(n, XG_ATTR_value,
              (float)xg_quantize_f32(fill, y->quant->scale[0], y->quant->zp[0], lo, hi));
}

xg_status xg_qplan_write(xg_qplan *p) {
    xg_uses u = xg_graph_uses(p->g, p->arena); /* of the tensors there are before any is added */
    write_tensors(p);
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < p->node.n && st == XG_OK; i++) {
        if (p->node.v[i].w) write_weights(p, &u, i);
        if (p->node.v[i].b) write_bias(p, &u, i);
        if (p->node.v[i].clamp) write_clamp(p, i);
        if (p->node.v[i].pad) write_fill(p, i);
        if (p->node.v[i].unary || p->node.v[i].old_table) st = write_lut(p, &u, i);
    }
    return st;
}
