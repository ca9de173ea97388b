#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/embed.h"
#include "isa/encoding.h"
#include "isa/machine.h"
#include "isa/tile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    xg_ctx *c;
    xg_arena *a;
    xg_machine *m;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->c = xg_ctx_new();
    f->a = xg_ctx_arena(f->c);
    *state = f;
    return xg_machine_load(f->a, "zu9", NULL, &f->m) != XG_OK;
}

static int teardown(void **state) {
    fixture *f = *state;
    xg_ctx_free(f->c);
    free(f);
    return 0;
}

static const char *default_text(void) {
    return xg_embedded_encodings[0].text;
}

/* The default file with the first `from` behind `anchor` replaced by `to`. */
static char *edited(fixture *f, const char *anchor, const char *from, const char *to) {
    const char *text = default_text();
    const char *at = strstr(text, anchor);
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    return xg_strf(f->a, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static xg_status load_text(fixture *f, const char *text, xg_encoding **e) {
    const char *path = xg_strf(f->a, "encoding_%d.yaml", (int)getpid());
    assert_int_equal(xg_write_file(f->c, path, text, strlen(text)), XG_OK);
    xg_diag_truncate(f->c, 0);
    xg_status st = xg_encoding_load(f->a, &xg_tile_family, path, e);
    unlink(path);
    return st;
}

static void refused(fixture *f, const char *anchor, const char *from, const char *to,
                    const char *words) {
    xg_encoding *e;
    if (load_text(f, edited(f, anchor, from, to), &e) == XG_OK)
        fail_msg("accepted: %s -> %s", from, to);
    assert_int_equal(xg_diag_count(f->c), 1);
    const xg_diag *d = xg_diag_at(f->c, 0);
    if (!strstr(d->text, words)) fail_msg("'%s' lacks '%s'", d->text, words);
    assert_non_null(strstr(d->where, ".yaml:"));
}

static int64_t pick(uint64_t *seed, int64_t lo, int64_t hi) {
    switch (xg_random(seed) % 4) {
    case 0:
        return lo;
    case 1:
        return hi;
    default:
        return lo + (int64_t)(xg_random(seed) % (uint64_t)(hi - lo + 1));
    }
}

static xg_inst random_inst(const xg_encoding *e, uint8_t op, uint64_t *seed) {
    xg_inst in = {.op = op, .wait = xg_random(seed) & 15, .post = xg_random(seed) & 15};
    for (uint8_t i = 0; i < e->family->inst[op].noperand; i++) {
        int64_t lo, hi;
        xg_encoding_range(e, op, i, &lo, &hi);
        in.f[i] = (int32_t)(e->field[op][i].unit > 1 ? lo : pick(seed, lo, hi));
    }
    return in;
}

static void check_round_trips(fixture *f, const xg_encoding *e) {
    uint64_t seed = 1;
    for (int n = 0; n < 20000; n++) {
        uint8_t op = (uint8_t)(n % e->family->ninst);
        xg_inst in = random_inst(e, op, &seed), back;
        uint32_t word[XG_INST_WORDS_MAX], nwords, used;
        assert_int_equal(xg_encode(f->c, e, &in, "here", word, &nwords), XG_OK);
        assert_int_equal(nwords, e->words[op]);
        assert_int_equal(xg_decode(f->c, e, word, nwords, "here", &back, &used), XG_OK);
        assert_int_equal(used, nwords);
        assert_memory_equal(&in, &back, sizeof in);
    }
}

static void test_round_trip(void **state) {
    fixture *f = *state;
    check_round_trips(f, f->m->encoding);
}

/* Operand values at the limits of the machines must fit the default encoding. */
static void test_default_is_wide_enough(void **state) {
    fixture *f = *state;
    static const struct {
        const char *inst, *operand;
        int64_t lo, hi;
    } rows[] = {{"load", "ddr", 0, INT32_MAX},
                {"load", "rows", 1, 4095},
                {"load", "cols", 1, 4095},
                {"load", "ch", 1, 16383},
                {"load", "ddr_row", 0, INT32_MAX},
                {"load", "addr", 0, 65535},
                {"load", "fill", -128, 127},
                {"loadw", "words", 1, 65536},
                {"loadw", "banks", 1, 64},
                {"convinit", "kh", 1, 16},
                {"convinit", "mult", INT32_MIN, INT32_MAX},
                {"convinit", "shift", -64, 63},
                {"poolinit", "kw", 1, 256},
                {"poolinit", "count", 1, 65536},
                {"conv", "icw", 1, 16384},
                {"conv", "oc", 1, 64},
                {"conv", "psum", 0, 65535},
                {"conv", "p_addr", 0, 1048575},
                {"dwconv", "w_addr", 0, 1048575},
                {"loadp", "bytes", 1, 1048576},
                {"loadp", "addr", 0, 1048575},
                {"lut", "table", 0, 1048575},
                {"await", "count", 0, 65535}};
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        int op = xg_inst_by_name(&xg_tile_family, rows[i].inst);
        assert_true(op >= 0);
        int k = xg_operand_by_name(&xg_tile_family.inst[op], rows[i].operand);
        assert_true(k >= 0);
        int64_t lo, hi;
        xg_encoding_range(f->m->encoding, (uint8_t)op, (uint8_t)k, &lo, &hi);
        if (lo > rows[i].lo || hi < rows[i].hi) fail_msg("%s %s", rows[i].inst, rows[i].operand);
    }
}

static void test_refused_values(void **state) {
    fixture *f = *state;
    const xg_encoding *e = f->m->encoding;
    uint32_t word[XG_INST_WORDS_MAX], n;
    uint64_t seed = 3;
    for (uint8_t op = 0; op < e->family->ninst; op++)
        for (uint8_t i = 0; i < e->family->inst[op].noperand; i++)
            for (int side = 0; side < 2; side++) {
                xg_inst in = random_inst(e, op, &seed);
                int64_t lo, hi, v;
                xg_encoding_range(e, op, i, &lo, &hi);
                v = side ? hi + 1 : lo - 1;
                if (v < INT32_MIN || v > INT32_MAX) continue;
                in.f[i] = (int32_t)v;
                xg_diag_truncate(f->c, 0);
                assert_int_equal(
                    xg_encode(f->c, e, &in, "segment 0 core 1 instruction 2", word, &n), XG_LIMIT);
                const char *text = xg_diag_at(f->c, 0)->text;
                assert_non_null(strstr(text, e->family->inst[op].mnemonic));
                assert_non_null(
                    strstr(text, xg_strf(f->a, "%s = %lld", e->family->inst[op].operand[i].name,
                                         (long long)v)));
                assert_non_null(
                    strstr(text, xg_strf(f->a, "%lld to %lld", (long long)lo, (long long)hi)));
                assert_string_equal(xg_diag_at(f->c, 0)->where, "segment 0 core 1 instruction 2");
            }
}

static void test_hand_packed(void **state) {
    fixture *f = *state;
    /* loadp: opcode 3; the bits are those of isa/encodings/tile.yaml, packed here by hand. */
    xg_inst in = {.op = XG_T_LOADP, .wait = 4, .post = 8};
    in.f[XG_F(LOADP, reg)] = 1;
    in.f[XG_F(LOADP, ddr)] = 0x7fffffff;
    in.f[XG_F(LOADP, addr)] = 0x12345;
    in.f[XG_F(LOADP, bytes)] = 0x100000;
    uint32_t word[XG_INST_WORDS_MAX], n;
    assert_int_equal(xg_encode(f->c, f->m->encoding, &in, "", word, &n), XG_OK);
    assert_int_equal(n, 4);
    assert_int_equal(word[0], 3u << 27 | 4u << 23 | 8u << 19);
    assert_int_equal(word[1], 0x7fffffff);
    assert_int_equal(word[2], 1u << 20 | 0x12345);
    assert_int_equal(word[3], 0xfffff);
}

static void test_bad_words(void **state) {
    fixture *f = *state;
    const xg_encoding *e = f->m->encoding;
    xg_inst in;
    uint32_t used;
    const uint32_t unknown[] = {31u << 27}, reserved[] = {(uint32_t)e->code[XG_T_END] << 27 | 1};
    const uint32_t cut[] = {(uint32_t)e->code[XG_T_CONV] << 27, 0};
    assert_int_equal(xg_decode(f->c, e, unknown, 1, "w", &in, &used), XG_INPUT);
    assert_non_null(strstr(xg_diag_at(f->c, 0)->text, "unknown opcode 31"));
    assert_int_equal(xg_decode(f->c, e, reserved, 1, "w", &in, &used), XG_INPUT);
    assert_non_null(strstr(xg_diag_at(f->c, 1)->text, "reserved bits 0x00000001 of word 0"));
    assert_int_equal(xg_decode(f->c, e, cut, 2, "w", &in, &used), XG_INPUT);
    assert_non_null(strstr(xg_diag_at(f->c, 2)->text, "conv has 8 words, 2 are left"));
    assert_int_equal(xg_decode(f->c, e, cut, 0, "w", &in, &used), XG_INPUT);
}

/* Random words never crash the decoder, and what decodes encodes to the same words. */
static void test_random_words(void **state) {
    fixture *f = *state;
    const xg_encoding *e = f->m->encoding;
    uint64_t seed = 9;
    int good = 0;
    for (int n = 0; n < 50000; n++) {
        uint32_t word[XG_INST_WORDS_MAX], back[XG_INST_WORDS_MAX], used, nback;
        for (int k = 0; k < XG_INST_WORDS_MAX; k++)
            word[k] = (uint32_t)(xg_random(&seed) & xg_random(&seed) & xg_random(&seed) &
                                 xg_random(&seed));
        xg_diag_truncate(f->c, 0);
        xg_inst in;
        if (xg_decode(f->c, e, word, XG_INST_WORDS_MAX, "w", &in, &used) != XG_OK) continue;
        good++;
        assert_int_equal(xg_encode(f->c, e, &in, "w", back, &nback), XG_OK);
        assert_int_equal(nback, used);
        assert_memory_equal(word, back, used * sizeof *word);
    }
    assert_true(good > 100);
}

/* Other opcodes, moved fields, bias and unit: a file is all it takes. */
static void test_other_encoding(void **state) {
    fixture *f = *state;
    xg_encoding *e;
    char *text = edited(f, "  end:", "opcode: 16", "opcode: 0");
    assert_int_equal(load_text(f, text, &e), XG_OK);
    assert_string_not_equal(e->digest, f->m->encoding->digest);
    check_round_trips(f, e);
    text = edited(f, "  loadp:", "ddr:      {word: 1, lsb: 0, width: 31}",
                  "ddr: {word: 1, lsb: 4, width: 28, unit: 16, bias: 32}");
    assert_int_equal(load_text(f, text, &e), XG_OK);
    xg_inst in = {.op = XG_T_LOADP}, back;
    in.f[XG_F(LOADP, bytes)] = 1;
    in.f[XG_F(LOADP, ddr)] = 32 + 16 * 5;
    uint32_t word[XG_INST_WORDS_MAX], n;
    assert_int_equal(xg_encode(f->c, e, &in, "", word, &n), XG_OK);
    assert_int_equal(word[1], 5 << 4);
    assert_int_equal(xg_decode(f->c, e, word, n, "", &back, &n), XG_OK);
    assert_memory_equal(&in, &back, sizeof in);
    in.f[XG_F(LOADP, ddr)]++;
    assert_int_equal(xg_encode(f->c, e, &in, "", word, &n), XG_LIMIT);
    assert_non_null(strstr(xg_diag_at(f->c, xg_diag_count(f->c) - 1)->text, "multiples of 16"));
}

static void test_print(void **state) {
    fixture *f = *state;
    xg_buf b = {.arena = f->a}, b2 = {.arena = f->a};
    xg_encoding *e;
    xg_encoding_print(f->m->encoding, &b);
    assert_int_equal(load_text(f, b.p, &e), XG_OK);
    assert_string_equal(e->digest, f->m->encoding->digest);
    xg_encoding_print(e, &b2);
    assert_string_equal(b.p, b2.p);
}

static void test_refused_files(void **state) {
    fixture *f = *state;
    refused(f, "  loadp:", "ddr:      {word: 1, lsb: 0", "ddr: {word: 2, lsb: 0",
            "overlaps 'reg' at word 2 bit 20");
    refused(f, "  loadp:", "reg:      {word: 2, lsb: 20", "reg: {word: 0, lsb: 18",
            "overlaps 'post' at word 0 bit 19");
    refused(f, "  loadp:", "opcode: 3", "opcode: 1", "already the opcode of 'load'");
    refused(f, "  loadp:", "opcode: 3", "opcode: 32", "32 does not fit 5 bits");
    refused(f, "  loadp:", "words: 4", "words: 3", "word 3 of an instruction of 3 words");
    refused(f, "  loadp:", "words: 4", "words: 17", "from 1 to 16");
    refused(f, "  loadp:", "width: 31", "width: 33", "from 1 to 32");
    refused(f, "  loadp:", "lsb: 0, width: 31", "lsb: 2, width: 31", "more than 32");
    refused(f,
            "  loadp:", "ddr:", "dddr:", "field 'instructions.loadp.fields.dddr': unknown field");
    refused(f, "  loadp:", "      ddr:      {word: 1, lsb: 0, width: 31}\n", "",
            "field 'instructions.loadp.fields.ddr' is missing");
    refused(f, "  loadp:", "ddr:      {word: 1, ", "ddr:      {",
            "field 'instructions.loadp.fields.ddr.word' is missing");
    refused(f, "  end:", "words: 1", "words: 1\n    fields: {}", "unknown field");
    refused(f, "  end:", "  end:\n    opcode: 16\n    words: 1\n", "",
            "field 'instructions.end' is missing");
    refused(f, "header", "width: 4", "width: 3", "expected at least 4");
    refused(f, "header", "wait:   {word: 0", "wait: {word: 1",
            "word 1 of an instruction of 1 words");
    refused(f, "header", "width: 4", "width: 4, bias: 1", "no bias");
    refused(f, "name", "family: tile", "family: cim", "the machine's family is 'tile'");
    refused(f, "name", "name: tile", "name: a b", "one word");
}

static void test_manuals(void **state) {
    fixture *f = *state;
    static const char *const forms[] = {"md", "h", "sv", "yaml"};
    static const char *const words[] = {"| bits |", "#define XGC_", "package ", "instructions:"};
    for (size_t i = 0; i < XG_COUNT(forms); i++) {
        xg_buf b = {.arena = f->a};
        assert_int_equal(xg_isa_manual(f->c, f->m, forms[i], &b), XG_OK);
        assert_non_null(strstr(b.p, words[i]));
        for (int op = 0; op < xg_tile_family.ninst; op++)
            assert_non_null(strcasestr(b.p, xg_tile_family.inst[op].mnemonic));
    }
    xg_buf b = {.arena = f->a};
    assert_int_equal(xg_isa_manual(f->c, f->m, "pdf", &b), XG_USAGE);
}

/* The number that the printed C header gives for parts joined by "_": "#define XGC_LOAD_ROWS_LSB
 * 13". */
static long header_number(fixture *f, const char *header, const char *a, const char *b,
                          const char *c) {
    char *name =
        xg_strf(f->a, "%s%s%s%s%s ", a, b ? "_" : "", b ? b : "", c ? "_" : "", c ? c : "");
    for (char *p = name; *p; p++)
        if (*p >= 'a' && *p <= 'z') *p -= 32;
    const char *at = strstr(header, xg_strf(f->a, "#define XGC_%s", name));
    if (!at) {
        fail_msg("no XGC_%s", name);
        return 0;
    }
    at = strchr(at + strlen("#define "), ' ') + 1;
    return strtol(at + (*at == '('), NULL, 10);
}

/* Every field of the C header is the encoding's, and so are its opcodes and lengths. */
static void test_header_numbers(void **state) {
    fixture *f = *state;
    const xg_encoding *e = f->m->encoding;
    xg_buf b = {.arena = f->a};
    assert_int_equal(xg_isa_manual(f->c, f->m, "h", &b), XG_OK);
    for (uint8_t op = 0; op < e->family->ninst; op++) {
        const xg_inst_desc *d = &e->family->inst[op];
        assert_int_equal(header_number(f, b.p, "OP", d->mnemonic, NULL), e->code[op]);
        assert_int_equal(header_number(f, b.p, d->mnemonic, "LENGTH", NULL), e->words[op]);
        for (uint8_t i = 0; i < d->noperand; i++) {
            const xg_field *w = &e->field[op][i];
            const char *in = d->mnemonic, *o = d->operand[i].name;
            assert_int_equal(header_number(f, b.p, in, o, "WORD"), w->word);
            assert_int_equal(header_number(f, b.p, in, o, "LSB"), w->lsb);
            assert_int_equal(header_number(f, b.p, in, o, "WIDTH"), w->width);
            assert_int_equal(header_number(f, b.p, in, o, "BIAS"), w->bias);
            assert_int_equal(header_number(f, b.p, in, o, "UNIT"), w->unit);
            assert_int_equal(header_number(f, b.p, in, o, "SIGNED"), d->operand[i].is_signed);
        }
    }
}

/* A program that packs `in` with the header's macros, prints the words, and unpacks them again. */
static void put_packer(fixture *f, const xg_inst *in, xg_buf *b) {
    const xg_inst_desc *d = &xg_tile_family.inst[in->op];
    char *name = xg_strdup(f->a, d->mnemonic);
    for (char *p = name; *p; p++) *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
    xg_putf(b, "  { uint32_t w[16] = {0};\n  XGC_SET(w, HEAD, OPCODE, XGC_OP_%s);\n", name);
    xg_putf(b, "  XGC_SET(w, HEAD, WAIT, %d); XGC_SET(w, HEAD, POST, %d);\n", in->wait, in->post);
    for (uint8_t i = 0; i < d->noperand; i++) {
        char *o = xg_strdup(f->a, d->operand[i].name);
        for (char *p = o; *p; p++) *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
        xg_putf(b, "  XGC_SET(w, %s, %s, %lldLL);\n", name, o, (long long)in->f[i]);
        xg_putf(b, "  if (XGC_GET(w, %s, %s) != %lldLL) return 1;\n", name, o, (long long)in->f[i]);
    }
    xg_putf(b, "  for (int i = 0; i < XGC_%s_LENGTH; i++) printf(\"%%08x\\n\", w[i]); }\n", name);
}

/* The printed header compiles, and its macros pack what xg_encode packs. */
static void test_header_packs(void **state) {
    fixture *f = *state;
    if (system("cc --version > /dev/null 2>&1")) skip();
    xg_encoding *e;
    const char *text = edited(f, "  loadp:", "ddr:      {word: 1, lsb: 0, width: 31}",
                              "ddr: {word: 1, lsb: 4, width: 28, unit: 16, bias: -32}");
    assert_int_equal(load_text(f, text, &e), XG_OK);
    f->m->encoding = e;
    xg_buf header = {.arena = f->a}, source = {.arena = f->a}, want = {.arena = f->a};
    assert_int_equal(xg_isa_manual(f->c, f->m, "h", &header), XG_OK);
    xg_puts(&source, "#include \"packer_isa.h\"\n#include <stdio.h>\nint main(void) {\n");
    uint64_t seed = 5;
    for (uint8_t op = 0; op < e->family->ninst; op++) {
        xg_inst in = random_inst(e, op, &seed);
        uint32_t word[XG_INST_WORDS_MAX], n;
        assert_int_equal(xg_encode(f->c, e, &in, "", word, &n), XG_OK);
        for (uint32_t i = 0; i < n; i++) xg_putf(&want, "%08x\n", word[i]);
        put_packer(f, &in, &source);
    }
    xg_puts(&source, "  return 0;\n}\n");
    assert_int_equal(xg_write_file(f->c, "packer_isa.h", header.p, header.n), XG_OK);
    assert_int_equal(xg_write_file(f->c, "packer.c", source.p, source.n), XG_OK);
    assert_int_equal(system("cc -std=c99 -Wall -Wextra -Werror -o packer packer.c"), 0);
    assert_int_equal(system("./packer > packer.txt"), 0);
    xg_bytes got;
    assert_int_equal(xg_read_file(f->a, "packer.txt", &got), XG_OK);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.p, want.p, want.n);
}

static void test_shipped_manual(void **state) {
    fixture *f = *state;
    xg_buf b = {.arena = f->a};
    xg_bytes file;
    assert_int_equal(xg_isa_manual(f->c, f->m, "md", &b), XG_OK);
    assert_int_equal(xg_read_file(f->a, XGC_SOURCE_DIR "/isa/ISA.md", &file), XG_OK);
    if (file.n != b.n || memcmp(file.p, b.p, b.n)) {
        assert_int_equal(xg_write_file(f->c, "ISA.md.printed", b.p, b.n), XG_OK);
        fail_msg("isa/ISA.md is not what xgc prints; the printed page is in ISA.md.printed");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_is_wide_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hand_packed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_encoding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_manuals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_packs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shipped_manual, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
