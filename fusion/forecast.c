#include "fusion/forecast.h"

#include "fusion/forecast_inner.h"

#include <stdlib.h>

/* First and last use of staying tensors, in groups. */
static uint32_t *last_readers(const xg_selection *s, xg_arena *a, const uint32_t *parent) {
    uint32_t *last = xg_newn(a, uint32_t, s->graph->tensor.n + 1);
    for (uint32_t gi = 0; gi < s->group.n; gi++)
        for (uint32_t k = 0; k < s->group.v[gi].nnode; k++) {
            const xg_node *n = xg_nodep(s->graph, s->group.v[gi].node[k]);
            for (uint32_t j = 0; j < n->nin; j++)
                for (uint32_t t = n->in[j]; t != XG_NONE; t = parent[t])
                    if (last[t] < gi) last[t] = gi;
        }
    for (uint32_t t = 0; t < s->graph->tensor.n; t++) /* what lies in a tensor lives as it does */
        for (uint32_t up = parent[t]; up != XG_NONE; up = parent[up])
            if (s->on_chip && s->on_chip[up] && last[up] > last[t]) last[t] = last[up];
    return last;
}

static void release(xg_forecaster *f, const uint32_t *last, uint32_t gi) {
    for (uint32_t t = 0; t < f->g->tensor.n; t++) {
        if (f->staying[t] == XG_NONE || last[t] != gi) continue;
        xg_fc_buffer *b = &f->buffer.v[f->staying[t]];
        b->last = f->step.n ? f->step.n - 1 : 0;
        b->soft_last = f->stage;
        f->staying[t] = XG_NONE;
    }
}

static void push_control(xg_forecaster *f, xg_pipe_step s) {
    s.group = f->group;
    s.ninst = s.cores = 1;
    s.cycles = 1;
    ++f->seq[s.engine];
    xg_push(f->a, &f->step, s);
    xg_push(f->a, &f->out, XG_NONE);
    xg_push(f->a, &f->out2, XG_NONE);
}

/* Cores that share a group's work meet after it: see layout/plan.c. */
static void wait_for_cores(xg_forecaster *f) {
    if (!f->signal) return;
    xg_pipe_step s = {.engine = XG_TILE_LOAD};
    s.need[XG_TILE_SAVE] = f->signal;
    push_control(f, s);
    f->await = f->seq[XG_TILE_LOAD];
}

static void signal_cores(xg_forecaster *f) {
    xg_pipe_step s = {.engine = XG_TILE_SAVE};
    s.need[XG_TILE_LOAD] = f->moved[0];
    push_control(f, s);
    f->signal = f->seq[XG_TILE_SAVE];
}

static void add_group(xg_forecaster *f, uint32_t gi) {
    const xg_group *g = &f->sel->group.v[gi];
    f->group = gi;
    uint32_t before = f->step.n, buffers = f->buffer.n, await = f->await;
    wait_for_cores(f);
    uint32_t own = f->step.n;
    xg_fc_group(f, g);
    bool idle = f->step.n == own;
    if (idle && own > before) { /* nobody waits for a group without steps */
        f->step.n = f->out.n = f->out2.n = before;
        f->seq[XG_TILE_LOAD]--;
        f->await = await;
    }
    xg_fc_place(f, buffers, before);
    if (f->m->cores > 1 && g->strategy.split != XG_SPLIT_IMAGE && !idle) signal_cores(f);
}

static uint32_t rounds(const xg_forecaster *f, uint32_t first, uint32_t last) {
    int64_t most = 1, d[4];
    for (uint32_t gi = first; gi < last; gi++) {
        const xg_group *g = &f->sel->group.v[gi];
        xg_group_dims(f->g, g, d);
        if (g->strategy.split == XG_SPLIT_IMAGE)
            most = xg_max(most, xg_ceil_div(d[0], f->m->cores));
    }
    return (uint32_t)most;
}

static void begin(xg_forecaster *f) {
    uint32_t n = f->g->tensor.n + 1;
    f->staying = xg_newn(f->a, uint32_t, n);
    for (uint32_t t = 0; t < n; t++) f->staying[t] = XG_NONE;
    f->on_chip = xg_newn(f->a, xg_fc_writes, n);
    f->in_ddr = xg_newn(f->a, xg_fc_writes, n);
    f->stage = 64;
}

typedef struct finished {
    uint64_t finish;
    uint32_t group;
} finished;

static int by_finish(const void *pa, const void *pb) {
    const finished *a = pa, *b = pb;
    if (a->finish != b->finish) return a->finish < b->finish ? -1 : 1;
    return a->group < b->group ? -1 : a->group > b->group;
}

/* Each group gets the time from the finish before its own. */
static uint64_t share_cycles(xg_forecaster *f, xg_selection *s, uint32_t first, uint32_t last) {
    uint64_t *end = xg_newn(f->a, uint64_t, f->step.n + 1), before = 0;
    uint64_t all = xg_pipe_run(f->a, f->m, f->step.v, f->step.n, end);
    finished *v = xg_newn(f->a, finished, last - first + 1);
    for (uint32_t gi = first; gi < last; gi++) v[gi - first].group = gi;
    for (uint32_t i = 0; i < f->step.n; i++) {
        finished *x = &v[f->step.v[i].group - first];
        if (end[i] > x->finish) x->finish = end[i];
    }
    qsort(v, last - first, sizeof *v, by_finish);
    for (uint32_t i = 0; i < last - first; i++) {
        s->group.v[v[i].group].cost_cycles = v[i].finish > before ? v[i].finish - before : 0;
        before = v[i].finish > before ? v[i].finish : before;
    }
    return all;
}

static uint64_t segment(const xg_machine *m, xg_selection *s, uint32_t first, uint32_t last) {
    xg_arena *a = xg_arena_new(xg_arena_ctx(s->graph->arena));
    const uint32_t *parent = xg_concat_parents(s, a);
    xg_forecaster *f = xg_new(a, xg_forecaster);
    *f = (xg_forecaster){
        .a = a, .g = s->graph, .m = m, .sel = s, .parent = parent, .ddr = xg_needs_ddr(s, a)};
    begin(f);
    const uint32_t *last_reader = last_readers(s, a, parent);
    for (uint32_t r = 0; r < rounds(f, first, last); r++)
        for (uint32_t gi = first; gi < last; gi++) {
            if (r && s->group.v[gi].strategy.split != XG_SPLIT_IMAGE) continue;
            f->image = r * m->cores;
            add_group(f, gi);
            release(f, last_reader, gi);
        }
    uint64_t cycles = share_cycles(f, s, first, last);
    xg_arena_free(a);
    return cycles;
}

uint64_t xg_forecast(const xg_machine *m, xg_selection *s) {
    uint64_t sum = 0;
    for (uint32_t i = 0, end; i < s->group.n; i = end) {
        bool accel = s->group.v[i].where == XG_ON_ACCEL;
        for (end = i; end < s->group.n && (s->group.v[end].where == XG_ON_ACCEL) == accel; end++)
            s->group.v[end].cost_cycles = 0;
        if (accel) sum += segment(m, s, i, end);
    }
    return sum;
}
