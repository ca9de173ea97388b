#include "xgraph/const_eval.h"

#include "base/fixed.h"

#include <math.h>
#include <string.h>

bool xg_const_inputs(const xg_graph *g, const xg_node *n) {
    for (uint32_t i = 0; i < n->nin; i++) {
        const xg_tensor *t = xg_in(g, n, i);
        if (t && !t->data) return false;
    }
    return n->nin > 0;
}

int64_t xg_const_int(const xg_tensor *t, int64_t i) {
    switch (t->dtype) {
    case XG_I8:
        return ((const int8_t *)t->data)[i];
    case XG_U8:
    case XG_BOOL:
        return ((const uint8_t *)t->data)[i];
    case XG_I16:
        return ((const int16_t *)t->data)[i];
    case XG_I32:
        return ((const int32_t *)t->data)[i];
    case XG_I64:
        return ((const int64_t *)t->data)[i];
    case XG_F32:
    case XG_DTYPE_COUNT:
        break;
    }
    return 0;
}

static void strides_of(uint32_t rank, const int64_t *dim, int64_t *stride) {
    int64_t s = 1;
    for (uint32_t i = rank; i-- > 0; s *= dim[i]) stride[i] = s;
}

static void copy_line(uint8_t *to, const uint8_t *from, size_t size, int64_t n, int64_t step) {
    if (step == 1)
        memcpy(to, from, (size_t)n * size);
    else if (size == 1)
        for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(to + (size_t)i * size, from + i * step * (int64_t)size, size);
}

void xg_strided_copy(void *dst, const void *src, size_t size, uint32_t rank, const int64_t *dim,
                     const int64_t *stride, int64_t base) {
    int64_t index[XG_RANK_MAX] = {0}, lines = 1, at = base;
    uint32_t outer = rank ? rank - 1 : 0; /* axes around a line */
    int64_t n = rank ? dim[outer] : 1, step = rank ? stride[outer] : 1;
    for (uint32_t i = 0; i < outer; i++) lines *= dim[i];
    uint8_t *to = dst;
    for (int64_t i = 0; i < lines; i++, to += (size_t)n * size) {
        copy_line(to, (const uint8_t *)src + at * (int64_t)size, size, n, step);
        for (uint32_t k = outer; k-- > 0;) {
            at += stride[k];
            if (++index[k] < dim[k]) break;
            at -= stride[k] * dim[k];
            index[k] = 0;
        }
    }
}

void *xg_const_permute(xg_arena *a, const void *src, size_t size, uint32_t rank, const int64_t *dim,
                       const int64_t *perm) {
    int64_t stride[XG_RANK_MAX], out[XG_RANK_MAX], walk[XG_RANK_MAX], n = 1;
    strides_of(rank, dim, stride);
    for (uint32_t i = 0; i < rank; i++) {
        out[i] = dim[perm[i]];
        walk[i] = stride[perm[i]];
        n *= dim[i];
    }
    void *dst = xg_alloc_array(a, (size_t)n, size);
    xg_strided_copy(dst, src, size, rank, out, walk, 0);
    return dst;
}

static void *eval_slice(xg_arena *a, const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *y = xg_out(g, n, 0);
    const xg_attr *starts = xg_attr_of(n, XG_ATTR_starts), *steps = xg_attr_of(n, XG_ATTR_steps);
    int64_t stride[XG_RANK_MAX], base = 0;
    strides_of(x->rank, x->dim, stride);
    for (uint32_t i = 0; i < x->rank; i++) {
        base += starts->is[i] * stride[i];
        stride[i] *= steps->is[i];
    }
    size_t size = xg_dtype_bytes(x->dtype);
    void *dst = xg_alloc_array(a, (size_t)xg_tensor_elems(y), size);
    xg_strided_copy(dst, x->data, size, y->rank, y->dim, stride, base);
    return dst;
}

static void *eval_gather(xg_arena *a, const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *index = xg_in(g, n, 1), *y = xg_out(g, n, 0);
    int64_t axis = xg_ai(n, XG_ATTR_axis), outer = 1, inner = 1, count = xg_tensor_elems(index);
    for (int64_t i = 0; i < axis; i++) outer *= x->dim[i];
    for (int64_t i = axis + 1; i < x->rank; i++) inner *= x->dim[i];
    size_t bytes = (size_t)inner * xg_dtype_bytes(x->dtype);
    uint8_t *dst = xg_alloc_array(a, (size_t)xg_tensor_elems(y), xg_dtype_bytes(x->dtype)),
            *to = dst;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < count; i++, to += bytes)
            memcpy(to,
                   (const uint8_t *)x->data +
                       (size_t)(o * x->dim[axis] + xg_const_int(index, i)) * bytes,
                   bytes);
    return dst;
}

static void *eval_concat(xg_arena *a, const xg_graph *g, const xg_node *n) {
    const xg_tensor *y = xg_out(g, n, 0);
    int64_t axis = xg_ai(n, XG_ATTR_axis), outer = 1, inner = 1;
    for (uint32_t k = 0; k < n->nin; k++)
        if (!xg_quant_equal(xg_in(g, n, k)->quant, y->quant) || xg_in(g, n, k)->dtype != y->dtype)
            return NULL;
    for (int64_t i = 0; i < axis; i++) outer *= y->dim[i];
    for (int64_t i = axis + 1; i < y->rank; i++) inner *= y->dim[i];
    size_t size = xg_dtype_bytes(y->dtype);
    uint8_t *dst = xg_alloc_array(a, (size_t)xg_tensor_elems(y), size), *to = dst;
    for (int64_t o = 0; o < outer; o++)
        for (uint32_t k = 0; k < n->nin; k++) {
            const xg_tensor *x = xg_in(g, n, k);
            size_t bytes = (size_t)(x->dim[axis] * inner) * size;
            memcpy(to, (const uint8_t *)x->data + (size_t)o * bytes, bytes);
            to += bytes;
        }
    return dst;
}

static void *eval_cast(xg_arena *a, const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *y = xg_out(g, n, 0);
    int64_t count = xg_tensor_elems(x);
    void *dst = xg_alloc_array(a, (size_t)count, xg_dtype_bytes(y->dtype));
    for (int64_t i = 0; i < count; i++) {
        double v = x->dtype == XG_F32 ? (double)((const float *)x->data)[i] : 0;
        if (v != v || fabs(v) > 0x1p62) return NULL;
        int64_t q = x->dtype == XG_F32 ? (int64_t)v : xg_const_int(x, i);
        switch (y->dtype) {
        case XG_F32:
            ((float *)dst)[i] = x->dtype == XG_F32 ? (float)v : (float)q;
            break;
        case XG_I8:
        case XG_U8:
            ((uint8_t *)dst)[i] = (uint8_t)q;
            break;
        case XG_BOOL:
            ((uint8_t *)dst)[i] = x->dtype == XG_F32 ? v != 0 : q != 0;
            break;
        case XG_I16:
            ((int16_t *)dst)[i] = (int16_t)q;
            break;
        case XG_I32:
            ((int32_t *)dst)[i] = (int32_t)q;
            break;
        case XG_I64:
            ((int64_t *)dst)[i] = q;
            break;
        case XG_DTYPE_COUNT:
            return NULL;
        }
    }
    return dst;
}

static bool int_arith(xg_op op, int64_t p, int64_t q, int64_t *r) {
    switch (op) {
    case XG_OP_Add:
        return !__builtin_add_overflow(p, q, r);
    case XG_OP_Sub:
        return !__builtin_sub_overflow(p, q, r);
    case XG_OP_Mul:
        return !__builtin_mul_overflow(p, q, r);
    case XG_OP_Min:
        return *r = xg_min(p, q), true;
    case XG_OP_Max:
        return *r = xg_max(p, q), true;
    case XG_OP_Div:
        return q != 0 && !(p == INT64_MIN && q == -1) && (*r = p / q, true);
    default:
        return false;
    }
}

static bool float_arith(xg_op op, float p, float q, float *r) {
    switch (op) {
    case XG_OP_Add:
        return *r = p + q, true;
    case XG_OP_Sub:
        return *r = p - q, true;
    case XG_OP_Mul:
        return *r = p * q, true;
    case XG_OP_Div:
        return *r = p / q, true;
    case XG_OP_Min:
        return *r = p < q ? p : q, true;
    case XG_OP_Max:
        return *r = p > q ? p : q, true;
    default:
        return false;
    }
}

/* Element-wise with numpy broadcast; plain integers and f32. */
static void *eval_arith(xg_arena *a, const xg_graph *g, const xg_node *n) {
    const xg_tensor *y = xg_out(g, n, 0), *in[2] = {xg_in(g, n, 0), xg_in(g, n, 1)};
    int64_t stride[2][XG_RANK_MAX] = {{0}}, index[XG_RANK_MAX] = {0}, at[2] = {0},
            count = xg_tensor_elems(y);
    if (in[0]->quant || in[1]->quant ||
        (y->dtype != XG_F32 && y->dtype != XG_I32 && y->dtype != XG_I64))
        return NULL;
    for (int k = 0; k < 2; k++) {
        int64_t own[XG_RANK_MAX];
        strides_of(in[k]->rank, in[k]->dim, own);
        for (uint32_t i = 0; i < in[k]->rank; i++)
            stride[k][y->rank - in[k]->rank + i] = in[k]->dim[i] == 1 ? 0 : own[i];
    }
    void *dst = xg_alloc_array(a, (size_t)count, xg_dtype_bytes(y->dtype));
    for (int64_t i = 0; i < count; i++) {
        int64_t r = 0;
        bool ok;
        if (y->dtype == XG_F32)
            ok = float_arith((xg_op)n->op, ((const float *)in[0]->data)[at[0]],
                             ((const float *)in[1]->data)[at[1]], (float *)dst + i);
        else
            ok =
                int_arith((xg_op)n->op, xg_const_int(in[0], at[0]), xg_const_int(in[1], at[1]), &r);
        if (!ok || (y->dtype == XG_I32 && r != (int32_t)r)) return NULL;
        if (y->dtype == XG_I32)
            ((int32_t *)dst)[i] = (int32_t)r;
        else if (y->dtype == XG_I64)
            ((int64_t *)dst)[i] = r;
        for (uint32_t k = y->rank; k-- > 0;) {
            for (int m = 0; m < 2; m++) at[m] += stride[m][k];
            if (++index[k] < y->dim[k]) break;
            for (int m = 0; m < 2; m++) at[m] -= stride[m][k] * y->dim[k];
            index[k] = 0;
        }
    }
    return dst;
}

static void *eval_quantize(xg_arena *a, const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0), *y = xg_out(g, n, 0);
    const xg_quant *q = y->quant;
    int64_t count = xg_tensor_elems(x), inner = 1;
    int32_t lo, hi;
    xg_dtype_range(y->dtype, &lo, &hi);
    for (int64_t i = q->axis + 1; q->axis >= 0 && i < y->rank; i++) inner *= y->dim[i];
    void *dst = xg_alloc_array(a, (size_t)count, xg_dtype_bytes(y->dtype));
    for (int64_t i = 0; i < count; i++) {
        int64_t k = q->axis < 0 ? 0 : i / inner % q->n;
        int32_t v = xg_quantize_f32(((const float *)x->data)[i], q->scale[k], q->zp[k], lo, hi);
        if (xg_dtype_is_int8(y->dtype))
            ((uint8_t *)dst)[i] = (uint8_t)v;
        else if (y->dtype == XG_I16)
            ((int16_t *)dst)[i] = (int16_t)v;
        else if (y->dtype == XG_I32)
            ((int32_t *)dst)[i] = v;
        else
            return NULL;
    }
    return dst;
}

void *xg_const_eval(xg_arena *a, const xg_graph *g, const xg_node *n) {
    const xg_tensor *x = xg_in(g, n, 0);
    switch (n->op) {
    case XG_OP_Reshape:
        return xg_memdup(a, x->data, (size_t)xg_tensor_elems(x) * xg_dtype_bytes(x->dtype));
    case XG_OP_Transpose:
        return xg_const_permute(a, x->data, xg_dtype_bytes(x->dtype), x->rank, x->dim,
                                xg_attr_of(n, XG_ATTR_perm)->is);
    case XG_OP_Slice:
        return eval_slice(a, g, n);
    case XG_OP_Gather:
        return eval_gather(a, g, n);
    case XG_OP_Concat:
        return eval_concat(a, g, n);
    case XG_OP_Cast:
        return x->quant ? NULL : eval_cast(a, g, n);
    case XG_OP_Quantize:
        return eval_quantize(a, g, n);
    case XG_OP_Add:
    case XG_OP_Sub:
    case XG_OP_Mul:
    case XG_OP_Div:
    case XG_OP_Min:
    case XG_OP_Max:
        return eval_arith(a, g, n);
    default:
        return NULL;
    }
}
