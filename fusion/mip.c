#include "fusion/mip.h"

#include <glpk.h>

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

xg_mip *xg_mip_new(xg_arena *a) {
    xg_mip *p = xg_new(a, xg_mip);
    p->arena = a;
    return p;
}

uint32_t xg_mip_col(xg_mip *p, int64_t cost) {
    xg_push(p->arena, &p->col, cost);
    return p->col.n - 1;
}

uint32_t xg_mip_row(xg_mip *p, int64_t lo, int64_t hi) {
    xg_mip_bounds b = {lo, hi};
    xg_push(p->arena, &p->row, b);
    return p->row.n - 1;
}

void xg_mip_add(xg_mip *p, uint32_t row, uint32_t col, int64_t v) {
    xg_mip_entry e = {row, col, v};
    xg_push(p->arena, &p->entry, e);
}

static int by_place(const void *a, const void *b) {
    const xg_mip_entry *x = a, *y = b;
    if (x->row != y->row) return x->row < y->row ? -1 : 1;
    return x->col < y->col ? -1 : x->col > y->col;
}

void xg_mip_sort(xg_mip *p) {
    if (!p->entry.n) return;
    qsort(p->entry.v, p->entry.n, sizeof *p->entry.v, by_place);
    uint32_t n = 1;
    for (uint32_t i = 1; i < p->entry.n; i++) {
        xg_mip_entry *last = &p->entry.v[n - 1];
        if (last->row == p->entry.v[i].row && last->col == p->entry.v[i].col)
            last->v += p->entry.v[i].v;
        else
            p->entry.v[n++] = p->entry.v[i];
    }
    p->entry.n = n;
}

int64_t xg_mip_value(const xg_mip *p, const bool *x) {
    int64_t v = 0;
    for (uint32_t j = 0; j < p->col.n; j++)
        if (x[j]) v += p->col.v[j];
    return v;
}

bool xg_mip_holds(const xg_mip *p, const bool *x, xg_arena *tmp) {
    int64_t *sum = xg_newn(tmp, int64_t, p->row.n + 1);
    for (uint32_t k = 0; k < p->entry.n; k++)
        if (x[p->entry.v[k].col]) sum[p->entry.v[k].row] += p->entry.v[k].v;
    for (uint32_t i = 0; i < p->row.n; i++)
        if (sum[i] < p->row.v[i].lo || sum[i] > p->row.v[i].hi) return false;
    return true;
}

static int row_kind(const xg_mip_bounds *b) {
    if (b->lo == INT64_MIN) return GLP_UP;
    if (b->hi == INT64_MAX) return GLP_LO;
    return b->lo == b->hi ? GLP_FX : GLP_DB;
}

static void fill(const xg_mip *p, glp_prob *lp, xg_arena *tmp) {
    int *ia = xg_newn(tmp, int, (size_t)p->entry.n + 1),
        *ja = xg_newn(tmp, int, (size_t)p->entry.n + 1);
    double *ar = xg_newn(tmp, double, (size_t)p->entry.n + 1);
    glp_add_rows(lp, (int)p->row.n);
    glp_add_cols(lp, (int)p->col.n);
    for (uint32_t i = 0; i < p->row.n; i++)
        glp_set_row_bnds(lp, (int)i + 1, row_kind(&p->row.v[i]), (double)p->row.v[i].lo,
                         (double)p->row.v[i].hi);
    for (uint32_t j = 0; j < p->col.n; j++) {
        glp_set_col_kind(lp, (int)j + 1, GLP_BV);
        glp_set_obj_coef(lp, (int)j + 1, (double)p->col.v[j]);
    }
    for (uint32_t k = 0; k < p->entry.n; k++) {
        ia[k + 1] = (int)p->entry.v[k].row + 1;
        ja[k + 1] = (int)p->entry.v[k].col + 1;
        ar[k + 1] = (double)p->entry.v[k].v;
    }
    glp_load_matrix(lp, (int)p->entry.n, ia, ja, ar);
}

typedef struct progress {
    uint32_t nodes, limit;
    double bound;
    const double *start; /* [1 + cols], or NULL */
} progress;

static void watch(glp_tree *tree, void *arg) {
    progress *w = arg;
    int reason = glp_ios_reason(tree);
    if (reason == GLP_IHEUR && w->start) {
        glp_ios_heur_sol(tree, w->start);
        w->start = NULL;
    }
    if (reason == GLP_ISELECT) w->nodes++;
    int best = glp_ios_best_node(tree);
    if (best) w->bound = glp_ios_node_bound(tree, best);
    if (w->nodes > w->limit) glp_ios_terminate(tree);
}

/* Takes a solution over when it is one in integers too, and cheaper than what there is. */
static bool take(const xg_mip *p, glp_prob *lp, bool mip, xg_arena *tmp, xg_mip_result *out) {
    bool *x = xg_newn(p->arena, bool, p->col.n + 1);
    for (uint32_t j = 0; j < p->col.n; j++)
        x[j] = (mip ? glp_mip_col_val(lp, (int)j + 1) : glp_get_col_prim(lp, (int)j + 1)) > 0.5;
    int64_t value = xg_mip_value(p, x);
    if (!xg_mip_holds(p, x, tmp)) return false;
    if (out->feasible && out->value <= value) return true;
    out->feasible = true;
    out->x = x;
    out->value = value;
    return true;
}

static bool integral(const xg_mip *p, glp_prob *lp) {
    for (uint32_t j = 0; j < p->col.n; j++) {
        double v = glp_get_col_prim(lp, (int)j + 1);
        if (fabs(v - floor(v + 0.5)) > 1e-6) return false;
    }
    return true;
}

/* True when the relaxation has an optimum, which is then in out->bound. */
static bool relax(glp_prob *lp, uint32_t pivots, xg_mip_result *out) {
    glp_smcp s;
    glp_init_smcp(&s);
    s.msg_lev = GLP_MSG_OFF;
    s.meth = GLP_DUALP;
    s.it_lim = (int)pivots;
    int rc = glp_simplex(lp, &s);
    if (rc == 0 && glp_get_status(lp) == GLP_NOFEAS) out->infeasible = !out->feasible;
    if (rc == 0 && glp_get_status(lp) == GLP_OPT) {
        out->bound = glp_get_obj_val(lp);
        return true;
    }
    return false;
}

static double *as_doubles(const xg_mip *p, const bool *x, xg_arena *tmp) {
    double *d = xg_newn(tmp, double, p->col.n + 1);
    for (uint32_t j = 0; j < p->col.n; j++) d[j + 1] = x[j];
    return d;
}

static void search(const xg_mip *p, glp_prob *lp, const xg_mip_options *opt, xg_arena *tmp,
                   xg_mip_result *out) {
    if (!relax(lp, opt->pivots, out)) return;
    if (out->feasible && (double)out->value < out->bound + 1 - 1e-3) { /* costs are integers */
        out->optimal = true;
        out->bound = (double)out->value;
        return;
    }
    if (integral(p, lp) && take(p, lp, false, tmp, out)) {
        out->optimal = true;
        return;
    }
    if (!opt->nodes) return;
    progress w = {0, opt->nodes, out->bound, out->feasible ? as_doubles(p, out->x, tmp) : NULL};
    glp_iocp o;
    glp_init_iocp(&o);
    o.msg_lev = GLP_MSG_OFF;
    o.gmi_cuts = o.clq_cuts = GLP_ON;
    o.cb_func = watch;
    o.cb_info = &w;
    o.mip_gap = opt->gap;
    int rc = glp_intopt(lp, &o);
    int st = glp_mip_status(lp);
    bool taken = (st == GLP_OPT || st == GLP_FEAS) && take(p, lp, true, tmp, out);
    out->optimal = (rc == 0 || rc == GLP_EMIPGAP) && taken;
    out->infeasible = rc == 0 && st == GLP_NOFEAS && !out->feasible;
    if (rc == 0 && taken)
        out->bound = (double)out->value;
    else if (w.bound > out->bound)
        out->bound = w.bound;
    out->nodes = w.nodes;
}

static void escape(void *info) {
    longjmp(*(jmp_buf *)info, 1);
}

static void free_env(void *unused) {
    (void)unused;
    glp_free_env();
}

static int swallow(void *info, const char *text) {
    (void)info;
    (void)text;
    return 1;
}

xg_status xg_mip_solve(xg_mip *p, const xg_mip_options *o, xg_mip_result *out) {
    jmp_buf env;
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(p->arena));
    *out = (xg_mip_result){.feasible = o->start != NULL, .x = o->start};
    if (o->start) out->value = xg_mip_value(p, o->start);
    if (!p->row.n || !p->col.n) {
        xg_arena_free(tmp);
        return XG_OK;
    }
    xg_mip_sort(p);
    glp_term_out(GLP_OFF);
    glp_term_hook(swallow, NULL);
    xg_arena_defer(tmp, free_env, NULL); /* also when memory runs out in between */
    if (setjmp(env)) { /* an error inside GLPK: only glp_free_env() is legal after it */
        xg_arena_free(tmp);
        return xg_error(xg_arena_ctx(p->arena), XG_INTERNAL, "glpk",
                        "the solver stopped on a program of %u rows and %u columns", p->row.n,
                        p->col.n);
    }
    glp_error_hook(escape, &env);
    glp_prob *lp = glp_create_prob();
    fill(p, lp, tmp);
    search(p, lp, o, tmp, out);
    glp_delete_prob(lp);
    glp_error_hook(NULL, NULL);
    xg_arena_free(tmp);
    return XG_OK;
}

static void print_terms(const xg_mip *p, uint32_t row, uint32_t *k, xg_buf *out) {
    uint32_t n = 0;
    for (; *k < p->entry.n && p->entry.v[*k].row == row; (*k)++)
        xg_putf(out, "%s %+lld x%u", ++n % 12 ? "" : "\n ", (long long)p->entry.v[*k].v,
                p->entry.v[*k].col);
    if (!n) xg_puts(out, " 0 x0");
}

void xg_mip_print_lp(xg_mip *p, xg_buf *out) {
    xg_mip_sort(p);
    xg_puts(out, "Minimize\n cost:");
    for (uint32_t j = 0; j < p->col.n; j++)
        if (p->col.v[j])
            xg_putf(out, "%s %+lld x%u", j % 12 == 11 ? "\n " : "", (long long)p->col.v[j], j);
    xg_puts(out, "\nSubject To\n");
    for (uint32_t i = 0, k = 0; i < p->row.n; i++) {
        const xg_mip_bounds *b = &p->row.v[i];
        xg_putf(out, " r%u:", i);
        print_terms(p, i, &k, out);
        if (b->lo == b->hi)
            xg_putf(out, " = %lld\n", (long long)b->lo);
        else if (b->lo == INT64_MIN)
            xg_putf(out, " <= %lld\n", (long long)b->hi);
        else
            xg_putf(out, " >= %lld\n", (long long)b->lo);
    }
    xg_puts(out, "Binaries\n");
    for (uint32_t j = 0; j < p->col.n; j++) xg_putf(out, " x%u\n", j);
    xg_puts(out, "End\n");
}
