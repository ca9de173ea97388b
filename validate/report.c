#include "validate/report_inner.h"

#include "isa/book.h"
#include "isa/tile.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which layer an instruction belongs to
 * ---------------------------------------------------------------- */

/* What a report is made from, and what is needed on the way. */
typedef struct {
    xg_arena *arena, *scratch;
    const xg_machine *machine;
    const xg_program *program;
    xg_report *r;
    uint32_t *layer_of_row; /* [map] */
    XG_VEC(xg_work)
    work;           /* in the present segment: computations; of layers that have none, transfers */
    uint64_t clock; /* cycles of the segments before */
    uint32_t max_layers;
} maker;

/* A map from a file may name any; no graph has more. */
enum { MAX_GROUPS = 1 << 20 };

/* Layers in the order in which the map names their groups. The last row of a group gives its name.
 */
static void find_layers(maker *k) {
    const xg_program *p = k->program;
    k->layer_of_row = xg_newn(k->scratch, uint32_t, p->map.n);
    uint32_t groups = 1;
    for (uint32_t i = 0; i < p->map.n; i++)
        if (p->map.v[i].group < MAX_GROUPS && p->map.v[i].group >= groups)
            groups = p->map.v[i].group + 1;
    uint32_t *of_group = xg_newn(k->scratch, uint32_t, groups);
    for (uint32_t i = 0; i < p->map.n; i++) {
        const xg_map_row *row = &p->map.v[i];
        uint32_t g = row->group < groups ? row->group : 0;
        if (of_group[g] == 0) {
            xg_layer_row l = {.group = g, .op = ""};
            xg_push(k->arena, &k->r->layer, l);
            of_group[g] = k->r->layer.n;
        }
        k->layer_of_row[i] = of_group[g] - 1;
        xg_layer_row *l = &k->r->layer.v[of_group[g] - 1];
        l->node = row->node;
        l->onnx = row->onnx;
    }
    xg_layer_row other = {.group = XG_NONE, .node = "(end of program)", .op = ""};
    xg_push(k->arena, &k->r->layer, other);
    k->max_layers = k->r->layer.n;
}

/* ---- what instructions cost
 * ------------------------------------------------------------------------------------ */

typedef struct {
    maker *k;
    xg_layer_row *layer;
} toucher;

static void touch(void *arg, const xg_access *x) {
    toucher *t = arg;
    if (x->count == 0 || x->rows == 0) return;
    if (x->mem == 0) {
        uint64_t bytes = (uint64_t)x->count * x->rows;
        if (x->write)
            t->layer->out_bytes += bytes;
        else if (x->region == XG_REG_CONST)
            t->layer->weights_bytes += bytes;
        else
            t->layer->in_bytes += bytes;
        return;
    }
    uint64_t end = (uint64_t)x->addr + (uint64_t)(x->count - 1) * x->step +
                   (uint64_t)(x->rows - 1) * x->row_step + 1;
    xg_report_memory *m = &t->k->r->memory.v[x->mem - 1];
    if (end > m->used) m->used = end;
}

static void add_span(maker *k, uint32_t core, uint8_t engine, uint64_t from, uint64_t to,
                     uint64_t cycles) {
    if (cycles == 0 || to <= from) return;
    float *bin = &k->r->timeline[((size_t)core * k->r->nengine + engine) * XG_TIMELINE_BINS];
    double width = (double)cycles / XG_TIMELINE_BINS;
    uint32_t b = (uint32_t)((double)from / width), last = (uint32_t)((double)to / width);
    for (; b <= last && b < XG_TIMELINE_BINS; b++) {
        double lo = fmax((double)from, b * width), hi = fmin((double)to, (b + 1) * width);
        if (hi > lo) bin[b] += (float)((hi - lo) / width);
    }
}

static bool computes(const maker *k, const xg_inst *in) {
    const xg_inst_desc *d = &k->machine->family->inst[in->op];
    return (d->engine == XG_TILE_CONV || d->engine == XG_TILE_MISC) && !d->is_init;
}

static uint32_t *owners(maker *k, uint32_t segment, uint32_t core) {
    return xg_report_owners(k->scratch, k->machine, k->program, segment, core, k->layer_of_row,
                            k->max_layers - 1);
}

static void walk_core(maker *k, uint32_t segment, uint32_t core, const xg_times *t, size_t first) {
    const xg_stream *st = &k->program->segment.v[segment].core[core];
    const xg_family *f = k->machine->family;
    uint32_t *owner = owners(k, segment, core);
    bool *only_moves = xg_newn(k->scratch, bool, k->max_layers);
    xg_regs regs = {0};
    memset(only_moves, 1, k->max_layers);
    for (uint32_t i = 0; i < st->n; i++)
        if (computes(k, &st->inst[i])) only_moves[owner[i]] = false;
    for (uint32_t i = 0; i < st->n; i++) {
        const xg_inst *in = &st->inst[i];
        xg_layer_row *l = &k->r->layer.v[owner[i]];
        xg_cost cost = {0};
        xg_regs_track(f, &regs, in);
        f->cost(k->machine, &regs, in, &cost);
        uint8_t engine = f->inst[in->op].engine;
        l->instructions++;
        l->macs += cost.macs;
        l->busy[engine] += cost.cycles;
        toucher tt = {k, l};
        f->access(k->machine, &regs, in, touch, &tt);
        xg_work w = {t->start[first + i], t->end[first + i], owner[i]};
        if (computes(k, in) || (only_moves[owner[i]] && cost.ddr_bytes))
            xg_push(k->scratch, &k->work, w);
    }
}

/* The segment's cycles go to layers. */
static void share_cycles(maker *k, uint64_t total) {
    uint64_t *cycles = xg_newn(k->scratch, uint64_t, k->max_layers);
    xg_book_cycles(k->scratch, k->work.v, k->work.n, total, cycles);
    if (!k->work.n) cycles[k->max_layers - 1] = total;
    for (uint32_t i = 0; i < k->max_layers; i++) k->r->layer.v[i].cycles += cycles[i];
    k->work.n = 0;
}

/* Cores that have no part in a segment are idle. */
static void add_engines(maker *k, const xg_times *t, uint32_t ncore) {
    for (uint32_t i = 0; i < k->r->ncore * k->r->nengine; i++) {
        xg_engine_time *y = &k->r->engine[i];
        uint32_t c = i / k->r->nengine;
        if (c >= ncore) {
            y->idle += t->cycles;
            continue;
        }
        const xg_engine_time *x = &t->engine[c][i % k->r->nengine];
        y->busy += x->busy;
        for (uint32_t e = 0; e < k->r->nengine; e++) y->wait[e] += x->wait[e];
        y->core_wait += x->core_wait;
        y->ddr_wait += x->ddr_wait;
        y->idle += x->idle;
        y->instructions += x->instructions;
    }
}

/* Cycles in which the DDR can move so many bytes: rate after refresh, no latency, no burst
 * overhead. */
static uint64_t ddr_cycles(const xg_machine *m, uint64_t bytes) {
    double rate = (double)m->ddr.bytes_per_cycle_x256 * m->ddr.efficiency_x256 / 65536.0;
    return rate > 0 ? (uint64_t)floor((double)bytes / rate) : 0;
}

static uint64_t mac_cycles(const xg_machine *m, uint64_t macs) {
    double rate = xg_machine_peak_ops(m) / 2.0 / ((double)m->clock_khz * 1000.0);
    return rate > 0 ? (uint64_t)floor((double)macs / rate) : 0;
}

/* Timing of one step; times live in the scratch of that step only. */
static xg_status add_segment(maker *k, uint32_t segment, xg_times *t) {
    xg_report *r = k->r;
    const xg_segment *seg = &k->program->segment.v[segment];
    xg_status st = xg_sim_time(k->scratch, k->machine, seg, NULL, true, t);
    if (st != XG_OK) return st;
    size_t first = 0;
    for (uint32_t c = 0; c < seg->ncore; c++) {
        walk_core(k, segment, c, t, first);
        first += seg->core[c].n;
    }
    uint64_t payload = t->ddr_read_bytes + t->ddr_write_bytes;
    uint64_t ddr = ddr_cycles(k->machine, payload), compute = mac_cycles(k->machine, t->macs);
    if (t->cycles < compute || t->cycles < ddr)
        return xg_error(xg_arena_ctx(k->arena), XG_INTERNAL, "",
                        "the cycle simulator counts %" PRIu64
                        " cycles for segment %u, below the bound "
                        "(compute %" PRIu64 ", DDR %" PRIu64 ")",
                        t->cycles, segment, compute, ddr);
    r->cycles += t->cycles;
    r->ddr_bound += ddr;
    r->instructions += first;
    r->ddr_busy_cycles += t->ddr_busy_cycles;
    add_engines(k, t, seg->ncore);
    share_cycles(k, t->cycles);
    return XG_OK;
}

static void draw_segment(maker *k, uint32_t segment, const xg_times *t, bool keep) {
    const xg_segment *seg = &k->program->segment.v[segment];
    size_t at = 0;
    for (uint32_t c = 0; c < seg->ncore; c++) {
        uint32_t *owner = keep ? owners(k, segment, c) : NULL;
        for (uint32_t i = 0; i < seg->core[c].n; i++, at++) {
            uint8_t op = seg->core[c].inst[i].op;
            uint64_t start = k->clock + t->start[at], end = k->clock + t->end[at];
            add_span(k, c, k->machine->family->inst[op].engine, start, end, k->r->cycles);
            xg_report_span span = {start, end, c, i, segment, keep ? owner[i] : XG_NONE, op};
            if (keep) xg_push(k->arena, &k->r->span, span);
        }
    }
    k->clock += t->cycles;
}

/* ---- the rest
 * ---------------------------------------------------------------------------------------------------
 */

/* A group's layer is named after all its nodes and operators, in order. */
static void name_layer(maker *k, const xg_report_options *o, xg_layer_row *l) {
    if (l->group >= o->ngroup) return;
    const xg_report_group *g = &o->group[l->group];
    xg_buf name = {.arena = k->arena}, op = {.arena = k->arena};
    for (uint32_t i = 0; i < g->nnode; i++) {
        const xg_node *n = xg_nodep(o->graph, g->node[i]);
        xg_putf(&name, "%s%s", i ? " + " : "", n->name);
        xg_putf(&op, "%s%s", i ? "+" : "", xg_ops[n->op].name);
    }
    l->node = name.p ? name.p : "";
    l->op = op.p ? op.p : "";
    l->predicted = g->predicted;
}

static const char *reason_of(const xg_report_options *o, const char *node) {
    for (uint32_t i = 0; i < o->ngroup; i++)
        for (uint32_t n = 0; o->group[i].host_reason && n < o->group[i].nnode; n++)
            if (!strcmp(xg_nodep(o->graph, o->group[i].node[n])->name, node))
                return o->group[i].host_reason;
    return "";
}

/* Replaces the instructions' multiply-accumulates by the network's. */
static void count_macs(xg_report *r, const xg_report_options *o) {
    for (uint32_t i = 0; i < r->layer.n; i++) r->macs += r->layer.v[i].macs;
    if (!o->graph) return;
    r->macs = 0;
    r->macs_exact = true;
    for (uint32_t i = 0; i < r->layer.n; i++) {
        xg_layer_row *l = &r->layer.v[i];
        l->macs = 0;
        if (l->group >= o->ngroup) continue;
        const xg_report_group *g = &o->group[l->group];
        for (uint32_t n = 0; n < g->nnode; n++)
            l->macs += xg_node_macs(o->graph, xg_nodep(o->graph, g->node[n]));
        r->macs += l->macs;
    }
}

static void add_host_steps(maker *k, const xg_report_options *o) {
    const xg_program *p = k->program;
    for (uint32_t i = 0; i < p->step.n; i++)
        for (uint32_t n = 0; p->step.v[i].kind == XG_STEP_HOST && n < p->step.v[i].nnode; n++) {
            const xg_node *node = xg_nodep(p->host, p->step.v[i].node[n]);
            xg_report_host h = {i, xg_strdup(k->arena, node->name), xg_ops[node->op].name,
                                xg_strdup(k->arena, reason_of(o, node->name))};
            xg_push(k->arena, &k->r->host, h);
        }
}

static void begin(maker *k, const xg_report_options *o) {
    xg_report *r = k->r;
    const xg_program *p = k->program;
    r->machine = k->machine;
    r->model = o->model ? o->model : "";
    r->strategy = p->strategy ? p->strategy : "";
    r->solver_note = p->solver_note ? p->solver_note : "";
    r->ncore = k->machine->cores;
    r->nengine = k->machine->family->nengine;
    r->engine = xg_newn(k->arena, xg_engine_time, (size_t)r->ncore * r->nengine);
    r->timeline = xg_newn(k->arena, float, (size_t)r->ncore * r->nengine * XG_TIMELINE_BINS);
    r->images = 1;
    if (p->host->input.n) {
        const xg_tensor *t = xg_tensorp(p->host, p->host->input.v[0]);
        if (t->rank > 0) r->images = (uint64_t)t->dim[0];
    }
    memcpy(r->region_bytes, p->region_bytes, sizeof r->region_bytes);
    for (uint8_t i = 1; i < k->machine->family->nmem; i++) {
        xg_mem_desc d = {0};
        k->machine->family->mem_desc(k->machine, i, &d);
        xg_report_memory m = {d.name, 0, d.depth, d.word_bytes, d.banks};
        xg_push(k->arena, &r->memory, m);
    }
    r->quantised = o->quant && o->quant->how ? o->quant->how : "";
    if (o->scheme) r->scheme = *o->scheme;
    for (uint32_t i = 0; o->quant && i < o->quant->row.n; i++)
        xg_push(k->arena, &r->sqnr, o->quant->row.v[i]);
    find_layers(k);
    for (uint32_t i = 0; i < r->layer.n; i++) name_layer(k, o, &r->layer.v[i]);
    add_host_steps(k, o);
}

static void finish(xg_report *r, xg_arena *scratch, const xg_report_options *o) {
    uint32_t n = 0, *row = xg_newn(scratch, uint32_t, r->layer.n);
    count_macs(r, o);
    r->compute_bound = mac_cycles(r->machine, r->macs);
    r->array_fit = xg_report_array_fit(r->machine, o);
    r->least_ddr_bytes =
        r->region_bytes[XG_REG_CONST] + r->region_bytes[XG_REG_IN] + r->region_bytes[XG_REG_OUT];
    r->least_ddr_cycles = ddr_cycles(r->machine, r->least_ddr_bytes);
    for (uint32_t i = 0; i < r->layer.n; i++) {
        const xg_layer_row *l = &r->layer.v[i];
        r->weights_bytes += l->weights_bytes;
        r->in_bytes += l->in_bytes;
        r->out_bytes += l->out_bytes;
        r->predicted += l->predicted;
        row[i] = l->group != XG_NONE || l->cycles ? n : XG_NONE;
        if (row[i] != XG_NONE) r->layer.v[n++] = *l;
    }
    for (uint32_t i = 0; i < r->span.n; i++) r->span.v[i].layer = row[r->span.v[i].layer];
    r->layer.n = n;
    double sec = (double)r->cycles / ((double)r->machine->clock_khz * 1000.0);
    r->ms = sec * 1e3;
    r->images_per_s = sec > 0 ? (double)r->images / sec : 0;
    r->tops = sec > 0 ? 2.0 * (double)r->macs / sec / 1e12 : 0;
    r->peak_tops = xg_machine_peak_ops(r->machine) / 1e12;
}

xg_status xg_report_make(xg_arena *a, const xg_machine *m, const xg_program *p,
                         const xg_report_options *o, xg_report *out) {
    memset(out, 0, sizeof *out);
    xg_status st = xg_program_fits(xg_arena_ctx(a), m, p);
    if (st != XG_OK) return st;
    maker k = {
        .arena = a, .scratch = xg_arena_new(xg_arena_ctx(a)), .machine = m, .program = p, .r = out};
    begin(&k, o);
    xg_times *t = xg_newn(k.scratch, xg_times, p->step.n);
    for (uint32_t i = 0; i < p->step.n && st == XG_OK; i++)
        if (p->step.v[i].kind == XG_STEP_ACCEL) st = add_segment(&k, p->step.v[i].segment, &t[i]);
    for (uint32_t i = 0; i < p->step.n && st == XG_OK; i++)
        if (p->step.v[i].kind == XG_STEP_ACCEL)
            draw_segment(&k, p->step.v[i].segment, &t[i], o->spans);
    if (st == XG_OK) finish(out, k.scratch, o);
    xg_arena_free(k.scratch);
    return st;
}
