/* Instruction encodings as data: an encoding file says in which bits each operand lies.
 *
 * Little-endian 32-bit words, 1 to 12 a instruction. `opcode`, `wait` and `post` have places of
 * their own that are the same in every instruction, so a decoder can find the length. Operands are
 * stored minus their bias, divided by their unit.
 */
#ifndef XG_ENCODING_H
#define XG_ENCODING_H

#include "isa/family.h"

enum { XG_INST_WORDS_MAX = 16 };

typedef struct xg_field {
    uint8_t word, lsb, width; /* lsb + width <= 32 */
    int32_t bias;             /* stored = (value - bias) / unit */
    uint32_t unit;            /* value must be a multiple of it */
} xg_field;

typedef struct xg_encoding {
    const char *name;
    const xg_family *family;
    xg_field opcode, wait, post; /* word 0 */
    uint8_t *code;               /* [ninst] opcode value */
    uint8_t *words;              /* [ninst] length */
    const xg_field **field;      /* [ninst][noperand] */
    char digest[65];
} xg_encoding;

/* NULL path: the family's built-in default. */
XG_MUST_USE xg_status xg_encoding_load(xg_arena *a, const xg_family *f, const char *path,
                                       xg_encoding **out);
void xg_encoding_print(const xg_encoding *e, xg_buf *out); /* the YAML file */
/* Writes words; returns their number. A value that does not fit: LIMIT, naming instruction, field,
 * value, limits. */
XG_MUST_USE xg_status xg_encode(xg_ctx *c, const xg_encoding *e, const xg_inst *in,
                                const char *where, uint32_t out[XG_INST_WORDS_MAX],
                                uint32_t *nwords);
/* Reads one instruction; reserved bits must be zero. */
XG_MUST_USE xg_status xg_decode(xg_ctx *c, const xg_encoding *e, const uint32_t *in, size_t nwords,
                                const char *where, xg_inst *out, uint32_t *used);
/* Largest and smallest value that operand i of op can hold (for the code generator). */
void xg_encoding_range(const xg_encoding *e, uint8_t op, uint8_t operand, int64_t *lo, int64_t *hi);
/* Manuals printed from the tables: "md", "h", "sv", "yaml". */
XG_MUST_USE xg_status xg_isa_manual(xg_ctx *c, const struct xg_machine *m, const char *form,
                                    xg_buf *out);

#endif
