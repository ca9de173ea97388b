#include "isa/encoding.h"

#include "base/embed.h"
#include "base/yaml.h"

#include <inttypes.h>
#include <string.h>

/* ---- the file as libcyaml fills it; its schema is made from the family's tables -------------- */

typedef struct file_field {
    int64_t word, lsb, width, bias, unit;
} file_field;
typedef struct file_inst {
    int64_t opcode, words;
    file_field field[XG_OPERANDS_MAX];
} file_inst;
enum { INST_MAX = 32 };
typedef struct file_encoding {
    const char *name, *family;
    file_field opcode, wait, post;
    file_inst inst[INST_MAX];
} file_encoding;

#define INT(type, member, opt, low, high)                                                          \
    {                                                                                              \
        .key = #member, .kind = XG_YAML_INT, .optional = (opt), .offset = offsetof(type, member),  \
        .lo = (low), .hi = (high)                                                                  \
    }

static const xg_yaml_field field_fields[] = {
    INT(file_field, word, false, 0, XG_INST_WORDS_MAX - 1),
    INT(file_field, lsb, false, 0, 31),
    INT(file_field, width, false, 1, 32),
    INT(file_field, bias, true, INT32_MIN, INT32_MAX),
    INT(file_field, unit, true, 1, 1 << 30),
    {.key = NULL},
};
static const xg_yaml_map field_map = {field_fields, sizeof(file_field)};

static const xg_yaml_field header_fields[] = {
    {.key = "opcode", .kind = XG_YAML_MAP, .offset = 0, .map = &field_map},
    {.key = "wait", .kind = XG_YAML_MAP, .offset = sizeof(file_field), .map = &field_map},
    {.key = "post", .kind = XG_YAML_MAP, .offset = 2 * sizeof(file_field), .map = &field_map},
    {.key = NULL},
};
static const xg_yaml_map header_map = {header_fields, 3 * sizeof(file_field)};

static xg_yaml_map *new_map(xg_arena *a, const xg_yaml_field *field, size_t size) {
    xg_yaml_map *m = xg_new(a, xg_yaml_map);
    m->field = field;
    m->size = size;
    return m;
}

static const xg_yaml_map *inst_schema(xg_arena *a, const xg_inst_desc *d) {
    static const xg_yaml_field head[] = {INT(file_inst, opcode, false, 0, 255),
                                         INT(file_inst, words, false, 1, XG_INST_WORDS_MAX)};
    xg_yaml_field *f = xg_newn(a, xg_yaml_field, 4);
    memcpy(f, head, sizeof head);
    if (!d->noperand) return new_map(a, f, sizeof(file_inst));
    xg_yaml_field *o = xg_newn(a, xg_yaml_field, d->noperand + 1u);
    for (uint32_t i = 0; i < d->noperand; i++)
        o[i] = (xg_yaml_field){.key = d->operand[i].name,
                               .kind = XG_YAML_MAP,
                               .offset = (uint32_t)(i * sizeof(file_field)),
                               .map = &field_map};
    f[2] = (xg_yaml_field){.key = "fields",
                           .kind = XG_YAML_MAP,
                           .offset = offsetof(file_inst, field),
                           .map = new_map(a, o, sizeof(file_field) * XG_OPERANDS_MAX)};
    return new_map(a, f, sizeof(file_inst));
}

static const xg_yaml_map *schema(xg_arena *a, const xg_family *fam) {
    xg_yaml_field *in = xg_newn(a, xg_yaml_field, fam->ninst + 1u);
    for (uint32_t i = 0; i < fam->ninst; i++)
        in[i] = (xg_yaml_field){.key = fam->inst[i].mnemonic,
                                .kind = XG_YAML_MAP,
                                .offset = (uint32_t)(i * sizeof(file_inst)),
                                .map = inst_schema(a, &fam->inst[i])};
    const xg_yaml_field top[] = {
        {.key = "name", .kind = XG_YAML_TEXT, .offset = offsetof(file_encoding, name), .hi = 63},
        {.key = "family",
         .kind = XG_YAML_TEXT,
         .offset = offsetof(file_encoding, family),
         .hi = 63},
        {.key = "header",
         .kind = XG_YAML_MAP,
         .offset = offsetof(file_encoding, opcode),
         .map = &header_map},
        {.key = "instructions",
         .kind = XG_YAML_MAP,
         .offset = offsetof(file_encoding, inst),
         .map = new_map(a, in, sizeof(file_inst) * INST_MAX)},
        {.key = NULL},
    };
    return new_map(a, xg_memdup(a, top, sizeof top), sizeof(file_encoding));
}

/* ---- checks ---------------------------------------------------------------------------------- */

typedef struct checker {
    xg_arena *arena;
    const xg_yaml *y;
    xg_encoding *e;
    const char *owner[XG_INST_WORDS_MAX][32]; /* who has each bit of the instruction at hand */
} checker;

/* Copies a field, claiming its bits. path: for messages; name: what others are told that overlap
 * it. */
static xg_status claim(checker *k, const char *path, const char *name, const file_field *f,
                       int64_t words, xg_field *out) {
    if (f->word >= words)
        return xg_yaml_error(k->y, XG_INPUT, path,
                             "word %" PRId64 " of an instruction of %" PRId64 " words", f->word,
                             words);
    if (f->lsb + f->width > 32)
        return xg_yaml_error(k->y, XG_INPUT, path,
                             "lsb %" PRId64 " + width %" PRId64 " is more than 32", f->lsb,
                             f->width);
    for (int64_t b = f->lsb; b < f->lsb + f->width; b++) {
        const char **o = &k->owner[f->word][b];
        if (*o)
            return xg_yaml_error(k->y, XG_INPUT, path,
                                 "overlaps '%s' at word %" PRId64 " bit %" PRId64, *o, f->word, b);
        *o = name;
    }
    *out = (xg_field){.word = (uint8_t)f->word,
                      .lsb = (uint8_t)f->lsb,
                      .width = (uint8_t)f->width,
                      .bias = (int32_t)f->bias,
                      .unit = f->unit ? (uint32_t)f->unit : 1};
    return XG_OK;
}

static xg_status check_header(checker *k, const file_encoding *f) {
    const struct {
        const char *path, *name;
        const file_field *from;
        xg_field *to;
    } rows[] = {{"header.opcode", "opcode", &f->opcode, &k->e->opcode},
                {"header.wait", "wait", &f->wait, &k->e->wait},
                {"header.post", "post", &f->post, &k->e->post}};
    memset(k->owner, 0, sizeof k->owner);
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        if (rows[i].from->bias || rows[i].from->unit > 1)
            return xg_yaml_error(k->y, XG_INPUT, rows[i].path, "has no bias and no unit");
        if (i && rows[i].from->width < k->e->family->nengine)
            return xg_yaml_error(k->y, XG_INPUT, rows[i].path,
                                 "width %" PRId64 ", expected at least %d (engines)",
                                 rows[i].from->width, k->e->family->nengine);
        xg_status st = claim(k, rows[i].path, rows[i].name, rows[i].from, 1, rows[i].to);
        if (st) return st;
    }
    if (k->e->opcode.width > 8)
        return xg_yaml_error(k->y, XG_INPUT, "header.opcode", "width %d, expected at most 8",
                             k->e->opcode.width);
    return XG_OK;
}

static xg_status check_inst(checker *k, const file_inst *f, uint32_t op) {
    const xg_inst_desc *d = &k->e->family->inst[op];
    const char *path = xg_strf(k->arena, "instructions.%s", d->mnemonic);
    if (f->opcode >= 1 << k->e->opcode.width)
        return xg_yaml_error(k->y, XG_INPUT, xg_strf(k->arena, "%s.opcode", path),
                             "%" PRId64 " does not fit %d bits", f->opcode, k->e->opcode.width);
    for (uint32_t i = 0; i < op; i++)
        if (k->e->code[i] == f->opcode)
            return xg_yaml_error(k->y, XG_INPUT, xg_strf(k->arena, "%s.opcode", path),
                                 "%" PRId64 " is already the opcode of '%s'", f->opcode,
                                 k->e->family->inst[i].mnemonic);
    k->e->code[op] = (uint8_t)f->opcode;
    k->e->words[op] = (uint8_t)f->words;
    memset(&k->owner[0][0], 0, sizeof k->owner);
    const xg_field *head[] = {&k->e->opcode, &k->e->wait, &k->e->post};
    static const char *const head_name[] = {"opcode", "wait", "post"};
    for (int h = 0; h < 3; h++)
        for (int b = 0; b < head[h]->width; b++) k->owner[0][head[h]->lsb + b] = head_name[h];
    xg_field *field = xg_newn(k->arena, xg_field, d->noperand + 1u);
    for (uint32_t i = 0; i < d->noperand; i++) {
        const char *name = d->operand[i].name;
        xg_status st = claim(k, xg_strf(k->arena, "%s.fields.%s", path, name), name, &f->field[i],
                             f->words, &field[i]);
        if (st) return st;
    }
    k->e->field[op] = field;
    return XG_OK;
}

static xg_status parse(xg_arena *a, const xg_family *fam, const char *path, const void *text,
                       size_t n, xg_encoding **out) {
    file_encoding *f = xg_new(a, file_encoding);
    xg_yaml *y;
    xg_status st = xg_yaml_load(a, path, text, n, schema(a, fam), f, &y);
    if (st) return st;
    if (strcmp(f->family, fam->name))
        return xg_yaml_error(y, XG_INPUT, "family", "found '%s', the machine's family is '%s'",
                             f->family, fam->name);
    if (!*f->name || strpbrk(f->name, "\"\\\n\r\t#: "))
        return xg_yaml_error(y, XG_INPUT, "name", "found '%s', expected one word", f->name);
    xg_encoding *e = xg_new(a, xg_encoding);
    e->name = xg_strdup(a, f->name);
    e->family = fam;
    e->code = xg_newn(a, uint8_t, fam->ninst);
    e->words = xg_newn(a, uint8_t, fam->ninst);
    e->field = xg_newn(a, const xg_field *, fam->ninst);
    checker *k = xg_new(a, checker);
    k->arena = a;
    k->y = y;
    k->e = e;
    st = check_header(k, f);
    for (uint32_t i = 0; i < fam->ninst && !st; i++) st = check_inst(k, &f->inst[i], i);
    if (st) return st;
    xg_buf b = {.arena = a};
    xg_encoding_print(e, &b);
    xg_sha256_hex(b.p, b.n, e->digest);
    *out = e;
    return XG_OK;
}

xg_status xg_encoding_load(xg_arena *a, const xg_family *f, const char *path, xg_encoding **out) {
    if (f->ninst > INST_MAX)
        return xg_error(xg_arena_ctx(a), XG_INTERNAL, "", "over 32 instructions");
    if (path) {
        xg_bytes text;
        xg_status st = xg_read_file(a, path, &text);
        return st ? st : parse(a, f, path, text.p, text.n, out);
    }
    for (const xg_embedded *e = xg_embedded_encodings; e->name; e++)
        if (!strcmp(e->name, f->name)) return parse(a, f, e->name, e->text, e->n, out);
    return xg_error(xg_arena_ctx(a), XG_INTERNAL, "", "no built-in encoding for family '%s'",
                    f->name);
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_field(const char *name, int indent, int pad, const xg_field *f, xg_buf *b) {
    xg_putf(b, "%*s%s:%*s{word: %d, lsb: %d, width: %d", indent, "", name,
            pad - (int)strlen(name) + 1, "", f->word, f->lsb, f->width);
    if (f->bias) xg_putf(b, ", bias: %" PRId32, f->bias);
    if (f->unit != 1) xg_putf(b, ", unit: %" PRIu32, f->unit);
    xg_puts(b, "}\n");
}

void xg_encoding_print(const xg_encoding *e, xg_buf *b) {
    xg_putf(b, "name: %s\nfamily: %s\nheader:\n", e->name, e->family->name);
    print_field("opcode", 2, 6, &e->opcode, b);
    print_field("wait", 2, 6, &e->wait, b);
    print_field("post", 2, 6, &e->post, b);
    xg_puts(b, "instructions:\n");
    for (uint32_t op = 0; op < e->family->ninst; op++) {
        const xg_inst_desc *d = &e->family->inst[op];
        xg_putf(b, "  %s:\n    opcode: %d\n    words: %d\n", d->mnemonic, e->code[op],
                e->words[op]);
        if (d->noperand) xg_puts(b, "    fields:\n");
        for (uint32_t i = 0; i < d->noperand; i++)
            print_field(d->operand[i].name, 6, 8, &e->field[op][i], b);
    }
}
