/* The queues of a segment without time: which instruction of which engine may run next.
 *
 * Bounded: dispatchers, queue depths and token counters as the machine has them. Unbounded:
 * everything is dispatched and counters have no limit, so any order that tokens and barriers allow
 * can be taken.
 */
#ifndef XG_REPLAY_H
#define XG_REPLAY_H

#include "isa/sim.h"

typedef struct xg_replay_engine {
    uint32_t *list; /* stream indices of its instructions */
    uint32_t n, dispatched, started, done;
} xg_replay_engine;

typedef struct xg_replay_core {
    const xg_stream *st;
    uint32_t next; /* first instruction not dispatched */
    uint32_t signals;
    uint32_t tokens[XG_ENGINES_MAX][XG_ENGINES_MAX]; /* [poster][waiter] */
    xg_replay_engine engine[XG_ENGINES_MAX];
} xg_replay_core;

typedef struct xg_replay {
    const xg_machine *m;
    const xg_family *f;
    uint32_t ncore;
    uint32_t queue_depth, token_max; /* UINT32_MAX: unbounded */
    xg_replay_core *core;
} xg_replay;

/* Refuses unknown opcodes, masks that name engines that do not exist or the instruction's own
 * engine, and more cores than the machine has. */
XG_MUST_USE xg_status xg_replay_init(xg_arena *a, const xg_machine *m, const xg_segment *seg,
                                     bool bounded, xg_replay *out);
/* The engine's next instruction is dispatched, not started, and has all its tokens and signals. */
bool xg_replay_can_start(const xg_replay *r, uint32_t core, uint32_t engine);
/* Takes its tokens; returns its stream index. */
uint32_t xg_replay_start(xg_replay *r, uint32_t core, uint32_t engine);
/* A started instruction's tokens have room. */
bool xg_replay_can_finish(const xg_replay *r, uint32_t core, uint32_t engine);
/* Posts its tokens or its signal, frees the engine; returns its stream index. */
uint32_t xg_replay_finish(xg_replay *r, uint32_t core, uint32_t engine);
/* Dispatches what fits into the queues; true when something moved. */
bool xg_replay_dispatch(xg_replay *r, uint32_t core);
bool xg_replay_drained(const xg_replay *r);
/* The engine's first instruction that has not finished, or XG_NONE. */
uint32_t xg_replay_head(const xg_replay *r, uint32_t core, uint32_t engine);
/* One INPUT error for each engine that cannot go on: what it waits for. */
xg_status xg_replay_stuck(xg_ctx *c, const xg_replay *r);
/* "core 0 instruction 12 (conv)" */
const char *xg_replay_where(xg_arena *a, const xg_replay *r, uint32_t core, uint32_t index);

#endif
