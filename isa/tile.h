/* Names of the tile family's engines, memories, instructions and operand positions, made from
 * tile_rows.h. */
#ifndef XG_TILE_H
#define XG_TILE_H

#include "isa/family.h"

enum { XG_TILE_LOAD, XG_TILE_SAVE, XG_TILE_CONV, XG_TILE_MISC, XG_TILE_ENGINES };
enum { XG_MEM_DDR, XG_MEM_FM, XG_MEM_W, XG_MEM_PARAM, XG_TILE_MEMS };

enum {
#define INST(name, mnemonic, engine, init, doc) XG_T_##name,
#include "isa/tile_rows.h"
    XG_T_COUNT
};
/* XG_F(CONV, rows) = position of operand `rows` of CONV in xg_inst.f */
enum {
#define INST(name, mnemonic, engine, init, doc) XG_TFIRST_##name,
#define OPER(inst, name, sign, doc)             XG_TPOS_##inst##_##name,
#include "isa/tile_rows.h"
    XG_TPOS_END
};
/* A start marker and one entry an operand are counted above; an operand's position is their
 * distance. */
#define XG_F(inst, name) ((int)XG_TPOS_##inst##_##name - (int)XG_TFIRST_##inst - 1)

/* The instruction table (isa/tile_desc.c); the family's row points at it. */
extern const xg_inst_desc xg_tile_inst[XG_T_COUNT];
extern const xg_family xg_tile_family;
/* tile_reach.c: no word lies where an address field of the encoding does not reach. */
struct xg_machine;
void xg_tile_clip_memories(struct xg_machine *m);

#endif
