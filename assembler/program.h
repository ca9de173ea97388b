/* A compiled program in memory: what an .xgb file holds.
 *
 * The plan is a list of steps: host steps run nodes of the embedded host graph in float or integer
 * by the reference interpreter; accelerator steps run one segment on all cores until END. Tensors
 * at step borders have a place in DDR (dense or strided NHWC) and, when host nodes use them, a
 * tensor of the host graph with the same name.
 */
#ifndef XG_PROGRAM_H
#define XG_PROGRAM_H

#include "isa/encoding.h"
#include "isa/machine.h"
#include "isa/sim.h"
#include "xgraph/xgraph.h"

/* Where a slice of a tensor lies: DDR (bytes) or an on-chip view (words, see isa/tile_rows.h). */
typedef struct xg_place {
    bool on_chip;
    uint8_t region;                /* DDR */
    uint32_t addr;                 /* DDR: byte address of element [n0,h0,w0,c0]; chip: view addr */
    uint32_t row_step, pix_step;   /* DDR: bytes; chip: words */
    uint32_t row0, ring, il, lane; /* chip */
    uint32_t image_step;           /* DDR: bytes from image to image */
} xg_place;

typedef struct xg_prog_tensor {
    const char *name, *onnx; /* XGraph name (equal to the reference graph's), ONNX name or NULL */
    xg_dtype dtype;          /* i8 */
    int64_t dim[4];          /* N H W C */
    float scale;
    int32_t zp;
    xg_place place;    /* in DDR */
    bool materialised; /* false: never written to DDR (lives on chip only) */
} xg_prog_tensor;

/* One piece of a tensor made by a range of instructions of one core: for check, report and
 * disassembly. */
typedef struct xg_map_row {
    uint32_t segment, core;
    uint32_t first, last;               /* instructions [first, last) */
    uint32_t tensor;                    /* produced (or moved) tensor: index into tensors */
    uint32_t group, tile;               /* numbers in the .plan */
    const char *node;                   /* XGraph node name */
    const char *onnx;                   /* ONNX node names or NULL */
    uint32_t n, h0, h1, w0, w1, c0, c1; /* slice [h0,h1) x [w0,w1) x [c0,c1) of image n */
    uint32_t flat;  /* not 0: h and w count in rows of so many pixels, instead of the tensor's own;
                       pixel h * flat + w of the map */
    xg_place place; /* where the slice lies after instruction last-1; final value */
} xg_map_row;

/* Number of a pixel of the row's slice among its image's pixels. */
static inline uint64_t xg_map_pixel(const xg_map_row *r, const xg_prog_tensor *t, uint32_t h,
                                    uint32_t w) {
    return (uint64_t)h * (r->flat ? r->flat : (uint64_t)t->dim[2]) + w;
}
/* Whether the row's slice lies in its tensor. */
bool xg_map_fits(const xg_map_row *r, const xg_prog_tensor *t);

typedef enum xg_step_kind { XG_STEP_HOST, XG_STEP_ACCEL } xg_step_kind;
typedef struct xg_step {
    xg_step_kind kind;
    uint32_t segment; /* XG_STEP_ACCEL */
    uint32_t nnode;   /* XG_STEP_HOST: nodes of the host graph, in order */
    const uint32_t *node;
    uint32_t nread,
        nwritten; /* XG_STEP_ACCEL: program tensors copied to DDR before, read back after */
    const uint32_t *read, *written;
} xg_step;

typedef struct xg_program {
    const char *tool_version, *input_digest, *options; /* provenance; no path, no time */
    const char *machine_name, *machine_digest, *encoding_digest, *record_text;
    const char *strategy;    /* "layer", "greedy", ... */
    const char *solver_note; /* value, bound, gap; "" when none */
    uint32_t ncore;
    uint64_t region_bytes[XG_REGIONS];
    xg_bytes constants; /* content of region XG_REG_CONST */
    XG_VEC(xg_segment) segment;
    XG_VEC(xg_prog_tensor) tensor;
    XG_VEC(xg_map_row) map;
    XG_VEC(xg_step) step;
    const xg_graph *host; /* host nodes and border tensors; graph inputs/outputs are the model's */
} xg_program;

/* ---- .xgb (ELF; assembler/XGB.md)
 * ---------------------------------------------------------------------- */

XG_MUST_USE xg_status xg_xgb_write(xg_ctx *c, const xg_machine *m, const xg_program *p,
                                   xg_buf *out);
/* Refuses: damaged files (digest of all content), another format version, another machine or
 * encoding than m's (m NULL: not compared), with both values in the message. */
XG_MUST_USE xg_status xg_xgb_read(xg_arena *a, const char *path, const void *data, size_t n,
                                  const xg_machine *m, xg_program **out);
/* Name of the machine that the file was built for, without further checks. */
XG_MUST_USE xg_status xg_xgb_machine(xg_arena *a, const char *path, const void *data, size_t n,
                                     const char **name);

/* ---- .xs (assembly text; assembler/XS.md)
 * ---------------------------------------------------------------- */

/* Everything in the program as text: directives for regions, constants (hex or .incbin-free
 * base64), tensors, map, steps, then segments, cores and instructions with labels from the map.
 * parse(print(p)) encodes to the same bytes. */
XG_MUST_USE xg_status xg_xs_print(xg_ctx *c, const xg_machine *m, const xg_program *p, xg_buf *out);
XG_MUST_USE xg_status xg_xs_parse(xg_arena *a, const char *path, const char *text, size_t n,
                                  const xg_machine *m, xg_program **out);
/* One instruction as text, e.g. "conv in_addr=0 ... wait=LOAD post=SAVE". */
void xg_inst_print(const xg_family *f, const xg_inst *in, xg_buf *out);

#endif
