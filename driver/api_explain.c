/* Why the groups are as they are. */
#include "driver/api.h"

#include "fusion/explain.h"

typedef struct question {
    const xgc_binary *b;
    const xgc_explain_options *o;
} question;

static xg_status explain_body(void *arg) {
    printing *p = arg;
    const question *q = p->what;
    xg_arena *a = p->buf.arena = p->g.arena = xg_arena_new(p->x->ctx);
    if (!q->b->selection)
        return xg_error(p->x->ctx, XG_USAGE, "",
                        "a binary that was read has no record of the choice; compile its model");
    if (q->o->node && q->o->pair)
        return xg_error(p->x->ctx, XG_USAGE, "", "a node or a pair is explained, not both at once");
    const xg_explain e = {q->b->selection, q->b->machine, q->o->patterns};
    if (q->o->node) return xg_explain_node(a, &e, q->o->node, &p->buf);
    if (q->o->pair) return xg_explain_pair(a, &e, q->o->pair, &p->buf);
    return xg_explain_choice(a, &e, &p->buf);
}

xgc_status xgc_explain(xgc *x, const xgc_binary *b, const xgc_explain_options *o, xgc_blob *out) {
    static const xgc_explain_options none = {0};
    const question q = {b, o ? o : &none};
    return xgc_print_guard(x, explain_body, &q, "text", out);
}
