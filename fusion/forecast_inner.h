/* Between the parts of the forecast: steps, buffers and order of one segment on core 0. */
#ifndef XG_FORECAST_INNER_H
#define XG_FORECAST_INNER_H

#include "fusion/geometry.h"
#include "fusion/pipeline.h"
#include "fusion/select.h"

/* What a step touches of a buffer: rows, columns, channel words. */
typedef struct xg_fc_access {
    uint32_t step;
    bool write;
    uint32_t lo[3], hi[3];
} xg_fc_access;
typedef XG_VEC(xg_fc_access) xg_fc_accesses;

/* Stretch of an on-chip memory in the life of a tile: as xg_buffer of layout/plan_types.h. */
typedef struct xg_fc_buffer {
    uint8_t mem;
    bool stays, fold, made;
    uint32_t size, addr;
    uint32_t first, last;           /* steps */
    uint32_t born;                  /* first step that touches it, XG_NONE */
    uint32_t soft_first, soft_last; /* stages */
    uint32_t ahead, wish;
    uint32_t parent, offset; /* XG_NONE, or the buffer that it is a part of; words */
    uint32_t il;             /* maps: row interleave */
    xg_slice s;
    xg_fc_accesses touched; /* of buffers without a parent */
} xg_fc_buffer;

/* A save, for the loads that follow. */
typedef struct xg_fc_write {
    xg_slice s;
    uint32_t step;
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
    XG_VEC(xg_pipe_edge) edge; /* events 2b, 2b + 1: before and after all tasks of buffer b */
    XG_VEC(xg_fc_buffer) buffer;
    uint32_t stage;
    bool apart;                 /* images were worked on apart since the last SIGNAL */
    uint32_t await, signal;     /* steps, XG_NONE */
    XG_VEC(uint32_t) transfers; /* steps that moved maps since the last SIGNAL */
    const uint32_t *chip_addr;  /* [tensors] of what stays: first word */
    uint32_t *staying;          /* [tensors] buffer, XG_NONE */
    xg_fc_writes *in_ddr;       /* [tensors] by root: saves */
    uint32_t lowest;            /* buffers below are dead for good */
    uint32_t image, share_x256; /* the image of this round; all cores' work over this one's */
    uint32_t group;
} xg_forecaster;

static inline void xg_fc_order(xg_forecaster *f, uint32_t from, uint32_t to) {
    if (from != XG_NONE && from != to) xg_push(f->a, &f->edge, ((xg_pipe_edge){from, to}));
}

/* forecast_tiles.c: steps and buffers of one group. */
void xg_fc_group(xg_forecaster *f, const xg_group *grp);
/* forecast_room.c: places the buffers from number `from` on; of two ways that whose steps from
 * number `step` on, edges from number `edge` on, are over first. */
void xg_fc_place(xg_forecaster *f, uint32_t from, uint32_t step, uint32_t edge);
/* Orders buffers that share words, from number `from` on, by their birth. */
void xg_fc_order_buffers(xg_forecaster *f, uint32_t from);

#endif
