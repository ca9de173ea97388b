/* Which task of a core must come after which, from the words and bytes that they touch.
 *
 * On chip, buffers that share words follow each other in the order of their birth: all tasks of one
 * before all of the next. Within one buffer (and its parts) tasks keep their order where they touch
 * the same rows, columns and channel words and one of them writes. In DDR the same holds for bytes.
 * SIGNAL comes after all transfers of maps before it, such transfers after the AWAIT before them.
 */
#include "layout/order.h"

#include "isa/tile.h"

#include <stdlib.h>

enum { AXES = 3, PAGE_SHIFT = 16, PAGES = 512, LONG_LIST = 96 };

/* What a task touches of one buffer: rows (of a ring of so many, 0: none), columns, channel words.
 * Of DDR: bytes from first to last, and bytes of a pixel (all when pixels are not comparable). */
typedef struct access {
    uint32_t task, tensor_root, ring;
    bool write;
    uint32_t lo[AXES], hi[AXES];
} access;
typedef XG_VEC(access) accesses;

typedef struct edge {
    uint32_t from, to;
} edge;

typedef struct piece {
    uint32_t lo, hi, owner;
} piece;
typedef XG_VEC(piece) pieces;

struct xg_depend {
    xg_arena *tmp;
    const xg_plan *p;
    const xg_core_plan *core;
    xg_words *words; /* NULL: by buffers */
    /* Roots that the tasks touch have slots: that of buffer b is b - lo, or one behind those for a
     * tensor that stays from groups before. */
    uint32_t lo, nslot;
    XG_VEC(uint32_t) old;  /* such tensors' buffers, rising */
    accesses *buffer;      /* [slots], of roots that are alive */
    XG_VEC(accesses) idle; /* lists of dead ones, to be used again: there are millions of buffers */
    uint32_t *born, *last; /* [slots] first task that touches a root, XG_NONE; last task */
    accesses *page; /* [2][PAGES]: workspace and outputs, by address / 2^PAGE_SHIFT, wrapping */
    uint32_t n;     /* tasks */
    XG_VEC(edge) edge;
    XG_VEC(uint32_t) transfers; /* of maps, since the last SIGNAL */
    uint32_t edges;             /* that hold whatever the addresses */
    uint32_t signal, await;
};

static void need(xg_depend *d, uint32_t from, uint32_t to) {
    if (from != XG_NONE && from != to) xg_push_own(d->tmp, &d->edge, (edge){from, to});
}

static uint32_t root_of(const xg_core_plan *core, uint32_t b, uint32_t *offset) {
    for (*offset = 0; core->buffer.v[b].parent != XG_NONE; b = core->buffer.v[b].parent)
        *offset += core->buffer.v[b].offset;
    return b;
}

static uint32_t slot_of(const xg_depend *d, uint32_t b, uint32_t *offset) {
    uint32_t root = root_of(d->core, b, offset), lo = 0, hi = d->old.n;
    if (root >= d->lo) return root - d->lo;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (d->old.v[mid] <= root)
            lo = mid;
        else
            hi = mid;
    }
    return d->core->buffer.n - d->lo + lo;
}

static uint32_t buffer_in(const xg_depend *d, uint32_t slot) {
    uint32_t own = d->core->buffer.n - d->lo;
    return slot < own ? slot + d->lo : d->old.v[slot - own];
}

/* Rows of a ring: whether a's begin among b's or the other way round. */
static bool rows_meet(const access *a, const access *b) {
    uint32_t r = a->ring, x = a->lo[0] % r, y = b->lo[0] % r;
    return (y + r - x) % r < a->hi[0] - a->lo[0] || (x + r - y) % r < b->hi[0] - b->lo[0];
}

/* In DDR, bytes of a pixel (axis 1) are compared within one tensor's memory only. */
static bool overlap(const access *a, const access *b) {
    for (int k = 0; k < AXES; k++) {
        if (k == 0 && a->ring && a->ring == b->ring) {
            if (!rows_meet(a, b)) return false;
            continue;
        }
        if (k == 1 && a->tensor_root != b->tensor_root) continue;
        if (a->lo[k] >= b->hi[k] || b->lo[k] >= a->hi[k]) return false;
    }
    return true;
}

/* x comes after those that it conflicts with, and joins them. A list that has become long is
 * closed: x comes after all of it, and what follows after x. */
static void join(xg_depend *d, accesses *all, const access *x) {
    bool close = all->n >= LONG_LIST;
    for (uint32_t i = 0; i < all->n; i++)
        if (close || ((x->write || all->v[i].write) && overlap(&all->v[i], x)))
            need(d, all->v[i].task, x->task);
    if (close) all->n = 0;
    xg_push(d->tmp, all, *x);
    if (!close) return;
    access *only = &all->v[0];
    only->write = true;
    only->ring = 0;
    only->tensor_root = XG_NONE;
    for (int k = 0; k < AXES; k++) only->lo[k] = 0, only->hi[k] = UINT32_MAX;
}

/* ---- on chip
 * ------------------------------------------------------------------------------------------ */

/* s: the part of the buffer in its own coordinates; NULL: all of it. */
static void touch(xg_depend *d, uint32_t task, uint32_t b, const xg_slice *s, bool write) {
    if (b == XG_NONE) return;
    const xg_buffer *x = &d->core->buffer.v[b];
    bool part = s && x->mem == XG_MEM_FM && !x->fold && s->h0 >= x->s.h0 && s->w0 >= x->s.w0 &&
                s->c0 >= x->s.c0;
    if (d->words) {
        part ? xg_words_touch(d->words, x, s, write) : xg_words_touch_all(d->words, x, write);
        return;
    }
    uint32_t offset, root = slot_of(d, b, &offset), n = d->n;
    access a = {.task = task, .write = write, .hi = {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    if (part) {
        uint32_t icp = d->p->machine->tile.icp;
        a.ring = x->ring;
        a.lo[0] = s->h0 - x->s.h0, a.hi[0] = s->h1 - x->s.h0;
        a.lo[1] = s->w0 - x->s.w0, a.hi[1] = s->w1 - x->s.w0;
        a.lo[2] = offset + (s->c0 - x->s.c0) / icp;
        a.hi[2] = offset + (uint32_t)xg_ceil_div(s->c1 - x->s.c0, icp);
    }
    if (d->born[root] == XG_NONE) d->born[root] = task;
    if (!d->buffer[root].cap && d->idle.n) d->buffer[root] = d->idle.v[--d->idle.n];
    join(d, &d->buffer[root], &a);
    need(d, xg_order_open(n, root), task);
    need(d, task, xg_order_close(n, root));
}

static bool same_rows(const xg_task *a, const xg_task *b) {
    return a->kind == b->kind && a->node == b->node && a->in == b->in && a->out == b->out &&
           a->s.h0 == b->s.h0 && a->s.w0 == b->s.w0;
}

/* By words: parts of a row group, one for each block of channels, read the same rows and fill the
 * same. It is their first and their last that touch them, for all. False for others. */
static bool row_group(const xg_depend *d, uint32_t i, const xg_task *t, xg_slice *made) {
    uint32_t before = 0, after = 0;
    *made = t->s;
    if (!d->words || t->kind != XG_TASK_CONV) return true;
    bool follows = i && same_rows(t - 1, t), goes_on = i + 1 < d->n && same_rows(t, t + 1);
    if (follows && goes_on) return false;
    while (before < i && same_rows(t - before - 1, t)) before++;
    while (i + after + 1 < d->n && same_rows(t, t + after + 1)) after++;
    made->c0 = (t - before)->s.c0;
    made->c1 = (t + after)->s.c1;
    return true;
}

static void touch_operands(xg_depend *d, uint32_t i, const xg_task *t) {
    bool compute = t->kind == XG_TASK_CONV || t->kind == XG_TASK_POOL || t->kind == XG_TASK_ELEW;
    xg_slice need_a = t->s, need_b = t->s;
    if (compute) {
        const xg_graph *g = xg_plan_graph(d->p, &d->p->sel->group.v[t->group]);
        const xg_node *n = xg_nodep(g, t->node);
        need_a = xg_need(g, n, 0, &t->s);
        if (t->in2 != XG_NONE) need_b = xg_need(g, n, 1, &t->s);
    }
    bool copies = !compute && t->node != XG_NONE &&
                  xg_nodep(d->p->graph, t->node)->op == XG_OP_Concat; /* other coordinates */
    bool saves_copy = t->kind == XG_TASK_SAVE && d->core->buffer.v[t->in].tensor != t->tensor;
    xg_slice made;
    bool maps = row_group(d, i, t, &made);
    if (maps) touch(d, i, t->in, copies || saves_copy ? NULL : &need_a, false);
    touch(d, i, t->in2, &need_b, false);
    touch(d, i, t->w, NULL, false);
    touch(d, i, t->p, NULL, false);
    touch(d, i, t->psum, NULL, true);
    if (t->kind == XG_TASK_LOAD) made = xg_loaded_slice(t);
    if (maps) touch(d, i, t->out, t->kind == XG_TASK_LOADC ? NULL : &made, true);
}

typedef struct operands {
    uint32_t v[6];
} operands;

static operands operands_of(const xg_task *t) {
    return (operands){{t->in, t->in2, t->w, t->p, t->psum, t->out}};
}

/* Lists of buffers that no later task touches. */
static void bury(xg_depend *d, uint32_t i, const xg_task *t) {
    const operands o = operands_of(t);
    for (size_t k = 0; k < XG_COUNT(o.v); k++) {
        if (o.v[k] == XG_NONE) continue;
        uint32_t offset, root = slot_of(d, o.v[k], &offset);
        if (d->last[root] != i || !d->buffer[root].cap) continue;
        d->buffer[root].n = 0;
        xg_push(d->tmp, &d->idle, d->buffer[root]);
        d->buffer[root].cap = 0;
    }
}

static int by_number(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The first root of the tasks' own, and those of tensors that stay. */
static void find_roots(xg_depend *d, uint32_t first) {
    uint32_t offset, n = 0;
    d->lo = d->core->buffer.n;
    for (uint32_t i = 0; i < 2 * d->n; i++) {
        const operands o = operands_of(&d->core->task.v[first + i % d->n]);
        for (size_t k = 0; k < XG_COUNT(o.v); k++) {
            if (o.v[k] == XG_NONE) continue;
            uint32_t root = root_of(d->core, o.v[k], &offset);
            bool old = d->core->buffer.v[root].stays;
            if (i < d->n && !old && root < d->lo) d->lo = root;
            if (i >= d->n && old && root < d->lo) xg_push(d->tmp, &d->old, root);
        }
    }
    if (d->old.n) qsort(d->old.v, d->old.n, sizeof *d->old.v, by_number);
    for (uint32_t i = 0; i < d->old.n; i++)
        if (!i || d->old.v[i] != d->old.v[i - 1]) d->old.v[n++] = d->old.v[i];
    d->old.n = n;
    d->nslot = d->core->buffer.n - d->lo + n;
}

/* Slots, with the last task of each. */
static void make_slots(xg_depend *d, uint32_t first) {
    uint32_t offset;
    find_roots(d, first);
    d->buffer = xg_newn(d->tmp, accesses, d->nslot + 1);
    d->born = xg_newn(d->tmp, uint32_t, d->nslot + 1);
    d->last = xg_newn(d->tmp, uint32_t, d->nslot + 1);
    for (uint32_t b = 0; b < d->nslot; b++) d->born[b] = XG_NONE;
    for (uint32_t i = 0; i < d->n; i++) {
        const operands o = operands_of(&d->core->task.v[first + i]);
        for (size_t k = 0; k < XG_COUNT(o.v); k++)
            if (o.v[k] != XG_NONE) d->last[slot_of(d, o.v[k], &offset)] = i;
    }
}

typedef struct birth {
    uint32_t first, buffer;
} birth;

static int by_birth(const void *a, const void *b) {
    const birth *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

/* Cuts [lo, hi) out of the pieces in v[0], by way of v[1]; those that had a part of it come before
 * buffer b. */
static void take_words(xg_depend *d, pieces v[2], uint32_t lo, uint32_t hi, uint32_t b) {
    uint32_t n = d->n;
    pieces next = v[1];
    next.n = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        piece p = v->v[i];
        if (p.lo >= hi || p.hi <= lo) {
            xg_push(d->tmp, &next, p);
            continue;
        }
        need(d, xg_order_close(n, p.owner), xg_order_open(n, b));
        if (p.lo < lo) xg_push(d->tmp, &next, (piece){p.lo, lo, p.owner});
        if (p.hi > hi) xg_push(d->tmp, &next, (piece){hi, p.hi, p.owner});
    }
    xg_push(d->tmp, &next, (piece){lo, hi, b});
    v[1] = v[0];
    v[0] = next;
}

static void order_buffers(xg_depend *d) {
    pieces mem[XG_TILE_MEMS][2] = {0};
    uint32_t n = 0;
    birth *v = xg_newn(d->tmp, birth, d->nslot + 1);
    for (uint32_t b = 0; b < d->nslot; b++)
        if (d->born[b] != XG_NONE) v[n++] = (birth){d->born[b], b};
    qsort(v, n, sizeof *v, by_birth);
    for (uint32_t i = 0; i < n; i++) {
        const xg_buffer *x = &d->core->buffer.v[buffer_in(d, v[i].buffer)];
        take_words(d, mem[x->mem], x->addr, x->addr + x->size, v[i].buffer);
    }
}

/* ---- DDR
 * ----------------------------------------------------------------------------------------------
 */

static uint32_t memory_root(const xg_plan *p, uint32_t t) {
    while (p->place[t].root != t) t = p->place[t].root;
    return t;
}

static void transfer(xg_depend *d, uint32_t i, const xg_task *t) {
    const xg_place seen = xg_seen_place(d->p, t->tensor, &t->s,
                                        d->p->sel->group.v[t->group].strategy.flat),
                   *pl = &seen;
    xg_push(d->tmp, &d->transfers, i);
    need(d, d->await, i);
    if (pl->region != XG_REG_WORK && pl->region != XG_REG_OUT) return;
    if (d->words) {
        xg_words_transfer(d->words, pl, &t->s, t->kind == XG_TASK_SAVE);
        return;
    }
    uint32_t root = memory_root(d->p, t->tensor);
    const xg_place *whole = &d->p->place[root].place;
    const xg_slice *s = &t->s;
    access a = {.task = i,
                .tensor_root = root,
                .write = t->kind == XG_TASK_SAVE,
                .hi = {0, UINT32_MAX, UINT32_MAX}};
    uint32_t ch = s->c1 - s->c0;
    a.lo[0] = (uint32_t)xg_place_address(pl, s);
    a.hi[0] =
        a.lo[0] + (s->h1 - s->h0 - 1) * pl->row_step + (s->w1 - s->w0 - 1) * pl->pix_step + ch;
    bool lanes = pl->pix_step == whole->pix_step && pl->pix_step && a.lo[0] >= whole->addr &&
                 whole->row_step % pl->pix_step == 0 && whole->image_step % pl->pix_step == 0;
    if (lanes) a.lo[1] = (a.lo[0] - whole->addr) % pl->pix_step, a.hi[1] = a.lo[1] + ch;
    uint32_t base = pl->region == XG_REG_OUT ? PAGES : 0, k = a.lo[0] >> PAGE_SHIFT;
    uint32_t end = (a.hi[0] - 1) >> PAGE_SHIFT;
    if (end - k >= PAGES) end = k + PAGES - 1;
    for (; k <= end; k++) {
        join(d, &d->page[base + k % PAGES], &a);
    }
}

static void barrier(xg_depend *d, uint32_t i, bool signal) {
    if (signal) {
        for (uint32_t k = 0; k < d->transfers.n; k++) need(d, d->transfers.v[k], i);
        d->transfers.n = 0;
        need(d, d->signal, i);
        d->signal = i;
    } else {
        need(d, d->signal, i);
        need(d, d->await, i);
        d->await = i;
    }
}

/* ---- the graph
 * ----------------------------------------------------------------------------------------
 */

static xg_depend *begin(const xg_plan *p, const xg_core_plan *core, uint32_t first, xg_arena *a) {
    xg_depend *d = xg_new(a, xg_depend);
    *d = (xg_depend){.tmp = a,
                     .p = p,
                     .core = core,
                     .n = core->task.n - first,
                     .signal = XG_NONE,
                     .await = XG_NONE};
    return d;
}

/* cost: for the engines, when words are compared. */
static void depend_all(xg_depend *d, uint32_t first, const xg_task_cost *cost) {
    d->page = xg_newn(d->tmp, accesses, 2 * PAGES);
    for (uint32_t i = 0; i < d->n; i++) {
        const xg_task *t = &d->core->task.v[first + i];
        if (t->kind == XG_TASK_SIGNAL || t->kind == XG_TASK_AWAIT) {
            barrier(d, i, t->kind == XG_TASK_SIGNAL);
            continue;
        }
        if (d->words) xg_words_begin(d->words, i, cost[i].engine);
        touch_operands(d, i, t);
        if (!d->words) bury(d, i, t);
        if (t->kind == XG_TASK_LOAD || t->kind == XG_TASK_SAVE) transfer(d, i, t);
        for (uint32_t e = 0; d->words && e < XG_TILE_ENGINES; e++)
            need(d, xg_words_met(d->words, e), i);
    }
    d->edges = d->edge.n;
}

xg_depend *xg_depend_new(const xg_plan *p, const xg_core_plan *core, uint32_t first, xg_arena *a) {
    xg_depend *d = begin(p, core, first, a);
    make_slots(d, first);
    depend_all(d, first, NULL);
    return d;
}

void xg_depend_order(xg_depend *d, xg_arena *a, xg_task_order *o) {
    d->edge.n = d->edges;
    order_buffers(d);
    o->nnode = xg_order_open(d->n, d->nslot);
    o->first = xg_newn(a, uint32_t, o->nnode + 2);
    o->pending = xg_newn(a, uint32_t, o->nnode + 1);
    o->to = xg_newn(a, uint32_t, d->edge.n + 1);
    for (uint32_t k = 0; k < d->edge.n; k++)
        o->first[d->edge.v[k].from + 2]++, o->pending[d->edge.v[k].to]++;
    for (uint32_t k = 2; k < o->nnode + 2; k++) o->first[k] += o->first[k - 1];
    for (uint32_t k = 0; k < d->edge.n; k++)
        o->to[o->first[d->edge.v[k].from + 1]++] = d->edge.v[k].to;
}

void xg_task_depend(const xg_plan *p, const xg_core_plan *core, uint32_t first, xg_arena *a,
                    xg_task_order *out) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(a));
    xg_depend_order(xg_depend_new(p, core, first, tmp), a, out);
    xg_arena_free(tmp);
}

void xg_task_depend_words(const xg_plan *p, const xg_core_plan *core, const xg_task_cost *cost,
                          xg_arena *a, xg_task_order *out) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(a));
    xg_depend *d = begin(p, core, 0, tmp);
    d->words = xg_words_new(tmp, p->machine, d->n);
    depend_all(d, 0, cost);
    xg_depend_order(d, a, out);
    xg_arena_free(tmp);
}
