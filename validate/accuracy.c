#include "validate/report.h"

#include <inttypes.h>
#include <string.h>

static double number_at(const void *p, xg_dtype t, uint64_t i) {
    switch (t) {
    case XG_F32:
        return (double)((const float *)p)[i];
    case XG_I8:
        return ((const int8_t *)p)[i];
    case XG_U8:
    case XG_BOOL:
        return ((const uint8_t *)p)[i];
    case XG_I16:
        return ((const int16_t *)p)[i];
    case XG_I32:
        return ((const int32_t *)p)[i];
    case XG_I64:
        return (double)((const int64_t *)p)[i];
    case XG_DTYPE_COUNT:
        break;
    }
    return 0;
}

/* How many of the run's images have their largest element at the label. Ties go to the lowest
 * index. */
static uint64_t count_right(const xg_values *v, uint32_t output, const xg_array *labels,
                            uint64_t first, uint64_t images) {
    const xg_tensor *t = xg_tensorp(v->graph, output);
    const void *data = v->v[output];
    uint64_t each = (uint64_t)xg_tensor_elems(t) / images, right = 0;
    for (uint64_t i = 0; data && i < images; i++) {
        uint64_t best = 0;
        for (uint64_t k = 1; k < each; k++)
            if (number_at(data, t->dtype, i * each + k) >
                number_at(data, t->dtype, i * each + best))
                best = k;
        right += number_at(labels->data, labels->dtype, first + i) == (double)best;
    }
    return right;
}

typedef struct {
    xg_ctx *c;
    const xg_machine *machine;
    const xg_array *input, *labels;
    uint32_t ninput;
} job;

/* One run of a graph in the interpreter; its values stay in *v (arena a). */
static xg_status interpret(const job *j, xg_arena *a, const xg_graph *g, uint64_t run,
                           xg_values *v) {
    xg_values_init(v, g, a);
    xg_status st = xg_inputs_set(j->c, v, g->input.v, g->input.n, j->input, j->ninput, run);
    return st == XG_OK ? xg_interp_run(j->c, v, &j->machine->rq) : st;
}

static xg_status check_labels(const job *j, const xg_graph *g, const xg_program_io *io,
                              uint64_t runs, uint64_t *images) {
    *images = 1;
    if (io->noutput == 0) return xg_error(j->c, XG_INPUT, "", "the model has no output");
    if (io->ninput) {
        const xg_tensor *in = xg_tensorp(g, io->input[0]);
        const xg_tensor *out = xg_tensorp(g, io->output[0]);
        if (in->rank > 1 && in->dim[0] > 0 && xg_tensor_elems(out) % in->dim[0] == 0)
            *images = (uint64_t)in->dim[0];
    }
    uint64_t n = 1;
    for (int d = 0; d < j->labels->rank; d++) n *= (uint64_t)j->labels->dim[d];
    if (n != runs * *images || j->labels->dtype == XG_F32)
        return xg_error(j->c, XG_INPUT, "labels",
                        "found %" PRIu64 " of %s; expected %" PRIu64 " integers, one an image", n,
                        xg_dtype_name(j->labels->dtype), runs * *images);
    return XG_OK;
}

static bool same_outputs(const xg_values *v, const xg_exec *e) {
    for (uint32_t i = 0; i < e->io.noutput; i++) {
        const xg_tensor *t = xg_tensorp(v->graph, v->graph->output.v[i]);
        if (memcmp(v->v[v->graph->output.v[i]], e->host.v[e->io.output[i]],
                   (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype)))
            return false;
    }
    return true;
}

static xg_status one_run(const job *j, xg_exec *e, const xg_graph *reference,
                         const xg_graph *float_model, uint64_t run, uint64_t images,
                         xg_accuracy *out) {
    const xg_exec_options in_order = {.mode = XG_EXEC_IN_ORDER};
    xg_exec_begin(e);
    xg_status st =
        xg_inputs_set(j->c, &e->host, e->io.input, e->io.ninput, j->input, j->ninput, run);
    if (st == XG_OK) st = xg_exec_run(e, &in_order);
    if (st != XG_OK) return st;
    out->right += count_right(&e->host, e->io.output[0], j->labels, run * images, images);
    xg_arena *a = xg_arena_new(j->c);
    xg_values v;
    if (reference) {
        st = interpret(j, a, reference, run, &v);
        if (st == XG_OK) {
            out->reference_right +=
                count_right(&v, reference->output.v[0], j->labels, run * images, images);
            out->disagree += !same_outputs(&v, e);
        }
    }
    if (st == XG_OK && float_model) {
        st = interpret(j, a, float_model, run, &v);
        if (st == XG_OK)
            out->float_right +=
                count_right(&v, float_model->output.v[0], j->labels, run * images, images);
    }
    xg_arena_free(a);
    return st;
}

xg_status xg_report_accuracy(xg_arena *a, const xg_machine *m, const xg_program *p,
                             const xg_graph *reference, const xg_graph *float_model,
                             const xg_array *input, uint32_t ninput, const xg_array *labels,
                             void (*progress)(void *arg, const char *what, double share),
                             void *progress_arg, xg_accuracy *out) {
    memset(out, 0, sizeof *out);
    job j = {xg_arena_ctx(a), m, input, labels, ninput};
    uint64_t runs, images;
    xg_status st = xg_program_fits(j.c, m, p);
    if (st != XG_OK) return st;
    xg_program_io io = xg_program_borders(p, a);
    st = xg_inputs_count(j.c, p->host, io.input, io.ninput, input, ninput, &runs);
    if (st == XG_OK) st = check_labels(&j, p->host, &io, runs, &images);
    if (st == XG_OK && reference && reference->output.n != io.noutput)
        st = xg_error(j.c, XG_INPUT, "", "the model has %u outputs, the binary %u",
                      reference->output.n, io.noutput);
    if (st != XG_OK) return st;
    out->images = runs * images;
    out->has_reference = reference != NULL;
    out->has_float = float_model != NULL;
    xg_arena *scratch = xg_arena_new(j.c);
    xg_exec *e = NULL;
    st = xg_exec_new(scratch, m, p, NULL, &e);
    for (uint64_t run = 0; run < runs && st == XG_OK; run++) {
        if (progress) progress(progress_arg, "accuracy", (double)run / (double)runs);
        st = one_run(&j, e, reference, float_model, run, images, out);
    }
    if (e) xg_arena_free(e->run_arena);
    xg_arena_free(scratch);
    return st;
}
