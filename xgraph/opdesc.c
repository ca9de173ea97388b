#include "xgraph/shape.h"

#include <string.h>

#define A(name) XG_ATTR_##name,
const xg_op_desc xg_ops[XG_OP_COUNT] = {
#define ATTR(...)
#define OP(name_, min_, max_, nout_, shape_, rule_, attrs_, formula_)                              \
    [XG_OP_##name_] = {.name = #name_,                                                             \
                       .min_in = min_,                                                             \
                       .max_in = max_,                                                             \
                       .nout = nout_,                                                              \
                       .nattr = sizeof((const uint16_t[]){attrs_ 0}) / sizeof(uint16_t) - 1,       \
                       .rule = XG_RULE_##rule_,                                                    \
                       .attr = {attrs_ 0},                                                         \
                       .shape = xg_shape_##shape_,                                                 \
                       .formula = formula_},
#include "xgraph/ops.def"
};
#undef A

const xg_attr_desc xg_attrs[XG_ATTR_COUNT] = {
#define OP(...)
#define ATTR(name_, kind_, int_, float_, doc_)                                                     \
    [XG_ATTR_##name_] = {                                                                          \
        .name = #name_, .kind = kind_, .default_i = int_, .default_f = float_, .doc = doc_},
#include "xgraph/ops.def"
};

int xg_op_by_name(const char *name) {
    for (int i = 0; i < XG_OP_COUNT; i++)
        if (!strcmp(xg_ops[i].name, name)) return i;
    return -1;
}

/* ---- element types
 * ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    uint8_t bytes;
    int32_t lo, hi;
} dtypes[XG_DTYPE_COUNT] = {
    [XG_F32] = {"f32", 4, INT32_MIN, INT32_MAX},
    [XG_I8] = {"i8", 1, INT8_MIN, INT8_MAX},
    [XG_U8] = {"u8", 1, 0, UINT8_MAX},
    [XG_I16] = {"i16", 2, INT16_MIN, INT16_MAX},
    [XG_I32] = {"i32", 4, INT32_MIN, INT32_MAX},
    [XG_I64] = {"i64", 8, INT32_MIN, INT32_MAX},
    [XG_BOOL] = {"bool", 1, 0, 1},
};

size_t xg_dtype_bytes(xg_dtype t) {
    return dtypes[t].bytes;
}

const char *xg_dtype_name(xg_dtype t) {
    return (unsigned)t < XG_DTYPE_COUNT ? dtypes[t].name : "?";
}

bool xg_dtype_parse(const char *s, xg_dtype *out) {
    for (int i = 0; i < XG_DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].name, s) != 0) continue;
        *out = (xg_dtype)i;
        return true;
    }
    return false;
}

bool xg_dtype_is_int8(xg_dtype t) {
    return t == XG_I8 || t == XG_U8;
}

void xg_dtype_range(xg_dtype t, int32_t *lo, int32_t *hi) {
    *lo = dtypes[t].lo;
    *hi = dtypes[t].hi;
}
