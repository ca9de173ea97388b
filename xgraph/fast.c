#include "xgraph/fast.h"

bool xg_fast_affine(const xg_tensor *t, xg_affine *out) {
    if (!t->quant || t->quant->n != 1) return false;
    *out = (xg_affine){.scale = t->quant->scale[0], .zp = t->quant->zp[0]};
    xg_dtype_range(t->dtype, &out->lo, &out->hi);
    return true;
}

xg_fast_packed *xg_fast_packed_of(const xg_kernel *k, xg_cpu level) {
    xg_values *v = k->values;
    for (uint32_t i = 1; i < k->node->nin; i++)
        if (xg_kin(k, i) && (!xg_kin(k, i)->data || xg_kin(k, i)->data != xg_kin_data(k, i)))
            return NULL;
    if (!v->packed) v->packed = xg_newn(v->arena, xg_fast_packed, v->graph->node.n);
    xg_fast_packed *p = &v->packed[k->node - v->graph->node.v];
    if (p->level != level) *p = (xg_fast_packed){.level = level};
    return p;
}

bool xg_fast_node(const xg_kernel *k) {
    typedef bool twin(const xg_kernel *, const xg_fast_isa *);
    static twin *const twins[XG_OP_COUNT] = {
        [XG_OP_Conv] = xg_fast_conv,
        [XG_OP_MatMul] = xg_fast_matmul,
        [XG_OP_MaxPool] = xg_fast_max_pool,
        [XG_OP_AvgPool] = xg_fast_avg_pool,
        [XG_OP_Add] = xg_fast_binary,
        [XG_OP_Mul] = xg_fast_binary,
        [XG_OP_Lut] = xg_fast_lut,
        [XG_OP_Concat] = xg_fast_concat,
        [XG_OP_Requantize] = xg_fast_requantize,
        [XG_OP_Quantize] = xg_fast_quantize,
        [XG_OP_Dequantize] = xg_fast_dequantize,
    };
    if (xg_kernel_is_wide(k)) return k->node->op == XG_OP_Conv && xg_fast_wide_conv(k);
    twin *fn = twins[k->node->op];
    return fn && fn(k, xg_fast_isa_of(xg_cpu_level()));
}
