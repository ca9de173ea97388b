/* What the tile machine can run, and why not: one test an operator family, reasons in words. */
#include "fusion/geometry.h"
#include "fusion/select.h"

#include "isa/encoding.h"
#include "isa/tile.h"

#include <string.h>

typedef struct asker {
    xg_arena *a;
    const xg_graph *g;
    const xg_machine *m;
    const xg_node *n;
} asker;

static const char *check_map(const asker *k, const xg_tensor *t) {
    if (!t || t->dtype != XG_I8)
        return xg_strf(k->a, "a map is %s, not i8", t ? xg_dtype_name(t->dtype) : "absent");
    if (!t->quant || t->quant->axis >= 0)
        return xg_strf(k->a, "map '%s' has no single scale", t->name);
    if (t->rank > 4 || t->rank < 1)
        return xg_strf(k->a, "map '%s' has rank %u; 1 to 4 are possible", t->name, t->rank);
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dim[i] > 65535)
            return xg_strf(k->a, "map '%s' has an axis of %lld", t->name, (long long)t->dim[i]);
    return NULL;
}

static const char *over(const asker *k, const char *what, int64_t v, int64_t limit) {
    return v > limit ? xg_strf(k->a, "%s %lld exceeds the machine's %lld", what, (long long)v,
                               (long long)limit)
                     : NULL;
}

/* The least tile: one row group, one pixel, one word of channels, must fit twice. */
static const char *check_least_tile(const asker *k, const xg_window *w) {
    uint32_t il = (uint32_t)w->sh;
    xg_slice in = {0,
                   0,
                   (uint32_t)((w->kh - 1) * w->dh + 1),
                   0,
                   (uint32_t)((w->kw - 1) * w->dw + 1),
                   0,
                   k->m->tile.icp};
    int64_t words = xg_fm_words(k->m, &in, il) + 2 * (int64_t)xg_psum_words(k->m) + 2;
    return over(k, "a window's words in the feature-map banks", words, k->m->tile.fm_depth);
}

static const char *check_weights(const asker *k) {
    const xg_tensor *w = xg_in(k->g, k->n, 1), *b = xg_in(k->g, k->n, 2);
    if (!w->data || w->dtype != XG_I8 || !w->quant) return "the weights are not constant i8";
    for (uint32_t i = 1; i < w->quant->n; i++)
        if (w->quant->zp[i] != w->quant->zp[0]) return "the weights have several zero points";
    if (!k->m->rq.weight_zero_point && w->quant->zp[0]) return "the weights have a zero point";
    if (!k->m->rq.per_channel && w->quant->n > 1)
        return "the weights have a scale for each channel";
    if (b && (!b->data || b->dtype != XG_I32)) return "the bias is not constant i32";
    return NULL;
}

static const char *check_conv(const asker *k, xg_tile_kind kind) {
    const xg_tile_machine *t = &k->m->tile;
    xg_window w = xg_node_window(k->n);
    const char *why = check_weights(k);
    if (!why) why = over(k, "kernel", xg_max(w.kh, w.kw), t->kernel_max);
    if (!why) why = over(k, "stride", xg_max(w.sh, w.sw), t->stride_max);
    if (!why) why = over(k, "dilation", xg_max(w.dh, w.dw), t->dilation_max);
    if (!why && kind == XG_TK_CONV)
        why = over(k, "weight words of one channel group", (int64_t)w.kh * w.kw, t->w_depth);
    if (!why && kind == XG_TK_DW)
        why = over(k, "bytes of depthwise weights",
                   (int64_t)w.kh * w.kw * t->icp + xg_param_record(k->m) * t->icp, t->param_bytes);
    return why ? why : check_least_tile(k, &w);
}

static const char *check_pool(const asker *k) {
    const xg_tile_machine *t = &k->m->tile;
    xg_window w = xg_node_window(k->n);
    const xg_quant *x = xg_in(k->g, k->n, 0)->quant, *y = xg_out(k->g, k->n, 0)->quant;
    const char *why = over(k, "pooling kernel", xg_max(w.kh, w.kw), t->pool_kernel_max);
    if (!why) why = over(k, "pooling stride", xg_max(w.sh, w.sw), t->pool_stride_max);
    if (!why) why = over(k, "dilation", xg_max(w.dh, w.dw), t->dilation_max);
    if (!why && k->n->op == XG_OP_MaxPool && !xg_quant_equal(x, y))
        why = "input and output scales differ";
    xg_poolrq q;
    bool border = (w.pt | w.pl | w.pb | w.pr) || xg_ai(k->n, XG_ATTR_ceil_mode);
    for (int32_t n = 1; border && !why && k->n->op == XG_OP_AvgPool && n < w.kh * w.kw; n++)
        if (!xg_pool_derive(&k->m->rq, x->scale[0], y->scale[0], n, false, &q))
            why = xg_strf(k->a, "the machine cannot average %d values, as at its border", n);
    if (!why && k->n->op == XG_OP_AvgPool &&
        !xg_pool_derive(&k->m->rq, x->scale[0], y->scale[0], w.kh * w.kw, false, &q))
        why = xg_strf(k->a, "the machine cannot average %d values from scale %g to scale %g",
                      w.kh * w.kw, (double)x->scale[0], (double)y->scale[0]);
    return why ? why : check_least_tile(k, &w);
}

static bool shape_repeats(const xg_tensor *x, const xg_tensor *y) {
    int64_t a[4], b[4];
    xg_dims4(x, a);
    xg_dims4(y, b);
    if (x->rank != y->rank)
        for (uint32_t i = 0; i + 1 < x->rank; i++)
            if (x->dim[i] != 1) return false;
    return (a[0] == b[0] || a[0] == 1) && (a[1] == b[1] || a[1] == 1) &&
           (a[2] == b[2] || a[2] == 1) && a[3] == b[3];
}

static const char *check_elew(const asker *k) {
    const xg_tensor *a = xg_in(k->g, k->n, 0), *b = xg_in(k->g, k->n, 1),
                    *y = xg_out(k->g, k->n, 0);
    const char *why = check_map(k, b);
    if (why) return why;
    if (!shape_repeats(a, y) || !shape_repeats(b, y)) return "an operand is repeated over channels";
    if (k->n->op == XG_OP_Mul) {
        xg_rq q;
        if (!k->m->tile.elew_mul) return "the machine does not multiply element by element";
        if (!xg_mul_derive(&k->m->rq, a->quant->scale[0], b->quant->scale[0], y->quant->scale[0],
                           &q))
            return "the machine cannot express the scales";
        return NULL;
    }
    xg_addrq q;
    if (!xg_add_derive(&k->m->rq, a->quant->scale[0], a->quant->zp[0], b->quant->scale[0],
                       b->quant->zp[0], y->quant->scale[0], y->quant->zp[0], &q))
        return "the machine cannot express the scales";
    return NULL;
}

static const char *check_lut(const asker *k) {
    if (!k->m->tile.lut) return "the machine has no tables";
    if (k->n->op == XG_OP_Clip)
        return xg_quant_equal(xg_in(k->g, k->n, 0)->quant, xg_out(k->g, k->n, 0)->quant)
                   ? NULL
                   : "the scales differ";
    const xg_tensor *t = xg_in(k->g, k->n, 1);
    return t && t->data && t->dtype == XG_I8 && xg_tensor_elems(t) == 256
               ? NULL
               : "the table is not constant i8 [256]";
}

static const char *check_concat(const asker *k) {
    const xg_quant *y = xg_out(k->g, k->n, 0)->quant;
    if (xg_out(k->g, k->n, 0)->rank > 1 && xg_ai(k->n, XG_ATTR_axis) == 0) return "it joins images";
    for (uint32_t i = 0; i < k->n->nin; i++) {
        const xg_tensor *x = xg_in(k->g, k->n, i);
        const char *why = check_map(k, x);
        if (why) return why;
        if (!xg_quant_equal(x->quant, y) && !k->m->tile.lut)
            return "operands have other scales and the machine has no tables";
    }
    return NULL;
}

/* The slice that a tensor is, seen through Reshapes; NULL when it is none. */
static const xg_node *slice_behind(const asker *k, const xg_tensor *t) {
    const xg_node *n = t->producer == XG_NONE ? NULL : xg_nodep(k->g, t->producer);
    while (n && n->op == XG_OP_Reshape) {
        uint32_t before = xg_in(k->g, n, 0)->producer;
        n = before == XG_NONE ? NULL : xg_nodep(k->g, before);
    }
    return n && n->op == XG_OP_Slice ? n : NULL;
}

/* A slice whose bytes follow each other in its input, which no other slice made. */
static bool in_one_piece(const asker *k, const xg_node *slice) {
    const xg_tensor *x = xg_in(k->g, slice, 0), *y = xg_out(k->g, slice, 0);
    if (slice_behind(k, x)) return false;
    bool cut = false; /* on an axis further left: then the ones behind must be whole */
    for (uint32_t i = 1; i < x->rank; i++) {
        if (cut && y->dim[i] != x->dim[i]) return false;
        if (y->dim[i] > 1 && xg_attr_of(slice, XG_ATTR_steps)->is[i] != 1) return false;
        cut = cut || y->dim[i] > 1;
    }
    return true;
}

static const char *check_view(const asker *k) {
    const xg_tensor *x = xg_in(k->g, k->n, 0), *y = xg_out(k->g, k->n, 0);
    int64_t a[4], b[4];
    xg_dims4(x, a);
    xg_dims4(y, b);
    if (x->data) return "its input is constant";
    if (!xg_quant_equal(x->quant, y->quant)) return "the scales differ";
    if (k->n->op == XG_OP_Reshape) {
        const xg_node *slice = slice_behind(k, x);
        if (a[0] != b[0]) return "it moves elements between images";
        bool apart = slice && memcmp(a, b, sizeof a) && !in_one_piece(k, slice);
        return apart ? "it reshapes a slice" : NULL;
    }
    const xg_attr *steps = xg_attr_of(k->n, XG_ATTR_steps);
    for (uint32_t i = 0; i < x->rank; i++)
        if (steps->is[i] < 1) return "a step is negative";
    return steps->is[x->rank - 1] == 1 ? NULL : "it takes every other channel";
}

static const char *check_clamp(const asker *k) {
    const xg_tensor *y = xg_out(k->g, k->n, 0);
    if (xg_node_tile_kind(k->g, k->n) != XG_TK_LUT && !k->m->rq.act_zero_point &&
        (y->quant->zp[0] || xg_in(k->g, k->n, 0)->quant->zp[0]))
        return "a map has a zero point and the machine's requantiser has none";
    if (xg_has_attr(k->n, XG_ATTR_lo) && xg_ai(k->n, XG_ATTR_lo) > xg_ai(k->n, XG_ATTR_hi))
        return "its bounds are empty";
    return NULL;
}

const char *xg_tile_refuses(xg_arena *a, const xg_graph *g, const xg_machine *m, uint32_t node) {
    asker k = {a, g, m, xg_nodep(g, node)};
    xg_tile_kind kind = xg_node_tile_kind(g, k.n);
    if (kind == XG_TK_NONE) return xg_strf(a, "the accelerator has no %s", xg_ops[k.n->op].name);
    const char *why = check_map(&k, xg_in(g, k.n, 0));
    if (!why) why = check_map(&k, xg_out(g, k.n, 0));
    if (!why && kind != XG_TK_VIEW) why = check_clamp(&k);
    if (why) return why;
    switch (kind) {
    case XG_TK_CONV:
    case XG_TK_DW:
        return check_conv(&k, kind);
    case XG_TK_POOL:
        return check_pool(&k);
    case XG_TK_ELEW:
        return check_elew(&k);
    case XG_TK_LUT:
        return check_lut(&k);
    case XG_TK_CONCAT:
        return check_concat(&k);
    default:
        return check_view(&k);
    }
}
