/* What engines compute when, and for whom -> to whom each cycle of the run is booked.
 *
 * A cycle goes to the owners that compute in it, in equal parts for each engine at work; one in
 * which nothing computes to the owner whose computation begins next, for it is waited for; and the
 * cycles behind the last computation to the owner of that. So work that runs side by side shares
 * the time, and the owners' cycles add up to the run's.
 */
#ifndef XG_BOOK_H
#define XG_BOOK_H

#include "base/base.h"

typedef struct xg_work {
    uint64_t start, end;
    uint32_t owner;
} xg_work;

/* Adds to cycles[owners] what each gets of the cycles [0, total). Sorts work[n]. */
void xg_book_cycles(xg_arena *a, xg_work *work, size_t n, uint64_t total, uint64_t *cycles);

#endif
