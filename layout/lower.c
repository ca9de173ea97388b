/* Plan -> program: packed constants, instructions with tokens, tensors, map, steps, and the graph
 * of the host's nodes. */
#include "layout/plan_types.h"

#include <string.h>

typedef struct lowerer {
    const xg_plan *p;
    const xg_graph *g;
    xg_arena *a;
    xg_program *prog;
    bool *host_made, *host_read, *accel_made, *accel_read; /* [tensors], across group borders */
    uint32_t *host_tensor; /* graph tensor -> tensor of the host graph */
    uint32_t *host_node;   /* graph node -> node of the host graph */
    uint32_t *group_of;
} lowerer;

static bool on_accel(const lowerer *l, uint32_t node) {
    return l->p->sel->group.v[l->group_of[node]].where == XG_ON_ACCEL;
}

static void note_sides(lowerer *l) {
    for (uint32_t gi = 0; gi < l->p->sel->group.n; gi++)
        for (uint32_t k = 0; k < l->p->sel->group.v[gi].nnode; k++)
            l->group_of[l->p->sel->group.v[gi].node[k]] = gi;
    for (uint32_t i = 0; i < l->g->node.n; i++) {
        const xg_node *n = xg_nodep(l->g, i);
        bool accel = on_accel(l, i);
        for (uint32_t k = 0; k < n->nout; k++)
            (accel ? l->accel_made : l->host_made)[n->out[k]] = true;
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != XG_NONE) (accel ? l->accel_read : l->host_read)[n->in[k]] = true;
    }
    for (uint32_t k = 0; k < l->g->input.n; k++) l->host_made[l->g->input.v[k]] = true;
    for (uint32_t k = 0; k < l->g->output.n; k++) l->host_read[l->g->output.v[k]] = true;
}

static void add_tensors(lowerer *l) {
    for (uint32_t t = 0; t < l->g->tensor.n; t++) {
        const xg_tensor *x = xg_tensorp(l->g, t);
        xg_prog_tensor pt = {.name = x->name,
                             .onnx = x->onnx,
                             .dtype = x->dtype,
                             .scale = x->quant ? x->quant->scale[0] : 0,
                             .zp = x->quant ? x->quant->zp[0] : 0,
                             .place = l->p->place[t].place,
                             .materialised = l->p->place[t].placed && !l->p->place[t].apart};
        xg_dims4(x, pt.dim);
        xg_push(l->a, &l->prog->tensor, pt);
    }
}

/* Program tensors are those of the graph that are placed or named by the map; others are dropped
 * and all renumbered. */
static void drop_unused(lowerer *l) {
    xg_program *pr = l->prog;
    uint32_t *to = xg_newn(l->a, uint32_t, pr->tensor.n + 1), n = 0;
    bool *used = xg_newn(l->a, bool, pr->tensor.n + 1);
    for (uint32_t i = 0; i < pr->map.n; i++) used[pr->map.v[i].tensor] = true;
    for (uint32_t t = 0; t < pr->tensor.n; t++)
        if (used[t] || pr->tensor.v[t].materialised) {
            to[t] = n;
            pr->tensor.v[n++] = pr->tensor.v[t];
        }
    pr->tensor.n = n;
    for (uint32_t i = 0; i < pr->map.n; i++) pr->map.v[i].tensor = to[pr->map.v[i].tensor];
    for (uint32_t i = 0; i < pr->step.n; i++) {
        xg_step *s = &pr->step.v[i];
        uint32_t *lists[2] = {(uint32_t *)s->read, (uint32_t *)s->written};
        const uint32_t len[2] = {s->nread, s->nwritten};
        for (int k = 0; k < 2; k++)
            for (uint32_t j = 0; j < len[k]; j++) lists[k][j] = to[lists[k][j]];
    }
}

/* ---- the host's graph
 * ------------------------------------------------------------------------------------- */

static uint32_t host_tensor(lowerer *l, xg_graph *h, uint32_t t) {
    if (l->host_tensor[t] != XG_NONE) return l->host_tensor[t];
    xg_tensor c = *xg_tensorp(l->g, t);
    c.producer = XG_NONE;
    c.is_input = c.is_output = false;
    return l->host_tensor[t] = xg_graph_add_tensor(h, &c);
}

static void host_input(lowerer *l, xg_graph *h, uint32_t t) {
    uint32_t k = host_tensor(l, h, t);
    if (xg_tensorp(h, k)->is_input) return;
    xg_tensorp(h, k)->is_input = true;
    xg_push(h->arena, &h->input, k);
}

static void host_output(lowerer *l, xg_graph *h, uint32_t t) {
    uint32_t k = host_tensor(l, h, t);
    if (xg_tensorp(h, k)->is_output) return;
    xg_tensorp(h, k)->is_output = true;
    xg_push(h->arena, &h->output, k);
}

static void host_copy_node(lowerer *l, xg_graph *h, uint32_t i) {
    const xg_node *n = xg_nodep(l->g, i);
    uint32_t *in = xg_newn(l->a, uint32_t, n->nin + 1), *out = xg_newn(l->a, uint32_t, n->nout + 1);
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = n->in[k] == XG_NONE ? XG_NONE : host_tensor(l, h, n->in[k]);
    for (uint32_t k = 0; k < n->nout; k++) out[k] = host_tensor(l, h, n->out[k]);
    uint32_t made = xg_graph_add_node_to(h, (xg_op)n->op, n->name, in, n->nin, out, n->nout);
    xg_nodep(h, made)->onnx = n->onnx;
    memcpy(xg_nodep(h, made)->attr, n->attr, xg_ops[n->op].nattr * sizeof *n->attr);
    l->host_node[i] = made;
}

/* Model inputs first, then what segments hand to the host; model outputs first, then what the host
 * hands to segments. */
static void make_host_graph(lowerer *l) {
    xg_graph *h = xg_graph_new(l->a, l->g->name);
    for (uint32_t t = 0; t < l->g->tensor.n; t++) l->host_tensor[t] = XG_NONE;
    for (uint32_t k = 0; k < l->g->input.n; k++) host_input(l, h, l->g->input.v[k]);
    for (uint32_t t = 0; t < l->g->tensor.n; t++)
        if (l->accel_made[t] && l->host_read[t]) host_input(l, h, t);
    for (uint32_t i = 0; i < l->g->node.n; i++)
        if (!on_accel(l, i)) host_copy_node(l, h, i);
    for (uint32_t k = 0; k < l->g->output.n; k++) host_output(l, h, l->g->output.v[k]);
    for (uint32_t t = 0; t < l->g->tensor.n; t++)
        if (l->host_made[t] && l->accel_read[t] && !xg_tensorp(l->g, t)->data) host_output(l, h, t);
    l->prog->host = h;
}

/* ---- steps
 * ----------------------------------------------------------------------------------------------------
 */

static void add_host_step(lowerer *l, const xg_plan_step *ps) {
    XG_VEC(uint32_t) nodes = {0};
    for (uint32_t gi = ps->first; gi < ps->last; gi++)
        for (uint32_t k = 0; k < l->p->sel->group.v[gi].nnode; k++)
            xg_push(l->a, &nodes, l->host_node[l->p->sel->group.v[gi].node[k]]);
    xg_step s = {.kind = XG_STEP_HOST, .nnode = nodes.n, .node = nodes.v};
    xg_push(l->a, &l->prog->step, s);
}

static void add_accel_step(lowerer *l, const xg_plan_step *ps) {
    XG_VEC(uint32_t) read = {0}, written = {0};
    bool *seen = xg_newn(l->a, bool, l->g->tensor.n + 1);
    for (uint32_t gi = ps->first; gi < ps->last; gi++) {
        const xg_group *g = &l->p->sel->group.v[gi];
        for (uint32_t k = 0; k < g->nnode; k++) {
            const xg_node *n = xg_nodep(l->g, g->node[k]);
            for (uint32_t j = 0; j < n->nin; j++) {
                uint32_t t = n->in[j];
                if (t == XG_NONE || seen[t] || !l->host_made[t] || xg_tensorp(l->g, t)->data)
                    continue;
                seen[t] = true;
                xg_push(l->a, &read, t);
            }
            for (uint32_t j = 0; j < n->nout; j++)
                if (l->host_read[n->out[j]]) xg_push(l->a, &written, n->out[j]);
        }
    }
    xg_step s = {.kind = XG_STEP_ACCEL,
                 .segment = ps->segment,
                 .nread = read.n,
                 .read = read.v,
                 .nwritten = written.n,
                 .written = written.v};
    xg_push(l->a, &l->prog->step, s);
}

/* The planner's own work is judged like a plan from a file. */
static xg_status check_tasks(const lowerer *l, const xg_core_plan *core) {
    for (uint32_t i = 0; i < core->task.n; i++) {
        const char *why = xg_task_refuses(l->p, core, &core->task.v[i]);
        if (why)
            return xg_error(xg_arena_ctx(l->a), XG_INTERNAL, "plan", "task %u is faulty: %s", i,
                            why);
    }
    return XG_OK;
}

static xg_status add_segments(lowerer *l) {
    const xg_plan *p = l->p;
    for (uint32_t s = 0; s < p->segment.n; s++) {
        for (uint32_t c = 0; c < p->machine->cores; c++) {
            xg_status st = check_tasks(l, &p->segment.v[s].core[c]);
            if (st != XG_OK) return st;
        }
        xg_segment seg = {xg_newn(l->a, xg_stream, p->machine->cores), p->machine->cores};
        for (uint32_t c = 0; c < p->machine->cores; c++) {
            xg_status st = xg_emit_core(p, l->a, s, c, l->prog, &seg.core[c]);
            if (st == XG_OK) st = xg_add_tokens(l->a, p->machine, &seg.core[c]);
            if (st != XG_OK) return st;
        }
        xg_push(l->a, &l->prog->segment, seg);
    }
    return XG_OK;
}

static void describe(lowerer *l) {
    const xg_machine *m = l->p->machine;
    xg_program *pr = l->prog;
    xg_buf record = {.arena = l->a};
    xg_rqrec_print(&m->rq, &record);
    pr->tool_version = XGC_VERSION;
    pr->input_digest = pr->options = "";
    pr->machine_name = m->name;
    pr->machine_digest = m->digest;
    pr->encoding_digest = m->encoding->digest;
    pr->record_text = record.p ? record.p : "";
    pr->strategy = xg_selection_origin(l->p->sel);
    pr->solver_note = xg_selection_note(l->p->sel);
    pr->ncore = m->cores;
    memcpy(pr->region_bytes, l->p->region_bytes, sizeof pr->region_bytes);
}

xg_status xg_lower(xg_arena *a, const xg_plan *p, xg_program **out) {
    uint32_t nt = p->graph->tensor.n + 1;
    lowerer l = {.p = p,
                 .g = p->graph,
                 .a = a,
                 .prog = xg_new(a, xg_program),
                 .host_made = xg_newn(a, bool, nt),
                 .host_read = xg_newn(a, bool, nt),
                 .accel_made = xg_newn(a, bool, nt),
                 .accel_read = xg_newn(a, bool, nt),
                 .host_tensor = xg_newn(a, uint32_t, nt),
                 .host_node = xg_newn(a, uint32_t, p->graph->node.n + 1),
                 .group_of = xg_newn(a, uint32_t, p->graph->node.n + 1)};
    uint8_t *constants;
    describe(&l);
    note_sides(&l);
    add_tensors(&l);
    xg_status st = xg_pack_pieces(p, a, &constants);
    if (st != XG_OK) return st;
    l.prog->constants = (xg_bytes){constants, p->region_bytes[XG_REG_CONST]};
    st = add_segments(&l);
    if (st != XG_OK) return st;
    make_host_graph(&l);
    for (uint32_t i = 0; i < p->step.n; i++)
        if (p->step.v[i].accel)
            add_accel_step(&l, &p->step.v[i]);
        else
            add_host_step(&l, &p->step.v[i]);
    drop_unused(&l);
    for (uint32_t s = 0; s < l.prog->segment.n && st == XG_OK; s++)
        st = xg_program_check(a, p->machine, &l.prog->segment.v[s], p->region_bytes);
    *out = l.prog;
    return st;
}
