/* What a plan read from a file must satisfy before instructions are made from it: names match
 * kinds, slices lie in their buffers, pieces fit their nodes. (Addresses, overlaps and order are
 * judged on the instructions by xg_program_check.) */
#include "layout/plan_types.h"

#include "isa/tile.h"

static bool slice_in(const xg_slice *a, const xg_slice *b) {
    return a->h0 >= b->h0 && a->h1 <= b->h1 && a->w0 >= b->w0 && a->w1 <= b->w1 && a->c0 >= b->c0 &&
           a->c1 <= b->c1;
}

const char *xg_piece_refuses(const xg_plan *p, const xg_piece *c) {
    const xg_graph *g = p->graph;
    if ((uint64_t)c->addr + c->bytes > p->region_bytes[XG_REG_CONST])
        return "it lies outside the constant region";
    if (c->kind == XG_PIECE_TENSOR) {
        const xg_tensor *t = xg_tensorp(g, c->node);
        return t->data && t->dtype == XG_I8 && xg_tensor_elems(t) == c->bytes
                   ? NULL
                   : "it is no constant of this size";
    }
    const xg_node *n = xg_nodep(g, c->node);
    xg_tile_kind kind = xg_node_tile_kind(g, n);
    if (c->kind == XG_PIECE_TABLE) {
        if (c->bytes != 256) return "a table has 256 bytes";
        if (kind == XG_TK_CONCAT) return c->c0 < n->nin ? NULL : "the concat has no such operand";
        return kind == XG_TK_LUT ? NULL : "the node has no table";
    }
    if (kind != XG_TK_CONV && kind != XG_TK_DW) return "the node has no weights";
    int64_t d[4], in[4];
    xg_dims4(xg_out(g, n, 0), d);
    xg_dims4(xg_in(g, n, 0), in);
    xg_window w = xg_node_window(n);
    uint32_t icp = p->machine->tile.icp, ocp = p->machine->tile.ocp, ch = c->c1 - c->c0,
             taps = (uint32_t)(w.kh * w.kw);
    if (c->c0 >= c->c1 || c->c1 > d[3]) return "its channels do not exist";
    if (c->kind == XG_PIECE_PARAM)
        return c->bytes == ch * xg_param_record(p->machine) ? NULL : "wrong size";
    if (c->kind == XG_PIECE_DW_W)
        return kind == XG_TK_DW && c->bytes == taps * xg_ceil_div(ch, icp) * icp ? NULL
                                                                                 : "wrong size";
    if (c->fold && (c->i0 || c->i1 != in[3] * w.kw || !xg_may_fold(g, p->machine, c->node)))
        return "it cannot be folded";
    if (c->i0 >= c->i1 || (!c->fold && c->i1 > in[3]) || c->i0 % icp)
        return "its input channels do not exist or are not aligned";
    if (c->fold) taps = (uint32_t)w.kh;
    uint64_t words =
        (uint64_t)xg_ceil_div(ch, ocp) * taps * (uint64_t)xg_ceil_div(c->i1 - c->i0, icp);
    return kind == XG_TK_CONV && c->bytes == words * (uint64_t)xg_min(ch, ocp) * icp ? NULL
                                                                                     : "wrong size";
}

static const xg_buffer *buffer_or_null(const xg_core_plan *core, uint32_t b) {
    return b < core->buffer.n ? &core->buffer.v[b] : NULL;
}

static bool is_map(const xg_buffer *b) {
    return b && b->mem == XG_MEM_FM && b->tensor != XG_NONE && b->il;
}

static const char *check_compute(const xg_plan *p, const xg_core_plan *core, const xg_task *t,
                                 const xg_node *n) {
    const xg_graph *g = xg_plan_graph(p, &p->sel->group.v[t->group]);
    xg_tile_kind kind = xg_node_tile_kind(g, n);
    const xg_buffer *in = buffer_or_null(core, t->in), *out = buffer_or_null(core, t->out);
    static const uint8_t wanted[XG_TK_NONE + 1] = {
        [XG_TK_CONV] = XG_TASK_CONV, [XG_TK_DW] = XG_TASK_CONV, [XG_TK_POOL] = XG_TASK_POOL,
        [XG_TK_ELEW] = XG_TASK_ELEW, [XG_TK_LUT] = XG_TASK_LUT, [XG_TK_CONCAT] = XG_TASK_LUT};
    if (wanted[kind] != t->kind) return "its node is of another kind";
    if (t->tensor != n->out[0]) return "its tensor is not its node's";
    if (!is_map(in) || !is_map(out) || out->tensor != t->tensor || !slice_in(&t->s, &out->s))
        return "its result does not lie in its output buffer";
    if (kind == XG_TK_CONCAT)
        return t->i0 < n->nin && in->tensor == n->in[t->i0] ? NULL : "wrong operand";
    if (in->tensor != n->in[0]) return "its input buffer holds another tensor";
    xg_slice need = xg_need(g, n, 0, &t->s);
    if (in->fold) need = xg_folded(g, n, need, t->s.w0, t->s.w1);
    if (kind == XG_TK_CONV) need.c0 = t->i0, need.c1 = t->i1;
    if (!slice_in(&need, &in->s)) return "its input buffer holds too little";
    if (kind == XG_TK_ELEW) {
        const xg_buffer *b = buffer_or_null(core, t->in2);
        xg_slice other = xg_need(g, n, 1, &t->s);
        if (!is_map(b) || b->tensor != n->in[1] || !slice_in(&other, &b->s))
            return "its second input buffer holds too little";
    }
    if (kind == XG_TK_LUT || kind == XG_TK_CONCAT)
        return buffer_or_null(core, t->p) ? NULL : "it has no table";
    if (kind != XG_TK_CONV && kind != XG_TK_DW) return NULL;
    if (!buffer_or_null(core, t->w) || !buffer_or_null(core, t->p)) return "it has no weights";
    if (kind == XG_TK_CONV && (t->i0 >= t->i1 || t->i0 % p->machine->tile.icp))
        return "its input channels are not aligned";
    return (t->acc_in || t->acc_out) && !buffer_or_null(core, t->psum) ? "it has no partial sums"
                                                                       : NULL;
}

/* What a group holds on chip it sees in one way; what it moves so has even pixels in DDR. */
static const char *check_view(const xg_plan *p, const xg_core_plan *core, const xg_task *t) {
    const uint32_t used[] = {t->in, t->in2, t->out};
    bool flat = p->sel->group.v[t->group].strategy.flat;
    int64_t d[4];
    for (uint32_t i = 0; i < XG_COUNT(used); i++) {
        const xg_buffer *b = buffer_or_null(core, used[i]);
        if (!is_map(b) || b->flat == flat) continue;
        xg_dims4(xg_tensorp(p->graph, b->tensor), d);
        if (d[1] * d[2] > 1)
            return flat ? "its group is flat, a buffer of it is not"
                        : "a buffer of it is flat, its group is not";
    }
    if (!flat || (t->kind != XG_TASK_LOAD && t->kind != XG_TASK_SAVE)) return NULL;
    const xg_place *pl = &p->place[t->tensor].place;
    xg_dims4(xg_tensorp(p->graph, t->tensor), d);
    return d[1] == 1 || pl->row_step == d[2] * pl->pix_step
               ? NULL
               : "its group is flat, the rows of its tensor have gaps between them";
}

const char *xg_task_refuses(const xg_plan *p, const xg_core_plan *core, const xg_task *t) {
    const uint32_t used[] = {t->in, t->in2, t->w, t->p, t->out, t->psum};
    for (uint32_t i = 0; i < XG_COUNT(used); i++)
        if (used[i] != XG_NONE && used[i] >= core->buffer.n) return "a buffer does not exist";
    if (t->group >= p->sel->group.n) return "its group does not exist";
    if (t->kind == XG_TASK_SIGNAL || t->kind == XG_TASK_AWAIT) return NULL;
    if (t->kind == XG_TASK_LOADC)
        return t->piece < p->piece.n && t->out != XG_NONE ? NULL : "its piece does not exist";
    if (t->s.h0 >= t->s.h1 || t->s.w0 >= t->s.w1 || t->s.c0 >= t->s.c1) return "its slice is empty";
    if (t->kind == XG_TASK_LOAD || t->kind == XG_TASK_SAVE) {
        const xg_buffer *b = buffer_or_null(core, t->kind == XG_TASK_LOAD ? t->out : t->in);
        if (t->tensor == XG_NONE || !p->place[t->tensor].placed)
            return "its tensor has no place in DDR";
        if (!is_map(b)) return "its buffer holds no map";
        if (b->fold && (t->kind == XG_TASK_SAVE || t->node == XG_NONE ||
                        !xg_may_fold(p->graph, p->machine, t->node) ||
                        xg_nodep(p->graph, t->node)->in[0] != t->tensor))
            return "it cannot be folded";
        xg_slice in = t->kind == XG_TASK_LOAD ? xg_loaded_slice(t) : t->s;
        bool elsewhere = t->kind == XG_TASK_SAVE && b->tensor != t->tensor;
        if (!elsewhere && !slice_in(&in, &b->s)) return "its slice does not lie in its buffer";
        return check_view(p, core, t);
    }
    const char *why = check_view(p, core, t);
    if (why) return why;
    return t->node == XG_NONE ? "it has no node"
                              : check_compute(p, core, t, xg_nodep(p->graph, t->node));
}
