#include "validate/run.h"

#include <inttypes.h>
#include <string.h>

static const char *shape_text(xg_arena *a, const int64_t *dim, uint8_t rank) {
    xg_buf b = {.arena = a};
    xg_putf(&b, "[");
    for (int i = 0; i < rank; i++) xg_putf(&b, "%s%" PRId64, i ? "," : "", dim[i]);
    xg_putf(&b, "]");
    return b.p;
}

/* How many times the tensor fits the array: same dimensions behind the first, whose extent is a
 * multiple; or the dimensions without a first one of 1. 0 = it does not. */
static uint64_t fits(const xg_array *x, const xg_tensor *t) {
    uint8_t lead = t->rank && t->dim[0] == 1 && x->rank + 1 == t->rank;
    if (!lead && x->rank != t->rank) return 0;
    for (int d = lead ? 1 : t->rank ? 1 : 0; d < t->rank; d++)
        if (x->dim[d - lead] != t->dim[d]) return 0;
    if (lead || t->rank == 0) return 1;
    return x->dim[0] > 0 && x->dim[0] % t->dim[0] == 0 ? (uint64_t)(x->dim[0] / t->dim[0]) : 0;
}

static bool type_ok(const xg_array *x, const xg_tensor *t) {
    return x->dtype == t->dtype ||
           (t->dtype == XG_F32 && x->dtype != XG_BOOL && x->dtype < XG_DTYPE_COUNT);
}

/* The array for input number i: by name; by position when the array has none; else the only one
 * that fits. */
static const xg_array *array_for(const xg_tensor *t, uint32_t i, const xg_array *array,
                                 uint32_t n) {
    const xg_array *fitting = NULL;
    uint32_t nfitting = 0;
    for (uint32_t k = 0; k < n; k++) {
        if (array[k].name &&
            (!strcmp(array[k].name, t->name) || (t->onnx && !strcmp(array[k].name, t->onnx))))
            return &array[k];
        if (fits(&array[k], t) && type_ok(&array[k], t)) {
            fitting = &array[k];
            nfitting++;
        }
    }
    if (n == 1 && i == 0) return &array[0];
    if (i < n && !array[i].name) return &array[i];
    return nfitting == 1 ? fitting : NULL;
}

xg_status xg_inputs_count(xg_ctx *c, const xg_graph *g, const uint32_t *input, uint32_t ninput,
                          const xg_array *array, uint32_t n, uint64_t *runs) {
    xg_arena *a = xg_arena_new(c);
    xg_status st = XG_OK;
    *runs = 0;
    for (uint32_t i = 0; i < ninput && st == XG_OK; i++) {
        const xg_tensor *t = xg_tensorp(g, input[i]);
        const xg_array *x = array_for(t, i, array, n);
        if (!x) {
            st = xg_error(c, XG_INPUT, t->name,
                          "no array is for this model input, %s %s; in an .npz file, give the "
                          "array the input's name",
                          xg_dtype_name(t->dtype), shape_text(a, t->dim, t->rank));
            break;
        }
        uint64_t k = fits(x, t);
        if (!k)
            st = xg_error(c, XG_INPUT, t->name, "the input array is %s; the model takes %s",
                          shape_text(a, x->dim, x->rank), shape_text(a, t->dim, t->rank));
        else if (!type_ok(x, t))
            st = xg_error(c, XG_INPUT, t->name, "the input array is %s; the model takes %s",
                          xg_dtype_name(x->dtype), xg_dtype_name(t->dtype));
        else if (*runs && *runs != k)
            st = xg_error(c, XG_INPUT, t->name,
                          "this input has %" PRIu64 " batches, another %" PRIu64, k, *runs);
        *runs = k;
    }
    if (st == XG_OK && *runs == 0) *runs = 1;
    xg_arena_free(a);
    return st;
}

static float as_f32(const void *p, xg_dtype t, uint64_t i) {
    switch (t) {
    case XG_F32:
        return ((const float *)p)[i];
    case XG_I8:
        return ((const int8_t *)p)[i];
    case XG_U8:
    case XG_BOOL:
        return ((const uint8_t *)p)[i];
    case XG_I16:
        return ((const int16_t *)p)[i];
    case XG_I32:
        return (float)((const int32_t *)p)[i];
    case XG_I64:
        return (float)((const int64_t *)p)[i];
    case XG_DTYPE_COUNT:
        break;
    }
    return 0;
}

xg_status xg_inputs_set(xg_ctx *c, xg_values *v, const uint32_t *input, uint32_t ninput,
                        const xg_array *array, uint32_t n, uint64_t run) {
    const xg_graph *g = v->graph;
    for (uint32_t i = 0; i < ninput; i++) {
        const xg_tensor *t = xg_tensorp(g, input[i]);
        const xg_array *x = array_for(t, i, array, n);
        if (!x || fits(x, t) <= run || !type_ok(x, t))
            return xg_error(c, XG_INPUT, t->name, "the input arrays do not hold batch %" PRIu64,
                            run);
        uint64_t elems = (uint64_t)xg_tensor_elems(t);
        void *to = xg_values_get(v, input[i]);
        if (x->dtype == t->dtype) {
            size_t bytes = elems * xg_dtype_bytes(t->dtype);
            memcpy(to, (const uint8_t *)x->data + run * bytes, bytes);
        } else {
            for (uint64_t k = 0; k < elems; k++)
                ((float *)to)[k] = as_f32(x->data, x->dtype, run * elems + k);
        }
    }
    return XG_OK;
}
