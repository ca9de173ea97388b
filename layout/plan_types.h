/* A plan in memory: where every tensor lies in DDR, what constants are packed, and, for each
 * segment and core, the tasks in order with the on-chip buffers they use. Printed and parsed as the
 * .plan form.
 *
 * Invariants: tasks of a core, executed one after another, are a correct program; two buffers whose
 * task intervals [first, last] overlap share no word; a task only names buffers whose interval
 * covers it.
 */
#ifndef XG_PLAN_TYPES_H
#define XG_PLAN_TYPES_H

#include "fusion/flat.h"
#include "isa/tile.h"
#include "layout/plan.h"

typedef enum xg_task_kind {
    XG_TASK_LOAD,  /* slice of a tensor: DDR -> buffer `out` */
    XG_TASK_LOADC, /* constant piece -> buffer `out` */
    XG_TASK_CONV, /* conv, dw: slice of the node's output; in -> out with w, p; channels [i0, i1) of
                     the input */
    XG_TASK_POOL,
    XG_TASK_ELEW, /* in, in2 -> out */
    XG_TASK_LUT,  /* in -> out by table p */
    XG_TASK_SAVE, /* buffer `in` -> slice of a tensor */
    XG_TASK_SIGNAL,
    XG_TASK_AWAIT, /* i0 = count */
    XG_TASK_COUNT
} xg_task_kind;

typedef struct xg_task {
    uint8_t kind;
    uint32_t stage; /* compute step it belongs to; order of prefetching */
    uint32_t group, tile;
    uint32_t node;   /* XG_NONE for loads and saves */
    uint32_t tensor; /* loaded, saved or produced */
    xg_slice s;
    uint32_t in, in2, w, p, out, psum; /* buffers, XG_NONE = none */
    uint32_t i0, i1;                   /* CONV: input channels of this chunk; AWAIT: count */
    uint32_t acc_in, acc_out;          /* LOAD: see xg_loaded_slice */
    uint32_t piece;                    /* LOADC */
} xg_task;

/* LOAD: the slice in the coordinates of its buffer's tensor, which is another where a concat is
 * read from its operands: the loaded one begins at channel i0, row i1, column acc_in of it. */
static inline xg_slice xg_loaded_slice(const xg_task *t) {
    xg_slice s = t->s;
    s.c0 += t->i0, s.c1 += t->i0;
    s.h0 += t->i1, s.h1 += t->i1;
    s.w0 += t->acc_in, s.w1 += t->acc_in;
    return s;
}

typedef struct xg_buffer {
    uint8_t mem;   /* XG_MEM_FM, XG_MEM_W, XG_MEM_PARAM */
    uint32_t size; /* FM, W: words in each bank; PARAM: bytes */
    uint32_t addr;
    uint32_t first, last;           /* tasks (hard) */
    uint32_t soft_first, soft_last; /* stages of first and last use */
    uint32_t ahead;  /* stages that a load may begin early: wished, then as granted by alloc.c */
    uint32_t tensor; /* FM: which tensor's slice; XG_NONE for partial sums */
    xg_slice s;
    uint32_t il, row, pix; /* view constants, words */
    uint32_t ring;         /* rows after which the view begins again; 0: never */
    uint32_t parent;       /* XG_NONE, or the buffer that this one is a part of */
    uint32_t offset;       /* words from the parent's address */
    uint32_t fold; /* 1: kernel columns are channels (xg_folded); s has output columns and kw * C
                      channels */
    bool made;     /* by a compute task, not loaded */
    bool stays;    /* a whole tensor that later groups read: placed from the top of the memory */
    bool flat;     /* s, il, row and pix are those of the tensor's flat view */
} xg_buffer;

typedef enum xg_piece_kind {
    XG_PIECE_CONV_W,
    XG_PIECE_DW_W,
    XG_PIECE_PARAM,
    XG_PIECE_TABLE,
    XG_PIECE_TENSOR
} xg_piece_kind;
/* A packed run of bytes in the constant region. */
typedef struct xg_piece {
    uint8_t kind;
    uint32_t node;   /* TENSOR: the tensor */
    uint32_t c0, c1; /* output channels */
    uint32_t i0, i1; /* CONV_W: input channels of the chunk */
    uint32_t fold;   /* CONV_W: 1: [kh][1][kw * C] instead of [kh][kw][C] */
    uint32_t addr, bytes;
    uint32_t before; /* place.c: the piece before it in its list of pieces to search; 1-based */
} xg_piece;

/* alloc.c: what a buffer takes up, from task to task and, as wished, from stage to stage. */
typedef struct xg_room {
    uint32_t buffer, addr, end, first, last, wished_first, soft_last;
} xg_room;

typedef struct xg_core_plan {
    XG_VEC(xg_task) task;
    XG_VEC(xg_buffer) buffer;
    XG_VEC(xg_room) alive[XG_TILE_MEMS]; /* alloc.c: below alive_from, may live on there */
    uint32_t alive_from;
} xg_core_plan;

typedef struct xg_seg_plan {
    xg_core_plan *core; /* [ncore] */
} xg_seg_plan;

typedef struct xg_place_row {
    bool placed;        /* lies in DDR */
    bool apart;         /* a concat's result: its operands lie where they were made */
    bool gathered;      /* a concat's result: loaded from its operands and saved */
    bool stays;         /* lies on chip from its making to its last reader */
    bool flat;          /* stays: as its flat view */
    uint32_t last;      /* group of the last reader */
    uint32_t chip_addr; /* stays: first word */
    xg_place place;
    uint32_t root; /* tensor whose memory it shares, itself if none */
} xg_place_row;

/* What runs when: host groups and segments in order. */
typedef struct xg_plan_step {
    bool accel;
    uint32_t segment;     /* accel */
    uint32_t first, last; /* groups [first, last) of the selection */
} xg_plan_step;

/* A plan that needs more is refused: it would take minutes and gigabytes. */
enum { XG_PLAN_TASKS = 5000000 };

/* Why a group did not fit: what one memory has to hold at one time, in its words (parameters:
 * bytes); or an instruction's operand that the encoding cannot hold. */
typedef struct xg_lack {
    uint8_t mem;
    uint64_t need, have;
    bool tasks; /* the plan's tasks instead: need is the least that is known */
    bool field; /* an operand does not fit its field instead */
    uint8_t op, operand;
    int64_t value;
} xg_lack;

struct xg_plan {
    xg_arena *arena;
    xg_arena *draft; /* while it is made: tasks and buffers before they are in their order */
    const xg_graph *graph;
    const xg_graph *flat; /* the same, cut by flat groups */
    const xg_machine *machine;
    const xg_selection *sel;
    xg_place_row *place; /* [tensors] */
    uint64_t region_bytes[XG_REGIONS];
    XG_VEC(xg_piece) piece;
    uint32_t *piece_list; /* place.c: last piece of each list, 1-based; while the plan is made */
    XG_VEC(xg_seg_plan) segment;
    XG_VEC(xg_plan_step) step;
    xg_lack *lack; /* of the last LIMIT of xg_alloc_buffers() or xg_task_costs() */
};

/* The graph by which a group is cut. */
static inline const xg_graph *xg_plan_graph(const xg_plan *p, const xg_group *g) {
    return xg_seen_by(p->graph, p->flat, &g->strategy);
}
/* place.c: where a tensor's slice lies in DDR as a group sees it: a flat one, in the rows of its
 * view. Of a concat's result that is read apart, the slice is of a copied operand, and that is a
 * map by itself. */
xg_place xg_seen_place(const xg_plan *p, uint32_t tensor, const xg_slice *s, bool flat);

/* place.c: fills place, region sizes; constants that are read as tensors become pieces. */
XG_MUST_USE xg_status xg_place_tensors(xg_plan *p);
/* True when operand k of a concat needs no copy: its producer writes it into the result (a tensor
 * given twice lies there once). */
bool xg_lies_inside(const xg_plan *p, const xg_node *concat, uint32_t k);
/* True when a concat's operand is copied: neither lies inside the result, nor is read apart or
 * gathered. */
bool xg_copies_operand(const xg_plan *p, const xg_node *concat, uint32_t k);
/* The place of a slice's first element. */
uint64_t xg_place_address(const xg_place *pl, const xg_slice *s);
uint32_t xg_add_piece(xg_plan *p, const xg_piece *want);
/* All pieces from number n on go; the constants are `bytes` again. */
void xg_drop_pieces(xg_plan *p, uint32_t n, uint64_t bytes);
/* tasks.c: tasks and buffers (without addresses) of one group on one core. */
typedef struct xg_task_builder {
    xg_plan *plan;
    xg_core_plan *core;
    uint32_t group, core_idx, stage, tile;
    uint32_t image;    /* XG_SPLIT_IMAGE: the one image that is built */
    int64_t room;      /* tasks that the plan may still get */
    uint32_t *staying; /* [tensors] buffer of a tensor that stays on chip, XG_NONE */
} xg_task_builder;
/* LIMIT (no diagnostic) when there is no room for its tasks. */
XG_MUST_USE xg_status xg_build_group(xg_task_builder *b, const xg_group *g);
/* A group has at least so many tasks on all cores together, also with smaller tiles than its
 * strategy's. */
int64_t xg_least_tasks(const xg_graph *g, const xg_group *grp);
/* stay.c: chip addresses of the tensors that stay; returns one that finds no room, or XG_NONE. */
uint32_t xg_place_staying(xg_plan *p);
/* Another strategy for a group, now that other tensors stay than when it was chosen. */
void xg_restrategise(xg_plan *p, xg_group *grp, uint32_t gi);
/* alloc.c: addresses of the buffers from number `from` on. LIMIT (no diagnostic) when they do not
 * fit. */
XG_MUST_USE xg_status xg_alloc_buffers(xg_plan *p, xg_core_plan *core, uint32_t from);
/* order.c: puts the tasks of all cores in the order that keeps the engines busiest; long ones are
 * cut into row groups. Tasks and buffers move from the draft to the plan's arena. */
XG_MUST_USE xg_status xg_order_tasks(xg_plan *p);
/* plan.c: xg_plan_make, which refines; without that it is quicker; and without the forecast. */
XG_MUST_USE xg_status xg_plan_make_as(xg_arena *a, const xg_selection *s, const xg_machine *m,
                                      bool refine, xg_plan **out);
/* tail.c: the group from which on it saves most traffic that cores share groups by channels; the
 * number of groups when nowhere. All groups must be split by images. */
uint32_t xg_tail_border(const xg_selection *s, const xg_machine *m);
/* tail.c: the selection with its groups from `border` on shared by channels; false when there are
 * none. */
bool xg_share_tail(xg_arena *a, const xg_selection *s, const xg_machine *m, uint32_t border,
                   xg_selection *out);
/* refine.c: strategies that differ from the group's in one number; how many. */
enum { XG_NEIGHBOURS = 16 };
uint32_t xg_strategy_neighbours(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                                xg_strategy out[XG_NEIGHBOURS]);
/* pack.c: bytes of all pieces. */
XG_MUST_USE xg_status xg_pack_pieces(const xg_plan *p, xg_arena *a, uint8_t **bytes);
/* The 256 entries of a Lut or Clip node, or of the table that requantises concat operand `operand`.
 */
XG_MUST_USE xg_status xg_node_table(const xg_plan *p, uint32_t node, uint32_t operand,
                                    int8_t table[256]);
/* emit.c: instructions of one core; their map rows go to prog, when there is one. */
XG_MUST_USE xg_status xg_emit_core(const xg_plan *p, xg_arena *a, uint32_t segment, uint32_t core,
                                   xg_program *prog, xg_stream *out);

/* plan.c: the error when an operand does not fit its field. */
XG_MUST_USE xg_status xg_too_narrow(const xg_plan *p, const char *node);
/* plan_check.c: why a piece or task of a plan read from a file cannot be, or NULL. */
const char *xg_piece_refuses(const xg_plan *p, const xg_piece *c);
const char *xg_task_refuses(const xg_plan *p, const xg_core_plan *core, const xg_task *t);

#endif
