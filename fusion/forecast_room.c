/* Places of buffers on chip, as layout/alloc.c finds them; what stays on chip only takes room. */
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
        if (o->stays)
            size -= o->size < size ? o->size : size;
        else
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

/* The buffer hides what lay at its place; the step waits until that is no longer touched. */
static void cover(xg_forecaster *f, uint32_t b, xg_pipe_step *s) {
    xg_fc_buffer *buf = &f->buffer.v[b];
    if (buf->seen || buf->stays) return;
    buf->seen = true;
    uint32_t n = 0, mem = buf->mem;
    for (uint32_t i = 0; i < f->visible[mem].n; i++) {
        uint32_t k = f->visible[mem].v[i];
        const xg_fc_buffer *o = &f->buffer.v[k];
        bool apart = o->addr + o->size <= buf->addr || buf->addr + buf->size <= o->addr;
        bool hidden = o->addr >= buf->addr && o->addr + o->size <= buf->addr + buf->size;
        for (int e = 0; !apart && e < XG_FC_ENGINES; e++)
            if (o->touched[e] > s->need[e] && e != s->engine) s->need[e] = o->touched[e];
        if (!hidden) f->visible[mem].v[n++] = k;
    }
    f->visible[mem].n = n;
    xg_push(f->a, &f->visible[mem], b);
}

static uint32_t whole(const xg_forecaster *f, uint32_t b) {
    while (b != XG_NONE && f->buffer.v[b].parent != XG_NONE) b = f->buffer.v[b].parent;
    return b;
}

void xg_fc_place(xg_forecaster *f, uint32_t from, uint32_t first_step) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(f->a));
    span *taken = xg_newn(tmp, span, f->buffer.n - f->lowest + 1);
    uint32_t lowest = f->lowest;
    bool ok = true;
    for (uint32_t b = from; b < f->buffer.n && ok; b++) {
        drop_dead(f, b);
        ok = place_somehow(f, b, false, taken);
    }
    if (!ok) f->lowest = lowest;
    for (uint32_t b = from; b < f->buffer.n && !ok; b++) (void)place_somehow(f, b, true, taken);
    xg_arena_free(tmp);
    for (uint32_t i = first_step; i < f->step.n; i++) {
        uint32_t out = whole(f, f->out.v[i]), out2 = whole(f, f->out2.v[i]);
        if (out != XG_NONE) cover(f, out, &f->step.v[i]);
        if (out2 != XG_NONE) cover(f, out2, &f->step.v[i]);
    }
}
