#include "isa/encoding.h"

#include <inttypes.h>
#include <string.h>

static uint32_t mask_of(const xg_field *f) {
    return f->width == 32 ? UINT32_MAX : (1u << f->width) - 1;
}

/* Limits of the stored number, before bias and unit. */
static void stored_range(const xg_field *f, bool is_signed, int64_t *lo, int64_t *hi) {
    *lo = is_signed ? -((int64_t)1 << (f->width - 1)) : 0;
    *hi = is_signed ? ((int64_t)1 << (f->width - 1)) - 1 : ((int64_t)1 << f->width) - 1;
}

/* First and last value that both the field and xg_inst.f (int32_t) can hold. */
static void value_range(const xg_field *f, bool is_signed, int64_t *lo, int64_t *hi) {
    stored_range(f, is_signed, lo, hi);
    *lo = *lo * f->unit + f->bias;
    *hi = *hi * f->unit + f->bias;
    if (*lo < INT32_MIN) *lo += (INT32_MIN - *lo + f->unit - 1) / f->unit * f->unit;
    if (*hi > INT32_MAX) *hi -= (*hi - INT32_MAX + f->unit - 1) / f->unit * f->unit;
}

void xg_encoding_range(const xg_encoding *e, uint8_t op, uint8_t operand, int64_t *lo,
                       int64_t *hi) {
    value_range(&e->field[op][operand], e->family->inst[op].operand[operand].is_signed, lo, hi);
}

static void put(uint32_t *words, const xg_field *f, uint32_t stored) {
    words[f->word] |= (stored & mask_of(f)) << f->lsb;
}

static uint32_t get(const uint32_t *words, const xg_field *f) {
    return words[f->word] >> f->lsb & mask_of(f);
}

static xg_status put_operand(xg_ctx *c, const xg_encoding *e, const xg_inst *in, uint32_t i,
                             const char *where, uint32_t *out) {
    const xg_inst_desc *d = &e->family->inst[in->op];
    const xg_field *f = &e->field[in->op][i];
    int64_t lo, hi, v = in->f[i];
    value_range(f, d->operand[i].is_signed, &lo, &hi);
    if (v < lo || v > hi)
        return xg_error(c, XG_LIMIT, where,
                        "%s: %s = %" PRId64
                        " does not fit the encoding's field, which holds %" PRId64 " to %" PRId64,
                        d->mnemonic, d->operand[i].name, v, lo, hi);
    if ((v - f->bias) % f->unit)
        return xg_error(c, XG_LIMIT, where,
                        "%s: %s = %" PRId64
                        " does not fit the encoding's field, which holds %" PRId32
                        " plus multiples of %" PRIu32,
                        d->mnemonic, d->operand[i].name, v, f->bias, f->unit);
    put(out, f, (uint32_t)((v - f->bias) / f->unit));
    return XG_OK;
}

xg_status xg_encode(xg_ctx *c, const xg_encoding *e, const xg_inst *in, const char *where,
                    uint32_t out[XG_INST_WORDS_MAX], uint32_t *nwords) {
    if (in->op >= e->family->ninst)
        return xg_error(c, XG_INPUT, where, "no instruction has number %d", in->op);
    const xg_inst_desc *d = &e->family->inst[in->op];
    uint32_t engines = (1u << e->family->nengine) - 1;
    if ((in->wait | in->post) & ~engines)
        return xg_error(c, XG_INPUT, where, "%s: a token mask names an engine that does not exist",
                        d->mnemonic);
    memset(out, 0, e->words[in->op] * sizeof *out);
    put(out, &e->opcode, e->code[in->op]);
    put(out, &e->wait, in->wait);
    put(out, &e->post, in->post);
    *nwords = e->words[in->op];
    for (uint32_t i = 0; i < d->noperand; i++) {
        xg_status st = put_operand(c, e, in, i, where, out);
        if (st) return st;
    }
    return XG_OK;
}

static xg_status get_operand(xg_ctx *c, const xg_encoding *e, uint8_t op, uint32_t i,
                             const uint32_t *in, const char *where, int32_t *out) {
    const xg_inst_desc *d = &e->family->inst[op];
    const xg_field *f = &e->field[op][i];
    int64_t v = get(in, f);
    if (d->operand[i].is_signed && v >> (f->width - 1)) v -= (int64_t)1 << f->width;
    v = v * f->unit + f->bias;
    if (v < INT32_MIN || v > INT32_MAX)
        return xg_error(c, XG_INPUT, where, "%s: %s = %" PRId64 " is no 32-bit number", d->mnemonic,
                        d->operand[i].name, v);
    *out = (int32_t)v;
    return XG_OK;
}

/* Bits that neither the header nor an operand has. */
static xg_status check_reserved(xg_ctx *c, const xg_encoding *e, uint8_t op, const uint32_t *in,
                                const char *where) {
    uint32_t used[XG_INST_WORDS_MAX] = {0};
    put(used, &e->opcode, UINT32_MAX);
    put(used, &e->wait, UINT32_MAX);
    put(used, &e->post, UINT32_MAX);
    for (uint32_t i = 0; i < e->family->inst[op].noperand; i++)
        put(used, &e->field[op][i], UINT32_MAX);
    for (uint32_t w = 0; w < e->words[op]; w++)
        if (in[w] & ~used[w])
            return xg_error(c, XG_INPUT, where,
                            "%s: reserved bits 0x%08" PRIx32 " of word %" PRIu32 " are not zero",
                            e->family->inst[op].mnemonic, in[w] & ~used[w], w);
    return XG_OK;
}

xg_status xg_decode(xg_ctx *c, const xg_encoding *e, const uint32_t *in, size_t nwords,
                    const char *where, xg_inst *out, uint32_t *used) {
    if (!nwords) return xg_error(c, XG_INPUT, where, "no instruction word");
    uint32_t code = get(in, &e->opcode);
    uint8_t op = 0;
    while (op < e->family->ninst && e->code[op] != code) op++;
    if (op == e->family->ninst)
        return xg_error(c, XG_INPUT, where, "unknown opcode %" PRIu32, code);
    const xg_inst_desc *d = &e->family->inst[op];
    if (nwords < e->words[op])
        return xg_error(c, XG_INPUT, where, "%s has %d words, %zu are left", d->mnemonic,
                        e->words[op], nwords);
    memset(out, 0, sizeof *out);
    uint32_t wait = get(in, &e->wait), post = get(in, &e->post);
    if ((wait | post) >> e->family->nengine)
        return xg_error(c, XG_INPUT, where, "%s: a token mask names an engine that does not exist",
                        d->mnemonic);
    xg_status st = check_reserved(c, e, op, in, where);
    for (uint32_t i = 0; i < d->noperand && !st; i++)
        st = get_operand(c, e, op, i, in, where, &out->f[i]);
    out->op = op;
    out->wait = (uint8_t)wait;
    out->post = (uint8_t)post;
    *used = e->words[op];
    return st;
}
