#include "isa/manual.h"

#include <inttypes.h>
#include <string.h>

/* What both languages say the same way: a line of comment for each line here. */
static const char *const licence[] = {
    "SPDX-License-Identifier: MIT",
    "",
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this file, to",
    "deal in it without restriction, including without limitation the rights to use, copy, modify,",
    "merge, publish, distribute, sublicense, and/or sell copies of it, and to permit persons to "
    "whom",
    "it is furnished to do so, subject to the condition that this notice is included in all copies",
    "or substantial portions of it. It is provided \"as is\", without warranty of any kind, "
    "express "
    "or",
    "implied, including but not limited to the warranties of merchantability, fitness for a",
    "particular purpose and noninfringement. In no event shall the authors be liable for any "
    "claim,",
    "damages or other liability arising from, out of or in connection with it or its use.",
};

static void put_head(const xg_machine *m, xg_buf *b) {
    xg_putf(b,
            "// Instruction set of machine %s, printed by xgc; not edited by hand. Words are "
            "32 bits.\n//\n",
            m->name);
    for (size_t i = 0; i < XG_COUNT(licence); i++)
        xg_putf(b, "//%s%s\n", *licence[i] ? " " : "", licence[i]);
    xg_puts(b, "\n");
}

/* A statement a field: number(b, name, value). */
typedef void number_fn(xg_buf *b, const char *name, int64_t value);

static void field_numbers(xg_buf *b, number_fn *number, const char *inst, const char *operand,
                          const xg_field *f, bool is_signed) {
    const struct {
        const char *what;
        int64_t value;
    } rows[] = {{"WORD", f->word},     {"LSB", f->lsb},   {"WIDTH", f->width},
                {"SIGNED", is_signed}, {"BIAS", f->bias}, {"UNIT", f->unit}};
    for (size_t i = 0; i < XG_COUNT(rows); i++)
        number(b, xg_strf(b->arena, "%s_%s_%s", inst, operand, rows[i].what), rows[i].value);
}

/* Machine, engines, header fields, then every instruction's length and fields. */
static void all_numbers(const xg_machine *m, number_fn *number, xg_buf *b) {
    const xg_encoding *e = m->encoding;
    const xg_family *f = m->family;
    const struct {
        const char *name;
        int64_t value;
    } machine[] = {{"CORES", m->cores},
                   {"PP", m->tile.pp},
                   {"ICP", m->tile.icp},
                   {"OCP", m->tile.ocp},
                   {"FM_DEPTH", m->tile.fm_depth},
                   {"W_DEPTH", m->tile.w_depth},
                   {"PARAM_BYTES", m->tile.param_bytes},
                   {"TOKEN_MAX", m->tile.token_max}};
    for (size_t i = 0; i < XG_COUNT(machine); i++)
        number(b, xg_strf(b->arena, "MACHINE_%s", machine[i].name), machine[i].value);
    for (uint32_t i = 0; i < f->nengine; i++)
        number(b, xg_strf(b->arena, "ENGINE_%s", xg_manual_upper(b->arena, f->engine_names[i])), i);
    field_numbers(b, number, "HEAD", "OPCODE", &e->opcode, false);
    field_numbers(b, number, "HEAD", "WAIT", &e->wait, false);
    field_numbers(b, number, "HEAD", "POST", &e->post, false);
    for (uint8_t op = 0; op < f->ninst; op++) {
        const xg_inst_desc *d = &f->inst[op];
        const char *inst = xg_manual_upper(b->arena, d->mnemonic);
        xg_putf(b, "\n// %s\n", d->doc);
        number(b, xg_strf(b->arena, "%s_LENGTH", inst), e->words[op]);
        for (uint8_t i = 0; i < d->noperand; i++)
            field_numbers(b, number, inst, xg_manual_upper(b->arena, d->operand[i].name),
                          &e->field[op][i], d->operand[i].is_signed);
    }
}

/* ---- C --------------------------------------------------------------------------------------- */

static void c_number(xg_buf *b, const char *name, int64_t value) {
    if (value == INT32_MIN)
        xg_putf(b, "#define XGC_%s (-2147483647 - 1)\n", name);
    else
        xg_putf(b, "#define XGC_%s %s%" PRId64 "%s\n", name, value < 0 ? "(" : "", value,
                value < 0 ? ")" : "");
}

static const char helpers[] =
    "\n"
    "// An operand's value in and out of the words of its instruction:\n"
    "//     XGC_SET(words, CONV, ROWS, 8);  n = XGC_GET(words, CONV, ROWS);\n"
    "// The words are zero before XGC_SET; the value is one that the field can hold.\n"
    "#define XGC_SET(words, inst, field, value)                                            \\\n"
    "    xgc_put((words) + XGC_##inst##_##field##_WORD, XGC_##inst##_##field##_LSB,        \\\n"
    "            XGC_##inst##_##field##_WIDTH,                                             \\\n"
    "            ((int64_t)(value) - XGC_##inst##_##field##_BIAS) / "
    "XGC_##inst##_##field##_UNIT)\n"
    "#define XGC_GET(words, inst, field)                                                   \\\n"
    "    (xgc_get((words) + XGC_##inst##_##field##_WORD, XGC_##inst##_##field##_LSB,       \\\n"
    "             XGC_##inst##_##field##_WIDTH, XGC_##inst##_##field##_SIGNED) *           \\\n"
    "         XGC_##inst##_##field##_UNIT +                                                \\\n"
    "     XGC_##inst##_##field##_BIAS)\n"
    "\n"
    "static inline void xgc_put(uint32_t *word, unsigned lsb, unsigned width, int64_t stored) {\n"
    "    *word |= (uint32_t)(((uint64_t)stored & (((uint64_t)1 << width) - 1)) << lsb);\n"
    "}\n"
    "\n"
    "static inline int64_t xgc_get(const uint32_t *word, unsigned lsb, unsigned width, int "
    "is_signed) {\n"
    "    int64_t v = (int64_t)((*word >> lsb) & (((uint64_t)1 << width) - 1));\n"
    "    return is_signed && v >> (width - 1) ? v - ((int64_t)1 << width) : v;\n"
    "}\n";

void xg_manual_header(const xg_machine *m, xg_buf *b) {
    const xg_encoding *e = m->encoding;
    put_head(m, b);
    xg_puts(b, "#ifndef XGC_ISA_H\n#define XGC_ISA_H\n\n#include <stdint.h>\n\n");
    xg_putf(b, "#define XGC_MACHINE_NAME \"%s\"\n#define XGC_MACHINE_DIGEST \"%s\"\n", m->name,
            m->digest);
    xg_putf(b, "#define XGC_ENCODING_NAME \"%s\"\n#define XGC_ENCODING_DIGEST \"%s\"\n\n", e->name,
            e->digest);
    for (uint8_t op = 0; op < e->family->ninst; op++)
        c_number(
            b, xg_strf(b->arena, "OP_%s", xg_manual_upper(b->arena, e->family->inst[op].mnemonic)),
            e->code[op]);
    xg_puts(b, "\n");
    all_numbers(m, c_number, b);
    xg_puts(b, helpers);
    xg_puts(b, "\n#endif\n");
}

/* ---- SystemVerilog --------------------------------------------------------------------------- */

static void sv_number(xg_buf *b, const char *name, int64_t value) {
    xg_putf(b, "  localparam int %s = %" PRId64 ";\n", name, value);
}

static void sv_functions(const xg_encoding *e, xg_buf *b) {
    const xg_family *f = e->family;
    xg_puts(b, "\n  // Words of an instruction, by its first word's opcode; 0: no such opcode.\n"
               "  function automatic int length(input opcode_e op);\n    case (op)\n");
    for (uint8_t op = 0; op < f->ninst; op++) {
        const char *name = xg_manual_upper(b->arena, f->inst[op].mnemonic);
        xg_putf(b, "      OP_%s: return %s_LENGTH;\n", name, name);
    }
    xg_puts(b, "      default: return 0;\n    endcase\n  endfunction\n\n"
               "  // The bits [lsb, lsb + width) of a word, extended by sign when is_signed is 1.\n"
               "  function automatic logic signed [32:0] field(input logic [31:0] word, input int "
               "lsb,\n"
               "                                               input int width, input int "
               "is_signed);\n"
               "    logic signed [32:0] v;\n"
               "    v = {1'b0, word >> lsb} & ((33'sd1 << width) - 33'sd1);\n"
               "    if (is_signed != 0 && v[width-1]) v = v - (33'sd1 << width);\n"
               "    return v;\n"
               "  endfunction\n");
}

void xg_manual_package(const xg_machine *m, xg_buf *b) {
    const xg_encoding *e = m->encoding;
    put_head(m, b);
    xg_putf(b, "package xgc_%s_pkg;\n\n", m->family->name);
    xg_putf(b, "  localparam string MACHINE_NAME = \"%s\";\n", m->name);
    xg_putf(b, "  localparam string MACHINE_DIGEST = \"%s\";\n", m->digest);
    xg_putf(b, "  localparam string ENCODING_NAME = \"%s\";\n", e->name);
    xg_putf(b, "  localparam string ENCODING_DIGEST = \"%s\";\n\n", e->digest);
    xg_putf(b, "  typedef enum logic [%d:0] {", e->opcode.width - 1);
    for (uint8_t op = 0; op < e->family->ninst; op++)
        xg_putf(b, "%s\n    OP_%s = %d'd%d", op ? "," : "",
                xg_manual_upper(b->arena, e->family->inst[op].mnemonic), e->opcode.width,
                e->code[op]);
    xg_puts(b, "\n  } opcode_e;\n\n");
    all_numbers(m, sv_number, b);
    sv_functions(e, b);
    xg_puts(b, "\nendpackage\n");
}
