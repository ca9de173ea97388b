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

/* State of a span of units. write_seq 0: nothing was written. read[slot]: last reader, 0 = none.
 * Zeros are the state of untouched memory, so that nobody has to visit what no access reaches. */
typedef struct xg_touch {
    uint32_t start; /* paged: in its page */
    uint32_t write_slot, write_seq;
    uint32_t read[];
} xg_touch;

/* Called for each span that an access meets, before the access is recorded. unit: where the span's
 * part starts. */
typedef void (*xg_touch_fn)(void *arg, const xg_touch *t, uint64_t unit);

/* Units of one address space. Flat: a bit a unit says where spans start, the state lies at the
 * start's index; for on-chip memories, which are small and written word by word. Paged: pages of
 * 2^shift units, each a sorted list of spans, made when touched; for DDR. */
typedef struct xg_span_map {
    xg_arena *arena;
    uint32_t slots, shift;
    size_t stride; /* bytes of an xg_touch with its readers */
    struct xg_span_page *page;
    uint64_t npage;
    uint64_t *starts; /* flat: one word for 64 units; NULL when paged */
    uint8_t *state;   /* flat: [units] */
} xg_span_map;
/* units > 0: flat, for that many units. 0: paged. */
void xg_span_map_init(xg_span_map *m, xg_arena *a, uint32_t slots, uint64_t units);
/* Meets every span of [unit, unit + count), then records the access of number seq of a slot. count
 * > 0. */
void xg_span_touch(xg_span_map *m, uint64_t unit, uint64_t count, bool write, uint32_t slot,
                   uint32_t seq, xg_touch_fn fn, void *arg);

/* The memories of one core, or the DDR of all, by the family's ids. */
typedef struct xg_hazards {
    xg_span_map mem[8];
    uint32_t depth[8];
    xg_span_map region[XG_REGIONS];
} xg_hazards;
void xg_hazards_init(xg_hazards *h, xg_arena *a, const xg_machine *m, uint32_t slots);
/* As xg_span_touch for all units of an access. */
void xg_hazards_touch(xg_hazards *h, const xg_access *x, uint32_t slot, uint32_t seq,
                      xg_touch_fn fn, void *arg);

#endif
