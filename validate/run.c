#include "validate/run.h"

#include "isa/tile.h"

#include <string.h>

uint64_t xg_place_offset(const xg_machine *m, const xg_place *place, uint32_t n, uint32_t h,
                         uint32_t w, uint32_t c) {
    if (!place->on_chip)
        return (uint64_t)place->addr + (uint64_t)n * place->image_step +
               (uint64_t)h * place->row_step + (uint64_t)w * place->pix_step + c;
    const xg_tile_machine *t = &m->tile;
    uint64_t row = (uint64_t)place->row0 + h;
    if (place->ring) row %= place->ring;
    uint64_t il = place->il ? place->il : 1;
    uint64_t bank = row / il % t->pp;
    uint64_t slot = row / (il * t->pp) * il + row % il;
    uint64_t word = place->addr + slot * place->row_step + (uint64_t)w * place->pix_step;
    return (bank * t->fm_depth + word) * t->icp + place->lane + c;
}

xg_program_io xg_program_borders(const xg_program *p, xg_arena *a) {
    const xg_graph *h = p->host;
    xg_program_io io = {xg_newn(a, uint32_t, h->input.n), xg_newn(a, uint32_t, h->output.n), 0, 0};
    xg_map read = {.arena = a}, written = {.arena = a};
    for (uint32_t s = 0; s < p->step.n; s++) {
        const xg_step *x = &p->step.v[s];
        for (uint32_t i = 0; x->kind == XG_STEP_ACCEL && i < x->nread; i++)
            xg_map_set(&read, p->tensor.v[x->read[i]].name, 1);
        for (uint32_t i = 0; x->kind == XG_STEP_ACCEL && i < x->nwritten; i++)
            xg_map_set(&written, p->tensor.v[x->written[i]].name, 1);
    }
    for (uint32_t i = 0; i < h->input.n; i++)
        if (xg_map_get(&written, xg_tensorp(h, h->input.v[i])->name) == XG_NONE)
            io.input[io.ninput++] = h->input.v[i];
    for (uint32_t i = 0; i < h->output.n; i++) {
        io.output[i] = h->output.v[i];
        if (xg_map_get(&read, xg_tensorp(h, h->output.v[i])->name) == XG_NONE) io.noutput = i + 1;
    }
    if (io.noutput == 0 && h->output.n) io.noutput = 1;
    return io;
}

/* ---- the steps
 * ---------------------------------------------------------------------------------------- */

xg_status xg_exec_new(xg_arena *a, const xg_machine *m, const xg_program *p, const xg_exec *leader,
                      xg_exec **out) {
    xg_exec *e = xg_new(a, xg_exec);
    e->arena = a;
    e->machine = m;
    e->program = p;
    e->leader = leader;
    e->times = xg_newn(a, xg_times, p->segment.n);
    xg_status st = xg_sim_new(a, m, p->region_bytes, &e->sim);
    if (st != XG_OK) return st;
    xg_map names = {.arena = a};
    for (uint32_t t = 0; t < p->host->tensor.n; t++)
        xg_map_set(&names, p->host->tensor.v[t].name, t);
    e->host_tensor = xg_newn(a, uint32_t, p->tensor.n);
    for (uint32_t t = 0; t < p->tensor.n; t++)
        e->host_tensor[t] = xg_map_get(&names, p->tensor.v[t].name);
    e->io = xg_program_borders(p, a);
    *out = e;
    return XG_OK;
}

void xg_exec_begin(xg_exec *e) {
    xg_arena_free(e->run_arena);
    e->run_arena = xg_arena_new(xg_arena_ctx(e->arena));
    uint64_t bytes = 0;
    uint8_t *ddr = xg_sim_ddr(e->sim, XG_REG_CONST, &bytes);
    if (e->program->constants.n) memcpy(ddr, e->program->constants.p, e->program->constants.n);
    if (!e->leader) xg_values_init(&e->host, e->program->host, e->run_arena);
}

/* Copies a whole tensor between the dense NHWC buffer and its place in DDR. */
static void copy_tensor(uint8_t *ddr, const xg_prog_tensor *t, uint8_t *dense, bool to_ddr) {
    uint32_t channels = (uint32_t)t->dim[3];
    for (uint32_t n = 0; n < t->dim[0]; n++)
        for (uint32_t h = 0; h < t->dim[1]; h++)
            for (uint32_t w = 0; w < t->dim[2]; w++, dense += channels) {
                uint8_t *p = ddr + xg_place_offset(NULL, &t->place, n, h, w, 0);
                if (to_ddr)
                    memcpy(p, dense, channels);
                else
                    memcpy(dense, p, channels);
            }
}

static void copy_border(xg_exec *e, const uint32_t *tensor, uint32_t n, bool to_ddr) {
    xg_values *host = e->leader ? (xg_values *)&e->leader->host : &e->host;
    for (uint32_t i = 0; i < n; i++) {
        const xg_prog_tensor *t = &e->program->tensor.v[tensor[i]];
        uint64_t bytes;
        copy_tensor(xg_sim_ddr(e->sim, t->place.region, &bytes), t,
                    xg_values_get(host, e->host_tensor[tensor[i]]), to_ddr);
    }
}

static xg_status accel_step(xg_exec *e, const xg_step *s, const xg_exec_options *o) {
    xg_ctx *c = xg_arena_ctx(e->arena);
    const xg_segment *seg = &e->program->segment.v[s->segment];
    copy_border(e, s->read, s->nread, true);
    xg_status st;
    if (o->mode == XG_EXEC_TIMED) {
        st = xg_sim_time(e->run_arena, e->machine, seg, e->sim, o->keep_spans,
                         &e->times[s->segment]);
    } else {
        xg_sim_options so = {o->mode == XG_EXEC_SHUFFLED, o->seed, o->hook, o->hook_arg};
        st = xg_sim_run(c, e->sim, seg, &so);
    }
    if (st == XG_OK && !e->leader) copy_border(e, s->written, s->nwritten, false);
    return st;
}

xg_status xg_exec_step(xg_exec *e, uint32_t step, const xg_exec_options *o) {
    const xg_step *s = &e->program->step.v[step];
    if (s->kind == XG_STEP_ACCEL) return accel_step(e, s, o);
    for (uint32_t i = 0; i < s->nnode && !e->leader; i++) {
        xg_status st =
            xg_interp_node(xg_arena_ctx(e->arena), &e->host, s->node[i], &e->machine->rq);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

xg_status xg_exec_run(xg_exec *e, const xg_exec_options *o) {
    for (uint32_t s = 0; s < e->program->step.n; s++) {
        xg_status st = xg_exec_step(e, s, o);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}
