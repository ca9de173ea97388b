/* What the printer and the parser of .xs text (XS.md) share. Internal to assembler/. */
#ifndef XG_XS_H
#define XG_XS_H

#include "assembler/program.h"

enum { XG_XS_VERSION = 1, XG_XS_HEX_BYTES = 32 };

/* Names of the DDR regions, by number; ends with NULL. */
extern const char *const xg_xs_region_names[XG_REGIONS + 1];
/* The value of an operand that a line of assembly leaves out: 1 for what counts from one and
 * usually is one (kernel, strides, dilations, interleave, fold), else 0. */
int32_t xg_xs_default(const char *operand);

/* Completes a parsed program: identity of the machine, record, one step a segment when there is no
 * step, a host graph without nodes when there is none. */
XG_MUST_USE xg_status xg_xs_fill(xg_arena *a, const xg_machine *m, bool host_given, xg_program *p);

/* Numbers of a place, by key: X(key, member). A zero is left out in text. */
#define XG_XS_PLACE(X)                                                                             \
    X(addr, addr)                                                                                  \
    X(row, row_step)                                                                               \
    X(pix, pix_step)                                                                               \
    X(image, image_step)                                                                           \
    X(row0, row0)                                                                                  \
    X(ring, ring)                                                                                  \
    X(il, il)                                                                                      \
    X(lane, lane)

#endif
