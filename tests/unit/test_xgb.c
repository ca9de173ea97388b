/* .xgb files: what is written is read, the page describes the bytes, damaged and foreign files are
 * refused, and a file is never half written. */
#include "program_samples.h"

#include "assembler/xgb.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static xg_status read_it(xg_test *t, const xg_buf *b, const xg_machine *m, xg_program **p) {
    xg_diag_truncate(t->c, 0);
    return xg_xgb_read(t->a, "x.xgb", b->p, b->n, m, p);
}

/* ---- whole files ----------------------------------------------------------------------------- */

static void test_round_trip(void **state) {
    xg_test *t = *state;
    static const char *const strategies[] = {"layer", "greedy", "ilp"};
    for (const char *const *name = xg_machine_names(); *name; name++)
        for (size_t s = 0; s < XG_COUNT(strategies); s++) {
            xg_machine *m = sample_machine(t, *name);
            xg_program *p = sample_compiled(t, m, strategies[s]), *back;
            xg_buf one = sample_xgb(t, m, p), again = sample_xgb(t, m, p);
            assert_same_bytes(&one, &again);
            assert_ok(t->c, read_it(t, &one, m, &back));
            assert_string_equal(back->options, p->options);
            assert_int_equal(back->map.n, p->map.n);
            assert_int_equal(back->tensor.n, p->tensor.n);
            xg_buf two = sample_xgb(t, m, back);
            assert_same_bytes(&one, &two);
            const char *machine;
            assert_ok(t->c, xg_xgb_machine(t->a, "x.xgb", one.p, one.n, &machine));
            assert_string_equal(machine, *name);
            assert_ok(t->c, read_it(t, &one, NULL, &back)); /* finds the machine by its name */
        }
}

static void test_empty(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "zu9");
    xg_program p = {.ncore = m->cores}, *back;
    xg_buf b = sample_xgb(t, m, &p);
    assert_ok(t->c, read_it(t, &b, m, &back));
    assert_int_equal(back->segment.n + back->tensor.n + back->map.n + back->step.n, 0);
    assert_int_equal(back->constants.n, 0);
    assert_null(back->host);
    xg_buf two = sample_xgb(t, m, back);
    assert_same_bytes(&b, &two);
}

/* ---- a reader of its own, written from XGB.md, without libelf -------------------------------- */

static uint64_t num(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

typedef struct part {
    const uint8_t *p;
    uint64_t n;
} part;

static part section(const xg_buf *b, const char *name) {
    const uint8_t *f = (const uint8_t *)b->p;
    uint64_t shoff = num(f + 40, 8), shnum = num(f + 60, 2), names = num(f + 62, 2);
    const char *text = b->p + num(f + shoff + 64 * names + 24, 8);
    for (uint64_t i = 0; i < shnum; i++) {
        const uint8_t *h = f + shoff + 64 * i;
        if (!strcmp(text + num(h, 4), name)) return (part){f + num(h + 24, 8), num(h + 32, 8)};
    }
    fail_msg("no section %s", name);
    return (part){0};
}

static void page_place(const uint8_t *p, const xg_place *want) {
    assert_int_equal(p[0], want->on_chip);
    assert_int_equal(p[1], want->region);
    assert_int_equal(num(p + 2, 2), 0);
    const uint32_t v[] = {want->addr, want->row_step, want->pix_step, want->row0,
                          want->ring, want->il,       want->lane,     want->image_step};
    for (size_t i = 0; i < XG_COUNT(v); i++) assert_int_equal(num(p + 4 + 4 * i, 4), v[i]);
}

static void page_string(const part *strtab, const uint8_t *p, const char *want) {
    uint64_t at = num(p, 4);
    if (!want) {
        assert_int_equal(at, 0xffffffff);
        return;
    }
    assert_true(at < strtab->n);
    assert_string_equal((const char *)strtab->p + at, want);
}

static void page_tensors(const xg_buf *b, const xg_program *p) {
    part s = section(b, ".xgc.tensors"), strtab = section(b, ".strtab");
    assert_int_equal(num(s.p, 4), p->tensor.n);
    assert_int_equal(s.n, 4 + 88 * (uint64_t)p->tensor.n);
    for (uint32_t i = 0; i < p->tensor.n; i++) {
        const uint8_t *r = s.p + 4 + 88 * i;
        const xg_prog_tensor *x = &p->tensor.v[i];
        page_string(&strtab, r, x->name);
        page_string(&strtab, r + 4, x->onnx);
        assert_int_equal(r[8], 1);
        assert_int_equal(r[9], x->materialised);
        assert_memory_equal(r + 12, &x->scale, 4);
        assert_int_equal((int32_t)num(r + 16, 4), x->zp);
        for (int d = 0; d < 4; d++) assert_int_equal(num(r + 20 + 8 * d, 8), x->dim[d]);
        page_place(r + 52, &x->place);
    }
}

static void page_map(const xg_buf *b, const xg_program *p) {
    part s = section(b, ".xgc.map"), strtab = section(b, ".strtab");
    assert_int_equal(num(s.p, 4), p->map.n);
    assert_int_equal(s.n, 4 + 104 * (uint64_t)p->map.n);
    for (uint32_t i = 0; i < p->map.n; i++) {
        const uint8_t *r = s.p + 4 + 104 * i;
        const xg_map_row *x = &p->map.v[i];
        const uint32_t head[] = {x->segment, x->core,  x->first, x->last,
                                 x->tensor,  x->group, x->tile};
        const uint32_t slice[] = {x->n, x->h0, x->h1, x->w0, x->w1, x->c0, x->c1, x->flat};
        for (int k = 0; k < 7; k++) assert_int_equal(num(r + 4 * k, 4), head[k]);
        page_string(&strtab, r + 28, x->node);
        page_string(&strtab, r + 32, x->onnx);
        for (int k = 0; k < 8; k++) assert_int_equal(num(r + 36 + 4 * k, 4), slice[k]);
        page_place(r + 68, &x->place);
    }
}

static void page_steps(const xg_buf *b, const xg_program *p) {
    part s = section(b, ".xgc.steps");
    const uint8_t *r = s.p + 4;
    assert_int_equal(num(s.p, 4), p->step.n);
    for (uint32_t i = 0; i < p->step.n; i++) {
        const xg_step *x = &p->step.v[i];
        assert_int_equal(num(r, 4), x->kind == XG_STEP_HOST ? 0 : 1);
        assert_int_equal(num(r + 4, 4), x->segment);
        assert_int_equal(num(r + 8, 4), x->nnode);
        assert_int_equal(num(r + 12, 4), x->nread);
        assert_int_equal(num(r + 16, 4), x->nwritten);
        r += 20;
        for (uint32_t k = 0; k < x->nnode; k++, r += 4) assert_int_equal(num(r, 4), x->node[k]);
        for (uint32_t k = 0; k < x->nread; k++, r += 4) assert_int_equal(num(r, 4), x->read[k]);
        for (uint32_t k = 0; k < x->nwritten; k++, r += 4)
            assert_int_equal(num(r, 4), x->written[k]);
    }
    assert_ptr_equal(r, s.p + s.n);
}

static void page_note(const xg_buf *b, const xg_machine *m, const xg_program *p) {
    part s = section(b, ".note.xgc");
    assert_int_equal(num(s.p, 4), 4);
    assert_int_equal(num(s.p + 4, 4), s.n - 16);
    assert_int_equal(num(s.p + 8, 4), 1);
    assert_memory_equal(s.p + 12, "xgc", 4);
    const uint8_t *d = s.p + 16;
    assert_int_equal(num(d, 4), 2);
    assert_int_equal(num(d + 4, 4), m->cores);
    assert_int_equal(num(d + 8, 4), p->segment.n);
    for (int r = 0; r < 4; r++) assert_int_equal(num(d + 12 + 8 * r, 8), p->region_bytes[r]);
    const char *const text[] = {p->tool_version, p->input_digest, p->options,
                                m->name,         m->digest,       m->encoding->digest,
                                p->record_text,  p->strategy,     p->solver_note};
    d += 44;
    for (size_t i = 0; i < XG_COUNT(text); i++) {
        assert_int_equal(num(d, 4), strlen(text[i]));
        assert_memory_equal(d + 4, text[i], strlen(text[i]));
        d += 4 + strlen(text[i]);
    }
    for (; d < s.p + s.n; d++) assert_int_equal(*d, 0);
}

static void page_text(xg_test *t, const xg_buf *b, const xg_machine *m, const xg_program *p) {
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t k = 0; k < p->ncore; k++) {
            part x = section(b, xg_strf(t->a, ".text.s%u.c%u", s, k));
            const xg_stream *st = &p->segment.v[s].core[k];
            uint32_t at = 0;
            for (uint32_t i = 0; i < st->n; i++) {
                uint32_t word[XG_INST_WORDS_MAX], n;
                assert_ok(t->c, xg_encode(t->c, m->encoding, &st->inst[i], "", word, &n));
                for (uint32_t w = 0; w < n; w++, at += 4)
                    assert_int_equal(num(x.p + at, 4), word[w]);
            }
            assert_int_equal(at, x.n);
        }
}

static void test_page(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "zu9");
    xg_program *p = sample_compiled(t, m, "greedy");
    xg_buf b = sample_xgb(t, m, p);
    page_note(&b, m, p);
    page_tensors(&b, p);
    page_map(&b, p);
    page_steps(&b, p);
    page_text(t, &b, m, p);
    part c = section(&b, ".rodata.const"), d = section(&b, ".xgc.digest");
    assert_int_equal(c.n, p->constants.n);
    assert_memory_equal(c.p, p->constants.p, c.n);
    char hex[65];
    xg_sha256_hex(b.p, b.n - 64, hex);
    assert_memory_equal(b.p + b.n - 64, hex, 64);
    assert_ptr_equal(d.p, b.p + b.n - 64);
}

static void test_readelf(void **state) {
    xg_test *t = *state;
    if (system("readelf --version > /dev/null 2>&1")) skip();
    xg_machine *m = sample_machine(t, "nano");
    xg_buf b = sample_xgb(t, m, sample_compiled(t, m, "layer"));
    assert_ok(t->c, xg_write_file(t->c, "readelf.xgb", b.p, b.n));
    assert_int_equal(system("readelf -aW readelf.xgb > readelf.txt 2> readelf.err"), 0);
    xg_bytes err, text;
    assert_ok(t->c, xg_read_file(t->a, "readelf.err", &err));
    assert_int_equal(err.n, 0);
    assert_ok(t->c, xg_read_file(t->a, "readelf.txt", &text));
    assert_non_null(memmem(text.p, text.n, ".text.s0.c0", 11));
}

/* ---- damaged files --------------------------------------------------------------------------- */

/* Every file that is cut short, and every file with one bit changed, is refused. */
static void test_damaged(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_buf b = sample_xgb(t, m, sample_by_hand(t, m));
    for (size_t n = 0; n < b.n; n++) {
        xg_test k = {t->c, xg_arena_new(t->c)};
        xg_buf cut = {.arena = k.a};
        xg_put(&cut, b.p, n);
        xg_program *p;
        if (read_it(&k, &cut, m, &p) != XG_INPUT) fail_msg("%zu of %zu bytes accepted", n, b.n);
        xg_arena_free(k.a);
    }
    for (size_t bit = 0; bit < b.n * 8; bit++) {
        xg_test k = {t->c, xg_arena_new(t->c)};
        xg_program *p;
        b.p[bit / 8] ^= (char)(1 << bit % 8);
        if (read_it(&k, &b, m, &p) != XG_INPUT) fail_msg("bit %zu changed, accepted", bit);
        b.p[bit / 8] ^= (char)(1 << bit % 8);
        xg_arena_free(k.a);
    }
    xg_program *p;
    assert_ok(t->c, read_it(t, &b, m, &p));
    xg_put(&b, "", 1);
    assert_status(t->c, read_it(t, &b, m, &p), XG_INPUT);
}

static void reseal(xg_buf *b) {
    char hex[65];
    xg_sha256_hex(b->p, b->n - 64, hex);
    memcpy(b->p + b->n - 64, hex, 64);
}

/* Hostile files: bytes changed, digest right. No crash; what is accepted is a program that can be
 * written and printed. */
static void test_hostile(void **state) {
    xg_test *t = *state;
    static const uint8_t nasty[] = {0, 1, 0x7f, 0x80, 0xff};
    xg_machine *m = sample_machine(t, "nano");
    xg_buf small = sample_xgb(t, m, sample_by_hand(t, m)),
           large = sample_xgb(t, m, sample_compiled(t, m, "greedy"));
    uint64_t seed = 4;
    uint32_t taken = 0, refused = 0;
    for (int n = 0; n < 6000; n++) {
        const xg_buf *from = n % 8 ? &small : &large;
        xg_test k = {t->c, xg_arena_new(t->c)};
        xg_buf b = {.arena = k.a};
        xg_put(&b, from->p, from->n);
        for (uint64_t changes = 1 + xg_random(&seed) % 4; changes > 0; changes--)
            b.p[xg_random(&seed) % (b.n - 64)] =
                (char)(xg_random(&seed) & 1 ? xg_random(&seed) : nasty[xg_random(&seed) % 5]);
        reseal(&b);
        xg_program *p;
        if (read_it(&k, &b, m, &p) == XG_OK) {
            xg_buf text = {.arena = k.a};
            taken++;
            assert_ok(t->c, xg_xs_print(t->c, m, p, &text));
            (void)sample_xgb(&k, m, p);
        } else {
            refused++;
            assert_true(xg_diag_count(t->c) >= 1);
        }
        xg_arena_free(k.a);
    }
    assert_true(taken > 50 && refused > 50);
}

/* ---- foreign files --------------------------------------------------------------------------- */

static void test_foreign(void **state) {
    xg_test *t = *state;
    xg_machine *nano = sample_machine(t, "nano"), *edge = sample_machine(t, "edge");
    xg_program *p = sample_by_hand(t, nano);
    xg_buf b = sample_xgb(t, nano, p);
    assert_status(t->c, read_it(t, &b, edge, &p), XG_INPUT);
    assert_said(t->c,
                xg_strf(t->a, "built for machine nano (digest %.16s), given is edge (digest %.16s)",
                        nano->digest, edge->digest));
    xg_machine other = *nano;
    xg_encoding e = *nano->encoding;
    memset(e.digest, 'a', 64);
    other.encoding = &e;
    assert_status(t->c, read_it(t, &b, &other, &p), XG_INPUT);
    assert_said(t->c,
                nano->encoding->digest[0] ? xg_strf(t->a, "%.16s", nano->encoding->digest) : "");
    assert_said(t->c, "aaaaaaaaaaaaaaaa");
    xg_buf out = {.arena = t->a};
    p = sample_by_hand(t, nano);
    assert_status(t->c, xg_xgb_write(t->c, edge, p, &out), XG_INPUT);
    assert_int_equal(out.n, 0);
}

static void test_version(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_program *p;
    xg_buf b = sample_xgb(t, m, sample_by_hand(t, m));
    size_t at = (size_t)(section(&b, ".note.xgc").p - (const uint8_t *)b.p) + 16;
    b.p[at] = 3;
    for (int sealed = 0; sealed < 2; sealed++) {
        assert_status(t->c, read_it(t, &b, m, &p), XG_INPUT);
        assert_said(t->c, "format version 3, this xgc reads version 2");
        reseal(&b);
    }
}

static void test_not_a_program(void **state) {
    xg_test *t = *state;
    xg_program *p;
    static const char *const files[] = {"", "PK\3\4", "machine nano\n"};
    for (size_t i = 0; i < XG_COUNT(files); i++) {
        xg_buf b = {.arena = t->a};
        xg_puts(&b, files[i]);
        for (int k = 0; i && k < 200; k++) xg_puts(&b, " ");
        assert_status(t->c, read_it(t, &b, NULL, &p), XG_INPUT);
        assert_said(t->c, "not an .xgb file");
    }
    xg_bytes self; /* another ELF file: this test */
    assert_ok(t->c, xg_read_file(t->a, "/proc/self/exe", &self));
    assert_status(t->c, xg_xgb_read(t->a, "exe", self.p, self.n, NULL, &p), XG_INPUT);
    assert_said(t->c, "not an .xgb file");
}

/* An instruction that does not fit its field names stream, instruction, field and limits. */
static void test_does_not_fit(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_program *p = sample_by_hand(t, m);
    xg_buf b = {.arena = t->a};
    p->segment.v[0].core[0].inst[4].f[xg_operand_by_name(
        &m->family->inst[p->segment.v[0].core[0].inst[4].op], "cols")] = 8193;
    assert_status(t->c, xg_xgb_write(t->c, m, p, &b), XG_LIMIT);
    assert_said(t->c, "segment 0 core 0 instruction 4");
    assert_said(t->c, "conv: cols = 8193 does not fit the encoding's field, which holds 1 to 8192");
    assert_int_equal(b.n, 0);
}

/* Reserved bits and unknown opcodes name section and offset. */
static void test_bad_words(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_program *p;
    xg_buf b = sample_xgb(t, m, sample_by_hand(t, m));
    part s = section(&b, ".text.s0.c0");
    size_t at = (size_t)(s.p - (const uint8_t *)b.p);
    b.p[at + s.n - 4] |= 1; /* end */
    reseal(&b);
    assert_status(t->c, read_it(t, &b, m, &p), XG_INPUT);
    assert_said(t->c, xg_strf(t->a, ".text.s0.c0 offset 0x%llx: end: reserved bits 0x00000001",
                              (unsigned long long)s.n - 4));
    b.p[at + 3] = (char)0xf8;
    reseal(&b);
    assert_status(t->c, read_it(t, &b, m, &p), XG_INPUT);
    assert_said(t->c, ".text.s0.c0 offset 0x0: unknown opcode 31");
}

/* ---- places: the closed form equals walking through all rows --------------------------------- */

static bool walk_fits(const xg_machine *m, const xg_place *v, uint32_t rows, uint32_t cols,
                      uint32_t ch) {
    for (uint64_t r = 0; r < rows; r++) {
        uint64_t h = v->row0 + r;
        if (v->ring) h %= v->ring;
        uint64_t slot = h / (v->il * m->tile.pp) * v->il + h % v->il;
        uint64_t word = v->addr + slot * v->row_step + (uint64_t)(cols - 1) * v->pix_step +
                        (v->lane + ch - 1) / m->tile.icp;
        if (word >= m->tile.fm_depth) return false;
    }
    return true;
}

static void test_views(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_program *p = sample_by_hand(t, m);
    xg_prog_tensor big = {.name = "big", .dtype = XG_I8, .dim = {1, 64, 8, 16}, .scale = 1};
    xg_push(t->a, &p->tensor, big);
    xg_push(t->a, &p->map, (xg_map_row){.last = 1, .tensor = p->tensor.n - 1});
    xg_map_row *r = &p->map.v[p->map.n - 1];
    uint64_t seed = 21, fits = 0;
    for (int n = 0; n < 20000; n++) {
        m->tile.pp = 1 + (uint32_t)(xg_random(&seed) % 5);
        r->h1 = 1 + (uint32_t)(xg_random(&seed) % 64);
        r->w1 = 1 + (uint32_t)(xg_random(&seed) % 8), r->c1 = 1 + (uint32_t)(xg_random(&seed) % 16);
        r->place = (xg_place){.on_chip = true,
                              .addr = (uint32_t)(xg_random(&seed) % 500),
                              .row_step = (uint32_t)(xg_random(&seed) % 40),
                              .pix_step = (uint32_t)(xg_random(&seed) % 5),
                              .row0 = (uint32_t)(xg_random(&seed) % 40),
                              .ring = (uint32_t)(xg_random(&seed) % 40),
                              .il = 1 + (uint32_t)(xg_random(&seed) % 4),
                              .lane = (uint32_t)(xg_random(&seed) % 4)};
        bool want = walk_fits(m, &r->place, r->h1, r->w1, r->c1);
        xg_diag_truncate(t->c, 0);
        assert_int_equal(xg_program_verify(t->a, "", m, p) == XG_OK, want);
        fits += want;
    }
    assert_true(fits > 1000 && fits < 19000);
}

/* ---- writing --------------------------------------------------------------------------------- */

static xg_status scenario(void *arg) {
    xg_test_case *k = arg;
    xg_buf *from = k->arg, again = {.arena = k->a};
    xg_program *p;
    xg_machine *m;
    xg_status st = xg_machine_load(k->a, "nano", NULL, &m);
    if (st == XG_OK) st = xg_xgb_read(k->a, "x.xgb", from->p, from->n, m, &p);
    return st == XG_OK ? xg_xgb_write(k->c, m, p, &again) : st;
}

static void test_out_of_memory(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_buf b = sample_xgb(t, m, sample_by_hand(t, m));
    assert_true(xg_test_nomem(scenario, &b, 7) > 50);
}

static void assert_file(xg_test *t, const char *path, const xg_buf *want) {
    xg_bytes got;
    assert_ok(t->c, xg_read_file(t->a, path, &got));
    assert_int_equal(got.n, want->n);
    assert_memory_equal(got.p, want->p, want->n);
}

/* A disk that fills up in the middle (here: a limit on file sizes) leaves the old file. */
static void test_full_disk(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_buf old = sample_xgb(t, m, sample_by_hand(t, m)),
           new = sample_xgb(t, m, sample_compiled(t, m, "layer"));
    assert_ok(t->c, xg_write_file(t->c, "full.xgb", old.p, old.n));
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = new.n / 2;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    xg_status st = xg_write_file(t->c, "full.xgb", new.p, new.n);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_status(t->c, st, XG_IO);
    assert_said(t->c, "full.xgb");
    assert_file(t, "full.xgb", &old);
    assert_int_equal(system("ls | grep -q 'full.xgb.'"), 256); /* no temporary file is left */
}

/* A writer that is killed at any moment leaves one of the two files, whole. */
static void test_killed(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_buf one = sample_xgb(t, m, sample_by_hand(t, m)),
           two = sample_xgb(t, m, sample_compiled(t, m, "layer"));
    assert_ok(t->c, xg_write_file(t->c, "killed.xgb", one.p, one.n));
    for (int n = 0; n < 25; n++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child)
            for (;;)
                if (xg_write_file(t->c, "killed.xgb", two.p, two.n) ||
                    xg_write_file(t->c, "killed.xgb", one.p, one.n))
                    _exit(1);
        usleep(500 + 700 * (useconds_t)n);
        kill(child, SIGKILL);
        int how;
        waitpid(child, &how, 0);
        assert_true(WIFSIGNALED(how));
        xg_bytes got;
        assert_ok(t->c, xg_read_file(t->a, "killed.xgb", &got));
        xg_program *p;
        assert_ok(t->c, xg_xgb_read(t->a, "killed.xgb", got.p, got.n, m, &p));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),    TEST(test_empty),        TEST(test_page),      TEST(test_readelf),
        TEST(test_damaged),       TEST(test_hostile),      TEST(test_foreign),   TEST(test_version),
        TEST(test_not_a_program), TEST(test_does_not_fit), TEST(test_bad_words), TEST(test_views),
        TEST(test_out_of_memory), TEST(test_full_disk),    TEST(test_killed),
    };
    return cmocka_run_group_tests_name("xgb", tests, NULL, NULL) != 0;
}
