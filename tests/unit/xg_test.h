/* What all unit tests share: a context and an arena for each test, statuses with their diagnostics,
 * real models where there are any, and the law that every allocation may fail. Include after
 * base/base.h and the cmocka set. */
#ifndef XG_TEST_H
#define XG_TEST_H

#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct xg_test {
    xg_ctx *c;
    xg_arena *a;
} xg_test;

/* cmocka set-up and tear-down: *state is an xg_test. Use TEST(f) in the table of tests. */
static inline int xg_test_setup(void **state) {
    xg_test *t = calloc(1, sizeof(*t));
    if (!t) return 1;
    t->c = xg_ctx_new();
    if (!t->c) {
        free(t);
        return 1;
    }
    t->a = xg_arena_new(t->c);
    *state = t;
    return 0;
}

static inline int xg_test_teardown(void **state) {
    xg_test *t = *state;
    xg_ctx_free(t->c);
    free(t);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, xg_test_setup, xg_test_teardown)

static inline void xg_test_print_diags(const xg_ctx *c) {
    for (size_t i = 0; i < xg_diag_count(c); i++) {
        const xg_diag *d = xg_diag_at(c, i);
        print_message("  diagnostic %zu: %s %s: %s\n", i, xg_status_name(d->status), d->where,
                      d->text);
    }
}

static inline void xg_test_status(const xg_ctx *c, xg_status got, xg_status want, const char *expr,
                                  const char *file, int line) {
    if (got == want) return;
    print_message("%s:%d: %s = %s, expected %s\n", file, line, expr, xg_status_name(got),
                  xg_status_name(want));
    xg_test_print_diags(c);
    _fail(file, line);
}

/* assert_status(c, expr, XG_INPUT); assert_ok(c, expr): on a difference the diagnostics are
 * printed. */
#define assert_status(c, expr, want) xg_test_status((c), (expr), (want), #expr, __FILE__, __LINE__)
#define assert_ok(c, expr)           assert_status((c), (expr), XG_OK)

/* The last diagnostic's text contains part. */
static inline void xg_test_said(const xg_ctx *c, const char *part, const char *file, int line) {
    size_t n = xg_diag_count(c);
    if (n &&
        (strstr(xg_diag_at(c, n - 1)->text, part) || strstr(xg_diag_at(c, n - 1)->where, part)))
        return;
    print_message("%s:%d: expected a last diagnostic with '%s'\n", file, line, part);
    xg_test_print_diags(c);
    _fail(file, line);
}
#define assert_said(c, part) xg_test_said((c), (part), __FILE__, __LINE__)

/* The path of a file in the models folder (XGC_MODELS, default <source>/../shared/models). When it
 * is not there the test is skipped, and says so. */
static inline const char *xg_test_model(xg_arena *a, const char *name) {
    const char *dir = getenv("XGC_MODELS");
    const char *path = dir ? xg_strf(a, "%s/%s", dir, name)
                           : xg_strf(a, "%s/../shared/models/%s", XGC_SOURCE_DIR, name);
    if (access(path, R_OK) != 0) {
        print_message("skipped: %s is not there (set XGC_MODELS)\n", path);
        skip();
    }
    return path;
}

/* The law of allocation failure: scenario() runs in a fresh context again and again, its n-th
 * allocation failing for n = 1, 2, ..., until it runs through. Each failure must come out as
 * XG_NOMEM (leaks are the sanitizer's business). Returns the number of allocations. scenario must
 * be deterministic; it gets {context, fresh arena, arg}. */
typedef struct xg_test_case {
    xg_ctx *c;
    xg_arena *a;
    void *arg;
} xg_test_case;

static inline uint64_t xg_test_nomem(xg_status (*scenario)(void *test_case), void *arg,
                                     uint64_t step) {
    for (uint64_t n = 1;; n += step) {
        xg_test_case k = {xg_ctx_new(), NULL, arg};
        assert_non_null(k.c);
        k.a = xg_arena_new(k.c);
        xg_ctx_fail_alloc(k.c, n);
        xg_status st = xg_ctx_run(k.c, scenario, &k);
        xg_ctx_fail_alloc(k.c, 0);
        if (st != XG_OK) {
            if (st != XG_NOMEM) xg_test_print_diags(k.c);
            assert_int_equal(st, XG_NOMEM);
        }
        xg_ctx_free(k.c);
        if (st == XG_OK) return n - 1;
    }
}

#endif
