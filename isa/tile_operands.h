/* A tile instruction and its INIT registers -> checked numbers and views, for execution, access,
 * cost and check.
 *
 * xg_tile_operands_of() is the only place where operands are judged: whatever it accepts touches no
 * word outside the on-chip memories, has no zero divisor and a bounded amount of work. DDR regions
 * are judged by their users.
 */
#ifndef XG_TILE_OPERANDS_H
#define XG_TILE_OPERANDS_H

#include "isa/machine.h"
#include "isa/tile.h"

enum { XG_TILE_DIM_MAX = 65535, XG_TILE_WHY_BYTES = 200 };

/* A view as in isa/tile_rows.h; words = channel words of a pixel. rows = 0: nothing is touched. */
typedef struct xg_tile_view {
    uint32_t addr, row0, ring, il, row, pix, lane;
    uint32_t rows, cols, ch, words;
} xg_tile_view;

/* Taps of a window: input row r*sh + y*dh - pad_top, column x*sw + t*dw - pad_left, where they
 * exist. */
typedef struct xg_tile_window {
    uint32_t kh, kw, sh, sw, dh, dw, pad_top, pad_left, in_rows, in_cols;
} xg_tile_window;

typedef struct xg_tile_ddr {
    uint32_t region, addr, row_step, pix_step;
    uint32_t rows, cols, ch; /* what lies in DDR: cols before folding */
    uint64_t end;            /* first byte after the last one touched */
} xg_tile_ddr;

typedef struct xg_tile_operands {
    uint8_t op;
    const xg_inst *in, *init; /* init: registers of its INIT, or NULL */
    bool has_ddr;
    xg_tile_ddr ddr;
    xg_tile_view a, b, out;            /* read, read, written; rows = 0 when absent */
    xg_tile_window win;                /* CONV, DWCONV, POOL; LOAD with fold: the columns' window */
    uint32_t w_addr, w_words, w_banks; /* weight banks; w_words = 0: none */
    uint32_t p_addr, p_bytes;          /* parameter records, LOADP's target */
    uint32_t q_addr, q_bytes;          /* depthwise weights, table */
    uint32_t psum, psum_words, psum_step; /* words touched for a pixel, words from pixel to pixel */
    uint32_t oc;                          /* CONV: output channels */
} xg_tile_operands;

/* False: why[] says what is wrong, in words of the instruction's operands. */
bool xg_tile_operands_of(const xg_machine *m, const xg_regs *regs, const xg_inst *in,
                         xg_tile_operands *out, char why[XG_TILE_WHY_BYTES]);

/* Bank and first word of pixel 0 of row r of a view. */
static inline uint32_t xg_tile_row(const xg_machine *m, const xg_tile_view *v, uint32_t r,
                                   uint32_t *bank) {
    uint32_t pp = m->tile.pp, h = v->row0 + r;
    if (v->ring) h %= v->ring;
    uint32_t q = h / v->il;
    *bank = q % pp;
    return v->addr + (q / pp * v->il + h % v->il) * v->row;
}

/* Calls fn(arg, first, count, step) for runs of columns that a window reads: together each read
 * column once. */
void xg_tile_columns(const xg_tile_window *w, uint32_t out_cols,
                     void (*fn)(void *arg, uint32_t first, uint32_t count, uint32_t step),
                     void *arg);

/* ---- execution: one function an instruction
 * -------------------------------------------------------------- */

typedef struct xg_tile_scratch {
    char why[XG_TILE_WHY_BYTES];
    int16_t *weights;          /* [ocp][padded taps x channels] of one CONV, zero point taken off */
    int16_t *patch;            /* taps x channels of a few pixels */
    int32_t *sums;             /* [channels] of one pixel */
    int8_t *taps;              /* taps of one channel */
    struct xg_tile_fast *fast; /* the vector forms' own (isa/tile_fast.h) */
} xg_tile_scratch;

typedef const char *xg_tile_fn(xg_state *s, const xg_tile_operands *d);
xg_tile_fn xg_tile_load, xg_tile_loadw, xg_tile_loadp, xg_tile_save, xg_tile_conv, xg_tile_dwconv,
    xg_tile_pool, xg_tile_elew, xg_tile_lut;
/* Elements that the scratch arrays need. */
size_t xg_tile_conv_length(const xg_machine *m);

/* Word w of a bank of the feature-map memory. */
static inline uint8_t *xg_tile_fm(const xg_state *s, uint32_t bank, uint32_t w) {
    const xg_tile_machine *t = &s->machine->tile;
    return s->mem[XG_MEM_FM] + ((size_t)bank * t->fm_depth + w) * t->icp;
}
static inline uint8_t *xg_tile_w(const xg_state *s, uint32_t bank, uint32_t w) {
    const xg_tile_machine *t = &s->machine->tile;
    return s->mem[XG_MEM_W] + ((size_t)bank * t->w_depth + w) * t->icp;
}

/* The family's functions. */
const char *xg_tile_exec(xg_state *s, const xg_inst *in);
void xg_tile_access(const xg_machine *m, const xg_regs *regs, const xg_inst *in,
                    void (*fn)(void *arg, const xg_access *a), void *arg);
void xg_tile_cost(const xg_machine *m, const xg_regs *regs, const xg_inst *in, xg_cost *out);
const char *xg_tile_check(xg_arena *a, const xg_machine *m, const xg_regs *regs, const xg_inst *in);
void xg_tile_state_init(xg_arena *a, xg_state *s);

#endif
