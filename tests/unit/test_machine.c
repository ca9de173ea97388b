#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/embed.h"
#include "base/yaml.h"
#include "isa/encoding.h"
#include "isa/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    xg_ctx *c;
    xg_arena *a;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->c = xg_ctx_new();
    f->a = xg_ctx_arena(f->c);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    xg_ctx_free(f->c);
    free(f);
    return 0;
}

static const char *shipped(const char *name) {
    for (const xg_embedded *e = xg_embedded_machines; e->name; e++)
        if (!strcmp(e->name, name)) return e->text;
    return NULL;
}

/* zu9's file with the first `from` replaced by `to`, written where the loader finds it. */
static const char *edited(fixture *f, const char *from, const char *to) {
    const char *text = shipped("zu9");
    const char *at = strstr(text, from);
    assert_non_null(at);
    xg_buf b = {.arena = f->a};
    xg_put(&b, text, (size_t)(at - text));
    xg_puts(&b, to);
    xg_puts(&b, at + strlen(from));
    const char *path = xg_strf(f->a, "machine_%d.yaml", (int)getpid());
    assert_int_equal(xg_write_file(f->c, path, b.p, b.n), XG_OK);
    return path;
}

static xg_status load_edited(fixture *f, const char *from, const char *to, xg_machine **m) {
    const char *path = edited(f, from, to);
    xg_diag_truncate(f->c, 0);
    xg_status st = xg_machine_load(f->a, path, NULL, m);
    unlink(path);
    return st;
}

/* The edit must be refused with exactly one line that has this place and these words. */
static void refused(fixture *f, const char *from, const char *to, const char *place,
                    const char *words) {
    xg_machine *m = NULL;
    xg_status st = load_edited(f, from, to, &m);
    if (st == XG_OK) fail_msg("accepted: %s", to);
    assert_int_equal(xg_diag_count(f->c), 1);
    const xg_diag *d = xg_diag_at(f->c, 0);
    if (!strstr(d->text, words)) fail_msg("'%s' lacks '%s'", d->text, words);
    if (*place && !strstr(d->where, place))
        fail_msg("'%s' lacks '%s' (%s)", d->where, place, d->text);
    assert_null(strchr(d->text, '\n'));
}

static void test_shipped(void **state) {
    fixture *f = *state;
    static const struct {
        const char *name;
        uint32_t cores, pp, icp, ocp, khz, param;
        const char *profile;
        double peak;
    } rows[] = {{"edge", 1, 8, 16, 16, 300000, 65536, "tflite1", 1228.8e9},
                {"kv260", 1, 8, 16, 16, 300000, 65536, "dpu", 1228.8e9},
                {"nano", 1, 2, 4, 4, 100000, 8192, "ort", 6.4e9},
                {"zcu102", 3, 8, 16, 16, 281000, 65536, "dpu", 3452.928e9},
                {"zu2", 1, 4, 12, 12, 330000, 49152, "dpu", 380.16e9},
                {"zu9", 3, 8, 16, 16, 330000, 65536, "dpu", 4055.04e9}};
    const char *const *names = xg_machine_names();
    size_t n = 0;
    for (const xg_embedded *e = xg_embedded_machines; e->name; e++) n++;
    assert_int_equal(n, XG_COUNT(rows));
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        xg_machine *m;
        assert_string_equal(names[i], rows[i].name);
        assert_non_null(shipped(rows[i].name));
        assert_int_equal(xg_machine_load(f->a, rows[i].name, NULL, &m), XG_OK);
        assert_string_equal(m->name, rows[i].name);
        assert_int_equal(m->cores, rows[i].cores);
        assert_int_equal(m->tile.pp, rows[i].pp);
        assert_int_equal(m->tile.icp, rows[i].icp);
        assert_int_equal(m->tile.ocp, rows[i].ocp);
        assert_int_equal(m->clock_khz, rows[i].khz);
        assert_int_equal(m->tile.param_bytes, rows[i].param);
        assert_string_equal(m->profile, rows[i].profile);
        assert_true(xg_machine_peak_ops(m) == rows[i].peak);
        assert_int_equal(strlen(m->digest), 64);
        assert_int_equal(m->ddr.bytes % 4096, 0);
    }
    assert_null(names[XG_COUNT(rows)]);
}

static void test_round_trip(void **state) {
    fixture *f = *state;
    for (const char *const *n = xg_machine_names(); *n; n++) {
        xg_machine *m, *again;
        assert_int_equal(xg_machine_load(f->a, *n, NULL, &m), XG_OK);
        xg_buf b = {.arena = f->a}, b2 = {.arena = f->a};
        xg_machine_print(m, &b);
        const char *path = xg_strf(f->a, "round_%d.yaml", (int)getpid());
        assert_int_equal(xg_write_file(f->c, path, b.p, b.n), XG_OK);
        assert_int_equal(xg_machine_load(f->a, path, NULL, &again), XG_OK);
        unlink(path);
        assert_string_equal(m->digest, again->digest);
        assert_memory_equal(&m->tile, &again->tile, sizeof m->tile);
        assert_memory_equal(&m->ddr, &again->ddr, sizeof m->ddr);
        assert_string_equal(m->profile, again->profile);
        assert_string_equal(m->description, again->description);
        xg_machine_print(again, &b2);
        assert_string_equal(b.p, b2.p);
    }
}

static void test_digest_sees_every_number(void **state) {
    fixture *f = *state;
    static const char *const edits[][2] = {{"clock_mhz: 330", "clock_mhz: 330.001"},
                                           {"cores: 3", "cores: 2"},
                                           {"pp: 8", "pp: 4"},
                                           {"fm_depth: 4096", "fm_depth: 4095"},
                                           {"burst_overhead: 10", "burst_overhead: 9"},
                                           {"token_max: 63", "token_max: 62"},
                                           {"profile: dpu", "profile: dpu\n  acc_bits: 30"},
                                           {"51.717", "51.8"}};
    xg_machine *m, *base;
    assert_int_equal(xg_machine_load(f->a, "zu9", NULL, &base), XG_OK);
    for (size_t i = 0; i < XG_COUNT(edits); i++) {
        assert_int_equal(load_edited(f, edits[i][0], edits[i][1], &m), XG_OK);
        assert_string_not_equal(m->digest, base->digest);
    }
    assert_int_equal(load_edited(f, "Three 8x16x16", "3 of 8x16x16", &m), XG_OK);
    assert_string_equal(m->digest, base->digest);
}

static void test_overrides(void **state) {
    fixture *f = *state;
    xg_machine *m;
    assert_int_equal(
        load_edited(f, "profile: dpu", "profile: tflite1\n  rounding: trunc\n  mul_bits: 0x0f", &m),
        XG_OK);
    assert_int_equal(m->rq.rounding[0], XG_TRUNC);
    assert_int_equal(m->rq.mul_bits, 15);
    assert_string_equal(m->profile, "custom");
    xg_rqrec named;
    assert_true(xg_rqrec_profile("tflite1", &named));
    assert_int_equal(m->rq.method, named.method);
    assert_int_equal(m->rq.acc_bits, named.acc_bits);
}

static void test_refusals(void **state) {
    fixture *f = *state;
    refused(f, "cores: 3", "cores: 0", ":7:8",
            "field 'cores': found '0', expected a whole number from 1 to 64");
    refused(f, "cores: 3", "cores: 3x", ":7:8", "found '3x'");
    refused(f, "cores: 3", "cores: 1.5", ":7:8", "found '1.5'");
    refused(f, "cores: 3", "cores: -1", ":7:8", "found '-1'");
    refused(f, "cores: 3", "cores:", ":7:7", "found ''");
    refused(f, "cores: 3", "cores: 99999999999999999999", ":7:8", "expected a whole number");
    refused(f, "cores: 3", "cores: {a: 1}", ":7", "cores");
    refused(f, "cores: 3", "kores: 3", ":7:8", "field 'kores': unknown field");
    refused(f, "cores: 3\n", "", "", "field 'cores' is missing");
    refused(f, "cores: 3", "cores: 3\ncores: 3", ":8:8", "field 'cores' is given twice");
    refused(f, "  fm_depth", "  fm_deep: 1\n  fm_depth", ":",
            "field 'tile.fm_deep': unknown field");
    refused(f, "  fm_depth: 4096", "  ", ":", "field 'tile.fm_depth' is missing");
    refused(f, "  pp: 8", "  pp: 65", ":",
            "field 'tile.pp': found '65', expected a whole number from 1 to 64");
    refused(f, "  ocp: 16", "  ocp: 12", ":", "multiple");
    refused(f, "misc_rows: 4", "misc_rows: 9", ":", "at most pp = 8");
    refused(f, "profile: dpu", "profile: dpx", ":", "expected one of: ort");
    refused(f, "profile: dpu", "profile: custom", ":", "'method' is missing");
    refused(f, "profile: dpu", "profile: dpu\n  rounding: up", ":", "expected one of: half_even");
    refused(f, "profile: dpu", "profile: dpu\n  per_channel: maybe", ":", "expected true or false");
    refused(f, "profile: dpu", "profile: dpu\n  mul_bits: 8", ":", "has no mul_bits");
    refused(f, "profile: dpu", "profile: dpu\n  pow2_scales: false", ":", "needs pow2_scales");
    refused(f, "clock_mhz: 330", "clock_mhz: fast", ":6:12", "found 'fast'");
    refused(f, "clock_mhz: 330", "clock_mhz: 0", ":6:12", "expected a number from 0.001 to 10000");
    refused(f, "efficiency: 0.844", "efficiency: 1.1", ":", "from 0.00390625 to 1");
    refused(f, "family: tile", "family: tiles", ":4:9", "expected one of: tile");
    refused(f, "name: zu9", "name: \"a b\"", ":2:7", "letters, digits");
    refused(f, "encoding: default", "encoding: none_such.yaml", "none_such.yaml", "cannot open");
    refused(f, "name: zu9", "name: &n zu9\nother: *n", ":3", "aliases");
    refused(f, "name: zu9", "name: [", ":", "");
    refused(f, "name: zu9", "name: zu9\n\xff\xfe", "", "YAML");
    refused(f, "name: zu9", "name: zu9\n--- 1", "", "");
    refused(f, "name: zu9", "name: [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]", ":2",
            "deeper than 16");
}

static void test_names_and_files(void **state) {
    fixture *f = *state;
    xg_machine *m;
    assert_int_equal(xg_machine_load(f->a, "zu99", NULL, &m), XG_INPUT);
    assert_non_null(strstr(xg_diag_at(f->c, 0)->text, "edge, kv260, nano, zcu102, zu2, zu9"));
    assert_int_equal(xg_machine_load(f->a, "no/such.yaml", NULL, &m), XG_IO);
    const char *path = xg_strf(f->a, "empty_%d.yaml", (int)getpid());
    assert_int_equal(xg_write_file(f->c, path, "", 0), XG_OK);
    assert_int_equal(xg_machine_load(f->a, path, NULL, &m), XG_INPUT);
    assert_int_equal(xg_write_file(f->c, path, "- 1\n", 4), XG_OK);
    assert_int_equal(xg_machine_load(f->a, path, NULL, &m), XG_INPUT);
    unlink(path);
}

/* Any single byte changed: accepted or refused with a line, never a crash. */
static void test_damaged(void **state) {
    fixture *f = *state;
    const char *text = shipped("nano");
    size_t n = strlen(text);
    uint64_t seed = 7;
    const char *path = xg_strf(f->a, "damaged_%d.yaml", (int)getpid());
    for (int i = 0; i < 200; i++) {
        xg_arena *a = xg_arena_new(f->c);
        char *copy = xg_strdup(a, text);
        for (int k = 0; k < 3; k++) copy[xg_random(&seed) % n] = (char)xg_random(&seed);
        size_t keep = i % 4 ? n : xg_random(&seed) % n;
        assert_int_equal(xg_write_file(f->c, path, copy, keep), XG_OK);
        xg_machine *m;
        xg_diag_truncate(f->c, 0);
        xg_status st = xg_machine_load(a, path, NULL, &m);
        assert_true(st == XG_OK || xg_diag_count(f->c) == 1);
        xg_arena_free(a);
    }
    unlink(path);
}

typedef struct load_call {
    xg_arena *a;
    xg_machine *m;
} load_call;
static xg_status load_one(void *arg) {
    load_call *l = arg;
    return xg_machine_load(l->a, "nano", NULL, &l->m);
}

/* Memory running out at any allocation unwinds cleanly (the sanitizer sees leaks). */
static void test_out_of_memory(void **state) {
    fixture *f = *state;
    xg_status st = XG_NOMEM;
    uint64_t n = 1;
    for (; st == XG_NOMEM && n < 100000; n += 1 + n / 8) {
        load_call l = {.a = xg_arena_new(f->c)};
        xg_ctx_fail_alloc(f->c, n);
        st = xg_ctx_run(f->c, load_one, &l);
        xg_ctx_fail_alloc(f->c, 0);
        xg_arena_free(l.a);
    }
    assert_int_equal(st, XG_OK);
    assert_true(n > 10);
}

static void test_decimal(void **state) {
    fixture *f = *state;
    static const struct {
        int64_t n, scale;
        const char *text;
    } rows[] = {{0, 256, "0"},
                {1, 256, "0.00390625"},
                {256, 256, "1"},
                {13240, 256, "51.71875"},
                {330001, 1000, "330.001"}};
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        xg_buf b = {.arena = f->a};
        xg_yaml_put_decimal(&b, rows[i].n, rows[i].scale);
        assert_string_equal(b.p, rows[i].text);
    }
}

/* The limits that MACHINE.md gives for a field: "| `pp` | 1..64 |" or "| `x` | 0.5 to 1 |". False
 * when the row names words instead. */
static bool page_limits(fixture *f, const char *page, const char *key, const char **lo,
                        const char **hi) {
    const char *at = strstr(page, xg_strf(f->a, "| `%s` | ", key));
    if (!at) fail_msg("MACHINE.md has no row for '%s'", key);
    at = strstr(at, "` | ") + 4;
    static const char digits[] = "-0123456789.";
    size_t n = strspn(at, digits);
    const char *dots = memmem(at, n, "..", 2);
    if (dots) {
        *lo = xg_strndup(f->a, at, (size_t)(dots - at));
        *hi = xg_strndup(f->a, dots + 2, n - (size_t)(dots + 2 - at));
        return true;
    }
    if (!n || strncmp(at + n, " to ", 4)) return false;
    *lo = xg_strndup(f->a, at, n);
    *hi = xg_strndup(f->a, at + n + 4, strspn(at + n + 4, digits));
    return strspn(*hi, digits) > 0;
}

static void refuses_value(fixture *f, const char *text, const char *line, const char *key,
                          const char *value, const char *words) {
    xg_machine *m;
    const char *path = xg_strf(f->a, "page_%d.yaml", (int)getpid());
    size_t before = (size_t)(line - text);
    const char *changed =
        xg_strf(f->a, "%.*s%s: %s%s", (int)before, text, key, value, strchr(line, '\n'));
    assert_int_equal(xg_write_file(f->c, path, changed, strlen(changed)), XG_OK);
    xg_diag_truncate(f->c, 0);
    if (xg_machine_load(f->a, path, NULL, &m) == XG_OK) fail_msg("accepted %s: %s", key, value);
    unlink(path);
    if (!strstr(xg_diag_at(f->c, 0)->text, words))
        fail_msg("%s: '%s' lacks '%s'", key, xg_diag_at(f->c, 0)->text, words);
}

/* Every field of a printed machine has a row in MACHINE.md, with the limits that the reader has. */
static void test_page(void **state) {
    fixture *f = *state;
    xg_machine *m;
    xg_bytes file;
    xg_buf b = {.arena = f->a};
    assert_int_equal(xg_read_file(f->a, XGC_SOURCE_DIR "/isa/MACHINE.md", &file), XG_OK);
    const char *page = xg_strndup(f->a, (const char *)file.p, file.n);
    assert_int_equal(xg_machine_load(f->a, "zu9", NULL, &m), XG_OK);
    xg_machine_print(m, &b);
    int limits = 0;
    for (const char *line = b.p; *line; line = strchr(line, '\n') + 1) {
        const char *word = line + strspn(line, " "), *colon = strchr(word, ':');
        const char *key = xg_strndup(f->a, word, (size_t)(colon - word)), *lo, *hi;
        if (colon[1] == '\n') continue; /* a section */
        if (!page_limits(f, page, key, &lo, &hi)) continue;
        const char *words = xg_strf(f->a, "from %s to %s", lo, hi);
        refuses_value(f, b.p, word, key, strlen(hi) > 9 ? "9999999999999" : "999999999", words);
        refuses_value(f, b.p, word, key, strchr(lo, '.') ? "0.0001" : "-100", words);
        limits++;
    }
    assert_true(limits >= 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_digest_sees_every_number, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overrides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_and_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decimal, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
