/* Places of tensors in DDR.
 *
 * A concat's operand that its producer can write straight into the result lies inside it (no
 * instruction for the concat); a reshape or slice is another view of its input. Constants that are
 * read as maps are packed. The workspace is laid out for one image by lifetimes and repeated for
 * each image of the batch, so that cores which work on different images never meet in memory.
 */
#include "layout/plan_types.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, PIECE_LISTS = 8191 };

typedef struct life {
    uint32_t tensor, first, last; /* groups */
    uint64_t bytes, at;
} life;

typedef struct place_ctx {
    xg_plan *p;
    const xg_graph *g;
    uint32_t *group_of; /* [nodes] */
    bool *accel_read, *accel_made, *host_read, *host_made;
    uint32_t *first, *last; /* [tensors] groups of birth and last use, of roots after merging */
    bool *ddr;              /* [tensors] DDR must hold it */
} place_ctx;

static uint64_t align_up(uint64_t v) {
    return (v + ALIGN - 1) / ALIGN * ALIGN;
}

static bool accel_group(const place_ctx *c, uint32_t group) {
    return c->p->sel->group.v[group].where == XG_ON_ACCEL;
}

static void note_uses(place_ctx *c) {
    const xg_graph *g = c->g;
    for (uint32_t gr = 0; gr < c->p->sel->group.n; gr++) {
        const xg_group *grp = &c->p->sel->group.v[gr];
        for (uint32_t k = 0; k < grp->nnode; k++) c->group_of[grp->node[k]] = gr;
    }
    for (uint32_t t = 0; t < g->tensor.n; t++) c->first[t] = UINT32_MAX;
    for (uint32_t t = 0; t < g->input.n; t++)
        c->host_made[g->input.v[t]] = true, c->first[g->input.v[t]] = 0;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        uint32_t gr = c->group_of[i];
        bool accel = accel_group(c, gr);
        for (uint32_t k = 0; k < n->nout; k++) {
            (accel ? c->accel_made : c->host_made)[n->out[k]] = true;
            c->first[n->out[k]] = c->last[n->out[k]] = gr;
        }
        for (uint32_t k = 0; k < n->nin; k++) {
            uint32_t t = n->in[k];
            if (t == XG_NONE) continue;
            uint32_t made = xg_tensorp(g, t)->producer;
            if (made != XG_NONE && c->group_of[made] == gr) continue; /* inside the group */
            (accel ? c->accel_read : c->host_read)[t] = true;
            if (gr > c->last[t]) c->last[t] = gr;
        }
    }
    for (uint32_t k = 0; k < g->output.n; k++)
        c->host_read[g->output.v[k]] = true, c->last[g->output.v[k]] = c->p->sel->group.n;
}

/* Operands that are weights, biases or tables, not maps. */
static bool is_map_operand(const xg_graph *g, const xg_node *n, uint32_t k) {
    xg_tile_kind kind = xg_node_tile_kind(g, n);
    return k == 0 || kind == XG_TK_ELEW || kind == XG_TK_CONCAT;
}

/* Concat operands share the result's memory, or live as long as the result is read. */
static void merge_concats(place_ctx *c, xg_arena *tmp) {
    const uint32_t *parent = xg_concat_parents(c->p->sel, tmp);
    const xg_concat_form *form = xg_concat_forms(c->p->sel, c->p->machine, tmp);
    for (uint32_t t = 0; t < c->g->tensor.n; t++) {
        c->p->place[t].apart = form[t] == XG_CONCAT_APART;
        c->p->place[t].gathered = form[t] == XG_CONCAT_GATHERED;
        if (parent[t] != XG_NONE && form[parent[t]] == XG_CONCAT_WHOLE)
            c->p->place[t].root = parent[t];
    }
    for (uint32_t i = c->g->node.n; i-- > 0;) {
        const xg_node *n = xg_nodep(c->g, i);
        bool copies = false;
        if (form[n->out[0]] != XG_CONCAT_APART) continue;
        for (uint32_t k = 0; k < n->nin; k++) {
            uint32_t t = n->in[k];
            copies |= !xg_read_apart(c->g, n, k);
            if (c->last[n->out[0]] > c->last[t]) c->last[t] = c->last[n->out[0]];
        }
        c->ddr[n->out[0]] = copies;
    }
}

static uint32_t root_of(const xg_plan *p, uint32_t t) {
    while (p->place[t].root != t) t = p->place[t].root;
    return t;
}

static void merge_views(place_ctx *c) {
    for (uint32_t i = 0; i < c->g->node.n; i++) {
        const xg_node *n = xg_nodep(c->g, i);
        if (accel_group(c, c->group_of[i]) && xg_node_tile_kind(c->g, n) == XG_TK_VIEW)
            c->p->place[n->out[0]].root = n->in[0];
    }
}

static bool wanted(const place_ctx *c, uint32_t t) {
    if (!c->ddr[t]) return false;
    return (c->accel_made[t] && (c->accel_read[t] || c->host_read[t])) ||
           (c->accel_read[t] && !c->accel_made[t]);
}

/* A root inherits the lives and the readers of all that lies in it. */
static void inherit(place_ctx *c) {
    for (uint32_t t = 0; t < c->g->tensor.n; t++) {
        uint32_t r = root_of(c->p, t);
        if (r == t) continue;
        if (c->first[t] < c->first[r]) c->first[r] = c->first[t];
        if (c->last[t] > c->last[r]) c->last[r] = c->last[t];
        c->host_read[r] |= c->host_read[t];
        c->accel_read[r] |= wanted(c, t);
        c->p->place[t].placed = c->ddr[t];
    }
}

static void dense_place(const xg_tensor *t, xg_place *pl, uint8_t region, uint64_t at,
                        uint64_t image_step) {
    int64_t d[4];
    xg_dims4(t, d);
    pl->region = region;
    pl->addr = (uint32_t)at;
    pl->pix_step = (uint32_t)d[3];
    pl->row_step = (uint32_t)(d[2] * d[3]);
    pl->image_step = (uint32_t)(image_step ? image_step : (uint64_t)(d[1] * d[2] * d[3]));
}

static int by_size(const void *a, const void *b) {
    const life *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

static int by_address(const void *a, const void *b) {
    const life *x = *(const life *const *)a, *y = *(const life *const *)b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* First fit, largest first; returns the bytes of one image's workspace. */
static uint64_t pack_lives(life *v, uint32_t n, xg_arena *tmp) {
    const life **near = xg_newn(tmp, const life *, n + 1);
    uint64_t peak = 0;
    qsort(v, n, sizeof *v, by_size);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t m = 0;
        for (uint32_t j = 0; j < i; j++)
            if (v[j].first <= v[i].last && v[i].first <= v[j].last) near[m++] = &v[j];
        qsort(near, m, sizeof *near, by_address);
        uint64_t at = 0;
        for (uint32_t j = 0; j < m; j++) {
            if (near[j]->at >= at + v[i].bytes) break;
            if (near[j]->at + near[j]->bytes > at) at = near[j]->at + near[j]->bytes;
        }
        v[i].at = at;
        if (at + v[i].bytes > peak) peak = at + v[i].bytes;
    }
    return peak;
}

static uint64_t image_bytes(const xg_tensor *t) {
    int64_t d[4];
    xg_dims4(t, d);
    return align_up((uint64_t)(d[1] * d[2] * d[3]));
}

static xg_status place_roots(place_ctx *c, xg_arena *tmp) {
    xg_plan *p = c->p;
    life *v = xg_newn(tmp, life, c->g->tensor.n + 1);
    uint32_t n = 0;
    for (uint32_t t = 0; t < c->g->tensor.n; t++) {
        const xg_tensor *ten = xg_tensorp(c->g, t);
        if (p->place[t].root != t || ten->data || !wanted(c, t)) continue;
        p->place[t].placed = true;
        if (c->host_made[t] || c->host_read[t]) {
            uint8_t region = c->host_made[t] ? XG_REG_IN : XG_REG_OUT;
            dense_place(ten, &p->place[t].place, region, p->region_bytes[region], 0);
            p->region_bytes[region] += align_up((uint64_t)xg_tensor_elems(ten));
        } else {
            v[n++] = (life){t, c->first[t], c->last[t], image_bytes(ten), 0};
        }
    }
    uint64_t step = pack_lives(v, n, tmp);
    int64_t batch = 1;
    for (uint32_t i = 0; i < n; i++) {
        const xg_tensor *ten = xg_tensorp(c->g, v[i].tensor);
        int64_t d[4];
        xg_dims4(ten, d);
        batch = xg_max(batch, d[0]);
        dense_place(ten, &p->place[v[i].tensor].place, XG_REG_WORK, v[i].at, step);
    }
    p->region_bytes[XG_REG_WORK] = step * (uint64_t)batch;
    return XG_OK;
}

static void place_inside(xg_plan *p, uint32_t t, uint32_t parent, uint64_t offset) {
    p->place[t].place = p->place[parent].place;
    p->place[t].place.addr += (uint32_t)offset;
}

static uint64_t axis_step(const xg_place *pl, int axis) {
    return axis == 0 ? pl->image_step : axis == 1 ? pl->row_step : axis == 2 ? pl->pix_step : 1;
}

/* Axis of a tensor of this rank as one of N, H, W, C. */
static int axis4(uint8_t rank, int64_t axis) {
    static const int8_t of[5][4] = {
        {3, 3, 3, 3}, {3, 3, 3, 3}, {0, 3, 3, 3}, {0, 2, 3, 3}, {0, 1, 2, 3}};
    return of[rank][axis];
}

static void place_concat_members(place_ctx *c) {
    for (uint32_t i = c->g->node.n; i-- > 0;) {
        const xg_node *n = xg_nodep(c->g, i);
        if (n->op != XG_OP_Concat || !accel_group(c, c->group_of[i])) continue;
        uint64_t offset = 0;
        int64_t axis = xg_ai(n, XG_ATTR_axis);
        for (uint32_t k = 0; k < n->nin; k++) {
            uint32_t t = n->in[k];
            const xg_place *pl = &c->p->place[n->out[0]].place;
            const xg_tensor *x = xg_tensorp(c->g, t);
            if (xg_lies_inside(c->p, n, k)) place_inside(c->p, t, n->out[0], offset);
            offset += (uint64_t)x->dim[axis] * axis_step(pl, axis4(x->rank, axis));
        }
    }
}

static void place_views(place_ctx *c) {
    for (uint32_t i = 0; i < c->g->node.n; i++) {
        const xg_node *n = xg_nodep(c->g, i);
        if (!accel_group(c, c->group_of[i]) || xg_node_tile_kind(c->g, n) != XG_TK_VIEW) continue;
        const xg_tensor *x = xg_in(c->g, n, 0), *y = xg_out(c->g, n, 0);
        const xg_place px = c->p->place[n->in[0]].place;
        xg_place *py = &c->p->place[n->out[0]].place;
        int64_t dx[4], dy[4];
        xg_dims4(x, dx);
        xg_dims4(y, dy);
        if (n->op == XG_OP_Reshape && !memcmp(dx, dy, sizeof dx)) { /* a slice stays one */
            *py = px;
            continue;
        }
        if (n->op == XG_OP_Reshape) {
            dense_place(y, py, px.region, px.addr, px.image_step);
            continue;
        }
        *py = px;
        for (uint32_t a = 0; a < x->rank; a++) {
            int64_t start = xg_attr_of(n, XG_ATTR_starts)->is[a],
                    step = xg_attr_of(n, XG_ATTR_steps)->is[a];
            int ax = axis4(x->rank, a);
            py->addr += (uint32_t)((uint64_t)start * axis_step(&px, ax));
            if (ax == 0) py->image_step = (uint32_t)(px.image_step * step);
            if (ax == 1) py->row_step = (uint32_t)(px.row_step * step);
            if (ax == 2) py->pix_step = (uint32_t)(px.pix_step * step);
        }
    }
}

static void place_constants(place_ctx *c) {
    for (uint32_t i = 0; i < c->g->node.n; i++) {
        const xg_node *n = xg_nodep(c->g, i);
        if (!accel_group(c, c->group_of[i])) continue;
        for (uint32_t k = 0; k < n->nin; k++) {
            const xg_tensor *t = xg_in(c->g, n, k);
            if (!t || !t->data || !is_map_operand(c->g, n, k) || c->p->place[n->in[k]].placed)
                continue;
            xg_piece want = {
                .kind = XG_PIECE_TENSOR, .node = n->in[k], .bytes = (uint32_t)xg_tensor_elems(t)};
            uint32_t piece = xg_add_piece(c->p, &want);
            c->p->place[n->in[k]].placed = true;
            dense_place(t, &c->p->place[n->in[k]].place, XG_REG_CONST, c->p->piece.v[piece].addr,
                        0);
        }
    }
}

static uint32_t *list_of(const xg_plan *p, const xg_piece *c) {
    uint32_t h = c->node * 31 + c->kind;
    h = (h * 31 + c->c0 / 4) * 31 + c->i0 / 4;
    return &p->piece_list[h % PIECE_LISTS];
}

uint32_t xg_add_piece(xg_plan *p, const xg_piece *want) {
    if (!p->piece_list) p->piece_list = xg_newn(p->arena, uint32_t, PIECE_LISTS);
    uint32_t *last = list_of(p, want);
    for (uint32_t i = *last; i; i = p->piece.v[i - 1].before) {
        const xg_piece *o = &p->piece.v[i - 1];
        if (o->kind == want->kind && o->node == want->node && o->c0 == want->c0 &&
            o->c1 == want->c1 && o->i0 == want->i0 && o->i1 == want->i1 && o->fold == want->fold)
            return i - 1;
    }
    xg_piece made = *want;
    made.addr = (uint32_t)p->region_bytes[XG_REG_CONST];
    made.before = *last;
    p->region_bytes[XG_REG_CONST] += align_up(made.bytes);
    xg_push(p->arena, &p->piece, made);
    *last = p->piece.n;
    return p->piece.n - 1;
}

void xg_drop_pieces(xg_plan *p, uint32_t n, uint64_t bytes) {
    while (p->piece.n > n) {
        const xg_piece *c = &p->piece.v[--p->piece.n];
        *list_of(p, c) = c->before;
    }
    p->region_bytes[XG_REG_CONST] = bytes;
}

bool xg_lies_inside(const xg_plan *p, const xg_node *concat, uint32_t k) {
    if (p->place[concat->in[k]].root != concat->out[0]) return false;
    for (uint32_t j = 0; j < k; j++)
        if (concat->in[j] == concat->in[k]) return false;
    return true;
}

bool xg_copies_operand(const xg_plan *p, const xg_node *concat, uint32_t k) {
    if (p->place[concat->out[0]].apart) return !xg_read_apart(p->graph, concat, k);
    return !p->place[concat->out[0]].gathered && !xg_lies_inside(p, concat, k);
}

xg_place xg_seen_place(const xg_plan *p, uint32_t tensor, const xg_slice *s, bool flat) {
    const xg_graph *g = flat ? p->flat : p->graph;
    xg_place pl = p->place[tensor].place;
    int64_t d[4];
    xg_dims4(xg_tensorp(g, tensor), d);
    if (flat) pl.row_step = (uint32_t)d[2] * pl.pix_step;
    if (!p->place[tensor].apart) return pl;
    const xg_node *n = xg_nodep(g, xg_tensorp(g, tensor)->producer);
    uint32_t before = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        xg_slice whole = xg_slice_whole(xg_in(g, n, k), s->n);
        xg_slice at = xg_concat_slice(g, n, k, whole);
        if (s->h0 < at.h1 && s->w0 < at.w1 && s->c0 < at.c1) {
            pl.pix_step = whole.c1;
            pl.row_step = whole.w1 * whole.c1;
            pl.addr += before - at.h0 * pl.row_step - at.w0 * pl.pix_step - at.c0;
            break;
        }
        xg_dims4(xg_in(p->graph, n, k), d);
        before += (uint32_t)(d[1] * d[2] * d[3]);
    }
    return pl;
}

uint64_t xg_place_address(const xg_place *pl, const xg_slice *s) {
    return pl->addr + (uint64_t)s->n * pl->image_step + (uint64_t)s->h0 * pl->row_step +
           (uint64_t)s->w0 * pl->pix_step + s->c0;
}

xg_status xg_place_tensors(xg_plan *p) {
    xg_ctx *ctx = xg_arena_ctx(p->arena);
    xg_arena *tmp = xg_arena_new(ctx);
    uint32_t nt = p->graph->tensor.n;
    place_ctx c = {.p = p, .g = p->graph};
    c.group_of = xg_newn(tmp, uint32_t, p->graph->node.n + 1);
    c.accel_read = xg_newn(tmp, bool, nt + 1);
    c.accel_made = xg_newn(tmp, bool, nt + 1);
    c.host_read = xg_newn(tmp, bool, nt + 1);
    c.host_made = xg_newn(tmp, bool, nt + 1);
    c.first = xg_newn(tmp, uint32_t, nt + 1);
    c.last = xg_newn(tmp, uint32_t, nt + 1);
    p->place = xg_newn(p->arena, xg_place_row, nt + 1);
    for (uint32_t t = 0; t < nt; t++) p->place[t].root = t;
    c.ddr = xg_needs_ddr(p->sel, tmp);
    note_uses(&c);
    merge_concats(&c, tmp);
    merge_views(&c);
    for (uint32_t t = 0; t < nt; t++) {
        p->place[t].stays = p->sel->on_chip && p->sel->on_chip[t];
        p->place[t].last = c.last[t];
    }
    inherit(&c);
    xg_status st = place_roots(&c, tmp);
    place_concat_members(&c);
    place_views(&c);
    place_constants(&c);
    xg_arena_free(tmp);
    for (int r = 0; r < XG_REGIONS && st == XG_OK; r++)
        if (p->region_bytes[r] > INT32_MAX)
            st = xg_error(ctx, XG_LIMIT, "",
                          "DDR region %d needs %llu bytes; addresses reach 2147483647", r,
                          (unsigned long long)p->region_bytes[r]);
    return st;
}
