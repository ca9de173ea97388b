/* .xs text: print and parse are inverse, a file by hand assembles and runs, mistakes are named with
 * line and column. */
#include "program_samples.h"

#include "isa/tile.h"
#include "validate/run.h"

static xg_status parse(xg_test *t, const char *text, const xg_machine *m, xg_program **p) {
    xg_diag_truncate(t->c, 0);
    return xg_xs_parse(t->a, "x.xs", text, strlen(text), m, p);
}

static xg_buf printed(xg_test *t, const xg_machine *m, const xg_program *p) {
    xg_buf b = {.arena = t->a};
    assert_ok(t->c, xg_xs_print(t->c, m, p, &b));
    return b;
}

/* text -> program -> text and bytes: the same as p's. */
static void check_inverse(xg_test *t, const xg_machine *m, const xg_program *p) {
    xg_program *back;
    xg_buf text = printed(t, m, p), bytes = sample_xgb(t, m, p);
    assert_ok(t->c, xg_xs_parse(t->a, "x.xs", text.p, text.n, m, &back));
    xg_buf text2 = printed(t, m, back), bytes2 = sample_xgb(t, m, back);
    assert_same_bytes(&bytes, &bytes2);
    assert_same_bytes(&text, &text2);
}

static void test_round_trip(void **state) {
    xg_test *t = *state;
    static const char *const strategies[] = {"layer", "greedy", "ilp"};
    for (const char *const *name = xg_machine_names(); *name; name++)
        for (size_t s = 0; s < XG_COUNT(strategies); s++) {
            xg_machine *m = sample_machine(t, *name);
            check_inverse(t, m, sample_compiled(t, m, strategies[s]));
        }
}

/* Every operand of every instruction, at its default, at its limits and at random. */
static void test_every_operand(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    XG_VEC(xg_inst) v = {0};
    uint64_t seed = 8;
    for (uint8_t op = 0; op < m->family->ninst; op++)
        for (int n = 0; n < 8; n++) {
            xg_inst in = {.op = op, .wait = xg_random(&seed) & 15, .post = xg_random(&seed) & 15};
            for (uint8_t i = 0; i < m->family->inst[op].noperand; i++) {
                int64_t lo, hi;
                xg_encoding_range(m->encoding, op, i, &lo, &hi);
                in.f[i] =
                    (int32_t)(n == 0 ? lo
                              : n == 1
                                  ? hi
                                  : lo + (int64_t)(xg_random(&seed) % (uint64_t)(hi - lo + 1)));
            }
            xg_push(t->a, &v, in);
        }
    xg_stream core = {v.v, v.n};
    xg_program p = {.ncore = 1};
    xg_push(t->a, &p.segment, (xg_segment){&core, 1});
    xg_push(t->a, &p.step, (xg_step){.kind = XG_STEP_ACCEL});
    check_inverse(t, m, &p);
}

/* Names that need quotes, strings of every kind. */
static void test_strings(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_program *p = sample_by_hand(t, m);
    p->tensor.v[0].name = "a b\"c\\d\n\t#=[,]";
    p->tensor.v[0].onnx = "";
    p->tensor.v[1].onnx = "\x01\x7f\xc3\xa9";
    p->tensor.v[1].scale = 0x1.23456p-20f;
    p->tensor.v[1].zp = -128;
    p->options = "--a 'b' \"c\"";
    p->host = NULL;
    check_inverse(t, m, p);
}

/* The page's file gives what its first line says. */
static void test_by_hand(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    xg_program *p = sample_by_hand(t, m);
    assert_ok(t->c, xg_program_fits(t->c, m, p));
    assert_ok(t->c, xg_program_check(t->a, m, &p->segment.v[0], p->region_bytes));
    check_inverse(t, m, p);
    assert_int_equal(p->host->input.n, 2); /* the model's, and what the segment hands back */
    assert_string_equal(p->host->tensor.v[p->host->input.v[0]].name, "x");
    assert_string_equal(p->host->tensor.v[p->host->output.v[0]].name, "y");
    xg_exec *e;
    assert_ok(t->c, xg_exec_new(t->a, m, p, NULL, &e));
    xg_exec_begin(e);
    static const int8_t bias[4] = {2, -4, 0, 1};
    int8_t *x = xg_values_get(&e->host, p->host->input.v[0]);
    for (int i = 0; i < 16; i++) x[i] = (int8_t)(9 * i - 70);
    static const xg_exec_options modes[] = {{.mode = XG_EXEC_TIMED}, {.mode = XG_EXEC_SHUFFLED}};
    for (size_t k = 0; k < XG_COUNT(modes); k++) {
        assert_ok(t->c, xg_exec_run(e, &modes[k]));
        const int8_t *y = xg_values_get(&e->host, p->host->output.v[0]);
        for (int i = 0; i < 16; i++) {
            int twice = 2 * x[i] + bias[i % 4]; /* halves go to the even neighbour */
            int want = twice % 2 == 0        ? twice / 2
                       : (twice + 1) / 2 % 2 ? (twice - 1) / 2
                                             : (twice + 1) / 2;
            assert_int_equal(y[i], want);
        }
    }
    xg_arena_free(e->run_arena);
}

/* What is left out. */
static void test_defaults(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "zu9");
    xg_program *p;
    assert_ok(t->c, parse(t, "segment\ncore\nconvinit\nend\ncore\nload\n", m, &p));
    assert_int_equal(p->ncore, 3);
    const xg_stream *core = p->segment.v[0].core;
    assert_int_equal(core[0].n, 2);
    assert_int_equal(core[1].n, 1);
    assert_int_equal(core[2].n, 0);
    const int32_t *f = core[0].inst[0].f;
    assert_int_equal(f[XG_F(CONVINIT, kh)], 1);
    assert_int_equal(f[XG_F(CONVINIT, dw)], 1);
    assert_int_equal(f[XG_F(CONVINIT, in_il)], 1);
    assert_int_equal(f[XG_F(CONVINIT, in_ring)], 0);
    assert_int_equal(f[XG_F(CONVINIT, lo)], 0);
    f = core[1].inst[0].f;
    assert_int_equal(f[XG_F(LOAD, il)], 1);
    assert_int_equal(f[XG_F(LOAD, fold)], 1);
    assert_int_equal(f[XG_F(LOAD, fold_s)], 1);
    assert_int_equal(f[XG_F(LOAD, rows)], 0);
    assert_int_equal(p->step.n, 1);
    assert_string_equal(p->machine_digest, m->digest);
    assert_ok(t->c, parse(t, "# nothing\n", m, &p));
    assert_int_equal(p->segment.n + p->step.n, 0);
}

static void test_mistakes(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    static const struct {
        const char *text, *where, *words;
    } rows[] = {
        {"segment\ncore\nconv rows=1 colour=2\n", "x.xs:3:13", "conv has no operand 'colour'"},
        {"segment\ncore\nconf\n", "x.xs:3:1", "unknown instruction or directive 'conf'"},
        {"segment\ncore\nconv rows=-1\n", "x.xs:3:", "-1"},
        {"segment\ncore\nconv rows=x\n", "x.xs:3:", "x"},
        {"segment\ncore\nconv rows=[1,2]\n", "x.xs:3:", "expected one number"},
        {"segment\ncore\nconv 5\n", "x.xs:3:6", "expected operand=value"},
        {"segment\ncore\nconv wait=LOAD|CPU\n", "x.xs:3:6", "no engine 'CPU'"},
        {"segment\ncore\nend\ncore\n", "x.xs:4", "there are 1 at most"},
        {"segment\ncore 1\n", "x.xs:2:", "1"},
        {"segment 3\n", "x.xs:1:", "3"},
        {"core\n", "x.xs:1", "core outside a segment"},
        {"segment\nend\n", "x.xs:2", "outside a core"},
        {"machine zu9\n", "x.xs:1", "written for machine 'zu9', given is 'nano'"},
        {"machine nano digest=12\n", "x.xs:1", "written for machine nano of digest 12"},
        {"machine nano encoding=12\n", "x.xs:1", "written for an encoding of digest 12"},
        {"xs version=7\n", "x.xs:1", "text version 7, this xgc reads version 1"},
        {"const bytes=4\n01 02 0\n", "x.xs:2", "byte 2 of 4: expected two hexadecimal digits"},
        {"const bytes=1000\n01\n", "x.xs:1", "1000 bytes promised"},
        {"const bytes=1\n01\nconst bytes=1\n01\n", "x.xs:3", "const is given twice"},
        {"host bytes=0\nhost bytes=0\n", "x.xs:2", "host is given twice"},
        {"region in bytes=1\nregion in bytes=1\n", "x.xs:2", "given twice"},
        {"region sea bytes=1\n", "x.xs:1:8", "expected a region"},
        {"region in\n", "x.xs:1", "bytes"},
        {"tensor x\n", "x.xs:1", "dim=[n,h,w,c] is needed"},
        {"tensor x dim=[1,1,1]\n", "x.xs:1:", "dim"},
        {"tensor x dim=[1,1,1,0]\n", "x.xs:1:", "0"},
        {"tensor x dim=[1,1,1,1] colour=1\n", "x.xs:1:", "unknown key 'colour'"},
        {"tensor x dim=[1,1,1,1] type=i9\n", "x.xs:1:", "type"},
        {"tensor x dim=[1,1,1,1] at=moon\n", "x.xs:1:", "expected chip or ddr"},
        {"tensor x dim=[1,1,1,1] region=in\n", "x.xs", "ends outside region 2"},
        {"map tensor=x\n", "x.xs:1:5", "no tensor 'x' above this line"},
        {"map h=[1]\n", "x.xs:1:", "expected [first,end]"},
        {"step accel segment=4\n", "x.xs", "no segment 4"},
        {"step robot\n", "x.xs:1:6", "expected host or accel"},
        {"host bytes=4\n00000000\n", "x.xs", ""},
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        xg_program *p;
        if (parse(t, rows[i].text, m, &p) == XG_OK) fail_msg("accepted: %s", rows[i].text);
        const xg_diag *d = xg_diag_at(t->c, xg_diag_count(t->c) - 1);
        if (strncmp(d->where, rows[i].where, strlen(rows[i].where)) ||
            !strstr(d->text, rows[i].words))
            fail_msg("%s -> %s: %s", rows[i].text, d->where, d->text);
    }
}

/* Text with bytes changed, dropped or doubled: an error or a program, never a crash. */
static void test_damaged(void **state) {
    xg_test *t = *state;
    xg_machine *m = sample_machine(t, "nano");
    const char *page = sample_page(t);
    static const char letters[] = "0123456789abcdefx-=[],\"\\#| \n\t_";
    uint64_t seed = 12;
    uint32_t taken = 0, refused = 0;
    for (int n = 0; n < 5000; n++) {
        xg_test k = {t->c, xg_arena_new(t->c)};
        char *text = xg_strf(k.a, "%s ", page);
        for (uint64_t changes = 1 + xg_random(&seed) % 3; changes > 0; changes--) {
            char *at = text + xg_random(&seed) % strlen(text);
            if (xg_random(&seed) % 4)
                *at = letters[xg_random(&seed) % (sizeof letters - 1)];
            else
                memmove(at, at + 1, strlen(at));
        }
        xg_program *p;
        if (parse(&k, text, m, &p) == XG_OK) {
            taken++;
            (void)printed(&k, m, p);
        } else
            refused++;
        xg_arena_free(k.a);
    }
    assert_true(taken > 100 && refused > 100);
}

static xg_status scenario(void *arg) {
    xg_test_case *k = arg;
    const char *text = k->arg;
    xg_buf again = {.arena = k->a};
    xg_program *p;
    xg_machine *m;
    xg_status st = xg_machine_load(k->a, "nano", NULL, &m);
    if (st == XG_OK) st = xg_xs_parse(k->a, "x.xs", text, strlen(text), m, &p);
    return st == XG_OK ? xg_xs_print(k->c, m, p, &again) : st;
}

static void test_out_of_memory(void **state) {
    xg_test *t = *state;
    assert_true(xg_test_nomem(scenario, sample_page(t), 7) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip), TEST(test_every_operand), TEST(test_strings),
        TEST(test_by_hand),    TEST(test_defaults),      TEST(test_mistakes),
        TEST(test_damaged),    TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("xs", tests, NULL, NULL) != 0;
}
