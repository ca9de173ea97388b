/* Order of the tasks of one core: who must come after whom, and the order in which the engines
 * would take them.
 *
 * Nodes of the graph: tasks [0, n), then for each buffer that they touch one node that comes before
 * all its tasks and one that comes after them. Parts of a buffer count as the buffer.
 */
#ifndef XG_ORDER_H
#define XG_ORDER_H

#include "layout/plan_types.h"

typedef struct xg_task_order {
    uint32_t nnode;
    uint32_t *first, *to; /* node k comes before to[first[k] .. first[k + 1]) */
    uint32_t *pending;    /* [nnode] how many come before it */
} xg_task_order;

static inline uint32_t xg_order_open(uint32_t ntask, uint32_t buffer) {
    return ntask + 2 * buffer;
}
static inline uint32_t xg_order_close(uint32_t ntask, uint32_t buffer) {
    return ntask + 2 * buffer + 1;
}

/* emit.c: engine and cycles of each task's instructions, for the tasks from number `first` on. */
typedef struct xg_task_cost {
    uint64_t cycles; /* busy; of transfers as if all cores moved data, each with its equal part */
    uint64_t alone;  /* busy, with the DDR for itself */
    uint64_t setup, ddr_x65536; /* transfers: cycles before the first byte; 1/65536 of the DDR's */
    uint32_t ninst;             /* at least 1 */
    uint32_t await;             /* AWAIT: signals of every core */
    uint8_t engine;
    bool signal; /* is a SIGNAL */
} xg_task_cost;
/* LIMIT (no diagnostic; the plan's lack says which) when an operand does not fit its field. */
XG_MUST_USE xg_status xg_task_costs(const xg_plan *p, const xg_core_plan *core, uint32_t first,
                                    xg_arena *a, xg_task_cost *cost);
/* depend.c. The tasks from number `first` on (numbered from 0 here); in their present order they
 * must be a correct program, with addresses. */
typedef struct xg_depend xg_depend;
/* In two steps: all but the words that buffers share, for which addresses are not needed, and,
 * for each try of addresses, the order. `a` lives as long as what it returns. */
xg_depend *xg_depend_new(const xg_plan *p, const xg_core_plan *core, uint32_t first, xg_arena *a);
void xg_depend_order(xg_depend *d, xg_arena *a, xg_task_order *out);
void xg_task_depend(const xg_plan *p, const xg_core_plan *core, uint32_t first, xg_arena *a,
                    xg_task_order *out);
/* The same of all tasks as they will run when their order is final: on chip it is words that bring
 * two tasks in an order, not buffers, of which the graph has no nodes. cost: of these tasks. */
void xg_task_depend_words(const xg_plan *p, const xg_core_plan *core, const xg_task_cost *cost,
                          xg_arena *a, xg_task_order *out);
/* order.c: cycles of n tasks, alone, in the order in which they would be taken. At least `enough`
 * (UINT64_MAX) when they take as long as that. */
uint64_t xg_task_cycles(const xg_task_cost *cost, uint32_t n, const xg_task_order *o,
                        uint64_t enough, xg_arena *a);

/* words.c: who touches which words on chip and bytes in DDR, for tasks in order. Begin a task, then
 * name what it touches: of a slice that does not begin before the buffer's what lies in it, or the
 * whole buffer. */
typedef struct xg_words xg_words;
xg_words *xg_words_new(xg_arena *a, const xg_machine *m, uint32_t ntask);
void xg_words_begin(xg_words *w, uint32_t task, uint32_t engine);
void xg_words_touch(xg_words *w, const xg_buffer *b, const xg_slice *s, bool write);
void xg_words_touch_all(xg_words *w, const xg_buffer *b, bool write);
/* A slice that a LOAD reads or a SAVE writes in DDR. */
void xg_words_transfer(xg_words *w, const xg_place *pl, const xg_slice *s, bool write);
/* The last task of another engine that the current one must come after, or XG_NONE. */
uint32_t xg_words_met(const xg_words *w, uint32_t engine);

#endif
