#include "isa/manual.h"

#include "isa/tile.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

const char *xg_manual_upper(xg_arena *a, const char *name) {
    char *s = xg_strdup(a, name);
    for (char *p = s; *p; p++) *p = (char)toupper((unsigned char)*p);
    return s;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void put_memories(const xg_machine *m, xg_buf *b) {
    xg_puts(b, "\n## Memories of a core\n\n"
               "| memory | banks | words in a bank | bytes in a word | bytes |\n"
               "|---|---|---|---|---|\n");
    for (uint8_t i = 1; i < m->family->nmem; i++) {
        xg_mem_desc d;
        m->family->mem_desc(m, i, &d);
        xg_putf(b, "| %s | %u | %u | %u | %" PRIu64 " |\n", d.name, d.banks, d.depth, d.word_bytes,
                (uint64_t)d.banks * d.depth * d.word_bytes);
    }
    xg_putf(b,
            "\nDDR: %" PRIu64 " bytes, shared by all cores, in %d regions with a base register "
            "each: 0 constants, 1 workspace,\n2 inputs, 3 outputs. Byte addresses of instructions "
            "count from the region's base.\n",
            m->ddr.bytes, XG_REGIONS);
}

static const char *const method_formula[] = {
    [XG_RQ_SHIFT] = "y = round(acc / 2^shift)",
    [XG_RQ_MULSHIFT] = "y = round(acc * mult / 2^shift)",
    [XG_RQ_MULSHIFT2] = "y = round2(round(acc * 2^max(-shift, 0) * mult / 2^mul_bits) / "
                        "2^max(shift, 0))",
    [XG_RQ_F32] = "y = round(f32(f32(acc) * mult) clamped to [lo - zp_out, hi - zp_out]), mult a "
                  "binary32; shift is not used",
};
static const char *const add_formula[] = {
    [XG_ADD_F32_FMA] = "y = round(clamp(fma(a, mult_a, fma(b, mult_b, mult_o)))), binary32; mult_o "
                       "holds the zero points",
    [XG_ADD_F32] = "y = round(clamp((mult_o + a * mult_a) + b * mult_b)), every step rounded to "
                   "binary32; mult_o holds the zero points",
    [XG_ADD_SHIFT] = "y = round(((a - zp_a) * 2^shift_a + (b - zp_b) * 2^shift_b) / 2^shift_o)",
    [XG_ADD_TFLITE] = "y = Q(Q((a - zp_a) * 2^20, a) + Q((b - zp_b) * 2^20, b), o), Q(v, x) the "
                      "formula above with mult_x and shift_x",
    [XG_ADD_MULSHIFT] = "y = round(((a - zp_a) * mult_a + (b - zp_b) * mult_b) / 2^shift_o)",
};
static const char *const pool_formula[] = {
    [XG_POOL_F32] = ("window: y = round(clamp(sum of f32((x - zp_in) * mult) / count / mult2 + "
                     "zp_out)), binary32; whole map: y = round(clamp(f32(sum) * mult))"),
    [XG_POOL_MULSHIFT] = "y = round(sum * mult / 2^shift)",
    [XG_POOL_DPU] = "y = round(sum * mult / 2^shift)",
    [XG_POOL_EXACT] = "y = half_away((sum of raw values + zp_out * missing taps) / count)",
};

static void put_record(const xg_machine *m, xg_buf *b) {
    const xg_rqrec *r = &m->rq;
    xg_putf(b, "\n## Arithmetic\n\nProfile `%s`:\n\n    ", m->profile);
    xg_rqrec_print(r, b);
    xg_puts(b, "\n\n| unit | formula, before `+ zp_out` and the clamp to [lo, hi] |\n|---|---|\n");
    xg_putf(b, "| requantise | %s |\n", method_formula[r->method]);
    xg_putf(b, "| add | %s |\n", add_formula[r->add]);
    xg_putf(b, "| average | %s |\n", pool_formula[r->pool]);
    xg_putf(b, "\nround: `%s`", xg_rounding_name(r->rounding[0]));
    if (r->method == XG_RQ_MULSHIFT2)
        xg_putf(b, "; round2: `%s`", xg_rounding_name(r->rounding[1]));
    xg_puts(b, ". The exact datapath, stage by stage: DATAPATH.md. The definition: "
               "base/fixed.h.\n");
}

/* ---- what the tile family's operands mean together ------------------------------------------- */

static void put_tile_notes(const xg_machine *m, xg_buf *b) {
    const xg_tile_machine *t = &m->tile;
    xg_putf(b,
            "\n## Views\n\n"
            "A view is a piece of a feature map on chip. Row r, pixel x, channel c of a view lies "
            "at\n\n"
            "    h    = row0 + r;  if (ring) h %%= ring\n"
            "    bank = (h / il) %% %u\n"
            "    word = addr + (h / (il * %u) * il + h %% il) * row + x * pix + (lane + c) / %u\n"
            "    byte = (lane + c) %% %u\n\n"
            "Divisions are those of unsigned integers. `il` is the vertical stride of the reader: "
            "rows that are read together\nlie in different banks. `ring` makes rows wrap, so that "
            "a band of a map slides through a fixed piece of memory.\n",
            t->pp, t->pp, t->icp, t->icp);
    xg_putf(b,
            "\n## Weights, parameters, partial sums\n\n"
            "- CONV: the weights of output channel o lie in weight bank o, from word w_addr on, as "
            "[kh][kw][icw] words of %u input\n  channels. At most %u rows and %u output channels "
            "an instruction.\n"
            "- DWCONV: the weights lie in the parameter memory as [kh][kw][ceil(ch/%u)*%u] "
            "bytes.\n"
            "- A parameter record for each output channel, in order: i32 bias; with `chan` = 1 "
            "also i32 mult and i32 shift\n  (12 bytes instead of 4). Little-endian.\n"
            "- Partial sums: row r in bank r, pixel x from word psum + x * %u on, an i32 for each "
            "output channel.\n"
            "- An output must not overlap what its instruction reads; LUT and ELEW may work "
            "exactly in place.\n",
            t->icp, t->pp, t->ocp, t->icp, t->icp, (4 * t->ocp + t->icp - 1) / t->icp);
}

/* ---- control --------------------------------------------------------------------------------- */

static void put_control(const xg_machine *m, xg_buf *b) {
    const xg_encoding *e = m->encoding;
    const xg_family *f = e->family;
    xg_putf(b,
            "\n## Words, engines, tokens\n\n"
            "An instruction is 1 to %d little-endian 32-bit words. Bit 0 is the lowest. Opcode, "
            "wait and post lie in the same bits of\nword 0 of every instruction; the opcode gives "
            "the length. Bits shown as 0 are reserved and must be zero.\n\n"
            "| bits | field | meaning |\n|---|---|---|\n",
            XG_INST_WORDS_MAX);
    const xg_field *field[] = {&e->opcode, &e->wait, &e->post};
    static const char *const name[] = {"opcode", "wait", "post"};
    static const char *const doc[] = {
        "which instruction",
        "bit i: take one token from engine i before starting",
        "bit i: give one token to engine i when finished",
    };
    for (size_t i = 0; i < XG_COUNT(field); i++)
        xg_putf(b, "| %d..%d | %s | %s |\n", field[i]->lsb + field[i]->width - 1, field[i]->lsb,
                name[i], doc[i]);
    xg_puts(b, "\nEngines: ");
    for (uint32_t i = 0; i < f->nengine; i++)
        xg_putf(b, "%s%u %s", i ? ", " : "", i, f->engine_names[i]);
    xg_puts(b, ".\n\n"
               "- A core hands its instructions to the engines' queues in program order; every "
               "engine runs its own in order.\n"
               "- Tokens are counters, one for each ordered pair of engines of a core; ");
    xg_putf(b,
            "a counter holds 0 to %u. At the start of a segment all are 0.\n"
            "- An INIT instruction sets registers of its engine; they hold until the next one of "
            "the same name. At the start of a segment\n  they are not set.\n"
            "- Cores meet with SIGNAL and AWAIT: AWAIT holds its engine until every core has "
            "executed `count` SIGNALs in this segment.\n",
            m->tile.token_max);
}

/* ---- an instruction -------------------------------------------------------------------------- */

typedef struct cell {
    const char *name;
    uint32_t msb, lsb;
} cell;

/* Fields of one word from bit 31 down, gaps as "0"; at most 64. Returns their number. */
static uint32_t cells_of(const xg_encoding *e, uint8_t op, uint32_t word, xg_arena *a, cell *out) {
    const xg_inst_desc *d = &e->family->inst[op];
    const char *at[32] = {NULL};
    const xg_field *field[3 + XG_OPERANDS_MAX] = {&e->opcode, &e->wait, &e->post};
    const char *name[3 + XG_OPERANDS_MAX] = {xg_strf(a, "opcode = %d", e->code[op]), "wait",
                                             "post"};
    for (uint32_t i = 0; i < d->noperand; i++) {
        field[3 + i] = &e->field[op][i];
        name[3 + i] = d->operand[i].name;
    }
    for (uint32_t i = 0; i < 3u + d->noperand; i++)
        for (uint32_t k = 0; field[i]->word == word && k < field[i]->width; k++)
            at[field[i]->lsb + k] = name[i];
    uint32_t n = 0;
    for (uint32_t bit = 32; bit-- > 0;) {
        const char *s = at[bit] ? at[bit] : "0";
        if (n && !strcmp(out[n - 1].name, s))
            out[n - 1].lsb = bit;
        else
            out[n++] = (cell){s, bit, bit};
    }
    return n;
}

static void put_drawing(const xg_encoding *e, uint8_t op, xg_buf *b) {
    xg_puts(b, "\n```\n");
    for (uint32_t w = 0; w < e->words[op]; w++) {
        cell c[32];
        uint32_t n = cells_of(e, op, w, b->arena, c);
        xg_buf bits = {.arena = b->arena}, names = {.arena = b->arena};
        for (uint32_t i = 0; i < n; i++) {
            const char *range = c[i].msb == c[i].lsb
                                    ? xg_strf(b->arena, "%u", c[i].lsb)
                                    : xg_strf(b->arena, "%u..%u", c[i].msb, c[i].lsb);
            size_t wide = strlen(range) > strlen(c[i].name) ? strlen(range) : strlen(c[i].name);
            xg_putf(&bits, " %-*s |", (int)wide, range);
            xg_putf(&names, " %-*s |", (int)wide, c[i].name);
        }
        xg_putf(b, "word %-2u |%s\n        |%s\n", w, bits.p, names.p);
    }
    xg_puts(b, "```\n");
}

/* What the bits hold: "value", "value - 1", "(value - 32) / 16"; signed ones in two's complement.
 */
static const char *stored(const xg_field *f, bool is_signed, xg_arena *a) {
    const char *s = is_signed ? "value, signed" : "value";
    if (f->bias)
        s = xg_strf(a, "value %c %" PRId64 "%s", f->bias < 0 ? '+' : '-',
                    f->bias < 0 ? -(int64_t)f->bias : f->bias, is_signed ? ", signed" : "");
    return f->unit == 1 ? s
                        : xg_strf(a, "(value - %" PRId32 ") / %" PRIu32 "%s", f->bias, f->unit,
                                  is_signed ? ", signed" : "");
}

static void put_inst(const xg_encoding *e, uint8_t op, xg_buf *b) {
    const xg_inst_desc *d = &e->family->inst[op];
    xg_putf(b, "\n### %s\n\n%s Engine %s%s. Opcode %d, %d word%s.\n",
            xg_manual_upper(b->arena, d->mnemonic), d->doc, e->family->engine_names[d->engine],
            d->is_init ? "; sets registers" : "", e->code[op], e->words[op],
            e->words[op] == 1 ? "" : "s");
    put_drawing(e, op, b);
    if (!d->noperand) return;
    xg_puts(b, "\n| operand | word | bits | stored | from | to | meaning |\n"
               "|---|---|---|---|---|---|---|\n");
    for (uint8_t i = 0; i < d->noperand; i++) {
        const xg_field *f = &e->field[op][i];
        int64_t lo, hi;
        xg_encoding_range(e, op, i, &lo, &hi);
        xg_putf(b, "| %s | %d | %d..%d | %s | %" PRId64 " | %" PRId64 " | %s |\n",
                d->operand[i].name, f->word, f->lsb + f->width - 1, f->lsb,
                stored(f, d->operand[i].is_signed, b->arena), lo, hi, d->operand[i].doc);
    }
}

void xg_manual_markdown(const xg_machine *m, xg_buf *b) {
    const xg_family *f = m->family;
    const xg_encoding *e = m->encoding;
    xg_putf(b,
            "# Instruction set of machine %s\n\n"
            "Printed by `xgc isa -m %s`; not edited by hand. %s.\n\n"
            "| | |\n|---|---|\n| family | %s |\n| cores | %u |\n"
            "| array | %u rows x %u input channels x %u output channels, %u x %u x %u "
            "multiply-accumulates a cycle and core |\n| machine digest | `%.16s` |\n"
            "| encoding | `%s`, digest `%.16s` |\n",
            m->name, m->name, m->description, f->name, m->cores, m->tile.pp, m->tile.icp,
            m->tile.ocp, m->tile.pp, m->tile.icp, m->tile.ocp, m->digest, e->name, e->digest);
    put_memories(m, b);
    if (f == &xg_tile_family) put_tile_notes(m, b);
    put_record(m, b);
    put_control(m, b);
    xg_puts(b, "\n## Instructions\n\n`from` and `to` are what the field can hold; what the machine "
               "can do may be less.\n\n"
               "| opcode | instruction | engine | words | does |\n|---|---|---|---|---|\n");
    for (uint8_t op = 0; op < f->ninst; op++)
        xg_putf(b, "| %d | %s | %s | %d | %s |\n", e->code[op],
                xg_manual_upper(b->arena, f->inst[op].mnemonic),
                f->engine_names[f->inst[op].engine], e->words[op], f->inst[op].doc);
    for (uint8_t op = 0; op < f->ninst; op++) put_inst(e, op, b);
}

static void yaml(const xg_machine *m, xg_buf *b) {
    xg_encoding_print(m->encoding, b);
}

xg_status xg_isa_manual(xg_ctx *c, const xg_machine *m, const char *form, xg_buf *out) {
    static const struct {
        const char *form;
        void (*print)(const xg_machine *m, xg_buf *out);
    } rows[] = {{"md", xg_manual_markdown},
                {"h", xg_manual_header},
                {"sv", xg_manual_package},
                {"yaml", yaml}};
    for (size_t i = 0; i < XG_COUNT(rows); i++)
        if (!strcmp(rows[i].form, form)) {
            rows[i].print(m, out);
            return XG_OK;
        }
    return xg_error(c, XG_USAGE, "", "no manual of form '%s', expected md, h, sv or yaml", form);
}
