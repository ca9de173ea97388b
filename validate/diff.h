/* Two programs -> what differs between them, by meaning: header facts, tensors, map, steps,
 * constants, instructions. */
#ifndef XG_DIFF_H
#define XG_DIFF_H

#include "assembler/program.h"

typedef struct xg_diff_line {
    const char *what;  /* "tensor 'conv1'", "segment 0 core 1 instruction 12" */
    const char *a, *b; /* NULL: absent on that side */
} xg_diff_line;

typedef struct xg_diff {
    XG_VEC(xg_diff_line) line; /* the first XG_DIFF_LINES_MAX differences */
    uint64_t differences;      /* all of them */
} xg_diff;

enum { XG_DIFF_LINES_MAX = 200 };

/* Both programs are of the same family f. Instruction streams are aligned by their common head and
 * tail; what is between is compared in order. Text lives in a. */
void xg_diff_programs(xg_arena *a, const xg_family *f, const xg_program *p, const xg_program *q,
                      xg_diff *out);
void xg_diff_print_text(const xg_diff *d, xg_buf *out);
void xg_diff_print_json(const xg_diff *d, xg_buf *out);

#endif
