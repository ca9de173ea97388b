#include "validate/run.h"

#include "isa/tile.h"

#include <inttypes.h>

static xg_status verify_sizes(xg_ctx *c, const xg_machine *m, const xg_program *p) {
    uint64_t sum = 0;
    for (int r = 0; r < XG_REGIONS; r++)
        if (__builtin_add_overflow(sum, p->region_bytes[r], &sum)) sum = UINT64_MAX;
    if (sum > m->ddr.bytes)
        return xg_error(c, XG_LIMIT, "",
                        "the program needs %" PRIu64 " bytes of DDR; '%s' has %" PRIu64, sum,
                        m->name, m->ddr.bytes);
    if (p->constants.n > p->region_bytes[XG_REG_CONST])
        return xg_error(c, XG_INPUT, "",
                        "%zu bytes of constants do not fit their region of %" PRIu64,
                        p->constants.n, p->region_bytes[XG_REG_CONST]);
    for (uint32_t s = 0; s < p->segment.n; s++)
        if (p->segment.v[s].ncore > m->cores)
            return xg_error(c, XG_INPUT, "", "segment %u uses %u cores; '%s' has %u", s,
                            p->segment.v[s].ncore, m->name, m->cores);
    if (!p->host) return xg_error(c, XG_INPUT, "", "the program has no host graph");
    return XG_OK;
}

/* Largest byte offset of a slice at a DDR place, or UINT64_MAX on overflow. */
static bool ddr_fits(const xg_program *p, const xg_place *l, uint64_t n, uint64_t h, uint64_t w,
                     uint64_t c) {
    if (l->region >= XG_REGIONS) return false;
    /* every factor is below 2^32, so that the products fit 64 bits; the sum is taken in 128 */
    unsigned __int128 last =
        (unsigned __int128)l->addr + (unsigned __int128)(n - 1) * l->image_step +
        (unsigned __int128)(h - 1) * l->row_step + (unsigned __int128)(w - 1) * l->pix_step + c;
    return last <= p->region_bytes[l->region];
}

/* Rows of a view repeat in banks and slots; the highest word is at the largest slot of any row. */
static bool chip_fits(const xg_machine *m, const xg_place *l, uint64_t h, uint64_t w, uint64_t c) {
    const xg_tile_machine *t = &m->tile;
    if (m->family != &xg_tile_family || !t->pp || !t->icp) return false;
    uint64_t rows = (uint64_t)l->row0 + h, il = l->il ? l->il : 1;
    if (l->ring && rows > l->ring) rows = l->ring;
    uint64_t top = rows - 1, slot = top / (il * t->pp) * il + il - 1;
    if (slot > top) slot = top;
    unsigned __int128 word = (unsigned __int128)l->addr + (unsigned __int128)slot * l->row_step +
                             (unsigned __int128)(w - 1) * l->pix_step + (l->lane + c - 1) / t->icp;
    return l->lane < t->icp && word < t->fm_depth;
}

static xg_status verify_tensors(xg_ctx *c, const xg_program *p) {
    for (uint32_t i = 0; i < p->tensor.n; i++) {
        const xg_prog_tensor *t = &p->tensor.v[i];
        uint64_t elems = 1;
        for (int d = 0; d < 4; d++)
            if (t->dim[d] < 1 || t->dim[d] > INT32_MAX ||
                !xg_mul_ok(elems, (uint64_t)t->dim[d], &elems) || elems > INT32_MAX)
                return xg_error(c, XG_INPUT, t->name,
                                "the program's tensor has an impossible shape");
        if (t->dtype != XG_I8)
            return xg_error(c, XG_INPUT, t->name, "a program's tensor must be i8, found %s",
                            xg_dtype_name(t->dtype));
        if (t->materialised &&
            (t->place.on_chip || !ddr_fits(p, &t->place, (uint64_t)t->dim[0], (uint64_t)t->dim[1],
                                           (uint64_t)t->dim[2], (uint64_t)t->dim[3])))
            return xg_error(c, XG_INPUT, t->name, "the tensor's place lies outside its DDR region");
    }
    return XG_OK;
}

static xg_status verify_map(xg_ctx *c, const xg_machine *m, const xg_program *p) {
    for (uint32_t i = 0; i < p->map.n; i++) {
        const xg_map_row *r = &p->map.v[i];
        bool ok = r->segment < p->segment.n && r->core < p->segment.v[r->segment].ncore &&
                  r->tensor < p->tensor.n && r->first < r->last &&
                  r->last <= p->segment.v[r->segment].core[r->core].n;
        if (!ok) return xg_error(c, XG_INPUT, "", "map row %u names things that do not exist", i);
        const xg_prog_tensor *t = &p->tensor.v[r->tensor];
        if (!xg_map_fits(r, t))
            return xg_error(c, XG_INPUT, t->name, "map row %u lies outside the tensor", i);
        uint64_t h = r->h1 - r->h0, w = r->w1 - r->w0, ch = r->c1 - r->c0;
        if (r->place.on_chip ? !chip_fits(m, &r->place, h, w, ch)
                             : !ddr_fits(p, &r->place, 1, h, w, ch))
            return xg_error(c, XG_INPUT, t->name, "the place of map row %u lies outside its memory",
                            i);
    }
    return XG_OK;
}

/* A tensor that crosses the border between host and accelerator needs a twin of equal size in the
 * host graph. */
static xg_status verify_border(xg_ctx *c, const xg_program *p, const xg_map *names,
                               const uint32_t *tensor, uint32_t n, uint32_t step) {
    for (uint32_t i = 0; i < n; i++) {
        if (tensor[i] >= p->tensor.n)
            return xg_error(c, XG_INPUT, "", "step %u names tensor %u of %u", step, tensor[i],
                            p->tensor.n);
        const xg_prog_tensor *t = &p->tensor.v[tensor[i]];
        uint32_t h = xg_map_get(names, t->name);
        if (!t->materialised)
            return xg_error(c, XG_INPUT, t->name,
                            "step %u exchanges a tensor that has no place in DDR", step);
        if (h == XG_NONE)
            return xg_error(c, XG_INPUT, t->name,
                            "step %u exchanges a tensor that the host graph lacks", step);
        const xg_tensor *ht = &p->host->tensor.v[h];
        if (ht->dtype != t->dtype ||
            xg_tensor_elems(ht) != t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3])
            return xg_error(c, XG_INPUT, t->name, "the host graph has another type or size for it");
    }
    return XG_OK;
}

static xg_status verify_steps(xg_ctx *c, const xg_program *p) {
    xg_arena *a = xg_arena_new(c);
    xg_map names = {.arena = a};
    for (uint32_t t = 0; t < p->host->tensor.n; t++)
        xg_map_set(&names, p->host->tensor.v[t].name, t);
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < p->step.n && st == XG_OK; i++) {
        const xg_step *s = &p->step.v[i];
        if (s->kind == XG_STEP_ACCEL) {
            if (s->segment >= p->segment.n)
                st = xg_error(c, XG_INPUT, "", "step %u names segment %u of %u", i, s->segment,
                              p->segment.n);
            if (st == XG_OK) st = verify_border(c, p, &names, s->read, s->nread, i);
            if (st == XG_OK) st = verify_border(c, p, &names, s->written, s->nwritten, i);
        } else {
            for (uint32_t k = 0; k < s->nnode && st == XG_OK; k++)
                if (s->node[k] >= p->host->node.n)
                    st = xg_error(c, XG_INPUT, "", "step %u names host node %u of %u", i,
                                  s->node[k], p->host->node.n);
        }
    }
    xg_arena_free(a);
    return st;
}

xg_status xg_program_fits(xg_ctx *c, const xg_machine *m, const xg_program *p) {
    xg_status st = verify_sizes(c, m, p);
    if (st == XG_OK) st = verify_tensors(c, p);
    if (st == XG_OK) st = verify_map(c, m, p);
    if (st == XG_OK) st = verify_steps(c, p);
    return st;
}
