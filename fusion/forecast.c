#include "fusion/forecast.h"

#include "fusion/forecast_inner.h"

#include <stdlib.h>

/* [tensors] The last group that reads it. */
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

typedef struct stay {
    uint32_t tensor, first, last, size, at;
} stay;

static int by_size(const void *pa, const void *pb) {
    const stay *a = pa, *b = pb;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    return a->tensor < b->tensor ? -1 : a->tensor > b->tensor;
}

static uint32_t collect_stays(const xg_selection *s, const xg_machine *m, xg_arena *a,
                              const uint32_t *parent, const uint32_t *last, stay *v) {
    uint32_t n = 0, *slot = xg_newn(a, uint32_t, s->graph->tensor.n + 1);
    for (uint32_t gi = 0; gi < s->group.n; gi++)
        for (uint32_t k = 0; k < s->group.v[gi].nnode; k++) {
            uint32_t t = xg_nodep(s->graph, s->group.v[gi].node[k])->out[0], root = t;
            if (!s->on_chip[t]) continue;
            while (parent[root] != XG_NONE && s->on_chip[parent[root]]) root = parent[root];
            if (!slot[root]) {
                xg_slice whole = xg_slice_whole(xg_tensorp(s->graph, root), 0);
                uint32_t il = xg_staying_interleave(s->graph, root);
                v[n] = (stay){root, gi, last[root], xg_fm_words(m, &whole, il), 0};
                slot[root] = ++n;
            }
            stay *x = &v[slot[root] - 1];
            if (last[t] > x->last) x->last = last[t];
        }
    return n;
}

/* [tensors] Addresses of what stays: first fit, largest first, from the top, as layout/stay.c. */
static const uint32_t *place_stays(const xg_selection *s, const xg_machine *m, xg_arena *a,
                                   const uint32_t *parent, const uint32_t *last) {
    uint32_t *addr = xg_newn(a, uint32_t, s->graph->tensor.n + 1);
    if (!s->on_chip) return addr;
    stay *v = xg_newn(a, stay, s->graph->tensor.n + 1);
    uint32_t n = collect_stays(s, m, a, parent, last, v);
    qsort(v, n, sizeof *v, by_size);
    for (uint32_t i = 0; i < n; i++) {
        bool moved = true;
        while (moved) { /* above all that live at the same time and are in the way */
            moved = false;
            for (uint32_t j = 0; j < i; j++) {
                bool together = v[j].first <= v[i].last && v[i].first <= v[j].last;
                if (!together || v[j].at >= v[i].at + v[i].size || v[i].at >= v[j].at + v[j].size)
                    continue;
                v[i].at = v[j].at + v[j].size;
                moved = true;
            }
        }
        uint32_t depth = m->tile.fm_depth, top = v[i].at + v[i].size;
        addr[v[i].tensor] = top < depth ? depth - top : 0;
    }
    return addr;
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

static uint32_t push_control(xg_forecaster *f, uint8_t engine) {
    xg_pipe_step s = {
        .engine = engine, .group = f->group, .ninst = 1, .share_x256 = 256, .cycles = 1};
    xg_push(f->a, &f->step, s);
    return f->step.n - 1;
}

/* Cores that share a group's work meet after it: see layout/plan.c. */
static void wait_for_cores(xg_forecaster *f) {
    if (f->signal == XG_NONE) return;
    uint32_t step = push_control(f, XG_TILE_LOAD);
    xg_fc_order(f, f->signal, step);
    xg_fc_order(f, f->await, step);
    f->await = step;
}

static void signal_cores(xg_forecaster *f) {
    uint32_t step = push_control(f, XG_TILE_SAVE);
    for (uint32_t i = 0; i < f->transfers.n; i++) xg_fc_order(f, f->transfers.v[i], step);
    f->transfers.n = 0;
    xg_fc_order(f, f->signal, step);
    f->signal = step;
    f->apart = false;
}

static void add_group(xg_forecaster *f, uint32_t gi) {
    const xg_group *g = &f->sel->group.v[gi];
    f->group = gi;
    if (f->apart && g->strategy.split != XG_SPLIT_IMAGE) signal_cores(f);
    uint32_t step = f->step.n, buffer = f->buffer.n, edge = f->edge.n, await = f->await;
    wait_for_cores(f);
    uint32_t own = f->step.n;
    xg_fc_group(f, g);
    bool idle = f->step.n == own;
    if (idle) { /* nobody waits for a group without steps */
        f->step.n = step;
        f->edge.n = edge;
        f->await = await;
    }
    xg_fc_place(f, buffer, own, edge);
    if (idle || f->m->cores == 1) return;
    if (g->strategy.split != XG_SPLIT_IMAGE)
        signal_cores(f);
    else
        f->apart = true;
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
    f->in_ddr = xg_newn(f->a, xg_fc_writes, n);
    f->stage = 64;
    f->await = f->signal = XG_NONE;
}

typedef struct finished {
    uint64_t start, finish; /* of its computations; of all */
    uint32_t group;
} finished;

static int by_finish(const void *pa, const void *pb) {
    const finished *a = pa, *b = pb;
    if (a->finish != b->finish) return a->finish < b->finish ? -1 : 1;
    return a->group < b->group ? -1 : a->group > b->group;
}

/* Each group gets the time from the finish before its own. */
static void share_cycles(xg_selection *s, finished *v, uint32_t n) {
    uint64_t before = 0;
    qsort(v, n, sizeof *v, by_finish);
    for (uint32_t i = 0; i < n; i++) {
        xg_group *g = &s->group.v[v[i].group];
        g->cost_cycles = v[i].finish - before;
        g->span_cycles = v[i].finish > v[i].start ? v[i].finish - v[i].start : 0;
        before = v[i].finish;
    }
}

static uint64_t run_segment(xg_forecaster *f, xg_selection *s, uint32_t first, uint32_t last) {
    uint64_t *start = xg_newn(f->a, uint64_t, f->step.n + 1),
             *end = xg_newn(f->a, uint64_t, f->step.n + 1);
    xg_fc_order_buffers(f, 0);
    xg_pipe p = {.m = f->m,
                 .step = f->step.v,
                 .nstep = f->step.n,
                 .nevent = 2 * f->buffer.n,
                 .edge = f->edge.v,
                 .nedge = f->edge.n};
    uint64_t all = xg_pipe_run(f->a, &p, start, end);
    finished *v = xg_newn(f->a, finished, last - first + 1);
    for (uint32_t gi = first; gi < last; gi++) v[gi - first] = (finished){UINT64_MAX, 0, gi};
    for (uint32_t i = 0; i < f->step.n; i++) {
        finished *x = &v[f->step.v[i].group - first];
        bool computes = f->step.v[i].engine == XG_TILE_CONV || f->step.v[i].engine == XG_TILE_MISC;
        if (end[i] > x->finish) x->finish = end[i];
        if (computes && start[i] < x->start) x->start = start[i];
    }
    share_cycles(s, v, last - first);
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
    f->chip_addr = place_stays(s, m, a, parent, last_reader);
    uint32_t nround = rounds(f, first, last);
    for (uint32_t r = 0; r < nround; r++)
        for (uint32_t gi = first; gi < last; gi++) { /* groups of all images come last */
            if (r + 1 < nround && s->group.v[gi].strategy.split != XG_SPLIT_IMAGE) continue;
            f->image = r * m->cores;
            add_group(f, gi);
            release(f, last_reader, gi);
        }
    uint64_t cycles = run_segment(f, s, first, last);
    xg_arena_free(a);
    return cycles;
}

uint64_t xg_forecast(const xg_machine *m, xg_selection *s) {
    xg_arena *a = xg_arena_new(xg_arena_ctx(s->graph->arena));
    const uint32_t *run = xg_selection_runs(s, a);
    uint64_t sum = 0;
    for (uint32_t i = 0, end; i < s->group.n; i = end) {
        for (end = i; end < s->group.n && run[end] == run[i]; end++)
            s->group.v[end].cost_cycles = s->group.v[end].span_cycles = 0;
        if (s->group.v[i].where == XG_ON_ACCEL) sum += segment(m, s, i, end);
    }
    xg_arena_free(a);
    return sum;
}
