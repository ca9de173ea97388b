/* Addresses for on-chip buffers.
 *
 * Hard rule: buffers whose task intervals overlap share no word. Wish: buffers whose wider stage
 * intervals (a load begun early, a save still running) overlap share none either, so that engines
 * need not wait for each other. First fit, in order of birth; each buffer is first tried with the
 * wish, then with the hard rule only.
 */
#include "layout/plan_types.h"

#include "isa/tile.h"

#include <stdlib.h>

enum { LOOK_BACK = 64 }; /* stages: the longest `ahead` that is wished */

typedef struct span {
    uint32_t lo, hi;
} span;

static uint32_t memory_size(const xg_machine *m, uint8_t mem) {
    xg_mem_desc d;
    m->family->mem_desc(m, mem, &d);
    return mem == XG_MEM_PARAM ? m->tile.param_bytes : d.depth;
}

static int by_start(const void *a, const void *b) {
    const span *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* First stage in which a buffer is wished to be its own. */
static uint32_t wished_first(const xg_buffer *b) {
    return b->soft_first > b->ahead ? b->soft_first - b->ahead : 0;
}

static bool clash(const xg_buffer *a, const xg_buffer *b, bool soft) {
    if (a->first <= b->last && b->first <= a->last) return true;
    return soft && wished_first(a) <= b->soft_last && wished_first(b) <= a->soft_last;
}

/* Lowest address where want words fit between the taken spans, or UINT32_MAX. */
static uint32_t first_fit(span *taken, uint32_t n, uint32_t want, uint32_t size) {
    qsort(taken, n, sizeof *taken, by_start);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (taken[i].lo >= at && taken[i].lo - at >= want) return at;
        if (taken[i].hi > at) at = taken[i].hi;
    }
    return size >= at && size - at >= want ? at : UINT32_MAX;
}

static bool place_buffer(xg_core_plan *core, uint32_t lowest, uint32_t b, uint32_t size, bool soft,
                         span *taken) {
    xg_buffer *buf = &core->buffer.v[b];
    uint32_t n = 0;
    for (uint32_t i = lowest; i < b; i++) {
        const xg_buffer *o = &core->buffer.v[i];
        if (o->mem == buf->mem && o->parent == XG_NONE && clash(o, buf, soft))
            taken[n++] = (span){o->addr, o->addr + o->size};
    }
    uint32_t at = first_fit(taken, n, buf->size, size);
    if (at == UINT32_MAX) return false;
    buf->addr = at;
    return true;
}

/* Buffers before the result are dead, hard and soft, when buffer b is born. */
static uint32_t first_alive(const xg_core_plan *core, uint32_t lowest, uint32_t b) {
    const xg_buffer *buf = &core->buffer.v[b];
    while (lowest < b) {
        const xg_buffer *o = &core->buffer.v[lowest];
        if (o->last >= buf->first || o->soft_last + LOOK_BACK >= buf->soft_first) break;
        lowest++;
    }
    return lowest;
}

/* Halves the wish until the buffer fits; without any wish at last, or (hard) at once. */
static bool place_somehow(xg_core_plan *core, uint32_t lowest, uint32_t b, uint32_t size, bool hard,
                          span *taken) {
    xg_buffer *buf = &core->buffer.v[b];
    if (buf->parent != XG_NONE) {
        buf->addr = core->buffer.v[buf->parent].addr + buf->offset;
        return true;
    }
    if (buf->stays) return true; /* placed by stay.c */
    for (; !hard; buf->ahead /= 2) {
        if (place_buffer(core, lowest, b, size, true, taken)) return true;
        if (!buf->ahead) break;
    }
    buf->ahead = 0;
    return place_buffer(core, lowest, b, size, false, taken);
}

/* What the memory of buffer b has to hold while b lives. */
static xg_lack lack_of(const xg_core_plan *core, uint32_t lowest, uint32_t b, uint32_t size) {
    const xg_buffer *buf = &core->buffer.v[b];
    xg_lack lack = {buf->mem, buf->size, size};
    for (uint32_t i = lowest; i < b; i++) {
        const xg_buffer *o = &core->buffer.v[i];
        if (o->mem == buf->mem && o->parent == XG_NONE && clash(o, buf, false))
            lack.need += o->size;
    }
    return lack;
}

static bool place_all(const xg_machine *m, xg_core_plan *core, uint32_t from, bool hard,
                      span *taken, xg_lack *lack) {
    uint32_t size[XG_TILE_MEMS] = {0}, lowest = 0;
    for (uint8_t mem = XG_MEM_FM; mem < XG_TILE_MEMS; mem++) size[mem] = memory_size(m, mem);
    for (uint32_t b = from; b < core->buffer.n; b++) {
        lowest = first_alive(core, lowest, b);
        uint32_t room = size[core->buffer.v[b].mem];
        if (place_somehow(core, lowest, b, room, hard, taken)) continue;
        *lack = lack_of(core, lowest, b, room);
        return false;
    }
    return true;
}

/* When wishes have scattered small buffers so that a large one finds no room, the group is placed
 * without any. */
xg_status xg_alloc_buffers(xg_plan *p, xg_core_plan *core, uint32_t from) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(p->arena));
    span *taken = xg_newn(tmp, span, core->buffer.n);
    bool ok = place_all(p->machine, core, from, false, taken, &p->lack) ||
              place_all(p->machine, core, from, true, taken, &p->lack);
    xg_arena_free(tmp);
    return ok ? XG_OK : XG_LIMIT;
}
