/* Why the groups are as they are. */
#include "driver/api.h"

#include "fusion/explain.h"
#include "layout/plan.h"

typedef struct question {
    const xgc_binary *b;
    const xgc_explain_options *o;
    xgc *x;
} question;

/* Plans with more instructions take seconds each, and a question asks for several. */
enum { SIMULATED_INSTRUCTIONS = 200000 };

static bool is_small(const xg_program *p) {
    uint64_t n = 0;
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t c = 0; c < p->segment.v[s].ncore; c++) n += p->segment.v[s].core[c].n;
    return n <= SIMULATED_INSTRUCTIONS;
}

static bool simulate(void *arg, const xg_selection *s, uint64_t *cycles) {
    const question *q = arg;
    if (s == q->b->selection) return xg_plan_cycles(q->b->plan, cycles) == XG_OK;
    xg_ctx *c = q->x->ctx;
    xg_arena *scratch = xg_arena_new(c);
    size_t diags = xg_diag_count(c);
    xg_plan *plan;
    xg_status st = xg_plan_make(scratch, s, q->b->machine, &plan);
    if (st == XG_OK) st = xg_plan_cycles(plan, cycles);
    xg_diag_truncate(c, diags);
    xg_arena_free(scratch);
    return st == XG_OK;
}

static xg_status explain_body(void *arg) {
    printing *p = arg;
    const question *q = p->what;
    xg_arena *a = p->buf.arena = p->g.arena = xg_arena_new(p->x->ctx);
    if (!q->b->selection)
        return xg_error(p->x->ctx, XG_USAGE, "",
                        "a binary that was read has no record of the choice; compile its model");
    if (q->o->node && q->o->pair)
        return xg_error(p->x->ctx, XG_USAGE, "", "a node or a pair is explained, not both at once");
    const xg_explain e = {q->b->selection,
                          q->b->machine,
                          q->o->patterns,
                          q->o->json,
                          is_small(q->b->program) ? simulate : NULL,
                          (void *)(uintptr_t)q};
    if (q->o->node) return xg_explain_node(a, &e, q->o->node, &p->buf);
    if (q->o->pair) return xg_explain_pair(a, &e, q->o->pair, &p->buf);
    return xg_explain_choice(a, &e, &p->buf);
}

xgc_status xgc_explain(xgc *x, const xgc_binary *b, const xgc_explain_options *o, xgc_blob *out) {
    static const xgc_explain_options none = {0};
    const question q = {b, o ? o : &none, x};
    return xgc_print_guard(x, explain_body, &q, "text", out);
}
