#include "assembler/xgb.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A check in progress: fails once, with one line. */
typedef struct verifier {
    xg_arena *arena;
    const char *where;
    const xg_machine *m;
    const xg_program *p;
} verifier;

static xg_status fail(const verifier *v, const char *fmt, ...) XG_PRINTF(2, 3);
static xg_status fail(const verifier *v, const char *fmt, ...) {
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return xg_error(xg_arena_ctx(v->arena), XG_INPUT, v->where, "%s", text);
}

static xg_status check_identity(const verifier *v) {
    const xg_program *p = v->p;
    if (p->machine_name && p->machine_digest && strcmp(p->machine_digest, v->m->digest))
        return fail(v, "built for machine %s (digest %.16s), given is %s (digest %.16s)",
                    p->machine_name, p->machine_digest, v->m->name, v->m->digest);
    if (p->encoding_digest && strcmp(p->encoding_digest, v->m->encoding->digest))
        return fail(v, "built with the encoding of digest %.16s, given is '%s' of digest %.16s",
                    p->encoding_digest, v->m->encoding->name, v->m->encoding->digest);
    if (p->ncore != v->m->cores)
        return fail(v, "built for %" PRIu32 " cores, machine %s has %" PRIu32, p->ncore, v->m->name,
                    v->m->cores);
    return XG_OK;
}

static xg_status check_regions(const verifier *v) {
    uint64_t sum = 0;
    for (int r = 0; r < XG_REGIONS; r++)
        if (v->p->region_bytes[r] > (uint64_t)1 << 31 ||
            (sum += v->p->region_bytes[r]) > v->m->ddr.bytes)
            return fail(v,
                        "region %d of %" PRIu64 " bytes: a region holds 2 GiB, all of them %" PRIu64
                        " bytes (ddr.bytes)",
                        r, v->p->region_bytes[r], v->m->ddr.bytes);
    if (v->p->constants.n > v->p->region_bytes[XG_REG_CONST])
        return fail(v, "%zu bytes of constants in a region of %" PRIu64, v->p->constants.n,
                    v->p->region_bytes[XG_REG_CONST]);
    return XG_OK;
}

/* images x rows x cols x bytes at a DDR place end inside its region. */
static bool ddr_fits(const verifier *v, const xg_place *p, uint64_t images, uint64_t rows,
                     uint64_t cols, uint64_t bytes) {
    if (p->region >= XG_REGIONS) return false;
    unsigned __int128 end = (unsigned __int128)p->addr +
                            (unsigned __int128)(images - 1) * p->image_step +
                            (unsigned __int128)(rows - 1) * p->row_step +
                            (unsigned __int128)(cols - 1) * p->pix_step + bytes;
    return end <= v->p->region_bytes[p->region];
}

/* Largest slot of rows [from, to) of a view without ring: it lies in the last group of il * pp
 * rows, which starts at a multiple of il. */
static uint64_t last_slot(uint64_t from, uint64_t to, uint64_t il, uint64_t pp) {
    uint64_t top = to - 1, group = top / (il * pp), start = group * il * pp;
    if (from < start) from = start;
    uint64_t low = to - from >= il || from % il > top % il ? il - 1 : top % il;
    return group * il + low;
}

/* The same for a view (isa/tile_rows.h): the last word of every row lies in its bank. */
static bool view_fits(const verifier *v, const xg_place *p, uint64_t rows, uint64_t cols,
                      uint64_t bytes) {
    const xg_tile_machine *t = &v->m->tile;
    if (!p->il || p->lane >= t->icp) return false;
    uint64_t from = p->row0, to = from + rows;
    if (p->ring && rows >= p->ring) {
        from = 0;
        to = p->ring;
    } else if (p->ring) {
        from %= p->ring;
        to = from + rows < p->ring ? from + rows : p->ring;
    }
    uint64_t slot = last_slot(from, to, p->il, t->pp);
    if (from && p->ring && from + rows > p->ring) {
        uint64_t wrapped = last_slot(0, from + rows - p->ring, p->il, t->pp);
        if (wrapped > slot) slot = wrapped;
    }
    unsigned __int128 word = p->addr + (unsigned __int128)slot * p->row_step +
                             (unsigned __int128)(cols - 1) * p->pix_step +
                             (p->lane + bytes - 1) / t->icp;
    return word < t->fm_depth;
}

static xg_status check_tensors(const verifier *v) {
    xg_map seen = {.arena = v->arena};
    for (uint32_t i = 0; i < v->p->tensor.n; i++) {
        const xg_prog_tensor *t = &v->p->tensor.v[i];
        if (!t->name || !*t->name) return fail(v, "tensor %" PRIu32 " has no name", i);
        if (xg_map_get(&seen, t->name) != XG_NONE)
            return fail(v, "two tensors are called '%.100s'", t->name);
        xg_map_set(&seen, t->name, i);
        if (t->place.region >= XG_REGIONS)
            return fail(v, "tensor '%.100s': no region %d", t->name, t->place.region);
        if ((unsigned)t->dtype >= XG_DTYPE_COUNT)
            return fail(v, "tensor '%.100s': no such type", t->name);
        uint64_t elems = 1;
        for (int d = 0; d < 4; d++)
            if (t->dim[d] < 1 || !xg_mul_ok(elems, (uint64_t)t->dim[d], &elems) ||
                elems > INT32_MAX)
                return fail(v, "tensor '%.100s': an impossible shape", t->name);
        if (!(t->scale >= 0 && t->scale <= FLT_MAX))
            return fail(v, "tensor '%.100s': an impossible scale", t->name);
        if (t->materialised && t->place.on_chip)
            return fail(v, "tensor '%.100s': materialised, but on chip", t->name);
        if (t->materialised &&
            !ddr_fits(v, &t->place, (uint64_t)t->dim[0], (uint64_t)t->dim[1], (uint64_t)t->dim[2],
                      (uint64_t)t->dim[3] * xg_dtype_bytes(t->dtype)))
            return fail(v, "tensor '%.100s' ends outside region %d", t->name, t->place.region);
    }
    return XG_OK;
}

static xg_status check_segments(const verifier *v) {
    const xg_program *p = v->p;
    uint64_t streams = (uint64_t)p->segment.n * p->ncore;
    if (streams > XG_XGB_SECTIONS_MAX - 16)
        return fail(v, "%" PRIu64 " instruction streams, an .xgb file holds %d", streams,
                    XG_XGB_SECTIONS_MAX - 16);
    for (uint32_t s = 0; s < p->segment.n; s++) {
        if (p->segment.v[s].ncore != p->ncore)
            return fail(v, "segment %" PRIu32 " has %" PRIu32 " cores, the program %" PRIu32, s,
                        p->segment.v[s].ncore, p->ncore);
        for (uint32_t k = 0; k < p->ncore; k++)
            for (uint32_t i = 0; i < p->segment.v[s].core[k].n; i++)
                if (p->segment.v[s].core[k].inst[i].op >= v->m->family->ninst)
                    return fail(v,
                                "segment %" PRIu32 " core %" PRIu32 " instruction %" PRIu32
                                ": no such number",
                                s, k, i);
    }
    return XG_OK;
}

bool xg_map_fits(const xg_map_row *r, const xg_prog_tensor *t) {
    if (r->n >= t->dim[0] || r->h0 >= r->h1 || r->w0 >= r->w1 || r->c0 >= r->c1 ||
        r->c1 > t->dim[3])
        return false;
    if (!r->flat) return r->h1 <= t->dim[1] && r->w1 <= t->dim[2];
    return r->w1 <= r->flat &&
           xg_map_pixel(r, t, r->h1 - 1, r->w1 - 1) < (uint64_t)(t->dim[1] * t->dim[2]);
}

static xg_status check_map(const verifier *v) {
    const xg_program *p = v->p;
    for (uint32_t i = 0; i < p->map.n; i++) {
        const xg_map_row *r = &p->map.v[i];
        if (r->segment >= p->segment.n || r->core >= p->ncore || r->first > r->last ||
            r->last > p->segment.v[r->segment].core[r->core].n)
            return fail(v,
                        "map row %" PRIu32 " names instructions [%" PRIu32 ", %" PRIu32
                        ") of segment %" PRIu32 " core %" PRIu32 ", which do not exist",
                        i, r->first, r->last, r->segment, r->core);
        if (r->place.region >= XG_REGIONS)
            return fail(v, "map row %" PRIu32 ": no region %d", i, r->place.region);
        if (r->tensor == XG_NONE) continue;
        if (r->tensor >= p->tensor.n)
            return fail(v, "map row %" PRIu32 ": no tensor %" PRIu32, i, r->tensor);
        const xg_prog_tensor *t = &p->tensor.v[r->tensor];
        if (!xg_map_fits(r, t))
            return fail(v, "map row %" PRIu32 ": a slice outside tensor '%.100s'", i, t->name);
        uint64_t rows = r->h1 - r->h0, cols = r->w1 - r->w0;
        uint64_t bytes = (r->c1 - r->c0) * (uint64_t)xg_dtype_bytes(t->dtype);
        if (!(r->place.on_chip ? view_fits(v, &r->place, rows, cols, bytes)
                               : ddr_fits(v, &r->place, 1, rows, cols, bytes)))
            return fail(v,
                        "map row %" PRIu32 ": the slice of tensor '%.100s' ends outside its memory",
                        i, t->name);
    }
    return XG_OK;
}

static bool all_below(const uint32_t *v, uint32_t n, uint32_t limit) {
    for (uint32_t i = 0; i < n; i++)
        if (v[i] >= limit) return false;
    return true;
}

static xg_status check_steps(const verifier *v) {
    const xg_program *p = v->p;
    uint32_t nnode = p->host ? p->host->node.n : 0;
    for (uint32_t i = 0; i < p->step.n; i++) {
        const xg_step *s = &p->step.v[i];
        if (s->kind != XG_STEP_HOST && s->kind != XG_STEP_ACCEL)
            return fail(v, "step %" PRIu32 ": no such kind", i);
        if (s->kind == XG_STEP_ACCEL && s->segment >= p->segment.n)
            return fail(v, "step %" PRIu32 ": no segment %" PRIu32, i, s->segment);
        if (!all_below(s->node, s->nnode, nnode))
            return fail(v, "step %" PRIu32 ": a node that the host graph does not have", i);
        if (!all_below(s->read, s->nread, p->tensor.n) ||
            !all_below(s->written, s->nwritten, p->tensor.n))
            return fail(v, "step %" PRIu32 ": a tensor that the program does not have", i);
    }
    return XG_OK;
}

xg_status xg_program_verify(xg_arena *a, const char *where, const xg_machine *m,
                            const xg_program *p) {
    const verifier v = {a, where, m, p};
    xg_status st = check_identity(&v);
    if (!st) st = check_regions(&v);
    if (!st) st = check_tensors(&v);
    if (!st) st = check_segments(&v);
    if (!st) st = check_map(&v);
    if (!st) st = check_steps(&v);
    return st;
}
