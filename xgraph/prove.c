/* Accumulators that cannot overflow: for every output channel sum |w - zw| * max|x - zx| + |bias|
 * must be below 2^(acc_bits - 1). That bounds every partial sum too, in whatever order a machine
 * adds. */
#include "xgraph/interp.h"

#include "xgraph/kernel.h"

#include <stdlib.h>

typedef struct prover {
    xg_ctx *ctx;
    const xg_graph *g;
    const xg_node *n;
    const xg_rqrec *record;
    xg_arena *scratch;
    int bits;      /* of this node's accumulator */
    int64_t limit; /* the largest magnitude allowed */
} prover;

/* The range of stored values: the type's, narrowed by the clamp of the node that made them. */
static void stored_range(const prover *p, const xg_tensor *t, int32_t *lo, int32_t *hi) {
    xg_dtype_range(t->dtype, lo, hi);
    if (t->producer == XG_NONE) return;
    const xg_node *from = xg_nodep(p->g, t->producer);
    if (!xg_has_attr(from, XG_ATTR_lo)) return;
    *lo = (int32_t)xg_clamp(xg_ai(from, XG_ATTR_lo), *lo, *hi);
    *hi = (int32_t)xg_clamp(xg_ai(from, XG_ATTR_hi), *lo, *hi);
}

/* max |q - zp| over the stored range and all zero points of a tensor. */
static int64_t magnitude(const prover *p, const xg_tensor *t) {
    int32_t lo, hi;
    int64_t m = 0;
    stored_range(p, t, &lo, &hi);
    for (uint32_t i = 0; t->quant && i < t->quant->n; i++)
        m = xg_max(
            m, xg_max(llabs((int64_t)lo - t->quant->zp[i]), llabs((int64_t)hi - t->quant->zp[i])));
    return m;
}

static xg_status fits(const prover *p, int64_t channel, int64_t bound) {
    if (bound <= p->limit) return XG_OK;
    int bits = 1;
    for (int64_t v = bound; v; v >>= 1) bits++;
    return xg_node_error(
        p->ctx, p->n, XG_LIMIT,
        "output channel %lld may reach an accumulator of +-%lld (%d bits), the %s has %d bits",
        (long long)channel, (long long)bound, bits,
        xg_node_is_wide(p->g, p->n) ? "host" : "machine", p->bits);
}

/* sum |w - zw| * xmax, saturating well above every accumulator. */
static int64_t weighed(int64_t sum_w, int64_t xmax) {
    int64_t v;
    return __builtin_mul_overflow(sum_w, xmax, &v) ? INT64_MAX / 2 : xg_min(v, INT64_MAX / 2);
}

/* sum |w[i] - zw| of n elements from the first on. Weights of 8 bits, which are nearly all there
 * are, in blocks whose sum fits 32 bits: a compiler does many at once. */
static int64_t distance(const xg_tensor *w, int64_t first, int64_t n, int32_t zw) {
    enum { BLOCK = 1 << 16 };
    int64_t sum = 0;
    if (w->dtype != XG_I8 || zw < INT8_MIN || zw > INT8_MAX) {
        for (int64_t i = first; i < first + n; i++)
            sum += llabs(xg_load(w->data, w->dtype, i) - zw);
        return sum;
    }
    const int8_t *v = (const int8_t *)w->data + first;
    for (int64_t from = 0; from < n; from += BLOCK) {
        int64_t to = xg_min(from + BLOCK, n);
        uint32_t part = 0;
        for (int64_t i = from; i < to; i++) part += (uint32_t)abs(v[i] - zw);
        sum += part;
    }
    return sum;
}

static xg_status prove_conv(const prover *p) {
    const xg_tensor *w = xg_in(p->g, p->n, 1), *b = xg_in(p->g, p->n, 2);
    const int64_t o_count = w->dim[0], k = xg_tensor_elems(w) / o_count;
    const int64_t xmax = magnitude(p, xg_in(p->g, p->n, 0));
    for (int64_t o = 0; o < o_count; o++) {
        int64_t bias = 0;
        int32_t zw = w->quant->zp[w->quant->n == 1 ? 0 : o];
        int64_t sum = w->data ? distance(w, o * k, k, zw) : k * magnitude(p, w);
        if (b) bias = b->data ? llabs(xg_load(b->data, b->dtype, o)) : magnitude(p, b);
        if (b && !b->data && !b->quant) bias = (int64_t)1 << 31;
        xg_status st = fits(p, o, weighed(sum, xmax) + bias);
        if (st) return st;
    }
    return XG_OK;
}

static xg_status prove_matmul(const prover *p) {
    const xg_tensor *b = xg_in(p->g, p->n, 1);
    const int64_t k = b->dim[b->rank - 2], n = b->dim[b->rank - 1];
    const int64_t xmax = magnitude(p, xg_in(p->g, p->n, 0));
    if (!b->data) return fits(p, 0, weighed(k * magnitude(p, b), xmax));
    int64_t *sum = xg_newn(p->scratch, int64_t, (size_t)n);
    for (int64_t first = 0; first < xg_tensor_elems(b); first += k * n) {
        for (int64_t j = 0; j < n; j++) sum[j] = 0;
        for (int64_t i = 0; i < k * n; i++)
            sum[i % n] += llabs(xg_load(b->data, b->dtype, first + i) -
                                b->quant->zp[b->quant->n == 1 ? 0 : i % n]);
        for (int64_t j = 0; j < n; j++) {
            xg_status st = fits(p, j, weighed(sum[j], xmax));
            if (st) return st;
        }
    }
    return XG_OK;
}

/* A pool adds up at most the whole of what one output element can see. */
static xg_status prove_pool(const prover *p) {
    const xg_tensor *x = xg_in(p->g, p->n, 0);
    int64_t n = xg_tensor_elems(x) / xg_tensor_elems(xg_out(p->g, p->n, 0));
    if (p->n->op == XG_OP_AvgPool) {
        xg_window w = xg_node_window(p->n);
        n = xg_min(w.kh, x->dim[1]) * xg_min(w.kw, x->dim[2]);
    }
    return fits(p, 0, weighed(n, magnitude(p, x)));
}

static xg_status prove_node(const prover *p) {
    switch (p->n->op) {
    case XG_OP_Conv:
        return prove_conv(p);
    case XG_OP_MatMul:
        return prove_matmul(p);
    case XG_OP_AvgPool:
    case XG_OP_ReduceMean:
        return prove_pool(p);
    default:
        return XG_OK;
    }
}

xg_status xg_prove_accumulators(xg_ctx *c, const xg_graph *g, const xg_rqrec *record) {
    xg_arena *scratch = xg_arena_new(c);
    prover p = {.ctx = c, .g = g, .record = record, .scratch = scratch};
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < g->node.n && !st; i++) {
        p.n = xg_nodep(g, i);
        if (p.n->nout == 1 && xg_out(g, p.n, 0)->quant && xg_in(g, p.n, 0) &&
            xg_in(g, p.n, 0)->quant) {
            p.bits = xg_node_is_wide(g, p.n) ? XG_WIDE_ACC_BITS : record->acc_bits;
            p.limit = p.bits >= 63 ? INT64_MAX / 4 : ((int64_t)1 << (p.bits - 1)) - 1;
            st = prove_node(&p);
        }
    }
    xg_arena_free(scratch);
    return st;
}
