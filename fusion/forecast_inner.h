/* Between the parts of the forecast: steps and buffers of one segment on core 0. */
#ifndef XG_FORECAST_INNER_H
#define XG_FORECAST_INNER_H

#include "fusion/geometry.h"
#include "fusion/pipeline.h"
#include "fusion/select.h"

enum { XG_FC_ENGINES = XG_TILE_ENGINES, XG_FC_READS = 4 };

/* Stretch of an on-chip memory in the life of a tile: as xg_buffer of layout/plan_types.h. */
typedef struct xg_fc_buffer {
    uint8_t mem;
    bool stays; /* a whole tensor between groups: takes room, its place is not followed */
    bool seen;  /* it has been written: it hides what was at its place */
    uint32_t size, addr;
    uint32_t first, last;           /* steps */
    uint32_t soft_first, soft_last; /* stages */
    uint32_t ahead;
    uint32_t parent;                     /* XG_NONE, or the buffer that it is a part of */
    uint32_t il;                         /* row interleave of a map */
    uint32_t written[XG_FC_ENGINES];     /* last step of each engine that wrote it, ... */
    uint32_t touched[XG_FC_ENGINES];     /* ... touched it */
} xg_fc_buffer;

typedef struct xg_fc_write {
    xg_slice s;
    uint8_t engine;
    uint32_t seq;
} xg_fc_write;
typedef XG_VEC(xg_fc_write) xg_fc_writes;

typedef struct xg_forecaster {
    xg_arena *a;
    const xg_graph *g;
    const xg_machine *m;
    const xg_selection *sel;
    const uint32_t *parent; /* [tensors] concat's result that it lies in */
    const bool *ddr;        /* [tensors] lies in DDR */
    XG_VEC(xg_pipe_step) step;
    XG_VEC(uint32_t) out;       /* [steps] buffer written, XG_NONE */
    XG_VEC(uint32_t) out2;      /* [steps] second one: partial sums */
    XG_VEC(xg_fc_buffer) buffer;
    uint32_t seq[XG_FC_ENGINES]; /* steps of each engine so far */
    uint32_t stage;
    uint32_t await;         /* LOAD step that all later traffic waits for */
    uint32_t signal;        /* SAVE step: last SIGNAL, 0: none */
    uint32_t moved[2];      /* last LOAD and SAVE step that touched shared DDR */
    uint32_t *staying;      /* [tensors] buffer, XG_NONE */
    xg_fc_writes *on_chip;  /* [tensors] by root: who wrote which slice of a staying tensor */
    xg_fc_writes *in_ddr;   /* [tensors] by root: saves */
    XG_VEC(uint32_t) visible[XG_TILE_MEMS]; /* buffers that nothing later has been put over */
    uint32_t lowest;        /* buffers below are dead for good */
    uint32_t image, active; /* the image of this round; cores at work */
    uint32_t group;
} xg_forecaster;

/* forecast_tiles.c: steps and buffers of one group. */
void xg_fc_group(xg_forecaster *f, const xg_group *grp);
/* forecast_room.c: places the buffers from number `from` on, and makes the steps from number
 * first_step on wait for those who used their places before. */
void xg_fc_place(xg_forecaster *f, uint32_t from, uint32_t first_step);

#endif
