/* Addresses for on-chip buffers.
 *
 * Hard rule: buffers whose task intervals overlap share no word. Wish: buffers whose wider stage
 * intervals (a load begun early, a save still running) overlap share none either, so that engines
 * need not wait for each other. First fit, in order of birth; each buffer is first tried with the
 * wish, then with the hard rule only.
 */
#include "layout/plan_types.h"

#include "isa/tile.h"

enum { LOOK_BACK = 64 }; /* stages: the longest `ahead` that is wished */

static uint32_t memory_size(const xg_machine *m, uint8_t mem) {
    xg_mem_desc d;
    m->family->mem_desc(m, mem, &d);
    return mem == XG_MEM_PARAM ? m->tile.param_bytes : d.depth;
}

/* First stage in which a buffer is wished to be its own. */
static uint32_t wished_first(const xg_buffer *b) {
    return b->soft_first > b->ahead ? b->soft_first - b->ahead : 0;
}

static bool clash(const xg_buffer *a, const xg_buffer *b, bool soft) {
    if (a->first <= b->last && b->first <= a->last) return true;
    return soft && wished_first(a) <= b->soft_last && wished_first(b) <= a->soft_last;
}

/* Buffers of lower numbers that may clash with the one at hand, by address. */
typedef struct alive {
    uint32_t *v, n;
} alive;

static void insert(const xg_core_plan *core, alive *l, uint32_t b) {
    uint32_t i = l->n++;
    for (; i && core->buffer.v[l->v[i - 1]].addr > core->buffer.v[b].addr; i--)
        l->v[i] = l->v[i - 1];
    l->v[i] = b;
}

/* The lowest address at which the buffer lies between those that it clashes with. */
static bool place_buffer(xg_core_plan *core, const alive *l, uint32_t b, uint32_t size, bool soft) {
    xg_buffer *buf = &core->buffer.v[b];
    uint32_t at = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const xg_buffer *o = &core->buffer.v[l->v[i]];
        if (o->mem != buf->mem || o->addr + o->size <= at || !clash(o, buf, soft)) continue;
        if (o->addr >= at && o->addr - at >= buf->size) break;
        at = o->addr + o->size;
    }
    if (at > size || size - at < buf->size) return false;
    buf->addr = at;
    return true;
}

/* Drops the buffers that are dead, hard and soft, when buffer b is born: births are in order. */
static void bury(const xg_core_plan *core, alive *l, uint32_t b) {
    const xg_buffer *buf = &core->buffer.v[b];
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const xg_buffer *o = &core->buffer.v[l->v[i]];
        bool dead = o->last < buf->first && o->soft_last + (uint64_t)LOOK_BACK < buf->soft_first;
        if (!dead) l->v[n++] = l->v[i];
    }
    l->n = n;
}

/* Halves the wish until the buffer fits; without any wish at last, or (hard) at once. */
static bool place_somehow(xg_core_plan *core, alive *l, uint32_t b, uint32_t size, bool hard) {
    xg_buffer *buf = &core->buffer.v[b];
    if (buf->parent != XG_NONE) {
        buf->addr = core->buffer.v[buf->parent].addr + buf->offset;
        return true;
    }
    if (buf->stays) return true; /* placed by stay.c */
    for (; !hard; buf->ahead /= 2) {
        if (place_buffer(core, l, b, size, true)) return true;
        if (!buf->ahead) break;
    }
    buf->ahead = 0;
    return place_buffer(core, l, b, size, false);
}

/* What the memory of buffer b has to hold while b lives. */
static xg_lack lack_of(const xg_core_plan *core, const alive *l, uint32_t b, uint32_t size) {
    const xg_buffer *buf = &core->buffer.v[b];
    xg_lack lack = {.mem = buf->mem, .need = buf->size, .have = size};
    for (uint32_t i = 0; i < l->n; i++) {
        const xg_buffer *o = &core->buffer.v[l->v[i]];
        if (o->mem == buf->mem && clash(o, buf, false)) lack.need += o->size;
    }
    return lack;
}

static bool place_all(const xg_machine *m, xg_core_plan *core, uint32_t from, bool hard, alive *l,
                      xg_lack *lack) {
    uint32_t size[XG_TILE_MEMS] = {0};
    for (uint8_t mem = XG_MEM_FM; mem < XG_TILE_MEMS; mem++) size[mem] = memory_size(m, mem);
    l->n = core->alive.n;
    for (uint32_t i = 0; i < l->n; i++) l->v[i] = core->alive.v[i];
    for (uint32_t b = from; b < core->buffer.n; b++) {
        bury(core, l, b);
        uint32_t room = size[core->buffer.v[b].mem];
        if (!place_somehow(core, l, b, room, hard)) {
            *lack = lack_of(core, l, b, room);
            return false;
        }
        if (core->buffer.v[b].parent == XG_NONE) insert(core, l, b);
    }
    return true;
}

/* Brings the plan's list of what is alive up to buffer `from`. An earlier `from` than last time
 * starts it anew. */
static void look_back(xg_arena *a, xg_core_plan *core, uint32_t from, alive *l) {
    if (from < core->alive_from) core->alive.n = core->alive_from = 0;
    l->n = core->alive.n;
    for (uint32_t i = 0; i < l->n; i++) l->v[i] = core->alive.v[i];
    for (uint32_t b = core->alive_from; b < from; b++) {
        if (l->n > LOOK_BACK) bury(core, l, b);
        if (core->buffer.v[b].parent == XG_NONE) insert(core, l, b);
    }
    if (from < core->buffer.n) bury(core, l, from);
    core->alive.n = 0;
    for (uint32_t i = 0; i < l->n; i++) xg_push(a, &core->alive, l->v[i]);
    core->alive_from = from;
}

/* When wishes have scattered small buffers so that a large one finds no room, the group is placed
 * without any. */
xg_status xg_alloc_buffers(xg_plan *p, xg_core_plan *core, uint32_t from) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(p->arena));
    uint32_t known = from < core->alive_from ? 0 : core->alive_from;
    uint32_t most = core->alive.n + core->buffer.n - known;
    alive l = {xg_newn(tmp, uint32_t, most), 0};
    look_back(p->draft, core, from, &l);
    bool ok = place_all(p->machine, core, from, false, &l, p->lack) ||
              place_all(p->machine, core, from, true, &l, p->lack);
    xg_arena_free(tmp);
    return ok ? XG_OK : XG_LIMIT;
}
