/* The cost formulas of the tile family: one source for the cycle simulator and for the choice of
 * strategies. Each term is derived in isa/TIMING.md. Integer cycles; DDR contention is the
 * simulator's business. */
#ifndef XG_TIMING_H
#define XG_TIMING_H

#include "isa/machine.h"

/* Busy cycles of one CONV: start + cols * max(kh*kw*icw * conflict, partial-sum port); conflict:
 * rows that are read together and lie in the same bank. */
uint64_t xg_time_conv(const xg_machine *m, uint32_t kh, uint32_t kw, uint32_t sh, uint32_t in_il,
                      uint32_t icw, uint32_t rows, uint32_t cols, bool acc_in, bool acc_out);
uint64_t xg_time_dwconv(const xg_machine *m, uint32_t taps, uint32_t rows, uint32_t cols,
                        uint32_t ch);
uint64_t xg_time_pool(const xg_machine *m, uint32_t taps, uint32_t rows, uint32_t cols,
                      uint32_t ch);
uint64_t xg_time_elew(const xg_machine *m, uint32_t operands, uint32_t rows, uint32_t cols,
                      uint32_t ch);
uint64_t xg_time_lut(const xg_machine *m, uint32_t rows, uint32_t cols, uint32_t ch);
/* Cycles to move words into or out of the banks: one word a cycle for each icp bytes of the port.
 */
uint64_t xg_time_words(const xg_machine *m, uint64_t words);
/* A DDR transfer of rows runs of run_bytes each, alone on the bus: start + latency + max(port, DDR,
 * on-chip words). */
uint64_t xg_time_transfer(const xg_machine *m, uint32_t start, uint64_t runs, uint64_t run_bytes,
                          uint64_t words);
/* What the DDR itself needs for a transfer, latency not included, in 1/65536 cycles: the share of
 * the transfer that competes with other transfers. */
uint64_t xg_time_ddr_x65536(const xg_machine *m, uint64_t bytes, uint64_t bursts);
/* Most rows, of `rows` that lie sh apart, that fall in one bank of a view with row interleave il.
 */
uint32_t xg_time_conflict(uint32_t pp, uint32_t rows, uint32_t sh, uint32_t il);
/* Bursts that a run of run_bytes is split into. */
uint64_t xg_time_bursts(const xg_machine *m, uint64_t runs, uint64_t run_bytes);

/* Transfers that move at the same time share the DDR; all of it is XG_TIME_ONE. The largest share
 * that one can use: its own need of the DDR over the cycles that it moves alone. */
enum { XG_TIME_ONE = 1 << 16 };
uint64_t xg_time_cap(uint64_t ddr_x65536, uint64_t alone);
/* Water filling: equal shares, none larger than cap[n], what one cannot use goes to the others. */
void xg_time_share(const uint64_t *cap, uint32_t n, uint64_t *rate);

#endif
