/* Operators that read or make 16-bit integers. No machine's record defines them: they run on the
 * host, and their arithmetic does not depend on the machine.
 *
 * Conv and MatMul: acc = b[o] + sum (x - zx)(w - zw), exact in 64 bits (the compiler proves |acc| <
 * 2^47), then y = rne(clamp(f32(f32(acc) * m))) + zy with m = f32(f32(sx * sw) / sy): profile ort's
 * formula. All others: Q(f(DQ a, DQ b ..)) with the float operator's own f.
 */
#include "xgraph/kernel.h"

#include <string.h>

static xg_rqrec wide_record(void) {
    xg_rqrec r = {0};
    bool known = xg_rqrec_profile("ort", &r);
    (void)known;
    r.acc_bits = XG_WIDE_ACC_BITS;
    return r;
}

/* ---- sums of products ---- */

typedef struct wide {
    xg_rqrec record;
    const xg_quant *wq;
    xg_affine xa, ya;
    xg_rq *rq; /* one for each output channel or column */
    int32_t lo, hi;
} wide;

static bool is_operand(xg_dtype t) {
    return xg_dtype_is_int8(t) || t == XG_I16;
}

static int32_t zero_of(const wide *v, int64_t o) {
    return v->wq->zp[v->wq->n == 1 ? 0 : o];
}

/* axis: of the weights, along which scales may differ. */
static xg_status prepare(const xg_kernel *k, wide *v, int32_t axis, int64_t n) {
    const xg_tensor *w = xg_kin(k, 1);
    if (!is_operand(xg_kin(k, 0)->dtype) || !is_operand(w->dtype) || !is_operand(xg_kout(k)->dtype))
        return xg_kernel_no_type(k);
    *v = (wide){.record = wide_record(), .wq = w->quant};
    xg_status st = xg_kernel_affine(k, xg_kin(k, 0), &v->xa);
    if (!st) st = xg_kernel_affine(k, xg_kout(k), &v->ya);
    if (st) return st;
    if (!v->wq || (v->wq->n != 1 && v->wq->axis != axis))
        return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED,
                             "'%s' needs one scale, or one for each column of the result", w->name);
    v->rq = xg_newn(k->scratch, xg_rq, (size_t)n);
    for (int64_t o = 0; o < n; o++) {
        float scale[2] = {v->xa.scale, v->wq->scale[v->wq->n == 1 ? 0 : o]};
        if (!xg_rq_derive(&v->record, scale, 2, v->ya.scale, &v->rq[o]))
            return xg_node_error(k->ctx, k->node, XG_UNSUPPORTED,
                                 "no binary32 holds the scale %.9g * %.9g / %.9g", (double)scale[0],
                                 (double)scale[1], (double)v->ya.scale);
    }
    xg_kernel_bounds(k, &v->lo, &v->hi);
    return XG_OK;
}

static void finish(const xg_kernel *k, const wide *v, int64_t at, int64_t o, int64_t acc) {
    xg_store(xg_kout_data(k), xg_kout(k)->dtype, at,
             xg_rq_apply(&v->record, v->rq[o], acc, v->ya.zp, v->lo, v->hi));
}

/* Both within +-65535, n below 2^31: the sum stays below 2^63. */
static int64_t dot(const int32_t *a, const int32_t *b, int64_t n) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (int64_t)a[i] * b[i];
    return sum;
}

static void centre(const void *p, xg_dtype t, int64_t first, int64_t n, int32_t zp, int32_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (int32_t)xg_load(p, t, first + i) - zp;
}

static void gather(const xg_kernel *k, const xg_conv_dims *d, const wide *v, int64_t g,
                   int64_t pixel, int32_t *patch) {
    for (int64_t r = 0; r < d->win.kh; r++)
        for (int64_t s = 0; s < d->win.kw; s++, patch += d->cg) {
            int64_t from = xg_conv_source(d, pixel, r, s);
            if (from < 0)
                memset(patch, 0, (size_t)d->cg * sizeof *patch);
            else
                centre(xg_kin_data(k, 0), xg_kin(k, 0)->dtype, from + g * d->cg, d->cg, v->xa.zp,
                       patch);
        }
}

static xg_status conv(const xg_kernel *k) {
    const xg_conv_dims d = xg_conv_dims_of(k);
    const int32_t *bias = xg_kin_data(k, 2);
    wide v;
    if (xg_kin(k, 2) && xg_kin(k, 2)->dtype != XG_I32) return xg_kernel_no_type(k);
    xg_status st = prepare(k, &v, 0, d.o);
    if (st) return st;
    int32_t *w = xg_newn(k->scratch, int32_t, (size_t)(d.o * d.k));
    int32_t *patch = xg_newn(k->scratch, int32_t, (size_t)d.k);
    for (int64_t o = 0; o < d.o; o++)
        centre(xg_kin_data(k, 1), xg_kin(k, 1)->dtype, o * d.k, d.k, zero_of(&v, o), w + o * d.k);
    for (int64_t g = 0; g < d.group; g++)
        for (int64_t pixel = 0; pixel < d.pixels; pixel++) {
            gather(k, &d, &v, g, pixel, patch);
            for (int64_t o = g * d.og; o < (g + 1) * d.og; o++)
                finish(k, &v, pixel * d.o + o, o,
                       (bias ? bias[o] : 0) + dot(patch, w + o * d.k, d.k));
        }
    return XG_OK;
}

static xg_status matmul(const xg_kernel *k) {
    const xg_dtype ta = xg_kin(k, 0)->dtype, tb = xg_kin(k, 1)->dtype;
    int64_t ia[XG_RANK_MAX] = {0}, ib[XG_RANK_MAX] = {0}, oa = 0, ob = 0, at = 0;
    xg_matmul_dims dims, *d = &dims;
    wide v;
    xg_status st = xg_matmul_dims_of(k, d);
    if (!st) st = prepare(k, &v, (int32_t)xg_kin(k, 1)->rank - 1, d->n);
    if (st) return st;
    int32_t *row = xg_newn(k->scratch, int32_t, (size_t)d->k);
    int32_t *b = xg_newn(k->scratch, int32_t, (size_t)(d->n * d->k)); /* transposed */
    for (int64_t batch = 0; batch < d->batches; batch++) {
        for (int64_t j = 0; j < d->n; j++)
            for (int64_t p = 0; p < d->k; p++)
                centre(xg_kin_data(k, 1), tb, (ob * d->k + p) * d->n + j, 1, zero_of(&v, j),
                       b + j * d->k + p);
        for (int64_t i = 0; i < d->m; i++) {
            centre(xg_kin_data(k, 0), ta, (oa * d->m + i) * d->k, d->k, v.xa.zp, row);
            for (int64_t j = 0; j < d->n; j++, at++)
                finish(k, &v, at, j, dot(row, b + j * d->k, d->k));
        }
        xg_odometer(d->outer, d->dim, d->sa, ia, &oa);
        xg_odometer(d->outer, d->dim, d->sb, ib, &ob);
    }
    return XG_OK;
}

/* ---- the float operator between Dequantize and Quantize ---- */

/* The same operator on f32 tensors of the same shapes, in a graph of its own. */
static xg_status float_twin(const xg_kernel *k, xg_graph **out, uint32_t *in) {
    const xg_node *n = k->node;
    xg_graph *g = *out = xg_graph_new(k->scratch, "twin");
    xg_affine unused;
    xg_status st = xg_kernel_affine(k, xg_kout(k), &unused);
    for (uint32_t i = 0; i < n->nin && !st; i++) {
        xg_tensor t = {.name = xg_kin(k, i)->name, .dtype = XG_F32, .producer = XG_NONE};
        t.rank = xg_kin(k, i)->rank;
        memcpy(t.dim, xg_kin(k, i)->dim, sizeof t.dim);
        st = xg_kernel_affine(k, xg_kin(k, i), &unused);
        in[i] = xg_graph_add_tensor(g, &t);
        xg_graph_add_input(g, in[i]);
    }
    if (st) return st;
    uint32_t made = xg_graph_add_node(g, (xg_op)n->op, n->name, in, n->nin, 1);
    memcpy(xg_nodep(g, made)->attr, n->attr, xg_ops[n->op].nattr * sizeof *n->attr);
    xg_graph_add_output(g, xg_nodep(g, made)->out[0]);
    return xg_graph_infer(k->ctx, g);
}

static void store_result(const xg_kernel *k, const float *real) {
    const xg_tensor *y = xg_kout(k);
    const float scale = y->quant->scale[0];
    int32_t lo, hi, least, most;
    xg_kernel_bounds(k, &lo, &hi);
    xg_dtype_range(y->dtype, &least, &most);
    for (int64_t i = 0, n = xg_tensor_elems(y); i < n; i++)
        xg_store(xg_kout_data(k), y->dtype, i,
                 xg_clamp(xg_quantize_f32(real[i], scale, y->quant->zp[0], least, most), lo, hi));
}

static xg_status by_float(const xg_kernel *k) {
    xg_graph *g;
    xg_values v;
    uint32_t *in = xg_newn(k->scratch, uint32_t, k->node->nin);
    xg_status st = float_twin(k, &g, in);
    if (st) return st;
    xg_values_init(&v, g, k->scratch);
    for (uint32_t i = 0; i < k->node->nin; i++) {
        const xg_tensor *t = xg_kin(k, i);
        float *x = xg_values_get(&v, in[i]);
        for (int64_t e = 0, n = xg_tensor_elems(t); e < n; e++)
            x[e] = xg_dequantize_f32((int32_t)xg_load(xg_kin_data(k, i), t->dtype, e),
                                     t->quant->scale[0], t->quant->zp[0]);
    }
    st = xg_interp_run(k->ctx, &v, NULL);
    if (st == XG_OK) store_result(k, v.v[g->output.v[0]]);
    return st;
}

bool xg_kernel_is_wide(const xg_kernel *k) {
    return xg_ops[k->node->op].rule == XG_RULE_REQUANT && xg_kout(k)->quant &&
           xg_node_is_wide(k->graph, k->node);
}

xg_status xg_kernel_wide(const xg_kernel *k) {
    switch (k->node->op) {
    case XG_OP_Conv:
        return conv(k);
    case XG_OP_MatMul:
        return matmul(k);
    default:
        return by_float(k);
    }
}
