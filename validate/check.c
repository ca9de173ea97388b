#include "validate/check_inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- cases
 * -----------------------------------------------------------------------------------------------
 */

static void add_case(xg_watch *w, bool ok, const char *message, const char *name) {
    xg_check_case k = {name, ok, ok ? NULL : message};
    xg_push(w->arena, &w->result->cases, k);
    if (!ok) w->result->equal = false;
}

/* The first diagnostic from number `from` on, as the message of a case. */
static const char *first_message(xg_arena *a, size_t from) {
    const xg_ctx *c = xg_arena_ctx(a);
    for (size_t i = from; i < xg_diag_count(c); i++) {
        const xg_diag *d = xg_diag_at(c, i);
        if (d->severity == XG_ERROR)
            return d->where[0] ? xg_strf(a, "%s: %s", d->where, d->text) : xg_strdup(a, d->text);
    }
    return "no reason given";
}

static bool is_fatal(xg_status st) {
    return st == XG_NOMEM || st == XG_INTERNAL || st == XG_IO;
}

/* ---- preparation
 * --------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t core_key, last, row;
} sort_row;

static int by_end(const void *pa, const void *pb) {
    const sort_row *a = pa, *b = pb;
    if (a->core_key != b->core_key) return a->core_key < b->core_key ? -1 : 1;
    if (a->last != b->last) return a->last < b->last ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static void sort_map(xg_watch *w, xg_arena *scratch) {
    const xg_program *p = w->program;
    sort_row *rows = xg_newn(scratch, sort_row, p->map.n);
    uint32_t keys = p->segment.n * w->cores;
    w->start = xg_newn(scratch, uint32_t, (size_t)keys + 1);
    for (uint32_t i = 0; i < p->map.n; i++) {
        rows[i] =
            (sort_row){p->map.v[i].segment * w->cores + p->map.v[i].core, p->map.v[i].last, i};
        w->start[rows[i].core_key + 1]++;
    }
    for (uint32_t k = 0; k < keys; k++) w->start[k + 1] += w->start[k];
    qsort(rows, p->map.n, sizeof *rows, by_end);
    w->order = xg_newn(scratch, uint32_t, p->map.n);
    for (uint32_t i = 0; i < p->map.n; i++) w->order[i] = rows[i].row;
}

/* Finds the reference of every program tensor; shapes must be the same. */
static xg_status match_tensors(xg_watch *w, xg_arena *scratch) {
    const xg_program *p = w->program;
    xg_ctx *c = xg_arena_ctx(w->arena);
    xg_map names = {.arena = scratch};
    for (uint32_t t = 0; t < w->reference->tensor.n; t++)
        xg_map_set(&names, w->reference->tensor.v[t].name, t);
    w->ref_tensor = xg_newn(scratch, uint32_t, p->tensor.n);
    for (uint32_t i = 0; i < p->tensor.n; i++) {
        const xg_prog_tensor *t = &p->tensor.v[i];
        uint32_t r = w->ref_tensor[i] = xg_map_get(&names, t->name);
        if (r == XG_NONE)
            return xg_error(
                c, XG_INPUT, t->name,
                "the program computes a tensor that the graph does not have; was it compiled "
                "from this model, with the same options?");
        const xg_tensor *rt = xg_tensorp(w->reference, r);
        if (rt->dtype != XG_I8 ||
            xg_tensor_elems(rt) != t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3])
            return xg_error(c, XG_INPUT, t->name,
                            "the program's tensor is i8 [%" PRId64 ",%" PRId64 ",%" PRId64
                            ",%" PRId64 "], the graph's is %s with %" PRId64 " elements",
                            t->dim[0], t->dim[1], t->dim[2], t->dim[3], xg_dtype_name(rt->dtype),
                            xg_tensor_elems(rt));
        if (rt->quant && (rt->quant->scale[0] != t->scale || rt->quant->zp[0] != t->zp))
            return xg_error(
                c, XG_INPUT, t->name,
                "the program's tensor has scale %.9g and zero point %d, the graph's %.9g and "
                "%d; was it compiled with the same calibration?",
                (double)t->scale, t->zp, (double)rt->quant->scale[0], rt->quant->zp[0]);
    }
    return XG_OK;
}

/* Twins of the model's inputs and outputs in the host graph, by name. */
static xg_status match_borders(xg_watch *w, xg_arena *scratch) {
    const xg_graph *g = w->reference, *h = w->program->host;
    xg_map names = {.arena = scratch};
    for (uint32_t t = 0; t < h->tensor.n; t++) xg_map_set(&names, h->tensor.v[t].name, t);
    w->host_input = xg_newn(scratch, uint32_t, g->input.n);
    w->host_output = xg_newn(scratch, uint32_t, g->output.n);
    for (uint32_t i = 0; i < g->input.n + g->output.n; i++) {
        bool in = i < g->input.n;
        uint32_t k = in ? i : i - g->input.n;
        const xg_tensor *t = xg_tensorp(g, in ? g->input.v[k] : g->output.v[k]);
        uint32_t at = (in ? w->host_input : w->host_output)[k] = xg_map_get(&names, t->name);
        if (at == XG_NONE || xg_tensorp(h, at)->dtype != t->dtype ||
            xg_tensor_elems(xg_tensorp(h, at)) != xg_tensor_elems(t))
            return xg_error(
                xg_arena_ctx(w->arena), XG_INPUT, t->name,
                "the binary has no such model %s, or of another type or size; was it compiled "
                "from this model, with the same options?",
                in ? "input" : "output");
    }
    return XG_OK;
}

/* ---- one input set
 * ------------------------------------------------------------------------------------------- */

typedef struct {
    xg_arena *arena; /* freed with the set */
    xg_values values;
    xg_exec *leader, *shuffled, *timed;
} input_set;

static xg_status new_exec(const xg_watch *w, xg_arena *a, const xg_exec *leader, xg_exec **out) {
    xg_status st = xg_exec_new(a, w->machine, w->program, leader, out);
    if (st == XG_OK) xg_exec_begin(*out);
    return st;
}

static const char *state_difference(const xg_watch *w, xg_exec *x, xg_exec *y) {
    for (int r = 0; r < XG_REGIONS; r++) {
        uint64_t bytes, other;
        const uint8_t *a = xg_sim_ddr(x->sim, (xg_region)r, &bytes);
        const uint8_t *b = xg_sim_ddr(y->sim, (xg_region)r, &other);
        if (bytes == 0 || !memcmp(a, b, bytes)) continue;
        uint64_t i = 0;
        while (a[i] == b[i]) i++;
        return xg_strf(w->arena, "DDR region %d byte 0x%" PRIx64 " is %d in program order, %d here",
                       r, i, (int8_t)a[i], (int8_t)b[i]);
    }
    for (uint32_t core = 0; core < w->cores; core++)
        for (uint8_t k = 1; k < w->machine->family->nmem; k++) {
            const xg_state *s = xg_sim_core(x->sim, core), *t = xg_sim_core(y->sim, core);
            if (!s->mem_bytes[k] || !memcmp(s->mem[k], t->mem[k], s->mem_bytes[k])) continue;
            uint64_t i = 0;
            while (s->mem[k][i] == t->mem[k][i]) i++;
            xg_mem_desc d;
            w->machine->family->mem_desc(w->machine, k, &d);
            return xg_strf(w->arena,
                           "core %u memory %s byte 0x%" PRIx64 " is %d in program order, %d here",
                           core, d.name, i, (int8_t)s->mem[k][i], (int8_t)t->mem[k][i]);
        }
    return NULL;
}

/* What a step reads has just been compared on the host's side, and is copied to its place. */
static void begin_step(xg_watch *w, uint32_t i) {
    const xg_step *step = &w->program->step.v[i];
    w->step = i;
    w->segment = step->segment;
    if (step->kind != XG_STEP_ACCEL) return;
    for (uint32_t k = 0; k < w->cores; k++) w->cursor[k] = w->start[step->segment * w->cores + k];
    for (uint32_t k = 0; k < step->nread; k++) xg_watch_cover(w, step->read[k]);
}

/* Runs a step on another simulator and compares all memories with the leader's. *why is set on a
 * difference. */
static xg_status follow(const xg_watch *w, xg_exec *leader, xg_exec *e, uint32_t step,
                        const xg_exec_options *o, const char **why) {
    if (*why || w->program->step.v[step].kind != XG_STEP_ACCEL) return XG_OK;
    size_t from = xg_diag_count(xg_arena_ctx(w->arena));
    xg_status st = xg_exec_step(e, step, o);
    const char *d = st == XG_OK ? state_difference(w, leader, e) : first_message(w->arena, from);
    if (d) *why = xg_strf(w->arena, "step %u: %s", step, d);
    return is_fatal(st) ? st : XG_OK;
}

typedef struct {
    const char *leader, *shuffled, *timed; /* what went wrong, or NULL */
} set_result;

static xg_status run_steps(xg_watch *w, input_set *s, uint64_t seed, set_result *r) {
    xg_exec_options in_order = {.mode = XG_EXEC_IN_ORDER, .hook = xg_watch_hook, .hook_arg = w};
    xg_exec_options shuffled = {.mode = XG_EXEC_SHUFFLED, .seed = seed};
    xg_exec_options timed = {.mode = XG_EXEC_TIMED};
    xg_ctx *c = xg_arena_ctx(w->arena);
    for (uint32_t i = 0; i < w->program->step.n; i++) {
        const xg_step *step = &w->program->step.v[i];
        begin_step(w, i);
        size_t from = xg_diag_count(c);
        xg_status st = xg_exec_step(s->leader, i, &in_order);
        if (is_fatal(st)) return st;
        if (st != XG_OK) {
            r->leader = first_message(w->arena, from);
            return XG_OK;
        }
        /* memories are compared before repairs at the end of the step change the host's copy only
         */
        if (s->shuffled && !w->wrong)
            st = follow(w, s->leader, s->shuffled, i, &shuffled, &r->shuffled);
        if (st == XG_OK && s->timed && !w->wrong)
            st = follow(w, s->leader, s->timed, i, &timed, &r->timed);
        if (st != XG_OK) return st;
        if (step->kind == XG_STEP_ACCEL)
            xg_watch_written(w, step);
        else
            xg_watch_host(w, step);
    }
    return XG_OK;
}

/* Graph outputs, once more: whatever path they took, they must be the reference's. */
static const char *outputs_differ(const xg_watch *w, const input_set *s) {
    const xg_graph *a = w->reference;
    for (uint32_t i = 0; i < a->output.n; i++) {
        const xg_tensor *t = xg_tensorp(a, a->output.v[i]);
        const void *x = s->values.v[a->output.v[i]], *y = s->leader->host.v[w->host_output[i]];
        if (!x || !y) return xg_strf(w->arena, "output '%s' was not computed", t->name);
        if (memcmp(x, y, (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype)))
            return xg_strf(w->arena, "output '%s' differs", t->name);
    }
    return NULL;
}

static xg_status fill_inputs(xg_watch *w, input_set *s, const xg_check_options *o,
                             uint64_t number) {
    xg_ctx *c = xg_arena_ctx(w->arena);
    if (o->ninput) {
        w->input = xg_strf(w->arena, "input %" PRIu64, number);
        return xg_inputs_set(c, &s->values, w->reference->input.v, w->reference->input.n, o->input,
                             o->ninput, number);
    }
    static const char *const all[] = {"random", "min", "max", "zero"};
    const char *fill = o->nfill ? o->fill[number] : all[number];
    w->input = fill;
    const char *colon = strchr(fill, ':');
    char *kind = xg_strndup(s->arena, fill, colon ? (size_t)(colon - fill) : strlen(fill));
    uint64_t seed = 1;
    if (colon) {
        char *end;
        seed = strtoull(colon + 1, &end, 0);
        if (end == colon + 1 || *end)
            return xg_error(c, XG_USAGE, "", "'%s' is not an input fill: the seed must be a number",
                            fill);
    }
    return xg_values_fill(c, &s->values, kind, seed);
}

static void begin_set(xg_watch *w, input_set *s) {
    w->exec = s->leader;
    w->values = &s->values;
    w->wrong = 0;
    for (uint32_t i = 0; i < w->program->tensor.n; i++) {
        const int64_t *d = w->program->tensor.v[i].dim;
        memset(w->covered[i], 0, (size_t)(d[0] * d[1] * d[2] * d[3]));
    }
    memset(w->done, 0, sizeof *w->done * w->program->map.n);
    for (uint32_t i = 0; i < w->reference->input.n; i++) {
        const xg_tensor *t = xg_tensorp(w->reference, w->reference->input.v[i]);
        memcpy(xg_values_get(&s->leader->host, w->host_input[i]),
               xg_values_get(&s->values, w->reference->input.v[i]),
               (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype));
    }
}

static void end_set(xg_watch *w, const input_set *s, const set_result *r, uint64_t seed) {
    const char *tensors = r->leader;
    if (!tensors && w->wrong)
        tensors = xg_strf(w->arena, "%" PRIu64 " piece%s of tensors differ%s from the reference",
                          w->wrong, w->wrong == 1 ? "" : "s", w->wrong == 1 ? "s" : "");
    if (!tensors) tensors = outputs_differ(w, s);
    add_case(w, !tensors, tensors, xg_strf(w->arena, "%s: every tensor", w->input));
    const char *skipped = tensors ? "not run to the end: the program order differs already" : NULL;
    if (s->shuffled)
        add_case(w, !r->shuffled && !skipped, r->shuffled ? r->shuffled : skipped,
                 xg_strf(w->arena, "%s: shuffled engine order, seed %" PRIu64, w->input, seed));
    if (s->timed)
        add_case(w, !r->timed && !skipped, r->timed ? r->timed : skipped,
                 xg_strf(w->arena, "%s: cycle simulator's memory", w->input));
}

static xg_status check_set(xg_watch *w, const xg_check_options *o, uint64_t number) {
    xg_ctx *c = xg_arena_ctx(w->arena);
    input_set s = {.arena = xg_arena_new(c)};
    uint64_t seed = o->seed ? o->seed : 1;
    bool all = !o->functional && (number == 0 || o->thorough);
    xg_values_init(&s.values, w->reference, s.arena);
    xg_status st = fill_inputs(w, &s, o, number);
    if (st == XG_OK) st = new_exec(w, s.arena, NULL, &s.leader);
    if (st == XG_OK && all) st = new_exec(w, s.arena, s.leader, &s.shuffled);
    if (st == XG_OK && all) st = new_exec(w, s.arena, s.leader, &s.timed);
    if (st == XG_OK) {
        begin_set(w,
                  &s); /* the copy of the inputs goes first: the interpreter may not change them */
        st = xg_interp_run(c, &s.values, &w->machine->rq);
    }
    set_result r = {0};
    if (st == XG_OK) st = run_steps(w, &s, seed, &r);
    if (st == XG_OK) end_set(w, &s, &r, seed);
    w->exec = NULL;
    w->values = NULL;
    xg_arena_free(s.leader ? s.leader->run_arena : NULL);
    xg_arena_free(s.shuffled ? s.shuffled->run_arena : NULL);
    xg_arena_free(s.timed ? s.timed->run_arena : NULL);
    xg_arena_free(s.arena);
    return st;
}

/* ---- all
 * ---------------------------------------------------------------------------------------------------------
 */

static xg_status static_check(xg_watch *w, xg_arena *scratch) {
    for (uint32_t i = 0; i < w->program->segment.n; i++) {
        size_t from = xg_diag_count(xg_arena_ctx(w->arena));
        xg_status st = xg_program_check(scratch, w->machine, &w->program->segment.v[i],
                                        w->program->region_bytes);
        if (is_fatal(st)) return st;
        add_case(w, st == XG_OK, st == XG_OK ? NULL : first_message(w->arena, from),
                 xg_strf(w->arena, "segment %u: static check and queue replay", i));
    }
    return XG_OK;
}

/* The program tensor whose bytes a Reshape's or Slice's result shares in DDR: comparing it compares
 * both. XG_NONE when there is none. */
static uint32_t viewed(const xg_watch *w, uint32_t tensor) {
    const xg_prog_tensor *t = &w->program->tensor.v[tensor];
    uint32_t ref = w->ref_tensor[tensor];
    uint32_t made_by = ref == XG_NONE ? XG_NONE : xg_tensorp(w->reference, ref)->producer;
    if (made_by == XG_NONE || !t->materialised) return XG_NONE;
    const xg_node *n = xg_nodep(w->reference, made_by);
    if (n->op != XG_OP_Reshape && n->op != XG_OP_Slice) return XG_NONE;
    for (uint32_t i = 0; i < w->program->tensor.n; i++) {
        const xg_prog_tensor *x = &w->program->tensor.v[i];
        if (w->ref_tensor[i] == n->in[0] && x->materialised && x->place.region == t->place.region &&
            (n->op == XG_OP_Slice || x->place.addr == t->place.addr))
            return i;
    }
    return XG_NONE;
}

static uint64_t elements(const xg_prog_tensor *t) {
    return (uint64_t)(t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3]);
}

/* Whether a view that has all elements of a tensor was compared whole. */
static bool compared_by_view(const xg_watch *w, uint32_t tensor) {
    uint64_t all = elements(&w->program->tensor.v[tensor]);
    for (uint32_t i = 0; i < w->program->tensor.n; i++)
        if (xg_watch_covered(w, i) == all && elements(&w->program->tensor.v[i]) == all &&
            viewed(w, i) == tensor)
            return true;
    return false;
}

/* Elements of a tensor that were compared, themselves, or as those of a tensor that it is a view
 * of or of its own view; of a part of that, all or none. */
static uint64_t compared(const xg_watch *w, uint32_t tensor) {
    enum { VIEWS = 8 };
    uint32_t source = tensor;
    uint64_t n = xg_watch_covered(w, tensor), all = elements(&w->program->tensor.v[tensor]);
    for (uint32_t k = 0; !n && k < VIEWS; k++) {
        source = viewed(w, source);
        if (source == XG_NONE) return compared_by_view(w, tensor) ? all : 0;
        n = xg_watch_covered(w, source);
    }
    uint64_t of = elements(&w->program->tensor.v[source]);
    return of == all ? n : n == of ? all : 0;
}

static void count_coverage(xg_watch *w) {
    xg_check_result *r = w->result;
    r->tensors = w->program->tensor.n;
    for (uint32_t i = 0; i < w->program->tensor.n; i++) {
        const xg_prog_tensor *t = &w->program->tensor.v[i];
        uint64_t elems = elements(t), covered = compared(w, i);
        r->elements += covered;
        if (covered == elems) {
            r->tensors_complete++;
            r->tensors_chip += !t->materialised && w->on_chip[i];
        } else {
            xg_push(w->arena, &r->incomplete,
                    xg_strf(w->arena, "%s (%" PRIu64 " of %" PRIu64 ")", t->name, covered, elems));
        }
    }
}

static void prepare(xg_watch *w, xg_arena *scratch) {
    const xg_program *p = w->program;
    xg_check_result *r = w->result;
    r->machine = xg_strdup(w->arena, w->machine->name);
    r->strategy = xg_strdup(w->arena, p->strategy ? p->strategy : "");
    r->equal = true;
    w->cores = w->machine->cores;
    w->covered = xg_newn(scratch, uint8_t *, p->tensor.n);
    for (uint32_t i = 0; i < p->tensor.n; i++) {
        const int64_t *d = p->tensor.v[i].dim;
        w->covered[i] = xg_newn(scratch, uint8_t, (size_t)(d[0] * d[1] * d[2] * d[3]));
    }
    w->on_chip = xg_newn(scratch, bool, p->tensor.n);
    w->done = xg_newn(scratch, bool, p->map.n);
    w->cursor = xg_newn(scratch, uint32_t, w->cores);
    for (uint32_t i = 0; i < p->map.n;
         i++) /* a group number is below the number of rows in sane files */
        if (p->map.v[i].group < p->map.n && p->map.v[i].group >= r->groups)
            r->groups = p->map.v[i].group + 1;
    w->group_wrong = xg_newn(scratch, bool, r->groups);
    for (uint32_t i = 0; i < p->segment.n; i++)
        for (uint32_t k = 0; k < p->segment.v[i].ncore; k++)
            r->instructions += p->segment.v[i].core[k].n;
    sort_map(w, scratch);
}

static xg_status check_all(xg_watch *w, xg_arena *scratch, const xg_check_options *o) {
    xg_status st = match_tensors(w, scratch);
    if (st == XG_OK) st = match_borders(w, scratch);
    if (st != XG_OK) return st;
    prepare(w, scratch);
    st = static_check(w, scratch);
    uint64_t sets = o->nfill ? o->nfill : 4;
    if (st == XG_OK && o->ninput)
        st = xg_inputs_count(xg_arena_ctx(w->arena), w->reference, w->reference->input.v,
                             w->reference->input.n, o->input, o->ninput, &sets);
    for (uint64_t i = 0; i < sets && st == XG_OK; i++) {
        if (o->progress) o->progress(o->progress_arg, "check", (double)i / (double)sets);
        st = check_set(w, o, i);
        w->result->input_sets++;
    }
    if (st == XG_OK) count_coverage(w);
    return st;
}

xg_status xg_check(xg_arena *a, const xg_machine *m, const xg_graph *reference, const xg_program *p,
                   const xg_check_options *o, xg_check_result *out) {
    memset(out, 0, sizeof *out);
    xg_status st = xg_program_fits(xg_arena_ctx(a), m, p);
    if (st != XG_OK) return st;
    xg_watch w = {.arena = a, .machine = m, .reference = reference, .program = p, .result = out};
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(a));
    st = check_all(&w, scratch, o);
    xg_arena_free(scratch);
    return st;
}
