/* Places of buffers on chip, as layout/alloc.c finds them, and who used them before. */
#include "fusion/forecast_inner.h"

#include <stdlib.h>

enum { LOOK_BACK = 64 };

typedef struct span {
    uint32_t lo, hi;
} span;

static uint32_t memory_size(const xg_machine *m, uint8_t mem) {
    return mem == XG_MEM_PARAM ? m->tile.param_bytes
           : mem == XG_MEM_W   ? m->tile.w_depth
                               : m->tile.fm_depth;
}

static uint32_t wished_first(const xg_fc_buffer *b) {
    return b->soft_first > b->ahead ? b->soft_first - b->ahead : 0;
}

static bool clash(const xg_fc_buffer *a, const xg_fc_buffer *b, bool soft) {
    if (a->first <= b->last && b->first <= a->last) return true;
    return soft && wished_first(a) <= b->soft_last && wished_first(b) <= a->soft_last;
}

static uint32_t first_fit(span *taken, uint32_t n, uint32_t want, uint32_t size) {
    for (uint32_t i = 1; i < n; i++) { /* few, and nearly in order */
        span x = taken[i];
        uint32_t j = i;
        for (; j > 0 && taken[j - 1].lo > x.lo; j--) taken[j] = taken[j - 1];
        taken[j] = x;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (taken[i].lo >= at && taken[i].lo - at >= want) return at;
        if (taken[i].hi > at) at = taken[i].hi;
    }
    return size >= at && size - at >= want ? at : UINT32_MAX;
}

static bool place_buffer(xg_forecaster *f, uint32_t b, bool soft, span *taken) {
    xg_fc_buffer *buf = &f->buffer.v[b];
    uint32_t n = 0, size = memory_size(f->m, buf->mem);
    for (uint32_t i = f->lowest; i < b; i++) {
        const xg_fc_buffer *o = &f->buffer.v[i];
        if (o->mem != buf->mem || o->parent != XG_NONE || !clash(o, buf, soft)) continue;
        taken[n++] = (span){o->addr, o->addr + o->size};
    }
    uint32_t at = first_fit(taken, n, buf->size, size);
    if (at == UINT32_MAX) return false;
    buf->addr = at;
    return true;
}

static bool place_somehow(xg_forecaster *f, uint32_t b, bool hard, span *taken) {
    xg_fc_buffer *buf = &f->buffer.v[b];
    if (buf->parent != XG_NONE || buf->stays) return true;
    for (; !hard; buf->ahead /= 2) {
        if (place_buffer(f, b, true, taken)) return true;
        if (!buf->ahead) break;
    }
    buf->ahead = 0;
    if (place_buffer(f, b, false, taken)) return true;
    buf->addr = 0;
    return false;
}

static void drop_dead(xg_forecaster *f, uint32_t b) {
    const xg_fc_buffer *buf = &f->buffer.v[b];
    while (f->lowest < b) {
        const xg_fc_buffer *o = &f->buffer.v[f->lowest];
        if (o->last >= buf->first || o->soft_last + LOOK_BACK >= buf->soft_first) break;
        f->lowest++;
    }
}

/* ---- who used the place before
 * ---------------------------------------------------------------------------- */

typedef struct piece {
    uint32_t lo, hi, owner;
} piece;
typedef XG_VEC(piece) pieces;

typedef struct birth {
    uint32_t step, buffer;
} birth;

static int by_birth(const void *a, const void *b) {
    const birth *x = a, *y = b;
    if (x->step != y->step) return x->step < y->step ? -1 : 1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

static uint32_t open_event(uint32_t b) {
    return (uint32_t)XG_PIPE_EVENT + 2 * b;
}

/* Cuts the buffer's words out of the pieces; who had a part of them is over before. */
static void take_words(xg_forecaster *f, xg_arena *tmp, pieces *v, uint32_t b) {
    const xg_fc_buffer *x = &f->buffer.v[b];
    uint32_t lo = x->addr, hi = x->addr + x->size;
    pieces next = {0};
    xg_reserve(tmp, &next, v->n + 2);
    for (uint32_t i = 0; i < v->n; i++) {
        piece p = v->v[i];
        if (p.lo >= hi || p.hi <= lo) {
            xg_push(tmp, &next, p);
            continue;
        }
        xg_fc_order(f, open_event(p.owner) + 1, open_event(b));
        if (p.lo < lo) xg_push(tmp, &next, ((piece){p.lo, lo, p.owner}));
        if (p.hi > hi) xg_push(tmp, &next, ((piece){hi, p.hi, p.owner}));
    }
    xg_push(tmp, &next, ((piece){lo, hi, b}));
    *v = next;
}

void xg_fc_order_buffers(xg_forecaster *f, uint32_t from) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(f->a));
    pieces mem[XG_TILE_MEMS] = {0};
    birth *v = xg_newn(tmp, birth, f->buffer.n - from + 1);
    uint32_t n = 0;
    for (uint32_t b = from; b < f->buffer.n; b++) {
        const xg_fc_buffer *x = &f->buffer.v[b];
        if (x->born != XG_NONE && x->size) v[n++] = (birth){x->born, b};
    }
    qsort(v, n, sizeof *v, by_birth);
    for (uint32_t i = 0; i < n; i++)
        take_words(f, tmp, &mem[f->buffer.v[v[i].buffer].mem], v[i].buffer);
    xg_arena_free(tmp);
}

/* ---- both ways
 * --------------------------------------------------------------------------------------------- */

static bool place_all(xg_forecaster *f, uint32_t from, span *taken) {
    uint32_t lowest = f->lowest;
    bool ok = true;
    for (uint32_t b = from; b < f->buffer.n && ok; b++) {
        drop_dead(f, b);
        ok = place_somehow(f, b, false, taken);
    }
    f->lowest = lowest;
    if (ok) return true;
    ok = true;
    for (uint32_t b = from; b < f->buffer.n; b++) ok &= place_somehow(f, b, true, taken);
    return ok;
}

static uint64_t span_of(xg_forecaster *f, uint32_t from, uint32_t step, uint32_t edge) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(f->a));
    uint32_t edges = f->edge.n;
    xg_fc_order_buffers(f, from);
    xg_pipe p = {.m = f->m,
                 .step = f->step.v + step,
                 .nstep = f->step.n - step,
                 .step0 = step,
                 .nevent = 2 * (f->buffer.n - from),
                 .event0 = 2 * from,
                 .edge = f->edge.v + edge,
                 .nedge = f->edge.n - edge};
    uint64_t cycles = xg_pipe_span(tmp, &p);
    f->edge.n = edges;
    xg_arena_free(tmp);
    return cycles;
}

void xg_fc_place(xg_forecaster *f, uint32_t from, uint32_t step, uint32_t edge) {
    if (from == f->buffer.n) return;
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(f->a));
    span *taken = xg_newn(tmp, span, f->buffer.n - f->lowest + 1);
    uint64_t least = UINT64_MAX;
    uint32_t best = 0;
    bool free_wish = false;
    for (uint32_t b = from; b < f->buffer.n; b++) {
        f->buffer.v[b].wish = f->buffer.v[b].ahead;
        free_wish |= f->buffer.v[b].made;
    }
    for (uint32_t way = 0; way < 3; way++) { /* the third: the better one again */
        if (way == 2 && best == 1) break;
        if (way && !free_wish) break;
        for (uint32_t b = from; b < f->buffer.n; b++) {
            xg_fc_buffer *x = &f->buffer.v[b];
            x->ahead = way == 1 && x->made ? 0 : x->wish;
        }
        bool ok = place_all(f, from, taken);
        if (way == 2 || !free_wish) break;
        uint64_t cycles = ok ? span_of(f, from, step, edge) : UINT64_MAX;
        if (cycles < least) least = cycles, best = way;
    }
    for (uint32_t b = from; b < f->buffer.n; b++) drop_dead(f, b);
    xg_arena_free(tmp);
}
