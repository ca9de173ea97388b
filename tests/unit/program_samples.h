/* Programs for the tests of .xgb and .xs: the small network compiled, and the page's file by hand.
 */
#ifndef PROGRAM_SAMPLES_H
#define PROGRAM_SAMPLES_H

#include "assembler/program.h"
#include "layout/plan.h"
#include "small_net.h"
#include "xg_test.h"

static inline xg_machine *sample_machine(xg_test *t, const char *name) {
    xg_machine *m;
    assert_ok(t->c, xg_machine_load(t->a, name, NULL, &m));
    return m;
}

/* The small network for a machine, with all that the driver adds. */
static inline xg_program *sample_compiled(xg_test *t, const xg_machine *m, const char *strategy) {
    xg_graph *g = small_net(t->a, 1);
    xg_selection *s = xg_new(t->a, xg_selection);
    xg_plan *plan;
    xg_program *p;
    assert_ok(t->c, xg_graph_infer(t->c, g));
    assert_ok(t->c, xg_select(t->a, g, m, strategy, s));
    assert_ok(t->c, xg_plan_make(t->a, s, m, &plan));
    assert_ok(t->c, xg_lower(t->a, plan, &p));
    p->tool_version = "xgc test";
    p->input_digest = "00ff";
    p->options = "--strategy \"x\" # not a comment";
    p->strategy = strategy;
    p->solver_note = "value 1\nbound 2";
    return p;
}

/* The text between ```xs and ``` in assembler/XS.md. */
static inline char *sample_page(xg_test *t) {
    xg_bytes page;
    assert_ok(t->c, xg_read_file(t->a, XGC_SOURCE_DIR "/assembler/XS.md", &page));
    char *text = xg_strndup(t->a, (const char *)page.p, page.n);
    char *from = strstr(text, "```xs\n");
    assert_non_null(from);
    from += strlen("```xs\n");
    char *to = strstr(from, "```");
    assert_non_null(to);
    *to = 0;
    return from;
}

static inline xg_program *sample_by_hand(xg_test *t, const xg_machine *nano) {
    xg_program *p;
    const char *text = sample_page(t);
    assert_ok(t->c, xg_xs_parse(t->a, "page.xs", text, strlen(text), nano, &p));
    return p;
}

static inline xg_buf sample_xgb(xg_test *t, const xg_machine *m, const xg_program *p) {
    xg_buf b = {.arena = t->a};
    assert_ok(t->c, xg_xgb_write(t->c, m, p, &b));
    return b;
}

static inline void assert_same_bytes(const xg_buf *x, const xg_buf *y) {
    assert_int_equal(x->n, y->n);
    assert_memory_equal(x->p, y->p, x->n);
}

#endif
