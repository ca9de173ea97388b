#include "assembler/xs.h"

/* What a hand-written file may leave out (XS.md): provenance, steps, the host's graph. */

static void fill_note(xg_arena *a, const xg_machine *m, xg_program *p) {
    p->machine_name = m->name;
    p->machine_digest = m->digest;
    p->encoding_digest = m->encoding->digest;
    if (!p->region_bytes[XG_REG_CONST]) p->region_bytes[XG_REG_CONST] = p->constants.n;
    if (!p->record_text) {
        xg_buf b = {.arena = a};
        xg_rqrec_print(&m->rq, &b);
        p->record_text = b.p;
    }
    if (!p->tool_version) p->tool_version = "";
    if (!p->input_digest) p->input_digest = "";
    if (!p->options) p->options = "";
    if (!p->strategy) p->strategy = "";
    if (!p->solver_note) p->solver_note = "";
}

/* Indices of the materialised tensors in a region. */
static const uint32_t *tensors_in(xg_arena *a, const xg_program *p, xg_region r, uint32_t *n) {
    uint32_t *v = xg_newn(a, uint32_t, p->tensor.n);
    *n = 0;
    for (uint32_t i = 0; i < p->tensor.n; i++)
        if (p->tensor.v[i].materialised && p->tensor.v[i].place.region == r) v[(*n)++] = i;
    return v;
}

/* All segments in order; the first reads the inputs, the last writes the outputs. */
static void fill_steps(xg_arena *a, xg_program *p) {
    for (uint32_t s = 0; s < p->segment.n; s++) {
        xg_step t = {.kind = XG_STEP_ACCEL, .segment = s};
        if (s == 0) t.read = tensors_in(a, p, XG_REG_IN, &t.nread);
        if (s + 1 == p->segment.n) t.written = tensors_in(a, p, XG_REG_OUT, &t.nwritten);
        xg_push(a, &p->step, t);
    }
}

/* ---- the host's graph ------------------------------------------------------------------------ */

/* Marks the program tensors that steps read, and those that they write. */
static void mark(const xg_program *p, bool *read, bool *written) {
    for (uint32_t s = 0; s < p->step.n; s++) {
        const xg_step *t = &p->step.v[s];
        for (uint32_t i = 0; i < t->nread; i++) read[t->read[i]] = true;
        for (uint32_t i = 0; i < t->nwritten; i++) written[t->written[i]] = true;
    }
}

static uint32_t add_twin(xg_graph *g, const xg_prog_tensor *t) {
    xg_tensor h = {.name = t->name, .onnx = t->onnx, .dtype = t->dtype, .rank = 4};
    h.producer = XG_NONE;
    h.is_input = h.is_output = true;
    for (int d = 0; d < 4; d++) h.dim[d] = t->dim[d];
    if (t->scale > 0) h.quant = xg_quant_scalar(g->arena, t->scale, t->zp);
    return xg_graph_add_tensor(g, &h);
}

/* A graph without nodes: one tensor for each that a step reads or writes. As in every program, its
 * inputs are the model's, then what segments hand to the host; its outputs are the model's, then
 * what the host hands to segments. */
static xg_status fill_host(xg_arena *a, xg_program *p) {
    xg_graph *g = xg_graph_new(a, "program");
    bool *read = xg_newn(a, bool, p->tensor.n), *written = xg_newn(a, bool, p->tensor.n);
    uint32_t *twin = xg_newn(a, uint32_t, p->tensor.n);
    mark(p, read, written);
    for (uint32_t i = 0; i < p->tensor.n; i++)
        if (read[i] || written[i]) twin[i] = add_twin(g, &p->tensor.v[i]);
    for (int second = 0; second < 2; second++)
        for (uint32_t i = 0; i < p->tensor.n; i++) {
            if ((read[i] || written[i]) && written[i] == second) xg_push(a, &g->input, twin[i]);
            if ((read[i] || written[i]) && read[i] == second) xg_push(a, &g->output, twin[i]);
        }
    p->host = g;
    return xg_graph_verify(xg_arena_ctx(a), g);
}

xg_status xg_xs_fill(xg_arena *a, const xg_machine *m, bool host_given, xg_program *p) {
    fill_note(a, m, p);
    if (!p->step.n) fill_steps(a, p);
    return p->host || host_given ? XG_OK : fill_host(a, p);
}
