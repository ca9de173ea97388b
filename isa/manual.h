/* The manuals that are printed from the tables (xg_isa_manual). Internal to isa/. */
#ifndef XG_MANUAL_H
#define XG_MANUAL_H

#include "isa/encoding.h"
#include "isa/machine.h"

/* name in capitals, in the arena. */
const char *xg_manual_upper(xg_arena *a, const char *name);
/* The page for people. */
void xg_manual_markdown(const xg_machine *m, xg_buf *out);
/* C99 (and C++): numbers of every field, and macros that pack and unpack. */
void xg_manual_header(const xg_machine *m, xg_buf *out);
/* The same for SystemVerilog (IEEE 1800): one package. */
void xg_manual_package(const xg_machine *m, xg_buf *out);

#endif
