/* Who touched a memory unit (word on chip, byte in DDR) last: for token insertion and for the race
 * check.
 *
 * A slot is one in-order engine; its instructions are numbered from 1. Accesses must be recorded in
 * an order in which the program can run. A write forgets what was before it: who is ordered after
 * the write is ordered after all of that, provided that the write itself was (which is what the
 * users find out).
 */
#ifndef XG_HAZARD_H
#define XG_HAZARD_H

#include "isa/machine.h"

/* State of units. write_seq 0: nothing was written. read[slot]: last reader, 0 = none. Zeros are
 * the state of untouched memory, so that nobody has to visit what no access reaches. */
typedef struct xg_touch {
    uint32_t write_slot, write_seq;
    uint32_t read[];
} xg_touch;

/* Called for units in one state that an access meets, before the access is recorded. unit: the
 * first of them. */
typedef void (*xg_touch_fn)(void *arg, const xg_touch *t, uint64_t unit);

/* Units of one address space, in words of 64, of which each has a few parts with a state (a mask
 * says which units), and pages of words, made when touched, which have one state when all of a page
 * is accessed at once. */
typedef struct xg_span_map {
    xg_arena *arena;
    uint32_t slots;
    size_t state, stride; /* bytes of an xg_touch with its readers; of a part */
    struct xg_span_page *page;
    uint64_t npage;
    xg_touch *untouched; /* zeros */
} xg_span_map;

/* The memories of one core, or the DDR of all, by the family's ids. */
typedef struct xg_hazards {
    xg_span_map mem[8];
    uint32_t depth[8];
    xg_span_map region[XG_REGIONS];
} xg_hazards;
void xg_hazards_init(xg_hazards *h, xg_arena *a, const xg_machine *m, uint32_t slots);
/* Meets the states of all units of an access, then records it as number seq (> 0) of a slot. */
void xg_hazards_touch(xg_hazards *h, const xg_access *x, uint32_t slot, uint32_t seq,
                      xg_touch_fn fn, void *arg);
/* The same; need[slot] rises to the last instruction of each slot that must be over before. */
void xg_hazards_need(xg_hazards *h, const xg_access *x, uint32_t slot, uint32_t seq,
                     uint32_t *need);

#endif
