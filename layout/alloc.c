/* Addresses for on-chip buffers.
 *
 * Hard rule: buffers whose task intervals overlap share no word. Wish: buffers whose wider stage
 * intervals (a load begun early, a save still running) overlap share none either, so that engines
 * need not wait for each other. First fit, in order of birth; each buffer is first tried with the
 * wish, then with the hard rule only.
 */
#include "layout/plan_types.h"

#include <string.h>

enum { LOOK_BACK = 64 }; /* stages: the longest `ahead` that is wished */

/* A buffer of a lower number that clashes with the one at hand: where its wish to begin early is
 * `from` stages or more (0: even without; HARD: whatever it wishes). */
typedef struct clash {
    uint32_t addr, end, from;
    bool hard;
} clash;

/* By address; those that are dead are dropped now and then. */
typedef struct alive {
    xg_room *v;
    uint32_t n, cap, most;
} alive;

typedef struct alloc {
    xg_arena *tmp;
    xg_core_plan *core;
    uint32_t size[XG_TILE_MEMS];
    alive mem[XG_TILE_MEMS];
    clash *clash;
    uint32_t room; /* for clashes */
} alloc;

static uint32_t memory_size(const xg_machine *m, uint8_t mem) {
    xg_mem_desc d;
    m->family->mem_desc(m, mem, &d);
    return mem == XG_MEM_PARAM ? m->tile.param_bytes : d.depth;
}

/* First stage in which a buffer is wished to be its own. */
static uint32_t wished_first(const xg_buffer *b) {
    return b->soft_first > b->ahead ? b->soft_first - b->ahead : 0;
}

/* Drops what is dead, hard and soft, when the buffer is born: births are in order. */
static void bury(alive *l, const xg_buffer *born) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const xg_room *o = &l->v[i];
        bool dead = o->last < born->first && o->soft_last + (uint64_t)LOOK_BACK < born->soft_first;
        if (!dead) l->v[n++] = *o;
    }
    l->n = n;
    l->most = 2 * n + 16;
}

static void insert(alloc *a, uint32_t b) {
    const xg_buffer *x = &a->core->buffer.v[b];
    alive *l = &a->mem[x->mem];
    if (l->n >= l->most) bury(l, x);
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 64;
        xg_room *v = xg_newn(a->tmp, xg_room, cap);
        if (l->n) memcpy(v, l->v, l->n * sizeof *v);
        l->v = v, l->cap = cap;
    }
    uint32_t lo = 0, hi = l->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (l->v[mid].addr <= x->addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    memmove(&l->v[lo + 1], &l->v[lo], (l->n++ - lo) * sizeof *l->v);
    l->v[lo] = (xg_room){.buffer = b,
                         .addr = x->addr,
                         .end = x->addr + x->size,
                         .first = x->first,
                         .last = x->last,
                         .wished_first = wished_first(x),
                         .soft_last = x->soft_last};
}

static bool clashes(const xg_room *o, const xg_buffer *b, clash *c) {
    *c = (clash){.addr = o->addr, .end = o->end};
    c->hard = o->first <= b->last && b->first <= o->last;
    if (c->hard) return true;
    if (o->wished_first > b->soft_last) return false;
    if (b->soft_first > o->soft_last) c->from = b->soft_first - o->soft_last;
    return true;
}

/* The lowest address at which the buffer lies between those that it clashes with; v: by address. */
static bool first_fit(const clash *v, uint32_t n, uint32_t ahead, bool soft, uint32_t size,
                      xg_buffer *b) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].end <= at || !(v[i].hard || (soft && v[i].from <= ahead))) continue;
        if (v[i].addr >= at && v[i].addr - at >= b->size) break;
        at = v[i].end;
    }
    if (at > size || size - at < b->size) return false;
    b->addr = at;
    return true;
}

/* All that may clash with the buffer. */
static uint32_t find_clashes(alloc *a, const xg_buffer *b) {
    const alive *l = &a->mem[b->mem];
    uint32_t n = 0;
    if (l->n > a->room) {
        a->room = 2 * l->n;
        a->clash = xg_newn(a->tmp, clash, a->room);
    }
    for (uint32_t i = 0; i < l->n; i++) {
        clash c;
        if (clashes(&l->v[i], b, &c) && (c.hard || c.from <= b->ahead)) a->clash[n++] = c;
    }
    return n;
}

/* Halves the wish until the buffer fits; without any wish at last, or (hard) at once. */
static bool place_somehow(alloc *a, uint32_t i, bool hard) {
    xg_buffer *b = &a->core->buffer.v[i];
    if (b->parent != XG_NONE) {
        b->addr = a->core->buffer.v[b->parent].addr + b->offset;
        return true;
    }
    if (b->stays) return true; /* placed by stay.c */
    uint32_t n = find_clashes(a, b), size = a->size[b->mem];
    for (; !hard; b->ahead /= 2) {
        if (first_fit(a->clash, n, b->ahead, true, size, b)) return true;
        if (!b->ahead) break;
    }
    b->ahead = 0;
    return first_fit(a->clash, n, 0, false, size, b);
}

/* What the memory of buffer i has to hold while it lives. */
static xg_lack lack_of(const alloc *a, uint32_t i) {
    const xg_buffer *b = &a->core->buffer.v[i];
    const alive *l = &a->mem[b->mem];
    xg_lack lack = {.mem = b->mem, .need = b->size, .have = a->size[b->mem]};
    for (uint32_t k = 0; k < l->n; k++) {
        clash c;
        if (clashes(&l->v[k], b, &c) && c.hard) lack.need += c.end - c.addr;
    }
    return lack;
}

/* The lists as they were before buffer `from`. */
static void begin(alloc *a) {
    for (uint8_t mem = 0; mem < XG_TILE_MEMS; mem++) {
        alive *l = &a->mem[mem];
        l->n = a->core->alive[mem].n;
        l->most = 2 * l->n + 16;
        if (l->n > l->cap) {
            l->cap = 2 * l->n;
            l->v = xg_newn(a->tmp, xg_room, l->cap);
        }
        if (l->n) memcpy(l->v, a->core->alive[mem].v, l->n * sizeof *l->v);
    }
}

static bool place_all(alloc *a, uint32_t from, bool hard, xg_lack *lack) {
    begin(a);
    for (uint32_t b = from; b < a->core->buffer.n; b++) {
        if (!place_somehow(a, b, hard)) {
            *lack = lack_of(a, b);
            return false;
        }
        if (a->core->buffer.v[b].parent == XG_NONE) insert(a, b);
    }
    return true;
}

/* Brings the plan's lists of what is alive up to buffer `from`. An earlier `from` than last time
 * starts them anew. */
static void look_back(xg_arena *keep, alloc *a, uint32_t from) {
    xg_core_plan *core = a->core;
    if (from < core->alive_from) {
        for (uint8_t mem = 0; mem < XG_TILE_MEMS; mem++) core->alive[mem].n = 0;
        core->alive_from = 0;
    }
    begin(a);
    for (uint32_t b = core->alive_from; b < from; b++)
        if (core->buffer.v[b].parent == XG_NONE) insert(a, b);
    core->alive_from = from;
    for (uint8_t mem = 0; mem < XG_TILE_MEMS; mem++) {
        alive *l = &a->mem[mem];
        core->alive[mem].n = 0;
        for (uint32_t i = 0; i < l->n; i++) { /* tensors that stay live longer than was known */
            l->v[i].last = core->buffer.v[l->v[i].buffer].last;
            l->v[i].soft_last = core->buffer.v[l->v[i].buffer].soft_last;
        }
        if (from < core->buffer.n) bury(l, &core->buffer.v[from]);
        for (uint32_t i = 0; i < l->n; i++) xg_push_own(keep, &core->alive[mem], l->v[i]);
    }
}

/* When wishes have scattered small buffers so that a large one finds no room, the group is placed
 * without any. */
xg_status xg_alloc_buffers(xg_plan *p, xg_core_plan *core, uint32_t from) {
    alloc a = {.tmp = xg_arena_new(xg_arena_ctx(p->arena)), .core = core};
    for (uint8_t mem = XG_MEM_FM; mem < XG_TILE_MEMS; mem++)
        a.size[mem] = memory_size(p->machine, mem);
    look_back(p->draft, &a, from);
    bool ok = place_all(&a, from, false, p->lack) || place_all(&a, from, true, p->lack);
    xg_arena_free(a.tmp);
    return ok ? XG_OK : XG_LIMIT;
}
