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

/* What a task touches of one buffer: rows, columns, channel words. Of DDR: bytes from first to
 * last, and bytes of a pixel (all when pixels are not comparable). */
typedef struct access {
    uint32_t task, tensor_root;
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

typedef struct depend {
    xg_arena *tmp;
    const xg_plan *p;
    const xg_core_plan *core;
    xg_task_order *o;
    accesses *buffer; /* [buffers], of roots */
    uint32_t *born;   /* [buffers] first task that touches a root */
    accesses *page;   /* [2][PAGES]: workspace and outputs, by address / 2^PAGE_SHIFT, wrapping */
    uint32_t n;       /* tasks */
    XG_VEC(edge) edge;
    XG_VEC(uint32_t) transfers; /* of maps, since the last SIGNAL */
    uint32_t signal, await;
} depend;

static void need(depend *d, uint32_t from, uint32_t to) {
    if (from != XG_NONE && from != to) xg_push(d->tmp, &d->edge, (edge){from, to});
}

static uint32_t root_of(const xg_core_plan *core, uint32_t b, uint32_t *offset) {
    for (*offset = 0; core->buffer.v[b].parent != XG_NONE; b = core->buffer.v[b].parent)
        *offset += core->buffer.v[b].offset;
    return b;
}

/* In DDR, bytes of a pixel (axis 1) are compared within one tensor's memory only. */
static bool overlap(const access *a, const access *b) {
    for (int k = 0; k < AXES; k++) {
        if (k == 1 && a->tensor_root != b->tensor_root) continue;
        if (a->lo[k] >= b->hi[k] || b->lo[k] >= a->hi[k]) return false;
    }
    return true;
}

/* x comes after those that it conflicts with, and joins them. A list that has become long is
 * closed: x comes after all of it, and what follows after x. */
static void join(depend *d, accesses *all, const access *x) {
    bool close = all->n >= LONG_LIST;
    for (uint32_t i = 0; i < all->n; i++)
        if (close || ((x->write || all->v[i].write) && overlap(&all->v[i], x)))
            need(d, all->v[i].task, x->task);
    if (close) all->n = 0;
    xg_push(d->tmp, all, *x);
    if (!close) return;
    access *only = &all->v[0];
    only->write = true;
    only->tensor_root = XG_NONE;
    for (int k = 0; k < AXES; k++) only->lo[k] = 0, only->hi[k] = UINT32_MAX;
}

/* ---- on chip
 * ------------------------------------------------------------------------------------------ */

/* s: the part of the buffer in its own coordinates; NULL: all of it. */
static void touch(depend *d, uint32_t task, uint32_t b, const xg_slice *s, bool write) {
    if (b == XG_NONE) return;
    uint32_t offset, root = root_of(d->core, b, &offset), n = d->n;
    const xg_buffer *x = &d->core->buffer.v[b];
    access a = {.task = task, .write = write, .hi = {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    if (s && x->mem == XG_MEM_FM && !x->fold && s->h0 >= x->s.h0 && s->w0 >= x->s.w0 &&
        s->c0 >= x->s.c0) {
        uint32_t icp = d->p->machine->tile.icp;
        a.lo[0] = s->h0 - x->s.h0, a.hi[0] = s->h1 - x->s.h0;
        a.lo[1] = s->w0 - x->s.w0, a.hi[1] = s->w1 - x->s.w0;
        a.lo[2] = offset + (s->c0 - x->s.c0) / icp;
        a.hi[2] = offset + (uint32_t)xg_ceil_div(s->c1 - x->s.c0, icp);
    }
    if (!d->buffer[root].n) d->born[root] = task;
    join(d, &d->buffer[root], &a);
    need(d, xg_order_open(n, root), task);
    need(d, task, xg_order_close(n, root));
}

static void touch_operands(depend *d, uint32_t i, const xg_task *t) {
    bool compute = t->kind == XG_TASK_CONV || t->kind == XG_TASK_POOL || t->kind == XG_TASK_ELEW;
    xg_slice need_a = t->s, need_b = t->s;
    if (compute) {
        const xg_node *n = xg_nodep(d->p->graph, t->node);
        need_a = xg_need(d->p->graph, n, 0, &t->s);
        if (t->in2 != XG_NONE) need_b = xg_need(d->p->graph, n, 1, &t->s);
    }
    bool copies = !compute && t->node != XG_NONE &&
                  xg_nodep(d->p->graph, t->node)->op == XG_OP_Concat; /* other coordinates */
    bool saves_copy = t->kind == XG_TASK_SAVE && d->core->buffer.v[t->in].tensor != t->tensor;
    touch(d, i, t->in, copies || saves_copy ? NULL : &need_a, false);
    touch(d, i, t->in2, &need_b, false);
    touch(d, i, t->w, NULL, false);
    touch(d, i, t->p, NULL, false);
    touch(d, i, t->psum, NULL, true);
    touch(d, i, t->out, t->kind == XG_TASK_LOADC ? NULL : &t->s, true);
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
static void take_words(depend *d, pieces v[2], uint32_t lo, uint32_t hi, uint32_t b) {
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

static void order_buffers(depend *d) {
    pieces mem[XG_TILE_MEMS][2] = {0};
    uint32_t n = 0;
    birth *v = xg_newn(d->tmp, birth, d->core->buffer.n + 1);
    for (uint32_t b = 0; b < d->core->buffer.n; b++)
        if (d->buffer[b].n) v[n++] = (birth){d->born[b], b};
    qsort(v, n, sizeof *v, by_birth);
    for (uint32_t i = 0; i < n; i++) {
        const xg_buffer *x = &d->core->buffer.v[v[i].buffer];
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

static void transfer(depend *d, uint32_t i, const xg_task *t) {
    const xg_place *pl = &d->p->place[t->tensor].place;
    xg_push(d->tmp, &d->transfers, i);
    need(d, d->await, i);
    if (pl->region != XG_REG_WORK && pl->region != XG_REG_OUT) return;
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

static void barrier(depend *d, uint32_t i, bool signal) {
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

static void finish(depend *d, xg_arena *a) {
    xg_task_order *o = d->o;
    o->nnode = xg_order_open(d->n, d->core->buffer.n);
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
    depend d = {.tmp = tmp,
                .p = p,
                .core = core,
                .o = out,
                .n = core->task.n - first,
                .signal = XG_NONE,
                .await = XG_NONE};
    d.buffer = xg_newn(tmp, accesses, core->buffer.n + 1);
    d.born = xg_newn(tmp, uint32_t, core->buffer.n + 1);
    d.page = xg_newn(tmp, accesses, 2 * PAGES);
    for (uint32_t i = 0; i < d.n; i++) {
        const xg_task *t = &core->task.v[first + i];
        if (t->kind == XG_TASK_SIGNAL || t->kind == XG_TASK_AWAIT) {
            barrier(&d, i, t->kind == XG_TASK_SIGNAL);
            continue;
        }
        touch_operands(&d, i, t);
        if (t->kind == XG_TASK_LOAD || t->kind == XG_TASK_SAVE) transfer(&d, i, t);
    }
    order_buffers(&d);
    finish(&d, a);
    xg_arena_free(tmp);
}
