#include "validate/check_inner.h"

#include "isa/tile.h"

#include <string.h>

/* A piece of a tensor and where it lies. */
typedef struct {
    const xg_prog_tensor *tensor;
    const xg_map_row *row;
    uint8_t *memory;   /* that the place's offsets count in */
    const int8_t *ref; /* the whole reference tensor, dense */
} piece;

typedef struct {
    uint64_t wrong;
    uint32_t h, w, c; /* first wrong element, in the tensor */
    int8_t expected, got;
    uint64_t offset;
} difference;

static uint8_t *memory_of(const xg_watch *w, const xg_place *place, uint32_t core) {
    uint64_t bytes;
    if (!place->on_chip) return xg_sim_ddr(w->exec->sim, place->region, &bytes);
    return xg_sim_core(w->exec->sim, core)->mem[XG_MEM_FM];
}

/* Compares a piece with the reference; repair: wrong bytes get the reference's values. */
static difference compare(const xg_machine *m, const piece *p, bool repair) {
    difference d = {0};
    const xg_map_row *r = p->row;
    uint32_t ch = r->c1 - r->c0;
    const int64_t *dim = p->tensor->dim;
    uint64_t width = (uint64_t)dim[2], image = (uint64_t)dim[1] * width * r->n;
    for (uint32_t h = r->h0; h < r->h1; h++)
        for (uint32_t w = r->w0; w < r->w1; w++) {
            uint64_t at = xg_place_offset(m, &r->place, 0, h - r->h0, w - r->w0, 0),
                     pixel = xg_map_pixel(r, p->tensor, h, w);
            const int8_t *ref = p->ref + (image + pixel) * (uint64_t)dim[3] + r->c0;
            if (!memcmp(p->memory + at, ref, ch)) continue;
            for (uint32_t c = 0; c < ch; c++) {
                int8_t got = (int8_t)p->memory[at + c];
                if (got == ref[c]) continue;
                if (d.wrong++ == 0)
                    d = (difference){1,
                                     (uint32_t)(pixel / width),
                                     (uint32_t)(pixel % width),
                                     r->c0 + c,
                                     ref[c],
                                     got,
                                     at + c};
            }
            if (repair) memcpy(p->memory + at, ref, ch);
        }
    return d;
}

static bool piece_of_row(const xg_watch *w, const xg_map_row *r, piece *p) {
    uint32_t ref = w->ref_tensor[r->tensor];
    if (ref == XG_NONE || !w->values->v[ref]) return false;
    *p = (piece){&w->program->tensor.v[r->tensor], r, memory_of(w, &r->place, r->core),
                 w->values->v[ref]};
    return true;
}

static bool is_input_of(const xg_graph *g, const char *node, const char *tensor) {
    for (uint32_t i = 0; i < g->node.n; i++) {
        if (strcmp(g->node.v[i].name, node)) continue;
        for (uint32_t k = 0; k < g->node.v[i].nin; k++) {
            const xg_tensor *t = xg_in(g, &g->node.v[i], k);
            if (t && !t->data && !strcmp(t->name, tensor)) return true;
        }
    }
    return false;
}

static bool holds(const xg_map_row *q, const xg_map_row *r, const xg_prog_tensor *t,
                  const difference *d) {
    uint64_t cols = q->flat ? q->flat : (uint64_t)t->dim[2],
             pixel = (uint64_t)d->h * (uint64_t)t->dim[2] + d->w, h = pixel / cols,
             w = pixel % cols;
    return q->n == r->n && h >= q->h0 && h < q->h1 && w >= q->w0 && w < q->w1 && d->c >= q->c0 &&
           d->c < q->c1;
}

/* Whether the wrong element had a right value in DDR before: the row only brings it on chip. */
static bool is_copy(const xg_watch *w, const xg_map_row *r, const difference *d) {
    const xg_step *s = &w->program->step.v[w->step];
    if (!r->place.on_chip || !w->program->tensor.v[r->tensor].materialised) return false;
    for (uint32_t i = 0; i < s->nread; i++)
        if (s->read[i] == r->tensor) return true;
    for (uint32_t i = 0; i < w->program->map.n; i++) {
        const xg_map_row *q = &w->program->map.v[i];
        if (w->done[i] && q->tensor == r->tensor && !q->place.on_chip &&
            holds(q, r, &w->program->tensor.v[r->tensor], d))
            return true;
    }
    return false;
}

static const char *judge_copy(xg_watch *w, const xg_map_row *r, const difference *d) {
    const xg_prog_tensor *t = &w->program->tensor.v[r->tensor];
    uint64_t bytes;
    const uint8_t *ddr = xg_sim_ddr(w->exec->sim, t->place.region, &bytes);
    if ((int8_t)ddr[xg_place_offset(w->machine, &t->place, r->n, d->h, d->w, d->c)] == d->expected)
        return "the element is right in DDR: bringing it on chip is at fault";
    return "the element was right in DDR when it was made, and has been overwritten since: "
           "addresses or "
           "lifetimes clash";
}

/* Everything that was made before compared equal, or was repaired. What can still be wrong with the
 * inputs is that somebody has overwritten them in DDR since; look again. */
static const char *judge(xg_watch *w, const xg_map_row *r, const difference *wrong) {
    if (is_copy(w, r, wrong)) return judge_copy(w, r, wrong);
    for (uint32_t i = 0; i < w->program->map.n; i++) {
        const xg_map_row *q = &w->program->map.v[i];
        piece p;
        if (!w->done[i] || q->segment != r->segment || q->n != r->n || q->place.on_chip) continue;
        if (q->tensor == r->tensor || !piece_of_row(w, q, &p)) continue;
        if (!is_input_of(w->reference, r->node, p.tensor->name)) continue;
        difference d = compare(w->machine, &p, false);
        if (d.wrong)
            return xg_strf(
                w->arena,
                "its input '%s' was right when it was written, but element [%u,%u,%u,%u] has "
                "been overwritten since: addresses or lifetimes clash",
                p.tensor->name, q->n, d.h, d.w, d.c);
    }
    return "its inputs are equal to the reference: this group is at fault by itself";
}

static bool first_of_group(xg_watch *w, uint32_t group) {
    w->wrong++;
    if (group < w->result->groups) {
        if (w->group_wrong[group]) return false;
        w->group_wrong[group] = true;
        w->result->groups_wrong++;
    }
    return w->result->divergence.n < XG_DIVERGENCES_MAX;
}

static void record_row(xg_watch *w, const xg_map_row *r, const piece *p, const difference *d) {
    if (!first_of_group(w, r->group)) return;
    xg_divergence x = {.input = w->input,
                       .tensor = p->tensor->name,
                       .tensor_onnx = p->tensor->onnx,
                       .node = r->node,
                       .onnx = r->onnx,
                       .where = r->place.on_chip ? "on chip" : "in DDR",
                       .step = w->step,
                       .segment = r->segment,
                       .core = r->core,
                       .has_map = true,
                       .group = r->group,
                       .tile = r->tile};
    x.h0 = r->h0, x.h1 = r->h1, x.w0 = r->w0, x.w1 = r->w1, x.c0 = r->c0, x.c1 = r->c1;
    x.flat = r->flat;
    x.n = r->n, x.h = d->h, x.w = d->w, x.c = d->c;
    x.expected = d->expected, x.got = d->got;
    x.wrong = d->wrong;
    x.of = (uint64_t)(r->h1 - r->h0) * (r->w1 - r->w0) * (r->c1 - r->c0);
    const xg_stream *st = &w->program->segment.v[r->segment].core[r->core];
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(w->arena));
    uint32_t inst = xg_find_writer(scratch, w->machine, w->exec->sim, st, r->core,
                                   r->place.on_chip ? XG_MEM_FM : XG_MEM_DDR, r->place.region,
                                   d->offset, r->last);
    xg_arena_free(scratch);
    if (inst != XG_NONE) xg_describe_inst(w->arena, w->machine, st, inst, &x);
    if (inst == XG_NONE)
        x.verdict =
            "no instruction before has written this element: one is missing, or writes elsewhere";
    else if (inst < r->first)
        x.verdict =
            "none of the tile's instructions has written this element: one is missing, or writes "
            "elsewhere; the instruction above left what is there";
    else
        x.verdict = judge(w, r, d);
    xg_push(w->arena, &w->result->divergence, x);
}

static uint64_t elems_of(const xg_prog_tensor *t) {
    return (uint64_t)(t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3]);
}

void xg_watch_cover(xg_watch *w, uint32_t tensor) {
    memset(w->covered[tensor], 1, elems_of(&w->program->tensor.v[tensor]));
}

uint64_t xg_watch_covered(const xg_watch *w, uint32_t tensor) {
    uint64_t n = 0, elems = elems_of(&w->program->tensor.v[tensor]);
    for (uint64_t i = 0; i < elems; i++) n += w->covered[tensor][i];
    return n;
}

static void cover_row(xg_watch *w, const xg_map_row *r) {
    const xg_prog_tensor *t = &w->program->tensor.v[r->tensor];
    uint64_t image = (uint64_t)(t->dim[1] * t->dim[2]) * r->n, ch = (uint64_t)t->dim[3];
    for (uint32_t h = r->h0; h < r->h1; h++)
        for (uint32_t x = r->w0; x < r->w1; x++)
            memset(w->covered[r->tensor] + (image + xg_map_pixel(r, t, h, x)) * ch + r->c0, 1,
                   r->c1 - r->c0);
}

xg_status xg_watch_hook(void *arg, xg_sim *s, uint32_t core, uint32_t index, const xg_inst *in) {
    (void)s, (void)in;
    xg_watch *w = arg;
    uint32_t end = w->start[w->segment * w->cores + core + 1];
    while (w->cursor[core] < end) {
        uint32_t row = w->order[w->cursor[core]];
        const xg_map_row *r = &w->program->map.v[row];
        if (r->last - 1 > index) break;
        w->cursor[core]++;
        piece p;
        if (!piece_of_row(w, r, &p)) continue;
        difference d = compare(w->machine, &p, false);
        if (d.wrong) {
            record_row(w, r, &p, &d);
            (void)compare(w->machine, &p, true);
        }
        w->done[row] = true;
        cover_row(w, r);
        w->on_chip[r->tensor] |= r->place.on_chip;
    }
    return XG_OK;
}

/* ---- whole tensors
 * ------------------------------------------------------------------------------------ */

static void element_at(xg_divergence *x, const xg_tensor *t, uint64_t i) {
    uint32_t *at[4] = {&x->n, &x->h, &x->w, &x->c};
    int64_t dim[4] = {1, 1, 1, 1};
    for (int d = 0; d < t->rank; d++) {
        int to = t->rank == 4 ? d : d == 0 ? 0 : 3;
        dim[to] *= t->dim[d];
    }
    for (int d = 3; d >= 0; d--) {
        *at[d] = (uint32_t)(i % (uint64_t)dim[d]);
        i /= (uint64_t)dim[d];
    }
}

static int64_t value_at(const void *p, xg_dtype t, uint64_t i) {
    switch (t) {
    case XG_F32:
        return ((const int32_t *)p)[i]; /* its bits */
    case XG_I8:
        return ((const int8_t *)p)[i];
    case XG_U8:
    case XG_BOOL:
        return ((const uint8_t *)p)[i];
    case XG_I16:
        return ((const int16_t *)p)[i];
    case XG_I32:
        return ((const int32_t *)p)[i];
    case XG_I64:
        return ((const int64_t *)p)[i];
    case XG_DTYPE_COUNT:
        break;
    }
    return 0;
}

/* Compares a host value with the reference and repairs it. Returns true when it was equal or has no
 * reference. */
static bool compare_host(xg_watch *w, const xg_tensor *t, void *got, uint32_t ref_idx,
                         xg_divergence *x) {
    const xg_tensor *rt = xg_tensorp(w->reference, ref_idx);
    const void *ref = w->values->v[ref_idx];
    uint64_t elems = (uint64_t)xg_tensor_elems(t);
    if (!ref || !got || rt->dtype != t->dtype || (uint64_t)xg_tensor_elems(rt) != elems)
        return true;
    size_t size = xg_dtype_bytes(t->dtype);
    if (!memcmp(ref, got, elems * size)) return true;
    uint64_t first = elems;
    for (uint64_t i = 0; i < elems; i++) {
        if (!memcmp((const char *)ref + i * size, (const char *)got + i * size, size)) continue;
        if (first == elems) first = i;
        x->wrong++;
    }
    x->input = w->input;
    x->step = w->step;
    x->tensor = t->name;
    x->tensor_onnx = t->onnx;
    x->of = elems;
    x->is_f32 = t->dtype == XG_F32;
    x->expected = value_at(ref, t->dtype, first);
    x->got = value_at(got, t->dtype, first);
    element_at(x, rt, first);
    memcpy(got, ref, elems * size);
    return false;
}

/* Which instruction of any core was the last to write the element; the cores' order among each
 * other is not kept, so the highest core that did is named. */
static void name_writer(xg_watch *w, const xg_prog_tensor *t, xg_divergence *x) {
    uint64_t at = xg_place_offset(w->machine, &t->place, x->n, x->h, x->w, x->c);
    const xg_segment *seg = &w->program->segment.v[w->segment];
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(w->arena));
    for (uint32_t core = 0; core < seg->ncore; core++) {
        uint32_t i = xg_find_writer(scratch, w->machine, w->exec->sim, &seg->core[core], core,
                                    XG_MEM_DDR, t->place.region, at, seg->core[core].n);
        if (i == XG_NONE) continue;
        xg_describe_inst(w->arena, w->machine, &seg->core[core], i, x);
        x->core = core;
    }
    xg_arena_free(scratch);
}

void xg_watch_written(xg_watch *w, const xg_step *s) {
    for (uint32_t i = 0; i < s->nwritten; i++) {
        const xg_prog_tensor *t = &w->program->tensor.v[s->written[i]];
        uint32_t host = w->exec->host_tensor[s->written[i]], ref = w->ref_tensor[s->written[i]];
        xg_divergence x = {.segment = s->segment, .where = "in DDR, at the end of the step"};
        uint64_t elems = (uint64_t)xg_tensor_elems(xg_tensorp(w->program->host, host));
        bool complete = xg_watch_covered(w, s->written[i]) == elems;
        xg_watch_cover(w, s->written[i]);
        if (compare_host(w, xg_tensorp(w->program->host, host), w->exec->host.v[host], ref, &x))
            continue;
        w->wrong++;
        if (w->result->divergence.n >= XG_DIVERGENCES_MAX) continue;
        name_writer(w, t, &x);
        x.verdict =
            complete
                ? "it was right when it was made, and has been overwritten since: addresses or "
                  "lifetimes clash"
                : "no row of the program's map covers it: the group that makes it is at fault, "
                  "or nothing makes it";
        xg_push(w->arena, &w->result->divergence, x);
    }
}

void xg_watch_host(xg_watch *w, const xg_step *s) {
    const xg_graph *g = w->program->host;
    for (uint32_t i = 0; i < s->nnode; i++) {
        const xg_node *n = xg_nodep(g, s->node[i]);
        for (uint32_t k = 0; k < n->nout; k++) {
            const xg_tensor *t = xg_out(g, n, k);
            xg_divergence x = {.where = "on the host", .node = n->name, .onnx = n->onnx};
            for (uint32_t r = 0; r < w->reference->tensor.n; r++) {
                if (strcmp(xg_tensorp(w->reference, r)->name, t->name)) continue;
                if (compare_host(w, t, w->exec->host.v[n->out[k]], r, &x)) break;
                w->wrong++;
                x.verdict = "the host node and its constants in the binary differ from the graph's";
                if (w->result->divergence.n < XG_DIVERGENCES_MAX)
                    xg_push(w->arena, &w->result->divergence, x);
                break;
            }
        }
    }
}
