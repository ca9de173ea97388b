/* A family of machines: its instructions, what they mean, what memory they touch, how long they
 * take.
 *
 * Generic code (encoder, assembler, hazard analysis, static checker, queue replay, both simulators)
 * knows only this table. Adding a family is a new row file and a new source with its functions;
 * nothing else is touched.
 *
 * Engines are in-order queues. An instruction waits for one token from every engine in its `wait`
 * mask, runs, then posts one token to every engine in its `post` mask. Tokens are counters, one for
 * each ordered pair of engines of one core. INIT instructions set registers of their engine that
 * later instructions of the same engine read; so a program is walked with an xg_regs beside it.
 * Cores synchronise with SIGNAL (SAVE engine, counts this core's arrivals) and AWAIT (LOAD engine,
 * waits until every core has signalled `count` times).
 */
#ifndef XG_FAMILY_H
#define XG_FAMILY_H

#include "base/base.h"

struct xg_machine;

enum { XG_OPERANDS_MAX = 28, XG_ENGINES_MAX = 8, XG_REGIONS = 4 };

/* DDR regions = base registers. */
typedef enum xg_region { XG_REG_CONST, XG_REG_WORK, XG_REG_IN, XG_REG_OUT } xg_region;

typedef struct xg_inst {
    uint8_t op;                 /* row in the family's instruction table */
    uint8_t wait, post;         /* masks over engines */
    int32_t f[XG_OPERANDS_MAX]; /* operands in table order; addresses are unsigned 31 bits */
} xg_inst;

typedef struct xg_operand_desc {
    const char *name; /* as in encoding files and assembly */
    bool is_signed;
    const char *doc; /* one sentence with the unit */
} xg_operand_desc;

typedef struct xg_inst_desc {
    const char *mnemonic;
    uint8_t engine;
    bool is_init; /* only sets registers */
    uint8_t noperand;
    const xg_operand_desc *operand;
    const char *doc; /* what it does, with its formula */
} xg_inst_desc;

/* Sticky state set by INIT instructions: for each op, the last instance seen. */
typedef struct xg_regs {
    xg_inst last[32];
    bool set[32];
} xg_regs;

/* One strided piece of memory touched by an instruction. Units: words of the memory (bytes for DDR
 * and PARAM). */
typedef struct xg_access {
    uint8_t mem; /* family's memory id; DDR is always 0 */
    bool write;
    bool partial;                  /* a write that leaves some bytes of its words as they were */
    uint8_t region;                /* DDR only */
    uint16_t bank;                 /* on-chip only */
    uint32_t addr, count;          /* count words from addr, each step apart */
    uint32_t step, rows, row_step; /* repeated rows times, row_step apart (rows = 1: once) */
    bool echo; /* orders nothing that an access before it in another bank does not order */
} xg_access;

typedef struct xg_mem_desc {
    const char *name;
    uint32_t banks, depth, word_bytes; /* filled from the machine */
} xg_mem_desc;

/* Memories of one core plus the shared DDR, as the simulators hold them. */
typedef struct xg_state {
    const struct xg_machine *machine;
    uint8_t *ddr[XG_REGIONS];
    uint64_t ddr_bytes[XG_REGIONS];
    uint8_t *mem[8]; /* on-chip memories by id, banks one after another */
    uint64_t mem_bytes[8];
    xg_regs regs;
    void *scratch; /* family's own, from family->state_init */
} xg_state;

typedef struct xg_cost {
    uint64_t cycles;     /* engine busy, DDR waiting not included */
    uint64_t ddr_bytes;  /* moved over the DDR port; 0 = no DDR transfer */
    uint32_t ddr_bursts; /* after splitting */
    bool ddr_write;      /* else a read */
    uint64_t ddr_setup;  /* DDR transfers: the part of cycles before the first byte moves */
    uint64_t macs;       /* useful multiply-accumulates */
} xg_cost;

typedef struct xg_family {
    const char *name;
    const xg_inst_desc *inst;
    uint8_t ninst;
    const char *const *engine_names;
    uint8_t nengine;
    uint8_t op_end, op_signal, op_await; /* generic roles */
    uint8_t nmem;
    /* memory id -> sizes for this machine (id 0 = DDR: depth 0) */
    void (*mem_desc)(const struct xg_machine *m, uint8_t mem, xg_mem_desc *out);
    /* Executes one instruction on the state, whole. The program has been checked: operands are in
     * range. Returns NULL or a message naming what is out of bounds (simulators stay in bounds
     * always). */
    const char *(*exec)(xg_state *s, const xg_inst *in);
    /* Prepares s->scratch (from the arena) for exec; s->machine and the memories are set. */
    void (*state_init)(xg_arena *a, xg_state *s);
    /* Calls fn for every piece of memory that the instruction reads or writes. */
    void (*access)(const struct xg_machine *m, const xg_regs *regs, const xg_inst *in,
                   void (*fn)(void *arg, const xg_access *a), void *arg);
    /* Cycle cost by isa/timing.c. */
    void (*cost)(const struct xg_machine *m, const xg_regs *regs, const xg_inst *in, xg_cost *out);
    /* NULL when the operands make sense on this machine (bounds of kernels, views, memories), else
     * why not, written in the arena. */
    const char *(*check)(xg_arena *a, const struct xg_machine *m, const xg_regs *regs,
                         const xg_inst *in);
} xg_family;

const xg_family *xg_family_by_name(const char *name); /* NULL when unknown */
const char *const *xg_family_names(void);

/* Tracks INIT registers: call for every instruction in program order, before asking access/cost of
 * later ones. */
void xg_regs_track(const xg_family *f, xg_regs *r, const xg_inst *in);
int xg_inst_by_name(const xg_family *f, const char *mnemonic);   /* -1 when unknown */
int xg_operand_by_name(const xg_inst_desc *d, const char *name); /* -1 when unknown */

#endif
