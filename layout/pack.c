/* Constants as the machine reads them: weight blocks bank after bank, depthwise weights, parameter
 * records, tables. */
#include "layout/plan_types.h"

#include "base/fixed.h"

#include <string.h>

static void put32(uint8_t *p, int32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)((uint32_t)v >> (8 * i));
}

static float channel_scale(const xg_quant *q, uint32_t c) {
    return q->scale[q->axis < 0 || q->n == 1 ? 0 : c];
}

/* Bytes from..to of a run whose others are zero points. */
static void put_run(uint8_t *dst, const int8_t *src, uint32_t from, uint32_t to, uint32_t n,
                    uint8_t zp) {
    memset(dst, zp, from);
    memcpy(dst + from, src, to - from);
    memset(dst + to, zp, n - to);
}

/* One bank: its output channel's words of every group of the block, [group][kh][kw][channel
 * word][ICP]. Returns its end. */
static uint8_t *pack_bank(const xg_plan *p, const xg_piece *pc, uint32_t lane, uint8_t *dst) {
    const xg_node *n = xg_nodep(p->graph, pc->node);
    const xg_tensor *w = xg_in(p->graph, n, 1);
    const int8_t *src = w->data;
    xg_window win = xg_node_window(n);
    uint32_t icp = p->machine->tile.icp, ocp = p->machine->tile.ocp;
    uint32_t ipg = (uint32_t)w->dim[3], opg = (uint32_t)(w->dim[0] / xg_ai(n, XG_ATTR_group));
    uint32_t words = (uint32_t)xg_ceil_div(pc->i1 - pc->i0, icp);
    uint32_t run = words * icp, taps = (uint32_t)(win.kh * win.kw);
    uint8_t zp = (uint8_t)w->quant->zp[0];
    for (uint32_t o = pc->c0 + lane; o < pc->c1 && pc->fold;
         o += ocp) /* channel i of row r is column i / C, channel i % C */
        for (uint32_t r = 0; r < (uint32_t)win.kh; r++, dst += run)
            put_run(dst, src + ((size_t)o * win.kh + r) * win.kw * ipg, 0, pc->i1, run, zp);
    for (uint32_t o = pc->c0 + lane; o < pc->c1 && !pc->fold; o += ocp) {
        uint32_t first = o / opg * ipg; /* first input channel of o's group */
        uint32_t c0 = (uint32_t)xg_max(pc->i0, first), c1 = (uint32_t)xg_min(pc->i1, first + ipg);
        if (c1 <= c0) c0 = c1 = first = pc->i0; /* nothing of the group */
        for (uint32_t t = 0; t < taps; t++, dst += run)
            put_run(dst, src + ((size_t)o * taps + t) * ipg + (c0 - first), c0 - pc->i0,
                    c1 - pc->i0, run, zp);
    }
    return dst;
}

static void pack_conv(const xg_plan *p, const xg_piece *pc, uint8_t *dst) {
    uint32_t banks = (uint32_t)xg_min(pc->c1 - pc->c0, p->machine->tile.ocp);
    const xg_tensor *w = xg_in(p->graph, xg_nodep(p->graph, pc->node), 1);
    uint8_t *end = dst + pc->bytes;
    for (uint32_t b = 0; b < banks; b++) {
        uint8_t *next = b + 1 < banks ? dst + pc->bytes / banks : end;
        uint8_t *used = pack_bank(p, pc, b, dst);
        memset(used, (uint8_t)w->quant->zp[0], (size_t)(next - used));
        dst = next;
    }
}

static void pack_depthwise(const xg_plan *p, const xg_piece *pc, uint8_t *dst) {
    const xg_node *n = xg_nodep(p->graph, pc->node);
    const xg_tensor *w = xg_in(p->graph, n, 1);
    const int8_t *src = w->data;
    xg_window win = xg_node_window(n);
    uint32_t icp = p->machine->tile.icp, taps = (uint32_t)(win.kh * win.kw);
    uint32_t lanes = (uint32_t)xg_ceil_div(pc->c1 - pc->c0, icp) * icp;
    for (uint32_t t = 0; t < taps; t++)
        for (uint32_t i = 0; i < lanes; i++) {
            uint32_t c = pc->c0 + i;
            dst[t * lanes + i] =
                (uint8_t)(c < pc->c1 ? src[(size_t)c * taps + t] : w->quant->zp[0]);
        }
}

static xg_status pack_params(const xg_plan *p, const xg_piece *pc, uint8_t *dst) {
    const xg_node *n = xg_nodep(p->graph, pc->node);
    const xg_tensor *x = xg_in(p->graph, n, 0), *w = xg_in(p->graph, n, 1),
                    *b = xg_in(p->graph, n, 2);
    const xg_tensor *y = xg_out(p->graph, n, 0);
    uint32_t rec = xg_param_record(p->machine);
    for (uint32_t c = pc->c0; c < pc->c1; c++, dst += rec) {
        put32(dst, b ? ((const int32_t *)b->data)[c] : 0);
        if (rec == 4) continue;
        float num[2] = {x->quant->scale[0], channel_scale(w->quant, c)};
        xg_rq q;
        if (!xg_rq_derive(&p->machine->rq, num, 2, y->quant->scale[0], &q))
            return xg_error(
                xg_arena_ctx(p->arena), XG_UNSUPPORTED, n->name,
                "channel %u: scale %g * %g / %g cannot be expressed by the machine's requantiser",
                c, (double)num[0], (double)num[1], (double)y->quant->scale[0]);
        put32(dst + 4, q.mult);
        put32(dst + 8, q.shift);
    }
    return XG_OK;
}

xg_status xg_node_table(const xg_plan *p, uint32_t node, uint32_t operand, int8_t table[256]) {
    const xg_node *n = xg_nodep(p->graph, node);
    if (n->op == XG_OP_Lut) {
        memcpy(table, xg_in(p->graph, n, 1)->data, 256);
        return XG_OK;
    }
    const xg_quant *from = xg_in(p->graph, n, operand)->quant, *to = xg_out(p->graph, n, 0)->quant;
    for (int i = 0; i < 256; i++) {
        int32_t v = i - 128;
        if (n->op == XG_OP_Clip)
            v = (int32_t)xg_clamp(v, xg_ai(n, XG_ATTR_lo), xg_ai(n, XG_ATTR_hi));
        else
            v = xg_quantize_f32(xg_dequantize_f32(v, from->scale[0], from->zp[0]), to->scale[0],
                                to->zp[0], -128, 127);
        table[i] = (int8_t)v;
    }
    return XG_OK;
}

static xg_status pack_one(const xg_plan *p, const xg_piece *pc, uint8_t *dst) {
    switch ((xg_piece_kind)pc->kind) {
    case XG_PIECE_CONV_W:
        pack_conv(p, pc, dst);
        return XG_OK;
    case XG_PIECE_DW_W:
        pack_depthwise(p, pc, dst);
        return XG_OK;
    case XG_PIECE_PARAM:
        return pack_params(p, pc, dst);
    case XG_PIECE_TABLE:
        return xg_node_table(p, pc->node, pc->c0, (int8_t *)dst);
    case XG_PIECE_TENSOR:
        memcpy(dst, xg_tensorp(p->graph, pc->node)->data, pc->bytes);
        return XG_OK;
    }
    return XG_INTERNAL;
}

xg_status xg_pack_pieces(const xg_plan *p, xg_arena *a, uint8_t **bytes) {
    *bytes = xg_alloc(a, p->region_bytes[XG_REG_CONST]);
    for (uint32_t i = 0; i < p->piece.n; i++) {
        xg_status st = pack_one(p, &p->piece.v[i], *bytes + p->piece.v[i].addr);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}
