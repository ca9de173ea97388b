/* dump_tensors OUT MODEL [KIND:SEED ...]      a model, quantised for profile ort
 * dump_tensors OUT --net SEED [KIND:SEED ...] a random quantised network (tests/unit/random_net.h)
 *
 * Writes into the folder OUT: model.onnx, the QOperator form with every integer tensor as an
 * output, and for each kind of input (random, min, max, zero; default "random:1 random:2 min:0
 * max:0 zero:0") the inputs, the outputs and every integer tensor that the interpreter computed
 * under profile ort as .npy; index.json names them all. oracle.mjs compares them with what ONNX
 * Runtime computes. Float models are calibrated on one random input. XGC_WEIGHTS_RANDOM=1: constant
 * weights become random ones. */
#include "xgraph/import.h"

#include "../unit/random_net.h"

#include <stdlib.h>

typedef struct job {
    xg_ctx *ctx;
    xg_arena *arena;
    const char *out, *model;
    uint64_t net;
    char **kinds;
    int nkinds;
    xg_graph *g;
    xg_rqrec record;
    xg_buf index;
} job;

static xg_status load(job *j) {
    if (!j->model) {
        j->g = random_net(j->arena, &j->record, j->net, 12);
        if (!j->g)
            return xg_error(j->ctx, XG_UNSUPPORTED, "", "random network %llu is empty",
                            (unsigned long long)j->net);
        return xg_graph_compact(j->ctx, j->g, j->arena, &j->g);
    }
    xg_front_options o = {.import.external_data = true, .calib_inputs = "random"};
    o.weights_random = getenv("XGC_WEIGHTS_RANDOM") != NULL;
    return xg_front(j->arena, j->model, &o, &j->record, &j->g, NULL);
}

static xg_status write_model(job *j) {
    xg_buf onnx = {.arena = j->arena};
    xg_status st = xg_export_qoperator(j->ctx, j->g, true, &onnx);
    return st == XG_OK
               ? xg_write_file(j->ctx, xg_strf(j->arena, "%s/model.onnx", j->out), onnx.p, onnx.n)
               : st;
}

static xg_status write_tensor(job *j, xg_arena *a, const xg_values *v, uint32_t t, int run,
                              bool *first) {
    const xg_tensor *x = xg_tensorp(j->g, t);
    xg_array array = {.name = x->name, .dtype = x->dtype, .rank = x->rank, .data = v->v[t]};
    memcpy(array.dim, x->dim, sizeof array.dim);
    const char *file = xg_strf(a, "r%d_t%u.npy", run, t);
    xg_puts(&j->index, *first ? "{\"name\":" : ",{\"name\":");
    *first = false;
    xg_put_quoted(&j->index, x->name, true);
    uint32_t producer = x->producer;
    xg_putf(&j->index, ",\"file\":\"%s\",\"op\":\"%s\",\"dtype\":\"%s\"}", file,
            producer == XG_NONE ? "input" : xg_ops[xg_nodep(j->g, producer)->op].name,
            xg_dtype_name(x->dtype));
    return xg_array_write_npy(j->ctx, xg_strf(a, "%s/%s", j->out, file), &array);
}

static xg_status write_run(job *j, int run) {
    xg_arena *a = xg_arena_new(j->ctx);
    char kind[16] = "random";
    unsigned long long seed = 0;
    sscanf(j->kinds[run], "%15[^:]:%llu", kind, &seed);
    xg_values v;
    xg_values_init(&v, j->g, a);
    xg_status st = xg_values_fill(j->ctx, &v, kind, seed);
    if (st == XG_OK) st = xg_interp_run(j->ctx, &v, &j->record);
    xg_putf(&j->index, "%s{\"kind\":\"%s\",\"inputs\":[", run ? "," : "", j->kinds[run]);
    bool first = true;
    for (uint32_t i = 0; i < j->g->input.n && st == XG_OK; i++)
        st = write_tensor(j, a, &v, j->g->input.v[i], run, &first);
    xg_puts(&j->index, "],\"tensors\":[");
    first = true;
    for (uint32_t t = 0; t < j->g->tensor.n && st == XG_OK; t++) {
        const xg_tensor *x = xg_tensorp(j->g, t);
        bool wanted = x->producer != XG_NONE && x->quant && xg_dtype_is_int8(x->dtype);
        if (wanted) st = write_tensor(j, a, &v, t, run, &first);
    }
    xg_puts(&j->index, "],\"outputs\":[");
    first = true;
    for (uint32_t i = 0; i < j->g->output.n && st == XG_OK; i++)
        st = write_tensor(j, a, &v, j->g->output.v[i], run, &first);
    xg_puts(&j->index, "]}");
    xg_arena_free(a);
    return st;
}

static xg_status work(void *arg) {
    job *j = arg;
    j->arena = xg_ctx_arena(j->ctx);
    j->index.arena = j->arena;
    xg_status st = xg_rqrec_profile("ort", &j->record) ? load(j) : XG_INTERNAL;
    if (st == XG_OK) st = write_model(j);
    xg_puts(&j->index, "{\"model\":\"model.onnx\",\"runs\":[");
    for (int i = 0; i < j->nkinds && st == XG_OK; i++) st = write_run(j, i);
    xg_puts(&j->index, "]}\n");
    if (st != XG_OK) return st;
    return xg_write_file(j->ctx, xg_strf(j->arena, "%s/index.json", j->out), j->index.p,
                         j->index.n);
}

int main(int argc, char **argv) {
    static char all[][12] = {"random:1", "random:2", "min:0", "max:0", "zero:0"};
    char *kinds[XG_COUNT(all)];
    for (size_t i = 0; i < XG_COUNT(all); i++) kinds[i] = all[i];
    bool random = argc > 3 && !strcmp(argv[2], "--net");
    int used = random ? 4 : 3;
    if (argc < used)
        return fputs("usage: dump_tensors OUT (MODEL | --net SEED) [KIND:SEED ...]\n", stderr), 2;
    job j = {.ctx = xg_ctx_new(),
             .out = argv[1],
             .model = random ? NULL : argv[2],
             .kinds = kinds,
             .nkinds = XG_COUNT(all)};
    if (!j.ctx) return 1;
    if (random) j.net = strtoull(argv[3], NULL, 0);
    if (argc > used) {
        j.kinds = argv + used;
        j.nkinds = argc - used;
    }
    xg_status st = xg_ctx_run(j.ctx, work, &j);
    for (size_t i = 0; i < xg_diag_count(j.ctx); i++) {
        const xg_diag *d = xg_diag_at(j.ctx, i);
        fprintf(stderr, "%s: %s: %s\n", xg_status_name(d->status), d->where, d->text);
    }
    xg_ctx_free(j.ctx);
    return st != XG_OK;
}
