#include "isa/tile.h"

/* clang-format off */

/* One operand table an instruction: an INST row ends the table before it and opens its own. */
static const xg_operand_desc before_first[] __attribute__((unused)) = {
#define INST(name, mnemonic, engine, init, doc)                                                    \
    {NULL, false, NULL}}; static const xg_operand_desc operands_##name[] = {
#define OPER(inst, name, sign, doc) {#name, sign, doc},
#include "isa/tile_rows.h"
    {NULL, false, NULL}
};

const xg_inst_desc xg_tile_inst[XG_T_COUNT] = {
#define INST(name, mnemonic, engine, init, doc)                                                    \
    {mnemonic, XG_TILE_##engine, init, XG_COUNT(operands_##name) - 1, operands_##name, doc},
#include "isa/tile_rows.h"
};

/* Every instruction fits the fixed array of operands. */
#define INST(name, mnemonic, engine, init, doc)                                                    \
    _Static_assert(XG_COUNT(operands_##name) - 1 <= XG_OPERANDS_MAX, mnemonic);
#include "isa/tile_rows.h"
