/* A machine: what one YAML file says. No machine number stands in C.
 *
 * Every field of the file is used and range-checked; unknown, missing and impossible ones are
 * refused with line and column. The encoding file named by it (or the family's built-in default)
 * gives the bits of instructions.
 */
#ifndef XG_MACHINE_H
#define XG_MACHINE_H

#include "base/base.h"
#include "base/fixed.h"
#include "isa/family.h"

/* The tile family's numbers. Words are icp bytes wide. */
typedef struct xg_tile_machine {
    uint32_t pp;          /* output rows computed at once = feature-map banks */
    uint32_t icp, ocp;    /* input and output channels at once */
    uint32_t fm_depth;    /* words in each of the pp feature-map banks */
    uint32_t w_depth;     /* words in each of the ocp weight banks */
    uint32_t param_bytes; /* parameter memory: bias/requantise records, depthwise weights, tables */
    uint32_t misc_rows;   /* rows the MISC engine handles at once (<= pp) */
    uint32_t kernel_max;  /* conv and depthwise kernels, 1..this */
    uint32_t stride_max, dilation_max;
    uint32_t pool_kernel_max, pool_stride_max;
    uint32_t elew_mul; /* 1: ELEW multiplies too */
    uint32_t lut;      /* 1: 256-entry tables */
    /* timing, in cycles; derivations in isa/TIMING.md */
    uint32_t conv_start, misc_start, load_start, save_start, dispatch;
    uint32_t queue_depth; /* instructions waiting in front of each engine */
    uint32_t token_max;   /* highest value of a token counter */
    uint32_t port_bytes;  /* bytes a cycle between one LOAD or SAVE engine and DDR */
} xg_tile_machine;

typedef struct xg_ddr {
    uint64_t bytes;                /* size of the memory */
    uint32_t bytes_per_cycle_x256; /* peak bytes a core cycle, times 256 */
    uint32_t latency;              /* cycles from request to first data */
    uint32_t
        burst_bytes; /* a transfer is split in bursts of at most this, not crossing its multiples */
    uint32_t burst_overhead;  /* cycles lost by each burst (row activation, bus turnaround) */
    uint32_t efficiency_x256; /* share left after refresh */
} xg_ddr;

typedef struct xg_machine {
    const char *name, *text_path; /* text_path: where it was read from, or "built-in" */
    const char *description;
    const xg_family *family;
    const struct xg_encoding *encoding;
    const char *encoding_file; /* as the machine file or the caller wrote it; "default" */
    uint32_t clock_khz;
    uint32_t cores;
    xg_ddr ddr;
    const char *profile; /* name of the requantisation profile, or "custom" */
    xg_rqrec rq;
    xg_tile_machine tile;     /* family tile; memories as far as the encoding's addresses reach */
    xg_tile_machine declared; /* as the file has it */
    uint32_t interleave_max;  /* family tile: largest that all instructions' views can have */
    char digest[65];          /* SHA-256 of the canonical text of all numbers */
} xg_machine;

/* Reads a machine: a path to a YAML file, or the name of a shipped one ("zu9"). encoding_path
 * overrides the encoding (NULL = what the machine says). Everything lives in the arena. */
XG_MUST_USE xg_status xg_machine_load(xg_arena *a, const char *name_or_path,
                                      const char *encoding_path, xg_machine **out);
/* Names of the shipped machines, NULL-terminated. */
const char *const *xg_machine_names(void);
/* YAML text that reads back to the same machine. */
void xg_machine_print(const xg_machine *m, xg_buf *out);
/* Peak operations (2 x MAC) a second. */
double xg_machine_peak_ops(const xg_machine *m);

#endif
