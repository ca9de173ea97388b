/* bench_kernels                        speed of single kernels at each level of vector instructions
 * bench_kernels run MODEL [RUNS]       ... of the interpreter on a model, profile ort, by operator
 * bench_kernels sim MODEL MACHINE [RUNS]  ... of the functional simulator on the compiled program
 * bench_kernels export MODEL OUT [u8]  writes the model that `run` runs as QOperator ONNX; u8: with
 *                                      unsigned activations, which ONNX Runtime runs faster on x86
 *
 * XGC_ISA=LEVEL: `run` and `sim` at this level only.
 * One thread; the best of RUNS (default 5). Float models are calibrated on one random input, and
 * weights that are all equal (topology only) become random ones. */
#include "base/cpu.h"
#include "layout/plan.h"
#include "validate/run.h"
#include "xgraph/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct job {
    xg_ctx *ctx;
    xg_arena *arena;
    int argc;
    char **argv;
    int runs;
    const char *only; /* level, or NULL */
} job;

/* Processor time: other programs on the host count little. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- single kernels -------------------------------------------------------------------------- */

typedef struct shape {
    const char *name;
    xg_op op;
    int64_t h, c, o, group;
    int32_t kernel, stride;
} shape;

static const shape shapes[] = {
    {"conv 7x7/2 3->64 @224", XG_OP_Conv, 224, 3, 64, 1, 7, 2},
    {"conv 1x1 64->256 @56", XG_OP_Conv, 56, 64, 256, 1, 1, 1},
    {"conv 3x3 64->64 @56", XG_OP_Conv, 56, 64, 64, 1, 3, 1},
    {"conv 3x3 256->256 @14", XG_OP_Conv, 14, 256, 256, 1, 3, 1},
    {"conv 3x3 512->512 @7", XG_OP_Conv, 7, 512, 512, 1, 3, 1},
    {"conv 3x3 16->16 @112", XG_OP_Conv, 112, 16, 16, 1, 3, 1},
    {"conv 3x3 128->128/32 @28", XG_OP_Conv, 28, 128, 128, 32, 3, 1},
    {"depthwise 3x3 96 @56", XG_OP_Conv, 56, 96, 96, 96, 3, 1},
    {"dense 2048->1000", XG_OP_Conv, 1, 2048, 1000, 1, 1, 1},
    {"add 256 @56", XG_OP_Add, 56, 256, 256, 1, 1, 1},
    {"mul 256 @56", XG_OP_Mul, 56, 256, 256, 1, 1, 1},
    {"max pool 3x3/2 64 @112", XG_OP_MaxPool, 112, 64, 64, 1, 3, 2},
    {"average 3x3 256 @28", XG_OP_AvgPool, 28, 256, 256, 1, 3, 1},
    {"lut 256 @56", XG_OP_Lut, 56, 256, 256, 1, 1, 1},
};

static uint32_t constant(xg_graph *g, xg_dtype t, const xg_quant *q, uint8_t rank,
                         const int64_t *dim, uint64_t *seed) {
    int64_t n = (int64_t)xg_dtype_bytes(t);
    for (uint8_t i = 0; i < rank; i++) n *= dim[i];
    uint8_t *p = xg_alloc(g->arena, (size_t)n);
    for (int64_t i = 0; i < n; i++) p[i] = (uint8_t)xg_random(seed);
    for (int64_t i = 0; t == XG_I32 && i < n / 4; i++) ((int32_t *)p)[i] >>= 16;
    return xg_graph_add_const(g, "k", t, rank, dim, p, q);
}

/* The operator's work in multiplications, or elements where there are none. Scales are powers of
 * two, so that every profile can express them. */
static xg_graph *build(xg_arena *a, const shape *s, double *work) {
    xg_graph *g = xg_graph_new(a, "bench");
    uint64_t seed = 1;
    uint32_t in[3], nin = 1;
    const xg_quant *q = xg_quant_scalar(a, 0x1p-6f, 0);
    in[0] = constant(g, XG_I8, q, 4, (int64_t[]){1, s->h, s->h, s->c}, &seed);
    const bool window = s->op == XG_OP_Conv || s->op == XG_OP_MaxPool || s->op == XG_OP_AvgPool;
    if (s->op == XG_OP_Conv) {
        int64_t dim[] = {s->o, s->kernel, s->kernel, s->c / s->group};
        in[nin++] = constant(g, XG_I8, q, 4, dim, &seed);
        in[nin++] = constant(g, XG_I32, NULL, 1, &s->o, &seed);
    } else if (s->op == XG_OP_Add || s->op == XG_OP_Mul) {
        in[nin++] = constant(g, XG_I8, q, 4, (int64_t[]){1, s->h, s->h, s->c}, &seed);
    } else if (s->op == XG_OP_Lut) {
        in[nin++] = constant(g, XG_I8, NULL, 1, (int64_t[]){256}, &seed);
    }
    xg_node *n = xg_nodep(g, xg_graph_add_node(g, s->op, s->name, in, nin, 1));
    if (window) {
        const int32_t pad = s->kernel / 2;
        xg_set_window(
            n, &(xg_window){s->kernel, s->kernel, s->stride, s->stride, 1, 1, pad, pad, pad, pad});
    }
    if (s->op == XG_OP_Conv) xg_set_ai(n, XG_ATTR_group, s->group);
    xg_tensor *y = xg_out(g, n, 0);
    y->dtype = XG_I8;
    y->quant = s->op == XG_OP_MaxPool ? q : xg_quant_scalar(a, 0x1p-1f, 0);
    xg_graph_add_output(g, n->out[0]);
    const int64_t out = s->h / s->stride;
    *work = (double)(out * out * s->o);
    if (s->op == XG_OP_Conv) *work *= (double)(s->kernel * s->kernel * s->c / s->group);
    return g;
}

/* Seconds for one run of the whole graph. */
static xg_status time_graph(job *j, xg_values *v, const xg_rqrec *r, double *best) {
    *best = 1e30;
    for (int i = 0; i < j->runs + 1; i++) {
        double start = now();
        xg_status st = xg_interp_run(j->ctx, v, r);
        if (st != XG_OK) return st;
        if (i > 0 && now() - start < *best) *best = now() - start;
    }
    return XG_OK;
}

static xg_status kernels(job *j) {
    static const char *const profiles[] = {"ort", "dpu", "tflite2"};
    printf("%-28s %-8s %9s", "billions a second", "profile", "literal");
    for (int l = 0; l < XG_CPU_COUNT; l++) printf(" %9s", xg_cpu_name((xg_cpu)l));
    printf("\n");
    for (size_t i = 0; i < XG_COUNT(shapes); i++)
        for (size_t p = 0; p < XG_COUNT(profiles); p++) {
            xg_rqrec rec;
            double work, t;
            xg_arena *a = xg_arena_new(j->ctx);
            xg_graph *g = build(a, &shapes[i], &work);
            xg_status st = xg_graph_infer(j->ctx, g);
            if (st != XG_OK || !xg_rqrec_profile(profiles[p], &rec)) return st;
            printf("%-28s %-8s", shapes[i].name, profiles[p]);
            for (int l = -1; l < XG_CPU_COUNT; l++) {
                xg_values v;
                xg_values_init(&v, g, a);
                if (l < 0) v.mode = XG_VALUES_LITERAL;
                if (l >= 0) setenv("XGC_ISA", xg_cpu_name((xg_cpu)l), 1);
                st = time_graph(j, &v, &rec, &t);
                if (st != XG_OK) return st;
                printf(" %9.2f", 1e-9 * work / t);
                fflush(stdout);
            }
            unsetenv("XGC_ISA");
            printf("\n");
            xg_arena_free(a);
        }
    return XG_OK;
}

/* ---- models ---------------------------------------------------------------------------------- */

static xg_status load(job *j, const xg_rqrec *r, xg_graph **g) {
    xg_front_options o = {
        .import.external_data = true, .calib_inputs = "random", .weights_random = true};
    return xg_front(j->arena, j->argv[2], &o, r, g, NULL);
}

static double macs_of(const xg_graph *g) {
    double macs = 0;
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (n->op != XG_OP_Conv) continue;
        const xg_tensor *w = xg_in(g, n, 1), *y = xg_out(g, n, 0);
        macs += (double)xg_tensor_elems(y) * (double)(w->dim[1] * w->dim[2] * w->dim[3]);
    }
    return macs;
}

static bool skipped(const job *j, int level) {
    return j->only && (level < 0 || strcmp(j->only, xg_cpu_name((xg_cpu)level)));
}

static xg_status by_operator(job *j, xg_values *v, const xg_rqrec *r) {
    double spent[XG_OP_COUNT] = {0};
    for (uint32_t i = 0; i < v->graph->node.n; i++) {
        double start = now();
        xg_status st = xg_interp_node(j->ctx, v, i, r);
        if (st != XG_OK) return st;
        spent[xg_nodep(v->graph, i)->op] += now() - start;
    }
    for (int op = 0; op < XG_OP_COUNT; op++)
        if (spent[op] > 0) printf("    %-12s %8.2f ms\n", xg_ops[op].name, 1e3 * spent[op]);
    return XG_OK;
}

static xg_status run_model(job *j) {
    xg_rqrec rec;
    xg_graph *g;
    if (!xg_rqrec_profile("ort", &rec)) return XG_INTERNAL;
    xg_status st = load(j, &rec, &g);
    if (st != XG_OK) return st;
    printf("%s: %.3f GMAC\n", j->argv[2], 1e-9 * macs_of(g));
    for (int l = -1; l < XG_CPU_COUNT; l++) {
        if (skipped(j, l)) continue;
        xg_arena *a = xg_arena_new(j->ctx);
        xg_values v;
        double first, best;
        xg_values_init(&v, g, a);
        if (l < 0) v.mode = XG_VALUES_LITERAL;
        if (l >= 0) setenv("XGC_ISA", xg_cpu_name((xg_cpu)l), 1);
        st = xg_values_fill(j->ctx, &v, "random", 1);
        double start = now();
        if (st == XG_OK) st = xg_interp_run(j->ctx, &v, &rec);
        first = now() - start;
        if (st == XG_OK) st = time_graph(j, &v, &rec, &best);
        if (st != XG_OK) return st;
        printf("interpreter, %-9s %8.1f ms, first run %.1f ms\n",
               l < 0 ? "literal" : xg_cpu_name((xg_cpu)l), 1e3 * best, 1e3 * first);
        st = by_operator(j, &v, &rec);
        if (st != XG_OK) return st;
        xg_arena_free(a);
    }
    return XG_OK;
}

/* The same values as unsigned ones: 128 is added to elements, zero points and bounds. */
static void make_unsigned(xg_graph *g) {
    for (uint32_t t = 0; t < g->tensor.n; t++) {
        xg_tensor *x = xg_tensorp(g, t);
        if (x->data || x->dtype != XG_I8 || !x->quant) continue;
        x->dtype = XG_U8;
        x->quant = xg_quant_scalar(g->arena, x->quant->scale[0], x->quant->zp[0] + 128);
    }
    for (uint32_t i = 0; i < g->node.n; i++) {
        const xg_node *n = xg_nodep(g, i);
        if (!xg_has_attr(n, XG_ATTR_lo)) continue;
        xg_set_ai(n, XG_ATTR_lo, xg_clamp(xg_ai(n, XG_ATTR_lo), -128, 127) + 128);
        xg_set_ai(n, XG_ATTR_hi, xg_clamp(xg_ai(n, XG_ATTR_hi), -128, 127) + 128);
    }
}

static xg_status export_model(job *j) {
    xg_rqrec rec;
    xg_graph *g;
    xg_buf onnx = {.arena = j->arena};
    if (!xg_rqrec_profile("ort", &rec)) return XG_INTERNAL;
    xg_status st = load(j, &rec, &g);
    if (st == XG_OK && j->argc == 5) make_unsigned(g);
    if (st == XG_OK) st = xg_export_qoperator(j->ctx, g, false, &onnx);
    return st == XG_OK ? xg_write_file(j->ctx, j->argv[3], onnx.p, onnx.n) : st;
}

static xg_status compile(job *j, xg_machine **m, xg_program **p) {
    xg_graph *g;
    xg_plan *plan;
    xg_status st = xg_machine_load(j->arena, j->argv[3], NULL, m);
    if (st == XG_OK) st = load(j, &(*m)->rq, &g);
    xg_selection *s = xg_new(j->arena, xg_selection);
    if (st == XG_OK) st = xg_select(j->arena, g, *m, "layer", s);
    if (st == XG_OK) st = xg_plan_make(j->arena, s, *m, &plan);
    if (st == XG_OK) st = xg_lower(j->arena, plan, p);
    return st;
}

static xg_status simulate(job *j) {
    xg_machine *m;
    xg_program *p;
    xg_status st = compile(j, &m, &p);
    if (st != XG_OK) return st;
    for (int l = 0; l < XG_CPU_COUNT; l++) {
        if (skipped(j, l)) continue;
        double best = 1e30;
        xg_arena *a = xg_arena_new(j->ctx);
        xg_exec *e;
        setenv("XGC_ISA", xg_cpu_name((xg_cpu)l), 1);
        st = xg_exec_new(a, m, p, NULL, &e);
        for (int i = 0; st == XG_OK && i < j->runs + 1; i++) {
            xg_exec_begin(e);
            st = xg_values_fill(j->ctx, &e->host, "random", 1);
            double start = now();
            if (st == XG_OK) st = xg_exec_run(e, &(xg_exec_options){.mode = XG_EXEC_IN_ORDER});
            if (i > 0 && now() - start < best) best = now() - start;
        }
        if (st != XG_OK) return st;
        printf("simulator %s, %-9s %8.1f ms\n", j->argv[3], xg_cpu_name((xg_cpu)l), 1e3 * best);
        xg_arena_free(a);
    }
    return XG_OK;
}

static xg_status work(void *arg) {
    job *j = arg;
    const char *what = j->argc > 1 ? j->argv[1] : "";
    j->arena = xg_arena_new(j->ctx);
    j->runs = 5;
    const char *only = getenv("XGC_ISA");
    if (only) j->only = xg_strdup(j->arena, only); /* setenv() follows */
    if (j->argc == 1) return kernels(j);
    if (!strcmp(what, "run") && j->argc >= 3) {
        if (j->argc > 3) j->runs = atoi(j->argv[3]);
        return run_model(j);
    }
    if (!strcmp(what, "sim") && j->argc >= 4) {
        if (j->argc > 4) j->runs = atoi(j->argv[4]);
        return simulate(j);
    }
    if (!strcmp(what, "export") && (j->argc == 4 || (j->argc == 5 && !strcmp(j->argv[4], "u8"))))
        return export_model(j);
    return xg_error(j->ctx, XG_USAGE, "",
                    "bench_kernels [run MODEL [RUNS] | sim MODEL MACHINE [RUNS] | export MODEL "
                    "OUT [u8]]");
}

int main(int argc, char **argv) {
    job j = {.ctx = xg_ctx_new(), .argc = argc, .argv = argv};
    if (!j.ctx) return 1;
    xg_status st = xg_ctx_run(j.ctx, work, &j);
    for (size_t i = 0; i < xg_diag_count(j.ctx); i++) {
        const xg_diag *d = xg_diag_at(j.ctx, i);
        if (d->severity == XG_ERROR)
            fprintf(stderr, "%s: %s: %s\n", xg_status_name(d->status), d->where, d->text);
    }
    xg_ctx_free(j.ctx);
    return st != XG_OK;
}
